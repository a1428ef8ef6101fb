/*
 * The questions that rules of lint_*.c ask of nodes, words and addresses. Answers only; nothing is reported here.
 */
#include "lint.h"

#include <string.h>

/* ---- nodes ---- */

struct node *
lint_node(const struct lint *lint, enum directive_id id)
{
    return scope_nearest(&lint->server.scope, &directives[id]);
}

u64
lint_value(const struct lint *lint, enum directive_id id)
{
    const struct directive *row = &directives[id];
    const struct node *node = lint_node(lint, id);
    u64 value = 0;
    if (node != NULL)
        return node->value;
    if (row->absent != NULL)
        argument_value(lint->unit, &row->takes[0], row->name, row->absent, (struct span){0}, 0, UINT64_MAX, &value);
    return value;
}

const struct word *
lint_parameter(const struct node *node, const char *name)
{
    size_t size = strlen(name);
    bool valued = name[size - 1] == '=';
    for (u32 i = 2; i < node->word_count; i++)
        if (strncmp(node->word[i].text, name, size) == 0 && (valued || node->word[i].size == size))
            return &node->word[i];
    return NULL;
}

const char *
lint_parameter_value(const struct word *word)
{
    return strchr(word->text, '=') + 1;
}

bool
lint_first(struct lint *lint, const struct node *node, enum diagnostic id)
{
    struct {
        const struct node *node;
        u64 id;
    } *key = arena_take(&lint->unit->arena, sizeof *key);
    key->node = node;
    key->id = id;
    u32 *slot = map_at(&lint->unit->arena, &lint->said, key, sizeof *key);
    return ++*slot == 1;
}

struct span
lint_span(const struct node *node)
{
    return (struct span){node->word[0].span.start, node->word[node->word_count - 1].span.end};
}

const char *
lint_show(struct unit *unit, const struct word *word)
{
    return show(unit, word->text, word->size);
}

u64
lint_workers(const struct lint *lint)
{
    const struct node *node = lint->unit->main.of[DIRECTIVE_worker_processes];
    if (node != NULL)
        return node->value;
    return lint->unit->main.of[DIRECTIVE_stream] != NULL ? 1 : 0;
}

/* ---- variables ---- */

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool
lint_variable(const char **at, char name[LINT_NAME_MAX])
{
    for (const char *text; (text = strchr(*at, '$')) != NULL;) {
        text += 1 + (text[1] == '{');
        size_t size = 0;
        for (; is_name(text[size]) && size < LINT_NAME_MAX - 1; size++)
            name[size] = (char)(text[size] >= 'A' && text[size] <= 'Z' ? text[size] - 'A' + 'a' : text[size]);
        name[size] = '\0';
        *at = text + size;
        if (size > 0)
            return true;
    }
    return false;
}

static bool
is_like(const char *name, const char *pattern)
{
    size_t size = strlen(pattern);
    return pattern[size - 1] == '*' ? strncmp(name, pattern, size - 1) == 0 : strcmp(name, pattern) == 0;
}

bool
lint_mentions(const char *text, const char *name)
{
    char found[LINT_NAME_MAX];
    while (lint_variable(&text, found))
        if (is_like(found, name))
            return true;
    return false;
}

bool
lint_is_used(const struct lint *lint, const char *name)
{
    return map_find(&lint->variables, name, strlen(name)) != 0;
}

/* Names that the client sends and nobody has verified. */
static const char *const tainted[] = {"ssl_preread_server_name", "ssl_server_name", "ssl_preread_alpn_protocols",
                                      "mqtt_preread_clientid", "mqtt_preread_username", "http_preread_host"};

static bool
mentions_tainted(const char *text)
{
    for (size_t i = 0; i < sizeof tainted / sizeof *tainted; i++)
        if (lint_mentions(text, tainted[i]))
            return true;
    return false;
}

/* "~^(.*)$" and the like: a regular expression that matches whatever comes. */
static bool
matches_all(const char *key)
{
    char core[8];
    size_t size = 0;
    if (*key++ != '~')
        return false;
    for (key += *key == '*'; *key != '\0' && size < sizeof core - 1; key++)
        if (strchr("^$()", *key) == NULL)
            core[size++] = *key;
    core[size] = '\0';
    return *key == '\0' && (strcmp(core, ".*") == 0 || strcmp(core, ".+") == 0 || strcmp(core, ".") == 0);
}

/* The value of a map that the client makes up; other keys are a list of what is allowed. NULL: there is none. */
static const struct word *
tainted_value(const struct node *map)
{
    for (const struct node *node = map->first; node != NULL; node = node->next) {
        if (node->word_count != 2 || strchr(node->word[1].text, '$') == NULL)
            continue;
        if (strcmp(node->word[0].text, "default") == 0
                ? mentions_tainted(node->word[1].text)
                : matches_all(node->word[0].text) && mentions_tainted(map->word[1].text))
            return &node->word[1];
    }
    return NULL;
}

bool
lint_is_tainted(const struct lint *lint, const struct word *word, const struct word **where)
{
    *where = word;
    if (mentions_tainted(word->text))
        return true;
    char name[LINT_NAME_MAX];
    for (const char *at = word->text; lint_variable(&at, name);) {
        const struct node *source = lint_source(lint, name);
        const struct word *value = NULL;
        if (source != NULL && source->row == &directives[DIRECTIVE_map])
            value = tainted_value(source);
        else if (source != NULL && source->row == &directives[DIRECTIVE_set] && mentions_tainted(source->word[2].text))
            value = &source->word[2];
        if (value != NULL) {
            *where = value;
            return true;
        }
    }
    return false;
}

/* ---- who may enter ---- */

struct vector
lint_access(struct lint *lint)
{
    struct vector found = {0};
    const struct scope *scope = &lint->server.scope;
    if (scope->of[DIRECTIVE_allow] == NULL && scope->of[DIRECTIVE_deny] == NULL)
        return lint->access;
    for (struct node *node = lint->server.block->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_allow] || node->row == &directives[DIRECTIVE_deny])
            *(struct node **)vector_add(&lint->unit->arena, &found, sizeof node) = node;
    return found;
}

/* ---- addresses ---- */

/* Networks that the Internet does not route. */
static const struct {
    enum family family;
    u8 byte[2], mask[2];
    enum lint_reach reach;
} networks[] = {
    {FAMILY_IPV4, {127, 0}, {255, 0}, REACH_HOST},        {FAMILY_IPV4, {10, 0}, {255, 0}, REACH_PRIVATE},
    {FAMILY_IPV4, {172, 16}, {255, 240}, REACH_PRIVATE},  {FAMILY_IPV4, {192, 168}, {255, 255}, REACH_PRIVATE},
    {FAMILY_IPV4, {169, 254}, {255, 255}, REACH_PRIVATE}, {FAMILY_IPV4, {100, 64}, {255, 192}, REACH_PRIVATE},
    {FAMILY_IPV6, {0xfc, 0}, {0xfe, 0}, REACH_PRIVATE},   {FAMILY_IPV6, {0xfe, 0x80}, {0xff, 0xc0}, REACH_PRIVATE},
};

static bool
is_ipv6_loopback(const struct address *address)
{
    static const u8 loopback[16] = {[15] = 1};
    return address->family == FAMILY_IPV6 && memcmp(address->ip.byte, loopback, sizeof loopback) == 0;
}

enum lint_reach
lint_reach(const struct address *address)
{
    if (address->family == FAMILY_UNIX || is_ipv6_loopback(address))
        return REACH_HOST;
    if (address->family == FAMILY_NONE)
        return address->host_size == 9 && strncmp(address->host, "localhost", 9) == 0 ? REACH_HOST : REACH_PUBLIC;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        if (networks[i].family == address->family &&
            (address->ip.byte[0] & networks[i].mask[0]) == networks[i].byte[0] &&
            (address->ip.byte[1] & networks[i].mask[1]) == networks[i].byte[1])
            return networks[i].reach;
    return REACH_PUBLIC;
}

bool
lint_is_name(const struct lint_peer *peer)
{
    return peer->address.family == FAMILY_NONE && lint_reach(&peer->address) != REACH_HOST;
}
