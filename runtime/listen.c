/*
 * Accepting: a bounded batch for each wake-up, and the choice of the server by the local address where one
 * socket answers for several.
 */
#include "spcd.h"

#include <errno.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64 };

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
            session_start(acceptor, fd, &address.any, size);
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
