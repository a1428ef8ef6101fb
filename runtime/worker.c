/*
 * A worker: one thread, one libev loop, and the sessions of that loop. What the control thread wants of it
 * is left in a few fields under a mutex, and a wake-up sent.
 */
#include "spcd.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { ACCEPT_PAUSE_MS = 500 };

/* ---- shards ---- */

/* Close what only new sessions would need. */
static void
close_spares(struct shard *shard)
{
    if (shard->spares)
        spares_close(shard->spares);
    shard->spares = NULL;
}

/* The shard takes no more; if it has no session either, its generation has one less to wait for. */
static void
leave_shard(struct shard *shard)
{
    struct generation *g = shard->generation;
    listen_leave(shard, shard->worker->shard);
    shard->accepting = false;
    close_spares(shard);
    access_log_flush(shard);
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
    listen_leave(shard, NULL);
    access_log_flush(shard);
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
        if (worker->udp)
            udp_start(worker->udp, worker);
        if (shard->spares)
            spares_start(shard->spares, shard);
        listen_start(shard); /* before the old one stops: what both listen to is never unwatched */
    }
    if (old)
        leave_shard(old);
}

/* ---- orders ---- */

static void
end_sessions(struct worker *worker, const char *reason)
{
    while (worker->deadlines.count > 0) {
        struct session *last = worker->deadlines.heap[worker->deadlines.count - 1].session;
        if (reason)
            session_log(last, LEVEL_INFO, 0, "%s", reason);
        session_end(last, CLOSE_shutdown);
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
    signer_deliver(worker);
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
    if (missed) { /* a generation that this worker never got to see, and will not say that it is over */
        atomic_fetch_sub(&missed->generation->alive, 1);
        atomic_fetch_sub(&missed->generation->accepting, 1);
        control_wake();
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

void
worker_look_at_clock(struct ev_loop *loop)
{
    enum { LONG_AGO_S = 1000000 }; /* so that 0 is so long ago as never, also where the machine was started just now */
    struct worker *worker = ev_userdata(loop);
    struct timespec time; /* not ev_now(), which follows whoever sets the clock */
    clock_gettime(CLOCK_MONOTONIC, &time);
    worker->now = LONG_AGO_S + (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct worker *worker = timer->data;
    ev_timer_stop(loop, timer); /* which repeats, so that each pause is as long as the first */
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

/* The CPUs that a worker's records name; the last worker that has some speaks for those after it. */
static void
named_cpus(const struct blob *blob, u32 number, cpu_set_t *set)
{
    const struct blob_main *main = &blob->main[1];
    const struct blob_cpu *cpu = &blob->cpu[main->cpu];
    u32 last = main->cpu_count ? cpu[main->cpu_count - 1].worker : 0;
    CPU_ZERO(set);
    for (u32 i = 0; i < main->cpu_count; i++)
        if (cpu[i].worker == (number < last ? number : last))
            CPU_SET(cpu[i].number, set);
}

/* worker_cpu_affinity: the CPUs of this worker; an empty set means any. With auto, one of those allowed. */
static void
choose_cpus(const struct blob *blob, u32 number, cpu_set_t *set)
{
    cpu_set_t allowed;
    named_cpus(blob, number, set);
    if (!(blob->main[1].flags & MAIN_AFFINITY_AUTO))
        return;
    named_cpus(blob, 0, &allowed);
    if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    CPU_ZERO(set);
    u32 skip = number % (u32)CPU_COUNT(&allowed);
    for (u32 cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0)
            CPU_SET(cpu, set);
}

static void
bind_to_cpus(const struct worker *worker, const struct blob *blob, const struct logger *logger)
{
    cpu_set_t cpus;
    choose_cpus(blob, worker->number, &cpus);
    int error = CPU_COUNT(&cpus) > 0 ? pthread_setaffinity_np(worker->thread, sizeof cpus, &cpus) : 0;
    if (error) /* as in nginx, it works on where the system lets it */
        log_write(logger, LEVEL_ALERT, 0, error, "worker_cpu_affinity of worker %u cannot be had", worker->number);
}

struct worker *
worker_start(u32 number, const struct blob *blob, const struct logger *logger)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->number = number;
    worker->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    pthread_mutex_init(&worker->mutex, NULL);
    pipe_pool_open(&worker->pipes);
    deadlines_open(worker);
    ev_async_init(&worker->wake, on_wake);
    worker->wake.data = worker;
    ev_timer_init(&worker->accept_pause, on_accept_pause, 0, (double)ACCEPT_PAUSE_MS / 1000);
    worker->accept_pause.data = worker;
    bool ok = worker->loop;
    if (ok) {
        ev_set_userdata(worker->loop, worker);
        ev_set_loop_release_cb(worker->loop, NULL, worker_look_at_clock); /* after it has waited */
        worker_look_at_clock(worker->loop);
        ev_async_start(worker->loop, &worker->wake);
        sigset_t before = process_block_signals();
        ok = pthread_create(&worker->thread, NULL, run, worker) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!ok) {
        worker_free(worker);
        return NULL;
    }
    bind_to_cpus(worker, blob, logger);
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
    if (worker->udp)
        udp_free(worker->udp);
    if (worker->loop)
        ev_loop_destroy(worker->loop);
    pthread_mutex_destroy(&worker->mutex);
    pipe_pool_close(&worker->pipes);
    deadlines_close(worker);
    free(worker);
}
