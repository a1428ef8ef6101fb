/*
 * An access log whose path has variables: a session's line in, the file that its values name chosen. A client may have
 * chosen a value: with it a path may go down from where the configuration's own text leads, never up.
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct path {
    char text[LOG_PATH_SIZE];
    bool chosen[LOG_PATH_SIZE]; /* which bytes variables gave */
};

/* A component ".." that variables had a part in, or a control character of theirs. */
static bool
is_crooked(const struct path *path)
{
    for (const char *at = path->text; *at; at += strcspn(at, "/") + (at[strcspn(at, "/")] == '/')) {
        const bool *chosen = &path->chosen[at - path->text];
        if (strcspn(at, "/") == 2 && at[0] == '.' && at[1] == '.' && (chosen[0] || chosen[1]))
            return true;
    }
    for (u32 i = 0; path->text[i]; i++)
        if (path->chosen[i] && ((u8)path->text[i] < ' ' || path->text[i] == 0x7f))
            return true;
    return false;
}

/* False: there is no such path. As in nginx, one that does not begin with "/" in the file is below the prefix. */
static bool
make_path(struct session *s, const struct blob_expr *expr, struct path *path)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_op *op = &blob->op[expr->op];
    struct output out = {(u8 *)path->text, sizeof path->text - 1, 0};
    if (op->kind != OP_TEXT || blob_string(blob, op->text)[0] != '/')
        output_put(&out, "./", 2);
    for (u32 i = 0; i < expr->op_count; i++) {
        size_t start = out.used;
        expr_op(s, &op[i], &out);
        if (out.used > out.size)
            return false;
        memset(&path->chosen[start], op[i].kind != OP_TEXT, out.used - start);
    }
    path->text[out.used] = '\0';
    return strlen(path->text) == out.used && !is_crooked(path);
}

bool
log_path_write(struct session *s, const struct blob_access *record, double *said, const void *data, size_t size)
{
    struct shard *shard = s->shard;
    const struct blob *blob = shard->blob;
    struct path path = {.text = ""};
    bool kept;
    if (!make_path(s, &blob->expr[record->path], &path)) {
        if (log_again(said, session_now(s)))
            session_log(s, LEVEL_CRIT, 0, "access_log \"%s\": the path leads up, is too long or has control characters",
                        blob_string(blob, blob->log[record->log].path));
        return false;
    }
    struct log_cache *cache = record->cache ? shard->log_cache[record->cache] : NULL;
    int fd = log_cache_take(cache, path.text, shard->worker->now, &kept);
    ssize_t wrote = fd < 0 ? -1 : write(fd, data, size);
    int error = wrote < 0 ? errno : 0; /* 0: the disk is full, and the end of the line is lost */
    bool good = wrote == (ssize_t)size;
    if (!good && log_again(said, session_now(s)))
        session_log(s, LEVEL_CRIT, error, "%s \"%s\" failed", fd < 0 ? "open()" : "write() to", path.text);
    if (fd >= 0 && !kept)
        close(fd);
    return good;
}
