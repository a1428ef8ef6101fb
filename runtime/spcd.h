/*
 * Everything the files of spcd promise each other, in the order a session meets it.
 *
 *   supervisor      privileged: opens what the blob names, hands it over, restarts the server if it dies
 *     server        one process: a control thread (the first one) and worker threads
 *       generation  a mapped blob and what was opened for it; reload makes the next one beside it
 *         shard     a generation within one worker: its slabs, its peers' state, its sessions
 *           session
 *
 * A shard belongs to its worker's thread alone. What threads share is the mapped blob and the generation's
 * targets, which do not change, and a few atomics, marked so.
 */
#ifndef SPCD_H
#define SPCD_H

#include "blob.h"
#include "tls.h"

#include <ev.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct generation;
struct hello;
struct mqtt;
struct value;
struct session;
struct shard;
struct worker;
struct zone;

/* ---- address.c: socket addresses ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    struct sockaddr_un un; /* "unix" is a macro of gcc's */
};

/* What accept() says of a client: no path, so that a session stays small. */
union client_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

enum { ADDRESS_TEXT = 128 }; /* room for any address as text with its NUL */

/* Fill address from the blob's record; its length in bytes. */
socklen_t address_from_blob(const struct blob *blob, const struct blob_address *record, union address *address);

/* Write address as nginx does ("127.0.0.1:80", "[::1]:80", "unix:/path", "unix:"), the port if with_port. */
void address_print(const struct sockaddr *address, bool with_port, char text[ADDRESS_TEXT]);

/* Four decimal numbers. Unlike inet_pton() this takes zeros in front of them, as nginx and spcc do. */
bool address_read_ipv4(const char *text, struct in_addr *ip);

/* Read "1.2.3.4", "1.2.3.4:80", "::1" or "[::1]:80", which a variable gave; text is changed. Its length in bytes,
 * 0: it is no address. */
socklen_t address_parse(char *text, union address *address);

/* Read text, which is changed, as an address with a port, or of a unix socket. NULL, or what is wrong with it, in
 * nginx's words. */
const char *address_read(char *text, union address *address, socklen_t *size);
extern const char address_is_name[];    /* it may be the name of a host, and has a port */
extern const char address_lacks_port[]; /* size is 0 if it may be a name */

/* The port, 0 for a unix socket. */
u16 address_port(const struct sockaddr *address);

/* Is the address of local the one of record? Ports are not compared. */
bool address_is(const struct sockaddr *local, const struct blob_address *record);

/* ---- slab.c: memory set aside ---- */

/* count pieces of size bytes each; only those ever taken cost memory. */
struct slab {
    u8 *base;
    void *free; /* given back, last first; each piece's first word points to the next */
    size_t size;
    u32 count, fresh; /* pieces from fresh on were never taken */
};

/* Set memory aside. False: there is none (errno). size is rounded up to 16. */
bool slab_open(struct slab *slab, size_t size, u32 count);
void slab_close(struct slab *slab);

/* A piece, its content undefined; NULL when all are taken. */
void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *piece);

/* ---- memory.c: memory for libraries ---- */

/* Set up to size bytes aside, once, before the first use. False: there is none. */
bool memory_open(size_t size);

/* What realloc() does, and free() for size 0, from what was set aside: for ev_set_allocator(). Thread-safe. */
void *memory_resize(void *memory, long size);

/* ---- pipe.c: for bulk that is not copied ---- */

enum { PIPE_COUNT = 64, PIPE_SIZE = 1 << 20 };

struct pipe {
    struct pipe *next;
    int in, out;
    u32 filled; /* bytes in it */
    bool open;
};

struct pipe_pool {
    struct pipe pipe[PIPE_COUNT];
    struct pipe *free;
};

void pipe_pool_open(struct pipe_pool *pool);
void pipe_pool_close(struct pipe_pool *pool);

/* An empty pipe, NULL if there is none. */
struct pipe *pipe_take(struct pipe_pool *pool);
void pipe_give(struct pipe_pool *pool, struct pipe *pipe);

/* ---- datagram.c: datagrams, many at a time ---- */

enum {
    DATAGRAM_MOST = 65535,  /* bytes, of one or of several that came in one piece */
    DATAGRAM_LARGEST = 65507, /* bytes, of one over IPv4 */
    DATAGRAM_SEGMENTS = 64, /* how many the system takes in one piece */
    DATAGRAM_BATCH = 32,    /* pieces that are received at once */
};

/* The address of ours that a datagram came to, and its answer has to leave from. */
struct local_ip {
    u32 interface; /* its number; 0: any */
    ip16 ip;       /* IPv4 in its first four bytes */
};

/* What was received in one piece: datagrams of segment bytes each, the last one perhaps shorter. */
struct datagram {
    const u8 *data;
    u32 size, segment;
    union client_address from;
    struct local_ip to; /* zero: the address that the socket is bound to */
};

struct datagrams;

/* Memory to receive; NULL: there is none. One for each worker. */
struct datagrams *datagrams_open(void);
void datagrams_close(struct datagrams *datagrams);

/* Receive what there is, in at most so many pieces, and DATAGRAM_BATCH, until the next call; named: with from and to.
 * How many; -1: errno. lost is how many the system had to drop on this socket, since it was opened. */
int datagrams_receive(struct datagrams *datagrams, int fd, bool named, u32 most, u32 *lost);
/* One, of a connected socket that puts none together; 1, or -1: errno. */
int datagrams_receive_one(struct datagrams *datagrams, int fd);
const struct datagram *datagrams_at(const struct datagrams *datagrams, int index);

/* ---- outbox.c: datagrams that are to be sent ---- */

struct outbox;

/* One for each worker; NULL: there is no memory. */
struct outbox *outbox_open(struct ev_loop *loop);
/* From the thread of the loop, before the first is sent; those that no socket takes are counted in lost. */
void outbox_start(struct outbox *outbox, u64 *lost);
void outbox_close(struct outbox *outbox);

/* Send a copy of a piece, before the loop waits again; to: AF_UNSPEC for a connected socket, AF_UNIX if it is one of
 * those; from: zero for any address of ours. False: there is no room for it. */
bool outbox_put(struct outbox *outbox, int fd, const union client_address *to, const struct local_ip *from,
                const u8 *data, u32 size, u32 segment);
/* The socket will be closed: send what waits for it now. */
void outbox_flush(struct outbox *outbox, int fd);

/* ---- log.c: error_log ---- */

enum { LOG_LINE = 2048 }; /* nginx's limit for a line */

/* How many lines there were in this second, of a sink with rate=, and how many were left out; of all threads. */
struct log_pace {
    atomic_llong second;
    atomic_uint lines, left_out;
};

/* Where the lines of the main context or of one server go. */
struct logger {
    const struct blob *blob;  /* of the sinks; NULL: no syslog is among them */
    const struct blob_log *sink;
    const int *fd;    /* one for each sink */
    struct log_pace *pace; /* the same; NULL: no rate= is kept */
    u32 count;
    enum level level; /* the most talkative of the sinks: what is beyond it need not be written */
};

/* Would a line of this level be written at all? */
static inline bool
log_wants(const struct logger *logger, enum level level)
{
    return level <= logger->level;
}

/*
 * Write one line: "TIME [level] pid#tid: *connection message (errno: text)". No number for connection 0, no
 * error for error 0. One write() for each sink; what cannot be written is lost and stops nobody.
 */
void log_write(const struct logger *logger, enum level level, u64 connection, int error, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* May a line be written again of what may happen often, and was said last then? Once a second. */
bool log_again(double *said, double now);

/* Say how many lines each of the logger's sinks has left out in a second that is over, or, if all, so far. */
void log_report(const struct logger *logger, bool all);

/* In the server: the descriptor for path, which stays the same number for as long as anyone uses it. fd is taken: it is
 * where path's lines go from now on; unless there is no memory: -1. One log_file_drop() for each log_file_take(). */
int log_file_take(const char *path, int fd);
void log_file_drop(const char *path);
void log_file_reopen(const char *path, int fd);

/* The logger of start-up, before a blob says better: standard error, or the file of -e. */
extern struct logger log_default;
/* Send the default logger to path instead. False: errno says why. */
bool log_default_to(const char *path);
/* That file opened anew; -1: it is none, or the logger was told why not. From now on its lines go to fd, unless that is
 * -1. */
int log_default_open(const struct logger *logger);
void log_default_reopen(int fd);
/* Until there is a better one, take this one for the default, since standard error may be nobody's; NULL: no more. */
void log_default_stand_in(const struct logger *logger);

/* "spcd: [emerg] what: why" on standard error, and where else the default logger writes; exit status 1: before ready
 * only. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- ring.c: error_log memory:SIZE ---- */

/* The ring of that name, "memory:32m", the same one for as long as this process lives. -1: errno. */
int ring_open(const char *name);
/* Write a line of length bytes, over the oldest if size is reached. */
void ring_write(int fd, u32 size, const void *line, size_t length);

/* ---- syslog.c ---- */

/* A socket to send messages with, its host resolved; -1: there is none, because of why, or, if that is NULL, errno. */
int syslog_open(const struct blob *blob, const struct blob_log *log, const char **why);
/* Send text as a message, of this severity (0 to 7). False: it was lost. */
bool syslog_send(const struct blob *blob, const struct blob_log *log, int fd, u32 severity, const void *text,
                 size_t size);

/* ---- log_cache.c, log_path.c: access logs whose path has variables ---- */

struct log_cache;
enum { LOG_PATH_SIZE = 512 }; /* bytes, its NUL among them */

/* NULL: no memory. */
struct log_cache *log_cache_open(const struct blob_log_cache *record);
void log_cache_close(struct log_cache *cache);
/* The file at path, shorter than LOG_PATH_SIZE, to write to; cache NULL: there is none. kept: it is the cache's, else
 * the caller's to close. -1: errno. */
int log_cache_take(struct log_cache *cache, const char *path, double now, bool *kept);
/* From the control thread: what caches have open is to be opened anew. */
void log_cache_reopen(void);

/* Write data to the file that the session's values name; said: when a failure was last logged. False: it is lost. */
bool log_path_write(struct session *session, const struct blob_access *record, double *said, const void *data,
                    size_t size);

/* ---- gzip.c ---- */

struct gzip;

/* What a shard needs to compress what its access logs gather; NULL in *gzip: none of them asks for it. False: no
 * memory. Nothing is allocated after it. */
bool gzip_open(const struct blob *blob, struct gzip **gzip);
void gzip_close(struct gzip *gzip);
/* The whole gzip member that *size bytes of data make, until the next call; size is its own. NULL: zlib fails. */
const void *gzip_pack(struct gzip *gzip, u32 level, const void *data, size_t *size);

/* ---- access_log.c: a line for each session ---- */

enum { ACCESS_LINE_MOST = 64 << 10 }; /* bytes of a line; a longer one is lost */

struct access_log;

/* Room for what the shard's access logs gather. False: no memory. */
bool access_log_open(struct shard *shard);
/* From the worker's thread; write what is gathered. */
void access_log_flush(struct shard *shard);
void access_log_close(struct shard *shard);

/* Write the session's lines for what has happened to it. */
void access_log_write(struct session *session, enum access_on event);
/* The word for what the line of this moment is written for; NULL: none is. */
const char *access_log_event(const struct worker *worker);

/* ---- load.c: a blob becomes memory ---- */

struct mapping {
    struct blob blob;
    int fd;
    u32 users; /* surroundings that have it, and names.c, of one thread */
};

/* Map and verify the blob behind fd, which it takes. NULL: error says why, fd is closed. */
struct mapping *mapping_open(int fd, char error[BLOB_ERROR_SIZE]);

/* One more user of it: nothing is mapped or verified again. Each user closes it. */
struct mapping *mapping_share(struct mapping *mapping);
void mapping_close(struct mapping *mapping);

/* ---- surroundings.c: what a blob needs of the system, opened with privilege ---- */

/* What tells that a file is another one than before. */
struct file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
};

/* Sockets stand in the order of the blob's listeners; one with reuseport has as many as there are workers. */
struct surroundings {
    struct mapping *mapping;
    u32 worker_count;
    u32 socket_count;
    int *socket;
    u32 *first_socket; /* of each listener */
    u32 log_count; /* of distinct files */
    int *log;
    const char **log_path;
    int *sink; /* of surroundings_logger(): one for each of the main context's log records */
    int *file; /* one for each of the blob's file records */
    struct file_mark *mark, *seen; /* of each: when it was opened, or taken to have changed; at the last look */
    bool *watched; /* the same: it is looked at */
};

/* Count what the blob asks for; nothing is open yet (-1 everywhere). Takes the mapping. NULL: the logger was told that
 * there is no memory. */
struct surroundings *surroundings_new(struct mapping *mapping, const struct logger *logger);

/*
 * Open every socket and log file. Sockets that old has too are the same ones. In a test, an address in use
 * is no mistake. False: the logger was told why; what was opened is closed by surroundings_close().
 */
bool surroundings_open(struct surroundings *surroundings, const struct surroundings *old, bool test,
                       const struct logger *logger);
/* Open all log files anew; or one, -1 if that fails. */
bool surroundings_open_logs(struct surroundings *surroundings, const struct logger *logger);
int surroundings_open_log(const struct surroundings *surroundings, u32 log, const struct logger *logger);

/* In the server: where old has the same socket as one that was received, keep old's descriptor instead. */
void surroundings_adopt(struct surroundings *surroundings, const struct surroundings *old);

/* Close all sockets but those that kept (which may be NULL) has too; close everything and free it. */
void surroundings_close_sockets(struct surroundings *surroundings, const struct surroundings *kept);
/* The same, but for those that sessions of datagrams still need; are there any? */
bool surroundings_has_sockets(const struct surroundings *surroundings);
void surroundings_close_listeners(struct surroundings *surroundings, const struct surroundings *kept);
void surroundings_close(struct surroundings *surroundings, const struct surroundings *kept);

/* Remove the unix sockets that are open from the file system, but those that kept has too. */
void surroundings_unlink(const struct surroundings *surroundings, const struct surroundings *kept);

/* The main context's logger over these files, in place of the one that logger is. It lasts as long as they do. */
void surroundings_logger(const struct surroundings *surroundings, struct logger *logger);

/* The place of the listener's socket for a worker in socket[]. */
u32 surroundings_socket(const struct surroundings *surroundings, u32 listener, u32 worker);

/* The place of the log record's file in log[]; UINT32_MAX for one that is no file. */
u32 surroundings_log(const struct surroundings *surroundings, const struct blob_log *record);

/* ---- socket.c: one listening socket ---- */

/* Bind and listen, as the listener's socket for that worker. In a test an address in use is no mistake. -1: logged. */
int socket_open(const struct surroundings *surroundings, const struct blob_listener *listener, u32 worker, bool test,
                const struct logger *logger);
/* It is to be that listener's from now on, at the same address. */
void socket_change(int fd, const struct blob_listener *listener, u32 worker_count);
/* Have the system give a socket of datagrams nothing more, and what it would have had to others at its address: it
 * hears nobody but itself. Answers can still be sent. */
void socket_deafen(int fd);

/* ---- files.c: files that a generation reads when it opens ---- */

enum { FILES_LOOK_MS = 1000 }; /* how often those that are watched are looked at */

/* The file records that a tls record is made of, 0 where there is none. */
enum { FILE_CERTIFICATE, FILE_KEY, FILE_PASSWORDS, FILE_TRUSTED, FILE_CRL, FILES_OF_TLS };
void files_of_tls(const struct blob *blob, const struct blob_tls *record, u32 file[FILES_OF_TLS]);

/* Open them all. False: the logger was told why. */
bool files_open(struct surroundings *surroundings, const struct logger *logger);
/* Which of a blob's are to be looked at (proxy_ssl_certificate_reload). NULL: no memory. */
bool *files_watched(const struct blob *blob);
/* Are there some? Has one of them changed, and was written whole? */
bool files_are_watched(const struct surroundings *surroundings);
bool files_have_changed(struct surroundings *surroundings);

/* ---- channel.c: supervisor to server, and back ---- */

enum message_kind {
    MESSAGE_BLOB,     /* one descriptor */
    MESSAGE_SOCKETS,  /* the next descriptors of socket[] */
    MESSAGE_LOGS,     /* the next descriptors of log[] */
    MESSAGE_FILES,    /* the next descriptors of file[], from 1 on */
    MESSAGE_RELOAD,   /* all is sent: make it the next generation */
    MESSAGE_REOPEN,   /* all logs are sent: write there from now on; and the default log there, if it is with it */
    MESSAGE_QUIT,     /* drain and end */
    MESSAGE_STOP,     /* end now */
    MESSAGE_TAKEN,    /* the server's answer to RELOAD */
    MESSAGE_REFUSED,
};

enum { CHANNEL_FDS = 200 };

/* Send a message with count descriptors (at most CHANNEL_FDS). False: the other side is gone. */
bool channel_send(int channel, enum message_kind kind, const int *fd, u32 count);

/* Receive one; the descriptors, of which there may be fewer than were sent, are the caller's. -1: nothing there or the
 * other side is gone (errno 0). */
int channel_receive(int channel, int *fd, u32 *count);

/* Send all of surroundings, then RELOAD. False: the other side is gone, and nobody will answer. */
bool channel_send_all(int channel, const struct surroundings *surroundings);
/* Send its logs, then REOPEN, with the default log, if that is not -1. */
void channel_send_logs(int channel, const struct surroundings *surroundings, int default_log);

/* ---- incoming.c: what a supervisor sends before an order ---- */

/* Keep the descriptors of a message, which are taken. */
void incoming_add(int kind, const int *fd, u32 count);
/* What RELOAD is about, with the sockets that the current generation has already being its own. NULL: it was logged why
 * there is none. */
struct surroundings *incoming_surroundings(const struct generation *current);
/* REOPEN: the logs of the current generation are written to these from now on; or it was logged why not. */
void incoming_reopen(const struct generation *current);

/* ---- supervisor.c ---- */

struct options {
    const char *prefix, *log, *blob;
    bool test;
};

/* Open the blob and its surroundings, start a server, keep it alive, obey signals. The exit status. */
int supervisor_run(const struct options *options);

/* Read the blob at its path again and open what it needs, keeping the sockets that old has; write the pid file that it
 * names, if that is not old's. NULL: logged why. */
struct surroundings *supervisor_open(const struct options *options, const struct surroundings *old,
                                     const struct logger *logger);
/* The same for the blob that old has: its files have changed. */
struct surroundings *supervisor_renew(const struct surroundings *old, const struct logger *logger);

/* Say that USR2 is not obeyed. */
void supervisor_refuse_upgrade(const struct logger *logger);

/* ---- process.c: what a process is to the system ---- */

/* The path, also for when this process is elsewhere; its links are followed each time it is used. For good. */
const char *process_absolute(const char *path);

enum { HOSTNAME_ROOM = 256 };
/* The name of this machine, in lower case. */
void process_name_machine(char name[HOSTNAME_ROOM]);
/* Descriptors 0 to 2 become nobody else's, where who started us has closed them. Before any other is opened. */
void process_hold_standard(void);
/* Go on as a daemon: who started it is told that all is well, and goes. Dies when that fails. */
void process_daemonize(const struct surroundings *surroundings);
/* As many descriptors as there may be, or as the blob asks for. */
void process_raise_limits(const struct surroundings *surroundings);
/* Have the core file of a crash in this directory. Dies when it cannot be. */
void process_crash_into(const char *directory);
/* In this thread, and those that it starts, until the mask is what it was: all signals but those of a crash. */
sigset_t process_block_signals(void);
/* Become the user that the blob names. Dies when that fails; without root it is only logged. */
void process_drop_privilege(const struct surroundings *surroundings, const struct logger *logger);

/* ---- control.c: the first thread of the server ---- */

/* Serve until told to end, by channel (from a supervisor) or, if that is -1, by signals. The exit status.
 * Takes first. */
int control_run(struct surroundings *first, int channel, const struct options *options);

/* A generation has one worker fewer: its last session there is over. Called from workers. */
void control_wake(void);

/* ---- pid.c: the pid file that a blob may name ---- */

/* Write it, or die. */
void pid_write(const struct surroundings *surroundings);

/* Write it if it is not old's. False: logged why. */
bool pid_renew(const struct surroundings *surroundings, const struct surroundings *old, const struct logger *logger);

/* Remove it; or that of surroundings that others won against, unless theirs is the same. */
void pid_remove(const struct surroundings *surroundings);
void pid_settle(const struct surroundings *kept, const struct surroundings *lost);

/* ---- lookup.c: the addresses of names ---- */

struct addrinfo;

struct lookup {
    const char *host; /* NULL: nothing is asked */
    u32 port;
    struct addrinfo *found;
    int error; /* of getaddrinfo() */
};

/* What a blob asks for: at i what its peer i is called, behind the peers its hosts. Nothing is found yet. NULL: no
 * memory. */
struct lookup *lookup_of(const struct blob *blob);
u32 lookup_count(const struct blob *blob);

/* Ask for all of them, and wait. */
void lookup_all(struct lookup *lookup, const struct blob *blob);

/* Give back what was found, and lookup itself. */
void lookup_free(struct lookup *lookup, const struct blob *blob);

/* ---- names.c: names that are asked for again, by a thread of its own ---- */

/* answered() gets the mapping that was asked about, and the answers, which are its own then. */
void names_open(struct ev_loop *loop, void (*answered)(const struct mapping *mapping, struct lookup *lookup));

/* Ask for all names of the blob, unless there are some that are being asked for. */
void names_ask(struct mapping *mapping);

/* Nothing is answered any more. */
void names_close(void);

/* ---- upstream.c: the peers of a generation and their state in a worker ---- */

/* One address of one server line. */
struct target {
    const struct blob_peer *peer;
    union address address;
    socklen_t size; /* 0: its name did not resolve */
    char text[ADDRESS_TEXT];
};

/* The targets of one blob_upstream: primaries, then backups. */
struct upstream {
    const char *name;
    u32 target, count, primary_count;
    u32 try_count; /* targets that are not down: how often a session may try */
    u64 total_weight;        /* of the primaries */
    u64 *share;              /* for each primary, the weight of all up to it */
    bool slow;               /* one of its peers has slow_start */
    const struct blob_upstream *record;
    u32 *first_of_peer;      /* for each of its peers, its first target */
    struct balance *shared;  /* its state, with zone; NULL: each worker has its own */
};

/* The index of the upstream of that name, letter case aside; 0: there is none. */
u32 upstream_find(const struct blob *blob, const char *name);

/* Fill generation->target and ->upstream, resolving names. Those that do not resolve are counted and logged. What zones
 * of old know is carried over; NULL: there is none. False: no memory. */
bool upstream_open(struct generation *generation, const struct generation *old);
void upstream_close(struct generation *generation);

/* ---- host.c: names of hosts that rules are about ---- */

struct host;
/* Look the blob's host records up; those that are unknown are counted and logged. False: no memory. */
bool host_open(struct generation *generation);
void host_close(struct generation *generation);
/* Does one of count hosts have that address? */
bool host_has(const struct generation *generation, u32 first, u32 count, const union client_address *address);

/* ---- generation.c ---- */

struct generation {
    struct generation *next;     /* older */
    struct surroundings *surroundings;
    const struct blob *blob;
    struct log_pace *log_pace;   /* the same; NULL: no error_log has a rate */
    int *log_fd;                 /* one for each of the blob's log records */
    struct logger logger;        /* of the main context */
    struct logger *server_logger; /* one for each of the blob's servers */
    struct regexes *regexes;
    struct tls_shared *tls;         /* one for each of the blob's tls records; NULL: none */
    struct host *host;              /* one for each of the blob's */
    char hostname[HOSTNAME_ROOM];   /* of this machine, in lower case */
    struct zone **zone;             /* one for each of the blob's limit_zone records */
    struct lookup *lookup;          /* while it opens: what its names are */
    struct target *target;
    struct upstream *upstream;   /* one for each of the blob's upstreams */
    u32 target_count, target_room, unresolved_count;
    u32 buffer_size, tried_size; /* the largest that any session here needs, bytes */
    u32 shard_count;
    struct shard **shard;        /* one for each worker */
    atomic_uint accepting;       /* shards that still watch their listeners */
    atomic_uint alive;           /* shards that are not over */
    bool left;                   /* no shard accepts any more; the control thread has seen to it */
    struct places **places;      /* of each listener that has max_conns */
};

/* Open a generation: names resolved, memory set aside. Takes surroundings if it succeeds. old is the one before, or
 * NULL. NULL: logged why. */
struct generation *generation_open(struct surroundings *surroundings, const struct generation *old,
                                   struct lookup *lookup);
void generation_close(struct generation *generation);
/* Say how many lines its logs have left out: log_report(). */
void generation_report(const struct generation *generation, bool all);

enum counter {
#define COUNTER(id, says) COUNTER_##id,
#include "metrics.def"
    COUNTER_COUNT
};

enum close {
#define CLOSE(id, status, says) CLOSE_##id,
#include "metrics.def"
    CLOSE_COUNT
};

struct acceptor {
    ev_io io;
    struct shard *shard;
    const struct blob_listener *listener;
    u32 lost, unsaid; /* datagrams that the system had to drop; those of them that were not logged yet */
    struct session *idlest, *busiest; /* with evict_oldest: the session that was active longest ago, and the last one */
    double evicted_said;              /* when that one was last logged to have lost its place */
    double limited_said, overflow_said; /* the same of a new client that max_conns refused; of those dropped */
};

struct shard {
    struct generation *generation;
    struct worker *worker;
    const struct blob *blob;
    struct slab sessions, buffers, tried, throttles, values, targets, attempts, holds, records, wires, quics;
    struct peer *peer;         /* one for each of the generation's targets */
    struct balance *balance;   /* one for each of its upstreams */
    struct spares *spares;     /* NULL: no listener takes datagrams */
    struct resumes *resumes;   /* NULL: there is no TLS */
    struct credentials *credentials; /* the same */
    struct acceptor *acceptor; /* one for each of the blob's listeners */
    struct values *access_values; /* room for a session's, while a line is written before it ends; NULL: none is */
    struct access_log *access; /* one for each of the blob's access records */
    struct log_cache **log_cache; /* one for each of the blob's */
    struct gzip *gzip;         /* for those; NULL: none is compressed */
    void *match;               /* room for a match of regex.c */
    u8 *scratch;               /* buffer_size bytes, for what is read and written at once */
    u32 session_count;
    bool accepting;
};

/* ---- deadline.c: all sessions of a worker, by when they are to be looked at ---- */

struct deadline {
    double at; /* the worker's time; INFINITY: it waits for nothing */
    struct session *session;
};

struct deadlines {
    struct deadline *heap;
    u32 count, room;
    bool is_firing;
    ev_timer timer;
    double at; /* when it will come, if it is active */
};

void deadlines_open(struct worker *worker);
void deadlines_close(struct worker *worker);

/* A session begins, without a deadline. False: there is no memory. It is over. */
bool deadline_join(struct worker *worker, struct session *session);
void deadline_leave(struct session *session);

/* session_due() at that time of the worker's; if it is to come sooner anyway, let it. */
void deadline_set(struct session *session, double at);

/* ---- worker.c ---- */

struct worker {
    pthread_t thread;
    u32 number;
    struct ev_loop *loop;
    double now;               /* seconds that only go forward, of this turn of the loop: what sessions are timed by */
    ev_async wake;
    ev_timer accept_pause;    /* after EMFILE */
    struct deadlines deadlines; /* all sessions, of every generation */
    struct pipe_pool pipes;
    struct udp *udp;          /* NULL: no generation so far had a listener for it */
    struct shard *shard;      /* takes new sessions; NULL when draining */
    double refused_said;      /* when a refusal was last logged */
    double socket_said, unsent_said; /* the same of a socket that could not be had, of a datagram that none took */
    const char *event;        /* access_log.c's: what a line is being written for */
    u64 counter[COUNTER_COUNT], closed[CLOSE_COUNT];
    struct job *signed_jobs;  /* signer.c's, under its mutex */
    pthread_mutex_t mutex;    /* over what follows: written by the control thread */
    struct shard *incoming;   /* the next generation's; meaningful if take is set */
    bool take, abort;
    const char *abort_reason; /* what the log says of each session, NULL for nothing */
};

/* Set now. The loop does so whenever it has waited. */
void worker_look_at_clock(struct ev_loop *loop);

/* Start the thread of worker number on the CPUs that the blob gives it. NULL: there is none to be had. */
struct worker *worker_start(u32 number, const struct blob *blob, const struct logger *logger);

/* From the control thread: take this shard from now on (NULL: accept no more); end all sessions and the
 * thread, and wait for that. */
void worker_take(struct worker *worker, struct shard *shard);
void worker_abort(struct worker *worker, const char *reason);
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* A session of the shard is over: if it was the last of an old generation, say so. */
void worker_released(struct shard *shard);

/* ---- metrics.c: what was counted ---- */

/* Log it, at the end. */
void metrics_report(const struct worker *const *workers, u32 count, const struct logger *logger);

/* ---- listen.c: accept, choose the server ---- */

void listen_start(struct shard *shard);
/* Accept no more; a successor watches the sockets that it has too. */
void listen_stop(struct shard *shard);
void listen_leave(struct shard *shard, struct shard *successor);

/* Does the blob listen for datagrams? */
bool listen_wants_udp(const struct blob *blob);
/* The address of ours that a datagram to ip came to; none: the socket's own. */
union client_address listen_local(const struct blob *blob, const struct blob_listener *listener,
                                  const struct local_ip *ip);

/* The endpoint whose address is local; the socket's own, which is the last, if no other. */
const struct blob_endpoint *listen_endpoint(const struct blob *blob, const struct blob_listener *listener,
                                            const union client_address *local);

/* A session for the sender of a datagram; NULL: it may not come in. */
struct session *listen_admit(struct acceptor *acceptor, const struct datagram *datagram);

/* Make room for the session, if its listener had none. */
enum step listen_step(struct session *session);

/* Count the sessions of each listener that has max_conns, together with those that it has of old. False: no memory. */
bool listen_open_places(struct generation *generation, const struct generation *old);
void listen_close_places(struct generation *generation);

/* One more session of the listener. False: it has max_conns. When it is over, another may come in. */
bool listen_take_place(struct shard *shard, const struct blob_listener *listener);
void listen_give_place(struct shard *shard, const struct blob_listener *listener);

/* ---- session.c: its life, its timer, its log lines, its only end ---- */

/* A client that sends datagrams, to a socket that is not its own. */
struct udp_client {
    struct session *next;           /* in the worker's table */
    struct session *idler, *busier; /* of a listener with evict_oldest: its neighbours by when they were active */
    struct local_ip local;
    int fd;
    u32 hash;
    u32 requests, responses; /* datagrams from and to the client */
    bool known;              /* it is in the table */
    struct quic *quic;       /* from the slab; NULL: nothing asks for it, or its first datagram was not read */
};

/* One side's socket and what waits to be written to it. */
struct side {
    union {
        struct {
            ev_io io;          /* io.fd: the socket, -1 for none */
            u8 *buffer;        /* what waits: bytes at to end of it, from the slab */
            struct pipe *pipe; /* or what is in this pipe; never both */
            u32 at, end;
        };
        struct udp_client udp; /* for whom nothing waits */
    };
    u64 received, sent;
    u32 streak;        /* bytes that came without a trickle between: many of them are bulk, and spliced */
    bool eof;
    bool shut;         /* we have sent our FIN */
    bool nodelay_due;  /* TCP_NODELAY is wanted and not set yet */
    struct throttle *throttle; /* of what is read from it; NULL: no limit */
    struct records *records;   /* TLS; NULL: the bytes are what they are */
    double active;     /* when something was last read from it */
};

enum phase {
    PHASE_PREAMBLE, PHASE_PREREAD, PHASE_CONNECT, PHASE_HANDSHAKE, PHASE_PAUSE, PHASE_RELAY, PHASE_UDP, PHASE_RETURN,
};

struct session {
    struct shard *shard;
    const struct blob_server *server;
    const struct blob_listener *listener;
    const char *action;        /* for the log: "connecting to upstream" */
    const char *upstream_name; /* for the log: the target tried last, or the group; NULL for none */
    struct side client, upstream;
    double due;     /* when it has waited for long enough; deadline.c may ask earlier */
    double begun;   /* when the client came */
    double started; /* when the first connection to an upstream was begun */
    double asked;   /* if timed: when the target was chosen */
    u64 number;     /* nginx's *N */
    struct values *values; /* from the slab; NULL: none yet */
    struct hold *hold;     /* from the slab; NULL: it counts for no limit */
    struct attempts *attempts; /* from the slab; NULL: no variable asks for them, or none was made */
    struct target *made; /* from the slab: an address that a variable gave; NULL: the target is of a group */
    u64 *tried;     /* a bit for each target of the upstream, from the slab; NULL before the second try */
    u32 endpoint;   /* the blob's: the address that the client came to */
    u32 upstream_index, target; /* target: within the upstream; UINT32_MAX for none */
    u32 tries;      /* left */
    u32 early;      /* bytes read from the client before the upstream was connected, not counted yet */
    u32 hash;       /* of hash: where the search is */
    u32 place;      /* deadline.c's */
    u8 phase;
    u8 hash_tries;  /* how often it went on */
    u16 hold_count;
    u8 step;        /* of session.c: what stands between the accepted connection and the content */
    u8 reason;      /* 1 + why it ended; 0: it has not */
    u8 limit_status : 2, pace_status : 2;
    u8 passes : 4;    /* how often it was passed on */
    bool hashed : 1;  /* hash has begun */
    bool preread : 1; /* what waits for the upstream was read before, as nginx does it */
    bool drained : 1; /* the last read of preread took all there was */
    bool backups : 1; /* the primaries are used up */
    bool timed : 1;   /* least_time: what is measured has not come yet */
    bool guest : 1;   /* it has none of its listener's max_conns places yet: evict_oldest will make room */
    u8 starttls : 3;  /* the client has been told that TLS begins, in this protocol */
    u8 dialogue : 3;  /* of dialogue.c: where that with the upstream server is */
    union client_address address;
};

static inline double
session_now(const struct session *session)
{
    return session->shard->worker->now;
}

static inline const struct blob_proxy *
session_proxy(const struct session *session)
{
    return &session->shard->blob->proxy[session->server->proxy];
}

static inline const struct blob_endpoint *
session_endpoint(const struct session *session)
{
    return &session->shard->blob->endpoint[session->endpoint];
}

/* nginx's $connection: one sequence for both sides of all workers. */
u64 session_number(void);

/* The address of ours that the client connected to. */
union client_address session_local_address(const struct session *session);

/* A session of a client at address, still without a socket. NULL: all are in use. */
struct session *session_new(const struct acceptor *acceptor, const struct blob_endpoint *endpoint,
                            const struct sockaddr *address, socklen_t size);

/* Begin a session on the accepted socket fd, which it takes. False: all are in use; fd is still the caller's. */
bool session_start(const struct acceptor *acceptor, const struct blob_endpoint *endpoint, int fd,
                   const struct sockaddr *address, socklen_t size);

/* Pass the session on to an endpoint of another listener, which it seems to have come to at address local. False: there
 * is no place for it. */
bool session_pass(struct session *session, const struct blob_listener *listener, const struct blob_endpoint *endpoint,
                  const union client_address *local);

/* Go through the steps of a session, from where it is. It may end. */
void session_run(struct session *session);
/* The same from the next step on: the one that waited for the client is done. */
void session_go_on(struct session *session);

enum step { STEP_NEXT, STEP_AGAIN, STEP_WAITS, STEP_ENDED }; /* AGAIN: from the first step on */

static inline bool
session_is_udp(const struct session *session)
{
    return session->listener->flags & LISTENER_UDP;
}

/* The only end: count, log, give everything back. */
void session_end(struct session *session, enum close reason);

/* Its timeout is in so many seconds; or in proxy_timeout from now. */
void session_timer(struct session *session, double seconds);
void session_touch(struct session *session);

/* Its deadline has come: what it finds decides if that is its timeout. */
void session_due(struct session *session);

/* Where this session's lines go. */
const struct logger *session_logger(const struct session *session);

/* Log about this session: "message (error) while ACTION, client: ..., server: ..., upstream: ..., bytes ...". */
void session_log(const struct session *session, enum level level, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with nothing behind the message. */
void session_log_bare(const struct session *session, enum level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The level at which nginx logs a failed operation on this side. */
enum level session_error_level(const struct session *session, const struct side *side, int error);

/* nginx's number for why it ended, 0 if it has not; and the word. */
u32 session_status(const struct session *session);
const char *session_reason(const struct session *session);

/* ---- attempt.c: what is remembered of each upstream server that was tried ---- */

enum { ATTEMPTS_MAX = 16 }; /* of a session; when there are more, the last one stands for the rest */

struct attempt {
    const char *name;
    double began, connected, first_byte, ended; /* 0: not yet */
    u64 received, sent;
};

struct attempts {
    u32 count;
    struct attempt attempt[ATTEMPTS_MAX];
};

/* Does any expression of the blob ask for them? */
bool attempt_wanted(const struct blob *blob);
/* The session tries the server of its upstream_name; it is connected; its first byte came; it is done with. */
void attempt_begin(struct session *session);
void attempt_connected(struct session *session);
void attempt_first_byte(struct session *session);
void attempt_end(struct session *session);

/* ---- access.c: may this client enter? ---- */

enum step access_step(struct session *session);

/* ---- zone.c: keys with a number each, over all workers and generations ---- */

enum { ZONE_KEY_MAX = 255 };

/* The zones of the blob; one of the same name, size and kind as before is that one. From the control thread. */
bool zone_open(struct generation *generation);
void zone_close(struct generation *generation);

/* The key of a zone for this session; its size, 0 if there is none that counts. */
size_t zone_key(struct session *session, const struct blob_limit_zone *record, u8 key[ZONE_KEY_MAX]);

/* May it be logged that the session is refused because of it? Of datagrams once a second. */
bool zone_may_say(struct session *session, const struct blob_limit_zone *record);

/* What follows is for who has the lock. An entry is 1 and its index. */
void zone_lock(struct zone *zone);
void zone_unlock(struct zone *zone);
/* The entry of the key; 0: it has none. */
u32 zone_find(struct zone *zone, const u8 *key, size_t size);
/* A new entry, of value 0; 0: there is no room. */
u32 zone_add(struct zone *zone, const u8 *key, size_t size);
void zone_remove(struct zone *zone, u32 entry);
u64 *zone_value(struct zone *zone, u32 entry);
/* Of the next most entries, remove those whose value is at most least. */
void zone_sweep(struct zone *zone, u64 least, u32 most);
bool zone_is_full(const struct zone *zone);

/* ---- pace.c: limit_conn_rate ---- */

enum step pace_step(struct session *session);

/* ---- limit.c: limit_conn ---- */

enum limit_status { LIMIT_NONE, LIMIT_PASSED, LIMIT_REJECTED, LIMIT_REJECTED_DRY_RUN };

/* A key of a zone that the session counts for. */
struct hold {
    u32 zone, entry;
};

/* Does it count for this one? From now on it does; entry 0: it has come by this zone's pace. */
bool limit_holds(const struct session *session, u32 zone, u32 entry);
void limit_hold(struct session *session, u32 zone, u32 entry);
/* How many a session may count for, in all the servers that it may be passed on to. */
u32 limit_most(const struct blob *blob);

enum step limit_step(struct session *session);
void limit_release(struct session *session);

/* ---- preread.c: what a client sends first ---- */

enum { SERVER_PREREADS = SERVER_SSL_PREREAD | SERVER_MQTT_PREREAD | SERVER_HTTP_PREREAD };
enum step preread_step(struct session *session);
void preread_timeout(struct session *session);

/* ---- starttls.c: sessions that begin in clear and go on in TLS ---- */

enum step starttls_step(struct session *session);

/* ---- dialogue.c: what is said in clear ---- */

enum { DIALOGUE_TEXT = 512, DIALOGUE_REQUEST = 36 };
enum dialogue {
    DIALOGUE_MORE,   /* more must be heard */
    DIALOGUE_SAID,   /* there may be more to hear in what is left */
    DIALOGUE_TLS,    /* now TLS begins */
    DIALOGUE_OTHER,  /* a client that goes on without all this: nothing was used */
    DIALOGUE_END,    /* the client takes its leave */
    DIALOGUE_BROKEN, /* it does not go on */
};

struct turn {
    u32 used, size; /* bytes dealt with; of the text */
    u8 text[DIALOGUE_TEXT]; /* to be said before all else */
};

struct talk {
    enum starttls protocol;
    const char *host; /* the name of this machine */
    u8 *request;      /* DIALOGUE_REQUEST bytes: heard from the client, for when the server is asked */
    u32 state;        /* with a server: 0 at first, below 8 */
};

/* What a client is told at once: turn->text. */
void dialogue_greet(const struct talk *talk, struct turn *turn);
/* What a client says. */
enum dialogue dialogue_hear(struct talk *talk, const u8 *data, size_t size, struct turn *turn);
/* What a server says, at first nothing. */
enum dialogue dialogue_ask(struct talk *talk, const u8 *data, size_t size, struct turn *turn);

/* ---- hello.c: the ClientHello ---- */

/* What size bytes of a client's are. AGAIN: more of them must be there, and hello is what they say so far; NONE: no
 * ClientHello. name and alpn are room for HELLO_NAME and HELLO_ALPN bytes. */
enum preread { PREREAD_AGAIN, PREREAD_NONE, PREREAD_FOUND };
enum { HELLO_NAME = 1024, HELLO_ALPN = 1024 };
enum preread hello_parse(const u8 *data, size_t size, struct hello *hello, u8 *name, u8 *alpn);

/* ---- mqtt.c, request.c: the CONNECT of MQTT; the request line and Host of HTTP/1 ---- */

/* The same of them; what is longer than PREREAD_TEXT is empty. The values of mqtt lie in data, host in the room. */
enum { PREREAD_TEXT = 1024 };
enum preread mqtt_parse(const u8 *data, size_t size, struct mqtt *mqtt);
enum preread request_parse(const u8 *data, size_t size, struct value *host, u8 *room);

/* ---- side.c: one socket ---- */

enum flush { FLUSH_DONE, FLUSH_WAIT, FLUSH_FAILED };

/* Write what waits. FAILED: errno says why. */
enum flush side_flush(struct session *session, struct side *side);

/* Write data when nothing waits; what does not go is kept in a buffer. The second one writes it as it is. */
enum flush side_write(struct session *session, struct side *side, const u8 *data, size_t size);
enum flush side_write_clear(struct session *session, struct side *side, const u8 *data, size_t size);

/* Put data before what waits in a buffer, which has room for it. False: nothing waits. */
bool side_prepend(struct side *side, const u8 *data, size_t size);

/* Write what is in the pipe when nothing waits; the pipe is taken. */
enum flush side_splice(struct session *session, struct side *side, struct pipe *pipe);

static inline bool
side_waits(const struct side *side)
{
    return side->buffer || side->pipe;
}

/* Watch for exactly these events, EV_READ and EV_WRITE; 0 for none. */
void side_watch(struct session *session, struct side *side, int events);
void side_open(struct session *session, struct side *side, int fd, void (*callback)(struct ev_loop *, ev_io *, int));
void side_close(struct session *session, struct side *side);

/* Close the socket only: what waits is for the next one. */
void side_disconnect(struct session *session, struct side *side);

/* Let what fd has to read now, up to size bytes, wait to be written to side, for which nothing waits yet. As recv(). */
ssize_t side_receive(struct session *session, struct side *side, int fd, size_t size);

/* ---- rate.c: how fast a side may be read ---- */

extern const size_t rate_record_size;

/* The rate that a configuration gives: a number, or the expression value, "10k"; 0 for no limit. */
u64 rate_of(struct session *session, u64 rate, u32 value);

/* Limit reading from side to rate bytes a second, 0 for no limit; again is called when it may be read again. */
void rate_open(struct session *session, struct side *side, u64 rate, void (*again)(struct ev_loop *, ev_timer *, int));
void rate_close(struct session *session, struct side *side);

/* Bytes that may be read now. 0: the timer runs. */
u64 rate_allowance(struct session *session, struct side *side);
void rate_spend(struct side *side, u64 bytes);
bool rate_waits(const struct side *side);

/* The side that the timer has set free. */
struct side *rate_side(struct session *session, const ev_timer *timer);

/* ---- outgoing.c: the socket towards an upstream ---- */

/* Log, once for a session, that its proxy_bind gives no address, if that is so. */
void outgoing_check(struct session *session);

/* A socket of this family with the options and the local address that proxy asks for. -1: it was logged. */
int outgoing_open(struct session *session, const struct blob_proxy *proxy, int family);

/* ---- preamble.c: the PROXY protocol header, written ---- */

/* What the binary one begins with. */
enum { PREAMBLE_SIGNATURE = 12 };
extern const u8 preamble_signature[PREAMBLE_SIGNATURE];

/* Write the header that the proxy asks for; its size in bytes, 0 if it does not fit. */
size_t preamble_write(struct session *session, u8 *data, size_t size);
/* The same, into the shard's scratch memory. 0: it does not fit, and the session has ended. */
size_t preamble_make(struct session *session);

/* The address that a header's text means. False: it means none, and found is left alone. */
struct preamble_peer;
bool preamble_address(const struct preamble_peer *peer, union client_address *found);

/* ---- introduction.c: the same, read ---- */

/* Read the header that the client begins with, if it is to. */
enum step introduction_step(struct session *session);
void introduction_timeout(struct session *session);
/* Append the TLV of that type (of one within the TLV of TLS, 0x2000 and that). False: there is none. */
struct output;
bool introduction_put_tlv(struct session *session, u32 type, struct output *out);
/* The size of a binary header in front of a later datagram; 0: there is none. */
size_t introduction_again(const u8 *data, size_t size);
/* Who is connected, whoever it speaks for. */
const union client_address *introduction_peer(const struct session *session);

/* ---- cloud.c: what clouds put into it ---- */

/* Append the AWS VPC endpoint, the Azure private endpoint, the Google Cloud PSC connection. False: there is none. */
bool cloud_put_aws(struct session *session, struct output *out);
bool cloud_put_azure(struct session *session, struct output *out);
bool cloud_put_google(struct session *session, struct output *out);

/* ---- proxy.c: connect, next upstream; return ---- */

void proxy_start(struct session *session);
void proxy_timeout(struct session *session);
void proxy_pause_over(struct session *session);
/* What a handshake with the upstream has come to; FAILED was logged, and with ENDED the session has ended. */
enum handshake { HANDSHAKE_WAITS, HANDSHAKE_DONE, HANDSHAKE_FAILED, HANDSHAKE_ENDED };
/* One that had to wait has gone on. */
void proxy_secured(struct session *session, enum handshake result);
void return_start(struct session *session);
void return_timeout(struct session *session);

/* ---- pass.c ---- */

/* Find the listener that the session is to be passed on to, and pass it on. */
enum step pass_run(struct session *session);

/* ---- spare.c: connected sockets for the next UDP session ---- */

/* Room for those of a shard. NULL: no memory. */
struct spares *spares_open(u32 target_count, u32 connections);
/* From the worker's thread: the one to use it and to close it. */
void spares_start(struct spares *spares, struct shard *shard);
void spares_close(struct spares *spares);

/* A socket that is connected to the generation's target and watched for reading; -1: there is none that has rested. */
int spares_take(struct spares *spares, u32 target);
/* Keep such a socket, whose watcher was stopped in this turn of the loop and whose session has lasted so long. False:
 * it is of no use any more. */
bool spares_give(struct spares *spares, u32 target, int fd, double lasted_s);
/* The target has sent an answer too many: keep none of its sockets. */
void spares_distrust(struct spares *spares, u32 target);

/* ---- clients.c: whose session a datagram is of ---- */

struct clients;

/* A table for about so many sessions; NULL: there is no memory. */
struct clients *clients_open(u32 sessions);
void clients_close(struct clients *clients);

/* The session of the client that sent it to the listener's socket; NULL: it has none. */
struct session *clients_find(const struct clients *clients, int fd, const struct datagram *datagram);
/* From now on the client's datagrams are the session's; or begin another session. */
void clients_enter(struct clients *clients, struct session *session);
void clients_forget(struct clients *clients, struct session *session);

/* The session was active just now: of those of a listener with evict_oldest it is acceptor->busiest. It is over. */
void clients_active(struct session *session);
void clients_gone(struct session *session);

/* ---- loss.c: datagrams that are lost ---- */

/* So many were dropped since the listener's socket was opened; it is watched no more, or by the successor alone. */
void loss_received(struct acceptor *acceptor, u32 dropped);
void loss_close(struct acceptor *acceptor, struct acceptor *successor);
/* The session is over: count what was dropped of its upstream server's. */
void loss_of_answers(struct session *session);
/* A datagram of the session's found no room. */
void loss_unsent(struct session *session);

/* ---- quic.c: which connection a datagram is for ---- */

struct quic;
extern const size_t quic_size;

/* Does the blob use $quic_dcid? */
bool quic_wanted(const struct blob *blob);
/* What all generations of the process remember of connections, once one wants it. False: no memory. */
bool quic_open(const struct blob *blob, u32 workers);
/* Append the id. False: there is none. */
bool quic_put_dcid(struct session *session, struct output *out);
/* Which of a group's targets has that connection already, where it hashes on the id; UINT32_MAX: none is known. */
u32 quic_home(struct session *session, const struct target *target, u32 count);
/* The session is connected to its target; that one has sent this, and there is session->client.udp.quic. */
void quic_start(struct session *session);
void quic_learn(struct session *session, const struct datagram *piece);

/* ---- udp.c: sessions of datagrams ---- */

/* What a worker needs for at most so many; NULL: there is no memory. */
struct udp *udp_open(struct ev_loop *loop, u32 sessions);
/* From the worker's thread. */
void udp_start(struct udp *udp, struct worker *worker);
void udp_free(struct udp *udp);

/* The callback of a listener's socket. */
void udp_on_datagrams(struct ev_loop *loop, ev_io *io, int events);

/* A socket of an earlier session to the target that was chosen; -1: there is none, or it may not be used again. */
int udp_reuse(struct session *session);
/* Where the listener says so, end the session that was idle for longest, so that another may begin. False: none is. */
bool udp_evict(struct acceptor *acceptor);
bool udp_may_evict(const struct acceptor *acceptor);
/* The socket towards the upstream is connected. */
void udp_relay_start(struct session *session);
void udp_timeout(struct session *session);
/* The datagram that began the session, NULL once that was passed on; it begins so many bytes later. */
const u8 *udp_first(const struct session *session, size_t *size);
void udp_skip(struct session *session, size_t size);
/* Send a value, in one datagram, and end. */
void udp_return(struct session *session, const u8 *data, size_t size);
/* The session ends. */
void udp_close(struct session *session, enum close reason);

/* ---- module.c: spcd's own shared objects ---- */

/* The table of functions that the module has under symbol; how: flags for dlopen(). NULL: the logger was told why. */
const void *module_open(const char *file, const char *symbol, int how, const struct logger *logger);

/* ---- tls.c: TLS; the module that has it, and what the streams of a generation share ---- */

struct tls_shared {
    struct tls_context *context;
    struct token_key *key; /* of its certificate, in a token; NULL: the context has it, or shows none */
};

/* The module is loaded for the first blob that needs it; one for each tls record of the blob, NULL if it has none.
 * False: the logger was told why. */
bool tls_open(const struct surroundings *surroundings, const struct logger *logger, struct tls_shared **shared);
void tls_close(const struct blob *blob, struct tls_shared *shared);
/* The module; only where there is a context. */
extern const struct tls_operations *tls;

/* ---- record.c: TLS on one side ---- */

struct records;
extern const size_t records_size;
enum { WIRE_SIZE = 64 << 10 }; /* bytes of a socket that are read at once */
enum { TLS_BULK = 64 << 10 };  /* bytes that become records, or were, at once */

/* Speak TLS on this side from now on; plain bytes that wait for the side wait on. The tickets that come are kept under
 * name, which is what the certificate is expected to have, if anything is. False: logged. */
bool record_open(struct session *session, struct side *side, struct tls_context *context, struct tls_peer *peer,
                 const char *name);
/* Without a goodbye. */
void record_close(struct session *session, struct side *side);
/* Say that nothing more will be sent. */
void record_shutdown(struct session *session, struct side *side);

/* As recv(): decrypted bytes, 0 for the end, what cannot be read any more among it, -1 for nothing now (EAGAIN). Less
 * than size: there is nothing more now. */
ssize_t record_read(struct session *session, struct side *side, u8 *data, size_t size);
/* Did the last read leave something behind? */
bool record_has_more(const struct side *side);
/* Encrypt data; what does not go at once waits in the side's buffer. */
enum flush record_write(struct session *session, struct side *side, const u8 *data, size_t size);
/* All that waited has gone. What is in the records counts as sent now, as in nginx, and never if they do not go. */
void record_flushed(struct side *side);
/* Encrypt what has waited since record_open(). */
enum flush record_resume(struct session *session, struct side *side);
/* Go on with the handshake. END and FAILED: it was logged. */
enum tls_state record_handshake(struct session *session, struct side *side);
/* SIGN: what has to be signed; who signs it, so that closing the side calls it off; and the signature. */
void record_request(const struct side *side, struct tls_request *request);
void record_await(struct side *side, struct job *job);
bool record_awaits(const struct side *side);
void record_answer(struct side *side, const u8 *signature, size_t size);
/* After the handshake: NULL, or what is wrong with the peer's certificate. */
const char *record_verdict(const struct side *side, char text[TLS_ERROR_SIZE]);

/* ---- handshake.c: TLS towards an upstream server, from the connection to the first byte ---- */

/* The upstream is connected. If it WAITS, proxy_secured() is called later. */
enum handshake handshake_start(struct session *session);
/* starttls.c: the same where the client was told that TLS begins. */
enum handshake starttls_start(struct session *session);
void handshake_timeout(struct session *session);
/* The signature that it waits for; size 0: error says why there is none. */
void handshake_signed(struct session *session, const u8 *signature, size_t size, const char *error);

/* ---- signer.c: signatures by keys in tokens ---- */

struct job;
/* The key that an RFC 7512 URI names; pin NULL: none. Waits for the token. NULL: error says why. */
struct token_key *signer_open(const char *uri, const char *pin, const struct logger *logger,
                              char error[TLS_ERROR_SIZE]);
/* Nobody asks for it any more. */
void signer_close(struct token_key *key);
/* As tls_sign, before there are sessions. */
size_t signer_sign(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
                   char error[TLS_ERROR_SIZE]);
/* Have the request of the session's upstream signed; handshake_signed() is called then. NULL: too many are waiting. */
struct job *signer_ask(struct session *session, struct token_key *key);
void signer_cancel(struct job *job);
/* The worker was woken: some may have been signed. */
void signer_deliver(struct worker *worker);

/* ---- credential.c: certificates whose names come from variables ---- */

struct credentials;
enum { CREDENTIAL_WIRES = 2 }; /* how many pieces of the slab of wires it takes for a moment */
/* Those that a worker keeps, for each of the blob's caches. NULL: no memory. */
struct credentials *credentials_open(const struct blob *blob);
void credentials_close(struct credentials *credentials, const struct blob *blob);
/* The one for the session's upstream: false, it was logged why not. None is asked for: NULL. Give it back. */
bool credential_take(struct session *session, struct tls_identity **identity);
void credential_give(struct session *session, struct tls_identity *identity);

/* ---- resume.c: tickets of TLS sessions ---- */

struct resumes;
/* Room for those of a shard; NULL: no memory. */
struct resumes *resumes_open(void);
void resumes_close(struct resumes *resumes);
/* A ticket for the session's upstream and that name, the caller's; NULL: there is none. */
struct tls_ticket *resume_take(struct session *session, const char *name);
/* Keep a ticket of the same; it is taken. */
void resume_keep(struct session *session, const char *name, struct tls_ticket *ticket);

/* ---- balance.c: which peer ---- */

/* Choose a target of the session's group not tried yet and count the connection. False: there is none. */
bool balance_choose(struct session *session);

/* The session is done with its target, because it failed or not. */
void balance_release(struct session *session, bool failed);

/* It is connected; a byte came from it. */
void balance_time(struct session *session, enum timing timing);

/* What a worker knows of the groups that are not shared. False: no memory. */
bool balance_open(struct shard *shard);
void balance_close(struct shard *shard);
/* What all workers know of a group, with what old knows of the one of the same name; old NULL: there is none. */
bool balance_share(const struct generation *generation, struct upstream *upstream, const struct generation *old);
void balance_unshare(struct upstream *upstream);

/* ---- relay.c: bytes both ways ---- */

void relay_start(struct session *session);
/* Send the PROXY header before all else, in clear. False: the session has ended. */
bool relay_send_preamble(struct session *session);
void relay_timeout(struct session *session);

/* When the first of the relay's time limits is reached, as things are now. */
double relay_due(const struct session *session);

/* ---- expr.c: run the ops ---- */

/* Where text is written. used may go beyond size: then not all of it fitted. */
struct output {
    u8 *text;
    size_t size, used;
};

void output_put(struct output *out, const void *data, size_t size);
/* Short text: no more than ADDRESS_TEXT - 1 bytes. */
void output_print(struct output *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append the value of one op. False: there is no such thing for this session, and nothing was appended. */
bool expr_op(struct session *session, const struct blob_op *op, struct output *out);

/* Compute the slots that the value has; then append it. Between the two nothing is computed. */
void expr_ready(struct session *session, const struct blob_expr *expr);
void expr_put(struct session *session, const struct blob_expr *expr, struct output *out);

/* Append the value to the size bytes at text; the length it has. More than size: it did not fit. */
size_t expr_run(struct session *session, const struct blob_expr *expr, u8 *text, size_t size);

/* The value as a string in size bytes. False: it is longer, and text is empty, or has a NUL byte, behind which a client
 * could hide what stands there, and text ends before it. */
bool expr_text(struct session *session, const struct blob_expr *expr, char *text, size_t size);

/* ---- escape.c ---- */

/* Append a value to a log line; escape: the blob's. */
void escape_put(u32 escape, struct output *line, const u8 *text, size_t size);

/* ---- variable.c: one function for each row of variables.def ---- */

/* Append the variable's value; false as with expr_op(). */
bool variable_put(struct session *session, enum variable variable, struct output *out);

/* ---- slot.c: variables that the configuration declares ---- */

enum { VALUES_TEXT = 4096 }; /* bytes that all kept values of a session may have together */

enum value_state {
    VALUE_UNKNOWN, /* not computed yet */
    VALUE_ABSENT,  /* there is none */
    VALUE_FOUND,
    VALUE_LOST,    /* it did not fit: logged and counted */
};

/* Bytes that live as long as the session. */
struct value {
    const u8 *text;
    u32 size, state;
};

/* What ssl_preread has found; the first two are absent if it is no ClientHello. */
struct hello {
    struct value server_name, alpn;
    u8 version[2]; /* 3, 4: TLS 1.3; 0, 2: SSL 2 */
};

/* What mqtt_preread has found, and the same of them. */
struct mqtt {
    struct value client_id, user_name;
};

/* What the PROXY protocol header has said. */
struct preamble_peer {
    char ip[INET6_ADDRSTRLEN];
    u16 port;
};

struct preamble {
    struct preamble_peer client, server;
    struct value tlv;             /* all of them, as they came */
    union client_address address; /* whose connection it is */
    bool known;
};

/* What a session keeps of values and is not in every session; then come VALUES_TEXT bytes of text. */
struct values {
    u32 used;                              /* of the text */
    struct hello hello;                    /* of ssl_preread */
    struct mqtt mqtt;                      /* of mqtt_preread */
    struct value host;                     /* of http_preread */
    u8 request[DIALOGUE_REQUEST];          /* of ssl_preread_starttls; it stays when the session is passed on */
    struct preamble preamble;              /* of listen ... proxy_protocol */
    union client_address local;            /* where it was passed to */
    struct value capture[CAPTURE_MAX + 1]; /* of the regular expression that matched last */
    struct value slot[];
};

/* The size of a session's values, with their text. */
size_t values_size(const struct blob *blob);

/* A slot's value; never unknown. */
struct value slot_value(struct session *session, u32 slot);
/* A capture's value; it may be unknown, which is to be taken as absent. */
struct value capture_value(struct session *session, u32 number);
/* Give the slots that the sets of the session's server name their values. */
void slot_assign(struct session *session);

/* Forget all but what the PROXY protocol header has said. */
void values_restart(struct session *session);

/* What is kept of the session so far; made if there is nothing yet. */
struct values *values_of(struct session *session);

/* Keep a copy of text, or the value of an expression; found or lost. */
struct value value_keep(struct session *session, const void *text, size_t size);
struct value expr_keep(struct session *session, const struct blob_expr *expr);

/* ---- map.c: the tables of the blob ---- */

struct value map_find(struct session *session, const struct blob_slot *slot);
struct value map_find_number(struct session *session, const struct blob_slot *slot);
struct value split_find(struct session *session, const struct blob_slot *slot);
struct value geo_find(struct session *session, const struct blob_slot *slot);
/* The value record of a text in a map; 0: none. */
u32 map_value(struct session *session, u32 map, const u8 *text, u32 size);
/* The value record of an address, which is of the internet, in a geo; 0: none. */
u32 geo_value(const struct blob *blob, u32 geo, const union client_address *address);

/* ---- regex.c ---- */

/* The code of a blob's patterns. NULL: the logger was told why. */
struct regexes *regexes_open(const struct blob *blob, const struct logger *logger);
void regexes_close(struct regexes *regexes);
/* Memory for one match at a time. NULL: there are no patterns, or no memory. */
void *regexes_room(const struct blob *blob);
void regexes_room_free(void *room);

/* Does the text match? Its captures are the session's then. */
bool regex_match(struct session *session, u32 regex, const u8 *text, u32 size);

#endif
