/*
 * What a stream shows of itself: a chain of certificates and the key of the first, from the content of PEM files.
 */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- certificates ---- */

static bool
is_certificate(const char *name)
{
    return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0 ||
           strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
}

/* The bytes of the certificate that begins there; who trusts it for what may follow. 0: it is none. */
static size_t
measure(const u8 *data, long size)
{
    const u8 *end = data;
    X509 *read = d2i_X509(NULL, &end, size);
    X509_free(read);
    return read ? (size_t)(end - data) : 0;
}

static bool
add_certificate(struct tls_identity *identity, const u8 *data, size_t size, CRYPTO_BUFFER_POOL *pool)
{
    CRYPTO_BUFFER **chain = realloc(identity->chain, (identity->count + 1) * sizeof *chain);
    CRYPTO_BUFFER *one = size ? CRYPTO_BUFFER_new(data, size, pool) : NULL;
    if (chain)
        identity->chain = chain;
    if (chain && one)
        identity->chain[identity->count++] = one;
    else
        CRYPTO_BUFFER_free(one);
    return chain && one;
}

static bool
read_chain(struct tls_identity *identity, const struct tls_file *file, CRYPTO_BUFFER_POOL *pool)
{
    BIO *bio = pem_open(file);
    char *name, *header;
    u8 *data;
    long size;
    bool good = bio != NULL;
    while (good && PEM_read_bio(bio, &name, &header, &data, &size)) {
        good = !is_certificate(name) || add_certificate(identity, data, measure(data, size), pool);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    BIO_free(bio);
    bool whole = pem_was_read();
    if (good && whole && identity->count)
        ERR_clear_error();
    return good && whole && identity->count;
}

/* ---- keys ---- */

/* The passphrase to be tried. */
struct passphrase {
    const char *text;
    size_t size;
    bool asked;
};

static int
give_passphrase(char *buffer, int size, int writing, void *data)
{
    struct passphrase *passphrase = data;
    (void)writing;
    passphrase->asked = true;
    if (!passphrase->text || passphrase->size > (size_t)size)
        return -1;
    memcpy(buffer, passphrase->text, passphrase->size);
    return (int)passphrase->size;
}

static EVP_PKEY *
try_key(const struct tls_file *file, struct passphrase *passphrase)
{
    BIO *bio = pem_open(file);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, passphrase) : NULL;
    BIO_free(bio);
    return key;
}

/* With each line of passwords in turn, if it is locked. */
static EVP_PKEY *
read_key(const struct tls_file *file, const struct tls_file *passwords, bool *locked)
{
    struct passphrase passphrase = {0};
    EVP_PKEY *key = try_key(file, &passphrase);
    *locked = passphrase.asked;
    const char *line = passwords->data, *end = line ? line + passwords->size : NULL;
    while (!key && passphrase.asked && line && line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        passphrase = (struct passphrase){.text = line, .size = (size_t)(stop - line)};
        if (passphrase.size && stop[-1] == '\r')
            passphrase.size--;
        ERR_clear_error();
        if (passphrase.size)
            key = try_key(file, &passphrase);
        passphrase.asked = true;
        line = stop + 1;
    }
    if (key)
        ERR_clear_error();
    return key;
}

/* ---- both ---- */

struct tls_identity *
identity_open(struct tls_context *context, const struct tls_file *certificate, const struct tls_file *key,
              char error[TLS_ERROR_SIZE])
{
    struct tls_identity *identity = calloc(1, sizeof *identity);
    const char *what = "making room for a certificate";
    if (identity) {
        what = "reading the certificate";
        bool good = read_chain(identity, certificate, context->pool);
        if (good && key) {
            what = "reading the key";
            identity->key = read_key(key, &context->passwords, &identity->locked);
            good = identity->key;
        }
        if (good)
            return identity;
        identity_close(identity);
    }
    error_say(error, what);
    return NULL;
}

void
identity_close(struct tls_identity *identity)
{
    for (size_t i = 0; i < identity->count; i++)
        CRYPTO_BUFFER_free(identity->chain[i]);
    free(identity->chain);
    EVP_PKEY_free(identity->key);
    free(identity);
}

bool
identity_was_locked(const struct tls_identity *identity)
{
    return identity->locked;
}
