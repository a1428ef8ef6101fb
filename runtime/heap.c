/*
 * The peers of a group of many in a heap, the one with the least load first, so that nobody has to look at all of them:
 * a session that comes or goes moves one peer. Those with the same load take turns by their weights: the next turn of a
 * peer comes so much later as its weight is small (stride scheduling, Waldspurger and Weihl 1995). What changes by
 * itself, a weight that grows or a time that fades, is noticed because each choice looks at two peers, in turn.
 */
#include "balance.h"

#include <stdlib.h>

enum { LOOKS = 2 };

/* Would peer i, with that load, stand before the other with that one? */
static bool
is_before(const struct balance *balance, u32 i, struct load load, u32 other, struct load other_load)
{
    const struct peer *a = &balance->peer[i], *b = &balance->peer[other];
    double more = least_compare(load, other_load);
    return more < 0 || (more == 0 && (a->turn < b->turn || (a->turn == b->turn && i < other)));
}

static bool
stands_before(const struct balance *balance, u32 a, u32 b)
{
    return is_before(balance, a, balance->peer[a].load, b, balance->peer[b].load);
}

static void
put(struct balance *balance, struct range *range, u32 place, u32 i)
{
    range->heap[place] = i;
    balance->peer[i].place = place;
}

static u32
rise(struct balance *balance, struct range *range, u32 place)
{
    u32 i = range->heap[place];
    while (place > 0 && stands_before(balance, i, range->heap[(place - 1) / 2])) {
        put(balance, range, place, range->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(balance, range, place, i);
    return place;
}

static void
sink(struct balance *balance, struct range *range, u32 place)
{
    u32 i = range->heap[place], count = range->end - range->first;
    for (u32 child; (child = place * 2 + 1) < count; place = child) {
        if (child + 1 < count && stands_before(balance, range->heap[child + 1], range->heap[child]))
            child++;
        if (!stands_before(balance, range->heap[child], i))
            break;
        put(balance, range, place, range->heap[child]);
    }
    put(balance, range, place, i);
}

void
heap_move(const struct choice *choice, u32 i)
{
    struct balance *balance = choice->balance;
    struct range *range = i < choice->upstream->primary_count ? &balance->primaries : &balance->backups;
    least_look(choice, i);
    sink(balance, range, rise(balance, range, balance->peer[i].place));
}

static void
open_range(const struct choice *choice, struct range *range, u32 *heap)
{
    struct balance *balance = choice->balance;
    range->heap = heap;
    for (u32 i = range->first; i < range->end; i++) {
        balance->peer[i].turn = 1 / (double)balance->peer[i].weight;
        least_look(choice, i); /* what was carried over from before has its load */
        put(balance, range, i - range->first, i);
    }
    for (u32 place = range->end - range->first; place-- > 0;)
        sink(balance, range, place);
}

bool
heap_open(const struct choice *choice)
{
    struct balance *balance = choice->balance;
    balance->heap = malloc(choice->upstream->count * sizeof *balance->heap);
    if (!balance->heap)
        return false;
    open_range(choice, &balance->primaries, balance->heap);
    open_range(choice, &balance->backups, balance->heap + choice->upstream->primary_count);
    return true;
}

/* Who is the best so far. */
struct found {
    u32 peer;
    struct load load;
};

/* Look at place and below it for one that may be chosen and is better. Who may not, or whose sessions wait for longer
 * than the heap knows, leads to those below. */
static void
search(const struct choice *choice, const struct range *range, u32 place, struct found *best)
{
    const struct balance *balance = choice->balance;
    if (place >= range->end - range->first)
        return;
    u32 i = range->heap[place];
    struct load known = balance->peer[i].load;
    if (best->peer != NOBODY && !is_before(balance, i, known, best->peer, best->load))
        return;
    if (choice_may(choice, i)) {
        struct load load = least_load(choice, i);
        if (best->peer == NOBODY || is_before(balance, i, load, best->peer, best->load))
            *best = (struct found){i, load};
        if (least_compare(load, known) <= 0)
            return;
    }
    search(choice, range, place * 2 + 1, best);
    search(choice, range, place * 2 + 2, best);
}

static void
look_on(struct choice *choice)
{
    for (u32 i = 0; i < LOOKS; i++) {
        choice->balance->looked = (choice->balance->looked + 1) % choice->upstream->count;
        heap_move(choice, choice->balance->looked);
    }
}

u32
heap_choose(struct choice *choice, struct range *range)
{
    struct found best = {.peer = NOBODY};
    if (choice->upstream->slow || choice->upstream->record->timing)
        look_on(choice);
    search(choice, range, 0, &best);
    if (best.peer == NOBODY)
        return NOBODY;
    struct peer *peer = &choice->balance->peer[best.peer];
    if (peer->turn < choice->balance->turn) /* it was out for a while, and does not catch up */
        peer->turn = choice->balance->turn;
    choice->balance->turn = peer->turn;
    peer->turn += 1 / (double)choice_weight(choice, best.peer);
    return choice_made(choice, best.peer);
}
