/* shapes SHAPE MODE MARKER LOG: a process tree that is hard to end.
 *
 * Every process appends "PID STARTTIME" to LOG and keeps MARKER in its argv; every one ends by
 * itself after a minute at most, so that a failing test can't leave a machine full. MODE is how the
 * driver goes on once the tree stands and "ready" is said on stdout: "exit" (code 0), "exit3" (code 3), or
 * "stay".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BOMB = 200, LIFE_S = 60, CHAIN_S = 15, CHAIN_READY = 10 };

static const char *log_path;
static int settled[2];

static void note(void)
{
    char text[1024], line[64];
    alarm(LIFE_S);
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *at = strrchr(text, ')');
    unsigned long long start = 0;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        start = strtoull(at, 0, 10);
    int len = snprintf(line, sizeof line, "%d %llu\n", getpid(), start);
    fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (write(fd, line, (size_t)len) != len)
        _exit(99);
    close(fd);
}

static void settle(void)
{
    if (write(settled[1], "x", 1) != 1)
        _exit(98);
}

static void rest(void)
{
    for (;;)
        pause();
}

static void ignore_all(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
}

static void begin(void)
{
    note();
    settle();
    rest();
}

static int background(void)
{
    if (!fork())
        begin();
    return 1;
}

static int new_session(void)
{
    if (!fork()) {
        setsid();
        begin();
    }
    return 1;
}

static int double_fork(void)
{
    if (!fork()) {
        setsid();
        if (fork())
            _exit(0);
        begin();
    }
    wait(0);
    return 1;
}

static void bomb(atomic_int *forks)
{
    note();
    for (;;) {
        int n = atomic_fetch_add(forks, 1);
        if (n >= BOMB)
            rest();
        if (n == BOMB / 4)
            settle(); /* three quarters are still to come while the tree is being ended */
        if (!fork()) {
            if (n % 3 == 0)
                setsid();
            ignore_all();
            note();
        }
        usleep(300);
    }
}

static int fork_bomb(void)
{
    atomic_int *forks = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!fork())
        bomb(forks);
    return 1;
}

static int reforker(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    time_t end = ts.tv_sec + CHAIN_S;
    if (!fork()) {
        ignore_all();
        note();
        for (long i = 0;; i++) {
            clock_gettime(CLOCK_MONOTONIC, &ts);
            if (ts.tv_sec > end)
                _exit(0);
            if (fork())
                _exit(0);
            setsid();
            if (i == CHAIN_READY)
                settle();
        }
    }
    return 1;
}

static int ignores_term(void)
{
    if (!fork()) {
        ignore_all();
        begin();
    }
    ignore_all();
    return 1;
}

static int stopped(void)
{
    pid_t pid = fork();
    if (!pid) {
        note();
        settle();
        raise(SIGSTOP);
        rest();
    }
    waitpid(pid, 0, WUNTRACED);
    return 1;
}

static int subreaper(void)
{
    if (!fork()) {
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (!fork()) {
            if (fork())
                _exit(0);
            setsid();
            begin();
        }
        wait(0);
        begin();
    }
    return 2;
}

static int closes_fds(void)
{
    if (!fork()) {
        setsid();
        if (fork())
            _exit(0);
        note();
        settle();
        for (int fd = 0; fd < 64; fd++)
            close(fd);
        rest();
    }
    wait(0);
    return 1;
}

static int alone(void)
{
    return 0;
}

static const struct {
    const char *name;
    int (*make)(void);
} shapes[] = {
    {"alone", alone},           {"background", background}, {"setsid", new_session},
    {"double-fork", double_fork}, {"fork-bomb", fork_bomb},   {"reforker", reforker},
    {"ignores-term", ignores_term}, {"stopped", stopped},     {"subreaper", subreaper},
    {"closes-fds", closes_fds},
};

int main(int argc, char **argv)
{
    char byte;
    if (argc < 5 || pipe2(settled, O_CLOEXEC) < 0)
        return 97;
    log_path = argv[4];
    note();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(argv[1], shapes[i].name))
            continue;
        for (int left = shapes[i].make(); left > 0; left--)
            if (read(settled[0], &byte, 1) != 1)
                return 96;
        if (write(1, "ready\n", 6) != 6)
            return 95;
        if (!strcmp(argv[2], "stay"))
            rest();
        return !strcmp(argv[2], "exit3") ? 3 : 0;
    }
    return 94;
}
