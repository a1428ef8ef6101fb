/*
 * The memory that is set aside for TLS: pieces never overlap, whichever thread takes or gives them; when the region is
 * used up the answer is NULL; what comes back serves for other sizes.
 */
#include "../../runtime/tls/module.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

void *OPENSSL_memory_alloc(size_t size);
void OPENSSL_memory_free(void *memory);

enum { REGION = 8 << 20, PIECES = 1 << 16, SLOTS = 512, TURNS = 200000, THREADS = 3 };

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

/* ---- one thread ---- */

static u8 *piece[PIECES];

/* How many of that size there are. */
static u32
take_all(size_t size)
{
    u32 count = 0;
    while (count < PIECES && (piece[count] = OPENSSL_memory_alloc(size)))
        count++;
    return count;
}

static void
give_all(u32 count)
{
    while (count > 0)
        OPENSSL_memory_free(piece[--count]);
}

static void
try_sizes(void)
{
    report(!OPENSSL_memory_alloc((size_t)1 << 40), "more than there can be");
    report(memory_suffices(), "there is enough");
    u32 large = take_all(100000);
    report(large > REGION / 2 / 100000 && large <= REGION / 100000, "large pieces until nothing is left");
    report(!memory_suffices(), "then there is not enough");
    give_all(large);
    report(memory_suffices(), "there is enough again");
    u32 again = take_all(100000);
    report(again == large, "as many large pieces as before");
    give_all(again);
    u32 small = take_all(300);
    report(small > REGION / 2 / 300, "small pieces of what were large ones");
    give_all(small);
    u32 mixed = take_all(280);
    report(mixed >= small, "smaller pieces of what were small ones");
    give_all(mixed);
}

/* ---- several threads ---- */

/* Pieces that wait for whoever gives them back: their size stands in front, and the rest is full of its lowest byte. */
static _Atomic(u8 *) slot[SLOTS];
static atomic_int spoilt;

static void
check(const u8 *memory)
{
    size_t size = *(const size_t *)(const void *)memory;
    for (size_t i = sizeof size; i < size; i++)
        if (memory[i] != (u8)size) {
            atomic_store(&spoilt, 1);
            return;
        }
}

static u8 *
make(size_t size)
{
    u8 *memory = OPENSSL_memory_alloc(size);
    if (!memory)
        return NULL;
    memset(memory, (u8)size, size);
    *(size_t *)(void *)memory = size;
    return memory;
}

static void *
exchange(void *seed)
{
    u32 random = *(u32 *)seed;
    for (u32 i = 0; i < TURNS; i++) {
        random = random * 1664525 + 1013904223;
        size_t size = sizeof size + (random >> 8) % (random >> 30 == 0 ? 50000 : 500);
        u8 *old = atomic_exchange(&slot[random % SLOTS], make(size));
        if (old)
            check(old);
        OPENSSL_memory_free(old);
    }
    return NULL;
}

static void
try_threads(void)
{
    pthread_t thread[THREADS];
    u32 seed[THREADS];
    for (u32 i = 0; i < THREADS; i++) {
        seed[i] = i * 7919 + 1;
        pthread_create(&thread[i], NULL, exchange, &seed[i]);
    }
    for (u32 i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (u32 i = 0; i < SLOTS; i++) {
        u8 *last = atomic_exchange(&slot[i], NULL);
        if (last)
            check(last);
        OPENSSL_memory_free(last);
    }
    report(!atomic_load(&spoilt), "no piece is another's, in three threads");
    report(memory_suffices(), "and there is enough in the end");
}

int
main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    report(memory_open(REGION), "a region is set aside");
    try_sizes();
    try_threads();
    return failures != 0;
}
