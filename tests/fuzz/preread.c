/*
 * What a client sends first, to the parsers of runtime/: they stay within it, and what they have decided of its
 * beginning is what they decide of the whole.
 */
#include "spcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum preread result;
    struct hello hello;
    u8 *name, *alpn; /* allocated each, so that a byte too far is seen */
};

static void
parse(const u8 *data, size_t size, struct outcome *outcome)
{
    u8 *exact = malloc(size > 0 ? size : 1);
    outcome->name = malloc(HELLO_NAME);
    outcome->alpn = malloc(HELLO_ALPN);
    if (exact == NULL || outcome->name == NULL || outcome->alpn == NULL)
        abort();
    memcpy(exact, data, size);
    outcome->result = hello_parse(exact, size, &outcome->hello, outcome->name, outcome->alpn);
    free(exact);
}

static void
release(struct outcome *outcome)
{
    free(outcome->name);
    free(outcome->alpn);
}

static bool
is_same(const struct value *one, const struct value *other)
{
    return one->size == other->size && memcmp(one->text, other->text, one->size) == 0;
}

static void
fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

/* A beginning that is enough to decide on. */
static void
compare(const struct outcome *early, const struct outcome *whole)
{
    if (early->result == PREREAD_AGAIN)
        return;
    if (early->result != whole->result)
        fail("decided, and then decided otherwise");
    if (early->result == PREREAD_NONE)
        return;
    if (!is_same(&early->hello.server_name, &whole->hello.server_name) ||
        !is_same(&early->hello.alpn, &whole->hello.alpn) ||
        memcmp(early->hello.version, whole->hello.version, sizeof whole->hello.version) != 0)
        fail("found, and then found otherwise");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome early, whole;
    u32 sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    parse(data, sum % (size + 1), &early);
    parse(data, size, &whole);
    if (whole.hello.server_name.size > HELLO_NAME || whole.hello.alpn.size > HELLO_ALPN)
        fail("more than there is room for");
    compare(&early, &whole);
    release(&early);
    release(&whole);
    return 0;
}
