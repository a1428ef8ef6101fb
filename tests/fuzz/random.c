/*
 * Text like a configuration: mostly statements and blocks as they should be, with comments, quotes, escapes, line
 * breaks and white space of all kinds in every place where they may be, and sometimes where they may not.
 */
#include "fuzz.h"

#include <string.h>

enum { DEPTH_MAX = 6, STATEMENTS_MAX = 9, WORDS_MAX = 5, MISTAKE = 400 };

struct writer {
    u64 state;
    char *text;
    size_t size, capacity;
};

static u32
below(struct writer *writer, u32 limit)
{
    writer->state ^= writer->state << 13; /* Marsaglia's xorshift64 */
    writer->state ^= writer->state >> 7;
    writer->state ^= writer->state << 17;
    return (u32)(writer->state >> 32) % limit;
}

static void
put(struct writer *writer, const char *text)
{
    size_t size = strlen(text);
    if (size > writer->capacity - writer->size)
        size = writer->capacity - writer->size;
    memcpy(writer->text + writer->size, text, size);
    writer->size += size;
}

#define PUT_ONE_OF(writer, table) put(writer, table[below(writer, sizeof table / sizeof *table)])

static const char *const names[] = {"stream",  "server",     "listen",     "proxy_pass", "upstream", "http",
                                    "include", "log_format", "return",     "map",        "events",   "error_log",
                                    "geo",     "x",          "proxy_bind", "content_by_lua_block"};
static const char *const plain[] = {"80",     "a:1", "127.0.0.1:80", "$remote_addr", "${x}y", "weight=2", "on",
                                    "a\\ b",  "}x",  "a#b",          "$",            "\\;",   "a\\\nb",   "b\"c",
                                    "\\\"q",  "1",   "unix:/s",      "[::1]:1",      "10m",   "4k",       "*:1",
                                    "backup", "off", "\xef\xbb\xbf", "\xc3\xa9",     "a\\\\", "|$"};
static const char *const quoted[] = {"\"\"", "''", "\"a b\"", "'it\\'s'", "\"x;{}#\"", "\"two\nlines\"", "\"\\\\\"",
                                     "'\r\n'"};
static const char *const spaces[] = {" ", "  ", "\t", "\n", "\r\n", "\n\n\n", " \n  ", "\r"};
static const char *const comments[] = {"# c\n", "#\n", "# { ; } \"\r\n", "#a # b  \n", "\n# own \n", "\n\n #\n#\n"};
static const char *const mistakes[] = {";", "}", "{", "\"", "'", "\\", "#", "\"a\"b", "\xef\xbb\xbf"};
static const char *const lua[] = {" x = 1 ", "-- }\n", "{ a = \"}\" }", "[[ ]]", "'}'", "\r\n", "--[[ } ]]"};

/* What may stand between two words; needed: they would be one without it. */
static void
put_gap(struct writer *writer, bool needed)
{
    if (needed || below(writer, 2) == 0)
        PUT_ONE_OF(writer, spaces);
    while (below(writer, 8) == 0) {
        PUT_ONE_OF(writer, spaces);
        PUT_ONE_OF(writer, comments);
    }
    if (below(writer, MISTAKE) == 0)
        PUT_ONE_OF(writer, mistakes);
}

static bool
put_words(struct writer *writer)
{
    u32 name = below(writer, sizeof names / sizeof *names);
    put(writer, names[name]);
    for (u32 i = below(writer, WORDS_MAX); i > 0; i--) {
        put_gap(writer, true);
        if (below(writer, 3) > 0)
            PUT_ONE_OF(writer, plain);
        else
            PUT_ONE_OF(writer, quoted);
    }
    if (below(writer, 20) == 0)
        put(writer, " \"q\")");
    put_gap(writer, true);
    return strstr(names[name], "lua") != NULL;
}

static void
put_statements(struct writer *writer, u32 depth)
{
    for (u32 i = below(writer, STATEMENTS_MAX); i > 0 && writer->size < writer->capacity; i--) {
        if (put_words(writer)) {
            put(writer, "{");
            for (u32 j = below(writer, 5); j > 0; j--)
                PUT_ONE_OF(writer, lua);
            put(writer, "}");
        } else if (depth < DEPTH_MAX && below(writer, 3) == 0) {
            put(writer, "{");
            put_gap(writer, false);
            put_statements(writer, depth + 1);
            put(writer, "}");
        } else {
            put(writer, ";");
        }
        put_gap(writer, false);
    }
}

size_t
random_text(u64 seed, char *text, size_t capacity)
{
    struct writer writer = {.state = (seed + 1) * 0x9e3779b97f4a7c15u, .text = text, .capacity = capacity};
    if (below(&writer, 8) == 0)
        put(&writer, BYTE_ORDER_MARK);
    put_gap(&writer, false);
    put_statements(&writer, 0);
    return writer.size;
}
