/*
 * -D NAME=VALUE: constants that are put in place of $NAME and ${NAME} in any word, before the word is judged. With a
 * type, NAME:TYPE=VALUE, the value is judged at once, so that a wrong one is refused where it was given.
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

/* ---- types ---- */

static bool
find_type(const char *word, size_t size, enum define_type *type)
{
    const struct blob_section *section = &blob_sections[SECTION_define];
    const struct blob_vocabulary *types = section->field[offsetof(struct blob_define, type) / sizeof(u32)].vocabulary;
    for (u32 i = DEFINE_TEXT; i < types->count; i++)
        if (strlen(types->word[i]) == size && memcmp(types->word[i], word, size) == 0) {
            *type = (enum define_type)i;
            return true;
        }
    return false;
}

/* One line, and no variables: those are for values whose meaning the place decides. */
static bool
is_plain(const char *value)
{
    return value[strcspn(value, "$\r\n")] == '\0';
}

static const char *
judge(enum define_type type, const char *value)
{
    u64 number;
    struct address address;
    size_t size = strlen(value);
    switch (type) {
    case DEFINE_TEXT:
        return is_plain(value) ? NULL : "a text is one line and has no $";
    case DEFINE_NUMBER:
        return value_number(value, size, &number) == READ_OK ? NULL : "a number is written in digits: 100";
    case DEFINE_SIZE:
        return value_size(value, size, &number) == READ_OK ? NULL : "a size is written 65536, 64k or 1m";
    case DEFINE_TIME:
        return value_time_ms(value, size, &number) == READ_OK ? NULL : "a time is written 30, 30s, 1m30s or 500ms";
    case DEFINE_ADDRESS:
        return is_plain(value) && value_address(value, false, &address) == ADDRESS_OK
                   ? NULL
                   : "an address is written 10.0.0.1, 10.0.0.1:80, [::1]:80, host:80 or unix:/run/socket";
    case DEFINE_PORT:
        return value_number(value, size, &number) == READ_OK && number >= 1 && number <= PORT_MAX
                   ? NULL
                   : "a port is a number from 1 to 65535";
    case DEFINE_FLAG:
        return value_flag(value, size, &number) == READ_OK ? NULL : "a flag is on or off";
    default:
        return NULL;
    }
}

/* ---- the command line ---- */

const char *
define_add(struct unit *unit, const char *text)
{
    size_t size = 0;
    enum define_type type = DEFINE_ANY;
    while (is_name(text[size]))
        size++;
    const char *value = text + size;
    if (*value == ':') {
        size_t length = strcspn(value + 1, "=");
        if (!find_type(value + 1, length, &type))
            return "a type is text, number, size, time, address, port or flag";
        value += 1 + length;
    }
    if (*value++ != '=')
        return "it is not NAME=VALUE or NAME:TYPE=VALUE with a name of letters, digits and _";
    if (size == 0 || (text[0] >= '0' && text[0] <= '9'))
        return "a name begins with a letter or _";
    const char *name = arena_text(&unit->arena, text, size);
    if (expr_is_builtin(name))
        return "a variable has that name";
    if (find(unit, name, size) != NULL)
        return "that name is given twice";
    if (strlen(value) > WORD_SIZE_MAX)
        return "the value is too long";
    const char *wrong = judge(type, value);
    if (wrong != NULL)
        return wrong;
    struct define *define = vector_add(&unit->arena, &unit->defines, sizeof *define);
    *define = (struct define){name, value, type};
    return NULL;
}

/* ---- words ---- */

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
                                     image_text(unit, define[i].value, strlen(define[i].value)), define[i].type};
        image_add(unit, SECTION_define, &record, (struct span){0});
    }
}
