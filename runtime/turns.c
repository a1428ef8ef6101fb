/*
 * Round robin by weight, smooth as nginx's: who is chosen has to wait for as long as its weight says, and the turns of
 * heavy ones lie apart. A small group is walked through for each choice, as nginx does. In a group of many, peers of
 * the same weight stand in a row and take turns, and only the rows are compared: as long as nobody fails, it gives the
 * same order as the walk.
 */
#include "balance.h"

#include <stdlib.h>

enum { SLOW_MOST = 64 }; /* that start slowly and miss their turns, for one choice: where most do, it is fair without */

/* ---- walking ---- */

i64
turns_take(const struct choice *choice, u32 i)
{
    struct peer *peer = &choice->balance->peer[i];
    i64 grown = choice_weight(choice, i);
    i64 weight = grown < peer->effective_weight ? grown : peer->effective_weight;
    peer->current_weight += weight;
    if (peer->effective_weight < peer->weight)
        peer->effective_weight += peer->unit;
    return weight;
}

u32
turns_walk(struct choice *choice, u32 first, u32 end)
{
    struct peer *peer = choice->balance->peer;
    u32 best = NOBODY;
    i64 total = 0;
    for (u32 i = first; i < end; i++) {
        if (!choice_may(choice, i))
            continue;
        total += turns_take(choice, i);
        if (best == NOBODY || peer[i].current_weight > peer[best].current_weight)
            best = i;
    }
    if (best == NOBODY)
        return best;
    peer[best].current_weight -= total;
    return choice_made(choice, best);
}

/* ---- rows ---- */

static const struct peer *sorting; /* by weight, the heavy first; then as they stand */

static int
by_weight(const void *one, const void *other)
{
    u32 a = *(const u32 *)one, b = *(const u32 *)other;
    if (sorting[a].weight != sorting[b].weight)
        return sorting[a].weight > sorting[b].weight ? -1 : 1;
    return a < b ? -1 : 1;
}

static void
open_range(struct balance *balance, struct range *range, struct turns *turns)
{
    range->turns = turns;
    sorting = balance->peer;
    qsort(balance->member + range->first, range->end - range->first, sizeof *balance->member, by_weight);
    for (u32 at = range->first; at < range->end; at++) {
        i64 weight = balance->peer[balance->member[at]].weight;
        struct turns *row = range->turns_count ? &turns[range->turns_count - 1] : NULL;
        if (!row || row->weight != weight) {
            row = &turns[range->turns_count++];
            *row = (struct turns){.weight = weight, .first = at};
        }
        row->count++;
    }
}

bool
turns_open(const struct upstream *upstream, struct balance *balance)
{
    balance->turns = calloc(upstream->count, sizeof *balance->turns);
    balance->member = malloc(upstream->count * sizeof *balance->member);
    if (!balance->turns || !balance->member)
        return false;
    for (u32 i = 0; i < upstream->count; i++) {
        struct range *range = i < upstream->primary_count ? &balance->primaries : &balance->backups;
        balance->member[i] = i;
        if (balance->peer[i].counts)
            range->total += balance->peer[i].weight;
    }
    open_range(balance, &balance->primaries, balance->turns);
    open_range(balance, &balance->backups, balance->turns + balance->primaries.turns_count);
    return true;
}

void
turns_count(const struct upstream *upstream, struct balance *balance, u32 i, bool counts)
{
    struct range *range = i < upstream->primary_count ? &balance->primaries : &balance->backups;
    struct peer *peer = &balance->peer[i];
    if (counts != peer->counts)
        range->total += counts ? peer->weight : -peer->weight;
    peer->counts = counts;
}

/* The next of the row has had, or misses, its turn. */
static void
pass(struct turns *row, i64 total)
{
    if (++row->next < row->count)
        return;
    row->next = 0;
    row->credit -= total;
}

/* One that starts slowly takes as many of its turns as its weight has grown. It can be asked again until it has. */
static bool
takes_turn(struct choice *choice, u32 i)
{
    struct peer *peer = &choice->balance->peer[i];
    if (peer->recovering != 0 && peer->current_weight < peer->weight)
        peer->current_weight += choice_weight(choice, i);
    return peer->recovering == 0 || peer->current_weight >= peer->weight;
}

/* Who of the row is next; who cannot be tried misses the turn. NOBODY: none can. */
static u32
next_of(struct choice *choice, struct turns *row, i64 total)
{
    u32 slow = 0;
    for (u32 missed = 0; missed < row->count; missed++) {
        u32 i = choice->balance->member[row->first + row->next];
        if (choice_may(choice, i) && (takes_turn(choice, i) || ++slow == SLOW_MOST))
            return i;
        pass(row, total);
    }
    return NOBODY;
}

static u32
choose_by_rows(struct choice *choice, struct range *range)
{
    struct turns *best_row = NULL;
    u32 best = NOBODY;
    for (struct turns *row = range->turns; row < range->turns + range->turns_count; row++) {
        u32 i = next_of(choice, row, range->total);
        if (i == NOBODY)
            continue;
        row->credit += row->weight;
        if (!best_row || row->credit > best_row->credit || (row->credit == best_row->credit && i < best)) {
            best_row = row;
            best = i;
        }
    }
    if (best == NOBODY) /* or all that are left start slowly */
        return choice->upstream->slow ? turns_walk(choice, range->first, range->end) : NOBODY;
    pass(best_row, range->total);
    if (choice->balance->peer[best].recovering != 0)
        choice->balance->peer[best].current_weight -= choice->balance->peer[best].weight;
    return choice_made(choice, best);
}

static u32
choose(struct choice *choice, struct range *range)
{
    return range->turns ? choose_by_rows(choice, range) : turns_walk(choice, range->first, range->end);
}

u32
turns_choose(struct choice *choice)
{
    return choice_with_backups(choice, choose);
}
