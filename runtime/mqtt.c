/*
 * The CONNECT of MQTT 3.1, 3.1.1 and 5.0: bytes in, who connects out; reading them is preread.c's. OASIS MQTT 5.0,
 * sections 2.1 and 3.1. It is read up to the user name, or to the client identifier if there is none; whether all of it
 * is as it should be is the broker's business.
 */
#include "spcd.h"

#include <string.h>

enum {
    CONNECT = 1 << 4,
    WITH_RESERVED = 0x01,
    WITH_WILL = 0x04,
    WITH_USER_NAME = 0x80,
    LEVEL_3_1 = 3,
    LEVEL_5_0 = 5,
    BRIDGE = 0x80, /* in the level: mosquitto's bridges say what they are */
    VARINT_BYTES = 4,
};

struct cursor {
    const u8 *at, *end;  /* what there is */
    size_t left;         /* bytes that the packet says it still has */
    enum preread failed; /* why take() gave nothing */
};

static bool
is_wrong(struct cursor *cursor)
{
    cursor->failed = PREREAD_NONE;
    return false;
}

/* The next size bytes. False: failed says why. */
static bool
take(struct cursor *cursor, const u8 **bytes, size_t size)
{
    if (size > cursor->left)
        return is_wrong(cursor);
    if (size > (size_t)(cursor->end - cursor->at)) {
        cursor->failed = PREREAD_AGAIN;
        return false;
    }
    *bytes = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return true;
}

/* Seven bits in each byte, the low ones first; the eighth says that another one follows. */
static bool
take_varint(struct cursor *cursor, size_t *number)
{
    const u8 *byte;
    *number = 0;
    for (u32 i = 0; i < VARINT_BYTES; i++) {
        if (!take(cursor, &byte, 1))
            return false;
        *number |= (size_t)(*byte & 0x7f) << 7 * i;
        if (!(*byte & 0x80))
            return true;
    }
    return is_wrong(cursor);
}

/* Bytes behind their length of two. */
static bool
take_string(struct cursor *cursor, struct value *string)
{
    const u8 *size;
    if (!take(cursor, &size, 2))
        return false;
    string->size = (u32)size[0] << 8 | size[1];
    if (!take(cursor, &string->text, string->size))
        return false;
    string->state = VALUE_FOUND;
    return true;
}

static bool
skip_properties(struct cursor *cursor, u32 level)
{
    size_t size;
    const u8 *properties;
    return level < LEVEL_5_0 || (take_varint(cursor, &size) && take(cursor, &properties, size));
}

static bool
is_protocol(const struct value *name, u32 level)
{
    const char *like = level == LEVEL_3_1 ? "MQIsdp" : "MQTT";
    return level >= LEVEL_3_1 && level <= LEVEL_5_0 && name->size == strlen(like) &&
           memcmp(name->text, like, name->size) == 0;
}

/* What stands before the payload: the protocol, its level, flags, how long the client may be silent, properties. */
static bool
take_head(struct cursor *cursor, u32 *level, u32 *flags)
{
    struct value name;
    const u8 *head, *silence;
    if (!take_string(cursor, &name) || !take(cursor, &head, 2))
        return false;
    *level = head[0] & (u32)~BRIDGE;
    *flags = head[1];
    if (!is_protocol(&name, *level) || (*flags & WITH_RESERVED && *level > LEVEL_3_1))
        return is_wrong(cursor);
    return take(cursor, &silence, 2) && skip_properties(cursor, *level);
}

static bool
take_connect(struct cursor *cursor, struct mqtt *mqtt)
{
    const u8 *type;
    u32 level, flags;
    struct value topic, message;
    if (!take(cursor, &type, 1))
        return false;
    if (*type != CONNECT)
        return is_wrong(cursor);
    size_t size;
    if (!take_varint(cursor, &size))
        return false;
    cursor->left = size;
    if (!take_head(cursor, &level, &flags) || !take_string(cursor, &mqtt->client_id))
        return false;
    if (!(flags & WITH_USER_NAME))
        return true;
    if (flags & WITH_WILL &&
        (!skip_properties(cursor, level) || !take_string(cursor, &topic) || !take_string(cursor, &message)))
        return false;
    if (level == LEVEL_3_1 && cursor->left == 0)
        return true; /* as MQTT 3.1 allows, section 3.1: the flag without the name */
    return take_string(cursor, &mqtt->user_name);
}

/* What is not there is empty; and so is what is longer than a session should keep. */
static void
fill(struct value *value)
{
    if (value->state != VALUE_FOUND || value->size > PREREAD_TEXT)
        *value = (struct value){(const u8 *)"", 0, VALUE_FOUND};
}

enum preread
mqtt_parse(const u8 *data, size_t size, struct mqtt *mqtt)
{
    struct cursor cursor = {.at = data, .end = data + size, .left = 1 + VARINT_BYTES};
    *mqtt = (struct mqtt){0};
    bool whole = take_connect(&cursor, mqtt);
    fill(&mqtt->client_id);
    fill(&mqtt->user_name);
    return whole ? PREREAD_FOUND : cursor.failed;
}
