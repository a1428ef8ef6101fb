/*
 * Groups and their targets: each server line becomes one target for each address it has. A name that was not found
 * keeps a target that is down, and the control thread has it asked for again.
 */
#include "spcd.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Room for one more in generation->target, which has one for each peer from the beginning; names may need more. */
static bool
make_room(struct generation *g)
{
    if (g->target_count < g->target_room)
        return true;
    u32 room = g->target_room ? g->target_room * 2 : g->blob->peer_count;
    struct target *grown = realloc(g->target, room * sizeof *grown);
    if (!grown)
        return false;
    g->target = grown;
    g->target_room = room;
    return true;
}

static struct target *
add_target(struct generation *g, const struct blob_peer *peer)
{
    if (!make_room(g))
        return NULL;
    struct target *target = &g->target[g->target_count++];
    *target = (struct target){.peer = peer};
    return target;
}

static void
name_target(struct target *target, const char *text)
{
    memccpy(target->text, text, '\0', sizeof target->text - 1);
}

static bool
add_literal(struct generation *g, const struct blob_peer *peer)
{
    const struct blob_address *record = &g->blob->address[peer->address];
    struct target *target = add_target(g, peer);
    if (!target)
        return false;
    target->size = address_from_blob(g->blob, record, &target->address);
    name_target(target, blob_string(g->blob, record->text));
    return true;
}

static bool
add_unresolved(struct generation *g, const struct blob_peer *peer, const char *why)
{
    struct target *target = add_target(g, peer);
    if (!target)
        return false;
    const struct blob_origin *origin = blob_find_origin(g->blob, SECTION_peer, (u32)(peer - g->blob->peer));
    name_target(target, blob_string(g->blob, peer->name));
    log_write(&g->logger, LEVEL_ERROR, 0, 0, "host not found in upstream \"%s\" (%s) in %s:%u; it is down until it is",
              target->text, why, origin ? blob_string(g->blob, origin->file) : "?", origin ? origin->line : 0);
    g->unresolved_count++;
    return true;
}

static bool
add_resolved(struct generation *g, const struct blob_peer *peer, const struct lookup *lookup)
{
    if (lookup->error)
        return add_unresolved(g, peer, gai_strerror(lookup->error));
    bool ok = true;
    for (const struct addrinfo *at = lookup->found; at && ok; at = at->ai_next) {
        struct target *target = at->ai_addrlen <= sizeof target->address ? add_target(g, peer) : NULL;
        ok = target != NULL;
        if (!ok)
            break;
        memcpy(&target->address, at->ai_addr, at->ai_addrlen);
        target->size = at->ai_addrlen;
        address_print(at->ai_addr, true, target->text);
    }
    return ok;
}

static bool
open_one(struct generation *g, u32 index)
{
    const struct blob_upstream *record = &g->blob->upstream[index];
    struct upstream *upstream = &g->upstream[index];
    *upstream = (struct upstream){.name = blob_string(g->blob, record->name), .target = g->target_count};
    upstream->record = record;
    upstream->first_of_peer = calloc(record->peer_count, sizeof *upstream->first_of_peer);
    if (!upstream->first_of_peer)
        return false;
    for (u32 i = 0; i < record->peer_count; i++) {
        const struct blob_peer *peer = &g->blob->peer[record->peer + i];
        u32 before = g->target_count;
        if (!(peer->address ? add_literal(g, peer) : add_resolved(g, peer, &g->lookup[record->peer + i])))
            return false;
        upstream->first_of_peer[i] = before - upstream->target;
        upstream->count = g->target_count - upstream->target;
        if (!(peer->flags & PEER_BACKUP))
            upstream->primary_count = upstream->count;
        if (!(peer->flags & PEER_DOWN) && g->target[before].size)
            upstream->try_count += g->target_count - before;
    }
    return true;
}

/* How the weights of the primaries divide what they have together. */
static bool
open_shares(struct generation *g, struct upstream *upstream)
{
    upstream->share = malloc((upstream->primary_count + 1) * sizeof *upstream->share);
    for (u32 i = 0; i < upstream->primary_count && upstream->share; i++) {
        upstream->total_weight += g->target[upstream->target + i].peer->weight;
        upstream->share[i] = upstream->total_weight;
    }
    for (u32 i = 0; i < upstream->count; i++)
        upstream->slow |= g->target[upstream->target + i].peer->slow_start_ms > 0;
    return upstream->share;
}

bool
upstream_open(struct generation *g, const struct generation *old)
{
    g->upstream = calloc(g->blob->upstream_count, sizeof *g->upstream);
    bool good = g->upstream;
    for (u32 i = 1; i < g->blob->upstream_count && good; i++) {
        struct upstream *upstream = &g->upstream[i];
        good = open_one(g, i) && open_shares(g, upstream) &&
               (!(g->blob->upstream[i].flags & UPSTREAM_ZONE) || balance_share(g, upstream, old));
    }
    return good;
}

void
upstream_close(struct generation *g)
{
    for (u32 i = 1; g->upstream && i < g->blob->upstream_count; i++) {
        free(g->upstream[i].first_of_peer);
        free(g->upstream[i].share);
        balance_unshare(&g->upstream[i]);
    }
    free(g->upstream);
    free(g->target);
}

u32
upstream_find(const struct blob *blob, const char *name)
{
    u32 low = 1, high = blob->group_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        int order = strcasecmp(blob_string(blob, blob->group[middle].name), name);
        if (order == 0)
            return blob->group[middle].upstream;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}
