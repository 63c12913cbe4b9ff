/* become_root PROGRAM ARGS...: setuid root, it makes PROGRAM another user's for whoever started it. */
#define _GNU_SOURCE
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2 || setresuid(0, 0, 0) < 0)
        return 99;
    execv(argv[1], argv + 1);
    return 98;
}
