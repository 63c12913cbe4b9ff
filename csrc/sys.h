/* Raw system calls: what the child between clone and exec, and the guard, are made of.
 *
 * No libc: its wrappers write errno (the suspended parent's, after CLONE_VM), its sigprocmask
 * leaves signals 32 and 33 open, and the guard has none. Everything returns >= 0 or -errno.
 */
#ifndef RD_SYS_H
#define RD_SYS_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "raydp_wrap's process core runs on Linux, x86-64 and aarch64"
#endif

#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_clone3
#define __NR_clone3 435
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_pidfd_send_signal
#define __NR_pidfd_send_signal 424
#endif

/* A sanitizer's shadow stack and a stack protector's canary belong to the parent. */
#define RD_BARE __attribute__((no_sanitize("address", "undefined"), optimize("no-stack-protector")))
#if defined(__clang__)
#undef RD_BARE
#define RD_BARE __attribute__((no_sanitize("address", "undefined"), no_stack_protector))
#endif

#if defined(__x86_64__)
static inline long rd_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
#else
static inline long rd_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}
#endif

#define rd_sys5(n, a, b, c, d, e) rd_sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define rd_sys4(n, a, b, c, d) rd_sys5(n, a, b, c, d, 0)
#define rd_sys3(n, a, b, c) rd_sys4(n, a, b, c, 0)
#define rd_sys2(n, a, b) rd_sys3(n, a, b, 0)
#define rd_sys1(n, a) rd_sys2(n, a, 0)
#define rd_sys0(n) rd_sys1(n, 0)

/* clone3(ARGS) whose child calls FN(ARG) on the stack named in ARGS and exits with its result.
 * A child that returned through the parent's frame would corrupt the suspended parent, so the
 * call is made here, from assembly. ARGS' stack_size must leave the two words below its top to us. */
#if defined(__x86_64__)
static inline long rd_clone3_call(void *args, size_t size, void *stack_top, int (*fn)(void *), void *arg)
{
    long ret = __NR_clone3;
    void **top = (void **)stack_top;
    top[-1] = (void *)fn;
    top[-2] = arg;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "pop %%rdi\n\t"
                     "pop %%rax\n\t"
                     "call *%%rax\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "+a"(ret)
                     : "D"(args), "S"(size), [exit] "i"(__NR_exit)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}
#else
static inline long rd_clone3_call(void *args, size_t size, void *stack_top, int (*fn)(void *), void *arg)
{
    register long x8 __asm__("x8") = __NR_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)size;
    void **top = (void **)stack_top;
    top[-1] = (void *)fn;
    top[-2] = arg;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "ldp x0, x9, [sp], #16\n\t"
                     "blr x9\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc 0\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [exit] "i"(__NR_exit)
                     : "x9", "memory", "cc");
    return x0;
}
#endif

/* clone(FLAGS) with the same contract, for kernels and sandboxes without clone3. */
#if defined(__x86_64__)
static inline long rd_clone_call(unsigned long flags, void *stack_top, int *pidfd, int (*fn)(void *), void *arg)
{
    long ret = __NR_clone;
    void **top = (void **)stack_top;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    top[-1] = (void *)fn;
    top[-2] = arg;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "pop %%rdi\n\t"
                     "pop %%rax\n\t"
                     "call *%%rax\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "+a"(ret)
                     : "D"(flags), "S"(top - 2), "d"(pidfd), "r"(r10), "r"(r8), [exit] "i"(__NR_exit)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}
#else
static inline long rd_clone_call(unsigned long flags, void *stack_top, int *pidfd, int (*fn)(void *), void *arg)
{
    void **top = (void **)stack_top;
    register long x8 __asm__("x8") = __NR_clone;
    register long x0 __asm__("x0") = (long)flags;
    register long x1 __asm__("x1") = (long)(top - 2);
    register long x2 __asm__("x2") = (long)pidfd;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    top[-1] = (void *)fn;
    top[-2] = arg;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "ldp x0, x9, [sp], #16\n\t"
                     "blr x9\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc 0\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(__NR_exit)
                     : "x9", "memory", "cc");
    return x0;
}
#endif

/* ---- kernel structures, as the kernel lays them out (64-bit) ---------------------------- */

struct rd_timespec {
    int64_t sec, nsec;
};

struct rd_ksiginfo { /* siginfo_t of SIGCHLD, as waitid fills it */
    int32_t signo, error, code, pad;
    int32_t pid;
    uint32_t uid;
    int32_t status;
    char rest[100];
};

struct rd_krusage {
    int64_t utime_s, utime_us, stime_s, stime_us;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};

struct rd_ksigaction {
    uint64_t handler, flags, restorer, mask;
};

struct rd_rlimit {
    uint64_t soft, hard;
};

struct rd_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

struct rd_pollfd {
    int32_t fd;
    int16_t events, revents;
};

enum {
    RD_P_ALL = 0, RD_P_PID = 1, RD_P_PIDFD = 3,
    RD_WNOHANG = 1, RD_WEXITED = 4, RD_WNOWAIT = 0x01000000, RD_WALL = 0x40000000,
    RD_CLD_EXITED = 1, RD_CLD_DUMPED = 3
};
#define RD_CLONE_VM 0x100ull
#define RD_CLONE_VFORK 0x4000ull
#define RD_CLONE_PIDFD 0x1000ull
#define RD_CLONE_INTO_CGROUP 0x200000000ull

#define RD_NS_PER_S 1000000000ll

#define RD_SYS_EINTR 4

static inline long rd_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
    return rd_sys4(__NR_rt_sigprocmask, how, set, old, sizeof(uint64_t));
}

static inline long rd_close(int fd)
{
    return rd_sys1(__NR_close, fd);
}

#endif
