/*
 * The beginning of an HTTP/1 request: bytes in, the name of the host that it asks for out; reading them is preread.c's.
 * RFC 9112, sections 2.2, 3 and 5. Read up to the first Host alone: what follows is the server's business, and may be
 * long. What a server would have to refuse until then is no request here.
 */
#include "spcd.h"

#include <string.h>
#include <strings.h>

enum { METHOD_MOST = 32 }; /* the longest of IANA's has 17 */

struct text {
    const u8 *at, *end;
};

static bool
is_digit(u8 c)
{
    return c >= '0' && c <= '9';
}

static u8
lower(u8 c)
{
    return c >= 'A' && c <= 'Z' ? (u8)(c - 'A' + 'a') : c;
}

static bool
is_letter(u8 c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

/* Of a method, of a field's name: "token" in RFC 9110, section 5.6.2. */
static bool
is_token(u8 c)
{
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Of a name: "reg-name" in RFC 3986, section 3.2.2. */
static bool
is_name(u8 c)
{
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("-._~%!$&'()*+,;=", c) != NULL);
}

static struct text
take_while(struct text *text, bool (*is)(u8 c))
{
    struct text taken = {text->at, text->at};
    while (taken.end < text->end && is(*taken.end))
        taken.end++;
    text->at = taken.end;
    return taken;
}

static bool
take_char(struct text *text, u8 c)
{
    bool there = text->at < text->end && *text->at == c;
    text->at += there;
    return there;
}

static size_t
size_of(struct text text)
{
    return (size_t)(text.end - text.at);
}

/* ---- the host ---- */

/* The name in "name:port", in small letters, without the dot at its end; as nginx has $host. False: it is none. */
static bool
read_host(struct text text, struct value *host, u8 *room)
{
    struct text name = {text.at, text.at};
    bool literal = take_char(&text, '[');
    do
        take_while(&text, is_name);
    while (literal && take_char(&text, ':'));
    if (literal && !take_char(&text, ']'))
        return false;
    name.end = text.at;
    if (take_char(&text, ':'))
        take_while(&text, is_digit);
    if (size_of(text) > 0 || memmem(name.at, size_of(name), "..", 2))
        return false;
    size_t size = size_of(name) - (!literal && size_of(name) > 0 && name.end[-1] == '.');
    *host = (struct value){room, size > PREREAD_TEXT ? 0 : (u32)size, VALUE_FOUND};
    for (u32 i = 0; i < host->size; i++)
        room[i] = lower(name.at[i]);
    return true;
}

/* ---- lines ---- */

static bool
is_blank(u8 c)
{
    return c == ' ' || c == '\t';
}

static bool
is_line_end(u8 c)
{
    return c == '\r' || c == '\n';
}

/* The next line, without its end; the empty one ends the head. */
static enum preread
take_line(struct text *rest, struct text *line)
{
    const u8 *end = memchr(rest->at, '\n', size_of(*rest));
    if (!end)
        return PREREAD_AGAIN;
    *line = (struct text){rest->at, end - (end > rest->at && end[-1] == '\r')};
    rest->at = end + 1;
    for (const u8 *at = line->at; at < line->end; at++)
        if ((*at < ' ' && *at != '\t') || *at == 0x7f)
            return PREREAD_NONE;
    return PREREAD_FOUND;
}

static bool
is_scheme(u8 c)
{
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
}

static bool
is_authority(u8 c)
{
    return c != '/' && c != '?' && c != '#';
}

static bool
is_visible(u8 c)
{
    return c > ' ';
}

/* "scheme://host/path", or "host:port" of a CONNECT. False: it is neither. */
static bool
read_authority(struct text target, bool connects, struct value *host, u8 *room)
{
    if (!connects && (size_of(take_while(&target, is_scheme)) == 0 || !take_char(&target, ':') ||
                      !take_char(&target, '/') || !take_char(&target, '/')))
        return false;
    struct text authority = take_while(&target, is_authority);
    if (size_of(authority) == 0 || *authority.at == ':' || (connects && size_of(target) > 0))
        return false;
    return read_host(authority, host, room);
}

/* Method, target, version. What is asked for of the server itself ("/path", "*") leaves the host to the field. */
static bool
read_request_line(struct text line, struct value *host, u8 *room)
{
    struct text method = take_while(&line, is_token);
    if (!take_char(&line, ' '))
        return false;
    struct text target = take_while(&line, is_visible);
    if (size_of(target) == 0 || size_of(line) != 9 || memcmp(line.at, " HTTP/1.", 8) != 0 || !is_digit(line.at[8]))
        return false;
    bool connects = size_of(method) == 7 && memcmp(method.at, "CONNECT", 7) == 0;
    bool own = *target.at == '/' || (*target.at == '*' && size_of(target) == 1);
    return own ? !connects : read_authority(target, connects, host, room);
}

/* False: it is no field. */
static bool
read_field(struct text line, struct value *host, u8 *room)
{
    struct text name = take_while(&line, is_token);
    if (size_of(name) == 0 || !take_char(&line, ':'))
        return false;
    if (size_of(name) != 4 || strncasecmp((const char *)name.at, "host", 4) != 0)
        return true;
    take_while(&line, is_blank);
    while (size_of(line) > 0 && is_blank(line.end[-1]))
        line.end--;
    return read_host(line, host, room);
}

/* ---- the request ---- */

/* Can it become a request line? Most of what is none is seen here, by its first bytes. */
static bool
may_begin(struct text text)
{
    struct text method = take_while(&text, is_token);
    return size_of(method) <= METHOD_MOST && (size_of(text) == 0 || (size_of(method) > 0 && *text.at == ' '));
}

/* A line as good as it looks. One that the next one continues is none: sections 2.2 and 5.2. */
static enum preread
confirm(bool good, struct text rest)
{
    if (good && size_of(rest) == 0)
        return PREREAD_AGAIN;
    return good && !is_blank(*rest.at) ? PREREAD_FOUND : PREREAD_NONE;
}

/* The fields until one of them is Host, or until there are no more. */
static enum preread
read_fields(struct text rest, struct value *host, u8 *room)
{
    enum preread result = PREREAD_FOUND;
    while (result == PREREAD_FOUND && host->state != VALUE_FOUND) {
        struct text line;
        result = take_line(&rest, &line);
        if (result == PREREAD_FOUND && size_of(line) == 0)
            *host = (struct value){room, 0, VALUE_FOUND};
        else if (result == PREREAD_FOUND)
            result = confirm(read_field(line, host, room), rest);
    }
    return result;
}

enum preread
request_parse(const u8 *data, size_t size, struct value *host, u8 *room)
{
    struct text rest = {data, data + size}, line;
    *host = (struct value){0};
    take_while(&rest, is_line_end); /* empty lines before it: section 2.2 */
    if (!may_begin(rest))
        return PREREAD_NONE;
    enum preread result = take_line(&rest, &line);
    if (result == PREREAD_FOUND)
        result = confirm(read_request_line(line, host, room), rest);
    return result == PREREAD_FOUND ? read_fields(rest, host, room) : result;
}
