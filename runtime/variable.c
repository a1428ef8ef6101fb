/*
 * The variables of nginx and our own: a session in, text out. One function for each row of variables.def; false
 * means that there is no such thing for this session, which a log shows as "-".
 */
#include "spcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NGINX_VERSION "1.31.5" /* the one whose behaviour is followed */

static void
put_ip(struct output *out, const struct sockaddr *address)
{
    char text[ADDRESS_TEXT];
    address_print(address, false, text);
    output_put(out, text, strlen(text));
}

static void
put_port(struct output *out, const struct sockaddr *address)
{
    if (address_port(address))
        output_print(out, "%u", address_port(address));
}

static bool
variable_remote_addr(struct session *s, struct output *out)
{
    put_ip(out, &s->address.any);
    return true;
}

static bool
variable_remote_port(struct session *s, struct output *out)
{
    put_port(out, &s->address.any);
    return true;
}

static bool
variable_server_addr(struct session *s, struct output *out)
{
    union client_address local = session_local_address(s);
    const struct blob_address *record = &s->shard->blob->address[s->listener->address];
    if (record->family == FAMILY_UNIX)
        output_print(out, "%s", blob_string(s->shard->blob, record->text));
    else
        put_ip(out, &local.any);
    return true;
}

static bool
variable_server_port(struct session *s, struct output *out)
{
    union client_address local = session_local_address(s);
    put_port(out, &local.any);
    return true;
}

static bool
variable_protocol(struct session *s, struct output *out)
{
    output_print(out, session_is_udp(s) ? "UDP" : "TCP");
    return true;
}

static bool
variable_connection(struct session *s, struct output *out)
{
    output_print(out, "%llu", (unsigned long long)s->number);
    return true;
}

static bool
variable_hostname(struct session *s, struct output *out)
{
    (void)s;
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    for (char *at = name; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    output_put(out, name, strlen(name));
    return true;
}

static bool
variable_pid(struct session *s, struct output *out)
{
    (void)s;
    output_print(out, "%d", getpid());
    return true;
}

static bool
variable_msec(struct session *s, struct output *out)
{
    double now = ev_now(s->shard->worker->loop);
    output_print(out, "%.3f", now);
    return true;
}

static bool
variable_nginx_version(struct session *s, struct output *out)
{
    (void)s;
    output_print(out, "%s", NGINX_VERSION);
    return true;
}

static bool
variable_spcd_version(struct session *s, struct output *out)
{
    (void)s;
    output_print(out, "%s", SPC_VERSION);
    return true;
}

static bool (*const variables[])(struct session *, struct output *) = {
#define VARIABLE(id, says) [VARIABLE_##id] = variable_##id,
#include "variables.def"
#undef VARIABLE
};

bool
variable_put(struct session *s, enum variable variable, struct output *out)
{
    return variable != VARIABLE_none && variables[variable](s, out);
}
