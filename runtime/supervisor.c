/*
 * The supervisor: it opens what needs privilege, hands it to the server, obeys signals by telling the
 * server, and starts another when one dies. With master_process off it only opens, and is the server.
 *
 *     TERM, INT  end now      QUIT  drain, then end      HUP  next generation      USR1  reopen logs
 *     USR2       nothing but a line in the log: nginx would start another program, and its scripts try that
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    RESPAWN_PAUSE_S = 1, /* a server that dies at once is not started again at once */
    START_S = 60,        /* one that gives up so early could not start */
    STOP_S = 5,          /* for one that is told to end now; it may be waiting for a name server */
};

struct supervisor {
    const struct options *options;
    struct surroundings *current, *pending; /* pending: sent, and not answered yet */
    struct logger logger;                   /* of current */
    int signals, channel;
    pid_t server;
    time_t started;
    time_t kill_at; /* 0: it has not been told to end now; of the monotonic clock */
    bool ending;
    bool reload_again, reopen_again; /* when there is an answer */
};

/* Seconds that only go forward. */
static time_t
uptime(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- what both kinds of process do ---- */

struct surroundings *
supervisor_open(const struct options *options, const struct surroundings *old, const struct logger *logger)
{
    char error[BLOB_ERROR_SIZE];
    int fd = open(options->blob, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        log_write(logger, LEVEL_EMERG, 0, errno, "open() %s failed", options->blob);
        return NULL;
    }
    struct mapping *mapping = mapping_open(fd, error);
    if (!mapping) {
        log_write(logger, LEVEL_EMERG, 0, 0, "%s cannot be used: %s", options->blob, error);
        return NULL;
    }
    struct surroundings *s = surroundings_new(mapping, logger);
    if (!s)
        return NULL;
    if (surroundings_open(s, old, options->test, logger) && pid_renew(s, old, logger))
        return s;
    if (!options->test) /* which has left no path */
        surroundings_unlink(s, old);
    surroundings_close(s, old);
    return NULL;
}

struct surroundings *
supervisor_renew(const struct surroundings *old, const struct logger *logger)
{
    log_write(logger, LEVEL_NOTICE, 0, 0, "a file of the configuration has changed");
    struct surroundings *s = surroundings_new(mapping_share(old->mapping), logger);
    if (!s || surroundings_open(s, old, false, logger))
        return s;
    surroundings_close(s, old);
    return NULL;
}

/* Before anybody can read the pid file. Without a supervisor, what ends a program may end this one at once for as long
 * as it is not ready. */
static sigset_t
block_signals(bool supervised)
{
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT, SIGCHLD};
    enum { NOT_THE_END = 3 };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < (supervised ? sizeof signals / sizeof *signals : NOT_THE_END); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

void
supervisor_refuse_upgrade(const struct logger *logger)
{
    log_write(logger, LEVEL_WARN, 0, 0,
              "USR2 has no meaning here: HUP takes a new configuration, a restart a new program");
}

/* ---- while a server runs ---- */

static void
use(struct supervisor *v, struct surroundings *s)
{
    v->current = s;
    surroundings_logger(s, &v->logger);
}

/* False: errno. */
static bool
start_server(struct supervisor *v)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    pid_t child = fork();
    if (child < 0) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    if (child == 0) {
        close(pair[0]);
        close(v->signals);
        fcntl(pair[1], F_SETFL, O_NONBLOCK);
        exit(control_run(v->current, pair[1], v->options));
    }
    close(pair[1]);
    v->channel = pair[0];
    v->server = child;
    v->started = uptime();
    log_write(&v->logger, LEVEL_NOTICE, 0, 0, "start server process %d", child);
    return true;
}

/* Close surroundings that lost against winner, and what only they had. By the end the paths may be another's. */
static void
drop(const struct supervisor *v, struct surroundings *loser, const struct surroundings *winner)
{
    if (!v->ending)
        surroundings_unlink(loser, winner);
    surroundings_close(loser, winner);
}

static void
drop_pending(struct supervisor *v)
{
    struct surroundings *next = v->pending;
    v->pending = NULL;
    pid_settle(v->current, next);
    drop(v, next, v->current);
}

/* Have the server take it; NULL: there is nothing to be taken. */
static void
propose(struct supervisor *v, struct surroundings *next)
{
    v->pending = next;
    if (!next || channel_send_all(v->channel, next))
        return;
    drop_pending(v);
    v->reload_again = true; /* of the next server, since this one has died */
}

static void
reload(struct supervisor *v)
{
    if (v->pending || v->server == 0) {
        v->reload_again = true;
        return;
    }
    log_write(&v->logger, LEVEL_NOTICE, 0, 0, "reconfiguring");
    propose(v, supervisor_open(v->options, v->current, &v->logger));
}

/* The server is told by the order of its own configuration's logs, so nobody must be unsure which one that is. */
static void
reopen(struct supervisor *v)
{
    if (v->pending || v->server == 0) {
        v->reopen_again = true;
        return;
    }
    log_write(&v->logger, LEVEL_NOTICE, 0, 0, "reopening logs");
    int default_log = log_default_open(&v->logger);
    if (surroundings_open_logs(v->current, &v->logger))
        channel_send_logs(v->channel, v->current, default_log);
    log_default_reopen(default_log);
    surroundings_logger(v->current, &v->logger);
}

/* What was asked for while the server had not answered, or there was none. */
static void
catch_up(struct supervisor *v)
{
    bool reload_now = v->reload_again && !v->ending, reopen_now = v->reopen_again;
    v->reload_again = v->reopen_again = false;
    if (reopen_now)
        reopen(v);
    if (reload_now)
        reload(v);
}

/* What it watches is looked at; a change is a reload of the same blob. */
static void
look(struct supervisor *v)
{
    if (!v->pending && v->server && !v->ending && files_have_changed(v->current))
        propose(v, supervisor_renew(v->current, &v->logger));
}

static void
take_answer(struct supervisor *v, int kind)
{
    if (!v->pending)
        return;
    if (kind == MESSAGE_TAKEN) {
        struct surroundings *old = v->current;
        use(v, v->pending);
        v->pending = NULL;
        pid_settle(v->current, old);
        drop(v, old, v->current);
    } else {
        drop_pending(v);
    }
    if (v->server)
        catch_up(v);
}

/* A system that is out of processes or descriptors has some later: then tick() comes here again. */
static void
start_again(struct supervisor *v)
{
    if (start_server(v))
        catch_up(v);
    else
        log_write(&v->logger, LEVEL_ALERT, 0, errno, "no server process can be started");
}

static void
end_server(struct supervisor *v, enum message_kind kind)
{
    if (kind == MESSAGE_STOP && !v->kill_at)
        v->kill_at = uptime() + STOP_S;
    channel_send(v->channel, kind, NULL, 0);
    if (v->ending)
        return; /* by now the paths of unix sockets may be another's */
    v->ending = true;
    if (v->pending) {
        surroundings_unlink(v->pending, v->current);
        surroundings_close_sockets(v->pending, v->current);
    }
    surroundings_unlink(v->current, NULL);
    surroundings_close_sockets(v->current, NULL); /* nobody listens now but the server, and it stops too */
}

/* The server is no more: that is the end if it was told to, and an accident if not. */
static bool
reap(struct supervisor *v, int *status)
{
    if (waitpid(v->server, status, WNOHANG) != v->server)
        return false;
    pid_t gone = v->server;
    v->server = 0;
    close(v->channel);
    v->channel = -1;
    if (v->ending)
        return true;
    time_t lived = uptime() - v->started;
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == 1 && lived <= START_S) { /* die() has said why; it would again */
        log_write(&v->logger, LEVEL_ALERT, 0, 0, "server process %d could not start", gone);
        surroundings_unlink(v->current, NULL);
        return true;
    }
    if (WIFSIGNALED(*status))
        log_write(&v->logger, LEVEL_ALERT, 0, 0, "server process %d exited on signal %d", gone, WTERMSIG(*status));
    else
        log_write(&v->logger, LEVEL_ALERT, 0, 0, "server process %d exited with code %d", gone, WEXITSTATUS(*status));
    if (v->pending)
        take_answer(v, MESSAGE_REFUSED);
    if (lived <= RESPAWN_PAUSE_S)
        sleep(RESPAWN_PAUSE_S);
    *status = 0;
    start_again(v);
    return false;
}

/* Obey one signal; true when all is over. */
static bool
obey(struct supervisor *v, int signal, int *status)
{
    switch (signal) {
    case SIGTERM:
    case SIGINT:
        end_server(v, MESSAGE_STOP);
        return v->server == 0;
    case SIGQUIT:
        end_server(v, MESSAGE_QUIT);
        return v->server == 0;
    case SIGHUP:
        if (!v->ending)
            reload(v);
        return false;
    case SIGUSR1:
        reopen(v);
        return false;
    case SIGUSR2:
        supervisor_refuse_upgrade(&v->logger);
        return false;
    case SIGCHLD:
        return reap(v, status);
    }
    return false;
}

/* Until something has to be done that nobody says: -1 for ever. */
static int
wait_ms(const struct supervisor *v)
{
    if (v->kill_at || v->server == 0)
        return 1000;
    return files_are_watched(v->current) ? FILES_LOOK_MS : -1;
}

/* A second or so has passed. */
static void
tick(struct supervisor *v)
{
    look(v);
    if (v->server == 0)
        start_again(v);
    if (!v->kill_at || uptime() < v->kill_at)
        return;
    log_write(&v->logger, LEVEL_ALERT, 0, 0, "server process %d does not end: it is killed", v->server);
    kill(v->server, SIGKILL);
}

static int
supervise(struct supervisor *v, const sigset_t *set)
{
    int status = 0;
    v->signals = signalfd(-1, set, SFD_CLOEXEC);
    if (v->signals < 0 || !start_server(v))
        die("no server process can be started: %s", strerror(errno));
    log_default_stand_in(NULL);
    for (;;) {
        struct pollfd wait[] = {{.fd = v->signals, .events = POLLIN}, {.fd = v->channel, .events = POLLIN}};
        int events = poll(wait, 2, wait_ms(v));
        if (events < 0 && errno != EINTR)
            die("poll(): %s", strerror(errno));
        if (events == 0)
            tick(v);
        if (wait[1].revents & POLLIN) {
            u32 count;
            int fds[CHANNEL_FDS], kind = channel_receive(v->channel, fds, &count);
            if (kind >= 0)
                take_answer(v, kind);
        }
        /* A server that died shows on the channel first; SIGCHLD follows. */
        struct signalfd_siginfo signal;
        if (!(wait[0].revents & POLLIN) && wait[1].revents & POLLHUP)
            wait[0].revents = POLLIN;
        if (wait[0].revents & POLLIN && read(v->signals, &signal, sizeof signal) == sizeof signal &&
            obey(v, (int)signal.ssi_signo, &status))
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
}

/* Is what the blob has for libraries of use to them? */
static bool
is_understood(const struct surroundings *s)
{
    const struct blob *blob = &s->mapping->blob;
    struct tls_shared *shared;
    struct regexes *regexes = regexes_open(blob, &log_default);
    if (!regexes)
        return false;
    regexes_close(regexes);
    if (!tls_open(s, &log_default, &shared))
        return false;
    tls_close(blob, shared);
    return true;
}

int
supervisor_run(const struct options *options)
{
    static struct supervisor v;
    v.options = options;
    if (options->prefix && chdir(options->prefix) != 0)
        die("prefix %s: %s", options->prefix, strerror(errno));
    if (options->log && !log_default_to(options->log))
        die("%s: %s", options->log, strerror(errno));
    struct surroundings *s = supervisor_open(options, NULL, &log_default);
    if (!s)
        return 1;
    if (options->test) {
        bool good = is_understood(s);
        if (good)
            fprintf(stderr, "spcd: %s is in order and can be served here\n", options->blob);
        surroundings_close(s, NULL);
        return good ? 0 : 1;
    }
    tzset(); /* so that no thread has to read the time zone later */
    u32 flags = s->mapping->blob.main[1].flags;
    if (flags & MAIN_DAEMON)
        process_daemonize(s);
    use(&v, s);
    if (flags & MAIN_DAEMON)
        log_default_stand_in(&v.logger);
    process_raise_limits(s);
    sigset_t set = block_signals(flags & MAIN_MASTER);
    pid_write(s);
    if (!(flags & MAIN_MASTER))
        return control_run(s, -1, options);
    int status = supervise(&v, &set);
    pid_remove(v.current);
    surroundings_close(v.current, NULL);
    return status;
}
