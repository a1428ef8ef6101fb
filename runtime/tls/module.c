/*
 * The table by which spcd knows the module.
 */
#include "module.h"

static void
free_ticket(struct tls_ticket *ticket)
{
    SSL_SESSION_free((SSL_SESSION *)ticket);
}

static void
share_ticket(struct tls_ticket *ticket)
{
    SSL_SESSION_up_ref((SSL_SESSION *)ticket);
}

static bool
ticket_is_single(const struct tls_ticket *ticket)
{
    return SSL_SESSION_should_be_single_use((const SSL_SESSION *)ticket);
}

__attribute__((visibility("default"))) const struct tls_operations tls_operations = {
    .memory_open = memory_open,
    .memory_suffices = memory_suffices,
    .context_open = context_open,
    .context_close = context_close,
    .identity_open = identity_open,
    .identity_close = identity_close,
    .identity_was_locked = identity_was_locked,
    .check_key = signing_check,
    .take_request = signing_take,
    .answer = signing_answer,
    .open = stream_open,
    .close = stream_close,
    .handshake = stream_handshake,
    .verdict = verify_say,
    .read = stream_read,
    .write = stream_write,
    .shutdown = stream_shutdown,
    .take_ticket = stream_take_ticket,
    .free_ticket = free_ticket,
    .share_ticket = share_ticket,
    .ticket_is_single = ticket_is_single,
    .was_resumed = stream_was_resumed,
};
