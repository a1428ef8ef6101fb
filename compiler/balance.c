/*
 * hash, least_conn, random and zone of an upstream {}: its nodes in, the method of its record out; and the ring of
 * "hash ... consistent", which nginx would make at every start. A server has 160 points for each unit of its weight.
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

/* ---- the methods ---- */

static void
compile_hash(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    upstream->method = node->word_count > 2 ? METHOD_CONSISTENT : METHOD_HASH;
    upstream->key = expr_compile(unit, &node->word[1]);
    if (upstream->method == METHOD_CONSISTENT)
        compile_ring(unit, upstream);
}

static void
compile_random(struct unit *unit, const struct node *node, struct blob_upstream *upstream)
{
    upstream->method = node->word_count > 1 ? METHOD_RANDOM_TWO : METHOD_RANDOM;
    if (node->word_count > 2 && strcasecmp(node->word[2].text, "least_conn") != 0)
        later_say(unit, node->word[2].span, show(unit, node->word[2].text, node->word[2].size), "least_time of random");
}

void
balance_compile(struct unit *unit, const struct node *block, struct blob_upstream *upstream)
{
    for (const struct node *node = block->first; node != NULL; node = node->next) {
        if (node->row == NULL || node->broken)
            continue;
        if (node->row == &directives[DIRECTIVE_hash])
            compile_hash(unit, node, upstream);
        else if (node->row == &directives[DIRECTIVE_least_conn])
            upstream->method = METHOD_LEAST_CONN;
        else if (node->row == &directives[DIRECTIVE_random])
            compile_random(unit, node, upstream);
        else if (node->row == &directives[DIRECTIVE_zone])
            upstream->flags |= UPSTREAM_ZONE;
    }
}
