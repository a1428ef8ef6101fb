/*
 * Datagrams that are lost, counted and, once a second, logged: those that the system dropped because a receive buffer
 * was full, and those that a socket would not take. The system says how many it dropped with the next one that it did
 * not drop (SO_RXQ_OVFL); where none may follow it is asked (SO_MEMINFO).
 */
#include "spcd.h"

#include <linux/sock_diag.h>

/* Since the socket was opened, which may be before this process was. */
static u32
dropped_by(int fd)
{
    u32 memory[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof memory;
    getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size);
    return memory[SK_MEMINFO_DROPS];
}

void
loss_received(struct acceptor *acceptor, u32 dropped)
{
    struct shard *shard = acceptor->shard;
    u32 more = dropped - acceptor->lost;
    if (more == 0)
        return;
    acceptor->lost = dropped;
    acceptor->unsaid += more;
    shard->worker->counter[COUNTER_datagrams_overflow] += more;
    if (!log_again(&acceptor->overflow_said, shard->worker->now))
        return;
    log_write(&shard->generation->logger, LEVEL_WARN, 0, 0,
              "the system dropped %llu datagrams for %s, whose receive buffer was full",
              (unsigned long long)acceptor->unsaid,
              blob_string(shard->blob, shard->blob->address[acceptor->listener->address].text));
    acceptor->unsaid = 0;
}

void
loss_close(struct acceptor *acceptor, struct acceptor *successor)
{
    loss_received(acceptor, dropped_by(acceptor->io.fd));
    if (successor)
        successor->lost = acceptor->lost;
}

void
loss_of_answers(struct session *s)
{
    s->shard->worker->counter[COUNTER_answers_overflow] += dropped_by(s->upstream.io.fd);
}

void
loss_unsent(struct session *s)
{
    struct worker *worker = s->shard->worker;
    worker->counter[COUNTER_datagrams_lost]++;
    if (log_again(&worker->unsent_said, worker->now))
        session_log(s, LEVEL_ERROR, 0, "no room for a datagram");
}
