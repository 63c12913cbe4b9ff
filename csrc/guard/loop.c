/* One ppoll waits for the life socket, the owner's pidfd, SIGCHLD and stop signals (signalfd), connections, the
 * output's events, and the nearest deadline. Nothing else runs. */
#include "guard.h"

enum { FIRST_CONNECTION = 5, FDS = FIRST_CONNECTION + G_CONNECTIONS };

#define STARTER_SEND_NS RD_NS_PER_S /* how long a detached guard waits for a starter that doesn't read */

static int64_t nearest(void)
{
    int64_t at = G_NEVER;
    if (g.done)
        return at;
    if (g.active_at < at)
        at = g.active_at;
    if (g.start_at < at)
        at = g.start_at;
    if (g.look_at < at)
        at = g.look_at;
    if (g.killing)
        at = g.pending_at < at ? g.pending_at : at;
    else if (g.kill_at < at)
        at = g.kill_at;
    if (g.signal_at < at && !g.driver_reaped)
        at = g.signal_at;
    return at;
}

static int has_room(void)
{
    for (int i = 0; i < G_CONNECTIONS; i++)
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
    fds[n++] = (struct rd_pollfd){g.done ? -1 : g_output_watch(), G_POLLIN, 0};
    for (int i = 0; i < G_CONNECTIONS; i++)
        fds[n++] = (struct rd_pollfd){g.conn[i], G_POLLIN, 0};
    int64_t at = nearest(), left = at == G_NEVER ? 0 : at - g_now();
    if (left < 0)
        left = 0;
    struct rd_timespec ts = {left / RD_NS_PER_S, left % RD_NS_PER_S};
    long ready = rd_sys5(__NR_ppoll, fds, n, at == G_NEVER ? 0 : &ts, 0, 0);
    if (ready == 0 && at != G_NEVER)
        g_has_come(at);
    return ready;
}

/* Detached, the record and the socket's end tell the rest; a starter that doesn't read is no owner. */
static __attribute__((noreturn)) void leave_detached(void)
{
    if (g.unsent) {
        struct rd_pollfd p = {g.life, G_POLLOUT, 0};
        struct rd_timespec ts = {STARTER_SEND_NS / RD_NS_PER_S, 0};
        rd_sys5(__NR_ppoll, &p, 1, &ts, 0, 0);
        g_tell_end();
    }
    g_leave(0);
}

void g_loop(void)
{
    struct rd_pollfd fds[FDS];
    int failures = 0;
    for (;;) {
        if (g.done) {
            /* Attached: stay until the owner knows and, with a delivery command, has reported, or is gone. */
            if (g.cfg.flags & RD_GUARD_DETACHED)
                leave_detached();
            if (g.no_more || (!g.cfg.deliver_argc && !g.unsent))
                g_leave(0);
            if (g.owner_dead) {
                g_start_delivery();
                g_leave(0);
            }
        }
        long n = wait_for_events(fds);
        if (n < 0) {
            if (++failures < (n == -G_EINTR ? G_EINTR_MAX : 3))
                continue;
            if (g.done)
                g_leave(125);
            g_give_up(n);
        }
        failures = 0;
        int gone = 0, got = 0;
        /* What the owner asked for before it died, or before the driver's end was seen, counts. */
        while (g.life >= 0 && fds[0].revents && (got = g_receive(g.life)) > 0)
            ;
        if (got < 0)
            gone = 1;
        if (g.owner >= 0 && fds[1].revents)
            gone = 1;
        for (int i = 0; i < G_CONNECTIONS; i++) {
            if (g.conn[i] < 0 || !fds[FIRST_CONNECTION + i].revents)
                continue;
            while ((got = g_receive(g.conn[i])) > 0)
                ;
            if (got < 0) {
                rd_close(g.conn[i]);
                g.conn[i] = -1;
            }
        }
        if (fds[3].revents)
            g_accept_one();
        if (fds[2].revents)
            g_read_signals();
        if (gone)
            g_owner_died();
        if (g.done) {
            if (g.unsent && (fds[0].revents & G_POLLOUT))
                g.unsent = !g_tell_end();
            continue;
        }
        int64_t now = g_now();
        g_output_serve(fds[4].revents != 0, now);
        if (now >= g.active_at)
            g_begin_stop(&(struct g_request){.cause = RD_CAUSE_ACTIVE_DEADLINE, .grace = -1});
        else if (now >= g.start_at)
            g_begin_stop(&(struct g_request){.cause = RD_CAUSE_START_DEADLINE, .grace = -1});
        if (now >= g.signal_at && !g.driver_reaped)
            g_first_signal();
        g_look();
    }
}
