/*
 * What is said of a socket both where we listen and where we connect.
 */
#include "spcc.h"

#include <string.h>
#include <strings.h>

bool
socket_keepalive(struct unit *unit, const struct word *word, const char *text, const struct landing into[3],
                 void *record)
{
    static const struct take takes[] = {
        ONE(SECONDS, "the idle time"), ONE(SECONDS, "the interval"), ONE(NUMBER, "the count")};
    if (strcasecmp(text, "on") == 0 || strcasecmp(text, "off") == 0)
        return strcasecmp(text, "on") == 0;
    bool any = false, good = text[0] == ':' || (text[0] >= '0' && text[0] <= '9');
    for (u32 i = 0; good && i < 3; i++) {
        size_t size = strcspn(text, ":");
        const char *part = arena_text(&unit->arena, text, size);
        u64 value = 0, most = land_most(&into[i]);
        if (size > 0 && !argument_value(unit, &takes[i], takes[i].name, part, word->span, 0, most, &value))
            return true; /* it was reported */
        land(record, &into[i], 0, value);
        any |= value > 0;
        text += size + (text[size] == ':' && i < 2);
    }
    if (!good || !any || *text != '\0')
        diag(unit, bad_keepalive, word->span, show(unit, word->text, word->size));
    return true;
}
