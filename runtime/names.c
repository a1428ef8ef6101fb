/*
 * Names that did not resolve, asked for again by a thread of its own: a name server that is silent, for ten seconds a
 * time, keeps no signal waiting and no reload. All but that thread is the control thread's.
 */
#include "spcd.h"

#include <stdlib.h>

static struct {
    pthread_mutex_t mutex;
    struct ev_loop *loop;  /* NULL: closed */
    ev_async wake;
    void (*answered)(const struct mapping *, struct lookup *);
    struct mapping *mapping; /* that is asked about; NULL: none is */
    struct lookup *lookup;
} names = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *
ask(void *data)
{
    (void)data;
    lookup_all(names.lookup, &names.mapping->blob);
    pthread_mutex_lock(&names.mutex);
    if (names.loop)
        ev_async_send(names.loop, &names.wake);
    pthread_mutex_unlock(&names.mutex);
    return NULL;
}

static void
on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    (void)loop, (void)wake, (void)events;
    pthread_mutex_lock(&names.mutex); /* behind whom the thread is done */
    struct mapping *mapping = names.mapping;
    names.mapping = NULL;
    pthread_mutex_unlock(&names.mutex);
    names.answered(mapping, names.lookup);
    mapping_close(mapping);
}

void
names_open(struct ev_loop *loop, void (*answered)(const struct mapping *mapping, struct lookup *lookup))
{
    names.loop = loop;
    names.answered = answered;
    ev_async_init(&names.wake, on_wake);
    ev_async_start(loop, &names.wake);
}

void
names_ask(struct mapping *mapping)
{
    pthread_t thread;
    if (names.mapping || !(names.lookup = lookup_of(&mapping->blob)))
        return;
    names.mapping = mapping_share(mapping);
    if (pthread_create(&thread, NULL, ask, NULL) == 0) {
        pthread_detach(thread);
        return;
    }
    lookup_free(names.lookup, &mapping->blob);
    mapping_close(names.mapping);
    names.mapping = NULL;
}

void
names_close(void)
{
    pthread_mutex_lock(&names.mutex);
    ev_async_stop(names.loop, &names.wake);
    names.loop = NULL;
    pthread_mutex_unlock(&names.mutex);
}
