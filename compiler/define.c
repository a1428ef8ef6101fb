/*
 * -D NAME=VALUE: constants that are put in place of $NAME and ${NAME} in any word, before the word is judged.
 * The blob keeps them, sorted, so that one can see what it was made from.
 */
#include "spcc.h"

#include <stdlib.h>
#include <string.h>

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static const struct define *
find(const struct unit *unit, const char *name, size_t size)
{
    const struct define *define = unit->defines.item;
    for (u32 i = 0; i < unit->defines.count; i++)
        if (strlen(define[i].name) == size && memcmp(define[i].name, name, size) == 0)
            return &define[i];
    return NULL;
}

const char *
define_add(struct unit *unit, const char *text)
{
    size_t size = 0;
    while (is_name(text[size]))
        size++;
    if (text[size] != '=')
        return "it is not NAME=VALUE with a name of letters, digits and _";
    if (size == 0 || (text[0] >= '0' && text[0] <= '9'))
        return "a name begins with a letter or _";
    const char *name = arena_text(&unit->arena, text, size);
    if (expr_is_builtin(name))
        return "a variable has that name";
    if (find(unit, name, size) != NULL)
        return "that name is given twice";
    if (strlen(text + size + 1) > WORD_SIZE_MAX)
        return "the value is too long";
    struct define *define = vector_add(&unit->arena, &unit->defines, sizeof *define);
    *define = (struct define){name, text + size + 1};
    return NULL;
}

/* The define used at text, which is behind a "$"; end: behind its use. */
static const struct define *
used_at(const struct unit *unit, const char *text, const char **end)
{
    const char *name = text + (*text == '{'), *at = name;
    while (is_name(*at))
        at++;
    *end = at;
    if (*text == '{' && *(*end)++ != '}')
        return NULL;
    return find(unit, name, (size_t)(at - name));
}

void
define_apply(struct unit *unit, const char **text, u32 *size)
{
    if (unit->defines.count == 0 || memchr(*text, '$', *size) == NULL)
        return;
    const char *from = *text, *stop = *text + *size, *end = from;
    struct vector result = {0};
    while (from < stop && result.count <= WORD_SIZE_MAX) {
        const struct define *define = *from == '$' ? used_at(unit, from + 1, &end) : NULL;
        if (define == NULL) {
            *(char *)vector_add(&unit->arena, &result, 1) = *from++;
            continue;
        }
        for (const char *value = define->value; *value != '\0'; value++)
            *(char *)vector_add(&unit->arena, &result, 1) = *value;
        from = end;
    }
    *size = result.count;
    *text = arena_text(&unit->arena, result.item, result.count);
}

static int
by_name(const void *one, const void *other)
{
    return strcmp(((const struct define *)one)->name, ((const struct define *)other)->name);
}

void
define_compile(struct unit *unit)
{
    struct define *define = unit->defines.item;
    if (unit->defines.count > 0)
        qsort(define, unit->defines.count, sizeof *define, by_name);
    for (u32 i = 0; i < unit->defines.count; i++) {
        struct blob_define record = {image_text(unit, define[i].name, strlen(define[i].name)),
                                     image_text(unit, define[i].value, strlen(define[i].value))};
        image_add(unit, SECTION_define, &record, (struct span){0});
    }
}
