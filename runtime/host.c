/*
 * Names of hosts that rules are about: looked up when a generation opens, on the control thread; their addresses stay
 * as long as it does. A name that is unknown then has none, and is tried again as those of upstream servers are.
 */
#include "spcd.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct host {
    union client_address *address;
    u32 count;
};

static void
say_unknown(struct generation *g, u32 index, const char *why)
{
    const struct blob_origin *origin = blob_find_origin(g->blob, SECTION_host, index);
    log_write(&g->logger, LEVEL_ERROR, 0, 0,
              "host not found in set_real_ip_from \"%s\" (%s) in %s:%u; it is not trusted until it is",
              blob_string(g->blob, g->blob->host[index].name), why,
              origin ? blob_string(g->blob, origin->file) : "?", origin ? origin->line : 0);
    g->unresolved_count++;
}

/* False: no memory. */
static bool
keep(struct generation *g, u32 index, const struct lookup *lookup)
{
    if (lookup->error) {
        say_unknown(g, index, gai_strerror(lookup->error));
        return true;
    }
    struct host *host = &g->host[index];
    u32 count = 0;
    for (const struct addrinfo *at = lookup->found; at; at = at->ai_next)
        count++;
    host->address = calloc(count, sizeof *host->address);
    for (const struct addrinfo *at = lookup->found; at && host->address; at = at->ai_next)
        if (at->ai_addrlen <= sizeof *host->address)
            memcpy(&host->address[host->count++], at->ai_addr, at->ai_addrlen);
    return host->address != NULL;
}

bool
host_open(struct generation *g)
{
    g->host = calloc(g->blob->host_count, sizeof *g->host);
    bool good = g->host;
    for (u32 i = 1; good && i < g->blob->host_count; i++)
        good = keep(g, i, &g->lookup[g->blob->peer_count + i]);
    return good;
}

void
host_close(struct generation *g)
{
    for (u32 i = 1; g->host && i < g->blob->host_count; i++)
        free(g->host[i].address);
    free(g->host);
}

static bool
is_same(const union client_address *one, const union client_address *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    return one->any.sa_family == AF_INET
               ? one->ipv4.sin_addr.s_addr == other->ipv4.sin_addr.s_addr
               : memcmp(&one->ipv6.sin6_addr, &other->ipv6.sin6_addr, sizeof one->ipv6.sin6_addr) == 0;
}

bool
host_has(const struct generation *g, u32 first, u32 count, const union client_address *address)
{
    for (u32 i = first; i < first + count; i++)
        for (u32 j = 0; j < g->host[i].count; j++)
            if (is_same(&g->host[i].address[j], address))
                return true;
    return false;
}
