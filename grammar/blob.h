/*
 * The blob as C: the records of blob.def, the header before them, and the two calls that read one.
 *
 * A blob is little-endian and position-independent: references are indexes. It is verified once, by
 * blob_open(); after that its readers check nothing.
 *
 *     header | text | main | cpu | ...            every section of blob.def, in order, each 8-aligned, no gaps
 */
#ifndef SPC_BLOB_H
#define SPC_BLOB_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPC_VERSION "0.1.0"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

/* Sixteen bytes of an address; its own type so that blob.def can name it. */
typedef struct ip16 {
    u8 byte[16];
} ip16;

/* Limits of the language; spcc refuses what is beyond them and the verifier does too. */
enum {
    WORKERS_MAX = 1024,
    CPU_MAX = 1023,
    CONNECTIONS_MAX = 4 * 1024 * 1024,
    NOFILE_MAX = 1024 * 1024 * 1024,
    BUFFER_SIZE_MAX = 64 * 1024 * 1024,
    KEEPALIVE_S_MAX = 32767, /* Linux: TCP_KEEPIDLE, TCP_KEEPINTVL */
    KEEPALIVE_COUNT_MAX = 127,
    WEIGHT_MAX = 1000 * 1000,
    BOUNDED_MAX = 100 * 1000,
    TRIES_MAX = INT_MAX,
    PORT_MAX = 65535,
    PASS_MOST = 10, /* how often a session may be passed on, as in nginx */
    CAPTURE_MAX = 9, /* of a regular expression: $1 to $9 */
    INDEX_BITS_MAX = 31,
    LOG_RATE_MAX = 1000 * 1000, /* lines a second */
    LOG_RING_LEAST = 4096,      /* bytes of memory:SIZE: room for a line of any length */
    CACHE_MOST = 1024 * 1024,
    CODE_AT = 8, /* where the code of regular expressions begins: aligned for PCRE2 */
    CODE_LEAST = 64,
};
#define TIME_MS_MAX (100ull * 366 * 24 * 3600 * 1000) /* a century */
#define ZONE_LEAST (8ull * 4096)                         /* bytes; nginx's */
#define ZONE_MOST (1ull << 38)
#define PACE_NS_MAX (60ull * 1000 * 1000 * 1000)          /* one a minute */
#define RATE_MAX (1ull << 50)                          /* bytes a second */
#define BLOB_SIZE_MAX UINT32_MAX

/* ---- enums and bits ---- */

#define VALUES(name) enum name {
#define VALUE(name, constant, word) constant,
#define END_VALUES(name) VALUES_END_##name };
#define BITS(name) enum name##_bit {
#define BIT(name, constant, word) constant##_BIT,
#define END_BITS(name) BITS_END_##name };
#include "blob.def"

#define BITS(name) enum name {
#define BIT(name, constant, word) constant = 1u << constant##_BIT,
#define END_BITS(name) };
#include "blob.def"

/* ---- sections and records ---- */

#define RECORD(name) SECTION_##name,
enum section {
#include "blob.def"
    SECTION_COUNT
};

#define RECORD(name) struct blob_##name {
#define FIELD(record, type, name, rule, argument) type name;
#define END_RECORD(name) };
#include "blob.def"

struct blob_header {
    char magic[8];
    char version[24];       /* SPC_VERSION of the writer, NUL-padded; for people */
    u64 fingerprint;        /* of blob.def: the reader's must be the same */
    u64 size;               /* of the whole file, bytes */
    u8 digest[16];          /* XXH3-128, canonical form, of the whole file with these bytes zero */
    struct {
        u64 at;             /* offset from the start of the file, bytes */
        u64 count;          /* records; bytes for text */
    } section[SECTION_COUNT];
};

#define BLOB_MAGIC "spcb\r\n\x1a\n"

/* An open blob: a pointer and a count for each section. */
struct blob {
    const u8 *base;
    size_t size;
#define RECORD(record) const struct blob_##record *record; u32 record##_count;
#include "blob.def"
};

/* ---- the same as data, for loops over every record ---- */

enum rule {
    RULE_ANY, RULE_ZERO, RULE_MAX, RULE_UPTO, RULE_TEXT, RULE_REF, RULE_NEED, RULE_SPAN,
    RULE_LENGTH, RULE_SOME, RULE_ENUM, RULE_FLAGS, RULE_RISES, RULE_ZONE, RULE_ORIGIN,
};

/* The words of an ENUM or FLAGS field, in order. */
struct blob_vocabulary {
    const char *const *word;
    u32 count;
};

struct blob_field {
    const char *name;
    u16 offset, size; /* bytes within the record */
    u32 rule;
    u64 max;                                  /* RULE_MAX, RULE_UPTO; else 0 */
    u32 section;                              /* RULE_REF, RULE_NEED, RULE_SPAN */
    const struct blob_vocabulary *vocabulary; /* RULE_ENUM, RULE_FLAGS */
};

struct blob_section {
    const char *name;
    u32 record_size; /* bytes */
    const struct blob_field *field;
    u32 field_count;
};

extern const struct blob_section blob_sections[SECTION_COUNT];

enum { BLOB_ERROR_SIZE = 256 };

/*
 * Verify size bytes at data (8-aligned) and fill blob with pointers into them. False: error says what is
 * wrong and where, and blob is not to be used. Everything reachable from an open blob is in bounds.
 */
bool blob_open(struct blob *blob, const void *data, size_t size, char error[BLOB_ERROR_SIZE]);

/* The fingerprint of the layout this program was built with. */
u64 blob_fingerprint(void);

/* Write the digest of the size bytes at data, whose header is complete but for it, into digest. */
void blob_digest(const void *data, size_t size, u8 digest[16]);

/* The value of a field of the record at record, zero-extended. Fields wider than 8 bytes give 0. */
u64 blob_get(const void *record, const struct blob_field *field);

/* The word for a level: "error". */
const char *blob_level_word(enum level level);

/* CRC-32 of ISO 3309, as nginx's hash has it, going on from crc; 0 to begin. */
u32 blob_crc32(u32 crc, const void *data, size_t size);

/* The hash of a key of a map. */
u64 blob_hash(const void *key, size_t size);

/* Where record index of section came from, or NULL. */
const struct blob_origin *blob_find_origin(const struct blob *blob, enum section section, u32 index);

/* The NUL-ended string at offset. */
static inline const char *
blob_string(const struct blob *blob, u32 offset)
{
    return &blob->text[offset].byte;
}

#endif
