/*
 * Which peer: smooth weighted round robin, as nginx does it, with its way of taking a peer out for
 * fail_timeout after max_fails failures. Times are in whole seconds because nginx's are, and the log shows it.
 */
#include "spcd.h"

#include <string.h>

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

/* The best of the targets from first up to end, UINT32_MAX if none can be tried. */
static u32
choose_round_robin(struct session *s, const struct upstream *upstream, u32 first, u32 end, time_t now)
{
    const struct target *target = &s->shard->generation->target[upstream->target];
    struct peer *peer = &s->shard->peer[upstream->target];
    u32 best = UINT32_MAX;
    i32 total = 0;
    for (u32 i = first; i < end; i++) {
        if (is_tried(s, i) || is_down(&target[i]) || is_failing(&target[i], &peer[i], now) ||
            is_full(&target[i], &peer[i]))
            continue;
        peer[i].current_weight += peer[i].effective_weight;
        total += peer[i].effective_weight;
        if (peer[i].effective_weight < peer[i].weight)
            peer[i].effective_weight++;
        if (best == UINT32_MAX || peer[i].current_weight > peer[best].current_weight)
            best = i;
    }
    if (best == UINT32_MAX)
        return best;
    peer[best].current_weight -= total;
    if (now - peer[best].checked > (time_t)(target[best].peer->fail_timeout_ms / 1000))
        peer[best].checked = now;
    return best;
}

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
        const struct target *target = &s->shard->generation->target[upstream->target];
        return is_down(target) || is_full(target, &s->shard->peer[upstream->target]) ? UINT32_MAX : 0;
    }
    if (!s->backups) {
        u32 chosen = choose_round_robin(s, upstream, 0, upstream->primary_count, now);
        if (chosen != UINT32_MAX)
            return chosen;
        s->backups = true;
    }
    return choose_round_robin(s, upstream, upstream->primary_count, upstream->count, now);
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
    s->target = choose(s, upstream, (time_t)ev_now(shard->worker->loop));
    if (s->target == UINT32_MAX)
        return false;
    shard->peer[upstream->target + s->target].connections++;
    return true;
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
    struct peer *peer = &shard->peer[upstream->target + s->target];
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
    s->target = UINT32_MAX;
}
