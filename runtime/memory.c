/*
 * Memory for libraries that allocate while traffic flows: libev's arrays grow with the descriptors that it
 * watches. They draw from a region that is set aside at start-up and costs nothing until it is touched, so
 * the heap is left alone. Pieces are powers of two; a free one is kept for the next that needs its size.
 */
#include "spcd.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CLASS_FIRST = 6, CLASS_COUNT = 40, HEADER = 16 }; /* from 64 bytes on */
enum { CLASS_LARGE = 16, PAGE = 4096 };                   /* 64 KB */

static struct {
    pthread_mutex_t mutex;
    u8 *base;
    size_t size, used;
    void *free[CLASS_COUNT];
} region = {.mutex = PTHREAD_MUTEX_INITIALIZER};

bool
memory_open(size_t size)
{
    for (; size >= 1 << 20; size /= 2) { /* where the system is strict about promises, a smaller one */
        void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            continue;
        region.base = base;
        region.size = size;
        return true;
    }
    return false;
}

static u32
class_of(size_t size)
{
    u32 class = CLASS_FIRST;
    while ((size_t)1 << class < size + HEADER)
        class++;
    return class;
}

static void *
take(size_t size)
{
    u32 class = class_of(size);
    pthread_mutex_lock(&region.mutex);
    u8 *piece = region.free[class];
    if (piece) {
        region.free[class] = *(void **)(void *)(piece + HEADER);
    } else if (region.size - region.used >= (size_t)1 << class) {
        piece = region.base + region.used;
        region.used += (size_t)1 << class;
    }
    pthread_mutex_unlock(&region.mutex);
    if (!piece)
        return NULL;
    *(u64 *)(void *)piece = class;
    return piece + HEADER;
}

/* What a large array leaves behind when it has grown goes back to the system, but for the page that it begins in. */
static void
empty(u8 *piece, size_t size)
{
    u8 *first = (u8 *)(((uintptr_t)piece + PAGE) & ~(uintptr_t)(PAGE - 1)), *end = piece + size;
    madvise(first, (size_t)(end - first) & ~(size_t)(PAGE - 1), MADV_DONTNEED);
}

static void
give(void *memory)
{
    u8 *piece = (u8 *)memory - HEADER;
    u64 class = *(u64 *)(void *)piece;
    if (class >= CLASS_LARGE)
        empty(piece, (size_t)1 << class);
    pthread_mutex_lock(&region.mutex);
    *(void **)memory = region.free[class];
    region.free[class] = piece;
    pthread_mutex_unlock(&region.mutex);
}

void *
memory_resize(void *memory, long size)
{
    if (size <= 0) {
        if (memory)
            give(memory);
        return NULL;
    }
    if (!memory)
        return take((size_t)size);
    size_t room = ((size_t)1 << *(u64 *)(void *)((u8 *)memory - HEADER)) - HEADER;
    if (room >= (size_t)size)
        return memory;
    void *moved = take((size_t)size);
    if (moved) {
        memcpy(moved, memory, room);
        give(memory);
    }
    return moved;
}
