// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-fence-chain.h>
#include <linux/dma-resv.h>
#include <linux/hash.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_syncobj.h>
#include <drm/npu_accel.h>

#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_place.h"
#include "npu_program.h"
#include "npu_reclaim.h"
#include "npu_submit.h"
#include "npu_trace.h"
#include "npu_vm.h"

/**
 * DOC: Submit
 *
 * A submit is all or nothing, so it is done in two parts. The first takes
 * everything that can fail: it copies and checks what userspace passed in,
 * allocates jobs and what their fences need, looks up what they wait for, and
 * locks the reservation objects with room for new fences. The second part
 * cannot fail: it arms and pushes all jobs, and then publishes their fences.
 * Once a job is armed there is no way back.
 *
 * The number of buffers that are bound plays no role, because private buffers
 * share one reservation object, and because a job does not hold its buffers:
 * the VM does, and userspace that unmaps what a job still uses gets a fault. The
 * number of tasks plays a role, since each is copied and checked, unless they are
 * those of a program: that has been done when it was created.
 *
 * Jobs of one context run in order, so a job that waits for what an earlier one
 * of the same call signals needs nothing but that this is recognised: such a
 * fence does not exist yet when it is looked up.
 */

#define NPU_SIGNALLED_BITS	8

/**
 * struct npu_submit_signal - a syncobj that a job signals
 */
struct npu_submit_signal {
	/** @syncobj: the syncobj; a reference */
	struct drm_syncobj *syncobj;

	/** @chain: what turns the fence into a point, if it is to be one */
	struct dma_fence_chain *chain;

	/** @point: the point, or zero */
	u64 point;

	/** @link: link in &npu_submit.signalled */
	struct hlist_node link;
};

/**
 * struct npu_submit_buffer - a buffer that a job lists
 */
struct npu_submit_buffer {
	/** @obj: the buffer; a reference */
	struct drm_gem_object *obj;

	/** @write: the job writes it */
	bool write;
};

/**
 * struct npu_submit_job - one job while it is submitted
 */
struct npu_submit_job {
	/** @job: the job; NULL once it is pushed */
	struct npu_job *job;

	/** @fence: its fence, once it is armed; a reference */
	struct dma_fence *fence;

	/** @signals: what it signals */
	struct npu_submit_signal *signals;

	/** @num_signals: entries of @signals in use */
	u32 num_signals;

	/** @buffers: shared buffers it lists */
	struct npu_submit_buffer *buffers;

	/** @num_buffers: entries of @buffers in use */
	u32 num_buffers;
};

/**
 * struct npu_submit - a submit under way
 */
struct npu_submit {
	/** @npu: the device */
	struct npu_device *npu;

	/** @file: who submits */
	struct drm_file *file;

	/** @ctx: where to; a reference */
	struct npu_ctx *ctx;

	/** @jobs: the jobs */
	struct npu_submit_job *jobs;

	/** @one: @jobs of a submit that has but one */
	struct npu_submit_job one;

	/** @num_jobs: entries of @jobs */
	u32 num_jobs;

	/** @first_job: id of the first of them, once it is armed */
	u64 first_job;

	/**
	 * @signalled: signals so far, the latest first, hashed by their syncobj;
	 * NULL for a single job, which has nobody to wait for
	 */
	struct hlist_head *signalled;

	/** @exec: the locked reservation objects */
	struct drm_exec exec;
};

static int parse_tasks(struct npu_submit *submit, struct npu_submit_job *sjob,
		       const struct drm_npu_array *array, bool linked)
{
	const char *why = NULL;
	struct drm_npu_task *tasks, few[4];
	struct npu_job *job;

	tasks = npu_array_copy_to(array, sizeof(*tasks), sizeof(*tasks), NPU_MAX_TASKS,
				  few, sizeof(few));
	if (IS_ERR(tasks))
		return PTR_ERR(tasks);
	if (!tasks) {
		drm_dbg(&submit->npu->drm, "job without tasks\n");
		return -EINVAL;
	}

	job = npu_job_create(submit->ctx, array->count, submit->file->client_id);
	if (IS_ERR(job)) {
		if (tasks != few)
			kvfree(tasks);
		return PTR_ERR(job);
	}
	job->linked = linked;
	sjob->job = job;

	for (u32 i = 0; i < array->count && !why; i++) {
		why = npu_task_check(submit->npu->ip, &tasks[i], !i,
				     npu_vm_end(submit->npu), &job->own_tasks[i]);
		if (why)
			drm_dbg(&submit->npu->drm, "task %u at %#llx, %u bytes: %s\n",
				i, tasks[i].cmd_va, tasks[i].cmd_size, why);
	}
	if (tasks != few)
		kvfree(tasks);
	if (linked && !why) {
		why = npu_tasks_check_linked(job->own_tasks, job->num_own_tasks);
		if (why)
			drm_dbg(&submit->npu->drm, "linked tasks: %s\n", why);
	}
	return why ? -EINVAL : 0;
}

/* The addresses a run has for what it patches; none is fine, too. */
static u32 *parse_values(struct npu_submit *submit, const struct npu_program *program,
			 const struct drm_npu_array *array)
{
	struct drm_npu_value *in;
	int ret = 0;
	u32 *values;

	in = npu_array_copy(array, sizeof(*in), sizeof(*in), NPU_MAX_PATCHES);
	if (IS_ERR_OR_NULL(in))
		return ERR_CAST(in);
	if (array->count != program->num_patches) {
		drm_dbg(&submit->npu->drm, "%u values for %u patches\n", array->count,
			program->num_patches);
		kvfree(in);
		return ERR_PTR(-EINVAL);
	}

	values = kmalloc_objs(*values, array->count, GFP_KERNEL_ACCOUNT);
	if (!values)
		ret = -ENOMEM;
	for (u32 i = 0; i < array->count && !ret; i++) {
		if (in[i].va >= npu_vm_end(submit->npu))
			ret = -EINVAL;
		else
			values[i] = in[i].va;
	}
	kvfree(in);
	if (ret) {
		kfree(values);
		return ERR_PTR(ret);
	}
	return values;
}

static int parse_program(struct npu_submit *submit, struct npu_submit_job *sjob,
			 const struct drm_npu_job *in)
{
	struct npu_program *program;
	struct npu_job *job;
	u32 *values;
	int ret;

	program = npu_program_lookup(submit->file->driver_priv, in->program_id);
	if (!program)
		return -ENOENT;

	ret = -EINVAL;
	if (program->vm != submit->ctx->vm) {
		drm_dbg(&submit->npu->drm, "program is in another VM\n");
		goto err_program;
	}

	/* It brings its tasks along, and knows whether they are linked. */
	if (in->tasks.count || in->flags)
		goto err_program;
	ret = npu_array_check(&in->tasks, sizeof(struct drm_npu_task), NPU_MAX_TASKS);
	if (ret)
		goto err_program;

	values = parse_values(submit, program, &in->values);
	ret = PTR_ERR_OR_ZERO(values);
	if (ret)
		goto err_program;

	job = npu_job_create(submit->ctx, 0, submit->file->client_id);
	ret = PTR_ERR_OR_ZERO(job);
	if (ret)
		goto err_values;

	npu_job_set_program(job, program, values);
	sjob->job = job;
	return 0;

err_values:
	kfree(values);
err_program:
	npu_program_put(program);
	return ret;
}

/* What the job is to do. */
static int parse_work(struct npu_submit *submit, struct npu_submit_job *sjob,
		      const struct drm_npu_job *in)
{
	int ret;

	if (in->program_id)
		return parse_program(submit, sjob, in);

	if (in->values.count)
		return -EINVAL;
	ret = npu_array_check(&in->values, sizeof(struct drm_npu_value),
			      NPU_MAX_PATCHES);
	return ret ?: parse_tasks(submit, sjob, &in->tasks,
				  in->flags & DRM_NPU_JOB_LINKED);
}

static struct hlist_head *signals_of(struct npu_submit *submit,
				     struct drm_syncobj *syncobj)
{
	return &submit->signalled[hash_ptr(syncobj, NPU_SIGNALLED_BITS)];
}

/* Is it signalled by an earlier job of this submit? */
static bool signalled_before(struct npu_submit *submit, const struct drm_npu_sync *sync)
{
	struct npu_submit_signal *signal;
	struct drm_syncobj *syncobj;
	bool found = false;

	if (!submit->signalled)
		return false;

	syncobj = drm_syncobj_find(submit->file, sync->handle);
	if (!syncobj)
		return false;
	hlist_for_each_entry(signal, signals_of(submit, syncobj), link) {
		if (signal->syncobj == syncobj) {
			found = signal->point >= sync->point;
			break;
		}
	}
	drm_syncobj_put(syncobj);
	return found;
}

static int add_wait(struct npu_submit *submit, struct npu_submit_job *sjob,
		    const struct drm_npu_sync *sync)
{
	struct dma_fence *fence;
	int ret;

	if (signalled_before(submit, sync))
		return 0;

	ret = drm_syncobj_find_fence(submit->file, sync->handle, sync->point, 0, &fence);
	if (ret) {
		drm_dbg(&submit->npu->drm, "nothing to wait for in syncobj %u\n",
			sync->handle);
		return ret;
	}
	return drm_sched_job_add_dependency(&sjob->job->base, fence);
}

static int add_signal(struct npu_submit *submit, struct npu_submit_job *sjob,
		      const struct drm_npu_sync *sync)
{
	struct npu_submit_signal *signal = &sjob->signals[sjob->num_signals];

	signal->syncobj = drm_syncobj_find(submit->file, sync->handle);
	if (!signal->syncobj)
		return -ENOENT;
	sjob->num_signals++;

	signal->point = sync->point;
	if (signal->point) {
		signal->chain = dma_fence_chain_alloc();
		if (!signal->chain)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Waits first: what a job signals itself is not what it waits for. Then later
 * jobs may see its signals.
 */
static int parse_syncs_of(struct npu_submit *submit, struct npu_submit_job *sjob,
			  const struct drm_npu_sync *syncs, u32 count)
{
	int ret = 0;

	for (u32 i = 0; i < count && !ret; i++) {
		if (syncs[i].flags != DRM_NPU_SYNC_WAIT &&
		    syncs[i].flags != DRM_NPU_SYNC_SIGNAL)
			return -EINVAL;
		if (syncs[i].flags == DRM_NPU_SYNC_WAIT)
			ret = add_wait(submit, sjob, &syncs[i]);
		else
			ret = add_signal(submit, sjob, &syncs[i]);
	}

	for (u32 i = 0; i < sjob->num_signals && submit->signalled; i++) {
		struct npu_submit_signal *signal = &sjob->signals[i];

		hlist_add_head(&signal->link, signals_of(submit, signal->syncobj));
	}
	return ret;
}

static int parse_syncs(struct npu_submit *submit, struct npu_submit_job *sjob,
		       const struct drm_npu_array *array)
{
	struct drm_npu_sync *syncs;
	int ret;

	syncs = npu_array_copy(array, sizeof(*syncs), sizeof(*syncs), NPU_MAX_SYNCS);
	if (IS_ERR_OR_NULL(syncs))
		return PTR_ERR_OR_ZERO(syncs);

	sjob->signals = kvcalloc(array->count, sizeof(*sjob->signals),
				 GFP_KERNEL_ACCOUNT);
	if (sjob->signals)
		ret = parse_syncs_of(submit, sjob, syncs, array->count);
	else
		ret = -ENOMEM;
	kvfree(syncs);
	return ret;
}

static int parse_buffer(struct npu_submit *submit, struct npu_submit_job *sjob,
			const struct drm_npu_buffer *in)
{
	const u32 flags = DRM_NPU_BUFFER_READ | DRM_NPU_BUFFER_WRITE;
	struct drm_gem_object *obj;

	if (!in->flags || (in->flags & ~flags))
		return -EINVAL;

	obj = drm_gem_object_lookup(submit->file, in->handle);
	if (!obj)
		return -ENOENT;

	/* A buffer of this VM gets the fence of the VM anyway. */
	if (obj->resv == drm_gpuvm_resv(&submit->ctx->vm->base)) {
		drm_gem_object_put(obj);
		return 0;
	}
	sjob->buffers[sjob->num_buffers].obj = obj;
	sjob->buffers[sjob->num_buffers].write = in->flags & DRM_NPU_BUFFER_WRITE;
	sjob->num_buffers++;
	return 0;
}

static int parse_buffers(struct npu_submit *submit, struct npu_submit_job *sjob,
			 const struct drm_npu_array *array)
{
	struct drm_npu_buffer *buffers;
	int ret = 0;

	buffers = npu_array_copy(array, sizeof(*buffers), sizeof(*buffers),
				 NPU_MAX_BUFFERS);
	if (IS_ERR_OR_NULL(buffers))
		return PTR_ERR_OR_ZERO(buffers);

	sjob->buffers = kvcalloc(array->count, sizeof(*sjob->buffers),
				 GFP_KERNEL_ACCOUNT);
	if (!sjob->buffers)
		ret = -ENOMEM;
	for (u32 i = 0; i < array->count && !ret; i++)
		ret = parse_buffer(submit, sjob, &buffers[i]);
	kvfree(buffers);
	return ret;
}

static int parse_jobs(struct npu_submit *submit, const struct drm_npu_job *jobs)
{
	int ret = 0;

	for (u32 i = 0; i < submit->num_jobs && !ret; i++) {
		struct npu_submit_job *sjob = &submit->jobs[i];

		if (jobs[i].flags & ~DRM_NPU_JOB_LINKED)
			return -EINVAL;

		ret = parse_work(submit, sjob, &jobs[i]);
		if (!ret)
			ret = parse_syncs(submit, sjob, &jobs[i].syncs);
		if (!ret)
			ret = parse_buffers(submit, sjob, &jobs[i].buffers);
		cond_resched();
	}
	return ret;
}

static int parse(struct npu_submit *submit, const struct drm_npu_array *array)
{
	struct drm_npu_job *jobs, one;
	int ret = -ENOMEM;

	/* In version 1.0 a job ended here. */
	jobs = npu_array_copy_to(array, offsetofend(struct drm_npu_job, program_id),
				 sizeof(*jobs), NPU_MAX_JOBS, &one, sizeof(one));
	if (IS_ERR(jobs))
		return PTR_ERR(jobs);
	if (!jobs) {
		drm_dbg(&submit->npu->drm, "submit without jobs\n");
		return -EINVAL;
	}

	if (array->count > 1) {
		submit->signalled = kvcalloc(1 << NPU_SIGNALLED_BITS,
					     sizeof(*submit->signalled),
					     GFP_KERNEL_ACCOUNT);
		if (!submit->signalled)
			goto out;
	}
	if (array->count == 1)
		submit->jobs = &submit->one;
	else
		submit->jobs = kvcalloc(array->count, sizeof(*submit->jobs),
					GFP_KERNEL_ACCOUNT);
	if (submit->jobs) {
		submit->num_jobs = array->count;
		ret = parse_jobs(submit, jobs);
	}
out:
	if (jobs != &one)
		kvfree(jobs);
	return ret;
}

/*
 * Every command stream has to lie in one mapping. It may be gone when the job
 * runs, but then the job faults; what counts is that mistakes show early.
 */
static int check_job(struct npu_submit *submit, struct npu_job *job)
{
	struct npu_vm *vm = submit->ctx->vm;
	u32 align = submit->npu->ip->cmd_align;
	u64 start = 0, end = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	/* Those of a program are in one anyway. */
	for (u32 i = 0; i < job->num_own_tasks; i++) {
		u64 va = job->own_tasks[i].cmd_va;
		u64 size = round_up((u64)job->own_tasks[i].cmd_size, align);
		struct drm_gpuva *map;

		/* Most of the time it is where the one before was. */
		if (va >= start && va + size <= end)
			continue;

		map = npu_vm_find_locked(vm, va, size);
		if (!map) {
			drm_dbg(&submit->npu->drm, "task at %#llx is not in a mapping\n",
				va);
			return -EINVAL;
		}
		start = map->va.addr;
		end = start + map->va.range;
	}
	return 0;
}

static int check_streams(struct npu_submit *submit)
{
	int ret = 0;

	for (u32 i = 0; i < submit->num_jobs && !ret; i++)
		ret = check_job(submit, submit->jobs[i].job);
	return ret;
}

static int lock_buffers(struct npu_submit *submit, struct npu_submit_job *sjob)
{
	/* All fences have one timeline: at most one read and one write stay. */
	const unsigned int num_fences = 2;
	int ret;

	for (u32 i = 0; i < sjob->num_buffers; i++) {
		ret = drm_exec_prepare_obj(&submit->exec, sjob->buffers[i].obj,
					   num_fences);
		if (ret)
			return ret;
	}
	return 0;
}

/* Locks all that the jobs need, and sees that it is in memory. */
static int lock_all(struct npu_submit *submit)
{
	struct drm_exec *exec = &submit->exec;
	int ret = 0;

	drm_exec_init(exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	drm_exec_until_all_locked(exec) {
		ret = drm_gpuvm_prepare_vm(&submit->ctx->vm->base, exec, 1);
		drm_exec_retry_on_contention(exec);
		for (u32 i = 0; i < submit->num_jobs && !ret; i++) {
			ret = lock_buffers(submit, &submit->jobs[i]);
			drm_exec_retry_on_contention(exec);
		}
		if (!ret)
			ret = npu_place_return_locked(submit->ctx->vm);
		if (!ret)
			ret = npu_vm_restore_locked(submit->ctx->vm, exec);
		drm_exec_retry_on_contention(exec);
		if (ret)
			break;
	}
	if (ret)
		drm_exec_fini(exec);
	return ret;
}

static int add_implicit_deps(struct npu_submit *submit)
{
	int ret;

	for (u32 i = 0; i < submit->num_jobs; i++) {
		struct npu_submit_job *sjob = &submit->jobs[i];

		for (u32 j = 0; j < sjob->num_buffers; j++) {
			struct npu_submit_buffer *buffer = &sjob->buffers[j];

			ret = drm_sched_job_add_implicit_dependencies(&sjob->job->base,
								      buffer->obj,
								      buffer->write);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* Room in the queue? Jobs give it back when they end; nobody else takes it. */
static int count_jobs(struct npu_submit *submit)
{
	struct npu_ctx *ctx = submit->ctx;
	u64 tasks = 0;

	lockdep_assert_held(&ctx->submit_lock);

	for (u32 i = 0; i < submit->num_jobs; i++)
		tasks += submit->jobs[i].job->num_own_tasks;

	if (atomic_read(&ctx->queued) + submit->num_jobs > NPU_MAX_QUEUED ||
	    atomic_read(&ctx->queued_tasks) + tasks > NPU_MAX_QUEUED_TASKS) {
		drm_dbg(&submit->npu->drm, "the queue is full\n");
		return -EAGAIN;
	}

	atomic_add(submit->num_jobs, &ctx->queued);
	atomic_add(tasks, &ctx->queued_tasks);
	for (u32 i = 0; i < submit->num_jobs; i++)
		submit->jobs[i].job->counted = true;
	return 0;
}

static int check_ctx(struct npu_submit *submit)
{
	struct npu_ctx *ctx = submit->ctx;

	if (READ_ONCE(ctx->error)) {
		drm_dbg(&submit->npu->drm, "context is banned\n");
		return -EIO;
	}
	if (!npu_sched_reachable(&submit->npu->sched, &ctx->node))
		return -ENODEV;
	return 0;
}

static void publish_signals(struct npu_submit_job *sjob)
{
	for (u32 i = 0; i < sjob->num_signals; i++) {
		struct npu_submit_signal *signal = &sjob->signals[i];

		if (signal->chain)
			drm_syncobj_add_point(signal->syncobj, signal->chain,
					      sjob->fence, signal->point);
		else
			drm_syncobj_replace_fence(signal->syncobj, sjob->fence);
		signal->chain = NULL;
	}
}

static void publish_buffers(struct npu_submit_job *sjob)
{
	for (u32 i = 0; i < sjob->num_buffers; i++) {
		struct npu_submit_buffer *buffer = &sjob->buffers[i];

		dma_resv_add_fence(buffer->obj->resv, sjob->fence,
				   buffer->write ? DMA_RESV_USAGE_WRITE :
						   DMA_RESV_USAGE_READ);
	}
}

/* The part that cannot fail. */
static void commit(struct npu_submit *submit)
{
	struct npu_results *results = &submit->ctx->results;
	struct npu_submit_job *sjob = NULL;

	lockdep_assert_held(&submit->ctx->submit_lock);

	submit->first_job = results->last_job + 1;
	WRITE_ONCE(results->last_job, results->last_job + submit->num_jobs);

	for (u32 i = 0; i < submit->num_jobs; i++) {
		struct drm_sched_job *base;

		sjob = &submit->jobs[i];
		base = &sjob->job->base;
		sjob->job->result.job = submit->first_job + i;
		trace_npu_job_submit(sjob->job);
		drm_sched_job_arm(base);
		sjob->fence = dma_fence_get(&base->s_fence->finished);
		sjob->job = NULL;
		drm_sched_entity_push_job(base);
	}

	for (u32 i = 0; i < submit->num_jobs; i++) {
		publish_buffers(&submit->jobs[i]);
		publish_signals(&submit->jobs[i]);
	}
	/* The last one stands for all of them. */
	dma_resv_add_fence(drm_gpuvm_resv(&submit->ctx->vm->base), sjob->fence,
			   DMA_RESV_USAGE_BOOKKEEP);
}

static int submit_jobs(struct npu_submit *submit)
{
	struct npu_patience patience = { .npu = submit->npu };
	struct npu_ctx *ctx = submit->ctx;
	int ret;

	do {
		ret = lock_all(submit);
	} while (npu_reclaim_again(&patience, &ret));
	if (ret)
		return ret;

	ret = check_streams(submit);
	if (!ret)
		ret = add_implicit_deps(submit);
	if (!ret) {
		guard(mutex)(&ctx->submit_lock);

		ret = check_ctx(submit);
		if (!ret)
			ret = count_jobs(submit);
		if (!ret)
			commit(submit);
	}
	drm_exec_fini(&submit->exec);
	return ret;
}

static void cleanup_job(struct npu_submit_job *sjob)
{
	if (sjob->job)
		npu_job_cancel(sjob->job);
	dma_fence_put(sjob->fence);

	for (u32 i = 0; i < sjob->num_signals; i++) {
		dma_fence_chain_free(sjob->signals[i].chain);
		drm_syncobj_put(sjob->signals[i].syncobj);
	}
	kvfree(sjob->signals);

	for (u32 i = 0; i < sjob->num_buffers; i++)
		drm_gem_object_put(sjob->buffers[i].obj);
	kvfree(sjob->buffers);
}

static void cleanup(struct npu_submit *submit)
{
	for (u32 i = 0; i < submit->num_jobs; i++)
		cleanup_job(&submit->jobs[i]);
	if (submit->jobs != &submit->one)
		kvfree(submit->jobs);
	kvfree(submit->signalled);
	npu_ctx_put(submit->ctx);
}

/**
 * npu_ioctl_submit() - DRM_IOCTL_NPU_SUBMIT
 * @drm: the DRM device
 * @data: &struct drm_npu_submit
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_submit *args = data;
	struct npu_submit submit = {
		.npu = to_npu_device(drm),
		.file = file,
	};
	int ret;

	if (args->flags)
		return -EINVAL;

	submit.ctx = npu_ctx_lookup(file->driver_priv, args->ctx_id);
	if (!submit.ctx)
		return -ENOENT;

	ret = check_ctx(&submit);
	if (!ret)
		ret = parse(&submit, &args->jobs);
	if (!ret)
		ret = submit_jobs(&submit);
	if (!ret)
		args->first_job = submit.first_job;

	cleanup(&submit);
	return ret;
}
