/*
 * proxy_pass and the proxy_* that hold for it: nodes in, a proxy record out. Most of them are rows of
 * directives.def that land by themselves.
 */
#include "spcc.h"

/* A rate is a size that may come from variables. */
static void
compile_rate(struct unit *unit, const struct scope *scope, enum directive_id id, u64 *rate, u32 *value)
{
    static const struct take take = ONE(SIZE, "rate");
    const struct node *node = scope_nearest(scope, &directives[id]);
    if (node == NULL || node->broken)
        return;
    const struct word *word = &node->word[1];
    if (expr_is_dynamic(word))
        *value = expr_compile(unit, word);
    else
        argument_value(unit, &take, directives[id].name, word->text, word->span, 0, RATE_MAX, rate);
}

/* Where it goes: a group, or what variables will say. False: reported. */
static bool
compile_target(struct unit *unit, struct node *pass, struct blob_proxy *record)
{
    if (expr_is_dynamic(&pass->word[1]) && !upstream_is_group(unit, &pass->word[1])) {
        upstream_compile_targets(unit);
        record->target = expr_compile(unit, &pass->word[1]);
    } else {
        record->upstream = upstream_find(unit, pass);
    }
    return record->upstream != 0 || record->target != 0;
}

u32
proxy_compile(struct unit *unit, const struct scope *scope, struct node *pass)
{
    struct blob_proxy record = {0};
    bool good = compile_target(unit, pass, &record);
    scope_land(unit, scope, SECTION_proxy, &record);
    compile_rate(unit, scope, DIRECTIVE_proxy_upload_rate, &record.upload_rate, &record.upload_rate_value);
    compile_rate(unit, scope, DIRECTIVE_proxy_download_rate, &record.download_rate, &record.download_rate_value);
    if (scope_nearest(scope, &directives[DIRECTIVE_proxy_responses]) != NULL)
        record.flags |= PROXY_RESPONSES;
    outgoing_compile(unit, scope, &record);
    preamble_compile(unit, scope, &record);
    record.ssl = proxy_ssl_compile(unit, scope, pass);
    return !good ? 0 : image_add(unit, SECTION_proxy, &record, pass->word[0].span);
}
