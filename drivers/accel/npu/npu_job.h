/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_JOB_H__
#define __NPU_JOB_H__

#include <linux/types.h>

#include <drm/gpu_scheduler.h>
#include <drm/npu_accel.h>

#include "npu_sched.h"

struct npu_core;
struct npu_core_fault;
struct npu_ctx;

/**
 * struct npu_task - one command stream, checked
 */
struct npu_task {
	/** @cmd_va: its address */
	u32 cmd_va;

	/** @cmd_size: its length in bytes */
	u32 cmd_size;

	/** @done_unit: the unit whose completion ends it */
	u32 done_unit;
};

/**
 * struct npu_job - a list of tasks on its way through a context
 */
struct npu_job {
	/** @base: the job for the DRM scheduler, which owns it once pushed */
	struct drm_sched_job base;

	/** @node: the job for the policy */
	struct npu_sched_job node;

	/** @ctx: its queue; a reference */
	struct npu_ctx *ctx;

	/** @fence: what the hardware signals; initialised in run_job */
	struct dma_fence *fence;

	/** @counted: it is part of &npu_ctx.queued */
	bool counted;

	/** @cur: task that runs or comes next; protected by &npu_sched.lock */
	u32 cur;

	/**
	 * @since_ns: when it got the core that works on it, or zero; protected
	 * by &npu_sched.lock
	 */
	u64 since_ns;

	/**
	 * @result: its id, and what is known of its fate so far; protected by
	 * &npu_sched.lock
	 */
	struct drm_npu_job_result result;

	/** @num_tasks: entries of @tasks */
	u32 num_tasks;

	/** @tasks: what to do */
	struct npu_task tasks[] __counted_by(num_tasks);
};

/**
 * to_npu_job() - the job of a scheduler job
 * @base: the scheduler job
 *
 * Return: the job.
 */
static inline struct npu_job *to_npu_job(struct drm_sched_job *base)
{
	return container_of(base, struct npu_job, base);
}

/**
 * node_to_npu_job() - the job behind the policy's view of it
 * @node: the policy's view, or NULL
 *
 * Return: the job, or NULL.
 */
static inline struct npu_job *node_to_npu_job(struct npu_sched_job *node)
{
	return node ? container_of(node, struct npu_job, node) : NULL;
}

extern const struct drm_sched_backend_ops npu_job_sched_ops;

struct npu_job *npu_job_create(struct npu_ctx *ctx, u32 num_tasks, u64 client_id);
void npu_job_cancel(struct npu_job *job);
void npu_job_begin_locked(struct npu_job *job, struct npu_core *core);
void npu_job_leave_locked(struct npu_job *job);
void npu_job_blame_locked(struct npu_job *job, const struct npu_core_fault *fault);
struct npu_job *npu_job_running_locked(struct npu_ctx *ctx);
void npu_job_progress_locked(struct npu_job *job, struct drm_npu_job_result *result);
void npu_job_finish_locked(struct npu_job *job, int error);
void npu_job_finish_list_locked(struct npu_device *npu, struct list_head *jobs,
				int error);

#endif /* __NPU_JOB_H__ */
