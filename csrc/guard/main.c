/* The guard: parent and subreaper of one driver, from its start to an empty tree.
 *
 * All signals are blocked; one ppoll waits for the life socket, the owner's pidfd, SIGCHLD and
 * stop signals (signalfd), connections, and the nearest deadline. Nothing else runs.
 */
#include "../child.h"
#include "guard.h"

enum { CONNECTIONS = 4, TOLD = 64, FDS = 4 + CONNECTIONS, CGROUP_DEPTH = 8, DEAF_MAX = 16 };
#define NEVER INT64_MAX
#define STARTER_SEND_NS RD_NS_PER_S /* how long a detached guard waits for a starter that doesn't read */

static struct {
    rd_guard_config cfg;
    rd_record rec;
    char *const *argv;    /* after the guard's own name and descriptor */
    char *const *env;
    int32_t self, driver;
    int life, signals, owner, cgroup;
    int conn[CONNECTIONS];
    int owner_dead, driver_reaped, leads_group, killing, done, no_more;
    int unsent;           /* the owner, which doesn't read, has yet to be told of the end */
    int deaf;             /* failures to read from it, one after the other */
    int32_t record_errno, record_retried;
    int64_t clock;        /* the latest moment known to have come */
    int64_t started, kill_at, pending_at, active_at, start_at;
    int64_t oom_before;
    int32_t told[TOLD];   /* children that had the stop signal */
    int alive, foreign, unlisted; /* of the last look at what is left */
} g;

static char driver_stack[16 * 1024] __attribute__((aligned(16)));

/* ---- time -------------------------------------------------------------------------------- */

enum { CLOCK_WALL = 0, CLOCK_STEADY = 1 /* CLOCK_MONOTONIC: stands still while the machine is suspended */ };

static int64_t read_clock(int clock)
{
    struct rd_timespec ts = {0, 0};
    for (int i = 0; i < 3; i++)
        if (rd_sys2(__NR_clock_gettime, clock, &ts) == 0)
            break;
    return ts.sec * RD_NS_PER_S + ts.nsec;
}

/* Never earlier than what a wait that ran out has shown: without a clock the ladder still goes on. */
static int64_t g_now(void)
{
    int64_t now = read_clock(CLOCK_STEADY);
    if (now > g.clock)
        g.clock = now;
    return g.clock;
}

static int64_t g_wall(void)
{
    return read_clock(CLOCK_WALL);
}

/* ---- telling ---------------------------------------------------------------------------- */

static long send_to(int fd, const rd_guard_tell *t)
{
    long ret = 0;
    for (int i = 0; i < 3; i++) {
        G_RETRY(ret, rd_sys6(__NR_sendto, fd, (long)t, sizeof *t, 0x4040 /* MSG_DONTWAIT|MSG_NOSIGNAL */, 0, 0));
        if (ret >= 0 || ret == -G_EAGAIN || ret == -G_EPIPE || ret == -G_ECONNRESET)
            break;
    }
    return ret;
}

/* Neither said, nor unsaid because nobody is there or doesn't read. */
static int is_broken(long sent)
{
    return sent < 0 && sent != -G_EAGAIN && sent != -G_EPIPE && sent != -G_ECONNRESET;
}

static rd_guard_tell *new_tell(uint32_t type)
{
    static rd_guard_tell t;
    memset(&t, 0, sizeof t);
    t.version = RD_GUARD_VERSION;
    t.type = type;
    t.record_errno = g.record_errno;
    t.record_retried = g.record_retried;
    memcpy(&t.record, &g.rec, sizeof g.rec);
    return &t;
}

/* What came of telling the owner. */
static long tell_all(const rd_guard_tell *t)
{
    long sent = g.life >= 0 ? send_to(g.life, t) : 0;
    for (int i = 0; i < CONNECTIONS; i++)
        if (g.conn[i] >= 0)
            send_to(g.conn[i], t); /* one that doesn't read loses news, not the record */
    return sent;
}

static long tell(uint32_t type)
{
    return tell_all(new_tell(type));
}

static void note_error(long err)
{
    if (!g.rec.guard_errno)
        g.rec.guard_errno = (int32_t)-err;
}

static __attribute__((noreturn)) void leave(int code)
{
    for (;;)
        rd_sys1(__NR_exit_group, code);
}

/* ---- starting a command ------------------------------------------------------------------ */

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
static int above_streams(long fd)
{
    if (fd < 0 || fd > 2)
        return (int)fd;
    long moved = rd_sys3(__NR_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, 3);
    rd_close((int)fd);
    return (int)moved;
}

static void make_cgroup(void)
{
    int parent = g.cfg.cgroup_parent;
    if (parent < 0 || !g.cfg.cgroup_name[0])
        return;
    if (rd_sys3(__NR_mkdirat, parent, g.cfg.cgroup_name, 0755) < 0)
        return; /* not ours to write after all: the tree is still held without it */
    long fd = rd_sys4(__NR_openat, parent, g.cfg.cgroup_name, G_O_DIRECTORY | G_O_CLOEXEC | G_O_NOFOLLOW, 0);
    if (fd < 0)
        rd_sys3(__NR_unlinkat, parent, g.cfg.cgroup_name, 0x200 /* AT_REMOVEDIR */);
    g.cgroup = fd < 0 ? -1 : above_streams(fd);
}

/* With those inside it: a guard that ran in this job, and died with it, can't remove its own. */
static void remove_cgroups(int parent, const char *name, int depth)
{
    char buf[512] __attribute__((aligned(8)));
    if (rd_sys3(__NR_unlinkat, parent, name, 0x200 /* AT_REMOVEDIR */) == 0 || depth >= CGROUP_DEPTH)
        return;
    long dir = rd_sys4(__NR_openat, parent, name, G_O_DIRECTORY | G_O_CLOEXEC | G_O_NOFOLLOW, 0), n;
    if (dir < 0)
        return;
    while ((n = rd_sys3(__NR_getdents64, dir, buf, sizeof buf)) > 0) {
        for (long at = 0; at < n; at += *(uint16_t *)(buf + at + 16)) {
            const char *entry = buf + at + 19;
            if (buf[at + 18] == 4 /* DT_DIR */ && entry[0] != '.')
                remove_cgroups((int)dir, entry, depth + 1);
        }
    }
    rd_close((int)dir);
    rd_sys3(__NR_unlinkat, parent, name, 0x200);
}

static void remove_cgroup(void)
{
    if (g.cgroup < 0)
        return;
    rd_close(g.cgroup);
    g.cgroup = -1;
    remove_cgroups(g.cfg.cgroup_parent, g.cfg.cgroup_name, 0);
}

static __attribute__((noreturn)) void start_failed(int stage, long err)
{
    rd_guard_tell *t = new_tell(RD_TELL_START_FAILED);
    t->stage = stage;
    t->err = (int32_t)-err;
    tell_all(t);
    remove_cgroup();
    leave(125);
}

static __attribute__((noreturn)) void give_up(long err);

static void start_driver(void)
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

    make_cgroup();
    g.oom_before = g_oom_kills(g.cfg.oom_fd);
    g.started = g_now();
    g.rec.started_wall_ns = g_wall();
    int pid = spawn(&plan, g.cgroup);
    if (pid > 0 && plan.stage == RD_STAGE_CGROUP) { /* can't be entered: do without */
        reap_pid(pid);
        remove_cgroup();
        pid = spawn(&plan, -1);
    }
    if (pid < 0)
        start_failed(RD_STAGE_CLONE, pid);
    if (plan.stage) {
        reap_pid(pid);
        start_failed(plan.stage, -plan.err);
    }
    g.driver = g.rec.driver_pid = pid;
    g.rec.cgroup = g.cgroup >= 0;
    g.rec.phase = RD_PHASE_RUNNING;
    long sent = tell(RD_TELL_STARTED);

    /* The driver's streams are its own: a reader of its output must see EOF when the job ends, and
     * a writer to its input EPIPE, without waiting for the guard. */
    for (int fd = 0; fd <= 2; fd++)
        rd_close(fd);
    for (uint32_t i = 0; i < g.cfg.keep_fds_count; i++)
        rd_close(g.cfg.keep_fds[i]);
    g.active_at = g.cfg.active_deadline_ns > 0 ? g_later(g.started, g.cfg.active_deadline_ns) : NEVER;
    g.start_at = g.cfg.start_deadline_ns > 0 ? g_later(g.started, g.cfg.start_deadline_ns) : NEVER;
    if (is_broken(sent))
        give_up(sent); /* the owner waits for a word that can't be said */
}

/* The owner is gone and may have reported nothing: start the command it gave for that case, with
 * the record on its stdin, so that it works on a full disk too. */
static void start_delivery(void)
{
    static struct rd_plan plan;
    static int32_t map[6];
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
    map[0] = (int32_t)in;
    map[1] = 0;
    map[2] = map[4] = (int32_t)null;
    map[3] = 1;
    map[5] = 2;
    plan.flags = RD_NEW_SESSION | (g.cfg.spawn_flags & RD_ERROR_PIPE);
    plan.executable = argv[0];
    plan.argv = argv;
    plan.env = g.env;
    plan.fd_map = map;
    plan.fd_pairs = null >= 0 ? 3 : 0;
    spawn(&plan, -1);
}

/* ---- ending the tree --------------------------------------------------------------------- */

static int stop_signal(void)
{
    return g.rec.stop_signal ? g.rec.stop_signal : g.cfg.stop_signal;
}

/* A signal is for the driver, as if it had been called directly: it may want its workers to see a request
 * through, or to survive a reload. Its group is signalled when it has ended, or has to. */
static void signal_driver(int sig)
{
    if (!g.driver_reaped)
        rd_sys2(__NR_kill, g.driver, sig);
}

/* Only while the driver is unreaped: from then on the group's id may be another's. */
static void signal_group(int sig)
{
    if (!g.driver_reaped)
        rd_sys2(__NR_kill, g.leads_group ? -g.driver : g.driver, sig);
}

static int is_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++)
        if (g.told[i] == pid)
            return 1;
    return 0;
}

static int mark_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++) {
        if (!g.told[i]) {
            g.told[i] = pid;
            return 1;
        }
    }
    return 0;
}

static void unmark_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++)
        if (g.told[i] == pid)
            g.told[i] = 0;
}

/* Everyone but the driver is asked once; with the table full the rest meet SIGKILL unasked. */
static void ask_to_end(int32_t pid, void *ctx)
{
    (void)ctx;
    if (pid == g.driver || is_told(pid) || !mark_told(pid))
        return;
    if (g.driver_reaped && g.leads_group && g_group_of(pid) == g.driver)
        return; /* the signal to the group reached it */
    rd_sys2(__NR_kill, pid, stop_signal());
    rd_sys2(__NR_kill, pid, G_SIGCONT); /* a stopped process can't heed it */
}

static void kill_one(int32_t pid, void *ctx)
{
    (void)ctx;
    long ret = rd_sys2(__NR_kill, pid, G_SIGKILL);
    g.alive++;
    if (ret == -G_EPERM) {
        if (g.foreign < 8)
            g.rec.survivor_pid[g.foreign] = pid;
        g.foreign++;
    }
}

static void kill_cgroup(void)
{
    if (g.cgroup < 0)
        return;
    long fd = rd_sys4(__NR_openat, g.cgroup, "cgroup.kill", G_O_WRONLY | G_O_CLOEXEC, 0);
    if (fd < 0)
        return;
    rd_sys3(__NR_write, fd, "1", 1);
    rd_close((int)fd);
}

/* One round: what dies hands its own children to us, and its death wakes us for the next round. */
static void kill_round(void)
{
    if (!g.killing) {
        g.killing = 1;
        g.pending_at = g_later(g_now(), g.cfg.reap_ns);
    }
    signal_group(G_SIGKILL); /* the whole group at once: fork can't slip between */
    kill_cgroup();
    g.alive = g.foreign = 0;
    g.unlisted = g_each_child(g.self, kill_one, 0) < 0;
}

/* The driver's end, observed and not yet reaped: its pid and its group's id are still its own. */
static int driver_is_zombie(void)
{
    struct rd_ksiginfo info;
    info.pid = 0;
    long ret = rd_sys5(__NR_waitid, RD_P_PID, g.driver, &info, RD_WEXITED | RD_WNOHANG | RD_WNOWAIT | RD_WALL, 0);
    return ret == 0 && info.pid == g.driver;
}

static void begin_stop(int cause, int sig, int64_t grace, int32_t pid, uint32_t uid, const char *label)
{
    int64_t now = g_now();
    if (grace < 0)
        grace = g.cfg.grace_ns;
    if (g.driver_reaped || g.rec.cause) {
        /* Under way already: a later request may shorten the grace, and is passed on. */
        if (sig == G_SIGKILL)
            grace = 0;
        if (g_later(now, grace) < g.kill_at)
            g.kill_at = g_later(now, grace);
        if (sig && sig != G_SIGKILL && !g.killing)
            signal_driver(sig);
        return;
    }
    if (driver_is_zombie())
        return; /* it ended first, by itself */
    g.rec.cause = cause;
    g.rec.stop_signal = sig ? sig : g.cfg.stop_signal;
    g.rec.stop_pid = pid;
    g.rec.stop_uid = uid;
    g.rec.stop_wall_ns = g_wall();
    if (label) {
        memcpy(g.rec.stop_label, label, sizeof g.rec.stop_label);
        g.rec.stop_label[sizeof g.rec.stop_label - 1] = 0;
    }
    g.rec.phase = RD_PHASE_STOPPING;
    tell(RD_TELL_STOPPING); /* before the first signal */
    g.active_at = g.start_at = NEVER;
    g.kill_at = g_later(now, grace);
    if (g.rec.stop_signal == G_SIGKILL || grace == 0) {
        g.kill_at = now;
        return; /* the loop is about to see to it */
    }
    signal_driver(g.rec.stop_signal);
    signal_driver(G_SIGCONT);
    g.rec.driver.rung = RD_RUNG_SIGNAL;
    g_each_child(g.self, ask_to_end, 0);
}

static void fill_usage(rd_exit *e, const struct rd_krusage *ru)
{
    e->user_us = ru->utime_s * 1000000 + ru->utime_us;
    e->system_us = ru->stime_s * 1000000 + ru->stime_us;
    e->max_rss_kib = ru->maxrss;
    e->minor_faults = ru->minflt;
    e->major_faults = ru->majflt;
    e->blocks_in = ru->inblock;
    e->blocks_out = ru->oublock;
    e->switches_voluntary = ru->nvcsw;
    e->switches_forced = ru->nivcsw;
}

static void driver_ended(void)
{
    struct rd_ksiginfo info;
    struct rd_krusage ru;
    long ret;

    g.rec.ended_wall_ns = g_wall();
    g.rec.duration_ns = g_now() - g.started;
    /* Whoever is left in its group is asked to end while the zombie still holds the group's id. */
    if (g.leads_group) {
        signal_group(g.killing ? G_SIGKILL : stop_signal());
        signal_group(G_SIGCONT);
    }
    for (int i = 0; i < 3; i++) {
        G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_PID, g.driver, &info, RD_WEXITED | RD_WNOHANG | RD_WALL, &ru));
        if (ret >= 0)
            break;
    }
    g.driver_reaped = 1;
    g.rec.driver_exited = 1;
    if (ret < 0) {
        note_error(ret);
        return;
    }
    g.rec.driver_waited = 1;
    g.rec.driver.code = info.code == RD_CLD_EXITED ? info.status : -1;
    g.rec.driver.signal = info.code == RD_CLD_EXITED ? 0 : info.status;
    g.rec.driver.core_dumped = info.code == RD_CLD_DUMPED;
    fill_usage(&g.rec.driver, &ru);
    if (g.killing)
        g.rec.driver.rung = RD_RUNG_KILL;
}

/* Reap all there is: 1 when nobody is left (proven by ECHILD), 0 when somebody is, or -errno. */
static int reap_all(void)
{
    for (;;) {
        struct rd_ksiginfo info;
        info.pid = 0;
        long ret;
        G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_ALL, 0, &info, RD_WEXITED | RD_WNOHANG | RD_WNOWAIT | RD_WALL, 0));
        if (ret == -G_ECHILD)
            return 1;
        if (ret < 0)
            return (int)ret;
        if (!info.pid)
            return 0;
        if (info.pid == g.driver && !g.driver_reaped) {
            driver_ended();
            if (g.rec.guard_errno)
                return -g.rec.guard_errno;
            continue;
        }
        unmark_told(info.pid);
        if (info.code != RD_CLD_EXITED && (g.driver_reaped || g.rec.phase >= RD_PHASE_STOPPING)) {
            if (info.status == G_SIGKILL)
                g.rec.swept_kill++;
            else if (info.status == stop_signal())
                g.rec.swept_term++;
        }
        G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_PID, info.pid, &info, RD_WEXITED | RD_WNOHANG | RD_WALL, 0));
        if (ret < 0 && ret != -G_ECHILD)
            return (int)ret;
    }
}

static int reap_patiently(void)
{
    int empty = reap_all();
    for (int i = 0; empty < 0 && !g.rec.guard_errno && i < 2; i++)
        empty = reap_all();
    return empty;
}

/* To the owner's ears, or not at all: 0 while it doesn't read. */
static int tell_end(void)
{
    long sent = tell(RD_TELL_ENDED);
    if (is_broken(sent))
        leave(125); /* it sees us gone, and reads the record */
    return sent != -G_EAGAIN;
}

static void name_survivor(int32_t pid, void *ctx)
{
    int *n = ctx;
    if (*n < 8)
        g.rec.survivor_pid[*n] = pid;
    (*n)++;
}

static void finish(int tree_empty)
{
    struct rd_krusage ru;
    if (!g.rec.ended_wall_ns) {
        g.rec.ended_wall_ns = g_wall();
        g.rec.duration_ns = g_now() - g.started;
    }
    g.rec.tree_empty = tree_empty;
    if (tree_empty)
        g.rec.survivors = 0;
    if (rd_sys2(__NR_getrusage, -1 /* RUSAGE_CHILDREN */, &ru) == 0)
        fill_usage(&g.rec.tree, &ru);
    int64_t after = g_oom_kills(g.cfg.oom_fd);
    g.rec.oom_kills = after >= 0 && g.oom_before >= 0 ? after - g.oom_before : -1;
    kill_cgroup(); /* nobody is left that we know of; a cgroup may know better */
    remove_cgroup();
    g.rec.phase = RD_PHASE_ENDED;

    if (g.cfg.record_dir >= 0)
        g.record_errno = -g_record_write(g.cfg.record_dir, g.cfg.record_name, &g.cfg, &g.rec, &g.record_retried);
    if (g.cfg.socket_name[0])
        rd_sys3(__NR_unlinkat, g.cfg.record_dir, g.cfg.socket_name, 0);
    g.done = 1;
    g.unsent = !tell_end();
}

/* A call the guard can't do without has failed: end what there is, say so, and never hang. */
static __attribute__((noreturn)) void give_up(long err)
{
    note_error(err);
    if (!g.rec.cause)
        g.rec.cause = RD_CAUSE_GUARD_ERROR;
    kill_round();
    for (int i = 0, failed = 0; i < 1000 && failed < 200 && !g.done; i++) {
        struct rd_timespec ms = {0, 1000000};
        int left = reap_all();
        if (left == 1) {
            finish(1);
            break;
        }
        failed += left < 0; /* blind, but what dies still hands us its children, to be killed */
        kill_round();
        rd_sys2(__NR_nanosleep, &ms, 0);
    }
    if (!g.done)
        finish(0);
    leave(125);
}

/* After every event: has the driver ended, is the tree empty, is it time for the next rung? */
static void look(void)
{
    int empty = reap_patiently();
    if (empty < 0)
        give_up(empty);
    if (empty && g.driver_reaped) {
        finish(1);
        return;
    }
    if (empty) /* ECHILD with the driver unreaped: somebody else's SIGCHLD handling; can't be */
        give_up(-G_ECHILD);
    int64_t now = g_now();
    if (g.driver_reaped && g.rec.phase != RD_PHASE_SWEEPING) {
        g.rec.phase = RD_PHASE_SWEEPING;
        g.active_at = g.start_at = NEVER;
        if (g_later(now, g.cfg.sweep_ns) < g.kill_at)
            g.kill_at = g_later(now, g.cfg.sweep_ns);
    }
    if (g.rec.phase < RD_PHASE_STOPPING)
        return;
    if (now < g.kill_at && !g.killing) {
        g_each_child(g.self, ask_to_end, 0);
        return;
    }
    kill_round();
    empty = reap_patiently();
    if (empty < 0)
        give_up(empty);
    if (empty && g.driver_reaped) {
        finish(1);
        return;
    }
    if (now < g.pending_at)
        return;
    if (g.driver_reaped && (g.unlisted || (g.alive && g.foreign == g.alive))) {
        /* Another user's (EPERM), or out of sight: waiting longer changes nothing. Name them. */
        g.rec.survivors = g.unlisted ? -1 : g.foreign;
        finish(0);
        return;
    }
    int n = 0;
    g_each_child(g.self, name_survivor, &n);
    g.rec.survivors = n;
    tell(RD_TELL_PENDING);
    g.pending_at = g_later(now, g.cfg.reap_ns);
}

/* ---- listening --------------------------------------------------------------------------- */

static void owner_died(void)
{
    if (g.life >= 0)
        rd_close(g.life);
    if (g.owner >= 0)
        rd_close(g.owner);
    g.life = g.owner = -1;
    g.unsent = 0;
    if (g.owner_dead)
        return;
    g.owner_dead = 1;
    if (g.cfg.flags & RD_GUARD_DETACHED)
        return;
    int64_t grace = g.cfg.grace_ns < g.cfg.sweep_ns ? g.cfg.grace_ns : g.cfg.sweep_ns;
    if (!g.done)
        begin_stop(RD_CAUSE_OWNER_DIED, 0, grace, g.cfg.owner_pid, 0, 0);
}

static void record_passed_on(int sig)
{
    g.rec.passed_on |= 1ull << (sig - 1);
}

static int is_signal(int sig)
{
    return sig > 0 && sig <= 64;
}

static void pass_on(int sig)
{
    if (g.driver_reaped || driver_is_zombie())
        return; /* what ended it was something else */
    record_passed_on(sig); /* first: whatever comes of the signal, its origin is known */
    signal_driver(sig);
}

static void handle(int fd, const rd_guard_ask *ask)
{
    rd_peer peer = {0, 0, 0};
    uint32_t len = sizeof peer;
    switch (ask->type) {
    case RD_ASK_STOP:
        if (ask->signal && !is_signal(ask->signal))
            break;
        rd_sys5(__NR_getsockopt, fd, 1 /* SOL_SOCKET */, 17 /* SO_PEERCRED */, &peer, &len);
        begin_stop(RD_CAUSE_REQUEST, ask->signal, ask->grace_ns, peer.pid, peer.uid, ask->label);
        break;
    case RD_ASK_SIGNAL:
        if (is_signal(ask->signal))
            pass_on(ask->signal);
        break;
    case RD_ASK_NOTE:
        if (is_signal(ask->signal))
            record_passed_on(ask->signal); /* late too: the driver may have ended of it before we hear of it */
        break;
    case RD_ASK_READY:
        g.start_at = NEVER;
        break;
    case RD_ASK_STATE:
        send_to(fd, new_tell(RD_TELL_STATE));
        break;
    case RD_ASK_DONE:
        g.no_more = 1;
        break;
    }
}

/* Nothing was read: an empty datagram looks like the end of the stream. */
static int has_hung_up(int fd)
{
    struct rd_pollfd p = {fd, G_POLLRDHUP, 0};
    struct rd_timespec now = {0, 0};
    return rd_sys5(__NR_ppoll, &p, 1, &now, 0, 0) != 0; /* a failure is no reason to believe in a peer */
}

/* One datagram: 1 read, 0 none, -1 the peer is gone. A malformed one is dropped. */
static int receive(int fd)
{
    static rd_guard_ask ask;
    long n;
    G_RETRY(n, rd_sys6(__NR_recvfrom, fd, (long)&ask, sizeof ask, 0x60 /* MSG_DONTWAIT|MSG_TRUNC: the real length */, 0, 0));
    if (n == -G_EAGAIN)
        return 0;
    if (n == 0)
        return has_hung_up(fd) ? -1 : 1;
    if (n < 0) {
        if (fd != g.life || n == -G_ECONNRESET)
            return -1;
        if (++g.deaf < DEAF_MAX)
            return 0; /* the next poll brings us back */
        if (g.done)
            leave(125);
        give_up(n);
    }
    g.deaf = 0;
    if (n == (long)sizeof ask && ask.version == RD_GUARD_VERSION)
        handle(fd, &ask);
    return 1;
}

static void accept_one(void)
{
    rd_peer peer;
    uint32_t len = sizeof peer;
    long fd = rd_sys4(__NR_accept4, g.cfg.listen_fd, 0, 0, 0x80800 /* SOCK_CLOEXEC|SOCK_NONBLOCK */);
    if (fd < 0)
        return;
    if (rd_sys5(__NR_getsockopt, fd, 1, 17, &peer, &len) == 0 &&
        (peer.uid == 0 || (long)peer.uid == rd_sys0(__NR_geteuid))) {
        for (int i = 0; i < CONNECTIONS; i++) {
            if (g.conn[i] < 0) {
                g.conn[i] = (int)fd;
                send_to(g.conn[i], new_tell(RD_TELL_STATE));
                return;
            }
        }
    }
    rd_close((int)fd);
}

static void read_signals(void)
{
    static char buf[128]; /* struct signalfd_siginfo */
    for (;;) {
        long n;
        G_RETRY(n, rd_sys3(__NR_read, g.signals, buf, sizeof buf));
        if (n != (long)sizeof buf)
            return;
        uint32_t signo, pid, uid;
        memcpy(&signo, buf, 4);
        memcpy(&pid, buf + 12, 4);
        memcpy(&uid, buf + 16, 4);
        if (signo != G_SIGCHLD)
            begin_stop(RD_CAUSE_SIGNAL, (int)signo, -1, (int32_t)pid, uid, 0);
    }
}

static int64_t nearest(void)
{
    int64_t at = NEVER;
    if (g.done)
        return at;
    if (g.active_at < at)
        at = g.active_at;
    if (g.start_at < at)
        at = g.start_at;
    if (g.killing)
        at = g.pending_at < at ? g.pending_at : at;
    else if (g.kill_at < at)
        at = g.kill_at;
    return at;
}

static int has_room(void)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (g.conn[i] < 0)
            return 1;
    return 0; /* one more waits in the backlog until somebody leaves */
}

static long wait_for_events(struct rd_pollfd *fds)
{
    int n = 0;
    fds[n++] = (struct rd_pollfd){g.life, g.unsent ? G_POLLIN | G_POLLOUT : G_POLLIN, 0};
    fds[n++] = (struct rd_pollfd){g.owner, G_POLLIN, 0};
    fds[n++] = (struct rd_pollfd){g.signals, G_POLLIN, 0};
    fds[n++] = (struct rd_pollfd){g.done || !has_room() ? -1 : g.cfg.listen_fd, G_POLLIN, 0};
    for (int i = 0; i < CONNECTIONS; i++)
        fds[n++] = (struct rd_pollfd){g.conn[i], G_POLLIN, 0};
    int64_t at = nearest(), left = at == NEVER ? 0 : at - g_now();
    if (left < 0)
        left = 0;
    struct rd_timespec ts = {left / RD_NS_PER_S, left % RD_NS_PER_S};
    long ready = rd_sys5(__NR_ppoll, fds, n, at == NEVER ? 0 : &ts, 0, 0);
    if (ready == 0 && g.clock < at && at != NEVER)
        g.clock = at;
    return ready;
}

/* Detached, the record and the socket's end tell the rest; a starter that doesn't read is no owner. */
static __attribute__((noreturn)) void leave_detached(void)
{
    if (g.unsent) {
        struct rd_pollfd p = {g.life, G_POLLOUT, 0};
        struct rd_timespec ts = {STARTER_SEND_NS / RD_NS_PER_S, 0};
        rd_sys5(__NR_ppoll, &p, 1, &ts, 0, 0);
        tell_end();
    }
    leave(0);
}

static void loop(void)
{
    struct rd_pollfd fds[FDS];
    int failures = 0;
    for (;;) {
        if (g.done) {
            /* Attached: stay until the owner knows and, with a delivery command, has reported, or is gone. */
            if (g.cfg.flags & RD_GUARD_DETACHED)
                leave_detached();
            if (g.no_more || (!g.cfg.deliver_argc && !g.unsent))
                leave(0);
            if (g.owner_dead) {
                start_delivery();
                leave(0);
            }
        }
        long n = wait_for_events(fds);
        if (n < 0) {
            if (++failures < (n == -G_EINTR ? G_EINTR_MAX : 3))
                continue;
            if (g.done)
                leave(125);
            give_up(n);
        }
        failures = 0;
        int gone = 0, got = 0;
        /* What the owner asked for before it died, or before the driver's end was seen, counts. */
        while (g.life >= 0 && fds[0].revents && (got = receive(g.life)) > 0)
            ;
        if (got < 0)
            gone = 1;
        if (g.owner >= 0 && fds[1].revents)
            gone = 1;
        for (int i = 0; i < CONNECTIONS; i++) {
            if (g.conn[i] < 0 || !fds[4 + i].revents)
                continue;
            while ((got = receive(g.conn[i])) > 0)
                ;
            if (got < 0) {
                rd_close(g.conn[i]);
                g.conn[i] = -1;
            }
        }
        if (fds[3].revents)
            accept_one();
        if (fds[2].revents)
            read_signals();
        if (gone)
            owner_died();
        if (g.done) {
            if (g.unsent && (fds[0].revents & G_POLLOUT))
                g.unsent = !tell_end();
            continue;
        }
        int64_t now = g_now();
        if (now >= g.active_at)
            begin_stop(RD_CAUSE_ACTIVE_DEADLINE, 0, -1, 0, 0, 0);
        else if (now >= g.start_at)
            begin_stop(RD_CAUSE_START_DEADLINE, 0, -1, 0, 0, 0);
        look();
    }
}

/* ---- setting up -------------------------------------------------------------------------- */

static void read_config(const char *life_arg)
{
    int fd = 0;
    for (; *life_arg >= '0' && *life_arg <= '9'; life_arg++)
        fd = fd * 10 + (*life_arg - '0');
    g.life = fd;
    long n;
    G_RETRY(n, rd_sys6(__NR_recvfrom, fd, (long)&g.cfg, sizeof g.cfg, 0x60, 0, 0));
    if (n != (long)sizeof g.cfg || g.cfg.version != RD_GUARD_VERSION || g.cfg.size != sizeof g.cfg ||
        g.cfg.keep_fds_count > 32 || g.cfg.deliver_argc > 32)
        start_failed(RD_STAGE_GUARD, n < 0 ? n : -G_EINVAL);
}

static void set_up(void)
{
    static const uint64_t all = ~0ull;
    uint64_t heard = 0;
    struct rd_ksigaction dfl = {0, 0, 0, 0};
    const int signals[] = {G_SIGCHLD, G_SIGTERM, G_SIGINT, G_SIGQUIT};

    long ret = rd_sigprocmask(RD_CHILD_SIG_SETMASK, &all, 0);
    for (unsigned i = 0; i < 4; i++) {
        heard |= 1ull << (signals[i] - 1);
        rd_sys4(__NR_rt_sigaction, signals[i], &dfl, 0, 8); /* an ignored SIGCHLD would reap for us */
    }
    if (ret >= 0)
        ret = rd_sys5(__NR_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0);
    if (ret >= 0)
        ret = rd_sys5(__NR_prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0); /* no ptrace by its job */
    if (ret >= 0)
        ret = above_streams(rd_sys4(__NR_signalfd4, -1, &heard, sizeof heard, 0x80800 /* CLOEXEC|NONBLOCK */));
    if (ret < 0)
        start_failed(RD_STAGE_GUARD, ret);
    g.signals = (int)ret;
    /* The socket's EOF is not enough: a forked child of the owner may hold its other end open. */
    g.owner = above_streams(rd_sys2(__NR_pidfd_open, g.cfg.owner_pid, 0));
    if (rd_sys0(__NR_getppid) != g.cfg.owner_pid)
        leave(125); /* dead already: nothing has been started, and nobody is there to tell */
    if (g.owner < 0)
        g.owner = -1; /* no pidfds here: EOF has to do */
}

static __attribute__((noreturn, used)) void guard_main(long *sp)
{
    long argc = sp[0];
    char **argv = (char **)(sp + 1);
    g.owner = g.signals = g.cgroup = g.life = -1;
    for (int i = 0; i < CONNECTIONS; i++)
        g.conn[i] = -1;
    g.active_at = g.start_at = g.kill_at = g.pending_at = NEVER;
    g.self = g.rec.guard_pid = (int32_t)rd_sys0(__NR_getpid);
    g.rec.oom_kills = g.rec.driver.code = -1;
    if (argc < 5)
        leave(125);
    read_config(argv[1]);
    if (argc < 4 + (long)g.cfg.deliver_argc + 1)
        start_failed(RD_STAGE_GUARD, -G_EINVAL);
    g.argv = argv + 2;
    g.env = argv + argc + 1;
    g.leads_group = (g.cfg.spawn_flags & (RD_NEW_SESSION | RD_NEW_GROUP)) != 0;
    set_up();
    start_driver();
    loop();
    leave(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall guard_main\n\thlt\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl guard_main\n\tbrk #0\n");
#endif

/* The compiler may call these whatever we write; it must not turn them into calls to themselves. */
__attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int byte, size_t n)
{
    for (char *p = to; n; n--)
        *p++ = (char)byte;
    return to;
}

__attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void *memcpy(void *to, const void *from, size_t n)
{
    char *p = to;
    for (const char *q = from; n; n--)
        *p++ = *q++;
    return to;
}
