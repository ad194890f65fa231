/* A QEMU plugin that counts instructions between marks. A program marks a place by `hint #100`, which does nothing; at each mark the plugin writes what
 * the mark's core has carried out so far into the file `to=...`: a line with the core, all instructions, and those at addresses from `from=` to `until=`
 * (hexadecimal), where what is to be told apart lies (for a kernel of Tetrarch: EL2 and the services of its core).
 *
 * Debian's packages have no qemu-plugin.h: what is used of the interface (version 4, QEMU 10) is declared here, as in count.c.
 * Whole translation blocks are counted at their beginning, so a block that an exception leaves counts in full. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t id_t_;
struct tb;
struct insn;
struct scoreboard;
typedef struct {
    struct scoreboard *score;
    size_t offset;
} counter;

size_t qemu_plugin_tb_n_insns(const struct tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct tb *tb);
void *qemu_plugin_insn_haddr(const struct insn *insn);
struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct insn *insn, void *to, size_t length);
struct scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_get(counter entry, unsigned int vcpu);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t_ id, void (*translated)(id_t_, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct tb *tb, int operation, counter entry, uint64_t value);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, void (*executed)(unsigned int, void *), int flags, void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* QEMU_PLUGIN_INLINE_ADD_U64, QEMU_PLUGIN_CB_NO_REGS */
enum { ADD = 0, NO_REGISTERS = 0 };
/* hint #100 */
static const uint32_t MARK = 0xd5032c9f;

static counter all, within;
static struct {
    uint64_t from, until;
} ranges[4];
static int count;
static FILE *file;

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
    fprintf(file, "%u %" PRIu64 " %" PRIu64 "\n", core, qemu_plugin_u64_get(all, core), qemu_plugin_u64_get(within, core));
    fflush(file);
}

static void translated(id_t_ id, struct tb *tb)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    uint64_t address = physical(tb);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, all, length);
    for (int i = 0; i < count; i++)
        if (address >= ranges[i].from && address < ranges[i].until)
            qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, within, length);
    for (size_t i = 0; i < length; i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word = 0;
        if (qemu_plugin_insn_data(insn, &word, sizeof word) == sizeof word && word == MARK)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, NO_REGISTERS, NULL);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "to=", 3))
            file = fopen(argv[i] + 3, "w");
        if (!strncmp(argv[i], "range=", 6)) {
            if (count == 4 || sscanf(argv[i] + 6, "%" SCNx64 ":%" SCNx64, &ranges[count].from, &ranges[count].until) != 2) {
                fprintf(stderr, "marks: expected at most four range=FROM:UNTIL\n");
                return -1;
            }
            count++;
        }
    }
    if (!file) {
        fprintf(stderr, "marks: to=FILE is missing, or cannot be written\n");
        return -1;
    }
    all.score = qemu_plugin_scoreboard_new(2 * sizeof(uint64_t));
    all.offset = 0;
    within.score = all.score;
    within.offset = sizeof(uint64_t);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
