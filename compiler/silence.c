/*
 * Comments that silence a finding:
 *
 *     proxy_ssl on;   # spcc: allow(SP501) the peer is on this machine          the statement that ends here
 *     # spcc: allow(SP105, unused) kept for the migration                       the next statement
 *     # spcc: allow(SP501) behind the tunnel, see the runbook                   the next block, whole
 *     server { ... }
 *
 * The lexer says where comments are and where statements and blocks end; from that come the bytes that a comment
 * speaks for. When everything has been found, each finding is marked that lies within. A silence that does nothing,
 * gives no reason or is not understood is a finding too. What is always an error cannot be silenced.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

struct silence {
    const struct source *source;
    struct span span;  /* of the comment */
    u32 start, end;    /* what it speaks for; end is 0 while that is not known */
    bool block;
    const char *reason;
};

/* One code of a silence. */
struct entry {
    const struct silence *silence;
    struct span span;
    const char *word;
    bool may_run; /* a finding of that code could have been made */
    bool used;
};

/* A place where a silence may speak for a finding: its own, or that of an include that leads to it. */
struct question {
    u32 position;
    bool included;
    struct diag *diag;
};

struct judgement {
    struct unit *unit;
    struct vector entries;             /* of struct entry *, as their silences begin */
    struct vector questions;           /* of struct question */
    struct vector active[DIAG_COUNT];  /* of struct entry *: those that began, the last one on top */
};

static const char mark[] = "spcc:";

/* ---- while the files are read ---- */

static const char *
skip_blank(const char *text)
{
    return text + strspn(text, " \t\r");
}

void
silence_note(struct unit *unit, const struct source *source, struct span span, u32 statement, bool open)
{
    const char *start = source->text + (span.start - source->base), *line = start;
    if (strncmp(skip_blank(start + strspn(start, "#")), mark, sizeof mark - 1) != 0)
        return;
    while (line > source->text && line[-1] != '\n')
        line--;
    u32 line_start = source->base + (u32)(line - source->text);
    bool trails = skip_blank(line) != start;
    struct silence *silence = arena_take(&unit->arena, sizeof *silence);
    *silence = (struct silence){.source = source, .span = span, .start = trails ? line_start : span.end};
    if (statement != 0 && (open || trails) && statement < silence->start)
        silence->start = statement;
    *(struct silence **)vector_add(&unit->arena, &unit->silences, sizeof silence) = silence;
    if (trails && !open)
        silence->end = span.start;
    else
        *(struct silence **)vector_add(&unit->arena, &unit->silence_waiting, sizeof silence) = silence;
}

/* A block that silences speak for. */
struct block {
    struct silence *silence;
    u32 depth;
};

static void
begin_blocks(struct unit *unit)
{
    struct silence **waiting = unit->silence_waiting.item;
    for (u32 i = 0; i < unit->silence_waiting.count; i++) {
        struct block *block = vector_add(&unit->arena, &unit->silence_blocks, sizeof *block);
        *block = (struct block){waiting[i], unit->silence_depth};
        waiting[i]->block = true;
    }
    unit->silence_waiting.count = 0;
}

static void
end_waiting(struct unit *unit, u32 position)
{
    struct silence **waiting = unit->silence_waiting.item;
    for (u32 i = 0; i < unit->silence_waiting.count; i++)
        waiting[i]->end = position;
    unit->silence_waiting.count = 0;
}

/* Of blocks at least so deep. */
static void
end_blocks(struct unit *unit, u32 depth, u32 position)
{
    struct block *block = unit->silence_blocks.item;
    while (unit->silence_blocks.count > 0 && block[unit->silence_blocks.count - 1].depth >= depth)
        block[--unit->silence_blocks.count].silence->end = position;
}

void
silence_end(struct unit *unit, char what, u32 position)
{
    if (what == '{') {
        unit->silence_depth++;
        begin_blocks(unit);
        return;
    }
    end_waiting(unit, position);
    if (what == '}') {
        end_blocks(unit, unit->silence_depth, position);
        unit->silence_depth -= unit->silence_depth > 0;
    } else if (what == 0) {
        end_blocks(unit, 0, position);
        unit->silence_depth = 0;
    }
}

/* ---- what the comments say ---- */

/* Report a code that is none, or that nothing silences. May findings of it have been made? */
static bool
judge_code(struct unit *unit, struct span span, const char *word, size_t size)
{
    bool known = false, possible = false, may_run = false;
    for (u32 id = 0; id < DIAG_COUNT; id++) {
        if (!severity_match(id, word, size))
            continue;
        known = true;
        possible |= diagnostics[id].severity != SEVERITY_ERROR;
        may_run |= severity_is_wanted(unit, id) && outside_may_find(unit, id);
    }
    if (known && !possible)
        diag(unit, silenced_error, span, show(unit, word, size));
    if (known)
        return possible && may_run;
    diag(unit, silenced_unknown, span, show(unit, word, size));
    const char *best = severity_nearest(arena_text(&unit->arena, word, size));
    if (best != NULL)
        diag_help(unit, "did you mean %s?", best);
    return false;
}

static void
add_entry(struct judgement *judgement, struct silence *silence, const char *word, size_t size)
{
    struct unit *unit = judgement->unit;
    u32 at = silence->source->base + (u32)(word - silence->source->text);
    struct entry *entry = arena_take(&unit->arena, sizeof *entry);
    *entry = (struct entry){.silence = silence, .span = {at, at + (u32)size}};
    entry->word = arena_text(&unit->arena, word, size);
    entry->may_run = judge_code(unit, entry->span, word, size);
    *(struct entry **)vector_add(&unit->arena, &judgement->entries, sizeof entry) = entry;
}

/* Read "allow(CODE, CODE) reason" at text, which ends before end. False: it is something else. */
static bool
read_silence(struct judgement *judgement, struct silence *silence, const char *text, const char *end)
{
    static const char allow[] = "allow";
    struct unit *unit = judgement->unit;
    if (strncmp(text, allow, sizeof allow - 1) != 0)
        return false;
    text = skip_blank(text + sizeof allow - 1);
    const char *close = memchr(text, ')', (size_t)(end - text));
    if (*text != '(' || close == NULL)
        return false;
    const char *reason = skip_blank(close + 1);
    while (end > reason && strchr(" \t\r", end[-1]) != NULL)
        end--;
    silence->reason = end > reason ? arena_text(&unit->arena, reason, (size_t)(end - reason)) : "";
    u32 before = judgement->entries.count;
    for (text++; text < close;) {
        size_t size = strcspn(text, ", \t)");
        if (size > 0)
            add_entry(judgement, silence, text, size);
        text += size + (text + size < close);
    }
    if (judgement->entries.count == before)
        return false;
    if (*silence->reason == '\0')
        diag(unit, silence_reason, silence->span);
    return true;
}

static void
read_comment(struct judgement *judgement, struct silence *silence)
{
    static const char context[] = "context"; /* says what a fragment is the inside of; check.c reads it */
    const char *text = silence->source->text + (silence->span.start - silence->source->base);
    const char *end = silence->source->text + (silence->span.end - silence->source->base);
    text = skip_blank(text + strspn(text, "#"));
    text = skip_blank(text + sizeof mark - 1);
    if (strncmp(text, context, sizeof context - 1) != 0 && !read_silence(judgement, silence, text, end))
        diag(judgement->unit, silence_malformed, silence->span);
}

/* ---- findings and silences meet ---- */

static void
ask(struct judgement *judgement, struct diag *diag)
{
    struct unit *unit = judgement->unit;
    bool included = false;
    for (u32 at = diag->span.start; at != 0; included = true) {
        struct question *question = vector_add(&unit->arena, &judgement->questions, sizeof *question);
        *question = (struct question){at, included, diag};
        at = source_at(unit, at)->include.start;
    }
}

static int
by_start(const void *one, const void *other)
{
    const struct entry *a = *(struct entry *const *)one, *b = *(struct entry *const *)other;
    if (a->silence->start != b->silence->start)
        return a->silence->start < b->silence->start ? -1 : 1;
    return a->span.start < b->span.start ? -1 : a->span.start > b->span.start;
}

static int
by_position(const void *one, const void *other)
{
    u32 a = ((const struct question *)one)->position, b = ((const struct question *)other)->position;
    return a < b ? -1 : a > b;
}

static void
activate(struct judgement *judgement, struct entry *entry)
{
    for (u32 id = 0; id < DIAG_COUNT; id++)
        if (diagnostics[id].severity != SEVERITY_ERROR && severity_match(id, entry->word, strlen(entry->word)))
            *(struct entry **)vector_add(&judgement->unit->arena, &judgement->active[id], sizeof entry) = entry;
}

/* The innermost silence that speaks for the finding there. What has ended before is forgotten. */
static void
answer(struct judgement *judgement, const struct question *question)
{
    struct vector *active = &judgement->active[question->diag->id];
    struct entry **entry = active->item;
    while (active->count > 0 && entry[active->count - 1]->silence->end <= question->position)
        active->count--;
    for (u32 i = active->count; i-- > 0;) {
        const struct silence *silence = entry[i]->silence;
        if (silence->end <= question->position || (question->included && !silence->block))
            continue;
        entry[i]->used = true;
        question->diag->silenced = silence->reason;
        return;
    }
}

static void
meet(struct judgement *judgement)
{
    struct entry **entry = judgement->entries.item;
    struct question *question = judgement->questions.item;
    u32 next = 0;
    if (judgement->entries.count > 0)
        qsort(entry, judgement->entries.count, sizeof *entry, by_start);
    if (judgement->questions.count > 0)
        qsort(question, judgement->questions.count, sizeof *question, by_position);
    for (u32 i = 0; i < judgement->questions.count; i++) {
        while (next < judgement->entries.count && entry[next]->silence->start <= question[i].position)
            activate(judgement, entry[next++]);
        answer(judgement, &question[i]);
    }
}

void
silence_apply(struct unit *unit)
{
    struct silence **silence = unit->silences.item;
    if (unit->silences.count == 0)
        return;
    struct judgement *judgement = arena_take(&unit->arena, sizeof *judgement);
    judgement->unit = unit;
    u32 found = unit->diags.count;
    for (u32 i = 0; i < unit->silences.count; i++)
        read_comment(judgement, silence[i]);
    for (u32 i = 0; i < found; i++) {
        struct diag *diag = ((struct diag **)unit->diags.item)[i];
        if (!diag->withdrawn)
            ask(judgement, diag);
    }
    meet(judgement);
    struct entry **entry = judgement->entries.item;
    bool judged = !diag_failed(unit) && !unit->broken && !unit->partial; /* else some rules did not run */
    for (u32 i = 0; i < judgement->entries.count && judged; i++)
        if (entry[i]->may_run && !entry[i]->used)
            diag(unit, silence_unused, entry[i]->span, show(unit, entry[i]->word, strlen(entry[i]->word)));
}
