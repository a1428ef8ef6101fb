/*
 * One side of a session: a socket, what waits to be written to it, and the events that are watched.
 *
 * Nothing is watched that need not be, and nothing is kept in a buffer that the kernel took.
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
side_open(struct session *s, struct side *side, int fd, void (*callback)(struct ev_loop *, ev_io *, int))
{
    ev_io_init(&side->io, callback, fd, 0);
    side->io.data = s;
}

void
side_watch(struct session *s, struct side *side, int events)
{
    struct ev_loop *loop = s->shard->worker->loop;
    int watched = ev_is_active(&side->io) ? side->io.events & (EV_READ | EV_WRITE) : 0;
    if (watched == events)
        return;
    ev_io_stop(loop, &side->io);
    if (events) {
        ev_io_modify(&side->io, events);
        ev_io_start(loop, &side->io);
    }
}

static void
give_buffer(struct session *s, struct side *side)
{
    if (side->buffer)
        slab_give(&s->shard->buffers, side->buffer);
    side->buffer = NULL;
}

void
side_close(struct session *s, struct side *side)
{
    give_buffer(s, side);
    if (side->io.fd < 0)
        return;
    ev_io_stop(s->shard->worker->loop, &side->io);
    close(side->io.fd);
    side->io.fd = -1;
}

/* How much of it the kernel took: less than size if it is full; -1 if writing failed. */
static ssize_t
send_some(struct side *side, const u8 *data, size_t size)
{
    for (;;) {
        ssize_t sent = send(side->io.fd, data, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            side->sent += (u64)sent;
            return sent;
        }
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static enum flush
flush(struct session *s, struct side *side)
{
    ssize_t sent = send_some(side, side->buffer + side->at, side->end - side->at);
    if (sent < 0)
        return FLUSH_FAILED;
    side->at += (u32)sent;
    if (side->at < side->end)
        return FLUSH_WAIT;
    give_buffer(s, side);
    return FLUSH_DONE;
}

enum flush
side_write(struct session *s, struct side *side, const u8 *data, size_t size)
{
    if (side->buffer)
        return flush(s, side);
    ssize_t sent = size ? send_some(side, data, size) : 0;
    if (sent < 0)
        return FLUSH_FAILED;
    if ((size_t)sent == size)
        return FLUSH_DONE;
    /* There are two buffers for each session, so there is one for each of its sides. */
    side->buffer = slab_take(&s->shard->buffers);
    side->at = 0;
    side->end = (u32)(size - (size_t)sent);
    memcpy(side->buffer, data + sent, side->end);
    return FLUSH_WAIT;
}
