/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_cli.c – command lines that are right,
 * and what is said about those that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "client/cli.h"

enum { WORDS_MAX = 16 };

/* A command line taken apart, and what was printed meanwhile. */
struct run {
    char *text; /* owned copy of the line */
    char *argv[WORDS_MAX];
    char *out_text, *err_text; /* owned */
    size_t out_size, err_size;
    struct output output;
    struct cli cli;
    enum exit_code code;
};

/* Words are separated by blanks; a word "''" is empty. */
static void parse(struct run *r, const char *line)
{
    int argc = 0;

    *r = (struct run){.text = xstrdup(line)};
    char *rest = r->text;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "))
        r->argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    output_init(&r->output, open_memstream(&r->out_text, &r->out_size),
                open_memstream(&r->err_text, &r->err_size));
    r->code = cli_parse(&r->cli, &r->output, argc, r->argv);
    fflush(r->output.out);
    fflush(r->output.err);
}

static void run_release(struct run *r)
{
    cli_release(&r->cli);
    fclose(r->output.out);
    fclose(r->output.err);
    output_release(&r->output);
    free(r->out_text);
    free(r->err_text);
    free(r->text);
}

static void options_may_stand_anywhere_and_in_both_spellings(void **state)
{
    struct run r;

    (void)state;
    parse(&r, "albedo --state=/s token create --role endpoint --uses=3 --json");
    assert_int_equal(r.code, EXIT_DONE);
    assert_string_equal(r.cli.command->words, "token create");
    assert_string_equal(cli_text(&r.cli, "state"), "/s");
    assert_string_equal(cli_text(&r.cli, "role"), "endpoint");
    assert_string_equal(cli_text(&r.cli, "uses"), "3");
    assert_null(cli_text(&r.cli, "site"));
    assert_true(r.output.json);
    assert_true(cli_flag(&r.cli, "json"));
    assert_false(cli_flag(&r.cli, "verbose"));
    run_release(&r);
}

static void two_dashes_end_the_options(void **state)
{
    struct run r;

    (void)state;
    parse(&r, "albedo trust delegate -- '' --json");
    assert_int_equal(r.code, EXIT_DONE);
    assert_int_equal(r.cli.word_count, 2);
    assert_string_equal(r.cli.words[0], "");
    assert_string_equal(r.cli.words[1], "--json");
    assert_false(r.output.json);
    run_release(&r);
}

static void a_wrong_command_line_is_refused_with_its_fault(void **state)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"albedo", "which command?"},
        {"albedo fly", "fly: no such command"},
        {"albedo token", "token: it needs another word"},
        {"albedo token destroy", "token destroy: no such command (see: albedo help token)"},
        {"albedo help policy chek", "policy chek: no such command (see: albedo help policy)"},
        {"albedo --role admin token create", "put it behind the command"},
        {"albedo status --colour", "--colour: no such option"},
        {"albedo status -j", "-j: no such option"},
        {"albedo status --json=yes", "--json takes no value"},
        {"albedo status --state", "--state needs a value: DIR"},
        {"albedo status --state a --state b", "--state: given twice"},
        {"albedo status now", "now: it takes no such word"},
        {"albedo promote", "it needs LAYER@VERSION"},
        {"albedo promote a@1 b@1", "b@1: one word too many"},
        {"albedo join --hub https://h:1", "it needs --token TOKEN"},
        {"albedo token create", "it needs --role ROLE"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        struct run r;

        parse(&r, rows[i].line);
        assert_int_equal(r.code, EXIT_USAGE);
        assert_non_null(strstr(r.err_text, rows[i].says));
        assert_non_null(strstr(r.err_text, "albedo help"));
        assert_string_equal(r.out_text, "");
        run_release(&r);
    }
}

static void help_needs_nothing_that_the_command_needs(void **state)
{
    static const struct {
        const char *line, *command;
    } rows[] = {
        {"albedo help", NULL},
        {"albedo --help", NULL},
        {"albedo -h", NULL},
        {"albedo help token create", "token create"},
        {"albedo join --help", "join"},
        {"albedo promote -h", "promote"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        struct run r;

        parse(&r, rows[i].line);
        assert_int_equal(r.code, EXIT_DONE);
        assert_true(r.cli.wants_help);
        if (rows[i].command == NULL)
            assert_null(r.cli.command);
        else
            assert_string_equal(r.cli.command->words, rows[i].command);
        run_release(&r);
    }
}

static void help_names_every_command_option_and_exit_code(void **state)
{
    struct run r;

    (void)state;
    parse(&r, "albedo help");
    cli_help(&r.output, NULL);
    fflush(r.output.out);
    for (size_t i = 0; i < command_count; i++) {
        fflush(r.output.out);
        assert_non_null(strstr(r.out_text, commands[i].words));
        cli_help(&r.output, &commands[i]);
    }
    fflush(r.output.out);
    for (size_t i = 0; i < command_option_count; i++)
        assert_non_null(strstr(r.out_text, command_options[i].name));
    for (int code = EXIT_DONE; code <= EXIT_DAMAGED; code++)
        assert_non_null(strstr(r.out_text, exit_code_text((enum exit_code)code)));
    run_release(&r);
}

static void a_number_is_held_to_its_range(void **state)
{
    static const char *const wrong[] = {"0", "11", "x", "-1", "1.5", "99999999999999999999"};
    uint64_t value = 0;
    struct run r;

    (void)state;
    parse(&r, "albedo trust init --keys 10");
    assert_int_equal(cli_number(&r.cli, "keys", 1, 10, 1, &value), EXIT_DONE);
    assert_int_equal(value, 10);
    assert_int_equal(cli_number(&r.cli, "threshold", 1, 10, 7, &value), EXIT_DONE);
    assert_int_equal(value, 7);
    run_release(&r);
    for (size_t i = 0; i < ALB_COUNT(wrong); i++) {
        AUTO_FREE char *line = xasprintf("albedo trust init --keys %s", wrong[i]);

        parse(&r, line);
        assert_int_equal(cli_number(&r.cli, "keys", 1, 10, 1, &value), EXIT_USAGE);
        assert_int_equal(value, 7);
        run_release(&r);
    }
}

static void a_command_s_words_are_found_and_no_part_of_them(void **state)
{
    size_t used = 0;

    (void)state;
    assert_non_null(command_find("status", "x", &used));
    assert_int_equal(used, 1);
    assert_non_null(command_find("token", "create", &used));
    assert_int_equal(used, 2);
    assert_null(command_find("stat", NULL, &used));
    assert_null(command_find("token", NULL, &used));
    assert_null(command_find("token", "creat", &used));
    assert_null(command_find("", NULL, &used));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere_and_in_both_spellings),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_wrong_command_line_is_refused_with_its_fault),
        cmocka_unit_test(help_needs_nothing_that_the_command_needs),
        cmocka_unit_test(help_names_every_command_option_and_exit_code),
        cmocka_unit_test(a_number_is_held_to_its_range),
        cmocka_unit_test(a_command_s_words_are_found_and_no_part_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
