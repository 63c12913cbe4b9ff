/* Starting a command: the driver, and the delivery. */
#include "../child.h"
#include "guard.h"

static char driver_stack[16 * 1024] __attribute__((aligned(16)));

struct limits {
    int64_t nofile;
    int32_t umask;
};

static void reap_pid(int32_t pid)
{
    struct rd_ksiginfo info;
    long ret;
    G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_PID, pid, &info, RD_WEXITED | RD_WALL, 0));
    (void)ret;
}

static int spawn(struct rd_plan *plan, int cgroup)
{
    unsigned long flags = RD_CLONE_VM | RD_CLONE_VFORK | G_SIGCHLD;
    char *top = driver_stack + sizeof driver_stack;
    int32_t pipe[2] = {-1, -1};
    long pid = -1;

    plan->started = plan->stage = plan->err = 0;
    plan->error_pipe = -1;
    plan->cgroup_fd = -1;
    if (plan->flags & RD_ERROR_PIPE) { /* emulated vfork: see rd_spawn */
        long ret = rd_sys2(__NR_pipe2, pipe, G_O_CLOEXEC);
        if (ret < 0)
            return (int)ret;
        plan->error_pipe = pipe[1];
    }
    if (cgroup >= 0) {
        struct rd_clone_args args = {
            .flags = RD_CLONE_VM | RD_CLONE_VFORK | RD_CLONE_INTO_CGROUP,
            .exit_signal = G_SIGCHLD,
            .stack = (uint64_t)(uintptr_t)driver_stack,
            .stack_size = sizeof driver_stack - 2 * sizeof(void *),
            .cgroup = (uint64_t)cgroup,
        };
        pid = rd_clone3_call(&args, sizeof args, top, rd_child_main, plan);
        if (pid > 0 && !plan->started && !(plan->flags & RD_ERROR_PIPE)) {
            reap_pid((int32_t)pid); /* killed at its birth: see clone_anywhere in spawn.c */
            pid = -1;
        }
        if (pid < 0)
            plan->cgroup_fd = cgroup; /* no clone3 here: the child moves itself */
    }
    if (pid < 0)
        pid = rd_clone_call(flags, top, 0, rd_child_main, plan);
    if (pipe[0] >= 0) {
        int32_t told[2];
        rd_close(pipe[1]);
        long n = 0;
        if (pid >= 0)
            G_RETRY(n, rd_sys3(__NR_read, pipe[0], told, sizeof told));
        if (n == (long)sizeof told) {
            plan->stage = told[0];
            plan->err = told[1];
        }
        rd_close(pipe[0]);
    }
    return (int)pid;
}

/* 0-2 are the driver's, and closed once it has them; where the owner had one of them closed, what is opened
 * here must not take its place. */
int g_above_streams(long fd)
{
    if (fd < 0 || fd > 2)
        return (int)fd;
    long moved = rd_sys3(__NR_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, 3);
    rd_close((int)fd);
    return (int)moved;
}

static const char BEGAN[] = "began"; /* in the record's directory: from here on there may be a driver */

void g_start_failed(int stage, long err)
{
    rd_guard_tell *t = g_new_tell(RD_TELL_START_FAILED);
    t->stage = stage;
    t->err = (int32_t)-err;
    if (g.cfg.flags & RD_GUARD_OUTPUT) {
        rd_sys3(__NR_unlinkat, g.cfg.record_dir, BEGAN, 0);
        g_record_release(g.cfg.record_dir, g.cfg.record_name);
    }
    g_tell_all(t);
    g_cgroup_remove();
    g_leave(125);
}

/* The driver is born with them; the guard's own come back, for the record's mode and the guard's descriptors. */
static void swap_limits(struct limits *l)
{
    struct rd_rlimit now;
    if (l->umask >= 0)
        l->umask = (int32_t)rd_sys1(__NR_umask, l->umask);
    if (l->nofile < 0 || rd_sys4(__NR_prlimit64, 0, 7 /* RLIMIT_NOFILE */, 0, &now) < 0)
        return;
    int64_t before = now.soft > INT64_MAX ? INT64_MAX : (int64_t)now.soft;
    now.soft = (uint64_t)l->nofile < now.hard ? (uint64_t)l->nofile : now.hard;
    rd_sys4(__NR_prlimit64, 0, 7, &now, 0);
    l->nofile = before;
}

/* Everybody can read our command line: a driver that has wiped a password off its own wants it nowhere else. */
static void forget_command(char *const *argv)
{
    for (; *argv; argv++)
        for (char *c = *argv; *c; c++)
            *c = 0;
}

void g_start_driver(void)
{
    static struct rd_plan plan;
    static int32_t map[2 * 32];
    for (uint32_t i = 0; i < g.cfg.keep_fds_count; i++)
        map[2 * i] = map[2 * i + 1] = g.cfg.keep_fds[i];
    plan.flags = g.cfg.spawn_flags;
    plan.death_signal = G_SIGKILL; /* should the guard be killed, the driver goes with it */
    plan.parent_pid = g.self;
    plan.terminal = g.cfg.terminal;
    plan.group = g.cfg.group;
    plan.keep_ignored = g.cfg.keep_ignored;
    plan.executable = g.argv[0];
    plan.cwd = g.argv[1][0] ? g.argv[1] : 0;
    plan.argv = g.argv + 2 + g.cfg.deliver_argc;
    plan.env = g.env;
    plan.fd_map = map;
    plan.fd_pairs = g.cfg.keep_fds_count;

    if ((g.cfg.flags & RD_GUARD_OUTPUT) && g.cfg.record_dir >= 0) {
        int ret = g_record_reserve(g.cfg.record_dir, g.cfg.record_name);
        if (ret < 0)
            g_start_failed(RD_STAGE_GUARD, ret);
        /* Whoever finds neither this nor us may start the job anew. */
        long began = rd_sys4(__NR_openat, g.cfg.record_dir, BEGAN,
                             G_O_WRONLY | G_O_CREAT | G_O_NOFOLLOW | G_O_CLOEXEC, 0600);
        if (began < 0)
            g_start_failed(RD_STAGE_GUARD, began);
        rd_close((int)began);
    }
    g_output_open();
    g_cgroup_make();
    g.oom_before = g_oom_kills(g.cfg.oom_fd);
    g.started = g_now();
    g.rec.started_wall_ns = g_wall();
    struct limits limits = {g.cfg.nofile, g.cfg.umask};
    swap_limits(&limits);
    int pid = spawn(&plan, g.cgroup);
    if (pid > 0 && plan.stage == RD_STAGE_CGROUP) { /* can't be entered: do without */
        reap_pid(pid);
        g_cgroup_remove();
        pid = spawn(&plan, -1);
    }
    swap_limits(&limits);
    if (pid < 0)
        g_start_failed(RD_STAGE_CLONE, pid);
    if (plan.stage) {
        reap_pid(pid);
        g_start_failed(plan.stage, -plan.err);
    }
    forget_command(plan.argv);
    g.driver = g.rec.driver_pid = pid;
    g.rec.cgroup = g.cgroup >= 0;
    g.rec.phase = RD_PHASE_RUNNING;
    long sent = g_tell(RD_TELL_STARTED);

    /* The driver's streams are its own: a reader of its output must see EOF when the job ends, and
     * a writer to its input EPIPE, without waiting for the guard. */
    for (int fd = 0; fd <= 2; fd++)
        rd_close(fd);
    for (uint32_t i = 0; i < g.cfg.keep_fds_count; i++)
        rd_close(g.cfg.keep_fds[i]);
    g.active_at = g.cfg.active_deadline_ns > 0 ? g_later(g.started, g.cfg.active_deadline_ns) : G_NEVER;
    g.start_at = g.cfg.start_deadline_ns > 0 ? g_later(g.started, g.cfg.start_deadline_ns) : G_NEVER;
    if (g_is_broken(sent))
        g_give_up(sent); /* the owner waits for a word that can't be said */
}

static char **owner_env(void)
{
    long size = rd_sys3(__NR_lseek, g.cfg.deliver_env, 0, 2 /* SEEK_END */);
    if (size <= 0)
        return 0;
    long at = rd_sys6(__NR_mmap, 0, size, 3 /* READ|WRITE */, 2 /* MAP_PRIVATE */, g.cfg.deliver_env, 0);
    if (at < 0)
        return 0;
    char **env = (char **)at;
    for (char **s = env; *s; s++)
        *s = (char *)env + (uintptr_t)*s;
    return env;
}

/* Without the job's mark: who sweeps for what is left of the job would end the delivery too. */
static char **delivery_env(void)
{
    static const char mark[] = "RAYDP_WRAP_ATTEMPT_ID=";
    char **env = g.cfg.deliver_env >= 0 ? owner_env() : 0;
    if (!env)
        env = g.env;
    char **to = env;
    for (char **s = env; *s; s++) {
        size_t n = 0;
        while (n < sizeof mark - 1 && (*s)[n] == mark[n])
            n++;
        if (n < sizeof mark - 1)
            *to++ = *s;
    }
    *to = 0;
    return env;
}

/* The owner is gone and may have reported nothing: start the command it gave for that case, with
 * the record on its stdin, so that it works on a full disk too. */
void g_start_delivery(void)
{
    static struct rd_plan plan;
    static int32_t map[2 * (3 + 32)];
    static char *argv[34];
    uint32_t argc = g.cfg.deliver_argc;
    for (uint32_t i = 0; i < argc && i < 33; i++)
        argv[i] = g.argv[2 + i];
    /* Our own 0-2 are closed: the next three descriptors opened land there or above, never on a
     * stranger's, and child.h moves what would collide. */
    long in = g_record_memfd(&g.cfg, &g.rec);
    long null = rd_sys4(__NR_openat, G_AT_FDCWD, "/dev/null", G_O_RDWR | G_O_CLOEXEC, 0);
    if (in < 0)
        in = null;
    uint32_t pairs = 0;
    for (int fd = 0; null >= 0 && fd <= 2; fd++) {
        map[2 * pairs] = (int32_t)(fd == 0 ? in : null);
        map[2 * pairs++ + 1] = fd;
    }
    for (uint32_t i = 0; i < g.cfg.hold_fds_count; i++, pairs++)
        map[2 * pairs] = map[2 * pairs + 1] = g.cfg.hold_fds[i];
    plan.flags = RD_NEW_SESSION | (g.cfg.spawn_flags & RD_ERROR_PIPE);
    plan.executable = argv[0];
    plan.argv = argv;
    plan.env = delivery_env();
    plan.fd_map = map;
    plan.fd_pairs = pairs;
    spawn(&plan, -1);
}
