/*
 * Two blobs in, changes out: what came, what went, and what is said otherwise of a thing that is in both. Whatever
 * belongs to an address that came or went is told with it; a group or a variable that is only in one of them is told
 * by those who use it.
 */
#include "difference.h"

#include <string.h>

/* What it is called when a thing of a kind comes or goes. CATEGORY_COUNT: nothing. */
static const struct {
    enum category came, went;
} of_kind[] = {
    [THING_PROCESS] = {CATEGORY_COUNT, CATEGORY_COUNT},
    [THING_ADDRESS] = {CATEGORY_listener_added, CATEGORY_listener_removed},
    [THING_NAME] = {CATEGORY_name_added, CATEGORY_name_removed},
    [THING_GROUP] = {CATEGORY_COUNT, CATEGORY_COUNT},
    [THING_PEER] = {CATEGORY_peer_added, CATEGORY_peer_removed},
    [THING_ZONE] = {CATEGORY_COUNT, CATEGORY_COUNT},
    [THING_VARIABLE] = {CATEGORY_COUNT, CATEGORY_COUNT},
};

static const struct spot nowhere;

/* Is what it belongs to in the other one too? Else that has said so already. */
static bool
has_owner(const struct content *other, const struct thing *thing)
{
    return thing->of == NULL || content_find(other, thing->of) != NULL;
}

static void
tell_whole(struct change_list *list, const struct thing *thing, bool came)
{
    enum category category = came ? of_kind[thing->kind].came : of_kind[thing->kind].went;
    struct affected affected = {thing->name, came ? nowhere : thing->spot, came ? thing->spot : nowhere};
    struct change change = {.category = category};
    if (category != CATEGORY_COUNT)
        change_add(list, &change, &affected);
}

/* ---- one fact ---- */

/* Less, more, or neither. */
static enum category
category_of(const struct change_row *row, const struct fact *old, const struct fact *new)
{
    if (new->routes)
        return CATEGORY_route_changed;
    if (!old->counted) {
        bool came = old->text == NULL, went = new->text == NULL;
        return came ? row->more : went ? row->less : row->other;
    }
    u64 before = old->number, after = new->number;
    if (row->unlimited) {
        before = before == 0 ? UINT64_MAX : before;
        after = after == 0 ? UINT64_MAX : after;
    }
    return after > before ? row->more : after < before ? row->less : row->other;
}

static bool
is_same(const struct fact *old, const struct fact *new)
{
    if (old->text == NULL || new->text == NULL)
        return old->text == new->text;
    bool same_text = strcmp(old->text, new->text) == 0; /* of a setting, whose rank is not all it says */
    return old->counted ? old->number == new->number && (same_text || old->section < SECTION_SETTING) : same_text;
}

/* A value for people: what no limit or nothing is called. */
static const char *
show_value(const struct change_row *row, const struct fact *fact)
{
    if (row->unlimited && fact->counted && fact->number == 0)
        return "no limit";
    return fact->text != NULL ? fact->text : row->none;
}

struct comparison {
    struct change_list *list;
    const struct content *before, *after;
};

static void
tell(const struct comparison *comparison, const struct thing *thing, const struct fact *old, const struct fact *new)
{
    struct arena *arena = comparison->list->arena;
    struct change_row row = change_row(new);
    if (row.silent)
        return;
    struct affected affected = {thing->name, old->spot, new->spot};
    struct change change = {.category = category_of(&row, old, new)};
    change.what = change_name(arena, &row, new->field);
    if (new->entry != NULL)
        change.what = *change.what == '\0' ? new->entry : arena_print(arena, "%s %s", change.what, new->entry);
    change.old = show_value(&row, old);
    change.new = show_value(&row, new);
    change_add(comparison->list, &change, &affected);
}

/* first was before second, and is behind it now. */
static void
tell_order(const struct comparison *comparison, enum category category, const struct affected *affected,
           const char *first, const char *second)
{
    struct arena *arena = comparison->list->arena;
    struct change change = {.category = category, .what = "order"};
    change.old = arena_print(arena, "%s before %s", first, second);
    change.new = arena_print(arena, "%s before %s", second, first);
    change_add(comparison->list, &change, affected);
}

/* Of two tables of addresses, each network for which they differ. */
static void
tell_ranges(const struct comparison *comparison, const struct thing *thing, const struct fact *old,
            const struct fact *new)
{
    struct vector found = {0};
    range_compare(comparison->before, (u32)old->number, comparison->after, (u32)new->number, &found);
    const struct range_change *range = found.item;
    for (u32 i = 0; i < found.count; i++) {
        struct fact before = *old, after = *new;
        before.text = range[i].old;
        after.text = range[i].new;
        after.entry = range[i].range;
        tell(comparison, thing, &before, &after);
    }
}

static void
compare_fact(const struct comparison *comparison, const struct thing *thing, const struct fact *old,
             const struct fact *new)
{
    if (new->field->section == SECTION_geo)
        tell_ranges(comparison, thing, old, new);
    else if (!is_same(old, new))
        tell(comparison, thing, old, new);
}

/* ---- one thing ---- */

/* What other says of it, if it is nothing: a field is 0 then, "off", or the first of its words. */
static struct fact
nothing_like(const struct content *content, const struct thing *other, const struct fact *fact)
{
    struct fact none = *fact;
    bool has = other->sections >> fact->section & 1, zero = fact->counted || fact->field->rule == RULE_ENUM;
    none.text = NULL;
    if (fact->bit != 0)
        none.text = "off";
    else if (zero && fact->entry == NULL)
        none.text = description_of_field(content, content_record(content, fact->section, 0), fact->field);
    none.number = 0;
    none.spot = has && fact->entry == NULL ? other->spot : nowhere;
    return none;
}

/* Shall a fact be told that has no opposite, because the other thing has no such record? Its defaults are no news. */
static bool
is_news(const struct thing *other, const struct fact *fact)
{
    bool has = other->sections >> fact->section & 1;
    return has || (!fact->counted && fact->field->rule != RULE_ENUM && change_row(fact).more == CATEGORY_route_changed);
}

/* Do entries of a list that are in both follow each other otherwise? */
static void
compare_order(const struct comparison *comparison, const struct thing *old, const struct thing *new)
{
    const struct fact *fact = new->facts.item, *latest = NULL;
    for (u32 i = 0; i < new->facts.count; i++) {
        if (fact[i].entry == NULL || !change_is_ordered(fact[i].field->section))
            continue;
        const struct fact *before = content_fact(comparison->before, old, &fact[i]);
        if (before == NULL)
            continue;
        struct affected affected = {new->name, before->spot, fact[i].spot};
        enum category category = fact[i].routes ? CATEGORY_route_changed : change_row(&fact[i]).other;
        if (latest != NULL && latest->field == before->field && before < latest)
            tell_order(comparison, category, &affected, before->entry, latest->entry);
        latest = before;
    }
}

static void
compare_things(const struct comparison *comparison, const struct thing *old, const struct thing *new)
{
    const struct fact *fact = new->facts.item;
    for (u32 i = 0; i < new->facts.count; i++) {
        const struct fact *before = content_fact(comparison->before, old, &fact[i]);
        struct fact none = nothing_like(comparison->before, old, &fact[i]);
        if (before != NULL || is_news(old, &fact[i]))
            compare_fact(comparison, new, before != NULL ? before : &none, &fact[i]);
    }
    fact = old->facts.item;
    for (u32 i = 0; i < old->facts.count; i++) {
        struct fact none = nothing_like(comparison->after, new, &fact[i]);
        if (content_fact(comparison->after, new, &fact[i]) == NULL && is_news(new, &fact[i]))
            compare_fact(comparison, new, &fact[i], &none);
    }
    compare_order(comparison, old, new);
}

/* Do things that belong to the same follow each other otherwise? latest: the one that was before new, in the old. */
static void
compare_place(const struct comparison *comparison, const struct thing *latest, const struct thing *old,
              const struct thing *new)
{
    if (new->of == NULL || latest == NULL || latest->of == NULL || strcmp(latest->of, new->of) != 0 ||
        latest->place < old->place)
        return;
    struct affected affected = {new->of, old->spot, new->spot};
    enum category category = new->kind == THING_PEER ? CATEGORY_peer_changed : CATEGORY_route_changed;
    tell_order(comparison, category, &affected, old->own, latest->own);
}

void
difference(struct change_list *list, const struct blob *old, const struct vector *old_settings,
           const struct blob *new, const struct vector *new_settings)
{
    struct content before, after;
    content_open(&before, list->arena, old, old_settings);
    content_open(&after, list->arena, new, new_settings);
    const struct comparison comparison = {list, &before, &after};
    struct thing **thing = after.things.item;
    const struct thing *latest = NULL;
    for (u32 i = 0; i < after.things.count; i++) {
        const struct thing *same = content_find(&before, thing[i]->name);
        if (same != NULL) {
            compare_things(&comparison, same, thing[i]);
            compare_place(&comparison, latest, same, thing[i]);
            latest = same;
        } else if (has_owner(&before, thing[i])) {
            tell_whole(list, thing[i], true);
        }
    }
    thing = before.things.item;
    for (u32 i = 0; i < before.things.count; i++)
        if (content_find(&after, thing[i]->name) == NULL && has_owner(&after, thing[i]))
            tell_whole(list, thing[i], false);
}
