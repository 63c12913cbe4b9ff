/* The child's side of a spawn, from clone to exec: shared by the library and the guard.
 *
 * It runs in the parent's memory while the parent is suspended (CLONE_VM|CLONE_VFORK), so it
 * may write only its own stack and the plan, and may call nothing but the kernel.
 */
#ifndef RD_CHILD_H
#define RD_CHILD_H

#include "raydp_proc.h"
#include "sys.h"

struct rd_plan {
    /* the child's results: `started` shows that it ran in our memory at all */
    volatile int32_t started, stage, err;
    volatile int32_t shares_fds;      /* in: the descriptor table is the parent's; out: it still was at the end */
    int32_t unshare_from;             /* above every descriptor the child still needs */
    uint32_t flags;
    int32_t death_signal, parent_pid; /* parent_pid 0: don't check */
    int32_t terminal, group;
    int32_t cgroup_fd;                /* join by cgroup.procs: -1 none, or clone3 has done it */
    int32_t error_pipe;               /* -1, or where {stage, err} goes when vfork is emulated */
    uint64_t keep_ignored;
    const char *executable, *cwd;
    char *const *argv, *const *env;
    char *listen_pid;                 /* digits of LISTEN_PID=, or NULL */
    int32_t *fd_map;                  /* pairs, scratch: the child rewrites it */
    uint32_t fd_pairs;
};

enum { RD_CHILD_SIG_SETMASK = 2, RD_CHILD_SIGHUP = 1, RD_CHILD_NSIG = 64 };

static inline RD_BARE int rd_child_fail(struct rd_plan *p, int stage, long err)
{
    p->stage = stage;
    p->err = (int32_t)-err;
    if (p->error_pipe >= 0) {
        int32_t told[2] = {stage, (int32_t)-err};
        rd_sys3(__NR_write, p->error_pipe, told, sizeof told);
    }
    return 127;
}

/* Caught signals must be back at their default before the mask opens, or a handler of the
 * parent would run in the child, in shared memory. Ignored ones survive exec. */
static inline RD_BARE void rd_child_reset_signals(uint64_t keep_ignored)
{
    struct rd_ksigaction dfl = {0, 0, 0, 0}, old;
    for (int sig = 1; sig <= RD_CHILD_NSIG; sig++) {
        if (keep_ignored & (1ull << (sig - 1))) {
            old.handler = 0;
            rd_sys4(__NR_rt_sigaction, sig, 0, &old, 8);
            if (old.handler == 1) /* SIG_IGN */
                continue;
        }
        rd_sys4(__NR_rt_sigaction, sig, &dfl, 0, 8);
    }
}

static inline RD_BARE void rd_child_cloexec_from(int first)
{
    if (rd_sys3(__NR_close_range, first, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) >= 0)
        return;
    /* Before Linux 5.11: walk what is open, not the whole range up to RLIMIT_NOFILE. */
    static const char self_fd[] = "/proc/self/fd";
    char buf[1024] __attribute__((aligned(8)));
    long dir = rd_sys4(__NR_openat, -100 /* AT_FDCWD */, self_fd, 0x80000 /* O_CLOEXEC */, 0);
    if (dir < 0) {
        for (int fd = first; fd < 4096; fd++) /* no /proc: the usual range is the best there is */
            rd_sys3(__NR_fcntl, fd, 2 /* F_SETFD */, 1);
        return;
    }
    for (;;) {
        long n = rd_sys3(__NR_getdents64, dir, buf, sizeof buf);
        if (n <= 0)
            break;
        for (long at = 0; at < n;) {
            uint16_t len = *(uint16_t *)(buf + at + 16);
            const char *name = buf + at + 19;
            int fd = 0;
            for (; *name >= '0' && *name <= '9'; name++)
                fd = fd * 10 + (*name - '0');
            if (fd >= first)
                rd_sys3(__NR_fcntl, fd, 2, 1);
            at += len;
        }
    }
    rd_close((int)dir);
}

static inline RD_BARE long rd_child_place_fds(struct rd_plan *p)
{
    int32_t above = 2;
    long ret;
    for (uint32_t i = 0; i < p->fd_pairs; i++)
        if (p->fd_map[2 * i + 1] > above)
            above = p->fd_map[2 * i + 1];
    /* A source that lies in the range of the targets could be overwritten before its turn. */
    for (uint32_t i = 0; i < p->fd_pairs; i++) {
        int32_t *pair = p->fd_map + 2 * i;
        if (pair[0] != pair[1] && pair[0] <= above) {
            ret = rd_sys3(__NR_fcntl, pair[0], 1030 /* F_DUPFD_CLOEXEC */, above + 1);
            if (ret < 0)
                return ret;
            pair[0] = (int32_t)ret;
        }
    }
    rd_child_cloexec_from(3);
    for (uint32_t i = 0; i < p->fd_pairs; i++) {
        const int32_t *pair = p->fd_map + 2 * i;
        if (pair[0] == pair[1])
            ret = rd_sys3(__NR_fcntl, pair[0], 2 /* F_SETFD */, 0);
        else
            ret = rd_sys3(__NR_dup3, pair[0], pair[1], 0);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static inline RD_BARE void rd_child_write_pid(char *digits)
{
    long pid = rd_sys0(__NR_getpid);
    char tmp[20];
    int n = 0;
    do
        tmp[n++] = (char)('0' + pid % 10);
    while ((pid /= 10) > 0);
    while (n > 0)
        *digits++ = tmp[--n];
    *digits = 0;
}

static RD_BARE int rd_child_main(void *arg)
{
    struct rd_plan *p = arg;
    long ret;

    p->started = 1;
    if (p->shares_fds) {
        /* Before anything touches a descriptor. The kernel copies only what lies below unshare_from, so a
         * parent with thousands of open descriptors pays for none of them. */
        ret = rd_sys3(__NR_close_range, p->unshare_from, ~0u, 2 /* CLOSE_RANGE_UNSHARE */);
        if (ret < 0)
            return rd_child_fail(p, RD_STAGE_FDS, ret);
        p->shares_fds = 0;
    }
    rd_child_reset_signals(p->keep_ignored);

    if (p->flags & RD_NEW_SESSION) {
        if ((ret = rd_sys0(__NR_setsid)) < 0)
            return rd_child_fail(p, RD_STAGE_SESSION, ret);
    } else if (p->flags & (RD_NEW_GROUP | RD_JOIN_GROUP)) {
        if ((ret = rd_sys2(__NR_setpgid, 0, (p->flags & RD_JOIN_GROUP) ? p->group : 0)) < 0)
            return rd_child_fail(p, RD_STAGE_SESSION, ret);
    }
    if (p->flags & RD_FOREGROUND) {
        /* All signals are blocked, so a background group may do this without SIGTTOU. */
        int32_t own = (int32_t)rd_sys0(__NR_getpid);
        if ((ret = rd_sys3(__NR_ioctl, p->terminal, 0x5410 /* TIOCSPGRP */, &own)) < 0)
            return rd_child_fail(p, RD_STAGE_TERMINAL, ret);
    }
    if (p->death_signal) {
        if ((ret = rd_sys5(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, p->death_signal, 0, 0, 0)) < 0)
            return rd_child_fail(p, RD_STAGE_DEATH_SIGNAL, ret);
        /* A parent that died before the prctl sends nothing any more. */
        if (p->parent_pid && rd_sys0(__NR_getppid) != p->parent_pid)
            return rd_child_fail(p, RD_STAGE_PARENT, -3 /* ESRCH */);
    }
    if (p->cgroup_fd >= 0) {
        static const char procs[] = "cgroup.procs", self[] = "0";
        long fd = rd_sys4(__NR_openat, p->cgroup_fd, procs, 0x80001 /* O_WRONLY|O_CLOEXEC */, 0);
        if (fd < 0)
            return rd_child_fail(p, RD_STAGE_CGROUP, fd);
        ret = rd_sys3(__NR_write, fd, self, 1);
        rd_close((int)fd);
        if (ret < 0)
            return rd_child_fail(p, RD_STAGE_CGROUP, ret);
    }
    if (p->cwd && (ret = rd_sys1(__NR_chdir, p->cwd)) < 0)
        return rd_child_fail(p, RD_STAGE_CWD, ret);
    if ((ret = rd_child_place_fds(p)) < 0)
        return rd_child_fail(p, RD_STAGE_FDS, ret);
    if (p->listen_pid)
        rd_child_write_pid(p->listen_pid);

    uint64_t none = 0;
    rd_sigprocmask(RD_CHILD_SIG_SETMASK, &none, 0);
    ret = rd_sys3(__NR_execve, p->executable, p->argv, p->env);
    /* ENOENT has two meanings: no such file, or no such interpreter for a file that is there. */
    if (ret == -2 && rd_sys3(__NR_faccessat, -100, p->executable, 0) == 0)
        return rd_child_fail(p, RD_STAGE_INTERPRETER, ret);
    return rd_child_fail(p, RD_STAGE_EXEC, ret);
}

#endif
