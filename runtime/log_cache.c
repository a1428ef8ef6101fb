/*
 * Log files that lines name, by a path with variables: opened by the worker, as its user, when a line needs one, and
 * kept open by open_log_file_cache as nginx does: so many, those used often enough, looked at again when old, closed
 * when unused for long. Entries are set aside; a path that is too long for one is nobody's log.
 */
#include "spcd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXPIRE_AT_ONCE = 2 }; /* nginx's: entries that are closed at most before another is looked for */

struct entry {
    struct entry *next;          /* of the same hash; or free */
    struct entry *older, *newer; /* by use */
    u64 hash;
    double looked, used;         /* when */
    int fd;                      /* -1: it was not used often enough, or could not be opened */
    u32 uses, opening;           /* opening: see reopened */
    dev_t device;
    ino_t inode;
    char path[LOG_PATH_SIZE];
};

struct log_cache {
    const struct blob_log_cache *record;
    struct entry *entry, *free, **bucket;
    struct entry *oldest, *newest;
};

static atomic_uint reopened; /* how often all logs were to be opened anew */

void
log_cache_reopen(void)
{
    atomic_fetch_add(&reopened, 1);
}

/* ---- entries ---- */

static void
unlink_use(struct log_cache *cache, struct entry *entry)
{
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
}

static void
link_newest(struct log_cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void
close_entry(struct entry *entry)
{
    if (entry->fd >= 0)
        close(entry->fd);
    entry->fd = -1;
}

static void
drop(struct log_cache *cache, struct entry *entry)
{
    struct entry **link = &cache->bucket[entry->hash % cache->record->most];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    unlink_use(cache, entry);
    close_entry(entry);
    entry->next = cache->free;
    cache->free = entry;
}

static void
expire(struct log_cache *cache, double now)
{
    for (u32 i = 0; i < EXPIRE_AT_ONCE && cache->oldest; i++)
        if (now - cache->oldest->used > cache->record->inactive_s)
            drop(cache, cache->oldest);
}

static struct entry *
find(struct log_cache *cache, const char *path, u64 hash)
{
    struct entry *entry = cache->bucket[hash % cache->record->most];
    while (entry && (entry->hash != hash || strcmp(entry->path, path) != 0))
        entry = entry->next;
    return entry;
}

static struct entry *
make(struct log_cache *cache, const char *path, u64 hash)
{
    if (!cache->free)
        drop(cache, cache->oldest);
    struct entry *entry = cache->free, **bucket = &cache->bucket[hash % cache->record->most];
    cache->free = entry->next;
    *entry = (struct entry){.next = *bucket, .hash = hash, .fd = -1};
    strcpy(entry->path, path);
    *bucket = entry;
    link_newest(cache, entry);
    return entry;
}

/* ---- files ---- */

/* A FIFO that nobody reads is refused, not waited for. */
static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
}

/* Is what the entry has open still the file of its name, as far as can be told without looking too often? */
static bool
is_good(const struct log_cache *cache, struct entry *entry, double now)
{
    struct stat status;
    if (entry->fd < 0 || entry->opening != atomic_load(&reopened))
        return false;
    if (now - entry->looked < cache->record->valid_s)
        return true;
    entry->looked = now;
    return stat(entry->path, &status) == 0 && status.st_dev == entry->device && status.st_ino == entry->inode;
}

/* Keep fd in the entry. False: then it is for once. */
static bool
keep(const struct log_cache *cache, struct entry *entry, int fd, double now)
{
    struct stat status;
    if (entry->uses < cache->record->least_uses || fstat(fd, &status) != 0)
        return false;
    entry->fd = fd;
    entry->device = status.st_dev;
    entry->inode = status.st_ino;
    entry->looked = now;
    entry->opening = atomic_load(&reopened);
    return true;
}

int
log_cache_take(struct log_cache *cache, const char *path, double now, bool *kept)
{
    *kept = false;
    if (!cache || cache->record->most == 0)
        return open_file(path);
    u64 hash = blob_hash(path, strlen(path));
    expire(cache, now);
    struct entry *entry = find(cache, path, hash);
    if (entry) {
        unlink_use(cache, entry);
        link_newest(cache, entry);
    } else {
        entry = make(cache, path, hash);
    }
    entry->used = now;
    entry->uses++;
    *kept = is_good(cache, entry, now);
    if (*kept)
        return entry->fd;
    close_entry(entry);
    int fd = open_file(path);
    *kept = fd >= 0 && keep(cache, entry, fd, now);
    return fd;
}

/* ---- whole ---- */

struct log_cache *
log_cache_open(const struct blob_log_cache *record)
{
    struct log_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->record = record;
    cache->entry = calloc(record->most + 1, sizeof *cache->entry); /* none might be NULL */
    cache->bucket = calloc(record->most + 1, sizeof(struct entry *));
    if (!cache->entry || !cache->bucket) {
        log_cache_close(cache);
        return NULL;
    }
    for (u32 i = record->most; i > 0; i--) {
        cache->entry[i - 1].next = cache->free;
        cache->free = &cache->entry[i - 1];
    }
    return cache;
}

void
log_cache_close(struct log_cache *cache)
{
    if (!cache)
        return;
    for (struct entry *entry = cache->oldest; entry; entry = entry->newer)
        close_entry(entry);
    free(cache->entry);
    free(cache->bucket);
    free(cache);
}
