/*
 * The peers of a group of many in a heap, the one with the least load first, so that nobody has to look at all of them:
 * a session that comes or goes moves one peer. Those with the same load take turns by their weights: the next turn of a
 * peer comes so much later as its weight is small (stride scheduling, Waldspurger and Weihl 1995).
 */
#include "balance.h"

#include <stdlib.h>

/* As in nginx, times that are about the same are equal, so that their servers take turns; and so are all long ones. */
double
load_of_time(double ms, u32 connections)
{
    enum { STEP_MS = 20, MOST_MS = 5000 };
    u32 step = ms > MOST_MS ? MOST_MS : (u32)ms / STEP_MS * STEP_MS + STEP_MS;
    return step * (connections + 1.);
}

double
load_compare(const struct upstream *upstream, const struct peer *a, const struct peer *b)
{
    if (upstream->record->method != METHOD_LEAST_TIME && upstream->record->method != METHOD_RANDOM_TIME)
        return (double)((i64)a->connections * b->weight - (i64)b->connections * a->weight);
    return load_of_time(a->average_ms, a->connections) * (double)b->weight -
           load_of_time(b->average_ms, b->connections) * (double)a->weight;
}

/* Does a stand before b? */
static bool
is_before(const struct upstream *upstream, const struct balance *balance, u32 a, u32 b)
{
    const struct peer *peer = balance->peer;
    double load = load_compare(upstream, &peer[a], &peer[b]);
    return load < 0 || (load == 0 && (peer[a].turn < peer[b].turn || (peer[a].turn == peer[b].turn && a < b)));
}

static void
put(struct balance *balance, struct range *range, u32 place, u32 i)
{
    range->heap[place] = i;
    balance->peer[i].place = place;
}

void
heap_move(const struct upstream *upstream, struct balance *balance, u32 i)
{
    struct range *range = i < upstream->primary_count ? &balance->primaries : &balance->backups;
    u32 place = balance->peer[i].place, count = range->end - range->first;
    while (place > 0 && is_before(upstream, balance, i, range->heap[(place - 1) / 2])) {
        put(balance, range, place, range->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (u32 child; (child = place * 2 + 1) < count; place = child) {
        if (child + 1 < count && is_before(upstream, balance, range->heap[child + 1], range->heap[child]))
            child++;
        if (!is_before(upstream, balance, range->heap[child], i))
            break;
        put(balance, range, place, range->heap[child]);
    }
    put(balance, range, place, i);
}

bool
heap_open(const struct upstream *upstream, struct balance *balance)
{
    balance->heap = malloc(upstream->count * sizeof *balance->heap);
    if (!balance->heap)
        return false;
    balance->primaries.heap = balance->heap;
    balance->backups.heap = balance->heap + upstream->primary_count;
    for (u32 i = 0; i < upstream->count; i++) {
        struct range *range = i < upstream->primary_count ? &balance->primaries : &balance->backups;
        balance->peer[i].turn = 1 / (double)balance->peer[i].weight;
        put(balance, range, i - range->first, i);
    }
    for (u32 i = 0; i < upstream->count; i++) /* what was carried over from before has its load */
        heap_move(upstream, balance, i);
    return true;
}

/* The first at place or below it that may be chosen and stands before best. Who may not leads to those below. */
static u32
search(struct choice *choice, const struct range *range, u32 place, u32 best)
{
    u32 count = range->end - range->first;
    if (place >= count)
        return best;
    u32 i = range->heap[place];
    if (best != NOBODY && !is_before(choice->upstream, choice->balance, i, best))
        return best;
    if (choice_may(choice, i))
        return i;
    best = search(choice, range, place * 2 + 1, best);
    return search(choice, range, place * 2 + 2, best);
}

u32
heap_choose(struct choice *choice, struct range *range)
{
    u32 best = search(choice, range, 0, NOBODY);
    if (best == NOBODY)
        return best;
    struct peer *peer = &choice->balance->peer[best];
    if (peer->turn < choice->balance->turn) /* it was out for a while, and does not catch up */
        peer->turn = choice->balance->turn;
    choice->balance->turn = peer->turn;
    peer->turn += 1 / (double)peer->weight;
    return choice_made(choice, best);
}
