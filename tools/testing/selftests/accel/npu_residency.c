// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of the memory of buffers when the system needs it: resident,
 * default and discardable buffers, and the limits of users and cgroups.
 *
 * Most tests make every shrinker of the system give what it can, which needs
 * root and, for what has to be restored, swap. The ones of real pressure want a
 * machine of little memory, where it takes seconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

#define SIZE		(2 * MIB)

/* Copies of a quarter of a MiB, for a job that is long enough to be disturbed */
#define BUSY		300

/* In KiB */
#define SMALL_MACHINE	(1280l * 1024)

static int to_device(struct npu_env *e, const struct npu_bo *bo)
{
	return npu_bo_sync(e->fd, bo, DRM_NPU_SYNC_TO_DEVICE);
}

static int from_device(struct npu_env *e, const struct npu_bo *bo)
{
	return npu_bo_sync(e->fd, bo, DRM_NPU_SYNC_FROM_DEVICE);
}

/* A buffer that is mapped for the CPU and bound, and full of a pattern */
static int new_bo(struct npu_env *e, uint64_t size, uint32_t flags, uint32_t vm,
		  uint64_t seed, struct npu_bo *bo)
{
	int ret = npu_bo_new(e->fd, size, flags, vm, bo);

	if (!ret)
		ret = npu_map(e->fd, e->vm, bo, 0);
	if (ret)
		return ret;
	npu_pattern_fill(bo->map, size, seed);
	return to_device(e, bo);
}

/* Asks for memory until a buffer has lost its own */
static bool shrink_until(struct npu_env *e, uint32_t handle, int residency)
{
	int64_t end = npu_now_ns() + 5000000000ll;

	do {
		if (npu_shrink())
			return false;
		if (npu_bo_residency(e->fd, handle) == residency)
			return true;
		npu_sleep_ms(10);
	} while (npu_now_ns() < end);
	printf("# its residency is %d\n", npu_bo_residency(e->fd, handle));
	return false;
}

/* And has it written to swap, so that it comes back in other pages */
static bool evict(struct npu_env *e, const struct npu_bo *bo)
{
	if (!shrink_until(e, bo->handle, DRM_NPU_RESIDENCY_EVICTED))
		return false;
	npu_swap_out(2 * bo->size);	/* it is fine if only some of it goes */
	return npu_bo_residency(e->fd, bo->handle) == DRM_NPU_RESIDENCY_EVICTED;
}

static bool is_resident(struct npu_env *e, const struct npu_bo *bo)
{
	return npu_bo_residency(e->fd, bo->handle) ==
	       DRM_NPU_RESIDENCY_RESIDENT;
}

FIXTURE(evict)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo private, shared, out;
};

FIXTURE_SETUP(evict)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (geteuid())
		SKIP(return, "needs root");
	if (npu_meminfo("SwapFree") < 64 * 1024)
		SKIP(return, "needs 64 MiB of swap");
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	ASSERT_EQ(0, new_bo(&self->e, SIZE, 0, self->e.vm, 1, &self->private));
	ASSERT_EQ(0, new_bo(&self->e, SIZE, DRM_NPU_BO_WC, 0, 2, &self->shared));
	ASSERT_EQ(0, new_bo(&self->e, SIZE, 0, 0, 3, &self->out));
}

FIXTURE_TEARDOWN(evict)
{
	npu_env_close(&self->e);
}

/* Copies a buffer into the output and compares */
static int copy_is_right(struct npu_env *e, struct npu_cmds *c,
			 struct npu_bo *out, uint64_t va, uint64_t seed)
{
	int ret;

	memset(out->map, NPU_CANARY, out->size);
	ret = to_device(e, out);
	if (!ret)
		ret = npu_copy(e, e->ctx, c, out->va, va, out->size);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	ret = from_device(e, out);
	if (ret)
		return ret;
	return npu_pattern_wrong(out->map, out->size, seed) ? -EBADMSG : 0;
}

TEST_F(evict, idle_memory_is_taken_and_restored_for_the_next_job)
{
	struct npu_work w;
	int round;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 32, 64, 64, 4));
	for (round = 0; round < 4; round++) {
		EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
					   self->private.va, 1));
		EXPECT_TRUE(evict(&self->e, &self->private));
		EXPECT_TRUE(evict(&self->e, &self->shared));
		EXPECT_TRUE(evict(&self->e, &self->c.bo));
		EXPECT_TRUE(evict(&self->e, &w.bo[NPU_AUX]));
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
		EXPECT_TRUE(is_resident(&self->e, &self->private));
		EXPECT_TRUE(is_resident(&self->e, &self->shared));
		EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
					   self->shared.va, 2));
		EXPECT_EQ(0, npu_pattern_wrong(self->private.map, SIZE, 1));
		EXPECT_EQ(0, npu_pattern_wrong(self->shared.map, SIZE, 2));
	}
}

/* What only the NPU has ever seen is no less worth keeping */
TEST_F(evict, results_survive)
{
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
				   self->private.va, 1));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->shared.va, self->out.va, SIZE));
	EXPECT_TRUE(evict(&self->e, &self->shared));
	EXPECT_TRUE(evict(&self->e, &self->out));
	EXPECT_EQ(0, npu_pattern_wrong(self->shared.map, SIZE, 1));
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 1));
}

TEST_F(evict, cpu_mappings_follow)
{
	struct npu_bo *bo[] = { &self->private, &self->shared };
	struct npu_bo again;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bo); n++) {
		EXPECT_TRUE(evict(&self->e, bo[n]));
		EXPECT_EQ(0, npu_pattern_wrong(bo[n]->map, SIZE, 1 + n))
			TH_LOG("a mapping from before");
		EXPECT_TRUE(is_resident(&self->e, bo[n]));
		EXPECT_TRUE(evict(&self->e, bo[n]));
		again = *bo[n];
		ASSERT_EQ(0, npu_bo_mmap(self->e.fd, &again));
		EXPECT_EQ(0, npu_pattern_wrong(again.map, SIZE, 1 + n))
			TH_LOG("a new mapping");
		EXPECT_TRUE(evict(&self->e, bo[n]));
		npu_pattern_fill(bo[n]->map, SIZE, 20 + n);
		EXPECT_EQ(0, npu_pattern_wrong(again.map, SIZE, 20 + n))
			TH_LOG("they show the same memory");
		ASSERT_EQ(0, to_device(&self->e, bo[n]));
		EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
					   bo[n]->va, 20 + n));
		EXPECT_TRUE(evict(&self->e, bo[n]));
		EXPECT_EQ(0, npu_pattern_wrong(again.map, SIZE, 20 + n));
		munmap(again.map, SIZE);
	}
}

/* What is left of a mapping after its head or its middle has gone */
TEST_F(evict, parts_of_cpu_mappings_follow)
{
	uint8_t *map = self->private.map, *ref = self->out.map;
	int n;

	npu_pattern_fill(ref, SIZE, 1);
	ASSERT_EQ(0, munmap(map, SIZE / 4));
	ASSERT_EQ(0, munmap(map + SIZE / 2, SIZE / 4));
	for (n = 0; n < 3; n++) {
		EXPECT_TRUE(evict(&self->e, &self->private));
		EXPECT_EQ(0, memcmp(map + SIZE * 3 / 4, ref + SIZE * 3 / 4,
				    SIZE / 4));
		EXPECT_TRUE(evict(&self->e, &self->private));
		EXPECT_EQ(0, memcmp(map + SIZE / 4, ref + SIZE / 4, SIZE / 4));
	}
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
				   self->private.va, 1));
	self->private.map = NULL;
}

/* Written by the CPU, never synchronised, taken away: not lost */
TEST_F(evict, bytes_that_were_not_synchronised_survive)
{
	int round;

	for (round = 0; round < 4; round++) {
		EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
					   self->shared.va, 2));
		npu_pattern_fill(self->private.map, SIZE, 30 + round);
		EXPECT_TRUE(evict(&self->e, &self->private));
		EXPECT_EQ(0, npu_pattern_wrong(self->private.map, SIZE,
					       30 + round));
	}
}

TEST_F(evict, synchronising_what_is_gone_is_no_error)
{
	uint32_t dir;

	for (dir = DRM_NPU_SYNC_TO_DEVICE; dir <= DRM_NPU_SYNC_BOTH; dir++) {
		EXPECT_TRUE(evict(&self->e, &self->private));
		EXPECT_EQ(0, npu_bo_sync(self->e.fd, &self->private, dir));
		EXPECT_EQ(0, npu_pattern_wrong(self->private.map, SIZE, 1));
	}
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, self->private.handle,
				 DRM_NPU_BO_WAIT_WRITE, 1000));
}

TEST_F(evict, each_vm_gets_its_mapping_back)
{
	enum { VMS = 3 };
	struct npu_env e[VMS];
	struct npu_bo out[VMS];
	struct npu_cmds c[VMS];
	uint64_t va[VMS];
	int n, round;

	for (n = 0; n < VMS; n++) {
		e[n] = self->e;
		ASSERT_EQ(0, npu_vm_create(e[n].fd, &e[n].vm));
		ASSERT_EQ(0, npu_ctx_create(e[n].fd, e[n].vm, 0, &e[n].ctx));
		ASSERT_EQ(0, npu_cmds_new(&e[n], &c[n], NPU_COPY_CMDS));
		ASSERT_EQ(0, new_bo(&e[n], SIZE, 0, e[n].vm, 40, &out[n]));
		va[n] = (n + 1) * 64 * MIB;
		ASSERT_EQ(0, npu_map_at(e[n].fd, e[n].vm, self->shared.handle,
					va[n], SIZE, 0, 0));
	}
	for (round = 0; round < VMS; round++) {
		EXPECT_TRUE(evict(&self->e, &self->shared));
		npu_swap_out(64 * MIB);	/* surely with all of it */
		/* Who still uses the pages it had before reads old bytes */
		npu_pattern_fill(self->shared.map, SIZE, 45 + round);
		for (n = 0; n < VMS; n++) {
			int vm = (n + round) % VMS;

			EXPECT_EQ(0, copy_is_right(&e[vm], &c[vm], &out[vm],
						   va[vm], 45 + round))
				TH_LOG("VM %d", vm);
		}
	}
	/* Restored in one VM, unmapped in another, taken again */
	EXPECT_TRUE(evict(&self->e, &self->shared));
	EXPECT_EQ(0, copy_is_right(&e[0], &c[0], &out[0], va[0], 47));
	EXPECT_EQ(0, npu_unmap(e[1].fd, e[1].vm, va[1], SIZE));
	EXPECT_TRUE(evict(&self->e, &self->shared));
	EXPECT_EQ(0, copy_is_right(&e[2], &c[2], &out[2], va[2], 47));
	EXPECT_EQ(-EFAULT, copy_is_right(&e[1], &c[1], &out[1], va[1], 2));
}

TEST_F(evict, address_spaces_change_while_memory_is_gone)
{
	uint64_t page = self->e.info.page_size, va = 1 * GIB;
	struct npu_bo *bo = &self->shared;
	uint32_t ctx;

	/* A hole in what is not there */
	EXPECT_TRUE(evict(&self->e, bo));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo->va + 8 * page,
			       4 * page));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &self->c, self->out.va,
				    bo->va + 8 * page, 4 * page));
	ASSERT_EQ(0, to_device(&self->e, &self->out));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va, bo->va, 8 * page));
	EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
				     self->out.va + 12 * page,
				     bo->va + 12 * page, SIZE - 12 * page));
	ASSERT_EQ(0, from_device(&self->e, &self->out));
	EXPECT_EQ(0, memcmp(self->out.map, bo->map, 8 * page));
	EXPECT_EQ(0, memcmp(self->out.map + 12 * page, bo->map + 12 * page,
			    SIZE - 12 * page));

	/* Its place is taken by another, it comes back elsewhere, read-only */
	EXPECT_TRUE(evict(&self->e, bo));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo->va, SIZE));
	EXPECT_EQ(0, npu_map_at(self->e.fd, self->e.vm, self->private.handle,
				bo->va, SIZE, 0, 0));
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out, bo->va, 1));
	EXPECT_TRUE(evict(&self->e, &self->private));
	EXPECT_EQ(0, npu_map_at(self->e.fd, self->e.vm, bo->handle, va, SIZE, 0,
				DRM_NPU_BIND_READONLY));
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out, va, 2));
	EXPECT_TRUE(evict(&self->e, bo));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &self->c, va, self->out.va,
				    page)) TH_LOG("it has become writable");
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out, va, 2));
}

TEST_F(evict, what_is_gone_can_be_freed)
{
	long shmem = npu_meminfo("Shmem");
	struct npu_bo bo[4];
	struct npu_env e;
	int n;

	for (n = 0; n < 4; n++) {
		ASSERT_EQ(0, npu_env_open(&e));
		ASSERT_EQ(0, new_bo(&e, 4 * MIB, 0, 0, n, &bo[0]));
		ASSERT_EQ(0, new_bo(&e, 4 * MIB, 0, e.vm, n, &bo[1]));
		EXPECT_TRUE(evict(&e, &bo[0]));
		EXPECT_TRUE(evict(&e, &bo[1]));
		if (n & 1) {
			EXPECT_EQ(0, npu_unmap(e.fd, e.vm, bo[0].va, 4 * MIB));
		}
		npu_bo_free(e.fd, &bo[1]);
		npu_bo_free(e.fd, &bo[0]);
		if (n & 2) {
			EXPECT_EQ(0, npu_vm_destroy(e.fd, e.vm));
		}
		npu_env_close(&e);
	}
	/* Of a few MiB that were there before, some may be in the swap now */
	EXPECT_TRUE(npu_meminfo_settles("Shmem", shmem, 8 * 1024));
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out,
				   self->private.va, 1));
}

TEST_F(evict, a_busy_buffer_is_never_taken)
{
	struct drm_npu_task *task, one;
	int fence, tries = 0, wrong = 0;

	ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->out.va,
				   self->private.va, NPU_COPY_MAX, &one));
	task = npu_repeat_task(&one, BUSY);
	ASSERT_NE(NULL, task);
	fence = npu_run_to_file(&self->e, self->e.ctx, task, BUSY);
	free(task);
	ASSERT_GE(fence, 0);
	while (!npu_file_status(fence)) {
		bool private, out;

		EXPECT_EQ(0, npu_shrink());
		private = is_resident(&self->e, &self->private);
		out = is_resident(&self->e, &self->out);
		if (npu_file_status(fence))
			break;	/* it may have ended before */
		wrong += !private || !out;
		tries++;
	}
	EXPECT_GT(tries, 2) TH_LOG("too short to prove anything");
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	ASSERT_EQ(0, from_device(&self->e, &self->out));
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, NPU_COPY_MAX, 1));
	close(fence);
}

TEST_F(evict, resident_buffers_stay_while_they_are_bound)
{
	struct npu_bo bo[2];
	int n;

	ASSERT_EQ(0, new_bo(&self->e, SIZE, DRM_NPU_BO_RESIDENT, 0, 50, &bo[0]));
	ASSERT_EQ(0, new_bo(&self->e, SIZE, DRM_NPU_BO_RESIDENT | DRM_NPU_BO_WC,
			    self->e.vm, 51, &bo[1]));
	EXPECT_TRUE(evict(&self->e, &self->private));
	for (n = 0; n < 5; n++) {
		EXPECT_EQ(0, npu_shrink());
		EXPECT_TRUE(is_resident(&self->e, &bo[0]));
		EXPECT_TRUE(is_resident(&self->e, &bo[1]));
	}
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out, bo[0].va,
				   50));
	EXPECT_EQ(0, copy_is_right(&self->e, &self->c, &self->out, bo[1].va,
				   51));
	EXPECT_EQ(0, npu_pattern_wrong(bo[0].map, SIZE, 50));
	EXPECT_EQ(0, npu_pattern_wrong(bo[1].map, SIZE, 51));
}

/* Somebody always wants memory while jobs of several VMs compute */
static void shrink_for_ever(int stop)
{
	char c;

	while (read(stop, &c, 1) < 0)
		npu_shrink();
	_exit(0);
}

static void compute_under_pressure(unsigned int seed)
{
	int64_t end = npu_now_ns() + 4000000000ll;
	struct npu_bo in, out;
	struct npu_cmds c;
	struct npu_env e;
	struct npu_work w;
	int runs, ret;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!npu_work_matmul(&e, &w, 32, 64, 64, seed));
	NPU_CHECK(!new_bo(&e, SIZE / 4, 0, seed & 1 ? e.vm : 0, seed, &in));
	NPU_CHECK(!new_bo(&e, SIZE / 4, 0, seed & 2 ? e.vm : 0, seed, &out));
	for (runs = 0; npu_now_ns() < end; runs++) {
		NPU_CHECK(!npu_work_run(&e, e.ctx, &w));
		ret = copy_is_right(&e, &c, &out, in.va, seed + runs);
		if (ret)
			printf("# run %d of client %u: %d\n", runs, seed, ret);
		NPU_CHECK(!ret);
		npu_pattern_fill(in.map, in.size, seed + runs + 1);
		NPU_CHECK(!to_device(&e, &in));
	}
	NPU_CHECK(runs > 3);
	_exit(0);
}

TEST_F(evict, jobs_are_right_whenever_memory_is_taken)
{
	pid_t pid[4], shrinker;
	int stop[2], n;

	ASSERT_EQ(0, pipe2(stop, O_NONBLOCK));
	shrinker = fork();
	ASSERT_GE(shrinker, 0);
	if (!shrinker) {
		close(stop[1]);
		shrink_for_ever(stop[0]);
	}
	for (n = 0; n < 4; n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			compute_under_pressure(n);
	}
	for (n = 0; n < 4; n++) {
		EXPECT_EQ(0, npu_child_result(pid[n]));
	}
	close(stop[1]);
	EXPECT_EQ(0, npu_child_result(shrinker));
}

/*
 * Discardable buffers need no swap
 */

FIXTURE(discard)
{
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo bo[2], out;	/* private and not */
	uint32_t retained;
};

FIXTURE_SETUP(discard)
{
	int n, ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, npu_cmds_new(&self->e, &self->c, NPU_COPY_CMDS));
	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, new_bo(&self->e, SIZE, 0, n ? 0 : self->e.vm, n,
				    &self->bo[n]));
	}
	ASSERT_EQ(0, new_bo(&self->e, SIZE, 0, 0, 3, &self->out));
}

FIXTURE_TEARDOWN(discard)
{
	npu_env_close(&self->e);
}

static int dont_need(struct npu_env *e, const struct npu_bo *bo,
		     uint32_t *retained)
{
	return npu_bo_madvise(e->fd, bo->handle, DRM_NPU_ADVICE_DONTNEED,
			      retained);
}

static int will_need(struct npu_env *e, const struct npu_bo *bo,
		     uint32_t *retained)
{
	return npu_bo_madvise(e->fd, bo->handle, DRM_NPU_ADVICE_WILLNEED,
			      retained);
}

static bool purge(struct npu_env *e, const struct npu_bo *bo)
{
	return shrink_until(e, bo->handle, DRM_NPU_RESIDENCY_PURGED);
}

TEST_F(discard, content_that_may_go_goes_and_its_owner_is_told)
{
	long shmem = npu_meminfo("Shmem");
	int n;

	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, dont_need(&self->e, &self->bo[n],
				       &self->retained));
		EXPECT_EQ(1, self->retained);
	}
	for (n = 0; n < 2; n++) {
		EXPECT_TRUE(purge(&self->e, &self->bo[n]));
		ASSERT_EQ(0, dont_need(&self->e, &self->bo[n],
				       &self->retained));
		EXPECT_EQ(0, self->retained) TH_LOG("asked once more");
	}
	/* Nothing else of this size is freed meanwhile */
	EXPECT_LT(npu_meminfo("Shmem"), shmem - 3 * 1024);
	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, will_need(&self->e, &self->bo[n],
				       &self->retained));
		EXPECT_EQ(0, self->retained);
		EXPECT_EQ(0, npu_not_zero(self->bo[n].map, SIZE));
		EXPECT_TRUE(is_resident(&self->e, &self->bo[n]));
		ASSERT_EQ(0, will_need(&self->e, &self->bo[n],
				       &self->retained));
		EXPECT_EQ(1, self->retained) TH_LOG("it was told already");
	}
}

/* Revived for a job first, full of zeroes, at the addresses it had */
TEST_F(discard, what_is_taken_back_can_be_used_as_it_was_bound)
{
	int n;

	for (n = 0; n < 2; n++) {
		struct npu_bo *bo = &self->bo[n];

		ASSERT_EQ(0, dont_need(&self->e, bo, NULL));
		EXPECT_TRUE(purge(&self->e, bo));
		ASSERT_EQ(0, will_need(&self->e, bo, NULL));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->out.va, bo->va, SIZE));
		ASSERT_EQ(0, from_device(&self->e, &self->out));
		EXPECT_EQ(0, npu_not_zero(self->out.map, SIZE));
		npu_pattern_fill(self->out.map, SIZE, 60 + n);
		ASSERT_EQ(0, to_device(&self->e, &self->out));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     bo->va, self->out.va, SIZE));
		ASSERT_EQ(0, from_device(&self->e, bo));
		EXPECT_EQ(0, npu_pattern_wrong(bo->map, SIZE, 60 + n));
	}
}

TEST_F(discard, needed_again_in_time_nothing_is_lost)
{
	int n, i;

	for (i = 0; i < 5; i++) {
		for (n = 0; n < 2; n++) {
			ASSERT_EQ(0, dont_need(&self->e, &self->bo[n], NULL));
			ASSERT_EQ(0, will_need(&self->e, &self->bo[n],
					       &self->retained));
			EXPECT_EQ(1, self->retained);
		}
		EXPECT_EQ(0, npu_shrink());
		for (n = 0; n < 2; n++) {
			EXPECT_NE(DRM_NPU_RESIDENCY_PURGED,
				  npu_bo_residency(self->e.fd,
						   self->bo[n].handle));
			EXPECT_EQ(0, copy_is_right(&self->e, &self->c,
						   &self->out, self->bo[n].va,
						   n));
		}
	}
}

TEST_F(discard, the_cpu_gets_sigbus_for_what_is_gone)
{
	struct npu_bo again;
	int n;

	for (n = 0; n < 2; n++) {
		EXPECT_EQ(0, npu_bus_errors(self->bo[n].map, SIZE));
		ASSERT_EQ(0, dont_need(&self->e, &self->bo[n], NULL));
		EXPECT_TRUE(purge(&self->e, &self->bo[n]));
		EXPECT_EQ(SIZE / 4096, npu_bus_errors(self->bo[n].map, SIZE));
		again = self->bo[n];
		again.map = NULL;
		if (!npu_bo_mmap(self->e.fd, &again)) {
			EXPECT_EQ(SIZE / 4096, npu_bus_errors(again.map, SIZE));
			munmap(again.map, SIZE);
		}
		EXPECT_EQ(DRM_NPU_RESIDENCY_PURGED,
			  npu_bo_residency(self->e.fd, self->bo[n].handle));
		ASSERT_EQ(0, will_need(&self->e, &self->bo[n], NULL));
		EXPECT_EQ(0, npu_bus_errors(self->bo[n].map, SIZE));
		EXPECT_EQ(0, npu_not_zero(self->bo[n].map, SIZE));
	}
}

TEST_F(discard, a_job_that_uses_what_is_gone_faults_alone)
{
	struct drm_npu_ctx_query q;
	uint32_t ctx;
	int n;

	for (n = 0; n < 2; n++) {
		struct npu_bo *bo = &self->bo[n];

		ASSERT_EQ(0, dont_need(&self->e, bo, NULL));
		EXPECT_TRUE(purge(&self->e, bo));
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		EXPECT_EQ(-EFAULT, npu_copy(&self->e, ctx, &self->c,
					    self->out.va, bo->va + MIB, MIB));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
		EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
		EXPECT_EQ(-EFAULT, q.fault_error);
		EXPECT_GE(q.fault_va, bo->va + MIB);
		EXPECT_LT(q.fault_va, bo->va + 2 * MIB);
		/* The other context of the VM does not use it, and goes on */
		EXPECT_EQ(0, npu_pattern_wrong(self->out.map, SIZE, 3));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     self->out.va, self->out.va, SIZE));
		ASSERT_EQ(0, will_need(&self->e, bo, NULL));
		EXPECT_EQ(NPU_DONE, npu_copy(&self->e, self->e.ctx, &self->c,
					     bo->va, self->out.va, SIZE));
		ASSERT_EQ(0, from_device(&self->e, bo));
		EXPECT_EQ(0, npu_pattern_wrong(bo->map, SIZE, 3));
	}
}

TEST_F(discard, what_is_gone_is_gone_in_every_vm)
{
	struct npu_bo *bo = &self->bo[1], out;
	struct npu_env e[3];
	struct npu_cmds c;
	int n, round;

	for (n = 0; n < 3; n++) {
		e[n] = self->e;
		ASSERT_EQ(0, npu_vm_create(e[n].fd, &e[n].vm));
		ASSERT_EQ(0, npu_map_at(e[n].fd, e[n].vm, bo->handle, bo->va,
					SIZE, 0, 0));
	}
	for (round = 0; round < 2; round++) {
		for (n = 0; n < 3; n++) {
			ASSERT_EQ(0, npu_ctx_create(e[n].fd, e[n].vm, 0,
						    &e[n].ctx));
			ASSERT_EQ(0, npu_cmds_new(&e[n], &c, NPU_COPY_CMDS));
			ASSERT_EQ(0, new_bo(&e[n], SIZE, 0, 0, 9, &out));
			EXPECT_EQ(round ? -EFAULT : 0,
				  copy_is_right(&e[n], &c, &out, bo->va, 1))
				TH_LOG("VM %d", n);
		}
		ASSERT_EQ(0, dont_need(&self->e, bo, NULL));
		EXPECT_TRUE(purge(&self->e, bo));
	}
}

TEST_F(discard, a_purged_buffer_can_be_unmapped_and_closed)
{
	struct npu_work w;
	int n;

	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, dont_need(&self->e, &self->bo[n], NULL));
		EXPECT_TRUE(purge(&self->e, &self->bo[n]));
	}
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->bo[0].va + 4096,
			       8192));
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->bo[0].va, SIZE));
	npu_bo_free(self->e.fd, &self->bo[0]);
	npu_bo_free(self->e.fd, &self->bo[1]);
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 5));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(discard, a_job_may_finish_with_what_is_not_needed_any_more)
{
	struct npu_bo *bo = &self->bo[0];
	struct drm_npu_task *task, one;
	int fence, tries = 0, wrong = 0;

	ASSERT_EQ(0, npu_cmds_copy(&self->e, &self->c, self->out.va, bo->va,
				   NPU_COPY_MAX, &one));
	task = npu_repeat_task(&one, BUSY);
	ASSERT_NE(NULL, task);
	fence = npu_run_to_file(&self->e, self->e.ctx, task, BUSY);
	free(task);
	ASSERT_GE(fence, 0);
	ASSERT_EQ(0, dont_need(&self->e, bo, NULL));
	while (!npu_file_status(fence)) {
		bool there;

		EXPECT_EQ(0, npu_shrink());
		there = is_resident(&self->e, bo);
		if (npu_file_status(fence))
			break;
		wrong += !there;
		tries++;
	}
	EXPECT_GT(tries, 2) TH_LOG("too short to prove anything");
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	ASSERT_EQ(0, from_device(&self->e, &self->out));
	EXPECT_EQ(0, npu_pattern_wrong(self->out.map, NPU_COPY_MAX, 0));
	EXPECT_TRUE(purge(&self->e, bo)) TH_LOG("once it has ended");
	close(fence);
}

/*
 * Limits
 */

FIXTURE(limits)
{
	struct npu_env e;	/* that of a bystander */
	struct npu_work w;
};

FIXTURE_SETUP(limits)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 8));
}

FIXTURE_TEARDOWN(limits)
{
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	npu_env_close(&self->e);
}

/* A user of the system who has another process with other resident buffers */
static void lock_up_to_the_limit(void)
{
	uint32_t handle[5], flags = DRM_NPU_BO_RESIDENT;
	struct npu_env e, other;
	struct npu_bo bo;
	int n, dmabuf;

	NPU_CHECK(!npu_env_open(&e) && !npu_env_open(&other));
	NPU_CHECK(!npu_become_nobody(MIB));
	NPU_CHECK(npu_bo_create(e.fd, MIB + 4096, flags, 0, handle) == -EPERM);
	for (n = 0; n < 4; n++)
		NPU_CHECK(!npu_bo_create(n & 1 ? e.fd : other.fd, MIB / 4,
					 flags, 0, &handle[n]));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, e.vm, &handle[4]) == -EPERM);
	NPU_CHECK(npu_bo_create(other.fd, 1, flags, 0, &handle[4]) == -EPERM);
	NPU_CHECK(!npu_bo_create(e.fd, MIB, 0, 0, &handle[4]));

	/* What is used by anybody counts, in whatever way */
	dmabuf = npu_export(e.fd, handle[1]);
	NPU_CHECK(dmabuf >= 0);
	NPU_CHECK(!npu_gem_close(e.fd, handle[1]));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, 0, handle) == -EPERM);
	close(dmabuf);
	NPU_CHECK(!npu_bo_new(e.fd, MIB / 4, flags, e.vm, &bo));
	NPU_CHECK(!npu_map(e.fd, e.vm, &bo, 0));
	NPU_CHECK(!npu_gem_close(e.fd, bo.handle));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, 0, handle) == -EPERM);
	NPU_CHECK(!munmap(bo.map, bo.size));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, 0, handle) == -EPERM);
	NPU_CHECK(!npu_unmap(e.fd, e.vm, bo.va, bo.size));
	NPU_CHECK(!npu_bo_create(e.fd, MIB / 4, flags, 0, handle));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, 0, handle) == -EPERM);

	/* What was made through the other file goes with it */
	npu_env_close(&other);
	NPU_CHECK(!npu_bo_create(e.fd, MIB / 2, flags, 0, handle));
	NPU_CHECK(npu_bo_create(e.fd, 4096, flags, 0, handle) == -EPERM);
}

TEST_F(limits, resident_buffers_count_as_locked_memory)
{
	int n;

	for (n = 0; n < 3; n++) {	/* nothing remains of the one before */
		EXPECT_EQ(0, NPU_IN_CHILD(lock_up_to_the_limit()));
	}
}

static void lock_nothing(void)
{
	struct npu_env e;
	uint32_t handle;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_become_nobody(0));
	NPU_CHECK(npu_bo_create(e.fd, 4096, DRM_NPU_BO_RESIDENT, 0, &handle) ==
		  -EPERM);
	NPU_CHECK(!npu_bo_create(e.fd, 4096, 0, 0, &handle));
}

/* CAP_IPC_LOCK, which root has, knows no limit */
static void lock_as_root(void)
{
	struct rlimit none = { 0, 0 };
	struct npu_env e;
	struct npu_bo bo;

	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!setrlimit(RLIMIT_MEMLOCK, &none));
	NPU_CHECK(!new_bo(&e, MIB, DRM_NPU_BO_RESIDENT, 0, 5, &bo));
	NPU_CHECK(npu_shrink() == 0 && is_resident(&e, &bo));
}

TEST_F(limits, who_may_lock_nothing_makes_nothing_resident)
{
	EXPECT_EQ(0, NPU_IN_CHILD(lock_nothing()));
	EXPECT_EQ(0, NPU_IN_CHILD(lock_as_root()));
}

FIXTURE(memcg)
{
	struct npu_env e;	/* that of a bystander */
	struct npu_work w;
	struct npu_cgroup cg;
};

FIXTURE_SETUP(memcg)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (geteuid() || npu_cgroup_make(&self->cg, "memory", "memory"))
		SKIP(return, "needs root and the memory controller of cgroup v2");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 8));
}

FIXTURE_TEARDOWN(memcg)
{
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	npu_env_close(&self->e);
	EXPECT_EQ(0, npu_cgroup_drop(&self->cg));
}

/* 64 MiB and no swap: half of them twice, but not all of them twice */
static void use_too_much(const struct npu_cgroup *cg, uint32_t flags)
{
	struct npu_bo bo, more = { 0 };
	struct npu_cmds c;
	struct npu_env e;
	struct npu_work w;
	int n;

	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!npu_work_small(&e, &w, 9));
	NPU_CHECK(!new_bo(&e, 32 * MIB, flags, 0, 70, &bo));
	for (n = 0; n < 3; n++) {
		int ret = npu_bo_create(e.fd, 64 * MIB, flags, 0, &more.handle);

		more.size = 64 * MIB;
		if (!ret)
			ret = npu_map(e.fd, e.vm, &more, 0);
		NPU_CHECK(ret == -ENOMEM);
		if (more.handle)
			NPU_CHECK(!npu_gem_close(e.fd, more.handle));
		NPU_CHECK(!npu_work_run(&e, e.ctx, &w));
		NPU_CHECK(!npu_pattern_wrong(bo.map, bo.size, 70));
	}
	/* The memory of an attempt that failed is there for the next one */
	NPU_CHECK(!new_bo(&e, 16 * MIB, flags, e.vm, 71, &more));
	NPU_CHECK(npu_copy(&e, e.ctx, &c, bo.va, more.va, 16 * MIB) ==
		  NPU_DONE);
	NPU_CHECK(!from_device(&e, &bo));
	NPU_CHECK(!npu_pattern_wrong(bo.map, 16 * MIB, 71));
}

/* What processes had that are gone */
static bool cgroup_settles(const struct npu_cgroup *cg, uint64_t most)
{
	int64_t end = npu_now_ns() + 20000000000ll;

	while (npu_cgroup_value(cg, "memory.current", NULL) > (int64_t)most) {
		if (npu_now_ns() > end)
			return false;
		npu_sleep_ms(20);
	}
	return true;
}

TEST_F(memcg, over_the_limit_binding_fails_and_nobody_is_killed)
{
	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "memory.max", "%llu",
				    64 * MIB));
	npu_cgroup_set(&self->cg, "memory.swap.max", "0");
	EXPECT_EQ(0, NPU_IN_CHILD(use_too_much(&self->cg, 0)));
	EXPECT_EQ(0, NPU_IN_CHILD(use_too_much(&self->cg, DRM_NPU_BO_WC)));
	EXPECT_EQ(0, npu_cgroup_value(&self->cg, "memory.events", "oom_kill "));
	EXPECT_TRUE(cgroup_settles(&self->cg, 8 * MIB))
		TH_LOG("what they had was not given back");
}

/* The CPU has no other way to be told than SIGBUS */
static void touch_too_much(const struct npu_cgroup *cg)
{
	struct npu_env e;
	struct npu_bo bo;

	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_bo_new(e.fd, 128 * MIB, 0, 0, &bo));
	memset(bo.map, 1, bo.size);
	_exit(1);	/* it must not come here */
}

TEST_F(memcg, over_the_limit_the_cpu_gets_sigbus)
{
	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "memory.max", "%llu",
				    64 * MIB));
	npu_cgroup_set(&self->cg, "memory.swap.max", "0");
	EXPECT_EQ(-SIGBUS, NPU_IN_CHILD(touch_too_much(&self->cg)));
	EXPECT_EQ(0, npu_cgroup_value(&self->cg, "memory.events", "oom_kill "));
}

/* What is not there any more cannot be restored over the limit, but later */
static void restore_too_much(const struct npu_cgroup *cg)
{
	struct npu_env e, outside;
	struct npu_bo bo, out;
	struct npu_cmds c;

	NPU_CHECK(!npu_env_open(&outside));
	NPU_CHECK(!npu_cgroup_enter(cg));
	NPU_CHECK(!npu_env_open(&e));
	NPU_CHECK(!npu_cmds_new(&e, &c, NPU_COPY_CMDS));
	NPU_CHECK(!new_bo(&e, 32 * MIB, 0, e.vm, 72, &bo));
	NPU_CHECK(!new_bo(&e, SIZE, 0, 0, 73, &out));
	NPU_CHECK(evict(&e, &bo));
	NPU_CHECK(!npu_cgroup_set(cg, "memory.max", "%llu", 16 * MIB));
	NPU_CHECK(npu_copy(&e, e.ctx, &c, out.va, bo.va, SIZE) == -ENOMEM);
	NPU_CHECK(npu_copy(&e, e.ctx, &c, out.va, bo.va, SIZE) == -ENOMEM);
	NPU_CHECK(!npu_cgroup_set(cg, "memory.max", "%llu", 64 * MIB));
	NPU_CHECK(npu_copy(&e, e.ctx, &c, out.va, bo.va, SIZE) == NPU_DONE);
	NPU_CHECK(!from_device(&e, &out));
	NPU_CHECK(!npu_pattern_wrong(out.map, SIZE, 72));
	NPU_CHECK(!npu_pattern_wrong(bo.map, 32 * MIB, 72));
}

TEST_F(memcg, over_the_limit_a_submit_fails_and_can_be_repeated)
{
	if (npu_meminfo("SwapFree") < 64 * 1024)
		SKIP(return, "needs 64 MiB of swap");
	ASSERT_EQ(0, npu_cgroup_set(&self->cg, "memory.max", "%llu",
				    64 * MIB));
	EXPECT_EQ(0, NPU_IN_CHILD(restore_too_much(&self->cg)));
	EXPECT_EQ(0, npu_cgroup_value(&self->cg, "memory.events", "oom_kill "));
}

/*
 * Real pressure: more is bound than there is memory
 */

#define CLIENTS		3
#define PIECE		(8 * MIB)
#define MAX_PIECES	64
#define PART		(64 * KIB)

struct client {
	struct npu_env e;
	struct npu_cmds c;
	struct npu_work w;
	struct npu_bo piece[MAX_PIECES];
	struct npu_bo resident, out;
	unsigned int seed, count;
};

FIXTURE(pressure)
{
	struct npu_env e;
	long total;		/* KiB */
};

FIXTURE_SETUP(pressure)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	self->total = npu_meminfo("MemTotal");
	if (self->total > SMALL_MACHINE)
		SKIP(return, "needs a machine with less than 1280 MiB of memory");
	if (npu_meminfo("SwapFree") < self->total)
		SKIP(return, "needs as much swap as memory");
}

FIXTURE_TEARDOWN(pressure)
{
	npu_env_close(&self->e);
}

/* Binds its share of what does not fit */
static void client_open(struct client *cl, uint64_t share, unsigned int seed)
{
	unsigned int n;

	memset(cl, 0, sizeof(*cl));
	cl->seed = seed * 1000;
	cl->count = share / PIECE < MAX_PIECES ? share / PIECE : MAX_PIECES;
	NPU_CHECK(!npu_env_open(&cl->e));
	NPU_CHECK(!npu_cmds_new(&cl->e, &cl->c, NPU_COPY_CMDS));
	NPU_CHECK(!npu_work_matmul(&cl->e, &cl->w, 32, 64, 64, seed));
	NPU_CHECK(!new_bo(&cl->e, PIECE, DRM_NPU_BO_RESIDENT, 0, cl->seed,
			  &cl->resident));
	NPU_CHECK(!new_bo(&cl->e, PIECE, 0, 0, 0, &cl->out));
	for (n = 0; n < cl->count; n++)
		NPU_CHECK(!new_bo(&cl->e, PIECE, n & 2 ? DRM_NPU_BO_WC : 0,
				  n & 1 ? cl->e.vm : 0, cl->seed + 1 + n,
				  &cl->piece[n]));
}

static unsigned int client_evicted(struct client *cl)
{
	unsigned int n, count = 0;

	for (n = 0; n < cl->count; n++)
		count += npu_bo_residency(cl->e.fd, cl->piece[n].handle) ==
			 DRM_NPU_RESIDENCY_EVICTED;
	return count;
}

/* A part of each piece, which takes all to be there at the same time */
static void client_job(struct client *cl, unsigned int round, bool patient)
{
	struct drm_npu_task task[MAX_PIECES];
	unsigned int n;
	int ret;

	for (n = 0; n < cl->count; n++)
		NPU_CHECK(!npu_cmds_copy(&cl->e, &cl->c, cl->out.va + n * PART,
					 cl->piece[n].va + (n + round) * PART,
					 PART, &task[n]));
	memset(cl->out.map, NPU_CANARY, cl->out.size);
	NPU_CHECK(!to_device(&cl->e, &cl->out));
	do {
		ret = npu_run(&cl->e, cl->e.ctx, task, cl->count);
		if (ret == -ENOMEM && patient)
			npu_sleep_ms(50);	/* others need it now */
	} while (ret == -ENOMEM && patient);
	if (ret != NPU_DONE)
		printf("# client %u: %d\n", cl->seed, ret);
	NPU_CHECK(ret == NPU_DONE);
	NPU_CHECK(is_resident(&cl->e, &cl->resident));
	NPU_CHECK(!from_device(&cl->e, &cl->out));
	for (n = 0; n < cl->count; n++)
		NPU_CHECK(!memcmp(cl->out.map + n * PART,
				  cl->piece[n].map + (n + round) * PART, PART));
}

/* Every byte of all that is bound, as the CPU sees it */
static void client_check(struct client *cl)
{
	unsigned int n;

	NPU_CHECK(!npu_pattern_wrong(cl->resident.map, PIECE, cl->seed));
	for (n = 0; n < cl->count; n++)
		NPU_CHECK(!npu_pattern_wrong(cl->piece[n].map, PIECE,
					     cl->seed + 1 + n));
}

/*
 * The clients take turns: what one of them has bound fits, what two have does so
 * just about, and what all have does not
 */
static void client(unsigned int id, uint64_t share, int turn[][2], int told)
{
	unsigned int evicted;
	struct client cl;
	char c;

	NPU_CHECK(read(turn[id][0], &c, 1) == 1);
	client_open(&cl, share, id);
	NPU_CHECK(write(turn[(id + 1) % CLIENTS][1], &c, 1) == 1);
	NPU_CHECK(read(turn[id][0], &c, 1) == 1);
	NPU_CHECK(is_resident(&cl.e, &cl.resident));
	evicted = client_evicted(&cl);
	client_job(&cl, 0, false);
	NPU_CHECK(!npu_work_run(&cl.e, cl.e.ctx, &cl.w));
	client_check(&cl);
	NPU_CHECK(write(turn[(id + 1) % CLIENTS][1], &c, 1) == 1);
	NPU_CHECK(write(told, &evicted, sizeof(evicted)) == sizeof(evicted));
	_exit(0);
}

TEST_F_TIMEOUT(pressure, more_than_fits_is_bound_and_all_jobs_are_right, 300)
{
	uint64_t share = self->total * KIB * 9 / 20;
	uint64_t missing = CLIENTS * share - self->total * KIB;
	long out = npu_vmstat("pswpout"), in = npu_vmstat("pswpin");
	unsigned int n, evicted, all = 0;
	int turn[CLIENTS][2], told[2];
	pid_t pid[CLIENTS];

	ASSERT_EQ(0, pipe(told));
	for (n = 0; n < CLIENTS; n++) {
		ASSERT_EQ(0, pipe(turn[n]));
	}
	for (n = 0; n < CLIENTS; n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			client(n, share, turn, told[1]);
	}
	ASSERT_EQ(1, write(turn[0][1], "", 1));
	for (n = 0; n < CLIENTS; n++) {
		EXPECT_EQ(0, npu_child_result(pid[n])) TH_LOG("client %u", n);
	}
	close(told[1]);
	while (read(told[0], &evicted, sizeof(evicted)) == sizeof(evicted))
		all += evicted;
	/* Whatever is where, this much cannot be there */
	EXPECT_GT(all * PIECE, missing);
	out = npu_vmstat("pswpout") - out;
	in = npu_vmstat("pswpin") - in;
	printf("# %u pieces of 8 MiB evicted, %ld pages out, %ld in\n", all,
	       out, in);
	EXPECT_GT(out * 4096ull, missing);
	EXPECT_GT(in * 4096ull, missing);
}

/* No turns: who does not get the memory now gets -ENOMEM, and it later */
static void impatient_client(unsigned int id, uint64_t share)
{
	struct client cl;
	unsigned int n;

	client_open(&cl, share, id);
	for (n = 0; n < 2; n++)
		client_job(&cl, n, true);
	client_check(&cl);
	_exit(0);
}

TEST_F_TIMEOUT(pressure, clients_fight_for_memory_and_all_win, 300)
{
	uint64_t share = self->total * KIB * 2 / 5;
	pid_t pid[3];
	int n;

	for (n = 0; n < 3; n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			impatient_client(10 + n, share);
	}
	for (n = 0; n < 3; n++) {
		EXPECT_EQ(0, npu_child_result(pid[n])) TH_LOG("client %d", n);
	}
}

TEST_F_TIMEOUT(pressure, others_get_the_memory_of_idle_buffers, 300)
{
	uint64_t share = self->total * KIB * 2 / 5;
	struct client *cl = calloc(1, sizeof(*cl));
	struct npu_hog hog;

	ASSERT_NE(NULL, cl);
	client_open(cl, share, 20);
	ASSERT_EQ(0, npu_hog_start(&hog, self->total * KIB * 7 / 10));
	EXPECT_GT(client_evicted(cl), 0);
	EXPECT_TRUE(is_resident(&cl->e, &cl->resident));
	EXPECT_EQ(0, npu_pattern_wrong(cl->resident.map, PIECE, cl->seed));
	client_job(cl, 0, true);
	npu_hog_stop(&hog);
	client_job(cl, 1, false);
	client_check(cl);
	npu_env_close(&cl->e);
}

/* Throwing away is cheaper than swapping, so it comes first */
TEST_F_TIMEOUT(pressure, what_is_discardable_goes_first, 300)
{
	struct client *cl = calloc(1, sizeof(*cl));
	unsigned int n, purged = 0, kept = 0;
	uint32_t retained;
	struct npu_hog hog;

	ASSERT_NE(NULL, cl);
	client_open(cl, self->total * KIB * 2 / 5, 21);
	for (n = 0; n < cl->count; n += 2) {
		ASSERT_EQ(0, dont_need(&cl->e, &cl->piece[n], NULL));
	}
	ASSERT_EQ(0, npu_hog_start(&hog, self->total * KIB * 7 / 10));
	npu_hog_stop(&hog);
	for (n = 0; n < cl->count; n += 2) {
		struct npu_bo *bo = &cl->piece[n];
		int residency = npu_bo_residency(cl->e.fd, bo->handle);

		ASSERT_EQ(0, will_need(&cl->e, bo, &retained));
		EXPECT_EQ(residency != DRM_NPU_RESIDENCY_PURGED, retained);
		if (retained) {
			kept++;
			EXPECT_EQ(0, npu_pattern_wrong(bo->map, PIECE,
						       cl->seed + 1 + n));
			continue;
		}
		purged++;
		EXPECT_EQ(NPU_DONE, npu_copy(&cl->e, cl->e.ctx, &cl->c,
					     cl->out.va, bo->va, PIECE));
		EXPECT_EQ(0, npu_not_zero(cl->out.map, PIECE));
		EXPECT_EQ(0, npu_not_zero(bo->map, PIECE));
		npu_pattern_fill(bo->map, PIECE, cl->seed + 1 + n);
		ASSERT_EQ(0, to_device(&cl->e, bo));
	}
	printf("# %u purged, %u kept\n", purged, kept);
	EXPECT_GT(purged, 0);
	client_job(cl, 0, false);
	client_check(cl);
	npu_env_close(&cl->e);
}

/* What a single VM binds must fit, or its jobs do not run; nobody dies of it */
TEST_F_TIMEOUT(pressure, a_vm_that_does_not_fit_gets_enomem, 300)
{
	uint64_t size = 0, total = self->total * KIB;
	struct npu_work w, other;
	struct npu_env e, oe;
	struct npu_bo bo;
	int ret = 0;

	ASSERT_EQ(0, npu_env_open(&oe));
	ASSERT_EQ(0, npu_work_small(&oe, &other, 3));
	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_work_small(&e, &w, 4));
	while (size < total * 3 / 2) {
		ASSERT_EQ(0, npu_bo_create(e.fd, PIECE, 0, e.vm, &bo.handle));
		bo.size = PIECE;
		ret = npu_map(e.fd, e.vm, &bo, 0);
		if (ret)
			break;
		size += PIECE;
	}
	if (!ret)
		ret = npu_work_run(&e, e.ctx, &w);
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_GT(size, total / 3);
	EXPECT_EQ(0, npu_work_run(&oe, oe.ctx, &other));
	npu_env_close(&oe);
	npu_env_close(&e);
}

TEST_HARNESS_MAIN
