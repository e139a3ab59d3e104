/* SPDX-License-Identifier: Apache-2.0 */
/* net/raw_frame_impl.h – single frames as the kernel's loop sends them; for loop_event.c. */
#pragma once

#include "net/loop_impl.h"
#include "net/raw_frame.h"

struct alb_status raw_frame_event_send(struct loop *loop, const struct raw_frame *f);
