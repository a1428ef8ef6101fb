/*
 * Values with variables: a word in, ops out.
 *
 *     "hello $remote_addr\n"   text "hello ", variable remote_addr, text "\n"
 *
 * As in nginx, letter case does not matter in the name of a variable.
 */
#include "spcc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const ours[] = {
#define VARIABLE(name, says) #name,
#include "variables.def"
#undef VARIABLE
};

static const char *const later[] = {
#define VARIABLE_LATER(name) #name,
#include "variables.def"
#undef VARIABLE_LATER
};

enum { OURS = sizeof ours / sizeof *ours, LATER_COUNT = sizeof later / sizeof *later };

/* What follows this is the name of a TLV of the PROXY protocol, or its number. */
static const char tlv_prefix[] = "proxy_protocol_tlv_";

static const struct {
    const char *name;
    u32 type;
} tlvs[] = {
#define VARIABLE_TLV(name, type) {#name, type},
#include "variables.def"
#undef VARIABLE_TLV
};

/* No header has the latter: as in nginx, a TLV that there cannot be is always empty. */
enum { TLV_OF_TLS = 0x20, TLV_NEVER = 0xffff };

static bool
is_tlv(const char *name)
{
    return strncasecmp(name, tlv_prefix, strlen(tlv_prefix)) == 0;
}

/* "0x2a" */
static u32
read_type(const char *text)
{
    char *end;
    unsigned long type = strncasecmp(text, "0x", 2) == 0 ? strtoul(text + 2, &end, 16) : TLV_NEVER;
    return type <= 0xff && end > text + 2 && *end == '\0' ? (u32)type : TLV_NEVER;
}

/* The type of the TLV that name is the variable of. */
static u32
find_tlv(const char *name)
{
    name += strlen(tlv_prefix);
    for (size_t i = 0; i < sizeof tlvs / sizeof *tlvs; i++)
        if (strcasecmp(tlvs[i].name, name) == 0)
            return tlvs[i].type;
    if (strncasecmp(name, "ssl_", 4) != 0)
        return read_type(name);
    u32 type = read_type(name + 4);
    return type == 0 || type == TLV_NEVER ? TLV_NEVER : TLV_OF_TLS << 8 | type;
}

static bool
is_later(const char *name)
{
    bool is = false;
    for (u32 i = 0; i < LATER_COUNT && !is; i++)
        is = strcasecmp(later[i], name) == 0;
    return is;
}

/* The number of our variable, 0 for none. */
static u32
find_ours(const char *name)
{
    for (u32 i = 0; i < OURS; i++)
        if (strcasecmp(ours[i], name) == 0)
            return VARIABLE_none + 1 + i;
    return 0;
}

bool
expr_is_builtin(const char *name)
{
    return find_ours(name) != 0 || is_tlv(name) || is_later(name);
}

bool
expr_is_dynamic(const struct word *word)
{
    return memchr(word->text, '$', word->size) != NULL;
}

/* ---- variables in text ---- */

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A variable that spcd cannot give: judge_variable.c has reported it if there is none of that name. */
static void
say_later(struct unit *unit, struct span span, const char *name)
{
    const char *key = lower_case(unit, name);
    bool declared = map_find(&unit->variables, key, strlen(key)) != 0;
    if (declared && (unit->tolerant || diag_failed(unit)))
        return; /* what declares it was named, or what is wrong there */
    if (declared || is_later(name))
        later_say(unit, span, arena_print(&unit->arena, "the variable %s", show(unit, name, strlen(name))),
                  arena_print(&unit->arena, "$%s", key));
}

/* The op for the variable whose name it is. False: there is none, and it was reported. */
static bool
find_variable(struct unit *unit, struct span span, const char *name, struct blob_op *op)
{
    u32 slot = slot_find(unit, name), variable = slot != 0 ? 0 : find_ours(name);
    bool tlv = slot == 0 && variable == 0 && is_tlv(name);
    *op = (struct blob_op){.slot = slot, .variable = variable, .tlv = tlv ? find_tlv(name) : 0};
    op->kind = slot != 0 ? OP_SLOT : variable != 0 ? OP_VARIABLE : OP_TLV;
    if (slot == 0 && variable == 0 && !tlv)
        say_later(unit, span, name);
    return slot != 0 || variable != 0 || tlv;
}

/* The variable whose "$" is at at, as an op; and its end. False: reported. */
static bool
read_variable(struct unit *unit, const struct word *word, u32 at, u32 *end, struct blob_op *op)
{
    bool braces = word->text[at + 1] == '{';
    u32 start = at + 1 + braces, stop = start;
    if (!braces && word->text[stop] >= '1' && word->text[stop] <= '9') {
        *end = stop + 1; /* a capture has one digit, whatever follows */
        *op = (struct blob_op){.kind = OP_CAPTURE, .capture = (u32)(word->text[stop] - '0')};
        return true;
    }
    while (is_name(word->text[stop]))
        stop++;
    *end = stop + braces;
    if (braces && word->text[stop] != '}') {
        *end = stop;
        diag(unit, variable_brace, word_part(word, at, stop));
        return false;
    }
    if (stop == start) {
        diag(unit, variable_name, word_part(word, at, *end));
        return false;
    }
    return find_variable(unit, word_part(word, at, *end), arena_text(&unit->arena, word->text + start, stop - start),
                         op);
}

static void
add_text(struct unit *unit, struct vector *ops, const char *text, u32 size)
{
    if (size == 0)
        return;
    struct blob_op *op = vector_add(&unit->arena, ops, sizeof *op);
    *op = (struct blob_op){.kind = OP_TEXT, .text = image_text(unit, text, size), .text_size = size};
}

/* The first slot that is beyond all those that the ops name. */
static u32
below(const struct vector *ops)
{
    const struct blob_op *op = ops->item;
    u32 limit = 0;
    for (u32 i = 0; i < ops->count; i++)
        if (op[i].slot != 0 && op[i].slot >= limit)
            limit = op[i].slot + 1;
    return limit;
}

static u32
add_expr(struct unit *unit, const struct vector *ops, struct span span)
{
    struct blob_expr record = {.op = ops->count > 0 ? image_count(unit, SECTION_op) : 0, .op_count = ops->count};
    record.below = below(ops);
    for (u32 i = 0; i < ops->count; i++)
        image_add(unit, SECTION_op, (struct blob_op *)ops->item + i, span);
    return image_add(unit, SECTION_expr, &record, span);
}

/* The ops of a word from start on. False: it was reported why not. */
static bool
add_ops(struct unit *unit, const struct word *word, u32 from, struct vector *ops)
{
    bool good = true;
    for (u32 at = from; at < word->size;) {
        if (word->text[at] != '$') {
            at++;
            continue;
        }
        struct blob_op op;
        add_text(unit, ops, word->text + from, at - from);
        good &= read_variable(unit, word, at, &at, &op);
        from = at;
        *(struct blob_op *)vector_add(&unit->arena, ops, sizeof op) = op;
    }
    add_text(unit, ops, word->text + from, word->size - from);
    return good;
}

u32
expr_compile_part(struct unit *unit, const struct word *word, u32 start)
{
    struct vector ops = {0};
    return add_ops(unit, word, start, &ops) ? add_expr(unit, &ops, word->span) : 0;
}

u32
expr_compile(struct unit *unit, const struct word *word)
{
    return expr_compile_part(unit, word, 0);
}

u32
expr_compile_words(struct unit *unit, const struct word *word, u32 count)
{
    struct vector ops = {0};
    bool good = true;
    for (u32 i = 0; i < count; i++)
        good &= add_ops(unit, &word[i], 0, &ops);
    return good && count > 0 ? add_expr(unit, &ops, word->span) : 0;
}

/* ---- an object of JSON ---- */

/* Those whose value is one number, if there is one; lists of upstream servers are none. */
static bool
is_number(u32 variable)
{
    static const u32 numbers[] = {
        VARIABLE_remote_port, VARIABLE_server_port, VARIABLE_connection, VARIABLE_pid, VARIABLE_msec,
        VARIABLE_bytes_received, VARIABLE_bytes_sent, VARIABLE_session_time, VARIABLE_status,
        VARIABLE_proxy_protocol_port, VARIABLE_proxy_protocol_server_port, VARIABLE_realip_remote_port,
    };
    bool is = false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !is; i++)
        is = numbers[i] == variable;
    return is;
}

/* As it stands between the quotes of JSON. */
static const char *
json_text(struct unit *unit, const char *text, u32 size)
{
    char *escaped = arena_take(&unit->arena, size * sizeof "\\u0000"), *at = escaped;
    for (u32 i = 0; i < size; i++)
        if ((u8)text[i] < ' ')
            at += sprintf(at, "\\u%04x", text[i]);
        else
            at += sprintf(at, text[i] == '"' || text[i] == '\\' ? "\\%c" : "%c", text[i]);
    *at = '\0';
    return escaped;
}

static void
add_json(struct unit *unit, struct vector *ops, const char *before, const char *text, u32 size, const char *behind)
{
    const char *whole = arena_print(&unit->arena, "%s%s%s", before, json_text(unit, text, size), behind);
    add_text(unit, ops, whole, (u32)strlen(whole));
}

/* One variable is itself; with text, or several, they are a string. */
static bool
add_value(struct unit *unit, const struct word *word, struct vector *ops)
{
    struct vector made = {0};
    bool good = add_ops(unit, word, 0, &made);
    struct blob_op *op = made.item;
    bool alone = made.count == 1 && op[0].kind != OP_TEXT;
    if (alone)
        op[0].form = is_number(op[0].variable) ? FORM_NUMBER : FORM_STRING;
    if (!alone)
        add_text(unit, ops, "\"", 1);
    for (u32 i = 0; i < made.count; i++)
        if (op[i].kind == OP_TEXT)
            add_json(unit, ops, "", image_string(unit, op[i].text), op[i].text_size, "");
        else
            *(struct blob_op *)vector_add(&unit->arena, ops, sizeof *op) = op[i];
    if (!alone)
        add_text(unit, ops, "\"", 1);
    return good;
}

u32
expr_compile_json(struct unit *unit, const struct node *block)
{
    struct vector ops = {0};
    bool good = true;
    for (const struct node *entry = block->first; entry != NULL; entry = entry->next) {
        add_json(unit, &ops, entry == block->first ? "{\"" : ",\"", entry->word[0].text, entry->word[0].size, "\":");
        good &= add_value(unit, &entry->word[1], &ops);
    }
    add_text(unit, &ops, "}", 1);
    return good ? add_expr(unit, &ops, block->word[0].span) : 0;
}
