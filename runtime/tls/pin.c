/*
 * Pins: is a certificate's key among those that the configuration names, by the digest of its SubjectPublicKeyInfo
 * (RFC 7469, section 2.4)?
 */
#include "module.h"

#include <string.h>

/* The base64 of the digest, with its NUL. */
static bool
digest_key(X509 *certificate, char text[4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1])
{
    u8 *key = NULL, digest[SHA256_DIGEST_LENGTH];
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    if (size <= 0)
        return false;
    SHA256(key, (size_t)size, digest);
    OPENSSL_free(key);
    EVP_EncodeBlock((u8 *)text, digest, sizeof digest);
    return true;
}

bool
pin_matches(const struct tls_context *context, X509 *certificate)
{
    const struct blob *blob = context->blob;
    const struct blob_tls *record = context->record;
    char text[4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1];
    bool matches = false;
    if (!digest_key(certificate, text))
        return false;
    for (u32 i = 0; i < record->pin_count && !matches; i++)
        matches = strcmp(text, blob_string(blob, blob->pin[record->pin + i].digest)) == 0;
    return matches;
}
