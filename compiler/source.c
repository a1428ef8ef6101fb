/*
 * Files: names in, text with positions out. Includes are looked for as nginx does it, relative to the directory
 * of the main file, then in the directories of -I. What the text means is for others.
 */
#include "spcc.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

/* Whole content of fd into text; false: errno says why, EFBIG for more than limit bytes. */
static bool
read_all(struct unit *unit, int fd, size_t guess, size_t limit, char **text, size_t *size)
{
    size_t capacity = guess + 4096;
    char *buffer = arena_take(&unit->arena, capacity);
    *size = 0;
    for (;;) {
        if (*size + 1 >= capacity) {
            char *larger = arena_take(&unit->arena, capacity * 2);
            memcpy(larger, buffer, *size);
            buffer = larger;
            capacity *= 2;
        }
        ssize_t got = read(fd, buffer + *size, capacity - *size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        *size += (size_t)got;
        if (*size > limit) {
            errno = EFBIG;
            return false;
        }
    }
    buffer[*size] = '\0';
    *text = buffer;
    return true;
}

static void
find_lines(struct unit *unit, struct source *source)
{
    u32 count = 1, line = 0;
    for (u32 i = 0; i < source->size; i++)
        count += source->text[i] == '\n';
    source->line = arena_take(&unit->arena, count * sizeof *source->line);
    source->line_count = count;
    for (u32 i = 0; i < source->size; i++)
        if (source->text[i] == '\n')
            source->line[++line] = i + 1;
}

struct source *
source_of_text(struct unit *unit, const char *name, const char *text, u32 size)
{
    struct source *source = arena_take(&unit->arena, sizeof *source);
    *source = (struct source){.path = name, .name = name, .text = text, .size = size, .base = unit->position};
    find_lines(unit, source);
    unit->position += size + 1;
    *(struct source **)vector_add(&unit->arena, &unit->sources, sizeof source) = source;
    return source;
}

static const char *
quoted(struct unit *unit, const char *text)
{
    return show(unit, text, strlen(text));
}

/* Say once that this is too much, and read nothing more. */
static void
say_full(struct unit *unit, const char *path, struct span span, const char *limit)
{
    if (!unit->full)
        diag(unit, too_much, span, quoted(unit, path), limit);
    unit->full = unit->broken = true;
}

/* Add path, open as fd, to the sources. NULL: it was reported at span. Closes fd. */
static struct source *
add_source(struct unit *unit, int fd, const char *path, const char *name, struct span span)
{
    struct stat status;
    char *text;
    size_t size, limit = SOURCE_SIZE_MAX - unit->position;
    bool good = fstat(fd, &status) == 0;
    if (good && S_ISDIR(status.st_mode)) {
        diag(unit, directory, span, quoted(unit, path));
        if (span.start != 0)
            diag_help(unit, "to include every file in it, write: include %s/*.conf;", name);
        close(fd);
        return NULL;
    }
    if (good)
        good = read_all(unit, fd, S_ISREG(status.st_mode) ? (size_t)status.st_size % limit : 0, limit, &text, &size);
    int error = errno;
    close(fd);
    if (!good && error == EFBIG)
        say_full(unit, path, span, "1 GiB");
    else if (!good)
        diag(unit, unreadable, span, quoted(unit, path), strerror(error));
    if (!good)
        return NULL;
    struct source *source = source_of_text(unit, path, text, (u32)size);
    source->name = name;
    source->include = span;
    source->device = status.st_dev;
    source->inode = status.st_ino;
    return source;
}

bool
source_open(struct unit *unit, const char *path, const struct source **source)
{
    bool standard = strcmp(path, "-") == 0;
    const char *slash = strrchr(path, '/'), *name = slash != NULL && !standard ? slash + 1 : path;
    unit->prefix = arena_text(&unit->arena, path, (size_t)(name - path));
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        diag(unit, unreadable, (struct span){0}, quoted(unit, path), strerror(errno));
        return false;
    }
    *source = add_source(unit, fd, standard ? "<stdin>" : path, standard ? "<stdin>" : name, (struct span){0});
    return *source != NULL;
}

/* ---- include ---- */

/* Is the file of source among those that are being included right now? */
static bool
is_cycle(struct unit *unit, const struct source *source)
{
    for (u32 at = source->include.start; at != 0;) {
        const struct source *outer = source_at(unit, at);
        if (outer->device == source->device && outer->inode == source->inode)
            return true;
        at = outer->include.start;
    }
    return false;
}

static void
include_file(struct unit *unit, const struct word *word, const char *path, const char *name, struct vector *found)
{
    u32 depth = source_at(unit, word->span.start)->depth + 1;
    if (depth > INCLUDE_DEPTH_MAX) {
        diag(unit, include_depth, word->span, INCLUDE_DEPTH_MAX);
        return;
    }
    if (unit->sources.count >= FILES_MAX)
        say_full(unit, path, word->span, "20,000 files");
    if (unit->full)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        diag(unit, unreadable, word->span, quoted(unit, path), strerror(errno));
        return;
    }
    struct source *source = add_source(unit, fd, path, name, word->span);
    if (source == NULL)
        return;
    source->depth = depth;
    if (is_cycle(unit, source)) {
        diag(unit, include_cycle, word->span, quoted(unit, name));
        return;
    }
    *(struct source **)vector_add(&unit->arena, found, sizeof source) = source;
}

static int
by_name(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* text with a backslash before whatever glob() would take for a pattern. */
static const char *
literal(struct unit *unit, const char *text)
{
    char *result = arena_take(&unit->arena, 2 * strlen(text) + 1), *to = result;
    for (; *text != '\0'; text++) {
        if (strchr("*?[\\", *text) != NULL)
            *to++ = '\\';
        *to++ = *text;
    }
    return result;
}

/* Include what matches directory + pattern; false: nothing does. Names go without the directory. */
static bool
include_matches(struct unit *unit, const struct word *word, const char *directory, struct vector *found)
{
    glob_t matches;
    const char *pattern = arena_print(&unit->arena, "%s%s", literal(unit, directory), word->text);
    if (glob(pattern, GLOB_NOSORT, NULL, &matches) != 0)
        return false;
    qsort(matches.gl_pathv, matches.gl_pathc, sizeof *matches.gl_pathv, by_name);
    for (size_t i = 0; i < matches.gl_pathc; i++) {
        const char *path = arena_text(&unit->arena, matches.gl_pathv[i], strlen(matches.gl_pathv[i]));
        include_file(unit, word, path, path + strlen(directory), found);
    }
    globfree(&matches);
    return true;
}

/* Include directory + word; false: there is no such file. */
static bool
include_one(struct unit *unit, const struct word *word, const char *directory, struct vector *found)
{
    const char *path = arena_print(&unit->arena, "%s%s", directory, word->text);
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return false;
    include_file(unit, word, path, path + strlen(directory), found);
    return true;
}

void
source_include(struct unit *unit, const struct word *word, struct vector *found)
{
    bool is_pattern = strpbrk(word->text, "*?[") != NULL, absolute = word->text[0] == '/';
    bool (*include)(struct unit *, const struct word *, const char *, struct vector *) =
        is_pattern ? include_matches : include_one;
    if (include(unit, word, absolute ? "" : unit->prefix, found))
        return;
    for (u32 i = 0; i < unit->include_path_count && !absolute; i++)
        if (include(unit, word, arena_print(&unit->arena, "%s/", unit->include_path[i]), found))
            return;
    if (is_pattern)
        return; /* as in nginx, a pattern may match nothing */
    diag(unit, unreadable, word->span,
         quoted(unit, arena_print(&unit->arena, "%s%s", absolute ? "" : unit->prefix, word->text)), strerror(ENOENT));
    if (!absolute)
        diag_help(unit, "names are looked for beside the main file%s",
                  unit->include_path_count > 0 ? ", then in the directories of -I"
                                               : "; -I DIR adds a directory to look in");
}

/* ---- positions ---- */

struct source *
source_at(const struct unit *unit, u32 position)
{
    struct source **source = unit->sources.item;
    u32 low = 0, high = unit->sources.count;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (source[middle]->base <= position)
            low = middle;
        else
            high = middle;
    }
    return high > 0 ? source[low] : NULL;
}

/* The characters between two bytes: those that do not continue one. */
static u32
characters(const char *from, const char *to)
{
    u32 count = 0;
    for (; from < to; from++)
        count += ((u8)*from & 0xc0) != 0x80;
    return count;
}

struct place
source_place(const struct unit *unit, u32 position)
{
    const struct source *source = position > 0 ? source_at(unit, position) : NULL;
    if (source == NULL)
        return (struct place){0};
    u32 offset = position - source->base, low = 0, high = source->line_count;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (source->line[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    const char *line = source->text + source->line[low];
    if (low == 0 && strncmp(line, BYTE_ORDER_MARK, 3) == 0 && offset >= 3)
        line += 3; /* the byte order mark is no character */
    return (struct place){source, low + 1, characters(line, source->text + offset) + 1, offset};
}
