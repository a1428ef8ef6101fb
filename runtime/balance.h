/*
 * What the files that choose a peer share: balance.c (what all of them need), turns.c (round robin), least.c (fewest
 * sessions, least time, by lot), hash.c (by a key). Everybody else sees balance_*() of spcd.h.
 */
#ifndef BALANCE_H
#define BALANCE_H

#include "spcd.h"

/* What a peer has to do, and for which weight. */
struct load {
    double amount, weight;
};

/* A target as one worker, or with zone all of them, see it; the terms are nginx's. */
struct peer {
    i64 weight, effective_weight, current_weight, unit; /* unit: what weight=1 is */
    u32 fails, connections;
    time_t accessed, checked; /* seconds: when it failed last; when it was looked at last after failing */
    double recovering;        /* slow_start: when it came back; 0: it is as good as the others */
    double average_ms;        /* least_time; 0: not known yet */
    struct load load;         /* when least.c looked last; but for those that wait now */
    double waiting_since;     /* of the sessions that wait for what is measured, the sum of when it was chosen */
    u32 waiting;              /* how many they are */
    double turn;              /* heap.c: when it has one, of those with the same load */
    u32 place;                /* heap.c: where it stands */
    bool limited;             /* it is down, or has max_conns */
    bool counts;              /* turns.c: its weight is in the total */
};

/* Peers of the same weight, in a group of many: they take turns among themselves. */
struct turns {
    i64 weight, credit;
    u32 first, count, next; /* of balance->member; the one whose turn is next */
};

/* Primaries, or backups. */
struct range {
    u32 first, end; /* targets of the group */
    i64 total;      /* weight of those that count, in a group of many */
    struct turns *turns;
    u32 turns_count;
    u32 *heap; /* NULL: there is none */
};

/* What is known of a group. */
struct balance {
    struct peer *peer;      /* one for each of its targets */
    pthread_mutex_t *mutex; /* over all of it; NULL: it is one worker's */
    u32 connections;        /* of all of them */
    u32 looked;             /* heap.c: the peer that is looked at next */
    double turn;            /* heap.c: of the peer that was chosen last */
    struct range primaries, backups;
    struct turns *turns;    /* of both */
    u32 *member, *heap;     /* the same */
};

/* One choice. */
struct choice {
    struct session *session;
    const struct upstream *upstream;
    const struct target *target; /* of the group */
    struct balance *balance;
    double now;
};

enum { NOBODY = UINT32_MAX, TRIES_OF_LUCK = 20 /* nginx's; then it goes on with round robin */ };

/* ---- balance.c ---- */

/* What stands in the way of a session is looked at only where something may: target i has been tried, is down, has
 * failed, or may be full. */
bool choice_may_still(const struct choice *choice, u32 i);

/* May a session of this choice go to target i? */
static inline bool
choice_may(const struct choice *choice, u32 i)
{
    const struct peer *peer = &choice->balance->peer[i];
    return (!choice->session->tried && !peer->fails && !peer->limited) || choice_may_still(choice, i);
}

/* It goes there: if that one has failed before, one session at a time finds out. */
u32 choice_made(const struct choice *choice, u32 i);
/* Of a peer that starts slowly, the weight that it has just now. */
i64 choice_slow_weight(const struct choice *choice, u32 i);

/* The weight that peer i has. */
static inline i64
choice_weight(const struct choice *choice, u32 i)
{
    const struct peer *peer = &choice->balance->peer[i];
    return peer->recovering == 0 ? peer->weight : choice_slow_weight(choice, i);
}

/* Backups are for when no primary can be tried. */
u32 choice_with_backups(struct choice *choice, u32 (*method)(struct choice *, struct range *));

/* ---- turns.c ---- */

/* In a group of many, of which nginx would look at each. */
bool turns_open(const struct upstream *upstream, struct balance *balance);
u32 turns_choose(struct choice *choice);
/* Of the targets from first to end, as nginx does it: who has the turn. NOBODY: none can be tried. */
u32 turns_walk(struct choice *choice, u32 first, u32 end);
/* It is one of those that could be chosen: its turn comes nearer, by as much as this gives. */
i64 turns_take(const struct choice *choice, u32 i);
/* Does the weight of peer i count, or is the peer down, out or full? */
void turns_count(const struct upstream *upstream, struct balance *balance, u32 i, bool counts);

/* ---- least.c ---- */

u32 least_choose(struct choice *choice);
u32 least_random(struct choice *choice);
/* What peer i has to do now. */
struct load least_load(const struct choice *choice, u32 i);
/* Note it, but for the sessions that wait: they can only make it more. */
void least_look(const struct choice *choice, u32 i);
/* Below 0: a is less for its weight than b; 0: as much. */
double least_compare(struct load a, struct load b);

/* ---- heap.c: the peers of a group of many, least load first ---- */

/* choice: nobody's, of the group. */
bool heap_open(const struct choice *choice);
/* What is known of peer i has changed. */
void heap_move(const struct choice *choice, u32 i);
u32 heap_choose(struct choice *choice, struct range *range);

/* ---- hash.c ---- */

u32 hash_choose(struct choice *choice);
u32 hash_consistent(struct choice *choice);
u32 hash_maglev(struct choice *choice);
/* The primary that holds this share of the weights. */
u32 hash_share(const struct upstream *upstream, u64 share);

#endif
