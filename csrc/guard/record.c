/* The exit record: one JSON object, written to a temporary file, fsynced, renamed, and the
 * directory fsynced. Without the last the rename is lost at a power cut, without the first the
 * file is empty. */
#include "guard.h"

enum { CAPACITY = 3072, ATTEMPTS = 2, TEMP_NAME = 72, RESERVED = 8192, KEEP_SIZE = 1 };

struct text {
    char at[CAPACITY];
    size_t len;
};

static struct text record_text;
static int reserved = -1; /* the first attempt's file, open */

static void put(struct text *t, const char *s)
{
    for (; *s && t->len < CAPACITY; s++)
        t->at[t->len++] = *s;
}

static void put_int(struct text *t, int64_t v)
{
    char tmp[24];
    int n = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        tmp[n++] = (char)('0' + u % 10);
    while ((u /= 10) > 0);
    if (v < 0)
        tmp[n++] = '-';
    while (n > 0 && t->len < CAPACITY)
        t->at[t->len++] = tmp[--n];
}

static void put_key(struct text *t, const char *key)
{
    put(t, ",\"");
    put(t, key);
    put(t, "\":");
}

static void put_field(struct text *t, const char *key, int64_t v)
{
    put_key(t, key);
    put_int(t, v);
}

/* Plain ASCII only, so that nothing needs escaping. */
static void put_string(struct text *t, const char *key, const char *s, size_t max)
{
    char one[2] = {0, 0};
    put_key(t, key);
    put(t, "\"");
    for (size_t i = 0; i < max && s[i]; i++) {
        one[0] = s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' ? '?' : s[i];
        put(t, one);
    }
    put(t, "\"");
}

static void put_usage(struct text *t, const char *key, const rd_exit *e)
{
    put_key(t, key);
    put(t, "{\"user_us\":");
    put_int(t, e->user_us);
    put_field(t, "system_us", e->system_us);
    put_field(t, "max_rss_kib", e->max_rss_kib);
    put_field(t, "minor_faults", e->minor_faults);
    put_field(t, "major_faults", e->major_faults);
    put_field(t, "blocks_in", e->blocks_in);
    put_field(t, "blocks_out", e->blocks_out);
    put_field(t, "switches_voluntary", e->switches_voluntary);
    put_field(t, "switches_forced", e->switches_forced);
    put(t, "}");
}

static void put_signals(struct text *t, const char *key, uint64_t mask)
{
    const char *comma = "";
    put_key(t, key);
    put(t, "[");
    for (int sig = 1; sig <= 64; sig++) {
        if (mask & (1ull << (sig - 1))) {
            put(t, comma);
            put_int(t, sig);
            comma = ",";
        }
    }
    put(t, "]");
}

static void format(struct text *t, const rd_guard_config *cfg, const rd_record *r)
{
    t->len = 0;
    put(t, "{\"schema\":");
    put_int(t, RD_GUARD_VERSION);
    put_string(t, "id", cfg->id, sizeof cfg->id);
    put_field(t, "guard_pid", r->guard_pid);
    put_field(t, "driver_pid", r->driver_pid);
    put_field(t, "driver_waited", r->driver_waited);
    put_field(t, "code", r->driver.code);
    put_field(t, "signal", r->driver.signal);
    put_field(t, "core_dumped", r->driver.core_dumped);
    put_field(t, "rung", r->driver.rung);
    put_field(t, "cause", r->cause);
    put_field(t, "stop_signal", r->stop_signal);
    put_field(t, "stop_pid", r->stop_pid);
    put_field(t, "stop_uid", r->stop_uid);
    put_field(t, "stop_wall_ns", r->stop_wall_ns);
    put_string(t, "stop_label", r->stop_label, sizeof r->stop_label);
    put_field(t, "started_wall_ns", r->started_wall_ns);
    put_field(t, "ended_wall_ns", r->ended_wall_ns);
    put_field(t, "duration_ns", r->duration_ns);
    put_usage(t, "rusage", &r->driver);
    put_usage(t, "tree_rusage", &r->tree);
    put_field(t, "tree_empty", r->tree_empty);
    put_field(t, "swept_term", r->swept_term);
    put_field(t, "swept_kill", r->swept_kill);
    put_field(t, "cgroup", r->cgroup);
    put_field(t, "oom_kills", r->oom_kills);
    put_field(t, "survivors", r->survivors);
    put_key(t, "survivor_pids");
    put(t, "[");
    for (int i = 0; i < r->survivors && i < 8; i++) {
        if (i)
            put(t, ",");
        put_int(t, r->survivor_pid[i]);
    }
    put(t, "]");
    put_field(t, "guard_errno", r->guard_errno);
    put_signals(t, "passed_on", r->passed_on);
    put(t, "}\n");
}

static int write_all(int fd, const struct text *t)
{
    size_t done = 0;
    while (done < t->len) {
        long n;
        G_RETRY(n, rd_sys3(__NR_write, fd, t->at + done, t->len - done));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -G_EIO;
        done += (size_t)n;
    }
    return 0;
}

static int sync_fd(int fd)
{
    long ret;
    G_RETRY(ret, rd_sys1(__NR_fsync, fd));
    return (int)ret;
}

static void name_temp(char *temp, const char *name, int attempt)
{
    size_t n = 0;
    while (name[n] && n < 63) {
        temp[n] = name[n];
        n++;
    }
    memcpy(temp + n, ".tmp0", 6);
    temp[n + 4] = (char)('0' + attempt);
}

static long open_temp(int dir, const char *temp)
{
    rd_sys3(__NR_unlinkat, dir, temp, 0);
    return rd_sys4(__NR_openat, dir, temp, G_O_WRONLY | G_O_CREAT | G_O_EXCL | G_O_NOFOLLOW | G_O_CLOEXEC, 0600);
}

/* A disk that fills up while the job runs must not cost it its end: the first attempt's file gets its blocks now. */
int g_record_reserve(int dir, const char *name)
{
    char temp[TEMP_NAME];
    name_temp(temp, name, 0);
    reserved = g_above_streams(open_temp(dir, temp));
    if (reserved < 0)
        return reserved;
    long ret;
    G_RETRY(ret, rd_sys4(__NR_fallocate, reserved, KEEP_SIZE, 0, RESERVED));
    if (ret != -G_ENOSPC && ret != -G_EDQUOT)
        return 0; /* or it can't be done here: then without */
    g_record_release(dir, name);
    return (int)ret;
}

void g_record_release(int dir, const char *name)
{
    char temp[TEMP_NAME];
    if (reserved < 0)
        return;
    name_temp(temp, name, 0);
    rd_sys3(__NR_unlinkat, dir, temp, 0);
    rd_close(reserved);
    reserved = -1;
}

/* ATTEMPT has a new file each time: after a failed fsync the old one's pages may be dropped and
 * marked clean, so that a second fsync of it would report a success that never happened. */
static int write_once(int dir, const char *name, const struct text *t, int attempt)
{
    char temp[TEMP_NAME];
    name_temp(temp, name, attempt);
    long fd = reserved >= 0 ? reserved : open_temp(dir, temp);
    if (fd < 0)
        return (int)fd;
    long ret = write_all((int)fd, t);
    if (ret == 0 && reserved >= 0)
        rd_sys2(__NR_ftruncate, reserved, (long)t->len); /* gives back what is not used; may fail */
    reserved = -1;
    if (ret == 0)
        ret = sync_fd((int)fd);
    long closed = rd_close((int)fd);
    if (ret == 0 && closed < 0 && closed != -G_EINTR)
        ret = closed;
    if (ret == 0)
        ret = rd_sys5(__NR_renameat2, dir, temp, dir, name, 0);
    if (ret < 0) {
        rd_sys3(__NR_unlinkat, dir, temp, 0);
        return (int)ret;
    }
    return sync_fd(dir);
}

int g_record_write(int dir, const char *name, const rd_guard_config *cfg, const rd_record *r, int32_t *first_error)
{
    int ret = 0;
    format(&record_text, cfg, r);
    *first_error = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        ret = write_once(dir, name, &record_text, attempt);
        if (ret == 0)
            return 0;
        if (attempt == 0)
            *first_error = -ret;
    }
    return ret;
}

int g_record_memfd(const rd_guard_config *cfg, const rd_record *r)
{
    format(&record_text, cfg, r);
    long fd = rd_sys2(__NR_memfd_create, "exit-record", 1 /* MFD_CLOEXEC */);
    if (fd < 0)
        return (int)fd;
    if (write_all((int)fd, &record_text) < 0 || rd_sys3(__NR_lseek, fd, 0, 0) < 0) {
        rd_close((int)fd);
        return -G_EIO;
    }
    return (int)fd;
}

/* "oom_kill N" stands in cgroup v2's memory.events and in v1's memory.oom_control alike. */
int64_t g_oom_kills(int fd)
{
    static const char key[] = "oom_kill ";
    char buf[512];
    if (fd < 0)
        return -1;
    long n = rd_sys4(__NR_pread64, fd, buf, sizeof buf - 1, 0);
    if (n <= 0)
        return -1;
    buf[n] = 0;
    for (long i = 0; i < n; i++) {
        if (i && buf[i - 1] != '\n')
            continue;
        size_t k = 0;
        while (k < sizeof key - 1 && buf[(size_t)i + k] == key[k])
            k++;
        if (k < sizeof key - 1)
            continue;
        int64_t v = 0;
        for (const char *d = buf + i + k; *d >= '0' && *d <= '9'; d++)
            v = v * 10 + (*d - '0');
        return v;
    }
    return -1;
}
