// SPDX-License-Identifier: GPL-2.0-only

#include <linux/align.h>
#include <linux/export.h>
#include <linux/math.h>

#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_ip.h"
#include "npu_task.h"

/**
 * DOC: Tasks
 *
 * What userspace says about a task, and about the places in a program that it
 * is going to patch, is checked here, once, by functions that look at nothing
 * but their arguments. The streams themselves are not looked at: the page table
 * decides what they can reach.
 */

/**
 * npu_task_check() - check and take over a task
 * @ip: the family that runs it
 * @in: what userspace says
 * @first: it is the first one of its job
 * @end: size of the address space, or of the program, that the stream lies in
 * @out: the task, if it is right
 *
 * The stream counts as long as what the hardware fetches of it, which is whole
 * units.
 *
 * Return: NULL, or what is wrong.
 */
const char *npu_task_check(const struct npu_ip *ip, const struct drm_npu_task *in,
			   bool first, u64 end, struct npu_task *out)
{
	if ((in->flags & ~DRM_NPU_TASK_FOLLOWS) || in->pad)
		return "reserved field is set";
	if (!in->cmd_size || in->cmd_size % sizeof(u64) ||
	    in->cmd_size > ip->max_cmd_size)
		return "bad size";
	if (!IS_ALIGNED(in->cmd_va, ip->cmd_align) || in->cmd_va >= end ||
	    round_up((u64)in->cmd_size, ip->cmd_align) > end - in->cmd_va)
		return "bad address";
	if (in->done_unit >= ip->num_done_units)
		return "unknown unit";
	if (first && (in->flags & DRM_NPU_TASK_FOLLOWS))
		return "nothing to follow";

	*out = (struct npu_task){
		.cmd_va = in->cmd_va,
		.cmd_size = in->cmd_size,
		.done_unit = in->done_unit,
		.follows = in->flags & DRM_NPU_TASK_FOLLOWS,
	};
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_task_check);

/**
 * npu_patch_check() - check a place to patch
 * @in: what userspace says
 * @size: size of the program, a multiple of 8
 *
 * Return: NULL, or what is wrong.
 */
const char *npu_patch_check(const struct drm_npu_patch *in, u64 size)
{
	if (in->flags || in->pad)
		return "reserved field is set";
	if (in->offset >= size)
		return "behind the end";
	if (in->offset % sizeof(u64) > sizeof(u64) - sizeof(u32))
		return "in two words";
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_patch_check);
