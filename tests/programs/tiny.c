/* tiny [CODE]: exits with CODE. tiny pause: waits to be killed. tiny echo: says one byte first.
 * tiny deaf: the same, and ignores TERM. */
#include "sys.h"

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

__attribute__((used)) void tiny(long *stack);
void tiny(long *stack)
{
    const char *what = stack[0] > 1 ? (const char *)stack[2] : "0";
    if (*what < '0' || *what > '9') {
        if (equal(what, "deaf")) {
            struct rd_ksigaction ignore = {1, 0, 0, 0};
            rd_sys4(__NR_rt_sigaction, 15, &ignore, 0, 8);
        }
        if (!equal(what, "pause"))
            rd_sys3(__NR_write, 1, "!", 1);
        for (;;)
            rd_sys4(__NR_ppoll, 0, 0, 0, 0);
    }
    long code = 0;
    for (; *what; what++)
        code = code * 10 + (*what - '0');
    rd_sys1(__NR_exit_group, code);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall tiny\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl tiny\n");
#endif
