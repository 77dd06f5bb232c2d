// SPDX-License-Identifier: GPL-2.0-only

#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_fault.h"
#include "npu_drv.h"
#include "npu_job.h"
#include "npu_usage.h"
#include "npu_vm.h"

/**
 * DOC: Contexts
 *
 * A context is a queue with an address space. Each has a DRM scheduler of its
 * own with a single entity: the DRM scheduler holds dependencies and fences,
 * and which context gets a core is up to the policy, which sees them all. A DRM
 * scheduler per core instead would tie a queue to a core for as long as it has
 * jobs, and could not be told what makes a core a good choice.
 *
 * The schedulers have no workqueues of their own, since each of those would
 * come with a thread that a client could make by the dozen.
 *
 * Jobs refer to their context and contexts to their VM, so both last until the
 * last job is freed, whatever happened to identifiers and files. That last
 * reference is dropped from a work item of the very scheduler that has to go
 * with it, so the rest is done by another workqueue.
 */

/* Jobs the policy may know of each context; more wait in the entity. */
#define NPU_CTX_CREDITS		8

static struct workqueue_struct *npu_ctx_wq;
static atomic_t npu_ctx_count;
static DECLARE_WAIT_QUEUE_HEAD(npu_ctx_gone);

/*
 * A context counts for its file until it is really gone: an identifier can be
 * given back at any time, but jobs that still run would go on without limit.
 */
static int join_file(struct npu_ctx *ctx, struct npu_file *file)
{
	guard(mutex)(&file->lock);

	if (file->num_ctxs >= NPU_MAX_CTXS)
		return -ENOSPC;

	file->num_ctxs++;
	list_add_tail(&ctx->file_link, &file->all_ctxs);
	kref_get(&file->ref);
	ctx->file = file;
	return 0;
}

static void leave_file(struct npu_ctx *ctx)
{
	scoped_guard(mutex, &ctx->file->lock) {
		list_del(&ctx->file_link);
		ctx->file->num_ctxs--;
		ctx->file->gone_ns += ctx->results.hw_time_ns;
		ctx->file->gone_cycles += ctx->results.hw_cycles;
	}
	npu_file_put(ctx->file);
}

static void npu_ctx_release_work(struct work_struct *work)
{
	struct npu_ctx *ctx = container_of(work, struct npu_ctx, release_work);
	struct npu_device *npu = ctx->npu;

	drm_sched_entity_destroy(&ctx->entity);
	drm_sched_fini(&ctx->sched);
	npu_vm_put(ctx->vm);
	leave_file(ctx);
	npu_results_fini(&ctx->results);
	mutex_destroy(&ctx->submit_lock);
	kfree_rcu(ctx, rcu);
	drm_dev_put(&npu->drm);

	if (atomic_dec_and_test(&npu_ctx_count))
		wake_up_all(&npu_ctx_gone);
}

static void npu_ctx_release(struct kref *ref)
{
	struct npu_ctx *ctx = container_of(ref, struct npu_ctx, ref);

	atomic_dec(&ctx->npu->num_ctxs);
	queue_work(npu_ctx_wq, &ctx->release_work);
}

/**
 * npu_ctx_get() - take a reference to a context
 * @ctx: the context
 *
 * Return: @ctx
 */
struct npu_ctx *npu_ctx_get(struct npu_ctx *ctx)
{
	kref_get(&ctx->ref);
	return ctx;
}

/**
 * npu_ctx_put() - drop a reference to a context
 * @ctx: the context, or NULL
 */
void npu_ctx_put(struct npu_ctx *ctx)
{
	if (ctx)
		kref_put(&ctx->ref, npu_ctx_release);
}

/**
 * npu_ctx_flush() - wait until contexts that nobody uses are gone
 * @npu: the device
 *
 * And with them their address spaces, and what was mapped there.
 */
void npu_ctx_flush(struct npu_device *npu)
{
	npu_job_flush(npu);
	flush_workqueue(npu_ctx_wq);
}

/**
 * npu_ctx_lookup() - find a context
 * @file: the file that owns it
 * @id: its identifier
 *
 * Return: the context with a reference, or NULL.
 */
struct npu_ctx *npu_ctx_lookup(struct npu_file *file, u32 id)
{
	struct npu_ctx *ctx;

	guard(mutex)(&file->lock);

	ctx = xa_load(&file->ctxs, id);
	return ctx ? npu_ctx_get(ctx) : NULL;
}

static int init_sched(struct npu_ctx *ctx)
{
	struct drm_gpu_scheduler *sched = &ctx->sched;
	const struct drm_sched_init_args args = {
		.ops = &npu_job_sched_ops,
		.submit_wq = ctx->npu->submit_wq,
		.num_rqs = 1,
		.credit_limit = NPU_CTX_CREDITS,
		.timeout = MAX_SCHEDULE_TIMEOUT,
		.name = "npu",
		.dev = ctx->npu->drm.dev,
	};
	int ret;

	ret = drm_sched_init(sched, &args);
	if (ret)
		return ret;

	ret = drm_sched_entity_init(&ctx->entity, DRM_SCHED_PRIORITY_KERNEL, &sched,
				    1, NULL);
	if (ret)
		drm_sched_fini(sched);
	return ret;
}

static struct npu_ctx *npu_ctx_create(struct npu_file *file, struct npu_vm *vm,
				      const struct drm_npu_ctx_create *args,
				      u64 core_mask)
{
	struct npu_device *npu = file->npu;
	struct npu_ctx *ctx;
	int ret;

	ctx = kzalloc_obj(*ctx, GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return ERR_PTR(-ENOMEM);

	kref_init(&ctx->ref);
	INIT_WORK(&ctx->release_work, npu_ctx_release_work);
	mutex_init(&ctx->submit_lock);
	ctx->npu = npu;
	ctx->vm_id = args->vm_id;
	ctx->timeout_ms = args->timeout_ms ?: NPU_TIMEOUT_MS;
	ctx->fence_context = dma_fence_context_alloc(1);

	ret = npu_sched_ctx_init(&ctx->node, &file->share, args->sched_class, args->priority,
				 core_mask, vm);
	if (!ret)
		ret = npu_results_init(&ctx->results);
	if (!ret)
		ret = init_sched(ctx);
	if (ret)
		goto err_free;

	ret = join_file(ctx, file);
	if (ret == -ENOSPC) {
		/* The last steps of one that was destroyed may be under way. */
		npu_ctx_flush(npu);
		ret = join_file(ctx, file);
	}
	if (ret)
		goto err_sched;

	atomic_inc(&npu_ctx_count);
	atomic_inc(&npu->num_ctxs);
	drm_dev_get(&npu->drm);
	ctx->vm = npu_vm_get(vm);
	return ctx;

err_sched:
	drm_dbg(&npu->drm, "the file has %u contexts\n", NPU_MAX_CTXS);
	drm_sched_entity_destroy(&ctx->entity);
	drm_sched_fini(&ctx->sched);
err_free:
	npu_results_fini(&ctx->results);
	kfree(ctx);
	return ERR_PTR(ret);
}

/**
 * npu_ctx_stop() - no more jobs for a context
 * @ctx: the context
 * @error: why, for those who submit
 *
 * Jobs that have not started end with -ECANCELED.
 */
static void npu_ctx_stop(struct npu_ctx *ctx, int error)
{
	struct npu_device *npu = ctx->npu;
	LIST_HEAD(jobs);

	guard(spinlock_irq)(&npu->sched.lock);

	if (!ctx->error)
		ctx->error = error;
	npu_sched_purge(&npu->sched, &ctx->node, &jobs);
	npu_job_finish_list_locked(npu, &jobs, -ECANCELED);
}

static void cancel_all(struct npu_file *file)
{
	struct npu_ctx *ctx;

	guard(mutex)(&file->lock);

	list_for_each_entry(ctx, &file->all_ctxs, file_link)
		npu_ctx_stop(ctx, -ECANCELED);
}

/**
 * npu_ctx_close_all() - the owner of contexts has gone
 * @file: the owner
 *
 * Work that is queued still runs, since others may wait for its fences, except
 * when the owner was killed: that has to be a way to get rid of the work, too.
 */
void npu_ctx_close_all(struct npu_file *file)
{
	struct npu_ctx *ctx;
	unsigned long id;

	if ((current->flags & PF_EXITING) && current->exit_code == SIGKILL)
		cancel_all(file);
	xa_for_each(&file->ctxs, id, ctx)
		npu_ctx_put(ctx);
}

static bool is_privilege(u32 sched_class, s32 priority)
{
	return sched_class == DRM_NPU_CLASS_LATENCY ||
	       priority > DRM_NPU_PRIORITY_NORMAL;
}

/**
 * npu_ctx_describe() - which contexts may the caller have?
 * @info: where to put the answer
 */
void npu_ctx_describe(struct drm_npu_device_info *info)
{
	/* A question is nothing to be audited. */
	bool nice = ns_capable_noaudit(&init_user_ns, CAP_SYS_NICE);

	for (u32 i = 0; i < NPU_SCHED_CLASSES; i++)
		if (nice || !is_privilege(i, DRM_NPU_PRIORITY_NORMAL))
			info->class_mask |= BIT(i);
	info->max_priority = nice ? DRM_NPU_PRIORITY_HIGH : DRM_NPU_PRIORITY_NORMAL;
}

static int check_rank(struct npu_device *npu, u32 sched_class, s32 priority)
{
	int ret = npu_sched_check(sched_class, priority);

	if (ret) {
		drm_dbg(&npu->drm, "unknown class %u or priority %d\n", sched_class,
			priority);
		return ret;
	}
	if (is_privilege(sched_class, priority) && !capable(CAP_SYS_NICE)) {
		drm_dbg(&npu->drm, "class or priority needs CAP_SYS_NICE\n");
		return -EACCES;
	}
	return 0;
}

/* Cores that userspace means; one of them has to be there. */
static int check_cores(struct npu_device *npu, u64 wanted, u64 *core_mask)
{
	u64 usable = npu_device_usable(npu), all = GENMASK_ULL(npu->num_cores - 1, 0);

	*core_mask = (wanted ?: all) & all;
	if (!usable)
		return -ENODEV;
	if (!(*core_mask & usable)) {
		drm_dbg(&npu->drm, "no usable core in %#llx\n", wanted);
		return -EINVAL;
	}
	return 0;
}

static int check_timeout(struct npu_device *npu, u32 timeout_ms)
{
	if (!timeout_ms || (timeout_ms >= NPU_MIN_TIMEOUT_MS &&
			    timeout_ms <= NPU_MAX_TIMEOUT_MS))
		return 0;
	drm_dbg(&npu->drm, "timeout of %u ms\n", timeout_ms);
	return -EINVAL;
}

/**
 * npu_ioctl_ctx_create() - DRM_IOCTL_NPU_CTX_CREATE
 * @drm: the DRM device
 * @data: &struct drm_npu_ctx_create
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_ctx_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_device *npu = to_npu_device(drm);
	struct drm_npu_ctx_create *args = data;
	struct npu_ctx *ctx;
	struct npu_vm *vm;
	u64 core_mask;
	int ret;

	if (args->flags)
		return -EINVAL;
	ret = check_timeout(npu, args->timeout_ms);
	if (ret)
		return ret;

	ret = check_rank(npu, args->sched_class, args->priority);
	if (ret)
		return ret;
	ret = check_cores(npu, args->core_mask, &core_mask);
	if (ret)
		return ret;

	vm = npu_vm_lookup(nfile, args->vm_id);
	if (!vm)
		return -ENOENT;

	ctx = npu_ctx_create(nfile, vm, args, core_mask);
	npu_vm_put(vm);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);

	scoped_guard(mutex, &nfile->lock) {
		ret = npu_file_add(nfile, &nfile->ctxs, ctx, &nfile->next_ctx,
				   &args->ctx_id);
		ctx->id = args->ctx_id;
	}
	if (ret)
		npu_ctx_put(ctx);
	return ret;
}

/**
 * npu_ioctl_ctx_destroy() - DRM_IOCTL_NPU_CTX_DESTROY
 * @drm: the DRM device
 * @data: &struct drm_npu_ctx_destroy
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_ctx_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_ctx_destroy *args = data;
	struct npu_ctx *ctx;

	if (args->pad)
		return -EINVAL;

	scoped_guard(mutex, &nfile->lock)
		ctx = xa_erase(&nfile->ctxs, args->ctx_id);
	if (!ctx)
		return -ENOENT;

	npu_ctx_put(ctx);
	return 0;
}

static void query_fault(struct npu_ctx *ctx, struct drm_npu_ctx_query *args)
{
	const struct drm_npu_job_result *fault = &ctx->results.fault;

	args->fault_error = fault->error;
	args->fault_job = fault->job;
	args->fault_va = fault->fault_va;
	args->fault_task = fault->tasks_done;
	args->fault_core = fault->core;
	args->fault_flags = fault->fault_flags;
}

/**
 * npu_ctx_query_locked() - what there is to know about a context
 * @ctx: the context
 * @args: the answer, all of it at one moment
 */
void npu_ctx_query_locked(struct npu_ctx *ctx, struct drm_npu_ctx_query *args)
{
	lockdep_assert_held(&ctx->npu->sched.lock);

	args->state = ctx->error ? DRM_NPU_CTX_BANNED : DRM_NPU_CTX_READY;
	args->vm_id = ctx->vm_id;
	args->sched_class = ctx->node.sched_class;
	args->priority = ctx->node.priority;
	args->core_mask = ctx->node.core_mask;
	args->timeout_ms = ctx->timeout_ms;
	args->hw_time_ns = npu_usage_time_locked(ctx);
	args->jobs_submitted = READ_ONCE(ctx->results.last_job);
	args->jobs_done = ctx->results.done;
	args->jobs_failed = ctx->results.failed;
	query_fault(ctx, args);
}

/**
 * npu_ioctl_ctx_query() - DRM_IOCTL_NPU_CTX_QUERY
 * @drm: the DRM device
 * @data: &struct drm_npu_ctx_query
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_ctx_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_ctx_query *args = data;
	struct npu_ctx *ctx;

	ctx = npu_ctx_lookup(file->driver_priv, args->ctx_id);
	if (!ctx)
		return -ENOENT;

	scoped_guard(spinlock_irq, &ctx->npu->sched.lock)
		npu_ctx_query_locked(ctx, args);
	npu_ctx_put(ctx);
	return 0;
}

static int check_set(struct npu_device *npu, const struct drm_npu_ctx_set *args,
		     u64 *core_mask)
{
	const u32 all = DRM_NPU_CTX_SET_CLASS | DRM_NPU_CTX_SET_PRIORITY |
			DRM_NPU_CTX_SET_CORE_MASK | DRM_NPU_CTX_SET_TIMEOUT;
	int ret;

	if (!args->flags || (args->flags & ~all) || args->pad)
		return -EINVAL;
	if ((!(args->flags & DRM_NPU_CTX_SET_CLASS) && args->sched_class) ||
	    (!(args->flags & DRM_NPU_CTX_SET_PRIORITY) && args->priority) ||
	    (!(args->flags & DRM_NPU_CTX_SET_CORE_MASK) && args->core_mask) ||
	    (!(args->flags & DRM_NPU_CTX_SET_TIMEOUT) && args->timeout_ms))
		return -EINVAL;

	/* What is not to be set is zero, which everybody may have. */
	ret = check_rank(npu, args->sched_class, args->priority);
	if (!ret)
		ret = check_timeout(npu, args->timeout_ms);
	if (!ret && (args->flags & DRM_NPU_CTX_SET_CORE_MASK))
		ret = check_cores(npu, args->core_mask, core_mask);
	return ret;
}

static void set_timeout_locked(struct npu_ctx *ctx, u32 timeout_ms)
{
	lockdep_assert_held(&ctx->npu->sched.lock);

	ctx->timeout_ms = timeout_ms ?: NPU_TIMEOUT_MS;
	if (npu_job_running_locked(ctx))
		npu_fault_watch_locked(ctx->npu->cores[ctx->node.core]);
}

static int set_locked(struct npu_ctx *ctx, const struct drm_npu_ctx_set *args,
		      u64 core_mask)
{
	struct npu_sched_ctx *node = &ctx->node;
	u32 flags = args->flags;
	int ret;

	lockdep_assert_held(&ctx->npu->sched.lock);

	ret = npu_sched_ctx_set(&ctx->npu->sched, node,
				flags & DRM_NPU_CTX_SET_CLASS ? args->sched_class :
								node->sched_class,
				flags & DRM_NPU_CTX_SET_PRIORITY ? args->priority :
								   node->priority,
				flags & DRM_NPU_CTX_SET_CORE_MASK ? core_mask :
								    node->core_mask);
	if (ret)
		return ret;

	if (flags & DRM_NPU_CTX_SET_TIMEOUT)
		set_timeout_locked(ctx, args->timeout_ms);
	npu_device_schedule_locked(ctx->npu);
	return 0;
}

/**
 * npu_ioctl_ctx_set() - DRM_IOCTL_NPU_CTX_SET
 * @drm: the DRM device
 * @data: &struct drm_npu_ctx_set
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_ctx_set(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *npu = to_npu_device(drm);
	struct drm_npu_ctx_set *args = data;
	u64 core_mask = 0;
	struct npu_ctx *ctx;
	int ret;

	ret = check_set(npu, args, &core_mask);
	if (ret)
		return ret;

	ctx = npu_ctx_lookup(file->driver_priv, args->ctx_id);
	if (!ctx)
		return -ENOENT;

	scoped_guard(spinlock_irq, &npu->sched.lock)
		ret = set_locked(ctx, args, core_mask);
	npu_ctx_put(ctx);
	return ret;
}

/**
 * npu_ctx_module_init() - prepare for contexts
 *
 * Return: 0, or -ENOMEM.
 */
int npu_ctx_module_init(void)
{
	npu_ctx_wq = alloc_workqueue("npu-ctx", WQ_UNBOUND, 0);
	return npu_ctx_wq ? 0 : -ENOMEM;
}

/**
 * npu_ctx_module_exit() - wait until the last context is gone
 *
 * No file is open when a module goes, but jobs of closed files may still be
 * about to be freed.
 */
void npu_ctx_module_exit(void)
{
	wait_event(npu_ctx_gone, !atomic_read(&npu_ctx_count));
	destroy_workqueue(npu_ctx_wq);
}
