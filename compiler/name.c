/*
 * Names that one directive declares and another one uses: log formats, limits, match blocks, zones of memory. What
 * stands where comes in; what is unknown, declared twice or shared by those who cannot share it is reported. A
 * feature needs a row of things[] and two calls.
 */
#include "judge.h"

#include <string.h>

static const struct {
    const char *what, *advice; /* the advice has one %s, the name */
    bool ordered;              /* it must stand before its first use, as nginx reads once */
    bool any_case;
} things[THING_COUNT] = {
    [THING_FORMAT] = {"log_format", "add before it, in stream {}: log_format %s '$remote_addr $status $session_time';",
                      true, true},
    [THING_LIMIT] = {"limit_conn_zone", "add to stream {}: limit_conn_zone $binary_remote_addr zone=%s:1m;", false,
                     false},
    [THING_PACE] = {"limit_conn_rate_zone",
                    "add to stream {}: limit_conn_rate_zone $binary_remote_addr zone=%s:1m rate=10r/s;", false, false},
    [THING_MATCH] = {"match block", "add to stream {}: match %s { expect ~ pattern; }", false, false},
    [THING_KEYVAL] = {"keyval_zone", "add to stream {}: keyval_zone zone=%s:1m;", false, false},
};

struct name {
    enum thing thing;
    const char *text;
    struct span span;
};

struct use {
    enum thing thing;
    const char *text;
    struct span span;
};

struct zone {
    const char *text;
    enum zone_use use;
    u64 size;
    struct span span;
};

static const char *
key_of(struct unit *unit, enum thing thing, const char *text)
{
    const char *folded = things[thing].any_case ? lower_case(unit, text) : text;
    return arena_print(&unit->arena, "%d%s", thing, folded);
}

static const struct name *
find(struct unit *unit, enum thing thing, const char *text)
{
    const char *key = key_of(unit, thing, text);
    u32 found = map_find(&unit->judge->name_of, key, strlen(key));
    return found == 0 ? NULL : (struct name *)unit->judge->names.item + found - 1;
}

void
name_declare(struct unit *unit, enum thing thing, const char *text, struct span span)
{
    const struct name *earlier = find(unit, thing, text);
    if (earlier != NULL) {
        if (strcmp(earlier->text, text) != 0)
            return; /* another letter case: the first one is found, as by nginx */
        diag(unit, duplicate_name, span, things[thing].what, show(unit, text, strlen(text)));
        diag_note(unit, earlier->span, "it stands here first");
        return;
    }
    struct name *name = vector_add(&unit->arena, &unit->judge->names, sizeof *name);
    *name = (struct name){thing, text, span};
    const char *key = key_of(unit, thing, text);
    *map_at(&unit->arena, &unit->judge->name_of, key, strlen(key)) = unit->judge->names.count;
}

void
name_use(struct unit *unit, enum thing thing, const char *text, struct span span)
{
    if (find(unit, thing, text) == NULL)
        *(struct use *)vector_add(&unit->arena, &unit->judge->name_uses, sizeof(struct use)) =
            (struct use){thing, text, span};
}

static void
say_unknown(struct unit *unit, const struct use *use)
{
    struct nearest nearest = {.word = use->text};
    const struct name *name = unit->judge->names.item;
    for (u32 i = 0; i < unit->judge->names.count; i++)
        if (name[i].thing == use->thing)
            nearest_try(&nearest, name[i].text);
    const char *shown = show(unit, use->text, strlen(use->text));
    if (use->thing == THING_LIMIT)
        diag(unit, unknown_zone, use->span, shown);
    else
        diag(unit, unknown_name, use->span, things[use->thing].what, shown);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
    else
        diag_help(unit, "%s", arena_print(&unit->arena, things[use->thing].advice, use->text));
}

/* ---- zones ---- */

static const char *const zone_users[] = {
    [ZONE_LIMIT] = "limit_conn_zone", [ZONE_PACE] = "limit_conn_rate_zone",
    [ZONE_KEYVAL] = "keyval_zone", [ZONE_UPSTREAM] = "upstreams",
    [ZONE_TLS] = "ssl_session_cache", [ZONE_OCSP] = "ssl_ocsp_cache",
};

void
name_zone(struct unit *unit, enum zone_use use, const char *text, u64 size, struct span span)
{
    u32 *slot = map_at(&unit->arena, &unit->judge->zone_of, text, strlen(text));
    const char *shown = show(unit, text, strlen(text));
    if (*slot == 0) {
        struct zone *zone = vector_add(&unit->arena, &unit->judge->zones, sizeof *zone);
        *zone = (struct zone){text, use, size, span};
        *slot = unit->judge->zones.count;
        return;
    }
    struct zone *zone = (struct zone *)unit->judge->zones.item + *slot - 1;
    if (zone->use != use) {
        diag(unit, zone_taken, span, shown, zone_users[zone->use]);
        diag_note(unit, zone->span, "it stands here");
    } else if (use == ZONE_LIMIT || use == ZONE_PACE || use == ZONE_KEYVAL) {
        diag(unit, duplicate_name, span, zone_users[use], shown);
        diag_note(unit, zone->span, "it stands here first");
    } else if (size != 0 && zone->size != 0 && size != zone->size) {
        diag(unit, zone_sizes, span, shown);
        diag_note(unit, zone->span, "it has another size here");
    } else if (zone->size == 0) {
        zone->size = size;
        zone->span = span;
    }
}

void
name_finish(struct unit *unit)
{
    struct judge *judge = unit->judge;
    const struct use *use = judge->name_uses.item;
    for (u32 i = 0; i < judge->name_uses.count; i++) {
        const struct name *name = find(unit, use[i].thing, use[i].text);
        if (name == NULL && !judge_is_lenient(unit))
            say_unknown(unit, &use[i]);
        if (name == NULL || !things[use[i].thing].ordered)
            continue;
        diag(unit, name_below, use[i].span, things[use[i].thing].what, show(unit, use[i].text, strlen(use[i].text)));
        diag_note(unit, name->span, "it stands here");
    }
    const struct zone *zone = judge->zones.item;
    for (u32 i = 0; i < judge->zones.count; i++)
        if (zone[i].size == 0 && !judge_is_lenient(unit)) {
            diag(unit, zone_sizeless, zone[i].span, show(unit, zone[i].text, strlen(zone[i].text)));
            diag_help(unit, "write: zone %s 64k;", zone[i].text);
        }
}
