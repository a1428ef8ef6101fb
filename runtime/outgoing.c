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

/* What the variables of proxy_bind give; 0: no address, which is not obeyed, as in nginx. False: text should be one. */
static bool
read_address(struct session *s, const struct blob_proxy *proxy, char text[ADDRESS_TEXT], union address *address,
             socklen_t *size)
{
    char parsed[ADDRESS_TEXT];
    *size = 0;
    if (!expr_text(s, &s->shard->blob->expr[proxy->bind_value], text, ADDRESS_TEXT))
        return false;
    strcpy(parsed, text);
    *size = address_parse(parsed, address);
    return *size || !text[0];
}

void
outgoing_check(struct session *s)
{
    char text[ADDRESS_TEXT];
    union address address;
    socklen_t size;
    if (!session_proxy(s)->bind_value || read_address(s, session_proxy(s), text, &address, &size))
        return;
    session_log(s, LEVEL_ERROR, 0, "invalid local address \"%s\"%s", text,
                text[0] ? "" : ": it has more than 127 bytes, or begins with a NUL byte");
}

/* The address to bind to; 0 if there is none. */
static socklen_t
bind_address(struct session *s, const struct blob_proxy *proxy, union address *address)
{
    const struct blob *blob = s->shard->blob;
    char text[ADDRESS_TEXT];
    socklen_t size = 0;
    if (proxy->bind)
        return address_from_blob(blob, &blob->address[proxy->bind], address);
    if (proxy->bind_value)
        read_address(s, proxy, text, address, &size);
    return size;
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
    socklen_t size = bind_address(s, proxy, &address);
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
