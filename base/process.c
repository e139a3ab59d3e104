/* SPDX-License-Identifier: Apache-2.0 */
/* base/process.c – limits of this process. */
#include "base/process.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "base/log.h"

/* The index keeps its tables open (a few hundred at a terabyte), segments are opened for a moment
 * each, a handshake has a descriptor before it is a session (256 at a time). */
enum { OTHER_FILES = 768 };

uint64_t process_raise_open_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return before;
    return limit.rlim_cur;
}

size_t process_sessions_that_fit(uint64_t open_files, size_t sessions)
{
    const uint64_t half = open_files / 2;
    const uint64_t most = open_files > 2 * OTHER_FILES ? open_files - OTHER_FILES : half;

    return sessions < most ? sessions : (size_t)most;
}

size_t process_fit_sessions(const char *event, size_t wanted)
{
    const uint64_t files = process_raise_open_files();
    const size_t fit = process_sessions_that_fit(files, wanted);

    log_event(fit < wanted ? LOG_WARN : LOG_INFO, event,
              "open_files=%" PRIu64 " sessions=%zu max_sessions=%zu%s", files, fit, wanted,
              fit < wanted ? " next=\"raise LimitNOFILE of the service, or lower max_sessions\""
                           : "");
    return fit;
}
