/*
 * The load of the benchmark for datagrams: clients, and an origin that sends back what it hears.
 *
 *     datagrams origin PORT
 *     datagrams query PORT COUNT SOCKETS      one datagram and its answer each, from SOCKETS ports in turn
 *     datagrams flow PORT COUNT SIZE JOINED   8 sockets, datagrams of SIZE bytes and their answers, JOINED in one piece
 *     datagrams hold PORT COUNT               so many clients with a datagram and its answer, until standard input ends
 *
 * Everything on 127.0.0.1. A client prints "SENT ANSWERED MEAN_US" and ends; what is not answered in a second is lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, WINDOW = 32, FLOWS = 8, PIECE = 65536, QUERY_SIZE = 64, PATIENCE_MS = 1000 };

static struct sockaddr_in
loopback(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static double
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int
new_socket(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (fd < 0 || (to && connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)) {
        perror("datagrams: socket");
        exit(2);
    }
    return fd;
}

/* ---- the origin ---- */

static struct {
    struct mmsghdr message[BATCH];
    struct iovec part[BATCH];
    struct sockaddr_in from[BATCH];
    _Alignas(struct cmsghdr) char control[BATCH][64];
    char data[BATCH][PIECE];
} in;

static void
prepare(int i)
{
    in.part[i] = (struct iovec){in.data[i], PIECE};
    in.message[i].msg_hdr = (struct msghdr){&in.from[i], sizeof in.from[i], &in.part[i], 1, in.control[i],
                                            sizeof in.control[i], 0};
}

/* Send it back as it came: the piece that was put together is taken apart alike. */
static void
turn_round(int i)
{
    struct msghdr *header = &in.message[i].msg_hdr;
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    in.part[i].iov_len = in.message[i].msg_len;
    header->msg_flags = 0;
    if (!control) {
        header->msg_controllen = 0;
        return;
    }
    unsigned short segment = (unsigned short)*(int *)(void *)CMSG_DATA(control);
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
    header->msg_controllen = CMSG_SPACE(sizeof segment);
}

static int
origin(const char *port)
{
    struct sockaddr_in address = loopback(port);
    int fd = new_socket(NULL), on = 1;
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 2;
    for (;;) {
        for (int i = 0; i < BATCH; i++)
            prepare(i);
        int count = recvmmsg(fd, in.message, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < count; i++)
            turn_round(i);
        for (int done = 0, sent; done < count; done += sent > 0 ? sent : 1)
            sent = sendmmsg(fd, in.message + done, (unsigned)(count - done), 0);
    }
}

/* ---- clients ---- */

static void
print_result(long sent, long answered, double total_us)
{
    printf("%ld %ld %.1f\n", sent, answered, answered ? total_us / (double)answered : 0);
}

static int
query(const char *port, long count, int sockets)
{
    struct sockaddr_in address = loopback(port);
    struct pollfd wait[WINDOW];
    double began[WINDOW], total = 0;
    char data[QUERY_SIZE] = "query";
    long sent = 0, answered = 0;
    int window = sockets < WINDOW ? sockets : WINDOW;
    int *fd = calloc((size_t)sockets, sizeof *fd);
    for (int i = 0; i < sockets; i++)
        fd[i] = new_socket(&address);
    for (int i = 0; i < window && sent < count; i++, sent++) {
        wait[i] = (struct pollfd){fd[i], POLLIN, 0};
        began[i] = now_us();
        send(wait[i].fd, data, sizeof data, 0);
    }
    while (answered < count && poll(wait, (nfds_t)window, PATIENCE_MS) > 0) {
        for (int i = 0; i < window; i++) {
            if (!wait[i].revents || recv(wait[i].fd, data, sizeof data, MSG_DONTWAIT) < 0)
                continue;
            answered++;
            total += now_us() - began[i];
            if (sent == count)
                continue;
            if (sockets > window) { /* the one that has been quiet for longest */
                int *next = &fd[window + sent % (sockets - window)], used = wait[i].fd;
                wait[i].fd = *next;
                *next = used;
            }
            began[i] = now_us();
            send(wait[i].fd, data, sizeof data, 0);
            sent++;
        }
    }
    print_result(sent, answered, total);
    return 0;
}

static void
send_joined(int fd, char *data, int size, int joined)
{
    struct iovec part = {data, (size_t)size * (size_t)joined};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(unsigned short))];
    struct msghdr header = {NULL, 0, &part, 1, control, sizeof control, 0};
    struct cmsghdr *segment = CMSG_FIRSTHDR(&header);
    segment->cmsg_level = IPPROTO_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof(unsigned short));
    *(unsigned short *)(void *)CMSG_DATA(segment) = (unsigned short)size;
    sendmsg(fd, &header, 0);
}

static int
flow(const char *port, long count, int size, int joined)
{
    enum { ROUND = 16 };
    static char data[PIECE], back[PIECE];
    struct sockaddr_in address = loopback(port);
    struct pollfd wait[FLOWS];
    long sent = 0, answered = 0;
    double started = now_us();
    for (int i = 0; i < FLOWS; i++)
        wait[i] = (struct pollfd){new_socket(&address), POLLIN, 0};
    while (sent < count) {
        for (int k = 0; k < ROUND; k += joined)
            for (int i = 0; i < FLOWS; i++)
                if (joined > 1)
                    send_joined(wait[i].fd, data, size, joined);
                else
                    send(wait[i].fd, data, (size_t)size, 0);
        sent += ROUND * FLOWS;
        long goal = sent - (long)ROUND * FLOWS / 4;
        while (answered < goal && poll(wait, FLOWS, PATIENCE_MS) > 0)
            for (int i = 0; i < FLOWS; i++)
                while (wait[i].revents && recv(wait[i].fd, back, sizeof back, MSG_DONTWAIT) >= 0)
                    answered++;
        if (answered < goal)
            break;
    }
    while (answered < sent && poll(wait, FLOWS, PATIENCE_MS / 4) > 0)
        for (int i = 0; i < FLOWS; i++)
            while (recv(wait[i].fd, back, sizeof back, MSG_DONTWAIT) >= 0)
                answered++;
    print_result(sent, answered, now_us() - started);
    return 0;
}

static int
hold(const char *port, long count)
{
    struct sockaddr_in address = loopback(port);
    long answered = 0;
    char data[QUERY_SIZE] = "hold";
    for (long i = 0; i < count; i++) {
        struct pollfd wait = {new_socket(&address), POLLIN, 0};
        send(wait.fd, data, sizeof data, 0);
        answered += poll(&wait, 1, PATIENCE_MS) > 0 && recv(wait.fd, data, sizeof data, MSG_DONTWAIT) > 0;
    }
    print_result(count, answered, 0);
    fflush(stdout);
    while (read(STDIN_FILENO, data, sizeof data) > 0)
        continue;
    return 0;
}

int
main(int count, char **argument)
{
    if (count == 3 && strcmp(argument[1], "origin") == 0)
        return origin(argument[2]);
    if (count == 5 && strcmp(argument[1], "query") == 0)
        return query(argument[2], atol(argument[3]), atoi(argument[4]));
    if (count == 6 && strcmp(argument[1], "flow") == 0)
        return flow(argument[2], atol(argument[3]), atoi(argument[4]), atoi(argument[5]));
    if (count == 4 && strcmp(argument[1], "hold") == 0)
        return hold(argument[2], atol(argument[3]));
    fprintf(stderr, "usage: datagrams origin|query|flow|hold PORT ...\n");
    return 2;
}
