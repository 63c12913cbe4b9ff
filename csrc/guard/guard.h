/* Inside the guard. No libc, no allocation, no polling: a few static pages and one ppoll. */
#ifndef RD_GUARD_H
#define RD_GUARD_H

#include "../raydp_proc.h"
#include "../sys.h"

enum { /* from the kernel's headers, which pull in libc's where both are wanted */
    G_EPERM = 1, G_ESRCH = 3, G_EINTR = 4, G_EIO = 5, G_ECHILD = 10, G_EAGAIN = 11, G_EINVAL = 22,
    G_ENOSPC = 28, G_EPIPE = 32, G_ECONNRESET = 104, G_EDQUOT = 122,
    G_SIG_SETMASK = 2,
    G_SIGINT = 2, G_SIGQUIT = 3, G_SIGKILL = 9, G_SIGTERM = 15, G_SIGCHLD = 17, G_SIGCONT = 18,
    G_AT_FDCWD = -100,
    G_O_WRONLY = 1, G_O_RDWR = 2, G_O_CREAT = 0x40, G_O_EXCL = 0x80, G_O_APPEND = 0x400, G_O_CLOEXEC = 0x80000,
    G_POLLIN = 1, G_POLLOUT = 4, G_POLLRDHUP = 0x2000
};
#if defined(__x86_64__)
enum { G_O_DIRECTORY = 0x10000, G_O_NOFOLLOW = 0x20000 };
#else
enum { G_O_DIRECTORY = 0x4000, G_O_NOFOLLOW = 0x8000 };
#endif

void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* Without it the compiler would reach for another file's data through a table that only a loader fills in. */
#pragma GCC visibility push(hidden)

enum { G_CONNECTIONS = 4 };
#define G_NEVER INT64_MAX

/* What the guard knows; one file each has its own beside it. */
struct g_state {
    rd_guard_config cfg;
    rd_record rec;
    char *const *argv;    /* after the guard's own name and descriptor */
    char **env;
    int32_t self, driver;
    int life, signals, owner, cgroup;
    int conn[G_CONNECTIONS];
    int owner_dead, driver_reaped, leads_group, killing, done, no_more;
    int unsent;           /* the owner, which doesn't read, has yet to be told of the end */
    int32_t record_errno, record_retried;
    int64_t started, signal_at, kill_at, pending_at, active_at, start_at; /* signal_at: while no signal was sent */
    int64_t look_at;      /* at the output; G_NEVER: at its next event */
    int64_t oom_before;
    int alive, foreign, unlisted; /* of the last look at what is left */
};
extern struct g_state g;

/* time.c: nanoseconds. */
int64_t g_now(void);  /* never earlier than a moment known to have come */
int64_t g_wall(void);
void g_has_come(int64_t at);

/* tell.c: what came of it, as sendto has it. */
long g_send(int fd, const rd_guard_tell *t);
int g_is_broken(long sent);
rd_guard_tell *g_new_tell(uint32_t type);
long g_tell_all(const rd_guard_tell *t);
long g_tell(uint32_t type);
int g_tell_end(void); /* 0 while the owner doesn't read */

/* cgroup.c: g.cgroup, or nothing where there is none. */
void g_cgroup_make(void);
void g_cgroup_kill(void);
void g_cgroup_remove(void);

/* start.c */
int g_above_streams(long fd);
__attribute__((noreturn)) void g_start_failed(int stage, long err);
void g_start_driver(void);
void g_start_delivery(void);

/* output.c: nothing of it where the guard isn't told to look after the output. */
void g_output_open(void);
int g_output_watch(void); /* what to wait for, or -1 */
void g_output_serve(int heard, int64_t now);
void g_output_end(void);

/* ladder.c */
int g_stop_signal(void);
void g_signal_driver(int sig);
void g_signal_group(int sig);
void g_ask_others(void);
void g_unmark_told(int32_t pid);
void g_kill_round(void);
int g_driver_is_zombie(void);
/* What is asked, by whom; in nanoseconds: DELAY until the first signal, GRACE from there to SIGKILL. */
struct g_request {
    int cause, signal;
    int64_t delay, grace; /* grace < 0: the configured one */
    int32_t pid;
    uint32_t uid;
    const char *label;
};
void g_begin_stop(const struct g_request *asked);
void g_first_signal(void); /* the delay is over */
void g_postpone(int64_t delay);

/* reap.c: 1 when nobody is left, 0 when somebody is, or -errno. */
int g_reap_all(void);
int g_reap_patiently(void);
void g_fill_usage(rd_exit *e, const struct rd_krusage *ru);

/* end.c */
void g_note_error(long err);
__attribute__((noreturn)) void g_leave(int code);
__attribute__((noreturn)) void g_give_up(long err);
void g_look(void); /* after every event */

/* listen.c */
void g_owner_died(void);
int g_receive(int fd); /* one datagram: 1 read, 0 none, -1 the peer is gone */
void g_accept_one(void);
void g_read_signals(void);

/* loop.c */
__attribute__((noreturn)) void g_loop(void);

/* tree.c: the guard's direct children. Their pids are ours until we reap them, so a signal to
 * one can't hit a stranger; what is deeper comes to us, the subreaper, as its parents die. */
typedef void (*g_visit)(int32_t pid, void *ctx);
int g_each_child(int32_t self, g_visit visit, void *ctx); /* 0, or -errno: they can't be listed */
int32_t g_group_of(int32_t pid);

/* record.c: the exit record, durable. 0, or -errno; *first_error: an attempt that failed before. */
int g_record_write(int dir, const char *name, const rd_guard_config *cfg, const rd_record *r, int32_t *first_error);
int g_record_reserve(int dir, const char *name); /* room for it: 0, or -errno, and nothing is left */
void g_record_release(int dir, const char *name);
int g_record_memfd(const rd_guard_config *cfg, const rd_record *r);
int64_t g_oom_kills(int fd); /* the counter, or -1 */

#pragma GCC visibility pop

/* All signals are blocked, so EINTR is nobody's will: it is retried, but not for ever. */
enum { G_EINTR_MAX = 1000 };
#define G_RETRY(ret, call)                           \
    do {                                             \
        int left_ = G_EINTR_MAX;                     \
        do                                           \
            (ret) = (call);                          \
        while ((ret) == -G_EINTR && --left_ > 0);    \
    } while (0)

/* Times come from anybody: a sum that is past the end of time is the end of time. */
static inline int64_t g_later(int64_t at, int64_t by)
{
    int64_t sum;
    return __builtin_add_overflow(at, by, &sum) ? INT64_MAX : sum;
}

#endif
