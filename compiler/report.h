/*
 * What a finding is, for those who sort findings, silence them and tell of them: diag.c, severity.c, silence.c,
 * report.c and the report_*.c. Who meets a mistake needs no more than diag() of spcc.h.
 */
#ifndef REPORT_H
#define REPORT_H

#include "spcc.h"

struct remark {
    struct span span;
    const char *text;
};

struct diag {
    enum diagnostic id;
    struct span span;
    u32 order;
    bool withdrawn;
    const char *text, *help; /* help: NULL for none */
    const char *silenced;    /* the reason that a comment gives; NULL: it is not silenced */
    struct vector notes;     /* of struct remark */
};

/* diagnostics.def as data. */
struct diagnostic_row {
    const char *code, *name, *says, *advice;
    enum severity severity;
};

extern const struct diagnostic_row diagnostics[DIAG_COUNT];
extern const char *const severity_words[]; /* of SEVERITY_ERROR, WARNING, NOTE */

/* ---- report.c: what the formats share ---- */

/* A place on one line of a file; columns count characters from 1, end is behind the last one. */
struct report_place {
    const char *file; /* from the root, if it is below it */
    u32 line, column, end;
};

struct report_note {
    struct report_place place;
    const char *text;
};

struct report_finding {
    const struct diagnostic_row *row;
    enum severity severity; /* SEVERITY_ERROR, WARNING or NOTE */
    struct report_place place;
    const char *text, *help; /* help: NULL for none */
    const char *silenced;    /* the reason; NULL: it counts */
    const char *fingerprint; /* the same wherever in its file the line moves to */
    const struct report_note *note;
    u32 note_count;
};

/* Findings told, by severity. */
struct report_count {
    u32 of[3], silenced;
};

struct report_format {
    const char *name;
    void (*open)(struct report *report);
    void (*finding)(struct report *report, const struct report_finding *finding);
    void (*file)(struct report *report, const char *file); /* behind its findings */
    void (*close)(struct report *report);
};

extern const struct report_format report_gcc, report_github, report_json, report_gitlab, report_sarif, report_junit;

struct report {
    const struct report_format *format; /* NULL: pretty */
    FILE *file;
    bool colour;
    const char *root;                   /* NULL: where spcc was started */
    enum fail_on fail_on;
    struct arena arena;
    struct map seen, hashes;            /* what was told; fingerprints -> how often */
    bool unreadable;                    /* the file at hand could not be read */
    struct report_count count, total;   /* of the file at hand; of all */
    u32 file_count, failed_count, unreadable_count;
    u32 told;                           /* the rest is for the formats: findings written */
    const u32 *rule;                    /* the number of a diagnostic's rule */
    struct vector lines;                /* of const char *: of the file at hand */
    struct vector files;                /* of const char *: what is written of them at the end */
};

/* Does a finding of that severity fail its file? */
bool report_fails(const struct report *report, enum severity severity);
/* The sentence of a row, "..." for what differs. */
const char *report_sentence(struct report *report, const char *says);
/* Text in a JSON string, with its quotes. */
void report_json_text(FILE *file, const char *text);
/* text with "?" for bytes that are not UTF-8 or not to be printed; "\n" stays. */
const char *report_clean(struct report *report, const char *text);

#endif
