// SPDX-License-Identifier: GPL-2.0-only

#include <linux/align.h>
#include <linux/export.h>
#include <linux/math.h>
#include <linux/minmax.h>

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
 * npu_tasks_check_linked() - can the hardware go from one task to the next?
 * @tasks: the tasks
 * @count: how many
 *
 * It tells the end of the last one, by the unit that ended it.
 *
 * Return: NULL, or what is wrong.
 */
const char *npu_tasks_check_linked(const struct npu_task *tasks, u32 count)
{
	for (u32 i = 1; i < count; i++)
		if (tasks[i].done_unit != tasks[0].done_unit)
			return "they end in different units";
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_tasks_check_linked);

/**
 * npu_tasks_cut() - how many tasks to run together
 * @tasks: the tasks
 * @left: how many there are, not zero
 * @count: how many it should be, not zero
 *
 * Return: at most @count, so that no task is separated from one that it follows;
 * or the first ones that all follow each other, if they are more.
 */
u32 npu_tasks_cut(const struct npu_task *tasks, u32 left, u32 count)
{
	u32 cut = min(left, count);

	while (cut && cut < left && tasks[cut].follows)
		cut--;
	if (cut)
		return cut;

	for (cut = min(left, count); cut < left && tasks[cut].follows; cut++)
		;
	return cut;
}
EXPORT_SYMBOL_IF_KUNIT(npu_tasks_cut);

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
