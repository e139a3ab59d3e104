/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/tree_job.c – caps on what several leaves send together.
 *
 * Leaves whose job is exhausted wait in its line, not in a ring.  As its budget grows, as many are
 * let go on as it has room for packets, and one more each packet time: who was let go on may be
 * held up elsewhere (at the ceiling of its site) and must not hold up the others.
 */
#include "shaper/tree_impl.h"

#include "base/alloc.h"
#include "base/status.h"

enum { JOB_BURST_MIN = 3000, JOB_BURSTS_PER_S = 50, JOB_BURST_MAX = 1 << 30, BITS = 8 };

static uint32_t job_burst(uint64_t rate_bps)
{
    uint64_t bytes = rate_bps / BITS / JOB_BURSTS_PER_S;

    if (bytes > JOB_BURST_MAX)
        return JOB_BURST_MAX;
    return bytes < JOB_BURST_MIN ? JOB_BURST_MIN : (uint32_t)bytes;
}

struct tree_job *tree_job_new(struct tree *t, uint64_t ceiling_bps, uint64_t now_ns)
{
    struct tree_job *j = xalloc(sizeof *j);

    tree_clock(t, now_ns);
    j->tree = t;
    bucket_init(&j->ceiling, ceiling_bps, job_burst(ceiling_bps));
    wheel_entry_init(&j->wake);
    t->jobs++;
    return j;
}

struct tree_job *tree_job_free(struct tree_job *j)
{
    if (j == NULL)
        return NULL;
    alb_assert(j->leaves == 0 && !wheel_entry_is_set(&j->wake));
    j->tree->jobs--;
    free(j);
    return NULL;
}

bool job_is_closed(const struct tree_node *leaf, uint64_t now_ns)
{
    const struct tree_job *j = leaf->job;

    if (j == NULL)
        return false;
    return (j->first != NULL && j->first != leaf) ||
           bucket_eligible_ns(&j->ceiling, TREE_GRANT_MIN) > now_ns;
}

/* Not before `least_ns`. */
static void set_wake(struct tree_job *j, uint64_t least_ns)
{
    uint64_t at_ns = bucket_eligible_ns(&j->ceiling, TREE_GRANT_MIN);

    if (at_ns < least_ns)
        at_ns = least_ns;
    if (j->first == NULL || at_ns == BUCKET_NEVER)
        wheel_remove(&j->tree->waiting_jobs, &j->wake);
    else
        wheel_set(&j->tree->waiting_jobs, &j->wake, at_ns);
}

void job_enter(struct tree_node *leaf, uint64_t now_ns)
{
    struct tree_job *j = leaf->job;

    if (leaf->is_in_job)
        return;
    leaf->is_in_job = true;
    leaf->job_prev = j->last;
    leaf->job_next = NULL;
    if (j->last != NULL)
        j->last->job_next = leaf;
    else
        j->first = leaf;
    j->last = leaf;
    if (!wheel_entry_is_set(&j->wake))
        set_wake(j, now_ns);
}

void job_leave(struct tree_node *leaf)
{
    struct tree_job *j = leaf->job;

    if (!leaf->is_in_job)
        return;
    leaf->is_in_job = false;
    if (leaf->job_prev != NULL)
        leaf->job_prev->job_next = leaf->job_next;
    else
        j->first = leaf->job_next;
    if (leaf->job_next != NULL)
        leaf->job_next->job_prev = leaf->job_prev;
    else
        j->last = leaf->job_prev;
    if (j->first == NULL)
        wheel_remove(&j->tree->waiting_jobs, &j->wake);
}

void job_wake(struct tree_job *j, uint64_t now_ns)
{
    uint64_t room = bucket_room(&j->ceiling, j->ceiling.burst_bytes, now_ns);

    if (room >= TREE_GRANT_MIN) {
        for (; j->first != NULL && room >= TREE_GRANT_MIN; room -= TREE_GRANT_MIN)
            leaf_settle(j->first, now_ns);
    }
    uint64_t packet_ns = bucket_time_ns(&j->ceiling, TREE_GRANT_MIN);
    set_wake(j, packet_ns == BUCKET_NEVER ? now_ns : now_ns + packet_ns);
}

void tree_job_set_ceiling(struct tree_job *j, uint64_t ceiling_bps, uint64_t now_ns)
{
    uint64_t now = tree_clock(j->tree, now_ns);

    bucket_set(&j->ceiling, ceiling_bps, job_burst(ceiling_bps), now);
    set_wake(j, now);
}

void tree_leaf_set_job(struct tree_node *leaf, struct tree_job *j, uint64_t now_ns)
{
    uint64_t now = tree_clock(leaf->tree, now_ns);

    alb_assert(leaf->inner == NULL);
    job_leave(leaf);
    if (leaf->job != NULL)
        leaf->job->leaves--;
    leaf->job = j;
    if (j != NULL)
        j->leaves++;
    leaf_settle(leaf, now);
}
