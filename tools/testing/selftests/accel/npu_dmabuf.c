// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers shared with others as dma-bufs: memory of udmabuf, of the system's
 * dma-heap and of the driver's own, with jobs that compute on it, and the fences
 * that tell who is when done with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

#define SIZE		NPU_COPY_MAX

FIXTURE(dmabuf)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo bo, out;		/* the driver's own */
};

FIXTURE_SETUP(dmabuf)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, SIZE, 0, 0, &self->bo));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, SIZE, 0, 0, &self->out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->out, 0));
}

FIXTURE_TEARDOWN(dmabuf)
{
	npu_env_close(&self->e);
}

static int cpu_access(int dmabuf, uint64_t flags)
{
	struct dma_buf_sync arg = { .flags = flags };

	return npu_ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &arg);
}

static uint8_t *map_dmabuf(int dmabuf, uint64_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf,
			 0);

	return map == MAP_FAILED ? NULL : map;
}

/*
 * Memory of others
 */

/*
 * Every second page first: neighbours in the file are none in memory. That is
 * what memory looks like after a while, and keeps segments short, which udmabuf
 * does not, to the displeasure of a kernel that debugs DMA.
 */
static int scatter(int memfd, uint64_t size)
{
	uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    memfd, 0);
	uint64_t first, at;

	if (map == MAP_FAILED)
		return -errno;
	for (first = 0; first < 2; first++) {
		for (at = first * 4096; at < size; at += 8192)
			map[at] = 0;
	}
	munmap(map, size);
	return 0;
}

/* A memfd as a dma-buf */
static int udmabuf_alloc(uint64_t size)
{
	int memfd, dmabuf, dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	struct udmabuf_create arg = {
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};

	if (dev < 0)
		return -ENODEV;
	memfd = memfd_create("npu", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (memfd < 0 || ftruncate(memfd, size) || scatter(memfd, size) ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		close(dev);
		return -EINVAL;
	}
	arg.memfd = memfd;
	dmabuf = ioctl(dev, UDMABUF_CREATE, &arg);
	if (dmabuf < 0)
		dmabuf = -errno;
	close(memfd);
	close(dev);
	/* The first access is how it is mapped; a debug kernel minds others */
	if (dmabuf >= 0)
		cpu_access(dmabuf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW);
	if (dmabuf >= 0)
		cpu_access(dmabuf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW);
	return dmabuf;
}

static int heap_alloc(uint64_t size)
{
	int ret, dev = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);
	struct dma_heap_allocation_data arg = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	if (dev < 0)
		return -ENODEV;
	ret = npu_ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &arg);
	close(dev);
	return ret ? ret : (int)arg.fd;
}

/* A buffer of another file of the driver, which closes it */
static int other_file_alloc(uint64_t size)
{
	struct npu_env other;
	uint32_t handle;
	int dmabuf;

	if (npu_env_open_plain(&other))
		return -ENODEV;
	dmabuf = npu_bo_create(other.fd, size, 0, 0, &handle);
	if (!dmabuf)
		dmabuf = npu_export(other.fd, handle);
	npu_env_close(&other);
	return dmabuf;
}

FIXTURE(import)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo out;
	int dmabuf;
	uint8_t *map;		/* as the exporter maps it */
	struct npu_bo bo;	/* as we have it, bound */
};

FIXTURE_VARIANT(import)
{
	int (*alloc)(uint64_t size);
	const char *lacks;
	enum drm_npu_placement placement;
};

FIXTURE_VARIANT_ADD(import, udmabuf)
{
	.alloc = udmabuf_alloc,
	.lacks = "the kernel has no udmabuf",
	.placement = DRM_NPU_PLACEMENT_FOREIGN,
};

FIXTURE_VARIANT_ADD(import, heap)
{
	.alloc = heap_alloc,
	.lacks = "the kernel has no dma-heap of system memory",
	.placement = DRM_NPU_PLACEMENT_FOREIGN,
};

/* Not foreign, but the way there is the same */
FIXTURE_VARIANT_ADD(import, other_file)
{
	.alloc = other_file_alloc,
	.lacks = "no second file",
	.placement = DRM_NPU_PLACEMENT_SYSTEM,
};

FIXTURE_SETUP(import)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	self->dmabuf = variant->alloc(SIZE);
	if (self->dmabuf == -ENODEV)
		SKIP(return, "%s", variant->lacks);
	ASSERT_GE(self->dmabuf, 0);
	self->map = map_dmabuf(self->dmabuf, SIZE);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, npu_import(self->e.fd, self->dmabuf, &self->bo.handle));
	self->bo.size = SIZE;
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, SIZE, 0, 0, &self->out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->out, 0));
}

FIXTURE_TEARDOWN(import)
{
	npu_env_close(&self->e);
}

static int fill_dmabuf(int dmabuf, uint8_t *map, uint64_t seed)
{
	int ret = cpu_access(dmabuf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);

	npu_pattern_fill(map, SIZE, seed);
	return ret ? ret : cpu_access(dmabuf, DMA_BUF_SYNC_END |
				      DMA_BUF_SYNC_WRITE);
}

static long wrong_in_dmabuf(int dmabuf, uint8_t *map, uint64_t seed)
{
	int ret = cpu_access(dmabuf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	long wrong = npu_pattern_wrong(map, SIZE, seed);

	if (!ret)
		ret = cpu_access(dmabuf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
	return ret ? ret : wrong;
}

TEST_F(import, is_queried_as_what_it_is)
{
	struct drm_npu_bo_query q;
	uint32_t again;

	ASSERT_EQ(0, npu_bo_query(self->e.fd, self->bo.handle, &q));
	EXPECT_EQ(SIZE, q.size);
	EXPECT_EQ(0, q.vm_id);
	EXPECT_EQ(0, q.flags);
	EXPECT_EQ(variant->placement, q.placement);
	EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT, q.residency);
	EXPECT_EQ(DRM_NPU_ADVICE_WILLNEED, q.advice);
	EXPECT_EQ(-EINVAL, npu_bo_madvise(self->e.fd, self->bo.handle,
					  DRM_NPU_ADVICE_DONTNEED, NULL));
	ASSERT_EQ(0, npu_import(self->e.fd, self->dmabuf, &again));
	EXPECT_EQ(self->bo.handle, again) TH_LOG("one dma-buf, one handle");
}

TEST_F(import, jobs_read_what_the_exporter_wrote)
{
	int n;

	for (n = 0; n < 4; n++) {
		ASSERT_EQ(0, fill_dmabuf(self->dmabuf, self->map, n));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->out.va, self->bo.va, SIZE));
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, n));
	}
}

TEST_F(import, the_exporter_reads_what_jobs_wrote)
{
	int n;

	for (n = 0; n < 4; n++) {
		npu_pattern_fill(self->out.map, SIZE, n);
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_TO_DEVICE);
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->bo.va, self->out.va, SIZE));
		EXPECT_EQ(0, wrong_in_dmabuf(self->dmabuf, self->map, n));
	}
}

/* All operands of a real operation in memory of somebody else */
TEST_F(import, products_of_foreign_operands_are_right)
{
	struct npu_work w;
	uint64_t in = 0, aux = 64 * KIB, out = 128 * KIB;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 64, 3));
	ASSERT_EQ(0, cpu_access(self->dmabuf, DMA_BUF_SYNC_START |
				DMA_BUF_SYNC_RW));
	memcpy(self->map + in, w.bo[NPU_IN].map, w.bo[NPU_IN].size);
	memcpy(self->map + aux, w.bo[NPU_AUX].map, w.bo[NPU_AUX].size);
	memset(self->map + out, NPU_CANARY, w.bo[NPU_OUT].size);
	ASSERT_EQ(0, cpu_access(self->dmabuf, DMA_BUF_SYNC_END |
				DMA_BUF_SYNC_RW));
	rknn_patch(&w.stream, RKNN_CNA_FEATURES, self->bo.va + in);
	rknn_patch(&w.stream, RKNN_CNA_WEIGHTS, self->bo.va + aux);
	rknn_patch(&w.stream, RKNN_DPU_OUT, self->bo.va + out);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	EXPECT_EQ(NPU_DONE, npu_run(&self->e, self->e.ctx, &w.task, 1));
	ASSERT_EQ(0, cpu_access(self->dmabuf, DMA_BUF_SYNC_START |
				DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, memcmp(self->map + out, w.expect, w.bo[NPU_OUT].size));
	ASSERT_EQ(0, cpu_access(self->dmabuf, DMA_BUF_SYNC_END |
				DMA_BUF_SYNC_READ));
}

TEST_F(import, is_mapped_and_synchronised_like_any_buffer)
{
	struct npu_bo bo = self->bo;
	uint32_t dir;

	ASSERT_EQ(0, npu_bo_mmap(self->e.fd, &bo));
	EXPECT_EQ(SIZE, bo.size);
	npu_pattern_fill(bo.map, SIZE, 8);
	EXPECT_EQ(0, npu_pattern_wrong(self->map, SIZE, 8));
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_TO_DEVICE));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, bo.va, SIZE));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c, bo.va,
				     self->out.va, SIZE));
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_FROM_DEVICE));
	EXPECT_EQ(0, npu_pattern_wrong(bo.map, SIZE, 8));
	npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 8));
	for (dir = DRM_NPU_SYNC_TO_DEVICE; dir <= DRM_NPU_SYNC_BOTH; dir++) {
		struct drm_npu_bo_sync_op op = {
			.handle = bo.handle,
			.dir = dir,
			.offset = 12345,
			.size = 67890,
		};
		struct drm_npu_bo_sync arg = { .ops = NPU_ARRAY(&op, 1) };

		EXPECT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_BO_SYNC,
				       &arg));
		op.size = SIZE;
		EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_BO_SYNC,
					     &arg));
	}
	munmap(bo.map, SIZE);
}

TEST_F(import, parts_of_it_can_be_bound_and_read_only)
{
	uint64_t va = 1 * GIB, page = self->e.info.page_size;
	struct drm_npu_ctx_query q;
	uint32_t ctx;

	ASSERT_EQ(0, fill_dmabuf(self->dmabuf, self->map, 9));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, self->bo.handle, va,
				4 * page, 5 * page, DRM_NPU_BIND_READONLY));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, va, 4 * page));
	npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, memcmp(self->out.map, self->map + 5 * page, 4 * page));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &self->c, va + page,
				    self->out.va, page));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
	EXPECT_EQ(va + page, q.fault_va & ~(page - 1));
	EXPECT_EQ(DRM_NPU_FAULT_WRITE, q.fault_flags);
	EXPECT_EQ(0, wrong_in_dmabuf(self->dmabuf, self->map, 9));
	EXPECT_EQ(-EINVAL, npu_map_at(self->e.fd, self->e.vm, self->bo.handle,
				      va + 16 * page, SIZE + page, 0, 0));
}

/* Nobody but the binding knows of it any more, and jobs still compute on it */
TEST_F(import, a_binding_keeps_the_memory_of_others)
{
	ASSERT_EQ(0, fill_dmabuf(self->dmabuf, self->map, 10));
	munmap(self->map, SIZE);
	close(self->dmabuf);
	ASSERT_EQ(0, npu_gem_close(self->e.fd, self->bo.handle));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, self->bo.va, SIZE));
	npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 10));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->bo.va, SIZE));
}

/* The file goes while a job computes on it */
TEST_F(import, a_running_job_keeps_the_memory_of_others)
{
	struct drm_npu_task *task, one;
	int fence, keep = dup(self->dmabuf);

	npu_pattern_fill(self->out.map, SIZE, 11);
	npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_TO_DEVICE);
	ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->bo.va,
				   self->out.va, SIZE, &one));
	task = npu_repeat_task(&one, 128);
	ASSERT_NE(NULL, task);
	fence = npu_run_to_file(&self->e, self->e.ctx, task, 128);
	free(task);
	ASSERT_GE(fence, 0);
	munmap(self->out.map, SIZE);
	munmap(self->c.bo.map, self->c.bo.size);
	close(self->dmabuf);
	npu_env_close(&self->e);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	EXPECT_EQ(0, wrong_in_dmabuf(keep, self->map, 11));
	close(fence);
	close(keep);
}

/*
 * Our memory for others
 */

TEST_F(dmabuf, cpu_access_through_it_sees_what_jobs_do)
{
	int n, dmabuf = npu_export(self->e.fd, self->bo.handle);
	uint8_t *map;

	ASSERT_GE(dmabuf, 0);
	map = map_dmabuf(dmabuf, SIZE);
	ASSERT_NE(NULL, map);
	for (n = 0; n < 4; n++) {
		ASSERT_EQ(0, fill_dmabuf(dmabuf, map, n));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->out.va, self->bo.va, SIZE));
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, n));
		npu_pattern_fill(self->out.map, SIZE, 50 + n);
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_TO_DEVICE);
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->bo.va, self->out.va, SIZE));
		EXPECT_EQ(0, wrong_in_dmabuf(dmabuf, map, 50 + n));
	}
	munmap(map, SIZE);
	close(dmabuf);
}

TEST_F(dmabuf, importing_our_own_gives_the_same_buffer)
{
	int dmabuf = npu_export(self->e.fd, self->bo.handle), again;
	struct npu_env other;
	uint32_t handle, twice;

	ASSERT_GE(dmabuf, 0);
	ASSERT_EQ(0, npu_import(self->e.fd, dmabuf, &handle));
	EXPECT_EQ(self->bo.handle, handle);
	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_import(other.fd, dmabuf, &handle));
	ASSERT_EQ(0, npu_import(other.fd, dmabuf, &twice));
	EXPECT_EQ(handle, twice);
	again = npu_export(other.fd, handle);
	ASSERT_GE(again, 0);
	ASSERT_EQ(0, npu_import(self->e.fd, again, &twice));
	EXPECT_EQ(self->bo.handle, twice) TH_LOG("round trip");
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM,
		  npu_bo_placement(other.fd, handle));
	npu_env_close(&other);
	close(again);
	close(dmabuf);
}

TEST_F(dmabuf, what_cannot_be_shared_is_refused)
{
	struct npu_bo bo;
	int fd;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, self->e.vm, &bo));
	fd = npu_export(self->e.fd, bo.handle);
	EXPECT_LT(fd, 0);
	fd = npu_export(self->e.fd, 0x7fffffff);
	EXPECT_EQ(-ENOENT, fd);
	if (!npu_bo_new(self->e.fd, 4096, DRM_NPU_BO_SRAM, 0, &bo)) {
		fd = npu_export(self->e.fd, bo.handle);
		EXPECT_LT(fd, 0);
	}
	EXPECT_LT(npu_import(self->e.fd, self->e.fd, &bo.handle), 0)
		TH_LOG("not a dma-buf");
	EXPECT_LT(npu_import(self->e.fd, -1, &bo.handle), 0);
}

TEST_F(dmabuf, imports_have_the_limits_of_other_buffers)
{
	int dmabuf = udmabuf_alloc(3 * 4096);
	struct npu_bo bo = { .size = 3 * 4096 };

	if (dmabuf == -ENODEV)
		SKIP(return, "the kernel has no udmabuf");
	ASSERT_GE(dmabuf, 0);
	ASSERT_EQ(0, npu_import(self->e.fd, dmabuf, &bo.handle));
	EXPECT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
	EXPECT_EQ(-EINVAL, npu_map_at(self->e.fd, self->e.vm, bo.handle, GIB,
				      4 * 4096, 0, 0));
	EXPECT_EQ(-EINVAL, npu_map_at(self->e.fd, self->e.vm, bo.handle, GIB,
				      4096, 3 * 4096, 0));
	close(dmabuf);
}

/*
 * Fences. A job that hangs for the whole timeout is what others wait for; it
 * ends as all hangs do, and whoever waits goes on.
 */

static int fences_of(int dmabuf, uint32_t flags)
{
	struct dma_buf_export_sync_file arg = { .flags = flags, .fd = -1 };
	int ret = npu_ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &arg);

	return ret ? ret : arg.fd;
}

static int add_fence(int dmabuf, int fence, uint32_t flags)
{
	struct dma_buf_import_sync_file arg = { .flags = flags, .fd = fence };

	return npu_ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &arg);
}

/* 1 as soon as all fences that @flags has to wait for have signalled, or 0 */
static int idle_for(int dmabuf, uint32_t flags)
{
	int fd = fences_of(dmabuf, flags), status;

	if (fd < 0)
		return fd;
	status = npu_file_status(fd);
	close(fd);
	return status != 0;
}

/* One job that lists one buffer; its fence as a sync file */
static int submit_listed(struct npu_env *e, uint32_t ctx,
			 struct drm_npu_task *task, uint32_t handle,
			 uint32_t flags)
{
	struct drm_npu_buffer buffer = { .handle = handle, .flags = flags };
	struct drm_npu_sync sync = { .flags = DRM_NPU_SYNC_SIGNAL };
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(task, 1),
		.syncs = NPU_ARRAY(&sync, 1),
		.buffers = NPU_ARRAY(&buffer, 1),
	};
	int ret = npu_syncobj_create(e->fd, 0, &sync.handle);

	if (ret)
		return ret;
	ret = npu_submit(e->fd, ctx, &job, 1);
	if (!ret)
		ret = npu_syncobj_to_file(e->fd, sync.handle, 0);
	npu_syncobj_destroy(e->fd, sync.handle);
	return ret;
}

FIXTURE(fences)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo out;
	struct npu_bo bo;	/* whoever's it is */
	struct npu_work hang;
	struct drm_npu_task task;	/* copies it to the output */
	uint32_t hanging;	/* a context for that */
	int dmabuf;
	uint8_t *map;
};

FIXTURE_VARIANT(fences)
{
	int (*alloc)(uint64_t size);
	const char *lacks;
};

FIXTURE_VARIANT_ADD(fences, udmabuf)
{
	.alloc = udmabuf_alloc,
	.lacks = "the kernel has no udmabuf",
};

FIXTURE_VARIANT_ADD(fences, heap)
{
	.alloc = heap_alloc,
	.lacks = "the kernel has no dma-heap of system memory",
};

FIXTURE_VARIANT_ADD(fences, other_file)
{
	.alloc = other_file_alloc,
	.lacks = "no second file",
};

FIXTURE_SETUP(fences)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (self->e.info.num_cores < 2)
		SKIP(return, "needs a core for each of two jobs");
	self->dmabuf = variant->alloc(SIZE);
	if (self->dmabuf == -ENODEV)
		SKIP(return, "%s", variant->lacks);
	ASSERT_GE(self->dmabuf, 0);
	self->map = map_dmabuf(self->dmabuf, SIZE);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, npu_import(self->e.fd, self->dmabuf, &self->bo.handle));
	self->bo.size = SIZE;
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, SIZE, 0, 0, &self->out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->out, 0));
	ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->out.va,
				   self->bo.va, SIZE, &self->task));
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
				    &self->hanging));
}

FIXTURE_TEARDOWN(fences)
{
	npu_env_close(&self->e);
}

TEST_F(fences, an_idle_dmabuf_has_none)
{
	EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_READ));
	EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
}

TEST_F(fences, of_a_job_that_reads_come_out_for_writers_only)
{
	int fence, job;

	job = submit_listed(&self->e, self->hanging, &self->hang.task,
			    self->bo.handle, DRM_NPU_BUFFER_READ);
	ASSERT_GE(job, 0);
	EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
	fence = fences_of(self->dmabuf, DMA_BUF_SYNC_RW);
	ASSERT_GE(fence, 0);
	EXPECT_EQ(-ETIME, npu_file_wait(fence, NPU_PATIENCE_MS))
		TH_LOG("it is the fence of the job");
	EXPECT_EQ(-ETIME, npu_file_status(job));
	EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
}

TEST_F(fences, of_a_job_that_writes_come_out_for_all)
{
	uint32_t flags[] = { DRM_NPU_BUFFER_WRITE,
			     DRM_NPU_BUFFER_WRITE | DRM_NPU_BUFFER_READ };
	size_t n;
	int job;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		uint32_t ctx;

		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		job = submit_listed(&self->e, ctx, &self->hang.task,
				    self->bo.handle, flags[n]);
		ASSERT_GE(job, 0);
		EXPECT_EQ(0, idle_for(self->dmabuf, DMA_BUF_SYNC_READ));
		EXPECT_EQ(0, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
		EXPECT_EQ(-ETIME, npu_file_wait(job, NPU_PATIENCE_MS));
		EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
		close(job);
	}
}

TEST_F(fences, of_a_job_that_does_not_list_it_stay_out)
{
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->hanging, &self->hang, 0));
	EXPECT_EQ(1, idle_for(self->dmabuf, DMA_BUF_SYNC_RW));
}

/* A dma-buf can be polled: readable when writers, writable when all are done */
TEST_F(fences, make_poll_wait)
{
	struct pollfd in = { .fd = self->dmabuf, .events = POLLIN };
	struct pollfd out = { .fd = self->dmabuf, .events = POLLOUT };
	int job;

	EXPECT_EQ(1, poll(&out, 1, 0));
	job = submit_listed(&self->e, self->hanging, &self->hang.task,
			    self->bo.handle, DRM_NPU_BUFFER_READ);
	ASSERT_GE(job, 0);
	EXPECT_EQ(1, poll(&in, 1, 0));
	EXPECT_EQ(0, poll(&out, 1, 0));
	EXPECT_EQ(1, poll(&out, 1, NPU_PATIENCE_MS));
	EXPECT_EQ(-ETIME, npu_file_status(job));
}

/*
 * The other way: a fence that is put into the dma-buf is one that jobs wait for.
 * Here it is that of a long job of a file that knows nothing of the buffer.
 */
struct blocker {
	struct npu_env e;
	struct npu_work w;
	int fence;
};

static int blocker_start(struct blocker *b)
{
	int ret = npu_env_open(&b->e);

	if (!ret)
		ret = npu_work_hang(&b->e, &b->w);
	if (ret)
		return ret;
	b->fence = npu_run_to_file(&b->e, b->e.ctx, &b->w.task, 1);
	return b->fence < 0 ? b->fence : 0;
}

/* That a job has not run although it had the time, unless the fence is done */
static bool waits_for(int job, int fence)
{
	int status;

	npu_sleep_ms(100);
	status = npu_file_status(job);
	return !status || npu_file_status(fence);
}

TEST_F(fences, put_in_by_writers_hold_up_everybody)
{
	uint32_t flags[] = { DRM_NPU_BUFFER_READ, DRM_NPU_BUFFER_WRITE };
	struct blocker b;
	size_t n;
	int job;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		ASSERT_EQ(0, fill_dmabuf(self->dmabuf, self->map, 1));
		ASSERT_EQ(0, blocker_start(&b));
		ASSERT_EQ(0, add_fence(self->dmabuf, b.fence,
				       DMA_BUF_SYNC_WRITE));
		job = submit_listed(&self->e, self->e.ctx, &self->task,
				    self->bo.handle, flags[n]);
		ASSERT_GE(job, 0);
		EXPECT_TRUE(waits_for(job, b.fence));
		/*
		 * The fence stands for a writer who is not done until then. To
		 * ask for access would be to wait for it.
		 */
		npu_pattern_fill(self->map, SIZE, 30 + n);
		ASSERT_EQ(0, cpu_access(self->dmabuf, DMA_BUF_SYNC_END |
					DMA_BUF_SYNC_WRITE));
		EXPECT_EQ(-ETIME, npu_file_wait(b.fence, NPU_PATIENCE_MS));
		EXPECT_EQ(NPU_DONE, npu_file_wait(job, NPU_PATIENCE_MS));
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 30 + n))
			TH_LOG("the job read before it should");
		close(job);
		close(b.fence);
		npu_env_close(&b.e);
	}
}

TEST_F(fences, put_in_by_readers_hold_up_writers_only)
{
	struct blocker b;
	int read, write;

	ASSERT_EQ(0, blocker_start(&b));
	ASSERT_EQ(0, add_fence(self->dmabuf, b.fence, DMA_BUF_SYNC_READ));
	read = submit_listed(&self->e, self->e.ctx, &self->task,
			     self->bo.handle, DRM_NPU_BUFFER_READ);
	ASSERT_GE(read, 0);
	EXPECT_EQ(NPU_DONE, npu_file_wait(read, NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_file_status(b.fence))
		TH_LOG("a reader waited for a reader");
	write = submit_listed(&self->e, self->e.ctx, &self->task,
			      self->bo.handle, DRM_NPU_BUFFER_WRITE);
	ASSERT_GE(write, 0);
	EXPECT_TRUE(waits_for(write, b.fence));
	EXPECT_EQ(-ETIME, npu_file_wait(b.fence, NPU_PATIENCE_MS));
	EXPECT_EQ(NPU_DONE, npu_file_wait(write, NPU_PATIENCE_MS));
	npu_env_close(&b.e);
}

TEST_F(fences, hold_up_nobody_who_does_not_list_the_buffer)
{
	struct blocker b;

	ASSERT_EQ(0, fill_dmabuf(self->dmabuf, self->map, 4));
	ASSERT_EQ(0, blocker_start(&b));
	ASSERT_EQ(0, add_fence(self->dmabuf, b.fence, DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(NPU_DONE, npu_run(&self->e, self->e.ctx, &self->task, 1));
	EXPECT_EQ(0, npu_file_status(b.fence));
	npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 4));
	npu_env_close(&b.e);
}

/* Two files, each with its own handle of the same memory, nothing explicit */
TEST_F(fences, order_the_jobs_of_two_files)
{
	struct npu_bo theirs = { .size = SIZE }, src;
	struct drm_npu_task *tasks, one;
	struct npu_env other;
	struct npu_cmds c;
	int n, read;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_cmds_new(&other, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_import(other.fd, self->dmabuf, &theirs.handle));
	ASSERT_EQ(0, npu_map(other.fd, other.vm, &theirs, 0));
	ASSERT_EQ(0, npu_bo_new(other.fd, SIZE, DRM_NPU_BO_WC, 0, &src));
	ASSERT_EQ(0, npu_map(other.fd, other.vm, &src, 0));
	ASSERT_EQ(0, npu_cmds_copy(&other, &c, theirs.va, src.va, SIZE, &one));
	tasks = npu_repeat_task(&one, 16);
	ASSERT_NE(NULL, tasks);
	for (n = 0; n < 4; n++) {
		struct drm_npu_buffer list = {
			.handle = theirs.handle,
			.flags = DRM_NPU_BUFFER_WRITE,
		};
		struct drm_npu_job job = {
			.tasks = NPU_ARRAY(tasks, 16),
			.buffers = NPU_ARRAY(&list, 1),
		};

		npu_pattern_fill(src.map, SIZE, 60 + n);
		ASSERT_EQ(0, npu_submit(other.fd, other.ctx, &job, 1));
		read = submit_listed(&self->e, self->e.ctx, &self->task,
				     self->bo.handle, DRM_NPU_BUFFER_READ);
		ASSERT_GE(read, 0);
		EXPECT_EQ(NPU_DONE, npu_file_wait(read, NPU_PATIENCE_MS));
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 60 + n))
			TH_LOG("read before it was written");
		EXPECT_EQ(0, npu_bo_wait(other.fd, theirs.handle,
					 DRM_NPU_BO_WAIT_WRITE,
					 NPU_PATIENCE_MS));
		close(read);
	}
	free(tasks);
	npu_env_close(&other);
}

TEST_F(fences, bo_wait_waits_for_those_of_others)
{
	struct blocker b;

	ASSERT_EQ(0, blocker_start(&b));
	ASSERT_EQ(0, add_fence(self->dmabuf, b.fence, DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->bo.handle,
				 DRM_NPU_BO_WAIT_READ, 1));
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->bo.handle,
					  DRM_NPU_BO_WAIT_WRITE, 1));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->bo.handle,
				 DRM_NPU_BO_WAIT_WRITE, NPU_PATIENCE_MS));
	EXPECT_EQ(-ETIME, npu_file_status(b.fence));
	npu_env_close(&b.e);
}

/*
 * Lives
 */

TEST_F(dmabuf, lives_on_without_handle_and_file)
{
	struct npu_env other, third;
	struct npu_bo theirs = { .size = SIZE }, out;
	struct npu_cmds c;
	uint8_t *map;
	int dmabuf;

	ASSERT_EQ(0, npu_env_open(&other));
	dmabuf = npu_bo_create(other.fd, SIZE, 0, 0, &theirs.handle);
	ASSERT_EQ(0, dmabuf);
	dmabuf = npu_export(other.fd, theirs.handle);
	ASSERT_GE(dmabuf, 0);
	map = map_dmabuf(dmabuf, SIZE);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, fill_dmabuf(dmabuf, map, 70));
	ASSERT_EQ(0, npu_gem_close(other.fd, theirs.handle));
	EXPECT_EQ(0, wrong_in_dmabuf(dmabuf, map, 70));
	npu_env_close(&other);
	EXPECT_EQ(0, wrong_in_dmabuf(dmabuf, map, 70));
	munmap(map, SIZE);

	ASSERT_EQ(0, npu_env_open(&third));
	ASSERT_EQ(0, npu_cmds_new(&third, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_import(third.fd, dmabuf, &theirs.handle));
	close(dmabuf);
	ASSERT_EQ(0, npu_map(third.fd, third.vm, &theirs, 0));
	ASSERT_EQ(0, npu_bo_new(third.fd, SIZE, DRM_NPU_BO_WC, 0, &out));
	ASSERT_EQ(0, npu_map(third.fd, third.vm, &out, 0));
	EXPECT_EQ(NPU_DONE, npu_copy(&third, third.ctx, &c, out.va, theirs.va,
				     SIZE));
	EXPECT_EQ(0, npu_pattern_wrong(out.map, SIZE, 70));
	npu_env_close(&third);
}

/* Somebody else's pages must not be reclaimed under them */
TEST_F(dmabuf, shared_memory_survives_pressure)
{
	int dmabuf = npu_export(self->e.fd, self->bo.handle), n;
	struct npu_env other;
	struct npu_bo theirs = { .size = SIZE };
	uint8_t *map;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_GE(dmabuf, 0);
	map = map_dmabuf(dmabuf, SIZE);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_import(other.fd, dmabuf, &theirs.handle));
	ASSERT_EQ(0, npu_map(other.fd, other.vm, &theirs, 0));
	for (n = 0; n < 4; n++) {
		ASSERT_EQ(0, fill_dmabuf(dmabuf, map, 80 + n));
		ASSERT_EQ(0, npu_shrink());
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->out.va, self->bo.va, SIZE));
		npu_bo_sync(self->e.fd, &self->out, DRM_NPU_SYNC_FROM_DEVICE);
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 80 + n));
		ASSERT_EQ(0, npu_shrink());
		EXPECT_EQ(0, wrong_in_dmabuf(dmabuf, map, 80 + n));
		EXPECT_EQ(0, npu_pattern_wrong(self->bo.map, SIZE, 80 + n));
	}
	npu_env_close(&other);
}

TEST_HARNESS_MAIN
