/*
 * Braces that were forgotten or are too many. A block whose "{" was forgotten: its first statement became its
 * arguments, its "}" closed the block around it, and some "}" behind that closes nothing. One of these alone says
 * little; together they say where the "{" belongs. In goes the node and the block that it stands in, out come both as
 * they were meant, and one message instead of many. A block that a "}" too many closed early leaves the same "}"
 * behind: the first statement that is out of place is told, and nothing of those up to there. In a block whose "}" was
 * forgotten stands what belongs behind it: the first such statement is told, and all is judged where it belongs.
 */
#include "judge.h"
#include "report.h"

static const char *
shown(struct unit *unit, const struct word *word)
{
    return show(unit, word->text, word->size);
}

static bool
is_known(const struct unit *unit, const struct word *word, u32 context)
{
    const struct directive *row = check_find(unit, word->text, context);
    return row != NULL && (row->in & context) != 0;
}

/* The index of the word behind the lost "{": it begins a line, is one argument too many, belongs inside. 0: none. */
static u32
first_inside(const struct unit *unit, const struct node *node, const struct directive *row, u32 context)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        bool fits = i == 1 || argument_take(row, i - 1, i - 2) != NULL;
        if (!fits || argument_take(row, i, i - 1) != NULL)
            continue;
        bool inside = row->opens == OPAQUE ? !is_known(unit, word, context) : is_known(unit, word, row->opens);
        bool begins = source_place(unit, word[-1].span.end).line < source_place(unit, word->span.start).line;
        return inside && begins ? i : 0;
    }
    return 0;
}

/* What was said of braces before node in its file, or behind it; NULL: nothing. */
static struct diag *
said(struct unit *unit, const struct node *node, enum diagnostic id, bool behind)
{
    u32 start = node->word[0].span.start;
    struct diag **diag = unit->diags.item;
    for (u32 i = 0; i < unit->diags.count; i++)
        if (diag[i]->id == id && !diag[i]->withdrawn && (diag[i]->span.start > start) == behind &&
            source_at(unit, diag[i]->span.start) == source_at(unit, start))
            return diag[i];
    return NULL;
}

/* The "}" that closes nothing, behind node in its file; NULL: there is none. */
static struct diag *
stray_behind(struct unit *unit, const struct node *node)
{
    return said(unit, node, DIAG_stray_brace, true);
}

/* Cut a list of nodes before the first one behind a position; that one. */
static struct node *
cut(struct node **list, u32 position)
{
    while (*list != NULL && (*list)->word[0].span.start < position)
        list = &(*list)->next;
    struct node *rest = *list;
    *list = NULL;
    return rest;
}

bool
brace_repair(struct unit *unit, struct node *block, struct node *node, const struct directive *row, u32 context)
{
    u32 inside = row->opens != 0 && row->may_open == NULL ? first_inside(unit, node, row, context) : 0;
    struct diag *stray = inside != 0 ? stray_behind(unit, node) : NULL;
    if (stray == NULL)
        return false;
    diag_withdraw(unit, stray);
    diag(unit, needs_block, node->word[0].span, shown(unit, &node->word[0]), row->name);
    diag_note(unit, node->word[inside].span, "a \"{\" is missing before %s", shown(unit, &node->word[inside]));
    struct node *first = arena_take(&unit->arena, sizeof *first);
    *first = *node;
    first->word += inside;
    first->word_count -= inside;
    *node = (struct node){.word = node->word, .word_count = inside, .block = true, .first = first};
    if (block->word == NULL) { /* the file itself: nothing was closed too early but by the stray "}" */
        node->next = cut(&node->first, stray->span.start);
        return true;
    }
    node->next = block->next;
    block->next = cut(&node->next, stray->span.start);
    return true;
}

bool
brace_blame(struct unit *unit, const struct node *node, const struct directive *row, u32 context)
{
    static const u32 of_stream = IN_SERVER | IN_UPSTREAM;
    u32 inner = context == IN_MAIN ? IN_STREAM | of_stream : context == IN_STREAM ? of_stream : 0;
    struct diag *stray = (row->in & inner) != 0 ? stray_behind(unit, node) : NULL;
    if (stray == NULL)
        return false;
    diag_withdraw(unit, stray);
    diag_note(unit, stray->span, "this \"}\" closes nothing");
    diag_help(unit, "is there a \"}\" too many before it?");
    unit->astray = stray->span.start;
    unit->unread = true;
    return true;
}

bool
brace_leave(struct unit *unit, struct node *block, struct node *node)
{
    struct diag *unclosed = said(unit, node, DIAG_unclosed_block, false);
    struct node *copy = arena_take(&unit->arena, sizeof *copy), *last = copy;
    *copy = *node;
    if (unclosed == NULL && !node->block)
        return false; /* a setting for all is not what was meant */
    if (unclosed == NULL) {
        copy->next = block->next;
        block->next = copy;
        return false;
    }
    while (last->next != NULL)
        last = last->next;
    last->next = block->next;
    block->next = copy;
    node->next = NULL;
    diag_withdraw(unit, unclosed);
    return true;
}

bool
brace_is_beyond(struct unit *unit, const struct node *node)
{
    const struct directive *row = node->block ? check_find(unit, node->word[0].text, IN_STREAM) : NULL;
    return row != NULL && (row->in & IN_STREAM) != 0 && row->opens != 0 &&
           said(unit, node, DIAG_unclosed_block, false) != NULL;
}

const struct directive *
brace_other(struct unit *unit, const struct node *node, const struct directive *row, u32 context)
{
    bool beyond = context == IN_UPSTREAM && row->opens == 0 && brace_is_beyond(unit, node);
    const struct word *word = node->word;
    bool peer = context == IN_STREAM && row->opens == IN_SERVER && !node->block && node->word_count > 1 &&
                source_place(unit, word[0].span.start).line == source_place(unit, word[1].span.start).line;
    bool within = peer && (word[0].span.start < unit->astray || stray_behind(unit, node) != NULL);
    return beyond || within ? check_find(unit, node->word[0].text, beyond ? IN_STREAM : IN_UPSTREAM) : NULL;
}
