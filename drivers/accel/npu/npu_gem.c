// SPDX-License-Identifier: GPL-2.0-only

#include <linux/capability.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_utils.h>
#include <drm/npu_accel.h>

#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_pages.h"
#include "npu_place.h"
#include "npu_prime.h"
#include "npu_reclaim.h"
#include "npu_vm.h"

/**
 * DOC: Buffers
 *
 * A buffer that is private to a VM uses the VM's reservation object. That makes
 * the cost of a submit independent of how many of them there are: a job leaves
 * one fence in one place. The price is that waiting for such a buffer means
 * waiting for all jobs of its VM, and that it cannot be exported. Other buffers
 * have their own reservation object, in which a job leaves a fence when it
 * lists them.
 *
 * The reservation object is also the lock of everything about a buffer that can
 * change. Memory is allocated under it, so nothing may take it in reclaim
 * except by trying, and it is taken in page faults, so userspace's memory must
 * not be accessed under it.
 *
 * The NPU does not snoop. Cached buffers need BO_SYNC around jobs, which cleans
 * or invalidates just the ranges it is given; write-combined buffers do not.
 */

/* Ranges in one DRM_IOCTL_NPU_BO_SYNC, as the UAPI states */
#define NPU_MAX_SYNC_OPS	1024

/*
 * Counted against the user and not against the process, because a buffer may
 * outlive the process that made it.
 */
static int memlock_charge(struct npu_memlock *memlock, u64 size)
{
	unsigned long limit, locked, pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	struct user_struct *user = current_user();

	if (capable(CAP_IPC_LOCK))
		return 0;

	limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	locked = atomic_long_read(&user->locked_vm);
	do {
		if (pages > limit || locked > limit - pages)
			return -EPERM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &locked, locked + pages));

	memlock->user = get_uid(user);
	memlock->pages = pages;
	return 0;
}

static void memlock_uncharge(struct npu_memlock *memlock)
{
	if (!memlock->user)
		return;
	atomic_long_sub(memlock->pages, &memlock->user->locked_vm);
	free_uid(memlock->user);
	memlock->user = NULL;
}

static void npu_gem_free(struct drm_gem_object *obj)
{
	struct npu_bo *bo = to_npu_bo(obj);

	npu_place_free(bo);
	npu_reclaim_forget(bo);
	if (drm_gem_is_imported(obj))
		drm_prime_gem_destroy(obj, bo->sgt);
	else
		npu_bo_free_pages(bo);
	memlock_uncharge(&bo->memlock);

	drm_gem_object_release(obj);
	drm_gem_object_put(bo->vm_resv);
	if (bo->vm)
		drm_gpuvm_put(&bo->vm->base);
	kfree(bo);
}

/* Called for statistics, with no lock that would protect anything. */
static enum drm_gem_object_status npu_gem_status(struct drm_gem_object *obj)
{
	struct npu_bo *bo = to_npu_bo(obj);
	enum drm_gem_object_status status = 0;

	if (READ_ONCE(bo->sgt) || READ_ONCE(bo->sram))
		status |= DRM_GEM_OBJECT_RESIDENT;
	if (READ_ONCE(bo->advice) == DRM_NPU_ADVICE_DONTNEED)
		status |= DRM_GEM_OBJECT_PURGEABLE;
	return status;
}

static const struct drm_gem_object_funcs npu_gem_funcs = {
	.free = npu_gem_free,
	.export = npu_prime_export,
	.pin = npu_gem_pin,
	.unpin = npu_gem_unpin,
	.get_sg_table = npu_gem_get_sg_table,
	.vmap = npu_gem_vmap,
	.vunmap = npu_gem_vunmap,
	.mmap = npu_gem_mmap,
	.status = npu_gem_status,
	.vm_ops = &npu_bo_vm_ops,
};

/**
 * npu_bo_alloc() - allocate a buffer, without memory
 *
 * Return: the buffer, for one of the helpers to initialise, or NULL.
 */
struct npu_bo *npu_bo_alloc(void)
{
	struct npu_bo *bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);

	if (bo)
		bo->base.funcs = &npu_gem_funcs;
	return bo;
}

static struct npu_bo *npu_bo_create(struct npu_device *npu, u64 size, u32 flags,
				    struct npu_vm *vm, u32 vm_id)
{
	struct npu_bo *bo;
	int ret;

	bo = npu_bo_alloc();
	if (!bo)
		return ERR_PTR(-ENOMEM);

	ret = drm_gem_object_init(&npu->drm, &bo->base, PAGE_ALIGN(size));
	if (ret)
		goto err_fini;
	ret = drm_gem_create_mmap_offset(&bo->base);
	if (ret)
		goto err_release;

	/*
	 * Not movable, because the NPU uses it; and when there is not enough the
	 * caller is told, and nobody is killed for it.
	 */
	mapping_set_gfp_mask(bo->base.filp->f_mapping,
			     GFP_HIGHUSER | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	bo->flags = flags;
	if (vm) {
		bo->vm_resv = drm_gpuvm_resv_obj(&vm->base);
		drm_gem_object_get(bo->vm_resv);
		bo->vm = vm;
		drm_gpuvm_get(&vm->base);
		bo->vm_id = vm_id;
		bo->base.resv = bo->vm_resv->resv;
	}
	return bo;

err_release:
	drm_gem_object_release(&bo->base);
	kfree(bo);
	return ERR_PTR(ret);
err_fini:
	drm_gem_private_object_fini(&bo->base);
	kfree(bo);
	return ERR_PTR(ret);
}

/* The same for memory that stays, and counts. */
static struct npu_bo *npu_bo_create_locked_memory(struct npu_device *npu, u64 size,
						  u32 flags, struct npu_vm *vm,
						  u32 vm_id)
{
	struct npu_memlock memlock = {};
	struct npu_bo *bo;
	int ret;

	ret = memlock_charge(&memlock, size);
	if (ret) {
		drm_dbg(&npu->drm, "%#llx bytes are above RLIMIT_MEMLOCK\n", size);
		return ERR_PTR(ret);
	}

	bo = npu_bo_create(npu, size, flags, vm, vm_id);
	if (IS_ERR(bo))
		memlock_uncharge(&memlock);
	else
		bo->memlock = memlock;
	return bo;
}

/**
 * npu_bo_create_kernel() - create a buffer for the kernel's own use
 * @npu: the device
 * @vm: the VM it is going to be mapped in
 * @size: bytes
 *
 * The buffer is private to @vm, write-combined, zeroed, and its memory stays; it
 * counts against the caller's RLIMIT_MEMLOCK.
 *
 * Return: the buffer, for npu_bo_put(), or an error pointer; -EPERM is for the
 * limit.
 */
struct npu_bo *npu_bo_create_kernel(struct npu_device *npu, struct npu_vm *vm,
				    u64 size)
{
	struct npu_patience patience = { .npu = npu, .pages = size >> PAGE_SHIFT };
	struct npu_bo *bo;
	int ret;

	bo = npu_bo_create_locked_memory(npu, size, DRM_NPU_BO_WC, vm, 0);
	if (IS_ERR(bo))
		return bo;

	do {
		dma_resv_lock(bo->base.resv, NULL);
		ret = npu_bo_pin_locked(bo);
		dma_resv_unlock(bo->base.resv);
	} while (npu_reclaim_again(&patience, &ret));
	if (ret) {
		npu_bo_put(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

/**
 * npu_bo_put() - drop a reference to a buffer
 * @bo: the buffer, or NULL
 */
void npu_bo_put(struct npu_bo *bo)
{
	if (bo)
		drm_gem_object_put(&bo->base);
}

static int check_place(const struct drm_npu_bo_create *args)
{
	const u32 excluded = DRM_NPU_BO_SRAM_PREFERRED | DRM_NPU_BO_RESIDENT;

	if ((args->flags & DRM_NPU_BO_SRAM) && (args->flags & excluded))
		return -EINVAL;
	if (!(args->flags & DRM_NPU_BO_SRAM_PREFERRED))
		return args->priority ? -EINVAL : 0;

	if (!args->vm_id || args->priority < DRM_NPU_PRIORITY_LOW ||
	    args->priority > DRM_NPU_PRIORITY_HIGH)
		return -EINVAL;
	if (args->priority > DRM_NPU_PRIORITY_NORMAL && !capable(CAP_SYS_NICE))
		return -EACCES;
	return 0;
}

static int check_create(struct npu_device *npu, const struct drm_npu_bo_create *args)
{
	const u32 flags = DRM_NPU_BO_WC | DRM_NPU_BO_RESIDENT | DRM_NPU_BO_SRAM |
			  DRM_NPU_BO_SRAM_PREFERRED;
	int ret;

	if ((args->flags & ~flags) || !args->size)
		return -EINVAL;
	ret = check_place(args);
	if (ret)
		return ret;
	if (args->size > npu_vm_end(npu) - npu_vm_start(npu)) {
		drm_dbg(&npu->drm, "buffer of %#llx bytes is too large\n", args->size);
		return -E2BIG;
	}
	return 0;
}

/**
 * npu_ioctl_bo_create() - DRM_IOCTL_NPU_BO_CREATE
 * @drm: the DRM device
 * @data: &struct drm_npu_bo_create
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *npu = to_npu_device(drm);
	struct drm_npu_bo_create *args = data;
	struct npu_vm *vm = NULL;
	struct npu_bo *bo;
	int ret;

	ret = check_create(npu, args);
	if (ret)
		return ret;

	if (args->vm_id) {
		vm = npu_vm_lookup(file->driver_priv, args->vm_id);
		if (!vm)
			return -ENOENT;
	}

	if (args->flags & DRM_NPU_BO_RESIDENT)
		bo = npu_bo_create_locked_memory(npu, args->size, args->flags, vm,
						 args->vm_id);
	else
		bo = npu_bo_create(npu, args->size, args->flags, vm, args->vm_id);
	if (IS_ERR(bo)) {
		ret = PTR_ERR(bo);
		goto out;
	}

	bo->place.priority = args->priority;
	ret = npu_place_create(bo, vm);
	if (!ret) {
		args->size = bo->base.size;
		ret = drm_gem_handle_create(file, &bo->base, &args->handle);
	}
	npu_bo_put(bo);
out:
	npu_vm_put(vm);
	return ret;
}

static u32 placement(const struct npu_bo *bo)
{
	if (drm_gem_is_imported(&bo->base))
		return DRM_NPU_PLACEMENT_FOREIGN;
	if (bo->sram)
		return DRM_NPU_PLACEMENT_SRAM;
	return DRM_NPU_PLACEMENT_SYSTEM;
}

static u32 residency(const struct npu_bo *bo)
{
	if (npu_bo_sgt(bo))
		return DRM_NPU_RESIDENCY_RESIDENT;
	if (bo->purged)
		return DRM_NPU_RESIDENCY_PURGED;
	return bo->used ? DRM_NPU_RESIDENCY_EVICTED : DRM_NPU_RESIDENCY_NONE;
}

/**
 * npu_ioctl_bo_query() - DRM_IOCTL_NPU_BO_QUERY
 * @drm: the DRM device
 * @data: &struct drm_npu_bo_query
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_bo_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_bo_query *args = data;
	struct drm_gem_object *obj;
	struct npu_bo *bo;
	int ret;

	if (args->pad)
		return -EINVAL;

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;

	bo = to_npu_bo(obj);
	args->flags = bo->flags;
	args->size = obj->size;
	args->mmap_offset = drm_vma_node_offset_addr(&obj->vma_node);
	args->vm_id = bo->vm_id;
	args->priority = bo->place.priority;

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (!ret) {
		args->placement = placement(bo);
		args->residency = residency(bo);
		args->advice = bo->advice;
		dma_resv_unlock(obj->resv);
	}
	drm_gem_object_put(obj);
	return ret;
}

static int check_sync_op(const struct drm_npu_bo_sync_op *op,
			 const struct drm_gem_object *obj)
{
	if (!op->dir || (op->dir & ~DRM_NPU_SYNC_BOTH))
		return -EINVAL;
	if (op->offset > obj->size || op->size > obj->size - op->offset) {
		drm_dbg(obj->dev, "range leaves the buffer\n");
		return -EINVAL;
	}
	return 0;
}

/**
 * npu_bo_sync_range_locked() - clean or invalidate CPU caches
 * @bo: a buffer with system memory of its own
 * @offset: first byte
 * @size: bytes
 * @dir: DRM_NPU_SYNC_*
 */
void npu_bo_sync_range_locked(struct npu_bo *bo, u64 offset, u64 size, u32 dir)
{
	struct device *dev = bo->base.dev->dev;
	struct sg_table *sgt = bo->sgt;
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		dma_addr_t addr;
		u64 len;

		if (!size)
			break;
		if (offset >= sg_dma_len(sg)) {
			offset -= sg_dma_len(sg);
			continue;
		}
		addr = sg_dma_address(sg) + offset;
		len = min(sg_dma_len(sg) - offset, size);

		/*
		 * Invalidating cleans as well when a line is only partly in the
		 * range, so the order matters when both is asked for.
		 */
		if (dir & DRM_NPU_SYNC_TO_DEVICE)
			dma_sync_single_for_device(dev, addr, len, DMA_TO_DEVICE);
		if (dir & DRM_NPU_SYNC_FROM_DEVICE)
			dma_sync_single_for_cpu(dev, addr, len, DMA_FROM_DEVICE);
		offset = 0;
		size -= len;
		cond_resched();
	}
}

/*
 * What DMA_BUF_IOCTL_SYNC does; the exporter knows who else maps the buffer. For
 * some there is no end without a beginning.
 */
static int sync_import(struct dma_buf *dma_buf, u32 dir)
{
	int ret = 0;

	if (dir & DRM_NPU_SYNC_TO_DEVICE)
		ret = dma_buf_begin_cpu_access(dma_buf, DMA_TO_DEVICE) ?:
		      dma_buf_end_cpu_access(dma_buf, DMA_TO_DEVICE);
	if (!ret && (dir & DRM_NPU_SYNC_FROM_DEVICE))
		ret = dma_buf_begin_cpu_access(dma_buf, DMA_FROM_DEVICE);
	return ret;
}

static int sync_one(const struct drm_npu_bo_sync_op *op, struct drm_gem_object *obj)
{
	struct npu_bo *bo = to_npu_bo(obj);
	int ret;

	if (!op->size || npu_bo_is_wc(bo))
		return 0;
	if (drm_gem_is_imported(obj))
		return sync_import(obj->import_attach->dmabuf, op->dir);

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (ret)
		return ret;
	/* What has no memory has left nothing in the cache. */
	if (bo->sgt)
		npu_bo_sync_range_locked(bo, op->offset, op->size, op->dir);
	dma_resv_unlock(obj->resv);
	return 0;
}

static int sync_all(struct drm_file *file, const struct drm_npu_bo_sync_op *ops,
		    struct drm_gem_object **objs, u32 count)
{
	int ret;

	for (u32 i = 0; i < count; i++) {
		objs[i] = drm_gem_object_lookup(file, ops[i].handle);
		if (!objs[i])
			return -ENOENT;
		ret = check_sync_op(&ops[i], objs[i]);
		if (ret)
			return ret;
	}

	for (u32 i = 0; i < count; i++) {
		ret = sync_one(&ops[i], objs[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * npu_ioctl_bo_sync() - DRM_IOCTL_NPU_BO_SYNC
 * @drm: the DRM device
 * @data: &struct drm_npu_bo_sync
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_bo_sync *args = data;
	struct drm_npu_bo_sync_op *ops;
	struct drm_gem_object **objs;
	int ret = -ENOMEM;

	if (args->flags || args->pad)
		return -EINVAL;

	ops = npu_array_copy(&args->ops, sizeof(*ops), sizeof(*ops), NPU_MAX_SYNC_OPS);
	if (IS_ERR(ops))
		return PTR_ERR(ops);

	objs = kvcalloc(args->ops.count, sizeof(*objs), GFP_KERNEL_ACCOUNT);
	if (objs) {
		ret = sync_all(file, ops, objs, args->ops.count);
		for (u32 i = 0; i < args->ops.count; i++)
			drm_gem_object_put(objs[i]);
	}
	kvfree(objs);
	kvfree(ops);
	return ret;
}

/**
 * npu_ioctl_bo_wait() - DRM_IOCTL_NPU_BO_WAIT
 * @drm: the DRM device
 * @data: &struct drm_npu_bo_wait
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	const u32 flags = DRM_NPU_BO_WAIT_READ | DRM_NPU_BO_WAIT_WRITE;
	struct drm_npu_bo_wait *args = data;
	enum dma_resv_usage usage;
	struct drm_gem_object *obj;
	long ret;

	if (!args->flags || (args->flags & ~flags))
		return -EINVAL;

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;

	/* Which of its buffers a job of the VM uses, only the job knows. */
	if (to_npu_bo(obj)->vm_resv)
		usage = DMA_RESV_USAGE_BOOKKEEP;
	else
		usage = dma_resv_usage_rw(args->flags & DRM_NPU_BO_WAIT_WRITE);

	ret = dma_resv_wait_timeout(obj->resv, usage, true,
				    drm_timeout_abs_to_jiffies(args->deadline_ns));
	drm_gem_object_put(obj);

	if (!ret)
		return -ETIMEDOUT;
	return ret < 0 ? ret : 0;
}

static int advise_locked(struct npu_bo *bo, struct drm_npu_bo_madvise *args)
{
	dma_resv_assert_held(bo->base.resv);

	if (bo->exported) {
		drm_dbg(bo->base.dev, "others use the buffer\n");
		return -EINVAL;
	}

	bo->advice = args->advice;
	if (bo->advice == DRM_NPU_ADVICE_DONTNEED && bo->used && !bo->sgt) {
		/* It has been in the way once, so it goes for good. */
		npu_bo_purge_locked(bo);
		npu_vm_forget_evicted_locked(bo);
	}

	args->retained = !bo->purged;
	if (bo->purged && bo->advice == DRM_NPU_ADVICE_WILLNEED) {
		bo->purged = false;
		npu_vm_remember_evicted_locked(bo);
	}
	npu_reclaim_update(bo);
	return 0;
}

/**
 * npu_ioctl_bo_madvise() - DRM_IOCTL_NPU_BO_MADVISE
 * @drm: the DRM device
 * @data: &struct drm_npu_bo_madvise
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_bo_madvise(struct drm_device *drm, void *data, struct drm_file *file)
{
	const u32 stays = DRM_NPU_BO_RESIDENT | DRM_NPU_BO_SRAM |
			  DRM_NPU_BO_SRAM_PREFERRED;
	struct drm_npu_bo_madvise *args = data;
	struct drm_gem_object *obj;
	int ret;

	if (args->pad || args->advice > DRM_NPU_ADVICE_DONTNEED)
		return -EINVAL;

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;

	if (drm_gem_is_imported(obj) || (to_npu_bo(obj)->flags & stays)) {
		drm_dbg(drm, "buffer cannot be discarded\n");
		ret = -EINVAL;
		goto out;
	}

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (!ret) {
		ret = advise_locked(to_npu_bo(obj), args);
		dma_resv_unlock(obj->resv);
	}
out:
	drm_gem_object_put(obj);
	return ret;
}
