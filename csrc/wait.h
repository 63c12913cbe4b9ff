/* What stop.c and uds.c need of wait.c; not part of the API. */
#ifndef RD_WAIT_H
#define RD_WAIT_H

#include <poll.h>

#include "raydp_proc.h"

int64_t rd_now(void);                                                /* CLOCK_MONOTONIC, ns */
int rd_poll_fds(struct pollfd *fds, int count, int64_t timeout_ns);  /* how many ready, 0 time's up, -errno */

#endif
