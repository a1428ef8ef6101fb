/*
 * Settings that are judged but not compiled, since spcd does not have them: what a block says by them, as text, for
 * spcc diff. Nobody else gathers them.
 */
#include "spcc.h"

#include <string.h>

static bool
is_plain(const char *text)
{
    return *text != '\0' && strpbrk(text, " ;{}\"'#") == NULL;
}

/* Its words behind the first, as they would be written. */
static const char *
words_of(struct unit *unit, const struct node *node)
{
    const char *text = "";
    for (u32 i = 1; i < node->word_count; i++)
        text = arena_print(&unit->arena, is_plain(node->word[i].text) ? "%s%s%s" : "%s%s\"%s\"", text,
                           i > 1 ? " " : "", node->word[i].text);
    return text;
}

static void
add(struct unit *unit, enum section section, u32 index, const struct setting *setting)
{
    struct setting *added = vector_add(&unit->arena, &unit->settings, sizeof *added);
    *added = *setting;
    added->section = section;
    added->index = index;
}

/* All that stand side by side of one row; what inside a block of it is said has no order that matters here. */
static void
add_nodes(struct unit *unit, enum section section, u32 index, const struct node *node)
{
    struct place place = source_place(unit, node->word[0].span.start);
    struct setting setting = {.row = node->row, .name = node->row->name, .file = place.source->name, .line = place.line,
                              .text = words_of(unit, node)};
    for (node = node->again; node != NULL; node = node->again)
        setting.text = arena_print(&unit->arena, "%s, %s", setting.text, words_of(unit, node));
    add(unit, section, index, &setting);
}

/* What holds for TLS with clients says nothing where there is none. */
static bool
matters(const struct scope *scope, enum section section, const struct directive *row)
{
    bool tls = section != SECTION_server || strncmp(row->name, "ssl_", strlen("ssl_")) != 0;
    for (const struct node *node = scope->of[DIRECTIVE_listen]; node != NULL; node = node->again)
        for (u32 i = 2; i < node->word_count; i++)
            tls |= strcmp(node->word[i].text, "ssl") == 0;
    return tls;
}

void
setting_gather(struct unit *unit, const struct scope *scope, enum section section, u32 index)
{
    u32 context = section == SECTION_upstream ? IN_UPSTREAM : section == SECTION_server ? IN_SERVER : IN_STREAM;
    for (u32 i = 0; i < DIRECTIVE_COUNT && unit->comparing; i++) {
        const struct directive *row = &directives[i];
        if (row->support != SUPPORT_LATER || !(row->in & context) || !matters(scope, section, row) ||
            (section == SECTION_main && row->flows != FLOW_NONE))
            continue;
        const struct node *node = scope_nearest(scope, row);
        if (node != NULL)
            add_nodes(unit, section, index, node);
        else if (row->absent != NULL && section != SECTION_main)
            add(unit, section, index, &(struct setting){.row = row, .name = row->name, .text = row->absent});
    }
}

void
setting_gather_parameters(struct unit *unit, const struct node *node, enum section section, u32 index)
{
    struct place place = source_place(unit, node->word[0].span.start);
    for (u32 i = 2; i < node->word_count && unit->comparing; i++)
        for (u32 j = 0; j < PARAMETER_COUNT; j++) {
            const struct parameter *row = &parameters[j];
            size_t size = strlen(row->name);
            const char *text = node->word[i].text;
            bool whole = row->kind == TAKE_NOTHING;
            if (row->support != SUPPORT_LATER || &directives[row->of] != node->row ||
                strncmp(text, row->name, size) != 0 || (whole && text[size] != '\0'))
                continue;
            const char *name = arena_print(&unit->arena, "%.*s of %s %s", (int)strcspn(row->name, "="), row->name,
                                           node->row->name, node->word[1].text);
            add(unit, section, index,
                &(struct setting){.name = name, .file = place.source->name, .line = place.line,
                                  .text = whole ? "on" : text + size});
        }
}
