// SPDX-License-Identifier: GPL-2.0-only
/* Address spaces: VM_CREATE, VM_DESTROY, VM_BIND. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

FIXTURE(vm)
{
	struct npu_env e;
	struct npu_bo bo;	/* 16 pages */
	uint64_t page;
	uint64_t va;		/* somewhere in the middle, nothing around it */
};

FIXTURE_SETUP(vm)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	self->page = self->e.info.page_size;
	self->va = (self->e.info.va_start + (self->e.info.va_end >> 1)) &
		   ~(self->page * 1024 - 1);
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &self->bo));
}

FIXTURE_TEARDOWN(vm)
{
	npu_env_close(&self->e);
}

static int map_pages(struct npu_env *e, uint32_t handle, uint64_t va,
		     uint64_t pages)
{
	return npu_map_at(e->fd, e->vm, handle, va, pages * e->info.page_size,
			  0, 0);
}

TEST_F(vm, identifiers_are_distinct_and_not_zero)
{
	uint32_t vm[4];
	int i, j;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, npu_vm_create(self->e.fd, &vm[i]));
		EXPECT_NE(0, vm[i]);
		EXPECT_NE(self->e.vm, vm[i]);
		for (j = 0; j < i; j++) {
			EXPECT_NE(vm[j], vm[i]);
		}
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, npu_vm_destroy(self->e.fd, vm[i]));
	}
}

TEST_F(vm, unknown_identifiers_are_refused)
{
	uint32_t bad[] = { 0, self->e.vm + 1, 0x7fffffff, ~0u };
	struct npu_env other;
	uint32_t vm;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, npu_vm_destroy(self->e.fd, bad[n]));
		EXPECT_EQ(-ENOENT, npu_map_at(self->e.fd, bad[n],
					      self->bo.handle, self->va,
					      self->page, 0, 0));
		EXPECT_EQ(-ENOENT, npu_unmap(self->e.fd, bad[n], self->va,
					     self->page));
	}
	ASSERT_EQ(0, npu_vm_create(self->e.fd, &vm));
	EXPECT_EQ(0, npu_vm_destroy(self->e.fd, vm));
	EXPECT_EQ(-ENOENT, npu_vm_destroy(self->e.fd, vm));
	ASSERT_EQ(0, npu_env_open_plain(&other));
	EXPECT_EQ(-ENOENT, npu_vm_destroy(other.fd, self->e.vm));
	EXPECT_EQ(-ENOENT, npu_map_at(other.fd, self->e.vm, self->bo.handle,
				      self->va, self->page, 0, 0));
	npu_env_close(&other);
}

TEST_F(vm, a_file_may_have_max_vms)
{
	uint32_t max = self->e.info.max_vms, n, vm;
	uint32_t *ids = calloc(max, sizeof(*ids));

	ASSERT_NE(NULL, ids);
	for (n = 1; n < max; n++)	/* the fixture has one already */
		ASSERT_EQ(0, npu_vm_create(self->e.fd, &ids[n]));
	EXPECT_EQ(-ENOSPC, npu_vm_create(self->e.fd, &vm));
	EXPECT_EQ(-ENOSPC, npu_vm_create(self->e.fd, &vm));
	ASSERT_EQ(0, npu_vm_destroy(self->e.fd, ids[max - 1]));
	EXPECT_EQ(0, npu_vm_create(self->e.fd, &vm));
	EXPECT_EQ(-ENOSPC, npu_vm_create(self->e.fd, &ids[0]));
	free(ids);
}

TEST_F(vm, both_ends_of_the_range_can_be_mapped)
{
	uint64_t last = self->e.info.va_end - self->page;

	EXPECT_EQ(0, map_pages(&self->e, self->bo.handle,
			       self->e.info.va_start, 1));
	EXPECT_EQ(0, map_pages(&self->e, self->bo.handle, last, 1));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->e.info.va_start,
			       self->e.info.va_end - self->e.info.va_start));
}

TEST_F(vm, addresses_outside_the_range_are_refused)
{
	uint64_t page = self->page, end = self->e.info.va_end;
	uint64_t bad[][2] = {
		{ 0, page }, { self->e.info.va_start - page, page },
		{ self->e.info.va_start - page, 2 * page },
		{ end, page }, { end - page, 2 * page }, { end + page, page },
		{ 1ull << 40, page }, { 1ull << 63, page },
		{ -page, page }, { -page, 2 * page }, { -2 * page, page },
	};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, npu_map_at(self->e.fd, self->e.vm,
					      self->bo.handle, bad[n][0],
					      bad[n][1], 0, 0))
			TH_LOG("map of %llx", (unsigned long long)bad[n][0]);
		EXPECT_EQ(-EINVAL, npu_unmap(self->e.fd, self->e.vm, bad[n][0],
					     bad[n][1]))
			TH_LOG("unmap of %llx", (unsigned long long)bad[n][0]);
	}
}

TEST_F(vm, everything_must_be_whole_pages)
{
	uint64_t page = self->page, va = self->va;
	uint64_t off[] = { 1, 8, 64, 512, page / 2, page - 1 };
	int fd = self->e.fd;
	uint32_t vm = self->e.vm, bo = self->bo.handle;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(off); n++) {
		EXPECT_EQ(-EINVAL, npu_map_at(fd, vm, bo, va + off[n], page, 0,
					      0));
		EXPECT_EQ(-EINVAL, npu_map_at(fd, vm, bo, va, off[n], 0, 0));
		EXPECT_EQ(-EINVAL, npu_map_at(fd, vm, bo, va, page + off[n], 0,
					      0));
		EXPECT_EQ(-EINVAL, npu_map_at(fd, vm, bo, va, page, off[n], 0));
		EXPECT_EQ(-EINVAL, npu_unmap(fd, vm, va + off[n], page));
		EXPECT_EQ(-EINVAL, npu_unmap(fd, vm, va, off[n]));
	}
	EXPECT_EQ(-EINVAL, npu_map_at(fd, vm, bo, va, 0, 0, 0));
	EXPECT_EQ(-EINVAL, npu_unmap(fd, vm, va, 0));
	EXPECT_EQ(0, npu_map_at(fd, vm, bo, va, 16 * page, 0, 0));
}

TEST_F(vm, ranges_must_lie_in_the_buffer)
{
	uint64_t page = self->page;
	uint64_t bad[][2] = {	/* bo_offset, size */
		{ 0, 17 * page }, { page, 16 * page }, { 16 * page, page },
		{ 17 * page, page }, { -page, page }, { -page, 2 * page },
		{ page, -page }, { 0, 1ull << 32 }, { 1ull << 32, page },
		{ 0, 1ull << 63 }, { 1ull << 63, 1ull << 63 }, { 0, -page },
	};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, npu_map_at(self->e.fd, self->e.vm,
					      self->bo.handle, self->va,
					      bad[n][1], bad[n][0], 0))
			TH_LOG("offset %llx size %llx",
			       (unsigned long long)bad[n][0],
			       (unsigned long long)bad[n][1]);
	}
}

TEST_F(vm, buffers_must_exist_and_be_ours)
{
	uint32_t bad[] = { 0, self->bo.handle + 1, 0x7fffffff, ~0u };
	struct npu_env other;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, map_pages(&self->e, bad[n], self->va, 1));
	}
	ASSERT_EQ(0, npu_env_open(&other));
	EXPECT_EQ(-ENOENT, map_pages(&other, self->bo.handle, self->va, 1));
	npu_env_close(&other);
}

TEST_F(vm, private_buffers_map_in_their_vm_only)
{
	uint32_t vm, handle;

	ASSERT_EQ(0, npu_vm_create(self->e.fd, &vm));
	ASSERT_EQ(0, npu_bo_create(self->e.fd, self->page, 0, vm, &handle));
	EXPECT_EQ(-EINVAL, map_pages(&self->e, handle, self->va, 1));
	EXPECT_EQ(0, npu_map_at(self->e.fd, vm, handle, self->va, self->page,
				0, 0));
}

TEST_F(vm, malformed_operations_are_refused)
{
	struct drm_npu_bind_op good = {
		.type = DRM_NPU_BIND_MAP,
		.handle = self->bo.handle,
		.va = self->va,
		.size = self->page,
	};
	struct drm_npu_bind_op unmap = {
		.type = DRM_NPU_BIND_UNMAP,
		.va = self->va,
		.size = self->page,
	};
	struct drm_npu_bind_op bad[] = {
		good, good, good, good, unmap, unmap, unmap, unmap, unmap,
	};
	size_t n;

	bad[0].type = 2;
	bad[1].type = ~0u;
	bad[2].pad = 1;
	bad[3].flags = DRM_NPU_BIND_AUTO;	/* with an address */
	bad[4].handle = self->bo.handle;
	bad[5].bo_offset = self->page;
	bad[6].flags = DRM_NPU_BIND_READONLY;
	bad[7].flags = DRM_NPU_BIND_AUTO;
	bad[8].pad = 1;
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, npu_bind(self->e.fd, self->e.vm, &bad[n], 1,
					    NULL))
			TH_LOG("operation %zu", n);
	}
	for (n = 2; n < 32; n++) {
		bad[0] = good;
		bad[0].flags = 1u << n;
		EXPECT_EQ(-EINVAL, npu_bind(self->e.fd, self->e.vm, bad, 1,
					    NULL));
	}
	EXPECT_EQ(0, npu_bind(self->e.fd, self->e.vm, &good, 1, NULL));
	EXPECT_EQ(0, npu_bind(self->e.fd, self->e.vm, &unmap, 1, NULL));
}

TEST_F(vm, mapped_pages_cannot_be_mapped_again)
{
	uint64_t page = self->page, va = self->va;
	struct { uint64_t va, pages; } over[] = {
		{ va, 4 }, { va, 1 }, { va + 3 * page, 1 }, { va + page, 2 },
		{ va - page, 2 }, { va + 3 * page, 2 }, { va - page, 6 },
		{ va, 5 }, { va - 3 * page, 4 },
	};
	size_t n;

	ASSERT_EQ(0, map_pages(&self->e, self->bo.handle, va, 4));
	for (n = 0; n < ARRAY_SIZE(over); n++) {
		EXPECT_EQ(-EEXIST, map_pages(&self->e, self->bo.handle,
					     over[n].va, over[n].pages));
	}
	EXPECT_EQ(0, map_pages(&self->e, self->bo.handle, va - page, 1));
	EXPECT_EQ(0, map_pages(&self->e, self->bo.handle, va + 4 * page, 1));
}

/* Which of 16 pages are free, found by trying to map each */
static unsigned int free_pages(struct npu_env *e, uint32_t handle, uint64_t va)
{
	unsigned int i, mask = 0;

	for (i = 0; i < 16; i++) {
		uint64_t at = va + i * e->info.page_size;

		if (map_pages(e, handle, at, 1))
			continue;
		mask |= 1u << i;
		npu_unmap(e->fd, e->vm, at, e->info.page_size);
	}
	return mask;
}

TEST_F(vm, unmap_splits_what_reaches_beyond)
{
	struct { unsigned int first, pages, left; } cut[] = {
		{ 0, 4, 0x000f }, { 12, 4, 0xf000 }, { 4, 8, 0x0ff0 },
		{ 0, 16, 0xffff }, { 7, 1, 0x0080 }, { 0, 1, 0x0001 },
		{ 15, 1, 0x8000 },
	};
	uint64_t va = self->va;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(cut); n++) {
		ASSERT_EQ(0, map_pages(&self->e, self->bo.handle, va, 16));
		EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm,
				       va + cut[n].first * self->page,
				       cut[n].pages * self->page));
		EXPECT_EQ(cut[n].left,
			  free_pages(&self->e, self->bo.handle, va));
		EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va,
				       16 * self->page));
		EXPECT_EQ(0xffff, free_pages(&self->e, self->bo.handle, va));
	}
}

TEST_F(vm, unmap_takes_several_mappings_and_gaps)
{
	uint64_t va = self->va, page = self->page;

	ASSERT_EQ(0, map_pages(&self->e, self->bo.handle, va, 3));
	ASSERT_EQ(0, map_pages(&self->e, self->bo.handle, va + 5 * page, 2));
	ASSERT_EQ(0, map_pages(&self->e, self->bo.handle, va + 7 * page, 4));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va + page, 8 * page));
	EXPECT_EQ(0xf9fe, free_pages(&self->e, self->bo.handle, va));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va, 16 * page));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va, 16 * page))
		TH_LOG("a range without mappings is no error");
}

TEST_F(vm, chosen_addresses_are_free_and_in_range)
{
	uint64_t size = self->bo.size;
	uint64_t va[64];
	int i, j;

	for (i = 0; i < 64; i++) {
		ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
		va[i] = self->bo.va;
		EXPECT_EQ(0, va[i] % self->page);
		EXPECT_GE(va[i], self->e.info.va_start);
		EXPECT_LE(va[i] + size, self->e.info.va_end);
		for (j = 0; j < i; j++) {
			EXPECT_TRUE(va[i] + size <= va[j] ||
				    va[j] + size <= va[i]);
		}
	}
}

TEST_F(vm, chosen_addresses_avoid_fixed_ones)
{
	uint64_t va[8];
	int i, j;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
		va[i] = self->bo.va;
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va[i],
				       self->bo.size));
	}
	/* Put one page in the middle of each place that was chosen */
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, map_pages(&self->e, self->bo.handle,
				       va[i] + 8 * self->page, 1));
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
		for (j = 0; j < 8; j++) {
			EXPECT_FALSE(va[j] + 8 * self->page >= self->bo.va &&
				     va[j] + 8 * self->page <
				     self->bo.va + self->bo.size);
		}
	}
}

TEST_F(vm, a_full_address_space_has_no_room)
{
	uint64_t size = 64ull << 20, got = 0;
	struct npu_bo bo = { .size = size };
	uint64_t range = self->e.info.va_end - self->e.info.va_start;
	int ret;

	if (range > 8ull << 30)
		SKIP(return, "the address space is too large to fill");
	if (size > self->e.info.max_bo_size)
		SKIP(return, "buffers are too small");
	ASSERT_EQ(0, npu_bo_create(self->e.fd, size, 0, 0, &bo.handle));
	while (!(ret = npu_map(self->e.fd, self->e.vm, &bo, 0)))
		got += size;
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_GT(got, range - 2 * size);
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->e.info.va_start,
			       range));
	EXPECT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
}

TEST_F(vm, operations_stop_at_the_first_that_fails)
{
	struct drm_npu_bind_op op[4];
	uint32_t done = 99;
	int i;

	for (i = 0; i < 4; i++)
		op[i] = (struct drm_npu_bind_op) {
			.type = DRM_NPU_BIND_MAP,
			.handle = self->bo.handle,
			.va = self->va + i * self->page,
			.size = self->page,
		};
	op[2].va = self->va;	/* mapped by the first */
	EXPECT_EQ(-EEXIST, npu_bind(self->e.fd, self->e.vm, op, 4, &done));
	EXPECT_EQ(2, done);
	EXPECT_EQ(0xfffc, free_pages(&self->e, self->bo.handle, self->va));
}

TEST_F(vm, all_operations_are_counted_when_done)
{
	struct drm_npu_bind_op op[3] = {
		{
			.type = DRM_NPU_BIND_MAP,
			.handle = self->bo.handle,
			.va = self->va,
			.size = 16 * self->page,
		}, {
			.type = DRM_NPU_BIND_UNMAP,
			.va = self->va + 4 * self->page,
			.size = 4 * self->page,
		}, {
			.type = DRM_NPU_BIND_MAP,
			.handle = self->bo.handle,
			.va = self->va + 5 * self->page,
			.size = self->page,
		},
	};
	uint32_t done = 99;

	EXPECT_EQ(0, npu_bind(self->e.fd, self->e.vm, op, 3, &done));
	EXPECT_EQ(3, done);
	EXPECT_EQ(0x00d0, free_pages(&self->e, self->bo.handle, self->va));
}

TEST_F(vm, malformed_operations_are_found_before_the_first_is_done)
{
	struct drm_npu_bind_op good = {
		.type = DRM_NPU_BIND_MAP,
		.handle = self->bo.handle,
		.va = self->va,
		.size = self->page,
	};
	struct drm_npu_bind_op op[2];
	int i;

	for (i = 0; i < 5; i++) {
		op[0] = good;
		op[1] = good;
		op[1].va += self->page + (i == 0);
		op[1].size += i == 1;
		op[1].type += 7 * (i == 2);
		op[1].flags |= (i == 3) << 31;
		op[1].pad = i == 4;
		EXPECT_EQ(-EINVAL, npu_bind(self->e.fd, self->e.vm, op, 2,
					    NULL));
		EXPECT_EQ(0xffff, free_pages(&self->e, self->bo.handle,
					     self->va));
	}
}

TEST_F(vm, a_bind_takes_max_binds_operations)
{
	uint32_t max = self->e.info.max_binds, done, n;
	uint32_t counts[] = { max + 1, 0x10000000, 0x80000000, ~0u };
	struct drm_npu_bind_op *op = calloc(max + 1, sizeof(*op));
	size_t c;

	ASSERT_NE(NULL, op);
	for (n = 0; n <= max; n++) {
		op[n].type = DRM_NPU_BIND_MAP;
		op[n].handle = self->bo.handle;
		op[n].va = self->e.info.va_start + n * self->page;
		op[n].size = self->page;
	}
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		EXPECT_EQ(-E2BIG, npu_bind(self->e.fd, self->e.vm, op,
					   counts[c], NULL));
	}
	EXPECT_EQ(0, npu_bind(self->e.fd, self->e.vm, op, max, &done));
	EXPECT_EQ(max, done);
	free(op);
}

static int bind_from(struct npu_env *e, uint64_t ptr)
{
	struct drm_npu_vm_bind arg = {
		.vm_id = e->vm,
		.ops = {
			.stride = sizeof(struct drm_npu_bind_op),
			.count = 1,
			.ptr = ptr,
		},
	};

	return npu_ioctl(e->fd, DRM_IOCTL_NPU_VM_BIND, &arg);
}

TEST_F(vm, the_array_must_be_readable_and_writable)
{
	struct drm_npu_bind_op *op;

	EXPECT_EQ(-EFAULT, bind_from(&self->e, 0));
	EXPECT_EQ(-EFAULT, bind_from(&self->e, 8));
	EXPECT_EQ(-EFAULT, bind_from(&self->e, ~0ull - 7));
	op = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, op);
	op->type = DRM_NPU_BIND_MAP;
	op->flags = DRM_NPU_BIND_AUTO;
	op->handle = self->bo.handle;
	op->size = self->page;
	ASSERT_EQ(0, mprotect(op, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, bind_from(&self->e, (uintptr_t)op))
		TH_LOG("the chosen address could not be returned");
	ASSERT_EQ(0, mprotect(op, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, bind_from(&self->e, (uintptr_t)op));
}

/* The same stream and addresses, in two VMs over different buffers */
TEST_F(vm, address_spaces_do_not_see_each_other)
{
	struct npu_env b = self->e;
	struct npu_work wa, wb;
	int i;

	ASSERT_EQ(0, npu_vm_create(b.fd, &b.vm));
	ASSERT_EQ(0, npu_ctx_create(b.fd, b.vm, 0, &b.ctx));
	ASSERT_EQ(0, npu_work_small(&self->e, &wa, 31));
	ASSERT_EQ(0, npu_work_small(&b, &wb, 32));
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (!wb.bo[i].handle)
			continue;
		ASSERT_EQ(0, npu_unmap(b.fd, b.vm, wb.bo[i].va,
				       wb.bo[i].size));
	}
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (!wb.bo[i].handle)
			continue;
		wb.bo[i].va = wa.bo[i].va;
		ASSERT_EQ(0, npu_map_at(b.fd, b.vm, wb.bo[i].handle,
					wb.bo[i].va, wb.bo[i].size, 0, 0));
	}
	wb.stream = wa.stream;
	ASSERT_EQ(0, npu_work_stream(&b, &wb));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &wa));
		EXPECT_EQ(0, npu_work_run(&b, b.ctx, &wb));
	}
}

TEST_F(vm, jobs_see_the_page_of_the_buffer_that_was_mapped)
{
	struct npu_work w;
	struct npu_bo big;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 41));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &big));
	memcpy(big.map + 5 * self->page, w.bo[NPU_IN].map, self->page);
	memset(w.bo[NPU_IN].map, 0x11, self->page);
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &big, DRM_NPU_SYNC_TO_DEVICE));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, big.handle, self->va,
				self->page, 5 * self->page, 0));
	rknn_patch(&w.stream, 0x1070, self->va);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(vm, one_buffer_at_two_addresses_is_one_buffer)
{
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 43));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, w.bo[NPU_OUT].handle,
				self->va, w.bo[NPU_OUT].size, 0, 0));
	rknn_patch(&w.stream, 0x4020, self->va);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(vm, read_only_mappings_can_be_read)
{
	enum npu_work_bo ro[] = { NPU_CMD, NPU_IN, NPU_AUX };
	struct npu_work w;
	struct npu_bo *bo;
	size_t n;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 44));
	for (n = 0; n < ARRAY_SIZE(ro); n++) {
		bo = &w.bo[ro[n]];
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo->va,
				       bo->size));
		ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, bo->handle,
					bo->va, bo->size, 0,
					DRM_NPU_BIND_READONLY));
	}
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(vm, remapping_an_address_changes_what_jobs_see)
{
	struct npu_work a, b;
	int i;

	ASSERT_EQ(0, npu_work_small(&self->e, &a, 45));
	ASSERT_EQ(0, npu_work_small(&self->e, &b, 46));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &a));
	for (i = 0; i < 16; i++) {
		struct npu_work *w = i & 1 ? &a : &b;
		struct npu_work *data = i & 1 ? &b : &a;
		struct drm_npu_bind_op op[] = {
			{
				.type = DRM_NPU_BIND_UNMAP,
				.va = w->bo[NPU_AUX].va,
				.size = w->bo[NPU_AUX].size,
			}, {
				.type = DRM_NPU_BIND_MAP,
				.handle = (i & 2 ? w : data)->bo[NPU_AUX].handle,
				.va = w->bo[NPU_AUX].va,
				.size = w->bo[NPU_AUX].size,
			},
		};
		int expect = i & 2 ? 0 : -EBADMSG;

		ASSERT_EQ(0, npu_bind(self->e.fd, self->e.vm, op, 2, NULL));
		EXPECT_EQ(expect, npu_work_run(&self->e, self->e.ctx, w))
			TH_LOG("round %d used a stale translation", i);
	}
}

TEST_F(vm, a_bound_buffer_outlives_its_handle)
{
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 47));
	ASSERT_EQ(0, npu_gem_close(self->e.fd, w.bo[NPU_AUX].handle));
	w.bo[NPU_AUX].handle = 0;
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(vm, contexts_outlive_the_identifier_of_their_vm)
{
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 48));
	ASSERT_EQ(0, npu_vm_destroy(self->e.fd, self->e.vm));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	EXPECT_EQ(-ENOENT, npu_unmap(self->e.fd, self->e.vm, self->va,
				     self->page));
}

/* Every VM holds another buffer at the same address, together above 4 GiB */
TEST_F(vm, several_vms_hold_more_than_one_can)
{
	uint64_t range = self->e.info.va_end - self->e.info.va_start;
	uint64_t size = 64ull << 20, total = 0, va;
	struct npu_env e = self->e;
	struct npu_work w;
	uint32_t handle;
	int n;

	if (range > 8ull << 30 || size > self->e.info.max_bo_size)
		SKIP(return, "the address space is too large to fill");
	ASSERT_EQ(0, npu_bo_create(e.fd, size, 0, 0, &handle));
	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, npu_vm_create(e.fd, &e.vm));
		ASSERT_EQ(0, npu_ctx_create(e.fd, e.vm, 0, &e.ctx));
		for (va = 1ull << 30; va + size <= e.info.va_end; va += size) {
			ASSERT_EQ(0, npu_map_at(e.fd, e.vm, handle, va, size,
						0, 0));
			total += size;
		}
		ASSERT_EQ(0, npu_work_small(&e, &w, 50 + n));
		EXPECT_EQ(0, npu_work_run(&e, e.ctx, &w));
	}
	EXPECT_GT(total, range);
}

/* Three VMs over the same operands, each with them at other addresses */
TEST_F(vm, a_buffer_works_in_several_vms_at_once)
{
	enum { VMS = 3, SIZE = 256 << 10, ROUNDS = 8 };
	struct npu_env e[VMS];
	struct npu_cmds c[VMS];
	struct npu_bo in, out[VMS];
	uint64_t va[VMS];
	int fence[VMS], i, n;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, SIZE, 0, 0, &in));
	for (n = 0; n < VMS; n++) {
		e[n] = self->e;
		ASSERT_EQ(0, npu_vm_create(e[n].fd, &e[n].vm));
		ASSERT_EQ(0, npu_ctx_create(e[n].fd, e[n].vm, 0, &e[n].ctx));
		ASSERT_EQ(0, npu_cmds_new(&e[n], &c[n], NPU_COPY_CMDS));
		ASSERT_EQ(0, npu_bo_new(e[n].fd, SIZE, 0, n ? e[n].vm : 0,
					&out[n]));
		ASSERT_EQ(0, npu_map(e[n].fd, e[n].vm, &out[n], 0));
		va[n] = self->va + (n + 1) * 5 * MIB;
		ASSERT_EQ(0, npu_map_at(e[n].fd, e[n].vm, in.handle, va[n],
					SIZE, 0, 0));
	}
	for (i = 0; i < ROUNDS; i++) {
		npu_pattern_fill(in.map, SIZE, i);
		ASSERT_EQ(0, npu_bo_sync(self->e.fd, &in,
					 DRM_NPU_SYNC_TO_DEVICE));
		for (n = 0; n < VMS; n++) {
			struct drm_npu_task task;

			ASSERT_EQ(0, npu_cmds_copy(&e[n], &c[n], out[n].va,
						   va[n], SIZE, &task));
			fence[n] = npu_run_to_file(&e[n], e[n].ctx, &task, 1);
			ASSERT_GE(fence[n], 0);
		}
		for (n = 0; n < VMS; n++) {
			EXPECT_EQ(NPU_DONE, npu_file_wait(fence[n],
							  NPU_PATIENCE_MS));
			close(fence[n]);
			npu_bo_sync(e[n].fd, &out[n], DRM_NPU_SYNC_FROM_DEVICE);
			EXPECT_EQ(0, npu_pattern_wrong(out[n].map, SIZE, i))
				TH_LOG("VM %d, round %d", n, i);
		}
	}
	/* Taking it from one VM takes it from no other */
	ASSERT_EQ(0, npu_unmap(e[0].fd, e[0].vm, va[0], SIZE));
	EXPECT_EQ(NPU_DONE, npu_copy(&e[1], e[1].ctx, &c[1], out[1].va, va[1],
				     SIZE));
	EXPECT_EQ(-EFAULT, npu_copy(&e[0], e[0].ctx, &c[0], out[0].va, va[0],
				    SIZE));
	ASSERT_EQ(0, npu_vm_destroy(e[1].fd, e[1].vm));
	ASSERT_EQ(0, npu_ctx_destroy(e[1].fd, e[1].ctx));
	EXPECT_EQ(NPU_DONE, npu_copy(&e[2], e[2].ctx, &c[2], out[2].va, va[2],
				     SIZE));
}

/* What one VM's job writes, the next VM's job reads */
TEST_F(vm, results_pass_from_vm_to_vm)
{
	enum { VMS = 4, SIZE = 64 << 10 };
	struct npu_env e = self->e;
	struct npu_bo bo[VMS + 1];
	struct npu_cmds c;
	int n;

	for (n = 0; n <= VMS; n++) {
		ASSERT_EQ(0, npu_bo_new(e.fd, SIZE, DRM_NPU_BO_WC, 0, &bo[n]));
	}
	npu_pattern_fill(bo[0].map, SIZE, 77);
	for (n = 0; n < VMS; n++) {
		ASSERT_EQ(0, npu_vm_create(e.fd, &e.vm));
		ASSERT_EQ(0, npu_ctx_create(e.fd, e.vm, 0, &e.ctx));
		ASSERT_EQ(0, npu_cmds_new(&e, &c, NPU_COPY_CMDS));
		ASSERT_EQ(0, npu_map(e.fd, e.vm, &bo[n],
				     DRM_NPU_BIND_READONLY));
		ASSERT_EQ(0, npu_map(e.fd, e.vm, &bo[n + 1], 0));
		EXPECT_EQ(NPU_DONE, npu_copy(&e, e.ctx, &c, bo[n + 1].va,
					     bo[n].va, SIZE));
		npu_pattern_fill(bo[n].map, SIZE, 78);
	}
	EXPECT_EQ(0, npu_pattern_wrong(bo[VMS].map, SIZE, 77));
}

/* Read-only is a property of the mapping, not of the buffer */
TEST_F(vm, a_write_to_a_read_only_mapping_faults_where_it_went)
{
	struct drm_npu_ctx_query q;
	struct npu_bo in, out;
	struct npu_cmds c;
	uint32_t ctx;

	ASSERT_EQ(0, npu_cmds_new(&self->e, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &in));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &in, 0));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &out, 0));
	npu_pattern_fill(in.map, in.size, 5);
	npu_pattern_fill(out.map, out.size, 6);
	npu_bo_sync(self->e.fd, &in, DRM_NPU_SYNC_TO_DEVICE);
	npu_bo_sync(self->e.fd, &out, DRM_NPU_SYNC_TO_DEVICE);
	/* The same buffer once more: writable, but for page 3 */
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, out.handle, self->va,
				3 * self->page, 0, 0));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, out.handle,
				self->va + 3 * self->page, self->page,
				3 * self->page, DRM_NPU_BIND_READONLY));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &c,
				    self->va + 3 * self->page, in.va,
				    self->page));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
	EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
	EXPECT_EQ(-EFAULT, q.fault_error);
	EXPECT_EQ(DRM_NPU_FAULT_WRITE, q.fault_flags);
	EXPECT_EQ(self->va + 3 * self->page, q.fault_va & ~(self->page - 1));
	npu_bo_sync(self->e.fd, &out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(out.map, out.size, 6))
		TH_LOG("the write went through");

	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &c, self->va, in.va,
				     3 * self->page));
	npu_bo_sync(self->e.fd, &out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(out.map, 3 * self->page, 5));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &c, out.va, in.va,
				     out.size));
	npu_bo_sync(self->e.fd, &out, DRM_NPU_SYNC_FROM_DEVICE);
	EXPECT_EQ(0, npu_pattern_wrong(out.map, out.size, 5));
}

/* The end of a read-only mapping is read-only after a cut, too */
TEST_F(vm, what_an_unmap_leaves_keeps_its_rights_and_pages)
{
	struct npu_bo src, dst;
	uint32_t ctx, ro, n;
	struct npu_cmds c;

	ASSERT_EQ(0, npu_cmds_new(&self->e, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &src));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 16 * self->page, 0, 0, &dst));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &dst, 0));
	npu_pattern_fill(src.map, src.size, 9);
	npu_bo_sync(self->e.fd, &src, DRM_NPU_SYNC_TO_DEVICE);
	for (ro = 0; ro < 2; ro++) {
		uint64_t va = self->va + ro * 32 * self->page;

		ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, src.handle, va,
					16 * self->page, 0,
					ro ? DRM_NPU_BIND_READONLY : 0));
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm,
				       va + 5 * self->page, 4 * self->page));
		for (n = 0; n < 16; n++) {
			bool gone = n >= 5 && n < 9;
			uint64_t at = n * self->page;

			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
						    &ctx));
			EXPECT_EQ(gone ? -EFAULT : NPU_DONE,
				  npu_copy(&self->e, ctx, &c, dst.va + at,
					   va + at, self->page));
			npu_bo_sync(self->e.fd, &dst, DRM_NPU_SYNC_FROM_DEVICE);
			if (!gone) {
				EXPECT_EQ(0, memcmp(dst.map + at, src.map + at,
						    self->page));
			}
			npu_ctx_destroy(self->e.fd, ctx);
		}
		for (n = 0; n < 16; n += 15) {
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
						    &ctx));
			EXPECT_EQ(ro ? -EFAULT : NPU_DONE,
				  npu_copy(&self->e, ctx, &c,
					   va + n * self->page,
					   dst.va + n * self->page,
					   self->page));
			npu_ctx_destroy(self->e.fd, ctx);
		}
		EXPECT_EQ(0, npu_pattern_wrong(src.map, src.size, 9));
	}
}

/* Address zero is what a stream contains that forgot to say where */
TEST_F(vm, page_zero_is_never_mapped)
{
	struct drm_npu_ctx_query q;
	struct npu_cmds c;
	uint32_t ctx;
	int write;

	EXPECT_GE(self->e.info.va_start, self->page);
	ASSERT_EQ(0, npu_cmds_new(&self->e, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->bo, 0));
	EXPECT_GE(self->bo.va, self->page);
	EXPECT_EQ(-EINVAL, map_pages(&self->e, self->bo.handle, 0, 1));
	EXPECT_EQ(-EINVAL, map_pages(&self->e, self->bo.handle, 0, 2));
	for (write = 0; write < 2; write++) {
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &c,
					    write ? 0 : self->bo.va,
					    write ? self->bo.va : 0,
					    self->page));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
		EXPECT_EQ(-EFAULT, q.fault_error);
		EXPECT_EQ(write ? DRM_NPU_FAULT_WRITE : 0, q.fault_flags);
		EXPECT_LT(q.fault_va, self->page);
	}
}

/*
 * What the system has of shared memory before and after. Nobody else uses any
 * worth mentioning while the tests run; a MiB is the margin for that.
 */
#define MARGIN	1024

static bool shmem_settles(long kib)
{
	return npu_meminfo_settles("Shmem", kib, MARGIN);
}

FIXTURE(memory)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo in, out;
	long shmem;
};

FIXTURE_SETUP(memory)
{
	int ret;

	self->shmem = npu_meminfo("Shmem");
	ret = npu_env_open(&self->e);
	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 8 * MIB, 0, 0, &self->in));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 8 * MIB, 0, 0, &self->out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->in, 0));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->out, 0));
	npu_pattern_fill(self->in.map, self->in.size, 3);
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &self->in,
				 DRM_NPU_SYNC_TO_DEVICE));
	EXPECT_GE(npu_meminfo("Shmem"), self->shmem + 16 * 1024 - MARGIN);
}

static void unmap_bo(struct npu_bo *bo)
{
	if (bo->map)
		munmap(bo->map, bo->size);
	bo->map = NULL;
}

/* A CPU mapping keeps the file, and with it everything */
FIXTURE_TEARDOWN(memory)
{
	unmap_bo(&self->in);
	unmap_bo(&self->out);
	unmap_bo(&self->c.bo);
	npu_env_close(&self->e);
	EXPECT_TRUE(shmem_settles(self->shmem));
}

TEST_F(memory, goes_with_the_file)
{
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, self->in.va, 8 * MIB));
}

TEST_F(memory, of_a_buffer_goes_with_its_last_use)
{
	long with = npu_meminfo("Shmem");

	EXPECT_EQ(0, npu_gem_close(self->e.fd, self->in.handle));
	EXPECT_TRUE(shmem_settles(with)) TH_LOG("it is mapped");
	unmap_bo(&self->in);
	EXPECT_TRUE(shmem_settles(with)) TH_LOG("it is bound");
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, self->in.va, 8 * MIB));
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, 8 * MIB, 3));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->in.va, 8 * MIB));
	EXPECT_TRUE(shmem_settles(with - 8 * 1024));
}

TEST_F(memory, of_bindings_goes_with_the_vm)
{
	long with = npu_meminfo("Shmem");

	unmap_bo(&self->in);
	unmap_bo(&self->out);
	EXPECT_EQ(0, npu_gem_close(self->e.fd, self->in.handle));
	EXPECT_EQ(0, npu_gem_close(self->e.fd, self->out.handle));
	EXPECT_EQ(0, npu_vm_destroy(self->e.fd, self->e.vm));
	EXPECT_TRUE(shmem_settles(with))
		TH_LOG("its context still has it");
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, self->in.va, 8 * MIB));
	EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, self->e.ctx));
	EXPECT_TRUE(shmem_settles(with - 16 * 1024));
}

TEST_F(memory, of_an_exported_buffer_goes_with_the_dmabuf)
{
	int dmabuf = npu_export(self->e.fd, self->in.handle);
	uint8_t *map;

	ASSERT_GE(dmabuf, 0);
	unmap_bo(&self->in);
	unmap_bo(&self->out);
	unmap_bo(&self->c.bo);
	npu_env_close(&self->e);
	EXPECT_TRUE(shmem_settles(self->shmem + 8 * 1024));
	map = mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(dmabuf);
	EXPECT_EQ(0, npu_pattern_wrong(map, 8 * MIB, 3));
	EXPECT_TRUE(shmem_settles(self->shmem + 8 * 1024));
	munmap(map, 8 * MIB);
	EXPECT_TRUE(shmem_settles(self->shmem));
}

/* As long as the job runs, and no longer */
TEST_F(memory, of_a_running_job_stays_when_the_file_goes)
{
	int fence, dmabuf = npu_export(self->e.fd, self->out.handle);
	struct drm_npu_task *task, one;
	uint8_t *map;

	ASSERT_GE(dmabuf, 0);
	map = mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(dmabuf);

	ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->out.va,
				   self->in.va, NPU_COPY_MAX, &one));
	task = npu_repeat_task(&one, 300);
	ASSERT_NE(NULL, task);
	fence = npu_run_to_file(&self->e, self->e.ctx, task, 300);
	free(task);
	ASSERT_GE(fence, 0);
	unmap_bo(&self->in);
	unmap_bo(&self->out);
	unmap_bo(&self->c.bo);
	npu_env_close(&self->e);
	npu_sleep_ms(100);
	EXPECT_EQ(0, npu_file_status(fence)) TH_LOG("too short to prove anything");
	EXPECT_GE(npu_meminfo("Shmem"), self->shmem + 16 * 1024 - MARGIN);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_pattern_wrong(map, NPU_COPY_MAX, 3));
	close(fence);
	munmap(map, 8 * MIB);
}

static void run_and_wait_for_death(int ready)
{
	struct drm_npu_task *task, one;
	struct npu_bo bo[2];
	struct npu_cmds c;
	struct npu_env e;
	int n;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	for (n = 0; n < 2; n++) {
		NPU_CHECK(!npu_bo_new(e.fd, 32 * MIB, 0, n ? e.vm : 0, &bo[n]));
		NPU_CHECK(!npu_map(e.fd, e.vm, &bo[n], 0));
	}
	NPU_CHECK(!npu_cmds_copy(&e, &c, bo[1].va, bo[0].va,
				 NPU_COPY_MAX, &one));
	task = npu_repeat_task(&one, 128);
	NPU_CHECK(task);
	for (n = 0; n < 16; n++)
		NPU_CHECK(!npu_submit_tasks(e.fd, e.ctx, task, 128, 0));
	NPU_CHECK(write(ready, "", 1) == 1);
	for (;;)
		pause();
}

TEST_F(memory, of_a_killed_process_is_given_back)
{
	long free = npu_meminfo("MemFree");
	int ready[2], n;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	for (n = 0; n < 6; n++) {
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid)
			run_and_wait_for_death(ready[1]);
		ASSERT_EQ(1, read(ready[0], &c, 1));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(-SIGKILL, npu_child_result(pid));
	}
	unmap_bo(&self->in);
	unmap_bo(&self->out);
	unmap_bo(&self->c.bo);
	npu_env_close(&self->e);
	EXPECT_TRUE(shmem_settles(self->shmem));
	/*
	 * 6 x 64 MiB came and went. What else the kernel keeps (slabs, per-CPU
	 * lists) is less than a quarter of what one of them had.
	 */
	EXPECT_TRUE(npu_meminfo_reaches("MemFree", free - 16 * 1024));
}

/* A page in each 4 MiB needs a table of a page of its own */
TEST_F(memory, of_page_tables_is_given_back)
{
	long before = npu_meminfo("SecPageTables");
	struct npu_env e;
	uint32_t handle;
	uint64_t va;
	int vms;

	if (before < 0)
		SKIP(return, "the kernel does not count page tables of devices");
	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_bo_create(e.fd, 4096, 0, 0, &handle));
	for (vms = 0; vms < 8; vms++) {
		for (va = 4 * MIB; va < e.info.va_end; va += 4 * MIB) {
			ASSERT_EQ(0, npu_map_at(e.fd, e.vm, handle, va, 4096, 0,
						0));
		}
		ASSERT_EQ(0, npu_vm_create(e.fd, &e.vm));
	}
	EXPECT_GT(npu_meminfo("SecPageTables"), before + 16 * 1024);
	npu_env_close(&e);
	EXPECT_TRUE(npu_meminfo_settles("SecPageTables", before, 64));
}

TEST_HARNESS_MAIN
