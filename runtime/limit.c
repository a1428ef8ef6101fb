/*
 * limit_conn: how many sessions a key has, over all workers and generations.
 */
#include "spcd.h"

u32
limit_most(const struct blob *blob)
{
    bool passes = blob->pass_count > 1;
    u32 most = 0;
    for (u32 i = 1; i < blob->server_count; i++) {
        u32 count = blob->server[i].limit_count + (passes ? blob->server[i].pace_count : 0);
        most = count > most ? count : most;
    }
    return passes ? most * (PASS_MOST + 1) : most;
}

bool
limit_holds(const struct session *s, u32 zone, u32 entry)
{
    for (u32 i = 0; i < s->hold_count; i++)
        if (s->hold[i].zone == zone && s->hold[i].entry == entry)
            return true;
    return false;
}

void
limit_hold(struct session *s, u32 zone, u32 entry)
{
    if (!s->hold)
        s->hold = slab_take(&s->shard->holds);
    s->hold[s->hold_count++] = (struct hold){zone, entry};
}

/* Count the session for the key; one that was passed on may be counted for it already. False: the key has too many, or
 * there is no room. */
static bool
count_up(struct session *s, const struct blob_limit *limit, const u8 *key, size_t size)
{
    struct zone *zone = s->shard->generation->zone[limit->zone];
    zone_lock(zone);
    u32 at = zone_find(zone, key, size);
    bool known = at && limit_holds(s, limit->zone, at);
    if (!at)
        at = zone_add(zone, key, size);
    else if (*zone_value(zone, at) - known >= limit->count)
        at = 0;
    if (at && !known)
        ++*zone_value(zone, at);
    zone_unlock(zone);
    if (at && !known)
        limit_hold(s, limit->zone, at);
    return at != 0;
}

static void
count_down(struct zone *zone, u32 at)
{
    zone_lock(zone);
    if (--*zone_value(zone, at) == 0)
        zone_remove(zone, at);
    zone_unlock(zone);
}

/* ---- sessions ---- */

void
limit_release(struct session *s)
{
    struct generation *g = s->shard->generation;
    for (u32 i = 0; i < s->hold_count; i++)
        if (s->hold[i].entry)
            count_down(g->zone[s->hold[i].zone], s->hold[i].entry);
    if (s->hold)
        slab_give(&s->shard->holds, s->hold);
    s->hold = NULL;
    s->hold_count = 0;
}

static enum step
refuse(struct session *s, const struct blob_limit_zone *zone)
{
    bool dry = s->server->flags & SERVER_LIMIT_DRY_RUN;
    if (zone_may_say(s, zone))
        session_log(s, s->server->limit_level, 0, "limiting connections%s by zone \"%s\"", dry ? ", dry run," : "",
                    blob_string(s->shard->blob, zone->name));
    limit_release(s);
    s->limit_status = dry ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    if (dry)
        return STEP_NEXT;
    session_end(s, CLOSE_limited);
    return STEP_ENDED;
}

enum step
limit_step(struct session *s)
{
    const struct blob *blob = s->shard->blob;
    u8 key[ZONE_KEY_MAX];
    for (u32 i = 0; i < s->server->limit_count; i++) {
        const struct blob_limit *limit = &blob->limit[s->server->limit + i];
        const struct blob_limit_zone *zone = &blob->limit_zone[limit->zone];
        size_t size = zone_key(s, zone, key);
        if (size == 0)
            continue;
        if (!count_up(s, limit, key, size))
            return refuse(s, zone);
        s->limit_status = LIMIT_PASSED;
    }
    return STEP_NEXT;
}
