/*
 * A PKCS#11 module that is SoftHSM's, but for one thing: a signature takes SLOW_TOKEN_MS milliseconds longer.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <unistd.h>

static CK_FUNCTION_LIST slow;
static CK_FUNCTION_LIST_PTR real;

static CK_RV
sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR signature, CK_ULONG_PTR signature_size)
{
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
    *list = &slow;
    return CKR_OK;
}
