/* tells heeds|deaf: says "ready", then the number of each signal it gets, a line each. Ends with 0 on USR2 and, if it
 * heeds, with 3 on TERM. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int heeds = argc > 1 && argv[1][0] == 'h', number;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, 0);
    dprintf(1, "ready\n");
    while (sigwait(&all, &number) == 0) {
        dprintf(1, "%d\n", number);
        if (number == SIGUSR2)
            _exit(0);
        if (heeds && number == SIGTERM)
            _exit(3);
    }
    return 1;
}
