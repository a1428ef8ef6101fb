/*
 * The shortest possible relay of queries: the least that any proxy has to ask of the system, and nothing else. Sockets
 * towards the origin are kept and used again at once, whose late answers nobody minds.
 *
 *     datagram_floor PORT ORIGIN
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BATCH = 64, SOCKETS = 16384, SIZE = 2048, BUFFER = 1 << 20 };

struct batch {
    struct mmsghdr message[BATCH];
    struct iovec part[BATCH];
    struct sockaddr_in peer[BATCH];
    char data[BATCH][SIZE];
};

static struct batch queries, answers;
static struct sockaddr_in client[SOCKETS], origin; /* whose query a socket carries */
static int kept[SOCKETS], kept_count, events;

static struct sockaddr_in
loopback(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void
prepare(struct batch *batch, int i, size_t size)
{
    batch->part[i] = (struct iovec){batch->data[i], size};
    batch->message[i].msg_hdr = (struct msghdr){&batch->peer[i], sizeof batch->peer[i], &batch->part[i], 1, NULL, 0, 0};
}

static void
watch(int fd)
{
    epoll_ctl(events, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.fd = fd}});
}

static int
new_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= SOCKETS || connect(fd, (struct sockaddr *)&origin, sizeof origin) != 0)
        exit(2);
    watch(fd);
    return fd;
}

static void
take_queries(int listener)
{
    for (int i = 0; i < BATCH; i++)
        prepare(&queries, i, SIZE);
    int count = recvmmsg(listener, queries.message, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        int fd = kept_count > 0 ? kept[--kept_count] : new_socket();
        client[fd] = queries.peer[i];
        send(fd, queries.data[i], queries.message[i].msg_len, 0);
    }
}

static int
take_answer(int fd, int at)
{
    ssize_t size = recv(fd, answers.data[at], SIZE, 0);
    if (size < 0)
        return at;
    answers.peer[at] = client[fd];
    prepare(&answers, at, (size_t)size);
    kept[kept_count++] = fd;
    return at + 1;
}

int
main(int count, char **argument)
{
    if (count != 3)
        return 2;
    struct sockaddr_in address = loopback(argument[1]);
    int listener = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    origin = loopback(argument[2]);
    events = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0)
        return 2;
    watch(listener);
    for (;;) {
        struct epoll_event ready[BATCH];
        int ready_count = epoll_wait(events, ready, BATCH, -1), answered = 0;
        for (int i = 0; i < ready_count; i++) {
            if (ready[i].data.fd == listener)
                take_queries(listener);
            else
                answered = take_answer(ready[i].data.fd, answered);
        }
        if (answered > 0)
            sendmmsg(listener, answers.message, (unsigned)answered, 0);
    }
}
