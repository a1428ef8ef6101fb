/*
 * split_clients {}: judged nodes in, a slot with its shares out. As in nginx a share ends at a whole multiple of
 * 2^32 / 10,000, rounded down, for each hundredth of a percent.
 */
#include "spcc.h"

#include <string.h>

bool
split_compile(struct unit *unit, struct node *node, struct blob_slot *slot)
{
    struct vector shares = {0};
    u32 below = 0;
    slot->kind = SLOT_SPLIT;
    slot->source = expr_compile(unit, &node->word[1]);
    for (const struct node *entry = node->first; entry != NULL; entry = entry->next) {
        u64 part = 0;
        if (entry->broken || entry->block || entry->word_count != 2)
            continue;
        if (value_percent(entry->word[0].text, entry->word[0].size, &part) == READ_OK)
            below += UINT32_MAX / 10000 * (u32)part;
        struct blob_share record = {part != 0 ? below : 0, map_text(unit, &entry->word[1])};
        *(struct blob_share *)vector_add(&unit->arena, &shares, sizeof record) = record;
    }
    slot->share = shares.count > 0 ? image_count(unit, SECTION_share) : 0;
    slot->share_count = shares.count;
    for (u32 i = 0; i < shares.count; i++)
        image_add(unit, SECTION_share, (struct blob_share *)shares.item + i, node->word[0].span);
    return slot->source != 0;
}
