/*
 * All memory of BoringSSL: from a region that is set aside at start-up, so that a flood of handshakes ends in refusals
 * and not in growth. A free piece is kept for the next of its size; sizes go up in quarters of a doubling. Each thread
 * keeps a few for itself, so that it seldom needs the lock of those that all share. When the region is used up, larger
 * pieces are cut: what a flood has left behind does for whoever comes next.
 */
#include "module.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER = 16,          /* before each piece: its class and its size; keeps what follows aligned */
    CLASS_COUNT = 80,     /* the largest has 32 MiB */
    GRAIN = 32,           /* bytes, the smallest */
    CONNECTION = 1 << 17, /* what a handshake may need at most, and something over */
    KEPT = 1 << 20,       /* what a thread keeps for itself */
};

/* Free pieces, by class, each with the address of the next behind its header. */
struct pool {
    void *piece[CLASS_COUNT];
    atomic_size_t size;
};

static u8 *base;
static size_t size_of_region;
static atomic_size_t used;
static __thread __attribute__((tls_model("initial-exec"))) struct pool mine;
static struct pool shared;
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

bool
memory_open(size_t size)
{
    for (; size >= 1 << 22; size /= 2) { /* where the system is strict about promises, a smaller one */
        void *region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (region == MAP_FAILED)
            continue;
        size_of_region = size;
        base = region;
        return true;
    }
    return false;
}

static size_t
size_of_pool(const struct pool *pool)
{
    return atomic_load_explicit(&pool->size, memory_order_relaxed);
}

bool
memory_suffices(void)
{
    return size_of_region - atomic_load_explicit(&used, memory_order_relaxed) + size_of_pool(&mine) +
               size_of_pool(&shared) >=
           CONNECTION;
}

/* ---- sizes ---- */

/* The bytes of a piece of that class, its header among them: 32, 40, 48, 56, 64, 80, 96, ... to the next multiple of
 * the header's. */
static size_t
room_of(u32 class)
{
    return (((size_t)GRAIN / 4 * (4 + class % 4) << class / 4) + HEADER - 1) & ~(size_t)(HEADER - 1);
}

static u32
class_of(size_t size)
{
    if (size <= GRAIN)
        return 0;
    u32 doublings = 63 - (u32)__builtin_clzl((size - 1) / GRAIN | 1);
    u32 class = doublings * 4;
    while (class < CLASS_COUNT && room_of(class) < size)
        class++;
    return class;
}

/* ---- pieces ---- */

static void
resize(struct pool *pool, size_t more)
{
    atomic_store_explicit(&pool->size, size_of_pool(pool) + more, memory_order_relaxed);
}

static void
pool_give(struct pool *pool, u8 *piece, u32 class)
{
    *(u64 *)(void *)piece = class;
    *(void **)(void *)(piece + HEADER) = pool->piece[class];
    pool->piece[class] = piece;
    resize(pool, room_of(class));
}

static u8 *
pool_take(struct pool *pool, u32 class)
{
    u8 *piece = pool->piece[class];
    if (!piece)
        return NULL;
    pool->piece[class] = *(void **)(void *)(piece + HEADER);
    resize(pool, -room_of(class));
    return piece;
}

/* Cut one from the smallest that is larger; the rest becomes pieces as large as can be. */
static u8 *
pool_cut(struct pool *pool, u32 class)
{
    u32 larger = class + 1;
    while (larger < CLASS_COUNT && !pool->piece[larger])
        larger++;
    u8 *piece = larger < CLASS_COUNT ? pool_take(pool, larger) : NULL;
    if (!piece)
        return NULL;
    u8 *rest = piece + room_of(class);
    size_t left = room_of(larger) - room_of(class);
    for (u32 of_rest = larger; of_rest-- > 0;)
        for (; left >= room_of(of_rest); left -= room_of(of_rest), rest += room_of(of_rest))
            pool_give(pool, rest, of_rest);
    return piece;
}

/* From the end of what was ever used. */
static u8 *
extend(size_t room)
{
    size_t at = atomic_load_explicit(&used, memory_order_relaxed), next;
    do {
        if (size_of_region - at < room)
            return NULL;
        next = at + room;
    } while (!atomic_compare_exchange_weak_explicit(&used, &at, next, memory_order_relaxed, memory_order_relaxed));
    return base + at;
}

static u8 *
take_shared(u32 class, u8 *(*how)(struct pool *pool, u32 class))
{
    if (!size_of_pool(&shared))
        return NULL;
    pthread_mutex_lock(&shared_lock);
    u8 *piece = how(&shared, class);
    pthread_mutex_unlock(&shared_lock);
    return piece;
}

static u8 *
find_piece(u32 class)
{
    u8 *piece = pool_take(&mine, class);
    if (!piece)
        piece = take_shared(class, pool_take);
    if (!piece)
        piece = extend(room_of(class));
    if (!piece)
        piece = pool_cut(&mine, class);
    return piece ? piece : take_shared(class, pool_cut);
}

static void *
take(size_t size)
{
    u32 class = size < (size_t)1 << 31 ? class_of(size + HEADER) : CLASS_COUNT;
    u8 *piece = class < CLASS_COUNT ? find_piece(class) : NULL;
    if (!piece)
        return NULL;
    ((u64 *)(void *)piece)[0] = class;
    ((u64 *)(void *)piece)[1] = size;
    return piece + HEADER;
}

static size_t
size_of(const void *memory)
{
    return ((const u64 *)memory)[-1];
}

static void
give(void *memory)
{
    u8 *piece = (u8 *)memory - HEADER;
    u32 class = (u32)*(u64 *)(void *)piece;
    if (size_of_pool(&mine) + room_of(class) <= KEPT) {
        pool_give(&mine, piece, class);
        return;
    }
    pthread_mutex_lock(&shared_lock);
    pool_give(&shared, piece, class);
    pthread_mutex_unlock(&shared_lock);
}

/* ---- what BoringSSL calls instead of malloc(); what is given back may have held a key ---- */

#define EXPORT __attribute__((visibility("default")))

EXPORT void *OPENSSL_memory_alloc(size_t size);
EXPORT void OPENSSL_memory_free(void *memory);
EXPORT size_t OPENSSL_memory_get_size(void *memory);

void *
OPENSSL_memory_alloc(size_t size)
{
    return take(size);
}

void
OPENSSL_memory_free(void *memory)
{
    if (!memory)
        return;
    explicit_bzero(memory, size_of(memory));
    give(memory);
}

size_t
OPENSSL_memory_get_size(void *memory)
{
    return memory ? size_of(memory) : 0;
}

/* ---- where it calls malloc() nevertheless: for records ---- */

/* The module is loaded so that it and BoringSSL find these first, and nobody else does. Sanitizers want their own. */
#ifndef __SANITIZE_ADDRESS__

void *__libc_malloc(size_t size);
void __libc_free(void *memory);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool
is_ours(const void *memory)
{
    return (const u8 *)memory - base >= 0 && (size_t)((const u8 *)memory - base) < size_of_region;
}

EXPORT void *
malloc(size_t size)
{
    return base ? take(size) : __libc_malloc(size); /* libraries' constructors come before there is a region */
}

EXPORT void
free(void *memory)
{
    if (is_ours(memory))
        give(memory);
    else
        __libc_free(memory);
}

EXPORT void *
calloc(size_t count, size_t size)
{
    size_t total;
    if (!base)
        return __libc_calloc(count, size);
    void *memory = __builtin_mul_overflow(count, size, &total) ? NULL : take(total);
    return memory ? memset(memory, 0, total) : NULL;
}

EXPORT void *
realloc(void *memory, size_t size)
{
    if (memory && !is_ours(memory))
        return __libc_realloc(memory, size);
    void *moved = malloc(size);
    if (memory && moved) {
        memcpy(moved, memory, size_of(memory) < size ? size_of(memory) : size);
        give(memory);
    }
    return moved;
}

#endif
