/*
 * jail [-w] PROGRAM ARGUMENT...: runs PROGRAM where little more is possible than to open for reading, to read, to
 * write to standard output and error, and to end. With -w one new file may be made, written and put into place.
 * Whatever else it asks of the kernel ends it with SIGSYS.
 * There is nothing random either: getrandom() is not there, and the C library does without.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "say here what the kernel calls this machine"
#endif

enum { NEW_FILE = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, LONGEST = 256 };

static struct sock_filter filter[LONGEST];
static unsigned count;

static void
add(uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
    if (count == LONGEST)
        abort();
    filter[count++] = (struct sock_filter){code, yes, no, value};
}

static void
load(size_t offset)
{
    add(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The lower half of an argument; what is compared here is no larger. */
static void
load_argument(unsigned index)
{
    load(offsetof(struct seccomp_data, args) + 8 * index);
}

static void
answer(uint32_t with)
{
    add(BPF_RET | BPF_K, with, 0, 0);
}

/* The next LENGTH instructions are for this call; behind them the call's number is loaded still. */
static void
on(long call, uint8_t length)
{
    add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, length);
}

static void
allow(long call)
{
    on(call, 1);
    answer(SECCOMP_RET_ALLOW);
}

/* Where of the argument the bits of the mask are the value; else it ends. */
static void
allow_where(long call, unsigned argument, uint32_t mask, uint32_t value)
{
    on(call, 5);
    load_argument(argument);
    add(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    answer(SECCOMP_RET_ALLOW);
    answer(SECCOMP_RET_KILL_PROCESS);
}

/* With the same pointer: only this program knows where its own text lies. */
static void
allow_with_pointer(long call, const void *pointer)
{
    on(call, 6);
    load_argument(0);
    add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uintptr_t)pointer, 0, 3);
    load(offsetof(struct seccomp_data, args) + 4);
    add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)((uintptr_t)pointer >> 32), 0, 1);
    answer(SECCOMP_RET_ALLOW);
    answer(SECCOMP_RET_KILL_PROCESS);
}

static void
allow_reading(void)
{
    static const long always[] = {
        SYS_read, SYS_pread64, SYS_close, SYS_lseek, SYS_dup, SYS_fstat, SYS_newfstatat, SYS_getdents64, SYS_faccessat,
        SYS_readlinkat, SYS_getcwd, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
        SYS_exit_group, SYS_exit, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_futex,
        SYS_sysinfo, /* by qsort(): is there memory to sort in? */
#ifdef __x86_64__
        SYS_arch_prctl, SYS_access, SYS_readlink, SYS_stat, SYS_lstat,
#endif
    };
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        allow(always[i]);
    allow_where(SYS_ioctl, 1, ~0u, TCGETS); /* isatty() */
    allow_where(SYS_prlimit64, 2, ~0u, 0);  /* ask, do not set */
    on(SYS_getrandom, 1);
    answer(SECCOMP_RET_ERRNO | ENOSYS);
}

/* What is open for reading cannot be written to, so write() itself needs no limit. */
static void
allow_writing(bool new_file)
{
    static const long into_place[] = {
        SYS_fsync, SYS_fchmod, SYS_fchown, SYS_renameat2,
#ifdef __x86_64__
        SYS_rename,
#else
        SYS_renameat,
#endif
    };
    allow(SYS_write);
    if (new_file) {
        for (size_t i = 0; i < sizeof into_place / sizeof *into_place; i++)
            allow(into_place[i]);
        on(SYS_openat, 4);
        load_argument(2);
        add(BPF_JMP | BPF_JEQ | BPF_K, NEW_FILE, 0, 1);
        answer(SECCOMP_RET_ALLOW);
        load(offsetof(struct seccomp_data, nr));
    }
    allow_where(SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, O_RDONLY);
}

static void
close_the_door(const char *program, bool new_file)
{
    load(offsetof(struct seccomp_data, arch));
    add(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(struct seccomp_data, nr));
    allow_with_pointer(SYS_execve, program);
    allow_reading();
    allow_writing(new_file);
    answer(SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog whole = {(unsigned short)count, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) != 0) {
        perror("jail: the kernel takes no filter");
        exit(99);
    }
}

int
main(int argument_count, char **argument)
{
    bool new_file = argument_count > 1 && strcmp(argument[1], "-w") == 0;
    char **command = argument + 1 + new_file;
    if (*command == NULL) {
        fputs("usage: jail [-w] PROGRAM ARGUMENT...\n", stderr);
        return 99;
    }
    close_the_door(command[0], new_file);
    execv(command[0], command);
    return 99; /* nothing can be said any more that the filter would not take for spcc's */
}
