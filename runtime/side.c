/*
 * One side of a session: a socket, what waits to be written to it, and the events that are watched.
 *
 * Nothing is watched that need not be, and nothing is kept in a buffer that the kernel took.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT_SURE = 524 }; /* bytes that are one segment on any path: 536, with room for a time stamp */

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
give_back(struct session *s, struct side *side)
{
    if (side->buffer)
        slab_give(&s->shard->buffers, side->buffer);
    if (side->pipe)
        pipe_give(&s->shard->worker->pipes, side->pipe);
    side->buffer = NULL;
    side->pipe = NULL;
}

void
side_disconnect(struct session *s, struct side *side)
{
    record_close(s, side);
    if (side->io.fd < 0)
        return;
    ev_io_stop(s->shard->worker->loop, &side->io);
    close(side->io.fd);
    side->io.fd = -1;
}

void
side_close(struct session *s, struct side *side)
{
    if (side->records && !side->buffer)
        record_shutdown(s, side);
    give_back(s, side);
    side_disconnect(s, side);
    give_back(s, side); /* what waited for a handshake */
}

/* The first small segment goes out at once with or without TCP_NODELAY, and many connections send no more:
 * so the call is made before the second. */
static void
set_nodelay(struct side *side, size_t size)
{
    if (!side->nodelay_due || (side->sent == 0 && size <= SEGMENT_SURE && !side->records))
        return;
    side->nodelay_due = false;
    setsockopt(side->io.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* How much of it the kernel took: less than size if it is full; -1 if writing failed. */
static ssize_t
send_some(struct side *side, const u8 *data, size_t size)
{
    set_nodelay(side, size);
    for (;;) {
        ssize_t sent = send(side->io.fd, data, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            side->sent += side->records ? 0 : (u64)sent; /* records are counted by what is in them */
            return sent;
        }
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static enum flush
flush_pipe(struct session *s, struct side *side)
{
    set_nodelay(side, side->pipe->filled);
    while (side->pipe->filled > 0) {
        ssize_t sent = splice(side->pipe->out, NULL, side->io.fd, NULL, side->pipe->filled,
                              SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? FLUSH_WAIT : FLUSH_FAILED;
        side->sent += (u64)sent;
        side->pipe->filled -= (u32)sent;
    }
    give_back(s, side);
    return FLUSH_DONE;
}

static enum flush
flush_buffer(struct session *s, struct side *side)
{
    ssize_t sent = send_some(side, side->buffer + side->at, side->end - side->at);
    if (sent < 0)
        return FLUSH_FAILED;
    side->at += (u32)sent;
    if (side->at < side->end)
        return FLUSH_WAIT;
    give_back(s, side);
    if (side->records)
        record_flushed(side);
    return FLUSH_DONE;
}

enum flush
side_flush(struct session *s, struct side *side)
{
    return side->pipe ? flush_pipe(s, side) : side->buffer ? flush_buffer(s, side) : FLUSH_DONE;
}

ssize_t
side_receive(struct session *s, struct side *side, int fd, size_t size)
{
    side->buffer = slab_take(&s->shard->buffers);
    ssize_t got = recv(fd, side->buffer, size, 0);
    side->at = 0;
    side->end = got > 0 ? (u32)got : 0;
    if (got <= 0)
        give_back(s, side);
    return got;
}

enum flush
side_write(struct session *s, struct side *side, const u8 *data, size_t size)
{
    return side->records ? record_write(s, side, data, size) : side_write_clear(s, side, data, size);
}

enum flush
side_write_clear(struct session *s, struct side *side, const u8 *data, size_t size)
{
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

bool
side_prepend(struct side *side, const u8 *data, size_t size)
{
    if (!side->buffer)
        return false;
    memmove(side->buffer + size, side->buffer + side->at, side->end - side->at);
    memcpy(side->buffer, data, size);
    side->end = (u32)size + side->end - side->at;
    side->at = 0;
    return true;
}

enum flush
side_splice(struct session *s, struct side *side, struct pipe *pipe)
{
    side->pipe = pipe;
    return flush_pipe(s, side);
}
