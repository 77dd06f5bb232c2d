// SPDX-License-Identifier: GPL-2.0-only
/* Contexts: CTX_CREATE, CTX_DESTROY, order inside one, concurrency of several. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "npu_test.h"

NPU_FIXTURE(ctx)

static int create(struct npu_env *e, uint32_t sched_class, int32_t priority,
		  uint64_t core_mask)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm,
		.sched_class = sched_class,
		.priority = priority,
		.core_mask = core_mask,
		.ctx_id = 0xcccccccc,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	if (!ret)
		npu_ctx_destroy(e->fd, arg.ctx_id);
	return ret;
}

TEST_F(ctx, identifiers_are_distinct_and_not_zero)
{
	uint32_t id[4];
	int i, j;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &id[i]));
		EXPECT_NE(0, id[i]);
		EXPECT_NE(self->e.ctx, id[i]);
		for (j = 0; j < i; j++) {
			EXPECT_NE(id[j], id[i]);
		}
	}
}

TEST_F(ctx, unknown_identifiers_are_refused)
{
	uint32_t bad[] = { 0, self->e.ctx + 1, 0x7fffffff, ~0u };
	struct npu_env other;
	struct npu_work w;
	uint32_t ctx;
	size_t n;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 1));
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, npu_ctx_destroy(self->e.fd, bad[n]));
		EXPECT_EQ(-ENOENT, npu_submit_work(self->e.fd, bad[n], &w, 0));
		EXPECT_EQ(-ENOENT, npu_ctx_create(self->e.fd, bad[n] ?
						  bad[n] + 64 : 0, 0, &ctx));
	}
	ASSERT_EQ(0, npu_env_open_plain(&other));
	EXPECT_EQ(-ENOENT, npu_ctx_destroy(other.fd, self->e.ctx));
	EXPECT_EQ(-ENOENT, npu_submit_work(other.fd, self->e.ctx, &w, 0));
	EXPECT_EQ(-ENOENT, npu_ctx_create(other.fd, self->e.vm, 0, &ctx));
	npu_env_close(&other);
	EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, self->e.ctx));
	EXPECT_EQ(-ENOENT, npu_ctx_destroy(self->e.fd, self->e.ctx));
	EXPECT_EQ(-ENOENT, npu_submit_work(self->e.fd, self->e.ctx, &w, 0));
}

TEST_F(ctx, classes_and_priorities_are_checked)
{
	int32_t prio;
	uint32_t class;

	for (class = 0; class < 3; class++) {
		for (prio = -1; prio <= 1; prio++) {
			EXPECT_EQ(0, create(&self->e, class, prio, 0));
		}
	}
	EXPECT_EQ(-EINVAL, create(&self->e, 3, 0, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, 0x80000000, 0, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, ~0u, 0, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, 0, 2, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, 0, -2, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, 0, INT_MIN, 0));
	EXPECT_EQ(-EINVAL, create(&self->e, 0, INT_MAX, 0));
}

TEST_F(ctx, what_is_above_normal_needs_a_capability)
{
	ASSERT_EQ(0, npu_drop_nice());
	EXPECT_EQ(-EACCES, create(&self->e, DRM_NPU_CLASS_LATENCY, 0, 0));
	EXPECT_EQ(-EACCES, create(&self->e, 0, DRM_NPU_PRIORITY_HIGH, 0));
	EXPECT_EQ(-EACCES, create(&self->e, DRM_NPU_CLASS_THROUGHPUT,
				  DRM_NPU_PRIORITY_HIGH, 0));
	EXPECT_EQ(0, create(&self->e, DRM_NPU_CLASS_BALANCED,
			    DRM_NPU_PRIORITY_NORMAL, 0));
	EXPECT_EQ(0, create(&self->e, DRM_NPU_CLASS_THROUGHPUT,
			    DRM_NPU_PRIORITY_LOW, 0));
}

TEST_F(ctx, the_core_mask_needs_a_usable_core)
{
	uint64_t cores = self->e.info.core_mask;
	unsigned int core;
	uint64_t left;

	EXPECT_EQ(0, create(&self->e, 0, 0, 0));
	EXPECT_EQ(0, create(&self->e, 0, 0, ~0ull));
	for (left = cores; left;) {
		left = npu_next_core(left, &core);
		EXPECT_EQ(0, create(&self->e, 0, 0, 1ull << core));
		EXPECT_EQ(0, create(&self->e, 0, 0, 1ull << core | 1ull << 63));
	}
	for (core = self->e.info.num_cores; core < 64; core++) {
		EXPECT_EQ(-EINVAL, create(&self->e, 0, 0, 1ull << core));
	}
	if (~cores) {
		EXPECT_EQ(-EINVAL, create(&self->e, 0, 0, ~cores));
	}
}

TEST_F(ctx, a_file_may_have_max_ctxs)
{
	uint32_t max = self->e.info.max_ctxs, n, id;
	uint32_t *ids = calloc(max, sizeof(*ids));

	ASSERT_NE(NULL, ids);
	for (n = 1; n < max; n++) {	/* the fixture has one already */
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
					    &ids[n]));
	}
	EXPECT_EQ(-ENOSPC, npu_ctx_create(self->e.fd, self->e.vm, 0, &id));
	EXPECT_EQ(-ENOSPC, npu_ctx_create(self->e.fd, self->e.vm, 0, &id));
	ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ids[max - 1]));
	EXPECT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &id));
	EXPECT_EQ(-ENOSPC, npu_ctx_create(self->e.fd, self->e.vm, 0, &ids[0]));
	free(ids);
}

TEST_F(ctx, files_open_and_close_without_end)
{
	struct npu_env e;
	int i;

	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, npu_env_open(&e));
		npu_env_close(&e);
	}
}

TEST_F(ctx, every_core_computes_the_same)
{
	unsigned int core;
	struct npu_work w;
	uint64_t left;
	uint32_t ctx;
	int i;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 32, 128, 64, 3));
	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		for (i = 0; i < 4; i++) {
			EXPECT_EQ(0, npu_work_run(&self->e, ctx, &w))
				TH_LOG("core %u", core);
		}
		EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
	}
}

TEST_F(ctx, jobs_run_in_the_order_of_their_submits)
{
	enum { JOBS = 40 };
	struct npu_work w[JOBS];
	uint32_t sync;
	int i, n;

	ASSERT_EQ(0, npu_work_chain(&self->e, w, JOBS, 100));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	for (i = 0; i < 5; i++) {
		for (n = 0; n < JOBS; n++) {
			ASSERT_EQ(0, npu_work_arm(&self->e, &w[n]));
		}
		for (n = 0; n < JOBS; n++) {
			ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx,
						     &w[n], sync));
		}
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
		for (n = 0; n < JOBS; n++) {
			EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
		}
	}
}

TEST_F(ctx, jobs_finish_in_the_order_of_their_submits)
{
	enum { JOBS = 8 };
	struct npu_work w;
	uint32_t sync[JOBS];
	int i, n;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 256, 256, 9));
	for (n = 0; n < JOBS; n++) {
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[n]));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &w,
					     sync[n]));
	}
	for (n = JOBS - 1; n >= 0; n -= 3) {
		ASSERT_EQ(0, npu_syncobj_wait(self->e.fd, sync[n], 0,
					      NPU_PATIENCE_MS));
		for (i = 0; i < n; i++) {
			EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, sync[i], 0,
						      0));
		}
	}
}

TEST_F(ctx, queued_jobs_run_after_their_context_is_destroyed)
{
	struct drm_npu_task *tasks;
	uint32_t sync, count;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 32, 128, 64, 4));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w, 50, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_work_arm(&self->e, &w));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, tasks, count,
				      0));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &w, sync));
	EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, self->e.ctx));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	free(tasks);
}

/* All cores but one are kept busy by jobs that never end by themselves */
TEST_F(ctx, contexts_of_one_file_run_at_the_same_time)
{
	unsigned int core, blocked = 0;
	struct npu_work w, hang;
	uint32_t sync[64], ctx;
	uint64_t left;
	unsigned int i;

	if (!(self->e.info.core_mask & (self->e.info.core_mask - 1)))
		SKIP(return, "only one core");
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 5));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (left = self->e.info.core_mask; left & (left - 1);) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0,
						&sync[blocked]));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &hang,
					     sync[blocked++]));
	}
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	}
	for (i = 0; i < blocked; i++) {
		EXPECT_EQ(-ETIME, npu_syncobj_wait(self->e.fd, sync[i], 0, 0))
			TH_LOG("the others had to wait for the hang");
	}
	for (i = 0; i < blocked; i++) {
		EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, sync[i], 0));
	}
}

/* A context bound to one core waits for it even when others are idle */
TEST_F(ctx, the_core_mask_is_kept)
{
	unsigned int core = npu_first_core(&self->e);
	uint32_t blocker, ctx, sync[2];
	struct npu_work w, hang;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 6));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core,
				    &blocker));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core,
				    &ctx));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[0]));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[1]));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, blocker, &hang, sync[0]));
	npu_sleep_ms(20);	/* on the core before the other comes */
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &w, sync[1]));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync[1], 0));
	EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, sync[0], 0,
				      self->e.info.timeout_ms / 4))
		TH_LOG("the job ran beside the one that had its core");
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
}

TEST_F(ctx, every_class_gets_its_work_done)
{
	struct drm_npu_ctx_create arg = { .vm_id = self->e.vm };
	struct npu_work w[9];
	uint32_t sync[9];
	int n;

	for (n = 0; n < 9; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], 200 + n));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[n]));
		arg.sched_class = n / 3;
		arg.priority = n % 3 - 1;
		ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_CTX_CREATE,
				       &arg));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, arg.ctx_id, &w[n],
					     sync[n]));
	}
	for (n = 0; n < 9; n++) {
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync[n], 0));
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
	}
}

TEST_HARNESS_MAIN
