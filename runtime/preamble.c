/*
 * The PROXY protocol header, written to upstreams and read from clients: what a proxy says of its client before the
 * client's own bytes.
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 (text, v1) and 2.2 (binary, v2).
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <errno.h>
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

static const u8 v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

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
    const size_t length_at = sizeof v2_signature + 2, body_at = length_at + 2;
    put(header, v2_signature, sizeof v2_signature);
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
    union client_address local = session_local_address(s);
    if (proxy->flags & PROXY_PROTOCOL_V2)
        write_v2(&header, s, proxy, &s->address, &local);
    else
        write_v1(&header, &s->address, &local);
    return header.at > size || header.at > UINT16_MAX ? 0 : header.at;
}

/* ---- reading ---- */

/* As nginx: the whole header must be there with the first segment, and has at most so many bytes. */
enum { HEADER_MAX = 4096, V2_HEAD = 16 };

/* What a header says, still where it was read. */
struct introduction {
    struct preamble_peer client, server;
    const u8 *tlv;
    size_t tlv_size;
    bool known; /* it says who; else the connection speaks for itself */
};

static bool
read_port(const char *text, u16 *port)
{
    u32 number = 0;
    for (; *text >= '0' && *text <= '9' && number <= PORT_MAX; text++)
        number = number * 10 + (u32)(*text - '0');
    *port = (u16)number;
    return *text == '\0' && number <= PORT_MAX;
}

/* "TCP4 1.2.3.4 5.6.7.8 9 10"; the text is changed. */
static bool
read_v1_words(char *text, struct introduction *found)
{
    char *word[5], *rest = text;
    for (u32 i = 0; i < 5; i++)
        if (!(word[i] = strsep(&rest, " ")) || !*word[i])
            return false;
    if (rest || (strcmp(word[0], "TCP4") != 0 && strcmp(word[0], "TCP6") != 0))
        return false;
    if (strspn(word[1], "0123456789abcdefABCDEF.:") != strlen(word[1]) ||
        strspn(word[2], "0123456789abcdefABCDEF.:") != strlen(word[2]))
        return false;
    snprintf(found->client.ip, sizeof found->client.ip, "%s", word[1]);
    snprintf(found->server.ip, sizeof found->server.ip, "%s", word[2]);
    found->known = true;
    return read_port(word[3], &found->client.port) && read_port(word[4], &found->server.port);
}

/* The size of the header; 0: it is broken. */
static size_t
read_v1(const u8 *data, size_t size, struct introduction *found)
{
    char text[128];
    const u8 *end = memchr(data, '\r', size);
    if (size < 8 || memcmp(data, "PROXY ", 6) != 0 || !end || (size_t)(end - data) + 2 > size || end[1] != '\n')
        return 0;
    size_t length = (size_t)(end - data);
    if (length >= 6 + 7 && memcmp(data + 6, "UNKNOWN", 7) == 0)
        return length + 2;
    if (length - 6 >= sizeof text)
        return 0;
    memcpy(text, data + 6, length - 6);
    text[length - 6] = '\0';
    return read_v1_words(text, found) ? length + 2 : 0;
}

static void
read_v2_peers(const u8 *data, int family, size_t size, struct introduction *found)
{
    inet_ntop(family, data, found->client.ip, sizeof found->client.ip);
    inet_ntop(family, data + size, found->server.ip, sizeof found->server.ip);
    found->client.port = (u16)(data[2 * size] << 8 | data[2 * size + 1]);
    found->server.port = (u16)(data[2 * size + 2] << 8 | data[2 * size + 3]);
    found->known = true;
}

/* The same. What is no PROXY command of a stream, or of another family, says nothing; as in nginx. */
static size_t
read_v2(const u8 *data, size_t size, struct introduction *found)
{
    if (size < V2_HEAD || data[12] >> 4 != 2)
        return 0;
    size_t length = (size_t)data[14] << 8 | data[15], all = V2_HEAD + length;
    bool stream = (data[12] & 15) == 1 && (data[13] & 15) == 1;
    int family = data[13] >> 4 == 1 ? AF_INET : data[13] >> 4 == 2 ? AF_INET6 : AF_UNSPEC;
    size_t address = family == AF_INET6 ? 16 : 4, peers = 2 * address + 4;
    if (all > size)
        return 0;
    if (!stream || family == AF_UNSPEC)
        return all;
    if (length < peers)
        return 0;
    read_v2_peers(data + V2_HEAD, family, address, found);
    found->tlv = data + V2_HEAD + peers;
    found->tlv_size = length - peers;
    return all;
}

static void
say_broken(const struct session *s, const u8 *data, size_t size)
{
    size_t line = 0;
    char text[HEADER_MAX + 1];
    while (line < size && data[line] != '\r' && data[line] != '\n')
        line++;
    memcpy(text, data, line);
    text[line] = '\0';
    session_log(s, LEVEL_ERROR, 0, "broken header: \"%s\"", text);
}

static void
keep(struct session *s, const struct introduction *found)
{
    struct preamble *kept = &values_of(s)->preamble;
    kept->client = found->client;
    kept->server = found->server;
    kept->tlv = found->tlv_size ? value_keep(s, found->tlv, found->tlv_size) : (struct value){.state = VALUE_ABSENT};
    kept->known = found->known;
    kept->address = s->address;
}

/* set_real_ip_from: from here on the client is the one that the header names. */
static void
believe(struct session *s, const struct preamble_peer *client)
{
    const struct blob_server *server = s->server;
    bool local = s->address.any.sa_family == AF_UNIX;
    bool trusted = local ? server->flags & SERVER_TRUST_UNIX
                         : server->trusted && geo_value(s->shard->blob, server->trusted, &s->address);
    union client_address address = {0};
    if (!trusted)
        return;
    if (inet_pton(AF_INET, client->ip, &address.ipv4.sin_addr) == 1)
        address.ipv4.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, client->ip, &address.ipv6.sin6_addr) == 1)
        address.ipv6.sin6_family = AF_INET6;
    else
        return;
    address.ipv4.sin_port = htons(client->port); /* at the same place in both */
    s->address = address;
}

/* What was read of a session before it was passed on comes first. */
static size_t
waiting(const struct session *s)
{
    return s->upstream.buffer ? s->upstream.end : 0;
}

static ssize_t
peek(struct session *s, u8 data[HEADER_MAX])
{
    size_t had = waiting(s) < HEADER_MAX ? waiting(s) : HEADER_MAX;
    if (had)
        memcpy(data, s->upstream.buffer, had);
    if (had == HEADER_MAX)
        return HEADER_MAX;
    ssize_t got = recv(s->client.io.fd, data + had, HEADER_MAX - had, MSG_PEEK);
    return had == 0 ? got : got < 0 ? (ssize_t)had : (ssize_t)had + got;
}

/* Take the header away. */
static bool
consume(struct session *s, size_t size)
{
    u8 data[HEADER_MAX];
    struct side *side = &s->upstream;
    size_t had = waiting(s), early = size < had ? size : had;
    if (early)
        memmove(side->buffer, side->buffer + early, had - early);
    side->end = (u32)(had - early);
    if (had && side->end == 0) {
        slab_give(&s->shard->buffers, side->buffer);
        side->buffer = NULL;
        s->preread = false;
    }
    return early == size || recv(s->client.io.fd, data, size - early, 0) == (ssize_t)(size - early);
}

/* Read the header and nothing behind it. */
static enum step
read_header(struct session *s)
{
    u8 data[HEADER_MAX];
    struct introduction found = {0};
    ssize_t got = peek(s, data);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return STEP_WAITS;
    if (got < 0) {
        session_log(s, session_error_level(s, &s->client, errno), errno, "recv() failed");
        session_end(s, CLOSE_preamble_end);
        return STEP_ENDED;
    }
    size_t all = (size_t)got;
    bool binary = all >= sizeof v2_signature && memcmp(data, v2_signature, sizeof v2_signature) == 0;
    size_t size = binary ? read_v2(data, all, &found) : read_v1(data, all, &found);
    if (size == 0)
        say_broken(s, data, all);
    if (size == 0 || !consume(s, size)) {
        session_end(s, CLOSE_preamble_broken);
        return STEP_ENDED;
    }
    keep(s, &found);
    if (found.known)
        believe(s, &found.client);
    return STEP_NEXT;
}

static void
on_header(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    if (read_header(s) != STEP_NEXT)
        return;
    side_watch(s, &s->client, 0);
    s->action = "initializing session";
    s->step++;
    session_run(s);
}

enum step
preamble_step(struct session *s)
{
    if (!session_endpoint(s)->proxy_protocol) {
        if (s->passes && s->values->preamble.known) /* of where it came from: this server may trust who that was */
            believe(s, &s->values->preamble.client);
        return STEP_NEXT;
    }
    s->phase = PHASE_PREAMBLE;
    s->action = "reading PROXY protocol";
    side_open(s, &s->client, s->client.io.fd, on_header);
    enum step step = read_header(s);
    if (step == STEP_NEXT)
        s->action = "initializing session";
    if (step == STEP_WAITS) {
        side_watch(s, &s->client, EV_READ);
        session_timer(s, (double)s->server->proxy_protocol_timeout_ms / 1000);
    }
    return step;
}

void
preamble_timeout(struct session *s)
{
    session_log(s, LEVEL_INFO, ETIMEDOUT, "client timed out");
    session_end(s, CLOSE_preamble_end);
}

/* ---- TLVs ---- */

enum { TLV_HEAD = 3, TLS_HEAD = 5, TLV_OF_TLS = 0x20 };

/* The value of the first TLV of that type. */
static struct value
find_tlv(struct value list, u32 type)
{
    const u8 *at = list.text;
    size_t left = list.state == VALUE_FOUND ? list.size : 0;
    while (left >= TLV_HEAD) {
        size_t size = (size_t)at[1] << 8 | at[2];
        if (left - TLV_HEAD < size)
            break;
        if (at[0] == type)
            return (struct value){at + TLV_HEAD, (u32)size, VALUE_FOUND};
        at += TLV_HEAD + size;
        left -= TLV_HEAD + size;
    }
    return (struct value){.state = VALUE_ABSENT};
}

bool
preamble_put_tlv(struct session *s, u32 type, struct output *out)
{
    struct value list = s->values ? s->values->preamble.tlv : (struct value){.state = VALUE_ABSENT};
    bool nested = type >> 8 == TLV_OF_TLS;
    struct value found = find_tlv(list, nested ? TLV_OF_TLS : type);
    if (found.state != VALUE_FOUND || (nested && found.size < TLS_HEAD))
        return false;
    if (nested && (type & 0xff) == 0) {
        u32 verify;
        memcpy(&verify, found.text + 1, sizeof verify);
        output_print(out, "%u", ntohl(verify));
        return true;
    }
    if (nested)
        found = find_tlv((struct value){found.text + TLS_HEAD, found.size - TLS_HEAD, VALUE_FOUND}, type & 0xff);
    if (found.state == VALUE_FOUND)
        output_put(out, found.text, found.size);
    return found.state == VALUE_FOUND;
}
