// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-fence.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "npu_core.h"
#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_program.h"
#include "npu_result.h"
#include "npu_trace.h"

/**
 * DOC: Jobs
 *
 * A job is made by a submit and belongs to the DRM scheduler of its context
 * from the moment it is pushed. When its dependencies are met, the scheduler
 * calls run_job, which hands it to the policy; from there it gets to a core,
 * now or later. Its end is the signal of its hardware fence, with the result as
 * the error of the fence, and after that signal nobody but the DRM scheduler
 * may touch it. What there is to tell about a job is written down before that.
 *
 * Everything a job needs is allocated when it is made. That includes the
 * hardware fence, whose allocation in run_job could wait for the very fences it
 * is about to signal. The fence has its own lock and no release callback, so
 * it outlives this module if it has to.
 *
 * When the command streams of a job are linked, the hardware goes from one task
 * to the next, and nobody can stop it in between. So the job runs as a whole only
 * while its context is the only one there is. Otherwise it is run in parts that
 * take about &NPU_SCHED_PART_NS each, as far as that can be told from the tasks
 * it has run so far, and its core may be given to others in between. Starting a
 * part costs as much as starting a task, so parts need not have many tasks; that
 * they have not also bounds for how long a job can keep a core whose tasks
 * suddenly take a long time.
 *
 * Whoever waits for a fence may say until when it should be signalled. The DRM
 * scheduler keeps that for jobs that it has not handed over, and tells the
 * hardware fence then; from there it goes to the policy and to the clock.
 *
 * The DRM scheduler's timeouts are not used. They start when a job is handed
 * over and cannot tell a job that waits for a core from one that hangs; the
 * watchdog of the core can.
 */

/**
 * struct npu_fence - what the hardware signals
 */
struct npu_fence {
	/** @base: the fence; first, since that is what gets freed */
	struct dma_fence base;

	/** @npu: the device, which is there until the fence is signalled */
	struct npu_device *npu;

	/** @job: the job, which is there until the fence is signalled */
	struct npu_job *job;
};

static_assert(offsetof(struct npu_fence, base) == 0);

static const char *npu_fence_driver_name(struct dma_fence *fence)
{
	return "npu";
}

static const char *npu_fence_timeline_name(struct dma_fence *fence)
{
	return "npu-ctx";
}

/* Deadlines are on CLOCK_MONOTONIC, the policy has a clock that nobody adjusts. */
static u64 deadline_to_raw(ktime_t deadline)
{
	ktime_t now = ktime_get();

	return ktime_get_raw_ns() +
	       (ktime_after(deadline, now) ? ktime_to_ns(ktime_sub(deadline, now)) : 0);
}

/*
 * Under the RCU read lock, by somebody who has seen that the fence was not
 * signalled; so the device, which waits for such readers, is still there.
 */
static void npu_fence_set_deadline(struct dma_fence *base, ktime_t deadline)
{
	struct npu_fence *fence = container_of(base, struct npu_fence, base);
	struct npu_device *npu = fence->npu;
	u64 raw = deadline_to_raw(deadline);

	guard(spinlock_irqsave)(&npu->sched.lock);

	/* Fences are signalled under the lock. */
	if (dma_fence_test_signaled_flag(base))
		return;
	npu_sched_deadline(&npu->sched, &fence->job->node, raw);
	npu_devfreq_boost_locked(npu, deadline);
	npu_device_schedule_locked(npu);
}

static const struct dma_fence_ops npu_fence_ops = {
	.get_driver_name = npu_fence_driver_name,
	.get_timeline_name = npu_fence_timeline_name,
	.set_deadline = npu_fence_set_deadline,
};

static void uncount(struct npu_job *job)
{
	if (job->counted) {
		atomic_sub(job->num_own_tasks, &job->ctx->queued_tasks);
		atomic_dec(&job->ctx->queued);
	}
	job->counted = false;
}

static void destroy(struct npu_job *job)
{
	if (dma_fence_was_initialized(&job->fence->base))
		dma_fence_put(&job->fence->base);
	else
		kfree(job->fence);
	npu_program_put(job->program);
	npu_ctx_put(job->ctx);
	kfree(job->values);
	kvfree(job);
}

/**
 * npu_job_create() - make a job
 * @ctx: the context it is for
 * @num_tasks: tasks of its own; the caller fills them in
 * @client_id: &drm_file.client_id of the owner
 *
 * It gets its id when it is armed.
 *
 * Return: the job, or an error pointer.
 */
struct npu_job *npu_job_create(struct npu_ctx *ctx, u32 num_tasks, u64 client_id)
{
	struct npu_job *job;
	int ret = -ENOMEM;

	job = kvzalloc(struct_size(job, own_tasks, num_tasks), GFP_KERNEL_ACCOUNT);
	if (!job)
		return ERR_PTR(-ENOMEM);
	job->num_own_tasks = num_tasks;
	job->num_tasks = num_tasks;
	job->tasks = job->own_tasks;

	job->fence = kzalloc_obj(*job->fence, GFP_KERNEL_ACCOUNT);
	if (!job->fence)
		goto err_free;
	job->fence->npu = ctx->npu;
	job->fence->job = job;

	ret = drm_sched_job_init(&job->base, &ctx->entity, 1, ctx, client_id);
	if (ret)
		goto err_free_fence;

	npu_sched_job_init(&job->node, &ctx->node);
	job->ctx = npu_ctx_get(ctx);
	return job;

err_free_fence:
	kfree(job->fence);
err_free:
	kvfree(job);
	return ERR_PTR(ret);
}

/**
 * npu_job_set_program() - let a job run a program
 * @job: a job without tasks
 * @program: the program; the reference is taken over
 * @values: one for each of its patches, or NULL; freed with the job
 */
void npu_job_set_program(struct npu_job *job, struct npu_program *program, u32 *values)
{
	job->program = program;
	job->values = values;
	job->tasks = program->tasks;
	job->num_tasks = program->num_tasks;
	job->linked = program->linked;
}

/**
 * npu_job_cancel() - throw away a job that was never armed
 * @job: the job
 */
void npu_job_cancel(struct npu_job *job)
{
	drm_sched_job_cleanup(&job->base);
	uncount(job);
	destroy(job);
}

/**
 * npu_job_begin_locked() - a core begins to work on a job
 * @job: the job
 * @core: the core
 * @now: time in nanoseconds
 */
void npu_job_begin_locked(struct npu_job *job, struct npu_core *core, u64 now)
{
	lockdep_assert_held(&job->ctx->npu->sched.lock);

	job->since_ns = now;
	if (!job->result.start_ns)
		job->result.start_ns = now;
	job->result.core = core->index;
	if (job->program)
		npu_program_patch_locked(job->program, core->index, job->values);
}

/**
 * npu_job_task_locked() - the task of a job that runs or comes next
 * @job: the job
 * @core: the core that has it
 *
 * Return: the task, as that core has to run it.
 */
struct npu_task npu_job_task_locked(const struct npu_job *job,
				    const struct npu_core *core)
{
	struct npu_task task = job->tasks[job->cur];

	lockdep_assert_held(&core->npu->sched.lock);

	if (job->program)
		task.cmd_va += npu_program_base(job->program, core->index);
	return task;
}

/* How many tasks of a linked job may run before others can have the core? */
static u32 part_of(const struct npu_job *job)
{
	if (atomic_read(&job->ctx->npu->num_ctxs) == 1)
		return U32_MAX;
	return npu_sched_part(job->task_ns);
}

/**
 * npu_job_part_locked() - begin the next part of a linked job
 * @job: the job
 *
 * Return: how many tasks to run now.
 */
u32 npu_job_part_locked(struct npu_job *job)
{
	u32 left = min(job->num_tasks - job->cur, job->ctx->npu->ip->max_linked);

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	job->part_ns = ktime_get_raw_ns();
	return npu_tasks_cut(&job->tasks[job->cur], left, part_of(job));
}

/**
 * npu_job_part_done_locked() - learn from a part of a linked job
 * @job: the job
 * @count: how many tasks have run
 */
void npu_job_part_done_locked(struct npu_job *job, u32 count)
{
	u64 took = ktime_get_raw_ns() - job->part_ns;

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	job->task_ns = max(job->task_ns, div_u64(took, count));
}

/**
 * npu_job_leave_locked() - a core does not work on a job any more
 * @job: the job, which it has begun
 * @now: time in nanoseconds
 *
 * To be called before the core begins another one, or their times overlap.
 *
 * Return: how long it had the core, in nanoseconds.
 */
u64 npu_job_leave_locked(struct npu_job *job, u64 now)
{
	u64 ran = now - job->since_ns;

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	job->ctx->results.hw_time_ns += ran;
	job->ctx->npu->cores[job->result.core]->busy_ns += ran;
	job->since_ns = 0;
	return ran;
}

/**
 * npu_job_blame_locked() - it was the fault of a job, and so of its context
 * @job: the job
 * @fault: what it did
 *
 * The context does not take jobs any more.
 */
void npu_job_blame_locked(struct npu_job *job, const struct npu_core_fault *fault)
{
	struct npu_ctx *ctx = job->ctx;

	lockdep_assert_held(&ctx->npu->sched.lock);

	job->result.fault_va = fault->va;
	job->result.fault_flags = fault->flags;
	WRITE_ONCE(ctx->error, -EIO);
	ctx->results.fault = job->result;
	ctx->results.fault.error = fault->error;
	ctx->results.fault.tasks_done = job->cur;
}

/**
 * npu_job_running_locked() - the job of a context that a core works on
 * @ctx: the context
 *
 * Return: the job, or NULL.
 */
struct npu_job *npu_job_running_locked(struct npu_ctx *ctx)
{
	struct npu_sched *sched = &ctx->npu->sched;
	struct npu_job *job;

	lockdep_assert_held(&sched->lock);

	if (!ctx->node.active)
		return NULL;

	job = node_to_npu_job(sched->cores[ctx->node.core].run);
	return job && job->ctx == ctx && job->since_ns ? job : NULL;
}

/**
 * npu_job_progress_locked() - how far is a job that a core works on?
 * @job: the job
 * @result: the answer
 */
void npu_job_progress_locked(const struct npu_job *job,
			     struct drm_npu_job_result *result)
{
	struct npu_core *core = job->ctx->npu->cores[job->result.core];

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	/* While the core is reset, its registers are none of our business. */
	if (job->ctx->npu->sched.up & BIT_ULL(core->index) && !core->fault.error)
		npu_core_progress_locked(core);

	*result = job->result;
	result->state = DRM_NPU_JOB_RUNNING;
	result->tasks_done = job->cur;
}

/**
 * npu_job_finish_locked() - signal the end of a job
 * @job: the job; gone afterwards
 * @error: its result
 */
void npu_job_finish_locked(struct npu_job *job, int error)
{
	struct dma_fence *fence = dma_fence_get(&job->fence->base);

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	job->result.state = DRM_NPU_JOB_ENDED;
	job->result.error = error;
	job->result.tasks_done = job->cur;
	if (!job->result.end_ns)
		job->result.end_ns = ktime_get_raw_ns();
	npu_results_add(&job->ctx->results, &job->result);
	trace_npu_job_done(job);

	uncount(job);
	if (error)
		dma_fence_set_error(fence, error);
	dma_fence_signal(fence);
	dma_fence_put(fence);
}

/**
 * npu_job_finish_list_locked() - signal the end of jobs that never had a core
 * @npu: the device
 * @jobs: jobs from the policy; empty afterwards
 * @error: their result
 */
void npu_job_finish_list_locked(struct npu_device *npu, struct list_head *jobs,
				int error)
{
	struct npu_sched_job *node, *tmp;

	lockdep_assert_held(&npu->sched.lock);

	list_for_each_entry_safe(node, tmp, jobs, link) {
		list_del_init(&node->link);
		npu_job_finish_locked(node_to_npu_job(node), error);
	}
}

static struct dma_fence *npu_job_run(struct drm_sched_job *base)
{
	struct npu_job *job = to_npu_job(base);
	struct npu_ctx *ctx = job->ctx;
	struct npu_sched *sched = &ctx->npu->sched;
	struct dma_fence *fence;
	bool cookie;
	int error = 0;

	cookie = dma_fence_begin_signalling();
	dma_fence_init(&job->fence->base, &npu_fence_ops, NULL, ctx->fence_context,
		       ++ctx->seqno);
	fence = dma_fence_get(&job->fence->base);

	scoped_guard(spinlock_irq, &sched->lock) {
		if (ctx->error)
			error = -ECANCELED;
		else if (!npu_sched_reachable(sched, &ctx->node))
			error = -ENODEV;

		if (error) {
			npu_job_finish_locked(job, error);
		} else {
			npu_sched_ready(sched, &job->node, ktime_get_raw_ns());
			npu_device_schedule_locked(ctx->npu);
		}
	}
	dma_fence_end_signalling(cookie);

	return fence;
}

static void npu_job_free(struct drm_sched_job *base)
{
	struct npu_job *job = to_npu_job(base);

	drm_sched_job_cleanup(base);
	uncount(job);
	destroy(job);
}

/**
 * npu_job_flush() - wait until jobs that have ended are freed
 * @npu: the device
 */
void npu_job_flush(struct npu_device *npu)
{
	/* Who was woken by a fence may come here while it still signals. */
	spin_lock_irq(&npu->sched.lock);
	spin_unlock_irq(&npu->sched.lock);
	flush_workqueue(npu->submit_wq);
}

const struct drm_sched_backend_ops npu_job_sched_ops = {
	.run_job = npu_job_run,
	.free_job = npu_job_free,
};
