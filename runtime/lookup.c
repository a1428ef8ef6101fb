/*
 * Addresses of names, asked for all at once: a name server that does not answer costs the time of one name, not of
 * each. Who asks waits for the answers; what they are for is the business of others.
 */
#include "spcd.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { ASKERS_MOST = 64, ASKER_STACK = 256 << 10 };

struct task {
    struct lookup *lookup;
    u32 count;
    _Atomic u32 next;
};

static void
ask_one(struct lookup *lookup)
{
    char port[8];
    snprintf(port, sizeof port, "%u", lookup->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    lookup->error = getaddrinfo(lookup->host, port, &hints, &lookup->found);
}

static void *
ask(void *data)
{
    struct task *task = data;
    for (u32 i; (i = task->next++) < task->count;)
        if (task->lookup[i].host)
            ask_one(&task->lookup[i]);
    return NULL;
}

u32
lookup_count(const struct blob *blob)
{
    return blob->peer_count + blob->host_count;
}

struct lookup *
lookup_of(const struct blob *blob)
{
    struct lookup *lookup = calloc(lookup_count(blob), sizeof *lookup);
    for (u32 i = 1; lookup && i < blob->peer_count; i++)
        if (!blob->peer[i].address)
            lookup[i] = (struct lookup){.host = blob_string(blob, blob->peer[i].host), .port = blob->peer[i].port};
    for (u32 i = 1; lookup && i < blob->host_count; i++)
        lookup[blob->peer_count + i].host = blob_string(blob, blob->host[i].name);
    return lookup;
}

static u32
count_names(const struct lookup *lookup, u32 count)
{
    u32 names = 0;
    for (u32 i = 0; i < count; i++)
        names += lookup[i].host != NULL;
    return names;
}

/* This thread asks too, so that one name takes no other, and none is needed. */
void
lookup_all(struct lookup *lookup, const struct blob *blob)
{
    struct task task = {.lookup = lookup, .count = lookup_count(blob)};
    pthread_t asker[ASKERS_MOST];
    pthread_attr_t attributes;
    u32 wanted = count_names(lookup, task.count), started = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, ASKER_STACK);
    while (started < ASKERS_MOST && started + 1 < wanted &&
           pthread_create(&asker[started], &attributes, ask, &task) == 0)
        started++;
    pthread_attr_destroy(&attributes);
    ask(&task);
    for (u32 i = 0; i < started; i++)
        pthread_join(asker[i], NULL);
}

void
lookup_free(struct lookup *lookup, const struct blob *blob)
{
    for (u32 i = 0; lookup && i < lookup_count(blob); i++)
        if (lookup[i].found)
            freeaddrinfo(lookup[i].found);
    free(lookup);
}
