/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/init.c – `albedo-reflector init`: from a token to a directory that serve can start
 * from.
 *
 *    what was typed → a directory → key → enrol (spends the token) → files → trust → reflector.conf
 *
 * The configuration is written last: its presence means "enrolled".  What the hub answered is kept
 * until then, so that running the same command again goes on where it stopped instead of
 * spending the token twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "net/x509.h"
#include "reflector/command.h"
#include "reflector/learn.h"
#include "store/disk/segment_store.h"
#include "transfer/enrol.h"

enum { ANSWER_MOST = 3 * JSON_PEM_MAX, CONFIG_MOST = 64 << 10 };

static const char ANSWER[] = "enrolled.json"; /* while init is under way */

struct init {
    const struct reflector_command *command;
    struct url hub;
    struct token token;
    struct reflector_config config;
    char *key_pem; /* owned; wiped */
    struct enrol_answer answer;
    bool was_enrolled; /* by an earlier run */
};

/* Each returns an exit code after saying what is wrong. */
static int read_typed(struct init *in);
static int make_dir(struct init *in);
static int make_key(struct init *in);
static int recall(struct init *in);
static int enrol_at_hub(struct init *in);
static int judge_answer(struct init *in);
static int write_files(struct init *in);
static int fetch_trust(struct init *in);
static int write_config(struct init *in);

int reflector_init_run(const struct reflector_command *c)
{
    static int (*const steps[])(struct init *) = {read_typed,  make_dir,     make_key,
                                                  recall,      enrol_at_hub, judge_answer,
                                                  write_files, fetch_trust,  write_config};
    struct init *in = xalloc(sizeof *in);
    int code = 0;

    in->command = c;
    for (size_t i = 0; i < ALB_COUNT(steps) && code == 0; i++)
        code = steps[i](in);
    if (in->key_pem != NULL)
        wipe(in->key_pem, strlen(in->key_pem));
    free(in->key_pem);
    wipe(&in->token, sizeof in->token);
    free(in);
    return code;
}

/* ---- what was typed ---- */

static int read_token(struct init *in)
{
    char line[TOKEN_TEXT_SIZE + 2] = "";
    const char *text = in->command->token;

    if (strcmp(text, "-") == 0) {
        if (fgets(line, sizeof line, stdin) == NULL)
            return reflector_fail(ALB_INVALID, "init: --token -: standard input is empty");
        line[strcspn(line, "\r\n")] = '\0';
        text = line;
    }
    struct alb_status st = token_parse(text, &in->token);
    wipe(line, sizeof line);
    if (alb_failed(st))
        return reflector_fail(ALB_INVALID,
                              "init: --token: %s; copy the whole line that `albedo token create "
                              "--role reflector` printed",
                              st.what);
    if (!in->token.has_trust_pin)
        return reflector_fail(ALB_REFUSED,
                              "init: --token: it pins no trust file, as the first admin's does; "
                              "ask for one made by `albedo token create --role reflector`");
    return 0;
}

static int read_parents(struct init *in)
{
    struct config_urls *urls = &in->config.parents;
    const char *const *typed = in->command->parents;

    for (; typed[urls->count] != NULL; urls->count++) {
        struct alb_status st = url_parse(typed[urls->count], &urls->at[urls->count]);
        if (alb_failed(st))
            return reflector_fail(ALB_INVALID, "init: --parent %s: %s", typed[urls->count],
                                  st.what);
    }
    if (urls->count == 0)
        urls->at[urls->count++] = in->hub;
    return 0;
}

static int read_typed(struct init *in)
{
    const struct reflector_command *c = in->command;

    reflector_config_defaults(&in->config);
    struct alb_status st = url_parse(c->hub, &in->hub);
    if (alb_failed(st))
        return reflector_fail(ALB_INVALID, "init: --hub %s: %s", c->hub, st.what);
    if (c->listen != NULL)
        st = listen_parse(c->listen, &in->config.listen);
    if (alb_failed(st))
        return reflector_fail(ALB_INVALID, "init: --listen %s: %s", c->listen, st.what);
    if (c->name != NULL)
        st = id_check(c->name);
    if (alb_failed(st))
        return reflector_fail(ALB_INVALID, "init: --name %s: %s", c->name, st.what);
    int code = read_parents(in);
    return code == 0 ? read_token(in) : code;
}

/* ---- the directory ---- */

static struct alb_status read_file(const struct init *in, const char *name, size_t most,
                                   struct buf *out)
{
    AUTO_FREE char *path = path_join(in->config.data, name);

    buf_init(out, most);
    return file_read(path, out);
}

static struct alb_status write_file(const struct init *in, const char *name, const char *text,
                                    unsigned mode)
{
    AUTO_FREE char *path = path_join(in->config.data, name);

    return file_replace(path, text, strlen(text), mode);
}

static int cannot_write(const struct init *in, struct alb_status st)
{
    return reflector_fail_status(st, "init: %s: it cannot be written", in->config.data);
}

static int make_dir(struct init *in)
{
    const char *dir = in->command->data;
    struct alb_status st = file_make_dir(dir, 0700);

    if (alb_failed(st))
        return reflector_fail_status(st, "init: --data %s: the directory cannot be made", dir);
    AUTO_FREE char *real = realpath(dir, NULL);
    if (real == NULL || strlen(real) >= sizeof in->config.data)
        return reflector_fail(ALB_INVALID, "init: --data %s: the path is too long", dir);
    memcpy(in->config.data, real, strlen(real) + 1);
    AUTO_FREE char *config = path_join(real, REFLECTOR_CONFIG);
    if (file_exists(config))
        return reflector_fail(ALB_REFUSED,
                              "init: %s: this box is enrolled already; start it with "
                              "`albedo-reflector serve --config %s`, or name another --data",
                              config, config);
    return 0;
}

/* The key of an earlier attempt is as good as a new one. */
static int make_key(struct init *in)
{
    struct buf old;
    struct alb_status st = read_file(in, REFLECTOR_KEY, REFLECTOR_PEM_MOST, &old);

    if (!alb_failed(st))
        in->key_pem = xstrndup((const char *)buf_peek(&old), buf_size(&old));
    if (old.bytes != NULL)
        wipe(old.bytes, old.capacity);
    buf_release(&old);
    if (st.code == ALB_NOT_FOUND) {
        st = x509_make_key(&in->key_pem);
        if (!alb_failed(st))
            st = write_file(in, REFLECTOR_KEY, in->key_pem, 0600);
    }
    return alb_failed(st) ? cannot_write(in, st) : 0;
}

/* ---- enrolling ---- */

/* Did an earlier run come this far, with this hub? */
static int recall(struct init *in)
{
    struct digest pin;
    struct buf text;
    struct alb_status st = read_file(in, ANSWER, ANSWER_MOST, &text);

    if (!alb_failed(st))
        st = enrol_answer_decode(buf_peek(&text), buf_size(&text), &in->answer);
    if (!alb_failed(st))
        st = x509_pin(in->answer.ca_pem, &pin);
    in->was_enrolled = !alb_failed(st) && digest_equal(&pin, &in->token.ca_pin);
    buf_release(&text);
    return 0;
}

static int tell_enrol_failure(const struct init *in, struct alb_status st, const char *message)
{
    if (message[0] != '\0')
        return reflector_fail(st.code, "init: hub %s: %s", in->command->hub, message);
    if (st.code == ALB_REFUSED || st.code == ALB_CORRUPT)
        return reflector_fail_status(st, "init: hub %s", in->command->hub);
    if (st.code == ALB_IO || st.code == ALB_NOT_FOUND)
        st.code = ALB_CLOSED; /* nobody was reached: a name without address, a closed port */
    return reflector_fail_status(
        st, "init: hub %s: is albedo-hub running there, and are host and port right?",
        in->command->hub);
}

static int enrol_at_hub(struct init *in)
{
    AUTO_FREE char *csr_pem = NULL;
    char message[ENROL_MESSAGE_SIZE];
    struct buf text;

    if (in->was_enrolled)
        return 0;
    struct alb_status st = x509_make_request(in->key_pem, &csr_pem);
    if (alb_failed(st))
        return reflector_fail_status(st,
                                     "init: %s/" REFLECTOR_KEY ": it is no usable key; "
                                     "remove it and run this again",
                                     in->config.data);
    struct enrolment enrolment = {.token = &in->token,
                                  .name = in->command->name == NULL ? "" : in->command->name,
                                  .csr_pem = csr_pem};
    (void)snprintf(enrolment.hub.host, sizeof enrolment.hub.host, "%s", in->hub.host);
    enrolment.hub.port = in->hub.port;
    st = enrol(&enrolment, &in->answer, message);
    if (alb_failed(st))
        return tell_enrol_failure(in, st, message);
    buf_init(&text, ANSWER_MOST);
    st = enrol_answer_encode(&in->answer, &text);
    if (!alb_failed(st))
        st = write_file(in, ANSWER, buf_text(&text), 0600);
    buf_release(&text);
    return alb_failed(st) ? cannot_write(in, st) : 0;
}

static int judge_answer(struct init *in)
{
    const struct enrol_answer *a = &in->answer;

    if (strcmp(a->role, role_name(ROLE_REFLECTOR)) != 0) {
        AUTO_FREE char *path = path_join(in->config.data, ANSWER);
        (void)unlink(path);
        return reflector_fail(ALB_REFUSED,
                              "init: the token is for the role %s, not for a reflector, and one "
                              "use of it is spent; ask for one made by `albedo token create "
                              "--role reflector`",
                              a->role);
    }
    if (alb_failed(id_check(a->device)) || (a->site[0] != '\0' && alb_failed(id_check(a->site))))
        return reflector_fail(ALB_CORRUPT,
                              "init: hub %s: it answers with a name that no program "
                              "of this version makes",
                              in->command->hub);
    memcpy(in->config.device, a->device, sizeof in->config.device);
    memcpy(in->config.site, a->site, sizeof in->config.site);
    in->config.trust_pin = in->token.trust_pin;
    return 0;
}

/* ---- keeping it ---- */

static int write_files(struct init *in)
{
    struct alb_status st = write_file(in, REFLECTOR_CERTIFICATE, in->answer.certificate_pem, 0644);

    if (!alb_failed(st))
        st = write_file(in, REFLECTOR_CA, in->answer.ca_pem, 0644);
    return alb_failed(st) ? cannot_write(in, st) : 0;
}

static int tell_trust_failure(const struct init *in, struct alb_status st, const char *message)
{
    const char *again = "; the box is enrolled: run the same command again to go on";

    if (st.code == ALB_NOT_FOUND)
        return reflector_fail(ALB_REFUSED,
                              "init: hub %s: it has no trust file, though the token pins one; was "
                              "it set up anew? Ask for a new token",
                              in->command->hub);
    return reflector_fail(st.code, "init: hub %s: fetching the trust file: %s%s", in->command->hub,
                          message[0] != '\0' ? message : st.what,
                          reflector_exit_code(st.code) == 5 ? again : "");
}

static int fetch_trust(struct init *in)
{
    const struct tls_options options = {.ca_pem = in->answer.ca_pem,
                                        .certificate_pem = in->answer.certificate_pem,
                                        .key_pem = in->key_pem};
    char message[LEARN_MESSAGE_SIZE] = "";
    struct catalogue *catalogue = NULL;
    struct tls_context *tls = NULL;
    AUTO_FREE char *path = path_join(in->config.data, REFLECTOR_CATALOGUE);

    struct alb_status st = disk_catalogue_open(path, &catalogue);
    if (alb_failed(st))
        return reflector_fail_status(st, "init: %s", path);
    st = tls_context_new(&options, &tls);
    if (!alb_failed(st))
        st = learn_trust(&in->hub, tls, &in->config.trust_pin, catalogue, message);
    tls_context_free(tls);
    catalogue_close(catalogue);
    return alb_failed(st) ? tell_trust_failure(in, st, message) : 0;
}

static int write_config(struct init *in)
{
    AUTO_FREE char *answer = path_join(in->config.data, ANSWER);
    AUTO_FREE char *path = path_join(in->config.data, REFLECTOR_CONFIG);
    const struct enrol_answer *a = &in->answer;
    struct buf text;

    buf_init(&text, CONFIG_MOST);
    struct alb_status st = reflector_config_write(&in->config, &text);
    if (!alb_failed(st))
        st = file_replace(path, buf_peek(&text), buf_size(&text), 0644);
    buf_release(&text);
    if (alb_failed(st))
        return cannot_write(in, st);
    (void)unlink(answer); /* no harm when it stays */
    printf("enrolled with %s as reflector %s%s%s\nnext: albedo-reflector serve --config %s\n",
           a->org, a->device, a->site[0] == '\0' ? "" : " of site ", a->site, path);
    return 0;
}
