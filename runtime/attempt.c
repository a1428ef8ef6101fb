/*
 * What a session remembers of each upstream server that it tried, for $upstream_addr and its kin. Sessions of a blob
 * that has no use for it remember nothing. balance.c is told of the same moments.
 */
#include "spcd.h"

bool
attempt_wanted(const struct blob *blob)
{
    bool wanted = false;
    for (u32 i = 1; i < blob->op_count && !wanted; i++) {
        u32 variable = blob->op[i].variable;
        wanted = (variable >= VARIABLE_upstream_addr && variable <= VARIABLE_upstream_session_time) ||
                 variable == VARIABLE_upstream_last_addr;
    }
    return wanted;
}

static struct attempt *
last(const struct session *s)
{
    return s->attempts && s->attempts->count > 0 ? &s->attempts->attempt[s->attempts->count - 1] : NULL;
}

void
attempt_begin(struct session *s)
{
    if (!s->shard->attempts.count)
        return;
    attempt_end(s);
    if (!s->attempts) {
        s->attempts = slab_take(&s->shard->attempts);
        s->attempts->count = 0;
    }
    if (s->attempts->count < ATTEMPTS_MAX)
        s->attempts->count++;
    *last(s) = (struct attempt){.name = s->upstream_name, .began = session_now(s)};
}

void
attempt_connected(struct session *s)
{
    balance_time(s, TIMING_CONNECT);
    if (last(s))
        last(s)->connected = session_now(s);
}

void
attempt_first_byte(struct session *s)
{
    balance_time(s, TIMING_FIRST_BYTE);
    if (last(s) && !last(s)->first_byte)
        last(s)->first_byte = session_now(s);
}

void
attempt_end(struct session *s)
{
    struct attempt *attempt = last(s);
    if (!attempt || attempt->ended)
        return;
    attempt->ended = session_now(s);
    attempt->received = s->upstream.received;
    attempt->sent = s->upstream.sent;
}
