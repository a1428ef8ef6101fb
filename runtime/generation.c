/*
 * A generation: a blob and all that was made for it in the server, shared by the workers; and its shards,
 * each used by one worker alone. It lives from a reload until its last session is over.
 */
#include "spcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER_LEAST = 4096, VARIABLE_ROOM = 512, PREAMBLE_ROOM = 4096, TLS_ROOM = TLS_BULK + (8 << 10) };

/* ---- what the largest session needs ---- */

static u32
larger(u32 a, u64 b)
{
    return b > BUFFER_SIZE_MAX ? BUFFER_SIZE_MAX : a > b ? a : (u32)b;
}

static u32
largest_buffer(const struct blob *blob)
{
    u32 size = BUFFER_LEAST;
    for (u32 i = 1; i < blob->proxy_count; i++)
        size = larger(size, blob->proxy[i].buffer_size);
    for (u32 i = 1; i < blob->server_count; i++) {
        if (blob->server[i].flags & SERVER_PREREADS)
            size = larger(size, (u64)blob->server[i].preread_buffer_size + PREAMBLE_ROOM);
        const struct blob_expr *value = &blob->expr[blob->server[i].value];
        u64 room = 0;
        for (u32 j = 0; j < value->op_count; j++)
            room += blob->op[value->op + j].text_size + VARIABLE_ROOM;
        size = larger(size, room);
    }
    if (blob->tls_count > 1) /* what waits for the socket is records */
        size = larger(TLS_ROOM, (u64)size + TLS_OVERHEAD * (1 + (u64)size / TLS_RECORD));
    return size;
}

static u32
largest_tried(const struct generation *g)
{
    u32 count = 1;
    for (u32 i = 1; i < g->blob->upstream_count; i++)
        if (g->upstream[i].count > count)
            count = g->upstream[i].count;
    return (count + 63) / 64 * (u32)sizeof(u64);
}

static bool
has_rates(const struct blob *blob)
{
    for (u32 i = 1; i < blob->proxy_count; i++)
        if (blob->proxy[i].upload_rate || blob->proxy[i].download_rate || blob->proxy[i].upload_rate_value ||
            blob->proxy[i].download_rate_value)
            return true;
    return false;
}

/* Might a session need a target of its own? */
static bool
has_targets(const struct blob *blob)
{
    bool has = false;
    for (u32 i = 1; i < blob->proxy_count && !has; i++)
        has = blob->proxy[i].target != 0;
    return has;
}

/* Might a session have values to keep? */
static bool
has_values(const struct blob *blob)
{
    bool has = blob->slot_count > 1 || blob->pass_count > 1;
    for (u32 i = 1; i < blob->op_count && !has; i++)
        has = blob->op[i].kind == OP_CAPTURE;
    for (u32 i = 1; i < blob->server_count && !has; i++)
        has = blob->server[i].flags & SERVER_PREREADS;
    for (u32 i = 1; i < blob->endpoint_count && !has; i++)
        has = blob->endpoint[i].proxy_protocol;
    return has;
}

/* ---- shards ---- */

static void
close_shard(struct shard *shard)
{
    if (!shard)
        return;
    slab_close(&shard->sessions);
    slab_close(&shard->buffers);
    slab_close(&shard->tried);
    slab_close(&shard->throttles);
    slab_close(&shard->values);
    slab_close(&shard->targets);
    slab_close(&shard->attempts);
    slab_close(&shard->holds);
    slab_close(&shard->records);
    slab_close(&shard->wires);
    slab_close(&shard->quics);
    resumes_close(shard->resumes);
    credentials_close(shard->credentials, shard->blob);
    access_log_close(shard);
    if (shard->spares) /* no worker had it */
        spares_close(shard->spares);
    balance_close(shard);
    free(shard->acceptor);
    regexes_room_free(shard->match);
    free(shard->scratch);
    free(shard);
}

static struct shard *
open_shard(struct generation *g)
{
    struct shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    u32 connections = g->blob->main[1].worker_connections;
    shard->generation = g;
    shard->blob = g->blob;
    shard->acceptor = calloc(g->blob->listener_count, sizeof *shard->acceptor);
    shard->scratch = malloc(g->buffer_size);
    shard->match = regexes_room(g->blob);
    if (balance_open(shard) && shard->acceptor && shard->scratch && (shard->match || g->blob->regex_count == 1) &&
        slab_open(&shard->sessions, sizeof(struct session), connections) &&
        slab_open(&shard->buffers, g->buffer_size, connections * 2) &&
        slab_open(&shard->tried, g->tried_size, connections) &&
        slab_open(&shard->throttles, rate_record_size, has_rates(g->blob) ? connections * 2 : 0) &&
        slab_open(&shard->values, values_size(g->blob), has_values(g->blob) ? connections : 0) &&
        slab_open(&shard->targets, sizeof(struct target), has_targets(g->blob) ? connections : 0) &&
        slab_open(&shard->attempts, sizeof(struct attempts), attempt_wanted(g->blob) ? connections : 0) &&
        slab_open(&shard->holds, limit_most(g->blob) * sizeof(struct hold), limit_most(g->blob) ? connections : 0) &&
        slab_open(&shard->records, records_size, g->tls ? connections : 0) &&
        slab_open(&shard->wires, WIRE_SIZE, g->tls ? connections + CREDENTIAL_WIRES : 0) &&
        slab_open(&shard->quics, quic_size, quic_wanted(g->blob) ? connections : 0) &&
        (!g->tls || ((shard->resumes = resumes_open()) && (shard->credentials = credentials_open(g->blob)))) &&
         access_log_open(shard)) {
        if (listen_wants_udp(g->blob))
            shard->spares = spares_open(g->target_count, connections);
        return shard;
    }
    close_shard(shard);
    return NULL;
}

static bool
open_shards(struct generation *g)
{
    u32 count = g->surroundings->worker_count;
    g->shard = calloc(count, sizeof(struct shard *));
    if (!g->shard || !quic_open(g->blob, count))
        return false;
    while (g->shard_count < count) {
        g->shard[g->shard_count] = open_shard(g);
        if (!g->shard[g->shard_count++])
            return false;
    }
    atomic_init(&g->accepting, count);
    atomic_init(&g->alive, count);
    return true;
}

/* ---- logs ---- */

static struct logger
make_logger(const struct generation *g, u32 first, u32 count)
{
    struct logger logger = {.blob = g->blob, .sink = &g->blob->log[first], .fd = &g->log_fd[first], .count = count};
    logger.pace = g->log_pace ? &g->log_pace[first] : NULL;
    for (u32 i = 0; i < count; i++)
        if (logger.sink[i].level > logger.level)
            logger.level = logger.sink[i].level;
    return logger;
}

/* One whose host is not found loses its lines until the name resolves; who resolves names tries again. */
static int
open_syslog(struct generation *g, const struct blob_log *log, const struct logger *before)
{
    const char *why;
    int fd = syslog_open(g->blob, log, &why);
    if (fd < 0 && why) {
        g->unresolved_count++;
        log_write(before, LEVEL_ERROR, 0, 0,
                  "host not found in syslog \"%s\" (%s); its lines are lost until it is",
                  blob_string(g->blob, log->host), why);
    }
    return fd;
}

/* Needs no more than the blob; the descriptors are filled in by take_logs(). */
static bool
open_loggers(struct generation *g, const struct logger *before)
{
    const struct blob *blob = g->blob;
    const struct blob_main *main = &blob->main[1];
    g->server_logger = calloc(blob->server_count, sizeof *g->server_logger);
    bool paced = false;
    for (u32 i = 1; i < blob->log_count; i++)
        paced |= blob->log[i].rate != 0;
    g->log_pace = paced ? calloc(blob->log_count, sizeof *g->log_pace) : NULL;
    if (!g->server_logger || (paced && !g->log_pace) || !(g->log_fd = malloc(blob->log_count * sizeof *g->log_fd)))
        return false;
    g->logger = main->log_count ? make_logger(g, main->log, main->log_count) : log_default;
    for (u32 i = 1; i < blob->server_count; i++) {
        const struct blob_server *server = &blob->server[i];
        g->server_logger[i] = server->log_count ? make_logger(g, server->log, server->log_count) : g->logger;
    }
    for (u32 i = 0; i < blob->log_count; i++) {
        u32 file = surroundings_log(g->surroundings, &blob->log[i]);
        g->log_fd[i] = file == UINT32_MAX ? STDERR_FILENO : g->surroundings->log[file];
        if (blob->log[i].sink == SINK_SYSLOG)
            g->log_fd[i] = open_syslog(g, &blob->log[i], before);
    }
    return true;
}

static void
give_logs(struct surroundings *s, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        log_file_drop(s->log_path[i]);
        s->log[i] = -1;
    }
}

/* From now on the files belong to the server's table of logs, so that their numbers never change. */
static bool
take_logs(struct generation *g)
{
    struct surroundings *s = g->surroundings;
    for (u32 i = 0; i < s->log_count; i++) {
        int fd = log_file_take(s->log_path[i], s->log[i]);
        if (fd < 0) {
            give_logs(s, i);
            return false;
        }
        s->log[i] = fd;
    }
    for (u32 i = 0; i < g->blob->log_count; i++) {
        u32 file = surroundings_log(s, &g->blob->log[i]);
        if (file != UINT32_MAX)
            g->log_fd[i] = s->log[file];
    }
    return true;
}

/* ---- whole ---- */

static void
free_generation(struct generation *g)
{
    for (u32 i = 0; i < g->shard_count; i++)
        close_shard(g->shard[i]);
    free(g->shard);
    host_close(g);
    zone_close(g);
    if (g->regexes)
        regexes_close(g->regexes);
    listen_close_places(g);
    for (u32 i = 0; g->log_fd && i < g->blob->log_count; i++)
        if (g->blob->log[i].sink == SINK_SYSLOG && g->log_fd[i] >= 0)
            close(g->log_fd[i]);
    free(g->log_fd);
    free(g->log_pace);
    free(g->server_logger);
    upstream_close(g);
    tls_close(g->blob, g->tls);
    free(g);
}

/* Ask now, and wait, unless somebody has asked before. */
static bool
look_up(struct generation *g)
{
    if (g->lookup)
        return true;
    g->lookup = lookup_of(g->blob);
    if (g->lookup)
        lookup_all(g->lookup, g->blob);
    return g->lookup;
}

static void
forget_lookup(struct generation *g)
{
    lookup_free(g->lookup, g->blob);
    g->lookup = NULL;
}

/* All that takes nothing but memory. False: errno. */
static bool
open_rest(struct generation *g, const struct generation *old, const struct logger *before)
{
    if (!look_up(g) || !zone_open(g) || !listen_open_places(g, old) || !open_loggers(g, before) || !host_open(g) ||
        !upstream_open(g, old))
        return false;
    g->tried_size = largest_tried(g);
    return open_shards(g) && take_logs(g);
}

struct generation *
generation_open(struct surroundings *surroundings, const struct generation *old, struct lookup *lookup)
{
    const struct blob *blob = &surroundings->mapping->blob;
    const struct logger *before = old ? &old->logger : &log_default; /* who is told as long as g has no log */
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        log_write(before, LEVEL_EMERG, 0, errno, "no memory for a configuration");
        lookup_free(lookup, blob);
        return NULL;
    }
    *g = (struct generation){.surroundings = surroundings, .blob = blob, .lookup = lookup,
                             .buffer_size = largest_buffer(blob)};
    process_name_machine(g->hostname);
    bool understood = tls_open(surroundings, before, &g->tls) && (g->regexes = regexes_open(blob, before));
    bool good = understood && open_rest(g, old, before);
    if (understood && !good)
        log_write(before, LEVEL_EMERG, 0, errno, "no memory for %u connections a worker",
                  blob->main[1].worker_connections);
    forget_lookup(g);
    if (good)
        return g;
    free_generation(g);
    return NULL;
}

void
generation_report(const struct generation *g, bool all)
{
    struct logger logger = {.blob = g->blob, .sink = g->blob->log, .fd = g->log_fd, .pace = g->log_pace,
                            .count = g->blob->log_count};
    if (g->log_pace)
        log_report(&logger, all);
}

void
generation_close(struct generation *g)
{
    struct surroundings *s = g->surroundings;
    generation_report(g, true);
    give_logs(s, s->log_count);
    free_generation(g);
    surroundings_close(s, NULL); /* its sockets were closed or handed on before */
}
