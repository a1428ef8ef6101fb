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
from_path(const char *path, struct sockaddr_un *un)
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
        return from_path(blob_string(blob, record->path), &address->un);
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

/* ---- reading what a variable gave ---- */

/* 1 to 65535; 0: it is no port. */
static u16
read_port(const char *text)
{
    u32 port = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        port = port * 10 + (u32)(*text - '0');
        if (port > PORT_MAX)
            return 0;
    }
    return (u16)port;
}

bool
address_read_ipv4(const char *text, struct in_addr *ip)
{
    u32 all = 0;
    for (u32 i = 0; i < 4; i++) {
        u32 number = 0;
        const char *start = text;
        for (; *text >= '0' && *text <= '9' && number <= 255; text++)
            number = number * 10 + (u32)(*text - '0');
        if (text == start || number > 255 || *text++ != (i < 3 ? '.' : '\0'))
            return false;
        all = all << 8 | number;
    }
    ip->s_addr = htonl(all);
    return true;
}

static socklen_t
read_ipv4(const char *host, u16 port, union address *address)
{
    memset(address, 0, sizeof *address);
    address->ipv4.sin_family = AF_INET;
    address->ipv4.sin_port = htons(port);
    return address_read_ipv4(host, &address->ipv4.sin_addr) ? sizeof address->ipv4 : 0;
}

static socklen_t
read_ipv6(const char *host, u16 port, union address *address)
{
    memset(address, 0, sizeof *address);
    address->ipv6.sin6_family = AF_INET6;
    address->ipv6.sin6_port = htons(port);
    return inet_pton(AF_INET6, host, &address->ipv6.sin6_addr) == 1 ? sizeof address->ipv6 : 0;
}

static socklen_t
read_ip(const char *host, u16 port, union address *address)
{
    socklen_t size = read_ipv4(host, port, address);
    return size ? size : read_ipv6(host, port, address);
}

socklen_t
address_parse(char *text, union address *address)
{
    socklen_t size = read_ip(text, 0, address);
    if (size)
        return size;
    bool brackets = text[0] == '[';
    char *end = strchr(text, brackets ? ']' : ':');
    if (!end || (brackets && end[1] != ':'))
        return 0;
    u16 port = read_port(end + brackets + 1);
    *end = '\0';
    return port ? read_ip(text + brackets, port, address) : 0;
}

static const char *
read_unix(const char *path, union address *address, socklen_t *size)
{
    if (!*path)
        return "no path in the unix domain socket";
    if (strlen(path) >= sizeof address->un.sun_path)
        return "too long path in the unix domain socket";
    memset(address, 0, sizeof *address);
    *size = from_path(path, &address->un);
    return NULL;
}

const char address_is_name[] = "no resolver defined to resolve";
const char address_lacks_port[] = "no port";

/* In nginx's order: what is wrong with it as a whole, with the port, with the host. */
const char *
address_read(char *text, union address *address, socklen_t *size)
{
    if (strncasecmp(text, "unix:", 5) == 0)
        return read_unix(text + 5, address, size);
    bool brackets = *text == '[';
    char *host = text + brackets, *end = host + strcspn(host, brackets ? "]" : ":");
    char *colon = *end && brackets ? end + 1 : end;
    if (strpbrk(text, "/?") || (brackets && !*end) || (*colon && *colon != ':'))
        return "invalid host";
    u16 port = *colon ? read_port(colon + 1) : 0;
    if (*colon && !port)
        return "invalid port";
    *end = '\0';
    if (!*host)
        return "no host";
    *size = brackets ? read_ipv6(host, port, address) : read_ipv4(host, port, address);
    if (brackets && !*size)
        return "invalid IPv6 address";
    if (!port)
        return address_lacks_port;
    return *size ? NULL : address_is_name;
}
