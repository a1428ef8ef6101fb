/*
 * Datagrams, many for each system call. Several of one size may come and go in one piece, which the system takes
 * apart and puts together (UDP_GRO, UDP_SEGMENT, udp(7)). What is to be sent is copied here, and sent together before
 * the loop waits again. What a datagram means is for udp.c.
 */
#include "spcd.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CONTROL_SIZE = 128,
    QUEUE_PIECES = 64,
    QUEUE_BYTES = 512 << 10,
    JOINED_MOST = 65000, /* bytes that go in one piece */
};
static const double again_s = 0.001;

union control {
    struct cmsghdr align;
    u8 bytes[CONTROL_SIZE];
};

/* A piece that waits to be sent. */
struct waiting {
    int fd;
    u32 at, size, segment; /* bytes in data */
    union client_address to;
    struct local_ip from;
};

struct datagrams {
    struct ev_loop *loop;
    u64 *lost; /* counts those that no socket took */
    struct {
        struct mmsghdr message[DATAGRAM_BATCH];
        struct iovec part[DATAGRAM_BATCH];
        union control control[DATAGRAM_BATCH];
        struct datagram piece[DATAGRAM_BATCH];
        u8 *data; /* DATAGRAM_MOST + 1 bytes for each */
    } in;
    struct {
        struct waiting piece[QUEUE_PIECES];
        u32 count, used; /* bytes in data */
        u8 *data;
        ev_prepare before_wait;
        ev_timer again; /* while a socket takes no more */
    } out;
};

/* ---- receiving ---- */

static void
prepare_receive(struct datagrams *d, bool named, u32 most)
{
    for (u32 i = 0; i < most; i++) {
        struct msghdr *header = &d->in.message[i].msg_hdr;
        d->in.part[i] = (struct iovec){d->in.data + (size_t)i * (DATAGRAM_MOST + 1), DATAGRAM_MOST + 1};
        *header = (struct msghdr){.msg_iov = &d->in.part[i], .msg_iovlen = 1};
        d->in.piece[i].from = (union client_address){0}; /* addresses are compared whole */
        header->msg_control = d->in.control[i].bytes;
        header->msg_controllen = CONTROL_SIZE;
        header->msg_name = named ? &d->in.piece[i].from : NULL;
        header->msg_namelen = named ? sizeof d->in.piece[i].from : 0;
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
    struct mmsghdr *message = &d->in.message[index];
    struct datagram *piece = &d->in.piece[index];
    piece->data = d->in.part[index].iov_base;
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
        count = recvmmsg(fd, d->in.message, most, 0, NULL);
    while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++)
        read_piece(d, i, lost);
    return count;
}

int
datagrams_receive_one(struct datagrams *d, int fd)
{
    struct datagram *piece = &d->in.piece[0];
    ssize_t size;
    do
        size = recv(fd, d->in.data, DATAGRAM_MOST, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -1;
    *piece = (struct datagram){.data = d->in.data, .size = (u32)size, .segment = size > 0 ? (u32)size : 1};
    return 1;
}

const struct datagram *
datagrams_at(const struct datagrams *d, int index)
{
    return &d->in.piece[index];
}

/* ---- sending ---- */

static void
add_control(struct msghdr *header, union control *room, int level, int type, const void *data, size_t size)
{
    if (!header->msg_control)
        header->msg_controllen = 0;
    header->msg_control = room->bytes;
    struct cmsghdr *control = (struct cmsghdr *)(void *)(room->bytes + header->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), data, size);
    header->msg_controllen += CMSG_SPACE(size);
}

static void
add_segment(struct msghdr *header, union control *room, u32 size, u32 segment)
{
    u16 each = (u16)segment;
    if (segment < size)
        add_control(header, room, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each);
}

/* The system cannot take it apart: the path is too narrow, or the device. */
static bool
is_unsplittable(int error)
{
    return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
}

static ssize_t
send_message(int fd, const struct msghdr *header)
{
    ssize_t sent;
    do
        sent = sendmsg(fd, header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* One datagram after the other. */
static bool
send_apart(int fd, const struct msghdr *header, u32 segment)
{
    const struct iovec *whole = header->msg_iov;
    struct msghdr one = *header;
    bool good = true;
    for (size_t at = 0; at < whole->iov_len && good; at += segment) {
        size_t left = whole->iov_len - at;
        struct iovec part = {(u8 *)whole->iov_base + at, left < segment ? left : segment};
        one.msg_iov = &part;
        good = send_message(fd, &one) >= 0;
    }
    return good;
}

/* ---- the queue ---- */

/* AF_UNSPEC, AF_UNIX: the socket is connected. */
static socklen_t
size_of(const union client_address *address)
{
    return address->any.sa_family == AF_INET6  ? sizeof address->ipv6
           : address->any.sa_family == AF_INET ? sizeof address->ipv4
                                               : 0;
}

static void
add_source(struct msghdr *header, union control *room, const struct waiting *piece)
{
    static const ip16 none;
    if (memcmp(&piece->from.ip, &none, sizeof none) == 0)
        return;
    if (piece->to.any.sa_family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_ifindex = piece->from.interface};
        memcpy(&info.ipi6_addr, &piece->from.ip, sizeof info.ipi6_addr);
        add_control(header, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    } else {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, &piece->from.ip, sizeof info.ipi_spec_dst);
        add_control(header, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
}

struct sending {
    struct mmsghdr message[QUEUE_PIECES];
    struct iovec part[QUEUE_PIECES];
    union control control[QUEUE_PIECES];
};

/* The messages of the pieces from first on that go to the same socket; their number. */
static u32
prepare_send(struct datagrams *d, u32 first, struct sending *sending)
{
    u32 count = 0;
    for (u32 i = first; i < d->out.count && d->out.piece[i].fd == d->out.piece[first].fd; i++, count++) {
        struct waiting *piece = &d->out.piece[i];
        struct msghdr *header = &sending->message[count].msg_hdr;
        sending->part[count] = (struct iovec){d->out.data + piece->at, piece->size};
        *header = (struct msghdr){.msg_iov = &sending->part[count], .msg_iovlen = 1};
        header->msg_namelen = size_of(&piece->to);
        header->msg_name = header->msg_namelen ? &piece->to : NULL;
        add_source(header, &sending->control[count], piece);
        add_segment(header, &sending->control[count], piece->size, piece->segment);
    }
    return count;
}

static void
count_lost(struct datagrams *d, const struct waiting *piece)
{
    *d->lost += piece->size > 0 ? (piece->size + piece->segment - 1) / piece->segment : 1;
}

/* The first of the messages failed. Where it is its size that is wrong, its datagrams go alone; else it is lost. */
static void
send_failed(struct datagrams *d, u32 index, struct sending *sending, u32 message, int error)
{
    struct waiting *piece = &d->out.piece[index];
    struct msghdr *header = &sending->message[message].msg_hdr;
    if (piece->segment >= piece->size || !is_unsplittable(error)) {
        count_lost(d, piece);
        return;
    }
    header->msg_control = NULL;
    header->msg_controllen = 0;
    add_source(header, &sending->control[message], piece);
    if (!send_apart(piece->fd, header, piece->segment))
        count_lost(d, piece);
}

/* sendmmsg(); for a single one without control data, which is what queries are, a cheaper call. */
static int
send_messages(int fd, struct mmsghdr *message, u32 count)
{
    const struct msghdr *one = &message->msg_hdr;
    if (count > 1 || one->msg_control)
        return sendmmsg(fd, message, count, MSG_NOSIGNAL);
    ssize_t sent = sendto(fd, one->msg_iov->iov_base, one->msg_iov->iov_len, MSG_NOSIGNAL, one->msg_name,
                          one->msg_namelen);
    return sent < 0 ? -1 : 1;
}

/* What an earlier datagram met, which the system says instead of sending this one. */
static bool
is_of_another(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN;
}

/* Send the pieces from first on that go to one socket, which are run. How many are done with: those behind them it does
 * not take now. An error that is not its own a datagram meets once, so that the session is there to read the next. */
static u32
send_some(struct datagrams *d, u32 first, u32 *run)
{
    struct sending sending;
    u32 count = prepare_send(d, first, &sending), done = 0, met = UINT32_MAX;
    *run = count;
    while (done < count) {
        int sent = send_messages(d->out.piece[first].fd, sending.message + done, count - done);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0 && is_of_another(errno) && met != done) {
            met = done;
            continue;
        }
        if (sent < 0) {
            send_failed(d, first + done, &sending, done, errno);
            sent = 1;
        }
        done += (u32)sent;
    }
    return done;
}

/* Keep those that a socket does not take yet at the front, up to half of the room, so that there is some for others. */
static void
hold(struct datagrams *d, u32 first, u32 count, u32 *held, u32 *used)
{
    for (u32 i = first; i < first + count; i++) {
        struct waiting piece = d->out.piece[i];
        if (*held == QUEUE_PIECES / 2 || *used + piece.size > QUEUE_BYTES / 2) {
            count_lost(d, &piece);
            continue;
        }
        memmove(d->out.data + *used, d->out.data + piece.at, piece.size);
        piece.at = *used;
        *used += piece.size;
        d->out.piece[(*held)++] = piece;
    }
}

static bool
is_held(const struct datagrams *d, u32 held, int fd)
{
    for (u32 i = 0; i < held; i++)
        if (d->out.piece[i].fd == fd)
            return true;
    return false;
}

/* No socket waits for another: a unix socket may take nothing for as long as its peer likes. */
static void
flush(struct datagrams *d)
{
    u32 held = 0, used = 0, run;
    for (u32 i = 0; i < d->out.count; i += run) {
        run = 1;
        u32 done = is_held(d, held, d->out.piece[i].fd) ? 0 : send_some(d, i, &run);
        hold(d, i + done, run - done, &held, &used);
    }
    d->out.count = held;
    d->out.used = used;
    if (held == 0 || ev_is_active(&d->out.again))
        return;
    ev_timer_set(&d->out.again, again_s, 0);
    ev_timer_start(d->loop, &d->out.again);
}

void
datagrams_flush(struct datagrams *d, int fd)
{
    if (!is_held(d, d->out.count, fd))
        return;
    flush(d);
    for (u32 i = 0; i < d->out.count; i++)
        if (d->out.piece[i].fd == fd)
            d->out.piece[i].fd = -1; /* what still waits is lost, and counted when its turn comes */
}

static void
on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop, (void)events;
    struct datagrams *d = prepare->data;
    if (d->out.count > 0)
        flush(d);
}

/* It only lets the loop turn, and what waits is tried before it waits again. */
static void
on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

/* Can the piece go with the last one that waits? All of its datagrams but the last have to be of one size. */
static bool
joins(const struct datagrams *d, int fd, const union client_address *to, const struct local_ip *from, u32 size,
      u32 segment)
{
    const struct waiting *last = &d->out.piece[d->out.count > 0 ? d->out.count - 1 : 0];
    return d->out.count > 0 && size > 0 && last->fd == fd && to->any.sa_family != AF_UNIX && last->size > 0 &&
           last->size % last->segment == 0 &&
           (segment == last->segment || (segment == size && size < last->segment)) &&
           last->size + size <= JOINED_MOST && last->size / last->segment + size / segment < DATAGRAM_SEGMENTS &&
           memcmp(&last->to, to, sizeof *to) == 0 && memcmp(&last->from, from, sizeof *from) == 0;
}

/* A datagram that joins the last piece needs none of its own. */
static bool
has_room(const struct datagrams *d, u32 size, bool joined)
{
    return d->out.used + size <= QUEUE_BYTES && (joined || d->out.count < QUEUE_PIECES);
}

static bool
queue_piece(struct datagrams *d, int fd, const union client_address *to, const struct local_ip *from, const u8 *data,
            u32 size, u32 segment)
{
    bool joined = joins(d, fd, to, from, size, segment);
    if (!has_room(d, size, joined)) {
        flush(d);
        joined = false;
        if (!has_room(d, size, joined))
            return false;
    }
    if (size > 0)
        memcpy(d->out.data + d->out.used, data, size);
    if (joined)
        d->out.piece[d->out.count - 1].size += size;
    else
        d->out.piece[d->out.count++] = (struct waiting){fd, d->out.used, size, segment, *to, *from};
    d->out.used += size;
    return true;
}

bool
datagrams_queue(struct datagrams *d, int fd, const union client_address *to, const struct local_ip *from,
                const u8 *data, u32 size, u32 segment)
{
    u32 at = 0;
    if (to->any.sa_family == AF_UNIX) /* the system takes nothing apart for those */
        for (; size - at > segment; at += segment)
            if (!queue_piece(d, fd, to, from, data + at, segment, segment))
                return false;
    return queue_piece(d, fd, to, from, data + at, size - at, segment);
}

/* ---- whole ---- */

static u8 *
set_aside(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct datagrams *
datagrams_open(struct ev_loop *loop)
{
    struct datagrams *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->loop = loop;
    d->in.data = set_aside((size_t)DATAGRAM_BATCH * (DATAGRAM_MOST + 1));
    d->out.data = set_aside(QUEUE_BYTES);
    ev_prepare_init(&d->out.before_wait, on_prepare);
    ev_init(&d->out.again, on_again);
    d->out.before_wait.data = d;
    if (d->in.data && d->out.data)
        return d;
    datagrams_close(d);
    return NULL;
}

void
datagrams_start(struct datagrams *d, u64 *lost)
{
    d->lost = lost;
    ev_prepare_start(d->loop, &d->out.before_wait);
}

void
datagrams_close(struct datagrams *d)
{
    if (d->in.data)
        munmap(d->in.data, (size_t)DATAGRAM_BATCH * (DATAGRAM_MOST + 1));
    if (d->out.data)
        munmap(d->out.data, QUEUE_BYTES);
    free(d);
}
