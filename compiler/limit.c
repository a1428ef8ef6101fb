/*
 * limit_conn and limit_conn_zone: judged nodes in, records out. A zone is written when the first limit uses it.
 */
#include "judge.h"

#include <string.h>

/* The limit_conn_zone of that name; NULL: it was reported. */
static struct node *
find_zone(const struct unit *unit, const char *name)
{
    size_t size = strlen(name);
    for (struct node *node = unit->stream.of[DIRECTIVE_limit_conn_zone]; node != NULL; node = node->again) {
        const char *text = node->broken ? "" : node->word[2].text; /* "zone=NAME:SIZE" */
        if (strncmp(text, "zone=", 5) == 0 && strncmp(text + 5, name, size) == 0 && text[5 + size] == ':')
            return node;
    }
    return NULL;
}

static u32
compile_zone(struct unit *unit, const char *name)
{
    struct node *node = find_zone(unit, name);
    if (node == NULL || node->index != 0)
        return node == NULL ? 0 : node->index;
    struct blob_limit_zone record = {.name = image_text(unit, name, strlen(name))};
    const char *size = strchr(node->word[2].text, ':') + 1;
    value_size(size, strlen(size), &record.size);
    record.key = expr_compile(unit, &node->word[1]);
    if (record.key != 0)
        node->index = image_add(unit, SECTION_limit_zone, &record, node->word[0].span);
    return node->index;
}

void
limit_compile(struct unit *unit, const struct scope *scope, struct blob_server *server)
{
    static const enum level levels[] = {LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARN, LEVEL_ERROR};
    struct vector made = {0};
    struct node *node = scope_nearest(scope, &directives[DIRECTIVE_limit_conn]);
    const struct node *level = scope_nearest(scope, &directives[DIRECTIVE_limit_conn_log_level]);
    struct span span = node != NULL ? node->word[0].span : (struct span){0, 0};
    for (; node != NULL; node = node->again) {
        u64 number = 0;
        if (node->broken || value_number(node->word[2].text, node->word[2].size, &number) != READ_OK)
            continue;
        struct blob_limit record = {compile_zone(unit, node->word[1].text), (u32)number};
        if (record.zone != 0)
            *(struct blob_limit *)vector_add(&unit->arena, &made, sizeof record) = record;
    }
    server->limit = made.count > 0 ? image_count(unit, SECTION_limit) : 0;
    server->limit_count = made.count;
    server->limit_level = level != NULL && !level->broken ? levels[level->value & 3] : LEVEL_ERROR;
    for (u32 i = 0; i < made.count; i++)
        image_add(unit, SECTION_limit, (struct blob_limit *)made.item + i, span);
}
