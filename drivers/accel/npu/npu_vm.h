/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_VM_H__
#define __NPU_VM_H__

#include <linux/kref.h>
#include <linux/types.h>

#include <drm/drm_gpuvm.h>

#include "npu_place.h"
#include "npu_reclaim.h"

struct drm_device;
struct drm_exec;
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
 *
 * The reservation object in @base is the lock of the address space: of the
 * mappings in @base and in @domain, and of what is said to be locked below.
 */
struct npu_vm {
	/** @base: what is mapped where; locked */
	struct drm_gpuvm base;

	/** @ref: identifiers and contexts */
	struct kref ref;

	/** @npu: the device */
	struct npu_device *npu;

	/** @client: id of the file that made it; never zero */
	u64 client;

	/** @domain: page table */
	struct iommu_domain *domain;

	/** @hint: no page below it is free; locked */
	u64 hint;

	/** @num_maps: mappings in @base; locked */
	u32 num_maps;

	/** @num_kernel_maps: those of them that are the kernel's own; locked */
	u32 num_kernel_maps;

	/** @place: which of its buffers want to be in on-chip memory */
	struct npu_place_vm place;

	/** @reclaim: which of its buffers can be reclaimed */
	struct npu_reclaim_vm reclaim;
};

/**
 * enum npu_vm_place - where the memory behind a mapping is
 */
enum npu_vm_place {
	/** @NPU_VM_MAP_ABSENT: nowhere, until the next submit */
	NPU_VM_MAP_ABSENT,

	/** @NPU_VM_MAP_SYSTEM: in system memory */
	NPU_VM_MAP_SYSTEM,

	/** @NPU_VM_MAP_SRAM: in on-chip memory */
	NPU_VM_MAP_SRAM,

	/** @NPU_VM_MAP_FOREIGN: it is that of an imported dma-buf */
	NPU_VM_MAP_FOREIGN,
};

/**
 * struct npu_vm_map - a mapping, for those who want to look at it
 */
struct npu_vm_map {
	/** @va: address */
	u64 va;

	/** @size: bytes */
	u64 size;

	/** @offset: first byte of the buffer */
	u64 offset;

	/** @bo_size: size of the buffer */
	u64 bo_size;

	/** @bo_flags: DRM_NPU_BO_* */
	u32 bo_flags;

	/** @place: where the memory is */
	enum npu_vm_place place;

	/** @readonly: the NPU may not write through it */
	bool readonly;

	/** @kernel: it is the command memory of a program */
	bool kernel;
};

struct npu_vm *npu_vm_lookup(struct npu_file *file, u32 id);
struct npu_vm *npu_vm_get(struct npu_vm *vm);
void npu_vm_put(struct npu_vm *vm);

int npu_vm_map_kernel(struct npu_vm *vm, struct npu_bo *bo, u64 *va);
void npu_vm_unmap_kernel(struct npu_vm *vm, struct npu_bo *bo);

int npu_vm_restore_locked(struct npu_vm *vm, struct drm_exec *exec);

bool npu_vm_maps(struct npu_bo *bo);
bool npu_vm_trylock_all(struct npu_bo *bo);
void npu_vm_unlock_all(struct npu_bo *bo);
bool npu_vm_all_idle_locked(struct npu_bo *bo);
void npu_vm_evict_locked(struct npu_bo *bo);
void npu_vm_forget_evicted_locked(struct npu_bo *bo);
void npu_vm_remember_evicted_locked(struct npu_bo *bo);

size_t npu_vm_peek_locked(struct npu_vm *vm, u64 va, void *to, size_t size);
u32 npu_vm_list_locked(struct npu_vm *vm, struct npu_vm_map *maps, u32 max);
struct drm_gpuva *npu_vm_find_locked(struct npu_vm *vm, u64 va, u64 size);
u64 npu_vm_start(const struct npu_device *npu);
u64 npu_vm_end(const struct npu_device *npu);

int npu_ioctl_vm_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_vm_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_VM_H__ */
