/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/feed.h – events down the tree: one line each, to everyone who listens.
 *
 *     head LAYER    the layer's head changed        trust     there is a newer trust file
 *     revoked LIST  the revocation list changed     layers    a layer came or went
 *     policy DOC    the policy changed              override DOC   so did the overrides
 *     nearby [SITE …]   who can serve there is another
 *     for DEVICE REST   for one device below (roster.h), said only to who leads there
 *
 * An event only says "ask again": nothing is believed because of it.  (LIST and DOC are the signed
 * things themselves, when they are short: judged like what was asked for, it saves the asking;
 * feed_revoked.h, policy_book.h.)  A listener that does not keep up loses lines, never memory: when
 * its queue is full it is cut off, comes back and asks anew.
 */
#pragma once

#include <sys/queue.h>

#include "net/http.h"

/* Longest line, its newline too: a "revoked" line; the others stay below 256 bytes. */
enum { FEED_LINE_MAX = 4200 };

struct feed;

struct feed *feed_new(struct loop *loop);
struct feed *feed_free(struct feed *f);
/* End every listener's answer, after what is queued for it. */
void feed_hang_up(struct feed *f);
/* `line` without newline, under FEED_LINE_MAX bytes. */
void feed_say(struct feed *f, const char *line);
/* Only to the listeners of one device.  How many they are; 0: nobody heard it. */
size_t feed_say_to(struct feed *f, const char *device, const char *line);

struct feed_listener; /* one exchange being told */
/* A source for http_answer_stream(); `x` is resumed when there is more.  `device` is copied. */
struct feed_listener *feed_listen(struct feed *f, const char *device, struct http_exchange *x,
                                  struct http_source *source);
/* The exchange is over. */
void feed_unlisten(struct feed_listener *l);
