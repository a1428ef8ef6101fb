/*
 * One compilation, from a path to records: read, parse, check, then each block that has something to emit, those
 * that others refer to first. The order is the whole content of this file; the work is elsewhere.
 */
#include "spcc.h"

void
unit_open(struct unit *unit)
{
    *unit = (struct unit){.position = 1, .prefix = ""};
    check_open(unit);
    image_open(unit);
}

void
unit_close(struct unit *unit)
{
    arena_free(&unit->arena);
}

static void
compile_blocks(struct unit *unit, bool first)
{
    struct node **node = unit->work.item;
    for (u32 i = 0; i < unit->work.count; i++)
        if (node[i]->row->first == first)
            node[i]->row->compile(unit, node[i]);
}

void
compile_source(struct unit *unit, const struct source *source)
{
    struct node root = {.block = true, .first = parse_file(unit, source)};
    check(unit, &root, source);
    judge_run(unit, &root);
    core_compile(unit);
    compile_blocks(unit, true);
    compile_blocks(unit, false);
    listen_compile(unit);
    pass_finish(unit);
    upstream_compile_index(unit);
    regex_finish(unit);
    define_compile(unit);
    core_finish(unit);
    lint_run(unit, &root);
    later_finish(unit);
    if (image_count(unit, SECTION_listener) == 1 && !diag_failed(unit) && !unit->fragment)
        diag(unit, nothing_to_serve, ((struct span){source->base, source->base + 1}));
    outside_check(unit, &root);
    silence_apply(unit);
}

bool
compile(struct unit *unit, const char *path)
{
    const struct source *source;
    if (!source_open(unit, path, &source))
        return false;
    compile_source(unit, source);
    return true;
}
