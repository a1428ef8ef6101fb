/*
 * proxy_ssl_conf_command: commands for OpenSSL, judged nodes in, what they choose out. conf_commands.def says what each
 * means here. As in nginx, a later command for the same thing holds.
 */
#include "spcc.h"

#include <string.h>

enum use {
    REFUSED, NOTHING, VERSIONS, LEAST, MOST, CIPHERS, SUITES, CURVES, SIGNATURES, SIGNING, OPTIONS, TICKETS,
    COMPRESSION,
};

const struct conf_command conf_commands[] = {
#define CONF_COMMAND(name, use, says) {name, use, says},
#include "conf_commands.def"
    {0},
};

const struct conf_command conf_options[] = {
#define CONF_OPTION(name, use, says) {name, use, says},
#include "conf_commands.def"
    {0},
};

const char *
conf_command_fate(const struct conf_command *row)
{
    return row->use == REFUSED ? "refused: " : row->use == NOTHING ? "no effect: " : "";
}

static const char version_words[] = "TLSv1|TLSv1.1|TLSv1.2|TLSv1.3";
enum { ALL_VERSIONS = TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3 };

static const char *
shown(struct unit *unit, const char *text)
{
    return show(unit, text, strlen(text));
}

static const struct conf_command *
find(const struct conf_command *table, const char *name)
{
    while (table->name != NULL && strcasecmp(table->name, name) != 0)
        table++;
    return table->name != NULL ? table : NULL;
}

static void
say_unknown(struct unit *unit, const struct word *word, const char *name, const struct conf_command *table)
{
    struct nearest nearest = {.word = name};
    diag(unit, bad_conf_command, word->span, shown(unit, name), "OpenSSL has no such command");
    for (; table->name != NULL; table++)
        nearest_try(&nearest, table->name);
    if (nearest.best != NULL)
        diag_help(unit, "did you mean %s?", nearest.best);
}

static bool
say_useless(struct unit *unit, const struct word *word, const struct conf_command *row)
{
    if (row->use == REFUSED)
        diag(unit, bad_conf_command, word->span, shown(unit, row->name), row->says);
    else if (row->use == NOTHING)
        diag(unit, no_effect, word->span, shown(unit, row->name), row->says);
    return row->use == REFUSED || row->use == NOTHING;
}

/* The next element of a list: its text in name, without blanks around it; the rest after its comma. */
static const char *
next_element(struct unit *unit, const char *at, const char **name)
{
    size_t size = strcspn(at, ","), blank = strspn(at, " \t"), end = size;
    while (end > blank && (at[end - 1] == ' ' || at[end - 1] == '\t'))
        end--;
    *name = arena_text(&unit->arena, at + (blank < end ? blank : end), end > blank ? end - blank : 0);
    return at + size + (at[size] == ',');
}

static void
say_value(struct unit *unit, const struct word *word, const char *text, const char *wanted)
{
    diag(unit, bad_conf_value, word->span, shown(unit, text), wanted);
}

/* ---- versions ---- */

/* The bit of a version; 0: it is none. */
static u32
version_bit(const char *text)
{
    u64 which;
    return value_word(text, strlen(text), version_words, &which) == READ_OK ? 1u << which : 0;
}

/* MinProtocol and MaxProtocol only narrow, as OpenSSL's do beside nginx's own options. */
static void
read_bound(struct unit *unit, const struct word *word, bool least, struct tls_choices *choices)
{
    u32 bit = version_bit(word->text);
    if (strcasecmp(word->text, "None") == 0)
        return;
    if (bit == 0)
        say_value(unit, word, word->text, "TLSv1, TLSv1.1, TLSv1.2, TLSv1.3 or None");
    else
        choices->versions &= least ? ~(bit - 1) : bit | (bit - 1);
}

/* "ALL,-TLSv1" */
static void
read_versions(struct unit *unit, const struct word *word, struct tls_choices *choices)
{
    u32 bits = 0;
    for (const char *at = word->text; *at != '\0';) {
        const char *name;
        at = next_element(unit, at, &name);
        bool minus = *name == '-';
        name += minus || *name == '+';
        u32 bit = strcasecmp(name, "ALL") == 0 ? (u32)ALL_VERSIONS : version_bit(name);
        if (bit == 0 && strncasecmp(name, "SSL", 3) == 0)
            bit = 0; /* which nobody speaks: to take it away is no mistake */
        else if (bit == 0)
            say_value(unit, word, name, "ALL, TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3");
        bits = minus ? bits & ~bit : bits | bit;
    }
    choices->versions = bits;
}

/* ---- lists ---- */

/* OpenSSL has more names for a group than BoringSSL. */
static const char *
translate_curve(const char *name)
{
    static const char *const names[][2] = {
        {"secp256r1", "P-256"}, {"prime256v1", "P-256"}, {"secp384r1", "P-384"}, {"secp521r1", "P-521"},
        {"x25519", "X25519"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(names[i][0], name) == 0)
            return names[i][1];
    return name;
}

static void
read_curves(struct unit *unit, const struct word *word, struct tls_choices *choices)
{
    const char *list = "";
    if (strcasecmp(word->text, "auto") == 0 || strcasecmp(word->text, "automatic") == 0)
        return; /* those that are usual, as without the command */
    for (const char *at = word->text; *at != '\0';) {
        size_t size = strcspn(at, ":");
        const char *name = translate_curve(arena_text(&unit->arena, at, size));
        if (!tls_curves_work(name))
            say_value(unit, word, name, "X25519, P-256, P-384 or P-521: BoringSSL has no other groups");
        list = *list != '\0' ? arena_print(&unit->arena, "%s:%s", list, name) : name;
        at += size + (at[size] == ':');
    }
    choices->curves = list;
}

static void
read_signatures(struct unit *unit, const struct word *word, bool signs_only, struct tls_choices *choices)
{
    static const char wanted[] = "a signature algorithm that BoringSSL has, as RSA+SHA256 and ed25519 are";
    bool named = false;
    if (choices->signatures[0] != '\0' && choices->signs_only != signs_only)
        diag(unit, bad_conf_command, word->span, "SignatureAlgorithms beside ClientSignatureAlgorithms",
             "BoringSSL reads one list of them");
    choices->signs_only = signs_only;
    choices->signatures = word->text;
    if (tls_signatures_work(word->text))
        return;
    for (const char *at = word->text; *at != '\0';) {
        size_t size = strcspn(at, ":");
        const char *name = arena_text(&unit->arena, at, size);
        if (!tls_signatures_work(name)) {
            say_value(unit, word, name, wanted);
            named = true;
        }
        at += size + (at[size] == ':');
    }
    if (!named)
        say_value(unit, word, word->text, "a list of signature algorithms, each once, with colons between them");
}

static void
read_suites(struct unit *unit, const struct word *word)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (strstr(word->text, suites[i]) == NULL) {
            say_value(unit, word, word->text, "all three suites: BoringSSL leaves none of them out");
            diag_help(unit, "take the command out; it offers %s too", suites[i]);
            return;
        }
}

/* ---- options ---- */

static void
read_options(struct unit *unit, const struct word *word, struct tls_choices *choices)
{
    for (const char *at = word->text; *at != '\0';) {
        const char *name;
        at = next_element(unit, at, &name);
        bool minus = *name == '-';
        name += minus || *name == '+';
        const struct conf_command *row = find(conf_options, name);
        if (row == NULL)
            say_unknown(unit, word, name, conf_options);
        else if (row->use == TICKETS)
            choices->no_ticket = minus;
        else if (row->use == COMPRESSION && !minus)
            diag(unit, bad_conf_command, word->span, shown(unit, name), row->says);
        else if (row->use != COMPRESSION && !minus)
            say_useless(unit, word, row);
    }
}

void
conf_command_read(struct unit *unit, const struct node *node, struct tls_choices *choices)
{
    const struct word *name = &node->word[1], *value = &node->word[2];
    const struct conf_command *row = find(conf_commands, name->text);
    if (row == NULL) {
        say_unknown(unit, name, name->text, conf_commands);
        return;
    }
    if (say_useless(unit, name, row))
        return;
    if (expr_is_dynamic(value)) {
        diag(unit, bad_conf_value, value->span, shown(unit, value->text), "text without variables");
        return;
    }
    if (value->size == 0) {
        say_value(unit, value, "", "a value");
        return;
    }
    switch ((enum use)row->use) {
    case LEAST:
    case MOST:
        read_bound(unit, value, row->use == LEAST, choices);
        break;
    case VERSIONS:
        read_versions(unit, value, choices);
        break;
    case CIPHERS:
        cipher_read(unit, value, choices);
        break;
    case CURVES:
        read_curves(unit, value, choices);
        break;
    case SIGNATURES:
    case SIGNING:
        read_signatures(unit, value, row->use == SIGNING, choices);
        break;
    case SUITES:
        read_suites(unit, value);
        break;
    case OPTIONS:
        read_options(unit, value, choices);
        break;
    default:
        break;
    }
}
