/*
 * Which variables of a blob's configuration decide where its sessions go: those that the target of a proxy is made
 * from, and those that they are made from in turn.
 */
#include "difference.h"

enum { DEPTH_MAX = 8 }; /* of records, from an assignment or a slot to the slots that it is made from */

struct search {
    const struct content *content;
    bool *routes, *followed; /* by slot */
};

static bool
leads_on(const struct blob_field *field)
{
    return (field->rule == RULE_REF || field->rule == RULE_NEED || field->rule == RULE_SPAN) &&
           field->section != SECTION_text && field->section != SECTION_server && field->section != SECTION_bucket;
}

/* Mark the slots behind the references of a record; those behind these have their turn later. */
static void
mark(struct search *search, u32 section, u32 index, u32 depth)
{
    const struct blob_section *shape = &blob_sections[section];
    const u8 *record = content_record(search->content, section, index);
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        u32 first = (u32)blob_get(record, field);
        u32 count = field->rule == RULE_SPAN ? (u32)blob_get(record, field + 1) : 1;
        if (!leads_on(field) || first == 0 || depth == DEPTH_MAX)
            continue;
        for (u32 j = first; j < first + count; j++)
            if (field->section == SECTION_slot)
                search->routes[j] = true;
            else
                mark(search, field->section, j, depth + 1);
    }
}

/* Follow those that are marked and were not followed yet; false: there was none. */
static bool
follow(struct search *search)
{
    const struct blob *blob = search->content->blob;
    bool found = false;
    for (u32 i = blob->slot_count; i-- > 1;) { /* each is made from those before it */
        if (!search->routes[i] || search->followed[i])
            continue;
        search->followed[i] = found = true;
        mark(search, SECTION_slot, i, 0);
    }
    for (u32 i = 1; found && i < blob->assignment_count; i++)
        if (search->routes[blob->assignment[i].slot])
            mark(search, SECTION_expr, blob->assignment[i].value, 0);
    return found;
}

bool *
route_find(const struct content *content)
{
    const struct blob *blob = content->blob;
    struct search search = {.content = content};
    search.routes = arena_take(content->arena, blob->slot_count);
    search.followed = arena_take(content->arena, blob->slot_count);
    for (u32 i = 1; i < blob->proxy_count; i++)
        mark(&search, SECTION_expr, blob->proxy[i].target, 0);
    while (follow(&search))
        ;
    return search.routes;
}
