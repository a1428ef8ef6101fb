/*
 * TLS as a generation has it: the module, loaded when a blob first asks for it, and a context for each of the blob's
 * tls records, made of the files that the supervisor has opened. Everything that can be wrong with them is said here,
 * with the file, the directive and its line.
 */
#include "spcd.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MOST = 64 << 20, CONTEXT_BYTES = 64 << 20, SESSION_BYTES = 96 << 10 };

const struct tls_operations *tls;

/* ---- the module ---- */

/* It and its libraries see their own malloc() first, so that all their memory is what was set aside for them; and an
 * OpenSSL that something else brings does not disturb them. */
static bool
load(const struct blob *blob, u32 worker_count, const struct logger *logger)
{
    if (tls)
        return true;
#ifdef __SANITIZE_ADDRESS__
    const int how = 0;
#else
    const int how = RTLD_DEEPBIND;
#endif
    const struct tls_operations *found = module_open("spcd_tls.so", "tls_operations", how, logger);
    if (!found)
        return false;
    if (!found->memory_open(CONTEXT_BYTES + (size_t)SESSION_BYTES * blob->main[1].worker_connections * worker_count)) {
        log_write(logger, LEVEL_EMERG, 0, 0, "there is no memory for TLS");
        return false;
    }
    tls = found;
    return true;
}

/* ---- files ---- */

/* The content of a file record; what it names is open. False: it cannot be read. */
static bool
read_file(const struct surroundings *s, u32 index, struct tls_file *file)
{
    struct stat status;
    *file = (struct tls_file){0};
    if (!index)
        return true;
    if (fstat(s->file[index], &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > FILE_MOST)
        return false;
    char *data = calloc(1, (size_t)status.st_size + 1);
    while (data && file->size < (size_t)status.st_size) {
        ssize_t got = pread(s->file[index], data + file->size, (size_t)status.st_size - file->size, (off_t)file->size);
        if (got <= 0)
            break;
        file->size += (size_t)got;
    }
    file->data = data;
    return data && file->size == (size_t)status.st_size;
}

static void
free_file(struct tls_file *file)
{
    if (file->data)
        explicit_bzero((void *)(uintptr_t)file->data, file->size); /* it may be a key */
    free((void *)(uintptr_t)file->data);
}

/* ---- contexts ---- */

/* "proxy_ssl_certificate client.pem, stream.conf:12" for each file, since any of them may be to blame. */
static void
say(const struct surroundings *s, const struct logger *logger, u32 index, const char *error)
{
    const struct blob *blob = &s->mapping->blob;
    u32 files[FILES_OF_TLS];
    char text[1024] = "";
    size_t size = 0;
    files_of_tls(blob, &blob->tls[index], files);
    for (size_t i = 0; i < FILES_OF_TLS && size < sizeof text; i++) {
        const struct blob_origin *origin = files[i] ? blob_find_origin(blob, SECTION_file, files[i]) : NULL;
        const struct blob_file *file = &blob->file[files[i]];
        if (files[i])
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%s %s (%s:%u)", size ? ", " : " of ",
                                     blob_string(blob, file->directive), blob_string(blob, file->path),
                                     origin ? blob_string(blob, origin->file) : "?", origin ? origin->line : 0);
    }
    log_write(logger, LEVEL_EMERG, 0, 0, "%s%s", error, text);
}

/* The key in a token, if that is where it is; does it belong to the certificate? False: error says why not. */
static bool
open_key(const struct blob *blob, const struct blob_tls *record, const struct tls_file *passwords,
         const struct logger *logger, struct tls_shared *shared, char error[TLS_ERROR_SIZE])
{
    if (!record->token)
        return true;
    char *pin = passwords->data ? (char *)(uintptr_t)passwords->data : NULL;
    if (pin)
        pin[strcspn(pin, "\r\n")] = '\0';
    shared->key = signer_open(blob_string(blob, blob->token[record->token].uri), pin, logger, error);
    return shared->key && tls->check_key(shared->context, signer_sign, shared->key, error);
}

static bool
open_shared(const struct surroundings *s, u32 index, const struct logger *logger, struct tls_shared *shared)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_tls *record = &blob->tls[index];
    struct tls_settings settings = {.blob = blob, .record = record, .key_log = -1};
    u32 files[FILES_OF_TLS];
    bool good = false;
    char error[TLS_ERROR_SIZE] = "reading a file failed";
    files_of_tls(blob, record, files);
    u32 log = record->key_log ? surroundings_log(s, &blob->log[record->key_log]) : UINT32_MAX;
    if (log != UINT32_MAX)
        settings.key_log = s->log[log];
    if (read_file(s, record->certificate, &settings.certificate) && read_file(s, record->key, &settings.key) &&
        read_file(s, files[FILE_PASSWORDS], &settings.passwords) && read_file(s, record->trusted, &settings.trusted) &&
        read_file(s, record->crl, &settings.crl))
        good = (shared->context = tls->context_open(&settings, error)) &&
               open_key(blob, record, &settings.passwords, logger, shared, error);
    if (!good)
        say(s, logger, index, error);
    free_file(&settings.certificate);
    free_file(&settings.key);
    free_file(&settings.passwords);
    free_file(&settings.trusted);
    free_file(&settings.crl);
    return good;
}

bool
tls_open(const struct surroundings *s, const struct logger *logger, struct tls_shared **shared)
{
    const struct blob *blob = &s->mapping->blob;
    bool good = true;
    *shared = NULL;
    if (blob->tls_count == 1)
        return true;
    if (!load(blob, s->worker_count, logger) || !(*shared = calloc(blob->tls_count, sizeof **shared)))
        return false;
    for (u32 i = 1; i < blob->tls_count; i++)
        good &= open_shared(s, i, logger, &(*shared)[i]);
    if (good)
        return true;
    tls_close(blob, *shared);
    *shared = NULL;
    return false;
}

void
tls_close(const struct blob *blob, struct tls_shared *shared)
{
    for (u32 i = 1; shared && i < blob->tls_count; i++) {
        if (shared[i].context)
            tls->context_close(shared[i].context);
        if (shared[i].key)
            signer_close(shared[i].key);
    }
    free(shared);
}
