/*
 * The same blob from the same configuration, wherever spcc is started and whatever surrounds it; and the file that
 * is written: whole, readable, in place of the old one.
 */
#include "spcc.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;

static void
report(bool good, const char *what)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failures += !good;
}

struct bytes {
    void *data;
    size_t size;
};

/* Compile path; the caller frees the bytes. */
static struct bytes
compiled(const char *path)
{
    struct unit unit;
    struct bytes bytes = {0};
    void *data;
    unit_open(&unit);
    if (compile(&unit, path) && !diag_failed(&unit) && image_finish(&unit, &data, &bytes.size)) {
        bytes.data = malloc(bytes.size);
        memcpy(bytes.data, data, bytes.size);
    } else {
        diag_print(&unit, stdout, false);
    }
    unit_close(&unit);
    return bytes;
}

static void
compare(const struct bytes *first, const char *path, const char *what)
{
    struct bytes again = compiled(path);
    report(again.size > 0 && again.size == first->size && memcmp(again.data, first->data, again.size) == 0, what);
    free(again.data);
}

static void
test_same(void)
{
    char here[4096], path[8192];
    struct bytes first = compiled("tests/include/nested.conf");
    if (getcwd(here, sizeof here) == NULL || first.data == NULL || chdir("tests/include") != 0)
        return report(false, "started in the root of the project");
    compare(&first, "nested.conf", "from the folder of the file");
    compare(&first, "./nested.conf", "by another relative path");
    compare(&first, "../include/nested.conf", "by a path through the folder above");
    snprintf(path, sizeof path, "%s/tests/include/nested.conf", here);
    compare(&first, path, "by the absolute path");
    setlocale(LC_ALL, "C.UTF-8");
    setenv("TZ", "Pacific/Apia", 1);
    compare(&first, "nested.conf", "in another locale and time zone");
    if (chdir(here) != 0)
        report(false, "back");
    free(first.data);
}

/* ---- the file ---- */

static bool
holds(const char *path, const char *text)
{
    char buffer[64] = "";
    FILE *file = fopen(path, "r");
    bool good = file != NULL && fread(buffer, 1, sizeof buffer - 1, file) == strlen(text) && strcmp(buffer, text) == 0;
    if (file != NULL)
        fclose(file);
    return good;
}

static void
test_write(void)
{
    struct unit unit;
    struct stat status, old;
    char folder[] = "/tmp/spc-######", path[64], link_path[64];
    memset(folder + strlen(folder) - 6, 'X', 6);
    unit_open(&unit);
    if (mkdtemp(folder) == NULL)
        return report(false, "a folder to write to");
    snprintf(path, sizeof path, "%s/x.spcb", folder);
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    umask(077);
    report(image_write(&unit, path, "one", 3) == NULL && holds(path, "one"), "a new file");
    report(stat(path, &old) == 0 && (old.st_mode & 0777) == 0644, "that everyone may read");
    FILE *reader = fopen(path, "r");
    report(image_write(&unit, path, "three", 5) == NULL && holds(path, "three"), "in place of another");
    report(stat(path, &status) == 0 && status.st_ino != old.st_ino && reader != NULL && fgetc(reader) == 'o',
           "which its readers keep");
    report(symlink("x.spcb", link_path) == 0 && image_write(&unit, link_path, "five", 4) == NULL &&
               holds(path, "five") && lstat(link_path, &status) == 0 && S_ISLNK(status.st_mode),
           "through a symbolic link");
    report(image_write(&unit, "/dev/null", "x", 1) == NULL && stat("/dev/null", &status) == 0 &&
               S_ISCHR(status.st_mode),
           "to a device, which stays one");
    report(image_write(&unit, folder, "x", 1) != NULL, "not over a folder");
    report(image_write(&unit, "/nowhere/x.spcb", "x", 1) != NULL, "not to a folder that is not there");
    if (reader != NULL)
        fclose(reader);
    unlink(link_path);
    unlink(path);
    report(rmdir(folder) == 0, "and nothing is left behind");
    unit_close(&unit);
}

int
main(void)
{
    test_same();
    test_write();
    return failures > 0;
}
