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

void g_begin_stop(int cause, int sig, int64_t grace, int32_t pid, uint32_t uid, const char *label)
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
            g_signal_driver(sig);
        return;
    }
    if (g_driver_is_zombie())
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
    g_tell(RD_TELL_STOPPING); /* before the first signal */
    g.active_at = g.start_at = G_NEVER;
    g.kill_at = g_later(now, grace);
    if (g.rec.stop_signal == G_SIGKILL || grace == 0) {
        g.kill_at = now;
        return; /* the loop is about to see to it */
    }
    g_signal_driver(g.rec.stop_signal);
    g_signal_driver(G_SIGCONT);
    g.rec.driver.rung = RD_RUNG_SIGNAL;
    g_ask_others();
}
