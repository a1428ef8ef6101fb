/*
 * Findings as JSON: spcc's own, which docs/JSON.md describes, and GitLab's report of code quality. One line a finding.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

/* ---- strings ---- */

/* The bytes of a UTF-8 character that may stand in JSON as it is, and needs no escape; 0 for others. */
static u32
plain(const char *text, size_t size)
{
    u32 code, length = diag_character(text, size, &code);
    return *text == '"' || *text == '\\' ? 0 : length;
}

void
report_json_text(FILE *file, const char *text)
{
    size_t size = strlen(text);
    fputc('"', file);
    for (size_t i = 0; i < size;) {
        u32 length = plain(text + i, size - i);
        u8 byte = (u8)text[i];
        if (length > 0)
            fwrite(text + i, 1, length, file);
        else if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            fprintf(file, "\\u%04x", byte);
        else
            fputs("\\ufffd", file); /* it is not UTF-8, or turns the text around */
        i += length > 0 ? length : 1;
    }
    fputc('"', file);
}

static void
member(FILE *file, const char *name, const char *text)
{
    fprintf(file, "\"%s\":", name);
    if (text != NULL)
        report_json_text(file, text);
    else
        fputs("null", file);
}

/* ---- json ---- */

static void
json_open(struct report *report)
{
    fputs("{\"format\":\"spcc-findings\",\"version\":1,\"spcc\":\"" SPC_VERSION "\",\n\"findings\":[", report->file);
}

static void
json_place(FILE *file, const struct report_place *place)
{
    member(file, "file", place->file);
    fprintf(file, ",\"line\":%u,\"column\":%u,\"end_column\":%u", place->line, place->column, place->end);
}

static void
json_finding(struct report *report, const struct report_finding *finding)
{
    FILE *file = report->file;
    fprintf(file, "%s\n{\"code\":\"%s\",\"name\":\"%s\",\"severity\":\"%s\",", report->told++ > 0 ? "," : "",
            finding->row->code, finding->row->name, severity_words[finding->severity]);
    json_place(file, &finding->place);
    fputc(',', file);
    member(file, "message", finding->text);
    fputc(',', file);
    member(file, "help", finding->help);
    fputs(",\"notes\":[", file);
    for (u32 i = 0; i < finding->note_count; i++) {
        fputs(i > 0 ? ",{" : "{", file);
        json_place(file, &finding->note[i].place);
        fputc(',', file);
        member(file, "message", finding->note[i].text);
        fputc('}', file);
    }
    fputs("],", file);
    member(file, "silenced", finding->silenced);
    fputc(',', file);
    member(file, "fingerprint", finding->fingerprint);
    fputc('}', file);
}

static void
json_counts(FILE *file, const struct report_count *count)
{
    fprintf(file, "\"errors\":%u,\"warnings\":%u,\"notes\":%u,\"silenced\":%u", count->of[SEVERITY_ERROR],
            count->of[SEVERITY_WARNING], count->of[SEVERITY_NOTE], count->silenced);
}

/* The files come behind the findings, and the findings are written as they come: keep the lines until then. */
static void
json_file(struct report *report, const char *path)
{
    char *text;
    size_t size;
    FILE *line = open_memstream(&text, &size);
    if (line == NULL)
        return;
    fputc('{', line);
    member(line, "file", path);
    fprintf(line, ",\"readable\":%s,", report->unreadable ? "false" : "true");
    json_counts(line, &report->count);
    fputc('}', line);
    fclose(line);
    *(const char **)vector_add(&report->arena, &report->files, sizeof text) = arena_text(&report->arena, text, size);
    free(text);
}

static void
json_close(struct report *report)
{
    const char **line = report->files.item;
    fputs("],\n\"files\":[", report->file);
    for (u32 i = 0; i < report->files.count; i++)
        fprintf(report->file, "%s\n%s", i > 0 ? "," : "", line[i]);
    fputs("],\n\"summary\":{", report->file);
    json_counts(report->file, &report->total);
    fprintf(report->file, ",\"files\":%u,\"failed\":%u,\"unreadable\":%u}}\n", report->file_count, report->failed_count,
            report->unreadable_count);
}

const struct report_format report_json = {
    .name = "json", .open = json_open, .finding = json_finding, .file = json_file, .close = json_close};

/* ---- gitlab ---- */

static void
gitlab_open(struct report *report)
{
    fputc('[', report->file);
}

static void
gitlab_finding(struct report *report, const struct report_finding *finding)
{
    static const char *const words[] = {"critical", "minor", "info"};
    FILE *file = report->file;
    if (finding->silenced != NULL)
        return;
    fprintf(file, "%s\n{\"type\":\"issue\",\"check_name\":\"%s %s\",", report->told++ > 0 ? "," : "",
            finding->row->code, finding->row->name);
    member(file, "description",
           arena_print(&report->arena, "%s [%s %s]%s%s", finding->text, finding->row->code, finding->row->name,
                       finding->help != NULL ? "; help: " : "", finding->help != NULL ? finding->help : ""));
    fprintf(file, ",\"severity\":\"%s\",", words[finding->severity]);
    member(file, "fingerprint", finding->fingerprint);
    fputs(",\"location\":{", file);
    member(file, "path", finding->place.file);
    fprintf(file, ",\"lines\":{\"begin\":%u}}}", finding->place.line);
}

static void
gitlab_close(struct report *report)
{
    fputs(report->told > 0 ? "\n]\n" : "]\n", report->file);
}

const struct report_format report_gitlab = {
    .name = "gitlab", .open = gitlab_open, .finding = gitlab_finding, .close = gitlab_close};
