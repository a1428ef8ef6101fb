/*
 * Opinions on datagrams: what does not hold for them, and what only they suffer from.
 */
#include "lint.h"

#include <string.h>

static const struct lint_listen *
udp_listen(const struct lint *lint)
{
    for (u32 i = 0; i < lint->server.listen_count; i++)
        if (lint->server.listen[i].udp)
            return &lint->server.listen[i];
    return NULL;
}

static struct span
udp_span(const struct lint_listen *listen)
{
    return lint_parameter(listen->node, "udp")->span;
}

/* Does it listen there, alone or in a range? */
static bool
has_port(const struct lint_listen *listen, u32 port)
{
    u32 last = listen->address.last_port > listen->address.port ? listen->address.last_port : listen->address.port;
    return listen->address.family != FAMILY_UNIX && port >= listen->address.port && port <= last;
}

/* SP601: there is no TLS over datagrams, so what was to be encrypted is sent as it came. */
void
lint_udp_clear(struct lint *lint)
{
    const struct node *tls = lint_node(lint, DIRECTIVE_proxy_ssl);
    if (!lint->server.udp || lint->server.pass == NULL || tls == NULL || tls->value == 0)
        return;
    bool here = lint->server.scope.of[DIRECTIVE_proxy_ssl] != NULL;
    diag(lint->unit, udp_in_clear, here ? lint_span(tls) : udp_span(udp_listen(lint)));
    diag_note(lint->unit, here ? udp_span(udp_listen(lint)) : lint_span(tls),
              here ? "it takes datagrams here" : "proxy_ssl is here");
}

/* ---- SP604 ---- */

static const struct {
    u32 port;
    const char *whose;
    bool amplifies; /* a small question has a large answer */
} services[] = {
    {53, "DNS", true},       {123, "NTP", true},   {161, "SNMP", true},        {389, "CLDAP", true},
    {1812, "RADIUS", false}, {1900, "SSDP", true}, {11211, "memcached", true},
};

/* The service of a UDP listen of the server, -1 for none that is known. */
static int
find_service(const struct lint *lint, const struct lint_listen **listen)
{
    for (u32 i = 0; i < lint->server.listen_count; i++)
        for (size_t row = 0; row < sizeof services / sizeof *services; row++)
            if (lint->server.listen[i].udp && has_port(&lint->server.listen[i], services[row].port)) {
                *listen = &lint->server.listen[i];
                return (int)row;
            }
    return -1;
}

/* Do answers go to the clients themselves, for the service takes their datagrams to come from there? */
static bool
is_direct(const struct lint *lint)
{
    const struct node *bind = lint_node(lint, DIRECTIVE_proxy_bind);
    return bind != NULL && bind->word_count > 2;
}

void
lint_udp_sessions(struct lint *lint)
{
    enum { LONG_MS = 10 * 60 * 1000 }; /* what proxy_timeout is unless it is written */
    const struct lint_listen *listen;
    const struct node *responses = lint_node(lint, DIRECTIVE_proxy_responses);
    int service = lint->server.pass != NULL ? find_service(lint, &listen) : -1;
    if (service < 0)
        return;
    if (responses != NULL && responses->value == 0) {
        if (!is_direct(lint) && lint_first(lint, responses, DIAG_no_answers))
            diag(lint->unit, no_answers, lint_span(responses), services[service].whose);
    } else if (responses == NULL && lint->framed && lint_value(lint, DIRECTIVE_proxy_timeout) >= LONG_MS) {
        diag(lint->unit, lingering_sessions, udp_span(listen), services[service].whose);
    }
}

/* SP605 */
void
lint_udp_preamble(struct lint *lint)
{
    const struct node *tell = lint_node(lint, DIRECTIVE_proxy_protocol);
    if (lint->server.udp && lint->server.pass != NULL && tell != NULL && strcmp(tell->word[1].text, "on") == 0 &&
        lint_first(lint, tell, DIAG_udp_preamble)) {
        diag(lint->unit, udp_preamble, lint_span(tell));
        diag_note(lint->unit, udp_span(udp_listen(lint)), "it takes datagrams here");
    }
}

/* SP603: a connection has one beginning. */
void
lint_udp_every(struct lint *lint)
{
    const struct node *tell = lint_node(lint, DIRECTIVE_proxy_protocol);
    if (lint->server.udp || lint->server.pass == NULL || tell == NULL || tell->word_count < 3 ||
        !lint_first(lint, tell, DIAG_dead_on_tcp))
        return;
    diag(lint->unit, dead_on_tcp, tell->word[2].span, "every", "no listen of this server is of UDP");
}

/* SP608 */
void
lint_udp_amplifier(struct lint *lint)
{
    const struct lint_listen *listen;
    int service = lint->server.pass != NULL ? find_service(lint, &listen) : -1;
    if (service < 0 || !services[service].amplifies || lint_reach(&listen->address) != REACH_PUBLIC || !lint->framed ||
        lint_access(lint).count > 0 || lint_node(lint, DIRECTIVE_proxy_responses) != NULL ||
        lint_node(lint, DIRECTIVE_limit_conn) != NULL || lint_node(lint, DIRECTIVE_limit_conn_rate) != NULL)
        return;
    diag(lint->unit, amplifier, listen->node->word[1].span, services[service].whose);
}

/* SP607: an answer that does not fit a datagram is asked for again by TCP. */
void
lint_udp_dns(struct lint *lint)
{
    enum { DNS_PORT = 53 };
    const struct lint_listen *listen = lint->listens.item, *udp = NULL, *tcp = NULL;
    for (u32 i = 0; i < lint->listens.count; i++) {
        if (!has_port(&listen[i], DNS_PORT))
            continue;
        if (listen[i].udp && udp == NULL)
            udp = &listen[i];
        if (!listen[i].udp && tcp == NULL)
            tcp = &listen[i];
    }
    if (!lint->whole || (udp == NULL) == (tcp == NULL))
        return;
    if (udp != NULL)
        diag(lint->unit, dns_one_way, udp->node->word[1].span, "UDP", "TCP");
    else
        diag(lint->unit, dns_one_way, tcp->node->word[1].span, "TCP", "UDP");
}
