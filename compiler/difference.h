/*
 * What the files of spcc diff promise each other.
 *
 *     content.c      a blob     ->  things (addresses, groups, servers of groups, variables) and what is said of each
 *     difference.c   two blobs  ->  changes: things that came or went, and what is said otherwise of those in both
 *     change.c       changes    ->  named by changes.def, merged, printed
 */
#ifndef DIFFERENCE_H
#define DIFFERENCE_H

#include "spcc.h"

/* ---- content.c ---- */

/* Where something is said. */
struct spot {
    const char *file; /* NULL: nowhere known */
    u32 line;
};

/* One field of one record, or one bit of it, as text that is equal where it means the same. */
struct fact {
    u32 section, bit;
    const struct blob_field *field;
    const char *text; /* NULL: nothing */
    u64 number;       /* if counted: to be compared by size */
    bool counted;
    struct spot spot;
};

enum thing_kind { THING_PROCESS, THING_ADDRESS, THING_GROUP, THING_PEER, THING_VARIABLE_OF };

struct thing {
    enum thing_kind kind;
    const char *name; /* "127.0.0.1:80 udp", "10.0.0.1:5432 of upstream pg" */
    struct spot spot;
    struct vector facts; /* of struct fact */
};

struct content {
    struct arena *arena;
    const struct blob *blob;
    struct vector things; /* of struct thing *, in the order of the blob */
    struct map of;        /* name -> 1 + index in things */
};

void content_open(struct content *content, struct arena *arena, const struct blob *blob);
struct thing *content_find(const struct content *content, const char *name);

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
    bool unlimited;
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

/* The row for a fact; where there is none, one of "other-changed". */
struct change_row change_row(const struct fact *fact);
/* What people call it: the row's name, the directive's or parameter's that lands there, or "record.field". */
const char *change_name(struct arena *arena, const struct change_row *row, const struct blob_field *field);
/* Add a change; one that is the same but for what it happens to is one with it. */
void change_add(struct change_list *list, const struct change *change, const struct affected *affected);
void change_print(struct change_list *list, FILE *file);
/* The names are those of the command line. */
void change_print_json(struct change_list *list, const char *old, const char *new, FILE *file);

/* ---- difference.c ---- */

/* Find what changes for traffic. */
void difference(struct change_list *list, const struct blob *old, const struct blob *new);

#endif
