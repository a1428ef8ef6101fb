/*
 * --check-certs: do the certificates that a configuration names hold today, have they their keys, are they for the
 * names that are served. Checked nodes in, findings out; tls.c reads the files. Each file is read once.
 */
#include "spcc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of certificates. */
struct bundle {
    struct tls_certificates *certificates; /* NULL: reported */
};

struct work {
    struct unit *unit;
    struct map known; /* path -> 1 + index in bundles */
    struct vector bundles;
};

/* The directives that say what one side shows. */
struct side {
    enum directive_id certificate, key, passwords;
};

static const struct side server_side = {DIRECTIVE_ssl_certificate, DIRECTIVE_ssl_certificate_key,
                                        DIRECTIVE_ssl_password_file};
static const struct side proxy_side = {DIRECTIVE_proxy_ssl_certificate, DIRECTIVE_proxy_ssl_certificate_key,
                                       DIRECTIVE_proxy_ssl_password_file};

static const char *
shown(struct work *work, const char *text)
{
    return show(work->unit, text, strlen(text));
}

/* ---- files ---- */

/* Is the file there? Else it is reported. */
static bool
is_there(struct work *work, const struct word *word, const char *path)
{
    if (access(path, R_OK) == 0)
        return true;
    diag(work->unit, missing_file, word->span, shown(work, path), strerror(errno));
    return false;
}

static struct tls_certificates *
open_bundle(struct work *work, const struct word *word, const char *path)
{
    u32 *known = map_at(&work->unit->arena, &work->known, path, strlen(path));
    if (*known == 0) {
        struct bundle *bundle = vector_add(&work->unit->arena, &work->bundles, sizeof *bundle);
        *known = work->bundles.count;
        bool there = is_there(work, word, path);
        bundle->certificates = there ? tls_open(path) : NULL;
        if (there && bundle->certificates == NULL)
            diag(work->unit, certificate_unread, word->span, shown(work, path));
    }
    return ((struct bundle *)work->bundles.item)[*known - 1].certificates;
}

static void
close_bundles(struct work *work)
{
    struct bundle *bundle = work->bundles.item;
    for (u32 i = 0; i < work->bundles.count; i++)
        tls_close(bundle[i].certificates);
}

/* The passphrases that hold in scope, as they stand in their file; NULL: none. */
static const char *
read_passphrases(struct work *work, const struct scope *scope, const struct side *side)
{
    enum { SIZE_MAX_READ = 64 * 1024 };
    const struct node *node = scope_nearest(scope, &directives[side->passwords]);
    const char *path = node != NULL && node->word_count > 1 ? outside_path(work->unit, &node->word[1]) : NULL;
    FILE *file = path != NULL && is_there(work, &node->word[1], path) ? fopen(path, "re") : NULL;
    if (file == NULL)
        return NULL;
    char *text = arena_take(&work->unit->arena, SIZE_MAX_READ + 1);
    text[fread(text, 1, SIZE_MAX_READ, file)] = '\0';
    fclose(file);
    return text;
}

/* ---- what is wrong with them ---- */

static void
check_period(struct work *work, const struct word *word, const char *path, const struct tls_certificates *certificates)
{
    char date[TLS_DATE_SIZE];
    for (u32 i = 0; i < tls_count(certificates); i++) {
        enum tls_period period = tls_period(certificates, i, date);
        if (period == TLS_OVER)
            diag(work->unit, certificate_over, word->span, shown(work, path), date);
        else if (period == TLS_EARLY)
            diag(work->unit, certificate_early, word->span, shown(work, path), date);
        if (period != TLS_NOW)
            return;
    }
}

static void
check_key(struct work *work, const struct word *word, const struct word *of, const char *passphrases,
          const struct tls_certificates *certificates)
{
    const char *path = outside_path(work->unit, word);
    if (path == NULL || !is_there(work, word, path))
        return;
    switch (tls_key(certificates, path, passphrases)) {
    case TLS_KEY_FITS:
        return;
    case TLS_KEY_OTHER:
        diag(work->unit, key_mismatch, word->span, shown(work, path));
        diag_note(work->unit, of->span, "its certificate stands here");
        return;
    case TLS_KEY_MALFORMED:
        diag(work->unit, key_unread, word->span, shown(work, path));
        return;
    case TLS_KEY_LOCKED:
        diag(work->unit, key_locked, word->span, shown(work, path));
        return;
    }
}

/* What one side shows: each certificate and its key, in order. True: all certificates could be read. */
static bool
check_side(struct work *work, const struct scope *scope, const struct side *side, struct vector *found)
{
    const struct node *node = scope_nearest(scope, &directives[side->certificate]);
    const struct node *key = scope_nearest(scope, &directives[side->key]);
    const char *passphrases = node != NULL ? read_passphrases(work, scope, side) : NULL;
    bool whole = node != NULL;
    for (; node != NULL; node = node->again, key = key != NULL ? key->again : NULL) {
        const char *path = node->word_count > 1 ? outside_path(work->unit, &node->word[1]) : NULL;
        struct tls_certificates *one = path != NULL ? open_bundle(work, &node->word[1], path) : NULL;
        whole &= one != NULL;
        if (one == NULL)
            continue;
        *(struct tls_certificates **)vector_add(&work->unit->arena, found, sizeof one) = one;
        check_period(work, &node->word[1], path, one);
        if (key != NULL && key->word_count > 1)
            check_key(work, &key->word[1], &node->word[1], passphrases, one);
    }
    return whole;
}

/* Whom one trusts: a bundle may hold what is over, but not only that. */
static void
check_trusted(struct work *work, const struct scope *scope, enum directive_id id)
{
    char date[TLS_DATE_SIZE];
    const struct node *node = scope_nearest(scope, &directives[id]);
    const char *path = node != NULL && node->word_count > 1 ? outside_path(work->unit, &node->word[1]) : NULL;
    struct tls_certificates *all = path != NULL ? open_bundle(work, &node->word[1], path) : NULL;
    if (all == NULL)
        return;
    for (u32 i = 0; i < tls_count(all); i++)
        if (tls_period(all, i, date) == TLS_NOW)
            return;
    check_period(work, &node->word[1], path, all);
}

/* ---- names ---- */

static bool
is_host(const struct word *word)
{
    const char *text = word->text;
    return word->size > 0 && strpbrk(text, "*~$") == NULL && text[0] != '.' && strchr(text, '.') != NULL;
}

static void
check_names(struct work *work, const struct scope *scope, const struct vector *certificates)
{
    struct tls_certificates *const *one = certificates->item;
    for (const struct node *node = scope->of[DIRECTIVE_server_name]; node != NULL; node = node->again)
        for (u32 i = 1; i < node->word_count; i++) {
            bool covered = !is_host(&node->word[i]);
            for (u32 j = 0; j < certificates->count && !covered; j++)
                covered = tls_covers(one[j], node->word[i].text);
            if (!covered)
                diag(work->unit, name_uncovered, node->word[i].span, shown(work, node->word[i].text));
        }
}

/* ---- servers ---- */

static bool
has_ssl(const struct scope *scope)
{
    for (const struct node *node = scope->of[DIRECTIVE_listen]; node != NULL; node = node->again)
        for (u32 i = 2; i < node->word_count; i++)
            if (strcmp(node->word[i].text, "ssl") == 0)
                return true;
    return false;
}

static void
check_server(struct work *work, struct node *server)
{
    struct scope scope;
    struct vector certificates = {0}, ignored = {0};
    scope_fill(&scope, &work->unit->stream, server);
    if (has_ssl(&scope)) {
        if (check_side(work, &scope, &server_side, &certificates))
            check_names(work, &scope, &certificates);
        check_trusted(work, &scope, DIRECTIVE_ssl_client_certificate);
        check_trusted(work, &scope, DIRECTIVE_ssl_trusted_certificate);
    }
    const struct node *proxy = scope_nearest(&scope, &directives[DIRECTIVE_proxy_ssl]);
    if (proxy != NULL && proxy->word_count > 1 && strcmp(proxy->word[1].text, "on") == 0) {
        check_side(work, &scope, &proxy_side, &ignored);
        check_trusted(work, &scope, DIRECTIVE_proxy_ssl_trusted_certificate);
    }
}

void
certificate_check(struct unit *unit, const struct node *root)
{
    const struct node *stream = unit->main.of[DIRECTIVE_stream];
    struct work *work = arena_take(&unit->arena, sizeof *work);
    work->unit = unit;
    for (struct node *node = (stream != NULL ? stream : root)->first; node != NULL; node = node->next)
        if (node->row == &directives[DIRECTIVE_server])
            check_server(work, node);
    close_bundles(work);
}
