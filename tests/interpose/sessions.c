/*
 * Many short TCP sessions of several kinds at once, with the origins they need.
 *
 *   sessions ECHO,ECHO...,TALK KIND:PORT:COUNT:AT_ONCE...
 *
 * On 127.0.0.1. The ports of the first argument are origins of a child process: all but the last give back what they
 * get, the last sends TALK_SIZE (now and then TALK_LONG) bytes and closes. Each other argument is COUNT sessions
 * through the proxy at PORT, AT_ONCE at a time: kind e sends bytes, wants as many back and ends in one of three ways;
 * kind r reads until the end, and wants nothing; kind t reads until the end, and wants TALK_SIZE bytes or more.
 * Exit status 0 if every session went as its kind says; the number of those that did not is printed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TALK_SIZE = 20000,
    TALK_LONG = 600000,
    SHORT_SIZE = 64,
    LONG_SIZE = 40000,
    BUFFER_SIZE = 65536,
    ORIGINS_MAX = 8,
    KINDS_MAX = 16,
    EVENTS = 256,
};

struct work {
    char kind;
    unsigned port, count, at_once, started, running;
};

/* One socket: a listener, an origin's connection, or a client's. */
struct peer {
    int fd;
    bool listener, talks, shut;
    struct work *work;
    size_t size, sent, got;
    char *buffer; /* an echoing origin's: got bytes, of which sent are back */
};

static int loop_fd;
static char scratch[BUFFER_SIZE];
static unsigned wrong;

static void
die(const char *what)
{
    perror(what);
    exit(2);
}

static struct peer *
watch(int fd)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        die("calloc");
    peer->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
    return peer;
}

static void
want(struct peer *peer, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(loop_fd, EPOLL_CTL_MOD, peer->fd, &event) != 0)
        die("epoll_ctl");
}

static void
forget(struct peer *peer)
{
    close(peer->fd);
    free(peer->buffer);
    free(peer);
}

static struct sockaddr_in
loopback(unsigned port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* ---- origins ---- */

static void
origin_listen(unsigned port, bool talks)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        die("origin");
    struct peer *peer = watch(fd);
    peer->listener = true;
    peer->talks = talks;
}

static void
origin_accept(struct peer *listener)
{
    static unsigned number;
    for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct peer *peer = watch(fd);
        peer->talks = listener->talks;
        peer->size = number++ % 16 ? TALK_SIZE : TALK_LONG;
        if (peer->talks)
            want(peer, EPOLLOUT);
        else if (!(peer->buffer = malloc(BUFFER_SIZE)))
            die("malloc");
    }
}

static void
origin_talk(struct peer *peer)
{
    while (peer->sent < peer->size) {
        size_t left = peer->size - peer->sent;
        ssize_t sent = send(peer->fd, scratch, left < BUFFER_SIZE ? left : BUFFER_SIZE, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0)
            break;
        peer->sent += (size_t)sent;
    }
    forget(peer);
}

static void
origin_echo(struct peer *peer)
{
    if (peer->sent == peer->got) {
        ssize_t got = recv(peer->fd, peer->buffer, BUFFER_SIZE, 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN)
                forget(peer);
            return;
        }
        peer->got = (size_t)got;
        peer->sent = 0;
    }
    ssize_t sent = send(peer->fd, peer->buffer + peer->sent, peer->got - peer->sent, MSG_NOSIGNAL);
    if (sent > 0)
        peer->sent += (size_t)sent;
    if (sent < 0 && errno != EAGAIN)
        forget(peer);
    else
        want(peer, peer->sent == peer->got ? EPOLLIN : EPOLLOUT);
}

static void
origins(char *ports)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    loop_fd = epoll_create1(0);
    for (char *port = strtok(ports, ","), *next; port; port = next) {
        next = strtok(NULL, ",");
        origin_listen((unsigned)atoi(port), !next);
    }
    putchar('\n'); /* ready */
    fclose(stdout);
    for (;;) {
        struct epoll_event event[EVENTS];
        int count = epoll_wait(loop_fd, event, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = event[i].data.ptr;
            if (peer->listener)
                origin_accept(peer);
            else if (peer->talks)
                origin_talk(peer);
            else
                origin_echo(peer);
        }
    }
}

/* ---- clients ---- */

static void
client_start(struct work *work)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(work->port);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
        die("connect");
    struct peer *peer = watch(fd);
    peer->work = work;
    peer->size = work->kind != 'e' ? 0 : work->started % 16 ? SHORT_SIZE : LONG_SIZE;
    work->started++;
    work->running++;
    if (peer->size)
        want(peer, EPOLLIN | EPOLLOUT);
}

static void
client_end(struct peer *peer, bool good)
{
    struct work *work = peer->work;
    wrong += !good;
    forget(peer);
    work->running--;
    if (work->started < work->count)
        client_start(work);
}

/* What was asked for is here: close, reset, or say so first and wait for the end. */
static void
client_satisfied(struct peer *peer)
{
    struct linger reset = {.l_onoff = 1};
    unsigned way = peer->work->started % 3;
    if (way == 0 && !peer->shut) {
        shutdown(peer->fd, SHUT_WR);
        peer->shut = true;
        return;
    }
    if (way == 1)
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_end(peer, true);
}

/* The end as the other side gave it: was all here that this kind of session wants? */
static bool
client_is_content(const struct peer *peer, ssize_t last)
{
    switch (peer->work->kind) {
    case 'e':
        return peer->shut && peer->got == peer->size;
    case 't':
        return last == 0 && peer->got >= TALK_SIZE;
    default:
        return peer->got == 0;
    }
}

static void
client_turn(struct peer *peer)
{
    if (peer->sent < peer->size) {
        ssize_t sent = send(peer->fd, scratch, peer->size - peer->sent, MSG_NOSIGNAL);
        peer->sent += sent > 0 ? (size_t)sent : 0;
        if (peer->sent == peer->size)
            want(peer, EPOLLIN);
    }
    for (;;) {
        ssize_t got = recv(peer->fd, scratch, BUFFER_SIZE, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            client_end(peer, client_is_content(peer, got));
            return;
        }
        peer->got += (size_t)got;
        if (peer->size && peer->got == peer->size && !peer->shut) {
            client_satisfied(peer);
            return;
        }
    }
}

static unsigned
running(const struct work *work, int count)
{
    unsigned sum = 0;
    for (int i = 0; i < count; i++)
        sum += work[i].running;
    return sum;
}

static void
clients(struct work *work, int count)
{
    loop_fd = epoll_create1(0);
    for (int i = 0; i < count; i++)
        while (work[i].running < work[i].at_once && work[i].started < work[i].count)
            client_start(&work[i]);
    while (running(work, count)) {
        struct epoll_event event[EVENTS];
        int ready = epoll_wait(loop_fd, event, EVENTS, 30000);
        if (ready == 0) {
            fprintf(stderr, "%u sessions hang\n", running(work, count));
            exit(1);
        }
        for (int i = 0; i < ready; i++)
            client_turn(event[i].data.ptr);
    }
}

int
main(int count, char **words)
{
    struct work work[KINDS_MAX] = {0};
    int kinds = count - 2, ready[2];
    if (kinds < 1 || kinds > KINDS_MAX || pipe(ready) != 0)
        return 2;
    for (int i = 0; i < kinds; i++)
        if (sscanf(words[i + 2], "%c:%u:%u:%u", &work[i].kind, &work[i].port, &work[i].count, &work[i].at_once) != 4)
            return 2;
    pid_t child = fork();
    if (child == 0) {
        dup2(ready[1], STDOUT_FILENO);
        origins(words[1]);
    }
    close(ready[1]);
    if (read(ready[0], scratch, 1) != 1)
        return 2;
    clients(work, kinds);
    kill(child, SIGKILL);
    printf("%u went wrong\n", wrong);
    return wrong ? 1 : 0;
}
