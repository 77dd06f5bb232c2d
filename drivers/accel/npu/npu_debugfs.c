// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-resv.h>
#include <linux/jiffies.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_file.h>
#include <drm/npu_accel.h>

#include "npu_core.h"
#include "npu_ctx.h"
#include "npu_debugfs.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_job.h"
#include "npu_sram.h"
#include "npu_usage.h"
#include "npu_vm.h"

/**
 * DOC: debugfs
 *
 * Four files tell what is going on at this moment, for somebody who wonders why
 * nothing does: *sched* which job has which core and who waits for it, *contexts*
 * what each file owns and how its contexts fare, *vms* what is mapped where, and
 * *sram* who has the on-chip memory.
 *
 * None of them touches hardware or changes anything. What is under a spinlock is
 * bounded: a look must not make jobs late. Jobs are named as in trace events, by
 * client, context and job.
 */

/* Contexts that wait for a core and are listed one by one */
#define NPU_DEBUGFS_WAITING	16

static const char *const class_names[NPU_SCHED_CLASSES] = {
	[DRM_NPU_CLASS_BALANCED] = "balanced",
	[DRM_NPU_CLASS_LATENCY] = "latency",
	[DRM_NPU_CLASS_THROUGHPUT] = "throughput",
};

static const char *const state_names[] = {
	[NPU_CORE_ABSENT] = "absent",
	[NPU_CORE_READY] = "ready",
	[NPU_CORE_SUSPENDED] = "suspended",
	[NPU_CORE_DEAD] = "dead",
};

static struct npu_device *device_of(struct seq_file *m)
{
	struct drm_debugfs_entry *entry = m->private;

	return to_npu_device(entry->dev);
}

static void show_job_locked(struct seq_file *m, const char *what, struct npu_job *job)
{
	struct npu_ctx *ctx = job->ctx;

	lockdep_assert_held(&ctx->npu->sched.lock);

	seq_printf(m, "  %s job %llu.%u.%llu, %s, task %u of %u", what,
		   job->base.s_fence->drm_client_id, ctx->id, job->result.job,
		   class_names[ctx->node.sched_class], job->cur, job->num_tasks);
}

static void show_slots_locked(struct seq_file *m, struct npu_core *core, u64 now)
{
	struct npu_sched_core *slots = &core->npu->sched.cores[core->index];
	struct npu_job *run = node_to_npu_job(slots->run);
	struct npu_job *next = node_to_npu_job(slots->next);

	lockdep_assert_held(&core->npu->sched.lock);

	if (run) {
		show_job_locked(m, run->since_ns ? "runs" : "begins", run);
		if (run->since_ns)
			seq_printf(m, ", for %llu ns, last progress %u ms ago",
				   now - run->since_ns,
				   jiffies_to_msecs(jiffies - core->progress));
		seq_puts(m, "\n");
	}
	if (next) {
		show_job_locked(m, "next", next);
		seq_puts(m, "\n");
	}
}

static void show_waiting_locked(struct seq_file *m, struct npu_core *core, u64 now)
{
	struct npu_sched_core *slots = &core->npu->sched.cores[core->index];
	unsigned int count = 0;
	struct rb_node *rb;

	lockdep_assert_held(&core->npu->sched.lock);

	for (rb = rb_first_cached(&slots->waiting); rb; rb = rb_next(rb)) {
		struct npu_sched_ctx *ctx = rb_entry(rb, struct npu_sched_seat, rb)->ctx;

		if (++count > NPU_DEBUGFS_WAITING) {
			seq_puts(m, "  and more\n");
			return;
		}
		show_job_locked(m, "waiting",
				node_to_npu_job(list_first_entry(&ctx->queue,
								 struct npu_sched_job,
								 link)));
		seq_printf(m, ", since %llu ns\n", now - ctx->since);
	}
}

static int show_sched(struct seq_file *m, void *unused)
{
	struct npu_device *npu = device_of(m);
	struct npu_sched *sched = &npu->sched;

	for (unsigned int i = 0; i < npu->num_cores; i++) {
		struct npu_core *core = npu->cores[i];

		guard(spinlock_irq)(&sched->lock);

		u64 now = ktime_get_raw_ns();

		if (!i)
			seq_printf(m, "clock %llu Hz\n", npu->clock.hz);
		seq_printf(m, "core %u: %s, %s, %s", i, state_names[core->state],
			   sched->up & BIT_ULL(i) ? "takes jobs" : "takes no jobs",
			   core->powered ? "held powered" : "not held");
		if (core->fault.error)
			seq_printf(m, ", recovers from error %d", core->fault.error);
		seq_puts(m, "\n");
		show_slots_locked(m, core, now);
		show_waiting_locked(m, core, now);
	}
	return 0;
}

static void show_ctx(struct seq_file *m, struct npu_ctx *ctx)
{
	struct npu_sched_ctx *node = &ctx->node;

	guard(spinlock_irq)(&ctx->npu->sched.lock);

	seq_printf(m, "  context %u: vm %u, %s, priority %d, cores %#llx, timeout %u ms\n",
		   ctx->id, ctx->vm_id, class_names[node->sched_class], node->priority,
		   node->core_mask, ctx->timeout_ms);
	seq_printf(m, "    %d queued, %llu done, %llu failed, %llu ns of hardware, %llu ns for a job",
		   atomic_read(&ctx->queued), ctx->results.done, ctx->results.failed,
		   npu_usage_time_locked(ctx), node->mean_ns);
	if (ctx->error)
		seq_printf(m, ", banned: error %d", ctx->error);
	seq_puts(m, "\n");
}

static void show_client_name(struct seq_file *m, struct drm_file *file)
{
	struct task_struct *task;

	guard(rcu)();

	task = pid_task(rcu_dereference(file->pid), PIDTYPE_TGID);
	seq_printf(m, "client %llu, %s, pid %d", file->client_id,
		   task ? task->comm : "gone", task ? task->pid : 0);
}

static int show_contexts(struct seq_file *m, void *unused)
{
	struct npu_device *npu = device_of(m);
	struct drm_file *file;

	guard(mutex)(&npu->drm.filelist_mutex);

	list_for_each_entry(file, &npu->drm.filelist, lhead) {
		struct npu_file *nfile = file->driver_priv;
		struct npu_ctx *ctx;

		show_client_name(m, file);

		guard(mutex)(&nfile->lock);

		seq_printf(m, ": %u VMs, %u contexts, %u programs\n", nfile->num_vms,
			   nfile->num_ctxs, nfile->num_programs);
		list_for_each_entry(ctx, &nfile->all_ctxs, file_link)
			show_ctx(m, ctx);
	}
	return 0;
}

static u64 cores_with(struct npu_vm *vm)
{
	struct npu_sched *sched = &vm->npu->sched;
	u64 mask = 0;

	guard(spinlock_irq)(&sched->lock);

	for (unsigned int i = 0; i < sched->num_cores; i++)
		if (sched->cores[i].vm == vm)
			mask |= BIT_ULL(i);
	return mask;
}

static int show_vm(struct seq_file *m, struct npu_vm *vm)
{
	int ret;

	ret = dma_resv_lock_interruptible(drm_gpuvm_resv(&vm->base), NULL);
	if (ret)
		return ret;

	seq_printf(m, "%u mappings, %u of them the kernel's own, loaded on cores %#llx\n",
		   vm->num_maps, vm->num_kernel_maps, cores_with(vm));
	ret = drm_debugfs_gpuva_info(m, &vm->base);
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	seq_puts(m, "\n");
	return ret;
}

/* One after the other, and none of them held while another lock is waited for */
static struct npu_vm *next_vm(struct npu_file *file, unsigned long *id)
{
	struct npu_vm *vm;

	guard(mutex)(&file->lock);

	vm = xa_find_after(&file->vms, id, ULONG_MAX, XA_PRESENT);
	return vm ? npu_vm_get(vm) : NULL;
}

static int show_vms(struct seq_file *m, void *unused)
{
	struct npu_device *npu = device_of(m);
	struct drm_file *file;
	int ret = 0;

	guard(mutex)(&npu->drm.filelist_mutex);

	list_for_each_entry(file, &npu->drm.filelist, lhead) {
		struct npu_file *nfile = file->driver_priv;
		unsigned long id = 0;
		struct npu_vm *vm;

		while (!ret && (vm = next_vm(nfile, &id))) {
			seq_printf(m, "client %llu, vm %lu: ", file->client_id, id);
			ret = show_vm(m, vm);
			npu_vm_put(vm);
		}
	}
	return ret;
}

static int show_sram(struct seq_file *m, void *unused)
{
	struct npu_sram *sram = &device_of(m)->sram;
	struct npu_sram_mem *mem;

	guard(mutex)(&sram->lock);

	seq_printf(m, "%llu of %llu bytes in use, in %u pools%s\n", sram->used, sram->size,
		   sram->num_pools, sram->closed ? ", closed" : "");
	list_for_each_entry(mem, &sram->mems, node) {
		seq_printf(m, "%llu bytes in %u pieces, ", mem->size, mem->num_chunks);
		if (mem->priority == NPU_SRAM_PINNED)
			seq_puts(m, "pinned\n");
		else
			seq_printf(m, "preferred with priority %d\n", mem->priority);
	}
	return 0;
}

static const struct drm_debugfs_info npu_debugfs_files[] = {
	{ "sched", show_sched },
	{ "contexts", show_contexts },
	{ "vms", show_vms },
	{ "sram", show_sram },
};

/**
 * npu_debugfs_init() - add the files of the driver to those of the DRM device
 * @npu: the device; the files can be opened while it is registered
 */
void npu_debugfs_init(struct npu_device *npu)
{
	drm_debugfs_add_files(&npu->drm, npu_debugfs_files,
			      ARRAY_SIZE(npu_debugfs_files));
}
