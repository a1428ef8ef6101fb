/*
 * The canonical layout. A file that parses comes in; the same words, punctuation and comments go out, one statement
 * a line, each indented by the blocks around it. No directive is known here, so any file of nginx's language will do.
 *
 * Words are copied as they stand, quotes and all, and so is the Lua of *_by_lua_block. What the author keeps: where
 * there is a blank line, where the arguments of one statement go on in the next line, and whether a comment stands
 * behind something or on its own. Comments between the last word and its ";" or "{" move behind that.
 *
 *     source ─lexer─► pieces ─lay()─► text ─lexer─► pieces, which must be the same ones
 */
#include "spcc.h"
#include "grammar/parser.h"

#include <string.h>

enum { INDENT = 4 };

enum piece_kind { PIECE_WORD, PIECE_SEMICOLON, PIECE_OPEN, PIECE_CLOSE, PIECE_LUA, PIECE_COMMENT };

struct piece {
    enum piece_kind kind;
    bool sticks;    /* to the piece before it: there is nothing between */
    u32 start, end; /* offsets in the source's text */
    u32 breaks;     /* line breaks before it, since the piece that stands before it in the source */
};

struct layout {
    struct unit *unit;
    const struct source *source;
    struct vector pieces;
    u32 at;         /* the end of the last piece */
    u32 depth;      /* blocks open */
    bool statement; /* the last word's statement goes on */
    u32 line;       /* of the source: where the last piece was */
    char *text;     /* the result */
    size_t size, capacity;
    struct vector from; /* u32 for each line of the result: the line of the source it was made from */
};

/* ---- source -> pieces ---- */

/* The white space of lexer.l, but for line breaks. */
static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *
text_of(const struct layout *layout, const struct piece *piece)
{
    return layout->source->text + piece->start;
}

static void
add_piece(struct layout *layout, enum piece_kind kind, u32 start, u32 end)
{
    const char *text = layout->source->text;
    struct piece *piece = vector_add(&layout->unit->arena, &layout->pieces, sizeof *piece);
    *piece = (struct piece){.kind = kind, .sticks = start == layout->at, .start = start, .end = end};
    for (u32 i = layout->at; i < start; i++)
        piece->breaks += text[i] == '\n';
    layout->at = end;
    while (kind == PIECE_COMMENT && is_space(text[piece->end - 1]))
        piece->end--;
}

/* A ";" or "{" belongs to the word before it, whatever comments stand between: let it change places with them. */
static void
settle_piece(struct layout *layout)
{
    struct piece *first = layout->pieces.item, *piece = first + layout->pieces.count - 1, moved = *piece;
    if (moved.kind == PIECE_WORD || moved.kind == PIECE_CLOSE)
        return;
    for (; piece > first && piece[-1].kind == PIECE_COMMENT; piece--)
        *piece = piece[-1];
    *piece = moved;
}

/* Add the comments between the last piece and end. The offset of the first byte that is neither comment nor space. */
static u32
add_comments(struct layout *layout, u32 end)
{
    const char *text = layout->source->text;
    u32 at = layout->at;
    while (at < end && (is_space(text[at]) || text[at] == '\n' || text[at] == '#')) {
        const char *newline = text[at] == '#' ? memchr(text + at, '\n', end - at) : text + at + 1;
        u32 next = newline == NULL ? end : (u32)(newline - text);
        if (text[at] == '#')
            add_piece(layout, PIECE_COMMENT, at, next);
        at = next;
    }
    return at;
}

static void
add_token(struct layout *layout, int token, struct span span)
{
    u32 base = layout->source->base, start = add_comments(layout, span.start - base), end = span.end - base;
    switch (token) {
    case WORD:
        add_piece(layout, PIECE_WORD, start, end);
        break;
    case SEMICOLON: /* to the lexer, the end of a Lua block is one */
        add_piece(layout, layout->source->text[end - 1] == ';' ? PIECE_SEMICOLON : PIECE_LUA, start, end);
        settle_piece(layout);
        break;
    case OPEN:
        add_piece(layout, PIECE_OPEN, start, end);
        settle_piece(layout);
        break;
    default:
        add_piece(layout, PIECE_CLOSE, start, end);
    }
}

struct gathering {
    struct parse parse;
    struct layout *layout;
};

static int
gather(struct parse *parse, void *scanner)
{
    struct layout *layout = ((struct gathering *)(void *)parse)->layout;
    PARSER_STYPE value;
    for (int token; (token = parser_lex(&value, scanner)) != END;)
        add_token(layout, token, token == WORD ? value.word.span : value.span);
    add_comments(layout, layout->source->size);
    return 0;
}

static struct layout
open_layout(struct unit *unit, const struct source *source)
{
    struct layout layout = {.unit = unit, .source = source};
    layout.at = strncmp(source->text, BYTE_ORDER_MARK, 3) == 0 ? 3 : 0;
    struct gathering gathering = {.parse = {.unit = unit, .source = source}, .layout = &layout};
    parse_words(&gathering.parse, gather);
    return layout;
}

/* ---- pieces -> text ---- */

static void
put(struct layout *layout, const char *text, size_t size)
{
    if (layout->size + size > layout->capacity) {
        layout->capacity = 2 * (layout->size + size) + layout->source->size;
        char *larger = arena_take(&layout->unit->arena, layout->capacity);
        layout->text = layout->size > 0 ? memcpy(larger, layout->text, layout->size) : larger;
    }
    memcpy(layout->text + layout->size, text, size);
    layout->size += size;
}

static void
note_line(struct layout *layout, u32 line)
{
    *(u32 *)vector_add(&layout->unit->arena, &layout->from, sizeof line) = line;
}

/* Go on to the line of the source that piece begins in. */
static void
advance(struct layout *layout, const struct piece *piece)
{
    const struct source *source = layout->source;
    while (layout->line + 1 < source->line_count && source->line[layout->line + 1] <= piece->start)
        layout->line++;
}

/* Begin the line of piece, indented by depth; with a blank line before it, if it may have one and has one. */
static void
begin_line(struct layout *layout, const struct piece *piece, u32 depth, bool may_be_apart)
{
    advance(layout, piece);
    if (layout->size > 0)
        put(layout, "\n", 1);
    if (may_be_apart && piece->breaks > 1) {
        put(layout, "\n", 1);
        note_line(layout, layout->line - 1);
    }
    note_line(layout, layout->line);
    for (u32 i = 0; i < depth * INDENT; i++)
        put(layout, " ", 1);
}

/* Copy a piece as it stands; it may have lines of its own. */
static void
copy(struct layout *layout, const struct piece *piece)
{
    advance(layout, piece);
    u32 line = layout->line;
    const char *text = text_of(layout, piece);
    put(layout, text, piece->end - piece->start);
    for (u32 i = 0; i < piece->end - piece->start; i++)
        if (text[i] == '\n')
            note_line(layout, ++line);
}

static void
lay_word(struct layout *layout, const struct piece *piece, const struct piece *before)
{
    if (!layout->statement)
        begin_line(layout, piece, layout->depth, before != NULL && before->kind != PIECE_OPEN);
    else if (piece->breaks > 0 || before->kind == PIECE_COMMENT)
        begin_line(layout, piece, layout->depth + 1, false);
    else if (!piece->sticks)
        put(layout, " ", 1);
    layout->statement = true;
    copy(layout, piece);
}

static void
lay_comment(struct layout *layout, const struct piece *piece, const struct piece *before)
{
    if (before == NULL || before->kind == PIECE_COMMENT || piece->breaks > 0)
        begin_line(layout, piece, layout->depth + layout->statement,
                   before != NULL && before->kind != PIECE_OPEN && !layout->statement);
    else
        put(layout, " ", 1);
    copy(layout, piece);
}

static void
lay_close(struct layout *layout, const struct piece *piece, const struct piece *before)
{
    layout->depth--;
    if (before->kind != PIECE_OPEN)
        begin_line(layout, piece, layout->depth, false);
    put(layout, "}", 1);
}

static void
lay_piece(struct layout *layout, const struct piece *piece, const struct piece *before)
{
    switch (piece->kind) {
    case PIECE_WORD:
        lay_word(layout, piece, before);
        return;
    case PIECE_COMMENT:
        lay_comment(layout, piece, before);
        return;
    case PIECE_CLOSE:
        lay_close(layout, piece, before);
        return;
    case PIECE_SEMICOLON:
        put(layout, ";", 1);
        break;
    case PIECE_OPEN:
        put(layout, " {", 2);
        layout->depth++;
        break;
    case PIECE_LUA:
        put(layout, " ", 1);
        copy(layout, piece);
        break;
    }
    layout->statement = false;
}

static void
lay(struct layout *layout)
{
    const struct piece *piece = layout->pieces.item;
    for (u32 i = 0; i < layout->pieces.count && layout->size <= SOURCE_SIZE_MAX; i++)
        lay_piece(layout, &piece[i], i > 0 ? &piece[i - 1] : NULL);
    if (layout->size > 0)
        put(layout, "\n", 1);
    if (layout->size < 3 || memcmp(layout->text, BYTE_ORDER_MARK, 3) != 0)
        return;
    put(layout, BYTE_ORDER_MARK, 3); /* a first word that begins with one would lose it: nobody reads two */
    memmove(layout->text + 3, layout->text, layout->size - 3);
    memcpy(layout->text, BYTE_ORDER_MARK, 3);
}

/* ---- the promise ---- */

static bool
is_same(const struct layout *one, const struct layout *other)
{
    const struct piece *a = one->pieces.item, *b = other->pieces.item;
    if (one->pieces.count != other->pieces.count)
        return false;
    for (u32 i = 0; i < one->pieces.count; i++, a++, b++)
        if (a->kind != b->kind || a->end - a->start != b->end - b->start ||
            memcmp(text_of(one, a), text_of(other, b), a->end - a->start) != 0)
            return false;
    return true;
}

bool
format(struct unit *unit, const struct source *source, struct formatted *formatted)
{
    parse_file(unit, source);
    if (diag_failed(unit))
        return false;
    struct layout layout = open_layout(unit, source);
    lay(&layout);
    put(&layout, "", 1); /* a NUL, as a source has it */
    *formatted = (struct formatted){
        .text = layout.text, .size = (u32)layout.size - 1, .from = layout.from.item, .line_count = layout.from.count};
    if (layout.size + unit->position > SOURCE_SIZE_MAX) {
        diag(unit, too_much, ((struct span){source->base, source->base}), "its indentation", "1 GiB");
        return false;
    }
    struct layout again = open_layout(unit, source_of_text(unit, source->name, layout.text, formatted->size));
    formatted->faithful = is_same(&layout, &again);
    return true;
}
