/* The origin of secure.py, which speaks TLS by OpenSSL: a thread for each connection, until standard input ends. On
 * every connection either 64 bytes come and go back, again and again, or a request comes first (load.h) and so many
 * bytes go both ways. A fourth argument is the size of its records. For each byte of standard input it says how many
 * handshakes there were and how many of them resumed. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_BYTES = 128 << 10 };

static SSL_CTX *context;
static bool bulk;
static atomic_int handshakes, resumed;

static bool
receive(SSL *ssl, u64 size)
{
    static __thread char data[16 << 10];
    while (size > 0) {
        int got = SSL_read(ssl, data, size < sizeof data ? (int)size : (int)sizeof data);
        if (got <= 0)
            return false;
        size -= (u64)got;
    }
    return true;
}

static bool
transmit(SSL *ssl, u64 size)
{
    static const char data[64 << 10];
    while (size > 0) {
        int sent = SSL_write(ssl, data, size < sizeof data ? (int)size : (int)sizeof data);
        if (sent <= 0)
            return false;
        size -= (u64)sent;
    }
    return BIO_flush(SSL_get_wbio(ssl)) == 1;
}

static void
talk(SSL *ssl)
{
    struct request request;
    if (!bulk)
        while (receive(ssl, MESSAGE_SIZE) && transmit(ssl, MESSAGE_SIZE))
            continue;
    else if (SSL_read(ssl, &request, sizeof request) == sizeof request && receive(ssl, request.up_bytes))
        transmit(ssl, request.down_bytes + DONE_SIZE);
    SSL_shutdown(ssl);
    BIO_flush(SSL_get_wbio(ssl));
}

static void *
serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    SSL *ssl = SSL_new(context);
    BIO *gather = BIO_new(BIO_f_buffer()), *wire = BIO_new_socket(fd, BIO_NOCLOSE);
    BIO_set_write_buffer_size(gather, bulk ? 64 << 10 : 4 << 10);
    BIO_up_ref(wire);
    SSL_set_bio(ssl, wire, BIO_push(gather, wire)); /* many records in one send() */
    if (SSL_accept(ssl) == 1) {
        atomic_fetch_add(&handshakes, 1);
        atomic_fetch_add(&resumed, SSL_session_reused(ssl));
        talk(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void *
accept_all(void *argument)
{
    int listener = (int)(intptr_t)argument;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, &small, serve, (void *)(intptr_t)fd) != 0)
            close(fd);
    }
    return NULL;
}

static int
open_listener(u16 *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        exit(2);
    *port = ntohs(address.sin_port);
    return fd;
}

int
main(int argc, char **argv)
{
    struct rlimit files = {1 << 16, 1 << 16};
    pthread_t thread;
    char word;
    u16 port;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(LIFE_SECONDS);
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc < 4)
        return 2;
    bulk = strcmp(argv[3], "bulk") == 0;
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_file(context, argv[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1)
        return 2;
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    if (argc > 4)
        SSL_CTX_set_max_send_fragment(context, atoi(argv[4]));
    int listener = open_listener(&port);
    printf("{\"port\": %d}\n", port);
    fflush(stdout);
    pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener);
    while (read(STDIN_FILENO, &word, 1) > 0) {
        printf("{\"handshakes\": %d, \"resumed\": %d}\n", handshakes, resumed);
        fflush(stdout);
    }
    return 0;
}
