/* The job's output, in files that it writes itself: when they grow, how far they were at which time, and no more of
 * them than was asked for. A second passes from an event to the look, and from look to look while they grow: what
 * is written all the time costs one wake a second, and what is silent none. */
#include "guard.h"

#define LOOK_NS RD_NS_PER_S

enum {
    STREAMS = 2,
    PRECISION = 4096,        /* a time is known to the job's age by this: the index grows by its logarithm */
    INDEX_MAX = 1024 * 1024, /* bytes: some two years of it */
    G_F_NOTIFY = 1026, G_DN_MODIFY = 2, G_SIGIO = 29, G_IN_MODIFY = 2,
    FULL_QUEUE = 1100,       /* buffers: inotify's 16384 events */
    NONBLOCK_CLOEXEC = 0x80800,
    PUNCH_HOLE_KEEP_SIZE = 3
};

struct entry { /* of the index: the sizes were these when it was this late */
    int64_t wall_ns, size[STREAMS];
};

static struct {
    int fd;
    int64_t size, from; /* at the last look; what lies before FROM was dropped */
} stream[STREAMS];

static int streams, watch = -1, by_signal, index_fd = -1, unindexed;
static int64_t indexed_at, index_size;

/* The directory's own notice, as a signal, of the next write alone: those behind it cost the job nothing. It needs no
 * inotify instance, of which a user has 128. */
static long ask_for_notice(void)
{
    return rd_sys3(__NR_fcntl, g.cfg.record_dir, G_F_NOTIFY, G_DN_MODIFY);
}

static long watch_directory(void)
{
    static const uint64_t io = 1ull << (G_SIGIO - 1);
    long ret = ask_for_notice();
    return ret < 0 ? ret : rd_sys4(__NR_signalfd4, -1, &io, sizeof io, NONBLOCK_CLOEXEC);
}

static long watch_streams(void)
{
    long fd = rd_sys1(__NR_inotify_init1, NONBLOCK_CLOEXEC);
    for (int i = 0; i < streams && fd >= 0; i++) {
        char path[] = "/proc/self/fd/\0\0\0";
        int n = stream[i].fd;
        char *to = path + sizeof "/proc/self/fd/" - 1;
        if (n > 99)
            break;
        if (n > 9)
            *to++ = (char)('0' + n / 10);
        *to = (char)('0' + n % 10);
        rd_sys3(__NR_inotify_add_watch, fd, path, G_IN_MODIFY);
    }
    return fd;
}

/* Before the driver is there to write. */
void g_output_open(void)
{
    if (!(g.cfg.flags & RD_GUARD_OUTPUT) || g.cfg.record_dir < 0)
        return;
    streams = g.cfg.flags & RD_GUARD_SPLIT ? 2 : 1;
    for (int i = 0; i < streams; i++)
        stream[i].fd = (int)rd_sys3(__NR_fcntl, 1 + i, 1030 /* F_DUPFD_CLOEXEC */, 3);
    watch = g_above_streams(watch_directory());
    by_signal = watch >= 0;
    if (watch < 0 && g.cfg.log_limit > 0) /* where a size is to be kept it is worth one */
        watch = g_above_streams(watch_streams());
    if (watch < 0)
        g.look_at = g_later(g_now(), LOOK_NS);
}

int g_output_watch(void)
{
    return g.look_at == G_NEVER ? watch : -1;
}

/* Before a look: what is written after it is an event again. What comes as fast as it is read would never end: what
 * fills no buffer was all, and what is left brings one look too many. */
static void forget_events(void)
{
    char buf[240] __attribute__((aligned(8))); /* 15 of inotify's events, or a signal and a bit */
    long n = sizeof buf;
    for (int i = 0; i < FULL_QUEUE && watch >= 0 && n == (long)sizeof buf; i++)
        n = rd_sys3(__NR_read, watch, buf, sizeof buf);
    if (by_signal && ask_for_notice() < 0) { /* no more of them, somebody has decided */
        rd_close(watch);
        watch = -1;
        by_signal = 0;
    }
}

/* Offsets stay what they are: the oldest whole blocks become a hole. */
static void drop_oldest(int i, int64_t size, int64_t block)
{
    int64_t limit = g.cfg.log_limit;
    if (size < stream[i].from)
        stream[i].from = 0; /* cut by the job */
    if (limit <= 0 || size - stream[i].from <= limit)
        return;
    int64_t to = size - (limit - limit / 8);
    to -= to % (block > 0 ? block : 4096); /* the rest of a block would be zeroed, and still be there to read */
    if (to > stream[i].from &&
        rd_sys4(__NR_fallocate, stream[i].fd, PUNCH_HOLE_KEEP_SIZE, stream[i].from, to - stream[i].from) == 0)
        stream[i].from = to;
}

/* The sizes came before the time: what is written after it lies behind them. */
static void write_entry(int64_t now)
{
    struct entry e = {.size = {stream[0].size, stream[1].size}, .wall_ns = g_wall()};
    if (index_fd < 0 && !index_size)
        index_fd = g_above_streams(rd_sys4(__NR_openat, g.cfg.record_dir, "times",
                                           G_O_WRONLY | G_O_CREAT | G_O_APPEND | G_O_NOFOLLOW | G_O_CLOEXEC, 0600));
    index_size += (int64_t)sizeof e;
    indexed_at = now;
    unindexed = 0;
    if (index_fd >= 0 && index_size <= INDEX_MAX && rd_sys3(__NR_write, index_fd, &e, sizeof e) == (long)sizeof e)
        return;
    index_size = INDEX_MAX; /* that one was the last: a torn one would displace all behind it */
}

/* Whether they have grown since the last look. */
static int look(void)
{
    int grown = 0;
    for (int i = 0; i < streams; i++) {
        struct {
            char before[48];
            int64_t size;
            int32_t block; /* of 64 bits here, of 32 there */
            char after[84];
        } st;
        if (rd_sys2(__NR_fstat, stream[i].fd, &st) < 0)
            continue;
        grown |= st.size != stream[i].size;
        stream[i].size = st.size;
        drop_oldest(i, st.size, st.block);
    }
    unindexed |= grown;
    return grown;
}

static int64_t index_due(int64_t now)
{
    int64_t last = indexed_at ? indexed_at : g.started;
    return g_later(last, (now - g.started) / PRECISION);
}

/* After every wake: an event, or nothing to tell us of them, starts the second. */
void g_output_serve(int heard, int64_t now)
{
    if (!streams)
        return;
    if (g.look_at == G_NEVER) {
        if (heard || watch < 0)
            g.look_at = g_later(now, LOOK_NS);
        return;
    }
    if (now < g.look_at)
        return;
    forget_events();
    int grown = look();
    if (unindexed && now >= index_due(now))
        write_entry(now);
    g.look_at = G_NEVER;
    if (grown || unindexed)
        g.look_at = g_later(now, LOOK_NS);
    if (unindexed && g.cfg.log_limit <= 0 && index_due(now) > g.look_at)
        g.look_at = index_due(now);
}

/* Nothing is written any more. Of a job that was over in a second the time of its start says as much. */
void g_output_end(void)
{
    if (!streams)
        return;
    int64_t now = g_now();
    look();
    if (unindexed && now - g.started >= LOOK_NS)
        write_entry(now);
}
