/* The job's cgroup: made at its start where that can be done, and removed at its end. */
#include "guard.h"

enum { MAX_DEPTH = 8 };

void g_cgroup_make(void)
{
    int parent = g.cfg.cgroup_parent;
    if (parent < 0 || !g.cfg.cgroup_name[0])
        return;
    if (rd_sys3(__NR_mkdirat, parent, g.cfg.cgroup_name, 0755) < 0)
        return; /* not ours to write after all: the tree is still held without it */
    long fd = rd_sys4(__NR_openat, parent, g.cfg.cgroup_name, G_O_DIRECTORY | G_O_CLOEXEC | G_O_NOFOLLOW, 0);
    if (fd < 0)
        rd_sys3(__NR_unlinkat, parent, g.cfg.cgroup_name, 0x200 /* AT_REMOVEDIR */);
    g.cgroup = fd < 0 ? -1 : g_above_streams(fd);
}

/* With those inside it: a guard that ran in this job, and died with it, can't remove its own. */
static void remove_all(int parent, const char *name, int depth)
{
    char buf[512] __attribute__((aligned(8)));
    if (rd_sys3(__NR_unlinkat, parent, name, 0x200 /* AT_REMOVEDIR */) == 0 || depth >= MAX_DEPTH)
        return;
    long dir = rd_sys4(__NR_openat, parent, name, G_O_DIRECTORY | G_O_CLOEXEC | G_O_NOFOLLOW, 0), n;
    if (dir < 0)
        return;
    while ((n = rd_sys3(__NR_getdents64, dir, buf, sizeof buf)) > 0) {
        for (long at = 0; at < n; at += *(uint16_t *)(buf + at + 16)) {
            const char *entry = buf + at + 19;
            if (buf[at + 18] == 4 /* DT_DIR */ && entry[0] != '.')
                remove_all((int)dir, entry, depth + 1);
        }
    }
    rd_close((int)dir);
    rd_sys3(__NR_unlinkat, parent, name, 0x200);
}

void g_cgroup_remove(void)
{
    if (g.cgroup < 0)
        return;
    rd_close(g.cgroup);
    g.cgroup = -1;
    remove_all(g.cfg.cgroup_parent, g.cfg.cgroup_name, 0);
}

void g_cgroup_kill(void)
{
    if (g.cgroup < 0)
        return;
    long fd = rd_sys4(__NR_openat, g.cgroup, "cgroup.kill", G_O_WRONLY | G_O_CLOEXEC, 0);
    if (fd < 0)
        return;
    rd_sys3(__NR_write, fd, "1", 1);
    rd_close((int)fd);
}
