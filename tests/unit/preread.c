/*
 * The parsers of what a client sends first: MQTT's CONNECT and HTTP's request. Each input is given in every length: a
 * beginning says "more" until enough is there, and from then on always the same.
 */
#include "spcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) (const u8 *)(text), sizeof(text) - 1

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

static bool
is(const struct value *value, const char *text)
{
    return value->state == VALUE_FOUND && value->size == strlen(text) && memcmp(value->text, text, value->size) == 0;
}

static u8 room[PREREAD_TEXT];

/* One of the parsers, on a copy that ends where the data ends. values: what it must give, if it finds anything. */
static enum preread
parse_mqtt(const u8 *data, size_t size, const char *const values[2])
{
    struct mqtt mqtt;
    enum preread result = mqtt_parse(data, size, &mqtt);
    if (result != PREREAD_FOUND)
        return result;
    return is(&mqtt.client_id, values[0]) && is(&mqtt.user_name, values[1]) ? PREREAD_FOUND : PREREAD_NONE;
}

static enum preread
parse_request(const u8 *data, size_t size, const char *const values[2])
{
    struct value host;
    enum preread result = request_parse(data, size, &host, room);
    return result == PREREAD_FOUND && !is(&host, values[0]) ? PREREAD_NONE : result;
}

typedef enum preread parser(const u8 *data, size_t size, const char *const values[2]);

struct sample {
    const char *what;
    const u8 *data;
    size_t size, needed; /* bytes that decide */
    enum preread result;
    const char *values[2];
};

/* AGAIN for less than the bytes that are needed, the result from there on. */
static bool
decides(parser *parse, const struct sample *sample)
{
    for (size_t part = 0; part <= sample->size; part++) {
        u8 *exact = malloc(part > 0 ? part : 1);
        if (exact == NULL)
            return false;
        memcpy(exact, sample->data, part);
        enum preread seen = parse(exact, part, sample->values);
        free(exact);
        if (seen != (part < sample->needed ? PREREAD_AGAIN : sample->result))
            return false;
    }
    return true;
}

/* ---- MQTT: how many bytes decide, and what they say ---- */

static const struct sample connects[] = {
#define FOUND PREREAD_FOUND
#define NONE PREREAD_NONE
    {"3.1.1", BYTES("\x10\x0d\0\4MQTT\4\2\0\x3c\0\1a"), 15, FOUND, {"a", ""}},
    {"an identifier of no bytes", BYTES("\x10\x0c\0\4MQTT\4\2\0\x3c\0\0"), 14, FOUND, {"", ""}},
    {"a password that is not there yet", BYTES("\x10\x14\0\4MQTT\4\xc2\0\0\0\1a\0\1u\0\2pw"), 18, FOUND, {"a", "u"}},
    {"a length of two bytes", BYTES("\x10\x8d\0\0\4MQTT\4\2\0\x3c\0\1a"), 16, FOUND, {"a", ""}},
    {"a will", BYTES("\x10\x18\0\4MQTT\4\x86\0\0\0\1a\0\2to\0\1m\0\1u"), 25, FOUND, {"a", "u"}},
    {"a will without a user name", BYTES("\x10\x13\0\4MQTT\4\6\0\0\0\1a\0\1t\0\1m"), 15, FOUND, {"a", ""}},
    {"3.1", BYTES("\x10\x12\0\6MQIsdp\3\x82\0\0\0\1a\0\1u"), 20, FOUND, {"a", "u"}},
    {"3.1 without the name that its flag tells of", BYTES("\x10\x0f\0\6MQIsdp\3\x82\0\0\0\1a"), 17, FOUND, {"a", ""}},
    {"3.1 with the bit that is reserved since", BYTES("\x10\x0f\0\6MQIsdp\3\3\0\0\0\1a"), 17, FOUND, {"a", ""}},
    {"5.0", BYTES("\x10\x13\0\4MQTT\5\2\0\0\5\x11\0\0\0\x3c\0\1a"), 21, FOUND, {"a", ""}},
    {"5.0 with a will", BYTES("\x10\x18\0\4MQTT\5\x86\0\0\0\0\1a\1x\0\1t\0\1m\0\0"), 26, FOUND, {"a", ""}},
    {"a bridge of mosquitto's", BYTES("\x10\x0d\0\4MQTT\x84\2\0\x3c\0\1a"), 15, FOUND, {"a", ""}},
    {"what is no packet", BYTES("GET /"), 1, NONE, {0}},
    {"flags in the type", BYTES("\x11\x0d"), 1, NONE, {0}},
    {"another packet", BYTES("\x30\x0d"), 1, NONE, {0}},
    {"a length without end", BYTES("\x10\x80\x80\x80\x80\1"), 5, NONE, {0}},
    {"a name longer than the packet", BYTES("\x10\5\0\4MQTT"), 4, NONE, {0}},
    {"another protocol", BYTES("\x10\x0d\0\4MQTX\4\2\0\x3c\0\1a"), 10, NONE, {0}},
    {"the name of 3.1 with 3.1.1", BYTES("\x10\x0f\0\6MQIsdp\4\2\0\0\0\1a"), 12, NONE, {0}},
    {"level 2", BYTES("\x10\x0d\0\4MQTT\2\2\0\x3c\0\1a"), 10, NONE, {0}},
    {"level 6", BYTES("\x10\x0d\0\4MQTT\6\2\0\x3c\0\1a"), 10, NONE, {0}},
    {"the reserved bit", BYTES("\x10\x0d\0\4MQTT\4\3\0\x3c\0\1a"), 10, NONE, {0}},
    {"an identifier longer than the packet", BYTES("\x10\x0d\0\4MQTT\4\2\0\x3c\0\2a"), 14, NONE, {0}},
    {"properties longer than the packet", BYTES("\x10\x0d\0\4MQTT\5\2\0\x3c\4\0\1a"), 13, NONE, {0}},
    {"a user name that is not there", BYTES("\x10\x0d\0\4MQTT\4\x82\0\x3c\0\1a"), 15, NONE, {0}},
};

/* ---- HTTP: how many bytes decide, and the host ---- */

#define LINE "GET / HTTP/1.1\r\n"

static const struct sample requests[] = {
    {"a host", BYTES(LINE "Host: a.b\r\n\r\n"), 28, FOUND, {"a.b"}},
    {"bare line feeds", BYTES("GET / HTTP/1.0\nHost:a\n\n"), 23, FOUND, {"a"}},
    {"capital letters, a port, a dot", BYTES(LINE "HOST:\tA.b.:80 \r\nX"), 33, FOUND, {"a.b"}},
    {"IPv6", BYTES(LINE "Host: [::A]:80\r\n\r\n"), 33, FOUND, {"[::a]"}},
    {"another field first", BYTES(LINE "X: y\r\nHost: a\r\nZ"), 32, FOUND, {"a"}},
    {"the first of two", BYTES(LINE "Host: a\r\nHost: b\r\n\r\n"), 26, FOUND, {"a"}},
    {"no host", BYTES(LINE "\r\n"), 18, FOUND, {""}},
    {"an empty host", BYTES(LINE "Host: \r\n\r\n"), 25, FOUND, {""}},
    {"a host that is a dot", BYTES(LINE "Host: .\r\n\r\n"), 26, FOUND, {""}},
    {"an absolute target", BYTES("GET http://b/c HTTP/1.1\r\nHost: a\r\n"), 26, FOUND, {"b"}},
    {"an absolute target without a path", BYTES("GET a+1://b:1 HTTP/1.1\r\nHost: a\r\n"), 25, FOUND, {"b"}},
    {"CONNECT", BYTES("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n"), 25, FOUND, {"b"}},
    {"the server itself", BYTES("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 30, FOUND, {"a"}},
    {"empty lines before", BYTES("\r\n\n" LINE "Host: a\r\n\r\n"), 29, FOUND, {"a"}},
    {"what is no method", BYTES("\x16\3\1"), 1, NONE, {0}},
    {"no target", BYTES("PING\r\n"), 5, NONE, {0}},
    {"HTTP/0.9", BYTES("GET /\r\n"), 7, NONE, {0}},
    {"HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\n"), 16, NONE, {0}},
    {"no version", BYTES("GET / HTTP/1.\r\n\r\n"), 15, NONE, {0}},
    {"two spaces", BYTES("GET  / HTTP/1.1\r\n"), 17, NONE, {0}},
    {"a method of 33 bytes", BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ"), 33, NONE, {0}},
    {"a line that goes on", BYTES(LINE " Host: a\r\n\r\n"), 17, NONE, {0}},
    {"a host that goes on", BYTES(LINE "Host: a\r\n b\r\n\r\n"), 26, NONE, {0}},
    {"a space before the colon", BYTES(LINE "Host : a\r\n\r\n"), 26, NONE, {0}},
    {"no colon", BYTES(LINE "Host\r\n\r\n"), 22, NONE, {0}},
    {"a NUL", BYTES(LINE "X: \0\r\nHost: a\r\n\r\n"), 22, NONE, {0}},
    {"a bare return", BYTES(LINE "Host: a\rb\r\n\r\n"), 27, NONE, {0}},
    {"a user", BYTES(LINE "Host: u@a\r\n\r\n"), 27, NONE, {0}},
    {"a path", BYTES(LINE "Host: a/b\r\n\r\n"), 27, NONE, {0}},
    {"a port that is no number", BYTES(LINE "Host: a:b\r\n\r\n"), 27, NONE, {0}},
    {"two dots", BYTES(LINE "Host: a..b\r\n\r\n"), 28, NONE, {0}},
    {"an open bracket", BYTES(LINE "Host: [::1\r\n\r\n"), 28, NONE, {0}},
    {"two names", BYTES(LINE "Host: a b\r\n\r\n"), 27, NONE, {0}},
    {"a target without a host", BYTES("GET http:///a HTTP/1.1\r\n"), 24, NONE, {0}},
    {"a target that is a name", BYTES("GET a HTTP/1.1\r\n"), 16, NONE, {0}},
    {"CONNECT to a path", BYTES("CONNECT /a HTTP/1.1\r\n"), 21, NONE, {0}},
};

/* ---- how much is kept ---- */

/* A string of so many bytes in a CONNECT: as it is, or empty. */
static bool
keeps(size_t size)
{
    static u8 packet[4096] = "\x10\xff\x7f\0\4MQTT\4\2\0";
    struct mqtt mqtt;
    packet[13] = (u8)(size >> 8);
    packet[14] = (u8)size;
    memset(packet + 15, 'i', size);
    return mqtt_parse(packet, 15 + size, &mqtt) == PREREAD_FOUND && mqtt.client_id.size == size;
}

static bool
keeps_host(size_t size)
{
    static char text[4096];
    struct value host;
    int used = snprintf(text, sizeof text, "%sHost: %0*d\r\n\r\n", LINE, (int)size, 0);
    return request_parse((const u8 *)text, (size_t)used, &host, room) == PREREAD_FOUND && host.size == size;
}

int
main(void)
{
    for (size_t i = 0; i < sizeof connects / sizeof *connects; i++)
        report(decides(parse_mqtt, &connects[i]), connects[i].what);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        report(decides(parse_request, &requests[i]), requests[i].what);
    report(keeps(PREREAD_TEXT) && !keeps(PREREAD_TEXT + 1), "an identifier of 1024 bytes, and none of more");
    report(keeps_host(PREREAD_TEXT) && !keeps_host(PREREAD_TEXT + 1), "a host of 1024 bytes, and none of more");
    return failures != 0;
}
