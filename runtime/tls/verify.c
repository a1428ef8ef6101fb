/*
 * Is the peer who it says it is? The chain it has shown, the authorities that are trusted and what was revoked come in;
 * a verdict goes out, in OpenSSL's numbers and words, which is what nginx logs. The handshake goes on whatever the
 * verdict is, as nginx does it; who asked for the stream then ends it.
 *
 * The rules are those of OpenSSL at its security level (its manual, SSL_CTX_set_security_level): keys and digests that
 * are too weak for it are refused, which BoringSSL would not do.
 */
#include "module.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MOST = 100 };

/* OpenSSL's own, which BoringSSL does not have. */
enum { EE_KEY_TOO_SMALL = 66, CA_KEY_TOO_SMALL = 67, CA_MD_TOO_WEAK = 68 };

static const struct {
    long code;
    const char *says;
} own_words[] = {
    {EE_KEY_TOO_SMALL, "EE certificate key too weak"},
    {CA_KEY_TOO_SMALL, "CA certificate key too weak"},
    {CA_MD_TOO_WEAK, "CA signature digest algorithm too weak"},
};

/* ---- whom to trust ---- */

static bool
add_trusted(X509_STORE *store, const struct tls_file *file)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    size_t count = 0;
    for (X509 *one; bio && (one = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL));) {
        count += X509_STORE_add_cert(store, one) == 1;
        X509_free(one);
    }
    BIO_free(bio);
    return count > 0;
}

static bool
add_revoked(X509_STORE *store, const struct tls_file *file)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    size_t count = 0;
    for (X509_CRL *one; bio && (one = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL));) {
        count += X509_STORE_add_crl(store, one) == 1;
        X509_CRL_free(one);
    }
    BIO_free(bio);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return count > 0;
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

/* ---- how strong ---- */

/* OpenSSL's bits of security that a level asks for. */
static u32
bits_of_level(u32 level)
{
    static const u32 bits[] = {0, 80, 112, 128, 192, 256};
    return bits[level < 5 ? level : 5];
}

/* NIST SP 800-57, as OpenSSL has it. */
static u32
bits_of_key(EVP_PKEY *key)
{
    u32 size = (u32)EVP_PKEY_bits(key);
    if (EVP_PKEY_id(key) != EVP_PKEY_RSA && EVP_PKEY_id(key) != EVP_PKEY_DSA)
        return size / 2;
    return size >= 15360 ? 256 : size >= 7680 ? 192 : size >= 3072 ? 128 : size >= 2048 ? 112 : size >= 1024 ? 80 : 0;
}

static u32
bits_of_signature(const X509 *certificate)
{
    int digest;
    if (!OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest, NULL))
        return 256;
    switch (digest) {
    case NID_md5:
        return 39;
    case NID_sha1:
        return 63;
    case NID_md5_sha1:
        return 67;
    case NID_sha224:
        return 112;
    case NID_sha256:
        return 128;
    case NID_sha384:
        return 192;
    default:
        return 256; /* SHA-512, or one that comes with the key */
    }
}

/* The last of the chain is trusted for what it is: its signature does not count. */
static long
check_strength(const STACK_OF(X509) *chain, u32 level)
{
    u32 least = bits_of_level(level);
    size_t count = sk_X509_num(chain);
    for (size_t i = 0; i < count; i++) {
        X509 *one = sk_X509_value(chain, i);
        EVP_PKEY *key = X509_get_pubkey(one);
        bool strong = key && bits_of_key(key) >= least;
        EVP_PKEY_free(key);
        if (!strong)
            return i == 0 ? EE_KEY_TOO_SMALL : CA_KEY_TOO_SMALL;
        if (i + 1 < count && bits_of_signature(one) < least)
            return CA_MD_TOO_WEAK;
    }
    return X509_V_OK;
}

/* ---- the chain ---- */

/* nginx's proxy_ssl_verify_depth: how many authorities may stand between the certificate and one that is trusted.
 * OpenSSL looks no further, and so does not find the one that is. */
static long
check_depth(const STACK_OF(X509) *chain, u32 depth)
{
    return sk_X509_num(chain) > (size_t)depth + 2 ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY : X509_V_OK;
}

static bool
is_pinned(const struct tls_context *context, const STACK_OF(X509) *chain)
{
    bool found = context->record->pin_count == 0;
    for (size_t i = 0; i < sk_X509_num(chain) && !found; i++)
        found = pin_matches(context, sk_X509_value(chain, i));
    return found;
}

/* What is wrong with the chain; and, in pinned, if a key of it is one of those that must be. */
static long
verify_chain(const struct tls_context *context, X509 *leaf, STACK_OF(X509) *others, bool *pinned)
{
    long verdict = X509_V_ERR_OUT_OF_MEM;
    X509_STORE_CTX *work = X509_STORE_CTX_new();
    if (work && X509_STORE_CTX_init(work, context->store, leaf, others) &&
        X509_STORE_CTX_set_default(work, "ssl_server")) {
        X509_STORE_CTX_set_depth(work, DEPTH_MOST);
        bool good = X509_verify_cert(work) == 1;
        verdict = good ? X509_V_OK : X509_STORE_CTX_get_error(work);
        if (good)
            verdict = check_depth(X509_STORE_CTX_get0_chain(work), context->record->depth);
        if (good && verdict == X509_V_OK)
            verdict = check_strength(X509_STORE_CTX_get0_chain(work), context->record->level);
        *pinned = verdict != X509_V_OK || is_pinned(context, X509_STORE_CTX_get0_chain(work));
    }
    X509_STORE_CTX_free(work);
    return verdict;
}

/* An address is looked for among the addresses too, which nginx does not do. */
static bool
is_named(X509 *leaf, const char *name)
{
    u8 ip[16];
    if (!name[0])
        return false;
    if (inet_pton(AF_INET, name, ip) == 1)
        return X509_check_ip(leaf, ip, 4, 0) == 1;
    if (inet_pton(AF_INET6, name, ip) == 1)
        return X509_check_ip(leaf, ip, 16, 0) == 1;
    return X509_check_host(leaf, name, strlen(name), 0, NULL) == 1;
}

enum ssl_verify_result_t
verify_peer(SSL *ssl, u8 *alert)
{
    (void)alert;
    struct tls_stream *stream = SSL_get_app_data(ssl);
    const STACK_OF(CRYPTO_BUFFER) *shown = SSL_get0_peer_certificates(ssl);
    STACK_OF(X509) *others = sk_X509_new_null();
    X509 *leaf = NULL;
    const struct tls_context *context = stream->context;
    bool good = others && (context->store || context->record->pin_count), pinned = true;
    for (size_t i = 0; good && i < sk_CRYPTO_BUFFER_num(shown); i++) {
        X509 *one = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(shown, i));
        leaf = i == 0 ? one : leaf;
        good = one && (i == 0 || sk_X509_push(others, one));
    }
    if (good && context->store) {
        stream->verdict = verify_chain(context, leaf, others, &pinned);
        stream->misnamed = stream->expected && !is_named(leaf, stream->expected);
    } else if (good) {
        pinned = pin_matches(context, leaf);
    } else if (context->store || context->record->pin_count) {
        stream->verdict = X509_V_ERR_UNSPECIFIED;
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
