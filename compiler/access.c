/*
 * allow, deny and set_real_ip_from: judged nodes in, tables of addresses out. The first rule that matches decides,
 * so between two neighbouring borders of rules it is the same for every address; what no rule matches may enter.
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
read_rule(const struct node *node, struct permission *rule)
{
    const struct word *word = &node->word[1];
    struct network network;
    *rule = (struct permission){.denies = node->row == &directives[DIRECTIVE_deny]};
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
        if (!(*next)->broken && read_rule(*next, &rule))
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

/* set_real_ip_from: addresses that are named by any rule. */
static void
compile_trusted(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    struct vector rules = {0};
    struct blob_geo geo = {0};
    struct word trust = {.text = "trust", .size = 5};
    for (const struct node *node = scope_nearest(scope, &directives[DIRECTIVE_set_real_ip_from]); node != NULL;
         node = node->again) {
        struct permission rule;
        if (!node->broken && read_rule(node, &rule)) {
            rule.denies = true;
            *(struct permission *)vector_add(&unit->arena, &rules, sizeof rule) = rule;
        } else if (!node->broken) {
            later_say(unit, node->word[1].span, "a host name here", "host names in set_real_ip_from");
        }
    }
    if (rules.count == 0)
        return;
    u32 value = map_text(unit, &trust);
    add_ranges(unit, &rules, FAMILY_IPV4, value, &geo);
    add_ranges(unit, &rules, FAMILY_IPV6, value, &geo);
    server->trusted = image_add(unit, SECTION_geo, &geo, (struct span){0, 0});
    if (is_denied(&rules, FAMILY_UNIX, NULL))
        server->flags |= SERVER_TRUST_UNIX;
}

void
access_compile(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    struct vector rules = {0};
    struct blob_geo geo = {0};
    struct word deny = {.text = "deny", .size = 4};
    compile_trusted(unit, scope, server);
    read_rules(unit, scope, &rules);
    if (rules.count == 0)
        return;
    u32 value = map_text(unit, &deny);
    add_ranges(unit, &rules, FAMILY_IPV4, value, &geo);
    add_ranges(unit, &rules, FAMILY_IPV6, value, &geo);
    server->denied = image_add(unit, SECTION_geo, &geo, (struct span){0, 0});
    if (is_denied(&rules, FAMILY_UNIX, NULL))
        server->flags |= SERVER_DENY_UNIX;
}
