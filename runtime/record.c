/*
 * TLS on one side of a session: between the socket, whose bytes are records, and those who read and write the side as
 * if they were not. The module does the cryptography; what is received and what is to be sent lies in pieces of the
 * shard's slabs, and an idle side holds none.
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>

struct records {
    struct tls_stream *stream;
    u8 *wire;       /* received: bytes at to end of it are not decrypted yet; NULL: none */
    u32 at, end;
    u8 *plain;      /* what has waited for the side since before the handshake, the same way */
    u32 plain_at, plain_end;
    u32 unsent;     /* bytes in the records that wait to be sent */
    bool more;      /* there is more to read than the socket tells of */
    bool ended;     /* the stream: after what was read, nothing follows */
    bool over;      /* the peer has ended the connection */
    bool secured;   /* the handshake is done */
    struct job *job; /* the signature that the handshake waits for; NULL: for none */
    char name[TLS_NAME_MAX + 1]; /* under which its tickets are kept */
};

const size_t records_size = sizeof(struct records);

bool
record_open(struct session *s, struct side *side, struct tls_context *context, struct tls_peer *peer, const char *name)
{
    char error[TLS_ERROR_SIZE];
    struct records *r = slab_take(&s->shard->records); /* there is one for each session */
    *r = (struct records){.plain = side->buffer, .plain_at = side->at, .plain_end = side->end};
    strncpy(r->name, name, TLS_NAME_MAX);
    if (peer->expected_name)
        peer->expected_name = r->name;
    bool suffices = tls->memory_suffices(); /* asked once: other workers take and give, too */
    r->stream = suffices ? tls->open(context, peer, error) : NULL;
    if (!r->stream) {
        slab_give(&s->shard->records, r);
        session_log(s, LEVEL_ERROR, 0, "%s", suffices ? error : "no memory is left for TLS");
        return false;
    }
    side->buffer = NULL;
    side->records = r;
    return true;
}

void
record_close(struct session *s, struct side *side)
{
    struct records *r = side->records;
    if (!r)
        return;
    if (r->job)
        signer_cancel(r->job);
    tls->close(r->stream);
    if (r->wire)
        slab_give(&s->shard->wires, r->wire);
    if (side->buffer) /* records that nobody else can read */
        slab_give(&s->shard->buffers, side->buffer);
    side->buffer = r->plain; /* for the next upstream */
    side->at = r->plain_at;
    side->end = r->plain_end;
    slab_give(&s->shard->records, r);
    side->records = NULL;
}

/* ---- to the socket ---- */

/* Room for what the stream has to send, behind what waits. */
static void
begin_out(struct session *s, struct side *side, struct tls_wire *wire)
{
    if (!side->buffer) {
        side->buffer = slab_take(&s->shard->buffers);
        side->at = side->end = 0;
    }
    wire->out = side->buffer + side->end;
    wire->out_size = 0;
    wire->out_room = s->shard->generation->buffer_size - side->end;
}

static enum flush
end_out(struct session *s, struct side *side, const struct tls_wire *wire)
{
    side->end += (u32)wire->out_size;
    if (side->at < side->end)
        return side_flush(s, side);
    slab_give(&s->shard->buffers, side->buffer);
    side->buffer = NULL;
    return FLUSH_DONE;
}

static void
say(const struct session *s, const char *error)
{
    session_log(s, LEVEL_ERROR, 0, "%s", error);
}

static void
say_while(struct session *s, const char *action, const char *error)
{
    const char *before = s->action;
    s->action = action;
    say(s, error);
    s->action = before;
}

enum flush
record_write(struct session *s, struct side *side, const u8 *data, size_t size)
{
    struct tls_wire wire = {0};
    char error[TLS_ERROR_SIZE];
    begin_out(s, side, &wire);
    if (size && tls->write(side->records->stream, &wire, data, size, error) != TLS_DONE) {
        say(s, error);
        errno = EPROTO;
        return FLUSH_FAILED;
    }
    side->records->unsent += (u32)size;
    return end_out(s, side, &wire);
}

void
record_flushed(struct side *side)
{
    side->sent += side->records->unsent;
    side->records->unsent = 0;
}

enum flush
record_resume(struct session *s, struct side *side)
{
    struct records *r = side->records;
    u8 *plain = r->plain;
    if (!plain)
        return FLUSH_DONE;
    r->plain = NULL;
    enum flush state = record_write(s, side, plain + r->plain_at, r->plain_end - r->plain_at);
    slab_give(&s->shard->buffers, plain);
    return state;
}

void
record_shutdown(struct session *s, struct side *side)
{
    struct tls_wire wire = {0};
    if (!side->records->secured)
        return;
    begin_out(s, side, &wire);
    tls->shutdown(side->records->stream, &wire);
    end_out(s, side, &wire);
}

/* ---- from the socket ---- */

/* Receive if everything that was is decrypted. False: there is nothing now; errno is EAGAIN, or what is wrong. */
static bool
fill(struct session *s, struct side *side)
{
    struct records *r = side->records;
    ssize_t got;
    if (r->at < r->end || r->over)
        return true;
    if (!r->wire)
        r->wire = slab_take(&s->shard->wires);
    do
        got = recv(side->io.fd, r->wire, WIRE_SIZE, 0);
    while (got < 0 && errno == EINTR);
    r->at = 0;
    r->end = got > 0 ? (u32)got : 0;
    r->over = got == 0;
    return got >= 0;
}

static void
release(struct session *s, struct records *r)
{
    if (r->wire && r->at == r->end) {
        slab_give(&s->shard->wires, r->wire);
        r->wire = NULL;
    }
}

static struct tls_wire
begin_in(const struct records *r)
{
    return (struct tls_wire){.in = r->wire ? r->wire + r->at : NULL, .in_size = r->end - r->at, .end = r->over};
}

static void
keep_tickets(struct session *s, const struct records *r)
{
    for (struct tls_ticket *ticket; (ticket = tls->take_ticket(r->stream));)
        resume_keep(s, r->name, ticket);
}

ssize_t
record_read(struct session *s, struct side *side, u8 *data, size_t size)
{
    struct records *r = side->records;
    char error[TLS_ERROR_SIZE];
    size_t total = 0, got = 0;
    enum tls_state state = r->ended ? TLS_END : TLS_MORE;
    bool more = true, failed = false;
    while (state == TLS_MORE && more) {
        if (!r->more && !fill(s, side)) { /* first what the stream has decrypted already */
            failed = errno != EAGAIN;
            break;
        }
        r->more = false;
        more = r->end == WIRE_SIZE || r->over; /* else the socket is empty, and will say when it is not */
        struct tls_wire wire = begin_in(r);
        begin_out(s, side, &wire);
        state = tls->read(r->stream, &wire, data + total, size - total, &got, error);
        total += got;
        r->at = r->end - (u32)wire.in_size;
        failed |= end_out(s, side, &wire) == FLUSH_FAILED;
    }
    int reason = errno;
    r->ended = state != TLS_DONE && state != TLS_MORE && state != TLS_FULL;
    r->more = state == TLS_DONE || (r->ended && total); /* who ends it may wait for our end before the socket's */
    release(s, r);
    keep_tickets(s, r);
    if (state == TLS_FAILED || state == TLS_SPENT)
        say_while(s, "proxying and reading from upstream", error);
    errno = failed ? reason : EAGAIN;
    return total ? (ssize_t)total : r->ended ? 0 : -1;
}

bool
record_has_more(const struct side *side)
{
    return side->records->more;
}

/* ---- the handshake ---- */

static enum tls_state
say_ended(struct session *s, int error)
{
    session_log(s, LEVEL_ERROR, error, "peer closed connection in SSL handshake");
    return TLS_END;
}

enum tls_state
record_handshake(struct session *s, struct side *side)
{
    struct records *r = side->records;
    char error[TLS_ERROR_SIZE];
    enum tls_state state;
    do {
        struct tls_wire wire = begin_in(r);
        begin_out(s, side, &wire);
        state = tls->handshake(r->stream, &wire, error);
        r->at = r->end - (u32)wire.in_size;
        bool stuck = state == TLS_FULL && wire.out_size == 0;
        bool ended = end_out(s, side, &wire) == FLUSH_FAILED || stuck;
        if (ended && state != TLS_FAILED) /* what is wrong with TLS matters more than an alert that cannot be sent */
            return say_ended(s, stuck ? EMSGSIZE : errno);
        if (state == TLS_MORE && !fill(s, side)) {
            if (errno != EAGAIN)
                return say_ended(s, errno);
            break;
        }
    } while (state == TLS_MORE || state == TLS_FULL);
    release(s, r);
    if (state == TLS_FAILED || state == TLS_SPENT)
        say(s, error);
    if (state == TLS_END)
        return say_ended(s, 0);
    r->secured = state == TLS_DONE;
    r->more = r->at < r->end; /* the server has spoken first */
    return state;
}

void
record_request(const struct side *side, struct tls_request *request)
{
    tls->take_request(side->records->stream, request);
}

void
record_await(struct side *side, struct job *job)
{
    side->records->job = job;
}

bool
record_awaits(const struct side *side)
{
    return side->records->job;
}

void
record_answer(struct side *side, const u8 *signature, size_t size)
{
    side->records->job = NULL;
    tls->answer(side->records->stream, signature, size);
}

const char *
record_verdict(const struct side *side, char text[TLS_ERROR_SIZE])
{
    return tls->verdict(side->records->stream, text);
}
