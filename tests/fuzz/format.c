/*
 * The layout: what parses has the same tree of words afterwards, and is not changed by a second time. The trees are
 * the parser's, so that format.c is not asked about itself.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static bool
is_same_word(const struct word *a, const struct word *b)
{
    return a->quoted == b->quoted && a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

/* As deep as blocks may be nested. */
static bool
is_same_tree(const struct node *a, const struct node *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        if (a->block != b->block || a->word_count != b->word_count)
            return false;
        for (u32 i = 0; i < a->word_count; i++)
            if (!is_same_word(&a->word[i], &b->word[i]))
                return false;
        if (!is_same_tree(a->first, b->first))
            return false;
    }
    return a == NULL && b == NULL;
}

static u32
count(const char *text, size_t size, char c)
{
    u32 found = 0;
    for (size_t i = 0; i < size; i++)
        found += text[i] == c;
    return found;
}

/* The canonical layout is one: the same for the text that it gave. */
static void
judge(struct unit *unit, const struct source *source, const struct formatted *once)
{
    struct formatted twice;
    struct source *again = source_of_text(unit, "again.conf", once->text, once->size);
    if (!once->faithful)
        fuzz_fail("not the same pieces");
    if (!is_same_tree(parse_file(unit, source), parse_file(unit, again)))
        fuzz_fail("not the same tree");
    if (!format(unit, again, &twice) || twice.size != once->size || memcmp(twice.text, once->text, once->size) != 0)
        fuzz_fail("not stable:\n%s", once->text);
    if (count(once->text, once->size, '#') != count(source->text, source->size, '#'))
        fuzz_fail("a # is missing");
    if (once->line_count != count(once->text, once->size, '\n'))
        fuzz_fail("%u lines were noted", once->line_count);
    unified_print(unit, source, once, fuzz_nowhere());
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unit unit;
    struct formatted formatted;
    char *text = fuzz_text(data, size);
    unit_open(&unit);
    struct source *source = source_of_text(&unit, "once.conf", text, (u32)size);
    if (format(&unit, source, &formatted))
        judge(&unit, source, &formatted);
    diag_print(&unit, fuzz_nowhere(), false);
    unit_close(&unit);
    free(text);
    return 0;
}
