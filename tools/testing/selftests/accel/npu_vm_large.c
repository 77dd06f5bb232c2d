// SPDX-License-Identifier: GPL-2.0-only
/*
 * More memory than the NPU can address, bound at the same time by one process:
 * over two address spaces, whose jobs alternate. Wants a machine that has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

#define VMS		2
#define WINDOWS		16		/* of each VM */
#define WINDOW		(256 * KIB)
#define SLACK		(512l * 1024)	/* KiB that must remain */

struct space {
	struct npu_env e;
	struct npu_cmds c;
	struct npu_bo big;	/* 2 GiB and a little, in one piece */
	struct npu_bo out;
};

struct spaces {
	struct npu_env e;
	struct space vm[VMS];
	uint64_t size;		/* of each large buffer */
	long shmem;		/* KiB, before there were any */
};

FIXTURE(large)
{
	struct spaces s;
};

FIXTURE_SETUP(large)
{
	struct spaces *all = &self->s;
	uint64_t range;
	int ret, n;

	all->shmem = npu_meminfo("Shmem");
	ret = npu_env_open(&all->e);
	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	range = all->e.info.va_end - all->e.info.va_start;
	if (range > 16 * GIB)
		SKIP(return, "one address space is enough for this machine");
	/* Together more than 4 GiB and more than one address space has */
	all->size = (range / VMS + 64 * MIB) & ~(2 * MIB - 1);
	if (all->size > all->e.info.max_bo_size)
		all->size = all->e.info.max_bo_size;
	if (npu_meminfo("MemAvailable") <
	    (long)(VMS * all->size / KIB) + SLACK)
		SKIP(return, "needs %llu MiB of free memory",
		     (unsigned long long)(VMS * all->size / MIB) +
		     SLACK / 1024);
	for (n = 0; n < VMS; n++) {
		struct space *s = &all->vm[n];

		s->e = all->e;
		ASSERT_EQ(0, npu_vm_create(s->e.fd, &s->e.vm));
		ASSERT_EQ(0, npu_ctx_create(s->e.fd, s->e.vm, 0, &s->e.ctx));
		ASSERT_EQ(0, npu_cmds_new(&s->e, &s->c, NPU_COPY_CMDS));
		ASSERT_EQ(0, npu_bo_new(s->e.fd, WINDOW, 0, s->e.vm, &s->out));
		ASSERT_EQ(0, npu_map(s->e.fd, s->e.vm, &s->out, 0));
		ASSERT_EQ(0, npu_bo_new(s->e.fd, all->size, DRM_NPU_BO_WC,
					n ? s->e.vm : 0, &s->big));
		/* To the last page of the address space, in both */
		s->big.va = s->e.info.va_end - all->size;
		ASSERT_EQ(0, npu_map_at(s->e.fd, s->e.vm, s->big.handle,
					s->big.va, all->size, 0, 0));
	}
}

FIXTURE_TEARDOWN(large)
{
	npu_env_close(&self->s.e);
}

/* From the first to the last page of a buffer, and over 2 GiB in between */
static uint64_t window(uint64_t size, unsigned int n)
{
	uint64_t at = (size - WINDOW) / (WINDOWS - 1) * n;

	return n == WINDOWS - 1 ? size - WINDOW : at & ~4095ull;
}

static void check_windows(struct __test_metadata *_metadata,
			  struct spaces *all)
{
	long there = npu_meminfo("Shmem") - all->shmem;
	uint64_t bound = VMS * all->size;
	unsigned int n, i, round;
	int ret;

	EXPECT_GT(bound, 4 * GIB);
	EXPECT_GE(there, (long)(bound / KIB)) TH_LOG("it is not really there");
	for (n = 0; n < VMS; n++) {
		EXPECT_EQ(DRM_NPU_RESIDENCY_RESIDENT,
			  npu_bo_residency(all->e.fd,
					   all->vm[n].big.handle));
	}

	/* The same addresses in both VMs, and different bytes behind them */
	for (i = 0; i < WINDOWS; i++) {
		for (n = 0; n < VMS; n++)
			npu_pattern_fill(all->vm[n].big.map +
					 window(all->size, i), WINDOW,
					 100 * n + i);
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < WINDOWS * VMS; i++) {
			struct space *s = &all->vm[i % VMS];
			unsigned int at = (i / VMS * 7 + round) % WINDOWS;

			ret = npu_copy(&s->e, s->e.ctx, &s->c, s->out.va,
				       s->big.va + window(all->size, at),
				       WINDOW);
			ASSERT_EQ(NPU_DONE, ret);
			npu_bo_sync(s->e.fd, &s->out, DRM_NPU_SYNC_FROM_DEVICE);
			EXPECT_EQ(0, npu_pattern_wrong(s->out.map, WINDOW,
						       100 * (i % VMS) + at))
				TH_LOG("VM %d, window %u", i % VMS, at);
		}
	}
}

/* A product of what lies at one end and in the middle goes to the other end */
static void check_products(struct __test_metadata *_metadata,
			   struct spaces *all)
{
	struct rknn_matmul op = { .m = 64, .k = 256, .n = 128 };
	size_t in = rknn_matmul_in_size(&op), wt = rknn_matmul_weight_size(&op);
	size_t out = rknn_matmul_out_size(&op), i;
	uint64_t mid = all->size / 2 & ~4095ull, end;
	uint8_t *expect[VMS], *copy = malloc(in + wt);
	struct rknn_stream stream = { .count = 0 };
	int fence[VMS], round, n;

	end = (all->size - out) & ~4095ull;
	op.in_va = all->vm[0].big.va;
	op.weight_va = all->vm[0].big.va + mid;
	op.out_va = all->vm[0].big.va + end;
	rknn_matmul_cmd(&stream, &op);
	for (n = 0; n < VMS; n++) {
		struct space *s = &all->vm[n];

		expect[n] = malloc(out);
		ASSERT_NE(NULL, expect[n]);
		npu_fill_random(copy, in, 10 + n);
		npu_fill_random(copy + in, wt, 20 + n);
		memcpy(s->big.map, copy, in);
		memcpy(s->big.map + mid, copy + in, wt);
		rknn_matmul_ref(&op, (int8_t *)copy, (int8_t *)copy + in,
				(int32_t *)expect[n]);
		memcpy(s->c.bo.map, stream.words, stream.count * 8);
	}
	EXPECT_NE(0, memcmp(expect[0], expect[1], out));
	for (round = 0; round < 8; round++) {
		for (n = 0; n < VMS; n++) {
			struct space *s = &all->vm[n];
			struct drm_npu_task task = {
				.cmd_va = s->c.bo.va,
				.cmd_size = stream.count * 8,
			};

			memset(s->big.map + end, NPU_CANARY, out);
			fence[n] = npu_run_to_file(&s->e, s->e.ctx, &task, 1);
			ASSERT_GE(fence[n], 0);
		}
		for (n = 0; n < VMS; n++) {
			EXPECT_EQ(NPU_DONE, npu_file_wait(fence[n],
							  NPU_PATIENCE_MS));
			close(fence[n]);
			EXPECT_EQ(0, memcmp(all->vm[n].big.map + end,
					    expect[n], out))
				TH_LOG("VM %d, round %d", n, round);
		}
	}
	/* The memory between them is as it was made: zero */
	for (n = 0; n < VMS; n++) {
		for (i = 1; i < 32; i++) {
			EXPECT_EQ(0, npu_not_zero(all->vm[n].big.map +
						  (mid / 32 & ~4095ull) * i,
						  WINDOW));
		}
		free(expect[n]);
	}
	free(copy);
}

/* One test, since the memory takes longer to get than to use */
TEST_F_TIMEOUT(large, jobs_alternate_between_more_than_can_be_addressed, 280)
{
	check_windows(_metadata, &self->s);
	check_products(_metadata, &self->s);
}

TEST_HARNESS_MAIN
