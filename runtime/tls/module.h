/*
 * What the files of the module for TLS promise each other. BoringSSL is known here only.
 */
#ifndef MODULE_H
#define MODULE_H

#include "../tls.h"

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* A chain, the one to be shown first, and its key. */
struct tls_identity {
    CRYPTO_BUFFER **chain;
    size_t count;
    EVP_PKEY *key;
    bool locked; /* the key was, by a passphrase */
};

struct tls_context {
    SSL_CTX *ssl;
    X509_STORE *store; /* NULL: certificates are not verified */
    CRYPTO_BUFFER_POOL *pool;
    struct tls_file passwords; /* a copy, for identities that come later */
    const struct blob *blob;
    const struct blob_tls *record;
    int key_log;
};

struct tls_stream {
    SSL *ssl;
    struct tls_context *context;
    struct tls_wire *wire; /* during a call */
    SSL_SESSION *fresh[TLS_TICKETS];
    long verdict;          /* X509_V_OK, or what is wrong */
    const char *expected;  /* the name it must have; NULL: any */
    bool misnamed;         /* it does not */
    struct signing *signing; /* what a key that is elsewhere has been asked; NULL: nothing */
    bool unpinned;         /* none of the keys is one of those that must be */
};

/* ---- memory.c ---- */

bool memory_open(size_t size);
bool memory_suffices(void);

/* ---- error.c ---- */

/* pem.c: to read the content of a file, without a mark of byte order before it; NULL: no memory. */
BIO *pem_open(const struct tls_file *file);
/* Did the last PEM_read_...(), which gave nothing, find the end? Otherwise it found what is wrong. */
bool pem_was_read(void);

/* "WHAT failed (SSL: error:...)", from BoringSSL's queue, which is empty then. */
void error_say(char error[TLS_ERROR_SIZE], const char *what);

/* ---- identity.c: certificates with their keys ---- */

/* Those of PEM files; keys in that of the certificates are skipped; key NULL: it is elsewhere. NULL: error says why. */
struct tls_identity *identity_open(struct tls_context *context, const struct tls_file *certificate,
                                   const struct tls_file *key, char error[TLS_ERROR_SIZE]);
void identity_close(struct tls_identity *identity);
bool identity_was_locked(const struct tls_identity *identity);

/* ---- verify.c: the peer's certificate ---- */

/* Whom to trust, and what was revoked. NULL: error says why. */
X509_STORE *verify_open(const struct tls_file *trusted, const struct tls_file *crl, char error[TLS_ERROR_SIZE]);
/* The callback of a handshake: fill the stream's verdict. */
enum ssl_verify_result_t verify_peer(SSL *ssl, u8 *alert);
const char *verify_say(const struct tls_stream *stream, char text[TLS_ERROR_SIZE]);

/* Is nothing wrong with the certificate? */
bool verify_is_good(const struct tls_stream *stream);

/* ---- chain.c ---- */

/* OpenSSL's numbers, which BoringSSL does not have. */
enum { VERDICT_KEY_TOO_WEAK = 66, VERDICT_AUTHORITY_TOO_WEAK = 67, VERDICT_DIGEST_TOO_WEAK = 68 };

/* What is wrong with a chain that is whole; X509_V_OK for nothing. */
long chain_check(const STACK_OF(X509) *chain, const struct blob_tls *record);

/* ---- name.c ---- */

/* Is the certificate for that name? */
bool name_matches(X509 *certificate, const char *name);

/* ---- pin.c ---- */

/* Is its key one of the context's pins? */
bool pin_matches(const struct tls_context *context, X509 *certificate);

/* ---- signing.c: keys that are elsewhere ---- */

extern const SSL_PRIVATE_KEY_METHOD signing_method;
bool signing_take(struct tls_stream *stream, struct tls_request *request);
void signing_answer(struct tls_stream *stream, const u8 *signature, size_t size);
void signing_close(struct tls_stream *stream);
bool signing_check(const struct tls_context *context, tls_sign *sign, struct token_key *token,
                   char error[TLS_ERROR_SIZE]);

/* ---- context.c ---- */

struct tls_context *context_open(const struct tls_settings *settings, char error[TLS_ERROR_SIZE]);
void context_close(struct tls_context *context);

/* ---- stream.c ---- */

struct tls_stream *stream_open(struct tls_context *context, const struct tls_peer *peer, char error[TLS_ERROR_SIZE]);
void stream_close(struct tls_stream *stream);
enum tls_state stream_handshake(struct tls_stream *stream, struct tls_wire *wire, char error[TLS_ERROR_SIZE]);
enum tls_state stream_read(struct tls_stream *stream, struct tls_wire *wire, u8 *data, size_t room, size_t *got,
                           char error[TLS_ERROR_SIZE]);
enum tls_state stream_write(struct tls_stream *stream, struct tls_wire *wire, const u8 *data, size_t size,
                            char error[TLS_ERROR_SIZE]);
void stream_shutdown(struct tls_stream *stream, struct tls_wire *wire);
/* The callback for a session that can be resumed. */
int stream_keep_ticket(SSL *ssl, SSL_SESSION *session);
struct tls_ticket *stream_take_ticket(struct tls_stream *stream);
bool stream_was_resumed(const struct tls_stream *stream);

#endif
