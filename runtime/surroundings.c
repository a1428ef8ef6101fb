/*
 * What a blob needs of the system and privilege may be needed for: listening sockets and log files. They
 * are opened here, in the supervisor, and only used elsewhere. The arrays stand in the blob's own order, so
 * both processes agree on them by looking at the blob.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { BIND_TRIES = 5, BIND_PAUSE_US = 500 * 1000 }; /* nginx's patience with an address still in use */

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
    if (!fd)
        die("no memory for %u descriptors", count);
    for (u32 i = 0; i <= count; i++)
        fd[i] = -1;
    return fd;
}

struct surroundings *
surroundings_new(struct mapping *mapping)
{
    const struct blob *blob = &mapping->blob;
    struct surroundings *s = calloc(1, sizeof *s);
    const char **paths = calloc(blob->log_count, sizeof *paths);
    u32 *first_socket = calloc(blob->listener_count, sizeof *first_socket);
    if (!s || !paths || !first_socket)
        die("no memory for the surroundings of a blob");
    s->mapping = mapping;
    s->worker_count = count_workers(&blob->main[1]);
    s->first_socket = first_socket;
    for (u32 i = 1; i < blob->listener_count; i++) {
        first_socket[i] = s->socket_count;
        s->socket_count += sockets_of(s, &blob->listener[i]);
    }
    s->socket = new_fds(s->socket_count);
    s->log_path = paths;
    for (u32 i = 1; i < blob->log_count; i++) {
        const char *path = blob_string(blob, blob->log[i].path);
        if (is_opened(&blob->log[i]) && find_path(s, path) == UINT32_MAX)
            s->log_path[s->log_count++] = path;
    }
    s->log = new_fds(s->log_count);
    s->file = new_fds(blob->file_count);
    s->mark = calloc(blob->file_count, sizeof *s->mark);
    s->seen = calloc(blob->file_count, sizeof *s->seen);
    if (!s->mark || !s->seen)
        die("no memory for the surroundings of a blob");
    return s;
}

/* ---- listening sockets ---- */

static int
set(int fd, int level, int option, u32 value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* Options that a listening socket may be given again when a new blob changes its mind; a fresh one has all of
 * them off. What the system does not know (an old kernel, an option of another family) is no reason not to
 * serve. */
static void
configure(int fd, const struct blob_listener *listener, bool fresh)
{
    u32 flags = listener->flags;
    if (listener->rcvbuf)
        set(fd, SOL_SOCKET, SO_RCVBUF, listener->rcvbuf);
    if (listener->sndbuf)
        set(fd, SOL_SOCKET, SO_SNDBUF, listener->sndbuf);
    if (flags & LISTENER_UDP)
        return;
    if (flags & LISTENER_DEFERRED || !fresh)
        set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, !!(flags & LISTENER_DEFERRED));
    if (flags & (LISTENER_KEEPALIVE | LISTENER_NO_KEEPALIVE))
        set(fd, SOL_SOCKET, SO_KEEPALIVE, !(flags & LISTENER_NO_KEEPALIVE));
    if (listener->keepalive_idle_s)
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, listener->keepalive_idle_s);
    if (listener->keepalive_interval_s)
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, listener->keepalive_interval_s);
    if (listener->keepalive_count)
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, listener->keepalive_count);
    if (listener->fastopen)
        set(fd, IPPROTO_TCP, TCP_FASTOPEN, listener->fastopen);
    if (flags & LISTENER_REUSEPORT)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

static bool
is_wildcard(const union address *address)
{
    return address->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&address->ipv6.sin6_addr)
                                              : address->ipv4.sin_addr.s_addr == INADDR_ANY;
}

/* Datagrams come several of a sender in one piece; with the number of those that were lost before; and with the
 * address that they were sent to, which an answer has to leave from, where that is not the socket's own. */
static void
configure_udp(int fd, const union address *address)
{
    set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    set(fd, IPPROTO_UDP, UDP_GRO, 1);
    if (!is_wildcard(address))
        return;
    if (address->any.sa_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    else
        set(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/* A unix socket that nobody listens on any more was left by a program that died. */
static bool
remove_stale(const union address *address, socklen_t size)
{
    if (address->any.sa_family != AF_UNIX || address->un.sun_path[0] == '\0')
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, &address->any, size) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale && unlink(address->un.sun_path) == 0;
}

static bool
bind_patiently(int fd, const union address *address, socklen_t size)
{
    for (int try = 1; bind(fd, &address->any, size) != 0; try++) {
        if (errno != EADDRINUSE || try == BIND_TRIES)
            return false;
        if (!remove_stale(address, size))
            usleep(BIND_PAUSE_US);
    }
    return address->any.sa_family != AF_UNIX || address->un.sun_path[0] == '\0' ||
           chmod(address->un.sun_path, 0666) == 0;
}

static int
new_socket(const struct blob_listener *listener, const union address *address)
{
    int family = address->any.sa_family, protocol = listener->flags & LISTENER_MULTIPATH ? IPPROTO_MPTCP : 0;
    bool udp = listener->flags & LISTENER_UDP;
    int fd = socket(family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -1;
    if (udp)
        configure_udp(fd, address);
    else
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !!(listener->flags & LISTENER_IPV6ONLY));
    configure(fd, listener, true);
    return fd;
}

static bool
refuse(const struct logger *logger, const char *what, const char *name, int error)
{
    log_write(logger, LEVEL_EMERG, 0, error, "%s %s failed", what, name);
    return false;
}

/* Bind and listen. In a test an address in use is in order, and then there is no socket. */
static bool
open_socket(const struct surroundings *s, const struct blob_listener *listener, u32 worker, bool test,
            const struct logger *logger, int *result)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_address *record = &blob->address[listener->address];
    const char *name = blob_string(blob, record->text);
    union address address;
    socklen_t size = address_from_blob(blob, record, &address);
    int fd = new_socket(listener, &address);
    if (fd < 0)
        return refuse(logger, "socket()", name, errno);
    *result = fd;
    bool udp = listener->flags & LISTENER_UDP, shares = udp && s->worker_count > 1;
    if (shares && worker > 0)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (test ? bind(fd, &address.any, size) != 0 : !bind_patiently(fd, &address, size))
        return (test && errno == EADDRINUSE) || refuse(logger, "bind() to", name, errno);
    if (test && address.any.sa_family == AF_UNIX && address.un.sun_path[0])
        unlink(address.un.sun_path);
    if (shares && worker == 0) /* only now, so that nobody else is on that port unnoticed */
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return udp || listen(fd, (int)listener->backlog) == 0 || refuse(logger, "listen() to", name, errno);
}

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
            s->socket[place] = kept;
            if (kept >= 0) {
                configure(kept, listener, false);
                if (!(listener->flags & LISTENER_UDP))
                    listen(kept, (int)listener->backlog);
                else if (s->worker_count > 1) /* old had perhaps one worker, which shared with none */
                    set(kept, SOL_SOCKET, SO_REUSEPORT, 1);
            } else if (!open_socket(s, listener, worker, test, logger, &s->socket[place])) {
                return false;
            }
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
        refuse(logger, "open()", path, errno);
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
surroundings_logger(const struct surroundings *s, struct logger *logger, int *fd)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_main *main = &blob->main[1];
    for (u32 i = 0; i < logger->count; i++)
        if (logger->sink[i].sink == SINK_SYSLOG && logger->fd[i] >= 0)
            close(logger->fd[i]);
    *logger = log_default;
    if (main->log_count == 0)
        return;
    *logger = (struct logger){.blob = blob, .sink = &blob->log[main->log], .fd = fd, .count = main->log_count};
    for (u32 i = 0; i < main->log_count; i++) {
        fd[i] = open_sink(s, &logger->sink[i]);
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

/* Have the system give the socket nothing more, and what it would have had to others at its address: it hears nobody
 * but itself. Answers can still be sent. */
static void
deafen(int fd)
{
    union address own;
    socklen_t size = sizeof own;
    if (getsockname(fd, &own.any, &size) == 0)
        connect(fd, &own.any, size);
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
                deafen(s->socket[place]); /* of a worker that kept has no need for */
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
    mapping_close(s->mapping);
    free(s->file);
    free(s->mark);
    free(s->seen);
    free(s->socket);
    free(s->first_socket);
    free(s->log);
    free(s->log_path);
    free(s);
}

void
surroundings_unlink(const struct surroundings *s, const struct surroundings *kept)
{
    const struct blob *blob = &s->mapping->blob;
    u32 at = 1;
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_address *address = &blob->address[blob->listener[i].address];
        const char *path = blob_string(blob, address->path);
        if (address->family == FAMILY_UNIX && path[0] != '@' &&
            find_socket(kept, blob, &blob->listener[i], 0, &at) < 0)
            unlink(path);
    }
}
