/*
 * fmt over one file: the layout of format.c is compared with what is there, and the file replaced, named, or the
 * difference printed. A file that does not parse, and one that is as it should be, are left alone.
 */
#include "spcc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rewritten
replace(struct unit *unit, const struct source *source, const struct formatted *formatted, const char **wrong)
{
    struct stat status;
    if (stat(source->path, &status) != 0)
        *wrong = strerror(errno);
    else if (!S_ISREG(status.st_mode))
        *wrong = "it is not a file";
    else
        *wrong = output_replace(unit, source->path, formatted->text, formatted->size, &status);
    return *wrong == NULL ? REWRITE_DIFFERS : REWRITE_FAILED;
}

/* A filter prints the text, changed or not. */
static enum rewritten
filter(const struct formatted *formatted, bool same, const char **wrong)
{
    if (output_write(STDOUT_FILENO, formatted->text, formatted->size))
        return same ? REWRITE_SAME : REWRITE_DIFFERS;
    *wrong = strerror(errno);
    return REWRITE_FAILED;
}

enum rewritten
rewrite(struct unit *unit, const char *path, enum rewrite how, const char **wrong)
{
    const struct source *source;
    struct formatted formatted;
    *wrong = NULL;
    if (!source_open(unit, path, &source))
        return REWRITE_FAILED;
    if (!format(unit, source, &formatted))
        return REWRITE_REFUSED;
    if (!formatted.faithful) {
        *wrong = "this is a bug of spcc: the layout would change what it says";
        return REWRITE_FAILED;
    }
    bool same = formatted.size == source->size && memcmp(formatted.text, source->text, source->size) == 0;
    if (how == REWRITE_IN_PLACE && strcmp(path, "-") == 0)
        return filter(&formatted, same, wrong);
    if (same)
        return REWRITE_SAME;
    if (how == REWRITE_IN_PLACE)
        return replace(unit, source, &formatted, wrong);
    if (how == REWRITE_CHECK)
        puts(source->path);
    else
        unified_print(unit, source, &formatted, stdout);
    return REWRITE_DIFFERS;
}
