/* SPDX-License-Identifier: Apache-2.0 */
/* net/resolve.c – getaddrinfo() inside a job. */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct resolve {
    struct job job;
    char *host;
    uint16_t port;
    resolve_fn fn; /* NULL after resolve_cancel() */
    void *arg;
    struct alb_status status;
    struct address_list list;
};

static struct alb_status failure(int error, int sys)
{
    switch (error) {
    case EAI_NONAME:
    case EAI_NODATA:
        return alb_fail(ALB_NOT_FOUND,
                        "the host name is not known: check its spelling and the DNS server");
    case EAI_AGAIN:
        return alb_fail(ALB_IO, "looking up the host name: the DNS server does not answer");
    case EAI_SYSTEM: return alb_status_from_errno(sys, "looking up the host name");
    default: return alb_fail(ALB_IO, "looking up the host name: the DNS server reports a failure");
    }
}

static void set_port(struct address *a, uint16_t port)
{
    if (a->storage.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->storage)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&a->storage)->sin_port = htons(port);
}

static struct alb_status look_up(const char *host, uint16_t port, int flags,
                                 struct address_list *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, NULL, &hints, &found);

    if (error != 0)
        return failure(error, errno);
    out->count = 0;
    for (const struct addrinfo *a = found; a != NULL && out->count < ADDRESSES_MAX;
         a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        struct address *to = &out->at[out->count++];
        memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
        to->size = a->ai_addrlen;
        set_port(to, port);
    }
    freeaddrinfo(found);
    return out->count > 0 ? ALB_STATUS_OK
                          : alb_fail(ALB_NOT_FOUND, "the host name has no IP address");
}

bool resolve_numeric(const char *host, uint16_t port, struct address_list *out)
{
    return !alb_failed(look_up(host, port, AI_NUMERICHOST, out));
}

static void run(struct job *job)
{
    struct resolve *r = ALB_CONTAINER(job, struct resolve, job);

    r->status = look_up(r->host, r->port, 0, &r->list);
}

static void done(struct job *job)
{
    struct resolve *r = ALB_CONTAINER(job, struct resolve, job);

    if (r->fn != NULL)
        r->fn(r->arg, r->status, &r->list);
    free(r->host);
    free(r);
}

struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, resolve_fn fn,
                              void *arg)
{
    struct resolve *r = xalloc(sizeof(*r));

    r->job = (struct job){.run = run, .done = done, .lane = JOB_SHARED};
    r->host = xstrdup(host);
    r->port = port;
    r->fn = fn;
    r->arg = arg;
    loop_submit(loop, &r->job);
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (r != NULL)
        r->fn = NULL;
}

uint16_t address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

void address_format(const struct sockaddr_storage *address, char *out)
{
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_six = address->ss_family == AF_INET6;

    if (is_six)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, sizeof(text));
    else if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof(text));
    else
        (void)snprintf(text, sizeof(text), "local");
    (void)snprintf(out, ADDRESS_TEXT_SIZE, is_six ? "[%s]:%u" : "%s:%u", text,
                   (unsigned)address_port(address));
}

bool address_parse(const char *text, uint8_t out[16])
{
    const bool is_six = text[0] == '[';
    const char *end = is_six ? strchr(text, ']') : strrchr(text, ':');
    uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
    char host[ADDRESS_TEXT_SIZE];

    if (end == NULL || end - text >= ADDRESS_TEXT_SIZE)
        return false;
    (void)snprintf(host, sizeof(host), "%.*s", (int)(end - text - is_six), text + is_six);
    if (inet_pton(is_six ? AF_INET6 : AF_INET, host, is_six ? address : address + 12) != 1)
        return false;
    memcpy(out, address, sizeof(address));
    return true;
}
