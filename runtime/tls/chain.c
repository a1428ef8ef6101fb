/*
 * What OpenSSL asks of a chain that BoringSSL has found to be good: how long it may be, that the authority which is
 * trusted is one at all, and how strong its keys and signatures are (its manual, SSL_CTX_set_security_level).
 */
#include "module.h"

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
            return i == 0 ? VERDICT_KEY_TOO_WEAK : VERDICT_AUTHORITY_TOO_WEAK;
        if (i + 1 < count && bits_of_signature(one) < least)
            return VERDICT_DIGEST_TOO_WEAK;
    }
    return X509_V_OK;
}

/* ---- who may be what ---- */

/* BoringSSL asks this only of those that are not trusted themselves. */
static long
check_purposes(const STACK_OF(X509) *chain)
{
    long below = 0; /* authorities that the one looked at has to answer for */
    for (size_t i = 0; i < sk_X509_num(chain); i++) {
        X509 *one = sk_X509_value(chain, i);
        u32 flags = X509_get_extension_flags(one);
        long most = X509_get_pathlen(one);
        if (flags & EXFLAG_CRITICAL)
            return X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION;
        if (!X509_check_purpose(one, X509_PURPOSE_SSL_SERVER, i > 0))
            return X509_V_ERR_INVALID_PURPOSE;
        if (i > 0 && most >= 0 && below > most)
            return X509_V_ERR_PATH_LENGTH_EXCEEDED;
        below += i > 0 && !(flags & EXFLAG_SI);
    }
    return X509_V_OK;
}

/* ---- how long ---- */

/* nginx's proxy_ssl_verify_depth: how many authorities may stand between the certificate and one that is trusted.
 * OpenSSL looks no further, and so does not find the one that is. */
static long
check_depth(const STACK_OF(X509) *chain, u32 depth)
{
    return sk_X509_num(chain) > (size_t)depth + 2 ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY : X509_V_OK;
}

long
chain_check(const STACK_OF(X509) *chain, const struct blob_tls *record)
{
    long verdict = check_depth(chain, record->depth);
    if (verdict == X509_V_OK)
        verdict = check_purposes(chain);
    return verdict == X509_V_OK ? check_strength(chain, record->level) : verdict;
}
