/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_CORE_H__
#define __NPU_CORE_H__

#include <linux/clk.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/reset.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct npu_device;
struct npu_job;
struct npu_vm;

#define NPU_CORE_MAX_CLKS	4
#define NPU_CORE_MAX_RESETS	2

/**
 * enum npu_core_state - what a core is good for
 */
enum npu_core_state {
	/** @NPU_CORE_ABSENT: no hardware behind it, or about to lose it */
	NPU_CORE_ABSENT,

	/** @NPU_CORE_READY: runs jobs, or recovers from one */
	NPU_CORE_READY,

	/** @NPU_CORE_SUSPENDED: quiet while the system sleeps */
	NPU_CORE_SUSPENDED,

	/** @NPU_CORE_DEAD: did not recover; binding it anew may help */
	NPU_CORE_DEAD,
};

/**
 * struct npu_core_fault - why a core has to be reset
 */
struct npu_core_fault {
	/** @error: what the job gets; 0 when there is no fault */
	int error;

	/** @va: address the core could not access, for -EFAULT */
	u64 va;

	/** @flags: DRM_NPU_FAULT_* */
	u32 flags;
};

/**
 * struct npu_core - one core
 *
 * Lives as long as the DRM device; the hardware behind it comes and goes with
 * the driver binding.
 */
struct npu_core {
	/** @npu: the device it is part of */
	struct npu_device *npu;

	/** @index: its number for userspace, by register address; constant */
	unsigned int index;

	/** @hw_index: its number for the hardware; constant */
	unsigned int hw_index;

	/** @node: its device tree node; constant */
	struct device_node *node;

	/**
	 * @lock: serialises binding, power transitions that the driver asks
	 * for, resets, and what the IOMMU is attached to.
	 *
	 * Fences depend on it: nothing may be allocated under it that could
	 * wait for reclaim, except while binding, when no job has the core.
	 */
	struct mutex lock;

	/** @dev: the hardware, or NULL. Changed under @lock. */
	struct device *dev;

	/** @iommu_node: device tree node of its IOMMU; constant */
	struct device_node *iommu_node;

	/** @regs: register windows, private to the family */
	void *regs;

	/** @clks: its clocks */
	struct clk_bulk_data clks[NPU_CORE_MAX_CLKS];

	/** @resets: its resets */
	struct reset_control_bulk_data resets[NPU_CORE_MAX_RESETS];

	/** @irq: interrupt, shared with the IOMMU */
	int irq;

	/** @power_nb: tells when the power domain went off */
	struct notifier_block power_nb;

	/** @power_offs: how often it did */
	atomic_t power_offs;

	/** @power_wait: woken when @power_offs changes */
	wait_queue_head_t power_wait;

	/**
	 * @vm: address space the IOMMU is attached to, or NULL for none of
	 * ours. Protected by @lock; &npu_sched_core.vm follows it. Not a
	 * reference, see npu_device_forget_vm().
	 */
	struct npu_vm *vm;

	/**
	 * @client: whose traces are in the memory of the core, or zero.
	 * Protected by @lock.
	 */
	u64 client;

	/** @wq: runs @run_work, @recover_work and @watchdog one at a time */
	struct workqueue_struct *wq;

	/** @run_work: starts a job that needs power or another VM first */
	struct work_struct run_work;

	/** @recover_work: gets the core back after a fault */
	struct work_struct recover_work;

	/** @watchdog: notices that there is no progress */
	struct delayed_work watchdog;

	/* What follows is protected by &npu_sched.lock. */

	/** @state: what it is good for */
	enum npu_core_state state;

	/** @powered: the driver holds a runtime PM reference for the job */
	bool powered;

	/** @started: the hardware works on the job in the run slot */
	bool started;

	/** @irq_off: the interrupt was switched off when the fault came */
	bool irq_off;

	/** @first: the first of the tasks that the hardware was given */
	u32 first;

	/** @count: how many tasks it was given: one, or a linked list */
	u32 count;

	/** @owner: &npu_ctx.fence_context of the last job that has started */
	u64 owner;

	/** @busy_ns: how long jobs have had it that left it again */
	u64 busy_ns;

	/** @progress: when the hardware last took or finished a task, jiffies */
	unsigned long progress;

	/** @watch_at: when @watchdog comes, if it is pending; jiffies */
	unsigned long watch_at;

	/** @fault: what @recover_work has to deal with */
	struct npu_core_fault fault;
};

struct npu_core *npu_core_create(struct npu_device *npu, struct device_node *node,
				 unsigned int index, unsigned int hw_index);
int npu_core_bind(struct npu_core *core, struct device *dev);
void npu_core_unbind(struct npu_core *core);

struct npu_job *npu_core_job_locked(struct npu_core *core);
void npu_core_start_locked(struct npu_core *core, u64 now);
void npu_core_end_locked(struct npu_core *core, int error);
bool npu_core_event_locked(struct npu_core *core, bool lost);
bool npu_core_progress_locked(struct npu_core *core);
void npu_core_idle_locked(struct npu_core *core);

void npu_core_reset(struct npu_core *core);
int npu_core_attach(struct npu_core *core, struct npu_vm *vm);
int npu_core_power_cycle(struct npu_core *core);

extern const struct dev_pm_ops npu_core_pm_ops;

#endif /* __NPU_CORE_H__ */
