/*
 * Values: the ops of an expression run in order, each appending its text. One function for each row of
 * variables.def.
 */
#include "spcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NGINX_VERSION "1.31.5" /* the one whose behaviour is followed */

struct output {
    u8 *text;
    size_t size, at; /* at may go beyond size: then it did not fit */
};

static void
put(struct output *out, const char *text, size_t length)
{
    if (out->at + length <= out->size)
        memcpy(out->text + out->at, text, length);
    out->at += length;
}

static void __attribute__((format(printf, 2, 3)))
print(struct output *out, const char *format, ...)
{
    char text[ADDRESS_TEXT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(out, text, length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void
put_ip(struct output *out, const struct sockaddr *address)
{
    char text[ADDRESS_TEXT];
    address_print(address, false, text);
    put(out, text, strlen(text));
}

static void
put_port(struct output *out, const struct sockaddr *address)
{
    if (address_port(address))
        print(out, "%u", address_port(address));
}

static void
variable_remote_addr(const struct session *s, struct output *out)
{
    put_ip(out, &s->address.any);
}

static void
variable_remote_port(const struct session *s, struct output *out)
{
    put_port(out, &s->address.any);
}

static void
variable_server_addr(const struct session *s, struct output *out)
{
    union client_address local = session_local_address(s);
    const struct blob_address *record = &s->shard->blob->address[s->listener->address];
    if (record->family == FAMILY_UNIX)
        print(out, "%s", blob_string(s->shard->blob, record->text));
    else
        put_ip(out, &local.any);
}

static void
variable_server_port(const struct session *s, struct output *out)
{
    union client_address local = session_local_address(s);
    put_port(out, &local.any);
}

static void
variable_protocol(const struct session *s, struct output *out)
{
    (void)s;
    print(out, "TCP");
}

static void
variable_connection(const struct session *s, struct output *out)
{
    print(out, "%llu", (unsigned long long)s->number);
}

static void
variable_hostname(const struct session *s, struct output *out)
{
    (void)s;
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    for (char *at = name; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    put(out, name, strlen(name));
}

static void
variable_pid(const struct session *s, struct output *out)
{
    (void)s;
    print(out, "%d", getpid());
}

static void
variable_msec(const struct session *s, struct output *out)
{
    double now = ev_now(s->shard->worker->loop);
    print(out, "%.3f", now);
}

static void
variable_nginx_version(const struct session *s, struct output *out)
{
    (void)s;
    print(out, "%s", NGINX_VERSION);
}

static void
variable_spcd_version(const struct session *s, struct output *out)
{
    (void)s;
    print(out, "%s", SPC_VERSION);
}

static void (*const variables[])(const struct session *, struct output *) = {
#define VARIABLE(id, says) [VARIABLE_##id] = variable_##id,
#include "variables.def"
#undef VARIABLE
};

size_t
expr_run(const struct session *s, const struct blob_expr *expr, u8 *text, size_t size)
{
    struct output out = {text, size, 0};
    const struct blob *blob = s->shard->blob;
    for (u32 i = 0; i < expr->op_count; i++) {
        const struct blob_op *op = &blob->op[expr->op + i];
        if (op->kind == OP_TEXT)
            put(&out, blob_string(blob, op->text), op->text_size);
        else if (op->kind == OP_VARIABLE && op->variable != VARIABLE_none)
            variables[op->variable](s, &out);
    }
    return out.at;
}
