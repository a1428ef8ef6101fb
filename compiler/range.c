/*
 * Two tables of addresses in, the networks for which they give something else out. Both tables are swept at once,
 * from the lowest address on: what they give changes only where a range of either begins.
 */
#include "difference.h"

#include <arpa/inet.h>
#include <string.h>

/* One table while it is swept, in one family. */
struct table {
    const struct content *content;
    const struct blob_geo *geo;
    u32 next;         /* the range that begins next */
    const char *text; /* what the one that has begun gives; NULL: nothing */
};

struct sweep {
    struct table old, new;
    u32 size; /* bytes of an address */
    struct arena *arena;
    struct vector *found;
};

static u32
count_of(const struct sweep *sweep, const struct table *table)
{
    return sweep->size == 4 ? table->geo->range4_count : table->geo->range6_count;
}

/* Where the next range of a table begins, network order, and its value. False: there is none. */
static bool
look(const struct sweep *sweep, const struct table *table, u8 *low, u32 *value)
{
    const struct blob *blob = table->content->blob;
    if (table->next == count_of(sweep, table))
        return false;
    if (sweep->size == 4) {
        const struct blob_range4 *range = &blob->range4[table->geo->range4 + table->next];
        u32 number = htonl(range->low);
        memcpy(low, &number, sizeof number);
        *value = range->value;
    } else {
        const struct blob_range6 *range = &blob->range6[table->geo->range6 + table->next];
        memcpy(low, range->low.byte, sizeof range->low.byte);
        *value = range->value;
    }
    return true;
}

/* Where either table goes on; the last address of all and false: nowhere. */
static bool
find_border(const struct sweep *sweep, u8 *low)
{
    u8 other[16];
    u32 value;
    memset(low, 0xff, sweep->size);
    bool old = look(sweep, &sweep->old, low, &value), new = look(sweep, &sweep->new, other, &value);
    if (new && (!old || memcmp(other, low, sweep->size) < 0))
        memcpy(low, other, sweep->size);
    return old || new;
}

/* Begin the range of a table that begins at low, if one does. */
static void
begin(const struct sweep *sweep, struct table *table, const u8 *low)
{
    u8 next[16];
    u32 value;
    if (!look(sweep, table, next, &value) || memcmp(next, low, sweep->size) != 0)
        return;
    table->text = value == 0 ? NULL : description_of(table->content, SECTION_value, value);
    table->next++;
}

static void
step_down(u8 *address, u32 size)
{
    for (u32 i = size; i-- > 0;)
        if (address[i]-- != 0)
            return;
}

/* The bits that all addresses from low to high have in common, if those are a network; else -1. */
static int
prefix_of(const u8 *low, const u8 *high, u32 size)
{
    u32 bits = size * 8, same = 0;
    while (same < bits && ((low[same / 8] ^ high[same / 8]) >> (7 - same % 8) & 1) == 0)
        same++;
    for (u32 i = same; i < bits; i++)
        if ((low[i / 8] >> (7 - i % 8) & 1) != 0 || (high[i / 8] >> (7 - i % 8) & 1) == 0)
            return -1;
    return (int)same;
}

static const char *
describe(const struct sweep *sweep, const u8 *low, const u8 *high)
{
    char first[INET6_ADDRSTRLEN], last[INET6_ADDRSTRLEN];
    int family = sweep->size == 4 ? AF_INET : AF_INET6, prefix = prefix_of(low, high, sweep->size);
    inet_ntop(family, low, first, sizeof first);
    inet_ntop(family, high, last, sizeof last);
    if (prefix == (int)sweep->size * 8)
        return arena_print(sweep->arena, "%s", first);
    return prefix >= 0 ? arena_print(sweep->arena, "%s/%d", first, prefix)
                       : arena_print(sweep->arena, "%s-%s", first, last);
}

static bool
is_same(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static void
run(struct sweep *sweep)
{
    u8 low[16], high[16];
    bool more = find_border(sweep, low);
    while (more) {
        begin(sweep, &sweep->old, low);
        begin(sweep, &sweep->new, low);
        more = find_border(sweep, high);
        u8 border[16];
        memcpy(border, high, sizeof border);
        if (more)
            step_down(high, sweep->size);
        if (!is_same(sweep->old.text, sweep->new.text))
            *(struct range_change *)vector_add(sweep->arena, sweep->found, sizeof(struct range_change)) =
                (struct range_change){describe(sweep, low, high), sweep->old.text, sweep->new.text};
        memcpy(low, border, sizeof low);
    }
}

void
range_compare(const struct content *old, u32 old_geo, const struct content *new, u32 new_geo, struct vector *found)
{
    static const u32 sizes[] = {4, 16};
    for (int i = 0; i < 2; i++) {
        struct sweep sweep = {.size = sizes[i], .arena = new->arena, .found = found};
        sweep.old = (struct table){.content = old, .geo = &old->blob->geo[old_geo]};
        sweep.new = (struct table){.content = new, .geo = &new->blob->geo[new_geo]};
        run(&sweep);
    }
}
