/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_GEM_H__
#define __NPU_GEM_H__

#include <linux/types.h>

#include <drm/drm_gem_shmem_helper.h>

struct drm_device;
struct drm_file;
struct npu_device;
struct npu_vm;
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
 */
struct npu_bo {
	/** @base: the buffer for the helpers; has to come first */
	struct drm_gem_shmem_object base;

	/**
	 * @vm_resv: owner of the reservation object, for a buffer that is
	 * private to a VM; a reference, so that the reservation object outlives
	 * the VM if it has to
	 */
	struct drm_gem_object *vm_resv;

	/** @vm_id: identifier of that VM, or zero */
	u32 vm_id;

	/** @flags: DRM_NPU_BO_* */
	u32 flags;

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
	return container_of(to_drm_gem_shmem_obj(obj), struct npu_bo, base);
}

struct npu_bo *npu_bo_create_kernel(struct npu_device *npu, struct npu_vm *vm,
				    u64 size);
void npu_bo_put(struct npu_bo *bo);
void *npu_bo_vmap(struct npu_bo *bo);
void npu_bo_vunmap(struct npu_bo *bo);

struct drm_gem_object *npu_gem_create_object(struct drm_device *drm, size_t size);

int npu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_query(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_GEM_H__ */
