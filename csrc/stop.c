/* Signals and the stop ladder: signal, grace, SIGKILL, bounded reap. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "raydp_proc.h"
#include "sys.h"
#include "wait.h"

/* Whether the child is still unreaped, so that its pid, and the group it leads, can't be another's. The host's
 * own waitpid(-1), or an ignored SIGCHLD, may have reaped it. */
static int still_ours(const rd_child *child)
{
    struct rd_ksiginfo info;
    const int options = RD_WEXITED | RD_WNOHANG | RD_WNOWAIT | RD_WALL;
    long ret = -EINVAL;
    if (child->method != RD_METHOD_THREAD)
        ret = rd_sys5(__NR_waitid, RD_P_PIDFD, child->fd, &info, options, 0);
    if (ret == -EINVAL && child->fd >= 0) /* before Linux 5.4, too */
        ret = rd_sys5(__NR_waitid, RD_P_PID, child->pid, &info, options, 0);
    return ret >= 0;
}

static int signal_process(const rd_child *child, int sig)
{
    if (child->method != RD_METHOD_THREAD) {
        long ret = rd_sys4(__NR_pidfd_send_signal, child->fd, sig, 0, 0);
        if (ret != -ENOSYS && ret != -EPERM) /* a sandbox's EPERM looks like another user's process */
            return (int)ret;
    }
    return still_ours(child) ? (int)rd_sys2(__NR_kill, child->pid, sig) : -ESRCH;
}

static int kill_cgroup(int cgroup_fd)
{
    int fd = openat(cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int ret = write(fd, "1", 1) < 0 ? -errno : 0;
    close(fd);
    return ret;
}

typedef int (*visit_pid)(int pid, void *ctx);

/* Each pid that cgroup.procs lists, until VISIT returns other than 0: what it returned, or -errno. */
static int each_member(int cgroup_fd, visit_pid visit, void *ctx)
{
    char buf[1024];
    int pid = 0, ret = 0;
    int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (!ret) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ret = n < 0 ? -errno : 0;
            break;
        }
        for (ssize_t i = 0; i < n && !ret; i++) {
            if (buf[i] >= '0' && buf[i] <= '9') {
                pid = pid * 10 + (buf[i] - '0');
            } else {
                if (pid) /* 0: a process of a pid namespace we don't see */
                    ret = visit(pid, ctx);
                pid = 0;
            }
        }
    }
    close(fd);
    return ret;
}

static int is_pid(int pid, void *wanted)
{
    return pid == *(int *)wanted;
}

struct cgroup_signal {
    int cgroup_fd, sig, worst;
};

/* Through a pidfd, and only if the pid is still listed once that is open: still listed, still the member. */
static int signal_member(int pid, void *ctx)
{
    struct cgroup_signal *s = ctx;
    long ret = rd_sys2(__NR_pidfd_open, pid, 0);
    int pidfd = (int)ret;
    if (ret >= 0) {
        ret = each_member(s->cgroup_fd, is_pid, &pid);
        if (ret > 0)
            ret = rd_sys4(__NR_pidfd_send_signal, pidfd, s->sig, 0, 0);
        close(pidfd);
    }
    if (ret < 0 && ret != -ESRCH)
        s->worst = (int)ret;
    return 0;
}

static int signal_cgroup(int cgroup_fd, int sig)
{
    struct cgroup_signal s = {cgroup_fd, sig, 0};
    if (sig == SIGKILL && kill_cgroup(cgroup_fd) == 0)
        return 0;
    int ret = each_member(cgroup_fd, signal_member, &s);
    return ret < 0 ? ret : s.worst;
}

int rd_die_with(int parent, int sig)
{
    long ret = rd_sys5(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, sig, 0, 0, 0);
    if (ret < 0)
        return (int)ret;
    return rd_sys0(__NR_getppid) == parent ? 0 : -ESRCH; /* who ended before sends nothing any more */
}

int rd_signal(const rd_child *child, int sig, int scope, int cgroup_fd)
{
    switch (scope) {
    case RD_SCOPE_PROCESS:
        return signal_process(child, sig);
    case RD_SCOPE_GROUP:
        return still_ours(child) ? (int)rd_sys2(__NR_kill, -child->pid, sig) : -ESRCH;
    case RD_SCOPE_CGROUP:
        return signal_cgroup(cgroup_fd, sig);
    default:
        return -EINVAL;
    }
}

/* pid, if it is a live (not zombie) member of group; else 0. */
static int member_of_group(const char *name, int32_t group)
{
    char path[64], text[512], *end;
    long pid = strtol(name, &end, 10);
    if (*end || pid <= 0 || pid == group)
        return 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *after = strrchr(text, ')'); /* the command's name may hold anything */
    char state;
    int ppid, pgrp;
    if (!after || sscanf(after + 1, " %c %d %d", &state, &ppid, &pgrp) != 3)
        return 0;
    return pgrp == group && state != 'Z' && state != 'X' ? (int)pid : 0;
}

/* Wait until the group has no live member but its (zombie) leader: 1 so, 0 time's up. A zombie
 * that another parent has not reaped still answers kill(-group, 0): state Z is not alive. */
static int await_group(int32_t group, int64_t deadline)
{
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        struct pollfd waiting = {.fd = -1, .events = POLLIN};
        if (!proc)
            return 1; /* nothing to see members with; the group has been killed */
        while (waiting.fd < 0 && (entry = readdir(proc))) {
            int pid = member_of_group(entry->d_name, group);
            if (!pid)
                continue;
            waiting.fd = (int)rd_sys2(__NR_pidfd_open, pid, 0);
            if (waiting.fd < 0 && waiting.fd != -ESRCH)
                break;
            if (waiting.fd >= 0 && !member_of_group(entry->d_name, group)) {
                close(waiting.fd); /* another process by now, or a zombie */
                waiting.fd = -1;
            }
        }
        closedir(proc);
        if (waiting.fd == -1)
            return 1;
        if (waiting.fd < 0)
            return 0;
        int64_t left = rd_left(deadline);
        int ready = left ? rd_poll_fds(&waiting, 1, left) : 0;
        close(waiting.fd);
        if (ready == 0)
            return 0;
    }
}

/* Wait until no live process is in the cgroup or below it: 1 so, 0 time's up. */
static int await_cgroup(int cgroup_fd, int64_t deadline)
{
    struct pollfd events = {.fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC), .events = POLLPRI};
    int empty = events.fd < 0; /* the root cgroup has none, and is never empty */
    while (events.fd >= 0 && !empty) {
        char text[256];
        ssize_t n = pread(events.fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        empty = n < 0 || strstr(text, "populated 0"); /* ENODEV: the cgroup has been removed */
        int64_t left = rd_left(deadline);
        if (!empty && (!left || rd_poll_fds(&events, 1, left) == 0))
            break;
    }
    if (events.fd >= 0)
        close(events.fd);
    return empty;
}

/* Wait until the leader has exited (unreaped): 1 so, 0 time's up, -errno. */
static int await_leader(const rd_child *child, int64_t deadline)
{
    int ret;
    do
        ret = rd_observe(child, rd_left(deadline));
    while (ret == -EINTR);
    return ret;
}

/* The same for everything in SCOPE. */
static int await_scope(const rd_child *child, int scope, int cgroup_fd, int64_t deadline)
{
    int ret = await_leader(child, deadline);
    if (ret > 0 && scope == RD_SCOPE_GROUP)
        ret = await_group(child->pid, deadline);
    else if (ret > 0 && scope == RD_SCOPE_CGROUP)
        ret = await_cgroup(cgroup_fd, deadline);
    return ret;
}

int rd_stop(const rd_child *child, int sig, int64_t grace_ns, int64_t reap_ns, int scope, int cgroup_fd, rd_exit *out)
{
    int rung = RD_RUNG_NONE;
    int exited = await_leader(child, rd_deadline(0)), ended = exited;
    if (exited < 0)
        return exited;
    if (!exited && grace_ns && sig != SIGKILL) {
        int ret = rd_signal(child, sig, scope, cgroup_fd);
        if (ret < 0 && ret != -ESRCH)
            return ret;
        if (ret == 0)
            rd_signal(child, SIGCONT, scope, cgroup_fd); /* a stopped process can't heed it */
        rung = RD_RUNG_SIGNAL;
        /* The grace is everyone's, not the leader's alone: a shell may end before the work it started. */
        if ((ended = await_scope(child, scope, cgroup_fd, rd_deadline(grace_ns))) < 0)
            return ended;
    }
    if (!ended)
        rung = RD_RUNG_KILL;
    /* Observe, kill, then reap: until the reap neither pid nor group id can be given to a stranger. */
    if (!ended || scope != RD_SCOPE_PROCESS)
        rd_signal(child, SIGKILL, scope, cgroup_fd);
    if (!ended && scope == RD_SCOPE_CGROUP)
        rd_signal(child, SIGKILL, RD_SCOPE_PROCESS, -1); /* it may have left the cgroup */
    out->rung = rung;
    if ((ended = await_scope(child, scope, cgroup_fd, rd_deadline(reap_ns))) < 0)
        return ended;
    if (!ended) {
        out->rung = RD_RUNG_PENDING;
        return 0;
    }
    return rd_reap(child, out);
}

int rd_signal_open(uint64_t mask)
{
    long ret = rd_sigprocmask(SIG_BLOCK, &mask, NULL);
    if (ret >= 0)
        ret = rd_sys4(__NR_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return (int)ret;
}

int rd_signal_read(int fd, rd_siginfo *out)
{
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof info);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    if (n != (ssize_t)sizeof info)
        return -EIO;
    out->signal = (int32_t)info.ssi_signo;
    out->code = info.ssi_code;
    out->pid = (int32_t)info.ssi_pid;
    out->uid = info.ssi_uid;
    return 1;
}
