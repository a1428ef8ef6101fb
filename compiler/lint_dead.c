/*
 * Directives without effect. A table says what a directive needs to have one; a need that a server does not meet
 * makes those dead that stand in it, one that no server meets makes those of stream {} dead.
 */
#include "lint.h"

#include <string.h>

/* ---- needs ---- */

static bool
is_proxying(const struct lint *lint)
{
    return lint->server.pass != NULL;
}

static bool
is_on(const struct lint *lint, enum directive_id id)
{
    return lint_value(lint, id) != 0;
}

static bool
speaks_tls(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_proxy_ssl);
}

static bool
goes_on(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_proxy_next_upstream);
}

static bool
has_tcp(const struct lint *lint)
{
    return lint->server.tcp;
}

static bool
has_udp(const struct lint *lint)
{
    return lint->server.udp;
}

static bool
has_ssl(const struct lint *lint)
{
    return lint->server.ssl;
}

static bool
has_plain(const struct lint *lint)
{
    return lint->server.plain;
}

static bool
has_preamble(const struct lint *lint)
{
    return lint->server.preamble || image_count(lint->unit, SECTION_pass) > 1; /* sessions are passed on with theirs */
}

static bool
asks_clients(const struct lint *lint)
{
    const struct node *node = lint_node(lint, DIRECTIVE_ssl_verify_client);
    return node != NULL && strcmp(node->word[1].text, "off") != 0;
}

static bool
gives_tickets(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_ssl_session_tickets);
}

static bool
staples(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_ssl_stapling);
}

static bool
reads_ahead(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_ssl_preread) || is_on(lint, DIRECTIVE_mqtt_preread) ||
           is_on(lint, DIRECTIVE_http_preread);
}

static bool
reads_hello(const struct lint *lint)
{
    return is_on(lint, DIRECTIVE_ssl_preread);
}

static bool
limits(const struct lint *lint)
{
    return lint_node(lint, DIRECTIVE_limit_conn) != NULL;
}

static bool
paces(const struct lint *lint)
{
    return lint_node(lint, DIRECTIVE_limit_conn_rate) != NULL;
}

static bool
resolves(const struct lint *lint)
{
    return lint_node(lint, DIRECTIVE_resolver) != NULL;
}

/* A directive is reported for the first need of the table that is not met. */
static const struct need {
    const char *names; /* "a b c_*" */
    const char *but;
    bool (*met)(const struct lint *lint);
    enum diagnostic id;
    const char *says;
    const char *why, *why_all; /* why a server does not meet it; why none does */
    bool inherited;            /* an outer block may meet it */
} needs[] = {
#define DEAD(id) DIAG_##id, diag_says_##id
    {"proxy_*", "proxy_pass proxy_protocol_timeout proxy_protocol_from", is_proxying, DEAD(dead_directive),
     "this server does not proxy", "no server proxies", false},
    {"proxy_ssl_*", "", speaks_tls, DEAD(dead_proxy_ssl), "proxy_ssl is off", "proxy_ssl is off", true},
    {"proxy_next_upstream_timeout proxy_next_upstream_tries proxy_next_upstream_delay", "", goes_on,
     DEAD(dead_directive), "proxy_next_upstream is off", "proxy_next_upstream is off", true},
    {"proxy_requests proxy_responses", "", has_udp, DEAD(dead_on_tcp), "no listen of this server is of UDP",
     "no listen is of UDP", false},
    {"proxy_download_rate proxy_upload_rate proxy_half_close proxy_socket_keepalive", "", has_tcp, DEAD(dead_on_udp),
     "no listen of this server is of TCP", "no listen is of TCP", false},
    {"ssl_*", "ssl_preread ssl_preread_starttls ssl_engine ssl_object_cache_inheritable", has_ssl, DEAD(dead_directive),
     "no listen of this server has ssl", "no listen has ssl", false},
    {"ssl_client_certificate ssl_crl ssl_verify_depth ssl_ocsp*", "", asks_clients, DEAD(dead_directive),
     "clients are not asked for a certificate: ssl_verify_client is off",
     "clients are not asked for a certificate: ssl_verify_client is off", true},
    {"ssl_session_ticket_key", "", gives_tickets, DEAD(dead_directive), "ssl_session_tickets is off",
     "ssl_session_tickets is off", true},
    {"ssl_stapling_*", "", staples, DEAD(dead_directive), "ssl_stapling is off", "ssl_stapling is off", true},
    {"ssl_preread", "", has_plain, DEAD(dead_preread),
     "it reads what TCP clients send before TLS is ended, and no listen of this server has that",
     "it reads what TCP clients send before TLS is ended, and no listen has that", false},
    {"ssl_preread_starttls", "", reads_hello, DEAD(dead_directive), "ssl_preread is off", "ssl_preread is off", true},
    {"mqtt_preread http_preread", "", has_tcp, DEAD(dead_on_udp), "no listen of this server is of TCP",
     "no listen is of TCP", false},
    {"preread_buffer_size preread_timeout", "", reads_ahead, DEAD(dead_directive),
     "nothing is preread: ssl_preread is off", "nothing is preread: ssl_preread is off", true},
    {"proxy_protocol_timeout", "", has_preamble, DEAD(dead_directive), "no listen of this server has proxy_protocol",
     "no listen has proxy_protocol", false},
    {"set_real_ip_from", "", has_preamble, DEAD(dead_real_ip), "no listen of this server has proxy_protocol",
     "no listen has proxy_protocol", false},
    {"proxy_protocol_from", "", has_preamble, DEAD(dead_directive), "no listen of this server has proxy_protocol",
     "no listen has proxy_protocol", false},
    {"limit_conn_dry_run limit_conn_log_level", "", limits, DEAD(dead_directive), "there is no limit_conn",
     "there is no limit_conn", true},
    {"limit_conn_rate_dry_run limit_conn_rate_log_level", "", paces, DEAD(dead_directive),
     "there is no limit_conn_rate", "there is no limit_conn_rate", true},
    {"resolver_timeout", "", resolves, DEAD(dead_directive), "there is no resolver", "there is no resolver", true},
#undef DEAD
};

enum { NEEDS = sizeof needs / sizeof *needs };

/* ---- which directives a need is about ---- */

static bool
lists(const char *names, const char *name)
{
    for (const char *at = names; *at != '\0';) {
        size_t size = strcspn(at, " ");
        if (at[size - 1] == '*' ? strncmp(at, name, size - 1) == 0
                                : strlen(name) == size && strncmp(at, name, size) == 0)
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

static bool
concerns(const struct need *need, const struct node *node)
{
    const struct directive *row = node->row;
    if (row == NULL || (row->in & IN_SERVER) == 0 || row->opens != 0)
        return false;
    bool said_off = node->word_count == 2 && strcmp(node->word[1].text, "off") == 0;
    return !said_off && lists(need->names, row->name) && !lists(need->but, row->name);
}

/* ---- reporting ---- */

/* Of the nodes of a block, those that need concerns and that are not reported yet; the first one is the finding. */
static void
report(struct lint *lint, const struct need *need, struct node *first, const char *why)
{
    bool said = false;
    for (struct node *node = first; node != NULL; node = node->next) {
        if (!concerns(need, node) || !lint_first(lint, node, DIAG_dead_directive))
            continue;
        const char *name = lint_show(lint->unit, &node->word[0]);
        if (!said)
            diag_add(lint->unit, need->id, node->word[0].span, need->says, name, why);
        else
            diag_note(lint->unit, node->word[0].span, "nor has %s", name);
        said = true;
    }
}

void
lint_dead_server(struct lint *lint)
{
    for (u32 i = 0; i < NEEDS; i++) {
        if (needs[i].met(lint) || (needs[i].inherited && !lint->framed))
            lint->alive[i] = true;
        else
            report(lint, &needs[i], lint->server.block->first, needs[i].why);
    }
}

/* Another file may have the server that a need of stream {} waits for. */
void
lint_dead_whole(struct lint *lint)
{
    for (u32 i = 0; i < NEEDS && lint->whole && lint->listens.count > 0; i++)
        if (!lint->alive[i])
            report(lint, &needs[i], lint->stream->first, needs[i].why_all);
}
