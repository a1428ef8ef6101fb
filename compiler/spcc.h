/*
 * Everything the files of spcc promise each other, in the order a configuration meets it.
 *
 *     source.c   files            ->  text with a position for every byte
 *     lexer.l    text             ->  words
 *     parser.y   words            ->  nodes: a statement, its words, and what is in its braces
 *     check.c    nodes            ->  nodes judged by directives.def, their values read
 *     compile.c  nodes            ->  records, in an order in which what is named exists before it is used
 *     image.c    records          ->  the blob
 *
 * Whoever meets a mistake says so with diag(), returns "none" and goes on; diag.c sorts and prints at the end.
 * All memory is of the unit's arena and lives as long as the unit.
 */
#ifndef SPCC_H
#define SPCC_H

#include "blob.h"

#include <stdarg.h>
#include <stdio.h>

struct unit;
struct word;
struct node;
struct directive;
struct diag;
struct report;

/* ---- limits ---- */

enum {
    WORD_SIZE_MAX = 64 * 1024,
    BLOCK_DEPTH_MAX = 100,
    INCLUDE_DEPTH_MAX = 20,
    FILES_MAX = 20 * 1000,
    UNIX_PATH_MAX = 107, /* bytes: sockaddr_un less its NUL */
    DIAG_PRINT_MAX = 200,
};
#define SOURCE_SIZE_MAX (1u << 30) /* bytes, of all files together */
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* at the beginning of a file it is no character */

/* ---- arena.c: memory, vectors, maps ---- */

struct arena {
    struct arena_chunk *chunk;
};

/* Zeroed memory, aligned for anything; never NULL (out of memory ends the program, exit status 2). */
void *arena_take(struct arena *arena, size_t size);
/* A NUL-ended copy of size bytes. */
char *arena_text(struct arena *arena, const char *text, size_t size);
char *arena_print(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprint(struct arena *arena, const char *format, va_list arguments);
void arena_free(struct arena *arena);

/* A growing array; item() of an index is stable only until the next add. */
struct vector {
    void *item;
    u32 count, capacity;
};

/* Append one zeroed item of size bytes. */
void *vector_add(struct arena *arena, struct vector *vector, size_t size);
/* Append count of them at once; the first. */
void *vector_extend(struct arena *arena, struct vector *vector, size_t size, u32 count);

/* Bytes -> u32; the keys stay the caller's and must outlive the map. */
struct map {
    struct map_slot *slot;
    u32 count, capacity;
};

/* The value for key, which the caller may set; 0 when it is new. */
u32 *map_at(struct arena *arena, struct map *map, const void *key, size_t size);
/* The same, and the map keeps a copy of a new key. */
u32 *map_at_copy(struct arena *arena, struct map *map, const void *key, size_t size);
/* The same without adding: 0 when it is not there. */
u32 map_find(const struct map *map, const void *key, size_t size);

/* ---- source.c: files ---- */

/* Positions number the bytes of all files, one file after the other, from 1 on; 0 is nowhere. */
struct span {
    u32 start, end; /* end: the first byte behind */
};

struct source {
    const char *path;    /* to open and to show: "dir/conf.d/a.conf" */
    const char *name;    /* for the blob, the same wherever spcc is started: "conf.d/a.conf" */
    const char *text;    /* NUL-ended */
    u32 size, base;      /* bytes; position of the first byte */
    u32 *line;           /* offset of each line's first byte */
    u32 line_count;
    struct span include; /* where it was included, if it was */
    u32 depth;           /* of includes; 0: the main file */
    u64 device, inode;   /* 0: standard input */
    bool shown;          /* diag.c has said where it was included */
};

struct place {
    const struct source *source; /* NULL: nowhere */
    u32 line, column;            /* from 1; a column is a character */
    u32 offset;                  /* in the source's text */
};

/* Read the main file ("-": standard input). False: it was reported. */
bool source_open(struct unit *unit, const char *path, const struct source **source);
/* A source of text that is in memory already: size bytes and a NUL, the caller's, at most SOURCE_SIZE_MAX. */
struct source *source_of_text(struct unit *unit, const char *name, const char *text, u32 size);
/* Read what the word of an include names, in order, into the vector of struct source *. Mistakes are reported. */
void source_include(struct unit *unit, const struct word *word, struct vector *found);
struct source *source_at(const struct unit *unit, u32 position);
struct place source_place(const struct unit *unit, u32 position);

/* ---- diag.c: what is wrong ---- */

/* The last three are of opinions: lint.c. */
enum severity {
    SEVERITY_ERROR,
    SEVERITY_WARNING,
    SEVERITY_NOTE,
    SEVERITY_LINT_ERROR, /* an error when checking, a warning when compiling */
    SEVERITY_PEDANTIC,   /* a warning that must be asked for with -W */
    SEVERITY_HINT,       /* a note that must be asked for with -W */
};

#define DIAGNOSTIC(id, code, name, severity, says, advice) DIAG_##id,
enum diagnostic {
#include "diagnostics.def"
    DIAG_COUNT
};
#define DIAGNOSTIC(id, code, name, severity, says, advice) static const char diag_says_##id[] = says;
#include "diagnostics.def"

/*
 * Report id at span; what follows are the arguments of its sentence. Notes and help given next belong to it.
 * Words of the configuration go through show().
 */
#define diag(unit, id, span, ...) \
    diag_add(unit, DIAG_##id, span, diag_format(diag_says_##id, ##__VA_ARGS__), ##__VA_ARGS__)
static inline const char *__attribute__((format(printf, 1, 2)))
diag_format(const char *format, ...)
{
    return format;
}

void diag_add(struct unit *unit, enum diagnostic id, struct span span, const char *format, ...);
void diag_note(struct unit *unit, struct span span, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Replaces the advice of diagnostics.def. */
void diag_help(struct unit *unit, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text of a configuration, fit to be read: in quotes, cut short, without control characters. */
const char *show(struct unit *unit, const char *text, size_t size);
/* text in lower case, as names of upstreams and variables are compared. */
const char *lower_case(struct unit *unit, const char *text);
/* It was the consequence of another mistake. */
void diag_withdraw(struct unit *unit, struct diag *diag);
bool diag_failed(const struct unit *unit);
/* Sort the findings, and drop what was withdrawn or said before. */
void diag_finish(struct unit *unit);
/* What is not silenced, for people. */
void diag_print(struct unit *unit, FILE *file, bool colour);
/* The bytes of the UTF-8 character at text, of at most size; 0 if it is not one or not to be printed. */
u32 diag_character(const char *text, size_t size, u32 *code);
/* text with "?" for what is not to be printed. */
const char *diag_harmless(struct unit *unit, const char *text);

/* ---- severity.c: how grave it is ---- */

/* What the command line wants of a finding. */
enum choice { CHOICE_NONE, CHOICE_ALLOW, CHOICE_WARN, CHOICE_DENY };

/* SEVERITY_ERROR, WARNING or NOTE. */
enum severity severity_of(const struct unit *unit, enum diagnostic id);
/* Shall it be told at all? */
bool severity_is_wanted(const struct unit *unit, enum diagnostic id);
/* Is word, of size, the code or the name of id, letter case aside? */
bool severity_match(enum diagnostic id, const char *word, size_t size);
/* The code or name most like word; NULL: none is. */
const char *severity_nearest(const char *word);
enum { COMMAND_WRONG_SIZE = 256 };
/* Note choice for the codes and names of list, "SP501,unused". False: wrong says why not. */
bool severity_choose(u8 choices[DIAG_COUNT], enum choice choice, const char *list, char wrong[COMMAND_WRONG_SIZE]);

/* ---- silence.c: comments "# spcc: allow(CODE) reason" ---- */

/*
 * The lexer tells of comments and of what ends: a comment at span, in source. statement: where the statement begins
 * that is open, or ended last; 0: a block ended since. open: that statement has no end yet.
 */
void silence_note(struct unit *unit, const struct source *source, struct span span, u32 statement, bool open);
/* A statement ends, a block begins or ends, the file ends: ';' '{' '}' 0, at position. */
void silence_end(struct unit *unit, char what, u32 position);
/* Mark the findings that are silenced; report silences that are wrong or in vain. */
void silence_apply(struct unit *unit);

/* ---- define.c: -D NAME[:TYPE]=VALUE ---- */

struct define {
    const char *name, *value;
    enum define_type type;
};

/* Take NAME=VALUE or NAME:TYPE=VALUE. NULL, or what is wrong with it. */
const char *define_add(struct unit *unit, const char *text);
/* Put the values of defined names in place of $NAME and ${NAME}; text and size change if there were any. */
void define_apply(struct unit *unit, const char **text, u32 *size);
void define_compile(struct unit *unit);

/* ---- lexer.l, parser.y: text -> nodes ---- */

struct word {
    const char *text; /* NUL-ended, escapes resolved */
    u32 size;
    bool quoted;
    bool glued;       /* to the quoted word before it, which was reported */
    struct span span; /* with its quotes */
};

struct node {
    struct word *word; /* [0] is the directive */
    u32 word_count;
    bool block;
    bool broken; /* it has been reported: say nothing more about it */
    struct span open, close;     /* the braces of a block; close is 0 if there is none */
    struct node *first, *next;   /* what is inside; what follows */
    const struct directive *row; /* NULL: unknown */
    struct node *again;          /* the next one of the same row in the same block */
    u64 value;                   /* of the first argument, as its kind has it */
    u32 index;                   /* the record made from it; 0 for none */
    struct diag *unterminated;   /* its ";" was reported missing; NULL: it is there */
};

/* Parse a file; mistakes are reported and repaired as best as can be. The first node, NULL for none. */
struct node *parse_file(struct unit *unit, const struct source *source);

/* ---- value.c: one reader per kind of argument; pure ---- */

enum reading { READ_OK, READ_MALFORMED, READ_TOO_LARGE };

enum reading value_number(const char *text, size_t size, u64 *number);
/* nginx's sizes: digits and k or m; bytes. */
enum reading value_size(const char *text, size_t size, u64 *bytes);
/* nginx's times: "1h 30m", "90"; units ms s m h d w, each once, larger first. */
enum reading value_time_ms(const char *text, size_t size, u64 *ms);
/* The same with y and M and without ms. */
enum reading value_time_s(const char *text, size_t size, u64 *seconds);
enum reading value_flag(const char *text, size_t size, u64 *on);
/* words: "on|off|leaf"; the number of the one that text is, letter case aside. */
enum reading value_word(const char *text, size_t size, const char *words, u64 *which);

enum address_problem {
    ADDRESS_OK,
    ADDRESS_EMPTY,      /* no host */
    ADDRESS_URL,        /* a URL, or a path behind the port */
    ADDRESS_HOST,       /* neither an address nor a host name */
    ADDRESS_IPV4,       /* digits and dots, and no address */
    ADDRESS_BRACKETS,   /* IPv6 without brackets, or with an unclosed one */
    ADDRESS_PORT,       /* not a port */
    ADDRESS_PORT_RANGE, /* a range that runs backwards or is not one */
    ADDRESS_PATH_EMPTY,
    ADDRESS_PATH_LONG,
    ADDRESS_COUNT
};

struct address {
    enum family family;     /* FAMILY_NONE: host is a name */
    bool wildcard;
    u32 port, last_port;    /* 0: none given */
    const char *host;       /* into the text; without brackets */
    u32 host_size;
    ip16 ip;
    const char *path;       /* unix: into the text, NUL-ended with it */
    u32 bad_start, bad_end; /* the offending part */
};

/* listen: a port alone, *, and ranges are allowed. text is NUL-ended. */
enum address_problem value_address(const char *text, bool listen, struct address *address);
extern const char *const value_address_problem[ADDRESS_COUNT];

/* An address without a port; IPv6 without brackets. */
enum reading value_ip(const char *text, size_t size, enum family *family, ip16 *ip);

struct network {
    enum family family;
    ip16 ip;        /* without host bits */
    u32 bits;
    bool host_bits; /* some were set */
};

/* "10.0.0.0/8", "::1". READ_TOO_LARGE: the address is one, and what follows its slash is no prefix length. */
enum reading value_network(const char *text, size_t size, struct network *network);
/* "12.5%"; hundredths of a percent. */
enum reading value_percent(const char *text, size_t size, u64 *hundredths);

struct regex {
    u32 captures;
    const char **name; /* of those that have one */
    u32 name_count;
    u32 bad;           /* offset of the mistake */
    char problem[128]; /* in PCRE2's words */
};

/* Compile a pattern of PCRE2, and forget it again: is it one? Names are the arena's. */
enum reading value_regex(struct arena *arena, const char *text, size_t size, bool caseless, struct regex *regex);

/* ---- nearest.c: what did they mean? ---- */

/* The name most like word among those tried; best stays NULL when none is alike. */
struct nearest {
    const char *word, *best;
    u32 distance;
};
void nearest_try(struct nearest *nearest, const char *name);

/* ---- check.c: nodes against directives.def ---- */

enum context {
    IN_MAIN = 1,
    IN_EVENTS = 2,
    IN_STREAM = 4,
    IN_SERVER = 8,
    IN_UPSTREAM = 16,
    IN_ANY = IN_MAIN | IN_EVENTS | IN_STREAM | IN_SERVER | IN_UPSTREAM,
    OPAQUE = 1 << 15, /* opens: what is inside is not ours to judge */
};

enum kind {
    TAKE_NOTHING,
    TAKE_FLAG,     /* on | off */
    TAKE_NUMBER,
    TAKE_COUNT,    /* number | auto; auto is 0 */
    TAKE_SIZE,
    TAKE_TIME,     /* ms */
    TAKE_SECONDS,
    TAKE_WORD,     /* one of .name, which is "this|that" */
    TAKE_TEXT,     /* anything; lands as text */
    TAKE_LEVEL,    /* of error_log; judged by log.c */
    TAKE_VALUE,    /* text with variables; judged by who uses it */
    TAKE_VARIABLE, /* $name, which it declares */
    TAKE_ADDRESS,  /* judged by who uses it */
    TAKE_OPTION,   /* a parameter: a row of PARAMETER() */
    TAKE_KINDS
};

struct take {
    u8 kind;
    bool may, many; /* it may be left out; it may come again and again */
    const char *name;
};

#define ONE(kind, what) {TAKE_##kind, false, false, what}
#define MAY(kind, what) {TAKE_##kind, true, false, what}
#define MANY(kind, what) {TAKE_##kind, false, true, what}
#define ANY(kind, what) {TAKE_##kind, true, true, what}

/* Where a value lands. */
struct landing {
    u32 section; /* 0: nowhere */
    u16 offset, size;
};

#define INTO(record, field) \
    {SECTION_##record, offsetof(struct blob_##record, field), sizeof((struct blob_##record *)0)->field}

enum flow { FLOW_NONE, FLOW_NEAREST, FLOW_NEAREST_LIST };

/* What becomes of a directive that is right. */
enum support {
    SUPPORT_FULL,
    SUPPORT_LATER, /* known, and refused until spcd can do it */
    SUPPORT_NOTED, /* nginx's own affair: accepted, and a note says that it has no effect here */
};

#define LATER .support = SUPPORT_LATER
#define NOTED .support = SUPPORT_NOTED
#define PLUS .plus = true

struct directive {
    const char *name;
    u32 in;              /* contexts */
    u32 opens;           /* a block: the context inside */
    struct take takes[4];
    struct landing into;
    u32 bit;             /* a flag lands as this bit of the field */
    u32 least;           /* of a number, size or time */
    const char *absent;  /* what its absence means, as if it were written */
    enum flow flows;
    const char *may_open; /* its block may be left out; the word that stands before one */
    bool includes;       /* OPAQUE: include among its entries reads a file */
    bool repeats;        /* may stand more than once in a block */
    bool plus;           /* of nginx's commercial edition */
    bool ours;           /* not of nginx */
    enum support support;
    void (*judge)(struct unit *unit, struct node *node); /* what its kinds of arguments cannot say; judge.c calls it */
    void (*compile)(struct unit *unit, struct node *node);
    bool first;          /* compile it before the others: they refer to it */
    const char *since;   /* the nginx that brought it; NULL: from the beginning */
    const char *says;    /* one sentence for the manual; for SUPPORT_NOTED, why it means nothing here */
};

#define DIRECTIVE(id, ...) DIRECTIVE_##id,
enum directive_id {
#include "directives.def"
    DIRECTIVE_COUNT
};

#define PARAMETER(of, id, ...) PARAMETER_##of##_##id,
enum parameter_id {
#include "directives.def"
    PARAMETER_COUNT
};

extern const struct directive directives[DIRECTIVE_COUNT];

/* A parameter of a directive: "name" alone, or "name=value" where the name ends with "=". */
struct parameter {
    enum directive_id of;
    const char *name;
    u8 kind;
    struct landing into;
    u32 bit, least, most; /* most: 0 for what the field allows */
    const char *absent;
    bool own_socket; /* of listen: an address that has it does not share the socket of a wildcard */
    enum support support;
    bool ours, plus;   /* as in a directive's row */
    const char *since; /* the nginx that brought it, if that is not the directive's */
    const char *says;
};

extern const struct parameter parameters[PARAMETER_COUNT];

/* What one block says, by directive; outer is the block around it. */
struct scope {
    const struct scope *outer;
    struct node *of[DIRECTIVE_COUNT]; /* the first; the others follow in again */
    struct node *last[DIRECTIVE_COUNT];
};

/* Expand includes, judge every node, read values, and gather what compile.c needs. */
void check(struct unit *unit, struct node *root, const struct source *source);
/* The row for a word in a context; failing that, the row for it elsewhere; NULL: no directive at all. */
const struct directive *check_find(const struct unit *unit, const char *name, u32 context);
/* Index directives.def by name. */
void check_open(struct unit *unit);

/* ---- fragment.c: files that are not whole ---- */

/* The context that --context names, 0 for auto. False: it names none. */
bool fragment_context(const char *name, enum context *context);
/* Which context root is the inside of; of server {} or upstream {}, it is put into one. IN_MAIN or IN_STREAM. */
enum context fragment_open(struct unit *unit, struct node *root, const struct source *source);

/* ---- brace.c: a block without its "{" ---- */

/* If node, in block, is one: say so, and make both what they were meant to be. */
bool brace_repair(struct unit *unit, struct node *block, struct node *node, const struct directive *row, u32 context);
/* Is node, just reported as misplaced, so for a "}" too many? Then it is told, and all up to astray is for the same. */
bool brace_blame(struct unit *unit, const struct node *node, const struct directive *row, u32 context);
/* Judge node, which is misplaced in block, behind it; is that for a "}" that is missing before node? */
bool brace_leave(struct unit *unit, struct node *block, struct node *node);
/* Is node, whatever it is within its block, a block of stream {}, for a "}" that is missing? */
bool brace_is_beyond(struct unit *unit, const struct node *node);
/* The row of node's name that it is of in truth, if it stands here for braces that are wrong; else NULL. */
const struct directive *brace_other(struct unit *unit, const struct node *node, const struct directive *row,
                                    u32 context);

/* ---- argument.c: what a directive takes ---- */

/* Judge the number and the kinds of node's arguments; its value is the first one's. False: reported. */
bool argument_check(struct unit *unit, struct node *node);
/* The place of the bytes from start to end of a word's text, if they stand so in the file; else all of the word. */
struct span word_part(const struct word *word, u32 start, u32 end);
/* The kind of the argument at index, of a row that has count words; NULL: it takes none there. */
const struct take *argument_take(const struct directive *row, u32 count, u32 index);
/* Does the word at index look as an argument of row does there? That of a level never: they are not told apart. */
bool argument_fits(const struct directive *row, const struct node *node, u32 index);
/* Read text as take says; mistakes are reported at span, as what's. most: the largest number allowed. */
bool argument_value(struct unit *unit, const struct take *take, const char *what, const char *text, struct span span,
                    u64 least, u64 most, u64 *value);

/* What the parameters of a node said, by PARAMETER_. */
struct options {
    const struct word *word[PARAMETER_COUNT]; /* NULL: absent */
    u64 value[PARAMETER_COUNT];
};

/* Judge the words from first on as parameters of node's row and land them, and defaults, in record. False: some
 * were refused; the rest landed. */
bool argument_options(struct unit *unit, struct node *node, u32 first, void *record, struct options *options);

/* ---- judge.c: what no row can say ---- */

/* What stands at span is right, and spcd does not have it yet: refused, or when checking gathered by name. */
void later_say(struct unit *unit, struct span span, const char *what, const char *name);
/* One warning for all of it. */
void later_finish(struct unit *unit);
/* Judge every node below root in full; what is wrong is reported. */
void judge_run(struct unit *unit, struct node *root);

/* ---- scope.c: what holds where ---- */

/* Note that node stands in scope. The earlier one of its row, NULL if it is the first. */
struct node *scope_add(struct scope *scope, struct node *node);
/* Fill scope with what the nodes of a block say. */
void scope_fill(struct scope *scope, const struct scope *outer, struct node *block);
/* The node that speaks for row in scope, by its flow; NULL: the default holds. */
struct node *scope_nearest(const struct scope *scope, const struct directive *row);
/* Set the fields of record, of section, in which directives land. */
void scope_land(struct unit *unit, const struct scope *scope, enum section section, void *record);
/* Put a value where it lands; a flag as its bit. */
void land(void *record, const struct landing *into, u32 bit, u64 value);
/* The largest value that blob.def allows there. */
u64 land_most(const struct landing *into);

/* ---- setting.c: what is judged but not compiled, for spcc diff ---- */

/* What a block says by a directive, or by a parameter of one, that spcd does not have. */
struct setting {
    enum section section;        /* the record of the block */
    u32 index;
    const struct directive *row; /* NULL: it is a parameter */
    const char *name, *text;
    const char *file;            /* NULL: it is what absence means */
    u32 line;
};

/* Note the directives that hold in scope, for the record; of main, those that are not inherited. */
void setting_gather(struct unit *unit, const struct scope *scope, enum section section, u32 index);
/* Note the parameters of a listen or a server. */
void setting_gather_parameters(struct unit *unit, const struct node *node, enum section section, u32 index);

/* ---- image.c: records, text, origins; the file ---- */

struct image {
    struct vector section[SECTION_COUNT];
    struct map text;
    struct vector origin; /* of struct blob_origin, unsorted */
};

void image_open(struct unit *unit);
/* Append a copy of record, made from what stands at span. Its index. */
u32 image_add(struct unit *unit, enum section section, const void *record, struct span span);
/* The record, until the next image_add() to its section. */
void *image_at(struct unit *unit, enum section section, u32 index);
u32 image_count(const struct unit *unit, enum section section);
/* The offset of text in the blob. */
u32 image_text(struct unit *unit, const char *text, size_t size);
const char *image_string(const struct unit *unit, u32 offset);
/* Assemble the blob. False: it would be too large. */
bool image_finish(struct unit *unit, void **data, size_t *size);
/* Put size bytes at path, whole or not at all; a file that is there keeps its owner and permissions. NULL, or what went
 * wrong. */
const char *image_write(struct unit *unit, const char *path, const void *data, size_t size);

/* ---- output.c: bytes -> files; NULL, or what went wrong ---- */

struct stat;
/* All of the bytes; false: errno says why not. */
bool output_write(int fd, const void *data, size_t size);
/* To a pipe or a device. */
const char *output_send(const char *path, const void *data, size_t size);
/* Whole or not at all, in place of what is there; with the owner and permissions of like. NULL: it is the caller's,
 * and all may read it, whatever the umask. */
const char *output_replace(struct unit *unit, const char *path, const void *data, size_t size,
                           const struct stat *like);

/* ---- compile.c: nodes -> records ---- */

/* Read, parse, check and compile path. The verdict is diag_failed()'s. False: path could not be read. */
bool compile(struct unit *unit, const char *path);
/* The same for a source that is read already. */
void compile_source(struct unit *unit, const struct source *source);

/* ---- one file a feature ---- */

/* core.c: the main context; once more at the end, for what only then is known */
void core_compile(struct unit *unit);
void core_finish(struct unit *unit);

/* listen.c: server {} and its sockets */
void listen_compile_server(struct unit *unit, struct node *node);
/* After the last server: addresses become listeners. */
void listen_compile(struct unit *unit);
/* After that: where a session to that address would be accepted. False: nowhere. */
bool listen_find(struct unit *unit, const struct address *address, u32 *listener, u32 *endpoint);
/* Try all addresses of listeners for connections. */
struct nearest;
void listen_nearest(struct unit *unit, struct nearest *nearest);
/* An address record. */
u32 listen_address(struct unit *unit, const struct address *address, u32 port, struct span span);

/* socket.c: on, off or [idle]:[interval]:[count] in text, a part of word, into seconds, seconds and a count of
 * record. Is it on? */
bool socket_keepalive(struct unit *unit, const struct word *word, const char *text, const struct landing into[3],
                      void *record);

/* outgoing.c: proxy_bind and proxy_socket_keepalive */
void outgoing_compile(struct unit *unit, const struct scope *scope, struct blob_proxy *proxy);

/* preamble.c: proxy_protocol and its TLVs */
void preamble_compile(struct unit *unit, const struct scope *scope, struct blob_proxy *proxy);

/* proxy.c: what a server does with a session. 0: nothing, and it was reported. */
u32 proxy_compile(struct unit *unit, const struct scope *scope, struct node *pass);

/* proxy_ssl.c: TLS with upstream servers. 0: in clear, or it was reported. */
u32 proxy_ssl_compile(struct unit *unit, const struct scope *scope, const struct node *pass);

/* What may be negotiated; lists are in BoringSSL's words, "" for its own choice. */
struct tls_choices {
    u32 versions, level; /* enum tls_version; OpenSSL's security level */
    const char *ciphers, *curves, *signatures;
    bool no_ticket, signs_only; /* signatures: for those that are made, not those that are accepted */
};

/* cipher.c: a list of OpenSSL's. */
void cipher_read(struct unit *unit, const struct word *word, struct tls_choices *choices);

/* conf_command.c: a command for OpenSSL. */
struct conf_command {
    const char *name;
    u32 use;
    const char *says;
};
extern const struct conf_command conf_commands[], conf_options[]; /* up to one without a name */
/* What becomes of it, before what it says: "refused: ", "no effect: " or "". */
const char *conf_command_fate(const struct conf_command *row);
void conf_command_read(struct unit *unit, const struct node *node, struct tls_choices *choices);

/* balance.c: the method of a group whose peers are records already, and its points. */
void balance_compile(struct unit *unit, const struct node *block, struct blob_upstream *upstream);

/* upstream.c: groups */
void upstream_compile(struct unit *unit, struct node *node);
/* The upstream record for the word of a proxy_pass, made when it is no group's name. 0: reported. */
u32 upstream_find(struct unit *unit, struct node *pass);
/* Is word the name of a group, as it stands? */
bool upstream_is_group(struct unit *unit, const struct word *word);
/* Make groups of the addresses that variables may give to a proxy_pass, so that no session has to read them. */
void upstream_compile_targets(struct unit *unit);
/* After the last server: the index of groups by name, if any target needs it. */
void upstream_compile_index(struct unit *unit);

/* syslog.c: the parameters of "syslog:server=..." in record; they were judged. */
void syslog_compile(struct unit *unit, const struct word *word, struct blob_log *record);

/* access_log.c: the access records of a server, those of the innermost level that has some. */
void access_log_compile(struct unit *unit, const struct scope *scope, u32 *first, u32 *count);

/* log.c: an error_log; one that is wrong is broken then. */
void log_judge(struct unit *unit, struct node *node);
/* log.c: the log records of a level, those of the innermost level that has some. */
void log_compile(struct unit *unit, const struct scope *scope, u32 *first, u32 *count);

/* expr.c: values. The expr record; 0 for an empty value or when it was reported. */
u32 expr_compile(struct unit *unit, const struct word *word);
/* The same for the part of a word from start on. */
u32 expr_compile_part(struct unit *unit, const struct word *word, u32 start);
/* The same for several words, as if they were one. */
u32 expr_compile_words(struct unit *unit, const struct word *word, u32 count);
/* An object of JSON: the entries of a block, KEY VALUE; each; they were judged. */
u32 expr_compile_json(struct unit *unit, const struct node *block);
/* Is there a $ in it that makes it more than text? */
bool expr_is_dynamic(const struct word *word);
/* Is name a variable that nginx or spcd brings? */
bool expr_is_builtin(const char *name);

/* pass.c: a record; where it leads is found after listen_compile(). */
u32 pass_compile(struct unit *unit, struct node *node);
void pass_finish(struct unit *unit);

/* access.c: allow and deny of a server. */
void access_compile(struct unit *unit, const struct scope *scope, struct blob_server *server);

/* server_name.c: the servers that share an address. A map of their names, 0: there are none. */
struct name_member {
    u32 server;              /* its record */
    const struct node *node; /* server {} */
    bool fallback;           /* default_server */
};
/* Under what a name is kept, each of which may be there once at an address: itself, what ends in it, what begins with
 * it; ".example.com" is the first two. How many they are. */
u32 server_name_keys(struct unit *unit, const struct word *word, const char *keys[2]);
/* own: the server that is named $hostname, if any. */
u32 server_name_compile(struct unit *unit, const struct name_member *member, u32 count, struct span span, u32 *own);

/* limit.c: limit_conn and limit_conn_rate of a server. */
void limit_compile(struct unit *unit, const struct scope *scope, struct blob_server *server);
/* "10r/s" or "30r/m" as the time between two. False: it is neither. */
bool limit_interval(const char *rate, u64 *interval_ns);

/* map.c, geo.c, split.c: the block of a table, and what has become of it in slot. False: reported. */
bool map_compile(struct unit *unit, struct node *node, struct blob_slot *slot);
bool map_compile_numbers(struct unit *unit, struct node *node, struct blob_slot *slot);
bool geo_compile(struct unit *unit, struct node *node, struct blob_slot *slot);
bool split_compile(struct unit *unit, struct node *node, struct blob_slot *slot);

/* map.c: the value record of a word, with variables; of a word as it stands; each once. */
u32 map_value(struct unit *unit, const struct word *word);
u32 map_text(struct unit *unit, const struct word *word);
/* An index of these keys, in lower case, of which there are count. */
struct map_key {
    const char *text;
    u32 size, value;
    u64 hash;
};
u32 map_index(struct unit *unit, struct map_key *key, u32 count, struct span span);

/* regex.c: the regex record of the pattern that stands from start on in word; it was judged. */
u32 regex_compile(struct unit *unit, const struct word *word, u32 start, bool caseless);
/* After the last of them: their code. */
void regex_finish(struct unit *unit);

/* slot.c: variables that the configuration declares. By name without "$"; 0: none, or spcd cannot have it yet. */
u32 slot_find(struct unit *unit, const char *name);
/* The assignment records of the sets of a server. */
void slot_compile_sets(struct unit *unit, const struct scope *scope, u32 *first, u32 *count);

/* ---- lint.c: opinions on what is right ---- */

/* The nginx that --target names. */
struct target {
    const char *name; /* as it was written; NULL: none */
    u32 version;      /* to compare; 0: any */
    bool plus;
};

/* Read "nginx-1.26", "nginx-1.26.2" or "nginx-plus", whose letters stay the caller's. False: it is none of them. */
bool lint_target_read(const char *text, struct target *target);
/* Look at what check() has left below root. */
void lint_run(struct unit *unit, struct node *root);

/* ---- format.c, rewrite.c: the canonical layout ---- */

struct formatted {
    const char *text; /* NUL-ended */
    u32 size;
    const u32 *from;  /* for each of its lines, the line of the source it was made from, counted from 0 */
    u32 line_count;
    bool faithful;    /* every word and comment is there; else it is a bug, and the text not to be used */
};

/* Lay out a file. False: it does not parse, and that was reported. */
bool format(struct unit *unit, const struct source *source, struct formatted *formatted);

enum rewrite {
    REWRITE_IN_PLACE, /* replace the file where that changes it; of "-", print the result */
    REWRITE_CHECK,    /* name it if that would change it */
    REWRITE_DIFF,     /* print what would change */
};
enum rewritten { REWRITE_SAME, REWRITE_DIFFERS, REWRITE_REFUSED, REWRITE_FAILED };

/* Format the file at path; what there is to print goes to standard output. FAILED: wrong says why, NULL: reported. */
enum rewritten rewrite(struct unit *unit, const char *path, enum rewrite how, const char **wrong);

/* ---- unified.c ---- */

/* Print what turns source into formatted, as diff -u does. */
void unified_print(struct unit *unit, const struct source *source, const struct formatted *formatted, FILE *file);

/* ---- outside.c: what only this machine can tell; nothing of it runs unless it is asked for ---- */

void outside_check(struct unit *unit, const struct node *root);
/* Could a finding have been made, with what was asked for? */
bool outside_may_find(const struct unit *unit, enum diagnostic id);
/* The file that word names, relative ones beside the main file; NULL: it depends on variables, or is no file. */
const char *outside_path(struct unit *unit, const struct word *word);

/* ---- certificate.c ---- */

void certificate_check(struct unit *unit, const struct node *root);

/* ---- tls.c: what BoringSSL says of files ---- */

/* The certificates of a PEM file, the one that is shown first; NULL: it is not whole, or has none. */
struct tls_certificates *tls_open(const char *path);
void tls_close(struct tls_certificates *certificates);
u32 tls_count(const struct tls_certificates *certificates);

enum { TLS_DATE_SIZE = 16 };
enum tls_period { TLS_NOW, TLS_EARLY, TLS_OVER };
/* Does the certificate hold now? If not, since or until when: the day. */
enum tls_period tls_period(const struct tls_certificates *certificates, u32 index, char date[TLS_DATE_SIZE]);
/* Is the first one for the host? */
bool tls_covers(const struct tls_certificates *certificates, const char *host);

enum tls_key { TLS_KEY_FITS, TLS_KEY_OTHER, TLS_KEY_MALFORMED, TLS_KEY_LOCKED };
/* Is the key in a file that of the first one? passphrases: one a line, tried in order; NULL: none. */
enum tls_key tls_key(const struct tls_certificates *certificates, const char *path, const char *passphrases);

/* ---- tls_choice.c: what BoringSSL says of lists: does it take them? ---- */

bool tls_ciphers_work(const char *list);
bool tls_curves_work(const char *list);
bool tls_signatures_work(const char *list);

/* ---- inputs.c ---- */

/* Print the files that were read, a line each. */
void inputs_print(struct unit *unit, FILE *file);
/* Write to path, for make, that target is made from them. NULL, or what went wrong. */
const char *inputs_write_rules(struct unit *unit, const char *path, const char *target);

/* ---- report.c: findings, for people and machines ---- */

/* Findings of what severity fail a file: none, errors, warnings too, notes too. */
enum fail_on { FAIL_NEVER, FAIL_ON_ERROR, FAIL_ON_WARNING, FAIL_ON_NOTE };

struct report_wish {
    const char *format; /* NULL, or a word of commands.def; those but pretty take standard output */
    const char *root;   /* NULL: where spcc was started */
    enum fail_on fail_on;
};

struct report *report_open(const struct report_wish *wish);
/* Tell what was found in the unit of a file that was named. True: nothing fails it. */
bool report_unit(struct report *report, struct unit *unit, const char *file, bool readable);
/* End it. False: not everything could be written, errno says why. */
bool report_close(struct report *report);
/* Shall what goes to standard error be in colour? */
bool report_wants_colour(void);

/* ---- dump.c ---- */

/* Print every record of the blob. */
void dump(const struct blob *blob, FILE *file);

/* ---- explain.c, manual.c: the tables, for people ---- */

/* Print what there is to say of each word: the code or name of a finding, a directive, a parameter, a $variable. False:
 * one is none of them, and wrong says so. */
bool explain(char **word, int count, FILE *file, char wrong[COMMAND_WRONG_SIZE]);
/* Print a page: "directives", ..., in manual_pages. False: there is none of that name. */
bool manual(const char *name, FILE *file);
extern const char manual_pages[];

/* ---- command.c: the command line, of commands.def ---- */

#define COMMAND(id, ...) COMMAND_##id,
enum command_id {
#include "commands.def"
    COMMAND_COUNT
};

#define OPTION(id, ...) OPTION_##id,
enum option_id {
#include "commands.def"
    OPTION_COUNT
};

/* The commands that take an option. */
#define ON(command) (1u << COMMAND_##command)
enum { ON_SOURCES = ON(compile) | ON(check), ON_ALL = (1u << COMMAND_COUNT) - 1 };

struct command {
    const char *name, *operands, *says;
};

struct command_option {
    char letter;                  /* 0: none */
    const char *name, *argument;  /* NULL: none */
    u32 of;
    const char *says;
};

extern const struct command commands[COMMAND_COUNT];
extern const struct command_option command_options[OPTION_COUNT];

enum { COMMAND_END = -1, COMMAND_WRONG = -2 };

/* Make "--MD" of "-MD", so that getopt_long() knows it. */
void command_spell(int count, char **argument);
/* The number of the next option, its argument in optarg; or one of the two above, what is wrong in wrong. */
int command_next(int count, char **argument, char wrong[COMMAND_WRONG_SIZE]);
/* Put "-o OUT" or the like in text of size; the number of bytes that takes, as snprintf has it. */
size_t command_option_text(const struct command_option *row, char *text, size_t size);
/* The text of --help. */
void command_usage(FILE *file);

#include "unit.h"

#endif
