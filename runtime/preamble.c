/*
 * The PROXY protocol header as it is written to upstreams: what we say of our client before the client's own bytes. How
 * it is read is in introduction.c.
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 (text, v1) and 2.2 (binary, v2).
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
    V2_PROXY = 0x21, /* version 2, command PROXY */
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UDP4 = 0x12,
    V2_UDP6 = 0x22,
    V2_UNIX_STREAM = 0x31,
    V2_UNIX_SIZE = 216, /* two paths of 108 bytes */
    TLV_CRC32C = 0x03,
};

const u8 preamble_signature[PREAMBLE_SIGNATURE] = "\r\n\r\n\0\r\nQUIT\n";

/* What is written, and where; at beyond size means that it did not fit. */
struct header {
    u8 *data;
    size_t size, at;
};

static void
put(struct header *header, const void *data, size_t size)
{
    if (header->at + size <= header->size)
        memcpy(header->data + header->at, data, size);
    header->at += size;
}

static void
put_u8(struct header *header, u8 value)
{
    put(header, &value, sizeof value);
}

static void
put_u16(struct header *header, u16 value)
{
    value = htons(value);
    put(header, &value, sizeof value);
}

/* ---- whose addresses ---- */

bool
preamble_address(const struct preamble_peer *peer, union client_address *found)
{
    union client_address address = {0};
    if (address_read_ipv4(peer->ip, &address.ipv4.sin_addr)) /* as nginx, which lets zeros lead */
        address.ipv4.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, peer->ip, &address.ipv6.sin6_addr) == 1)
        address.ipv6.sin6_family = AF_INET6;
    else
        return false;
    address.ipv4.sin_port = htons(peer->port); /* at the same place in both */
    *found = address;
    return true;
}

static void
map_to_ipv6(union client_address *address)
{
    if (address->any.sa_family != AF_INET)
        return;
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = address->ipv4.sin_port};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped.sin6_addr.s6_addr[12], &address->ipv4.sin_addr, sizeof address->ipv4.sin_addr);
    address->ipv6 = mapped;
}

/* A header has one family for both. Where the client is one that a header named (set_real_ip_from), ours may be of
 * another: in place of a unix socket then stands the address that it named as ours, and IPv4 is written as IPv6. */
static void
agree(struct session *s, union client_address *client, union client_address *local)
{
    const struct preamble_peer *named = s->values && s->values->preamble.known ? &s->values->preamble.server : NULL;
    if (client->any.sa_family == local->any.sa_family || client->any.sa_family == AF_UNIX)
        return;
    if (local->any.sa_family == AF_UNIX && named)
        preamble_address(named, local);
    if (local->any.sa_family == AF_UNIX || client->any.sa_family == local->any.sa_family)
        return;
    map_to_ipv6(client);
    map_to_ipv6(local);
}

/* ---- version 1 ---- */

static void
write_v1(struct header *header, const union client_address *client, const union client_address *local)
{
    char text[ADDRESS_TEXT * 2 + 64], from[ADDRESS_TEXT], to[ADDRESS_TEXT];
    int length = snprintf(text, sizeof text, "PROXY UNKNOWN\r\n");
    if (client->any.sa_family != AF_UNIX && client->any.sa_family == local->any.sa_family) {
        address_print(&client->any, false, from);
        address_print(&local->any, false, to);
        length = snprintf(text, sizeof text, "PROXY %s %s %s %u %u\r\n",
                          client->any.sa_family == AF_INET ? "TCP4" : "TCP6", from, to,
                          address_port(&client->any), address_port(&local->any));
    }
    put(header, text, (size_t)length);
}

/* ---- version 2 ---- */

static void
put_addresses(struct header *header, bool udp, const union client_address *client, const union client_address *local)
{
    static const u8 zero[V2_UNIX_SIZE];
    if (client->any.sa_family != local->any.sa_family) {
        put_u8(header, V2_UNSPEC);
        put_u16(header, 0);
    } else if (client->any.sa_family == AF_INET) {
        put_u8(header, udp ? V2_UDP4 : V2_TCP4);
        put_u16(header, 0);
        put(header, &client->ipv4.sin_addr, sizeof client->ipv4.sin_addr);
        put(header, &local->ipv4.sin_addr, sizeof local->ipv4.sin_addr);
        put(header, &client->ipv4.sin_port, sizeof client->ipv4.sin_port);
        put(header, &local->ipv4.sin_port, sizeof local->ipv4.sin_port);
    } else if (client->any.sa_family == AF_INET6) {
        put_u8(header, udp ? V2_UDP6 : V2_TCP6);
        put_u16(header, 0);
        put(header, &client->ipv6.sin6_addr, sizeof client->ipv6.sin6_addr);
        put(header, &local->ipv6.sin6_addr, sizeof local->ipv6.sin6_addr);
        put(header, &client->ipv6.sin6_port, sizeof client->ipv6.sin6_port);
        put(header, &local->ipv6.sin6_port, sizeof local->ipv6.sin6_port);
    } else {
        put_u8(header, V2_UNIX_STREAM);
        put_u16(header, 0);
        put(header, zero, V2_UNIX_SIZE);
    }
}

static void
put_tlv(struct header *header, struct session *s, const struct blob_tlv *tlv)
{
    size_t start = header->at;
    put_u8(header, (u8)tlv->type);
    put_u16(header, 0);
    size_t room = header->at < header->size ? header->size - header->at : 0;
    size_t size = expr_run(s, &s->shard->blob->expr[tlv->value], header->data + header->size - room, room);
    header->at += size;
    if (header->at > header->size || size > UINT16_MAX)
        return;
    u16 length = htons((u16)size);
    memcpy(header->data + start + 1, &length, sizeof length);
}

/* CRC-32C (Castagnoli), bit by bit: a header is short and sent once a connection. */
static u32
crc32c(const u8 *data, size_t size)
{
    u32 crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void
write_v2(struct header *header, struct session *s, const struct blob_proxy *proxy,
         const union client_address *client, const union client_address *local)
{
    const size_t length_at = PREAMBLE_SIGNATURE + 2, body_at = length_at + 2;
    put(header, preamble_signature, PREAMBLE_SIGNATURE);
    put_u8(header, V2_PROXY);
    put_addresses(header, session_is_udp(s), client, local);
    for (u32 i = 0; i < proxy->tlv_count; i++)
        put_tlv(header, s, &s->shard->blob->tlv[proxy->tlv + i]);
    size_t crc_at = header->at + 3;
    if (proxy->flags & PROXY_PROTOCOL_CRC32C) {
        put_u8(header, TLV_CRC32C);
        put_u16(header, sizeof(u32));
        put(header, &(u32){0}, sizeof(u32));
    }
    if (header->at > header->size || header->at - body_at > UINT16_MAX)
        return;
    u16 length = htons((u16)(header->at - body_at));
    memcpy(header->data + length_at, &length, sizeof length);
    if (proxy->flags & PROXY_PROTOCOL_CRC32C) {
        u32 crc = htonl(crc32c(header->data, header->at));
        memcpy(header->data + crc_at, &crc, sizeof crc);
    }
}

size_t
preamble_write(struct session *s, u8 *data, size_t size)
{
    struct header header = {data, size, 0};
    const struct blob_proxy *proxy = session_proxy(s);
    union client_address client = s->address, local = session_local_address(s);
    agree(s, &client, &local);
    if (proxy->flags & PROXY_PROTOCOL_V2)
        write_v2(&header, s, proxy, &client, &local);
    else
        write_v1(&header, &client, &local);
    return header.at > size || header.at > UINT16_MAX ? 0 : header.at;
}

size_t
preamble_make(struct session *s)
{
    u32 room = s->shard->generation->buffer_size;
    size_t size = preamble_write(s, s->shard->scratch, room);
    if (size > 0)
        return size;
    session_log(s, LEVEL_ERROR, 0, "the PROXY protocol header does not fit in %u bytes", room);
    session_end(s, CLOSE_internal);
    return 0;
}
