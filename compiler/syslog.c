/*
 * "syslog:server=ADDRESS[,facility=F][,tag=T][,severity=S][,nohostname]", of error_log and access_log, which
 * judge_log.c has judged: its word in, the fields of a log record out. RFC 3164 has the numbers.
 */
#include "spcc.h"

#include <string.h>

enum { LOCAL7 = 23, INFO = 6, SYSLOG_PORT = 514 };

static const char facilities[] = "kern|user|mail|daemon|auth|intern|lpr|news|uucp|clock|authpriv|ftp|ntp|audit|alert|"
                                 "cron|local0|local1|local2|local3|local4|local5|local6|local7";
static const char severities[] = "emerg|alert|crit|error|warn|notice|info|debug";

static void
compile_server(struct unit *unit, const struct word *word, const char *value, struct blob_log *record)
{
    struct address address;
    if (value_address(value, false, &address) != ADDRESS_OK)
        return; /* it was reported */
    u32 port = address.port != 0 ? address.port : SYSLOG_PORT;
    if (address.family != FAMILY_NONE) {
        record->address = listen_address(unit, &address, port, word->span);
        return;
    }
    record->host = image_text(unit, address.host, address.host_size);
    record->port = port;
}

static void
compile_parameter(struct unit *unit, const struct word *word, const char *text, struct blob_log *record)
{
    const char *value = strchr(text, '=') != NULL ? strchr(text, '=') + 1 : "";
    u64 which = 0;
    if (strncmp(text, "server=", 7) == 0) {
        compile_server(unit, word, value, record);
    } else if (strncmp(text, "facility=", 9) == 0) {
        value_word(value, strlen(value), facilities, &which);
        record->facility = (u32)which;
    } else if (strncmp(text, "severity=", 9) == 0) {
        value_word(value, strlen(value), severities, &which);
        record->severity = (u32)which;
    } else if (strncmp(text, "tag=", 4) == 0) {
        record->tag = image_text(unit, value, strlen(value));
    } else if (strcmp(text, "nohostname") == 0) {
        record->flags |= LOG_NO_HOSTNAME;
    }
}

void
syslog_compile(struct unit *unit, const struct word *word, struct blob_log *record)
{
    record->sink = SINK_SYSLOG;
    record->facility = LOCAL7;
    record->severity = INFO;
    record->tag = image_text(unit, "nginx", strlen("nginx"));
    for (u32 at = (u32)strlen("syslog:"); at <= word->size;) {
        size_t size = strcspn(word->text + at, ",");
        compile_parameter(unit, word, arena_text(&unit->arena, word->text + at, size), record);
        at += (u32)size + 1;
    }
}
