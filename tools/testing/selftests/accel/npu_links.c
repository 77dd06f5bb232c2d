// SPDX-License-Identifier: GPL-2.0-only
/*
 * DRM_NPU_JOB_LINKED and DRM_NPU_PROGRAM_LINKED: the hardware goes from task to task
 * by itself. What it
 * computes, what it costs, how far it is when it stops, and who gets the core in
 * between.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "npu_test.h"

#define LIST	64
#define SHORT	8

/* How often to try what a busy machine may spoil */
#define TRIES	50

FIXTURE(links)
{
	struct npu_env e;
	struct npu_work w[LIST];
	struct drm_npu_task tasks[LIST];
};

/* Each stream names the next one; the last one goes back to the first. */
static int link_all(struct npu_env *e, struct npu_work *w, unsigned int count,
		    struct drm_npu_task *tasks)
{
	unsigned int n;
	int ret = 0;

	for (n = 0; n < count && !ret; n++) {
		const struct drm_npu_task *next = &w[(n + 1) % count].task;

		rknn_link(&w[n].stream, next->cmd_va, next->cmd_size);
		ret = npu_work_stream(e, &w[n]);
		tasks[n] = w[n].task;
	}
	return ret;
}

static int arm_all(struct npu_env *e, struct npu_work *w, unsigned int count)
{
	unsigned int n;
	int ret = 0;

	for (n = 0; n < count && !ret; n++)
		ret = npu_work_arm(e, &w[n]);
	return ret;
}

/* How many of them have given what they should have given */
static unsigned int count_right(struct npu_env *e, struct npu_work *w,
				unsigned int count)
{
	unsigned int n, right = 0;

	for (n = 0; n < count; n++)
		right += !npu_work_check(e, &w[n]);
	return right;
}

FIXTURE_SETUP(links)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_chain(&self->e, self->w, LIST, 300));
	ASSERT_EQ(0, link_all(&self->e, self->w, LIST, self->tasks));
}

FIXTURE_TEARDOWN(links)
{
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w[0]));
	npu_env_close(&self->e);
}

static struct drm_npu_job list_of(const struct drm_npu_task *tasks, uint32_t count)
{
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(tasks, count),
		.flags = DRM_NPU_JOB_LINKED,
	};

	return job;
}

static int run_list(struct npu_env *e, uint32_t ctx,
		    const struct drm_npu_task *tasks, uint32_t count,
		    struct drm_npu_job_result *r)
{
	struct drm_npu_job job = list_of(tasks, count);

	return npu_run_job(e, ctx, &job, r);
}

/* How often the hardware of all cores has interrupted so far */
static long count_interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "r");
	char line[4096], *p, *end;
	long sum = 0, n;

	while (f && fgets(line, sizeof(line), f)) {
		p = strchr(line, ':');
		if (!p || !strstr(line, ".npu"))
			continue;
		for (p++; ; p = end) {
			n = strtol(p, &end, 10);
			if (end == p || *end != ' ')
				break;
			sum += n;
		}
	}
	if (f)
		fclose(f);
	return f ? sum : -1;
}

/* The same list, and how many interrupts it took; -1 if it went wrong */
static long run_counted(struct npu_env *e, uint32_t ctx,
			const struct drm_npu_task *tasks, uint32_t count)
{
	struct drm_npu_job_result r;
	long before = count_interrupts();

	if (run_list(e, ctx, tasks, count, &r) != NPU_DONE ||
	    r.tasks_done != count)
		return -1;
	return count_interrupts() - before;
}

TEST_F(links, a_list_computes_on_every_core)
{
	uint64_t left = self->e.info.core_mask;
	struct drm_npu_job_result r;
	unsigned int core;
	uint32_t ctx;
	int i;

	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
			EXPECT_EQ(NPU_DONE, run_list(&self->e, ctx, self->tasks,
						     LIST, &r));
			EXPECT_EQ(LIST, r.tasks_done);
			EXPECT_EQ(core, r.core);
			EXPECT_EQ(LIST, count_right(&self->e, self->w, LIST));
			/* One task alone, that the list does not run */
			ASSERT_EQ(0, npu_work_run(&self->e, ctx, &self->w[0]));
		}
	}
}

/* As long as no context is left of who was here before */
TEST_F(links, a_list_costs_one_interrupt)
{
	struct drm_npu_job_result r;
	long n = 0, before;
	int i;

	for (i = 0; i < TRIES && n != 1; i++) {
		ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
		n = run_counted(&self->e, self->e.ctx, self->tasks, LIST);
		npu_sleep_ms(i);
	}
	EXPECT_EQ(1, n);
	EXPECT_EQ(LIST, count_right(&self->e, self->w, LIST));

	ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
	before = count_interrupts();
	EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, self->e.ctx, self->tasks,
					  LIST, &r));
	EXPECT_EQ(LIST, count_interrupts() - before);
	EXPECT_EQ(LIST, count_right(&self->e, self->w, LIST));
}

TEST_F(links, a_list_has_up_to_max_tasks)
{
	uint32_t max = self->e.info.max_tasks;
	struct drm_npu_task *tasks;
	long n = 0;
	int i;

	ASSERT_EQ(0, link_all(&self->e, self->w, 1, self->tasks));
	tasks = npu_repeat(&self->w[0], max);
	ASSERT_NE(NULL, tasks);
	for (i = 0; i < TRIES && n != 2; i++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w[0]));
		n = run_counted(&self->e, self->e.ctx, tasks, max);
		npu_sleep_ms(i);
	}
	EXPECT_EQ(2, n) TH_LOG("the hardware takes 4095 of %u", max);
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w[0]));
	free(tasks);
}

TEST_F(links, lists_are_checked)
{
	struct drm_npu_job job = list_of(self->tasks, LIST);
	uint32_t program, n;

	for (n = 1; n < 32; n++) {
		job.flags = DRM_NPU_JOB_LINKED | 1u << n;
		EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1));
	}
	job.flags = DRM_NPU_JOB_LINKED;
	for (n = 0; n < LIST; n += LIST - 1) {
		self->tasks[n].done_unit = RKNN_DONE_PPU;
		EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1));
		self->tasks[n].done_unit = RKNN_DONE_DPU;
	}
	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w[0], NULL, 0,
					 &program));
	job = (struct drm_npu_job){
		.program_id = program,
		.flags = DRM_NPU_JOB_LINKED,
	};
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1));
	job.flags = 0;
	EXPECT_EQ(0, npu_submit(self->e.fd, self->e.ctx, &job, 1));
}

/* A context whose jobs may be so long without progress */
static int ctx_with_limit(struct npu_env *e, uint32_t timeout_ms, uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm,
		.timeout_ms = timeout_ms,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = arg.ctx_id;
	return ret;
}

/* With that a list is run as a whole, also if there are other contexts. */
static void follow_all(struct drm_npu_task *tasks, uint32_t count)
{
	uint32_t n;

	for (n = 1; n < count; n++)
		tasks[n].flags = DRM_NPU_TASK_FOLLOWS;
}

/*
 * A list that hangs in its task @n. On a busy machine an earlier one may seem to
 * hang; then the limit was too short.
 */
static int run_hanging(struct npu_env *e, const struct drm_npu_task *tasks,
		       uint32_t count, uint32_t n, struct drm_npu_job_result *r)
{
	uint32_t limit_ms = 50, ctx;
	int ret;

	do {
		ret = ctx_with_limit(e, limit_ms, &ctx);
		if (ret)
			return ret;
		ret = run_list(e, ctx, tasks, count, r);
		npu_ctx_destroy(e->fd, ctx);
		limit_ms *= 2;
	} while (ret == -ETIME && r->tasks_done < n && limit_ms < 5000);

	return ret;
}

TEST_F(links, a_list_that_ends_too_early_hangs)
{
	struct drm_npu_job_result r;
	uint32_t n;

	for (n = 0; n < SHORT - 1; n += 3) {
		rknn_link(&self->w[n].stream, 0, 16);
		ASSERT_EQ(0, npu_work_stream(&self->e, &self->w[n]));
		/* Or the kernel may start the next one itself. */
		follow_all(self->tasks, SHORT);
		EXPECT_EQ(-ETIME, run_hanging(&self->e, self->tasks, SHORT,
					      n + 1, &r));
		EXPECT_EQ(n + 1, r.tasks_done);
		ASSERT_EQ(0, link_all(&self->e, self->w, LIST, self->tasks));
	}
}

TEST_F(links, a_hang_tells_its_task)
{
	struct drm_npu_job_result r;
	struct npu_work hang;
	uint32_t n;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (n = 0; n < SHORT; n++) {
		if (n) {
			rknn_link(&self->w[n - 1].stream, hang.task.cmd_va,
				  hang.task.cmd_size);
			ASSERT_EQ(0, npu_work_stream(&self->e, &self->w[n - 1]));
		}
		self->tasks[n] = hang.task;
		follow_all(self->tasks, SHORT);
		EXPECT_EQ(-ETIME, run_hanging(&self->e, self->tasks, SHORT, n,
					      &r));
		EXPECT_EQ(n, r.tasks_done);
		EXPECT_EQ(-ETIME, r.error);
		ASSERT_EQ(0, link_all(&self->e, self->w, LIST, self->tasks));
	}
}

/* Also where the list is run in parts, since there is another context */
TEST_F(links, a_fault_tells_its_task)
{
	uint64_t hole = (self->e.info.va_end >> 1) & ~0xfffffull;
	struct drm_npu_job_result r;
	uint32_t ctx, n;

	ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, self->e.ctx));
	for (n = 0; n < 2 * SHORT; n++) {
		struct npu_work *w = &self->w[n % SHORT];
		uint32_t good = w->bo[NPU_OUT].va;

		if (n == SHORT)
			ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
						    &self->e.ctx));
		ASSERT_EQ(0, ctx_with_limit(&self->e,
					    self->e.info.max_timeout_ms, &ctx));
		rknn_patch(&w->stream, RKNN_DPU_OUT, hole);
		ASSERT_EQ(0, npu_work_stream(&self->e, w));
		ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
		EXPECT_EQ(-EFAULT, run_list(&self->e, ctx, self->tasks, LIST,
					    &r));
		EXPECT_EQ(n % SHORT, r.tasks_done);
		EXPECT_EQ(n % SHORT, count_right(&self->e, self->w, LIST));
		EXPECT_EQ(hole, r.fault_va & ~0xfffull);
		EXPECT_EQ(DRM_NPU_FAULT_WRITE, r.fault_flags);
		rknn_patch(&w->stream, RKNN_DPU_OUT, good);
		ASSERT_EQ(0, npu_work_stream(&self->e, w));
		ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
	}
}

/* A list of one task again and again, for about so long */
static struct drm_npu_task *long_list(struct npu_env *e, struct npu_work *w,
				      unsigned int ms, uint32_t *count)
{
	struct drm_npu_task task;

	if (npu_work_matmul(e, w, 64, 256, 256, 9) ||
	    link_all(e, w, 1, &task) ||
	    npu_long_tasks(e, e->ctx, w, ms, count) || npu_work_arm(e, w))
		return NULL;
	return npu_repeat(w, *count);
}

/* Nobody hears of its tasks, but the watchdog finds out that they end. */
TEST_F(links, a_list_may_take_longer_than_its_limit)
{
	const uint32_t limit_ms = 100;
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	uint64_t took = 0;
	uint32_t ctx, count;
	struct npu_work w;
	int i, ret = 0;

	/* Nor is a busy machine always as slow as when it was measured. */
	for (i = 0; i < 8 && took < 3000000ull * limit_ms; i++) {
		tasks = long_list(&self->e, &w, 8 * limit_ms, &count);
		ASSERT_NE(NULL, tasks);
		follow_all(tasks, count);
		ASSERT_EQ(0, ctx_with_limit(&self->e, limit_ms, &ctx));
		ret = run_list(&self->e, ctx, tasks, count, &r);
		took = ret == NPU_DONE ? r.end_ns - r.start_ns : 0;
		EXPECT_TRUE(took == 0 || r.tasks_done == count);
		EXPECT_TRUE(took == 0 || !npu_work_check(&self->e, &w));
		npu_ctx_destroy(self->e.fd, ctx);
		npu_work_free(&self->e, &w);
		free(tasks);
	}
	EXPECT_EQ(NPU_DONE, ret);
	EXPECT_LE(3000000ull * limit_ms, took);
}

TEST_F(links, tasks_are_counted_as_they_end)
{
	uint32_t count, last = 0, seen = 0;
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	struct drm_npu_job job;
	struct npu_work w;
	uint64_t id;

	tasks = long_list(&self->e, &w, 300, &count);
	ASSERT_NE(NULL, tasks);
	job = list_of(tasks, count);
	ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, &job, 1, &id));
	do {
		ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, id, &r));
		EXPECT_LE(last, r.tasks_done);
		EXPECT_LE(r.tasks_done, count);
		seen += r.tasks_done != last;
		last = r.tasks_done;
	} while (r.state != DRM_NPU_JOB_ENDED);
	EXPECT_EQ(0, r.error);
	EXPECT_EQ(count, r.tasks_done);
	EXPECT_GT(seen, 4) TH_LOG("of %u tasks", count);
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	free(tasks);
}

TEST_F(links, with_other_contexts_a_list_is_run_in_parts)
{
	long n = LIST;
	uint32_t ctx;
	int i;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	for (i = 0; i < TRIES && n == LIST; i++) {
		ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
		n = run_counted(&self->e, self->e.ctx, self->tasks, LIST);
		EXPECT_EQ(LIST, count_right(&self->e, self->w, LIST));
		EXPECT_LE(3, n);
	}
	EXPECT_GT(LIST, n);
}

static int latency_ctx(struct npu_env *e, unsigned int core, uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm,
		.core_mask = 1ull << core,
		.sched_class = DRM_NPU_CLASS_LATENCY,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = arg.ctx_id;
	return ret;
}

/* A list on one core and, while it runs, a job of a better class */
struct both {
	struct drm_npu_job_result list;
	struct drm_npu_job_result urgent;
	uint32_t done;		/* tasks of the list when the other had ended */
};

static int run_both(struct npu_env *e, const struct drm_npu_task *tasks,
		    uint32_t count, struct npu_work *w, struct both *b)
{
	struct drm_npu_job job = list_of(tasks, count);
	unsigned int core = npu_first_core(e);
	uint32_t ctx, first;
	int ret;

	ret = latency_ctx(e, core, &first);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &ctx);
	if (!ret)
		ret = npu_work_arm(e, w);
	if (!ret)
		ret = npu_submit(e->fd, ctx, &job, 1);
	do {
		if (!ret)
			ret = npu_job_result(e->fd, ctx, 1, &b->list);
	} while (!ret && b->list.tasks_done < 2);
	if (!ret && npu_run_tasks(e, first, &w->task, 1, &b->urgent) != NPU_DONE)
		ret = -EPROTO;
	if (!ret)
		ret = npu_job_result(e->fd, ctx, 1, &b->list);
	b->done = b->list.tasks_done;
	if (!ret)
		ret = npu_job_wait(e->fd, ctx, 1, DRM_NPU_JOB_ENDED, &b->list);
	if (!ret && (b->list.error || b->list.tasks_done != count))
		ret = -EPROTO;
	npu_ctx_destroy(e->fd, first);
	npu_ctx_destroy(e->fd, ctx);
	if (!ret && npu_work_check(e, w))
		ret = -EBADMSG;
	return ret;
}

/* A busy machine may let the list end before the other job is there. */
TEST_F(links, a_better_class_goes_first_between_two_parts)
{
	struct drm_npu_task *tasks;
	bool between = false;
	struct npu_work w;
	struct both b;
	uint32_t count;
	int i;

	tasks = long_list(&self->e, &w, 500, &count);
	ASSERT_NE(NULL, tasks);
	for (i = 0; i < 5 && !between; i++) {
		ASSERT_EQ(0, run_both(&self->e, tasks, count, &self->w[0], &b));
		between = b.urgent.end_ns < b.list.end_ns;
		EXPECT_LT(b.list.start_ns, b.urgent.start_ns);
		EXPECT_EQ(0, npu_work_check(&self->e, &w));
	}
	EXPECT_TRUE(between);
	free(tasks);
}

TEST_F(links, what_follows_is_not_separated)
{
	struct drm_npu_task *tasks;
	bool between = false;
	struct npu_work w;
	uint32_t count, n;
	struct both b;
	int i;

	tasks = long_list(&self->e, &w, 500, &count);
	ASSERT_NE(NULL, tasks);
	follow_all(tasks, count);
	ASSERT_EQ(0, run_both(&self->e, tasks, count, &self->w[0], &b));
	EXPECT_LE(b.list.end_ns, b.urgent.start_ns);
	EXPECT_EQ(0, npu_work_check(&self->e, &w));

	/* Nor are they when others come behind them that may be. */
	for (n = count / 2; n < count; n++)
		tasks[n].flags = 0;
	for (i = 0; i < 5 && !between; i++) {
		ASSERT_EQ(0, run_both(&self->e, tasks, count, &self->w[0], &b));
		between = b.urgent.end_ns < b.list.end_ns;
		EXPECT_LE(count / 2, b.done);
	}
	EXPECT_TRUE(between);
	free(tasks);
}

/* The streams of many works one behind the other, none of which names another */
struct cmds {
	uint8_t *data;
	struct drm_npu_task tasks[LIST];
	struct drm_npu_program_create arg;
};

static int join(struct npu_env *e, struct npu_work *w, unsigned int count,
		struct cmds *c)
{
	unsigned int n;

	c->data = calloc(count, sizeof(w->stream.words));
	if (!c->data)
		return -ENOMEM;
	c->arg = (struct drm_npu_program_create){
		.vm_id = e->vm,
		.flags = DRM_NPU_PROGRAM_LINKED,
		.cmds = (uintptr_t)c->data,
		.tasks = NPU_ARRAY(c->tasks, count),
	};
	for (n = 0; n < count; n++) {
		rknn_unlink(&w[n].stream);
		memcpy(c->data + c->arg.cmds_size, w[n].stream.words,
		       w[n].task.cmd_size);
		c->tasks[n] = w[n].task;
		c->tasks[n].cmd_va = c->arg.cmds_size;
		c->arg.cmds_size += w[n].task.cmd_size;
	}
	return 0;
}

static int run_program(struct npu_env *e, uint32_t ctx, uint32_t program,
		       struct drm_npu_value *value, struct drm_npu_job_result *r)
{
	struct drm_npu_job job = { .program_id = program };

	if (value)
		job.values = NPU_ARRAY(value, 1);
	return npu_run_job(e, ctx, &job, r);
}

TEST_F(links, the_kernel_links_a_program)
{
	struct drm_npu_job_result r;
	uint32_t program;
	long n = 0, before;
	struct cmds c;
	int i;

	ASSERT_EQ(0, join(&self->e, self->w, LIST, &c));
	ASSERT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
	for (i = 0; i < TRIES && n != 1; i++) {
		ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
		before = count_interrupts();
		ASSERT_EQ(NPU_DONE, run_program(&self->e, self->e.ctx, program,
						NULL, &r));
		n = count_interrupts() - before;
		ASSERT_EQ(LIST, r.tasks_done);
		ASSERT_EQ(LIST, count_right(&self->e, self->w, LIST));
		npu_sleep_ms(i);
	}
	EXPECT_EQ(1, n);

	c.arg.flags = 0;
	ASSERT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
	ASSERT_EQ(0, arm_all(&self->e, self->w, LIST));
	before = count_interrupts();
	ASSERT_EQ(NPU_DONE, run_program(&self->e, self->e.ctx, program, NULL,
					&r));
	EXPECT_EQ(LIST, count_interrupts() - before);
	EXPECT_EQ(LIST, count_right(&self->e, self->w, LIST));
	free(c.data);
}

/* What a run patches is deep in the list, in the copy of the core that runs it. */
TEST_F(links, each_core_goes_from_task_to_task_in_its_own_copy)
{
	struct npu_work *last = &self->w[SHORT - 1];
	struct drm_npu_value there = { }, back = { last->bo[NPU_OUT].va };
	struct drm_npu_patch patch = { 0 };
	uint64_t left = self->e.info.core_mask;
	struct drm_npu_job_result r;
	uint32_t program, ctx;
	unsigned int core;
	struct npu_bo out;
	struct cmds c;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, last->bo[NPU_OUT].size, 0,
				self->e.vm, &out));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &out, 0));
	there.va = out.va;
	ASSERT_EQ(0, join(&self->e, self->w, SHORT, &c));
	patch.offset = c.tasks[SHORT - 1].cmd_va +
		       rknn_value_at(&last->stream, RKNN_DPU_OUT);
	c.arg.patches = NPU_ARRAY(&patch, 1);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
	while (left) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &ctx));
		ASSERT_EQ(0, arm_all(&self->e, self->w, SHORT));
		EXPECT_EQ(NPU_DONE, run_program(&self->e, ctx, program, &there,
						&r));
		EXPECT_EQ(SHORT - 1, count_right(&self->e, self->w, SHORT));
		EXPECT_EQ(0, npu_work_check_untouched(&self->e, last));
		EXPECT_EQ(NPU_DONE, run_program(&self->e, ctx, program, &back,
						&r));
		EXPECT_EQ(SHORT, count_right(&self->e, self->w, SHORT));
		ASSERT_EQ(0, arm_all(&self->e, self->w, SHORT));
		EXPECT_EQ(NPU_DONE, run_program(&self->e, ctx, program, NULL,
						&r));
		EXPECT_EQ(SHORT, count_right(&self->e, self->w, SHORT));
	}
	npu_bo_free(self->e.fd, &out);
	free(c.data);
}

TEST_F(links, a_linked_program_needs_room_for_its_links)
{
	struct drm_npu_patch patch = { 0 };
	uint32_t program;
	uint64_t *words;
	struct cmds c;
	int n, i;

	ASSERT_EQ(0, join(&self->e, self->w, SHORT, &c));
	words = (uint64_t *)c.data;
	for (n = 0; n < SHORT; n++) {
		uint32_t end = c.tasks[n].cmd_va + c.tasks[n].cmd_size;

		for (i = 1; i <= 4; i++) {	/* from the end */
			uint64_t keep = words[end / 8 - i];

			if (i == 2)
				continue;
			words[end / 8 - i] = 0x1001000000004020ull;
			EXPECT_EQ(n == SHORT - 1 ? 0 : -EINVAL,
				  npu_program_create(self->e.fd, &c.arg,
						     &program));
			words[end / 8 - i] = keep;
		}
		for (i = 3; i <= 4 && n < SHORT - 1; i++) {
			patch.offset = end - i * 8 + 2;
			c.arg.patches = NPU_ARRAY(&patch, 1);
			EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &c.arg,
							      &program));
		}
		c.arg.patches = (struct drm_npu_array){ 0 };
	}
	c.tasks[2].done_unit = RKNN_DONE_PPU;
	EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &c.arg, &program));
	c.tasks[2].done_unit = RKNN_DONE_DPU;
	for (n = 1; n < 32; n++) {
		c.arg.flags = DRM_NPU_PROGRAM_LINKED | 1u << n;
		EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &c.arg,
						      &program));
	}
	c.arg.flags = DRM_NPU_PROGRAM_LINKED;
	EXPECT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
	free(c.data);
}

/* A stream names one other, so it cannot be followed by two. */
TEST_F(links, streams_may_be_run_again_with_the_same_one_behind)
{
	uint32_t max = self->e.info.max_tasks, program, n;
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	struct cmds c;

	ASSERT_EQ(0, join(&self->e, self->w, 2, &c));
	tasks = calloc(max, sizeof(*tasks));
	ASSERT_NE(NULL, tasks);
	for (n = 0; n < max; n++)
		tasks[n] = c.tasks[n % 2];
	c.arg.tasks = (struct drm_npu_array)NPU_ARRAY(tasks, max);
	ASSERT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
	ASSERT_EQ(0, arm_all(&self->e, self->w, 2));
	EXPECT_EQ(NPU_DONE, run_program(&self->e, self->e.ctx, program, NULL,
					&r));
	EXPECT_EQ(max, r.tasks_done);
	EXPECT_EQ(2, count_right(&self->e, self->w, 2));

	tasks[max / 2] = c.tasks[1];
	EXPECT_EQ(-EINVAL, npu_program_create(self->e.fd, &c.arg, &program));
	free(tasks);
	free(c.data);
}

TEST_F(links, a_fault_in_a_linked_program_tells_its_task)
{
	uint64_t hole = (self->e.info.va_end >> 1) & ~0xfffffull;
	struct drm_npu_job_result r;
	uint32_t program, ctx;
	struct cmds c;
	int n;

	for (n = 0; n < SHORT; n++) {
		struct npu_work *w = &self->w[n];
		uint32_t good = w->bo[NPU_OUT].va;

		rknn_patch(&w->stream, RKNN_DPU_OUT, hole);
		ASSERT_EQ(0, join(&self->e, self->w, SHORT, &c));
		ASSERT_EQ(0, npu_program_create(self->e.fd, &c.arg, &program));
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		EXPECT_EQ(-EFAULT, run_program(&self->e, ctx, program, NULL,
					       &r));
		EXPECT_EQ(n, r.tasks_done);
		EXPECT_EQ(hole, r.fault_va & ~0xfffull);
		rknn_patch(&w->stream, RKNN_DPU_OUT, good);
		free(c.data);
	}
}

TEST_HARNESS_MAIN
