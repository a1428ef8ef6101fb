/*
 * Messages to syslog, RFC 3164: "<PRI>Mon dd hh:mm:ss host tag: text", a datagram each. One that cannot be sent at once
 * is lost: a log stops nobody.
 */
#include "spcd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 2048 }; /* nginx's */

/* In lower case, as $hostname; asked for once. */
static const char *
host_name(void)
{
    static char name[256];
    if (name[0] || gethostname(name, sizeof name - 1) != 0)
        return name;
    for (char *at = name; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    return name;
}

int
syslog_open(const struct blob *blob, const struct blob_log *log)
{
    union address address;
    address_from_blob(blob, &blob->address[log->address], &address);
    host_name(); /* while there is one thread */
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
    return sendto(fd, message, head + size, MSG_NOSIGNAL, &address.any, length) >= 0;
}
