/* The floor: the shortest sequence of system calls we know that still does a proxy's work. It has no limits, no
 * time-outs, no logs and no back-pressure worth the name: it says what the kernel alone costs. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE_SIZE = 1 << 20 };

struct half {
    int peer;
    int pipe[2];                /* splice: the bytes on their way from this end to the other */
    size_t queued_size;
    bool stuck;                 /* gulp: the other end takes no more for now */
};

struct mode {
    const char *name;
    bool (*pump)(int fd, bool ending);  /* move bytes from this end to the other; false: the session is over */
    bool splices;
    u32 events;
};

static struct half *halves;     /* by descriptor */
static char buffer[64 * 1024];
static const struct mode *mode;
static u16 origin_port;
static int epoll_fd;

static void
end(int fd)
{
    int ends[2] = { fd, halves[fd].peer };
    for (int i = 0; i < 2; i++) {
        if (mode->splices) {
            close(halves[ends[i]].pipe[0]);
            close(halves[ends[i]].pipe[1]);
        }
        halves[ends[i]].peer = -1;      /* an event for it may still be in the batch in hand */
        close(ends[i]);
    }
}

/* Rarely the upstream is not connected yet (its backlog was full); then, and only then, this waits for it. */
static bool
write_all(int fd, const char *data, ssize_t size)
{
    ssize_t sent = write(fd, data, (size_t)size);
    if (sent < 0 && errno == EAGAIN) {
        struct pollfd waiting = { .fd = fd, .events = POLLOUT };
        poll(&waiting, 1, 1000);
        sent = write(fd, data, (size_t)size);
    }
    return sent == size;
}

/* A short read has emptied the socket, so it need not be asked again, unless an end was announced too. */
static bool
pump_copy(int fd, bool ending)
{
    ssize_t got;
    do {
        got = read(fd, buffer, sizeof buffer);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        if (!write_all(halves[fd].peer, buffer, got))
            return false;
    } while (ending || got == sizeof buffer);
    return true;
}

static void
watch_again(int fd)
{
    struct epoll_event event = { .data.fd = fd };
    event.events = (halves[fd].stuck ? 0 : EPOLLIN | EPOLLRDHUP) | (halves[halves[fd].peer].stuck ? EPOLLOUT : 0);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
        die("epoll_ctl");
}

/* Moves what there is, at most a pipe full; sets errno to EAGAIN and returns -1 when one side cannot go on. */
static ssize_t
gulp(int fd)
{
    struct half *half = &halves[fd];
    ssize_t moved;
    if (half->queued_size == 0) {
        moved = splice(fd, NULL, half->pipe[1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved <= 0)
            return moved;
        half->queued_size = (size_t)moved;
    }
    while (half->queued_size > 0) {
        moved = splice(half->pipe[0], NULL, half->peer, NULL, half->queued_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved < 0)
            return moved;
        half->queued_size -= (size_t)moved;
    }
    return 1;
}

/* Edge-triggered: until nothing comes or nothing goes. */
static bool
pump_splice(int fd, bool ending)
{
    (void)ending;
    ssize_t moved;
    do
        moved = gulp(fd);
    while (moved > 0);
    return moved < 0 && errno == EAGAIN;
}

/* Level-triggered: one gulp, then back to epoll, which says again what is left, so that the sender may fill the socket
 * meanwhile. While the receiver is full, the receiver is watched in place of this end. */
static bool
pump_gulp(int fd, bool ending)
{
    (void)ending;
    struct half *half = &halves[fd];
    ssize_t moved = gulp(fd);
    if (moved == 0 || (moved < 0 && errno != EAGAIN))
        return false;
    if (half->stuck != (half->queued_size > 0)) {
        half->stuck = half->queued_size > 0;
        watch_again(fd);
        watch_again(half->peer);
    }
    return true;
}

static void
begin(int client)
{
    int upstream = connect_to(origin_port);
    if (upstream < 0) {
        close(client);
        return;
    }
    halves[client] = (struct half){ .peer = upstream };
    halves[upstream] = (struct half){ .peer = client };
    if (mode->splices) {
        int ends[2] = { client, upstream };
        for (int i = 0; i < 2; i++) {
            if (pipe2(halves[ends[i]].pipe, O_NONBLOCK | O_CLOEXEC) != 0)
                die("pipe2");
            fcntl(halves[ends[i]].pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
        }
    } else if (!pump_copy(client, false)) {
        end(client);
        return;
    }
    watch(epoll_fd, client, mode->events);
    watch(epoll_fd, upstream, mode->events);
}

static const struct mode MODES[] = {
    { "copy",   pump_copy,   false, EPOLLIN | EPOLLRDHUP | EPOLLET },
    { "splice", pump_splice, true,  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET },
    { "gulp",   pump_gulp,   true,  EPOLLIN | EPOLLRDHUP },
};
enum { MODE_COUNT = sizeof MODES / sizeof MODES[0] };

static void
ready(int fd, u32 events)
{
    bool goes_on = true;
    int peer = halves[fd].peer;
    if (peer < 0)
        return;
    if (events & EPOLLOUT && halves[peer].queued_size > 0)
        goes_on = mode->pump(peer, false);
    if (goes_on && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) && !halves[fd].stuck)
        goes_on = mode->pump(fd, events & EPOLLRDHUP);
    if (!goes_on || events & EPOLLERR)
        end(fd);
}

/* Consecutive ports give consecutive descriptors: the first one, and how many, are all there is to know. */
static int
open_listeners(u16 port, int count)
{
    int first = listen_on(port, &port);
    for (int i = 1; i < count; i++) {
        u16 next = (u16)(port + i);
        if (listen_on(next, &next) != first + i)
            die("floor: descriptors in between");
    }
    return first;
}

static void
accept_all(int listener)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
            return;
        begin(client);
    }
}

int
floor_main(int argc, char **argv)
{
    int listeners = argc > 3 ? (int)number(argv[3], 65535) : 1;
    int listener = open_listeners((u16)number(argv[1], 65535), listeners);
    struct epoll_event events[EVENT_COUNT];

    for (int i = 0; i < MODE_COUNT; i++)
        if (strcmp(argv[0], MODES[i].name) == 0)
            mode = &MODES[i];
    if (mode == NULL) {
        errno = EINVAL;
        die(argv[0]);
    }
    origin_port = (u16)number(argv[2], 65535);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    halves = calloc(descriptor_limit(), sizeof *halves);
    if (halves == NULL || epoll_fd < 0)
        die("floor");
    for (int i = 0; i < listeners; i++)
        watch(epoll_fd, listener + i, EPOLLIN);
    close_on_input_end(epoll_fd);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                return 0;
            if (fd >= listener && fd < listener + listeners)
                accept_all(fd);
            else
                ready(fd, events[i].events);
        }
    }
}
