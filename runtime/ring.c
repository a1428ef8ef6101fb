/*
 * error_log memory:SIZE: lines in a ring. It is a file in memory, held by the supervisor, so that what a server wrote
 * is there when the server has died, and anybody who may can read it while it is written:
 *
 *     ls -l /proc/$(cat spcd.pid)/fd | grep memfd:error_log
 *     cat /proc/$(cat spcd.pid)/fd/N
 *
 * Where the next line goes is the offset of the descriptor, which all processes and threads share. Behind the newest
 * line stands what is left of an old one.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct ring {
    struct ring *next;
    char *name;
    int fd;
} *rings;

static struct ring *
make(const char *name)
{
    struct ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return NULL;
    ring->name = strdup(name);
    ring->fd = memfd_create("error_log", MFD_CLOEXEC);
    if (ring->fd < 0 || !ring->name) {
        if (ring->fd >= 0)
            close(ring->fd);
        free(ring->name);
        free(ring);
        return NULL;
    }
    ring->next = rings;
    rings = ring;
    return ring;
}

int
ring_open(const char *name)
{
    struct ring *ring = rings;
    while (ring && strcmp(ring->name, name) != 0)
        ring = ring->next;
    if (!ring)
        ring = make(name);
    return ring ? fcntl(ring->fd, F_DUPFD_CLOEXEC, 0) : -1;
}

void
ring_write(int fd, u32 size, const void *line, size_t length)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || (size_t)at + length > size)
        lseek(fd, 0, SEEK_SET);
    (void)!write(fd, line, length);
}
