/* A QEMU plugin that counts the instructions of each core, and writes them into the file `to=...` when the machine ends.
 *
 * Debian's packages have no qemu-plugin.h: what is used of the interface (version 4, QEMU 10) is declared here.
 * Whole translation blocks are counted at their beginning, so a block that an exception leaves counts in full. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t id_t_;
struct tb;
struct scoreboard;
typedef struct {
    struct scoreboard *score;
    size_t offset;
} counter;

size_t qemu_plugin_tb_n_insns(const struct tb *tb);
struct scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_get(counter entry, unsigned int vcpu);
int qemu_plugin_num_vcpus(void);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t_ id, void (*translated)(id_t_, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct tb *tb, int operation, counter entry, uint64_t value);
void qemu_plugin_register_atexit_cb(id_t_ id, void (*ends)(id_t_, void *), void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* QEMU_PLUGIN_INLINE_ADD_U64 */
enum { ADD = 0 };

static counter instructions;
static char path[4096];

static void translated(id_t_ id, struct tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, instructions, qemu_plugin_tb_n_insns(tb));
}

static void ends(id_t_ id, void *data)
{
    (void)id;
    (void)data;
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    for (int core = 0; core < qemu_plugin_num_vcpus(); core++)
        fprintf(file, "%" PRIu64 "\n", qemu_plugin_u64_get(instructions, (unsigned int)core));
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "to=", 3))
            snprintf(path, sizeof path, "%s", argv[i] + 3);
    if (!path[0]) {
        fprintf(stderr, "count: to=FILE is missing\n");
        return -1;
    }
    instructions.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    instructions.offset = 0;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ends, NULL);
    return 0;
}
