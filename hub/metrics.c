/* SPDX-License-Identifier: Apache-2.0 */
/* hub/metrics.c – the hub's counters for Prometheus: one row each. */
#include <inttypes.h>

#include "base/alloc.h"
#include "hub/report.h"

struct metric {
    const char *name, *type, *help;
    uint64_t value;
};

static struct alb_status write_all(const struct metric *all, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        struct alb_status st = buf_printf(out,
                                          "# HELP albedo_hub_%s %s\n# TYPE albedo_hub_%s %s\n"
                                          "albedo_hub_%s %" PRIu64 "\n",
                                          all[i].name, all[i].help, all[i].name, all[i].type,
                                          all[i].name, all[i].value);
        if (alb_failed(st))
            return st;
    }
    return ALB_STATUS_OK;
}

static struct alb_status write_deltas(const struct hub_delta_figures *d, struct buf *out)
{
    const struct metric all[] = {
        {"delta_sets_total", "counter", "Delta sets made.", d->kept},
        {"delta_sets_poor_total", "counter", "… that would have saved too little.", d->poor},
        {"delta_sets_failed_total", "counter", "… that could not be made.", d->failed},
        {"delta_bytes_total", "counter", "Bytes of those made.", d->bytes},
        {"delta_saved_bytes_total", "counter", "… less than the same content as chunks.",
         d->saved_bytes},
        {"delta_working", "gauge", "1 while one is in the making.", d->is_working},
    };

    return write_all(all, ALB_COUNT(all), out);
}

/* Who is there, and who is woken. */
static struct alb_status write_branches(const struct hub_state *s, struct buf *out)
{
    const struct metric all[] = {
        {"pulls_applied_total", "counter", "Pulls that brought a version, as told; each once.",
         s->figures.pulls_applied},
        {"pulls_failed_total", "counter", "… that failed.", s->figures.pulls_failed},
        {"devices_online", "gauge", "Devices that are there now, by their announcements.",
         s->figures.roster.devices},
        {"reflectors_online", "gauge", "… that are reflectors.", s->figures.roster.reflectors},
        {"announcements_total", "counter", "Bodies that told who is there.",
         s->figures.roster.bodies},
        {"announcements_refused_total", "counter", "… that were refused.",
         s->figures.roster.refused},
        {"devices_moved_total", "counter", "Devices that came by another way.",
         s->figures.roster.contested},
        {"devices_not_counted_total", "counter", "… for whom there was no room.",
         s->figures.roster.full},
        {"wake_jobs", "gauge", "Jobs that wake machines, now.", s->figures.wake.active},
        {"wake_orders_total", "counter", "Orders to guards.", s->figures.wake.orders},
        {"woken_total", "counter", "Machines that came after they were sent for.",
         s->figures.wake.woken},
        {"not_woken_total", "counter", "… that did not, for whatever reason.",
         s->figures.wake.failed},
    };

    return write_all(all, ALB_COUNT(all), out);
}

struct alb_status hub_metrics(const struct hub_state *s, struct buf *out)
{
    const struct metric all[] = {
        {"uptime_seconds", "gauge", "Since the hub was started.", s->uptime_s},
        {"layers", "gauge", "Layers with at least one version.", s->layers},
        {"devices", "gauge", "Devices enrolled, revoked ones included.", s->devices},
        {"trust_version", "gauge", "Newest trust file; 0 while there is none.", s->trust_version},
        {"chunks", "gauge", "Chunks in the store.", s->store.chunks},
        {"stored_bytes", "gauge", "Their stored forms.", s->store.stored_bytes},
        {"disk_bytes", "gauge", "What they occupy.", s->store.disk_bytes},
        {"sessions", "gauge", "Connections on the tree port.", s->figures.serve.sessions},
        {"requests_total", "counter", "Requests on the tree port.", s->figures.serve.requests},
        {"refused_total", "counter", "… that were refused.", s->figures.serve.refused},
        {"chunks_sent_total", "counter", "Chunks sent down.", s->figures.serve.items_sent},
        {"bytes_sent_total", "counter", "Their bytes.", s->figures.serve.item_bytes_sent},
        {"bulk_bits_per_second", "gauge", "Batches to devices beyond a WAN, below TLS.",
         s->figures.serve.bulk_bps},
        {"bulk_devices", "gauge", "How many devices get those just now.",
         s->figures.serve.bulk_devices},
        {"probed_paths", "gauge", "Children that measure their path by datagrams.",
         s->figures.serve.probes.tickets},
        {"probes_answered_total", "counter", "Probes answered.", s->figures.serve.probes.answered},
        {"probes_refused_total", "counter", "… of strangers, repeated, or too many.",
         s->figures.serve.probes.strangers + s->figures.serve.probes.repeated +
             s->figures.serve.probes.too_many},
        {"chunks_kept_total", "counter", "Chunks stored.", s->figures.keeper.chunks},
        {"bytes_kept_total", "counter", "Their bytes.", s->figures.keeper.bytes},
        {"pending_bytes", "gauge", "Verified, not yet durable.", s->figures.keeper.pending_bytes},
        {"damaged_total", "counter", "Chunks found damaged.", s->figures.supply.damaged},
        {"lost_chunks", "gauge", "Chunks a version needs and the store lacks: see status.",
         s->figures.lost_chunks},
        {"open_uploads", "gauge", "Uploads not yet committed.", s->figures.open_uploads},
        {"published_total", "counter", "Versions committed.", s->figures.published},
        {"enrolled_total", "counter", "Certificates issued.", s->figures.enrolled},
        {"revoked_total", "counter", "Certificates revoked.", s->figures.revoked},
        {"loop_lag_milliseconds", "gauge", "Longest batch of callbacks.", s->worst_lag_ms},
    };
    struct alb_status st = write_all(all, ALB_COUNT(all), out);

    if (!alb_failed(st))
        st = write_deltas(&s->figures.deltas, out);
    return alb_failed(st) ? st : write_branches(s, out);
}
