/*
 * server_name: the servers that share an address in, a map of their names out, whose values are servers. A server alone
 * at its address needs no name. As with map's hostnames, an exact name comes before "*.name" and ".name", these before
 * "name.*", and patterns last.
 */
#include "judge.h"

#include <string.h>

struct reader {
    struct unit *unit;
    struct map taken; /* by keys */
    struct vector exact, head, tail, patterns;
    u32 value; /* the server whose names these are */
    u32 server, own; /* its record; that of the first that is named as the machine, 0 for none */
};

static void
add_key(struct reader *reader, struct vector *keys, const char *text, size_t size)
{
    struct map_key *key = vector_add(&reader->unit->arena, keys, sizeof *key);
    *key = (struct map_key){.text = text, .size = (u32)size, .value = reader->value};
}

u32
server_name_keys(struct unit *unit, const struct word *word, const char *keys[2])
{
    bool pattern = word->text[0] == '~';
    const char *name = pattern ? word->text : lower_case(unit, word->text);
    bool dot = name[0] == '.', star = name[0] == '*' && name[1] == '.';
    bool tail = !pattern && word->size > 0 && name[word->size - 1] == '*';
    u32 count = 0;
    if (!star)
        keys[count++] = arena_print(&unit->arena, "%c%s", tail ? 't' : 'e', name + dot);
    if (dot || star)
        keys[count++] = arena_print(&unit->arena, "h%s", name + dot + 2 * star);
    return count;
}

/* As nginx has it, a name of which one key is taken is ignored, and its keys before that one stay. */
static bool
is_taken(struct reader *reader, const struct word *word)
{
    const char *keys[2];
    u32 count = server_name_keys(reader->unit, word, keys);
    for (u32 i = 0; i < count; i++) {
        u32 *slot = map_at(&reader->unit->arena, &reader->taken, keys[i], strlen(keys[i]));
        if (*slot != 0)
            return true;
        *slot = 1;
    }
    return false;
}

static void
read_name(struct reader *reader, const struct word *word)
{
    const char *text = lower_case(reader->unit, word->text);
    size_t size = word->size;
    if (size == 0 || is_taken(reader, word))
        return;
    if (text[0] == '~') {
        bool caseless = strpbrk(word->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL; /* as nginx does */
        struct blob_pattern record = {regex_compile(reader->unit, word, 1, caseless), reader->value};
        if (record.regex != 0)
            *(struct blob_pattern *)vector_add(&reader->unit->arena, &reader->patterns, sizeof record) = record;
    } else if (strcmp(text, "$hostname") == 0) {
        reader->own = reader->own != 0 ? reader->own : reader->server;
    } else if (text[0] == '.') {
        add_key(reader, &reader->exact, text + 1, size - 1);
        add_key(reader, &reader->head, text, size);
    } else if (text[0] == '*') {
        add_key(reader, &reader->head, text + 1, size - 1);
    } else if (text[size - 1] == '*') {
        add_key(reader, &reader->tail, text, size - 1);
    } else {
        add_key(reader, &reader->exact, text, size);
    }
}

static void
read_server(struct reader *reader, const struct name_member *member)
{
    struct blob_value value = {.server = member->server};
    reader->server = member->server;
    reader->value = image_add(reader->unit, SECTION_value, &value, member->node->word[0].span);
    for (const struct node *node = member->node->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_server_name] && !node->broken)
            for (u32 i = 1; i < node->word_count; i++)
                read_name(reader, &node->word[i]);
}

u32
server_name_compile(struct unit *unit, const struct name_member *member, u32 count, struct span span, u32 *own)
{
    struct reader reader = {.unit = unit};
    if (count < 2)
        return 0;
    for (u32 i = 0; i < count; i++)
        read_server(&reader, &member[i]);
    *own = reader.own;
    struct blob_map record = {.hostnames = 1, .pattern_count = reader.patterns.count};
    record.exact = map_index(unit, reader.exact.item, reader.exact.count, span);
    record.head = map_index(unit, reader.head.item, reader.head.count, span);
    record.tail = map_index(unit, reader.tail.item, reader.tail.count, span);
    record.pattern = reader.patterns.count > 0 ? image_count(unit, SECTION_pattern) : 0;
    for (u32 i = 0; i < reader.patterns.count; i++)
        image_add(unit, SECTION_pattern, (struct blob_pattern *)reader.patterns.item + i, span);
    return image_add(unit, SECTION_map, &record, span);
}
