/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_CTX_H__
#define __NPU_CTX_H__

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <drm/gpu_scheduler.h>

#include "npu_result.h"
#include "npu_sched.h"

struct drm_device;
struct drm_file;
struct drm_npu_ctx_query;
struct npu_device;
struct npu_file;
struct npu_vm;

/**
 * struct npu_ctx - an execution context: an ordered queue of jobs
 *
 * Referenced by its identifier and by each of its jobs.
 */
struct npu_ctx {
	/** @ref: reference count */
	struct kref ref;

	/** @id: identifier that userspace had for it, for those who look on */
	u32 id;

	/** @file: the file it counts for; a reference */
	struct npu_file *file;

	/** @file_link: place in &npu_file.all_ctxs */
	struct list_head file_link;

	/** @npu: the device; a reference to its DRM device */
	struct npu_device *npu;

	/** @vm: address space of its jobs; a reference */
	struct npu_vm *vm;

	/** @vm_id: identifier that @vm had when the context was created */
	u32 vm_id;

	/** @node: the context for the policy */
	struct npu_sched_ctx node;

	/** @sched: holds dependencies and fences of its jobs */
	struct drm_gpu_scheduler sched;

	/** @entity: the only queue of @sched */
	struct drm_sched_entity entity;

	/**
	 * @submit_lock: keeps jobs of one submit together and in the order of
	 * their fences
	 */
	struct mutex submit_lock;

	/** @queued: jobs that are not finished */
	atomic_t queued;

	/** @queued_tasks: tasks of their own that these jobs have */
	atomic_t queued_tasks;

	/**
	 * @timeout_ms: how long its jobs may be without progress; protected by
	 * &npu_sched.lock
	 */
	u32 timeout_ms;

	/** @results: what became of its jobs */
	struct npu_results results;

	/**
	 * @error: 0, or what became of the context: -EIO when it was banned,
	 * -ECANCELED when its owner was killed. Changed under &npu_sched.lock.
	 */
	int error;

	/** @fence_context: timeline of the hardware fences */
	u64 fence_context;

	/** @seqno: last hardware fence; only run_job uses it, one at a time */
	u64 seqno;

	/** @release_work: frees it outside of the scheduler's own work */
	struct work_struct release_work;

	/** @rcu: fences may still read the name of @sched */
	struct rcu_head rcu;
};

struct npu_ctx *npu_ctx_lookup(struct npu_file *file, u32 id);
struct npu_ctx *npu_ctx_get(struct npu_ctx *ctx);
void npu_ctx_put(struct npu_ctx *ctx);
void npu_ctx_flush(struct npu_device *npu);
void npu_ctx_query_locked(struct npu_ctx *ctx, struct drm_npu_ctx_query *args);
void npu_ctx_close_all(struct npu_file *file);
void npu_ctx_describe(struct drm_npu_device_info *info);

int npu_ctx_module_init(void);
void npu_ctx_module_exit(void);

int npu_ioctl_ctx_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_ctx_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_ctx_query(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_ctx_set(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_CTX_H__ */
