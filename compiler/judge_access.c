/*
 * allow, deny, set_real_ip_from: networks. Host bits behind the prefix are told, for nobody means them.
 */
#include "judge.h"

#include <arpa/inet.h>
#include <string.h>

ip16
network_last(const struct network *network)
{
    ip16 high = network->ip;
    u32 size = network->family == FAMILY_IPV6 ? 16 : 4;
    for (u32 i = 0; i < size; i++) {
        u32 kept = network->bits >= 8 * (i + 1) ? 8 : network->bits <= 8 * i ? 0 : network->bits - 8 * i;
        high.byte[i] |= (u8)(0xff >> kept);
    }
    return high;
}

bool
network_next(ip16 *ip, u32 size)
{
    for (u32 i = size; i-- > 0;)
        if (++ip->byte[i] != 0)
            return true;
    return false;
}

void
judge_host_bits(struct unit *unit, const struct word *word, const struct network *network)
{
    char ip[INET6_ADDRSTRLEN];
    inet_ntop(network->family == FAMILY_IPV6 ? AF_INET6 : AF_INET, network->ip.byte, ip, sizeof ip);
    diag(unit, host_bits, word->span, judge_show(unit, word), network->bits);
    diag_help(unit, "write %s/%u", ip, network->bits);
}

/* Report what is wrong with a word that should be a network; others: what else it may be. */
static void
judge_network(struct unit *unit, const struct word *word, const char *others)
{
    struct network network;
    enum reading reading = value_network(word->text, word->size, &network);
    if (reading == READ_MALFORMED) {
        diag(unit, bad_client, word->span, judge_show(unit, word), others);
        if (strchr(word->text, '*') != NULL)
            diag_help(unit, "write a network with its prefix length: 10.1.0.0/16");
        else if (strpbrk(word->text, "ghijklmnopqrstuvwxyz") != NULL)
            diag_help(unit, "names are not looked up here: write the address");
    } else if (reading == READ_TOO_LARGE) {
        const char *slash = strchr(word->text, '/');
        diag(unit, bad_prefix, word_part(word, (u32)(slash - word->text), word->size), judge_show(unit, word),
             strchr(word->text, ':') != NULL ? 128 : 32);
    } else if (network.host_bits) {
        judge_host_bits(unit, word, &network);
    }
}

void
judge_access(struct unit *unit, struct node *node)
{
    const struct word *word = &node->word[1];
    if (strcmp(word->text, "all") != 0 && strcmp(word->text, "unix:") != 0)
        judge_network(unit, word, "an address, a network like 10.0.0.0/8, \"unix:\" or \"all\"");
}

/* A host name is allowed here, as nginx looks it up. */
void
judge_real_ip(struct unit *unit, struct node *node)
{
    struct address address;
    const struct word *word = &node->word[1];
    bool name = strchr(word->text, '/') == NULL && value_address(word->text, false, &address) == ADDRESS_OK &&
                address.family == FAMILY_NONE && address.port == 0;
    if (strcmp(word->text, "all") == 0) {
        diag(unit, bad_client, word->span, judge_show(unit, word), "an address, a network, a host or \"unix:\"");
        diag_help(unit, "to believe everyone means to believe anything; if it must be: 0.0.0.0/0");
    } else if (!name && strcmp(word->text, "unix:") != 0) {
        judge_network(unit, word, "an address, a network like 10.0.0.0/8, a host or \"unix:\"");
    }
}

void
judge_introducers(struct unit *unit, struct node *node)
{
    for (u32 i = 1; i < node->word_count; i++)
        if (strcmp(node->word[i].text, "unix:") != 0)
            judge_network(unit, &node->word[i], "an address, a network like 10.0.0.0/8 or \"unix:\"");
}
