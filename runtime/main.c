/*
 * The command line. What it starts is the supervisor.
 */
#include "spcd.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] = "usage: spcd [-p PREFIX] [-e LOG] [-t] BLOB\n"
                            "       spcd -V\n";

int
main(int count, char **words)
{
    struct options options = {0};
    process_hold_standard();
    for (int option; (option = getopt(count, words, "p:e:tV")) != -1;) {
        switch (option) {
        case 'p':
            options.prefix = optarg;
            break;
        case 'e':
            options.log = optarg;
            break;
        case 't':
            options.test = true;
            break;
        case 'V':
            printf("spcd %s\n", SPC_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind + 1 != count) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    /* The prefix is entered before the blob's own paths are used; the blob is named from where we are. */
    options.blob = process_absolute(words[optind]);
    return supervisor_run(&options);
}
