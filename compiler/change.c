/*
 * Changes: what they are called, by changes.def, and how they are printed. Those that differ only in what they happen
 * to are one: a timeout of a stream {} that changes for a hundred addresses is one line.
 */
#include "difference.h"

#include <stdlib.h>
#include <string.h>

enum { AFFECTED_SHOWN = 3 };

/* ---- changes.def ---- */

static const char *const category_names[] = {
#define CATEGORY(id, name, says) name,
#include "changes.def"
};

static const struct change_row rows[] = {
#define CHANGE(record, field, ...) {SECTION_##record, .offset = offsetof(struct blob_##record, field), __VA_ARGS__},
#include "changes.def"
};

/* A field that a row names. */
struct named_field {
    u32 section;
    size_t offset;
    bool ordered;
};

static const struct named_field silent[] = {
#define SILENT(record, field) {SECTION_##record, offsetof(struct blob_##record, field), false},
#include "changes.def"
};

static const struct named_field entries[] = {
#define ENTRY(record, field, ordered) {SECTION_##record, offsetof(struct blob_##record, field), ordered},
#include "changes.def"
};

static const u32 part_sections[] = {
#define PART(record) SECTION_##record,
#include "changes.def"
};

bool
change_is_silent(u32 section, const struct blob_field *field)
{
    bool is = field->rule == RULE_LENGTH || field->rule == RULE_SOME || field->rule == RULE_ZERO;
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        is |= silent[i].section == section && silent[i].offset == field->offset;
    return is;
}

bool
change_is_part(u32 section)
{
    bool is = false;
    for (size_t i = 0; i < sizeof part_sections / sizeof *part_sections; i++)
        is |= part_sections[i] == section;
    return is;
}

const struct blob_field *
change_entry(u32 section)
{
    const struct blob_section *shape = &blob_sections[section];
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        for (u32 j = 0; entries[i].section == section && j < shape->field_count; j++)
            if (shape->field[j].offset == entries[i].offset)
                return &shape->field[j];
    return NULL;
}

bool
change_is_ordered(u32 section)
{
    bool is = false;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        is |= entries[i].section == section && entries[i].ordered;
    return is;
}

struct change_row
change_setting(const char *name)
{
    static const struct {
        enum directive_id id;
        struct change_row row;
    } settings[] = {
#define SETTING(directive, ...) {DIRECTIVE_##directive, {.section = SECTION_SETTING, __VA_ARGS__}},
#include "changes.def"
    };
    static const struct {
        enum parameter_id id;
        struct change_row row;
    } of_parameters[] = {
#define SETTING_PARAMETER(of, id, ...) {PARAMETER_##of##_##id, {.section = SECTION_SETTING, __VA_ARGS__}},
#include "changes.def"
    };
    struct change_row row = {.section = SECTION_SETTING, .less = CATEGORY_other_changed,
                             .more = CATEGORY_other_changed, .other = CATEGORY_other_changed};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (strcmp(directives[settings[i].id].name, name) == 0)
            row = settings[i].row;
    for (size_t i = 0; i < sizeof of_parameters / sizeof *of_parameters; i++) {
        const char *own = parameters[of_parameters[i].id].name; /* "ssl of listen 443" */
        size_t size = strcspn(own, "=");
        if (strncmp(own, name, size) == 0 && strncmp(name + size, " of ", strlen(" of ")) == 0)
            row = of_parameters[i].row;
    }
    row.name = "";
    return row;
}

struct change_row
change_row(const struct fact *fact)
{
    if (fact->section >= SECTION_SETTING)
        return change_setting(fact->entry);
    const struct change_row *found = NULL;
    for (const struct change_row *row = rows; row < rows + sizeof rows / sizeof *rows; row++)
        if (row->section == fact->section && row->offset == fact->field->offset &&
            (row->bit == fact->bit || (row->bit == 0 && found == NULL)))
            found = row;
    struct change_row row = {.section = fact->section, .offset = fact->field->offset, .less = CATEGORY_other_changed,
                             .more = CATEGORY_other_changed, .other = CATEGORY_other_changed};
    if (found != NULL)
        row = *found;
    if (row.bit != fact->bit)
        row.name = NULL;
    row.bit = fact->bit;
    return row;
}

static bool
lands(const struct landing *into, u32 landing_bit, const struct change_row *row)
{
    return into->section == row->section && into->offset == row->offset && landing_bit == row->bit;
}

/* The word of a FLAGS field for a bit. */
static const char *
bit_word(const struct blob_field *field, u32 bit)
{
    for (u32 i = 0; i < field->vocabulary->count; i++)
        if (bit == 1u << i)
            return field->vocabulary->word[i];
    return "";
}

const char *
change_name(struct arena *arena, const struct change_row *row, const struct blob_field *field)
{
    if (row->name != NULL)
        return row->name;
    for (const struct directive *from = directives; from < directives + DIRECTIVE_COUNT; from++)
        if (lands(&from->into, from->bit, row))
            return from->name;
    for (const struct parameter *from = parameters; from < parameters + PARAMETER_COUNT; from++)
        if (lands(&from->into, from->bit, row))
            return arena_text(arena, from->name, strcspn(from->name, "="));
    return row->bit != 0 ? bit_word(field, row->bit)
                         : arena_print(arena, "%s.%s", blob_sections[row->section].name, field->name);
}

/* ---- collecting ---- */

void
change_add(struct change_list *list, const struct change *change, const struct affected *affected)
{
    const char *parts[] = {change->what, change->old, change->new};
    const char *key = arena_print(list->arena, "%d", (int)change->category);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        key = arena_print(list->arena, "%s\n%c%s", key, parts[i] != NULL ? '+' : '-', parts[i] != NULL ? parts[i] : "");
    u32 *known = map_at(list->arena, &list->merged, key, strlen(key));
    if (*known == 0) {
        *(struct change *)vector_add(list->arena, &list->changes, sizeof *change) = *change;
        *known = list->changes.count;
    }
    struct change *merged = (struct change *)list->changes.item + *known - 1;
    *(struct affected *)vector_add(list->arena, &merged->affected, sizeof *affected) = *affected;
}

/* By category, and as they were found; what merged before compares by index. */
static struct change **
sorted(struct change_list *list)
{
    struct change *change = list->changes.item;
    struct change **order = arena_take(list->arena, (list->changes.count + 1) * sizeof *order);
    u32 count = 0;
    for (enum category category = 0; category < CATEGORY_COUNT; category++)
        for (u32 i = 0; i < list->changes.count; i++)
            if (change[i].category == category)
                order[count++] = &change[i];
    return order;
}

/* ---- text ---- */

/* Text of a configuration on a terminal: control characters become "?". */
static void
print_safe(const char *text, FILE *file)
{
    for (; *text != '\0'; text++)
        fputc((u8)*text < 0x20 || (u8)*text == 0x7f ? '?' : *text, file);
}

static void
print_affected(const struct change *change, FILE *file)
{
    const struct affected *affected = change->affected.item;
    u32 count = change->affected.count;
    for (u32 i = 0; i < count && i < AFFECTED_SHOWN; i++) {
        fputs(i > 0 ? ", " : "", file);
        print_safe(affected[i].name, file);
    }
    if (count > AFFECTED_SHOWN)
        fprintf(file, " and %u more", count - AFFECTED_SHOWN);
}

/* Printed as "web.conf:12", with which one it is where both are there. */
static void
print_spots(const struct spot *old, const struct spot *new, FILE *file)
{
    const struct spot *spots[] = {old, new};
    bool both = old->file != NULL && new->file != NULL;
    const char *before = " (";
    for (int i = 0; i < 2; i++) {
        if (spots[i]->file == NULL)
            continue;
        fprintf(file, "%s%s", before, !both ? "" : i == 0 ? "old " : "new ");
        print_safe(spots[i]->file, file);
        fprintf(file, ":%u", spots[i]->line);
        before = ", ";
    }
    fputs(old->file != NULL || new->file != NULL ? ")\n" : "\n", file);
}

static void
print_change(const struct change *change, FILE *file)
{
    const struct affected *first = change->affected.item;
    fprintf(file, "%s: ", category_names[change->category]);
    print_affected(change, file);
    if (change->what != NULL)
        fprintf(file, ": %s%s ", change->what,
                change->old == NULL ? " added:" : change->new == NULL ? " removed:" : "");
    print_safe(change->old != NULL ? change->old : "", file);
    fputs(change->old != NULL && change->new != NULL ? " -> " : "", file);
    print_safe(change->new != NULL ? change->new : "", file);
    print_spots(&first->old, &first->new, file);
}

void
change_print(struct change_list *list, FILE *file)
{
    struct change **change = sorted(list);
    for (u32 i = 0; i < list->changes.count; i++)
        print_change(change[i], file);
}

/* ---- JSON ---- */

/* The size of the UTF-8 character at text; 0 for none. */
static u32
character_size(const u8 *text)
{
    u32 size = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    for (u32 i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) || (*text == 0xf0 && text[1] < 0x90) ||
        (*text == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

/* A string, or null; what is no UTF-8 becomes U+FFFD. */
static void
print_string(const char *text, FILE *file)
{
    if (text == NULL) {
        fputs("null", file);
        return;
    }
    fputc('"', file);
    for (const u8 *at = (const u8 *)text; *at != '\0';) {
        u32 size = character_size(at);
        if (*at == '"' || *at == '\\')
            fprintf(file, "\\%c", *at);
        else if (*at < 0x20 || size == 0)
            fprintf(file, "\\u%04x", size == 0 ? 0xfffd : *at);
        else
            fwrite(at, 1, size, file);
        at += size > 0 ? size : 1;
    }
    fputc('"', file);
}

static void
print_member(const char *name, const char *text, FILE *file)
{
    fprintf(file, "\"%s\": ", name);
    print_string(text, file);
    fputs(", ", file);
}

static void
print_spot(const char *name, const struct spot *spot, FILE *file)
{
    fprintf(file, ", \"%s\": ", name);
    if (spot->file == NULL) {
        fputs("null", file);
        return;
    }
    fputs("{\"file\": ", file);
    print_string(spot->file, file);
    fprintf(file, ", \"line\": %u}", spot->line);
}

static void
print_change_json(const struct change *change, FILE *file)
{
    const struct affected *affected = change->affected.item;
    fputs("    {", file);
    print_member("category", category_names[change->category], file);
    print_member("what", change->what, file);
    print_member("old", change->old, file);
    print_member("new", change->new, file);
    fputs("\"where\": [", file);
    for (u32 i = 0; i < change->affected.count; i++) {
        fprintf(file, "%s{\"of\": ", i > 0 ? ", " : "");
        print_string(affected[i].name, file);
        print_spot("old", &affected[i].old, file);
        print_spot("new", &affected[i].new, file);
        fputc('}', file);
    }
    fputs("]}", file);
}

void
change_print_json(struct change_list *list, const char *old, const char *new, FILE *file)
{
    struct change **change = sorted(list);
    fputs("{\"version\": 1, ", file);
    print_member("old", old, file);
    print_member("new", new, file);
    fputs("\"changes\": [\n", file);
    for (u32 i = 0; i < list->changes.count; i++) {
        print_change_json(change[i], file);
        fputs(i + 1 < list->changes.count ? ",\n" : "\n", file);
    }
    fputs("]}\n", file);
}
