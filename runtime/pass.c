/*
 * pass: a session goes on in the server of another listener of the same process, without a socket between. The address
 * is in the blob, with what it leads to, or comes from variables and is looked for among the listeners.
 */
#include "spcd.h"

#include <stdio.h>
#include <string.h>

enum { PASS_TEXT = 512 };

/* Where to. */
struct goal {
    const struct blob_listener *listener; /* NULL: nobody listens there */
    const struct blob_endpoint *endpoint;
    union client_address local;
    char text[ADDRESS_TEXT];
};

static void
set_local(struct goal *goal, const union address *address)
{
    if (address->any.sa_family == AF_UNIX) {
        goal->local.any.sa_family = AF_UNIX;
        snprintf(goal->text, sizeof goal->text, "unix:%s", address->un.sun_path);
        return;
    }
    memcpy(&goal->local, address, sizeof goal->local);
    address_print(&address->any, true, goal->text);
}

static bool
is_any(const ip16 *ip)
{
    static const ip16 any;
    return memcmp(ip, &any, sizeof any) == 0;
}

/* Does a socket with that address take what is sent to this one? */
static bool
takes(const struct blob *blob, const struct blob_address *record, const union address *address)
{
    if (record->family == FAMILY_UNIX)
        return address->any.sa_family == AF_UNIX &&
               strcmp(blob_string(blob, record->path), address->un.sun_path) == 0;
    if (address->any.sa_family != (record->family == FAMILY_IPV6 ? AF_INET6 : AF_INET))
        return false;
    return record->port == address_port(&address->any) &&
           (is_any(&record->ip) || address_is(&address->any, record));
}

/* The listener with that very address goes before one for all addresses of its port. */
static void
find_listener(const struct blob *blob, const union address *address, struct goal *goal)
{
    for (u32 i = 1; i < blob->listener_count; i++) {
        const struct blob_listener *at = &blob->listener[i];
        const struct blob_address *record = &blob->address[at->address];
        bool wild = record->family != FAMILY_UNIX && is_any(&record->ip);
        if (!(at->flags & LISTENER_UDP) && takes(blob, record, address) && !(wild && goal->listener))
            goal->listener = at;
    }
    if (goal->listener)
        goal->endpoint = listen_endpoint(blob, goal->listener, &goal->local);
}

/* NULL, or what is wrong with the address. */
static const char *
read_goal(struct session *s, const struct blob_pass *pass, char text[PASS_TEXT], struct goal *goal)
{
    const struct blob *blob = s->shard->blob;
    union address address;
    socklen_t length;
    char parsed[PASS_TEXT];
    if (!expr_text(s, &blob->expr[pass->value], text, PASS_TEXT))
        return "more than 511 bytes, or a NUL byte,";
    strcpy(parsed, text);
    const char *why = address_read(parsed, &address, &length);
    if (why == address_is_name || (why == address_lacks_port && !length))
        return "no addresses";
    if (why)
        return why;
    set_local(goal, &address);
    find_listener(blob, &address, goal);
    return NULL;
}

static void
take_goal(const struct blob *blob, const struct blob_pass *pass, struct goal *goal)
{
    union address address = {0};
    address_from_blob(blob, &blob->address[pass->address], &address);
    set_local(goal, &address);
    goal->listener = &blob->listener[pass->listener];
    goal->endpoint = &blob->endpoint[pass->endpoint];
}

static enum step
end(struct session *s, enum close reason)
{
    session_end(s, reason);
    return STEP_ENDED;
}

enum step
pass_run(struct session *s)
{
    const struct blob_pass *pass = &s->shard->blob->pass[s->server->pass];
    struct goal goal = {0};
    char text[PASS_TEXT];
    s->action = "passing connection to port";
    const char *why = pass->value ? read_goal(s, pass, text, &goal) : NULL;
    if (why) {
        session_log(s, LEVEL_ERROR, 0, "%s in pass \"%s\"", why, text);
        return end(s, CLOSE_internal);
    }
    if (!pass->value)
        take_goal(s->shard->blob, pass, &goal);
    if (s->passes == PASS_MOST) {
        session_log(s, LEVEL_ERROR, 0, "stream pass cycle");
        return end(s, CLOSE_pass_loop);
    }
    if (!goal.listener) {
        session_log(s, LEVEL_ERROR, 0, "port not found for \"%s\"", goal.text);
        return end(s, CLOSE_pass_unknown);
    }
    if (session_pass(s, goal.listener, goal.endpoint, &goal.local))
        return STEP_AGAIN;
    session_log(s, LEVEL_WARN, 0, "max_conns of \"%s\" is reached", goal.text);
    return end(s, CLOSE_pass_full);
}
