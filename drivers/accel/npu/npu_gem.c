// SPDX-License-Identifier: GPL-2.0-only

#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
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
#include "npu_vm.h"

/**
 * DOC: Buffers
 *
 * Buffers are shmem objects. Their pages are allocated and mapped for DMA when
 * they are bound for the first time, and stay until the buffer goes.
 *
 * A buffer that is private to a VM uses the VM's reservation object. That makes
 * the cost of a submit independent of how many of them there are: a job leaves
 * one fence in one place. The price is that waiting for such a buffer means
 * waiting for all jobs of its VM, and that it cannot be exported. Other buffers
 * have their own reservation object, in which a job leaves a fence when it
 * lists them.
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
	struct drm_gem_object *vm_resv = bo->vm_resv;

	memlock_uncharge(&bo->memlock);

	/* Uses the reservation object. */
	drm_gem_shmem_free(&bo->base);
	drm_gem_object_put(vm_resv);
}

static struct dma_buf *npu_gem_export(struct drm_gem_object *obj, int flags)
{
	if (to_npu_bo(obj)->vm_resv) {
		drm_dbg(obj->dev, "buffer is private to a VM\n");
		return ERR_PTR(-EINVAL);
	}
	return drm_gem_prime_export(obj, flags);
}

static const struct drm_gem_object_funcs npu_gem_funcs = {
	.free = npu_gem_free,
	.print_info = drm_gem_shmem_object_print_info,
	.export = npu_gem_export,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/**
 * npu_gem_create_object() - allocate the memory of a buffer object
 * @drm: the DRM device
 * @size: size of the buffer
 *
 * Return: the object, to be initialised by the helpers, or an error pointer.
 */
struct drm_gem_object *npu_gem_create_object(struct drm_device *drm, size_t size)
{
	struct npu_bo *bo;

	bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);

	bo->base.base.funcs = &npu_gem_funcs;
	return &bo->base.base;
}

static struct npu_bo *npu_bo_create(struct drm_device *drm, u64 size, u32 flags,
				    struct npu_vm *vm, u32 vm_id)
{
	struct drm_gem_shmem_object *shmem;
	struct sg_table *sgt;
	struct npu_bo *bo;

	shmem = drm_gem_shmem_create(drm, size);
	if (IS_ERR(shmem))
		return ERR_CAST(shmem);

	bo = to_npu_bo(&shmem->base);
	bo->flags = flags;
	if (vm) {
		bo->vm_resv = drm_gpuvm_resv_obj(&vm->base);
		drm_gem_object_get(bo->vm_resv);
		bo->vm_id = vm_id;
		shmem->base.resv = bo->vm_resv->resv;
	}
	if (!(flags & DRM_NPU_BO_WC))
		return bo;

	/*
	 * The zeroes that new pages contain may sit in the cache, and would be
	 * written back over what comes through a write-combined mapping.
	 * Mapping the pages for DMA gets them out of there.
	 */
	shmem->map_wc = true;
	sgt = drm_gem_shmem_get_pages_sgt(shmem);
	if (IS_ERR(sgt)) {
		drm_gem_object_put(&shmem->base);
		return ERR_CAST(sgt);
	}
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
	struct npu_memlock memlock = {};
	struct npu_bo *bo;
	int ret;

	ret = memlock_charge(&memlock, size);
	if (ret)
		return ERR_PTR(ret);

	bo = npu_bo_create(&npu->drm, size, DRM_NPU_BO_WC, vm, 0);
	if (IS_ERR(bo))
		memlock_uncharge(&memlock);
	else
		bo->memlock = memlock;
	return bo;
}

/**
 * npu_bo_put() - drop a reference to a buffer
 * @bo: the buffer, or NULL
 */
void npu_bo_put(struct npu_bo *bo)
{
	if (bo)
		drm_gem_object_put(&bo->base.base);
}

/**
 * npu_bo_vmap() - map a buffer for the kernel
 * @bo: a buffer of the kernel's own
 *
 * Return: its address, write-combined, until npu_bo_vunmap(); or an error
 * pointer.
 */
void *npu_bo_vmap(struct npu_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;
	struct iosys_map map;
	int ret;

	dma_resv_lock(obj->resv, NULL);
	ret = drm_gem_shmem_vmap_locked(&bo->base, &map);
	dma_resv_unlock(obj->resv);
	return ret ? ERR_PTR(ret) : map.vaddr;
}

/**
 * npu_bo_vunmap() - undo npu_bo_vmap()
 * @bo: the buffer
 */
void npu_bo_vunmap(struct npu_bo *bo)
{
	struct iosys_map map = IOSYS_MAP_INIT_VADDR(bo->base.vaddr);
	struct drm_gem_object *obj = &bo->base.base;

	dma_resv_lock(obj->resv, NULL);
	drm_gem_shmem_vunmap_locked(&bo->base, &map);
	dma_resv_unlock(obj->resv);
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

	if ((args->flags & ~DRM_NPU_BO_WC) || args->priority || !args->size)
		return -EINVAL;
	if (args->size > npu_vm_end(npu) - npu_vm_start(npu)) {
		drm_dbg(drm, "buffer of %#llx bytes is too large\n", args->size);
		return -E2BIG;
	}

	if (args->vm_id) {
		vm = npu_vm_lookup(file->driver_priv, args->vm_id);
		if (!vm)
			return -ENOENT;
	}

	bo = npu_bo_create(drm, args->size, args->flags, vm, args->vm_id);
	npu_vm_put(vm);
	if (IS_ERR(bo))
		return PTR_ERR(bo);

	args->size = bo->base.base.size;
	ret = drm_gem_handle_create(file, &bo->base.base, &args->handle);
	drm_gem_object_put(&bo->base.base);
	return ret;
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

	if (args->pad)
		return -EINVAL;

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;

	args->flags = to_npu_bo(obj)->flags;
	args->size = obj->size;
	args->mmap_offset = drm_vma_node_offset_addr(&obj->vma_node);
	args->vm_id = to_npu_bo(obj)->vm_id;
	drm_gem_object_put(obj);
	return 0;
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

static void sync_range(struct drm_gem_object *obj, struct sg_table *sgt, u64 offset,
		       u64 size, u32 dir)
{
	struct device *dev = obj->dev->dev;
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

static int sync_one(const struct drm_npu_bo_sync_op *op, struct drm_gem_object *obj)
{
	struct npu_bo *bo = to_npu_bo(obj);
	struct sg_table *sgt;
	int ret;

	if (bo->flags & DRM_NPU_BO_WC)
		return 0;

	/* Once it is there, it stays. */
	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (ret)
		return ret;
	sgt = bo->base.sgt;
	dma_resv_unlock(obj->resv);

	/* Without one the NPU has never seen the buffer. */
	if (sgt)
		sync_range(obj, sgt, op->offset, op->size, op->dir);
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
