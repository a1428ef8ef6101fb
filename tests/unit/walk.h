/*
 * A reader of blobs that checks nothing: it reads every byte that a record names, and trusts the verifier that they
 * are there. The sanitizers watch.
 */
#ifndef WALK_H
#define WALK_H

#include "spcc.h"

#include <string.h>

static u64 sum; /* of all that was read, so that it is read */

static const u8 *
section_of(const struct blob *blob, u32 section, u32 *count)
{
    const void *start[SECTION_COUNT] = {
#define RECORD(record) [SECTION_##record] = blob->record,
#include "blob.def"
    };
    const u32 counts[SECTION_COUNT] = {
#define RECORD(record) [SECTION_##record] = blob->record##_count,
#include "blob.def"
    };
    *count = counts[section];
    return start[section];
}

static void
read_bytes(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum += ((const u8 *)from)[i];
}

static const u8 *
record_of(const struct blob *blob, u32 section, u64 index)
{
    u32 count;
    return section_of(blob, section, &count) + index * blob_sections[section].record_size;
}

static void
walk_field(const struct blob *blob, const u8 *record, u32 index, const struct blob_field *field)
{
    u64 value = blob_get(record, field);
    switch ((enum rule)field->rule) {
    case RULE_TEXT:
    case RULE_RISES:
        sum += strlen(blob_string(blob, (u32)value));
        break;
    case RULE_REF:
    case RULE_NEED:
        read_bytes(record_of(blob, field->section, value), blob_sections[field->section].record_size);
        break;
    case RULE_SPAN:
        read_bytes(record_of(blob, field->section, value),
                   blob_get(record, field + 1) * blob_sections[field->section].record_size);
        break;
    case RULE_ENUM:
        sum += strlen(field->vocabulary->word[value]);
        break;
    case RULE_FLAGS:
        for (u32 i = 0; i < 64; i++)
            if (value >> i & 1)
                sum += strlen(field->vocabulary->word[i]);
        break;
    case RULE_UPTO:
        sum += 1 % (value + (index == 0)); /* spcd divides by it; record 0 is of nobody */
        break;
    case RULE_ORIGIN:
        read_bytes(record_of(blob, (u32)(value >> 32), (u32)value), blob_sections[value >> 32].record_size);
        break;
    default:
        sum += value;
    }
}

static inline void
walk(const struct blob *blob)
{
    for (u32 section = SECTION_text + 1; section < SECTION_COUNT; section++) {
        u32 count;
        const u8 *record = section_of(blob, section, &count);
        for (u32 i = 0; i < count; i++, record += blob_sections[section].record_size)
            for (u32 j = 0; j < blob_sections[section].field_count; j++)
                walk_field(blob, record, i, &blob_sections[section].field[j]);
    }
}

#endif
