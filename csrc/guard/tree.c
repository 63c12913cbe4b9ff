/* Listing the guard's direct children. */
#include "guard.h"

static int parse_pids(int fd, g_visit visit, void *ctx)
{
    char buf[1024];
    int32_t pid = 0;
    for (;;) {
        long n;
        G_RETRY(n, rd_sys3(__NR_read, fd, buf, sizeof buf));
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        for (long i = 0; i < n; i++) {
            if (buf[i] >= '0' && buf[i] <= '9') {
                pid = pid * 10 + (buf[i] - '0');
            } else if (pid) {
                visit(pid, ctx);
                pid = 0;
            }
        }
    }
    if (pid)
        visit(pid, ctx);
    return 0;
}

/* "PID (COMM) STATE PPID ...": the parent.
 * COMM may hold spaces and brackets: the last ')' ends it. */
static int32_t parent_of(const char *name, size_t name_len)
{
    char path[32] = "/proc/", text[512];
    if (name_len > 10)
        return -1;
    memcpy(path + 6, name, name_len);
    memcpy(path + 6 + name_len, "/stat", 6);
    long fd = rd_sys4(__NR_openat, G_AT_FDCWD, path, G_O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    long n = rd_sys3(__NR_read, fd, text, sizeof text), at = 0;
    rd_close((int)fd);
    for (long i = 0; i < n; i++)
        if (text[i] == ')')
            at = i + 1;
    if (!at)
        return -1;
    at += 3; /* " S " */
    int32_t value = 0;
    for (; at < n && text[at] >= '0' && text[at] <= '9'; at++)
        value = value * 10 + (text[at] - '0');
    return value;
}

/* Kernels without CONFIG_PROC_CHILDREN, and gVisor. */
static int scan_proc(int32_t self, g_visit visit, void *ctx)
{
    char buf[1024] __attribute__((aligned(8)));
    long dir = rd_sys4(__NR_openat, G_AT_FDCWD, "/proc", G_O_CLOEXEC | G_O_DIRECTORY, 0);
    if (dir < 0)
        return (int)dir;
    long n;
    while ((n = rd_sys3(__NR_getdents64, dir, buf, sizeof buf)) > 0) {
        for (long at = 0; at < n;) {
            const char *name = buf + at + 19;
            int32_t pid = 0;
            size_t len = 0;
            for (; name[len] >= '0' && name[len] <= '9'; len++)
                pid = pid * 10 + (name[len] - '0');
            if (pid && !name[len] && parent_of(name, len) == self)
                visit(pid, ctx);
            at += *(uint16_t *)(buf + at + 16);
        }
    }
    rd_close((int)dir);
    return (int)n;
}

int g_each_child(int32_t self, g_visit visit, void *ctx)
{
    long fd = rd_sys4(__NR_openat, G_AT_FDCWD, "/proc/thread-self/children", G_O_CLOEXEC, 0);
    if (fd >= 0) {
        int ret = parse_pids((int)fd, visit, ctx);
        rd_close((int)fd);
        if (ret == 0)
            return 0;
    }
    return scan_proc(self, visit, ctx);
}

int32_t g_group_of(int32_t pid)
{
    return (int32_t)rd_sys1(__NR_getpgid, pid);
}
