/* What count.c writes and the test reads, in a file that both map. tests/interpose/run has the same layout. */
#ifndef COUNT_H
#define COUNT_H

#include <stdatomic.h>

enum { COUNT_PROCESSES = 16, COUNT_CALLERS = 16, COUNT_CALLER_SIZE = 192 };

enum count_kind {
    COUNT_MALLOC,
    COUNT_CALLOC,
    COUNT_REALLOC,
    COUNT_FREE,
    COUNT_POSIX_MEMALIGN,
    COUNT_ALIGNED_ALLOC,
    COUNT_MMAP,
    COUNT_KINDS
};

static const char *const count_name[COUNT_KINDS] = {
    "malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "mmap",
};

struct count_process {
    atomic_uint pid;
    atomic_uint caller_count;
    atomic_ullong before[COUNT_KINDS];
    atomic_ullong armed[COUNT_KINDS];
    char caller[COUNT_CALLERS][COUNT_CALLER_SIZE];
};

struct count_file {
    atomic_uint armed;
    atomic_uint deliberate;
    struct count_process process[COUNT_PROCESSES];
};

#endif
