/*
 * What a blob needs of the system and privilege may be needed for: listening sockets (socket.c makes one), log files,
 * and those of files.c. They are opened here, in the supervisor, and only used elsewhere. The arrays stand in the
 * blob's own order, so both processes agree on them by looking at the blob. A socket that an older one has too stays
 * the same.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- layout ---- */

static u32
count_workers(const struct blob_main *main)
{
    if (main->worker_processes)
        return main->worker_processes;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus < WORKERS_MAX ? (u32)cpus : WORKERS_MAX;
}

static u32
sockets_of(const struct surroundings *s, const struct blob_listener *listener)
{
    /* The system then gives all datagrams of a client to one worker. */
    return listener->flags & (LISTENER_REUSEPORT | LISTENER_UDP) ? s->worker_count : 1;
}

u32
surroundings_socket(const struct surroundings *s, u32 listener, u32 worker)
{
    return s->first_socket[listener] + worker % sockets_of(s, &s->mapping->blob.listener[listener]);
}

static u32
find_path(const struct surroundings *s, const char *path)
{
    for (u32 i = 0; i < s->log_count; i++)
        if (strcmp(s->log_path[i], path) == 0)
            return i;
    return UINT32_MAX;
}

/* Does the log need a descriptor that is opened here? */
static bool
is_opened(const struct blob_log *record)
{
    return record->sink == SINK_FILE || record->sink == SINK_MEMORY;
}

u32
surroundings_log(const struct surroundings *s, const struct blob_log *record)
{
    return is_opened(record) ? find_path(s, blob_string(&s->mapping->blob, record->path)) : UINT32_MAX;
}

static int *
new_fds(u32 count)
{
    int *fd = malloc((count + 1) * sizeof *fd);
    for (u32 i = 0; fd && i <= count; i++)
        fd[i] = -1;
    return fd;
}

/* The places of the sockets and of the logs. */
static void
lay_out(struct surroundings *s)
{
    const struct blob *blob = &s->mapping->blob;
    for (u32 i = 1; i < blob->listener_count; i++) {
        s->first_socket[i] = s->socket_count;
        s->socket_count += sockets_of(s, &blob->listener[i]);
    }
    for (u32 i = 1; i < blob->log_count; i++) {
        const char *path = blob_string(blob, blob->log[i].path);
        if (is_opened(&blob->log[i]) && find_path(s, path) == UINT32_MAX)
            s->log_path[s->log_count++] = path;
    }
}

/* False: there is no memory. */
static bool
make_room(struct surroundings *s)
{
    const struct blob *blob = &s->mapping->blob;
    s->first_socket = calloc(blob->listener_count, sizeof *s->first_socket);
    s->log_path = calloc(blob->log_count, sizeof *s->log_path);
    if (!s->first_socket || !s->log_path)
        return false;
    lay_out(s);
    s->socket = new_fds(s->socket_count);
    s->log = new_fds(s->log_count);
    s->sink = new_fds(blob->main[1].log_count);
    s->file = new_fds(blob->file_count);
    s->mark = calloc(blob->file_count, sizeof *s->mark);
    s->seen = calloc(blob->file_count, sizeof *s->seen);
    s->watched = files_watched(blob);
    return s->socket && s->log && s->sink && s->file && s->mark && s->seen && s->watched;
}

static void
free_all(struct surroundings *s)
{
    mapping_close(s->mapping);
    free(s->file);
    free(s->mark);
    free(s->seen);
    free(s->watched);
    free(s->socket);
    free(s->first_socket);
    free(s->log);
    free(s->sink);
    free(s->log_path);
    free(s);
}

struct surroundings *
surroundings_new(struct mapping *mapping, const struct logger *logger)
{
    struct surroundings *s = calloc(1, sizeof *s);
    if (s)
        *s = (struct surroundings){.mapping = mapping, .worker_count = count_workers(&mapping->blob.main[1])};
    if (s && make_room(s))
        return s;
    log_write(logger, LEVEL_EMERG, 0, errno, "no memory for a configuration");
    if (s)
        free_all(s);
    else
        mapping_close(mapping);
    return NULL;
}

/* ---- listening sockets ---- */

static bool
is_same(const struct blob *one, const struct blob_listener *a, const struct blob *other, const struct blob_listener *b)
{
    const u32 flags = LISTENER_IPV6ONLY | LISTENER_MULTIPATH | LISTENER_UDP;
    const char *text = blob_string(one, one->address[a->address].text);
    return ((a->flags ^ b->flags) & flags) == 0 &&
           strcmp(text, blob_string(other, other->address[b->address].text)) == 0;
}

/* The socket that old has for the same address and worker, -1 if none. Listeners of two blobs stand mostly in the same
 * order, so the search begins where the last one ended, at *at. */
static int
find_socket(const struct surroundings *old, const struct blob *blob, const struct blob_listener *listener, u32 worker,
            u32 *at)
{
    u32 count = old ? old->mapping->blob.listener_count : 0;
    for (u32 tried = 1; tried < count; tried++, ++*at) {
        if (*at == 0 || *at >= count)
            *at = 1;
        const struct blob_listener *candidate = &old->mapping->blob.listener[*at];
        if (is_same(blob, listener, &old->mapping->blob, candidate) && worker < sockets_of(old, candidate))
            return old->socket[old->first_socket[*at] + worker];
    }
    return -1;
}

static bool
open_sockets(struct surroundings *s, const struct surroundings *old, bool test, const struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    u32 place = 0, at = 1;
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_listener *listener = &blob->listener[i];
        for (u32 worker = 0; worker < sockets_of(s, listener); worker++, place++) {
            int kept = find_socket(old, blob, listener, worker, &at);
            s->socket[place] = kept >= 0 ? kept : socket_open(s, listener, worker, test, logger);
            if (s->socket[place] < 0)
                return false;
            if (kept >= 0)
                socket_change(kept, listener, s->worker_count);
        }
    }
    return true;
}

/* ---- log files ---- */

/* What the records say of the log at that place in log[]. */
struct kind {
    bool secret, memory;
};

static struct kind
kind_of(const struct surroundings *s, u32 log)
{
    const struct blob *blob = &s->mapping->blob;
    struct kind kind = {0};
    for (u32 i = 1; i < blob->log_count; i++)
        if (surroundings_log(s, &blob->log[i]) == log) {
            kind.secret |= (blob->log[i].flags & LOG_SECRET) != 0;
            kind.memory |= blob->log[i].sink == SINK_MEMORY;
        }
    return kind;
}

int
surroundings_open_log(const struct surroundings *s, u32 log, const struct logger *logger)
{
    struct kind kind = kind_of(s, log);
    const char *path = s->log_path[log];
    int fd = kind.memory ? ring_open(path) : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                                                  kind.secret ? 0600 : 0644);
    if (fd < 0)
        log_write(logger, LEVEL_EMERG, 0, errno, "open() %s failed", path);
    return fd;
}

bool
surroundings_open_logs(struct surroundings *s, const struct logger *logger)
{
    for (u32 i = 0; i < s->log_count; i++) {
        int fd = surroundings_open_log(s, i, logger);
        if (fd < 0)
            return false;
        if (s->log[i] >= 0)
            close(s->log[i]);
        s->log[i] = fd;
    }
    return true;
}

/* Where a sink of the main context is written to. A syslog whose host is not found loses lines; the server says so. */
static int
open_sink(const struct surroundings *s, const struct blob_log *sink)
{
    const char *why;
    u32 place = surroundings_log(s, sink);
    if (sink->sink == SINK_SYSLOG)
        return syslog_open(&s->mapping->blob, sink, &why);
    return place == UINT32_MAX ? STDERR_FILENO : s->log[place];
}

void
surroundings_logger(const struct surroundings *s, struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_main *main = &blob->main[1];
    for (u32 i = 0; i < logger->count; i++)
        if (logger->sink[i].sink == SINK_SYSLOG && logger->fd[i] >= 0)
            close(logger->fd[i]);
    *logger = log_default;
    if (main->log_count == 0)
        return;
    *logger = (struct logger){.blob = blob, .sink = &blob->log[main->log], .fd = s->sink, .count = main->log_count};
    for (u32 i = 0; i < main->log_count; i++) {
        s->sink[i] = open_sink(s, &logger->sink[i]);
        if (logger->sink[i].level > logger->level)
            logger->level = logger->sink[i].level;
    }
}

/* ---- whole ---- */

bool
surroundings_open(struct surroundings *s, const struct surroundings *old, bool test, const struct logger *logger)
{
    return surroundings_open_logs(s, logger) && files_open(s, logger) && open_sockets(s, old, test, logger);
}

void
surroundings_adopt(struct surroundings *s, const struct surroundings *old)
{
    const struct blob *blob = &s->mapping->blob;
    u32 place = 0, at = 1;
    for (u32 i = 1; i < blob->listener_count; i++)
        for (u32 worker = 0; worker < sockets_of(s, &blob->listener[i]); worker++, place++) {
            int kept = find_socket(old, blob, &blob->listener[i], worker, &at);
            if (kept >= 0 && kept != s->socket[place]) {
                close(s->socket[place]);
                s->socket[place] = kept;
            }
        }
}

/* As above: the search begins where the last one ended. */
static bool
has_socket(const struct surroundings *s, int fd, u32 *at)
{
    for (u32 tried = 0; s && tried < s->socket_count; tried++, ++*at) {
        if (*at >= s->socket_count)
            *at = 0;
        if (s->socket[*at] == fd)
            return true;
    }
    return false;
}

bool
surroundings_has_sockets(const struct surroundings *s)
{
    bool has = false;
    for (u32 i = 0; i < s->socket_count && !has; i++)
        has = s->socket[i] >= 0;
    return has;
}

void
surroundings_close_listeners(struct surroundings *s, const struct surroundings *kept)
{
    const struct blob *blob = &s->mapping->blob;
    u32 place = 0, at = 0, same = 1;
    for (u32 i = 1; i < blob->listener_count; i++)
        for (u32 worker = 0; worker < sockets_of(s, &blob->listener[i]); worker++, place++) {
            bool shared = has_socket(kept, s->socket[place], &at), udp = blob->listener[i].flags & LISTENER_UDP;
            if (!shared && udp && find_socket(kept, blob, &blob->listener[i], 0, &same) >= 0)
                socket_deafen(s->socket[place]); /* of a worker that kept has no need for */
            if (!shared && udp)
                continue;
            if (!shared && s->socket[place] >= 0)
                close(s->socket[place]);
            s->socket[place] = -1;
        }
}

void
surroundings_close_sockets(struct surroundings *s, const struct surroundings *kept)
{
    u32 at = 0;
    for (u32 i = 0; i < s->socket_count; i++) {
        if (s->socket[i] >= 0 && !has_socket(kept, s->socket[i], &at))
            close(s->socket[i]);
        s->socket[i] = -1;
    }
}

void
surroundings_close(struct surroundings *s, const struct surroundings *kept)
{
    surroundings_close_sockets(s, kept);
    for (u32 i = 0; i < s->log_count; i++)
        if (s->log[i] >= 0)
            close(s->log[i]);
    for (u32 i = 1; i < s->mapping->blob.file_count; i++)
        if (s->file[i] >= 0)
            close(s->file[i]);
    free_all(s);
}

void
surroundings_unlink(const struct surroundings *s, const struct surroundings *kept)
{
    const struct blob *blob = &s->mapping->blob;
    u32 at = 1;
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_address *address = &blob->address[blob->listener[i].address];
        const char *path = blob_string(blob, address->path);
        if (address->family == FAMILY_UNIX && path[0] != '@' && s->socket[s->first_socket[i]] >= 0 &&
            find_socket(kept, blob, &blob->listener[i], 0, &at) < 0)
            unlink(path);
    }
}
