/*
 * When the sessions of a worker want to be looked at: a heap, the soonest first, and one timer of the loop's for all.
 * A session keeps its place in the heap and nothing else, where a timer of its own would take 48 bytes. The timer may
 * come too early, since nobody sets it anew because a session is over. What is due is for session.c.
 */
#include "spcd.h"

#include <time.h>

enum { ROOM_FIRST = 64 };

static double
now(void)
{
    struct timespec time; /* not ev_now(): whoever sets the clock ends no session */
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- the heap; a session's place counts from 1, 0 is none ---- */

static void
put(struct deadlines *d, u32 place, struct deadline deadline)
{
    d->heap[place - 1] = deadline;
    deadline.session->place = place;
}

static void
rise(struct deadlines *d, u32 place, struct deadline deadline)
{
    for (; place > 1 && deadline.at < d->heap[place / 2 - 1].at; place /= 2)
        put(d, place, d->heap[place / 2 - 1]);
    put(d, place, deadline);
}

static void
sink(struct deadlines *d, u32 place, struct deadline deadline)
{
    for (u32 child; (child = place * 2) <= d->count; place = child) {
        if (child < d->count && d->heap[child].at < d->heap[child - 1].at)
            child++;
        if (d->heap[child - 1].at >= deadline.at)
            break;
        put(d, place, d->heap[child - 1]);
    }
    put(d, place, deadline);
}

static void
leave(struct deadlines *d, struct session *s)
{
    u32 place = s->place;
    struct deadline last = d->heap[d->count - 1];
    s->place = 0;
    d->count--;
    if (place > d->count)
        return;
    if (place > 1 && last.at < d->heap[place / 2 - 1].at)
        rise(d, place, last);
    else
        sink(d, place, last);
}

/* ---- the timer ---- */

static void
set_timer(struct worker *worker)
{
    struct deadlines *d = &worker->deadlines;
    if (d->count == 0 || d->is_firing || (ev_is_active(&d->timer) && d->at <= d->heap[0].at))
        return;
    double left = d->heap[0].at - now();
    d->at = d->heap[0].at;
    ev_timer_stop(worker->loop, &d->timer);
    ev_timer_set(&d->timer, left > 0 ? left : 0, 0);
    ev_timer_start(worker->loop, &d->timer);
}

/* A session that is due may set itself a new deadline and end others. Each has one turn. */
static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct worker *worker = timer->data;
    struct deadlines *d = &worker->deadlines;
    double until = now();
    d->is_firing = true;
    for (u32 turns = d->count; turns > 0 && d->count > 0 && d->heap[0].at <= until; turns--) {
        struct session *s = d->heap[0].session;
        leave(d, s);
        session_due(s);
    }
    d->is_firing = false;
    set_timer(worker);
}

/* ---- whole ---- */

void
deadlines_open(struct worker *worker)
{
    ev_init(&worker->deadlines.timer, on_timer);
    worker->deadlines.timer.data = worker;
}

void
deadlines_close(struct worker *worker)
{
    memory_resize(worker->deadlines.heap, 0);
}

bool
deadlines_reserve(struct worker *worker)
{
    struct deadlines *d = &worker->deadlines;
    if (d->reserved == d->room) {
        u32 room = d->room ? d->room * 2 : ROOM_FIRST;
        struct deadline *heap = memory_resize(d->heap, (long)(room * sizeof *heap));
        if (!heap)
            return false;
        d->heap = heap;
        d->room = room;
    }
    d->reserved++;
    return true;
}

void
deadlines_release(struct session *s)
{
    struct deadlines *d = &s->shard->worker->deadlines;
    d->reserved--;
    if (s->place)
        leave(d, s);
}

void
deadline_set(struct session *s, double seconds)
{
    struct worker *worker = s->shard->worker;
    struct deadlines *d = &worker->deadlines;
    struct deadline deadline = {now() + seconds, s};
    if (s->place && d->heap[s->place - 1].at <= deadline.at)
        return;
    rise(d, s->place ? s->place : ++d->count, deadline);
    if (s->place == 1)
        set_timer(worker);
}
