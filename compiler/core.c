/*
 * The main context and events {}: their nodes in, the record main and its CPUs out. Most of it are rows of
 * directives.def; what needs more than a row is here.
 */
#include "spcc.h"

#include <string.h>

static struct node *
written(const struct unit *unit, enum directive_id id)
{
    struct node *node = unit->main.of[id];
    return node == NULL || node->broken ? NULL : node;
}

static bool
is_mask(const struct word *word)
{
    return word->size > 0 && word->size <= CPU_MAX + 1 && strspn(word->text, "01") == word->size &&
           strchr(word->text, '1') != NULL;
}

/* One mask: its last digit is CPU 0. */
static void
add_cpus(struct unit *unit, const struct word *mask, u32 worker)
{
    for (u32 i = 0; i < mask->size; i++) {
        struct blob_cpu record = {.worker = worker, .number = i};
        if (mask->text[mask->size - 1 - i] == '1')
            image_add(unit, SECTION_cpu, &record, mask->span);
    }
}

/* worker_cpu_affinity auto [mask] | mask ... */
static void
compile_affinity(struct unit *unit, struct blob_main *record)
{
    struct node *node = written(unit, DIRECTIVE_worker_cpu_affinity);
    u32 first = image_count(unit, SECTION_cpu);
    if (node == NULL)
        return;
    bool automatic = strcmp(node->word[1].text, "auto") == 0;
    if (automatic)
        record->flags |= MAIN_AFFINITY_AUTO;
    if (automatic && node->word_count > 3)
        diag(unit, too_many, node->word[3].span, "\"worker_cpu_affinity auto\"", "one mask",
             show(unit, node->word[3].text, node->word[3].size));
    for (u32 i = 1 + automatic; i < node->word_count && i <= WORKERS_MAX; i++) {
        if (is_mask(&node->word[i]))
            add_cpus(unit, &node->word[i], i - 1 - automatic);
        else
            diag(unit, bad_mask, node->word[i].span, show(unit, node->word[i].text, node->word[i].size));
    }
    record->cpu_count = image_count(unit, SECTION_cpu) - first;
    record->cpu = record->cpu_count > 0 ? first : 0;
}

void
core_compile(struct unit *unit)
{
    struct blob_main record = {0};
    scope_land(unit, &unit->main, SECTION_main, &record);
    struct node *user = written(unit, DIRECTIVE_user);
    if (user != NULL && user->word_count > 2)
        record.group = image_text(unit, user->word[2].text, user->word[2].size);
    compile_affinity(unit, &record);
    log_compile(unit, &unit->main, &record.log, &record.log_count);
    image_add(unit, SECTION_main, &record, (struct span){0});
}

void
core_finish(struct unit *unit)
{
    struct blob_main *record = image_at(unit, SECTION_main, 1);
    record->listener_count = image_count(unit, SECTION_listener) - 1;
    record->listener = record->listener_count > 0;
    setting_gather(unit, &unit->stream, SECTION_main, 1);
}
