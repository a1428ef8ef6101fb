/*
 * error_log: its nodes in, log records out. A level that says nothing has those of the level around it; when no
 * level says anything, errors go to standard error.
 */
#include "spcc.h"

#include <string.h>

/* The level named by text; false: no level. */
static bool
read_level(const char *text, enum level *level)
{
    for (u32 i = LEVEL_EMERG; i < VALUES_END_level; i++)
        if (strcmp(text, blob_level_word((enum level)i)) == 0) {
            *level = (enum level)i;
            return true;
        }
    return false;
}

/* debug_core and its like choose parts of nginx's own debug log. */
static bool
is_debug_mask(const char *text)
{
    u64 which;
    static const char masks[] = "debug_core|debug_alloc|debug_mutex|debug_event|debug_http|debug_mail|debug_stream";
    return value_word(text, strlen(text), masks, &which) == READ_OK;
}

static void
say_bad_level(struct unit *unit, const struct word *word)
{
    diag(unit, bad_word, word->span, show(unit, word->text, word->size),
         "debug, info, notice, warn, error, crit, alert and emerg");
    struct nearest nearest = {.word = word->text};
    for (u32 i = LEVEL_EMERG; i < VALUES_END_level; i++)
        nearest_try(&nearest, blob_level_word((enum level)i));
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

static enum level
read_levels(struct unit *unit, const struct node *node)
{
    enum level level = LEVEL_ERROR;
    for (u32 i = 2; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        bool mask = is_debug_mask(word->text);
        if (mask) {
            diag(unit, no_effect, word->span, show(unit, word->text, word->size), "it is taken for debug");
            level = LEVEL_DEBUG;
        } else if (i > 2) {
            diag(unit, log_levels, word->span, show(unit, node->word[2].text, node->word[2].size));
        } else if (!read_level(word->text, &level)) {
            say_bad_level(unit, word);
        }
    }
    return level;
}

static bool
begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static u32
compile_one(struct unit *unit, const struct node *node)
{
    const struct word *target = &node->word[1];
    struct blob_log record = {.level = read_levels(unit, node)};
    if (begins_with(target->text, "syslog:")) {
        syslog_compile(unit, target, &record);
        return image_add(unit, SECTION_log, &record, node->word[0].span);
    }
    if (begins_with(target->text, "memory:"))
        later_say(unit, target->span,
                  arena_print(&unit->arena, "logging to %s", show(unit, target->text, target->size)),
                  "logging to memory");
    record.sink = strcmp(target->text, "stderr") == 0 || target->size == 0 ? SINK_STDERR : SINK_FILE;
    if (record.sink == SINK_FILE)
        record.path = image_text(unit, target->text, target->size);
    return image_add(unit, SECTION_log, &record, node->word[0].span);
}

void
log_compile(struct unit *unit, const struct scope *scope, u32 *first, u32 *count)
{
    struct node *node = scope_nearest(scope, &directives[DIRECTIVE_error_log]);
    *count = 0;
    if (node == NULL) {
        struct blob_log record = {.sink = SINK_STDERR, .level = LEVEL_ERROR};
        if (unit->default_log == 0)
            unit->default_log = image_add(unit, SECTION_log, &record, (struct span){0});
        *first = unit->default_log;
        *count = 1;
        return;
    }
    *first = node->index != 0 ? node->index : image_count(unit, SECTION_log);
    for (; node != NULL; node = node->again) {
        if (node->broken)
            continue;
        if (node->index == 0)
            node->index = compile_one(unit, node);
        ++*count;
    }
}
