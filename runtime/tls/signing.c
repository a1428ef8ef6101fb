/*
 * A key that the module does not have: what is to be signed goes out as a request, and the signature comes in later,
 * while the handshake waits (SSL_PRIVATE_KEY_METHOD of BoringSSL).
 */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct signing {
    struct tls_request request;
    bool taken, answered;
    size_t size; /* 0, when answered: there is no signature */
    u8 signature[TLS_SIGNATURE_MOST];
};

/* ---- out ---- */

/* What is to be signed for this algorithm of TLS (RFC 8446, section 4.2.3). False: it cannot be. */
static bool
describe(u16 algorithm, const u8 *in, size_t size, struct tls_request *request)
{
    const EVP_MD *md = SSL_get_signature_algorithm_digest(algorithm);
    u8 digest[EVP_MAX_MD_SIZE], *prefixed;
    unsigned digest_size = 0;
    int allocated;
    if (!md && size > sizeof request->data)
        return false;
    if (!md) {
        request->scheme = TLS_SIGN_ED25519;
        request->size = (u32)size;
        memcpy(request->data, in, size);
        return true;
    }
    if (!EVP_Digest(in, size, digest, &digest_size, md, NULL))
        return false;
    request->digest_bits = digest_size * 8;
    request->size = digest_size;
    memcpy(request->data, digest, digest_size);
    if (SSL_get_signature_algorithm_key_type(algorithm) == EVP_PKEY_EC) {
        request->scheme = TLS_SIGN_ECDSA;
        return true;
    }
    request->scheme = SSL_is_signature_algorithm_rsa_pss(algorithm) ? TLS_SIGN_PSS : TLS_SIGN_PKCS1;
    if (request->scheme == TLS_SIGN_PSS)
        return true;
    size_t prefixed_size;
    if (!RSA_add_pkcs1_prefix(&prefixed, &prefixed_size, &allocated, EVP_MD_type(md), digest, digest_size))
        return false;
    request->size = (u32)prefixed_size;
    memcpy(request->data, prefixed, prefixed_size);
    if (allocated)
        OPENSSL_free(prefixed);
    return true;
}

bool
signing_take(struct tls_stream *stream, struct tls_request *request)
{
    struct signing *signing = stream->signing;
    if (!signing || signing->taken)
        return false;
    signing->taken = true;
    *request = signing->request;
    return true;
}

/* ---- in ---- */

/* Both numbers of ECDSA as DER has them. 0: they are none. */
static size_t
encode_ecdsa(const u8 *numbers, size_t size, u8 out[TLS_SIGNATURE_MOST])
{
    u8 *der = NULL;
    size_t der_size = 0;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    bool good = signature && size && size % 2 == 0 && BN_bin2bn(numbers, size / 2, signature->r) &&
                BN_bin2bn(numbers + size / 2, size / 2, signature->s) &&
                ECDSA_SIG_to_bytes(&der, &der_size, signature) && der_size <= TLS_SIGNATURE_MOST;
    if (good)
        memcpy(out, der, der_size);
    OPENSSL_free(der);
    ECDSA_SIG_free(signature);
    return good ? der_size : 0;
}

static size_t
encode(enum tls_scheme scheme, const u8 *signature, size_t size, u8 out[TLS_SIGNATURE_MOST])
{
    if (scheme == TLS_SIGN_ECDSA)
        return encode_ecdsa(signature, size, out);
    memcpy(out, signature, size);
    return size;
}

void
signing_answer(struct tls_stream *stream, const u8 *signature, size_t size)
{
    struct signing *signing = stream->signing;
    signing->size = encode(signing->request.scheme, signature, size, signing->signature);
    signing->answered = true;
}

void
signing_close(struct tls_stream *stream)
{
    free(stream->signing);
    stream->signing = NULL;
}

/* ---- BoringSSL's view ---- */

static enum ssl_private_key_result_t
begin(SSL *ssl, u8 *out, size_t *out_size, size_t most, u16 algorithm, const u8 *in, size_t size)
{
    (void)out, (void)out_size, (void)most;
    struct tls_stream *stream = SSL_get_app_data(ssl);
    stream->signing = calloc(1, sizeof *stream->signing);
    if (stream->signing && describe(algorithm, in, size, &stream->signing->request))
        return ssl_private_key_retry;
    signing_close(stream);
    return ssl_private_key_failure;
}

static enum ssl_private_key_result_t
complete(SSL *ssl, u8 *out, size_t *out_size, size_t most)
{
    struct tls_stream *stream = SSL_get_app_data(ssl);
    const struct signing *signing = stream->signing;
    if (!signing->answered)
        return ssl_private_key_retry;
    bool good = signing->size && signing->size <= most;
    if (good) {
        memcpy(out, signing->signature, signing->size);
        *out_size = signing->size;
    }
    signing_close(stream);
    return good ? ssl_private_key_success : ssl_private_key_failure;
}

const SSL_PRIVATE_KEY_METHOD signing_method = {.sign = begin, .complete = complete};

/* ---- at the start ---- */

static EVP_PKEY *
key_of(const struct tls_context *context)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_CTX_get0_chain(context->ssl);
    X509 *leaf = chain && sk_CRYPTO_BUFFER_num(chain) ? X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, 0)) : NULL;
    EVP_PKEY *key = leaf ? X509_get_pubkey(leaf) : NULL;
    X509_free(leaf);
    return key;
}

bool
signing_check(const struct tls_context *context, tls_sign *sign, struct token_key *token, char error[TLS_ERROR_SIZE])
{
    static const u8 text[] = "spcd: do this key and this certificate belong together?";
    u8 made[TLS_SIGNATURE_MOST], encoded[TLS_SIGNATURE_MOST];
    struct tls_request *request = calloc(1, sizeof *request);
    EVP_PKEY *key = key_of(context);
    EVP_MD_CTX *verifier = EVP_MD_CTX_new();
    int type = key ? EVP_PKEY_id(key) : EVP_PKEY_NONE;
    u16 algorithm = type == EVP_PKEY_RSA ? SSL_SIGN_RSA_PKCS1_SHA256
                    : type == EVP_PKEY_EC ? SSL_SIGN_ECDSA_SECP256R1_SHA256 : SSL_SIGN_ED25519;
    size_t size = 0;
    snprintf(error, TLS_ERROR_SIZE, "the certificate's key cannot be read");
    bool good = request && verifier && key && describe(algorithm, text, sizeof text, request) &&
                (size = sign(token, request, made, error)) > 0;
    if (good) {
        size = encode(request->scheme, made, size, encoded);
        good = EVP_DigestVerifyInit(verifier, NULL, SSL_get_signature_algorithm_digest(algorithm), NULL, key) &&
               EVP_DigestVerify(verifier, encoded, size, text, sizeof text);
        if (!good)
            snprintf(error, TLS_ERROR_SIZE, "the certificate is not that of the key in the token");
    }
    EVP_MD_CTX_free(verifier);
    EVP_PKEY_free(key);
    free(request);
    ERR_clear_error();
    return good;
}
