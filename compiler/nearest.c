/*
 * The nearest spelling: how many letters must be put in, taken out, changed or swapped to make one word of
 * another. Words longer than the table are not compared: nobody mistypes that much.
 */
#include "spcc.h"

#include <string.h>
#include <strings.h>

enum { LENGTH_MAX = 64 };

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static u32
least(u32 a, u32 b)
{
    return a < b ? a : b;
}

/* Edits between two words, letter case aside, by rows: row i holds what the first i letters of one cost. */
static u32
distance(const char *one, u32 one_size, const char *other, u32 other_size)
{
    u32 row[LENGTH_MAX + 1][LENGTH_MAX + 1];
    for (u32 j = 0; j <= other_size; j++)
        row[0][j] = j;
    for (u32 i = 1; i <= one_size; i++) {
        row[i][0] = i;
        for (u32 j = 1; j <= other_size; j++) {
            char a = lower(one[i - 1]), b = lower(other[j - 1]);
            u32 cost = least(row[i - 1][j - 1] + (a != b), least(row[i - 1][j], row[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a == lower(other[j - 2]) && lower(one[i - 2]) == b)
                cost = least(cost, row[i - 2][j - 2] + 1);
            row[i][j] = cost;
        }
    }
    return row[one_size][other_size];
}

/* The edits that make name of word, or none if it is not like it. A long name with more behind it is that name. */
static u32
likeness(const char *word, size_t word_size, const char *name, size_t size)
{
    enum { LONG = 6, MORE = 3 };
    if (size > LENGTH_MAX || word_size > LENGTH_MAX)
        return UINT32_MAX;
    if (size >= LONG && word_size > size + MORE && strncasecmp(word, name, size) == 0)
        return MORE;
    if (size + 4 < word_size || word_size + 4 < size)
        return UINT32_MAX;
    u32 limit = (u32)(word_size < size ? word_size : size) / 3;
    u32 edits = distance(word, (u32)word_size, name, (u32)size);
    return edits > limit + (limit == 0 && size > 1) ? UINT32_MAX : edits;
}

/* Of two that are as near the longer one is taken: letters are forgotten more often than they are made up. */
void
nearest_try(struct nearest *nearest, const char *name)
{
    size_t size = strlen(name);
    u32 edits = likeness(nearest->word, strlen(nearest->word), name, size);
    if (edits == UINT32_MAX)
        return;
    if (nearest->best == NULL || edits < nearest->distance ||
        (edits == nearest->distance && size > strlen(nearest->best))) {
        nearest->best = name;
        nearest->distance = edits;
    }
}
