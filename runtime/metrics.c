/*
 * What was counted, as text: the rows of metrics.def over all workers, for the lines that the log ends with. The
 * counting is done where things happen.
 */
#include "spcd.h"

#include <stdio.h>

struct tally {
    const char *name;
    u64 count;
};

/* "accepted 12, limited 3": those that are not 0. */
static void
print(const struct tally *tally, u32 count, char *text, size_t room)
{
    size_t at = 0;
    text[0] = '\0';
    for (u32 i = 0; i < count; i++) {
        if (tally[i].count == 0)
            continue;
        int length = snprintf(text + at, room - at, "%s%s %llu", at ? ", " : "", tally[i].name,
                              (unsigned long long)tally[i].count);
        if (length < 0 || (size_t)length >= room - at)
            return;
        at += (size_t)length;
    }
}

void
metrics_report(const struct worker *const *workers, u32 count, const struct logger *logger)
{
    struct tally counted[] = {
#define COUNTER(id, says) {.name = #id},
#include "metrics.def"
    };
    struct tally closed[] = {
#define CLOSE(id, status, says) {.name = #id},
#include "metrics.def"
    };
    u64 ended = 0;
    char text[LOG_LINE];
    for (u32 i = 0; i < count; i++) {
        for (u32 j = 0; j < COUNTER_COUNT; j++)
            counted[j].count += workers[i]->counter[j];
        for (u32 j = 0; j < CLOSE_COUNT; j++) {
            closed[j].count += workers[i]->closed[j];
            ended += workers[i]->closed[j];
        }
    }
    log_write(logger, LEVEL_NOTICE, 0, 0, "exiting: %llu accepted, %llu refused, %llu ended",
              (unsigned long long)counted[COUNTER_accepted].count, (unsigned long long)counted[COUNTER_refused].count,
              (unsigned long long)ended);
    print(counted, COUNTER_COUNT, text, sizeof text);
    log_write(logger, LEVEL_NOTICE, 0, 0, "counted: %s", text);
    print(closed, CLOSE_COUNT, text, sizeof text);
    log_write(logger, LEVEL_NOTICE, 0, 0, "sessions ended: %s", text);
}
