/*
 * The rules of blob.def, each about a field: the records of one section in; a yes, or the name of the first
 * field that is out of bounds, out. They are short loops over many records, so that a million of them cost a
 * start hardly more than reading them. What no single field's rule can say is blob.c's.
 */
#include "rule.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RUN_COUNT = 128 }; /* records that are looked at together: the processor's nearest cache holds them */

bool
rule_refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, BLOB_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* What a field of this rule may be: from least to most. Rules that look at two fields, or two records, say no more. */
static void
find_bounds(const struct verifier *v, const struct blob_field *field, u64 *least, u64 *most)
{
    bool some = field->rule == RULE_SPAN && field[1].rule == RULE_SOME;
    *least = some || field->rule == RULE_NEED || field->rule == RULE_SOME;
    *most = UINT64_MAX;
    switch ((enum rule)field->rule) {
    case RULE_ANY:
    case RULE_LENGTH:
    case RULE_SOME:
    case RULE_ORIGIN:
        break;
    case RULE_ZERO:
        *most = 0;
        break;
    case RULE_UPTO:
        *least = 1;
        *most = field->max;
        break;
    case RULE_MAX:
        *most = field->max;
        break;
    case RULE_TEXT:
    case RULE_RISES:
        *most = v->count[SECTION_text] - 1;
        break;
    case RULE_REF:
    case RULE_NEED:
    case RULE_SPAN:
        *most = v->count[field->section] - 1;
        break;
    case RULE_ENUM:
        *most = field->vocabulary->count - 1;
        break;
    case RULE_FLAGS:
        *most = (1ull << field->vocabulary->count) - 1;
        break;
    case RULE_ZONE:
        *least = ZONE_LEAST;
        *most = ZONE_MOST;
        break;
    }
}

/* Some records of one section, one after another. */
struct run {
    const u8 *record;
    u64 count;
    u32 stride; /* bytes */
};

/* Is a number of 32 bits in bounds in each record? Inlined with a stride that is known, it becomes vectors. */
static inline __attribute__((always_inline)) bool
are_within(const u8 *at, u64 count, u32 stride, u32 least, u32 most)
{
    u32 outside = 0;
    for (u64 i = 0; i < count; i++) {
        u32 value;
        memcpy(&value, at + i * stride, sizeof value);
        outside |= value - least > most - least;
    }
    return !outside;
}

static bool
are_words_within(const struct blob_field *field, const struct run *run, u32 least, u32 most)
{
    const u8 *at = run->record + field->offset;
    switch (run->stride) { /* of the records that there may be millions of */
    case sizeof(struct blob_range4):
        return are_within(at, run->count, sizeof(struct blob_range4), least, most);
    case sizeof(struct blob_value):
        return are_within(at, run->count, sizeof(struct blob_value), least, most);
    }
    /* Vectors gathered from other strides are slower than a branch that is never taken. */
    for (u64 i = 0; i < run->count; i++, at += run->stride) {
        u32 value;
        memcpy(&value, at, sizeof value);
        if (value - least > most - least)
            return false;
    }
    return true;
}

/* Is the field in bounds in each record? */
static bool
is_bounded(const struct verifier *v, const struct blob_field *field, const struct run *run)
{
    u64 least, most;
    find_bounds(v, field, &least, &most);
    if (least == 0 && most == UINT64_MAX)
        return true;
    if (least > most)
        return false;
    if (field->size == sizeof(u32))
        return are_words_within(field, run, (u32)least, most < UINT32_MAX ? (u32)most : UINT32_MAX);
    bool good = true;
    for (u64 i = 0; i < run->count; i++) {
        u64 value = blob_get(run->record + i * run->stride, field);
        good &= value >= least && value <= most;
    }
    return good;
}

#define FIELD(record, type, field, rule, argument)                                                            \
    static_assert((RULE_##rule != RULE_SPAN && RULE_##rule != RULE_LENGTH && RULE_##rule != RULE_SOME) ||    \
                      sizeof(type) == sizeof(u32),                                                            \
                  "spans_end() reads 32 bits of " #record "." #field);
#include "blob.def"

/* Do the runs that begin at the field before, which is in bounds, end within their section? */
static bool
spans_end(const struct verifier *v, const struct blob_field *field, const struct run *run)
{
    const u8 *at = run->record + field[-1].offset;
    u64 count = v->count[field[-1].section];
    bool outside = false;
    for (u64 i = 0; i < run->count; i++, at += run->stride) {
        u32 span[2]; /* first, length */
        memcpy(span, at, sizeof span);
        outside |= (u64)span[0] + span[1] > count;
    }
    return !outside;
}

/* Is each greater than that of the record before? */
static bool
rises(const struct verifier *v, const struct blob_field *field, const struct run *run)
{
    const char *text = (const char *)v->start[SECTION_text];
    const u8 *at = run->record;
    for (u64 i = 0; i < run->count; i++, at += run->stride)
        if (strcmp(text + blob_get(at - run->stride, field), text + blob_get(at, field)) >= 0)
            return false;
    return true;
}

/* Does each name a record that exists, in ascending order? */
static bool
are_origins(const struct verifier *v, const struct blob_field *field, const struct run *run)
{
    const u8 *at = run->record + field->offset;
    u64 last, of;
    memcpy(&last, at - run->stride, sizeof last);
    for (u64 i = 0; i < run->count; i++, at += run->stride, last = of) {
        memcpy(&of, at, sizeof of);
        if (of <= last || of >> 32 >= SECTION_COUNT || (of & UINT32_MAX) >= v->count[of >> 32])
            return false;
    }
    return true;
}

/* Does the field obey its rule in each of the records? Those before them do. */
static bool
check_field(const struct verifier *v, const struct blob_field *field, const struct run *run)
{
    if (!is_bounded(v, field, run))
        return false;
    switch ((enum rule)field->rule) {
    case RULE_LENGTH:
    case RULE_SOME:
        return spans_end(v, field, run);
    case RULE_RISES:
        return rises(v, field, run);
    case RULE_ORIGIN:
        return are_origins(v, field, run);
    default:
        return true;
    }
}

/* The first field that does not obey its rule in all of the records, NULL if each does. */
static const struct blob_field *
find_bad(const struct verifier *v, const struct blob_section *section, const struct run *run)
{
    for (u32 i = 0; i < section->field_count; i++)
        if (!check_field(v, &section->field[i], run))
            return &section->field[i];
    return NULL;
}

static bool
is_zero(const u8 *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Records are looked at many at a time, and those among which one is bad one by one, to name it. */
bool
rule_check(const struct verifier *v, u32 index)
{
    const struct blob_section *section = &blob_sections[index];
    if (!is_zero(v->start[index], section->record_size))
        return rule_refuse(v->error, "%s[0] is not zero", section->name);
    for (u64 i = 1, count; i < v->count[index]; i += count) {
        count = v->count[index] - i < RUN_COUNT ? v->count[index] - i : RUN_COUNT;
        struct run run = {v->start[index] + i * section->record_size, count, section->record_size};
        if (!find_bad(v, section, &run))
            continue;
        const struct blob_field *bad = NULL;
        for (run.count = 1; !(bad = find_bad(v, section, &run)); run.record += run.stride)
            i++;
        return rule_refuse(v->error, "%s[%llu].%s is out of bounds", section->name, (unsigned long long)i, bad->name);
    }
    return true;
}
