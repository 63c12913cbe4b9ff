/* hold PID: traces PID, says "!", and keeps its zombie from its parent until stdin ends. */
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char byte;
    int status;
    pid_t pid = argc > 1 ? atoi(argv[1]) : 0;
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || write(1, "!", 1) != 1)
        return 77;
    /* TERM stops the tracee at its delivery: let it through. */
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
        while (read(0, &byte, 1) > 0)
            ;
    }
    return 0;
}
