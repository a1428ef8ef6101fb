/*
 * What a client sends first, to the parsers of runtime/: they stay within it, and what they have decided of its
 * beginning is what they decide of the whole. No beginning is of two kinds.
 */
#include "spcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum preread result;
    struct value value[2];
    u8 version[2];
    u8 *data, *room[2]; /* allocated each, so that a byte too far is seen */
};

static void
parse_hello(size_t size, struct outcome *outcome)
{
    struct hello hello;
    outcome->result = hello_parse(outcome->data, size, &hello, outcome->room[0], outcome->room[1]);
    outcome->value[0] = hello.server_name;
    outcome->value[1] = hello.alpn;
    memcpy(outcome->version, hello.version, sizeof hello.version);
}

static void
parse_mqtt(size_t size, struct outcome *outcome)
{
    struct mqtt mqtt;
    outcome->result = mqtt_parse(outcome->data, size, &mqtt);
    outcome->value[0] = mqtt.client_id;
    outcome->value[1] = mqtt.user_name;
}

static void
parse_request(size_t size, struct outcome *outcome)
{
    outcome->result = request_parse(outcome->data, size, &outcome->value[0], outcome->room[0]);
}

static const struct kind {
    void (*parse)(size_t size, struct outcome *outcome);
    size_t room;
} kinds[] = {{parse_hello, HELLO_NAME}, {parse_mqtt, PREREAD_TEXT}, {parse_request, PREREAD_TEXT}};

static void *
take(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

static void
parse(const struct kind *kind, const u8 *data, size_t size, struct outcome *outcome)
{
    *outcome = (struct outcome){.data = take(size), .room = {take(kind->room), take(HELLO_ALPN)}};
    if (size > 0)
        memcpy(outcome->data, data, size);
    kind->parse(size, outcome);
}

static void
release(struct outcome *outcome)
{
    free(outcome->data);
    free(outcome->room[0]);
    free(outcome->room[1]);
}

static void
fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static bool
is_same(const struct value *one, const struct value *other)
{
    return one->state == other->state && one->size == other->size &&
           (one->size == 0 || memcmp(one->text, other->text, one->size) == 0);
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
    if (!is_same(&early->value[0], &whole->value[0]) || !is_same(&early->value[1], &whole->value[1]) ||
        memcmp(early->version, whole->version, sizeof whole->version) != 0)
        fail("found, and then found otherwise");
}

static enum preread
run(const struct kind *kind, const u8 *data, size_t beginning, size_t size)
{
    struct outcome early, whole;
    parse(kind, data, beginning, &early);
    parse(kind, data, size, &whole);
    if (whole.value[0].size > kind->room || whole.value[1].size > HELLO_ALPN)
        fail("more than there is room for");
    compare(&early, &whole);
    release(&early);
    release(&whole);
    return whole.result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u32 sum = 0, found = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        found += run(&kinds[i], data, sum % (size + 1), size) == PREREAD_FOUND;
    if (found > 1)
        fail("of two kinds");
    return 0;
}
