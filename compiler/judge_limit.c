/*
 * limit_conn, limit_conn_rate and keyval: zones by name, with sizes in nginx's bounds.
 */
#include "judge.h"

#include <string.h>

enum { ZONE_SIZE_MIN = 8 * 4096, LIMIT_MAX = 65535 };

/* "zone=NAME:SIZE" in word; its name, NULL when it was reported. */
static const char *
read_zone(struct unit *unit, const struct word *word, u64 *size)
{
    static const char prefix[] = "zone=";
    u32 start = (u32)strlen(prefix);
    const char *name = word->text + start, *colon = strchr(word->text, ':');
    if (strncmp(word->text, prefix, start) != 0) {
        diag(unit, no_zone, word->span, judge_show(unit, word));
        return NULL;
    }
    if (colon == NULL || colon == name || colon[1] == '\0') {
        diag(unit, no_zone, word->span, judge_show(unit, word));
        if (colon == NULL && *name != '\0')
            diag_help(unit, "write its size too: zone=%s:1m", name);
        return NULL;
    }
    if (!judge_size(unit, word, (u32)(colon + 1 - word->text), ZONE_SIZE_MIN, size))
        *size = ZONE_SIZE_MIN; /* it was reported; the name is there all the same */
    return arena_text(&unit->arena, name, (size_t)(colon - name));
}

void
judge_limit_zone(struct unit *unit, struct node *node)
{
    u64 size;
    const char *name = read_zone(unit, &node->word[2], &size);
    if (name == NULL)
        return;
    name_declare(unit, THING_LIMIT, name, node->word[2].span);
    name_zone(unit, ZONE_LIMIT, name, size, node->word[2].span);
}

/* The earlier limit of the same zone in the same block. */
static const struct node *
earlier_limit(const struct unit *unit, const struct node *node)
{
    const struct scope *scope = unit->judge->server != NULL ? &unit->here : &unit->stream;
    for (const struct node *other = scope->of[DIRECTIVE_limit_conn]; other != NULL && other != node;
         other = other->again)
        if (other->word_count > 1 && strcmp(other->word[1].text, node->word[1].text) == 0)
            return other;
    return NULL;
}

void
judge_limit(struct unit *unit, struct node *node)
{
    static const struct take take = ONE(NUMBER, "limit_conn");
    const struct word *zone = &node->word[1], *limit = &node->word[2];
    u64 number;
    if (strncmp(zone->text, "zone=", 5) == 0) {
        diag(unit, zone_prefix, zone->span, judge_show(unit, zone));
        diag_help(unit, "write: limit_conn %s %s;", zone->text + 5, limit->text);
        return;
    }
    name_use(unit, THING_LIMIT, zone->text, zone->span);
    argument_value(unit, &take, "limit_conn", limit->text, limit->span, 1, LIMIT_MAX, &number);
    const struct node *earlier = earlier_limit(unit, node);
    if (earlier != NULL) {
        diag(unit, limit_again, zone->span, judge_show(unit, zone));
        diag_note(unit, earlier->word[0].span, "it has a limit here");
    }
}

/* ---- limit_conn_rate ---- */

void
judge_pace_zone(struct unit *unit, struct node *node)
{
    struct options options;
    u64 size, interval_ns;
    judge_options(unit, node, 2, &options);
    const struct word *zone = options.word[PARAMETER_limit_conn_rate_zone_zone];
    const struct word *rate = options.word[PARAMETER_limit_conn_rate_zone_rate];
    if (zone == NULL || rate == NULL) {
        diag(unit, parameter_missing, node->word[0].span, judge_show(unit, &node->word[0]),
             zone == NULL ? "zone=NAME:SIZE" : "rate=10r/s");
        node->broken = true;
    }
    if (rate != NULL && !limit_interval(strchr(rate->text, '=') + 1, &interval_ns))
        diag(unit, bad_pace, rate->span, judge_show(unit, rate));
    const char *name = zone != NULL ? read_zone(unit, zone, &size) : NULL;
    if (name == NULL)
        return;
    name_declare(unit, THING_PACE, name, zone->span);
    name_zone(unit, ZONE_PACE, name, size, zone->span);
}

void
judge_pace(struct unit *unit, struct node *node)
{
    struct options options;
    judge_options(unit, node, 1, &options);
    const struct word *zone = options.word[PARAMETER_limit_conn_rate_zone];
    if (zone == NULL) {
        diag(unit, parameter_missing, node->word[0].span, judge_show(unit, &node->word[0]), "zone=NAME");
        node->broken = true;
        return;
    }
    name_use(unit, THING_PACE, strchr(zone->text, '=') + 1, word_part(zone, 5, zone->size));
}

/* ---- keyval ---- */

void
judge_keyval(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[3];
    variable_declare(unit, node, 2, VARIABLE_OTHER);
    if (strncmp(word->text, "zone=", 5) == 0 && word->size > 5)
        name_use(unit, THING_KEYVAL, word->text + 5, word_part(word, 5, word->size));
    else
        diag(unit, keyval_no_zone, word->span, judge_show(unit, word));
}

void
judge_keyval_zone(struct unit *unit, struct node *node)
{
    struct options options;
    u64 size;
    judge_options(unit, node, 1, &options);
    const struct word *word = options.word[PARAMETER_keyval_zone_zone];
    if (word == NULL) {
        diag(unit, parameter_missing, node->word[0].span, judge_show(unit, &node->word[0]), "zone=NAME:SIZE");
        return;
    }
    const char *name = read_zone(unit, word, &size);
    if (name == NULL)
        return;
    name_declare(unit, THING_KEYVAL, name, word->span);
    name_zone(unit, ZONE_KEYVAL, name, size, word->span);
}
