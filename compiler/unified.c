/*
 * What fmt would change, as diff -u prints it. A file and its canonical layout come in, and which line was made from
 * which; hunks with three lines around each change go out. There is no search for the shortest difference: a line
 * is the same if it equals the one it was made from.
 */
#include "spcc.h"

#include <string.h>

enum { AROUND = 3 };

/* Lines that differ: those of the old text from old_start up to old_end become those of the new one. */
struct region {
    u32 old_start, old_end, new_start, new_end;
};

struct text {
    const char *text;
    const u32 *line; /* offset of each line's first byte, and of the end */
    u32 count;
};

struct comparison {
    struct unit *unit;
    struct text old, new;
    struct vector regions;
};

static struct text
text_open(struct unit *unit, const char *text, u32 size)
{
    u32 count = 0, *line;
    for (u32 i = 0; i < size; i++)
        count += i == 0 || text[i - 1] == '\n';
    line = arena_take(&unit->arena, (count + 1) * sizeof *line);
    for (u32 i = 0, at = 0; i < size; i++)
        if (i == 0 || text[i - 1] == '\n')
            line[at++] = i;
    line[count] = size;
    return (struct text){text, line, count};
}

static u32
size_of(const struct text *text, u32 index)
{
    return text->line[index + 1] - text->line[index];
}

static bool
is_equal(const struct text *one, u32 a, const struct text *other, u32 b)
{
    return size_of(one, a) == size_of(other, b) &&
           memcmp(one->text + one->line[a], other->text + other->line[b], size_of(one, a)) == 0;
}

static void
add_region(struct comparison *comparison, struct region region)
{
    if (region.old_start < region.old_end || region.new_start < region.new_end)
        *(struct region *)vector_add(&comparison->unit->arena, &comparison->regions, sizeof region) = region;
}

static void
compare(struct comparison *comparison, const u32 *from)
{
    const struct text *old = &comparison->old, *new = &comparison->new;
    u32 old_at = 0, new_at = 0;
    for (u32 i = 0; i < new->count; i++) {
        if (from[i] < old_at || from[i] >= old->count || !is_equal(old, from[i], new, i))
            continue;
        add_region(comparison, (struct region){old_at, from[i], new_at, i});
        old_at = from[i] + 1;
        new_at = i + 1;
    }
    add_region(comparison, (struct region){old_at, old->count, new_at, new->count});
}

static void
print_lines(FILE *file, char mark, const struct text *text, u32 start, u32 end)
{
    for (u32 i = start; i < end; i++) {
        u32 size = size_of(text, i);
        fputc(mark, file);
        fwrite(text->text + text->line[i], 1, size, file);
        if (text->text[text->line[i] + size - 1] != '\n')
            fputs("\n\\ No newline at end of file\n", file);
    }
}

/* "12,3"; of no lines, the line before counts. */
static void
print_range(FILE *file, char mark, u32 start, u32 end)
{
    fprintf(file, " %c%u,%u", mark, start < end ? start + 1 : start, end - start);
}

static u32
at_most(u32 number, u32 limit)
{
    return number < limit ? number : limit;
}

/* Print the regions from first up to last, and the lines around and between them. */
static void
print_hunk(const struct comparison *comparison, const struct region *first, const struct region *last, FILE *file)
{
    const struct text *old = &comparison->old, *new = &comparison->new;
    u32 before = at_most(AROUND, first->old_start), at = first->old_start - before;
    u32 behind = at_most(AROUND, old->count - last->old_end);
    fputs("@@", file);
    print_range(file, '-', at, last->old_end + behind);
    print_range(file, '+', first->new_start - before, last->new_end + behind);
    fputs(" @@\n", file);
    for (const struct region *region = first; region <= last; region++) {
        print_lines(file, ' ', old, at, region->old_start);
        print_lines(file, '-', old, region->old_start, region->old_end);
        print_lines(file, '+', new, region->new_start, region->new_end);
        at = region->old_end;
    }
    print_lines(file, ' ', old, at, at + behind);
}

void
unified_print(struct unit *unit, const struct source *source, const struct formatted *formatted, FILE *file)
{
    struct comparison comparison = {
        .unit = unit,
        .old = text_open(unit, source->text, source->size),
        .new = text_open(unit, formatted->text, formatted->size),
    };
    compare(&comparison, formatted->from);
    if (comparison.regions.count == 0)
        return;
    const struct region *first = comparison.regions.item, *end = first + comparison.regions.count;
    fprintf(file, "--- %s\n+++ %s\n", source->path, source->path);
    while (first < end) {
        const struct region *last = first;
        while (last + 1 < end && last[1].old_start - last->old_end <= 2 * AROUND)
            last++;
        print_hunk(&comparison, first, last, file);
        first = last + 1;
    }
}
