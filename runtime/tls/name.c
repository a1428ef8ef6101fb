/*
 * Is a certificate for that name? As OpenSSL's X509_check_host() has it, which is what nginx asks: RFC 6125 with
 * wildcards for a part of the first label, and the common name where the certificate lists no DNS name. BoringSSL has
 * neither.
 */
#include "module.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *data;
    size_t size;
};

/* No name has a NUL in it, whatever a certificate says. */
static bool
is_same(struct text shown, struct text wanted)
{
    return shown.size == wanted.size && strncasecmp(shown.data, wanted.data, wanted.size) == 0 &&
           !memchr(shown.data, '\0', shown.size);
}

/* IDNA in ASCII (RFC 5890, section 2.3.2.1). */
static bool
is_a_label(struct text label)
{
    return label.size >= 4 && strncasecmp(label.data, "xn--", 4) == 0;
}

static bool
is_inside_label(char c)
{
    return isalnum((unsigned char)c) || c == '-';
}

/* ---- wildcards ---- */

static bool
is_pattern_label(struct text label, bool first)
{
    if (!label.size || label.data[0] == '-' || label.data[label.size - 1] == '-')
        return false;
    for (size_t i = 0; i < label.size; i++)
        if (!is_inside_label(label.data[i]) && !(first && label.data[i] == '*'))
            return false;
    return true;
}

static bool
has_pattern_labels(struct text pattern)
{
    size_t start = 0, count = 0;
    for (size_t i = 0; i <= pattern.size; i++) {
        if (i < pattern.size && pattern.data[i] != '.')
            continue;
        if (!is_pattern_label((struct text){pattern.data + start, i - start}, count == 0))
            return false;
        start = i + 1;
        count++;
    }
    return count >= 3; /* none for all names of a top-level domain */
}

/* One star, at the beginning or the end of the first label; what is before it and behind it. */
static bool
split_pattern(struct text pattern, struct text *before, struct text *behind)
{
    const char *star = memchr(pattern.data, '*', pattern.size), *end = pattern.data + pattern.size;
    if (!star || memchr(star + 1, '*', (size_t)(end - star - 1)) || !has_pattern_labels(pattern))
        return false;
    *before = (struct text){pattern.data, (size_t)(star - pattern.data)};
    *behind = (struct text){star + 1, (size_t)(end - star - 1)};
    return (!before->size || behind->data[0] == '.') && !is_a_label(pattern);
}

static bool
fits_pattern(struct text before, struct text behind, struct text wanted)
{
    if (wanted.size < before.size + behind.size)
        return false;
    struct text middle = {wanted.data + before.size, wanted.size - before.size - behind.size};
    struct text front = {wanted.data, before.size}, rest = {middle.data + middle.size, behind.size};
    bool whole_label = !before.size && behind.data[0] == '.';
    if (!is_same(before, front) || !is_same(behind, rest))
        return false;
    if (whole_label ? !middle.size : is_a_label(wanted))
        return false;
    for (size_t i = 0; i < middle.size; i++)
        if (!is_inside_label(middle.data[i]))
            return false;
    return true;
}

/* ---- names ---- */

/* ".example" wants any name below example. */
static bool
matches(struct text shown, struct text wanted)
{
    struct text before, behind;
    if (wanted.size > 1 && wanted.data[0] == '.') {
        size_t more = shown.size > wanted.size ? shown.size - wanted.size : 0;
        return !memchr(shown.data, '\0', shown.size) &&
               is_same((struct text){shown.data + more, shown.size - more}, wanted);
    }
    if (split_pattern(shown, &before, &behind))
        return fits_pattern(before, behind, wanted);
    return is_same(shown, wanted);
}

/* The last of several common names is not more than the others. */
static bool
is_common_name(X509 *certificate, struct text wanted)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    bool found = false;
    for (int at = -1; !found && (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
        unsigned char *text = NULL;
        int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (size > 0)
            found = matches((struct text){(char *)text, (size_t)size}, wanted);
        OPENSSL_free(text);
    }
    return found;
}

bool
name_matches(X509 *certificate, const char *name)
{
    struct text wanted = {name, strlen(name)};
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool listed = !names && X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) >= 0, found = false;
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type != GEN_DNS)
            continue;
        const ASN1_STRING *text = one->d.dNSName;
        listed = true;
        found = matches((struct text){(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)},
                        wanted);
    }
    GENERAL_NAMES_free(names);
    return found || (!listed && is_common_name(certificate, wanted));
}
