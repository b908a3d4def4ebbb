/* Strikes at the N-th call that changes a file below a folder: by a signal, half a write, an error, or a clock set back.

   Loaded by LD_PRELOAD. What it does stands in a file that all processes of a command map (struct control, written by
   shim.py), so that calls are counted over all of them. Without N calls are only counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, SIGNAL, HALF, FAIL, CLOCK };
enum { OTHER, WRITE, CREATE };

struct control {
    uint64_t calls;   /* so far */
    uint64_t at;      /* the call that is struck, from 1; 0: none */
    uint64_t struck;  /* calls that were struck */
    int64_t back;     /* CLOCK: seconds */
    int32_t action;
    int32_t number;   /* SIGNAL, HALF: of the signal; FAIL: errno */
    int32_t lasting;  /* FAIL: every later call as well */
    int32_t creating; /* FAIL: only calls that make a file or folder */
    char what[256];   /* the call that was struck */
    char root[512];
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("KILL_AT_CONTROL");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *place = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) control = place;
    syscall(SYS_close, file);
}

static int below(const char *path) {
    size_t length = strlen(control->root);
    return length && !strncmp(path, control->root, length) && (path[length] == '/' || !path[length]);
}

static int resolve(int folder, const char *path, char *full, size_t size) {
    char start[2048] = "";
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(start, sizeof start)) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, start, sizeof start - 1);
            if (length < 0) return 0;
            start[length] = 0;
        }
    }
    snprintf(full, size, "%s%s%s", start, start[0] ? "/" : "", path);
    return 1;
}

static void strike_by_signal(void) { kill(getpid(), control->number); }

/* 0: go on; 1: fail with errno; 2: half of the write, then as before is left to the caller */
static int counted(const char *name, const char *path, int kind) {
    uint64_t call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    if (!control->at || call < control->at) return 0;
    if (call > control->at && !(control->action == FAIL && (control->lasting || !control->struck))) return 0;
    if (control->action == FAIL && control->creating && kind != CREATE) return 0;
    if (!__atomic_fetch_add(&control->struck, 1, __ATOMIC_SEQ_CST))
        snprintf(control->what, sizeof control->what, "%s %s", name, path + strlen(control->root));
    switch (control->action) {
        case SIGNAL: strike_by_signal(); return 0;
        case HALF: if (kind == WRITE) return 2; strike_by_signal(); return 0;
        case FAIL: if (kind == WRITE && control->lasting && control->struck == 1) return 2; errno = control->number; return 1;
        default: return 0;
    }
}

static int by_path(const char *name, int folder, const char *path, int kind) {
    char full[4096];
    int before = errno;
    if (!control || !path || !resolve(folder, path, full, sizeof full) || !below(full)) { errno = before; return 0; }
    errno = before;
    return counted(name, full, kind);
}

static int by_file(const char *name, int file, int kind) {
    char link[64], path[4096];
    int before = errno;
    if (!control || file < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return below(path) ? counted(name, path, kind) : 0;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define WRITER(result, name, parameters, types, file, size, all, half) \
    result name parameters { \
        static result (*real) types; \
        if (!real) real = (result (*) types)dlsym(RTLD_NEXT, #name); \
        int strike = by_file(#name, file, WRITE); \
        if (strike == 1) return -1; \
        if (strike == 2 && (size) > 1) { \
            result done = real half; \
            if (control->action == HALF) strike_by_signal(); \
            return done; \
        } \
        return real all; \
    }

WRITER(ssize_t, write, (int f, const void *b, size_t n), (int, const void *, size_t), f, n, (f, b, n), (f, b, n / 2))
WRITER(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (int, const void *, size_t, off_t), f, n, (f, b, n, o), (f, b, n / 2, o))
WRITER(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), (int, const void *, size_t, off64_t), f, n, (f, b, n, o), (f, b, n / 2, o))
WRITER(ssize_t, writev, (int f, const struct iovec *v, int n), (int, const struct iovec *, int), f, n, (f, v, n), (f, v, n / 2))
WRITER(ssize_t, sendfile, (int f, int i, off_t *o, size_t n), (int, int, off_t *, size_t), f, n, (f, i, o, n), (f, i, o, n / 2))
WRITER(ssize_t, sendfile64, (int f, int i, off64_t *o, size_t n), (int, int, off64_t *, size_t), f, n, (f, i, o, n), (f, i, o, n / 2))
WRITER(ssize_t, copy_file_range, (int i, off64_t *p, int f, off64_t *o, size_t n, unsigned g),
       (int, off64_t *, int, off64_t *, size_t, unsigned), f, n, (i, p, f, o, n, g), (i, p, f, o, n / 2, g))

#define CHANGER(name, parameters, types, strike, all) \
    int name parameters { \
        static int (*real) types; \
        if (!real) real = (int (*) types)dlsym(RTLD_NEXT, #name); \
        if (strike == 1) return -1; \
        return real all; \
    }

CHANGER(fsync, (int f), (int), by_file("fsync", f, OTHER), (f))
CHANGER(fdatasync, (int f), (int), by_file("fdatasync", f, OTHER), (f))
CHANGER(ftruncate, (int f, off_t n), (int, off_t), by_file("ftruncate", f, OTHER), (f, n))
CHANGER(ftruncate64, (int f, off64_t n), (int, off64_t), by_file("ftruncate", f, OTHER), (f, n))
CHANGER(truncate, (const char *p, off_t n), (const char *, off_t), by_path("truncate", AT_FDCWD, p, OTHER), (p, n))
CHANGER(rename, (const char *p, const char *q), (const char *, const char *), by_path("rename", AT_FDCWD, q, OTHER), (p, q))
CHANGER(renameat, (int d, const char *p, int e, const char *q), (int, const char *, int, const char *), by_path("rename", e, q, OTHER), (d, p, e, q))
CHANGER(unlink, (const char *p), (const char *), by_path("unlink", AT_FDCWD, p, OTHER), (p))
CHANGER(unlinkat, (int d, const char *p, int g), (int, const char *, int), by_path("unlink", d, p, OTHER), (d, p, g))
CHANGER(rmdir, (const char *p), (const char *), by_path("rmdir", AT_FDCWD, p, OTHER), (p))
CHANGER(link, (const char *p, const char *q), (const char *, const char *), by_path("link", AT_FDCWD, q, CREATE), (p, q))
CHANGER(linkat, (int d, const char *p, int e, const char *q, int g), (int, const char *, int, const char *, int), by_path("link", e, q, CREATE), (d, p, e, q, g))
CHANGER(symlink, (const char *p, const char *q), (const char *, const char *), by_path("symlink", AT_FDCWD, q, CREATE), (p, q))
CHANGER(mkdir, (const char *p, mode_t m), (const char *, mode_t), by_path("mkdir", AT_FDCWD, p, CREATE), (p, m))
CHANGER(mkdirat, (int d, const char *p, mode_t m), (int, const char *, mode_t), by_path("mkdir", d, p, CREATE), (d, p, m))
CHANGER(creat, (const char *p, mode_t m), (const char *, mode_t), by_path("open", AT_FDCWD, p, CREATE), (p, m))

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }

#define OPENER(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        MODE(flags) \
        if (flags & O_CREAT && by_path("open", AT_FDCWD, path, CREATE) == 1) return -1; \
        return real(path, flags, mode); \
    }
#define OPENER_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        MODE(flags) \
        if (flags & O_CREAT && by_path("open", folder, path, CREATE) == 1) return -1; \
        return real(folder, path, flags, mode); \
    }

OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)

static time_t back(void) { return control && control->action == CLOCK && control->struck ? control->back : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && clock == CLOCK_REALTIME) now->tv_sec -= back();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int result = real(now, zone);
    if (!result) now->tv_sec -= back();
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
