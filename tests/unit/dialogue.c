/*
 * What is said in clear before TLS (runtime/dialogue.c): transcripts, whole and byte by byte, which must come to the
 * same; and 200,000 spoilt ones, for the sanitizers.
 */
#include "spcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPOILT = 200000, TURNS_MOST = 10000, SAID_ROOM = 1 << 16 };

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

typedef enum dialogue half(struct talk *talk, const u8 *data, size_t size, struct turn *turn);

struct transcript {
    const char *what;
    enum starttls protocol;
    half *half;
    const char *heard;
    size_t heard_size;
    const char *said;
    size_t said_size;
    enum dialogue result;
    size_t left; /* of what was heard */
};

#define BYTES(text) (text), sizeof(text) - 1
#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define MYSQL_REQUEST "\x20\0\0\1\x85\xae\x3f\x20\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define MYSQL_HELLO(capabilities) "\x4e\0\0\0\x0a" "5.5.5-10.11.6-Ma\0" "\x2a\0\0\0" "saltsalt\0" capabilities \
                                  "\x2d\2\0\xff\x81\x15" "\0\0\0\0\0\0\0\0\0\0" "more of the \0" "mysql_native_pas"

static const struct transcript transcripts[] = {
    {"postgres: SSLRequest", STARTTLS_POSTGRES, dialogue_hear, BYTES(SSL_REQUEST), BYTES("S"), DIALOGUE_TLS, 0},
    {"postgres: GSSENCRequest first", STARTTLS_POSTGRES, dialogue_hear, BYTES("\0\0\0\x08\x04\xd2\x16\x30" SSL_REQUEST),
     BYTES("NS"), DIALOGUE_TLS, 0},
    {"postgres: bytes behind it", STARTTLS_POSTGRES, dialogue_hear, BYTES(SSL_REQUEST "x"), BYTES("S"), DIALOGUE_TLS,
     1},
    {"postgres: StartupMessage", STARTTLS_POSTGRES, dialogue_hear, BYTES("\0\0\0\x09\0\3\0\0\0"), BYTES(""),
     DIALOGUE_OTHER, 9},
    {"postgres: TLS at once", STARTTLS_POSTGRES, dialogue_hear, BYTES("\x16\3\1"), BYTES(""), DIALOGUE_OTHER, 3},
    {"postgres: a server that does", STARTTLS_POSTGRES, dialogue_ask, BYTES("S"), BYTES(SSL_REQUEST), DIALOGUE_TLS, 0},
    {"postgres: one that does not", STARTTLS_POSTGRES, dialogue_ask, BYTES("N"), BYTES(SSL_REQUEST), DIALOGUE_BROKEN,
     0},
    {"mysql: SSLRequest", STARTTLS_MYSQL, dialogue_hear, BYTES(MYSQL_REQUEST), BYTES(""), DIALOGUE_TLS, 0},
    {"mysql: the ClientHello behind it", STARTTLS_MYSQL, dialogue_hear, BYTES(MYSQL_REQUEST "\x16\3\1"), BYTES(""),
     DIALOGUE_TLS, 3},
    {"mysql: no TLS", STARTTLS_MYSQL, dialogue_hear, BYTES("\x05\0\0\1\x85\xa6\x3f\x20\0"),
     BYTES("\x42\0\0\2\xff\x57\x0c#08004Connections using insecure transport are prohibited here."), DIALOGUE_END, 0},
    {"mysql: no packet", STARTTLS_MYSQL, dialogue_hear, BYTES("GET / HTTP/1.0\r\n"), BYTES(""), DIALOGUE_BROKEN, 16},
    {"mysql: a server that does", STARTTLS_MYSQL, dialogue_ask, BYTES(MYSQL_HELLO("\xfe\xff")), BYTES(MYSQL_REQUEST),
     DIALOGUE_TLS, 0},
    {"mysql: one that does not", STARTTLS_MYSQL, dialogue_ask, BYTES(MYSQL_HELLO("\xfe\xf7")), BYTES(""),
     DIALOGUE_BROKEN, 0},
    {"mysql: a server that is full", STARTTLS_MYSQL, dialogue_ask, BYTES("\x07\0\0\0\xff\x10\x04T\0o\0"), BYTES(""),
     DIALOGUE_BROKEN, 0},
    {"mysql: a greeting that is cut", STARTTLS_MYSQL, dialogue_ask,
     BYTES("\x0f\0\0\0\x0a" "5.5\0" "\x2a\0\0\0" "saltsa"), BYTES(""), DIALOGUE_BROKEN, 0},
    {"smtp: EHLO, STARTTLS", STARTTLS_SMTP, dialogue_hear, BYTES("EHLO me\r\nSTARTTLS\r\n"),
     BYTES("250-h.example\r\n250 STARTTLS\r\n220 2.0.0 Ready to start TLS\r\n"), DIALOGUE_TLS, 0},
    {"smtp: small letters, bare ends of lines", STARTTLS_SMTP, dialogue_hear, BYTES("helo me\nnoop\nrset\nstarttls\n"),
     BYTES("250 h.example\r\n250 2.0.0 OK\r\n250 2.0.0 OK\r\n220 2.0.0 Ready to start TLS\r\n"), DIALOGUE_TLS, 0},
    {"smtp: a command behind it", STARTTLS_SMTP, dialogue_hear, BYTES("STARTTLS\r\nMAIL FROM:<x>\r\n"),
     BYTES("220 2.0.0 Ready to start TLS\r\n"), DIALOGUE_TLS, 15},
    {"smtp: a letter without TLS", STARTTLS_SMTP, dialogue_hear, BYTES("MAIL FROM:<x>\r\nQUIT\r\n"),
     BYTES("530 5.7.0 Must issue a STARTTLS command first\r\n221 2.0.0 h.example closes the connection\r\n"),
     DIALOGUE_END, 0},
    {"smtp: a server that does", STARTTLS_SMTP, dialogue_ask,
     BYTES("220-be\r\n220 welcome\r\n250-h\r\n250-StartTLS\r\n250 SIZE 5\r\n220 go\r\n"),
     BYTES("EHLO h.example\r\nSTARTTLS\r\n"), DIALOGUE_TLS, 0},
    {"smtp: the last of its words", STARTTLS_SMTP, dialogue_ask, BYTES("220 \r\n250 STARTTLS\r\n220\r\n"),
     BYTES("EHLO h.example\r\nSTARTTLS\r\n"), DIALOGUE_TLS, 0},
    {"smtp: one that does not", STARTTLS_SMTP, dialogue_ask, BYTES("220 w\r\n250-h\r\n250 8BITMIME\r\n"),
     BYTES("EHLO h.example\r\n"), DIALOGUE_BROKEN, 0},
    {"smtp: one that is out", STARTTLS_SMTP, dialogue_ask, BYTES("554 no\r\n"), BYTES(""), DIALOGUE_BROKEN, 0},
    {"smtp: one that will not", STARTTLS_SMTP, dialogue_ask, BYTES("220 w\r\n250 STARTTLS\r\n454 not now\r\n"),
     BYTES("EHLO h.example\r\nSTARTTLS\r\n"), DIALOGUE_BROKEN, 0},
    {"imap: STARTTLS", STARTTLS_IMAP, dialogue_hear, BYTES("a1 CAPABILITY\r\na2 starttls\r\n"),
     BYTES("* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done\r\na2 OK Begin TLS negotiation now\r\n"),
     DIALOGUE_TLS, 0},
    {"imap: a password without TLS", STARTTLS_IMAP, dialogue_hear,
     BYTES("a LOGIN x y\r\nb ID NIL\r\nc NOOP\r\nd LOGOUT\r\n"),
     BYTES("a NO [PRIVACYREQUIRED] STARTTLS first\r\n* ID NIL\r\nb OK done\r\nc OK done\r\n"
           "* BYE until then\r\nd OK done\r\n"),
     DIALOGUE_END, 0},
    {"imap: no command", STARTTLS_IMAP, dialogue_hear, BYTES("\r\nSTARTTLS\r\n"),
     BYTES("* BAD no tag, or no command\r\n* BAD no tag, or no command\r\n"), DIALOGUE_MORE, 0},
    {"imap: a server that does", STARTTLS_IMAP, dialogue_ask, BYTES("* OK ready\r\n* CAPABILITY x\r\ns OK go\r\n"),
     BYTES("s STARTTLS\r\n"), DIALOGUE_TLS, 0},
    {"imap: one that knows who it is", STARTTLS_IMAP, dialogue_ask, BYTES("* PREAUTH hello\r\n"), BYTES(""),
     DIALOGUE_BROKEN, 0},
    {"imap: one that does not", STARTTLS_IMAP, dialogue_ask, BYTES("* OK ready\r\ns BAD what\r\n"),
     BYTES("s STARTTLS\r\n"), DIALOGUE_BROKEN, 0},
    {"imap: one that goes", STARTTLS_IMAP, dialogue_ask, BYTES("* OK ready\r\n* BYE\r\n"), BYTES("s STARTTLS\r\n"),
     DIALOGUE_BROKEN, 0},
};

/* What was said, and how it stands. */
struct outcome {
    enum dialogue result;
    size_t left, said_size;
    char said[SAID_ROOM];
};

static u8 request[DIALOGUE_REQUEST];

/* Hear so many bytes at a time, each time from memory that ends where they end. */
static void
play(const struct transcript *transcript, const u8 *data, size_t size, size_t step, struct outcome *outcome)
{
    struct talk talk = {transcript->protocol, "h.example", request, 0};
    struct turn turn;
    size_t used = 0, there = 0;
    *outcome = (struct outcome){.result = DIALOGUE_MORE};
    for (u32 turns = 0; turns < TURNS_MOST; turns++) {
        u8 *exact = malloc(there - used + 1);
        if (!exact)
            abort();
        memcpy(exact, data + used, there - used);
        outcome->result = transcript->half(&talk, exact, there - used, &turn);
        free(exact);
        memcpy(outcome->said + outcome->said_size, turn.text, turn.size);
        outcome->said_size += turn.size;
        used += turn.used;
        outcome->left = size - used;
        if (outcome->result == DIALOGUE_MORE && there < size)
            there += step < size - there ? step : size - there;
        else if (outcome->result != DIALOGUE_SAID)
            return;
    }
    report(false, "it comes to an end");
    exit(1);
}

static void
test_transcript(const struct transcript *transcript)
{
    const u8 *heard = (const u8 *)transcript->heard;
    static struct outcome outcome;
    bool good = true;
    memcpy(request, MYSQL_REQUEST, sizeof request);
    for (size_t step = transcript->heard_size; step > 0; step = step > 1 ? 1 : 0) {
        play(transcript, heard, transcript->heard_size, step, &outcome);
        good = good && outcome.result == transcript->result && outcome.said_size == transcript->said_size &&
               memcmp(outcome.said, transcript->said, outcome.said_size) == 0 && outcome.left == transcript->left;
    }
    report(good, transcript->what);
}

/* What is spoilt ends too, and byte by byte no other answer is given. */
static void
test_spoilt(void)
{
    static struct outcome whole, apart;
    u64 state = 1;
    bool same = true;
    for (u32 i = 0; i < SPOILT; i++) {
        const struct transcript *one = &transcripts[i % (sizeof transcripts / sizeof *transcripts)];
        u8 data[256];
        memcpy(data, one->heard, one->heard_size);
        for (u32 changes = 0; changes < 1 + i % 3; changes++) {
            state = state * 6364136223846793005 + 1442695040888963407;
            data[(state >> 33) % one->heard_size] = (u8)(state >> 25);
        }
        play(one, data, one->heard_size, one->heard_size, &whole);
        play(one, data, one->heard_size, 1, &apart);
        same = same && whole.said_size == apart.said_size && memcmp(whole.said, apart.said, whole.said_size) == 0 &&
               (whole.result == apart.result || whole.result == DIALOGUE_BROKEN || apart.result == DIALOGUE_BROKEN);
    }
    report(same, "spoilt transcripts, whole and byte by byte");
}

static void
test_long_lines(void)
{
    static u8 data[4096];
    static struct outcome outcome;
    memset(data, 'x', sizeof data);
    const struct transcript long_command = {.protocol = STARTTLS_SMTP, .half = dialogue_hear};
    const struct transcript long_answer = {.protocol = STARTTLS_IMAP, .half = dialogue_ask};
    play(&long_command, data, sizeof data, 1, &outcome);
    report(outcome.result == DIALOGUE_BROKEN && outcome.said_size == 0, "a command without an end");
    play(&long_answer, data, sizeof data, 1, &outcome);
    report(outcome.result == DIALOGUE_BROKEN && outcome.said_size == 0, "an answer without an end");
}

int
main(void)
{
    for (size_t i = 0; i < sizeof transcripts / sizeof *transcripts; i++)
        test_transcript(&transcripts[i]);
    test_long_lines();
    test_spoilt();
    return failures != 0;
}
