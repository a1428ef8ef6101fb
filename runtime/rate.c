/*
 * proxy_upload_rate and proxy_download_rate: how much may be read from a side now. A bucket fills at the rate
 * and holds at most one buffer, or what a late timer would lose otherwise; when it is empty the side is not
 * watched, and a timer wakes it when the next piece is worth it.
 */
#include "spcd.h"

#include <errno.h>
#include <stdlib.h>

enum { PIECES_PER_S = 20, SLACK_PER_S = 50 };

struct throttle {
    ev_timer timer;
    double filled; /* when tokens was right */
    double tokens, most, piece; /* bytes */
    double rate;   /* bytes a second */
    bool waiting;
};

const size_t rate_record_size = sizeof(struct throttle);

static double
between(double low, double value, double high)
{
    return value < low ? low : value > high ? high : value;
}

u64
rate_of(struct session *s, u64 rate, u32 value)
{
    char text[64], *unit;
    if (!value)
        return rate;
    bool whole = expr_text(s, &s->shard->blob->expr[value], text, sizeof text);
    errno = 0;
    u64 number = strtoull(text, &unit, 10);
    u32 shift = unit[0] == 'k' || unit[0] == 'K' ? 10 : unit[0] == 'm' || unit[0] == 'M' ? 20 : 0;
    if (whole && text[0] >= '0' && text[0] <= '9' && !errno && unit[shift != 0] == '\0' && number <= RATE_MAX >> shift)
        return number << shift;
    session_log(s, LEVEL_ERROR, 0, "invalid size \"%s\"", text);
    return 0;
}

void
rate_open(struct session *s, struct side *side, u64 rate, void (*again)(struct ev_loop *, ev_timer *, int))
{
    if (!rate)
        return;
    struct throttle *throttle = slab_take(&s->shard->throttles); /* two for each session: there is one */
    double buffer = session_proxy(s)->buffer_size, bytes = (double)rate;
    *throttle = (struct throttle){.rate = bytes, .filled = session_now(s)};
    throttle->piece = between(1, bytes / PIECES_PER_S, buffer);
    throttle->most = between(buffer, bytes / SLACK_PER_S, bytes + buffer);
    throttle->tokens = throttle->piece;
    ev_init(&throttle->timer, again);
    throttle->timer.data = s;
    side->throttle = throttle;
}

void
rate_close(struct session *s, struct side *side)
{
    if (!side->throttle)
        return;
    ev_timer_stop(s->shard->worker->loop, &side->throttle->timer);
    slab_give(&s->shard->throttles, side->throttle);
    side->throttle = NULL;
}

u64
rate_allowance(struct session *s, struct side *side)
{
    struct throttle *throttle = side->throttle;
    if (!throttle)
        return UINT64_MAX;
    struct ev_loop *loop = s->shard->worker->loop;
    double now = session_now(s);
    throttle->tokens =
        between(throttle->tokens, throttle->tokens + (now - throttle->filled) * throttle->rate, throttle->most);
    throttle->filled = now;
    throttle->waiting = throttle->tokens < 1;
    if (!throttle->waiting)
        return (u64)throttle->tokens;
    ev_timer_stop(loop, &throttle->timer);
    ev_timer_set(&throttle->timer, (throttle->piece - throttle->tokens) / throttle->rate, 0);
    ev_timer_start(loop, &throttle->timer);
    return 0;
}

void
rate_spend(struct side *side, u64 bytes)
{
    if (side->throttle)
        side->throttle->tokens -= (double)bytes;
}

bool
rate_waits(const struct side *side)
{
    return side->throttle && side->throttle->waiting;
}

struct side *
rate_side(struct session *s, const ev_timer *timer)
{
    struct side *side = s->client.throttle && timer == &s->client.throttle->timer ? &s->client : &s->upstream;
    side->throttle->waiting = false;
    return side;
}
