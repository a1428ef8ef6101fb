/*
 * The PROXY protocol header as it is read from clients that are proxies: whom they speak for. It stands before the
 * first byte of a connection, or of the first datagram of a session; those after it may repeat the binary one. How it
 * is written is in preamble.c.
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* As nginx: the whole header must be there with the first segment, and has at most so many bytes. */
enum { HEADER_MAX = 4096, V2_HEAD = 16, V2_STREAM = 1, V2_DATAGRAM = 2 };

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

/* The same. What is no PROXY command of a stream (or, for datagrams, of these), or of another family, says nothing; as
 * in nginx. */
static size_t
read_v2(const u8 *data, size_t size, bool udp, struct introduction *found)
{
    if (data[12] >> 4 != 2)
        return 0;
    size_t length = (size_t)data[14] << 8 | data[15], all = V2_HEAD + length;
    u32 transport = data[13] & 15;
    bool proxied = (data[12] & 15) == 1 && (transport == V2_STREAM || (udp && transport == V2_DATAGRAM));
    int family = data[13] >> 4 == 1 ? AF_INET : data[13] >> 4 == 2 ? AF_INET6 : AF_UNSPEC;
    size_t address = family == AF_INET6 ? 16 : 4, peers = 2 * address + 4;
    if (all > size)
        return 0;
    if (!proxied || family == AF_UNSPEC)
        return all;
    if (length < peers)
        return 0;
    read_v2_peers(data + V2_HEAD, family, address, found);
    found->tlv = data + V2_HEAD + peers;
    found->tlv_size = length - peers;
    return all;
}

static bool
is_v2(const u8 *data, size_t size)
{
    return size >= V2_HEAD && memcmp(data, preamble_signature, PREAMBLE_SIGNATURE) == 0;
}

static size_t
read_any(const u8 *data, size_t size, bool udp, struct introduction *found)
{
    return is_v2(data, size) ? read_v2(data, size, udp, found) : read_v1(data, size, found);
}

static void
say_broken_v2(const struct session *s, const u8 *data, size_t size)
{
    size_t length = (size_t)data[14] << 8 | data[15];
    if (data[12] >> 4 != 2)
        session_log(s, LEVEL_ERROR, 0, "unknown PROXY protocol version: %d", data[12] >> 4);
    else if (V2_HEAD + length > size)
        session_log(s, LEVEL_ERROR, 0, "header is too large");
    else
        session_log(s, LEVEL_ERROR, 0, "broken header: %zu bytes are too few for its addresses", length);
}

static void
say_broken(const struct session *s, const u8 *data, size_t size)
{
    if (is_v2(data, size)) {
        say_broken_v2(s, data, size);
        return;
    }
    size_t line = 0;
    char text[HEADER_MAX + 1];
    while (line < size && data[line] != '\r' && data[line] != '\n')
        line++;
    line = line < HEADER_MAX ? line : HEADER_MAX; /* a datagram may be longer */
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
                         : (server->trusted && geo_value(s->shard->blob, server->trusted, &s->address)) ||
                               host_has(s->shard->generation, server->trusted_host, server->trusted_host_count,
                                        &s->address);
    if (trusted)
        preamble_address(client, &s->address);
}

static void
take(struct session *s, const struct introduction *found)
{
    keep(s, found);
    if (found->known)
        believe(s, &found->client);
}

/* proxy_protocol_from: may who is connected say whom it speaks for? */
static bool
may_introduce(const struct session *s)
{
    const struct blob_server *server = s->server;
    if (!server->introducers)
        return true;
    return s->address.any.sa_family == AF_UNIX ? server->flags & SERVER_FROM_UNIX
                                               : geo_value(s->shard->blob, server->introducers, &s->address) != 0;
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
    size_t size = read_any(data, all, false, &found);
    if (size == 0)
        say_broken(s, data, all);
    if (size == 0 || !consume(s, size)) {
        session_end(s, CLOSE_preamble_broken);
        return STEP_ENDED;
    }
    take(s, &found);
    return STEP_NEXT;
}

/* The first datagram of a session begins with it; there is nothing to wait for. */
static enum step
read_datagram(struct session *s)
{
    struct introduction found = {0};
    size_t all;
    const u8 *data = udp_first(s, &all);
    size_t size = read_any(data, all, true, &found);
    if (size == 0) {
        say_broken(s, data, all);
        session_end(s, CLOSE_preamble_broken);
        return STEP_ENDED;
    }
    udp_skip(s, size);
    take(s, &found);
    s->action = "initializing session";
    return STEP_NEXT;
}

size_t
introduction_again(const u8 *data, size_t size)
{
    struct introduction ignored;
    return is_v2(data, size) ? read_v2(data, size, true, &ignored) : 0;
}

static void
on_header(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    if (read_header(s) != STEP_NEXT)
        return;
    s->action = "initializing session";
    session_go_on(s);
}

enum step
introduction_step(struct session *s)
{
    if (!session_endpoint(s)->proxy_protocol) {
        if (s->passes && s->values->preamble.known) /* of where it came from: this server may trust who that was */
            believe(s, &s->values->preamble.client);
        return STEP_NEXT;
    }
    s->phase = PHASE_PREAMBLE;
    s->action = "reading PROXY protocol";
    if (!may_introduce(s)) {
        session_log(s, LEVEL_ERROR, 0, "PROXY protocol header is not accepted from this address");
        session_end(s, CLOSE_preamble_refused);
        return STEP_ENDED;
    }
    if (session_is_udp(s))
        return read_datagram(s);
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
introduction_timeout(struct session *s)
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
introduction_put_tlv(struct session *s, u32 type, struct output *out)
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

const union client_address *
introduction_peer(const struct session *s)
{
    return s->values && s->values->preamble.known ? &s->values->preamble.address : &s->address;
}
