/*
 * server {}, listen and server_name beyond one statement: which servers share an address, which of them a session can
 * reach, and what their listens must agree on. Each socket remembers its servers in order; the first one, or the
 * one that says default_server, takes the sessions whose name no server has.
 */
#include "judge.h"

#include <arpa/inet.h>
#include <string.h>

/* A server at a socket. */
struct member {
    struct judge_server *server;
    const struct node *listen;
    bool ssl, preamble, fallback, options;
};

struct judge_socket {
    struct vector members; /* of struct member */
    bool udp;
    const char *text;      /* its address */
};

/* ---- listen ---- */

static bool
has(const struct node *node, const char *parameter)
{
    size_t size = strlen(parameter);
    for (u32 i = 2; i < node->word_count; i++)
        if (parameter[size - 1] == '=' ? strncmp(node->word[i].text, parameter, size) == 0
                                       : strcmp(node->word[i].text, parameter) == 0)
            return true;
    return false;
}

/* What asks for more than a datagram socket can do. */
void
judge_listen(struct unit *unit, struct node *node)
{
    static const char *const streams[] = {"ssl", "backlog=", "deferred", "so_keepalive=", "fastopen=",
                                          "multipath"};
    for (u32 i = 2; i < node->word_count && has(node, "udp"); i++)
        for (size_t k = 0; k < sizeof streams / sizeof *streams; k++) {
            size_t size = strlen(streams[k]);
            const struct word *word = &node->word[i];
            if (strncmp(word->text, streams[k], size) == 0 && (streams[k][size - 1] == '=' || word->size == size))
                diag(unit, udp_conflict, word->span, judge_show(unit, word));
        }
}

/* ---- server_name ---- */

static bool
is_wildcard(const char *name, size_t size)
{
    const char *star = strchr(name, '*');
    if (star == NULL)
        return name[0] != '.' || size > 1;
    bool head = star == name && size > 2 && name[1] == '.';
    bool tail = star == name + size - 1 && size > 2 && star[-1] == '.';
    return (head || tail) && strchr(star + 1, '*') == NULL;
}

/* Why no client can ask for that name; NULL: it can. */
static const char *
why_dead(const struct word *word)
{
    enum family family;
    ip16 ip;
    if (value_ip(word->text, word->size, &family, &ip) == READ_OK)
        return "clients send names, never addresses";
    if (strchr(word->text, '/') != NULL)
        return "a name has no \"/\"";
    if (strchr(word->text, ':') != NULL)
        return "clients send the name without a port";
    for (const char *at = word->text; *at != '\0'; at++)
        if ((u8)*at >= 0x80)
            return "clients send it in ASCII: write it with xn--";
    return NULL;
}

void
judge_server_name(struct unit *unit, struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        if (word->size == 0 || strcmp(word->text, "$hostname") == 0)
            continue;
        if (word->text[0] == '~') {
            bool caseless = strpbrk(word->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL; /* as nginx does */
            if (word->size == 1)
                diag(unit, bad_name, word->span, judge_show(unit, word), "there is no pattern behind the \"~\"");
            else
                judge_regex(unit, word, 1, caseless);
        } else if (!is_wildcard(word->text, word->size) || strstr(word->text, "..") != NULL) {
            diag(unit, bad_name, word->span, judge_show(unit, word),
                 "a wildcard is \"*.\" at its beginning or \".*\" at its end");
            if (strpbrk(word->text, "^$|()[]\\+?") != NULL)
                diag_help(unit, "a regular expression begins with \"~\"");
        } else if (strpbrk(word->text, "^|()[]\\+?") != NULL) {
            diag(unit, dead_name, word->span, judge_show(unit, word), "a name has no such characters");
            diag_help(unit, "a regular expression begins with \"~\": ~%s", word->text);
        } else if (strchr(word->text, '$') != NULL) {
            diag(unit, dead_name, word->span, judge_show(unit, word), "names have no variables here");
        } else if (why_dead(word) != NULL) {
            diag(unit, dead_name, word->span, judge_show(unit, word), why_dead(word));
        }
    }
}

/* ---- collecting ---- */

static const char *
key_of(struct unit *unit, const struct address *address, u32 port, bool udp, size_t *size)
{
    struct {
        u32 family, udp, port;
        ip16 ip;
    } key = {(u32)address->family, udp, port, address->ip};
    if (address->family == FAMILY_UNIX) {
        const char *text = arena_print(&unit->arena, "%d%s", udp, address->path);
        *size = strlen(text);
        return text;
    }
    *size = sizeof key;
    return memcpy(arena_take(&unit->arena, sizeof key), &key, sizeof key);
}

static const char *
print(struct unit *unit, const struct address *address, u32 port)
{
    char ip[INET6_ADDRSTRLEN];
    if (address->family == FAMILY_UNIX)
        return show(unit, address->path - strlen("unix:"), strlen(address->path) + strlen("unix:"));
    if (address->wildcard && address->family == FAMILY_IPV4)
        return arena_print(&unit->arena, "port %u", port);
    inet_ntop(address->family == FAMILY_IPV6 ? AF_INET6 : AF_INET, address->ip.byte, ip, sizeof ip);
    return arena_print(&unit->arena, address->family == FAMILY_IPV6 ? "[%s]:%u" : "%s:%u", ip, port);
}

static struct judge_socket *
socket_at(const struct unit *unit, u32 index)
{
    return (struct judge_socket *)unit->judge->sockets.item + index;
}

static void
join(struct unit *unit, const struct address *address, u32 port, const struct member *member)
{
    size_t size;
    bool udp = has(member->listen, "udp");
    const char *key = key_of(unit, address, port, udp, &size);
    u32 *slot = map_at(&unit->arena, &unit->judge->socket_of, key, size);
    if (*slot == 0) {
        struct judge_socket *socket = vector_add(&unit->arena, &unit->judge->sockets, sizeof *socket);
        *socket = (struct judge_socket){.udp = udp, .text = print(unit, address, port)};
        *slot = unit->judge->sockets.count;
    }
    struct judge_socket *socket = socket_at(unit, *slot - 1);
    struct member *last = socket->members.count > 0 ? (struct member *)socket->members.item + socket->members.count - 1
                                                    : NULL;
    if (last == NULL || last->server != member->server) /* else listen.c says that it is there twice */
        *(struct member *)vector_add(&unit->arena, &socket->members, sizeof *member) = *member;
}

static bool
read_listen(const struct node *node, struct address *address)
{
    if (node->broken || value_address(node->word[1].text, true, address) != ADDRESS_OK)
        return false;
    if (address->family == FAMILY_NONE && address->host_size == 9 && strncmp(address->host, "localhost", 9) == 0) {
        address->family = FAMILY_IPV4;
        memcpy(address->ip.byte, (const u8[]){127, 0, 0, 1}, 4);
    }
    return address->family == FAMILY_UNIX || (address->family != FAMILY_NONE && address->port != 0);
}

static void
collect(struct unit *unit, struct judge_server *server, const struct node *listen)
{
    struct address address;
    struct member member = {.server = server, .listen = listen, .ssl = has(listen, "ssl"),
                            .preamble = has(listen, "proxy_protocol"), .fallback = has(listen, "default_server")};
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++)
        member.options |= row->of == DIRECTIVE_listen && row->own_socket && has(listen, row->name);
    if (!read_listen(listen, &address))
        return;
    server->tls |= member.ssl;
    for (u32 port = address.port; port <= address.last_port; port++)
        join(unit, &address, port, &member);
}

static bool
is_on(const struct scope *scope, enum directive_id id)
{
    const struct node *node = scope_nearest(scope, &directives[id]);
    return node != NULL && !node->broken && node->value != 0;
}

static u32
prereads_on(const struct scope *scope)
{
    u32 on = 0;
    for (u32 i = 0; i < PREREAD_COUNT; i++)
        on |= (u32)is_on(scope, prereads[i].directive) << i;
    return on;
}

void
judge_server(struct unit *unit, struct node *node)
{
    const struct scope *scope = &unit->here;
    struct judge_server *server = arena_take(&unit->arena, sizeof *server);
    *server = (struct judge_server){
        .node = node,
        .pass = scope->last[DIRECTIVE_proxy_pass],
        .names = scope->of[DIRECTIVE_server_name],
        .prereads = prereads_on(scope),
        .resolves = scope_nearest(scope, &directives[DIRECTIVE_resolver]) != NULL,
        .certified = scope_nearest(scope, &directives[DIRECTIVE_ssl_certificate]) != NULL ||
                     is_on(scope, DIRECTIVE_ssl_reject_handshake),
    };
    *(struct judge_server **)vector_add(&unit->arena, &unit->judge->servers, sizeof server) = server;
    for (struct node *listen = scope->of[DIRECTIVE_listen]; listen != NULL; listen = listen->again)
        collect(unit, server, listen);
    server->udp = scope->of[DIRECTIVE_listen] != NULL && has(scope->of[DIRECTIVE_listen], "udp");
    judge_tls_server(unit, scope);
}

/* ---- one socket ---- */

struct judge_server *
judge_server_at(const struct unit *unit, const struct address *address, u32 port, bool udp)
{
    size_t size;
    const char *key = key_of((struct unit *)unit, address, port, udp, &size);
    u32 found = map_find(&unit->judge->socket_of, key, size);
    if (found == 0)
        return NULL;
    const struct judge_socket *socket = socket_at(unit, found - 1);
    const struct member *member = socket->members.item;
    for (u32 i = 0; i < socket->members.count; i++)
        if (member[i].fallback)
            return member[i].server;
    return member[0].server;
}

static void
judge_agreement(struct unit *unit, const struct judge_socket *socket)
{
    const struct member *member = socket->members.item, *options = NULL, *fallback = NULL;
    for (u32 i = 0; i < socket->members.count; i++) {
        const struct member *one = &member[i];
        struct span span = judge_span(one->listen);
        const char *text = socket->text;
        if (one->fallback && fallback != NULL) {
            diag(unit, two_defaults, span, text);
            diag_note(unit, judge_span(fallback->listen), "the first one");
        }
        if (one->options && options != NULL) {
            diag(unit, options_again, span, text);
            diag_note(unit, judge_span(options->listen), "it has some here");
        }
        if (one->ssl != member[0].ssl || one->preamble != member[0].preamble) {
            diag(unit, listen_disagree, span, text, one->ssl != member[0].ssl ? "ssl" : "proxy_protocol");
            diag_note(unit, judge_span(member[0].listen), one->ssl != member[0].ssl ? one->ssl ? "not here" : "here"
                                                          : one->preamble           ? "not here"
                                                                                    : "here");
        }
        fallback = one->fallback && fallback == NULL ? one : fallback;
        options = one->options && options == NULL ? one : options;
    }
}

/* ---- names at one socket ---- */

struct seen {
    const struct word *word; /* NULL: a server without a name */
    const struct member *member;
};

static void
say_seen(struct unit *unit, const struct seen *one, const struct seen *first, const char *text)
{
    if (one->word != NULL) {
        diag(unit, duplicate_server, one->word->span, judge_show(unit, one->word), text);
        diag_note(unit, first->word != NULL ? first->word->span : judge_span(first->member->listen),
                  "first taken here");
        if (first->member == one->member)
            diag_help(unit, "one of them is enough");
    } else {
        diag(unit, shadowed_server, judge_span(one->member->listen), text);
        diag_note(unit, judge_span(first->member->listen), "first taken here");
    }
}

static void
see(struct unit *unit, struct map *names, struct vector *seen, struct seen one, const struct judge_socket *socket)
{
    static const struct word nameless = {.text = ""};
    const char *keys[2];
    u32 count = server_name_keys(unit, one.word != NULL ? one.word : &nameless, keys);
    *(struct seen *)vector_add(&unit->arena, seen, sizeof one) = one;
    for (u32 i = 0; i < count; i++) {
        u32 *slot = map_at(&unit->arena, names, keys[i], strlen(keys[i]));
        if (*slot != 0) {
            say_seen(unit, &one, (struct seen *)seen->item + *slot - 1, socket->text);
            return;
        }
        *slot = seen->count;
    }
}

static void
judge_names(struct unit *unit, const struct judge_socket *socket)
{
    struct map names = {0};
    struct vector seen = {0};
    const struct member *member = socket->members.item;
    for (u32 i = 0; i < socket->members.count; i++) {
        const struct node *node = member[i].server->names;
        if (node == NULL)
            see(unit, &names, &seen, (struct seen){NULL, &member[i]}, socket);
        for (; node != NULL; node = node->again)
            for (u32 k = 1; k < node->word_count; k++)
                see(unit, &names, &seen, (struct seen){&node->word[k], &member[i]}, socket);
    }
}

/* Only TLS and HTTP tell the name that a client wants: does anything here read it? */
static void
judge_reach(struct unit *unit, const struct judge_socket *socket)
{
    const struct member *member = socket->members.item;
    bool ssl = false, preread = false, named = false;
    u32 with_name = 1u << PREREAD_SSL | 1u << PREREAD_HTTP;
    for (u32 i = 0; i < socket->members.count; i++) {
        ssl |= member[i].ssl;
        preread |= (member[i].server->prereads & with_name) != 0;
        named |= member[i].server->names != NULL;
    }
    if (ssl || preread || !named)
        return;
    for (u32 i = 0; i < socket->members.count; i++) {
        const struct judge_server *server = member[i].server;
        if (server->names == NULL)
            continue;
        if (socket->members.count > 1)
            diag(unit, unseen_name, server->names->word[0].span, socket->text);
        else if (!server->tls)
            diag(unit, useless_name, server->names->word[0].span);
    }
}

static void
judge_certificate(struct unit *unit, const struct judge_socket *socket)
{
    const struct member *member = socket->members.item, *first = member;
    bool ssl = false;
    for (u32 i = 0; i < socket->members.count; i++) {
        ssl |= member[i].ssl;
        if (member[i].fallback && !first->fallback)
            first = &member[i];
    }
    if (!ssl || socket->udp || first->server->certified || judge_is_lenient(unit))
        return;
    diag(unit, no_certificate, judge_span(first->listen), socket->text);
}

void
judge_server_finish(struct unit *unit)
{
    for (u32 i = 0; i < unit->judge->sockets.count; i++) {
        const struct judge_socket *socket = socket_at(unit, i);
        judge_agreement(unit, socket);
        if (socket->members.count > 1)
            judge_names(unit, socket);
        judge_reach(unit, socket);
        judge_certificate(unit, socket);
    }
}
