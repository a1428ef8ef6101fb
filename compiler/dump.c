/*
 * A blob as text: every record of every section, field by field, as blob.def describes them. There is no code for
 * any particular record but the address, whose bytes are better read as one. What is zero says nothing (no limit,
 * none, empty, off) and is left out, so that what was said is seen.
 */
#include "spcc.h"

#include <arpa/inet.h>
#include <string.h>

enum { DESCRIBE_DEPTH = 3, FIELD_WIDTH = 24 };

struct dumper {
    const struct blob *blob;
    FILE *file;
    const void *start[SECTION_COUNT];
    u32 count[SECTION_COUNT];
};

static const u8 *
record_at(const struct dumper *dumper, u32 section, u32 index)
{
    return (const u8 *)dumper->start[section] + (size_t)index * blob_sections[section].record_size;
}

/* Text of size bytes, in quotes, what is not printable as in C. */
static void
print_text(FILE *file, const char *text, size_t size)
{
    fputc('"', file);
    for (size_t i = 0; i < size; i++) {
        u8 c = (u8)text[i];
        if (c == '"' || c == '\\')
            fprintf(file, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            fprintf(file, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f)
            fprintf(file, "\\x%02x", c);
        else
            fputc(c, file);
    }
    fputc('"', file);
}

static void
print_origin(const struct dumper *dumper, u32 section, u32 index)
{
    const struct blob_origin *origin = blob_find_origin(dumper->blob, section, index);
    if (origin != NULL)
        fprintf(dumper->file, "  # %s:%u", blob_string(dumper->blob, origin->file), origin->line);
}

/* What a person knows a record by: its first text that is not empty, or that of what it refers to. */
static const char *
describe(const struct dumper *dumper, u32 section, u32 index, u32 depth)
{
    const struct blob_section *shape = &blob_sections[section];
    const u8 *record = record_at(dumper, section, index);
    for (u32 i = shape->field_count; i-- > 0;) /* from the end: an address's text stands behind its path */
        if (shape->field[i].rule == RULE_TEXT && blob_get(record, &shape->field[i]) != 0 && section != SECTION_peer)
            return blob_string(dumper->blob, (u32)blob_get(record, &shape->field[i]));
    for (u32 i = 0; i < shape->field_count && depth > 0; i++) {
        const struct blob_field *field = &shape->field[i];
        u32 value = (u32)blob_get(record, field);
        if (field->rule == RULE_TEXT && value != 0)
            return blob_string(dumper->blob, value);
        if ((field->rule == RULE_REF || field->rule == RULE_NEED) && value != 0)
            return describe(dumper, field->section, value, depth - 1);
    }
    return NULL;
}

static void
print_reference(const struct dumper *dumper, u32 section, u32 index)
{
    if (index == 0) {
        fputs("none", dumper->file);
        return;
    }
    const char *text = describe(dumper, section, index, DESCRIBE_DEPTH);
    fprintf(dumper->file, "%s %u", blob_sections[section].name, index);
    if (text != NULL)
        fprintf(dumper->file, " (%s)", text);
}

static void
print_flags(FILE *file, const struct blob_field *field, u64 value)
{
    if (value == 0)
        fputs("none", file);
    for (u32 i = 0, printed = 0; i < field->vocabulary->count; i++)
        if (value >> i & 1)
            fprintf(file, "%s%s", printed++ > 0 ? " " : "", field->vocabulary->word[i]);
}

/* first..last of a span; of text, the text itself. */
static void
print_span(const struct dumper *dumper, const u8 *record, const struct blob_field *field)
{
    u64 first = blob_get(record, field), length = blob_get(record, field + 1);
    if (field->section == SECTION_text)
        print_text(dumper->file, blob_string(dumper->blob, (u32)first), length);
    else if (length == 0)
        fputs("none", dumper->file);
    else if (length == 1)
        print_reference(dumper, field->section, (u32)first);
    else
        fprintf(dumper->file, "%s %llu..%llu", blob_sections[field->section].name, (unsigned long long)first,
                (unsigned long long)(first + length - 1));
}

static void
print_bytes(const struct dumper *dumper, const u8 *record, const struct blob_field *field)
{
    char text[INET6_ADDRSTRLEN];
    u64 family = blob_get(record, &blob_sections[SECTION_address].field[0]);
    bool six = family == FAMILY_IPV6;
    if (family != FAMILY_IPV4 && !six)
        fputs("none", dumper->file);
    else
        fputs(inet_ntop(six ? AF_INET6 : AF_INET, record + field->offset, text, sizeof text), dumper->file);
}

static void
print_value(const struct dumper *dumper, const u8 *record, const struct blob_field *field)
{
    u64 value = blob_get(record, field);
    switch ((enum rule)field->rule) {
    case RULE_TEXT:
    case RULE_RISES:
        print_text(dumper->file, blob_string(dumper->blob, (u32)value), strlen(blob_string(dumper->blob, (u32)value)));
        break;
    case RULE_REF:
    case RULE_NEED:
        print_reference(dumper, field->section, (u32)value);
        break;
    case RULE_SPAN:
        print_span(dumper, record, field);
        break;
    case RULE_ENUM:
        fputs(field->vocabulary->word[value], dumper->file);
        break;
    case RULE_FLAGS:
        print_flags(dumper->file, field, value);
        break;
    default:
        if (field->size > sizeof value)
            print_bytes(dumper, record, field);
        else
            fprintf(dumper->file, "%llu", (unsigned long long)value);
    }
}

/* Is the field zero, or printed with the one before it? */
static bool
is_silent(const u8 *record, const struct blob_field *field)
{
    static const u8 zero[sizeof(ip16)];
    if (field->rule == RULE_LENGTH || field->rule == RULE_SOME || field->rule == RULE_ZERO)
        return true;
    return field->size <= sizeof zero && memcmp(record + field->offset, zero, field->size) == 0;
}

static void
print_record(const struct dumper *dumper, u32 section, u32 index)
{
    const struct blob_section *shape = &blob_sections[section];
    const u8 *record = record_at(dumper, section, index);
    fprintf(dumper->file, "%s %u", shape->name, index);
    print_origin(dumper, section, index);
    fputc('\n', dumper->file);
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        if (is_silent(record, field))
            continue;
        fprintf(dumper->file, "    %-*s ", FIELD_WIDTH, field->name);
        print_value(dumper, record, field);
        fputc('\n', dumper->file);
    }
    fputc('\n', dumper->file);
}

void
dump(const struct blob *blob, FILE *file)
{
    struct dumper dumper = {.blob = blob, .file = file};
#define RECORD(record)                                                                                                 \
    dumper.start[SECTION_##record] = blob->record;                                                                     \
    dumper.count[SECTION_##record] = blob->record##_count;
#include "blob.def"
    fputs("# what is 0, none, empty or off is left out\n\n", file);
    /* Strings stand where they are used, origins beside their records; the code of patterns is PCRE2's affair. */
    for (u32 section = SECTION_text + 1; section < SECTION_COUNT; section++)
        for (u32 index = 1; index < dumper.count[section]; index++)
            if (section != SECTION_origin && section != SECTION_code)
                print_record(&dumper, section, index);
}
