/*
 * limit_conn: how many sessions a key has, over all workers and generations. A zone is memory of the size that the
 * configuration gives it; a reload keeps it if it has the same name and size.
 */
#include "spcd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KEY_MAX = 255, KEY_KEPT = 43 };

/* A key that has sessions. Of a long one the hash, the size and its beginning tell it from others. */
struct entry {
    u64 hash;
    u32 next; /* 1 + index, in its bucket or among those that are free */
    u32 count;
    u8 size, kept[KEY_KEPT + 4];
};

struct limit_zone {
    struct limit_zone *next;
    char *name;
    u64 size;
    u32 users; /* generations */
    pthread_mutex_t mutex;
    u32 *bucket; /* 1 + index of its first entry */
    struct entry *entry;
    u32 count, fresh, free; /* of entries; those from fresh on were never taken; free: 1 + index */
};

static struct limit_zone *zones; /* the control thread's */

/* ---- zones ---- */

static struct limit_zone *
make_zone(const char *name, u64 size)
{
    struct limit_zone *zone = calloc(1, sizeof *zone);
    u64 count = size / (sizeof(struct entry) + sizeof(u32));
    if (!zone)
        return NULL;
    *zone = (struct limit_zone){.name = strdup(name), .size = size};
    zone->count = count < UINT32_MAX ? (u32)count : UINT32_MAX - 1;
    void *memory = mmap(NULL, zone->count * (sizeof(struct entry) + sizeof(u32)), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!zone->name || memory == MAP_FAILED) {
        free(zone->name);
        free(zone);
        return NULL;
    }
    pthread_mutex_init(&zone->mutex, NULL);
    zone->entry = memory;
    zone->bucket = (u32 *)(zone->entry + zone->count);
    zone->next = zones;
    return zones = zone;
}

static struct limit_zone *
take_zone(const char *name, u64 size)
{
    struct limit_zone *zone = zones;
    while (zone && (strcmp(zone->name, name) != 0 || zone->size != size))
        zone = zone->next;
    if (!zone)
        zone = make_zone(name, size);
    if (zone)
        zone->users++;
    return zone;
}

static void
drop_zone(struct limit_zone *zone)
{
    struct limit_zone **link = &zones;
    if (!zone || --zone->users > 0)
        return;
    while (*link != zone)
        link = &(*link)->next;
    *link = zone->next;
    munmap(zone->entry, zone->count * (sizeof(struct entry) + sizeof(u32)));
    pthread_mutex_destroy(&zone->mutex);
    free(zone->name);
    free(zone);
}

bool
limit_open(struct generation *g)
{
    const struct blob *blob = g->blob;
    g->limit_zone = calloc(blob->limit_zone_count, sizeof(struct limit_zone *));
    for (u32 i = 1; g->limit_zone && i < blob->limit_zone_count; i++) {
        const struct blob_limit_zone *record = &blob->limit_zone[i];
        g->limit_zone[i] = take_zone(blob_string(blob, record->name), record->size);
        if (!g->limit_zone[i])
            return false;
    }
    return g->limit_zone != NULL;
}

void
limit_close(struct generation *g)
{
    for (u32 i = 1; g->limit_zone && i < g->blob->limit_zone_count; i++)
        drop_zone(g->limit_zone[i]);
    free(g->limit_zone);
}

u32
limit_most(const struct blob *blob)
{
    u32 most = 0;
    for (u32 i = 1; i < blob->server_count; i++)
        most = blob->server[i].limit_count > most ? blob->server[i].limit_count : most;
    return blob->pass_count > 1 ? most * (PASS_MOST + 1) : most;
}

/* ---- keys ---- */

static u32 *
bucket_of(struct limit_zone *zone, u64 hash)
{
    return &zone->bucket[hash % zone->count];
}

static u32
kept_size(size_t size)
{
    return size < KEY_KEPT ? (u32)size : KEY_KEPT;
}

static u32
find(struct limit_zone *zone, u64 hash, const u8 *key, size_t size)
{
    u32 at = *bucket_of(zone, hash);
    while (at) {
        const struct entry *entry = &zone->entry[at - 1];
        if (entry->hash == hash && entry->size == size && memcmp(entry->kept, key, kept_size(size)) == 0)
            break;
        at = entry->next;
    }
    return at;
}

/* 1 + index of a new entry; 0: there is no room. */
static u32
add(struct limit_zone *zone, u64 hash, const u8 *key, size_t size)
{
    u32 at = zone->free;
    if (at)
        zone->free = zone->entry[at - 1].next;
    else if (zone->fresh < zone->count)
        at = ++zone->fresh;
    else
        return 0;
    struct entry *entry = &zone->entry[at - 1];
    u32 *bucket = bucket_of(zone, hash);
    *entry = (struct entry){.hash = hash, .next = *bucket, .size = (u8)size};
    memcpy(entry->kept, key, kept_size(size));
    *bucket = at;
    return at;
}

static bool
holds(const struct session *s, u32 zone, u32 entry)
{
    for (u32 i = 0; i < s->hold_count; i++)
        if (s->hold[i].zone == zone && s->hold[i].entry == entry)
            return true;
    return false;
}

static void
hold(struct session *s, u32 zone, u32 entry)
{
    if (!s->hold)
        s->hold = slab_take(&s->shard->holds);
    s->hold[s->hold_count++] = (struct hold){zone, entry};
}

/* Count the session for the key; one that was passed on may be counted for it already. False: the key has too many, or
 * there is no room. */
static bool
count_up(struct session *s, const struct blob_limit *limit, const u8 *key, size_t size)
{
    struct limit_zone *zone = s->shard->generation->limit_zone[limit->zone];
    u64 hash = blob_hash(key, size);
    pthread_mutex_lock(&zone->mutex);
    u32 at = find(zone, hash, key, size);
    bool known = at && holds(s, limit->zone, at);
    if (!at)
        at = add(zone, hash, key, size);
    else if (zone->entry[at - 1].count - known >= limit->count)
        at = 0;
    if (at && !known)
        zone->entry[at - 1].count++;
    pthread_mutex_unlock(&zone->mutex);
    if (at && !known)
        hold(s, limit->zone, at);
    return at != 0;
}

static void
count_down(struct limit_zone *zone, u32 at)
{
    struct entry *entry = &zone->entry[at - 1];
    pthread_mutex_lock(&zone->mutex);
    if (--entry->count == 0) {
        u32 *link = bucket_of(zone, entry->hash);
        while (*link != at)
            link = &zone->entry[*link - 1].next;
        *link = entry->next;
        entry->next = zone->free;
        zone->free = at;
    }
    pthread_mutex_unlock(&zone->mutex);
}

/* ---- sessions ---- */

void
limit_release(struct session *s)
{
    struct generation *g = s->shard->generation;
    for (u32 i = 0; i < s->hold_count; i++)
        count_down(g->limit_zone[s->hold[i].zone], s->hold[i].entry);
    if (s->hold)
        slab_give(&s->shard->holds, s->hold);
    s->hold = NULL;
    s->hold_count = 0;
}

static enum step
refuse(struct session *s, const struct blob_limit_zone *zone)
{
    bool dry = s->server->flags & SERVER_LIMIT_DRY_RUN;
    session_log(s, s->server->limit_level, 0, "limiting connections%s by zone \"%s\"", dry ? ", dry run," : "",
                blob_string(s->shard->blob, zone->name));
    limit_release(s);
    s->limit_status = dry ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    if (dry)
        return STEP_NEXT;
    session_end(s, CLOSE_limited);
    return STEP_ENDED;
}

/* The key of a zone for this session; its size, 0 if there is none that counts. */
static size_t
read_key(struct session *s, const struct blob_limit_zone *zone, u8 key[KEY_MAX])
{
    size_t size = expr_run(s, &s->shard->blob->expr[zone->key], key, KEY_MAX);
    if (size <= KEY_MAX)
        return size;
    session_log(s, LEVEL_ERROR, 0, "the value of the key of zone \"%s\" is more than %u bytes",
                blob_string(s->shard->blob, zone->name), KEY_MAX);
    return 0;
}

enum step
limit_step(struct session *s)
{
    const struct blob *blob = s->shard->blob;
    u8 key[KEY_MAX];
    for (u32 i = 0; i < s->server->limit_count; i++) {
        const struct blob_limit *limit = &blob->limit[s->server->limit + i];
        const struct blob_limit_zone *zone = &blob->limit_zone[limit->zone];
        size_t size = read_key(s, zone, key);
        if (size == 0)
            continue;
        if (!count_up(s, limit, key, size))
            return refuse(s, zone);
        s->limit_status = LIMIT_PASSED;
    }
    return STEP_NEXT;
}
