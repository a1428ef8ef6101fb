/*
 * Text and the words that nginx makes of it, as a table. Words stand in the result as [word], with "{", "}" and ";"
 * between them; what is reported as wrong ends it with "!" and the codes.
 */
#include "spcc.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *result;
} cases[] = {
    {"a;", "[a];"},
    {"a b  c;", "[a][b][c];"},
    {"a\tb\r\nc;", "[a][b][c];"},
    {"a{b;}", "[a]{[b];}"},
    {"a {} b;", "[a]{}[b];"},
    {"# x;\na;", "[a];"},
    {"a#b;", "[a#b];"},
    {"a #b;\n;", "[a];"},
    {"a \"b c\";", "[a][b c];"},
    {"a 'b \"c';", "[a][b \"c];"},
    {"a \"\";", "[a][];"},
    {"a b\"c d\"e;", "[a][b\"c][d\"e];"},
    {"a \\\"b;", "[a][\"b];"},
    {"a \\ b;", "[a][\\ b];"},
    {"a \\;b;", "[a][\\;b];"},
    {"a b\\{c;", "[a][b\\{c];"},
    {"a \\t\\r\\n\\\\\\x;", "[a][\t\r\n\\\\x];"},
    {"a \"\\\"\\'\\$\";", "[a][\"'\\$];"},
    {"a 'it\\'s';", "[a][it's];"},
    {"a ${b};", "[a][${b}];"},
    {"a ${b{;}", "[a][${b]{}!SP021"},
    {"a $b{c;}", "[a][$b]{[c];}"},
    {"a ${{b};", "[a][${{b}];"},
    {"a $$ {};", "[a][$$]{}!SP021"},
    {"a x}y;", "[a][x}y];"},
    {"a \"x\"){}", "[a][x][)]{}"},
    {"a \"x\")y;", "[a][x][)y];"},
    {"a \"x\";", "[a][x];"},
    {"a \"x\"y;", "[a][x];!SP011"},
    {"\xef\xbb\xbf" "a;", "[a];"},
    {"a \xc3\xa9\xe2\x82\xac;", "[a][\xc3\xa9\xe2\x82\xac];"},
    {"a \xff;", "[a][\xff];"},
    {"a \"x;", "!SP010"},
    {"a b", "[a][b];!SP020"},
    {"a {b }", "[a]{[b];}!SP020"},
    {"a {b}", "[a]{[b}];}!SP020"},
    {"a {", "[a]{}!SP023"},
    {"}", "!SP022"},
    {";", "!SP021"},
    {"{}", "!SP024"},
    {"a\\", "!SP015"},
    {"x_by_lua_block { a = \"}\" -- }\n [[ } ]] { } } b;", "[x_by_lua_block];[b];"},
    {"", ""},
    {"   \n", ""},
    {"#", ""},
};

static void
print_nodes(FILE *file, const struct node *node)
{
    for (; node != NULL; node = node->next) {
        for (u32 i = 0; i < node->word_count; i++)
            fprintf(file, "[%s]", node->word[i].text);
        fputs(node->block ? "{" : ";", file);
        print_nodes(file, node->first);
        if (node->block)
            fputs("}", file);
    }
}

/* The codes of what was reported, from how it is printed. */
static void
print_codes(FILE *file, struct unit *unit)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    diag_print(unit, memory, false);
    fclose(memory);
    for (const char *at = text; (at = strstr(at, "[SP")) != NULL; at++)
        fprintf(file, "!%.5s", at + 1);
    free(text);
}

int
main(void)
{
    int failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct unit unit;
        char *result = NULL;
        size_t size = 0;
        unit_open(&unit);
        const struct source *source = source_of_text(&unit, "words", cases[i].text, (u32)strlen(cases[i].text));
        FILE *memory = open_memstream(&result, &size);
        print_nodes(memory, parse_file(&unit, source));
        print_codes(memory, &unit);
        fclose(memory);
        bool good = strcmp(result, cases[i].result) == 0;
        printf("%s words %zu\n", good ? "ok" : "not ok", i);
        if (!good)
            printf("    %s\n    expected %s\n    seen     %s\n", cases[i].text, cases[i].result, result);
        failures += !good;
        free(result);
        unit_close(&unit);
    }
    return failures > 0;
}
