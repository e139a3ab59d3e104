/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_pace.h – what the shaper asks of a session: how much may come, how it leaves, how far it
 * is to the other side.
 *
 * A session that is to be paced from its first byte on is made with http_session_options.is_paced.
 * Every HTTP/2 connection starts with 65,535 bytes that nobody granted, and credit for a connection
 * cannot be taken back; on a thin line that is a quarter of a second of other people's queue.  But
 * a SETTINGS frame says, and may say again, how much a *stream* may send by itself.  So a paced
 * session says 0, grants to each stream what the gate allows, and lets go of the streams (credit is
 * the connection's again) once no more than what the gate allowed is left of what nobody granted.
 * The same takes back credit that is outstanding.  All of it is plain HTTP/2, so it holds for any
 * server.
 */
#pragma once

#include "net/http.h"

/* Asked before credit is granted, and told what was, in body bytes.  NULL: none.  It is let go of
 * before closed/session_closed is called. */
void http_session_use_credit_gate(struct http_session *s, struct gate *gate);
/* Grants are at least so large, but for the last one (0: an eighth of W, at least 1,400); W must
 * have room for it beside what is under way.  What is right: http_credit_quantum(). */
void http_session_set_quantum(struct http_session *s, uint64_t bytes);
/* So large that grants, each a packet of its own on the way back, take at most 2 % of `reverse_bps`
 * (0: not known) when `rate_bps` comes, and not more than one each 2 ms.  But what is granted at
 * once may come at once: it is never more than 10 ms of the rate (or 1,400 bytes). */
uint64_t http_credit_quantum(uint64_t rate_bps, uint64_t reverse_bps);
/* Takes back what the other side may still send: within one round trip nothing comes any more but
 * what the gate allows anew.  Calls stay open; but while a session grants by the stream (at its
 * beginning, and soon after it was taken back) a stream's credit is gone for good, so calls that
 * have some are broken off, and end with REFUSED from the loop. */
void http_session_revoke_credit(struct http_session *s);
/* Body bytes that somebody here still expects: 0 when nothing is under way. */
uint64_t http_session_expected_bytes(const struct http_session *s);
/* Credit that is outstanding: what may still come though nothing more were granted. */
uint64_t http_session_outstanding_bytes(const struct http_session *s);

/* How large DATA frames are that leave here (1,400 to 16,375; 0: the largest), one at a time when
 * it is not the largest.  What is right: http_frame_size(). */
void http_session_set_frame_size(struct http_session *s, uint32_t bytes);
/* Four milliseconds of `rate_bps`, within what a frame may be. */
uint32_t http_frame_size(uint64_t rate_bps);

/* Measures the way there and back, from when the PING went to the stream; done(arg, rtt_ns) comes
 * from the loop, or never when the session ends before.  False, and nothing happens: it is not
 * open, or HTTP_PINGS_MAX are under way. */
enum { HTTP_PINGS_MAX = 4 };
bool http_session_ping(struct http_session *s, void (*done)(void *arg, uint64_t rtt_ns), void *arg);
void http_session_cancel_pings(struct http_session *s, const void *arg);

/* A stamp is a few bytes about what is being sent, in a frame of a private type before the next
 * DATA; other implementations ignore it (RFC 9113, 5.5).  What it says: wire/stamp.h.  The last one
 * given counts when the one before has not left. */
enum { HTTP_STAMP_MAX = 64, HTTP_STAMP_TYPE = 0xe5, HTTP_STAMPS_PER_S = 500 };
void http_session_stamp(struct http_session *s, const void *bytes, size_t size);
/* fn(arg, …) when one came, from inside the turn of the session.  Those that
 * are too long, or more than HTTP_STAMPS_PER_S, are ignored.  NULL: nobody listens. */
void http_session_on_stamp(struct http_session *s,
                           void (*fn)(void *arg, const uint8_t *bytes, size_t size), void *arg);
