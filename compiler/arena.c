/*
 * Memory of one compilation: chunks that are freed together, vectors and byte maps over them. Nothing is ever
 * given back before the end; a vector that doubles leaves at most its own size behind.
 */
#include "spcc.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 64 * 1024, ALIGNMENT = 16 };
enum { FIRST_VECTOR_SIZE = 48 /* bytes; two words: most statements have no more */, FIRST_MAP_CAPACITY = 8 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(ALIGNMENT) u8 byte[];
};

static _Noreturn void
die_of_memory(void)
{
    fputs("spcc: out of memory\n", stderr);
    exit(2);
}

static struct arena_chunk *
add_chunk(struct arena *arena, size_t size)
{
    if (size < CHUNK_SIZE)
        size = CHUNK_SIZE;
    struct arena_chunk *chunk = calloc(1, sizeof *chunk + size);
    if (chunk == NULL)
        die_of_memory();
    chunk->size = size;
    chunk->next = arena->chunk;
    arena->chunk = chunk;
    return chunk;
}

void *
arena_take(struct arena *arena, size_t size)
{
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *chunk = arena->chunk;
    if (chunk == NULL || chunk->size - chunk->used < size)
        chunk = add_chunk(arena, size);
    void *piece = chunk->byte + chunk->used;
    chunk->used += size;
    return piece;
}

char *
arena_text(struct arena *arena, const char *text, size_t size)
{
    char *copy = arena_take(arena, size + 1);
    if (size > 0)
        memcpy(copy, text, size);
    return copy;
}

char *
arena_vprint(struct arena *arena, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = arena_take(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    return text;
}

char *
arena_print(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vprint(arena, format, arguments);
    va_end(arguments);
    return text;
}

void
arena_free(struct arena *arena)
{
    while (arena->chunk != NULL) {
        struct arena_chunk *next = arena->chunk->next;
        free(arena->chunk);
        arena->chunk = next;
    }
}

void *
vector_extend(struct arena *arena, struct vector *vector, size_t size, u32 count)
{
    u32 first = size < FIRST_VECTOR_SIZE ? FIRST_VECTOR_SIZE / (u32)size : 1;
    u64 capacity = vector->capacity ? vector->capacity : first;
    while (capacity - vector->count < count)
        capacity *= 2;
    if (capacity > UINT32_MAX)
        die_of_memory();
    if (capacity != vector->capacity) {
        void *item = arena_take(arena, capacity * size);
        if (vector->count > 0)
            memcpy(item, vector->item, vector->count * size);
        vector->item = item;
        vector->capacity = (u32)capacity;
    }
    vector->count += count;
    return (u8 *)vector->item + (vector->count - count) * size;
}

void *
vector_add(struct arena *arena, struct vector *vector, size_t size)
{
    return vector_extend(arena, vector, size, 1);
}

/* ---- maps: open addressing, a power of two, at most half full ---- */

struct map_slot {
    const void *key; /* NULL: free */
    size_t size;
    u32 hash, value;
};

static u32
hash_of(const u8 *byte, size_t size)
{
    u32 hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 16777619u;
    return hash;
}

static struct map_slot *
slot_of(const struct map *map, const void *key, size_t size, u32 hash)
{
    u32 at = hash & (map->capacity - 1);
    for (;; at = (at + 1) & (map->capacity - 1)) {
        struct map_slot *slot = &map->slot[at];
        if (slot->key == NULL || (slot->hash == hash && slot->size == size && memcmp(slot->key, key, size) == 0))
            return slot;
    }
}

static void
grow(struct arena *arena, struct map *map)
{
    struct map old = *map;
    map->capacity = old.capacity ? old.capacity * 2 : FIRST_MAP_CAPACITY;
    map->slot = arena_take(arena, map->capacity * sizeof *map->slot);
    for (u32 i = 0; i < old.capacity; i++)
        if (old.slot[i].key != NULL)
            *slot_of(map, old.slot[i].key, old.slot[i].size, old.slot[i].hash) = old.slot[i];
}

static u32 *
slot_value(struct arena *arena, struct map *map, const void *key, size_t size, bool copy)
{
    if (map->count >= map->capacity / 2)
        grow(arena, map);
    u32 hash = hash_of(key, size);
    struct map_slot *slot = slot_of(map, key, size, hash);
    if (slot->key == NULL) {
        *slot = (struct map_slot){.key = copy ? arena_text(arena, key, size) : key, .size = size, .hash = hash};
        map->count++;
    }
    return &slot->value;
}

u32 *
map_at(struct arena *arena, struct map *map, const void *key, size_t size)
{
    return slot_value(arena, map, key, size, false);
}

u32 *
map_at_copy(struct arena *arena, struct map *map, const void *key, size_t size)
{
    return slot_value(arena, map, key, size, true);
}

u32
map_find(const struct map *map, const void *key, size_t size)
{
    return map->capacity == 0 ? 0 : slot_of(map, key, size, hash_of(key, size))->value;
}
