/* The two clocks. */
#include "guard.h"

enum { CLOCK_WALL = 0, CLOCK_STEADY = 1 /* CLOCK_MONOTONIC: stands still while the machine is suspended */ };

static int64_t latest; /* of the moments known to have come */

static int64_t read_clock(int clock)
{
    struct rd_timespec ts = {0, 0};
    for (int i = 0; i < 3; i++)
        if (rd_sys2(__NR_clock_gettime, clock, &ts) == 0)
            break;
    return ts.sec * RD_NS_PER_S + ts.nsec;
}

/* Never earlier than what a wait that ran out has shown: without a clock the ladder still goes on. */
int64_t g_now(void)
{
    int64_t now = read_clock(CLOCK_STEADY);
    if (now > latest)
        latest = now;
    return latest;
}

void g_has_come(int64_t at)
{
    if (latest < at)
        latest = at;
}

int64_t g_wall(void)
{
    return read_clock(CLOCK_WALL);
}
