/*
 * Findings as SARIF 2.1.0, the format of code scanning. Rules are the codes of diagnostics.def; what a comment
 * silenced is told with its reason, as a suppression. Paths are relative to the root of the repository, SRCROOT.
 */
#include "report.h"

#include <string.h>

static const char *const levels[] = {"error", "warning", "note"};

/* ---- rules: the rows of diagnostics.def by code, each code once, in the order in which they stand ---- */

/* The first row of the same code. */
static u32
first_row(u32 id)
{
    u32 first = 0;
    while (strcmp(diagnostics[first].code, diagnostics[id].code) != 0)
        first++;
    return first;
}

/* The number of the rule of each row. */
static const u32 *
number_rules(struct report *report)
{
    u32 *rule = arena_take(&report->arena, DIAG_COUNT * sizeof *rule), count = 0;
    for (u32 i = 0; i < DIAG_COUNT; i++)
        rule[i] = first_row(i) == i ? count++ : rule[first_row(i)];
    return rule;
}

static void
text_member(struct report *report, const char *name, const char *text)
{
    fprintf(report->file, "\"%s\":{\"text\":", name);
    report_json_text(report->file, text);
    fputc('}', report->file);
}

/* All sentences of a code, or all its advice. */
static const char *
all_of(struct report *report, u32 first, bool advice)
{
    const char *text = "";
    for (u32 i = first; i < DIAG_COUNT; i++) {
        const char *one = advice ? diagnostics[i].advice : report_sentence(report, diagnostics[i].says);
        if (strcmp(diagnostics[i].code, diagnostics[first].code) == 0 && *one != '\0' && strstr(text, one) == NULL)
            text = arena_print(&report->arena, "%s%s%s", text, *text != '\0' ? "\n" : "", one);
    }
    return text;
}

static void
write_rule(struct report *report, u32 first)
{
    const struct diagnostic_row *row = &diagnostics[first];
    enum severity severity = row->severity;
    bool optional = severity == SEVERITY_PEDANTIC || severity == SEVERITY_HINT;
    const char *level = severity == SEVERITY_LINT_ERROR ? "error"
                        : severity == SEVERITY_PEDANTIC ? "warning"
                        : severity == SEVERITY_HINT     ? "note"
                                                        : levels[severity];
    const char *says = all_of(report, first, false), *advice = all_of(report, first, true);
    fprintf(report->file, "%s\n{\"id\":\"%s\",\"name\":\"%s\",", first > 0 ? "," : "", row->code, row->name);
    text_member(report, "shortDescription", report_sentence(report, row->says));
    fputc(',', report->file);
    text_member(report, "fullDescription", says);
    fputc(',', report->file);
    text_member(report, "help", *advice != '\0' ? advice : says);
    fprintf(report->file, ",\"defaultConfiguration\":{\"level\":\"%s\"%s}}", level,
            optional ? ",\"enabled\":false" : "");
}

static void
sarif_open(struct report *report)
{
    report->rule = number_rules(report);
    fputs("{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{\n"
          "\"tool\":{\"driver\":{\"name\":\"spcc\",\"version\":\"" SPC_VERSION "\",\"semanticVersion\":\"" SPC_VERSION
          "\",\"rules\":[",
          report->file);
    for (u32 i = 0; i < DIAG_COUNT; i++)
        if (first_row(i) == i)
            write_rule(report, i);
    fputs("]}},\n\"columnKind\":\"unicodeCodePoints\",\n\"originalUriBaseIds\":{\"SRCROOT\":{\"description\":"
          "{\"text\":\"The root of the repository, or where spcc was started.\"}}},\n\"results\":[",
          report->file);
}

/* ---- results ---- */

/* A path as the reference of a URI: what is not reserved for it stays, every other byte becomes %XX. */
static void
write_uri(FILE *file, const char *path)
{
    fputs(*path == '/' ? "\"file://" : "\"", file);
    for (; *path != '\0'; path++) {
        u8 byte = (u8)*path;
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        fprintf(file, plain || strchr("-._~/", byte) != NULL ? "%c" : "%%%02X", byte);
    }
    fputc('"', file);
}

static void
write_location(struct report *report, const struct report_place *place)
{
    fputs("\"physicalLocation\":{\"artifactLocation\":{\"uri\":", report->file);
    write_uri(report->file, place->file);
    if (*place->file != '/')
        fputs(",\"uriBaseId\":\"SRCROOT\"", report->file);
    fprintf(report->file, "},\"region\":{\"startLine\":%u,\"startColumn\":%u,\"endColumn\":%u}}", place->line,
            place->column, place->end);
}

static void
sarif_finding(struct report *report, const struct report_finding *finding)
{
    FILE *file = report->file;
    fprintf(file, "%s\n{\"ruleId\":\"%s\",\"ruleIndex\":%u,\"level\":\"%s\",", report->told++ > 0 ? "," : "",
            finding->row->code, report->rule[finding->row - diagnostics], levels[finding->severity]);
    text_member(report, "message",
                arena_print(&report->arena, "%s%s%s", finding->text, finding->help != NULL ? "\nhelp: " : "",
                            finding->help != NULL ? finding->help : ""));
    fputs(",\"locations\":[{", file);
    write_location(report, &finding->place);
    fputs("}]", file);
    for (u32 i = 0; i < finding->note_count; i++) {
        fprintf(file, "%s{\"id\":%u,", i > 0 ? "," : ",\"relatedLocations\":[", i + 1);
        write_location(report, &finding->note[i].place);
        fputc(',', file);
        text_member(report, "message", finding->note[i].text);
        fputs(i + 1 < finding->note_count ? "}" : "}]", file);
    }
    fprintf(file, ",\"partialFingerprints\":{\"spccFinding/v1\":\"%s\"},\"suppressions\":[", finding->fingerprint);
    if (finding->silenced != NULL) {
        fputs("{\"kind\":\"inSource\",\"status\":\"accepted\",\"justification\":", file);
        report_json_text(file, finding->silenced);
        fputc('}', file);
    }
    fputs("]}", file);
}

static void
sarif_close(struct report *report)
{
    fprintf(report->file, "],\n\"invocations\":[{\"executionSuccessful\":%s}]}]}\n",
            report->unreadable_count > 0 ? "false" : "true");
}

const struct report_format report_sarif = {
    .name = "sarif", .open = sarif_open, .finding = sarif_finding, .close = sarif_close};
