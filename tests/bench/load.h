/* What the parts of the load generator share: the clock, the sockets, the origin's little protocol. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum {
    MESSAGE_SIZE = 64,          /* what short connections and ping-pong carry each way */
    EVENT_COUNT = 512,          /* events taken from one epoll_wait */
    ACCEPT_BATCH = 64,          /* connections accepted before anything else is looked at */
    CHUNK_SIZE = 256 * 1024,    /* one read or write of bulk data */
    LIFE_SECONDS = 900,         /* nothing here lives longer, whatever happens */
};

/* Bulk: the client says first how much it will send and how much it wants; the origin answers so much and,
 * when all has arrived, DONE_SIZE bytes more. No half-closed connection is needed, so every proxy can do it. */
struct request {
    u64 up_bytes;
    u64 down_bytes;
};
enum { DONE_SIZE = 8 };

/* hello.c: write a ClientHello of HELLO_SIZE bytes that asks for host-NAME.example.com. */
enum { HELLO_SIZE = 517 };
void hello_make(char *message, u32 name);

/* load.c */
u64 now_ns(void);
_Noreturn void die(const char *what);
u64 number(const char *text, u64 most);
int listen_on(u16 port, u16 *got_port);
int connect_to(u16 port);
void watch(int epoll_fd, int fd, u32 events);
void close_on_input_end(int epoll_fd);
size_t descriptor_limit(void);

/* One subcommand each; they return the exit status. */
int origin_main(int argc, char **argv);
int floor_main(int argc, char **argv);
int short_main(int argc, char **argv);
int ping_main(int argc, char **argv);
int bulk_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int start_main(int argc, char **argv);
int named_main(int argc, char **argv);
int greeted_main(int argc, char **argv);

#endif
