/* SPDX-License-Identifier: Apache-2.0 */
/* crash/crash_endpoint.c – a half-applied target finishes or stays as it was; nothing is lost.
 * LINKS: image store wire chunk base support
 *
 * work/v/0 … are published trees, work/dir is the target.  A life pulls the version that work/want
 * names: finish what was begun, scan, stage, seal, prepare, replay.  Between lives the driver
 * mostly looks: the target is either what it was before (work/before), or, when a journal is there
 * or the new version is recorded, becomes the new version.  Then the owner changes something, which
 * must be found somewhere below the target ever after, and another version is wanted.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "crash/drive.h"
#include "support/pull.h"
#include "support/tree_diff.h"

enum { VERSIONS = 4, OWNERS_MOST = 400 };

static bool shell(const char *work, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd '%s' && { %s; } && true", work, script);

    return system(command) == 0 || crash_bug("%s", script);
}

/* Between any two of them every kind of operation occurs. */
static void prepare(const char *work)
{
    bool made = shell(
        work,
        "set -e; mkdir -p v/0 v/1 v/2 v/3; "
        "cd v/0; mkdir -p gone/deep stays tofile mixed; echo 1 >gone/deep/x; echo 2 >stays/x; "
        "echo 3 >tofile/x; echo 4 >mixed/x; echo 5 >todir; echo 6 >changed; echo 7 >same; "
        "ln same stays/link; ln -s same symlink; head -c 300000 /dev/urandom >large; "
        "cd ../1; mkdir -p stays todir new/deep; cp -a ../0/same ../0/symlink .; echo 2b >stays/x; "
        "echo 3b >tofile; echo 4b >mixed; echo 5b >todir/x; echo 6b >changed; echo n >new/deep/n; "
        "ln changed new/l; ln -s n new/s; mkfifo new/f; chmod 700 stays; chmod 600 same; "
        "(cat ../0/large; echo more) >large; "
        "cd ../2; cp -a ../0/. .; cp -a ../1/new .; rm -r gone; echo 7c >same; "
        "head -c 200000 ../0/large >large; for i in 1 2 3 4 5 6 7 8; do echo $i >stays/$i; done; "
        "cd ../3; mkdir -p todir/a/b; echo deep >todir/a/b/c; ln todir/a/b/c hard; "
        "head -c 90000 ../1/large >large; echo 6d >changed; touch -d @1000000000 changed");

    /* .albedo is there already: making it gives the target another time. */
    if (!made ||
        !shell(work, "cp -a v/0/. dir; mkdir -m 700 dir/.albedo; cp -a dir before; "
                     "rmdir before/.albedo; touch -r dir before; echo 0 >want; echo - >is"))
        abort();
}

static unsigned read_number(const char *work, const char *name)
{
    AUTO_FREE char *path = path_join(work, name);
    unsigned n = VERSIONS; /* "-" */
    FILE *file = fopen(path, "re");

    if (file == NULL)
        abort();
    if (fscanf(file, "%u", &n) != 1)
        n = VERSIONS;
    fclose(file);
    return n;
}

static bool say_done(const char *work)
{
    AUTO_FREE char *path = path_join(work, "done");

    return crash_ok(file_replace(path, "", 0, 0600), "acknowledging");
}

/* ---- a life ---------------------------------------------------------------------------------- */

static bool live(const char *work, uint64_t seed)
{
    unsigned want = read_number(work, "want");
    AUTO_FREE char *tree = xasprintf("%s/v/%u", work, want);
    AUTO_FREE char *target = path_join(work, "dir");
    AUTO_FREE char *cache = path_join(work, "cache");
    AUTO_FREE char *name = xasprintf("base/test@%u", want);
    struct pull p = {.target = target, .cache = cache, .options = {.version = name}};
    struct version v;

    (void)seed;
    struct alb_status st = version_make(tree, &v);
    if (!alb_failed(st))
        st = pull_run(&p, &v);
    bool good = crash_ok(st, p.path[0] == '\0' ? "pulling" : p.path);
    if (good)
        good = say_done(work);
    apply_result_release(&p.result);
    version_release(&v);
    return good;
}

/* ---- between lives --------------------------------------------------------------------------- */

static void find_owners(void *arg, const char *line)
{
    const char **target = arg;

    if (*target == NULL || strncmp(line, "owner ", 6) != 0 || tree_has_text(*target, line))
        return;
    crash_bug("%s is nowhere below the target", line);
    *target = NULL;
}

static bool owners_are_there(const char *work)
{
    AUTO_FREE char *target = path_join(work, "dir");
    const char *top = target;

    expect_read(work, find_owners, &top);
    return top != NULL;
}

/* NULL, or how the target differs; heap. */
static char *diff_from(const char *work, const char *name, bool more)
{
    AUTO_FREE char *want = path_join(work, name);
    AUTO_FREE char *target = path_join(work, "dir");

    return tree_diff(want, target, more);
}

static bool is_version(const char *work, unsigned n)
{
    AUTO_FREE char *name = xasprintf("v/%u", n);
    AUTO_FREE char *diff = diff_from(work, name, true);

    return diff == NULL || crash_bug("it is to be version %u: %s", n, diff);
}

/* A pull of what is there already may have been done or not. */
static bool is_as_before(const char *work, bool or_done, unsigned want)
{
    AUTO_FREE char *name = xasprintf("v/%u", want);
    AUTO_FREE char *diff = diff_from(work, "before", false);
    AUTO_FREE char *done = or_done ? diff_from(work, name, true) : xstrdup("");

    return diff == NULL || done == NULL || crash_bug("nothing was to change yet: %s", diff);
}

/* What the record says is there; VERSIONS when there is none. */
static bool recorded(const char *target, unsigned *out)
{
    struct applied a;
    struct alb_status st = applied_read(target, &a);

    *out = VERSIONS;
    if (st.code == ALB_NOT_FOUND)
        return true;
    if (!crash_ok(st, "the applied record"))
        return false;
    bool good = sscanf(a.version, "base/test@%u", out) == 1;
    applied_release(&a);
    return good || crash_bug("the applied record names %s", a.version);
}

/* Finishes what is half done; *is says what the target is then. */
static bool check_target(const char *work, unsigned want, unsigned *is)
{
    AUTO_FREE char *target = path_join(work, "dir");
    AUTO_FREE char *done = path_join(work, "done");
    struct apply_result result = {0};
    unsigned was = read_number(work, "is");
    struct alb_status st = apply_replay(target, &result);
    bool finished = st.code != ALB_NOT_FOUND;

    apply_result_release(&result);
    if ((finished && !crash_ok(st, "finishing")) || !recorded(target, is))
        return false;
    if (file_exists(done) && *is != want)
        return crash_bug("version %u was acknowledged, but it is %u", want, *is);
    if (*is == want && (finished || want != was || file_exists(done)))
        return is_version(work, want);
    if (*is != was || finished)
        return crash_bug("it was %u, is to become %u, but is %u", was, want, *is);
    return is_as_before(work, want == was, want);
}

/* Something of the owner's: a file of its own, or a change of what came with the version. */
static bool owner_writes(const char *work, struct gen *g)
{
    static const char *const places[] = {"mine", "stays/mine", "new/mine", "todir/mine",
                                         "mixed/mine"};
    static const char *const files[] = {"changed", "stays/x", "same", "todir", "large"};
    char line[64];

    snprintf(line, sizeof line, "owner %llx", (unsigned long long)gen_u64(g));
    AUTO_FREE char *place = gen_chance(g, 1, 2)
                                ? xasprintf("%s-%u", places[gen_below(g, ALB_COUNT(places))],
                                            (unsigned)gen_below(g, 1000000))
                                : xstrdup(files[gen_below(g, ALB_COUNT(files))]);
    AUTO_FREE char *script = xasprintf("p='dir/%s'; if [ -d \"$(dirname $p)\" ] && [ ! -d $p ] && "
                                       "! grep -qs ^owner $p; then printf '%s' >$p; "
                                       "echo '%s' >>expect; fi",
                                       place, line, line);

    return shell(work, script);
}

static bool between(const char *work, struct gen *g)
{
    unsigned want = read_number(work, "want");
    unsigned is;

    if (gen_chance(g, 1, 3)) /* nobody looks: the next pull finds it as it is */
        return owners_are_there(work);
    if (!check_target(work, want, &is) || !owners_are_there(work))
        return false;
    for (uint64_t n = gen_below(g, 3); n > 0; n--)
        if (!owner_writes(work, g))
            return false;
    AUTO_FREE char *script =
        xasprintf("rm -rf before done; mkdir before; cp -a dir/. before; rm -rf before/.albedo; "
                  "touch -r dir before; echo %u >want; echo %u >is",
                  (unsigned)gen_below(g, VERSIONS), is);
    return shell(work, script);
}

int main(int argc, char **argv)
{
    static const struct crash_actor actor = {
        .name = "crash_endpoint", .prepare = prepare, .live = live, .between = between};

    return crash_main(&actor, argc, argv);
}
