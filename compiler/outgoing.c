/*
 * The connection towards an upstream server: proxy_bind and keepalive lowered to fields of its proxy. What lands
 * by a row alone is not here.
 */
#include "spcc.h"

#include <string.h>

static struct node *
node_of(const struct scope *scope, enum directive_id id)
{
    struct node *node = scope_nearest(scope, &directives[id]);
    return node != NULL && !node->broken ? node : NULL;
}

/* "address[:port]" of our own; a name or a unix socket cannot be bound to. */
static u32
bind_address(struct unit *unit, const struct word *word)
{
    struct address address;
    enum address_problem problem = value_address(word->text, false, &address);
    if (problem == ADDRESS_BRACKETS) /* without a port there is nothing that they would keep it apart from */
        problem = value_address(arena_print(&unit->arena, "[%s]", word->text), false, &address);
    if (problem == ADDRESS_OK && (address.family == FAMILY_IPV4 || address.family == FAMILY_IPV6))
        return listen_address(unit, &address, address.port, word->span);
    diag(unit, bad_bind, word->span, show(unit, word->text, word->size));
    return 0;
}

void
outgoing_compile(struct unit *unit, const struct scope *scope, struct blob_proxy *proxy)
{
    static const struct landing keepalive[] = {
        INTO(proxy, keepalive_idle_s), INTO(proxy, keepalive_interval_s), INTO(proxy, keepalive_count)};
    const struct node *node = node_of(scope, DIRECTIVE_proxy_bind);
    if (node != NULL && (node->word_count > 2 || strcmp(node->word[1].text, "off") != 0)) {
        if (expr_is_dynamic(&node->word[1]))
            proxy->bind_value = expr_compile(unit, &node->word[1]);
        else
            proxy->bind = bind_address(unit, &node->word[1]);
        if (node->word_count > 2)
            proxy->flags |= PROXY_TRANSPARENT;
    }
    node = node_of(scope, DIRECTIVE_proxy_socket_keepalive);
    if (node != NULL && socket_keepalive(unit, &node->word[1], node->word[1].text, keepalive, proxy))
        proxy->flags |= PROXY_KEEPALIVE;
}
