/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_GEM_H__
#define __NPU_GEM_H__

#include <linux/types.h>

#include <drm/drm_gem.h>
#include <drm/npu_accel.h>

#include "npu_place.h"

struct drm_device;
struct drm_file;
struct npu_device;
struct npu_sram_mem;
struct npu_vm;
struct page;
struct sg_table;
struct user_struct;

/**
 * struct npu_memlock - a share of RLIMIT_MEMLOCK
 */
struct npu_memlock {
	/** @user: who has it; a reference. NULL if it is nobody's. */
	struct user_struct *user;

	/** @pages: how much it is */
	unsigned long pages;
};

/**
 * struct npu_bo - a buffer
 *
 * What can change is protected by the reservation object in @base.
 */
struct npu_bo {
	/** @base: the buffer for DRM */
	struct drm_gem_object base;

	/** @pages: its memory; NULL when it has none, or when it is imported */
	struct page **pages;

	/** @sgt: the same memory, or the exporter's, mapped for the NPU */
	struct sg_table *sgt;

	/** @sram: on-chip memory, when it is there; @pages are not used then */
	struct npu_sram_mem *sram;

	/** @vaddr: where the kernel has it mapped */
	void *vaddr;

	/** @vmaps: users of @vaddr */
	unsigned int vmaps;

	/** @pins: reasons why @pages have to stay */
	unsigned int pins;

	/**
	 * @vm_resv: owner of the reservation object, for a buffer that is
	 * private to a VM; a reference, so that the reservation object outlives
	 * the VM if it has to
	 */
	struct drm_gem_object *vm_resv;

	/** @vm: that VM; a reference to its memory and not as a user */
	struct npu_vm *vm;

	/** @vm_id: identifier of that VM, or zero */
	u32 vm_id;

	/** @flags: DRM_NPU_BO_* */
	u32 flags;

	/** @advice: one of &enum drm_npu_advice */
	u32 advice;

	/** @used: it has had memory since it was created or purged */
	bool used;

	/** @purged: its content is lost, and it gets no memory until revived */
	bool purged;

	/** @exported: there is a dma-buf of it */
	bool exported;

	/** @reclaimable: it counts as &npu_reclaim.evictable */
	bool reclaimable;

	/** @place: where it would like to be */
	struct npu_place_bo place;

	/** @memlock: what it counts against RLIMIT_MEMLOCK */
	struct npu_memlock memlock;
};

/**
 * to_npu_bo() - the buffer behind a GEM object
 * @obj: a GEM object of this driver
 *
 * Return: the buffer.
 */
static inline struct npu_bo *to_npu_bo(struct drm_gem_object *obj)
{
	return container_of(obj, struct npu_bo, base);
}

/**
 * npu_bo_is_wc() - how does the CPU see a buffer?
 * @bo: the buffer
 *
 * On-chip memory is not cached. A buffer that comes and goes there is mapped the
 * same way wherever it is.
 *
 * Return: true if it is mapped write-combined, false if it is cached.
 */
static inline bool npu_bo_is_wc(const struct npu_bo *bo)
{
	return bo->flags & (DRM_NPU_BO_WC | DRM_NPU_BO_SRAM | DRM_NPU_BO_SRAM_PREFERRED);
}

struct npu_bo *npu_bo_create_kernel(struct npu_device *npu, struct npu_vm *vm,
				    u64 size);
struct npu_bo *npu_bo_alloc(void);
void npu_bo_put(struct npu_bo *bo);
void npu_bo_sync_range_locked(struct npu_bo *bo, u64 offset, u64 size, u32 dir);

int npu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_madvise(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_query(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_GEM_H__ */
