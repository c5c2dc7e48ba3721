/* Preloaded into a process: counts the calls that change what lies under FAULT_PLACE, and at number FAULT_AT kills the
   process (FAULT_HOW=kill), or makes every FAULT_AT-th fail as on a full disk (FAULT_HOW=fail). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int calls;

int fault_calls(void) { return calls; }

static int is_here(const char *path) {
    const char *place = getenv("FAULT_PLACE");
    return place && path && strncmp(path, place, strlen(place)) == 0;
}

static int is_here_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_here(path);
}

/* 1 if the call that is about to be made fails. */
static int fails(int here) {
    if (!here) return 0;
    calls++;
    const char *at = getenv("FAULT_AT"), *how = getenv("FAULT_HOW");
    if (!at || !how) return 0;
    if (strcmp(how, "kill") == 0 && calls == atoi(at)) kill(getpid(), SIGKILL);
    if (strcmp(how, "fail") == 0 && calls % atoi(at) == 0) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    return fails(is_here_fd(fd)) ? -1 : REAL(ssize_t, write, int, const void *, size_t)(fd, data, size);
}
int ftruncate(int fd, off_t size) { return fails(is_here_fd(fd)) ? -1 : REAL(int, ftruncate, int, off_t)(fd, size); }
int ftruncate64(int fd, off64_t size) {
    return fails(is_here_fd(fd)) ? -1 : REAL(int, ftruncate64, int, off64_t)(fd, size);
}
int fsync(int fd) { return fails(is_here_fd(fd)) ? -1 : REAL(int, fsync, int)(fd); }
int rename(const char *old, const char *new) {
    return fails(is_here(new)) ? -1 : REAL(int, rename, const char *, const char *)(old, new);
}
int mkdir(const char *path, mode_t mode) {
    return fails(is_here(path)) ? -1 : REAL(int, mkdir, const char *, mode_t)(path, mode);
}
int unlinkat(int fd, const char *path, int flags) {
    return fails(is_here_fd(fd)) ? -1 : REAL(int, unlinkat, int, const char *, int)(fd, path, flags);
}
int rmdir(const char *path) { return fails(is_here(path)) ? -1 : REAL(int, rmdir, const char *)(path); }
