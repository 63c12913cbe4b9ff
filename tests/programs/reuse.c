/* reuse PID stranger|sibling: a process with exactly this PID, leading its own group, until it is killed.
 *
 * "sibling" makes it the child of our parent. Says "!" once it stands; exits with 77 where that is not permitted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    pid_t wanted = atoi(argv[1]);
    int sibling = !strcmp(argv[2], "sibling");
    struct clone_args args = {
        .flags = sibling ? CLONE_PARENT : 0,
        .exit_signal = sibling ? 0 : SIGCHLD,
        .set_tid = (__u64)(unsigned long)&wanted,
        .set_tid_size = 1,
    };
    long pid;
    do
        pid = syscall(SYS_clone3, &args, sizeof args);
    while (pid < 0 && errno == EEXIST); /* the old one is being released */
    if (pid < 0)
        return 77;
    if (pid == 0) {
        setpgid(0, 0);
        if (write(1, "!", 1) != 1)
            _exit(3);
        for (;;)
            pause();
    }
    if (!sibling)
        waitpid((pid_t)pid, NULL, 0);
    return 0;
}
