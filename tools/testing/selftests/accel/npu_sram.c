// SPDX-License-Identifier: GPL-2.0-only
/*
 * On-chip memory: pinned and preferred buffers, what they are accounted to, and
 * that nobody finds there what somebody else has left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

#define FACADE		"/sys/bus/platform/drivers/npu"
#define PINNED		DRM_NPU_BO_SRAM
#define PREFERRED	DRM_NPU_BO_SRAM_PREFERRED

FIXTURE(sram)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo out;		/* as large as all of it, in DRAM */
	struct drm_npu_sram_info info;
	uint64_t page;
};

static int64_t sram_free(struct npu_env *e)
{
	struct drm_npu_sram_info info;
	int ret = npu_sram_query(e->fd, &info);

	return ret ? ret : (int64_t)info.free;
}

/* What files had that have been closed comes back, but some of it late */
static bool free_settles(struct npu_env *e, uint64_t bytes)
{
	int64_t end = npu_now_ns() + 5000000000ll;

	while (sram_free(e) != (int64_t)bytes) {
		if (npu_now_ns() > end) {
			printf("# %lld bytes are free instead of %llu\n",
			       (long long)sram_free(e),
			       (unsigned long long)bytes);
			return false;
		}
		npu_sleep_ms(10);
	}
	return true;
}

FIXTURE_SETUP(sram)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_sram_query(self->e.fd, &self->info));
	if (!self->info.size)
		SKIP(return, "the device has no on-chip memory");
	self->page = self->e.info.page_size;
	ASSERT_TRUE(free_settles(&self->e, self->info.size))
		TH_LOG("somebody uses it; these tests want all of it");
	self->info.free = self->info.size;
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, self->info.size, 0, 0, &self->out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &self->out, 0));
}

FIXTURE_TEARDOWN(sram)
{
	npu_env_close(&self->e);
}

/* A buffer with a CPU mapping, bound; what comes back is the first error */
static int sram_bo(struct npu_env *e, uint64_t size, uint32_t flags, int prio,
		   struct npu_bo *bo)
{
	struct drm_npu_bo_create want = {
		.size = size,
		.flags = flags,
		.vm_id = flags & PREFERRED ? e->vm : 0,
		.priority = prio,
	};
	int ret = npu_bo_make(e->fd, &want, bo);

	return ret ? ret : npu_map(e->fd, e->vm, bo, 0);
}

static void sram_bo_free(struct npu_env *e, struct npu_bo *bo)
{
	if (bo->va)
		npu_unmap(e->fd, e->vm, bo->va, bo->size);
	npu_bo_free(e->fd, bo);
}

/* The NPU copies @bo to the output, where it must be the pattern */
static int npu_sees(struct npu_env *e, struct npu_cmds *c, struct npu_bo *out,
		    const struct npu_bo *bo, uint64_t seed)
{
	int ret;

	memset(out->map, NPU_CANARY, bo->size);
	ret = npu_bo_sync(e->fd, out, DRM_NPU_SYNC_TO_DEVICE);
	if (!ret)
		ret = npu_copy(e, e->ctx, c, out->va, bo->va, bo->size);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	ret = npu_bo_sync(e->fd, out, DRM_NPU_SYNC_FROM_DEVICE);
	if (ret)
		return ret;
	return npu_pattern_wrong(out->map, bo->size, seed) ? -EBADMSG : 0;
}

static int placement(struct npu_env *e, const struct npu_bo *bo)
{
	return npu_bo_placement(e->fd, bo->handle);
}

/* A submit to the VM, after which what has room has returned */
static int any_job(struct npu_env *e, struct npu_cmds *c, struct npu_bo *out)
{
	return npu_copy(e, e->ctx, c, out->va, out->va, 4096);
}

TEST_F(sram, query_adds_up)
{
	struct drm_npu_sram_info info;
	struct npu_bo bo;

	EXPECT_EQ(0, self->info.size % self->page);
	EXPECT_EQ(self->info.size, self->info.largest);
	ASSERT_EQ(0, sram_bo(&self->e, 3 * self->page + 1, PINNED, 0, &bo));
	EXPECT_EQ(4 * self->page, bo.size);
	ASSERT_EQ(0, npu_sram_query(self->e.fd, &info));
	EXPECT_EQ(self->info.size, info.size);
	EXPECT_EQ(self->info.size - 4 * self->page, info.free);
	EXPECT_EQ(info.free, info.largest);
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
	EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT,
		  npu_bo_residency(self->e.fd, bo.handle));
	sram_bo_free(&self->e, &bo);
	EXPECT_EQ(self->info.size, sram_free(&self->e));
}

TEST_F(sram, query_may_be_short_or_long)
{
	uint64_t words[8];
	struct drm_npu_query q = {
		.type = DRM_NPU_QUERY_SRAM,
		.size = 8,
		.ptr = (uintptr_t)words,
	};

	memset(words, 0xcc, sizeof(words));
	ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_QUERY, &q));
	EXPECT_EQ(sizeof(struct drm_npu_sram_info), q.size);
	EXPECT_EQ(self->info.size, words[0]);
	EXPECT_EQ(0xccccccccccccccccull, words[1]);
	q.size = 0;
	q.ptr = 0;
	ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_QUERY, &q));
	EXPECT_EQ(sizeof(struct drm_npu_sram_info), q.size);
}

TEST_F(sram, pinned_buffers_fill_it_to_the_last_page)
{
	uint64_t pages = self->info.size / self->page, n;
	uint32_t *handle = calloc(pages, sizeof(*handle)), more;
	int64_t start;

	ASSERT_NE(NULL, handle);
	for (n = 0; n < pages; n++) {
		ASSERT_EQ(0, npu_bo_create(self->e.fd, self->page, PINNED,
					   n & 1 ? self->e.vm : 0, &handle[n]));
	}
	EXPECT_EQ(0, sram_free(&self->e));
	start = npu_now_ns();
	for (n = 0; n < 10; n++) {
		EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd, 1 + n * self->page,
						 PINNED, 0, &more));
	}
	EXPECT_LT(npu_now_ns() - start, 500000000) TH_LOG("not at once");
	EXPECT_EQ(0, npu_gem_close(self->e.fd, handle[pages / 2]));
	EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd, 2 * self->page, PINNED, 0,
					 &more));
	EXPECT_EQ(0, npu_bo_create(self->e.fd, self->page, PINNED, 0, &more));
	free(handle);
}

TEST_F(sram, too_large_for_ever_is_enospc_or_e2big)
{
	uint32_t handle;

	EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd,
					 self->info.size + self->page, PINNED,
					 0, &handle));
	EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd, GIB, PINNED, 0, &handle));
	EXPECT_EQ(-E2BIG, npu_bo_create(self->e.fd, 1ull << 40, PINNED, 0,
					&handle));
	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 0, PINNED, 0, &handle));
	EXPECT_EQ(self->info.size, sram_free(&self->e));
}

/* There is no fragmentation: a buffer may be scattered over all there is */
TEST_F(sram, a_scattered_buffer_is_as_good_as_any)
{
	uint64_t pages = self->info.size / self->page, n;
	uint32_t *handle = calloc(pages, sizeof(*handle));
	struct npu_bo bo;

	ASSERT_NE(NULL, handle);
	for (n = 0; n < pages; n++) {
		ASSERT_EQ(0, npu_bo_create(self->e.fd, self->page, PINNED, 0,
					   &handle[n]));
	}
	for (n = 0; n < pages; n += 2)
		npu_gem_close(self->e.fd, handle[n]);
	n = (pages + 1) / 2 * self->page;
	EXPECT_EQ(n, sram_free(&self->e));
	ASSERT_EQ(0, sram_bo(&self->e, n, PINNED, 0, &bo));
	EXPECT_EQ(0, npu_not_zero(bo.map, n));
	npu_pattern_fill(bo.map, n, 1);
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, 1));
	EXPECT_EQ(0, npu_pattern_wrong(bo.map, n, 1));
	free(handle);
}

/* Operands, results and command streams of real operations, on chip */
TEST_F(sram, jobs_compute_from_it_and_to_it)
{
	struct npu_work w;
	struct npu_bo bo;
	unsigned int mask;
	int i;

	for (mask = 1; mask < 16; mask++) {
		uint32_t reg[NPU_WORK_BOS] = {
			[NPU_IN] = RKNN_CNA_FEATURES,
			[NPU_AUX] = RKNN_CNA_WEIGHTS,
			[NPU_OUT] = RKNN_DPU_OUT,
		};
		enum npu_work_bo which[] = { NPU_CMD, NPU_IN, NPU_AUX, NPU_OUT };

		ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 64, mask));
		for (i = 0; i < 4; i++) {
			struct npu_bo *old = &w.bo[which[i]];

			if (!(mask >> i & 1))
				continue;
			ASSERT_EQ(0, sram_bo(&self->e, old->size, PINNED, 0,
					     &bo));
			memcpy(bo.map, old->map, old->size);
			sram_bo_free(&self->e, old);
			*old = bo;
			if (reg[which[i]])
				rknn_patch(&w.stream, reg[which[i]], bo.va);
		}
		ASSERT_EQ(0, npu_work_stream(&self->e, &w));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w))
			TH_LOG("buffers on chip: %x", mask);
		npu_work_free(&self->e, &w);
	}
	EXPECT_EQ(self->info.size, sram_free(&self->e));
}

TEST_F(sram, every_byte_of_it_is_memory)
{
	struct npu_bo bo;

	ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PINNED, 0, &bo));
	EXPECT_EQ(0, npu_not_zero(bo.map, bo.size));
	npu_pattern_fill(bo.map, bo.size, 2);
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, 2));
	npu_pattern_fill(self->out.map, bo.size, 3);
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &self->out,
				 DRM_NPU_SYNC_TO_DEVICE));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c, bo.va,
				     self->out.va, bo.size));
	EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, 3));
}

TEST_F(sram, bytes_of_any_size_can_be_written_through_a_mapping)
{
	uint8_t *copy = malloc(4096);
	struct npu_bo bo, again;
	size_t at, n;

	ASSERT_NE(NULL, copy);
	ASSERT_EQ(0, sram_bo(&self->e, 4096, PINNED, 0, &bo));
	memset(copy, 0, 4096);
	for (n = 1, at = 0; at + n <= 4096; at += n, n = n % 37 + 1) {
		npu_fill_random(copy + at, n, at);
		memcpy(bo.map + at, copy + at, n);
	}
	EXPECT_EQ(0, memcmp(bo.map, copy, 4096));
	again = bo;
	ASSERT_EQ(0, npu_bo_mmap(self->e.fd, &again));
	EXPECT_EQ(0, memcmp(again.map, copy, 4096));
	EXPECT_EQ(0, npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_BOTH));
	EXPECT_EQ(0, npu_gem_close(self->e.fd, bo.handle));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo.va, 4096));
	EXPECT_EQ(0, memcmp(again.map, copy, 4096))
		TH_LOG("a mapping keeps the buffer");
	EXPECT_EQ(self->info.size - 4096, sram_free(&self->e));
	munmap(again.map, 4096);
	munmap(bo.map, 4096);
	EXPECT_EQ(self->info.size, sram_free(&self->e));
	free(copy);
}

TEST_F(sram, one_buffer_serves_several_vms)
{
	struct npu_env e = self->e;
	struct npu_cmds c;
	struct npu_bo bo;
	uint64_t va;
	int n;

	ASSERT_EQ(0, sram_bo(&self->e, 64 * KIB, PINNED, 0, &bo));
	npu_pattern_fill(bo.map, bo.size, 4);
	for (n = 0; n < 3; n++) {
		struct npu_bo out, in = bo;

		ASSERT_EQ(0, npu_vm_create(e.fd, &e.vm));
		ASSERT_EQ(0, npu_ctx_create(e.fd, e.vm, 0, &e.ctx));
		ASSERT_EQ(0, npu_cmds_new(&e, &c, NPU_COPY_CMDS));
		ASSERT_EQ(0, npu_bo_new(e.fd, bo.size, 0, e.vm, &out));
		ASSERT_EQ(0, npu_map(e.fd, e.vm, &out, 0));
		va = (n + 1) * GIB;
		ASSERT_EQ(0, npu_map_at(e.fd, e.vm, bo.handle, va, bo.size, 0,
					DRM_NPU_BIND_READONLY));
		in.va = va;
		EXPECT_EQ(0, npu_sees(&e, &c, &out, &in, 4));
	}
}

TEST_F(sram, it_stays_on_the_chip)
{
	uint32_t flags[] = { PINNED, PREFERRED };
	struct npu_bo bo;
	size_t n;
	int fd;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		ASSERT_EQ(0, sram_bo(&self->e, 4096, flags[n], 0, &bo));
		fd = npu_export(self->e.fd, bo.handle);
		EXPECT_LT(fd, 0);
		EXPECT_EQ(-EINVAL, npu_bo_madvise(self->e.fd, bo.handle,
						  DRM_NPU_ADVICE_DONTNEED,
						  NULL));
	}
}

/*
 * Secrets: all of the memory is filled by one client, by CPU or by job, and
 * looked at by another. The pattern has no word that is zero.
 */

enum leave { LEAVE_FREE, LEAVE_CLOSE, LEAVE_DIE };

static void leave_secrets(uint64_t size, uint32_t flags, bool job,
			  enum leave how)
{
	struct npu_bo bo, in;
	struct npu_cmds c;
	struct npu_env e;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(free_settles(&e, size));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!sram_bo(&e, size, flags, 0, &bo));
	NPU_CHECK(placement(&e, &bo) == DRM_NPU_PLACEMENT_SRAM);
	if (job) {
		NPU_CHECK(!npu_bo_new(e.fd, size, DRM_NPU_BO_WC, 0, &in));
		NPU_CHECK(!npu_map(e.fd, e.vm, &in, 0));
		npu_pattern_fill(in.map, size, 5);
		NPU_CHECK(npu_copy(&e, e.ctx, &c, bo.va, in.va, size) ==
			  NPU_DONE);
		NPU_CHECK(!npu_pattern_wrong(bo.map, size, 5));
	} else {
		npu_pattern_fill(bo.map, size, 5);
	}
	if (how == LEAVE_FREE)
		sram_bo_free(&e, &bo);
	else if (how == LEAVE_CLOSE)
		npu_env_close(&e);
	else
		raise(SIGKILL);
}

/* Looks first with the NPU, or first with the CPU */
static void look_for_secrets(uint64_t size, uint32_t flags, bool job)
{
	struct npu_bo bo, out;
	struct npu_cmds c;
	struct npu_env e;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(free_settles(&e, size));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!npu_bo_new(e.fd, size, DRM_NPU_BO_WC, 0, &out));
	NPU_CHECK(!npu_map(e.fd, e.vm, &out, 0));
	memset(out.map, NPU_CANARY, size);
	NPU_CHECK(!sram_bo(&e, size, flags, 0, &bo));
	NPU_CHECK(placement(&e, &bo) == DRM_NPU_PLACEMENT_SRAM);
	if (!job)
		NPU_CHECK(!npu_not_zero(bo.map, size));
	NPU_CHECK(npu_copy(&e, e.ctx, &c, out.va, bo.va, size) == NPU_DONE);
	NPU_CHECK(!npu_not_zero(out.map, size));
	NPU_CHECK(!npu_not_zero(bo.map, size));
}

TEST_F(sram, no_client_finds_what_another_has_left)
{
	uint32_t flags[] = { PINNED, PREFERRED };
	unsigned int n;

	for (n = 0; n < 24; n++) {
		bool job = n & 1, look = n & 2;
		enum leave how = n / 4 % 3;
		uint32_t kind = flags[n / 12];

		EXPECT_EQ(how == LEAVE_DIE ? -SIGKILL : 0,
			  NPU_IN_CHILD(leave_secrets(self->info.size, kind, job,
						     how)));
		EXPECT_EQ(0, NPU_IN_CHILD(look_for_secrets(self->info.size,
							   kind, look)))
			TH_LOG("left by %s, by way %d, looked for by %s",
			       job ? "job" : "CPU", how, look ? "job" : "CPU");
	}
}

/* The same way round: what moves out leaves nothing behind, either */
TEST_F(sram, what_moves_out_leaves_nothing_behind)
{
	struct npu_bo mine, theirs;
	struct npu_env other;
	int n;

	ASSERT_EQ(0, npu_env_open(&other));
	for (n = 0; n < 3; n++) {
		ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PREFERRED, 0,
				     &mine));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &mine));
		npu_pattern_fill(mine.map, mine.size, 6);
		ASSERT_EQ(0, sram_bo(&other, self->info.size, PINNED, 0,
				     &theirs));
		EXPECT_EQ(0, npu_not_zero(theirs.map, theirs.size));
		npu_pattern_fill(theirs.map, theirs.size, 7);
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &mine));
		EXPECT_EQ(0, npu_pattern_wrong(mine.map, mine.size, 6));
		EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &mine,
				      6));
		sram_bo_free(&other, &theirs);
		EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &mine,
				      6));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &mine));
		EXPECT_EQ(0, npu_pattern_wrong(mine.map, mine.size, 6));
		sram_bo_free(&self->e, &mine);
	}
	npu_env_close(&other);
}

/*
 * Preferred buffers: where they are, and that nobody can tell
 */

TEST_F(sram, a_preferred_buffer_goes_and_returns)
{
	struct npu_bo bo, pin;
	uint64_t va;
	int n;

	ASSERT_EQ(0, sram_bo(&self->e, 256 * KIB, PREFERRED, 0, &bo));
	va = bo.va;
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
	EXPECT_EQ(self->info.size - bo.size, sram_free(&self->e));
	npu_pattern_fill(bo.map, bo.size, 10);
	for (n = 10; n < 16; n++) {
		struct drm_npu_sram_info info;

		EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, n));
		ASSERT_EQ(0, npu_sram_query(self->e.fd, &info));
		EXPECT_EQ(self->info.size, info.largest);
		ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PINNED, 0,
				     &pin));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
		EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT,
			  npu_bo_residency(self->e.fd, bo.handle));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, n));
		EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, n));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
		npu_pattern_fill(bo.map, bo.size, n + 1);
		ASSERT_EQ(0, npu_bo_sync(self->e.fd, &bo,
					 DRM_NPU_SYNC_TO_DEVICE));
		sram_bo_free(&self->e, &pin);
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo))
			TH_LOG("it returns with a submit, not before");
		EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo,
				      n + 1));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, n + 1));
	}
	EXPECT_EQ(va, bo.va);
	EXPECT_EQ(-EEXIST, npu_map_at(self->e.fd, self->e.vm, self->out.handle,
				      va, 4096, 0, 0));
}

/* Results of jobs, in a buffer that moves between them, with the same stream */
TEST_F(sram, jobs_write_to_a_buffer_wherever_it_is)
{
	struct npu_bo bo, pin;
	struct npu_work w;
	int n;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 64, 9));
	ASSERT_EQ(0, sram_bo(&self->e, w.bo[NPU_OUT].size, PREFERRED, 0, &bo));
	sram_bo_free(&self->e, &w.bo[NPU_OUT]);
	w.bo[NPU_OUT] = bo;
	rknn_patch(&w.stream, RKNN_DPU_OUT, bo.va);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	for (n = 0; n < 4; n++) {
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
		ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PINNED, 0,
				     &pin));
		EXPECT_EQ(0, npu_work_check(&self->e, &w));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
		sram_bo_free(&self->e, &pin);
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
	}
}

TEST_F(sram, without_room_a_preferred_buffer_is_in_system_memory)
{
	struct npu_bo pin, bo;

	ASSERT_EQ(0, sram_bo(&self->e, self->info.size - 4096, PINNED, 0,
			     &pin));
	ASSERT_EQ(0, sram_bo(&self->e, 8192, PREFERRED, 0, &bo));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
	EXPECT_EQ(4096, sram_free(&self->e));
	EXPECT_EQ(0, npu_not_zero(bo.map, bo.size));
	npu_pattern_fill(bo.map, bo.size, 20);
	ASSERT_EQ(0, npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_TO_DEVICE));
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, 20));
	sram_bo_free(&self->e, &pin);
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &bo, 20));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
	/* Larger than all there is: for ever in system memory */
	ASSERT_EQ(0, sram_bo(&self->e, self->info.size + 4096, PREFERRED, 0,
			     &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
}

TEST_F(sram, priority_decides_who_stays)
{
	uint64_t third = self->info.size / 3 & ~(self->page - 1);
	struct npu_bo low, normal, high, pin;

	ASSERT_EQ(0, sram_bo(&self->e, third, PREFERRED, -1, &low));
	ASSERT_EQ(0, sram_bo(&self->e, third, PREFERRED, 0, &normal));
	ASSERT_EQ(0, sram_bo(&self->e, third, PREFERRED, 1, &high));
	npu_pattern_fill(low.map, third, 1);
	npu_pattern_fill(normal.map, third, 2);
	npu_pattern_fill(high.map, third, 3);
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &low));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &normal));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &high));
	ASSERT_EQ(0, sram_bo(&self->e, third, PINNED, 0, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &low));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &normal));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &high));
	sram_bo_free(&self->e, &pin);
	ASSERT_EQ(NPU_DONE, any_job(&self->e, &self->c, &self->out));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &low));

	/* One of high priority makes room for itself at creation */
	ASSERT_EQ(0, sram_bo(&self->e, 2 * third, PREFERRED, 1, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &low));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &normal));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &high));
	sram_bo_free(&self->e, &pin);

	/* One of low priority does not */
	ASSERT_EQ(NPU_DONE, any_job(&self->e, &self->c, &self->out));
	ASSERT_EQ(0, sram_bo(&self->e, third, PREFERRED, -1, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &low));

	EXPECT_EQ(0, npu_pattern_wrong(low.map, third, 1));
	EXPECT_EQ(0, npu_pattern_wrong(normal.map, third, 2));
	EXPECT_EQ(0, npu_pattern_wrong(high.map, third, 3));
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &low, 1));
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &normal, 2));
	EXPECT_EQ(0, npu_sees(&self->e, &self->c, &self->out, &high, 3));
}

TEST_F(sram, of_equals_the_one_unused_for_longest_goes)
{
	uint64_t half = self->info.size / 2 & ~(self->page - 1);
	struct npu_env other;
	struct npu_bo mine, theirs, pin;
	struct npu_work w;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&other, &w, 3));
	ASSERT_EQ(0, sram_bo(&self->e, half, PREFERRED, 0, &mine));
	ASSERT_EQ(0, sram_bo(&other, half, PREFERRED, 0, &theirs));
	ASSERT_EQ(0, npu_work_run(&other, other.ctx, &w));
	ASSERT_EQ(NPU_DONE, any_job(&self->e, &self->c, &self->out));
	ASSERT_EQ(0, sram_bo(&self->e, half, PINNED, 0, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &mine));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&other, &theirs));
	sram_bo_free(&self->e, &pin);
	ASSERT_EQ(0, npu_work_run(&other, other.ctx, &w));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&other, &theirs));
	ASSERT_EQ(0, sram_bo(&self->e, half, PINNED, 0, &pin));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &mine));
	EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&other, &theirs));
	npu_env_close(&other);
}

/* Cached buffers move between two kinds of CPU mappings and keep every byte */
TEST_F(sram, bytes_that_were_not_synchronised_move_along)
{
	struct npu_bo bo, pin;
	int n;

	ASSERT_EQ(0, sram_bo(&self->e, 64 * KIB, PREFERRED, 0, &bo));
	for (n = 0; n < 8; n++) {
		npu_pattern_fill(bo.map, bo.size, 30 + 2 * n);
		ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PINNED, 0,
				     &pin));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, 30 + 2 * n));
		npu_pattern_fill(bo.map, bo.size, 31 + 2 * n);
		sram_bo_free(&self->e, &pin);
		ASSERT_EQ(NPU_DONE, any_job(&self->e, &self->c, &self->out));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SRAM, placement(&self->e, &bo));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, 31 + 2 * n));
	}
}

/* Whoever wants the room waits for the job that uses it */
TEST_F(sram, a_buffer_does_not_move_under_a_job)
{
	struct drm_npu_task *task, one;
	struct npu_bo bo, pin;
	int fence, n, ret;

	ASSERT_EQ(0, sram_bo(&self->e, NPU_COPY_MAX, PREFERRED, 0, &bo));
	for (n = 0; n < 3; n++) {
		npu_pattern_fill(bo.map, bo.size, 50 + n);
		ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->out.va,
					   bo.va, bo.size, &one));
		task = npu_repeat_task(&one, 16);
		ASSERT_NE(NULL, task);
		fence = npu_run_to_file(&self->e, self->e.ctx, task, 16);
		free(task);
		ASSERT_GE(fence, 0);
		EXPECT_EQ(0, npu_file_status(fence));
		do {	/* it waits for a second at most, which may be less */
			ret = sram_bo(&self->e, self->info.size, PINNED, 0,
				      &pin);
		} while (ret == -ENOSPC && !npu_file_status(fence));
		ASSERT_EQ(0, ret);
		EXPECT_EQ(NPU_DONE, npu_file_status(fence))
			TH_LOG("it was taken from a running job");
		close(fence);
		npu_pattern_fill(pin.map, pin.size, 99);
		ASSERT_EQ(0, npu_bo_sync(self->e.fd, &self->out,
					 DRM_NPU_SYNC_FROM_DEVICE));
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, bo.size, 50 + n));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, 50 + n));
		sram_bo_free(&self->e, &pin);
	}
}

/* A job that takes for ever does not make others wait for ever */
TEST_F(sram, a_hanging_job_keeps_its_memory_but_not_the_caller)
{
	struct npu_work hang;
	struct npu_bo bo, pin;
	int64_t start;
	uint32_t ctx;
	int ret, n;

	ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PREFERRED, 0, &bo));
	npu_pattern_fill(bo.map, bo.size, 60);
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (n = 0; n < 3; n++) {
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &hang, 0));
	}
	start = npu_now_ns();
	ret = sram_bo(&self->e, self->info.size, PINNED, 0, &pin);
	EXPECT_TRUE(ret == 0 || ret == -ENOSPC) TH_LOG("%d", ret);
	EXPECT_LT(npu_now_ns() - start, 5000000000ll);
	EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, 60));
}

struct mover {
	struct npu_env *e;
	uint64_t size;
	int64_t end;
	int moves, ret;
};

/* Takes all of it, gives it back, for a while */
static void *move_thread(void *data)
{
	struct mover *m = data;
	struct npu_bo pin;

	while (npu_now_ns() < m->end && !m->ret) {
		m->ret = sram_bo(m->e, m->size, PINNED, 0, &pin);
		if (m->ret == -ENOSPC) {
			m->ret = 0;	/* its jobs took long */
			continue;
		}
		if (m->ret)
			break;
		npu_pattern_fill(pin.map, 4096, m->moves);
		npu_sleep_ms(5);
		sram_bo_free(m->e, &pin);
		npu_sleep_ms(5);
		m->moves++;
	}
	return NULL;
}

/* Written by CPU and NPU while it moves to and fro, with jobs in the queue */
TEST_F(sram, nothing_is_lost_however_it_moves)
{
	struct npu_bo bo, in;
	struct npu_env other;
	struct npu_work w;
	struct mover m = {
		.e = &other,
		.size = self->info.size,
		.end = npu_now_ns() + 4000000000ll,
	};
	uint64_t half = 128 * KIB, seed;
	pthread_t id;
	int ret = 0;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 61));
	ASSERT_EQ(0, sram_bo(&self->e, 2 * half, PREFERRED, 0, &bo));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, half, DRM_NPU_BO_WC, 0, &in));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &in, 0));
	ASSERT_EQ(0, pthread_create(&id, NULL, move_thread, &m));
	for (seed = 100; npu_now_ns() < m.end && !ret; seed++) {
		/* The NPU fills the first half, the CPU the second */
		npu_pattern_fill(in.map, half, seed);
		ret = npu_copy(&self->e, self->e.ctx, &self->c, bo.va, in.va,
			       half) != NPU_DONE;
		npu_pattern_fill(bo.map + half, half, seed);
		ret |= npu_bo_sync(self->e.fd, &bo, DRM_NPU_SYNC_BOTH);
		ret |= !!npu_pattern_wrong(bo.map, half, seed);
		ret |= !!npu_pattern_wrong(bo.map + half, half, seed);
		ret |= npu_work_run(&self->e, self->e.ctx, &w);
	}
	pthread_join(id, NULL);
	EXPECT_EQ(0, ret) TH_LOG("round %llu", (unsigned long long)seed - 100);
	EXPECT_EQ(0, m.ret);
	EXPECT_GT(m.moves, 2);
	EXPECT_GT(seed, 102);
	npu_env_close(&other);
}

TEST_F(sram, it_comes_back_from_closed_files_and_killed_processes)
{
	uint32_t flags[] = { PINNED, PREFERRED };
	struct npu_env other;
	struct npu_bo bo;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		ASSERT_EQ(0, npu_env_open(&other));
		ASSERT_EQ(0, sram_bo(&other, self->info.size, flags[n], 0,
				     &bo));
		EXPECT_EQ(0, sram_free(&self->e));
		munmap(bo.map, bo.size);
		npu_env_close(&other);
		EXPECT_TRUE(free_settles(&self->e, self->info.size));
		EXPECT_EQ(-SIGKILL, NPU_IN_CHILD(
			leave_secrets(self->info.size, flags[n], true,
				      LEAVE_DIE)));
		EXPECT_TRUE(free_settles(&self->e, self->info.size));
	}
}

/*
 * A device that has none
 */

FIXTURE(none)
{
	struct npu_env e;
};

FIXTURE_SETUP(none)
{
	struct drm_npu_sram_info info;
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_sram_query(self->e.fd, &info));
	if (info.size)
		SKIP(return, "the device has on-chip memory");
	EXPECT_EQ(0, info.free);
	EXPECT_EQ(0, info.largest);
}

FIXTURE_TEARDOWN(none)
{
	npu_env_close(&self->e);
}

/* Who only prefers it does not notice */
TEST_F(none, preferred_buffers_are_in_system_memory)
{
	struct npu_bo bo, out;
	struct npu_cmds c;
	int prio;

	ASSERT_EQ(0, npu_cmds_new(&self->e, &c, NPU_COPY_CMDS));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 64 * KIB, 0, 0, &out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &out, 0));
	for (prio = -1; prio <= 1; prio++) {
		ASSERT_EQ(0, sram_bo(&self->e, out.size, PREFERRED, prio, &bo));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
		EXPECT_EQ(0, npu_not_zero(bo.map, bo.size));
		npu_pattern_fill(bo.map, bo.size, prio + 5);
		ASSERT_EQ(0, npu_bo_sync(self->e.fd, &bo,
					 DRM_NPU_SYNC_TO_DEVICE));
		EXPECT_EQ(0, npu_sees(&self->e, &c, &out, &bo, prio + 5));
		EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, placement(&self->e, &bo));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &c, bo.va,
					     out.va, bo.size));
		EXPECT_EQ(0, npu_pattern_wrong(bo.map, bo.size, prio + 5));
		sram_bo_free(&self->e, &bo);
	}
}

TEST_F(none, there_is_no_room_for_pinned_ones)
{
	uint32_t handle;

	EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd, 4096, PINNED, 0, &handle));
	EXPECT_EQ(-ENOSPC, npu_bo_create(self->e.fd, 1, PINNED, self->e.vm,
					 &handle));
	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 0, PINNED, 0, &handle));
	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096, PINNED | PREFERRED,
					 self->e.vm, &handle));
	EXPECT_EQ(-EINVAL, npu_bo_create(self->e.fd, 4096, PREFERRED, 0,
					 &handle));
}

/*
 * Shares
 */

FIXTURE(limit)
{
	struct npu_env e;
	struct npu_cgroup cg;
	struct drm_npu_sram_info info;
	char region[128];
};

/* The name of the region that ends in "sram", from what the root group lists */
static int find_region(const char *file, char *name, size_t size)
{
	char text[1024], *line, *save, *space;
	int ret = npu_read_file(file, text, sizeof(text));

	if (ret)
		return ret;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		space = strrchr(line, ' ');
		if (!space)
			continue;
		*space = 0;
		if (strlen(line) < 4 || strcmp(line + strlen(line) - 4, "sram"))
			continue;
		snprintf(name, size, "%s", line);
		return 0;
	}
	return -ENOENT;
}

FIXTURE_SETUP(limit)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_sram_query(self->e.fd, &self->info));
	if (!self->info.size)
		SKIP(return, "the device has no on-chip memory");
	if (geteuid() || npu_cgroup_make(&self->cg, "dmem", "dmem"))
		SKIP(return, "needs root and the dmem controller of cgroup v2");
	ASSERT_EQ(0, find_region("/sys/fs/cgroup/dmem.capacity", self->region,
				 sizeof(self->region)));
}

FIXTURE_TEARDOWN(limit)
{
	EXPECT_TRUE(free_settles(&self->e, self->info.size));
	npu_env_close(&self->e);
	EXPECT_EQ(0, npu_cgroup_drop(&self->cg));
}

static long long dmem_current(const struct npu_cgroup *cg, const char *region)
{
	long long value = npu_cgroup_value(cg, "dmem.current", region);

	return value == -ENOENT ? 0 : value;
}

/* 64 KiB of a region that has more */
static void use_limited(const struct npu_cgroup *cg, const char *region,
			int ready, int go)
{
	struct npu_bo bo[4], pref, out;
	struct npu_cmds c;
	struct npu_env e;
	uint32_t handle;
	char byte = 0;
	int n;

	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!npu_bo_new(e.fd, 32 * KIB, 0, 0, &out));
	NPU_CHECK(!npu_map(e.fd, e.vm, &out, 0));
	NPU_CHECK(npu_bo_create(e.fd, 68 * KIB, PINNED, 0, &handle) == -ENOSPC);
	for (n = 0; n < 4; n++) {
		NPU_CHECK(!sram_bo(&e, 16 * KIB, PINNED, 0, &bo[n]));
		npu_pattern_fill(bo[n].map, bo[n].size, n);
	}
	NPU_CHECK(dmem_current(cg, region) == 64 * KIB);
	NPU_CHECK(npu_bo_create(e.fd, 4096, PINNED, 0, &handle) == -ENOSPC);
	NPU_CHECK(!sram_bo(&e, 16 * KIB, PREFERRED, 0, &pref));
	NPU_CHECK(placement(&e, &pref) == DRM_NPU_PLACEMENT_SYSTEM);
	for (n = 0; n < 4; n++)
		NPU_CHECK(!npu_sees(&e, &c, &out, &bo[n], n));

	/* What is given back can be used again, by what prefers it, too */
	npu_pattern_fill(pref.map, pref.size, 9);
	NPU_CHECK(!npu_bo_sync(e.fd, &pref, DRM_NPU_SYNC_TO_DEVICE));
	sram_bo_free(&e, &bo[0]);
	NPU_CHECK(dmem_current(cg, region) == 48 * KIB);
	NPU_CHECK(!npu_sees(&e, &c, &out, &pref, 9));
	NPU_CHECK(placement(&e, &pref) == DRM_NPU_PLACEMENT_SRAM);
	NPU_CHECK(dmem_current(cg, region) == 64 * KIB);
	NPU_CHECK(npu_bo_create(e.fd, 4096, PINNED, 0, &handle) == -ENOSPC);
	NPU_CHECK(!npu_sees(&e, &c, &out, &pref, 9));
	NPU_CHECK(write(ready, &byte, 1) == 1);
	NPU_CHECK(read(go, &byte, 1) == 1);
}

TEST_F(limit, a_cgroup_has_its_share_and_others_have_theirs)
{
	long long capacity;
	struct npu_bo bo;
	int ready[2], go[2];
	pid_t pid;
	char c;

	capacity = npu_cgroup_value(&(struct npu_cgroup){ "/sys/fs/cgroup" },
				    "dmem.capacity", self->region);
	EXPECT_EQ(self->info.size, capacity);
	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "dmem.max", "%s %llu",
				    self->region, 64 * KIB));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		use_limited(&self->cg, self->region, ready[1], go[0]);
		_exit(0);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1)) TH_LOG("the child has failed");
	EXPECT_EQ(64 * KIB, dmem_current(&self->cg, self->region));
	ASSERT_EQ(0, sram_bo(&self->e, self->info.size - 64 * KIB, PINNED, 0,
			     &bo)) TH_LOG("nobody else has a limit");
	sram_bo_free(&self->e, &bo);
	ASSERT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(0, npu_child_result(pid));
	EXPECT_TRUE(free_settles(&self->e, self->info.size));
	EXPECT_EQ(0, dmem_current(&self->cg, self->region));
}

static void use_nothing(const struct npu_cgroup *cg)
{
	struct npu_env e;
	struct npu_bo bo;

	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(sram_bo(&e, 4096, PINNED, 0, &bo) == -ENOSPC);
	NPU_CHECK(!sram_bo(&e, 4096, PREFERRED, 0, &bo));
	NPU_CHECK(placement(&e, &bo) == DRM_NPU_PLACEMENT_SYSTEM);
}

TEST_F(limit, of_nothing_leaves_nothing)
{
	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "dmem.max", "%s 0",
				    self->region));
	EXPECT_EQ(0, NPU_IN_CHILD(use_nothing(&self->cg)));
	EXPECT_EQ(0, dmem_current(&self->cg, self->region));
}

/* What is moved out of the way is not charged meanwhile */
static void be_pushed_out(const struct npu_cgroup *cg, const char *region,
			  int ready, int go)
{
	struct npu_bo bo;
	struct npu_env e;
	struct npu_work w;
	char c = 0;

	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_work_small(&e, &w, 5));
	NPU_CHECK(!sram_bo(&e, 64 * KIB, PREFERRED, 0, &bo));
	NPU_CHECK(dmem_current(cg, region) == 64 * KIB);
	NPU_CHECK(write(ready, &c, 1) == 1 && read(go, &c, 1) == 1);
	NPU_CHECK(placement(&e, &bo) == DRM_NPU_PLACEMENT_SYSTEM);
	NPU_CHECK(dmem_current(cg, region) == 0);
	NPU_CHECK(write(ready, &c, 1) == 1 && read(go, &c, 1) == 1);
	NPU_CHECK(!npu_work_run(&e, e.ctx, &w));
	NPU_CHECK(placement(&e, &bo) == DRM_NPU_PLACEMENT_SRAM);
	NPU_CHECK(dmem_current(cg, region) == 64 * KIB);
}

TEST_F(limit, is_for_what_is_there)
{
	int ready[2], go[2];
	struct npu_bo bo;
	pid_t pid;
	char c;

	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "dmem.max", "%s %llu",
				    self->region, 64 * KIB));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		be_pushed_out(&self->cg, self->region, ready[1], go[0]);
		_exit(0);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, sram_bo(&self->e, self->info.size, PINNED, 0, &bo));
	ASSERT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(1, read(ready[0], &c, 1));
	sram_bo_free(&self->e, &bo);
	EXPECT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(0, npu_child_result(pid));
}

/*
 * The device goes while its memory is in use. The emulated board's facade can
 * be unbound by root; it comes back as it was.
 */
FIXTURE(unbind)
{
	struct npu_env e;
	struct drm_npu_sram_info info;
};

FIXTURE_SETUP(unbind)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_sram_query(self->e.fd, &self->info));
	if (!self->info.size)
		SKIP(return, "the device has no on-chip memory");
	if (access(FACADE "/unbind", W_OK))
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(unbind)
{
	npu_env_close(&self->e);
}

/* The cores come back one by one */
static int open_again(struct npu_env *e, uint64_t core_mask)
{
	int64_t end = npu_now_ns() + 10000000000ll;
	int ret;

	do {
		ret = npu_env_open(e);
		if (!ret && e->info.core_mask == core_mask)
			return 0;
		if (!ret)
			npu_env_close(e);
		npu_sleep_ms(20);
	} while (npu_now_ns() < end);
	return ret ? ret : -EAGAIN;
}

TEST_F(unbind, takes_all_of_it_and_leaves_no_byte)
{
	struct npu_bo pin, pref, shared;
	struct npu_work hang, w;
	struct npu_env again;
	uint32_t handle;
	int n, ret;

	for (n = 0; n < 2; n++) {
		struct npu_env e;

		ASSERT_EQ(0, npu_env_open(&e));
		ASSERT_EQ(0, sram_bo(&e, self->info.size / 2 & ~4095ull, PINNED,
				     0, &pin));
		ASSERT_EQ(0, sram_bo(&e, 64 * KIB, PREFERRED, 0, &pref));
		ASSERT_EQ(0, npu_bo_new(e.fd, 64 * KIB, 0, 0, &shared));
		npu_pattern_fill(pin.map, pin.size, 1);
		npu_pattern_fill(pref.map, pref.size, 2);
		npu_pattern_fill(shared.map, shared.size, 3);
		ASSERT_EQ(0, npu_work_hang(&e, &hang));
		if (n) {	/* with a job that uses it */
			ASSERT_EQ(0, npu_submit_work(e.fd, e.ctx, &hang, 0));
		}
		ASSERT_EQ(0, npu_write_file(FACADE "/unbind", "npu"));
		EXPECT_EQ(-ENODEV, npu_bo_create(e.fd, 4096, PINNED, 0,
						 &handle));
		EXPECT_EQ(pin.size / 4096, npu_bus_errors(pin.map, pin.size));
		/* What has another place to be is there */
		EXPECT_EQ(0, npu_pattern_wrong(pref.map, pref.size, 2));
		EXPECT_EQ(0, npu_pattern_wrong(shared.map, shared.size, 3));
		ASSERT_EQ(0, npu_write_file(FACADE "/bind", "npu"));
		ASSERT_EQ(0, open_again(&again, self->e.info.core_mask));

		/* The old file and its buffers are still there to be closed */
		EXPECT_TRUE(free_settles(&again, self->info.size));
		ASSERT_EQ(0, npu_work_small(&again, &w, 4));
		EXPECT_EQ(0, npu_work_run_everywhere(&again, &w));
		ret = NPU_IN_CHILD(look_for_secrets(self->info.size, PINNED,
						    n));
		EXPECT_EQ(0, ret);
		npu_bo_free(e.fd, &pin);
		npu_bo_free(e.fd, &pref);
		npu_bo_free(e.fd, &shared);
		npu_env_close(&e);
		EXPECT_TRUE(free_settles(&again, self->info.size));
		EXPECT_EQ(0, npu_work_run_everywhere(&again, &w));
		npu_env_close(&again);
	}
}

TEST_HARNESS_MAIN
