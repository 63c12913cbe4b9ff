/* What stop.c and uds.c need of wait.c; not part of the API. */
#ifndef RD_WAIT_H
#define RD_WAIT_H

#include <poll.h>

#include "raydp_proc.h"

#define RD_FOREVER INT64_MAX

int64_t rd_now(void);                                                /* CLOCK_MONOTONIC, ns */
int64_t rd_deadline(int64_t timeout_ns);                             /* RD_FOREVER for < 0, and for beyond counting */
int64_t rd_left(int64_t deadline);                                   /* 0 when it has passed, -1 for RD_FOREVER */
int rd_poll_fds(struct pollfd *fds, int count, int64_t timeout_ns);  /* how many ready, 0 time's up, -errno */

#endif
