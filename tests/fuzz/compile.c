/*
 * A whole compilation: lexer, parser, checker, opinions, records, the blob, and every message printed. Bytes 0x1e
 * divide the input into the main file and those that "include 1;" and so on find. What compiles is a blob.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { SEPARATOR = 0x1e };

static void
split(const uint8_t *data, size_t size)
{
    for (int i = 0; i < FUZZ_PARTS; i++) {
        const uint8_t *end = size > 0 && i + 1 < FUZZ_PARTS ? memchr(data, SEPARATOR, size) : NULL;
        size_t length = end != NULL ? (size_t)(end - data) : size;
        fuzz_part[i] = (struct fuzz_part){fuzz_text(data, length), (u32)length};
        size_t taken = length + (end != NULL);
        data += taken;
        size -= taken;
    }
}

static void
finish(struct unit *unit)
{
    void *data;
    size_t size;
    struct blob blob;
    char error[BLOB_ERROR_SIZE];
    if (!image_finish(unit, &data, &size))
        fuzz_fail("a blob of more than 4 GiB");
    if (!blob_open(&blob, data, size, error))
        fuzz_fail("the blob is not well-formed: %s", error);
    dump(&blob, fuzz_nowhere());
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unit unit;
    split(data, size);
    unit_open(&unit);
    unit.pedantic = true;
    compile_source(&unit, source_of_text(&unit, "main.conf", fuzz_part[0].text, fuzz_part[0].size));
    diag_print(&unit, fuzz_nowhere(), size % 2 == 0);
    if (!diag_failed(&unit))
        finish(&unit);
    unit_close(&unit);
    for (int i = 0; i < FUZZ_PARTS; i++)
        free(fuzz_part[i].text);
    return 0;
}
