/*
 * proxy_pass and the proxy_* that hold for it: nodes in, a proxy record out. All but the target are rows of
 * directives.def.
 */
#include "spcc.h"

u32
proxy_compile(struct unit *unit, const struct scope *scope, struct node *pass)
{
    struct blob_proxy record = {.upstream = upstream_find(unit, pass)};
    scope_land(unit, scope, SECTION_proxy, &record);
    return record.upstream == 0 ? 0 : image_add(unit, SECTION_proxy, &record, pass->word[0].span);
}
