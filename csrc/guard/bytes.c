#include "guard.h"

/* The compiler may call these whatever we write; it must not turn them into calls to themselves. */
__attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int byte, size_t n)
{
    for (char *p = to; n; n--)
        *p++ = (char)byte;
    return to;
}

__attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void *memcpy(void *to, const void *from, size_t n)
{
    char *p = to;
    for (const char *q = from; n; n--)
        *p++ = *q++;
    return to;
}
