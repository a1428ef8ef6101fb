/*
 * Cipher lists as people write them for OpenSSL: a word in, what BoringSSL makes of it out. It decides which of them
 * work (tls_choice.c asks it); what it names otherwise is translated here, and what it does not have is reported.
 */
#include "spcc.h"

#include <string.h>

/* Elements are divided as in OpenSSL. */
static const char dividers[] = ":, ;";

/* Those of TLS 1.3 are always on, and are no part of the list; OpenSSL passes over them too. */
static bool
is_new(const char *element)
{
    return strncmp(element, "TLS_AES_", 8) == 0 || strncmp(element, "TLS_CHACHA20_", 13) == 0;
}

/* "@SECLEVEL=N" */
static bool
read_level(struct unit *unit, struct span span, const char *element, struct tls_choices *choices)
{
    static const char name[] = "@SECLEVEL=";
    if (strncmp(element, name, sizeof name - 1) != 0)
        return false;
    const char *digit = element + sizeof name - 1;
    if (digit[0] < '0' || digit[0] > '5' || digit[1] != '\0')
        diag(unit, bad_ciphers, span, show(unit, element, strlen(element)), "a security level is 0 to 5");
    else
        choices->level = (u32)(digit[0] - '0');
    return true;
}

static void
add(struct unit *unit, struct span span, const char *element, const char **list)
{
    bool takes_away = element[0] == '!' || element[0] == '-';
    const char *name = element + (takes_away || element[0] == '+');
    if (!takes_away && name[0] != '@' && name[0] != '[' && !tls_ciphers_work(name))
        diag(unit, no_cipher, span, show(unit, element, strlen(element)));
    *list = **list != '\0' ? arena_print(&unit->arena, "%s:%s", *list, element) : element;
}

/* The bytes of the first element. A command may stand right behind a name: "DEFAULT@SECLEVEL=1". */
static u32
measure(const char *text)
{
    size_t size = strcspn(text, dividers);
    const char *command = size > 0 ? memchr(text + 1, '@', size - 1) : NULL;
    return command != NULL ? (u32)(command - text) : (u32)size;
}

void
cipher_read(struct unit *unit, const struct word *word, struct tls_choices *choices)
{
    const char *list = "";
    for (u32 at = 0; at < word->size;) {
        u32 size = measure(word->text + at);
        const char *element = arena_text(&unit->arena, word->text + at, size);
        struct span span = word_part(word, at, at + size);
        if (size > 0 && !read_level(unit, span, element, choices) && !is_new(element))
            add(unit, span, element, &list);
        at += size + (u32)strspn(word->text + at + size, dividers);
    }
    choices->ciphers = list;
    bool named = *list != '\0', older = (choices->versions & ~(u32)TLS_1_3) != 0; /* versions that it is for */
    if (named ? !tls_ciphers_work(list) : older)
        diag(unit, bad_ciphers, word->span, show(unit, word->text, word->size),
             named ? "BoringSSL finds no cipher in it" : "it names none for versions before TLS 1.3");
}
