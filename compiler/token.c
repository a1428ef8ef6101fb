/*
 * Keys in tokens: "store:" and the URI of RFC 7512 in, a token record and the file of its PIN out. Which tokens there
 * are is spcd's to find out.
 */
#include "judge.h"

#include <string.h>

static const char scheme[] = "store:pkcs11:";

/* What a URI may say; before its "?", and behind it. */
static const char *const path_names[] = {"token", "manufacturer", "serial", "model", "library-manufacturer",
                                         "library-version", "library-description", "object", "type", "id", "slot-id",
                                         "slot-manufacturer", "slot-description", NULL};
static const char *const query_names[] = {"pin-source", "pin-value", "module-name", "module-path", NULL};

bool
token_is_named(const struct word *word)
{
    return strncmp(word->text, scheme, sizeof scheme - 1) == 0;
}

static u32
hex_digit(char c)
{
    return c >= '0' && c <= '9' ? (u32)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (u32)((c | 32) - 'a' + 10) : 16;
}

/* "%41" is "A"; NULL: something else follows a "%". */
static const char *
decode(struct unit *unit, const char *text, size_t size)
{
    char *result = arena_take(&unit->arena, size + 1);
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            result[used++] = text[i];
            continue;
        }
        u32 high = i + 2 < size ? hex_digit(text[i + 1]) : 16, low = high < 16 ? hex_digit(text[i + 2]) : 16;
        if (low == 16 || high + low == 0)
            return NULL;
        result[used++] = (char)(high * 16 + low);
        i += 2;
    }
    result[used] = '\0';
    return result;
}

/* One "name=value" of the URI. */
struct attribute {
    const char *name, *value; /* NULL: it is not written like that */
    struct span span;
};

static struct attribute
read_attribute(struct unit *unit, const struct word *word, u32 start, u32 end)
{
    const char *text = word->text + start, *equals = memchr(text, '=', end - start);
    struct attribute attribute = {.span = word_part(word, start, end)};
    if (equals == NULL)
        return attribute;
    attribute.name = arena_text(&unit->arena, text, (size_t)(equals - text));
    attribute.value = decode(unit, equals + 1, (size_t)(word->text + end - equals - 1));
    return attribute;
}

static bool
is_known(struct unit *unit, const struct attribute *attribute, const char *const *names)
{
    struct nearest nearest = {.word = attribute->name};
    for (; *names != NULL; names++) {
        if (strcmp(*names, attribute->name) == 0)
            return true;
        nearest_try(&nearest, *names);
    }
    diag(unit, bad_token, attribute->span, show(unit, attribute->name, strlen(attribute->name)),
         "RFC 7512 has no such attribute there");
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
    return false;
}

/* A file of the PIN, "file:/path" or "/path". */
static u32
compile_pin(struct unit *unit, const struct attribute *attribute)
{
    static const char directive[] = "pin-source";
    const char *path = attribute->value + (strncmp(attribute->value, "file:", 5) == 0 ? 5 : 0);
    path += strncmp(path, "///", 3) == 0 ? 2 : 0;
    struct blob_file record = {image_text(unit, path, strlen(path)), image_text(unit, directive, strlen(directive))};
    if (*path != '/')
        diag(unit, bad_token, attribute->span, show(unit, attribute->value, strlen(attribute->value)),
             "a PIN is read from a file, by its whole path");
    return image_add(unit, SECTION_file, &record, attribute->span);
}

static void
take_attribute(struct unit *unit, const struct attribute *attribute, bool query, u32 *pin)
{
    if (attribute->name == NULL || attribute->value == NULL) {
        diag(unit, bad_token, attribute->span, "this part of the URI",
             "it is written name=value, and % stands before two digits only");
        return;
    }
    if (!is_known(unit, attribute, query ? query_names : path_names))
        return;
    if (strcmp(attribute->name, "pin-value") == 0)
        diag(unit, bad_token, attribute->span, "a PIN", "a secret does not belong into a configuration");
    if (strcmp(attribute->name, "type") == 0 && strcmp(attribute->value, "private") != 0)
        diag(unit, bad_token, attribute->span, show(unit, attribute->value, strlen(attribute->value)),
             "what signs is a private key");
    if (strcmp(attribute->name, "pin-source") == 0)
        *pin = compile_pin(unit, attribute);
}

u32
token_compile(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[1];
    u32 at = sizeof scheme - 1, mark = at + (u32)strcspn(word->text + at, "?"), pin = 0;
    const char *uri = word->text + strlen("store:");
    if (node->index != 0)
        return node->index;
    while (at < word->size) {
        bool query = at >= mark;
        if (word->text[at] == '?')
            at++;
        u32 end = at + (u32)strcspn(word->text + at, query ? "&" : ";?");
        struct attribute attribute = read_attribute(unit, word, at, end);
        if (end > at)
            take_attribute(unit, &attribute, query, &pin);
        at = end + (end < word->size && word->text[end] != '?');
    }
    struct blob_token record = {image_text(unit, uri, strlen(uri)), pin};
    return node->index = image_add(unit, SECTION_token, &record, word->span);
}
