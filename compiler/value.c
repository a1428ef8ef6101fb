/*
 * Arguments: text in, a number or an address out, or why not. Pure; the units and limits are nginx's. How to say
 * it is for those who asked.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "spcc.h"

#include <arpa/inet.h>
#include <pcre2.h>
#include <string.h>
#include <strings.h>

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum reading
value_number(const char *text, size_t size, u64 *number)
{
    u64 value = 0;
    if (size == 0)
        return READ_MALFORMED;
    bool large = false;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]))
            return READ_MALFORMED;
        large |= value > (INT64_MAX - 9) / 10;
        value = large ? value : value * 10 + (u64)(text[i] - '0');
    }
    *number = value;
    return large ? READ_TOO_LARGE : READ_OK;
}

enum reading
value_size(const char *text, size_t size, u64 *bytes)
{
    char unit = size > 0 ? text[size - 1] : 0;
    u32 shift = unit == 'k' || unit == 'K' ? 10 : unit == 'm' || unit == 'M' ? 20 : 0;
    enum reading reading = value_number(text, size - (shift > 0), bytes);
    if (reading == READ_OK && *bytes > (u64)INT64_MAX >> shift)
        return READ_TOO_LARGE;
    *bytes <<= reading == READ_OK ? shift : 0;
    return reading;
}

/* ---- time ---- */

struct time_unit {
    const char *name;
    u64 ms;
};

/* Larger first: each may stand once, before those below it. */
static const struct time_unit units[] = {
    {"y", 365ull * 24 * 3600 * 1000},
    {"M", 30ull * 24 * 3600 * 1000},
    {"w", 7ull * 24 * 3600 * 1000},
    {"d", 24ull * 3600 * 1000},
    {"h", 3600ull * 1000},
    {"m", 60ull * 1000},
    {"s", 1000},
    {"ms", 1},
};
enum { UNIT_COUNT = sizeof units / sizeof *units, UNIT_WEEK = 2, UNIT_SECOND = 6, UNIT_MS = 7 };

/* The unit at text: the number of its row, UNIT_SECOND for none, UNIT_COUNT for a wrong one. */
static u32
read_unit(const char **text, const char *end)
{
    if (*text == end || **text == ' ')
        return UNIT_SECOND;
    for (u32 i = UNIT_COUNT; i-- > 0;) { /* from the end, for "ms" comes before "m" */
        size_t size = strlen(units[i].name);
        if ((size_t)(end - *text) >= size && memcmp(*text, units[i].name, size) == 0) {
            *text += size;
            return i;
        }
    }
    return UNIT_COUNT;
}

/* Sum up numbers with units first to last. */
static enum reading
read_time(const char *text, size_t size, u32 first, u32 last, u64 *ms)
{
    const char *end = text + size;
    u32 next = first;
    *ms = 0;
    if (size == 0)
        return READ_MALFORMED;
    while (text < end) {
        const char *digits = text;
        while (text < end && is_digit(*text))
            text++;
        u64 number;
        enum reading reading = value_number(digits, (size_t)(text - digits), &number);
        if (reading != READ_OK)
            return reading;
        u32 unit = read_unit(&text, end);
        if (unit < next || unit > last)
            return READ_MALFORMED;
        if (number > (INT64_MAX - *ms) / units[unit].ms)
            return READ_TOO_LARGE;
        *ms += number * units[unit].ms;
        next = unit + 1;
        while (text < end && *text == ' ')
            text++;
    }
    return READ_OK;
}

enum reading
value_time_ms(const char *text, size_t size, u64 *ms)
{
    return read_time(text, size, UNIT_WEEK, UNIT_MS, ms);
}

enum reading
value_time_s(const char *text, size_t size, u64 *seconds)
{
    enum reading reading = read_time(text, size, 0, UNIT_SECOND, seconds);
    *seconds /= 1000;
    return reading;
}

/* ---- words ---- */

enum reading
value_word(const char *text, size_t size, const char *words, u64 *which)
{
    for (*which = 0;; ++*which) {
        size_t length = strcspn(words, "|");
        if (length == size && strncasecmp(text, words, size) == 0)
            return READ_OK;
        if (words[length] == '\0')
            return READ_MALFORMED;
        words += length + 1;
    }
}

enum reading
value_flag(const char *text, size_t size, u64 *on)
{
    enum reading reading = value_word(text, size, "off|on", on);
    return reading;
}

/* ---- addresses ---- */

const char *const value_address_problem[ADDRESS_COUNT] = {
    [ADDRESS_OK] = "is an address",
    [ADDRESS_EMPTY] = "has no host",
    [ADDRESS_URL] = "is not an address but a URL",
    [ADDRESS_HOST] = "is neither an address nor the name of a host",
    [ADDRESS_IPV4] = "has no valid IPv4 address: that is four numbers from 0 to 255",
    [ADDRESS_BRACKETS] = "is not an IPv6 address in brackets",
    [ADDRESS_PORT] = "has no valid port: a port is a number from 1 to 65535",
    [ADDRESS_PORT_RANGE] = "has no valid range of ports: it is written FIRST-LAST",
    [ADDRESS_PATH_EMPTY] = "has no path behind \"unix:\"",
    [ADDRESS_PATH_LONG] = "has a path of more than 107 bytes, and a socket can have no longer one",
};

static enum address_problem
bad(struct address *address, const char *text, const char *start, const char *end, enum address_problem problem)
{
    address->bad_start = (u32)(start - text);
    address->bad_end = (u32)(end - text);
    return problem;
}

/* A port, or with listen a range of them, that ends with the text. */
static enum address_problem
read_port(const char *text, const char *start, bool listen, struct address *address)
{
    const char *end = start + strlen(start), *dash = listen ? strchr(start, '-') : NULL;
    u64 first, last;
    size_t size = (size_t)((dash != NULL ? dash : end) - start);
    if (value_number(start, size, &first) != READ_OK || first < 1 || first > PORT_MAX)
        return bad(address, text, start, end, ADDRESS_PORT);
    last = first;
    if (dash != NULL && (value_number(dash + 1, (size_t)(end - dash - 1), &last) != READ_OK || last > PORT_MAX))
        return bad(address, text, start, end, ADDRESS_PORT);
    if (last < first)
        return bad(address, text, start, end, ADDRESS_PORT_RANGE);
    address->port = (u32)first;
    address->last_port = (u32)last;
    return ADDRESS_OK;
}

static enum address_problem
read_unix(const char *text, struct address *address)
{
    address->family = FAMILY_UNIX;
    address->path = text + strlen("unix:");
    size_t size = strlen(address->path);
    if (size == 0)
        return bad(address, text, text, address->path, ADDRESS_PATH_EMPTY);
    if (size > UNIX_PATH_MAX)
        return bad(address, text, text, address->path + size, ADDRESS_PATH_LONG);
    return ADDRESS_OK;
}

static bool
is_zero(const ip16 *ip)
{
    static const ip16 zero;
    return memcmp(ip, &zero, sizeof zero) == 0;
}

static enum address_problem
read_ipv6(const char *text, bool listen, struct address *address)
{
    char host[INET6_ADDRSTRLEN];
    const char *end = strchr(text, ']');
    address->host = text + 1;
    if (end == NULL || end - text - 1 >= (ptrdiff_t)sizeof host)
        return bad(address, text, text, text + strlen(text), ADDRESS_BRACKETS);
    address->host_size = (u32)(end - text - 1);
    memcpy(host, text + 1, address->host_size);
    host[address->host_size] = '\0';
    if (inet_pton(AF_INET6, host, address->ip.byte) != 1)
        return bad(address, text, text, end + 1, ADDRESS_BRACKETS);
    address->family = FAMILY_IPV6;
    address->wildcard = is_zero(&address->ip);
    if (end[1] == '\0')
        return ADDRESS_OK;
    if (end[1] != ':')
        return bad(address, text, end + 1, end + strlen(end), ADDRESS_PORT);
    return read_port(text, end + 2, listen, address);
}

/* Four decimal numbers; inet_pton() would refuse leading zeros, which nginx takes. */
static bool
read_ipv4(const char *host, u32 size, ip16 *ip)
{
    const char *end = host + size;
    for (u32 i = 0; i < 4; i++) {
        size_t length = strspn(host, "0123456789");
        u64 number;
        if (host + length > end || value_number(host, length, &number) != READ_OK || number > 255)
            return false;
        ip->byte[i] = (u8)number;
        host += length;
        if (i < 3 && (host >= end || *host++ != '.'))
            return false;
    }
    return host == end;
}

static bool
is_host_name(const char *host, u32 size)
{
    for (u32 i = 0; i < size; i++) {
        char c = host[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
    }
    return size <= 253;
}

static enum address_problem
read_host(const char *text, const char *end, bool listen, struct address *address)
{
    address->host = text;
    address->host_size = (u32)(end - text);
    if (address->host_size == 0)
        return bad(address, text, text, text + strlen(text), ADDRESS_EMPTY);
    if (listen && address->host_size == 1 && *text == '*') {
        address->family = FAMILY_IPV4;
        address->wildcard = true;
        return ADDRESS_OK;
    }
    if (read_ipv4(text, address->host_size, &address->ip)) {
        address->family = FAMILY_IPV4;
        address->wildcard = is_zero(&address->ip);
        return ADDRESS_OK;
    }
    address->ip = (ip16){0};
    if (strspn(text, "0123456789.") >= address->host_size)
        return bad(address, text, text, end, ADDRESS_IPV4);
    return is_host_name(text, address->host_size) ? ADDRESS_OK : bad(address, text, text, end, ADDRESS_HOST);
}

enum address_problem
value_address(const char *text, bool listen, struct address *address)
{
    *address = (struct address){0};
    if (strncasecmp(text, "unix:", strlen("unix:")) == 0)
        return read_unix(text, address);
    if (*text == '[')
        return read_ipv6(text, listen, address);
    const char *end = text + strlen(text), *colon = strchr(text, ':'), *slash = strchr(text, '/');
    if (slash != NULL)
        return bad(address, text, text, end, ADDRESS_URL);
    if (colon != NULL && strchr(colon + 1, ':') != NULL)
        return bad(address, text, text, end, ADDRESS_BRACKETS);
    if (colon == NULL && listen && text[strspn(text, "0123456789-")] == '\0' && *text != '\0') {
        address->family = FAMILY_IPV4;
        address->wildcard = true;
        return read_port(text, text, listen, address);
    }
    enum address_problem problem = read_host(text, colon != NULL ? colon : end, listen, address);
    if (problem != ADDRESS_OK || colon == NULL)
        return problem;
    return read_port(text, colon + 1, listen, address);
}

/* ---- networks ---- */

/* Clear the bits behind the first count ones; were any set? */
static bool
clear_host_bits(ip16 *ip, u32 size, u32 count)
{
    bool any = false;
    for (u32 i = 0; i < size; i++) {
        u32 kept = count >= 8 * (i + 1) ? 8 : count <= 8 * i ? 0 : count - 8 * i;
        u8 mask = (u8)(0xff00 >> kept);
        any |= (ip->byte[i] & ~mask & 0xff) != 0;
        ip->byte[i] &= mask;
    }
    return any;
}

enum reading
value_ip(const char *text, size_t size, enum family *family, ip16 *ip)
{
    char host[INET6_ADDRSTRLEN];
    if (size == 0 || size >= sizeof host)
        return READ_MALFORMED;
    memcpy(host, text, size);
    host[size] = '\0';
    *ip = (ip16){0};
    *family = strchr(host, ':') != NULL ? FAMILY_IPV6 : FAMILY_IPV4;
    bool good = *family == FAMILY_IPV6 ? inet_pton(AF_INET6, host, ip->byte) == 1 : read_ipv4(host, (u32)size, ip);
    return good ? READ_OK : READ_MALFORMED;
}

enum reading
value_network(const char *text, size_t size, struct network *network)
{
    const char *slash = memchr(text, '/', size);
    size_t host_size = slash != NULL ? (size_t)(slash - text) : size;
    *network = (struct network){0};
    if (value_ip(text, host_size, &network->family, &network->ip) != READ_OK)
        return READ_MALFORMED;
    u32 bytes = network->family == FAMILY_IPV6 ? 16 : 4;
    u64 bits = 8ull * bytes;
    if (slash != NULL && (value_number(slash + 1, size - host_size - 1, &bits) != READ_OK || bits > 8ull * bytes))
        return READ_TOO_LARGE;
    network->bits = (u32)bits;
    network->host_bits = clear_host_bits(&network->ip, bytes, network->bits);
    return READ_OK;
}

/* ---- parts of a hundred ---- */

enum reading
value_percent(const char *text, size_t size, u64 *hundredths)
{
    u64 whole = 0, part = 0;
    if (size == 0 || text[size - 1] != '%')
        return READ_MALFORMED;
    const char *end = text + size - 1, *dot = memchr(text, '.', size);
    const char *stop = dot != NULL ? dot : end;
    size_t digits = dot != NULL ? (size_t)(end - dot - 1) : 0;
    if ((stop > text || digits == 0) && value_number(text, (size_t)(stop - text), &whole) != READ_OK)
        return READ_MALFORMED;
    if (digits > 2 || (digits > 0 && value_number(dot + 1, digits, &part) != READ_OK))
        return READ_MALFORMED;
    if (whole > 100)
        return READ_TOO_LARGE;
    *hundredths = whole * 100 + (digits == 1 ? part * 10 : part);
    return READ_OK;
}

/* ---- regular expressions ---- */

static void
read_names(struct arena *arena, const pcre2_code *code, struct regex *regex)
{
    u32 count = 0, size = 0;
    PCRE2_SPTR entry = NULL;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &regex->captures);
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &entry);
    regex->name = count > 0 ? arena_take(arena, count * sizeof *regex->name) : NULL;
    regex->name_count = count;
    for (u32 i = 0; i < count; i++, entry += size) /* an entry is two bytes of number, and the name */
        regex->name[i] = arena_text(arena, (const char *)entry + 2, strlen((const char *)entry + 2));
}

enum reading
value_regex(struct arena *arena, const char *text, size_t size, bool caseless, struct regex *regex)
{
    int error;
    PCRE2_SIZE offset;
    *regex = (struct regex){0};
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, size, caseless ? PCRE2_CASELESS : 0, &error, &offset, NULL);
    if (code == NULL) {
        regex->bad = offset < size ? (u32)offset : (u32)size;
        pcre2_get_error_message(error, (PCRE2_UCHAR *)regex->problem, sizeof regex->problem);
        return READ_MALFORMED;
    }
    read_names(arena, code, regex);
    pcre2_code_free(code);
    return READ_OK;
}
