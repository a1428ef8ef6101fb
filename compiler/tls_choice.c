/*
 * What BoringSSL says of lists of ciphers, groups and signature algorithms: text in, yes or no out.
 */
#include "spcc.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static bool
ask(int (*set)(SSL_CTX *, const char *), const char *list)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    bool works = context != NULL && set(context, list) == 1;
    SSL_CTX_free(context);
    ERR_clear_error();
    return works;
}

bool
tls_ciphers_work(const char *list)
{
    return ask(SSL_CTX_set_cipher_list, list);
}

bool
tls_curves_work(const char *list)
{
    return ask(SSL_CTX_set1_curves_list, list);
}

bool
tls_signatures_work(const char *list)
{
    return ask(SSL_CTX_set1_sigalgs_list, list);
}
