/*
 * proxy_protocol and proxy_protocol_tlv: which PROXY header goes to the upstream server, and what is in it. Types
 * are those of the PROXY protocol's section 2.2.
 */
#include "spcc.h"

#include <string.h>

enum { PROTOCOL_OFF, PROTOCOL_V1, PROTOCOL_V2 };

enum { TLV_CRC32C = 0x03, TLV_UNIQUE_ID = 0x05, UNIQUE_ID_MAX = 128 };

static const struct {
    const char *name;
    u32 type;
} types[] = {
    {"alpn", 0x01}, {"authority", 0x02}, {"crc32c", TLV_CRC32C}, {"unique_id", TLV_UNIQUE_ID}, {"netns", 0x30},
};

enum { TYPE_COUNT = sizeof types / sizeof *types };

static int
hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c | 0x20);
    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

/* A name, or 0x and two digits. */
static bool
read_type(const char *text, u32 *type)
{
    for (u32 i = 0; i < TYPE_COUNT; i++)
        if (strcmp(types[i].name, text) == 0) {
            *type = types[i].type;
            return true;
        }
    if (strncmp(text, "0x", 2) != 0 || strlen(text) != 4 || hex_digit(text[2]) < 0 || hex_digit(text[3]) < 0)
        return false;
    *type = (u32)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
    return true;
}

static void
say_type(struct unit *unit, const struct word *word)
{
    struct nearest nearest = {.word = word->text};
    diag(unit, bad_tlv, word->span, show(unit, word->text, word->size));
    for (u32 i = 0; i < TYPE_COUNT; i++)
        nearest_try(&nearest, types[i].name);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

/* Lower one node. False: it is a checksum, or it was reported. */
static bool
read_tlv(struct unit *unit, const struct node *node, struct blob_proxy *proxy, struct blob_tlv *record)
{
    const struct word *name = &node->word[1], *value = node->word_count > 2 ? &node->word[2] : NULL;
    u32 type = 0;
    if (!read_type(name->text, &type)) {
        say_type(unit, name);
    } else if (type == TLV_CRC32C) {
        proxy->flags |= PROXY_PROTOCOL_CRC32C;
        if (value != NULL)
            diag(unit, tlv_checksum, value->span, show(unit, name->text, name->size));
    } else if (value == NULL) {
        diag(unit, tlv_value, name->span, show(unit, name->text, name->size));
    } else if (type == TLV_UNIQUE_ID && !expr_is_dynamic(value) && value->size > UNIQUE_ID_MAX) {
        diag(unit, tlv_long, value->span, UNIQUE_ID_MAX);
    } else {
        *record = (struct blob_tlv){.type = type, .value = expr_compile(unit, value)};
        return record->value != 0;
    }
    return false;
}

void
preamble_compile(struct unit *unit, const struct scope *scope, struct blob_proxy *proxy)
{
    const struct node *protocol = scope_nearest(scope, &directives[DIRECTIVE_proxy_protocol]);
    const struct node *node = scope_nearest(scope, &directives[DIRECTIVE_proxy_protocol_tlv]);
    u64 version = protocol != NULL && !protocol->broken ? protocol->value : PROTOCOL_OFF;
    if (version == PROTOCOL_OFF)
        return;
    proxy->flags |= version == PROTOCOL_V2 ? PROXY_PROTOCOL | PROXY_PROTOCOL_V2 : PROXY_PROTOCOL;
    if (protocol->word_count > 2)
        proxy->flags |= PROXY_PROTOCOL_EVERY;
    if (node != NULL && version != PROTOCOL_V2) {
        diag(unit, tlv_version, node->word[0].span);
        diag_note(unit, protocol->word[1].span, "the text form is asked for here");
        return;
    }
    struct vector records = {0}; /* expressions first: the records must stand in a row */
    for (; node != NULL; node = node->again) {
        struct blob_tlv record;
        if (!node->broken && read_tlv(unit, node, proxy, &record))
            *(struct blob_tlv *)vector_add(&unit->arena, &records, sizeof record) = record;
    }
    proxy->tlv = records.count > 0 ? image_count(unit, SECTION_tlv) : 0;
    proxy->tlv_count = records.count;
    for (u32 i = 0; i < records.count; i++)
        image_add(unit, SECTION_tlv, (struct blob_tlv *)records.item + i, protocol->word[0].span);
}
