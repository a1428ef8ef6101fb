/*
 * What a blob says, by meaning and not by record: things that have a name of their own, and facts about each. A fact
 * is text, made from a field and from all that is behind it, so that it is equal in two blobs if it means the same
 * in both, wherever the records stand. A new record or field of blob.def needs nothing here.
 */
#include "difference.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

enum { DEPTH_MAX = 12, LISTED_MAX = 8 };

static const u8 *
record_at(const struct blob *blob, u32 section, u32 index)
{
    const void *const start[SECTION_COUNT] = {
#define RECORD(record) [SECTION_##record] = blob->record,
#include "blob.def"
    };
    return (const u8 *)start[section] + (size_t)index * blob_sections[section].record_size;
}

static struct spot
spot_of(const struct blob *blob, u32 section, u32 index)
{
    const struct blob_origin *origin = blob_find_origin(blob, (enum section)section, index);
    return origin == NULL ? (struct spot){NULL, 0} : (struct spot){blob_string(blob, origin->file), origin->line};
}

/* ---- text ---- */

static const char *describe(const struct content *content, u32 section, u32 index, u32 depth);

static const char *
describe_op(const struct content *content, const struct blob_op *op)
{
    static const char *const variables[] = {
        "",
#define VARIABLE(name, says) #name,
#include "variables.def"
#undef VARIABLE
    };
    const struct blob *blob = content->blob;
    switch (op->kind) {
    case OP_TEXT:
        return arena_text(content->arena, blob_string(blob, op->text), op->text_size);
    case OP_SLOT:
        return arena_print(content->arena, "${%s}", blob_string(blob, blob->slot[op->slot].name));
    case OP_CAPTURE:
        return arena_print(content->arena, "$%u", op->capture);
    case OP_VARIABLE:
        return arena_print(content->arena, "${%s}", variables[op->variable]);
    default:
        return "?";
    }
}

/* All of a span's records: each, if they are few; else how many, and a number that tells them from others. */
static const char *
describe_span(const struct content *content, const u8 *record, const struct blob_field *field, u32 depth)
{
    u32 first = (u32)blob_get(record, field), count = (u32)blob_get(record, field + 1);
    const char *list = "", *between = field->section == SECTION_op ? "" : ", ";
    u64 sum = 0xcbf29ce484222325; /* FNV-1a */
    if (field->section == SECTION_text)
        return arena_text(content->arena, blob_string(content->blob, first), count);
    for (u32 i = 0; i < count; i++) {
        const char *one = describe(content, field->section, first + i, depth + 1);
        if (count <= LISTED_MAX)
            list = arena_print(content->arena, "%s%s%s", list, i > 0 ? between : "", one);
        for (; *one != '\0'; one++)
            sum = (sum ^ (u8)*one) * 0x100000001b3;
        sum = (sum ^ '\n') * 0x100000001b3;
    }
    return count <= LISTED_MAX ? list : arena_print(content->arena, "%u entries (%016" PRIx64 ")", count, sum);
}

static const char *
describe_flags(const struct content *content, const struct blob_field *field, u64 value)
{
    const char *list = "";
    for (u32 i = 0; i < field->vocabulary->count; i++)
        if (value >> i & 1)
            list = arena_print(content->arena, "%s%s%s", list, *list != '\0' ? " " : "", field->vocabulary->word[i]);
    return list;
}

static bool
ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

static const char *
describe_number(const struct content *content, const struct blob_field *field, u64 value)
{
    if (ends_with(field->name, "_ms") && value % 1000 == 0)
        return arena_print(content->arena, "%" PRIu64 "s", value / 1000);
    if (ends_with(field->name, "_ms"))
        return arena_print(content->arena, "%" PRIu64 "ms", value);
    return arena_print(content->arena, "%" PRIu64, value);
}

static const char *
describe_bytes(const struct content *content, const u8 *bytes, u32 size)
{
    const char *text = "";
    for (u32 i = 0; i < size; i++)
        text = arena_print(content->arena, "%s%02x", text, bytes[i]);
    return text;
}

/* A field, and what is behind it. */
static const char *
describe_field(const struct content *content, const u8 *record, const struct blob_field *field, u32 depth)
{
    u64 value = blob_get(record, field);
    switch ((enum rule)field->rule) {
    case RULE_TEXT:
    case RULE_RISES:
        return blob_string(content->blob, (u32)value);
    case RULE_REF:
    case RULE_NEED:
        return describe(content, field->section, (u32)value, depth + 1);
    case RULE_SPAN:
        return describe_span(content, record, field, depth);
    case RULE_ENUM:
        return field->vocabulary->word[value];
    case RULE_FLAGS:
        return describe_flags(content, field, value);
    default:
        return field->size > sizeof value ? describe_bytes(content, record + field->offset, field->size)
                                          : describe_number(content, field, value);
    }
}

/* Is there nothing to say of the field itself? */
static bool
is_silent(const struct blob_field *field)
{
    return field->rule == RULE_LENGTH || field->rule == RULE_SOME || field->rule == RULE_ZERO;
}

static const char *
describe_all(const struct content *content, u32 section, const u8 *record, u32 depth)
{
    const struct blob_section *shape = &blob_sections[section];
    const char *text = "";
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        if (is_silent(field) || (field->size <= sizeof(u64) && blob_get(record, field) == 0))
            continue;
        const char *one = describe_field(content, record, field, depth);
        bool number = field->rule == RULE_ANY || field->rule == RULE_MAX;
        text = arena_print(content->arena, "%s%s%s%s%s", text, *text != '\0' ? " " : "", number ? field->name : "",
                           number ? "=" : "", one);
    }
    return text;
}

/* A record for people, and what is behind it; things that have a name are known by it. */
static const char *
describe(const struct content *content, u32 section, u32 index, u32 depth)
{
    const struct blob *blob = content->blob;
    if (index == 0)
        return "";
    switch (section) {
    case SECTION_address:
        return blob_string(blob, blob->address[index].text);
    case SECTION_upstream:
        return blob_string(blob, blob->upstream[index].name);
    case SECTION_slot:
        return arena_print(content->arena, "$%s", blob_string(blob, blob->slot[index].name));
    case SECTION_op:
        return describe_op(content, &blob->op[index]);
    case SECTION_expr:
        return describe_span(content, record_at(blob, section, index), blob_sections[section].field, depth);
    default:
        return depth < DEPTH_MAX ? describe_all(content, section, record_at(blob, section, index), depth) : "...";
    }
}

/* ---- facts ---- */

static void
add_fact(const struct content *content, struct thing *thing, const struct fact *fact)
{
    *(struct fact *)vector_add(content->arena, &thing->facts, sizeof *fact) = *fact;
}

static void
add_bits(const struct content *content, struct thing *thing, struct fact fact, u64 value)
{
    fact.counted = true;
    for (u32 i = 0; i < fact.field->vocabulary->count; i++) {
        fact.bit = 1u << i;
        fact.number = value >> i & 1;
        fact.text = fact.number ? "on" : "off";
        add_fact(content, thing, &fact);
    }
}

/* skipped: fields that are told otherwise; the last is NULL. */
static void
add_record(const struct content *content, struct thing *thing, u32 section, u32 index, const char *const *skipped)
{
    const struct blob_section *shape = &blob_sections[section];
    const u8 *record = record_at(content->blob, section, index);
    for (u32 i = 0; i < shape->field_count; i++) {
        const struct blob_field *field = &shape->field[i];
        u64 value = blob_get(record, field);
        struct fact fact = {.section = section, .field = field, .spot = spot_of(content->blob, section, index)};
        bool skip = is_silent(field);
        for (const char *const *name = skipped; *name != NULL; name++)
            skip |= strcmp(field->name, *name) == 0;
        if (skip)
            continue;
        if (field->rule == RULE_FLAGS) {
            add_bits(content, thing, fact, value);
            continue;
        }
        fact.counted = field->rule == RULE_ANY || field->rule == RULE_MAX;
        fact.number = value;
        fact.text = value == 0 && !fact.counted ? NULL : describe_field(content, record, field, 0);
        if (fact.text != NULL && *fact.text == '\0')
            fact.text = NULL;
        add_fact(content, thing, &fact);
    }
}

/* ---- things ---- */

static struct thing *
add_thing(struct content *content, enum thing_kind kind, const char *name, struct spot spot)
{
    struct thing *thing = arena_take(content->arena, sizeof *thing);
    while (map_find(&content->of, name, strlen(name)) != 0) /* the same server twice in a group, say */
        name = arena_print(content->arena, "%s, again", name);
    *thing = (struct thing){.kind = kind, .name = name, .spot = spot};
    *(struct thing **)vector_add(content->arena, &content->things, sizeof thing) = thing;
    *map_at(content->arena, &content->of, name, strlen(name)) = content->things.count;
    return thing;
}

struct thing *
content_find(const struct content *content, const char *name)
{
    u32 found = map_find(&content->of, name, strlen(name));
    return found == 0 ? NULL : ((struct thing **)content->things.item)[found - 1];
}

static void
add_endpoint(struct content *content, u32 index, const struct blob_listener *listener, bool own)
{
    const struct blob *blob = content->blob;
    const struct blob_endpoint *endpoint = &blob->endpoint[index];
    const char *name = arena_print(content->arena, "%s%s", blob_string(blob, blob->address[endpoint->address].text),
                                   listener->flags & LISTENER_UDP ? " udp" : "");
    struct thing *thing = add_thing(content, THING_ADDRESS, name, spot_of(blob, SECTION_endpoint, index));
    const struct blob_server *server = &blob->server[endpoint->server];
    if (own)
        add_record(content, thing, SECTION_listener, (u32)(listener - blob->listener),
                   (const char *const[]){"address", "endpoint", NULL});
    add_record(content, thing, SECTION_endpoint, index, (const char *const[]){"address", "server", NULL});
    add_record(content, thing, SECTION_server, endpoint->server, (const char *const[]){"proxy", NULL});
    if (server->proxy != 0)
        add_record(content, thing, SECTION_proxy, server->proxy, (const char *const[]){NULL});
}

static void
add_group(struct content *content, u32 index)
{
    const struct blob *blob = content->blob;
    const struct blob_upstream *upstream = &blob->upstream[index];
    const char *group = blob_string(blob, upstream->name);
    struct thing *thing = add_thing(content, THING_GROUP, arena_print(content->arena, "upstream %s", group),
                                    spot_of(blob, SECTION_upstream, index));
    add_record(content, thing, SECTION_upstream, index, (const char *const[]){"name", "peer", NULL});
    for (u32 i = upstream->peer; i < upstream->peer + upstream->peer_count; i++) {
        const char *peer = blob_string(blob, blob->peer[i].name);
        thing = add_thing(content, THING_PEER, arena_print(content->arena, "%s of upstream %s", peer, group),
                          spot_of(blob, SECTION_peer, i));
        add_record(content, thing, SECTION_peer, i, (const char *const[]){"name", NULL});
    }
}

void
content_open(struct content *content, struct arena *arena, const struct blob *blob)
{
    *content = (struct content){.arena = arena, .blob = blob};
    struct thing *process = add_thing(content, THING_PROCESS, "the process", spot_of(blob, SECTION_main, 1));
    add_record(content, process, SECTION_main, 1, (const char *const[]){"listener", NULL});
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_listener *listener = &blob->listener[i];
        for (u32 j = 0; j < listener->endpoint_count; j++)
            add_endpoint(content, listener->endpoint + j, listener, j + 1 == listener->endpoint_count);
    }
    for (u32 i = 1; i < blob->upstream_count; i++)
        add_group(content, i);
    for (u32 i = 1; i < blob->slot_count; i++) {
        const char *name = arena_print(arena, "$%s", blob_string(blob, blob->slot[i].name));
        struct thing *thing = add_thing(content, THING_VARIABLE_OF, name, spot_of(blob, SECTION_slot, i));
        add_record(content, thing, SECTION_slot, i, (const char *const[]){"name", NULL});
    }
}
