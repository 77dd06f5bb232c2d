/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_USAGE_H__
#define __NPU_USAGE_H__

#include <linux/types.h>

struct drm_file;
struct drm_printer;
struct npu_ctx;
struct npu_device;
struct npu_job;

/**
 * struct npu_usage_clock - how cycles are counted, for a device
 *
 * Protected by &npu_sched.lock.
 */
struct npu_usage_clock {
	/** @hz: rate of the clock that all cores share */
	u64 hz;

	/** @mult: cycles in a nanosecond, as a binary fraction */
	u32 mult;
};

void npu_usage_set_rate(struct npu_device *npu, u64 hz);
void npu_usage_count_locked(struct npu_job *job, u64 ran);
u64 npu_usage_time_locked(struct npu_ctx *ctx);
void npu_usage_show(struct drm_printer *p, struct drm_file *file);

#endif /* __NPU_USAGE_H__ */
