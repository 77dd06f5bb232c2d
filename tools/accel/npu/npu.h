/* SPDX-License-Identifier: MIT */
/*
 * libnpu: a thin C library over <drm/npu_accel.h>.
 *
 * It takes the tedium out of the ioctls (array descriptors, sizes, EINTR) and
 * nothing else: no policy, no hidden threads, no global state. Handles, VMs and
 * contexts are the kernel's own numbers, so a program can mix these calls with
 * its own ioctls on npu_fd().
 *
 * Functions that return int return 0, or a negative errno value. The errors of
 * each call are those that <drm/npu_accel.h> lists for its ioctl. A struct
 * npu_device may be used by several threads at once; a struct npu_bo needs the
 * caller's own locking only where npu_bo_map() and npu_bo_destroy() meet.
 */
#ifndef NPU_H
#define NPU_H

#include <stddef.h>
#include <stdint.h>

#include <drm/npu_accel.h>

#ifdef __cplusplus
extern "C" {
#endif

/** NPU_FOREVER - a deadline that never comes */
#define NPU_FOREVER	INT64_MAX

struct npu_device;

/**
 * npu_open() - open an NPU
 * @node: path of the device node, or NULL to take the first accel node whose
 *	driver is "npu"
 * @dev: where the device goes
 *
 * -ENODEV: the node is not ours, or no node is.
 */
int npu_open(const char *node, struct npu_device **dev);

/**
 * npu_open_fd() - use a file that is already open
 * @fd: the file; it stays the caller's and must outlive @dev
 * @dev: where the device goes
 *
 * The caller vouches for the driver behind @fd.
 */
int npu_open_fd(int fd, struct npu_device **dev);

/** npu_close() - give up @dev, and the file when npu_open() opened it */
void npu_close(struct npu_device *dev);

/** npu_fd() - the file behind @dev */
int npu_fd(const struct npu_device *dev);

/** npu_info() - what the device said about itself when it was opened */
const struct drm_npu_device_info *npu_info(const struct npu_device *dev);

/**
 * npu_cores() - ask for the state of the cores
 * @dev: device
 * @cores: array to fill
 * @count: elements of @cores; the device may have more or fewer
 *
 * Returns how many elements were filled, or a negative errno value.
 */
int npu_cores(struct npu_device *dev, struct drm_npu_core_info *cores,
	      uint32_t count);

/** npu_deadline() - the CLOCK_MONOTONIC time that lies @ns from now */
int64_t npu_deadline(int64_t ns);

/* Address spaces */

int npu_vm_create(struct npu_device *dev, uint32_t *vm);
int npu_vm_destroy(struct npu_device *dev, uint32_t vm);

/**
 * npu_vm_map() - map a range of a buffer
 * @dev: device
 * @vm: address space
 * @handle: buffer
 * @offset: first byte of the buffer
 * @size: bytes, whole pages
 * @flags: DRM_NPU_BIND_*
 * @va: in: the address; out: the address chosen, with DRM_NPU_BIND_AUTO
 */
int npu_vm_map(struct npu_device *dev, uint32_t vm, uint32_t handle,
	       uint64_t offset, uint64_t size, uint32_t flags, uint64_t *va);
int npu_vm_unmap(struct npu_device *dev, uint32_t vm, uint64_t va,
		 uint64_t size);

/* Contexts */

/** npu_ctx_create() - a context of normal priority and balanced class */
int npu_ctx_create(struct npu_device *dev, uint32_t vm, uint64_t core_mask,
		   uint32_t *ctx);
int npu_ctx_destroy(struct npu_device *dev, uint32_t ctx);

/* Buffers */

/**
 * struct npu_bo - a buffer
 * @handle: GEM handle
 * @vm: the VM it is private to, or zero
 * @size: bytes, whole pages
 * @va: address in the VM that npu_bo_create_mapped() was given, else zero
 * @map: CPU mapping, or NULL before npu_bo_map()
 */
struct npu_bo {
	uint32_t handle;
	uint32_t vm;
	uint64_t size;
	uint64_t va;
	void *map;
};

int npu_bo_create(struct npu_device *dev, uint64_t size, uint32_t flags,
		  uint32_t vm, struct npu_bo *bo);

/**
 * npu_bo_create_mapped() - a buffer private to @vm, mapped there by the kernel
 *			    and into this process
 */
int npu_bo_create_mapped(struct npu_device *dev, uint64_t size, uint32_t flags,
			 uint32_t vm, struct npu_bo *bo);

/** npu_bo_map() - map @bo into this process; the mapping is in @bo->map */
int npu_bo_map(struct npu_device *dev, struct npu_bo *bo);

/** npu_bo_query() - mmap offset and properties of a buffer */
int npu_bo_query(struct npu_device *dev, uint32_t handle,
		 struct drm_npu_bo_query *query);

/** npu_bo_sync() - synchronise one range; @dir is enum drm_npu_sync_dir */
int npu_bo_sync(struct npu_device *dev, uint32_t handle, uint64_t offset,
		uint64_t size, uint32_t dir);

/** npu_bo_sync_many() - synchronise many ranges in one call */
int npu_bo_sync_many(struct npu_device *dev,
		     const struct drm_npu_bo_sync_op *ops, uint32_t count);

/** npu_bo_wait() - wait for the jobs that use a buffer; DRM_NPU_BO_WAIT_* */
int npu_bo_wait(struct npu_device *dev, uint32_t handle, uint32_t flags,
		int64_t deadline_ns);

/**
 * npu_bo_destroy() - unmap @bo from this process, from the VM that
 *		      npu_bo_create_mapped() put it in, and close its handle
 */
void npu_bo_destroy(struct npu_device *dev, struct npu_bo *bo);

/** npu_bo_export() - a dma-buf of a buffer that is not private to a VM */
int npu_bo_export(struct npu_device *dev, uint32_t handle, int *dmabuf);

/** npu_bo_import() - the buffer behind a dma-buf */
int npu_bo_import(struct npu_device *dev, int dmabuf, struct npu_bo *bo);

/* Fences: syncobjs */

int npu_fence_create(struct npu_device *dev, uint32_t *syncobj);
void npu_fence_destroy(struct npu_device *dev, uint32_t syncobj);

/** npu_fence_wait() - wait until the fence in @syncobj has signalled */
int npu_fence_wait(struct npu_device *dev, uint32_t syncobj,
		   int64_t deadline_ns);

/**
 * npu_fence_status() - how the job behind @syncobj ended
 *
 * Returns 1 when it ended well, 0 when it has not ended, and its error (see
 * struct drm_npu_job) when it failed.
 */
int npu_fence_status(struct npu_device *dev, uint32_t syncobj);

/* Jobs */

/** npu_array() - the descriptor of an array of @count elements of @stride bytes */
static inline struct drm_npu_array npu_array(const void *ptr, uint32_t count,
					     uint32_t stride)
{
	struct drm_npu_array a = {
		.stride = count ? stride : 0,
		.count = count,
		.ptr = count ? (uint64_t)(uintptr_t)ptr : 0,
	};

	return a;
}

/** npu_submit() - queue @count jobs, all or none */
int npu_submit(struct npu_device *dev, uint32_t ctx,
	       const struct drm_npu_job *jobs, uint32_t count);

/**
 * npu_submit_tasks() - queue one job that needs no buffer list
 * @dev: device
 * @ctx: context
 * @tasks: tasks
 * @count: how many
 * @wait: syncobj to wait for, or zero
 * @signal: syncobj that gets the job's fence, or zero
 */
int npu_submit_tasks(struct npu_device *dev, uint32_t ctx,
		     const struct drm_npu_task *tasks, uint32_t count,
		     uint32_t wait, uint32_t signal);

#ifdef __cplusplus
}
#endif

#endif /* NPU_H */
