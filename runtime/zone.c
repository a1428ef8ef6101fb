/*
 * Zones: memory of the size that the configuration gives it, in which keys have a number each, shared by all workers
 * and generations. A reload keeps a zone if it has the same name, size and kind. What the number means is limit.c's,
 * where it counts sessions, and pace.c's, where it is a time.
 */
#include "spcd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KEY_KEPT = 43 };

/* Of a long key the hash, the size and its beginning tell it from others. */
struct entry {
    u64 hash, value;
    u32 next; /* 1 + index, in its bucket or among those that are free */
    u8 size, kept[KEY_KEPT]; /* size 0: it is free */
};

struct zone {
    struct zone *next;
    char *name;
    u64 size;
    bool paced;
    u32 users; /* generations */
    pthread_mutex_t mutex;
    u32 *bucket; /* 1 + index of its first entry */
    struct entry *entry;
    u32 count, fresh, free; /* of entries; those from fresh on were never taken; free: 1 + index */
    u32 hand;               /* where zone_sweep() goes on */
    double said;            /* when a datagram was last logged to have been refused */
};

static struct zone *zones; /* the control thread's */

static struct zone *
make_zone(const char *name, u64 size, bool paced)
{
    struct zone *zone = calloc(1, sizeof *zone);
    u64 count = size / (sizeof(struct entry) + sizeof(u32));
    if (!zone)
        return NULL;
    *zone = (struct zone){.name = strdup(name), .size = size, .paced = paced};
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

static struct zone *
take_zone(const char *name, u64 size, bool paced)
{
    struct zone *zone = zones;
    while (zone && (strcmp(zone->name, name) != 0 || zone->size != size || zone->paced != paced))
        zone = zone->next;
    if (!zone)
        zone = make_zone(name, size, paced);
    if (zone)
        zone->users++;
    return zone;
}

static void
drop_zone(struct zone *zone)
{
    struct zone **link = &zones;
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
zone_open(struct generation *g)
{
    const struct blob *blob = g->blob;
    g->zone = calloc(blob->limit_zone_count, sizeof(struct zone *));
    for (u32 i = 1; g->zone && i < blob->limit_zone_count; i++) {
        const struct blob_limit_zone *record = &blob->limit_zone[i];
        g->zone[i] = take_zone(blob_string(blob, record->name), record->size,
                               record->interval_ns != 0);
        if (!g->zone[i])
            return false;
    }
    return g->zone != NULL;
}

void
zone_close(struct generation *g)
{
    for (u32 i = 1; g->zone && i < g->blob->limit_zone_count; i++)
        drop_zone(g->zone[i]);
    free(g->zone);
}

/* ---- keys ---- */

void
zone_lock(struct zone *zone)
{
    pthread_mutex_lock(&zone->mutex);
}

void
zone_unlock(struct zone *zone)
{
    pthread_mutex_unlock(&zone->mutex);
}

u64 *
zone_value(struct zone *zone, u32 entry)
{
    return &zone->entry[entry - 1].value;
}

static u32 *
bucket_of(struct zone *zone, u64 hash)
{
    return &zone->bucket[hash % zone->count];
}

static u32
kept_size(size_t size)
{
    return size < KEY_KEPT ? (u32)size : KEY_KEPT;
}

u32
zone_find(struct zone *zone, const u8 *key, size_t size)
{
    u64 hash = blob_hash(key, size);
    u32 at = *bucket_of(zone, hash);
    while (at) {
        const struct entry *entry = &zone->entry[at - 1];
        if (entry->hash == hash && entry->size == size && memcmp(entry->kept, key, kept_size(size)) == 0)
            break;
        at = entry->next;
    }
    return at;
}

u32
zone_add(struct zone *zone, const u8 *key, size_t size)
{
    u64 hash = blob_hash(key, size);
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

void
zone_remove(struct zone *zone, u32 at)
{
    struct entry *entry = &zone->entry[at - 1];
    u32 *link = bucket_of(zone, entry->hash);
    while (*link != at)
        link = &zone->entry[*link - 1].next;
    *link = entry->next;
    entry->next = zone->free;
    entry->size = 0;
    zone->free = at;
}

void
zone_sweep(struct zone *zone, u64 least, u32 most)
{
    for (u32 i = 0; i < most && i < zone->fresh; i++) {
        zone->hand = zone->hand < zone->fresh ? zone->hand + 1 : 1;
        const struct entry *entry = &zone->entry[zone->hand - 1];
        if (entry->size && entry->value <= least)
            zone_remove(zone, zone->hand);
    }
}

bool
zone_is_full(const struct zone *zone)
{
    return !zone->free && zone->fresh == zone->count;
}

/* A connection costs its client something, a datagram does not: it shall not fill the disk. */
bool
zone_may_say(struct session *s, const struct blob_limit_zone *record)
{
    struct generation *g = s->shard->generation;
    struct zone *zone = g->zone[record - g->blob->limit_zone];
    if (!session_is_udp(s))
        return true;
    zone_lock(zone);
    bool again = log_again(&zone->said, session_now(s));
    zone_unlock(zone);
    return again;
}

size_t
zone_key(struct session *s, const struct blob_limit_zone *record, u8 key[ZONE_KEY_MAX])
{
    const struct blob *blob = s->shard->blob;
    size_t size = expr_run(s, &blob->expr[record->key], key, ZONE_KEY_MAX);
    if (size <= ZONE_KEY_MAX)
        return size;
    session_log(s, LEVEL_ERROR, 0, "the value of the key of zone \"%s\" is more than %u bytes",
                blob_string(blob, record->name), ZONE_KEY_MAX);
    return 0;
}
