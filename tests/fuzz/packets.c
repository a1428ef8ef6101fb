/*
 * First packets of a connection, the same for the same seed: ClientHellos of many shapes, in records of any size,
 * CONNECTs of MQTT and HTTP requests; most of them with a few bytes changed, left out or put in, and now and then bytes
 * that are nothing. In place of random.c.
 */
#include "fuzz.h"

#include <string.h>

struct writer {
    u64 state;
    u8 *data;
    size_t size, capacity;
};

static u32
below(struct writer *writer, u32 limit)
{
    writer->state ^= writer->state << 13; /* Marsaglia's xorshift64 */
    writer->state ^= writer->state >> 7;
    writer->state ^= writer->state << 17;
    return (u32)(writer->state >> 32) % limit;
}

static void
put(struct writer *writer, const void *data, size_t size)
{
    if (size > writer->capacity - writer->size)
        size = writer->capacity - writer->size;
    memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

static void
put_number(struct writer *writer, u32 bytes, size_t number)
{
    for (; bytes > 0; bytes--)
        put(writer, &(u8){(u8)(number >> 8 * (bytes - 1))}, 1);
}

static void
put_any(struct writer *writer, size_t size)
{
    for (; size > 0; size--)
        put_number(writer, 1, below(writer, 256));
}

/* Room for a length of so many bytes, and to fill it in when what it is of is there. */
static size_t
begin(struct writer *writer, u32 bytes)
{
    put_number(writer, bytes, 0);
    return writer->size;
}

static void
end(struct writer *writer, u32 bytes, size_t begun)
{
    size_t size = writer->size - begun;
    for (u32 i = 0; i < bytes && begun >= bytes; i++)
        writer->data[begun - bytes + i] = (u8)(size >> 8 * (bytes - 1 - i));
}

static void
put_server_name(struct writer *writer)
{
    static const char *const names[] = {"", "a", "www.Example.com", "a.example.", "1.2.3.4", "a\1b"};
    const char *name = names[below(writer, 6)];
    size_t list = begin(writer, 2);
    put_number(writer, 1, below(writer, 20) == 0);
    put_number(writer, 2, strlen(name));
    put(writer, name, strlen(name));
    end(writer, 2, list);
}

static void
put_protocols(struct writer *writer)
{
    static const char *const protocols[] = {"h2", "http/1.1", "imap", "h3", "a,b"};
    size_t list = begin(writer, 2);
    for (u32 i = 1 + below(writer, 3); i > 0; i--) {
        const char *protocol = protocols[below(writer, 5)];
        put_number(writer, 1, strlen(protocol));
        put(writer, protocol, strlen(protocol));
    }
    end(writer, 2, list);
}

static void
put_extension(struct writer *writer)
{
    static const u16 types[] = {0, 16, 43, 10, 13, 35, 51};
    u16 type = types[below(writer, 7)];
    put_number(writer, 2, type);
    size_t extension = begin(writer, 2);
    if (type == 0)
        put_server_name(writer);
    else if (type == 16)
        put_protocols(writer);
    else if (type == 43)
        put(writer, "\4\3\4\3\3", 5);
    else
        put_any(writer, type == 51 && below(writer, 4) == 0 ? 1220 : below(writer, 40));
    end(writer, 2, extension);
}

static void
put_hello(struct writer *writer)
{
    put_number(writer, 1, 1);
    size_t message = begin(writer, 3);
    put_number(writer, 2, 0x300 + below(writer, 5));
    put_any(writer, 32);
    u32 id = below(writer, 2) * 32;
    put_number(writer, 1, id);
    put_any(writer, id);
    put(writer, "\0\4\x13\1\x13\2\1", 8);
    if (below(writer, 10) > 0) {
        size_t extensions = begin(writer, 2);
        for (u32 i = below(writer, 7); i > 0; i--)
            put_extension(writer);
        end(writer, 2, extensions);
    }
    end(writer, 3, message);
}

static void
put_records(struct writer *writer, const u8 *message, size_t size)
{
    static const u32 sizes[] = {16384, 16384, 16384, 200, 30, 1};
    for (u32 most = sizes[below(writer, 6)]; size > 0;) {
        size_t piece = below(writer, 5) > 0 ? most : below(writer, most + 1);
        piece = piece < size ? piece : size;
        put(writer, "\x16\3\1", 3);
        put_number(writer, 2, piece);
        put(writer, message, piece);
        message += piece;
        size -= piece;
    }
}

static void
put_hello_in_records(struct writer *writer)
{
    static u8 message[8192];
    struct writer plain = {.state = writer->state, .data = message, .capacity = sizeof message};
    put_hello(&plain);
    writer->state = plain.state;
    put_records(writer, message, plain.size);
}

/* ---- MQTT ---- */

static void
put_string(struct writer *writer, const char *text)
{
    put_number(writer, 2, strlen(text));
    put(writer, text, strlen(text));
}

static void
put_varint(struct writer *writer, size_t number)
{
    for (; number > 127; number >>= 7)
        put_number(writer, 1, 128 | (number & 127));
    put_number(writer, 1, number);
}

static void
put_properties(struct writer *writer, u32 level)
{
    u32 size = below(writer, 3) ? 0 : below(writer, 200);
    if (level < 5)
        return;
    put_varint(writer, size);
    put_any(writer, size);
}

static void
put_payload(struct writer *writer, u32 level, u32 flags)
{
    static const char *const names[] = {"", "a", "device-17", "eu/\1", "one client with quite a long name of its own"};
    put_string(writer, names[below(writer, 5)]);
    if (flags & 4) {
        put_properties(writer, level);
        put_string(writer, "last/will");
        put_string(writer, names[below(writer, 5)]);
    }
    if (flags & 128)
        put_string(writer, names[below(writer, 5)]);
    if (flags & 64)
        put_string(writer, "secret");
}

static void
put_connect(struct writer *writer)
{
    static u8 packet[2048];
    struct writer plain = {.state = writer->state, .data = packet, .capacity = sizeof packet};
    u32 level = 3 + below(&plain, 3), flags = 2 | (below(&plain, 64) << 2 & 0xc4);
    put_string(&plain, level == 3 ? "MQIsdp" : "MQTT");
    put_number(&plain, 1, level);
    put_number(&plain, 1, flags);
    put_number(&plain, 2, 60);
    put_properties(&plain, level);
    put_payload(&plain, level, flags);
    writer->state = plain.state;
    put_number(writer, 1, 0x10);
    put_varint(writer, plain.size);
    put(writer, packet, plain.size);
}

/* ---- HTTP ---- */

static void
put_one(struct writer *writer, const char *const *texts, u32 count)
{
    const char *text = texts[below(writer, count)];
    put(writer, text, strlen(text));
}

static void
put_request(struct writer *writer)
{
    static const char *const methods[] = {"GET", "POST", "CONNECT", "M-SEARCH", "\r\nGET"};
    static const char *const targets[] = {"/", "/a?b", "*", "http://a.example/b", "h://[::1]:80", "a.example:443", "x"};
    static const char *const versions[] = {"HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.x"};
    static const char *const fields[] = {"Host: a.example", "host:B.example:81", "Host: [2001:db8::1]", "Host:",
                                         "Accept: text", "X: ", " folded", "Host : a", "Host: a..b", "Host: a.b."};
    static const char *const ends[] = {"\r\n", "\r\n", "\r\n", "\n"};
    put_one(writer, methods, 5);
    put(writer, " ", 1);
    put_one(writer, targets, 7);
    put(writer, " ", 1);
    put_one(writer, versions, 5);
    put_one(writer, ends, 4);
    for (u32 i = below(writer, 5); i > 0; i--) {
        put_one(writer, fields, 10);
        put_one(writer, ends, 4);
    }
    put_one(writer, ends, 4);
}

/* ---- any of them ---- */

/* Change a byte, or leave some out, or end there; mostly near the beginning. */
static void
spoil(struct writer *writer)
{
    u32 span = below(writer, 2) ? 60 : (u32)writer->size;
    u32 at = below(writer, span), size = 1 + below(writer, 4);
    if (at + size >= writer->size)
        return;
    u8 *here = writer->data + at;
    switch (below(writer, 5)) {
    case 0:
        *here ^= (u8)(1 << below(writer, 8));
        break;
    case 1:
        *here = (u8)(*here + 1 - 2 * below(writer, 2));
        break;
    case 2:
        *here = (u8)below(writer, 256);
        break;
    case 3:
        writer->size -= size;
        memmove(here, here + size, writer->size - at);
        break;
    default:
        if (below(writer, 4) == 0)
            writer->size = at;
    }
}

size_t
random_text(u64 seed, char *text, size_t capacity)
{
    static void (*const kinds[])(struct writer *) = {put_hello_in_records, put_hello_in_records, put_connect,
                                                     put_request};
    struct writer writer = {.state = (seed + 1) * 0x9e3779b97f4a7c15u, .data = (u8 *)text, .capacity = capacity};
    if (below(&writer, 20) == 0)
        put_any(&writer, below(&writer, 100));
    kinds[below(&writer, 4)](&writer);
    if (below(&writer, 4) == 0)
        put_any(&writer, below(&writer, 100));
    for (u32 i = below(&writer, 4); i > 0 && writer.size > 0; i--)
        spoil(&writer);
    return writer.size;
}
