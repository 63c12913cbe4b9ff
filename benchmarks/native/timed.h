/* One timed call in C: nanoseconds, or -errno. Used by both the C program and the one inside Python. */
#ifndef BENCH_TIMED_H
#define BENCH_TIMED_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raydp_proc.h"

static int64_t steady_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* rd_run with every feature: new session, death signal, close_range, clean signals. */
static int64_t timed_run(const char *path)
{
    rd_spec spec = {
        .size = sizeof spec,
        .flags = RD_NEW_SESSION,
        .death_signal = SIGKILL,
        .executable = path,
        .argv = path,
        .argv_len = strlen(path) + 1,
        .cgroup_fd = -1,
        .keep_ignored = 1ull << (SIGHUP - 1),
    };
    rd_child child;
    rd_exit end;
    int64_t began = steady_ns();
    int ret = rd_run(&spec, -1, &child, &end);
    if (ret >= 0)
        close(child.fd);
    int64_t took = steady_ns() - began;
    return ret < 0 ? ret : end.code ? -ECHILD : took;
}

#endif
