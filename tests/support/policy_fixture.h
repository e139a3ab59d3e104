/* SPDX-License-Identifier: Apache-2.0 */
/* support/policy_fixture.h – policies from text, and what is found wrong with text, for the tests
 * of wire/policy and shaper/policy. */
#pragma once

#include "base/alloc.h"
#include "wire/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Every zone but Mars/…. */
static inline bool earthly(const char *zone, void *arg)
{
    (void)arg;
    return strncmp(zone, "Mars/", 5) != 0;
}

/* The document; the test ends with the first finding that is an error. */
static inline struct policy_doc *policy_of(const char *text)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;

    policy_findings_init(&findings);
    if (alb_failed(policy_doc_decode(text, strlen(text), earthly, NULL, &findings, &d)))
        fail_msg("%s", findings.list[0].text);
    policy_findings_release(&findings);
    return d;
}

/* All findings of a text, a line each: "error: …\nwarning: …\n"; the caller's. */
static inline char *findings_of(const void *text, size_t size)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;
    struct alb_status st;
    struct buf lines;
    char *out;

    policy_findings_init(&findings);
    buf_init(&lines, 4 << 20);
    st = policy_doc_decode(text, size, earthly, NULL, &findings, &d);
    assert_int_equal(st.code, findings.errors > 0 ? ALB_INVALID : ALB_OK);
    assert_int_equal(d == NULL, findings.errors > 0);
    for (size_t i = 0; i < findings.count; i++)
        assert_int_equal(buf_printf(&lines, "%s: %s\n",
                                    findings.list[i].is_error ? "error" : "warning",
                                    findings.list[i].text)
                             .code,
                         ALB_OK);
    out = xstrdup(buf_text(&lines));
    buf_release(&lines);
    policy_findings_release(&findings);
    d = policy_doc_free(d);
    return out;
}

/* A document of this one rule; the caller's. */
static inline char *with_rule(const char *members)
{
    return xasprintf("{\"format\":1,\"calendars\":[{\"name\":\"holidays\",\"dates\":["
                     "\"2026-12-24..2026-12-26\"]}],\"rules\":[{%s}]}",
                     members);
}
