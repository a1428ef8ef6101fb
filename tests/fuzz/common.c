/*
 * What the targets have in common. Nothing is read from the disk: the linker puts __wrap_source_include() in place of
 * source_include(), and what an include finds are other parts of the same input.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { SOURCES_MAX = 40 };

struct fuzz_part fuzz_part[FUZZ_PARTS];

void __wrap_source_include(struct unit *unit, const struct word *word, struct vector *found);

void
__wrap_source_include(struct unit *unit, const struct word *word, struct vector *found)
{
    const struct fuzz_part *part = &fuzz_part[strtoul(word->text, NULL, 10) % FUZZ_PARTS];
    if (part->text == NULL || unit->sources.count == SOURCES_MAX)
        return;
    struct source *source = source_of_text(unit, "included.conf", part->text, part->size);
    source->include = word->span;
    *(struct source **)vector_add(&unit->arena, found, sizeof source) = source;
}

char *
fuzz_text(const void *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

void
fuzz_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

FILE *
fuzz_nowhere(void)
{
    static FILE *file;
    if (file == NULL)
        file = fopen("/dev/null", "w");
    if (file == NULL)
        abort();
    return file;
}
