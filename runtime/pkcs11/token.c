/*
 * The module for PKCS#11 as spcd knows it: keys are opened, sign, and are closed. A token that was taken out and put
 * back is found again when the next signature is wanted.
 */
#include "key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
close_key(struct token_key *key)
{
    if (key->module)
        key_leave(key);
    p11_kit_uri_free(key->uri);
    explicit_bzero(key->pin, sizeof key->pin);
    free(key);
}

static struct token_key *
open_key(const char *uri, const char *pin, char error[TLS_ERROR_SIZE])
{
    struct token_key *key = calloc(1, sizeof *key);
    snprintf(error, TLS_ERROR_SIZE, "no memory for a key");
    if (!key)
        return NULL;
    key->uri = p11_kit_uri_new();
    int problem = key->uri ? p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, key->uri) : P11_KIT_URI_UNEXPECTED;
    if (problem != P11_KIT_URI_OK)
        snprintf(error, TLS_ERROR_SIZE, "the URI cannot be read: %s", p11_kit_uri_message(problem));
    bool fits = !pin || strlen(pin) < PIN_SIZE;
    if (pin && fits)
        strcpy(key->pin, pin);
    if (!fits)
        snprintf(error, TLS_ERROR_SIZE, "the PIN has more than %d bytes", PIN_SIZE - 1);
    if (problem == P11_KIT_URI_OK && fits && key_find(key, error))
        return key;
    key->module = NULL; /* nothing is open */
    close_key(key);
    return NULL;
}

/* ---- signing ---- */

static const struct {
    u32 bits;
    CK_MECHANISM_TYPE digest;
    CK_RSA_PKCS_MGF_TYPE mask;
} digests[] = {
    {160, CKM_SHA_1, CKG_MGF1_SHA1},
    {256, CKM_SHA256, CKG_MGF1_SHA256},
    {384, CKM_SHA384, CKG_MGF1_SHA384},
    {512, CKM_SHA512, CKG_MGF1_SHA512},
};

/* A salt as long as the digest, which is TLS's (RFC 8446, section 4.2.3). */
static CK_RSA_PKCS_PSS_PARAMS
pss_of(u32 bits)
{
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++)
        if (digests[i].bits == bits)
            return (CK_RSA_PKCS_PSS_PARAMS){digests[i].digest, digests[i].mask, bits / 8};
    return (CK_RSA_PKCS_PSS_PARAMS){0};
}

static CK_RV
try_to_sign(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
            CK_ULONG *size)
{
    static const CK_MECHANISM_TYPE types[] = {
        [TLS_SIGN_PKCS1] = CKM_RSA_PKCS,
        [TLS_SIGN_PSS] = CKM_RSA_PKCS_PSS,
        [TLS_SIGN_ECDSA] = CKM_ECDSA,
        [TLS_SIGN_ED25519] = CKM_EDDSA,
    };
    CK_RSA_PKCS_PSS_PARAMS pss = pss_of(request->digest_bits);
    CK_MECHANISM mechanism = {.mechanism = types[request->scheme]};
    if (request->scheme == TLS_SIGN_PSS) {
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof pss;
    }
    CK_RV code = key->module->C_SignInit(key->session, &mechanism, key->object);
    if (code == CKR_OK && key->asks_always)
        code = key->module->C_Login(key->session, CKU_CONTEXT_SPECIFIC, (u8 *)key->pin, strlen(key->pin));
    if (code == CKR_OK)
        code = key->module->C_Sign(key->session, (u8 *)(uintptr_t)request->data, request->size, signature, size);
    return code;
}

/* Is the token no longer the one that it was? */
static bool
was_lost(CK_RV code)
{
    return code == CKR_SESSION_HANDLE_INVALID || code == CKR_SESSION_CLOSED || code == CKR_USER_NOT_LOGGED_IN ||
           code == CKR_KEY_HANDLE_INVALID || code == CKR_OBJECT_HANDLE_INVALID || code == CKR_DEVICE_REMOVED ||
           code == CKR_TOKEN_NOT_PRESENT;
}

static size_t
sign(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
     char error[TLS_ERROR_SIZE])
{
    CK_ULONG size = TLS_SIGNATURE_MOST;
    CK_RV code = key->module ? try_to_sign(key, request, signature, &size) : CKR_TOKEN_NOT_PRESENT;
    if (was_lost(code)) {
        if (key->module)
            key_leave(key);
        if (!key_find(key, error)) {
            key->module = NULL;
            return 0;
        }
        size = TLS_SIGNATURE_MOST;
        code = try_to_sign(key, request, signature, &size);
    }
    if (code == CKR_OK)
        return size;
    key_say(error, "signing", code);
    return 0;
}

__attribute__((visibility("default"))) const struct token_operations token_operations = {open_key, close_key, sign};
