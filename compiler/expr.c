/*
 * Values with variables: a word in, ops out.
 *
 *     "hello $remote_addr\n"   text "hello ", variable remote_addr, text "\n"
 *
 * As in nginx, letter case does not matter in the name of a variable.
 */
#include "spcc.h"

#include <string.h>
#include <strings.h>

static const char *const ours[] = {
#define VARIABLE(name, says) #name,
#include "variables.def"
#undef VARIABLE
};

static const char *const later[] = {
#define VARIABLE_LATER(name) #name,
#include "variables.def"
#undef VARIABLE_LATER
};

enum { OURS = sizeof ours / sizeof *ours, LATER_COUNT = sizeof later / sizeof *later };

/* nginx brings a variable for whatever follows this. */
static const char later_prefix[] = "proxy_protocol_tlv_";

static bool
is_later(const char *name)
{
    for (u32 i = 0; i < LATER_COUNT; i++)
        if (strcasecmp(later[i], name) == 0)
            return true;
    return strncasecmp(name, later_prefix, strlen(later_prefix)) == 0;
}

/* The number of our variable, 0 for none. */
static u32
find_ours(const char *name)
{
    for (u32 i = 0; i < OURS; i++)
        if (strcasecmp(ours[i], name) == 0)
            return VARIABLE_none + 1 + i;
    return 0;
}

bool
expr_is_builtin(const char *name)
{
    return find_ours(name) != 0 || is_later(name);
}

bool
expr_is_dynamic(const struct word *word)
{
    return memchr(word->text, '$', word->size) != NULL;
}

/* ---- variables in text ---- */

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A variable that is not ours: judge_variable.c has reported it if there is none of that name. */
static void
say_later(struct unit *unit, struct span span, const char *name)
{
    bool declared = map_find(&unit->variables, lower_case(unit, name), strlen(name)) != 0;
    bool capture = strspn(name, "0123456789") == strlen(name);
    if (unit->checking && (declared || capture))
        return; /* what declares it was named */
    if (declared || capture || is_later(name))
        later_say(unit, span, arena_print(&unit->arena, "the variable %s", show(unit, name, strlen(name))),
                  arena_print(&unit->arena, "$%s", lower_case(unit, name)));
}

/* The variable whose "$" is at at; its end. 0: reported. */
static u32
read_variable(struct unit *unit, const struct word *word, u32 at, u32 *end)
{
    bool braces = word->text[at + 1] == '{';
    u32 start = at + 1 + braces, stop = start;
    if (!braces && word->text[stop] >= '1' && word->text[stop] <= '9')
        stop++; /* a capture has one digit, whatever follows */
    else
        while (is_name(word->text[stop]))
            stop++;
    *end = stop + braces;
    if (braces && word->text[stop] != '}') {
        *end = stop;
        diag(unit, variable_brace, word_part(word, at, stop));
        return 0;
    }
    if (stop == start) {
        diag(unit, variable_name, word_part(word, at, *end));
        return 0;
    }
    const char *name = arena_text(&unit->arena, word->text + start, stop - start);
    u32 number = find_ours(name);
    if (number == 0)
        say_later(unit, word_part(word, at, *end), name);
    return number;
}

static void
add_text(struct unit *unit, struct vector *ops, const char *text, u32 size)
{
    if (size == 0)
        return;
    struct blob_op *op = vector_add(&unit->arena, ops, sizeof *op);
    *op = (struct blob_op){.kind = OP_TEXT, .text = image_text(unit, text, size), .text_size = size};
}

u32
expr_compile(struct unit *unit, const struct word *word)
{
    struct vector ops = {0};
    u32 from = 0, at = 0;
    bool good = true;
    while (at < word->size) {
        if (word->text[at] != '$') {
            at++;
            continue;
        }
        add_text(unit, &ops, word->text + from, at - from);
        u32 number = read_variable(unit, word, at, &at);
        from = at;
        good &= number != 0;
        struct blob_op *op = vector_add(&unit->arena, &ops, sizeof *op);
        *op = (struct blob_op){.kind = OP_VARIABLE, .variable = number};
    }
    add_text(unit, &ops, word->text + from, at - from);
    if (!good)
        return 0;
    struct blob_expr record = {.op = ops.count > 0 ? image_count(unit, SECTION_op) : 0, .op_count = ops.count};
    for (u32 i = 0; i < ops.count; i++)
        image_add(unit, SECTION_op, (struct blob_op *)ops.item + i, word->span);
    return image_add(unit, SECTION_expr, &record, word->span);
}
