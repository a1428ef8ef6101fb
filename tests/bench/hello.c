/* A ClientHello as OpenSSL sends it, 517 bytes, that asks for one of many names. */
#include "load.h"

#include <stdio.h>
#include <string.h>

/* The SNI stands first among the extensions, and padding (type 21) fills the rest. */
void
hello_make(char *message, u32 name)
{
    static const unsigned char before[] = {
        0x16, 3, 1, (HELLO_SIZE - 5) >> 8, (HELLO_SIZE - 5) & 255, 1, 0, (HELLO_SIZE - 9) >> 8, (HELLO_SIZE - 9) & 255,
        3, 3,
    };
    memset(message, 0, HELLO_SIZE);
    memcpy(message, before, sizeof before);
    char *at = message + sizeof before + 32;
    memcpy(at, "\0\0\4\x13\1\x13\2\1\0", 9);
    char *extensions = at + 9;
    at = extensions + 2;
    char host[32];
    int size = snprintf(host, sizeof host, "host-%u.example.com", name);
    const char sni[] = { 0, 0, 0, (char)(size + 5), 0, (char)(size + 3), 0, 0, (char)size };
    memcpy(at, sni, sizeof sni);
    memcpy(at + sizeof sni, host, (size_t)size);
    at += sizeof sni + (size_t)size;
    static const char more[] = "\0\x10\0\x0e\0\x0c\2h2\x08http/1.1\0\x2b\0\5\4\3\4\3\3\0\x15";
    memcpy(at, more, sizeof more - 1);
    at += sizeof more - 1;
    size_t padding = (size_t)(message + HELLO_SIZE - (at + 2)), all = (size_t)(message + HELLO_SIZE - (extensions + 2));
    at[0] = (char)(padding >> 8);
    at[1] = (char)padding;
    extensions[0] = (char)(all >> 8);
    extensions[1] = (char)all;
}
