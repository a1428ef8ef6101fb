/*
 * The ClientHello: bytes in, what they ask for out; reading them is preread.c's. RFC 8446, sections 4.1.2, 5.1;
 * RFC 6066, section 3; RFC 7301, section 3.1. Where a client is at fault, the outcome is nginx's, since 1.30.7: the
 * lengths must agree, and no name may be given twice.
 */
#include "spcd.h"

#include <string.h>

enum {
    RECORD_HEAD = 5,
    HANDSHAKE = 22,
    CLIENT_HELLO = 1,
    RANDOM_SIZE = 32,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    EXTENSION_SUPPORTED_VERSIONS = 43,
};

/* The handshake message, which goes on in the next record where one ends. */
struct cursor {
    const u8 *at, *end;           /* of this record */
    const u8 *next, *limit;       /* the next record, if it is whole; what there is */
    size_t left;                  /* bytes that the message says it still has */
    enum preread failed;          /* why take() gave nothing */
};

/* A ClientHello of SSL 2, or in its form; nginx looks for one in every record's place. */
static bool
is_version_2(const u8 *head)
{
    return head[0] & 0x80 && head[2] == CLIENT_HELLO && (head[3] == 0 || head[3] == 3);
}

/* Go to the next record. False: it is not there, or is none. */
static bool
next_record(struct cursor *cursor)
{
    const u8 *head = cursor->next;
    cursor->failed = PREREAD_AGAIN;
    if (cursor->limit - head < RECORD_HEAD)
        return false;
    cursor->failed = is_version_2(head) ? PREREAD_FOUND : PREREAD_NONE;
    if (head[0] != HANDSHAKE || head[1] != 3)
        return false;
    size_t size = (size_t)head[3] << 8 | head[4];
    cursor->failed = PREREAD_AGAIN;
    if ((size_t)(cursor->limit - head) < RECORD_HEAD + size)
        return false;
    cursor->at = head + RECORD_HEAD;
    cursor->end = cursor->next = cursor->at + size;
    return true;
}

/* As take(), where a record ends within. */
static bool
take_over(struct cursor *cursor, u8 *room, size_t size)
{
    while (size > 0) {
        size_t here = (size_t)(cursor->end - cursor->at), piece = here < size ? here : size;
        if (room) {
            memcpy(room, cursor->at, piece);
            room += piece;
        }
        cursor->at += piece;
        size -= piece;
        if (size > 0 && !next_record(cursor))
            return false;
    }
    return true;
}

/* The next size bytes, copied to room unless it is NULL. False: failed says why. */
static inline bool
take(struct cursor *cursor, u8 *room, size_t size)
{
    if (size > cursor->left) {
        cursor->failed = PREREAD_NONE;
        return false;
    }
    cursor->left -= size;
    if (size > (size_t)(cursor->end - cursor->at))
        return take_over(cursor, room, size);
    if (room)
        memcpy(room, cursor->at, size);
    cursor->at += size;
    return true;
}

/* A number of so many bytes. */
static inline bool
take_number(struct cursor *cursor, u32 bytes, size_t *number)
{
    u8 data[4];
    *number = 0;
    if (!take(cursor, data, bytes))
        return false;
    for (u32 i = 0; i < bytes; i++)
        *number = *number << 8 | data[i];
    return true;
}

static bool
is_wrong(struct cursor *cursor)
{
    cursor->failed = PREREAD_NONE;
    return false;
}

/* The length of what fills the rest of an extension of size bytes, whose own length has so many. */
static bool
take_rest(struct cursor *cursor, u32 bytes, size_t size, size_t *rest)
{
    if (!take_number(cursor, bytes, rest))
        return false;
    return *rest + bytes == size || is_wrong(cursor);
}

/* A vector behind its length, which nobody reads. */
static bool
skip(struct cursor *cursor, u32 bytes)
{
    size_t size;
    return take_number(cursor, bytes, &size) && take(cursor, NULL, size);
}

static bool
take_server_name(struct cursor *cursor, struct hello *hello, u8 *room, size_t whole)
{
    size_t list, size; /* size is behind the type of the name: 0, a host's */
    if (hello->server_name.state != VALUE_UNKNOWN)
        return is_wrong(cursor);
    if (!take_rest(cursor, 2, whole, &list))
        return false;
    if (list < 3)
        return is_wrong(cursor);
    if (!take_number(cursor, 3, &size))
        return false;
    if (list < 3 + size)
        return is_wrong(cursor);
    u8 *name = size <= HELLO_NAME ? room : NULL; /* a longer one is no host's */
    if (!take(cursor, name, size))
        return false;
    hello->server_name = (struct value){room, name ? (u32)size : 0, VALUE_FOUND};
    return take(cursor, NULL, list - 3 - size);
}

static bool
take_alpn(struct cursor *cursor, struct hello *hello, u8 *room, size_t whole)
{
    size_t list, size;
    if (hello->alpn.state != VALUE_UNKNOWN)
        return is_wrong(cursor);
    if (!take_rest(cursor, 2, whole, &list))
        return false;
    if (list == 0)
        return is_wrong(cursor);
    hello->alpn = (struct value){room, 0, VALUE_FOUND};
    u32 *used = &hello->alpn.size;
    while (list > 0) {
        if (!take_number(cursor, 1, &size))
            return false;
        if (size == 0 || list < 1 + size)
            return is_wrong(cursor);
        list -= 1 + size;
        bool fits = *used + size + 1 <= HELLO_ALPN;
        if (!take(cursor, fits ? room + *used : NULL, size))
            return false;
        *used += fits ? (u32)size : 0;
        if (list > 0 && fits)
            room[(*used)++] = ',';
    }
    return true;
}

/* That it is there means TLS 1.3. */
static bool
take_versions(struct cursor *cursor, struct hello *hello, size_t whole)
{
    size_t size;
    if (!take_rest(cursor, 1, whole, &size))
        return false;
    if (size < 2)
        return is_wrong(cursor);
    hello->version[0] = 3;
    hello->version[1] = 4;
    return take(cursor, NULL, size);
}

static bool
take_extension(struct cursor *cursor, struct hello *hello, u8 *name, u8 *alpn)
{
    size_t head;
    if (!take_number(cursor, 4, &head))
        return false;
    size_t type = head >> 16, size = head & 0xffff;
    switch (type) {
    case EXTENSION_SERVER_NAME:
        return take_server_name(cursor, hello, name, size);
    case EXTENSION_ALPN:
        return take_alpn(cursor, hello, alpn, size);
    case EXTENSION_SUPPORTED_VERSIONS:
        return take_versions(cursor, hello, size);
    default:
        return take(cursor, NULL, size);
    }
}

static bool
take_hello(struct cursor *cursor, struct hello *hello, u8 *name, u8 *alpn)
{
    size_t type, size;
    cursor->left = 4;
    if (!take_number(cursor, 1, &type) || !take_number(cursor, 3, &size))
        return false;
    if (type != CLIENT_HELLO)
        return is_wrong(cursor);
    cursor->left = size;
    if (!take(cursor, hello->version, sizeof hello->version) || !take(cursor, NULL, RANDOM_SIZE) || !skip(cursor, 1) ||
        !skip(cursor, 2) || !skip(cursor, 1))
        return false;
    if (cursor->left == 0)
        return true;
    if (!take_rest(cursor, 2, cursor->left, &size))
        return false;
    while (cursor->left > 0)
        if (!take_extension(cursor, hello, name, alpn))
            return false;
    return true;
}

/* What has no such extension has an empty one, as in nginx. */
static void
fill(struct hello *hello)
{
    static const struct value empty = {(const u8 *)"", 0, VALUE_FOUND};
    if (hello->server_name.state == VALUE_UNKNOWN)
        hello->server_name = empty;
    if (hello->alpn.state == VALUE_UNKNOWN)
        hello->alpn = empty;
}

enum preread
hello_parse(const u8 *data, size_t size, struct hello *hello, u8 *name, u8 *alpn)
{
    struct cursor cursor = {.at = data, .end = data, .next = data, .limit = data + size};
    *hello = (struct hello){0};
    bool whole = take_hello(&cursor, hello, name, alpn);
    if (!whole && cursor.failed == PREREAD_FOUND)
        memcpy(hello->version, cursor.next + 3, sizeof hello->version);
    fill(hello);
    return whole ? PREREAD_FOUND : cursor.failed;
}
