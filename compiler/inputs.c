/*
 * The files that a unit was made from, for those who must know when to make it again: as a list, and as a rule for
 * make.
 */
#include "spcc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The next file that was read, by its first reading, from *at on; NULL: no more. Standard input is none. */
static const char *
next_input(const struct unit *unit, struct map *seen, struct arena *arena, u32 *at)
{
    struct source *const *source = unit->sources.item;
    while (*at < unit->sources.count) {
        const struct source *one = source[(*at)++];
        if (one->inode != 0 && strcmp(one->path, "<stdin>") != 0 &&
            ++*map_at(arena, seen, one->path, strlen(one->path)) == 1)
            return one->path;
    }
    return NULL;
}

void
inputs_print(struct unit *unit, FILE *file)
{
    struct map seen = {0};
    u32 at = 0;
    for (const char *path; (path = next_input(unit, &seen, &unit->arena, &at)) != NULL;)
        fprintf(file, "%s\n", path);
}

/* ---- rules for make ---- */

/* A name as make reads it back; before a blank, backslashes are doubled. False: make cannot have it. */
static bool
write_name(FILE *file, const char *name)
{
    u32 backslashes = 0;
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r')
            return false;
        if (*c == ' ' || *c == '\t')
            for (; backslashes > 0; backslashes--)
                fputc('\\', file);
        if (*c == '$')
            fputc('$', file);
        else if (strchr(" \t#:%", *c) != NULL)
            fputc('\\', file);
        fputc(*c, file);
        backslashes = *c == '\\' ? backslashes + 1 : 0;
    }
    return true;
}

/* "target: inputs", and for each input a rule without any, so that one which is gone is no error. */
static bool
write_rules(struct unit *unit, FILE *file, const char *target)
{
    struct map seen = {0}, again = {0};
    bool good = write_name(file, target);
    u32 at = 0;
    fputc(':', file);
    for (const char *path; (path = next_input(unit, &seen, &unit->arena, &at)) != NULL;) {
        fputs(" \\\n  ", file);
        good = good && write_name(file, path);
    }
    at = 0;
    for (const char *path; (path = next_input(unit, &again, &unit->arena, &at)) != NULL;) {
        fputs("\n\n", file);
        good = good && write_name(file, path);
        fputc(':', file);
    }
    fputc('\n', file);
    return good;
}

const char *
inputs_write_rules(struct unit *unit, const char *path, const char *target)
{
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL)
        return strerror(errno);
    bool good = write_rules(unit, file, target);
    fclose(file);
    const char *wrong = good ? image_write(unit, path, text, size) : "for make, no name may have a line end in it";
    free(text);
    return wrong;
}
