/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_DRV_H__
#define __NPU_DRV_H__

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "npu_sched.h"

struct drm_driver;
struct drm_npu_array;
struct npu_device;

/**
 * struct npu_file - what one open file of the device owns
 *
 * Referenced by the file and by its contexts and programs, which may last longer.
 */
struct npu_file {
	/** @ref: reference count */
	struct kref ref;

	/** @npu: the device */
	struct npu_device *npu;

	/** @lock: protects the tables below and their counts */
	struct mutex lock;

	/** @vms: address spaces by identifier */
	struct xarray vms;

	/** @ctxs: contexts by identifier */
	struct xarray ctxs;

	/** @programs: programs by identifier */
	struct xarray programs;

	/** @num_vms: entries of @vms */
	u32 num_vms;

	/** @all_ctxs: contexts that exist, with or without an identifier */
	struct list_head all_ctxs;

	/** @num_ctxs: entries of @all_ctxs */
	u32 num_ctxs;

	/**
	 * @gone_ns: hardware time of contexts that do not exist any more
	 */
	u64 gone_ns;

	/** @gone_cycles: the same in cycles */
	u64 gone_cycles;

	/** @num_programs: programs that exist, with or without an identifier */
	u32 num_programs;

	/** @share: what its contexts have of the cores */
	struct npu_sched_client share;

	/** @next_vm: where to look for a free identifier in @vms */
	u32 next_vm;

	/** @next_ctx: where to look for a free identifier in @ctxs */
	u32 next_ctx;

	/** @next_program: where to look for a free identifier in @programs */
	u32 next_program;
};

extern const struct drm_driver npu_drm_driver;

int npu_array_check(const struct drm_npu_array *array, size_t min, u32 max);
void *npu_array_copy_to(const struct drm_npu_array *array, size_t min, size_t size,
			u32 max, void *room, size_t room_size);

/* Elements in memory of their own, for kvfree() */
static inline void *npu_array_copy(const struct drm_npu_array *array, size_t min,
				   size_t size, u32 max)
{
	return npu_array_copy_to(array, min, size, max, NULL, 0);
}

int npu_file_add(struct npu_file *file, struct xarray *table, void *entry,
		 u32 *next, u32 *id);
void npu_file_put(struct npu_file *file);

#endif /* __NPU_DRV_H__ */
