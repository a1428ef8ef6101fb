/*
 * What a process of spcd is to the system: on which machine, a daemon or not, how many descriptors it may have, whose
 * it is and what of root's power it keeps. What changes it is done once, before there are threads.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void
process_hold_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

const char *
process_absolute(const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    if (!here)
        return path;
    size_t size = strlen(here) + strlen(path) + 2;
    char *whole = malloc(size);
    if (whole)
        snprintf(whole, size, "%s/%s", here, path);
    free(here);
    return whole ? whole : path;
}

void
process_name_machine(char name[HOSTNAME_ROOM])
{
    name[0] = name[HOSTNAME_ROOM - 1] = '\0';
    gethostname(name, HOSTNAME_ROOM - 1);
    for (char *at = name; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
}

void
process_raise_limits(const struct surroundings *s)
{
    struct rlimit limit;
    u32 wanted = s->mapping->blob.main[1].worker_rlimit_nofile;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (wanted) {
        limit.rlim_cur = wanted;
        if (limit.rlim_max < wanted)
            limit.rlim_max = wanted;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_write(&log_default, LEVEL_ALERT, 0, errno, "setrlimit(RLIMIT_NOFILE, %u) failed", wanted);
}

static bool
uses_stderr(const struct blob *blob)
{
    for (u32 i = 1; i < blob->log_count; i++)
        if (blob->log[i].sink == SINK_STDERR)
            return true;
    return blob->main[1].log_count == 0;
}

void
process_daemonize(const struct surroundings *s)
{
    pid_t child = fork();
    if (child < 0)
        die("fork(): %s", strerror(errno));
    if (child > 0)
        _exit(0);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (!uses_stderr(&s->mapping->blob))
        dup2(null, STDERR_FILENO);
    close(null); /* it is none of those */
}

/* ---- how it ends ---- */

static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
enum { CRASHES = sizeof crashes / sizeof *crashes };
static int core_directory;

/* The core file is written to where the process is; until then, paths are below the prefix. */
static void
on_crash(int signal)
{
    if (fchdir(core_directory) == 0)
        raise(signal); /* its action is the usual one again; and it is if this returns, too */
}

void
process_crash_into(const char *directory)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    core_directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (core_directory < 0)
        die("working_directory %s: %s", directory, strerror(errno));
    for (u32 i = 0; i < CRASHES; i++)
        sigaction(crashes[i], &action, NULL);
}

sigset_t
process_block_signals(void)
{
    sigset_t all, before;
    sigfillset(&all);
    for (u32 i = 0; i < CRASHES; i++)
        sigdelset(&all, crashes[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    return before;
}

/* ---- privilege ---- */

/* What the server keeps of root's power: nothing, or what binding to a client's address takes. */
static bool
keeps_net_raw(const struct blob *blob)
{
    for (u32 i = 1; i < blob->proxy_count; i++)
        if (blob->proxy[i].flags & PROXY_TRANSPARENT || blob->proxy[i].mark)
            return true;
    return false;
}

static bool
take_net_raw(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    data[0].effective = data[0].permitted = 1u << CAP_NET_RAW;
    return syscall(SYS_capset, &header, data) == 0;
}

void
process_drop_privilege(const struct surroundings *s, const struct logger *logger)
{
    const struct blob *blob = &s->mapping->blob;
    const char *user = blob_string(blob, blob->main[1].user), *group = blob_string(blob, blob->main[1].group);
    if (user[0] == '\0')
        return;
    if (geteuid() != 0) {
        log_write(logger, LEVEL_WARN, 0, 0, "the \"user\" directive needs root and is not obeyed");
        return;
    }
    const struct passwd *entry = getpwnam(user);
    const struct group *named = getgrnam(group[0] ? group : user);
    if (!entry)
        die("user \"%s\" is not known here", user);
    if (!named && group[0])
        die("group \"%s\" is not known here", group);
    gid_t gid = named ? named->gr_gid : entry->pw_gid;
    bool raw = keeps_net_raw(blob);
    if (raw)
        prctl(PR_SET_KEEPCAPS, 1);
    if (setgid(gid) != 0 || initgroups(user, gid) != 0 || setuid(entry->pw_uid) != 0)
        die("becoming user \"%s\": %s", user, strerror(errno));
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur > 0)
        prctl(PR_SET_DUMPABLE, 1); /* who becomes another leaves no core file, unless told to */
    if (raw && !take_net_raw())
        die("keeping CAP_NET_RAW for proxy_bind: %s", strerror(errno));
}
