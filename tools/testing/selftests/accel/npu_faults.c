// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes wrong on the hardware: hangs, page faults, hostile streams. The
 * guilty context learns of it and is banned; nobody else notices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "npu_test.h"

FIXTURE(faults)
{
	struct npu_env e;
	struct npu_work w;	/* an innocent's */
	struct npu_work hang;
	uint32_t sync;
};

FIXTURE_SETUP(faults)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
}

/* After every test each core computes the right bytes again */
FIXTURE_TEARDOWN(faults)
{
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
	npu_env_close(&self->e);
}

/* Runs one task in a context of its own and says how it ended */
static int outcome(struct npu_env *e, uint64_t core_mask,
		   struct drm_npu_task *tasks, uint32_t count)
{
	uint32_t ctx, sync;
	int ret;

	ret = npu_ctx_create(e->fd, e->vm, core_mask, &ctx);
	if (ret)
		return ret;
	ret = npu_syncobj_create(e->fd, 0, &sync);
	if (!ret)
		ret = npu_submit_tasks(e->fd, ctx, tasks, count, sync);
	if (!ret)
		ret = npu_syncobj_status(e->fd, sync, 0);
	npu_syncobj_destroy(e->fd, sync);
	npu_ctx_destroy(e->fd, ctx);
	return ret;
}

TEST_F(faults, a_hang_ends_with_etime_at_the_stated_time)
{
	int64_t limit = self->e.info.timeout_ms * 1000000ll;
	int64_t start = npu_now_ns(), took;

	EXPECT_EQ(-ETIME, outcome(&self->e, 0, &self->hang.task, 1));
	took = npu_now_ns() - start;
	EXPECT_GE(took, limit * 9 / 10);
	EXPECT_LE(took, limit * 4 + 1000000000) TH_LOG("generous for debug kernels");
}

/* All on one core: a watchdog that waits there for one must not be late for another */
static int ctx_with_timeout(struct npu_env *e, uint32_t timeout_ms,
			    uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm, .core_mask = 1ull << npu_first_core(e),
		.timeout_ms = timeout_ms,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = arg.ctx_id;
	return ret;
}

static int set_timeout(struct npu_env *e, uint32_t ctx, uint32_t timeout_ms)
{
	struct drm_npu_ctx_set set = {
		.flags = DRM_NPU_CTX_SET_TIMEOUT, .timeout_ms = timeout_ms,
	};

	return npu_ctx_set(e->fd, ctx, &set);
}

/*
 * How long a job that hangs had the core, in milliseconds, or a negative error.
 * With @then it gets another timeout when it runs.
 */
static long hang_for(struct npu_env *e, struct npu_work *hang,
		     uint32_t timeout_ms, uint32_t then)
{
	struct drm_npu_job_result r = { 0 };
	uint32_t ctx;
	int ret;

	ret = ctx_with_timeout(e, timeout_ms, &ctx);
	if (!ret)
		ret = npu_submit_work(e->fd, ctx, hang, 0);
	if (!ret && then) {
		ret = npu_job_wait(e->fd, ctx, 1, DRM_NPU_JOB_RUNNING, &r);
		if (!ret)
			ret = set_timeout(e, ctx, then);
	}
	if (!ret)
		ret = npu_job_wait(e->fd, ctx, 1, DRM_NPU_JOB_ENDED, &r);
	npu_ctx_destroy(e->fd, ctx);
	if (ret || r.error != -ETIME)
		return ret ? ret : -EPROTO;
	return (r.end_ns - r.start_ns) / 1000000;
}

/* A machine that has other things to do gets three attempts */
static long hang_below(struct npu_env *e, struct npu_work *hang,
		       uint32_t timeout_ms, uint32_t then, long below)
{
	long took = 0;
	int i;

	for (i = 0; i < 3; i++) {
		took = hang_for(e, hang, timeout_ms, then);
		if (took < below)
			break;
	}
	return took;
}

TEST_F(faults, a_context_waits_as_long_as_it_wants_to)
{
	struct drm_npu_device_info *i = &self->e.info;
	struct drm_npu_ctx_query q;
	uint32_t ctx;
	long took;

	took = hang_below(&self->e, &self->hang, i->min_timeout_ms, 0,
			  i->timeout_ms / 2);
	EXPECT_GE(took, i->min_timeout_ms * 9 / 10);
	EXPECT_LT(took, i->timeout_ms / 2);
	took = hang_for(&self->e, &self->hang, i->timeout_ms * 2, 0);
	EXPECT_GE(took, i->timeout_ms * 2 * 9 / 10);

	ASSERT_EQ(0, ctx_with_timeout(&self->e, i->max_timeout_ms, &ctx));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
	EXPECT_EQ(i->max_timeout_ms, q.timeout_ms);
	ASSERT_EQ(0, set_timeout(&self->e, ctx, 0));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
	EXPECT_EQ(i->timeout_ms, q.timeout_ms);
	EXPECT_EQ(-EINVAL, ctx_with_timeout(&self->e, i->min_timeout_ms - 1, &ctx));
	EXPECT_EQ(-EINVAL, ctx_with_timeout(&self->e, i->max_timeout_ms + 1, &ctx));
}

/* The watchdog that is pending is for the time before */
TEST_F(faults, a_running_job_obeys_a_changed_timeout)
{
	struct drm_npu_device_info *i = &self->e.info;
	long took;

	/* After this it is pending for nobody else */
	ASSERT_GE(hang_for(&self->e, &self->hang, i->min_timeout_ms, 0), 0);
	took = hang_below(&self->e, &self->hang, i->max_timeout_ms,
			  i->min_timeout_ms, i->max_timeout_ms / 2);
	EXPECT_GE(took, 0);
	EXPECT_LT(took, i->max_timeout_ms / 2);
	took = hang_for(&self->e, &self->hang, i->timeout_ms / 2,
			i->timeout_ms * 2);
	EXPECT_GE(took, i->timeout_ms * 2 * 9 / 10);
}

/* What one has asked for is not what the next one on the core gets */
TEST_F(faults, a_timeout_is_for_one_context_only)
{
	struct drm_npu_device_info *i = &self->e.info;
	struct drm_npu_job_result r;
	uint32_t quick, slow;

	ASSERT_EQ(0, ctx_with_timeout(&self->e, i->min_timeout_ms, &quick));
	ASSERT_EQ(0, ctx_with_timeout(&self->e, 0, &slow));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, quick, &self->hang, 0));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, slow, &self->hang, 0));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, quick, 1, DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(-ETIME, r.error);
	ASSERT_EQ(0, npu_job_wait(self->e.fd, slow, 1, DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(-ETIME, r.error);
	EXPECT_GE(r.end_ns - r.start_ns, i->timeout_ms * 900000ull);
}

TEST_F(faults, a_hang_bans_its_context)
{
	uint32_t ctx, queued[3];
	int i;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->hang, self->sync));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &queued[i]));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->w,
					     queued[i]));
	}
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-ECANCELED, npu_syncobj_status(self->e.fd, queued[i],
							 0));
	}
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &self->w))
		TH_LOG("a cancelled job ran");
	EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, ctx, &self->w, 0));
	EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, ctx, &self->w,
					self->sync));
	EXPECT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
	EXPECT_EQ(-ENOENT, npu_submit_work(self->e.fd, ctx, &self->w, 0));
}

TEST_F(faults, a_ban_leaves_other_contexts_of_the_file_alone)
{
	uint32_t ctx;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->hang, self->sync));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, ctx, &self->w, 0));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	EXPECT_EQ(0, npu_work_run(&self->e, ctx, &self->w));
}

TEST_F(faults, every_core_recovers_from_hangs_again_and_again)
{
	uint64_t left = self->e.info.core_mask;
	unsigned int core;
	int i;

	while (left) {
		left = npu_next_core(left, &core);
		for (i = 0; i < 3; i++) {
			EXPECT_EQ(-ETIME, outcome(&self->e, 1ull << core,
						  &self->hang.task, 1));
			EXPECT_EQ(NPU_DONE, outcome(&self->e, 1ull << core,
						    &self->w.task, 1));
		}
	}
}

TEST_F(faults, tasks_before_a_hang_have_done_their_work)
{
	struct drm_npu_task tasks[3] = {
		self->w.task, self->hang.task, self->w.task,
	};

	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	EXPECT_EQ(-ETIME, outcome(&self->e, 0, tasks, 3));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
}

/* The main read DMA of a convolution waits for ever when it is enabled */
TEST_F(faults, a_convolution_that_reads_twice_hangs)
{
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 13));
	rknn_patch(&w.stream, RKNN_RDMA_FEATURE_MODE, 0x7800);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	EXPECT_EQ(-ETIME, outcome(&self->e, 0, &w.task, 1));
}

TEST_F(faults, the_wrong_completion_unit_never_completes)
{
	struct rknn_pool shape = {
		.op = RKNN_POOL_MAX, .w = 8, .h = 8, .c = 16, .kw = 2, .kh = 2,
		.stride = 2,
	};
	struct npu_work pool;

	ASSERT_EQ(0, npu_work_pool(&self->e, &pool, &shape, 1));
	pool.task.done_unit = RKNN_DONE_DPU;
	EXPECT_EQ(-ETIME, outcome(&self->e, 0, &pool.task, 1));
	pool.task.done_unit = RKNN_DONE_PPU;
	EXPECT_EQ(NPU_DONE, outcome(&self->e, 0, &pool.task, 1));
	self->w.task.done_unit = RKNN_DONE_PPU;
	EXPECT_EQ(-ETIME, outcome(&self->e, 0, &self->w.task, 1));
	self->w.task.done_unit = RKNN_DONE_DPU;
}

/* The timeout is for one step without progress, not for a whole job */
TEST_F(faults, a_long_job_that_progresses_is_no_hang)
{
	int64_t limit = self->e.info.timeout_ms * 1000000ll, start, took;
	struct drm_npu_task *tasks;
	struct npu_work w;
	uint32_t count;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 256, 512, 512, 14));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w,
				    self->e.info.timeout_ms * 2, &count));
	tasks = npu_repeat(&w, self->e.info.max_tasks);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_work_arm(&self->e, &w));
	for (;;) {	/* until it is long enough to prove something */
		start = npu_now_ns();
		ASSERT_EQ(NPU_DONE, outcome(&self->e, 0, tasks, count));
		took = npu_now_ns() - start;
		if (took > limit * 3 / 2 || count == self->e.info.max_tasks)
			break;
		count = count * 2 < self->e.info.max_tasks ?
			count * 2 : self->e.info.max_tasks;
	}
	EXPECT_GT(took, limit) TH_LOG("no job can be that long");
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	free(tasks);
}

struct stray {
	const char *what;
	uint32_t reg;
};

/* Registers of a product that hold addresses */
static const struct stray strays[] = {
	{ "features", 0x1070 },
	{ "weights", 0x1110 },
	{ "output", 0x4020 },
};

TEST_F(faults, unmapped_addresses_fault)
{
	uint64_t hole = (self->e.info.va_end >> 1) & ~0xfffffull;
	uint64_t va[] = { 0, hole, self->e.info.va_end - 4096 };
	struct npu_work w;
	size_t n, i;

	for (n = 0; n < ARRAY_SIZE(strays); n++) {
		for (i = 0; i < ARRAY_SIZE(va); i++) {
			ASSERT_EQ(0, npu_work_small(&self->e, &w, 15));
			rknn_patch(&w.stream, strays[n].reg, va[i]);
			ASSERT_EQ(0, npu_work_stream(&self->e, &w));
			EXPECT_EQ(-EFAULT, outcome(&self->e, 0, &w.task, 1))
				TH_LOG("%s at %llx", strays[n].what,
				       (unsigned long long)va[i]);
			EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
			npu_work_free(&self->e, &w);
		}
	}
}

TEST_F(faults, reading_past_the_end_of_a_buffer_faults)
{
	struct npu_work w;

	/* The operands of one page each come to lie in the last half of it */
	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 64, 32, 15));
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, w.bo[NPU_IN].va,
			       w.bo[NPU_IN].size));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, w.bo[NPU_IN].handle,
				(self->e.info.va_end >> 1) & ~0xfffffull,
				w.bo[NPU_IN].size, 0, 0));
	rknn_patch(&w.stream, 0x1070,
		   ((self->e.info.va_end >> 1) & ~0xfffffull) + 2048);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	EXPECT_EQ(-EFAULT, outcome(&self->e, 0, &w.task, 1));
}

TEST_F(faults, a_fault_bans_its_context)
{
	struct npu_work w;
	uint32_t ctx, queued;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 16));
	rknn_patch(&w.stream, 0x4020, 0);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &queued));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &w, self->sync));
	npu_submit_work(self->e.fd, ctx, &self->w, queued);
	EXPECT_EQ(-EFAULT, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_NE(NPU_DONE, npu_syncobj_status(self->e.fd, queued, 0));
	EXPECT_EQ(-EIO, npu_submit_work(self->e.fd, ctx, &self->w, 0));
}

TEST_F(faults, every_core_recovers_from_faults_again_and_again)
{
	uint64_t left = self->e.info.core_mask;
	struct npu_work w;
	unsigned int core;
	int i;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 17));
	while (left) {
		left = npu_next_core(left, &core);
		for (i = 0; i < 9; i++) {
			rknn_patch(&w.stream, strays[i % 3].reg, 0);
			ASSERT_EQ(0, npu_work_stream(&self->e, &w));
			EXPECT_EQ(-EFAULT, outcome(&self->e, 1ull << core,
						   &w.task, 1));
			EXPECT_EQ(NPU_DONE, outcome(&self->e, 1ull << core,
						    &self->w.task, 1));
		}
	}
}

TEST_F(faults, writing_through_a_read_only_mapping_faults)
{
	struct npu_bo *out;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 18));
	out = &w.bo[NPU_OUT];
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, out->va, out->size));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, out->handle, out->va,
				out->size, 0, DRM_NPU_BIND_READONLY));
	EXPECT_EQ(-EFAULT, outcome(&self->e, 0, &w.task, 1));
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
}

/* What is unmapped after the submit and before the job runs is gone */
TEST_F(faults, a_stream_that_is_unmapped_while_queued_faults)
{
	unsigned int core = npu_first_core(&self->e);
	uint32_t blocker, ctx;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 19));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core,
				    &blocker));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core,
				    &ctx));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, blocker, &self->hang, 0));
	npu_sleep_ms(20);	/* on the core before the other comes */
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &w, self->sync));
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, w.bo[NPU_CMD].va,
			       w.bo[NPU_CMD].size));
	EXPECT_EQ(-EFAULT, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
}

/* Nothing of a program stays on the core for the next client to run */
TEST_F(faults, a_bare_enable_word_runs_nobodys_program)
{
	static const uint32_t enable[] = {
		RKNN_EN_EW, RKNN_EN_CONV, RKNN_EN_POOL,
	};
	struct rknn_ew shape = { .op = RKNN_EW_ADD, .w = 8, .h = 8 };
	struct npu_work program, bare;
	struct npu_env other;
	struct npu_bo trap;
	size_t n;
	int i;

	ASSERT_EQ(0, npu_work_ew(&self->e, &program, &shape, 20));
	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_bo_new(other.fd, 4096, 0, 0, &trap));
	memset(trap.map, NPU_CANARY, trap.size);
	ASSERT_EQ(0, npu_bo_sync(other.fd, &trap, DRM_NPU_SYNC_TO_DEVICE));
	for (i = NPU_IN; i <= NPU_OUT; i++) {
		if (program.bo[i].va) {
			ASSERT_EQ(0, npu_map_at(other.fd, other.vm, trap.handle,
						program.bo[i].va, 4096, 0, 0));
		}
	}
	ASSERT_EQ(0, npu_work_hang(&other, &bare));
	for (n = 0; n < ARRAY_SIZE(enable); n++) {
		bare.stream.count = 0;
		rknn_finish(&bare.stream, enable[n]);
		ASSERT_EQ(0, npu_work_stream(&other, &bare));
		for (i = 0; i < 3; i++) {	/* both register groups */
			EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &program));
		}
		EXPECT_NE(NPU_DONE, outcome(&other, 1, &bare.task, 1));
		npu_bo_sync(other.fd, &trap, DRM_NPU_SYNC_FROM_DEVICE);
		for (i = 0; i < 4096; i++) {
			ASSERT_EQ(NPU_CANARY, trap.map[i])
				TH_LOG("the program of another file ran");
		}
	}
	npu_env_close(&other);
}

/* A stream that first writes one register, whoever that belongs to */
static int tampering_work(struct npu_env *e, struct npu_work *w, uint16_t unit,
			  uint32_t reg, uint32_t value)
{
	int ret = npu_work_small(e, w, 21);

	if (ret)
		return ret;
	memmove(w->stream.words + 2, w->stream.words, w->stream.count * 8);
	w->stream.words[0] = (uint64_t)unit << 48 | (uint64_t)value << 16 | reg;
	w->stream.words[1] = 0;
	w->stream.count += 2;
	return npu_work_stream(e, w);
}

struct tampering {
	uint32_t reg, value;
	int job;	/* which one of three in a context fails, or zero */
};

/*
 * Jobs with such a stream in one context, and between the first two and at the end
 * one without it in another, all on one core and in one address space; what went
 * wrong.
 */
static int tamper(struct npu_env *e, const struct tampering *t)
{
	struct drm_npu_job_result r[3];
	struct drm_npu_ctx_query q;
	struct npu_work bad, good;
	uint32_t ctx, next;
	int n, failed = 0, ret;

	ret = tampering_work(e, &bad, RKNN_PC, t->reg, t->value);
	if (!ret)
		ret = npu_work_small(e, &good, 24);
	if (!ret)
		ret = ctx_with_timeout(e, 500, &ctx);
	if (!ret)
		ret = ctx_with_timeout(e, 0, &next);
	for (n = 0; n < 3 && !ret && !failed; n++) {
		ret = npu_submit_work(e->fd, ctx, &bad, 0);
		if (!ret)
			ret = npu_job_wait(e->fd, ctx, n + 1, DRM_NPU_JOB_ENDED,
					   &r[n]);
		if (!ret && r[n].error)
			failed = n + 1;
		if (!ret && !n)
			ret = npu_work_run(e, next, &good);
	}
	if (!ret)
		ret = npu_work_run(e, next, &good);
	if (!ret)
		ret = npu_ctx_query(e->fd, ctx, &q);
	if (ret)
		return ret;
	if (failed != t->job)
		return -EBADE;
	if (failed && (r[failed - 1].error != -EIO ||
		       r[failed - 1].fault_flags != DRM_NPU_FAULT_STREAM ||
		       q.fault_flags != DRM_NPU_FAULT_STREAM ||
		       q.fault_error != -EIO || q.fault_job != failed))
		return -EPROTO;
	npu_ctx_destroy(e->fd, ctx);
	npu_ctx_destroy(e->fd, next);
	npu_work_free(e, &bad);
	npu_work_free(e, &good);
	return 0;
}

/*
 * Registers that are the kernel's. What a stream does to its own task shows at
 * once, or when there is no progress, and is told as what it is. What it does to
 * tasks that come later hits those of its own context, and nobody else's.
 */
TEST_F(faults, a_stream_that_changes_what_is_the_kernels_is_told_apart)
{
	static const struct tampering t[] = {
		{ RKNN_PC_INT_MASK, 0x1ffff, 1 },
		{ RKNN_PC_INT_MASK, 0x000ff, 1 },
		{ RKNN_PC_INT_MASK, 0x00c00, 1 },
		{ RKNN_PC_INT_MASK, 0, 1 },
		{ RKNN_PC_INT_CLEAR, 0x1ffff, 0 },
		{ RKNN_PC_OP_EN, 1, 0 },
		{ RKNN_PC_OP_EN, 0, 0 },
		{ RKNN_PC_TASK_CON, 0x5002, 0 },
		{ RKNN_PC_TASK_CON, 0x5000, 0 },
		{ RKNN_PC_TASK_DMA_BASE, 0x10000, 3 },
	};
	struct npu_env other;
	size_t n;

	ASSERT_EQ(0, npu_env_open(&other));
	for (n = 0; n < ARRAY_SIZE(t); n++) {
		EXPECT_EQ(0, tamper(&other, &t[n])) TH_LOG("case %zu", n);
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w))
			TH_LOG("case %zu: somebody else", n);
	}
	npu_env_close(&other);
}

TEST_F(faults, streams_that_write_the_fetcher_harm_themselves_only)
{
	struct { uint32_t unit, reg, value; } s[] = {
		{ RKNN_PC, RKNN_PC_BASE, 1 },
		{ RKNN_PC, RKNN_PC_BASE, 0 },
		{ RKNN_PC, RKNN_PC_BASE, 0xfffffff0 },
		{ RKNN_PC, RKNN_PC_AMOUNT, 0xffff },
		{ RKNN_CNA, RKNN_CNA_S_POINTER, 0 },
		{ RKNN_CNA, RKNN_CNA_S_POINTER, 0x3000000e },
		{ RKNN_CORE, RKNN_CORE_S_POINTER, 0 },
		{ RKNN_DPU, RKNN_DPU_S_POINTER, 0 },
	};
	struct npu_env other;
	struct npu_work w;
	size_t n;

	ASSERT_EQ(0, npu_env_open(&other));
	for (n = 0; n < ARRAY_SIZE(s); n++) {
		ASSERT_EQ(0, tampering_work(&other, &w, s[n].unit, s[n].reg,
					    s[n].value));
		EXPECT_NE(-ETIMEDOUT, outcome(&other, 0, &w.task, 1))
			TH_LOG("case %zu", n);
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w))
			TH_LOG("case %zu", n);
		npu_work_free(&other, &w);
	}
	npu_env_close(&other);
}

/* The second start comes when the driver may believe the task has ended */
TEST_F(faults, a_stream_that_starts_twice_harms_itself_only)
{
	struct rknn_ew shape = { .op = RKNN_EW_ADD, .w = 4, .h = 4 };
	struct npu_work first, second;
	struct npu_env other;
	struct npu_bo cmd;
	size_t size;
	int i;

	ASSERT_EQ(0, npu_env_open(&other));
	ASSERT_EQ(0, npu_work_ew(&other, &first, &shape, 1));
	ASSERT_EQ(0, npu_work_matmul(&other, &second, 256, 256, 256, 2));
	ASSERT_EQ(0, npu_bo_new(other.fd, 4096, 0, 0, &cmd));
	ASSERT_EQ(0, npu_map(other.fd, other.vm, &cmd, 0));
	size = first.stream.count * 8;
	memcpy(cmd.map, first.stream.words, size);
	memcpy(cmd.map + size, second.stream.words, second.stream.count * 8);
	ASSERT_EQ(0, npu_bo_sync(other.fd, &cmd, DRM_NPU_SYNC_TO_DEVICE));
	first.task.cmd_va = cmd.va;
	first.task.cmd_size = size + second.stream.count * 8;
	for (i = 0; i < 6; i++) {
		EXPECT_NE(-ETIMEDOUT, outcome(&other, 1ull << i % 3 &
					      self->e.info.core_mask,
					      &first.task, 1));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
	}
	npu_env_close(&other);
}

static void random_stream(struct rknn_stream *s, unsigned int seed)
{
	static const uint16_t targets[] = {
		RKNN_PC, RKNN_CNA, RKNN_CORE, RKNN_DPU, RKNN_RDMA, RKNN_PPU,
		RKNN_PPU_RDMA, RKNN_FENCE, RKNN_ENABLE, 0xffff,
	};
	uint32_t reg;

	s->count = 0;
	while (s->count < 100) {
		reg = npu_random(&seed) & 0xfffc;
		rknn_emit(s, targets[npu_random(&seed) % 10],
			  npu_random(&seed) & 1 ? reg & 0x7fc : reg,
			  npu_random(&seed) << 8 ^ npu_random(&seed));
	}
	rknn_finish(s, npu_random(&seed));
}

/* A whole program with a few registers changed at random */
static void shaken_stream(struct rknn_stream *s, unsigned int seed)
{
	int changes = 1 + npu_random(&seed) % 4;
	uint64_t *word;

	while (changes--) {
		word = &s->words[npu_random(&seed) % s->count];
		*word ^= (uint64_t)1 << (16 + npu_random(&seed) % 32);
	}
}

/*
 * In files of their own: what lies in their address spaces is fair game. One for
 * each core, because most of what they do hangs.
 */
#define CULPRITS	3

struct culprit {
	struct npu_env e;
	struct npu_work w;
	uint32_t ctx, program, sync;
};

static int culprit_open(struct culprit *c)
{
	int ret = npu_env_open(&c->e);

	if (!ret)
		ret = npu_work_small(&c->e, &c->w, 23);
	return ret ? ret : npu_syncobj_create(c->e.fd, 0, &c->sync);
}

static int culprit_run_stream(struct culprit *c, unsigned int seed)
{
	struct drm_npu_task task = c->w.task;
	struct rknn_stream stream = c->w.stream;
	int ret = npu_ctx_create(c->e.fd, c->e.vm, 0, &c->ctx);

	if (ret)
		return ret;
	if (seed & 1)
		random_stream(&stream, seed);
	else
		shaken_stream(&stream, seed);
	task.cmd_size = stream.count * sizeof(stream.words[0]);
	memcpy(c->w.bo[NPU_CMD].map, stream.words, task.cmd_size);
	npu_bo_sync(c->e.fd, &c->w.bo[NPU_CMD], DRM_NPU_SYNC_TO_DEVICE);
	return npu_submit_tasks(c->e.fd, c->ctx, &task, 1, c->sync);
}

static int culprit_run_program(struct culprit *c, unsigned int seed)
{
	struct drm_npu_patch patches[3] = { 0 };
	struct drm_npu_value values[3];
	int n, ret;

	for (n = 0; n < 3; n++) {
		patches[n].offset = npu_random(&seed) % c->w.stream.count * 8 +
				    npu_random(&seed) % 5;
		values[n].va = (npu_random(&seed) << 8 ^ npu_random(&seed)) %
			       c->e.info.va_end;
	}
	ret = npu_program_of_work(&c->e, &c->w, patches, 3, &c->program);
	if (!ret)
		ret = npu_ctx_create(c->e.fd, c->e.vm, 0, &c->ctx);
	return ret ? ret : npu_submit_program(c->e.fd, c->ctx, c->program,
					      values, 3, c->sync);
}

/* How it ended; true if that is one of the ways in which it may */
static bool culprit_ended(struct culprit *c)
{
	int status = npu_syncobj_status(c->e.fd, c->sync, 0);

	npu_ctx_destroy(c->e.fd, c->ctx);
	npu_program_destroy(c->e.fd, c->program);
	return status == NPU_DONE || status == -ETIME || status == -EFAULT ||
	       status == -EIO;
}

/* Culprits on all cores, and somebody innocent behind them; what went wrong */
static int run_culprits(struct npu_env *e, struct npu_work *innocent,
			int (*run)(struct culprit *c, unsigned int seed),
			unsigned int seeds)
{
	struct culprit c[CULPRITS] = { 0 };
	unsigned int seed, n;
	int ret = 0;

	for (n = 0; n < CULPRITS && !ret; n++)
		ret = culprit_open(&c[n]);
	for (seed = 0; seed < seeds && !ret; seed += CULPRITS) {
		for (n = 0; n < CULPRITS && !ret; n++)
			ret = run(&c[n], seed + n);
		for (n = 0; n < CULPRITS && !ret; n++)
			ret = culprit_ended(&c[n]) ? 0 : -EPROTO;
		if (!ret)
			ret = npu_work_run_everywhere(e, innocent);
		if (ret)
			printf("# seeds from %u on\n", seed);
	}
	for (n = 0; n < CULPRITS; n++)
		npu_env_close(&c[n].e);
	return ret;
}

TEST_F_TIMEOUT(faults, random_streams_harm_themselves_only, 600)
{
	EXPECT_EQ(0, run_culprits(&self->e, &self->w, culprit_run_stream, 30));
}

/* Any word of a program patched with anything, those that start units included */
TEST_F_TIMEOUT(faults, random_values_harm_themselves_only, 600)
{
	EXPECT_EQ(0, run_culprits(&self->e, &self->w, culprit_run_program, 18));
}

/* One attacker: faults and hangs until it is killed */
static void attack(unsigned int seed)
{
	struct drm_npu_patch patch = { 0 };
	struct drm_npu_value value;
	struct npu_work bad, hang;
	uint32_t program, ctx;
	struct npu_env e;

	if (npu_env_open(&e) || npu_work_small(&e, &bad, seed) ||
	    npu_work_hang(&e, &hang))
		_exit(1);
	patch.offset = rknn_value_at(&bad.stream, strays[seed % 3].reg);
	if (npu_program_of_work(&e, &bad, &patch, 1, &program))
		_exit(1);
	rknn_patch(&bad.stream, strays[seed % 3].reg, 0);
	npu_work_stream(&e, &bad);
	for (;;) {
		outcome(&e, 0, &bad.task, 1);
		value.va = npu_random(&seed) << 4;
		if (!npu_ctx_create(e.fd, e.vm, 0, &ctx)) {
			npu_submit_program(e.fd, ctx, program, &value, 1, 0);
			npu_submit_program(e.fd, ctx, program, NULL, 0, 0);
			npu_ctx_destroy(e.fd, ctx);
		}
		if (npu_random(&seed) % 4 == 0)
			outcome(&e, 0, &hang.task, 1);
	}
}

TEST_F(faults, innocents_get_right_results_among_attackers)
{
	struct npu_work w[2];
	pid_t pid[3];
	int64_t end;
	int runs = 0;
	size_t n;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w[0], 64, 64, 64, 24));
	ASSERT_EQ(0, npu_work_matmul(&self->e, &w[1], 16, 128, 32, 25));
	for (n = 0; n < ARRAY_SIZE(pid); n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			attack(n);
	}
	end = npu_now_ns() + 8 * self->e.info.timeout_ms * 1000000ll;
	while (npu_now_ns() < end) {
		ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx,
					  &w[runs++ % 2]));
	}
	for (n = 0; n < ARRAY_SIZE(pid); n++) {
		kill(pid[n], SIGKILL);
		ASSERT_EQ(pid[n], waitpid(pid[n], NULL, 0));
	}
	EXPECT_GT(runs, 2);
}

/* Three files with 20 jobs each that would never end, on every core */
TEST_F(faults, queues_of_hanging_jobs_hold_nobody_up_for_long)
{
	int64_t limit = self->e.info.timeout_ms * 1000000ll;
	struct npu_work hang[3];
	struct npu_env e[3];
	int64_t start;
	int i, n;

	for (n = 0; n < 3; n++) {
		ASSERT_EQ(0, npu_env_open(&e[n]));
		ASSERT_EQ(0, npu_work_hang(&e[n], &hang[n]));
		for (i = 0; i < 20; i++) {
			ASSERT_EQ(0, npu_submit_work(e[n].fd, e[n].ctx,
						     &hang[n], 0));
		}
	}
	npu_sleep_ms(10);
	start = npu_now_ns();
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_LE(npu_now_ns() - start, 3 * limit + 1000000000)
		TH_LOG("a file may waste one timeout, not twenty");
	for (n = 0; n < 3; n++) {
		start = npu_now_ns();
		npu_env_close(&e[n]);
		EXPECT_LE(npu_now_ns() - start, 3 * limit + 1000000000);
	}
}

TEST_HARNESS_MAIN
