/*
 * Between blob.c and rule.c, and for nobody else: a blob that is being verified.
 */
#ifndef SPC_RULE_H
#define SPC_RULE_H

#include "blob.h"

/* Where the sections are, each with at least one record; and room for what is wrong. */
struct verifier {
    const u8 *start[SECTION_COUNT];
    u64 count[SECTION_COUNT];
    char *error;
};

/* Do all records of the section obey the rules of their fields? If not, v->error names the first that does not. */
bool rule_check(const struct verifier *v, u32 section);

/* Say in error, of BLOB_ERROR_SIZE bytes, what is wrong; always false. */
bool rule_refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
