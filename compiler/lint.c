/*
 * Opinions: what a configuration says that is right, and that an experienced operator would not let pass. The
 * checked nodes come in, findings go out. The table of rules is here, and the view of the configuration that they
 * share; each rule is in the lint_*.c of its noun. Verdicts among them, what nginx refuses or what would betray a
 * secret, are given always; opinions only where there are no errors, for those come first.
 */
#include "lint.h"

#include <string.h>

static const struct {
    const char *codes; /* for people who look for one */
    bool verdict;
    void (*server)(struct lint *lint);
    void (*group)(struct lint *lint, const struct lint_group *group);
    void (*whole)(struct lint *lint);
} rules[] = {
    {"SP105 SP207 SP403 SP503 SP603 SP606", .server = lint_dead_server, .whole = lint_dead_whole},
    {"SP204", .whole = lint_listen_overlap},
    {"SP205 SP602", .server = lint_listen_reuseport},
    {"SP206", .server = lint_listen_preread},
    {"SP208", .server = lint_listen_range},
    {"SP209", .server = lint_listen_path},
    {"SP302", .group = lint_upstream_peers},
    {"SP303 SP304", .verdict = true, .group = lint_upstream_resolve},
    {"SP305", .verdict = true, .group = lint_upstream_backup},
    {"SP303", .group = lint_upstream_names},
    {"SP306", .group = lint_upstream_alone},
    {"SP307 SP308", .server = lint_upstream_tries},
    {"SP309", .whole = lint_route_unused},
    {"SP311", .group = lint_upstream_zone},
    {"SP312 SP313", .server = lint_route_resolver},
    {"SP316", .server = lint_route_open},
    {"SP401 SP402 SP410", .server = lint_preamble_trust},
    {"SP404", .server = lint_preamble_access},
    {"SP405", .server = lint_preamble_bind},
    {"SP406", .server = lint_preamble_out},
    {"SP501", .server = lint_tls_verify},
    {"SP502", .verdict = true, .server = lint_tls_trusted},
    {"SP504 SP505 SP506", .server = lint_tls_name},
    {"SP507 SP508", .server = lint_tls_strength},
    {"SP506 SP511", .server = lint_tls_clients},
    {"SP512", .server = lint_tls_resumption},
    {"SP513", .server = lint_tls_key_log},
    {"SP514", .server = lint_tls_port},
    {"SP601", .verdict = true, .server = lint_udp_clear},
    {"SP603", .server = lint_udp_every},
    {"SP604", .server = lint_udp_sessions},
    {"SP605", .server = lint_udp_preamble},
    {"SP607", .whole = lint_udp_dns},
    {"SP608", .server = lint_udp_amplifier},
    {"SP706", .server = lint_access_order},
    {"SP801 SP803", .server = lint_limit_time},
    {"SP802", .verdict = true, .server = lint_limit_buffer},
    {"SP804", .server = lint_limit_rate},
    {"SP805 SP806", .server = lint_limit_log},
    {"SP805", .whole = lint_limit_format},
    {"SP901 SP902", .whole = lint_target},
};

enum { RULES = sizeof rules / sizeof *rules };

/* ---- the view: variables and groups that words use ---- */

static void
note_variables(struct lint *lint, const char *text)
{
    char name[LINT_NAME_MAX];
    while (lint_variable(&text, name)) {
        size_t size = strlen(name);
        if (map_find(&lint->variables, name, size) == 0)
            *map_at(&lint->unit->arena, &lint->variables, arena_text(&lint->unit->arena, name, size), size) = 1;
    }
}

static struct lint_group *
find_group(const struct lint *lint, const char *text, size_t size)
{
    char name[LINT_NAME_MAX];
    if (size >= sizeof name)
        return NULL;
    for (size_t i = 0; i <= size; i++)
        name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    u32 found = map_find(&lint->group_of, name, size);
    return found != 0 ? ((struct lint_group **)lint->groups.item)[found - 1] : NULL;
}

/* A word that may become the target of a proxy_pass. */
static void
note_group(struct lint *lint, const struct word *word)
{
    struct lint_group *group = find_group(lint, word->text, word->size);
    if (group != NULL) {
        group->used = true;
    } else if (strchr(word->text, '$') != NULL) {
        const struct node *source = lint_source(lint, word->text + 1); /* whose words are looked at as well */
        lint->any_group |= source == NULL || (source->row->opens != OPAQUE && source->row->takes[1].kind != TAKE_VALUE);
    }
}

/* May the words of a node of this row name a group? */
static bool
may_name_group(const struct node *node, bool inside)
{
    return inside || node->row == &directives[DIRECTIVE_proxy_pass] || node->row == &directives[DIRECTIVE_set];
}

static bool
is_skipped(const struct node *node)
{
    return node->row != NULL && node->row->support == SUPPORT_NOTED;
}

/* What words use; inside: of a map, geo or the like. Blocks nest at most BLOCK_DEPTH_MAX deep. */
static void
note_uses(struct lint *lint, const struct node *first, bool inside)
{
    for (const struct node *node = first; node != NULL; node = node->next) {
        if (is_skipped(node))
            continue;
        bool opaque = inside || (node->row != NULL && node->row->opens == OPAQUE);
        lint->any_group |= inside && strcmp(node->word[0].text, "include") == 0;
        for (u32 i = inside ? 0 : 1; i < node->word_count; i++) {
            const struct word *word = &node->word[i];
            bool declares = node->row != NULL && !inside && argument_take(node->row, node->word_count - 1, i - 1) &&
                            argument_take(node->row, node->word_count - 1, i - 1)->kind == TAKE_VARIABLE;
            if (!declares && strchr(word->text, '$') != NULL)
                note_variables(lint, word->text);
            if (i > 0 && may_name_group(node, inside))
                note_group(lint, word);
        }
        note_uses(lint, node->first, opaque);
    }
}

/* ---- the view: what declares variables ---- */

static void
note_source(struct lint *lint, struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct take *take = argument_take(node->row, node->word_count - 1, i - 1);
        if (take == NULL || take->kind != TAKE_VARIABLE || node->word[i].size < 2)
            continue;
        const char *name = lower_case(lint->unit, node->word[i].text + 1);
        *(struct node **)vector_add(&lint->unit->arena, &lint->sources, sizeof node) = node;
        *map_at(&lint->unit->arena, &lint->source_of, name, strlen(name)) = lint->sources.count;
    }
}

struct node *
lint_source(const struct lint *lint, const char *name)
{
    u32 found = map_find(&lint->source_of, name, strlen(name));
    return found != 0 ? ((struct node **)lint->sources.item)[found - 1] : NULL;
}

/* ---- the view: upstreams ---- */

static void
add_peer(struct lint *lint, struct vector *peers, struct node *node, const struct word *word)
{
    struct lint_peer *peer = vector_add(&lint->unit->arena, peers, sizeof *peer);
    *peer = (struct lint_peer){.word = word, .node = node};
    if (value_address(word->text, false, &peer->address) != ADDRESS_OK)
        peers->count--; /* it was reported */
}

static struct lint_group *
add_group(struct lint *lint, struct node *block)
{
    struct lint_group *group = arena_take(&lint->unit->arena, sizeof *group);
    struct vector peers = {0};
    for (struct node *node = block->first; node != NULL; node = node->next) {
        if (node->row == &directives[DIRECTIVE_upstream_server] && node->word_count > 1)
            add_peer(lint, &peers, node, &node->word[1]);
        else if (node->row == &directives[DIRECTIVE_hash] || node->row == &directives[DIRECTIVE_random] ||
                 node->row == &directives[DIRECTIVE_least_conn] || node->row == &directives[DIRECTIVE_least_time] ||
                 node->row == &directives[DIRECTIVE_maglev])
            group->balancer = node;
    }
    group->block = block;
    group->peer = peers.item;
    group->peer_count = peers.count;
    *(struct lint_group **)vector_add(&lint->unit->arena, &lint->groups, sizeof group) = group;
    const char *name = lower_case(lint->unit, block->word[1].text);
    *map_at(&lint->unit->arena, &lint->group_of, name, strlen(name)) = lint->groups.count;
    return group;
}

/* Where a proxy_pass leads, if it is not by a variable. */
static const struct lint_group *
group_of(struct lint *lint, const struct node *pass)
{
    const struct word *word = &pass->word[1];
    const struct lint_group *found = find_group(lint, word->text, word->size);
    if (found != NULL || strchr(word->text, '$') != NULL)
        return found;
    struct lint_group *group = arena_take(&lint->unit->arena, sizeof *group);
    struct vector peers = {0};
    add_peer(lint, &peers, NULL, word);
    group->peer = peers.item;
    group->peer_count = peers.count;
    return peers.count > 0 ? group : NULL;
}

/* ---- the view: servers ---- */

static void
add_listen(struct lint *lint, struct node *server, struct node *node)
{
    struct lint_listen listen = {.node = node, .server = server};
    if (node->word_count < 2 || value_address(node->word[1].text, true, &listen.address) != ADDRESS_OK)
        return;
    listen.udp = lint_parameter(node, "udp") != NULL;
    listen.ssl = lint_parameter(node, "ssl") != NULL;
    listen.preamble = lint_parameter(node, "proxy_protocol") != NULL;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++)
        listen.own |= row->of == DIRECTIVE_listen && row->own_socket && lint_parameter(node, row->name) != NULL;
    *(struct lint_listen *)vector_add(&lint->unit->arena, &lint->listens, sizeof listen) = listen;
}

static void
add_listens(struct lint *lint)
{
    for (struct node *server = lint->stream->first; server != NULL; server = server->next)
        for (struct node *node = server->first; node != NULL && server->row == &directives[DIRECTIVE_server];
             node = node->next)
            if (node->row == &directives[DIRECTIVE_listen])
                add_listen(lint, server, node);
}

/* Look at the next server: its listens are those from *listen on. */
static void
open_server(struct lint *lint, struct node *block, u32 *listen)
{
    struct lint_server *server = &lint->server;
    *server = (struct lint_server){.block = block};
    scope_fill(&server->scope, &lint->unit->stream, block);
    if (lint->listens.count > 0)
        server->listen = (struct lint_listen *)lint->listens.item + *listen;
    for (; *listen < lint->listens.count && server->listen[server->listen_count].server == block; ++*listen) {
        const struct lint_listen *one = &server->listen[server->listen_count++];
        server->tcp |= !one->udp;
        server->udp |= one->udp;
        server->ssl |= one->ssl;
        server->plain |= !one->udp && !one->ssl;
        server->preamble |= one->preamble;
    }
    server->pass = server->scope.last[DIRECTIVE_proxy_pass];
    if (server->pass != NULL && server->pass->word_count > 1)
        server->group = group_of(lint, server->pass);
}

/* ---- running ---- */

static void
open_view(struct lint *lint)
{
    for (struct node *node = lint->stream->first; node != NULL; node = node->next) {
        if (node->row == &directives[DIRECTIVE_upstream] && node->word_count > 1)
            add_group(lint, node);
        else if (node->row == &directives[DIRECTIVE_allow] || node->row == &directives[DIRECTIVE_deny])
            *(struct node **)vector_add(&lint->unit->arena, &lint->access, sizeof node) = node;
        else if (node->row == &directives[DIRECTIVE_server])
            for (struct node *inside = node->first; inside != NULL; inside = inside->next)
                if (inside->row == &directives[DIRECTIVE_set])
                    note_source(lint, inside);
        if (node->row != NULL)
            note_source(lint, node);
    }
    add_listens(lint);
    note_uses(lint, lint->stream->first, false);
}

static void
judge(struct lint *lint, bool verdict)
{
    struct lint_group **group = lint->groups.item;
    for (u32 i = 0; i < lint->groups.count; i++)
        for (u32 rule = 0; rule < RULES; rule++)
            if (rules[rule].group != NULL && rules[rule].verdict == verdict)
                rules[rule].group(lint, group[i]);
    u32 listen = 0;
    for (struct node *node = lint->stream->first; node != NULL; node = node->next) {
        if (node->row != &directives[DIRECTIVE_server])
            continue;
        open_server(lint, node, &listen);
        if (lint->server.listen_count == 0)
            continue; /* of a fragment: nobody knows what it listens for */
        for (u32 rule = 0; rule < RULES; rule++)
            if (rules[rule].server != NULL && rules[rule].verdict == verdict)
                rules[rule].server(lint);
    }
    for (u32 rule = 0; rule < RULES; rule++)
        if (rules[rule].whole != NULL && rules[rule].verdict == verdict)
            rules[rule].whole(lint);
}

void
lint_run(struct unit *unit, struct node *root)
{
    if (unit->broken)
        return; /* what seems to be here or missing may be otherwise */
    struct node *block = unit->main.of[DIRECTIVE_stream];
    struct lint *lint = arena_take(&unit->arena, sizeof *lint);
    *lint = (struct lint){.unit = unit, .stream = block != NULL ? block : root, .whole = !unit->partial};
    lint->framed = unit->main.of[DIRECTIVE_stream] != NULL;
    open_view(lint);
    judge(lint, true);
    if (!diag_failed(unit))
        judge(lint, false);
}
