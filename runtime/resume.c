/*
 * Tickets that resume TLS sessions, as a worker keeps them for its next connections: by upstream server, name and
 * configuration, since BoringSSL would resume across all of these. Those of TLS 1.3 are used once only (RFC 8446,
 * appendix C.4); so a few of them are kept for each.
 */
#include "spcd.h"

#include <stdlib.h>
#include <string.h>

/* Connections that begin at once need a ticket each; but where many servers are known, none of them keeps many. */
enum { WAYS = 4, SETS = 256, TICKETS = 16, TICKETS_FEW = 4, PLENTY = 2048 };

struct entry {
    struct tls_ticket *ticket[TICKETS]; /* the newest last */
    u32 count, tls;
    u64 used; /* when, for who has to go */
    char target[ADDRESS_TEXT], name[TLS_NAME_MAX + 1];
};

struct resumes {
    u64 turn;
    u32 count; /* of all tickets */
    struct entry entry[SETS][WAYS];
};

struct resumes *
resumes_open(void)
{
    return calloc(1, sizeof(struct resumes));
}

static void
clear(struct resumes *resumes, struct entry *entry)
{
    resumes->count -= entry->count;
    while (entry->count)
        tls->free_ticket(entry->ticket[--entry->count]);
}

static void
drop_oldest(struct resumes *resumes, struct entry *entry)
{
    tls->free_ticket(entry->ticket[0]);
    memmove(entry->ticket, entry->ticket + 1, (TICKETS - 1) * sizeof *entry->ticket);
    entry->count--;
    resumes->count--;
}

void
resumes_close(struct resumes *resumes)
{
    for (u32 i = 0; resumes && i < SETS * WAYS; i++)
        clear(resumes, &resumes->entry[i / WAYS][i % WAYS]);
    free(resumes);
}

/* The entry for the session's upstream; NULL: there is none, and oldest is the one that may become it. */
static struct entry *
find(struct session *s, const char *name, struct entry **oldest)
{
    struct resumes *resumes = s->shard->resumes;
    u32 tls_index = s->shard->blob->proxy_ssl[session_proxy(s)->ssl].tls;
    u64 hash = blob_hash(s->upstream_name, strlen(s->upstream_name)) ^ blob_hash(name, strlen(name)) * 3 ^ tls_index;
    struct entry *set = resumes->entry[hash % SETS];
    *oldest = &set[0];
    resumes->turn++;
    for (u32 i = 0; i < WAYS; i++) {
        if (set[i].count && set[i].tls == tls_index && strcmp(set[i].name, name) == 0 &&
            strcmp(set[i].target, s->upstream_name) == 0) {
            set[i].used = resumes->turn;
            return &set[i];
        }
        if (set[i].used < (*oldest)->used)
            *oldest = &set[i];
    }
    return NULL;
}

struct tls_ticket *
resume_take(struct session *s, const char *name)
{
    struct entry *oldest, *entry = find(s, name, &oldest);
    if (!entry)
        return NULL;
    struct tls_ticket *newest = entry->ticket[entry->count - 1];
    if (!tls->ticket_is_single(newest)) {
        tls->share_ticket(newest);
        return newest;
    }
    entry->count--;
    s->shard->resumes->count--;
    return newest;
}

void
resume_keep(struct session *s, const char *name, struct tls_ticket *ticket)
{
    struct resumes *resumes = s->shard->resumes;
    struct entry *oldest, *entry = find(s, name, &oldest);
    if (!entry) {
        clear(resumes, oldest);
        entry = oldest;
        entry->tls = s->shard->blob->proxy_ssl[session_proxy(s)->ssl].tls;
        entry->used = resumes->turn;
        strncpy(entry->target, s->upstream_name, sizeof entry->target - 1);
        strncpy(entry->name, name, sizeof entry->name - 1);
    }
    if (!tls->ticket_is_single(ticket))
        clear(resumes, entry); /* it may be used again, so one will do */
    for (u32 most = resumes->count < PLENTY ? TICKETS : TICKETS_FEW; entry->count >= most;)
        drop_oldest(resumes, entry);
    entry->ticket[entry->count++] = ticket;
    resumes->count++;
}
