/* Is it over, or time for the next rung? And what is done when it is over. */
#include "guard.h"

void g_note_error(long err)
{
    if (!g.rec.guard_errno)
        g.rec.guard_errno = (int32_t)-err;
}

void g_leave(int code)
{
    for (;;)
        rd_sys1(__NR_exit_group, code);
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
        g_fill_usage(&g.rec.tree, &ru);
    int64_t after = g_oom_kills(g.cfg.oom_fd);
    g.rec.oom_kills = after >= 0 && g.oom_before >= 0 ? after - g.oom_before : -1;
    g_cgroup_kill(); /* nobody is left that we know of; a cgroup may know better */
    g_cgroup_remove();
    g_output_end();
    g.rec.phase = RD_PHASE_ENDED;

    if (g.cfg.record_dir >= 0)
        g.record_errno = -g_record_write(g.cfg.record_dir, g.cfg.record_name, &g.cfg, &g.rec, &g.record_retried);
    if (g.cfg.socket_name[0])
        rd_sys3(__NR_unlinkat, g.cfg.record_dir, g.cfg.socket_name, 0);
    g.done = 1;
    g.unsent = !g_tell_end();
}

/* A call the guard can't do without has failed: end what there is, say so, and never hang. */
void g_give_up(long err)
{
    g_note_error(err);
    if (!g.rec.cause)
        g.rec.cause = RD_CAUSE_GUARD_ERROR;
    g_kill_round();
    for (int i = 0, failed = 0; i < 1000 && failed < 200 && !g.done; i++) {
        struct rd_timespec ms = {0, 1000000};
        int left = g_reap_all();
        if (left == 1) {
            finish(1);
            break;
        }
        failed += left < 0; /* blind, but what dies still hands us its children, to be killed */
        g_kill_round();
        rd_sys2(__NR_nanosleep, &ms, 0);
    }
    if (!g.done)
        finish(0);
    g_leave(125);
}

/* After every event: has the driver ended, is the tree empty, is it time for the next rung? */
void g_look(void)
{
    int empty = g_reap_patiently();
    if (empty < 0)
        g_give_up(empty);
    if (empty && g.driver_reaped) {
        finish(1);
        return;
    }
    if (empty) /* ECHILD with the driver unreaped: somebody else's SIGCHLD handling; can't be */
        g_give_up(-G_ECHILD);
    int64_t now = g_now();
    if (g.driver_reaped && g.rec.phase != RD_PHASE_SWEEPING) {
        g.rec.phase = RD_PHASE_SWEEPING;
        g.active_at = g.start_at = G_NEVER;
        if (g_later(now, g.cfg.sweep_ns) < g.kill_at)
            g.kill_at = g_later(now, g.cfg.sweep_ns);
    }
    if (g.rec.phase < RD_PHASE_STOPPING || (g.signal_at != G_NEVER && !g.driver_reaped))
        return;
    if (now < g.kill_at && !g.killing) {
        g_ask_others();
        return;
    }
    g_kill_round();
    empty = g_reap_patiently();
    if (empty < 0)
        g_give_up(empty);
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
    g_tell(RD_TELL_PENDING);
    g.pending_at = g_later(now, g.cfg.reap_ns);
}
