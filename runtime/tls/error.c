/*
 * What BoringSSL says of a failure, in nginx's frame.
 */
#include "module.h"

#include <stdio.h>

void
error_say(char error[TLS_ERROR_SIZE], const char *what)
{
    char text[TLS_ERROR_SIZE / 2];
    u32 code = ERR_get_error();
    if (code) {
        ERR_error_string_n(code, text, sizeof text);
        snprintf(error, TLS_ERROR_SIZE, "%s failed (SSL: %s)", what, text);
    } else {
        snprintf(error, TLS_ERROR_SIZE, "%s failed", what);
    }
    ERR_clear_error();
}
