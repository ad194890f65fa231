/* A QEMU plugin that counts the instructions of each core, and writes them into the file `to=...` when the machine ends.
 *
 * Whole translation blocks are counted at their beginning, so a block that an exception leaves counts in full. */
#include "qemu.h"

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
