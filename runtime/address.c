/*
 * Socket addresses: from the blob, to text, compared. Text is nginx's form, since it lands in the log.
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static socklen_t
unix_from_blob(const char *path, struct sockaddr_un *un)
{
    size_t length = strnlen(path, sizeof un->sun_path - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length);
    if (path[0] == '@') { /* abstract: a NUL stands for the @, and the length ends the name */
        un->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    return sizeof *un;
}

socklen_t
address_from_blob(const struct blob *blob, const struct blob_address *record, union address *address)
{
    memset(address, 0, sizeof *address);
    switch (record->family) {
    case FAMILY_IPV4:
        address->ipv4.sin_family = AF_INET;
        address->ipv4.sin_port = htons(record->port);
        memcpy(&address->ipv4.sin_addr, record->ip.byte, sizeof address->ipv4.sin_addr);
        return sizeof address->ipv4;
    case FAMILY_IPV6:
        address->ipv6.sin6_family = AF_INET6;
        address->ipv6.sin6_port = htons(record->port);
        memcpy(&address->ipv6.sin6_addr, record->ip.byte, sizeof address->ipv6.sin6_addr);
        return sizeof address->ipv6;
    case FAMILY_UNIX:
        return unix_from_blob(blob_string(blob, record->path), &address->un);
    default:
        return 0;
    }
}

/* Write a number of at most five digits; where it ends. */
static char *
print_number(char *at, u32 number)
{
    char digits[5];
    u32 count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* By hand: snprintf() takes 2,000 instructions for it, and most keys, maps and log lines have an address. */
static void
print_ipv4(const struct sockaddr_in *address, bool with_port, char *at)
{
    u8 ip[4];
    memcpy(ip, &address->sin_addr, sizeof ip);
    for (u32 i = 0; i < sizeof ip; i++) {
        at = print_number(at, ip[i]);
        *at++ = i < sizeof ip - 1 ? '.' : ':';
    }
    at = with_port ? print_number(at, ntohs(address->sin_port)) : at - 1;
    *at = '\0';
}

void
address_print(const struct sockaddr *address, bool with_port, char text[ADDRESS_TEXT])
{
    const struct sockaddr_in6 *ipv6 = (const void *)address;
    char ip[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET) {
        print_ipv4((const void *)address, with_port, text);
    } else if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &ipv6->sin6_addr, ip, sizeof ip);
        snprintf(text, ADDRESS_TEXT, with_port ? "[%s]:%u" : "%s", ip, ntohs(ipv6->sin6_port));
    } else {
        snprintf(text, ADDRESS_TEXT, "unix:");
    }
}

u16
address_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

bool
address_is(const struct sockaddr *local, const struct blob_address *record)
{
    if (local->sa_family == AF_INET && record->family == FAMILY_IPV4)
        return memcmp(&((const struct sockaddr_in *)(const void *)local)->sin_addr, record->ip.byte, 4) == 0;
    if (local->sa_family == AF_INET6 && record->family == FAMILY_IPV6)
        return memcmp(&((const struct sockaddr_in6 *)(const void *)local)->sin6_addr, record->ip.byte, 16) == 0;
    return false;
}

socklen_t
address_parse(char *text, union address *address)
{
    memset(address, 0, sizeof *address);
    char *host = text, *port = strchr(text, ':');
    if (text[0] == '[') {
        host = text + 1;
        port = strchr(host, ']');
        if (!port)
            return 0;
        *port++ = '\0';
    } else if (port && strchr(port + 1, ':')) {
        port = NULL; /* IPv6 without brackets, so without a port */
    }
    unsigned long number = 0;
    if (port && *port) {
        char *end;
        *port++ = '\0';
        number = strtoul(port, &end, 10);
        if (end == port || *end || number > PORT_MAX)
            return 0;
    }
    if (inet_pton(AF_INET, host, &address->ipv4.sin_addr) == 1) {
        address->ipv4.sin_family = AF_INET;
        address->ipv4.sin_port = htons((u16)number);
        return sizeof address->ipv4;
    }
    if (inet_pton(AF_INET6, host, &address->ipv6.sin6_addr) == 1) {
        address->ipv6.sin6_family = AF_INET6;
        address->ipv6.sin6_port = htons((u16)number);
        return sizeof address->ipv6;
    }
    return 0;
}

const char address_is_name[] = "no resolver defined to resolve";

const char *
address_read(char *text, union address *address, socklen_t *size)
{
    if (!*text)
        return "no host";
    if (strncasecmp(text, "unix:", 5) == 0) {
        *address = (union address){.un.sun_family = AF_UNIX};
        *size = sizeof address->un;
        if (!text[5] || strlen(text + 5) >= sizeof address->un.sun_path)
            return text[5] ? "too long path in the unix domain socket" : "no path in the unix domain socket";
        strcpy(address->un.sun_path, text + 5);
        return NULL;
    }
    *size = address_parse(text, address);
    if (*size)
        return address_port(&address->any) ? NULL : "no port";
    *size = address_parse(text, address); /* which has cut the port off */
    return *size ? "invalid port" : address_is_name;
}
