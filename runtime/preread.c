/*
 * ssl_preread, mqtt_preread, http_preread: what a client sends first is read and kept for the upstream, until hello.c,
 * mqtt.c or request.c sees in it what it knows, or all that are asked see nothing in it. The buffer is the one in which
 * the upstream's bytes wait afterwards.
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* ---- what is looked for; what a session that ends here has said so far is for its log, as in nginx ---- */

static struct value
keep(struct session *s, const struct value *value)
{
    return value_keep(s, value->text, value->size);
}

static enum preread
look_for_hello(struct session *s, bool last)
{
    u8 name[HELLO_NAME], alpn[HELLO_ALPN];
    struct hello hello;
    const struct side *side = &s->upstream;
    enum preread result = hello_parse(side->buffer, side->end, &hello, name, alpn);
    if (result == PREREAD_FOUND || (result == PREREAD_AGAIN && last)) {
        hello.server_name = keep(s, &hello.server_name);
        hello.alpn = keep(s, &hello.alpn);
        s->values->hello = hello;
    }
    return result;
}

static enum preread
look_for_mqtt(struct session *s, bool last)
{
    struct mqtt mqtt;
    const struct side *side = &s->upstream;
    enum preread result = mqtt_parse(side->buffer, side->end, &mqtt);
    if (result == PREREAD_FOUND || (result == PREREAD_AGAIN && last))
        s->values->mqtt = (struct mqtt){keep(s, &mqtt.client_id), keep(s, &mqtt.user_name)};
    return result;
}

static enum preread
look_for_request(struct session *s, bool last)
{
    (void)last; /* there is no part of a name */
    u8 room[PREREAD_TEXT];
    struct value host;
    const struct side *side = &s->upstream;
    enum preread result = request_parse(side->buffer, side->end, &host, room);
    if (result == PREREAD_FOUND)
        s->values->host = keep(s, &host);
    return result;
}

static const struct kind {
    u32 flag;
    enum preread (*look)(struct session *session, bool last);
} kinds[] = {
    {SERVER_SSL_PREREAD, look_for_hello},
    {SERVER_MQTT_PREREAD, look_for_mqtt},
    {SERVER_HTTP_PREREAD, look_for_request},
};

/* Look at what has been read. No beginning is of two kinds. */
static enum preread
look(struct session *s, bool last)
{
    enum preread result = PREREAD_NONE;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && result != PREREAD_FOUND; i++) {
        if (!(s->server->flags & kinds[i].flag))
            continue;
        enum preread one = kinds[i].look(s, last && s->upstream.end > 0);
        result = one == PREREAD_NONE ? result : one;
    }
    return result;
}

/* ---- which server it is for ---- */

/* A name as nginx looks for it: in lower case, without a port or a dot at its end. Its size; 0: it is no host's. */
static u32
read_host(const struct value *name, u8 room[HELLO_NAME])
{
    bool literal = name->size > 0 && name->text[0] == '[', over = false;
    u32 size = name->size;
    u8 before = 0;
    for (u32 i = 0; i < name->size; i++) {
        u8 c = name->text[i];
        if (c <= ' ' || c == '/' || c == 0x7f || (c == '.' && before == '.'))
            return 0;
        if (!over && (literal ? c == ']' : c == ':')) {
            size = i + literal;
            over = true;
        }
        room[i] = before = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    }
    return size - (size > 0 && room[size - 1] == '.');
}

static bool
is_hostname(const struct session *s, const u8 *name, u32 size)
{
    const char *own = s->shard->generation->hostname;
    return size == strlen(own) && strncasecmp((const char *)name, own, size) == 0;
}

/* The number of the server of that name; 0: there is none. */
static u32
find_server(struct session *s, const struct value *name)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_endpoint *endpoint = session_endpoint(s);
    u8 host[HELLO_NAME];
    u32 size = endpoint->names ? read_host(name, host) : 0;
    if (size == 0)
        return 0;
    if (endpoint->own && is_hostname(s, host, size))
        return endpoint->own;
    u32 found = map_value(s, endpoint->names, host, size);
    return found ? blob->value[found].server : 0;
}

/* It takes the session, as nginx has it since 1.25.5, and gives its own variables their values. */
static void
choose_server(struct session *s, const struct value *name)
{
    const struct blob_server *server = &s->shard->blob->server[find_server(s, name)];
    if (server == s->shard->blob->server || server == s->server)
        return;
    s->server = server;
    slot_assign(s);
}

/* ---- reading ---- */

static enum step
end(struct session *s, enum close reason)
{
    look(s, true);
    session_end(s, reason);
    return STEP_ENDED;
}

static enum step
judge(struct session *s)
{
    bool full = s->upstream.end >= s->server->preread_buffer_size;
    enum preread result = look(s, false);
    if (result == PREREAD_AGAIN && full)
        session_log(s, LEVEL_ERROR, 0, "preread buffer full");
    if (result == PREREAD_AGAIN)
        return full ? end(s, CLOSE_preread_full) : STEP_WAITS;
    if (result == PREREAD_FOUND)
        choose_server(s, s->values->host.size > 0 ? &s->values->host : &s->values->hello.server_name);
    return STEP_NEXT;
}

/* Read until it is decided. */
static enum step
read_more(struct session *s)
{
    struct side *side = &s->upstream;
    for (;;) {
        size_t room = s->server->preread_buffer_size - side->end;
        ssize_t got = recv(s->client.io.fd, side->buffer + side->end, room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return STEP_WAITS;
        if (got < 0)
            session_log(s, session_error_level(s, &s->client, errno), errno, "recv() failed");
        if (got <= 0)
            return end(s, CLOSE_preread_end);
        side->end += (u32)got; /* not counted as received, as in nginx */
        s->drained = (size_t)got < room;
        enum step step = judge(s);
        if (step != STEP_WAITS)
            return step;
    }
}

static void
on_read(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct session *s = io->data;
    if (read_more(s) == STEP_NEXT)
        session_go_on(s);
}

enum step
preread_step(struct session *s)
{
    if (!(s->server->flags & SERVER_PREREADS) || session_is_udp(s))
        return STEP_NEXT;
    s->phase = PHASE_PREREAD;
    s->action = "prereading client data";
    s->preread = true;
    values_of(s);
    side_open(s, &s->client, s->client.io.fd, on_read);
    enum step step = s->upstream.buffer ? judge(s) : STEP_WAITS; /* it was passed on with what was read */
    if (!s->upstream.buffer) {
        s->upstream.buffer = slab_take(&s->shard->buffers); /* two for each session: there is one */
        s->upstream.at = s->upstream.end = 0;
    }
    if (step == STEP_WAITS)
        step = read_more(s);
    if (step == STEP_WAITS) {
        side_watch(s, &s->client, EV_READ);
        session_timer(s, (double)s->server->preread_timeout_ms / 1000);
    }
    return step;
}

void
preread_timeout(struct session *s)
{
    end(s, CLOSE_preread_timeout);
}
