/*
 * QUIC, as much of it as anybody between the ends may know (RFC 8999): which connection a datagram is for, so that a
 * client whose port changes keeps its server where a group hashes on $quic_dcid. A client makes up the id of its first
 * packets; later ones have an id of the server's, of a size that only the server knows. The server shows it in each
 * packet with a long header, which the handshake is made of. So these ids are remembered, with the server, for all
 * workers and generations, and found again in front of packets from a new port.
 *
 *      long header    1....... version(4) size id   size source-id ...
 *      short header   0....... id, of a size that is not said ...
 */
#include "spcd.h"

#include <string.h>
#include <sys/mman.h>

enum {
    LONG_HEADER = 0x80,
    ID_MOST = 20, /* bytes, of version 1 (RFC 9000) */
    ID_GUESS = 8, /* of an id of unknown size, which has at least so many if a server is to tell its clients apart */
    DCID_AT = 5,
    WAYS = 4,
    IDS_LEAST = 1024,
    IDS_MOST = 1 << 20,
};

struct connection_id {
    u8 size, byte[ID_MOST];
};

/* What a session knows; the ids are for whom the client sent its first datagram, and what its server is known by. */
struct quic {
    struct connection_id target, shown;
    u64 home; /* who showed the target; 0: nobody */
    bool learns;
};
const size_t quic_size = sizeof(struct quic);

/* An id that a server showed: it may stand in one of WAYS places, of which the newest comes first. */
struct known {
    struct connection_id id;
    u64 home;
};

static struct {
    pthread_mutex_t mutex;
    struct known *known;
    u32 sets; /* a power of two */
    u32 sizes; /* a bit for each size that an id had */
} ids = {.mutex = PTHREAD_MUTEX_INITIALIZER};

bool
quic_wanted(const struct blob *blob)
{
    bool wanted = false;
    for (u32 i = 1; i < blob->op_count && !wanted; i++)
        wanted = blob->op[i].variable == VARIABLE_quic_dcid;
    return wanted;
}

bool
quic_open(const struct blob *blob, u32 workers)
{
    u64 wanted = (u64)blob->main[1].worker_connections * workers, count = IDS_LEAST;
    if (ids.known || !quic_wanted(blob))
        return true;
    while (count < wanted && count < IDS_MOST)
        count *= 2;
    void *memory = mmap(NULL, count * sizeof(struct known), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    ids.known = memory;
    ids.sets = (u32)count / WAYS;
    return true;
}

/* ---- what servers have shown ---- */

static struct known *
set_of(const struct connection_id *id)
{
    return &ids.known[(blob_hash(id->byte, id->size) & (ids.sets - 1)) * WAYS];
}

static u32
place_of(const struct known *set, const struct connection_id *id)
{
    u32 i = 0;
    while (i < WAYS && (set[i].id.size != id->size || memcmp(set[i].id.byte, id->byte, id->size) != 0))
        i++;
    return i;
}

static void
remember(const struct connection_id *id, u64 home)
{
    pthread_mutex_lock(&ids.mutex);
    struct known *set = set_of(id);
    u32 place = place_of(set, id);
    memmove(set + 1, set, (place < WAYS ? place : WAYS - 1) * sizeof *set);
    set[0] = (struct known){.id = *id, .home = home};
    ids.sizes |= 1u << id->size;
    pthread_mutex_unlock(&ids.mutex);
}

/* Who showed it; 0: nobody. */
static u64
home_of(const struct connection_id *id)
{
    const struct known *set = set_of(id);
    u32 place = place_of(set, id);
    return place < WAYS ? set[place].home : 0;
}

/* ---- packets ---- */

/* Read an id and its size at data. False: there is none, or it is no id of version 1. */
static bool
read_id(const u8 *data, size_t size, struct connection_id *id)
{
    if (size < 1 || data[0] > ID_MOST || size < 1u + data[0])
        return false;
    id->size = data[0];
    memcpy(id->byte, data + 1, id->size);
    return id->size > 0;
}

/* Whose size is not said: any that a server showed, or its beginning. */
static void
find_short(struct quic *quic, const u8 *data, size_t size)
{
    struct connection_id *id = &quic->target;
    pthread_mutex_lock(&ids.mutex);
    for (u32 try = 1; try <= ID_MOST && try <= size && !quic->home; try++)
        if (ids.sizes >> try & 1) {
            id->size = (u8)try;
            memcpy(id->byte, data, try);
            quic->home = home_of(id);
        }
    pthread_mutex_unlock(&ids.mutex);
    if (quic->home)
        return;
    id->size = size >= ID_GUESS ? ID_GUESS : 0;
    memcpy(id->byte, data, id->size);
}

static void
read_first(struct quic *quic, const u8 *data, size_t size)
{
    *quic = (struct quic){0};
    if (size < 1)
        return;
    if (!(data[0] & LONG_HEADER)) {
        find_short(quic, data + 1, size - 1);
    } else if (size > DCID_AT && read_id(data + DCID_AT, size - DCID_AT, &quic->target)) {
        pthread_mutex_lock(&ids.mutex);
        quic->home = home_of(&quic->target);
        pthread_mutex_unlock(&ids.mutex);
    }
}

/* What the session's first datagram says, as long as that is there. NULL: nothing is known. */
static struct quic *
quic_of(struct session *s)
{
    size_t size;
    const u8 *data = !s->client.udp.quic && session_is_udp(s) ? udp_first(s, &size) : NULL;
    if (!data)
        return s->client.udp.quic;
    s->client.udp.quic = slab_take(&s->shard->quics);
    if (s->client.udp.quic)
        read_first(s->client.udp.quic, data, size);
    return s->client.udp.quic;
}

bool
quic_put_dcid(struct session *s, struct output *out)
{
    const struct quic *quic = quic_of(s);
    for (u32 i = 0; quic && i < quic->target.size; i++)
        output_print(out, "%02x", quic->target.byte[i]);
    return quic && quic->target.size > 0;
}

/* ---- servers ---- */

static bool
is_keyed(const struct session *s)
{
    const struct blob *blob = s->shard->blob;
    const struct blob_expr *key = &blob->expr[blob->upstream[s->upstream_index].key];
    bool keyed = false;
    for (u32 i = 0; i < key->op_count && !keyed; i++)
        keyed = blob->op[key->op + i].variable == VARIABLE_quic_dcid;
    return keyed;
}

static u64
name_of(const struct target *target)
{
    return blob_hash(target->text, strlen(target->text)) | 1;
}

u32
quic_home(struct session *s, const struct target *target, u32 count)
{
    const struct quic *quic = s->shard->quics.count > 0 && is_keyed(s) ? quic_of(s) : NULL;
    u32 i = quic && quic->home ? 0 : count;
    while (i < count && name_of(&target[i]) != quic->home)
        i++;
    return i < count ? i : UINT32_MAX;
}

void
quic_start(struct session *s)
{
    struct quic *quic = s->shard->quics.count > 0 ? quic_of(s) : NULL;
    if (quic)
        quic->learns = !s->made && is_keyed(s);
}

static void
learn(struct session *s, const u8 *data, size_t size)
{
    struct connection_id id;
    if (size <= DCID_AT || !(data[0] & LONG_HEADER) || size <= DCID_AT + 1u + data[DCID_AT])
        return;
    size_t at = DCID_AT + 1u + data[DCID_AT];
    if (!read_id(data + at, size - at, &id))
        return;
    if (id.size == s->client.udp.quic->shown.size && memcmp(id.byte, s->client.udp.quic->shown.byte, id.size) == 0)
        return;
    const struct generation *g = s->shard->generation;
    remember(&id, name_of(&g->target[g->upstream[s->upstream_index].target + s->target]));
    s->client.udp.quic->shown = id;
}

void
quic_learn(struct session *s, const struct datagram *piece)
{
    for (u32 at = 0; s->client.udp.quic->learns && at < piece->size; at += piece->segment)
        learn(s, piece->data + at, piece->size - at < piece->segment ? piece->size - at : piece->segment);
}
