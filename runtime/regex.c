/*
 * Regular expressions: the code in the blob becomes PCRE2's when a generation opens; a match takes no memory that was
 * not set aside, and has a limit. What a match has captured is kept in the session.
 */
#include "spcd.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>

enum {
    MATCH_LIMIT = 100 * 1000, /* steps; beyond it a pattern does not match */
    HEAP_LIMIT = 64,          /* KiB: what the compiled code cannot do on its stack is refused */
};

struct regexes {
    pcre2_code **code; /* by the number of their record, less 1 */
    u32 count;
    pcre2_match_context *limits;
};

/* Another version of PCRE2, or one that was built otherwise, has other code. */
static void
say_foreign(const struct logger *logger, i32 error)
{
    char why[128] = "", version[64] = "";
    pcre2_get_error_message(error, (u8 *)why, sizeof why);
    pcre2_config(PCRE2_CONFIG_VERSION, version);
    log_write(logger, LEVEL_EMERG, 0, 0, "the regular expressions were not compiled for this PCRE2 %s: %s", version,
              why);
}

/* False: logged why. */
static bool
decode(const struct blob *blob, struct regexes *regexes, const struct logger *logger)
{
    regexes->count = blob->regex_count - 1;
    regexes->code = calloc(regexes->count, sizeof(pcre2_code *));
    regexes->limits = pcre2_match_context_create(NULL);
    const u8 *bytes = (const u8 *)&blob->code[CODE_AT].byte;
    i32 got = PCRE2_ERROR_NOMEMORY;
    if (regexes->code && regexes->limits)
        got = pcre2_serialize_decode(regexes->code, (i32)regexes->count, bytes, NULL);
    if (got == PCRE2_ERROR_NOMEMORY)
        log_write(logger, LEVEL_EMERG, 0, errno, "no memory for regular expressions");
    else if (got < 0)
        say_foreign(logger, got);
    return got == (i32)regexes->count;
}

struct regexes *
regexes_open(const struct blob *blob, const struct logger *logger)
{
    struct regexes *regexes = calloc(1, sizeof *regexes);
    if (!regexes)
        log_write(logger, LEVEL_EMERG, 0, errno, "no memory for regular expressions");
    if (!regexes || blob->regex_count == 1)
        return regexes;
    if (!decode(blob, regexes, logger)) {
        regexes_close(regexes);
        return NULL;
    }
    pcre2_set_match_limit(regexes->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(regexes->limits, HEAP_LIMIT);
    for (u32 i = 0; i < regexes->count; i++)
        pcre2_jit_compile(regexes->code[i], PCRE2_JIT_COMPLETE); /* without it matching is slower, no more */
    return regexes;
}

void
regexes_close(struct regexes *regexes)
{
    for (u32 i = 0; i < regexes->count; i++)
        pcre2_code_free(regexes->code ? regexes->code[i] : NULL);
    pcre2_match_context_free(regexes->limits);
    free(regexes->code);
    free(regexes);
}

void *
regexes_room(const struct blob *blob)
{
    u32 most = 0;
    for (u32 i = 1; i < blob->regex_count; i++)
        most = blob->regex[i].capture_count > most ? blob->regex[i].capture_count : most;
    return blob->regex_count > 1 ? pcre2_match_data_create(most + 1, NULL) : NULL;
}

void
regexes_room_free(void *room)
{
    pcre2_match_data_free(room);
}

/* The part that group matched. */
static struct value
part_of(struct value subject, const pcre2_match_data *found, u32 group, int groups)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer((pcre2_match_data *)found);
    if ((int)group >= groups || at[2 * group] == PCRE2_UNSET)
        return (struct value){(const u8 *)"", 0, VALUE_FOUND};
    return (struct value){subject.text + at[2 * group], (u32)(at[2 * group + 1] - at[2 * group]), VALUE_FOUND};
}

static void
keep_captures(struct session *s, const struct blob_regex *regex, const pcre2_match_data *found, struct value subject,
              int groups)
{
    const struct blob *blob = s->shard->blob;
    for (u32 i = 0; i <= CAPTURE_MAX; i++)
        s->values->capture[i] = i <= regex->capture_count ? part_of(subject, found, i, groups)
                                                          : (struct value){.state = VALUE_ABSENT};
    for (u32 i = 0; i < regex->capture_named; i++) {
        const struct blob_capture *capture = &blob->capture[regex->capture + i];
        s->values->slot[capture->slot] = part_of(subject, found, capture->group, groups);
    }
}

bool
regex_match(struct session *s, u32 index, const u8 *text, u32 size)
{
    const struct regexes *regexes = s->shard->generation->regexes;
    const struct blob_regex *regex = &s->shard->blob->regex[index];
    pcre2_match_data *found = s->shard->match;
    int groups = pcre2_match(regexes->code[index - 1], text, size, 0, 0, found, regexes->limits);
    if (groups < 0 && groups != PCRE2_ERROR_NOMATCH)
        session_log(s, LEVEL_ALERT, 0, "matching \"%s\" failed: %d",
                    blob_string(s->shard->blob, regex->pattern), groups);
    if (groups < 0)
        return false;
    struct value subject = {.state = VALUE_FOUND};
    if (regex->capture_count > 0)
        subject = value_keep(s, text, size);
    if (subject.state == VALUE_FOUND && s->values)
        keep_captures(s, regex, found, subject, groups);
    return true;
}
