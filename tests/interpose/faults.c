/*
 * Calls of a process it is preloaded into (LD_PRELOAD) fail, as the file named in FAULTS_FILE says: three numbers for
 * each of the calls below, in this order, which the test maps and changes: how many go well before, how many fail then,
 * and with which errno. Of SLOW_THREAD the second is for how many milliseconds a new thread sleeps before it begins.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call { CALL_SEND_FDS, CALL_FORK, CALL_ACCEPT, CALL_SLOW_THREAD, CALL_MEMORY, CALL_COUNT };

struct fault {
    _Atomic int before, count, error;
};

static struct fault *faults;

__attribute__((constructor)) static void
faults_open(void)
{
    const char *path = getenv("FAULTS_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, CALL_COUNT * sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        faults = at;
}

/* Does this call fail? Then errno is set. */
static int
fails(enum call call)
{
    struct fault *fault = faults ? &faults[call] : NULL;
    if (!fault || atomic_load(&fault->count) == 0)
        return 0;
    if (atomic_load(&fault->before) > 0) {
        atomic_fetch_sub(&fault->before, 1);
        return 0;
    }
    atomic_fetch_sub(&fault->count, 1);
    errno = atomic_load(&fault->error);
    return 1;
}

/* The function that has the name of this one, in the library behind. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Messages with descriptors only. */
ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (message->msg_control && CMSG_FIRSTHDR(message)->cmsg_type == SCM_RIGHTS && fails(CALL_SEND_FDS))
        return -1;
    return REAL(sendmsg)(fd, message, flags);
}

static int is_server; /* the child of the process that was started */

pid_t
fork(void)
{
    pid_t child = fails(CALL_FORK) ? -1 : REAL(fork)();
    is_server |= child == 0;
    return child;
}

/* Memory, in the server alone. dlsym() needs some, so the real ones are asked by the names that glibc has for them. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

void *
malloc(size_t size)
{
    return is_server && fails(CALL_MEMORY) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    return is_server && fails(CALL_MEMORY) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *memory, size_t size)
{
    return is_server && fails(CALL_MEMORY) ? NULL : __libc_realloc(memory, size);
}

void *
mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (is_server && flags & MAP_ANONYMOUS && fails(CALL_MEMORY))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

/* The connection is lost, as if something had refused it. */
int
accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int client = REAL(accept4)(fd, address, size, flags);
    if (client < 0 || !fails(CALL_ACCEPT))
        return client;
    int error = errno;
    close(client);
    errno = error;
    return -1;
}

struct start {
    void *(*run)(void *);
    void *data;
};

static void *
start_late(void *given)
{
    struct start start = *(struct start *)given;
    free(given);
    usleep((useconds_t)atomic_load(&faults[CALL_SLOW_THREAD].count) * 1000);
    return start.run(start.data);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data)
{
    struct start *start = faults && atomic_load(&faults[CALL_SLOW_THREAD].count) ? malloc(sizeof *start) : NULL;
    if (!start)
        return REAL(pthread_create)(thread, attributes, run, data);
    *start = (struct start){run, data};
    return REAL(pthread_create)(thread, attributes, start_late, start);
}
