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

static int signal_process(const rd_child *child, int sig)
{
    if (child->method == RD_METHOD_THREAD)
        return (int)rd_sys2(__NR_kill, child->pid, sig); /* unreaped, so the pid is still its own */
    return (int)rd_sys4(__NR_pidfd_send_signal, child->fd, sig, 0, 0);
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

/* Each member through a pidfd that is verified after it was opened: still listed means still it. */
static int signal_cgroup(int cgroup_fd, int sig)
{
    if (sig == SIGKILL && kill_cgroup(cgroup_fd) == 0)
        return 0;
    int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    FILE *procs = fdopen(fd, "r");
    if (!procs) {
        int err = -errno;
        close(fd);
        return err;
    }
    int pid, worst = 0;
    while (fscanf(procs, "%d", &pid) == 1) {
        int pidfd = (int)rd_sys2(__NR_pidfd_open, pid, 0);
        if (pidfd < 0) {
            if (pidfd != -ESRCH)
                worst = pidfd;
            continue;
        }
        long ret = rd_sys4(__NR_pidfd_send_signal, pidfd, sig, 0, 0);
        if (ret < 0 && ret != -ESRCH)
            worst = (int)ret;
        close(pidfd);
    }
    fclose(procs);
    return worst;
}

int rd_signal(const rd_child *child, int sig, int scope, int cgroup_fd)
{
    switch (scope) {
    case RD_SCOPE_PROCESS:
        return signal_process(child, sig);
    case RD_SCOPE_GROUP:
        /* The leader is unreaped, so its pid, and with it the group's id, can't be another's. */
        return (int)rd_sys2(__NR_kill, -child->pid, sig);
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
        int64_t left = deadline - rd_now();
        int ready = left > 0 ? rd_poll_fds(&waiting, 1, left) : 0;
        close(waiting.fd);
        if (ready == 0)
            return 0;
    }
}

/* Wait until the leader has exited (unreaped): 1 so, 0 time's up, -errno. */
static int await_leader(const rd_child *child, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - rd_now();
        int ret = rd_observe(child, left > 0 ? left : 0);
        if (ret != -EINTR)
            return ret;
    }
}

int rd_stop(const rd_child *child, int sig, int64_t grace_ns, int64_t reap_ns, int scope, int cgroup_fd, rd_exit *out)
{
    int rung = RD_RUNG_NONE;
    int exited = await_leader(child, 0);
    if (exited < 0)
        return exited;
    if (!exited && grace_ns > 0 && sig != SIGKILL) {
        int ret = rd_signal(child, sig, scope, cgroup_fd);
        if (ret < 0 && ret != -ESRCH)
            return ret;
        if (ret == 0)
            rd_signal(child, SIGCONT, scope, cgroup_fd); /* a stopped process can't heed it */
        rung = RD_RUNG_SIGNAL;
        if ((exited = await_leader(child, rd_now() + grace_ns)) < 0)
            return exited;
    }
    if (!exited)
        rung = RD_RUNG_KILL;
    /* Observe, kill, then reap: until the reap neither pid nor group id can be given to a stranger. */
    if (!exited || scope != RD_SCOPE_PROCESS)
        rd_signal(child, SIGKILL, scope, cgroup_fd);
    if (!exited && scope == RD_SCOPE_CGROUP)
        rd_signal(child, SIGKILL, RD_SCOPE_PROCESS, -1); /* it may have left the cgroup */
    int64_t deadline = rd_now() + reap_ns;
    out->rung = rung;
    if ((exited = await_leader(child, deadline)) < 0)
        return exited;
    if (!exited || (scope == RD_SCOPE_GROUP && !await_group(child->pid, deadline))) {
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
