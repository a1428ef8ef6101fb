/*
 * What the rules of lint.c and its lint_*.c share: the checked configuration as its operator sees it, one server at
 * a time, and the questions that many rules ask. Values are those that check.c read; nothing looks at text again but
 * at addresses and parameters, whose one reader is value.c.
 */
#ifndef LINT_H
#define LINT_H

#include "spcc.h"

/* A server that sessions may go to. */
struct lint_peer {
    struct address address;
    const struct word *word; /* its address as it is written */
    struct node *node;       /* the server of an upstream {}; NULL: a proxy_pass names it */
};

/* upstream {}, or the one address that a proxy_pass names. */
struct lint_group {
    struct node *block;    /* NULL: it is no upstream {} */
    struct node *balancer; /* hash, random ...; NULL: round robin */
    struct lint_peer *peer;
    u32 peer_count;
    bool used; /* some word may choose it */
};

struct lint_listen {
    struct node *node;
    struct node *server;
    struct address address;
    bool udp, ssl, preamble; /* preamble: clients begin with a PROXY protocol header */
    bool own;                /* asks for a socket of its own */
};

/* The server {} that is looked at. */
struct lint_server {
    struct node *block;
    struct scope scope;
    struct lint_listen *listen;
    u32 listen_count;
    bool tcp, udp, ssl, plain, preamble; /* what some listen of it has; plain: TCP without ssl */
    struct node *pass;                   /* its proxy_pass, if it has one */
    const struct lint_group *group;      /* where that leads; NULL: nowhere, or only a variable knows */
};

struct lint {
    struct unit *unit;
    struct node *stream;   /* the block of what is served */
    bool whole;            /* nothing that is not here can be elsewhere: no fragment, no empty include */
    bool framed;           /* the blocks around are here: what stands in none of them holds nowhere */
    struct vector access;  /* allow and deny of stream {}, in order, of struct node * */
    struct vector listens; /* of struct lint_listen, all of them */
    struct vector groups;  /* of struct lint_group * */
    struct map group_of;   /* lower-case name -> 1 + index in groups */
    struct map variables;  /* lower-case names of variables that something uses */
    struct vector sources; /* of struct node *: what declares a variable */
    struct map source_of;  /* lower-case name of a variable -> 1 + index in sources */
    bool any_group;        /* a variable may choose a group by a name that is not in the files */
    struct map said;       /* node and diagnostic: once is enough */
    struct lint_server server;
    bool alive[64]; /* lint_dead.c: the need of that row is met by some server */
};

/* ---- lint.c: questions ---- */

/* The node that speaks for id in the server; NULL: the default holds. */
struct node *lint_node(const struct lint *lint, enum directive_id id);
/* Its value, or that of its default. */
u64 lint_value(const struct lint *lint, enum directive_id id);
/* The parameter "name" or "name=..." of a node, NULL if it is not there; where = after it. */
const struct word *lint_parameter(const struct node *node, const char *name);
/* The value of a parameter: behind its "=". */
const char *lint_parameter_value(const struct word *word);
/* Is it the first time that id is said of node? */
bool lint_first(struct lint *lint, const struct node *node, enum diagnostic id);
/* The next variable of text from *at on, moving *at behind it; its lower-case name is put in name. False: no more. */
enum { LINT_NAME_MAX = 128 };
bool lint_variable(const char **at, char name[LINT_NAME_MAX]);
/* Does text use the variable name, or one that begins so if it ends with "*"? */
bool lint_mentions(const char *text, const char *name);
/* Does anything that is served use it? */
bool lint_is_used(const struct lint *lint, const char *name);
/* What declares the variable name: map, geo, split_clients, set ...; NULL: nothing here. */
struct node *lint_source(const struct lint *lint, const char *name);
/* Does a client choose what text says? Through maps too; where is the word that does it. */
bool lint_is_tainted(const struct lint *lint, const struct word *word, const struct word **where);
/* allow and deny as they hold in the server, in order. */
struct vector lint_access(struct lint *lint);
/* From where an address can be reached. */
enum lint_reach { REACH_HOST, REACH_PRIVATE, REACH_PUBLIC };
enum lint_reach lint_reach(const struct address *address);
bool lint_is_name(const struct lint_peer *peer);
/* node's last word, for what concerns all of it. */
struct span lint_span(const struct node *node);
const char *lint_show(struct unit *unit, const struct word *word);
/* worker_processes, 0 for auto or when another file says it. */
u64 lint_workers(const struct lint *lint);

/* ---- the rules: lint.c says which code is whose; they look at lint->server, at one group, or at everything ---- */

void lint_dead_server(struct lint *lint);
void lint_dead_whole(struct lint *lint);

void lint_listen_reuseport(struct lint *lint);
void lint_listen_preread(struct lint *lint);
void lint_listen_range(struct lint *lint);
void lint_listen_path(struct lint *lint);
void lint_listen_overlap(struct lint *lint);

void lint_upstream_resolve(struct lint *lint, const struct lint_group *group);
void lint_upstream_backup(struct lint *lint, const struct lint_group *group);
void lint_upstream_peers(struct lint *lint, const struct lint_group *group);
void lint_upstream_alone(struct lint *lint, const struct lint_group *group);
void lint_upstream_zone(struct lint *lint, const struct lint_group *group);
void lint_upstream_names(struct lint *lint, const struct lint_group *group);
void lint_upstream_tries(struct lint *lint);

void lint_route_unused(struct lint *lint);
void lint_route_resolver(struct lint *lint);
void lint_route_open(struct lint *lint);

void lint_preamble_trust(struct lint *lint);
void lint_preamble_access(struct lint *lint);
void lint_preamble_out(struct lint *lint);
void lint_preamble_bind(struct lint *lint);

void lint_access_order(struct lint *lint);

void lint_tls_verify(struct lint *lint);
void lint_tls_trusted(struct lint *lint);
void lint_tls_name(struct lint *lint);
void lint_tls_strength(struct lint *lint);
void lint_tls_clients(struct lint *lint);
void lint_tls_resumption(struct lint *lint);
void lint_tls_key_log(struct lint *lint);
void lint_tls_port(struct lint *lint);

void lint_udp_clear(struct lint *lint);
void lint_udp_sessions(struct lint *lint);
void lint_udp_preamble(struct lint *lint);
void lint_udp_every(struct lint *lint);
void lint_udp_amplifier(struct lint *lint);
void lint_udp_dns(struct lint *lint);

void lint_limit_time(struct lint *lint);
void lint_limit_buffer(struct lint *lint);
void lint_limit_rate(struct lint *lint);
void lint_limit_log(struct lint *lint);
void lint_limit_format(struct lint *lint);

void lint_target(struct lint *lint);

#endif
