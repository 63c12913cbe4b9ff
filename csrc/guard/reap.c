/* Reaping: the driver's end, and everybody else's. */
#include "guard.h"

void g_fill_usage(rd_exit *e, const struct rd_krusage *ru)
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
        g_signal_group(g.killing ? G_SIGKILL : g_stop_signal());
        g_signal_group(G_SIGCONT);
    }
    for (int i = 0; i < 3; i++) {
        G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_PID, g.driver, &info, RD_WEXITED | RD_WNOHANG | RD_WALL, &ru));
        if (ret >= 0)
            break;
    }
    g.driver_reaped = 1;
    g.rec.driver_exited = 1;
    if (ret < 0) {
        g_note_error(ret);
        return;
    }
    g.rec.driver_waited = 1;
    g.rec.driver.code = info.code == RD_CLD_EXITED ? info.status : -1;
    g.rec.driver.signal = info.code == RD_CLD_EXITED ? 0 : info.status;
    g.rec.driver.core_dumped = info.code == RD_CLD_DUMPED;
    g_fill_usage(&g.rec.driver, &ru);
    if (g.killing)
        g.rec.driver.rung = RD_RUNG_KILL;
}

/* Reap all there is: 1 when nobody is left (proven by ECHILD), 0 when somebody is, or -errno. */
int g_reap_all(void)
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
        g_unmark_told(info.pid);
        if (info.code != RD_CLD_EXITED && (g.driver_reaped || g.rec.phase >= RD_PHASE_STOPPING)) {
            if (info.status == G_SIGKILL)
                g.rec.swept_kill++;
            else if (info.status == g_stop_signal())
                g.rec.swept_term++;
        }
        G_RETRY(ret, rd_sys5(__NR_waitid, RD_P_PID, info.pid, &info, RD_WEXITED | RD_WNOHANG | RD_WALL, 0));
        if (ret < 0 && ret != -G_ECHILD)
            return (int)ret;
    }
}

int g_reap_patiently(void)
{
    int empty = g_reap_all();
    for (int i = 0; empty < 0 && !g.rec.guard_errno && i < 2; i++)
        empty = g_reap_all();
    return empty;
}
