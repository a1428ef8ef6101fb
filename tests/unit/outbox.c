/*
 * What goes through an outbox arrives whole, once, and in the order of its way, whatever was put between, joined or
 * held back; what does not arrive was counted.
 */
#include "spcd.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAYS = 24, UNIX_WAYS = 4, TURNS = 4000, LARGEST = 3000, LABEL = 8 };

/* A socket and who hears it: the datagrams carry the number of their way and their own. */
struct way {
    int from, to;
    u32 put, heard; /* numbers: the next that is put; more than the last that was heard */
    u64 arrived;
    bool is_unix;
};

static struct way way[WAYS];
static struct outbox *outbox;
static struct ev_loop *loop;
static u64 lost, refused;
static int failures;
static u32 seed = 1;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

static u32
chance(u32 below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static bool
open_inet(struct way *one)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int room = 64 << 20;
    one->to = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    one->from = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(one->to, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return bind(one->to, (struct sockaddr *)&at, sizeof at) == 0 &&
           getsockname(one->to, (struct sockaddr *)&at, &size) == 0 &&
           connect(one->from, (struct sockaddr *)&at, sizeof at) == 0;
}

static bool
open_unix(struct way *one)
{
    int pair[2];
    one->is_unix = true;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) != 0)
        return false;
    one->from = pair[0];
    one->to = pair[1];
    return true;
}

/* The datagram of that number on that way, whose content follows from both. */
static void
write_datagram(u8 *data, u32 size, u32 index, u32 number)
{
    memset(data, (int)(index + number), size);
    memcpy(data, &index, sizeof index);
    memcpy(data + sizeof index, &number, sizeof number);
}

/* One to eight datagrams of a size, the last perhaps shorter. */
static void
put(u32 index)
{
    static u8 data[8 * LARGEST], one[LARGEST];
    static const struct local_ip any;
    struct way *w = &way[index];
    union client_address to = {.any.sa_family = w->is_unix ? AF_UNIX : AF_UNSPEC};
    u32 segment = chance(4) ? 100 : LABEL + chance(LARGEST - LABEL), count = chance(3) ? 1 : 1 + chance(8);
    u32 size = segment * count - (chance(4) ? 0 : chance(segment - LABEL + 1)), at = 0;
    for (u32 part; at < size; at += part) {
        part = size - at < segment ? size - at : segment;
        write_datagram(one, part, index, w->put++);
        memcpy(data + at, one, part);
    }
    if (!outbox_put(outbox, w->from, &to, &any, data, size, segment))
        refused += count;
}

static bool
hear(u32 index)
{
    static u8 data[LARGEST + 1], expected[LARGEST];
    struct way *w = &way[index];
    u32 label[2];
    for (ssize_t size; (size = recv(w->to, data, sizeof data, 0)) >= 0; w->arrived++) {
        if (size < LABEL || size > LARGEST)
            return false;
        memcpy(label, data, sizeof label);
        write_datagram(expected, (u32)size, index, label[1]);
        if (label[0] != index || label[1] < w->heard || label[1] >= w->put || memcmp(data, expected, (size_t)size) != 0)
            return false;
        w->heard = label[1] + 1;
    }
    return true;
}

/* Unix sockets that nobody reads from for long take no more: what goes through them is held, and others go on. */
static bool
play(bool with_unix)
{
    bool good = true;
    u32 first = with_unix ? 0 : UNIX_WAYS;
    for (u32 turn = 0; turn < TURNS; turn++) {
        for (u32 count = chance(80); count > 0; count--)
            put(first + chance(WAYS - first));
        ev_run(loop, EVRUN_NOWAIT);
        for (u32 i = 0; i < WAYS; i++)
            if (!way[i].is_unix || chance(20) == 0)
                good &= hear(i);
        if (chance(200) == 0)
            outbox_flush(outbox, way[chance(WAYS)].from); /* which is put to again: its socket is not closed */
    }
    for (u32 i = 0; i < WAYS * 8; i++) {
        good &= hear(i % WAYS);
        ev_run(loop, EVRUN_NOWAIT);
    }
    return good;
}

static void
count(u64 *put_count, u64 *arrived)
{
    *put_count = *arrived = 0;
    for (u32 i = 0; i < WAYS; i++) {
        *put_count += way[i].put;
        *arrived += way[i].arrived;
    }
}

int
main(void)
{
    u64 put_count, arrived;
    bool good = true;
    loop = ev_loop_new(EVBACKEND_EPOLL);
    outbox = outbox_open(loop);
    outbox_start(outbox, &lost);
    for (u32 i = 0; i < WAYS; i++)
        good &= i < UNIX_WAYS ? open_unix(&way[i]) : open_inet(&way[i]);
    report(good, "sockets");
    report(play(false), "each way keeps its order, its datagrams whole");
    count(&put_count, &arrived);
    report(put_count > TURNS && put_count == arrived && lost == 0 && refused == 0, "nothing is lost");
    report(play(true), "with unix sockets that take nothing for long");
    count(&put_count, &arrived);
    report(put_count == arrived + lost + refused, "what does not arrive is counted");
    report(lost > 0, "some could not be held");
    outbox_close(outbox);
    ev_loop_destroy(loop);
    return failures > 0;
}
