/*
 * Bytes to files: whole or not at all. What the bytes are is for others.
 */
#include "spcc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool
output_write(int fd, const void *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        data = (const u8 *)data + done;
        size -= (size_t)done;
    }
    return true;
}

const char *
output_send(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && output_write(fd, data, size);
    int error = errno;
    if (fd >= 0)
        close(fd);
    return good ? NULL : strerror(error);
}

/* Give fd the owner and the permissions of like. Only root may give a file away: for others it becomes theirs. */
static bool
take_after(int fd, const struct stat *like)
{
    if (like == NULL)
        return fchmod(fd, 0644) == 0;
    if (fchown(fd, like->st_uid, like->st_gid) != 0 && errno != EPERM)
        return false;
    return fchmod(fd, like->st_mode & 07777) == 0;
}

/* A new file takes the place of the old one at once; who has the old one open or mapped keeps it. */
static const char *
replace(struct unit *unit, const char *path, const void *data, size_t size, const struct stat *like)
{
    const char *slash = strrchr(path, '/');
    int directory_size = slash != NULL ? (int)(slash - path + 1) : 0;
    char *temporary = arena_print(&unit->arena, "%.*s.%s.######", directory_size, path, path + directory_size);
    memset(temporary + strlen(temporary) - 6, 'X', 6); /* as mkostemp() wants it */
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return strerror(errno);
    bool good = output_write(fd, data, size) && take_after(fd, like) && fsync(fd) == 0;
    int error = errno;
    close(fd);
    if (good && rename(temporary, path) == 0)
        return NULL;
    error = good ? errno : error;
    unlink(temporary);
    return strerror(error);
}

const char *
output_replace(struct unit *unit, const char *path, const void *data, size_t size, const struct stat *like)
{
    char *real = realpath(path, NULL); /* of a symbolic link, the file is replaced */
    const char *error = replace(unit, real != NULL ? real : path, data, size, like);
    free(real);
    return error;
}
