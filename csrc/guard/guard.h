/* Inside the guard. No libc, no allocation, no polling: a few static pages and one ppoll. */
#ifndef RD_GUARD_H
#define RD_GUARD_H

#include "../raydp_proc.h"
#include "../sys.h"

enum { /* from the kernel's headers, which pull in libc's where both are wanted */
    G_EPERM = 1, G_ESRCH = 3, G_EINTR = 4, G_EIO = 5, G_ECHILD = 10, G_EAGAIN = 11, G_EINVAL = 22,
    G_EPIPE = 32, G_ECONNRESET = 104,
    G_SIGINT = 2, G_SIGQUIT = 3, G_SIGKILL = 9, G_SIGTERM = 15, G_SIGCHLD = 17, G_SIGCONT = 18,
    G_AT_FDCWD = -100,
    G_O_WRONLY = 1, G_O_RDWR = 2, G_O_CREAT = 0x40, G_O_EXCL = 0x80, G_O_CLOEXEC = 0x80000,
    G_POLLIN = 1, G_POLLOUT = 4, G_POLLHUP = 0x10, G_POLLRDHUP = 0x2000
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
