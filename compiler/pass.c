/*
 * pass: judged nodes in, records out. Where an address leads is known when all servers have been read; then it is held
 * against what is listened on, and followed to see whether it ever gets anywhere.
 */
#include "judge.h"

/* A pass whose address is in the configuration. */
struct passing {
    const struct node *node;
    struct address address;
    u32 record;
};

u32
pass_compile(struct unit *unit, struct node *node)
{
    struct blob_pass record = {0};
    struct passing passing = {.node = node};
    struct word *word = &node->word[1];
    if (expr_is_dynamic(word)) {
        record.value = expr_compile(unit, word);
    } else {
        if (value_address(word->text, false, &passing.address) != ADDRESS_OK || passing.address.family == FAMILY_NONE)
            return 0;
        record.address = listen_address(unit, &passing.address, passing.address.port, word->span);
    }
    passing.record = image_add(unit, SECTION_pass, &record, node->word[0].span);
    if (record.value == 0)
        *(struct passing *)vector_add(&unit->arena, &unit->passes, sizeof passing) = passing;
    return passing.record;
}

static void
find_listener(struct unit *unit, const struct passing *passing)
{
    const struct word *word = &passing->node->word[1];
    struct blob_pass *record = image_at(unit, SECTION_pass, passing->record);
    if (listen_find(unit, &passing->address, &record->listener, &record->endpoint) || judge_is_lenient(unit))
        return;
    diag(unit, pass_nowhere, word->span, judge_show(unit, word));
    struct nearest nearest = {.word = word->text};
    listen_nearest(unit, &nearest);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

/* The pass that a session which is passed on by record comes to next, for sure; 0: none. */
static u32
next_of(struct unit *unit, u32 record)
{
    const struct blob_pass *pass = image_at(unit, SECTION_pass, record);
    const struct blob_endpoint *endpoint = image_at(unit, SECTION_endpoint, pass->endpoint);
    if (pass->endpoint == 0 || endpoint->names != 0)
        return 0;
    return ((const struct blob_server *)image_at(unit, SECTION_server, endpoint->server))->pass;
}

static void
find_loop(struct unit *unit, const struct passing *passing)
{
    u32 at = passing->record;
    for (u32 i = 0; i < PASS_MOST && at != 0; i++)
        at = next_of(unit, at);
    if (at == 0)
        return;
    const struct word *word = &passing->node->word[1];
    diag(unit, pass_loop, word->span, judge_show(unit, word), PASS_MOST);
}

void
pass_finish(struct unit *unit)
{
    const struct passing *passing = unit->passes.item;
    for (u32 i = 0; i < unit->passes.count; i++)
        find_listener(unit, &passing[i]);
    for (u32 i = 0; i < unit->passes.count; i++)
        find_loop(unit, &passing[i]);
}
