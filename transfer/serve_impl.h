/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_impl.h – what the serve's own files share. */
#pragma once

#include "transfer/serve.h"

TAILQ_HEAD(serve_sessions, serve_session);

struct serve {
    struct serve_options options;
    serve_handler handlers[ROUTE_COUNT];
    void *handler_args[ROUTE_COUNT];
    struct serve_sessions sessions;
    size_t nobodies; /* sessions without a certificate */
    bool is_draining;
    struct serve_stats stats;
};
