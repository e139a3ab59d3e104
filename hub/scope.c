/* SPDX-License-Identifier: Apache-2.0 */
/* hub/scope.c – which layers a publisher may work on, whatever its key may sign. */
#include "hub/scope.h"

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/hub_impl.h"

void hub_check_scope(struct hub_task *t, const char *layer)
{
    AUTO_FREE struct grant *scope = xalloc(sizeof *scope);
    struct device_record d = {.is_revoked = false};

    if (t->who.role != ROLE_PUBLISHER)
        return;
    t->st = device_read(t->hub->options.catalogue, t->who.device, &d, NULL);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_REFUSED, "%s is not enrolled here", t->who.device);
    if (!alb_failed(t->st))
        t->st = layers_split(d.layers, GRANT_PREFIXES_MAX, scope->prefixes, &scope->prefix_count);
    if (!alb_failed(t->st) && !grant_covers(scope, layer))
        hub_task_refuse(t, ALB_REFUSED,
                        "%s may work on %s only; an admin can make a token for %s "
                        "(token create --role publisher --layers)",
                        t->who.device, d.layers, layer);
}
