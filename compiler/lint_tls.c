/*
 * Opinions on TLS, with clients and with upstream servers: who is verified, how strong it is, what leaks.
 */
#include "lint.h"

#include <string.h>

static bool
is_encrypting(const struct lint *lint)
{
    return lint->server.pass != NULL && lint_value(lint, DIRECTIVE_proxy_ssl) != 0;
}

/* ---- towards upstream servers ---- */

/* Is there another machine to pretend to be? */
static bool
stays_here(const struct lint *lint)
{
    const struct lint_group *group = lint->server.group;
    for (u32 i = 0; group != NULL && i < group->peer_count; i++)
        if (lint_reach(&group->peer[i].address) != REACH_HOST)
            return false;
    return group != NULL;
}

/* SP501 */
void
lint_tls_verify(struct lint *lint)
{
    const struct node *tls = lint_node(lint, DIRECTIVE_proxy_ssl);
    if (!is_encrypting(lint) || lint_value(lint, DIRECTIVE_proxy_ssl_verify) != 0 || stays_here(lint) ||
        lint_node(lint, DIRECTIVE_proxy_ssl_pin) != NULL)
        return;
    const struct node *verify = lint_node(lint, DIRECTIVE_proxy_ssl_verify);
    const struct node *where = verify != NULL ? verify : tls;
    if ((verify != NULL || lint->framed) && lint_first(lint, where, DIAG_unverified))
        diag(lint->unit, unverified, lint_span(where));
}

/* SP502: nginx looks for it whether or not anything is proxied. */
void
lint_tls_trusted(struct lint *lint)
{
    const struct node *verify = lint_node(lint, DIRECTIVE_proxy_ssl_verify);
    const struct node *trusted = lint_node(lint, DIRECTIVE_proxy_ssl_trusted_certificate);
    bool trusts = trusted != NULL && trusted->word[1].size > 0;
    if (lint_value(lint, DIRECTIVE_proxy_ssl) != 0 && verify != NULL && verify->value != 0 && !trusts && lint->framed &&
        lint_first(lint, verify, DIAG_trusts_nobody))
        diag(lint->unit, trusts_nobody, lint_span(verify));
}

/* SP504: what the certificate must name, unless proxy_ssl_name says it, is what proxy_pass says. */
static void
check_expected(struct lint *lint)
{
    const struct lint_group *group = lint->server.group;
    const struct word *word = &lint->server.pass->word[1];
    if (group == NULL || lint_node(lint, DIRECTIVE_proxy_ssl_name) != NULL)
        return;
    if (group->block != NULL && strchr(word->text, '.') == NULL)
        diag(lint->unit, expects_group, word->span, lint_show(lint->unit, word));
    else if (group->block == NULL &&
             (group->peer[0].address.family == FAMILY_IPV4 || group->peer[0].address.family == FAMILY_IPV6))
        diag(lint->unit, expects_address, word->span, lint_show(lint->unit, word));
}

/* SP505 */
static void
check_sent(struct lint *lint)
{
    const struct lint_group *group = lint->server.group;
    bool named = lint_node(lint, DIRECTIVE_proxy_ssl_name) != NULL;
    if (lint_value(lint, DIRECTIVE_proxy_ssl_server_name) != 0)
        return;
    for (u32 i = 0; group != NULL && i < group->peer_count; i++)
        named |= lint_is_name(&group->peer[i]);
    if (named)
        diag(lint->unit, name_unsent, lint->server.pass->word[1].span);
}

/* SP506 */
static void
check_depth(struct lint *lint, enum directive_id depth, const struct node *verify)
{
    if (lint_node(lint, depth) == NULL && lint_first(lint, verify, DIAG_short_chain))
        diag(lint->unit, short_chain, lint_span(verify),
             show(lint->unit, directives[depth].name, strlen(directives[depth].name)));
}

void
lint_tls_name(struct lint *lint)
{
    if (!is_encrypting(lint) || !lint->framed)
        return;
    check_sent(lint);
    if (lint_value(lint, DIRECTIVE_proxy_ssl_verify) == 0)
        return;
    check_expected(lint);
    check_depth(lint, DIRECTIVE_proxy_ssl_verify_depth, lint_node(lint, DIRECTIVE_proxy_ssl_verify));
}

/* SP514: protocols that begin in clear and change to TLS when asked to. */
void
lint_tls_port(struct lint *lint)
{
    static const struct {
        u32 port;
        const char *whose;
    } ports[] = {
        {21, "FTP"},
        {25, "SMTP"},
        {80, "HTTP without TLS"},
        {110, "POP3"},
        {143, "IMAP"},
        {389, "LDAP"},
        {587, "mail submission"},
        {3306, "MySQL"},
        {5222, "XMPP"},
        {5432, "PostgreSQL before 17"},
    };
    const struct lint_group *group = lint->server.group;
    for (u32 i = 0; is_encrypting(lint) && group != NULL && i < group->peer_count; i++)
        for (size_t row = 0; row < sizeof ports / sizeof *ports; row++)
            if (group->peer[i].address.port == ports[row].port &&
                (group->block == NULL || lint_first(lint, group->peer[i].node, DIAG_starttls)))
                diag(lint->unit, starttls, group->peer[i].word->span, ports[row].port, ports[row].whose);
}

/* ---- strength ---- */

/* SP507 */
static void
check_protocols(struct lint *lint, enum directive_id id)
{
    for (struct node *node = lint_node(lint, id); node != NULL; node = node->again) {
        bool said = false;
        for (u32 i = 1; i < node->word_count; i++) {
            const struct word *word = &node->word[i];
            bool broken = strncmp(word->text, "SSLv", 4) == 0;
            bool old = strcmp(word->text, "TLSv1") == 0 || strcmp(word->text, "TLSv1.1") == 0;
            if (!broken && !old)
                continue;
            if (said || !lint_first(lint, node, DIAG_old_protocol)) {
                if (said)
                    diag_note(lint->unit, word->span, "%s is no better", lint_show(lint->unit, word));
                continue;
            }
            said = true;
            if (broken)
                diag(lint->unit, broken_protocol, word->span, lint_show(lint->unit, word));
            else
                diag(lint->unit, old_protocol, word->span, lint_show(lint->unit, word));
        }
    }
}

static bool
has_part(const char *token, size_t size, const char *part)
{
    size_t length = strlen(part);
    for (size_t at = 0; at + length <= size; at++)
        if (strncmp(token + at, part, length) == 0 && (at == 0 || strchr("+-", token[at - 1]) != NULL) &&
            (at + length == size || strchr("+-", token[at + length]) != NULL))
            return true;
    return false;
}

/* Families of ciphers that protect nothing or not enough; a family that is excluded by "!" never comes back. */
static const char *const weak[] = {"NULL", "eNULL", "aNULL",  "ADH", "AECDH", "RC4",  "RC2",  "3DES",
                                   "DES",  "EXP",   "EXPORT", "LOW", "MD5",   "IDEA", "SEED", "COMPLEMENTOFALL"};

/* Tokens end at a separator, or where a command such as "@SECLEVEL=0" begins. */
static size_t
token_size(const char *text)
{
    return text[0] == '@' ? strcspn(text, ":,; ") : strcspn(text, ":,; @");
}

static bool
is_excluded(const char *list, const char *part)
{
    for (const char *at = list; *at != '\0';) {
        size_t size = token_size(at);
        if (at[0] == '!' && strncmp(at + 1, part, size - 1) == 0 && strlen(part) == size - 1)
            return true;
        at += size + (at[size] != '\0' && at[size] != '@');
    }
    return false;
}

/* The weak family that a token brings in, NULL for none. */
static const char *
weakness(const char *list, const char *token, size_t size)
{
    if (size == 0 || strchr("!-+@", token[0]) != NULL)
        return NULL;
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++)
        if (has_part(token, size, weak[i]) && !is_excluded(list, weak[i]))
            return weak[i];
    return NULL;
}

/* SP508 */
static void
check_ciphers(struct lint *lint, enum directive_id id)
{
    const struct node *node = lint_node(lint, id);
    if (node == NULL || !lint_first(lint, node, DIAG_weak_cipher))
        return;
    const struct word *word = &node->word[1];
    for (const char *at = word->text; *at != '\0';) {
        size_t size = token_size(at);
        u32 start = (u32)(at - word->text), end = start + (u32)size;
        const char *part = weakness(word->text, at, size);
        if (part != NULL)
            diag(lint->unit, weak_cipher, word_part(word, start, end), show(lint->unit, at, size));
        else if (size > 0 && at[0] == '@')
            diag(lint->unit, openssl_only, word_part(word, start, end), show(lint->unit, at, size));
        at += size + (at[size] != '\0' && at[size] != '@');
    }
}

static void
check_commands(struct lint *lint, enum directive_id id)
{
    for (const struct node *node = lint_node(lint, id); node != NULL; node = node->again)
        if (lint_first(lint, node, DIAG_openssl_only))
            diag(lint->unit, openssl_only, node->word[0].span, lint_show(lint->unit, &node->word[0]));
}

void
lint_tls_strength(struct lint *lint)
{
    if (lint->server.ssl) {
        check_protocols(lint, DIRECTIVE_ssl_protocols);
        check_ciphers(lint, DIRECTIVE_ssl_ciphers);
        check_commands(lint, DIRECTIVE_ssl_conf_command);
    }
    if (is_encrypting(lint)) {
        check_protocols(lint, DIRECTIVE_proxy_ssl_protocols);
        check_ciphers(lint, DIRECTIVE_proxy_ssl_ciphers);
        check_commands(lint, DIRECTIVE_proxy_ssl_conf_command);
    }
}

/* ---- with clients ---- */

/* SP511: an optional certificate says something only to who asks what became of it. */
void
lint_tls_clients(struct lint *lint)
{
    const struct node *verify = lint_node(lint, DIRECTIVE_ssl_verify_client);
    if (!lint->server.ssl || verify == NULL || strcmp(verify->word[1].text, "off") == 0)
        return;
    if (lint->framed)
        check_depth(lint, DIRECTIVE_ssl_verify_depth, verify);
    bool optional = strncmp(verify->word[1].text, "optional", 8) == 0;
    if (optional && lint->whole && !lint_is_used(lint, "ssl_client_verify") &&
        lint_first(lint, verify, DIAG_optional_unasked))
        diag(lint->unit, optional_unasked, lint_span(verify), lint_show(lint->unit, &verify->word[1]));
}

/* SP512 */
void
lint_tls_resumption(struct lint *lint)
{
    const struct lint_server *server = &lint->server;
    bool tickets = lint_value(lint, DIRECTIVE_ssl_session_tickets) != 0;
    const struct node *cache = lint_node(lint, DIRECTIVE_ssl_session_cache);
    if (!server->ssl || !lint->framed)
        return;
    const struct node *tls = NULL;
    for (u32 i = 0; i < server->listen_count && tls == NULL; i++)
        if (server->listen[i].ssl)
            tls = server->listen[i].node;
    bool caches = cache != NULL && strcmp(cache->word[1].text, "none") != 0 && strcmp(cache->word[1].text, "off") != 0;
    if (tickets && lint_node(lint, DIRECTIVE_ssl_session_ticket_key) == NULL)
        diag(lint->unit, own_ticket_key, tls->word[0].span);
    else if (!tickets && !caches)
        diag(lint->unit, no_resumption, tls->word[0].span);
}

/* ---- SP513 ---- */

static void
check_key_log(struct lint *lint, enum directive_id id)
{
    const struct node *node = lint_node(lint, id);
    if (node == NULL || strcmp(node->word[1].text, "off") == 0)
        return;
    const struct source *source = source_at(lint->unit, node->word[0].span.start);
    if (strstr(source->name, "debug") == NULL && lint_first(lint, node, DIAG_key_log))
        diag(lint->unit, key_log, lint_span(node), lint_show(lint->unit, &node->word[1]));
}

void
lint_tls_key_log(struct lint *lint)
{
    if (lint->server.ssl)
        check_key_log(lint, DIRECTIVE_ssl_key_log);
    if (is_encrypting(lint))
        check_key_log(lint, DIRECTIVE_proxy_ssl_key_log);
}
