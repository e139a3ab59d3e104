/* SPDX-License-Identifier: Apache-2.0 */
/* wire/subnets.h – of many subnets the narrowest that an address is in.
 *
 * Sorted by address and then length, a subnet follows all that cover it, and the last one not
 * behind an address is either around it or within something that is: each knows what is around it.
 * So a question is one halving and a few steps outward, however many there are.
 */
#pragma once

#include "wire/policy.h"

/* By address, then length: for qsort() of struct policy_subnet. */
int subnet_order(const void *a, const void *b);
/* As bits; so ::/0 holds what is written for IPv4, too, and … */
bool subnet_holds(const struct policy_subnet *s, const uint8_t address[16]);
/* … this says whether it speaks of such an address: no subnet of IPv6 does of an IPv4 one. */
bool subnet_is_of_kind(const struct policy_subnet *s, const uint8_t address[16]);

struct subnet_index;
/* The list is copied; no subnet stands in it twice. */
struct subnet_index *subnet_index_new(const struct policy_subnet *list, size_t count);
struct subnet_index *subnet_index_free(struct subnet_index *x);
/* Of several addresses (IPv4 as ::ffff:a.b.c.d) the narrowest of all, of two as narrow that of the
 * earlier one; *which, unless NULL, is the address it was found by.  NULL: none has one. */
const struct policy_subnet *subnet_index_find(const struct subnet_index *x,
                                              const uint8_t (*addresses)[16], size_t count,
                                              size_t *which);
