/*
 * Variables that the configuration declares: names in, slot records out, each made when it is first used and after
 * those that it is computed from; so the slots of an expression are always below the one it belongs to. What is
 * declared and never used costs nothing. How a table becomes records is the affair of the file of its directive.
 */
#include "judge.h"

#include <string.h>

/* How the block of a directive becomes the record of its variable. False: it does not, and that was reported. */
struct table {
    enum directive_id id;
    bool (*compile)(struct unit *unit, struct node *node, struct blob_slot *slot);
};

static const struct table tables[] = {
    {DIRECTIVE_map, map_compile},
    {DIRECTIVE_num_map, map_compile_numbers},
    {DIRECTIVE_geo, geo_compile},
    {DIRECTIVE_split_clients, split_compile},
    {DIRECTIVE_COUNT, NULL}, /* the last */
};

static bool
compile_table(struct unit *unit, struct node *node, struct blob_slot *record)
{
    const struct table *table = tables;
    while (table->compile != NULL && node->row != &directives[table->id])
        table++;
    return table->compile != NULL && !node->broken && table->compile(unit, node, record);
}

static bool
compile_symbol(struct unit *unit, const struct symbol *symbol, struct blob_slot *record)
{
    switch (symbol->kind) {
    case VARIABLE_SET:
        record->kind = SLOT_SET;
        return true;
    case VARIABLE_CAPTURE:
        record->kind = SLOT_CAPTURE;
        return true;
    case VARIABLE_TABLE:
        return compile_table(unit, symbol->node, record);
    default:
        return false;
    }
}

u32
slot_find(struct unit *unit, const char *name)
{
    struct symbol *symbol = variable_find(unit, name, strlen(name));
    if (symbol == NULL || symbol->tried || symbol->deep)
        return symbol == NULL ? 0 : symbol->slot; /* one that is being compiled depends on itself: reported */
    struct blob_slot record = {.name = image_text(unit, symbol->name, strlen(symbol->name))};
    symbol->tried = true;
    if (compile_symbol(unit, symbol, &record))
        symbol->slot = image_add(unit, SECTION_slot, &record, symbol->span);
    return symbol->slot;
}

/* ---- set ---- */

void
slot_compile_sets(struct unit *unit, const struct scope *scope, u32 *first, u32 *count)
{
    struct vector made = {0};
    for (struct node *node = scope->of[DIRECTIVE_set]; node != NULL; node = node->again) {
        if (node->broken || node->word[1].size < 2)
            continue;
        struct blob_assignment record = {slot_find(unit, node->word[1].text + 1), expr_compile(unit, &node->word[2])};
        if (record.slot != 0)
            *(struct blob_assignment *)vector_add(&unit->arena, &made, sizeof record) = record;
    }
    *first = made.count > 0 ? image_count(unit, SECTION_assignment) : 0;
    *count = made.count;
    for (u32 i = 0; i < made.count; i++)
        image_add(unit, SECTION_assignment, (struct blob_assignment *)made.item + i,
                  scope->of[DIRECTIVE_set]->word[0].span);
}
