// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/iosys-map.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/vmalloc.h>

#include <drm/drm_device.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_device.h"
#include "npu_pages.h"
#include "npu_reclaim.h"
#include "npu_vm.h"

/**
 * DOC: Memory of buffers
 *
 * A buffer gets its memory when it is bound, or when the CPU touches it, and has
 * all of it or none: the NPU cannot fault pages in one by one. What it has is
 * mapped for DMA at the same time. That takes the zeroes of new pages out of the
 * cache, from where they would be written back later over what comes through a
 * write-combined mapping, or from the NPU.
 *
 * CPU mappings hold no memory. They are filled by faults, emptied when the
 * memory goes, and filled again, so that a buffer can be reclaimed however many
 * times it is mapped.
 *
 * Nothing here takes the reservation object of a buffer that is being freed:
 * the last reference may be dropped by reclaim, and reclaim by somebody who
 * holds that very lock.
 */

/* Pages that one CPU fault maps */
#define NPU_FAULT_AROUND	64

static void assert_held_or_dead(const struct npu_bo *bo)
{
	if (kref_read(&bo->base.refcount))
		dma_resv_assert_held(bo->base.resv);
}

static struct sg_table *map_for_dma(struct npu_bo *bo, struct page **pages)
{
	struct drm_device *drm = bo->base.dev;
	struct sg_table *sgt;
	int ret;

	sgt = drm_prime_pages_to_sg(drm, pages, bo->base.size >> PAGE_SHIFT);
	if (IS_ERR(sgt))
		return sgt;

	ret = dma_map_sgtable(drm->dev, sgt, DMA_BIDIRECTIONAL, 0);
	if (ret) {
		sg_free_table(sgt);
		kfree(sgt);
		return ERR_PTR(ret);
	}
	return sgt;
}

/* What a failure has got so far must not leave even less for the next one. */
static void forget_unused(struct npu_bo *bo)
{
	if (!bo->used)
		shmem_truncate_range(file_inode(bo->base.filp), 0, (loff_t)-1);
}

/**
 * npu_bo_populate_locked() - see that a buffer has memory
 * @bo: the buffer, not imported and not purged
 *
 * New memory is zeroed; what was reclaimed comes back with its content.
 *
 * Return: 0 or -ENOMEM.
 */
int npu_bo_populate_locked(struct npu_bo *bo)
{
	struct npu_device *npu = to_npu_device(bo->base.dev);
	struct sg_table *sgt;
	struct page **pages;

	dma_resv_assert_held(bo->base.resv);

	if (bo->sgt || bo->sram)
		return 0;
	/* On-chip memory that is gone was taken away with the device. */
	if (bo->flags & DRM_NPU_BO_SRAM)
		return -ENODEV;
	if (!npu_reclaim_has_room(npu, bo->base.size >> PAGE_SHIFT, bo->vm))
		return -ENOMEM;

	pages = drm_gem_get_pages(&bo->base);
	if (IS_ERR(pages)) {
		forget_unused(bo);
		return PTR_ERR(pages);
	}
	sgt = map_for_dma(bo, pages);
	if (IS_ERR(sgt)) {
		drm_gem_put_pages(&bo->base, pages, true, false);
		forget_unused(bo);
		return PTR_ERR(sgt);
	}

	bo->pages = pages;
	bo->sgt = sgt;
	bo->used = true;
	npu_reclaim_update(bo);
	return 0;
}

static void put_pages(struct npu_bo *bo, bool keep_content)
{
	struct device *dev = bo->base.dev->dev;

	assert_held_or_dead(bo);

	/*
	 * Unmapping invalidates the cache, as it has to after what the NPU may
	 * have written. What the CPU has written has to leave it before.
	 */
	if (keep_content && !npu_bo_is_wc(bo))
		dma_sync_sgtable_for_device(dev, bo->sgt, DMA_TO_DEVICE);
	dma_unmap_sgtable(dev, bo->sgt, DMA_BIDIRECTIONAL, 0);
	sg_free_table(bo->sgt);
	kfree(bo->sgt);
	bo->sgt = NULL;

	drm_gem_put_pages(&bo->base, bo->pages, keep_content, false);
	bo->pages = NULL;
}

/**
 * npu_bo_drop_locked() - leave the memory of a buffer to be swapped out
 * @bo: the buffer, which nobody has mapped or pinned
 */
void npu_bo_drop_locked(struct npu_bo *bo)
{
	put_pages(bo, true);
	npu_reclaim_update(bo);
}

/**
 * npu_bo_purge_locked() - throw the content of a buffer away
 * @bo: the buffer, which nobody has mapped or pinned
 */
void npu_bo_purge_locked(struct npu_bo *bo)
{
	dma_resv_assert_held(bo->base.resv);

	if (bo->sgt)
		put_pages(bo, false);
	shmem_truncate_range(file_inode(bo->base.filp), 0, (loff_t)-1);
	bo->used = false;
	bo->purged = true;
	npu_reclaim_update(bo);
}

/**
 * npu_bo_free_pages() - free the memory of a buffer that is being freed
 * @bo: the buffer
 */
void npu_bo_free_pages(struct npu_bo *bo)
{
	vunmap(bo->vaddr);
	if (bo->sgt)
		put_pages(bo, false);
}

/**
 * npu_bo_unmap_locked() - take the memory of a buffer from everybody
 * @bo: the buffer; it and all VMs it is mapped in are locked, and idle
 *
 * The CPU faults it in again. VMs get it back with their next submit.
 */
void npu_bo_unmap_locked(struct npu_bo *bo)
{
	struct drm_gem_object *obj = &bo->base;

	dma_resv_assert_held(obj->resv);

	/* Those of the dma-buf are in there, too. */
	drm_vma_node_unmap(&obj->vma_node, obj->dev->anon_inode->i_mapping);
	npu_vm_evict_locked(bo);
}

/**
 * npu_bo_pin_locked() - see that a buffer has memory and keeps it
 * @bo: the buffer, not imported
 *
 * Return: 0 or -ENOMEM.
 */
int npu_bo_pin_locked(struct npu_bo *bo)
{
	int ret;

	ret = npu_bo_populate_locked(bo);
	if (!ret && !bo->pins++)
		npu_reclaim_update(bo);
	return ret;
}

/**
 * npu_bo_unpin_locked() - undo npu_bo_pin_locked()
 * @bo: the buffer
 */
void npu_bo_unpin_locked(struct npu_bo *bo)
{
	dma_resv_assert_held(bo->base.resv);

	if (!--bo->pins)
		npu_reclaim_update(bo);
}

static pgprot_t page_prot(const struct npu_bo *bo, pgprot_t prot)
{
	return npu_bo_is_wc(bo) ? pgprot_writecombine(prot) : prot;
}

static void *vmap_locked(struct npu_bo *bo)
{
	int ret;

	if (bo->vmaps++)
		return bo->vaddr;

	ret = npu_bo_pin_locked(bo);
	if (ret)
		goto err_count;

	bo->vaddr = vmap(bo->pages, bo->base.size >> PAGE_SHIFT, VM_MAP,
			 page_prot(bo, PAGE_KERNEL));
	if (!bo->vaddr) {
		ret = -ENOMEM;
		goto err_unpin;
	}
	return bo->vaddr;

err_unpin:
	npu_bo_unpin_locked(bo);
err_count:
	bo->vmaps--;
	return ERR_PTR(ret);
}

static void vunmap_locked(struct npu_bo *bo)
{
	dma_resv_assert_held(bo->base.resv);

	if (--bo->vmaps)
		return;
	vunmap(bo->vaddr);
	bo->vaddr = NULL;
	npu_bo_unpin_locked(bo);
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
	void *vaddr;

	dma_resv_lock(bo->base.resv, NULL);
	vaddr = vmap_locked(bo);
	dma_resv_unlock(bo->base.resv);
	return vaddr;
}

/**
 * npu_bo_vunmap() - undo npu_bo_vmap()
 * @bo: the buffer
 */
void npu_bo_vunmap(struct npu_bo *bo)
{
	dma_resv_lock(bo->base.resv, NULL);
	vunmap_locked(bo);
	dma_resv_unlock(bo->base.resv);
}

static unsigned long page_pfn(const struct npu_bo *bo, pgoff_t page)
{
	phys_addr_t phys;

	if (!bo->sram)
		return page_to_pfn(bo->pages[page]);
	npu_sram_page(bo->sram, page, &phys);
	return PHYS_PFN(phys);
}

/* The page that is asked for, and neighbours for which it costs little more. */
static vm_fault_t insert_pages(struct npu_bo *bo, struct vm_fault *vmf, pgoff_t page)
{
	struct vm_area_struct *vma = vmf->vma;
	pgoff_t base = vma->vm_pgoff - drm_vma_node_start(&bo->base.vma_node);
	pgoff_t first = max(base, round_down(page, NPU_FAULT_AROUND));
	pgoff_t end = min3(base + vma_pages(vma), bo->base.size >> PAGE_SHIFT,
			   round_down(page, NPU_FAULT_AROUND) + NPU_FAULT_AROUND);
	vm_fault_t ret;

	ret = vmf_insert_pfn_prot(vma, vmf->address, page_pfn(bo, page),
				  vma->vm_page_prot);
	for (pgoff_t i = first; i < end && ret == VM_FAULT_NOPAGE; i++)
		ret = vmf_insert_pfn_prot(vma, vma->vm_start + ((i - base) << PAGE_SHIFT),
					  page_pfn(bo, i), vma->vm_page_prot);
	return ret;
}

static int fault_locked(struct npu_bo *bo, struct vm_fault *vmf, vm_fault_t *fault)
{
	/* Not from the start of the mapping, which may have lost its head. */
	pgoff_t page = vmf->pgoff - drm_vma_node_start(&bo->base.vma_node);
	int ret;

	dma_resv_assert_held(bo->base.resv);

	if (page >= bo->base.size >> PAGE_SHIFT || bo->purged)
		return -EFAULT;

	ret = npu_bo_populate_locked(bo);
	if (!ret)
		*fault = insert_pages(bo, vmf, page);
	return ret;
}

static int try_fault(struct npu_bo *bo, struct vm_fault *vmf, vm_fault_t *fault)
{
	int ret = 0;

	/* A fault in the kernel cannot go and handle the signal. */
	if (vmf->flags & FAULT_FLAG_USER)
		ret = dma_resv_lock_interruptible(bo->base.resv, NULL);
	else
		dma_resv_lock(bo->base.resv, NULL);
	if (ret)
		return ret;

	ret = fault_locked(bo, vmf, fault);
	dma_resv_unlock(bo->base.resv);
	return ret;
}

static vm_fault_t npu_bo_fault(struct vm_fault *vmf)
{
	struct drm_gem_object *obj = vmf->vma->vm_private_data;
	struct npu_patience patience = {
		.npu = to_npu_device(obj->dev),
		.pages = obj->size >> PAGE_SHIFT,
	};
	vm_fault_t fault = VM_FAULT_SIGBUS;
	int ret;

	do {
		ret = try_fault(to_npu_bo(obj), vmf, &fault);
	} while (npu_reclaim_again(&patience, &ret));

	if (ret == -EINTR && (vmf->flags & FAULT_FLAG_USER))
		return VM_FAULT_NOPAGE;
	return fault;
}

const struct vm_operations_struct npu_bo_vm_ops = {
	.fault = npu_bo_fault,
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
};

static int mmap_import(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	int ret;

	/* The exporter sets what it needs, and has a reference of its own. */
	vma->vm_private_data = NULL;
	vma->vm_ops = NULL;
	ret = dma_buf_mmap(obj->import_attach->dmabuf, vma, 0);
	if (!ret)
		drm_gem_object_put(obj);
	return ret;
}

/**
 * npu_gem_mmap() - &drm_gem_object_funcs.mmap
 * @obj: the buffer
 * @vma: the mapping
 *
 * Return: 0, or a negative error.
 */
int npu_gem_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	if (drm_gem_is_imported(obj))
		return mmap_import(obj, vma);
	if (is_cow_mapping(vma->vm_flags))
		return -EINVAL;

	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_page_prot = page_prot(to_npu_bo(obj), vm_get_page_prot(vma->vm_flags));
	return 0;
}

/**
 * npu_gem_pin() - &drm_gem_object_funcs.pin
 * @obj: the buffer
 *
 * Return: 0 or -ENOMEM.
 */
int npu_gem_pin(struct drm_gem_object *obj)
{
	return npu_bo_pin_locked(to_npu_bo(obj));
}

/**
 * npu_gem_unpin() - &drm_gem_object_funcs.unpin
 * @obj: the buffer
 */
void npu_gem_unpin(struct drm_gem_object *obj)
{
	npu_bo_unpin_locked(to_npu_bo(obj));
}

/**
 * npu_gem_vmap() - &drm_gem_object_funcs.vmap
 * @obj: the buffer, not imported
 * @map: where the address goes
 *
 * Return: 0, or a negative error.
 */
int npu_gem_vmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	void *vaddr = vmap_locked(to_npu_bo(obj));

	if (IS_ERR(vaddr))
		return PTR_ERR(vaddr);
	iosys_map_set_vaddr(map, vaddr);
	return 0;
}

/**
 * npu_gem_vunmap() - &drm_gem_object_funcs.vunmap
 * @obj: the buffer
 * @map: what npu_gem_vmap() gave
 */
void npu_gem_vunmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	vunmap_locked(to_npu_bo(obj));
}

/**
 * npu_gem_get_sg_table() - &drm_gem_object_funcs.get_sg_table
 * @obj: the buffer, pinned
 *
 * Return: a new table of its pages, or an error pointer.
 */
struct sg_table *npu_gem_get_sg_table(struct drm_gem_object *obj)
{
	return drm_prime_pages_to_sg(obj->dev, to_npu_bo(obj)->pages,
				     obj->size >> PAGE_SHIFT);
}

/* Up to the end of a page */
static void peek_page(struct npu_bo *bo, u64 offset, void *to, size_t size)
{
	unsigned long index = offset >> PAGE_SHIFT;
	size_t start = offset_in_page(offset);

	if (bo->sram) {
		memcpy_fromio(to, npu_sram_page(bo->sram, index, NULL) + start, size);
		return;
	}
	/*
	 * What others write past the cache may be in there all the same, as it
	 * was; nobody has written through it, so nothing is lost.
	 */
	if (npu_bo_is_wc(bo))
		npu_bo_sync_range_locked(bo, offset, size, DRM_NPU_SYNC_FROM_DEVICE);
	memcpy_from_page(to, bo->pages[index], start, size);
}

/**
 * npu_bo_peek_locked() - read the memory of a buffer
 * @bo: the buffer; it or a VM that it is mapped in is locked
 * @offset: first byte
 * @to: where to copy it
 * @size: bytes; the end is inside the buffer
 *
 * Fences may depend on it: it allocates nothing, and waits for nobody.
 *
 * Return: true, or false for a buffer without memory, or with somebody else's.
 */
bool npu_bo_peek_locked(struct npu_bo *bo, u64 offset, void *to, size_t size)
{
	if (!bo->sram && !bo->pages)
		return false;

	while (size) {
		size_t len = min_t(size_t, size, PAGE_SIZE - offset_in_page(offset));

		peek_page(bo, offset, to, len);
		offset += len;
		to += len;
		size -= len;
	}
	return true;
}
