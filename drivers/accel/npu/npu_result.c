// SPDX-License-Identifier: GPL-2.0-only

#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>

#include <kunit/visibility.h>

#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_job.h"
#include "npu_result.h"

/**
 * DOC: Results
 *
 * A fence tells whether its job went well. What else there is to know about a
 * job, like when it ran and which address it could not access, is kept by the
 * context in a ring that has room for as many jobs as can be unfinished. It is
 * allocated with the context, so that a result can be written by an interrupt
 * handler; and it is written when the job ends, before its fence signals, so
 * that whoever was woken by the fence finds it.
 *
 * Jobs have ids that count up, which makes the ring a table: a job has ended
 * when its place holds its id, and was forgotten when it holds a later one. It
 * cannot hold a later one while the job is unfinished, because that would be one
 * unfinished job too many. So nothing has to be written when a job is queued.
 */

static_assert(NPU_MAX_RESULTS >= NPU_MAX_QUEUED);

static struct drm_npu_job_result *place_of(const struct npu_results *results, u64 job)
{
	return &results->ring[job % NPU_MAX_RESULTS];
}

/**
 * npu_results_init() - prepare for the jobs of a context
 * @results: zeroed
 *
 * Return: 0 or -ENOMEM.
 */
int npu_results_init(struct npu_results *results)
{
	results->ring = kvcalloc(NPU_MAX_RESULTS, sizeof(*results->ring),
				 GFP_KERNEL_ACCOUNT);
	return results->ring ? 0 : -ENOMEM;
}
EXPORT_SYMBOL_IF_KUNIT(npu_results_init);

/**
 * npu_results_fini() - undo npu_results_init()
 * @results: the results
 */
void npu_results_fini(struct npu_results *results)
{
	kvfree(results->ring);
}
EXPORT_SYMBOL_IF_KUNIT(npu_results_fini);

/**
 * npu_results_add() - a job has ended
 * @results: the results of its context
 * @result: what became of it
 *
 * Called with &npu_sched.lock.
 */
void npu_results_add(struct npu_results *results,
		     const struct drm_npu_job_result *result)
{
	*place_of(results, result->job) = *result;
	if (result->error)
		results->failed++;
	else
		results->done++;
}
EXPORT_SYMBOL_IF_KUNIT(npu_results_add);

/**
 * npu_results_get() - what became of a job?
 * @results: the results of its context
 * @job: its id
 * @result: the answer; a job that has not ended counts as queued
 *
 * Called with &npu_sched.lock.
 */
void npu_results_get(const struct npu_results *results, u64 job,
		     struct drm_npu_job_result *result)
{
	const struct drm_npu_job_result *place = place_of(results, job);

	*result = (struct drm_npu_job_result){ .job = job };
	if (!job || job > READ_ONCE(results->last_job))
		return;
	if (place->job == job)
		*result = *place;
	else if (place->job < job)
		result->state = DRM_NPU_JOB_QUEUED;
}
EXPORT_SYMBOL_IF_KUNIT(npu_results_get);

static int query_one(struct npu_ctx *ctx, u64 id, void __user *user, u32 stride)
{
	struct npu_sched *sched = &ctx->npu->sched;
	struct drm_npu_job_result result;
	struct npu_job *running;

	scoped_guard(spinlock_irq, &sched->lock) {
		running = npu_job_running_locked(ctx);
		if (running && running->result.job == id)
			npu_job_progress_locked(running, &result);
		else
			npu_results_get(&ctx->results, id, &result);
	}
	return copy_struct_to_user(user, stride, &result, sizeof(result), NULL);
}

/**
 * npu_ioctl_job_query() - DRM_IOCTL_NPU_JOB_QUERY
 * @drm: the DRM device
 * @data: &struct drm_npu_job_query
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_job_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_job_query *args = data;
	const struct drm_npu_array *array = &args->results;
	struct npu_ctx *ctx;
	int ret;

	if (args->flags || !args->first_job)
		return -EINVAL;

	ret = npu_array_check(array, sizeof(struct drm_npu_job_result), NPU_MAX_RESULTS);
	if (ret)
		return ret;

	ctx = npu_ctx_lookup(file->driver_priv, args->ctx_id);
	if (!ctx)
		return -ENOENT;

	for (u32 i = 0; i < array->count && !ret; i++) {
		ret = query_one(ctx, args->first_job + i,
				u64_to_user_ptr(array->ptr + (u64)i * array->stride),
				array->stride);
		cond_resched();
	}
	npu_ctx_put(ctx);
	return ret;
}
