/* SPDX-License-Identifier: Apache-2.0 */
/* emu/queue.c – deficit round robin over linked lists; a single queue is the case of one flow. */
#include "emu/queue.h"

#include "emu/ip.h"

#define NO_FLOW QUEUE_FLOWS
#define QUANTUM_BYTES ((int64_t)PACKET_MTU)

static uint32_t flow_of(const struct queue *queue, const struct queue_params *params,
                        uint32_t slot);
static uint32_t turn_next(struct queue *queue);
static void turn_end(struct queue *queue, uint32_t number);
static uint32_t flow_pop(struct queue *queue, const struct queue_params *params,
                         struct queue_flow *flow, uint64_t now_ns);

void queue_init(struct queue *queue, struct packet_pool *pool, uint64_t seed)
{
    *queue = (struct queue){.pool = pool, .seed = seed};
    queue->fresh = queue->old = (struct queue_turns){NO_FLOW, NO_FLOW};
    for (uint32_t i = 0; i < QUEUE_FLOWS; i++)
        queue->flows[i].first = PACKET_NONE;
}

static void turns_append(struct queue *queue, struct queue_turns *turns, uint32_t number)
{
    queue->flows[number].next = NO_FLOW;
    if (turns->first == NO_FLOW)
        turns->first = number;
    else
        queue->flows[turns->last].next = number;
    turns->last = number;
}

static uint32_t turns_take(struct queue *queue, struct queue_turns *turns)
{
    uint32_t number = turns->first;
    turns->first = queue->flows[number].next;
    return number;
}

void queue_push(struct queue *queue, const struct queue_params *params, uint32_t slot)
{
    uint32_t number = flow_of(queue, params, slot);
    struct queue_flow *flow = &queue->flows[number];
    struct packet *packet = packet_pool_at(queue->pool, slot);
    packet->next = PACKET_NONE;
    if (flow->first == PACKET_NONE)
        flow->first = slot;
    else
        packet_pool_at(queue->pool, flow->last)->next = slot;
    flow->last = slot;
    flow->bytes += packet->bytes;
    queue->bytes += packet->bytes;
    queue->packets++;
    if (flow->is_listed)
        return;
    flow->is_listed = true;
    flow->credit_bytes = QUANTUM_BYTES;
    turns_append(queue, &queue->fresh, number);
}

uint32_t queue_pop(struct queue *queue, const struct queue_params *params, uint64_t now_ns)
{
    uint32_t number;
    while ((number = turn_next(queue)) != NO_FLOW) {
        struct queue_flow *flow = &queue->flows[number];
        uint32_t slot = flow_pop(queue, params, flow, now_ns);
        if (slot != PACKET_NONE) {
            flow->credit_bytes -= packet_pool_at(queue->pool, slot)->bytes;
            return slot;
        }
        turn_end(queue, number);
    }
    return PACKET_NONE;
}

void queue_drop_fattest(struct queue *queue)
{
    static const struct codel_params NONE = {0};
    const struct queue_params params = {.codel = NONE};
    struct queue_flow *fattest = &queue->flows[0];
    for (uint32_t i = 1; i < QUEUE_FLOWS; i++)
        if (queue->flows[i].bytes > fattest->bytes)
            fattest = &queue->flows[i];
    packet_pool_give(queue->pool, flow_pop(queue, &params, fattest, 0));
}

uint32_t queue_clear(struct queue *queue)
{
    uint32_t count = queue->packets;
    while (queue->packets > 0)
        queue_drop_fattest(queue);
    return count;
}

static uint32_t flow_of(const struct queue *queue, const struct queue_params *params, uint32_t slot)
{
    if (!params->fair)
        return 0;
    const struct packet *packet = packet_pool_at(queue->pool, slot);
    return (uint32_t)(ip_flow_hash(packet->data, packet->bytes, queue->seed) % QUEUE_FLOWS);
}

/* The flow whose turn it is, at the head of its list; those that spent their turn go to the end
 * of the old ones. */
static uint32_t turn_next(struct queue *queue)
{
    for (;;) {
        struct queue_turns *turns = queue->fresh.first != NO_FLOW ? &queue->fresh : &queue->old;
        if (turns->first == NO_FLOW)
            return NO_FLOW;
        struct queue_flow *flow = &queue->flows[turns->first];
        if (flow->credit_bytes > 0)
            return turns->first;
        flow->credit_bytes += QUANTUM_BYTES;
        turns_append(queue, &queue->old, turns_take(queue, turns));
    }
}

/* A new flow that ran empty goes once through the old ones, or it could always be new again and
 * starve them. */
static void turn_end(struct queue *queue, uint32_t number)
{
    bool was_fresh = queue->fresh.first == number;
    (void)turns_take(queue, was_fresh ? &queue->fresh : &queue->old);
    if (was_fresh && queue->old.first != NO_FLOW)
        turns_append(queue, &queue->old, number);
    else
        queue->flows[number].is_listed = false;
}

static uint32_t flow_shift(struct queue *queue, struct queue_flow *flow)
{
    uint32_t slot = flow->first;
    if (slot == PACKET_NONE)
        return slot;
    const struct packet *packet = packet_pool_at(queue->pool, slot);
    flow->first = packet->next;
    flow->bytes -= packet->bytes;
    queue->bytes -= packet->bytes;
    queue->packets--;
    return slot;
}

static bool mark(struct queue *queue, const struct queue_params *params, struct packet *packet)
{
    if (params->ecn != QUEUE_ECN_MARK || !ip_mark(packet->data, packet->bytes))
        return false;
    queue->marked++;
    return true;
}

static uint32_t flow_pop(struct queue *queue, const struct queue_params *params,
                         struct queue_flow *flow, uint64_t now_ns)
{
    uint32_t slot;
    while ((slot = flow_shift(queue, flow)) != PACKET_NONE) {
        struct packet *packet = packet_pool_at(queue->pool, slot);
        uint64_t sojourn_ns = now_ns > packet->came_ns ? now_ns - packet->came_ns : 0;
        if (!codel_drops(&flow->codel, &params->codel, sojourn_ns, flow->bytes, now_ns) ||
            mark(queue, params, packet))
            return slot;
        queue->dropped++;
        packet_pool_give(queue->pool, slot);
    }
    return PACKET_NONE;
}
