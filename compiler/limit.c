/*
 * limit_conn and limit_conn_rate, and their zones: judged nodes in, records out. A zone is written when the first limit
 * uses it.
 */
#include "judge.h"

#include <string.h>

bool
limit_interval(const char *rate, u64 *interval_ns)
{
    static const u64 second_ns = 1000 * 1000 * 1000;
    size_t digits = strspn(rate, "0123456789");
    const char *unit = rate + digits;
    u64 number;
    if ((strcmp(unit, "r/s") != 0 && strcmp(unit, "r/m") != 0) || value_number(rate, digits, &number) != READ_OK)
        return false;
    *interval_ns = number == 0 ? 0 : (unit[2] == 'm' ? 60 * second_ns : second_ns) / number;
    return *interval_ns > 0;
}

static const char zone_word[] = "zone=", rate_word[] = "rate=", burst_word[] = "burst=";

/* What stands behind prefix in the parameter of node that begins with it; NULL: there is none. */
static const char *
parameter(const struct node *node, const char *prefix)
{
    for (u32 i = 1; i < node->word_count; i++)
        if (strncmp(node->word[i].text, prefix, strlen(prefix)) == 0)
            return node->word[i].text + strlen(prefix);
    return NULL;
}

/* The zone of that name, of one kind; NULL: it was reported. */
static struct node *
find_zone(const struct unit *unit, enum directive_id id, const char *name)
{
    size_t size = strlen(name);
    for (struct node *node = unit->stream.of[id]; node != NULL; node = node->again) {
        const char *text = node->broken ? NULL : parameter(node, zone_word); /* "NAME:SIZE" */
        if (text != NULL && strncmp(text, name, size) == 0 && text[size] == ':')
            return node;
    }
    return NULL;
}

static u32
compile_zone(struct unit *unit, enum directive_id id, const char *name)
{
    struct node *node = find_zone(unit, id, name);
    if (node == NULL || node->index != 0)
        return node == NULL ? 0 : node->index;
    struct blob_limit_zone record = {.name = image_text(unit, name, strlen(name))};
    const char *size = strchr(parameter(node, zone_word), ':') + 1;
    value_size(size, strlen(size), &record.size);
    if (id == DIRECTIVE_limit_conn_rate_zone && !limit_interval(parameter(node, rate_word), &record.interval_ns))
        return 0;
    record.key = expr_compile(unit, &node->word[1]);
    if (record.key != 0)
        node->index = image_add(unit, SECTION_limit_zone, &record, node->word[0].span);
    return node->index;
}

/* "limit_conn ZONE NUMBER", "limit_conn_rate zone=ZONE burst=NUMBER" */
static bool
compile_limit(struct unit *unit, const struct node *node, struct blob_limit *record)
{
    u64 number = 0;
    bool pace = node->row == &directives[DIRECTIVE_limit_conn_rate];
    if (node->broken)
        return false;
    const char *count = pace ? parameter(node, burst_word) : node->word[2].text;
    if (count != NULL && value_number(count, strlen(count), &number) != READ_OK)
        return false;
    record->count = (u32)number;
    record->zone = pace ? compile_zone(unit, DIRECTIVE_limit_conn_rate_zone, parameter(node, zone_word))
                        : compile_zone(unit, DIRECTIVE_limit_conn_zone, node->word[1].text);
    return record->zone != 0;
}

static void
compile_list(struct unit *unit, const struct scope *scope, enum directive_id id, u32 *first, u32 *count)
{
    struct vector made = {0};
    struct node *node = scope_nearest(scope, &directives[id]);
    struct span span = node != NULL ? node->word[0].span : (struct span){0, 0};
    for (; node != NULL; node = node->again) {
        struct blob_limit record;
        if (compile_limit(unit, node, &record))
            *(struct blob_limit *)vector_add(&unit->arena, &made, sizeof record) = record;
    }
    *first = made.count > 0 ? image_count(unit, SECTION_limit) : 0;
    *count = made.count;
    for (u32 i = 0; i < made.count; i++)
        image_add(unit, SECTION_limit, (struct blob_limit *)made.item + i, span);
}

static u32
level_of(const struct scope *scope, enum directive_id id)
{
    static const enum level levels[] = {LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARN, LEVEL_ERROR};
    const struct node *level = scope_nearest(scope, &directives[id]);
    return level != NULL && !level->broken ? levels[level->value & 3] : LEVEL_ERROR;
}

void
limit_compile(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    compile_list(unit, scope, DIRECTIVE_limit_conn, &server->limit, &server->limit_count);
    compile_list(unit, scope, DIRECTIVE_limit_conn_rate, &server->pace, &server->pace_count);
    server->limit_level = level_of(scope, DIRECTIVE_limit_conn_log_level);
    if (server->pace_count > 0)
        server->pace_level = level_of(scope, DIRECTIVE_limit_conn_rate_log_level);
}
