/* short_writes PROGRAM ARGS...: run PROGRAM so that no write(2) of it takes more than seven bytes.
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
#include <unistd.h>

enum { SHORT = 7 };

static void trace(pid_t pid, int ready)
{
    int status;
    setsid();
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
        _exit(1);
    close(ready);
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        long signal = 0;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            long number = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, orig_rax), 0);
            long result = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rax), 0);
            long count = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rdx), 0);
            if (number == SYS_write && result == -ENOSYS && count > SHORT)
                ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rdx), SHORT);
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
    if (argc < 2 || pipe(ready) < 0)
        return 99;
    pid_t child = fork();
    if (!child) {
        if (!fork()) {
            close(ready[0]);
            trace(self, ready[1]);
        }
        _exit(0);
    }
    close(ready[1]);
    waitpid(child, 0, 0);
    if (read(ready[0], &byte, 1) < 0) /* end of file: the tracer has seized us */
        return 98;
    close(ready[0]);
    execv(argv[1], argv + 1);
    return 97;
}
