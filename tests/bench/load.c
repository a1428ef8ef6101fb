/* The load generator, the origin and the floor of tests/bench/bench.py, one program. Loopback only; every
 * subcommand is bounded in count and in time. Origin and start print one line of JSON; a client prints one when it
 * could begin, waits for a byte (or the end) of standard input, and prints another when it is done. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    int arguments;              /* at least so many after the name */
    const char *usage;
} COMMANDS[] = {
    { "origin", origin_main, 1, "echo|close|bulk|hold        serve until standard input ends; prints the port" },
    { "floor",  floor_main,  3, "copy|splice|gulp PORT ORIGIN [PORTS]    the barest proxy, until standard input ends" },
    { "short",  short_main,  5, "PORT COUNT AT_ONCE SECONDS client|server [EVERY_MS]     who closes first" },
    { "ping",   ping_main,   4, "PORT COUNT AT_ONCE SECONDS [EVERY_MS]    64 bytes there and back" },
    { "named",  named_main,  5, "PORT COUNT AT_ONCE SECONDS NAMES     short, each with a ClientHello for a name" },
    { "bulk",   bulk_main,   4, "PORT AT_ONCE UP_BYTES DOWN_BYTES            bytes on each connection" },
    { "hold",   hold_main,   2, "PORT COUNT                  one ping each, then idle until standard input ends" },
    { "start",  start_main,  4, "PORT CPU SECONDS PROGRAM [ARGUMENT]...      time to the first connection" },
    { "greeted", greeted_main, 4, "the same, of a server that speaks by itself" },
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0] };

u64
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}

void
die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

u64
number(const char *text, u64 most)
{
    char *end;
    errno = 0;
    u64 value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || *text == '-' || value > most) {
        fprintf(stderr, "load: %s: not a number up to %llu\n", text, (unsigned long long)most);
        exit(2);
    }
    return value;
}

static struct sockaddr_in
loopback(u16 port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

int
listen_on(u16 port, u16 *got_port)
{
    struct sockaddr_in address = loopback(port);
    socklen_t size = sizeof address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 65535) != 0
        || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    *got_port = ntohs(address.sin_port);
    return fd;
}

/* A connection begun, not necessarily made; -1 when it failed at once. */
int
connect_to(u16 port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

void
watch(int epoll_fd, int fd, u32 events)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

/* The driver holds the other end of standard input: when the driver goes, so do we. */
void
close_on_input_end(int epoll_fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.fd = STDIN_FILENO };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0 && errno != EPERM)
        die("epoll_ctl");
}

size_t
descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max < 1u << 20 ? limit.rlim_max : 1u << 20;
}

static int
usage(void)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stderr, "%s load %s %s\n", i == 0 ? "usage:" : "      ", COMMANDS[i].name, COMMANDS[i].usage);
    return 2;
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(LIFE_SECONDS);
    for (int i = 0; argc > 1 && i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], COMMANDS[i].name) == 0 && argc - 2 >= COMMANDS[i].arguments)
            return COMMANDS[i].run(argc - 2, argv + 2);
    return usage();
}
