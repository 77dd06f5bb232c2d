// SPDX-License-Identifier: GPL-2.0-only
/* Buffers: BO_CREATE, BO_QUERY, BO_SYNC, BO_WAIT, BO_MADVISE and mmap. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

NPU_FIXTURE(bo)

static int sync_ops(int fd, void *ops, uint32_t stride, uint32_t count)
{
	struct drm_npu_bo_sync arg = {
		.ops = {
			.stride = stride,
			.count = count,
			.ptr = (uintptr_t)ops,
		},
	};

	return npu_ioctl(fd, DRM_IOCTL_NPU_BO_SYNC, &arg);
}

static int sync_range(int fd, uint32_t handle, uint32_t dir, uint64_t offset,
		      uint64_t size)
{
	struct drm_npu_bo_sync_op op = {
		.handle = handle,
		.dir = dir,
		.offset = offset,
		.size = size,
	};

	return sync_ops(fd, &op, sizeof(op), 1);
}

static int bo_wait(int fd, uint32_t handle, uint32_t flags, int64_t deadline)
{
	struct drm_npu_bo_wait arg = {
		.handle = handle,
		.flags = flags,
		.deadline_ns = deadline,
	};

	return npu_ioctl(fd, DRM_IOCTL_NPU_BO_WAIT, &arg);
}

static bool all_bytes(const uint8_t *p, uint8_t value, size_t size)
{
	while (size--)
		if (*p++ != value)
			return false;
	return true;
}

TEST_F(bo, sizes_are_rounded_up_to_pages)
{
	uint64_t page = self->e.info.page_size;
	uint64_t sizes[] = { 1, 8, page - 1, page, page + 1, 3 * page - 1,
			     1 << 20, (1 << 20) + 1 };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		struct drm_npu_bo_create arg = {
			.size = sizes[n],
			.handle = 0xcccccccc,
		};
		struct drm_npu_bo_query q;

		ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_BO_CREATE,
				       &arg));
		EXPECT_NE(0, arg.handle);
		EXPECT_EQ((sizes[n] + page - 1) / page * page, arg.size);
		ASSERT_EQ(0, npu_bo_query(self->e.fd, arg.handle, &q));
		EXPECT_EQ(arg.size, q.size);
		EXPECT_EQ(0, npu_gem_close(self->e.fd, arg.handle));
	}
}

TEST_F(bo, size_zero_is_refused)
{
	uint32_t handle;

	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 0, 0, 0, &handle));
}

TEST_F(bo, sizes_above_the_limit_are_refused)
{
	uint64_t max = self->e.info.max_bo_size;
	uint64_t sizes[] = { max + 1, max + self->e.info.page_size, max * 2,
			     1ull << 32, (1ull << 32) + 1, 1ull << 40,
			     1ull << 63, ~0ull - 4095, ~0ull };
	uint32_t handle;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		if (sizes[n] <= max)
			continue;
		EXPECT_EQ(-E2BIG, npu_bo_create(self->e.fd, sizes[n], 0, 0,
						&handle));
	}
}

/*
 * Sizes where 32 bit arithmetic turns negative or to zero must be refused or
 * work; whatever was mapped by half must be gone before the memory is.
 */
TEST_F(bo, sizes_around_2_and_4_gib_leave_nothing_behind)
{
	uint64_t sizes[] = { 0x7ffff000, 0x80000000, 0x80001000, 0xfffff000,
			     0xffffffff, 0x100000000 };
	struct npu_work w;
	uint32_t handle;
	size_t n;
	int ret;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		ret = npu_bo_create(self->e.fd, sizes[n], 0, 0, &handle);
		if (sizes[n] > self->e.info.max_bo_size) {
			EXPECT_EQ(-E2BIG, ret);
		} else {
			EXPECT_TRUE(ret == 0 || ret == -ENOMEM);
		}
		if (!ret)
			npu_gem_close(self->e.fd, handle);
	}
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 1));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

/* Nothing but the call itself may fail for lack of memory */
TEST_F(bo, more_than_the_machine_has_is_refused)
{
	struct npu_bo bo = { .size = self->e.info.max_bo_size };
	struct sysinfo info;
	struct npu_work w;

	ASSERT_EQ(0, sysinfo(&info));
	if ((uint64_t)info.totalram * info.mem_unit >= bo.size)
		SKIP(return, "the largest buffer fits into memory");
	ASSERT_EQ(0, npu_bo_create(self->e.fd, bo.size, 0, 0, &bo.handle));
	EXPECT_EQ(-ENOMEM, npu_map(self->e.fd, self->e.vm, &bo, 0));
	EXPECT_EQ(0, npu_gem_close(self->e.fd, bo.handle));
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 2));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(bo, unknown_flags_are_refused_one_by_one)
{
	uint32_t handle;
	int bit;

	for (bit = 4; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096, 1u << bit,
						 0, &handle));
	}
	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096, ~0u, 0, &handle));
}

TEST_F(bo, vm_must_exist_and_be_ours)
{
	uint32_t handle, vm = 0;
	struct npu_env other;
	int n;

	EXPECT_EQ(-ENOENT, npu_bo_create(self->e.fd, 4096, 0, 0xdeadbeef,
					 &handle));
	EXPECT_EQ(-ENOENT, npu_bo_create(self->e.fd, 4096, 0, ~0u, &handle));
	ASSERT_EQ(0, npu_env_open_plain(&other));
	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, npu_vm_create(self->e.fd, &vm));
	}
	EXPECT_EQ(-ENOENT, npu_bo_create(other.fd, 4096, 0, vm, &handle));
	EXPECT_EQ(0, npu_bo_create(self->e.fd, 4096, 0, vm, &handle));
	npu_env_close(&other);
}

TEST_F(bo, query_tells_what_was_created)
{
	uint32_t flags[] = { 0, DRM_NPU_BO_WC };
	uint32_t vms[] = { 0, self->e.vm };
	struct drm_npu_bo_query q;
	uint32_t handle;
	size_t f, v;

	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		for (v = 0; v < ARRAY_SIZE(vms); v++) {
			ASSERT_EQ(0, npu_bo_create(self->e.fd, 8192, flags[f],
						   vms[v], &handle));
			ASSERT_EQ(0, npu_bo_query(self->e.fd, handle, &q));
			EXPECT_EQ(handle, q.handle);
			EXPECT_EQ(flags[f], q.flags);
			EXPECT_EQ(vms[v], q.vm_id);
			EXPECT_EQ(8192, q.size);
			EXPECT_EQ(0, q.mmap_offset % 4096);
			EXPECT_EQ(0, q.pad);
			EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, q.placement);
			EXPECT_EQ(DRM_NPU_ADVICE_WILLNEED, q.advice);
			EXPECT_EQ(0, q.priority);
		}
	}
}

TEST_F(bo, placements_exclude_each_other)
{
	uint32_t both = DRM_NPU_BO_SRAM | DRM_NPU_BO_SRAM_PREFERRED;
	uint32_t vms[] = { 0, self->e.vm };
	uint32_t other[] = { 0, DRM_NPU_BO_WC, DRM_NPU_BO_RESIDENT,
			     DRM_NPU_BO_WC | DRM_NPU_BO_RESIDENT };
	uint32_t handle;
	size_t v, f;

	for (v = 0; v < ARRAY_SIZE(vms); v++) {
		for (f = 0; f < ARRAY_SIZE(other); f++) {
			EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096,
							 both | other[f],
							 vms[v], &handle));
		}
	}
}

TEST_F(bo, preferred_buffers_must_be_private)
{
	uint32_t handle;

	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096,
					 DRM_NPU_BO_SRAM_PREFERRED, 0,
					 &handle));
	EXPECT_EQ(0, npu_bo_create(self->e.fd, 4096, DRM_NPU_BO_SRAM_PREFERRED,
				   self->e.vm, &handle))
		TH_LOG("also where there is no on-chip memory");
}

static int create_with_priority(struct npu_env *e, uint32_t flags, int32_t prio,
				uint32_t *handle)
{
	struct drm_npu_bo_create arg = {
		.size = 4096,
		.flags = flags,
		.vm_id = e->vm,
		.priority = prio,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_BO_CREATE, &arg);

	*handle = ret ? 0 : arg.handle;
	return ret;
}

TEST_F(bo, priorities_are_for_preferred_buffers)
{
	uint32_t others[] = { 0, DRM_NPU_BO_WC, DRM_NPU_BO_SRAM,
			      DRM_NPU_BO_RESIDENT };
	int32_t bad[] = { -2, 2, INT32_MIN, INT32_MAX, 100 };
	struct drm_npu_bo_query q;
	uint32_t handle;
	int32_t prio;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(others); n++) {
		EXPECT_EQ(-EINVAL, create_with_priority(&self->e, others[n], 1,
							&handle));
		EXPECT_EQ(-EINVAL, create_with_priority(&self->e, others[n],
							-1, &handle));
	}
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, create_with_priority(&self->e,
						DRM_NPU_BO_SRAM_PREFERRED,
						bad[n], &handle));
	}
	for (prio = DRM_NPU_PRIORITY_LOW; prio <= DRM_NPU_PRIORITY_HIGH; prio++) {
		ASSERT_EQ(0, create_with_priority(&self->e,
						  DRM_NPU_BO_SRAM_PREFERRED,
						  prio, &handle));
		ASSERT_EQ(0, npu_bo_query(self->e.fd, handle, &q));
		EXPECT_EQ(prio, q.priority);
		EXPECT_EQ(DRM_NPU_BO_SRAM_PREFERRED, q.flags);
	}
}

TEST_F(bo, a_high_priority_needs_the_capability)
{
	uint32_t flags = DRM_NPU_BO_SRAM_PREFERRED, handle;

	ASSERT_EQ(0, npu_drop_nice());
	EXPECT_EQ(-EACCES, create_with_priority(&self->e, flags,
						DRM_NPU_PRIORITY_HIGH,
						&handle));
	EXPECT_EQ(0, create_with_priority(&self->e, flags,
					  DRM_NPU_PRIORITY_NORMAL, &handle));
	EXPECT_EQ(0, create_with_priority(&self->e, flags,
					  DRM_NPU_PRIORITY_LOW, &handle));
}

TEST_F(bo, query_tells_when_there_is_memory)
{
	uint32_t flags[] = { 0, DRM_NPU_BO_WC };
	struct npu_bo bo;
	size_t f;

	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		ASSERT_EQ(0, npu_bo_new(self->e.fd, MIB, flags[f], 0, &bo));
		EXPECT_EQ(DRM_NPU_RESIDENCY_NONE,
			  npu_bo_residency(self->e.fd, bo.handle))
			TH_LOG("a mapping alone takes no memory");
		ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
		EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT,
			  npu_bo_residency(self->e.fd, bo.handle));
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo.va, bo.size));
		npu_bo_free(self->e.fd, &bo);
		ASSERT_EQ(0, npu_bo_new(self->e.fd, MIB, flags[f], 0, &bo));
		bo.map[bo.size / 2] = 1;
		EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT,
			  npu_bo_residency(self->e.fd, bo.handle))
			TH_LOG("what the CPU has touched is there");
		npu_bo_free(self->e.fd, &bo);
	}
}

TEST_F(bo, madvise_checks_what_it_is_told)
{
	uint32_t bad[] = { 2, 3, 0x80000000, ~0u };
	struct drm_npu_bo_madvise arg;
	struct npu_env other;
	uint32_t handle;
	size_t n;

	ASSERT_EQ(0, npu_env_open_plain(&other));
	ASSERT_EQ(0, npu_bo_create(self->e.fd, 4096, 0, 0, &handle));
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, npu_bo_madvise(self->e.fd, handle, bad[n],
						  NULL));
	}
	arg = (struct drm_npu_bo_madvise){ .handle = handle, .pad = 1 };
	EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_BO_MADVISE,
				     &arg));
	EXPECT_EQ(-ENOENT, npu_bo_madvise(self->e.fd, 0, 0, NULL));
	EXPECT_EQ(-ENOENT, npu_bo_madvise(self->e.fd, handle + 1, 0, NULL));
	EXPECT_EQ(-ENOENT, npu_bo_madvise(other.fd, handle, 0, NULL));
	npu_env_close(&other);
}

TEST_F(bo, only_plain_system_memory_is_discardable)
{
	uint32_t no[] = { DRM_NPU_BO_RESIDENT, DRM_NPU_BO_SRAM_PREFERRED,
			  DRM_NPU_BO_SRAM };
	uint32_t handle, advice;
	int dmabuf;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(no); n++) {
		int ret = npu_bo_create(self->e.fd, 4096, no[n], self->e.vm,
					&handle);

		if (ret == -ENOSPC && no[n] == DRM_NPU_BO_SRAM)
			continue;	/* there is none */
		ASSERT_EQ(0, ret);
		for (advice = 0; advice < 2; advice++) {
			EXPECT_EQ(-EINVAL, npu_bo_madvise(self->e.fd, handle,
							  advice, NULL))
				TH_LOG("flags %x", no[n]);
		}
	}
	ASSERT_EQ(0, npu_bo_create(self->e.fd, 4096, 0, 0, &handle));
	dmabuf = npu_export(self->e.fd, handle);
	ASSERT_GE(dmabuf, 0);
	EXPECT_EQ(-EINVAL, npu_bo_madvise(self->e.fd, handle,
					  DRM_NPU_ADVICE_DONTNEED, NULL));
	close(dmabuf);
}

TEST_F(bo, a_discardable_buffer_is_not_bound_or_exported)
{
	struct npu_bo bo;
	int dmabuf;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 65536, 0, 0, &bo));
	ASSERT_EQ(0, npu_bo_madvise(self->e.fd, bo.handle,
				    DRM_NPU_ADVICE_DONTNEED, NULL));
	EXPECT_EQ(-EINVAL, npu_map(self->e.fd, self->e.vm, &bo, 0));
	dmabuf = npu_export(self->e.fd, bo.handle);
	EXPECT_LT(dmabuf, 0);
	ASSERT_EQ(0, npu_bo_madvise(self->e.fd, bo.handle,
				    DRM_NPU_ADVICE_WILLNEED, NULL));
	EXPECT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
	dmabuf = npu_export(self->e.fd, bo.handle);
	EXPECT_GE(dmabuf, 0);
	close(dmabuf);
}

/* Without pressure nothing is thrown away, and jobs may go on with it */
TEST_F(bo, advice_is_kept_and_harmless)
{
	struct drm_npu_bo_query q;
	struct npu_work w;
	uint32_t retained;
	int i, n;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 6));
	for (n = 0; n < 3; n++) {
		for (i = 0; i < NPU_WORK_BOS; i++) {
			uint32_t advice = (i + n) % 2;

			if (!w.bo[i].handle)
				continue;
			ASSERT_EQ(0, npu_bo_madvise(self->e.fd,
						    w.bo[i].handle, advice,
						    &retained));
			EXPECT_EQ(1, retained);
			ASSERT_EQ(0, npu_bo_query(self->e.fd, w.bo[i].handle,
						  &q));
			EXPECT_EQ(advice, q.advice);
			EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT, q.residency);
		}
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	}
}

TEST_F(bo, handles_are_checked)
{
	struct drm_npu_bo_query q;
	struct npu_env other;
	uint32_t handle, bad;
	size_t n;

	ASSERT_EQ(0, npu_env_open_plain(&other));
	ASSERT_EQ(0, npu_bo_create(self->e.fd, 4096, 0, 0, &handle));
	for (n = 0; n < 4; n++) {
		const uint32_t wrong[] = { 0, handle + 1, 0x7fffffff, ~0u };

		bad = wrong[n];
		EXPECT_EQ(-ENOENT, npu_bo_query(self->e.fd, bad, &q));
		EXPECT_EQ(-ENOENT, sync_range(self->e.fd, bad, 1, 0, 1));
		EXPECT_EQ(-ENOENT, sync_range(self->e.fd, bad, 1, 0, 0));
		EXPECT_EQ(-ENOENT, bo_wait(self->e.fd, bad, 1, 0));
	}
	EXPECT_EQ(-ENOENT, npu_bo_query(other.fd, handle, &q));
	EXPECT_EQ(-ENOENT, sync_range(other.fd, handle, 1, 0, 1));
	EXPECT_EQ(-ENOENT, bo_wait(other.fd, handle, 1, 0));
	EXPECT_EQ(0, npu_gem_close(self->e.fd, handle));
	EXPECT_EQ(-ENOENT, npu_bo_query(self->e.fd, handle, &q));
	EXPECT_EQ(-EINVAL, npu_gem_close(self->e.fd, handle));
	npu_env_close(&other);
}

TEST_F(bo, new_buffers_are_zeroed)
{
	struct npu_bo bo;
	int n;

	for (n = 0; n < 16; n++) {
		ASSERT_EQ(0, npu_bo_new(self->e.fd, 256 << 10,
					n & 1 ? DRM_NPU_BO_WC : 0,
					n & 2 ? self->e.vm : 0, &bo));
		EXPECT_TRUE(all_bytes(bo.map, 0, bo.size));
		memset(bo.map, 0x5a, bo.size);
		npu_bo_free(self->e.fd, &bo);
	}
}

TEST_F(bo, two_mappings_show_the_same_bytes)
{
	struct npu_bo a, b;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 65536, 0, 0, &a));
	b = a;
	ASSERT_EQ(0, npu_bo_mmap(self->e.fd, &b));
	EXPECT_NE(a.map, b.map);
	npu_fill_random(a.map, a.size, 7);
	EXPECT_EQ(0, memcmp(a.map, b.map, a.size));
	munmap(b.map, b.size);
	npu_bo_free(self->e.fd, &a);
}

TEST_F(bo, mapping_outlives_handle_and_file)
{
	struct npu_env other;
	struct npu_bo bo;
	uint8_t copy[4096];

	ASSERT_EQ(0, npu_env_open_plain(&other));
	ASSERT_EQ(0, npu_bo_new(other.fd, sizeof(copy), 0, 0, &bo));
	npu_fill_random(bo.map, bo.size, 3);
	memcpy(copy, bo.map, sizeof(copy));
	ASSERT_EQ(0, npu_gem_close(other.fd, bo.handle));
	EXPECT_EQ(0, memcmp(copy, bo.map, sizeof(copy)));
	npu_env_close(&other);
	EXPECT_EQ(0, memcmp(copy, bo.map, sizeof(copy)));
	bo.map[0] ^= 1;
	EXPECT_EQ(copy[0] ^ 1, bo.map[0]);
	munmap(bo.map, bo.size);
}

TEST_F(bo, mmap_checks_offset_and_size)
{
	struct drm_npu_bo_query q;
	struct npu_env other;
	struct npu_bo bo;
	void *map;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 8192, 0, 0, &bo));
	ASSERT_EQ(0, npu_bo_query(self->e.fd, bo.handle, &q));
	map = mmap(NULL, 12288, PROT_READ, MAP_SHARED, self->e.fd,
		   q.mmap_offset);
	EXPECT_EQ(MAP_FAILED, map) TH_LOG("mapped beyond the buffer");
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->e.fd, 0);
	EXPECT_EQ(MAP_FAILED, map) TH_LOG("mapped without a buffer");
	ASSERT_EQ(0, npu_env_open_plain(&other));
	map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, other.fd, q.mmap_offset);
	EXPECT_EQ(MAP_FAILED, map) TH_LOG("mapped the buffer of another file");
	npu_env_close(&other);
	npu_bo_free(self->e.fd, &bo);
	map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, self->e.fd,
		   q.mmap_offset);
	EXPECT_EQ(MAP_FAILED, map) TH_LOG("mapped a buffer that is gone");
}

TEST_F(bo, jobs_work_on_write_combined_buffers)
{
	struct npu_work w;
	struct npu_bo out;
	uint32_t sync;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 5));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, w.bo[NPU_OUT].size, DRM_NPU_BO_WC,
				0, &out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &out, 0));
	memset(out.map, NPU_CANARY, out.size);
	rknn_patch(&w.stream, 0x4020, out.va);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &w, sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
	EXPECT_EQ(0, memcmp(w.expect, out.map, out.size));
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
}

TEST_F(bo, sync_accepts_every_range_inside)
{
	struct npu_bo bo;
	uint32_t dir;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16384, 0, 0, &bo));
	for (dir = DRM_NPU_SYNC_TO_DEVICE; dir <= DRM_NPU_SYNC_BOTH; dir++) {
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 0, 16384));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 0, 1));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 16383, 1));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 4095, 2));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 100, 9000));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 77, 0));
		EXPECT_EQ(0, sync_range(self->e.fd, bo.handle, dir, 16384, 0));
	}
	npu_bo_free(self->e.fd, &bo);
}

TEST_F(bo, sync_refuses_ranges_that_leave_the_buffer)
{
	uint64_t range[][2] = {
		{ 0, 16385 }, { 1, 16384 }, { 16384, 1 }, { 16385, 0 },
		{ 0, ~0ull }, { ~0ull, 1 }, { ~0ull, ~0ull }, { 1, ~0ull },
		{ ~0ull - 4095, 4096 }, { ~0ull - 4095, 8192 },
		{ 1ull << 63, 1ull << 63 }, { 4096, ~0ull - 4095 },
		{ 1ull << 32, 1 }, { 0, (1ull << 32) + 1 },
	};
	struct npu_bo bo;
	size_t n;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16384, 0, 0, &bo));
	for (n = 0; n < ARRAY_SIZE(range); n++) {
		EXPECT_EQ(-EINVAL, sync_range(self->e.fd, bo.handle,
					      DRM_NPU_SYNC_BOTH, range[n][0],
					      range[n][1]))
			TH_LOG("offset %llx size %llx",
			       (unsigned long long)range[n][0],
			       (unsigned long long)range[n][1]);
	}
	npu_bo_free(self->e.fd, &bo);
}

TEST_F(bo, sync_refuses_unknown_directions)
{
	uint32_t dirs[] = { 0, 4, 5, 7, 8, 0x80000000, ~0u };
	struct npu_bo bo;
	size_t n;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, 0, &bo));
	for (n = 0; n < ARRAY_SIZE(dirs); n++) {
		EXPECT_EQ(-EINVAL, sync_range(self->e.fd, bo.handle, dirs[n],
					      0, 4096));
		EXPECT_EQ(-EINVAL, sync_range(self->e.fd, bo.handle, dirs[n],
					      0, 0));
	}
	npu_bo_free(self->e.fd, &bo);
}

TEST_F(bo, sync_takes_1024_ranges_and_no_more)
{
	struct drm_npu_bo_sync_op *ops = calloc(1025, sizeof(*ops));
	uint32_t counts[] = { 1025, 0x10000, 0x04000000, 0x10000000,
			      0x80000000, ~0u };
	struct npu_bo bo;
	size_t n;

	ASSERT_NE(NULL, ops);
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096 * 1024, 0, 0, &bo));
	for (n = 0; n < 1025; n++) {
		ops[n].handle = bo.handle;
		ops[n].dir = DRM_NPU_SYNC_BOTH;
		ops[n].offset = n % 1024 * 4096 + n % 7;
		ops[n].size = 4000;
	}
	EXPECT_EQ(0, sync_ops(self->e.fd, ops, sizeof(*ops), 1024));
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		EXPECT_EQ(-E2BIG, sync_ops(self->e.fd, ops, sizeof(*ops),
					   counts[n]));
	}
	ops[1023].dir = 9;
	EXPECT_EQ(-EINVAL, sync_ops(self->e.fd, ops, sizeof(*ops), 1024));
	ops[1023].dir = 1;
	ops[1023].handle = 0;
	EXPECT_EQ(-ENOENT, sync_ops(self->e.fd, ops, sizeof(*ops), 1024));
	npu_bo_free(self->e.fd, &bo);
	free(ops);
}

TEST_F(bo, sync_on_write_combined_buffers_checks_but_does_nothing)
{
	struct npu_bo bo;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 8192, DRM_NPU_BO_WC, 0, &bo));
	npu_fill_random(bo.map, bo.size, 1);
	EXPECT_EQ(0, npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_BOTH));
	EXPECT_EQ(-EINVAL, sync_range(self->e.fd, bo.handle, 1, 0, 8193));
	npu_bo_free(self->e.fd, &bo);
}

TEST_F(bo, wait_checks_its_flags)
{
	struct npu_bo bo;
	int bit;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, 0, &bo));
	EXPECT_EQ(-EINVAL, bo_wait(self->e.fd, bo.handle, 0, INT64_MAX));
	for (bit = 2; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, bo_wait(self->e.fd, bo.handle, 1u << bit,
					   INT64_MAX));
		EXPECT_EQ(-EINVAL, bo_wait(self->e.fd, bo.handle,
					   1u << bit | 1, INT64_MAX));
	}
	npu_bo_free(self->e.fd, &bo);
}

TEST_F(bo, wait_for_an_idle_buffer_returns_at_once)
{
	uint32_t vms[] = { 0, self->e.vm };
	struct npu_bo bo;
	uint32_t flags;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(vms); n++) {
		ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, vms[n], &bo));
		for (flags = 1; flags < 4; flags++) {
			EXPECT_EQ(0, bo_wait(self->e.fd, bo.handle, flags,
					     INT64_MAX));
			EXPECT_EQ(0, npu_bo_wait(self->e.fd, bo.handle, flags,
						 1000));
		}
		npu_bo_free(self->e.fd, &bo);
	}
}

/* Submits a job that uses the NPU until the timeout; lists one buffer */
static int submit_busy(struct npu_env *e, struct npu_work *hang,
		       uint32_t handle, uint32_t flags, uint32_t sync)
{
	struct drm_npu_buffer buffer = { .handle = handle, .flags = flags };
	struct drm_npu_sync signal = {
		.handle = sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(&hang->task, 1),
		.syncs = NPU_ARRAY(&signal, 1),
	};

	if (handle)
		job.buffers = NPU_ARRAY(&buffer, 1);
	return npu_submit(e->fd, e->ctx, &job, 1);
}

FIXTURE(busy)
{
	struct npu_env e;
	struct npu_work hang;
	struct npu_bo shared;
	struct npu_bo private;
	uint32_t sync;
};

FIXTURE_SETUP(busy)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, 0, &self->shared));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, self->e.vm,
				&self->private));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
}

FIXTURE_TEARDOWN(busy)
{
	npu_env_close(&self->e);
}

TEST_F(busy, past_deadlines_time_out_at_once)
{
	int64_t past[] = { 0, 1, -1, INT64_MIN, npu_now_ns() - 1,
			   npu_now_ns() };
	int64_t start;
	size_t n;

	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, self->shared.handle,
				 DRM_NPU_BUFFER_WRITE, self->sync));
	start = npu_now_ns();
	for (n = 0; n < ARRAY_SIZE(past); n++) {
		EXPECT_EQ(-ETIMEDOUT, bo_wait(self->e.fd, self->shared.handle,
					      DRM_NPU_BO_WAIT_READ, past[n]));
	}
	EXPECT_LT(npu_now_ns() - start,
		  self->e.info.timeout_ms * 500000ll);
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->shared.handle,
					  DRM_NPU_BO_WAIT_WRITE, 5));
	EXPECT_EQ(0, bo_wait(self->e.fd, self->shared.handle,
			     DRM_NPU_BO_WAIT_WRITE, INT64_MAX));
}

TEST_F(busy, wait_ends_when_the_job_does_and_hides_its_error)
{
	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, self->shared.handle,
				 DRM_NPU_BUFFER_WRITE, self->sync));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->shared.handle,
				 DRM_NPU_BO_WAIT_READ, NPU_PATIENCE_MS));
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
}

TEST_F(busy, wait_to_write_waits_for_readers)
{
	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, self->shared.handle,
				 DRM_NPU_BUFFER_READ, self->sync));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->shared.handle,
				 DRM_NPU_BO_WAIT_READ, 1));
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->shared.handle,
					  DRM_NPU_BO_WAIT_WRITE, 1));
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->shared.handle,
					  DRM_NPU_BO_WAIT_READ |
					  DRM_NPU_BO_WAIT_WRITE, 1));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->shared.handle,
				 DRM_NPU_BO_WAIT_WRITE, NPU_PATIENCE_MS));
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
}

TEST_F(busy, shared_buffers_count_only_when_listed)
{
	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, 0, 0, self->sync));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->shared.handle,
				 DRM_NPU_BO_WAIT_WRITE, 1));
}

TEST_F(busy, private_buffers_wait_for_every_job_of_their_vm)
{
	struct npu_bo other;
	uint32_t vm;

	ASSERT_EQ(0, npu_vm_create(self->e.fd, &vm));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, vm, &other));
	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, 0, 0, self->sync));
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->private.handle,
					  DRM_NPU_BO_WAIT_WRITE, 1));
	EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, self->private.handle,
					  DRM_NPU_BO_WAIT_READ, 1));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, other.handle,
				 DRM_NPU_BO_WAIT_WRITE, 1));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->private.handle,
				 DRM_NPU_BO_WAIT_READ, NPU_PATIENCE_MS));
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST_F(busy, signals_interrupt_a_wait)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_value.tv_usec = 20000 };

	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, submit_busy(&self->e, &self->hang, self->shared.handle,
				 DRM_NPU_BUFFER_WRITE, self->sync));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	EXPECT_EQ(-EINTR, npu_bo_wait(self->e.fd, self->shared.handle,
				      DRM_NPU_BO_WAIT_READ, NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->shared.handle,
				 DRM_NPU_BO_WAIT_READ, NPU_PATIENCE_MS));
}

TEST_F(bo, thousands_of_buffers)
{
	enum { COUNT = 2000 };
	uint32_t *handle = calloc(COUNT, sizeof(*handle));
	int n, made = 0;

	ASSERT_NE(NULL, handle);
	for (n = 0; n < COUNT; n++, made++)
		if (npu_bo_create(self->e.fd, 4096, 0, n & 1 ? self->e.vm : 0,
				  &handle[n]))
			break;
	EXPECT_EQ(COUNT, made);
	for (n = 0; n < made; n += 2) {
		EXPECT_EQ(0, npu_gem_close(self->e.fd, handle[n]));
	}
	free(handle);	/* closing the file takes the rest */
}

TEST_F(bo, shared_buffers_travel_between_files)
{
	struct npu_bo a, b = { 0 };
	struct npu_env other;
	uint32_t again;
	int dmabuf;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 65536, 0, 0, &a));
	npu_fill_random(a.map, a.size, 9);
	dmabuf = npu_export(self->e.fd, a.handle);
	ASSERT_GE(dmabuf, 0);
	ASSERT_EQ(0, npu_import(other.fd, dmabuf, &b.handle));
	ASSERT_EQ(0, npu_bo_mmap(other.fd, &b));
	EXPECT_EQ(65536, b.size);
	EXPECT_EQ(0, memcmp(a.map, b.map, a.size));
	EXPECT_EQ(0, npu_import(self->e.fd, dmabuf, &again));
	EXPECT_EQ(a.handle, again) TH_LOG("own buffers keep their handle");
	EXPECT_EQ(0, npu_map(other.fd, other.vm, &b, 0));
	close(dmabuf);
	npu_bo_free(other.fd, &b);
	npu_env_close(&other);
}

/* Files A and B each have a VM of their own over the same buffer */
TEST_F(bo, imported_buffers_work_in_jobs_of_both_files)
{
	struct npu_env other;
	struct npu_work w;
	struct npu_bo in = { 0 };
	uint32_t sync;
	int dmabuf;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 21));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	npu_work_free(&self->e, &w);

	ASSERT_EQ(0, npu_work_small(&other, &w, 22));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, w.bo[NPU_IN].size, 0, 0, &in));
	memcpy(in.map, w.bo[NPU_IN].map, in.size);
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &in, DRM_NPU_SYNC_TO_DEVICE));
	memset(w.bo[NPU_IN].map, 0, in.size);
	dmabuf = npu_export(self->e.fd, in.handle);
	ASSERT_GE(dmabuf, 0);
	ASSERT_EQ(0, npu_import(other.fd, dmabuf, &in.handle));
	ASSERT_EQ(0, npu_map(other.fd, other.vm, &in, DRM_NPU_BIND_READONLY));
	rknn_patch(&w.stream, 0x1070, in.va);
	ASSERT_EQ(0, npu_work_stream(&other, &w));
	ASSERT_EQ(0, npu_work_arm(&other, &w));
	ASSERT_EQ(0, npu_syncobj_create(other.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_work(other.fd, other.ctx, &w, sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(other.fd, sync, 0));
	EXPECT_EQ(0, npu_work_check(&other, &w));
	close(dmabuf);
	npu_env_close(&other);
}

TEST_F(bo, private_buffers_cannot_be_exported)
{
	struct npu_bo bo;
	int fd;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, self->e.vm, &bo));
	fd = npu_export(self->e.fd, bo.handle);
	EXPECT_LT(fd, 0);
	npu_bo_free(self->e.fd, &bo);
}

TEST_HARNESS_MAIN
