/*
 * A tls record and the files it names in, a context out: versions, ciphers, groups and signatures, what is shown and
 * who is trusted. BoringSSL's defaults are not OpenSSL's; where nginx would differ by them, they are set here.
 */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what may be negotiated ---- */

static const struct {
    enum tls_version bit;
    u16 version;
    u32 off;
} versions[] = {
    {TLS_1_0, TLS1_VERSION, SSL_OP_NO_TLSv1},
    {TLS_1_1, TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    {TLS_1_2, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    {TLS_1_3, TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

enum { VERSION_COUNT = sizeof versions / sizeof *versions };

static bool
set_versions(SSL_CTX *ssl, u32 wanted)
{
    u16 least = 0, most = 0;
    for (u32 i = 0; i < VERSION_COUNT; i++) {
        if (!(wanted & versions[i].bit)) {
            SSL_CTX_set_options(ssl, versions[i].off);
            continue;
        }
        least = least ? least : versions[i].version;
        most = versions[i].version;
    }
    return SSL_CTX_set_min_proto_version(ssl, least) && SSL_CTX_set_max_proto_version(ssl, most);
}

/* As OpenSSL has them; the last ones are for its security levels 0 and 1. */
static bool
set_signatures(SSL_CTX *ssl, const char *list, bool signs_only, u32 level)
{
    static const u16 usual[] = {
        SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ECDSA_SECP521R1_SHA512,
        SSL_SIGN_ED25519,                SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PSS_RSAE_SHA384,
        SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA256,       SSL_SIGN_RSA_PKCS1_SHA384,
        SSL_SIGN_RSA_PKCS1_SHA512,       SSL_SIGN_ECDSA_SHA1,             SSL_SIGN_RSA_PKCS1_SHA1,
    };
    size_t count = sizeof usual / sizeof *usual - (level >= 2 ? 2 : 0);
    bool good = list[0] ? SSL_CTX_set1_sigalgs_list(ssl, list) == 1 /* both */
                        : SSL_CTX_set_signing_algorithm_prefs(ssl, usual, count) == 1;
    return good && ((list[0] && !signs_only) || SSL_CTX_set_verify_algorithm_prefs(ssl, usual, count));
}

static bool
set_choices(SSL_CTX *ssl, const struct tls_settings *settings, char error[TLS_ERROR_SIZE])
{
    static const char groups[] = "X25519:P-256:P-384:P-521";
    const struct blob *blob = settings->blob;
    const struct blob_tls *record = settings->record;
    const char *ciphers = blob_string(blob, record->ciphers), *curves = blob_string(blob, record->curves);
    const char *what = "setting versions";
    bool good = set_versions(ssl, record->versions);
    if (good && ciphers[0]) {
        what = "setting ciphers";
        good = SSL_CTX_set_cipher_list(ssl, ciphers) == 1;
    }
    if (good) {
        what = "setting groups";
        good = SSL_CTX_set1_curves_list(ssl, curves[0] ? curves : groups) == 1;
    }
    if (good) {
        what = "setting signature algorithms";
        good = set_signatures(ssl, blob_string(blob, record->signatures), record->flags & TLS_SIGNS_ONLY,
                              record->level);
    }
    if (record->flags & TLS_NO_TICKET)
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    if (!good)
        error_say(error, what);
    return good;
}

/* ---- what is shown ---- */

static bool
set_identity(struct tls_context *context, const struct tls_settings *settings, char error[TLS_ERROR_SIZE])
{
    if (!settings->certificate.data)
        return true;
    bool elsewhere = settings->record->token;
    struct tls_identity *own = identity_open(context, &settings->certificate, elsewhere ? NULL : &settings->key, error);
    bool good = own && SSL_CTX_set_chain_and_key(context->ssl, own->chain, own->count, own->key,
                                                 elsewhere ? &signing_method : NULL);
    if (own && !good)
        error_say(error, "joining certificate and key");
    if (own)
        identity_close(own);
    return good;
}

static bool
keep_passwords(struct tls_context *context, const struct tls_file *passwords)
{
    if (!passwords->data)
        return true;
    context->passwords.data = OPENSSL_memdup(passwords->data, passwords->size + 1);
    context->passwords.size = passwords->size;
    return context->passwords.data;
}

/* ---- whole ---- */

/* Whoever reads the file reads the traffic: it is made for the owner only. */
static void
log_key(const SSL *ssl, const char *line)
{
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    char text[1024];
    int size = snprintf(text, sizeof text, "%s\n", line);
    if (size > 0 && (size_t)size < sizeof text && write(context->key_log, text, (size_t)size) < 0)
        return; /* a full disk stops nobody's traffic */
}

static bool
fill(struct tls_context *context, const struct tls_settings *settings, char error[TLS_ERROR_SIZE])
{
    u32 flags = settings->record->flags;
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_set_app_data(ssl, context);
    SSL_CTX_set0_buffer_pool(ssl, context->pool);
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_custom_verify(ssl, SSL_VERIFY_PEER, verify_peer);
    if (flags & TLS_SESSION_REUSE) {
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl, stream_keep_ticket);
    }
    if (context->key_log >= 0)
        SSL_CTX_set_keylog_callback(ssl, log_key);
    if (!keep_passwords(context, &settings->passwords) || !set_choices(ssl, settings, error) ||
        !set_identity(context, settings, error))
        return false;
    if (flags & TLS_VERIFY)
        context->store = verify_open(&settings->trusted, &settings->crl, error);
    return context->store || !(flags & TLS_VERIFY);
}

struct tls_context *
context_open(const struct tls_settings *settings, char error[TLS_ERROR_SIZE])
{
    struct tls_context *context = calloc(1, sizeof *context);
    snprintf(error, TLS_ERROR_SIZE, "no memory for TLS");
    if (!context)
        return NULL;
    context->ssl = SSL_CTX_new(TLS_with_buffers_method());
    context->pool = CRYPTO_BUFFER_POOL_new();
    context->blob = settings->blob;
    context->record = settings->record;
    context->key_log = settings->key_log;
    if (context->ssl && context->pool && fill(context, settings, error))
        return context;
    context_close(context);
    return NULL;
}

void
context_close(struct tls_context *context)
{
    SSL_CTX_free(context->ssl);
    X509_STORE_free(context->store);
    CRYPTO_BUFFER_POOL_free(context->pool);
    OPENSSL_free((void *)(uintptr_t)context->passwords.data); /* which overwrites it */
    free(context);
}
