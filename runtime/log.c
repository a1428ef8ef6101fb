/*
 * error_log: one line, one write() for each sink that wants its level. The form is nginx's, because
 * operators' tools read it.
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

static int default_fd = STDERR_FILENO;
static const struct blob_log default_sink = {.sink = SINK_STDERR, .level = LEVEL_ERROR};
struct logger log_default = {.sink = &default_sink, .fd = &default_fd, .count = 1, .level = LEVEL_ERROR};

bool
log_default_to(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        default_fd = fd;
    return fd >= 0;
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

int
log_file_take(const char *path, int fd)
{
    struct log_file *file = find_file(path);
    if (file) {
        log_file_reopen(path, fd);
    } else {
        file = calloc(1, sizeof *file);
        if (!file)
            die("no memory for the log");
        *file = (struct log_file){.next = files, .path = strdup(path), .fd = fd};
        files = file;
    }
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

static void
write_line(const struct logger *logger, enum level level, const char *line, size_t size)
{
    for (u32 i = 0; i < logger->count; i++) {
        const struct blob_log *sink = &logger->sink[i];
        if (level > sink->level)
            continue;
        if (sink->sink == SINK_SYSLOG)
            syslog_send(logger->blob, sink, logger->fd[i], level > LEVEL_EMERG ? level - LEVEL_EMERG : 0, line,
                        size - 1); /* without the newline */
        else
            (void)!write(logger->fd[i], line, size);
    }
}

void
log_write(const struct logger *logger, enum level level, u64 connection, int error, const char *format, ...)
{
    if (!log_wants(logger, level))
        return;
    char line[LOG_LINE], text[LOG_LINE] = "";
    size_t at = append(line, 0, "%s [%s] %d#%d: ", clock_text(), blob_level_word(level), getpid(), gettid());
    if (connection)
        at = append(line, at, "*%llu ", (unsigned long long)connection);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    at = append_escaped(line, at, text);
    if (error)
        at = append(line, at, " (%d: %s)", error, strerrordesc_np(error));
    line[at++] = '\n';
    write_line(logger, level, line, at);
}

void
die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "spcd: [emerg] ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}
