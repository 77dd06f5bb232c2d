/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_TASK_H__
#define __NPU_TASK_H__

#include <linux/types.h>

struct drm_npu_patch;
struct drm_npu_task;
struct npu_ip;

/**
 * struct npu_task - one command stream, checked
 */
struct npu_task {
	/** @cmd_va: its address; in a program, its offset */
	u32 cmd_va;

	/** @cmd_size: its length in bytes */
	u32 cmd_size;

	/** @done_unit: the unit whose completion ends it */
	u32 done_unit;

	/** @follows: it needs what the task before it has left in the core */
	bool follows;
};

const char *npu_task_check(const struct npu_ip *ip, const struct drm_npu_task *in,
			   bool first, u64 end, struct npu_task *out);
const char *npu_tasks_check_linked(const struct npu_task *tasks, u32 count);
u32 npu_tasks_cut(const struct npu_task *tasks, u32 left, u32 count);
const char *npu_patch_check(const struct drm_npu_patch *in, u64 size);

#endif /* __NPU_TASK_H__ */
