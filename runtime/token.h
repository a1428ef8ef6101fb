/*
 * What spcd and its module for PKCS#11 promise each other. The module (runtime/pkcs11/, spcd_pkcs11.so) is the only
 * place that knows PKCS#11 and p11-kit, and is loaded only for a blob that names a key in a token.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "tls.h"

struct token_key; /* a private key that stays where it is */

struct token_operations {
    /* The one private key that an RFC 7512 URI names; pin logs in where the token wants that, NULL for none, and is
     * copied. Waits for the token. NULL: error says why. */
    struct token_key *(*open)(const char *uri, const char *pin, char error[TLS_ERROR_SIZE]);
    void (*close)(struct token_key *key);
    /* Sign, and wait for it; of one thread at a time. The bytes of the signature: of ECDSA both numbers, without DER.
     * 0: error says why. */
    size_t (*sign)(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
                   char error[TLS_ERROR_SIZE]);
};

/* The one symbol of the module. */
extern const struct token_operations token_operations;

#endif
