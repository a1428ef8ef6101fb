/*
 * Variables that the configuration declares, as one session sees them: computed when they are first asked for, kept
 * until the session ends. A value is bytes of the blob where it can be, else of the session's own text area.
 */
#include "spcd.h"

#include <string.h>

/* ---- the session's memory for values ---- */

size_t
values_size(const struct blob *blob)
{
    return sizeof(struct values) + blob->slot_count * sizeof(struct value) + VALUES_TEXT;
}

/* Made with the first value: most sessions have none. There is one for each session of the shard. */
struct values *
values_of(struct session *s)
{
    if (s->values)
        return s->values;
    s->values = slab_take(&s->shard->values);
    memset(s->values, 0, sizeof *s->values + s->shard->blob->slot_count * sizeof(struct value));
    return s->values;
}

/* The text of the header is all that stays, so it moves to the front. */
void
values_restart(struct session *s)
{
    struct values *values = values_of(s);
    const u32 count = s->shard->blob->slot_count;
    u8 *text = (u8 *)&values->slot[count];
    values->used = values->preamble.tlv.size;
    if (values->used)
        memmove(text, values->preamble.tlv.text, values->used);
    values->preamble.tlv.text = text;
    values->hello = (struct hello){0};
    values->mqtt = (struct mqtt){0};
    values->host = (struct value){0};
    memset(values->capture, 0, sizeof values->capture);
    memset(values->slot, 0, count * sizeof *values->slot);
}

static struct output
room(struct session *s)
{
    struct values *values = values_of(s);
    u8 *text = (u8 *)&values->slot[s->shard->blob->slot_count];
    return (struct output){text + values->used, VALUES_TEXT - values->used, 0};
}

static struct value
keep(struct session *s, const struct output *out)
{
    if (out->used > out->size) {
        s->shard->worker->counter[COUNTER_values_lost]++;
        session_log(s, LEVEL_ERROR, 0, "the variables of the session have more than %u bytes", VALUES_TEXT);
        return (struct value){.state = VALUE_LOST};
    }
    s->values->used += (u32)out->used;
    return (struct value){out->text, (u32)out->used, VALUE_FOUND};
}

struct value
value_keep(struct session *s, const void *text, size_t size)
{
    struct output out = room(s);
    output_put(&out, text, size);
    return keep(s, &out);
}

struct value
expr_keep(struct session *s, const struct blob_expr *expr)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_op *op = &blob->op[expr->op];
    if (expr->op_count == 0)
        return (struct value){(const u8 *)"", 0, VALUE_FOUND};
    if (expr->op_count == 1 && op->kind == OP_TEXT)
        return (struct value){(const u8 *)blob_string(blob, op->text), op->text_size, VALUE_FOUND};
    expr_ready(s, expr); /* what that keeps lies where the output would begin now */
    struct output out = room(s);
    expr_put(s, expr, &out);
    return keep(s, &out);
}

/* ---- slots ---- */

/* One that no set of this server has been given: nginx takes it for an empty one. */
static struct value
unset(struct session *s, const struct blob_slot *slot)
{
    (void)s, (void)slot;
    return (struct value){(const u8 *)"", 0, VALUE_FOUND};
}

/* One of an expression that has not matched. */
static struct value
unmatched(struct session *s, const struct blob_slot *slot)
{
    (void)s, (void)slot;
    return (struct value){.state = VALUE_ABSENT};
}

static struct value (*const compute[])(struct session *, const struct blob_slot *) = {
    [SLOT_SET] = unset,
    [SLOT_CAPTURE] = unmatched,
    [SLOT_MAP] = map_find,
    [SLOT_NUM_MAP] = map_find_number,
    [SLOT_GEO] = geo_find,
    [SLOT_SPLIT] = split_find,
};

struct value
slot_value(struct session *s, u32 slot)
{
    const struct blob_slot *record = &s->shard->blob->slot[slot];
    struct value *kept = &values_of(s)->slot[slot];
    if (kept->state == VALUE_UNKNOWN || record->flags & SLOT_VOLATILE)
        *kept = compute[record->kind](s, record);
    return *kept;
}

void
slot_assign(struct session *s)
{
    const struct blob *blob = s->shard->blob;
    for (u32 i = 0; i < s->server->assignment_count; i++) {
        const struct blob_assignment *assignment = &blob->assignment[s->server->assignment + i];
        struct value value = expr_keep(s, &blob->expr[assignment->value]);
        values_of(s)->slot[assignment->slot] = value;
    }
}

struct value
capture_value(struct session *s, u32 number)
{
    return s->values ? s->values->capture[number] : (struct value){.state = VALUE_ABSENT};
}
