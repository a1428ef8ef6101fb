/*
 * Judging what the rows of directives.def cannot say: the checked nodes come in, one after the other as they stand in
 * the files, and each goes to the function of its row. Nothing is emitted here. What spcd does not have yet is judged
 * like the rest; it is gathered, for one warning a file, or refused when a blob is wanted.
 */
#include "judge.h"

#include <string.h>

/* ---- what spcd does not have yet ---- */

void
later_say(struct unit *unit, struct span span, const char *what, const char *name)
{
    if (!unit->tolerant) {
        diag(unit, not_yet, span, what);
        return;
    }
    const char **known = unit->later.item;
    for (u32 i = 0; i < unit->later.count; i++)
        if (strcmp(known[i], name) == 0)
            return;
    *(const char **)vector_add(&unit->arena, &unit->later, sizeof name) = name;
    if (unit->later_span.start == 0 || span.start < unit->later_span.start)
        unit->later_span = span;
}

void
later_finish(struct unit *unit)
{
    const char **name = unit->later.item, *list = "";
    for (u32 i = 0; i < unit->later.count; i++)
        list = arena_print(&unit->arena, "%s%s%s", list, i > 0 ? ", " : "", name[i]);
    if (unit->later.count > 0)
        diag(unit, not_yet_here, unit->later_span, list);
}

/* ---- for the others ---- */

const char *
judge_show(struct unit *unit, const struct word *word)
{
    return show(unit, word->text, word->size);
}

struct span
judge_span(const struct node *node)
{
    return (struct span){node->word[0].span.start, node->word[node->word_count - 1].span.end};
}

bool
judge_is_lenient(const struct unit *unit)
{
    return unit->unread || (unit->fragment && (unit->checking || unit->wrapped != 0));
}

bool
judge_options(struct unit *unit, struct node *node, u32 first, struct options *options)
{
    return argument_options(unit, node, first, NULL, options);
}

bool
judge_entry(struct unit *unit, struct node *entry, u32 least, u32 most, const char *shape)
{
    if (entry->block) {
        diag(unit, takes_no_block, entry->open, "an entry");
        return false;
    }
    if (entry->word_count >= least && entry->word_count <= most)
        return true;
    for (u32 i = 1; i < entry->word_count; i++) {
        const struct word *word = &entry->word[i], *before = word - 1;
        if (source_place(unit, before->span.end).line == source_place(unit, word->span.start).line)
            continue;
        diag(unit, no_semicolon, ((struct span){before->span.end, before->span.end + 1}), judge_show(unit, before));
        diag_note(unit, word->span, "%s begins here", judge_show(unit, word));
        return false;
    }
    struct span span = entry->word_count > most ? entry->word[most].span : entry->word[0].span;
    diag(unit, entry_words, span, entry->word_count, entry->word_count == 1 ? "" : "s", shape);
    if (entry->word_count > most)
        diag_help(unit, "is a \";\" missing? A value with spaces is written in quotes");
    return false;
}

bool
judge_regex(struct unit *unit, const struct word *word, u32 start, bool caseless)
{
    struct regex regex;
    const char *text = word->text + start;
    size_t size = word->size - start;
    if (value_regex(&unit->arena, text, size, caseless, &regex) == READ_OK) {
        for (u32 i = 0; i < regex.name_count; i++)
            variable_capture(unit, regex.name[i], word->span);
        return true;
    }
    u32 at = start + regex.bad, end = at < word->size ? at + 1 : at;
    struct span span = end > at ? word_part(word, at, end) : (struct span){word->span.end - 1, word->span.end};
    diag(unit, bad_regex, span, show(unit, text, size), regex.problem);
    return false;
}

bool
judge_size(struct unit *unit, const struct word *word, u32 start, u64 least, u64 *size)
{
    static const struct take take = ONE(SIZE, "size");
    struct span span = word_part(word, start, word->size);
    return argument_value(unit, &take, "a zone", word->text + start, span, least, INT64_MAX, size);
}

/* ---- the pass ---- */

static void judge_block(struct unit *unit, struct node *block);

static void
judge_words(struct unit *unit, struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct take *take = argument_take(node->row, node->word_count - 1, i - 1);
        if (take != NULL && take->kind == TAKE_VALUE)
            variable_use(unit, &node->word[i]);
    }
}

static void
judge_inside(struct unit *unit, struct node *node)
{
    struct judge *judge = unit->judge;
    switch (node->row->opens) {
    case IN_STREAM:
        judge_block(unit, node);
        break;
    case IN_SERVER:
        scope_fill(&unit->here, &unit->stream, node);
        judge->server = node;
        judge_block(unit, node);
        judge_server(unit, node);
        judge->server = NULL;
        break;
    case IN_UPSTREAM:
        scope_fill(&unit->here, &unit->stream, node);
        judge->upstream = node;
        judge_block(unit, node);
        judge->upstream = NULL;
        break;
    default:
        break;
    }
}

static void
judge_block(struct unit *unit, struct node *block)
{
    for (struct node *node = block->first; node != NULL; node = node->next) {
        if (node->row == NULL)
            continue;
        if (node->block)
            judge_inside(unit, node);
        if (node->broken && node->row->opens == 0)
            continue;
        judge_words(unit, node);
        if (node->row->judge != NULL && !node->broken)
            node->row->judge(unit, node);
    }
}

void
judge_run(struct unit *unit, struct node *root)
{
    unit->judge = arena_take(&unit->arena, sizeof *unit->judge);
    judge_block(unit, root);
    name_finish(unit);
    variable_finish(unit);
    judge_server_finish(unit);
    judge_route_finish(unit);
}
