/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_IP_H__
#define __NPU_IP_H__

#include <linux/bits.h>
#include <linux/types.h>

struct npu_core;
struct npu_task;

/** define NPU_EVENT_RAISED - the core did raise its interrupt */
#define NPU_EVENT_RAISED	BIT(0)
/** define NPU_EVENT_DONE - the tasks have ended */
#define NPU_EVENT_DONE		BIT(1)
/** define NPU_EVENT_STREAM - a command stream has changed what is the kernel's */
#define NPU_EVENT_STREAM	BIT(3)
/** define NPU_EVENT_ERROR - the hardware reports that the task failed */
#define NPU_EVENT_ERROR		BIT(2)

/**
 * struct npu_reg - a register and what it contains
 */
struct npu_reg {
	/** @offset: its address, as the family counts */
	u32 offset;

	/** @value: its content */
	u32 value;

	/** @group: which one, where a unit has several sets of them */
	u32 group;
};

/**
 * struct npu_ip_ops - what an NPU family does with the registers of one core
 *
 * What takes a core, but for @bind, is called with the core powered. Nothing
 * outside the file that implements a family touches a register or knows one.
 */
struct npu_ip_ops {
	/**
	 * @bind: find and map the registers; what it allocates goes with the
	 * device of the core
	 */
	int (*bind)(struct npu_core *core);

	/** @init: silence the core after power-on or reset */
	void (*init)(struct npu_core *core);

	/** @version: hardware version */
	u32 (*version)(struct npu_core *core);

	/**
	 * @verify: after a reset: is the core idle, and do its registers work?
	 * Return 0 or -EIO.
	 */
	int (*verify)(struct npu_core *core);

	/**
	 * @start: run tasks on an idle core; called with interrupts off
	 *
	 * @count of them, at most &npu_ip.max_linked. @task is the first; its
	 * command stream names the second, and so on.
	 */
	void (*start)(struct npu_core *core, const struct npu_task *task, u32 count);

	/**
	 * @forget: take nothing that @start relies on for granted any more; the
	 * core is idle. Called with interrupts off.
	 */
	void (*forget)(struct npu_core *core);

	/**
	 * @tampered: has a command stream changed registers that are the
	 * kernel's? For a core that works on a task, and that has made no
	 * progress. Called with interrupts off.
	 */
	bool (*tampered)(struct npu_core *core);

	/**
	 * @finished: how many tasks has it finished since @start? Only if that
	 * had more than one. Called with interrupts off.
	 */
	u32 (*finished)(struct npu_core *core);

	/**
	 * @unlink: empty the place where a command stream names the next one
	 *
	 * @stream is in memory of the kernel's, and @size bytes long. Returns
	 * NULL, or what is wrong when there is no such place.
	 */
	const char *(*unlink)(void *stream, u32 size);

	/**
	 * @link: let a command stream name the next one, at @va and @size bytes
	 * long
	 *
	 * Only after @unlink. Returns false if it names another one already.
	 */
	bool (*link)(void *stream, u32 size, u32 va, u32 next_size);

	/** @is_link: is this word of a command stream part of such a name? */
	bool (*is_link)(const void *word);

	/**
	 * @scrub: describe a task that overwrites what a reset does not clear
	 *
	 * Writes a command stream of at most &npu_ip.scrub_cmd_size bytes to
	 * @cmd and completes @task, whose address is known. The task reads
	 * &npu_ip.scrub_src_size bytes of zeros at @src_va and fills the
	 * &npu_ip.scrub_dst_size bytes at @dst_va with @fill. It may rely on
	 * the registers being as a reset leaves them. No core is involved.
	 */
	void (*scrub)(void *cmd, u32 src_va, u32 dst_va, s8 fill,
		      struct npu_task *task);

	/**
	 * @irq: look at the interrupt, answer and clear what is raised
	 *
	 * @task is one of those that run, or NULL; its address need not be the
	 * one it was started with. With @lost the interrupt did not come and the
	 * question is whether it should have. Returns NPU_EVENT_*, 0 when the
	 * core has raised nothing. Called with interrupts off.
	 */
	u32 (*irq)(struct npu_core *core, const struct npu_task *task, bool lost);

	/**
	 * @dump: read the registers that may be read, up to @max of them,
	 * return how many; the next thing that happens to the core is a reset
	 */
	unsigned int (*dump)(struct npu_core *core, struct npu_reg *regs,
			     unsigned int max);
};

/**
 * struct npu_ip - an NPU family
 */
struct npu_ip {
	/** @ops: what it does with registers */
	const struct npu_ip_ops *ops;

	/** @family: name of its command-stream encoding */
	const char *family;

	/** @clks: names of the clocks of a core */
	const char *const *clks;

	/** @num_clks: entries of @clks */
	unsigned int num_clks;

	/** @compute_clk: index in @clks of the one that sets the speed */
	unsigned int compute_clk;

	/** @resets: names of the resets of a core */
	const char *const *resets;

	/** @num_resets: entries of @resets */
	unsigned int num_resets;

	/** @supplies: names of the supplies of a core */
	const char *const *supplies;

	/** @num_supplies: entries of @supplies */
	unsigned int num_supplies;

	/** @compute_supply: index in @supplies of the one that the speed needs */
	unsigned int compute_supply;

	/** @reset_us: how long resets stay asserted */
	unsigned int reset_us;

	/** @dma_bits: physical address bits a core can reach */
	unsigned int dma_bits;

	/** @va_bits: virtual address bits of a core */
	unsigned int va_bits;

	/** @cmd_align: alignment of command streams, and the unit of fetching */
	u32 cmd_align;

	/** @max_cmd_size: longest command stream, in bytes */
	u32 max_cmd_size;

	/** @max_linked: tasks that a core can run without being started again */
	u32 max_linked;

	/** @scrub_cmd_size: memory for the command stream of a scrub */
	u32 scrub_cmd_size;

	/** @scrub_src_size: zeros that it reads */
	u32 scrub_src_size;

	/** @scrub_dst_size: what it writes */
	u32 scrub_dst_size;

	/** @num_done_units: units whose completion can end a task */
	u32 num_done_units;
};

extern const struct npu_ip npu_rk3588_ip;

#endif /* __NPU_IP_H__ */
