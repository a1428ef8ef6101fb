/*
 * PEM files as OpenSSL takes them: content in, a BIO to read from out; and whether what was read is all that there was.
 * A list that is cut off, or spoilt in the middle, is no shorter list.
 */
#include "module.h"

#include <string.h>

BIO *
pem_open(const struct tls_file *file)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of byte order, which editors leave */
    size_t skipped = file->size >= 3 && memcmp(file->data, mark, 3) == 0 ? 3 : 0;
    return BIO_new_mem_buf((const char *)file->data + skipped, (int)(file->size - skipped));
}

bool
pem_was_read(void)
{
    u32 last = ERR_peek_last_error();
    return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}
