/*
 * The channel between supervisor and server: a SOCK_SEQPACKET pair, one message a packet, descriptors as
 * SCM_RIGHTS. A message is its kind and nothing else: what the descriptors are, the blob says.
 */
#include "spcd.h"

#include <errno.h>
#include <string.h>

union rights {
    struct cmsghdr header; /* for its alignment */
    char room[CMSG_SPACE(CHANNEL_FDS * sizeof(int))];
};

bool
channel_send(int channel, enum message_kind kind, const int *fd, u32 count)
{
    u32 word = kind;
    union rights rights = {0};
    struct iovec io = {&word, sizeof word};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (count) {
        message.msg_control = &rights;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fd);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof *fd);
        memcpy(CMSG_DATA(header), fd, count * sizeof *fd);
    }
    while (sendmsg(channel, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

int
channel_receive(int channel, int *fd, u32 *count)
{
    u32 word = 0;
    union rights rights;
    struct iovec io = {&word, sizeof word};
    struct msghdr message = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights};
    *count = 0;
    errno = 0;
    ssize_t size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    if (size != sizeof word)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) {
        *count = (u32)((header->cmsg_len - CMSG_LEN(0)) / sizeof *fd);
        memcpy(fd, CMSG_DATA(header), *count * sizeof *fd);
    }
    return (int)word;
}

static bool
send_many(int channel, enum message_kind kind, const int *fd, u32 count)
{
    for (u32 sent = 0; sent < count; sent += CHANNEL_FDS) {
        u32 some = count - sent < CHANNEL_FDS ? count - sent : CHANNEL_FDS;
        if (!channel_send(channel, kind, fd + sent, some))
            return false;
    }
    return true;
}

/* The order goes in any case: who gets it without all that belongs to it refuses it, and has no part of it left. */
bool
channel_send_all(int channel, const struct surroundings *s)
{
    (void)(channel_send(channel, MESSAGE_BLOB, &s->mapping->fd, 1) &&
           send_many(channel, MESSAGE_SOCKETS, s->socket, s->socket_count) &&
           send_many(channel, MESSAGE_LOGS, s->log, s->log_count) &&
           send_many(channel, MESSAGE_FILES, s->file + 1, s->mapping->blob.file_count - 1));
    return channel_send(channel, MESSAGE_RELOAD, NULL, 0);
}

void
channel_send_logs(int channel, const struct surroundings *s, int default_log)
{
    (void)send_many(channel, MESSAGE_LOGS, s->log, s->log_count);
    (void)channel_send(channel, MESSAGE_REOPEN, &default_log, default_log >= 0);
}
