/* SPDX-License-Identifier: Apache-2.0 */
/* net/datagram.c – what both back ends share: the way to their operations. */
#include "net/datagram_impl.h"

#include <string.h>

struct alb_status datagram_open(struct loop *loop, const struct datagram_options *options,
                                struct datagram **out)
{
    alb_assert(options->address != NULL || options->towards != NULL);
    return loop->ops->open_datagram(loop, options, out);
}

uint16_t datagram_port(const struct datagram *d)
{
    return d->ops->port(d);
}

struct alb_status datagram_send(struct datagram *d, const void *bytes, size_t size,
                                const struct datagram_peer *to)
{
    alb_assert(size <= DATAGRAM_MOST);
    return d->ops->send(d, bytes, size, to);
}

struct datagram *datagram_close(struct datagram *d)
{
    if (d != NULL)
        d->ops->close(d);
    return NULL;
}

/* "10.1.2.3:7443", "[::1]:7443", in the simulated world "hub:7443". */
bool datagram_peer_of(const struct stream *s, uint16_t port, struct datagram_peer *out)
{
    const char *at = s->address;
    const char *end = strrchr(at, ':');
    char host[sizeof(s->address)];

    if (end == NULL)
        return false;
    if (*at == '[' && end > at + 1 && end[-1] == ']') {
        at++;
        end--;
    }
    memcpy(host, at, (size_t)(end - at));
    host[end - at] = '\0';
    struct datagram_peer found = {.here_size = 0};
    if (!s->loop->ops->find_host(s->loop, host, port, &found.address))
        return false;
    *out = found;
    return true;
}
