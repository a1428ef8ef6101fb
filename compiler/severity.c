/*
 * How grave a finding is: what diagnostics.def says, what the command line makes of it, and whether spcc checks or
 * compiles. What nginx would refuse, or spcd could not do, is an error whatever anybody wishes.
 */
#include "report.h"

#include <string.h>
#include <strings.h>

const struct diagnostic_row diagnostics[DIAG_COUNT] = {
#define DIAGNOSTIC(id, code, name, severity, says, advice) {code, name, says, advice, SEVERITY_##severity},
#include "diagnostics.def"
};

const char *const severity_words[] = {"error", "warning", "note"};

enum severity
severity_of(const struct unit *unit, enum diagnostic id)
{
    enum severity severity = diagnostics[id].severity;
    enum choice choice = unit->choice != NULL && severity != SEVERITY_ERROR ? unit->choice[id] : CHOICE_NONE;
    if (choice == CHOICE_DENY)
        return SEVERITY_ERROR;
    if (choice == CHOICE_WARN)
        return SEVERITY_WARNING;
    switch (severity) {
    case SEVERITY_LINT_ERROR:
        return unit->checking ? SEVERITY_ERROR : SEVERITY_WARNING;
    case SEVERITY_PEDANTIC:
        return SEVERITY_WARNING;
    case SEVERITY_HINT:
        return SEVERITY_NOTE;
    default:
        return severity;
    }
}

bool
severity_is_wanted(const struct unit *unit, enum diagnostic id)
{
    enum severity severity = diagnostics[id].severity;
    enum choice choice = unit->choice != NULL && severity != SEVERITY_ERROR ? unit->choice[id] : CHOICE_NONE;
    if (choice != CHOICE_NONE)
        return choice != CHOICE_ALLOW;
    return unit->pedantic || (severity != SEVERITY_PEDANTIC && severity != SEVERITY_HINT);
}

bool
severity_match(enum diagnostic id, const char *word, size_t size)
{
    const char *code = diagnostics[id].code, *name = diagnostics[id].name;
    return (strlen(code) == size && strncasecmp(code, word, size) == 0) ||
           (strlen(name) == size && strncasecmp(name, word, size) == 0);
}

const char *
severity_nearest(const char *word)
{
    struct nearest names = {.word = word}, codes = names;
    bool is_code = strncasecmp(word, "SP", 2) == 0 && word[2] >= '0' && word[2] <= '9';
    for (u32 id = 0; id < DIAG_COUNT; id++)
        nearest_try(is_code ? &codes : &names, is_code ? diagnostics[id].code : diagnostics[id].name);
    return is_code ? codes.best : names.best;
}

/* One code or name; false: wrong says what is wrong with it. */
static bool
choose(u8 choices[DIAG_COUNT], enum choice choice, const char *word, char wrong[COMMAND_WRONG_SIZE])
{
    bool found = false, possible = choice == CHOICE_DENY;
    for (u32 id = 0; id < DIAG_COUNT; id++) {
        if (!severity_match(id, word, strlen(word)))
            continue;
        found = true;
        possible |= diagnostics[id].severity != SEVERITY_ERROR;
        choices[id] = (u8)choice;
    }
    const char *best = found ? NULL : severity_nearest(word);
    if (!found)
        snprintf(wrong, COMMAND_WRONG_SIZE, "there is no finding %.60s%s%s%s", word,
                 best != NULL ? "; did you mean " : "", best != NULL ? best : "", best != NULL ? "?" : "");
    else if (!possible)
        snprintf(wrong, COMMAND_WRONG_SIZE, "%.60s is always an error: what it finds cannot be served", word);
    return found && possible;
}

bool
severity_choose(u8 choices[DIAG_COUNT], enum choice choice, const char *list, char wrong[COMMAND_WRONG_SIZE])
{
    char word[64];
    do {
        size_t size = strcspn(list, ",");
        snprintf(word, sizeof word, "%.*s", (int)(size < sizeof word ? size : sizeof word - 1), list);
        if (!choose(choices, choice, word, wrong))
            return false;
        list += size;
    } while (*list++ == ',');
    return true;
}
