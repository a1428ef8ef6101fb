/*
 * What is done with a session, as far as one statement tells: set, pass, rates, the PROXY header, the address to
 * connect from.
 */
#include "judge.h"

#include <string.h>

void
judge_set(struct unit *unit, struct node *node)
{
    variable_declare(unit, node, 1, VARIABLE_SET);
}

/* pass needs an address and a port of a listen; a group's name means nothing to it. */
void
judge_pass(struct unit *unit, struct node *node)
{
    struct address address;
    const struct word *word = &node->word[1];
    if (expr_is_dynamic(word))
        return;
    enum address_problem problem = value_address(word->text, false, &address);
    if (problem != ADDRESS_OK) {
        diag(unit, bad_address, word_part(word, address.bad_start, address.bad_end), judge_show(unit, word),
             value_address_problem[problem]);
    } else if (address.family == FAMILY_NONE) {
        diag(unit, bad_address, word->span, judge_show(unit, word), "is not an address with a port");
        diag_help(unit, "pass hands a session to another listen of this configuration: pass 127.0.0.1:8443;");
    } else if (address.family != FAMILY_UNIX && address.port == 0) {
        diag(unit, no_port, word->span, judge_show(unit, word));
        diag_help(unit, "write %s:PORT", word->text);
    }
}

void
judge_rate(struct unit *unit, struct node *node)
{
    static const struct take take = ONE(SIZE, "rate");
    const struct word *word = &node->word[1];
    u64 rate;
    if (!expr_is_dynamic(word))
        argument_value(unit, &take, node->row->name, word->text, word->span, 0, RATE_MAX, &rate);
}

/* Text says nothing of its own length, so it cannot stand before every datagram. */
void
judge_preamble(struct unit *unit, struct node *node)
{
    if (node->word_count > 2 && strcmp(node->word[1].text, "v2") != 0)
        diag(unit, every_version, node->word[2].span);
}

void
judge_bind(struct unit *unit, struct node *node)
{
    struct address address;
    enum family family;
    ip16 ip;
    const struct word *word = &node->word[1];
    if (expr_is_dynamic(word) || strcmp(word->text, "off") == 0 ||
        value_ip(word->text, word->size, &family, &ip) == READ_OK)
        return; /* IPv6 alone needs no brackets */
    enum address_problem problem = value_address(word->text, false, &address);
    if (problem != ADDRESS_OK || (address.family != FAMILY_IPV4 && address.family != FAMILY_IPV6))
        diag(unit, bad_bind, word->span, judge_show(unit, word));
}
