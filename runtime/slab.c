/*
 * Slabs: pieces of one size from memory that is set aside before it is needed. The kernel gives a page when
 * it is first touched, and pieces given back are taken again first, so what was never needed costs nothing.
 */
#include "spcd.h"

#include <sys/mman.h>

bool
slab_open(struct slab *slab, size_t size, u32 count)
{
    *slab = (struct slab){0};
    if (count == 0)
        return true;
    size = (size + 15) & ~(size_t)15;
    void *base = mmap(NULL, size * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    *slab = (struct slab){.base = base, .size = size, .count = count};
    return true;
}

void
slab_close(struct slab *slab)
{
    if (slab->base)
        munmap(slab->base, slab->size * slab->count);
    slab->base = NULL;
}

void *
slab_take(struct slab *slab)
{
    void *piece = slab->free;
    if (piece)
        slab->free = *(void **)piece;
    else if (slab->fresh < slab->count)
        piece = slab->base + slab->size * slab->fresh++;
    return piece;
}

void
slab_give(struct slab *slab, void *piece)
{
    *(void **)piece = slab->free;
    slab->free = piece;
}
