/*
 * Bytes both ways. What is read goes on at once from the worker's scratch buffer; only what the other side
 * does not take is kept, in one buffer, and until it is gone nothing more is read: that is the back-pressure.
 * So an idle session holds no buffer. Bulk goes through a pipe of the worker's instead, and is not copied.
 *
 *      client ──read──► scratch ──write──► upstream          each side's buffer holds what waits to be
 *      client ◄─write── scratch ◄──read─── upstream          written to that side
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>

enum {
    FAIR_BYTES = 4 << 20,     /* a session that always has more to read gives way to the others after so many */
    BULK_BYTES = 256 << 10,   /* that came in a streak: what follows is worth splicing */
    STREAK_MOST = 1 << 20,    /* where counting ends, so that a streak does not outlive three trickles */
    TRICKLE_BYTES = 16 << 10, /* what a wake-up brings, if it is less, halves the streak */
};

static void
end_failed_write(struct session *s, const struct side *to, int error)
{
    bool client = to == &s->client;
    s->action = client ? "proxying and sending to client" : "proxying and sending to upstream";
    session_log(s, session_error_level(s, to, error), error, "send() failed");
    session_end(s, client ? CLOSE_client_gone : CLOSE_upstream_gone);
}

/* What a read of size bytes gave: a positive count, 0 for the end, -1 for nothing now. What cannot be read any
 * more counts as its end, as in nginx. */
static ssize_t
took(struct session *s, struct side *from, ssize_t got)
{
    if (got < 0 && errno == EAGAIN)
        return -1;
    if (got < 0) {
        int error = errno;
        s->action = from == &s->client ? "proxying and reading from client" : "proxying and reading from upstream";
        session_log(s, session_error_level(s, from, error), error, "recv() failed");
        s->action = "proxying connection";
    }
    from->active = session_now(s);
    from->eof = got <= 0;
    if (got <= 0)
        return 0;
    if (from == &s->upstream && from->received == 0)
        attempt_first_byte(s);
    from->received += (u64)got;
    from->streak = from->streak < STREAK_MOST ? from->streak + (u32)got : from->streak;
    rate_spend(from, (u64)got);
    return got;
}

/* What is read at once: of bulk that becomes or is TLS several records, since most of its cost is calls. */
static size_t
reads_at_once(const struct session *s, const struct side *from)
{
    u32 size = session_proxy(s)->buffer_size;
    return session_proxy(s)->ssl && from->streak >= BULK_BYTES && size < TLS_BULK ? TLS_BULK : size;
}

/* Through the scratch buffer. */
static ssize_t
copy_some(struct session *s, struct side *from, struct side *to, u64 most, enum flush *state)
{
    u8 *scratch = s->shard->scratch;
    size_t buffer_size = reads_at_once(s, from), size = most < buffer_size ? (size_t)most : buffer_size;
    ssize_t got;
    do
        got = from->records ? record_read(s, from, scratch, size) : recv(from->io.fd, scratch, size, 0);
    while (got < 0 && errno == EINTR);
    got = took(s, from, got);
    if (got <= 0)
        return got;
    *state = side_write(s, to, scratch, (size_t)got);
    return (size_t)got == size ? got : 0;
}

/* Through a pipe, without copying. */
static ssize_t
splice_some(struct session *s, struct side *from, struct side *to, struct pipe *pipe, u64 most, enum flush *state)
{
    size_t size = most < PIPE_SIZE ? (size_t)most : PIPE_SIZE;
    ssize_t got;
    do
        got = splice(from->io.fd, NULL, pipe->in, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    while (got < 0 && errno == EINTR);
    got = took(s, from, got);
    if (got <= 0) {
        pipe_give(&s->shard->worker->pipes, pipe);
        return got;
    }
    pipe->filled = (u32)got;
    *state = side_splice(s, to, pipe);
    return got;
}

static ssize_t
move_some(struct session *s, struct side *from, struct side *to, enum flush *state)
{
    u64 most = rate_allowance(s, from);
    if (most == 0)
        return -1;
    bool clear = !from->records && !to->records;
    struct pipe *pipe = clear && from->streak >= BULK_BYTES ? pipe_take(&s->shard->worker->pipes) : NULL;
    return pipe ? splice_some(s, from, to, pipe, most, state) : copy_some(s, from, to, most, state);
}

/* Move what there is from one side to the other. False: the session has ended. */
static bool
move(struct session *s, struct side *from, struct side *to)
{
    u64 before = from->received;
    enum flush state = side_flush(s, to);
    while (state == FLUSH_DONE && !from->eof && from->received - before < FAIR_BYTES)
        if (move_some(s, from, to, &state) <= 0)
            break; /* the socket is empty, or level-triggered epoll will say so again */
    if (state == FLUSH_DONE && from->received - before < TRICKLE_BYTES)
        from->streak /= 2;
    if (state != FLUSH_FAILED)
        return true;
    end_failed_write(s, to, errno);
    return false;
}

/* An end of file on one side, once all that it sent has gone on, is the end of both; with proxy_half_close
 * both sides must have ended. */
static bool
is_over(const struct session *s)
{
    bool client_done = s->client.eof && !side_waits(&s->upstream);
    bool upstream_done = s->upstream.eof && !side_waits(&s->client);
    if (session_proxy(s)->flags & PROXY_HALF_CLOSE)
        return client_done && upstream_done;
    return client_done || upstream_done || (s->client.eof && s->upstream.eof);
}

/* With proxy_half_close, an end of file goes on as one. */
static void
pass_end(struct session *s, const struct side *from, struct side *to)
{
    if (!(session_proxy(s)->flags & PROXY_HALF_CLOSE) || !from->eof || side_waits(to) || to->shut)
        return;
    to->shut = true;
    if (to->records)
        record_shutdown(s, to);
    shutdown(to->io.fd, SHUT_WR);
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
    int read = side->eof || side_waits(other) || rate_waits(side) ? 0 : EV_READ;
    return read | (side_waits(side) ? EV_WRITE : 0);
}

/* Records may have been received of which the socket does not tell any more. */
static void
watch_one(struct session *s, struct side *side, const struct side *other)
{
    int events = events_of(side, other);
    side_watch(s, side, events);
    if (events & EV_READ && side->records && record_has_more(side))
        ev_feed_event(s->shard->worker->loop, &side->io, EV_READ);
}

static void
watch(struct session *s)
{
    watch_one(s, &s->client, &s->upstream);
    watch_one(s, &s->upstream, &s->client);
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
    pass_end(s, from, to);
    watch(s);
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
    if (events & EV_READ && !run(s, side, other)) /* first: what a reset means is learned by reading */
        return;
    if (events & EV_WRITE)
        run(s, other, side);
}

/* A rate lets the side be read again. */
static void
on_rate(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct session *s = timer->data;
    struct side *side = rate_side(s, timer);
    run(s, side, side == &s->client ? &s->upstream : &s->client);
}

/* What does not go at once waits like any other bytes. */
bool
relay_send_preamble(struct session *s)
{
    const u8 *scratch = s->shard->scratch;
    size_t size = preamble_make(s);
    if (size == 0)
        return false;
    if (s->upstream.records)
        s->upstream.sent += size; /* it is no record, but nginx counts it */
    if (side_prepend(&s->upstream, scratch, size) || side_write_clear(s, &s->upstream, scratch, size) != FLUSH_FAILED)
        return true;
    end_failed_write(s, &s->upstream, errno);
    return false;
}

/* What was preread goes on; the client has nothing more to read, or epoll will say so. */
static void
send_preread(struct session *s)
{
    if (side_flush(s, &s->upstream) == FLUSH_FAILED)
        end_failed_write(s, &s->upstream, errno);
    else
        watch(s);
}

void
relay_start(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    u64 upload_rate = rate_of(s, proxy->upload_rate, proxy->upload_rate_value);
    u64 download_rate = rate_of(s, proxy->download_rate, proxy->download_rate_value);
    s->phase = PHASE_RELAY;
    s->action = "proxying connection";
    side_open(s, &s->client, s->client.io.fd, on_event);
    ev_set_cb(&s->upstream.io, on_event);
    if (proxy->flags & PROXY_PROTOCOL && !proxy->ssl && !s->starttls && !relay_send_preamble(s))
        return;
    if (s->upstream.records && record_resume(s, &s->upstream) == FLUSH_FAILED) {
        end_failed_write(s, &s->upstream, errno);
        return;
    }
    rate_open(s, &s->client, upload_rate, on_rate);
    rate_open(s, &s->upstream, download_rate, on_rate);
    s->client.active = s->upstream.active = session_now(s);
    session_timer(s, (double)proxy->timeout_ms / 1000);
    deadline_set(s, relay_due(s));
    if (s->early && !side_waits(&s->upstream))
        watch(s); /* the client was read just now */
    else if (s->drained)
        send_preread(s);
    else
        run(s, &s->client, &s->upstream);
}

/* ---- time limits ---- */

static double
earlier(double a, double b)
{
    return a < b ? a : b;
}

static double
limit(u64 limit_ms, double since)
{
    return limit_ms ? since + (double)limit_ms / 1000 : INFINITY;
}

/* While a rate holds a side back, silence is no one's fault. */
static double
idle_limit(const struct session *s, const struct blob_proxy *proxy)
{
    bool waits = rate_waits(&s->client) || rate_waits(&s->upstream);
    return waits ? session_now(s) + (double)proxy->timeout_ms / 1000 : s->due;
}

double
relay_due(const struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    double due = earlier(idle_limit(s, proxy), limit(proxy->session_timeout_ms, s->started));
    due = earlier(due, limit(proxy->client_timeout_ms, s->client.active));
    return earlier(due, limit(proxy->upstream_timeout_ms, s->upstream.active));
}

void
relay_timeout(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    double now = session_now(s);
    enum close reason = CLOSE_idle;
    const char *what = "connection timed out";
    if (limit(proxy->session_timeout_ms, s->started) <= now) {
        reason = CLOSE_session_timeout;
        what = "the session has reached proxy_session_timeout";
    } else if (limit(proxy->client_timeout_ms, s->client.active) <= now) {
        reason = CLOSE_client_idle;
        what = "client timed out";
    } else if (limit(proxy->upstream_timeout_ms, s->upstream.active) <= now) {
        reason = CLOSE_upstream_idle;
        what = "upstream timed out";
    }
    session_log(s, LEVEL_INFO, ETIMEDOUT, "%s", what);
    session_end(s, reason);
}
