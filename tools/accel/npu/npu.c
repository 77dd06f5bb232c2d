// SPDX-License-Identifier: MIT
/*
 * libnpu: a thin C library over <drm/npu_accel.h>; see npu.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sync_file.h>
#include <xf86drm.h>

#include "npu.h"

/* Accel minors run from 0 to 63, as the render nodes do. */
#define MAX_NODES	64

struct npu_device {
	int fd;
	bool owned;
	struct drm_npu_device_info info;
};

static int npu_ioctl(struct npu_device *dev, unsigned long request, void *arg)
{
	return drmIoctl(dev->fd, request, arg) ? -errno : 0;
}

static bool is_npu(int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	bool ours;

	if (!version)
		return false;

	ours = version->name && !strcmp(version->name, "npu");
	drmFreeVersion(version);

	return ours;
}

static int open_node(const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;

	if (!is_npu(fd)) {
		close(fd);
		return -ENODEV;
	}

	return fd;
}

/* The reason to report is the one of a node that exists, e.g. -EACCES. */
static int open_first(void)
{
	int ret = -ENODEV;

	for (unsigned int i = 0; i < MAX_NODES; i++) {
		char node[32];
		int fd;

		snprintf(node, sizeof(node), "/dev/accel/accel%u", i);
		fd = open_node(node);
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ENODEV)
			ret = fd;
	}

	return ret;
}

static int npu_query(struct npu_device *dev, uint32_t type, void *buf,
		     uint32_t *size)
{
	struct drm_npu_query query = {
		.type = type,
		.size = *size,
		.ptr = (uint64_t)(uintptr_t)buf,
	};
	int ret = npu_ioctl(dev, DRM_IOCTL_NPU_QUERY, &query);

	*size = query.size;

	return ret;
}

int npu_open_fd(int fd, struct npu_device **out)
{
	struct npu_device *dev = calloc(1, sizeof(*dev));
	uint32_t size = sizeof(dev->info);
	int ret;

	if (!dev)
		return -ENOMEM;

	dev->fd = fd;
	ret = npu_query(dev, DRM_NPU_QUERY_DEVICE, &dev->info, &size);
	if (ret) {
		free(dev);
		return ret;
	}

	*out = dev;

	return 0;
}

int npu_open(const char *node, struct npu_device **dev)
{
	int fd = node ? open_node(node) : open_first();
	int ret;

	if (fd < 0)
		return fd;

	ret = npu_open_fd(fd, dev);
	if (ret)
		close(fd);
	else
		(*dev)->owned = true;

	return ret;
}

void npu_close(struct npu_device *dev)
{
	if (!dev)
		return;

	if (dev->owned)
		close(dev->fd);
	free(dev);
}

int npu_fd(const struct npu_device *dev)
{
	return dev->fd;
}

const struct drm_npu_device_info *npu_info(const struct npu_device *dev)
{
	return &dev->info;
}

int npu_cores(struct npu_device *dev, struct drm_npu_core_info *cores,
	      uint32_t count)
{
	uint32_t size, filled;
	int ret;

	if (count > UINT32_MAX / sizeof(*cores))
		return -EINVAL;

	size = count * sizeof(*cores);
	filled = size;
	ret = npu_query(dev, DRM_NPU_QUERY_CORES, cores, &size);
	if (ret)
		return ret;

	return (size < filled ? size : filled) / sizeof(*cores);
}

int64_t npu_deadline(int64_t ns)
{
	struct timespec now;
	int64_t t;

	clock_gettime(CLOCK_MONOTONIC, &now);
	t = now.tv_sec * 1000000000ll + now.tv_nsec;

	return ns > INT64_MAX - t ? INT64_MAX : t + ns;
}

int npu_vm_create(struct npu_device *dev, uint32_t *vm)
{
	struct drm_npu_vm_create args = {};
	int ret = npu_ioctl(dev, DRM_IOCTL_NPU_VM_CREATE, &args);

	if (!ret)
		*vm = args.vm_id;

	return ret;
}

int npu_vm_destroy(struct npu_device *dev, uint32_t vm)
{
	struct drm_npu_vm_destroy args = { .vm_id = vm };

	return npu_ioctl(dev, DRM_IOCTL_NPU_VM_DESTROY, &args);
}

static int bind_one(struct npu_device *dev, uint32_t vm,
		    struct drm_npu_bind_op *op)
{
	struct drm_npu_vm_bind args = {
		.vm_id = vm,
		.ops = npu_array(op, 1, sizeof(*op)),
	};

	return npu_ioctl(dev, DRM_IOCTL_NPU_VM_BIND, &args);
}

int npu_vm_map(struct npu_device *dev, uint32_t vm, uint32_t handle,
	       uint64_t offset, uint64_t size, uint32_t flags, uint64_t *va)
{
	struct drm_npu_bind_op op = {
		.type = DRM_NPU_BIND_MAP,
		.flags = flags,
		.handle = handle,
		.bo_offset = offset,
		.va = flags & DRM_NPU_BIND_AUTO ? 0 : *va,
		.size = size,
	};
	int ret = bind_one(dev, vm, &op);

	if (!ret)
		*va = op.va;

	return ret;
}

int npu_vm_unmap(struct npu_device *dev, uint32_t vm, uint64_t va,
		 uint64_t size)
{
	struct drm_npu_bind_op op = {
		.type = DRM_NPU_BIND_UNMAP,
		.va = va,
		.size = size,
	};

	return bind_one(dev, vm, &op);
}

int npu_ctx_create(struct npu_device *dev, uint32_t vm, uint64_t core_mask,
		   uint32_t *ctx)
{
	struct drm_npu_ctx_create args = {
		.vm_id = vm,
		.sched_class = DRM_NPU_CLASS_BALANCED,
		.priority = DRM_NPU_PRIORITY_NORMAL,
		.core_mask = core_mask,
	};
	int ret = npu_ioctl(dev, DRM_IOCTL_NPU_CTX_CREATE, &args);

	if (!ret)
		*ctx = args.ctx_id;

	return ret;
}

int npu_ctx_destroy(struct npu_device *dev, uint32_t ctx)
{
	struct drm_npu_ctx_destroy args = { .ctx_id = ctx };

	return npu_ioctl(dev, DRM_IOCTL_NPU_CTX_DESTROY, &args);
}

int npu_bo_create(struct npu_device *dev, uint64_t size, uint32_t flags,
		  uint32_t vm, struct npu_bo *bo)
{
	struct drm_npu_bo_create args = {
		.size = size,
		.flags = flags,
		.vm_id = vm,
	};
	int ret = npu_ioctl(dev, DRM_IOCTL_NPU_BO_CREATE, &args);

	if (ret)
		return ret;

	*bo = (struct npu_bo){
		.handle = args.handle,
		.vm = vm,
		.size = args.size,
	};

	return 0;
}

int npu_bo_create_mapped(struct npu_device *dev, uint64_t size, uint32_t flags,
			 uint32_t vm, struct npu_bo *bo)
{
	int ret;

	ret = npu_bo_create(dev, size, flags, vm, bo);
	if (ret)
		return ret;

	ret = npu_vm_map(dev, vm, bo->handle, 0, bo->size, DRM_NPU_BIND_AUTO,
			 &bo->va);
	if (!ret)
		ret = npu_bo_map(dev, bo);
	if (ret)
		npu_bo_destroy(dev, bo);

	return ret;
}

int npu_bo_query(struct npu_device *dev, uint32_t handle,
		 struct drm_npu_bo_query *query)
{
	memset(query, 0, sizeof(*query));
	query->handle = handle;

	return npu_ioctl(dev, DRM_IOCTL_NPU_BO_QUERY, query);
}

int npu_bo_map(struct npu_device *dev, struct npu_bo *bo)
{
	struct drm_npu_bo_query query;
	void *map;
	int ret;

	if (bo->map)
		return 0;

	ret = npu_bo_query(dev, bo->handle, &query);
	if (ret)
		return ret;

	map = mmap(NULL, bo->size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
		   (off_t)query.mmap_offset);
	if (map == MAP_FAILED)
		return -errno;

	bo->map = map;

	return 0;
}

int npu_bo_sync_many(struct npu_device *dev,
		     const struct drm_npu_bo_sync_op *ops, uint32_t count)
{
	struct drm_npu_bo_sync args = {
		.ops = npu_array(ops, count, sizeof(*ops)),
	};

	return npu_ioctl(dev, DRM_IOCTL_NPU_BO_SYNC, &args);
}

int npu_bo_sync(struct npu_device *dev, uint32_t handle, uint64_t offset,
		uint64_t size, uint32_t dir)
{
	struct drm_npu_bo_sync_op op = {
		.handle = handle,
		.dir = dir,
		.offset = offset,
		.size = size,
	};

	return npu_bo_sync_many(dev, &op, 1);
}

int npu_bo_wait(struct npu_device *dev, uint32_t handle, uint32_t flags,
		int64_t deadline_ns)
{
	struct drm_npu_bo_wait args = {
		.handle = handle,
		.flags = flags,
		.deadline_ns = deadline_ns,
	};

	return npu_ioctl(dev, DRM_IOCTL_NPU_BO_WAIT, &args);
}

void npu_bo_destroy(struct npu_device *dev, struct npu_bo *bo)
{
	struct drm_gem_close args = { .handle = bo->handle };

	if (bo->map)
		munmap(bo->map, bo->size);
	if (bo->va)
		npu_vm_unmap(dev, bo->vm, bo->va, bo->size);
	if (bo->handle)
		npu_ioctl(dev, DRM_IOCTL_GEM_CLOSE, &args);

	memset(bo, 0, sizeof(*bo));
}

int npu_bo_export(struct npu_device *dev, uint32_t handle, int *dmabuf)
{
	int ret = drmPrimeHandleToFD(dev->fd, handle, DRM_CLOEXEC | DRM_RDWR,
				     dmabuf);

	return ret ? -errno : 0;
}

int npu_bo_import(struct npu_device *dev, int dmabuf, struct npu_bo *bo)
{
	struct drm_npu_bo_query query;
	uint32_t handle;
	int ret;

	if (drmPrimeFDToHandle(dev->fd, dmabuf, &handle))
		return -errno;

	*bo = (struct npu_bo){ .handle = handle };
	ret = npu_bo_query(dev, handle, &query);
	if (ret)
		npu_bo_destroy(dev, bo);
	else
		bo->size = query.size;

	return ret;
}

int npu_fence_create(struct npu_device *dev, uint32_t *syncobj)
{
	return drmSyncobjCreate(dev->fd, 0, syncobj) ? -errno : 0;
}

void npu_fence_destroy(struct npu_device *dev, uint32_t syncobj)
{
	drmSyncobjDestroy(dev->fd, syncobj);
}

int npu_fence_wait(struct npu_device *dev, uint32_t syncobj,
		   int64_t deadline_ns)
{
	/* drmSyncobjWait() returns the negative errno value itself. */
	return drmSyncobjWait(dev->fd, &syncobj, 1, deadline_ns, 0, NULL);
}

int npu_fence_status(struct npu_device *dev, uint32_t syncobj)
{
	struct sync_file_info info = {};
	int fd, ret;

	if (drmSyncobjExportSyncFile(dev->fd, syncobj, &fd))
		return -errno;

	ret = ioctl(fd, SYNC_IOC_FILE_INFO, &info) ? -errno : info.status;
	close(fd);

	return ret;
}

int npu_submit(struct npu_device *dev, uint32_t ctx,
	       const struct drm_npu_job *jobs, uint32_t count)
{
	struct drm_npu_submit args = {
		.ctx_id = ctx,
		.jobs = npu_array(jobs, count, sizeof(*jobs)),
	};
	int ret;

	/* Not drmIoctl(): it would spin on -EAGAIN, which means a full queue. */
	do {
		ret = ioctl(dev->fd, DRM_IOCTL_NPU_SUBMIT, &args);
	} while (ret && errno == EINTR);

	return ret ? -errno : 0;
}

int npu_submit_tasks(struct npu_device *dev, uint32_t ctx,
		     const struct drm_npu_task *tasks, uint32_t count,
		     uint32_t wait, uint32_t signal)
{
	struct drm_npu_sync syncs[2];
	struct drm_npu_job job = {
		.tasks = npu_array(tasks, count, sizeof(*tasks)),
	};
	uint32_t n = 0;

	if (wait)
		syncs[n++] = (struct drm_npu_sync){
			.handle = wait,
			.flags = DRM_NPU_SYNC_WAIT,
		};
	if (signal)
		syncs[n++] = (struct drm_npu_sync){
			.handle = signal,
			.flags = DRM_NPU_SYNC_SIGNAL,
		};
	job.syncs = npu_array(syncs, n, sizeof(syncs[0]));

	return npu_submit(dev, ctx, &job, 1);
}
