/* Makes disks sick and clocks wrong, for processes that are started with this library in LD_PRELOAD.
 *
 * HOLDFAST_SICK names a control file that is mapped: a line "G<number>", then a rule a line:
 *
 *     <fault> <number> <what>
 *
 *   eio-write, eio-read, eio-sync, erofs   calls on files below the directory <what> fail
 *   enospc    so do those that make files longer, once <number> bytes have been added by this process
 *   hang      they do not return before the rule is gone; what asks the page cache alone is told EAGAIN
 *   delay     they take <number> microseconds more
 *   clock     the wall clock is <number> microseconds ahead, in processes whose command line holds <what>
 *
 * A change of the number after G makes every process read the rules again, at its next call. Reads through mapped
 * memory go past us, as they would past any such layer.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif
#define CONTROL_SIZE 4096
#define RULES_LIMIT 32

enum fault { EIO_WRITE, EIO_READ, EIO_SYNC, EROFS_, ENOSPC_, HANG, DELAY, CLOCK, FAULTS };
static const char *const NAMES[FAULTS] = {"eio-write", "eio-read", "eio-sync", "erofs", "enospc", "hang", "delay", "clock"};
enum operation { READ, READ_CACHED, WRITE, SYNC, CHANGE }; /* CHANGE: of names, sizes and the like */

struct rule { enum fault fault; long long number; char what[256]; };

static const volatile char *control;
static struct rule rules[RULES_LIMIT];
static int rule_count;
static char generation[32];
static long long added; /* bytes, since the rules were read */
static long long clock_us;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HOLDFAST_SICK");
    int fd = path ? (int)open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, CONTROL_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_our_command(const char *what)
{
    static char command[4096];
    if (!command[0]) {
        FILE *file = fopen("/proc/self/cmdline", "re");
        size_t length = file ? fread(command, 1, sizeof command - 1, file) : 0;
        if (file) fclose(file);
        for (size_t i = 0; i < length; i++)
            if (!command[i]) command[i] = ' ';
    }
    return strstr(command, what) != NULL;
}

static void read_rules(void)
{
    static __thread int reading;
    if (reading) return; /* fopen, below us, comes back here */
    reading = 1;
    pthread_mutex_lock(&lock);
    char text[CONTROL_SIZE + 1], *rest = text;
    for (int i = 0; i < CONTROL_SIZE; i++) text[i] = control[i];
    text[CONTROL_SIZE] = 0;
    char *line = strsep(&rest, "\n");
    if (line && strcmp(line, generation) != 0) {
        int count = 0;
        long long ahead_us = 0;
        while ((line = strsep(&rest, "\n")) && count < RULES_LIMIT) {
            char name[32];
            struct rule *rule = &rules[count];
            if (sscanf(line, "%31s %lld %255[^\n]", name, &rule->number, rule->what) != 3) continue;
            for (int fault = 0; fault < FAULTS; fault++)
                if (strcmp(name, NAMES[fault]) == 0) {
                    rule->fault = fault;
                    if (fault == CLOCK) ahead_us += is_our_command(rule->what) ? rule->number : 0;
                    else count++;
                    break;
                }
        }
        rule_count = count;
        clock_us = ahead_us;
        added = 0;
        for (int i = 0; i < (int)sizeof generation - 1 && (generation[i] = text[i]); i++) continue;
    }
    pthread_mutex_unlock(&lock);
    reading = 0;
}

static int is_changed(void)
{
    for (int i = 0; i < (int)sizeof generation; i++) {
        char now = control[i];
        if (now == '\n' || now == 0) return generation[i] != 0;
        if (now != generation[i]) return 1;
    }
    return 0;
}

static int applies(enum fault fault, enum operation operation, long long longer)
{
    switch (fault) {
    case EIO_WRITE: return operation == WRITE || operation == CHANGE;
    case EIO_READ: return operation == READ || operation == READ_CACHED;
    case EIO_SYNC: return operation == SYNC;
    case EROFS_: return operation == WRITE || operation == CHANGE;
    case ENOSPC_: return longer > 0;
    case HANG: return 1;
    case DELAY: return operation != READ_CACHED;
    default: return 0;
    }
}

/* Return the error that a call is to end with, 0 for none; wait as long as it is to hang. */
static int sick(const char *path, enum operation operation, long long longer)
{
    size_t length;
    for (int i = 0; i < rule_count; i++) {
        struct rule rule = rules[i];
        length = strlen(rule.what);
        if (strncmp(path, rule.what, length) != 0 || (path[length] && path[length] != '/')) continue;
        if (!applies(rule.fault, operation, longer)) continue;
        switch (rule.fault) {
        case EROFS_: return EROFS;
        case ENOSPC_:
            if (__atomic_add_fetch(&added, longer, __ATOMIC_RELAXED) > rule.number) return ENOSPC;
            break;
        case HANG: {
            if (operation == READ_CACHED) return EAGAIN;
            usleep(5000);
            if (is_changed()) read_rules();
            return sick(path, operation, longer);
        }
        case DELAY: usleep(rule.number); break;
        default: return EIO;
        }
    }
    return 0;
}

static int sick_path(int directory, const char *path, enum operation operation, long long longer)
{
    if (!control) return 0;
    if (is_changed()) read_rules();
    if (!rule_count) return 0;
    int error = errno;
    char full[4352];
    if (path && path[0] == '/') snprintf(full, sizeof full, "%s", path);
    else {
        char link[64], base[4096];
        if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t got = readlink(link, base, sizeof base - 1);
        if (got < 0) { errno = error; return 0; }
        base[got] = 0;
        snprintf(full, sizeof full, path ? "%s/%.200s" : "%s", base, path);
    }
    errno = error;
    return sick(full, operation, longer);
}

static long long growth(int fd, long long end)
{
    struct stat about;
    if (!control || !rule_count || fstat(fd, &about) || !S_ISREG(about.st_mode)) return 0;
    return end > about.st_size ? end - about.st_size : 0;
}

static long long total(const struct iovec *vector, int count)
{
    long long length = 0;
    for (int i = 0; i < count; i++) length += (long long)vector[i].iov_len;
    return length;
}

#define FAIL_IF(expression) \
    do { int sick_error = (expression); if (sick_error) { errno = sick_error; return -1; } } while (0)
#define FD(fd, operation, longer) FAIL_IF(sick_path(fd, NULL, operation, longer))

#define PREAD(name) \
    ssize_t name(int fd, void *buffer, size_t length, off_t offset) \
    { REAL(name); FD(fd, READ, 0); return real(fd, buffer, length, offset); }
#define PWRITE(name) \
    ssize_t name(int fd, const void *buffer, size_t length, off_t offset) \
    { REAL(name); FD(fd, WRITE, growth(fd, offset + (long long)length)); return real(fd, buffer, length, offset); }
#define PREADV(name) \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset) \
    { REAL(name); FD(fd, READ, 0); return real(fd, vector, count, offset); }
#define PWRITEV(name) \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset) \
    { REAL(name); FD(fd, WRITE, growth(fd, offset + total(vector, count))); return real(fd, vector, count, offset); }
#define PREADV2(name) \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset, int flags) \
    { REAL(name); FD(fd, flags & RWF_NOWAIT ? READ_CACHED : READ, 0); return real(fd, vector, count, offset, flags); }
#define PWRITEV2(name) \
    ssize_t name(int fd, const struct iovec *vector, int count, off_t offset, int flags) \
    { REAL(name); FD(fd, WRITE, growth(fd, offset + total(vector, count))); return real(fd, vector, count, offset, flags); }

PREAD(pread) PREAD(pread64) PWRITE(pwrite) PWRITE(pwrite64)
PREADV(preadv) PREADV(preadv64) PWRITEV(pwritev) PWRITEV(pwritev64)
PREADV2(preadv2) PREADV2(preadv64v2) PWRITEV2(pwritev2) PWRITEV2(pwritev64v2)

ssize_t read(int fd, void *buffer, size_t length)
{ REAL(read); FD(fd, READ, 0); return real(fd, buffer, length); }

ssize_t write(int fd, const void *buffer, size_t length)
{
    REAL(write);
    FD(fd, WRITE, control && rule_count ? growth(fd, lseek(fd, 0, SEEK_CUR) + (long long)length) : 0);
    return real(fd, buffer, length);
}

int fsync(int fd) { REAL(fsync); FD(fd, SYNC, 0); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FD(fd, SYNC, 0); return real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); FD(fd, CHANGE, 0); return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); FD(fd, CHANGE, 0); return real(fd, size); }

#define ALLOCATE(name) \
    int name(int fd, off_t offset, off_t length) \
    { REAL(name); int error = sick_path(fd, NULL, CHANGE, growth(fd, offset + length)); return error ? error : real(fd, offset, length); }
ALLOCATE(posix_fallocate) ALLOCATE(posix_fallocate64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) \
    { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        if (flags & (O_CREAT | O_TRUNC | __O_TMPFILE)) FAIL_IF(sick_path(directory, path, CHANGE, 0)); \
        return real(directory, path, flags, mode); \
    }
#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        if (flags & (O_CREAT | O_TRUNC | __O_TMPFILE)) FAIL_IF(sick_path(AT_FDCWD, path, CHANGE, 0)); \
        return real(path, flags, mode); \
    }
OPENAT(openat) OPENAT(openat64) OPEN(open) OPEN(open64)

int linkat(int from_directory, const char *from, int directory, const char *path, int flags)
{ REAL(linkat); FAIL_IF(sick_path(directory, path, CHANGE, 0)); return real(from_directory, from, directory, path, flags); }
int rename(const char *from, const char *to)
{ REAL(rename); FAIL_IF(sick_path(AT_FDCWD, to, CHANGE, 0)); return real(from, to); }
int unlink(const char *path)
{ REAL(unlink); FAIL_IF(sick_path(AT_FDCWD, path, CHANGE, 0)); return real(path); }
int mkdir(const char *path, mode_t mode)
{ REAL(mkdir); FAIL_IF(sick_path(AT_FDCWD, path, CHANGE, 0)); return real(path, mode); }

static long long ahead(void)
{
    if (!control) return 0;
    if (is_changed()) read_rules();
    return clock_us;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    REAL(clock_gettime);
    int result = real(clock, at);
    long long by = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? ahead() : 0;
    if (result == 0 && by) {
        long long ns = at->tv_nsec + by % 1000000 * 1000;
        at->tv_sec += by / 1000000 + (ns >= 1000000000) - (ns < 0);
        at->tv_nsec = (ns + 1000000000) % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *at, void *zone)
{
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
