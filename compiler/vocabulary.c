/*
 * The columns of the tables as words: rows of directives, parameters, variables and diagnostics in, plain text out.
 */
#include "manual.h"

#include <string.h>

#define EXPLANATION(id, ...) [EXPLANATION_##id] = {.code = #id, __VA_ARGS__},
const struct explanation explanations[EXPLANATION_COUNT] = {
#include "explanations.def"
};

const struct variable_row variable_rows[VARIABLE_ROWS] = {
#define VARIABLE(name, says) {#name, says},
#define VARIABLE_LATER(name) {#name, NULL},
#include "variables.def"
#undef VARIABLE
#undef VARIABLE_LATER
};

const struct explanation *
explanation_of(const char *code)
{
    for (u32 i = 0; i < EXPLANATION_COUNT; i++)
        if (strcmp(explanations[i].code, code) == 0)
            return &explanations[i];
    return NULL;
}

/* ---- directives ---- */

void
vocabulary_contexts(u32 contexts, FILE *file)
{
    static const char *const names[] = {"main", "events", "stream", "server", "upstream"};
    const char *before = "";
    for (u32 i = 0; i < sizeof names / sizeof *names; i++) {
        if ((contexts & 1u << i) == 0)
            continue;
        fprintf(file, "%s%s", before, names[i]);
        before = ", ";
    }
}

void
vocabulary_title(const struct directive *row, FILE *file)
{
    fputs(row->name, file);
    for (const struct directive *other = directives; other < row; other++)
        if (strcmp(other->name, row->name) == 0) {
            fputs(" in ", file);
            vocabulary_contexts(row->in, file);
            return;
        }
}

void
vocabulary_arguments(const struct directive *row, FILE *file)
{
    for (const struct take *take = row->takes; take < row->takes + 4 && take->kind != TAKE_NOTHING; take++) {
        bool choice = !take->may && take->kind == TAKE_WORD && strchr(take->name, '|') != NULL && take->many;
        const char *open = take->may ? "[" : choice ? "(" : "", *close = take->may ? "]" : choice ? ")" : "";
        fprintf(file, " %s%s%s%s", open, take->name, close, take->many ? "..." : "");
    }
}

void
vocabulary_syntax(const struct directive *row, FILE *file)
{
    fputs(row->name, file);
    vocabulary_arguments(row, file);
    fputs(row->opens != 0 && row->may_open == NULL ? " { ... }" : ";", file);
}

const char *
vocabulary_origin(const struct directive *row)
{
    static char text[64];
    if (row->ours)
        return "not of nginx";
    if (row->since == NULL)
        return row->plus ? "of nginx Plus" : NULL;
    snprintf(text, sizeof text, "%s %s", row->plus ? "of nginx Plus, since" : "since nginx", row->since);
    return text;
}

const char *
vocabulary_rules(const struct directive *row)
{
    static const char *const rules[2][3] = {
        {[FLOW_NONE] = "",
         [FLOW_NEAREST] = "A block inherits it unless it has its own.",
         [FLOW_NEAREST_LIST] = "A block inherits it unless it has its own."},
        {[FLOW_NONE] = "It may be repeated.",
         [FLOW_NEAREST] = "It may be repeated. A block inherits it unless it has its own.",
         [FLOW_NEAREST_LIST] = "It may be repeated. A block that has none of its own inherits all of those around it."},
    };
    return rules[row->repeats][row->flows];
}

void
vocabulary_says(enum support support, const char *says, FILE *file)
{
    if (support == SUPPORT_NOTED)
        fputs("Accepted, without effect here: ", file);
    fputs(says, file);
    if (support == SUPPORT_NOTED)
        fputc('.', file);
    if (support == SUPPORT_LATER)
        fputs(" Not served yet: compiling refuses it.", file);
}

/* Does text have the word as a directive? */
static bool
has_directive(const char *text, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += size)
        if ((at == text || strchr(" \n{;", at[-1]) != NULL) && at[size] != '\0' && strchr(" ;", at[size]) != NULL)
            return true;
    return false;
}

const char *
vocabulary_example(const struct directive *row)
{
    const char *best = NULL;
    for (u32 i = 0; i < EXPLANATION_COUNT; i++) {
        const char *good = explanations[i].good;
        if (good != NULL && has_directive(good, row->name) && (best == NULL || strlen(good) < strlen(best)))
            best = good;
    }
    return best;
}

/* ---- parameters ---- */

/* What a value of that kind is called. */
static const char *
kind_name(u8 kind)
{
    static const char *const names[TAKE_KINDS] = {
        [TAKE_FLAG] = "on|off", [TAKE_NUMBER] = "number", [TAKE_SIZE] = "size",
        [TAKE_TIME] = "time",   [TAKE_SECONDS] = "time",
    };
    return names[kind] != NULL ? names[kind] : "text";
}

void
vocabulary_parameter(const struct parameter *row, FILE *file)
{
    fprintf(file, "%s%s", row->name, row->kind != TAKE_NOTHING ? kind_name(row->kind) : "");
}

/* ---- diagnostics ---- */

const char *
vocabulary_severity(const struct diagnostic_row *row)
{
    static const char *const words[] = {
        [SEVERITY_ERROR] = "error",
        [SEVERITY_WARNING] = "warning",
        [SEVERITY_NOTE] = "note",
        [SEVERITY_LINT_ERROR] = "error; a warning when compiling",
        [SEVERITY_PEDANTIC] = "warning, only with -W",
        [SEVERITY_HINT] = "note, only with -W",
    };
    return words[row->severity];
}

void
vocabulary_sentence(const char *says, FILE *file)
{
    bool gap = false; /* "%s%s" is one gap to who reads it */
    for (; *says != '\0'; says++) {
        if (*says == '%' && says[1] != '%') {
            says += strcspn(says, "sud");
            fputs(gap ? "" : "...", file);
            gap = true;
            continue;
        }
        says += *says == '%';
        fputc(*says, file);
        gap = false;
    }
}

bool
vocabulary_is_first(u32 id)
{
    for (u32 i = 0; i < id; i++)
        if (strcmp(diagnostics[i].code, diagnostics[id].code) == 0)
            return false;
    return true;
}

bool
vocabulary_is_told(u32 id)
{
    for (u32 i = 0; i < id; i++)
        if (strcmp(diagnostics[i].code, diagnostics[id].code) == 0 &&
            strcmp(diagnostics[i].name, diagnostics[id].name) == 0 &&
            strcmp(diagnostics[i].says, diagnostics[id].says) == 0)
            return true;
    return false;
}
