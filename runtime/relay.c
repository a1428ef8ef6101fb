/*
 * Bytes both ways. What is read goes on at once from the worker's scratch buffer; only what the other side
 * does not take is kept, in one buffer, and until it is gone nothing more is read: that is the back-pressure.
 * So an idle session holds no buffer.
 *
 *      client ──read──► scratch ──write──► upstream          each side's buffer holds what waits to be
 *      client ◄─write── scratch ◄──read─── upstream          written to that side
 */
#include "spcd.h"

#include <errno.h>

/* A session that always has more to read gives way to the others after so many buffers. */
enum { ROUNDS = 16 };

static void
end_failed_write(struct session *s, const struct side *to, int error)
{
    bool client = to == &s->client;
    s->action = client ? "proxying and sending to client" : "proxying and sending to upstream";
    session_log(s, session_error_level(s, to, error), error, "send() failed");
    session_end(s, client ? CLOSE_client_gone : CLOSE_upstream_gone);
}

/* Read once, into scratch. What cannot be read any more counts as its end, as in nginx. */
static ssize_t
read_some(struct session *s, struct side *from, u8 *scratch, size_t size)
{
    ssize_t got;
    do
        got = recv(from->io.fd, scratch, size, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return -1;
    if (got < 0) {
        int error = errno;
        s->action = from == &s->client ? "proxying and reading from client" : "proxying and reading from upstream";
        session_log(s, session_error_level(s, from, error), error, "recv() failed");
        s->action = "proxying connection";
    }
    if (got <= 0) {
        from->eof = true;
        return 0;
    }
    from->received += (u64)got;
    return got;
}

/* Move what there is from one side to the other. False: the session has ended. */
static bool
move(struct session *s, struct side *from, struct side *to)
{
    u8 *scratch = s->shard->scratch;
    size_t size = s->shard->blob->proxy[s->server->proxy].buffer_size;
    enum flush state = side_write(s, to, NULL, 0);
    for (u32 round = 0; state == FLUSH_DONE && !from->eof && round < ROUNDS; round++) {
        ssize_t got = read_some(s, from, scratch, size);
        if (got < 0)
            break;
        state = side_write(s, to, scratch, (size_t)got);
        if ((size_t)got < size)
            break; /* the socket is empty, or level-triggered epoll will say so again */
    }
    if (state != FLUSH_FAILED)
        return true;
    end_failed_write(s, to, errno);
    return false;
}

/* An end of file on one side, once all that it sent has gone on, is the end of both. */
static bool
is_over(const struct session *s)
{
    return (s->client.eof && !s->upstream.buffer) || (s->upstream.eof && !s->client.buffer) ||
           (s->client.eof && s->upstream.eof);
}

static void
end_over(struct session *s, bool by_upstream)
{
    session_log_bare(s, LEVEL_INFO,
                     "%s disconnected, bytes from/to client:%llu/%llu, bytes from/to upstream:%llu/%llu",
                     by_upstream ? "upstream" : "client", (unsigned long long)s->client.received,
                     (unsigned long long)s->client.sent, (unsigned long long)s->upstream.received,
                     (unsigned long long)s->upstream.sent);
    session_end(s, by_upstream ? CLOSE_upstream_done : CLOSE_client_done);
}

static int
events_of(const struct side *side, const struct side *other)
{
    int read = side->eof || other->buffer ? 0 : EV_READ;
    return read | (side->buffer ? EV_WRITE : 0);
}

/* Run one direction and watch for what comes next. False: the session has ended. */
static bool
run(struct session *s, struct side *from, struct side *to)
{
    if (!move(s, from, to))
        return false;
    if (is_over(s)) {
        end_over(s, from == &s->upstream);
        return false;
    }
    side_watch(s, &s->client, events_of(&s->client, &s->upstream));
    side_watch(s, &s->upstream, events_of(&s->upstream, &s->client));
    session_touch(s);
    return true;
}

static void
on_event(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct session *s = io->data;
    struct side *side = io == &s->client.io ? &s->client : &s->upstream;
    struct side *other = side == &s->client ? &s->upstream : &s->client;
    if (events & EV_WRITE && !run(s, other, side))
        return;
    if (events & EV_READ)
        run(s, side, other);
}

void
relay_start(struct session *s)
{
    s->phase = PHASE_RELAY;
    s->action = "proxying connection";
    side_open(s, &s->client, s->client.io.fd, on_event);
    ev_set_cb(&s->upstream.io, on_event);
    session_timer(s, (double)s->shard->blob->proxy[s->server->proxy].timeout_ms / 1000);
    run(s, &s->client, &s->upstream);
}

void
relay_timeout(struct session *s)
{
    session_log(s, LEVEL_INFO, ETIMEDOUT, "connection timed out");
    session_end(s, CLOSE_idle);
}
