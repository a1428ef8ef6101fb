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
    [THING_GROUP] = {CATEGORY_COUNT, CATEGORY_COUNT},
    [THING_PEER] = {CATEGORY_peer_added, CATEGORY_peer_removed},
    [THING_VARIABLE_OF] = {CATEGORY_COUNT, CATEGORY_COUNT},
};

static const struct spot nowhere;

/* Is the group of a server that came or went in both? Else whoever uses the group says so. */
static bool
has_group(const struct content *other, const struct thing *peer)
{
    const char *group = strstr(peer->name, " of ");
    return peer->kind != THING_PEER || group == NULL || content_find(other, group + strlen(" of ")) != NULL;
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

static const struct fact *
find_fact(const struct thing *thing, const struct fact *like)
{
    const struct fact *fact = thing->facts.item;
    for (u32 i = 0; i < thing->facts.count; i++)
        if (fact[i].field == like->field && fact[i].section == like->section && fact[i].bit == like->bit)
            return &fact[i];
    return NULL;
}

/* Less, more, or neither. */
static enum category
category_of(const struct change_row *row, const struct fact *old, const struct fact *new)
{
    if (!old->counted) {
        bool came = old->text == NULL, went = new->text == NULL;
        return came ? row->more : went ? row->less : row->other;
    }
    u64 before = old->number, after = new->number;
    if (row->unlimited) {
        before = before == 0 ? UINT64_MAX : before;
        after = after == 0 ? UINT64_MAX : after;
    }
    return after > before ? row->more : row->less;
}

static bool
is_same(const struct fact *old, const struct fact *new)
{
    if (old->counted)
        return old->number == new->number;
    return old->text == NULL || new->text == NULL ? old->text == new->text : strcmp(old->text, new->text) == 0;
}

static void
compare_fact(struct change_list *list, const struct thing *thing, const struct fact *old, const struct fact *new)
{
    if (is_same(old, new))
        return;
    struct change_row row = change_row(new);
    bool unlimited = row.unlimited && new->counted;
    struct affected affected = {thing->name, old->spot, new->spot};
    struct change change = {.category = category_of(&row, old, new)};
    change.what = change_name(list->arena, &row, new->field);
    change.old = unlimited && old->number == 0 ? "no limit" : old->text;
    change.new = unlimited && new->number == 0 ? "no limit" : new->text;
    change_add(list, &change, &affected);
}

/* A fact that only one has is of a record that the other has not: it says nothing against an empty one. */
static void
compare_things(struct change_list *list, const struct thing *old, const struct thing *new)
{
    const struct fact *fact = new->facts.item;
    for (u32 i = 0; i < new->facts.count; i++) {
        const struct fact *before = find_fact(old, &fact[i]);
        struct fact none = {.counted = fact[i].counted, .text = fact[i].counted ? "0" : NULL};
        compare_fact(list, new, before != NULL ? before : &none, &fact[i]);
    }
    fact = old->facts.item;
    for (u32 i = 0; i < old->facts.count; i++) {
        struct fact none = fact[i];
        none.text = fact[i].counted ? "0" : NULL;
        none.number = 0;
        none.spot = nowhere;
        if (find_fact(new, &fact[i]) == NULL)
            compare_fact(list, new, &fact[i], &none);
    }
}

void
difference(struct change_list *list, const struct blob *old, const struct blob *new)
{
    struct content before, after;
    content_open(&before, list->arena, old);
    content_open(&after, list->arena, new);
    struct thing **thing = after.things.item;
    for (u32 i = 0; i < after.things.count; i++) {
        const struct thing *same = content_find(&before, thing[i]->name);
        if (same != NULL)
            compare_things(list, same, thing[i]);
        else if (has_group(&before, thing[i]))
            tell_whole(list, thing[i], true);
    }
    thing = before.things.item;
    for (u32 i = 0; i < before.things.count; i++)
        if (content_find(&after, thing[i]->name) == NULL && has_group(&after, thing[i]))
            tell_whole(list, thing[i], false);
}
