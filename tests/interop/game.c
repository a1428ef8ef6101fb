/*
 * Players and game servers, in one process, with a proxy between them.
 *
 *     game FRONT BACK SERVERS PLAYERS TICKS
 *
 * PLAYERS sockets send to FRONT, SERVERS sockets stand on the ports from BACK on; all on 127.0.0.1. Sixty times a
 * second each player sends a datagram, and each server one to each player that it has heard. A datagram says whose it
 * is, from which server, and its number, so that whoever takes it knows if it is for him and if one is missing before
 * it. Where the machine is slow the ticks are late: no more is on its way than WAITING, for nobody measures time here.
 *
 * "half" is printed when half of the ticks are done; and in the end, after what is still on its way has come, all that
 * was counted, as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { RATE = 60, SIZE = 100, WAITING = 4000, EVENTS = 256, BURST = 32, BUFFER = 8 << 20, PORTS = 65536, NOBODY = -1 };
enum { QUIET_MS = 1000, DEADLINE_S = 40 };

struct said {
    int player, server;
    unsigned number;
    char rest[SIZE - 12];
};

struct player {
    int fd, server; /* the server that it is with */
    unsigned sent, next;
};

/* Of a server: whom it hears from a port of the proxy's. */
struct peer {
    int player;
    unsigned sent, next;
};

static struct {
    struct player *player;
    struct peer (*peer)[PORTS]; /* for each server */
    int *server, players, servers, poll;
    struct {
        long sent_up, got_up, sent_down, got_down, crossed, disordered, moved, refused;
    } count;
} game;

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct sockaddr_in
loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* id: of a player from 0 on, of a server from -1 down. */
static int
open_socket(int port, int id)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = BUFFER;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)id};
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if ((id < 0 ? bind : connect)(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        epoll_ctl(game.poll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("game: socket");
        exit(2);
    }
    return fd;
}

static void
player_hears(int id, const struct said *said)
{
    struct player *player = &game.player[id];
    game.count.got_down++;
    game.count.crossed += said->player != id;
    game.count.moved += player->server != NOBODY && player->server != said->server;
    game.count.disordered += said->number != player->next;
    player->server = said->server;
    player->next = said->number + 1;
}

static void
server_hears(int id, const struct said *said, int port)
{
    struct peer *peer = &game.peer[id][port];
    game.count.got_up++;
    game.count.crossed += peer->player != NOBODY && peer->player != said->player;
    game.count.disordered += said->number != peer->next;
    peer->player = said->player;
    peer->next = said->number + 1;
}

static void
hear(int id)
{
    int fd = id < 0 ? game.server[-1 - id] : game.player[id].fd;
    struct sockaddr_in from;
    struct said said;
    for (int i = 0; i < BURST; i++) {
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(fd, &said, sizeof said, 0, (struct sockaddr *)&from, &size);
        if (got < 0)
            return;
        if (got != SIZE)
            game.count.crossed++;
        else if (id < 0)
            server_hears(-1 - id, &said, ntohs(from.sin_port));
        else
            player_hears(id, &said);
    }
}

static long
on_their_way(void)
{
    return game.count.sent_up + game.count.sent_down - game.count.got_up - game.count.got_down;
}

/* Until the time has come and no more than so many are on their way; at most QUIET_MS in which none comes. */
static void
hear_all(double until, long waiting)
{
    struct epoll_event event[EVENTS];
    for (;;) {
        double left = until - now();
        bool is_late = left <= 0;
        if (is_late && on_their_way() <= waiting)
            return;
        int count = epoll_wait(game.poll, event, EVENTS, is_late ? QUIET_MS : (int)(left * 1000) + 1);
        if (count <= 0 && is_late)
            return;
        for (int i = 0; i < count; i++)
            hear((int)event[i].data.u32);
    }
}

static void
players_speak(void)
{
    for (int i = 0; i < game.players; i++) {
        struct said said = {.player = i, .server = NOBODY, .number = game.player[i].sent};
        if (send(game.player[i].fd, &said, sizeof said, 0) != SIZE)
            game.count.refused++;
        else
            game.count.sent_up++, game.player[i].sent++;
    }
}

static void
server_speaks(int id)
{
    for (int port = 0; port < PORTS; port++) {
        struct peer *peer = &game.peer[id][port];
        if (peer->player == NOBODY)
            continue;
        struct sockaddr_in to = loopback(port);
        struct said said = {.player = peer->player, .server = id, .number = peer->sent};
        if (sendto(game.server[id], &said, sizeof said, 0, (struct sockaddr *)&to, sizeof to) != SIZE)
            game.count.refused++;
        else
            game.count.sent_down++, peer->sent++;
    }
}

static void
play(int ticks)
{
    double deadline = now() + DEADLINE_S;
    for (int tick = 0; tick < ticks && now() < deadline; tick++) {
        double begun = now();
        players_speak();
        hear_all(begun + 0.5 / RATE, WAITING);
        for (int i = 0; i < game.servers; i++)
            server_speaks(i);
        hear_all(begun + 1.0 / RATE, WAITING);
        if (tick == ticks / 2)
            puts("half");
    }
    hear_all(now(), 0);
}

static void
open_all(int front, int back)
{
    game.poll = epoll_create1(0);
    game.player = calloc((size_t)game.players, sizeof *game.player);
    game.server = calloc((size_t)game.servers, sizeof *game.server);
    game.peer = calloc((size_t)game.servers, sizeof *game.peer);
    for (int i = 0; i < game.servers; i++) {
        game.server[i] = open_socket(back + i, -1 - i);
        for (int port = 0; port < PORTS; port++)
            game.peer[i][port].player = NOBODY;
    }
    for (int i = 0; i < game.players; i++)
        game.player[i] = (struct player){open_socket(front, i), NOBODY, 0, 0};
}

static void
report(void)
{
    int heard[PORTS] = {0}, most = 0, silent = 0; /* ports by which a player is heard */
    for (int i = 0; i < game.servers; i++)
        for (int port = 0; port < PORTS; port++)
            if (game.peer[i][port].player != NOBODY)
                heard[game.peer[i][port].player]++;
    for (int i = 0; i < game.players; i++) {
        most = heard[i] > most ? heard[i] : most;
        silent += heard[i] == 0;
    }
    printf("{\"sent_up\": %ld, \"got_up\": %ld, \"sent_down\": %ld, \"got_down\": %ld, \"crossed\": %ld, "
           "\"disordered\": %ld, \"moved\": %ld, \"refused\": %ld, \"most_ports\": %d, \"silent\": %d}\n",
           game.count.sent_up, game.count.got_up, game.count.sent_down, game.count.got_down, game.count.crossed,
           game.count.disordered, game.count.moved, game.count.refused, most, silent);
}

int
main(int count, char **argument)
{
    if (count != 6) {
        fprintf(stderr, "usage: game FRONT BACK SERVERS PLAYERS TICKS\n");
        return 2;
    }
    setlinebuf(stdout);
    game.servers = atoi(argument[3]);
    game.players = atoi(argument[4]);
    open_all(atoi(argument[1]), atoi(argument[2]));
    play(atoi(argument[5]));
    report();
    return 0;
}
