/*
 * map {} and num_map {}: judged nodes in, records out. Keys are found by their hash, without regard to letter case;
 * host names with a "*" have an index of their own for each end. A value that is said often is one record.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static u32
value_of(struct unit *unit, const struct word *word, u32 expr)
{
    struct blob_value record = {.expr = expr};
    if (expr == 0)
        record.text = image_text(unit, word->text, word->size), record.text_size = word->size;
    u32 *known = map_at_copy(&unit->arena, &unit->values, &record, sizeof record);
    if (*known == 0)
        *known = image_add(unit, SECTION_value, &record, word->span);
    return *known;
}

u32
map_text(struct unit *unit, const struct word *word)
{
    return value_of(unit, word, 0);
}

u32
map_value(struct unit *unit, const struct word *word)
{
    if (!expr_is_dynamic(word))
        return map_text(unit, word);
    u32 expr = expr_compile(unit, word);
    return expr == 0 ? 0 : value_of(unit, word, expr);
}

/* ---- an index of keys ---- */

static int
by_hash(const void *one, const void *other)
{
    const struct map_key *a = one, *b = other;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* Buckets for about two keys each. */
static u32
bits_for(u32 count)
{
    u32 bits = 1;
    while (bits < INDEX_BITS_MAX && 2ull << bits < count)
        bits++;
    return bits;
}

static void
add_buckets(struct unit *unit, const struct map_key *key, u32 count, struct blob_index *index)
{
    u64 buckets = 1ull << index->bits;
    u32 at = 0;
    index->bucket = image_count(unit, SECTION_bucket);
    index->bucket_count = (u32)buckets + 1;
    for (u64 i = 0; i <= buckets; i++) {
        while (at < count && key[at].hash >> (64 - index->bits) < i)
            at++;
        image_add(unit, SECTION_bucket, &(struct blob_bucket){at}, (struct span){0, 0});
    }
}

u32
map_index(struct unit *unit, struct map_key *key, u32 count, struct span span)
{
    if (count == 0)
        return 0;
    for (u32 i = 0; i < count; i++)
        key[i].hash = blob_hash(key[i].text, key[i].size);
    qsort(key, count, sizeof *key, by_hash);
    struct blob_index index = {.key = image_count(unit, SECTION_key), .key_count = count, .bits = bits_for(count)};
    for (u32 i = 0; i < count; i++) {
        struct blob_key record = {.hash = key[i].hash, .text_size = key[i].size, .value = key[i].value};
        record.text = image_text(unit, key[i].text, key[i].size);
        image_add(unit, SECTION_key, &record, (struct span){0, 0});
    }
    add_buckets(unit, key, count, &index);
    return image_add(unit, SECTION_index, &index, span);
}

/* ---- map {} ---- */

struct reader {
    struct unit *unit;
    struct vector exact, head, tail; /* of struct map_key */
    struct vector patterns;          /* of struct blob_pattern */
    u32 fallback;
    bool hostnames, is_volatile, good;
};

static void
add_key(struct reader *reader, struct vector *keys, const char *text, size_t size, u32 value)
{
    struct map_key *key = vector_add(&reader->unit->arena, keys, sizeof *key);
    *key = (struct map_key){.text = text, .size = (u32)size, .value = value};
}

static void
add_host(struct reader *reader, const char *text, size_t size, u32 value)
{
    if (size > 1 && text[0] == '.') {
        add_key(reader, &reader->exact, text + 1, size - 1, value);
        add_key(reader, &reader->head, text, size, value);
    } else if (size > 2 && text[0] == '*') {
        add_key(reader, &reader->head, text + 1, size - 1, value);
    } else if (size > 2 && text[size - 1] == '*') {
        add_key(reader, &reader->tail, text, size - 1, value);
    } else {
        add_key(reader, &reader->exact, text, size, value);
    }
}

static void
add_pattern(struct reader *reader, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    bool caseless = word->size > 1 && word->text[1] == '*';
    struct blob_pattern record = {.regex = regex_compile(reader->unit, word, 1 + caseless, caseless)};
    record.value = map_value(reader->unit, &entry->word[1]); /* after its captures have slots */
    reader->good &= record.regex != 0 && record.value != 0;
    *(struct blob_pattern *)vector_add(&reader->unit->arena, &reader->patterns, sizeof record) = record;
}

static void
read_entry(struct reader *reader, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    if (entry->word_count == 1) {
        reader->hostnames |= strcmp(word->text, "hostnames") == 0;
        reader->is_volatile |= strcmp(word->text, "volatile") == 0;
        return;
    }
    if (word->text[0] == '~') {
        add_pattern(reader, entry);
        return;
    }
    u32 value = map_value(reader->unit, &entry->word[1]);
    reader->good &= value != 0;
    if (strcmp(word->text, "default") == 0) {
        reader->fallback = value;
        return;
    }
    u32 escaped = word->text[0] == '\\';
    const char *text = lower_case(reader->unit, word->text + escaped);
    if (reader->hostnames)
        add_host(reader, text, word->size - escaped, value);
    else
        add_key(reader, &reader->exact, text, word->size - escaped, value);
}

static u32
add_patterns(struct unit *unit, const struct vector *patterns, struct span span)
{
    u32 first = patterns->count > 0 ? image_count(unit, SECTION_pattern) : 0;
    for (u32 i = 0; i < patterns->count; i++)
        image_add(unit, SECTION_pattern, (struct blob_pattern *)patterns->item + i, span);
    return first;
}

bool
map_compile(struct unit *unit, struct node *node, struct blob_slot *slot)
{
    struct reader reader = {.unit = unit, .good = true};
    struct span span = node->word[0].span;
    slot->kind = SLOT_MAP;
    slot->source = expr_compile(unit, &node->word[1]);
    for (const struct node *entry = node->first; entry != NULL; entry = entry->next)
        if (!entry->broken && !entry->block && entry->word_count <= 2)
            read_entry(&reader, entry);
    struct blob_map record = {.hostnames = reader.hostnames, .pattern_count = reader.patterns.count};
    record.exact = map_index(unit, reader.exact.item, reader.exact.count, span);
    record.head = map_index(unit, reader.head.item, reader.head.count, span);
    record.tail = map_index(unit, reader.tail.item, reader.tail.count, span);
    record.pattern = add_patterns(unit, &reader.patterns, span);
    slot->map = image_add(unit, SECTION_map, &record, span);
    slot->fallback = reader.fallback;
    slot->flags = reader.is_volatile ? SLOT_VOLATILE : 0;
    return reader.good && slot->source != 0;
}

/* ---- num_map {} ---- */

/* "5", "5-7", "<5", ">=5"; it was judged. */
static struct blob_number
read_numbers(const char *text)
{
    struct blob_number record = {.low = 0, .high = UINT64_MAX};
    size_t sign = strspn(text, "<>="), dash = strcspn(text, "-");
    u64 number = 0, last = 0;
    value_number(text + sign, dash - sign, &number);
    if (text[0] == '<')
        record.high = text[1] == '=' || number == 0 ? number : number - 1;
    else if (text[0] == '>')
        record.low = text[1] == '=' || number == UINT64_MAX ? number : number + 1;
    else
        record.low = record.high = number;
    if (text[dash] == '-' && value_number(text + dash + 1, strlen(text + dash + 1), &last) == READ_OK)
        record.high = last;
    return record;
}

bool
map_compile_numbers(struct unit *unit, struct node *node, struct blob_slot *slot)
{
    bool good = true;
    slot->kind = SLOT_NUM_MAP;
    if (node->word_count < 3)
        later_say(unit, node->word[0].span, "a num_map without a number to look up", "num_map without a number");
    else
        slot->source = expr_compile(unit, &node->word[1]);
    struct vector numbers = {0};
    for (const struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (entry->broken || entry->block || entry->word_count != 2) {
            slot->flags |= strcmp(entry->word[0].text, "volatile") == 0 ? SLOT_VOLATILE : 0;
            continue;
        }
        u32 value = map_value(unit, &entry->word[1]);
        good &= value != 0;
        if (strcmp(entry->word[0].text, "default") == 0) {
            slot->fallback = value;
            continue;
        }
        struct blob_number record = read_numbers(entry->word[0].text);
        record.value = value;
        *(struct blob_number *)vector_add(&unit->arena, &numbers, sizeof record) = record;
    }
    slot->number = numbers.count > 0 ? image_count(unit, SECTION_number) : 0;
    slot->number_count = numbers.count;
    for (u32 i = 0; i < numbers.count; i++)
        image_add(unit, SECTION_number, (struct blob_number *)numbers.item + i, node->word[0].span);
    return good && slot->source != 0;
}
