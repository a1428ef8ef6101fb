/*
 * split_clients {}: shares of a hundred, in order, and match {}: what an upstream server has to answer. Their entries
 * come in; what nginx would refuse or never reach is reported.
 */
#include "judge.h"

#include <string.h>

enum { WHOLE = 100 * 100 }; /* hundredths of a percent */

struct shares {
    u64 sum;
    const struct node *rest; /* "*" */
    bool broken;
};

static void
add_share(struct unit *unit, struct shares *shares, const struct node *entry)
{
    const struct word *word = &entry->word[0];
    u64 part = 0;
    enum reading reading = READ_OK;
    if (strchr(entry->word[1].text, '$') != NULL)
        diag(unit, literal_variable, entry->word[1].span, "split_clients", judge_show(unit, &entry->word[1]));
    if (shares->rest != NULL) {
        diag(unit, percent_rest, word->span, judge_show(unit, word));
        diag_note(unit, shares->rest->word[0].span, "it stands here");
        return;
    }
    if (strcmp(word->text, "*") == 0) {
        shares->rest = entry;
        return;
    }
    reading = value_percent(word->text, word->size, &part);
    if (reading == READ_MALFORMED || (reading == READ_OK && part == 0)) {
        diag(unit, bad_percent, word->span, judge_show(unit, word));
        shares->broken = true;
        return;
    }
    shares->sum += reading == READ_OK ? part : WHOLE + 1;
    if (shares->sum > WHOLE && !shares->broken) {
        diag(unit, percent_sum, word->span, judge_show(unit, word));
        shares->broken = true;
    }
}

void
judge_split(struct unit *unit, struct node *node)
{
    struct shares shares = {0};
    variable_declare(unit, node, 2, VARIABLE_TABLE);
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        if (strcmp(entry->word[0].text, "include") == 0 && !entry->block)
            diag(unit, no_include, entry->word[0].span, "split_clients");
        else if (judge_entry(unit, entry, 2, 2, "PERCENT% VALUE;"))
            add_share(unit, &shares, entry);
        else
            shares.broken = true;
    }
    if (shares.rest != NULL || shares.broken || shares.sum == WHOLE)
        return;
    u64 left = WHOLE - shares.sum;
    const char *text = arena_print(&unit->arena, left % 100 != 0 ? "%llu.%02llu%%" : "%llu%%",
                                   (unsigned long long)left / 100, (unsigned long long)left % 100);
    diag(unit, percent_left, node->word[0].span, text, judge_show(unit, &node->word[2]));
}

/* ---- match {} ---- */

static bool
is_hex(char c)
{
    return c != '\0' && strchr("0123456789abcdefABCDEF", c) != NULL;
}

/* \xNN in what is sent or expected. */
static void
judge_bytes(struct unit *unit, const struct word *word)
{
    for (u32 i = 0; i + 1 < word->size; i++)
        if (word->text[i] == '\\' && word->text[i + 1] == 'x' &&
            !(is_hex(word->text[i + 2]) && is_hex(word->text[i + 3])))
            diag(unit, bad_byte, word_part(word, i, i + 2), judge_show(unit, word));
}

static void
judge_expect(struct unit *unit, struct node *entry)
{
    const struct word *word = &entry->word[1];
    bool caseless = strcmp(word->text, "~*") == 0;
    if (caseless || strcmp(word->text, "~") == 0) {
        if (judge_entry(unit, entry, 3, 3, "expect ~ PATTERN;"))
            judge_regex(unit, &entry->word[2], 0, caseless);
    } else if (word->size > 0 && word->text[0] == '~') {
        diag(unit, joined_tilde, word->span, judge_show(unit, word));
        diag_help(unit, "write: expect ~ \"%s\";", word->text + 1 + (word->text[1] == '*'));
    } else if (judge_entry(unit, entry, 2, 2, "expect TEXT;")) {
        judge_bytes(unit, word);
    }
}

void
judge_match(struct unit *unit, struct node *node)
{
    const struct node *send = NULL, *expect = NULL;
    name_declare(unit, THING_MATCH, node->word[1].text, node->word[1].span);
    for (struct node *entry = node->first; entry != NULL; entry = entry->next) {
        const struct word *word = &entry->word[0];
        bool sends = strcmp(word->text, "send") == 0, expects = strcmp(word->text, "expect") == 0;
        const struct node **slot = sends ? &send : &expect;
        if (!sends && !expects) {
            diag(unit, bad_word, word->span, judge_show(unit, word), "send and expect");
            continue;
        }
        if (*slot != NULL) {
            diag(unit, duplicate, word->span, judge_show(unit, word));
            diag_note(unit, (*slot)->word[0].span, "it stands here first");
        }
        *slot = entry;
        if (!judge_entry(unit, entry, 2, expects ? 3 : 2, sends ? "send TEXT;" : "expect [~] TEXT;"))
            continue;
        if (expects)
            judge_expect(unit, entry);
        else
            judge_bytes(unit, &entry->word[1]);
    }
}
