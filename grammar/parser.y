/*
 * Words to nodes. No directive is known here, only ";", "{" and "}".
 *
 * What people forget is a production, not an error token, so that one mistake gives one message: a statement
 * without its ";" before "}" or at the end, a ";" or a "}" too many, a "{" without a name, and a block without its
 * "}", because END, which the lexer gives as often as it is asked, closes a block too. Nothing is a syntax error.
 */
%code top {
#include "spcc.h"
}

%code requires {
/* What lexer.l and parser.y share for one file. */
struct parse {
    struct unit *unit;
    const struct source *source;
    u32 at;             /* offset behind what was read */
    u32 start;          /* position of the statement that was begun last; 0: a block has ended since */
    u32 depth;          /* blocks open */
    bool statement;     /* within a statement: the next word is an argument */
    bool lua;           /* this statement is some *_by_lua_block */
    bool glue;          /* the next word sticks to the quoted one before it */
    bool swallowed;     /* a "}" became part of a word, and a block will seem to have none */
    bool over;          /* too broken to go on */
    struct node *first; /* the result */
    struct node *crooked;      /* the first block whose closing brace is indented otherwise than its opening */
    struct span crooked_brace;
};

/* Open a scanner over the file's text, hand it to run, close it; what run returned. */
int parse_words(struct parse *parse, int (*run)(struct parse *, void *));

struct word_list {
    struct word *item;
    u32 count, capacity;
};

struct node_list {
    struct node *first, *last;
};
}

%code provides {
/* The next token; END as often as it is asked behind the last one. */
int parser_lex(PARSER_STYPE *value, void *scanner);
}

%code {
#include <string.h>

static void parser_error(struct parse *parse, void *scanner, const char *message);
static struct word_list add_word(struct parse *parse, struct word_list list, struct word word);
static struct node *make_node(struct parse *parse, struct word_list words);
static struct node *make_block(struct parse *parse, struct word_list words, struct span open, struct node_list inside,
                               struct span close);
static struct node_list add_node(struct node_list list, struct node *node);
static void miss_semicolon(struct parse *parse, struct node *node);
static void miss_name(struct parse *parse, struct span span);
}

%define api.pure full
%define api.prefix {parser_}
%define parse.error simple
%parse-param {struct parse *parse} {void *scanner}
%lex-param {void *scanner}
%expect 0

%union {
    struct word word;
    struct span span;
    struct word_list words;
    struct node_list nodes;
    struct node *node;
}

%token <word> WORD
%token <span> SEMICOLON OPEN CLOSE END
%type <words> words
%type <nodes> list items top
%type <node> item last
%type <span> close

%%

file  : top END                     { parse->first = $1.first; YYACCEPT; }
      ;
top   : list
      | top CLOSE list              {
            diag(parse->unit, stray_brace, $2);
            parse->unit->broken = true;
            $$ = $1.first == NULL ? $3 : $1;
            if ($1.first != NULL && $3.first != NULL) {
                $$.last->next = $3.first;
                $$.last = $3.last;
            }
        }
      ;
list  : items last                  { $$ = add_node($1, $2); }
      ;
items : %empty                      { $$ = (struct node_list){0}; }
      | items item                  { $$ = add_node($1, $2); }
      ;
last  : %empty                      { $$ = NULL; }
      | words                       { $$ = parse->over ? NULL : make_node(parse, $1); miss_semicolon(parse, $$); }
      ;
item  : words SEMICOLON             { $$ = make_node(parse, $1); }
      | words OPEN list close       { $$ = make_block(parse, $1, $2, $3, $4); }
      | SEMICOLON                   { $$ = NULL; diag(parse->unit, stray_semicolon, $1); }
      | OPEN list close             { $$ = NULL; miss_name(parse, $1); }
      ;
close : CLOSE
      | END                         { $$ = (struct span){0}; }
      ;
words : WORD                        { $$ = add_word(parse, (struct word_list){0}, $1); }
      | words WORD                  { $$ = $2.glued ? $1 : add_word(parse, $1, $2); }
      ;

%%

static void
parser_error(struct parse *parse, void *scanner, const char *message)
{
    (void)scanner;
    (void)message; /* only "memory exhausted": deeper than BLOCK_DEPTH_MAX allows, so it cannot be */
    parse->unit->broken = true;
}

static struct word_list
add_word(struct parse *parse, struct word_list list, struct word word)
{
    struct vector vector = {list.item, list.count, list.capacity};
    *(struct word *)vector_add(&parse->unit->arena, &vector, sizeof word) = word;
    return (struct word_list){vector.item, vector.count, vector.capacity};
}

static struct node *
make_node(struct parse *parse, struct word_list words)
{
    struct node *node = arena_take(&parse->unit->arena, sizeof *node);
    node->word = words.item;
    node->word_count = words.count;
    return node;
}

static struct node_list
add_node(struct node_list list, struct node *node)
{
    if (node == NULL)
        return list;
    if (list.first == NULL)
        return (struct node_list){node, node};
    list.last->next = node;
    return (struct node_list){list.first, node};
}

/* The width of the white space that begins the line of a position; UINT32_MAX when text stands before it. */
static u32
indent_of(const struct parse *parse, u32 position, bool alone)
{
    const struct source *source = parse->source;
    u32 at = position - source->base, start = at;
    while (start > 0 && source->text[start - 1] != '\n')
        start--;
    u32 indent = 0;
    while (source->text[start + indent] == ' ' || source->text[start + indent] == '\t')
        indent++;
    return alone && start + indent != at ? UINT32_MAX : indent;
}

/* Report a block without its end, and the "}" that probably ended it by mistake. */
static void
miss_close(struct parse *parse, const struct node *node)
{
    struct unit *unit = parse->unit;
    unit->broken = true;
    if (parse->over || parse->swallowed) {
        parse->swallowed = false;
        return; /* that was the reason, and it is known */
    }
    const struct word *word = &node->word[0];
    diag(unit, unclosed_block, word->span, show(unit, word->text, word->size));
    if (parse->crooked != NULL)
        diag_note(unit, parse->crooked_brace, "this \"}\" closes %s of line %u, and is indented otherwise",
                  show(unit, parse->crooked->word[0].text, parse->crooked->word[0].size),
                  source_place(unit, parse->crooked->word[0].span.start).line);
}

static struct node *
make_block(struct parse *parse, struct word_list words, struct span open, struct node_list inside, struct span close)
{
    struct node *node = make_node(parse, words);
    node->block = true;
    node->open = open;
    node->close = close;
    node->first = inside.first;
    if (close.start == 0) {
        miss_close(parse, node);
    } else if (parse->crooked == NULL) {
        u32 indent = indent_of(parse, close.start, true);
        if (indent != UINT32_MAX && indent != indent_of(parse, node->word[0].span.start, false)) {
            parse->crooked = node;
            parse->crooked_brace = close;
        }
    }
    return node;
}

static void
miss_semicolon(struct parse *parse, struct node *node)
{
    struct unit *unit = parse->unit;
    if (node == NULL)
        return;
    const struct word *word = &node->word[node->word_count - 1];
    diag(unit, no_semicolon, ((struct span){word->span.end, word->span.end + 1}), show(unit, word->text, word->size));
    node->unterminated = unit->last;
    if (!word->quoted && word->size > 1 && word->text[word->size - 1] == '}' && strchr(word->text, '{') == NULL) {
        diag_help(unit, "a \"}\" directly behind a word belongs to the word: write %.*s; }", (int)word->size - 1,
                  word->text);
        parse->swallowed = true;
    }
}

static void
miss_name(struct parse *parse, struct span span)
{
    if (!parse->over)
        diag(parse->unit, nameless_block, span);
    parse->unit->broken = true;
}

static int
run(struct parse *parse, void *scanner)
{
    return parser_parse(parse, scanner);
}

struct node *
parse_file(struct unit *unit, const struct source *source)
{
    struct parse parse = {.unit = unit, .source = source};
    parse_words(&parse, run);
    unit->broken |= parse.over;
    unit->unread |= parse.over;
    return parse.first;
}
