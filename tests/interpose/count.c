/*
 * Counts heap allocations of a process it is preloaded into (LD_PRELOAD), in a file that the test maps, too.
 *
 * In: the environment variable COUNT_FILE, a file of sizeof(struct count_file) bytes. Out: for each process, how often
 * each function was called before and while `armed` was set, and who called it first while armed. With `deliberate`
 * set, every accept() allocates once on purpose, so that the test can see that it sees.
 */
#define _GNU_SOURCE
#include "count.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names for what is replaced here: no dlsym(), which allocates, is needed to find them. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static struct count_file *shared;

__attribute__((constructor)) static void
count_open(void)
{
    const char *path = getenv("COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    long at = syscall(SYS_mmap, NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != -1)
        shared = (struct count_file *)at;
}

/* The slot of this process: taken at its first call. */
static struct count_process *
slot_of_process(void)
{
    unsigned pid = (unsigned)getpid();
    for (unsigned i = 0; i < COUNT_PROCESSES; i++) {
        unsigned owner = 0;
        if (atomic_compare_exchange_strong(&shared->process[i].pid, &owner, pid) || owner == pid)
            return &shared->process[i];
    }
    abort();
}

static void
note_caller(struct count_process *process, enum count_kind kind, void *caller)
{
    unsigned at = atomic_fetch_add(&process->caller_count, 1);
    if (at >= COUNT_CALLERS)
        return;
    Dl_info info = {0};
    dladdr(caller, &info);
    snprintf(process->caller[at], sizeof process->caller[at], "%s from %s+0x%zx %s", count_name[kind],
             info.dli_fname ? info.dli_fname : "?", (size_t)((char *)caller - (char *)info.dli_fbase),
             info.dli_sname ? info.dli_sname : "");
}

static void
count(enum count_kind kind, void *caller)
{
    if (!shared)
        return;
    struct count_process *process = slot_of_process();
    if (!atomic_load(&shared->armed)) {
        atomic_fetch_add(&process->before[kind], 1);
        return;
    }
    atomic_fetch_add(&process->armed[kind], 1);
    note_caller(process, kind, caller);
}

#define COUNT(kind) count(kind, __builtin_return_address(0))

void *
malloc(size_t size)
{
    COUNT(COUNT_MALLOC);
    return __libc_malloc(size);
}

void *
calloc(size_t count_, size_t size)
{
    COUNT(COUNT_CALLOC);
    return __libc_calloc(count_, size);
}

void *
realloc(void *old, size_t size)
{
    COUNT(COUNT_REALLOC);
    return __libc_realloc(old, size);
}

void
free(void *memory)
{
    if (memory)
        COUNT(COUNT_FREE);
    __libc_free(memory);
}

int
posix_memalign(void **memory, size_t alignment, size_t size)
{
    COUNT(COUNT_POSIX_MEMALIGN);
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    COUNT(COUNT_ALIGNED_ALLOC);
    return __libc_memalign(alignment, size);
}

void *
mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    COUNT(COUNT_MMAP);
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

/* ---- the test of the test ---- */

static void
allocate_on_purpose(void)
{
    if (!shared || !atomic_load(&shared->deliberate))
        return;
    /* As the process itself finds them: were they not ours, the test would be blind and has to notice. */
    void *(*their_malloc)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
    void (*their_free)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
    their_free(their_malloc(1));
}

int
accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
    allocate_on_purpose();
    return (int)syscall(SYS_accept4, fd, address, size, flags);
}

int
accept(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    return accept4(fd, address, size, 0);
}
