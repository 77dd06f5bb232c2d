/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_VM_H__
#define __NPU_VM_H__

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include <drm/drm_gpuvm.h>

struct drm_device;
struct drm_file;
struct iommu_domain;
struct npu_bo;
struct npu_device;
struct npu_file;

/**
 * struct npu_vm - an address space
 *
 * Two reference counts: @ref counts its users and when it drops to zero
 * everything is unmapped; the one in @base counts what points to this memory,
 * mappings included.
 */
struct npu_vm {
	/** @base: what is mapped where; protected by @lock */
	struct drm_gpuvm base;

	/** @ref: identifiers and contexts */
	struct kref ref;

	/** @npu: the device */
	struct npu_device *npu;

	/** @domain: page table */
	struct iommu_domain *domain;

	/**
	 * @lock: protects the mappings in @base and in @domain. Allocations are
	 * allowed under it.
	 */
	struct mutex lock;

	/** @hint: no page below it is free; protected by @lock */
	u64 hint;

	/** @num_maps: mappings in @base; protected by @lock */
	u32 num_maps;

	/** @num_kernel_maps: those of them that are the kernel's own */
	u32 num_kernel_maps;
};

struct npu_vm *npu_vm_lookup(struct npu_file *file, u32 id);
struct npu_vm *npu_vm_get(struct npu_vm *vm);
void npu_vm_put(struct npu_vm *vm);

int npu_vm_map_kernel(struct npu_vm *vm, struct npu_bo *bo, u64 *va);
void npu_vm_unmap_kernel(struct npu_vm *vm, struct npu_bo *bo);

struct drm_gpuva *npu_vm_find_locked(struct npu_vm *vm, u64 va, u64 size);
u64 npu_vm_start(const struct npu_device *npu);
u64 npu_vm_end(const struct npu_device *npu);

int npu_ioctl_vm_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_vm_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_VM_H__ */
