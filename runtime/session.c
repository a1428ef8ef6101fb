/*
 * A session: begun by an accepted connection, timed by one timer, described in the log, ended in one place.
 */
#include "spcd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_ullong last_number;

u64
session_number(void)
{
    return atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
}

/* ---- the timer ---- */

/* Traffic only moves due; a session that is looked at too early gets a new deadline. */
void
session_due(struct session *s)
{
    bool relaying = s->phase == PHASE_RELAY || s->phase == PHASE_UDP;
    double due = relaying ? relay_due(s) : s->due;
    if (due > session_now(s)) {
        deadline_set(s, due);
        return;
    }
    static void (*const on_timeout[])(struct session *) = {
        [PHASE_PREAMBLE] = introduction_timeout,
        [PHASE_PREREAD] = preread_timeout,
        [PHASE_CONNECT] = proxy_timeout,
        [PHASE_HANDSHAKE] = handshake_timeout,
        [PHASE_PAUSE] = proxy_pause_over,
        [PHASE_RELAY] = relay_timeout,
        [PHASE_UDP] = udp_timeout,
        [PHASE_RETURN] = return_timeout,
    };
    on_timeout[s->phase](s);
}

void
session_timer(struct session *s, double seconds)
{
    s->due = session_now(s) + seconds;
    deadline_set(s, s->due);
}

void
session_touch(struct session *s)
{
    s->due = session_now(s) + (double)session_proxy(s)->timeout_ms / 1000;
}

/* ---- the log ---- */

const struct logger *
session_logger(const struct session *s)
{
    return &s->shard->generation->server_logger[s->server - s->shard->blob->server];
}

enum level
session_error_level(const struct session *s, const struct side *side, int error)
{
    switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        return side == &s->client ? LEVEL_INFO : LEVEL_ERROR;
    default:
        return LEVEL_ALERT;
    }
}

static size_t __attribute__((format(printf, 4, 5)))
append(char *text, size_t at, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text + at, room - at, format, arguments);
    va_end(arguments);
    return length < 0 || at + (size_t)length >= room ? room - 1 : at + (size_t)length;
}

/* "message (error) while ACTION, client: A, server: B" and, once there is an upstream, ", upstream: ..., bytes". */
void
session_log(const struct session *s, enum level level, int error, const char *format, ...)
{
    const struct logger *logger = session_logger(s);
    if (!log_wants(logger, level))
        return;
    char text[LOG_LINE], client[ADDRESS_TEXT];
    const struct blob *blob = s->shard->blob;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t at = length < 0 || (size_t)length >= sizeof text ? sizeof text - 1 : (size_t)length;
    if (error)
        at = append(text, at, sizeof text, " (%d: %s)", error, strerrordesc_np(error));
    if (s->action)
        at = append(text, at, sizeof text, " while %s", s->action);
    address_print(&s->address.any, false, client);
    at = append(text, at, sizeof text, ", %sclient: %s, server: %s", session_is_udp(s) ? "udp " : "", client,
                blob_string(blob, blob->address[s->listener->address].text));
    if (s->upstream_name)
        at = append(text, at, sizeof text, ", upstream: \"%s\"", s->upstream_name);
    if (s->server->proxy && s->phase >= PHASE_CONNECT)
        append(text, at, sizeof text, ", bytes from/to client:%llu/%llu, bytes from/to upstream:%llu/%llu",
               (unsigned long long)s->client.received, (unsigned long long)s->client.sent,
               (unsigned long long)s->upstream.received, (unsigned long long)s->upstream.sent);
    log_write(logger, level, s->number, 0, "%s", text);
}

void
session_log_bare(const struct session *s, enum level level, const char *format, ...)
{
    const struct logger *logger = session_logger(s);
    if (!log_wants(logger, level))
        return;
    char text[LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_write(logger, level, s->number, 0, "%s", text);
}

/* ---- why it ended ---- */

u32
session_status(const struct session *s)
{
    static const u32 statuses[] = {
#define CLOSE(id, status, says) status,
#include "metrics.def"
    };
    return s->reason ? statuses[s->reason - 1] : 0;
}

const char *
session_reason(const struct session *s)
{
    static const char *const reasons[] = {
#define CLOSE(id, status, says) #id,
#include "metrics.def"
    };
    return s->reason ? reasons[s->reason - 1] : "";
}

/* ---- begin and end ---- */

union client_address
session_local_address(const struct session *s)
{
    union client_address local = {.any.sa_family = AF_UNIX};
    socklen_t size = sizeof local;
    if (session_is_udp(s))
        return listen_local(s->shard->blob, s->listener, &s->client.udp.local);
    if (s->passes)
        return s->values->local;
    if (getsockname(s->client.io.fd, &local.any, &size) != 0)
        local.any.sa_family = AF_UNIX;
    return local;
}

static void
say_connected(const struct session *s)
{
    if (!log_wants(session_logger(s), LEVEL_INFO))
        return;
    const struct blob *blob = s->shard->blob;
    char client[ADDRESS_TEXT];
    address_print(&s->address.any, true, client);
    session_log_bare(s, LEVEL_INFO, "%sclient %s connected to %s", session_is_udp(s) ? "udp " : "", client,
                     blob_string(blob, blob->address[session_endpoint(s)->address].text));
}

struct session *
session_new(const struct acceptor *acceptor, const struct blob_endpoint *endpoint, const struct sockaddr *address,
            socklen_t size)
{
    struct shard *shard = acceptor->shard;
    struct session *s = slab_take(&shard->sessions);
    if (!s)
        return NULL;
    *s = (struct session){.shard = shard, .listener = acceptor->listener};
    if (!deadline_join(shard->worker, s)) {
        slab_give(&shard->sessions, s);
        return NULL;
    }
    s->endpoint = (u32)(endpoint - shard->blob->endpoint);
    s->number = session_number();
    s->action = "initializing session";
    s->begun = session_now(s);
    s->server = &shard->blob->server[endpoint->server];
    memcpy(&s->address, address, size < sizeof s->address ? size : sizeof s->address);
    if (size <= sizeof(sa_family_t)) /* a client on a unix socket that bound none */
        s->address.any.sa_family = AF_UNIX;
    s->client.io.fd = -1;
    s->upstream.io.fd = -1;
    s->target = UINT32_MAX;
    shard->session_count++;
    shard->worker->counter[COUNTER_accepted]++;
    say_connected(s);
    return s;
}

bool
session_start(const struct acceptor *acceptor, const struct blob_endpoint *endpoint, int fd,
              const struct sockaddr *address, socklen_t size)
{
    struct session *s = session_new(acceptor, endpoint, address, size);
    if (!s)
        return false;
    s->client.io.fd = fd;
    s->client.nodelay_due = s->server->flags & SERVER_TCP_NODELAY && s->address.any.sa_family != AF_UNIX;
    session_run(s);
    return true;
}

/* What limits it has taken it keeps; everything else is as if it had just come. */
bool
session_pass(struct session *s, const struct blob_listener *listener, const struct blob_endpoint *endpoint,
             const union client_address *local)
{
    const struct blob *blob = s->shard->blob;
    if (!listen_take_place(s->shard, listener))
        return false;
    listen_give_place(s->shard, s->listener);
    s->listener = listener;
    s->endpoint = (u32)(endpoint - blob->endpoint);
    s->server = &blob->server[endpoint->server];
    s->passes++;
    s->begun = session_now(s);
    s->action = "initializing session";
    s->phase = PHASE_PREAMBLE;
    s->limit_status = s->pace_status = LIMIT_NONE;
    s->client.nodelay_due = s->server->flags & SERVER_TCP_NODELAY && s->address.any.sa_family != AF_UNIX;
    values_restart(s);
    s->values->local = *local;
    say_connected(s);
    return true;
}

static enum step
content_step(struct session *s)
{
    s->action = NULL;
    s->phase = PHASE_CONNECT;
    access_log_write(s, ACCESS_OPEN);
    if (s->server->pass)
        return pass_run(s);
    if (s->server->proxy)
        proxy_start(s);
    else
        return_start(s);
    return STEP_ENDED; /* or it goes on from there */
}

/* Before the limits, whose keys may be made of it, and before anything is preread. */
static enum step
set_step(struct session *s)
{
    slot_assign(s);
    return STEP_NEXT;
}

/* In nginx's order. */
static enum step (*const steps[])(struct session *) = {
    introduction_step, set_step,     pace_step,   limit_step,   access_step,
    starttls_step,     preread_step, listen_step, content_step,
};

void
session_run(struct session *s)
{
    enum step step;
    while ((step = steps[s->step](s)) <= STEP_AGAIN)
        s->step = step == STEP_NEXT ? s->step + 1 : 0;
}

void
session_go_on(struct session *s)
{
    side_watch(s, &s->client, 0);
    s->step++;
    session_run(s);
}

/* What was read early and reached nobody counts as not read: the client must learn it by a reset. */
static void
disown_early(struct session *s)
{
    if (s->early && (s->phase == PHASE_CONNECT || s->phase == PHASE_PAUSE))
        setsockopt(s->client.io.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
}

void
session_end(struct session *s, enum close reason)
{
    struct shard *shard = s->shard;
    struct worker *worker = shard->worker;
    worker->closed[reason]++;
    s->reason = (u8)(reason + 1);
    attempt_end(s);
    access_log_write(s, ACCESS_CLOSE);
    worker->counter[COUNTER_client_bytes] += s->client.received;
    worker->counter[COUNTER_upstream_bytes] += s->upstream.received;
    if (session_is_udp(s))
        udp_close(s, reason);
    else
        disown_early(s);
    balance_release(s, false);
    rate_close(s, &s->upstream);
    rate_close(s, &s->client);
    side_close(s, &s->upstream);
    if (!session_is_udp(s))
        side_close(s, &s->client);
    if (!s->guest)
        listen_give_place(shard, s->listener);
    limit_release(s);
    deadline_leave(s);
    if (s->tried)
        slab_give(&shard->tried, s->tried);
    if (s->values)
        slab_give(&shard->values, s->values);
    if (s->attempts)
        slab_give(&shard->attempts, s->attempts);
    if (s->made)
        slab_give(&shard->targets, s->made);
    shard->session_count--;
    slab_give(&shard->sessions, s);
    worker_released(shard);
}
