/*
 * upstream {} and the targets of proxy_pass: nodes in, upstream and peer records out. A proxy_pass to an address
 * or a host makes a group of its own, one for each distinct text. Host names stay names: spcd resolves them.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

/* An upstream {} block. */
struct declaration {
    const char *name;
    struct span span;
    u32 record;
};

const char *
lower_case(struct unit *unit, const char *text)
{
    char *copy = arena_text(&unit->arena, text, strlen(text));
    for (char *c = copy; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 'a' - 'A');
    return copy;
}

/* As in nginx, letter case does not matter. */
static const struct declaration *
find(struct unit *unit, const char *name)
{
    const char *key = lower_case(unit, name);
    u32 found = map_find(&unit->declared, key, strlen(key));
    return found == 0 ? NULL : (struct declaration *)unit->declarations.item + found - 1;
}

/* ---- peers ---- */

/* Fill the record with an address, which is that of word. */
static void
set_address(struct unit *unit, struct blob_peer *record, const struct address *address, struct span span)
{
    record->port = address->port;
    if (address->family == FAMILY_NONE)
        record->host = image_text(unit, address->host, address->host_size);
    else
        record->address = listen_address(unit, address, address->port, span);
}

/* Is the problem one of address itself, or of its text? Report it. */
static bool
say_bad(struct unit *unit, const struct word *word, enum address_problem problem, const struct address *address)
{
    if (problem == ADDRESS_OK)
        return false;
    diag(unit, bad_address, word_part(word, address->bad_start, address->bad_end), show(unit, word->text, word->size),
         value_address_problem[problem]);
    if (problem == ADDRESS_URL)
        diag_help(unit, "a stream proxy passes bytes and knows no URLs: write host:port");
    else if (problem == ADDRESS_BRACKETS)
        diag_help(unit, "IPv6 is written in brackets: [::1]:8000");
    return true;
}

static bool
read_peer(struct unit *unit, struct node *node, struct blob_peer *record)
{
    struct address address;
    struct options options;
    const struct word *word = &node->word[1];
    bool good = argument_options(unit, node, 2, record, &options);
    record->name = image_text(unit, word->text, word->size);
    if (expr_is_dynamic(word)) {
        diag(unit, bad_address, word->span, show(unit, word->text, word->size),
             "has a variable, and the servers of a group have none");
        diag_help(unit, "a constant is defined with -D NAME=VALUE");
        return false;
    }
    enum address_problem problem = value_address(word->text, false, &address);
    if (say_bad(unit, word, problem, &address))
        return false;
    if (address.family != FAMILY_UNIX && address.port == 0 && options.word[PARAMETER_upstream_server_service] == NULL) {
        diag(unit, no_port, word->span, show(unit, word->text, word->size));
        diag_help(unit, "write %s:PORT", word->text);
        return false;
    }
    set_address(unit, record, &address, word->span);
    return good;
}

/* ---- groups ---- */

static void
add_peers(struct unit *unit, struct node *block, bool backups, struct vector *peers)
{
    for (struct node *node = block->first; node != NULL; node = node->next) {
        if (node->row != &directives[DIRECTIVE_upstream_server] || node->broken)
            continue;
        struct blob_peer *record = (struct blob_peer *)peers->item + node->index;
        if (((record->flags & PEER_BACKUP) != 0) == backups)
            image_add(unit, SECTION_peer, record, node->word[0].span);
    }
}

/* Read every server of the group; node->index becomes its place among peers. How many stand there, right or not. */
static u32
read_peers(struct unit *unit, struct node *block, struct vector *peers, u32 *backup_count)
{
    u32 count = 0;
    for (struct node *node = block->first; node != NULL; node = node->next) {
        if (node->row != &directives[DIRECTIVE_upstream_server]) {
            count += node->row == NULL; /* it may have been meant for one */
            continue;
        }
        count++;
        if (node->broken)
            continue;
        node->index = peers->count;
        struct blob_peer record = {0};
        node->broken = !read_peer(unit, node, &record);
        *backup_count += (record.flags & PEER_BACKUP) != 0;
        *(struct blob_peer *)vector_add(&unit->arena, peers, sizeof record) = record;
    }
    return count;
}

static bool
declare(struct unit *unit, const struct word *word, u32 record)
{
    const struct declaration *earlier = find(unit, word->text);
    if (earlier != NULL) {
        diag(unit, duplicate_upstream, word->span, show(unit, word->text, word->size));
        diag_note(unit, earlier->span, "it stands here first");
        diag_help(unit, "give one of them another name, or put the servers of both into one");
        return false;
    }
    struct declaration *declaration = vector_add(&unit->arena, &unit->declarations, sizeof *declaration);
    *declaration = (struct declaration){word->text, word->span, record};
    const char *key = lower_case(unit, word->text);
    *map_at(&unit->arena, &unit->declared, key, strlen(key)) = unit->declarations.count;
    return true;
}

static void
gather_settings(struct unit *unit, struct node *block, u32 upstream)
{
    struct scope scope;
    scope_fill(&scope, NULL, block);
    setting_gather(unit, &scope, SECTION_upstream, upstream);
    for (const struct node *node = scope.of[DIRECTIVE_upstream_server]; node != NULL; node = node->again)
        setting_gather_parameters(unit, node, SECTION_upstream, upstream);
}

void
upstream_compile(struct unit *unit, struct node *block)
{
    struct vector peers = {0};
    u32 backup_count = 0;
    if (block->word_count < 2 || block->broken)
        return;
    const struct word *word = &block->word[1];
    u32 count = read_peers(unit, block, &peers, &backup_count);
    struct blob_upstream record = {.name = image_text(unit, word->text, word->size)};
    record.peer = image_count(unit, SECTION_peer);
    if (count == 0 && !unit->broken && unit->wrapped != IN_UPSTREAM)
        diag(unit, no_servers, word->span, show(unit, word->text, word->size));
    if (backup_count > 0 && backup_count == count)
        diag(unit, only_backups, word->span, show(unit, word->text, word->size));
    add_peers(unit, block, false, &peers);
    add_peers(unit, block, true, &peers);
    record.peer_count = image_count(unit, SECTION_peer) - record.peer;
    balance_compile(unit, block, &record);
    u32 made = image_add(unit, SECTION_upstream, &record, block->word[0].span);
    declare(unit, word, made);
    gather_settings(unit, block, made);
}

/* ---- proxy_pass ---- */

static void
say_no_group(struct unit *unit, const struct word *word)
{
    struct nearest nearest = {.word = word->text};
    const struct declaration *declaration = unit->declarations.item;
    const char *key = lower_case(unit, word->text);
    if (map_find(&unit->maybe, key, strlen(key)) != 0 || judge_is_lenient(unit))
        return; /* its block was reported, or is elsewhere */
    for (u32 i = 0; i < unit->declarations.count; i++)
        nearest_try(&nearest, declaration[i].name);
    diag(unit, unknown_upstream, word->span, show(unit, word->text, word->size));
    if (map_find(&unit->variables, key, strlen(key)) != 0)
        diag_help(unit, "did you mean the variable $%s?", word->text);
    else if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
    else
        diag_help(unit, "write host:port, or add: upstream %s { server host:port; }", word->text);
}

/* A group of one peer, for proxy_pass to an address or a host. */
static u32
make_implicit(struct unit *unit, const struct word *word, const struct address *address)
{
    const char *key = lower_case(unit, word->text);
    u32 *slot = map_at(&unit->arena, &unit->upstreams, key, strlen(key));
    if (*slot != 0)
        return *slot;
    u32 name = image_text(unit, word->text, word->size);
    struct blob_peer peer = {.name = name, .weight = 1, .max_fails = 1, .fail_timeout_ms = 10 * 1000};
    set_address(unit, &peer, address, word->span);
    struct blob_upstream record = {.name = name,
                                   .peer = image_add(unit, SECTION_peer, &peer, word->span),
                                   .peer_count = 1,
                                   .flags = UPSTREAM_IMPLICIT};
    return *slot = image_add(unit, SECTION_upstream, &record, word->span);
}

u32
upstream_find(struct unit *unit, struct node *pass)
{
    struct address address;
    const struct word *word = &pass->word[1];
    const struct declaration *group = find(unit, word->text);
    if (group != NULL)
        return group->record;
    if (say_bad(unit, word, value_address(word->text, false, &address), &address))
        return 0;
    if (address.family == FAMILY_UNIX)
        return make_implicit(unit, word, &address);
    group = find(unit, arena_text(&unit->arena, address.host, address.host_size));
    if (group != NULL) {
        diag(unit, upstream_port, word->span, show(unit, address.host, address.host_size));
        diag_note(unit, group->span, "it stands here");
    } else if (address.port != 0) {
        return make_implicit(unit, word, &address);
    } else if (address.family == FAMILY_NONE) {
        say_no_group(unit, word);
    } else {
        diag(unit, no_port, word->span, show(unit, word->text, word->size));
        diag_help(unit, "write %s:PORT", word->text);
    }
    return 0;
}

bool
upstream_is_group(struct unit *unit, const struct word *word)
{
    return find(unit, word->text) != NULL;
}

void
upstream_compile_targets(struct unit *unit)
{
    const struct word **target = unit->judge->targets.item;
    struct address address;
    for (u32 i = 0; i < unit->judge->targets.count; i++)
        if (find(unit, target[i]->text) == NULL && value_address(target[i]->text, false, &address) == ADDRESS_OK)
            make_implicit(unit, target[i], &address);
    unit->judge->targets.count = 0; /* once is enough */
}

/* ---- groups by name ---- */

struct group {
    const char *name; /* in lower case */
    u32 upstream;
};

static int
by_name(const void *one, const void *other)
{
    return strcmp(((const struct group *)one)->name, ((const struct group *)other)->name);
}

static bool
has_targets(struct unit *unit)
{
    const struct blob_proxy *proxy = unit->image.section[SECTION_proxy].item;
    bool has = false;
    for (u32 i = 1; i < image_count(unit, SECTION_proxy) && !has; i++)
        has = proxy[i].target != 0;
    return has;
}

void
upstream_compile_index(struct unit *unit)
{
    u32 count = image_count(unit, SECTION_upstream);
    if (!has_targets(unit))
        return;
    struct group *group = arena_take(&unit->arena, count * sizeof *group);
    for (u32 i = 1; i < count; i++) {
        const struct blob_upstream *record = image_at(unit, SECTION_upstream, i);
        group[i] = (struct group){lower_case(unit, image_string(unit, record->name)), i};
    }
    qsort(group + 1, count - 1, sizeof *group, by_name);
    for (u32 i = 1; i < count; i++)
        if (i == 1 || strcmp(group[i].name, group[i - 1].name) != 0) {
            struct blob_group record = {image_text(unit, group[i].name, strlen(group[i].name)), group[i].upstream};
            image_add(unit, SECTION_group, &record, (struct span){0, 0});
        }
}
