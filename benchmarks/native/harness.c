/* harness BALLAST CHILD GUARD: the C core in a C program of BALLAST bytes. Reads "run" (CHILD by rd_run) or
 * "guard" (CHILD under a guard, without a record) a line; answers the nanoseconds, or -errno. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "timed.h"

static size_t append(char *to, size_t at, const char *text)
{
    size_t len = strlen(text) + 1;
    memcpy(to + at, text, len);
    return at + len;
}

static int await_end(int channel)
{
    rd_guard_tell tell;
    for (;;) {
        ssize_t n = recv(channel, &tell, sizeof tell, 0);
        if (n != (ssize_t)sizeof tell)
            return n < 0 ? -errno : -EPROTO;
        if (tell.type == RD_TELL_START_FAILED)
            return -tell.err;
        if (tell.type == RD_TELL_ENDED)
            return tell.record.driver.code ? -ECHILD : 0;
    }
}

/* ENDED: when the owner knew; the result: when the guard was reaped, too. */
static int64_t timed_guard(const char *path, const char *guard, int64_t *ended)
{
    static rd_guard_config config;
    char argv[3 * 4096];
    int32_t channel[2], fd_map[2] = {0, 3};
    int64_t began = steady_ns();
    int ret = rd_channel_new(channel);
    if (ret < 0)
        return ret;
    config.version = RD_GUARD_VERSION;
    config.size = sizeof config;
    config.spawn_flags = RD_NEW_SESSION;
    config.owner_pid = getpid();
    config.group = getpgrp();
    config.terminal = config.record_dir = config.listen_fd = config.cgroup_parent = config.oom_fd = -1;
    config.stop_signal = SIGTERM;
    config.grace_ns = config.sweep_ns = config.reap_ns = 1000000000;
    strcpy(config.id, "benchmark");
    rd_channel_send(channel[0], &config, sizeof config);
    size_t len = append(argv, 0, "raydp-guard");
    len = append(argv, len, "3");
    len = append(argv, len, path);
    len = append(argv, len, "");
    len = append(argv, len, path);
    fd_map[0] = channel[1];
    rd_spec spec = {
        .size = sizeof spec,
        .flags = RD_NEW_SESSION,
        .executable = guard,
        .argv = argv,
        .argv_len = len,
        .fd_map = fd_map,
        .fd_pairs = 1,
        .cgroup_fd = -1,
    };
    rd_child child;
    rd_exit end;
    ret = rd_spawn(&spec, &child);
    close(channel[1]);
    if (ret >= 0)
        ret = await_end(channel[0]);
    *ended = steady_ns() - began;
    close(channel[0]);
    if (child.pid > 0) {
        rd_wait(&child, -1, &end);
        close(child.fd);
    }
    return ret < 0 ? ret : steady_ns() - began;
}

int main(int argc, char **argv)
{
    char line[32];
    if (argc != 4)
        return 2;
    size_t ballast = strtoull(argv[1], NULL, 10);
    if (ballast) {
        void *at = mmap(NULL, ballast, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return 3;
        memset(at, 1, ballast);
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int64_t ended, took;
        if (!strcmp(line, "guard\n")) {
            took = timed_guard(argv[2], argv[3], &ended);
            printf("%lld %lld\n", (long long)(took < 0 ? took : ended), (long long)took);
        } else {
            timed_run(argv[2]); /* as benchmarks.methods.warm */
            printf("%lld\n", (long long)timed_run(argv[2]));
        }
        fflush(stdout);
    }
    return 0;
}
