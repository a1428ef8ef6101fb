/*
 * blob.def as data, and the verifier: bytes in, a yes or a reason out. It reads nothing but the bytes it is
 * given and allocates nothing. What a blob means is for others; here it is only well-formed or not. Whether the
 * fields obey their rules is asked of rule.c.
 */
#include "rule.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a blob is little-endian and read in place");

/* ---- blob.def as tables ---- */

#define VALUES(name) static const char *const name##_table[] = {
#define VALUE(name, constant, word) word,
#define END_VALUES(name) };
#define BITS(name) static const char *const name##_table[] = {
#define BIT(name, constant, word) word,
#define END_BITS(name) };
#include "blob.def"

#define VALUES(name) static const struct blob_vocabulary name##_words = {name##_table, VALUES_END_##name};
#define BITS(name) static const struct blob_vocabulary name##_words = {name##_table, BITS_END_##name};
#include "blob.def"

#define RULE_IS_ANY(argument) .rule = RULE_ANY
#define RULE_IS_ZERO(argument) .rule = RULE_ZERO
#define RULE_IS_MAX(argument) .rule = RULE_MAX, .max = argument
#define RULE_IS_UPTO(argument) .rule = RULE_UPTO, .max = argument
#define RULE_IS_TEXT(argument) .rule = RULE_TEXT
#define RULE_IS_REF(argument) .rule = RULE_REF, .section = SECTION_##argument
#define RULE_IS_NEED(argument) .rule = RULE_NEED, .section = SECTION_##argument
#define RULE_IS_SPAN(argument) .rule = RULE_SPAN, .section = SECTION_##argument
#define RULE_IS_LENGTH(argument) .rule = RULE_LENGTH
#define RULE_IS_SOME(argument) .rule = RULE_SOME
#define RULE_IS_ENUM(argument) .rule = RULE_ENUM, .vocabulary = &argument##_words
#define RULE_IS_FLAGS(argument) .rule = RULE_FLAGS, .vocabulary = &argument##_words
#define RULE_IS_ZONE(argument) .rule = RULE_ZONE
#define RULE_IS_RISES(argument) .rule = RULE_RISES
#define RULE_IS_ORIGIN(argument) .rule = RULE_ORIGIN

#define RECORD(record) static const struct blob_field record##_fields[] = {
#define FIELD(record, type, field, rule, argument) \
    {#field, offsetof(struct blob_##record, field), sizeof(type), RULE_IS_##rule(argument)},
#define END_RECORD(record) };
#include "blob.def"

#define RECORD(record) \
    {#record, sizeof(struct blob_##record), record##_fields, sizeof record##_fields / sizeof *record##_fields},
const struct blob_section blob_sections[SECTION_COUNT] = {
#include "blob.def"
};

const char *
blob_level_word(enum level level)
{
    return level_table[level];
}

/* A record has no hidden padding: its fields' sizes add up to its own. */
#define RECORD(record) static_assert(sizeof(struct blob_##record) == 0
#define FIELD(record, type, name, rule, argument) +sizeof(type)
#define END_RECORD(record) , "padding in " #record);
#include "blob.def"

u64
blob_fingerprint(void)
{
    static const char layout[] =
#define VALUES(name) "V" #name ";"
#define VALUE(name, constant, word) "v" word ";"
#define BITS(name) "B" #name ";"
#define BIT(name, constant, word) "b" word ";"
#define RECORD(name) "R" #name ";"
#define FIELD(record, type, name, rule, argument) "F" #type #name #rule #argument ";"
#include "blob.def"
        ;
    volatile size_t size = sizeof layout; /* where gcc knows it, it warns of paths that such a size never takes */
    return XXH3_64bits(layout, size);
}

/* ---- the verifier ---- */

void
blob_digest(const void *data, size_t size, u8 digest[16])
{
    static const u8 zero[sizeof ((struct blob_header *)0)->digest];
    const size_t at = offsetof(struct blob_header, digest), after = at + sizeof zero;
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, data, at);
    XXH3_128bits_update(&state, zero, sizeof zero);
    XXH3_128bits_update(&state, (const u8 *)data + after, size - after);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(digest, canonical.digest, sizeof zero);
}

u64
blob_get(const void *record, const struct blob_field *field)
{
    u64 value = 0;
    if (field->size <= sizeof value)
        memcpy(&value, (const u8 *)record + field->offset, field->size);
    return value;
}

static bool
check_header(const struct blob_header *header, size_t size, char *error)
{
    if (size < sizeof *header)
        return rule_refuse(error, "it is shorter than a header");
    if (memcmp(header->magic, BLOB_MAGIC, sizeof header->magic) != 0)
        return rule_refuse(error, "it is not a blob of spcc");
    if (header->fingerprint != blob_fingerprint())
        return rule_refuse(error,
                           "it was written by spcc %.23s, whose layout differs from that of %s: compile it again",
                           header->version[0] ? header->version : "?", SPC_VERSION);
    if (header->size != size)
        return rule_refuse(error, "it should have %llu bytes and has %zu", (unsigned long long)header->size, size);
    u8 digest[16];
    blob_digest(header, size, digest);
    if (memcmp(digest, header->digest, sizeof digest) != 0)
        return rule_refuse(error, "its digest does not match its content: it is damaged");
    return true;
}

static u64
aligned(u64 offset)
{
    return (offset + 7) & ~7ull;
}

/* Sections stand in order, 8-aligned, with nothing but zero bytes between them, up to the end of the file. */
static bool
check_sections(struct verifier *v, const u8 *data, size_t size)
{
    const struct blob_header *header = (const struct blob_header *)data;
    u64 at = aligned(sizeof *header), end = sizeof *header;
    for (u32 i = 0; i < SECTION_COUNT; i++) {
        const char *name = blob_sections[i].name;
        u64 count = header->section[i].count;
        if (header->section[i].at != at || at > size)
            return rule_refuse(v->error, "section %s is out of place", name);
        if (count == 0 || count > UINT32_MAX || count > (size - at) / blob_sections[i].record_size)
            return rule_refuse(v->error, "section %s has an impossible size", name);
        for (u64 gap = end; gap < at; gap++)
            if (data[gap] != 0)
                return rule_refuse(v->error, "there is something in the gap before section %s", name);
        v->start[i] = data + at;
        v->count[i] = count;
        end = at + count * blob_sections[i].record_size;
        at = aligned(end);
    }
    if (end != size)
        return rule_refuse(v->error, "there is something behind the last section");
    return true;
}

/* Do the ops of every expression stay below what it says? */
static bool
check_below(const struct verifier *v)
{
    const struct blob_expr *expr = (const struct blob_expr *)(const void *)v->start[SECTION_expr];
    const struct blob_op *op = (const struct blob_op *)(const void *)v->start[SECTION_op];
    for (u64 i = 1; i < v->count[SECTION_expr]; i++)
        for (u32 j = 0; j < expr[i].op_count; j++)
            if (op[expr[i].op + j].slot != 0 && op[expr[i].op + j].slot >= expr[i].below)
                return rule_refuse(v->error, "expr[%llu] uses a slot that is not below it", (unsigned long long)i);
    return true;
}

#define RECORDS(v, name) ((const struct blob_##name *)(const void *)(v)->start[SECTION_##name])

/* Is there a bucket for all that the first bits of a hash can be, and does each lie within the keys? */
static bool
check_index(const struct verifier *v, const struct blob_index *index)
{
    const struct blob_bucket *bucket = RECORDS(v, bucket) + index->bucket;
    u32 last = index->bucket_count - 1, bad = 0;
    if (index->bits == 0 || index->bucket_count != (1ull << index->bits) + 1)
        return false;
    for (u32 i = 0; i < last; i++)
        bad |= bucket[i].first > bucket[i + 1].first;
    return !bad && bucket[last].first <= index->key_count;
}

static bool
check_indexes(const struct verifier *v)
{
    for (u64 i = 1; i < v->count[SECTION_index]; i++)
        if (!check_index(v, RECORDS(v, index) + i))
            return rule_refuse(v->error, "index[%llu] has buckets that are out of order", (unsigned long long)i);
    return true;
}

/* Do the ranges of every geo ascend? */
static bool
check_geo(const struct verifier *v)
{
    for (u64 i = 1; i < v->count[SECTION_geo]; i++) {
        const struct blob_geo *geo = RECORDS(v, geo) + i;
        const struct blob_range4 *four = RECORDS(v, range4) + geo->range4;
        const struct blob_range6 *six = RECORDS(v, range6) + geo->range6;
        u32 bad = 0;
        for (u32 j = 1; j < geo->range4_count; j++)
            bad |= four[j - 1].low >= four[j].low;
        for (u32 j = 1; j < geo->range6_count; j++)
            bad |= memcmp(&six[j - 1].low, &six[j].low, sizeof six->low) >= 0;
        if (bad)
            return rule_refuse(v->error, "geo[%llu] has ranges that do not ascend", (unsigned long long)i);
    }
    return true;
}

static u32
below_of(const struct verifier *v, u32 value)
{
    return RECORDS(v, expr)[RECORDS(v, value)[value].expr].below;
}

/* How far up the slots go that the values of an index need. */
static u32
below_of_index(const struct verifier *v, u32 index)
{
    const struct blob_index *record = RECORDS(v, index) + index;
    u32 below = 0;
    for (u32 i = 0; i < record->key_count; i++) {
        u32 one = below_of(v, RECORDS(v, key)[record->key + i].value);
        below = one > below ? one : below;
    }
    return below;
}

static u32
larger(u32 a, u32 b)
{
    return a > b ? a : b;
}

static u32
below_of_map(const struct verifier *v, const struct blob_map *map)
{
    u32 below = larger(below_of_index(v, map->exact), below_of_index(v, map->head));
    below = larger(below, below_of_index(v, map->tail));
    for (u32 i = 0; i < map->pattern_count; i++)
        below = larger(below, below_of(v, RECORDS(v, pattern)[map->pattern + i].value));
    return below;
}

/* Is every value bare text? Then no table needs a closer look. */
static bool
are_bare(const struct verifier *v)
{
    const struct blob_value *value = RECORDS(v, value);
    u32 expr = 0;
    for (u64 i = 1; i < v->count[SECTION_value]; i++)
        expr |= value[i].expr;
    return expr == 0;
}

static u32
below_of_slot(const struct verifier *v, const struct blob_slot *slot)
{
    u32 below = larger(below_of(v, slot->fallback), below_of_map(v, RECORDS(v, map) + slot->map));
    for (u32 i = 0; i < slot->number_count; i++)
        below = larger(below, below_of(v, RECORDS(v, number)[slot->number + i].value));
    for (u32 i = 0; i < slot->share_count; i++)
        below = larger(below, below_of(v, RECORDS(v, share)[slot->share + i].value));
    return below;
}

/* Is every slot computed only from those before it? The values of geo and split_clients are bare text. */
static bool
check_slots(const struct verifier *v)
{
    bool bare = are_bare(v);
    for (u64 i = 1; i < v->count[SECTION_slot]; i++) {
        const struct blob_slot *slot = RECORDS(v, slot) + i;
        if (RECORDS(v, expr)[slot->source].below > i || (!bare && below_of_slot(v, slot) > i))
            return rule_refuse(v->error, "slot[%llu] depends on one that is not before it", (unsigned long long)i);
    }
    for (u64 i = 1; i < v->count[SECTION_range4] && !bare; i++)
        if (RECORDS(v, value)[RECORDS(v, range4)[i].value].expr != 0)
            return rule_refuse(v->error, "range4[%llu] has a value that is no bare text", (unsigned long long)i);
    for (u64 i = 1; i < v->count[SECTION_range6] && !bare; i++)
        if (RECORDS(v, value)[RECORDS(v, range6)[i].value].expr != 0)
            return rule_refuse(v->error, "range6[%llu] has a value that is no bare text", (unsigned long long)i);
    return true;
}

static bool
check_text(const struct verifier *v)
{
    const u8 *text = v->start[SECTION_text];
    return (text[0] == '\0' && text[v->count[SECTION_text] - 1] == '\0') ||
           rule_refuse(v->error, "section text does not begin and end with a NUL");
}

/* Does every point and every cell of a group name one of its peers? */
static bool
check_points(const struct verifier *v)
{
    for (u64 i = 1; i < v->count[SECTION_upstream]; i++) {
        const struct blob_upstream *upstream = RECORDS(v, upstream) + i;
        const struct blob_point *point = RECORDS(v, point) + upstream->point;
        const struct blob_cell *cell = RECORDS(v, cell) + upstream->cell;
        u32 bad = 0;
        for (u32 j = 0; j < upstream->point_count; j++)
            bad |= point[j].peer - upstream->peer >= upstream->peer_count;
        for (u32 j = 0; j < upstream->cell_count; j++)
            bad |= cell[j].peer - upstream->peer >= upstream->peer_count;
        if (bad)
            return rule_refuse(v->error, "upstream[%llu] has a point of another group", (unsigned long long)i);
    }
    return true;
}

/* Is what a pass names an endpoint of a listener for connections? Does no session of datagrams come to one? */
static bool
check_passes(const struct verifier *v)
{
    const struct blob_listener *listener = RECORDS(v, listener);
    const struct blob_endpoint *endpoint = RECORDS(v, endpoint);
    for (u64 i = 1; i < v->count[SECTION_pass]; i++) {
        const struct blob_pass *pass = RECORDS(v, pass) + i;
        const struct blob_listener *to = listener + pass->listener;
        bool known = pass->listener != 0 && pass->endpoint - to->endpoint < to->endpoint_count && pass->address != 0;
        if (pass->value != 0 ? pass->listener != 0 : !known || to->flags & LISTENER_UDP)
            return rule_refuse(v->error, "pass[%llu] leads nowhere", (unsigned long long)i);
    }
    for (u64 i = 1; i < v->count[SECTION_listener]; i++)
        for (u32 j = 0; j < listener[i].endpoint_count && listener[i].flags & LISTENER_UDP; j++)
            if (RECORDS(v, server)[endpoint[listener[i].endpoint + j].server].pass != 0)
                return rule_refuse(v->error, "listener[%llu] has datagrams for a pass", (unsigned long long)i);
    return true;
}

/* Does every limit use a zone of its kind? */
static bool
check_limits(const struct verifier *v)
{
    const struct blob_limit *limit = RECORDS(v, limit);
    const struct blob_limit_zone *zone = RECORDS(v, limit_zone);
    for (u64 i = 1; i < v->count[SECTION_server]; i++) {
        const struct blob_server *server = RECORDS(v, server) + i;
        u32 bad = 0;
        for (u32 j = 0; j < server->limit_count; j++)
            bad |= zone[limit[server->limit + j].zone].interval_ns != 0;
        for (u32 j = 0; j < server->pace_count; j++)
            bad |= zone[limit[server->pace + j].zone].interval_ns == 0;
        if (bad)
            return rule_refuse(v->error, "server[%llu] has a limit of another kind", (unsigned long long)i);
    }
    return true;
}

/* What no single field's rule can say. */
static bool
check_whole(const struct verifier *v)
{
    if (v->count[SECTION_main] != 2)
        return rule_refuse(v->error, "there must be exactly one record main");
    if (v->count[SECTION_regex] > 1 && v->count[SECTION_code] < CODE_AT + CODE_LEAST)
        return rule_refuse(v->error, "there is no code for the regular expressions");
    return check_passes(v) && check_limits(v) && check_points(v) && check_below(v) && check_indexes(v) &&
           check_geo(v) && check_slots(v);
}

bool
blob_open(struct blob *blob, const void *data, size_t size, char error[BLOB_ERROR_SIZE])
{
    struct verifier v = {.error = error};
    if (!check_header(data, size, error) || !check_sections(&v, data, size) || !check_text(&v))
        return false;
    for (u32 i = SECTION_text + 1; i < SECTION_COUNT; i++)
        if (!rule_check(&v, i))
            return false;
    if (!check_whole(&v))
        return false;
    blob->base = data;
    blob->size = size;
#define RECORD(record)                                                           \
    blob->record = (const struct blob_##record *)(const void *)v.start[SECTION_##record]; \
    blob->record##_count = (u32)v.count[SECTION_##record];
#include "blob.def"
    return true;
}

u32
blob_crc32(u32 crc, const void *data, size_t size)
{
    static const u32 table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= ((const u8 *)data)[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

u64
blob_hash(const void *key, size_t size)
{
    return XXH3_64bits(key, size);
}

const struct blob_origin *
blob_find_origin(const struct blob *blob, enum section section, u32 index)
{
    u64 of = (u64)section << 32 | index;
    u32 low = 1, high = blob->origin_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (blob->origin[middle].of < of)
            low = middle + 1;
        else
            high = middle;
    }
    return low < blob->origin_count && blob->origin[low].of == of ? &blob->origin[low] : NULL;
}
