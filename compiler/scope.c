/*
 * What holds where: the directives of one block by row, the blocks around it, and the fields of records in which
 * their values land. Inheritance is here and nowhere else.
 */
#include "spcc.h"

#include <string.h>

struct node *
scope_add(struct scope *scope, struct node *node)
{
    size_t id = (size_t)(node->row - directives);
    struct node *earlier = scope->of[id];
    if (earlier == NULL)
        scope->of[id] = node;
    else
        scope->last[id]->again = node;
    scope->last[id] = node;
    node->again = NULL;
    return earlier;
}

void
scope_fill(struct scope *scope, const struct scope *outer, struct node *block)
{
    memset(scope, 0, sizeof *scope);
    scope->outer = outer;
    for (struct node *node = block->first; node != NULL; node = node->next)
        if (node->row != NULL)
            scope_add(scope, node);
}

struct node *
scope_nearest(const struct scope *scope, const struct directive *row)
{
    struct node *node = scope->of[row - directives];
    while (node == NULL && row->flows != FLOW_NONE && (scope = scope->outer) != NULL)
        node = scope->of[row - directives];
    return node;
}

static const struct blob_field *
field_of(const struct landing *into)
{
    const struct blob_section *section = &blob_sections[into->section];
    for (u32 i = 0; i < section->field_count; i++)
        if (section->field[i].offset == into->offset)
            return &section->field[i];
    return NULL;
}

u64
land_most(const struct landing *into)
{
    const struct blob_field *field = into->section != 0 ? field_of(into) : NULL;
    return field != NULL && field->max > 0 ? field->max : INT64_MAX;
}

void
land(void *record, const struct landing *into, u32 bit, u64 value)
{
    u8 *field = (u8 *)record + into->offset;
    u64 old = 0;
    if (bit != 0) {
        memcpy(&old, field, into->size);
        value = value != 0 ? old | bit : old & ~(u64)bit;
    }
    memcpy(field, &value, into->size);
}

/* The value that a row has in scope: what is written, or what its absence means. */
static u64
value_of(struct unit *unit, const struct scope *scope, const struct directive *row)
{
    const struct node *node = scope_nearest(scope, row);
    if (node != NULL && node->broken)
        return 0;
    if (row->takes[0].kind == TAKE_TEXT)
        return node != NULL ? image_text(unit, node->word[1].text, node->word[1].size) : 0;
    if (node != NULL)
        return node->value;
    u64 value = 0;
    if (row->absent != NULL)
        argument_value(unit, &row->takes[0], row->name, row->absent, (struct span){0}, 0, UINT64_MAX, &value);
    return value;
}

void
scope_land(struct unit *unit, const struct scope *scope, enum section section, void *record)
{
    for (u32 i = 0; i < DIRECTIVE_COUNT; i++)
        if (directives[i].into.section == section && directives[i].support == SUPPORT_FULL)
            land(record, &directives[i].into, directives[i].bit, value_of(unit, scope, &directives[i]));
}
