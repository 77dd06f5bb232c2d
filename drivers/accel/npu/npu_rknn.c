// SPDX-License-Identifier: GPL-2.0-only

#include <linux/bitfield.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>

#include <kunit/visibility.h>

#include "npu_core.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_rknn_regs.h"
#include "npu_rknn_scrub.h"

/**
 * DOC: RKNN family
 *
 * The NPU of the RK3588 and its relatives. Its front end, the PC, fetches a
 * command stream of 64-bit words and writes each of them to a register of one
 * of the units behind it; the last word starts those units. Everything the
 * driver does is to point the PC at a stream and to wait for the interrupt of
 * the unit that ends the task: the DPU for everything that writes its result
 * through the DPU, the PPU for pooling.
 *
 * Each unit has two groups of registers that tasks use in turn, and an
 * interrupt bit for each group. Which of the two a task uses is the hardware's
 * business, so either bit ends it; but the bit that has ended the last task is
 * believed only if the counter of finished tasks says the same.
 *
 * A stream can also name the next one, in its last words but two: the PC then goes
 * on by itself, with one interrupt behind the last of as many tasks as it was told
 * to run. It counts those it has finished.
 *
 * Streams can write any register, those of the PC included. The interrupt
 * handler therefore takes nothing for granted: what it finds raised, it clears.
 * Something that was not enabled can only be raised if a stream has changed the
 * mask; the handler gets to know that from the one register it reads anyway.
 * Whether a task that does not end has changed one of the others, the watchdog
 * finds out when it has nothing better to do. What a stream has changed for the
 * tasks behind it is the business of its own context: with the first task of
 * another one, everything is set up again.
 */

/* Bytes the PC fetches at a time */
#define RKNN_FETCH_SIZE		16

/* The last words of a stream: the link, something of the hardware's, the start */
enum {
	RKNN_LINK_BASE,
	RKNN_LINK_AMOUNTS,
	RKNN_FENCE,
	RKNN_ENABLE,
	RKNN_TRAILER_WORDS
};

/* What ends a task, by &drm_npu_task.done_unit */
static const u32 rknn_done[] = {
	[RKNN_DONE_DPU] = PC_INT_DPU,
	[RKNN_DONE_PPU] = PC_INT_PPU,
};

#define RKNN_ERRORS	(PC_INT_DMA_READ_ERROR | PC_INT_DMA_WRITE_ERROR)

/**
 * struct rknn_regs - register windows of a core
 */
struct rknn_regs {
	/** @pc: the front end */
	void __iomem *pc;

	/** @cna: loads features and weights */
	void __iomem *cna;

	/** @core: multiplies and accumulates */
	void __iomem *core;

	/** @ready: what stays the same from task to task is set up */
	bool ready;

	/** @mask: interrupts that are enabled */
	u32 mask;

	/** @count: tasks that the PC was started with */
	u32 count;

	/** @last: what was raised for the end of the last task */
	u32 last;
};

static int rknn_bind(struct npu_core *core)
{
	struct platform_device *pdev = to_platform_device(core->dev);
	struct rknn_regs *regs;

	regs = devm_kzalloc(core->dev, sizeof(*regs), GFP_KERNEL);
	if (!regs)
		return -ENOMEM;

	regs->pc = devm_platform_ioremap_resource_byname(pdev, "pc");
	if (IS_ERR(regs->pc))
		return PTR_ERR(regs->pc);

	regs->cna = devm_platform_ioremap_resource_byname(pdev, "cna");
	if (IS_ERR(regs->cna))
		return PTR_ERR(regs->cna);

	regs->core = devm_platform_ioremap_resource_byname(pdev, "core");
	if (IS_ERR(regs->core))
		return PTR_ERR(regs->core);

	core->regs = regs;
	return 0;
}

/* The next task gets everything set up again. */
static void rknn_forget(struct npu_core *core)
{
	struct rknn_regs *regs = core->regs;

	regs->ready = false;
	regs->mask = 0;
}

static void rknn_init(struct npu_core *core)
{
	struct rknn_regs *regs = core->regs;

	/* Out of reset every source is enabled. */
	writel_relaxed(0, regs->pc + PC_INT_MASK);
	writel_relaxed(PC_INT_ALL, regs->pc + PC_INT_CLEAR);
	rknn_forget(core);
	regs->last = 0;
}

static u32 rknn_version(struct npu_core *core)
{
	struct rknn_regs *regs = core->regs;

	return readl(regs->pc + PC_VERSION) +
	       (readl(regs->pc + PC_VERSION_NUM) & PC_VERSION_NUM_MASK);
}

/* Every start of a task has set the pointer; only a reset clears it. */
static bool rknn_was_reset(void __iomem *unit)
{
	return !(readl(unit + UNIT_S_STATUS) & UNIT_S_STATUS_GROUPS) &&
	       !(readl(unit + UNIT_S_POINTER) & UNIT_S_POINTER_POINTER_PP_EN);
}

static int rknn_verify(struct npu_core *core)
{
	const u32 pattern = 0xa5a5a5a5 & PC_BASE_ADDRESS_MASK;
	struct rknn_regs *regs = core->regs;
	u32 got;

	if (readl(regs->pc + PC_INT_RAW_STATUS) & PC_INT_ALL)
		return -EIO;
	if (!rknn_was_reset(regs->cna) || !rknn_was_reset(regs->core))
		return -EIO;

	writel(pattern, regs->pc + PC_BASE_ADDRESS);
	got = readl(regs->pc + PC_BASE_ADDRESS);
	writel(0, regs->pc + PC_BASE_ADDRESS);

	return got == pattern ? 0 : -EIO;
}

/*
 * What every task needs and no task changes. Streams do not set the pointers of
 * CNA and CORE, and the units do not run without the number of their core in
 * it; the units themselves move them from group to group.
 */
static void rknn_prepare(struct npu_core *core)
{
	struct rknn_regs *regs = core->regs;
	u32 pointer = UNIT_S_POINTER_PINGPONG |
		      FIELD_PREP(UNIT_S_POINTER_CORE, core->hw_index);

	writel_relaxed(PC_BASE_ADDRESS_PC_SEL, regs->pc + PC_BASE_ADDRESS);
	writel_relaxed(pointer, regs->cna + UNIT_S_POINTER);
	writel_relaxed(pointer, regs->core + UNIT_S_POINTER);
	writel_relaxed(0, regs->pc + PC_TASK_DMA_BASE_ADDR);
	regs->ready = true;
}

/*
 * The number of tasks changes less often than it is written here. But that also
 * clears the counter of finished ones, and nobody knows whether the PC compares
 * the two: every driver that has run on silicon does it for each start.
 */
static void rknn_set_count(struct rknn_regs *regs, u32 count)
{
	writel_relaxed(FIELD_PREP(PC_TASK_CON_NUMBER, count) | PC_TASK_CON_PP_EN |
		       PC_TASK_CON_COUNT_CLEAR | PC_TASK_CON_UNKNOWN,
		       regs->pc + PC_TASK_CON);
	regs->count = count;
}

static u32 rknn_amounts(u32 size)
{
	return FIELD_PREP(PC_REGISTER_AMOUNTS_MASK,
			  DIV_ROUND_UP(size, RKNN_FETCH_SIZE) - 1);
}

static void rknn_start(struct npu_core *core, const struct npu_task *task, u32 count)
{
	struct rknn_regs *regs = core->regs;
	u32 mask = rknn_done[task->done_unit] | RKNN_ERRORS;

	if (!regs->ready)
		rknn_prepare(core);
	rknn_set_count(regs, count);
	writel_relaxed(task->cmd_va, regs->pc + PC_BASE_ADDRESS);
	writel_relaxed(rknn_amounts(task->cmd_size), regs->pc + PC_REGISTER_AMOUNTS);

	if (mask != regs->mask) {
		writel_relaxed(mask, regs->pc + PC_INT_MASK);
		regs->mask = mask;
	}

	/* Not relaxed: what the CPU wrote to memory has to be there first. */
	writel(PC_OPERATION_ENABLE_OP_EN, regs->pc + PC_OPERATION_ENABLE);
}

/*
 * Looks at registers that can be read back according to the manual. Those that
 * are set at every start are left out: a link to the next stream changes them.
 */
static bool rknn_tampered(struct npu_core *core)
{
	const u32 pointer = UNIT_S_POINTER_PINGPONG;
	struct rknn_regs *regs = core->regs;
	u32 con = readl(regs->pc + PC_TASK_CON);

	return (readl(regs->pc + PC_INT_MASK) & PC_INT_ALL) != regs->mask ||
	       FIELD_GET(PC_TASK_CON_NUMBER, con) != regs->count ||
	       readl(regs->pc + PC_TASK_DMA_BASE_ADDR) ||
	       (~readl(regs->cna + UNIT_S_POINTER) & pointer) ||
	       (~readl(regs->core + UNIT_S_POINTER) & pointer);
}

static u32 rknn_finished(struct npu_core *core)
{
	struct rknn_regs *regs = core->regs;

	return FIELD_GET(PC_TASK_STATUS_FINISHED, readl(regs->pc + PC_TASK_STATUS));
}

/*
 * Has the hardware finished what it was given? Tasks use the groups of a unit in
 * turn, so an interrupt that is not that of the last task is the one of this
 * task. If it is the same once more, the counter tells: it has come a second
 * time, or too late, or the stream does without the second group.
 */
static bool rknn_has_ended(struct npu_core *core, u32 raised)
{
	struct rknn_regs *regs = core->regs;

	return (raised & ~regs->last) || rknn_finished(core) >= regs->count;
}

static u32 rknn_irq(struct npu_core *core, const struct npu_task *task, bool lost)
{
	struct rknn_regs *regs = core->regs;
	u32 done = task ? rknn_done[task->done_unit] : 0;
	u32 expected = task ? done | RKNN_ERRORS : 0;
	u32 raised, events = NPU_EVENT_RAISED;

	raised = readl(regs->pc + (lost ? PC_INT_RAW_STATUS : PC_INT_STATUS));
	raised &= lost ? expected : PC_INT_ALL;
	if (!raised)
		return 0;

	/* What is not enabled does not come, unless a stream has changed that. */
	if (raised & ~expected) {
		writel_relaxed(expected, regs->pc + PC_INT_MASK);
		regs->mask = expected;
		events |= NPU_EVENT_STREAM;
	}

	if (raised & expected & RKNN_ERRORS)
		events |= NPU_EVENT_ERROR;

	if ((raised & done) && rknn_has_ended(core, raised & done)) {
		regs->last = raised & done;
		/* What other units have raised meanwhile is of no interest. */
		raised = PC_INT_ALL;
		events |= NPU_EVENT_DONE;
		writel_relaxed(0, regs->pc + PC_OPERATION_ENABLE);
	}
	writel(raised, regs->pc + PC_INT_CLEAR);

	/* Without an end, nothing was lost. */
	return lost && events == NPU_EVENT_RAISED ? 0 : events;
}

/**
 * struct rknn_range - registers that follow each other
 */
struct rknn_range {
	/** @first: offset of the first one, in the window of its unit */
	u16 first;

	/** @last: offset of the last one */
	u16 last;
};

/* What is not known to be a register is not read: some of it locks the bus up. */
static const struct rknn_range rknn_pc_ranges[] = {
	{ PC_VERSION, PC_OPERATION_ENABLE },
	{ PC_BASE_ADDRESS, PC_REGISTER_AMOUNTS },
	{ PC_INT_MASK, PC_INT_MASK },
	{ PC_INT_STATUS, PC_TASK_DMA_BASE_ADDR },
	{ PC_TASK_STATUS, PC_TASK_STATUS },
};

static const struct rknn_range rknn_cna_ranges[] = {
	{ 0x000, 0x014 }, { 0x020, 0x038 }, { 0x040, 0x044 }, { 0x04c, 0x068 },
	{ 0x070, 0x088 }, { 0x090, 0x090 }, { 0x100, 0x104 }, { 0x110, 0x110 },
	{ 0x140, 0x17c }, { 0x180, 0x184 },
};

static const struct rknn_range rknn_core_ranges[] = {
	{ 0x000, 0x01c }, { 0x030, 0x030 },
};

/**
 * struct rknn_dump - registers that have been read
 */
struct rknn_dump {
	/** @regs: what was found */
	struct npu_reg *regs;

	/** @count: entries of @regs in use */
	unsigned int count;

	/** @max: entries of @regs */
	unsigned int max;
};

static void rknn_dump_ranges(struct rknn_dump *dump, void __iomem *unit, u32 base,
			     u32 group, const struct rknn_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (u32 reg = ranges[i].first; reg <= ranges[i].last; reg += 4) {
			if (dump->count == dump->max)
				return;
			dump->regs[dump->count++] = (struct npu_reg){
				.offset = base + reg,
				.value = readl(unit + reg),
				.group = group,
			};
		}
	}
}

/*
 * A unit shows one of its groups. After a task was started that is the other
 * one, the next to be filled; so the CPU takes over and looks at both.
 */
static unsigned int rknn_dump(struct npu_core *core, struct npu_reg *regs,
			      unsigned int max)
{
	struct rknn_dump dump = { .regs = regs, .max = max };
	struct rknn_regs *r = core->regs;

	rknn_dump_ranges(&dump, r->pc, RKNN_PC_OFFSET, 0, rknn_pc_ranges,
			 ARRAY_SIZE(rknn_pc_ranges));

	writel(PC_BASE_ADDRESS_PC_SEL, r->pc + PC_BASE_ADDRESS);
	for (u32 group = 0; group < 2; group++) {
		u32 pointer = FIELD_PREP(UNIT_S_POINTER_POINTER, group) |
			      FIELD_PREP(UNIT_S_POINTER_CORE, core->hw_index);

		writel(pointer, r->cna + UNIT_S_POINTER);
		writel(pointer, r->core + UNIT_S_POINTER);
		rknn_dump_ranges(&dump, r->cna, RKNN_CNA_OFFSET, group,
				 rknn_cna_ranges, ARRAY_SIZE(rknn_cna_ranges));
		rknn_dump_ranges(&dump, r->core, RKNN_CORE_OFFSET, group,
				 rknn_core_ranges, ARRAY_SIZE(rknn_core_ranges));
	}
	return dump.count;
}

static __le64 *rknn_trailer(void *stream, u32 size)
{
	return stream + size - RKNN_TRAILER_WORDS * sizeof(__le64);
}

static bool rknn_word_is(__le64 word, u32 target, u32 offset)
{
	u64 value = le64_to_cpu(word);

	return FIELD_GET(STREAM_TARGET, value) == target &&
	       FIELD_GET(STREAM_OFFSET, value) == offset;
}

static __le64 rknn_pc_word(u32 offset, u32 value)
{
	return cpu_to_le64(FIELD_PREP(STREAM_TARGET, STREAM_TARGET_PC) |
			   FIELD_PREP(STREAM_VALUE, value) |
			   FIELD_PREP(STREAM_OFFSET, offset));
}

static const char *rknn_unlink(void *stream, u32 size)
{
	__le64 *trailer;

	if (size < RKNN_TRAILER_WORDS * sizeof(*trailer))
		return "too short for a link";

	trailer = rknn_trailer(stream, size);
	if (!rknn_word_is(trailer[RKNN_ENABLE], STREAM_TARGET_ENABLE,
			  PC_OPERATION_ENABLE))
		return "does not end with a start";
	if ((trailer[RKNN_LINK_BASE] &&
	     !rknn_word_is(trailer[RKNN_LINK_BASE], STREAM_TARGET_PC,
			   PC_BASE_ADDRESS)) ||
	    (trailer[RKNN_LINK_AMOUNTS] &&
	     !rknn_word_is(trailer[RKNN_LINK_AMOUNTS], STREAM_TARGET_PC,
			   PC_REGISTER_AMOUNTS)))
		return "has no room for a link";

	trailer[RKNN_LINK_BASE] = 0;
	trailer[RKNN_LINK_AMOUNTS] = 0;
	return NULL;
}

static bool rknn_link(void *stream, u32 size, u32 va, u32 next_size)
{
	__le64 amounts = rknn_pc_word(PC_REGISTER_AMOUNTS, rknn_amounts(next_size));
	__le64 base = rknn_pc_word(PC_BASE_ADDRESS, va);
	__le64 *trailer = rknn_trailer(stream, size);

	if (trailer[RKNN_LINK_BASE])
		return trailer[RKNN_LINK_BASE] == base &&
		       trailer[RKNN_LINK_AMOUNTS] == amounts;

	trailer[RKNN_LINK_BASE] = base;
	trailer[RKNN_LINK_AMOUNTS] = amounts;
	return true;
}

static bool rknn_is_link(const void *word)
{
	const __le64 *w = word;

	return rknn_word_is(*w, STREAM_TARGET_PC, PC_BASE_ADDRESS) ||
	       rknn_word_is(*w, STREAM_TARGET_PC, PC_REGISTER_AMOUNTS);
}

static const struct npu_ip_ops rknn_ops = {
	.bind = rknn_bind,
	.init = rknn_init,
	.version = rknn_version,
	.verify = rknn_verify,
	.start = rknn_start,
	.forget = rknn_forget,
	.tampered = rknn_tampered,
	.finished = rknn_finished,
	.scrub = rknn_scrub,
	.irq = rknn_irq,
	.dump = rknn_dump,
	.unlink = rknn_unlink,
	.link = rknn_link,
	.is_link = rknn_is_link,
};

static const char *const rknn_clks[] = { "npu", "aclk", "hclk", "pclk" };
static const char *const rknn_resets[] = { "srst_a", "srst_h" };
static const char *const rknn_supplies[] = { "npu", "sram" };

const struct npu_ip npu_rk3588_ip = {
	.ops = &rknn_ops,
	.family = "rknn-rk3588",
	.clks = rknn_clks,
	.num_clks = ARRAY_SIZE(rknn_clks),
	.compute_clk = 0,
	.resets = rknn_resets,
	.num_resets = ARRAY_SIZE(rknn_resets),
	.supplies = rknn_supplies,
	.num_supplies = ARRAY_SIZE(rknn_supplies),
	.compute_supply = 0,
	.reset_us = 10,
	.dma_bits = 40,
	.va_bits = 32,
	.cmd_align = RKNN_FETCH_SIZE,
	.max_cmd_size = SZ_64K * RKNN_FETCH_SIZE,
	.max_linked = PC_TASK_CON_NUMBER,	/* the field begins at bit 0 */
	.scrub_cmd_size = RKNN_SCRUB_CMD_SIZE,
	.scrub_src_size = RKNN_SCRUB_SRC_SIZE,
	.scrub_dst_size = RKNN_SCRUB_DST_SIZE,
	.num_done_units = ARRAY_SIZE(rknn_done),
};
EXPORT_SYMBOL_IF_KUNIT(npu_rk3588_ip);
