/*
 * Looking things up in the blob's tables: a slot's source in, its value out. Nothing is built at start-up and nothing
 * is copied: keys, ranges and shares are searched where they lie.
 */
#include "spcd.h"

#include <arpa/inet.h>
#include <string.h>

/* Text to look up, and room for it. */
struct subject {
    u8 text[VALUES_TEXT];
    u32 size;
};

/* False: it does not fit. */
static bool
read_source(struct session *s, const struct blob_slot *slot, struct subject *subject)
{
    size_t size = expr_run(s, &s->shard->blob->expr[slot->source], subject->text, sizeof subject->text);
    subject->size = (u32)size;
    return size <= sizeof subject->text;
}

static struct value
value_of(struct session *s, u32 index)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_value *value = &blob->value[index];
    if (value->expr)
        return expr_keep(s, &blob->expr[value->expr]);
    return (struct value){(const u8 *)blob_string(blob, value->text), value->text_size, VALUE_FOUND};
}

static const struct value lost = {.state = VALUE_LOST};

/* ---- map ---- */

/* The value of the key, 0 if it is not there. */
static u32
find_key(const struct blob *blob, const struct blob_index *index, const u8 *text, u32 size)
{
    if (index->key_count == 0)
        return 0;
    u64 hash = blob_hash(text, size);
    const struct blob_bucket *bucket = &blob->bucket[index->bucket + (hash >> (64 - index->bits))];
    const struct blob_key *key = &blob->key[index->key + bucket[0].first];
    const struct blob_key *end = &blob->key[index->key + bucket[1].first];
    for (; key < end; key++)
        if (key->hash == hash && key->text_size == size && memcmp(blob_string(blob, key->text), text, size) == 0)
            return key->value;
    return 0;
}

/* ".example.com" for "www.example.com", the longest first. */
static u32
find_head(const struct blob *blob, const struct blob_index *index, const u8 *text, u32 size)
{
    u32 found = 0;
    for (u32 i = 0; i < size && !found && index->key_count; i++)
        if (text[i] == '.')
            found = find_key(blob, index, text + i, size - i);
    return found;
}

/* "www." for "www.example.com", the longest first. */
static u32
find_tail(const struct blob *blob, const struct blob_index *index, const u8 *text, u32 size)
{
    u32 found = 0;
    for (u32 i = size; i-- > 1 && !found && index->key_count;)
        if (text[i - 1] == '.')
            found = find_key(blob, index, text, i);
    return found;
}

u32
map_value(struct session *s, u32 index, const u8 *subject, u32 size)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_map *map = &blob->map[index];
    u8 text[VALUES_TEXT];
    u32 found;
    text[0] = '\0';
    if (map->hostnames && size > 0 && subject[size - 1] == '.')
        size--;
    for (u32 i = 0; i < size; i++)
        text[i] = subject[i] >= 'A' && subject[i] <= 'Z' ? subject[i] | 0x20 : subject[i];
    found = find_key(blob, &blob->index[map->exact], text, size);
    if (!found)
        found = find_head(blob, &blob->index[map->head], text, size);
    if (!found)
        found = find_tail(blob, &blob->index[map->tail], text, size);
    for (u32 i = 0; i < map->pattern_count && size > 0 && !found; i++) { /* nginx has none match an empty text */
        const struct blob_pattern *pattern = &blob->pattern[map->pattern + i];
        if (regex_match(s, pattern->regex, subject, size))
            found = pattern->value;
    }
    return found;
}

struct value
map_find(struct session *s, const struct blob_slot *slot)
{
    struct subject subject;
    if (!read_source(s, slot, &subject))
        return lost;
    u32 found = map_value(s, slot->map, subject.text, subject.size);
    return value_of(s, found ? found : slot->fallback);
}

/* ---- num_map ---- */

/* What is no number has the fallback. */
static bool
read_number(const struct subject *subject, u64 *number)
{
    *number = 0;
    for (u32 i = 0; i < subject->size; i++) {
        u8 digit = (u8)(subject->text[i] - '0');
        if (digit > 9 || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return subject->size > 0;
}

struct value
map_find_number(struct session *s, const struct blob_slot *slot)
{
    struct subject subject;
    u64 number;
    if (!read_source(s, slot, &subject))
        return lost;
    const struct blob_number *range = &s->shard->blob->number[slot->number];
    for (u32 i = 0; i < slot->number_count && read_number(&subject, &number); i++)
        if (range[i].low <= number && number <= range[i].high)
            return value_of(s, range[i].value);
    return value_of(s, slot->fallback);
}

/* ---- split_clients ---- */

/* MurmurHash2 of Austin Appleby, 32 bits, seed 0: nginx's choice, so that a client falls into the same part. */
static u32
murmur2(const u8 *data, u32 size)
{
    const u32 mix = 0x5bd1e995;
    u32 hash = size;
    for (; size >= 4; data += 4, size -= 4) {
        u32 word = (u32)data[0] | (u32)data[1] << 8 | (u32)data[2] << 16 | (u32)data[3] << 24;
        word *= mix;
        word ^= word >> 24;
        hash = hash * mix ^ word * mix;
    }
    for (u32 i = size; i-- > 0;)
        hash ^= (u32)data[i] << 8 * i;
    if (size > 0)
        hash *= mix;
    hash ^= hash >> 13;
    hash *= mix;
    return hash ^ hash >> 15;
}

struct value
split_find(struct session *s, const struct blob_slot *slot)
{
    struct subject subject;
    if (!read_source(s, slot, &subject))
        return lost;
    u32 hash = murmur2(subject.text, subject.size);
    const struct blob_share *share = &s->shard->blob->share[slot->share];
    for (u32 i = 0; i < slot->share_count; i++)
        if (hash < share[i].below || share[i].below == 0)
            return value_of(s, share[i].value);
    return value_of(s, slot->fallback);
}

/* ---- geo ---- */

static u32
find_four(const struct blob *blob, const struct blob_geo *geo, u32 ip)
{
    const struct blob_range4 *range = &blob->range4[geo->range4];
    u32 low = 0, count = geo->range4_count;
    while (count > 1) { /* the range is among the count from low on */
        u32 half = count / 2;
        low = range[low + half].low <= ip ? low + half : low;
        count -= half;
    }
    return count ? range[low].value : 0;
}

static u32
find_six(const struct blob *blob, const struct blob_geo *geo, const struct in6_addr *ip)
{
    const struct blob_range6 *range = &blob->range6[geo->range6];
    u32 low = 0, count = geo->range6_count;
    while (count > 1) {
        u32 half = count / 2;
        low = memcmp(&range[low + half].low, ip, sizeof *ip) <= 0 ? low + half : low;
        count -= half;
    }
    return count ? range[low].value : 0;
}

/* What has no address of the internet, as a client on a unix socket, counts as this one, as in nginx. */
static const union client_address nowhere = {.ipv4 = {.sin_family = AF_INET, .sin_addr = {INADDR_NONE}}};

/* The address to look up: the client's, or what the source gives. */
static bool
read_address(struct session *s, const struct blob_slot *slot, union client_address *address)
{
    char text[INET6_ADDRSTRLEN + 1];
    *address = s->address;
    if (slot->source) {
        bool whole = expr_text(s, &s->shard->blob->expr[slot->source], text, sizeof text);
        *address = nowhere;
        if (whole && inet_pton(AF_INET6, text, &address->ipv6.sin6_addr) == 1) {
            address->any.sa_family = AF_INET6;
        } else {
            *address = nowhere;
            if (whole)
                address_read_ipv4(text, &address->ipv4.sin_addr);
        }
    }
    return address->any.sa_family != AF_UNIX;
}

u32
geo_value(const struct blob *blob, u32 index, const union client_address *address)
{
    const struct blob_geo *geo = &blob->geo[index];
    const struct in6_addr *six = &address->ipv6.sin6_addr;
    u32 mapped;
    if (address->any.sa_family != AF_INET6)
        return find_four(blob, geo, ntohl(address->ipv4.sin_addr.s_addr));
    if (!IN6_IS_ADDR_V4MAPPED(six))
        return find_six(blob, geo, six);
    memcpy(&mapped, &six->s6_addr[12], sizeof mapped);
    return find_four(blob, geo, ntohl(mapped));
}

struct value
geo_find(struct session *s, const struct blob_slot *slot)
{
    union client_address address;
    if (!read_address(s, slot, &address))
        address = nowhere;
    u32 found = geo_value(s->shard->blob, slot->geo, &address);
    return value_of(s, found ? found : slot->fallback);
}
