/* Starting a child without copying its parent. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "raydp_proc.h"
#include "sys.h"

extern char **environ;

enum { STACK_SIZE = 16 * 1024 };

/* What the parent prepares, and throws away once the child has exec'd. */
struct launch {
    struct rd_plan plan;
    char **argv, **env;
    int32_t *fd_map;
    char *env_copy;
    char *stack;    /* STACK_SIZE bytes of the caller's frame, which is suspended while the child uses them */
};

static char **split(const char *blob, uint64_t len)
{
    size_t count = 0, at = 0;
    for (uint64_t i = 0; i < len; i++)
        count += blob[i] == '\0';
    char **vector = malloc((count + 1) * sizeof *vector);
    if (!vector)
        return NULL;
    for (uint64_t start = 0; start < len; start += strlen(blob + start) + 1)
        vector[at++] = (char *)blob + start;
    vector[at] = NULL;
    return vector;
}

static void launch_free(struct launch *l)
{
    free(l->argv);
    if (l->env != environ)
        free(l->env);
    free(l->env_copy);
    free(l->fd_map);
}

/* The child writes its pid over these digits: the value must be wide enough for any pid. */
static char *find_listen_pid(char **env)
{
    static const char name[] = "LISTEN_PID=";
    for (; *env; env++)
        if (!strncmp(*env, name, sizeof name - 1) && strlen(*env) >= sizeof name - 1 + 10)
            return *env + sizeof name - 1;
    return NULL;
}

static int launch_prepare(struct launch *l, const rd_spec *spec, char *stack, int *stage)
{
    const int known = RD_NEW_SESSION | RD_NEW_GROUP | RD_FOREGROUND | RD_JOIN_GROUP | RD_ERROR_PIPE | RD_LISTEN_PID;
    memset(l, 0, sizeof *l);
    l->stack = stack;
    *stage = RD_STAGE_SPEC;
    if (spec->size != sizeof *spec || (spec->flags & ~(uint32_t)known) || !spec->executable || !spec->argv ||
        !spec->argv_len || spec->argv[spec->argv_len - 1] != '\0' || spec->method > RD_METHOD_THREAD)
        return -EINVAL;
    if (spec->env && spec->env_len && spec->env[spec->env_len - 1] != '\0')
        return -EINVAL;
    for (uint32_t i = 0; i < 2 * spec->fd_pairs; i++)
        if (spec->fd_map[i] < 0 || spec->fd_map[i] == INT32_MAX)
            return -EBADF;

    *stage = RD_STAGE_MEMORY;
    if (!(l->argv = split(spec->argv, spec->argv_len)))
        return -ENOMEM;
    if (!spec->env) {
        l->env = environ;
    } else if (spec->flags & RD_LISTEN_PID) {
        if (!(l->env_copy = malloc(spec->env_len + 1)))
            return -ENOMEM;
        memcpy(l->env_copy, spec->env, spec->env_len);
        l->env = split(l->env_copy, spec->env_len);
    } else {
        l->env = split(spec->env, spec->env_len);
    }
    if (!l->env)
        return -ENOMEM;
    if (spec->fd_pairs) {
        if (!(l->fd_map = malloc(2 * sizeof(int32_t) * spec->fd_pairs)))
            return -ENOMEM;
        memcpy(l->fd_map, spec->fd_map, 2 * sizeof(int32_t) * spec->fd_pairs);
    }
    l->plan = (struct rd_plan){
        .flags = spec->flags,
        .death_signal = spec->death_signal,
        .parent_pid = spec->death_signal ? getpid() : 0,
        .terminal = spec->terminal,
        .group = spec->group,
        .cgroup_fd = spec->cgroup_fd,
        .error_pipe = -1,
        .keep_ignored = spec->keep_ignored,
        .executable = spec->executable,
        .cwd = spec->cwd,
        .argv = l->argv,
        .env = l->env,
        .listen_pid = (spec->flags & RD_LISTEN_PID) && spec->env ? find_listen_pid(l->env) : NULL,
        .fd_map = l->fd_map,
        .fd_pairs = spec->fd_pairs,
    };
    *stage = RD_STAGE_NONE;
    return 0;
}

static void reap(int32_t pid)
{
    struct rd_ksiginfo info;
    while (rd_sys5(__NR_waitid, RD_P_PID, pid, &info, RD_WEXITED | RD_WALL, 0) == -EINTR)
        ;
}

static int is_unsupported(int err)
{
    return err == ENOSYS || err == EPERM || err == EINVAL || err == E2BIG || err == EOPNOTSUPP;
}

static void forget(int32_t pid, int has_pidfd, int32_t *pidfd)
{
    reap(pid);
    if (has_pidfd) {
        close(*pidfd);
        *pidfd = -1;
    }
}

static int64_t clone_plain(struct launch *l, int want_pidfd, int32_t *pidfd)
{
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD | (want_pidfd ? CLONE_PIDFD : 0);
    if (l->plan.shares_fds)
        flags |= CLONE_FILES;
    int pid = clone(rd_child_main, l->stack + STACK_SIZE, flags, &l->plan, pidfd, NULL, NULL);
    return pid < 0 ? -errno : pid;
}

/* clone3 is used only where nothing else serves: birth inside a cgroup. */
static int64_t clone_into_cgroup(struct launch *l, int cgroup_fd, int want_pidfd, int32_t *pidfd)
{
    struct rd_clone_args args = {
        .flags = RD_CLONE_VM | RD_CLONE_VFORK | RD_CLONE_INTO_CGROUP | (want_pidfd ? RD_CLONE_PIDFD : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)l->stack,
        .stack_size = STACK_SIZE - 2 * sizeof(void *),
        .cgroup = (uint64_t)cgroup_fd,
    };
    if (l->plan.shares_fds)
        args.flags |= CLONE_FILES;
    return rd_clone3_call(&args, sizeof args, l->stack + STACK_SIZE, rd_child_main, &l->plan);
}

static int64_t clone_anywhere(struct launch *l, const rd_spec *spec, int want_pidfd, int32_t *pidfd)
{
    if (spec->cgroup_fd >= 0) {
        l->plan.cgroup_fd = -1;
        int64_t pid = clone_into_cgroup(l, spec->cgroup_fd, want_pidfd, pidfd);
        if (pid > 0 && !l->plan.started && !(spec->flags & RD_ERROR_PIPE)) {
            /* SIGKILLed before its first instruction: Linux 6.14 and later compare the count of
             * cgroup.kill writes of *our* cgroup with that of the child's, and kill where they differ. */
            forget((int32_t)pid, want_pidfd, pidfd);
        } else if (pid >= 0 || l->plan.started || !is_unsupported((int)-pid)) {
            return pid;
        }
        l->plan.cgroup_fd = spec->cgroup_fd;
    }
    return clone_plain(l, want_pidfd, pidfd);
}

/* /proc/self/fd/N, /dev/fd/N, /dev/stdin. */
static int may_name_fd(const char *path)
{
    return path && (!strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/", 5));
}

static int32_t above_all_needed(const struct rd_plan *plan, const rd_spec *spec)
{
    int32_t highest = spec->cgroup_fd > 2 ? spec->cgroup_fd : 2;
    if ((spec->flags & RD_FOREGROUND) && spec->terminal > highest)
        highest = spec->terminal;
    for (uint32_t i = 0; i < plan->fd_pairs; i++)
        if (plan->fd_map[2 * i] > highest)
            highest = plan->fd_map[2 * i];
    return highest + 1;
}

/* A fork copies the descriptor table, and its cost grows with the table. So the child is born with ours and
 * first of all takes a copy of the few it needs; where that is refused it is born once more, the usual way. */
static int64_t clone_child(struct launch *l, const rd_spec *spec, int want_pidfd, int32_t *pidfd)
{
    /* Not without vfork, where we would race it for our own table; nor where a path may lead through it. */
    l->plan.shares_fds = !(spec->flags & RD_ERROR_PIPE) && !may_name_fd(spec->executable) && !may_name_fd(spec->cwd);
    l->plan.unshare_from = above_all_needed(&l->plan, spec);
    int64_t pid = clone_anywhere(l, spec, want_pidfd, pidfd);
    int was_born = pid > 0 && l->plan.stage;
    if (l->plan.shares_fds && (was_born || (pid < 0 && is_unsupported((int)-pid)))) {
        if (was_born)
            forget((int32_t)pid, want_pidfd, pidfd);
        l->plan.started = l->plan.stage = l->plan.err = l->plan.shares_fds = 0;
        pid = clone_anywhere(l, spec, want_pidfd, pidfd);
    }
    return pid;
}

/* ---- RD_METHOD_THREAD ------------------------------------------------------------------ */

struct watcher {
    int32_t pid, event_fd;
};

static void *watch_exit(void *arg)
{
    struct watcher *w = arg;
    struct rd_ksiginfo info;
    uint64_t one = 1;
    /* WNOWAIT: the exit is observed here and reaped by whoever calls rd_wait. */
    while (rd_sys5(__NR_waitid, RD_P_PID, w->pid, &info, RD_WEXITED | RD_WNOWAIT | RD_WALL, 0) == -EINTR)
        ;
    while (write(w->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    close(w->event_fd);
    free(w);
    return NULL;
}

static int watch_start(int32_t pid, int event_fd)
{
    pthread_attr_t attr;
    pthread_t thread;
    struct watcher *w = malloc(sizeof *w);
    if (!w)
        return -ENOMEM;
    w->pid = pid;
    if ((w->event_fd = fcntl(event_fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        int err = -errno;
        free(w);
        return err;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN + 16384);
    int err = pthread_create(&thread, &attr, watch_exit, w); /* inherits our fully blocked mask */
    pthread_attr_destroy(&attr);
    if (err) {
        close(w->event_fd);
        free(w);
    }
    return -err;
}

/* ---- putting it together --------------------------------------------------------------- */

static int fail(rd_child *out, int stage, int err)
{
    out->stage = stage;
    out->err = err;
    return -err;
}

/* Where vfork is emulated by fork, neither memory nor suspension is shared: read the pipe until
 * exec closes it. */
static void await_error_pipe(int fd, struct rd_plan *plan)
{
    int32_t told[2];
    ssize_t n;
    do
        n = read(fd, told, sizeof told);
    while (n < 0 && errno == EINTR);
    plan->started = 1;
    if (n == (ssize_t)sizeof told) {
        plan->stage = told[0];
        plan->err = told[1];
    }
}

static int make_error_pipe(const struct rd_plan *plan, int fds[2])
{
    int above = 2;
    for (uint32_t i = 0; i < plan->fd_pairs; i++)
        if (plan->fd_map[2 * i + 1] > above)
            above = plan->fd_map[2 * i + 1];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    int high = fcntl(fds[1], F_DUPFD_CLOEXEC, above + (int)plan->fd_pairs + 8);
    int err = errno;
    close(fds[1]);
    fds[1] = high;
    if (high < 0) {
        close(fds[0]);
        return -err;
    }
    return 0;
}

int rd_spawn(const rd_spec *spec, rd_child *out)
{
    char stack[STACK_SIZE] __attribute__((aligned(16)));
    struct launch l;
    int stage, pipe_fds[2] = {-1, -1}, event_fd = -1;
    uint64_t all = ~0ull, old;

    memset(out, 0, sizeof *out);
    out->fd = -1;
    int err = launch_prepare(&l, spec, stack, &stage);
    if (err < 0) {
        launch_free(&l);
        return fail(out, stage, -err);
    }
    if ((spec->flags & RD_ERROR_PIPE)) {
        if ((err = make_error_pipe(&l.plan, pipe_fds)) < 0) {
            launch_free(&l);
            return fail(out, RD_STAGE_MEMORY, -err);
        }
        l.plan.error_pipe = pipe_fds[1];
    }

    uint32_t method = spec->method ? spec->method : RD_METHOD_CLONE_PIDFD;
    int32_t pidfd = -1;
    rd_sigprocmask(SIG_SETMASK, &all, &old);
    int64_t pid = clone_child(&l, spec, method == RD_METHOD_CLONE_PIDFD, &pidfd);
    if (pid < 0 && method == RD_METHOD_CLONE_PIDFD && !spec->method && is_unsupported((int)-pid)) {
        method = RD_METHOD_PIDFD_OPEN;
        pid = clone_child(&l, spec, 0, NULL);
    }
    if (pipe_fds[1] >= 0)
        close(pipe_fds[1]);
    if (pid < 0) {
        fail(out, RD_STAGE_CLONE, (int)-pid);
        goto done;
    }
    if (pipe_fds[0] >= 0)
        await_error_pipe(pipe_fds[0], &l.plan);
    if (l.plan.stage) {
        reap((int32_t)pid);
        if (pidfd >= 0)
            close(pidfd);
        fail(out, l.plan.stage, l.plan.err);
        goto done;
    }

    out->pid = (int32_t)pid;
    err = 0;
    if (method == RD_METHOD_PIDFD_OPEN) {
        pidfd = (int)rd_sys2(__NR_pidfd_open, pid, 0);
        if (pidfd < 0 && !spec->method && is_unsupported(-pidfd))
            method = RD_METHOD_THREAD;
        else if (pidfd < 0)
            err = pidfd;
    }
    if (method == RD_METHOD_THREAD) {
        pidfd = event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        err = event_fd < 0 ? -errno : watch_start((int32_t)pid, event_fd);
    }
    if (err < 0) { /* a child nobody could wait for must not run */
        rd_sys2(__NR_kill, pid, SIGKILL);
        reap((int32_t)pid);
        if (event_fd >= 0)
            close(event_fd);
        out->pid = 0;
        fail(out, RD_STAGE_CLONE, -err);
        goto done;
    }
    out->fd = pidfd;
    out->method = method;

done:
    rd_sigprocmask(SIG_SETMASK, &old, NULL);
    if (pipe_fds[0] >= 0)
        close(pipe_fds[0]);
    launch_free(&l);
    return out->err ? -out->err : 0;
}

int rd_which(const char *name, const char *path, char *out, size_t out_len)
{
    size_t name_len = strlen(name);
    int denied = 0;
    if (!name_len)
        return -ENOENT;
    if (strchr(name, '/')) {
        if (name_len >= out_len)
            return -ENAMETOOLONG;
        memcpy(out, name, name_len + 1);
        return 0;
    }
    while (path) {
        const char *end = strchrnul(path, ':');
        size_t dir_len = (size_t)(end - path);
        if (dir_len + name_len + 3 <= out_len) {
            struct stat st;
            char *at = out;
            if (!dir_len) /* an empty element is the current directory */
                *at++ = '.';
            memcpy(at, path, dir_len);
            at += dir_len;
            *at++ = '/';
            memcpy(at, name, name_len + 1);
            if (!stat(out, &st) && S_ISREG(st.st_mode)) {
                if (!faccessat(AT_FDCWD, out, X_OK, AT_EACCESS))
                    return 0;
                denied = 1;
            }
        }
        path = *end ? end + 1 : NULL;
    }
    return denied ? -EACCES : -ENOENT;
}

/* ---- probe ----------------------------------------------------------------------------- */

struct probe {
    volatile int shared;
};

static RD_BARE int probe_child(void *arg)
{
    ((struct probe *)arg)->shared = 1;
    return 0;
}

int rd_probe(rd_caps *out)
{
    uint64_t all = ~0ull, old;
    struct probe probe = {0};
    int pidfd = -1;
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    memset(out, 0, sizeof *out);
    if (stack == MAP_FAILED)
        return -errno;
    rd_sigprocmask(SIG_SETMASK, &all, &old);
    /* No exit signal: a probe must not wake a SIGCHLD handler, nor a waitpid(-1), of the host. */
    int pid = clone(probe_child, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, &probe, &pidfd, NULL, NULL);
    out->clone_pidfd = pid > 0 && pidfd >= 0;
    if (pid < 0 && is_unsupported(errno))
        pid = clone(probe_child, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, &probe, NULL, NULL, NULL);
    int err = pid < 0 ? -errno : 0;
    if (pid > 0) {
        out->vfork = (uint32_t)probe.shared;
        int opened = (int)rd_sys2(__NR_pidfd_open, pid, 0);
        out->pidfd_open = opened >= 0;
        if (opened >= 0)
            close(opened);
        else if (!is_unsupported(-opened)) /* want of descriptors says nothing about the kernel */
            err = opened;
        reap(pid);
    }
    if (pidfd >= 0)
        close(pidfd);
    rd_sigprocmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK_SIZE);
    out->close_range = rd_sys3(__NR_close_range, ~0u - 1, ~0u - 1, 4) >= 0;
    out->method = out->clone_pidfd ? RD_METHOD_CLONE_PIDFD
                  : out->pidfd_open ? RD_METHOD_PIDFD_OPEN
                                    : RD_METHOD_THREAD;
    return err;
}
