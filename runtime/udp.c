/*
 * UDP sessions. A client, and the address of ours that it sends to, is one session (clients.c finds it), whichever
 * generation it began in. Datagrams go on at once, on a connected socket of the session's own; nothing waits.
 *
 *      listening socket ──client's datagrams──► session ──► connected socket ──► upstream
 *                       ◄──────answers──────────        ◄──
 */
#include "spcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_ROUNDS = 4,   /* batches of one socket before the others have their turn */
    EVICT_IDLE_S = 1,
};

struct udp {
    struct datagrams *datagrams;
    struct outbox *outbox;
    struct clients *clients;
    struct datagram *pending; /* the first of a session whose upstream is being chosen */
    u8 whole[DATAGRAM_LARGEST];     /* a PROXY header and the datagram behind it */
};

/* ---- ends ---- */

static struct udp *
udp_of(const struct session *s)
{
    return s->shard->worker->udp;
}

static void
say_end(const struct session *s, const char *what)
{
    session_log_bare(s, LEVEL_INFO,
                     "udp %s, packets from/to client:%u/%u, bytes from/to client:%llu/%llu, bytes from/to "
                     "upstream:%llu/%llu",
                     what, s->client.udp.requests, s->client.udp.responses, (unsigned long long)s->client.received,
                     (unsigned long long)s->client.sent, (unsigned long long)s->upstream.received,
                     (unsigned long long)s->upstream.sent);
}

/* Has it had all the answers that its datagrams so far may expect? */
static bool
is_answered(const struct session *s, const struct blob_proxy *proxy)
{
    return !(proxy->flags & PROXY_RESPONSES) ||
           s->client.udp.responses >= (u64)proxy->responses * s->client.udp.requests;
}

/* False: the session has ended. */
static bool
goes_on(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    if (proxy->requests && s->client.udp.requests < proxy->requests)
        return true;
    if (proxy->requests)
        clients_forget(udp_of(s)->clients, s);
    if (!(proxy->flags & PROXY_RESPONSES) || !is_answered(s, proxy))
        return true;
    say_end(s, "done");
    session_end(s, CLOSE_answered);
    return false;
}

void
udp_timeout(struct session *s)
{
    if (s->due > session_now(s)) { /* it is not proxy_timeout */
        relay_timeout(s);
        return;
    }
    if (is_answered(s, session_proxy(s))) {
        say_end(s, "timed out");
        session_end(s, CLOSE_idle);
        return;
    }
    session_log(s, LEVEL_ERROR, ETIMEDOUT, "upstream timed out");
    session_end(s, CLOSE_unanswered);
}

/* Is a socket to that target like any other's? */
static bool
is_plain(const struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    return s->shard->spares && !s->made && !proxy->bind && !proxy->bind_value && !proxy->device && !proxy->mark &&
           !proxy->rcvbuf && !proxy->sndbuf;
}

static u32
target_of(const struct session *s)
{
    return s->shard->generation->upstream[s->upstream_index].target + s->target;
}

int
udp_reuse(struct session *s)
{
    return is_plain(s) && session_proxy(s)->flags & PROXY_RESPONSES ? spares_take(s->shard->spares, target_of(s)) : -1;
}

/* Keep the socket of a session that had exactly the answers it expected. */
static bool
keep_socket(struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    struct ev_loop *loop = s->shard->worker->loop;
    u64 wanted = (u64)proxy->responses * s->client.udp.requests;
    if (!is_plain(s) || s->target == UINT32_MAX || proxy->responses == 0 || !(proxy->flags & PROXY_RESPONSES))
        return false;
    if (s->client.udp.responses != wanted) {
        spares_distrust(s->shard->spares, target_of(s));
        return false;
    }
    ev_io_stop(loop, &s->upstream.io);
    return spares_give(s->shard->spares, target_of(s), s->upstream.io.fd, session_now(s) - s->begun);
}

void
udp_close(struct session *s, enum close reason)
{
    struct udp *udp = udp_of(s);
    clients_forget(udp->clients, s);
    clients_gone(s);
    if (s->client.udp.quic)
        slab_give(&s->shard->quics, s->client.udp.quic);
    if (s->upstream.io.fd < 0)
        return;
    outbox_flush(udp->outbox, s->upstream.io.fd);
    if (reason != CLOSE_answered)
        loss_of_answers(s);
    else if (keep_socket(s))
        s->upstream.io.fd = -1;
}

/* Idle: for a second at least, lest a flood of new clients ends what is alive. */
bool
udp_may_evict(const struct acceptor *acceptor)
{
    const struct session *s = acceptor->idlest;
    double before = acceptor->shard->worker->now - EVICT_IDLE_S;
    return s && s->client.active <= before && s->upstream.active <= before;
}

bool
udp_evict(struct acceptor *acceptor)
{
    struct session *s = acceptor->idlest;
    double now = acceptor->shard->worker->now;
    if (!udp_may_evict(acceptor))
        return false;
    if (log_again(&acceptor->evicted_said, now))
        log_write(&s->shard->generation->logger, LEVEL_WARN, 0, 0,
                  "%s has no session left for another client, the one idle for longest ends",
                  blob_string(s->shard->blob, s->shard->blob->address[s->listener->address].text));
    say_end(s, "evicted");
    session_end(s, CLOSE_evicted);
    return true;
}

/* ---- to the upstream ---- */

static u32
count_of(u32 size, u32 segment)
{
    return size > 0 ? (size + segment - 1) / segment : 1;
}

static void
queue_upstream(struct session *s, const u8 *data, u32 size, u32 segment)
{
    static const union client_address connected, to_unix = {.any.sa_family = AF_UNIX};
    static const struct local_ip any;
    const struct target *target = s->made ? s->made : &s->shard->generation->target[target_of(s)];
    const union client_address *to = target->address.any.sa_family == AF_UNIX ? &to_unix : &connected;
    if (outbox_put(udp_of(s)->outbox, s->upstream.io.fd, to, &any, data, size, segment))
        s->upstream.sent += size;
    else
        loss_unsent(s);
}

/* Each datagram with the PROXY header in front. False: they are too large together. */
static bool
queue_introduced(struct session *s, const u8 *data, u32 size, u32 segment)
{
    u8 *whole = udp_of(s)->whole;
    u32 at = (u32)preamble_write(s, whole, DATAGRAM_LARGEST), done = 0;
    if (at == 0 || at + segment > DATAGRAM_LARGEST)
        return false;
    do {
        u32 part = size - done < segment ? size - done : segment;
        if (part > 0)
            memcpy(whole + at, data + done, part);
        queue_upstream(s, whole, at + part, at + part);
        done += part;
    } while (done < size);
    return true;
}

/* Does the PROXY header go with the next datagrams? */
static bool
is_introduced(const struct session *s, const struct blob_proxy *proxy)
{
    return proxy->flags & PROXY_PROTOCOL && (s->upstream.sent == 0 || proxy->flags & PROXY_PROTOCOL_EVERY);
}

/* Pass on datagrams of the client's. The session may end. */
static void
forward(struct session *s, const u8 *data, u32 size, u32 segment)
{
    const struct blob_proxy *proxy = session_proxy(s);
    if (rate_allowance(s, &s->client) == 0) { /* it has nowhere to wait */
        s->shard->worker->counter[COUNTER_datagrams_limited] += count_of(size, segment);
        return;
    }
    rate_spend(&s->client, size);
    s->client.active = session_now(s);
    clients_active(s);
    s->client.received += size;
    s->client.udp.requests += count_of(size, segment);
    if (!is_introduced(s, proxy)) {
        queue_upstream(s, data, size, segment);
    } else if (!queue_introduced(s, data, size, segment)) {
        session_log(s, LEVEL_ERROR, 0, "the PROXY protocol header and a datagram of %u bytes are too large", segment);
        session_end(s, CLOSE_internal);
        return;
    }
    if (goes_on(s))
        session_touch(s);
}

/* ---- to the client ---- */

static void
answer(struct session *s, const struct datagram *piece)
{
    const struct udp_client *client = &s->client.udp;
    s->upstream.active = session_now(s);
    clients_active(s);
    attempt_first_byte(s);
    if (s->client.udp.quic)
        quic_learn(s, piece);
    s->upstream.received += piece->size;
    rate_spend(&s->upstream, piece->size);
    s->client.udp.responses += count_of(piece->size, piece->segment);
    if (outbox_put(udp_of(s)->outbox, client->fd, introduction_peer(s), &client->local, piece->data,
                        piece->size, piece->segment))
        s->client.sent += piece->size;
    else
        loss_unsent(s);
}

/* An ICMP error, most often: nobody is there. It counts as an answer, as in nginx; but the session always ends, so that
 * the client's next datagram finds another peer. */
static void
receive_failed(struct session *s, int error)
{
    s->action = "proxying and reading from upstream";
    session_log(s, session_error_level(s, &s->upstream, error), error, "recv() failed");
    s->action = "proxying connection";
    s->client.udp.responses++;
    bool done = session_proxy(s)->flags & PROXY_RESPONSES && is_answered(s, session_proxy(s));
    if (done)
        say_end(s, "done");
    balance_release(s, true);
    session_end(s, done ? CLOSE_answered : CLOSE_upstream_failed);
}

/* How many pieces are worth asking for: as many as there may be, or those that end the session. */
static u32
expected(const struct session *s)
{
    const struct blob_proxy *proxy = session_proxy(s);
    u64 all = (u64)proxy->responses * s->client.udp.requests, had = s->client.udp.responses;
    return !(proxy->flags & PROXY_RESPONSES) || all - had > DATAGRAM_BATCH || all <= had ? DATAGRAM_BATCH
                                                                                          : (u32)(all - had);
}

static void
on_answers(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    struct datagrams *datagrams = udp_of(s)->datagrams;
    u32 lost = 0;
    u32 most = expected(s);
    int count = most == 1 ? datagrams_receive_one(datagrams, io->fd)
                          : datagrams_receive(datagrams, io->fd, false, most, &lost);
    if (count < 0) {
        if (errno != EAGAIN)
            receive_failed(s, errno);
        return;
    }
    for (int i = 0; i < count; i++)
        answer(s, datagrams_at(datagrams, i));
    if (!goes_on(s))
        return;
    session_touch(s);
    if (rate_allowance(s, &s->upstream) == 0)
        side_watch(s, &s->upstream, 0);
}

/* A rate lets answers be read again. */
static void
on_rate(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct session *s = timer->data;
    if (rate_side(s, timer) == &s->upstream)
        side_watch(s, &s->upstream, EV_READ);
}

/* ---- the life of a session ---- */

void
udp_relay_start(struct session *s)
{
    const struct datagram *first = udp_of(s)->pending;
    const struct blob_proxy *proxy = session_proxy(s);
    rate_open(s, &s->client, rate_of(s, proxy->upload_rate, proxy->upload_rate_value), on_rate);
    rate_open(s, &s->upstream, rate_of(s, proxy->download_rate, proxy->download_rate_value), on_rate);
    s->phase = PHASE_UDP;
    s->action = "proxying connection";
    ev_set_cb(&s->upstream.io, on_answers);
    side_watch(s, &s->upstream, EV_READ);
    s->client.active = s->upstream.active = session_now(s);
    session_timer(s, (double)proxy->timeout_ms / 1000);
    deadline_set(s, relay_due(s));
    quic_start(s);
    udp_of(s)->pending = NULL;
    s->client.received = 0; /* forward() counts it */
    if (first)
        forward(s, first->data, first->size, first->segment);
}

const u8 *
udp_first(const struct session *s, size_t *size)
{
    const struct datagram *first = udp_of(s)->pending;
    *size = first ? first->size : 0;
    return first ? first->data : NULL;
}

void
udp_skip(struct session *s, size_t size)
{
    struct datagram *first = udp_of(s)->pending;
    first->data += size;
    first->size -= (u32)size;
    first->segment = first->size > 0 ? first->size : first->segment;
    s->client.received = first->size;
}

void
udp_return(struct session *s, const u8 *data, size_t size)
{
    struct udp *udp = udp_of(s);
    const struct udp_client *client = &s->client.udp;
    if (size == 0 || outbox_put(udp->outbox, client->fd, introduction_peer(s), &client->local, data, (u32)size,
                                (u32)size))
        s->client.sent += size;
    else
        loss_unsent(s);
    session_end(s, CLOSE_returned);
}

/* A datagram of a client without a session: begin one. */
static void
begin(struct acceptor *acceptor, struct datagram *first)
{
    struct worker *worker = acceptor->shard->worker;
    struct udp *udp = worker->udp;
    if (!acceptor->shard->accepting)
        return; /* the listener is going away */
    struct session *s = listen_admit(acceptor, first);
    if (!s)
        return;
    s->client.udp = (struct udp_client){.fd = acceptor->io.fd, .local = first->to};
    clients_enter(udp->clients, s);
    s->client.received = first->size;
    udp->pending = first;
    session_run(s);
    udp->pending = NULL;
}

/* How many bytes of the piece may go to the session at once. */
static u32
share_of(const struct session *s, const struct datagram *piece, u32 at)
{
    u32 left = piece->size - at;
    bool single = !s || session_endpoint(s)->proxy_protocol || (s->server->proxy && session_proxy(s)->requests);
    return single && left > piece->segment ? piece->segment : left;
}

/* The client may be a proxy that says with every datagram whom it speaks for. */
static void
forward_bare(struct session *s, const struct datagram *part)
{
    size_t skip = session_endpoint(s)->proxy_protocol ? introduction_again(part->data, part->size) : 0;
    u32 size = part->size - (u32)skip;
    forward(s, part->data + skip, size, skip > 0 && size > 0 ? size : part->segment);
}

static void
take(struct acceptor *acceptor, const struct datagram *piece)
{
    const struct clients *clients = acceptor->shard->worker->udp->clients;
    u32 at = 0;
    do {
        struct session *s = clients_find(clients, acceptor->io.fd, piece);
        u32 size = share_of(s, piece, at);
        struct datagram part = *piece;
        part.data += at;
        part.size = size;
        part.segment = size < piece->segment && size > 0 ? size : piece->segment;
        if (!s)
            begin(acceptor, &part);
        else if (s->phase == PHASE_UDP)
            forward_bare(s, &part);
        at += size;
    } while (at < piece->size);
}

void
udp_on_datagrams(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct acceptor *acceptor = io->data;
    struct shard *shard = acceptor->shard;
    struct datagrams *datagrams = shard->worker->udp->datagrams;
    int count = DATAGRAM_BATCH;
    shard->session_count++; /* the last session may end here, and the shard with it */
    for (u32 i = 0; i < RECEIVE_ROUNDS && count == DATAGRAM_BATCH; i++) {
        u32 lost = acceptor->lost;
        count = datagrams_receive(datagrams, io->fd, true, DATAGRAM_BATCH, &lost);
        loss_received(acceptor, lost);
        for (int at = 0; at < count; at++)
            take(acceptor, datagrams_at(datagrams, at));
    }
    shard->session_count--;
    worker_released(shard);
}

/* ---- whole ---- */

struct udp *
udp_open(struct ev_loop *loop, u32 sessions)
{
    struct udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return NULL;
    udp->clients = clients_open(sessions);
    udp->datagrams = datagrams_open();
    udp->outbox = outbox_open(loop);
    if (udp->clients && udp->datagrams && udp->outbox)
        return udp;
    udp_free(udp);
    return NULL;
}

void
udp_start(struct udp *udp, struct worker *worker)
{
    outbox_start(udp->outbox, &worker->counter[COUNTER_datagrams_lost]);
}

void
udp_free(struct udp *udp)
{
    if (udp->datagrams)
        datagrams_close(udp->datagrams);
    if (udp->outbox)
        outbox_close(udp->outbox);
    clients_close(udp->clients);
    free(udp);
}
