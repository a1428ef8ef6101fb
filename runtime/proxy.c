/*
 * The content of a session: connecting to an upstream, and to the next one when that fails; or returning a
 * value.
 */
#include "spcd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RETURN_TIMEOUT_S = 5 }; /* nginx's */

/* ---- connecting ---- */

static const struct target *
target_of(const struct session *s)
{
    const struct generation *g = s->shard->generation;
    if (s->made)
        return s->made;
    return &g->target[g->upstream[s->upstream_index].target + s->target];
}

static void
connected(struct session *s)
{
    attempt_connected(s);
    access_log_write(s, ACCESS_CONNECT);
    char local_text[ADDRESS_TEXT];
    union address local;
    socklen_t size = sizeof local;
    if (log_wants(session_logger(s), LEVEL_INFO) && getsockname(s->upstream.io.fd, &local.any, &size) == 0) {
        address_print(&local.any, true, local_text);
        session_log_bare(s, LEVEL_INFO, "%sproxy %s connected to %s", session_is_udp(s) ? "udp " : "", local_text,
                         s->upstream_name);
    }
    if (session_is_udp(s)) {
        udp_relay_start(s);
        return;
    }
    s->client.received += s->early; /* as in nginx, which reads it only now */
    relay_start(s);
}

/* What nginx says of a connect() that fails at once is graver if the network is not to blame. */
static enum level
connect_level(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EAGAIN:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        return LEVEL_ERROR;
    default:
        return LEVEL_CRIT;
    }
}

static void on_connect(struct ev_loop *loop, ev_io *io, int events);

enum outcome {
    ATTEMPT_GOES_ON,
    ATTEMPT_WAITS,  /* for the connection */
    ATTEMPT_FAILED, /* and was logged: there may be a next upstream */
    ATTEMPT_ENDED,  /* the session is over */
};

/* May the client's first bytes go before anybody has said that the upstream is connected? Not if others must
 * come first, or if they must come slowly. */
static bool
may_send_early(const struct session *s, const struct blob_proxy *proxy)
{
    return !s->starttls && !(proxy->flags & PROXY_PROTOCOL) && !proxy->ssl && !proxy->upload_rate &&
           !proxy->upload_rate_value;
}

/* On a near network the connection stands when connect() returns, though it says otherwise. So what the client
 * has sent by now is tried at once, and often nothing has to be watched for. What does not go waits for the
 * connection, or for the next one. */
static enum outcome
send_early(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    if (!may_send_early(s, proxy))
        return ATTEMPT_WAITS;
    if (!s->upstream.buffer && !s->client.eof) {
        ssize_t got = side_receive(s, &s->upstream, s->client.io.fd, proxy->buffer_size);
        s->early = got > 0 ? (u32)got : 0;
    }
    if (!s->upstream.buffer)
        return ATTEMPT_WAITS;
    enum flush state = side_flush(s, &s->upstream);
    if (state == FLUSH_FAILED) {
        session_log(s, session_error_level(s, &s->upstream, errno), errno, "connect() failed");
        return ATTEMPT_FAILED;
    }
    if (s->upstream.sent == 0)
        return ATTEMPT_WAITS;
    connected(s);
    return ATTEMPT_GOES_ON;
}

/* The connection stands: the session is connected when TLS, if it is asked for, stands too. */
static enum outcome
establish(struct session *s)
{
    if (!session_proxy(s)->ssl && !s->starttls) {
        connected(s);
        return ATTEMPT_GOES_ON;
    }
    switch (s->starttls ? starttls_start(s) : handshake_start(s)) {
    case HANDSHAKE_FAILED:
        return ATTEMPT_FAILED;
    case HANDSHAKE_ENDED:
        return ATTEMPT_ENDED;
    case HANDSHAKE_DONE:
        connected(s);
        break;
    case HANDSHAKE_WAITS:
        break;
    }
    return ATTEMPT_GOES_ON;
}

/* Begin connecting to this target's address. */
static enum outcome
connect_to(struct session *s, const struct target *target)
{
    int fd = session_is_udp(s) ? udp_reuse(s) : -1;
    bool reused = fd >= 0;
    if (!reused)
        fd = outgoing_open(s, session_proxy(s), target->address.any.sa_family);
    if (fd < 0) {
        session_end(s, CLOSE_internal);
        return ATTEMPT_ENDED;
    }
    session_number(); /* this connection's own, as in nginx */
    s->shard->worker->counter[COUNTER_tries]++;
    s->upstream.sent = 0;
    side_open(s, &s->upstream, fd, on_connect);
    s->upstream.nodelay_due = s->server->flags & SERVER_TCP_NODELAY && target->address.any.sa_family != AF_UNIX;
    if (reused)
        s->upstream.io.events = 0; /* nor libev's mark that fd is new: it is watched already */
    if (reused || connect(fd, &target->address.any, target->size) == 0)
        return establish(s);
    if (errno != EINPROGRESS) {
        session_log(s, connect_level(errno), errno, "connect() to %s failed", target->text);
        return ATTEMPT_FAILED;
    }
    enum outcome early = send_early(s);
    if (early != ATTEMPT_WAITS)
        return early;
    side_watch(s, &s->upstream, EV_READ | EV_WRITE);
    session_timer(s, (double)session_proxy(s)->connect_timeout_ms / 1000);
    return ATTEMPT_GOES_ON;
}

static enum outcome
attempt(struct session *s)
{
    s->phase = PHASE_CONNECT;
    s->action = "connecting to upstream";
    if (balance_choose(s)) {
        s->upstream_name = target_of(s)->text;
        attempt_begin(s);
        return connect_to(s, target_of(s));
    }
    s->upstream_name = s->shard->generation->upstream[s->upstream_index].name;
    attempt_begin(s);
    session_log(s, LEVEL_ERROR, 0, "no live upstreams");
    session_end(s, CLOSE_no_live_upstream);
    return ATTEMPT_ENDED;
}

/* The target failed. May and can there be another? */
static bool
may_try_next(const struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    double waited = session_now(s) - s->started;
    return s->tries > 0 && proxy->flags & PROXY_NEXT_UPSTREAM &&
           (proxy->next_timeout_ms == 0 || waited * 1000 < (double)proxy->next_timeout_ms);
}

/* The target failed: go on to others until one is connecting, or a pause begins, or the session is over. */
static void
next_upstream(struct session *s)
{
    u64 delay_ms = session_proxy(s)->next_delay_ms;
    do {
        s->shard->worker->counter[COUNTER_failures]++;
        balance_release(s, true);
        if (!may_try_next(s)) {
            session_end(s, CLOSE_upstream_failed);
            return;
        }
        side_disconnect(s, &s->upstream);
        if (delay_ms) {
            s->phase = PHASE_PAUSE;
            session_timer(s, (double)delay_ms / 1000);
            return;
        }
    } while (attempt(s) == ATTEMPT_FAILED);
}

void
proxy_pause_over(struct session *s)
{
    if (attempt(s) == ATTEMPT_FAILED)
        next_upstream(s);
}

/* Writable and nothing else is a connection; an error shows as readable too, and so does one whose other
 * end speaks first. */
static void
on_connect(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct session *s = io->data;
    int error = 0;
    socklen_t size = sizeof error;
    if (events & EV_READ && getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error)
        session_log(s, session_error_level(s, &s->upstream, error), error, "connect() failed");
    if (error || establish(s) == ATTEMPT_FAILED)
        next_upstream(s);
}

void
proxy_secured(struct session *s, enum handshake result)
{
    if (result == HANDSHAKE_DONE)
        connected(s);
    else if (result == HANDSHAKE_FAILED)
        next_upstream(s);
}

void
proxy_timeout(struct session *s)
{
    session_log(s, LEVEL_ERROR, ETIMEDOUT, "upstream timed out");
    next_upstream(s);
}

/* ---- the target ---- */

enum { TARGET_TEXT = 512 };

/* A target of the session's own. NULL: text is no address that can be connected to, and why says why not. */
static struct target *
make_target(struct session *s, const char *text, const char **why)
{
    static const struct blob_peer peer = {.weight = 1};
    char parsed[TARGET_TEXT];
    union address address;
    socklen_t size;
    strcpy(parsed, text);
    *why = address_read(parsed, &address, &size);
    if (*why)
        return NULL;
    struct target *target = slab_take(&s->shard->targets);
    *target = (struct target){.peer = &peer, .address = address, .size = size};
    if (address.any.sa_family == AF_UNIX)
        snprintf(target->text, sizeof target->text, "%.*s", (int)sizeof target->text - 1, text); /* it is shorter */
    else
        address_print(&address.any, true, target->text);
    return target;
}

/* What the variables of proxy_pass name: a group, or an address. False: neither, and the session is over. */
static bool
find_target(struct session *s, const struct blob_proxy *proxy)
{
    const struct blob *blob = s->shard->blob;
    char text[TARGET_TEXT] = "";
    const char *why = "more than 511 bytes, or a NUL byte,";
    if (expr_text(s, &blob->expr[proxy->target], text, sizeof text)) {
        s->upstream_index = upstream_find(blob, text);
        s->made = s->upstream_index ? NULL : make_target(s, text, &why);
        if (s->upstream_index || s->made)
            return true;
    }
    if (why == address_is_name)
        session_log(s, LEVEL_ERROR, 0, "%s %.*s", why, (int)strcspn(text, ":"), text);
    else
        session_log(s, LEVEL_ERROR, 0, "%s in upstream \"%s\"", why, text);
    session_end(s, CLOSE_internal);
    return false;
}

void
proxy_start(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    s->upstream_index = proxy->upstream;
    if (proxy->target && !find_target(s, proxy))
        return;
    s->tries = s->made ? 1 : s->shard->generation->upstream[s->upstream_index].try_count;
    if (proxy->next_tries && s->tries > proxy->next_tries)
        s->tries = proxy->next_tries;
    s->started = session_now(s);
    outgoing_check(s);
    if (attempt(s) == ATTEMPT_FAILED)
        next_upstream(s);
}

/* ---- return ---- */

static void
return_done(struct session *s, enum flush state)
{
    if (state == FLUSH_WAIT) {
        side_watch(s, &s->client, EV_WRITE);
        session_timer(s, RETURN_TIMEOUT_S);
        return;
    }
    if (state == FLUSH_FAILED)
        session_log(s, session_error_level(s, &s->client, errno), errno, "send() failed");
    session_end(s, state == FLUSH_DONE ? CLOSE_returned : CLOSE_return_failed);
}

static void
on_return(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    return_done(s, side_flush(s, &s->client));
}

void
return_start(struct session *s)
{
    struct shard *shard = s->shard;
    bool udp = session_is_udp(s);
    s->phase = PHASE_RETURN;
    s->action = "returning text";
    if (!udp)
        side_open(s, &s->client, s->client.io.fd, on_return);
    size_t size = expr_run(s, &shard->blob->expr[s->server->value], shard->scratch, shard->generation->buffer_size);
    if (size > shard->generation->buffer_size) {
        session_log(s, LEVEL_ERROR, 0, "the value has more than %u bytes", shard->generation->buffer_size);
        session_end(s, CLOSE_internal);
        return;
    }
    if (udp)
        udp_return(s, shard->scratch, size);
    else
        return_done(s, side_write(s, &s->client, shard->scratch, size));
}

void
return_timeout(struct session *s)
{
    session_log(s, LEVEL_INFO, ETIMEDOUT, "connection timed out");
    session_end(s, CLOSE_return_timeout);
}
