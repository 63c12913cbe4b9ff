/* The C process core of raydp_wrap: the whole API, and the guard's protocol.
 *
 * Every function returns >= 0, or -errno. None of them touches Python, prints, exits the
 * process, installs a signal handler or keeps global state; each may be called from any
 * thread, with the GIL released. Times are nanoseconds on CLOCK_MONOTONIC unless a name
 * says "wall"; a timeout < 0 waits for ever. -EINTR is handed to the caller, who may have
 * signal handlers of its own to run first.
 */
#ifndef RAYDP_PROC_H
#define RAYDP_PROC_H

#include <stddef.h>
#include <stdint.h>

/* The region between the markers is read verbatim by build_native.py as the cffi cdef. */
/* cdef: begin */

/* ---- spawn ------------------------------------------------------------------------- */

/* How the child is created and how its end is awaited, best first. */
enum {
    RD_METHOD_AUTO = 0,
    RD_METHOD_CLONE_PIDFD = 1, /* clone(VM|VFORK|PIDFD) */
    RD_METHOD_PIDFD_OPEN = 2,  /* clone(VM|VFORK), then pidfd_open */
    RD_METHOD_THREAD = 3       /* clone(VM|VFORK), and a thread in waitid behind an eventfd */
};

/* The step at which a start failed. */
enum {
    RD_STAGE_NONE = 0,
    RD_STAGE_SPEC = 1,        /* the request itself */
    RD_STAGE_MEMORY = 2,      /* the child's stack or its argument vectors */
    RD_STAGE_CLONE = 3,       /* clone, fork, pidfd_open */
    RD_STAGE_SESSION = 4,     /* setsid, setpgid */
    RD_STAGE_TERMINAL = 5,    /* tcsetpgrp */
    RD_STAGE_DEATH_SIGNAL = 6,
    RD_STAGE_PARENT = 7,      /* the parent was dead before the death signal was set */
    RD_STAGE_CGROUP = 8,
    RD_STAGE_CWD = 9,
    RD_STAGE_FDS = 10,        /* dup, close_range */
    RD_STAGE_EXEC = 11,
    RD_STAGE_INTERPRETER = 12, /* the file is there, what its #! line or ELF header names is not */
    RD_STAGE_GUARD = 13        /* the guard could not set itself up */
};

enum {
    RD_NEW_SESSION = 1,   /* setsid */
    RD_NEW_GROUP = 2,     /* setpgid(0, 0) */
    RD_FOREGROUND = 4,    /* make the new group the foreground group of spec.terminal */
    RD_JOIN_GROUP = 8,    /* setpgid(0, spec.group) */
    RD_ERROR_PIPE = 16,   /* vfork is emulated here (rd_caps.vfork == 0): report through a pipe */
    RD_LISTEN_PID = 32    /* fill in the LISTEN_PID= variable of the environment blob */
};

typedef struct {
    uint32_t size;           /* sizeof(rd_spec), so that a newer caller is refused, not misread */
    uint32_t flags;
    uint32_t method;
    int32_t death_signal;    /* PR_SET_PDEATHSIG, 0 for none; bound to the calling thread */
    const char *executable;  /* already resolved: no PATH search happens here */
    const char *argv;        /* strings, each ended by NUL, back to back */
    uint64_t argv_len;
    const char *env;         /* the same; NULL inherits */
    uint64_t env_len;
    const char *cwd;         /* NULL stays */
    const int32_t *fd_map;   /* pairs (fd here, fd in the child); everything else above 2 is closed */
    uint32_t fd_pairs;
    int32_t terminal;
    int32_t group;
    int32_t cgroup_fd;       /* directory of a cgroup v2 to start in, -1 for none */
    uint64_t keep_ignored;   /* bit n-1: leave signal n ignored if it is ignored here */
} rd_spec;

typedef struct {
    int32_t pid;
    int32_t fd;      /* readable once the child has exited: a pidfd, or an eventfd (RD_METHOD_THREAD) */
    int32_t stage;   /* where the start failed */
    int32_t err;     /* and its errno */
    uint32_t method; /* what was used */
} rd_child;

typedef struct {
    uint32_t clone_pidfd; /* clone(CLONE_PIDFD) works */
    uint32_t pidfd_open;
    uint32_t vfork;       /* CLONE_VM|CLONE_VFORK really share memory and suspend the parent */
    uint32_t close_range; /* close_range(CLOSE_RANGE_CLOEXEC) works */
    uint32_t method;      /* what RD_METHOD_AUTO comes to */
} rd_caps;

int rd_probe(rd_caps *out);
int rd_spawn(const rd_spec *spec, rd_child *out);
/* NAME as execvp would find it along PATH: 0 and OUT, -ENOENT, -EACCES or -ENAMETOOLONG. */
int rd_which(const char *name, const char *path, char *out, size_t out_len);

/* ---- wait -------------------------------------------------------------------------- */

typedef struct {
    int32_t code;        /* exit code, or -1 when a signal ended it */
    int32_t signal;      /* the signal that ended it, or 0 */
    int32_t core_dumped;
    int32_t rung;        /* rd_stop: how far the ladder went (RD_RUNG_...) */
    int64_t user_us, system_us;
    int64_t max_rss_kib; /* KiB, as the kernel reports it */
    int64_t minor_faults, major_faults, blocks_in, blocks_out, switches_voluntary, switches_forced;
} rd_exit;

int rd_observe(const rd_child *child, int64_t timeout_ns); /* 1 has exited (unreaped), 0 time's up */
int rd_reap(const rd_child *child, rd_exit *out);          /* 1 reaped, 0 still running */
int rd_wait(const rd_child *child, int64_t timeout_ns, rd_exit *out); /* both: 1 reaped, 0 time's up */
int rd_run(const rd_spec *spec, int64_t timeout_ns, rd_child *child, rd_exit *out);

typedef struct {
    uint64_t cookie;
} rd_event;

int rd_set_new(void);
int rd_set_add(int set, int fd, uint64_t cookie); /* reported while fd is readable, until it is closed */
int rd_set_remove(int set, int fd);
int rd_set_wait(int set, rd_event *events, int max, int64_t timeout_ns); /* how many; 0 time's up */

/* ---- signals ----------------------------------------------------------------------- */

enum { RD_SCOPE_PROCESS = 0, RD_SCOPE_GROUP = 1, RD_SCOPE_CGROUP = 2 };
enum { RD_RUNG_NONE = 0, RD_RUNG_SIGNAL = 1, RD_RUNG_KILL = 2, RD_RUNG_PENDING = 3 };

typedef struct {
    int32_t signal;
    int32_t code; /* si_code: SI_USER, SI_KERNEL (a terminal), ... */
    int32_t pid;
    uint32_t uid;
} rd_siginfo;

int rd_signal(const rd_child *child, int sig, int scope, int cgroup_fd);
/* In a forked child: be sent SIG when the thread of PARENT that forked it ends; -ESRCH if it has ended. */
int rd_die_with(int parent, int sig);
/* signal, wait up to grace, SIGKILL, reap within reap_ns: 1 reaped, 0 still not (RD_RUNG_PENDING). */
int rd_stop(const rd_child *child, int sig, int64_t grace_ns, int64_t reap_ns, int scope, int cgroup_fd, rd_exit *out);
/* Block the signals of MASK (bit n-1 is signal n) in this thread; a descriptor that yields them. */
int rd_signal_open(uint64_t mask);
int rd_signal_read(int fd, rd_siginfo *out); /* 1 one read, 0 none pending */

/* ---- Unix sockets ------------------------------------------------------------------ */

typedef struct {
    int32_t pid;
    uint32_t uid, gid;
} rd_peer;

int rd_watch_dir(const char *dir); /* an inotify fd; one waiter at a time, and kept: closing one can take 20 ms */
/* Connected fd once PATH accepts; -ECHILD as soon as the worker (its rd_child.fd) is dead. */
int rd_uds_wait(int watch, const char *path, int worker_fd, int64_t timeout_ns);
int rd_uds_listen(const char *path, int backlog, int type); /* bound 0600 under any umask; type SOCK_... */
int rd_uds_connect(const char *path, int type);
int rd_uds_peer(int fd, rd_peer *out);
int rd_channel_new(int32_t fds[2]); /* a SOCK_SEQPACKET pair */
int rd_channel_send(int fd, const void *data, size_t len); /* one datagram, never SIGPIPE */

/* ---- the guard's protocol: one datagram each, over SOCK_SEQPACKET -------------------- */

enum { RD_GUARD_VERSION = 1 };

/* Why the guard began to stop the tree. */
enum {
    RD_CAUSE_NONE = 0,
    RD_CAUSE_REQUEST = 1,        /* a STOP message */
    RD_CAUSE_SIGNAL = 2,         /* the guard itself was sent TERM, INT or QUIT */
    RD_CAUSE_OWNER_DIED = 3,
    RD_CAUSE_ACTIVE_DEADLINE = 4,
    RD_CAUSE_START_DEADLINE = 5,
    RD_CAUSE_GUARD_ERROR = 6,    /* a system call the guard can't do without failed */
    RD_CAUSE_EXIT_FORCED = 7     /* a FORCE message */
};

enum {
    RD_GUARD_DETACHED = 1,
    RD_GUARD_CGROUP = 2,
    RD_GUARD_OUTPUT = 4, /* stdout is a file in record_dir: log_limit holds, and a file "times" beside it says how
                          * far it was when: records of three int64, wall ns, size of stdout, size of stderr */
    RD_GUARD_SPLIT = 8   /* stderr is another one */
};

/* The first datagram the guard reads. Descriptor numbers are the guard's own; -1 is none. */
typedef struct {
    uint32_t version, size;
    uint32_t flags;
    uint32_t spawn_flags;        /* the driver's RD_NEW_SESSION, ... */
    int32_t owner_pid;
    int32_t terminal, group;
    int32_t record_dir;          /* directory the exit record goes to */
    int32_t listen_fd;           /* SOCK_SEQPACKET, listening */
    int32_t cgroup_parent;       /* cgroup v2 directory to make the job's own below */
    int32_t oom_fd;              /* memory.events or memory.oom_control */
    int32_t stop_signal;
    uint64_t keep_ignored;
    int64_t grace_ns;
    int64_t sweep_ns;            /* grace for what the driver left behind, and after the owner's death */
    int64_t reap_ns;             /* after SIGKILL: how long until "stop pending" is told */
    int64_t active_deadline_ns;  /* from the driver's start; 0 is none */
    int64_t start_deadline_ns;   /* the same, until READY; 0 is none */
    int64_t log_limit;           /* bytes of each output file to keep on disk; 0 is all */
    int64_t nofile;              /* the driver's soft RLIMIT_NOFILE, no more than the hard one; -1 is the guard's */
    int32_t umask;               /* the driver's; -1 is the guard's */
    uint32_t deliver_argc;       /* how many of the guard's arguments are the delivery command */
    uint32_t keep_fds_count;
    int32_t keep_fds[32];        /* descriptors the driver keeps beside 0-2 */
    uint32_t hold_fds_count;
    int32_t hold_fds[32];        /* descriptors the guard and the delivery command hold, and the driver doesn't get */
    int32_t deliver_env;         /* the delivery command's environment, where it is not the driver's: a file of
                                  * 64-bit offsets of its strings, ended by 0, and the strings */
    char id[96];                 /* goes into the record */
    char record_name[64];
    char socket_name[64];        /* listen_fd's name in record_dir, unlinked at the end; "" is none */
    char cgroup_name[64];
} rd_guard_config;

enum {
    RD_ASK_STOP = 1,
    RD_ASK_SIGNAL = 2, /* pass a signal on to the driver */
    RD_ASK_READY = 3,  /* the job is up: the start deadline is met */
    RD_ASK_STATE = 4,
    RD_ASK_DONE = 5,   /* the owner has reported: no delivery command is needed */
    RD_ASK_NOTE = 6,   /* a signal that the driver gets without the guard, from a terminal say: for the record */
    RD_ASK_FORCE = 7,  /* as STOP, of a driver whose work is done and which doesn't end by itself */
    RD_ASK_POSTPONE = 8 /* delay_ms counts anew, from now, be it later; nothing once the first signal was sent */
};

typedef struct {
    uint32_t version, type;
    int32_t signal;    /* STOP: 0 is the configured one */
    int32_t delay_ms;  /* STOP: until the first signal, while the driver is asked otherwise; a later STOP may shorten it */
    int64_t grace_ns;  /* STOP: from the first signal; < 0 is the configured one; a later STOP may only shorten it */
    char label[64];    /* STOP: who asks, for the record */
} rd_guard_ask;

enum {
    RD_TELL_STARTED = 1,
    RD_TELL_START_FAILED = 2,
    RD_TELL_STOPPING = 3, /* sent before the first signal */
    RD_TELL_PENDING = 4,  /* SIGKILL was sent, but something does not die */
    RD_TELL_ENDED = 5,
    RD_TELL_STATE = 6
};

enum { RD_PHASE_STARTING = 0, RD_PHASE_RUNNING = 1, RD_PHASE_STOPPING = 2, RD_PHASE_SWEEPING = 3, RD_PHASE_ENDED = 4 };

typedef struct {
    uint32_t phase;
    int32_t guard_pid, driver_pid;
    int32_t driver_exited;
    rd_exit driver;              /* the driver's own end, with its rung */
    rd_exit tree;                /* rusage only: the whole tree's */
    int32_t cause, stop_signal, stop_pid;
    uint32_t stop_uid;
    int64_t started_wall_ns, ended_wall_ns, stop_wall_ns; /* CLOCK_REALTIME */
    int64_t duration_ns;         /* from start to the driver's end */
    int32_t tree_empty;          /* 1: proven by ECHILD */
    int32_t swept_term, swept_kill; /* processes beside the driver that the stop signal, SIGKILL ended */
    int32_t cgroup;              /* 1: a cgroup was in force */
    int64_t oom_kills;           /* counted while the job ran; -1 unknown */
    int32_t survivors;           /* how many could not be ended; the first of them: */
    int32_t survivor_pid[8];
    int32_t guard_errno;         /* first failure of a system call the guard can't do without */
    int32_t driver_waited;       /* 0: the driver's exit status could not be had */
    uint64_t passed_on;          /* bit n-1: signal n was passed on to the driver (SIGNAL), or noted (NOTE) */
    char stop_label[64];
} rd_record;

typedef struct {
    uint32_t version, type;
    int32_t stage, err;          /* START_FAILED */
    int32_t record_errno;        /* ENDED: why there is no durable record; 0 there is */
    int32_t record_retried;      /* ENDED: errno of a first attempt that failed before a second held */
    rd_record record;
} rd_guard_tell;

/* cdef: end */

#endif
