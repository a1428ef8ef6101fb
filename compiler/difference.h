/*
 * What the files of spcc diff promise each other.
 *
 *     description.c  a record   ->  text for people
 *     route.c        a blob     ->  the variables that decide where its sessions go
 *     content.c      a blob     ->  things (addresses, names, groups, servers of groups ...) and what is said of each
 *     range.c        two tables ->  the networks for which they give something else
 *     difference.c   two blobs  ->  changes: things that came or went, and what is said otherwise of those in both
 *     change.c       changes    ->  named by changes.def, merged, printed
 */
#ifndef DIFFERENCE_H
#define DIFFERENCE_H

#include "spcc.h"

#include <assert.h>

/* ---- content.c ---- */

/* Where something is said. */
struct spot {
    const char *file; /* NULL: nowhere known */
    u32 line;
};

/* One field of one record, one bit of it, or one entry of its list; as text that is equal where it means the same. */
struct fact {
    u32 section, bit;
    const struct blob_field *field;
    const char *entry; /* its name: a key, a zone; NULL: it is all of the field */
    const char *text;  /* NULL: nothing */
    u64 number;        /* if counted: to be compared by size; of a table of addresses, its record */
    bool counted;
    bool routes;       /* it decides where sessions go */
    struct spot spot;
};

enum thing_kind {
    THING_PROCESS, THING_ADDRESS, THING_NAME, THING_GROUP, THING_PEER, THING_ZONE, THING_VARIABLE,
};

struct thing {
    enum thing_kind kind;
    bool routes;
    const char *name; /* "127.0.0.1:80 udp", "10.0.0.1:5432 of upstream pg" */
    const char *of;   /* the name of what it belongs to, and comes and goes with; NULL: nothing */
    const char *own;  /* its name among those of the same */
    struct spot spot;
    u32 place;           /* its index in things */
    u64 sections;        /* that it has a record of, one bit each */
    struct vector facts; /* of struct fact */
    struct map entries;  /* field and name -> 1 + index in facts */
};
static_assert(SECTION_COUNT < 62, "a bit for each section, and two for settings");

/* Facts that are no field, but a setting, of the directive that is their entry. Those for TLS with clients say nothing
 * where there is none. */
enum { SECTION_SETTING = SECTION_COUNT, SECTION_SETTING_TLS };

struct content {
    struct arena *arena;
    const struct blob *blob;
    const struct vector *settings; /* of struct setting: what the blob cannot say */
    struct map first_setting;      /* section and index -> 1 + index in settings */
    struct vector things; /* of struct thing *, in the order of the blob */
    struct map of;        /* name -> 1 + index in things */
    bool *routes;         /* by slot: it decides where sessions go */
};

/* settings: of struct setting. */
void content_open(struct content *content, struct arena *arena, const struct blob *blob,
                  const struct vector *settings);
struct thing *content_find(const struct content *content, const char *name);
/* What thing says of the same as like does; NULL: nothing. */
const struct fact *content_fact(const struct content *content, const struct thing *thing, const struct fact *like);
const u8 *content_record(const struct content *content, u32 section, u32 index);

/* ---- description.c ---- */

/* "" for record 0. */
const char *description_of(const struct content *content, u32 section, u32 index);
const char *description_of_field(const struct content *content, const u8 *record, const struct blob_field *field);
/* A record without one of its fields. */
const char *description_but(const struct content *content, u32 section, u32 index, const struct blob_field *but);

/* ---- route.c ---- */

/* By slot: does it decide where sessions go? */
bool *route_find(const struct content *content);

/* ---- range.c ---- */

struct range_change {
    const char *range;     /* "10.0.0.0/8", "::1", "10.0.0.1-10.0.0.6" */
    const char *old, *new; /* what the tables give; NULL: nothing */
};

/* Add what differs between two records of geo to found, of struct range_change, ascending. */
void range_compare(const struct content *old, u32 old_geo, const struct content *new, u32 new_geo,
                   struct vector *found);

/* ---- change.c ---- */

#define CATEGORY(id, name, says) CATEGORY_##id,
enum category {
#include "changes.def"
    CATEGORY_COUNT
};

/* A row of changes.def. */
struct change_row {
    u32 section, bit;
    u16 offset;
    enum category less, more, other;
    const char *name;
    const char *none; /* for people: what is there if nothing is said */
    bool unlimited, silent;
    const char *ranks; /* of a setting: words in order, and the first of those that it has counts */
    bool number;       /* of a setting: its value counts */
};

/* One of the things that a change happens to. */
struct affected {
    const char *name;
    struct spot old, new;
};

struct change {
    enum category category;
    const char *what;      /* what people call it; NULL: the thing itself came or went */
    const char *old, *new; /* NULL: there is none */
    struct vector affected;
};

struct change_list {
    struct arena *arena;
    struct vector changes;
    struct map merged; /* category, what, old and new -> 1 + index in changes */
};

/* The row for a setting of that name. */
struct change_row change_setting(const char *name);
/* The row for a fact; where there is none, one of "other-changed". */
struct change_row change_row(const struct fact *fact);
/* Is it said already by the name of a thing, or made from what else is said? */
bool change_is_silent(u32 section, const struct blob_field *field);
/* Are records of section told as fields of those that refer to them? */
bool change_is_part(u32 section);
/* Of a section whose records are entries of lists, the field that is their value: what else they say is their name.
 * NULL: lists of these are told as a whole. */
const struct blob_field *change_entry(u32 section);
/* Does the order of such entries matter? */
bool change_is_ordered(u32 section);
/* What people call it: the row's name, the directive's or parameter's that lands there, or "record.field". */
const char *change_name(struct arena *arena, const struct change_row *row, const struct blob_field *field);
/* Add a change; one that is the same but for what it happens to is one with it. */
void change_add(struct change_list *list, const struct change *change, const struct affected *affected);
void change_print(struct change_list *list, FILE *file);
/* The names are those of the command line. */
void change_print_json(struct change_list *list, const char *old, const char *new, FILE *file);

/* ---- difference.c ---- */

/* Find what changes for traffic. */
void difference(struct change_list *list, const struct blob *old, const struct vector *old_settings,
                const struct blob *new, const struct vector *new_settings);

#endif
