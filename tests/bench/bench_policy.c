/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_policy.c – what asking a policy costs: 1,000 rules of which none fits, or all do. */
/* LINKS: shaper wire base */

/* usage: bench_policy [QUESTIONS]
 *
 * One line for each of: rules that fit nobody here, rules that fit but do not hold, and the next
 * change of either; microseconds of CPU a question. Release, one
 * machine: 4.4, 7.4, 8.6 and 26 us; `valgrind --tool=callgrind --toggle-collect=policy_now` counts
 * 206,551 instructions for the two of them that ask what holds now.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "shaper/policy.h"

enum { RULES = 1000 };

static const struct policy_place PLACE = {
    .site = "here", .direction = POLICY_DOWN, .side = POLICY_WAN, .class = POLICY_SCAVENGER};

static struct policy_doc *make(bool fits)
{
    struct policy_doc *d = NULL;
    struct policy_findings findings;
    struct buf text;

    buf_init(&text, POLICY_BYTES_MAX);
    alb_assert(!alb_failed(
        buf_printf(&text, "{\"format\":1,\"sites\":[{\"name\":\"here\",\"zone\":\"Europe/Oslo\"}],"
                          "\"rules\":[")));
    for (int i = 0; i < RULES; i++)
        alb_assert(!alb_failed(buf_printf(
            &text,
            "%s{\"scope\":\"site:%s\",\"days\":\"mon-sat\",\"hours\":\"%02d:%02d-23:59\","
            "\"mode\":\"off\"}",
            i == 0 ? "" : ",", fits ? "here" : "there", i / 60 % 20, i % 60)));
    alb_assert(!alb_failed(buf_printf(&text, "]}")));
    policy_findings_init(&findings);
    alb_assert(!alb_failed(
        policy_doc_decode(buf_peek(&text), buf_size(&text), NULL, NULL, &findings, &d)));
    buf_release(&text);
    return d;
}

static void measure(const char *what, const struct policy *p, bool next, int questions)
{
    const int64_t sunday = 1795942800; /* 2026-11-29T09:00:00Z: no rule holds until midnight */
    clock_t start = clock();
    int64_t sum = 0;

    for (int i = 0; i < questions; i++)
        sum += next ? policy_next_change(p, &PLACE, sunday + i)
                    : (int64_t)policy_now(p, &PLACE, sunday + i).index;
    printf("%-42s %8.2f us a question (%lld)\n", what,
           1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / questions, (long long)(sum & 1));
}

int main(int argc, char **argv)
{
    int questions = argc > 1 ? atoi(argv[1]) : 1000;
    struct policy *strange = policy_new(make(false), NULL);
    struct policy *ours = policy_new(make(true), NULL);

    measure("now, 1000 rules for somebody else", strange, false, questions);
    measure("now, 1000 rules, none in its hours", ours, false, questions);
    measure("next change, 1000 rules for somebody else", strange, true, questions);
    measure("next change, 1000 rules, all later today", ours, true, questions);
    strange = policy_free(strange);
    ours = policy_free(ours);
    return EXIT_SUCCESS;
}
