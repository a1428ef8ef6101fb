/*
 * The pid file: the number of the process that obeys signals. A start without it, if it is asked for, would leave a
 * process that nobody finds; so, as in nginx, there is none, and a reload that wants one that cannot be is refused.
 */
#include "spcd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Empty: none is asked for. */
static const char *
path_of(const struct surroundings *s)
{
    return blob_string(&s->mapping->blob, s->mapping->blob.main[1].pid);
}

/* False: it cannot be written, and errno says why. */
static bool
put(const struct surroundings *s)
{
    if (path_of(s)[0] == '\0')
        return true;
    FILE *file = fopen(path_of(s), "we");
    if (!file)
        return false;
    bool good = fprintf(file, "%d\n", getpid()) > 0;
    return fclose(file) == 0 && good;
}

void
pid_write(const struct surroundings *s)
{
    if (!put(s))
        die("writing %s: %s", path_of(s), strerror(errno));
}

bool
pid_renew(const struct surroundings *s, const struct surroundings *old, const struct logger *logger)
{
    if (!old || strcmp(path_of(s), path_of(old)) == 0 || put(s))
        return true;
    log_write(logger, LEVEL_EMERG, 0, errno, "writing %s failed", path_of(s));
    return false;
}

void
pid_settle(const struct surroundings *kept, const struct surroundings *lost)
{
    if (strcmp(path_of(kept), path_of(lost)) != 0)
        pid_remove(lost);
}

void
pid_remove(const struct surroundings *s)
{
    if (path_of(s)[0] != '\0')
        unlink(path_of(s));
}
