/*
 * Findings as JUnit's XML: each file that was named is a test case, which passes if nothing that fails it was found.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

/* Text for an attribute or an element. What XML cannot hold became "?" in report_clean(). */
static void
write_text(struct report *report, FILE *file, const char *text)
{
    static const struct {
        char from;
        const char *to;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}, {'\n', "&#10;"}};
    for (const char *c = report_clean(report, text); *c != '\0'; c++) {
        const char *escape = NULL;
        for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
            if (escapes[i].from == *c)
                escape = escapes[i].to;
        if (escape != NULL)
            fputs(escape, file);
        else
            fputc(*c, file);
    }
}

static void
junit_finding(struct report *report, const struct report_finding *finding)
{
    const struct report_place *place = &finding->place;
    if (finding->silenced != NULL)
        return;
    const char **line = vector_add(&report->arena, &report->lines, sizeof *line);
    *line = arena_print(&report->arena, "%s:%u:%u: %s: %s [%s %s]%s%s\n", place->file, place->line, place->column,
                        severity_words[finding->severity], finding->text, finding->row->code, finding->row->name,
                        finding->help != NULL ? "\n    help: " : "", finding->help != NULL ? finding->help : "");
}

static bool
has_failed(const struct report *report)
{
    for (enum severity severity = SEVERITY_ERROR; severity <= SEVERITY_NOTE; severity++)
        if (report->count.of[severity] > 0 && report_fails(report, severity))
            return true;
    return false;
}

static void
write_case(struct report *report, FILE *file, const char *path)
{
    const char **line = report->lines.item;
    const char *element = report->unreadable ? "error" : has_failed(report) ? "failure" : "system-out";
    const struct report_count *count = &report->count;
    fputs("  <testcase classname=\"spcc\" name=\"", file);
    write_text(report, file, path);
    if (report->lines.count == 0) {
        fputs("\"/>\n", file);
        return;
    }
    fprintf(file, "\">\n    <%s", element);
    if (strcmp(element, "system-out") != 0)
        fprintf(file, " type=\"%s\" message=\"errors: %u, warnings: %u, notes: %u\"",
                report->unreadable ? "unreadable" : "findings", count->of[SEVERITY_ERROR],
                count->of[SEVERITY_WARNING], count->of[SEVERITY_NOTE]);
    fputc('>', file);
    for (u32 i = 0; i < report->lines.count; i++)
        write_text(report, file, line[i]);
    fprintf(file, "</%s>\n  </testcase>\n", element);
}

static void
junit_file(struct report *report, const char *path)
{
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL)
        return;
    write_case(report, file, path);
    fclose(file);
    *(const char **)vector_add(&report->arena, &report->files, sizeof text) = arena_text(&report->arena, text, size);
    free(text);
}

static void
junit_close(struct report *report)
{
    const char **text = report->files.item;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", report->file);
    fprintf(report->file, "<testsuite name=\"spcc\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"0\">\n",
            report->file_count, report->failed_count, report->unreadable_count);
    for (u32 i = 0; i < report->files.count; i++)
        fputs(text[i], report->file);
    fputs("</testsuite>\n</testsuites>\n", report->file);
}

const struct report_format report_junit = {
    .name = "junit", .finding = junit_finding, .file = junit_file, .close = junit_close};
