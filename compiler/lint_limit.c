/*
 * Opinions on limits, times and logs: values that stop all traffic or none, and lines that do not tell enough.
 */
#include "lint.h"

#include <string.h>

/* ---- SP801: to nginx 0 is no time at all, not "for ever" ---- */

static void
check_zero(struct lint *lint, enum directive_id id, bool applies)
{
    const struct node *node = applies ? lint_node(lint, id) : NULL;
    if (node != NULL && node->value == 0 && lint_first(lint, node, DIAG_zero_time))
        diag(lint->unit, zero_time, lint_span(node), lint_show(lint->unit, &node->word[0]));
}

/* SP803: without keepalive a peer that vanished is never noticed. */
static void
check_long(struct lint *lint)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    const struct node *node = lint_node(lint, DIRECTIVE_proxy_timeout);
    if (node == NULL || node->value <= DAY_MS || lint_node(lint, DIRECTIVE_proxy_socket_keepalive) != NULL)
        return;
    for (u32 i = 0; i < lint->server.listen_count; i++)
        if (lint_parameter(lint->server.listen[i].node, "so_keepalive=") != NULL)
            return;
    if (lint_first(lint, node, DIAG_long_time))
        diag(lint->unit, long_time, lint_span(node), lint_show(lint->unit, &node->word[1]));
}

static bool
reads_ahead(const struct lint *lint)
{
    const struct lint_server *server = &lint->server;
    bool others = lint_value(lint, DIRECTIVE_mqtt_preread) != 0 || lint_value(lint, DIRECTIVE_http_preread) != 0;
    return (server->plain && lint_value(lint, DIRECTIVE_ssl_preread) != 0) || (server->tcp && others);
}

void
lint_limit_time(struct lint *lint)
{
    const struct lint_server *server = &lint->server;
    bool proxies = server->pass != NULL;
    check_zero(lint, DIRECTIVE_proxy_timeout, proxies);
    check_zero(lint, DIRECTIVE_proxy_connect_timeout, proxies);
    check_zero(lint, DIRECTIVE_preread_timeout, reads_ahead(lint));
    check_zero(lint, DIRECTIVE_ssl_handshake_timeout, server->ssl);
    check_zero(lint, DIRECTIVE_proxy_protocol_timeout, server->preamble);
    if (proxies && server->tcp && lint->framed)
        check_long(lint);
}

/* SP802 */
void
lint_limit_buffer(struct lint *lint)
{
    const struct node *node = lint_node(lint, DIRECTIVE_proxy_buffer_size);
    if (node != NULL && !node->broken && node->value == 0 && lint_first(lint, node, DIAG_zero_buffer))
        diag(lint->unit, zero_buffer, lint_span(node));
}

/* SP804: less than one full packet of Ethernet in a second */
static void
check_rate(struct lint *lint, enum directive_id id)
{
    enum { PACKET_SIZE = 1500 };
    u64 rate;
    const struct node *node = lint_node(lint, id);
    if (node == NULL || value_size(node->word[1].text, node->word[1].size, &rate) != READ_OK || rate == 0 ||
        rate >= PACKET_SIZE || !lint_first(lint, node, DIAG_slow))
        return;
    diag(lint->unit, slow, lint_span(node), (unsigned long long)rate);
    diag_help(lint->unit, "if kilobytes are meant, write %s %lluk;", node->row->name, (unsigned long long)rate);
}

void
lint_limit_rate(struct lint *lint)
{
    if (!lint->server.tcp || lint->server.pass == NULL)
        return;
    check_rate(lint, DIRECTIVE_proxy_upload_rate);
    check_rate(lint, DIRECTIVE_proxy_download_rate);
}

/* ---- logs ---- */

/* SP806 */
static void
check_log_path(struct lint *lint, const struct node *node)
{
    const struct word *word = &node->word[1], *where;
    if (!lint_first(lint, node, DIAG_log_by_client))
        return;
    if (lint_is_tainted(lint, word, &where))
        diag(lint->unit, log_by_client, word->span, lint_show(lint->unit, word));
    else if (strncmp(word->text, "/tmp/", 5) == 0 || strncmp(word->text, "/var/tmp/", 9) == 0)
        diag(lint->unit, log_in_public, word->span, lint_show(lint->unit, word));
    else if (strchr(word->text, '$') != NULL)
        diag(lint->unit, log_by_variable, word->span, lint_show(lint->unit, word));
}

/* SP805, SP806 */
void
lint_limit_log(struct lint *lint)
{
    struct node *log = lint_node(lint, DIRECTIVE_access_log);
    struct vector access = lint_access(lint);
    const struct node *deny = NULL;
    for (u32 i = 0; i < access.count && deny == NULL; i++)
        if (((struct node **)access.item)[i]->row == &directives[DIRECTIVE_deny])
            deny = ((struct node **)access.item)[i];
    bool silent = log == NULL || strcmp(log->word[1].text, "off") == 0;
    if (silent && lint->framed && deny != NULL && lint_first(lint, deny, DIAG_denied_unlogged))
        diag(lint->unit, denied_unlogged, lint_span(deny));
    for (; log != NULL; log = log->again)
        check_log_path(lint, log);
}

/* SP805: words that a client chooses, in a line that a program will read */
static void
check_json(struct lint *lint, const struct node *node, u32 first)
{
    static const char *const chosen[] = {"ssl_preread_*", "mqtt_preread_*", "http_preread_*", "ssl_server_name",
                                         "ssl_client_*", "ssl_alpn_protocol", "proxy_protocol_tlv_*"};
    if (node->word[first].text[strspn(node->word[first].text, " ")] != '{')
        return;
    for (u32 i = first; i < node->word_count; i++)
        for (size_t name = 0; name < sizeof chosen / sizeof *chosen; name++)
            if (lint_mentions(node->word[i].text, chosen[name])) {
                diag(lint->unit, unescaped_json, node->word[1].span, lint_show(lint->unit, &node->word[1]));
                diag_note(lint->unit, node->word[i].span, "a client chooses words of this");
                return;
            }
}

void
lint_limit_format(struct lint *lint)
{
    for (const struct node *node = lint->unit->stream.of[DIRECTIVE_log_format]; node != NULL; node = node->again) {
        bool escape = node->word_count > 2 && strncmp(node->word[2].text, "escape=", 7) == 0;
        bool status = false;
        for (u32 i = 2; i < node->word_count; i++)
            status |= lint_mentions(node->word[i].text, "status");
        if (!status)
            diag(lint->unit, no_status, node->word[1].span, lint_show(lint->unit, &node->word[1]));
        if (node->word_count > 2u + escape && !(escape && strcmp(node->word[2].text, "escape=json") == 0))
            check_json(lint, node, 2 + escape);
    }
}
