// SPDX-License-Identifier: GPL-2.0-only
/* JOB_QUERY: what became of a job, when, where, and why. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "npu_test.h"

FIXTURE(jobs)
{
	struct npu_env e;
	struct npu_work w;
	struct npu_work hang;
	uint32_t sync;
};

FIXTURE_SETUP(jobs)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
}

FIXTURE_TEARDOWN(jobs)
{
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
	npu_env_close(&self->e);
}

/* A job of one task that signals the syncobj of the fixture */
static int submit_id(struct npu_env *e, uint32_t ctx, struct npu_work *w,
		     uint32_t sync, uint64_t *id)
{
	struct drm_npu_sync s = {
		.handle = sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(&w->task, 1),
		.syncs = NPU_ARRAY(&s, 1),
	};

	return npu_submit_ids(e->fd, ctx, &job, 1, id);
}

/* Is it the result of a job that ended well? 0, or the number of the check */
static int not_well(const struct drm_npu_job_result *r, uint64_t id,
		    uint32_t tasks)
{
	if (r->job != id)
		return 1;
	if (r->state != DRM_NPU_JOB_ENDED)
		return 2;
	if (r->error)
		return 3;
	if (!r->start_ns || r->end_ns < r->start_ns)
		return 4;
	if (r->fault_va || r->fault_flags)
		return 5;
	if (r->tasks_done != tasks)
		return 6;
	return r->pad ? 7 : 0;
}

/* Is it what is told of a job that nothing is known of? */
static bool is_unknown(const struct drm_npu_job_result *r, uint64_t id)
{
	struct drm_npu_job_result unknown = { .job = id };

	return !memcmp(r, &unknown, sizeof(unknown));
}

TEST_F(jobs, ids_count_the_jobs_of_a_context)
{
	struct drm_npu_job job = { .tasks = NPU_ARRAY(&self->w.task, 1) };
	struct drm_npu_job jobs[4] = { job, job, job, job };
	uint32_t counts[] = { 1, 3, 2, 4, 1 }, other;
	uint64_t first, expected = 1, seen = 1;
	size_t n;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &other));
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, jobs,
					    counts[n], &first));
		EXPECT_EQ(expected, first);
		expected += counts[n];
		ASSERT_EQ(0, npu_submit_ids(self->e.fd, other, jobs, 1,
					    &first));
		EXPECT_EQ(seen++, first) TH_LOG("contexts count for themselves");
	}
	jobs[2].flags = 2;
	EXPECT_EQ(-EINVAL, npu_submit_ids(self->e.fd, self->e.ctx, jobs, 4,
					  &first));
	ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, jobs, 2, &first));
	EXPECT_EQ(expected, first) TH_LOG("what was refused does not count");
}

TEST_F(jobs, a_job_tells_where_it_ran_and_when)
{
	uint64_t left = self->e.info.core_mask, before, after;
	struct drm_npu_job_result r;
	unsigned int core;
	uint32_t ctx;

	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		before = npu_raw_ns();
		EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, ctx, &self->w.task,
						  1, &r));
		after = npu_raw_ns();
		EXPECT_EQ(0, not_well(&r, 1, 1));
		EXPECT_EQ(core, r.core);
		EXPECT_LE(before, r.start_ns);
		EXPECT_GE(after, r.end_ns);
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	}
}

/* A job that takes about @ms on a core; its tasks are for the caller to free */
static struct drm_npu_task *long_job(struct npu_env *e, struct npu_work *w,
				     unsigned int ms, uint32_t *count)
{
	if (npu_work_matmul(e, w, 64, 128, 128, 9) ||
	    npu_long_tasks(e, e->ctx, w, ms, count) || npu_work_arm(e, w))
		return NULL;
	return npu_repeat(w, *count);
}

/*
 * What is told about a long job is what the clock of this process shows, but for
 * the way there and back. That may be long when the machine is busy: once out of
 * some times is enough.
 */
TEST_F(jobs, times_are_how_long_it_took)
{
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	uint64_t before, took, ran;
	struct npu_work w;
	uint32_t count;
	int i;

	tasks = long_job(&self->e, &w, 100, &count);
	ASSERT_NE(NULL, tasks);
	for (i = 0; i < 8; i++) {
		before = npu_raw_ns();
		EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, self->e.ctx, tasks,
						  count, &r));
		took = npu_raw_ns() - before;
		ran = r.end_ns - r.start_ns;
		EXPECT_EQ(count, r.tasks_done);
		EXPECT_LE(ran, took);
		if (ran >= took - took / 4)
			break;
	}
	EXPECT_GE(ran, took - took / 4);
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	free(tasks);
}

TEST_F(jobs, times_can_be_converted_to_other_clocks)
{
	struct drm_npu_clock_info clock;
	struct drm_npu_job_result r;
	int64_t before, after, start;

	before = npu_now_ns();
	EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, self->e.ctx, &self->w.task,
					  1, &r));
	after = npu_now_ns();
	ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_CLOCK, &clock,
			       sizeof(clock)));
	start = clock.monotonic_ns - (clock.hw_ns - r.start_ns);
	/* NTP may steer one of the clocks by 500 ppm, for a few seconds here. */
	EXPECT_GE(start, before - 5000000);
	EXPECT_LE(start, after + 5000000);
	EXPECT_LE(r.end_ns, clock.hw_ns);
}

TEST_F(jobs, jobs_of_a_context_follow_each_other)
{
	enum { JOBS = 40 };
	struct drm_npu_job_result r[JOBS];
	struct npu_work w[JOBS];
	uint64_t id;
	int n;

	ASSERT_EQ(0, npu_work_chain(&self->e, w, JOBS, 700));
	for (n = 0; n < JOBS; n++) {
		ASSERT_EQ(0, submit_id(&self->e, self->e.ctx, &w[n], self->sync,
				       &id));
		EXPECT_EQ(n + 1, id);
	}
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, JOBS));
	for (n = 0; n < JOBS; n++) {
		EXPECT_EQ(0, not_well(&r[n], n + 1, 1)) TH_LOG("job %d", n + 1);
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
		if (n) {
			EXPECT_LE(r[n - 1].end_ns, r[n].start_ns);
		}
	}
}

TEST_F(jobs, nothing_is_known_of_jobs_that_were_never_submitted)
{
	uint64_t ids[] = { 2, 3, 1000, 1ull << 32, (1ull << 32) + 1,
			   1ull << 63, ~0ull - 1, ~0ull };
	struct drm_npu_job_result r[4];
	size_t n;

	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, 4));
	EXPECT_TRUE(is_unknown(&r[0], 1));
	EXPECT_TRUE(is_unknown(&r[3], 4));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, 4));
	EXPECT_EQ(0, not_well(&r[0], 1, 1));
	for (n = 1; n < 4; n++) {
		EXPECT_TRUE(is_unknown(&r[n], n + 1));
	}
	for (n = 0; n < ARRAY_SIZE(ids); n++) {
		ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, ids[n], r,
					   1));
		EXPECT_TRUE(is_unknown(&r[0], ids[n]));
	}
}

/* Asking beyond the last number there is does no harm */
TEST_F(jobs, ids_that_wrap_are_no_jobs)
{
	struct drm_npu_job_result r[4];
	int n, ret;

	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	ret = npu_job_query(self->e.fd, self->e.ctx, ~0ull - 1, r, 4);
	EXPECT_TRUE(ret == 0 || ret == -EINVAL);
	for (n = 0; n < 2 && !ret; n++) {
		EXPECT_EQ(DRM_NPU_JOB_UNKNOWN, r[n].state);
	}
}

TEST_F(jobs, queries_are_checked)
{
	struct drm_npu_device_info *info = &self->e.info;
	struct drm_npu_job_result *r = calloc(info->max_results + 1, sizeof(*r));
	uint32_t bad[] = { 0, self->e.ctx + 1, 0x7fffffff, ~0u };
	uint32_t counts[] = { info->max_results + 1, 0x10000000, 0x80000000,
			      ~0u };
	struct drm_npu_job_query arg = {
		.ctx_id = self->e.ctx,
		.first_job = 1,
		.results = { sizeof(*r), 1, (uintptr_t)r },
	};
	struct npu_env other;
	size_t n;

	ASSERT_NE(NULL, r);
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, npu_job_query(self->e.fd, bad[n], 1, r, 1));
	}
	EXPECT_EQ(-EINVAL, npu_job_query(self->e.fd, self->e.ctx, 0, r, 1));
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		arg.results.count = counts[n];
		EXPECT_EQ(-E2BIG, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY,
					    &arg));
	}
	EXPECT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r,
				   info->max_results));
	ASSERT_EQ(0, npu_env_open_plain(&other));
	EXPECT_EQ(-ENOENT, npu_job_query(other.fd, self->e.ctx, 1, r, 1));
	npu_env_close(&other);
	ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, self->e.ctx));
	EXPECT_EQ(-ENOENT, npu_job_query(self->e.fd, self->e.ctx, 1, r, 1));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
	free(r);
}

TEST_F(jobs, jobs_wait_run_and_end)
{
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_job_result r[3];
	uint32_t ctx;
	uint64_t id;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
	ASSERT_EQ(0, submit_id(&self->e, ctx, &self->w, self->sync, &id));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	ASSERT_EQ(0, submit_id(&self->e, ctx, &self->hang, self->sync, &id));
	ASSERT_EQ(0, submit_id(&self->e, ctx, &self->w, self->sync, &id));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 2, DRM_NPU_JOB_RUNNING,
				  &r[1]));
	ASSERT_EQ(0, npu_job_query(self->e.fd, ctx, 1, r, 3));
	EXPECT_EQ(0, not_well(&r[0], 1, 1));
	EXPECT_EQ(2, r[1].job);
	EXPECT_EQ(DRM_NPU_JOB_RUNNING, r[1].state);
	EXPECT_EQ(0, r[1].error);
	EXPECT_LE(r[0].end_ns, r[1].start_ns);
	EXPECT_EQ(0, r[1].end_ns);
	EXPECT_EQ(0, r[1].tasks_done);
	EXPECT_EQ(core, r[1].core);
	EXPECT_EQ(3, r[2].job);
	EXPECT_EQ(DRM_NPU_JOB_QUEUED, r[2].state);
	EXPECT_EQ(0, r[2].error);
	EXPECT_EQ(0, r[2].start_ns);
	EXPECT_EQ(0, r[2].end_ns);
	EXPECT_EQ(0, r[2].tasks_done);
	npu_syncobj_status(self->e.fd, self->sync, 0);
	ASSERT_EQ(0, npu_job_query(self->e.fd, ctx, 1, r, 3));
	EXPECT_EQ(DRM_NPU_JOB_ENDED, r[1].state);
	EXPECT_EQ(DRM_NPU_JOB_ENDED, r[2].state);
}

/* Held up by a fence, with every core idle */
TEST_F(jobs, a_job_that_waits_for_a_fence_is_queued)
{
	struct drm_npu_sync wait = { .flags = DRM_NPU_SYNC_WAIT };
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(&self->w.task, 1),
		.syncs = NPU_ARRAY(&wait, 1),
	};
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_job_result r;
	uint64_t id;

	ASSERT_EQ(0, npu_block_core(&self->e, &self->hang, core, &wait.handle));
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, &job, 1, &id));
	npu_sleep_ms(20);
	ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, id, &r));
	EXPECT_EQ(DRM_NPU_JOB_QUEUED, r.state);
	EXPECT_EQ(0, r.start_ns);
	ASSERT_EQ(0, npu_job_wait(self->e.fd, self->e.ctx, id,
				  DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(0, not_well(&r, id, 1));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
}

TEST_F(jobs, tasks_are_counted_as_they_end)
{
	uint32_t count, last = 0, seen = 0;
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	struct drm_npu_job job;
	struct npu_work w;
	uint64_t id;

	tasks = long_job(&self->e, &w, 200, &count);
	ASSERT_NE(NULL, tasks);
	job = (struct drm_npu_job){ .tasks = NPU_ARRAY(tasks, count) };
	ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, &job, 1, &id));
	do {
		ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, id, &r));
		EXPECT_LE(last, r.tasks_done);
		EXPECT_LE(r.tasks_done, count);
		seen += r.tasks_done != last;
		last = r.tasks_done;
	} while (r.state != DRM_NPU_JOB_ENDED);
	EXPECT_EQ(0, not_well(&r, id, count));
	EXPECT_GT(seen, 2) TH_LOG("of %u tasks", count);
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	free(tasks);
}

TEST_F(jobs, a_result_is_complete_when_the_fence_signals)
{
	struct drm_npu_job_result r;
	uint64_t id;
	int n;

	for (n = 1; n <= 500; n++) {
		ASSERT_EQ(0, submit_id(&self->e, self->e.ctx, &self->w,
				       self->sync, &id));
		ASSERT_EQ(0, npu_syncobj_wait(self->e.fd, self->sync, 0,
					      NPU_PATIENCE_MS));
		ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, id, &r));
		ASSERT_EQ(0, not_well(&r, n, 1)) TH_LOG("job %d", n);
	}
}

TEST_F(jobs, a_hang_tells_its_task)
{
	uint64_t limit = self->e.info.timeout_ms * 1000000ull;
	struct drm_npu_task tasks[4];
	struct drm_npu_job_result r;
	uint32_t ctx, index;
	unsigned int core;
	uint64_t left;

	for (left = self->e.info.core_mask, index = 0; left; index++) {
		left = npu_next_core(left, &core);
		tasks[0] = tasks[1] = tasks[2] = tasks[3] = self->w.task;
		tasks[index % 4] = self->hang.task;
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		EXPECT_EQ(-ETIME, npu_run_tasks(&self->e, ctx, tasks, 4, &r));
		EXPECT_EQ(1, r.job);
		EXPECT_EQ(DRM_NPU_JOB_ENDED, r.state);
		EXPECT_EQ(-ETIME, r.error);
		EXPECT_EQ(index % 4, r.tasks_done);
		EXPECT_EQ(core, r.core);
		EXPECT_GE(r.end_ns - r.start_ns, limit * 9 / 10);
		EXPECT_LE(r.end_ns - r.start_ns, limit * 4 + 1000000000);
		EXPECT_EQ(0, r.fault_va);
		EXPECT_EQ(0, r.fault_flags);
		EXPECT_EQ(0, r.pad);
	}
}

struct fault {
	const char *what;
	uint32_t reg;
	uint32_t flags;
};

static const struct fault faults[] = {
	{ "features", RKNN_CNA_FEATURES, 0 },
	{ "weights", RKNN_CNA_WEIGHTS, 0 },
	{ "output", RKNN_DPU_OUT, DRM_NPU_FAULT_WRITE },
};

TEST_F(jobs, a_fault_tells_its_address_and_task)
{
	uint64_t hole = (self->e.info.va_end >> 1) & ~0xfffffull;
	uint64_t va[] = { 0, hole + 0x5000, self->e.info.va_end - 4096 };
	struct drm_npu_task tasks[5];
	struct drm_npu_job_result r;
	uint32_t ctx, index = 0;
	struct npu_work w;
	size_t n, i;

	for (n = 0; n < ARRAY_SIZE(faults); n++) {
		for (i = 0; i < ARRAY_SIZE(va); i++, index++) {
			ASSERT_EQ(0, npu_work_small(&self->e, &w, 15));
			rknn_patch(&w.stream, faults[n].reg, va[i]);
			ASSERT_EQ(0, npu_work_stream(&self->e, &w));
			tasks[0] = tasks[1] = tasks[2] = tasks[3] = tasks[4] =
				self->w.task;
			tasks[index % 5] = w.task;
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
						    &ctx));
			EXPECT_EQ(-EFAULT, npu_run_tasks(&self->e, ctx, tasks,
							 5, &r));
			EXPECT_EQ(DRM_NPU_JOB_ENDED, r.state);
			EXPECT_EQ(-EFAULT, r.error);
			EXPECT_EQ(index % 5, r.tasks_done);
			EXPECT_LE(va[i], r.fault_va)
				TH_LOG("%s", faults[n].what);
			EXPECT_GT(va[i] + 4096, r.fault_va)
				TH_LOG("%s", faults[n].what);
			EXPECT_EQ(faults[n].flags, r.fault_flags);
			EXPECT_NE(0, r.start_ns);
			EXPECT_LE(r.start_ns, r.end_ns);
			npu_ctx_destroy(self->e.fd, ctx);
			npu_work_free(&self->e, &w);
		}
	}
}

TEST_F(jobs, a_write_to_what_is_read_only_is_told_as_such)
{
	struct drm_npu_job_result r;
	struct npu_bo *out;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 18));
	out = &w.bo[NPU_OUT];
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, out->va, out->size));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, out->handle, out->va,
				out->size, 0, DRM_NPU_BIND_READONLY));
	EXPECT_EQ(-EFAULT, npu_run_tasks(&self->e, self->e.ctx, &w.task, 1,
					 &r));
	EXPECT_EQ(-EFAULT, r.error);
	EXPECT_LE(out->va, r.fault_va);
	EXPECT_GT(out->va + out->size, r.fault_va);
	EXPECT_EQ(DRM_NPU_FAULT_WRITE, r.fault_flags);
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
}

/* Reads what is mapped up to where nothing is mapped any more */
TEST_F(jobs, a_fault_tells_the_page_that_is_missing)
{
	struct drm_npu_job_result r;
	struct npu_bo *in;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 128, 256, 32, 19));
	in = &w.bo[NPU_IN];
	ASSERT_EQ(8 * 4096, in->size);
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, in->va + 5 * 4096, 4096));
	EXPECT_EQ(-EFAULT, npu_run_tasks(&self->e, self->e.ctx, &w.task, 1,
					 &r));
	EXPECT_EQ(in->va + 5 * 4096, r.fault_va & ~4095ull);
	EXPECT_EQ(0, r.fault_flags);
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
}

TEST_F(jobs, what_a_ban_cancels_never_started)
{
	enum { QUEUED = 12 };
	struct drm_npu_job_result r[QUEUED + 2], again[QUEUED + 2];
	uint64_t id;
	int n;

	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	ASSERT_EQ(0, submit_id(&self->e, self->e.ctx, &self->hang, self->sync,
			       &id));
	for (n = 0; n < QUEUED; n++) {
		ASSERT_EQ(0, submit_id(&self->e, self->e.ctx, &self->w,
				       self->sync, &id));
	}
	EXPECT_EQ(-ECANCELED, npu_syncobj_status(self->e.fd, self->sync, 0));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, QUEUED + 2));
	EXPECT_EQ(0, not_well(&r[0], 1, 1)) TH_LOG("the job before the hang");
	EXPECT_EQ(-ETIME, r[1].error);
	for (n = 2; n < QUEUED + 2; n++) {
		EXPECT_EQ(n + 1, r[n].job);
		EXPECT_EQ(DRM_NPU_JOB_ENDED, r[n].state);
		EXPECT_EQ(-ECANCELED, r[n].error);
		EXPECT_EQ(0, r[n].start_ns);
		EXPECT_LE(r[1].end_ns, r[n].end_ns);
		EXPECT_EQ(0, r[n].tasks_done);
		EXPECT_EQ(0, r[n].fault_va);
		EXPECT_EQ(0, r[n].fault_flags);
		EXPECT_EQ(0, r[n].pad);
	}
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &self->w));
	EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, self->e.ctx, &self->w, 0));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, again,
				   QUEUED + 2));
	EXPECT_EQ(0, memcmp(r, again, sizeof(r)))
		TH_LOG("results stay as they are");
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
}

/* The youngest max_results jobs and no others, however many there were */
TEST_F(jobs, the_youngest_results_are_kept)
{
	uint32_t max = self->e.info.max_results, more = max / 4 + 7, n;
	struct drm_npu_job_result *r = calloc(max, sizeof(*r));
	uint64_t id = 0, last = max + more;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	while (id < last) {
		int ret = submit_id(&self->e, self->e.ctx, &self->w, self->sync,
				    &id);

		if (ret == -EAGAIN) {
			npu_sleep_ms(1);
			id = 0;
			continue;
		}
		ASSERT_EQ(0, ret);
	}
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, last - max + 1, r,
				   max));
	for (n = 0; n < max; n++) {
		ASSERT_EQ(0, not_well(&r[n], last - max + 1 + n, 1))
			TH_LOG("job %llu of %llu",
			       (unsigned long long)(last - max + 1 + n),
			       (unsigned long long)last);
		ASSERT_TRUE(!n || r[n - 1].end_ns <= r[n].start_ns);
	}
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, last - max));
	for (n = 0; n < last - max; n++) {
		ASSERT_TRUE(is_unknown(&r[n], n + 1)) TH_LOG("job %u", n + 1);
	}
	/* And a range over the edge of both */
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, last - max, r, 2));
	EXPECT_TRUE(is_unknown(&r[0], last - max));
	EXPECT_EQ(0, not_well(&r[1], last - max + 1, 1));
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, last, r, 2));
	EXPECT_EQ(0, not_well(&r[0], last, 1));
	EXPECT_TRUE(is_unknown(&r[1], last + 1));
	free(r);
}

TEST_F(jobs, contexts_have_results_of_their_own)
{
	struct drm_npu_job_result good, bad;
	uint32_t ctx;
	uint64_t id;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, submit_id(&self->e, ctx, &self->hang, self->sync, &id));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
	ASSERT_EQ(0, npu_job_result(self->e.fd, ctx, 1, &bad));
	ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, 1, &good));
	EXPECT_EQ(-ETIME, bad.error);
	EXPECT_EQ(0, not_well(&good, 1, 1));
	ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_job_result(self->e.fd, ctx, 1, &bad));
	EXPECT_TRUE(is_unknown(&bad, 1));
}

/* Whatever moment they ask at, threads see jobs that go forward in order */
struct watcher {
	int fd;
	uint32_t ctx;
	uint64_t jobs;
	int wrong;
	bool stop;
};

static void check_window(struct watcher *t, const struct drm_npu_job_result *r,
			 unsigned int count)
{
	unsigned int n;

	for (n = 0; n < count; n++) {
		if (r[n].state == DRM_NPU_JOB_ENDED)
			t->wrong += r[n].error || r[n].tasks_done != 2 ||
				    r[n].end_ns < r[n].start_ns;
		if (r[n].state == DRM_NPU_JOB_RUNNING)
			t->wrong += r[n].end_ns || !r[n].start_ns;
		if (r[n].state == DRM_NPU_JOB_QUEUED)
			t->wrong += r[n].start_ns || r[n].tasks_done;
	}
}

static void *watch(void *data)
{
	struct drm_npu_job_result r[16];
	struct watcher *t = data;
	unsigned int seed = 3;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (npu_job_query(t->fd, t->ctx, 1 + npu_random(&seed) % t->jobs,
				  r, 16))
			t->wrong++;
		else
			check_window(t, r, 16);
	}
	return NULL;
}

TEST_F(jobs, threads_watch_jobs_at_any_moment)
{
	struct watcher t[3];
	struct drm_npu_task tasks[2] = { self->w.task, self->w.task };
	uint64_t n, jobs = self->e.info.max_results;
	pthread_t id[3];
	size_t i;

	if (jobs > 600)
		jobs = 600;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		t[i] = (struct watcher){
			.fd = self->e.fd, .ctx = self->e.ctx, .jobs = jobs,
		};
		ASSERT_EQ(0, pthread_create(&id[i], NULL, watch, &t[i]));
	}
	for (n = 0; n < jobs; n++) {
		int ret = npu_submit_tasks(self->e.fd, self->e.ctx, tasks, 2,
					   self->sync);

		if (ret == -EAGAIN) {
			npu_sleep_ms(1);
			n--;
			continue;
		}
		EXPECT_EQ(0, ret);
	}
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		__atomic_store_n(&t[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(id[i], NULL);
		EXPECT_EQ(0, t[i].wrong);
	}
}

TEST_HARNESS_MAIN
