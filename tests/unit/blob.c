/*
 * The verifier of grammar/blob.c: a blob with something in every section is cut at every length and changed in
 * every byte, with the digest put right. Each must be refused, or a walker that checks nothing must be able to read
 * all of it; the sanitizers watch. Each copy has its exact size, so that a byte too far is seen.
 */
#include "walk.h"

#include <stdlib.h>
#include <string.h>

static const char config[] =
    "user a b;\n"
    "worker_cpu_affinity 01 10;\n"
    "pid p;\n"
    "error_log logs/x info;\n"
    "stream {\n"
    "    upstream u { server 127.0.0.1:1 weight=2; server [::1]:2 backup; server unix:/s down; server h:3; }\n"
    "    server { listen 80; listen 10.0.0.1:80; listen [::]:81 ipv6only=off; listen unix:/t; proxy_pass u; }\n"
    "    server { listen 82; set $x \"1$pid\"; set $y $x; return \"a $remote_addr b $y $1\"; error_log stderr; }\n"
    "    server { listen 83 so_keepalive=1:2:3; proxy_pass example.com:5; proxy_timeout 5s; }\n"
    "    upstream v { hash $pid$remote_addr consistent; zone zz 1m; server 127.0.0.1:1; server h:3; }\n"
    "    server { listen 84; set $g u; proxy_pass $g; }\n"
    "    map $remote_addr $m { hostnames; default $pid; *.a.b x; c.* $n; d e; ~^(?<n>f)(.) $n$2; }\n"
    "    limit_conn_zone $m zone=z:1m; limit_conn z 5; allow 10.0.0.0/8; deny all; set_real_ip_from ::1;\n"
    "    log_format f escape=json $m'$status'; access_log /l f if=$m buffer=1k; \n"
    "    access_log syslog:server=127.0.0.1,tag=t f;\n"
    "    geo $n1 { 10.0.0.0/8 a; 10.1.0.0/16 b; ::1 c; }\n"
    "    split_clients $m$n1 $p { 10% a; * b; }\n"
    "    num_map $server_port $q { 1-5 a; >7 $p; }\n"
    "    server { listen 85 proxy_protocol; ssl_preread on; server_name a.b *.c ~^(d)$; return $1; }\n"
    "    server { listen 86; proxy_ssl on; proxy_ssl_certificate $m; proxy_ssl_certificate_key $m;\n"
    "             proxy_ssl_certificate_cache max=2; proxy_pass u; }\n"
    "    server { listen 85 proxy_protocol default_server; ssl_preread on; return $m$n1$p$q; }\n"
    "}\n";

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

/* ---- the cases ---- */

/* Open a copy of exactly size bytes, the digest put right; walk and dump what is accepted. */
static bool
try(const u8 *data, size_t size, FILE *nowhere)
{
    char error[BLOB_ERROR_SIZE] = "";
    struct blob blob;
    u8 *exact = malloc(size > 0 ? size : 1);
    memcpy(exact, data, size);
    if (size >= sizeof(struct blob_header))
        blob_digest(exact, size, ((struct blob_header *)(void *)exact)->digest);
    bool accepted = blob_open(&blob, exact, size, error);
    if (accepted) {
        walk(&blob);
        dump(&blob, nowhere);
    } else if (error[0] == '\0') {
        report(false, "a refusal without a reason");
    }
    free(exact);
    return accepted;
}

static void
test_cut(const u8 *data, size_t size, FILE *nowhere)
{
    bool accepted = false;
    for (size_t cut = 0; cut < size; cut++)
        accepted |= try(data, cut, nowhere);
    report(!accepted, "cut at every length");
    u8 *longer = calloc(1, size + 8);
    memcpy(longer, data, size);
    report(!try(longer, size + 8, nowhere), "with something behind it");
    free(longer);
}

/* The same with the header's size put right, so that the sections are looked at. */
static void
test_cut_quietly(u8 *data, size_t size, FILE *nowhere)
{
    struct blob_header *header = (struct blob_header *)(void *)data;
    bool accepted = false;
    for (size_t cut = sizeof *header; cut < size; cut++) {
        header->size = cut;
        accepted |= try(data, cut, nowhere);
    }
    header->size = size;
    report(!accepted, "cut at every length, the header's size put right");
}

/* Each byte in each of these ways; where the sanitizers make it slow, in some of them, others for the next byte. */
#ifdef __SANITIZE_ADDRESS__
enum { WAYS_APART = 4 };
#else
enum { WAYS_APART = 1 };
#endif

static void
test_change(u8 *data, size_t size, FILE *nowhere)
{
    static const u8 changes[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x7f};
    u32 accepted = 0, refused = 0;
    for (size_t at = 0; at < size; at++) {
        u8 old = data[at];
        for (size_t i = at % WAYS_APART; i < sizeof changes; i += WAYS_APART) {
            data[at] = old ^ changes[i];
            *(try(data, size, nowhere) ? &accepted : &refused) += 1;
        }
        data[at] = old;
    }
    printf("    %u changed blobs refused, %u accepted and walked\n", refused, accepted);
    report(refused > accepted / 10 && accepted > 0, "every byte changed");
}

/* Without the digest put right, every change is refused. */
static void
test_damage(u8 *data, size_t size)
{
    bool accepted = false;
    for (size_t at = 0; at < size; at++) {
        char error[BLOB_ERROR_SIZE];
        struct blob blob;
        data[at] ^= 0x10;
        accepted |= blob_open(&blob, data, size, error);
        data[at] ^= 0x10;
    }
    report(!accepted, "every byte damaged");
}

static void
test_sections(const struct unit *unit)
{
    for (u32 i = 0; i < SECTION_COUNT; i++)
        if (image_count(unit, i) < 2 && i != SECTION_tlv)
            printf("    note: nothing in section %s\n", blob_sections[i].name);
}

int
main(void)
{
    struct unit unit;
    void *data;
    size_t size;
    unit_open(&unit);
    define_add(&unit, "NAME=VALUE");
    compile_source(&unit, source_of_text(&unit, "x.conf", config, (u32)strlen(config)));
    report(!diag_failed(&unit) && image_finish(&unit, &data, &size), "compiles");
    if (diag_failed(&unit)) {
        diag_print(&unit, stdout, false);
        return 1;
    }
    test_sections(&unit);
    FILE *nowhere = fopen("/dev/null", "w");
    report(try(data, size, nowhere), "is accepted");
    test_cut(data, size, nowhere);
    test_cut_quietly(data, size, nowhere);
    test_change(data, size, nowhere);
    test_damage(data, size);
    fclose(nowhere);
    unit_close(&unit);
    return failures > 0 || sum == 0;
}
