/*
 * The socket towards an upstream: its options, and the address it is bound to.
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

static bool
set(int fd, int level, int option, u32 value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* ---- proxy_bind ---- */

/* The address to bind to; 0 if there is none. What a variable gives and is none is not obeyed, as in nginx; text
 * then says what it is. */
static socklen_t
bind_address(struct session *s, const struct blob_proxy *proxy, union address *address, char text[ADDRESS_TEXT])
{
    text[0] = '\0';
    const struct blob *blob = s->shard->blob;
    if (proxy->bind)
        return address_from_blob(blob, &blob->address[proxy->bind], address);
    if (!proxy->bind_value)
        return 0;
    char parsed[ADDRESS_TEXT];
    size_t size = expr_run(s, &blob->expr[proxy->bind_value], (u8 *)text, ADDRESS_TEXT - 1);
    text[size < ADDRESS_TEXT ? size : 0] = '\0';
    memcpy(parsed, text, strlen(text) + 1);
    return address_parse(parsed, address);
}

void
outgoing_check(struct session *s)
{
    char text[ADDRESS_TEXT];
    union address address;
    if (session_proxy(s)->bind_value && !bind_address(s, session_proxy(s), &address, text) && text[0])
        session_log(s, LEVEL_ERROR, 0, "invalid local address \"%s\"", text);
}

static bool
set_transparent(int fd, int family)
{
    return family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1) : set(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

static bool
bind_socket(struct session *s, const struct blob_proxy *proxy, int fd)
{
    union address address;
    char text[ADDRESS_TEXT];
    socklen_t size = bind_address(s, proxy, &address, text);
    if (!size)
        return true;
    if (proxy->flags & PROXY_TRANSPARENT && !set_transparent(fd, address.any.sa_family)) {
        session_log(s, LEVEL_ALERT, errno, "setsockopt(IP_TRANSPARENT) failed");
        return false;
    }
    if (address_port(&address.any) == 0) /* the port is chosen at connect(): one each for every destination */
        set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    else
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, &address.any, size) == 0)
        return true;
    address_print(&address.any, address_port(&address.any) != 0, text);
    session_log(s, LEVEL_CRIT, errno, "bind(%s) failed", text);
    return false;
}

/* ---- options ---- */

static void
set_keepalive(const struct blob_proxy *proxy, int fd)
{
    if (!(proxy->flags & PROXY_KEEPALIVE))
        return;
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (proxy->keepalive_idle_s)
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, proxy->keepalive_idle_s);
    if (proxy->keepalive_interval_s)
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, proxy->keepalive_interval_s);
    if (proxy->keepalive_count)
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, proxy->keepalive_count);
}

/* What routes the connection must be obeyed, or it would leave by the wrong way. */
static bool
set_route(const struct session *s, const struct blob_proxy *proxy, int fd)
{
    const char *device = blob_string(s->shard->blob, proxy->device);
    if (proxy->mark && !set(fd, SOL_SOCKET, SO_MARK, proxy->mark)) {
        session_log(s, LEVEL_ALERT, errno, "setsockopt(SO_MARK) failed");
        return false;
    }
    if (device[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0) {
        session_log(s, LEVEL_ALERT, errno, "setsockopt(SO_BINDTODEVICE, \"%s\") failed", device);
        return false;
    }
    return true;
}

int
outgoing_open(struct session *s, const struct blob_proxy *proxy, int family)
{
    bool udp = session_is_udp(s);
    int fd = socket(family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        if (!udp || log_again(&s->shard->worker->socket_said, session_now(s)))
            session_log(s, LEVEL_ALERT, errno, "socket() failed");
        return -1;
    }
    if (proxy->rcvbuf)
        set(fd, SOL_SOCKET, SO_RCVBUF, proxy->rcvbuf);
    if (proxy->sndbuf)
        set(fd, SOL_SOCKET, SO_SNDBUF, proxy->sndbuf);
    if (family == AF_UNIX) {
        if (udp) /* a name, made by the system, to which it can be answered */
            bind(fd, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t));
        return fd;
    }
    if (udp && !(proxy->flags & PROXY_RESPONSES)) /* a few answers are not worth putting together */
        set(fd, IPPROTO_UDP, UDP_GRO, 1);
    if (!udp && proxy->user_timeout_ms)
        set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, proxy->user_timeout_ms);
    if (!udp)
        set_keepalive(proxy, fd);
    if (set_route(s, proxy, fd) && bind_socket(s, proxy, fd))
        return fd;
    close(fd);
    return -1;
}
