/* In java's place: writes the clock (CLOCK_MONOTONIC, nanoseconds) into the file STAMP, and is done. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    const char *path = getenv("STAMP");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    return fd < 0 || write(fd, &at, sizeof at) != (ssize_t)sizeof at;
}
