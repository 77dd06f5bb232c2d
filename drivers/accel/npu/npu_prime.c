// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_device.h"
#include "npu_pages.h"
#include "npu_prime.h"
#include "npu_vm.h"

MODULE_IMPORT_NS("DMA_BUF");

/**
 * DOC: Buffers shared with other devices
 *
 * An exported buffer keeps its memory while another device is attached to it,
 * and is reclaimed like any other while none is. The CPU may access it through
 * the dma-buf; what BO_SYNC does for those who have a handle, the begin and the
 * end of such an access do for those who have none. Buffers that are private to
 * a VM share their fences with it, and so are not for others.
 *
 * An imported buffer belongs to its exporter: where it is, how the CPU maps it,
 * and what has to be done to caches. Its fences are the exporter's, so that a
 * job that lists it waits for the camera that fills it, and the display waits
 * for the job. Our own buffers are recognised when they come back.
 */

/* Without memory, neither side has anything in a cache. */
static int sync_for(struct dma_buf *dma_buf,
		    void (*sync)(struct device *dev, struct sg_table *sgt,
				 enum dma_data_direction dir),
		    enum dma_data_direction dir)
{
	struct drm_gem_object *obj = dma_buf->priv;
	struct npu_bo *bo = to_npu_bo(obj);
	int ret;

	if (npu_bo_is_wc(bo))
		return 0;

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (ret)
		return ret;
	if (bo->sgt)
		sync(obj->dev->dev, bo->sgt, dir);
	dma_resv_unlock(obj->resv);
	return 0;
}

static int begin_cpu_access(struct dma_buf *dma_buf, enum dma_data_direction dir)
{
	return sync_for(dma_buf, dma_sync_sgtable_for_cpu, dir);
}

static int end_cpu_access(struct dma_buf *dma_buf, enum dma_data_direction dir)
{
	return sync_for(dma_buf, dma_sync_sgtable_for_device, dir);
}

static void release(struct dma_buf *dma_buf)
{
	struct drm_gem_object *obj = dma_buf->priv;

	dma_resv_lock(obj->resv, NULL);
	to_npu_bo(obj)->exported = false;
	dma_resv_unlock(obj->resv);
	drm_gem_dmabuf_release(dma_buf);
}

static const struct dma_buf_ops npu_dma_buf_ops = {
	.attach = drm_gem_map_attach,
	.detach = drm_gem_map_detach,
	.map_dma_buf = drm_gem_map_dma_buf,
	.unmap_dma_buf = drm_gem_unmap_dma_buf,
	.release = release,
	.mmap = drm_gem_dmabuf_mmap,
	.vmap = drm_gem_dmabuf_vmap,
	.vunmap = drm_gem_dmabuf_vunmap,
	.begin_cpu_access = begin_cpu_access,
	.end_cpu_access = end_cpu_access,
};

/**
 * npu_prime_export() - &drm_gem_object_funcs.export
 * @obj: the buffer
 * @flags: of the file
 *
 * Return: the dma-buf, or an error pointer.
 */
struct dma_buf *npu_prime_export(struct drm_gem_object *obj, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = KBUILD_MODNAME,
		.owner = THIS_MODULE,
		.ops = &npu_dma_buf_ops,
		.size = obj->size,
		.flags = flags,
		.priv = obj,
		.resv = obj->resv,
	};
	struct npu_bo *bo = to_npu_bo(obj);
	struct dma_buf *dma_buf;
	int ret;

	if (bo->flags & DRM_NPU_BO_SRAM) {
		drm_dbg(obj->dev, "buffer is in on-chip memory\n");
		return ERR_PTR(-EINVAL);
	}
	if (bo->vm_resv) {
		drm_dbg(obj->dev, "buffer is private to a VM\n");
		return ERR_PTR(-EINVAL);
	}

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (ret)
		return ERR_PTR(ret);

	dma_buf = ERR_PTR(-EINVAL);
	if (bo->advice == DRM_NPU_ADVICE_DONTNEED)
		drm_dbg(obj->dev, "buffer is discardable\n");
	else
		dma_buf = drm_gem_dmabuf_export(obj->dev, &info);
	if (!IS_ERR(dma_buf))
		bo->exported = true;
	dma_resv_unlock(obj->resv);
	return dma_buf;
}

/**
 * npu_prime_import() - &drm_driver.gem_prime_import
 * @drm: the DRM device
 * @dma_buf: the dma-buf
 *
 * Return: the buffer, or an error pointer.
 */
struct drm_gem_object *npu_prime_import(struct drm_device *drm,
					struct dma_buf *dma_buf)
{
	struct drm_gem_object *obj = dma_buf->priv;

	if (dma_buf->ops == &npu_dma_buf_ops && obj->dev == drm) {
		drm_gem_object_get(obj);
		return obj;
	}
	return drm_gem_prime_import(drm, dma_buf);
}

static int check_import(struct npu_device *npu, struct dma_buf *dma_buf,
			struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;

	if (!dma_buf->size || !PAGE_ALIGNED(dma_buf->size))
		return -EINVAL;
	if (dma_buf->size > npu_vm_end(npu) - npu_vm_start(npu))
		return -E2BIG;

	/* The IOMMU maps pages, and what else is in one is nobody's business. */
	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (!PAGE_ALIGNED(sg_dma_address(sg) | sg_dma_len(sg)))
			return -EINVAL;
	}
	return 0;
}

/**
 * npu_prime_import_sg_table() - &drm_driver.gem_prime_import_sg_table
 * @drm: the DRM device
 * @attach: our attachment to the dma-buf
 * @sgt: its memory, mapped for the NPU
 *
 * Return: the buffer, or an error pointer.
 */
struct drm_gem_object *npu_prime_import_sg_table(struct drm_device *drm,
						 struct dma_buf_attachment *attach,
						 struct sg_table *sgt)
{
	struct npu_bo *bo;
	int ret;

	ret = check_import(to_npu_device(drm), attach->dmabuf, sgt);
	if (ret) {
		drm_dbg(drm, "dma-buf of %#zx bytes does not fit\n",
			attach->dmabuf->size);
		return ERR_PTR(ret);
	}

	bo = npu_bo_alloc();
	if (!bo)
		return ERR_PTR(-ENOMEM);

	drm_gem_private_object_init(drm, &bo->base, attach->dmabuf->size);
	ret = drm_gem_create_mmap_offset(&bo->base);
	if (ret) {
		drm_gem_object_release(&bo->base);
		kfree(bo);
		return ERR_PTR(ret);
	}
	bo->sgt = sgt;
	return &bo->base;
}
