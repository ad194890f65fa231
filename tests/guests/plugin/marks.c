/* A QEMU plugin that counts instructions between marks. A program marks a place by `hint #100`, which does nothing; at each mark the plugin writes what
 * the mark's core has carried out so far into the file `to=...`: a line with the core, all instructions, and for each `range=FROM-UNTIL` (physical
 * addresses, hexadecimal) those within: where what is to be told apart lies (docs/memory-map.md: EL2, the services of a core).
 *
 * With `pace=` (instructions a second) each core goes at that pace from the first mark on, on a host that is able to carry all of them: then what
 * programs need in the machine's time is as on a machine whose cores run in parallel, and a mark's line tells two times more, in nanoseconds of the
 * host: when it was, and how late the marking core was by its pace at the worst.
 *
 * Whole translation blocks are counted at their beginning, so a block that an exception leaves counts in full. */
#include "qemu.h"
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

/* A core looks at its pace each time it has carried out as many instructions as take so long, nanoseconds. */
enum { QUANTUM = 100000, MOST_CORES = 16, MOST_RANGES = 4 };
/* hint #100 */
static const uint32_t MARK = 0xd5032c9f;

static counter all, quantum;
static struct {
    uint64_t from, until;
    counter within;
} ranges[MOST_RANGES];
static int range_count;
static uint64_t pace;
static FILE *file;

/* A core that keeps to its pace: since when, and what it has been late by. */
static struct {
    int64_t since, late;
    uint64_t done;
} paces[MOST_CORES];
static int marked_once;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Nobody is late for what it waited for. */
static void begin(unsigned int core)
{
    paces[core].since = now();
    paces[core].done = 0;
    qemu_plugin_u64_set(quantum, core, 0);
}

static void begins(id_t_ id, unsigned int core)
{
    (void)id;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    begin(core);
}

/* A core that has been idle. */
static void resumes(id_t_ id, unsigned int core)
{
    (void)id;
    begin(core);
}

/* A quantum is over: waits until it is due. */
static void quantum_over(unsigned int core, void *data)
{
    (void)data;
    paces[core].done += qemu_plugin_u64_get(quantum, core);
    qemu_plugin_u64_set(quantum, core, 0);
    if (!__atomic_load_n(&marked_once, __ATOMIC_RELAXED))
        return begin(core);
    int64_t due = paces[core].since + (int64_t)((double)paces[core].done * 1e9 / (double)pace), late = now() - due;
    if (late > paces[core].late)
        paces[core].late = late;
    if (late >= 0)
        return;
    struct timespec t = {due / 1000000000LL, due % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* A block's physical address: by where it lies in QEMU's own memory, which holds the RAM in one piece. The first block of all runs without translation. */
static uint64_t physical(const struct tb *tb)
{
    static uint64_t shift;
    static int known;
    uint64_t place = (uint64_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));
    if (!known)
        shift = qemu_plugin_tb_vaddr(tb) - place;
    known = 1;
    return place + shift;
}

static void marked(unsigned int core, void *data)
{
    (void)data;
    __atomic_store_n(&marked_once, 1, __ATOMIC_RELAXED);
    flockfile(file);
    fprintf(file, "%u %" PRIu64, core, qemu_plugin_u64_get(all, core));
    for (int r = 0; r < range_count; r++)
        fprintf(file, " %" PRIu64, qemu_plugin_u64_get(ranges[r].within, core));
    if (pace)
        fprintf(file, " %" PRId64 " %" PRId64, now(), paces[core].late);
    fprintf(file, "\n");
    fflush(file);
    funlockfile(file);
}

static void translated(id_t_ id, struct tb *tb)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    uint64_t address = physical(tb);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, all, length);
    for (int r = 0; r < range_count; r++)
        if (address >= ranges[r].from && address < ranges[r].until)
            qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, ranges[r].within, length);
    if (pace) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, quantum, length);
        qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, quantum_over, NO_REGISTERS, AT_LEAST, quantum, pace / (1000000000 / QUANTUM), NULL);
    }
    for (size_t i = 0; i < length; i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word = 0;
        if (qemu_plugin_insn_data(insn, &word, sizeof word) == sizeof word && word == MARK)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, NO_REGISTERS, NULL);
    }
}

/* One argument of the plugin; whether it is known and well formed. */
static int argument(const char *text)
{
    if (!strncmp(text, "to=", 3))
        return (file = fopen(text + 3, "w")) != NULL;
    if (!strncmp(text, "pace=", 5))
        return (pace = strtoull(text + 5, NULL, 10)) != 0;
    if (strncmp(text, "range=", 6) || range_count == MOST_RANGES)
        return 0;
    char *dash;
    ranges[range_count].from = strtoull(text + 6, &dash, 16);
    ranges[range_count].until = *dash == '-' ? strtoull(dash + 1, NULL, 16) : 0;
    return ranges[range_count].until > ranges[range_count].from && ++range_count;
}

__attribute__((visibility("default"))) int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!argument(argv[i])) {
            fprintf(stderr, "marks: %s: expected to=FILE, range=FROM-UNTIL (at most %d) or pace=NUMBER\n", argv[i], MOST_RANGES);
            return -1;
        }
    if (!file) {
        fprintf(stderr, "marks: to=FILE is missing\n");
        return -1;
    }
    all.score = quantum.score = qemu_plugin_scoreboard_new((2 + MOST_RANGES) * sizeof(uint64_t));
    quantum.offset = sizeof(uint64_t);
    for (int r = 0; r < range_count; r++) {
        ranges[r].within.score = all.score;
        ranges[r].within.offset = (size_t)(2 + r) * sizeof(uint64_t);
    }
    if (pace) {
        qemu_plugin_register_vcpu_init_cb(id, begins);
        qemu_plugin_register_vcpu_resume_cb(id, resumes);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
