/* The origin: what the proxies proxy to. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct request request;     /* bulk: what is still to come and to go */
    size_t request_size;        /* bulk: how much of the request has been read */
    size_t done_size;           /* bulk: how much of the last word has been sent */
    u64 got_bytes;
};

enum outcome { GOES_ON, ENDS };

static struct peer *peers;      /* by descriptor */
static char buffer[CHUNK_SIZE];

/* The messages are small and in lock-step, so an answer that does not fit at once is an error. */
static enum outcome
echo(int fd, struct peer *peer)
{
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0)
        return errno == EAGAIN ? GOES_ON : ENDS;
    peer->got_bytes += (u64)got;
    return got > 0 && write(fd, buffer, (size_t)got) == got ? GOES_ON : ENDS;
}

static enum outcome
echo_then_close(int fd, struct peer *peer)
{
    return echo(fd, peer) == GOES_ON && peer->got_bytes < MESSAGE_SIZE ? GOES_ON : ENDS;
}

/* Never reads; the only event it is watched for is the end. */
static enum outcome
hold(int fd, struct peer *peer)
{
    (void)fd;
    (void)peer;
    return ENDS;
}

static enum outcome
bulk_read(int fd, struct peer *peer)
{
    while (peer->request_size < sizeof peer->request) {
        char *at = (char *)&peer->request + peer->request_size;
        ssize_t got = read(fd, at, sizeof peer->request - peer->request_size);
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? GOES_ON : ENDS;
        peer->request_size += (size_t)got;
    }
    for (;;) {                  /* MSG_TRUNC: TCP throws the bytes away uncopied, so that we are not the bottleneck */
        ssize_t got = recv(fd, buffer, sizeof buffer, MSG_TRUNC);
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? GOES_ON : ENDS;
        if ((u64)got > peer->request.up_bytes)
            return ENDS;        /* more than was announced: the proxy made bytes up */
        peer->request.up_bytes -= (u64)got;
    }
}

static enum outcome
bulk(int fd, struct peer *peer)
{
    if (bulk_read(fd, peer) == ENDS)
        return ENDS;
    if (peer->request_size < sizeof peer->request)
        return GOES_ON;
    while (peer->request.down_bytes > 0) {
        u64 size = peer->request.down_bytes < sizeof buffer ? peer->request.down_bytes : sizeof buffer;
        ssize_t sent = send(fd, buffer, (size_t)size, 0);
        if (sent < 0)
            return errno == EAGAIN ? GOES_ON : ENDS;
        peer->request.down_bytes -= (u64)sent;
    }
    if (peer->request.up_bytes == 0 && peer->done_size < DONE_SIZE) {
        ssize_t sent = send(fd, buffer, DONE_SIZE - peer->done_size, 0);
        if (sent < 0)
            return errno == EAGAIN ? GOES_ON : ENDS;
        peer->done_size += (size_t)sent;
    }
    return GOES_ON;
}

static const struct {
    const char *name;
    enum outcome (*serve)(int fd, struct peer *peer);
    u32 events;
} MODES[] = {
    { "echo",  echo,            EPOLLIN },
    { "close", echo_then_close, EPOLLIN },
    { "bulk",  bulk,            EPOLLIN | EPOLLOUT | EPOLLET },
    { "hold",  hold,            EPOLLHUP },
};
enum { MODE_COUNT = sizeof MODES / sizeof MODES[0] };

static void
accept_batch(int epoll_fd, int listener, u32 events, size_t limit)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if ((size_t)fd >= limit) {
            close(fd);
            continue;
        }
        peers[fd] = (struct peer){ 0 };
        watch(epoll_fd, fd, events);
    }
}

static int
serve(int mode)
{
    u16 port;
    size_t limit = descriptor_limit();
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(0, &port);
    struct epoll_event events[EVENT_COUNT];

    peers = calloc(limit, sizeof *peers);
    if (peers == NULL || epoll_fd < 0)
        die("origin");
    watch(epoll_fd, listener, EPOLLIN);
    close_on_input_end(epoll_fd);
    printf("{\"port\": %u}\n", port);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                return 0;
            if (fd == listener)
                accept_batch(epoll_fd, listener, MODES[mode].events, limit);
            else if (events[i].events & EPOLLERR || MODES[mode].serve(fd, &peers[fd]) == ENDS)
                close(fd);
        }
    }
}

int
origin_main(int argc, char **argv)
{
    (void)argc;
    for (int mode = 0; mode < MODE_COUNT; mode++)
        if (strcmp(argv[0], MODES[mode].name) == 0)
            return serve(mode);
    errno = EINVAL;
    die(argv[0]);
}
