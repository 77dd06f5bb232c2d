// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts: CTX_CREATE, CTX_DESTROY, CTX_QUERY, CTX_SET, order inside one,
 * concurrency of several.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
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

/* Long enough for all of them to be on their cores at the same time */
static struct drm_npu_task *long_tasks(struct npu_env *e, struct npu_work *w,
				       unsigned int ms, uint32_t *count)
{
	if (npu_long_tasks(e, e->ctx, w, ms, count) || npu_work_arm(e, w))
		return NULL;
	return npu_repeat(w, *count);
}

enum { CORES = 8 };

/* Long jobs of as many contexts as there are cores, at the same time or not */
struct spread {
	uint32_t cores, ctx[CORES], sync[CORES];
	struct npu_work w[CORES];
	struct drm_npu_task *tasks[CORES];
	struct drm_npu_job_result r[CORES];
};

/* Everything first that takes time, so that the submits come close together */
static int spread_run(struct npu_env *e, struct spread *s, bool bound,
		      unsigned int ms)
{
	uint32_t n, count;
	int ret = npu_long_tasks(e, e->ctx, &s->w[0], ms, &count);

	for (n = 0; n < s->cores && !ret; n++) {
		s->tasks[n] = npu_repeat(&s->w[n], count);
		ret = s->tasks[n] ? npu_work_arm(e, &s->w[n]) : -ENOMEM;
		if (!ret)
			ret = npu_ctx_create(e->fd, e->vm,
					     bound ? 1ull << n : 0, &s->ctx[n]);
	}
	for (n = 0; n < s->cores && !ret; n++)
		ret = npu_submit_tasks(e->fd, s->ctx[n], s->tasks[n], count,
				       s->sync[n]);
	for (n = 0; n < s->cores && !ret; n++) {
		if (npu_syncobj_status(e->fd, s->sync[n], 0) != NPU_DONE ||
		    npu_work_check(e, &s->w[n]))
			ret = -EBADMSG;
		if (!ret)
			ret = npu_job_result(e->fd, s->ctx[n], 1, &s->r[n]);
		npu_ctx_destroy(e->fd, s->ctx[n]);
		free(s->tasks[n]);
	}
	return ret;
}

/* Each with each, so that there was a moment when all of them ran */
static bool spread_overlaps(const struct spread *s)
{
	uint32_t n, i;

	for (n = 0; n < s->cores; n++) {
		for (i = 0; i < n; i++) {
			if (s->r[i].start_ns >= s->r[n].end_ns ||
			    s->r[n].start_ns >= s->r[i].end_ns ||
			    s->r[n].core == s->r[i].core)
				return false;
		}
	}
	return true;
}

/* Bound to a core each, and free to use any: then they spread by themselves */
TEST_F(ctx, contexts_of_one_file_overlap_on_different_cores)
{
	struct spread s = { .cores = self->e.info.num_cores };
	unsigned int ms;
	int bound;
	uint32_t n;

	if (s.cores < 2 || s.cores > CORES)
		SKIP(return, "needs 2 to 8 cores");
	for (n = 0; n < s.cores; n++) {
		ASSERT_EQ(0, npu_work_matmul(&self->e, &s.w[n], 64, 128, 128, n));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &s.sync[n]));
	}
	for (bound = 0; bound < 2; bound++) {
		/* Longer when the machine is so busy that they missed each other */
		for (ms = 100; ms <= 1600; ms *= 2) {
			ASSERT_EQ(0, spread_run(&self->e, &s, bound, ms));
			if (spread_overlaps(&s))
				break;
		}
		EXPECT_LE(ms, 1600) TH_LOG("they never ran at the same time");
	}
}

TEST_F(ctx, a_query_tells_what_it_was_created_with)
{
	uint64_t all = (1ull << self->e.info.num_cores) - 1;
	struct drm_npu_ctx_create arg = { .vm_id = self->e.vm };
	struct drm_npu_ctx_query q;
	uint32_t class;
	int32_t prio;

	for (class = 0; class < 3; class++) {
		for (prio = -1; prio <= 1; prio++) {
			arg.sched_class = class;
			arg.priority = prio;
			arg.core_mask = prio ? 1ull << npu_first_core(&self->e) :
				       0;
			ASSERT_EQ(0, npu_ioctl(self->e.fd,
					       DRM_IOCTL_NPU_CTX_CREATE, &arg));
			ASSERT_EQ(0, npu_ctx_query(self->e.fd, arg.ctx_id, &q));
			EXPECT_EQ(arg.ctx_id, q.ctx_id);
			EXPECT_EQ(DRM_NPU_CTX_READY, q.state);
			EXPECT_EQ(self->e.vm, q.vm_id);
			EXPECT_EQ(class, q.sched_class);
			EXPECT_EQ(prio, q.priority);
			EXPECT_EQ(arg.core_mask ? arg.core_mask : all,
				  q.core_mask);
			EXPECT_EQ(0, q.hw_time_ns);
			EXPECT_EQ(0, q.jobs_submitted);
			EXPECT_EQ(0, q.jobs_done);
			EXPECT_EQ(0, q.jobs_failed);
			EXPECT_EQ(0, q.fault_job);
			EXPECT_EQ(0, q.fault_error);
			ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, arg.ctx_id));
			EXPECT_EQ(-ENOENT, npu_ctx_query(self->e.fd, arg.ctx_id,
							 &q));
		}
	}
}

TEST_F(ctx, queries_and_changes_need_a_context)
{
	uint32_t bad[] = { 0, self->e.ctx + 1, 0x7fffffff, ~0u };
	struct drm_npu_ctx_set set = {
		.flags = DRM_NPU_CTX_SET_PRIORITY,
		.priority = DRM_NPU_PRIORITY_LOW,
	};
	struct drm_npu_ctx_query q;
	struct npu_env other;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, npu_ctx_query(self->e.fd, bad[n], &q));
		EXPECT_EQ(-ENOENT, npu_ctx_set(self->e.fd, bad[n], &set));
	}
	ASSERT_EQ(0, npu_env_open_plain(&other));
	EXPECT_EQ(-ENOENT, npu_ctx_query(other.fd, self->e.ctx, &q));
	EXPECT_EQ(-ENOENT, npu_ctx_set(other.fd, self->e.ctx, &set));
	npu_env_close(&other);
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(DRM_NPU_PRIORITY_NORMAL, q.priority);
}

/* Whatever became of its VM's number */
TEST_F(ctx, a_query_knows_the_vm_by_the_number_it_had)
{
	struct drm_npu_ctx_query q;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 7));
	ASSERT_EQ(0, npu_vm_destroy(self->e.fd, self->e.vm));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(self->e.vm, q.vm_id);
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

/* Hardware time is what the jobs say that they took; the rest is counted */
TEST_F(ctx, a_query_counts_jobs_and_time)
{
	enum { JOBS = 20 };
	struct drm_npu_job_result r[JOBS];
	uint64_t sum = 0, last = 0;
	struct drm_npu_ctx_query q;
	struct npu_work w;
	int n;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 128, 3));
	for (n = 1; n <= JOBS; n++) {
		ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
		EXPECT_EQ(n, q.jobs_submitted);
		EXPECT_EQ(n, q.jobs_done);
		EXPECT_EQ(0, q.jobs_failed);
		EXPECT_LT(last, q.hw_time_ns);
		last = q.hw_time_ns;
	}
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, JOBS));
	for (n = 0; n < JOBS; n++)
		sum += r[n].end_ns - r[n].start_ns;
	EXPECT_LE(q.hw_time_ns, sum);
	EXPECT_GE(q.hw_time_ns, sum - sum / 10);
	EXPECT_EQ(DRM_NPU_CTX_READY, q.state);
}

TEST_F(ctx, a_query_tells_of_a_hang)
{
	struct drm_npu_ctx_query q, again;
	struct npu_work w, hang;
	struct drm_npu_task tasks[3];
	struct drm_npu_job_result r;
	unsigned int core;
	uint64_t left;
	uint32_t ctx;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 7));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	tasks[0] = tasks[1] = w.task;
	tasks[2] = hang.task;
	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		EXPECT_EQ(0, npu_work_run(&self->e, ctx, &w));
		EXPECT_EQ(-ETIME, npu_run_tasks(&self->e, ctx, tasks, 3, &r));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
		EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
		EXPECT_EQ(-ETIME, q.fault_error);
		EXPECT_EQ(2, q.fault_job);
		EXPECT_EQ(2, q.fault_task);
		EXPECT_EQ(core, q.fault_core);
		EXPECT_EQ(0, q.fault_va);
		EXPECT_EQ(0, q.fault_flags);
		EXPECT_EQ(2, q.jobs_submitted);
		EXPECT_EQ(1, q.jobs_done);
		EXPECT_EQ(1, q.jobs_failed);
		EXPECT_LE(r.end_ns - r.start_ns, q.hw_time_ns)
			TH_LOG("the time of the hang counts");
		EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, ctx, &w, 0));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &again));
		EXPECT_EQ(0, memcmp(&q, &again, sizeof(q)));
		EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
	}
}

TEST_F(ctx, a_query_tells_of_a_fault)
{
	static const struct {
		uint32_t reg, flags;
	} how[] = {
		{ RKNN_CNA_FEATURES, 0 },
		{ RKNN_CNA_WEIGHTS, 0 },
		{ RKNN_DPU_OUT, DRM_NPU_FAULT_WRITE },
	};
	uint64_t hole = ((self->e.info.va_end >> 1) & ~0xfffffull) + 0x3000;
	struct drm_npu_job_result r;
	struct drm_npu_ctx_query q;
	struct drm_npu_task tasks[4];
	struct npu_work good, w;
	unsigned int core;
	uint64_t left;
	uint32_t ctx;
	size_t n;

	ASSERT_EQ(0, npu_work_small(&self->e, &good, 7));
	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &core);
		for (n = 0; n < ARRAY_SIZE(how); n++) {
			ASSERT_EQ(0, npu_work_small(&self->e, &w, 8));
			rknn_patch(&w.stream, how[n].reg, hole);
			ASSERT_EQ(0, npu_work_stream(&self->e, &w));
			tasks[0] = tasks[1] = tasks[2] = tasks[3] = good.task;
			tasks[n + 1] = w.task;
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
						    1ull << core, &ctx));
			EXPECT_EQ(0, npu_work_run(&self->e, ctx, &good));
			EXPECT_EQ(-EFAULT, npu_run_tasks(&self->e, ctx, tasks,
							 4, &r));
			ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
			EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
			EXPECT_EQ(-EFAULT, q.fault_error);
			EXPECT_EQ(2, q.fault_job);
			EXPECT_EQ(hole, q.fault_va & ~4095ull);
			EXPECT_EQ(r.fault_va, q.fault_va);
			EXPECT_EQ(how[n].flags, q.fault_flags);
			EXPECT_EQ(n + 1, q.fault_task);
			EXPECT_EQ(core, q.fault_core);
			EXPECT_EQ(1, q.jobs_done);
			EXPECT_EQ(1, q.jobs_failed);
			ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
			npu_work_free(&self->e, &w);
		}
	}
}

/* What a ban cancels has failed too, but is not what it was banned for */
TEST_F(ctx, a_query_counts_what_a_ban_cancels)
{
	struct drm_npu_ctx_query q;
	struct npu_work w, hang;
	uint32_t sync;
	int n;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 7));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &hang, 0));
	for (n = 0; n < 5; n++) {
		ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &w,
					     sync));
	}
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(7, q.jobs_submitted);
	EXPECT_EQ(1, q.jobs_done);
	EXPECT_EQ(0, q.jobs_failed);
	EXPECT_EQ(DRM_NPU_CTX_READY, q.state);
	EXPECT_EQ(-ECANCELED, npu_syncobj_status(self->e.fd, sync, 0));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
	EXPECT_EQ(-ETIME, q.fault_error);
	EXPECT_EQ(2, q.fault_job);
	EXPECT_EQ(7, q.jobs_submitted);
	EXPECT_EQ(1, q.jobs_done);
	EXPECT_EQ(6, q.jobs_failed);
}

static int set_all(struct npu_env *e, uint32_t ctx, uint32_t flags,
		   uint32_t sched_class, int32_t priority, uint64_t core_mask)
{
	struct drm_npu_ctx_set set = {
		.flags = flags,
		.sched_class = sched_class,
		.priority = priority,
		.core_mask = core_mask,
	};

	return npu_ctx_set(e->fd, ctx, &set);
}

#define SET_ALL	(DRM_NPU_CTX_SET_CLASS | DRM_NPU_CTX_SET_PRIORITY |	\
		 DRM_NPU_CTX_SET_CORE_MASK)

/* Is it what the arguments say? */
static bool is_set(struct npu_env *e, uint32_t ctx, uint32_t sched_class,
		   int32_t priority, uint64_t core_mask)
{
	struct drm_npu_ctx_query q;

	return !npu_ctx_query(e->fd, ctx, &q) && q.sched_class == sched_class &&
	       q.priority == priority && q.core_mask == core_mask;
}

TEST_F(ctx, a_change_changes_what_it_names)
{
	uint64_t all = (1ull << self->e.info.num_cores) - 1;
	uint64_t core = 1ull << npu_first_core(&self->e);
	struct npu_env *e = &self->e;
	uint32_t ctx = e->ctx;

	EXPECT_TRUE(is_set(e, ctx, 0, 0, all));
	EXPECT_EQ(0, set_all(e, ctx, DRM_NPU_CTX_SET_CLASS,
			     DRM_NPU_CLASS_THROUGHPUT, 0, 0));
	EXPECT_TRUE(is_set(e, ctx, DRM_NPU_CLASS_THROUGHPUT, 0, all));
	EXPECT_EQ(0, set_all(e, ctx, DRM_NPU_CTX_SET_PRIORITY, 0,
			     DRM_NPU_PRIORITY_HIGH, 0));
	EXPECT_TRUE(is_set(e, ctx, DRM_NPU_CLASS_THROUGHPUT,
			   DRM_NPU_PRIORITY_HIGH, all));
	EXPECT_EQ(0, set_all(e, ctx, DRM_NPU_CTX_SET_CORE_MASK, 0, 0, core));
	EXPECT_TRUE(is_set(e, ctx, DRM_NPU_CLASS_THROUGHPUT,
			   DRM_NPU_PRIORITY_HIGH, core));
	EXPECT_EQ(0, set_all(e, ctx, SET_ALL, DRM_NPU_CLASS_LATENCY,
			     DRM_NPU_PRIORITY_LOW, 0));
	EXPECT_TRUE(is_set(e, ctx, DRM_NPU_CLASS_LATENCY, DRM_NPU_PRIORITY_LOW,
			   all));
	EXPECT_EQ(0, set_all(e, ctx, SET_ALL, 0, 0, ~0ull))
		TH_LOG("as at creation");
}

TEST_F(ctx, a_change_that_is_wrong_changes_nothing)
{
	uint64_t all = (1ull << self->e.info.num_cores) - 1;
	const uint32_t class = DRM_NPU_CTX_SET_CLASS;
	const uint32_t prio = DRM_NPU_CTX_SET_PRIORITY;
	const uint32_t mask = DRM_NPU_CTX_SET_CORE_MASK;
	const struct drm_npu_ctx_set bad[] = {
		{ .flags = 0 },
		{ .flags = 16 }, { .flags = 1u << 31 | class },
		{ .flags = class, .timeout_ms = 100 },
		{ .flags = DRM_NPU_CTX_SET_TIMEOUT,
		  .timeout_ms = self->e.info.min_timeout_ms - 1 },
		{ .flags = DRM_NPU_CTX_SET_TIMEOUT,
		  .timeout_ms = self->e.info.max_timeout_ms + 1 },
		{ .flags = DRM_NPU_CTX_SET_TIMEOUT, .timeout_ms = ~0u },
		{ .flags = DRM_NPU_CTX_SET_TIMEOUT, .core_mask = 1 },
		{ .flags = class, .pad = 1 },
		{ .flags = class, .sched_class = 3 },
		{ .flags = class, .sched_class = ~0u },
		{ .flags = prio, .priority = 2 },
		{ .flags = prio, .priority = -2 },
		{ .flags = prio, .priority = INT_MIN },
		{ .flags = mask, .core_mask = ~all },
		{ .flags = mask, .core_mask = 1ull << 63 },
		{ .flags = class, .priority = 1 },
		{ .flags = class, .core_mask = 1 },
		{ .flags = prio, .sched_class = 1 },
		{ .flags = prio, .core_mask = 1 },
		{ .flags = mask, .sched_class = 1 },
		{ .flags = mask, .priority = -1 },
		{ .flags = class | prio, .sched_class = 2, .priority = 2 },
		{ .flags = class | prio, .sched_class = 3, .priority = -1 },
		{ .flags = class | mask, .sched_class = 2, .core_mask = ~all },
		{ .flags = prio | mask, .priority = -1, .core_mask = ~all },
		{ .flags = SET_ALL, .sched_class = 2, .priority = -1,
		  .core_mask = ~all },
		{ .flags = SET_ALL, .sched_class = 2, .priority = 9,
		  .core_mask = 1 },
		{ .flags = SET_ALL, .sched_class = 9, .priority = -1,
		  .core_mask = 1 },
	};
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, npu_ctx_set(self->e.fd, self->e.ctx,
					       &bad[n])) TH_LOG("%zu", n);
		EXPECT_TRUE(is_set(&self->e, self->e.ctx, 0, 0, all))
			TH_LOG("%zu", n);
	}
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 1));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
}

TEST_F(ctx, a_change_needs_what_a_creation_needs)
{
	uint64_t all = (1ull << self->e.info.num_cores) - 1;
	struct npu_env *e = &self->e;
	uint32_t ctx = e->ctx;

	ASSERT_EQ(0, npu_drop_nice());
	EXPECT_EQ(-EACCES, set_all(e, ctx, DRM_NPU_CTX_SET_CLASS,
				   DRM_NPU_CLASS_LATENCY, 0, 0));
	EXPECT_EQ(-EACCES, set_all(e, ctx, DRM_NPU_CTX_SET_PRIORITY, 0,
				   DRM_NPU_PRIORITY_HIGH, 0));
	EXPECT_EQ(-EACCES, set_all(e, ctx, SET_ALL, DRM_NPU_CLASS_THROUGHPUT,
				   DRM_NPU_PRIORITY_HIGH, 1));
	EXPECT_TRUE(is_set(e, ctx, 0, 0, all));
	EXPECT_EQ(0, set_all(e, ctx, SET_ALL, DRM_NPU_CLASS_THROUGHPUT,
			     DRM_NPU_PRIORITY_LOW, 1ull << npu_first_core(e)));
	EXPECT_EQ(0, set_all(e, ctx, DRM_NPU_CTX_SET_CLASS |
			     DRM_NPU_CTX_SET_PRIORITY, DRM_NPU_CLASS_BALANCED,
			     DRM_NPU_PRIORITY_NORMAL, 0));
}

/* On every core in turn; a job that has begun stays where it is */
TEST_F(ctx, jobs_go_where_the_new_core_mask_says)
{
	struct drm_npu_job_result r;
	struct npu_work w;
	unsigned int core;
	uint64_t left;
	int i;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 2));
	for (i = 0; i < 3; i++) {
		for (left = self->e.info.core_mask; left;) {
			left = npu_next_core(left, &core);
			ASSERT_EQ(0, set_all(&self->e, self->e.ctx,
					     DRM_NPU_CTX_SET_CORE_MASK, 0, 0,
					     1ull << core));
			ASSERT_EQ(0, npu_work_arm(&self->e, &w));
			EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, self->e.ctx,
							  &w.task, 1, &r));
			EXPECT_EQ(core, r.core);
			EXPECT_EQ(0, npu_work_check(&self->e, &w));
		}
	}
}

/* They would wait for as long as the hang lasts, or else run at once */
TEST_F(ctx, queued_jobs_move_to_another_core)
{
	enum { JOBS = 6 };
	struct npu_work w[JOBS], hang;
	uint32_t blocked, sync, ctx;
	struct drm_npu_job_result r[JOBS];
	unsigned int core, other;
	int n;

	if (!npu_next_core(self->e.info.core_mask, &core))
		SKIP(return, "only one core");
	npu_next_core(self->e.info.core_mask & ~(1ull << core), &other);
	ASSERT_EQ(0, npu_work_chain(&self->e, w, JOBS, 90));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_work_run_everywhere(&self->e, &w[0]));	/* awake */
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
	for (n = 0; n < JOBS; n++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &w[n]));
	}
	ASSERT_EQ(0, npu_block_core(&self->e, &hang, core, &blocked));
	for (n = 0; n < JOBS; n++) {
		ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &w[n], sync));
	}
	npu_sleep_ms(10);
	ASSERT_EQ(0, npu_job_query(self->e.fd, ctx, 1, r, JOBS));
	for (n = 0; n < JOBS; n++) {
		EXPECT_EQ(DRM_NPU_JOB_QUEUED, r[n].state);
	}
	ASSERT_EQ(0, set_all(&self->e, ctx, DRM_NPU_CTX_SET_CORE_MASK, 0, 0,
			     1ull << other));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
	EXPECT_EQ(-ETIME, npu_syncobj_wait(self->e.fd, blocked, 0, 0))
		TH_LOG("they waited for the core they need no more");
	ASSERT_EQ(0, npu_job_query(self->e.fd, ctx, 1, r, JOBS));
	for (n = 0; n < JOBS; n++) {
		EXPECT_EQ(0, r[n].error);
		EXPECT_EQ(other, r[n].core);
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
	}
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, blocked, 0));
}

/* A long job on one core, another behind it, and a change to the other core */
static int stay_or_go(struct npu_env *e, struct npu_work *w, unsigned int ms,
		      unsigned int core, unsigned int other,
		      struct drm_npu_job_result *during)
{
	struct drm_npu_task *tasks;
	uint32_t count, ctx, sync;
	int ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &ctx);

	tasks = long_tasks(e, w, ms, &count);
	if (!ret)
		ret = tasks ? npu_syncobj_create(e->fd, 0, &sync) : -ENOMEM;
	if (!ret)
		ret = npu_submit_tasks(e->fd, ctx, tasks, count, 0);
	if (!ret)
		ret = npu_submit_work(e->fd, ctx, w, sync);
	if (!ret)
		ret = npu_job_wait(e->fd, ctx, 1, DRM_NPU_JOB_RUNNING, during);
	if (!ret)
		ret = set_all(e, ctx, DRM_NPU_CTX_SET_CORE_MASK, 0, 0,
			      1ull << other);
	if (!ret)
		ret = npu_job_result(e->fd, ctx, 1, during);
	if (!ret && npu_syncobj_status(e->fd, sync, 0) != NPU_DONE)
		ret = -EPROTO;
	e->ctx = ctx;
	free(tasks);
	return ret;
}

TEST_F(ctx, a_running_job_stays_where_it_is)
{
	struct drm_npu_job_result r[2], during;
	unsigned int core, other, ms;
	struct npu_work w;

	if (!npu_next_core(self->e.info.core_mask, &core))
		SKIP(return, "only one core");
	npu_next_core(self->e.info.core_mask & ~(1ull << core), &other);
	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 128, 3));
	/* Longer when it was over before the change came */
	for (ms = 100; ms <= 1600; ms *= 2) {
		ASSERT_EQ(0, stay_or_go(&self->e, &w, ms, core, other, &during));
		if (during.state == DRM_NPU_JOB_RUNNING)
			break;
	}
	EXPECT_EQ(DRM_NPU_JOB_RUNNING, during.state);
	EXPECT_EQ(core, during.core);
	ASSERT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, 2));
	EXPECT_EQ(0, r[0].error);
	EXPECT_EQ(core, r[0].core);
	EXPECT_EQ(during.start_ns, r[0].start_ns);
	EXPECT_EQ(other, r[1].core);
	EXPECT_LE(r[0].end_ns, r[1].start_ns) TH_LOG("still one after the other");
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
}

/* Two contexts of one core, both with jobs behind one that takes long */
struct rivals {
	uint32_t busy, ctx[2], sync[2];
	struct npu_work w[2];
	struct drm_npu_task *tasks;
};

enum { RIVAL_JOBS = 5 };

static int rivals_queue(struct npu_env *e, struct rivals *v, unsigned int ms)
{
	uint64_t core = 1ull << npu_first_core(e);
	uint32_t count;
	int ret, n, i;

	memset(v, 0, sizeof(*v));
	ret = npu_ctx_create(e->fd, e->vm, core, &v->busy);
	for (n = 0; n < 2 && !ret; n++) {
		ret = npu_work_matmul(e, &v->w[n], 64, 128, 128, n);
		if (!ret)
			ret = npu_ctx_create(e->fd, e->vm, core, &v->ctx[n]);
		if (!ret)
			ret = npu_syncobj_create(e->fd, 0, &v->sync[n]);
	}
	if (ret)
		return ret;
	v->tasks = long_tasks(e, &v->w[0], ms, &count);
	if (!v->tasks)
		return -ENOMEM;
	ret = npu_submit_tasks(e->fd, v->busy, v->tasks, count, 0);
	for (n = 0; n < 2 && !ret; n++)
		for (i = 0; i < RIVAL_JOBS && !ret; i++)
			ret = npu_submit_work(e->fd, v->ctx[n], &v->w[n],
					      v->sync[n]);
	return ret;
}

static bool rivals_wait(struct npu_env *e, struct rivals *v)
{
	struct drm_npu_job_result r;

	return !npu_job_wait(e->fd, v->busy, 1, DRM_NPU_JOB_RUNNING, &r) &&
	       r.state == DRM_NPU_JOB_RUNNING;
}

/*
 * Which of the two had all its jobs done first: 0, 1, or negative for neither.
 * One job of the other may be among them: it gets the core for its age.
 */
static int rivals_winner(struct npu_env *e, struct rivals *v)
{
	struct drm_npu_job_result r[2][RIVAL_JOBS];
	int n;

	for (n = 0; n < 2; n++) {
		if (npu_syncobj_status(e->fd, v->sync[n], 0) != NPU_DONE ||
		    npu_work_check(e, &v->w[n]) ||
		    npu_job_query(e->fd, v->ctx[n], 1, r[n], RIVAL_JOBS))
			return -EPROTO;
		npu_ctx_destroy(e->fd, v->ctx[n]);
		npu_work_free(e, &v->w[n]);
	}
	npu_ctx_destroy(e->fd, v->busy);
	free(v->tasks);
	if (r[0][RIVAL_JOBS - 1].end_ns <= r[1][1].start_ns)
		return 0;
	if (r[1][RIVAL_JOBS - 1].end_ns <= r[0][1].start_ns)
		return 1;
	return -EAGAIN;
}

TEST_F(ctx, queued_jobs_obey_a_new_class_or_priority)
{
	static const struct {
		uint32_t flags, class;
		int32_t prio;
		int who, winner;
	} c[] = {
		{ DRM_NPU_CTX_SET_CLASS, DRM_NPU_CLASS_LATENCY, 0, 1, 1 },
		{ DRM_NPU_CTX_SET_CLASS, DRM_NPU_CLASS_LATENCY, 0, 0, 0 },
		{ DRM_NPU_CTX_SET_CLASS, DRM_NPU_CLASS_THROUGHPUT, 0, 0, 1 },
		{ DRM_NPU_CTX_SET_CLASS, DRM_NPU_CLASS_THROUGHPUT, 0, 1, 0 },
		{ DRM_NPU_CTX_SET_PRIORITY, 0, DRM_NPU_PRIORITY_HIGH, 1, 1 },
		{ DRM_NPU_CTX_SET_PRIORITY, 0, DRM_NPU_PRIORITY_LOW, 0, 1 },
		{ DRM_NPU_CTX_SET_CLASS | DRM_NPU_CTX_SET_PRIORITY,
		  DRM_NPU_CLASS_THROUGHPUT, DRM_NPU_PRIORITY_HIGH, 0, 1 },
	};
	struct rivals v;
	unsigned int ms;
	bool in_time;
	int winner;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(c); n++) {
		/* The change has to come before the job in front has ended */
		for (ms = 100, in_time = false; !in_time && ms <= 1600; ms *= 2) {
			ASSERT_EQ(0, rivals_queue(&self->e, &v, ms));
			rivals_wait(&self->e, &v);
			ASSERT_EQ(0, set_all(&self->e, v.ctx[c[n].who],
					     c[n].flags, c[n].class, c[n].prio,
					     0));
			in_time = rivals_wait(&self->e, &v);
			winner = rivals_winner(&self->e, &v);
		}
		EXPECT_TRUE(in_time);
		EXPECT_EQ(c[n].winner, winner) TH_LOG("case %zu", n);
	}
}

/* Changes at any moment lose no job, repeat none and change no result */
struct changer {
	struct npu_env *e;
	uint32_t *ctx;
	unsigned int count;
	bool stop;
	int wrong;
};

static void *keep_changing(void *data)
{
	struct changer *c = data;
	unsigned int seed = 5;
	uint64_t mask;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		mask = npu_random(&seed) & c->e->info.core_mask;
		if (set_all(c->e, c->ctx[npu_random(&seed) % c->count], SET_ALL,
			    npu_random(&seed) % 3, npu_random(&seed) % 3 - 1,
			    mask))
			c->wrong++;
	}
	return NULL;
}

TEST_F(ctx, changes_at_any_moment_harm_no_job)
{
	enum { CTXS = 4, CHAIN = 12, ROUNDS = 12 };
	struct npu_work w[CTXS][CHAIN];
	uint32_t ctx[CTXS], sync[CTXS];
	struct changer c = { .e = &self->e, .ctx = ctx, .count = CTXS };
	struct drm_npu_ctx_query q;
	int n, i, round;
	pthread_t id;

	for (n = 0; n < CTXS; n++) {
		ASSERT_EQ(0, npu_work_chain(&self->e, w[n], CHAIN, 1000 * n));
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx[n]));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[n]));
	}
	ASSERT_EQ(0, pthread_create(&id, NULL, keep_changing, &c));
	for (round = 0; round < ROUNDS; round++) {
		for (n = 0; n < CTXS; n++) {
			for (i = 0; i < CHAIN; i++) {
				EXPECT_EQ(0, npu_work_arm(&self->e, &w[n][i]));
			}
			for (i = 0; i < CHAIN; i++) {
				EXPECT_EQ(0, npu_submit_work(self->e.fd, ctx[n],
							     &w[n][i], sync[n]));
			}
		}
		for (n = 0; n < CTXS; n++) {
			EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd,
							       sync[n], 0));
			for (i = 0; i < CHAIN; i++) {
				EXPECT_EQ(0, npu_work_check(&self->e, &w[n][i]));
			}
		}
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELEASE);
	pthread_join(id, NULL);
	EXPECT_EQ(0, c.wrong);
	for (n = 0; n < CTXS; n++) {
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx[n], &q));
		EXPECT_EQ(CHAIN * ROUNDS, q.jobs_done);
		EXPECT_EQ(0, q.jobs_failed);
	}
}

TEST_HARNESS_MAIN
