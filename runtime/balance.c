/*
 * Which peer: smooth weighted round robin, hash, least_conn and random, as nginx does them, with its way of taking a
 * peer out for fail_timeout after max_fails failures. Times are in whole seconds because nginx's are, and the log shows
 * it.
 */
#include "spcd.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool
is_tried(const struct session *s, u32 target)
{
    return s->tried && s->tried[target / 64] >> target % 64 & 1;
}

/* Remember the target that failed. Without memory it may be tried again, which tries bounds anyway. */
static void
mark_tried(struct session *s, u32 target)
{
    if (!s->tried) {
        s->tried = slab_take(&s->shard->tried);
        if (!s->tried)
            return;
        memset(s->tried, 0, s->shard->generation->tried_size);
    }
    s->tried[target / 64] |= 1ull << target % 64;
}

static bool
is_down(const struct target *target)
{
    return target->peer->flags & PEER_DOWN || target->size == 0;
}

static bool
is_full(const struct target *target, const struct peer *peer)
{
    return target->peer->max_conns && peer->connections >= target->peer->max_conns;
}

static bool
is_failing(const struct target *target, const struct peer *peer, time_t now)
{
    return target->peer->max_fails && peer->fails >= target->peer->max_fails &&
           now - peer->checked <= (time_t)(target->peer->fail_timeout_ms / 1000);
}

/* What is known of the targets of the group. */
static struct peer *
peers_of(const struct session *s, const struct upstream *upstream)
{
    return upstream->shared ? upstream->shared : &s->shard->peer[upstream->target];
}

static const struct target *
targets_of(const struct session *s, const struct upstream *upstream)
{
    return &s->shard->generation->target[upstream->target];
}

static bool
is_usable(const struct session *s, const struct upstream *upstream, u32 i, time_t now)
{
    const struct target *target = &targets_of(s, upstream)[i];
    const struct peer *peer = &peers_of(s, upstream)[i];
    return !is_tried(s, i) && !is_down(target) && !is_failing(target, peer, now) && !is_full(target, peer);
}

/* It was chosen: if it has failed before, one session at a time finds out. */
static u32
chosen(const struct session *s, const struct upstream *upstream, u32 i, time_t now)
{
    struct peer *peer = &peers_of(s, upstream)[i];
    if (now - peer->checked > (time_t)(targets_of(s, upstream)[i].peer->fail_timeout_ms / 1000))
        peer->checked = now;
    return i;
}

/* ---- round robin ---- */

/* It is one of those that could be chosen: its turn comes nearer, by as much as this gives. */
static i32
take_turn(struct peer *peer)
{
    i32 weight = peer->effective_weight;
    peer->current_weight += weight;
    if (peer->effective_weight < peer->weight)
        peer->effective_weight++;
    return weight;
}

/* The best of the targets from first up to end, UINT32_MAX if none can be tried. */
static u32
choose_round_robin(struct session *s, const struct upstream *upstream, u32 first, u32 end, time_t now)
{
    struct peer *peer = peers_of(s, upstream);
    u32 best = UINT32_MAX;
    i32 total = 0;
    for (u32 i = first; i < end; i++) {
        if (!is_usable(s, upstream, i, now))
            continue;
        total += take_turn(&peer[i]);
        if (best == UINT32_MAX || peer[i].current_weight > peer[best].current_weight)
            best = i;
    }
    if (best == UINT32_MAX)
        return best;
    peer[best].current_weight -= total;
    return chosen(s, upstream, best, now);
}

/* Backups are for when no primary can be tried. */
static u32
round_robin(struct session *s, const struct upstream *upstream, time_t now)
{
    if (!s->backups) {
        u32 found = choose_round_robin(s, upstream, 0, upstream->primary_count, now);
        if (found != UINT32_MAX)
            return found;
        s->backups = true;
    }
    return choose_round_robin(s, upstream, upstream->primary_count, upstream->count, now);
}

/* ---- hash ---- */

enum { TRIES_OF_LUCK = 20, HASH_KEY_MAX = 4096 }; /* then nginx goes on with round robin */

/* The key; false: there is none, or it is too long to be one. */
static bool
read_key(struct session *s, const struct upstream *upstream, u8 key[HASH_KEY_MAX], size_t *size)
{
    *size = expr_run(s, &s->shard->blob->expr[upstream->record->key], key, HASH_KEY_MAX);
    return *size > 0 && *size <= HASH_KEY_MAX;
}

/* The primary that holds this share of the weights. */
static u32
by_weight(const struct session *s, const struct upstream *upstream, u32 share)
{
    const struct target *target = targets_of(s, upstream);
    u32 i = 0;
    while (share >= target[i].peer->weight)
        share -= target[i++].peer->weight;
    return i;
}

/* Compatible with Cache::Memcached. */
static u32
choose_hash(struct session *s, const struct upstream *upstream, time_t now)
{
    u8 key[HASH_KEY_MAX];
    size_t size;
    while (s->hash_tries <= TRIES_OF_LUCK && read_key(s, upstream, key, &size)) {
        char again[4];
        int digits = s->hashed ? snprintf(again, sizeof again, "%u", s->hash_tries) : 0;
        u32 crc = blob_crc32(blob_crc32(0, again, (size_t)digits), key, size);
        s->hashed = true;
        s->hash += crc >> 16 & 0x7fff;
        s->hash_tries++;
        u32 i = by_weight(s, upstream, s->hash % (u32)upstream->total_weight);
        if (is_usable(s, upstream, i, now))
            return chosen(s, upstream, i, now);
    }
    return round_robin(s, upstream, now);
}

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

/* Of the addresses of a server, which are several if its name has several. */
static u32
choose_address(struct session *s, const struct upstream *upstream, u32 peer, time_t now)
{
    const struct target *target = targets_of(s, upstream);
    u32 first = upstream->first_of_peer[peer - upstream->record->peer], end = first;
    while (end < upstream->primary_count && target[end].peer->name == target[first].peer->name)
        end++;
    return choose_round_robin(s, upstream, first, end, now);
}

/* Compatible with Cache::Memcached::Fast. */
static u32
choose_consistent(struct session *s, const struct upstream *upstream, time_t now)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_upstream *record = upstream->record;
    u8 key[HASH_KEY_MAX];
    size_t size;
    if (!s->hashed && read_key(s, upstream, key, &size)) {
        s->hash = find_point(blob, record, blob_crc32(0, key, size));
        s->hashed = true;
    }
    while (s->hashed && s->hash_tries <= TRIES_OF_LUCK && record->point_count) {
        u32 peer = blob->point[record->point + s->hash % record->point_count].peer;
        u32 found = choose_address(s, upstream, peer, now);
        if (found != UINT32_MAX)
            return found;
        s->hash++;
        s->hash_tries++;
    }
    return round_robin(s, upstream, now);
}

/* ---- least_conn ---- */

/* Is a's share of sessions below, at or above b's? */
static i64
compare_load(const struct peer *a, const struct peer *b)
{
    return (i64)a->connections * b->weight - (i64)b->connections * a->weight;
}

/* Of those that have the fewest for their weight, one in turn. */
static u32
choose_least(struct session *s, const struct upstream *upstream, u32 first, u32 end, time_t now)
{
    struct peer *peer = peers_of(s, upstream);
    u32 best = UINT32_MAX;
    bool many = false;
    i32 total = 0;
    for (u32 i = first; i < end; i++) {
        if (!is_usable(s, upstream, i, now))
            continue;
        i64 load = best == UINT32_MAX ? -1 : compare_load(&peer[i], &peer[best]);
        many = load == 0 || (many && load > 0);
        best = load < 0 ? i : best;
    }
    for (u32 i = best, least = best; many && i < end; i++) {
        if (!is_usable(s, upstream, i, now) || compare_load(&peer[i], &peer[least]) != 0)
            continue;
        total += take_turn(&peer[i]);
        if (peer[i].current_weight > peer[best].current_weight)
            best = i;
    }
    if (best == UINT32_MAX)
        return best;
    peer[best].current_weight -= total;
    return chosen(s, upstream, best, now);
}

static u32
choose_least_conn(struct session *s, const struct upstream *upstream, time_t now)
{
    if (!s->backups) {
        u32 found = choose_least(s, upstream, 0, upstream->primary_count, now);
        if (found != UINT32_MAX)
            return found;
        s->backups = true;
    }
    return choose_least(s, upstream, upstream->primary_count, upstream->count, now);
}

/* ---- random ---- */

static u32
random_share(const struct upstream *upstream)
{
    static _Thread_local u64 state;
    if (!state && getrandom(&state, sizeof state, 0) != sizeof state)
        state = 1;
    state = state * 6364136223846793005 + 1442695040888963407; /* Knuth's MMIX */
    return (u32)(state >> 33) % (u32)upstream->total_weight;
}

static u32
choose_random(struct session *s, const struct upstream *upstream, time_t now)
{
    bool two = upstream->record->method == METHOD_RANDOM_TWO;
    const struct peer *peer = peers_of(s, upstream);
    u32 first = UINT32_MAX;
    for (u32 luck = 0; luck <= TRIES_OF_LUCK && upstream->total_weight > 0; luck++) {
        u32 i = by_weight(s, upstream, random_share(upstream));
        if (i == first || !is_usable(s, upstream, i, now))
            continue;
        if (!two)
            return chosen(s, upstream, i, now);
        if (first != UINT32_MAX)
            return chosen(s, upstream, compare_load(&peer[i], &peer[first]) > 0 ? first : i, now);
        first = i;
    }
    return round_robin(s, upstream, now);
}

/* ---- all of them ---- */

static u32 (*const methods[])(struct session *, const struct upstream *, time_t) = {
    [METHOD_ROUND_ROBIN] = round_robin,        [METHOD_HASH] = choose_hash,     [METHOD_CONSISTENT] = choose_consistent,
    [METHOD_LEAST_CONN] = choose_least_conn, [METHOD_RANDOM] = choose_random, [METHOD_RANDOM_TWO] = choose_random,
};

/* An upstream of one server has nothing to choose and never marks it as failed. */
static bool
is_single(const struct upstream *upstream)
{
    return upstream->count == 1;
}

static u32
choose(struct session *s, const struct upstream *upstream, time_t now)
{
    if (is_single(upstream)) {
        const struct target *target = targets_of(s, upstream);
        return is_down(target) || is_full(target, peers_of(s, upstream)) ? UINT32_MAX : 0;
    }
    return methods[upstream->record->method](s, upstream, now);
}

static void
lock(const struct upstream *upstream)
{
    if (upstream->shared)
        pthread_mutex_lock(upstream->mutex);
}

static void
unlock(const struct upstream *upstream)
{
    if (upstream->shared)
        pthread_mutex_unlock(upstream->mutex);
}

bool
balance_choose(struct session *s)
{
    struct shard *shard = s->shard;
    const struct upstream *upstream = &shard->generation->upstream[s->upstream_index];
    if (s->made) {
        s->target = 0; /* there is no choice */
        return true;
    }
    lock(upstream);
    s->target = choose(s, upstream, (time_t)ev_now(shard->worker->loop));
    if (s->target != UINT32_MAX)
        peers_of(s, upstream)[s->target].connections++;
    unlock(upstream);
    return s->target != UINT32_MAX;
}

static void
count_failure(struct session *s, struct peer *peer, const struct blob_peer *record, time_t now)
{
    peer->fails++;
    peer->accessed = now;
    peer->checked = now;
    if (record->max_fails) {
        peer->effective_weight -= peer->weight / (i32)record->max_fails;
        if (peer->fails >= record->max_fails)
            session_log(s, LEVEL_WARN, 0, "upstream server temporarily disabled");
    }
    if (peer->effective_weight < 0)
        peer->effective_weight = 0;
}

void
balance_release(struct session *s, bool failed)
{
    if (!s->server->proxy || s->target == UINT32_MAX)
        return;
    if (s->made) {
        s->target = UINT32_MAX;
        s->tries = 0;
        return;
    }
    struct shard *shard = s->shard;
    const struct upstream *upstream = &shard->generation->upstream[s->upstream_index];
    struct peer *peer = &peers_of(s, upstream)[s->target];
    lock(upstream);
    peer->connections--;
    if (is_single(upstream)) {
        s->tries = 0;
    } else {
        if (failed) {
            const struct blob_peer *record = shard->generation->target[upstream->target + s->target].peer;
            count_failure(s, peer, record, (time_t)ev_now(shard->worker->loop));
            mark_tried(s, s->target);
        } else if (peer->accessed < peer->checked) {
            peer->fails = 0;
        }
        if (s->tries)
            s->tries--;
    }
    unlock(upstream);
    s->target = UINT32_MAX;
}
