/*
 * What is wrong: reports in, any order; sorted, readable text out.
 *
 *     web.conf:12:5: error: port 443 is already taken [SP201 duplicate-listen]
 *        12 |     listen 443 ssl;
 *           |     ^~~~~~~~~~~~~~
 *     web.conf:4:5: note: first taken here
 *     help: give the servers different names with server_name and share one listen
 *
 * Nothing of a configuration reaches the terminal unfiltered: control characters become "?".
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 60, LINE_MAX_SHOWN = 160, LINE_CONTEXT = 40 };

/* ---- collecting ---- */

void
diag_add(struct unit *unit, enum diagnostic id, struct span span, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct diag *diag = arena_take(&unit->arena, sizeof *diag);
    bool wanted = severity_is_wanted(unit, id);
    if (wanted) /* else notes and help go where nobody looks */
        *(struct diag **)vector_add(&unit->arena, &unit->diags, sizeof diag) = diag;
    *diag = (struct diag){.id = id, .span = span, .order = unit->diags.count};
    diag->text = arena_vprint(&unit->arena, format, arguments);
    va_end(arguments);
    if (diagnostics[id].advice[0] != '\0')
        diag->help = diagnostics[id].advice;
    unit->last = diag;
    unit->error_count += diagnostics[id].severity == SEVERITY_ERROR;
}

void
diag_note(struct unit *unit, struct span span, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct remark *note = vector_add(&unit->arena, &unit->last->notes, sizeof *note);
    *note = (struct remark){span, arena_vprint(&unit->arena, format, arguments)};
    va_end(arguments);
}

void
diag_help(struct unit *unit, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    unit->last->help = arena_vprint(&unit->arena, format, arguments);
    va_end(arguments);
}

void
diag_withdraw(struct unit *unit, struct diag *diag)
{
    unit->error_count -= !diag->withdrawn && diagnostics[diag->id].severity == SEVERITY_ERROR;
    diag->withdrawn = true;
}

bool
diag_failed(const struct unit *unit)
{
    return unit->error_count > 0;
}

/* ---- text made harmless ---- */

/* The bytes of the UTF-8 character at text, of at most size; 0 if it is not one or not to be printed. */
u32
diag_character(const char *text, size_t size, u32 *code)
{
    const u8 *byte = (const u8 *)text;
    u32 length = byte[0] < 0x80 ? 1 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    if ((byte[0] >= 0x80 && byte[0] < 0xc2) || byte[0] > 0xf4 || length > size)
        return 0;
    *code = length == 1 ? byte[0] : byte[0] & (0x7f >> length);
    for (u32 i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (byte[i] & 0x3f);
    }
    bool overlong = (length == 3 && *code < 0x800) || (length == 4 && *code < 0x10000);
    bool control = *code < 0x20 || (*code >= 0x7f && *code < 0xa0) || (*code >= 0x202a && *code <= 0x202e) ||
                   (*code >= 0x2066 && *code <= 0x2069); /* the last two turn the direction of text */
    bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return overlong || control || surrogate || *code > 0x10ffff ? 0 : length;
}

/* Columns of a terminal that a character takes: East Asian ones two, combining ones none. */
static u32
width_of(u32 code)
{
    static const struct {
        u32 first, last, width;
    } table[] = {
        {0x0300, 0x036f, 0}, {0x1100, 0x115f, 2}, {0x200b, 0x200f, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},
        {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2}, {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},   {0xfeff, 0xfeff, 0},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1f64f, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (code >= table[i].first && code <= table[i].last)
            return table[i].width;
    return 1;
}

const char *
show(struct unit *unit, const char *text, size_t size)
{
    char *result = arena_take(&unit->arena, SHOWN_MAX + 16), *to = result;
    const char *from = text, *end = text + size;
    *to++ = '"';
    while (from < end && to - result < SHOWN_MAX) {
        u32 code, length = diag_character(from, (size_t)(end - from), &code);
        if (length == 0)
            *to++ = '?';
        else
            to = (char *)memcpy(to, from, length) + length;
        from += length > 0 ? length : 1;
    }
    strcpy(to, from < end ? "...\"" : "\"");
    return result;
}

const char *
diag_harmless(struct unit *unit, const char *text)
{
    size_t size = strlen(text);
    char *result = arena_text(&unit->arena, text, size);
    for (size_t i = 0; i < size;) {
        u32 code, length = diag_character(text + i, size - i, &code);
        if (length == 0)
            result[i] = '?';
        i += length > 0 ? length : 1;
    }
    return result;
}

/* ---- printing ---- */

struct printer {
    struct unit *unit;
    FILE *file;
    bool colour;
};

static const char *const colours[] = {"\033[1;31m", "\033[1;35m", "\033[1;36m"}; /* of error, warning, note */

static const char *
paint(const struct printer *printer, const char *colour)
{
    return printer->colour ? colour : "";
}

/* Print the characters between two bytes, at most limit columns; with underline, "^~~~" for them instead. */
static u32
print_text(const struct printer *printer, const char *from, const char *end, u32 limit, bool blank)
{
    u32 columns = 0;
    while (from < end && columns < limit) {
        u32 code = 0, length = diag_character(from, (size_t)(end - from), &code);
        u32 width = length > 0 ? width_of(code) : 1;
        if (*from == '\t')
            fputc('\t', printer->file);
        else if (blank)
            fprintf(printer->file, "%*s", (int)width, "");
        else if (length == 0)
            fputc('?', printer->file);
        else
            fwrite(from, 1, length, printer->file);
        columns += width;
        from += length > 0 ? length : 1;
    }
    return columns;
}

static u32
columns_between(const char *from, const char *end)
{
    u32 columns = 0;
    while (from < end) {
        u32 code = 0, length = diag_character(from, (size_t)(end - from), &code);
        columns += length > 0 ? width_of(code) : 1;
        from += length > 0 ? length : 1;
    }
    return columns;
}

/* The source line of place, and a caret with its tail under the part of span in that line. */
static void
print_line(const struct printer *printer, struct place place, struct span span)
{
    const struct source *source = place.source;
    const char *line = source->text + source->line[place.line - 1], *at = source->text + place.offset;
    const char *stop =
        place.line < source->line_count ? source->text + source->line[place.line] - 1 : source->text + source->size;
    if (stop > line && stop[-1] == '\r')
        stop--;
    if (place.line == 1 && strncmp(line, BYTE_ORDER_MARK, 3) == 0)
        line += 3;
    if (at > stop)
        at = stop;
    const char *end = source->text + (span.end - source->base), *from = line;
    if (end > stop)
        end = stop;
    if (columns_between(line, at) > LINE_MAX_SHOWN / 2) { /* a long line: begin a little before the place */
        from = at - LINE_CONTEXT;
        while (from < at && ((u8)*from & 0xc0) == 0x80)
            from++;
    }
    const char *cut = from > line ? "..." : "";
    fprintf(printer->file, "%5u | %s", place.line, cut);
    u32 shown = print_text(printer, from, stop, LINE_MAX_SHOWN, false);
    fprintf(printer->file, "\n      | %*s", (int)strlen(cut), "");
    u32 before = print_text(printer, from, at, LINE_MAX_SHOWN, true);
    u32 tail = at < end ? columns_between(at, end) : 1;
    fprintf(printer->file, "%s^", paint(printer, "\033[1;32m"));
    for (u32 i = 1; i < tail && before + i < shown; i++)
        fputc('~', printer->file);
    fprintf(printer->file, "%s\n", paint(printer, "\033[0m"));
}

static void
print_place(const struct printer *printer, struct place place)
{
    fputs(paint(printer, "\033[1m"), printer->file);
    const char *path = place.source != NULL ? diag_harmless(printer->unit, place.source->path) : NULL;
    if (path != NULL)
        fprintf(printer->file, "%s:%u:%u: ", path, place.line, place.column);
    else
        fputs("spcc: ", printer->file);
    fputs(paint(printer, "\033[0m"), printer->file);
}

static void
print_remark(const struct printer *printer, struct span span, const char *text)
{
    print_place(printer, source_place(printer->unit, span.start));
    fprintf(printer->file, "%snote:%s %s\n", paint(printer, colours[SEVERITY_NOTE]),
            paint(printer, "\033[0m"), text);
}

static void
print_diag(const struct printer *printer, const struct diag *diag)
{
    struct place place = source_place(printer->unit, diag->span.start);
    enum severity severity = severity_of(printer->unit, diag->id);
    print_place(printer, place);
    fprintf(printer->file, "%s%s:%s %s [%s %s]\n", paint(printer, colours[severity]),
            severity_words[severity], paint(printer, "\033[0m"), diag->text, diagnostics[diag->id].code,
            diagnostics[diag->id].name);
    if (place.source != NULL)
        print_line(printer, place, diag->span);
    const struct remark *note = diag->notes.item;
    for (u32 i = 0; i < diag->notes.count; i++)
        print_remark(printer, note[i].span, note[i].text);
    if (place.source != NULL && place.source->include.start != 0 && !place.source->shown) {
        print_remark(printer, place.source->include, "the file is included here");
        source_at(printer->unit, diag->span.start)->shown = true;
    }
    if (diag->help != NULL)
        fprintf(printer->file, "%shelp:%s %s\n", paint(printer, "\033[1;32m"), paint(printer, "\033[0m"), diag->help);
}

static int
by_place(const void *one, const void *other)
{
    const struct diag *a = *(struct diag *const *)one, *b = *(struct diag *const *)other;
    if (a->span.start != b->span.start)
        return a->span.start < b->span.start ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void
diag_finish(struct unit *unit)
{
    struct diag **diag = unit->diags.item;
    u32 count = 0;
    if (unit->diags.count > 0)
        qsort(diag, unit->diags.count, sizeof *diag, by_place);
    for (u32 i = 0; i < unit->diags.count; i++) {
        const struct diag *one = diag[i], *before = count > 0 ? diag[count - 1] : NULL;
        bool again = before != NULL && before->span.start == one->span.start && strcmp(before->text, one->text) == 0;
        if (!one->withdrawn && !again)
            diag[count++] = diag[i];
    }
    unit->diags.count = count;
}

void
diag_print(struct unit *unit, FILE *file, bool colour)
{
    struct printer printer = {unit, file, colour};
    diag_finish(unit);
    struct diag **diag = unit->diags.item;
    u32 told = 0;
    for (u32 i = 0; i < unit->diags.count; i++)
        if (diag[i]->silenced == NULL && told++ < DIAG_PRINT_MAX)
            print_diag(&printer, diag[i]);
    if (told > DIAG_PRINT_MAX)
        fprintf(file, "spcc: and %u more\n", told - DIAG_PRINT_MAX);
}
