/*
 * allow, deny, set_real_ip_from and proxy_protocol_from: judged nodes in, tables of addresses out. The first rule that
 * matches decides, so between two neighbouring borders of rules it is the same for every address; what no rule matches
 * may enter.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

struct permission {
    enum family family; /* NONE: all */
    ip16 low, high;
    bool denies;
};

static bool
read_rule(const struct word *word, bool denies, struct permission *rule)
{
    struct network network;
    *rule = (struct permission){.denies = denies};
    if (strcmp(word->text, "all") == 0)
        return true;
    rule->family = FAMILY_UNIX;
    if (strcmp(word->text, "unix:") == 0)
        return true;
    if (value_network(word->text, word->size, &network) != READ_OK)
        return false;
    rule->family = network.family;
    rule->low = network.ip;
    rule->high = network_last(&network);
    return true;
}

/* The rules of the level that speaks, in the file's order: both directives together. */
static void
read_rules(struct unit *unit, const struct scope *scope, struct vector *rules)
{
    const struct node *allow = scope->of[DIRECTIVE_allow], *deny = scope->of[DIRECTIVE_deny];
    if (allow == NULL && deny == NULL && scope->outer != NULL) {
        read_rules(unit, scope->outer, rules);
        return;
    }
    while (allow != NULL || deny != NULL) {
        bool first = deny == NULL || (allow != NULL && allow->word[0].span.start < deny->word[0].span.start);
        const struct node **next = first ? &allow : &deny;
        struct permission rule;
        if (!(*next)->broken && read_rule(&(*next)->word[1], next == &deny, &rule))
            *(struct permission *)vector_add(&unit->arena, rules, sizeof rule) = rule;
        *next = (*next)->again;
    }
}

/* ---- borders ---- */

static int
by_address(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(ip16));
}

/* Where the rules of a family begin, and the addresses behind them, ascending; each once. */
static ip16 *
find_borders(struct unit *unit, const struct vector *rules, enum family family, u32 *count)
{
    const struct permission *rule = rules->item;
    u32 size = family == FAMILY_IPV6 ? 16 : 4, kept = 0;
    ip16 *border = arena_take(&unit->arena, (2 * rules->count + 1) * sizeof *border);
    *count = 1; /* the lowest address of all */
    for (u32 i = 0; i < rules->count; i++) {
        if (rule[i].family != family)
            continue;
        border[(*count)++] = rule[i].low;
        border[*count] = rule[i].high;
        *count += network_next(&border[*count], size);
    }
    qsort(border, *count, sizeof *border, by_address);
    for (u32 i = 0; i < *count; i++)
        if (i == 0 || memcmp(&border[i], &border[kept - 1], sizeof *border) != 0)
            border[kept++] = border[i];
    *count = kept;
    return border;
}

static bool
is_denied(const struct vector *rules, enum family family, const ip16 *ip)
{
    const struct permission *rule = rules->item;
    for (u32 i = 0; i < rules->count; i++) {
        bool within = rule[i].family == family && (ip == NULL || (memcmp(&rule[i].low, ip, sizeof *ip) <= 0 &&
                                                                  memcmp(ip, &rule[i].high, sizeof *ip) <= 0));
        if (within || rule[i].family == FAMILY_NONE)
            return rule[i].denies;
    }
    return false;
}

static void
add_ranges(struct unit *unit, const struct vector *rules, enum family family, u32 value, struct blob_geo *geo)
{
    u32 count, last = UINT32_MAX;
    const ip16 *border = find_borders(unit, rules, family, &count);
    u32 section = family == FAMILY_IPV6 ? SECTION_range6 : SECTION_range4, first = image_count(unit, section);
    for (u32 i = 0; i < count; i++) {
        u32 now = is_denied(rules, family, &border[i]) ? value : 0;
        const u8 *byte = border[i].byte;
        struct blob_range4 four = {(u32)byte[0] << 24 | (u32)byte[1] << 16 | (u32)byte[2] << 8 | byte[3], now};
        struct blob_range6 six = {border[i], now};
        if (now != last)
            image_add(unit, section, family == FAMILY_IPV6 ? (void *)&six : &four, (struct span){0, 0});
        last = now;
    }
    *(family == FAMILY_IPV6 ? &geo->range6 : &geo->range4) = first;
    *(family == FAMILY_IPV6 ? &geo->range6_count : &geo->range4_count) = image_count(unit, section) - first;
}

/* A table in which the addresses that rules deny have a value; 0: there are no rules. */
static u32
compile_table(struct unit *unit, const struct vector *rules, const char *name)
{
    struct blob_geo geo = {0};
    struct word word = {.text = name, .size = (u32)strlen(name)};
    if (rules->count == 0)
        return 0;
    u32 value = map_text(unit, &word);
    add_ranges(unit, rules, FAMILY_IPV4, value, &geo);
    add_ranges(unit, rules, FAMILY_IPV6, value, &geo);
    return image_add(unit, SECTION_geo, &geo, (struct span){0, 0});
}

/* All networks that a directive of the level that speaks names. */
static u32
compile_named(struct unit *unit, const struct scope *scope, enum directive_id id, const char *name, bool *local)
{
    struct vector rules = {0};
    for (const struct node *node = scope_nearest(scope, &directives[id]); node != NULL; node = node->again) {
        for (u32 i = 1; i < node->word_count && !node->broken; i++) {
            struct permission rule;
            if (read_rule(&node->word[i], true, &rule))
                *(struct permission *)vector_add(&unit->arena, &rules, sizeof rule) = rule;
        }
    }
    *local = is_denied(&rules, FAMILY_UNIX, NULL);
    return compile_table(unit, &rules, name);
}

/* What set_real_ip_from names and is no network is a host. */
static void
compile_hosts(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    struct permission ignored;
    server->trusted_host = image_count(unit, SECTION_host);
    for (const struct node *node = scope_nearest(scope, &directives[DIRECTIVE_set_real_ip_from]); node != NULL;
         node = node->again) {
        const struct word *word = &node->word[1];
        if (node->broken || read_rule(word, true, &ignored))
            continue;
        struct blob_host record = {image_text(unit, word->text, word->size)};
        image_add(unit, SECTION_host, &record, word->span);
        server->trusted_host_count++;
    }
    if (server->trusted_host_count == 0)
        server->trusted_host = 0;
}

void
access_compile(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    struct vector rules = {0};
    bool trusted, introduced;
    read_rules(unit, scope, &rules);
    server->trusted = compile_named(unit, scope, DIRECTIVE_set_real_ip_from, "trust", &trusted);
    compile_hosts(unit, scope, server);
    server->introducers = compile_named(unit, scope, DIRECTIVE_proxy_protocol_from, "from", &introduced);
    server->denied = compile_table(unit, &rules, "deny");
    server->flags |= (trusted ? SERVER_TRUST_UNIX : 0) | (introduced ? SERVER_FROM_UNIX : 0) |
                     (is_denied(&rules, FAMILY_UNIX, NULL) ? SERVER_DENY_UNIX : 0);
}
