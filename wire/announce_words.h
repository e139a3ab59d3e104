/* SPDX-License-Identifier: Apache-2.0 */
/* wire/announce_words.h – words that reading and writing announcements share; inside wire/. */
#pragma once

/* By the bits of enum wake_mode (net/ethtool_netlink.h). */
enum { ANNOUNCE_WAKE_WORDS = 8 };
extern const char *const announce_wake_words[ANNOUNCE_WAKE_WORDS];
