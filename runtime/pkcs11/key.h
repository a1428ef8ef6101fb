/*
 * What the files of the module for PKCS#11 share; the rest of spcd sees token.h only.
 */
#ifndef KEY_H
#define KEY_H

#include "../token.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

enum { PIN_SIZE = 256 };

struct token_key {
    P11KitUri *uri;
    CK_FUNCTION_LIST *module;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;
    bool asks_always; /* for the PIN, before each signature */
    char pin[PIN_SIZE]; /* "": none */
};

/* Find the token and the key in it, and log in. False: error says why. */
bool key_find(struct token_key *key, char error[TLS_ERROR_SIZE]);
/* Log out of what key_find() found. */
void key_leave(struct token_key *key);
/* "WHAT failed: ..."; always false. */
bool key_say(char error[TLS_ERROR_SIZE], const char *what, CK_RV code);

#endif
