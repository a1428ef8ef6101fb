/*
 * spcc manual spc.conf.5: the tables in, a page for man(1) out, in mdoc. What is no row of a table, how a file is
 * written, is here as prose.
 */
#include "manual.h"

#include <string.h>

/* Text behind a macro, or a line of its own: no character of it is one of roff's. */
static void
text(const char *says, FILE *file)
{
    if (*says == '.' || *says == '\'')
        fputs("\\&", file);
    for (; *says != '\0'; says++) {
        if (*says == '\\')
            fputs("\\e", file);
        else if (*says == '"')
            fputs("\\(dq", file);
        else
            fputc(*says, file);
    }
}

/* Sentences, each on a line, as mdoc wants them. */
static void
sentences(const char *says, FILE *file)
{
    char line[1024];
    for (const char *end; *says != '\0'; says = end + strspn(end, " ")) {
        end = strstr(says, ". ");
        end = end == NULL ? says + strlen(says) : end + 1;
        snprintf(line, sizeof line, "%.*s", (int)(end - says), says);
        text(line, file);
        fputc('\n', file);
    }
}

/* A word as an argument of a macro: in quotes, for "|" and "(" alone would be delimiters. */
static void
argument(const char *word, FILE *file)
{
    fputc('"', file);
    text(word, file);
    fputc('"', file);
}

static void
print_preface(FILE *file)
{
    fputs(".\\\" Written by \"spcc manual spc.conf.5\": change grammar/*.def, then run \"make manual\".\n"
          ".Dd November 23, 2026\n"
          ".Dt SPC.CONF 5\n"
          ".Os\n"
          ".Sh NAME\n"
          ".Nm spc.conf\n"
          ".Nd configuration of the stream proxy spcd\n"
          ".Sh DESCRIPTION\n"
          "A configuration in the language of nginx, which\n"
          ".Xr spcc 1\n"
          "compiles and\n"
          ".Xr spcd 8\n"
          "serves.\n"
          "A directive is a name, its arguments and a\n"
          ".Sq \\&; ,\n"
          "or a block in braces.\n"
          "A word with spaces,\n"
          ".Sq \\&; ,\n"
          "or braces in it stands in single or double quotes; a backslash takes the next character as it is.\n"
          "A comment goes from\n"
          ".Sq #\n"
          "to the end of the line.\n"
          ".Bd -literal -offset indent\n"
          "stream {\n"
          "    upstream backend {\n"
          "        server 10.0.0.7:5432;\n"
          "        server 10.0.0.8:5432 backup;\n"
          "    }\n"
          "    server {\n"
          "        listen 127.0.0.1:5432;\n"
          "        proxy_pass backend;\n"
          "    }\n"
          "}\n"
          ".Ed\n"
          ".Pp\n"
          "A\n"
          ".Ar size\n"
          "is a number of bytes, or of\n"
          ".Li k\n"
          "or\n"
          ".Li m .\n"
          "A\n"
          ".Ar time\n"
          "is in seconds, or has the units\n"
          ".Li ms , s , m , h , d\n"
          "or\n"
          ".Li w ,\n"
          "larger ones first.\n"
          "In most values\n"
          ".Li $ Ns Ar name\n"
          "and\n"
          ".Li ${ Ns Ar name Ns Li }\n"
          "stand for a variable.\n"
          ".Pp\n"
          "A comment\n"
          ".Dl # spcc: allow(CODE) reason\n"
          "silences a finding of that code in its line, or the next one, or before a block in the block.\n",
          file);
}

static void
print_parameters(enum directive_id of, FILE *file)
{
    bool any = false;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        if (row->of != of || row->support == SUPPORT_NOTED)
            continue;
        if (!any)
            fputs(".Pp\nIts parameters are:\n.Bl -tag -width Ds -compact\n", file);
        any = true;
        fputs(".It Cm \"", file);
        vocabulary_parameter(row, file);
        fputs("\"\n", file);
        sentences(row->says, file);
        if (row->support == SUPPORT_LATER)
            fputs("Not served yet.\n", file);
        if (row->absent != NULL)
            fprintf(file, "The default is\n.Li %s .\n", row->absent);
    }
    if (any)
        fputs(".El\n", file);
}

static void
print_directive(const struct directive *row, FILE *file)
{
    const char *rules = vocabulary_rules(row);
    fprintf(file, ".It Ic %s", row->name);
    for (const struct take *take = row->takes; take < row->takes + 4 && take->kind != TAKE_NOTHING; take++) {
        fputs(take->may ? " Op Ar " : " Ar ", file);
        argument(take->name, file);
        if (take->many)
            fputs(" Ns ...", file);
    }
    fputs(row->opens != 0 && row->may_open == NULL ? " Li { ... }\n" : "\n", file);
    fputs("In ", file);
    vocabulary_contexts(row->in, file);
    fputs(".\n", file);
    sentences(row->says, file);
    sentences(rules, file);
    fputs(row->ours ? "nginx does not have it.\n" : "", file);
    if (row->absent != NULL) {
        fputs("The default is\n.Li ", file);
        argument(row->absent, file);
        fputs(" .\n", file);
    }
    print_parameters((enum directive_id)(row - directives), file);
}

static void
print_section(enum support support, FILE *file)
{
    fputs(".Bl -tag -width Ds\n", file);
    for (const struct directive *row = directives; row < directives + DIRECTIVE_COUNT; row++)
        if (row->support == support)
            print_directive(row, file);
    fputs(".El\n", file);
}

/* Names alone, for what needs no page of its own here. */
static void
print_names(enum support support, FILE *file)
{
    const char *before = ".Ic ";
    for (const struct directive *row = directives; row < directives + DIRECTIVE_COUNT; row++) {
        if (row->support != support)
            continue;
        fprintf(file, "%s%s", before, row->name);
        before = " ,\n.Ic ";
    }
    fputs(" .\n", file);
}

static void
print_variables(FILE *file)
{
    fputs(".Sh VARIABLES\n.Bl -tag -width Ds\n", file);
    for (const struct variable_row *row = variable_rows; row < variable_rows + VARIABLE_ROWS; row++) {
        if (row->says == NULL)
            continue;
        fprintf(file, ".It Va $%s\n", row->name);
        sentences(row->says, file);
    }
    fputs(".El\n", file);
}

static bool
has(enum support support)
{
    for (const struct directive *row = directives; row < directives + DIRECTIVE_COUNT; row++)
        if (row->support == support)
            return true;
    return false;
}

void
manual_page(FILE *file)
{
    print_preface(file);
    fputs(".Sh DIRECTIVES\n", file);
    print_section(SUPPORT_FULL, file);
    if (has(SUPPORT_LATER)) {
        fputs(".Ss Judged, not served yet\n.Cm spcc check\njudges these in full, and compiling refuses them:\n", file);
        print_section(SUPPORT_LATER, file);
    }
    fputs(".Ss Without effect\nThese may stand in a file that nginx reads too:\n", file);
    print_names(SUPPORT_NOTED, file);
    print_variables(file);
    fputs(".Sh SEE ALSO\n.Xr spcc 1 ,\n.Xr spcd 8\n", file);
}
