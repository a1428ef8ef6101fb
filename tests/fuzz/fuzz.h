/*
 * What the files of tests/fuzz share. A target takes bytes of any kind and returns 0; a mistake ends it by abort() or
 * by a sanitizer. The name is libFuzzer's.
 *
 *     compile.c   a configuration, from characters to the blob      \
 *     format.c    the layout: the same words, and stable             } + libFuzzer (make fuzz), or + replay.c
 *     blob.c      a blob: the verifier, and all that trusts it      /
 *     preread.c   what a client sends first; its random inputs are those of packets.c, not of random.c
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "spcc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A NUL-ended copy of exactly size + 1 bytes, so that a byte too far is seen; for free(). */
char *fuzz_text(const void *data, size_t size);
/* Say what is wrong and abort. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* /dev/null */
FILE *fuzz_nowhere(void);

/* common.c: what "include N;" finds in place of files, all of which the linker keeps away. */
enum { FUZZ_PARTS = 8 };
struct fuzz_part {
    char *text;
    u32 size;
};
extern struct fuzz_part fuzz_part[FUZZ_PARTS];

/* random.c: text like a configuration, the same for the same seed. Its size; at most capacity. */
size_t random_text(u64 seed, char *text, size_t capacity);

#endif
