// SPDX-License-Identifier: GPL-2.0-only

#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/pm_runtime.h>
#include <linux/string_choices.h>
#include <linux/timekeeping.h>

#include <drm/drm_print.h>

#include "npu_core.h"
#include "npu_coredump.h"
#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_fault.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_scrub.h"
#include "npu_trace.h"
#include "npu_usage.h"
#include "npu_vm.h"

/**
 * DOC: Faults and recovery
 *
 * Three things tell that a job went wrong: its core reports an error (or does
 * what it would do only after a command stream has changed registers that are
 * the kernel's), the IOMMU reports an access that its VM does not allow, or there
 * is no progress. The first two come as interrupts, the third from a watchdog that looks at the
 * time of the last task that was started or ended; a job that waits for a core
 * or for its dependencies cannot be hung. The tasks of a linked list end without
 * an interrupt, so the watchdog counts them, and its time begins anew when there
 * are more than the last time.
 *
 * All of them note the cause and leave the rest to one work per core. It first
 * silences the interrupt line and takes back what has not started. Then it
 * climbs a ladder until the core proves that it works: reset the core, and if
 * that does not do, switch its power domain off and on. The reset comes before
 * anything that concerns the IOMMU, because an IOMMU cannot stall a core that
 * is stuck in the middle of an access; and because both share a reset domain,
 * the IOMMU has to be set up again in any case. Only when nothing of the guilty
 * job can reach memory any more, its fence is signalled.
 *
 * The context of the guilty job is banned. No other job notices: those of other
 * contexts stay where they are in their queues. A core that cannot be recovered
 * is dead, and its jobs go to the other cores.
 *
 * There is no need to tell a late interrupt of a dead job from one of its
 * successor: the line is off from the moment the old job is taken off the core,
 * and the reset clears what it may have raised.
 */

/**
 * struct npu_recovery - a recovery under way
 */
struct npu_recovery {
	/** @fault: what it is about */
	struct npu_core_fault fault;

	/** @guilty: the job that the core was working on, or NULL */
	struct npu_job *guilty;

	/** @powered: the driver holds a runtime PM reference */
	bool powered;

	/** @irq_off: the interrupt was switched off when the fault came */
	bool irq_off;
};

/**
 * npu_fault_raise_locked() - something is wrong with what a core does
 * @core: the core
 * @error: what its job gets, unless something else was wrong first
 */
void npu_fault_raise_locked(struct npu_core *core, int error)
{
	lockdep_assert_held(&core->npu->sched.lock);

	if (core->fault.error)
		return;
	npu_core_progress_locked(core);
	core->fault.error = error;
	trace_npu_fault(core, core->started ? npu_core_job_locked(core) : NULL);
	queue_work(core->wq, &core->recover_work);
}

/**
 * npu_fault_stream_locked() - a command stream has changed what is the kernel's
 * @core: the core that works on it
 */
void npu_fault_stream_locked(struct npu_core *core)
{
	lockdep_assert_held(&core->npu->sched.lock);

	if (core->fault.error)
		return;
	core->fault.flags = DRM_NPU_FAULT_STREAM;
	npu_fault_raise_locked(core, -EIO);
}

static struct npu_core *find_core(struct npu_device *npu, struct device *iommu)
{
	for (unsigned int i = 0; i < npu->num_cores; i++) {
		struct npu_core *core = npu->cores[i];

		if (core->iommu_node && core->iommu_node == iommu->of_node)
			return core;
	}
	return NULL;
}

/**
 * npu_fault_iommu() - the IOMMU reports an access that its VM does not allow
 * @domain: the page table
 * @dev: the IOMMU
 * @va: the address
 * @flags: IOMMU_FAULT_READ or IOMMU_FAULT_WRITE
 * @token: the VM
 *
 * Called from the interrupt handler of the IOMMU, whose line is that of the
 * core. The line goes off: hardware that tries again would raise the fault
 * again, for as long as it takes to get to the reset.
 *
 * Return: 0
 */
int npu_fault_iommu(struct iommu_domain *domain, struct device *dev,
		    unsigned long va, int flags, void *token)
{
	struct npu_vm *vm = token;
	struct npu_core *core;

	guard(spinlock_irqsave)(&vm->npu->sched.lock);

	core = find_core(vm->npu, dev);
	if (!core || core->fault.error)
		return 0;

	core->fault.va = va;
	core->fault.flags = flags & IOMMU_FAULT_WRITE ? DRM_NPU_FAULT_WRITE : 0;
	core->irq_off = true;
	disable_irq_nosync(core->irq);
	npu_fault_raise_locked(core, -EFAULT);
	return 0;
}

static unsigned long limit_locked(struct npu_core *core)
{
	struct npu_job *job = npu_core_job_locked(core);

	lockdep_assert_held(&core->npu->sched.lock);

	return core->progress + msecs_to_jiffies(job->ctx->timeout_ms);
}

/**
 * npu_fault_watch_locked() - watch the job that a core works on
 * @core: the core
 *
 * Most of the time the watchdog is pending, and then this does nothing: it looks
 * at the time of the last progress when it comes.
 */
void npu_fault_watch_locked(struct npu_core *core)
{
	unsigned long end = limit_locked(core);

	lockdep_assert_held(&core->npu->sched.lock);

	if (delayed_work_pending(&core->watchdog) &&
	    time_before_eq(core->watch_at, end))
		return;
	core->watch_at = end;
	mod_delayed_work(core->wq, &core->watchdog, end - jiffies);
}

/**
 * npu_fault_watchdog_work() - is there progress?
 * @work: &npu_core.watchdog
 */
void npu_fault_watchdog_work(struct work_struct *work)
{
	struct npu_core *core = container_of(to_delayed_work(work), struct npu_core,
					     watchdog);
	bool cookie;

	cookie = dma_fence_begin_signalling();
	scoped_guard(spinlock_irq, &core->npu->sched.lock) {
		if (!core->started || core->fault.error)
			break;

		if (time_before(jiffies, limit_locked(core)))
			npu_fault_watch_locked(core);
		else if (core->npu->ip->ops->tampered(core))
			npu_fault_stream_locked(core);
		else if (npu_core_event_locked(core, true))
			dev_warn_ratelimited(core->dev, "interrupt was lost\n");
		else if (npu_core_progress_locked(core))
			npu_fault_watch_locked(core);
		else
			npu_fault_raise_locked(core, -ETIME);
	}
	dma_fence_end_signalling(cookie);
}

/*
 * Does the core work again? Taking the old address space away is part of the
 * question, since that is when the IOMMU gets its registers written. The answer
 * that counts is the result of a task.
 */
static int prove(struct npu_core *core, struct npu_vm *vm)
{
	int ret;

	npu_core_reset(core);
	npu_core_attach(core, NULL);

	ret = core->npu->ip->ops->verify(core);
	if (ret)
		return ret;
	if (core->npu->ip->ops->version(core) != core->npu->hw_version)
		return -EIO;
	ret = npu_scrub_core(core);
	if (ret)
		return ret;

	return vm ? npu_core_attach(core, vm) : 0;
}

/*
 * One rung after the other. On success the driver holds a runtime PM reference,
 * otherwise it does not.
 */
static int climb(struct npu_core *core, bool powered)
{
	struct npu_vm *vm = core->vm;
	int ret;

	if (!powered) {
		ret = pm_runtime_resume_and_get(core->dev);
		if (ret)
			return ret;
	}

	ret = prove(core, vm);
	if (!ret)
		return 0;

	dev_warn_ratelimited(core->dev, "reset did not help, cycling power\n");
	ret = npu_core_power_cycle(core);
	if (ret)
		return ret;

	ret = prove(core, vm);
	if (ret)
		pm_runtime_put_autosuspend(core->dev);
	return ret;
}

static void report(struct npu_core *core, const struct npu_recovery *rec)
{
	const struct npu_core_fault *fault = &rec->fault;
	u64 client = 0;
	u32 task = 0;

	if (rec->guilty) {
		client = rec->guilty->base.s_fence->drm_client_id;
		task = rec->guilty->cur;
	}

	switch (fault->error) {
	case -EFAULT:
		dev_warn_ratelimited(core->dev, "client %llu, task %u: cannot %s %#llx\n",
				     client, task,
				     str_write_read(fault->flags & DRM_NPU_FAULT_WRITE),
				     fault->va);
		break;
	case -ETIME:
		dev_warn_ratelimited(core->dev, "client %llu, task %u: no progress\n",
				     client, task);
		break;
	default:
		dev_warn_ratelimited(core->dev, "client %llu, task %u: error %d%s\n",
				     client, task, fault->error,
				     fault->flags & DRM_NPU_FAULT_STREAM ?
				     ", by its stream" : "");
	}
}

/* Ends the guilty job, and with it the others of its context. */
static void condemn_locked(struct npu_core *core,
			   const struct npu_core_fault *fault)
{
	struct npu_device *npu = core->npu;
	struct npu_job *job = npu_core_job_locked(core);
	struct npu_ctx *ctx = job->ctx;
	u64 now = ktime_get_raw_ns(), ran;
	LIST_HEAD(others);

	lockdep_assert_held(&npu->sched.lock);

	core->started = false;
	ran = npu_job_leave_locked(job, now);
	npu_usage_count_locked(job, ran);
	job->result.end_ns = now;
	npu_sched_done(&npu->sched, core->index, ran, now);

	/* Stopped for the sake of the system is no guilt. */
	if (fault->error != -ECANCELED) {
		npu_job_blame_locked(job, fault);
		npu_sched_purge(&npu->sched, &ctx->node, &others);
	}
	npu_job_finish_locked(job, fault->error);
	npu_job_finish_list_locked(npu, &others, -ECANCELED);
}

/* The core is quiet, working or not: on with the jobs. */
static void settle(struct npu_core *core, const struct npu_core_fault *fault,
		   bool alive)
{
	struct npu_sched *sched = &core->npu->sched;

	guard(spinlock_irq)(&sched->lock);

	trace_npu_recovered(core, alive);
	core->powered = alive;
	core->fault = (struct npu_core_fault){ };
	if (core->started)
		condemn_locked(core, fault);

	if (!alive) {
		if (core->state != NPU_CORE_ABSENT)
			core->state = NPU_CORE_DEAD;
		sched->present &= ~BIT_ULL(core->index);
	} else if (core->state == NPU_CORE_READY) {
		sched->up |= BIT_ULL(core->index);
	}
	npu_sched_strand(sched);
	npu_device_schedule_locked(core->npu);
	if (!npu_core_job_locked(core))
		npu_core_idle_locked(core);
}

/*
 * First half: nothing may happen on the core behind our back, and what has not
 * started need not wait for us.
 */
static void isolate(struct npu_core *core, struct npu_recovery *rec)
{
	struct npu_sched *sched = &core->npu->sched;

	disable_irq(core->irq);

	guard(spinlock_irq)(&sched->lock);

	rec->fault = core->fault;
	rec->powered = core->powered;
	rec->irq_off = core->irq_off;
	core->irq_off = false;
	if (!rec->fault.error)
		return;

	sched->up &= ~BIT_ULL(core->index);
	npu_sched_requeue(sched, core->index, !core->started);
	npu_device_schedule_locked(core->npu);
	/* It stays until it is condemned. */
	rec->guilty = npu_core_job_locked(core);
}

/**
 * npu_fault_recover_work() - get a core back after a fault
 * @work: &npu_core.recover_work
 */
void npu_fault_recover_work(struct work_struct *work)
{
	struct npu_core *core = container_of(work, struct npu_core, recover_work);
	struct npu_recovery rec = { };
	bool cookie;
	int ret = 0;

	guard(mutex)(&core->lock);

	if (!core->dev)
		return;

	isolate(core, &rec);
	if (rec.fault.error) {
		report(core, &rec);
		if (rec.guilty && rec.fault.error != -ECANCELED)
			npu_coredump_take(core, &rec.fault, rec.guilty);
		ret = climb(core, rec.powered);
		if (ret)
			dev_err(core->dev, "core is dead: %d\n", ret);

		cookie = dma_fence_begin_signalling();
		settle(core, &rec.fault, !ret);
		dma_fence_end_signalling(cookie);
	}

	if (rec.irq_off)
		enable_irq(core->irq);
	/* The line of a dead core may be stuck; it stays off. */
	if (!ret)
		enable_irq(core->irq);
	else
		core->irq_off = true;
}
