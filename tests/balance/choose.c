/*
 * The choice of a server without any traffic: a blob's group in, and what is asked of it on standard input, one thing
 * a line; the number of the server chosen out, -1 for none.
 *
 *     ask KEY       a session of that client, an IPv4 address as a number, begins and ends well
 *     hold KEY      it begins, and stays
 *     fail KEY      it begins, and its server fails
 *     end N         the N-th session that stays ends
 *     time SECONDS  the clock moves on
 *     took N MS     the N-th session that stays has measured so much
 *     ask-many N    N clients, one after the other; only the counts are printed, of each server
 */
#include "spcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>

enum { HELD = 1 << 17 };

static struct worker worker = {.now = 1000000};
static struct generation generation;
static struct shard shard = {.worker = &worker, .generation = &generation};
static const struct blob_listener listener;
static struct session *held[HELD];
static u32 group, held_count;

static void
open_group(const char *path, const char *name)
{
    char error[BLOB_ERROR_SIZE];
    struct mapping *mapping = mapping_open(open(path, O_RDONLY), error);
    if (!mapping)
        die("%s: %s", path, error);
    generation.blob = shard.blob = &mapping->blob;
    generation.logger = log_default;
    for (u32 i = 1; i < mapping->blob.upstream_count; i++)
        if (strcmp(blob_string(&mapping->blob, mapping->blob.upstream[i].name), name) == 0)
            group = i;
    if (!group || !upstream_open(&generation, NULL) || !balance_open(&shard))
        die("the group %s cannot be opened", name);
    generation.tried_size = (generation.upstream[group].count + 63) / 64 * 8;
    if (!slab_open(&shard.tried, generation.tried_size, HELD) ||
        !slab_open(&shard.attempts, sizeof(struct attempts), HELD))
        die("no memory");
    generation.server_logger = calloc(mapping->blob.server_count, sizeof *generation.server_logger);
}

static void
begin(struct session *s, u32 key)
{
    *s = (struct session){.shard = &shard, .server = &shard.blob->server[1], .upstream_index = group, .tries = 99};
    s->listener = &listener;
    s->target = UINT32_MAX;
    s->address.ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(key)};
    balance_choose(s);
}

static void
end(struct session *s, bool failed)
{
    balance_release(s, failed);
    if (s->tried)
        slab_give(&shard.tried, s->tried);
    s->tried = NULL;
}

static void
ask_many(u32 count)
{
    u32 targets = generation.upstream[group].count;
    u64 *chosen = calloc(targets + 1, sizeof *chosen);
    for (u32 i = 0; i < count; i++) {
        struct session s;
        begin(&s, i * 2654435761u); /* all over */
        chosen[s.target == UINT32_MAX ? targets : s.target]++;
        end(&s, false);
    }
    for (u32 i = 0; i < targets; i++)
        printf("%" PRIu64 "%c", chosen[i], i + 1 < targets ? ' ' : '\n');
    free(chosen);
}

static void
obey(const char *word, double number, double more)
{
    struct session s, *one = &s;
    u32 n = (u32)number;
    if (strcmp(word, "time") == 0) {
        worker.now += number;
        return;
    }
    if (strcmp(word, "ask-many") == 0) {
        ask_many(n);
        return;
    }
    if (strcmp(word, "end") == 0) {
        end(held[n], false);
        return;
    }
    if (strcmp(word, "took") == 0) {
        held[n]->asked = worker.now - more / 1000;
        held[n]->upstream.active = worker.now;
        held[n]->upstream.received = 1;
        balance_time(held[n], TIMING_CONNECT);
        balance_time(held[n], TIMING_FIRST_BYTE);
        return;
    }
    if (strcmp(word, "hold") == 0)
        one = held[held_count++] = calloc(1, sizeof *one);
    begin(one, n);
    printf("%d\n", one->target == UINT32_MAX ? -1 : (int)one->target);
    if (one == &s)
        end(&s, strcmp(word, "fail") == 0);
}

int
main(int count, char **words)
{
    char word[32];
    double number, more = 0;
    char line[128];
    if (count != 3)
        return 2;
    open_group(words[1], words[2]);
    while (fgets(line, sizeof line, stdin))
        if (sscanf(line, "%31s %lf %lf", word, &number, &more) >= 2)
            obey(word, number, more);
    return 0;
}
