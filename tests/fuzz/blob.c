/*
 * Blobs: what the verifier accepts, everybody may trust. The input is read as instructions for a blob whose header is
 * right, so that the records are looked at: a byte for the number of records of each section, then a byte for each
 * field, which becomes a value that its rule allows, or, from RAW on, eight bytes that may be anything.
 */
#include "fuzz.h"
#include "../unit/walk.h"

#include <stdlib.h>

enum { RAW = 0xf0, RECORDS_MAX = 24, TEXT_MAX = 200 };

struct input {
    const uint8_t *at, *end;
};

struct builder {
    struct input input;
    u64 count[SECTION_COUNT];
    u64 origin; /* the last one */
};

static u64
take(struct input *input, u32 bytes)
{
    u64 value = 0;
    for (; bytes > 0 && input->at < input->end; bytes--)
        value = value << 8 | *input->at++;
    return value;
}

/* The record behind the last one that had an origin. */
static u64
next_origin(struct builder *builder)
{
    u32 section = (u32)(builder->origin >> 32), index = (u32)builder->origin + 1;
    while (section < SECTION_COUNT - 1 && index >= builder->count[section]) {
        section++;
        index = 1;
    }
    return builder->origin = (u64)section << 32 | index;
}

/* A value that the rule of field allows, chosen by a byte. */
static u64
plausible(struct builder *builder, const struct blob_field *field, const u8 *record, u64 byte)
{
    u64 there = builder->count[field->section], first, left;
    switch ((enum rule)field->rule) {
    case RULE_ZERO:
        return 0;
    case RULE_UPTO:
        return 1 + byte % field->max;
    case RULE_MAX:
        return byte % (field->max + 1);
    case RULE_ZONE:
        return ZONE_LEAST + byte;
    case RULE_TEXT:
    case RULE_RISES:
        return byte % builder->count[SECTION_text];
    case RULE_REF:
    case RULE_SPAN:
        return byte % there;
    case RULE_NEED:
        return there > 1 ? 1 + byte % (there - 1) : 1;
    case RULE_LENGTH:
    case RULE_SOME:
        first = blob_get(record, field - 1);
        left = builder->count[field[-1].section] - first;
        return first > 0 && first < builder->count[field[-1].section] ? byte % (left + 1) : 0;
    case RULE_ENUM:
        return byte % field->vocabulary->count;
    case RULE_FLAGS:
        return byte & ((1ull << field->vocabulary->count) - 1);
    case RULE_ORIGIN:
        return next_origin(builder);
    default:
        return byte;
    }
}

static void
fill(struct builder *builder, u32 section, u8 *record)
{
    const struct blob_section *shape = &blob_sections[section];
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        u64 byte = take(&builder->input, 1);
        u64 value = byte < RAW ? plausible(builder, field, record, byte) : take(&builder->input, 8);
        memcpy(record + field->offset, &value, field->size < sizeof value ? field->size : sizeof value);
    }
}

static u8 *
build(struct builder *builder, size_t *size)
{
    struct blob_header header = {.magic = BLOB_MAGIC, .fingerprint = blob_fingerprint()};
    header.size = sizeof header;
    for (u32 i = 0; i < SECTION_COUNT; i++) {
        u64 most = i == SECTION_text ? TEXT_MAX : RECORDS_MAX;
        builder->count[i] = i == SECTION_main ? 2 : 1 + take(&builder->input, 1) % most;
        header.section[i].at = (header.size + 7) & ~7ull;
        header.section[i].count = builder->count[i];
        header.size = header.section[i].at + builder->count[i] * blob_sections[i].record_size;
    }
    u8 *data = calloc(1, header.size); /* exactly, so that a byte too far is seen */
    if (data == NULL)
        abort();
    for (u32 i = 0; i < SECTION_COUNT; i++)
        for (u64 j = 1; j + (i == SECTION_text) < builder->count[i]; j++) /* text ends with a NUL */
            fill(builder, i, data + header.section[i].at + j * blob_sections[i].record_size);
    memcpy(data, &header, sizeof header);
    blob_digest(data, header.size, ((struct blob_header *)(void *)data)->digest);
    *size = header.size;
    return data;
}

static bool
open_blob(struct builder *builder, struct blob *blob, u8 **data)
{
    char error[BLOB_ERROR_SIZE] = "";
    size_t size;
    *data = build(builder, &size);
    if (blob_open(blob, *data, size, error))
        return true;
    if (error[0] == '\0')
        fuzz_fail("a refusal without a reason");
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct builder builder = {.input = {data, data + size}};
    struct blob one, other;
    u8 *first, *second;
    bool good = open_blob(&builder, &one, &first);
    if (good) {
        walk(&one);
        dump(&one, fuzz_nowhere());
    }
    builder.origin = 0;
    if (open_blob(&builder, &other, &second) && good) /* made of what the first has left */
        (void)other;
    if (sum == UINT64_MAX)
        fuzz_fail("cannot be; but now all of it had to be read");
    free(first);
    free(second);
    return 0;
}
