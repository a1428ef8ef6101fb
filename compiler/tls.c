/*
 * Certificates and keys in files, as BoringSSL reads them: the same library that spcd will read them with. Paths come
 * in; answers to the questions of certificate.c go out. Nothing here runs without --check-certs.
 */
#include "spcc.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct tls_certificates {
    STACK_OF(X509) *stack;
};

/* Without the mark of byte order that editors leave before the first letter. NULL: it cannot be opened. */
static BIO *
open_file(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    char start[3];
    bool marked = file != NULL && BIO_read(file, start, sizeof start) == sizeof start &&
                  memcmp(start, "\xEF\xBB\xBF", sizeof start) == 0;
    if (file != NULL && !marked)
        (void)BIO_reset(file);
    return file;
}

/* ---- certificates ---- */

struct tls_certificates *
tls_open(const char *path)
{
    struct tls_certificates *certificates = calloc(1, sizeof *certificates);
    BIO *file = open_file(path);
    if (certificates != NULL && file != NULL)
        certificates->stack = sk_X509_new_null();
    for (X509 *one; certificates != NULL && certificates->stack != NULL &&
                    (one = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL)) != NULL;)
        sk_X509_push(certificates->stack, one);
    u32 last = ERR_peek_last_error();
    bool whole = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE; /* nothing follows */
    ERR_clear_error();
    BIO_free(file);
    if (whole && certificates != NULL && tls_count(certificates) > 0)
        return certificates;
    tls_close(certificates);
    return NULL;
}

void
tls_close(struct tls_certificates *certificates)
{
    if (certificates != NULL && certificates->stack != NULL)
        sk_X509_pop_free(certificates->stack, X509_free);
    free(certificates);
}

u32
tls_count(const struct tls_certificates *certificates)
{
    return certificates->stack != NULL ? (u32)sk_X509_num(certificates->stack) : 0;
}

/* A time as 2026-01-31. */
static void
print_date(const ASN1_TIME *time, char date[TLS_DATE_SIZE])
{
    ASN1_GENERALIZEDTIME *general = ASN1_TIME_to_generalizedtime(time, NULL);
    const char *digits = general != NULL ? (const char *)ASN1_STRING_get0_data(general) : "????????";
    snprintf(date, TLS_DATE_SIZE, "%.4s-%.2s-%.2s", digits, digits + 4, digits + 6);
    ASN1_GENERALIZEDTIME_free(general);
}

enum tls_period
tls_period(const struct tls_certificates *certificates, u32 index, char date[TLS_DATE_SIZE])
{
    const X509 *one = sk_X509_value(certificates->stack, index);
    const ASN1_TIME *from = X509_get0_notBefore(one), *until = X509_get0_notAfter(one);
    bool early = X509_cmp_time(from, NULL) > 0; /* NULL: now */
    bool over = X509_cmp_time(until, NULL) <= 0;
    print_date(early ? from : until, date);
    return early ? TLS_EARLY : over ? TLS_OVER : TLS_NOW;
}

bool
tls_covers(const struct tls_certificates *certificates, const char *host)
{
    return X509_check_host(sk_X509_value(certificates->stack, 0), host, strlen(host), 0, NULL) == 1;
}

/* ---- keys ---- */

/* The passphrase to be tried, and whether one was asked for. */
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
    if (passphrase->text == NULL || passphrase->size > (size_t)size)
        return -1;
    memcpy(buffer, passphrase->text, passphrase->size);
    return (int)passphrase->size;
}

static EVP_PKEY *
read_key(const char *path, struct passphrase *passphrase)
{
    BIO *file = open_file(path);
    EVP_PKEY *key = file != NULL ? PEM_read_bio_PrivateKey(file, NULL, give_passphrase, passphrase) : NULL;
    BIO_free(file);
    ERR_clear_error();
    return key;
}

/* The key with the first passphrase of the lines that opens it. */
static EVP_PKEY *
unlock_key(const char *path, const char *lines)
{
    EVP_PKEY *key = NULL;
    while (key == NULL && *lines != '\0') {
        struct passphrase passphrase = {.text = lines, .size = strcspn(lines, "\r\n")};
        key = read_key(path, &passphrase);
        lines += passphrase.size;
        lines += strspn(lines, "\r\n");
    }
    return key;
}

enum tls_key
tls_key(const struct tls_certificates *certificates, const char *path, const char *passphrases)
{
    struct passphrase none = {0};
    EVP_PKEY *key = read_key(path, &none);
    if (key == NULL && none.asked && passphrases != NULL)
        key = unlock_key(path, passphrases);
    if (key == NULL)
        return none.asked ? TLS_KEY_LOCKED : TLS_KEY_MALFORMED;
    bool fits = X509_check_private_key(sk_X509_value(certificates->stack, 0), key) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return fits ? TLS_KEY_FITS : TLS_KEY_OTHER;
}
