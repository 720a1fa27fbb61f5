/* Calls to the system that fail on demand, under any program that is linked to this at its start (LD_PRELOAD).
 *
 * SEALGATE_TEST_STRIKE names a file. While it is there it holds one line: CALL ERRNO PATTERN. Each such call for a path
 * that fits the pattern fails so, and is noted in the file of that name with .struck behind it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Raw calls: these must not come back to this file. */
static int strikes(const char *call, const char *path)
{
    int saved = errno, number = 0, struck = 0;
    char text[1024] = "", wanted[32], pattern[900], note[1100];
    const char *order = getenv("SEALGATE_TEST_STRIKE");
    if (order == NULL || path == NULL)
        return 0;
    long file = syscall(SYS_openat, AT_FDCWD, order, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!syscall(SYS_read, file, text, sizeof text - 1);
        syscall(SYS_close, file);
        struck = sscanf(text, "%31s %d %899s", wanted, &number, pattern) == 3 && strcmp(wanted, call) == 0
            && fnmatch(pattern, path, 0) == 0;
    }
    if (struck) {
        snprintf(note, sizeof note, "%s.struck", order);
        file = syscall(SYS_openat, AT_FDCWD, note, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (file >= 0) {
            (void)!syscall(SYS_write, file, "x", 1);
            syscall(SYS_close, file);
        }
    }
    errno = struck ? number : saved;
    return struck;
}

static int strikes_fd(const char *call, int fd)
{
    char link[64], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strikes(call, path);
}

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...)                                                      \
    {                                                                                               \
        va_list rest;                                                                               \
        va_start(rest, flags);                                                                      \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                     \
        va_end(rest);                                                                               \
        if (strikes(flags & O_CREAT ? "make" : "open", path))                                       \
            return -1;                                                                              \
        return NEXT(int, #name, const char *, int, ...)(path, flags, mode);                         \
    }
OPEN(open)
OPEN(open64)

#define PWRITE(name, offset)                                                                        \
    ssize_t name(int fd, const void *bytes, size_t length, offset at)                               \
    {                                                                                               \
        if (strikes_fd("write", fd))                                                                \
            return -1;                                                                              \
        return NEXT(ssize_t, #name, int, const void *, size_t, offset)(fd, bytes, length, at);      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t length)
{
    if (strikes_fd("write", fd))
        return -1;
    return NEXT(ssize_t, "write", int, const void *, size_t)(fd, bytes, length);
}

#define PREAD(name, offset)                                                                         \
    ssize_t name(int fd, void *bytes, size_t length, offset at)                                     \
    {                                                                                               \
        if (strikes_fd("read", fd))                                                                 \
            return -1;                                                                              \
        return NEXT(ssize_t, #name, int, void *, size_t, offset)(fd, bytes, length, at);            \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

ssize_t read(int fd, void *bytes, size_t length)
{
    if (strikes_fd("read", fd))
        return -1;
    return NEXT(ssize_t, "read", int, void *, size_t)(fd, bytes, length);
}

#define SYNC(name)                                                                                  \
    int name(int fd)                                                                                \
    {                                                                                               \
        if (strikes_fd("sync", fd))                                                                 \
            return -1;                                                                              \
        return NEXT(int, #name, int)(fd);                                                           \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to)
{
    if (strikes("rename", to))
        return -1;
    return NEXT(int, "rename", const char *, const char *)(from, to);
}

int unlink(const char *path)
{
    if (strikes("remove", path))
        return -1;
    return NEXT(int, "unlink", const char *)(path);
}
