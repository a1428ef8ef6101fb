/*
 * upstream {} beyond its servers' addresses: methods, zones, name servers, the parameters that need each other, and
 * health_check.
 */
#include "judge.h"

#include <string.h>

enum { ZONE_SIZE_MIN = 8 * 4096 };

/* Its name, for who asks where a proxy_pass may lead. */
void
judge_upstream(struct unit *unit, struct node *node)
{
    const char *name = lower_case(unit, node->word[1].text);
    struct map *groups = &unit->judge->group_of;
    u32 *slot = map_at(&unit->arena, groups, name, strlen(name));
    if (*slot == 0) {
        *(struct node **)vector_add(&unit->arena, &unit->judge->groups, sizeof node) = node;
        *slot = unit->judge->groups.count;
    }
}

void
judge_zone(struct unit *unit, struct node *node)
{
    u64 size = 0;
    if (node->word_count > 2 && !judge_size(unit, &node->word[2], 0, ZONE_SIZE_MIN, &size))
        return;
    if (node->word[1].size == 0)
        diag(unit, nameless_zone, node->word[1].span);
    else
        name_zone(unit, ZONE_UPSTREAM, node->word[1].text, size, node->word[1].span);
}

static void
say_two_methods(struct unit *unit, const struct node *other, const struct node *node)
{
    diag(unit, two_methods, other->word[0].span, judge_show(unit, &other->word[0]), judge_show(unit, &node->word[0]));
    diag_note(unit, node->word[0].span, "it stands here, and the last one holds");
}

/* hash, maglev, least_conn, least_time, random: the last one holds. */
void
judge_method(struct unit *unit, struct node *node)
{
    static const enum directive_id methods[] = {DIRECTIVE_hash, DIRECTIVE_least_conn, DIRECTIVE_least_time,
                                                DIRECTIVE_random, DIRECTIVE_maglev};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const struct node *other = unit->here.of[methods[i]];
        for (; other != NULL && other->word[0].span.start < node->word[0].span.start; other = other->again)
            say_two_methods(unit, other, node);
    }
    bool by_key = node->row == &directives[DIRECTIVE_hash] || node->row == &directives[DIRECTIVE_maglev];
    if (by_key && !expr_is_dynamic(&node->word[1]))
        diag(unit, constant_hash, node->word[1].span, judge_show(unit, &node->word[1]));
}

/* ---- server ---- */

static const struct word *
parameter(const struct node *node, const char *name)
{
    for (u32 i = 2; i < node->word_count; i++)
        if (strncmp(node->word[i].text, name, strlen(name)) == 0)
            return &node->word[i];
    return NULL;
}

void
judge_peer(struct unit *unit, struct node *node)
{
    struct address address;
    const struct word *word = &node->word[1], *service = parameter(node, "service=");
    if (service == NULL || value_address(word->text, false, &address) != ADDRESS_OK)
        return;
    if (parameter(node, "resolve") == NULL)
        diag(unit, service_needs, service->span, judge_show(unit, service), "\"resolve\"");
    else if (address.family != FAMILY_NONE)
        diag(unit, service_needs, word->span, judge_show(unit, service), "the name of a host, not an address");
    else if (address.port != 0)
        diag(unit, service_needs, word->span, judge_show(unit, service), "a name without a port: SRV records have it");
}

/* ---- resolver ---- */

static void
judge_name_server(struct unit *unit, const struct word *word)
{
    struct address address;
    enum address_problem problem = value_address(word->text, false, &address);
    if (problem == ADDRESS_OK && address.family != FAMILY_UNIX)
        return;
    const char *why = problem != ADDRESS_OK ? value_address_problem[problem] : "is a unix socket, and DNS needs UDP";
    diag(unit, bad_address, word->span, judge_show(unit, word), why);
    if (problem == ADDRESS_BRACKETS)
        diag_help(unit, "IPv6 is written in brackets: [::1]");
}

/* Addresses and parameters may stand in any order. */
void
judge_resolver(struct unit *unit, struct node *node)
{
    struct options options;
    struct node rest = *node;
    u32 servers = 0;
    rest.word = arena_take(&unit->arena, node->word_count * sizeof *rest.word);
    rest.word[0] = node->word[0];
    rest.word_count = 1;
    rest.row = &directives[DIRECTIVE_resolver]; /* whose parameters these are */
    for (u32 i = 1; i < node->word_count; i++) {
        if (strchr(node->word[i].text, '=') != NULL) {
            rest.word[rest.word_count++] = node->word[i];
            continue;
        }
        servers++;
        judge_name_server(unit, &node->word[i]);
    }
    judge_options(unit, &rest, 1, &options);
    if (servers == 0)
        diag(unit, no_name_server, node->word[0].span);
    const struct word *ipv4 = options.word[PARAMETER_resolver_ipv4], *ipv6 = options.word[PARAMETER_resolver_ipv6];
    if (ipv4 != NULL && ipv6 != NULL && !options.value[PARAMETER_resolver_ipv4] &&
        !options.value[PARAMETER_resolver_ipv6])
        diag(unit, no_family, ipv6->span);
}

/* ---- health_check ---- */

void
judge_health(struct unit *unit, struct node *node)
{
    struct options options;
    judge_options(unit, node, 1, &options);
    const struct word *match = options.word[PARAMETER_health_check_match];
    const struct word *persistent = options.word[PARAMETER_health_check_persistent];
    if (match != NULL)
        name_use(unit, THING_MATCH, match->text + strlen("match="),
                 word_part(match, (u32)strlen("match="), match->size));
    if (persistent != NULL && options.word[PARAMETER_health_check_mandatory] == NULL)
        diag(unit, needs_beside, persistent->span, "\"persistent\"", "\"mandatory\"");
    if (unit->here.of[DIRECTIVE_proxy_pass] == NULL)
        diag(unit, needs_beside, node->word[0].span, judge_show(unit, &node->word[0]), "proxy_pass in this server");
}
