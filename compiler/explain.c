/*
 * spcc explain: the code or name of a finding, a directive, a parameter or a $variable in; what the tables say of it
 * out, for people at a terminal.
 */
#include "manual.h"

#include <string.h>
#include <strings.h>

enum { WIDTH = 80, INDENT = 4, TEXT_SIZE = 1024 };

/* ---- layout ---- */

static void
heading(const char *text, FILE *file)
{
    fprintf(file, "\n%s\n", text);
}

/* Text in lines of at most WIDTH. */
static void
paragraph(const char *text, int indent, FILE *file)
{
    u32 column = 0;
    for (size_t size; *text != '\0'; text += size) {
        text += strspn(text, " \n");
        size = strcspn(text, " \n");
        if (column > 0 && column + 1 + size > WIDTH) {
            fputc('\n', file);
            column = 0;
        }
        column += (u32)fprintf(file, "%*s%.*s", column == 0 ? indent : 1, "", (int)size, text);
    }
    fputc('\n', file);
}

/* Lines as they are. */
static void
example(const char *text, FILE *file)
{
    for (size_t size; *text != '\0'; text += size + (text[size] == '\n')) {
        size = strcspn(text, "\n");
        fprintf(file, "%*s%.*s\n", INDENT, "", (int)size, text);
    }
}

static void
sentence(const char *says, FILE *file)
{
    char text[TEXT_SIZE];
    FILE *memory = fmemopen(text, sizeof text, "w");
    if (memory == NULL)
        return;
    vocabulary_sentence(says, memory);
    fclose(memory);
    paragraph(text, INDENT, file);
}

static void
purpose(enum support support, const char *says, int indent, FILE *file)
{
    char text[TEXT_SIZE];
    FILE *memory = fmemopen(text, sizeof text, "w");
    if (memory == NULL)
        return;
    vocabulary_says(support, says, memory);
    fclose(memory);
    paragraph(text, indent, file);
}

/* ---- findings ---- */

static void
explain_findings(const char *code, FILE *file)
{
    for (u32 id = 0; id < DIAG_COUNT; id++) {
        const struct diagnostic_row *row = &diagnostics[id];
        if (strcmp(row->code, code) != 0 || vocabulary_is_told(id))
            continue;
        fprintf(file, "%s%s %s (%s)\n\n", vocabulary_is_first(id) ? "" : "\n", code, row->name,
                vocabulary_severity(row));
        sentence(row->says, file);
        if (row->advice[0] != '\0') {
            heading("What to do", file);
            sentence(row->advice, file);
        }
    }
}

static void
explain_code(const char *code, FILE *file)
{
    const struct explanation *row = explanation_of(code);
    explain_findings(code, file);
    if (row == NULL)
        return;
    heading("Why", file);
    paragraph(row->why, INDENT, file);
    if (row->bad != NULL) {
        fprintf(file, "\nWrong%s%s%s\n", row->with != NULL ? " (spcc check " : "", row->with != NULL ? row->with : "",
                row->with != NULL ? ")" : "");
        example(row->bad, file);
    }
    if (row->good != NULL) {
        heading("Right", file);
        example(row->good, file);
    }
}

static bool
explain_diagnostic(const char *word, FILE *file, u32 found)
{
    u32 before = found;
    for (u32 id = 0; id < DIAG_COUNT; id++) {
        bool again = false;
        for (u32 other = 0; other < id; other++)
            again |= strcmp(diagnostics[other].code, diagnostics[id].code) == 0 &&
                     severity_match(other, word, strlen(word));
        if (again || !severity_match(id, word, strlen(word)))
            continue;
        fputs(found++ > 0 ? "\n" : "", file);
        explain_code(diagnostics[id].code, file);
    }
    return found > before;
}

/* ---- directives ---- */

static void
explain_parameters(enum directive_id of, FILE *file)
{
    bool any = false;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        if (row->of != of)
            continue;
        if (!any)
            heading("Parameters", file);
        any = true;
        fprintf(file, "%*s", INDENT, "");
        vocabulary_parameter(row, file);
        if (row->absent != NULL)
            fprintf(file, " (default %s)", row->absent);
        fputc('\n', file);
        purpose(row->support, row->says, 2 * INDENT, file);
    }
}

static void
explain_row(const struct directive *row, FILE *file)
{
    const char *origin = vocabulary_origin(row), *rules = vocabulary_rules(row), *shown = vocabulary_example(row);
    vocabulary_title(row, file);
    fputs("\n\n", file);
    purpose(row->support, row->says, INDENT, file);
    fputs("\nSyntax     ", file);
    vocabulary_syntax(row, file);
    fputs("\nContext    ", file);
    vocabulary_contexts(row->in, file);
    if (row->absent != NULL)
        fprintf(file, "\nDefault    %s %s;", row->name, row->absent);
    if (origin != NULL)
        fprintf(file, "\nOrigin     %s", origin);
    if (rules[0] != '\0')
        fprintf(file, "\n\n%*s%s", INDENT, "", rules);
    fputc('\n', file);
    explain_parameters((enum directive_id)(row - directives), file);
    if (shown != NULL) {
        heading("Example", file);
        example(shown, file);
    }
}

static bool
explain_directive(const char *word, FILE *file, u32 found)
{
    u32 before = found;
    for (const struct directive *row = directives; row < directives + DIRECTIVE_COUNT; row++) {
        if (strcmp(row->name, word) != 0)
            continue;
        fputs(found++ > 0 ? "\n" : "", file);
        explain_row(row, file);
    }
    return found > before;
}

/* "weight" is "weight=" of server in upstream. */
static bool
explain_parameter(const char *word, FILE *file, u32 found)
{
    size_t size = strcspn(word, "=");
    u32 before = found;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        if (strncmp(row->name, word, size) != 0 || (row->name[size] != '\0' && row->name[size] != '='))
            continue;
        fputs(found++ > 0 ? "\n" : "", file);
        vocabulary_parameter(row, file);
        fputs(", a parameter of ", file);
        vocabulary_title(&directives[row->of], file);
        fputs("\n\n", file);
        purpose(row->support, row->says, INDENT, file);
        if (row->absent != NULL)
            fprintf(file, "\nDefault    %s%s\n", row->name, row->absent);
    }
    return found > before;
}

/* ---- variables ---- */

static bool
explain_variable(const char *word, FILE *file, u32 found)
{
    const char *name = word + (word[0] == '$');
    for (const struct variable_row *row = variable_rows; row < variable_rows + VARIABLE_ROWS; row++) {
        if (strcasecmp(row->name, name) != 0)
            continue;
        fprintf(file, "%s$%s\n\n%*s%s\n", found > 0 ? "\n" : "", row->name, INDENT, "",
                row->says != NULL ? row->says : "A variable of nginx that spcd cannot give yet.");
        return true;
    }
    return false;
}

/* ---- all of them ---- */

static bool
explain_one(const char *word, FILE *file)
{
    u32 found = 0;
    if (word[0] != '$') {
        found += explain_diagnostic(word, file, found);
        found += explain_directive(word, file, found);
        found += explain_parameter(word, file, found);
    }
    found += explain_variable(word, file, found);
    return found > 0;
}

/* What was meant instead; NULL: nobody knows. */
static const char *
nearest_of(const char *word)
{
    struct nearest nearest = {.word = word + (word[0] == '$')};
    for (u32 i = 0; i < VARIABLE_ROWS; i++)
        nearest_try(&nearest, variable_rows[i].name);
    for (u32 i = 0; i < DIRECTIVE_COUNT && word[0] != '$'; i++)
        nearest_try(&nearest, directives[i].name);
    return nearest.best == NULL && word[0] != '$' ? severity_nearest(word) : nearest.best;
}

bool
explain(char **word, int count, FILE *file, char wrong[COMMAND_WRONG_SIZE])
{
    if (count == 0)
        snprintf(wrong, COMMAND_WRONG_SIZE, "explain takes a code such as SP601, a directive, or a '$variable'");
    for (int i = 0; i < count; i++) {
        fputs(i > 0 ? "\n" : "", file);
        if (explain_one(word[i], file))
            continue;
        const char *best = nearest_of(word[i]), *dollar = word[i][0] == '$' ? "$" : "";
        snprintf(wrong, COMMAND_WRONG_SIZE, "there is no code, directive or variable %.60s%s%s%s%s", word[i],
                 best != NULL ? "; did you mean " : "", best != NULL ? dollar : "", best != NULL ? best : "",
                 best != NULL ? "?" : "");
        return false;
    }
    return count > 0;
}
