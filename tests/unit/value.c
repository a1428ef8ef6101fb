/*
 * Tables of cases for the readers of compiler/value.c and the nearest spelling. What nginx 1.22 says of the same
 * values was asked; where a row differs from it, it says so.
 */
#include "spcc.h"

#include <string.h>

static int failures;

static void
report(bool good, const char *what, const char *text)
{
    printf("%s %s: %s\n", good ? "ok" : "not ok", what, text);
    failures += !good;
}

/* ---- numbers ---- */

typedef enum reading reader(const char *text, size_t size, u64 *value);

static const struct number_case {
    const char *what;
    reader *read;
    const char *text;
    enum reading reading;
    u64 value;
} numbers[] = {
    {"number", value_number, "0", READ_OK, 0},
    {"number", value_number, "007", READ_OK, 7},
    {"number", value_number, "4294967296", READ_OK, 4294967296},
    {"number", value_number, "9223372036854775799", READ_OK, 9223372036854775799},
    {"number", value_number, "99999999999999999999", READ_TOO_LARGE, 0},
    {"number", value_number, "", READ_MALFORMED, 0},
    {"number", value_number, "-1", READ_MALFORMED, 0},
    {"number", value_number, "+1", READ_MALFORMED, 0},
    {"number", value_number, "1 ", READ_MALFORMED, 0},
    {"number", value_number, "0x10", READ_MALFORMED, 0},
    {"size", value_size, "0", READ_OK, 0},
    {"size", value_size, "16k", READ_OK, 16384},
    {"size", value_size, "16K", READ_OK, 16384},
    {"size", value_size, "2m", READ_OK, 2 << 20},
    {"size", value_size, "2M", READ_OK, 2 << 20},
    {"size", value_size, "1g", READ_MALFORMED, 0},
    {"size", value_size, "k", READ_MALFORMED, 0},
    {"size", value_size, "", READ_MALFORMED, 0},
    {"size", value_size, "1.5k", READ_MALFORMED, 0},
    {"size", value_size, "9223372036854775k", READ_TOO_LARGE, 0},
    {"time", value_time_ms, "0", READ_OK, 0},
    {"time", value_time_ms, "90", READ_OK, 90000},
    {"time", value_time_ms, "500ms", READ_OK, 500},
    {"time", value_time_ms, "1s500ms", READ_OK, 1500},
    {"time", value_time_ms, "1m30s", READ_OK, 90000},
    {"time", value_time_ms, "1h 30m", READ_OK, 5400000},
    {"time", value_time_ms, "1h 30", READ_OK, 3630000},
    {"time", value_time_ms, "1w2d", READ_OK, 777600000},
    {"time", value_time_ms, "1d", READ_OK, 86400000},
    {"time", value_time_ms, "30s1m", READ_MALFORMED, 0},
    {"time", value_time_ms, "1m1m", READ_MALFORMED, 0},
    {"time", value_time_ms, "1M", READ_MALFORMED, 0},
    {"time", value_time_ms, "1y", READ_MALFORMED, 0},
    {"time", value_time_ms, "s", READ_MALFORMED, 0},
    {"time", value_time_ms, "1hm", READ_MALFORMED, 0}, /* nginx takes it for 1h */
    {"time", value_time_ms, "", READ_MALFORMED, 0},
    {"time", value_time_ms, "1x", READ_MALFORMED, 0},
    {"time", value_time_ms, "1.5s", READ_MALFORMED, 0},
    {"time", value_time_ms, "-1s", READ_MALFORMED, 0},
    {"time", value_time_ms, "99999999999999999w", READ_TOO_LARGE, 0},
    {"seconds", value_time_s, "10", READ_OK, 10},
    {"seconds", value_time_s, "1y", READ_OK, 31536000},
    {"seconds", value_time_s, "1M", READ_OK, 2592000},
    {"seconds", value_time_s, "1m", READ_OK, 60},
    {"seconds", value_time_s, "1y2M3w4d5h6m7s", READ_OK, 38898367 + 0},
    {"seconds", value_time_s, "100ms", READ_MALFORMED, 0},
    {"flag", value_flag, "on", READ_OK, 1},
    {"flag", value_flag, "off", READ_OK, 0},
    {"flag", value_flag, "On", READ_OK, 1},
    {"flag", value_flag, "yes", READ_MALFORMED, 0},
    {"flag", value_flag, "", READ_MALFORMED, 0},
    {"flag", value_flag, "off|on", READ_MALFORMED, 0},
};

static void
test_numbers(void)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct number_case *c = &numbers[i];
        u64 value = 0;
        enum reading reading = c->read(c->text, strlen(c->text), &value);
        bool good = reading == c->reading && (reading != READ_OK || value == c->value);
        report(good, c->what, c->text);
        if (!good)
            printf("    reading %d, value %llu\n", reading, (unsigned long long)value);
    }
}

/* ---- addresses ---- */

static const struct address_case {
    bool listen;
    const char *text;
    enum address_problem problem;
    enum family family;
    u32 port, last_port;
    bool wildcard;
    u8 first, last; /* bytes of the address: the first; the last of those of its family */
} addresses[] = {
    {true, "80", ADDRESS_OK, FAMILY_IPV4, 80, 80, true, 0, 0},
    {true, "*:80", ADDRESS_OK, FAMILY_IPV4, 80, 80, true, 0, 0},
    {true, "0.0.0.0:80", ADDRESS_OK, FAMILY_IPV4, 80, 80, true, 0, 0},
    {true, "8000-8010", ADDRESS_OK, FAMILY_IPV4, 8000, 8010, true, 0, 0},
    {true, "127.0.0.1:8000-8010", ADDRESS_OK, FAMILY_IPV4, 8000, 8010, false, 127, 1},
    {true, "[::1]:8000-8001", ADDRESS_OK, FAMILY_IPV6, 8000, 8001, false, 0, 1},
    {true, "[::]:80", ADDRESS_OK, FAMILY_IPV6, 80, 80, true, 0, 0},
    {true, "[fe80::1:2]:80", ADDRESS_OK, FAMILY_IPV6, 80, 80, false, 0xfe, 2},
    {true, "[::ffff:1.2.3.4]:80", ADDRESS_OK, FAMILY_IPV6, 80, 80, false, 0, 4},
    {true, "127.0.0.1", ADDRESS_OK, FAMILY_IPV4, 0, 0, false, 127, 1},
    {true, "unix:/a:b", ADDRESS_OK, FAMILY_UNIX, 0, 0, false, 0, 0},
    {true, "UNIX:x", ADDRESS_OK, FAMILY_UNIX, 0, 0, false, 0, 0},
    {true, "unix:", ADDRESS_PATH_EMPTY, 0, 0, 0, false, 0, 0},
    {true, "0", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {true, "65535", ADDRESS_OK, FAMILY_IPV4, 65535, 65535, true, 0, 0},
    {true, "65536", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {true, "2-1", ADDRESS_PORT_RANGE, 0, 0, 0, false, 0, 0},
    {true, "1-65536", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {true, "", ADDRESS_EMPTY, 0, 0, 0, false, 0, 0},
    {true, ":80", ADDRESS_EMPTY, 0, 0, 0, false, 0, 0},
    {true, "::1:80", ADDRESS_BRACKETS, 0, 0, 0, false, 0, 0},
    {true, "[::1:80", ADDRESS_BRACKETS, 0, 0, 0, false, 0, 0},
    {true, "[]:80", ADDRESS_BRACKETS, 0, 0, 0, false, 0, 0},
    {true, "[::1%eth0]:80", ADDRESS_BRACKETS, 0, 0, 0, false, 0, 0},
    {true, "[::1]80", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {true, "[::1]:", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {true, "256.0.0.1:80", ADDRESS_IPV4, 0, 0, 0, false, 0, 0},
    {true, "1.2.3:80", ADDRESS_IPV4, 0, 0, 0, false, 0, 0}, /* nginx: 1.2.0.3 */
    {true, "1.2.3.4.5:80", ADDRESS_IPV4, 0, 0, 0, false, 0, 0},
    {true, "010.0.0.1:80", ADDRESS_OK, FAMILY_IPV4, 80, 80, false, 10, 1},
    {true, "http://a:80", ADDRESS_URL, 0, 0, 0, false, 0, 0},
    {true, "a b:80", ADDRESS_HOST, 0, 0, 0, false, 0, 0},
    {false, "80", ADDRESS_IPV4, 0, 0, 0, false, 0, 0},
    {false, "*:80", ADDRESS_HOST, 0, 0, 0, false, 0, 0},
    {false, "localhost:80", ADDRESS_OK, FAMILY_NONE, 80, 80, false, 0, 0},
    {false, "a-b_c.example.com:80", ADDRESS_OK, FAMILY_NONE, 80, 80, false, 0, 0},
    {false, "backend", ADDRESS_OK, FAMILY_NONE, 0, 0, false, 0, 0},
    {false, "1.2.3.4:80", ADDRESS_OK, FAMILY_IPV4, 80, 80, false, 1, 4},
    {false, "1.2.3.4:80-81", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
    {false, "1.2.3.4:80/x", ADDRESS_URL, 0, 0, 0, false, 0, 0},
    {false, "1.2.3.4:", ADDRESS_PORT, 0, 0, 0, false, 0, 0},
};

static void
test_addresses(void)
{
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const struct address_case *c = &addresses[i];
        struct address address;
        enum address_problem problem = value_address(c->text, c->listen, &address);
        u32 last = c->family == FAMILY_IPV6 ? 15 : 3;
        bool same = address.family == c->family && address.port == c->port && address.last_port == c->last_port &&
                    address.wildcard == c->wildcard && address.ip.byte[0] == c->first &&
                    address.ip.byte[last] == c->last;
        report(problem == c->problem && (problem != ADDRESS_OK || same), c->listen ? "listen" : "address", c->text);
        if (problem != ADDRESS_OK)
            report(address.bad_end <= strlen(c->text) && address.bad_start <= address.bad_end, "place", c->text);
    }
}

static void
test_long_path(void)
{
    char text[UNIX_PATH_MAX + 16] = "unix:";
    struct address address;
    memset(text + 5, 'x', UNIX_PATH_MAX);
    report(value_address(text, true, &address) == ADDRESS_OK, "path", "107 bytes");
    strcat(text, "x");
    report(value_address(text, true, &address) == ADDRESS_PATH_LONG, "path", "108 bytes");
}

/* ---- nearest spelling ---- */

static const char *const names[] = {"listen", "proxy_pass", "proxy_timeout", "upstream", "server", "ssl", "on", NULL};

static const struct {
    const char *word, *best;
} spellings[] = {
    {"lisen", "listen"},       {"LISTEN", "listen"},   {"ilsten", "listen"},       {"proxypass", "proxy_pass"},
    {"upsteam", "upstream"},   {"sevrer", "server"},   {"proxy_tiemout", "proxy_timeout"},
    {"frobnicate", NULL},      {"x", NULL},            {"", NULL},                 {"sl", "ssl"},
};

static void
test_spelling(void)
{
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct nearest nearest = {.word = spellings[i].word};
        for (u32 j = 0; names[j] != NULL; j++)
            nearest_try(&nearest, names[j]);
        bool good = spellings[i].best == NULL ? nearest.best == NULL
                                              : nearest.best != NULL && strcmp(nearest.best, spellings[i].best) == 0;
        report(good, "nearest", spellings[i].word);
        if (!good)
            printf("    %s\n", nearest.best != NULL ? nearest.best : "none");
    }
}

int
main(void)
{
    test_numbers();
    test_addresses();
    test_long_path();
    test_spelling();
    return failures > 0;
}
