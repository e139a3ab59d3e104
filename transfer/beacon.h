/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/beacon.h – reflectors found on one's own link without a hub: DNS-SD over multicast DNS.
 *
 *     _albedo._tcp.local        PTR  4f0a…c2._albedo._tcp.local      120 s, as all of them
 *     4f0a…c2._albedo._tcp.local SRV  0 0 7443 albedo-4f0a…c2.local
 *                                TXT  proto=1  org=91b7…
 *     albedo-4f0a…c2.local       A, AAAA  those of the link, at most four of each family
 *
 * Told to everybody on the link is no more than "an Albedo reflector at that port": both hex words
 * are digests over the pin (SHA-256 of trust file 1), which every member of the organisation knows
 * and no packet carries, so a stranger cannot even confirm a guess of the organisation or the box.
 *
 *     org       first 8 bytes of SHA-256("albedo beacon org\n" pin)
 *     instance  first 6 bytes of SHA-256("albedo beacon box\n" pin device)
 *
 * The name is not probed for (RFC 6762 §8.1): a device's name stands once in an organisation, so
 * its digest is somebody else's only by forgery, and a forger would not yield to probes either.
 *
 * Nothing that is heard is believed.  It says whom somebody may ask, who must then show a
 * certificate of the organisation; and that only at addresses of the link's own subnets, so that
 * nobody can send us to the other end of the world.
 *
 * A beacon speaks up when a link appears or has other addresses, and again 1 s later; when asked,
 * 20–120 ms later and never oftener than once a second on a link, whoever asks; and says goodbye.
 * A browser asks when a link is new or has other addresses, or beacon_browser_ask() says so: at
 * once and after 1, 2, 4 s …, at last every hour, until somebody answers; then it listens, and asks
 * again when what it knows is about to run out.  A question that one machine asks counts for all
 * who hear it: idle, that is some 4 bytes/s on a link, however many machines there are.  Questions
 * from other ports than 5353 are not answered: none of ours comes from there, and senders are
 * easily forged.
 *
 * Both live on the loop and follow a net_picture (net/netlink.h) that the owner hands them.
 */
#pragma once

#include "base/key.h"
#include "net/loop.h"
#include "net/net_picture.h"
#include "transfer/upstream.h"

struct beacon;
struct beacon_browser;

/* ---- a reflector ----------------------------------------------------------------------------- */

struct beacon_options {
    struct loop *loop;
    const struct digest *pin; /* of trust file 1 */
    const char *device;       /* both copied     */
    /* Of the tree: "0.0.0.0", "::" (both families), or the one address that is then told. */
    const char *address;
    uint16_t port;
};

/* INVALID: address; IO, FULL, REFUSED: as mdns_socket_open(); the box then is found by lists and
 * configuration. */
ALB_MUST_USE struct alb_status beacon_open(const struct beacon_options *options,
                                           struct beacon **out);
struct beacon *beacon_close(struct beacon *b); /* with a goodbye; returns NULL; NULL is fine */
void beacon_follow(struct beacon *b, const struct net_picture *now);
/* False: goodbye, and silence (the box is drained, suspended, disabled …).  True at first. */
void beacon_set_open(struct beacon *b, bool is_open);

/* ---- whoever looks for one ------------------------------------------------------------------- */

/* Of one link; those that came first.  The chooser takes fewer. */
enum { BEACONS_PER_LINK_MOST = 64 };

struct beacon_browser_options {
    struct loop *loop;
    const struct digest *pin; /* copied; NULL: beacons of any organisation count */
    void *arg;
    void (*changed)(void *arg); /* from the loop: other places than before */
};

ALB_MUST_USE struct alb_status beacon_browser_open(const struct beacon_browser_options *options,
                                                   struct beacon_browser **out);
struct beacon_browser *beacon_browser_close(struct beacon_browser *b);
/* Places on links that are gone go; a link that is new is asked on. */
void beacon_browser_follow(struct beacon_browser *b, const struct net_picture *now);
/* Somebody would like to know: ask now (the first follow() does so by itself). */
void beacon_browser_ask(struct beacon_browser *b);
/* For chooser_set_beacons(): "10.1.0.5" 7443, no doubles, the first `most`; how many. */
size_t beacon_browser_places(const struct beacon_browser *b, struct upstream_place *out,
                             size_t most);
