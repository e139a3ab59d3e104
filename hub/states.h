/* SPDX-License-Identifier: Apache-2.0 */
/* hub/states.h – what operators say of single reflectors: kept with the policy, numbered, signed,
 * told. */
#pragma once

struct serve_request;

/* POST /v1/states-put {"device": [D…], "state", "wipe", "why"}: all of them or none.  Saying what
 * holds already changes nothing, its number neither. */
void hub_handle_states_put(void *hub, struct serve_request *rq);
/* reflectors.c: GET /v1/reflectors */
void hub_handle_reflectors(void *hub, struct serve_request *rq);
/* GET /v1/here */
void hub_handle_here(void *hub, struct serve_request *rq);
void hub_handle_arrivals(void *hub, struct serve_request *rq); /* 404: it has nobody to copy from */
