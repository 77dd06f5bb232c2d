/*
 * Counts what the guest executes between two marks of its own
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program in an AArch64 guest marks a section of itself with two hints that
 * are no-ops on every processor, "hint #112" and "hint #113".  At the end of
 * each section a line tells what has been executed in between, whatever
 * executed it: instructions, and lines of the data cache that were cleaned and
 * invalidated by address.  Sections are numbered from 1 and do not nest.  The
 * lines go where traces go, so they also tell which of them happened inside.
 *
 * With profile=on, lines in front of the last one tell how many instructions
 * were executed from which block of code.
 *
 * Meant for one processor: sections belong to the machine, not to a thread.
 */

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define HINT(imm)       (0xd503201fu | (imm) << 5)
#define HINT_BEGIN      HINT(112u)
#define HINT_END        HINT(113u)

/* Register operand masked out. */
#define DC_CVAC         0xd50b7a20u
#define DC_CIVAC        0xd50b7e20u
#define DC_IVAC         0xd5087620u
#define DC_OPERAND      0x1fu

typedef struct {
    uint64_t insns;
    uint64_t cleaned;
    uint64_t invalidated;
} Counts;

typedef struct {
    uint64_t vaddr;
    uint64_t insns;
    uint64_t count;
} Block;

static struct qemu_plugin_scoreboard *score;
static qemu_plugin_u64 insns, cleaned, invalidated;
static Counts begin;
static bool inside, profile;
static unsigned section;
static GHashTable *blocks;
static GMutex lock;

static void say(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void say(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    qemu_plugin_outs(text);
}

static Counts counts_now(void)
{
    return (Counts) {
        .insns = qemu_plugin_u64_sum(insns),
        .cleaned = qemu_plugin_u64_sum(cleaned),
        .invalidated = qemu_plugin_u64_sum(invalidated),
    };
}

static void section_begin(unsigned int cpu, void *opaque)
{
    begin = counts_now();
    inside = true;
    section++;
    say("section %u begins\n", section);
}

static void tell_blocks(void)
{
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&lock);
    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Block *b = value;

        if (b->count) {
            say("section %u block 0x%" PRIx64 " insns %" PRIu64 "\n", section,
                b->vaddr, b->count);
        }
        b->count = 0;
    }
    g_mutex_unlock(&lock);
}

static void section_end(unsigned int cpu, void *opaque)
{
    Counts now = counts_now();

    if (!inside) {
        return;
    }
    inside = false;
    if (profile) {
        tell_blocks();
    }
    /* The callback comes before its instruction is counted. */
    say("section %u ends: insns %" PRIu64 " cleaned %" PRIu64
        " invalidated %" PRIu64 "\n", section, now.insns - begin.insns - 1,
        now.cleaned - begin.cleaned, now.invalidated - begin.invalidated);
}

static void block_exec(unsigned int cpu, void *opaque)
{
    Block *b = opaque;

    if (inside) {
        b->count += b->insns;
    }
}

static void count(struct qemu_plugin_insn *insn, qemu_plugin_u64 what)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn, QEMU_PLUGIN_INLINE_ADD_U64, what, 1);
}

static void translate_insn(struct qemu_plugin_insn *insn)
{
    uint32_t word = 0;

    qemu_plugin_insn_data(insn, &word, sizeof(word));
    word = GUINT32_FROM_LE(word);

    if (word == HINT_BEGIN || word == HINT_END) {
        qemu_plugin_register_vcpu_insn_exec_cb(
            insn, word == HINT_BEGIN ? section_begin : section_end,
            QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    switch (word & ~DC_OPERAND) {
    case DC_CVAC:
        count(insn, cleaned);
        break;
    case DC_CIVAC:
        count(insn, cleaned);
        count(insn, invalidated);
        break;
    case DC_IVAC:
        count(insn, invalidated);
        break;
    }
    count(insn, insns);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    for (size_t i = 0; i < n; i++) {
        translate_insn(qemu_plugin_tb_get_insn(tb, i));
    }
    if (profile) {
        Block *b = g_new0(Block, 1);

        b->vaddr = qemu_plugin_tb_vaddr(tb);
        b->insns = n;
        g_mutex_lock(&lock);
        g_hash_table_add(blocks, b);
        g_mutex_unlock(&lock);
        qemu_plugin_register_vcpu_tb_exec_cb(tb, block_exec,
                                             QEMU_PLUGIN_CB_NO_REGS, b);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (strcmp(info->target_name, "aarch64")) {
        return -1;
    }
    for (int i = 0; i < argc; i++) {
        g_auto(GStrv) token = g_strsplit(argv[i], "=", 2);

        if (g_strcmp0(token[0], "profile") ||
            !qemu_plugin_bool_parse(token[0], token[1], &profile)) {
            return -1;
        }
    }

    blocks = g_hash_table_new(NULL, NULL);
    score = qemu_plugin_scoreboard_new(sizeof(Counts));
    insns = qemu_plugin_scoreboard_u64_in_struct(score, Counts, insns);
    cleaned = qemu_plugin_scoreboard_u64_in_struct(score, Counts, cleaned);
    invalidated = qemu_plugin_scoreboard_u64_in_struct(score, Counts,
                                                       invalidated);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
