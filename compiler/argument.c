/*
 * The arguments of one directive against its row: how many, of which kind, within which bounds; and the
 * parameters of listen and of upstream's server against theirs. What values mean together is for who compiles.
 */
#include "spcc.h"

#include <string.h>

struct span
word_part(const struct word *word, u32 start, u32 end)
{
    u32 first = word->span.start + word->quoted, last = word->span.end - word->quoted;
    if (last - first != word->size || end <= start)
        return word->span;
    return (struct span){first + start, first + end};
}

/* ---- how many ---- */

static void
count_takes(const struct directive *row, u32 *least, u32 *most)
{
    *least = *most = 0;
    for (const struct take *take = row->takes; take < row->takes + 4 && take->kind != TAKE_NOTHING; take++) {
        *least += !take->may;
        *most = take->many || *most == UINT32_MAX ? UINT32_MAX : *most + 1;
    }
}

const struct take *
argument_take(const struct directive *row, u32 count, u32 index)
{
    u32 least, most;
    count_takes(row, &least, &most);
    u32 extra = count > least ? count - least : 0; /* what optional arguments share, the first ones first */
    for (const struct take *take = row->takes; take < row->takes + 4 && take->kind != TAKE_NOTHING; take++) {
        u32 here = !take->may;
        if (take->many || (take->may && extra > 0)) {
            here += take->many ? extra : 1;
            extra -= take->many ? extra : 1;
        }
        if (index < here)
            return take;
        index -= here;
    }
    return NULL;
}

/* "one argument: time", "2 arguments: string $variable", "no argument" */
static const char *
describe(struct unit *unit, const struct directive *row)
{
    u32 least, most;
    char text[256];
    size_t size = 0;
    text[0] = '\0';
    count_takes(row, &least, &most);
    for (const struct take *take = row->takes; take < row->takes + 4 && take->kind != TAKE_NOTHING; take++)
        size += (size_t)snprintf(text + size, sizeof text - size, " %s%s%s%s", take->may ? "[" : "", take->name,
                                 take->many ? " ..." : "", take->may ? "]" : "");
    if (most == 0)
        return "no argument";
    if (most == 1 && least == 1)
        return arena_print(&unit->arena, "one argument:%s", text);
    if (least != most && most != UINT32_MAX)
        return arena_print(&unit->arena, "%u to %u arguments:%s", least, most, text);
    return arena_print(&unit->arena, least == most ? "%u arguments:%s" : "%u or more arguments:%s", least, text);
}

static const char *
shown(struct unit *unit, const struct word *word)
{
    return show(unit, word->text, word->size);
}

static bool
check_count(struct unit *unit, struct node *node)
{
    u32 least, most, count = node->word_count - 1;
    count_takes(node->row, &least, &most);
    if (count < least) {
        diag(unit, too_few, node->word[0].span, shown(unit, &node->word[0]), describe(unit, node->row));
        return false;
    }
    if (count > most) {
        const struct word *extra = &node->word[most + 1], *equals = &node->word[most];
        if (!equals->quoted && strcmp(equals->text, "=") == 0) {
            diag(unit, too_many, equals->span, shown(unit, &node->word[0]), describe(unit, node->row), "\"=\"");
            diag_help(unit, "a directive and its argument have a space between them and no \"=\"");
            return false;
        }
        diag(unit, too_many, extra->span, shown(unit, &node->word[0]), describe(unit, node->row), shown(unit, extra));
        if (most == 1 && node->row->takes[0].kind >= TAKE_TEXT)
            diag_help(unit, "a value with spaces is written in quotes");
        return false;
    }
    return true;
}

/* ---- of which kind ---- */

static const char *
spell(struct unit *unit, const struct take *take, u64 value)
{
    static const struct {
        enum kind kind;
        u64 size;
        const char *name;
    } units[] = {
        {TAKE_TIME, 24 * 3600 * 1000, "d"}, {TAKE_TIME, 1000, "s"}, {TAKE_TIME, 1, "ms"},
        {TAKE_SECONDS, 24 * 3600, "d"},     {TAKE_SECONDS, 1, "s"}, {TAKE_SIZE, 1 << 20, "m"},
        {TAKE_SIZE, 1 << 10, "k"},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (take->kind == units[i].kind && value >= units[i].size && value % units[i].size == 0)
            return arena_print(&unit->arena, "%llu%s", (unsigned long long)(value / units[i].size), units[i].name);
    return arena_print(&unit->arena, "%llu", (unsigned long long)value);
}

static enum reading
read_value(const struct take *take, const char *text, u64 *value)
{
    size_t size = strlen(text);
    switch ((enum kind)take->kind) {
    case TAKE_FLAG:
        return value_flag(text, size, value);
    case TAKE_NUMBER:
        return value_number(text, size, value);
    case TAKE_COUNT:
        return strcmp(text, "auto") == 0 ? READ_OK : value_number(text, size, value);
    case TAKE_SIZE:
        return value_size(text, size, value);
    case TAKE_TIME:
        return value_time_ms(text, size, value);
    case TAKE_SECONDS:
        return value_time_s(text, size, value);
    case TAKE_WORD:
        return value_word(text, size, take->name, value);
    case TAKE_VARIABLE:
        return text[0] == '$' && text[1] != '\0' ? READ_OK : READ_MALFORMED;
    case TAKE_NOTHING:
    case TAKE_TEXT:
    case TAKE_LEVEL:
    case TAKE_VALUE:
    case TAKE_ADDRESS:
    case TAKE_OPTION:
    case TAKE_KINDS:
        break;
    }
    return READ_OK;
}

/* "this|that" with commas, and the nearest of them to text. */
static const char *
list_words(struct unit *unit, const char *words, struct nearest *nearest)
{
    char *list = arena_text(&unit->arena, words, strlen(words));
    for (char *word = strtok(list, "|"); word != NULL; word = strtok(NULL, "|"))
        nearest_try(nearest, word);
    const char *result = "";
    for (const char *at = words; *at != '\0';) {
        size_t size = strcspn(at, "|");
        bool last = at[size] == '\0';
        const char *between = *result == '\0' ? "" : last ? " and " : ", ";
        result = arena_print(&unit->arena, "%s%s%.*s", result, between, (int)size, at);
        at += size + !last;
    }
    return result;
}

/* What others write for on and off. */
static const char *
flag_meant(const char *text)
{
    static const char *const yes[] = {"yes", "true", "1", "enable", "enabled"};
    static const char *const no[] = {"no", "false", "0", "disable", "disabled"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return "on";
        if (strcasecmp(text, no[i]) == 0)
            return "off";
    }
    return "on or off";
}

static void
say_malformed(struct unit *unit, const struct take *take, const char *what, const char *text, struct span span)
{
    const char *word = show(unit, text, strlen(text));
    struct nearest nearest = {.word = text};
    switch ((enum kind)take->kind) {
    case TAKE_FLAG:
        diag(unit, bad_flag, span, word);
        diag_help(unit, "write %s", flag_meant(text));
        break;
    case TAKE_COUNT:
        diag(unit, bad_count, span, word);
        break;
    case TAKE_SIZE:
        diag(unit, bad_size, span, word);
        if (strlen(text) > 1 && text[strspn(text, "0123456789")] != '\0' &&
            strchr("gG", text[strspn(text, "0123456789")]) != NULL)
            diag_help(unit, "as in nginx there is no g: write 1024m");
        break;
    case TAKE_TIME:
        diag(unit, bad_time, span, word);
        break;
    case TAKE_SECONDS:
        diag(unit, bad_seconds, span, word);
        break;
    case TAKE_WORD:
        if (strchr(take->name, '|') != NULL)
            diag(unit, bad_word, span, word, list_words(unit, take->name, &nearest));
        else
            diag(unit, bad_only_word, span, word, list_words(unit, take->name, &nearest));
        if (nearest.best != NULL)
            diag_help(unit, "did you mean %s?", nearest.best);
        break;
    case TAKE_VARIABLE:
        diag(unit, bad_variable, span, word);
        break;
    default:
        diag(unit, bad_number, span, word, what);
    }
}

static bool
is_bounded(const struct take *take)
{
    return take->kind == TAKE_NUMBER || take->kind == TAKE_COUNT || take->kind == TAKE_SIZE ||
           take->kind == TAKE_TIME || take->kind == TAKE_SECONDS;
}

bool
argument_value(struct unit *unit, const struct take *take, const char *what, const char *text, struct span span,
               u64 least, u64 most, u64 *value)
{
    *value = 0;
    enum reading reading = read_value(take, text, value);
    if (reading == READ_MALFORMED) {
        say_malformed(unit, take, what, text, span);
        return false;
    }
    if (take->kind == TAKE_COUNT && strcmp(text, "auto") == 0)
        return true;
    if (!is_bounded(take))
        return true;
    if (reading == READ_TOO_LARGE || *value > most) {
        diag(unit, too_large, span, show(unit, text, strlen(text)), what, spell(unit, take, most));
        return false;
    }
    if (*value < least) {
        diag(unit, too_small, span, show(unit, text, strlen(text)), what, spell(unit, take, least));
        return false;
    }
    return true;
}

static void
declare(struct unit *unit, const struct word *word)
{
    const char *name = lower_case(unit, word->text + 1);
    *map_at(&unit->arena, &unit->variables, name, strlen(name)) = 1;
}

bool
argument_check(struct unit *unit, struct node *node)
{
    const struct directive *row = node->row;
    if (!check_count(unit, node))
        return false;
    bool good = true;
    for (u32 i = 1; i < node->word_count; i++) {
        const struct take *take = argument_take(row, node->word_count - 1, i - 1);
        const struct word *word = &node->word[i];
        u64 value, least = i == 1 ? row->least : 0, most = i == 1 ? land_most(&row->into) : INT64_MAX;
        if (!argument_value(unit, take, row->name, word->text, word->span, least, most, &value))
            good = false;
        else if (i == 1)
            node->value = value;
        if (take->kind == TAKE_VARIABLE && word->size > 1)
            declare(unit, word);
    }
    return good;
}

/* ---- parameters ---- */

static bool
has_value(const struct parameter *row)
{
    return row->name[strlen(row->name) - 1] == '=';
}

static const struct parameter *
find_parameter(enum directive_id of, const char *text)
{
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        if (row->of != of)
            continue;
        size_t size = strlen(row->name);
        if (has_value(row) ? strncmp(row->name, text, size) == 0 : strcmp(row->name, text) == 0)
            return row;
    }
    return NULL;
}

/* "backlog" and "weight:5" are near to "backlog=" and "weight=". */
static void
say_unknown(struct unit *unit, struct node *node, enum directive_id of, const struct word *word)
{
    size_t size = strcspn(word->text, "=:");
    const char *value = word->text[size] != '\0' ? word->text + size + 1 : "";
    struct nearest nearest = {.word = arena_text(&unit->arena, word->text, size)};
    const struct parameter *best = NULL;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        const char *before = nearest.best;
        if (row->of == of)
            nearest_try(&nearest, arena_text(&unit->arena, row->name, strlen(row->name) - has_value(row)));
        if (nearest.best != before)
            best = row;
    }
    if (best != NULL && has_value(best) && *value == '\0') {
        diag(unit, no_value, word->span, shown(unit, word), best->name, "...");
        return;
    }
    if (of == DIRECTIVE_listen && strncmp(word->text, "setfib=", 7) == 0) {
        diag(unit, bsd_parameter, word->span, shown(unit, word));
        return;
    }
    diag(unit, unknown_parameter, word->span, shown(unit, &node->word[0]), shown(unit, word));
    if (best != NULL)
        diag_help(unit, "did you mean %s%s?", best->name, has_value(best) ? value : "");
    else if (of == DIRECTIVE_listen && strcmp(word->text, "transparent") == 0)
        diag_help(unit, "transparent belongs to proxy_bind: proxy_bind $remote_addr transparent;");
    else if (of == DIRECTIVE_listen && strcmp(word->text, "tcp") == 0)
        diag_help(unit, "take it out: what is not \"udp\" is TCP");
    else if (word->text[0] == '=')
        diag_help(unit, "a parameter is one word, without spaces: NAME=VALUE");
}

/* Judge one parameter; false: refused. */
static bool
read_parameter(struct unit *unit, struct node *node, const struct word *word, void *record, struct options *options)
{
    enum directive_id of = (enum directive_id)(node->row - directives);
    const struct parameter *row = find_parameter(of, word->text);
    if (row == NULL) {
        say_unknown(unit, node, of, word);
        return false;
    }
    size_t id = (size_t)(row - parameters);
    if (row->support == SUPPORT_LATER) {
        later_say(unit, word->span, arena_print(&unit->arena, "%s of %s", shown(unit, word), node->row->name),
                  arena_print(&unit->arena, "\"%.*s\" of %s", (int)strcspn(row->name, "="), row->name,
                              node->row->name));
        if (!unit->tolerant) {
            options->word[id] = word;
            return false;
        }
    }
    if (row->support == SUPPORT_NOTED)
        diag(unit, no_effect, word->span, shown(unit, word), row->says);
    if (options->word[id] != NULL) {
        diag(unit, duplicate_parameter, word->span, shown(unit, word));
        diag_note(unit, options->word[id]->span, "said first here");
    }
    options->word[id] = word;
    if (has_value(row) && word->size == strlen(row->name)) {
        diag(unit, no_value, word->span, shown(unit, word), row->name, "...");
        return false;
    }
    u64 value = 1, scale = row->kind == TAKE_SECONDS ? 1000 : 1; /* fields hold ms */
    struct take take = {.kind = row->kind, .name = row->name};
    struct span span = word_part(word, (u32)strlen(row->name), word->size);
    const char *what = arena_text(&unit->arena, row->name, strlen(row->name) - has_value(row));
    u64 most = row->most != 0 ? row->most : land_most(&row->into) / scale;
    if (row->kind != TAKE_NOTHING &&
        !argument_value(unit, &take, what, word->text + strlen(row->name), span, row->least, most, &value))
        return false;
    options->value[id] = value;
    if (row->into.section != 0)
        land(record, &row->into, row->bit, value * scale);
    return true;
}

bool
argument_options(struct unit *unit, struct node *node, u32 first, void *record, struct options *options)
{
    memset(options, 0, sizeof *options);
    bool good = true;
    for (const struct parameter *row = parameters; row < parameters + PARAMETER_COUNT; row++) {
        u64 value, scale = row->kind == TAKE_SECONDS ? 1000 : 1;
        struct take take = {.kind = row->kind, .name = row->name};
        if (row->of == (enum directive_id)(node->row - directives) && row->absent != NULL &&
            argument_value(unit, &take, row->name, row->absent, (struct span){0}, 0, UINT64_MAX, &value))
            land(record, &row->into, row->bit, value * scale);
    }
    for (u32 i = first; i < node->word_count; i++)
        good &= read_parameter(unit, node, &node->word[i], record, options);
    return good;
}

bool
argument_fits(const struct directive *row, const struct node *node, u32 index)
{
    u64 ignored;
    const struct take *take = argument_take(row, node->word_count - 1, index - 1);
    if (take == NULL || take->kind == TAKE_LEVEL)
        return false;
    if (take->kind == TAKE_OPTION)
        return find_parameter((enum directive_id)(row - directives), node->word[index].text) != NULL;
    return read_value(take, node->word[index].text, &ignored) == READ_OK;
}
