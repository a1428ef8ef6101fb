/* The clients: each keeps AT_ONCE connections busy until COUNT units of work are done or the time is up. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MOST_AT_ONCE = 100000,
    MOST_UNITS = 100000000,
    MOST_SAMPLES = 1 << 22,     /* latencies kept for the percentiles; the worst is kept always */
    MOST_SECONDS = 300,
    HOLD_AT_ONCE = 64,          /* idle sessions being made at a time */
    GRACE_SECONDS = 5,          /* for what is under way when the time is up; then it counts as failed */
};

struct link {
    int fd;                     /* -1: not in use */
    bool idle;                  /* paced: it waits for its next unit */
    bool sent;                  /* the message has been sent */
    u64 begun_ns;               /* the unit under way: connection or round trip */
    u64 got_bytes;
    u64 to_send_bytes;          /* bulk */
};

enum outcome { GOES_ON, DONE, FAILED };

struct client {
    /* Goes on with the unit under way on a link that may be ready for reading or writing. */
    enum outcome (*work)(struct client *client, struct link *link);
    bool keeps_links;           /* the next unit takes the same connection */
    bool holds_links;           /* a done link stays open and idle, and the next unit takes another */
    bool server_closes;         /* short: the unit ends with the server's end */
    bool parts_late;            /* ping: connections stay open when all is done, until the driver has measured */
    u16 port;
    size_t message_size;
    u32 names;                  /* each connection sends a ClientHello for one of so many; 0: what is in the buffer */
    u64 unit_count, begun_count, done_count, failed_count;
    u64 begun_ns, stop_ns, ended_ns;
    u64 every_ns, next_ns;      /* paced: a unit begins so often, on a link that has none; 0: at once */
    struct request request;     /* bulk */
    struct link *links;
    size_t link_count, links_used, in_use;
    u64 *samples_ns;
    size_t sample_count;
    u64 worst_ns;
    int epoll_fd;
};

static char buffer[CHUNK_SIZE];

static struct client
client_new(const char *port, u64 unit_count, u64 at_once, u64 seconds)
{
    struct client client = {
        .port = (u16)number(port, 65535), .message_size = MESSAGE_SIZE, .unit_count = unit_count, .link_count = at_once,
        .links = calloc(at_once, sizeof(struct link)),
        .samples_ns = calloc(unit_count < MOST_SAMPLES ? unit_count : MOST_SAMPLES, sizeof(u64)),
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .begun_ns = now_ns(),
    };
    if (client.links == NULL || client.samples_ns == NULL || client.epoll_fd < 0)
        die("client");
    descriptor_limit();
    client.stop_ns = client.begun_ns + seconds * 1000000000u;
    for (size_t i = 0; i < client.link_count; i++)
        client.links[i].fd = -1;
    return client;
}

/* --- one unit of work --- */

static enum outcome
send_message(const struct client *client, struct link *link)
{
    if (link->sent)
        return DONE;
    if (client->names)
        hello_make(buffer, (u32)(client->done_count % client->names));
    ssize_t sent = send(link->fd, buffer, client->message_size, 0);
    if (sent < 0 && errno == EAGAIN)
        return GOES_ON;         /* not connected yet */
    link->sent = sent == (ssize_t)client->message_size;
    return link->sent ? DONE : FAILED;
}

/* Short connections and ping-pong: a message, its echo, and for a server that closes, its end. */
static enum outcome
exchange(struct client *client, struct link *link)
{
    enum outcome outcome = send_message(client, link);
    while (outcome == DONE) {
        ssize_t got = recv(link->fd, buffer, sizeof buffer, 0);
        if (got < 0)
            return errno == EAGAIN ? GOES_ON : FAILED;
        link->got_bytes += (u64)got;
        if (got == 0)
            return client->server_closes && link->got_bytes == client->message_size ? DONE : FAILED;
        if (!client->server_closes && link->got_bytes >= client->message_size)
            return link->got_bytes == client->message_size ? DONE : FAILED;
    }
    return outcome;
}

static enum outcome
move_bulk(struct client *client, struct link *link)
{
    if (!link->sent) {
        ssize_t sent = send(link->fd, &client->request, sizeof client->request, 0);
        if (sent != sizeof client->request)
            return sent < 0 && errno == EAGAIN ? GOES_ON : FAILED;
        link->sent = true;
        link->to_send_bytes = client->request.up_bytes;
    }
    while (link->to_send_bytes > 0) {
        size_t size = link->to_send_bytes < sizeof buffer ? link->to_send_bytes : sizeof buffer;
        ssize_t sent = send(link->fd, buffer, size, 0);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return FAILED;
        link->to_send_bytes -= (u64)sent;
    }
    for (;;) {
        ssize_t got = recv(link->fd, buffer, sizeof buffer, MSG_TRUNC);
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? GOES_ON : FAILED;
        link->got_bytes += (u64)got;
        if (link->got_bytes >= client->request.down_bytes + DONE_SIZE)
            return link->got_bytes == client->request.down_bytes + DONE_SIZE ? DONE : FAILED;
    }
}

/* --- the loop --- */

static bool
may_begin(const struct client *client)
{
    return client->begun_count < client->unit_count && now_ns() < client->stop_ns;
}

static void
link_close(struct client *client, struct link *link)
{
    close(link->fd);
    link->fd = -1;
    client->in_use--;
}

static void
link_open(struct client *client, struct link *link)
{
    client->begun_count++;
    *link = (struct link){ .begun_ns = now_ns(), .fd = connect_to(client->port) };
    if (link->fd < 0) {
        client->failed_count++;
        return;
    }
    client->in_use++;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link };
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, link->fd, &event) != 0)
        die("epoll_ctl");
}

static void
unit_done(struct client *client, struct link *link)
{
    u64 took_ns = now_ns() - link->begun_ns;
    if (client->sample_count < MOST_SAMPLES)
        client->samples_ns[client->sample_count++] = took_ns;
    if (took_ns > client->worst_ns)
        client->worst_ns = took_ns;
    client->done_count++;
}

static void
unit_begin(struct client *client, struct link *link)
{
    client->begun_count++;
    *link = (struct link){ .fd = link->fd, .begun_ns = now_ns() };
}

/* What comes after a unit: another on this link, on a new one, or nothing. */
static void
next_unit(struct client *client, struct link *link, enum outcome outcome)
{
    if (outcome == DONE && client->holds_links) {
        if (client->links_used < client->link_count && may_begin(client))
            link_open(client, &client->links[client->links_used++]);
        return;
    }
    link->idle = true;
    bool at_once = client->every_ns == 0 && may_begin(client);
    if (outcome == DONE && client->keeps_links && at_once)
        unit_begin(client, link);
    else if (outcome == FAILED || !client->parts_late)
        link_close(client, link);
    if (link->fd < 0 && at_once)
        link_open(client, link);
}

static void
link_ready(struct client *client, struct link *link)
{
    enum outcome outcome = GOES_ON;
    bool again = true;
    while (again && link->fd >= 0 && !link->idle && (outcome = client->work(client, link)) != GOES_ON) {
        u64 begun_count = client->begun_count;
        if (outcome == DONE)
            unit_done(client, link);
        else
            client->failed_count++;
        next_unit(client, link, outcome);
        again = client->keeps_links && client->begun_count > begun_count;   /* a new connection reports itself */
    }
}

/* Paced: begins at most one unit, when its time has come and a link is idle. */
static void
begin_paced(struct client *client)
{
    u64 now = now_ns();
    if (client->every_ns == 0 || now < client->next_ns || !may_begin(client))
        return;
    for (size_t i = 0; i < client->links_used; i++) {
        struct link *link = &client->links[i];
        if (!link->idle)
            continue;
        client->next_ns = now + client->every_ns;
        if (link->fd < 0) {
            link_open(client, link);
        } else {
            unit_begin(client, link);
            link_ready(client, link);
        }
        return;
    }
}

static void
client_run(struct client *client, size_t at_once)
{
    struct epoll_event events[EVENT_COUNT];
    for (; client->links_used < at_once && may_begin(client); client->links_used++)
        link_open(client, &client->links[client->links_used]);
    while (client->done_count + client->failed_count < client->begun_count
           || (client->every_ns > 0 && may_begin(client))) {
        if (now_ns() > client->stop_ns + GRACE_SECONDS * 1000000000ull)
            break;
        int count = epoll_wait(client->epoll_fd, events, EVENT_COUNT, client->every_ns > 0 ? 1 : 100);
        for (int i = 0; i < count; i++)
            link_ready(client, events[i].data.ptr);
        begin_paced(client);
    }
    client->ended_ns = now_ns();
    client->failed_count = client->begun_count - client->done_count;
}

/* Tells the driver that the work can begin, and waits for its word; the end of standard input is a word too. */
static void
gate(struct client *client)
{
    char word;
    u64 gated_ns = now_ns();
    printf("{\"ready\": %llu}\n", (unsigned long long)client->done_count);
    fflush(stdout);
    if (read(STDIN_FILENO, &word, 1) < 0)
        die("standard input");
    u64 waited_ns = now_ns() - gated_ns;
    client->begun_ns += waited_ns;
    client->stop_ns += waited_ns;
}

static void
wait_for_input_end(void)
{
    char word;
    while (read(STDIN_FILENO, &word, 1) > 0)
        continue;
}

/* --- the report --- */

static int
ascending(const void *a, const void *b)
{
    u64 x = *(const u64 *)a, y = *(const u64 *)b;
    return x < y ? -1 : x > y;
}

static double
percentile_us(const struct client *client, double part)
{
    if (client->sample_count == 0)
        return 0;
    return (double)client->samples_ns[(size_t)(part * (double)(client->sample_count - 1))] / 1e3;
}

static void
report(struct client *client)
{
    qsort(client->samples_ns, client->sample_count, sizeof(u64), ascending);
    printf("{\"begun\": %llu, \"done\": %llu, \"failed\": %llu, \"seconds\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"worst_us\": %.1f}\n",
           (unsigned long long)client->begun_count, (unsigned long long)client->done_count,
           (unsigned long long)client->failed_count, (double)(client->ended_ns - client->begun_ns) / 1e9,
           percentile_us(client, 0.5), percentile_us(client, 0.99), percentile_us(client, 0.999),
           (double)client->worst_ns / 1e3);
    fflush(stdout);
}

/* --- the subcommands --- */

static struct client
exchange_client(char **argv)
{
    struct client client = client_new(argv[0], number(argv[1], MOST_UNITS), number(argv[2], MOST_AT_ONCE),
                                      number(argv[3], MOST_SECONDS));
    client.work = exchange;
    return client;
}

int
short_main(int argc, char **argv)
{
    struct client client = exchange_client(argv);
    client.server_closes = strcmp(argv[4], "server") == 0;
    client.every_ns = argc > 5 ? number(argv[5], 1000) * 1000000u : 0;
    gate(&client);
    client_run(&client, client.link_count);
    report(&client);
    return 0;
}

int
named_main(int argc, char **argv)
{
    (void)argc;
    struct client client = exchange_client(argv);
    client.message_size = HELLO_SIZE;
    client.names = (u32)number(argv[4], UINT32_MAX);
    gate(&client);
    client_run(&client, client.link_count);
    report(&client);
    return 0;
}

/* One round trip on each connection first, so that what is measured is neither connecting nor parting. */
int
ping_main(int argc, char **argv)
{
    struct client client = exchange_client(argv);
    u64 unit_count = client.unit_count;
    client.holds_links = true;
    client.unit_count = client.link_count;
    client_run(&client, client.link_count);
    u64 failed_count = client.failed_count;
    gate(&client);

    client.holds_links = false;
    client.keeps_links = client.parts_late = true;
    client.begun_ns = now_ns();
    client.unit_count = unit_count;
    client.begun_count = client.done_count = client.failed_count = 0;
    client.sample_count = 0;
    client.worst_ns = 0;
    client.every_ns = argc > 4 ? number(argv[4], 1000) * 1000000u : 0;
    for (size_t i = 0; i < client.link_count; i++)
        if (client.links[i].fd >= 0) {
            next_unit(&client, &client.links[i], DONE);
            link_ready(&client, &client.links[i]);
        }
    client_run(&client, 0);
    client.failed_count += failed_count;
    report(&client);
    wait_for_input_end();
    return 0;
}

int
bulk_main(int argc, char **argv)
{
    (void)argc;
    u64 at_once = number(argv[1], MOST_AT_ONCE);
    struct client client = client_new(argv[0], at_once, at_once, 120);
    client.work = move_bulk;
    client.request = (struct request){ number(argv[2], 1ull << 40), number(argv[3], 1ull << 40) };
    gate(&client);
    client_run(&client, at_once);
    report(&client);
    return 0;
}

int
hold_main(int argc, char **argv)
{
    (void)argc;
    u64 count = number(argv[1], MOST_AT_ONCE);
    struct client client = client_new(argv[0], count, count, 120);
    client.work = exchange;
    client.holds_links = true;
    gate(&client);
    client_run(&client, count < HOLD_AT_ONCE ? count : HOLD_AT_ONCE);
    report(&client);
    wait_for_input_end();
    return 0;
}
