/*
 * The clients of datagrams: which session is theirs. One table for each worker, by the client's address, the address
 * of ours that it sends to, and the listener's socket; so a session is found whichever generation it began in.
 * And, for listeners with evict_oldest, whose session has been idle for longest. What is done with it is for udp.c.
 */
#include "spcd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct clients {
    struct session **bucket;
    u32 mask; /* the number of buckets is a power of two, half as many as sessions at the least */
    u64 seed; /* so that nobody can choose clients that share a bucket */
};

/* ---- by address ---- */

static u64
mix(u64 hash, const void *data, size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(u32)) {
        u32 word;
        memcpy(&word, (const u8 *)data + at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15; /* 2^64 by the golden ratio */
        hash ^= hash >> 29;
    }
    return hash;
}

static u32
hash_of(const struct clients *clients, int fd, const union client_address *from, const struct local_ip *to)
{
    u64 hash = mix(clients->seed ^ (u32)fd, from, sizeof *from);
    return (u32)(mix(hash, to, sizeof *to) >> 32);
}

static struct session **
bucket_of(const struct clients *clients, u32 hash)
{
    return &clients->bucket[hash & clients->mask];
}

struct session *
clients_find(const struct clients *clients, int fd, const struct datagram *piece)
{
    u32 hash = hash_of(clients, fd, &piece->from, &piece->to);
    struct session *s = *bucket_of(clients, hash);
    while (s && !(s->client.udp.hash == hash && s->client.udp.fd == fd &&
                  memcmp(introduction_peer(s), &piece->from, sizeof s->address) == 0 &&
                  memcmp(&s->client.udp.local, &piece->to, sizeof piece->to) == 0))
        s = s->client.udp.next;
    return s;
}

void
clients_enter(struct clients *clients, struct session *s)
{
    struct udp_client *client = &s->client.udp;
    client->hash = hash_of(clients, client->fd, &s->address, &client->local);
    struct session **bucket = bucket_of(clients, client->hash);
    client->next = *bucket;
    client->known = true;
    *bucket = s;
}

void
clients_forget(struct clients *clients, struct session *s)
{
    struct session **link = bucket_of(clients, s->client.udp.hash);
    if (!s->client.udp.known)
        return;
    while (*link != s)
        link = &(*link)->client.udp.next;
    *link = s->client.udp.next;
    s->client.udp.known = false;
}

/* ---- by when they were active ---- */

static struct acceptor *
acceptor_of(const struct session *s)
{
    return &s->shard->acceptor[s->listener - s->shard->blob->listener];
}

static bool
stands_in_line(const struct acceptor *acceptor, const struct session *s)
{
    return s->client.udp.idler || acceptor->idlest == s;
}

static void
leave(struct acceptor *acceptor, struct session *s)
{
    struct udp_client *client = &s->client.udp;
    *(client->idler ? &client->idler->client.udp.busier : &acceptor->idlest) = client->busier;
    *(client->busier ? &client->busier->client.udp.idler : &acceptor->busiest) = client->idler;
    client->idler = client->busier = NULL;
}

void
clients_active(struct session *s)
{
    struct acceptor *acceptor = acceptor_of(s);
    if (!(s->listener->flags & LISTENER_EVICT) || acceptor->busiest == s)
        return;
    if (stands_in_line(acceptor, s))
        leave(acceptor, s);
    s->client.udp.idler = acceptor->busiest;
    *(acceptor->busiest ? &acceptor->busiest->client.udp.busier : &acceptor->idlest) = s;
    acceptor->busiest = s;
}

void
clients_gone(struct session *s)
{
    struct acceptor *acceptor = acceptor_of(s);
    if (stands_in_line(acceptor, s))
        leave(acceptor, s);
}

/* ---- whole ---- */

struct clients *
clients_open(u32 sessions)
{
    struct clients *clients = calloc(1, sizeof *clients);
    if (!clients)
        return NULL;
    while (clients->mask < sessions / 2)
        clients->mask = clients->mask * 2 + 1;
    clients->bucket = calloc((size_t)clients->mask + 1, sizeof(struct session *));
    if (clients->bucket && getrandom(&clients->seed, sizeof clients->seed, 0) == sizeof clients->seed)
        return clients;
    clients_close(clients);
    return NULL;
}

void
clients_close(struct clients *clients)
{
    if (clients)
        free(clients->bucket);
    free(clients);
}
