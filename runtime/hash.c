/*
 * By a key: nginx's hash, the ring of "hash ... consistent", and the table of maglev. The same key finds the same
 * server for as long as that one can be tried.
 */
#include "balance.h"

#include <stdio.h>

enum { HASH_KEY_MAX = 4096 };

/* The key; false: there is none, or it is too long to be one. */
static bool
read_key(const struct choice *choice, u8 key[HASH_KEY_MAX], size_t *size)
{
    const struct blob *blob = choice->session->shard->blob;
    *size = expr_run(choice->session, &blob->expr[choice->upstream->record->key], key, HASH_KEY_MAX);
    return *size > 0 && *size <= HASH_KEY_MAX;
}

u32
hash_share(const struct upstream *upstream, u64 share)
{
    u32 low = 0, high = upstream->primary_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (upstream->share[middle] <= share)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Compatible with Cache::Memcached. */
u32
hash_choose(struct choice *choice)
{
    struct session *s = choice->session;
    u8 key[HASH_KEY_MAX];
    size_t size;
    while (s->hash_tries <= TRIES_OF_LUCK && choice->upstream->total_weight > 0 && read_key(choice, key, &size)) {
        char again[4];
        int digits = s->hashed ? snprintf(again, sizeof again, "%u", s->hash_tries) : 0;
        u32 crc = blob_crc32(blob_crc32(0, again, (size_t)digits), key, size);
        s->hashed = true;
        s->hash += crc >> 16 & 0x7fff;
        s->hash_tries++;
        u32 i = hash_share(choice->upstream, s->hash % choice->upstream->total_weight);
        if (choice_may(choice, i))
            return choice_made(choice, i);
    }
    return turns_choose(choice);
}

/* ---- the ring ---- */

/* The first point at hash or behind it. */
static u32
find_point(const struct blob *blob, const struct blob_upstream *record, u32 hash)
{
    u32 low = 0, high = record->point_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (blob->point[record->point + middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Would one session more be above what bounded= lets a server of this weight have? (Mirrokni, Thorup, Zadimoghaddam:
 * Consistent Hashing with Bounded Loads, 2016) */
static bool
is_above_bound(const struct choice *choice, u32 first, u32 end)
{
    const struct upstream *upstream = choice->upstream;
    u64 connections = 0, weight = 0;
    for (u32 i = first; i < end; i++) {
        connections += choice->balance->peer[i].connections;
        weight += choice->target[i].peer->weight;
    }
    return connections * 100 * upstream->total_weight >=
           (u64)upstream->record->bounded * (choice->balance->connections + 1) * weight;
}

/* Of the addresses of a server, which are several if its name has several. NOBODY: none of them. */
static u32
choose_address(struct choice *choice, u32 peer, bool *above)
{
    const struct upstream *upstream = choice->upstream;
    const struct target *target = choice->target;
    u32 first = upstream->first_of_peer[peer - upstream->record->peer], end = first;
    while (end < upstream->primary_count && target[end].peer->name == target[first].peer->name)
        end++;
    *above = upstream->record->bounded && is_above_bound(choice, first, end);
    return *above ? NOBODY : turns_walk(choice, first, end);
}

/* Compatible with Cache::Memcached::Fast. Who has too many sessions is passed by, as often as it takes. */
u32
hash_consistent(struct choice *choice)
{
    struct session *s = choice->session;
    const struct blob *blob = s->shard->blob;
    const struct blob_upstream *record = choice->upstream->record;
    u8 key[HASH_KEY_MAX];
    size_t size;
    if (!s->hashed && read_key(choice, key, &size)) {
        s->hash = find_point(blob, record, blob_crc32(0, key, size));
        s->hashed = true;
    }
    u32 passed = 0;
    while (s->hashed && s->hash_tries <= TRIES_OF_LUCK && passed < record->point_count) {
        bool above;
        u32 peer = blob->point[record->point + (s->hash + passed) % record->point_count].peer;
        u32 found = choose_address(choice, peer, &above);
        if (found != NOBODY)
            return found;
        passed += above;
        s->hash += !above;
        s->hash_tries += !above;
    }
    return turns_choose(choice);
}

/* ---- maglev ---- */

u32
hash_maglev(struct choice *choice)
{
    struct session *s = choice->session;
    const struct blob *blob = s->shard->blob;
    const struct blob_upstream *record = choice->upstream->record;
    u8 key[HASH_KEY_MAX];
    size_t size;
    if (!s->hashed && read_key(choice, key, &size)) {
        s->hash = (u32)(blob_hash(key, size) % (record->cell_count ? record->cell_count : 1));
        s->hashed = true;
    }
    while (s->hashed && s->hash_tries <= TRIES_OF_LUCK && record->cell_count) {
        bool above;
        u32 found = choose_address(choice, blob->cell[record->cell + s->hash % record->cell_count].peer, &above);
        if (found != NOBODY)
            return found;
        s->hash++;
        s->hash_tries++;
    }
    return turns_choose(choice);
}
