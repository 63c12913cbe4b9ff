/* What comes in: requests, connections, signals, and the death of the owner. */
#include "guard.h"

enum { DEAF_MAX = 16 };

static int deaf; /* failures to read from the owner, one after the other */

void g_owner_died(void)
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
        g_begin_stop(&(struct g_request){.cause = RD_CAUSE_OWNER_DIED, .grace = grace, .pid = g.cfg.owner_pid});
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
    if (g.driver_reaped || g_driver_is_zombie())
        return; /* what ended it was something else */
    record_passed_on(sig); /* first: whatever comes of the signal, its origin is known */
    g_signal_driver(sig);
}

static void handle(int fd, const rd_guard_ask *ask)
{
    int64_t delay = ask->delay_ms > 0 ? ask->delay_ms * (RD_NS_PER_S / 1000) : 0;
    rd_peer peer = {0, 0, 0};
    uint32_t len = sizeof peer;
    switch (ask->type) {
    case RD_ASK_STOP:
    case RD_ASK_FORCE:
        if (ask->signal && !is_signal(ask->signal))
            break;
        rd_sys5(__NR_getsockopt, fd, 1 /* SOL_SOCKET */, 17 /* SO_PEERCRED */, &peer, &len);
        g_begin_stop(&(struct g_request){
            .cause = ask->type == RD_ASK_FORCE ? RD_CAUSE_EXIT_FORCED : RD_CAUSE_REQUEST,
            .signal = ask->signal,
            .delay = delay,
            .grace = ask->grace_ns,
            .pid = peer.pid,
            .uid = peer.uid,
            .label = ask->label,
        });
        break;
    case RD_ASK_POSTPONE:
        g_postpone(delay);
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
        g.start_at = G_NEVER;
        break;
    case RD_ASK_STATE:
        g_send(fd, g_new_tell(RD_TELL_STATE));
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

static long take(int fd, rd_guard_ask *ask)
{
    return rd_sys6(__NR_recvfrom, fd, (long)ask, sizeof *ask, 0x60 /* MSG_DONTWAIT|MSG_TRUNC: the real length */, 0, 0);
}

/* One datagram: 1 read, 0 none, -1 the peer is gone. A malformed one is dropped. */
int g_receive(int fd)
{
    static rd_guard_ask ask;
    long n;
    G_RETRY(n, take(fd, &ask));
    if (n == -G_ECONNRESET) /* who left with news of ours unread: told once, and before what it had asked for */
        G_RETRY(n, take(fd, &ask));
    if (n == -G_EAGAIN)
        return 0;
    if (n == 0)
        return has_hung_up(fd) ? -1 : 1;
    if (n < 0) {
        if (fd != g.life || n == -G_ECONNRESET)
            return -1;
        if (++deaf < DEAF_MAX)
            return 0; /* the next poll brings us back */
        if (g.done)
            g_leave(125);
        g_give_up(n);
    }
    deaf = 0;
    if (n == (long)sizeof ask && ask.version == RD_GUARD_VERSION)
        handle(fd, &ask);
    return 1;
}

void g_accept_one(void)
{
    rd_peer peer;
    uint32_t len = sizeof peer;
    long fd = rd_sys4(__NR_accept4, g.cfg.listen_fd, 0, 0, 0x80800 /* SOCK_CLOEXEC|SOCK_NONBLOCK */);
    if (fd < 0)
        return;
    if (rd_sys5(__NR_getsockopt, fd, 1, 17, &peer, &len) == 0 &&
        (peer.uid == 0 || (long)peer.uid == rd_sys0(__NR_geteuid))) {
        for (int i = 0; i < G_CONNECTIONS; i++) {
            if (g.conn[i] < 0) {
                g.conn[i] = (int)fd;
                g_send(g.conn[i], g_new_tell(RD_TELL_STATE));
                return;
            }
        }
    }
    rd_close((int)fd);
}

void g_read_signals(void)
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
            g_begin_stop(&(struct g_request){
                .cause = RD_CAUSE_SIGNAL, .signal = (int)signo, .grace = -1, .pid = (int32_t)pid, .uid = uid});
    }
}
