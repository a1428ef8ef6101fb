/*
 * Files that a generation reads when it opens, which privilege may be needed for: certificates, keys, and what belongs
 * to them. They are opened here, and looked at from time to time if the configuration asks for it: a change is a reload
 * of the same blob.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe can be read once only: what it holds is kept, so that a server that is started again finds it. */
static int
keep_content(int fd)
{
    u8 data[4096];
    int kept = memfd_create("file", MFD_CLOEXEC);
    for (ssize_t got; kept >= 0 && (got = read(fd, data, sizeof data)) > 0;)
        if (write(kept, data, (size_t)got) != got)
            break;
    close(fd);
    return kept;
}

static struct file_mark
mark_of(const struct stat *status)
{
    return (struct file_mark){status->st_dev, status->st_ino, status->st_size, status->st_mtim};
}

static int
open_file(const char *path, struct file_mark *mark)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return fd;
    *mark = mark_of(&status);
    return S_ISFIFO(status.st_mode) ? keep_content(fd) : fd;
}

bool
files_open(struct surroundings *s, const struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    for (u32 i = 1; i < blob->file_count; i++) {
        const char *path = blob_string(blob, blob->file[i].path);
        s->file[i] = open_file(path, &s->mark[i]);
        if (s->file[i] < 0) {
            int error = errno;
            const struct blob_origin *origin = blob_find_origin(blob, SECTION_file, i);
            log_write(logger, LEVEL_EMERG, 0, error, "open() %s of %s, %s:%u, failed", path,
                      blob_string(blob, blob->file[i].directive), origin ? blob_string(blob, origin->file) : "",
                      origin ? origin->line : 0);
            return false;
        }
        s->seen[i] = s->mark[i];
    }
    return true;
}

void
files_of_tls(const struct blob *blob, const struct blob_tls *record, u32 file[FILES_OF_TLS])
{
    u32 pin = blob->token[record->token].pin;
    file[FILE_CERTIFICATE] = record->certificate;
    file[FILE_KEY] = record->key;
    file[FILE_PASSWORDS] = pin ? pin : record->passwords;
    file[FILE_TRUSTED] = record->trusted;
    file[FILE_CRL] = record->crl;
}

/* ---- watching ---- */

bool *
files_watched(const struct blob *blob)
{
    bool *watched = calloc(blob->file_count, sizeof *watched);
    for (u32 i = 1; watched && i < blob->tls_count; i++) {
        u32 file[FILES_OF_TLS];
        files_of_tls(blob, &blob->tls[i], file);
        for (u32 j = 0; j < FILES_OF_TLS && blob->tls[i].flags & TLS_RELOAD; j++)
            watched[file[j]] = file[j] != 0;
    }
    return watched;
}

bool
files_are_watched(const struct surroundings *s)
{
    bool watched = false;
    for (u32 i = 1; i < s->mapping->blob.file_count && !watched; i++)
        watched = s->watched[i];
    return watched;
}

static bool
is_same(const struct file_mark *a, const struct file_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->written.tv_sec == b->written.tv_sec && a->written.tv_nsec == b->written.tv_nsec;
}

/* Whoever writes a file may not be done yet: a change counts when it has lasted from one look to the next. What is not
 * there now may be about to be replaced. */
static bool
has_changed(struct surroundings *s, u32 file)
{
    struct stat status;
    if (stat(blob_string(&s->mapping->blob, s->mapping->blob.file[file].path), &status) != 0 ||
        S_ISFIFO(status.st_mode))
        return false;
    struct file_mark now = mark_of(&status);
    bool lasts = is_same(&now, &s->seen[file]), changed = lasts && !is_same(&now, &s->mark[file]);
    s->seen[file] = now;
    if (changed)
        s->mark[file] = now; /* if it cannot be used, it is tried again when it changes again */
    return changed;
}

bool
files_have_changed(struct surroundings *s)
{
    bool changed = false;
    for (u32 i = 1; i < s->mapping->blob.file_count; i++)
        changed |= s->watched[i] && has_changed(s, i);
    return changed;
}
