/*
 * What a log line says must not end it, nor become a part of it that the format did not give: the bytes of a value in,
 * text out, as log_format's escape= has it.
 */
#include "spcd.h"

static const char hex[] = "0123456789ABCDEF";

/* As nginx: quotes, backslashes and all that is not printable ASCII as \xHH. */
static void
escape_default(struct output *line, const u8 *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        u8 c = text[i];
        char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        bool plain = c >= 32 && c < 127 && c != '"' && c != '\\';
        output_put(line, plain ? (const void *)&text[i] : escaped, plain ? 1 : sizeof escaped);
    }
}

/* RFC 8259, section 7: a byte that may stand there as it is, or is the first of several. */
static void
put_json_byte(struct output *line, u8 c)
{
    static const char letters[][2] = {['\b'] = "b", ['\t'] = "t", ['\n'] = "n", ['\f'] = "f", ['\r'] = "r"};
    char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, letter = c <= '\r' ? letters[c][0] : '\0';
    if (c == '"' || c == '\\' || letter) {
        char two[2] = {'\\', letter ? letter : (char)c};
        output_put(line, two, sizeof two);
    } else if (c < 32) {
        output_put(line, escaped, sizeof escaped);
    } else {
        output_put(line, &c, 1);
    }
}

static void
escape_json(struct output *line, const u8 *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        put_json_byte(line, text[i]);
}

/* How many bytes the character at text takes in UTF-8, RFC 3629; 0: it is none. */
static size_t
character_size(const u8 *text, size_t size)
{
    static const struct {
        u8 first, last, low, high; /* of the first byte; of the second */
        size_t size;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    u32 row = 0, count = sizeof rows / sizeof *rows;
    while (row < count && (text[0] < rows[row].first || text[0] > rows[row].last))
        row++;
    if (row == count || rows[row].size > size)
        return 0;
    bool good = rows[row].size == 1 || (text[1] >= rows[row].low && text[1] <= rows[row].high);
    for (size_t i = 2; i < rows[row].size; i++)
        good &= text[i] >> 6 == 2;
    return good ? rows[row].size : 0;
}

/* As JSON, and valid for every reader: what is no UTF-8 is U+FFFD. */
static void
escape_utf8(struct output *line, const u8 *text, size_t size)
{
    for (size_t i = 0, step; i < size; i += step ? step : 1) {
        step = character_size(text + i, size - i);
        if (step == 0)
            output_put(line, "\\ufffd", 6);
        else if (step > 1)
            output_put(line, text + i, step);
        else if (text[i] == 0x7f)
            output_put(line, "\\u007F", 6);
        else
            put_json_byte(line, text[i]);
    }
}

static void
escape_none(struct output *line, const u8 *text, size_t size)
{
    output_put(line, text, size);
}

void
escape_put(u32 escape, struct output *line, const u8 *text, size_t size)
{
    static void (*const rows[])(struct output *, const u8 *, size_t) = {
        [ESCAPE_DEFAULT] = escape_default,
        [ESCAPE_JSON] = escape_json,
        [ESCAPE_NONE] = escape_none,
        [ESCAPE_UTF8] = escape_utf8,
    };
    rows[escape](line, text, size);
}
