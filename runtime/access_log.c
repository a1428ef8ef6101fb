/*
 * access_log: one line for each session when it has ended, and before that where on= and every= ask for more. Where a
 * log has a buffer, its lines are gathered in one of the worker's own, and written together when it is full, after a
 * while, and before the worker has no more to do with the log. What cannot be written is lost and counted, and stops
 * nobody.
 */
#include "spcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_MAX = 16 << 10 };

struct access_log {
    const struct blob_access *record;
    struct shard *shard;
    u8 *data; /* what is gathered; NULL: nothing is */
    u32 used, lines;
    ev_timer flush;
    ev_timer every;
    double looked; /* when it last fired */
    double said; /* when a file that a line names last failed, by the log */
    bool torn;   /* what was written last lacks its end: the disk was full */
};

/* ---- lines ---- */

/* A value of JSON. Numbers are ours, and good but for the zeros of a $status that is none yet. */
static void
put_json(u32 form, bool found, const struct output *piece, struct output *line)
{
    const u8 *text = piece->text;
    size_t size = piece->used;
    if (!found || (form == FORM_NUMBER && size == 0)) {
        output_put(line, "null", 4);
    } else if (form == FORM_NUMBER) {
        for (; size > 1 && text[0] == '0' && text[1] != '.'; size--)
            text++;
        output_put(line, text, size);
    } else {
        output_put(line, "\"", 1);
        escape_put(ESCAPE_UTF8, line, text, size);
        output_put(line, "\"", 1);
    }
}

static void
put_variable(struct session *s, const struct blob_access *record, const struct blob_op *op, struct output *line)
{
    u8 text[PIECE_MAX];
    struct output piece = {text, sizeof text, 0};
    bool found = expr_op(s, op, &piece);
    if (piece.used > piece.size)
        line->used = line->size + 1;
    else if (op->form != FORM_TEXT)
        put_json(op->form, found, &piece, line);
    else if (found)
        escape_put(record->escape, line, text, piece.used);
    else
        output_put(line, "-", record->escape == ESCAPE_DEFAULT);
}

static void
put_line(struct session *s, const struct blob_access *record, struct output *line)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_expr *format = &blob->expr[record->format];
    for (u32 i = 0; i < format->op_count; i++) {
        const struct blob_op *op = &blob->op[format->op + i];
        if (op->kind == OP_TEXT)
            output_put(line, blob_string(blob, op->text), op->text_size);
        else
            put_variable(s, record, op, line);
    }
}

/* if= gives nothing, or 0. */
static bool
is_unwanted(struct session *s, const struct blob_access *record)
{
    u8 text[2];
    if (!record->condition)
        return false;
    size_t size = expr_run(s, &s->shard->blob->expr[record->condition], text, sizeof text);
    return size == 0 || (size == 1 && text[0] == '0');
}

/* ---- writing ---- */

/* In one write, so that lines of several workers do not mix. One that was torn does not take the next one with it. */
static bool
append(struct access_log *log, int fd, const void *data, size_t size)
{
    if (log->torn && write(fd, "\n", 1) != 1)
        return false;
    ssize_t wrote = write(fd, data, size);
    log->torn = wrote > 0 && wrote < (ssize_t)size && !log->record->gzip;
    return wrote == (ssize_t)size;
}

static void
write_out(struct shard *shard, const struct blob_access *record, const void *data, size_t size, u32 lines)
{
    const struct blob_log *log = &shard->blob->log[record->log];
    int fd = shard->generation->log_fd[record->log];
    bool good;
    if (record->gzip && !(data = gzip_pack(shard->gzip, record->gzip, data, &size)))
        good = false;
    else if (log->sink == SINK_SYSLOG)
        good = syslog_send(shard->blob, log, fd, log->severity, data, size - 1); /* without the newline */
    else
        good = append(&shard->access[record - shard->blob->access], fd, data, size);
    shard->worker->counter[COUNTER_lines_lost] += good ? 0 : lines;
}

static void
flush(struct access_log *log)
{
    if (log->used > 0)
        write_out(log->shard, log->record, log->data, log->used, log->lines);
    log->used = log->lines = 0;
    if (log->shard->worker)
        ev_timer_stop(log->shard->worker->loop, &log->flush);
}

static void
on_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    flush(timer->data);
}

static void
gather(struct access_log *log, const void *data, size_t size)
{
    if (log->used + size > log->record->buffer)
        flush(log);
    if (size > log->record->buffer) {
        write_out(log->shard, log->record, data, size, 1);
        return;
    }
    memcpy(log->data + log->used, data, size);
    log->used += (u32)size;
    log->lines++;
    if (!log->record->flush_ms || ev_is_active(&log->flush))
        return;
    ev_timer_set(&log->flush, (double)log->record->flush_ms / 1000, 0);
    ev_timer_start(log->shard->worker->loop, &log->flush);
}

static void
write_one(struct session *s, u32 index)
{
    struct shard *shard = s->shard;
    struct access_log *log = &shard->access[index];
    u8 text[ACCESS_LINE_MOST];
    struct output line = {text, sizeof text, 0};
    if (is_unwanted(s, log->record))
        return;
    put_line(s, log->record, &line);
    output_put(&line, "\n", 1);
    if (line.used > line.size)
        shard->worker->counter[COUNTER_lines_lost]++;
    else if (log->data)
        gather(log, text, line.used);
    else if (log->record->path)
        shard->worker->counter[COUNTER_lines_lost] += !log_path_write(s, log->record, &log->said, text, line.used);
    else
        write_out(shard, log->record, text, line.used, 1);
}

/* ---- lines before the end ---- */

/* What a variable is at the end must not be what it was before: nothing that the line makes known is kept. */
static void
write_early(struct session *s, u32 index)
{
    struct shard *shard = s->shard;
    size_t size = values_size(shard->blob) - VALUES_TEXT;
    bool had = s->values;
    if (had)
        memcpy(shard->access_values, s->values, size);
    write_one(s, index);
    if (had) {
        memcpy(s->values, shard->access_values, size);
    } else if (s->values) {
        slab_give(&shard->values, s->values);
        s->values = NULL;
    }
}

/* Is it the session's log, and does the session last for another time of every= since the last look? */
static bool
is_due(const struct access_log *log, const struct session *s, double now)
{
    double every = (double)log->record->every_ms / 1000;
    u32 index = (u32)(log->record - log->shard->blob->access);
    if (s->shard != log->shard || s->phase < PHASE_CONNECT || index - s->server->access >= s->server->access_count)
        return false;
    return (u64)((now - s->begun) / every) > (u64)((log->looked > s->begun ? log->looked - s->begun : 0) / every);
}

static void
on_every(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct access_log *log = timer->data;
    struct worker *worker = log->shard->worker;
    double now = worker->now;
    worker->event = "every";
    for (u32 i = 0; i < worker->deadlines.count; i++) {
        struct session *s = worker->deadlines.heap[i].session;
        if (is_due(log, s, now))
            write_early(s, (u32)(log->record - log->shard->blob->access));
    }
    worker->event = NULL;
    log->looked = now;
    if (log->shard->session_count == 0)
        ev_timer_stop(loop, timer);
}

/* One timer a log and worker, not a session: it looks often enough for a line to be late by a sixteenth of every=. */
static void
start_every(struct access_log *log)
{
    enum { LOOKS = 16 };
    struct ev_loop *loop = log->shard->worker->loop;
    double look = (double)log->record->every_ms / 1000 / LOOKS;
    if (ev_is_active(&log->every))
        return;
    log->looked = log->shard->worker->now;
    ev_timer_set(&log->every, look, look);
    ev_timer_start(loop, &log->every);
}

const char *
access_log_event(const struct worker *worker)
{
    return worker->event;
}

void
access_log_write(struct session *s, enum access_on event)
{
    struct worker *worker = s->shard->worker;
    worker->event = event == ACCESS_OPEN ? "open" : event == ACCESS_CONNECT ? "connect" : "close";
    for (u32 i = s->server->access; i < s->server->access + s->server->access_count; i++) {
        const struct blob_access *record = &s->shard->blob->access[i];
        if (event == ACCESS_OPEN && record->every_ms)
            start_every(&s->shard->access[i]);
        if (record->on & event && event == ACCESS_CLOSE)
            write_one(s, i);
        else if (record->on & event)
            write_early(s, i);
    }
    worker->event = NULL;
}

/* ---- whole ---- */

static bool
open_caches(struct shard *shard)
{
    const struct blob *blob = shard->blob;
    bool good = (shard->log_cache = calloc(blob->log_cache_count, sizeof *shard->log_cache));
    for (u32 i = 1; good && i < blob->log_cache_count; i++)
        good = (shard->log_cache[i] = log_cache_open(&blob->log_cache[i]));
    return good;
}

static void
close_caches(struct shard *shard)
{
    for (u32 i = 1; shard->log_cache && i < shard->blob->log_cache_count; i++)
        log_cache_close(shard->log_cache[i]);
    free(shard->log_cache);
}

/* Is a line written before a session ends? */
static bool
is_early(const struct blob *blob)
{
    bool early = false;
    for (u32 i = 1; i < blob->access_count && !early; i++)
        early = blob->access[i].every_ms || blob->access[i].on & (ACCESS_OPEN | ACCESS_CONNECT);
    return early;
}

bool
access_log_open(struct shard *shard)
{
    const struct blob *blob = shard->blob;
    shard->access = calloc(blob->access_count, sizeof *shard->access);
    for (u32 i = 1; shard->access && i < blob->access_count; i++) {
        struct access_log *log = &shard->access[i];
        *log = (struct access_log){.record = &blob->access[i], .shard = shard};
        ev_init(&log->flush, on_flush);
        log->flush.data = log;
        ev_init(&log->every, on_every);
        log->every.data = log;
        if (log->record->buffer && !(log->data = malloc(log->record->buffer)))
            return false;
    }
    if (is_early(blob) && !(shard->access_values = malloc(values_size(blob))))
        return false;
    return shard->access && gzip_open(blob, &shard->gzip) && open_caches(shard);
}

void
access_log_flush(struct shard *shard)
{
    for (u32 i = 1; i < shard->blob->access_count; i++) {
        struct access_log *log = &shard->access[i];
        flush(log);
        if (shard->session_count == 0 && shard->worker)
            ev_timer_stop(shard->worker->loop, &log->every);
    }
}

void
access_log_close(struct shard *shard)
{
    for (u32 i = 1; shard->access && i < shard->blob->access_count; i++)
        free(shard->access[i].data);
    gzip_close(shard->gzip);
    close_caches(shard);
    free(shard->access_values);
    free(shard->access);
}
