/*
 * Accepting: a bounded batch for each wake-up, who may come in at all, and the choice of the server by the local
 * address where one socket answers for several.
 */
#include "spcd.h"

#include <errno.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 64,
    REFUSED_PAUSE_S = 1, /* between two lines about worker_connections */
};

/* ---- who may come in ---- */

/* max_conns of the listener, over all workers. */
static bool
take_place(const struct acceptor *acceptor)
{
    const struct blob_listener *listener = acceptor->listener;
    if (!listener->max_conns)
        return true;
    atomic_uint *count = &acceptor->shard->generation->listener_count[listener - acceptor->shard->blob->listener];
    if (atomic_fetch_add(count, 1) < listener->max_conns)
        return true;
    atomic_fetch_sub(count, 1);
    return false;
}

void
listen_give_place(struct shard *shard, const struct blob_listener *listener)
{
    if (listener->max_conns)
        atomic_fetch_sub(&shard->generation->listener_count[listener - shard->blob->listener], 1);
}

static void
say_refused(struct shard *shard)
{
    struct worker *worker = shard->worker;
    worker->counter[COUNTER_refused]++;
    double now = ev_now(worker->loop);
    if (now - worker->refused_said < REFUSED_PAUSE_S)
        return;
    worker->refused_said = now;
    log_write(&shard->generation->logger, LEVEL_ALERT, 0, 0, "%u worker_connections are not enough",
              shard->sessions.count);
}

/* The endpoint whose address the client connected to; the socket's own, which is the last, if no other. */
static const struct blob_endpoint *
find_endpoint(const struct blob *blob, const struct blob_listener *listener, int fd)
{
    const struct blob_endpoint *first = &blob->endpoint[listener->endpoint];
    const struct blob_endpoint *last = first + listener->endpoint_count - 1;
    union client_address local;
    socklen_t size = sizeof local;
    if (first == last || getsockname(fd, &local.any, &size) != 0)
        return last;
    for (const struct blob_endpoint *at = first; at < last; at++)
        if (address_is(&local.any, &blob->address[at->address]))
            return at;
    return last;
}

static void
admit(struct acceptor *acceptor, int fd, const struct sockaddr *address, socklen_t size)
{
    struct shard *shard = acceptor->shard;
    if (!take_place(acceptor)) {
        shard->worker->counter[COUNTER_limited]++;
        close(fd);
        return;
    }
    const struct blob_endpoint *endpoint = find_endpoint(shard->blob, acceptor->listener, fd);
    if (session_start(acceptor, endpoint, fd, address, size))
        return;
    listen_give_place(shard, acceptor->listener);
    close(fd);
    say_refused(shard);
}

/* ---- accepting ---- */

static bool
is_temporary(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO;
}

/* Out of descriptors or memory: the clients wait in the kernel's queue until some are free again. */
static void
pause_accepting(struct shard *shard, int error)
{
    struct worker *worker = shard->worker;
    worker->counter[COUNTER_accept_failed]++;
    log_write(&shard->generation->logger, LEVEL_CRIT, 0, error, "accept4() failed");
    listen_stop(shard);
    ev_timer_start(worker->loop, &worker->accept_pause);
}

static void
on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct acceptor *acceptor = io->data;
    for (u32 i = 0; i < ACCEPT_BATCH; i++) {
        union client_address address;
        socklen_t size = sizeof address;
        int fd = accept4(io->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(acceptor, fd, &address.any, size);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (!is_temporary(errno)) {
            pause_accepting(acceptor->shard, errno);
            return;
        }
    }
}

void
listen_start(struct shard *shard)
{
    const struct blob *blob = shard->blob;
    for (u32 i = 1; i < blob->listener_count; i++) {
        struct acceptor *acceptor = &shard->acceptor[i];
        u32 place = surroundings_socket(shard->generation->surroundings, i, shard->worker->number);
        acceptor->shard = shard;
        acceptor->listener = &blob->listener[i];
        ev_io_init(&acceptor->io, on_connection, shard->generation->surroundings->socket[place], EV_READ);
        acceptor->io.data = acceptor;
        ev_io_start(shard->worker->loop, &acceptor->io);
    }
}

void
listen_stop(struct shard *shard)
{
    ev_timer_stop(shard->worker->loop, &shard->worker->accept_pause);
    for (u32 i = 1; i < shard->blob->listener_count; i++)
        ev_io_stop(shard->worker->loop, &shard->acceptor[i].io);
}
