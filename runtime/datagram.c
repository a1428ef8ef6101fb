/*
 * Datagrams that are received, many for each system call. Several of one size may come in one piece, which the system
 * has put together (UDP_GRO, udp(7)). What a datagram means is for udp.c; what is to be sent, for outbox.c.
 */
#include "spcd.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CONTROL_SIZE = 128 };

union control {
    struct cmsghdr align;
    u8 bytes[CONTROL_SIZE];
};

struct datagrams {
    struct mmsghdr message[DATAGRAM_BATCH];
    struct iovec part[DATAGRAM_BATCH];
    union control control[DATAGRAM_BATCH];
    struct datagram piece[DATAGRAM_BATCH];
    u8 *data; /* DATAGRAM_MOST + 1 bytes for each */
};

static void
prepare_receive(struct datagrams *d, bool named, u32 most)
{
    for (u32 i = 0; i < most; i++) {
        struct msghdr *header = &d->message[i].msg_hdr;
        d->part[i] = (struct iovec){d->data + (size_t)i * (DATAGRAM_MOST + 1), DATAGRAM_MOST + 1};
        *header = (struct msghdr){.msg_iov = &d->part[i], .msg_iovlen = 1};
        d->piece[i].from = (union client_address){0}; /* addresses are compared whole */
        header->msg_control = d->control[i].bytes;
        header->msg_controllen = CONTROL_SIZE;
        header->msg_name = named ? &d->piece[i].from : NULL;
        header->msg_namelen = named ? sizeof d->piece[i].from : 0;
    }
}

static void
read_control(struct cmsghdr *control, struct datagram *piece, u32 *lost)
{
    void *data = CMSG_DATA(control);
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
        piece->segment = (u32) * (int *)data;
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
        *lost = *(u32 *)data;
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        const struct in_pktinfo *info = data;
        memcpy(piece->to.ip.byte, &info->ipi_spec_dst, sizeof info->ipi_spec_dst);
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        const struct in6_pktinfo *info = data;
        memcpy(piece->to.ip.byte, &info->ipi6_addr, sizeof info->ipi6_addr);
        if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
            piece->to.interface = info->ipi6_ifindex;
    }
}

static void
read_piece(struct datagrams *d, int index, u32 *lost)
{
    struct mmsghdr *message = &d->message[index];
    struct datagram *piece = &d->piece[index];
    piece->data = d->part[index].iov_base;
    piece->size = message->msg_len;
    piece->segment = piece->size > 0 ? piece->size : 1;
    piece->to = (struct local_ip){0};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message->msg_hdr); at; at = CMSG_NXTHDR(&message->msg_hdr, at))
        read_control(at, piece, lost);
    if (message->msg_hdr.msg_namelen <= sizeof(sa_family_t)) /* of a unix socket without a name */
        piece->from.any.sa_family = AF_UNIX;
}

int
datagrams_receive(struct datagrams *d, int fd, bool named, u32 most, u32 *lost)
{
    int count;
    if (most > DATAGRAM_BATCH)
        most = DATAGRAM_BATCH;
    prepare_receive(d, named, most);
    do
        count = recvmmsg(fd, d->message, most, 0, NULL);
    while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++)
        read_piece(d, i, lost);
    return count;
}

int
datagrams_receive_one(struct datagrams *d, int fd)
{
    struct datagram *piece = &d->piece[0];
    ssize_t size;
    do
        size = recv(fd, d->data, DATAGRAM_MOST, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -1;
    *piece = (struct datagram){.data = d->data, .size = (u32)size, .segment = size > 0 ? (u32)size : 1};
    return 1;
}

const struct datagram *
datagrams_at(const struct datagrams *d, int index)
{
    return &d->piece[index];
}

/* ---- whole ---- */

struct datagrams *
datagrams_open(void)
{
    struct datagrams *d = calloc(1, sizeof *d);
    size_t size = (size_t)DATAGRAM_BATCH * (DATAGRAM_MOST + 1);
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (d && data != MAP_FAILED) {
        d->data = data;
        return d;
    }
    if (data != MAP_FAILED)
        munmap(data, size);
    free(d);
    return NULL;
}

void
datagrams_close(struct datagrams *d)
{
    munmap(d->data, (size_t)DATAGRAM_BATCH * (DATAGRAM_MOST + 1));
    free(d);
}
