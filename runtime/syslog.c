/*
 * Messages to syslog, RFC 3164: "<PRI>Mon dd hh:mm:ss host tag: text", a datagram each. One that cannot be sent at once
 * is lost: a log stops nobody.
 */
#include "spcd.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 2048 }; /* nginx's */

/* Asked for once. */
static const char *
host_name(void)
{
    static char name[HOSTNAME_ROOM];
    if (!name[0])
        process_name_machine(name);
    return name;
}

/* A socket whose other end is the host; the first of its addresses is as good as any. */
static int
open_host(const char *host, u32 port_number, const char **why)
{
    char port[8];
    snprintf(port, sizeof port, "%u", port_number);
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) {
        *why = gai_strerror(error);
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        *why = strerrordesc_np(errno);
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

int
syslog_open(const struct blob *blob, const struct blob_log *log, const char **why)
{
    union address address;
    host_name(); /* while there is one thread */
    *why = NULL;
    if (!log->address)
        return open_host(blob_string(blob, log->host), log->port, why);
    address_from_blob(blob, &blob->address[log->address], &address);
    return socket(address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* The program's language is C: month names are English. */
static size_t
write_head(const struct blob *blob, const struct blob_log *log, u32 severity, char *message)
{
    static const char months[] = "Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec";
    struct tm local;
    time_t now = time(NULL);
    bool named = !(log->flags & LOG_NO_HOSTNAME);
    localtime_r(&now, &local);
    int size = snprintf(message, MESSAGE_MAX, "<%u>%s %2d %02d:%02d:%02d %s%s%s: ", log->facility * 8 + severity,
                        &months[local.tm_mon * 4], local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                        named ? host_name() : "", named ? " " : "", blob_string(blob, log->tag));
    return size < 0 || size >= MESSAGE_MAX ? 0 : (size_t)size;
}

bool
syslog_send(const struct blob *blob, const struct blob_log *log, int fd, u32 severity, const void *text, size_t size)
{
    char message[MESSAGE_MAX];
    union address address;
    socklen_t length = address_from_blob(blob, &blob->address[log->address], &address);
    size_t head = write_head(blob, log, severity, message);
    if (size > sizeof message - head)
        size = sizeof message - head;
    memcpy(message + head, text, size);
    if (log->address)
        return sendto(fd, message, head + size, MSG_NOSIGNAL, &address.any, length) >= 0;
    bool good = send(fd, message, head + size, MSG_NOSIGNAL) >= 0;
    return good || (errno == ECONNREFUSED && send(fd, message, head + size, MSG_NOSIGNAL) >= 0); /* of an earlier one */
}
