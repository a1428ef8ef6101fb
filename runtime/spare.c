/*
 * Connected sockets of UDP sessions that had all their answers, kept for the next session to the same server: to open
 * one costs more than all else that a query does. No answer shall reach another client, so
 *
 *   - only a socket whose session had exactly what it expected is kept, and within a time that it then rests twice;
 *   - a server has to prove itself: its first sockets are only listened to for a second;
 *   - a server from which anything comes to a socket that rests answers late or twice: it is not trusted any more, its
 *     sockets are closed, and none is kept for as long as this configuration lasts.
 *
 * Nor shall a port be foreseen: which of CHOICE sockets is taken is left to chance, and where there are fewer, chance
 * may say that a new one is opened. And each use may be its last.
 */
#include "spcd.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SPARES_MOST = 16384,
    CHOICE = 16,
    PROOF = 8,    /* sockets that have to be silent for proof_s */
    USES = 256,   /* of a socket, on average */
};
static const double quick_s = 0.025, rest_s = 0.05, proof_s = 1, idle_s = 10;

struct spare {
    ev_io io;
    struct spare *next, *previous;
    struct spares *of;
    u32 target;
    double since;
};

/* Those of one target, the one that has rested longest first. */
struct queue {
    struct spare *first, *last;
    u32 proven;      /* up to PROOF */
    bool distrusted;
};

struct spares {
    struct shard *shard;
    struct ev_loop *loop;
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
spares_start(struct spares *spares, struct shard *shard)
{
    spares->shard = shard;
    spares->loop = shard->worker->loop;
}

/* xorshift64*: quick, and nobody sees what it gives. A number below count, which is a power of two. */
static u32
chance(struct spares *spares, u32 count)
{
    spares->random ^= spares->random >> 12;
    spares->random ^= spares->random << 25;
    spares->random ^= spares->random >> 27;
    return (u32)(spares->random * 0x2545f4914f6cdd1d >> 32) & (count - 1);
}

/* ---- a target's sockets ---- */

static void
append(struct queue *queue, struct spare *spare)
{
    spare->next = NULL;
    spare->previous = queue->last;
    *(queue->last ? &queue->last->next : &queue->first) = spare;
    queue->last = spare;
}

/* Its socket is the caller's. */
static int
take_out(struct spares *spares, struct spare *spare)
{
    struct queue *queue = &spares->queue[spare->target];
    *(spare->previous ? &spare->previous->next : &queue->first) = spare->next;
    *(spare->next ? &spare->next->previous : &queue->last) = spare->previous;
    if (queue->proven < PROOF && spares->shard->worker->now - spare->since >= proof_s)
        queue->proven++;
    ev_io_stop(spares->loop, &spare->io);
    spare->next = spares->free;
    spares->free = spare;
    return spare->io.fd;
}

void
spares_distrust(struct spares *spares, u32 target)
{
    struct queue *queue = &spares->queue[target];
    const struct generation *g = spares->shard->generation;
    if (!queue->distrusted)
        log_write(&g->logger, LEVEL_WARN, 0, 0, "%s answers late or more than once, no socket to it is used again",
                  g->target[target].text);
    queue->distrusted = true;
    while (queue->first)
        close(take_out(spares, queue->first));
}

/* Something came that nobody waits for. */
static void
on_late(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct spare *spare = io->data;
    spare->of->shard->worker->counter[COUNTER_late_answers]++;
    spares_distrust(spare->of, spare->target);
}

static void
drop_idle(struct spares *spares, struct queue *queue, double now)
{
    while (queue->first && queue->first->since + idle_s < now)
        close(take_out(spares, queue->first));
}

/* ---- for sessions ---- */

int
spares_take(struct spares *spares, u32 target)
{
    struct queue *queue = &spares->queue[target];
    double now = spares->shard->worker->now, rest = queue->proven < PROOF ? proof_s : rest_s;
    drop_idle(spares, queue, now);
    struct spare *spare = queue->first;
    for (u32 skip = spare ? chance(spares, CHOICE) : 0; skip > 0 && spare; skip--)
        spare = spare->next;
    if (!spare || spare->since + rest > now)
        return -1;
    if (!ev_is_pending(&spare->io))
        return take_out(spares, spare);
    on_late(spares->loop, &spare->io, EV_READ); /* its turn would have come later */
    return -1;
}

bool
spares_give(struct spares *spares, u32 target, int fd, double lasted_s)
{
    struct spare *spare = spares->free;
    struct queue *queue = &spares->queue[target];
    double now = spares->shard->worker->now;
    drop_idle(spares, queue, now);
    if (!spare || queue->distrusted || lasted_s > quick_s || chance(spares, USES) == 0)
        return false;
    spares->free = spare->next;
    spare->of = spares;
    spare->target = target;
    spare->since = now;
    ev_io_init(&spare->io, on_late, fd, EV_READ);
    spare->io.events = EV_READ; /* without libev's mark that fd is new: it is watched already */
    spare->io.data = spare;
    ev_io_start(spares->loop, &spare->io);
    append(queue, spare);
    return true;
}

void
spares_close(struct spares *spares)
{
    for (u32 i = 0; spares->queue && i < spares->target_count; i++)
        while (spares->queue[i].first)
            close(take_out(spares, spares->queue[i].first));
    free(spares->queue);
    free(spares->spare);
    free(spares);
}
