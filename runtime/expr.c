/*
 * Values: the ops of an expression run in order, each appending its text to an output of the caller's. What does not
 * fit is counted and not written, so that the caller sees it and can refuse. As in nginx, slots are computed before
 * anything is written: then all of them are known, and captures are those of the last match.
 */
#include "spcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
output_put(struct output *out, const void *data, size_t size)
{
    if (size > 0 && out->used + size <= out->size)
        memcpy(out->text + out->used, data, size);
    out->used += size;
}

void
output_print(struct output *out, const char *format, ...)
{
    char text[ADDRESS_TEXT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    output_put(out, text, length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static bool
put_value(struct value value, struct output *out)
{
    if (value.state == VALUE_LOST)
        out->used = out->size + 1;
    else if (value.state == VALUE_FOUND)
        output_put(out, value.text, value.size);
    return value.state == VALUE_FOUND || value.state == VALUE_LOST;
}

bool
expr_op(struct session *s, const struct blob_op *op, struct output *out)
{
    switch (op->kind) {
    case OP_TEXT:
        output_put(out, blob_string(s->shard->blob, op->text), op->text_size);
        return true;
    case OP_VARIABLE:
        return variable_put(s, op->variable, out);
    case OP_SLOT:
        return put_value(slot_value(s, op->slot), out);
    case OP_TLV:
        return introduction_put_tlv(s, op->tlv, out);
    case OP_CAPTURE:
        return put_value(capture_value(s, op->capture), out);
    default:
        return false;
    }
}

void
expr_ready(struct session *s, const struct blob_expr *expr)
{
    const struct blob_op *op = &s->shard->blob->op[expr->op];
    for (u32 i = 0; i < expr->op_count; i++)
        if (op[i].kind == OP_SLOT)
            slot_value(s, op[i].slot);
}

void
expr_put(struct session *s, const struct blob_expr *expr, struct output *out)
{
    const struct blob_op *op = &s->shard->blob->op[expr->op];
    for (u32 i = 0; i < expr->op_count; i++)
        if (op[i].kind == OP_SLOT)
            put_value(s->values->slot[op[i].slot], out);
        else
            expr_op(s, &op[i], out);
}

size_t
expr_run(struct session *s, const struct blob_expr *expr, u8 *text, size_t size)
{
    struct output out = {text, size, 0};
    expr_ready(s, expr);
    expr_put(s, expr, &out);
    return out.used;
}

bool
expr_text(struct session *s, const struct blob_expr *expr, char *text, size_t size)
{
    size_t used = expr_run(s, expr, (u8 *)text, size - 1);
    text[used < size ? used : 0] = '\0';
    return strlen(text) == used;
}
