// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-resv.h>
#include <linux/iommu.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_core.h"
#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_fault.h"
#include "npu_gem.h"
#include "npu_ip.h"
#include "npu_pages.h"
#include "npu_place.h"
#include "npu_vm.h"

/**
 * DOC: Address spaces
 *
 * A VM is a page table of the IOMMU with a &struct drm_gpuvm that knows what is
 * in it. It belongs to those who use it and not to the file that made it: its
 * identifier, and the contexts that run in it, which jobs keep alive in turn.
 * With the last of them everything is unmapped. Buffers are no users, or a
 * mapped private buffer and its VM would keep each other for ever; what a
 * private buffer needs, the reservation object, has a reference count of its
 * own.
 *
 * Binding is synchronous. The NPU has no page faults to resolve later, and
 * userspace that wants binds ordered against jobs has fences to wait for. A
 * mapping is never replaced silently: that is an unmap and a map, so that a
 * mistake shows as an error and not as wrong data.
 *
 * The reservation object of a VM is the lock of its mappings. Whoever changes
 * one has it locked, and so has whoever needs them to stay: a submit, until its
 * fence is in there. What is locked or has unfinished jobs is not reclaimed.
 *
 * When the memory of a buffer goes, its mappings lose their place in the page
 * table and nothing else, and the VM puts the buffer on a list of what its next
 * submit has to restore.
 *
 * Command memory of programs is mapped by the kernel, between what userspace
 * maps, and stays until the program goes.
 *
 * The first page is never mapped, so address zero, which is what a forgotten
 * field of a command stream contains, always faults. Addresses that the kernel
 * chooses ascend from there.
 */

/* Mappings in one VM; each costs kernel memory */
#define NPU_VM_MAX_MAPS		65536

/**
 * enum npu_map_flags - what is special about a mapping, in &drm_gpuva.flags
 */
enum npu_map_flags {
	/** @NPU_MAP_READONLY: the NPU may not write through it */
	NPU_MAP_READONLY = DRM_GPUVA_USERBITS,

	/** @NPU_MAP_KERNEL: it is the kernel's, and userspace cannot unmap it */
	NPU_MAP_KERNEL = DRM_GPUVA_USERBITS << 1,
};

/**
 * struct npu_vm_unmap - memory for one unmap, which must not fail halfway
 */
struct npu_vm_unmap {
	/** @vm: the address space */
	struct npu_vm *vm;

	/** @spare: for what remains at both ends of the range */
	struct drm_gpuva *spare[2];
};

/**
 * struct npu_map_range - what to map where
 */
struct npu_map_range {
	/** @va: the address, or zero to have one chosen */
	u64 va;

	/** @size: bytes */
	u64 size;

	/** @offset: first byte of the buffer */
	u64 offset;

	/** @flags: of &enum npu_map_flags */
	unsigned int flags;
};

/**
 * struct npu_vm_bo - a buffer in a VM
 */
struct npu_vm_bo {
	/** @base: its mappings */
	struct drm_gpuvm_bo base;

	/** @mapped: they are in the page table; locked by the VM */
	bool mapped;
};

static struct npu_vm_bo *to_npu_vm_bo(struct drm_gpuvm_bo *base)
{
	return container_of(base, struct npu_vm_bo, base);
}

static struct npu_vm *to_npu_vm(struct drm_gpuvm *base)
{
	return container_of(base, struct npu_vm, base);
}

/**
 * npu_vm_start() - first address that may be mapped
 * @npu: the device
 *
 * Return: the address.
 */
u64 npu_vm_start(const struct npu_device *npu)
{
	return PAGE_SIZE;
}

/**
 * npu_vm_end() - first address behind the last that may be mapped
 * @npu: the device
 *
 * Return: the address.
 */
u64 npu_vm_end(const struct npu_device *npu)
{
	return BIT_ULL(npu->ip->va_bits);
}

static struct drm_gpuva *take_spare(struct npu_vm_unmap *unmap)
{
	struct drm_gpuva *va = unmap->spare[0] ?: unmap->spare[1];

	if (va == unmap->spare[0])
		unmap->spare[0] = NULL;
	else
		unmap->spare[1] = NULL;
	return va;
}

static void unmap_pages(struct npu_vm *vm, u64 va, u64 size)
{
	size_t unmapped = iommu_unmap(vm->domain, va, size);

	if (unmapped != size)
		drm_err(&vm->npu->drm, "unmapped %#zx of %#llx bytes at %#llx\n",
			unmapped, size, va);
}

/* A range of a mapping becomes free. */
static void unmap_range(struct npu_vm *vm, struct drm_gpuva *map, u64 va, u64 size)
{
	if (to_npu_vm_bo(map->vm_bo)->mapped)
		unmap_pages(vm, va, size);
	vm->hint = min(vm->hint, va);
}

static int step_unmap(struct drm_gpuva_op *op, void *priv)
{
	struct npu_vm_unmap *unmap = priv;
	struct drm_gpuva *va = op->unmap.va;

	unmap_range(unmap->vm, va, va->va.addr, va->va.range);
	drm_gpuva_unmap(&op->unmap);
	drm_gpuva_unlink_defer(va);
	kfree(va);
	unmap->vm->num_maps--;
	return 0;
}

static int step_remap(struct drm_gpuva_op *op, void *priv)
{
	struct npu_vm_unmap *unmap = priv;
	struct drm_gpuva *old = op->remap.unmap->va;
	struct drm_gpuva *prev = op->remap.prev ? take_spare(unmap) : NULL;
	struct drm_gpuva *next = op->remap.next ? take_spare(unmap) : NULL;
	struct drm_gem_object *obj = old->gem.obj;
	u64 addr, range;

	/* What remains stays in the page table, undisturbed. */
	drm_gpuva_op_remap_to_unmap_range(&op->remap, &addr, &range);
	unmap_range(unmap->vm, old, addr, range);

	drm_gpuva_remap(prev, next, &op->remap);
	if (prev)
		prev->flags = old->flags;
	if (next)
		next->flags = old->flags;

	mutex_lock(&obj->gpuva.lock);
	if (prev)
		drm_gpuva_link(prev, old->vm_bo);
	if (next)
		drm_gpuva_link(next, old->vm_bo);
	mutex_unlock(&obj->gpuva.lock);

	drm_gpuva_unlink_defer(old);
	kfree(old);
	unmap->vm->num_maps += !!prev + !!next - 1;
	return 0;
}

static void npu_vm_free(struct drm_gpuvm *base)
{
	struct npu_vm *vm = to_npu_vm(base);

	npu_reclaim_vm_remove(vm);
	kfree(vm);
}

static struct drm_gpuvm_bo *npu_vm_bo_alloc(void)
{
	struct npu_vm_bo *vm_bo = kzalloc_obj(*vm_bo, GFP_KERNEL_ACCOUNT);

	return vm_bo ? &vm_bo->base : NULL;
}

/* Puts a range of a buffer into the page table; all or nothing. */
static int map_pages(struct npu_vm *vm, struct sg_table *sgt, u64 va, u64 size,
		     u64 offset, unsigned int flags)
{
	int prot = IOMMU_READ | (flags & NPU_MAP_READONLY ? 0 : IOMMU_WRITE);
	u64 start = va, len;
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (offset >= sg_dma_len(sg)) {
			offset -= sg_dma_len(sg);
			continue;
		}
		len = min(sg_dma_len(sg) - offset, size);
		ret = iommu_map(vm->domain, va, sg_dma_address(sg) + offset, len, prot,
				GFP_KERNEL_ACCOUNT);
		if (ret)
			goto err_unmap;
		va += len;
		size -= len;
		offset = 0;
		if (!size)
			return 0;
	}
	ret = -EINVAL;

err_unmap:
	if (va != start)
		iommu_unmap(vm->domain, start, va - start);
	return ret;
}

/* Gives a buffer memory, and puts its mappings into the page table. */
static int restore_bo_locked(struct drm_gpuvm_bo *vm_bo)
{
	struct npu_vm *vm = to_npu_vm(vm_bo->vm);
	struct npu_bo *bo = to_npu_bo(vm_bo->obj);
	struct drm_gpuva *map;
	int ret = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	if (!drm_gem_is_imported(&bo->base))
		ret = npu_bo_populate_locked(bo);
	if (ret || to_npu_vm_bo(vm_bo)->mapped)
		return ret;

	drm_gpuvm_bo_for_each_va(map, vm_bo) {
		ret = map_pages(vm, npu_bo_sgt(bo), map->va.addr, map->va.range,
				map->gem.offset, map->flags);
		if (ret)
			goto err_unmap;
	}
	to_npu_vm_bo(vm_bo)->mapped = true;
	drm_gpuvm_bo_evict(vm_bo, false);
	return 0;

err_unmap:
	list_for_each_entry_continue_reverse(map, &vm_bo->list.gpuva, gem.entry)
		unmap_pages(vm, map->va.addr, map->va.range);
	return ret;
}

static int validate(struct drm_gpuvm_bo *vm_bo, struct drm_exec *exec)
{
	int ret = drm_exec_lock_obj(exec, vm_bo->obj);

	return ret ?: restore_bo_locked(vm_bo);
}

static const struct drm_gpuvm_ops npu_vm_ops = {
	.vm_free = npu_vm_free,
	.vm_bo_alloc = npu_vm_bo_alloc,
	.vm_bo_validate = validate,
	.sm_step_unmap = step_unmap,
	.sm_step_remap = step_remap,
};

/* Memory of shared buffers may come and go meanwhile; it is an estimate. */
static long missing_pages_locked(struct npu_vm *vm)
{
	struct drm_gpuvm_bo *vm_bo;
	long pages = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	spin_lock(&vm->base.evict.lock);
	list_for_each_entry(vm_bo, &vm->base.evict.list, list.entry.evict) {
		if (!READ_ONCE(to_npu_bo(vm_bo->obj)->sgt))
			pages += vm_bo->obj->size >> PAGE_SHIFT;
	}
	spin_unlock(&vm->base.evict.lock);
	return pages;
}

/**
 * npu_vm_restore_locked() - see that all that is mapped is in memory
 * @vm: the address space; locked, with @exec
 * @exec: where other locks go
 *
 * Stays true until @exec lets go, or the fence that was added before signals.
 * The cost is that of what is missing.
 *
 * Return: 0, -EDEADLK after which all has to be locked anew, -ENOMEM, or -EINTR.
 */
int npu_vm_restore_locked(struct npu_vm *vm, struct drm_exec *exec)
{
	long missing;

	drm_gpuvm_resv_assert_held(&vm->base);

	npu_reclaim_vm_used(vm);
	missing = missing_pages_locked(vm);
	if (missing && !npu_reclaim_has_room(vm->npu, missing, vm))
		return -ENOMEM;
	return drm_gpuvm_validate(&vm->base, exec);
}

/**
 * npu_vm_maps() - is a buffer mapped?
 * @bo: the buffer, locked
 *
 * Return: true if it is, in any VM.
 */
bool npu_vm_maps(struct npu_bo *bo)
{
	guard(mutex)(&bo->base.gpuva.lock);

	return !list_empty(&bo->base.gpuva.list);
}

static void unlock_until(struct npu_bo *bo, struct drm_gpuvm_bo *end)
{
	struct drm_gpuvm_bo *vm_bo;

	lockdep_assert_held(&bo->base.gpuva.lock);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		if (vm_bo == end)
			break;
		if (drm_gpuvm_resv(vm_bo->vm) != bo->base.resv)
			dma_resv_unlock(drm_gpuvm_resv(vm_bo->vm));
	}
}

/**
 * npu_vm_trylock_all() - lock all VMs that a buffer is mapped in
 * @bo: the buffer, locked
 *
 * For those who lock in an order of their own. No VM joins or leaves until
 * npu_vm_unlock_all().
 *
 * Return: false when one of them was locked already; then none is.
 */
bool npu_vm_trylock_all(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;

	dma_resv_assert_held(bo->base.resv);

	guard(mutex)(&bo->base.gpuva.lock);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		if (drm_gpuvm_resv(vm_bo->vm) != bo->base.resv &&
		    !dma_resv_trylock(drm_gpuvm_resv(vm_bo->vm))) {
			unlock_until(bo, vm_bo);
			return false;
		}
	}
	return true;
}

/**
 * npu_vm_unlock_all() - undo npu_vm_trylock_all()
 * @bo: the buffer
 */
void npu_vm_unlock_all(struct npu_bo *bo)
{
	guard(mutex)(&bo->base.gpuva.lock);

	unlock_until(bo, NULL);
}

/**
 * npu_vm_all_idle_locked() - have all jobs ended that may use a buffer?
 * @bo: the buffer; all VMs it is mapped in are locked
 *
 * Return: true if they have.
 */
bool npu_vm_all_idle_locked(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;

	guard(mutex)(&bo->base.gpuva.lock);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		if (!dma_resv_test_signaled(drm_gpuvm_resv(vm_bo->vm),
					    DMA_RESV_USAGE_BOOKKEEP))
			return false;
	}
	return true;
}

/**
 * npu_vm_evict_locked() - take a buffer out of all page tables
 * @bo: the buffer; it and all VMs it is mapped in are locked
 *
 * Their next submit puts it back.
 */
void npu_vm_evict_locked(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *map;

	guard(mutex)(&bo->base.gpuva.lock);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		drm_gpuvm_resv_assert_held(vm_bo->vm);

		if (!to_npu_vm_bo(vm_bo)->mapped)
			continue;
		drm_gpuvm_bo_for_each_va(map, vm_bo)
			unmap_pages(to_npu_vm(vm_bo->vm), map->va.addr, map->va.range);
		to_npu_vm_bo(vm_bo)->mapped = false;
		drm_gpuvm_bo_evict(vm_bo, true);
	}
}

static void set_evicted_locked(struct npu_bo *bo, bool evicted)
{
	struct drm_gpuvm_bo *vm_bo;

	guard(mutex)(&bo->base.gpuva.lock);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base)
		drm_gpuvm_bo_evict(vm_bo, evicted);
}

/**
 * npu_vm_forget_evicted_locked() - let submits go on without a buffer
 * @bo: the buffer, locked, without memory
 */
void npu_vm_forget_evicted_locked(struct npu_bo *bo)
{
	set_evicted_locked(bo, false);
}

/**
 * npu_vm_remember_evicted_locked() - let submits restore a buffer again
 * @bo: the buffer, locked, without memory
 */
void npu_vm_remember_evicted_locked(struct npu_bo *bo)
{
	set_evicted_locked(bo, true);
}

/**
 * npu_vm_find_locked() - find the mapping that holds a range
 * @vm: the address space
 * @va: first address
 * @size: bytes, not zero
 *
 * Return: the mapping, or NULL when the range is not inside a single one.
 */
struct drm_gpuva *npu_vm_find_locked(struct npu_vm *vm, u64 va, u64 size)
{
	struct drm_gpuva *map;

	drm_gpuvm_resv_assert_held(&vm->base);

	map = drm_gpuva_find_first(&vm->base, va, size);
	if (!map || va < map->va.addr || size > map->va.range ||
	    va - map->va.addr > map->va.range - size)
		return NULL;
	return map;
}

/**
 * npu_vm_peek_locked() - read memory as a job would
 * @vm: the address space
 * @va: address
 * @to: where to copy it
 * @size: bytes
 *
 * Return: how much was copied, up to where nothing is mapped.
 */
size_t npu_vm_peek_locked(struct npu_vm *vm, u64 va, void *to, size_t size)
{
	struct drm_gpuva *map;
	size_t done = 0, len;

	drm_gpuvm_resv_assert_held(&vm->base);

	while (done < size) {
		map = npu_vm_find_locked(vm, va, 1);
		if (!map || !to_npu_vm_bo(map->vm_bo)->mapped)
			break;

		len = min(map->va.addr + map->va.range - va, size - done);
		if (!npu_bo_peek_locked(to_npu_bo(map->gem.obj),
					map->gem.offset + (va - map->va.addr),
					to + done, len))
			break;
		va += len;
		done += len;
	}
	return done;
}

static enum npu_vm_place place_of(const struct drm_gpuva *map)
{
	const struct npu_bo *bo = to_npu_bo(map->gem.obj);

	if (!to_npu_vm_bo(map->vm_bo)->mapped)
		return NPU_VM_MAP_ABSENT;
	if (drm_gem_is_imported(&bo->base))
		return NPU_VM_MAP_FOREIGN;
	return bo->sram ? NPU_VM_MAP_SRAM : NPU_VM_MAP_SYSTEM;
}

/**
 * npu_vm_list_locked() - what is mapped where?
 * @vm: the address space
 * @maps: the answer, by address
 * @max: entries of @maps
 *
 * Return: how many mappings there are, which may be more than @max.
 */
u32 npu_vm_list_locked(struct npu_vm *vm, struct npu_vm_map *maps, u32 max)
{
	struct drm_gpuva *map;
	u32 i = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	drm_gpuvm_for_each_va(map, &vm->base) {
		if (i == max)
			break;
		maps[i++] = (struct npu_vm_map){
			.va = map->va.addr,
			.size = map->va.range,
			.offset = map->gem.offset,
			.bo_size = map->gem.obj->size,
			.bo_flags = to_npu_bo(map->gem.obj)->flags,
			.place = place_of(map),
			.readonly = map->flags & NPU_MAP_READONLY,
			.kernel = map->flags & NPU_MAP_KERNEL,
		};
	}
	return vm->num_maps;
}

static bool holds_kernel_map_locked(struct npu_vm *vm, u64 va, u64 size)
{
	struct drm_gpuva *map;

	drm_gpuvm_resv_assert_held(&vm->base);

	/* Without any there is no need to look. */
	if (!vm->num_kernel_maps)
		return false;
	drm_gpuvm_for_each_va_range(map, &vm->base, va, va + size) {
		if (map->flags & NPU_MAP_KERNEL)
			return true;
	}
	return false;
}

static int unmap_locked(struct npu_vm *vm, u64 va, u64 size)
{
	struct drm_gpuva *map = npu_vm_find_locked(vm, va, size);
	struct npu_vm_unmap unmap = { .vm = vm };
	int ret = -ENOMEM;

	drm_gpuvm_resv_assert_held(&vm->base);

	if (holds_kernel_map_locked(vm, va, size)) {
		drm_dbg(vm->base.drm, "range holds a program\n");
		return -EBUSY;
	}

	/* A hole in a mapping makes two of it. */
	if (map && map->va.addr < va && map->va.addr + map->va.range > va + size &&
	    vm->num_maps >= NPU_VM_MAX_MAPS)
		return -ENOSPC;

	for (unsigned int i = 0; i < ARRAY_SIZE(unmap.spare); i++) {
		unmap.spare[i] = kzalloc_obj(*unmap.spare[i], GFP_KERNEL_ACCOUNT);
		if (!unmap.spare[i])
			goto out;
	}
	ret = drm_gpuvm_sm_unmap(&vm->base, &unmap, va, size);
out:
	for (unsigned int i = 0; i < ARRAY_SIZE(unmap.spare); i++)
		kfree(unmap.spare[i]);
	return ret;
}

static void npu_vm_release(struct kref *ref)
{
	struct npu_vm *vm = container_of(ref, struct npu_vm, ref);
	struct npu_vm_unmap unmap = { .vm = vm };

	npu_device_forget_vm(vm->npu, vm);

	/* All of it, so there are no ends for which memory would be needed. */
	dma_resv_lock(drm_gpuvm_resv(&vm->base), NULL);
	drm_gpuvm_sm_unmap(&vm->base, &unmap, npu_vm_start(vm->npu),
			   npu_vm_end(vm->npu) - npu_vm_start(vm->npu));
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	drm_gpuvm_bo_deferred_cleanup(&vm->base);

	iommu_domain_free(vm->domain);
	drm_gpuvm_put(&vm->base);
}

/**
 * npu_vm_get() - take a reference to an address space
 * @vm: the address space
 *
 * Return: @vm
 */
struct npu_vm *npu_vm_get(struct npu_vm *vm)
{
	kref_get(&vm->ref);
	return vm;
}

/**
 * npu_vm_put() - drop a reference to an address space
 * @vm: the address space, or NULL
 *
 * The last one takes the locks of all cores.
 */
void npu_vm_put(struct npu_vm *vm)
{
	if (vm)
		kref_put(&vm->ref, npu_vm_release);
}

/**
 * npu_vm_lookup() - find an address space
 * @file: the file that owns it
 * @id: its identifier
 *
 * Return: the address space with a reference, or NULL.
 */
struct npu_vm *npu_vm_lookup(struct npu_file *file, u32 id)
{
	struct npu_vm *vm;

	guard(mutex)(&file->lock);

	vm = xa_load(&file->vms, id);
	return vm ? npu_vm_get(vm) : NULL;
}

/*
 * A page table that any core can use; they all have the same kind of IOMMU. It
 * is allocated outside of the core's lock, which has no place for reclaim.
 */
static struct iommu_domain *alloc_domain(struct npu_device *npu)
{
	struct iommu_domain *domain;
	struct device *dev = NULL;

	for (unsigned int i = 0; i < npu->num_cores && !dev; i++)
		scoped_guard(mutex, &npu->cores[i]->lock)
			dev = get_device(npu->cores[i]->dev);
	if (!dev)
		return ERR_PTR(-ENODEV);

	domain = iommu_paging_domain_alloc(dev);
	put_device(dev);
	return domain;
}

static struct npu_vm *npu_vm_create(struct npu_device *npu, u64 client)
{
	struct drm_gem_object *resv;
	struct npu_vm *vm;
	int ret;

	vm = kzalloc_obj(*vm, GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);

	vm->domain = alloc_domain(npu);
	if (IS_ERR(vm->domain)) {
		ret = PTR_ERR(vm->domain);
		goto err_free;
	}
	iommu_set_fault_handler(vm->domain, npu_fault_iommu, vm);

	resv = drm_gpuvm_resv_object_alloc(&npu->drm);
	if (!resv) {
		ret = -ENOMEM;
		goto err_domain;
	}

	kref_init(&vm->ref);
	vm->npu = npu;
	vm->client = client;
	vm->hint = npu_vm_start(npu);
	drm_gpuvm_init(&vm->base, "npu", DRM_GPUVM_IMMEDIATE_MODE, &npu->drm, resv,
		       npu_vm_start(npu), npu_vm_end(npu) - npu_vm_start(npu), 0, 0,
		       &npu_vm_ops);
	drm_gem_object_put(resv);
	npu_place_vm_init(vm);
	npu_reclaim_vm_add(vm);
	return vm;

err_domain:
	iommu_domain_free(vm->domain);
err_free:
	kfree(vm);
	return ERR_PTR(ret);
}

/**
 * npu_ioctl_vm_create() - DRM_IOCTL_NPU_VM_CREATE
 * @drm: the DRM device
 * @data: &struct drm_npu_vm_create
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_vm_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_vm_create *args = data;
	struct npu_vm *vm;
	int ret;

	if (args->flags)
		return -EINVAL;

	vm = npu_vm_create(to_npu_device(drm), file->client_id);
	if (IS_ERR(vm))
		return PTR_ERR(vm);

	scoped_guard(mutex, &nfile->lock) {
		if (nfile->num_vms >= NPU_MAX_VMS)
			ret = -ENOSPC;
		else
			ret = npu_file_add(nfile, &nfile->vms, vm, &nfile->next_vm,
					   &args->vm_id);
		if (!ret)
			nfile->num_vms++;
	}
	if (ret)
		npu_vm_put(vm);
	return ret;
}

/**
 * npu_ioctl_vm_destroy() - DRM_IOCTL_NPU_VM_DESTROY
 * @drm: the DRM device
 * @data: &struct drm_npu_vm_destroy
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_vm_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_vm_destroy *args = data;
	struct npu_vm *vm;

	if (args->pad)
		return -EINVAL;

	scoped_guard(mutex, &nfile->lock) {
		vm = xa_erase(&nfile->vms, args->vm_id);
		if (vm)
			nfile->num_vms--;
	}
	if (!vm)
		return -ENOENT;

	npu_vm_put(vm);
	return 0;
}

/* First fit, lowest address first. */
static int choose_va_locked(struct npu_vm *vm, u64 size, u64 *va)
{
	u64 addr = vm->hint, end = npu_vm_end(vm->npu);
	struct drm_gpuva *map;
	bool hole = false;

	drm_gpuvm_resv_assert_held(&vm->base);

	if (addr >= end)
		return -ENOSPC;

	drm_gpuvm_for_each_va_range(map, &vm->base, vm->hint, end) {
		if (map->va.addr > addr) {
			if (!hole)
				vm->hint = addr;
			hole = true;
			if (map->va.addr - addr >= size)
				break;
		}
		addr = map->va.addr + map->va.range;
	}
	if (!hole)
		vm->hint = addr;
	if (addr >= end || end - addr < size)
		return -ENOSPC;

	*va = addr;
	return 0;
}

static int map_locked(struct npu_vm *vm, struct npu_bo *bo,
		      const struct npu_map_range *range)
{
	struct drm_gem_object *obj = &bo->base;
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *map;
	int ret;

	drm_gpuvm_resv_assert_held(&vm->base);

	map = kzalloc_obj(*map, GFP_KERNEL_ACCOUNT);
	if (!map)
		return -ENOMEM;

	vm_bo = drm_gpuvm_bo_create(&vm->base, obj);
	if (!vm_bo) {
		kfree(map);
		return -ENOMEM;
	}
	vm_bo = drm_gpuvm_bo_obtain_prealloc(vm_bo);

	ret = restore_bo_locked(vm_bo);
	if (!ret)
		ret = map_pages(vm, npu_bo_sgt(bo), range->va, range->size,
				range->offset, range->flags);
	if (ret) {
		kfree(map);
		goto out;
	}

	map->va.addr = range->va;
	map->va.range = range->size;
	map->gem.obj = obj;
	map->gem.offset = range->offset;
	map->flags = range->flags;
	/* The range is valid and empty, so there is nothing to fail here. */
	drm_gpuva_insert(&vm->base, map);
	mutex_lock(&obj->gpuva.lock);
	drm_gpuva_link(map, vm_bo);
	mutex_unlock(&obj->gpuva.lock);
	vm->num_maps++;
	npu_reclaim_update(bo);
out:
	drm_gpuvm_bo_put_deferred(vm_bo);
	return ret;
}

static int map_range_locked(struct npu_vm *vm, struct npu_bo *bo,
			    struct npu_map_range *range)
{
	int ret = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	if (bo->advice == DRM_NPU_ADVICE_DONTNEED) {
		drm_dbg(vm->base.drm, "buffer is discardable\n");
		return -EINVAL;
	}
	if (vm->num_maps >= NPU_VM_MAX_MAPS)
		return -ENOSPC;
	if (!range->va)
		ret = choose_va_locked(vm, range->size, &range->va);
	else if (!drm_gpuvm_interval_empty(&vm->base, range->va, range->size))
		ret = -EEXIST;
	if (!ret)
		ret = map_locked(vm, bo, range);
	if (!ret && (range->flags & NPU_MAP_KERNEL))
		vm->num_kernel_maps++;
	return ret;
}

static int try_map_range(struct npu_vm *vm, struct npu_bo *bo,
			 struct npu_map_range *range)
{
	struct drm_exec exec;
	int ret = 0;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 2);
	drm_exec_until_all_locked(&exec) {
		ret = drm_exec_lock_obj(&exec, drm_gpuvm_resv_obj(&vm->base));
		drm_exec_retry_on_contention(&exec);
		if (!ret)
			ret = drm_exec_lock_obj(&exec, &bo->base);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;
	}
	if (!ret)
		ret = map_range_locked(vm, bo, range);
	drm_exec_fini(&exec);
	drm_gpuvm_bo_deferred_cleanup(&vm->base);
	return ret;
}

/* Maps a range of a buffer at @range->va, or at an address that is chosen here. */
static int map_range(struct npu_vm *vm, struct npu_bo *bo, struct npu_map_range *range)
{
	struct npu_patience patience = {
		.npu = vm->npu,
		.pages = bo->base.size >> PAGE_SHIFT,
	};
	struct npu_map_range wanted = *range;
	int ret;

	do {
		*range = wanted;
		ret = try_map_range(vm, bo, range);
	} while (npu_reclaim_again(&patience, &ret));
	return ret;
}

/**
 * npu_vm_map_kernel() - map a buffer for the kernel's own use
 * @vm: the address space
 * @bo: a buffer that npu_bo_create_kernel() has made for it
 * @va: where it is mapped
 *
 * The whole buffer, once, so that the NPU can only read it. Userspace can
 * neither unmap it nor map anything over it.
 *
 * Return: 0, -ENOSPC when there is no room, or another negative error.
 */
int npu_vm_map_kernel(struct npu_vm *vm, struct npu_bo *bo, u64 *va)
{
	struct npu_map_range range = {
		.size = bo->base.size,
		.flags = NPU_MAP_READONLY | NPU_MAP_KERNEL,
	};
	int ret;

	ret = map_range(vm, bo, &range);
	*va = range.va;
	return ret;
}

/**
 * npu_vm_unmap_kernel() - undo npu_vm_map_kernel()
 * @vm: the address space
 * @bo: the buffer
 *
 * No job that uses the mapping may be left.
 */
void npu_vm_unmap_kernel(struct npu_vm *vm, struct npu_bo *bo)
{
	struct npu_vm_unmap unmap = { .vm = vm };
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *map;

	dma_resv_lock(drm_gpuvm_resv(&vm->base), NULL);
	scoped_guard(mutex, &bo->base.gpuva.lock) {
		vm_bo = list_first_entry(&bo->base.gpuva.list, struct drm_gpuvm_bo,
					 list.entry.gem);
		map = list_first_entry(&vm_bo->list.gpuva, struct drm_gpuva, gem.entry);
	}
	/* All of one mapping, so nothing remains that needs memory. */
	drm_gpuvm_sm_unmap(&vm->base, &unmap, map->va.addr, map->va.range);
	vm->num_kernel_maps--;
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	drm_gpuvm_bo_deferred_cleanup(&vm->base);
}

static int bind_map(struct npu_vm *vm, struct npu_bo *bo, struct drm_npu_bind_op *op)
{
	struct drm_gem_object *obj = &bo->base;
	struct npu_map_range range = {
		.va = op->va,
		.size = op->size,
		.offset = op->bo_offset,
	};
	int ret;

	if (bo->vm_resv && bo->vm_resv != drm_gpuvm_resv_obj(&vm->base)) {
		drm_dbg(obj->dev, "buffer is private to another VM\n");
		return -EINVAL;
	}
	if (op->bo_offset >= obj->size || op->size > obj->size - op->bo_offset) {
		drm_dbg(obj->dev, "range leaves the buffer\n");
		return -EINVAL;
	}

	if (op->flags & DRM_NPU_BIND_READONLY)
		range.flags = NPU_MAP_READONLY;
	ret = map_range(vm, bo, &range);
	if (!ret)
		op->va = range.va;
	return ret;
}

static int check_range(struct npu_vm *vm, const struct drm_npu_bind_op *op)
{
	u64 start = npu_vm_start(vm->npu), end = npu_vm_end(vm->npu);

	if (!op->size || !PAGE_ALIGNED(op->size) || op->size > end - start)
		return -EINVAL;
	if (op->flags & DRM_NPU_BIND_AUTO)
		return op->va ? -EINVAL : 0;
	if (!PAGE_ALIGNED(op->va) || op->va < start || op->va > end - op->size)
		return -EINVAL;
	return 0;
}

static int check_op(struct npu_vm *vm, const struct drm_npu_bind_op *op)
{
	const u32 flags = DRM_NPU_BIND_READONLY | DRM_NPU_BIND_AUTO;

	if (op->pad)
		return -EINVAL;

	switch (op->type) {
	case DRM_NPU_BIND_MAP:
		if ((op->flags & ~flags) || !PAGE_ALIGNED(op->bo_offset))
			return -EINVAL;
		break;
	case DRM_NPU_BIND_UNMAP:
		if (op->flags || op->handle || op->bo_offset)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	return check_range(vm, op);
}

static int bind_unmap(struct npu_vm *vm, const struct drm_npu_bind_op *op)
{
	int ret;

	ret = dma_resv_lock_interruptible(drm_gpuvm_resv(&vm->base), NULL);
	if (ret)
		return ret;
	ret = unmap_locked(vm, op->va, op->size);
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	drm_gpuvm_bo_deferred_cleanup(&vm->base);
	return ret;
}

/* What was just mapped, so that there is nothing to fail for. */
static void undo_map(struct npu_vm *vm, const struct drm_npu_bind_op *op)
{
	dma_resv_lock(drm_gpuvm_resv(&vm->base), NULL);
	unmap_locked(vm, op->va, op->size);
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	drm_gpuvm_bo_deferred_cleanup(&vm->base);
}

/* Does one operation; @user is where it came from. */
static int bind_one(struct npu_vm *vm, struct drm_file *file,
		    struct drm_npu_bind_op *op, struct drm_npu_bind_op __user *user)
{
	struct drm_gem_object *obj;
	int ret;

	if (op->type == DRM_NPU_BIND_UNMAP)
		return bind_unmap(vm, op);

	obj = drm_gem_object_lookup(file, op->handle);
	if (!obj)
		return -ENOENT;

	ret = bind_map(vm, to_npu_bo(obj), op);
	drm_gem_object_put(obj);
	if (ret || !(op->flags & DRM_NPU_BIND_AUTO))
		return ret;

	/* An address that nobody gets to know is of no use. */
	if (put_user(op->va, &user->va)) {
		undo_map(vm, op);
		return -EFAULT;
	}
	return 0;
}

static int bind_all(struct npu_vm *vm, struct drm_file *file,
		    const struct drm_npu_array *array, u32 *done)
{
	struct drm_npu_bind_op *ops;
	int ret = 0;

	ops = npu_array_copy(array, sizeof(*ops), sizeof(*ops), NPU_MAX_BINDS);
	if (IS_ERR(ops))
		return PTR_ERR(ops);

	for (u32 i = 0; i < array->count && !ret; i++) {
		ret = check_op(vm, &ops[i]);
		if (ret)
			drm_dbg(vm->base.drm, "bind operation %u is malformed\n", i);
	}

	for (u32 i = 0; i < array->count && !ret; i++) {
		ret = bind_one(vm, file, &ops[i],
			       u64_to_user_ptr(array->ptr + (u64)i * array->stride));
		if (!ret)
			(*done)++;
		cond_resched();
	}
	kvfree(ops);
	return ret;
}

/**
 * npu_ioctl_vm_bind() - DRM_IOCTL_NPU_VM_BIND
 * @drm: the DRM device
 * @data: &struct drm_npu_vm_bind
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_vm_bind *args = data;
	struct npu_vm *vm;
	u32 done = 0;
	int ret;

	if (args->flags)
		return -EINVAL;

	vm = npu_vm_lookup(file->driver_priv, args->vm_id);
	if (!vm)
		return -ENOENT;

	ret = bind_all(vm, file, &args->ops, &done);
	args->ops.count = done;
	npu_vm_put(vm);
	return ret;
}
