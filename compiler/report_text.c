/*
 * Findings a line each: as gcc writes them, for editors, and as commands to GitHub's runner, for annotations.
 */
#include "report.h"

#include <string.h>

/* ---- gcc: file:line:column: severity: text ---- */

static void
gcc_line(struct report *report, const struct report_place *place, const char *severity, const char *text)
{
    fprintf(report->file, "%s:%u:%u: %s: ", report_clean(report, place->file), place->line, place->column, severity);
    for (const char *c = report_clean(report, text); *c != '\0'; c++)
        fputc(*c == '\n' ? ' ' : *c, report->file);
}

static void
gcc_finding(struct report *report, const struct report_finding *finding)
{
    if (finding->silenced != NULL)
        return;
    gcc_line(report, &finding->place, severity_words[finding->severity], finding->text);
    fprintf(report->file, " [%s %s]\n", finding->row->code, finding->row->name);
    for (u32 i = 0; i < finding->note_count; i++) {
        gcc_line(report, &finding->note[i].place, "note", finding->note[i].text);
        fputc('\n', report->file);
    }
    if (finding->help != NULL) {
        gcc_line(report, &finding->place, "note", "help: ");
        fprintf(report->file, "%s\n", report_clean(report, finding->help));
    }
}

const struct report_format report_gcc = {.name = "gcc", .finding = gcc_finding};

/* ---- github: ::error file=...,line=...::text ---- */

/* Text of a workflow command: % and line ends are escaped, in a property , and : too. */
static void
github_text(struct report *report, const char *text, bool property)
{
    for (const char *c = report_clean(report, text); *c != '\0'; c++) {
        if (*c == '%' || *c == '\n' || (property && (*c == ':' || *c == ',')))
            fprintf(report->file, "%%%02X", (u8)*c);
        else
            fputc(*c, report->file);
    }
}

static void
github_finding(struct report *report, const struct report_finding *finding)
{
    static const char *const words[] = {"error", "warning", "notice"};
    const struct report_place *place = &finding->place;
    if (finding->silenced != NULL)
        return;
    fprintf(report->file, "::%s file=", words[finding->severity]);
    github_text(report, place->file, true);
    fprintf(report->file, ",line=%u,col=%u,endColumn=%u,title=%s %s::", place->line, place->column, place->end,
            finding->row->code, finding->row->name);
    github_text(report, finding->text, false);
    for (u32 i = 0; i < finding->note_count; i++) {
        const struct report_note *note = &finding->note[i];
        github_text(report, "\n", false);
        github_text(report, note->place.file, false);
        fprintf(report->file, ":%u: ", note->place.line);
        github_text(report, note->text, false);
    }
    if (finding->help != NULL) {
        github_text(report, "\nhelp: ", false);
        github_text(report, finding->help, false);
    }
    fputc('\n', report->file);
}

const struct report_format report_github = {.name = "github", .finding = github_finding};
