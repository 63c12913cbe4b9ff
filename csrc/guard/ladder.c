/* The stop ladder: a signal, a grace, SIGKILL round by round. */
#include "guard.h"

enum { TOLD = 64 };

static int32_t told[TOLD]; /* children that had the stop signal */

int g_stop_signal(void)
{
    return g.rec.stop_signal ? g.rec.stop_signal : g.cfg.stop_signal;
}

/* A signal is for the driver, as if it had been called directly: it may want its workers to see a request
 * through, or to survive a reload. Its group is signalled when it has ended, or has to. */
void g_signal_driver(int sig)
{
    if (!g.driver_reaped)
        rd_sys2(__NR_kill, g.driver, sig);
}

/* Only while the driver is unreaped: from then on the group's id may be another's. */
void g_signal_group(int sig)
{
    if (!g.driver_reaped)
        rd_sys2(__NR_kill, g.leads_group ? -g.driver : g.driver, sig);
}

static int is_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++)
        if (told[i] == pid)
            return 1;
    return 0;
}

static int mark_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++) {
        if (!told[i]) {
            told[i] = pid;
            return 1;
        }
    }
    return 0;
}

void g_unmark_told(int32_t pid)
{
    for (int i = 0; i < TOLD; i++)
        if (told[i] == pid)
            told[i] = 0;
}

/* Everyone but the driver is asked once; with the table full the rest meet SIGKILL unasked. */
static void ask_to_end(int32_t pid, void *ctx)
{
    (void)ctx;
    if (pid == g.driver || is_told(pid) || !mark_told(pid))
        return;
    if (g.driver_reaped && g.leads_group && g_group_of(pid) == g.driver)
        return; /* the signal to the group reached it */
    rd_sys2(__NR_kill, pid, g_stop_signal());
    rd_sys2(__NR_kill, pid, G_SIGCONT); /* a stopped process can't heed it */
}

void g_ask_others(void)
{
    g_each_child(g.self, ask_to_end, 0);
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

/* One round: what dies hands its own children to us, and its death wakes us for the next round. */
void g_kill_round(void)
{
    if (!g.killing) {
        g.killing = 1;
        g.pending_at = g_later(g_now(), g.cfg.reap_ns);
    }
    g_signal_group(G_SIGKILL); /* the whole group at once: fork can't slip between */
    g_cgroup_kill();
    g.alive = g.foreign = 0;
    g.unlisted = g_each_child(g.self, kill_one, 0) < 0;
}

/* The driver's end, observed and not yet reaped: its pid and its group's id are still its own. */
int g_driver_is_zombie(void)
{
    struct rd_ksiginfo info;
    info.pid = 0;
    long ret = rd_sys5(__NR_waitid, RD_P_PID, g.driver, &info, RD_WEXITED | RD_WNOHANG | RD_WNOWAIT | RD_WALL, 0);
    return ret == 0 && info.pid == g.driver;
}

/* The driver first: it may want to see its workers through. */
void g_first_signal(void)
{
    g.signal_at = G_NEVER;
    if (g.rec.stop_signal == G_SIGKILL)
        g.kill_at = g_now();
    if (g_now() >= g.kill_at)
        return; /* the loop is about to see to it */
    g_signal_driver(g.rec.stop_signal);
    g_signal_driver(G_SIGCONT);
    g.rec.driver.rung = RD_RUNG_SIGNAL;
    g_ask_others();
}

/* The owner has found out how long the driver wants. The grace stays as long as it is. */
void g_postpone(int64_t delay)
{
    if (g.signal_at == G_NEVER || g.driver_reaped)
        return;
    int64_t grace = g.kill_at - g.signal_at;
    g.signal_at = g_later(g_now(), delay);
    g.kill_at = g_later(g.signal_at, grace);
    if (delay <= 0)
        g_first_signal();
}

/* Under way already: a later request may shorten delay and grace, and is passed on. */
static void hurry(const struct g_request *asked, int64_t signal_at, int64_t kill_at)
{
    if (kill_at < g.kill_at)
        g.kill_at = kill_at;
    if (g.signal_at != G_NEVER && !g.driver_reaped) {
        if (signal_at < g.signal_at)
            g.signal_at = signal_at;
        if (asked->delay <= 0)
            g_first_signal(); /* before another message can postpone it */
        return;
    }
    if (asked->signal && asked->signal != G_SIGKILL && !g.killing)
        g_signal_driver(asked->signal);
}

void g_begin_stop(const struct g_request *asked)
{
    int64_t now = g_now(), grace = asked->grace < 0 ? g.cfg.grace_ns : asked->grace;
    if (asked->signal == G_SIGKILL)
        grace = 0;
    int64_t signal_at = g_later(now, asked->delay), kill_at = g_later(signal_at, grace);
    if (g.driver_reaped || g.rec.cause) {
        hurry(asked, signal_at, kill_at);
        return;
    }
    if (g_driver_is_zombie())
        return; /* it ended first, by itself */
    g.rec.cause = asked->cause;
    g.rec.stop_signal = asked->signal ? asked->signal : g.cfg.stop_signal;
    g.rec.stop_pid = asked->pid;
    g.rec.stop_uid = asked->uid;
    g.rec.stop_wall_ns = g_wall();
    if (asked->label) {
        memcpy(g.rec.stop_label, asked->label, sizeof g.rec.stop_label);
        g.rec.stop_label[sizeof g.rec.stop_label - 1] = 0;
    }
    g.rec.phase = RD_PHASE_STOPPING;
    g_tell(RD_TELL_STOPPING); /* before the first signal */
    g.active_at = g.start_at = G_NEVER;
    g.kill_at = kill_at;
    g.signal_at = signal_at;
    if (asked->delay <= 0)
        g_first_signal();
}
