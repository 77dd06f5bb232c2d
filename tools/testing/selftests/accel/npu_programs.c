// SPDX-License-Identifier: GPL-2.0-only
/*
 * PROGRAM_CREATE, PROGRAM_DESTROY: task lists that are checked once and run by
 * their number, with other addresses in each run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

/* A run of the programs below may have other operands and another result */
#define VALUES	3

FIXTURE(programs)
{
	struct npu_env e;
	struct npu_work w;
	uint32_t sync;
};

FIXTURE_SETUP(programs)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
}

FIXTURE_TEARDOWN(programs)
{
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
	npu_env_close(&self->e);
}

/* The addresses of a product, and where its stream has them */
static void patches_of(const struct npu_work *w, struct drm_npu_patch *p)
{
	static const uint32_t reg[VALUES] = {
		RKNN_CNA_FEATURES, RKNN_CNA_WEIGHTS, RKNN_DPU_OUT,
	};
	int n;

	memset(p, 0, VALUES * sizeof(*p));
	for (n = 0; n < VALUES; n++)
		p[n].offset = rknn_value_at(&w->stream, reg[n]);
}

static void values_of(const struct npu_work *w, struct drm_npu_value *v)
{
	v[0].va = w->bo[NPU_IN].va;
	v[1].va = w->bo[NPU_AUX].va;
	v[2].va = w->bo[NPU_OUT].va;
}

/* A program that can compute any product of the shape of this one */
static int make_product(struct npu_env *e, const struct npu_work *w,
			uint32_t *program)
{
	struct drm_npu_patch patches[VALUES];

	patches_of(w, patches);
	return npu_program_of_work(e, w, patches, VALUES, program);
}

/* Runs it and waits: the status of the fence, and the result of the job */
static int run(struct npu_env *e, uint32_t ctx, uint32_t program,
	       struct drm_npu_value *values, uint32_t count,
	       struct drm_npu_job_result *result)
{
	struct drm_npu_job job = { .program_id = program };

	if (count)
		job.values = NPU_ARRAY(values, count);
	return npu_run_job(e, ctx, &job, result);
}

/* The same for a run that must give the bytes of @w, its default if @values */
static int run_right(struct npu_env *e, uint32_t ctx, uint32_t program,
		     struct drm_npu_value *values, struct npu_work *w)
{
	struct drm_npu_job_result r;
	int ret = npu_work_arm(e, w);

	if (!ret)
		ret = run(e, ctx, program, values, values ? VALUES : 0, &r);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	return npu_work_check(e, w) ? -EBADMSG : 0;
}

TEST_F(programs, a_program_computes_on_every_core)
{
	uint64_t left = self->e.info.core_mask;
	struct drm_npu_job_result r;
	uint32_t program, ctx;
	unsigned int core;
	int i;

	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
					 &program));
	EXPECT_NE(0, program);
	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
			EXPECT_EQ(NPU_DONE, run(&self->e, ctx, program, NULL, 0,
						&r));
			EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
			EXPECT_EQ(core, r.core);
			EXPECT_EQ(1, r.tasks_done);
			EXPECT_EQ(0, r.error);
		}
	}
	EXPECT_EQ(0, npu_program_destroy(self->e.fd, program));
}

/* Neither the memory it was made from nor the buffer of the stream is needed */
TEST_F(programs, a_program_is_a_copy)
{
	struct drm_npu_program_create arg = {
		.vm_id = self->e.vm,
		.cmds_size = self->w.task.cmd_size,
	};
	size_t size = self->w.task.cmd_size;
	struct drm_npu_task *task;
	struct npu_work copy = self->w;
	uint32_t program;
	uint8_t *p;

	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	task = (void *)(p + 4096);
	memcpy(p, self->w.stream.words, size);
	*task = self->w.task;
	task->cmd_va = 0;
	arg.cmds = (uintptr_t)p;
	arg.tasks = (struct drm_npu_array)NPU_ARRAY(task, 1);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	memset(p, 0xff, 8192);
	munmap(p, 8192);
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, copy.bo[NPU_CMD].va,
			       copy.bo[NPU_CMD].size));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL,
			       &self->w));
	ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, copy.bo[NPU_CMD].handle,
				copy.bo[NPU_CMD].va, copy.bo[NPU_CMD].size, 0,
				0));
}

TEST_F(programs, a_program_runs_many_times)
{
	uint32_t program, n, count = self->e.info.max_queued;
	struct drm_npu_job_result r;

	if (count > 500)
		count = 500;
	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
					 &program));
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	for (n = 0; n < count; n++) {
		ASSERT_EQ(0, npu_submit_program(self->e.fd, self->e.ctx,
						program, NULL, 0, self->sync));
	}
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, count, &r));
	EXPECT_EQ(DRM_NPU_JOB_ENDED, r.state);
	EXPECT_EQ(0, r.error);
}

static const struct rknn_pool pool_shape = {
	.op = RKNN_POOL_MAX, .w = 8, .h = 8, .c = 16, .kw = 2, .kh = 2,
	.stride = 2,
};

TEST_F(programs, a_program_may_end_in_another_unit)
{
	struct npu_work pool;
	uint32_t program;

	ASSERT_EQ(0, npu_work_pool(&self->e, &pool, &pool_shape, 5));
	ASSERT_EQ(0, npu_program_of_work(&self->e, &pool, NULL, 0, &program));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL, &pool));
}

/* The streams of many works one behind the other */
static uint8_t *join(const struct npu_work *w, unsigned int count,
		     struct drm_npu_task *tasks, __u64 *size)
{
	uint8_t *cmds = calloc(count, sizeof(w->stream.words));
	unsigned int n;

	*size = 0;
	for (n = 0; cmds && n < count; n++) {
		memcpy(cmds + *size, w[n].stream.words, w[n].task.cmd_size);
		tasks[n] = w[n].task;
		tasks[n].cmd_va = *size;
		*size += w[n].task.cmd_size;
	}
	return cmds;
}

/* Each task works on what the one before has written */
TEST_F(programs, tasks_of_a_program_run_in_order)
{
	enum { TASKS = 64 };
	struct drm_npu_program_create arg = { .vm_id = self->e.vm };
	struct drm_npu_task tasks[TASKS];
	struct drm_npu_job_result r;
	struct npu_work w[TASKS];
	uint32_t program;
	uint8_t *cmds;
	int n, i;

	ASSERT_EQ(0, npu_work_chain(&self->e, w, TASKS, 600));
	cmds = join(w, TASKS, tasks, &arg.cmds_size);
	ASSERT_NE(NULL, cmds);
	arg.cmds = (uintptr_t)cmds;
	arg.tasks = (struct drm_npu_array)NPU_ARRAY(tasks, TASKS);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	free(cmds);
	for (i = 0; i < 4; i++) {
		for (n = 0; n < TASKS; n++) {
			ASSERT_EQ(0, npu_work_arm(&self->e, &w[n]));
		}
		EXPECT_EQ(NPU_DONE, run(&self->e, self->e.ctx, program, NULL, 0,
					&r));
		EXPECT_EQ(TASKS, r.tasks_done);
		for (n = 0; n < TASKS; n++) {
			EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
		}
	}
}

/* One stream that is as many tasks as a program may have */
TEST_F(programs, a_program_has_up_to_max_tasks)
{
	uint32_t max = self->e.info.max_tasks, program, n;
	struct drm_npu_task *tasks = npu_repeat(&self->w, max + 1);
	struct drm_npu_program_create arg = {
		.vm_id = self->e.vm,
		.cmds = (uintptr_t)self->w.stream.words,
		.cmds_size = self->w.task.cmd_size,
		.tasks = { sizeof(*tasks), max + 1, (uintptr_t)tasks },
	};
	struct drm_npu_job_result r;

	ASSERT_NE(NULL, tasks);
	for (n = 0; n <= max; n++)
		tasks[n].cmd_va = 0;
	EXPECT_EQ(-E2BIG, npu_program_create(self->e.fd, &arg, &program));
	arg.tasks.count = ~0u;
	EXPECT_EQ(-E2BIG, npu_program_create(self->e.fd, &arg, &program));
	arg.tasks.count = max;
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	free(tasks);
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	EXPECT_EQ(NPU_DONE, run(&self->e, self->e.ctx, program, NULL, 0, &r));
	EXPECT_EQ(max, r.tasks_done);
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
}

TEST_F(programs, a_run_may_have_other_addresses)
{
	struct drm_npu_value values[VALUES];
	struct npu_work w[5];
	uint32_t program;
	int n, i;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	for (n = 0; n < 5; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], 40 + n));
	}
	for (i = 0; i < 20; i++) {
		n = i * 3 % 5;
		values_of(&w[n], values);
		EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, values,
				       &w[n]))
			TH_LOG("round %d", i);
	}
}

/* What a run has patched is not there in one that patches nothing */
TEST_F(programs, runs_without_values_have_those_of_its_creation)
{
	uint64_t left = self->e.info.core_mask;
	struct drm_npu_value values[VALUES];
	uint32_t program, ctx;
	unsigned int core;
	struct npu_work w;
	int i;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 50));
	values_of(&w, values);
	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		for (i = 0; i < 4; i++) {
			EXPECT_EQ(0, run_right(&self->e, ctx, program, values,
					       &w));
			ASSERT_EQ(0, npu_work_arm(&self->e, &w));
			EXPECT_EQ(0, run_right(&self->e, ctx, program, NULL,
					       &self->w));
			EXPECT_EQ(0, npu_work_check_untouched(&self->e, &w));
		}
	}
}

/*
 * The same behind @count tasks that do something else: what is patched is used
 * long after the run has begun, when others on other cores have begun as well.
 */
static int make_late_product(struct npu_env *e, const struct npu_work *delay,
			     uint32_t count, const struct npu_work *w,
			     uint32_t *program)
{
	struct drm_npu_task *tasks = npu_repeat(delay, count + 1);
	struct drm_npu_patch patches[VALUES];
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.cmds_size = delay->task.cmd_size + w->task.cmd_size,
		.tasks = { sizeof(*tasks), count + 1, (uintptr_t)tasks },
		.patches = NPU_ARRAY(patches, VALUES),
	};
	uint8_t cmds[2 * sizeof(w->stream.words)];
	uint32_t n;
	int ret;

	if (!tasks)
		return -ENOMEM;
	memcpy(cmds, delay->stream.words, delay->task.cmd_size);
	memcpy(cmds + delay->task.cmd_size, w->stream.words, w->task.cmd_size);
	arg.cmds = (uintptr_t)cmds;
	for (n = 0; n < count; n++)
		tasks[n].cmd_va = 0;
	tasks[count] = w->task;
	tasks[count].cmd_va = delay->task.cmd_size;
	patches_of(w, patches);
	for (n = 0; n < VALUES; n++)
		patches[n].offset += delay->task.cmd_size;
	ret = npu_program_create(e->fd, &arg, program);
	free(tasks);
	return ret;
}

enum { FLIGHT = 60 };

/* Runs of one program in contexts of any core, all with values of their own */
static int fly(struct npu_env *e, const uint32_t *ctx, unsigned int ctxs,
	       uint32_t program, struct npu_work *w, unsigned int seed,
	       uint32_t *sync)
{
	struct drm_npu_value values[VALUES];
	int n, ret = 0;

	for (n = 0; n < FLIGHT && !ret; n++)
		ret = npu_work_arm(e, &w[n]);
	for (n = 0; n < FLIGHT && !ret; n++) {
		values_of(&w[n], values);
		ret = npu_submit_program(e->fd,
					 ctx[npu_random(&seed) % ctxs],
					 program, values, VALUES, sync[n]);
	}
	return ret;
}

TEST_F(programs, runs_with_different_values_fly_side_by_side)
{
	uint32_t program, ctx[12], sync[FLIGHT];
	struct npu_work w[FLIGHT];
	int n, i;

	ASSERT_EQ(0, make_late_product(&self->e, &self->w, 12, &self->w,
				       &program));
	for (n = 0; n < FLIGHT; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], 60 + n));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[n]));
	}
	for (n = 0; n < 12; n++) {	/* some on one core, some anywhere */
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    n % 2 ? 0 : 1ull << n / 2 % 3 &
					    self->e.info.core_mask, &ctx[n]));
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, fly(&self->e, ctx, 12, program, w, i, sync));
		for (n = 0; n < FLIGHT; n++) {
			EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd,
							       sync[n], 0));
			EXPECT_EQ(0, npu_work_check(&self->e, &w[n]))
				TH_LOG("round %d, run %d", i, n);
		}
	}
}

enum { CORES = 3 };

/* One long program, run on each core with values of its own */
struct spread {
	uint32_t cores, ctx[CORES], sync[CORES], program;
	struct npu_work w[CORES];
	struct drm_npu_job_result r[CORES];
};

/* True when all ran at the same time; negative when anything is wrong */
static int spread_run(struct npu_env *e, struct spread *s)
{
	struct drm_npu_value values[VALUES];
	bool overlap = true;
	uint32_t n;
	int ret = 0;

	for (n = 0; n < s->cores && !ret; n++) {
		ret = npu_work_arm(e, &s->w[n]);
		if (!ret)
			ret = npu_ctx_create(e->fd, e->vm, 1ull << n,
					     &s->ctx[n]);
	}
	for (n = 0; n < s->cores && !ret; n++) {
		values_of(&s->w[n], values);
		ret = npu_submit_program(e->fd, s->ctx[n], s->program, values,
					 VALUES, s->sync[n]);
	}
	for (n = 0; n < s->cores && !ret; n++) {
		if (npu_syncobj_status(e->fd, s->sync[n], 0) != NPU_DONE ||
		    npu_work_check(e, &s->w[n]))
			ret = -EBADMSG;
		if (!ret)
			ret = npu_job_result(e->fd, s->ctx[n], 1, &s->r[n]);
		overlap &= s->r[n].core == n && s->r[0].start_ns < s->r[n].end_ns &&
			   s->r[n].start_ns < s->r[0].end_ns;
		npu_ctx_destroy(e->fd, s->ctx[n]);
	}
	return ret ? ret : overlap;
}

TEST_F(programs, one_program_runs_on_several_cores_at_once)
{
	struct spread s = { .cores = self->e.info.num_cores };
	struct npu_work delay;
	uint32_t n, count;
	int overlap = 0;

	if (s.cores < 2 || s.cores > CORES)
		SKIP(return, "needs 2 or 3 cores");
	ASSERT_EQ(0, npu_work_matmul(&self->e, &delay, 64, 128, 128, 9));
	for (n = 0; n < s.cores; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &s.w[n], n));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &s.sync[n]));
	}
	/* Longer when the machine is so busy that they missed each other */
	for (count = 100; !overlap && count < self->e.info.max_tasks;
	     count *= 2) {
		ASSERT_EQ(0, make_late_product(&self->e, &delay, count, &s.w[0],
					       &s.program));
		overlap = spread_run(&self->e, &s);
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, s.program));
	}
	EXPECT_EQ(1, overlap);
}

/*
 * A place for results that is large enough for all the ways a result can be
 * patched away from @a to @b, and nothing else.
 */
struct field {
	struct npu_bo bo;
	uint64_t base;
};

static int make_field(struct npu_env *e, struct field *f)
{
	int ret = npu_bo_new(e->fd, 0x20000, 0, 0, &f->bo);

	/* Every byte of an address here is small: any four of a word may be. */
	f->base = (e->info.va_end >> 1 & ~0xffffffull) + 0x345000;
	return ret ? ret : npu_map_at(e->fd, e->vm, f->bo.handle, f->base,
				      f->bo.size, 0, 0);
}

/* How much of it is not what must be there: a result at @at and nothing else */
static long field_wrong(struct npu_env *e, struct field *f,
			const struct npu_work *w, uint64_t at)
{
	size_t size = w->bo[NPU_OUT].size;
	long wrong = 0;
	uint64_t n;

	npu_bo_sync(e->fd, &f->bo, DRM_NPU_SYNC_FROM_DEVICE);
	for (n = 0; n < f->bo.size; n++)
		wrong += f->bo.map[n] != (n - at < size ? w->expect[n - at] :
							  NPU_CANARY);
	return wrong;
}

static int field_run(struct npu_env *e, struct field *f, uint32_t program,
		     struct drm_npu_value *value)
{
	struct drm_npu_job_result r;

	memset(f->bo.map, NPU_CANARY, f->bo.size);
	npu_bo_sync(e->fd, &f->bo, DRM_NPU_SYNC_TO_DEVICE);
	return run(e, e->ctx, program, value, value ? 1 : 0, &r);
}

/* The four bytes at @offset as the value that a run gives them */
static uint64_t bytes_at(const struct rknn_stream *s, size_t offset)
{
	uint32_t value;

	memcpy(&value, (const uint8_t *)s->words + offset, sizeof(value));
	return value;
}

TEST_F(programs, a_patch_may_have_any_place_in_a_word)
{
	struct drm_npu_patch patch = { 0 };
	struct drm_npu_value value;
	struct rknn_stream other;
	uint64_t move;
	uint32_t program, pos;
	struct field f;
	size_t word;

	ASSERT_EQ(0, make_field(&self->e, &f));
	rknn_patch(&self->w.stream, RKNN_DPU_OUT, f.base);
	word = rknn_value_at(&self->w.stream, RKNN_DPU_OUT) & ~7ull;
	for (pos = 0; pos <= 4; pos++) {
		/* To an address that differs only in bytes of this patch */
		move = pos < 4 ? 0x1000 : 0x10000;
		other = self->w.stream;
		rknn_patch(&other, RKNN_DPU_OUT, f.base + move);
		patch.offset = word + pos;
		value.va = bytes_at(&other, patch.offset);
		ASSERT_LT(value.va, self->e.info.va_end);
		ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, &patch, 1,
						 &program));
		EXPECT_EQ(NPU_DONE, field_run(&self->e, &f, program, NULL));
		EXPECT_EQ(0, field_wrong(&self->e, &f, &self->w, 0));
		EXPECT_EQ(NPU_DONE, field_run(&self->e, &f, program, &value));
		EXPECT_EQ(0, field_wrong(&self->e, &f, &self->w, move))
			TH_LOG("patch at byte %u of a word", pos);
		EXPECT_EQ(NPU_DONE, field_run(&self->e, &f, program, NULL));
		EXPECT_EQ(0, field_wrong(&self->e, &f, &self->w, 0));
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	}
	rknn_patch(&self->w.stream, RKNN_DPU_OUT, self->w.bo[NPU_OUT].va);
	for (pos = 5; pos < 8; pos++) {
		patch.offset = word + pos;
		EXPECT_EQ(-EINVAL, npu_program_of_work(&self->e, &self->w,
						       &patch, 1, &program));
	}
}

/* The very first bytes of a program, the very last, and what is behind */
TEST_F(programs, patches_lie_in_the_program)
{
	uint64_t size = self->w.task.cmd_size;
	uint64_t good[] = { 0, 4, size - 8, size - 4 };
	uint64_t bad[] = { size - 3, size - 1, size, size + 4, size + 8,
			   1ull << 32, (1ull << 32) + 4, 1ull << 63,
			   ~0ull - 3, ~0ull - 7, ~0ull };
	struct drm_npu_patch patch = { 0 };
	struct drm_npu_value value;
	uint32_t program;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(good); n++) {
		patch.offset = good[n];
		ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, &patch, 1,
						 &program));
		value.va = bytes_at(&self->w.stream, good[n]);
		if (value.va < self->e.info.va_end) {
			ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
			ASSERT_EQ(0, npu_submit_program(self->e.fd, self->e.ctx,
							program, &value, 1,
							self->sync));
			EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd,
							       self->sync, 0));
			EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
		}
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	}
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		patch.offset = bad[n];
		EXPECT_EQ(-EINVAL, npu_program_of_work(&self->e, &self->w,
						       &patch, 1, &program))
			TH_LOG("offset %llx", (unsigned long long)bad[n]);
	}
}

TEST_F(programs, patches_are_counted_and_checked)
{
	uint32_t max = self->e.info.max_patches, program, n, bit;
	uint32_t counts[] = { max + 1, 0x10000000, 0x80000000, ~0u };
	struct drm_npu_patch *p = calloc(max + 1, sizeof(*p));
	struct drm_npu_value *v = calloc(max + 1, sizeof(*v));
	uint32_t words = self->w.stream.count;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, v);
	for (n = 0; n <= max; n++) {
		p[n].offset = n % words * 8 + 2;
		v[n].va = bytes_at(&self->w.stream, p[n].offset);
	}
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		EXPECT_EQ(-E2BIG, npu_program_of_work(&self->e, &self->w, p,
						      counts[n], &program));
	}
	/* Every word of the stream again and again, with what it has anyway */
	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, p, max, &program));
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	ASSERT_EQ(0, npu_submit_program(self->e.fd, self->e.ctx, program, v,
					max, self->sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	EXPECT_GT(0, npu_submit_program(self->e.fd, self->e.ctx, program, v,
					max + 1, 0));
	for (bit = 0; bit < 32; bit++) {
		p[1] = (struct drm_npu_patch){
			.offset = 2, .flags = 1u << bit,
		};
		EXPECT_EQ(-EINVAL, npu_program_of_work(&self->e, &self->w, p, 3,
						       &program));
		p[1] = (struct drm_npu_patch){
			.offset = 2, .pad = 1u << bit,
		};
		EXPECT_EQ(-EINVAL, npu_program_of_work(&self->e, &self->w, p, 3,
						       &program));
	}
	free(p);
	free(v);
}

/* PROGRAM_CREATE with one task; the tests change what they want to be wrong */
static int create(struct npu_env *e, const struct npu_work *w,
		  const struct drm_npu_task *task, uint64_t cmds_size)
{
	struct drm_npu_task t = *task;
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.cmds = (uintptr_t)w->stream.words,
		.cmds_size = cmds_size,
		.tasks = NPU_ARRAY(&t, 1),
	};
	uint32_t program;
	int ret = npu_program_create(e->fd, &arg, &program);

	npu_program_destroy(e->fd, program);
	return ret;
}

TEST_F(programs, sizes_are_checked)
{
	uint32_t align = self->e.info.cmd_align;
	uint64_t max = self->e.info.max_program_size;
	uint64_t size = self->w.task.cmd_size;
	uint64_t bad[] = { 0, 1, size - 8, size - 1, size + 1, size + align / 2 };
	uint64_t big[] = { max + align, 1ull << 31, 1ull << 32,
			   (1ull << 32) + size, 1ull << 63, -(uint64_t)align };
	struct drm_npu_task task = self->w.task;
	size_t n;

	task.cmd_va = 0;
	EXPECT_EQ(0, create(&self->e, &self->w, &task, size));
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &task, bad[n]))
			TH_LOG("size %llx", (unsigned long long)bad[n]);
	}
	for (n = 0; n < ARRAY_SIZE(big); n++) {
		EXPECT_EQ(-E2BIG, create(&self->e, &self->w, &task, big[n]))
			TH_LOG("size %llx", (unsigned long long)big[n]);
	}
}

TEST_F(programs, tasks_are_checked)
{
	uint32_t units[] = { 2, 3, 31, 32, 0x80000000, ~0u };
	uint32_t align = self->e.info.cmd_align, n;
	uint64_t size = self->w.task.cmd_size;
	uint64_t places[] = { 8, align, size, size - 16, 1ull << 32,
			      1ull << 63, ~0ull - 15, -size };
	uint32_t sizes[] = { 0, 1, 4, 7, size + 1, size + 8, size + align,
			     self->e.info.max_cmd_size + 8, 0x80000000,
			     0xfffffff8, ~0u };
	struct drm_npu_task good = self->w.task, t;

	good.cmd_va = 0;
	for (n = 0; n < ARRAY_SIZE(places); n++) {
		t = good;
		t.cmd_va = places[n];
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &t, size))
			TH_LOG("at %llx", (unsigned long long)places[n]);
	}
	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		t = good;
		t.cmd_size = sizes[n];
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &t, size))
			TH_LOG("size %x", sizes[n]);
	}
	for (n = 0; n < ARRAY_SIZE(units); n++) {
		t = good;
		t.done_unit = units[n];
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &t, size));
	}
	for (n = 0; n < 32; n++) {
		t = good;
		t.flags = 1u << n;
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &t, size));
		t = good;
		t.pad = 1u << n;
		EXPECT_EQ(-EINVAL, create(&self->e, &self->w, &t, size));
	}
	EXPECT_EQ(0, create(&self->e, &self->w, &good, size));
}

TEST_F(programs, arguments_are_checked)
{
	uint64_t bad[] = { 0, 16, 0xffffff0000000000, ~0ull - 15 };
	struct drm_npu_task task = self->w.task;
	struct drm_npu_patch patch = { .offset = 2 };
	const struct drm_npu_program_create good = {
		.vm_id = self->e.vm,
		.cmds = (uintptr_t)self->w.stream.words,
		.cmds_size = self->w.task.cmd_size,
		.tasks = NPU_ARRAY(&task, 1),
	};
	uint32_t vms[] = { 0, self->e.vm + 1, 0x7fffffff, ~0u }, program, n;
	struct drm_npu_program_create arg;
	struct npu_env other;

	task.cmd_va = 0;
	for (n = 0; n < ARRAY_SIZE(vms); n++) {
		arg = good;
		arg.vm_id = vms[n];
		EXPECT_EQ(-ENOENT, npu_program_create(self->e.fd, &arg,
						      &program));
	}
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		arg = good;
		arg.cmds = bad[n];
		EXPECT_EQ(-EFAULT, npu_program_create(self->e.fd, &arg,
						      &program));
		arg = good;
		arg.tasks.ptr = bad[n];
		EXPECT_EQ(-EFAULT, npu_program_create(self->e.fd, &arg,
						      &program));
		arg = good;
		arg.patches = (struct drm_npu_array){ sizeof(patch), 1, bad[n] };
		EXPECT_EQ(-EFAULT, npu_program_create(self->e.fd, &arg,
						      &program));
	}
	arg = good;
	arg.tasks = (struct drm_npu_array){ 0 };
	EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &arg, &program));
	arg.tasks.stride = sizeof(task);
	EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &arg, &program));
	ASSERT_EQ(0, npu_env_open_plain(&other));
	arg = good;
	EXPECT_EQ(-ENOENT, npu_program_create(other.fd, &arg, &program));
	npu_env_close(&other);
	EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_PROGRAM_CREATE,
				     NULL));
	arg = good;
	EXPECT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
}

/* Command memory that ends where the memory of the process does */
TEST_F(programs, no_byte_behind_the_commands_is_read)
{
	size_t size = self->w.task.cmd_size;
	struct drm_npu_task task = self->w.task;
	struct drm_npu_program_create arg = {
		.vm_id = self->e.vm,
		.cmds_size = size,
		.tasks = NPU_ARRAY(&task, 1),
	};
	uint32_t program;
	uint8_t *p;

	task.cmd_va = 0;
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + 4096, 4096));
	memcpy(p + 4096 - size, self->w.stream.words, size);
	arg.cmds = (uintptr_t)p + 4096 - size;
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL, &self->w));
	arg.cmds += 16;
	EXPECT_EQ(-EFAULT, npu_program_create(self->e.fd, &arg, &program));
	arg.cmds -= 16 + 1;	/* any address will do for a copy */
	memmove(p + 4095 - size, p + 4096 - size, size);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL, &self->w));
}

TEST_F(programs, runs_are_checked)
{
	struct drm_npu_job job = { 0 };
	struct drm_npu_value v[VALUES + 1];
	uint64_t end = self->e.info.va_end;
	uint64_t high[] = { end, end + 1, 1ull << 32, 1ull << 63, ~0ull };
	uint32_t program, plain, bad[] = { 0xdead, 0x7fffffff, ~0u };
	size_t n, i;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0, &plain));
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		EXPECT_EQ(-ENOENT, npu_submit_program(self->e.fd, self->e.ctx,
						      bad[n], NULL, 0, 0));
		EXPECT_EQ(-ENOENT, npu_program_destroy(self->e.fd, bad[n]));
	}
	EXPECT_EQ(-ENOENT, npu_program_destroy(self->e.fd, 0));
	EXPECT_EQ(-EINVAL, npu_submit_program(self->e.fd, self->e.ctx, 0, NULL,
					      0, 0));
	values_of(&self->w, v);
	v[VALUES] = v[0];
	for (n = 1; n <= VALUES + 1; n++) {
		EXPECT_EQ(n == VALUES ? 0 : -EINVAL,
			  npu_submit_program(self->e.fd, self->e.ctx, program,
					     v, n, 0)) TH_LOG("%zu values", n);
		EXPECT_EQ(-EINVAL, npu_submit_program(self->e.fd, self->e.ctx,
						      plain, v, n, 0));
	}
	for (n = 0; n < ARRAY_SIZE(high); n++) {
		for (i = 0; i < VALUES; i++) {
			values_of(&self->w, v);
			v[i].va = high[n];
			EXPECT_EQ(-EINVAL,
				  npu_submit_program(self->e.fd, self->e.ctx,
						     program, v, VALUES, 0));
		}
	}
	job.tasks = (struct drm_npu_array)NPU_ARRAY(&self->w.task, 1);
	job.program_id = program;
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1))
		TH_LOG("tasks and a program");
	job.program_id = 0;
	values_of(&self->w, v);
	job.values = (struct drm_npu_array)NPU_ARRAY(v, VALUES);
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1))
		TH_LOG("values and no program");
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL, &self->w));
}

TEST_F(programs, a_program_runs_in_its_vm_only)
{
	struct npu_env other = self->e, file;
	uint32_t program, ctx;

	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
					 &program));
	ASSERT_EQ(0, npu_vm_create(other.fd, &other.vm));
	ASSERT_EQ(0, npu_ctx_create(other.fd, other.vm, 0, &ctx));
	EXPECT_EQ(-EINVAL, npu_submit_program(other.fd, ctx, program, NULL, 0,
					      0));
	ASSERT_EQ(0, npu_env_open(&file));
	EXPECT_EQ(-ENOENT, npu_submit_program(file.fd, file.ctx, program, NULL,
					      0, 0));
	EXPECT_EQ(-ENOENT, npu_program_destroy(file.fd, program));
	npu_env_close(&file);
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL, &self->w));
}

TEST_F(programs, a_submit_may_mix_tasks_and_programs)
{
	struct drm_npu_sync s = {
		.handle = self->sync, .flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_value values[2][VALUES];
	struct npu_work w[4];
	struct drm_npu_job jobs[4];
	uint32_t program;
	int n, i;

	for (n = 0; n < 4; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], 90 + n));
	}
	ASSERT_EQ(0, make_product(&self->e, &w[1], &program));
	values_of(&w[2], values[0]);
	values_of(&w[3], values[1]);
	memset(jobs, 0, sizeof(jobs));
	jobs[0].tasks = (struct drm_npu_array)NPU_ARRAY(&w[0].task, 1);
	jobs[1].program_id = program;
	jobs[2].program_id = program;
	jobs[2].values = (struct drm_npu_array)NPU_ARRAY(values[0], VALUES);
	jobs[3].program_id = program;
	jobs[3].values = (struct drm_npu_array)NPU_ARRAY(values[1], VALUES);
	jobs[3].syncs = (struct drm_npu_array)NPU_ARRAY(&s, 1);
	for (i = 0; i < 10; i++) {
		for (n = 0; n < 4; n++) {
			ASSERT_EQ(0, npu_work_arm(&self->e, &w[n]));
		}
		ASSERT_EQ(0, npu_submit(self->e.fd, self->e.ctx, jobs, 4));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync,
						       0));
		for (n = 0; n < 4; n++) {
			EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
		}
	}
}

static bool holds_program(struct npu_env *e, uint64_t from, uint64_t to)
{
	return npu_unmap(e->fd, e->vm, from, to - from) == -EBUSY;
}

/* Where a program is, in a VM that has nothing else; -1 if there is none */
static uint64_t find_program(struct npu_env *e)
{
	uint64_t page = e->info.page_size;
	uint64_t low = e->info.va_start, high = e->info.va_end, mid;

	if (!holds_program(e, low, high))
		return -1;
	while (high - low > page) {
		mid = low + (high - low) / 2 / page * page;
		if (holds_program(e, low, mid))
			high = mid;
		else
			low = mid;
	}
	return low;
}

/*
 * A program in a VM of its own, so that its address can be found, and works
 * whose operands it has.
 */
struct alone {
	struct npu_env e;
	struct npu_work w;
	uint32_t program;
	uint64_t va, size;
};

/* Finding it unmaps what is not it, so it comes before everything else */
static void find_alone(struct alone *a)
{
	uint64_t page = a->e.info.page_size;

	a->size = 0;
	a->va = find_program(&a->e);
	while (a->va != -1 && holds_program(&a->e, a->va + a->size,
					    a->va + a->size + page))
		a->size += page;
}

static int make_alone(struct npu_env *e, struct alone *a)
{
	int ret;

	a->e = *e;
	ret = npu_vm_create(e->fd, &a->e.vm);
	if (!ret)
		ret = npu_ctx_create(e->fd, a->e.vm, 0, &a->e.ctx);
	if (!ret)	/* for its stream only: the addresses are patched */
		ret = npu_work_small(e, &a->w, 70);
	if (!ret)
		ret = make_product(&a->e, &a->w, &a->program);
	npu_work_free(e, &a->w);
	if (ret)
		return ret;
	find_alone(a);
	return npu_work_small(&a->e, &a->w, 71);
}

static int alone_right(struct alone *a)
{
	struct drm_npu_value values[VALUES];

	values_of(&a->w, values);
	return run_right(&a->e, a->e.ctx, a->program, values, &a->w);
}

TEST_F(programs, the_npu_cannot_write_a_program)
{
	struct drm_npu_value values[VALUES];
	struct drm_npu_job_result r;
	struct npu_work w;
	struct alone a;
	uint32_t ctx;
	uint64_t at;

	ASSERT_EQ(0, make_alone(&self->e, &a));
	ASSERT_NE(-1, a.va);
	EXPECT_EQ(0, alone_right(&a));
	for (at = a.va; at < a.va + a.size; at += 4096) {
		ASSERT_EQ(0, npu_work_small(&a.e, &w, 72));
		rknn_patch(&w.stream, RKNN_DPU_OUT, at);
		ASSERT_EQ(0, npu_work_stream(&a.e, &w));
		ASSERT_EQ(0, npu_ctx_create(a.e.fd, a.e.vm, 0, &ctx));
		EXPECT_EQ(-EFAULT, npu_run_tasks(&a.e, ctx, &w.task, 1, &r));
		EXPECT_EQ(DRM_NPU_FAULT_WRITE, r.fault_flags);
		EXPECT_EQ(at, r.fault_va & ~4095ull);
		EXPECT_EQ(0, alone_right(&a)) TH_LOG("guilty is the writer");
		npu_work_free(&a.e, &w);
		npu_ctx_destroy(a.e.fd, ctx);
	}
	/* And a program that writes itself */
	ASSERT_EQ(0, npu_ctx_create(a.e.fd, a.e.vm, 0, &ctx));
	values_of(&a.w, values);
	values[2].va = a.va;
	EXPECT_EQ(-EFAULT, run(&a.e, ctx, a.program, values, VALUES, &r));
	EXPECT_EQ(DRM_NPU_FAULT_WRITE, r.fault_flags);
	EXPECT_EQ(a.va, r.fault_va & ~4095ull);
	EXPECT_EQ(0, alone_right(&a));
	EXPECT_EQ(0, npu_work_run_everywhere(&a.e, &a.w));
}

/* Until its memory is given back, which is not at once */
static bool is_gone(struct npu_env *e, uint64_t va)
{
	int64_t end = npu_now_ns() + 5000000000ll;

	while (holds_program(e, va, va + e->info.page_size)) {
		if (npu_now_ns() > end)
			return false;
		npu_sleep_ms(1);
	}
	return true;
}

TEST_F(programs, a_program_cannot_be_unmapped)
{
	uint64_t page = self->e.info.page_size, size;
	struct drm_npu_bind_op ops[3] = { 0 };
	struct npu_bo bo;
	struct alone a;
	uint32_t done;

	ASSERT_EQ(0, make_alone(&self->e, &a));
	ASSERT_NE(-1, a.va);
	size = a.size;
	EXPECT_LE(a.w.task.cmd_size, size);
	EXPECT_EQ(-EBUSY, npu_unmap(a.e.fd, a.e.vm, a.va, size));
	EXPECT_EQ(-EBUSY, npu_unmap(a.e.fd, a.e.vm, a.va + size - page, page));
	EXPECT_EQ(-EBUSY, npu_unmap(a.e.fd, a.e.vm, a.e.info.va_start,
				    a.e.info.va_end - a.e.info.va_start));
	EXPECT_EQ(0, alone_right(&a))
		TH_LOG("the buffers of the VM are where they were");

	ASSERT_EQ(0, npu_bo_new(a.e.fd, page, 0, 0, &bo));
	EXPECT_EQ(-EEXIST, npu_map_at(a.e.fd, a.e.vm, bo.handle, a.va, page, 0,
				      0));
	ops[0] = (struct drm_npu_bind_op){
		.type = DRM_NPU_BIND_MAP,
		.handle = bo.handle,
		.va = a.e.info.va_end - 2 * page,
		.size = page,
	};
	ops[1] = (struct drm_npu_bind_op){
		.type = DRM_NPU_BIND_UNMAP,
		.va = a.va,
		.size = size,
	};
	ops[2] = ops[0];
	ops[2].va += page;
	EXPECT_EQ(-EBUSY, npu_bind(a.e.fd, a.e.vm, ops, 3, &done));
	EXPECT_EQ(1, done);
	EXPECT_EQ(-EEXIST, npu_map_at(a.e.fd, a.e.vm, bo.handle, ops[0].va,
				      page, 0, 0))
		TH_LOG("what came before the error stays");
	EXPECT_EQ(0, npu_map_at(a.e.fd, a.e.vm, bo.handle, ops[2].va, page, 0,
				0)) TH_LOG("what came after it is not done");
	EXPECT_EQ(0, alone_right(&a));
	EXPECT_EQ(0, npu_program_destroy(a.e.fd, a.program));
	EXPECT_TRUE(is_gone(&a.e, a.va));
}

TEST_F(programs, the_room_of_a_program_comes_back)
{
	struct npu_bo bo;
	struct alone a;

	ASSERT_EQ(0, make_alone(&self->e, &a));
	EXPECT_EQ(0, alone_right(&a));
	ASSERT_EQ(0, npu_program_destroy(a.e.fd, a.program));
	EXPECT_EQ(-ENOENT, npu_program_destroy(a.e.fd, a.program));
	EXPECT_EQ(-ENOENT, npu_submit_program(a.e.fd, a.e.ctx, a.program, NULL,
					      0, 0));
	EXPECT_TRUE(is_gone(&a.e, a.va));
	ASSERT_EQ(0, npu_bo_new(a.e.fd, 4096, 0, 0, &bo));
	EXPECT_EQ(0, npu_map_at(a.e.fd, a.e.vm, bo.handle, a.va, 4096, 0, 0));
	EXPECT_EQ(0, npu_work_run_everywhere(&a.e, &a.w));
}

/* Another program comes to lie where one was: no core runs the old one */
TEST_F(programs, programs_follow_each_other_at_one_address)
{
	struct npu_work w[2];
	uint32_t program;
	uint64_t left;
	unsigned int core;
	uint32_t ctx[64];
	int i;

	ASSERT_EQ(0, npu_work_small(&self->e, &w[0], 80));
	ASSERT_EQ(0, npu_work_small(&self->e, &w[1], 81));
	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx[core]));
	}
	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, npu_program_of_work(&self->e, &w[i % 2], NULL, 0,
						 &program));
		for (left = self->e.info.core_mask; left;) {
			left = npu_next_core(left, &core);
			EXPECT_EQ(0, run_right(&self->e, ctx[core], program,
					       NULL, &w[i % 2]));
		}
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	}
}

TEST_F(programs, a_program_may_be_destroyed_while_it_runs)
{
	struct drm_npu_program_create arg = { .vm_id = self->e.vm };
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	uint32_t count, program, sync[3], n, i;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 128, 4));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w, 150, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	for (n = 0; n < count; n++)
		tasks[n].cmd_va = 0;
	arg.cmds = (uintptr_t)w.stream.words;
	arg.cmds_size = w.task.cmd_size;
	arg.tasks = (struct drm_npu_array)NPU_ARRAY(tasks, count);
	for (i = 0; i < 3; i++) {
		uint32_t ctx;

		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
		ASSERT_EQ(0, npu_work_arm(&self->e, &w));
		for (n = 0; n < 3; n++) {	/* one runs, two are queued */
			ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0,
							&sync[n]));
			ASSERT_EQ(0, npu_submit_program(self->e.fd, ctx,
							program, NULL, 0,
							sync[n]));
		}
		ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 1,
					  DRM_NPU_JOB_RUNNING, &r));
		EXPECT_EQ(0, npu_program_destroy(self->e.fd, program));
		EXPECT_EQ(-ENOENT, npu_submit_program(self->e.fd, ctx, program,
						      NULL, 0, 0));
		EXPECT_EQ(DRM_NPU_JOB_RUNNING, r.state);
		for (n = 0; n < 3; n++) {
			EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd,
							       sync[n], 0));
		}
		EXPECT_EQ(0, npu_work_check(&self->e, &w));
	}
	free(tasks);
}

TEST_F(programs, a_program_keeps_its_vm)
{
	struct drm_npu_program_create arg = { .cmds_size = 16 };
	uint32_t program;
	struct alone a;

	ASSERT_EQ(0, make_alone(&self->e, &a));
	ASSERT_EQ(0, npu_vm_destroy(a.e.fd, a.e.vm));
	EXPECT_EQ(0, alone_right(&a));
	arg.vm_id = a.e.vm;
	EXPECT_EQ(-ENOENT, npu_program_create(a.e.fd, &arg, &program));
	ASSERT_EQ(0, npu_ctx_destroy(a.e.fd, a.e.ctx));
	EXPECT_EQ(0, npu_program_destroy(a.e.fd, a.program));
	/* And the other way round: the program goes last */
	ASSERT_EQ(0, make_alone(&self->e, &a));
	ASSERT_EQ(0, npu_ctx_destroy(a.e.fd, a.e.ctx));
	ASSERT_EQ(0, npu_vm_destroy(a.e.fd, a.e.vm));
	EXPECT_EQ(0, npu_program_destroy(a.e.fd, a.program));
}

/* Fills queues with runs of a program; its fence comes back as a file */
static int busy_with_programs(struct npu_env *e, struct npu_work *w,
			      struct npu_work *hang, unsigned int hangs)
{
	struct drm_npu_value values[VALUES];
	uint32_t program, stuck, sync;
	unsigned int n;
	int ret = make_product(e, w, &program);

	if (!ret)
		ret = npu_program_of_work(e, hang, NULL, 0, &stuck);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &sync);
	values_of(w, values);
	for (n = 0; n < 40 && !ret; n++)
		ret = npu_submit_program(e->fd, e->ctx, program, values, VALUES,
					 sync);
	for (n = 0; n < hangs && !ret; n++)
		ret = npu_submit_program(e->fd, e->ctx, stuck, NULL, 0, 0);
	return ret ? ret : npu_syncobj_to_file(e->fd, sync, 0);
}

TEST_F(programs, a_file_may_close_while_its_programs_run)
{
	struct npu_work w, hang;
	struct npu_env e;
	int64_t start;
	int i, fence, status;

	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, npu_env_open(&e));
		ASSERT_EQ(0, npu_work_small(&e, &w, i));
		ASSERT_EQ(0, npu_work_hang(&e, &hang));
		ASSERT_EQ(0, npu_work_arm(&e, &w));
		fence = busy_with_programs(&e, &w, &hang, i % 2);
		ASSERT_GE(fence, 0);
		start = npu_now_ns();
		npu_env_close(&e);
		EXPECT_LT(npu_now_ns() - start,
			  (2 * e.info.timeout_ms + 1000) * 1000000ll);
		status = npu_file_wait(fence, NPU_PATIENCE_MS);
		EXPECT_TRUE(status == NPU_DONE || status == -ECANCELED);
		if (status == NPU_DONE) {
			EXPECT_EQ(0, memcmp(w.expect, w.bo[NPU_OUT].map,
					    w.bo[NPU_OUT].size));
		}
		close(fence);
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	}
}

static void busy_client(int ready)
{
	struct npu_work w, hang;
	struct npu_env e;

	if (npu_env_open(&e) || npu_work_small(&e, &w, 8) ||
	    npu_work_hang(&e, &hang) ||
	    busy_with_programs(&e, &w, &hang, 3) < 0 ||
	    write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F(programs, killed_clients_take_their_programs_along)
{
	int64_t start = npu_kill_clients(busy_client, 4);

	ASSERT_GT(start, 0);
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_LT(npu_now_ns() - start,
		  (4 * self->e.info.timeout_ms + 2000) * 1000000ll);
}

TEST_F(programs, a_file_may_have_max_programs)
{
	uint32_t max = self->e.info.max_programs, n, program;
	uint32_t *ids = calloc(max, sizeof(*ids));

	ASSERT_NE(NULL, ids);
	for (n = 0; n < max; n++) {
		ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
						 &ids[n]));
		EXPECT_NE(0, ids[n]);
		EXPECT_TRUE(!n || ids[n] != ids[n - 1]);
	}
	EXPECT_EQ(-ENOSPC, npu_program_of_work(&self->e, &self->w, NULL, 0,
					       &program));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, ids[0], NULL, &self->w));
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx, ids[max - 1], NULL,
			       &self->w));
	ASSERT_EQ(0, npu_program_destroy(self->e.fd, ids[max / 2]));
	EXPECT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
					 &program));
	EXPECT_EQ(-ENOSPC, npu_program_of_work(&self->e, &self->w, NULL, 0,
					       &program));
	free(ids);
}

TEST_F(programs, programs_come_and_go_without_end)
{
	struct drm_npu_value values[VALUES];
	uint32_t program;
	int i;

	values_of(&self->w, values);
	for (i = 0; i < 600; i++) {
		ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
		if (i % 4 == 0) {
			ASSERT_EQ(0, npu_submit_program(self->e.fd, self->e.ctx,
							program, values, VALUES,
							0));
		}
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	}
	EXPECT_EQ(0, run_right(&self->e, self->e.ctx,
			       make_product(&self->e, &self->w, &program) ?
			       0 : program, values, &self->w));
}

/* A program of @size bytes that begins with the stream of the fixture */
static int make_large(struct npu_env *e, const struct npu_work *w,
		      uint64_t size, bool patched, uint32_t *program)
{
	struct drm_npu_patch patch = {
		.offset = rknn_value_at(&w->stream, RKNN_DPU_OUT),
	};
	struct drm_npu_task task = w->task;
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.cmds_size = size,
		.tasks = NPU_ARRAY(&task, 1),
	};
	uint8_t *cmds = calloc(1, size);
	int ret;

	if (!cmds)
		return -ENOMEM;
	task.cmd_va = size - task.cmd_size;
	patch.offset += task.cmd_va;
	memcpy(cmds + task.cmd_va, w->stream.words, task.cmd_size);
	arg.cmds = (uintptr_t)cmds;
	if (patched)
		arg.patches = (struct drm_npu_array)NPU_ARRAY(&patch, 1);
	ret = npu_program_create(e->fd, &arg, program);
	free(cmds);
	return ret;
}

TEST_F(programs, a_program_has_up_to_max_program_size)
{
	uint32_t max = self->e.info.max_program_size, program, i;
	struct drm_npu_value value;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, make_large(&self->e, &self->w, max, i, &program));
		EXPECT_EQ(0, run_right(&self->e, self->e.ctx, program, NULL,
				       &self->w));
		if (i) {
			value.va = self->w.bo[NPU_OUT].va;
			ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
			ASSERT_EQ(0, npu_submit_program(self->e.fd, self->e.ctx,
							program, &value, 1,
							self->sync));
			EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd,
							       self->sync, 0));
			EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
		}
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	}
	EXPECT_EQ(-E2BIG, make_large(&self->e, &self->w,
				     max + self->e.info.cmd_align, false,
				     &program));
}

/* Memory for two copies, and what that is good for */
static void locks_little(struct npu_env *e, struct npu_work *w)
{
	unsigned int cores = e->info.num_cores;
	uint64_t size = 64 * KIB;
	uint32_t program[2], more;

	NPU_CHECK(!npu_become_nobody(2 * size));
	NPU_CHECK(make_large(e, w, 3 * size, false, &more) == -EPERM);
	NPU_CHECK(!make_large(e, w, size, false, &program[0]));
	NPU_CHECK(!make_large(e, w, size, false, &program[1]));
	NPU_CHECK(make_large(e, w, 4 * KIB, false, &more) == -EPERM);
	NPU_CHECK(!run_right(e, e->ctx, program[0], NULL, w));
	NPU_CHECK(!run_right(e, e->ctx, program[1], NULL, w));
	NPU_CHECK(!npu_program_destroy(e->fd, program[0]));
	NPU_CHECK(!npu_program_destroy(e->fd, program[1]));
	if (cores > 2)
		NPU_CHECK(make_large(e, w, size, true, &more) == -EPERM);
	NPU_CHECK(!make_large(e, w, 2 * size / cores / 4096 * 4096, true,
			      &more));
	NPU_CHECK(!run_right(e, e->ctx, more, NULL, w));
}

TEST_F(programs, memory_of_programs_counts_as_locked)
{
	uint32_t program;

	if (geteuid())
		SKIP(return, "needs root");
	EXPECT_EQ(0, NPU_IN_CHILD(locks_little(&self->e, &self->w)));
	EXPECT_EQ(0, make_large(&self->e, &self->w, 512 * KIB, true, &program))
		TH_LOG("who has CAP_IPC_LOCK may");
}

TEST_F(programs, a_hang_in_a_program_tells_its_task)
{
	struct drm_npu_program_create arg = { .vm_id = self->e.vm };
	struct npu_work w[3], hang;
	struct drm_npu_task tasks[3];
	struct drm_npu_ctx_query q;
	struct drm_npu_job_result r;
	uint32_t program, ctx;
	uint8_t *cmds;

	ASSERT_EQ(0, npu_work_small(&self->e, &w[0], 5));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	w[1] = hang;
	w[2] = self->w;
	cmds = join(w, 3, tasks, &arg.cmds_size);
	ASSERT_NE(NULL, cmds);
	arg.cmds = (uintptr_t)cmds;
	arg.tasks = (struct drm_npu_array)NPU_ARRAY(tasks, 3);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &arg, &program));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	EXPECT_EQ(-ETIME, run(&self->e, ctx, program, NULL, 0, &r));
	EXPECT_EQ(-ETIME, r.error);
	EXPECT_EQ(1, r.tasks_done);
	EXPECT_EQ(0, npu_work_check(&self->e, &w[0]));
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &self->w));
	EXPECT_EQ(-EIO, npu_submit_program(self->e.fd, ctx, program, NULL, 0,
					   0));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, ctx, &q));
	EXPECT_EQ(DRM_NPU_CTX_BANNED, q.state);
	EXPECT_EQ(1, q.fault_task);
	free(cmds);
}

/* The values of a run are its own fault; the program is as good as before */
TEST_F(programs, a_fault_in_a_program_bans_the_context_that_ran_it)
{
	uint64_t hole = (self->e.info.va_end >> 1) & ~0xfffffull;
	struct drm_npu_value values[VALUES];
	struct drm_npu_job_result r;
	uint32_t program, ctx;
	unsigned int core;
	uint64_t left;
	int i;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &core);
		for (i = 0; i < VALUES; i++) {
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
						    1ull << core, &ctx));
			values_of(&self->w, values);
			values[i].va = hole;
			EXPECT_EQ(-EFAULT, run(&self->e, ctx, program, values,
					       VALUES, &r));
			EXPECT_EQ(hole, r.fault_va & ~4095ull);
			EXPECT_EQ(i == 2 ? DRM_NPU_FAULT_WRITE : 0,
				  r.fault_flags);
			EXPECT_EQ(0, r.tasks_done);
			EXPECT_EQ(core, r.core);
			EXPECT_EQ(-EIO, npu_submit_program(self->e.fd, ctx,
							   program, NULL, 0, 0));
			npu_ctx_destroy(self->e.fd, ctx);
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
						    1ull << core, &ctx));
			EXPECT_EQ(0, run_right(&self->e, ctx, program, NULL,
					       &self->w));
			npu_ctx_destroy(self->e.fd, ctx);
		}
	}
}

/*
 * Runs that wait behind a hang on the same core, in its next slot and in queues:
 * whatever the recovery does with the core, each starts with its own values.
 */
TEST_F(programs, runs_keep_their_values_over_a_reset)
{
	enum { RUNS = 12 };
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_value values[VALUES];
	struct npu_work w[RUNS], hang;
	uint32_t program, sync[RUNS], ctx;
	int n;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (n = 0; n < RUNS; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], 200 + n));
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync[n]));
	}
	ASSERT_EQ(0, npu_block_core(&self->e, &hang, core, NULL));
	for (n = 0; n < RUNS; n++) {
		if (n % 3 == 0) {
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
						    1ull << core, &ctx));
		}
		values_of(&w[n], values);
		ASSERT_EQ(0, npu_submit_program(self->e.fd, ctx, program,
						values, VALUES, sync[n]));
	}
	for (n = 0; n < RUNS; n++) {
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync[n], 0));
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n])) TH_LOG("run %d", n);
	}
}

/* The caller's array of values is read when the job is submitted, not later */
TEST_F(programs, values_are_copied)
{
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_value values[VALUES];
	struct npu_work w, hang;
	uint32_t program, ctx;

	ASSERT_EQ(0, make_product(&self->e, &self->w, &program));
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 30));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_block_core(&self->e, &hang, core, NULL));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
	values_of(&w, values);
	ASSERT_EQ(0, npu_submit_program(self->e.fd, ctx, program, values, VALUES,
					self->sync));
	memset(values, 0, sizeof(values));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
}

/* Threads that make, run and destroy each other's programs */
struct race {
	struct npu_env e;
	struct npu_work *w;
	uint32_t *program;
	unsigned int seed;
	int64_t end;
	int wrong;
};

enum { SHARED = 6 };

static void *race(void *data)
{
	struct drm_npu_value values[VALUES];
	struct race *r = data;
	uint32_t *p, sync;

	if (npu_syncobj_create(r->e.fd, 0, &sync)) {
		r->wrong++;
		return NULL;
	}
	values_of(r->w, values);
	while (npu_now_ns() < r->end) {
		p = &r->program[npu_random(&r->seed) % SHARED];
		switch (npu_random(&r->seed) % 4) {
		case 0:
			npu_program_destroy(r->e.fd, *p);
			make_product(&r->e, r->w, p);
			break;
		case 1:
			npu_submit_program(r->e.fd, r->e.ctx, *p, values, VALUES,
					   0);
			break;
		default:
			npu_work_arm(&r->e, r->w);
			if (npu_submit_program(r->e.fd, r->e.ctx, *p, values,
					       VALUES, sync))
				break;
			r->wrong += npu_syncobj_status(r->e.fd, sync, 0) !=
				    NPU_DONE || npu_work_check(&r->e, r->w);
		}
	}
	return NULL;
}

TEST_F(programs, threads_destroy_what_others_run)
{
	uint32_t program[SHARED] = { 0 };
	struct npu_work w[5];
	struct race r[5];
	pthread_t id[5];
	size_t n;

	for (n = 0; n < ARRAY_SIZE(r); n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &w[n], n));
		r[n] = (struct race){
			.e = self->e, .w = &w[n], .program = program,
			.seed = n, .end = npu_now_ns() + 3000000000ll,
		};
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
					    &r[n].e.ctx));
		ASSERT_EQ(0, pthread_create(&id[n], NULL, race, &r[n]));
	}
	for (n = 0; n < ARRAY_SIZE(r); n++) {
		pthread_join(id[n], NULL);
		EXPECT_EQ(0, r[n].wrong);
	}
}

TEST_HARNESS_MAIN
