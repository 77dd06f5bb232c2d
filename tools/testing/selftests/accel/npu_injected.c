// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware that misbehaves on its own. Only an emulated machine does so on
 * request: it is told to spoil the first task of every core, and the variable
 * NPU_INJECTED says what the job's fence must then hold: a negative errno, or 1
 * for a job that is done all the same. See scripts/test-injected.
 */
#include <errno.h>
#include <stdlib.h>

#include "kselftest_harness.h"
#include "npu_test.h"

FIXTURE(injected)
{
	struct npu_env e;
	struct npu_work w;
	int expected;
};

FIXTURE_SETUP(injected)
{
	const char *expected = getenv("NPU_INJECTED");
	int ret;

	if (!expected)
		SKIP(return, "NPU_INJECTED is not set: nothing is injected");
	self->expected = atoi(expected);
	ret = npu_env_open(&self->e);
	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	/* 30 us or more of the hardware's time, and more of an emulator's */
	ASSERT_EQ(0, npu_work_matmul(&self->e, &self->w, 64, 512, 512, 21));
}

FIXTURE_TEARDOWN(injected)
{
	npu_env_close(&self->e);
}

struct pair {
	uint32_t guilty, other;		/* contexts */
	uint32_t sync[2];
};

/* A job that is going to be spoilt, and one that waits for the same core */
static int submit_pair(struct npu_env *e, struct pair *p, struct npu_work *w,
		       struct npu_work *next, unsigned int core)
{
	struct drm_npu_job_result r;
	int ret;

	ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &p->guilty);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &p->other);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &p->sync[0]);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &p->sync[1]);
	if (!ret)
		ret = npu_work_arm(e, w);
	if (!ret)
		ret = npu_work_arm(e, next);
	if (!ret)
		ret = npu_submit_work(e->fd, p->guilty, w, p->sync[0]);
	/* Contexts have no order */
	if (!ret)
		ret = npu_job_wait(e->fd, p->guilty, 1, DRM_NPU_JOB_RUNNING, &r);
	if (!ret)
		ret = npu_submit_work(e->fd, p->other, next, p->sync[1]);
	return ret;
}

static void free_pair(struct npu_env *e, struct pair *p)
{
	npu_syncobj_destroy(e->fd, p->sync[0]);
	npu_syncobj_destroy(e->fd, p->sync[1]);
	npu_ctx_destroy(e->fd, p->guilty);
	npu_ctx_destroy(e->fd, p->other);
}

/*
 * The other job is started as soon as the first is over, whatever is still on its
 * way from there. What comes later than the fence of the first one would be found
 * in its buffer.
 */
TEST_F(injected, only_the_job_that_was_spoilt_suffers)
{
	struct npu_env *e = &self->e;
	uint64_t left = e->info.core_mask;
	struct drm_npu_job_result r;
	struct drm_npu_ctx_query q;
	int error = self->expected < 0 ? self->expected : 0;
	struct npu_work next;
	unsigned int core;
	struct pair p;

	ASSERT_EQ(0, npu_work_matmul(e, &next, 64, 512, 512, 22));
	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, submit_pair(e, &p, &self->w, &next, core));
		EXPECT_EQ(self->expected, npu_syncobj_status(e->fd, p.sync[0], 0))
			TH_LOG("core %u", core);
		if (error) {
			ASSERT_EQ(0, npu_work_arm(e, &self->w));
		} else {
			EXPECT_EQ(0, npu_work_check(e, &self->w));
		}
		ASSERT_EQ(0, npu_job_result(e->fd, p.guilty, 1, &r));
		EXPECT_EQ(DRM_NPU_JOB_ENDED, r.state);
		EXPECT_EQ(error, r.error);
		EXPECT_EQ(core, r.core);
		EXPECT_EQ(error ? 0 : 1, r.tasks_done);
		ASSERT_EQ(0, npu_ctx_query(e->fd, p.guilty, &q));
		EXPECT_EQ(error ? DRM_NPU_CTX_BANNED : DRM_NPU_CTX_READY,
			  q.state);
		EXPECT_EQ(error, q.fault_error);
		EXPECT_EQ(error ? 1 : 0, q.fault_job);

		EXPECT_EQ(NPU_DONE, npu_syncobj_status(e->fd, p.sync[1], 0))
			TH_LOG("core %u: who came next", core);
		EXPECT_EQ(0, npu_work_check(e, &next))
			TH_LOG("core %u: bytes of who came next", core);
		EXPECT_EQ(0, npu_work_run(e, p.other, &next))
			TH_LOG("core %u does not work any more", core);
		if (error) {
			npu_sleep_ms(20);
			EXPECT_EQ(0, npu_work_check_untouched(e, &self->w))
				TH_LOG("core %u wrote after its fence", core);
		}
		free_pair(e, &p);
	}
}

/* Jobs that end at the very moment when the watchdog comes: one way or the other */
TEST_F(injected, an_interrupt_may_race_the_timeout)
{
	struct npu_env *e = &self->e;
	struct drm_npu_ctx_create arg = { .vm_id = e->vm };
	struct drm_npu_job_result r;
	int ended[2] = { 0 };	/* in time, too late */
	int n;

	if (!getenv("NPU_INJECTED_RACE"))
		SKIP(return, "NPU_INJECTED_RACE is not set: nobody is late");
	for (n = 0; n < 160; n++) {
		arg.core_mask = 1ull << npu_first_core(e);
		arg.timeout_ms = e->info.min_timeout_ms + n % 20;
		ASSERT_EQ(0, npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg));
		ASSERT_EQ(0, npu_work_arm(e, &self->w));
		ASSERT_EQ(0, npu_submit_work(e->fd, arg.ctx_id, &self->w, 0));
		ASSERT_EQ(0, npu_job_wait(e->fd, arg.ctx_id, 1,
					  DRM_NPU_JOB_ENDED, &r));
		ASSERT_TRUE(r.error == 0 || r.error == -ETIME);
		ASSERT_EQ(r.error ? 0 : 1, r.tasks_done);
		if (!r.error)
			ASSERT_EQ(0, npu_work_check(e, &self->w));
		ended[!!r.error]++;
		npu_ctx_destroy(e->fd, arg.ctx_id);
		ASSERT_EQ(0, npu_work_run(e, e->ctx, &self->w)) TH_LOG("%d", n);
	}
	printf("# %d jobs in time, %d too late\n", ended[0], ended[1]);
	EXPECT_GT(ended[0], 0);
	EXPECT_GT(ended[1], 0);
}

/*
 * The first core is beyond recovery, because its power domain is not allowed to go
 * off: its jobs run elsewhere.
 */
TEST_F(injected, a_core_that_nothing_frees_is_given_up)
{
	struct npu_env *e = &self->e;
	struct drm_npu_device_info info;
	struct drm_npu_job_result r;
	struct pair p;
	uint64_t left;
	unsigned int core;
	uint32_t ctx;

	if (!getenv("NPU_INJECTED_DEAD"))
		SKIP(return, "NPU_INJECTED_DEAD is not set: every core recovers");
	ASSERT_EQ(0, submit_pair(e, &p, &self->w, &self->w, 0));
	EXPECT_EQ(-ETIME, npu_syncobj_status(e->fd, p.sync[0], 0));
	EXPECT_EQ(-ENODEV, npu_syncobj_status(e->fd, p.sync[1], 0))
		TH_LOG("there is no other core for it");
	ASSERT_EQ(0, npu_query(e->fd, DRM_NPU_QUERY_DEVICE, &info, sizeof(info)));
	EXPECT_EQ(e->info.core_mask & ~1ull, info.core_mask);
	ASSERT_EQ(0, npu_job_result(e->fd, p.guilty, 1, &r));
	EXPECT_EQ(0, r.core);
	EXPECT_EQ(-EINVAL, npu_ctx_create(e->fd, e->vm, 1, &ctx));
	free_pair(e, &p);

	/* The others are spoilt, too, but once only */
	for (left = info.core_mask; left;) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, submit_pair(e, &p, &self->w, &self->w, core));
		EXPECT_EQ(-ETIME, npu_syncobj_status(e->fd, p.sync[0], 0));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(e->fd, p.sync[1], 0));
		free_pair(e, &p);
	}
	ASSERT_EQ(0, npu_ctx_create(e->fd, e->vm, 0, &ctx));
	EXPECT_EQ(0, npu_work_run(e, ctx, &self->w));
}

TEST_HARNESS_MAIN
