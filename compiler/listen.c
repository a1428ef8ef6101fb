/*
 * server {} and listen: nodes in; server, address, listener and endpoint records out.
 *
 * As in nginx, addresses of one port share a socket where they can. When one of them is a wildcard, only that one
 * is opened, and a session goes by the address it came to; what has socket parameters gets a socket of its own:
 *
 *     listen 80;             listener 0.0.0.0:80   endpoints 10.0.0.1:80, 0.0.0.0:80
 *     listen 10.0.0.1:80;
 */
#include "spcc.h"

#include <arpa/inet.h>
#include <string.h>

/* One address that some server listens on. */
struct binding {
    struct address address;
    u32 port, record, server; /* record: of the address */
    u32 listener, endpoint;   /* what came of it */
    struct blob_listener options;
    struct span span;
    bool udp;
    bool fallback; /* default_server */
    const struct node *block; /* server {} */
    bool own;  /* has parameters that ask for a socket of its own */
    u32 next;  /* 1 + index of the next binding of the same port, 0 for none */
    struct vector members; /* of struct name_member: all servers that listen here */
};

/* The bindings of one family and port. */
struct port {
    u32 first, last, wildcard; /* 1 + index; 0 for none */
};

/* ---- addresses ---- */

static const char *
print_address(struct unit *unit, const struct address *address, u32 port)
{
    char ip[INET6_ADDRSTRLEN];
    if (address->family == FAMILY_UNIX)
        return arena_print(&unit->arena, "unix:%s", address->path);
    inet_ntop(address->family == FAMILY_IPV6 ? AF_INET6 : AF_INET, address->ip.byte, ip, sizeof ip);
    return arena_print(&unit->arena, address->family == FAMILY_IPV6 ? "[%s]:%u" : "%s:%u", ip, port);
}

u32
listen_address(struct unit *unit, const struct address *address, u32 port, struct span span)
{
    const char *text = print_address(unit, address, port);
    struct blob_address record = {.family = (u16)address->family, .port = (u16)port, .ip = address->ip};
    if (address->family == FAMILY_UNIX)
        record.path = image_text(unit, address->path, strlen(address->path));
    record.text = image_text(unit, text, strlen(text));
    return image_add(unit, SECTION_address, &record, span);
}

/* ---- one listen ---- */

static struct span
span_of(const struct node *node)
{
    return (struct span){node->word[0].span.start, node->word[node->word_count - 1].span.end};
}

static bool
read_address(struct unit *unit, const struct word *word, struct address *address)
{
    enum address_problem problem = value_address(word->text, true, address);
    if (problem != ADDRESS_OK && expr_is_dynamic(word)) {
        diag(unit, bad_address, word->span, show(unit, word->text, word->size),
             "has a variable, and listen takes none");
        diag_help(unit, "a constant is defined with -D NAME=VALUE");
        return false;
    }
    if (problem != ADDRESS_OK) {
        diag(unit, bad_address, word_part(word, address->bad_start, address->bad_end),
             show(unit, word->text, word->size), value_address_problem[problem]);
        if (problem == ADDRESS_BRACKETS)
            diag_help(unit, "IPv6 is written in brackets: [::1]:8000");
        return false;
    }
    if (address->family == FAMILY_NONE && address->host_size == 9 && strncmp(address->host, "localhost", 9) == 0) {
        address->family = FAMILY_IPV4;
        memcpy(address->ip.byte, (const u8[]){127, 0, 0, 1}, 4);
        if (address->port != 0) {
            diag(unit, listen_localhost, word->span);
            diag_help(unit, "if IPv6 is wanted too, add: listen [::1]:%u;", address->port);
        }
    }
    if (address->family == FAMILY_NONE)
        diag(unit, listen_name, word->span, show(unit, word->text, word->size));
    else if (address->family != FAMILY_UNIX && address->port == 0) {
        diag(unit, no_listen_port, word->span, show(unit, word->text, word->size));
        diag_help(unit, "write %s:8000, say", word->text);
    } else
        return true;
    return false;
}

static void
read_keepalive(struct unit *unit, const struct word *word, struct blob_listener *record)
{
    static const struct landing into[] = {
        INTO(listener, keepalive_idle_s), INTO(listener, keepalive_interval_s), INTO(listener, keepalive_count)};
    bool on = socket_keepalive(unit, word, strchr(word->text, '=') + 1, into, record);
    record->flags |= on ? LISTENER_KEEPALIVE : LISTENER_NO_KEEPALIVE;
}

/* ::ffff:1.2.3.4: Linux binds it only to a socket that takes IPv4 too. */
static bool
is_mapped(const struct address *address)
{
    static const u8 prefix[12] = {[10] = 0xff, [11] = 0xff};
    return address->family == FAMILY_IPV6 && memcmp(address->ip.byte, prefix, sizeof prefix) == 0;
}

static void
read_options(struct unit *unit, struct node *node, struct binding *binding)
{
    struct options options;
    argument_options(unit, node, 2, &binding->options, &options);
    const struct word *ipv6only = options.word[PARAMETER_listen_ipv6only];
    const struct word *keepalive = options.word[PARAMETER_listen_so_keepalive];
    if (binding->address.family == FAMILY_IPV6 && (ipv6only == NULL || options.value[PARAMETER_listen_ipv6only]))
        binding->options.flags |= LISTENER_IPV6ONLY;
    if (is_mapped(&binding->address) && (binding->options.flags & LISTENER_IPV6ONLY) != 0) {
        diag(unit, mapped_listen, node->word[1].span, show(unit, node->word[1].text, node->word[1].size));
        diag_help(unit, "write it as IPv4, or add ipv6only=off");
    }
    if (binding->address.family != FAMILY_IPV6 && ipv6only != NULL)
        diag(unit, no_effect, ipv6only->span, show(unit, ipv6only->text, ipv6only->size), "the address is not of IPv6");
    if (keepalive != NULL)
        read_keepalive(unit, keepalive, &binding->options);
    binding->fallback = options.word[PARAMETER_listen_default_server] != NULL;
    binding->udp = options.word[PARAMETER_listen_udp] != NULL;
    const struct word *evict = options.word[PARAMETER_listen_evict_oldest];
    if (evict != NULL && !binding->udp)
        diag(unit, no_effect, evict->span, show(unit, evict->text, evict->size), "this listen is not for datagrams");
    for (u32 i = 0; i < PARAMETER_COUNT; i++)
        binding->own |= options.word[i] != NULL && parameters[i].own_socket;
}

/* ---- collecting ---- */

static struct binding *
binding_at(const struct unit *unit, u32 index)
{
    return (struct binding *)unit->bindings.item + index;
}

/* 1 + index of the binding with that address, 0 for none yet. */
static u32 *
find_binding(struct unit *unit, const struct binding *binding)
{
    if (binding->address.family == FAMILY_UNIX) {
        const char *key = arena_print(&unit->arena, "%d%s", binding->udp, binding->address.path);
        return map_at(&unit->arena, &unit->bound, key, strlen(key));
    }
    struct {
        u32 family, udp, port;
        ip16 ip;
    } *key = arena_take(&unit->arena, sizeof *key);
    key->family = binding->address.family;
    key->udp = binding->udp;
    key->port = binding->port;
    key->ip = binding->address.ip;
    return map_at(&unit->arena, &unit->bound, key, sizeof *key);
}

static struct port *
find_port(struct unit *unit, const struct binding *binding, enum family family)
{
    u32 *key = arena_take(&unit->arena, 3 * sizeof *key);
    key[0] = family;
    key[1] = binding->udp;
    key[2] = binding->port;
    u32 *slot = map_at(&unit->arena, &unit->bound, key, 3 * sizeof *key);
    if (*slot == 0) {
        vector_add(&unit->arena, &unit->ports, sizeof(struct port));
        *slot = unit->ports.count;
    }
    return (struct port *)unit->ports.item + *slot - 1;
}

static void
say_taken(struct unit *unit, const struct binding *binding, const struct binding *first)
{
    const struct address *address = &binding->address;
    const char *text = address->wildcard && address->family == FAMILY_IPV4
                           ? arena_print(&unit->arena, "port %u", binding->port)
                           : print_address(unit, address, binding->port);
    diag(unit, duplicate_listen, binding->span, text);
    diag_note(unit, first->span, "first taken here");
    if (binding->server == first->server)
        diag_help(unit, "one of them is enough");
    else
        diag_help(unit, "give one of the servers another port or address");
}

/* The server of binding listens where first does. */
static void
add_member(struct unit *unit, struct binding *first, const struct binding *binding)
{
    struct name_member member = {.server = binding->server, .node = binding->block, .fallback = binding->fallback};
    *(struct name_member *)vector_add(&unit->arena, &first->members, sizeof member) = member;
    first->options.flags |= binding->options.flags & LISTENER_PROXY_PROTOCOL;
}

/* False: taken. */
static bool
bind_one(struct unit *unit, struct binding *binding)
{
    u32 *slot = find_binding(unit, binding);
    if (*slot != 0) {
        struct binding *first = binding_at(unit, *slot - 1);
        if (binding->server == first->server)
            say_taken(unit, binding, first);
        else /* they share it by name: judge_server.c */
            add_member(unit, first, binding);
        return false;
    }
    *slot = unit->bindings.count + 1;
    binding->record = listen_address(unit, &binding->address, binding->port, binding->span);
    if (binding->address.family != FAMILY_UNIX) {
        struct port *port = find_port(unit, binding, binding->address.family);
        if (port->first == 0)
            port->first = *slot;
        else
            binding_at(unit, port->last - 1)->next = *slot;
        port->last = *slot;
        if (binding->address.wildcard)
            port->wildcard = *slot;
    }
    struct binding *made = vector_add(&unit->arena, &unit->bindings, sizeof *binding);
    *made = *binding;
    add_member(unit, made, binding);
    return true;
}

static void
collect(struct unit *unit, struct node *node, u32 server, const struct node *block)
{
    struct binding binding = {.server = server, .block = block, .span = span_of(node)};
    if (node->broken)
        return;
    bool good = read_address(unit, &node->word[1], &binding.address);
    read_options(unit, node, &binding);
    if (good && binding.udp && binding.address.family == FAMILY_UNIX)
        later_say(unit, node->word[1].span, "a unix socket for datagrams", "\"udp\" on a unix socket");
    if (!good)
        return;
    if (binding.udp && ((struct blob_server *)image_at(unit, SECTION_server, server))->pass != 0)
        diag(unit, pass_datagrams, binding.span);
    binding.port = binding.address.port;
    while (bind_one(unit, &binding) && binding.port < binding.address.last_port)
        binding.port++;
}

/* ---- server {} ---- */

/* May what seems to be missing be behind a mistake that was reported? */
static bool
is_unsure(const struct unit *unit, const struct node *block)
{
    bool unsure = unit->broken || unit->wrapped == IN_SERVER;
    for (const struct node *node = block->first; node != NULL; node = node->next)
        unsure |= node->row == NULL;
    return unsure;
}

static bool
is_content(const struct node *node)
{
    return node->row == &directives[DIRECTIVE_proxy_pass] || node->row == &directives[DIRECTIVE_return_] ||
           node->row == &directives[DIRECTIVE_pass];
}

/* proxy_pass, return or pass, whichever comes last, as in nginx. */
static void
compile_content(struct unit *unit, struct node *block, struct blob_server *record)
{
    struct node *last = NULL, *dead = NULL;
    for (struct node *node = block->first; node != NULL; node = node->next)
        if (is_content(node)) {
            if (last != NULL && last->row != node->row)
                dead = last;
            last = node;
        }
    if (dead != NULL) {
        diag(unit, two_contents, dead->word[0].span, show(unit, dead->row->name, strlen(dead->row->name)),
             show(unit, last->row->name, strlen(last->row->name)));
        diag_note(unit, last->word[0].span, "it stands here, and the last one holds");
    }
    if (last == NULL) {
        if (!is_unsure(unit, block))
            diag(unit, no_content, block->word[0].span);
    } else if (!last->broken && last->row == &directives[DIRECTIVE_proxy_pass]) {
        record->proxy = proxy_compile(unit, &unit->here, last);
    } else if (!last->broken && last->row == &directives[DIRECTIVE_pass]) {
        record->pass = pass_compile(unit, last);
    } else if (!last->broken) {
        record->value = expr_compile(unit, &last->word[1]);
    }
}

void
listen_compile_server(struct unit *unit, struct node *block)
{
    struct blob_server record = {0};
    scope_fill(&unit->here, &unit->stream, block);
    log_compile(unit, &unit->here, &record.log, &record.log_count);
    access_compile(unit, &unit->here, &record);
    limit_compile(unit, &unit->here, &record);
    access_log_compile(unit, &unit->here, &record.access, &record.access_count);
    slot_compile_sets(unit, &unit->here, &record.assignment, &record.assignment_count);
    compile_content(unit, block, &record);
    scope_land(unit, &unit->here, SECTION_server, &record);
    u32 server = image_add(unit, SECTION_server, &record, block->word[0].span);
    setting_gather(unit, &unit->here, SECTION_server, server);
    if (unit->here.of[DIRECTIVE_listen] == NULL && !is_unsure(unit, block))
        diag(unit, no_listen, block->word[0].span);
    for (struct node *node = unit->here.of[DIRECTIVE_listen]; node != NULL; node = node->again)
        collect(unit, node, server, block);
    for (const struct node *node = unit->here.of[DIRECTIVE_listen]; node != NULL; node = node->again)
        setting_gather_parameters(unit, node, SECTION_server, server);
}

/* ---- sockets ---- */

/* The binding of all addresses of that family on binding's port, NULL for none. */
static struct binding *
wildcard_of(struct unit *unit, const struct binding *binding, enum family family)
{
    const struct port *port = find_port(unit, binding, family);
    return port->wildcard != 0 ? binding_at(unit, port->wildcard - 1) : NULL;
}

/* Linux has no second socket beside one for all addresses, unless both say reuseport. */
static void
check_overlap(struct unit *unit, const struct binding *binding, const struct binding *wildcard)
{
    if (wildcard == NULL || wildcard == binding ||
        (binding->options.flags & wildcard->options.flags & LISTENER_REUSEPORT) != 0)
        return;
    diag(unit, overlapping_listen, binding->span, print_address(unit, &binding->address, binding->port));
    diag_note(unit, wildcard->span, "this one");
    if (wildcard->address.family != binding->address.family)
        diag_help(unit, "leave out ipv6only=off there, so that it takes IPv6 alone");
    else
        diag_help(unit, "take the parameters off here, and the other socket takes its sessions too; or put reuseport "
                        "on both");
}

static void
add_endpoint(struct unit *unit, struct binding *binding)
{
    const struct name_member *member = binding->members.item;
    struct blob_endpoint record = {.address = binding->record, .server = binding->server};
    record.proxy_protocol = (binding->options.flags & LISTENER_PROXY_PROTOCOL) != 0;
    for (u32 i = 0; i < binding->members.count; i++)
        if (member[i].fallback)
            record.server = member[i].server;
    record.names = server_name_compile(unit, member, binding->members.count, binding->span, &record.own);
    binding->endpoint = image_add(unit, SECTION_endpoint, &record, binding->span);
    binding->listener = image_count(unit, SECTION_listener); /* the next one */
}

/* Does binding share the socket of its port's wildcard? */
static bool
is_sharing(const struct binding *binding, const struct binding *wildcard)
{
    return wildcard != NULL && binding != wildcard && !binding->own;
}

static void
add_listener(struct unit *unit, struct binding *binding)
{
    struct blob_listener *record = &binding->options;
    u32 first = image_count(unit, SECTION_endpoint);
    if (binding->address.wildcard) {
        for (u32 at = find_port(unit, binding, binding->address.family)->first; at != 0;) {
            struct binding *other = binding_at(unit, at - 1);
            if (is_sharing(other, binding))
                add_endpoint(unit, other);
            at = other->next;
        }
    }
    add_endpoint(unit, binding);
    record->address = binding->record;
    record->endpoint = first;
    record->endpoint_count = image_count(unit, SECTION_endpoint) - first;
    image_add(unit, SECTION_listener, record, binding->span);
}

void
listen_compile(struct unit *unit)
{
    for (u32 i = 0; i < unit->bindings.count; i++) {
        struct binding *binding = binding_at(unit, i);
        if (binding->address.family == FAMILY_UNIX) {
            add_listener(unit, binding);
            continue;
        }
        struct binding *wildcard = wildcard_of(unit, binding, binding->address.family);
        if (is_sharing(binding, wildcard))
            continue;
        check_overlap(unit, binding, wildcard);
        if (binding->address.family == FAMILY_IPV4) {
            const struct binding *dual = wildcard_of(unit, binding, FAMILY_IPV6);
            if (dual != NULL && (dual->options.flags & LISTENER_IPV6ONLY) == 0)
                check_overlap(unit, binding, dual);
        }
        add_listener(unit, binding);
    }
}

/* ---- for pass ---- */

bool
listen_find(struct unit *unit, const struct address *address, u32 *listener, u32 *endpoint)
{
    struct binding wanted = {.address = *address, .port = address->port};
    u32 found = *find_binding(unit, &wanted);
    const struct binding *binding = found != 0 ? binding_at(unit, found - 1) : NULL;
    if (binding == NULL && address->family != FAMILY_UNIX)
        binding = wildcard_of(unit, &wanted, address->family);
    if (binding == NULL)
        return false;
    *listener = binding->listener;
    *endpoint = binding->endpoint;
    return true;
}

void
listen_nearest(struct unit *unit, struct nearest *nearest)
{
    for (u32 i = 0; i < unit->bindings.count; i++) {
        const struct binding *binding = binding_at(unit, i);
        if (!binding->udp)
            nearest_try(nearest, print_address(unit, &binding->address, binding->port));
    }
}
