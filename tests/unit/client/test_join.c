/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_join.c – joining, trust and tokens against a hub of a few lines that may lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/cli.h"
#include "client/state.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/x509.h"
#include "support/tmpdir.h"
#include "wire/json.h"
#include "wire/token.h"
#include "wire/trust.h"

#define LAYERS_BODY                                                                                \
    "{\"layers\":[{\"layer\":\"base\",\"current\":\"2\",\"head_expires\":1763769600,\"versions\":" \
    "[{\"version\":\"1\",\"entries\":3,\"content_bytes\":1500},"                                   \
    "{\"version\":\"2\",\"entries\":4,\"content_bytes\":2500}]}]}"

enum { WORDS_MAX = 24, TRUST_FILES_MAX = 4 };

/* ---- a hub that keeps trust files, enrols whoever comes, and lies as told ---- */

struct fake_hub {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;
    char *ca_key, *ca_pem;
    struct sign_secret online;
    struct buf trust[TRUST_FILES_MAX];
    size_t trust_count;
    struct timer watch; /* polls `stopping`, which the test's thread sets */
    _Atomic bool stopping;
    pthread_t thread;
    /* lies, set before the request they spoil */
    enum role role;
    const char *answer_role; /* what the JSON says instead of the certificate */
    unsigned refuse_status;  /* answer this to everything */
    const char *status_body; /* instead of the true one */
    bool answers_other_ca;
    unsigned sessions; /* the loop's thread counts them */
};

static void answer_text(struct http_exchange *x, unsigned status, const char *text)
{
    http_answer(x, status, "application/json", text, strlen(text));
}

static void answer_enrol(struct fake_hub *h, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x);
    AUTO_FREE struct enrol_request *request = xalloc(sizeof *request);
    AUTO_FREE struct enrol_answer *answer = xalloc(sizeof *answer);
    AUTO_FREE char *certificate = NULL;
    struct identity who = {.role = h->role, .org = "acme", .device = "dev1"};
    char serial[SERIAL_HEX_SIZE];
    struct buf out;

    alb_assert(!alb_failed(enrol_request_decode(buf_peek(body), buf_size(body), request)));
    const struct x509_issue issue = {.ca_key_pem = h->ca_key,
                                     .ca_certificate_pem = h->ca_pem,
                                     .csr_pem = request->csr_pem,
                                     .who = &who,
                                     .now_wall_s = loop_wall_s(h->loop),
                                     .lifetime_s = 3600};
    alb_assert(!alb_failed(x509_issue(&issue, &certificate, serial)));
    snprintf(answer->org, sizeof answer->org, "acme");
    snprintf(answer->device, sizeof answer->device, "dev1");
    snprintf(answer->role, sizeof answer->role, "%s",
             h->answer_role != NULL ? h->answer_role : role_name(h->role));
    snprintf(answer->certificate_pem, sizeof answer->certificate_pem, "%s", certificate);
    snprintf(answer->ca_pem, sizeof answer->ca_pem, "%s", h->ca_pem);
    if (h->answers_other_ca) {
        AUTO_FREE char *key = NULL;
        AUTO_FREE char *pem = NULL;
        alb_assert(!alb_failed(x509_make_ca("acme", loop_wall_s(h->loop), &key, &pem)));
        snprintf(answer->ca_pem, sizeof answer->ca_pem, "%s", pem);
    }
    buf_init(&out, 128 << 10);
    alb_assert(!alb_failed(enrol_answer_encode(answer, &out)));
    http_answer(x, 200, "application/json", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

static void answer_trust(struct fake_hub *h, struct http_exchange *x)
{
    unsigned long version = strtoul(http_exchange_path(x) + strlen("/v1/trust/"), NULL, 10);

    if (version == 0 || version > h->trust_count)
        answer_text(x, 404, "{\"code\":\"not found\",\"message\":\"no such trust file\"}");
    else
        http_answer(x, 200, "application/octet-stream", buf_peek(&h->trust[version - 1]),
                    buf_size(&h->trust[version - 1]));
}

static void take_trust(struct fake_hub *h, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x);
    struct buf *to = &h->trust[h->trust_count++];

    alb_assert(h->trust_count <= TRUST_FILES_MAX);
    buf_init(to, 1 << 20);
    alb_assert(!alb_failed(buf_append(to, buf_peek(body), buf_size(body))));
    answer_text(x, 200, "{}");
}

static void answer_status(struct fake_hub *h, struct http_exchange *x)
{
    struct sign_public pub;
    char hex[2 * SIGN_PUBLIC_SIZE + 1], body[200];

    sign_public_of(&h->online, &pub);
    bytes_hex(pub.bytes, SIGN_PUBLIC_SIZE, hex);
    snprintf(body, sizeof body, "{\"org\":\"acme\",\"program\":\"albedo-hub\",\"hub_key\":\"%s\"}",
             hex);
    answer_text(x, 200, h->status_body != NULL ? h->status_body : body);
}

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
    return 1 << 20;
}

static void on_request(void *arg, struct http_exchange *x)
{
    struct fake_hub *h = arg;
    const char *path = http_exchange_path(x);

    if (h->refuse_status != 0)
        answer_text(x, h->refuse_status, "{\"code\":\"refused\",\"message\":\"the fake says no\"}");
    else if (strcmp(path, "/v1/enrol") == 0)
        answer_enrol(h, x);
    else if (strncmp(path, "/v1/trust/", 10) == 0)
        answer_trust(h, x);
    else if (strcmp(path, "/v1/trust-put") == 0)
        take_trust(h, x);
    else if (strcmp(path, "/v1/status") == 0)
        answer_status(h, x);
    else if (strcmp(path, "/v1/token") == 0)
        answer_text(x, 200, "{\"token\":\"alb1.the.token\"}");
    else if (strcmp(path, "/v1/layers") == 0)
        answer_text(x, 200, LAYERS_BODY);
    else if (strcmp(path, "/v1/devices") == 0)
        answer_text(x, 200,
                    "{\"devices\":[{\"device\":\"dev1\",\"role\":\"admin\",\"revoked\":true,"
                    "\"online\":true,\"where\":\"oslo\",\"by\":\"box1\",\"through\":\"hub\"}]}");
    else if (strcmp(path, "/v1/promote") == 0 || strcmp(path, "/v1/revoke") == 0)
        answer_text(x, 200, "{}");
    else
        answer_text(x, 404, "{}");
}

static void on_closed(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
}

static void on_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct fake_hub *h = arg;

    (void)s;
    (void)st;
    h->sessions--;
}

static const struct http_server_ops hub_ops = {.head = on_head,
                                               .request = on_request,
                                               .closed = on_closed,
                                               .session_closed = on_session_closed};

static void on_accept(void *arg, struct stream *stream)
{
    static const struct http_session_options options = {.idle_timeout_ns = 0};
    struct fake_hub *h = arg;

    h->sessions++;
    http_serve(stream, &options, &hub_ops, h);
}

static void watch(void *arg)
{
    struct fake_hub *h = arg;

    if (h->stopping &&
        h->sessions == 0) /* the commands have hung up; their lines end by themselves */
        loop_stop(h->loop);
    else
        timer_set_in(&h->watch, 2000000);
}

static void *hub_main(void *arg)
{
    struct fake_hub *h = arg;

    loop_run(h->loop);
    return NULL;
}

static void open_tls(struct fake_hub *h)
{
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *csr = NULL;
    AUTO_FREE char *certificate = NULL;
    const struct identity who = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    char serial[SERIAL_HEX_SIZE];
    int64_t now = loop_wall_s(h->loop);

    alb_assert(!alb_failed(x509_make_ca("acme", now, &h->ca_key, &h->ca_pem)));
    alb_assert(!alb_failed(x509_make_key(&key)));
    alb_assert(!alb_failed(x509_make_request(key, &csr)));
    const struct x509_issue issue = {.ca_key_pem = h->ca_key,
                                     .ca_certificate_pem = h->ca_pem,
                                     .csr_pem = csr,
                                     .who = &who,
                                     .now_wall_s = now,
                                     .lifetime_s = 3600};
    alb_assert(!alb_failed(x509_issue(&issue, &certificate, serial)));
    AUTO_FREE char *chain = xasprintf("%s%s", certificate, h->ca_pem);
    const struct tls_options options = {.ca_pem = h->ca_pem,
                                        .certificate_pem = chain,
                                        .key_pem = key,
                                        .is_server = true,
                                        .ask_client_certificate = true};
    alb_assert(!alb_failed(tls_context_new(&options, &h->tls)));
}

static struct fake_hub *fake_hub_start(void)
{
    struct fake_hub *h = xalloc(sizeof *h);
    struct sign_public pub;

    h->loop = loop_new(&(struct loop_options){.workers = 1});
    h->role = ROLE_ADMIN;
    sign_generate(&h->online, &pub);
    open_tls(h);
    const struct listen_options options = {.address = "127.0.0.1", .tls = h->tls};
    assert_int_equal(loop_listen(h->loop, &options, on_accept, h, &h->listener).code, ALB_OK);
    timer_init(&h->watch, h->loop, watch, h);
    timer_set_in(&h->watch, 0);
    assert_int_equal(pthread_create(&h->thread, NULL, hub_main, h), 0);
    return h;
}

static void fake_hub_stop(struct fake_hub *h)
{
    h->stopping = true;
    pthread_join(h->thread, NULL);
    listener_free(h->listener);
    loop_free(h->loop);
    tls_context_free(h->tls);
    for (size_t i = 0; i < h->trust_count; i++)
        buf_release(&h->trust[i]);
    free(h->ca_key);
    free(h->ca_pem);
    free(h);
}

/* ---- commands as a person types them ---- */

struct fixture {
    struct tmpdir *dir;
    struct fake_hub *hub;
    char *out, *err; /* owned: of the last command */
    size_t out_size, err_size;
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof *f);

    f->dir = tmpdir_open();
    f->hub = fake_hub_start();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fake_hub_stop(f->hub);
    tmpdir_close(f->dir);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

static int run_line(struct fixture *f, const char *line)
{
    AUTO_FREE char *copy = xstrdup(line);
    char program[] = "albedo";
    char *argv[WORDS_MAX] = {program};
    char *rest = copy;
    struct output output;
    struct cli cli;
    int argc = 1;

    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    }
    free(f->out);
    free(f->err);
    output_init(&output, open_memstream(&f->out, &f->out_size),
                open_memstream(&f->err, &f->err_size));
    output.err_is_terminal = false;
    enum exit_code code = cli_parse(&cli, &output, argc, argv);
    if (code == EXIT_DONE)
        code = cli.command->run(&cli);
    cli_release(&cli);
    code = output_finish(&output, code);
    fclose(output.out);
    fclose(output.err);
    output_release(&output);
    return (int)code;
}

/* The command line, with --state DIR/NAME behind it. */
static int ALB_PRINTF(3, 4) run(struct fixture *f, const char *name, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;

    va_start(args, format);
    assert_true(vasprintf(&text, format, args) >= 0);
    va_end(args);
    AUTO_FREE char *line = xasprintf("%s --state %s/%s", text, f->dir->path, name);
    return run_line(f, line);
}

/* A token for the hub as it is: pinning trust file 1 when there is one and `pins_trust`. */
static void make_token(const struct fixture *f, bool pins_trust, char *out)
{
    struct token token;

    token_make(&token);
    assert_int_equal(x509_pin(f->hub->ca_pem, &token.ca_pin).code, ALB_OK);
    token.has_trust_pin = pins_trust;
    if (pins_trust)
        sha256(buf_peek(&f->hub->trust[0]), buf_size(&f->hub->trust[0]), &token.trust_pin);
    token_format(&token, out);
}

static int join(struct fixture *f, const char *name, enum role role, bool pins_trust)
{
    char token[TOKEN_TEXT_SIZE];

    f->hub->role = role;
    make_token(f, pins_trust, token);
    return run(f, name, "join --hub https://127.0.0.1:%u --token %s",
               (unsigned)listener_port(f->hub->listener), token);
}

static bool is_joined(const struct fixture *f, const char *name)
{
    AUTO_FREE char *path = path_join(f->dir->path, name);

    return state_is_joined(path);
}

/* ---- joining ---- */

static void the_first_admin_joins_and_makes_trust_file_1(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "admin", ROLE_ADMIN, false), EXIT_DONE);
    assert_non_null(strstr(f->out, "joined acme as admin dev1"));
    assert_non_null(strstr(f->out, "albedo trust init"));
    assert_int_equal(run(f, "admin", "trust init"), EXIT_DONE);
    assert_non_null(strstr(f->out, "may publish every layer"));
    assert_int_equal(f->hub->trust_count, 1);
    struct trust trust;
    assert_int_equal(
        trust_decode(buf_peek(&f->hub->trust[0]), buf_size(&f->hub->trust[0]), NULL, NULL, &trust)
            .code,
        ALB_OK);
    struct sign_public online;
    sign_public_of(&f->hub->online, &online);
    assert_memory_equal(&trust.hub_key, &online, sizeof online);
    assert_int_equal(trust.delegation_count, 1);
    trust_release(&trust);
}

static void trust_init_twice_changes_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "admin", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "admin", "trust init --no-self-publish"), EXIT_DONE);
    assert_int_equal(run(f, "admin", "trust init"), EXIT_DONE);
    assert_non_null(strstr(f->out, "in force already"));
    assert_int_equal(f->hub->trust_count, 1);
    assert_int_equal(join(f, "admin2", ROLE_ADMIN, true), EXIT_DONE);
    assert_int_equal(run(f, "admin2", "trust init"), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "other root keys"));
}

static void a_publisher_is_told_what_the_admin_must_run(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "admin", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "admin", "trust init --keys 3 --threshold 2"), EXIT_DONE);
    assert_int_equal(join(f, "pub", ROLE_PUBLISHER, true), EXIT_DONE);
    const char *key = strstr(f->out, "albedo trust delegate PREFIX ");
    assert_non_null(key);
    AUTO_FREE char *hex = xstrndup(key + strlen("albedo trust delegate PREFIX "), 64);
    assert_int_equal(run(f, "admin", "trust delegate app %s", hex), EXIT_DONE);
    assert_int_equal(f->hub->trust_count, 2);
    assert_int_equal(run(f, "admin", "trust delegate app %s", hex), EXIT_DONE);
    assert_int_equal(f->hub->trust_count, 2);
    assert_int_equal(run(f, "pub", "trust show"), EXIT_DONE);
    assert_non_null(strstr(f->out, "trust file 2 of acme"));
    assert_non_null(strstr(f->out, "(2 of 3 must sign)"));
    assert_non_null(strstr(f->out, hex));
    assert_int_equal(run(f, "pub", "trust delegate app %s", hex), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "an admin's work"));
}

static void root_keys_that_are_elsewhere_are_asked_for(void **state)
{
    struct fixture *f = *state;
    char key[65];

    memset(key, 'a', 64);
    key[64] = '\0';
    assert_int_equal(join(f, "admin", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "admin", "trust delegate app %s", key), EXIT_NOT_FOUND);
    assert_non_null(strstr(f->err, "albedo trust init"));
    assert_int_equal(run(f, "admin", "trust init"), EXIT_DONE);
    AUTO_FREE char *root = tmpdir_path(f->dir, "admin/roots/1.key");
    assert_int_equal(remove(root), 0);
    assert_int_equal(run(f, "admin", "trust delegate app %s", key), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "holds 0 of them"));
}

static void a_state_that_is_a_member_is_only_replaced_by_force(void **state)
{
    struct fixture *f = *state;
    char token[TOKEN_TEXT_SIZE];

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "--force"));
    make_token(f, false, token);
    assert_int_equal(run(f, "s", "join --force --hub https://127.0.0.1:%u --token %s",
                         (unsigned)listener_port(f->hub->listener), token),
                     EXIT_DONE);
    assert_int_equal(run(f, "s", "status"), EXIT_DONE);
    assert_non_null(strstr(f->out, "dev1 of acme"));
}

/* ---- hubs that are not what the token promised ---- */

static void a_hub_of_another_ca_is_refused(void **state)
{
    struct fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct token token;

    token_make(&token);
    token_format(&token, text);
    assert_int_equal(run(f, "s", "join --hub https://127.0.0.1:%u --token %s",
                         (unsigned)listener_port(f->hub->listener), text),
                     EXIT_REFUSED);
    assert_non_null(strstr(f->err, "not the one that the token names"));
    assert_false(is_joined(f, "s"));
}

static void an_answer_that_names_another_ca_is_refused(void **state)
{
    struct fixture *f = *state;

    f->hub->answers_other_ca = true;
    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "not the one the token names"));
    assert_false(is_joined(f, "s"));
}

static void a_certificate_that_says_otherwise_is_refused(void **state)
{
    struct fixture *f = *state;

    f->hub->answer_role = "publisher";
    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DAMAGED);
    assert_non_null(strstr(f->err, "names somebody else"));
    assert_false(is_joined(f, "s"));
}

static void another_trust_file_than_the_pinned_one_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "admin", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "admin", "trust init"), EXIT_DONE);
    char token[TOKEN_TEXT_SIZE];
    make_token(f, true, token);
    f->hub->trust_count = 0; /* set up anew: another trust file 1 */
    buf_release(&f->hub->trust[0]);
    f->hub->role = ROLE_ENDPOINT;
    unsigned port = listener_port(f->hub->listener);
    assert_int_equal(run(f, "pc", "join --hub https://127.0.0.1:%u --token %s", port, token),
                     EXIT_REFUSED);
    assert_non_null(strstr(f->err, "Ask for a new token"));
    f->hub->role = ROLE_ADMIN;
    assert_int_equal(join(f, "admin2", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "admin2", "trust init"), EXIT_DONE);
    f->hub->role = ROLE_ENDPOINT;
    assert_int_equal(run(f, "pc", "join --hub https://127.0.0.1:%u --token %s", port, token),
                     EXIT_REFUSED);
    assert_non_null(strstr(f->err, "not the one the token was made for"));
    assert_false(is_joined(f, "pc"));
}

static void only_an_admin_s_token_may_pin_no_trust_file(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "pc", ROLE_ENDPOINT, false), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "pins no trust file"));
    assert_false(is_joined(f, "pc"));
}

static void a_reflector_s_token_is_not_for_albedo(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_REFLECTOR, false), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "albedo-reflector init"));
    assert_false(is_joined(f, "s"));
}

static void a_refusal_is_told_in_the_hub_s_words(void **state)
{
    struct fixture *f = *state;

    f->hub->refuse_status = 403;
    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "hub https://127.0.0.1:"));
    assert_non_null(strstr(f->err, "the fake says no"));
    f->hub->refuse_status = 0;
    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    f->hub->refuse_status = 403;
    assert_int_equal(run(f, "s", "token create --role admin"), EXIT_REFUSED);
    assert_non_null(strstr(f->err, "the fake says no (asked as admin dev1 of acme)"));
    assert_string_equal(f->out, "");
    f->hub->refuse_status = 507;
    assert_int_equal(run(f, "s", "layers"), EXIT_FULL);
}

/* ---- nobody there ---- */

static void a_hub_that_is_not_there_is_told_with_its_address(void **state)
{
    struct fixture *f = *state;
    char token[TOKEN_TEXT_SIZE];

    make_token(f, false, token);
    assert_int_equal(run(f, "s", "join --hub https://127.0.0.1:1 --token %s", token),
                     EXIT_UNREACHABLE);
    assert_non_null(strstr(f->err, "https://127.0.0.1:1"));
    assert_non_null(strstr(f->err, "Connection refused"));
    assert_non_null(strstr(f->err, "host and port"));
    assert_null(strstr(f->err, "event="));
}

static void status_shows_what_is_known_here_without_a_hub(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    f->hub->stopping = true;
    pthread_join(f->hub->thread, NULL);
    listener_free(f->hub->listener);
    const struct listen_options options = {.address = "127.0.0.1", .tls = f->hub->tls};
    assert_int_equal(loop_listen(f->hub->loop, &options, on_accept, f->hub, &f->hub->listener).code,
                     ALB_OK);
    f->hub->stopping = false;
    timer_set_in(&f->hub->watch, 0);
    assert_int_equal(pthread_create(&f->hub->thread, NULL, hub_main, f->hub), 0);
    assert_int_equal(run(f, "s", "status"), EXIT_UNREACHABLE);
    assert_non_null(strstr(f->out, "dev1 of acme"));
    assert_non_null(strstr(f->err, "is albedo-hub running there"));
    assert_int_equal(run(f, "s", "status --json"), EXIT_UNREACHABLE);
    assert_non_null(strstr(f->out, "{\"self\":{\"org\":\"acme\""));
    assert_null(strstr(f->out, "parent"));
}

/* ---- the rest of the commands ---- */

static void a_token_is_alone_on_standard_output(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "s", "token create --role reflector --site lyon --expires 24h"),
                     EXIT_DONE);
    assert_string_equal(f->out, "alb1.the.token\n");
    assert_non_null(strstr(f->err, "reflector token"));
    assert_int_equal(run(f, "s", "token create --role reflector"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role king"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role endpoint --site A_B"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role endpoint --expires 7"), EXIT_USAGE);
    assert_non_null(strstr(f->err, "a duration needs a unit"));
    assert_int_equal(run(f, "s", "token create --role endpoint --expires 5ms"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role admin --layers base"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role endpoint --layers base,,x"), EXIT_USAGE);
    assert_int_equal(run(f, "s", "token create --role endpoint --layers base,app/x"), EXIT_DONE);
}

static void lists_are_tables_or_json(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    assert_int_equal(run(f, "s", "layers"), EXIT_DONE);
    assert_non_null(strstr(f->out, "\nbase   1        -        1.5 kB        3  -"));
    assert_non_null(strstr(f->out, "\nbase   2        current  2.5 kB        4  -"));
    assert_int_equal(run(f, "s", "layers --json"), EXIT_DONE);
    assert_string_equal(f->out, LAYERS_BODY "\n");
    assert_int_equal(run(f, "s", "devices"), EXIT_DONE);
    assert_non_null(strstr(f->out, "  ROLE   SITE  ONLINE  WHERE  BY    THROUGH  SEEN  REVOKED"));
    assert_non_null(strstr(f->out, "dev1    admin  -     yes     oslo   box1  hub      -     yes"));
    assert_int_equal(run(f, "s", "promote base@1"), EXIT_DONE);
    assert_string_equal(f->out, "promoted: base@1\n");
    assert_int_equal(run(f, "s", "revoke dev1 --json"), EXIT_DONE);
    assert_string_equal(f->out, "{\"event\":\"revoked\",\"name\":\"dev1\"}\n");
    assert_int_equal(run(f, "s", "revoke DEV"), EXIT_USAGE);
}

static void a_status_without_hub_key_stops_trust_init(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    f->hub->status_body = "{\"org\":\"acme\"}";
    assert_int_equal(run(f, "s", "trust init"), EXIT_DAMAGED);
    assert_non_null(strstr(f->err, "hub_key"));
    f->hub->status_body = "<html>";
    assert_int_equal(run(f, "s", "trust init"), EXIT_DAMAGED);
    assert_non_null(strstr(f->err, "no JSON"));
    assert_int_equal(f->hub->trust_count, 0);
}

static void damaged_files_of_the_state_are_told(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(join(f, "s", ROLE_ADMIN, false), EXIT_DONE);
    tmpdir_write(f->dir, "s/key.pem", "rubbish", 7);
    assert_int_equal(run(f, "s", "status"), EXIT_DAMAGED);
    assert_non_null(strstr(f->err, "join anew with --force"));
    tmpdir_write(f->dir, "s/identity.json", "rubbish", 7);
    assert_int_equal(run(f, "s", "status"), EXIT_DAMAGED);
    assert_non_null(strstr(f->err, "join anew with --force"));
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(the_first_admin_joins_and_makes_trust_file_1),
        ROW(trust_init_twice_changes_nothing),
        ROW(a_publisher_is_told_what_the_admin_must_run),
        ROW(root_keys_that_are_elsewhere_are_asked_for),
        ROW(a_state_that_is_a_member_is_only_replaced_by_force),
        ROW(a_hub_of_another_ca_is_refused),
        ROW(an_answer_that_names_another_ca_is_refused),
        ROW(a_certificate_that_says_otherwise_is_refused),
        ROW(another_trust_file_than_the_pinned_one_is_refused),
        ROW(only_an_admin_s_token_may_pin_no_trust_file),
        ROW(a_reflector_s_token_is_not_for_albedo),
        ROW(a_refusal_is_told_in_the_hub_s_words),
        ROW(a_hub_that_is_not_there_is_told_with_its_address),
        ROW(status_shows_what_is_known_here_without_a_hub),
        ROW(a_token_is_alone_on_standard_output),
        ROW(lists_are_tables_or_json),
        ROW(a_status_without_hub_key_stops_trust_init),
        ROW(damaged_files_of_the_state_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
