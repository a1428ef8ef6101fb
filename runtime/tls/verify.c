/*
 * Is the peer who it says it is? The chain it has shown, the authorities that are trusted and what was revoked come in;
 * a verdict goes out, in OpenSSL's numbers and words, which is what nginx logs. The handshake goes on whatever the
 * verdict is, as nginx does it; who asked for the stream then ends it.
 *
 * BoringSSL verifies (it knows less than OpenSSL, and refuses what it does not know); chain.c and name.c ask what
 * OpenSSL asks besides.
 */
#include "module.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MOST = 100 };

/* OpenSSL's words where BoringSSL has others, or other numbers. */
static const struct {
    long code;
    const char *says;
} own_words[] = {
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed certificate"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "self-signed certificate in certificate chain"},
    {X509_V_ERR_INVALID_PURPOSE, "unsuitable certificate purpose"},
    {VERDICT_KEY_TOO_WEAK, "EE certificate key too weak"},
    {VERDICT_AUTHORITY_TOO_WEAK, "CA certificate key too weak"},
    {VERDICT_DIGEST_TOO_WEAK, "CA signature digest algorithm too weak"},
};

/* ---- whom to trust ---- */

static bool
is_current(const X509 *certificate)
{
    return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 &&
           X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

/* Where two have one name and one key, BoringSSL takes the first: so those whose time it is come first. */
static bool
put_in_order(STACK_OF(X509) *all, X509 *one, size_t *current)
{
    if (one && sk_X509_insert(all, one, is_current(one) ? *current : sk_X509_num(all))) {
        *current += is_current(one);
        return true;
    }
    X509_free(one);
    return false;
}

static bool
add_trusted(X509_STORE *store, const struct tls_file *file)
{
    BIO *bio = pem_open(file);
    STACK_OF(X509) *all = sk_X509_new_null();
    size_t count = 0, current = 0;
    while (bio && all && put_in_order(all, PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL), &current))
        continue;
    bool whole = pem_was_read();
    for (size_t i = 0; all && i < sk_X509_num(all); i++)
        count += X509_STORE_add_cert(store, sk_X509_value(all, i)) == 1;
    sk_X509_pop_free(all, X509_free);
    BIO_free(bio);
    return whole && count > 0;
}

static bool
add_revoked(X509_STORE *store, const struct tls_file *file)
{
    BIO *bio = pem_open(file);
    size_t count = 0;
    for (X509_CRL *one; bio && (one = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL));) {
        count += X509_STORE_add_crl(store, one) == 1;
        X509_CRL_free(one);
    }
    bool whole = pem_was_read();
    BIO_free(bio);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return whole && count > 0;
}

X509_STORE *
verify_open(const struct tls_file *trusted, const struct tls_file *crl, char error[TLS_ERROR_SIZE])
{
    X509_STORE *store = X509_STORE_new();
    const char *what = "making a store of certificates";
    bool good = store != NULL;
    if (good && trusted->data) {
        what = "reading the trusted certificates";
        good = add_trusted(store, trusted);
    }
    if (good && crl->data) {
        what = "reading the revoked certificates";
        good = add_revoked(store, crl);
    }
    if (good) {
        ERR_clear_error();
        return store;
    }
    error_say(error, what);
    X509_STORE_free(store);
    return NULL;
}

/* ---- the chain ---- */

static bool
is_pinned(const struct tls_context *context, const STACK_OF(X509) *chain)
{
    bool found = context->record->pin_count == 0;
    for (size_t i = 0; i < sk_X509_num(chain) && !found; i++)
        found = pin_matches(context, sk_X509_value(chain, i));
    return found;
}

/* nginx lets OpenSSL go on after what is wrong, and logs the last of it. */
static int
note(int good, X509_STORE_CTX *work)
{
    long *last = X509_STORE_CTX_get_app_data(work);
    int error = X509_STORE_CTX_get_error(work);
    if (!good && error == X509_V_ERR_NAME_CONSTRAINTS_WITHOUT_SANS)
        *last = X509_V_ERR_PERMITTED_VIOLATION; /* OpenSSL has no such number */
    else if (!good)
        *last = error;
    return 1;
}

/* Has it signed itself? Then it may be trusted as it is, whatever it may be used for. */
static bool
is_self_signed(X509 *leaf)
{
    EVP_PKEY *key = X509_get_pubkey(leaf);
    bool signed_itself = key && X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0 &&
                         X509_verify(leaf, key) == 1;
    EVP_PKEY_free(key);
    return signed_itself;
}

/* What is wrong with the chain; and, in pinned, if a key of it is one of those that must be. */
static long
verify_chain(const struct tls_context *context, X509 *leaf, STACK_OF(X509) *others, bool *pinned)
{
    long verdict = X509_V_ERR_OUT_OF_MEM, last = X509_V_OK;
    X509_STORE_CTX *work = X509_STORE_CTX_new();
    if (work && X509_STORE_CTX_init(work, context->store, leaf, others) &&
        X509_STORE_CTX_set_default(work, "ssl_server") && X509_STORE_CTX_set_app_data(work, &last)) {
        bool alone = is_self_signed(leaf);
        X509_STORE_CTX_set_depth(work, DEPTH_MOST);
        X509_STORE_CTX_set_verify_cb(work, note);
        if (alone)
            X509_STORE_CTX_set_flags(work, X509_V_FLAG_PARTIAL_CHAIN);
        bool good = X509_verify_cert(work) == 1;
        const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(work);
        verdict = last != X509_V_OK ? last : good ? X509_V_OK : X509_STORE_CTX_get_error(work);
        if (verdict == X509_V_OK)
            verdict = good ? chain_check(chain, context->record) : X509_V_ERR_UNSPECIFIED;
        else if (alone && verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
            verdict = X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
        *pinned = verdict != X509_V_OK || is_pinned(context, chain);
    }
    X509_STORE_CTX_free(work);
    return verdict;
}

/* An address is looked for among the addresses too, which nginx does not do. */
static bool
is_named(X509 *leaf, const char *name)
{
    u8 ip[16];
    bool found = name[0] && name_matches(leaf, name);
    if (!found && inet_pton(AF_INET, name, ip) == 1)
        found = X509_check_ip(leaf, ip, 4, 0) == 1;
    if (!found && inet_pton(AF_INET6, name, ip) == 1)
        found = X509_check_ip(leaf, ip, 16, 0) == 1;
    return found;
}

/* What the peer has shown besides its own certificate. NULL: something of it is no certificate. */
static STACK_OF(X509) *
read_others(const STACK_OF(CRYPTO_BUFFER) *shown, X509 **leaf)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    size_t current = 0, count = sk_CRYPTO_BUFFER_num(shown);
    bool good = others && count && (*leaf = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(shown, 0)));
    for (size_t i = 1; good && i < count; i++)
        good = put_in_order(others, X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(shown, i)), &current);
    if (good)
        return others;
    sk_X509_pop_free(others, X509_free);
    return NULL;
}

enum ssl_verify_result_t
verify_peer(SSL *ssl, u8 *alert)
{
    (void)alert;
    struct tls_stream *stream = SSL_get_app_data(ssl);
    const struct tls_context *context = stream->context;
    bool pinned = true;
    if (!context->store && !context->record->pin_count)
        return ssl_verify_ok;
    X509 *leaf = NULL;
    STACK_OF(X509) *others = read_others(SSL_get0_peer_certificates(ssl), &leaf);
    if (!others) {
        stream->verdict = X509_V_ERR_UNSPECIFIED;
    } else if (context->store) {
        stream->verdict = verify_chain(context, leaf, others, &pinned);
        stream->misnamed = stream->expected && !is_named(leaf, stream->expected);
    } else {
        pinned = pin_matches(context, leaf);
    }
    stream->unpinned = !pinned;
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
    ERR_clear_error();
    return ssl_verify_ok;
}

bool
verify_is_good(const struct tls_stream *stream)
{
    return stream->verdict == X509_V_OK && !stream->misnamed && !stream->unpinned;
}

const char *
verify_say(const struct tls_stream *stream, char text[TLS_ERROR_SIZE])
{
    const char *says = NULL;
    if (verify_is_good(stream))
        return NULL;
    if (stream->verdict == X509_V_OK && stream->misnamed) {
        snprintf(text, TLS_ERROR_SIZE, "upstream SSL certificate does not match \"%s\"", stream->expected);
        return text;
    }
    if (stream->verdict == X509_V_OK)
        return "upstream SSL certificate has no key of proxy_ssl_pin";
    for (size_t i = 0; i < sizeof own_words / sizeof *own_words && !says; i++)
        says = own_words[i].code == stream->verdict ? own_words[i].says : NULL;
    snprintf(text, TLS_ERROR_SIZE, "upstream SSL certificate verify error: (%ld:%s)", stream->verdict,
             says ? says : X509_verify_cert_error_string(stream->verdict));
    return text;
}
