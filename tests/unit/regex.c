/*
 * Code that PCRE2 does not know, as of another version, is refused with the reason, and nothing is left of it.
 */
#include "spcd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

/* What is said of a blob with one regular expression, whose code is this. */
static bool
is_refused(const void *bytes, size_t size, const char *says)
{
    static struct blob_code code[CODE_AT + 256];
    struct blob blob = {.regex_count = 2, .code = code};
    const struct blob_log sink = {.sink = SINK_FILE, .level = LEVEL_ERROR};
    char text[LOG_LINE] = "";
    int pair[2];
    if (pipe(pair) != 0)
        return false;
    struct logger logger = {.sink = &sink, .fd = &pair[1], .count = 1, .level = LEVEL_ERROR};
    memset(code, 0, sizeof code);
    memcpy(&code[CODE_AT], bytes, size);
    bool opened = regexes_open(&blob, &logger);
    close(pair[1]);
    bool told = read(pair[0], text, sizeof text - 1) > 0 && strstr(text, says);
    close(pair[0]);
    return !opened && told;
}

int
main(void)
{
    /* The magic number of a serialized code; a version and a configuration; one pattern: pcre2serialize(3). */
    static const u32 foreign[] = {0x50523253, 99u << 16 | 10, 0x080808, 1};
    static const u32 none[] = {1, 2, 3, 4};
    report(is_refused(foreign, sizeof foreign, "the regular expressions were not compiled for this PCRE2 10."),
           "code of another version");
    report(is_refused(none, sizeof none, "[emerg]"), "no code at all");
    return failures ? 1 : 0;
}
