/*
 * Modules of spcd's own: shared objects with one table of functions each, loaded for blobs that need them. They stand
 * beside spcd, or where they were installed.
 */
#include "spcd.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const void *
module_open(const char *file, const char *symbol, int how, const struct logger *logger)
{
    static const char *const places[] = {"", "../lib/spcd/"};
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 64);
    void *module = NULL;
    while (size > 0 && path[size - 1] != '/')
        size--;
    for (size_t i = 0; i < sizeof places / sizeof *places && size > 0 && !module; i++) {
        snprintf(path + size, sizeof path - (size_t)size, "%s%s", places[i], file);
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL | how);
    }
    const void *found = module ? dlsym(module, symbol) : NULL;
    if (!found)
        log_write(logger, LEVEL_EMERG, 0, 0, "%s cannot be loaded: %s", file, dlerror());
    return found;
}
