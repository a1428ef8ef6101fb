/*
 * Which peer: who may be chosen, what becomes of one that fails, and what a group remembers of its peers; the methods
 * are in files of their own. As in nginx, a peer is out for fail_timeout after max_fails failures. Times are in whole
 * seconds because nginx's are, and the log shows it.
 */
#include "balance.h"

#include <stdlib.h>
#include <string.h>

enum {
    WALK_MOST = 16,    /* a group of more is not walked through for each choice */
    FRACTIONS = 256,   /* of a unit of weight, where weights grow slowly */
    MEMORY = 8,        /* of an average: a new time counts for so much less than all before, as TCP's (RFC 6298) */
};

/* ---- who may be chosen ---- */

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
is_out(const struct target *target, const struct peer *peer)
{
    return target->peer->max_fails && peer->fails >= target->peer->max_fails;
}

static bool
is_failing(const struct target *target, const struct peer *peer, time_t now)
{
    return is_out(target, peer) && now - peer->checked <= (time_t)(target->peer->fail_timeout_ms / 1000);
}

bool
choice_may_still(const struct choice *choice, u32 i)
{
    const struct target *target = &choice->target[i];
    const struct peer *peer = &choice->balance->peer[i];
    return !is_tried(choice->session, i) && !is_down(target) && !is_failing(target, peer, (time_t)choice->now) &&
           !is_full(target, peer);
}

u32
choice_made(const struct choice *choice, u32 i)
{
    struct peer *peer = &choice->balance->peer[i];
    time_t now = (time_t)choice->now;
    if (now - peer->checked > (time_t)(choice->target[i].peer->fail_timeout_ms / 1000))
        peer->checked = now;
    return i;
}

i64
choice_slow_weight(const struct choice *choice, u32 i)
{
    struct peer *peer = &choice->balance->peer[i];
    double whole_ms = (double)choice->target[i].peer->slow_start_ms, past_ms = (choice->now - peer->recovering) * 1000;
    if (past_ms >= 0 && past_ms < whole_ms)
        return 1 + (i64)((double)(peer->weight - 1) * past_ms / whole_ms);
    peer->recovering = 0;
    return peer->weight;
}

u32
choice_with_backups(struct choice *choice, u32 (*method)(struct choice *, struct range *))
{
    if (!choice->session->backups) {
        u32 found = method(choice, &choice->balance->primaries);
        if (found != NOBODY)
            return found;
        choice->session->backups = true;
    }
    return method(choice, &choice->balance->backups);
}

/* ---- what is known of a group ---- */

static bool
open_balance(const struct generation *g, const struct upstream *upstream, struct balance *balance)
{
    const struct target *target = &g->target[upstream->target];
    balance->primaries = (struct range){.end = upstream->primary_count};
    balance->backups = (struct range){.first = upstream->primary_count, .end = upstream->count};
    for (u32 i = 0; i < upstream->count; i++) {
        balance->peer[i].counts = !is_down(&target[i]) && !is_out(&target[i], &balance->peer[i]);
        balance->peer[i].limited = is_down(&target[i]) || target[i].peer->max_conns;
        balance->peer[i].unit = upstream->slow ? FRACTIONS : 1;
        balance->peer[i].weight = (i64)target[i].peer->weight * balance->peer[i].unit;
        balance->peer[i].effective_weight = balance->peer[i].weight;
    }
    u32 method = upstream->record->method;
    bool heap = method == METHOD_LEAST_CONN || method == METHOD_LEAST_TIME;
    struct choice nobody = {.upstream = upstream, .target = target, .balance = balance, .now = ev_time()};
    return upstream->count <= WALK_MOST || (turns_open(upstream, balance) && (!heap || heap_open(&nobody)));
}

static void
close_balance(struct balance *balance)
{
    free(balance->turns);
    free(balance->member);
    free(balance->heap);
}

bool
balance_open(struct shard *shard)
{
    const struct generation *g = shard->generation;
    shard->balance = calloc(g->blob->upstream_count, sizeof *shard->balance);
    shard->peer = calloc(g->target_count + 1, sizeof *shard->peer);
    bool good = shard->balance && shard->peer;
    for (u32 i = 1; i < g->blob->upstream_count && good; i++) {
        shard->balance[i].peer = &shard->peer[g->upstream[i].target];
        good = g->upstream[i].shared || open_balance(g, &g->upstream[i], &shard->balance[i]);
    }
    return good;
}

void
balance_close(struct shard *shard)
{
    for (u32 i = 1; shard->balance && i < shard->blob->upstream_count; i++)
        close_balance(&shard->balance[i]);
    free(shard->balance);
    free(shard->peer);
}

/* ---- what all workers know together ---- */

static const struct target *sorting; /* by its text, and the first first */

static int
by_text(const void *one, const void *other)
{
    u32 a = *(const u32 *)one, b = *(const u32 *)other;
    int order = strcmp(sorting[a].text, sorting[b].text);
    return order ? order : a < b ? -1 : 1;
}

static u32 *
sort_by_text(const struct target *target, u32 count)
{
    u32 *sorted = malloc(count * sizeof *sorted);
    for (u32 i = 0; sorted && i < count; i++)
        sorted[i] = i;
    sorting = target;
    if (sorted)
        qsort(sorted, count, sizeof *sorted, by_text);
    return sorted;
}

/* What it did; its sessions are the other generation's. */
static void
remember(struct peer *to, const struct peer *from, bool slow)
{
    to->fails = from->fails;
    to->accessed = from->accessed;
    to->checked = from->checked;
    to->average_ms = from->average_ms;
    to->recovering = slow ? from->recovering : 0;
}

/* From those of the same address before, in one walk along both lists: sessions wait for the lock. Of an address that
 * stands there several times the first is the first, and so on. */
static void
remember_all(struct upstream *upstream, const struct target *target, const u32 *ours, const struct upstream *before,
             const struct target *old, const u32 *theirs)
{
    for (u32 i = 0, j = 0; i < upstream->count && j < before->count;) {
        const char *text = old[theirs[j]].text;
        int order = strcmp(target[ours[i]].text, text);
        bool last = j + 1 == before->count || strcmp(old[theirs[j + 1]].text, text) != 0;
        if (order == 0)
            remember(&upstream->shared->peer[ours[i]], &before->shared->peer[theirs[j]], upstream->slow);
        i += order <= 0;
        j += order > 0 || (order == 0 && !last);
    }
}

/* From the group of the same name before. */
static void
carry_over(const struct generation *g, struct upstream *upstream, const struct generation *old)
{
    u32 index = 0;
    for (u32 i = 1; i < old->blob->upstream_count && !index; i++)
        index = old->upstream[i].shared && strcmp(old->upstream[i].name, upstream->name) == 0 ? i : 0;
    const struct upstream *before = &old->upstream[index];
    if (!index)
        return;
    const struct target *target = &g->target[upstream->target], *known = &old->target[before->target];
    u32 *ours = sort_by_text(target, upstream->count), *theirs = sort_by_text(known, before->count);
    pthread_mutex_lock(before->shared->mutex);
    if (ours && theirs)
        remember_all(upstream, target, ours, before, known, theirs);
    pthread_mutex_unlock(before->shared->mutex);
    free(ours);
    free(theirs);
}

bool
balance_share(const struct generation *g, struct upstream *upstream, const struct generation *old)
{
    struct balance *shared = calloc(1, sizeof *shared);
    upstream->shared = shared;
    if (!shared || !(shared->peer = calloc(upstream->count, sizeof *shared->peer)) ||
        !(shared->mutex = malloc(sizeof *shared->mutex)))
        return false;
    pthread_mutex_init(shared->mutex, NULL);
    if (old)
        carry_over(g, upstream, old);
    return open_balance(g, upstream, shared);
}

void
balance_unshare(struct upstream *upstream)
{
    struct balance *shared = upstream->shared;
    if (!shared)
        return;
    close_balance(shared);
    free(shared->peer);
    if (shared->mutex)
        pthread_mutex_destroy(shared->mutex);
    free(shared->mutex);
    free(shared);
}

/* ---- choosing ---- */

static u32 (*const methods[])(struct choice *) = {
    [METHOD_ROUND_ROBIN] = turns_choose, [METHOD_HASH] = hash_choose,        [METHOD_CONSISTENT] = hash_consistent,
    [METHOD_MAGLEV] = hash_maglev,       [METHOD_LEAST_CONN] = least_choose, [METHOD_LEAST_TIME] = least_choose,
    [METHOD_RANDOM] = least_random,      [METHOD_RANDOM_TWO] = least_random, [METHOD_RANDOM_TIME] = least_random,
};

/* An upstream of one server has nothing to choose and never marks it as failed. */
static bool
is_single(const struct upstream *upstream)
{
    return upstream->count == 1;
}

static u32
choose(struct choice *choice)
{
    u32 home = is_single(choice->upstream) ? NOBODY
                                           : quic_home(choice->session, choice->target, choice->upstream->count);
    if (home != NOBODY && choice_may(choice, home))
        return choice_made(choice, home);
    if (!is_single(choice->upstream))
        return methods[choice->upstream->record->method](choice);
    return is_down(choice->target) || is_full(choice->target, choice->balance->peer) ? NOBODY : 0;
}

static void
lock(const struct balance *balance)
{
    if (balance->mutex)
        pthread_mutex_lock(balance->mutex);
}

static void
unlock(const struct balance *balance)
{
    if (balance->mutex)
        pthread_mutex_unlock(balance->mutex);
}

static struct choice
begin(struct session *s)
{
    struct shard *shard = s->shard;
    const struct upstream *upstream = &shard->generation->upstream[s->upstream_index];
    return (struct choice){s, upstream, &shard->generation->target[upstream->target],
                           upstream->shared ? upstream->shared : &shard->balance[s->upstream_index],
                           shard->worker->now};
}

static void
recount(struct choice *choice, u32 i)
{
    const struct target *target = &choice->target[i];
    const struct peer *peer = &choice->balance->peer[i];
    if (choice->balance->turns)
        turns_count(choice->upstream, choice->balance, i,
                    !is_down(target) && !is_out(target, peer) && !is_full(target, peer));
}

static void
count_session(struct choice *choice, u32 i, int sign)
{
    struct balance *balance = choice->balance;
    balance->peer[i].connections += (u32)sign;
    balance->connections += (u32)sign;
    if (balance->heap)
        heap_move(choice, i);
    if (balance->peer[i].limited)
        recount(choice, i);
}

/* ---- measuring, for least_time ---- */

static void
start_time(struct choice *choice, u32 i)
{
    struct peer *peer = &choice->balance->peer[i];
    choice->session->asked = choice->now;
    choice->session->timed = true;
    peer->waiting++;
    peer->waiting_since += choice->now;
}

/* What is measured came then; or never, if that is before the target was chosen. */
static void
end_time(struct choice *choice, double then)
{
    struct session *s = choice->session;
    struct peer *peer = &choice->balance->peer[s->target];
    double ms = (then - s->asked) * 1000;
    s->timed = false;
    peer->waiting--;
    peer->waiting_since = peer->waiting ? peer->waiting_since - s->asked : 0;
    if (ms >= 0)
        peer->average_ms = peer->average_ms > 0 ? peer->average_ms + (ms - peer->average_ms) / MEMORY : ms;
}

bool
balance_choose(struct session *s)
{
    if (s->made) {
        s->target = 0; /* there is no choice */
        return true;
    }
    struct choice choice = begin(s);
    lock(choice.balance);
    s->target = choose(&choice);
    if (s->target != NOBODY)
        count_session(&choice, s->target, 1);
    if (s->target != NOBODY && choice.upstream->record->timing)
        start_time(&choice, s->target);
    unlock(choice.balance);
    return s->target != NOBODY;
}

/* ---- and afterwards ---- */

static void
count_failure(struct choice *choice, struct peer *peer)
{
    struct session *s = choice->session;
    const struct blob_peer *record = choice->target[s->target].peer;
    peer->fails++;
    peer->accessed = (time_t)choice->now;
    peer->checked = (time_t)choice->now;
    if (record->max_fails) {
        peer->effective_weight -= peer->weight / (i64)record->max_fails;
        if (peer->fails >= record->max_fails)
            session_log(s, LEVEL_WARN, 0, "upstream server temporarily disabled");
    }
    if (peer->effective_weight < 0)
        peer->effective_weight = 0;
    recount(choice, s->target);
}

/* It failed before, and this session has found out that it works again. */
static void
forgive(struct choice *choice, struct peer *peer)
{
    u32 i = choice->session->target;
    if (is_out(&choice->target[i], peer))
        peer->recovering = choice->target[i].peer->slow_start_ms ? choice->now : 0;
    peer->fails = 0;
    recount(choice, i);
}

/* With the lock. */
static void
release(struct choice *choice, bool failed)
{
    struct session *s = choice->session;
    struct peer *peer = &choice->balance->peer[s->target];
    if (s->timed) {
        bool whole = choice->upstream->record->timing == TIMING_LAST_BYTE && !failed && s->upstream.received > 0;
        end_time(choice, whole ? s->upstream.active : -1);
    }
    count_session(choice, s->target, -1);
    if (is_single(choice->upstream)) {
        s->tries = 0;
        return;
    }
    if (failed) {
        count_failure(choice, peer);
        mark_tried(s, s->target);
    } else if (peer->accessed < peer->checked) {
        forgive(choice, peer);
    }
    if (s->tries)
        s->tries--;
}

void
balance_release(struct session *s, bool failed)
{
    if (!s->server->proxy || s->target == NOBODY)
        return;
    if (s->made) {
        s->target = NOBODY;
        s->tries = 0;
        return;
    }
    struct choice choice = begin(s);
    lock(choice.balance);
    release(&choice, failed);
    unlock(choice.balance);
    s->target = NOBODY;
}

/* As in nginx, a connection shows that a server is well again; nothing shows it of datagrams but a good end. */
void
balance_time(struct session *s, enum timing timing)
{
    bool connected = timing == TIMING_CONNECT && !session_is_udp(s);
    if (s->made || s->target == NOBODY || (!connected && !s->timed))
        return;
    struct choice choice = begin(s);
    struct peer *peer = &choice.balance->peer[s->target];
    lock(choice.balance);
    if (connected && !is_single(choice.upstream) && peer->accessed < peer->checked)
        forgive(&choice, peer);
    if (s->timed && choice.upstream->record->timing == timing) {
        end_time(&choice, choice.now);
        if (choice.balance->heap)
            heap_move(&choice, s->target);
    }
    unlock(choice.balance);
}
