// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware that misbehaves on its own. Only an emulated machine does so on
 * request: it is told to spoil the first task of every core, and the variable
 * NPU_INJECTED says what the job's fence must then hold: a negative errno, or 1
 * for a job that is done all the same.
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
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 21));
}

FIXTURE_TEARDOWN(injected)
{
	npu_env_close(&self->e);
}

TEST_F(injected, only_the_job_that_was_spoilt_suffers)
{
	struct npu_env *e = &self->e;
	uint64_t left = e->info.core_mask;
	struct drm_npu_job_result r;
	struct drm_npu_ctx_query q;
	int error = self->expected < 0 ? self->expected : 0;
	uint32_t guilty, other, sync;
	unsigned int core;

	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(e->fd, e->vm, 1ull << core, &guilty));
		ASSERT_EQ(0, npu_ctx_create(e->fd, e->vm, 1ull << core, &other));
		ASSERT_EQ(0, npu_syncobj_create(e->fd, 0, &sync));
		ASSERT_EQ(0, npu_submit_work(e->fd, guilty, &self->w, sync));
		EXPECT_EQ(self->expected, npu_syncobj_status(e->fd, sync, 0))
			TH_LOG("core %u", core);
		ASSERT_EQ(0, npu_job_result(e->fd, guilty, 1, &r));
		EXPECT_EQ(DRM_NPU_JOB_ENDED, r.state);
		EXPECT_EQ(error, r.error);
		EXPECT_EQ(core, r.core);
		EXPECT_EQ(error ? 0 : 1, r.tasks_done);
		ASSERT_EQ(0, npu_ctx_query(e->fd, guilty, &q));
		EXPECT_EQ(error ? DRM_NPU_CTX_BANNED : DRM_NPU_CTX_READY,
			  q.state);
		EXPECT_EQ(error, q.fault_error);
		EXPECT_EQ(error ? 1 : 0, q.fault_job);
		EXPECT_EQ(0, npu_work_run(e, other, &self->w))
			TH_LOG("core %u does not work any more", core);
		npu_syncobj_destroy(e->fd, sync);
		npu_ctx_destroy(e->fd, guilty);
		npu_ctx_destroy(e->fd, other);
	}
}

TEST_HARNESS_MAIN
