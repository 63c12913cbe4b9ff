/* driver TINY DIRECTORY [CGROUP]: calls every function of raydp_proc.h, under the sanitizers.
 *
 * Compiled with the library's sources by test_driver.py. Says nothing and exits with 0 when all holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "raydp_proc.h"
#include "wait.h"

#define CHECK(holds)                                                                       \
    do {                                                                                   \
        if (!(holds)) {                                                                    \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #holds, errno); \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

static const char *tiny;
static const int64_t second = RD_NS_PER_S;
static const int64_t forever_ns[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX - 1};

static void fill(rd_spec *spec, char *argv, size_t room, const char *what)
{
    memset(spec, 0, sizeof *spec);
    int n = snprintf(argv, room, "tiny%c%s", '\0', what);
    spec->size = sizeof *spec;
    spec->executable = tiny;
    spec->argv = argv;
    spec->argv_len = (uint64_t)n + 1;
    spec->cgroup_fd = -1;
}

static rd_child started(const char *what, uint32_t method, uint32_t flags)
{
    rd_spec spec;
    rd_child child;
    char argv[64];
    fill(&spec, argv, sizeof argv, what);
    spec.method = method;
    spec.flags = flags;
    CHECK(rd_spawn(&spec, &child) == 0);
    CHECK(child.pid > 0 && child.fd >= 0 && child.stage == 0 && child.err == 0);
    CHECK(!method || child.method == method);
    return child;
}

static void probe(void)
{
    rd_caps caps;
    CHECK(rd_probe(&caps) == 0);
    CHECK(caps.vfork && caps.method >= RD_METHOD_CLONE_PIDFD && caps.method <= RD_METHOD_THREAD);
    CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
}

static void run_and_reap(uint32_t method, uint32_t flags)
{
    rd_exit end;
    rd_child child = started("7", method, flags);
    CHECK(rd_wait(&child, -1, &end) == 1 && end.code == 7 && end.signal == 0);
    CHECK(rd_reap(&child, &end) == -ECHILD);
    close(child.fd);

    child = started("pause", method, flags);
    CHECK(rd_observe(&child, 0) == 0 && rd_observe(&child, 1000) == 0);
    CHECK(rd_wait(&child, 1000, &end) == 0 && rd_reap(&child, &end) == 0);
    CHECK(rd_signal(&child, SIGUSR1, RD_SCOPE_PROCESS, -1) == 0);
    CHECK(rd_observe(&child, -1) == 1);
    CHECK(rd_reap(&child, &end) == 1 && end.code == -1 && end.signal == SIGUSR1 && !end.core_dumped);
    CHECK(rd_signal(&child, SIGUSR1, RD_SCOPE_PROCESS, -1) == -ESRCH);
    CHECK(rd_signal(&child, SIGUSR1, RD_SCOPE_GROUP, -1) == -ESRCH);
    CHECK(rd_signal(&child, SIGUSR1, 99, -1) == -EINVAL);
    close(child.fd);

    for (size_t i = 0; i < sizeof forever_ns / sizeof *forever_ns; i++) {
        child = started("9", method, flags);
        CHECK(rd_wait(&child, forever_ns[i], &end) == 1 && end.code == 9);
        close(child.fd);
    }

    rd_spec spec;
    char argv[64];
    fill(&spec, argv, sizeof argv, "5");
    spec.method = method;
    spec.flags = flags;
    CHECK(rd_run(&spec, -1, &child, &end) == 1 && end.code == 5);
    close(child.fd);
    fill(&spec, argv, sizeof argv, "pause");
    CHECK(rd_run(&spec, 1000, &child, &end) == 0);
    CHECK(rd_stop(&child, SIGTERM, 0, -1, RD_SCOPE_PROCESS, -1, &end) == 1 && end.signal == SIGKILL);
    close(child.fd);
    spec.executable = "/nowhere/program";
    CHECK(rd_run(&spec, -1, &child, &end) == -ENOENT && child.stage == RD_STAGE_EXEC && child.fd == -1);
}

static void failures(uint32_t method, uint32_t flags)
{
    static const struct {
        const char *executable, *cwd;
        int32_t fd, death_signal;
        int stage, err;
    } cases[] = {
        {"/nowhere/program", NULL, -1, 0, RD_STAGE_EXEC, ENOENT},
        {"/etc/passwd", NULL, -1, 0, RD_STAGE_EXEC, EACCES},
        {"/", NULL, -1, 0, RD_STAGE_EXEC, EACCES},
        {NULL, "/nowhere", -1, 0, RD_STAGE_CWD, ENOENT},
        {NULL, NULL, 9999, 0, RD_STAGE_FDS, EBADF},
        {NULL, NULL, -1, 99, RD_STAGE_DEATH_SIGNAL, EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rd_spec spec;
        rd_child child;
        char argv[64];
        int32_t map[2] = {cases[i].fd, 5};
        fill(&spec, argv, sizeof argv, "1");
        spec.method = method;
        spec.flags = flags;
        spec.cwd = cases[i].cwd;
        spec.death_signal = cases[i].death_signal;
        if (cases[i].executable)
            spec.executable = cases[i].executable;
        if (cases[i].fd >= 0) {
            spec.fd_map = map;
            spec.fd_pairs = 1;
        }
        CHECK(rd_spawn(&spec, &child) == -cases[i].err);
        CHECK(child.stage == cases[i].stage && child.err == cases[i].err && child.fd == -1 && child.pid == 0);
        CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
    }
}

static void refuse(rd_spec *spec, int err)
{
    rd_child child;
    CHECK(rd_spawn(spec, &child) == -err && child.stage == RD_STAGE_SPEC && child.fd == -1);
}

static void nonsense(void)
{
    rd_spec spec;
    char argv[64];
    int32_t map[2] = {-1, 3};
    fill(&spec, argv, sizeof argv, "1");
    spec.size--;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.flags = 1u << 31;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.method = 4;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.executable = NULL;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.argv = NULL;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.argv_len--;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.env = "A=1";
    spec.env_len = 3;
    refuse(&spec, EINVAL);
    fill(&spec, argv, sizeof argv, "1");
    spec.fd_map = map;
    spec.fd_pairs = 1;
    refuse(&spec, EBADF);
}

/* A child born after its parent's death must not run: seen from the child's side, where it is told of a
 * parent that is not its own. */
static void parent_check(void)
{
    static char stack[64 * 1024] __attribute__((aligned(16)));
    char *argv[] = {(char *)"tiny", NULL};
    struct rd_plan plan = {
        .death_signal = SIGKILL,
        .parent_pid = 1,
        .cgroup_fd = -1,
        .error_pipe = -1,
        .executable = tiny,
        .argv = argv,
        .env = argv + 1,
    };
    if (getpid() == 1)
        plan.parent_pid = 2;
    int status, pid = clone(rd_child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
    CHECK(pid > 0 && plan.started && plan.stage == RD_STAGE_PARENT && plan.err == ESRCH);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

/* Before Linux 5.11, and where it is forbidden: the descriptors that are open are walked. */
static void environment_and_fds(const char *directory, uint32_t method)
{
    rd_spec spec;
    rd_child child;
    rd_exit end;
    char argv[64], text[64];
    static const char env[] = "LISTEN_PID=0000000000\0LISTEN_FDS=1\0ODD=\xff";
    int32_t map[] = {1, 0, 0, 1, 5, 6, 6, 5, 5, 40};
    int saved[2] = {open("/dev/null", O_RDONLY), open(directory, O_RDONLY | O_DIRECTORY)};
    CHECK(saved[0] >= 0 && saved[1] >= 0 && dup2(saved[0], 5) == 5 && dup2(saved[1], 6) == 6);
    fill(&spec, argv, sizeof argv, "3");
    spec.method = method;
    spec.flags = RD_LISTEN_PID | RD_NEW_SESSION;
    spec.env = env;
    spec.env_len = sizeof env;
    spec.cwd = directory;
    spec.fd_map = map;
    spec.fd_pairs = 5;
    spec.keep_ignored = ~0ull;
    spec.death_signal = SIGTERM;
    CHECK(rd_run(&spec, -1, &child, &end) == 1 && end.code == 3);
    close(child.fd);
    spec.env_len = 0;
    CHECK(rd_run(&spec, -1, &child, &end) == 1 && end.code == 3);
    close(child.fd);
    for (int i = 0; i < 2; i++)
        if (saved[i] != 5 && saved[i] != 6)
            close(saved[i]);
    close(5);
    close(6);
    snprintf(text, sizeof text, "%.10s", env + 11);
    CHECK(!strcmp(text, "0000000000")); /* the caller's blob is its own */
}

static void which(const char *directory)
{
    char out[256], path[PATH_MAX + 64], small[8];
    CHECK(rd_which("sh", "/nowhere:/bin:/usr/bin", out, sizeof out) == 0 && !strcmp(out, "/bin/sh"));
    CHECK(rd_which("no-such-name", "/bin:/usr/bin", out, sizeof out) == -ENOENT);
    CHECK(rd_which("", "/bin", out, sizeof out) == -ENOENT);
    CHECK(rd_which("sh", "", out, sizeof out) == -ENOENT);
    CHECK(rd_which("sh", NULL, out, sizeof out) == -ENOENT);
    CHECK(rd_which("a/b", NULL, out, sizeof out) == 0 && !strcmp(out, "a/b"));
    CHECK(rd_which("long/path", NULL, small, sizeof small) == -ENAMETOOLONG);
    CHECK(rd_which("sh", "/bin:/usr/bin", small, 4) == -ENOENT);
    snprintf(path, sizeof path, "%s/plain", directory);
    CHECK(close(open(path, O_CREAT | O_WRONLY, 0644)) == 0);
    CHECK(rd_which("plain", directory, out, sizeof out) == -EACCES);
    unlink(path);
    memset(path, 'x', PATH_MAX);
    path[PATH_MAX] = '\0';
    CHECK(rd_which("sh", path, out, sizeof out) == -ENOENT);
}

static void *wait_for(void *arg)
{
    rd_child *child = arg;
    CHECK(rd_observe(child, -1) == 1);
    return NULL;
}

static void several_waiters(uint32_t method)
{
    rd_child child = started("pause", method, 0);
    rd_exit end;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, wait_for, &child) == 0);
    CHECK(rd_signal(&child, SIGTERM, RD_SCOPE_PROCESS, -1) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(rd_reap(&child, &end) == 1 && end.signal == SIGTERM);
    close(child.fd);
}

static void on_alarm(int number)
{
    (void)number;
}

static void interrupted(void)
{
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    rd_child child = started("pause", 0, 0);
    rd_exit end;
    rd_event events[4];
    int set = rd_set_new();
    sigaction(SIGALRM, &action, &old);
    CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
    CHECK(rd_observe(&child, -1) == -EINTR);
    CHECK(rd_wait(&child, 60 * second, &end) == -EINTR);
    CHECK(rd_set_wait(set, events, 4, -1) == -EINTR);
    CHECK(rd_stop(&child, SIGUSR1, 60 * second, -1, RD_SCOPE_PROCESS, -1, &end) == 1 && end.signal == SIGUSR1);
    timer_delete(timer);
    sigaction(SIGALRM, &old, NULL);
    close(set);
    close(child.fd);
}

static void ladder(uint32_t method, int scope)
{
    rd_exit end;
    rd_child child = started("pause", method, RD_NEW_SESSION);
    CHECK(rd_stop(&child, SIGTERM, 60 * second, 60 * second, scope, -1, &end) == 1);
    CHECK(end.signal == SIGTERM && end.rung == RD_RUNG_SIGNAL);
    close(child.fd);
    child = started("pause", method, RD_NEW_GROUP);
    CHECK(rd_stop(&child, SIGCONT, 1000, -1, scope, -1, &end) == 1); /* a signal it does not heed */
    CHECK(end.signal == SIGKILL && end.rung == RD_RUNG_KILL);
    close(child.fd);
    for (size_t i = 0; i < sizeof forever_ns / sizeof *forever_ns; i++) {
        child = started("pause", method, RD_NEW_GROUP);
        CHECK(rd_stop(&child, SIGTERM, forever_ns[i], forever_ns[i], scope, -1, &end) == 1);
        CHECK(end.signal == SIGTERM && end.rung == RD_RUNG_SIGNAL);
        close(child.fd);
    }
    child = started("4", method, RD_NEW_GROUP);
    CHECK(rd_observe(&child, -1) == 1);
    CHECK(rd_stop(&child, SIGTERM, -1, -1, scope, -1, &end) == 1 && end.code == 4 && end.rung == RD_RUNG_NONE);
    CHECK(rd_stop(&child, SIGTERM, -1, 0, RD_SCOPE_PROCESS, -1, &end) == -ECHILD);
    close(child.fd);
}

static void joined_group(void)
{
    rd_spec spec;
    rd_child leader = started("pause", 0, RD_NEW_GROUP), member;
    rd_exit end;
    char argv[64];
    fill(&spec, argv, sizeof argv, "pause");
    spec.flags = RD_JOIN_GROUP;
    spec.group = leader.pid;
    CHECK(rd_spawn(&spec, &member) == 0 && getpgid(member.pid) == leader.pid);
    CHECK(rd_stop(&leader, SIGTERM, -1, -1, RD_SCOPE_GROUP, -1, &end) == 1 && end.rung == RD_RUNG_SIGNAL);
    CHECK(rd_reap(&member, &end) == 1 && end.signal == SIGTERM);
    close(leader.fd);
    close(member.fd);
    spec.group = leader.pid; /* gone */
    CHECK(rd_spawn(&spec, &member) < 0 && member.stage == RD_STAGE_SESSION);
    spec.flags = RD_NEW_GROUP | RD_FOREGROUND;
    spec.terminal = open("/dev/null", O_RDWR);
    CHECK(rd_spawn(&spec, &member) == -ENOTTY && member.stage == RD_STAGE_TERMINAL);
    close(spec.terminal);
}

static void in_cgroup(const char *path, uint32_t method)
{
    rd_spec spec;
    rd_child child, other;
    rd_exit end;
    char argv[64];
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    fill(&spec, argv, sizeof argv, "pause");
    spec.method = method;
    spec.cgroup_fd = fd;
    CHECK(rd_spawn(&spec, &child) == 0 && rd_spawn(&spec, &other) == 0);
    CHECK(rd_signal(&child, SIGCONT, RD_SCOPE_CGROUP, fd) == 0);
    CHECK(rd_stop(&child, SIGTERM, -1, -1, RD_SCOPE_CGROUP, fd, &end) == 1 && end.rung == RD_RUNG_SIGNAL);
    CHECK(rd_wait(&other, -1, &end) == 1 && end.signal == SIGTERM);
    close(child.fd);
    close(other.fd);
    CHECK(rd_spawn(&spec, &child) == 0);
    CHECK(rd_stop(&child, SIGTERM, 0, -1, RD_SCOPE_CGROUP, fd, &end) == 1 && end.signal == SIGKILL);
    close(child.fd);
    close(fd);
    fd = open("/", O_RDONLY | O_DIRECTORY); /* no cgroup */
    spec.cgroup_fd = fd;
    CHECK(rd_spawn(&spec, &child) < 0 && (child.stage == RD_STAGE_CGROUP || child.stage == RD_STAGE_CLONE));
    child = started("pause", method, 0);
    CHECK(rd_signal(&child, SIGTERM, RD_SCOPE_CGROUP, fd) == -ENOENT);
    CHECK(rd_stop(&child, SIGTERM, 0, -1, RD_SCOPE_CGROUP, fd, &end) == 1);
    close(child.fd);
    close(fd);
}

static void sets(void)
{
    enum { COUNT = 150 };
    static rd_child children[COUNT];
    rd_event events[100];
    rd_exit end;
    int set = rd_set_new(), left = COUNT;
    CHECK(set >= 0 && rd_set_wait(set, events, 100, 0) == 0 && rd_set_wait(set, events, 100, 1000) == 0);
    for (int i = 0; i < COUNT; i++) {
        children[i] = started(i % 2 ? "1" : "2", (uint32_t)i % 4, 0);
        CHECK(rd_set_add(set, children[i].fd, (uint64_t)i) == 0);
    }
    CHECK(rd_set_add(set, children[0].fd, 0) == -EEXIST);
    CHECK(rd_set_remove(set, children[0].fd) == 0 && rd_set_remove(set, children[0].fd) == -ENOENT);
    CHECK(rd_set_add(set, children[0].fd, 0) == 0);
    while (left) {
        int n = rd_set_wait(set, events, 100, -1);
        CHECK(n > 0 && n <= 64);
        for (int i = 0; i < n; i++, left--) {
            rd_child *child = &children[events[i].cookie];
            CHECK(rd_wait(child, 0, &end) == 1 && end.code == (events[i].cookie % 2 ? 1 : 2));
            close(child->fd);
        }
    }
    CHECK(rd_set_wait(set, events, 100, 0) == 0);
    close(set);
    CHECK(rd_set_wait(-1, events, 1, 0) == -EBADF && rd_set_add(-1, 0, 0) == -EBADF);
}

static void signals(void)
{
    rd_siginfo info;
    sigset_t old;
    sigprocmask(SIG_BLOCK, NULL, &old);
    int fd = rd_signal_open(1ull << (SIGUSR2 - 1));
    CHECK(fd >= 0 && rd_signal_read(fd, &info) == 0);
    kill(getpid(), SIGUSR2);
    CHECK(rd_signal_read(fd, &info) == 1 && info.signal == SIGUSR2 && info.pid == getpid() && info.uid == getuid());
    CHECK(rd_signal_read(fd, &info) == 0);
    close(fd);
    CHECK(rd_signal_read(-1, &info) == -EBADF);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* A forked child whose parent is ended is ended as well; one whose parent is another finds out. */
static void death_with_parent(void)
{
    int fds[2], middle = -1, status;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0); /* so that the orphan is ours to reap */
    CHECK(pipe(fds) == 0);
    CHECK((middle = fork()) >= 0);
    if (!middle) {
        if (!fork()) {
            char ok = rd_die_with(getpid(), SIGKILL) == -ESRCH && rd_die_with(getppid(), SIGKILL) == 0;
            if (write(fds[1], &ok, 1) == 1)
                for (;;)
                    pause();
        }
        for (;;)
            pause();
    }
    close(fds[1]);
    char ok = 0;
    CHECK(read(fds[0], &ok, 1) == 1 && ok);
    CHECK(kill(middle, SIGKILL) == 0 && waitpid(middle, &status, 0) == middle);
    CHECK(waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(fds[0]);
}

static void sockets(const char *directory)
{
    char path[PATH_MAX], longest[256], data[16];
    struct stat st;
    rd_peer peer;
    int32_t pair[2];
    rd_child worker = started("pause", 0, 0);
    rd_exit end;
    int watch = rd_watch_dir(directory);
    CHECK(watch >= 0 && rd_watch_dir("/nowhere") == -ENOENT && rd_watch_dir(tiny) == -ENOTDIR);
    snprintf(path, sizeof path, "%s/sock", directory);
    CHECK(rd_uds_wait(watch, path, worker.fd, 0) == -ETIMEDOUT);
    CHECK(rd_uds_wait(watch, path, worker.fd, 1000000) == -ETIMEDOUT);
    CHECK(rd_uds_connect(path, SOCK_STREAM) == -ENOENT);
    int listening = rd_uds_listen(path, 4, SOCK_STREAM);
    CHECK(listening >= 0 && !stat(path, &st) && (st.st_mode & 07777) == 0600);
    CHECK(rd_uds_listen(path, 4, SOCK_STREAM) == -EADDRINUSE);
    int connected = rd_uds_wait(watch, path, worker.fd, -1);
    CHECK(connected >= 0 && rd_uds_peer(connected, &peer) == 0);
    CHECK(peer.pid == getpid() && peer.uid == getuid() && peer.gid == getgid());
    CHECK(rd_uds_peer(watch, &peer) == -ENOTSOCK);
    close(connected);
    close(listening);
    CHECK(rd_uds_wait(watch, path, worker.fd, 1000000) == -ETIMEDOUT); /* refused: nobody listens any more */
    CHECK(rd_stop(&worker, SIGTERM, 0, -1, RD_SCOPE_PROCESS, -1, &end) == 1);
    CHECK(rd_uds_wait(watch, path, worker.fd, INT64_MAX) == -ECHILD);
    unlink(path);
    close(worker.fd);
    close(watch);

    memset(longest, 'x', sizeof longest);
    longest[108] = '\0';
    CHECK(rd_uds_wait(-1, longest, -1, 0) == -ENAMETOOLONG && rd_uds_listen(longest, 1, SOCK_STREAM) == -ENAMETOOLONG);
    CHECK(rd_uds_connect(longest, SOCK_STREAM) == -ENAMETOOLONG && rd_uds_connect("", SOCK_STREAM) == -EINVAL);
    longest[107] = '\0';
    CHECK(rd_uds_connect(longest, SOCK_STREAM) == -ENOENT);

    CHECK(rd_channel_new(pair) == 0 && rd_channel_send(pair[0], "hello", 5) == 5);
    CHECK(read(pair[1], data, sizeof data) == 5 && !memcmp(data, "hello", 5));
    close(pair[1]);
    CHECK(rd_channel_send(pair[0], "hello", 5) == -EPIPE); /* and no SIGPIPE */
    close(pair[0]);
}

static int count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    tiny = argv[1];
    int before = count_fds();
    probe();
    parent_check();
    nonsense();
    which(argv[2]);
    for (uint32_t method = RD_METHOD_AUTO; method <= RD_METHOD_THREAD; method++) {
        run_and_reap(method, 0);
        run_and_reap(method, RD_ERROR_PIPE);
        failures(method, 0);
        failures(method, RD_ERROR_PIPE);
        environment_and_fds(argv[2], method);
        several_waiters(method);
        ladder(method, RD_SCOPE_PROCESS);
        ladder(method, RD_SCOPE_GROUP);
        if (argc > 3)
            in_cgroup(argv[3], method);
    }
    joined_group();
    interrupted();
    sets();
    signals();
    death_with_parent();
    sockets(argv[2]);
    CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
    /* a watching thread closes its eventfd a moment after the child's end is known */
    for (int i = 0; count_fds() != before && i < 10000; i++)
        usleep(1000);
    CHECK(count_fds() == before);
    return 0;
}
