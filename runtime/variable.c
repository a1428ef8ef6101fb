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
    const char *name = s->shard->generation->hostname;
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

/* ---- the session ---- */

static bool
variable_binary_remote_addr(struct session *s, struct output *out)
{
    const struct sockaddr *address = &s->address.any;
    if (address->sa_family == AF_INET6)
        output_put(out, &s->address.ipv6.sin6_addr, sizeof s->address.ipv6.sin6_addr);
    else if (address->sa_family == AF_INET)
        output_put(out, &s->address.ipv4.sin_addr, sizeof s->address.ipv4.sin_addr);
    else
        put_ip(out, address);
    return true;
}

static bool
variable_bytes_received(struct session *s, struct output *out)
{
    output_print(out, "%llu", (unsigned long long)s->client.received);
    return true;
}

static bool
variable_bytes_sent(struct session *s, struct output *out)
{
    output_print(out, "%llu", (unsigned long long)s->client.sent);
    return true;
}

static bool
variable_session_time(struct session *s, struct output *out)
{
    double lasted = session_now(s) - s->begun;
    output_print(out, "%.3f", lasted > 0 ? lasted : 0);
    return true;
}

static bool
variable_status(struct session *s, struct output *out)
{
    output_print(out, "%03u", session_status(s));
    return true;
}

static bool
variable_close_reason(struct session *s, struct output *out)
{
    output_print(out, "%s", session_reason(s));
    return s->reason != 0;
}

static bool
variable_log_event(struct session *s, struct output *out)
{
    const char *event = access_log_event(s->shard->worker);
    if (event)
        output_put(out, event, strlen(event));
    return event != NULL;
}

/* ---- the time ---- */

/* "+0100", with a colon in it if that is wanted. */
static void
put_zone(struct output *out, const struct tm *local, const char *colon)
{
    long minutes = local->tm_gmtoff / 60, size = minutes < 0 ? -minutes : minutes;
    output_print(out, "%c%02ld%s%02ld", minutes < 0 ? '-' : '+', size / 60, colon, size % 60);
}

static struct tm
local_time(const struct session *s, double *fraction)
{
    double now = ev_now(s->shard->worker->loop);
    time_t seconds = (time_t)now;
    struct tm local;
    localtime_r(&seconds, &local);
    *fraction = now - (double)seconds;
    return local;
}

static bool
variable_time_local(struct session *s, struct output *out)
{
    static const char months[] = "Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec";
    double fraction;
    struct tm local = local_time(s, &fraction);
    output_print(out, "%02d/%s/%d:%02d:%02d:%02d ", local.tm_mday, &months[local.tm_mon * 4], local.tm_year + 1900,
                 local.tm_hour, local.tm_min, local.tm_sec);
    put_zone(out, &local, "");
    return true;
}

static void
put_iso8601(struct session *s, struct output *out, bool with_ms)
{
    double fraction;
    struct tm local = local_time(s, &fraction);
    output_print(out, "%d-%02d-%02dT%02d:%02d:%02d", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
                 local.tm_hour, local.tm_min, local.tm_sec);
    if (with_ms)
        output_print(out, ".%03d", (int)(fraction * 1000));
    put_zone(out, &local, ":");
}

static bool
variable_time_iso8601(struct session *s, struct output *out)
{
    put_iso8601(s, out, false);
    return true;
}

static bool
variable_time_iso8601_ms(struct session *s, struct output *out)
{
    put_iso8601(s, out, true);
    return true;
}

/* ---- the upstream servers that were tried ---- */

static bool
put_attempts(struct session *s, struct output *out, void (*put)(const struct attempt *, struct output *))
{
    for (u32 i = 0; s->attempts && i < s->attempts->count; i++) {
        if (i > 0)
            output_put(out, ", ", 2);
        put(&s->attempts->attempt[i], out);
    }
    return s->attempts != NULL;
}

static void
put_name(const struct attempt *attempt, struct output *out)
{
    output_put(out, attempt->name, strlen(attempt->name));
}

static void
put_received(const struct attempt *attempt, struct output *out)
{
    output_print(out, "%llu", (unsigned long long)attempt->received);
}

static void
put_sent(const struct attempt *attempt, struct output *out)
{
    output_print(out, "%llu", (unsigned long long)attempt->sent);
}

static void
put_until(const struct attempt *attempt, double moment, struct output *out)
{
    if (moment > 0)
        output_print(out, "%.3f", moment - attempt->began);
    else
        output_put(out, "-", 1);
}

static void
put_connect_time(const struct attempt *attempt, struct output *out)
{
    put_until(attempt, attempt->connected, out);
}

static void
put_first_byte_time(const struct attempt *attempt, struct output *out)
{
    put_until(attempt, attempt->first_byte, out);
}

static void
put_session_time(const struct attempt *attempt, struct output *out)
{
    put_until(attempt, attempt->ended > 0 ? attempt->ended : attempt->began, out); /* while it lasts, nginx says 0 */
}

#define VARIABLE_OF_ATTEMPTS(name, put)                                  \
    static bool variable_##name(struct session *s, struct output *out) \
    {                                                                    \
        return put_attempts(s, out, put);                                \
    }
VARIABLE_OF_ATTEMPTS(upstream_addr, put_name)
VARIABLE_OF_ATTEMPTS(upstream_bytes_received, put_received)
VARIABLE_OF_ATTEMPTS(upstream_bytes_sent, put_sent)
VARIABLE_OF_ATTEMPTS(upstream_connect_time, put_connect_time)
VARIABLE_OF_ATTEMPTS(upstream_first_byte_time, put_first_byte_time)
VARIABLE_OF_ATTEMPTS(upstream_session_time, put_session_time)

/* An attempt that found no server has the name of its group, which is no address. */
static bool
is_address(const char *name)
{
    return strncmp(name, "unix:", 5) == 0 || name[0] == '[' || name[strspn(name, "0123456789.:")] == '\0';
}

static bool
variable_upstream_last_addr(struct session *s, struct output *out)
{
    u32 i = s->attempts ? s->attempts->count : 0;
    while (i > 0 && !is_address(s->attempts->attempt[i - 1].name))
        i--;
    if (i == 0)
        return false;
    const char *name = s->attempts->attempt[i - 1].name;
    if (name[0] == 'u')
        output_put(out, name, strlen(name));
    else if (name[0] == '[')
        output_put(out, name + 1, strcspn(name, "]") - 1);
    else
        output_put(out, name, strcspn(name, ":"));
    return true;
}

/* ---- what was preread ---- */

static bool
put_kept(struct output *out, struct value value)
{
    if (value.state == VALUE_FOUND)
        output_put(out, value.text, value.size);
    return value.state == VALUE_FOUND;
}

#define VARIABLE_OF_PREREAD(name, value)                               \
    static bool variable_##name(struct session *s, struct output *out) \
    {                                                                  \
        return s->preread && put_kept(out, s->values->value);          \
    }
VARIABLE_OF_PREREAD(ssl_preread_server_name, hello.server_name)
VARIABLE_OF_PREREAD(ssl_preread_alpn_protocols, hello.alpn)
VARIABLE_OF_PREREAD(mqtt_preread_clientid, mqtt.client_id)
VARIABLE_OF_PREREAD(mqtt_preread_username, mqtt.user_name)
VARIABLE_OF_PREREAD(http_preread_host, host)

static bool
variable_ssl_preread_protocol(struct session *s, struct output *out)
{
    static const char *const versions[] = {"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    if (!s->preread || s->values->hello.server_name.state != VALUE_FOUND)
        return false;
    const u8 *version = s->values->hello.version;
    if (version[0] == 3 && version[1] < sizeof versions / sizeof *versions)
        output_print(out, "%s", versions[version[1]]);
    else if (version[0] == 0 && version[1] == 2)
        output_print(out, "SSLv2");
    return true;
}

/* ---- the PROXY protocol header ---- */

static const struct preamble *
preamble_of(const struct session *s)
{
    return s->values && s->values->preamble.known ? &s->values->preamble : NULL;
}

static bool
put_peer_ip(struct output *out, const struct preamble *preamble, const struct preamble_peer *peer)
{
    if (preamble)
        output_put(out, peer->ip, strlen(peer->ip));
    return preamble != NULL;
}

static bool
put_peer_port(struct output *out, const struct preamble *preamble, const struct preamble_peer *peer)
{
    if (preamble && peer->port)
        output_print(out, "%u", peer->port);
    return preamble != NULL;
}

static bool
variable_proxy_protocol_addr(struct session *s, struct output *out)
{
    const struct preamble *preamble = preamble_of(s);
    return put_peer_ip(out, preamble, preamble ? &preamble->client : NULL);
}

static bool
variable_proxy_protocol_port(struct session *s, struct output *out)
{
    const struct preamble *preamble = preamble_of(s);
    return put_peer_port(out, preamble, preamble ? &preamble->client : NULL);
}

static bool
variable_proxy_protocol_server_addr(struct session *s, struct output *out)
{
    const struct preamble *preamble = preamble_of(s);
    return put_peer_ip(out, preamble, preamble ? &preamble->server : NULL);
}

static bool
variable_proxy_protocol_server_port(struct session *s, struct output *out)
{
    const struct preamble *preamble = preamble_of(s);
    return put_peer_port(out, preamble, preamble ? &preamble->server : NULL);
}

static const struct sockaddr *
real_address(const struct session *s)
{
    const struct preamble *preamble = preamble_of(s);
    return preamble ? &preamble->address.any : &s->address.any;
}

static bool
variable_realip_remote_addr(struct session *s, struct output *out)
{
    put_ip(out, real_address(s));
    return true;
}

static bool
variable_realip_remote_port(struct session *s, struct output *out)
{
    put_port(out, real_address(s));
    return true;
}

static bool
variable_proxy_protocol_tlv_aws_vpce_id(struct session *s, struct output *out)
{
    return cloud_put_aws(s, out);
}

static bool
variable_proxy_protocol_tlv_azure_pel_id(struct session *s, struct output *out)
{
    return cloud_put_azure(s, out);
}

static bool
variable_proxy_protocol_tlv_gcp_conn_id(struct session *s, struct output *out)
{
    return cloud_put_google(s, out);
}

static bool
put_limit_status(struct output *out, u32 status)
{
    static const char *const words[] = {"", "PASSED", "REJECTED", "REJECTED_DRY_RUN"};
    output_print(out, "%s", words[status]);
    return status != LIMIT_NONE;
}

static bool
variable_limit_conn_status(struct session *s, struct output *out)
{
    return put_limit_status(out, s->limit_status);
}

static bool
variable_limit_conn_rate_status(struct session *s, struct output *out)
{
    return put_limit_status(out, s->pace_status);
}

static bool
variable_quic_dcid(struct session *s, struct output *out)
{
    return quic_put_dcid(s, out);
}

/* ---- all of them ---- */

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
