/* Preloaded: a wall clock that jumps by a year, forwards and back, at every look. CLOCK_MONOTONIC is left. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_int looks;

static long jump(void)
{
    static const long years[] = {0, 1, 2, 1, -1, 1};
    return years[atomic_fetch_add(&looks, 1) % 6] * 365 * 86400;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    long ret = syscall(SYS_clock_gettime, clock, ts);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        ts->tv_sec += jump();
    return (int)ret;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    (void)zone;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
