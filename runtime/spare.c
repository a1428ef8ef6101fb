/*
 * Connected sockets of UDP sessions that had all their answers, kept for the next session to the same target: to open
 * one costs more than all else that a query does. A socket rests first, and one that hears anything meanwhile is not
 * used again, so that a late or doubled answer reaches nobody. Which of those that are ready is taken is left to
 * chance, lest the port of the next query be known.
 */
#include "spcd.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { SPARES_MOST = 16384 };
static const double rest_s = 0.05, idle_s = 10;

struct spare {
    ev_io io;
    struct spare *next;
    struct spares *of;
    double since;
};

/* Those of one target, the one that has rested longest first. */
struct queue {
    struct spare *first, *last;
};

struct spares {
    struct ev_loop *loop;
    u64 *late;    /* counts datagrams that came too late */
    struct spare *spare, *free;
    struct queue *queue; /* one for each target */
    u32 target_count;
    u64 random;
};

struct spares *
spares_open(u32 target_count, u32 connections)
{
    struct spares *spares = calloc(1, sizeof *spares);
    u32 count = connections / 2 < SPARES_MOST ? connections / 2 : SPARES_MOST;
    if (!spares)
        return NULL;
    spares->target_count = target_count;
    spares->spare = calloc(count + 1, sizeof *spares->spare);
    spares->queue = calloc(target_count + 1, sizeof *spares->queue);
    if (!spares->spare || !spares->queue || getrandom(&spares->random, sizeof spares->random, 0) < 0) {
        spares_close(spares);
        return NULL;
    }
    for (u32 i = 0; i < count; i++) {
        spares->spare[i].next = spares->free;
        spares->free = &spares->spare[i];
    }
    spares->random |= 1;
    return spares;
}

void
spares_start(struct spares *spares, struct worker *worker)
{
    spares->loop = worker->loop;
    spares->late = &worker->counter[COUNTER_late_answers];
}

/* xorshift64: quick, and nobody sees what it gives. */
static bool
toss(struct spares *spares)
{
    spares->random ^= spares->random << 13;
    spares->random ^= spares->random >> 7;
    spares->random ^= spares->random << 17;
    return spares->random >> 63;
}

static void
give_back(struct spares *spares, struct spare *spare)
{
    spare->next = spares->free;
    spares->free = spare;
}

static struct spare *
pop(struct queue *queue)
{
    struct spare *spare = queue->first;
    queue->first = spare->next;
    if (!queue->first)
        queue->last = NULL;
    return spare;
}

static void
push(struct queue *queue, struct spare *spare)
{
    spare->next = NULL;
    if (queue->last)
        queue->last->next = spare;
    else
        queue->first = spare;
    queue->last = spare;
}

static void
discard(struct spares *spares, struct spare *spare)
{
    if (spare->io.fd < 0)
        return;
    ev_io_stop(spares->loop, &spare->io);
    close(spare->io.fd);
    spare->io.fd = -1;
}

/* Something came that nobody waits for: more may follow. Its place in the queue is given back when its turn comes. */
static void
on_late(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct spare *spare = io->data;
    ++*spare->of->late;
    discard(spare->of, spare);
}

/* Drop those at the front that are of no use any more. */
static void
trim(struct spares *spares, struct queue *queue, double now)
{
    while (queue->first && (queue->first->io.fd < 0 || queue->first->since + idle_s < now)) {
        discard(spares, queue->first);
        give_back(spares, pop(queue));
    }
}

int
spares_take(struct spares *spares, u32 target)
{
    struct queue *queue = &spares->queue[target];
    double now = ev_now(spares->loop);
    trim(spares, queue, now);
    if (!queue->first || queue->first->since + rest_s > now)
        return -1;
    if (toss(spares)) { /* behind the others, as good as new */
        push(queue, pop(queue));
        queue->last->since = now - rest_s;
        trim(spares, queue, now);
        if (queue->first->since + rest_s > now)
            return -1;
    }
    struct spare *spare = pop(queue);
    int fd = spare->io.fd;
    ev_io_stop(spares->loop, &spare->io);
    give_back(spares, spare);
    return fd;
}

bool
spares_give(struct spares *spares, u32 target, int fd)
{
    struct spare *spare = spares->free;
    double now = ev_now(spares->loop);
    trim(spares, &spares->queue[target], now);
    if (!spare)
        return false;
    spares->free = spare->next;
    spare->of = spares;
    spare->since = now;
    ev_io_init(&spare->io, on_late, fd, EV_READ);
    spare->io.events = EV_READ; /* without libev's mark that fd is new: it is watched already */
    spare->io.data = spare;
    ev_io_start(spares->loop, &spare->io);
    push(&spares->queue[target], spare);
    return true;
}

void
spares_close(struct spares *spares)
{
    for (u32 i = 0; spares->queue && i < spares->target_count; i++)
        for (struct spare *spare = spares->queue[i].first; spare; spare = spare->next)
            discard(spares, spare);
    free(spares->queue);
    free(spares->spare);
    free(spares);
}
