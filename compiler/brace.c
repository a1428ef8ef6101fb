/*
 * Braces that were forgotten or are too many. A block whose "{" was forgotten: its first statement became its
 * arguments, its "}" closed the block around it, and some "}" behind that closes nothing. One of these alone says
 * little; together they say where the "{" belongs. In goes the node and the block that it stands in, out come both as
 * they were meant, and one message instead of many. A block that a "}" too many closed early leaves the same "}"
 * behind: the first statement that is out of place is told, and nothing of those up to there.
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

/* The "}" that closes nothing, behind node in its file; NULL: there is none. */
static struct diag *
stray_behind(struct unit *unit, const struct node *node)
{
    u32 start = node->word[0].span.start;
    struct diag **diag = unit->diags.item;
    for (u32 i = 0; i < unit->diags.count; i++)
        if (diag[i]->id == DIAG_stray_brace && !diag[i]->withdrawn && diag[i]->span.start > start &&
            source_at(unit, diag[i]->span.start) == source_at(unit, start))
            return diag[i];
    return NULL;
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
