/*
 * A PKCS#11 module that is SoftHSM's, but for this: a signature takes SLOW_TOKEN_MS milliseconds longer; and the token
 * is pulled out while the file SLOW_TOKEN_PULLED is there. Who has come or gone is seen by who asks how many there are
 * (C_GetSlotList() without a list), as the standard has it (version 2.40, section 5.5).
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static CK_FUNCTION_LIST slow;
static CK_FUNCTION_LIST_PTR real;
static bool seen;

static bool
is_pulled(void)
{
    const char *path = getenv("SLOW_TOKEN_PULLED");
    return path && access(path, F_OK) == 0;
}

static CK_RV
list_slots(CK_BBOOL with_token, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
    if (!slots)
        seen = !is_pulled();
    if (seen)
        return real->C_GetSlotList(with_token, slots, count);
    *count = 0;
    return CKR_OK;
}

static CK_RV
sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR signature, CK_ULONG_PTR signature_size)
{
    if (is_pulled())
        return CKR_DEVICE_REMOVED;
    const char *delay = getenv("SLOW_TOKEN_MS");
    usleep((useconds_t)atoi(delay ? delay : "0") * 1000);
    return real->C_Sign(session, data, size, signature, signature_size);
}

CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    void *library = dlopen(getenv("SLOW_TOKEN_OF"), RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR) = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!get || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    slow = *real;
    slow.C_Sign = sign;
    slow.C_GetSlotList = list_slots;
    *list = &slow;
    return CKR_OK;
}
