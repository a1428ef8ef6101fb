/*
 * error_log: one line, one write() for each sink that wants its level and has not reached its rate. The form is
 * nginx's, because operators' tools read it, or JSON.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define USUAL {.sink = &default_sink, .fd = &default_fd, .count = 1, .level = LEVEL_ERROR}
static int default_fd = STDERR_FILENO;
static const struct blob_log default_sink = {.sink = SINK_STDERR, .level = LEVEL_ERROR};
struct logger log_default = USUAL;

static const char *default_path; /* NULL: standard error */

static int
open_default(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

bool
log_default_to(const char *path)
{
    int fd = open_default(path);
    if (fd < 0)
        return false;
    default_fd = fd;
    default_path = process_absolute(path);
    return true;
}

int
log_default_open(const struct logger *logger)
{
    int fd = default_path ? open_default(default_path) : -1;
    if (default_path && fd < 0)
        log_write(logger, LEVEL_EMERG, 0, errno, "open() %s failed", default_path);
    return fd;
}

void
log_default_reopen(int fd)
{
    if (fd < 0)
        return;
    dup3(fd, default_fd, O_CLOEXEC); /* threads that are writing notice nothing */
    close(fd);
}

void
log_default_stand_in(const struct logger *logger)
{
    log_default = logger ? *logger : (struct logger)USUAL;
}

/* "2026/11/23 10:00:00", made once a second in each thread. */
static const char *
clock_text(void)
{
    static _Thread_local time_t made;
    static _Thread_local char text[32];
    time_t now = time(NULL);
    if (now != made) {
        struct tm local;
        localtime_r(&now, &local);
        strftime(text, sizeof text, "%Y/%m/%d %H:%M:%S", &local);
        made = now;
    }
    return text;
}

/* ---- files, as the server knows them ---- */

static struct log_file {
    struct log_file *next;
    char *path;
    int fd;
    u32 users;
} *files;

static struct log_file *
find_file(const char *path)
{
    struct log_file *file = files;
    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    return file;
}

void
log_file_reopen(const char *path, int fd)
{
    struct log_file *file = find_file(path);
    if (file && file->fd != fd)
        dup3(fd, file->fd, O_CLOEXEC); /* threads that are writing notice nothing */
    if (!file || file->fd != fd)
        close(fd);
}

static struct log_file *
add_file(const char *path, int fd)
{
    struct log_file *file = calloc(1, sizeof *file);
    char *copy = file ? strdup(path) : NULL;
    if (!copy) {
        free(file);
        return NULL;
    }
    *file = (struct log_file){.next = files, .path = copy, .fd = fd};
    return files = file;
}

int
log_file_take(const char *path, int fd)
{
    struct log_file *file = find_file(path);
    if (file)
        log_file_reopen(path, fd);
    else
        file = add_file(path, fd);
    if (!file)
        return -1;
    file->users++;
    return file->fd;
}

void
log_file_drop(const char *path)
{
    struct log_file **link = &files;
    while (*link && strcmp((*link)->path, path) != 0)
        link = &(*link)->next;
    struct log_file *file = *link;
    if (!file || --file->users > 0)
        return;
    *link = file->next;
    close(file->fd);
    free(file->path);
    free(file);
}

/* ---- lines ---- */

static size_t __attribute__((format(printf, 3, 4)))
append(char *line, size_t at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + at, LOG_LINE - at, format, arguments);
    va_end(arguments);
    at += length > 0 ? (size_t)length : 0;
    return at < LOG_LINE - 1 ? at : LOG_LINE - 2; /* room for the newline and the NUL */
}

/* What a client may have chosen must not end the line, nor play with the terminal of who reads it. */
static size_t
append_escaped(char *line, size_t at, const char *text)
{
    for (; *text && at + sizeof "\\x00" < LOG_LINE; text++)
        if ((u8)*text >= ' ' && *text != 0x7f)
            line[at++] = *text;
        else
            at = append(line, at, "\\x%02X", (u8)*text);
    return at;
}

enum { JSON_LINE = 6 * LOG_LINE + 256 }; /* each byte of the message may become six */

/* A line, as text and as JSON, made when the first sink asks for it. */
struct line {
    enum level level;
    u64 connection;
    const char *message;
    size_t text_size, json_size; /* 0: not made yet */
    char text[LOG_LINE], json[JSON_LINE];
};

static void
make_text(struct line *line)
{
    const char *level = blob_level_word(line->level);
    size_t at = append(line->text, 0, "%s [%s] %d#%d: ", clock_text(), level, getpid(), gettid());
    if (line->connection)
        at = append(line->text, at, "*%llu ", (unsigned long long)line->connection);
    at = append_escaped(line->text, at, line->message);
    line->text[at++] = '\n';
    line->text_size = at;
}

static void
make_json(struct line *line)
{
    struct output out = {(u8 *)line->json, sizeof line->json, 0};
    char stamp[32], zone[8];
    struct tm local;
    time_t now = time(NULL);
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &local);
    strftime(zone, sizeof zone, "%z", &local); /* +hhmm */
    output_print(&out, "{\"time\":\"%s%.3s:%s\",\"level\":\"%s\",\"pid\":%d,\"tid\":%d", stamp, zone, zone + 3,
                 blob_level_word(line->level), getpid(), gettid());
    if (line->connection)
        output_print(&out, ",\"connection\":%llu", (unsigned long long)line->connection);
    output_print(&out, ",\"message\":\"");
    escape_put(ESCAPE_UTF8, &out, (const u8 *)line->message, strlen(line->message));
    output_print(&out, "\"}\n");
    line->json_size = out.used;
}

static void
write_line(const struct logger *logger, u32 index, struct line *line)
{
    const struct blob_log *sink = &logger->sink[index];
    bool json = sink->flags & LOG_JSON;
    if (json && !line->json_size)
        make_json(line);
    else if (!json && !line->text_size)
        make_text(line);
    const char *text = json ? line->json : line->text;
    size_t size = json ? line->json_size : line->text_size;
    u32 severity = line->level > LEVEL_EMERG ? line->level - LEVEL_EMERG : 0;
    if (sink->sink == SINK_SYSLOG)
        syslog_send(logger->blob, sink, logger->fd[index], severity, text, size - 1); /* without the newline */
    else if (sink->sink == SINK_MEMORY)
        ring_write(logger->fd[index], sink->size, text, size);
    else
        (void)!write(logger->fd[index], text, size);
}

/* May another line be written in this second? */
static bool
may_write(const struct logger *logger, u32 index)
{
    struct log_pace *pace = logger->pace ? &logger->pace[index] : NULL;
    if (!pace || !logger->sink[index].rate)
        return true;
    long long now = time(NULL), second = atomic_load(&pace->second);
    if (second != now && atomic_compare_exchange_strong(&pace->second, &second, now))
        atomic_store(&pace->lines, 0);
    bool may = atomic_fetch_add(&pace->lines, 1) < logger->sink[index].rate;
    if (!may)
        atomic_fetch_add(&pace->left_out, 1);
    return may;
}

bool
log_again(double *said, double now)
{
    if (now - *said < 1)
        return false;
    *said = now;
    return true;
}

void
log_report(const struct logger *logger, bool all)
{
    for (u32 i = 1; i < logger->count; i++) {
        const struct blob_log *sink = &logger->sink[i];
        struct log_pace *pace = &logger->pace[i];
        u32 count = !all && atomic_load(&pace->second) == time(NULL) ? 0 : atomic_exchange(&pace->left_out, 0);
        char message[ADDRESS_TEXT];
        struct line line = {.level = sink->level < LEVEL_WARN ? sink->level : LEVEL_WARN, .message = message};
        snprintf(message, sizeof message, "%u lines were left out, since rate=%u/s was reached", count, sink->rate);
        if (count > 0)
            write_line(logger, i, &line);
    }
}

void
log_write(const struct logger *logger, enum level level, u64 connection, int error, const char *format, ...)
{
    if (!log_wants(logger, level))
        return;
    char message[LOG_LINE] = "";
    struct line line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (error)
        append(message, strlen(message), " (%d: %s)", error, strerrordesc_np(error));
    line.level = level, line.connection = connection, line.message = message;
    line.text_size = line.json_size = 0; /* made when they are asked for */
    for (u32 i = 0; i < logger->count; i++)
        if (level <= logger->sink[i].level && may_write(logger, i))
            write_line(logger, i, &line);
}

void
die(const char *format, ...)
{
    char message[LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "spcd: [emerg] %s\n", message);
    if (log_default.fd[0] != STDERR_FILENO || log_default.sink != &default_sink)
        log_write(&log_default, LEVEL_EMERG, 0, 0, "%s", message);
    exit(1);
}
