/*
 * A worker: one thread, one libev loop, and the sessions of that loop. What the control thread wants of it
 * is left in a few fields under a mutex, and a wake-up sent.
 *
 * libev grows its arrays when they are first needed. So that no session ever pays for that, a worker drives
 * them to their largest size before it takes a shard.
 */
#include "spcd.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { READY_AT_ONCE = 512, ACCEPT_PAUSE_MS = 500 };

/* ---- room in libev ---- */

static void
nothing_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)io, (void)events;
}

static void
nothing_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

/* Grow what depends on the number of descriptors and timers. The descriptors are not open: they are only
 * started and stopped, and libev asks the kernel nothing in between. */
static bool
reserve_watchers(struct ev_loop *loop, u32 count)
{
    ev_io *io = calloc(count, sizeof *io);
    ev_timer *timer = calloc(count, sizeof *timer);
    for (u32 i = 0; io && timer && i < count; i++) {
        ev_io_init(&io[i], nothing_io, (int)i, EV_READ);
        ev_io_start(loop, &io[i]);
        ev_feed_event(loop, &io[i], EV_READ);
        ev_timer_init(&timer[i], nothing_timer, 0, 0);
        ev_timer_start(loop, &timer[i]);
    }
    bool ok = io && timer;
    ev_invoke_pending(loop);
    for (u32 i = 0; ok && i < count; i++)
        ev_io_stop(loop, &io[i]);
    ev_run(loop, EVRUN_NOWAIT);
    for (u32 i = 0; ok && i < count; i++)
        ev_timer_stop(loop, &timer[i]);
    free(io);
    free(timer);
    return ok;
}

/* Grow what depends on how many descriptors are ready at once. */
static void
reserve_ready(struct ev_loop *loop)
{
    static _Thread_local ev_io io[READY_AT_ONCE];
    u32 count = 0;
    for (int fd; count < READY_AT_ONCE && (fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0; count++) {
        ev_io_init(&io[count], nothing_io, fd, EV_READ);
        ev_io_start(loop, &io[count]);
    }
    for (u32 size = 1; size < READY_AT_ONCE; size *= 2)
        ev_run(loop, EVRUN_NOWAIT);
    for (u32 i = 0; i < count; i++) {
        ev_io_stop(loop, &io[i]);
        close(io[i].fd);
    }
}

static void
reserve(struct worker *worker, const struct generation *g)
{
    struct rlimit limit;
    u32 count = g->fd_reserve + READY_AT_ONCE;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count)
        count = (u32)limit.rlim_cur;
    if (count <= worker->fd_reserved)
        return;
    ev_async_stop(worker->loop, &worker->wake); /* no other order may come in between */
    if (!reserve_watchers(worker->loop, count))
        log_write(&g->logger, LEVEL_ALERT, 0, errno, "no memory to watch %u descriptors", count);
    reserve_ready(worker->loop);
    ev_async_start(worker->loop, &worker->wake);
    ev_feed_event(worker->loop, &worker->wake, EV_ASYNC); /* for one that did */
    worker->fd_reserved = count;
}

/* ---- shards ---- */

/* The shard takes no more; if it has no session either, its generation has one less to wait for. */
static void
leave_shard(struct shard *shard)
{
    struct generation *g = shard->generation;
    listen_stop(shard);
    shard->accepting = false;
    if (shard->session_count == 0)
        atomic_fetch_sub(&g->alive, 1);
    atomic_fetch_sub(&g->accepting, 1);
    control_wake();
}

void
worker_released(struct shard *shard)
{
    if (shard->accepting || shard->session_count > 0)
        return;
    atomic_fetch_sub(&shard->generation->alive, 1);
    control_wake();
}

static void
take_shard(struct worker *worker, struct shard *shard)
{
    struct shard *old = worker->shard;
    worker->shard = shard;
    if (shard) {
        shard->worker = worker;
        shard->accepting = true;
        reserve(worker, shard->generation);
        listen_start(shard); /* before the old one stops: what both listen to is never unwatched */
    }
    if (old)
        leave_shard(old);
}

/* ---- orders ---- */

static void
end_sessions(struct worker *worker, const char *reason)
{
    while (worker->first) {
        if (reason)
            session_log(worker->first, LEVEL_INFO, 0, "%s", reason);
        session_end(worker->first, CLOSE_shutdown);
    }
}

static void
on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    (void)events;
    struct worker *worker = wake->data;
    pthread_mutex_lock(&worker->mutex);
    bool take = worker->take, abort = worker->abort;
    struct shard *incoming = worker->incoming;
    worker->take = false;
    pthread_mutex_unlock(&worker->mutex);
    if (take)
        take_shard(worker, incoming);
    if (!abort)
        return;
    take_shard(worker, NULL);
    end_sessions(worker, worker->abort_reason);
    ev_break(loop, EVBREAK_ALL);
}

void
worker_take(struct worker *worker, struct shard *shard)
{
    pthread_mutex_lock(&worker->mutex);
    struct shard *missed = worker->take ? worker->incoming : NULL;
    worker->incoming = shard;
    worker->take = true;
    pthread_mutex_unlock(&worker->mutex);
    if (missed) { /* a generation that this worker never got to see */
        atomic_fetch_sub(&missed->generation->alive, 1);
        atomic_fetch_sub(&missed->generation->accepting, 1);
    }
    ev_async_send(worker->loop, &worker->wake);
}

void
worker_abort(struct worker *worker, const char *reason)
{
    pthread_mutex_lock(&worker->mutex);
    worker->abort = true;
    worker->abort_reason = reason;
    pthread_mutex_unlock(&worker->mutex);
    ev_async_send(worker->loop, &worker->wake);
}

/* ---- the thread ---- */

static void
on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct worker *worker = timer->data;
    if (worker->shard)
        listen_start(worker->shard);
}

static void *
run(void *data)
{
    struct worker *worker = data;
    ev_run(worker->loop, 0);
    return NULL;
}

/* worker_cpu_affinity: the CPUs of this worker; an empty set means any. */
static void
choose_cpus(const struct blob *blob, u32 number, cpu_set_t *set)
{
    const struct blob_main *main = &blob->main[1];
    cpu_set_t allowed;
    CPU_ZERO(set);
    for (u32 i = 0; i < main->cpu_count; i++)
        if (blob->cpu[main->cpu + i].worker == number)
            CPU_SET(blob->cpu[main->cpu + i].number, set);
    if (!(main->flags & MAIN_AFFINITY_AUTO) || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    u32 skip = number % (u32)CPU_COUNT(&allowed);
    for (u32 cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0)
            CPU_SET(cpu, set);
}

struct worker *
worker_start(u32 number, const struct blob *blob)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->number = number;
    worker->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    pthread_mutex_init(&worker->mutex, NULL);
    pipe_pool_open(&worker->pipes);
    ev_async_init(&worker->wake, on_wake);
    worker->wake.data = worker;
    ev_timer_init(&worker->accept_pause, on_accept_pause, (double)ACCEPT_PAUSE_MS / 1000, 0);
    worker->accept_pause.data = worker;
    sigset_t all, before;
    sigfillset(&all);
    bool ok = worker->loop;
    if (ok) {
        ev_async_start(worker->loop, &worker->wake);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        ok = pthread_create(&worker->thread, NULL, run, worker) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!ok) {
        worker_free(worker);
        return NULL;
    }
    cpu_set_t cpus;
    choose_cpus(blob, number, &cpus);
    if (CPU_COUNT(&cpus) > 0)
        pthread_setaffinity_np(worker->thread, sizeof cpus, &cpus);
    return worker;
}

void
worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void
worker_free(struct worker *worker)
{
    if (worker->loop)
        ev_loop_destroy(worker->loop);
    pthread_mutex_destroy(&worker->mutex);
    pipe_pool_close(&worker->pipes);
    free(worker);
}
