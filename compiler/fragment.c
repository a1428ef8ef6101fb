/*
 * Files that are not whole: what repositories keep as conf.d/x.conf. Which block a file is the inside of is said by
 * --context, by a comment in its first lines ("# spcc: context=server"), or by its own statements. An inside of
 * server {} or upstream {} is put into one, so that nobody else need know.
 */
#include "spcc.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum context context; /* 0: by its statements */
} contexts[] = {
    {"main", IN_MAIN}, {"stream", IN_STREAM}, {"server", IN_SERVER}, {"upstream", IN_UPSTREAM}, {"auto", 0},
};

enum { CONTEXTS = sizeof contexts / sizeof *contexts, CANDIDATES = CONTEXTS - 1 };

bool
fragment_context(const char *name, enum context *context)
{
    for (size_t i = 0; i < CONTEXTS; i++)
        if (strcasecmp(contexts[i].name, name) == 0) {
            *context = contexts[i].context;
            return true;
        }
    return false;
}

/* ---- a comment that says it ---- */

static void
read_pragma(struct unit *unit, const struct source *source, const char *text, enum context *context)
{
    size_t size = strcspn(text, " \t\r\n");
    u32 at = source->base + (u32)(text - source->text);
    const char *name = arena_text(&unit->arena, text, size);
    if (fragment_context(name, context))
        return;
    struct nearest nearest = {.word = name};
    for (size_t i = 0; i < CONTEXTS; i++)
        nearest_try(&nearest, contexts[i].name);
    diag(unit, bad_word, ((struct span){at, at + (u32)size}), show(unit, name, size),
         "main, stream, server, upstream and auto");
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

/* Look for it in the comments that the file begins with. */
static enum context
find_pragma(struct unit *unit, const struct source *source)
{
    static const char prefix[] = "spcc: context=";
    enum context context = 0;
    for (u32 line = 0; line < source->line_count; line++) {
        const char *text = source->text + source->line[line];
        text += line == 0 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        text += strspn(text, " \t\r");
        if (*text == '\n')
            continue;
        if (*text != '#')
            break;
        text += 1 + strspn(text + 1, " \t");
        if (strncmp(text, prefix, strlen(prefix)) == 0)
            read_pragma(unit, source, text + strlen(prefix), &context);
    }
    return context;
}

/* ---- its own statements ---- */

/* Could node stand there, as the block or the statement that it is? */
static bool
fits(const struct unit *unit, const struct node *node, enum context context)
{
    const struct directive *row = check_find(unit, node->word[0].text, context);
    if (row == NULL || (row->in & context) == 0)
        return false;
    return (row->opens != 0) == node->block || (row->may_open != NULL && !node->block);
}

/* Where most of its statements may stand; of several, the outermost. */
static enum context
guess(const struct unit *unit, const struct node *root)
{
    u32 best = 0, count[CANDIDATES] = {0};
    for (const struct node *node = root->first; node != NULL; node = node->next)
        for (u32 i = 0; i < CANDIDATES; i++)
            count[i] += fits(unit, node, contexts[i].context);
    for (u32 i = 0; i < CANDIDATES; i++)
        if (count[i] > count[best])
            best = i;
    for (const struct node *node = root->first; node != NULL; node = node->next) {
        const struct directive *row = check_find(unit, node->word[0].text, IN_MAIN);
        if (row != NULL && node->block && (row->in & IN_MAIN) != 0)
            return IN_MAIN; /* stream {}, events {} or http {}: that settles it */
    }
    return contexts[best].context;
}

/* ---- into its block ---- */

/* Put all of root into a block of that row, which stands nowhere. */
static void
wrap(struct unit *unit, struct node *root, enum directive_id id, struct span span)
{
    struct node *block = arena_take(&unit->arena, sizeof *block);
    block->word = arena_take(&unit->arena, 2 * sizeof *block->word);
    block->word[0] = (struct word){.text = directives[id].name, .size = (u32)strlen(directives[id].name), .span = span};
    block->word[1] = (struct word){.text = "fragment", .size = 8, .span = span};
    block->word_count = id == DIRECTIVE_upstream ? 2 : 1;
    block->block = true;
    block->open = span;
    block->close = span;
    block->first = root->first;
    root->first = block;
}

enum context
fragment_open(struct unit *unit, struct node *root, const struct source *source)
{
    static const char *const names[] = {[IN_STREAM] = "stream", [IN_SERVER] = "server", [IN_UPSTREAM] = "upstream"};
    enum context said = find_pragma(unit, source), context = unit->context != 0 ? unit->context : said;
    bool guessed = context == 0;
    if (root->first == NULL)
        return IN_MAIN;
    if (guessed)
        context = guess(unit, root);
    if (context == IN_MAIN)
        return IN_MAIN;
    struct span span = root->first->word[0].span;
    unit->fragment = unit->partial = true;
    if (guessed)
        diag(unit, fragment, span, names[context]);
    if (context == IN_STREAM)
        return IN_STREAM;
    if (!unit->checking)
        diag(unit, fragment_compiled, span, names[context]);
    unit->wrapped = context;
    wrap(unit, root, context == IN_SERVER ? DIRECTIVE_server : DIRECTIVE_upstream,
         (struct span){source->base, source->base + 1});
    return IN_STREAM;
}
