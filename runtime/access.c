/*
 * allow and deny: one look into a table that spcc has made of all the rules.
 */
#include "spcd.h"

enum step
access_step(struct session *s)
{
    const struct blob_server *server = s->server;
    bool local = s->address.any.sa_family == AF_UNIX;
    bool denied = local ? server->flags & SERVER_DENY_UNIX
                        : server->denied && geo_value(s->shard->blob, server->denied, &s->address);
    if (!denied)
        return STEP_NEXT;
    session_log(s, LEVEL_ERROR, 0, "access forbidden by rule");
    session_end(s, CLOSE_denied);
    return STEP_ENDED;
}
