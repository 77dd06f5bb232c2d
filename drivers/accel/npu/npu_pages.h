/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_PAGES_H__
#define __NPU_PAGES_H__

#include "npu_gem.h"
#include "npu_sram.h"

struct iosys_map;
struct vm_area_struct;
struct vm_operations_struct;

extern const struct vm_operations_struct npu_bo_vm_ops;

/**
 * npu_bo_sgt() - where the memory of a buffer is at this moment
 * @bo: the buffer, locked
 *
 * Return: what to map for the NPU, or NULL when the buffer has no memory.
 */
static inline struct sg_table *npu_bo_sgt(const struct npu_bo *bo)
{
	return bo->sram ? &bo->sram->sgt : bo->sgt;
}

int npu_bo_populate_locked(struct npu_bo *bo);
void npu_bo_drop_locked(struct npu_bo *bo);
void npu_bo_purge_locked(struct npu_bo *bo);
void npu_bo_unmap_locked(struct npu_bo *bo);
void npu_bo_free_pages(struct npu_bo *bo);

bool npu_bo_peek_locked(struct npu_bo *bo, u64 offset, void *to, size_t size);

int npu_bo_pin_locked(struct npu_bo *bo);
void npu_bo_unpin_locked(struct npu_bo *bo);

void *npu_bo_vmap(struct npu_bo *bo);
void npu_bo_vunmap(struct npu_bo *bo);

/* For struct drm_gem_object_funcs */
int npu_gem_pin(struct drm_gem_object *obj);
void npu_gem_unpin(struct drm_gem_object *obj);
int npu_gem_vmap(struct drm_gem_object *obj, struct iosys_map *map);
void npu_gem_vunmap(struct drm_gem_object *obj, struct iosys_map *map);
int npu_gem_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma);
struct sg_table *npu_gem_get_sg_table(struct drm_gem_object *obj);

#endif /* __NPU_PAGES_H__ */
