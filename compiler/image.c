/*
 * The model, which is the blob: a vector for each section of blob.def, interned text, and where each record came
 * from. Writing is concatenation. Records and text go in; the bytes of a blob, and a file of them, come out.
 */
#include "spcc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- records ---- */

static void *
add_raw(struct unit *unit, enum section section)
{
    return vector_add(&unit->arena, &unit->image.section[section], blob_sections[section].record_size);
}

void
image_open(struct unit *unit)
{
    for (u32 i = 0; i < SECTION_COUNT; i++)
        add_raw(unit, i); /* record 0: none; of text: the empty one */
}

u32
image_count(const struct unit *unit, enum section section)
{
    return unit->image.section[section].count;
}

void *
image_at(struct unit *unit, enum section section, u32 index)
{
    return (u8 *)unit->image.section[section].item + (size_t)index * blob_sections[section].record_size;
}

static void
note_origin(struct unit *unit, enum section section, u32 index, struct span span)
{
    struct place place = source_place(unit, span.start);
    if (place.source == NULL || unit->no_origin)
        return;
    struct blob_origin *origin = vector_add(&unit->arena, &unit->image.origin, sizeof *origin);
    origin->of = (u64)section << 32 | index;
    origin->file = image_text(unit, place.source->name, strlen(place.source->name));
    origin->line = place.line;
}

u32
image_add(struct unit *unit, enum section section, const void *record, struct span span)
{
    u32 index = image_count(unit, section);
    memcpy(add_raw(unit, section), record, blob_sections[section].record_size);
    note_origin(unit, section, index, span);
    return index;
}

u32
image_text(struct unit *unit, const char *text, size_t size)
{
    if (size == 0)
        return 0;
    struct vector *bytes = &unit->image.section[SECTION_text];
    u32 *offset = map_at_copy(&unit->arena, &unit->image.text, text, size);
    if (*offset == 0) {
        *offset = bytes->count;
        memcpy(vector_extend(&unit->arena, bytes, 1, (u32)size + 1), text, size); /* a NUL follows */
    }
    return *offset;
}

const char *
image_string(const struct unit *unit, u32 offset)
{
    return (const char *)unit->image.section[SECTION_text].item + offset;
}

/* ---- the blob ---- */

static int
by_record(const void *one, const void *other)
{
    u64 a = ((const struct blob_origin *)one)->of, b = ((const struct blob_origin *)other)->of;
    return a < b ? -1 : a > b;
}

static void
finish_origins(struct unit *unit)
{
    struct vector *origin = &unit->image.origin;
    if (origin->count > 0)
        qsort(origin->item, origin->count, sizeof(struct blob_origin), by_record);
    for (u32 i = 0; i < origin->count; i++)
        memcpy(add_raw(unit, SECTION_origin), (struct blob_origin *)origin->item + i, sizeof(struct blob_origin));
}

static u64
aligned(u64 offset)
{
    return (offset + 7) & ~7ull;
}

bool
image_finish(struct unit *unit, void **data, size_t *size)
{
    struct blob_header header = {.fingerprint = blob_fingerprint()};
    memcpy(header.magic, BLOB_MAGIC, sizeof header.magic);
    strcpy(header.version, SPC_VERSION);
    finish_origins(unit);
    u64 at = aligned(sizeof header);
    for (u32 i = 0; i < SECTION_COUNT; i++) {
        u64 count = image_count(unit, i);
        header.section[i].at = at;
        header.section[i].count = count;
        header.size = at + count * blob_sections[i].record_size;
        at = aligned(header.size);
    }
    if (header.size > BLOB_SIZE_MAX)
        return false;
    u8 *bytes = arena_take(&unit->arena, header.size);
    for (u32 i = 0; i < SECTION_COUNT; i++)
        memcpy(bytes + header.section[i].at, unit->image.section[i].item,
               header.section[i].count * blob_sections[i].record_size);
    memcpy(bytes, &header, sizeof header);
    blob_digest(bytes, header.size, ((struct blob_header *)(void *)bytes)->digest);
    *data = bytes;
    *size = header.size;
    return true;
}

/* ---- the file ---- */

const char *
image_write(struct unit *unit, const char *path, const void *data, size_t size)
{
    struct stat status;
    if (strcmp(path, "-") == 0)
        return output_write(STDOUT_FILENO, data, size) ? NULL : strerror(errno);
    if (stat(path, &status) != 0)
        return output_replace(unit, path, data, size, NULL);
    if (S_ISDIR(status.st_mode))
        return strerror(EISDIR);
    if (!S_ISREG(status.st_mode))
        return output_send(path, data, size);
    struct source **source = unit->sources.item;
    for (u32 i = 0; i < unit->sources.count; i++)
        if (source[i]->device == status.st_dev && source[i]->inode == status.st_ino)
            return "it is a file that was just read";
    return output_replace(unit, path, data, size, &status);
}
