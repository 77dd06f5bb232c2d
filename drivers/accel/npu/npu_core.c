// SPDX-License-Identifier: GPL-2.0-only

#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm_domain.h>
#include <linux/pm_runtime.h>
#include <linux/regulator/consumer.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "npu_core.h"
#include "npu_coredump.h"
#include "npu_ctx.h"
#include "npu_devfreq.h"
#include "npu_device.h"
#include "npu_fault.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_scrub.h"
#include "npu_trace.h"
#include "npu_usage.h"
#include "npu_vm.h"

/**
 * DOC: Cores
 *
 * A core has two sides. One is fast and runs under &npu_sched.lock with
 * interrupts off: the interrupt handler ends a task, starts the next one of the
 * job, or the next job, and only then signals the fence of the one that ended.
 * No thread has to wake up for that. The other side may sleep: it powers the
 * core, and it attaches the IOMMU to another address space. It is one ordered
 * workqueue per core, so starting, recovering and watching never overlap.
 *
 * The IOMMU stays attached between jobs. An attachment costs a stall of the
 * IOMMU, a reset and an empty TLB, so it is made only when the next job has
 * another VM. For the same reason, and because power domains and clocks take
 * even longer, a core that has nothing to do stays powered for a while.
 *
 * A core that has a job holds one runtime PM reference, from before the first
 * register access to after the last. An interrupt that comes while there is no
 * job (the line is shared with the IOMMU) looks at the registers only if the
 * core is powered at that moment.
 */

#define NPU_AUTOSUSPEND_MS	200
#define NPU_POWER_OFF_MS	100

static struct npu_sched_core *slots(struct npu_core *core)
{
	return &core->npu->sched.cores[core->index];
}

/**
 * npu_core_job_locked() - the job that has a core
 * @core: the core
 *
 * Return: the job, started or not, or NULL.
 */
struct npu_job *npu_core_job_locked(struct npu_core *core)
{
	lockdep_assert_held(&core->npu->sched.lock);

	return node_to_npu_job(slots(core)->run);
}

/**
 * npu_core_reset() - put a core into its initial state
 * @core: the core, powered
 *
 * The IOMMU sits in the reset domain of its core, so it forgets its page table,
 * too: npu_core_attach() has to detach it and attach it again.
 */
void npu_core_reset(struct npu_core *core)
{
	const struct npu_ip *ip = core->npu->ip;

	lockdep_assert_held(&core->lock);

	if (reset_control_bulk_assert(ip->num_resets, core->resets))
		dev_err_ratelimited(core->dev, "cannot assert resets\n");
	fsleep(ip->reset_us);
	if (reset_control_bulk_deassert(ip->num_resets, core->resets))
		dev_err_ratelimited(core->dev, "cannot deassert resets\n");

	ip->ops->init(core);
	trace_npu_reset(core);
}

static void set_vm(struct npu_core *core, struct npu_vm *vm)
{
	lockdep_assert_held(&core->lock);

	core->vm = vm;
	scoped_guard(spinlock_irq, &core->npu->sched.lock)
		slots(core)->vm = vm;
}

/**
 * npu_core_attach() - load an address space
 * @core: the core, idle
 * @vm: the address space, or NULL to forget the one that is loaded
 *
 * Return: 0, or a negative error; then no address space is loaded.
 */
int npu_core_attach(struct npu_core *core, struct npu_vm *vm)
{
	int ret;

	lockdep_assert_held(&core->lock);

	if (core->vm == vm)
		return 0;

	if (core->vm) {
		struct npu_vm *old = core->vm;

		set_vm(core, NULL);
		iommu_detach_device(old->domain, core->dev);
	}
	if (!vm)
		return 0;

	ret = iommu_attach_device(vm->domain, core->dev);
	if (ret)
		return ret;

	set_vm(core, vm);
	core->client = vm->client;
	return 0;
}

/*
 * One use of the core ends and another begins. A command stream need not write
 * all registers, and what it leaves out keeps the value it had: with the new
 * address space that would be a way to run what the old one has set up, or to
 * see it. So nothing is left behind, and nothing in memory on the chip, either,
 * when the next is another client.
 */
static int switch_vm(struct npu_core *core, struct npu_vm *vm)
{
	int ret;

	lockdep_assert_held(&core->lock);

	if (core->vm == vm)
		return 0;

	npu_core_reset(core);
	npu_core_attach(core, NULL);
	if (core->client && core->client != vm->client) {
		ret = npu_scrub_core(core);
		if (ret)
			return ret;
	}
	return npu_core_attach(core, vm);
}

/**
 * npu_core_power_cycle() - switch the power domain off and on
 * @core: the core; the driver holds one runtime PM reference
 *
 * Whether the domain really goes off is up to those who share it, and to what
 * userspace says in power/control; the caller finds out by looking at the core.
 *
 * Return: 0, or a negative error; then there is no runtime PM reference left.
 */
int npu_core_power_cycle(struct npu_core *core)
{
	int offs = atomic_read(&core->power_offs);

	lockdep_assert_held(&core->lock);

	/* The IOMMU is in the domain, too, and goes to sleep a moment later. */
	pm_runtime_put_sync_suspend(core->dev);
	if (!wait_event_timeout(core->power_wait,
				atomic_read(&core->power_offs) != offs,
				msecs_to_jiffies(NPU_POWER_OFF_MS)))
		dev_dbg(core->dev, "power domain stayed on\n");

	return pm_runtime_resume_and_get(core->dev);
}

static int power_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct npu_core *core = container_of(nb, struct npu_core, power_nb);

	if (action == GENPD_NOTIFY_OFF) {
		atomic_inc(&core->power_offs);
		wake_up_all(&core->power_wait);
	}
	return NOTIFY_OK;
}

/*
 * A context does not depend on what the streams of another one have done to the
 * registers of the core, also if both have the same address space.
 */
static void take_over_locked(struct npu_core *core, const struct npu_ctx *ctx)
{
	lockdep_assert_held(&core->npu->sched.lock);

	if (core->owner == ctx->fence_context)
		return;
	core->owner = ctx->fence_context;
	core->npu->ip->ops->forget(core);
}

/* Runs the next task of the job that has the core, or the next tasks. */
static void kick_locked(struct npu_core *core)
{
	struct npu_job *job = npu_core_job_locked(core);
	struct npu_task task = npu_job_task_locked(job, core);
	u32 count = job->linked ? npu_job_part_locked(job) : 1;

	lockdep_assert_held(&core->npu->sched.lock);

	core->npu->ip->ops->start(core, &task, count);

	/* The hardware works; who asks how far it is has to wait for the lock. */
	core->first = job->cur;
	core->count = count;
	core->progress = jiffies;
	trace_npu_task_start(core, job, count);
	npu_fault_watch_locked(core);
}

/* Runs the first task of the job that was given to a core. */
static void begin_locked(struct npu_core *core, u64 now)
{
	struct npu_job *job = npu_core_job_locked(core);

	lockdep_assert_held(&core->npu->sched.lock);

	take_over_locked(core, job->ctx);
	npu_job_begin_locked(job, core, now);
	core->started = true;
	kick_locked(core);
}

/**
 * npu_core_progress_locked() - notice tasks of a list that have ended
 * @core: the core; its registers can be read if it works on a job
 *
 * What the hardware says is not to be trusted: command streams can write its
 * counter. It cannot go back, though, nor beyond what the core was given.
 *
 * Return: true when there are more of them than the last time.
 */
bool npu_core_progress_locked(struct npu_core *core)
{
	struct npu_job *job = npu_core_job_locked(core);
	u32 finished;

	lockdep_assert_held(&core->npu->sched.lock);

	if (!core->started || core->count == 1)
		return false;

	/* The last one has ended when its interrupt comes. */
	finished = min(core->npu->ip->ops->finished(core), core->count - 1);
	if (core->first + finished <= job->cur)
		return false;

	job->cur = core->first + finished;
	core->progress = jiffies;
	return true;
}

/**
 * npu_core_start_locked() - start the job that was given to a core
 * @core: the core
 * @now: time in nanoseconds
 *
 * At once if the core has power and the right VM, otherwise from a work.
 */
void npu_core_start_locked(struct npu_core *core, u64 now)
{
	struct npu_sched_core *s = slots(core);

	lockdep_assert_held(&core->npu->sched.lock);

	if (s->vm == s->run->ctx->vm) {
		if (!core->powered)
			core->powered = pm_runtime_get_if_active(core->dev) > 0;
		if (core->powered) {
			begin_locked(core, now);
			return;
		}
	}
	queue_work(core->wq, &core->run_work);
}

/**
 * npu_core_idle_locked() - a core has nothing to do
 * @core: the core
 */
void npu_core_idle_locked(struct npu_core *core)
{
	lockdep_assert_held(&core->npu->sched.lock);

	if (!core->powered)
		return;
	core->powered = false;
	pm_runtime_put_autosuspend(core->dev);
}

/* The job that had the core has left it: who is next? */
static void start_next_locked(struct npu_core *core, u64 now)
{
	lockdep_assert_held(&core->npu->sched.lock);

	if (npu_sched_start(&core->npu->sched, core->index, false, now))
		npu_core_start_locked(core, now);
	else
		npu_core_idle_locked(core);
}

/*
 * Between two tasks: the job goes on, unless somebody else should have the core
 * or its next task needs what the last one has left there.
 */
static void continue_locked(struct npu_core *core, struct npu_job *job)
{
	struct npu_sched *sched = &core->npu->sched;
	u64 now, ran;

	lockdep_assert_held(&sched->lock);

	if (job->linked)
		npu_job_part_done_locked(job, core->count);

	if (npu_sched_wanted(sched, core->index) && !job->tasks[job->cur].follows) {
		now = ktime_get_raw_ns();
		ran = now - job->since_ns;
		if (npu_sched_must_yield(sched, core->index, ran, now)) {
			core->started = false;
			npu_job_leave_locked(job, now);
			npu_usage_count_locked(job, ran);
			trace_npu_job_yield(core, job);
			npu_sched_yield(sched, core->index, ran, now);
			start_next_locked(core, now);
			npu_device_schedule_locked(core->npu);
			return;
		}
	}
	kick_locked(core);
}

/**
 * npu_core_end_locked() - end the job that has a core, start the next one
 * @core: the core, not working any more
 * @error: result of the job
 *
 * The next job comes first, those who wait for the fence second.
 */
void npu_core_end_locked(struct npu_core *core, int error)
{
	struct npu_device *npu = core->npu;
	struct npu_job *job = npu_core_job_locked(core);
	u64 now = ktime_get_raw_ns(), ran;

	lockdep_assert_held(&npu->sched.lock);

	core->started = false;
	ran = npu_job_leave_locked(job, now);
	job->result.end_ns = now;
	npu_sched_done(&npu->sched, core->index, ran, now);
	start_next_locked(core, now);

	npu_usage_count_locked(job, ran);
	npu_job_finish_locked(job, error);
	npu_device_schedule_locked(npu);
}

/**
 * npu_core_event_locked() - deal with what a core reports
 * @core: the core, powered
 * @lost: there was no interrupt; look whether there should have been one
 *
 * Return: true when the core had something to report.
 */
bool npu_core_event_locked(struct npu_core *core, bool lost)
{
	struct npu_job *job = core->started ? npu_core_job_locked(core) : NULL;
	u32 events;

	lockdep_assert_held(&core->npu->sched.lock);

	events = core->npu->ip->ops->irq(core, job ? &job->tasks[job->cur] : NULL,
					 lost);
	if (!events)
		return false;

	/* Too late: it is nobody's, or its job is lost already. */
	if (!job || core->fault.error)
		return true;

	if (events & NPU_EVENT_STREAM) {
		npu_fault_stream_locked(core);
	} else if (events & NPU_EVENT_ERROR) {
		npu_fault_raise_locked(core, -EIO);
	} else if (events & NPU_EVENT_DONE) {
		job->cur = core->first + core->count;
		if (job->cur < job->num_tasks)
			continue_locked(core, job);
		else
			npu_core_end_locked(core, 0);
	}
	return true;
}

static irqreturn_t npu_core_irq(int irq, void *data)
{
	struct npu_core *core = data;
	bool borrowed = false, raised = false;

	guard(spinlock)(&core->npu->sched.lock);

	if (!core->powered) {
		if (pm_runtime_get_if_active(core->dev) <= 0)
			return IRQ_NONE;
		borrowed = true;
	}

	raised = npu_core_event_locked(core, false);
	if (borrowed)
		pm_runtime_put_autosuspend(core->dev);

	return IRQ_RETVAL(raised);
}

/* Is there a job that waits for power or its VM? */
static bool must_start_locked(struct npu_core *core)
{
	struct npu_sched *sched = &core->npu->sched;

	lockdep_assert_held(&sched->lock);

	return (sched->up & BIT_ULL(core->index)) && slots(core)->run &&
	       !core->started && !core->fault.error;
}

/*
 * Only works of the same queue, and those who have cancelled this one before,
 * take a job out of the run slot, so it stays while this function has it.
 *
 * Powering the core and attaching the IOMMU are part of what fences wait for,
 * but take locks of the clock, power and IOMMU cores, under which others
 * allocate; so they are outside of the annotated section. They do not allocate
 * on this path.
 */
static void npu_core_run_work(struct work_struct *work)
{
	struct npu_core *core = container_of(work, struct npu_core, run_work);
	struct npu_sched *sched = &core->npu->sched;
	struct npu_vm *vm = NULL;
	bool powered, cookie;
	int ret = 0;
	u64 now;

	guard(mutex)(&core->lock);

	scoped_guard(spinlock_irq, &sched->lock) {
		if (must_start_locked(core))
			vm = npu_core_job_locked(core)->ctx->vm;
		powered = core->powered;
	}
	if (!vm)
		return;

	if (!powered)
		ret = pm_runtime_resume_and_get(core->dev);
	powered = !ret;
	if (!ret)
		ret = switch_vm(core, vm);

	cookie = dma_fence_begin_signalling();
	scoped_guard(spinlock_irq, &sched->lock) {
		core->powered = powered;
		if (!must_start_locked(core)) {
			npu_core_idle_locked(core);
		} else if (ret) {
			npu_fault_raise_locked(core, ret);
		} else {
			now = ktime_get_raw_ns();
			begin_locked(core, now);
			npu_sched_fill(sched, core->index, now);
		}
	}
	dma_fence_end_signalling(cookie);
}

static int get_resources(struct npu_core *core)
{
	const struct npu_ip *ip = core->npu->ip;
	struct device *dev = core->dev;
	int ret;

	for (unsigned int i = 0; i < ip->num_clks; i++)
		core->clks[i] = (struct clk_bulk_data){ .id = ip->clks[i] };
	ret = devm_clk_bulk_get(dev, ip->num_clks, core->clks);
	if (ret)
		return dev_err_probe(dev, ret, "cannot get clocks\n");

	for (unsigned int i = 0; i < ip->num_resets; i++)
		core->resets[i] = (struct reset_control_bulk_data){ .id = ip->resets[i] };
	ret = devm_reset_control_bulk_get_exclusive(dev, ip->num_resets, core->resets);
	if (ret)
		return dev_err_probe(dev, ret, "cannot get resets\n");

	/*
	 * The power domain has to find its supply on whenever it goes on, so
	 * the supplies do not follow runtime PM.
	 */
	ret = devm_regulator_bulk_get_enable(dev, ip->num_supplies, ip->supplies);
	if (ret)
		return dev_err_probe(dev, ret, "cannot enable supplies\n");

	core->irq = platform_get_irq(to_platform_device(dev), 0);
	if (core->irq < 0)
		return core->irq;

	if (!device_iommu_mapped(dev))
		return dev_err_probe(dev, -ENODEV, "no IOMMU\n");

	ret = ip->ops->bind(core);
	if (ret)
		return dev_err_probe(dev, ret, "cannot map registers\n");

	return 0;
}

/* Powered up for the first time: is this what we think it is? */
static int first_contact(struct npu_core *core)
{
	const struct npu_ip *ip = core->npu->ip;
	u32 version;
	int ret;

	npu_core_reset(core);
	ret = ip->ops->verify(core);
	if (ret)
		return dev_err_probe(core->dev, ret, "core does not work\n");

	version = ip->ops->version(core);
	dev_info(core->dev, "core %u, version %#x\n", core->index, version);
	core->npu->hw_version = version;
	npu_usage_set_rate(core->npu, clk_get_rate(core->clks[ip->compute_clk].clk));
	return 0;
}

static void power_off(struct npu_core *core)
{
	pm_runtime_dont_use_autosuspend(core->dev);
	pm_runtime_force_suspend(core->dev);
}

/* Under core->lock, with no job anywhere near. */
static int bind_locked(struct npu_core *core)
{
	struct device *dev = core->dev;
	int ret;

	lockdep_assert_held(&core->lock);

	ret = get_resources(core);
	if (ret)
		return ret;

	dev_set_drvdata(dev, core);
	pm_runtime_set_autosuspend_delay(dev, NPU_AUTOSUSPEND_MS);
	pm_runtime_use_autosuspend(dev);
	pm_runtime_enable(dev);

	ret = pm_runtime_resume_and_get(dev);
	if (ret) {
		dev_err_probe(dev, ret, "cannot power the core\n");
		goto err_off;
	}

	ret = first_contact(core);
	if (ret)
		goto err_put;

	ret = request_irq(core->irq, npu_core_irq, IRQF_SHARED, dev_name(dev), core);
	if (ret) {
		dev_err_probe(dev, ret, "cannot get interrupt\n");
		goto err_put;
	}

	/* Not every device has a power domain; then there is none to watch. */
	dev_pm_genpd_add_notifier(dev, &core->power_nb);
	pm_runtime_put_autosuspend(dev);
	return 0;

err_put:
	pm_runtime_put_noidle(dev);
err_off:
	power_off(core);
	return ret;
}

/**
 * npu_core_bind() - put hardware behind a core
 * @core: the core
 * @dev: the hardware
 *
 * Return: 0, or a negative error.
 */
int npu_core_bind(struct npu_core *core, struct device *dev)
{
	struct npu_sched *sched = &core->npu->sched;
	int ret;

	guard(mutex)(&core->lock);

	core->dev = dev;
	ret = bind_locked(core);
	if (ret) {
		core->dev = NULL;
		return ret;
	}

	scoped_guard(spinlock_irq, &sched->lock) {
		core->fault = (struct npu_core_fault){ };
		core->state = NPU_CORE_READY;
		sched->up |= BIT_ULL(core->index);
		sched->present |= BIT_ULL(core->index);
		npu_device_schedule_locked(core->npu);
	}
	return 0;
}

/* Ends the use of a core that nobody gives jobs to any more. */
static void drain(struct npu_core *core)
{
	struct npu_sched *sched = &core->npu->sched;
	bool powered, irq_off, cookie;

	lockdep_assert_held(&core->lock);

	/* With that the interrupt handlers, the IOMMU's included, are through. */
	disable_irq(core->irq);
	scoped_guard(spinlock_irq, &sched->lock)
		powered = core->powered;
	if (powered)
		npu_core_reset(core);
	npu_core_attach(core, NULL);

	cookie = dma_fence_begin_signalling();
	scoped_guard(spinlock_irq, &sched->lock) {
		npu_sched_requeue(sched, core->index, !core->started);
		if (core->started)
			npu_core_end_locked(core, -ENODEV);
		npu_core_idle_locked(core);
		npu_sched_strand(sched);
		npu_device_schedule_locked(core->npu);
		irq_off = core->irq_off;
		core->irq_off = false;
	}
	dma_fence_end_signalling(cookie);

	if (irq_off)
		enable_irq(core->irq);
	enable_irq(core->irq);
}

/**
 * npu_core_unbind() - take the hardware away from a core
 * @core: the core
 *
 * A job that runs on it is stopped and ends with -ENODEV: what it has written
 * so far cannot be undone, so it cannot be started again elsewhere. Jobs that
 * have not started go to other cores.
 */
void npu_core_unbind(struct npu_core *core)
{
	struct npu_sched *sched = &core->npu->sched;

	scoped_guard(spinlock_irq, &sched->lock) {
		core->state = NPU_CORE_ABSENT;
		sched->up &= ~BIT_ULL(core->index);
		sched->present &= ~BIT_ULL(core->index);
	}

	/* A recovery under way is to end, whatever it leads to. */
	cancel_work_sync(&core->run_work);
	flush_work(&core->recover_work);
	npu_coredump_flush(core->npu);

	scoped_guard(mutex, &core->lock) {
		drain(core);
		free_irq(core->irq, core);
		dev_pm_genpd_remove_notifier(core->dev);
		power_off(core);
		core->dev = NULL;
	}

	/* Nobody queues these any more; what is queued does nothing. */
	cancel_delayed_work_sync(&core->watchdog);
	cancel_work_sync(&core->recover_work);
}

static void npu_core_destroy(struct drm_device *drm, void *data)
{
	struct npu_core *core = data;

	destroy_workqueue(core->wq);
	mutex_destroy(&core->lock);
	of_node_put(core->iommu_node);
	of_node_put(core->node);
}

/**
 * npu_core_create() - make a core without hardware
 * @npu: the device it belongs to
 * @node: its device tree node
 * @index: its number for userspace
 * @hw_index: its number for the hardware
 *
 * Return: the core, which goes away with the DRM device, or an error pointer.
 */
struct npu_core *npu_core_create(struct npu_device *npu, struct device_node *node,
				 unsigned int index, unsigned int hw_index)
{
	struct npu_core *core;
	int ret;

	core = drmm_kzalloc(&npu->drm, sizeof(*core), GFP_KERNEL);
	if (!core)
		return ERR_PTR(-ENOMEM);

	/* Fences wait for what runs here, so it needs a rescuer. */
	core->wq = alloc_ordered_workqueue("npu-core%u", WQ_MEM_RECLAIM | WQ_HIGHPRI,
					   index);
	if (!core->wq)
		return ERR_PTR(-ENOMEM);

	core->npu = npu;
	core->index = index;
	core->hw_index = hw_index;
	core->node = of_node_get(node);
	core->iommu_node = of_parse_phandle(node, "iommus", 0);
	mutex_init(&core->lock);
	init_waitqueue_head(&core->power_wait);
	core->power_nb.notifier_call = power_notify;
	INIT_WORK(&core->run_work, npu_core_run_work);
	INIT_WORK(&core->recover_work, npu_fault_recover_work);
	INIT_DELAYED_WORK(&core->watchdog, npu_fault_watchdog_work);

	ret = drmm_add_action_or_reset(&npu->drm, npu_core_destroy, core);
	if (ret)
		return ERR_PTR(ret);

	return core;
}

static int npu_core_runtime_suspend(struct device *dev)
{
	struct npu_core *core = dev_get_drvdata(dev);

	npu_devfreq_core_off(core);
	clk_bulk_disable_unprepare(core->npu->ip->num_clks, core->clks);
	trace_npu_power(core, false);
	return 0;
}

static int npu_core_runtime_resume(struct device *dev)
{
	struct npu_core *core = dev_get_drvdata(dev);
	int ret;

	ret = clk_bulk_prepare_enable(core->npu->ip->num_clks, core->clks);
	if (ret)
		return ret;

	core->npu->ip->ops->init(core);
	trace_npu_power(core, true);
	npu_devfreq_core_on(core);
	return 0;
}

/* Waits for the job that has the core; false when it takes too long. */
static bool wait_for_job(struct npu_core *core)
{
	unsigned long end = jiffies + msecs_to_jiffies(NPU_TIMEOUT_MS);

	while (READ_ONCE(core->started)) {
		if (time_after(jiffies, end))
			return false;
		usleep_range(200, 1000);
	}
	return true;
}

/*
 * Nobody can refuse the system its sleep: a job that does not end soon is
 * stopped, as if its owner had been killed.
 */
static int npu_core_suspend(struct device *dev)
{
	struct npu_core *core = dev_get_drvdata(dev);
	struct npu_sched *sched = &core->npu->sched;
	int ret;

	scoped_guard(spinlock_irq, &sched->lock) {
		sched->up &= ~BIT_ULL(core->index);
		if (core->state == NPU_CORE_READY)
			core->state = NPU_CORE_SUSPENDED;
	}
	flush_work(&core->run_work);

	if (!wait_for_job(core)) {
		scoped_guard(spinlock_irq, &sched->lock)
			if (core->started)
				npu_fault_raise_locked(core, -ECANCELED);
	}
	flush_work(&core->recover_work);
	cancel_delayed_work_sync(&core->watchdog);

	scoped_guard(spinlock_irq, &sched->lock) {
		npu_sched_requeue(sched, core->index, true);
		npu_core_idle_locked(core);
	}

	ret = pm_runtime_force_suspend(dev);
	if (ret)
		dev_err(dev, "cannot suspend: %d\n", ret);
	return ret;
}

static int npu_core_resume(struct device *dev)
{
	struct npu_core *core = dev_get_drvdata(dev);
	struct npu_sched *sched = &core->npu->sched;
	int ret;

	ret = pm_runtime_force_resume(dev);
	if (ret)
		return ret;

	guard(spinlock_irq)(&sched->lock);
	if (core->state == NPU_CORE_SUSPENDED) {
		core->state = NPU_CORE_READY;
		sched->up |= BIT_ULL(core->index);
		npu_device_schedule_locked(core->npu);
	}
	return 0;
}

const struct dev_pm_ops npu_core_pm_ops = {
	RUNTIME_PM_OPS(npu_core_runtime_suspend, npu_core_runtime_resume, NULL)
	SYSTEM_SLEEP_PM_OPS(npu_core_suspend, npu_core_resume)
};
