/* The job of a benchmark, a static program.
 *   job FILE MICROSECONDS   writes the clock (CLOCK_MONOTONIC, nanoseconds) into FILE at once, lives so long, writes it again
 *   job FILE                appends RAYDP_WRAP_SUBMISSION_ID and a newline to FILE
 *   job                     lives until it is ended */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int note(int fd)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    return write(fd, &at, sizeof at) != (ssize_t)sizeof at;
}

static int append_id(int fd)
{
    char line[256] = {0};
    const char *id = getenv("RAYDP_WRAP_SUBMISSION_ID");
    strncpy(line, id ? id : "", sizeof line - 2);
    size_t length = strlen(line);
    line[length++] = '\n';
    return write(fd, line, length) != (ssize_t)length;
}

int main(int count, char **argv)
{
    while (count < 2)
        pause();
    int fd = open(argv[1], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return 1;
    if (count == 2)
        return append_id(fd);
    long us = atol(argv[2]);
    struct timespec life = {us / 1000000, us % 1000000 * 1000};
    int failed = note(fd);
    nanosleep(&life, NULL);
    return note(fd) || failed;
}
