/* Inside the guard. No libc, no allocation, no polling: a few static pages and one ppoll. */
#ifndef RD_GUARD_H
#define RD_GUARD_H

#include "../raydp_proc.h"
#include "../sys.h"

enum { /* from the kernel's headers, which pull in libc's where both are wanted */
    G_EPERM = 1, G_ESRCH = 3, G_EINTR = 4, G_EIO = 5, G_ECHILD = 10, G_EAGAIN = 11, G_EINVAL = 22,
    G_SIGINT = 2, G_SIGQUIT = 3, G_SIGKILL = 9, G_SIGTERM = 15, G_SIGCHLD = 17, G_SIGCONT = 18,
    G_AT_FDCWD = -100,
    G_O_WRONLY = 1, G_O_RDWR = 2, G_O_CREAT = 0x40, G_O_EXCL = 0x80, G_O_CLOEXEC = 0x80000,
    G_POLLIN = 1, G_POLLOUT = 4
};
#if defined(__x86_64__)
enum { G_O_DIRECTORY = 0x10000, G_O_NOFOLLOW = 0x20000 };
#else
enum { G_O_DIRECTORY = 0x4000, G_O_NOFOLLOW = 0x8000 };
#endif

void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* tree.c: the guard's direct children. Their pids are ours until we reap them, so a signal to
 * one can't hit a stranger; what is deeper comes to us, the subreaper, as its parents die. */
typedef void (*g_visit)(int32_t pid, void *ctx);
int g_each_child(int32_t self, g_visit visit, void *ctx); /* 0, or -errno: they can't be listed */
int32_t g_group_of(int32_t pid);

/* record.c: the exit record, durable. 0, or -errno; *first_error: an attempt that failed before. */
int g_record_write(int dir, const char *name, const rd_guard_config *cfg, const rd_record *r, int32_t *first_error);
int g_record_memfd(const rd_guard_config *cfg, const rd_record *r);
int64_t g_oom_kills(int fd); /* the counter, or -1 */

static inline int64_t g_clock(int clock)
{
    struct rd_timespec ts = {0, 0};
    rd_sys2(__NR_clock_gettime, clock, &ts);
    return ts.sec * RD_NS_PER_S + ts.nsec;
}

#define g_now() g_clock(1)  /* CLOCK_MONOTONIC: stands still while the machine is suspended */
#define g_wall() g_clock(0) /* CLOCK_REALTIME */

#endif
