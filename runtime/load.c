/*
 * A file becomes a blob in memory: mapped, verified whole, from then on trusted.
 */
#include "spcd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void *
map_file(int fd, size_t *size, char error[BLOB_ERROR_SIZE])
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
        snprintf(error, BLOB_ERROR_SIZE, "it is not a file with something in it");
        return NULL;
    }
    *size = (size_t)status.st_size;
    void *base = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
        snprintf(error, BLOB_ERROR_SIZE, "it cannot be mapped: %s", strerror(errno));
        return NULL;
    }
    return base;
}

struct mapping *
mapping_open(int fd, char error[BLOB_ERROR_SIZE])
{
    size_t size = 0;
    void *base = map_file(fd, &size, error);
    struct mapping *mapping = base ? calloc(1, sizeof *mapping) : NULL;
    if (base && !mapping)
        snprintf(error, BLOB_ERROR_SIZE, "there is no memory for it");
    if (mapping && blob_open(&mapping->blob, base, size, error)) {
        mapping->fd = fd;
        mapping->users = 1;
        return mapping;
    }
    free(mapping);
    if (base)
        munmap(base, size);
    close(fd);
    return NULL;
}

struct mapping *
mapping_share(struct mapping *mapping)
{
    mapping->users++;
    return mapping;
}

void
mapping_close(struct mapping *mapping)
{
    if (--mapping->users > 0)
        return;
    munmap((void *)(uintptr_t)mapping->blob.base, mapping->blob.size);
    close(mapping->fd);
    free(mapping);
}
