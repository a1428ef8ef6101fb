/*
 * What the judge_*.c share: each judges the directives of its noun in full, whether or not spcd has them yet. Rows of
 * directives.def name these functions as .judge; judge.c calls them in the order of the files, first all that declare
 * or use names, and what only the whole configuration can tell after that.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "spcc.h"

/* "sha256//" and the digest behind it, of proxy_ssl_pin. */
enum { PIN_PREFIX = 8, PIN_SIZE = 44 };

/* ---- names: things that one directive declares and another one uses ---- */

enum thing { THING_FORMAT, THING_LIMIT, THING_PACE, THING_MATCH, THING_KEYVAL, THING_COUNT };

/* Who shares a zone of memory: only directives of one kind may. */
enum zone_use { ZONE_LIMIT, ZONE_PACE, ZONE_KEYVAL, ZONE_UPSTREAM, ZONE_TLS, ZONE_OCSP };

/* ---- variables ---- */

enum variable_kind {
    VARIABLE_UNKNOWN,
    VARIABLE_BUILTIN,
    VARIABLE_TABLE,   /* map, geo, split_clients, num_map: its node has the values */
    VARIABLE_SET,     /* of one server or several */
    VARIABLE_CAPTURE, /* named in a regular expression */
    VARIABLE_OTHER,   /* keyval, or a directive that we do not know */
};

struct symbol {
    const char *name; /* lower case */
    enum variable_kind kind;
    struct node *node; /* what declares it first; NULL: a capture */
    struct span span;
    u32 prereads;  /* what its value comes from, */
    bool prereads_known;
    bool visiting, walked, tried;
    u32 height; /* tables in a row to compute it, */
    u64 cost;   /* and how many are computed at most where it is used, */
    bool deep;  /* more than can be: it is not compiled */
    u32 slot; /* slot.c: its record; 0: none yet */
    const struct judged_geo *geo; /* judge_geo.c: what it has read; NULL: it is no geo */
    struct route *route[2]; /* judge_route.c: as a target, as the host of one */
};

/* An entry of a geo. */
struct geo_range {
    enum family family;
    ip16 low, high;
    u32 order;
    bool deletes; /* those before it */
    const struct node *entry;
};

/* A geo {}: sorted by family, from the lowest address on, the larger one first where two begin alike. */
struct judged_geo {
    const struct geo_range *range;
    u32 count;
    const struct node *fallback; /* NULL: none */
    bool by_range;
};

/* A server {}, for what servers mean to each other. */
struct judge_server {
    const struct node *node;
    const struct node *pass;  /* its proxy_pass, NULL for none */
    const struct node *names; /* its server_name */
    bool udp, tls, certified, resolves; /* tls: a listen of it has ssl */
    u32 prereads;
    const struct judge_server *visited; /* judge_route.c */
};

/* ---- the state of one pass ---- */

struct judge {
    struct node *server;   /* the server {} that the node is in, NULL for none */
    struct node *upstream; /* and the upstream {} */
    struct vector names, name_uses; /* name.c */
    struct map name_of;
    struct vector zones;
    struct map zone_of;
    struct vector variables, variable_uses; /* judge_variable.c */
    struct map variable_of;
    struct vector logs;    /* judge_log.c: files that are written in blocks */
    struct map log_of;
    struct vector groups;  /* judge_upstream.c: of struct node * */
    struct map group_of;   /* lower-case name -> 1 + index */
    struct vector targets; /* judge_route.c: of const struct word *: addresses that a variable may give a proxy_pass */
    struct vector servers; /* judge_server.c */
    struct vector sockets;
    struct map socket_of;
};

/* Judge all directives below root; what is wrong is reported. */
void judge_run(struct unit *unit, struct node *root);

/* ---- judge.c: for the others ---- */

const char *judge_show(struct unit *unit, const struct word *word);
/* From the first word of a node to its last. */
struct span judge_span(const struct node *node);
/* What is not here may be in another file: then a name that is unknown is no mistake. */
bool judge_is_lenient(const struct unit *unit);
/* The parameters of a row without records, from word first on. False: some were refused. */
bool judge_options(struct unit *unit, struct node *node, u32 first, struct options *options);
/* The entries of a map or the like have one or two words, no block, and a ";" each. False: reported. */
bool judge_entry(struct unit *unit, struct node *entry, u32 least, u32 most, const char *shape);
/* Compile a pattern that stands at start of word, behind its marks; its named captures become variables. */
bool judge_regex(struct unit *unit, const struct word *word, u32 start, bool caseless);
/* text, a part of word from start on, is a size of at least least bytes. False: reported. */
bool judge_size(struct unit *unit, const struct word *word, u32 start, u64 least, u64 *size);

/* judge_access.c: the last address of a network; the address behind ip, of size bytes, false: there is none. */
ip16 network_last(const struct network *network);
bool network_next(ip16 *ip, u32 size);

/* word is a network with bits behind its prefix: say what it is taken for. */
void judge_host_bits(struct unit *unit, const struct word *word, const struct network *network);

/* ---- name.c ---- */

/* text is of the arena; span is where it stands. */
void name_declare(struct unit *unit, enum thing thing, const char *text, struct span span);
void name_use(struct unit *unit, enum thing thing, const char *text, struct span span);
/* size 0: declared with a size elsewhere. */
void name_zone(struct unit *unit, enum zone_use use, const char *text, u64 size, struct span span);
/* After all is declared: report what is unknown. */
void name_finish(struct unit *unit);

/* ---- judge_log.c ---- */

/* The bits of blob.def's access_on that on=open,connect,close names. False: reported. */
bool judge_log_events(struct unit *unit, const struct word *word, u32 *events);

/* ---- judge_variable.c ---- */

/* Every variable in a word is used; unknown ones are reported at the end. */
void variable_use(struct unit *unit, const struct word *word);
/* The same for a part of it. */
void variable_use_part(struct unit *unit, const struct word *word, u32 start);
/* The word "$name" at index of node declares it. */
void variable_declare(struct unit *unit, struct node *node, u32 index, enum variable_kind kind);
void variable_capture(struct unit *unit, const char *name, struct span span);
/* By name without "$", letter case aside; NULL: there is none. */
struct symbol *variable_find(const struct unit *unit, const char *name, size_t size);
/* The name of the variable that is all of text: "$name", "${name}"; size 0 if it is not. */
const char *variable_whole(const struct word *word, size_t *size);
/* The next name in text from *at on, moving *at behind it; NULL: no more. */
const char *variable_next(const char **at, const char *end, size_t *size);

/* What is read before a session goes on; a set of them has the bit 1 << PREREAD_... for each. */
enum { PREREAD_SSL, PREREAD_MQTT, PREREAD_HTTP, PREREAD_COUNT };
extern const struct preread {
    enum directive_id directive;
    const char *variables; /* what their names begin with */
    const char *source;    /* what they tell of */
} prereads[PREREAD_COUNT];
/* Those that the value of word depends on. */
u32 variable_prereads(struct unit *unit, const struct word *word);
void variable_finish(struct unit *unit);

/* ---- by noun: .judge of directives.def ---- */

void judge_map(struct unit *unit, struct node *node);
void judge_num_map(struct unit *unit, struct node *node);
void judge_split(struct unit *unit, struct node *node);
void judge_geo(struct unit *unit, struct node *node);
void judge_match(struct unit *unit, struct node *node);
void judge_set(struct unit *unit, struct node *node);

void judge_access(struct unit *unit, struct node *node);
void judge_real_ip(struct unit *unit, struct node *node);

void judge_limit(struct unit *unit, struct node *node);
void judge_introducers(struct unit *unit, struct node *node);
void judge_pace_zone(struct unit *unit, struct node *node);
void judge_pace(struct unit *unit, struct node *node);
void judge_limit_zone(struct unit *unit, struct node *node);
void judge_keyval(struct unit *unit, struct node *node);
void judge_keyval_zone(struct unit *unit, struct node *node);

void judge_preamble(struct unit *unit, struct node *node);

void judge_format(struct unit *unit, struct node *node);
void judge_access_log(struct unit *unit, struct node *node);
void judge_error_log(struct unit *unit, struct node *node);
void judge_cache(struct unit *unit, struct node *node);

void judge_resolver(struct unit *unit, struct node *node);
void judge_zone(struct unit *unit, struct node *node);
void judge_method(struct unit *unit, struct node *node);
void judge_health(struct unit *unit, struct node *node);
void judge_upstream(struct unit *unit, struct node *node);
void judge_peer(struct unit *unit, struct node *node);

void judge_alpn(struct unit *unit, struct node *node);
void judge_pin(struct unit *unit, struct node *node);
void judge_session_cache(struct unit *unit, struct node *node);
void judge_ocsp_cache(struct unit *unit, struct node *node);
void judge_responder(struct unit *unit, struct node *node);
/* The TLS of one server, for what its directives need of each other. */
void judge_tls_server(struct unit *unit, const struct scope *scope);

void judge_pass(struct unit *unit, struct node *node);
void judge_rate(struct unit *unit, struct node *node);
void judge_bind(struct unit *unit, struct node *node);

void judge_server_name(struct unit *unit, struct node *node);
void judge_listen(struct unit *unit, struct node *node);
/* A server {} whose inside has been judged; its scope is unit->here. */
void judge_server(struct unit *unit, struct node *node);
void judge_server_finish(struct unit *unit);
/* The server that takes sessions to an address of ours, NULL for none. */
struct judge_server *judge_server_at(const struct unit *unit, const struct address *address, u32 port, bool udp);

void judge_route_finish(struct unit *unit);

/* ---- token.c: keys in tokens ---- */

/* Does the word name one? */
bool token_is_named(const struct word *word);
/* The token record of the node's key. */
u32 token_compile(struct unit *unit, struct node *node);

#endif
