/*
 * One compilation: everything that is known between the first byte and the blob. Each group of fields belongs to the
 * file that its comment names; others ask by the functions of spcc.h, which includes this at its end.
 */
#ifndef UNIT_H
#define UNIT_H

struct unit {
    struct arena arena;

    /* source.c */
    const char *const *include_path; /* -I, in order */
    u32 include_path_count;

    struct vector sources; /* of struct source * */
    u32 position;          /* the next free one */
    const char *prefix;    /* the main file's directory, with its slash; "" for none */
    bool full;             /* no more files are read */

    /* main.c */
    bool checking; /* spcc check: nothing is written */
    bool comparing; /* spcc diff: what spcd lacks is gathered */
    bool tolerant; /* of what spcd lacks: it is judged, and no mistake; spcc check and spcc diff */
    bool pedantic; /* -W: say also what is off by default */

    /* diag.c */
    struct vector diags;
    struct diag *last;     /* where notes and help go */
    u32 error_count;
    bool broken;           /* the files do not parse: what seems to be missing may be there */
    bool unread;           /* some of the text was not read: what is named may be there */
    u32 astray;            /* up to here what seems to be misplaced is so for a "}" too many, which was told */

    /* severity.c */
    const u8 *choice; /* of enum choice, by diagnostic; NULL: none */

    /* silence.c */
    struct vector silences;        /* of struct silence * */
    struct vector silence_waiting; /* the indexes of those whose statement has not ended yet */
    struct vector silence_blocks;  /* and of those whose block has not */
    u32 silence_depth;

    /* outside.c */
    struct {
        bool files, certificates, names; /* shall they be looked at? */
        struct map asked;                /* names that were */
    } outside;

    /* image.c */
    bool no_origin; /* the blob does not say where its records come from */

    /* define.c */
    struct vector defines;

    /* check.c */
    struct map words;     /* directive names -> 1 + index of the first row */
    struct scope main, stream, here;
    struct vector work;   /* of struct node *: blocks to compile */
    struct map variables; /* declared by map, geo, set ..., lower case */
    struct map maybe;     /* names of blocks of unknown kind, lower case: perhaps upstreams */
    bool noted[DIRECTIVE_COUNT];
    bool fragment;        /* fragment.c: the file is the inside of some block, and the rest is elsewhere */
    enum context context; /* what --context says, 0: nothing */
    enum context wrapped; /* the block that it was put into: IN_SERVER, IN_UPSTREAM or 0 */
    bool partial;         /* what is not here may be elsewhere: a fragment, or an include that reads nothing */

    /* judge.c */
    struct judge *judge;
    struct vector settings; /* setting.c: of struct setting */
    struct vector later; /* of const char *: what spcd does not have yet */
    struct span later_span;

    /* lint_target.c */
    struct target target;

    /* what the features have made */
    struct image image;
    struct map values;    /* map.c: text of values -> their records */
    struct vector codes;  /* regex.c: of pcre2_code * */
    struct map tls;       /* proxy_ssl.c: content of tls records -> their indexes */
    struct map upstreams; /* made for a proxy_pass: lower-case text -> index */
    struct map declared;  /* lower-case name -> 1 + index in declarations */
    struct vector declarations;
    struct vector passes;   /* pass.c */
    struct vector bindings; /* listen.c */
    struct vector ports;
    struct map bound;       /* address -> 1 + binding; family and port -> 1 + port */
};

void unit_open(struct unit *unit);
void unit_close(struct unit *unit);

#endif
