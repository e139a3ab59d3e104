/* SPDX-License-Identifier: Apache-2.0 */
/* net/worker.c – the threads, their two queues and the list of what is done. */
#include "net/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

struct queue {
    struct job *first;
    struct job **end; /* where the next one is linked */
};

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* something may be taken, or the end has come */
    struct queue shared, ordered, done;
    bool ordered_runs; /* some thread holds a job of the ordered lane */
    bool ending;
    int wake_fd;
    unsigned thread_count;
    pthread_t threads[];
};

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->end = &q->first;
}

static void queue_put(struct queue *q, struct job *job)
{
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static struct job *queue_take(struct queue *q)
{
    struct job *job = q->first;

    if (job == NULL)
        return NULL;
    q->first = job->next;
    if (q->first == NULL)
        q->end = &q->first;
    job->next = NULL;
    return job;
}

/* The ordered lane first: it is one thread's worth at most, and whoever waits for a commit waits
 * for all that was committed before. */
static struct job *take_job(struct worker_pool *w)
{
    if (!w->ordered_runs && w->ordered.first != NULL) {
        w->ordered_runs = true;
        return queue_take(&w->ordered);
    }
    return queue_take(&w->shared);
}

static void give_back(struct worker_pool *w, struct job *job)
{
    const uint64_t one = 1;
    bool is_first = w->done.first == NULL;

    if (job->lane == JOB_ORDERED) {
        w->ordered_runs = false;
        if (w->ordered.first != NULL)
            pthread_cond_signal(&w->work);
    }
    queue_put(&w->done, job);
    /* An eventfd takes 2^64 - 2 of these before it would refuse one. */
    if (is_first)
        alb_assert(write(w->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void *work(void *arg)
{
    struct worker_pool *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct job *job = take_job(w);

        if (job != NULL) {
            pthread_mutex_unlock(&w->lock);
            job->run(job);
            pthread_mutex_lock(&w->lock);
            give_back(w, job);
        } else if (w->ending) {
            break;
        } else {
            pthread_cond_wait(&w->work, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(unsigned threads, int wake_fd)
{
    struct worker_pool *w = xalloc(sizeof(*w) + threads * sizeof(pthread_t));
    sigset_t all;
    sigset_t before;

    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    queue_init(&w->shared);
    queue_init(&w->ordered);
    queue_init(&w->done);
    w->wake_fd = wake_fd;
    w->thread_count = threads;

    /* Signals are the loop's business: the threads inherit a full mask. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; i++)
        alb_assert(pthread_create(&w->threads[i], NULL, work, w) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w;
}

struct worker_pool *worker_pool_free(struct worker_pool *w)
{
    if (w == NULL)
        return NULL;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

void worker_pool_submit(struct worker_pool *w, struct job *job)
{
    pthread_mutex_lock(&w->lock);
    queue_put(job->lane == JOB_ORDERED ? &w->ordered : &w->shared, job);
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

struct job *worker_pool_take_done(struct worker_pool *w)
{
    pthread_mutex_lock(&w->lock);
    struct job *first = w->done.first;
    queue_init(&w->done);
    pthread_mutex_unlock(&w->lock);
    return first;
}
