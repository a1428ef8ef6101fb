/*
 * Certificates and keys whose paths come from variables: read when a handshake needs them and, with a cache, kept as
 * nginx keeps them: so many, dropped when unused for a while, looked at again when old. One that cannot be read ends
 * the session that asked for it and nothing else.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

/* What tells that a file is no longer the same. */
struct mark {
    dev_t device;
    ino_t inode;
    struct timespec changed;
};

struct entry {
    struct entry *next;         /* of the same hash */
    struct entry *older, *newer; /* by use */
    struct tls_identity *identity;
    struct mark certificate_mark, key_mark;
    double read, used;          /* when */
    u64 hash;
    u32 tls;
    char certificate[PATH_SIZE], key[PATH_SIZE];
};

struct cache {
    const struct blob_cache *record;
    struct entry *entry, *free, **bucket;
    struct entry *oldest, *newest;
    u32 bucket_count;
};

struct credentials {
    u32 count;
    struct cache cache[];
};

/* ---- the cache ---- */

static bool
open_cache(struct cache *cache, const struct blob_cache *record)
{
    cache->record = record;
    cache->bucket_count = record->most;
    cache->entry = calloc(record->most, sizeof *cache->entry);
    cache->bucket = calloc(record->most, sizeof(struct entry *));
    for (u32 i = 0; cache->entry && i < record->most; i++) {
        cache->entry[i].next = cache->free;
        cache->free = &cache->entry[i];
    }
    return cache->entry && cache->bucket;
}

struct credentials *
credentials_open(const struct blob *blob)
{
    struct credentials *made = calloc(1, sizeof *made + blob->cache_count * sizeof *made->cache);
    bool good = made;
    if (made)
        made->count = blob->cache_count;
    for (u32 i = 1; good && i < blob->cache_count; i++)
        good = open_cache(&made->cache[i], &blob->cache[i]);
    if (good)
        return made;
    credentials_close(made, blob);
    return NULL;
}

void
credentials_close(struct credentials *credentials, const struct blob *blob)
{
    for (u32 i = 1; credentials && i < blob->cache_count; i++) {
        struct cache *cache = &credentials->cache[i];
        for (struct entry *one = cache->oldest; one; one = one->newer)
            tls->identity_close(one->identity);
        free(cache->entry);
        free(cache->bucket);
    }
    free(credentials);
}

static void
unlink_use(struct cache *cache, struct entry *entry)
{
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
}

static void
link_newest(struct cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void
drop(struct cache *cache, struct entry *entry)
{
    struct entry **link = &cache->bucket[entry->hash % cache->bucket_count];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    unlink_use(cache, entry);
    tls->identity_close(entry->identity);
    entry->next = cache->free;
    cache->free = entry;
}

/* ---- files ---- */

/* What one session wants. */
struct wish {
    char certificate[PATH_SIZE], key[PATH_SIZE];
    struct mark certificate_mark, key_mark;
    u64 hash;
    u32 tls;
};

static bool
look(const char *path, struct mark *mark)
{
    struct stat status;
    *mark = (struct mark){0};
    if (stat(path, &status) != 0)
        return false;
    *mark = (struct mark){status.st_dev, status.st_ino, status.st_ctim};
    return true;
}

static bool
same(const struct mark *a, const struct mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool
read_file(struct session *s, const char *path, u8 *data, struct tls_file *file)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = errno; /* a FIFO is not waited for */
    ssize_t got = fd >= 0 ? read(fd, data, WIRE_SIZE) : -1;
    if (fd >= 0) {
        error = got == WIRE_SIZE ? EFBIG : errno;
        close(fd);
    }
    *file = (struct tls_file){data, got > 0 ? (size_t)got : 0};
    if (got >= 0 && got < WIRE_SIZE)
        return true;
    session_log(s, LEVEL_ERROR, error, "cannot load certificate or key \"%s\"", path);
    return false;
}

static struct tls_identity *
read_identity(struct session *s, const struct wish *wish)
{
    struct shard *shard = s->shard;
    struct tls_file certificate, key;
    char error[TLS_ERROR_SIZE];
    u8 *data[CREDENTIAL_WIRES] = {slab_take(&shard->wires), slab_take(&shard->wires)};
    struct tls_identity *made = NULL;
    if (read_file(s, wish->certificate, data[0], &certificate) && read_file(s, wish->key, data[1], &key)) {
        made = tls->identity_open(shard->generation->tls[wish->tls].context, &certificate, &key, error);
        if (!made)
            session_log(s, LEVEL_ERROR, 0, "cannot load certificate \"%s\" with key \"%s\": %s", wish->certificate,
                        wish->key, error);
        explicit_bzero(data[1], key.size);
    }
    slab_give(&shard->wires, data[1]);
    slab_give(&shard->wires, data[0]);
    return made;
}

/* ---- for a session ---- */

/* The entry of the wish, if it is still good. */
static struct entry *
find(struct cache *cache, struct wish *wish, double now)
{
    struct entry *entry = cache->bucket[wish->hash % cache->bucket_count];
    while (entry && (entry->hash != wish->hash || entry->tls != wish->tls || strcmp(entry->key, wish->key) != 0 ||
                     strcmp(entry->certificate, wish->certificate) != 0))
        entry = entry->next;
    bool good = entry && now - entry->used <= cache->record->inactive_s;
    if (good && now - entry->read > cache->record->valid_s) {
        good = look(wish->certificate, &wish->certificate_mark) && look(wish->key, &wish->key_mark) &&
               same(&entry->certificate_mark, &wish->certificate_mark) && same(&entry->key_mark, &wish->key_mark);
        entry->read = now;
    }
    if (entry && !good)
        drop(cache, entry);
    return good ? entry : NULL;
}

static void
keep(struct cache *cache, const struct wish *wish, struct tls_identity *identity, double now)
{
    while (cache->oldest && (!cache->free || now - cache->oldest->used > cache->record->inactive_s))
        drop(cache, cache->oldest);
    struct entry *entry = cache->free, **bucket = &cache->bucket[wish->hash % cache->bucket_count];
    cache->free = entry->next;
    *entry = (struct entry){.next = *bucket, .identity = identity, .certificate_mark = wish->certificate_mark,
                            .key_mark = wish->key_mark, .read = now, .used = now, .hash = wish->hash, .tls = wish->tls};
    strcpy(entry->certificate, wish->certificate);
    strcpy(entry->key, wish->key);
    *bucket = entry;
    link_newest(cache, entry);
}

/* The value of an expression as a path. False: it can be none. */
static bool
evaluate(struct session *s, u32 expr, char path[PATH_SIZE])
{
    if (expr_text(s, &s->shard->blob->expr[expr], path, PATH_SIZE))
        return true;
    session_log(s, LEVEL_ERROR, 0, "the path of a certificate has more than %d bytes, or a NUL byte", PATH_SIZE - 1);
    return false;
}

static struct cache *
cache_of(const struct session *s)
{
    const struct shard *shard = s->shard;
    u32 cache = shard->blob->proxy_ssl[session_proxy(s)->ssl].cache;
    return cache ? &shard->credentials->cache[cache] : NULL;
}

bool
credential_take(struct session *s, struct tls_identity **identity)
{
    const struct blob_proxy_ssl *settings = &s->shard->blob->proxy_ssl[session_proxy(s)->ssl];
    struct wish wish = {.tls = settings->tls};
    *identity = NULL;
    if (!settings->certificate)
        return true;
    if (!evaluate(s, settings->certificate, wish.certificate) || !evaluate(s, settings->key, wish.key))
        return false;
    if (!wish.certificate[0])
        return true;
    struct cache *cache = cache_of(s);
    double now = session_now(s);
    wish.hash = blob_hash(wish.certificate, strlen(wish.certificate)) ^ blob_hash(wish.key, strlen(wish.key)) * 3;
    struct entry *entry = cache ? find(cache, &wish, now) : NULL;
    if (entry) {
        entry->used = now;
        unlink_use(cache, entry);
        link_newest(cache, entry);
        *identity = entry->identity;
        return true;
    }
    bool marked = look(wish.certificate, &wish.certificate_mark) && look(wish.key, &wish.key_mark);
    *identity = read_identity(s, &wish);
    if (*identity && cache && marked && !tls->identity_was_locked(*identity))
        keep(cache, &wish, *identity, now);
    return *identity;
}

void
credential_give(struct session *s, struct tls_identity *identity)
{
    const struct cache *cache = cache_of(s);
    bool kept = cache && cache->newest && cache->newest->identity == identity; /* it was used just now */
    if (identity && !kept)
        tls->identity_close(identity);
}
