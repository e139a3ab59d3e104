/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_ethtool_netlink.c – drivers' answers, made by hand: can it be woken, and how? */
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <libmnl/libmnl.h>

#include "net/ethtool_netlink.h"

enum { SEQ = 2, ROOM = 1024 };

struct reply {
    _Alignas(8) char bytes[ROOM];
    struct nlmsghdr *n;
};

static void begin(struct reply *r, uint8_t command)
{
    memset(r, 0, sizeof(*r));
    r->n = mnl_nlmsg_put_header(r->bytes);
    r->n->nlmsg_type = 21;
    r->n->nlmsg_seq = SEQ;
    struct genlmsghdr *g = mnl_nlmsg_put_extra_header(r->n, sizeof(*g));
    g->cmd = command;
}

static struct wake_ability ability(const struct reply *r)
{
    struct wake_ability a = {.supported = 77};

    assert_int_equal(ethtool_parse_wake(r->bytes, r->n->nlmsg_len, SEQ, &a).code, ALB_OK);
    return a;
}

static struct wake_ability compact(uint32_t supported, uint32_t active)
{
    struct reply r;

    begin(&r, ETHTOOL_MSG_WOL_GET_REPLY);
    struct nlattr *modes = mnl_attr_nest_start(r.n, ETHTOOL_A_WOL_MODES);
    mnl_attr_put_u32(r.n, ETHTOOL_A_BITSET_SIZE, 8);
    mnl_attr_put_u32(r.n, ETHTOOL_A_BITSET_VALUE, active);
    mnl_attr_put_u32(r.n, ETHTOOL_A_BITSET_MASK, supported);
    mnl_attr_nest_end(r.n, modes);
    return ability(&r);
}

static struct wake_ability refused(int error)
{
    struct reply r;

    begin(&r, 0);
    r.n->nlmsg_type = NLMSG_ERROR;
    r.n->nlmsg_len = NLMSG_HDRLEN;
    struct nlmsgerr *e = mnl_nlmsg_put_extra_header(r.n, sizeof(*e));
    e->error = -error;
    return ability(&r);
}

static void a_card_says_what_wakes_it(void **state)
{
    const uint32_t all = WAKE_ON_PHY | WAKE_ON_UNICAST | WAKE_ON_MAGIC | WAKE_ON_SECURE;

    (void)state;
    assert_int_equal(compact(all, WAKE_ON_MAGIC).answer, WAKE_READY);
    assert_int_equal(compact(all, WAKE_ON_MAGIC | WAKE_ON_SECURE).answer, WAKE_SECURED);
    assert_int_equal(compact(all, 0).answer, WAKE_OFF);
    assert_int_equal(compact(all, WAKE_ON_UNICAST).answer, WAKE_OFF);
    assert_int_equal(compact(WAKE_ON_PHY, WAKE_ON_PHY).answer, WAKE_CANNOT);
    assert_int_equal(compact(0, 0).answer, WAKE_CANNOT);
    assert_int_equal(compact(all, WAKE_ON_MAGIC).supported, all);
}

/* Kernels may answer so although compact sets were asked for. */
static void modes_may_come_one_by_one(void **state)
{
    struct reply r;

    (void)state;
    begin(&r, ETHTOOL_MSG_WOL_GET_REPLY);
    struct nlattr *modes = mnl_attr_nest_start(r.n, ETHTOOL_A_WOL_MODES);
    struct nlattr *bits = mnl_attr_nest_start(r.n, ETHTOOL_A_BITSET_BITS);
    for (uint32_t index = 5; index < 34; index += index < 6 ? 1 : 27) {
        struct nlattr *bit = mnl_attr_nest_start(r.n, ETHTOOL_A_BITSET_BITS_BIT);
        mnl_attr_put_u32(r.n, ETHTOOL_A_BITSET_BIT_INDEX, index);
        if (index == 5)
            mnl_attr_put(r.n, ETHTOOL_A_BITSET_BIT_VALUE, 0, NULL);
        mnl_attr_nest_end(r.n, bit);
    }
    mnl_attr_nest_end(r.n, bits);
    mnl_attr_nest_end(r.n, modes);
    const struct wake_ability a = ability(&r);
    assert_int_equal(a.supported, WAKE_ON_MAGIC | WAKE_ON_SECURE);
    assert_int_equal(a.active, WAKE_ON_MAGIC);
    assert_int_equal(a.answer, WAKE_READY);
}

static void refusals_are_answers_where_they_mean_something(void **state)
{
    struct wake_ability a;
    struct reply r;

    (void)state;
    assert_int_equal(refused(EOPNOTSUPP).answer, WAKE_CANNOT); /* lo, veth, bridges */
    assert_int_equal(refused(EPERM).answer, WAKE_UNASKABLE);
    begin(&r, 0);
    r.n->nlmsg_type = NLMSG_ERROR;
    r.n->nlmsg_len = NLMSG_HDRLEN;
    struct nlmsgerr *e = mnl_nlmsg_put_extra_header(r.n, sizeof(*e));
    e->error = -ENODEV;
    assert_int_equal(ethtool_parse_wake(r.bytes, r.n->nlmsg_len, SEQ, &a).code, ALB_NOT_FOUND);
    e->error = -EIO;
    assert_int_equal(ethtool_parse_wake(r.bytes, r.n->nlmsg_len, SEQ, &a).code, ALB_IO);
}

static void what_is_no_answer_is_refused(void **state)
{
    struct wake_ability a;
    struct reply r;

    (void)state;
    begin(&r, ETHTOOL_MSG_WOL_GET_REPLY);
    assert_int_equal(ethtool_parse_wake(r.bytes, r.n->nlmsg_len, SEQ + 1, &a).code, ALB_CORRUPT);
    for (size_t size = 0; size < r.n->nlmsg_len; size++)
        assert_int_equal(ethtool_parse_wake(r.bytes, size, SEQ, &a).code, ALB_CORRUPT);
}

static void a_family_has_a_number_or_is_not_there(void **state)
{
    uint16_t family = 0;
    struct reply r;

    (void)state;
    begin(&r, CTRL_CMD_NEWFAMILY);
    mnl_attr_put_u16(r.n, CTRL_ATTR_FAMILY_ID, 21);
    assert_int_equal(genetlink_parse_family(r.bytes, r.n->nlmsg_len, SEQ, &family).code, ALB_OK);
    assert_int_equal(family, 21);
    begin(&r, CTRL_CMD_NEWFAMILY);
    assert_int_equal(genetlink_parse_family(r.bytes, r.n->nlmsg_len, SEQ, &family).code,
                     ALB_CORRUPT);
    r.n->nlmsg_type = NLMSG_ERROR;
    r.n->nlmsg_len = NLMSG_HDRLEN;
    struct nlmsgerr *e = mnl_nlmsg_put_extra_header(r.n, sizeof(*e));
    e->error = -ENOENT;
    assert_int_equal(genetlink_parse_family(r.bytes, r.n->nlmsg_len, SEQ, &family).code,
                     ALB_NOT_FOUND);
}

/* The kernel's own: loopback is everywhere, and no card. */
static void loopback_cannot_wake_and_nothing_is_at_index_zero(void **state)
{
    struct wake_ability a = {.answer = WAKE_READY};

    (void)state;
    assert_int_equal(wake_ability_ask(1, &a).code, ALB_OK);
    assert_int_not_equal(a.answer, WAKE_READY);
    assert_true(strlen(wake_answer_text(a.answer)) > 0 && strlen(wake_answer_name(a.answer)) > 0);
    const struct alb_status st = wake_ability_ask(0x7fffffff, &a);
    assert_true(st.code == ALB_NOT_FOUND ||
                (st.code == ALB_OK && (a.answer == WAKE_UNASKABLE || a.answer == WAKE_UNKNOWN)));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_says_what_wakes_it),
        cmocka_unit_test(modes_may_come_one_by_one),
        cmocka_unit_test(refusals_are_answers_where_they_mean_something),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(a_family_has_a_number_or_is_not_there),
        cmocka_unit_test(loopback_cannot_wake_and_nothing_is_at_index_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
