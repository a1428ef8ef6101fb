/*
 * Opinions on upstream {}, and verdicts on what does not go together in one.
 */
#include "lint.h"

#include <string.h>

static const struct word *
option(const struct lint_peer *peer, const char *name)
{
    return peer->node != NULL ? lint_parameter(peer->node, name) : NULL;
}

static struct node *
inside(const struct lint_group *group, enum directive_id id)
{
    for (struct node *node = group->block->first; node != NULL; node = node->next)
        if (node->row == &directives[id])
            return node;
    return NULL;
}

static const char *
name_of(struct lint *lint, const struct lint_group *group)
{
    return lint_show(lint->unit, &group->block->word[1]);
}

/* Is all of the group here? Of a fragment that is the inside of one, nobody knows. */
static bool
is_complete(const struct lint *lint)
{
    return lint->unit->wrapped != IN_UPSTREAM;
}

/* ---- SP302 ---- */

static void
check_duplicates(struct lint *lint, const struct lint_group *group)
{
    struct map seen = {0};
    for (u32 i = 0; i < group->peer_count; i++) {
        const struct word *word = group->peer[i].word;
        const char *key = lower_case(lint->unit, word->text);
        u32 *first = map_at(&lint->unit->arena, &seen, key, strlen(key));
        if (*first != 0) {
            diag(lint->unit, duplicate_peer, word->span, lint_show(lint->unit, word));
            diag_note(lint->unit, group->peer[*first - 1].word->span, "it stands here first");
        } else {
            *first = i + 1;
        }
    }
}

void
lint_upstream_peers(struct lint *lint, const struct lint_group *group)
{
    u32 down = 0;
    for (u32 i = 0; i < group->peer_count; i++)
        down += option(&group->peer[i], "down") != NULL;
    if (down > 0 && down == group->peer_count && is_complete(lint))
        diag(lint->unit, all_down, group->block->word[1].span, name_of(lint, group));
    check_duplicates(lint, group);
}

/* ---- SP304: resolve, as nginx judges it ---- */

static void
check_resolve(struct lint *lint, const struct lint_group *group, const struct word *resolve)
{
    bool resolver =
        inside(group, DIRECTIVE_upstream_resolver) != NULL || lint->unit->stream.of[DIRECTIVE_resolver] != NULL;
    if (inside(group, DIRECTIVE_zone) == NULL && is_complete(lint)) {
        diag(lint->unit, resolve_without_zone, resolve->span, name_of(lint, group));
        diag_help(lint->unit, "add: zone %s 64k;", group->block->word[1].text);
    }
    if (!resolver && lint->whole)
        diag(lint->unit, resolve_without_resolver, resolve->span);
}

/* SP303, SP304 */
void
lint_upstream_resolve(struct lint *lint, const struct lint_group *group)
{
    const struct word *resolve = NULL;
    for (u32 i = 0; i < group->peer_count && resolve == NULL; i++)
        resolve = option(&group->peer[i], "resolve");
    const struct node *resolver = inside(group, DIRECTIVE_upstream_resolver);
    if (resolve != NULL)
        check_resolve(lint, group, resolve);
    else if (resolver != NULL && is_complete(lint))
        diag(lint->unit, resolver_unused, resolver->word[0].span);
}

/* SP303 */
void
lint_upstream_names(struct lint *lint, const struct lint_group *group)
{
    for (u32 i = 0; i < group->peer_count; i++)
        if (lint_is_name(&group->peer[i]) && option(&group->peer[i], "resolve") == NULL)
            diag(lint->unit, name_resolved_once, group->peer[i].word->span, lint_show(lint->unit, group->peer[i].word));
}

/* SP305: nginx refuses it, but only if the method stands first. */
void
lint_upstream_backup(struct lint *lint, const struct lint_group *group)
{
    const struct node *method = group->balancer;
    if (method == NULL || (method->row != &directives[DIRECTIVE_hash] && method->row != &directives[DIRECTIVE_random]))
        return;
    bool before = false;
    for (const struct node *node = group->block->first; node != NULL; node = node->next) {
        before |= node == method;
        const struct word *backup =
            node->row == &directives[DIRECTIVE_upstream_server] ? lint_parameter(node, "backup") : NULL;
        if (backup == NULL)
            continue;
        if (before)
            diag(lint->unit, backup_refused, backup->span, lint_show(lint->unit, &method->word[0]));
        else
            diag(lint->unit, backup_ignored, backup->span, lint_show(lint->unit, &method->word[0]));
        diag_note(lint->unit, method->word[0].span, "it stands here");
    }
}

/* SP302, SP306: of a single server. A name may stand for several. */
void
lint_upstream_alone(struct lint *lint, const struct lint_group *group)
{
    static const char *const useless[] = {"max_fails=", "fail_timeout=", "slow_start="};
    if (group->peer_count != 1 || lint_is_name(&group->peer[0]) || !is_complete(lint))
        return;
    const struct word *weight = option(&group->peer[0], "weight=");
    if (weight != NULL)
        diag(lint->unit, weight_alone, weight->span, lint_show(lint->unit, weight));
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
        const struct word *word = option(&group->peer[0], useless[i]);
        if (word != NULL)
            diag(lint->unit, useless_alone, word->span, lint_show(lint->unit, word));
    }
}

/* SP311: what each worker of nginx counts for itself. */
void
lint_upstream_zone(struct lint *lint, const struct lint_group *group)
{
    const struct node *method = group->balancer;
    if (inside(group, DIRECTIVE_zone) != NULL || lint_workers(lint) == 1 || !is_complete(lint))
        return;
    if (method != NULL &&
        (method->row == &directives[DIRECTIVE_least_conn] || method->row == &directives[DIRECTIVE_least_time]))
        diag(lint->unit, per_worker, method->word[0].span, lint_show(lint->unit, &method->word[0]));
    for (u32 i = 0; i < group->peer_count; i++) {
        const struct word *word = option(&group->peer[i], "max_conns=");
        if (word != NULL)
            diag(lint->unit, per_worker, word->span, lint_show(lint->unit, word));
    }
}

/* ---- SP307, SP308: of the proxy_pass to a group ---- */

/* Servers that a session may try; 0: names are among them, and nobody knows how many that is. */
static u32
count_tries(const struct lint_group *group)
{
    for (u32 i = 0; i < group->peer_count; i++)
        if (lint_is_name(&group->peer[i]))
            return 0;
    return group->peer_count;
}

static void
check_window(struct lint *lint, const struct lint_group *group)
{
    u64 connect_ms = lint_value(lint, DIRECTIVE_proxy_connect_timeout);
    for (u32 i = 0; i < group->peer_count; i++) {
        u64 fails, window;
        const struct word *max_fails = option(&group->peer[i], "max_fails=");
        const struct word *timeout = option(&group->peer[i], "fail_timeout=");
        if (max_fails == NULL || timeout == NULL || !lint_first(lint, group->peer[i].node, DIAG_fail_window))
            continue;
        const char *fails_text = lint_parameter_value(max_fails), *window_text = lint_parameter_value(timeout);
        if (value_number(fails_text, strlen(fails_text), &fails) == READ_OK && fails > 1 &&
            value_time_s(window_text, strlen(window_text), &window) == READ_OK && window * 1000 < connect_ms)
            diag(lint->unit, fail_window, timeout->span, lint_show(lint->unit, timeout),
                 (unsigned long long)connect_ms);
    }
}

void
lint_upstream_tries(struct lint *lint)
{
    const struct lint_group *group = lint->server.group;
    if (group == NULL || group->block == NULL || !lint->framed || lint_value(lint, DIRECTIVE_proxy_next_upstream) == 0)
        return;
    struct node *tries = lint_node(lint, DIRECTIVE_proxy_next_upstream_tries);
    u32 most = count_tries(group);
    if (tries != NULL && most > 0 && tries->value > most && lint->server.scope.of[DIRECTIVE_proxy_next_upstream_tries])
        diag(lint->unit, more_tries, tries->word[1].span, lint_show(lint->unit, &tries->word[1]), name_of(lint, group),
             most);
    struct node *limit = lint_node(lint, DIRECTIVE_proxy_next_upstream_timeout);
    u64 connect_ms = lint_value(lint, DIRECTIVE_proxy_connect_timeout);
    if (limit != NULL && limit->value > 0 && connect_ms >= limit->value && group->peer_count > 1 &&
        lint_first(lint, limit, DIAG_no_second_try))
        diag(lint->unit, no_second_try, limit->word[1].span, lint_show(lint->unit, &limit->word[1]),
             (unsigned long long)connect_ms);
    if (group->peer_count > 1)
        check_window(lint, group);
}
