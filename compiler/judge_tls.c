/*
 * ssl_* and proxy_ssl_*: the values that are more than a word or a number, and what they need of each other in a
 * server. Ciphers, curves and certificates are for the library that will use them.
 */
#include "judge.h"

#include <string.h>

enum { ALPN_MAX = 255, CACHE_SIZE_MIN = 8 * 4096 };

void
judge_alpn(struct unit *unit, struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        if (word->size > ALPN_MAX || word->size == 0)
            diag(unit, bad_alpn, word->span, judge_show(unit, word), ALPN_MAX);
        else if (strchr(word->text, ',') != NULL)
            diag(unit, alpn_comma, word->span, judge_show(unit, word));
    }
}

/* As curl writes them, and RFC 7469 nearly so: base64 of 32 bytes, whose last digit has two bits of nothing. */
void
judge_pin(struct unit *unit, struct node *node)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        const char *text = word->text + PIN_PREFIX;
        bool good = word->size == PIN_PREFIX + PIN_SIZE && strncmp(word->text, "sha256//", PIN_PREFIX) == 0 &&
                    strspn(text, digits) == PIN_SIZE - 1 && text[PIN_SIZE - 1] == '=' &&
                    (strchr(digits, text[PIN_SIZE - 2]) - digits) % 4 == 0;
        if (!good)
            diag(unit, bad_pin, word->span, judge_show(unit, word));
    }
}

/* ---- caches in zones ---- */

/* "shared:NAME:SIZE" */
static void
judge_shared(struct unit *unit, const struct word *word, enum zone_use use, const char *shapes)
{
    u32 start = (u32)strlen("shared:");
    u64 size;
    const char *name = word->text + start, *colon = strchr(name, ':');
    if (strncmp(word->text, "shared:", start) != 0 || colon == NULL || colon == name || colon[1] == '\0') {
        diag(unit, bad_cache, word->span, judge_show(unit, word), shapes);
        if (strncmp(word->text, "shared:", start) == 0 && colon == NULL && *name != '\0')
            diag_help(unit, "write its size too: shared:%s:10m", name);
        return;
    }
    if (judge_size(unit, word, (u32)(colon + 1 - word->text), CACHE_SIZE_MIN, &size))
        name_zone(unit, use, arena_text(&unit->arena, name, (size_t)(colon - name)), size, word->span);
}

void
judge_session_cache(struct unit *unit, struct node *node)
{
    u64 number;
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        bool plain = strcmp(word->text, "off") == 0 || strcmp(word->text, "none") == 0 ||
                     strcmp(word->text, "builtin") == 0;
        bool sized = strncmp(word->text, "builtin:", 8) == 0;
        if (plain || (sized && value_number(word->text + 8, word->size - 8, &number) == READ_OK))
            continue;
        judge_shared(unit, word, ZONE_TLS, "off, none, builtin, builtin:NUMBER or shared:NAME:SIZE");
    }
}

void
judge_ocsp_cache(struct unit *unit, struct node *node)
{
    if (strcmp(node->word[1].text, "off") != 0)
        judge_shared(unit, &node->word[1], ZONE_OCSP, "off or shared:NAME:SIZE");
}

void
judge_responder(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[1];
    u32 start = (u32)strlen("http://");
    struct address address;
    if (strncmp(word->text, "http://", start) != 0) {
        diag(unit, bad_responder, word->span, judge_show(unit, word));
        return;
    }
    const char *host = arena_text(&unit->arena, word->text + start, strcspn(word->text + start, "/"));
    enum address_problem problem = value_address(host, false, &address);
    if (problem != ADDRESS_OK)
        diag(unit, bad_address, word_part(word, start, start + (u32)strlen(host)), show(unit, host, strlen(host)),
             value_address_problem[problem]);
}

/* ---- one server ---- */

static const struct node *
node_of(const struct scope *scope, enum directive_id id)
{
    const struct node *node = scope_nearest(scope, &directives[id]);
    return node != NULL && !node->broken ? node : NULL;
}

static bool
is_on(const struct scope *scope, enum directive_id id)
{
    const struct node *node = node_of(scope, id);
    return node != NULL && node->value != 0;
}

/* nginx pairs certificates and keys in order. */
static void
judge_keys(struct unit *unit, const struct scope *scope)
{
    const struct node *key = node_of(scope, DIRECTIVE_ssl_certificate_key);
    for (const struct node *one = node_of(scope, DIRECTIVE_ssl_certificate); one != NULL; one = one->again) {
        if (key == NULL) {
            diag(unit, no_key, one->word[1].span, judge_show(unit, &one->word[1]), "ssl_certificate_key");
            return;
        }
        key = key->again;
    }
}

enum { VERIFY_OFF, VERIFY_ON, VERIFY_OPTIONAL, VERIFY_NO_CA }; /* as ssl_verify_client's row has them */

static u64
verify_of(const struct scope *scope)
{
    static const u64 order[] = {VERIFY_ON, VERIFY_OFF, VERIFY_OPTIONAL, VERIFY_NO_CA};
    const struct node *node = node_of(scope, DIRECTIVE_ssl_verify_client);
    return node != NULL && node->value < sizeof order / sizeof *order ? order[node->value] : VERIFY_OFF;
}

static void
judge_clients(struct unit *unit, const struct scope *scope)
{
    const struct node *verify = node_of(scope, DIRECTIVE_ssl_verify_client), *ocsp = node_of(scope, DIRECTIVE_ssl_ocsp);
    u64 how = verify_of(scope);
    bool trusts = scope_nearest(scope, &directives[DIRECTIVE_ssl_client_certificate]) != NULL ||
                  scope_nearest(scope, &directives[DIRECTIVE_ssl_trusted_certificate]) != NULL;
    if ((how == VERIFY_ON || how == VERIFY_OPTIONAL) && !trusts)
        diag(unit, no_client_ca, verify->word[0].span, judge_show(unit, &verify->word[1]));
    bool asks = ocsp != NULL && strcmp(ocsp->word[1].text, "off") != 0;
    if (asks && how == VERIFY_NO_CA) {
        diag(unit, ocsp_no_ca, ocsp->word[0].span);
        diag_note(unit, verify->word[0].span, "it stands here");
    }
}

void
judge_tls_server(struct unit *unit, const struct scope *scope)
{
    const struct node *outer = node_of(scope, DIRECTIVE_proxy_ssl_certificate);
    if (node_of(scope, DIRECTIVE_ssl_certificate) != NULL && !judge_is_lenient(unit))
        judge_keys(unit, scope);
    if (node_of(scope, DIRECTIVE_ssl_certificate) != NULL && !judge_is_lenient(unit))
        judge_clients(unit, scope);
    if (outer != NULL && is_on(scope, DIRECTIVE_proxy_ssl) && outer->word[1].size > 0 && !judge_is_lenient(unit) &&
        scope_nearest(scope, &directives[DIRECTIVE_proxy_ssl_certificate_key]) == NULL)
        diag(unit, no_key, outer->word[1].span, judge_show(unit, &outer->word[1]), "proxy_ssl_certificate_key");
    const struct node *starttls = node_of(scope, DIRECTIVE_ssl_preread_starttls);
    if (is_on(scope, DIRECTIVE_ssl_preread_starttls) && is_on(scope, DIRECTIVE_proxy_ssl) &&
        scope->last[DIRECTIVE_proxy_pass] != NULL)
        diag(unit, tls_in_tls, starttls->word[1].span);
}
