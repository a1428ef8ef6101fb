/*
 * error_log: its nodes in, log records out. A level that says nothing has those of the level around it; when no
 * level says anything, errors go to standard error.
 */
#include "spcc.h"

#include <string.h>

/* The level named by text; false: no level. */
static bool
read_level(const char *text, enum level *level)
{
    for (u32 i = LEVEL_EMERG; i < VALUES_END_level; i++)
        if (strcmp(text, blob_level_word((enum level)i)) == 0) {
            *level = (enum level)i;
            return true;
        }
    return false;
}

/* debug_core and its like choose parts of nginx's own debug log. */
static bool
is_debug_mask(const char *text)
{
    u64 which;
    static const char masks[] = "debug_core|debug_alloc|debug_mutex|debug_event|debug_http|debug_mail|debug_stream";
    return value_word(text, strlen(text), masks, &which) == READ_OK;
}

static void
say_bad_level(struct unit *unit, const struct word *word)
{
    diag(unit, bad_word, word->span, show(unit, word->text, word->size),
         "debug, info, notice, warn, error, crit, alert and emerg");
    struct nearest nearest = {.word = word->text};
    for (u32 i = LEVEL_EMERG; i < VALUES_END_level; i++)
        nearest_try(&nearest, blob_level_word((enum level)i));
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

static bool
begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* rate=10/s */
static bool
read_rate(struct unit *unit, const struct word *word, struct blob_log *record)
{
    u32 start = (u32)strlen("rate="), digits = (u32)strspn(word->text + start, "0123456789");
    u64 rate = 0;
    enum reading reading = value_number(word->text + start, digits, &rate);
    bool good = reading == READ_OK && rate > 0 && rate <= LOG_RATE_MAX &&
                strcmp(word->text + start + digits, "/s") == 0;
    if (!good)
        diag(unit, bad_only_word, word->span, show(unit, word->text, word->size),
             "rate=NUMBER/s, from 1/s to 1000000/s,");
    record->rate = (u32)rate;
    return good;
}

static bool
read_format(struct unit *unit, const struct word *word, struct blob_log *record)
{
    static const struct take take = ONE(WORD, "text|json");
    u32 start = (u32)strlen("format=");
    u64 which;
    bool good = argument_value(unit, &take, "format", word->text + start, word_part(word, start, word->size), 0,
                               UINT64_MAX, &which);
    record->flags |= good && which == 1 ? LOG_JSON : 0;
    return good;
}

static bool
read_level_word(struct unit *unit, const struct word *word, const struct word **earlier, struct blob_log *record)
{
    enum level level = LEVEL_DEBUG;
    bool mask = is_debug_mask(word->text), good = mask || (*earlier == NULL && read_level(word->text, &level));
    if (!good && *earlier != NULL)
        diag(unit, log_levels, word->span, show(unit, (*earlier)->text, (*earlier)->size));
    else if (!good)
        say_bad_level(unit, word);
    record->level = good ? level : record->level;
    *earlier = word;
    return good;
}

/* What stands behind the target: a level, format= and rate=, in any order. */
static bool
read_words(struct unit *unit, const struct node *node, struct blob_log *record)
{
    const struct word *level = NULL;
    bool good = true;
    for (u32 i = 2; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        if (begins_with(word->text, "format="))
            good &= read_format(unit, word, record);
        else if (begins_with(word->text, "rate="))
            good &= read_rate(unit, word, record);
        else
            good &= read_level_word(unit, word, &level, record);
    }
    return good;
}

/* memory:SIZE */
static bool
read_memory(struct unit *unit, const struct word *word, struct blob_log *record)
{
    static const struct take take = ONE(SIZE, "size");
    u32 start = (u32)strlen("memory:");
    u64 size;
    bool good = argument_value(unit, &take, "memory", word->text + start, word_part(word, start, word->size),
                               LOG_RING_LEAST, BUFFER_SIZE_MAX, &size);
    record->size = good ? (u32)size : 0;
    return good;
}

static bool
read_log(struct unit *unit, const struct node *node, struct blob_log *record)
{
    const struct word *target = &node->word[1];
    *record = (struct blob_log){.sink = SINK_FILE, .level = LEVEL_ERROR};
    if (begins_with(target->text, "memory:"))
        record->sink = SINK_MEMORY;
    else if (strcmp(target->text, "stderr") == 0 || target->size == 0)
        record->sink = SINK_STDERR;
    bool good = read_words(unit, node, record);
    return (record->sink != SINK_MEMORY || read_memory(unit, target, record)) && good;
}

void
log_judge(struct unit *unit, struct node *node)
{
    struct blob_log record;
    node->broken |= !read_log(unit, node, &record);
    for (u32 i = 2; i < node->word_count; i++)
        if (is_debug_mask(node->word[i].text))
            diag(unit, no_effect, node->word[i].span, show(unit, node->word[i].text, node->word[i].size),
                 "it is taken for debug");
}

/* It was judged, and nothing is said of it any more. */
static u32
compile_one(struct unit *unit, const struct node *node)
{
    const struct word *target = &node->word[1];
    struct blob_log record;
    read_log(unit, node, &record);
    if (begins_with(target->text, "syslog:"))
        syslog_compile(unit, target, &record);
    else if (record.sink != SINK_STDERR)
        record.path = image_text(unit, target->text, target->size);
    return image_add(unit, SECTION_log, &record, node->word[0].span);
}

void
log_compile(struct unit *unit, const struct scope *scope, u32 *first, u32 *count)
{
    struct node *node = scope_nearest(scope, &directives[DIRECTIVE_error_log]);
    *first = *count = 0; /* none: who serves has a log of its own */
    if (node == NULL)
        return;
    *first = node->index != 0 ? node->index : image_count(unit, SECTION_log);
    for (; node != NULL; node = node->again) {
        if (node->broken)
            continue;
        if (node->index == 0)
            node->index = compile_one(unit, node);
        ++*count;
    }
}
