/*
 * Accepting: a bounded batch for each wake-up, who may come in at all, and the choice of the server by the local
 * address where one socket answers for several.
 */
#include "spcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64 };

/* ---- who may come in ---- */

/* The sessions of a listener that has max_conns, over all workers and generations. */
struct places {
    atomic_uint taken;
    u32 users; /* generations; the control thread's */
};

/* Connections that the generation before has at that address count on. Sessions of datagrams do not: those of another
 * generation cannot be evicted. */
static struct places *
find_places(const struct blob *blob, const struct blob_listener *listener, const struct generation *old)
{
    u32 count = old && !(listener->flags & LISTENER_UDP) ? old->blob->listener_count : 0;
    const char *text = blob_string(blob, blob->address[listener->address].text);
    for (u32 i = 1; i < count; i++) {
        const struct blob_listener *before = &old->blob->listener[i];
        if (old->places[i] && !(before->flags & LISTENER_UDP) &&
            strcmp(text, blob_string(old->blob, old->blob->address[before->address].text)) == 0)
            return old->places[i];
    }
    return NULL;
}

bool
listen_open_places(struct generation *g, const struct generation *old)
{
    const struct blob *blob = g->blob;
    g->places = calloc(blob->listener_count, sizeof(struct places *));
    for (u32 i = 1; g->places && i < blob->listener_count; i++) {
        if (!blob->listener[i].max_conns)
            continue;
        struct places *places = find_places(blob, &blob->listener[i], old);
        if (!places && !(places = calloc(1, sizeof *places)))
            return false;
        places->users++;
        g->places[i] = places;
    }
    return g->places;
}

void
listen_close_places(struct generation *g)
{
    for (u32 i = 1; g->places && i < g->blob->listener_count; i++)
        if (g->places[i] && --g->places[i]->users == 0)
            free(g->places[i]);
    free(g->places);
}

bool
listen_take_place(struct shard *shard, const struct blob_listener *listener)
{
    if (!listener->max_conns)
        return true;
    atomic_uint *taken = &shard->generation->places[listener - shard->blob->listener]->taken;
    if (atomic_fetch_add(taken, 1) < listener->max_conns)
        return true;
    atomic_fetch_sub(taken, 1);
    return false;
}

void
listen_give_place(struct shard *shard, const struct blob_listener *listener)
{
    if (listener->max_conns)
        atomic_fetch_sub(&shard->generation->places[listener - shard->blob->listener]->taken, 1);
}

static void
say_refused(struct shard *shard)
{
    struct worker *worker = shard->worker;
    worker->counter[COUNTER_refused]++;
    if (!log_again(&worker->refused_said, worker->now))
        return;
    log_write(&shard->generation->logger, LEVEL_ALERT, 0, 0, "%u worker_connections are not enough",
              shard->sessions.count);
}

static void
say_limited(struct acceptor *acceptor)
{
    struct shard *shard = acceptor->shard;
    shard->worker->counter[COUNTER_limited]++;
    if (!log_again(&acceptor->limited_said, shard->worker->now))
        return;
    log_write(&shard->generation->logger, LEVEL_WARN, 0, 0, "%s has its max_conns=%u sessions, a new client is refused",
              blob_string(shard->blob, shard->blob->address[acceptor->listener->address].text),
              acceptor->listener->max_conns);
}

const struct blob_endpoint *
listen_endpoint(const struct blob *blob, const struct blob_listener *listener,
                const union client_address *local)
{
    const struct blob_endpoint *first = &blob->endpoint[listener->endpoint];
    const struct blob_endpoint *last = first + listener->endpoint_count - 1;
    for (const struct blob_endpoint *at = first; at < last; at++)
        if (address_is(&local->any, &blob->address[at->address]))
            return at;
    return last;
}

/* The endpoint that the client connected to. */
static const struct blob_endpoint *
find_endpoint(const struct blob *blob, const struct blob_listener *listener, int fd)
{
    union client_address local = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof local;
    if (listener->endpoint_count > 1)
        getsockname(fd, &local.any, &size);
    return listen_endpoint(blob, listener, &local);
}

static void
admit(struct acceptor *acceptor, int fd, const struct sockaddr *address, socklen_t size)
{
    struct shard *shard = acceptor->shard;
    if (!listen_take_place(shard, acceptor->listener)) {
        say_limited(acceptor);
        close(fd);
        return;
    }
    const struct blob_endpoint *endpoint = find_endpoint(shard->blob, acceptor->listener, fd);
    if (session_start(acceptor, endpoint, fd, address, size))
        return;
    listen_give_place(shard, acceptor->listener);
    close(fd);
    say_refused(shard);
}

union client_address
listen_local(const struct blob *blob, const struct blob_listener *listener, const struct local_ip *ip)
{
    static const ip16 unknown;
    const struct blob_address *record = &blob->address[listener->address];
    const u8 *byte = memcmp(&ip->ip, &unknown, sizeof unknown) == 0 ? record->ip.byte : ip->ip.byte;
    union client_address local = {.any.sa_family = AF_UNIX};
    if (record->family == FAMILY_IPV4) {
        local.ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(record->port)};
        memcpy(&local.ipv4.sin_addr, byte, sizeof local.ipv4.sin_addr);
    } else if (record->family == FAMILY_IPV6) {
        local.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(record->port)};
        memcpy(&local.ipv6.sin6_addr, byte, sizeof local.ipv6.sin6_addr);
    }
    return local;
}

struct session *
listen_admit(struct acceptor *acceptor, const struct datagram *datagram)
{
    struct shard *shard = acceptor->shard;
    bool placed = listen_take_place(shard, acceptor->listener);
    if (!placed && !udp_may_evict(acceptor)) {
        say_limited(acceptor);
        return NULL;
    }
    union client_address local = listen_local(shard->blob, acceptor->listener, &datagram->to);
    const struct blob_endpoint *endpoint = listen_endpoint(shard->blob, acceptor->listener, &local);
    struct session *s = session_new(acceptor, endpoint, &datagram->from.any, sizeof datagram->from);
    if (!s && udp_evict(acceptor)) {
        s = session_new(acceptor, endpoint, &datagram->from.any, sizeof datagram->from);
        placed = placed || listen_take_place(shard, acceptor->listener);
    }
    if (s) {
        s->guest = !placed;
        return s;
    }
    if (placed)
        listen_give_place(shard, acceptor->listener);
    say_refused(shard);
    return NULL;
}

/* Only now that limits and rules let it in does somebody else end for it. */
enum step
listen_step(struct session *s)
{
    struct acceptor *acceptor = &s->shard->acceptor[s->listener - s->shard->blob->listener];
    while (s->guest && udp_evict(acceptor))
        s->guest = !listen_take_place(s->shard, s->listener);
    if (!s->guest)
        return STEP_NEXT;
    say_limited(acceptor); /* another worker was quicker */
    session_end(s, CLOSE_limited);
    return STEP_ENDED;
}

/* ---- accepting ---- */

/* Is it about the connection that would have been next, accept(2)? Others may come in. */
static bool
is_of_connection(int error)
{
    static const int errors[] = {ECONNABORTED, EINTR,  EPROTO,       EPERM,      ENETDOWN,   ENOPROTOOPT,
                                 EHOSTDOWN,    ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH};
    bool found = false;
    for (size_t i = 0; i < sizeof errors / sizeof *errors && !found; i++)
        found = error == errors[i];
    return found;
}

/* Out of descriptors or memory, or not one of many may be accepted: the clients wait in the kernel's queue until it is
 * better. */
static void
pause_accepting(struct shard *shard, int error)
{
    struct worker *worker = shard->worker;
    worker->counter[COUNTER_accept_failed]++;
    log_write(&shard->generation->logger, LEVEL_CRIT, 0, error, "accept4() failed");
    listen_stop(shard);
    ev_timer_again(worker->loop, &worker->accept_pause);
}

static void
on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct acceptor *acceptor = io->data;
    u32 failed = 0;
    for (u32 i = 0; i < ACCEPT_BATCH; i++) {
        union client_address address;
        socklen_t size = sizeof address;
        int fd = accept4(io->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(acceptor, fd, &address.any, size);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (!is_of_connection(errno) || ++failed == ACCEPT_BATCH) {
            pause_accepting(acceptor->shard, errno);
            return;
        }
    }
}

bool
listen_wants_udp(const struct blob *blob)
{
    bool wanted = false;
    for (u32 i = 1; i < blob->listener_count && !wanted; i++)
        wanted = blob->listener[i].flags & LISTENER_UDP;
    return wanted;
}

static bool
is_udp(const struct acceptor *acceptor)
{
    return acceptor->listener->flags & LISTENER_UDP;
}

void
listen_start(struct shard *shard)
{
    const struct blob *blob = shard->blob;
    for (u32 i = 1; i < blob->listener_count; i++) {
        struct acceptor *acceptor = &shard->acceptor[i];
        if (ev_is_active(&acceptor->io))
            continue; /* only those for connections had paused */
        u32 place = surroundings_socket(shard->generation->surroundings, i, shard->worker->number);
        acceptor->shard = shard;
        acceptor->listener = &blob->listener[i];
        ev_io_init(&acceptor->io, is_udp(acceptor) ? udp_on_datagrams : on_connection,
                   shard->generation->surroundings->socket[place], EV_READ);
        acceptor->io.data = acceptor;
        ev_io_start(shard->worker->loop, &acceptor->io);
    }
}

void
listen_stop(struct shard *shard)
{
    ev_timer_stop(shard->worker->loop, &shard->worker->accept_pause);
    for (u32 i = 1; i < shard->blob->listener_count; i++)
        if (!is_udp(&shard->acceptor[i]))
            ev_io_stop(shard->worker->loop, &shard->acceptor[i].io);
}

/* Who of the shard watches that socket; NULL: nobody. */
static struct acceptor *
watcher_of(struct shard *shard, int fd)
{
    for (u32 i = 1; shard && i < shard->blob->listener_count; i++)
        if (shard->acceptor[i].io.fd == fd && ev_is_active(&shard->acceptor[i].io))
            return &shard->acceptor[i];
    return NULL;
}

/* Sessions of datagrams need the listener's socket for as long as they last. */
void
listen_leave(struct shard *shard, struct shard *successor)
{
    bool needed = shard->session_count > 0;
    listen_stop(shard);
    for (u32 i = 1; i < shard->blob->listener_count; i++) {
        struct acceptor *acceptor = &shard->acceptor[i];
        struct acceptor *next = watcher_of(successor, acceptor->io.fd);
        if (!is_udp(acceptor) || !ev_is_active(&acceptor->io) || (needed && !next))
            continue;
        loss_close(acceptor, next);
        ev_io_stop(shard->worker->loop, &acceptor->io);
    }
}
