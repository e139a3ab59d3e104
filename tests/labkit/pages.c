/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/pages.c – an office of people who read: whole pages, loaded as browsers load them.
 *
 * Each person opens a page at times that do not depend on how long pages take (unless one is still
 * loading).  A page is one document, then objects over up to six connections that are reused.
 * Counts and sizes are log-normal, as they are on the web; the same seed gives the same office,
 * so pages of two runs can be compared one by one.
 */
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/http.h"
#include "labkit/tools.h"

enum { PEOPLE_MOST = 200, OBJECTS_MOST = 80, BROWSER_CONNECTIONS = 6, OBJECT_LEAST = 500 };

static const double DOCUMENT_MEDIAN = 30000, OBJECT_MEDIAN = 12000, OBJECTS_MEDIAN = 16;
static const double DOCUMENT_SIGMA = 0.6, OBJECT_SIGMA = 1.3, OBJECTS_SIGMA = 0.7;
static const double SIZE_MOST = 2e6;

struct page {
    const struct sockaddr_in *to;
    uint64_t sizes[OBJECTS_MOST]; /* the first is the document */
    int count;
    atomic_int next; /* the first that nobody loads yet */
    atomic_bool broken;
};

struct person {
    pthread_t thread;
    struct sockaddr_in to;
    unsigned number;
    uint64_t random, until_us, next_us;
    double every_us;
};

/* xorshift64*, then a double in (0, 1). */
static double uniform(uint64_t *random)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return ((double)((*random * 0x2545F4914F6CDD1Dull) >> 11) + 0.5) / 9007199254740992.0;
}

static double log_normal(uint64_t *random, double median, double sigma, double most)
{
    double radius = sqrt(-2 * log(uniform(random))), angle = 2 * M_PI * uniform(random);
    return fmin(most, median * exp(sigma * radius * cos(angle)));
}

static void page_imagine(struct page *page, struct person *p)
{
    double objects = log_normal(&p->random, OBJECTS_MEDIAN, OBJECTS_SIGMA, OBJECTS_MOST - 1);
    page->count = 1 + (int)objects;
    page->sizes[0] = (uint64_t)log_normal(&p->random, DOCUMENT_MEDIAN, DOCUMENT_SIGMA, SIZE_MOST);
    for (int i = 1; i < page->count; i++)
        page->sizes[i] =
            OBJECT_LEAST + (uint64_t)log_normal(&p->random, OBJECT_MEDIAN, OBJECT_SIGMA, SIZE_MOST);
}

/* One connection: objects until none is left. */
static void *connection_run(void *arg)
{
    struct page *page = arg;
    int fd = tcp_connect(page->to, NULL);
    for (int i; (i = atomic_fetch_add(&page->next, 1)) < page->count;)
        if (!http_get(fd, page->sizes[i]))
            atomic_store(&page->broken, true);
    close(fd);
    return NULL;
}

/* False if it was broken off. */
static bool page_load(struct page *page)
{
    pthread_t threads[BROWSER_CONNECTIONS];
    int fd = tcp_connect(page->to, NULL), started = 0;
    bool whole = http_get(fd, page->sizes[0]);
    close(fd);
    atomic_store(&page->next, 1);
    while (started < BROWSER_CONNECTIONS && started < page->count - 1)
        if (pthread_create(&threads[started++], NULL, connection_run, page) != 0)
            tool_fail("no thread for a connection");
    for (int i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    return whole && !atomic_load(&page->broken);
}

static void wait_until(uint64_t at_us)
{
    uint64_t now_us = clock_us();
    while (now_us < at_us && !tool_stopped) {
        uint64_t left_ms = (at_us - now_us) / 1000 + 1;
        (void)poll(NULL, 0, left_ms < 200 ? (int)left_ms : 200);
        now_us = clock_us();
    }
}

static void *person_live(void *arg)
{
    struct person *p = arg;
    for (unsigned number = 0; !tool_stopped; number++) {
        struct page page = {.to = &p->to};
        p->next_us += (uint64_t)(-log(uniform(&p->random)) * p->every_us);
        page_imagine(&page, p);
        if (p->next_us >= p->until_us)
            break;
        wait_until(p->next_us);
        uint64_t bytes = 0, began_us = clock_us();
        bool whole = !tool_stopped && page_load(&page);
        for (int i = 0; i < page.count; i++)
            bytes += page.sizes[i];
        if (whole)
            (void)printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u-%u\n", began_us, bytes,
                         clock_us() - began_us, p->number, number);
    }
    return NULL;
}

int tool_pages(int argc, char **argv)
{
    (void)argc;
    tool_begin(false);
    static struct person people[PEOPLE_MOST];
    unsigned count = (unsigned)arg_number("people", argv[3], 1, PEOPLE_MOST);
    uint64_t seed = arg_number("seed", argv[5], 1, UINT32_MAX), now_us = clock_us();
    (void)puts("began_us,bytes,took_us,name");
    for (unsigned i = 0; i < count; i++) {
        struct person *p = &people[i];
        *p = (struct person){
            .to = arg_address(argv[0], argv[1]),
            .number = i,
            .random = seed * 1000003 + i,
            .next_us = now_us,
            .until_us = now_us + US_PER_S * arg_number("seconds", argv[2], 1, 86400),
            .every_us = (double)(US_PER_S * arg_number("pause", argv[4], 1, 86400)),
        };
        for (int warm = 0; warm < 20; warm++)
            (void)uniform(&p->random);
        if (pthread_create(&p->thread, NULL, person_live, p) != 0)
            tool_fail("no thread for a person");
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(people[i].thread, NULL);
    return 0;
}
