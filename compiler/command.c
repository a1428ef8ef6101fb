/*
 * The command line against commands.def: arguments in, options by number out, and the text of --help. What a command
 * does is main.c's.
 */
#include "spcc.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const struct command commands[COMMAND_COUNT] = {
#define COMMAND(id, name, operands, says) [COMMAND_##id] = {name, operands, says},
#include "commands.def"
};

const struct command_option command_options[OPTION_COUNT] = {
#define OPTION(id, letter, name, argument, of, says) [OPTION_##id] = {letter, name, argument, of, says},
#include "commands.def"
};

enum { LONG = 256 }; /* what getopt_long() returns for a long option: this and its number */

/* What getopt_long() wants to know: the letters, and the long options, ended by a row of zeros. */
static void
describe(char letters[2 * OPTION_COUNT + 1], struct option names[OPTION_COUNT + 1])
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct command_option *row = &command_options[i];
        if (row->letter != 0)
            *letters++ = row->letter;
        if (row->letter != 0 && row->argument != NULL)
            *letters++ = ':';
        if (row->name != NULL)
            *names++ = (struct option){row->name, row->argument != NULL, NULL, LONG + i};
    }
    *letters = '\0';
    *names = (struct option){0};
}

static int
option_of_letter(int letter)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (letter != 0 && command_options[i].letter == letter)
            return i;
    return OPTION_COUNT;
}

/* Is the option's argument one of the words that it may be? */
static bool
is_possible(const struct command_option *row, char wrong[COMMAND_WRONG_SIZE])
{
    u64 which;
    bool words = row->argument != NULL && row->argument[0] >= 'a' && row->argument[0] <= 'z';
    if (!words || value_word(optarg, strlen(optarg), row->argument, &which) == READ_OK)
        return true;
    snprintf(wrong, COMMAND_WRONG_SIZE, "--%s is one of %s, not %.60s", row->name, row->argument, optarg);
    return false;
}

/* Is it one that begins with one "-" for all its length, as compilers have them? */
static bool
is_compilers(const struct command_option *row)
{
    return row->name != NULL && row->name[0] >= 'A' && row->name[0] <= 'Z';
}

void
command_spell(int count, char **argument)
{
    static char spelling[OPTION_COUNT][8];
    unsetenv("POSIXLY_CORRECT"); /* with it getopt would take no options behind FILE */
    for (int i = 1; i < count && strcmp(argument[i], "--") != 0; i++)
        for (int j = 0; j < OPTION_COUNT; j++) {
            if (!is_compilers(&command_options[j]) || argument[i][0] != '-' ||
                strcmp(argument[i] + 1, command_options[j].name) != 0)
                continue;
            snprintf(spelling[j], sizeof spelling[j], "--%s", command_options[j].name);
            argument[i] = spelling[j];
        }
}

int
command_next(int count, char **argument, char wrong[COMMAND_WRONG_SIZE])
{
    char letters[2 * OPTION_COUNT + 1];
    struct option names[OPTION_COUNT + 1];
    describe(letters, names);
    opterr = 0;
    int given = getopt_long(count, argument, letters, names, NULL);
    if (given == -1)
        return COMMAND_END;
    if (given != '?') {
        int option = given >= LONG ? given - LONG : option_of_letter(given);
        return is_possible(&command_options[option], wrong) ? option : COMMAND_WRONG;
    }
    const char *word = argument[optind - 1];
    if (optopt >= LONG) {
        bool needs = command_options[optopt - LONG].argument != NULL;
        snprintf(wrong, COMMAND_WRONG_SIZE, "%s %s", word, needs ? "needs an argument" : "takes no argument");
    } else if (option_of_letter(optopt) < OPTION_COUNT) {
        snprintf(wrong, COMMAND_WRONG_SIZE, "-%c needs an argument", optopt);
    } else if (optopt != 0) {
        snprintf(wrong, COMMAND_WRONG_SIZE, "there is no option -%c", optopt);
    } else {
        snprintf(wrong, COMMAND_WRONG_SIZE, "there is no option %s", word);
    }
    return COMMAND_WRONG;
}

/* "-o OUT", "--help" */
size_t
command_option_text(const struct command_option *row, char *text, size_t size)
{
    const char *argument = row->argument != NULL ? row->argument : "";
    const char *before = row->argument == NULL ? "" : row->letter != 0 ? " " : "=";
    if (row->letter != 0 && row->name != NULL)
        return (size_t)snprintf(text, size, "-%c%s%s, --%s", row->letter, before, argument, row->name);
    if (row->letter != 0)
        return (size_t)snprintf(text, size, "-%c%s%s", row->letter, before, argument);
    if (is_compilers(row))
        return (size_t)snprintf(text, size, "-%s%s%s", row->name, row->argument != NULL ? " " : "", argument);
    return (size_t)snprintf(text, size, "--%s%s%s", row->name, before, argument);
}

static void
print_synopses(FILE *file)
{
    char line[128];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command *row = &commands[i];
        bool options = false;
        for (int j = 0; j < OPTION_COUNT; j++)
            options |= command_options[j].of != ON_ALL && (command_options[j].of & 1u << i) != 0;
        snprintf(line, sizeof line, "spcc %s%s%s%s", i > 0 ? row->name : "", i > 0 ? " " : "",
                 options ? "[OPTION]... " : "", row->operands);
        fprintf(file, "%s %-37s %s\n", i == 0 ? "usage:" : "      ", line, row->says);
    }
}

/* " [check]" after the options that not all readers of a configuration take. */
static void
print_commands(const struct command_option *row, FILE *file)
{
    const char *before = " [";
    if (row->of == ON_ALL || (row->of & ON_SOURCES) == ON_SOURCES)
        return;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if ((row->of & 1u << i) == 0)
            continue;
        fprintf(file, "%s%s", before, commands[i].name);
        before = ", ";
    }
    fputs("]", file);
}

void
command_usage(FILE *file)
{
    char text[128];
    print_synopses(file);
    fputs("\nFILE is a configuration of nginx with a stream {} in it, or the inside of one; - is standard input.\n",
          file);
    for (int i = 0; i < OPTION_COUNT; i++) {
        bool long_one = command_option_text(&command_options[i], text, sizeof text) > 18;
        fprintf(file, "  %-18s%s%s", text, long_one ? "\n                     " : " ", command_options[i].says);
        print_commands(&command_options[i], file);
        fputc('\n', file);
    }
    fputs("Exit status: 0 clean, 1 there are errors, 2 it could not be done.\n", file);
}
