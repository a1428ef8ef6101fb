/*
 * The tables as text: what explain.c, manual.c, manual_page.c and completion.c share. vocabulary.c turns columns into
 * words; how a page looks is theirs.
 */
#ifndef MANUAL_H
#define MANUAL_H

#include "report.h"

/* ---- explanations.def ---- */

struct explanation {
    const char *code;
    const char *why;
    const char *bad, *good; /* the inside of stream {}, unless it has one; NULL: a few lines cannot show it */
    const char *with;       /* options of spcc check that bad takes to be found; NULL: none */
};

enum {
#define EXPLANATION(code, ...) EXPLANATION_##code,
#include "explanations.def"
    EXPLANATION_COUNT
};

extern const struct explanation explanations[EXPLANATION_COUNT];

/* NULL: there is none. */
const struct explanation *explanation_of(const char *code);

/* ---- variables.def ---- */

struct variable_row {
    const char *name, *says; /* says: NULL for one that spcd cannot give yet */
};

enum {
#define VARIABLE(name, says) VARIABLE_ROW_##name,
#define VARIABLE_LATER(name) VARIABLE_ROW_##name,
#include "variables.def"
#undef VARIABLE
#undef VARIABLE_LATER
    VARIABLE_ROWS
};

extern const struct variable_row variable_rows[VARIABLE_ROWS];

/* ---- vocabulary.c ---- */

/* "stream, server" */
void vocabulary_contexts(u32 contexts, FILE *file);
/* "server"; "server in upstream" for a row whose name an earlier one has. */
void vocabulary_title(const struct directive *row, FILE *file);
/* The words behind the name: " address:port [parameter]...". */
void vocabulary_arguments(const struct directive *row, FILE *file);
/* "proxy_timeout timeout;" */
void vocabulary_syntax(const struct directive *row, FILE *file);
/* "since nginx 1.9.0", "of nginx Plus", "not of nginx"; NULL: it was always there. */
const char *vocabulary_origin(const struct directive *row);
/* The shortest of the good examples that have it; NULL: none has. */
const char *vocabulary_example(const struct directive *row);
/* How it is inherited and repeated, in sentences; "" if there is nothing to say. */
const char *vocabulary_rules(const struct directive *row);
/* What it does, or that it does nothing here and why. */
void vocabulary_says(enum support support, const char *says, FILE *file);
/* "backlog=number" */
void vocabulary_parameter(const struct parameter *row, FILE *file);
/* "error", "warning, with -W": how grave it is for spcc check. */
const char *vocabulary_severity(const struct diagnostic_row *row);
/* The sentence, with "..." for what differs. */
void vocabulary_sentence(const char *says, FILE *file);
/* Is id the first diagnostic of its code? */
bool vocabulary_is_first(u32 id);
/* Has an earlier one of its code the same sentence? Then it need not be told again. */
bool vocabulary_is_told(u32 id);

/* ---- manual.c, manual_page.c, completion.c: the pages of spcc manual ---- */

void manual_directives(FILE *file);
void manual_diagnostics(FILE *file);
void manual_page(FILE *file);
void completion_bash(FILE *file);
void completion_zsh(FILE *file);
void completion_fish(FILE *file);

#endif
