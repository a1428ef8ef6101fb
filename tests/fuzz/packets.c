/*
 * First packets of a connection, the same for the same seed: ClientHellos of many shapes, in records of any size, most
 * of them with a few bytes changed, left out or put in, and now and then bytes that are nothing. In place of random.c.
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
    static u8 message[8192];
    u64 state = (seed + 1) * 0x9e3779b97f4a7c15u;
    struct writer plain = {.state = state, .data = message, .capacity = sizeof message};
    put_hello(&plain);
    struct writer writer = {.state = plain.state, .data = (u8 *)text, .capacity = capacity};
    if (below(&writer, 20) == 0)
        put_any(&writer, below(&writer, 100));
    put_records(&writer, message, plain.size);
    if (below(&writer, 4) == 0)
        put_any(&writer, below(&writer, 100));
    for (u32 i = below(&writer, 4); i > 0 && writer.size > 0; i--)
        spoil(&writer);
    return writer.size;
}
