/*
 * The control thread: the first thread of the server. It opens generations, gives their shards to the
 * workers, closes them when they are over, and drains and ends the server. No session ever waits for it.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    RESOLVE_AGAIN_S = 10,
    REPORT_S = 1, /* of what rate= of an error_log has left out */
    FDS_LEAST = 1024,
    FDS_MOST = 4 << 20,
    LOOPS_LEAST = 64,
    BYTES_PER_FD = 256,
};

static struct {
    const struct options *options;
    int channel; /* -1: there is no supervisor */
    struct ev_loop *loop;
    struct generation *current; /* the newest; older ones follow by ->next */
    struct worker *worker[WORKERS_MAX];
    u32 worker_count;
    bool draining;
    ev_io io;
    ev_async wake;
    ev_timer drain, resolve, look, report;
    ev_signal signal[6];
} control;

void
control_wake(void)
{
    ev_async_send(control.loop, &control.wake);
}

/* ---- generations ---- */

/* As many workers as the surroundings say, each with room for datagrams if any are listened for. */
static bool
start_workers(const struct surroundings *s, const struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    for (; control.worker_count < s->worker_count; control.worker_count++) {
        control.worker[control.worker_count] = worker_start(control.worker_count, blob, logger);
        if (!control.worker[control.worker_count])
            return false;
    }
    for (u32 i = 0; listen_wants_udp(blob) && i < control.worker_count; i++) {
        struct worker *worker = control.worker[i];
        if (!worker->udp)
            worker->udp = udp_open(worker->loop, blob->main[1].worker_connections);
        if (!worker->udp)
            return false;
    }
    return true;
}

/* Make the generation the one that new sessions take. */
static void
publish(struct generation *g)
{
    g->next = control.current;
    control.current = g;
    for (u32 i = 0; i < control.worker_count; i++)
        worker_take(control.worker[i], i < g->shard_count ? g->shard[i] : NULL);
    if (g->unresolved_count)
        ev_timer_again(control.loop, &control.resolve);
    else
        ev_timer_stop(control.loop, &control.resolve);
    if (g->log_pace)
        ev_timer_again(control.loop, &control.report);
    if (control.channel < 0 && files_are_watched(g->surroundings))
        ev_timer_again(control.loop, &control.look);
    else
        ev_timer_stop(control.loop, &control.look);
}

/* Take surroundings whose sockets are already open, or close what is new in them. Workers that it wanted stay. */
static bool
adopt(struct surroundings *s)
{
    struct generation *g = NULL;
    if (start_workers(s, &control.current->logger))
        g = generation_open(s, control.current, NULL);
    else
        log_write(&control.current->logger, LEVEL_EMERG, 0, 0, "%u workers cannot be started", s->worker_count);
    if (!g) {
        if (control.channel < 0)
            pid_settle(control.current->surroundings, s);
        surroundings_unlink(s, control.current->surroundings);
        surroundings_close(s, control.current->surroundings);
        return false;
    }
    publish(g);
    return true;
}

/* Is no session left that needs it? While there are older ones, its sockets may be theirs too. */
static bool
is_over(const struct generation *g)
{
    return g->left && atomic_load(&g->alive) == 0 && (!g->next || !surroundings_has_sockets(g->surroundings));
}

/* Close what no session needs any more, the oldest first. */
static void
collect(struct generation **link)
{
    struct generation *old = *link;
    if (!old)
        return;
    collect(&old->next);
    if (atomic_load(&old->accepting) == 0 && !old->left) {
        old->left = true;
        surroundings_close_listeners(old->surroundings, control.current->surroundings);
        log_write(&control.current->logger, LEVEL_NOTICE, 0, 0, "new sessions take the new configuration");
    }
    if (is_over(old)) {
        *link = old->next;
        generation_close(old);
    }
}

/* ---- the end ---- */

static void
end(const char *reason)
{
    for (u32 i = 0; i < control.worker_count; i++)
        worker_abort(control.worker[i], reason);
    ev_break(control.loop, EVBREAK_ALL);
}

static void
on_drain_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    end("shutdown timeout");
}

static void
drain(void)
{
    if (control.draining)
        return;
    control.draining = true;
    log_write(&control.current->logger, LEVEL_NOTICE, 0, 0, "gracefully shutting down");
    if (control.channel < 0) /* only now: later the paths may be another's */
        surroundings_unlink(control.current->surroundings, NULL);
    for (u32 i = 0; i < control.worker_count; i++)
        worker_take(control.worker[i], NULL);
    u64 limit_ms = control.current->blob->main[1].shutdown_timeout_ms;
    if (limit_ms) {
        ev_timer_init(&control.drain, on_drain_timeout, (double)limit_ms / 1000, 0);
        ev_timer_start(control.loop, &control.drain);
    }
}

static void
on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    (void)loop, (void)wake, (void)events;
    collect(&control.current->next);
    if (!control.draining)
        return;
    if (atomic_load(&control.current->accepting) == 0)
        surroundings_close_listeners(control.current->surroundings, NULL);
    if (atomic_load(&control.current->alive) == 0 && !control.current->next)
        end(NULL);
}

/* ---- names that did not resolve ---- */

static void
on_resolve(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    if (!control.draining)
        names_ask(control.current->surroundings->mapping);
}

static u32
count_unknown(const struct blob *blob, const struct lookup *lookup)
{
    u32 unknown = 0;
    for (u32 i = 0; i < lookup_count(blob); i++)
        unknown += lookup[i].error != 0;
    return unknown;
}

/* The same blob once more, as if it were a reload: if more names resolve now, it takes over. */
static void
on_names(const struct mapping *mapping, struct lookup *lookup)
{
    const struct surroundings *old = control.current->surroundings;
    if (control.draining || old->mapping != mapping ||
        count_unknown(&mapping->blob, lookup) >= control.current->unresolved_count) {
        lookup_free(lookup, &mapping->blob);
        return;
    }
    struct surroundings *s = surroundings_new(mapping_share(old->mapping), &control.current->logger);
    if (!s) {
        lookup_free(lookup, &mapping->blob);
        return;
    }
    memcpy(s->socket, old->socket, s->socket_count * sizeof *s->socket);
    for (u32 i = 0; i < s->log_count; i++)
        s->log[i] = fcntl(old->log[i], F_DUPFD_CLOEXEC, 0);
    for (u32 i = 1; i < old->mapping->blob.file_count; i++) {
        s->file[i] = fcntl(old->file[i], F_DUPFD_CLOEXEC, 0);
        s->mark[i] = old->mark[i];
        s->seen[i] = old->seen[i];
    }
    struct generation *g = generation_open(s, control.current, lookup);
    if (!g) {
        surroundings_close(s, old);
    } else if (g->unresolved_count < control.current->unresolved_count) {
        publish(g);
    } else {
        surroundings_close_sockets(s, old);
        generation_close(g);
    }
}

/* ---- orders by signal, without a supervisor, or when it is gone ---- */

static void
on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop, (void)events;
    struct surroundings *current = control.current->surroundings, *next;
    switch (signal->signum) {
    case SIGHUP:
        if (control.draining)
            break;
        log_write(&control.current->logger, LEVEL_NOTICE, 0, 0, "reconfiguring");
        next = supervisor_open(control.options, current, &control.current->logger);
        if (!next || !adopt(next))
            break;
        pid_settle(next, current);
        surroundings_unlink(current, next);
        break;
    case SIGUSR1:
        log_write(&control.current->logger, LEVEL_NOTICE, 0, 0, "reopening logs");
        log_cache_reopen();
        log_default_reopen(log_default_open(&control.current->logger));
        for (u32 i = 0; i < current->log_count; i++) {
            int fd = surroundings_open_log(current, i, &control.current->logger);
            if (fd >= 0)
                log_file_reopen(current->log_path[i], fd);
        }
        break;
    case SIGUSR2:
        supervisor_refuse_upgrade(&control.current->logger);
        break;
    case SIGQUIT:
        drain();
        break;
    default:
        end(NULL);
    }
}

/* When there is a generation, which an order is about. */
static void
watch_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (u32 i = 0; i < sizeof signals / sizeof *signals; i++) {
        ev_signal_init(&control.signal[i], on_signal, signals[i]);
        ev_signal_start(control.loop, &control.signal[i]);
        sigaddset(&set, signals[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- orders from a supervisor ---- */

static void
obey(int kind, const int *fd, u32 count)
{
    const struct generation *current = control.current;
    struct surroundings *s;
    switch (kind) {
    case MESSAGE_RELOAD:
        s = incoming_surroundings(current);
        channel_send(control.channel, s && adopt(s) ? MESSAGE_TAKEN : MESSAGE_REFUSED, NULL, 0);
        break;
    case MESSAGE_REOPEN:
        incoming_reopen(current);
        log_default_reopen(count > 0 ? fd[0] : -1);
        break;
    case MESSAGE_STOP:
        end(NULL);
        break;
    case MESSAGE_QUIT:
        drain();
        break;
    default:
        incoming_add(kind, fd, count);
    }
}

static void
on_message(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    int fd[CHANNEL_FDS];
    u32 count;
    for (int kind; (kind = channel_receive(io->fd, fd, &count)) >= 0;)
        obey(kind, fd, count);
    if (errno == EAGAIN || errno == EINTR)
        return;
    ev_io_stop(loop, io);
    if (!control.draining)
        log_write(&control.current->logger, LEVEL_ALERT, 0, 0, "the supervisor is gone");
    drain();
    watch_signals(); /* nobody else can end it now */
}

/* Once a second, of each generation that has sessions; it runs on when none of them has a rate any more. */
static void
on_report(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    for (const struct generation *g = control.current; g; g = g->next)
        generation_report(g, false);
}

static void
on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    struct surroundings *current = control.current->surroundings, *next;
    if (control.draining || !files_have_changed(current))
        return;
    next = supervisor_renew(current, &control.current->logger);
    if (next)
        adopt(next);
}

/* ---- whole ---- */

/* libev keeps some bytes for each descriptor in each loop, and twice as much while an array grows. */
static void
open_memory(const struct surroundings *s)
{
    struct rlimit limit = {.rlim_cur = FDS_LEAST};
    getrlimit(RLIMIT_NOFILE, &limit);
    u64 fds = limit.rlim_cur < FDS_LEAST ? FDS_LEAST : limit.rlim_cur > FDS_MOST ? FDS_MOST : limit.rlim_cur;
    u64 loops = s->worker_count < LOOPS_LEAST ? LOOPS_LEAST : s->worker_count; /* a reload may want more */
    if (!memory_open(fds * loops * BYTES_PER_FD))
        die("no memory for the event loops: %s", strerror(errno));
    ev_set_allocator(memory_resize);
}

/* The kernel makes a table of descriptors larger at once while one thread has it, and lets the others wait for
 * milliseconds when several have. So it is made large before there are any. */
static void
open_descriptors(const struct surroundings *s)
{
    struct rlimit limit;
    u64 count = (u64)s->mapping->blob.main[1].worker_connections * 2 * s->worker_count + s->socket_count * 2 +
                s->log_count + FDS_LEAST;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && count > limit.rlim_cur)
        count = limit.rlim_cur;
    int last = fcntl(s->mapping->fd, F_DUPFD_CLOEXEC, (int)count - 1);
    if (last >= 0)
        close(last);
}

static void
watch(void)
{
    ev_async_init(&control.wake, on_wake);
    ev_async_start(control.loop, &control.wake);
    names_open(control.loop, on_names);
    ev_timer_init(&control.resolve, on_resolve, 0, RESOLVE_AGAIN_S);
    ev_timer_init(&control.report, on_report, 0, REPORT_S);
    ev_timer_init(&control.look, on_look, 0, FILES_LOOK_MS / 1000.0);
    if (control.channel >= 0) {
        ev_io_init(&control.io, on_message, control.channel, EV_READ);
        ev_io_start(control.loop, &control.io);
    }
}

static void
close_all(void)
{
    for (u32 i = 0; i < control.worker_count; i++)
        worker_join(control.worker[i]);
    metrics_report((const struct worker *const *)control.worker, control.worker_count, &control.current->logger);
    for (u32 i = 0; i < control.worker_count; i++)
        worker_free(control.worker[i]);
    collect(&control.current->next);
    surroundings_close_sockets(control.current->surroundings, NULL);
    generation_close(control.current);
    names_close();
    ev_loop_destroy(control.loop);
}

int
control_run(struct surroundings *first, int channel, const struct options *options)
{
    control.options = options;
    control.channel = channel;
    const char *directory = blob_string(&first->mapping->blob, first->mapping->blob.main[1].working_directory);
    process_drop_privilege(first, &log_default);
    if (directory[0])
        process_crash_into(directory);
    open_memory(first);
    open_descriptors(first);
    control.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!control.loop)
        die("no event loop: %s", strerror(errno));
    watch();
    struct generation *g = generation_open(first, NULL, NULL);
    if (!g)
        die("the configuration cannot be served");
    if (!start_workers(first, &g->logger))
        die("the workers cannot be started: %s", strerror(errno));
    log_default_stand_in(NULL);
    publish(g);
    if (channel < 0)
        watch_signals();
    ev_run(control.loop, 0);
    if (channel < 0 && !control.draining)
        surroundings_unlink(control.current->surroundings, NULL);
    if (channel < 0)
        pid_remove(control.current->surroundings);
    close_all();
    return 0;
}
