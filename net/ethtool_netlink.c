/* SPDX-License-Identifier: Apache-2.0 */
/* net/ethtool_netlink.c – one question to ethtool: the family's number, then the link's modes. */
#include "net/ethtool_netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "net/netlink_parse.h"

enum { ANSWER_SIZE = 8192 };

/* ---- messages -------------------------------------------------------------------------------- */

static struct nlmsghdr *put_head(void *out, uint16_t type, uint8_t command, uint8_t version,
                                 uint32_t seq)
{
    memset(out, 0, ETHTOOL_REQUEST_SIZE);
    struct nlmsghdr *n = mnl_nlmsg_put_header(out);

    n->nlmsg_type = type;
    n->nlmsg_flags = NLM_F_REQUEST;
    n->nlmsg_seq = seq;
    struct genlmsghdr *g = mnl_nlmsg_put_extra_header(n, sizeof(*g));
    g->cmd = command;
    g->version = version;
    return n;
}

size_t genetlink_build_family(void *out, const char *name, uint32_t seq)
{
    struct nlmsghdr *n = put_head(out, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, seq);

    alb_assert(strlen(name) < GENL_NAMSIZ);
    mnl_attr_put_strz(n, CTRL_ATTR_FAMILY_NAME, name);
    return n->nlmsg_len;
}

size_t ethtool_build_wake(void *out, uint16_t family, uint32_t link, uint32_t seq)
{
    struct nlmsghdr *n = put_head(out, family, ETHTOOL_MSG_WOL_GET, ETHTOOL_GENL_VERSION, seq);
    struct nlattr *head = mnl_attr_nest_start(n, ETHTOOL_A_WOL_HEADER);

    mnl_attr_put_u32(n, ETHTOOL_A_HEADER_DEV_INDEX, link);
    mnl_attr_put_u32(n, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
    mnl_attr_nest_end(n, head);
    return n->nlmsg_len;
}

/* The attributes of the answer to `seq`; else *error says (0: it is no answer to it). */
static bool read_answer(const void *bytes, size_t size, uint32_t seq, const struct nlattr **table,
                        size_t count, int *error)
{
    const struct nlmsghdr *n = bytes;
    char why[NETLINK_WHY_SIZE];

    *error = 0;
    if (!netlink_message_is_whole(n, size) || n->nlmsg_seq != seq)
        return false;
    if (n->nlmsg_type == NLMSG_ERROR) {
        netlink_parse_error(n, error, why);
        return false;
    }
    if (mnl_nlmsg_get_payload_len(n) < GENL_HDRLEN)
        return false;
    netlink_attributes((const char *)mnl_nlmsg_get_payload(n) + GENL_HDRLEN,
                       mnl_nlmsg_get_payload_len(n) - GENL_HDRLEN, table, count);
    return true;
}

struct alb_status genetlink_parse_family(const void *bytes, size_t size, uint32_t seq,
                                         uint16_t *out)
{
    const struct nlattr *at[CTRL_ATTR_FAMILY_ID + 1];
    int error;

    if (!read_answer(bytes, size, seq, at, ALB_COUNT(at), &error))
        return error != 0 ? alb_status_from_errno(error, "asking for a netlink family")
                          : alb_fail(ALB_CORRUPT, "asking for a netlink family");
    if (!netlink_attribute_bytes(at[CTRL_ATTR_FAMILY_ID], out, sizeof(*out)))
        return alb_fail(ALB_CORRUPT, "asking for a netlink family: no number");
    return ALB_STATUS_OK;
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* A bit of its own: a number, and VALUE when it is set; those listed at all are supported. */
static void read_bit(const struct nlattr *bit, struct wake_ability *out)
{
    const struct nlattr *at[ETHTOOL_A_BITSET_BIT_VALUE + 1];
    uint32_t index;

    netlink_attributes(mnl_attr_get_payload(bit), mnl_attr_get_payload_len(bit), at, ALB_COUNT(at));
    if (!netlink_attribute_bytes(at[ETHTOOL_A_BITSET_BIT_INDEX], &index, sizeof(index)) ||
        index > 31)
        return;
    out->supported |= UINT32_C(1) << index;
    if (at[ETHTOOL_A_BITSET_BIT_VALUE] != NULL)
        out->active |= UINT32_C(1) << index;
}

/* Compact: a word of values and one of the bits there are.  Otherwise, a list. */
static void read_modes(const struct nlattr *modes, struct wake_ability *out)
{
    const struct nlattr *at[ETHTOOL_A_BITSET_MASK + 1];

    netlink_attributes(mnl_attr_get_payload(modes), mnl_attr_get_payload_len(modes), at,
                       ALB_COUNT(at));
    (void)netlink_attribute_bytes(at[ETHTOOL_A_BITSET_VALUE], &out->active, sizeof(out->active));
    (void)netlink_attribute_bytes(at[ETHTOOL_A_BITSET_MASK], &out->supported,
                                  sizeof(out->supported));
    const struct nlattr *list = at[ETHTOOL_A_BITSET_BITS];
    if (list == NULL)
        return;
    const char *from = mnl_attr_get_payload(list), *end = from + mnl_attr_get_payload_len(list);
    while (from < end && end - from >= (ptrdiff_t)sizeof(struct nlattr)) {
        const struct nlattr *bit = (const struct nlattr *)(const void *)from;

        if (!mnl_attr_ok(bit, (int)(end - from)))
            return;
        if (mnl_attr_get_type(bit) == ETHTOOL_A_BITSET_BITS_BIT)
            read_bit(bit, out);
        from += netlink_align(bit->nla_len);
    }
}

static enum wake_answer answer_of(const struct wake_ability *a)
{
    if ((a->active & WAKE_ON_SECURE) != 0)
        return WAKE_SECURED;
    if ((a->active & WAKE_ON_MAGIC) != 0)
        return WAKE_READY;
    return (a->supported & (WAKE_ON_MAGIC | WAKE_ON_SECURE)) != 0 ? WAKE_OFF : WAKE_CANNOT;
}

struct alb_status ethtool_parse_wake(const void *bytes, size_t size, uint32_t seq,
                                     struct wake_ability *out)
{
    const struct nlattr *at[ETHTOOL_A_WOL_MODES + 1];
    struct wake_ability found = {.answer = WAKE_CANNOT};
    int error;

    if (read_answer(bytes, size, seq, at, ALB_COUNT(at), &error)) {
        if (at[ETHTOOL_A_WOL_MODES] != NULL)
            read_modes(at[ETHTOOL_A_WOL_MODES], &found);
        found.answer = answer_of(&found);
    } else if (error == EPERM || error == EACCES) {
        found.answer = WAKE_UNASKABLE;
    } else if (error == ENODEV) {
        return alb_fail(ALB_NOT_FOUND, "asking whether a link can wake: there is no such link");
    } else if (error == 0) {
        return alb_fail(ALB_CORRUPT, "asking whether a link can wake: no answer to that");
    } else if (error != EOPNOTSUPP) {
        return alb_status_from_errno(error, "asking whether a link can wake");
    }
    *out = found;
    return ALB_STATUS_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The kernel answers before the request's call returns. */
static struct alb_status exchange(struct mnl_socket *m, const void *request, size_t size,
                                  void *answer, size_t *answer_size)
{
    ssize_t got = -1;

    if (mnl_socket_sendto(m, request, size) < 0)
        return alb_fail_sys("asking ethtool");
    do
        got = mnl_socket_recvfrom(m, answer, ANSWER_SIZE);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return alb_fail_sys("asking ethtool");
    *answer_size = (size_t)got;
    return ALB_STATUS_OK;
}

static struct alb_status ask(struct mnl_socket *m, uint32_t link, struct wake_ability *out)
{
    uint8_t request[ETHTOOL_REQUEST_SIZE] __attribute__((aligned(8)));
    uint8_t answer[ANSWER_SIZE] __attribute__((aligned(8)));
    uint16_t family = GENETLINK_FAMILY_NONE;
    size_t size = 0;
    struct alb_status st =
        exchange(m, request, genetlink_build_family(request, ETHTOOL_GENL_NAME, 1), answer, &size);

    if (alb_failed(st))
        return st;
    st = genetlink_parse_family(answer, size, 1, &family);
    if (st.code == ALB_NOT_FOUND) {
        *out = (struct wake_ability){.answer = WAKE_UNKNOWN};
        return ALB_STATUS_OK;
    }
    if (!alb_failed(st))
        st = exchange(m, request, ethtool_build_wake(request, family, link, 2), answer, &size);
    if (!alb_failed(st))
        st = ethtool_parse_wake(answer, size, 2, out);
    wipe(answer, sizeof(answer)); /* to the privileged it tells the SecureOn password */
    return st;
}

struct alb_status wake_ability_ask(uint32_t link, struct wake_ability *out)
{
    struct mnl_socket *m = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);

    if (m == NULL)
        return alb_fail_sys("opening a netlink socket");
    struct alb_status st = mnl_socket_bind(m, 0, MNL_SOCKET_AUTOPID) < 0
                               ? alb_fail_sys("binding a netlink socket")
                               : ask(m, link, out);
    mnl_socket_close(m);
    return st;
}

/* ---- words ----------------------------------------------------------------------------------- */

struct words {
    const char *name, *text;
};

static struct words words_of(enum wake_answer answer)
{
    switch (answer) {
    case WAKE_READY: return (struct words){"ready", "can be woken"};
    case WAKE_SECURED: return (struct words){"secured", "can be woken with its SecureOn password"};
    case WAKE_OFF:
        return (struct words){"off",
                              "wake frames are switched off on this link (ethtool -s LINK wol g)"};
    case WAKE_CANNOT: return (struct words){"cannot", "this link cannot wake its machine"};
    case WAKE_UNASKABLE:
        return (struct words){"unaskable", "only with CAP_NET_ADMIN can that be asked"};
    case WAKE_UNKNOWN:
        return (struct words){"unknown", "this kernel cannot say (Linux 5.6 or later can)"};
    }
    alb_unreachable();
}

const char *wake_answer_text(enum wake_answer answer)
{
    return words_of(answer).text;
}

const char *wake_answer_name(enum wake_answer answer)
{
    return words_of(answer).name;
}
