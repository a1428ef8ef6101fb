/*
 * Opinions on listen: sockets that do not help, that may not open, or that are not where one thinks.
 */
#include "lint.h"

#include <string.h>

/* SP205, SP602 */
void
lint_listen_reuseport(struct lint *lint)
{
    u64 workers = lint_workers(lint);
    for (u32 i = 0; i < lint->server.listen_count; i++) {
        const struct lint_listen *listen = &lint->server.listen[i];
        const struct word *reuseport = lint_parameter(listen->node, "reuseport");
        if (reuseport != NULL && workers == 1 && lint->whole)
            diag(lint->unit, reuseport_alone, reuseport->span);
        if (listen->udp && reuseport == NULL && workers != 1 && lint->unit->main.of[DIRECTIVE_worker_processes] != NULL)
            diag(lint->unit, udp_scattered, lint_parameter(listen->node, "udp")->span);
    }
}

/* SP206: a ClientHello that offers a post-quantum key does not fit one segment, and may not be cut. */
void
lint_listen_preread(struct lint *lint)
{
    struct node *node = lint_node(lint, DIRECTIVE_preread_buffer_size);
    if (node != NULL && node->value < 4096 && lint_value(lint, DIRECTIVE_ssl_preread) != 0 && lint->server.plain &&
        lint_first(lint, node, DIAG_small_preread))
        diag(lint->unit, small_preread, node->word[1].span, lint_show(lint->unit, &node->word[1]));
}

/* SP208: 1024 is the number of files that a process may have open unless somebody raised it. */
void
lint_listen_range(struct lint *lint)
{
    const struct node *files = lint->unit->main.of[DIRECTIVE_worker_rlimit_nofile];
    u64 most = files != NULL ? files->value : 1024;
    for (u32 i = 0; i < lint->server.listen_count; i++) {
        const struct lint_listen *listen = &lint->server.listen[i];
        u32 count =
            listen->address.last_port > listen->address.port ? listen->address.last_port - listen->address.port + 1 : 1;
        if (count >= most)
            diag(lint->unit, wide_range, listen->node->word[1].span, lint_show(lint->unit, &listen->node->word[1]),
                 count, (unsigned long long)most);
    }
}

/* ---- SP209: paths ---- */

static void
check_path(struct lint *lint, const struct word *word, const struct address *address)
{
    static const char *const open_to_all[] = {"/tmp/", "/var/tmp/", "/dev/shm/"};
    if (address->family != FAMILY_UNIX || address->path[0] == '@') /* an abstract name is no path */
        return;
    if (address->path[0] != '/') {
        diag(lint->unit, relative_path, word->span, show(lint->unit, address->path, strlen(address->path)));
        return;
    }
    for (size_t i = 0; i < sizeof open_to_all / sizeof *open_to_all; i++)
        if (strncmp(address->path, open_to_all[i], strlen(open_to_all[i])) == 0)
            diag(lint->unit, open_path, word->span, show(lint->unit, address->path, strlen(address->path)),
                 open_to_all[i]);
}

void
lint_listen_path(struct lint *lint)
{
    const struct lint_server *server = &lint->server;
    for (u32 i = 0; i < server->listen_count; i++)
        check_path(lint, &server->listen[i].node->word[1], &server->listen[i].address);
    for (u32 i = 0; server->group != NULL && i < server->group->peer_count; i++) {
        const struct lint_peer *peer = &server->group->peer[i];
        if (peer->node == NULL || lint_first(lint, peer->node, DIAG_open_path))
            check_path(lint, peer->word, &peer->address);
    }
}

/* ---- SP204: a wildcard's socket serves single addresses too ---- */

static u32 *
wildcard_at(struct lint *lint, struct map *map, const struct lint_listen *listen)
{
    u32 *key = arena_take(&lint->unit->arena, 3 * sizeof *key);
    key[0] = listen->address.family;
    key[1] = listen->udp;
    key[2] = listen->address.port;
    return map_at(&lint->unit->arena, map, key, 3 * sizeof *key);
}

static bool
has_port(const struct lint_listen *listen)
{
    return listen->address.family == FAMILY_IPV4 || listen->address.family == FAMILY_IPV6;
}

void
lint_listen_overlap(struct lint *lint)
{
    struct map wildcards = {0};
    struct lint_listen *listen = lint->listens.item;
    for (u32 i = 0; i < lint->listens.count; i++)
        if (has_port(&listen[i]) && listen[i].address.wildcard)
            *wildcard_at(lint, &wildcards, &listen[i]) = i + 1;
    for (u32 i = 0; i < lint->listens.count; i++) {
        if (!has_port(&listen[i]) || listen[i].address.wildcard || listen[i].own)
            continue;
        u32 wildcard = *wildcard_at(lint, &wildcards, &listen[i]);
        if (wildcard == 0)
            continue;
        diag(lint->unit, shadowed_listen, listen[i].node->word[1].span,
             lint_show(lint->unit, &listen[i].node->word[1]));
        diag_note(lint->unit, listen[wildcard - 1].node->word[1].span, "this one");
    }
}
