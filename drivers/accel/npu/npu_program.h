/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_PROGRAM_H__
#define __NPU_PROGRAM_H__

#include <linux/kref.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "npu_task.h"

struct drm_device;
struct drm_file;
struct npu_bo;
struct npu_device;
struct npu_file;
struct npu_vm;

/**
 * struct npu_patch - a place in a program that a run may change
 */
struct npu_patch {
	/** @offset: where it is */
	u32 offset;

	/** @value: what is there when the run does not change it */
	u32 value;
};

/**
 * struct npu_program - a list of tasks that can be run any number of times
 *
 * Referenced by its identifier and by each job that runs it. Constant, but for
 * the command memory and @dirty.
 */
struct npu_program {
	/** @ref: reference count */
	struct kref ref;

	/** @npu: the device; a reference to its DRM device */
	struct npu_device *npu;

	/** @file: the file it counts for; a reference */
	struct npu_file *file;

	/** @vm: the address space it runs in; a reference */
	struct npu_vm *vm;

	/** @bo: command memory, one copy or one for each core */
	struct npu_bo *bo;

	/** @va: address of @bo in @vm */
	u64 va;

	/** @cmds: @bo as the CPU sees it */
	void *cmds;

	/** @size: bytes of command memory */
	u32 size;

	/** @stride: bytes from one core's copy to the next; zero if they share one */
	u32 stride;

	/**
	 * @dirty: copies that are not as they were created, bit n for core n;
	 * protected by &npu_sched.lock
	 */
	u64 dirty;

	/** @patches: what a run may change */
	struct npu_patch *patches;

	/** @num_patches: entries of @patches */
	u32 num_patches;

	/** @tasks: what to do, with offsets for addresses */
	struct npu_task *tasks;

	/** @num_tasks: entries of @tasks */
	u32 num_tasks;

	/** @linked: the command stream of each task names the next one */
	bool linked;

	/** @release_work: frees it, which takes locks that fences may wait for */
	struct work_struct release_work;
};

struct npu_program *npu_program_lookup(struct npu_file *file, u32 id);
void npu_program_put(struct npu_program *program);
void npu_program_patch_locked(struct npu_program *program, unsigned int core,
			      const u32 *values);
const char *npu_program_link(const struct npu_program *program);
u32 npu_program_base(const struct npu_program *program, unsigned int core);
size_t npu_program_peek(const struct npu_program *program, u64 va, void *to, size_t size);

int npu_program_module_init(void);
void npu_program_module_exit(void);

int npu_ioctl_program_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_program_destroy(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_PROGRAM_H__ */
