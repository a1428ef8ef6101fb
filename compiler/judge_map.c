/*
 * map {}: its entries judged as nginx reads them. Keys compare without letter case; with "hostnames" some of them are
 * wildcards; "~" and "~*" begin regular expressions, tried in order after all others.
 *
 *     hostnames;
 *     default        one;        .example.com    two;       ~^www\d+\.      three;
 */
#include "judge.h"

#include <string.h>

struct table {
    struct unit *unit;
    struct map exact, head, tail; /* lower-case keys -> 1 + index of their entry */
    struct map patterns;
    struct vector entries;        /* of const struct node * */
    const struct node *fallback;  /* default */
    const struct node *first, *wildcard;  /* the first key, the first one that looks like a wildcard */
    const struct node *catch_all; /* a pattern that matches everything */
    bool hostnames;
    bool is_name;                 /* what is looked up is a name that a client sends */
};

static void
say_twice(struct table *table, const struct node *entry, u32 earlier)
{
    const struct node **first = table->entries.item;
    diag(table->unit, duplicate_key, entry->word[0].span, judge_show(table->unit, &entry->word[0]));
    diag_note(table->unit, first[earlier - 1]->word[0].span, "it stands here first");
}

/* Note key in map; false: it is there, and that was reported. */
static bool
add_key(struct table *table, struct map *map, const char *key, size_t size, const struct node *entry)
{
    u32 *slot = map_at(&table->unit->arena, map, key, size);
    if (*slot != 0) {
        say_twice(table, entry, *slot);
        return false;
    }
    *slot = table->entries.count;
    return true;
}

/* ---- host names ---- */

static bool
is_host_pattern(const char *key, size_t size)
{
    u32 stars = 0;
    for (size_t i = 0; i < size; i++) {
        stars += key[i] == '*';
        if (key[i] == '.' && i + 1 < size && key[i + 1] == '.')
            return false;
    }
    bool head = size > 2 && key[0] == '*' && key[1] == '.', tail = size > 2 && key[size - 1] == '*';
    tail = tail && key[size - 2] == '.';
    return stars == 0 || (stars == 1 && (head || tail));
}

/* ".name" is "name" and "*.name"; "*.name" and "name.*" are tables of their own. */
static void
add_host(struct table *table, const char *key, size_t size, const struct node *entry)
{
    if (!is_host_pattern(key, size)) {
        diag(table->unit, bad_host_key, entry->word[0].span, judge_show(table->unit, &entry->word[0]));
    } else if (size > 1 && key[0] == '.') {
        if (add_key(table, &table->exact, key + 1, size - 1, entry))
            add_key(table, &table->head, key + 1, size - 1, entry);
    } else if (size > 2 && key[0] == '*') {
        add_key(table, &table->head, key + 2, size - 2, entry);
    } else if (size > 2 && key[size - 1] == '*') {
        add_key(table, &table->tail, key, size - 2, entry);
    } else {
        add_key(table, &table->exact, key, size, entry);
    }
}

/* ---- one entry ---- */

static const char *
lower_key(struct unit *unit, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return lower_case(unit, arena_text(&unit->arena, text, size));
    return text;
}

/* Patterns that match whatever there is; what stands behind one is never tried. */
static bool
matches_all(const char *pattern)
{
    static const char *const all[] = {"", "^", "$", ".*", "^.*", ".*$", "^.*$", "(.*)", "^(.*)$", "^(.*)"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(pattern, all[i]) == 0)
            return true;
    return false;
}

static void
say_dead(struct table *table, const struct node *entry, const struct node *earlier)
{
    diag(table->unit, dead_key, entry->word[0].span, judge_show(table->unit, &entry->word[0]));
    diag_note(table->unit, earlier->word[0].span, "this one is tried before, and matches all that it would");
}

static void
add_pattern(struct table *table, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    bool caseless = word->size > 1 && word->text[1] == '*';
    u32 start = 1 + caseless;
    const char *pattern = word->text + start;
    if (!judge_regex(table->unit, word, start, caseless))
        return;
    u32 *slot = map_at(&table->unit->arena, &table->patterns, word->text, word->size);
    const struct node **entries = table->entries.item;
    if (table->catch_all != NULL)
        say_dead(table, entry, table->catch_all);
    else if (*slot != 0)
        say_dead(table, entry, entries[*slot - 1]);
    else if (table->is_name && *pattern != '^' && strpbrk(pattern, "$()|") == NULL && !matches_all(pattern))
        diag(table->unit, loose_pattern, word->span, judge_show(table->unit, word));
    if (*slot == 0)
        *slot = table->entries.count;
    if (matches_all(pattern))
        table->catch_all = entry;
}

static void
add_entry(struct table *table, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    const char *key = word->text;
    size_t size = word->size;
    variable_use(table->unit, &entry->word[1]);
    if (strcmp(key, "default") == 0) {
        if (table->fallback != NULL) {
            diag(table->unit, duplicate_key, word->span, "\"default\"");
            diag_note(table->unit, table->fallback->word[0].span, "it stands here first");
        }
        table->fallback = entry;
        return;
    }
    *(const struct node **)vector_add(&table->unit->arena, &table->entries, sizeof entry) = entry;
    if (table->first == NULL)
        table->first = entry;
    if (*key == '~') {
        add_pattern(table, entry);
        return;
    }
    bool escaped = *key == '\\';
    key = lower_key(table->unit, key + escaped, size - escaped);
    size -= escaped;
    bool wild = size > 2 && ((key[0] == '*' && key[1] == '.') || (key[size - 1] == '*' && key[size - 2] == '.'));
    if (wild && table->wildcard == NULL)
        table->wildcard = entry;
    if (table->hostnames)
        add_host(table, key, size, entry);
    else
        add_key(table, &table->exact, key, size, entry);
}

/* "hostnames" and "volatile": a word alone. */
static void
read_parameter(struct table *table, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    if (strcmp(word->text, "volatile") == 0)
        return;
    if (strcmp(word->text, "hostnames") != 0) {
        diag(table->unit, entry_words, word->span, 1, "", "KEY VALUE;");
        if (strcmp(word->text, "default") == 0)
            diag_help(table->unit, "write default \"\"; if it shall be empty");
        return;
    }
    table->hostnames = true;
    if (table->first != NULL) {
        diag(table->unit, late_hostnames, word->span, judge_show(table->unit, word));
        diag_note(table->unit, table->first->word[0].span, "this key comes before it");
    }
}

static void
say_literal(struct table *table, const struct node *entry)
{
    diag(table->unit, literal_wildcard, entry->word[0].span, judge_show(table->unit, &entry->word[0]));
}

/* Is what the map looks up a name that the client chose? Only then can a wildcard have been meant. */
static bool
looks_up_name(const struct word *source)
{
    static const char *const names[] = {"ssl_preread_server_name", "ssl_server_name", "ssl_ech_outer_server_name",
                                        "http_preread_host"};
    size_t size;
    const char *name = variable_whole(source, &size);
    for (size_t i = 0; i < sizeof names / sizeof *names && size > 0; i++)
        if (strlen(names[i]) == size && strncmp(names[i], name, size) == 0)
            return true;
    return false;
}

void
judge_map(struct unit *unit, struct node *node)
{
    struct table table = {.unit = unit, .is_name = looks_up_name(&node->word[1])};
    variable_declare(unit, node, 2, VARIABLE_TABLE);
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (!judge_entry(unit, entry, 1, 2, "KEY VALUE;"))
            continue;
        if (entry->word_count == 1)
            read_parameter(&table, entry);
        else
            add_entry(&table, entry);
    }
    if (table.wildcard != NULL && !table.hostnames && table.is_name)
        say_literal(&table, table.wildcard);
}

/* ---- num_map {} ---- */

/* A number, FIRST-LAST, or one of < <= > >= and a number. */
static bool
is_numbers(const char *text, size_t size)
{
    u64 number;
    size_t sign = strspn(text, "<>"), dash = strcspn(text, "-");
    if (sign > 1)
        return false;
    sign += sign > 0 && text[sign] == '=';
    if (sign > 0 || dash == size)
        return value_number(text + sign, size - sign, &number) == READ_OK;
    u64 last;
    return value_number(text, dash, &number) == READ_OK &&
           value_number(text + dash + 1, size - dash - 1, &last) == READ_OK && number <= last;
}

static void
judge_numbers(struct table *table, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    bool fallback = strcmp(word->text, "default") == 0;
    variable_use(table->unit, &entry->word[1]);
    *(const struct node **)vector_add(&table->unit->arena, &table->entries, sizeof entry) = entry;
    if (!fallback && !is_numbers(word->text, word->size))
        diag(table->unit, bad_numbers, word->span, judge_show(table->unit, word));
    else
        add_key(table, &table->exact, word->text, word->size, entry);
}

void
judge_num_map(struct unit *unit, struct node *node)
{
    struct table table = {.unit = unit};
    variable_declare(unit, node, node->word_count - 1, VARIABLE_TABLE);
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (!judge_entry(unit, entry, 1, 2, "NUMBER VALUE;"))
            continue;
        if (entry->word_count == 2)
            judge_numbers(&table, entry);
        else if (strcmp(entry->word[0].text, "volatile") != 0)
            diag(unit, entry_words, entry->word[0].span, 1, "", "NUMBER VALUE;");
    }
}
