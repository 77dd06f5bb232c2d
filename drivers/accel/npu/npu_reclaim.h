/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_RECLAIM_H__
#define __NPU_RECLAIM_H__

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include <drm/drm_gem.h>

struct npu_bo;
struct npu_device;
struct npu_vm;
struct shrinker;

/**
 * struct npu_reclaim - buffers whose memory can be had back
 *
 * The lists are protected by &drm_device.gem_lru_mutex.
 */
struct npu_reclaim {
	/** @shrinker: how the system asks for it */
	struct shrinker *shrinker;

	/** @discardable: buffers whose content is not needed */
	struct drm_gem_lru discardable;

	/** @unbound: buffers private to no VM that only the CPU has used so far */
	struct drm_gem_lru unbound;

	/** @shared: buffers private to no VM that are mapped */
	struct drm_gem_lru shared;

	/** @vms: VMs with their private buffers, last used last */
	struct list_head vms;

	/** @uses: how often a VM was used; orders @vms */
	u64 uses;

	/** @evictable: pages in all lists but @discardable */
	atomic_long_t evictable;

	/** @last_resort: held by the one that tries again to get memory */
	struct mutex last_resort;
};

/**
 * struct npu_patience - how long somebody has been trying to get memory
 */
struct npu_patience {
	/** @npu: the device */
	struct npu_device *npu;

	/** @pages: what to reclaim before the next try */
	unsigned long pages;

	/** @alone: it holds &npu_reclaim.last_resort */
	bool alone;

	/** @deadline: when it gives up, in jiffies */
	unsigned long deadline;
};

/**
 * struct npu_reclaim_vm - what reclaim knows about a VM
 *
 * Protected by &drm_device.gem_lru_mutex.
 */
struct npu_reclaim_vm {
	/** @buffers: private buffers */
	struct drm_gem_lru buffers;

	/** @node: in &npu_reclaim.vms */
	struct list_head node;

	/** @used: &npu_reclaim.uses when it was used last */
	u64 used;
};

int npu_reclaim_init(struct npu_device *npu);
void npu_reclaim_vm_add(struct npu_vm *vm);
void npu_reclaim_vm_used(struct npu_vm *vm);
void npu_reclaim_vm_remove(struct npu_vm *vm);
bool npu_reclaim_has_room(struct npu_device *npu, long pages, struct npu_vm *vm);
bool npu_reclaim_again(struct npu_patience *patience, int *ret);
void npu_reclaim_update(struct npu_bo *bo);
void npu_reclaim_forget(struct npu_bo *bo);

#endif /* __NPU_RECLAIM_H__ */
