/* What the plugins here use of QEMU's interface for plugins (version 4, QEMU 10): Debian's packages have no qemu-plugin.h. */
#include <inttypes.h>
#include <stdio.h>
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
void qemu_plugin_u64_set(counter entry, unsigned int vcpu, uint64_t value);
int qemu_plugin_num_vcpus(void);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t_ id, void (*translated)(id_t_, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct tb *tb, int operation, counter entry, uint64_t value);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct tb *tb, void (*executed)(unsigned int, void *), int flags, int condition, counter entry,
                                               uint64_t immediate, void *data);
void qemu_plugin_register_vcpu_init_cb(id_t_ id, void (*begins)(id_t_, unsigned int));
void qemu_plugin_register_vcpu_resume_cb(id_t_ id, void (*resumes)(id_t_, unsigned int));
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, void (*executed)(unsigned int, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(id_t_ id, void (*ends)(id_t_, void *), void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* QEMU_PLUGIN_INLINE_ADD_U64, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_COND_GE */
enum { ADD = 0, NO_REGISTERS = 0, AT_LEAST = 7 };
