/*
 * TLS towards an upstream server, from the connection to the first byte: PROXY header in clear, names, the handshake,
 * and whether the certificate is the server's. A handshake that fails is a server that failed: there may be another.
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const struct blob_proxy_ssl *
settings_of(const struct session *s)
{
    return &s->shard->blob->proxy_ssl[session_proxy(s)->ssl];
}

/* ---- names ---- */

/* Without the port that it may have, as in nginx; and without the brackets of IPv6. */
static void
strip_port(char *name)
{
    char *close = *name == '[' ? strchr(name, ']') : NULL;
    if (close) {
        memmove(name, name + 1, (size_t)(close - name - 1));
        close[-1] = '\0';
        return;
    }
    name[strcspn(name, ":")] = '\0';
}

static bool
is_address(const char *name)
{
    u8 ip[16];
    return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* In the ClientHello; "[" begins an address that does not end. */
static bool
can_be_sent(const char *name)
{
    return name[0] && name[0] != '[' && !is_address(name);
}

/* proxy_ssl_name, or what proxy_pass names. False: that can be none. */
static bool
find_name(struct session *s, char name[TLS_NAME_MAX + 1])
{
    const struct blob *blob = s->shard->blob;
    const struct blob_proxy_ssl *settings = settings_of(s);
    u32 expr = settings->name ? settings->name : session_proxy(s)->target;
    name[0] = '\0';
    if (expr && !expr_text(s, &blob->expr[expr], name, TLS_NAME_MAX + 1)) {
        session_log(s, LEVEL_ERROR, 0, "the name of the upstream server has more than %d bytes, or a NUL byte",
                    TLS_NAME_MAX);
        return false;
    }
    strip_port(name);
    return true;
}

/* ---- protocols ---- */

enum { ALPN_MOST = 1024, PROTOCOL_MOST = 255 };

/* Those that are not empty, in the wire's form; the bytes they take. */
static size_t
list_protocols(struct session *s, u8 list[ALPN_MOST])
{
    const struct blob *blob = s->shard->blob;
    const struct blob_proxy_ssl *settings = settings_of(s);
    size_t at = 0;
    for (u32 i = 0; i < settings->alpn_count; i++) {
        const struct blob_expr *value = &blob->expr[blob->alpn[settings->alpn + i].value];
        size_t room = ALPN_MOST - at < PROTOCOL_MOST + 1 ? ALPN_MOST - at : PROTOCOL_MOST + 1;
        size_t size = room > 1 ? expr_run(s, value, list + at + 1, room - 1) : 0;
        if (size == 0)
            continue;
        if (size > room - 1) {
            session_log(s, LEVEL_WARN, 0, "a protocol for ALPN is too long and is left out");
            continue;
        }
        list[at] = (u8)size;
        at += size + 1;
    }
    return at;
}

/* ---- the handshake ---- */

static bool
open_stream(struct session *s)
{
    char name[TLS_NAME_MAX + 1];
    u8 protocols[ALPN_MOST];
    struct shard *shard = s->shard;
    u32 context = settings_of(s)->tls, flags = shard->blob->tls[context].flags;
    struct tls_identity *own = NULL;
    if (!find_name(s, name) || !credential_take(s, &own))
        return false;
    struct tls_peer peer = {
        .sent_name = flags & TLS_SEND_NAME && can_be_sent(name) ? name : NULL,
        .expected_name = flags & TLS_VERIFY ? name : NULL,
        .alpn = protocols,
        .alpn_size = list_protocols(s, protocols),
        .identity = own,
        .ticket = flags & TLS_SESSION_REUSE ? resume_take(s, name) : NULL,
    };
    bool good = record_open(s, &s->upstream, shard->generation->tls[context].context, &peer, name);
    credential_give(s, own);
    if (peer.ticket)
        tls->free_ticket(peer.ticket);
    return good;
}

/* While a signature is made nothing is read: what came would only be known again and again. */
static enum handshake
wait_for_signature(struct session *s)
{
    struct side *side = &s->upstream;
    if (!record_awaits(side)) {
        struct job *job = signer_ask(s, s->shard->generation->tls[settings_of(s)->tls].key);
        if (!job) {
            session_log(s, LEVEL_ERROR, 0, "too many signatures are waited for");
            return HANDSHAKE_FAILED;
        }
        record_await(side, job);
    }
    side_watch(s, side, side_waits(side) ? EV_WRITE : 0);
    return HANDSHAKE_WAITS;
}

/* Go on. DONE: the certificate is the server's. ENDED: so has the session. */
static enum handshake
advance(struct session *s)
{
    char text[TLS_ERROR_SIZE];
    enum tls_state state = record_handshake(s, &s->upstream);
    if (state == TLS_SIGN)
        return wait_for_signature(s);
    if (state == TLS_SPENT) { /* which is no fault of the server's */
        session_end(s, CLOSE_tls_refused);
        return HANDSHAKE_ENDED;
    }
    if (state == TLS_MORE) {
        side_watch(s, &s->upstream, side_waits(&s->upstream) ? EV_READ | EV_WRITE : EV_READ);
        return HANDSHAKE_WAITS;
    }
    const char *wrong = state == TLS_DONE ? record_verdict(&s->upstream, text) : NULL;
    if (wrong)
        session_log(s, LEVEL_ERROR, 0, "%s", wrong);
    return state == TLS_DONE && !wrong ? HANDSHAKE_DONE : HANDSHAKE_FAILED;
}

static void
on_event(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    proxy_secured(s, advance(s));
}

enum handshake
handshake_start(struct session *s)
{
    s->phase = PHASE_HANDSHAKE;
    s->action = "SSL handshaking to upstream";
    if (!open_stream(s)) {
        session_end(s, CLOSE_tls_refused);
        return HANDSHAKE_ENDED;
    }
    if (session_proxy(s)->flags & PROXY_PROTOCOL && !relay_send_preamble(s))
        return HANDSHAKE_ENDED;
    ev_set_cb(&s->upstream.io, on_event);
    session_timer(s, (double)session_proxy(s)->connect_timeout_ms / 1000);
    return advance(s);
}

void
handshake_signed(struct session *s, const u8 *signature, size_t size, const char *error)
{
    if (!size)
        session_log(s, LEVEL_ERROR, 0, "the key in the token cannot be used: %s", error);
    record_answer(&s->upstream, signature, size);
    proxy_secured(s, advance(s));
}

void
handshake_timeout(struct session *s)
{
    session_log(s, LEVEL_ERROR, ETIMEDOUT, "upstream timed out");
    proxy_secured(s, HANDSHAKE_FAILED);
}
