/*
 * A record of a blob in, text for people out, with all that is behind its references: text that is equal in two blobs
 * if it means the same in both, wherever the records stand. Things that have a name are known by it. A new record or
 * field of blob.def needs nothing here.
 */
#include "difference.h"

#include <inttypes.h>
#include <string.h>

enum { DEPTH_MAX = 12, LISTED_MAX = 8 };

static const char *describe(const struct content *content, u32 section, u32 index, u32 depth);

static const char *
describe_op(const struct content *content, const struct blob_op *op)
{
    static const char *const variables[] = {
        "",
#define VARIABLE(name, says) #name,
#include "variables.def"
#undef VARIABLE
    };
    const struct blob *blob = content->blob;
    switch (op->kind) {
    case OP_TEXT:
        return arena_text(content->arena, blob_string(blob, op->text), op->text_size);
    case OP_SLOT:
        return arena_print(content->arena, "${%s}", blob_string(blob, blob->slot[op->slot].name));
    case OP_CAPTURE:
        return arena_print(content->arena, "$%u", op->capture);
    case OP_TLV:
        return arena_print(content->arena, "${proxy_protocol_tlv_0x%02x}", op->tlv);
    default:
        return arena_print(content->arena, "${%s}", variables[op->variable]);
    }
}

/* All of a span's records: each, if they are few; else how many, and a number that tells them from others. */
static const char *
describe_span(const struct content *content, const u8 *record, const struct blob_field *field, u32 depth)
{
    u32 first = (u32)blob_get(record, field), count = (u32)blob_get(record, field + 1);
    const char *list = "", *between = field->section == SECTION_op ? "" : ", ";
    u64 sum = 0xcbf29ce484222325; /* FNV-1a */
    if (field->section == SECTION_text)
        return arena_text(content->arena, blob_string(content->blob, first), count);
    for (u32 i = 0; i < count; i++) {
        const char *one = describe(content, field->section, first + i, depth + 1);
        if (count <= LISTED_MAX)
            list = arena_print(content->arena, "%s%s%s", list, i > 0 ? between : "", one);
        for (; *one != '\0'; one++)
            sum = (sum ^ (u8)*one) * 0x100000001b3;
        sum = (sum ^ '\n') * 0x100000001b3;
    }
    return count <= LISTED_MAX ? list : arena_print(content->arena, "%u entries (%016" PRIx64 ")", count, sum);
}

static const char *
describe_flags(const struct content *content, const struct blob_field *field, u64 value)
{
    const char *list = "";
    for (u32 i = 0; i < field->vocabulary->count; i++)
        if (value >> i & 1)
            list = arena_print(content->arena, "%s%s%s", list, *list != '\0' ? " " : "", field->vocabulary->word[i]);
    return list;
}

static bool
ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* Of split_clients: hashes go up to 2 to the power of 32. */
static const char *
describe_share(const struct content *content, const struct blob_share *share)
{
    const char *value = describe(content, SECTION_value, share->value, 0);
    return share->below == 0 ? arena_print(content->arena, "the rest %s", value)
                             : arena_print(content->arena, "up to %.2f%% %s", share->below / 42949672.96, value);
}

static const char *
describe_number(const struct content *content, const struct blob_field *field, u64 value)
{
    if (field->max == 1)
        return value ? "on" : "off";
    if (ends_with(field->name, "_ms") && value % 1000 == 0)
        return arena_print(content->arena, "%" PRIu64 "s", value / 1000);
    if (ends_with(field->name, "_ms"))
        return arena_print(content->arena, "%" PRIu64 "ms", value);
    return arena_print(content->arena, "%" PRIu64, value);
}

static const char *
describe_bytes(const struct content *content, const u8 *bytes, u32 size)
{
    const char *text = "";
    for (u32 i = 0; i < size; i++)
        text = arena_print(content->arena, "%s%02x", text, bytes[i]);
    return text;
}

static const char *
describe_field(const struct content *content, const u8 *record, const struct blob_field *field, u32 depth)
{
    u64 value = blob_get(record, field);
    switch ((enum rule)field->rule) {
    case RULE_TEXT:
    case RULE_RISES:
        return blob_string(content->blob, (u32)value);
    case RULE_REF:
    case RULE_NEED:
        return describe(content, field->section, (u32)value, depth + 1);
    case RULE_SPAN:
        return describe_span(content, record, field, depth);
    case RULE_ENUM:
        return field->vocabulary->word[value];
    case RULE_FLAGS:
        return describe_flags(content, field, value);
    default:
        return field->size > sizeof value ? describe_bytes(content, record + field->offset, field->size)
                                          : describe_number(content, field, value);
    }
}

/* Every field that says something, but one. */
static const char *
describe_all(const struct content *content, u32 section, const u8 *record, const struct blob_field *but, u32 depth)
{
    const struct blob_section *shape = &blob_sections[section];
    const char *text = "";
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        bool empty = field->size <= sizeof(u64) && blob_get(record, field) == 0;
        if (field == but || empty || change_is_silent(section, field))
            continue;
        const char *one = describe_field(content, record, field, depth);
        bool number = field->rule == RULE_ANY || field->max > 0;
        text = arena_print(content->arena, "%s%s%s%s%s", text, *text != '\0' ? " " : "", number ? field->name : "",
                           number ? "=" : "", one);
    }
    return text;
}

static const char *
describe(const struct content *content, u32 section, u32 index, u32 depth)
{
    const struct blob *blob = content->blob;
    if (index == 0)
        return "";
    switch (section) {
    case SECTION_address:
        return blob_string(blob, blob->address[index].text);
    case SECTION_upstream:
        return blob_string(blob, blob->upstream[index].name);
    case SECTION_limit_zone:
        return blob_string(blob, blob->limit_zone[index].name);
    case SECTION_regex:
        return blob_string(blob, blob->regex[index].pattern);
    case SECTION_slot:
        return arena_print(content->arena, "$%s", blob_string(blob, blob->slot[index].name));
    case SECTION_share:
        return describe_share(content, &blob->share[index]);
    case SECTION_op:
        return describe_op(content, &blob->op[index]);
    case SECTION_expr:
        return describe_span(content, content_record(content, section, index), blob_sections[section].field, depth);
    default:
        return depth == DEPTH_MAX ? "..."
                                  : describe_all(content, section, content_record(content, section, index), NULL,
                                                 depth);
    }
}

const char *
description_of(const struct content *content, u32 section, u32 index)
{
    return describe(content, section, index, 0);
}

const char *
description_of_field(const struct content *content, const u8 *record, const struct blob_field *field)
{
    return describe_field(content, record, field, 0);
}

const char *
description_but(const struct content *content, u32 section, u32 index, const struct blob_field *but)
{
    return describe_all(content, section, content_record(content, section, index), but, 0);
}
