/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_RESULT_H__
#define __NPU_RESULT_H__

#include <linux/types.h>

#include <drm/npu_accel.h>

struct drm_device;
struct drm_file;

/**
 * struct npu_results - what became of the jobs of a context
 *
 * Everything but @last_job is protected by &npu_sched.lock.
 */
struct npu_results {
	/** @ring: results of jobs that ended, by the low bits of their id */
	struct drm_npu_job_result *ring;

	/**
	 * @last_job: id of the youngest job; changed under
	 * &npu_ctx.submit_lock, before anybody else can see the job
	 */
	u64 last_job;

	/** @done: jobs that ended without an error */
	u64 done;

	/** @failed: jobs that ended with one */
	u64 failed;

	/** @hw_time_ns: time that jobs had cores, without the one that has one now */
	u64 hw_time_ns;

	/** @hw_cycles: the same in cycles, as far as they are counted */
	u64 hw_cycles;

	/** @fault: result of the job the context was banned for */
	struct drm_npu_job_result fault;
};

int npu_results_init(struct npu_results *results);
void npu_results_fini(struct npu_results *results);
void npu_results_add(struct npu_results *results,
		     const struct drm_npu_job_result *result);
void npu_results_get(const struct npu_results *results, u64 job,
		     struct drm_npu_job_result *result);

int npu_ioctl_job_query(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_RESULT_H__ */
