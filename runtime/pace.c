/*
 * limit_conn_rate: how fast sessions of a key may come. What a zone knows of a key is when, at the zone's pace, the
 * next one is due; each that may come moves that on by one interval, and one that comes more than burst intervals
 * before it is refused. So what a key may have in any stretch of time is exact, whatever worker its sessions come to;
 * and a key whose time is past may be forgotten.
 */
#include "spcd.h"

#include <time.h>

enum { SWEEP_ALWAYS = 4, SWEEP_FULL = 1024 }; /* entries that are looked at for a new key, to forget those past */

static u64
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

/* 0: there is no room. */
static u32
make_room(struct zone *zone, u64 now, const u8 *key, size_t size)
{
    zone_sweep(zone, now, SWEEP_ALWAYS);
    if (zone_is_full(zone))
        zone_sweep(zone, now, SWEEP_FULL);
    u32 at = zone_add(zone, key, size);
    if (at)
        *zone_value(zone, at) = now;
    return at;
}

/* One more of the key. False: it is too early, or there is no room. */
static bool
come(struct zone *zone, u64 interval, u32 burst, const u8 *key, size_t size)
{
    u64 now = now_ns();
    zone_lock(zone);
    u32 at = zone_find(zone, key, size);
    if (!at)
        at = make_room(zone, now, key, size);
    u64 *due = at ? zone_value(zone, at) : NULL;
    bool may = due && (*due <= now || *due - now <= burst * interval);
    if (may)
        *due = (*due > now ? *due : now) + interval;
    zone_unlock(zone);
    return may;
}

/* It was refused by another limit, and so has not come. */
static void
forget(struct zone *zone, u64 interval, const u8 *key, size_t size)
{
    zone_lock(zone);
    u32 at = zone_find(zone, key, size);
    if (at)
        *zone_value(zone, at) -= interval;
    zone_unlock(zone);
}

static enum step
refuse(struct session *s, u32 index)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_limit *limit = &blob->limit[s->server->pace];
    bool dry = s->server->flags & SERVER_PACE_DRY_RUN;
    u8 key[ZONE_KEY_MAX];
    const struct blob_limit_zone *reached = &blob->limit_zone[limit[index].zone];
    if (zone_may_say(s, reached))
        session_log(s, s->server->pace_level, 0, "limiting new connections%s by zone \"%s\"", dry ? ", dry run," : "",
                    blob_string(blob, reached->name));
    for (u32 i = 0; i < index; i++) {
        const struct blob_limit_zone *zone = &blob->limit_zone[limit[i].zone];
        size_t size = zone_key(s, zone, key);
        if (size && !limit_holds(s, limit[i].zone, 0))
            forget(s->shard->generation->zone[limit[i].zone], zone->interval_ns, key, size);
    }
    s->pace_status = dry ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    if (dry)
        return STEP_NEXT;
    session_end(s, CLOSE_paced);
    return STEP_ENDED;
}

/* Where it may be passed on to a server with the same zones, it is not to count there again. */
static void
remember(struct session *s)
{
    const struct blob *blob = s->shard->blob;
    if (blob->pass_count == 1)
        return;
    for (u32 i = 0; i < s->server->pace_count; i++)
        if (!limit_holds(s, blob->limit[s->server->pace + i].zone, 0))
            limit_hold(s, blob->limit[s->server->pace + i].zone, 0);
}

enum step
pace_step(struct session *s)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_limit *limit = &blob->limit[s->server->pace];
    u8 key[ZONE_KEY_MAX];
    for (u32 i = 0; i < s->server->pace_count; i++) {
        const struct blob_limit_zone *zone = &blob->limit_zone[limit[i].zone];
        size_t size = limit_holds(s, limit[i].zone, 0) ? 0 : zone_key(s, zone, key);
        if (size == 0)
            continue;
        if (!come(s->shard->generation->zone[limit[i].zone], zone->interval_ns, limit[i].count, key, size))
            return refuse(s, i);
        s->pace_status = LIMIT_PASSED;
    }
    remember(s);
    return STEP_NEXT;
}
