/* What the guard says, to its owner and to whoever is connected. */
#include "guard.h"

long g_send(int fd, const rd_guard_tell *t)
{
    long ret = 0;
    for (int i = 0; i < 3; i++) {
        G_RETRY(ret, rd_sys6(__NR_sendto, fd, (long)t, sizeof *t, 0x4040 /* MSG_DONTWAIT|MSG_NOSIGNAL */, 0, 0));
        if (ret >= 0 || ret == -G_EAGAIN || ret == -G_EPIPE || ret == -G_ECONNRESET)
            break;
    }
    return ret;
}

/* Neither said, nor unsaid because nobody is there or doesn't read. */
int g_is_broken(long sent)
{
    return sent < 0 && sent != -G_EAGAIN && sent != -G_EPIPE && sent != -G_ECONNRESET;
}

rd_guard_tell *g_new_tell(uint32_t type)
{
    static rd_guard_tell t;
    memset(&t, 0, sizeof t);
    t.version = RD_GUARD_VERSION;
    t.type = type;
    t.record_errno = g.record_errno;
    t.record_retried = g.record_retried;
    memcpy(&t.record, &g.rec, sizeof g.rec);
    return &t;
}

/* What came of telling the owner. */
long g_tell_all(const rd_guard_tell *t)
{
    long sent = g.life >= 0 ? g_send(g.life, t) : 0;
    for (int i = 0; i < G_CONNECTIONS; i++)
        if (g.conn[i] >= 0)
            g_send(g.conn[i], t); /* one that doesn't read loses news, not the record */
    return sent;
}

long g_tell(uint32_t type)
{
    return g_tell_all(g_new_tell(type));
}

/* To the owner's ears, or not at all: 0 while it doesn't read. */
int g_tell_end(void)
{
    long sent = g_tell(RD_TELL_ENDED);
    if (g_is_broken(sent))
        g_leave(125); /* it sees us gone, and reads the record */
    return sent != -G_EAGAIN;
}
