/*
 * One listening socket: a listener's record in, a socket out that is bound and listens, with the options that the
 * record asks for; and what becomes of one that the next configuration has too, or of which it has one too many.
 */
#include "spcd.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { BIND_TRIES = 5, BIND_PAUSE_US = 500 * 1000 }; /* nginx's patience with an address still in use */

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

/* Bind and listen. In a test an address in use is in order. */
static bool
set_up(const struct surroundings *s, const struct blob_listener *listener, u32 worker, bool test,
       const struct logger *logger, int fd)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_address *record = &blob->address[listener->address];
    const char *name = blob_string(blob, record->text);
    union address address;
    socklen_t size = address_from_blob(blob, record, &address);
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

int
socket_open(const struct surroundings *s, const struct blob_listener *listener, u32 worker, bool test,
            const struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    const struct blob_address *record = &blob->address[listener->address];
    union address address;
    address_from_blob(blob, record, &address);
    int fd = new_socket(listener, &address);
    if (fd < 0)
        refuse(logger, "socket()", blob_string(blob, record->text), errno);
    if (fd < 0 || set_up(s, listener, worker, test, logger, fd))
        return fd;
    close(fd);
    return -1;
}

void
socket_change(int fd, const struct blob_listener *listener, u32 worker_count)
{
    configure(fd, listener, false);
    if (!(listener->flags & LISTENER_UDP))
        listen(fd, (int)listener->backlog);
    else if (worker_count > 1) /* it may have been of the only worker, which shared with none */
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

void
socket_deafen(int fd)
{
    union address own;
    socklen_t size = sizeof own;
    if (getsockname(fd, &own.any, &size) == 0)
        connect(fd, &own.any, size);
}
