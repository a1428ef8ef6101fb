/*
 * What another program than spcd would say of the same configuration: directives that the nginx named by --target
 * does not have (SP901), and what nginx does otherwise (SP902).
 */
#include "lint.h"

#include <stdlib.h>
#include <string.h>

/* ---- versions ---- */

enum { PATCH_ANY = 999 }; /* of "1.26": the last of it */

/* "1.26" or "1.26.2" as a number that can be compared; 0: it is none. */
static u32
read_version(const char *text)
{
    u32 part[3] = {0, 0, PATCH_ANY};
    for (u32 i = 0; i < 3; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 3)
            return 0;
        part[i] = (u32)atoi(text);
        text += digits;
        if (*text == '\0')
            return i == 0 ? 0 : (part[0] * 1000 + part[1]) * 1000 + part[2];
        if (*text++ != '.')
            return 0;
    }
    return 0;
}

bool
lint_target_read(const char *text, struct target *target)
{
    static const char prefix[] = "nginx-", plus[] = "nginx-plus";
    *target = (struct target){.name = text};
    if (strcmp(text, plus) == 0) {
        target->plus = true;
        return true;
    }
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    target->version = read_version(text + sizeof prefix - 1);
    return target->version != 0;
}

/* ---- SP901 ---- */

/* Why the target does not have what a row is about; NULL: it does. */
static const char *
lacks(struct lint *lint, bool ours, bool plus, const char *since)
{
    const struct target *target = &lint->unit->target;
    if (ours)
        return "it is of spcd alone";
    if (plus && !target->plus)
        return "it is of nginx Plus";
    if (since != NULL && target->version != 0 && read_version(since) > target->version)
        return arena_print(&lint->unit->arena, "it came with nginx %s", since);
    return NULL;
}

static void
report(struct lint *lint, const struct word *word, const char *why)
{
    if (why != NULL)
        diag(lint->unit, not_in_target, word->span, lint->unit->target.name, lint_show(lint->unit, word), why);
}

static void
check_node(struct lint *lint, const struct node *node)
{
    const struct directive *row = node->row;
    report(lint, &node->word[0], lacks(lint, row->ours, row->plus, row->since));
    if (row->may_open != NULL && node->block) /* only we know it with a block */
        report(lint, &node->word[node->word_count - 1], lacks(lint, true, false, NULL));
    for (const struct parameter *one = parameters; one < parameters + PARAMETER_COUNT; one++) {
        const struct word *word = &directives[one->of] == row ? lint_parameter(node, one->name) : NULL;
        if (word != NULL)
            report(lint, word, lacks(lint, one->ours, one->plus, one->since));
    }
}

/* Blocks of directives nest three deep: stream, server, and what is in it. */
static void
check_block(struct lint *lint, const struct node *first)
{
    for (const struct node *node = first; node != NULL; node = node->next) {
        if (node->row == NULL)
            continue;
        check_node(lint, node);
        if (node->row->opens != 0 && node->row->opens != OPAQUE)
            check_block(lint, node->first);
    }
}

/* ---- SP902 ---- */

static const struct {
    enum directive_id id;
    const char *how;
} differences[] = {
    {DIRECTIVE_worker_connections, "nginx counts both sides of a session, spcd one: one number holds twice as many"},
    {DIRECTIVE_daemon, "nginx goes to the background unless this says off, spcd only if it says on"},
};

static void
check_differences(struct lint *lint)
{
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct node *node = lint->unit->main.of[differences[i].id];
        if (node != NULL)
            diag(lint->unit, differs, node->word[0].span, lint_show(lint->unit, &node->word[0]), differences[i].how);
    }
}

void
lint_target(struct lint *lint)
{
    check_differences(lint);
    if (lint->unit->target.name == NULL)
        return;
    for (u32 id = 0; id < DIRECTIVE_COUNT; id++)
        for (const struct node *node = lint->unit->main.of[id]; node != NULL; node = node->again)
            if (node->row->opens == 0 || node->row->opens == IN_EVENTS)
                check_node(lint, node);
    check_block(lint, lint->stream->first);
}
