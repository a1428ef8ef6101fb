/*
 * What is told of findings, for people and for machines: the findings of one unit after the other come in, one
 * document goes out. Places, fingerprints and counts are made here; how they are written is the format's affair, in
 * report_*.c. For people, diag.c prints to standard error; for machines it is standard output.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct report_format *const formats[] = {
    &report_gcc, &report_json, &report_sarif, &report_github, &report_gitlab, &report_junit,
};

/* ---- open, close ---- */

bool
report_wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDERR_FILENO) && (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

static const struct report_format *
find_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcasecmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

struct report *
report_open(const struct report_wish *wish)
{
    struct arena arena = {0};
    struct report *report = arena_take(&arena, sizeof *report);
    report->arena = arena;
    report->root = wish->root;
    report->fail_on = wish->fail_on;
    report->format = wish->format != NULL ? find_format(wish->format) : NULL;
    report->file = report->format != NULL ? stdout : stderr;
    report->colour = report->format == NULL && report_wants_colour();
    if (report->format != NULL && report->format->open != NULL)
        report->format->open(report);
    return report;
}

bool
report_close(struct report *report)
{
    if (report->format != NULL && report->format->close != NULL)
        report->format->close(report);
    bool good = fflush(report->file) == 0 && ferror(report->file) == 0;
    struct arena arena = report->arena; /* the report itself is in it */
    arena_free(&arena);
    return good;
}

/* ---- places ---- */

/* path without "." and "..", as its text alone tells; what leads out of a relative one stays. */
static const char *
normal(struct report *report, const char *path)
{
    char *result = arena_take(&report->arena, strlen(path) + 2), *to = result;
    bool absolute = *path == '/';
    u32 depth = 0; /* names that ".." may take back */
    for (size_t size; *path != '\0'; path += size) {
        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (size == 0 || (size == 1 && *path == '.'))
            continue;
        bool up = size == 2 && path[0] == '.' && path[1] == '.';
        if (up && (depth > 0 || absolute)) {
            while (depth > 0 && to > result && *--to != '/')
                ;
            depth -= depth > 0;
            continue;
        }
        if (to > result || absolute)
            *to++ = '/';
        to = (char *)memcpy(to, path, size) + size;
        depth += !up;
    }
    *to = '\0';
    return *result != '\0' ? result : absolute ? "/" : ".";
}

static const char *
absolute(struct report *report, const char *path)
{
    char *here = *path != '/' ? getcwd(NULL, 0) : NULL;
    const char *result = normal(report, here != NULL ? arena_print(&report->arena, "%s/%s", here, path) : path);
    free(here);
    return result;
}

/* path from the root, or absolute if it is not below that. Where spcc was started is asked only if it matters. */
static const char *
from_root(struct report *report, const char *path)
{
    const char *plain = normal(report, path);
    if (*path == '<' || (report->root == NULL && *plain != '/' && strncmp(plain, "..", 2) != 0))
        return *path == '<' ? path : plain;
    const char *root = absolute(report, report->root != NULL ? report->root : ".");
    const char *whole = absolute(report, path);
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root);
    return strncmp(whole, root, size) == 0 && whole[size] == '/' ? whole + size + 1 : whole;
}

static u32
characters(const char *from, const char *end)
{
    u32 count = 0;
    for (; from < end; from++)
        count += ((u8)*from & 0xc0) != 0x80;
    return count;
}

static struct report_place
place_of(struct report *report, struct unit *unit, const char *file, struct span span)
{
    struct place place = source_place(unit, span.start);
    if (place.source == NULL)
        return (struct report_place){from_root(report, file), 1, 1, 1};
    const char *start = place.source->text + place.offset, *end = place.source->text + (span.end - place.source->base);
    const char *stop = start + strcspn(start, "\r\n");
    struct report_place result = {from_root(report, place.source->path), place.line, place.column, 0};
    result.end = place.column + characters(start, end < stop ? end : stop);
    return result;
}

/* ---- fingerprints ---- */

static u64
hash(u64 seed, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ (u8)text[i]) * 0x100000001b3; /* FNV-1a */
    return seed;
}

/* Of the code, the file and the words of the line: how often the same was there before makes the difference. */
static const char *
fingerprint_of(struct report *report, struct unit *unit, const struct diag *diag, const char *file)
{
    const struct diagnostic_row *row = &diagnostics[diag->id];
    struct place place = source_place(unit, diag->span.start);
    u64 *key = arena_take(&report->arena, sizeof *key);
    *key = hash(hash(0xcbf29ce484222325, row->code, strlen(row->code) + 1), file, strlen(file) + 1);
    const char *line = place.source != NULL ? place.source->text + place.source->line[place.line - 1] : "";
    for (const char *stop = line + strcspn(line, "\r\n"); line < stop; line += strcspn(line, " \t\r\n")) {
        line += strspn(line, " \t");
        *key = hash(hash(*key, line, strcspn(line, " \t\r\n")), " ", 1);
    }
    u32 count = ++*map_at(&report->arena, &report->hashes, key, sizeof *key);
    return arena_print(&report->arena, "%016llx:%u", (unsigned long long)*key, count);
}

/* ---- findings ---- */

bool
report_fails(const struct report *report, enum severity severity)
{
    return (int)severity < (int)report->fail_on;
}

const char *
report_sentence(struct report *report, const char *says)
{
    char *result = arena_take(&report->arena, 3 * strlen(says) + 1), *to = result;
    bool gap = false;
    for (; *says != '\0'; says++) {
        if (*says == '%' && says[1] != '%') {
            says += strcspn(says, "sud");
            to = gap ? to : stpcpy(to, "...");
            gap = true;
            continue;
        }
        says += *says == '%';
        *to++ = *says;
        gap = false;
    }
    return result;
}

const char *
report_clean(struct report *report, const char *text)
{
    size_t size = strlen(text);
    char *result = arena_text(&report->arena, text, size);
    for (size_t i = 0; i < size;) {
        u32 code, length = diag_character(text + i, size - i, &code);
        if (length == 0 && text[i] != '\n')
            result[i] = '?';
        i += length > 0 ? length : 1;
    }
    return result;
}

static const struct report_note *
notes_of(struct report *report, struct unit *unit, const struct diag *diag, const char *file)
{
    struct report_note *note = arena_take(&report->arena, (diag->notes.count + 1) * sizeof *note);
    const struct remark *remark = diag->notes.item;
    for (u32 i = 0; i < diag->notes.count; i++) {
        struct span span = remark[i].span.start != 0 ? remark[i].span : diag->span;
        note[i] = (struct report_note){place_of(report, unit, file, span), remark[i].text};
    }
    return note;
}

/* Two files may include the same one: what is found there is told once. */
static bool
is_new(struct report *report, const struct report_finding *finding)
{
    const struct report_place *place = &finding->place;
    const char *key = arena_print(&report->arena, "%u:%u %s %s\n%s", place->line, place->column, finding->row->code,
                                  finding->text, place->file);
    return ++*map_at(&report->arena, &report->seen, key, strlen(key)) == 1;
}

static void
tell(struct report *report, struct unit *unit, const struct diag *diag, const char *file)
{
    struct report_finding finding = {
        .row = &diagnostics[diag->id],
        .severity = severity_of(unit, diag->id),
        .place = place_of(report, unit, file, diag->span),
        .text = diag->text,
        .help = diag->help,
        .silenced = diag->silenced,
        .note = notes_of(report, unit, diag, file),
        .note_count = diag->notes.count,
    };
    if (!is_new(report, &finding))
        return;
    finding.fingerprint = fingerprint_of(report, unit, diag, finding.place.file);
    if (report->format->finding != NULL)
        report->format->finding(report, &finding);
}

static struct report_count
count_of(struct unit *unit)
{
    struct report_count count = {0};
    struct diag **diag = unit->diags.item;
    for (u32 i = 0; i < unit->diags.count; i++)
        ++*(diag[i]->silenced != NULL ? &count.silenced : &count.of[severity_of(unit, diag[i]->id)]);
    return count;
}

bool
report_unit(struct report *report, struct unit *unit, const char *file, bool readable)
{
    struct report_count *count = &report->count, *total = &report->total;
    bool failed = false;
    diag_finish(unit);
    struct diag **diag = unit->diags.item;
    *count = count_of(unit);
    report->unreadable = !readable;
    report->lines.count = 0;
    for (u32 i = 0; i < unit->diags.count && report->format != NULL; i++)
        tell(report, unit, diag[i], file);
    for (enum severity severity = SEVERITY_ERROR; severity <= SEVERITY_NOTE; severity++) {
        failed |= count->of[severity] > 0 && report_fails(report, severity);
        total->of[severity] += count->of[severity];
    }
    total->silenced += count->silenced;
    report->file_count++;
    report->unreadable_count += !readable;
    report->failed_count += failed && readable;
    if (report->format == NULL)
        diag_print(unit, report->file, report->colour);
    else if (report->format->file != NULL)
        report->format->file(report, from_root(report, file));
    return !failed;
}
