/*
 * Datagrams that are to be sent: copied here, and sent together before the loop waits again. Those of one size from one
 * socket to one address go in one piece, which the system takes apart (UDP_SEGMENT, udp(7)), whatever came between
 * them; each way between two sockets keeps its order. What a datagram means is for udp.c.
 */
#include "spcd.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CONTROL_SIZE = 128,
    PIECES = 64,
    PARTS = 256,
    BYTES = 512 << 10,
    WAYS = 256,           /* a power of two, of which latest is a table */
    JOINED_MOST = 65000,  /* bytes that go in one piece */
    NO_PART = UINT16_MAX,
};
static const double again_s = 0.001;

union control {
    struct cmsghdr align;
    u8 bytes[CONTROL_SIZE];
};

/* Bytes that lie beside each other in data. */
struct part {
    u32 at, size;
    u16 next; /* of the same piece */
    u8 piece;
};

/* A piece that waits to be sent. Every datagram in it but the last is of segment bytes, and none is in two parts. */
struct waiting {
    int fd;
    u32 size, segment;
    u16 first, last; /* its parts */
    union client_address to;
    struct local_ip from;
};

struct outbox {
    struct ev_loop *loop;
    u64 *lost; /* counts those that no socket took */
    struct waiting piece[PIECES];
    struct part part[PARTS];
    u8 latest[WAYS]; /* the last piece of a way, unless another way has the same place in the table */
    u32 count, part_count, used; /* bytes in data */
    u8 *data;
    ev_prepare before_wait;
    ev_timer again; /* while a socket takes no more */
};

/* What goes in one call. */
struct sending {
    struct mmsghdr message[PIECES];
    union control control[PIECES];
    struct iovec part[PARTS];
};

/* ---- messages ---- */

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
    struct msghdr one = *header;
    bool good = true;
    for (const struct iovec *part = header->msg_iov; part < header->msg_iov + header->msg_iovlen; part++)
        for (size_t at = 0; at < part->iov_len && good; at += segment) {
            size_t left = part->iov_len - at;
            struct iovec datagram = {(u8 *)part->iov_base + at, left < segment ? left : segment};
            one.msg_iov = &datagram;
            one.msg_iovlen = 1;
            good = send_message(fd, &one) >= 0;
        }
    return good;
}

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

/* The messages of the pieces from first on that go to the same socket; their number. */
static u32
prepare(struct outbox *out, u32 first, struct sending *sending)
{
    struct iovec *part = sending->part;
    u32 count = 0;
    for (u32 i = first; i < out->count && out->piece[i].fd == out->piece[first].fd; i++, count++) {
        struct waiting *piece = &out->piece[i];
        struct msghdr *header = &sending->message[count].msg_hdr;
        *header = (struct msghdr){.msg_iov = part};
        for (u32 at = piece->first; at != NO_PART; at = out->part[at].next)
            *part++ = (struct iovec){out->data + out->part[at].at, out->part[at].size};
        header->msg_iovlen = (size_t)(part - header->msg_iov);
        header->msg_namelen = size_of(&piece->to);
        header->msg_name = header->msg_namelen ? &piece->to : NULL;
        add_source(header, &sending->control[count], piece);
        add_segment(header, &sending->control[count], piece->size, piece->segment);
    }
    return count;
}

/* ---- sending ---- */

static void
count_lost(struct outbox *out, const struct waiting *piece)
{
    *out->lost += piece->size > 0 ? (piece->size + piece->segment - 1) / piece->segment : 1;
}

/* The first of the messages failed. Where it is its size that is wrong, its datagrams go alone; else it is lost. */
static void
send_failed(struct outbox *out, u32 index, struct sending *sending, u32 message, int error)
{
    struct waiting *piece = &out->piece[index];
    struct msghdr *header = &sending->message[message].msg_hdr;
    if (piece->segment >= piece->size || !is_unsplittable(error)) {
        count_lost(out, piece);
        return;
    }
    header->msg_control = NULL;
    header->msg_controllen = 0;
    add_source(header, &sending->control[message], piece);
    if (!send_apart(piece->fd, header, piece->segment))
        count_lost(out, piece);
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
send_some(struct outbox *out, u32 first, u32 *run)
{
    struct sending sending;
    u32 count = prepare(out, first, &sending), done = 0, met = UINT32_MAX;
    *run = count;
    while (done < count) {
        int sent = send_messages(out->piece[first].fd, sending.message + done, count - done);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0 && is_of_another(errno) && met != done) {
            met = done;
            continue;
        }
        if (sent < 0) {
            send_failed(out, first + done, &sending, done, errno);
            sent = 1;
        }
        done += (u32)sent;
    }
    return done;
}

/* ---- the pieces ---- */

static u8 *
latest_of(struct outbox *out, int fd, const union client_address *to)
{
    return &out->latest[((u32)fd * 31 + to->ipv4.sin_port) % WAYS]; /* the port is there for IPv6, too */
}

/* Bytes at so many of data are the piece's now. */
static void
append(struct outbox *out, u32 index, u32 at, u32 size)
{
    struct waiting *piece = &out->piece[index];
    struct part *last = piece->last == NO_PART ? NULL : &out->part[piece->last];
    piece->size += size;
    if (last && last->at + last->size == at) {
        last->size += size;
        return;
    }
    u16 part = (u16)out->part_count++;
    out->part[part] = (struct part){at, size, NO_PART, (u8)index};
    if (last)
        last->next = part;
    else
        piece->first = part;
    piece->last = part;
}

static void
begin(struct outbox *out, const struct waiting *piece)
{
    u32 index = out->count++;
    out->piece[index] = *piece;
    out->piece[index].size = 0;
    out->piece[index].first = out->piece[index].last = NO_PART;
    *latest_of(out, piece->fd, &piece->to) = (u8)index;
}

/* Those that stay go to the front. Parts are in the order in which they lie in data, so that none is written over. */
static void
keep(struct outbox *out, const bool *stays)
{
    u32 count = out->count, part_count = out->part_count;
    u8 place[PIECES];
    out->count = out->part_count = out->used = 0;
    for (u32 i = 0; i < count; i++) {
        place[i] = (u8)out->count;
        if (stays[i])
            begin(out, &out->piece[i]);
    }
    for (u32 i = 0; i < part_count && out->count > 0; i++) {
        struct part part = out->part[i];
        if (!stays[part.piece])
            continue;
        memmove(out->data + out->used, out->data + part.at, part.size);
        append(out, place[part.piece], out->used, part.size);
        out->used += part.size;
    }
}

/* ---- the queue ---- */

static bool
has_any(const struct outbox *out, const bool *among, u32 count, int fd)
{
    for (u32 i = 0; i < count; i++)
        if (out->piece[i].fd == fd && (!among || among[i]))
            return true;
    return false;
}

/* Those that a socket does not take yet stay, up to half of the room, so that there is some for others. */
static void
hold(struct outbox *out, u32 first, u32 count, bool *stays, u32 *held, u32 *used)
{
    for (u32 i = first; i < first + count; i++) {
        const struct waiting *piece = &out->piece[i];
        stays[i] = *held < PIECES / 2 && *used + piece->size <= BYTES / 2;
        if (!stays[i]) {
            count_lost(out, piece);
            continue;
        }
        *held += 1;
        *used += piece->size;
    }
}

/* No socket waits for another: a unix socket may take nothing for as long as its peer likes. */
static void
flush(struct outbox *out)
{
    bool stays[PIECES] = {false};
    u32 held = 0, used = 0, run;
    for (u32 i = 0; i < out->count; i += run) {
        run = 1;
        bool waits = held > 0 && has_any(out, stays, i, out->piece[i].fd);
        u32 done = waits ? 0 : send_some(out, i, &run);
        hold(out, i + done, run - done, stays, &held, &used);
    }
    keep(out, stays);
    if (held == 0 || ev_is_active(&out->again))
        return;
    ev_timer_set(&out->again, again_s, 0);
    ev_timer_start(out->loop, &out->again);
}

void
outbox_flush(struct outbox *out, int fd)
{
    if (!has_any(out, NULL, out->count, fd))
        return;
    flush(out);
    for (u32 i = 0; i < out->count; i++)
        if (out->piece[i].fd == fd)
            out->piece[i].fd = -1; /* what still waits is lost, and counted when its turn comes */
}

static void
on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop, (void)events;
    struct outbox *out = prepare->data;
    if (out->count > 0)
        flush(out);
}

/* It only lets the loop turn, and what waits is tried before it waits again. */
static void
on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

/* Can it go with that piece? All datagrams of a piece but the last have to be of one size. */
static bool
joins(const struct outbox *out, u32 index, const struct waiting *new)
{
    const struct waiting *piece = &out->piece[index];
    return index < out->count && piece->fd == new->fd && new->to.any.sa_family != AF_UNIX && new->size > 0 &&
           piece->size > 0 && piece->size % piece->segment == 0 &&
           (new->segment == piece->segment || (new->segment == new->size && new->size < piece->segment)) &&
           piece->size + new->size <= JOINED_MOST &&
           piece->size / piece->segment + new->size / new->segment < DATAGRAM_SEGMENTS &&
           memcmp(&piece->to, &new->to, sizeof new->to) == 0 && memcmp(&piece->from, &new->from, sizeof new->from) == 0;
}

/* A datagram that joins a piece needs none of its own. */
static bool
has_room(const struct outbox *out, u32 size, bool joined)
{
    return out->used + size <= BYTES && out->part_count < PARTS && (joined || out->count < PIECES);
}

static bool
put_piece(struct outbox *out, const struct waiting *new, const u8 *data)
{
    u8 *latest = latest_of(out, new->fd, &new->to);
    bool joined = joins(out, *latest, new);
    if (!has_room(out, new->size, joined)) {
        flush(out);
        joined = joins(out, *latest, new);
        if (!has_room(out, new->size, joined))
            return false;
    }
    if (new->size > 0)
        memcpy(out->data + out->used, data, new->size);
    if (!joined)
        begin(out, new);
    append(out, *latest, out->used, new->size);
    out->used += new->size;
    return true;
}

bool
outbox_put(struct outbox *out, int fd, const union client_address *to, const struct local_ip *from, const u8 *data,
           u32 size, u32 segment)
{
    struct waiting new = {.fd = fd, .size = segment, .segment = segment, .to = *to, .from = *from};
    u32 at = 0;
    if (to->any.sa_family == AF_UNIX) /* the system takes nothing apart for those */
        for (; size - at > segment; at += segment)
            if (!put_piece(out, &new, data + at))
                return false;
    new.size = size - at;
    return put_piece(out, &new, data + at);
}

/* ---- whole ---- */

struct outbox *
outbox_open(struct ev_loop *loop)
{
    struct outbox *out = calloc(1, sizeof *out);
    void *data = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!out || data == MAP_FAILED) {
        if (data != MAP_FAILED)
            munmap(data, BYTES);
        free(out);
        return NULL;
    }
    out->loop = loop;
    out->data = data;
    ev_prepare_init(&out->before_wait, on_prepare);
    ev_init(&out->again, on_again);
    out->before_wait.data = out;
    return out;
}

void
outbox_start(struct outbox *out, u64 *lost)
{
    out->lost = lost;
    ev_prepare_start(out->loop, &out->before_wait);
}

void
outbox_close(struct outbox *out)
{
    munmap(out->data, BYTES);
    free(out);
}
