/*
 * ssl_preread: what a client sends first is read and kept for the upstream, until it is seen to be a ClientHello, or to
 * be none. RFC 8446, sections 4.1.2, 5.1; RFC 6066, section 3; RFC 7301, section 3.1. Where a client is at fault, the
 * outcome is nginx's.
 */
#include "spcd.h"

#include <errno.h>
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

/* ---- the ClientHello ---- */

/* The handshake message, which goes on in the next record where one ends. */
struct cursor {
    const u8 *at, *end;           /* of this record */
    const u8 *next, *limit;       /* the next record, if it is whole; what there is */
    size_t left;                  /* bytes that the message says it still has */
    enum preread failed;          /* why take() gave nothing */
};

/* Go to the next record. False: it is not there, or is none. */
static bool
next_record(struct cursor *cursor)
{
    const u8 *head = cursor->next;
    cursor->failed = PREREAD_AGAIN;
    if (cursor->limit - head < RECORD_HEAD)
        return false;
    cursor->failed = PREREAD_NONE;
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

/* The next size bytes, copied to room unless it is NULL. False: failed says why. */
static bool
take(struct cursor *cursor, u8 *room, size_t size)
{
    if (size > cursor->left) {
        cursor->failed = PREREAD_NONE;
        return false;
    }
    cursor->left -= size;
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

/* A number of so many bytes. */
static bool
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

/* A vector behind its length, which nobody reads. */
static bool
skip(struct cursor *cursor, u32 bytes)
{
    size_t size;
    return take_number(cursor, bytes, &size) && take(cursor, NULL, size);
}

static bool
is_wrong(struct cursor *cursor)
{
    cursor->failed = PREREAD_NONE;
    return false;
}

static bool
take_server_name(struct cursor *cursor, struct hello *hello, u8 *room)
{
    size_t list, type, size;
    if (!take_number(cursor, 2, &list) || !take_number(cursor, 1, &type) || !take_number(cursor, 2, &size))
        return false;
    if (type != 0 || list < 3 + size)
        return is_wrong(cursor);
    u8 *name = size <= HELLO_NAME ? room : NULL; /* a longer one is no host's */
    if (!take(cursor, name, size))
        return false;
    hello->server_name = (struct value){room, name ? (u32)size : 0, VALUE_FOUND};
    return take(cursor, NULL, list - 3 - size);
}

static bool
take_alpn(struct cursor *cursor, struct hello *hello, u8 *room)
{
    size_t list, size;
    u32 used = 0;
    if (!take_number(cursor, 2, &list))
        return false;
    do {
        if (!take_number(cursor, 1, &size))
            return false;
        if (size == 0 || list < 1 + size)
            return is_wrong(cursor);
        list -= 1 + size;
        bool fits = used + size + 1 <= HELLO_ALPN;
        if (!take(cursor, fits ? room + used : NULL, size))
            return false;
        used += fits ? (u32)size : 0;
        if (list > 0 && fits)
            room[used++] = ',';
    } while (list > 0);
    hello->alpn = (struct value){room, used, VALUE_FOUND};
    return true;
}

/* That it is there means TLS 1.3. */
static bool
take_versions(struct cursor *cursor, struct hello *hello)
{
    size_t size;
    if (!take_number(cursor, 1, &size))
        return false;
    hello->version[0] = 3;
    hello->version[1] = 4;
    return take(cursor, NULL, size);
}

static bool
take_extension(struct cursor *cursor, struct hello *hello, u8 *name, u8 *alpn)
{
    size_t type, size;
    if (!take_number(cursor, 2, &type) || !take_number(cursor, 2, &size))
        return false;
    if (type == EXTENSION_SERVER_NAME && hello->server_name.state == VALUE_UNKNOWN)
        return take_server_name(cursor, hello, name);
    if (type == EXTENSION_ALPN && hello->alpn.state == VALUE_UNKNOWN)
        return take_alpn(cursor, hello, alpn);
    if (type == EXTENSION_SUPPORTED_VERSIONS)
        return take_versions(cursor, hello);
    return take(cursor, NULL, size);
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
    if (!take_number(cursor, 2, &size))
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
preread_parse(const u8 *data, size_t size, struct hello *hello, u8 *name, u8 *alpn)
{
    struct cursor cursor = {.at = data, .end = data, .next = data, .limit = data + size};
    *hello = (struct hello){0};
    if (size >= RECORD_HEAD && data[0] & 0x80 && data[2] == CLIENT_HELLO && (data[3] == 0 || data[3] == 3)) {
        memcpy(hello->version, data + 3, sizeof hello->version);
        fill(hello);
        return PREREAD_FOUND;
    }
    if (!take_hello(&cursor, hello, name, alpn))
        return cursor.failed;
    fill(hello);
    return PREREAD_FOUND;
}

/* ---- reading ---- */

static void
keep(struct session *s, const struct hello *hello)
{
    struct hello *kept = &values_of(s)->hello;
    *kept = *hello;
    kept->server_name = value_keep(s, hello->server_name.text, hello->server_name.size);
    kept->alpn = value_keep(s, hello->alpn.text, hello->alpn.size);
}

/* The server of that name takes the session, as nginx has it since 1.25.5. */
static void
choose_server(struct session *s, const struct value *name)
{
    const struct blob *blob = s->shard->blob;
    if (!session_endpoint(s)->names || name->size == 0)
        return;
    u32 found = map_value(s, session_endpoint(s)->names, name->text, name->size);
    if (found)
        s->server = &blob->server[blob->value[found].server];
}

/* Look at what has been read. */
static enum step
judge(struct session *s)
{
    u8 name[HELLO_NAME], alpn[HELLO_ALPN];
    struct hello hello;
    const struct side *side = &s->upstream;
    enum preread result = preread_parse(side->buffer, side->end, &hello, name, alpn);
    if (result == PREREAD_AGAIN && side->end < s->server->preread_buffer_size)
        return STEP_WAITS;
    if (result == PREREAD_AGAIN) {
        session_log(s, LEVEL_ERROR, 0, "preread buffer full");
        session_end(s, CLOSE_preread_full);
        return STEP_ENDED;
    }
    if (result == PREREAD_FOUND) {
        keep(s, &hello);
        choose_server(s, &s->values->hello.server_name);
    }
    return STEP_NEXT;
}

/* Read until it is decided. */
static enum step
read_more(struct session *s)
{
    struct side *side = &s->upstream;
    for (;;) {
        ssize_t got = recv(s->client.io.fd, side->buffer + side->end, s->server->preread_buffer_size - side->end, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return STEP_WAITS;
        if (got < 0)
            session_log(s, session_error_level(s, &s->client, errno), errno, "recv() failed");
        if (got <= 0) {
            session_end(s, CLOSE_preread_end);
            return STEP_ENDED;
        }
        side->end += (u32)got; /* not counted as received, as in nginx */
        enum step step = judge(s);
        if (step != STEP_WAITS)
            return step;
    }
}

/* It is decided: what was read goes to the upstream first. */
static enum step
finish(struct session *s)
{
    side_watch(s, &s->client, 0);
    return STEP_NEXT;
}

static void
on_read(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    if (read_more(s) != STEP_NEXT)
        return;
    finish(s);
    s->step++;
    session_run(s);
}

enum step
preread_step(struct session *s)
{
    if (!(s->server->flags & SERVER_SSL_PREREAD) || session_is_udp(s))
        return STEP_NEXT;
    s->phase = PHASE_PREREAD;
    s->action = "prereading client data";
    s->preread = true;
    s->upstream.buffer = slab_take(&s->shard->buffers); /* two for each session: there is one */
    s->upstream.at = s->upstream.end = 0;
    values_of(s);
    side_open(s, &s->client, s->client.io.fd, on_read);
    enum step step = read_more(s);
    if (step == STEP_NEXT)
        return finish(s);
    if (step == STEP_WAITS) {
        side_watch(s, &s->client, EV_READ);
        session_timer(s, (double)s->server->preread_timeout_ms / 1000);
    }
    return step;
}

void
preread_timeout(struct session *s)
{
    session_end(s, CLOSE_preread_timeout);
}
