/*
 * What spcd and its module for TLS promise each other. The module (runtime/tls/, spcd_tls.so) is the only place that
 * knows BoringSSL, and is loaded only for a blob that speaks TLS, so that nobody else pays for it. It turns bytes into
 * bytes: it opens no file and no socket, logs nothing, and knows no session.
 */
#ifndef TLS_H
#define TLS_H

#include "blob.h"

struct tls_context; /* what the streams of one configuration share; any thread may use it */
struct tls_stream;  /* one connection; one thread's */
struct tls_ticket;  /* what resumes a connection */
struct tls_identity; /* a certificate and its key */
struct token_key;    /* a key that is elsewhere (token.h), of which the module only knows that it signs */

enum { TLS_ERROR_SIZE = 512, TLS_NAME_MAX = 255, TLS_TICKETS = 2 };

/* The content of a file that a context is made from; data NULL: there is none. */
struct tls_file {
    const void *data;
    size_t size;
};

/* What a key that is elsewhere is asked to sign. */
enum tls_scheme { TLS_SIGN_PKCS1, TLS_SIGN_PSS, TLS_SIGN_ECDSA, TLS_SIGN_ED25519 };

enum { TLS_REQUEST_MOST = 16384, TLS_SIGNATURE_MOST = 1024 };

struct tls_request {
    enum tls_scheme scheme;
    u32 digest_bits;            /* 0: there is no digest, the message is signed */
    u32 size;                   /* of data: a digest; with PKCS1 within its DigestInfo */
    u8 data[TLS_REQUEST_MOST];
};

/* Sign at once. The bytes of the signature, of ECDSA both numbers without DER; 0: error says why. */
typedef size_t tls_sign(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
                        char error[TLS_ERROR_SIZE]);

/* What a context is made from; the content is needed only while it is being made. */
struct tls_settings {
    const struct blob *blob;
    const struct blob_tls *record;
    struct tls_file certificate, key, passwords, trusted, crl;
    int key_log; /* a descriptor, -1 for none, for as long as the context lives */
};

/* What a stream is to its peer. */
struct tls_peer {
    const char *sent_name;     /* in the ClientHello (SNI); NULL: none */
    const char *expected_name; /* what its certificate has to be for, for as long as the stream lives; NULL: anything */
    const u8 *alpn;            /* protocols in the wire's form (RFC 7301, section 3.1) */
    size_t alpn_size;
    struct tls_ticket *ticket; /* to resume with; it stays the caller's. NULL: none */
    const struct tls_identity *identity; /* to be shown instead of the context's own; NULL: that */
};

/* What passes between a stream and its socket during one call: received bytes that are taken from the front, and room
 * for those to be sent. */
struct tls_wire {
    const u8 *in;
    size_t in_size;
    u8 *out;
    size_t out_size, out_room;
    bool end; /* nothing will follow what is in */
};

enum tls_state {
    TLS_DONE,
    TLS_MORE,   /* all of in was taken, and more is needed */
    TLS_FULL,   /* out has no room */
    TLS_END,    /* the peer has ended it */
    TLS_FAILED, /* error says why */
    TLS_SIGN,   /* a signature is wanted */
    TLS_SPENT,  /* no memory is left */
};

struct tls_operations {
    /* Set memory aside, for all there will be; once, before all else. False: there is none. */
    bool (*memory_open)(size_t size);
    /* Is there enough of it left for another connection? */
    bool (*memory_suffices)(void);

    /* NULL: error says why. */
    struct tls_context *(*context_open)(const struct tls_settings *settings, char error[TLS_ERROR_SIZE]);
    void (*context_close)(struct tls_context *context);

    /* A certificate and its key, which may be locked with one of the context's passwords. NULL: error says why. */
    struct tls_identity *(*identity_open)(struct tls_context *context, const struct tls_file *certificate,
                                          const struct tls_file *key, char error[TLS_ERROR_SIZE]);
    void (*identity_close)(struct tls_identity *identity);
    /* Was the key locked? Then it is not to be kept. */
    bool (*identity_was_locked)(const struct tls_identity *identity);

    /* Does the certificate of a context belong to a key that is elsewhere? False: error says why not. */
    bool (*check_key)(const struct tls_context *context, tls_sign *sign, struct token_key *key,
                      char error[TLS_ERROR_SIZE]);
    /* What a stream that wants a signature has to sign; false: it was taken before. Then, its signature: size 0 if it
     * cannot be had. */
    bool (*take_request)(struct tls_stream *stream, struct tls_request *request);
    void (*answer)(struct tls_stream *stream, const u8 *signature, size_t size);

    /* A stream that begins a handshake; NULL: error says why. */
    struct tls_stream *(*open)(struct tls_context *context, const struct tls_peer *peer, char error[TLS_ERROR_SIZE]);
    void (*close)(struct tls_stream *stream);
    /* DONE: the handshake is over; then verdict says what is wrong with the peer's certificate, NULL for nothing. */
    enum tls_state (*handshake)(struct tls_stream *stream, struct tls_wire *wire, char error[TLS_ERROR_SIZE]);
    const char *(*verdict)(const struct tls_stream *stream, char text[TLS_ERROR_SIZE]);
    /* Read until room is full (DONE) or nothing is left; got may be more than 0 whatever is returned. */
    enum tls_state (*read)(struct tls_stream *stream, struct tls_wire *wire, u8 *data, size_t room, size_t *got,
                           char error[TLS_ERROR_SIZE]);
    /* Write all of it; out has TLS_OVERHEAD bytes of room more for each record of TLS_RECORD bytes. */
    enum tls_state (*write)(struct tls_stream *stream, struct tls_wire *wire, const u8 *data, size_t size,
                            char error[TLS_ERROR_SIZE]);
    /* Say that nothing more will be written. */
    void (*shutdown)(struct tls_stream *stream, struct tls_wire *wire);

    /* A ticket that the peer has sent meanwhile, the caller's; NULL: none. */
    struct tls_ticket *(*take_ticket)(struct tls_stream *stream);
    void (*free_ticket)(struct tls_ticket *ticket);
    /* One more free_ticket() is needed. */
    void (*share_ticket)(struct tls_ticket *ticket);
    /* Shall it be used once only? */
    bool (*ticket_is_single)(const struct tls_ticket *ticket);
    bool (*was_resumed)(const struct tls_stream *stream);
};

enum { TLS_RECORD = 16384, TLS_OVERHEAD = 128 };

/* The one symbol of the module. */
extern const struct tls_operations tls_operations;

#endif
