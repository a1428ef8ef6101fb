/*
 * geo {}: networks or, after "ranges", ranges of IPv4 addresses. Each entry is read as nginx does; entries that say
 * the same twice, or overlap, are found by sorting all of them once.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

struct geo {
    struct unit *unit;
    struct vector ranges; /* of struct geo_range */
    u32 entries; /* so far */
    u32 count; /* of those that no deletion took out; known when they are sorted */
    const struct node *fallback;
    bool by_range;
};

/* ---- reading ---- */

static void
say_bad_network(struct unit *unit, const struct word *word, enum reading reading)
{
    const char *slash = strchr(word->text, '/'), *dash = strchr(word->text, '-');
    if (reading == READ_TOO_LARGE) {
        u32 start = (u32)(slash - word->text);
        diag(unit, bad_prefix, word_part(word, start, word->size), judge_show(unit, word),
             strchr(word->text, ':') != NULL ? 128 : 32);
        return;
    }
    diag(unit, bad_network, word->span, judge_show(unit, word));
    if (strncmp(word->text, "proxy", 5) == 0)
        diag_help(unit, "proxy and proxy_recursive belong to the geo of http {}: a stream has set_real_ip_from");
    else if (dash != NULL)
        diag_help(unit, "for ranges of addresses, \"ranges;\" must be the first entry");
}

/* Host bits are told at once; the rest is for judge_overlaps(). */
static bool
read_network(struct geo *geo, const struct word *word, struct geo_range *range)
{
    struct network network;
    enum reading reading = value_network(word->text, word->size, &network);
    if (reading != READ_OK) {
        say_bad_network(geo->unit, word, reading);
        return false;
    }
    if (network.host_bits)
        judge_host_bits(geo->unit, word, &network);
    *range = (struct geo_range){.family = network.family, .low = network.ip, .high = network_last(&network)};
    return true;
}

static bool
read_range(struct geo *geo, const struct word *word, struct geo_range *range)
{
    const char *dash = strchr(word->text, '-'), *end = word->text + word->size;
    enum family family = FAMILY_IPV4, other = FAMILY_IPV4;
    *range = (struct geo_range){.family = FAMILY_IPV4};
    bool good = dash != NULL && value_ip(word->text, (size_t)(dash - word->text), &family, &range->low) == READ_OK &&
                value_ip(dash + 1, (size_t)(end - dash - 1), &other, &range->high) == READ_OK &&
                family == FAMILY_IPV4 && other == FAMILY_IPV4;
    if (!good) {
        diag(geo->unit, bad_range, word->span, judge_show(geo->unit, word));
        if (strchr(word->text, '/') != NULL)
            diag_help(geo->unit, "networks like this one are written in a geo without \"ranges;\"");
    } else if (memcmp(&range->low, &range->high, sizeof range->low) > 0) {
        diag(geo->unit, backward_range, word->span, judge_show(geo->unit, word));
        good = false;
    }
    return good;
}

static bool
read_word(struct geo *geo, const struct word *word, struct geo_range *range)
{
    return geo->by_range ? read_range(geo, word, range) : read_network(geo, word, range);
}

/* ---- entries ---- */

static int
by_address(const void *one, const void *other)
{
    const struct geo_range *a = one, *b = other;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int low = memcmp(&a->low, &b->low, sizeof a->low);
    if (low != 0)
        return low;
    int high = memcmp(&b->high, &a->high, sizeof a->high); /* the larger one first: it is around the other */
    return high != 0 ? high : a->order < b->order ? -1 : 1;
}

/* As in nginx, "default" is the networks of everybody: those that stand before it do not count. */
static void
drop_whole(struct geo *geo, const struct word *word)
{
    struct geo_range *range = geo->ranges.item;
    u32 kept = 0;
    for (u32 i = 0; i < geo->ranges.count; i++) {
        static const ip16 zero;
        struct network all = {.family = range[i].family};
        ip16 last = network_last(&all);
        bool whole = memcmp(&range[i].low, &zero, sizeof zero) == 0 && memcmp(&range[i].high, &last, sizeof last) == 0;
        if (whole && !range[i].deletes) {
            diag(geo->unit, network_again, word->span, "\"default\"");
            diag_note(geo->unit, range[i].entry->word[0].span, "it stands here first");
        }
        if (!whole)
            range[kept++] = range[i];
    }
    geo->ranges.count = kept;
}

static void
add_default(struct geo *geo, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    if (geo->fallback != NULL) {
        diag(geo->unit, network_again, word->span, "\"default\"");
        diag_note(geo->unit, geo->fallback->word[0].span, "it stands here first");
    }
    if (!geo->by_range)
        drop_whole(geo, word);
    geo->fallback = entry;
}

static void
add_entry(struct geo *geo, const struct node *entry)
{
    struct geo_range range;
    bool deletes = strcmp(entry->word[0].text, "delete") == 0;
    const struct word *word = &entry->word[deletes];
    if (!deletes && entry->word[1].size > 0 && strchr(entry->word[1].text, '$') != NULL)
        diag(geo->unit, literal_variable, entry->word[1].span, "geo", judge_show(geo->unit, &entry->word[1]));
    if (!deletes && strcmp(word->text, "default") == 0) {
        add_default(geo, entry);
        return;
    }
    if (!read_word(geo, word, &range))
        return;
    range.entry = entry;
    range.deletes = deletes;
    range.order = geo->entries++;
    *(struct geo_range *)vector_add(&geo->unit->arena, &geo->ranges, sizeof range) = range;
}

static void
read_parameter(struct geo *geo, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    if (strcmp(word->text, "volatile") == 0)
        return;
    if (strcmp(word->text, "ranges") != 0) {
        diag(geo->unit, entry_words, word->span, 1, "", "NETWORK VALUE;");
        return;
    }
    if (geo->ranges.count > 0 || geo->fallback != NULL)
        diag(geo->unit, late_ranges, word->span);
    else
        geo->by_range = true;
}

/* ---- what overlaps ---- */

static bool
is_equal(const struct geo_range *one, const struct geo_range *other)
{
    return one->family == other->family && memcmp(&one->low, &other->low, sizeof one->low) == 0 &&
           memcmp(&one->high, &other->high, sizeof one->high) == 0;
}

/* Of sorted ranges, take those out that are deleted, and the deletions; but, as in nginx, what a range took from those
 * around it does not come back: a deletion takes its place. How many are left. */
static u32
apply_deletions(struct geo *geo, struct geo_range *range, u32 count)
{
    u32 kept = 0;
    for (u32 i = 0; i < count; i++) {
        if (!range[i].deletes) {
            range[kept++] = range[i];
            continue;
        }
        const struct word *word = &range[i].entry->word[1];
        u32 before = kept;
        while (kept > 0 && is_equal(&range[kept - 1], &range[i]) && !range[kept - 1].deletes)
            kept--;
        if (kept == before) {
            diag(geo->unit, nothing_deleted, word->span, judge_show(geo->unit, word));
        } else if (geo->by_range) {
            range[kept].deletes = true;
            kept++;
        }
    }
    return kept;
}

static bool
same_value(const struct node *one, const struct node *other)
{
    return strcmp(one->word[1].text, other->word[1].text) == 0;
}

/* Ranges hide what stands above them, networks what is larger. */
static void
say_pair(struct unit *unit, const struct geo_range *range, const struct geo_range *around, bool by_range)
{
    const struct word *word = &range->entry->word[0];
    bool equal = is_equal(range, around);
    bool partly = memcmp(&range->high, &around->high, sizeof range->high) > 0 ||
                  (by_range && around->order > range->order);
    if (range->deletes || around->deletes)
        return;
    if (equal)
        diag(unit, network_again, word->span, judge_show(unit, word));
    else if (partly)
        diag(unit, range_overlap, word->span, judge_show(unit, word));
    else if (same_value(range->entry, around->entry))
        diag(unit, network_nested, word->span, judge_show(unit, word));
    else
        return;
    const char *same = same_value(range->entry, around->entry) ? "the same value" : "another value";
    diag_note(unit, around->entry->word[0].span, partly ? "this one" : "with %s here", same);
}

/* The sorted ranges, each with the innermost one that is open where it begins. */
static void
judge_overlaps(struct geo *geo)
{
    struct geo_range *range = geo->ranges.item;
    u32 depth = 0;
    if (geo->ranges.count == 0)
        return;
    qsort(range, geo->ranges.count, sizeof *range, by_address);
    u32 count = geo->count = apply_deletions(geo, range, geo->ranges.count);
    u32 *open = arena_take(&geo->unit->arena, geo->ranges.count * sizeof *open);
    for (u32 i = 0; i < count; i++) {
        while (depth > 0 && (range[open[depth - 1]].family != range[i].family ||
                             memcmp(&range[open[depth - 1]].high, &range[i].low, sizeof range->low) < 0))
            depth--;
        if (depth > 0)
            say_pair(geo->unit, &range[i], &range[open[depth - 1]], geo->by_range);
        open[depth++] = i;
    }
}

void
judge_geo(struct unit *unit, struct node *node)
{
    struct geo geo = {.unit = unit};
    size_t size = 1;
    if (node->word_count > 2)
        variable_whole(&node->word[1], &size);
    if (size == 0)
        diag(unit, bad_variable, node->word[1].span, judge_show(unit, &node->word[1]));
    variable_declare(unit, node, node->word_count - 1, VARIABLE_TABLE);
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (!judge_entry(unit, entry, 1, 2, "NETWORK VALUE;"))
            continue;
        if (entry->word_count == 1)
            read_parameter(&geo, entry);
        else
            add_entry(&geo, entry);
    }
    judge_overlaps(&geo);
    const struct word *name = &node->word[node->word_count - 1];
    struct symbol *variable = name->size > 1 ? variable_find(unit, name->text + 1, name->size - 1) : NULL;
    if (variable == NULL || variable->node != node)
        return;
    struct judged_geo *judged = arena_take(&unit->arena, sizeof *judged);
    *judged = (struct judged_geo){geo.ranges.item, geo.count, geo.fallback, geo.by_range};
    variable->geo = judged;
}
