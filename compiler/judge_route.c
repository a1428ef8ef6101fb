/*
 * Where sessions go: every value that a proxy_pass can have is followed through map, split_clients, geo and set, and
 * held against upstreams and addresses; what nginx finds out with the first session, or never, is reported here.
 */
#include "judge.h"

#include <string.h>
#include <strings.h>

enum { DEPTH_MAX = 32, HOPS_MAX = 64 };

/* What a word may become as a target; spans say where, 0: it cannot. */
struct route {
    struct span resolver; /* a host name: it takes a resolver */
    struct span nothing;  /* empty: a table without a default */
};

struct walk {
    struct unit *unit;
    struct span pass; /* the word of the proxy_pass that led here */
    const struct node *server;
    struct route route;
};

static struct node *
find_group(struct unit *unit, const char *text)
{
    const char *key = lower_case(unit, text);
    u32 found = map_find(&unit->judge->group_of, key, strlen(key));
    return found == 0 ? NULL : ((struct node **)unit->judge->groups.item)[found - 1];
}

static void
mark(struct span *span, struct span at)
{
    if (span->start == 0)
        *span = at;
}

/* ---- values ---- */

/* A constant that is to be a target: a group, an address with a port, a host with a port. */
static void
walk_constant(struct walk *walk, const struct word *word)
{
    struct unit *unit = walk->unit;
    struct address address;
    if (word->size == 0 || find_group(unit, word->text) != NULL)
        return;
    enum address_problem problem = value_address(word->text, false, &address);
    const char *text = judge_show(unit, word);
    if (problem == ADDRESS_OK && (address.family == FAMILY_UNIX || address.port != 0)) {
        if (address.family == FAMILY_NONE)
            mark(&walk->route.resolver, word->span);
        else
            *(const struct word **)vector_add(&unit->arena, &unit->judge->targets, sizeof word) = word;
        return;
    }
    if (judge_is_lenient(unit) && address.family == FAMILY_NONE && problem == ADDRESS_OK)
        return;
    diag(unit, bad_target, word->span, text);
    diag_note(unit, walk->pass, "proxy_pass takes it from there");
    struct nearest nearest = {.word = word->text};
    struct node **group = unit->judge->groups.item;
    for (u32 i = 0; i < unit->judge->groups.count; i++)
        nearest_try(&nearest, group[i]->word[1].text);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
    else if (problem == ADDRESS_URL)
        diag_help(unit, "a stream proxy passes bytes and knows no URLs: write host:port");
    else if (problem == ADDRESS_OK && address.family != FAMILY_NONE)
        diag_help(unit, "write %s:PORT", word->text);
    else
        diag_help(unit, "write an address with its port, or add: upstream %s { server host:port; }", word->text);
}

static void walk_word(struct walk *walk, const struct word *word, bool host, u32 depth);

/* host: the word becomes the part before a ":", and a host needs a resolver if it is a name. */
static void
walk_host(struct walk *walk, const struct word *word)
{
    enum family family;
    ip16 ip;
    if (word->size > 0 && value_ip(word->text, word->size, &family, &ip) != READ_OK && word->text[0] != '[')
        mark(&walk->route.resolver, word->span);
}

/* The values of map, geo and split_clients. Only those of a map have variables. */
static void
walk_table(struct walk *walk, struct symbol *variable, bool host, u32 depth)
{
    const struct node *table = variable->node;
    bool fallback = false;
    if (table->row == &directives[DIRECTIVE_keyval] || table->row == &directives[DIRECTIVE_num_map])
        fallback = true;
    for (const struct node *entry = table->first; entry != NULL; entry = entry->next) {
        if (entry->word_count != 2 || entry->block) {
            fallback |= entry->word_count > 2; /* it was reported, and may swallow what was meant for one */
            continue;
        }
        fallback |= strcmp(entry->word[0].text, "default") == 0 || strcmp(entry->word[0].text, "*") == 0;
        if (strcmp(entry->word[0].text, "delete") != 0)
            walk_word(walk, &entry->word[1], host, depth + 1);
    }
    if (!fallback && table->row == &directives[DIRECTIVE_map])
        mark(&walk->route.nothing, table->word[0].span);
}

static void
walk_set(struct walk *walk, const char *name, bool host, u32 depth)
{
    for (const struct node *node = walk->server->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_set] && node->word_count > 2 &&
            strcasecmp(node->word[1].text + 1, name) == 0)
            walk_word(walk, &node->word[2], host, depth + 1);
}

/* A variable of nginx as a host: some are addresses, and need no resolver. */
static bool
is_address(const char *name, size_t size)
{
    static const char *const names[] = {"remote_addr", "server_addr", "realip_remote_addr", "proxy_protocol_addr",
                                        "proxy_protocol_server_addr"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == size && strncasecmp(names[i], name, size) == 0)
            return true;
    return false;
}

static void
walk_variable(struct walk *walk, const struct word *word, const char *name, size_t size, bool host, u32 depth)
{
    struct unit *unit = walk->unit;
    struct symbol *variable = depth < DEPTH_MAX ? variable_find(unit, name, size) : NULL;
    if (variable == NULL) {
        bool known = expr_is_builtin(arena_text(&unit->arena, name, size));
        if (known && host && !is_address(name, size))
            mark(&walk->route.resolver, word->span);
        return;
    }
    if (variable->visiting)
        return;
    if (variable->kind == VARIABLE_SET) {
        walk_set(walk, variable->name, host, depth);
        return;
    }
    if (variable->kind != VARIABLE_TABLE || variable->node->broken)
        return;
    struct route **known = &variable->route[host];
    if (*known == NULL) { /* a table is walked once for all that use it */
        struct route outer = walk->route;
        walk->route = (struct route){0};
        variable->visiting = true;
        walk_table(walk, variable, host, depth);
        variable->visiting = false;
        *known = arena_take(&unit->arena, sizeof **known);
        **known = walk->route;
        walk->route = outer;
    }
    mark(&walk->route.resolver, (*known)->resolver);
    mark(&walk->route.nothing, (*known)->nothing);
}

/* "$host:443": the variable before the last ":" is a host. */
static void
walk_mixed(struct walk *walk, const struct word *word, u32 depth)
{
    size_t size;
    const char *at = word->text, *end = at + word->size, *colon = strrchr(word->text, ':');
    bool unix_path = strncasecmp(word->text, "unix:", 5) == 0;
    if (unix_path || colon == NULL || colon == word->text)
        return; /* part of a group's name, perhaps */
    const char *name = variable_next(&at, end, &size);
    bool braces = name[-1] == '{';
    bool begins = name == word->text + 1 + braces && at + braces == colon;
    if (begins)
        walk_variable(walk, word, name, size, true, depth);
}

static void
walk_word(struct walk *walk, const struct word *word, bool host, u32 depth)
{
    size_t size = 0;
    const char *name = variable_whole(word, &size);
    if (size > 0)
        walk_variable(walk, word, name, size, host, depth);
    else if (name != NULL && !host)
        walk_mixed(walk, word, depth);
    else if (name == NULL && host)
        walk_host(walk, word);
    else if (name == NULL)
        walk_constant(walk, word);
}

/* ---- one server ---- */

static void
judge_target(struct unit *unit, const struct judge_server *server)
{
    const struct word *word = &server->pass->word[1];
    struct walk walk = {.unit = unit, .pass = word->span, .server = server->node};
    walk_word(&walk, word, false, 0);
    if (walk.route.nothing.start != 0) {
        diag(unit, no_default, walk.route.nothing);
        diag_note(unit, word->span, "proxy_pass takes its target from there");
    }
    if (walk.route.resolver.start == 0 || server->resolves || judge_is_lenient(unit))
        return;
    diag(unit, no_resolver, word->span, judge_show(unit, word));
    if (walk.route.resolver.start != word->span.start)
        diag_note(unit, walk.route.resolver, "this is a name");
}

static void
say_preread(struct unit *unit, const struct word *word, u32 missing)
{
    u32 first = 0;
    while (!(missing & 1u << first))
        first++;
    const char *name = directives[prereads[first].directive].name;
    diag(unit, preread_off, word->span, judge_show(unit, word), prereads[first].source, name);
    diag_help(unit, "add: %s on;", name);
}

/* A set comes before anything is preread; but where the server was chosen by what was. */
static void
judge_early(struct unit *unit, const struct judge_server *server)
{
    for (const struct node *node = server->node->first; node != NULL && server->names == NULL; node = node->next) {
        bool set = node->row == &directives[DIRECTIVE_set] && !node->broken;
        u32 early = set ? variable_prereads(unit, &node->word[2]) & server->prereads : 0;
        for (u32 i = 0; i < PREREAD_COUNT; i++)
            if (early & 1u << i) {
                diag(unit, preread_early, node->word[2].span, judge_show(unit, &node->word[2]), prereads[i].source);
                return;
            }
    }
}

/* The first word of server's own that takes its value from what nobody reads. */
static void
judge_preread(struct unit *unit, const struct node *server, u32 read)
{
    static const enum directive_id rows[] = {DIRECTIVE_proxy_pass, DIRECTIVE_return_, DIRECTIVE_set,
                                             DIRECTIVE_proxy_ssl_name, DIRECTIVE_pass};
    for (const struct node *node = server->first; node != NULL; node = node->next)
        if (node->row == NULL)
            return; /* it may have been meant to turn preread on */
    for (const struct node *node = server->first; node != NULL; node = node->next)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (node->row != &directives[rows[i]] || node->broken)
                continue;
            const struct word *word = &node->word[node->word_count - 1];
            u32 missing = variable_prereads(unit, word) & ~read;
            if (missing == 0)
                continue;
            say_preread(unit, word, missing);
            return;
        }
}

/* ---- loops ---- */

/* The server of this configuration that address leads to for sure; NULL: it may be another machine's. */
static struct judge_server *
server_of(struct unit *unit, struct address *address, bool udp, bool *unsure)
{
    static const u8 one[16] = {[15] = 1};
    if (address->family == FAMILY_NONE && address->host_size == 9 && strncasecmp(address->host, "localhost", 9) == 0) {
        address->family = FAMILY_IPV4;
        memcpy(address->ip.byte, (const u8[]){127, 0, 0, 1}, 4);
    }
    if (address->family == FAMILY_NONE)
        return NULL;
    struct judge_server *found = judge_server_at(unit, address, address->port, udp);
    bool loopback = address->family == FAMILY_IPV4 ? address->ip.byte[0] == 127 || address->wildcard
                                                   : memcmp(address->ip.byte, one, sizeof one) == 0;
    if (found != NULL || address->family == FAMILY_UNIX || !loopback)
        return found;
    address->ip = (ip16){0};
    *unsure = true;
    return judge_server_at(unit, address, address->port, udp);
}

/* A way back to where it began. */
struct way {
    struct unit *unit;
    const struct judge_server *to;
    bool unsure; /* a group or a socket for all addresses is on it */
};

static bool leads_back(struct way *way, struct judge_server *from, u32 hops);

static bool
word_leads_back(struct way *way, const struct word *word, bool udp, u32 hops)
{
    struct address address;
    if (value_address(word->text, false, &address) != ADDRESS_OK)
        return false;
    struct judge_server *next = server_of(way->unit, &address, udp, &way->unsure);
    return next != NULL && (next == way->to || leads_back(way, next, hops + 1));
}

/* May a session that comes to from be sent on to to? Each server is looked at once for each to. */
static bool
leads_back(struct way *way, struct judge_server *from, u32 hops)
{
    if (from->pass == NULL || from->pass->broken || hops > HOPS_MAX || from->visited == way->to)
        return false;
    from->visited = way->to;
    const struct word *word = &from->pass->word[1];
    bool udp = from->udp;
    const struct node *group = find_group(way->unit, word->text);
    if (group == NULL)
        return !expr_is_dynamic(word) && word_leads_back(way, word, udp, hops);
    way->unsure = true;
    for (const struct node *peer = group->first; peer != NULL; peer = peer->next)
        if (peer->row == &directives[DIRECTIVE_upstream_server] && !peer->broken &&
            word_leads_back(way, &peer->word[1], udp, hops))
            return true;
    return false;
}

static void
judge_loop(struct unit *unit, struct judge_server *server)
{
    struct way way = {.unit = unit, .to = server};
    if (!leads_back(&way, server, 0))
        return;
    const struct word *word = &server->pass->word[1];
    if (way.unsure)
        diag(unit, likely_loop, word->span, judge_show(unit, word));
    else
        diag(unit, loop, word->span, judge_show(unit, word));
    for (const struct node *node = server->node->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_listen])
            diag_note(unit, judge_span(node), "it is accepted here");
}

void
judge_route_finish(struct unit *unit)
{
    struct judge_server **server = unit->judge->servers.item;
    for (u32 i = 0; i < unit->judge->servers.count; i++) {
        const struct node *pass = server[i]->pass;
        if (pass != NULL && !pass->broken && expr_is_dynamic(&pass->word[1]))
            judge_target(unit, server[i]);
        if (!judge_is_lenient(unit))
            judge_preread(unit, server[i]->node, server[i]->prereads);
        judge_early(unit, server[i]);
        judge_loop(unit, server[i]);
    }
}
