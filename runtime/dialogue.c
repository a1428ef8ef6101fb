/*
 * What is said in clear before TLS: the server's part towards a client, and the client's part towards a server. Bytes
 * in; how many of them are dealt with, what is said next, and how it stands out. PostgreSQL: "Message Flow, SSL Session
 * Encryption" of its manual; MySQL: "Connection Phase" of its; SMTP: RFC 5321 and 3207; IMAP: RFC 3501 and 5530.
 */
#include "spcd.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* ---- saying ---- */

struct text {
    const char *at;
    size_t size;
};

static void
add(struct turn *turn, const void *bytes, size_t size)
{
    size_t room = sizeof turn->text - turn->size;
    memcpy(turn->text + turn->size, bytes, size < room ? size : room);
    turn->size += (u32)(size < room ? size : room);
}

/* Say a pattern: @ is this machine, # the tag of an IMAP command. */
static enum dialogue
say(struct turn *turn, enum dialogue result, const char *pattern, const char *host, struct text tag)
{
    for (const char *at = pattern; *at; at++) {
        if (*at == '@')
            add(turn, host, strlen(host));
        else if (*at == '#')
            add(turn, tag.at, tag.size);
        else
            add(turn, at, 1);
    }
    return result;
}

/* ---- lines ---- */

enum { LINE_MOST = 1000, TAG_MOST = 64 };

/* The first line. MORE: its end is not there yet; BROKEN: it is too long to be one. */
static enum dialogue
take_line(const u8 *data, size_t size, struct turn *turn, struct text *line)
{
    const u8 *end = memchr(data, '\n', size);
    size_t length = end ? (size_t)(end - data) : size;
    if (length > LINE_MOST)
        return DIALOGUE_BROKEN;
    if (!end)
        return DIALOGUE_MORE;
    turn->used = (u32)length + 1;
    *line = (struct text){(const char *)data, length - (length > 0 && data[length - 1] == '\r')};
    return DIALOGUE_SAID;
}

/* Cut the first word off. */
static struct text
take_word(struct text *line)
{
    const char *space = memchr(line->at, ' ', line->size);
    struct text word = {line->at, space ? (size_t)(space - line->at) : line->size};
    size_t gone = word.size + (space != NULL);
    *line = (struct text){line->at + gone, line->size - gone};
    return word;
}

static bool
is_word(struct text word, const char *name)
{
    return word.size == strlen(name) && strncasecmp(word.at, name, word.size) == 0;
}

/* What is said to a command; the last row of a table is for all that are not in it. */
struct command {
    const char *name;
    enum dialogue result;
    const char *answer;
};

static const struct command *
find_command(const struct command *row, struct text word)
{
    while (row->name && !is_word(word, row->name))
        row++;
    return row;
}

/* ---- SMTP ---- */

static const struct command smtp_commands[] = {
    {"EHLO", DIALOGUE_SAID, "250-@\r\n250 STARTTLS\r\n"},
    {"HELO", DIALOGUE_SAID, "250 @\r\n"},
    {"NOOP", DIALOGUE_SAID, "250 2.0.0 OK\r\n"},
    {"RSET", DIALOGUE_SAID, "250 2.0.0 OK\r\n"},
    {"QUIT", DIALOGUE_END, "221 2.0.0 @ closes the connection\r\n"},
    {"STARTTLS", DIALOGUE_TLS, "220 2.0.0 Ready to start TLS\r\n"},
    {NULL, DIALOGUE_SAID, "530 5.7.0 Must issue a STARTTLS command first\r\n"},
};

static enum dialogue
hear_smtp(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    struct text line, none = {NULL, 0};
    enum dialogue result = take_line(data, size, turn, &line);
    if (result != DIALOGUE_SAID)
        return result;
    const struct command *command = find_command(smtp_commands, take_word(&line));
    return say(turn, command->result, command->answer, talk->host, none);
}

enum { SMTP_GREETED, SMTP_ASKED, SMTP_OFFERED, SMTP_STARTED }; /* what is waited for; OFFERED: STARTTLS was in it */

static enum dialogue
ask_smtp(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    static const char *const codes[] = {"220", "250", "250", "220"};
    struct text line, none = {NULL, 0};
    enum dialogue result = take_line(data, size, turn, &line);
    if (result != DIALOGUE_SAID)
        return result;
    if (line.size < 3 || memcmp(line.at, codes[talk->state], 3) != 0)
        return DIALOGUE_BROKEN;
    struct text rest = {line.at + 3 + (line.size > 3), line.size - 3 - (line.size > 3)};
    if (talk->state == SMTP_ASKED && is_word(take_word(&rest), "STARTTLS"))
        talk->state = SMTP_OFFERED;
    if (line.size > 3 && line.at[3] == '-') /* there are more */
        return DIALOGUE_SAID;
    switch (talk->state) {
    case SMTP_GREETED:
        talk->state = SMTP_ASKED;
        return say(turn, DIALOGUE_SAID, "EHLO @\r\n", talk->host, none);
    case SMTP_OFFERED:
        talk->state = SMTP_STARTED;
        return say(turn, DIALOGUE_SAID, "STARTTLS\r\n", talk->host, none);
    case SMTP_STARTED:
        return DIALOGUE_TLS;
    default: /* it does not offer it */
        return DIALOGUE_BROKEN;
    }
}

/* ---- IMAP ---- */

static const struct command imap_commands[] = {
    {"CAPABILITY", DIALOGUE_SAID, "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n# OK done\r\n"},
    {"NOOP", DIALOGUE_SAID, "# OK done\r\n"},
    {"ID", DIALOGUE_SAID, "* ID NIL\r\n# OK done\r\n"},
    {"LOGOUT", DIALOGUE_END, "* BYE until then\r\n# OK done\r\n"},
    {"STARTTLS", DIALOGUE_TLS, "# OK Begin TLS negotiation now\r\n"},
    {NULL, DIALOGUE_SAID, "# NO [PRIVACYREQUIRED] STARTTLS first\r\n"},
};

static enum dialogue
hear_imap(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    struct text line, none = {NULL, 0};
    enum dialogue result = take_line(data, size, turn, &line);
    if (result != DIALOGUE_SAID)
        return result;
    struct text tag = take_word(&line);
    if (tag.size == 0 || tag.size > TAG_MOST || line.size == 0)
        return say(turn, DIALOGUE_SAID, "* BAD no tag, or no command\r\n", talk->host, none);
    const struct command *command = find_command(imap_commands, take_word(&line));
    return say(turn, command->result, command->answer, talk->host, tag);
}

static enum dialogue
ask_imap(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    struct text line, tag = {"s", 1};
    enum dialogue result = take_line(data, size, turn, &line);
    if (result != DIALOGUE_SAID)
        return result;
    struct text first = take_word(&line), second = take_word(&line);
    if (talk->state == 0) {
        talk->state = 1;
        if (!is_word(first, "*") || !is_word(second, "OK"))
            return DIALOGUE_BROKEN;
        return say(turn, DIALOGUE_SAID, "# STARTTLS\r\n", talk->host, tag);
    }
    if (is_word(first, "*") && !is_word(second, "BYE"))
        return DIALOGUE_SAID;
    return is_word(first, "s") && is_word(second, "OK") ? DIALOGUE_TLS : DIALOGUE_BROKEN;
}

/* ---- PostgreSQL ---- */

enum { REQUEST_SIZE = 8 };
static const u8 ssl_request[REQUEST_SIZE] = {0, 0, 0, 8, 4, 210, 22, 47}; /* 80877103 */
static const u8 gss_request[REQUEST_SIZE] = {0, 0, 0, 8, 4, 210, 22, 48};

/* What is neither request begins without encryption, or with TLS at once: it goes on as it is. */
static enum dialogue
hear_postgres(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    struct text none = {NULL, 0};
    size_t known = size < REQUEST_SIZE ? size : REQUEST_SIZE;
    bool ssl = memcmp(data, ssl_request, known) == 0, gss = memcmp(data, gss_request, known) == 0;
    if (!ssl && !gss)
        return DIALOGUE_OTHER;
    if (size < REQUEST_SIZE)
        return DIALOGUE_MORE;
    turn->used = REQUEST_SIZE;
    return ssl ? say(turn, DIALOGUE_TLS, "S", talk->host, none) : say(turn, DIALOGUE_SAID, "N", talk->host, none);
}

static enum dialogue
ask_postgres(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    if (talk->state == 0) {
        talk->state = 1;
        add(turn, ssl_request, sizeof ssl_request);
        return DIALOGUE_SAID;
    }
    if (size == 0)
        return DIALOGUE_MORE;
    turn->used = 1;
    return data[0] == 'S' ? DIALOGUE_TLS : DIALOGUE_BROKEN;
}

/* ---- MySQL ---- */

enum { PACKET_HEAD = 4, MYSQL_PACKET_MOST = 1000, MYSQL_VERSION = 10, MYSQL_REQUEST = 32, CLIENT_SSL = 0x800 };
static_assert(PACKET_HEAD + MYSQL_REQUEST == DIALOGUE_REQUEST, "the request that is kept is MySQL's");

/*
 * Protocol 10, of a server that has TLS. What a client makes of the salt in it proves nothing to the real server, which
 * then sends its own for the plugin of the account; or it asks for the password itself, as it may in TLS.
 */
static const char mysql_greeting[] =
    "\x4e\0\0\0" "\x0a" "8.0.0-spcd\0" "\1\0\0\0" "nobody's" "\0" "\xdf\xef" "\x2d" "\2\0" "\x3f\0" "\x15"
    "\0\0\0\0\0\0\0\0\0\0" "salt, at all\0" "caching_sha2_password";
static_assert(sizeof mysql_greeting == PACKET_HEAD + 0x4e, "the length of a packet is in its head");

static const char mysql_refusal[] = "\x42\0\0\2" "\xff" "\x57\x0c" "#08004"
                                    "Connections using insecure transport are prohibited here.";
static_assert(sizeof mysql_refusal - 1 == PACKET_HEAD + 0x42, "the same");

static u32
packet_size(const u8 *data)
{
    return (u32)data[0] | (u32)data[1] << 8 | (u32)data[2] << 16;
}

/* A whole packet. */
static enum dialogue
take_packet(const u8 *data, size_t size, struct turn *turn)
{
    if (size < PACKET_HEAD)
        return DIALOGUE_MORE;
    u32 length = packet_size(data);
    if (length == 0 || length > MYSQL_PACKET_MOST)
        return DIALOGUE_BROKEN;
    if (size < PACKET_HEAD + length)
        return DIALOGUE_MORE;
    turn->used = PACKET_HEAD + length;
    return DIALOGUE_SAID;
}

static enum dialogue
hear_mysql(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    enum dialogue result = take_packet(data, size, turn);
    if (result != DIALOGUE_SAID)
        return result;
    if (turn->used == DIALOGUE_REQUEST && (data[PACKET_HEAD + 1] << 8) & CLIENT_SSL) {
        memcpy(talk->request, data, DIALOGUE_REQUEST);
        return DIALOGUE_TLS;
    }
    add(turn, mysql_refusal, sizeof mysql_refusal - 1); /* without the NUL that C adds */
    return DIALOGUE_END;
}

/* The server is asked for what the client has asked for. It answers nothing. */
static enum dialogue
ask_mysql(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    enum { SALT = 8, ID = 4 };
    enum dialogue result = take_packet(data, size, turn);
    if (result != DIALOGUE_SAID)
        return result;
    const u8 *at = data + PACKET_HEAD, *end = data + turn->used, *version = memchr(at, '\0', (size_t)(end - at));
    const u8 *capabilities = version ? version + 1 + ID + SALT + 1 : end;
    if (*at != MYSQL_VERSION || end - capabilities < 2 || !(capabilities[1] << 8 & CLIENT_SSL))
        return DIALOGUE_BROKEN;
    add(turn, talk->request, DIALOGUE_REQUEST);
    return DIALOGUE_TLS;
}

/* ---- whole ---- */

static const struct protocol {
    const char *greeting; /* NULL: the client begins, or it is no text */
    enum dialogue (*hear)(struct talk *talk, const u8 *data, size_t size, struct turn *turn);
    enum dialogue (*ask)(struct talk *talk, const u8 *data, size_t size, struct turn *turn);
} protocols[] = {
    [STARTTLS_POSTGRES] = {NULL, hear_postgres, ask_postgres},
    [STARTTLS_MYSQL] = {NULL, hear_mysql, ask_mysql},
    [STARTTLS_SMTP] = {"220 @ ESMTP\r\n", hear_smtp, ask_smtp},
    [STARTTLS_IMAP] = {"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n", hear_imap, ask_imap},
};

void
dialogue_greet(const struct talk *talk, struct turn *turn)
{
    struct text none = {NULL, 0};
    turn->used = turn->size = 0;
    if (talk->protocol == STARTTLS_MYSQL)
        add(turn, mysql_greeting, sizeof mysql_greeting);
    else if (protocols[talk->protocol].greeting)
        say(turn, DIALOGUE_SAID, protocols[talk->protocol].greeting, talk->host, none);
}

enum dialogue
dialogue_hear(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    turn->used = turn->size = 0;
    return protocols[talk->protocol].hear(talk, data, size, turn);
}

enum dialogue
dialogue_ask(struct talk *talk, const u8 *data, size_t size, struct turn *turn)
{
    turn->used = turn->size = 0;
    return protocols[talk->protocol].ask(talk, data, size, turn);
}
