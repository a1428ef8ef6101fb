/*
 * spcc manual: the tables in, docs/directives.md and docs/diagnostics.md out. The other pages are manual_page.c's and
 * completion.c's. The same tables give the same bytes: a test holds the committed pages against them.
 */
#include "manual.h"

#include <string.h>

static const struct {
    const char *name;
    void (*print)(FILE *file);
} pages[] = {
    {"directives", manual_directives}, {"diagnostics", manual_diagnostics}, {"spc.conf.5", manual_page},
    {"bash", completion_bash},         {"zsh", completion_zsh},             {"fish", completion_fish},
};

const char manual_pages[] = "directives, diagnostics, spc.conf.5, bash, zsh or fish";

bool
manual(const char *name, FILE *file)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (strcmp(pages[i].name, name) == 0) {
            pages[i].print(file);
            return true;
        }
    return false;
}

/* ---- Markdown ---- */

static void
origin(const char *page, const char *table, FILE *file)
{
    fprintf(file, "<!-- Written by \"spcc manual %s\" from %s: change that, then run \"make manual\". -->\n\n", page,
            table);
}

/* Text whose characters mean nothing to Markdown. */
static void
escaped(const char *text, FILE *file)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\`*_<>[]|", *text) != NULL)
            fputc('\\', file);
        fputc(*text, file);
    }
}

static void
escaped_sentence(const char *says, FILE *file)
{
    char text[1024];
    FILE *memory = fmemopen(text, sizeof text, "w");
    if (memory == NULL)
        return;
    vocabulary_sentence(says, memory);
    fclose(memory);
    escaped(text, file);
}

/* ---- directives ---- */

static void
print_parameters(enum directive_id of, FILE *file)
{
    const char *before = "\n";
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        if (row->of != of)
            continue;
        fprintf(file, "%s- `", before);
        vocabulary_parameter(row, file);
        fputs("`: ", file);
        vocabulary_says(row->support, row->says, file);
        if (row->absent != NULL)
            fprintf(file, " Default: %s.", row->absent);
        fputc('\n', file);
        before = "";
    }
}

static void
print_commands(const char *title, const struct conf_command *row, FILE *file)
{
    fprintf(file, "\n| %s | here |\n|---|---|\n", title);
    for (; row->name != NULL; row++) {
        fprintf(file, "| `%s` | %s", row->name, conf_command_fate(row));
        escaped(row->says, file);
        fputs(" |\n", file);
    }
}

static void
print_directive(const struct directive *row, FILE *file)
{
    const char *brought = vocabulary_origin(row), *rules = vocabulary_rules(row);
    fputs("\n### ", file);
    vocabulary_title(row, file);
    fputs("\n\n    ", file);
    vocabulary_syntax(row, file);
    fputs("\n\nIn ", file);
    vocabulary_contexts(row->in, file);
    if (row->absent != NULL)
        fprintf(file, " · default `%s`", row->absent);
    if (brought != NULL)
        fprintf(file, " · %s", brought);
    fputs("\n\n", file);
    escaped(row->says, file);
    fprintf(file, "%s%s%s\n", row->support == SUPPORT_NOTED ? "." : "", rules[0] != '\0' ? " " : "", rules);
    print_parameters((enum directive_id)(row - directives), file);
    if (row == &directives[DIRECTIVE_proxy_ssl_conf_command]) {
        print_commands("command", conf_commands, file);
        print_commands("word of `Options`", conf_options, file);
    }
}

static void
print_section(enum support support, const char *title, const char *says, FILE *file)
{
    fprintf(file, "\n## %s\n\n%s\n", title, says);
    for (const struct directive *row = directives; row < directives + DIRECTIVE_COUNT; row++)
        if (row->support == support)
            print_directive(row, file);
}

static void
print_variables(FILE *file)
{
    const char *before = "";
    fputs("\n## Variables\n\n| variable | value |\n|---|---|\n", file);
    for (const struct variable_row *row = variable_rows; row < variable_rows + VARIABLE_ROWS; row++) {
        if (row->says == NULL)
            continue;
        fprintf(file, "| `$%s` | ", row->name);
        escaped(row->says, file);
        fputs(" |\n", file);
    }
    fputs("\nWhat nginx has besides, and spcd cannot give yet:\n", file);
    for (const struct variable_row *row = variable_rows; row < variable_rows + VARIABLE_ROWS; row++) {
        if (row->says != NULL)
            continue;
        fprintf(file, "%s`$%s`", before, row->name);
        before = ",\n";
    }
    fputs(".\n", file);
}

void
manual_directives(FILE *file)
{
    fputs("# Directives\n\n", file);
    origin("directives", "grammar/directives.def and variables.def", file);
    fputs("A *size* is a number of bytes, or of `k` or `m`: `16k`. A *time* is in seconds, or has units, larger ones\n"
          "first: `1m30s`, `500ms`. What is in brackets may be left out; what three dots follow may come again.\n"
          "A directive that stands in `stream` and in `server` holds for all servers, but for those that have their\n"
          "own. `spcc explain WORD` prints the same on a terminal.\n",
          file);
    print_section(SUPPORT_FULL, "Served", "What spcd does.", file);
    print_section(SUPPORT_LATER, "Judged",
                  "What `spcc check` judges in full, and compiling refuses, because spcd cannot do it yet.", file);
    print_section(SUPPORT_NOTED, "Without effect",
                  "What may stand in a configuration that nginx reads too; a note says why it does nothing here.",
                  file);
    print_variables(file);
}

/* ---- diagnostics ---- */

static void
print_finding(const struct diagnostic_row *row, FILE *file)
{
    fprintf(file, "**%s** (%s): ", row->name, vocabulary_severity(row));
    escaped_sentence(row->says, file);
    fputc('\n', file);
    if (row->advice[0] != '\0') {
        fputs("*Help:* ", file);
        escaped_sentence(row->advice, file);
        fputc('\n', file);
    }
    fputc('\n', file);
}

static void
print_example(const char *title, const char *with, const char *text, FILE *file)
{
    if (text == NULL)
        return;
    fprintf(file, "\n%s", title);
    if (with != NULL)
        fprintf(file, " (`spcc check %s`)", with);
    fprintf(file, ":\n\n```nginx\n%s\n```\n", text);
}

static void
print_code(u32 first, FILE *file)
{
    const char *code = diagnostics[first].code;
    const struct explanation *explanation = explanation_of(code);
    fprintf(file, "\n## %s\n\n", code);
    for (u32 id = first; id < DIAG_COUNT; id++)
        if (strcmp(diagnostics[id].code, code) == 0 && !vocabulary_is_told(id))
            print_finding(&diagnostics[id], file);
    if (explanation == NULL)
        return;
    escaped(explanation->why, file);
    fputc('\n', file);
    print_example("Wrong", explanation->with, explanation->bad, file);
    print_example("Right", NULL, explanation->good, file);
}

/* The diagnostic whose code comes next behind last; DIAG_COUNT: none. */
static u32
next_code(const char *last)
{
    u32 best = DIAG_COUNT;
    for (u32 id = 0; id < DIAG_COUNT; id++)
        if (strcmp(diagnostics[id].code, last) > 0 &&
            (best == DIAG_COUNT || strcmp(diagnostics[id].code, diagnostics[best].code) < 0))
            best = id;
    return best;
}

void
manual_diagnostics(FILE *file)
{
    fputs("# Diagnostics\n\n", file);
    origin("diagnostics", "grammar/diagnostics.def and explanations.def", file);
    fputs("Everything spcc can say of a configuration, by code. What is an error for what it does cannot be silenced;\n"
          "of the others, `--allow`, `--warn` and `--deny` choose, and a comment `# spcc: allow(CODE) reason`\n"
          "silences a line or, before a block, the block. Examples are the inside of `stream {}`, unless they\n"
          "have one. `spcc explain CODE` prints the same on a terminal.\n",
          file);
    for (u32 id = next_code(""); id < DIAG_COUNT; id = next_code(diagnostics[id].code))
        print_code(id, file);
}
