/*
 * One connection: bytes of the wire in, bytes of the application out, and the other way round. A BIO stands between
 * BoringSSL and the caller's memory: it takes what was received, many records at a time, and gathers what is sent.
 */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICKET_MOST = 16384 }; /* bytes, with the chain; larger ones are not kept */

/* ---- the wire ---- */

static int
wire_read(BIO *bio, char *data, int size)
{
    struct tls_wire *wire = ((struct tls_stream *)BIO_get_data(bio))->wire;
    size_t some = wire->in_size < (size_t)size ? wire->in_size : (size_t)size;
    BIO_clear_retry_flags(bio);
    if (!some && !wire->end)
        BIO_set_retry_read(bio);
    if (!some)
        return wire->end ? 0 : -1;
    memcpy(data, wire->in, some);
    wire->in += some;
    wire->in_size -= some;
    return (int)some;
}

static int
wire_write(BIO *bio, const char *data, int size)
{
    struct tls_wire *wire = ((struct tls_stream *)BIO_get_data(bio))->wire;
    size_t room = wire->out_room - wire->out_size, some = room < (size_t)size ? room : (size_t)size;
    BIO_clear_retry_flags(bio);
    if (!some) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(wire->out + wire->out_size, data, some);
    wire->out_size += some;
    return (int)some;
}

static long
wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int
wire_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* Made once, and never given back. Contexts are opened by one thread, before there is a stream. */
static const BIO_METHOD *
wire_method(void)
{
    static BIO_METHOD *method;
    if (!method) {
        method = BIO_meth_new(0, "wire");
        BIO_meth_set_read(method, wire_read);
        BIO_meth_set_write(method, wire_write);
        BIO_meth_set_ctrl(method, wire_control);
        BIO_meth_set_create(method, wire_create);
    }
    return method;
}

/* ---- begin and end ---- */

static bool
set_peer(struct tls_stream *stream, const struct tls_peer *peer, char error[TLS_ERROR_SIZE])
{
    SSL *ssl = stream->ssl;
    stream->expected = peer->expected_name;
    if (peer->sent_name && !SSL_set_tlsext_host_name(ssl, peer->sent_name)) {
        error_say(error, "setting the name to send");
        return false;
    }
    if (peer->alpn_size && SSL_set_alpn_protos(ssl, peer->alpn, (unsigned)peer->alpn_size) != 0) {
        error_say(error, "setting the protocols to offer");
        return false;
    }
    if (peer->ticket)
        SSL_set_session(ssl, (SSL_SESSION *)peer->ticket);
    const struct tls_identity *own = peer->identity;
    bool good = !own || SSL_set_chain_and_key(ssl, own->chain, own->count, own->key, NULL);
    if (!good)
        error_say(error, "joining certificate and key");
    return good;
}

struct tls_stream *
stream_open(struct tls_context *context, const struct tls_peer *peer, char error[TLS_ERROR_SIZE])
{
    struct tls_stream *stream = calloc(1, sizeof *stream);
    BIO *bio = BIO_new(wire_method());
    snprintf(error, TLS_ERROR_SIZE, "no memory for TLS");
    if (!stream || !bio || !(stream->ssl = SSL_new(context->ssl))) {
        BIO_free(bio);
        free(stream);
        return NULL;
    }
    stream->context = context;
    BIO_set_data(bio, stream);
    SSL_set_bio(stream->ssl, bio, bio);
    SSL_set_app_data(stream->ssl, stream);
    SSL_set_connect_state(stream->ssl);
    SSL_set_shed_handshake_config(stream->ssl, 1);
    if (set_peer(stream, peer, error))
        return stream;
    stream_close(stream);
    return NULL;
}

void
stream_close(struct tls_stream *stream)
{
    SSL_free(stream->ssl);
    signing_close(stream);
    for (u32 i = 0; i < TLS_TICKETS; i++)
        SSL_SESSION_free(stream->fresh[i]);
    free(stream);
}

/* ---- tickets ---- */

/* Its bytes, roughly: the server chooses how many there are. */
static size_t
size_of_ticket(const SSL_SESSION *session)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_SESSION_get0_peer_certificates(session);
    const u8 *ticket;
    size_t size;
    SSL_SESSION_get0_ticket(session, &ticket, &size);
    for (size_t i = 0; chain && i < sk_CRYPTO_BUFFER_num(chain); i++)
        size += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
    return size;
}

int
stream_keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *stream = SSL_get_app_data(ssl);
    if (!verify_is_good(stream) || size_of_ticket(session) > TICKET_MOST)
        return 0;
    for (u32 i = 0; i < TLS_TICKETS; i++)
        if (!stream->fresh[i]) {
            stream->fresh[i] = session;
            return 1; /* it is ours now */
        }
    return 0;
}

struct tls_ticket *
stream_take_ticket(struct tls_stream *stream)
{
    for (u32 i = 0; i < TLS_TICKETS; i++)
        if (stream->fresh[i]) {
            SSL_SESSION *session = stream->fresh[i];
            stream->fresh[i] = NULL;
            return (struct tls_ticket *)session;
        }
    return NULL;
}

bool
stream_was_resumed(const struct tls_stream *stream)
{
    return SSL_session_reused(stream->ssl);
}

/* ---- bytes ---- */

/* What a call that gave result, which is not positive, means. */
static enum tls_state
state_of(struct tls_stream *stream, int result, const char *what, char error[TLS_ERROR_SIZE])
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_WANT_WRITE:
        return TLS_FULL;
    case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
        return TLS_SIGN;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    case SSL_ERROR_SYSCALL:
        if (ERR_peek_error() == 0)
            return TLS_END;
        break;
    default:
        break;
    }
    bool spent = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;
    error_say(error, what);
    return spent ? TLS_SPENT : TLS_FAILED;
}

enum tls_state
stream_handshake(struct tls_stream *stream, struct tls_wire *wire, char error[TLS_ERROR_SIZE])
{
    stream->wire = wire;
    ERR_clear_error();
    int result = SSL_do_handshake(stream->ssl);
    return result == 1 ? TLS_DONE : state_of(stream, result, "SSL_do_handshake()", error);
}

enum tls_state
stream_read(struct tls_stream *stream, struct tls_wire *wire, u8 *data, size_t room, size_t *got,
            char error[TLS_ERROR_SIZE])
{
    stream->wire = wire;
    ERR_clear_error();
    for (*got = 0; *got < room;) {
        size_t left = room - *got;
        int result = SSL_read(stream->ssl, data + *got, left < INT_MAX ? (int)left : INT_MAX);
        if (result <= 0)
            return state_of(stream, result, "SSL_read()", error);
        *got += (size_t)result;
    }
    return TLS_DONE;
}

enum tls_state
stream_write(struct tls_stream *stream, struct tls_wire *wire, const u8 *data, size_t size, char error[TLS_ERROR_SIZE])
{
    stream->wire = wire;
    ERR_clear_error();
    int result = SSL_write(stream->ssl, data, (int)size);
    return result > 0 && (size_t)result == size ? TLS_DONE : state_of(stream, result, "SSL_write()", error);
}

void
stream_shutdown(struct tls_stream *stream, struct tls_wire *wire)
{
    stream->wire = wire;
    SSL_shutdown(stream->ssl);
    ERR_clear_error();
}
