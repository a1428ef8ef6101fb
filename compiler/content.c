/*
 * What a blob says, by meaning and not by record: things that have a name of their own, and facts about each. A fact
 * is a field with its text, or an entry of a list whose entries have names of their own. A new record or field of
 * blob.def needs nothing here.
 */
#include "difference.h"

#include <stdlib.h>
#include <string.h>

/* ---- records ---- */

const u8 *
content_record(const struct content *content, u32 section, u32 index)
{
    const struct blob *blob = content->blob;
    const void *const start[SECTION_COUNT] = {
#define RECORD(record) [SECTION_##record] = blob->record,
#include "blob.def"
    };
    return (const u8 *)start[section] + (size_t)index * blob_sections[section].record_size;
}

static struct spot
spot_of(const struct content *content, u32 section, u32 index)
{
    const struct blob_origin *origin = blob_find_origin(content->blob, (enum section)section, index);
    return origin == NULL ? (struct spot){NULL, 0}
                          : (struct spot){blob_string(content->blob, origin->file), origin->line};
}

/* The spot of what says so, or failing that of what it is said of. */
static struct spot
nearest_spot(const struct content *content, const struct thing *thing, u32 section, u32 index)
{
    struct spot spot = spot_of(content, section, index);
    return spot.file != NULL ? spot : thing->spot;
}

/* ---- facts ---- */

/* Fields and entries may have the same name, but not of the same field. */
static const char *
entry_name(struct arena *arena, const struct blob_field *field, const char *entry)
{
    return arena_print(arena, "%s %s", field->name, entry);
}

/* What is nothing is left out: there are many fields, and most are not used. */
static void
add_fact(const struct content *content, struct thing *thing, const struct fact *fact)
{
    if (fact->number == 0 && fact->entry == NULL)
        return;
    *(struct fact *)vector_add(content->arena, &thing->facts, sizeof *fact) = *fact;
    if (fact->entry == NULL)
        return;
    const char *name = entry_name(content->arena, fact->field, fact->entry);
    *map_at(content->arena, &thing->entries, name, strlen(name)) = thing->facts.count;
}

const struct fact *
content_fact(const struct content *content, const struct thing *thing, const struct fact *like)
{
    const struct fact *fact = thing->facts.item;
    if (like->entry != NULL) {
        const char *name = entry_name(content->arena, like->field, like->entry);
        u32 found = map_find(&thing->entries, name, strlen(name));
        return found == 0 ? NULL : &fact[found - 1];
    }
    for (u32 i = 0; i < thing->facts.count; i++)
        if (fact[i].field == like->field && fact[i].bit == like->bit)
            return &fact[i];
    return NULL;
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

/* The value of a field, as text and, where that can be, as a number. */
static void
read_value(const struct content *content, struct fact *fact, const u8 *record, const struct blob_field *field)
{
    fact->number = blob_get(record, field);
    fact->counted = field->rule == RULE_ANY || field->max > 0 || field->rule == RULE_ZONE;
    if (field->section == SECTION_geo) /* compared address by address */
        return;
    if (field->size > sizeof fact->number) /* it has no number of its own */
        fact->number = 1;
    if (fact->number != 0 || fact->entry != NULL)
        fact->text = description_of_field(content, record, field);
}

/* form: what is around the name of an entry, "*%s". */
static void
add_entries(const struct content *content, struct thing *thing, struct fact fact, const u8 *record, const char *form)
{
    u32 section = fact.field->section, first = (u32)blob_get(record, fact.field);
    u32 end = first + (u32)blob_get(record, fact.field + 1);
    const struct blob_field *value = change_entry(section);
    for (u32 i = first; i < end; i++) {
        const char *name = description_but(content, section, i, value), *hole = strchr(form, '%');
        fact.entry = arena_print(content->arena, "%.*s%s%s", (int)(hole - form), form, name, hole + 1);
        fact.spot = nearest_spot(content, thing, section, i);
        fact.text = "";
        read_value(content, &fact, content_record(content, section, i), value);
        if (section == SECTION_assignment)
            fact.routes = content->routes[content->blob->assignment[i].slot];
        add_fact(content, thing, &fact);
    }
}

/* The names in an index of a map lack what is the same for all of them. */
static const char *
form_of(const struct blob_field *field)
{
    return strcmp(field->name, "head") == 0 ? "*%" : strcmp(field->name, "tail") == 0 ? "%*" : "%";
}

/* That there is a part at all, where that has a name. */
static void
add_presence(const struct content *content, struct thing *thing, struct fact fact, u64 value)
{
    if (change_row(&fact).name == NULL)
        return;
    fact.text = "on";
    fact.number = value != 0;
    add_fact(content, thing, &fact);
}

static void
add_record(const struct content *content, struct thing *thing, u32 section, u32 index, const char *form)
{
    const struct blob_section *shape = &blob_sections[section];
    const u8 *record = content_record(content, section, index);
    struct fact fact = {.section = section, .routes = thing->routes};
    fact.spot = nearest_spot(content, thing, section, index);
    thing->sections |= 1ull << section;
    for (u32 i = 0; i < shape->field_count; i++) {
        fact.field = &shape->field[i];
        u64 value = blob_get(record, fact.field);
        if (change_is_silent(section, fact.field))
            continue;
        if (fact.field->rule == RULE_FLAGS) {
            add_bits(content, thing, fact, value);
        } else if (fact.field->rule == RULE_SPAN && change_entry(fact.field->section) != NULL) {
            add_entries(content, thing, fact, record, form);
        } else if ((fact.field->rule == RULE_REF || fact.field->rule == RULE_NEED) &&
                   change_is_part(fact.field->section)) {
            add_presence(content, thing, fact, value);
            if (value != 0)
                add_record(content, thing, fact.field->section, (u32)value, form_of(fact.field));
        } else {
            struct fact plain = fact;
            read_value(content, &plain, record, fact.field);
            add_fact(content, thing, &plain);
        }
    }
}

/* ---- settings ---- */

/* The place, counted from 1, of the first of ranks that is among the words of text; 0: none is. */
static u64
rank_of(const char *ranks, const char *text)
{
    u64 rank = 1;
    for (const char *word = ranks; *word != '\0'; rank++) {
        size_t size = strcspn(word, "|");
        for (const char *at = text; *at != '\0';) {
            size_t length = strcspn(at, " ");
            if (length == size && strncasecmp(at, word, size) == 0)
                return rank;
            at += length + (at[length] != '\0');
        }
        word += size + (word[size] != '\0');
    }
    return 0;
}

static void
add_setting(const struct content *content, struct thing *thing, const struct setting *setting)
{
    static const struct blob_field field = {.name = "setting", .rule = RULE_TEXT};
    struct change_row row = change_setting(setting->name);
    struct fact fact = {.section = SECTION_SETTING, .field = &field, .entry = setting->name, .text = setting->text};
    fact.spot = setting->file != NULL ? (struct spot){setting->file, setting->line} : thing->spot;
    if (strncmp(setting->name, "ssl_", strlen("ssl_")) == 0)
        fact.section = SECTION_SETTING_TLS;
    thing->sections |= 1ull << fact.section;
    fact.counted = row.ranks != NULL || row.number;
    if (fact.counted)
        fact.number = row.number ? strtoull(setting->text, NULL, 10) : rank_of(row.ranks, setting->text);
    add_fact(content, thing, &fact);
}

static void
add_settings(const struct content *content, struct thing *thing, u32 section, u32 index)
{
    const struct setting *setting = content->settings->item;
    const u32 key[] = {section, index};
    thing->sections |= 1ull << SECTION_SETTING;
    u32 first = map_find(&content->first_setting, key, sizeof key);
    for (u32 i = first - 1; first != 0 && i < content->settings->count; i++) {
        if (setting[i].section != section || setting[i].index != index)
            break;
        add_setting(content, thing, &setting[i]);
    }
}

/* Those of a record stand side by side. */
static void
index_settings(struct content *content)
{
    const struct setting *setting = content->settings->item;
    for (u32 i = 0; i < content->settings->count; i++) {
        const u32 key[] = {setting[i].section, setting[i].index};
        u32 *first = map_at_copy(content->arena, &content->first_setting, key, sizeof key);
        *first = *first != 0 ? *first : i + 1;
    }
}

/* ---- things ---- */

/* One that stands where record index of section does. */
static struct thing *
add_thing(struct content *content, enum thing_kind kind, const char *name, u32 section, u32 index)
{
    struct thing *thing = arena_take(content->arena, sizeof *thing);
    while (map_find(&content->of, name, strlen(name)) != 0) /* the same server twice in a group, say */
        name = arena_print(content->arena, "%s, again", name);
    *thing = (struct thing){.kind = kind, .name = name, .spot = spot_of(content, section, index)};
    thing->place = content->things.count;
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
add_server(const struct content *content, struct thing *thing, u32 index)
{
    const struct blob_server *server = &content->blob->server[index];
    add_record(content, thing, SECTION_server, index, "%");
    add_settings(content, thing, SECTION_server, index);
    if (server->proxy != 0)
        add_record(content, thing, SECTION_proxy, server->proxy, "%");
}

/* name: as it was written, or near to that. */
static void
add_name(struct content *content, const char *address, const char *name, u32 value)
{
    u32 server = content->blob->value[value].server;
    const char *both = arena_print(content->arena, "%s %s", address, name);
    struct thing *thing = add_thing(content, THING_NAME, both, SECTION_server, server);
    thing->of = address;
    thing->own = name;
    add_server(content, thing, server);
}

static void
add_names(struct content *content, const char *address, const struct blob_map *map)
{
    const struct blob *blob = content->blob;
    const struct {
        u32 index;
        const char *before, *behind;
    } kinds[] = {{map->exact, "", ""}, {map->head, "*", ""}, {map->tail, "", "*"}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        const struct blob_index *index = &blob->index[kinds[kind].index];
        for (u32 i = index->key; i < index->key + index->key_count; i++) {
            const char *name = arena_print(content->arena, "%s%.*s%s", kinds[kind].before, (int)blob->key[i].text_size,
                                           blob_string(blob, blob->key[i].text), kinds[kind].behind);
            add_name(content, address, name, blob->key[i].value);
        }
    }
    for (u32 i = map->pattern; i < map->pattern + map->pattern_count; i++)
        add_name(content, address, description_of(content, SECTION_regex, blob->pattern[i].regex),
                 blob->pattern[i].value);
}

static void
add_endpoint(struct content *content, u32 index, const struct blob_listener *listener, bool own)
{
    const struct blob *blob = content->blob;
    const struct blob_endpoint *endpoint = &blob->endpoint[index];
    const char *name = arena_print(content->arena, "%s%s", blob_string(blob, blob->address[endpoint->address].text),
                                   listener->flags & LISTENER_UDP ? " udp" : "");
    struct thing *thing = add_thing(content, THING_ADDRESS, name, SECTION_endpoint, index);
    if (own)
        add_record(content, thing, SECTION_listener, (u32)(listener - blob->listener), "%");
    add_record(content, thing, SECTION_endpoint, index, "%");
    add_server(content, thing, endpoint->server);
    if (endpoint->names != 0)
        add_names(content, name, &blob->map[endpoint->names]);
}

static void
add_group(struct content *content, u32 index)
{
    const struct blob *blob = content->blob;
    const struct blob_upstream *upstream = &blob->upstream[index];
    const char *group = arena_print(content->arena, "upstream %s", blob_string(blob, upstream->name));
    struct thing *whole = add_thing(content, THING_GROUP, group, SECTION_upstream, index);
    add_record(content, whole, SECTION_upstream, index, "%");
    add_settings(content, whole, SECTION_upstream, index);
    for (u32 i = upstream->peer; i < upstream->peer + upstream->peer_count; i++) {
        const char *own = blob_string(blob, blob->peer[i].name);
        const char *peer = arena_print(content->arena, "%s of %s", own, group);
        struct thing *thing = add_thing(content, THING_PEER, peer, SECTION_peer, i);
        thing->of = group;
        thing->own = own;
        add_record(content, thing, SECTION_peer, i, "%");
    }
}

static void
add_variable(struct content *content, u32 index)
{
    const char *name = description_of(content, SECTION_slot, index);
    struct thing *thing = add_thing(content, THING_VARIABLE, name, SECTION_slot, index);
    thing->routes = content->routes[index];
    add_record(content, thing, SECTION_slot, index, "%");
}

void
content_open(struct content *content, struct arena *arena, const struct blob *blob, const struct vector *settings)
{
    *content = (struct content){.arena = arena, .blob = blob, .settings = settings};
    content->routes = route_find(content);
    index_settings(content);
    struct thing *process = add_thing(content, THING_PROCESS, "the process", SECTION_main, 1);
    add_record(content, process, SECTION_main, 1, "%");
    add_settings(content, process, SECTION_main, 1);
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_listener *listener = &blob->listener[i];
        for (u32 j = 0; j < listener->endpoint_count; j++)
            add_endpoint(content, listener->endpoint + j, listener, j + 1 == listener->endpoint_count);
    }
    for (u32 i = 1; i < blob->upstream_count; i++)
        add_group(content, i);
    for (u32 i = 1; i < blob->limit_zone_count; i++) {
        const char *name = arena_print(arena, "zone %s", description_of(content, SECTION_limit_zone, i));
        add_record(content, add_thing(content, THING_ZONE, name, SECTION_limit_zone, i), SECTION_limit_zone, i, "%");
    }
    for (u32 i = 1; i < blob->slot_count; i++)
        add_variable(content, i);
}
