/*
 * What a supervisor sends before an order: descriptors, gathered until the order says what they are for. They come in
 * the order in which the blob names what they are of. The system leaves out of a message what this process has no
 * descriptors for; then the order is not obeyed, and everything stays as it was.
 */
#include "spcd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list {
    int *fd;
    u32 count;
};

static struct {
    int blob; /* -1: none */
    struct list sockets, logs, files;
} incoming = {.blob = -1};

static void
close_all(const int *fd, u32 count)
{
    for (u32 i = 0; i < count; i++)
        close(fd[i]);
}

static void
append(struct list *list, const int *fd, u32 count)
{
    if (count == 0)
        return;
    int *grown = realloc(list->fd, (list->count + count) * sizeof *grown);
    if (!grown) { /* they are missed when the order comes */
        close_all(fd, count);
        return;
    }
    memcpy(grown + list->count, fd, count * sizeof *fd);
    *list = (struct list){grown, list->count + count};
}

void
incoming_add(int kind, const int *fd, u32 count)
{
    if (kind == MESSAGE_BLOB && count > 0)
        incoming.blob = fd[0];
    else if (kind == MESSAGE_SOCKETS)
        append(&incoming.sockets, fd, count);
    else if (kind == MESSAGE_LOGS)
        append(&incoming.logs, fd, count);
    else if (kind == MESSAGE_FILES)
        append(&incoming.files, fd, count);
}

static void
move(struct list *list, int *to)
{
    if (list->count > 0)
        memcpy(to, list->fd, list->count * sizeof *to);
    list->count = 0;
}

static void
drop(struct list *list)
{
    close_all(list->fd, list->count);
    free(list->fd);
    *list = (struct list){0};
}

/* What nobody has taken is closed. */
static void
drop_all(void)
{
    if (incoming.blob >= 0)
        close(incoming.blob);
    incoming.blob = -1;
    drop(&incoming.sockets);
    drop(&incoming.logs);
    drop(&incoming.files);
}

/* ---- a new configuration ---- */

/* All that the blob asks for is there, or nothing is taken. */
static bool
fill(struct surroundings *s)
{
    u32 files = s->mapping->blob.file_count - 1;
    if (s->socket_count != incoming.sockets.count || s->log_count != incoming.logs.count ||
        files != incoming.files.count)
        return false;
    move(&incoming.sockets, s->socket);
    move(&incoming.logs, s->log);
    move(&incoming.files, s->file + 1);
    return true;
}

static struct mapping *
map_blob(const struct logger *logger)
{
    char error[BLOB_ERROR_SIZE] = "no descriptor is left for it";
    struct mapping *mapping = incoming.blob >= 0 ? mapping_open(incoming.blob, error) : NULL;
    incoming.blob = -1; /* the mapping's, or closed */
    if (!mapping)
        log_write(logger, LEVEL_EMERG, 0, 0, "the blob cannot be used: %s", error);
    return mapping;
}

static struct surroundings *
make(const struct logger *logger)
{
    struct mapping *mapping = map_blob(logger);
    struct surroundings *s = mapping ? surroundings_new(mapping, logger) : NULL;
    if (!s || fill(s))
        return s;
    log_write(logger, LEVEL_EMERG, 0, 0, "no descriptors, or no memory for them, are left for the new configuration");
    surroundings_close(s, NULL);
    return NULL;
}

struct surroundings *
incoming_surroundings(const struct generation *current)
{
    struct surroundings *s = make(&current->logger);
    if (s)
        surroundings_adopt(s, current->surroundings);
    drop_all();
    return s;
}

/* ---- logs opened anew ---- */

void
incoming_reopen(const struct generation *current)
{
    const struct surroundings *s = current->surroundings;
    const struct list *logs = &incoming.logs;
    bool whole = logs->count == s->log_count;
    for (u32 i = 0; i < s->log_count && whole; i++)
        log_file_reopen(s->log_path[i], logs->fd[i]);
    if (whole) {
        incoming.logs.count = 0; /* they are taken */
        log_cache_reopen();
    } else {
        log_write(&current->logger, LEVEL_EMERG, 0, 0,
                  "no descriptors, or no memory for them, are left for the logs, which stay as they were");
    }
    drop_all();
}
