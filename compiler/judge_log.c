/*
 * log_format, access_log, the syslog targets that it shares with error_log, and open_log_file_cache with its kin.
 */
#include "judge.h"

#include <string.h>

static bool
begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- syslog ---- */

static const char facilities[] = "kern|user|mail|daemon|auth|intern|lpr|news|uucp|clock|authpriv|ftp|ntp|audit|alert|"
                                 "cron|local0|local1|local2|local3|local4|local5|local6|local7";
static const char severities[] = "emerg|alert|crit|error|warn|notice|info|debug";

enum { TAG_MAX = 32 };

static void
judge_syslog_server(struct unit *unit, const struct word *word, u32 start, const char *value)
{
    struct address address;
    struct span span = word_part(word, start, start + (u32)strlen(value));
    enum address_problem problem = value_address(value, false, &address);
    if (problem != ADDRESS_OK)
        diag(unit, bad_address, span, show(unit, value, strlen(value)), value_address_problem[problem]);
}

static void
judge_syslog_tag(struct unit *unit, const struct word *word, u32 start, const char *value)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t size = strlen(value);
    if (size == 0 || size > TAG_MAX || value[strspn(value, allowed)] != '\0')
        diag(unit, syslog_tag, word_part(word, start, start + (u32)size), show(unit, value, size), TAG_MAX);
}

/* One of the parameters of a target, which are between commas; text starts at start of word. */
static bool
judge_syslog_parameter(struct unit *unit, const struct word *word, u32 start, const char *text)
{
    static const struct take facility = ONE(WORD, facilities), severity = ONE(WORD, severities);
    u64 which;
    const char *equals = strchr(text, '=');
    u32 at = start + (u32)(equals != NULL ? equals + 1 - text : 0);
    const char *value = equals != NULL ? equals + 1 : "";
    struct span span = word_part(word, at, at + (u32)strlen(value));
    if (begins_with(text, "server="))
        judge_syslog_server(unit, word, at, value);
    else if (begins_with(text, "facility="))
        argument_value(unit, &facility, "facility", value, span, 0, UINT64_MAX, &which);
    else if (begins_with(text, "severity="))
        argument_value(unit, &severity, "severity", value, span, 0, UINT64_MAX, &which);
    else if (begins_with(text, "tag="))
        judge_syslog_tag(unit, word, at, value);
    else if (strcmp(text, "nohostname") != 0)
        return false;
    return true;
}

/* Which of those that have a value text is, as a bit. */
static u32
syslog_bit(const char *text)
{
    static const char *const names[] = {"server=", "facility=", "severity=", "tag="};
    u32 bit = 0;
    for (u32 i = 0; i < sizeof names / sizeof *names; i++)
        bit |= begins_with(text, names[i]) ? 1u << i : 0;
    return bit;
}

static void
judge_syslog(struct unit *unit, const struct word *word)
{
    u32 said = 0, at = (u32)strlen("syslog:");
    while (at <= word->size) {
        size_t size = strcspn(word->text + at, ",");
        const char *text = arena_text(&unit->arena, word->text + at, size);
        if (said & syslog_bit(text))
            diag(unit, syslog_again, word_part(word, at, at + (u32)size), show(unit, text, size));
        said |= syslog_bit(text);
        if (!judge_syslog_parameter(unit, word, at, text)) {
            diag(unit, syslog_parameter, word_part(word, at, at + (u32)size), show(unit, text, size));
            return;
        }
        at += (u32)size + 1;
    }
    if (!(said & syslog_bit("server=")))
        diag(unit, syslog_server, word->span, judge_show(unit, word));
}

void
judge_error_log(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[1];
    log_judge(unit, node);
    if (begins_with(word->text, "syslog:"))
        judge_syslog(unit, word);
}

/* ---- log_format ---- */

/* log_format NAME json { KEY VALUE; ... } */
static void
judge_object(struct unit *unit, struct node *node)
{
    struct map keys = {0};
    if (node->word_count != 3 || strcmp(node->word[2].text, "json") != 0) {
        diag(unit, takes_no_block, node->open, judge_show(unit, &node->word[0]));
        diag_help(unit, "what takes one is: log_format NAME json { KEY VALUE; ... }");
        return;
    }
    if (node->first == NULL)
        diag(unit, empty_format, node->word[0].span, judge_show(unit, &node->word[1]));
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (!judge_entry(unit, entry, 2, 2, "KEY VALUE;"))
            continue;
        const struct word *key = &entry->word[0];
        u32 *earlier = map_at(&unit->arena, &keys, key->text, key->size);
        if (*earlier != 0)
            diag(unit, duplicate_key, key->span, judge_show(unit, key));
        *earlier = 1;
        variable_use(unit, &entry->word[1]);
    }
}

void
judge_format(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[1], *escape = &node->word[2];
    static const struct take take = ONE(WORD, "default|json|none");
    u32 first = 2, prefix = (u32)strlen("escape=");
    u64 which;
    name_declare(unit, THING_FORMAT, word->text, word->span);
    if (node->block) {
        judge_object(unit, node);
        return;
    }
    if (begins_with(escape->text, "escape=")) {
        first++;
        argument_value(unit, &take, "escape", escape->text + prefix, word_part(escape, prefix, escape->size), 0,
                       UINT64_MAX, &which);
        if (node->word_count == first)
            diag(unit, empty_format, node->word[0].span, judge_show(unit, word));
    }
    for (u32 i = first; i < node->word_count; i++)
        variable_use(unit, &node->word[i]);
}

/* ---- access_log ---- */

/* What a buffered log says of its file; two that name the same one must agree. */
struct buffered {
    u64 size, flush, gzip;
    struct span span;
};

enum { BUFFER_SIZE = 64 * 1024, GZIP_LEVEL = 1 };

static void
judge_buffered(struct unit *unit, const struct word *path, struct buffered *log)
{
    u32 *slot = map_at(&unit->arena, &unit->judge->log_of, path->text, path->size);
    if (*slot == 0) {
        struct buffered *copy = vector_add(&unit->arena, &unit->judge->logs, sizeof *copy);
        *copy = *log;
        *slot = unit->judge->logs.count;
        return;
    }
    const struct buffered *first = (struct buffered *)unit->judge->logs.item + *slot - 1;
    if (first->size == log->size && first->flush == log->flush && first->gzip == log->gzip)
        return;
    diag(unit, buffer_conflict, log->span, judge_show(unit, path));
    diag_note(unit, first->span, "it has other parameters here");
}

static void
judge_buffer(struct unit *unit, const struct node *node, const struct options *options)
{
    const struct word *path = &node->word[1], *flush = options->word[PARAMETER_access_log_flush];
    const struct word *buffer = options->word[PARAMETER_access_log_buffer];
    const struct word *gzip = options->word[PARAMETER_access_log_gzip];
    const struct word *level = options->word[PARAMETER_access_log_gzip_level];
    bool zips = gzip != NULL || level != NULL;
    if (flush != NULL && buffer == NULL && !zips)
        diag(unit, flush_alone, flush->span, judge_show(unit, flush));
    if (buffer == NULL && !zips)
        return;
    struct buffered log = {.size = buffer != NULL ? options->value[PARAMETER_access_log_buffer] : BUFFER_SIZE,
                           .flush = options->value[PARAMETER_access_log_flush],
                           .gzip = level != NULL  ? options->value[PARAMETER_access_log_gzip_level]
                                   : gzip != NULL ? GZIP_LEVEL
                                                  : 0,
                           .span = judge_span(node)};
    const struct word *what = buffer != NULL ? buffer : gzip != NULL ? gzip : level;
    if (begins_with(path->text, "syslog:"))
        diag(unit, buffer_nowhere, what->span, judge_show(unit, what), "syslog takes line by line");
    else if (expr_is_dynamic(path))
        diag(unit, buffer_nowhere, what->span, judge_show(unit, what), "the path of the log has a variable");
    else
        judge_buffered(unit, path, &log);
}

bool
judge_log_events(struct unit *unit, const struct word *word, u32 *events)
{
    static const char words[] = "open|connect|close";
    static const struct take take = ONE(WORD, words);
    bool good = true;
    for (u32 at = (u32)strlen("on="); good && at <= word->size;) {
        u32 size = (u32)strcspn(word->text + at, ",");
        u64 which;
        good = argument_value(unit, &take, "on", arena_text(&unit->arena, word->text + at, size),
                              word_part(word, at, at + size), 0, UINT64_MAX, &which);
        *events |= good ? 1u << which : 0;
        at += size + 1;
    }
    return good;
}

void
judge_access_log(struct unit *unit, struct node *node)
{
    const struct word *path = &node->word[1], *format = &node->word[2];
    struct options options;
    if (strcmp(path->text, "off") == 0) {
        if (node->word_count > 2)
            diag(unit, off_alone, format->span, judge_show(unit, format), "access_log off");
        return;
    }
    if (begins_with(path->text, "syslog:"))
        judge_syslog(unit, path);
    else
        variable_use(unit, path);
    if (node->word_count == 2) {
        diag(unit, no_format, path->span);
        return;
    }
    if (strchr(format->text, '=') != NULL) {
        diag(unit, no_format, format->span);
        return;
    }
    name_use(unit, THING_FORMAT, format->text, format->span);
    if (judge_options(unit, node, 3, &options))
        judge_buffer(unit, node, &options);
    else
        node->broken = true; /* it is not to be said once more when it is compiled */
    const struct word *condition = options.word[PARAMETER_access_log_if], *on = options.word[PARAMETER_access_log_on];
    u32 events = 0;
    if (on != NULL && !node->broken)
        node->broken = !judge_log_events(unit, on, &events);
    if (condition != NULL)
        variable_use_part(unit, condition, (u32)strlen("if="));
}

/* ---- open_log_file_cache, ssl_certificate_cache, proxy_ssl_certificate_cache ---- */

void
judge_cache(struct unit *unit, struct node *node)
{
    struct options options;
    const struct word *first = &node->word[1];
    if (strcmp(first->text, "off") == 0) {
        if (node->word_count > 2)
            diag(unit, off_alone, node->word[2].span, judge_show(unit, &node->word[2]), "off");
        return;
    }
    if (!judge_options(unit, node, 1, &options))
        return;
    for (u32 i = 0; i < PARAMETER_COUNT; i++)
        if (&directives[parameters[i].of] == node->row && strcmp(parameters[i].name, "max=") == 0 &&
            options.word[i] == NULL)
            diag(unit, parameter_missing, node->word[0].span, judge_show(unit, &node->word[0]), "max=NUMBER");
}
