// SPDX-License-Identifier: GPL-2.0-only
/* Explicit fences of jobs: binary and timeline syncobjs, sync files. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "npu_test.h"

FIXTURE(sync)
{
	struct npu_env e;
	struct npu_work w;
	uint32_t a, b;		/* syncobjs without a fence */
};

FIXTURE_SETUP(sync)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 11));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->a));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->b));
}

FIXTURE_TEARDOWN(sync)
{
	npu_env_close(&self->e);
}

static struct drm_npu_sync wait_for(uint32_t handle, uint64_t point)
{
	return (struct drm_npu_sync){
		.handle = handle,
		.flags = DRM_NPU_SYNC_WAIT,
		.point = point,
	};
}

static struct drm_npu_sync signal_to(uint32_t handle, uint64_t point)
{
	return (struct drm_npu_sync){
		.handle = handle,
		.flags = DRM_NPU_SYNC_SIGNAL,
		.point = point,
	};
}

/* One job of one task with these fences */
static int submit(struct npu_env *e, uint32_t ctx, struct npu_work *w,
		  struct drm_npu_sync *syncs, uint32_t count)
{
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(&w->task, 1),
		.syncs = NPU_ARRAY(syncs, count),
	};

	return npu_submit(e->fd, ctx, &job, 1);
}

TEST_F(sync, a_binary_syncobj_is_signalled_when_the_output_is_there)
{
	struct drm_npu_sync s = signal_to(self->a, 0);
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, &s, 1));
		ASSERT_EQ(0, npu_syncobj_wait(self->e.fd, self->a, 0,
					      NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	}
}

TEST_F(sync, timeline_points_are_signalled_one_by_one)
{
	uint64_t points[] = { 1, 2, 10, 0x100000000, 0x7fffffffffffffff };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(points); n++) {
		struct drm_npu_sync s = signal_to(self->a, points[n]);

		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, &s, 1));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->a,
						       points[n]));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
		EXPECT_NE(0, npu_syncobj_wait(self->e.fd, self->a,
					      points[n] + 1, 1));
	}
}

TEST_F(sync, one_job_signals_several)
{
	struct drm_npu_sync s[] = {
		signal_to(self->a, 0),
		signal_to(self->b, 5),
	};

	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 2));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->a, 0));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->b, 5));
}

TEST_F(sync, a_signalled_syncobj_holds_nothing_up)
{
	struct drm_npu_sync s[2];
	uint32_t done;

	ASSERT_EQ(0, npu_syncobj_create(self->e.fd,
					DRM_SYNCOBJ_CREATE_SIGNALED, &done));
	s[0] = wait_for(done, 0);
	s[1] = signal_to(self->a, 0);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 2));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->a, 0));
}

TEST_F(sync, fences_that_do_not_exist_yet_are_refused)
{
	struct drm_npu_sync s = wait_for(self->a, 0);
	struct drm_npu_sync t;

	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s, 1));
	s = wait_for(self->a, 7);
	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s, 1));
	t = signal_to(self->a, 6);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, &t, 1));
	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s, 1))
		TH_LOG("the timeline has not reached the point");
	s = wait_for(self->a, 6);
	EXPECT_EQ(0, submit(&self->e, self->e.ctx, &self->w, &s, 1));
}

TEST_F(sync, syncobjs_must_exist_and_be_ours)
{
	uint32_t bad[] = { 0, self->b + 1, 0x7fffffff, ~0u };
	struct npu_env other;
	struct npu_work w;
	struct drm_npu_sync s;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		s = wait_for(bad[n], 0);
		EXPECT_EQ(-ENOENT, submit(&self->e, self->e.ctx, &self->w, &s,
					  1));
		s = signal_to(bad[n], 0);
		EXPECT_EQ(-ENOENT, submit(&self->e, self->e.ctx, &self->w, &s,
					  1));
		s = signal_to(bad[n], 9);
		EXPECT_EQ(-ENOENT, submit(&self->e, self->e.ctx, &self->w, &s,
					  1));
	}
	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&other, &w, 1));
	s = signal_to(self->b, 0);
	EXPECT_EQ(-ENOENT, submit(&other, other.ctx, &w, &s, 1));
	npu_env_close(&other);
}

TEST_F(sync, flags_name_exactly_one_direction)
{
	struct drm_npu_sync s = signal_to(self->a, 0);
	int bit;

	s.flags = 0;
	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s, 1));
	s.flags = DRM_NPU_SYNC_WAIT | DRM_NPU_SYNC_SIGNAL;
	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s, 1));
	for (bit = 2; bit < 32; bit++) {
		s.flags = DRM_NPU_SYNC_SIGNAL | 1u << bit;
		EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s,
					  1));
		s.flags = 1u << bit;
		EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, &s,
					  1));
	}
}

TEST_F(sync, a_refused_submit_leaves_syncobjs_alone)
{
	struct drm_npu_sync s[] = {
		signal_to(self->a, 0),
		wait_for(self->b, 0),	/* has no fence */
	};

	EXPECT_EQ(-EINVAL, submit(&self->e, self->e.ctx, &self->w, s, 2));
	EXPECT_EQ(-EINVAL, npu_syncobj_wait(self->e.fd, self->a, 0, 1))
		TH_LOG("a fence was put into the syncobj");
}

TEST_F(sync, max_syncs_and_no_more)
{
	uint32_t max = self->e.info.max_syncs, n;
	uint32_t counts[] = { max + 1, 0x10000000, 0x80000000, ~0u };
	struct drm_npu_sync *s = calloc(max + 1, sizeof(*s));
	size_t c;

	ASSERT_NE(NULL, s);
	s[0] = signal_to(self->a, 0);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 1));
	for (n = 0; n < max; n++)
		s[n] = wait_for(self->a, 0);
	s[max - 1] = signal_to(self->b, 0);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, max));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->b, 0));
	s[max] = signal_to(self->b, 0);
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		EXPECT_EQ(-E2BIG, submit(&self->e, self->e.ctx, &self->w, s,
					 counts[c]));
	}
	free(s);
}

/*
 * The second job adds something to the output of the first. It would finish
 * early if it did not wait: it is small, on another core, and its input only
 * comes to be at the end of a long job.
 */
struct chain {
	struct npu_work first, second;
	struct drm_npu_task *tasks;
	uint32_t count;
	uint32_t ctx[2];
};

static int chain_setup(struct npu_env *e, struct chain *c)
{
	struct rknn_ew shape = { .op = RKNN_EW_ADD, .w = 16, .h = 16 };
	unsigned int core = npu_first_core(e);
	uint64_t rest = e->info.core_mask & (e->info.core_mask - 1);
	size_t i, size = rknn_ew_size(&shape);
	int ret;

	ret = npu_work_ew(e, &c->first, &shape, 61);
	if (!ret)
		ret = npu_work_ew(e, &c->second, &shape, 62);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &c->ctx[0]);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, rest, &c->ctx[1]);
	if (!ret)
		ret = npu_long_tasks(e, c->ctx[0], &c->first, 100, &c->count);
	if (ret)
		return ret;
	rknn_patch(&c->second.stream, 0x5018, c->first.bo[NPU_OUT].va);
	for (i = 0; i < size; i++) {
		int sum = (int8_t)c->first.expect[i] +
			  (int8_t)c->second.bo[NPU_AUX].map[i];

		c->second.expect[i] = sum > 127 ? 127 : sum < -128 ? -128 : sum;
	}
	c->tasks = npu_repeat(&c->first, c->count);
	ret = npu_work_stream(e, &c->second);
	if (!ret)
		ret = npu_work_arm(e, &c->first);
	if (!ret)
		ret = npu_work_arm(e, &c->second);
	return c->tasks ? ret : -ENOMEM;
}

TEST_F(sync, jobs_of_other_contexts_wait_for_binary_fences)
{
	struct drm_npu_sync s[2];
	struct chain c;

	ASSERT_EQ(0, chain_setup(&self->e, &c));
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, c.ctx[0], c.tasks, c.count,
				      self->a));
	s[0] = wait_for(self->a, 0);
	s[1] = signal_to(self->b, 0);
	ASSERT_EQ(0, submit(&self->e, c.ctx[1], &c.second, s, 2));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->b, 0));
	EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, self->a, 0, 0))
		TH_LOG("the second job ended before the first");
	EXPECT_EQ(0, npu_work_check(&self->e, &c.first));
	EXPECT_EQ(0, npu_work_check(&self->e, &c.second));
}

TEST_F(sync, jobs_of_other_contexts_wait_for_timeline_points)
{
	struct drm_npu_sync s[2], t = signal_to(self->a, 40);
	struct drm_npu_job job;
	struct chain c;

	ASSERT_EQ(0, chain_setup(&self->e, &c));
	job = (struct drm_npu_job){
		.tasks = NPU_ARRAY(c.tasks, c.count),
		.syncs = NPU_ARRAY(&t, 1),
	};
	ASSERT_EQ(0, npu_submit(self->e.fd, c.ctx[0], &job, 1));
	s[0] = wait_for(self->a, 40);
	s[1] = signal_to(self->b, 41);
	ASSERT_EQ(0, submit(&self->e, c.ctx[1], &c.second, s, 2));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->b, 41));
	EXPECT_EQ(0, npu_work_check(&self->e, &c.first));
	EXPECT_EQ(0, npu_work_check(&self->e, &c.second));
}

TEST_F(sync, a_job_waits_for_one_of_the_same_call)
{
	struct drm_npu_sync first = signal_to(self->a, 3);
	struct drm_npu_sync second[] = {
		wait_for(self->a, 3),
		signal_to(self->b, 0),
	};
	struct drm_npu_job jobs[] = {
		{
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = NPU_ARRAY(&first, 1),
		}, {
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = NPU_ARRAY(second, 2),
		},
	};

	ASSERT_EQ(0, npu_submit(self->e.fd, self->e.ctx, jobs, 2));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->b, 0));
	EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, self->a, 3, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
}

TEST_F(sync, a_job_cannot_wait_for_a_later_one_of_the_same_call)
{
	struct drm_npu_sync first = wait_for(self->a, 0);
	struct drm_npu_sync second = signal_to(self->a, 0);
	struct drm_npu_job jobs[] = {
		{
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = NPU_ARRAY(&first, 1),
		}, {
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = NPU_ARRAY(&second, 1),
		},
	};

	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, jobs, 2));
	EXPECT_EQ(-EINVAL, npu_syncobj_wait(self->e.fd, self->a, 0, 1));
}

TEST_F(sync, a_job_may_wait_for_and_replace_the_same_fence)
{
	struct drm_npu_sync s[2];
	int i;

	s[0] = signal_to(self->a, 0);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 1));
	s[0] = wait_for(self->a, 0);
	s[1] = signal_to(self->a, 0);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 2));
	}
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->a, 0));
}

static int share_syncobj(int from, uint32_t handle, int to, uint32_t *result)
{
	struct drm_syncobj_handle h = { .handle = handle, .fd = -1 };
	int ret = npu_ioctl(from, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &h);

	if (ret)
		return ret;
	h.handle = 0;
	ret = npu_ioctl(to, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h);
	close(h.fd);
	*result = h.handle;
	return ret;
}

TEST_F(sync, files_wait_for_each_other_through_a_shared_syncobj)
{
	struct npu_env other;
	struct drm_npu_sync s[2];
	struct npu_work w;
	uint32_t theirs, done;
	int i;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&other, &w, 71));
	ASSERT_EQ(0, share_syncobj(self->e.fd, self->a, other.fd, &theirs));
	ASSERT_EQ(0, npu_syncobj_create(other.fd, 0, &done));
	for (i = 1; i < 10; i++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		ASSERT_EQ(0, npu_work_arm(&other, &w));
		s[0] = signal_to(self->a, i);
		ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 1));
		s[0] = wait_for(theirs, i);
		s[1] = signal_to(done, 0);
		ASSERT_EQ(0, submit(&other, other.ctx, &w, s, 2));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(other.fd, done, 0));
		EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, self->a, i, 0));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
		EXPECT_EQ(0, npu_work_check(&other, &w));
	}
	npu_env_close(&other);
}

TEST_F(sync, sync_files_tell_how_a_job_ended)
{
	struct drm_npu_sync s = signal_to(self->a, 0);
	int fd;

	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, &s, 1));
	fd = npu_syncobj_to_file(self->e.fd, self->a, 0);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fd, NPU_PATIENCE_MS));
	close(fd);
}

TEST_F(sync, a_fence_survives_its_syncobj_context_and_file)
{
	struct npu_env other;
	struct npu_work w;
	uint32_t sync;
	int fd, status;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_small(&other, &w, 72));
	ASSERT_EQ(0, npu_syncobj_create(other.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_work(other.fd, other.ctx, &w, sync));
	fd = npu_syncobj_to_file(other.fd, sync, 0);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, npu_syncobj_destroy(other.fd, sync));
	EXPECT_EQ(0, npu_ctx_destroy(other.fd, other.ctx));
	npu_env_close(&other);
	status = npu_file_wait(fd, NPU_PATIENCE_MS);
	EXPECT_TRUE(status == NPU_DONE || status == -ECANCELED);
	close(fd);
}

/* What follows a failed job must not wait for ever */
TEST_F(sync, a_failed_fence_still_lets_others_go_on)
{
	struct drm_npu_sync s[2];
	struct npu_work hang;
	uint32_t ctx;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	s[0] = signal_to(self->a, 0);
	ASSERT_EQ(0, submit(&self->e, ctx, &hang, s, 1));
	s[0] = wait_for(self->a, 0);
	s[1] = signal_to(self->b, 0);
	ASSERT_EQ(0, submit(&self->e, self->e.ctx, &self->w, s, 2));
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->a, 0));
	EXPECT_NE(-ETIMEDOUT, npu_syncobj_status(self->e.fd, self->b, 0));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w))
		TH_LOG("the context of the waiting job is not to blame");
}

TEST_HARNESS_MAIN
