/*
 * The sessions of a worker, by when they want to be looked at: a heap, the soonest first, and one timer of the loop's
 * for all. A session keeps its place in the heap and nothing else, where a timer of its own would take 48 bytes. The
 * timer may come too early, since nobody sets it anew because a session is over. What is due is for session.c.
 */
#include "spcd.h"

#include <math.h>

enum { ROOM_FIRST = 64 };

/* ---- the heap ---- */

static void
put(struct deadlines *d, u32 place, struct deadline deadline)
{
    d->heap[place] = deadline;
    deadline.session->place = place;
}

static void
rise(struct deadlines *d, u32 place, struct deadline deadline)
{
    for (; place > 0 && deadline.at < d->heap[(place - 1) / 2].at; place = (place - 1) / 2)
        put(d, place, d->heap[(place - 1) / 2]);
    put(d, place, deadline);
}

static void
sink(struct deadlines *d, u32 place, struct deadline deadline)
{
    for (u32 child; (child = place * 2 + 1) < d->count; place = child) {
        if (child + 1 < d->count && d->heap[child + 1].at < d->heap[child].at)
            child++;
        if (d->heap[child].at >= deadline.at)
            break;
        put(d, place, d->heap[child]);
    }
    put(d, place, deadline);
}

/* ---- the timer ---- */

static void
set_timer(struct worker *worker)
{
    struct deadlines *d = &worker->deadlines;
    double at = d->count > 0 ? d->heap[0].at : INFINITY;
    if (at == INFINITY || d->is_firing || (ev_is_active(&d->timer) && d->at <= at))
        return;
    d->at = at;
    ev_timer_stop(worker->loop, &d->timer);
    ev_timer_set(&d->timer, at > worker->now ? at - worker->now : 0, 0);
    ev_timer_start(worker->loop, &d->timer);
}

/* A session that is due may set itself a new deadline and end others. Each has one turn. */
static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct worker *worker = timer->data;
    struct deadlines *d = &worker->deadlines;
    worker_look_at_clock(loop); /* this turn began some microseconds ago, perhaps before the deadline */
    double until = worker->now;
    d->is_firing = true;
    for (u32 turns = d->count; turns > 0 && d->count > 0 && d->heap[0].at <= until; turns--) {
        struct session *s = d->heap[0].session;
        sink(d, 0, (struct deadline){INFINITY, s});
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
deadline_join(struct worker *worker, struct session *s)
{
    struct deadlines *d = &worker->deadlines;
    if (d->count == d->room) {
        u32 room = d->room ? d->room * 2 : ROOM_FIRST;
        struct deadline *heap = memory_resize(d->heap, (long)(room * sizeof *heap));
        if (!heap)
            return false;
        d->heap = heap;
        d->room = room;
    }
    put(d, d->count++, (struct deadline){INFINITY, s});
    return true;
}

void
deadline_leave(struct session *s)
{
    struct deadlines *d = &s->shard->worker->deadlines;
    struct deadline last = d->heap[--d->count];
    u32 place = s->place;
    if (last.session == s)
        return;
    if (last.at < d->heap[place].at)
        rise(d, place, last);
    else
        sink(d, place, last);
}

void
deadline_set(struct session *s, double at)
{
    struct worker *worker = s->shard->worker;
    struct deadlines *d = &worker->deadlines;
    if (d->heap[s->place].at <= at)
        return;
    rise(d, s->place, (struct deadline){at, s});
    if (s->place == 0)
        set_timer(worker);
}
