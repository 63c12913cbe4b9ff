/* Waiting: one child by its descriptor, or many on one epoll. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "raydp_proc.h"
#include "sys.h"
#include "wait.h"

#ifndef __NR_epoll_pwait2
#define __NR_epoll_pwait2 441
#endif

int64_t rd_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * RD_NS_PER_S + ts.tv_nsec;
}

int64_t rd_deadline(int64_t timeout_ns)
{
    int64_t now = rd_now();
    return timeout_ns < 0 || timeout_ns > RD_FOREVER - now ? RD_FOREVER : now + timeout_ns;
}

int64_t rd_left(int64_t deadline)
{
    if (deadline == RD_FOREVER)
        return -1;
    int64_t left = deadline - rd_now();
    return left > 0 ? left : 0;
}

int rd_poll_fds(struct pollfd *fds, int count, int64_t timeout_ns)
{
    struct timespec ts = {timeout_ns / RD_NS_PER_S, timeout_ns % RD_NS_PER_S};
    int n = ppoll(fds, (nfds_t)count, timeout_ns < 0 ? NULL : &ts, NULL);
    return n < 0 ? -errno : n;
}

int rd_observe(const rd_child *child, int64_t timeout_ns)
{
    struct pollfd p = {.fd = child->fd, .events = POLLIN};
    int ret = rd_poll_fds(&p, 1, timeout_ns);
    if (ret == 0 && child->method == RD_METHOD_THREAD) {
        /* The thread tells of the exit a moment after it: no reason to call a zombie running. */
        struct rd_ksiginfo info;
        const int options = RD_WEXITED | RD_WNOHANG | RD_WNOWAIT | RD_WALL;
        memset(&info, 0, sizeof info);
        rd_sys5(__NR_waitid, RD_P_PID, child->pid, &info, options, 0);
        ret = info.pid == child->pid;
    }
    return ret;
}

/* Through the pidfd: where the host's own waitpid(-1) has taken the child behind our back, its pid may
 * by now be another child's, whose status is not ours to take. */
static int reap(const rd_child *child, int options, rd_exit *out)
{
    struct rd_ksiginfo info;
    struct rd_krusage ru;
    long ret = -EINVAL;
    memset(&info, 0, sizeof info);
    if (child->method != RD_METHOD_THREAD)
        ret = rd_sys5(__NR_waitid, RD_P_PIDFD, child->fd, &info, options, &ru);
    if (ret == -EINVAL && child->fd >= 0) /* before Linux 5.4, too */
        ret = rd_sys5(__NR_waitid, RD_P_PID, child->pid, &info, options, &ru);
    if (ret < 0)
        return (int)ret;
    if (!info.pid)
        return 0;
    int32_t rung = out->rung;
    memset(out, 0, sizeof *out);
    out->rung = rung;
    if (info.code == RD_CLD_EXITED) {
        out->code = info.status;
    } else {
        out->code = -1;
        out->signal = info.status;
        out->core_dumped = info.code == RD_CLD_DUMPED;
    }
    out->user_us = ru.utime_s * 1000000 + ru.utime_us;
    out->system_us = ru.stime_s * 1000000 + ru.stime_us;
    out->max_rss_kib = ru.maxrss;
    out->minor_faults = ru.minflt;
    out->major_faults = ru.majflt;
    out->blocks_in = ru.inblock;
    out->blocks_out = ru.oublock;
    out->switches_voluntary = ru.nvcsw;
    out->switches_forced = ru.nivcsw;
    return 1;
}

int rd_reap(const rd_child *child, rd_exit *out)
{
    return reap(child, RD_WEXITED | RD_WNOHANG | RD_WALL, out);
}

int rd_wait(const rd_child *child, int64_t timeout_ns, rd_exit *out)
{
    out->rung = RD_RUNG_NONE;
    if (timeout_ns < 0 && child->method != RD_METHOD_THREAD)
        return reap(child, RD_WEXITED | RD_WALL, out); /* one call, not a poll and another */
    int ready = rd_observe(child, timeout_ns);
    return ready <= 0 ? ready : rd_reap(child, out);
}

int rd_run(const rd_spec *spec, int64_t timeout_ns, rd_child *child, rd_exit *out)
{
    int ret = rd_spawn(spec, child);
    return ret < 0 ? ret : rd_wait(child, timeout_ns, out);
}

int rd_set_new(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int rd_set_add(int set, int fd, uint64_t cookie)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = cookie};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int rd_set_remove(int set, int fd)
{
    return epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int rd_set_wait(int set, rd_event *events, int max, int64_t timeout_ns)
{
    struct epoll_event got[64];
    struct rd_timespec ts = {timeout_ns / RD_NS_PER_S, timeout_ns % RD_NS_PER_S};
    if (max > 64)
        max = 64;
    long n = rd_sys6(__NR_epoll_pwait2, set, (long)got, max, timeout_ns < 0 ? 0 : (long)&ts, 0, 8);
    if (n == -ENOSYS) { /* before Linux 5.11: milliseconds, rounded up so as not to spin */
        int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + 999999) / 1000000;
        n = epoll_wait(set, got, max, ms > 0x7fffffff ? 0x7fffffff : (int)ms);
        if (n < 0)
            n = -errno;
    }
    for (long i = 0; i < n; i++)
        events[i].cookie = got[i].data.u64;
    return (int)n;
}
