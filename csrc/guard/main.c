/* The guard: parent and subreaper of one driver, from its start to an empty tree. All signals are blocked. */
#include "guard.h"

struct g_state g;

static void read_config(const char *life_arg)
{
    int fd = 0;
    for (; *life_arg >= '0' && *life_arg <= '9'; life_arg++)
        fd = fd * 10 + (*life_arg - '0');
    g.life = fd;
    long n;
    G_RETRY(n, rd_sys6(__NR_recvfrom, fd, (long)&g.cfg, sizeof g.cfg, 0x60, 0, 0));
    if (n != (long)sizeof g.cfg || g.cfg.version != RD_GUARD_VERSION || g.cfg.size != sizeof g.cfg ||
        g.cfg.keep_fds_count > 32 || g.cfg.hold_fds_count > 32 || g.cfg.deliver_argc > 32)
        g_start_failed(RD_STAGE_GUARD, n < 0 ? n : -G_EINVAL);
}

static void set_up(void)
{
    static const uint64_t all = ~0ull;
    uint64_t heard = 0;
    struct rd_ksigaction dfl = {0, 0, 0, 0};
    const int signals[] = {G_SIGCHLD, G_SIGTERM, G_SIGINT, G_SIGQUIT};

    long ret = rd_sigprocmask(G_SIG_SETMASK, &all, 0);
    for (unsigned i = 0; i < 4; i++)
        heard |= 1ull << (signals[i] - 1);
    rd_sys4(__NR_rt_sigaction, G_SIGCHLD, &dfl, 0, 8); /* an ignored SIGCHLD would reap for us */
    /* The others stay as they are: blocked, an ignored one is heard all the same, and the driver may want it ignored. */
    if (ret >= 0)
        ret = rd_sys5(__NR_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0);
    if (ret >= 0)
        ret = rd_sys5(__NR_prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0); /* no ptrace by its job */
    if (ret >= 0)
        ret = g_above_streams(rd_sys4(__NR_signalfd4, -1, &heard, sizeof heard, 0x80800 /* CLOEXEC|NONBLOCK */));
    if (ret < 0)
        g_start_failed(RD_STAGE_GUARD, ret);
    g.signals = (int)ret;
    /* The socket's EOF is not enough: a forked child of the owner may hold its other end open. */
    g.owner = g_above_streams(rd_sys2(__NR_pidfd_open, g.cfg.owner_pid, 0));
    if (rd_sys0(__NR_getppid) != g.cfg.owner_pid) { /* dead already: the pid may be another's */
        if (!(g.cfg.flags & RD_GUARD_DETACHED))
            g_leave(125); /* nothing has been started, and nobody is there to tell */
        if (g.owner >= 0)
            rd_close(g.owner);
        g.owner = -1;
    }
    if (g.owner < 0)
        g.owner = -1; /* no pidfds here: EOF has to do */
}

static __attribute__((noreturn, used)) void guard_main(long *sp)
{
    long argc = sp[0];
    char **argv = (char **)(sp + 1);
    g.owner = g.signals = g.cgroup = g.life = -1;
    for (int i = 0; i < G_CONNECTIONS; i++)
        g.conn[i] = -1;
    g.active_at = g.start_at = g.signal_at = g.kill_at = g.pending_at = g.look_at = G_NEVER;
    g.self = g.rec.guard_pid = (int32_t)rd_sys0(__NR_getpid);
    g.rec.oom_kills = g.rec.driver.code = -1;
    if (argc < 5)
        g_leave(125);
    read_config(argv[1]);
    if (argc < 4 + (long)g.cfg.deliver_argc + 1)
        g_start_failed(RD_STAGE_GUARD, -G_EINVAL);
    g.argv = argv + 2;
    g.env = argv + argc + 1;
    g.leads_group = (g.cfg.spawn_flags & (RD_NEW_SESSION | RD_NEW_GROUP)) != 0;
    set_up();
    g_start_driver();
    g_loop();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall guard_main\n\thlt\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl guard_main\n\tbrk #0\n");
#endif
