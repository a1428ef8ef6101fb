/*
 * A URI in, a key in a token out (RFC 7512): which module, which token, which object. Modules are loaded once, and stay
 * for as long as the process lives, since tokens come and go.
 */
#include "key.h"

#include <stdio.h>
#include <string.h>

enum { SLOTS_MOST = 64, MODULES_MOST = 16, ATTRIBUTES_MOST = 8, PATH_SIZE = 4096 };

bool
key_say(char error[TLS_ERROR_SIZE], const char *what, CK_RV code)
{
    snprintf(error, TLS_ERROR_SIZE, "%s failed: %s", what, p11_kit_strerror(code));
    return false;
}

/* ---- modules ---- */

/* The module at path, which the URI names; NULL: it cannot be loaded. */
static CK_FUNCTION_LIST *
load_named(const char *path)
{
    static struct {
        CK_FUNCTION_LIST *module;
        char path[PATH_SIZE];
    } loaded[MODULES_MOST];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(loaded[i].path, path) == 0)
            return loaded[i].module;
    CK_FUNCTION_LIST *module = count < MODULES_MOST && strlen(path) < PATH_SIZE ? p11_kit_module_load(path, 0) : NULL;
    if (!module || p11_kit_module_initialize(module) != CKR_OK)
        return NULL;
    strcpy(loaded[count].path, path);
    loaded[count++].module = module;
    return module;
}

/* Those of the system (pkcs11.conf(5)), up to NULL; NULL: there is none. */
static CK_FUNCTION_LIST **
load_configured(void)
{
    static CK_FUNCTION_LIST **modules;
    if (!modules)
        modules = p11_kit_modules_load_and_initialize(0);
    return modules;
}

static bool
is_module(P11KitUri *uri, CK_FUNCTION_LIST *module)
{
    CK_INFO info;
    return module->C_GetInfo(&info) == CKR_OK && p11_kit_uri_match_module_info(uri, &info);
}

/* ---- tokens ---- */

static bool
is_slot(P11KitUri *uri, CK_FUNCTION_LIST *module, CK_SLOT_ID slot, CK_TOKEN_INFO *token)
{
    CK_SLOT_INFO info;
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);
    return (wanted == (CK_SLOT_ID)-1 || wanted == slot) && module->C_GetSlotInfo(slot, &info) == CKR_OK &&
           p11_kit_uri_match_slot_info(uri, &info) && module->C_GetTokenInfo(slot, token) == CKR_OK &&
           p11_kit_uri_match_token_info(uri, token);
}

static bool
log_in(struct token_key *key, const CK_TOKEN_INFO *token, char error[TLS_ERROR_SIZE])
{
    if (!(token->flags & CKF_LOGIN_REQUIRED))
        return true;
    if (!key->pin[0]) {
        snprintf(error, TLS_ERROR_SIZE, "the token wants a PIN: name a file that has it, pin-source=FILE");
        return false;
    }
    CK_RV code = key->module->C_Login(key->session, CKU_USER, (u8 *)key->pin, strlen(key->pin));
    return code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN || key_say(error, "C_Login()", code);
}

/* ---- objects ---- */

static bool
asks_always(const struct token_key *key)
{
    CK_BBOOL always = CK_FALSE;
    CK_ATTRIBUTE attribute = {CKA_ALWAYS_AUTHENTICATE, &always, sizeof always};
    return key->module->C_GetAttributeValue(key->session, key->object, &attribute, 1) == CKR_OK && always;
}

/* Exactly one private key. */
static bool
find_object(struct token_key *key, char error[TLS_ERROR_SIZE])
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[ATTRIBUTES_MOST + 1] = {{CKA_CLASS, &class, sizeof class}};
    CK_ULONG count, found = 0;
    CK_OBJECT_HANDLE object[2];
    const CK_ATTRIBUTE *named = p11_kit_uri_get_attributes(key->uri, &count);
    CK_ULONG used = 1;
    for (CK_ULONG i = 0; i < count && used <= ATTRIBUTES_MOST; i++)
        if (named[i].type != CKA_CLASS)
            wanted[used++] = named[i];
    CK_RV code = key->module->C_FindObjectsInit(key->session, wanted, used);
    if (code != CKR_OK)
        return key_say(error, "C_FindObjectsInit()", code);
    code = key->module->C_FindObjects(key->session, object, 2, &found);
    key->module->C_FindObjectsFinal(key->session);
    if (code != CKR_OK)
        return key_say(error, "C_FindObjects()", code);
    key->object = object[0];
    key->asks_always = found == 1 && asks_always(key);
    if (found != 1)
        snprintf(error, TLS_ERROR_SIZE, "%s in the token is what the URI names",
                 found ? "more than one private key" : "no private key");
    return found == 1;
}

static bool
try_slot(struct token_key *key, CK_SLOT_ID slot, const CK_TOKEN_INFO *token, char error[TLS_ERROR_SIZE])
{
    CK_RV code = key->module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &key->session);
    if (code != CKR_OK)
        return key_say(error, "C_OpenSession()", code);
    if (log_in(key, token, error) && find_object(key, error))
        return true;
    key->module->C_CloseSession(key->session);
    return false;
}

static bool
try_module(struct token_key *key, CK_FUNCTION_LIST *module, char error[TLS_ERROR_SIZE])
{
    CK_SLOT_ID slot[SLOTS_MOST];
    CK_ULONG count = SLOTS_MOST, now;
    if (!is_module(key->uri, module) || module->C_GetSlotList(CK_TRUE, NULL, &now) != CKR_OK || /* it looks again */
        module->C_GetSlotList(CK_TRUE, slot, &count) != CKR_OK)
        return false;
    key->module = module;
    bool found = false;
    for (CK_ULONG i = 0; i < count && !found; i++) {
        CK_TOKEN_INFO token;
        found = is_slot(key->uri, module, slot[i], &token) && try_slot(key, slot[i], &token, error);
    }
    return found;
}

bool
key_find(struct token_key *key, char error[TLS_ERROR_SIZE])
{
    const char *path = p11_kit_uri_get_module_path(key->uri);
    snprintf(error, TLS_ERROR_SIZE, "there is no such token");
    if (path) {
        CK_FUNCTION_LIST *module = load_named(path);
        if (!module)
            snprintf(error, TLS_ERROR_SIZE, "the module %s cannot be loaded: %s", path, p11_kit_message());
        return module && try_module(key, module, error);
    }
    bool found = false;
    for (CK_FUNCTION_LIST **module = load_configured(); module && *module && !found; module++)
        found = try_module(key, *module, error);
    return found;
}

void
key_leave(struct token_key *key)
{
    key->module->C_CloseSession(key->session);
}
