/*
 * access_log and log_format: judged nodes in, access records out. A format is an expression, compiled where it is used,
 * since it may name variables that stand behind it in the file.
 */
#include "judge.h"

#include <string.h>

enum { GZIP_BUFFER = 64 << 10, GZIP_LEVEL = 1 }; /* nginx's */

static bool
begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The last log_format of that name, as in nginx; NULL: reported. */
static const struct node *
find_format(const struct unit *unit, const char *name)
{
    const struct node *found = NULL;
    for (const struct node *node = unit->stream.of[DIRECTIVE_log_format]; node != NULL; node = node->again)
        if (!node->broken && strcmp(node->word[1].text, name) == 0)
            found = node;
    return found;
}

static bool
compile_format(struct unit *unit, const struct node *format, struct blob_access *record)
{
    if (format->block) {
        record->escape = ESCAPE_UTF8;
        record->format = expr_compile_json(unit, format);
        return record->format != 0;
    }
    static const char escapes[] = "default|json|none";
    const char *escape = format->word[2].text;
    u32 first = 2;
    u64 which = ESCAPE_DEFAULT;
    if (begins_with(escape, "escape=")) {
        escape += strlen("escape=");
        value_word(escape, strlen(escape), escapes, &which);
        first++;
    }
    record->escape = (u32)which;
    record->format = expr_compile_words(unit, &format->word[first], format->word_count - first);
    return record->format != 0;
}

/* open_log_file_cache; 0: there is none. */
static u32
compile_cache(struct unit *unit, const struct scope *scope)
{
    enum { LEAST_USES = 1, INACTIVE_S = 10, VALID_S = 60 }; /* nginx's */
    struct node *node = scope_nearest(scope, &directives[DIRECTIVE_open_log_file_cache]);
    struct options options = {0};
    if (node == NULL || node->broken || strcmp(node->word[1].text, "off") == 0 ||
        !judge_options(unit, node, 1, &options) || options.word[PARAMETER_open_log_file_cache_max] == NULL)
        return 0;
    struct blob_log_cache record = {.most = (u32)options.value[PARAMETER_open_log_file_cache_max],
                                    .least_uses = LEAST_USES, .inactive_s = INACTIVE_S, .valid_s = VALID_S};
    if (options.word[PARAMETER_open_log_file_cache_min_uses] != NULL)
        record.least_uses = (u32)options.value[PARAMETER_open_log_file_cache_min_uses];
    if (options.word[PARAMETER_open_log_file_cache_inactive] != NULL)
        record.inactive_s = (u32)options.value[PARAMETER_open_log_file_cache_inactive];
    if (options.word[PARAMETER_open_log_file_cache_valid] != NULL)
        record.valid_s = (u32)options.value[PARAMETER_open_log_file_cache_valid];
    if (node->index == 0)
        node->index = image_add(unit, SECTION_log_cache, &record, node->word[0].span);
    return node->index;
}

static void
compile_target(struct unit *unit, const struct scope *scope, const struct word *path, struct blob_access *record)
{
    struct blob_log log = {.sink = SINK_FILE};
    if (begins_with(path->text, "syslog:")) {
        syslog_compile(unit, path, &log);
    } else if (expr_is_dynamic(path)) {
        log.sink = SINK_PATH;
        record->path = expr_compile(unit, path);
        record->cache = compile_cache(unit, scope);
    }
    if (log.sink != SINK_SYSLOG)
        log.path = image_text(unit, path->text, path->size);
    record->log = image_add(unit, SECTION_log, &log, path->span);
}

/* What is compressed is gathered, asked for or not. */
static void
compile_buffer(const struct options *options, struct blob_access *record)
{
    const struct word *level = options->word[PARAMETER_access_log_gzip_level];
    record->buffer = (u32)options->value[PARAMETER_access_log_buffer];
    if (level == NULL && options->word[PARAMETER_access_log_gzip] == NULL)
        return;
    record->gzip = level != NULL ? (u32)options->value[PARAMETER_access_log_gzip_level] : GZIP_LEVEL;
    if (record->buffer == 0)
        record->buffer = GZIP_BUFFER;
}

static bool
compile_one(struct unit *unit, const struct scope *scope, struct node *node, struct blob_access *record)
{
    struct options options = {0};
    const struct node *format = node->word_count > 2 ? find_format(unit, node->word[2].text) : NULL;
    if (node->broken || format == NULL || !compile_format(unit, format, record) ||
        (node->word_count > 3 && !judge_options(unit, node, 3, &options)))
        return false;
    const struct word *condition = options.word[PARAMETER_access_log_if];
    compile_target(unit, scope, &node->word[1], record);
    compile_buffer(&options, record);
    record->flush_ms = options.value[PARAMETER_access_log_flush];
    record->every_ms = options.value[PARAMETER_access_log_every];
    record->on = options.word[PARAMETER_access_log_on] == NULL ? ACCESS_CLOSE : 0;
    if (record->on == 0 && !judge_log_events(unit, options.word[PARAMETER_access_log_on], &record->on))
        return false;
    if (condition != NULL)
        record->condition = expr_compile_part(unit, condition, (u32)strlen("if="));
    return condition == NULL || record->condition != 0;
}

void
access_log_compile(struct unit *unit, const struct scope *scope, u32 *first, u32 *count)
{
    struct vector made = {0};
    struct node *node = scope_nearest(scope, &directives[DIRECTIVE_access_log]);
    struct span span = node != NULL ? node->word[0].span : (struct span){0, 0};
    bool off = false; /* as in nginx, one "off" is enough, wherever it stands */
    for (; node != NULL; node = node->again) {
        struct blob_access record = {0};
        off |= node->word_count > 1 && strcmp(node->word[1].text, "off") == 0;
        if (!off && compile_one(unit, scope, node, &record))
            *(struct blob_access *)vector_add(&unit->arena, &made, sizeof record) = record;
    }
    if (off)
        made.count = 0;
    *first = made.count > 0 ? image_count(unit, SECTION_access) : 0;
    *count = made.count;
    for (u32 i = 0; i < made.count; i++)
        image_add(unit, SECTION_access, (struct blob_access *)made.item + i, span);
}
