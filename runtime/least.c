/*
 * Who has the fewest sessions for its weight, or takes the least time; of all, or of two by lot. Those that are equal
 * take turns.
 */
#include "balance.h"

#include <sys/random.h>

/* As in nginx, times that are about the same are equal, so that their servers take turns; and so are all long ones. */
static double
load_of_time(double ms, u32 connections)
{
    enum { STEP_MS = 20, MOST_MS = 5000 };
    u32 step = ms > MOST_MS ? MOST_MS : (u32)ms / STEP_MS * STEP_MS + STEP_MS;
    return step * (connections + 1.);
}

/* As in nginx, a peer's time seems half as long for each fail_timeout in which nobody has looked at it, so that one
 * that was slow gets another chance. */
static double
time_known(const struct choice *choice, u32 i)
{
    enum { HALVINGS_MOST = 20 };
    const struct peer *peer = &choice->balance->peer[i];
    u64 timeout = choice->target[i].peer->fail_timeout_ms / 1000;
    u64 idle = (time_t)choice->now > peer->checked ? (u64)((time_t)choice->now - peer->checked) : 0;
    u64 halvings = idle > timeout ? idle / (timeout + 1) : 0;
    return peer->average_ms / (double)(1u << (halvings < HALVINGS_MOST ? halvings : HALVINGS_MOST));
}

static double
time_waited(const struct choice *choice, u32 i)
{
    const struct peer *peer = &choice->balance->peer[i];
    bool counts = choice->upstream->record->flags & UPSTREAM_INFLIGHT && peer->waiting;
    return counts ? (choice->now - peer->waiting_since / peer->waiting) * 1000 : 0;
}

static struct load
load_of(const struct choice *choice, u32 i, double waited_ms)
{
    u32 connections = choice->balance->peer[i].connections;
    struct load load = {connections, (double)choice_weight(choice, i)};
    if (choice->upstream->record->timing) {
        double ms = time_known(choice, i);
        load.amount = load_of_time(waited_ms > ms ? waited_ms : ms, connections);
    }
    return load;
}

struct load
least_load(const struct choice *choice, u32 i)
{
    return load_of(choice, i, time_waited(choice, i));
}

void
least_look(const struct choice *choice, u32 i)
{
    choice->balance->peer[i].load = load_of(choice, i, 0);
}

double
least_compare(struct load a, struct load b)
{
    return a.amount * b.weight - b.amount * a.weight;
}

/* The first of those that have the least; many: there are others. */
static u32
find_least(struct choice *choice, const struct range *range, struct load *least, bool *many)
{
    u32 best = NOBODY;
    for (u32 i = range->first; i < range->end; i++) {
        if (!choice_may(choice, i))
            continue;
        struct load load = least_load(choice, i);
        double more = best == NOBODY ? -1 : least_compare(load, *least);
        *many = more == 0 || (*many && more > 0);
        if (more >= 0)
            continue;
        best = i;
        *least = load;
    }
    return best;
}

/* One in turn of those that have the least. */
static u32
walk(struct choice *choice, struct range *range)
{
    struct peer *peer = choice->balance->peer;
    struct load least = {0};
    bool many = false;
    u32 best = find_least(choice, range, &least, &many);
    i64 total = 0;
    for (u32 i = best; many && i < range->end; i++) {
        if (!choice_may(choice, i) || least_compare(least_load(choice, i), least) != 0)
            continue;
        total += turns_take(choice, i);
        if (peer[i].current_weight > peer[best].current_weight)
            best = i;
    }
    if (best == NOBODY)
        return best;
    peer[best].current_weight -= total;
    return choice_made(choice, best);
}

static u32
choose(struct choice *choice, struct range *range)
{
    return range->heap ? heap_choose(choice, range) : walk(choice, range);
}

u32
least_choose(struct choice *choice)
{
    return choice_with_backups(choice, choose);
}

/* ---- by lot ---- */

static u64
random_share(const struct upstream *upstream)
{
    static _Thread_local u64 state;
    if (!state && getrandom(&state, sizeof state, 0) != sizeof state)
        state = 1;
    state = state * 6364136223846793005 + 1442695040888963407; /* Knuth's MMIX */
    return (state >> 20) % upstream->total_weight;
}

u32
least_random(struct choice *choice)
{
    const struct upstream *upstream = choice->upstream;
    bool two = upstream->record->method != METHOD_RANDOM;
    u32 first = NOBODY;
    for (u32 luck = 0; luck <= TRIES_OF_LUCK && upstream->total_weight > 0; luck++) {
        u32 i = hash_share(upstream, random_share(upstream));
        if (i == first || !choice_may(choice, i))
            continue;
        if (!two)
            return choice_made(choice, i);
        if (first != NOBODY)
            return choice_made(choice, least_compare(least_load(choice, i), least_load(choice, first)) > 0 ? first : i);
        first = i;
    }
    return turns_choose(choice);
}
