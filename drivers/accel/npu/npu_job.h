/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_JOB_H__
#define __NPU_JOB_H__

#include <linux/types.h>

#include <drm/gpu_scheduler.h>
#include <drm/npu_accel.h>

#include "npu_sched.h"
#include "npu_task.h"

struct npu_core;
struct npu_core_fault;
struct npu_ctx;
struct npu_device;
struct npu_fence;
struct npu_program;

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
	struct npu_fence *fence;

	/** @counted: it is part of &npu_ctx.queued */
	bool counted;

	/** @cur: task that runs or comes next; protected by &npu_sched.lock */
	u32 cur;

	/** @linked: the hardware goes from one task to the next; constant */
	bool linked;

	/**
	 * @part_ns: for a linked job, when its core was last given tasks;
	 * protected by &npu_sched.lock
	 */
	u64 part_ns;

	/**
	 * @task_ns: for a linked job, what its tasks take, the average of those
	 * that were run together, or the longest such; zero when unknown
	 */
	u64 task_ns;

	/**
	 * @since_ns: when it got the core that works on it, or zero; protected
	 * by &npu_sched.lock
	 */
	u64 since_ns;

	/**
	 * @counted_ns: for how long since then its cycles are counted already;
	 * protected by &npu_sched.lock
	 */
	u64 counted_ns;

	/**
	 * @result: its id, and what is known of its fate so far; protected by
	 * &npu_sched.lock
	 */
	struct drm_npu_job_result result;

	/** @program: the program it runs, or NULL; a reference */
	struct npu_program *program;

	/** @values: one for each patch of @program, or NULL */
	u32 *values;

	/** @num_tasks: entries of @tasks */
	u32 num_tasks;

	/** @tasks: what to do: @own_tasks, or those of @program */
	const struct npu_task *tasks;

	/** @num_own_tasks: entries of @own_tasks */
	u32 num_own_tasks;

	/** @own_tasks: tasks that are not of a program */
	struct npu_task own_tasks[] __counted_by(num_own_tasks);
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
void npu_job_set_program(struct npu_job *job, struct npu_program *program, u32 *values);
void npu_job_cancel(struct npu_job *job);
struct npu_task npu_job_task_locked(const struct npu_job *job,
				    const struct npu_core *core);
void npu_job_begin_locked(struct npu_job *job, struct npu_core *core, u64 now);
u32 npu_job_part_locked(struct npu_job *job);
void npu_job_part_done_locked(struct npu_job *job, u32 count);
u64 npu_job_leave_locked(struct npu_job *job, u64 now);
void npu_job_blame_locked(struct npu_job *job, const struct npu_core_fault *fault);
struct npu_job *npu_job_running_locked(struct npu_ctx *ctx);
void npu_job_progress_locked(const struct npu_job *job,
			     struct drm_npu_job_result *result);
void npu_job_finish_locked(struct npu_job *job, int error);
void npu_job_finish_list_locked(struct npu_device *npu, struct list_head *jobs,
				int error);
void npu_job_flush(struct npu_device *npu);

#endif /* __NPU_JOB_H__ */
