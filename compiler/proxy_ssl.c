/*
 * proxy_ssl and what belongs to it: judged nodes in, a proxy_ssl record out, with the tls record that it shares with
 * all servers whose settings are the same. Files are only named here: spcd reads them.
 */
#include "judge.h"

#include <string.h>

enum { LEVEL_USUAL = 2 }; /* of OpenSSL's security levels, as Debian and OpenSSL 3.2 have it */

static const char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt"; /* "system": of the package ca-certificates */

static struct node *
node_of(const struct scope *scope, enum directive_id id)
{
    struct node *node = scope_nearest(scope, &directives[id]);
    return node != NULL && !node->broken ? node : NULL;
}

static bool
is_on(const struct scope *scope, enum directive_id id, bool absent)
{
    const struct node *node = node_of(scope, id);
    return node != NULL ? node->value != 0 : absent;
}

/* ---- files ---- */

/* The record of a file that is named by the word behind the directive, made once. */
static u32
compile_file(struct unit *unit, const struct scope *scope, enum directive_id id)
{
    struct node *node = node_of(scope, id);
    if (node == NULL || node->word[1].size == 0)
        return 0;
    const struct word *word = &node->word[1];
    const char *path = word->text, *name = node->word[0].text;
    if (id == DIRECTIVE_proxy_ssl_trusted_certificate && strcmp(path, "system") == 0)
        path = system_bundle;
    if (node->index == 0) {
        struct blob_file record = {image_text(unit, path, strlen(path)), image_text(unit, name, strlen(name))};
        node->index = image_add(unit, SECTION_file, &record, word->span);
    }
    return node->index;
}

static bool
is_dynamic(const struct scope *scope, enum directive_id id)
{
    const struct node *node = node_of(scope, id);
    return node != NULL && expr_is_dynamic(&node->word[1]);
}

/* What begins with a scheme is no file. */
static void
refuse_scheme(struct unit *unit, const struct scope *scope, enum directive_id id)
{
    static const struct {
        const char *scheme, *why;
    } schemes[] = {
        {"engine:", "BoringSSL has no engines"},
        {"data:", "certificates and keys come from files"},
        {"store:", "a store is known for keys only, and of the kind store:pkcs11:"},
    };
    const struct node *node = node_of(scope, id);
    if (id == DIRECTIVE_proxy_ssl_certificate_key && token_is_named(&node->word[1]))
        return;
    for (size_t i = 0; node != NULL && i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(node->word[1].text, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            diag(unit, no_such_key, node->word[1].span, show(unit, node->word[1].text, node->word[1].size),
                 schemes[i].why);
}

static u32
compile_cache(struct unit *unit, const struct scope *scope)
{
    enum { INACTIVE_S = 10, VALID_S = 60 }; /* nginx's */
    struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_certificate_cache);
    struct options options = {0};
    if (node == NULL || strcmp(node->word[1].text, "off") == 0 || !judge_options(unit, node, 1, &options))
        return 0;
    struct blob_cache record = {.most = (u32)options.value[PARAMETER_proxy_ssl_certificate_cache_max],
                                .inactive_s = INACTIVE_S, .valid_s = VALID_S};
    if (options.word[PARAMETER_proxy_ssl_certificate_cache_inactive] != NULL)
        record.inactive_s = (u32)options.value[PARAMETER_proxy_ssl_certificate_cache_inactive];
    if (options.word[PARAMETER_proxy_ssl_certificate_cache_valid] != NULL)
        record.valid_s = (u32)options.value[PARAMETER_proxy_ssl_certificate_cache_valid];
    if (node->index == 0)
        node->index = image_add(unit, SECTION_cache, &record, node->word[0].span);
    return node->index;
}

/* Certificate and key: files, or, if one of them has variables, the paths that both will have. */
static void
compile_identity(struct unit *unit, const struct scope *scope, struct blob_proxy_ssl *record, struct blob_tls *tls)
{
    const struct node *certificate = node_of(scope, DIRECTIVE_proxy_ssl_certificate);
    struct node *key = node_of(scope, DIRECTIVE_proxy_ssl_certificate_key);
    if (certificate == NULL || key == NULL || certificate->word[1].size == 0)
        return;
    refuse_scheme(unit, scope, DIRECTIVE_proxy_ssl_certificate);
    refuse_scheme(unit, scope, DIRECTIVE_proxy_ssl_certificate_key);
    if (is_dynamic(scope, DIRECTIVE_proxy_ssl_certificate) || is_dynamic(scope, DIRECTIVE_proxy_ssl_certificate_key)) {
        if (token_is_named(&key->word[1]))
            diag(unit, no_such_key, key->word[1].span, show(unit, key->word[1].text, key->word[1].size),
                 "a key in a token goes with one certificate, whose path has no variables");
        record->certificate = expr_compile(unit, &certificate->word[1]);
        record->key = expr_compile(unit, &key->word[1]);
        record->cache = compile_cache(unit, scope);
    } else {
        tls->certificate = compile_file(unit, scope, DIRECTIVE_proxy_ssl_certificate);
        if (token_is_named(&key->word[1]))
            tls->token = token_compile(unit, key);
        else
            tls->key = compile_file(unit, scope, DIRECTIVE_proxy_ssl_certificate_key);
    }
    tls->passwords = compile_file(unit, scope, DIRECTIVE_proxy_ssl_password_file);
}

/* ---- what may be negotiated ---- */

/* SSLv2 and SSLv3 are words, and nothing that any library still speaks. */
static u32
compile_versions(struct unit *unit, const struct scope *scope)
{
    static const struct {
        const char *name;
        u32 bit;
    } versions[] = {{"TLSv1", TLS_1_0}, {"TLSv1.1", TLS_1_1}, {"TLSv1.2", TLS_1_2}, {"TLSv1.3", TLS_1_3}};
    const struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_protocols);
    u32 bits = 0;
    for (const struct node *one = node; one != NULL; one = one->again)
        for (u32 i = 1; i < one->word_count; i++) {
            const struct word *word = &one->word[i];
            for (size_t j = 0; j < sizeof versions / sizeof *versions; j++)
                if (strcasecmp(word->text, versions[j].name) == 0)
                    bits |= versions[j].bit;
            if (strncasecmp(word->text, "SSL", 3) == 0)
                diag(unit, no_ssl, word->span, show(unit, word->text, word->size));
        }
    return node != NULL ? bits : TLS_1_2 | TLS_1_3;
}

static void
compile_choices(struct unit *unit, const struct scope *scope, struct blob_tls *tls)
{
    struct tls_choices choices = {compile_versions(unit, scope), LEVEL_USUAL, "", "", "", false, false};
    const struct node *ciphers = node_of(scope, DIRECTIVE_proxy_ssl_ciphers);
    if (ciphers != NULL)
        cipher_read(unit, &ciphers->word[1], &choices);
    for (const struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_conf_command); node != NULL; node = node->again)
        if (!node->broken)
            conf_command_read(unit, node, &choices);
    if (choices.versions == 0) {
        const struct node *protocols = node_of(scope, DIRECTIVE_proxy_ssl_protocols);
        diag(unit, no_version, (protocols ? protocols : node_of(scope, DIRECTIVE_proxy_ssl))->word[0].span);
    }
    tls->versions = choices.versions;
    tls->level = choices.level;
    tls->ciphers = image_text(unit, choices.ciphers, strlen(choices.ciphers));
    tls->curves = image_text(unit, choices.curves, strlen(choices.curves));
    tls->signatures = image_text(unit, choices.signatures, strlen(choices.signatures));
    if (choices.no_ticket)
        tls->flags |= TLS_NO_TICKET;
    if (choices.signs_only)
        tls->flags |= TLS_SIGNS_ONLY;
}

/* ---- who it is ---- */

/* The host that proxy_pass names, or the group: nginx's default for proxy_ssl_name. 0: variables will say. */
static u32
compile_name(struct unit *unit, const struct scope *scope, const struct node *pass)
{
    const struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_name);
    struct address address;
    struct word host = pass->word[1];
    if (node != NULL)
        return expr_compile(unit, &node->word[1]);
    if (upstream_is_group(unit, &host))
        return expr_compile(unit, &host);
    if (expr_is_dynamic(&host) || value_address(host.text, false, &address) != ADDRESS_OK)
        return 0;
    if (address.family != FAMILY_UNIX)
        host = (struct word){arena_text(&unit->arena, address.host, address.host_size), .size = address.host_size,
                             .span = host.span};
    return expr_compile(unit, &host);
}

static void
compile_alpn(struct unit *unit, const struct scope *scope, struct blob_proxy_ssl *record)
{
    const struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_alpn);
    struct vector values = {0};
    for (u32 i = 1; node != NULL && i < node->word_count; i++) {
        struct blob_alpn one = {expr_compile(unit, &node->word[i])};
        if (one.value != 0)
            *(struct blob_alpn *)vector_add(&unit->arena, &values, sizeof one) = one;
    }
    record->alpn = values.count > 0 ? image_count(unit, SECTION_alpn) : 0;
    record->alpn_count = values.count;
    for (u32 i = 0; i < values.count; i++)
        image_add(unit, SECTION_alpn, (struct blob_alpn *)values.item + i, node->word[0].span);
}

static void
compile_pins(struct unit *unit, const struct scope *scope, struct blob_tls *tls)
{
    struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_pin);
    if (node == NULL)
        return;
    for (u32 i = 1; i < node->word_count && (i > 1 || node->index == 0); i++) {
        struct blob_pin pin = {image_text(unit, node->word[i].text + PIN_PREFIX, PIN_SIZE)};
        u32 index = image_add(unit, SECTION_pin, &pin, node->word[i].span);
        node->index = i == 1 ? index : node->index;
    }
    tls->pin = node->index;
    tls->pin_count = node->word_count - 1;
}

static u32
compile_key_log(struct unit *unit, const struct scope *scope)
{
    struct node *node = node_of(scope, DIRECTIVE_proxy_ssl_key_log);
    if (node == NULL)
        return 0;
    struct blob_log record = {.sink = SINK_FILE, .flags = LOG_SECRET};
    record.path = image_text(unit, node->word[1].text, node->word[1].size);
    if (node->index == 0)
        node->index = image_add(unit, SECTION_log, &record, node->word[0].span);
    return node->index;
}

/* ---- whole ---- */

/* The tls record with this content, made if there is none. */
static u32
share(struct unit *unit, const struct blob_tls *tls, struct span span)
{
    u32 *known = map_at_copy(&unit->arena, &unit->tls, tls, sizeof *tls);
    if (*known == 0)
        *known = image_add(unit, SECTION_tls, tls, span);
    return *known;
}

u32
proxy_ssl_compile(struct unit *unit, const struct scope *scope, const struct node *pass)
{
    const struct node *node = node_of(scope, DIRECTIVE_proxy_ssl);
    struct blob_proxy_ssl record = {0};
    struct blob_tls tls = {.depth = 1};
    if (node == NULL || node->value == 0)
        return 0;
    if (is_on(scope, DIRECTIVE_proxy_ssl_session_reuse, true))
        tls.flags |= TLS_SESSION_REUSE;
    if (is_on(scope, DIRECTIVE_proxy_ssl_server_name, false))
        tls.flags |= TLS_SEND_NAME;
    if (is_on(scope, DIRECTIVE_proxy_ssl_certificate_reload, false))
        tls.flags |= TLS_RELOAD;
    if (is_on(scope, DIRECTIVE_proxy_ssl_verify, false)) {
        const struct node *depth = node_of(scope, DIRECTIVE_proxy_ssl_verify_depth);
        tls.flags |= TLS_VERIFY;
        tls.depth = depth != NULL ? (u32)depth->value : 1;
        tls.trusted = compile_file(unit, scope, DIRECTIVE_proxy_ssl_trusted_certificate);
        tls.crl = compile_file(unit, scope, DIRECTIVE_proxy_ssl_crl);
    }
    compile_choices(unit, scope, &tls);
    compile_identity(unit, scope, &record, &tls);
    tls.key_log = compile_key_log(unit, scope);
    compile_pins(unit, scope, &tls);
    record.name = compile_name(unit, scope, pass);
    compile_alpn(unit, scope, &record);
    record.tls = share(unit, &tls, node->word[0].span);
    return image_add(unit, SECTION_proxy_ssl, &record, node->word[0].span);
}
