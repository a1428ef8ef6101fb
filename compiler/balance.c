/*
 * How an upstream {} chooses: its nodes in, the method of its record out; and the tables of two methods, which others
 * make at every start: the ring of "hash ... consistent", where a server has 160 points for each unit of its weight,
 * and the cells of maglev.
 */
#include "spcc.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POINTS = 160 };

/* ---- the ring ---- */

static int
by_hash(const void *one, const void *other)
{
    const struct blob_point *a = one, *b = other;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->peer < b->peer ? -1 : a->peer > b->peer;
}

/* A server's name is hashed as its host, a NUL and its port; a unix socket's path has none. */
static u32
hash_name(const char *name)
{
    if (strncasecmp(name, "unix:", 5) == 0)
        return blob_crc32(blob_crc32(0, name + 5, strlen(name + 5)), "", 1);
    size_t size = strlen(name), digits = 0;
    while (digits < size && name[size - digits - 1] >= '0' && name[size - digits - 1] <= '9')
        digits++;
    bool port = digits < size && name[size - digits - 1] == ':';
    u32 crc = blob_crc32(0, name, port ? size - digits - 1 : size);
    crc = blob_crc32(crc, "", 1);
    return port ? blob_crc32(crc, name + size - digits, digits) : crc;
}

static u32
first_of_name(struct unit *unit, const struct blob_upstream *upstream, u32 peer)
{
    const struct blob_peer *record = image_at(unit, SECTION_peer, 0);
    u32 first = upstream->peer;
    while (record[first].name != record[peer].name)
        first++;
    return first;
}

static void
add_points(struct unit *unit, const struct blob_upstream *upstream, u32 peer, struct vector *points)
{
    const struct blob_peer *record = image_at(unit, SECTION_peer, peer);
    u32 base = hash_name(image_string(unit, record->name)), hash = 0;
    u32 first = first_of_name(unit, upstream, peer), count = record->weight * POINTS;
    for (u32 i = 0; i < count; i++) {
        u8 last[4] = {(u8)hash, (u8)(hash >> 8), (u8)(hash >> 16), (u8)(hash >> 24)};
        hash = blob_crc32(base, last, sizeof last);
        *(struct blob_point *)vector_add(&unit->arena, points, sizeof(struct blob_point)) =
            (struct blob_point){hash, first};
    }
}

/* A point has no origin: there may be a million of them, and it is their peer's. */
static void
compile_ring(struct unit *unit, struct blob_upstream *upstream)
{
    struct vector points = {0};
    for (u32 i = 0; i < upstream->peer_count; i++) {
        const struct blob_peer *peer = image_at(unit, SECTION_peer, upstream->peer + i);
        if ((peer->flags & PEER_BACKUP) == 0)
            add_points(unit, upstream, upstream->peer + i, &points);
    }
    struct blob_point *point = points.item;
    if (points.count > 0)
        qsort(point, points.count, sizeof *point, by_hash);
    upstream->point = points.count > 0 ? image_count(unit, SECTION_point) : 0;
    for (u32 i = 0; i < points.count; i++)
        if (i == 0 || point[i].hash != point[i - 1].hash)
            image_add(unit, SECTION_point, &point[i], (struct span){0, 0});
    upstream->point_count = points.count > 0 ? image_count(unit, SECTION_point) - upstream->point : 0;
}

/* ---- maglev ---- */

/* A primary as it fills the table: the order in which it wants the cells, and how far it is. */
struct claim {
    u32 peer, weight, offset, skip;
    u64 at;     /* the wish that is next */
    u64 credit; /* of its weight, in parts of the largest */
};

static u32
table_size(u32 peers)
{
    static const u32 primes[] = {65537, 655373, 6553621, 65537003};
    u32 i = 0;
    while (i + 1 < sizeof primes / sizeof *primes && peers > primes[i] / 100)
        i++;
    return primes[i];
}

/* The primaries, each name once. */
static u32
gather_claims(struct unit *unit, const struct blob_upstream *upstream, struct claim *claims, u32 cells)
{
    const struct blob_peer *peer = image_at(unit, SECTION_peer, 0);
    u32 count = 0;
    for (u32 i = upstream->peer; i < upstream->peer + upstream->peer_count; i++) {
        u32 first = first_of_name(unit, upstream, i), known = 0;
        if (peer[i].flags & PEER_BACKUP)
            continue;
        while (known < count && claims[known].peer != first)
            known++;
        const char *name = image_string(unit, peer[i].name);
        u64 hash = blob_hash(name, strlen(name));
        if (known == count)
            claims[count++] = (struct claim){.peer = first, .offset = (u32)(hash >> 32) % cells,
                                             .skip = 1 + (u32)hash % (cells - 1)};
        claims[known].weight += peer[i].weight;
    }
    return count;
}

/* The first cell of its wishes that nobody has. */
static u32
next_wish(struct claim *claim, const u32 *cell, u32 cells)
{
    u32 wish;
    do
        wish = (u32)((claim->offset + claim->at++ * claim->skip) % cells);
    while (cell[wish] != 0);
    return wish;
}

static void
fill_cells(struct claim *claims, u32 count, u32 *cell, u32 cells)
{
    u64 heaviest = 1;
    for (u32 i = 0; i < count; i++)
        heaviest = claims[i].weight > heaviest ? claims[i].weight : heaviest;
    for (u32 filled = 0; filled < cells;)
        for (u32 i = 0; i < count && filled < cells; i++) {
            claims[i].credit += claims[i].weight;
            if (claims[i].credit < heaviest)
                continue;
            claims[i].credit -= heaviest;
            cell[next_wish(&claims[i], cell, cells)] = claims[i].peer;
            filled++;
        }
}

/* Eisenbud and others: Maglev, A Fast and Reliable Software Network Load Balancer (2016), section 3.4. */
static void
compile_maglev(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    u32 cells = table_size(upstream->peer_count);
    struct claim *claims = arena_take(&unit->arena, (upstream->peer_count + 1) * sizeof *claims);
    u32 *cell = arena_take(&unit->arena, cells * sizeof *cell);
    upstream->method = METHOD_MAGLEV;
    upstream->key = expr_compile(unit, &node->word[1]);
    u32 count = gather_claims(unit, upstream, claims, cells);
    if (count == 0)
        return;
    fill_cells(claims, count, cell, cells);
    upstream->cell = image_count(unit, SECTION_cell);
    upstream->cell_count = cells;
    for (u32 i = 0; i < cells; i++)
        image_add(unit, SECTION_cell, &(struct blob_cell){cell[i]}, (struct span){0, 0});
}

/* ---- the methods ---- */

/* "bounded=1.25", in hundredths; 0: it is something else. */
static u32
read_factor(const char *text)
{
    static const char prefix[] = "bounded=";
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return 0;
    u64 whole = 0, parts = 0;
    const char *at = text + sizeof prefix - 1;
    size_t digits = strspn(at, "0123456789"), decimals = at[digits] == '.' ? strspn(at + digits + 1, "0123456789") : 0;
    if (digits == 0 || digits > 4 || decimals > 2 || at[digits + (at[digits] == '.') + decimals] != '\0' ||
        (at[digits] == '.' && decimals == 0))
        return 0;
    for (size_t i = 0; i < digits; i++)
        whole = whole * 10 + (u64)(at[i] - '0');
    for (size_t i = 0; i < 2; i++)
        parts = parts * 10 + (i < decimals ? (u64)(at[digits + 1 + i] - '0') : 0);
    u64 factor = whole * 100 + parts;
    return factor > 100 && factor <= BOUNDED_MAX ? (u32)factor : 0;
}

static void
compile_hash(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    upstream->method = node->word_count > 2 ? METHOD_CONSISTENT : METHOD_HASH;
    upstream->key = expr_compile(unit, &node->word[1]);
    if (upstream->method == METHOD_CONSISTENT)
        compile_ring(unit, upstream);
    if (node->word_count > 3 && (upstream->bounded = read_factor(node->word[3].text)) == 0)
        diag(unit, bad_factor, node->word[3].span, show(unit, node->word[3].text, node->word[3].size));
}

static enum timing
read_timing(const char *text)
{
    static const char *const words[] = {[TIMING_CONNECT] = "connect", [TIMING_FIRST_BYTE] = "first_byte",
                                        [TIMING_LAST_BYTE] = "last_byte"};
    for (u32 i = TIMING_CONNECT; i <= TIMING_LAST_BYTE; i++)
        if (strcasecmp(text, words[i]) == 0)
            return (enum timing)i;
    return TIMING_NONE;
}

static void
compile_random(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    (void)unit;
    const char *of = node->word_count > 2 ? strchr(node->word[2].text, '=') : NULL;
    upstream->method = of != NULL ? METHOD_RANDOM_TIME : node->word_count > 1 ? METHOD_RANDOM_TWO : METHOD_RANDOM;
    if (of != NULL)
        upstream->timing = read_timing(of + 1);
}

static void
compile_least_time(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    (void)unit;
    upstream->method = METHOD_LEAST_TIME;
    upstream->timing = read_timing(node->word[1].text);
    upstream->flags |= node->word_count > 2 ? UPSTREAM_INFLIGHT : 0;
}

static void
compile_least_conn(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    (void)unit, (void)node;
    upstream->method = METHOD_LEAST_CONN;
}

/* nginx has slow_start where weights decide whose turn it is. */
static void
check_slow_start(struct unit *unit, const struct node *block, u32 method)
{
    static const char parameter[] = "slow_start=";
    if (method == METHOD_ROUND_ROBIN || method == METHOD_LEAST_CONN || method == METHOD_LEAST_TIME)
        return;
    for (const struct node *node = block->first; node != NULL; node = node->next)
        for (u32 i = 2; i < node->word_count && node->row == &directives[DIRECTIVE_upstream_server]; i++)
            if (strncmp(node->word[i].text, parameter, sizeof parameter - 1) == 0)
                diag(unit, no_slow_start, node->word[i].span);
}

/* Of several methods the last one holds, and nothing of the others. */
void
balance_compile(struct unit *unit, const struct node *block, struct blob_upstream *upstream)
{
    static const struct {
        enum directive_id id;
        void (*compile)(struct unit *unit, const struct node *node, struct blob_upstream *upstream);
    } methods[] = {
        {DIRECTIVE_hash, compile_hash},
        {DIRECTIVE_maglev, compile_maglev},
        {DIRECTIVE_least_conn, compile_least_conn},
        {DIRECTIVE_least_time, compile_least_time},
        {DIRECTIVE_random, compile_random},
    };
    bool zone = false;
    const struct blob_upstream bare = *upstream;
    for (const struct node *node = block->first; node != NULL; node = node->next) {
        zone |= node->row == &directives[DIRECTIVE_zone] && !node->broken;
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
            if (node->row == &directives[methods[i].id] && !node->broken) {
                *upstream = bare;
                methods[i].compile(unit, node, upstream);
            }
    }
    upstream->flags |= zone ? UPSTREAM_ZONE : 0;
    check_slow_start(unit, block, upstream->method);
}
