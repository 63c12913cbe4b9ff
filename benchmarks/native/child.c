/* The children: no libc, one page of code, so that a start's cost is the starter's and not theirs.
 * Built once per CHILD_... variant. */
#include "sys.h"

enum { STDOUT = 1, SIGKILL_ = 9, SIGCHLD_ = 17, CLOCK_STEADY = 1, AF_UNIX_ = 1, SOCK_STREAM_ = 1 };

static inline void pause_for_ever(void)
{
    for (;;)
        rd_sys5(__NR_ppoll, 0, 0, 0, 0, 0);
}

static inline void die_with_parent(void)
{
    rd_sys5(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, SIGKILL_, 0, 0, 0);
}

static inline void sleep_us(const char *digits)
{
    int64_t us = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        us = us * 10 + (*digits - '0');
    struct rd_timespec ts = {us / 1000000, us % 1000000 * 1000};
    rd_sys2(__NR_nanosleep, &ts, 0);
}

static inline int64_t now(void)
{
    struct rd_timespec ts;
    rd_sys2(__NR_clock_gettime, CLOCK_STEADY, &ts);
    return ts.sec * RD_NS_PER_S + ts.nsec;
}

static inline void say(const void *what, long len)
{
    rd_sys3(__NR_write, STDOUT, what, len);
}

static inline long fork_(void)
{
    return rd_sys5(__NR_clone, SIGCHLD_, 0, 0, 0, 0);
}

#if defined(CHILD_PAUSE)

static inline void child(char **argv)
{
    (void)argv;
    die_with_parent();
    pause_for_ever();
}

#elif defined(CHILD_LATE) /* late MICROSECONDS: says when it ends, and ends */

static inline void child(char **argv)
{
    die_with_parent();
    sleep_us(argv[1]);
    int64_t at = now();
    say(&at, sizeof at);
}

#elif defined(CHILD_LISTEN) /* listen MICROSECONDS PATH: says when it began to listen, and stays */

static inline void child(char **argv)
{
    struct {
        uint16_t family;
        char path[108];
    } addr = {.family = AF_UNIX_};
    for (int i = 0; i < 107 && argv[2][i]; i++)
        addr.path[i] = argv[2][i];
    die_with_parent();
    sleep_us(argv[1]);
    long fd = rd_sys3(__NR_socket, AF_UNIX_, SOCK_STREAM_, 0);
    rd_sys3(__NR_bind, fd, &addr, sizeof addr);
    int64_t at = now();
    rd_sys2(__NR_listen, fd, 16);
    say(&at, sizeof at);
    pause_for_ever();
}

#elif defined(CHILD_TREE) /* with a child in its group, one in a session of its own, and a daemon */

static inline void child(char **argv)
{
    (void)argv;
    if (fork_() == 0) {
        say("g", 1);
        pause_for_ever();
    }
    if (fork_() == 0) {
        rd_sys0(__NR_setsid);
        say("s", 1);
        pause_for_ever();
    }
    long between = fork_();
    if (between == 0) {
        rd_sys0(__NR_setsid);
        if (fork_() == 0) {
            say("d", 1);
            pause_for_ever();
        }
        return;
    }
    rd_sys4(__NR_wait4, between, 0, 0, 0);
    say("l", 1);
    pause_for_ever();
}

#else /* exits */

static inline void child(char **argv)
{
    (void)argv;
}

#endif

static __attribute__((noreturn, used)) void child_main(long *sp)
{
    child((char **)(sp + 1));
    for (;;)
        rd_sys1(__NR_exit_group, 0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall child_main\n\thlt\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl child_main\n\tbrk #0\n");
#endif

/* The compiler may call it for what we initialise. */
__attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int byte, size_t n)
{
    for (char *p = to; n; n--)
        *p++ = (char)byte;
    return to;
}
