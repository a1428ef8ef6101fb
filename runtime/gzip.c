/*
 * Compressed access logs: what a buffer has gathered in, one gzip member out, as nginx writes them; members one after
 * the other are a file that every gunzip reads. One state a shard, whose memory zlib takes when it is opened.
 */
#include "spcd.h"

#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8 }; /* zlib's largest window, in gzip's wrapping; its usual memory */

struct gzip {
    z_stream stream;
    u32 level;
    size_t size; /* bytes at out, room for all that may come at once */
    u8 *out;
};

/* The most bytes that are compressed at once; 0: none ever are. */
static u32
largest(const struct blob *blob)
{
    u32 size = 0;
    for (u32 i = 1; i < blob->access_count; i++) {
        const struct blob_access *record = &blob->access[i];
        u32 needs = record->buffer > ACCESS_LINE_MOST ? record->buffer : ACCESS_LINE_MOST;
        if (record->gzip && needs > size)
            size = needs;
    }
    return size;
}

bool
gzip_open(const struct blob *blob, struct gzip **gzip)
{
    u32 most = largest(blob);
    *gzip = NULL;
    if (most == 0)
        return true;
    struct gzip *made = calloc(1, sizeof *made);
    if (!made)
        return false;
    made->level = Z_BEST_SPEED;
    if (deflateInit2(&made->stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(made);
        return false;
    }
    made->size = deflateBound(&made->stream, most);
    made->out = malloc(made->size);
    *gzip = made; /* the shard's to close, whole or not */
    return made->out != NULL;
}

void
gzip_close(struct gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->stream);
    free(gzip->out);
    free(gzip);
}

const void *
gzip_pack(struct gzip *gzip, u32 level, const void *data, size_t *size)
{
    z_stream *stream = &gzip->stream;
    deflateReset(stream);
    if (level != gzip->level && deflateParams(stream, (int)level, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    gzip->level = level;
    stream->next_in = (u8 *)data; /* which zlib does not change */
    stream->avail_in = (uInt)*size;
    stream->next_out = gzip->out;
    stream->avail_out = (uInt)gzip->size;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return NULL;
    *size = gzip->size - stream->avail_out;
    return gzip->out;
}
