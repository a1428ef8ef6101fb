/*
 * Pipes for bulk: what passes through one is never copied to user space. A worker has a few, opened when they
 * are first needed and kept; a session has one only while something is in it, as with buffers.
 */
#include "spcd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool
open_pipe(struct pipe *pipe)
{
    int fd[2];
    if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE); /* refused beyond a user's share: then it is a smaller one */
    pipe->out = fd[0];
    pipe->in = fd[1];
    pipe->open = true;
    return true;
}

static void
close_pipe(struct pipe *pipe)
{
    if (!pipe->open)
        return;
    close(pipe->in);
    close(pipe->out);
    pipe->open = false;
}

void
pipe_pool_open(struct pipe_pool *pool)
{
    for (u32 i = 0; i < PIPE_COUNT; i++) {
        pool->pipe[i].next = pool->free;
        pool->free = &pool->pipe[i];
    }
}

void
pipe_pool_close(struct pipe_pool *pool)
{
    for (u32 i = 0; i < PIPE_COUNT; i++)
        close_pipe(&pool->pipe[i]);
}

struct pipe *
pipe_take(struct pipe_pool *pool)
{
    struct pipe *pipe = pool->free;
    if (!pipe || (!pipe->open && !open_pipe(pipe)))
        return NULL;
    pool->free = pipe->next;
    pipe->filled = 0;
    return pipe;
}

void
pipe_give(struct pipe_pool *pool, struct pipe *pipe)
{
    if (pipe->filled > 0)
        close_pipe(pipe); /* the rest belongs to nobody else */
    pipe->next = pool->free;
    pool->free = pipe;
}
