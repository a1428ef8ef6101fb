/*
 * Opinions on where sessions go: what is never chosen, who is asked for addresses, who chooses.
 */
#include "lint.h"

#include <string.h>

/* ---- SP309: what nothing uses ---- */

static void
report_unused(struct lint *lint, const struct node *node, u32 word)
{
    diag(lint->unit, unused, node->word[word].span,
         arena_print(&lint->unit->arena, "%s %s", node->row->name, lint_show(lint->unit, &node->word[word])));
}

static void
check_variables(struct lint *lint)
{
    struct node **source = lint->sources.item;
    for (u32 i = 0; i < lint->sources.count; i++) {
        const struct node *node = source[i];
        for (u32 at = 1; at < node->word_count; at++) {
            const struct take *take = argument_take(node->row, node->word_count - 1, at - 1);
            const char *name = node->word[at].text;
            if (take->kind == TAKE_VARIABLE && name[0] == '$' && !lint_is_used(lint, lower_case(lint->unit, name + 1)))
                report_unused(lint, node, at);
        }
    }
}

/* Which word begins with "zone="? 0: none. */
static u32
zone_word(const struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++)
        if (strncmp(node->word[i].text, "zone=", 5) == 0)
            return i;
    return 0;
}

/* "one" of "one", "zone=one" and "zone=one:10m" */
static const char *
zone_name(struct lint *lint, const char *text)
{
    text += strncmp(text, "zone=", 5) == 0 ? 5 : 0;
    return arena_text(&lint->unit->arena, text, strcspn(text, ":"));
}

/* word 0: the one with the name of a zone. */
static void
note_names(struct lint *lint, struct map *names, const struct node *first, enum directive_id id, u32 word)
{
    for (const struct node *node = first; node != NULL; node = node->next) {
        u32 at = node->row == &directives[id] ? word != 0 ? word : zone_word(node) : 0;
        if (at == 0 || at >= node->word_count)
            continue;
        const char *name = word != 0 ? node->word[at].text : zone_name(lint, node->word[at].text);
        *map_at(&lint->unit->arena, names, name, strlen(name)) = 1;
    }
}

/* Names at word of directive id, in stream {} and in its servers. */
static struct map
names_in(struct lint *lint, enum directive_id id, u32 word)
{
    struct map names = {0};
    note_names(lint, &names, lint->stream->first, id, word);
    for (const struct node *node = lint->stream->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_server])
            note_names(lint, &names, node->first, id, word);
    return names;
}

static void
check_zones(struct lint *lint)
{
    struct map names = names_in(lint, DIRECTIVE_limit_conn, 1);
    for (struct node *node = lint->unit->stream.of[DIRECTIVE_limit_conn_zone]; node != NULL; node = node->again) {
        const char *name = zone_word(node) == 2 ? zone_name(lint, node->word[2].text) : NULL;
        if (name != NULL && map_find(&names, name, strlen(name)) == 0)
            diag(lint->unit, unused_limit, node->word[2].span, show(lint->unit, name, strlen(name)));
    }
    names = names_in(lint, DIRECTIVE_limit_conn_rate, 0);
    for (struct node *node = lint->unit->stream.of[DIRECTIVE_limit_conn_rate_zone]; node != NULL; node = node->again) {
        u32 at = zone_word(node);
        const char *name = at != 0 ? zone_name(lint, node->word[at].text) : NULL;
        if (name != NULL && map_find(&names, name, strlen(name)) == 0)
            diag(lint->unit, unused_pace, node->word[at].span, show(lint->unit, name, strlen(name)));
    }
}

static void
check_formats(struct lint *lint)
{
    struct map names = names_in(lint, DIRECTIVE_access_log, 2);
    for (struct node *node = lint->unit->stream.of[DIRECTIVE_log_format]; node != NULL; node = node->again)
        if (node->word_count > 1 && map_find(&names, node->word[1].text, node->word[1].size) == 0)
            report_unused(lint, node, 1);
}

void
lint_route_unused(struct lint *lint)
{
    if (!lint->whole)
        return;
    struct lint_group **group = lint->groups.item;
    for (u32 i = 0; i < lint->groups.count && !lint->any_group; i++)
        if (!group[i]->used)
            report_unused(lint, group[i]->block, 1);
    check_variables(lint);
    check_zones(lint);
    check_formats(lint);
}

/* ---- SP312, SP313: name servers ---- */

/* Does any address here say that IPv6 is in use? */
static bool
has_ipv6(const struct lint *lint)
{
    const struct lint_listen *listen = lint->listens.item;
    for (u32 i = 0; i < lint->listens.count; i++)
        if (listen[i].address.family == FAMILY_IPV6)
            return true;
    struct lint_group *const *group = lint->groups.item;
    for (u32 i = 0; i < lint->groups.count; i++)
        for (u32 peer = 0; peer < group[i]->peer_count; peer++)
            if (group[i]->peer[peer].address.family == FAMILY_IPV6)
                return true;
    return false;
}

static bool
is_option(const struct word *word)
{
    return strncmp(word->text, "valid=", 6) == 0 || strncmp(word->text, "ipv", 3) == 0 ||
           strncmp(word->text, "status_zone=", 12) == 0;
}

static void
check_resolver(struct lint *lint, const struct node *node)
{
    u32 count = 0;
    bool far = false, on_host = false;
    for (u32 i = 1; i < node->word_count; i++) {
        struct address address;
        const struct word *word = &node->word[i];
        if (is_option(word) || value_address(word->text, false, &address) != ADDRESS_OK)
            continue;
        enum lint_reach reach = lint_reach(&address);
        count++;
        on_host |= reach == REACH_HOST;
        if (reach == REACH_PUBLIC && !far)
            diag(lint->unit, far_resolver, word->span, lint_show(lint->unit, word));
        far |= reach == REACH_PUBLIC;
    }
    if (count == 1 && !on_host && !far)
        diag(lint->unit, single_resolver, node->word[1].span);
    const struct word *ipv6 = lint_parameter(node, "ipv6=");
    if (ipv6 == NULL && lint->whole && !has_ipv6(lint))
        diag(lint->unit, resolver_ipv6, node->word[0].span);
}

void
lint_route_resolver(struct lint *lint)
{
    const struct node *node = lint_node(lint, DIRECTIVE_resolver);
    if (node != NULL && lint_first(lint, node, DIAG_far_resolver))
        check_resolver(lint, node);
}

/* ---- SP316: the client says where to ---- */

/* Is only who is allowed let in? */
static bool
has_allow_list(struct lint *lint)
{
    struct vector access = lint_access(lint);
    struct node **node = access.item;
    for (u32 i = 0; i < access.count; i++)
        if (node[i]->row == &directives[DIRECTIVE_deny] && strcmp(node[i]->word[1].text, "all") == 0)
            return true;
    return false;
}

void
lint_route_open(struct lint *lint)
{
    const struct word *where;
    const struct node *pass = lint->server.pass;
    if (pass == NULL || !lint->framed || lint->server.group != NULL || !lint_is_tainted(lint, &pass->word[1], &where) ||
        has_allow_list(lint))
        return;
    bool local = lint->server.listen_count > 0;
    for (u32 i = 0; i < lint->server.listen_count; i++)
        local &= lint_reach(&lint->server.listen[i].address) == REACH_HOST;
    if (local)
        return;
    diag(lint->unit, open_proxy, where->span, lint_show(lint->unit, where));
    if (where != &pass->word[1])
        diag_note(lint->unit, pass->word[1].span, "used here");
}
