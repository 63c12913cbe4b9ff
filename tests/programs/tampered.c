/* tampered WHAT PROGRAM ARGS...: run PROGRAM with system calls that tell another story.
 *
 * short: no write(2) of it takes more than seven bytes.
 * year:  its CLOCK_REALTIME is a year behind for three looks, then a year ahead.
 *
 * The program keeps its parent and its pid: the tracer is a grandchild that has seized it. x86-64 only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SHORT = 7, YEAR = 365 * 24 * 3600 };

static long reg(pid_t pid, size_t at)
{
    return ptrace(PTRACE_PEEKUSER, pid, at, 0);
}

#define REG(name) reg(pid, offsetof(struct user_regs_struct, name))

/* At the entry of a call rax is -ENOSYS, at its exit the result. */
static void tamper(pid_t pid, int year)
{
    static int looks;
    long call = REG(orig_rax), result = REG(rax);
    if (!year && call == SYS_write && result == -ENOSYS && REG(rdx) > SHORT)
        ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rdx), SHORT);
    if (year && call == SYS_clock_gettime && result == 0 && REG(rdi) == CLOCK_REALTIME) {
        long at = REG(rsi);
        ptrace(PTRACE_POKEDATA, pid, at, ptrace(PTRACE_PEEKDATA, pid, at, 0) + (looks++ < 3 ? -YEAR : YEAR));
    }
}

static void trace(pid_t pid, int ready, int year)
{
    int status;
    setsid();
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
        _exit(1);
    close(ready);
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        long signal = 0;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            tamper(pid, year);
        } else if (status >> 16 == 0) {
            signal = WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    int ready[2];
    char byte;
    pid_t self = getpid();
    if (argc < 3 || pipe(ready) < 0)
        return 99;
    pid_t child = fork();
    if (!child) {
        if (!fork()) {
            close(ready[0]);
            trace(self, ready[1], argv[1][0] == 'y');
        }
        _exit(0);
    }
    close(ready[1]);
    waitpid(child, 0, 0);
    if (read(ready[0], &byte, 1) < 0) /* end of file: the tracer has seized us */
        return 98;
    close(ready[0]);
    execv(argv[2], argv + 2);
    return 97;
}
