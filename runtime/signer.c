/*
 * Signatures by keys in tokens, which may take their time: a thread asks the token, one signature after the other,
 * while the session that waits for one costs its worker nothing. What is wanted beyond the jobs there are is refused.
 */
#include "spcd.h"

#include "token.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 256 };

enum stage { STAGE_QUEUED, STAGE_RUNNING, STAGE_DONE };

struct job {
    struct job *next;
    enum stage stage;
    struct session *session; /* NULL: it has ended meanwhile */
    struct worker *worker;   /* whose session it is */
    struct token_key *key;
    size_t size; /* of the signature; 0: error says why */
    struct tls_request request;
    u8 signature[TLS_SIGNATURE_MOST];
    char error[TLS_ERROR_SIZE];
};

static struct {
    const struct token_operations *token;
    pthread_mutex_t mutex; /* over all that follows */
    pthread_cond_t queued, done;
    struct job *first, *free;
    struct job *running;
} signer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .queued = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* ---- jobs; the mutex is held ---- */

static void
append(struct job **list, struct job *job)
{
    while (*list)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static void
unlink_from(struct job **list, struct job *job)
{
    while (*list != job)
        list = &(*list)->next;
    *list = job->next;
}

static void
release(struct job *job)
{
    job->next = signer.free;
    signer.free = job;
}

/* ---- the thread ---- */

static void
finish(struct job *job)
{
    signer.running = NULL;
    pthread_cond_broadcast(&signer.done);
    if (!job->session) {
        release(job);
        return;
    }
    job->stage = STAGE_DONE;
    append(&job->worker->signed_jobs, job);
    ev_async_send(job->worker->loop, &job->worker->wake);
}

static void *
run(void *data)
{
    (void)data;
    pthread_mutex_lock(&signer.mutex);
    for (;;) {
        struct job *job = signer.first;
        if (!job) {
            pthread_cond_wait(&signer.queued, &signer.mutex);
            continue;
        }
        signer.first = job->next;
        signer.running = job;
        job->stage = STAGE_RUNNING;
        pthread_mutex_unlock(&signer.mutex);
        job->size = signer.token->sign(job->key, &job->request, job->signature, job->error);
        pthread_mutex_lock(&signer.mutex);
        finish(job);
    }
    return NULL;
}

/* Once: the thread ends with the process. */
static bool
start(void)
{
    static bool started;
    struct job *jobs = started ? NULL : calloc(JOBS, sizeof *jobs);
    pthread_t thread;
    if (!jobs)
        return started;
    sigset_t before = process_block_signals();
    started = pthread_create(&thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) {
        free(jobs);
        return false;
    }
    pthread_detach(thread);
    for (u32 i = 0; i < JOBS; i++) /* nobody knows of them yet */
        release(&jobs[i]);
    return true;
}

/* ---- keys ---- */

struct token_key *
signer_open(const char *uri, const char *pin, const struct logger *logger, char error[TLS_ERROR_SIZE])
{
    strcpy(error, "no signatures can be made");
    if (!signer.token)
        signer.token = module_open("spcd_pkcs11.so", "token_operations", 0, logger);
    if (!signer.token || !start())
        return NULL;
    return signer.token->open(uri, pin, error);
}

size_t
signer_sign(struct token_key *key, const struct tls_request *request, u8 signature[TLS_SIGNATURE_MOST],
            char error[TLS_ERROR_SIZE])
{
    return signer.token->sign(key, request, signature, error);
}

void
signer_close(struct token_key *key)
{
    pthread_mutex_lock(&signer.mutex);
    while (signer.running && signer.running->key == key) /* its session is gone, but the token is not asked twice */
        pthread_cond_wait(&signer.done, &signer.mutex);
    pthread_mutex_unlock(&signer.mutex);
    signer.token->close(key);
}

/* ---- sessions, in their worker's thread ---- */

struct job *
signer_ask(struct session *s, struct token_key *key)
{
    pthread_mutex_lock(&signer.mutex);
    struct job *job = signer.free;
    if (job)
        signer.free = job->next;
    pthread_mutex_unlock(&signer.mutex);
    if (!job)
        return NULL;
    job->stage = STAGE_QUEUED;
    job->session = s;
    job->worker = s->shard->worker;
    job->key = key;
    job->size = 0;
    record_request(&s->upstream, &job->request);
    pthread_mutex_lock(&signer.mutex);
    append(&signer.first, job);
    pthread_cond_signal(&signer.queued);
    pthread_mutex_unlock(&signer.mutex);
    return job;
}

void
signer_cancel(struct job *job)
{
    pthread_mutex_lock(&signer.mutex);
    job->session = NULL;
    if (job->stage == STAGE_QUEUED)
        unlink_from(&signer.first, job);
    if (job->stage == STAGE_DONE)
        unlink_from(&job->worker->signed_jobs, job);
    if (job->stage != STAGE_RUNNING)
        release(job);
    pthread_mutex_unlock(&signer.mutex);
}

void
signer_deliver(struct worker *worker)
{
    for (;;) {
        pthread_mutex_lock(&signer.mutex);
        struct job *job = worker->signed_jobs;
        if (job)
            worker->signed_jobs = job->next;
        pthread_mutex_unlock(&signer.mutex);
        if (!job)
            return;
        handshake_signed(job->session, job->signature, job->size, job->error);
        pthread_mutex_lock(&signer.mutex);
        release(job);
        pthread_mutex_unlock(&signer.mutex);
    }
}
