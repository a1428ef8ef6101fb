/*
 * Nodes against directives.def: does this directive exist, may it stand here, is its ";" where it belongs, does it
 * stand once, are its arguments right. Includes are opened where they stand. What is known and not supported yet
 * is refused here, so that nothing is ever accepted and ignored. Blocks worth compiling are gathered in order.
 */
#include "judge.h"

#include <string.h>
#include <unistd.h>

#define DIRECTIVE(id, word, ...) [DIRECTIVE_##id] = {.name = word, __VA_ARGS__},
const struct directive directives[DIRECTIVE_COUNT] = {
#include "directives.def"
};

#define PARAMETER(owner, id, word, type, ...)                                                                          \
    [PARAMETER_##owner##_##id] = {.of = DIRECTIVE_##owner, .name = word, .kind = type, __VA_ARGS__},
const struct parameter parameters[PARAMETER_COUNT] = {
#include "directives.def"
};

static const struct foreign {
    const char *name, *whose;
} foreigners[] = {
#define FOREIGN(name, whose) {name, whose},
#include "directives.def"
};

/* What does here what they do there. */
static const struct {
    const char *name, *advice;
} instead[] = {
    {"ip_hash", "write: hash $remote_addr consistent;"},
    {"if", "a stream has no conditions: choose a target with a map, and allow or deny clients by address"},
    {"location", "a stream has no paths: choose by port, or by name with ssl_preread and a map"},
    {"proxy_set_header", "a stream has no headers: \"proxy_protocol on;\" tells the client's address"},
    {"real_ip_header", "take it out: the address in the PROXY header is the one that is taken"},
    {"real_ip_recursive", "take it out: a PROXY header has one address"},
    {"proxy_read_timeout", "write: proxy_timeout TIME;"},
    {"proxy_send_timeout", "write: proxy_timeout TIME;"},
    {"keepalive_timeout", "write: proxy_timeout TIME;"},
};

/* ---- finding ---- */

void
check_open(struct unit *unit)
{
    for (u32 i = DIRECTIVE_COUNT; i-- > 0;) /* backwards: the first row of a name stays */
        *map_at(&unit->arena, &unit->words, directives[i].name, strlen(directives[i].name)) = i + 1;
}

const struct directive *
check_find(const struct unit *unit, const char *name, u32 context)
{
    u32 first = map_find(&unit->words, name, strlen(name));
    if (first == 0)
        return NULL;
    for (const struct directive *row = &directives[first - 1]; row < directives + DIRECTIVE_COUNT; row++)
        if ((row->in & context) != 0 && strcmp(row->name, name) == 0)
            return row;
    return &directives[first - 1];
}

static bool
is_here(const struct unit *unit, const struct word *word, u32 context)
{
    const struct directive *row = check_find(unit, word->text, context);
    return row != NULL && (row->in & context) != 0;
}

/* ---- unknown and misplaced ---- */

static const char *
shown(struct unit *unit, const struct word *word)
{
    return show(unit, word->text, word->size);
}

/* A directive that we do not know may declare the variables that it names: do not call them unknown. */
static void
declare_words(struct unit *unit, const struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++) {
        if (node->word[i].text[0] != '$')
            continue;
        const char *name = lower_case(unit, node->word[i].text + 1);
        *map_at(&unit->arena, &unit->variables, name, strlen(name)) = 1;
    }
}

static bool
is_plain(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* What nobody sees in the text of a directive, and is in it; NULL: nothing. */
static const char *
unseen_in(const char *text)
{
    static const struct {
        const char *text, *name;
    } unseen[] = {
        {"\xc2\xa0", "U+00A0, a no-break space"},
        {"\xe2\x80\x8b", "U+200B, a space without width"},
        {"\xef\xbb\xbf", "U+FEFF, a byte order mark"},
        {"\xef\xbc\x9b", "U+FF1B, which is no \";\""},
    };
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        if (strstr(text, unseen[i].text) != NULL)
            return unseen[i].name;
    return NULL;
}

static bool
is_comment(const char *text)
{
    return strncmp(text, "//", 2) == 0 || strncmp(text, "/*", 2) == 0 || strncmp(text, "<!--", 4) == 0;
}

static void
say_unknown(struct unit *unit, const struct node *node, u32 context)
{
    const struct word *word = &node->word[0];
    declare_words(unit, node);
    if (node->block && node->word_count > 1) {
        const char *name = lower_case(unit, node->word[1].text);
        *map_at(&unit->arena, &unit->maybe, name, strlen(name)) = 1;
    }
    for (const struct foreign *row = foreigners; row < foreigners + sizeof foreigners / sizeof *foreigners; row++)
        if (strcmp(row->name, word->text) == 0) {
            diag(unit, foreign_directive, word->span, shown(unit, word), row->whose);
            for (size_t i = 0; i < sizeof instead / sizeof *instead; i++)
                if (strcmp(instead[i].name, row->name) == 0)
                    diag_help(unit, "%s", instead[i].advice);
            return;
        }
    diag(unit, unknown_directive, word->span, shown(unit, word));
    struct nearest nearest = {.word = word->text};
    for (u32 i = 0; i < DIRECTIVE_COUNT; i++)
        if ((directives[i].in & context) != 0)
            nearest_try(&nearest, directives[i].name);
    for (u32 i = 0; i < DIRECTIVE_COUNT && nearest.best == NULL; i++)
        nearest_try(&nearest, directives[i].name);
    const char *unseen = unseen_in(word->text);
    if (nearest.best == NULL && !is_plain(word->text) && node->unterminated != NULL)
        diag_withdraw(unit, node->unterminated); /* it is no statement at all */
    if (unseen != NULL)
        diag_help(unit, "it has %s, in it: type it anew", unseen);
    else if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
    else if (is_comment(word->text))
        diag_help(unit, "a comment begins with \"#\"");
    else if (!is_plain(word->text))
        diag_help(unit, "if it stands for something that was left out, put that here; else take it out");
}

static const struct {
    u32 context, outer;
    const char *where;
} contexts[] = {
    {IN_MAIN, 0, "outside of every block"},        {IN_EVENTS, IN_MAIN, "in events {}"},
    {IN_STREAM, IN_MAIN, "directly in stream {}"}, {IN_SERVER, IN_STREAM, "in server {}"},
    {IN_UPSTREAM, IN_STREAM, "in upstream {}"},
};

/* The places of a set of contexts, and by the way the context around one of them. */
static const char *
places(struct unit *unit, u32 set, u32 *outer)
{
    const char *text = "";
    *outer = 0;
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        if ((set & contexts[i].context) == 0)
            continue;
        text = arena_print(&unit->arena, "%s%s%s", text, *text != '\0' ? " or " : "", contexts[i].where);
        *outer = contexts[i].outer;
    }
    return text;
}

static void
say_misplaced(struct unit *unit, struct node *block, struct node *node, const struct directive *row, u32 context)
{
    if (node->word[0].span.start < unit->astray)
        return;
    u32 outer, ignored;
    const char *here = places(unit, context, &outer), *there = places(unit, row->in, &ignored);
    diag(unit, misplaced, node->word[0].span, shown(unit, &node->word[0]), here);
    if (brace_blame(unit, node, row, context))
        return;
    if ((row->in & outer) != 0 && outer != IN_MAIN) {
        bool missing = brace_leave(unit, block, node);
        diag_help(unit, missing ? "it belongs %s: is a \"}\" missing before it?" : "it belongs %s", there);
    } else if (context == IN_MAIN && (row->in & IN_STREAM) != 0) {
        diag_help(unit, "put it in stream { ... }");
    } else {
        diag_help(unit, "it belongs %s", there);
    }
}

/* ---- a ";" missing at the end of a line ---- */

static bool
begins_line(const struct unit *unit, const struct word *word, const struct word *before)
{
    return source_place(unit, before->span.end).line < source_place(unit, word->span.start).line;
}

/* Is the block of node one that its row takes? */
static bool
takes_block(const struct directive *row, const struct node *node)
{
    return row->opens != 0 &&
           (row->may_open == NULL || strcmp(node->word[node->word_count - 1].text, row->may_open) == 0);
}

/* Is the argument at index, which is a directive too, likely to be one here? Not if it and all behind it fit. */
static bool
is_suspect(const struct directive *row, const struct node *node, u32 index)
{
    if (row == NULL || (node->block && !takes_block(row, node)))
        return true;
    const struct take *take = argument_take(row, node->word_count - 1, index - 1);
    if (take != NULL && take->kind != TAKE_OPTION && take->kind != TAKE_WORD && take->kind != TAKE_LEVEL)
        return false;
    while (index < node->word_count && argument_fits(row, node, index))
        index++;
    return index < node->word_count;
}

/* If a later line of the statement begins with a directive, a ";" is missing before it, and so it is in one line where
 * an argument too many is a directive: cut it there in two. */
static void
split(struct unit *unit, struct node *node, const struct directive *row, u32 context)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i], *before = word - 1;
        bool odd = node->block && (row == NULL || !takes_block(row, node));
        bool may = odd ? check_find(unit, word->text, context) != NULL : is_here(unit, word, context);
        bool apart = begins_line(unit, word, before) || (i > 1 && row != NULL && row->opens == 0);
        if (word->quoted || !may || !apart || !is_suspect(row, node, i))
            continue;
        if (row != NULL || (i > 1 && is_plain(node->word[0].text))) {
            diag(unit, no_semicolon, ((struct span){before->span.end, before->span.end + 1}), shown(unit, before));
            diag_note(unit, word->span, "%s begins here", shown(unit, word));
        }
        struct node *rest = arena_take(&unit->arena, sizeof *rest);
        *rest = *node;
        rest->word += i;
        rest->word_count -= i;
        node->word_count = i;
        node->block = false;
        node->first = NULL;
        node->next = rest;
        return;
    }
}

/* ---- one node ---- */

static void check_block(struct unit *unit, struct node *block, u32 context, struct scope *scope);
static void expand_entries(struct unit *unit, struct node *block);

/* http {} and mail {} are passed over, but a stream {} in one of them was meant to be served. */
static void
check_skipped(struct unit *unit, struct node *node)
{
    for (struct node *inside = node->first; inside != NULL; inside = inside->next)
        if (strcmp(inside->word[0].text, "stream") == 0 && inside->block) {
            diag(unit, misplaced, inside->word[0].span, "\"stream\"",
                 arena_print(&unit->arena, "in %s {}", node->row->name));
            diag_help(unit, "move it out, beside %s {}", node->row->name);
        }
}

/* An entry of a map {} or its like that is a server {} is none. */
static void
leave_entries(struct unit *unit, struct node *block)
{
    for (struct node **at = &block->first; *at != NULL; at = &(*at)->next) {
        struct node *entry = *at;
        if (!brace_is_beyond(unit, entry))
            continue;
        diag(unit, misplaced, entry->word[0].span, shown(unit, &entry->word[0]),
             arena_print(&unit->arena, "in %s {}", block->row->name));
        diag_help(unit, "is a \"}\" missing before it?");
        brace_leave(unit, block, entry);
        *at = NULL;
        return;
    }
}

static void
check_inside(struct unit *unit, struct node *node)
{
    struct scope *scope = node->row->opens == IN_STREAM ? &unit->stream : &unit->here;
    switch (node->row->opens) {
    case OPAQUE:
        if (node->row->support == SUPPORT_NOTED)
            check_skipped(unit, node);
        else
            leave_entries(unit, node);
        if (node->row->includes)
            expand_entries(unit, node);
        return;
    case IN_EVENTS:
        check_block(unit, node, IN_EVENTS, &unit->main);
        return;
    default:
        memset(scope, 0, sizeof *scope);
        scope->outer = scope == &unit->here ? &unit->stream : &unit->main;
        check_block(unit, node, node->row->opens, scope);
    }
    if (node->row->compile != NULL)
        *(struct node **)vector_add(&unit->arena, &unit->work, sizeof node) = node;
}

static void
check_support(struct unit *unit, struct node *node)
{
    const struct directive *row = node->row;
    if (row->support == SUPPORT_LATER) {
        later_say(unit, node->word[0].span, shown(unit, &node->word[0]), row->name);
        node->broken |= !unit->tolerant;
    } else if (row->support == SUPPORT_NOTED && !unit->noted[row - directives]) {
        unit->noted[row - directives] = true; /* once is enough */
        diag(unit, no_effect, node->word[0].span, shown(unit, &node->word[0]), row->says);
    }
}

static bool
check_shape(struct unit *unit, struct node *node)
{
    const struct directive *row = node->row;
    if (row->opens != 0 && !node->block && row->may_open == NULL)
        diag(unit, needs_block, node->word[0].span, shown(unit, &node->word[0]), row->name);
    else if (row->opens == 0 && node->block)
        diag(unit, takes_no_block, node->open, shown(unit, &node->word[0]));
    else
        return true;
    return false;
}

static void
check_node(struct unit *unit, struct node *block, struct node *node, u32 context, struct scope *scope)
{
    const struct directive *row = check_find(unit, node->word[0].text, context);
    bool here = row != NULL && (row->in & context) != 0;
    const struct directive *other = here ? brace_other(unit, node, row, context) : NULL;
    if (other != NULL) {
        row = other;
        here = false;
    }
    bool repaired = here && brace_repair(unit, block, node, row, context);
    node->broken = true;
    if (!repaired)
        split(unit, node, here ? row : NULL, context);
    if (row == NULL)
        say_unknown(unit, node, context);
    else if (!here)
        say_misplaced(unit, block, node, row, context);
    if (!here)
        return;
    node->row = row;
    struct node *earlier = scope_add(scope, node);
    bool good = check_shape(unit, node);
    if (earlier != NULL && !row->repeats) {
        diag(unit, duplicate, node->word[0].span, shown(unit, &node->word[0]));
        diag_note(unit, earlier->word[0].span, "it stands here first");
        good = false;
    }
    node->broken = !(argument_check(unit, node) && good);
    check_support(unit, node);
    if (node->block && row->opens != 0)
        check_inside(unit, node);
}

/* ---- blocks and includes ---- */

/* A folder for what may be dropped in is often empty; one that is not there, and from where servers are to come, is
 * more likely misspelt. */
static void
say_empty(struct unit *unit, const struct word *word, u32 context)
{
    const char *slash = strrchr(word->text, '/');
    bool here = word->text[0] != '/' && slash != NULL && (context & (IN_STREAM | IN_SERVER | IN_UPSTREAM)) != 0;
    const char *folder = here ? arena_text(&unit->arena, word->text, (size_t)(slash - word->text)) : "";
    bool missing = here && strpbrk(folder, "*?[") == NULL &&
                   access(arena_print(&unit->arena, "%s%s", unit->prefix, folder), F_OK) != 0;
    unit->partial = true;
    if (missing)
        diag(unit, include_nowhere, word->span, show(unit, folder, strlen(folder)));
    else
        diag(unit, include_nothing, word->span, shown(unit, word));
}

/* Put the nodes of what an include names in its place. */
static void
expand(struct unit *unit, struct node **at, u32 context)
{
    struct node *include = *at, **end = at;
    struct vector found = {0};
    source_include(unit, &include->word[1], &found);
    if (found.count == 0 && strpbrk(include->word[1].text, "*?[") != NULL)
        say_empty(unit, &include->word[1], context);
    else if (found.count == 0 && context != OPAQUE)
        unit->broken = unit->unread = true; /* it was reported why */
    struct source **source = found.item;
    for (u32 i = 0; i < found.count; i++) {
        *end = parse_file(unit, source[i]);
        while (*end != NULL)
            end = &(*end)->next;
    }
    *end = include->next;
}

/* map {} and its like have entries of their own, and include among them. */
static void
expand_entries(struct unit *unit, struct node *block)
{
    for (struct node **at = &block->first; *at != NULL;)
        if (strcmp((*at)->word[0].text, "include") == 0 && (*at)->word_count == 2 && !(*at)->block)
            expand(unit, at, OPAQUE);
        else
            at = &(*at)->next;
}

static void
check_block(struct unit *unit, struct node *block, u32 context, struct scope *scope)
{
    for (struct node **at = &block->first; *at != NULL;) {
        check_node(unit, block, *at, context, scope);
        if ((*at)->row == &directives[DIRECTIVE_include] && !(*at)->broken)
            expand(unit, at, context);
        else
            at = &(*at)->next;
    }
}

/* ---- the file ---- */

void
check(struct unit *unit, struct node *root, const struct source *source)
{
    unit->stream.outer = &unit->main;
    if (fragment_open(unit, root, source) == IN_STREAM)
        check_block(unit, root, IN_STREAM, &unit->stream);
    else
        check_block(unit, root, IN_MAIN, &unit->main);
}
