/*
 * geo {}: the networks or ranges that judge_geo.c has read and sorted come in, and go out as ranges that neither
 * overlap nor leave a gap: each one ends where the next begins, and one without a value has that of "default".
 * Of ranges that overlap the one that stands last holds, of networks the longest prefix, which is the last one as
 * they are sorted.
 *
 *     10.0.0.0/8 a; 10.1.0.0/16 b;     0.0.0.0 -   10.0.0.0 a   10.1.0.0 b   10.2.0.0 a   11.0.0.0 -
 */
#include "judge.h"

#include <string.h>

/* Where a range begins. */
struct edge {
    ip16 low;
    u32 value;
};

/* A range that we are in. */
struct open {
    ip16 high;
    u32 rank, value;
};

struct sweep {
    struct unit *unit;
    u32 size;            /* bytes of an address */
    struct vector edges; /* of struct edge, ascending */
    struct open *open;   /* the one that holds last: below it those of lower rank that end later */
    u32 depth;
};

/* From low on it is value. */
static void
begin(struct sweep *sweep, const ip16 *low, u32 value)
{
    u32 count = sweep->edges.count;
    struct edge *last = count > 0 ? (struct edge *)sweep->edges.item + count - 1 : NULL;
    if (last != NULL && memcmp(&last->low, low, sizeof *low) == 0)
        last->value = value;
    else if (last == NULL || last->value != value)
        *(struct edge *)vector_add(&sweep->unit->arena, &sweep->edges, sizeof *last) = (struct edge){*low, value};
}

/* Leave the range that holds; those below it end later. */
static void
leave(struct sweep *sweep)
{
    ip16 behind = sweep->open[--sweep->depth].high;
    if (network_next(&behind, sweep->size))
        begin(sweep, &behind, sweep->depth > 0 ? sweep->open[sweep->depth - 1].value : 0);
}

/* Enter a range: it hides those of lower rank, and is hidden by those of higher rank for as long as they last. */
static void
enter(struct sweep *sweep, const ip16 *low, struct open entered)
{
    struct open *open = sweep->open;
    u32 above = sweep->depth, below;
    while (above > 0 && open[above - 1].rank > entered.rank)
        above--;
    if (above < sweep->depth && memcmp(&open[above].high, &entered.high, sizeof entered.high) >= 0)
        return; /* nothing of it is seen */
    for (below = above; below > 0 && memcmp(&open[below - 1].high, &entered.high, sizeof entered.high) <= 0;)
        below--;
    memmove(&open[below + 1], &open[above], (sweep->depth - above) * sizeof *open);
    open[below] = entered;
    sweep->depth -= above - below;
    if (++sweep->depth == below + 1)
        begin(sweep, low, entered.value);
}

static void
run(struct sweep *sweep, const struct judged_geo *geo, enum family family)
{
    for (u32 i = 0; i < geo->count; i++) {
        const struct geo_range *range = &geo->range[i];
        if (range->family != family)
            continue;
        if (sweep->edges.count == 0)
            begin(sweep, &(ip16){{0}}, 0);
        while (sweep->depth > 0 && memcmp(&sweep->open[sweep->depth - 1].high, &range->low, sizeof range->low) < 0)
            leave(sweep);
        struct open entered = {.high = range->high, .rank = geo->by_range ? range->order : i};
        entered.value = range->deletes ? 0 : map_text(sweep->unit, &range->entry->word[1]);
        enter(sweep, &range->low, entered);
    }
    while (sweep->depth > 0)
        leave(sweep);
}

static struct sweep
sweep_open(struct unit *unit, const struct judged_geo *geo, u32 size)
{
    struct sweep sweep = {.unit = unit, .size = size};
    sweep.open = arena_take(&unit->arena, (geo->count + 1) * sizeof *sweep.open);
    return sweep;
}

static u32
add_four(struct unit *unit, const struct vector *edges)
{
    u32 first = edges->count > 0 ? image_count(unit, SECTION_range4) : 0;
    for (u32 i = 0; i < edges->count; i++) {
        const struct edge *edge = (const struct edge *)edges->item + i;
        const u8 *byte = edge->low.byte;
        u32 low = (u32)byte[0] << 24 | (u32)byte[1] << 16 | (u32)byte[2] << 8 | byte[3];
        image_add(unit, SECTION_range4, &(struct blob_range4){low, edge->value}, (struct span){0, 0});
    }
    return first;
}

static u32
add_six(struct unit *unit, const struct vector *edges)
{
    u32 first = edges->count > 0 ? image_count(unit, SECTION_range6) : 0;
    for (u32 i = 0; i < edges->count; i++) {
        const struct edge *edge = (const struct edge *)edges->item + i;
        image_add(unit, SECTION_range6, &(struct blob_range6){edge->low, edge->value}, (struct span){0, 0});
    }
    return first;
}

bool
geo_compile(struct unit *unit, struct node *node, struct blob_slot *slot)
{
    const struct word *name = &node->word[node->word_count - 1];
    const struct symbol *variable = variable_find(unit, name->text + 1, name->size - 1);
    if (variable == NULL || variable->geo == NULL)
        return false;
    const struct judged_geo *geo = variable->geo;
    struct sweep four = sweep_open(unit, geo, 4), six = sweep_open(unit, geo, 16);
    run(&four, geo, FAMILY_IPV4);
    run(&six, geo, FAMILY_IPV6);
    struct blob_geo record = {.range4_count = four.edges.count, .range6_count = six.edges.count};
    record.range4 = add_four(unit, &four.edges);
    record.range6 = add_six(unit, &six.edges);
    slot->kind = SLOT_GEO;
    slot->source = node->word_count > 2 ? expr_compile(unit, &node->word[1]) : 0;
    slot->geo = image_add(unit, SECTION_geo, &record, node->word[0].span);
    slot->fallback = geo->fallback != NULL ? map_text(unit, &geo->fallback->word[1]) : 0;
    for (const struct node *entry = node->first; entry != NULL; entry = entry->next)
        if (entry->word_count == 1 && strcmp(entry->word[0].text, "volatile") == 0)
            slot->flags = SLOT_VOLATILE;
    return node->word_count == 2 || slot->source != 0;
}
