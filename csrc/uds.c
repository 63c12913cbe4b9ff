/* Unix sockets: wait until a worker's socket accepts; listen on one of our own. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "raydp_proc.h"
#include "wait.h"

enum { BACKOFF_MIN_NS = 20 * 1000, BACKOFF_MAX_NS = 1000 * 1000 };

int rd_watch_dir(const char *dir)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

static int make_address(const char *path, struct sockaddr_un *addr, socklen_t *len)
{
    size_t n = strlen(path);
    if (!n || n >= sizeof addr->sun_path)
        return n ? -ENAMETOOLONG : -EINVAL;
    memset(addr, 0, sizeof *addr);
    addr->sun_family = AF_UNIX;
    memcpy(addr->sun_path, path, n);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

/* Non-blocking: a full backlog answers EAGAIN instead of hanging past the worker's death. */
static int try_connect(const struct sockaddr_un *addr, socklen_t len, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)addr, len) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

static void drain(int watch)
{
    char buf[4096] __attribute__((aligned(8)));
    while (read(watch, buf, sizeof buf) > 0)
        ;
}

int rd_uds_wait(int watch, const char *path, int worker_fd, int64_t timeout_ns)
{
    struct sockaddr_un addr;
    socklen_t len;
    int err = make_address(path, &addr, &len);
    if (err < 0)
        return err;
    int64_t deadline = rd_deadline(timeout_ns);
    int64_t backoff = BACKOFF_MIN_NS;
    for (;;) {
        drain(watch); /* before the attempt: what comes after it wakes us */
        int fd = try_connect(&addr, len, SOCK_STREAM);
        if (fd >= 0 || (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN))
            return fd;
        int64_t left = rd_left(deadline);
        if (!left)
            return -ETIMEDOUT;
        /* inotify tells of bind(), nothing tells of listen(): there a short backoff is all there is */
        int bound = fd != -ENOENT;
        int64_t pause = bound && (left < 0 || backoff < left) ? backoff : left;
        if (bound && backoff < BACKOFF_MAX_NS)
            backoff *= 2;
        struct pollfd fds[2] = {{.fd = worker_fd, .events = POLLIN}, {.fd = watch, .events = POLLIN}};
        int ready = rd_poll_fds(fds, 2, pause);
        if (ready < 0)
            return ready;
        if (fds[0].revents)
            return -ECHILD;
    }
}

int rd_uds_listen(const char *path, int backlog, int type)
{
    struct sockaddr_un addr;
    socklen_t len;
    int err = make_address(path, &addr, &len);
    if (err < 0)
        return err;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* The mode of the unbound socket, less the umask, is the mode it is bound with: no moment with a wider
     * one. A umask that takes more than others' bits is made up for afterwards. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0) {
        err = -errno;
        close(fd);
        return err;
    }
    if (chmod(path, 0600) < 0 || listen(fd, backlog) < 0) {
        err = -errno;
        unlink(path); /* ours: the bind above made it */
        close(fd);
        return err;
    }
    return fd;
}

int rd_uds_peer(int fd, rd_peer *out)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    out->pid = cred.pid;
    out->uid = cred.uid;
    out->gid = cred.gid;
    return 0;
}

int rd_uds_connect(const char *path, int type)
{
    struct sockaddr_un addr;
    socklen_t len;
    int err = make_address(path, &addr, &len);
    return err < 0 ? err : try_connect(&addr, len, type);
}

int rd_channel_new(int32_t fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

int rd_channel_send(int fd, const void *data, size_t len)
{
    ssize_t n;
    do
        n = send(fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}
