/*
 * Variables: who declares them, who uses them. Words with "$" come in as they stand; at the end every use is held
 * against nginx's own variables and what map, geo, set and regular expressions declare. Letter case does not matter.
 */
#include "judge.h"

#include <string.h>
#include <strings.h>

static const char *const builtins[] = {
#define VARIABLE(name, says) #name,
#define VARIABLE_LATER(name) #name,
#include "variables.def"
#undef VARIABLE
#undef VARIABLE_LATER
};

static const struct {
    const char *name, *whose;
} foreigners[] = {
#define VARIABLE_FOREIGN(name, whose) {#name, whose},
#include "variables.def"
#undef VARIABLE_FOREIGN
};

enum { BUILTINS = sizeof builtins / sizeof *builtins, FOREIGNERS = sizeof foreigners / sizeof *foreigners };

/* $proxy_protocol_tlv_ and one of these, or a type in hexadecimal. */
static const char tlv_prefix[] = "proxy_protocol_tlv_";
static const char *const tlv_names[] = {
#define VARIABLE_TLV(name, type) #name,
#include "variables.def"
#undef VARIABLE_TLV
};

enum { TLV_NAMES = sizeof tlv_names / sizeof *tlv_names };

struct use {
    const char *name, *text; /* in lower case, and as it is written */
    struct span span;
    const struct node *server; /* NULL: it stands outside of one */
};

/* ---- names in text ---- */

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

const char *
variable_next(const char **at, const char *end, size_t *size)
{
    const char *dollar = memchr(*at, '$', (size_t)(end - *at));
    if (dollar == NULL)
        return NULL;
    const char *name = dollar + 1 + (dollar + 1 < end && dollar[1] == '{'), *stop = name;
    if (name == dollar + 1 && name < end && *name >= '1' && *name <= '9')
        stop++; /* a capture has one digit, whatever follows */
    else
        while (stop < end && is_name(*stop))
            stop++;
    *size = (size_t)(stop - name);
    *at = stop;
    return name;
}

const char *
variable_whole(const struct word *word, size_t *size)
{
    const char *at = word->text, *end = at + word->size, *name = variable_next(&at, end, size);
    bool braces = name != NULL && name[-1] == '{';
    if (name == NULL || name != word->text + 1 + braces || at + braces != end || (braces && *at != '}'))
        *size = 0;
    return name;
}

/* ---- what there is ---- */

static bool
is_builtin(const char *name)
{
    for (u32 i = 0; i < BUILTINS; i++)
        if (strcmp(builtins[i], name) == 0)
            return true;
    return strncmp(name, tlv_prefix, strlen(tlv_prefix)) == 0;
}

static struct symbol *
find_lower(const struct unit *unit, const char *name, size_t size)
{
    u32 found = map_find(&unit->judge->variable_of, name, size);
    return found == 0 ? NULL : ((struct symbol **)unit->judge->variables.item)[found - 1];
}

struct symbol *
variable_find(const struct unit *unit, const char *name, size_t size)
{
    char lower[256];
    if (size >= sizeof lower)
        return NULL;
    for (size_t i = 0; i < size; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    return find_lower(unit, lower, size);
}

static struct symbol *
add(struct unit *unit, const char *name, enum variable_kind kind, struct node *node, struct span span)
{
    struct symbol *variable = arena_take(&unit->arena, sizeof *variable);
    *variable = (struct symbol){.name = name, .kind = kind, .node = node, .span = span};
    *(struct symbol **)vector_add(&unit->arena, &unit->judge->variables, sizeof variable) = variable;
    *map_at(&unit->arena, &unit->judge->variable_of, name, strlen(name)) = unit->judge->variables.count;
    *map_at(&unit->arena, &unit->variables, name, strlen(name)) = 1;
    return variable;
}

/* nginx lets those of its TLS be declared again; no other. */
static bool
may_declare(const char *name)
{
    bool tls = strncmp(name, "ssl_", 4) == 0 && strncmp(name, "ssl_preread_", 12) != 0;
    return tls || !is_builtin(name);
}

static bool
is_table(enum variable_kind kind)
{
    return kind == VARIABLE_TABLE || kind == VARIABLE_OTHER;
}

void
variable_declare(struct unit *unit, struct node *node, u32 index, enum variable_kind kind)
{
    const struct word *word = &node->word[index];
    const char *name = lower_case(unit, word->text + 1);
    if (word->size < 2 || word->text[0] != '$')
        return; /* it was reported */
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0') {
        diag(unit, odd_variable, word->span, judge_show(unit, word));
        return;
    }
    if (!may_declare(name)) {
        diag(unit, variable_taken, word->span, judge_show(unit, word));
        return;
    }
    struct symbol *earlier = find_lower(unit, name, strlen(name));
    if (earlier == NULL) {
        add(unit, name, kind, node, word->span);
        return;
    }
    if (earlier->kind == VARIABLE_SET && kind == VARIABLE_SET)
        return;
    if (is_table(kind) && is_table(earlier->kind)) {
        diag(unit, variable_again, word->span, judge_show(unit, word));
        diag_note(unit, earlier->span, "it is declared here first, and the last one holds");
    }
    if (is_table(kind)) {
        earlier->kind = kind;
        earlier->node = node;
        earlier->span = word->span;
    }
}

void
variable_capture(struct unit *unit, const char *name, struct span span)
{
    const char *lower = lower_case(unit, name);
    if (find_lower(unit, lower, strlen(lower)) == NULL)
        add(unit, lower, VARIABLE_CAPTURE, NULL, span);
}

/* ---- uses ---- */

static void
use_at(struct unit *unit, const struct word *word, u32 dollar, const char *name, size_t size)
{
    u32 start = (u32)(name - word->text), stop = start + (u32)size;
    bool braces = word->text[dollar + 1] == '{';
    if (braces && word->text[stop] != '}') {
        diag(unit, variable_brace, word_part(word, dollar, stop));
        return;
    }
    if (size == 0) {
        diag(unit, variable_name, word_part(word, dollar, stop + braces));
        return;
    }
    if (!braces && *name >= '1' && *name <= '9')
        return; /* a capture */
    const char *text = arena_text(&unit->arena, name, size);
    *(struct use *)vector_add(&unit->arena, &unit->judge->variable_uses, sizeof(struct use)) =
        (struct use){lower_case(unit, text), text, word_part(word, dollar, stop + braces), unit->judge->server};
}

void
variable_use_part(struct unit *unit, const struct word *word, u32 start)
{
    const char *at = word->text + start, *end = word->text + word->size, *name;
    size_t size;
    while ((name = variable_next(&at, end, &size)) != NULL) {
        u32 dollar = (u32)(name - word->text) - 1;
        use_at(unit, word, word->text[dollar] == '$' ? dollar : dollar - 1, name, size);
    }
}

void
variable_use(struct unit *unit, const struct word *word)
{
    variable_use_part(unit, word, 0);
}

/* ---- at the end ---- */

static void
say_unknown(struct unit *unit, const struct use *use)
{
    struct nearest nearest = {.word = use->name};
    struct symbol **variable = unit->judge->variables.item;
    const struct define *define = unit->defines.item;
    for (u32 i = 0; i < FOREIGNERS; i++)
        if (strcmp(foreigners[i].name, use->name) == 0) {
            diag(unit, foreign_variable, use->span, show(unit, use->text, strlen(use->text)), foreigners[i].whose);
            return;
        }
    diag(unit, unknown_variable, use->span, show(unit, use->text, strlen(use->text)));
    for (u32 i = 0; i < unit->judge->variables.count; i++)
        nearest_try(&nearest, variable[i]->name);
    for (u32 i = 0; i < BUILTINS; i++)
        nearest_try(&nearest, builtins[i]);
    for (u32 i = 0; i < unit->defines.count; i++)
        nearest_try(&nearest, define[i].name);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean $%s?", nearest.best);
    else
        diag_help(unit, "a constant is defined with -D %.64s=VALUE", use->text);
}

/* proxy_protocol_tlv_x: one of the known names, "ssl_" and another one included, or 0x and the digits of a byte. */
static void
check_tlv(struct unit *unit, const struct use *use)
{
    const char *name = use->name + strlen(tlv_prefix);
    bool hex = strncmp(name, "0x", 2) == 0;
    size_t zeros = hex ? strspn(name + 2, "0") : 0, digits = hex ? strspn(name + 2 + zeros, "0123456789abcdef") : 0;
    if (zeros + digits > 0 && digits <= 2 && name[2 + zeros + digits] == '\0')
        return; /* a byte, whatever zeros stand in front of it */
    for (u32 i = 0; i < BUILTINS; i++)
        if (strcmp(builtins[i], use->name) == 0)
            return;
    struct nearest nearest = {.word = name};
    for (u32 i = 0; i < TLV_NAMES; i++) {
        if (strcmp(tlv_names[i], name) == 0)
            return;
        nearest_try(&nearest, tlv_names[i]);
    }
    diag(unit, unknown_tlv, use->span, show(unit, name, strlen(name)));
    if (nearest.best != NULL)
        diag_help(unit, "did you mean $%s%s?", tlv_prefix, nearest.best);
}

/* Does server have a set of that variable? */
static bool
is_set_in(const struct node *server, const char *name)
{
    for (const struct node *node = server->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_set] && node->word_count > 1 &&
            strcasecmp(node->word[1].text + 1, name) == 0)
            return true;
    return false;
}

static void
check_use(struct unit *unit, const struct use *use)
{
    const struct symbol *variable = find_lower(unit, use->name, strlen(use->name));
    if (strncmp(use->name, tlv_prefix, strlen(tlv_prefix)) == 0) {
        check_tlv(unit, use);
    } else if (variable == NULL) {
        bool declared = map_find(&unit->variables, use->name, strlen(use->name)) != 0;
        if (!declared && !is_builtin(use->name) && !judge_is_lenient(unit))
            say_unknown(unit, use);
    } else if (variable->kind == VARIABLE_SET && use->server != NULL && !is_set_in(use->server, use->name)) {
        diag(unit, never_set, use->span, show(unit, use->text, strlen(use->text)));
        diag_note(unit, variable->span, "another server sets it here");
    }
}

/* ---- does it depend on itself? ---- */

enum {
    DEPTH_MAX = 100,   /* of maps that use maps: nginx evaluates no more, and the stack of spcd has its end */
    COST_MAX = 10000,  /* maps that one use computes: volatile ones that use each other twice double it each time */
};

static bool find_cycle(struct unit *unit, struct symbol *variable, u32 depth);

/* cost: what the word's variables cost together. */
static bool
word_cycles(struct unit *unit, const struct word *word, struct symbol *user, u32 depth, u64 *cost)
{
    const char *at = word->text, *end = at + word->size, *name;
    size_t size;
    bool found = false;
    *cost = 0;
    while (!found && (name = variable_next(&at, end, &size)) != NULL) {
        struct symbol *variable = variable_find(unit, name, size);
        if (variable == NULL || variable->kind != VARIABLE_TABLE)
            continue;
        found = find_cycle(unit, variable, depth + 1);
        user->height = variable->height >= user->height ? variable->height + 1 : user->height;
        *cost += variable->cost;
    }
    return found;
}

/* What it is computed from: its source, and one of its values. */
static bool
table_cycles(struct unit *unit, struct symbol *variable, u32 depth)
{
    const struct node *node = variable->node;
    bool map = node->row == &directives[DIRECTIVE_map] || node->row == &directives[DIRECTIVE_num_map];
    u64 source = 0, value = 0, dearest = 0;
    bool found = node->word_count > 2 && word_cycles(unit, &node->word[1], variable, depth, &source);
    for (const struct node *entry = node->first; map && entry != NULL && !found; entry = entry->next) {
        found = entry->word_count > 1 && word_cycles(unit, &entry->word[1], variable, depth, &value);
        dearest = value > dearest ? value : dearest;
    }
    variable->cost = 1 + source + dearest;
    return found;
}

static bool
is_volatile(const struct node *table)
{
    bool found = false;
    for (const struct node *entry = table->first; entry != NULL && !found; entry = entry->next)
        found = entry->word_count == 1 && strcmp(entry->word[0].text, "volatile") == 0;
    return found;
}

/* It is said once for all above it. */
static bool
is_too_much(struct unit *unit, struct symbol *variable)
{
    const char *name = show(unit, variable->name, strlen(variable->name));
    if (variable->height > DEPTH_MAX)
        diag(unit, variable_deep, variable->span, name, DEPTH_MAX);
    else if (variable->cost > COST_MAX)
        diag(unit, variable_costly, variable->span, name, COST_MAX);
    else
        return false;
    variable->height = 0;
    variable->cost = 0;
    return variable->deep = true;
}

/* Each table is looked at once: what it leads to is known then. */
static bool
find_cycle(struct unit *unit, struct symbol *variable, u32 depth)
{
    if (variable->visiting) {
        diag(unit, variable_cycle, variable->span, show(unit, variable->name, strlen(variable->name)));
        return true;
    }
    if (variable->walked)
        return false;
    variable->height = depth > DEPTH_MAX ? DEPTH_MAX : 1;
    if (depth > DEPTH_MAX)
        return false; /* whoever asks is too high above */
    variable->visiting = variable->walked = true;
    bool found = table_cycles(unit, variable, depth);
    variable->visiting = false;
    found = found || is_too_much(unit, variable);
    if (!is_volatile(variable->node))
        variable->cost = 0; /* it is computed once, and kept */
    return found;
}

void
variable_finish(struct unit *unit)
{
    struct symbol **variable = unit->judge->variables.item;
    for (u32 i = 0; i < unit->judge->variables.count; i++)
        if (variable[i]->kind == VARIABLE_TABLE)
            find_cycle(unit, variable[i], 0);
    const struct use *use = unit->judge->variable_uses.item;
    for (u32 i = 0; i < unit->judge->variable_uses.count; i++)
        check_use(unit, &use[i]);
}

/* ---- does it come from what is preread? ---- */

const struct preread prereads[PREREAD_COUNT] = {
    [PREREAD_SSL] = {DIRECTIVE_ssl_preread, "ssl_preread_", "the ClientHello"},
    [PREREAD_MQTT] = {DIRECTIVE_mqtt_preread, "mqtt_preread_", "MQTT's CONNECT"},
    [PREREAD_HTTP] = {DIRECTIVE_http_preread, "http_preread_", "an HTTP request"},
};

static u32 prereads_of(struct unit *unit, const char *text, size_t size, u32 depth);

static u32
prereads_of_name(const char *name, size_t size)
{
    for (u32 i = 0; i < PREREAD_COUNT; i++) {
        size_t prefix = strlen(prereads[i].variables);
        if (size > prefix && strncasecmp(name, prereads[i].variables, prefix) == 0)
            return 1u << i;
    }
    return 0;
}

static u32
prereads_of_variable(struct unit *unit, const char *name, size_t size, u32 depth)
{
    u32 own = prereads_of_name(name, size);
    struct symbol *variable = own == 0 && depth < DEPTH_MAX ? variable_find(unit, name, size) : NULL;
    if (variable == NULL || variable->kind != VARIABLE_TABLE || variable->visiting)
        return own;
    if (variable->prereads_known)
        return variable->prereads;
    variable->visiting = true;
    const struct word *source = &variable->node->word[1]; /* of a geo without an address, its own variable */
    variable->prereads = prereads_of(unit, source->text, source->size, depth + 1);
    for (const struct node *entry = variable->node->first; entry != NULL; entry = entry->next)
        if (entry->word_count > 1)
            variable->prereads |= prereads_of(unit, entry->word[1].text, entry->word[1].size, depth + 1);
    variable->visiting = false;
    variable->prereads_known = true;
    return variable->prereads;
}

static u32
prereads_of(struct unit *unit, const char *text, size_t size, u32 depth)
{
    const char *at = text, *name;
    size_t name_size;
    u32 all = 0;
    while ((name = variable_next(&at, text + size, &name_size)) != NULL)
        all |= prereads_of_variable(unit, name, name_size, depth);
    return all;
}

u32
variable_prereads(struct unit *unit, const struct word *word)
{
    return prereads_of(unit, word->text, word->size, 0);
}
