/*
 * spcc manual bash|zsh|fish: commands.def and the names of the other tables in, what makes a shell complete the
 * arguments of spcc out.
 */
#include "manual.h"

#include <string.h>

enum { WIDTH = 110 };

/* ---- what there is to complete ---- */

/* What an option's argument is: words to choose from, a file, a folder, codes, or something nobody can guess. */
enum argument { ARGUMENT_NONE, ARGUMENT_WORDS, ARGUMENT_FILE, ARGUMENT_FOLDER, ARGUMENT_CODES, ARGUMENT_OTHER };

static enum argument
argument_of(const struct command_option *row)
{
    if (row->argument == NULL)
        return ARGUMENT_NONE;
    if (row->argument[0] >= 'a' && row->argument[0] <= 'z')
        return ARGUMENT_WORDS;
    if (strcmp(row->argument, "DIR") == 0)
        return ARGUMENT_FOLDER;
    if (strcmp(row->argument, "FILE") == 0 || strcmp(row->argument, "OUT") == 0 || strcmp(row->argument, "BLOB") == 0)
        return ARGUMENT_FILE;
    return strncmp(row->argument, "CODE", 4) == 0 ? ARGUMENT_CODES : ARGUMENT_OTHER;
}

static bool
is_of(const struct command_option *row, int command)
{
    return (row->of & 1u << command) != 0;
}

/* "-h", "--help", and "-MD" as compilers have it. */
static void
print_spelling(const struct command_option *row, const char *between, FILE *file)
{
    bool one_dash = row->name != NULL && row->name[0] >= 'A' && row->name[0] <= 'Z';
    if (row->letter != 0)
        fprintf(file, "-%c%s", row->letter, row->name != NULL ? between : "");
    if (row->name != NULL)
        fprintf(file, "%s%s", one_dash ? "-" : "--", row->name);
}

/* "this|that" as "this that" */
static void
print_words(const char *words, FILE *file)
{
    for (; *words != '\0'; words++)
        fputc(*words == '|' ? ' ' : *words, file);
}

/* How each shell is told what an argument may be; the words stand for "%". */
static const struct {
    const char *bash, *zsh, *fish;
} forms[] = {
    [ARGUMENT_NONE] = {"", "", ""},
    [ARGUMENT_WORDS] = {"words=\"%\"", ":word:(%)", " -x -a '%'"},
    [ARGUMENT_FILE] = {"kind=-f", ":file:_files", " -r -F"},
    [ARGUMENT_FOLDER] = {"kind=-d", ":file:_files -/", " -x -a '(__fish_complete_directories)'"},
    [ARGUMENT_CODES] = {"words=$codes", ":code:($codes)", " -x -a '$spcc_codes'"},
    [ARGUMENT_OTHER] = {"return", ":value: ", " -x"},
};

static void
print_form(const char *form, const struct command_option *row, FILE *file)
{
    for (; *form != '\0'; form++)
        if (*form == '%')
            print_words(row->argument, file);
        else
            fputc(*form, file);
}

/* Words in lines of WIDTH. */
struct lines {
    FILE *file;
    u32 column;
};

static void
print_word(struct lines *lines, const char *word)
{
    size_t size = strlen(word) + 1;
    bool full = lines->column + size > WIDTH;
    fprintf(lines->file, "%s%s", full ? "\n" : lines->column > 0 ? " " : "", word);
    lines->column = (u32)size + (full ? 0 : lines->column);
}

static void
print_codes(FILE *file)
{
    struct lines lines = {file, 0};
    for (u32 id = 0; id < DIAG_COUNT; id++)
        if (vocabulary_is_first(id))
            print_word(&lines, diagnostics[id].code);
}

static void
print_pages(FILE *file)
{
    for (const char *at = manual_pages; *at != '\0';) {
        size_t size = strcspn(at, " ,");
        if (strncmp(at, "or", size) != 0 || size != 2)
            fprintf(file, "%s%.*s", at == manual_pages ? "" : " ", (int)size, at);
        at += size;
        at += strspn(at, " ,");
    }
}

/* What explain can tell of besides codes. Variables are without "$", which is a shell's own; explain knows them so. */
static void
print_topics(FILE *file)
{
    struct lines lines = {file, 0};
    for (u32 i = 0; i < DIRECTIVE_COUNT; i++) {
        bool again = false;
        for (u32 j = 0; j < i; j++)
            again |= strcmp(directives[j].name, directives[i].name) == 0;
        if (!again)
            print_word(&lines, directives[i].name);
    }
    for (u32 i = 0; i < VARIABLE_ROWS; i++)
        print_word(&lines, variable_rows[i].name);
}

static void
origin(const char *shell, FILE *file)
{
    fprintf(file, "# Written by \"spcc manual %s\" from grammar/*.def: change those, then run \"make manual\".\n",
            shell);
}

/* ---- bash ---- */

static void
bash_argument(const struct command_option *row, FILE *file)
{
    enum argument argument = argument_of(row);
    if (argument == ARGUMENT_NONE)
        return;
    fputs("    ", file);
    print_spelling(row, " | ", file);
    fputs(") ", file);
    print_form(forms[argument].bash, row, file);
    fputs(" ;;\n", file);
}

static void
bash_options(int command, FILE *file)
{
    const char *before = "";
    fprintf(file, "    %s) options=\"", commands[command].name);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (!is_of(&command_options[i], command))
            continue;
        fputs(before, file);
        print_spelling(&command_options[i], " ", file);
        before = " ";
    }
    fputs("\" ;;\n", file);
}

void
completion_bash(FILE *file)
{
    origin("bash", file);
    fputs("_spcc() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local command=compile options words kind word\n"
          "    local codes=\"",
          file);
    print_codes(file);
    fputs("\"\n    local topics=\"$codes\n", file);
    print_topics(file);
    fputs("\"\n"
          "    local IFS=$' \\t\\n'\n"
          "    [[ $current == = ]] && current=\n" /* --name=word is three words to bash */
          "    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
          "        case $word in\n"
          "        ",
          file);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "%s%s", i > 0 ? " | " : "", commands[i].name);
    fputs(") command=$word; break ;;\n        esac\n    done\n    case $before in\n", file);
    for (int i = 0; i < OPTION_COUNT; i++)
        bash_argument(&command_options[i], file);
    fputs("    esac\n    case $command in\n", file);
    for (int i = 0; i < COMMAND_COUNT; i++)
        bash_options(i, file);
    fputs("    esac\n"
          "    if [[ -z $words$kind ]]; then\n"
          "        kind=-f\n"
          "        [[ $command == explain ]] && words=$topics kind=\n"
          "        [[ $command == manual ]] && kind='' words=\"",
          file);
    print_pages(file);
    fputs("\"\n        ((COMP_CWORD == 1)) && words=\"", file);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "%s%s", i > 0 ? " " : "", commands[i].name);
    fputs("\"\n"
          "        [[ $current == -* ]] && words=$options kind=\n"
          "    fi\n"
          "    mapfile -t COMPREPLY < <(compgen $kind ${words:+-W \"$words\"} -- \"$current\")\n"
          "}\n"
          "complete -o filenames -F _spcc spcc\n",
          file);
}

/* ---- zsh ---- */

/* Text in '...[text]...' of _arguments. */
static void
zsh_says(const char *says, FILE *file)
{
    for (; *says != '\0'; says++) {
        if (*says == '\'')
            fputs("'\\'", file);
        if (strchr("[]:\\", *says) != NULL)
            fputc('\\', file);
        fputc(*says, file);
    }
}

static void
zsh_spelling(const struct command_option *row, bool is_long, FILE *file)
{
    bool one_dash = is_long && row->name[0] >= 'A' && row->name[0] <= 'Z';
    enum argument argument = argument_of(row);
    bool again = row->argument != NULL && argument != ARGUMENT_WORDS && row->letter != 'o';
    fprintf(file, "      '%s", again ? "*" : "");
    if (is_long)
        fprintf(file, "%s%s%s", one_dash ? "-" : "--", row->name, row->argument != NULL && !one_dash ? "=" : "");
    else
        fprintf(file, "-%c", row->letter);
    fputc('[', file);
    zsh_says(row->says, file);
    fputc(']', file);
    print_form(row->letter == 'D' ? ":constant: " : forms[argument].zsh, row, file);
    fputs("'\n", file);
}

static void
zsh_command(int command, FILE *file)
{
    fprintf(file, "  %s)\n    arguments=(\n", commands[command].name);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (!is_of(&command_options[i], command))
            continue;
        if (command_options[i].letter != 0)
            zsh_spelling(&command_options[i], false, file);
        if (command_options[i].name != NULL)
            zsh_spelling(&command_options[i], true, file);
    }
    if (command == COMMAND_explain) {
        fputs("      '*:word:($topics)'\n", file);
    } else if (command == COMMAND_manual) {
        fputs("      '1:page:(", file);
        print_pages(file);
        fputs(")'\n", file);
    } else {
        fputs("      '*:file:_files'\n", file);
    }
    fputs("    )\n    ;;\n", file);
}

void
completion_zsh(FILE *file)
{
    fputs("#compdef spcc\n", file);
    origin("zsh", file);
    fputs("local -a names arguments codes topics\nlocal command=compile\nnames=(\n", file);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(file, "  '%s:", commands[i].name);
        zsh_says(commands[i].says, file);
        fputs("'\n", file);
    }
    fputs(")\ncodes=(\n", file);
    print_codes(file);
    fputs("\n)\ntopics=($codes\n", file);
    print_topics(file);
    fputs("\n)\n"
          "if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n"
          "  _describe command names\n"
          "  _files\n"
          "  return\n"
          "fi\n"
          "if ((${names[(I)$words[2]:*]})); then\n"
          "  command=$words[2]\n"
          "  shift words\n"
          "  ((CURRENT--))\n"
          "fi\n"
          "case $command in\n",
          file);
    for (int i = 0; i < COMMAND_COUNT; i++)
        zsh_command(i, file);
    fputs("esac\n_arguments -S $arguments\n", file);
}

/* ---- fish ---- */

/* Text in single quotes. */
static void
fish_says(const char *says, FILE *file)
{
    fputc('\'', file);
    for (; *says != '\0'; says++) {
        if (*says == '\'' || *says == '\\')
            fputc('\\', file);
        fputc(*says, file);
    }
    fputc('\'', file);
}

/* When is the command this one? The first one is it when no other is named. */
static void
fish_condition(int command, FILE *file)
{
    if (command == 0)
        fputs(" -n 'not __fish_seen_subcommand_from $spcc_commands'", file);
    else
        fprintf(file, " -n '__fish_seen_subcommand_from %s'", commands[command].name);
}

static void
fish_option(int command, const struct command_option *row, FILE *file)
{
    bool one_dash = row->name != NULL && row->name[0] >= 'A' && row->name[0] <= 'Z';
    fputs("complete -c spcc", file);
    fish_condition(command, file);
    if (row->letter != 0)
        fprintf(file, " -s %c", row->letter);
    if (row->name != NULL)
        fprintf(file, " -%s %s", one_dash ? "o" : "l", row->name);
    print_form(forms[argument_of(row)].fish, row, file);
    fputs(" -d ", file);
    fish_says(row->says, file);
    fputc('\n', file);
}

void
completion_fish(FILE *file)
{
    origin("fish", file);
    fputs("set -g spcc_commands", file);
    for (int i = 1; i < COMMAND_COUNT; i++)
        fprintf(file, " %s", commands[i].name);
    fputs("\nset -g spcc_codes (string split -n ' ' -- (string split \\n -- \"", file);
    print_codes(file);
    fputs("\"))\nset -g spcc_topics $spcc_codes (string split -n ' ' -- (string split \\n -- \"", file);
    print_topics(file);
    fputs("\"))\n", file);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(file, "complete -c spcc -n 'test (count (commandline -opc)) -eq 1' -a %s -d ", commands[i].name);
        fish_says(commands[i].says, file);
        fputc('\n', file);
    }
    fputs("complete -c spcc -n '__fish_seen_subcommand_from explain' -f -a '$spcc_topics'\n"
          "complete -c spcc -n '__fish_seen_subcommand_from manual' -f -a '",
          file);
    print_pages(file);
    fputs("'\n", file);
    for (int i = 0; i < COMMAND_COUNT; i++)
        for (int j = 0; j < OPTION_COUNT; j++)
            if (is_of(&command_options[j], i))
                fish_option(i, &command_options[j], file);
}
