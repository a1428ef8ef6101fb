/*
 * ssl_preread_starttls: a session that begins in clear and goes on in TLS. The client is answered until it begins TLS;
 * when preread.c has seen where it wants to go, the upstream server is asked for the same, and what the client has
 * sent follows. What is said is dialogue.c's. Nobody may say anything between the last word in clear and TLS, for it
 * would be taken for a word said in TLS (CVE-2011-0411, CVE-2021-23222).
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>

enum { SAID_MOST = 16384 }; /* bytes in clear, of each side */

/* A few bytes to a socket that has room for them. */
static bool
say(struct side *side, const u8 *data, size_t size)
{
    ssize_t sent;
    do
        sent = size > 0 ? send(side->io.fd, data, size, MSG_NOSIGNAL) : 0;
    while (sent < 0 && errno == EINTR);
    side->sent += sent > 0 ? (u64)sent : 0;
    return sent == (ssize_t)size;
}

static bool
is_too_much(const struct side *from, const struct side *into, size_t most)
{
    return into->end >= most || from->received > SAID_MOST;
}

/* Hear more. How much; 0: nobody will say any more; -1: errno. */
static ssize_t
hear(struct side *from, struct side *into, size_t most)
{
    ssize_t got;
    do
        got = recv(from->io.fd, into->buffer + into->end, most - into->end, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        from->received += (u64)got;
        into->end += (u32)got;
    }
    return got;
}

static struct talk
talk_of(struct session *s, enum starttls protocol)
{
    return (struct talk){protocol, s->shard->generation->hostname, s->values->request, s->dialogue};
}

static void
forget(struct side *side, u32 size)
{
    side->end -= size;
    memmove(side->buffer, side->buffer + size, side->end);
}

static void
take_buffer(struct session *s, struct side *side)
{
    if (!side->buffer)
        side->buffer = slab_take(&s->shard->buffers); /* two for each session: there is one */
    side->at = side->end = 0;
}

/* ---- the client ---- */

static enum step
end(struct session *s, enum close reason)
{
    session_end(s, reason);
    return STEP_ENDED;
}

static enum step
refuse(struct session *s)
{
    session_log(s, LEVEL_INFO, 0, "client does not start TLS as it should");
    return end(s, CLOSE_starttls_broken);
}

/* What the client has said so far. NEXT: it begins TLS, or goes on without. */
static enum step
listen_to(struct session *s)
{
    struct turn turn;
    struct side *said = &s->upstream; /* where preread.c has it too */
    struct talk talk = talk_of(s, s->server->starttls);
    enum dialogue result;
    do {
        result = dialogue_hear(&talk, said->buffer, said->end, &turn);
        forget(said, turn.used);
        if (!say(&s->client, turn.text, turn.size))
            return end(s, CLOSE_client_gone);
    } while (result == DIALOGUE_SAID);
    if (result == DIALOGUE_END)
        return end(s, CLOSE_preread_end);
    if (result == DIALOGUE_BROKEN || (result == DIALOGUE_TLS && turn.size > 0 && said->end > 0))
        return refuse(s); /* where nothing is answered, what is left is TLS already */
    if (result == DIALOGUE_TLS)
        s->starttls = s->server->starttls & 7;
    return result == DIALOGUE_MORE ? STEP_WAITS : STEP_NEXT;
}

static enum step
converse(struct session *s)
{
    for (;;) {
        enum step step = listen_to(s);
        if (step != STEP_WAITS)
            return step;
        if (is_too_much(&s->client, &s->upstream, s->server->preread_buffer_size))
            return refuse(s);
        ssize_t got = hear(&s->client, &s->upstream, s->server->preread_buffer_size);
        if (got < 0 && errno == EAGAIN)
            return STEP_WAITS;
        if (got < 0)
            session_log(s, session_error_level(s, &s->client, errno), errno, "recv() failed");
        if (got <= 0)
            return end(s, CLOSE_preread_end);
    }
}

static enum step
finish(struct session *s)
{
    s->client.received -= s->upstream.end; /* preread.c does not count what it reads, as nginx does not */
    return STEP_NEXT;
}

static void
on_client(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    if (converse(s) != STEP_NEXT)
        return;
    finish(s);
    session_go_on(s);
}

enum step
starttls_step(struct session *s)
{
    if (!s->server->starttls || !(s->server->flags & SERVER_SSL_PREREAD) || s->upstream.buffer || session_is_udp(s))
        return STEP_NEXT; /* with a buffer: it was passed on with what was read */
    s->phase = PHASE_PREREAD;
    s->action = "prereading client data";
    values_of(s);
    side_open(s, &s->client, s->client.io.fd, on_client);
    take_buffer(s, &s->upstream);
    struct turn turn;
    struct talk talk = talk_of(s, s->server->starttls);
    dialogue_greet(&talk, &turn);
    if (!say(&s->client, turn.text, turn.size))
        return end(s, CLOSE_client_gone);
    enum step step = converse(s);
    if (step == STEP_NEXT)
        return finish(s);
    if (step == STEP_WAITS) {
        side_watch(s, &s->client, EV_READ);
        session_timer(s, (double)s->server->preread_timeout_ms / 1000);
    }
    return step;
}

/* ---- the upstream server ---- */

static enum handshake
fail(struct session *s, const char *what)
{
    session_log(s, LEVEL_ERROR, 0, "upstream server %s", what);
    return HANDSHAKE_FAILED;
}

/* What the server has said so far. WAITS: more is needed. */
static enum handshake
ask(struct session *s)
{
    struct turn turn;
    struct side *said = &s->client; /* nothing waits to be sent to the client yet */
    struct talk talk = talk_of(s, s->starttls);
    enum dialogue result;
    do {
        result = dialogue_ask(&talk, said->buffer, said->end, &turn);
        s->dialogue = talk.state & 7;
        forget(said, turn.used);
        if (!say(&s->upstream, turn.text, turn.size))
            return fail(s, "takes no request to start TLS");
    } while (result == DIALOGUE_SAID);
    if (result == DIALOGUE_MORE)
        return HANDSHAKE_WAITS;
    if (result != DIALOGUE_TLS)
        return fail(s, "does not start TLS");
    return said->end > 0 ? fail(s, "speaks between its answer and TLS") : HANDSHAKE_DONE;
}

static enum handshake
advance(struct session *s)
{
    enum handshake result;
    ssize_t got;
    size_t most = s->shard->generation->buffer_size;
    do {
        result = ask(s);
        if (result == HANDSHAKE_WAITS && is_too_much(&s->upstream, &s->client, most))
            return fail(s, "says too much before TLS");
        got = result == HANDSHAKE_WAITS ? hear(&s->upstream, &s->client, most) : 0;
    } while (got > 0);
    if (result == HANDSHAKE_DONE) {
        slab_give(&s->shard->buffers, s->client.buffer);
        s->client.buffer = NULL;
    }
    if (result != HANDSHAKE_WAITS)
        return result;
    if (got == 0)
        return fail(s, "closed the connection before TLS");
    if (errno == EAGAIN) {
        side_watch(s, &s->upstream, EV_READ);
        return HANDSHAKE_WAITS;
    }
    session_log(s, session_error_level(s, &s->upstream, errno), errno, "recv() failed");
    return HANDSHAKE_FAILED;
}

static void
on_upstream(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    proxy_secured(s, advance(s));
}

enum handshake
starttls_start(struct session *s)
{
    bool introduced = session_proxy(s)->flags & PROXY_PROTOCOL;
    s->phase = PHASE_HANDSHAKE;
    s->action = "starting TLS with upstream";
    s->dialogue = 0;
    s->upstream.received = 0;
    take_buffer(s, &s->client);
    ev_set_cb(&s->upstream.io, on_upstream);
    session_timer(s, (double)session_proxy(s)->connect_timeout_ms / 1000);
    size_t size = introduced ? preamble_make(s) : 0;
    if (introduced && size == 0)
        return HANDSHAKE_ENDED;
    if (!say(&s->upstream, s->shard->scratch, size))
        return fail(s, "takes no PROXY protocol header");
    return advance(s);
}
