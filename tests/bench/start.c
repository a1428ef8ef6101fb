/* How long from fork to the first connection made, and to the first that a message went through. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_NS = 50000 };      /* between two tries: two CPUs may be one core, and what spins on one slows the other */

static _Noreturn void
become(int cpu, char **argv)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int nothing = open("/dev/null", O_RDWR);    /* not standard error: what the program complains of is worth reading */
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

/* Waits for an event on a socket for at most 200 ms: enough for any proxy that has begun to serve. */
static bool
wait_for(int fd, short events)
{
    struct pollfd waiting = { .fd = fd, .events = events };
    return poll(&waiting, 1, 200) == 1 && !(waiting.revents & (POLLERR | POLLHUP));
}

/* Connects, sends a message and reads its echo, or only reads what a server says by itself; notes when the connection
 * stood. */
static bool
try(u16 port, bool silent, u64 *accepted_ns)
{
    char message[MESSAGE_SIZE] = { 0 };
    int fd = connect_to(port);
    bool served = false;
    if (fd < 0)
        return false;
    if (wait_for(fd, POLLOUT)) {
        if (*accepted_ns == 0)
            *accepted_ns = now_ns();
        served = (silent || send(fd, message, sizeof message, 0) == sizeof message) && wait_for(fd, POLLIN)
                 && recv(fd, message, sizeof message, 0) > 0;
    }
    close(fd);
    return served;
}

static void
stop(pid_t child)
{
    kill(child, SIGTERM);
    for (int i = 0; i < 500; i++) {
        if (waitpid(child, NULL, WNOHANG) == child) {
            kill(-child, SIGKILL);
            return;
        }
        usleep(10000);
    }
    kill(-child, SIGKILL);
    waitpid(child, NULL, 0);
}

static int
measure(bool silent, char **argv)
{
    u16 port = (u16)number(argv[0], 65535);
    int cpu = (int)number(argv[1], 1023);
    u64 accepted_ns = 0, served_ns = 0, begun_ns = now_ns();
    u64 stop_ns = begun_ns + number(argv[2], 300) * 1000000000u;
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        become(cpu, argv + 3);
    bool lives = true;
    prctl(PR_SET_TIMERSLACK, 1);
    while (served_ns == 0 && now_ns() < stop_ns && (lives = waitpid(child, NULL, WNOHANG) == 0)) {
        if (try(port, silent, &accepted_ns))
            served_ns = now_ns();
        else
            nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
    }
    if (lives)
        stop(child);
    if (served_ns == 0) {
        fprintf(stderr, "load: %s: never served\n", argv[3]);
        return 1;
    }
    printf("{\"accepted_us\": %.1f, \"served_us\": %.1f}\n", (double)(accepted_ns - begun_ns) / 1e3,
           (double)(served_ns - begun_ns) / 1e3);
    return 0;
}

int
start_main(int argc, char **argv)
{
    (void)argc;
    return measure(false, argv);
}

int
greeted_main(int argc, char **argv)
{
    (void)argc;
    return measure(true, argv);
}
