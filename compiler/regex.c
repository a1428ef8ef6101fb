/*
 * Regular expressions: judged patterns in, regex records out, and in the end the code of all of them in one piece, as
 * PCRE2 serializes it. PCRE2's memory is the arena's, so nothing has to be given back.
 */
#include "spcc.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

static void *
take_memory(size_t size, void *arena)
{
    return arena_take(arena, size);
}

static void
give_memory(void *memory, void *arena)
{
    (void)memory, (void)arena;
}

/* A slot for each named group that is used by its name. */
static void
add_captures(struct unit *unit, const pcre2_code *code, struct blob_regex *record, struct span span)
{
    u32 count = 0, size = 0;
    PCRE2_SPTR entry = NULL;
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &entry);
    record->capture = count > 0 ? image_count(unit, SECTION_capture) : 0;
    record->capture_named = count;
    for (u32 i = 0; i < count; i++, entry += size) { /* two bytes of number, and the name */
        struct blob_capture capture = {(u32)entry[0] << 8 | entry[1], slot_find(unit, (const char *)entry + 2)};
        image_add(unit, SECTION_capture, &capture, span);
    }
}

u32
regex_compile(struct unit *unit, const struct word *word, u32 start, bool caseless)
{
    const char *pattern = word->text + start;
    size_t size = word->size - start, offset;
    int error;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, &unit->arena);
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, size, caseless ? PCRE2_CASELESS : 0, &error, &offset, context);
    if (code == NULL)
        return 0;
    struct blob_regex record = {.pattern = image_text(unit, word->text, word->size)};
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &record.capture_count);
    add_captures(unit, code, &record, word->span);
    *(pcre2_code **)vector_add(&unit->arena, &unit->codes, sizeof code) = code;
    return image_add(unit, SECTION_regex, &record, word->span);
}

void
regex_finish(struct unit *unit)
{
    uint8_t *bytes;
    PCRE2_SIZE size;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, &unit->arena);
    if (unit->codes.count == 0)
        return;
    pcre2_serialize_encode((const pcre2_code **)unit->codes.item, (i32)unit->codes.count, &bytes, &size, memory);
    while (image_count(unit, SECTION_code) % CODE_AT != 0) /* PCRE2 reads words in it */
        image_add(unit, SECTION_code, "", (struct span){0, 0});
    for (PCRE2_SIZE i = 0; i < size; i++)
        image_add(unit, SECTION_code, &bytes[i], (struct span){0, 0});
}
