/* Preloaded into QEMU: its clock stands still while one of its threads could run and gets no processor.
 *
 * QEMU carries each core of the machine by a thread of its own, and the machine's timers follow the host's clock. Six cores on two busy processors
 * are held up, each in its turn, by what no board has, and are told to be late. With this clock the machine's time is the host's without the longest
 * of what its threads have waited for a processor: a core may be ahead of it, none is further behind than a scheduler's turn.
 *
 * A thread's waits are counted by the scheduler when they end (schedstat, second number: proc(5)); one that goes on is seen by a look each
 * millisecond: it could run (stat, state R), and has used no processor since the last look. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 64, LOOK_NS = 1000000, BETWEEN_SEARCHES = 50, MOST_NS = 10 * LOOK_NS };
/* How far a thread may be ahead of the others, nanoseconds: what it has done beforehand is no wait of theirs. */
static const int64_t AHEAD = 20000000;

/* A thread of this process: its files, what it has used and waited for, and how much of its waits lies behind the clock. */
struct thread {
    pid_t id;
    int stat, schedstat;
    int64_t ran, waited, goes_on, lag;
};

static struct thread threads[MOST_THREADS];
static int thread_count;
/* The clock: at host's time `looked` it has stood still for `behind` since the beginning. Between two looks it goes on for one look's time. */
static _Atomic int64_t looked, behind;
static int (*host_clock)(clockid_t, struct timespec *);

static int64_t host_now(void)
{
    struct timespec t;
    host_clock(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t now(void)
{
    static _Atomic int64_t last;
    int64_t at, stood, real;
    do {
        at = looked;
        stood = behind;
        real = host_now();
    } while (at != looked);
    int64_t since = real - at > MOST_NS ? MOST_NS : real - at, told = at - stood + since, before = last;
    /* A clock never goes back. */
    while (before < told && !__atomic_compare_exchange_n((int64_t *)&last, &before, told, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return before > told ? before : told;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t which, struct timespec *t)
{
    if (!host_clock)
        return (int)syscall(SYS_clock_gettime, which, t);
    if (which != CLOCK_MONOTONIC || !looked)
        return host_clock(which, t);
    int64_t ns = now();
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}

/* Opens file `name` of thread `id`. */
static int file_of(pid_t id, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", id, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* What thread `t` has used of processors, and what it has waited for them, nanoseconds. False: it is gone. */
static int numbers(const struct thread *t, int64_t *ran, int64_t *waited)
{
    char text[96], *rest;
    struct timespec used;
    ssize_t n = pread(t->schedstat, text, sizeof text - 1, 0);
    /* The clock of a thread of this process by its number (clock_getcpuclockid(3)); the file's first number is brought up to date at ticks only. */
    if (n <= 0 || host_clock((clockid_t)(~(unsigned)t->id << 3 | 6), &used))
        return 0;
    text[n] = 0;
    strtoll(text, &rest, 10);
    *ran = used.tv_sec * 1000000000LL + used.tv_nsec;
    *waited = strtoll(rest, NULL, 10);
    return 1;
}

static int could_run(const struct thread *t)
{
    char text[256];
    ssize_t n = pread(t->stat, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = 0;
    /* The state stands behind the name, which may hold anything. */
    char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' && name_end[2] == 'R';
}

/* Threads that have come since. */
static void search(pid_t own)
{
    DIR *all = opendir("/proc/self/task");
    for (struct dirent *e; all && (e = readdir(all));) {
        pid_t id = atoi(e->d_name);
        int known = id <= 0 || id == own || thread_count == MOST_THREADS;
        for (int i = 0; i < thread_count; i++)
            known |= threads[i].id == id;
        if (known)
            continue;
        struct thread t = {.id = id, .stat = file_of(id, "stat"), .schedstat = file_of(id, "schedstat"), .lag = behind};
        if (numbers(&t, &t.ran, &t.waited))
            threads[thread_count++] = t;
    }
    if (all)
        closedir(all);
}

/* What this thread has waited since the last look, `passed` ago. False: it is gone. */
static int look(struct thread *t, int64_t passed)
{
    int64_t ran, waited;
    if (!numbers(t, &ran, &waited))
        return 0;
    /* A wait that goes on was counted already. */
    int64_t ended = waited - t->waited, more = ended > t->goes_on ? ended - t->goes_on : 0;
    if (ended > 0)
        t->goes_on = 0;
    if (ran == t->ran && could_run(t)) {
        t->goes_on += passed;
        more += passed;
    }
    t->ran = ran;
    t->waited = waited;
    t->waited = waited;
    if (t->lag < behind - AHEAD)
        t->lag = behind - AHEAD;
    t->lag += more;
    return 1;
}

static void *keep(void *unused)
{
    (void)unused;
    pid_t own = (pid_t)syscall(SYS_gettid);
    for (unsigned n = 0;; n++) {
        if (n % BETWEEN_SEARCHES == 0)
            search(own);
        struct timespec pause = {.tv_nsec = LOOK_NS};
        nanosleep(&pause, NULL);
        int64_t real = host_now(), passed = real - looked, most = behind;
        for (int i = 0; i < thread_count; i++) {
            if (!look(&threads[i], passed)) {
                close(threads[i].stat);
                close(threads[i].schedstat);
                threads[i--] = threads[--thread_count];
            } else if (threads[i].lag > most) {
                most = threads[i].lag;
            }
        }
        /* What passed while nobody looked was no time of the machine either: see `now`. */
        if (passed > MOST_NS && most < behind + passed - MOST_NS)
            most = behind + passed - MOST_NS;
        if (most > behind + passed)
            most = behind + passed;
        behind = most;
        looked = real;
    }
    return NULL;
}

__attribute__((constructor)) static void begins(void)
{
    host_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    looked = host_now();
    pthread_t thread;
    if (pthread_create(&thread, NULL, keep, NULL)) {
        fprintf(stderr, "fair_clock: no thread\n");
        abort();
    }
}
