/*
 * A target without libFuzzer: the files that are named, those of the folders that are named, and -r COUNT random texts.
 *
 *     replay-format [-r COUNT] [FILE or FOLDER]...
 *
 * A mistake ends the program; the input's name stands on standard error then. Else the last line is
 * "N passed, 0 failed".
 */
#include "fuzz.h"

#include <errno.h>
#include <fts.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANDOM_MAX = 16 * 1024 };

static unsigned long passed;
static char running[4096]; /* the input's name */

/* A sanitizer's or abort()'s last word. */
static void
say_which(int signal)
{
    (void)signal;
    static const char before[] = "replay: it was ";
    if (write(STDERR_FILENO, before, sizeof before - 1) < 0 || write(STDERR_FILENO, running, strlen(running)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0)
        _exit(3);
    _exit(2);
}

static void
run(const void *data, size_t size)
{
    void *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    passed++;
}

static void
run_file(const char *path)
{
    static char data[8 * 1024 * 1024];
    FILE *file = fopen(path, "rb");
    size_t size = file != NULL ? fread(data, 1, sizeof data, file) : 0;
    if (file == NULL || ferror(file)) {
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
        exit(2);
    }
    fclose(file);
    snprintf(running, sizeof running, "%s", path);
    run(data, size);
}

static int
by_name(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*one)->fts_name, (*other)->fts_name);
}

static void
run_all(char *path)
{
    char *paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    for (FTSENT *entry; tree != NULL && (entry = fts_read(tree)) != NULL;)
        if (entry->fts_info == FTS_F)
            run_file(entry->fts_path);
    if (tree != NULL)
        fts_close(tree);
}

static void
run_random(unsigned long count)
{
    static char text[RANDOM_MAX];
    for (unsigned long seed = 0; seed < count; seed++) {
        snprintf(running, sizeof running, "random text %lu", seed);
        run(text, random_text(seed, text, sizeof text));
    }
}

int
main(int count, char **argument)
{
    struct sigaction action = {.sa_handler = say_which};
    sigaction(SIGABRT, &action, NULL);
    for (int option; (option = getopt(count, argument, "r:")) != -1;) {
        if (option != 'r')
            return 2;
        run_random(strtoul(optarg, NULL, 10));
    }
    for (int i = optind; i < count; i++)
        run_all(argument[i]);
    printf("%lu passed, 0 failed\n", passed);
    return passed > 0 ? 0 : 1;
}
