/*
 * The commands of spcc. What a configuration says wrong is told on standard error.
 * Exit status: 0 clean, 1 there are errors in a configuration, 2 it could not be done.
 */
#include "difference.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLEAN, FINDINGS, FAILED };

struct settings {
    const char *output;
    const char **include;
    u32 include_count;
    const char **define;
    u32 define_count;
    bool pedantic;
    enum context context;
    const char *target;
    struct report_wish report;
    u8 choice[DIAG_COUNT]; /* of enum choice */
    bool no_origin;
    const char *rules;     /* -MF */
    u32 given; /* the options, a bit each */
};

static int __attribute__((format(printf, 1, 2)))
fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("spcc: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return FAILED;
}

static bool
is_given(const struct settings *settings, enum option_id option)
{
    return (settings->given & 1u << option) != 0;
}

/* What was printed must have arrived, or status is none. */
static int
printed(int status)
{
    bool good = fflush(stdout) == 0 && !ferror(stdout);
    return good ? status : fail("cannot write: %s", strerror(errno));
}

/* Open a unit with the settings; false: it was said why. */
static bool
open_unit(struct unit *unit, const struct settings *settings)
{
    unit_open(unit);
    unit->include_path = settings->include;
    unit->include_path_count = settings->include_count;
    unit->pedantic = settings->pedantic;
    unit->context = settings->context;
    unit->choice = settings->choice;
    unit->no_origin = settings->no_origin;
    unit->outside.files = is_given(settings, OPTION_check_files);
    unit->outside.certificates = is_given(settings, OPTION_check_certs);
    unit->outside.names = is_given(settings, OPTION_check_dns);
    for (u32 i = 0; i < settings->define_count; i++) {
        const char *wrong = define_add(unit, settings->define[i]);
        if (wrong != NULL) {
            fail("-D %s: %s", settings->define[i], wrong);
            return false;
        }
    }
    return settings->target == NULL || lint_target_read(settings->target, &unit->target) ||
           fail("--target %s: write nginx-1.26, nginx-1.26.2 or nginx-plus", settings->target) == CLEAN;
}

/* ---- compile, check ---- */

/* The name of file, with end for its .conf or .spcb. */
static const char *
name_beside(struct unit *unit, const char *file, const char *end)
{
    size_t size = strlen(file);
    if (size > 5 && (strcmp(file + size - 5, ".conf") == 0 || strcmp(file + size - 5, ".spcb") == 0))
        size -= 5;
    return arena_print(&unit->arena, "%.*s%s", (int)size, file, end);
}

static int
write_blob(struct unit *unit, const char *output)
{
    void *data;
    size_t size;
    struct blob blob;
    char error[BLOB_ERROR_SIZE];
    if (!image_finish(unit, &data, &size))
        return fail("the blob would be larger than 4 GiB");
    if (!blob_open(&blob, data, size, error))
        return fail("this is a bug of spcc: the blob it made is not well-formed: %s", error);
    const char *wrong = image_write(unit, output, data, size);
    return wrong == NULL ? CLEAN : fail("cannot write %s: %s", output, wrong);
}

/* The rule for make, if it is wanted. */
static int
write_rules(struct unit *unit, const struct settings *settings, const char *output)
{
    if (settings->rules == NULL && !is_given(settings, OPTION_MD))
        return CLEAN;
    const char *path = settings->rules != NULL ? settings->rules : name_beside(unit, output, ".d");
    const char *wrong = inputs_write_rules(unit, path, output);
    return wrong == NULL ? CLEAN : fail("cannot write %s: %s", path, wrong);
}

static int
run_one(const struct settings *settings, struct report *report, const char *file, bool check_only)
{
    struct unit unit;
    int status = FAILED;
    if (open_unit(&unit, settings)) {
        unit.checking = unit.tolerant = check_only;
        bool readable = compile(&unit, file);
        bool passed = report_unit(report, &unit, file, readable);
        status = !readable ? FAILED : passed ? CLEAN : FINDINGS;
        if (is_given(settings, OPTION_print_inputs))
            inputs_print(&unit, stdout);
        const char *output = settings->output != NULL ? settings->output : name_beside(&unit, file, ".spcb");
        if (status == CLEAN && !check_only)
            status = write_blob(&unit, output);
        if (status == CLEAN && !check_only)
            status = write_rules(&unit, settings, output);
    }
    unit_close(&unit);
    return status;
}

/* One document, or one list of files, has standard output for itself. NULL: it has. */
static const char *
crowded_output(const struct settings *settings)
{
    const char *format = settings->report.format;
    bool machine = format != NULL && strcasecmp(format, "pretty") != 0;
    bool blob = settings->output != NULL && strcmp(settings->output, "-") == 0;
    if (blob && (is_given(settings, OPTION_MD) || settings->rules != NULL))
        return "a rule for make needs a file that is made: name it with -o";
    return machine + blob + is_given(settings, OPTION_print_inputs) > 1
               ? "one thing at a time can go to standard output: a blob, --format, --print-inputs"
               : NULL;
}

static int
run_sources(const struct settings *settings, char **file, int count, bool check_only)
{
    struct report_wish wish = settings->report;
    int worst = CLEAN;
    if (crowded_output(settings) != NULL)
        return fail("%s", crowded_output(settings));
    if (!check_only && wish.fail_on == FAIL_NEVER)
        wish.fail_on = FAIL_ON_ERROR; /* what has errors is never written, and that is no success */
    struct report *report = report_open(&wish);
    for (int i = 0; i < count; i++) {
        int status = run_one(settings, report, file[i], check_only);
        worst = status > worst ? status : worst;
    }
    return report_close(report) ? printed(worst) : fail("cannot write: %s", strerror(errno));
}

static int
run_compile(const struct settings *settings, char **file, int count)
{
    if (count != 1)
        return fail(count == 0 ? "no FILE to compile; try spcc --help"
                               : "one FILE at a time can be compiled; for commands try spcc --help");
    if (strcmp(file[0], "-") == 0 && settings->output == NULL)
        return fail("from standard input, -o must say where to");
    return run_sources(settings, file, count, false);
}

static int
run_check(const struct settings *settings, char **file, int count)
{
    if (count == 0)
        return fail("no FILE to check; try spcc --help");
    return run_sources(settings, file, count, true);
}

/* ---- dump ---- */

/* Map the file at path, which is to be a blob; its size. NULL: it was said why not. */
static void *
map_file(const char *path, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = MAP_FAILED;
    if (fd < 0 || fstat(fd, &status) != 0)
        fail("cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        fail("cannot read %s: it is not a file", path);
    else if (status.st_size == 0)
        fail("%s is not a blob: it is empty", path);
    else if ((data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        fail("cannot read %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    *size = data == MAP_FAILED ? 0 : (size_t)status.st_size;
    return data == MAP_FAILED ? NULL : data;
}

static int
run_dump(const struct settings *settings, char **file, int count)
{
    struct blob blob;
    char error[BLOB_ERROR_SIZE];
    size_t size;
    (void)settings;
    if (count != 1)
        return fail("dump takes one BLOB");
    void *data = map_file(file[0], &size);
    if (data == NULL)
        return FAILED;
    bool good = blob_open(&blob, data, size, error);
    if (good)
        dump(&blob, stdout);
    munmap(data, size);
    return good ? printed(CLEAN) : fail("%s: %s", file[0], error);
}

/* ---- diff ---- */

static bool
is_blob(const char *path)
{
    char magic[sizeof BLOB_MAGIC - 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, magic, sizeof magic);
    if (fd >= 0)
        close(fd);
    return got == sizeof magic && memcmp(magic, BLOB_MAGIC, sizeof magic) == 0;
}

/* The blob at path, or of the configuration that is there. False: it was said why not. */
static bool
load(struct unit *unit, const struct settings *settings, const char *path, struct blob *blob)
{
    char error[BLOB_ERROR_SIZE];
    size_t size;
    void *data = NULL;
    if (is_blob(path)) {
        data = map_file(path, &size); /* until the program ends */
    } else if (open_unit(unit, settings)) {
        unit->comparing = unit->tolerant = true;
        bool readable = compile(unit, path);
        if (!readable || diag_failed(unit)) {
            diag_print(unit, stderr, report_wants_colour());
            return false;
        }
        if (!image_finish(unit, &data, &size))
            return fail("the blob of %s would be larger than 4 GiB", path) == CLEAN;
    }
    if (data == NULL)
        return false;
    return blob_open(blob, data, size, error) || fail("%s: %s", path, error) == CLEAN;
}

static int
run_diff(const struct settings *settings, char **file, int count)
{
    static struct unit old, new;
    struct blob before, after;
    if (count != 2)
        return fail("diff takes two: OLD NEW, each a configuration or a blob");
    const char *format = settings->report.format != NULL ? settings->report.format : "pretty";
    bool json = strcasecmp(format, "json") == 0;
    if (!json && strcasecmp(format, "pretty") != 0)
        return fail("diff tells it as pretty or as json");
    if (!load(&old, settings, file[0], &before) || !load(&new, settings, file[1], &after))
        return FAILED;
    struct change_list list = {.arena = &new.arena};
    difference(&list, &before, &old.settings, &after, &new.settings);
    if (json)
        change_print_json(&list, file[0], file[1], stdout);
    else
        change_print(&list, stdout);
    int status = list.changes.count > 0 ? FINDINGS : CLEAN;
    unit_close(&old);
    unit_close(&new);
    return printed(status);
}

/* ---- fmt ---- */

static int
format_one(enum rewrite how, const char *file)
{
    static const int statuses[] = {
        [REWRITE_SAME] = CLEAN, [REWRITE_DIFFERS] = FINDINGS, [REWRITE_REFUSED] = FINDINGS, [REWRITE_FAILED] = FAILED};
    struct unit unit;
    const char *wrong;
    unit_open(&unit);
    enum rewritten result = rewrite(&unit, file, how, &wrong);
    diag_print(&unit, stderr, report_wants_colour());
    if (wrong != NULL)
        fail("cannot format %s: %s", file, wrong);
    unit_close(&unit);
    return result == REWRITE_DIFFERS && how == REWRITE_IN_PLACE ? CLEAN : statuses[result];
}

static int
run_fmt(const struct settings *settings, char **file, int count)
{
    int worst = CLEAN;
    enum rewrite how = is_given(settings, OPTION_fmt_diff)    ? REWRITE_DIFF
                       : is_given(settings, OPTION_fmt_check) ? REWRITE_CHECK
                                                                  : REWRITE_IN_PLACE;
    if (count == 0)
        return fail("no FILE to format; try spcc --help");
    for (int i = 0; i < count; i++) {
        int status = format_one(how, file[i]);
        worst = status > worst ? status : worst;
    }
    return printed(worst);
}

/* ---- explain, manual ---- */

static int
run_explain(const struct settings *settings, char **word, int count)
{
    (void)settings;
    char wrong[COMMAND_WRONG_SIZE];
    return explain(word, count, stdout, wrong) ? printed(CLEAN) : fail("%s", wrong);
}

static int
run_manual(const struct settings *settings, char **page, int count)
{
    (void)settings;
    if (count != 1 || !manual(page[0], stdout))
        return fail("manual takes one page: %s", manual_pages);
    return printed(CLEAN);
}

/* ---- the command line ---- */

static int (*const run[COMMAND_COUNT])(const struct settings *settings, char **file, int count) = {
#define COMMAND(id, ...) [COMMAND_##id] = run_##id,
#include "commands.def"
};

/* Codes for --deny and its kin. False: it was said why not. */
static bool
take_choice(struct settings *settings, enum option_id option, enum choice choice)
{
    char wrong[COMMAND_WRONG_SIZE];
    if (severity_choose(settings->choice, choice, optarg, wrong))
        return true;
    fail("--%s: %s", command_options[option].name, wrong);
    return false;
}

/* False: it was said what is wrong with it. Words of commands.def are among those it has. */
static bool
take_option(enum option_id option, struct settings *settings)
{
    u64 which = 0;
    settings->given |= 1u << option;
    switch (option) {
    case OPTION_format:
        settings->report.format = optarg;
        break;
    case OPTION_root:
        settings->report.root = optarg;
        break;
    case OPTION_fail_on:
        value_word(optarg, strlen(optarg), "never|error|warning|note", &which);
        settings->report.fail_on = (enum fail_on)which;
        break;
    case OPTION_deny:
        return take_choice(settings, option, CHOICE_DENY);
    case OPTION_warn:
        return take_choice(settings, option, CHOICE_WARN);
    case OPTION_allow:
        return take_choice(settings, option, CHOICE_ALLOW);
    case OPTION_embed_origin:
        settings->no_origin = strcasecmp(optarg, "off") == 0;
        break;
    case OPTION_MF:
        settings->rules = optarg;
        break;
    case OPTION_output:
        settings->output = optarg;
        break;
    case OPTION_include:
        settings->include[settings->include_count++] = optarg;
        break;
    case OPTION_define:
        settings->define[settings->define_count++] = optarg;
        break;
    case OPTION_context:
        fragment_context(optarg, &settings->context);
        break;
    case OPTION_pedantic:
        settings->pedantic = true;
        break;
    case OPTION_target:
        settings->target = optarg;
        break;
    case OPTION_check_files: /* given says it all */
    case OPTION_check_certs:
    case OPTION_check_dns:
    case OPTION_print_inputs:
    case OPTION_MD:
    case OPTION_fmt_check:
    case OPTION_fmt_diff:
    case OPTION_help: /* read_options() has done it */
    case OPTION_version:
    case OPTION_COUNT:
        break;
    }
    return true;
}

/* Options may stand before and behind the command's name. Below 0: go on; else the exit status. */
static int
read_options(int count, char **argument, struct settings *settings)
{
    char wrong[COMMAND_WRONG_SIZE];
    for (int option; (option = command_next(count, argument, wrong)) != COMMAND_END;) {
        if (option == COMMAND_WRONG)
            return fail("%s; try spcc --help", wrong);
        if (option == OPTION_help)
            command_usage(stdout);
        if (option == OPTION_version)
            puts("spcc " SPC_VERSION);
        if (option == OPTION_help || option == OPTION_version)
            return printed(CLEAN);
        if (!take_option((enum option_id)option, settings))
            return FAILED;
    }
    return -1;
}

/* The command that the first word names, if it does; a file of such a name is meant when it is alone. */
static enum command_id
find_command(char **word, int count, bool *named)
{
    for (int i = 0; i < COMMAND_COUNT && count > 0; i++)
        if (strcmp(commands[i].name, word[0]) == 0 && (i > 0 || count > 1)) {
            *named = true;
            return (enum command_id)i;
        }
    *named = false;
    return COMMAND_compile;
}

static int
run_command(const struct settings *settings, char **word, int count)
{
    bool named;
    enum command_id command = find_command(word, count, &named);
    for (int i = 0; i < OPTION_COUNT; i++) {
        char text[64];
        if ((settings->given & 1u << i) == 0 || (command_options[i].of & 1u << command) != 0)
            continue;
        command_option_text(&command_options[i], text, sizeof text);
        return fail("%s takes no %s; try spcc --help", commands[command].name, text);
    }
    return run[command](settings, word + named, count - named);
}

int
main(int count, char **argument)
{
    struct settings settings = {
        .include = calloc((size_t)count, sizeof *settings.include),
        .define = calloc((size_t)count, sizeof *settings.define),
        .report.fail_on = FAIL_ON_ERROR,
    };
    if (settings.include == NULL || settings.define == NULL)
        return fail("out of memory");
    _Static_assert(OPTION_COUNT <= 32, "settings.given has a bit for each");
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* a write a line, not a write a character */
    command_spell(count, argument);
    int status = read_options(count, argument, &settings);
    if (status < 0)
        status = run_command(&settings, argument + optind, count - optind);
    free(settings.include);
    free(settings.define);
    return status;
}
