/*
 * Opinions on the PROXY protocol and on addresses taken from it or pretended: who is believed, who is judged, and
 * what the upstream server is told.
 */
#include "lint.h"

#include <string.h>

static bool
is_reachable(const struct lint_listen *listen)
{
    return listen->preamble && lint_reach(&listen->address) != REACH_HOST;
}

/* The first listen that takes PROXY headers from other machines. */
static const struct lint_listen *
open_listen(const struct lint *lint)
{
    for (u32 i = 0; i < lint->server.listen_count; i++)
        if (is_reachable(&lint->server.listen[i]))
            return &lint->server.listen[i];
    return NULL;
}

static struct span
preamble_span(const struct lint_listen *listen)
{
    return lint_parameter(listen->node, "proxy_protocol")->span;
}

/* SP401 */
static void
check_trusted(struct lint *lint, const struct lint_listen *listen)
{
    for (struct node *node = lint_node(lint, DIRECTIVE_set_real_ip_from); node != NULL; node = node->again) {
        const char *mask = strchr(node->word[1].text, '/');
        if (mask == NULL || strcmp(mask, "/0") != 0 || !lint_first(lint, node, DIAG_trusts_everyone))
            continue;
        diag(lint->unit, trusts_everyone, node->word[1].span, lint_show(lint->unit, &node->word[1]));
        diag_note(lint->unit, preamble_span(listen), "for sessions that come in here");
    }
}

/* SP410 */
static void
say_open(struct lint *lint, const struct lint_listen *listen)
{
    struct vector access = lint_access(lint);
    struct node **node = access.item;
    for (u32 i = 0; i < access.count; i++)
        if (node[i]->row == &directives[DIRECTIVE_deny])
            return;
    if (lint_reach(&listen->address) != REACH_PUBLIC)
        return;
    if (lint_is_used(lint, "proxy_protocol_addr"))
        diag(lint->unit, forged_address, preamble_span(listen));
    else
        diag(lint->unit, open_preamble, preamble_span(listen));
}

void
lint_preamble_trust(struct lint *lint)
{
    const struct lint_listen *listen = open_listen(lint);
    const struct node *tell = lint_node(lint, DIRECTIVE_proxy_protocol);
    bool trusts = lint_node(lint, DIRECTIVE_set_real_ip_from) != NULL;
    if (lint_node(lint, DIRECTIVE_proxy_protocol_from) != NULL)
        listen = NULL; /* others are not let in */
    if (listen != NULL && trusts)
        check_trusted(lint, listen);
    else if (listen != NULL && lint->framed)
        say_open(lint, listen);
    if (lint->server.preamble && !trusts && lint->framed && tell != NULL && tell->value != 0 &&
        lint->server.pass != NULL && lint_first(lint, tell, DIAG_tells_balancer))
        diag(lint->unit, tells_balancer, tell->word[0].span);
}

/* ---- SP404: who is judged by $remote_addr is the one that sent the header ---- */

/* Does text use the variable name, perhaps through maps? */
static bool
depends(const struct lint *lint, const char *text, const char *name, u32 depth)
{
    char found[LINT_NAME_MAX];
    while (lint_variable(&text, found)) {
        if (strcmp(found, name) == 0)
            return true;
        const struct node *source = lint_source(lint, found);
        if (source != NULL && source->word_count > 2 && depth > 0 &&
            depends(lint, source->word[1].text, name, depth - 1))
            return true;
    }
    return false;
}

static void
check_geo(struct lint *lint)
{
    enum { MAPS_DEEP = 8 };
    for (struct node *geo = lint->unit->stream.of[DIRECTIVE_geo]; geo != NULL; geo = geo->again) {
        const struct word *name = &geo->word[geo->word_count - 1];
        if (geo->word_count > 2 && strcmp(geo->word[1].text, "$remote_addr") != 0)
            continue;
        if (name->size > 1 &&
            depends(lint, lint->server.pass->word[1].text, lower_case(lint->unit, name->text + 1), MAPS_DEEP))
            diag(lint->unit, judges_balancer, lint->server.pass->word[1].span,
                 arena_print(&lint->unit->arena, "geo %s", lint_show(lint->unit, name)));
    }
}

/* A list of whom to keep out never names the balancer; a list of whom to let in may. */
static void
check_denied(struct lint *lint)
{
    struct vector access = lint_access(lint);
    struct node **node = access.item;
    const struct node *denied = NULL;
    for (u32 i = 0; i < access.count; i++) {
        if (node[i]->row != &directives[DIRECTIVE_deny])
            continue;
        if (strcmp(node[i]->word[1].text, "all") == 0)
            return;
        if (denied == NULL)
            denied = node[i];
    }
    if (denied != NULL && lint_first(lint, denied, DIAG_judges_balancer))
        diag(lint->unit, judges_balancer, denied->word[0].span, lint_show(lint->unit, &denied->word[0]));
}

/* Is a word of node the zone of that name? */
static bool
has_zone(struct lint *lint, const struct node *node, const char *name)
{
    const char *head = arena_print(&lint->unit->arena, "zone=%s:", name);
    for (u32 i = 2; i < node->word_count; i++)
        if (strncmp(node->word[i].text, head, strlen(head)) == 0)
            return true;
    return false;
}

static void
check_limits(struct lint *lint, enum directive_id limit, enum directive_id zones)
{
    for (struct node *node = lint_node(lint, limit); node != NULL; node = node->again) {
        const char *name = node->word[1].text + (strncmp(node->word[1].text, "zone=", 5) == 0 ? 5 : 0);
        for (struct node *zone = lint->unit->stream.of[zones]; zone != NULL; zone = zone->again)
            if (has_zone(lint, zone, name) &&
                (lint_mentions(zone->word[1].text, "binary_remote_addr") ||
                 lint_mentions(zone->word[1].text, "remote_addr")) &&
                lint_first(lint, node, DIAG_judges_balancer))
                diag(lint->unit, judges_balancer, node->word[0].span, lint_show(lint->unit, &node->word[0]));
    }
}

void
lint_preamble_access(struct lint *lint)
{
    if (!lint->server.preamble || !lint->framed || lint_node(lint, DIRECTIVE_set_real_ip_from) != NULL)
        return;
    check_denied(lint);
    check_limits(lint, DIRECTIVE_limit_conn, DIRECTIVE_limit_conn_zone);
    check_limits(lint, DIRECTIVE_limit_conn_rate, DIRECTIVE_limit_conn_rate_zone);
    if (lint->server.pass != NULL)
        check_geo(lint);
}

/* ---- outwards ---- */

/* SP405 */
void
lint_preamble_bind(struct lint *lint)
{
    struct address address;
    const struct node *bind = lint_node(lint, DIRECTIVE_proxy_bind);
    const struct lint_group *group = lint->server.group;
    if (bind == NULL || strcmp(bind->word[1].text, "off") == 0 || lint->server.pass == NULL)
        return;
    if (bind->word_count > 2 && lint_first(lint, bind, DIAG_needs_privilege))
        diag(lint->unit, needs_privilege, bind->word[2].span);
    enum address_problem problem = value_address(bind->word[1].text, false, &address);
    if (problem == ADDRESS_BRACKETS)
        address.family = FAMILY_IPV6;
    bool fixed = (problem == ADDRESS_OK && address.family != FAMILY_NONE) || problem == ADDRESS_BRACKETS;
    for (u32 i = 0; group != NULL && i < group->peer_count; i++) {
        const struct lint_peer *peer = &group->peer[i];
        bool named = peer->address.family == FAMILY_NONE;
        if (named || !lint_first(lint, bind, DIAG_bind_family))
            continue;
        if (peer->address.family == FAMILY_UNIX)
            diag(lint->unit, bind_unix, bind->word[0].span);
        else if (fixed && peer->address.family != address.family)
            diag(lint->unit, bind_family, bind->word[1].span, lint_show(lint->unit, &bind->word[1]),
                 lint_show(lint->unit, peer->word));
        else
            continue;
        diag_note(lint->unit, peer->word->span, "to connect here");
    }
}

/* SP406 */
void
lint_preamble_out(struct lint *lint)
{
    const struct node *tell = lint_node(lint, DIRECTIVE_proxy_protocol);
    if (tell != NULL && tell->value != 0 && lint->server.pass != NULL && lint_value(lint, DIRECTIVE_proxy_ssl) != 0 &&
        lint_first(lint, tell, DIAG_clear_preamble))
        diag(lint->unit, clear_preamble, tell->word[0].span);
}
