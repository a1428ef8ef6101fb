/*
 * What only this machine can tell, and nobody is asked unless the command line wants it: are the files there that a
 * configuration names, may others read its secrets, do its names resolve. Checked nodes in, findings out. Without
 * --check-files, --check-certs and --check-dns nothing here runs, and a verdict does not depend on where it is made.
 */
#include "report.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directives whose argument is a file to be read. */
static const struct {
    enum directive_id id;
    bool secret;
} files[] = {
    {DIRECTIVE_ssl_certificate, false},
    {DIRECTIVE_ssl_certificate_key, true},
    {DIRECTIVE_ssl_client_certificate, false},
    {DIRECTIVE_ssl_trusted_certificate, false},
    {DIRECTIVE_ssl_crl, false},
    {DIRECTIVE_ssl_dhparam, false},
    {DIRECTIVE_ssl_ech_file, true},
    {DIRECTIVE_ssl_password_file, true},
    {DIRECTIVE_ssl_session_ticket_key, true},
    {DIRECTIVE_ssl_stapling_file, false},
    {DIRECTIVE_proxy_ssl_certificate, false},
    {DIRECTIVE_proxy_ssl_certificate_key, true},
    {DIRECTIVE_proxy_ssl_trusted_certificate, false},
    {DIRECTIVE_proxy_ssl_crl, false},
    {DIRECTIVE_proxy_ssl_password_file, true},
};

/* Who finds what: a finding of the first cannot be made without the second. */
bool
outside_may_find(const struct unit *unit, enum diagnostic id)
{
    switch (id) {
    case DIAG_missing_file:
        return unit->outside.files || unit->outside.certificates;
    case DIAG_open_secret:
        return unit->outside.files;
    case DIAG_certificate_unread:
    case DIAG_certificate_over:
    case DIAG_certificate_early:
    case DIAG_key_unread:
    case DIAG_key_mismatch:
    case DIAG_key_locked:
    case DIAG_name_uncovered:
        return unit->outside.certificates;
    case DIAG_unresolved_name:
        return unit->outside.names;
    default:
        return true;
    }
}

/* ---- files ---- */

const char *
outside_path(struct unit *unit, const struct word *word)
{
    static const char *const elsewhere[] = {"data:", "engine:", "store:"}; /* the certificate itself; a device */
    if (strchr(word->text, '$') != NULL || word->size == 0)
        return NULL;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strncmp(word->text, elsewhere[i], strlen(elsewhere[i])) == 0)
            return NULL;
    return word->text[0] == '/' ? word->text : arena_print(&unit->arena, "%s%s", unit->prefix, word->text);
}

static void
check_file(struct unit *unit, const struct node *node, bool secret)
{
    struct stat status;
    const struct word *word = &node->word[1];
    const char *path = outside_path(unit, word);
    if (path == NULL)
        return;
    bool there = stat(path, &status) == 0 && access(path, R_OK) == 0;
    if (there && S_ISDIR(status.st_mode)) {
        there = false;
        errno = EISDIR;
    }
    if (!there)
        diag(unit, missing_file, word->span, show(unit, path, strlen(path)), strerror(errno));
    else if (secret && (status.st_mode & (S_IRGRP | S_IROTH)) != 0)
        diag(unit, open_secret, word->span, (status.st_mode & S_IROTH) != 0 ? "every user" : "its group",
             show(unit, path, strlen(path)));
}

/* ---- names ---- */

static void
check_name(struct unit *unit, const struct word *word, const char *name)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    u32 *known = map_at(&unit->arena, &unit->outside.asked, name, strlen(name));
    if ((*known)++ > 0)
        return; /* the answer will not change so soon */
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error == 0)
        freeaddrinfo(found);
    else
        diag(unit, unresolved_name, word->span, show(unit, name, strlen(name)),
             error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
}

/* The words of a node that may be hosts, and are names. */
static void
check_names(struct unit *unit, const struct node *node)
{
    bool several = node->row == &directives[DIRECTIVE_resolver];
    for (u32 i = 1; i < node->word_count; i++) {
        const struct word *word = &node->word[i];
        struct address address;
        if (strncmp(word->text, "service=", 8) == 0)
            return; /* it is an SRV record that counts */
        if (i > 1 && (!several || strchr(word->text, '=') != NULL))
            continue;
        if (strchr(word->text, '$') != NULL || value_address(word->text, false, &address) != ADDRESS_OK)
            continue;
        const char *name = lower_case(unit, arena_text(&unit->arena, address.host, address.host_size));
        if (address.family == FAMILY_NONE && (several || address.port != 0))
            check_name(unit, word, name);
    }
}

/* ---- the tree ---- */

static bool
names_hosts(const struct directive *row)
{
    return row == &directives[DIRECTIVE_proxy_pass] || row == &directives[DIRECTIVE_upstream_server] ||
           row == &directives[DIRECTIVE_resolver];
}

/* Blocks nest at most BLOCK_DEPTH_MAX deep. */
static void
check_nodes(struct unit *unit, const struct node *first)
{
    for (const struct node *node = first; node != NULL; node = node->next) {
        if (node->row == NULL || node->row->opens == OPAQUE)
            continue;
        for (size_t i = 0; i < sizeof files / sizeof *files && unit->outside.files && node->word_count > 1; i++)
            if (node->row == &directives[files[i].id])
                check_file(unit, node, files[i].secret);
        if (unit->outside.names && names_hosts(node->row))
            check_names(unit, node);
        check_nodes(unit, node->first);
    }
}

void
outside_check(struct unit *unit, const struct node *root)
{
    if (unit->outside.files || unit->outside.names)
        check_nodes(unit, root->first);
    if (unit->outside.certificates)
        certificate_check(unit, root);
}
