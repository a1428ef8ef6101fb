/*
 * Opinions on allow and deny: the first rule that matches decides, and what none matches comes in.
 */
#include "lint.h"

#include <string.h>

static bool
is_for_all(const struct node *node)
{
    return strcmp(node->word[1].text, "all") == 0;
}

static const char *
show_rule(struct lint *lint, const struct node *node)
{
    const char *text = arena_print(&lint->unit->arena, "%s %s", node->word[0].text, node->word[1].text);
    return show(lint->unit, text, strlen(text));
}

/* SP706 */
void
lint_access_order(struct lint *lint)
{
    struct vector access = lint_access(lint);
    struct node **node = access.item;
    for (u32 i = 0; i + 1 < access.count; i++) {
        if (!is_for_all(node[i]))
            continue;
        if (!lint_first(lint, node[i], DIAG_dead_rule))
            return;
        diag(lint->unit, dead_rule, lint_span(node[i + 1]), show_rule(lint, node[i + 1]));
        diag_note(lint->unit, lint_span(node[i]), "this one decides for everyone");
        return;
    }
    if (access.count == 0)
        return;
    const struct node *last = node[access.count - 1];
    if (last->row == &directives[DIRECTIVE_allow] && !is_for_all(last) && lint_first(lint, last, DIAG_allow_no_deny))
        diag(lint->unit, allow_no_deny, lint_span(last), show_rule(lint, last));
}
