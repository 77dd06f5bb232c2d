// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scheduling: which job runs next, where, and for how long.
 *
 * Much of the work here counts: a task adds one to every byte of a buffer. What is
 * in the buffer at the end tells how many tasks have run, whatever happened to
 * the job meanwhile: none was lost and none was run twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "kselftest_harness.h"
#include "npu_test.h"

NPU_FIXTURE(sched)

/* As the driver has it: who has waited for so long gets the core for one task */
#define AGE_NS		100000000ull

/* Bytes begin here, and saturate after so many tasks */
#define COUNT_FROM	0x80
#define COUNT_MAX	255

/* Sides of the squares that tasks count in; the larger, the longer a task takes */
#define SIDE_MIN	32
#define SIDE_MAX	256

/* It is no test of timeouts, and the machine may be busy. */
static int ctx_of(struct npu_env *e, uint32_t sched_class, int32_t priority,
		  uint64_t core_mask, uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm,
		.sched_class = sched_class,
		.priority = priority,
		.core_mask = core_mask,
		.timeout_ms = e->info.max_timeout_ms,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = arg.ctx_id;
	return ret;
}

/* A counter that starts at zero */
static int counter_reset(struct npu_env *e, struct npu_work *w)
{
	memset(w->bo[NPU_OUT].map, COUNT_FROM, w->bo[NPU_OUT].size);
	return npu_bo_sync(e->fd, &w->bo[NPU_OUT], DRM_NPU_SYNC_TO_DEVICE);
}

static int counter_new(struct npu_env *e, struct npu_work *w, uint32_t side)
{
	struct rknn_ew shape = { .op = RKNN_EW_ADD, .w = side, .h = side };
	int ret = npu_work_ew(e, w, &shape, 1);

	if (ret)
		return ret;
	memset(w->bo[NPU_AUX].map, 1, w->bo[NPU_AUX].size);
	rknn_patch(&w->stream, RKNN_RDMA_A, w->bo[NPU_OUT].va);
	ret = npu_work_stream(e, w);
	if (!ret)
		ret = npu_bo_sync(e->fd, &w->bo[NPU_AUX], DRM_NPU_SYNC_TO_DEVICE);
	return ret ? ret : counter_reset(e, w);
}

/* How many tasks have run; negative when not all bytes say the same */
static int counter_read(struct npu_env *e, struct npu_work *w)
{
	struct npu_bo *out = &w->bo[NPU_OUT];
	int ret = npu_bo_sync(e->fd, out, DRM_NPU_SYNC_FROM_DEVICE);
	size_t i;

	if (ret)
		return ret;
	for (i = 0; i < out->size; i++) {
		if (out->map[i] != out->map[0])
			return -EBADMSG;
	}
	return (uint8_t)(out->map[0] - COUNT_FROM);
}

/* One job that counts @count times, or several */
static int counter_submit(struct npu_env *e, uint32_t ctx, struct npu_work *w,
			  uint32_t count, uint32_t jobs, uint32_t signal)
{
	struct drm_npu_task *tasks = npu_repeat(w, count);
	int ret = tasks ? 0 : -ENOMEM;

	while (jobs-- && !ret)
		ret = npu_submit_tasks(e->fd, ctx, tasks, count, signal);
	free(tasks);
	return ret;
}

static bool is_during(const struct drm_npu_job_result *r,
		      const struct drm_npu_job_result *other)
{
	return r->start_ns > other->start_ns && r->start_ns < other->end_ns;
}

enum { CORES = 8, QUEUE = 3, TASKS = 60 };

/* Full queues of class throughput on every core, and one job of class latency */
struct crowd {
	uint32_t cores, ctx[CORES], sync[CORES], fast, fast_sync;
	struct npu_work w[CORES], small;
	struct drm_npu_job_result r[CORES][QUEUE], fast_r;
	uint64_t submit_ns;
};

static int crowd_open(struct npu_env *e, struct crowd *c, uint32_t side)
{
	uint32_t n;
	int ret = npu_work_small(e, &c->small, 1);

	for (n = 0; n < c->cores && !ret; n++) {
		ret = counter_new(e, &c->w[n], side);
		if (!ret)
			ret = ctx_of(e, DRM_NPU_CLASS_THROUGHPUT, 0, 1ull << n,
				     &c->ctx[n]);
		if (!ret)
			ret = npu_syncobj_create(e->fd, 0, &c->sync[n]);
	}
	if (!ret)
		ret = ctx_of(e, DRM_NPU_CLASS_LATENCY, 0, 0, &c->fast);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &c->fast_sync);
	return ret;
}

static void crowd_close(struct npu_env *e, struct crowd *c)
{
	uint32_t n;

	for (n = 0; n < c->cores; n++) {
		npu_ctx_destroy(e->fd, c->ctx[n]);
		npu_syncobj_destroy(e->fd, c->sync[n]);
		npu_work_free(e, &c->w[n]);
	}
	npu_ctx_destroy(e->fd, c->fast);
	npu_syncobj_destroy(e->fd, c->fast_sync);
	npu_work_free(e, &c->small);
}

static int crowd_run(struct npu_env *e, struct crowd *c)
{
	struct drm_npu_job_result r;
	uint32_t n;
	int ret = npu_work_arm(e, &c->small);

	for (n = 0; n < c->cores && !ret; n++)
		ret = counter_submit(e, c->ctx[n], &c->w[n], TASKS, QUEUE,
				     c->sync[n]);
	for (n = 0; n < c->cores && !ret; n++)
		ret = npu_job_wait(e->fd, c->ctx[n], 1, DRM_NPU_JOB_RUNNING, &r);
	c->submit_ns = npu_raw_ns();
	if (!ret)
		ret = npu_submit_work(e->fd, c->fast, &c->small, c->fast_sync);
	if (!ret && npu_syncobj_status(e->fd, c->fast_sync, 0) != NPU_DONE)
		ret = -EPROTO;
	if (!ret)
		ret = npu_job_result(e->fd, c->fast, 1, &c->fast_r);
	for (n = 0; n < c->cores && !ret; n++) {
		if (npu_syncobj_status(e->fd, c->sync[n], 0) != NPU_DONE)
			ret = -EPROTO;
		if (!ret)
			ret = npu_job_query(e->fd, c->ctx[n], 1, c->r[n], QUEUE);
		if (!ret && counter_read(e, &c->w[n]) != QUEUE * TASKS)
			ret = -EBADMSG;
	}
	return ret;
}

/* How long a task took on the core that the fast job got */
static uint64_t crowd_task_ns(const struct crowd *c)
{
	const struct drm_npu_job_result *r = c->r[c->fast_r.core];

	return (r[QUEUE - 1].end_ns - r[0].start_ns) / (QUEUE * TASKS);
}

static bool crowd_is_full(const struct crowd *c)
{
	const struct drm_npu_job_result *r = c->r[c->fast_r.core];
	int n;

	for (n = 0; n < QUEUE; n++) {
		if (is_during(&c->fast_r, &r[n]))
			return true;
	}
	return false;
}

/*
 * It waits for one task, not for a job or a queue. Longer tasks when the machine is
 * so busy that a task is nothing against what else it has to wait for.
 */
TEST_F(sched, a_latency_job_waits_for_one_task)
{
	struct crowd c = { .cores = self->e.info.num_cores };
	uint64_t waited = 0, task = 0;
	uint32_t side;
	bool full;

	if (c.cores > CORES)
		SKIP(return, "more than 8 cores");
	for (side = SIDE_MIN; side <= SIDE_MAX; side *= 2) {
		ASSERT_EQ(0, crowd_open(&self->e, &c, side));
		ASSERT_EQ(0, crowd_run(&self->e, &c));
		EXPECT_EQ(0, npu_work_check(&self->e, &c.small));
		waited = c.fast_r.start_ns - c.submit_ns;
		task = crowd_task_ns(&c);
		full = crowd_is_full(&c);
		crowd_close(&self->e, &c);
		if (full && waited <= 2 * task)
			break;
	}
	EXPECT_LE(side, SIDE_MAX)
		TH_LOG("%llu ns, tasks took %llu ns", (unsigned long long)waited,
		       (unsigned long long)task);
}

/* A long job that has a core, and another that takes it away for long */
struct detour {
	uint32_t ctx[2], sync[2];
	struct drm_npu_job_result r[2], before;
};

static int detour_open(struct npu_env *e, struct detour *d)
{
	int ret, n;

	ret = ctx_of(e, DRM_NPU_CLASS_THROUGHPUT, 0, 0, &d->ctx[0]);
	if (!ret)
		ret = ctx_of(e, DRM_NPU_CLASS_LATENCY, 0, 0, &d->ctx[1]);
	for (n = 0; n < 2 && !ret; n++)
		ret = npu_syncobj_create(e->fd, 0, &d->sync[n]);
	return ret;
}

static void detour_close(struct npu_env *e, struct detour *d)
{
	int n;

	for (n = 0; n < 2; n++) {
		npu_ctx_destroy(e->fd, d->ctx[n]);
		npu_syncobj_destroy(e->fd, d->sync[n]);
	}
}

/* The first one runs; the other gets nothing but its core */
static int detour_block(struct npu_env *e, struct detour *d)
{
	struct drm_npu_ctx_set set = { .flags = DRM_NPU_CTX_SET_CORE_MASK };
	int ret;

	ret = npu_job_wait(e->fd, d->ctx[0], 1, DRM_NPU_JOB_RUNNING, &d->before);
	set.core_mask = 1ull << d->before.core;
	return ret ? ret : npu_ctx_set(e->fd, d->ctx[1], &set);
}

static int detour_wait(struct npu_env *e, struct detour *d)
{
	int ret = 0, n;

	for (n = 0; n < 2 && !ret; n++) {
		if (npu_syncobj_status(e->fd, d->sync[n], 0) != NPU_DONE)
			ret = -EPROTO;
		if (!ret)
			ret = npu_job_result(e->fd, d->ctx[n], 1, &d->r[n]);
	}
	return ret;
}

/* The first made way and went on somewhere else before the other had ended */
static bool detour_was_made(const struct detour *d)
{
	return d->before.state == DRM_NPU_JOB_RUNNING &&
	       d->r[1].core == d->before.core && is_during(&d->r[1], &d->r[0]) &&
	       d->r[0].core != d->before.core;
}

TEST_F(sched, a_job_that_makes_way_goes_on_elsewhere)
{
	const uint32_t count = 200;
	struct npu_work w[2];
	struct detour d;
	uint32_t side;
	bool made;
	int n;

	if (self->e.info.num_cores < 2)
		SKIP(return, "only one core");
	for (side = SIDE_MIN; side <= SIDE_MAX; side *= 2) {
		ASSERT_EQ(0, detour_open(&self->e, &d));
		for (n = 0; n < 2; n++) {
			ASSERT_EQ(0, counter_new(&self->e, &w[n], side));
		}
		ASSERT_EQ(0, counter_submit(&self->e, d.ctx[0], &w[0], count, 1,
					    d.sync[0]));
		ASSERT_EQ(0, detour_block(&self->e, &d));
		ASSERT_EQ(0, counter_submit(&self->e, d.ctx[1], &w[1], count, 1,
					    d.sync[1]));
		ASSERT_EQ(0, detour_wait(&self->e, &d));
		for (n = 0; n < 2; n++) {
			EXPECT_EQ(0, d.r[n].error);
			EXPECT_EQ(count, d.r[n].tasks_done);
			EXPECT_EQ(count, counter_read(&self->e, &w[n]));
			npu_work_free(&self->e, &w[n]);
		}
		made = detour_was_made(&d);
		detour_close(&self->e, &d);
		if (made)
			break;
	}
	EXPECT_LE(side, SIDE_MAX) TH_LOG("it never made way");
}

enum { STEPS = 60, PLACES = 2 * STEPS };

/* A program of many tasks that counts wherever a run says */
static int counting_program(struct npu_env *e, const struct npu_work *w,
			    uint32_t *program)
{
	size_t size = w->task.cmd_size, at[2], n;
	struct drm_npu_patch patches[PLACES] = { 0 };
	struct drm_npu_task tasks[STEPS] = { 0 };
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.tasks = NPU_ARRAY(tasks, STEPS),
		.patches = NPU_ARRAY(patches, PLACES),
	};
	uint32_t stride = (size + 15) & ~15;
	uint8_t *cmds = calloc(STEPS, stride);
	int ret;

	if (!cmds)
		return -ENOMEM;
	at[0] = rknn_value_at(&w->stream, RKNN_RDMA_A);
	at[1] = rknn_value_at(&w->stream, RKNN_DPU_OUT);
	for (n = 0; n < STEPS; n++) {
		memcpy(cmds + n * stride, w->stream.words, size);
		tasks[n].cmd_va = n * stride;
		tasks[n].cmd_size = size;
		patches[2 * n].offset = n * stride + at[0];
		patches[2 * n + 1].offset = n * stride + at[1];
	}
	arg.cmds = (uintptr_t)cmds;
	arg.cmds_size = STEPS * stride;
	ret = npu_program_create(e->fd, &arg, program);
	free(cmds);
	return ret;
}

static int counting_submit(struct npu_env *e, uint32_t ctx, uint32_t program,
			   const struct npu_work *w, uint32_t signal)
{
	struct drm_npu_value values[PLACES];
	int n;

	for (n = 0; n < PLACES; n++)
		values[n].va = w->bo[NPU_OUT].va;
	return npu_submit_program(e->fd, ctx, program, values, PLACES, signal);
}

/*
 * Each core has a copy of the program: the one the job left is patched for the
 * other run of the same program, the one it goes on with for itself.
 */
TEST_F(sched, a_program_that_makes_way_takes_its_addresses_along)
{
	uint32_t side, program;
	struct npu_work w[3];
	struct detour d;
	bool made;
	int n;

	if (self->e.info.num_cores < 2)
		SKIP(return, "only one core");
	for (side = 2 * SIDE_MIN; side <= 2 * SIDE_MAX; side *= 2) {
		ASSERT_EQ(0, detour_open(&self->e, &d));
		for (n = 0; n < 3; n++) {
			ASSERT_EQ(0, counter_new(&self->e, &w[n], side));
		}
		ASSERT_EQ(0, counting_program(&self->e, &w[2], &program));
		ASSERT_EQ(0, counting_submit(&self->e, d.ctx[0], program, &w[0],
					     d.sync[0]));
		ASSERT_EQ(0, detour_block(&self->e, &d));
		ASSERT_EQ(0, counting_submit(&self->e, d.ctx[1], program, &w[1],
					     d.sync[1]));
		ASSERT_EQ(0, detour_wait(&self->e, &d));
		EXPECT_EQ(STEPS, counter_read(&self->e, &w[0]));
		EXPECT_EQ(STEPS, counter_read(&self->e, &w[1]));
		EXPECT_EQ(0, counter_read(&self->e, &w[2]));
		ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
		for (n = 0; n < 3; n++)
			npu_work_free(&self->e, &w[n]);
		made = detour_was_made(&d);
		detour_close(&self->e, &d);
		if (made)
			break;
	}
	EXPECT_LE(side, 2 * SIDE_MAX) TH_LOG("it never made way");
}

/* Submits short jobs of a better class until it is told to stop */
struct pest {
	struct npu_env *e;
	uint32_t ctx;
	struct npu_work *w;
	bool stop;
	int jobs, wrong;
};

static void *pester(void *data)
{
	struct pest *p = data;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		if (npu_work_run(p->e, p->ctx, p->w))
			p->wrong++;
		p->jobs++;
	}
	return NULL;
}

/*
 * The third of three tasks has nothing in its stream but the start: it runs with
 * what the first has left in the group of registers whose turn it is. Were another
 * job to come between, it would find what that has left there, or the second.
 */
static int triplet(struct npu_env *e, struct npu_work *w, struct npu_work *bare,
		   struct drm_npu_task *tasks)
{
	int n, ret = 0;

	for (n = 0; n < 2 && !ret; n++)
		ret = counter_new(e, &w[n], SIDE_MIN);
	if (!ret)
		ret = counter_new(e, bare, SIDE_MIN);
	if (ret)
		return ret;
	bare->stream.count = 0;
	rknn_finish(&bare->stream, RKNN_EN_EW);
	ret = npu_work_stream(e, bare);
	tasks[0] = w[0].task;
	tasks[1] = w[1].task;
	tasks[2] = bare->task;
	tasks[1].flags = DRM_NPU_TASK_FOLLOWS;
	tasks[2].flags = DRM_NPU_TASK_FOLLOWS;
	return ret;
}

TEST_F(sched, tasks_that_follow_are_not_separated)
{
	enum { TRIPLETS = 100, ROUNDS = 20 };
	struct drm_npu_task tasks[3 * TRIPLETS];
	struct drm_npu_job_result r;
	struct npu_work w[2], bare, small;
	struct pest p = { .e = &self->e, .w = &small };
	uint64_t core = 1ull << npu_first_core(&self->e);
	pthread_t id;
	uint32_t ctx;
	int n;

	ASSERT_EQ(0, ctx_of(&self->e, DRM_NPU_CLASS_THROUGHPUT, 0, core, &ctx));
	ASSERT_EQ(0, ctx_of(&self->e, DRM_NPU_CLASS_LATENCY, 0, core, &p.ctx));
	ASSERT_EQ(0, npu_work_small(&self->e, &small, 1));
	ASSERT_EQ(0, triplet(&self->e, w, &bare, tasks));
	for (n = 3; n < 3 * TRIPLETS; n++)
		tasks[n] = tasks[n - 3];

	ASSERT_EQ(0, pthread_create(&id, NULL, pester, &p));
	for (n = 0; n < ROUNDS; n++) {
		EXPECT_EQ(0, counter_reset(&self->e, &w[0]));
		EXPECT_EQ(0, counter_reset(&self->e, &w[1]));
		EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, ctx, tasks,
						  3 * TRIPLETS, &r));
		EXPECT_EQ(2 * TRIPLETS, counter_read(&self->e, &w[0]));
		EXPECT_EQ(TRIPLETS, counter_read(&self->e, &w[1]));
	}
	__atomic_store_n(&p.stop, true, __ATOMIC_RELEASE);
	pthread_join(id, NULL);
	EXPECT_EQ(0, p.wrong);
	EXPECT_GT(p.jobs, ROUNDS) TH_LOG("there was nobody to make way for");
}

/* Two files with a backlog for every core, of jobs that look different */
struct party {
	struct npu_env e;
	struct npu_work w;
	uint32_t ctxs, ctx[CORES], tasks;
	int32_t priority;
	uint64_t had;
};

static int party_open(struct party *p, uint32_t side)
{
	uint32_t n;
	int ret = npu_env_open(&p->e);

	if (!ret)
		ret = counter_new(&p->e, &p->w, side);
	p->ctxs = p->e.info.num_cores;
	for (n = 0; n < p->ctxs && !ret; n++)
		ret = ctx_of(&p->e, DRM_NPU_CLASS_BALANCED, p->priority, 0,
			     &p->ctx[n]);
	return ret;
}

/* Enough for a while on every core, and not for much longer */
static int party_queue(struct party *p, unsigned int ms)
{
	struct drm_npu_job_result r;
	uint32_t n, jobs, most;
	int ret;

	ret = counter_submit(&p->e, p->ctx[0], &p->w, p->tasks, 1, 0);
	if (!ret)
		ret = npu_job_wait(p->e.fd, p->ctx[0], 1, DRM_NPU_JOB_ENDED, &r);
	if (ret)
		return ret;
	jobs = ms * 1500000ull / (r.end_ns - r.start_ns) + 4;
	most = p->e.info.max_queued_tasks / p->tasks;
	if (most > p->e.info.max_queued)
		most = p->e.info.max_queued;
	if (jobs > most)
		jobs = most;
	for (n = 0; n < p->ctxs && !ret; n++)
		ret = counter_submit(&p->e, p->ctx[n], &p->w, p->tasks, jobs, 0);
	return ret;
}

/* Hardware time so far; -EAGAIN if a context has run out of jobs */
static int party_time(struct party *p, uint64_t *ns)
{
	struct drm_npu_ctx_query q;
	uint32_t n;
	int ret = 0;

	*ns = 0;
	for (n = 0; n < p->ctxs && !ret; n++) {
		ret = npu_ctx_query(p->e.fd, p->ctx[n], &q);
		*ns += q.hw_time_ns;
		if (!ret && q.jobs_failed)
			ret = -EPROTO;
		if (!ret && q.jobs_submitted - q.jobs_done < 2)
			ret = -EAGAIN;
	}
	return ret;
}

/* The same for two at one moment, or not much more than that */
static int party_times(struct party *p, unsigned int ms, uint64_t *ns)
{
	int ret, tries = 0;
	uint64_t start;

	do {
		start = npu_raw_ns();
		ret = party_time(&p[0], &ns[0]);
		if (!ret)
			ret = party_time(&p[1], &ns[1]);
	} while (!ret && npu_raw_ns() - start > ms * 5000ull && ++tries < 100);
	return ret;
}

/* What each of them had in a while; -EAGAIN if not both had a backlog until the end */
static int party_compare(struct party *p, unsigned int ms)
{
	uint64_t before[2], after[2];
	struct drm_npu_job_result r;
	int ret = 0, n;

	for (n = 0; n < 2 && !ret; n++)
		ret = party_queue(&p[n], ms);
	for (n = 0; n < 2 && !ret; n++)
		ret = npu_job_wait(p[n].e.fd, p[n].ctx[0], 2, DRM_NPU_JOB_RUNNING, &r);
	if (!ret)
		ret = party_times(p, ms, before);
	npu_sleep_ms(ms);
	if (!ret)
		ret = party_times(p, ms, after);
	for (n = 0; n < 2 && !ret; n++)
		p[n].had = after[n] - before[n];
	return ret;
}

static void compare_files(struct __test_metadata *_metadata, int32_t priority,
			  unsigned int weight)
{
	struct party p[2] = {
		{ .tasks = 20, .priority = priority },
		{ .tasks = 200, .priority = DRM_NPU_PRIORITY_NORMAL },
	};
	unsigned int ms, n;
	uint64_t share = 0;
	int ret;

	/* A longer look when the machine is too busy for a short one */
	for (ms = 500; ms <= 4000; ms *= 2) {
		for (n = 0; n < 2; n++) {
			p[n].had = 0;
			ASSERT_EQ(0, party_open(&p[n], SIDE_MIN));
		}
		ret = party_compare(p, ms);
		for (n = 0; n < 2; n++)
			npu_env_close(&p[n].e);
		ASSERT_TRUE(!ret || ret == -EAGAIN);
		/* In thousandths of what it should have */
		share = p[1].had * (1 + weight) * 1000 / weight /
			(p[0].had + p[1].had + 1);
		if (!ret && share >= 950 && share <= 1050)
			break;
	}
	EXPECT_LE(ms, 4000)
		TH_LOG("%llu of 1000", (unsigned long long)share);
}

TEST_F(sched, files_share_the_cores_by_time)
{
	compare_files(_metadata, DRM_NPU_PRIORITY_NORMAL, 1);
}

TEST_F(sched, a_low_priority_counts_four_times)
{
	compare_files(_metadata, DRM_NPU_PRIORITY_LOW, 4);
}

/* Jobs of a better class without end, until another job is over */
struct flood {
	struct npu_work w;
	uint32_t ctx, ahead;
	bool dry;
};

static int flood_more(struct npu_env *e, struct flood *f)
{
	struct drm_npu_ctx_query q;
	uint64_t left;
	int ret = npu_ctx_query(e->fd, f->ctx, &q);

	left = q.jobs_submitted - q.jobs_done;
	f->dry |= !left && q.jobs_submitted;
	if (!ret && left < f->ahead)
		ret = counter_submit(e, f->ctx, &f->w, 20, f->ahead - left, 0);
	return ret;
}

static int flood_until(struct npu_env *e, struct flood *f, uint32_t ctx,
		       struct drm_npu_job_result *r)
{
	int64_t end = npu_now_ns() + NPU_PATIENCE_MS * 1000000ll;
	int ret;

	do {
		ret = flood_more(e, f);
		if (!ret)
			ret = npu_job_result(e->fd, ctx, 1, r);
		if (!ret && r->state != DRM_NPU_JOB_ENDED && npu_now_ns() > end)
			ret = -ETIMEDOUT;
	} while (!ret && r->state != DRM_NPU_JOB_ENDED);
	return ret;
}

/*
 * Behind a class that never rests, the lowest gets one task each time it has waited
 * for long enough: after that, and not before.
 */
TEST_F(sched, who_waits_for_long_gets_one_task)
{
	uint64_t core = 1ull << npu_first_core(&self->e), submit_ns = 0;
	struct drm_npu_job_result r = { 0 };
	struct flood f = { 0 };
	struct npu_work w;
	uint32_t ctx;

	ASSERT_EQ(0, counter_new(&self->e, &f.w, SIDE_MIN));
	ASSERT_EQ(0, counter_new(&self->e, &w, SIDE_MIN));
	/* More when the flood went dry before its time */
	for (f.ahead = 16; f.ahead <= self->e.info.max_queued; f.ahead *= 2) {
		f.dry = false;
		ASSERT_EQ(0, ctx_of(&self->e, DRM_NPU_CLASS_BALANCED, 0, core,
				    &f.ctx));
		ASSERT_EQ(0, ctx_of(&self->e, DRM_NPU_CLASS_THROUGHPUT, 0, core,
				    &ctx));
		ASSERT_EQ(0, counter_reset(&self->e, &w));
		ASSERT_EQ(0, flood_more(&self->e, &f));
		ASSERT_EQ(0, npu_job_wait(self->e.fd, f.ctx, 1,
					  DRM_NPU_JOB_RUNNING, &r));
		submit_ns = npu_raw_ns();
		ASSERT_EQ(0, counter_submit(&self->e, ctx, &w, 3, 1, 0));
		ASSERT_EQ(0, flood_until(&self->e, &f, ctx, &r));
		EXPECT_EQ(3, counter_read(&self->e, &w));
		npu_ctx_destroy(self->e.fd, f.ctx);
		npu_ctx_destroy(self->e.fd, ctx);
		if (!f.dry)
			break;
	}
	EXPECT_FALSE(f.dry);
	EXPECT_GE(r.start_ns - submit_ns, AGE_NS);
	EXPECT_GE(r.end_ns - r.start_ns, 2 * AGE_NS);
}

/*
 * A long job, two short ones that wait for its core, and one on another core that
 * the second of them may wait for first
 */
enum rush_who { LONG, FIRST, SECOND, GATE, RUSHERS };

struct rush {
	uint32_t ctx[RUSHERS], sync[RUSHERS];
	struct npu_work w[RUSHERS];
	struct drm_npu_job_result r[RUSHERS];
	int file;
};

static int rush_open(struct npu_env *e, struct rush *d, uint32_t side)
{
	uint64_t mask = e->info.core_mask;
	unsigned int core, other;
	int ret = 0, n;

	mask = npu_next_core(mask, &core);
	npu_next_core(mask ? mask : 1ull << core, &other);
	for (n = 0; n < RUSHERS && !ret; n++) {
		ret = ctx_of(e, DRM_NPU_CLASS_BALANCED, 0,
			     1ull << (n == GATE ? other : core), &d->ctx[n]);
		if (!ret)
			ret = npu_syncobj_create(e->fd, 0, &d->sync[n]);
		if (!ret)
			ret = counter_new(e, &d->w[n], side);
	}
	return ret;
}

static void rush_close(struct npu_env *e, struct rush *d)
{
	int n;

	close(d->file);
	for (n = 0; n < RUSHERS; n++) {
		npu_ctx_destroy(e->fd, d->ctx[n]);
		npu_syncobj_destroy(e->fd, d->sync[n]);
		npu_work_free(e, &d->w[n]);
	}
}

static int rush_submit(struct npu_env *e, struct rush *d, bool gate)
{
	struct drm_npu_sync sync[2] = {
		{ .handle = d->sync[SECOND], .flags = DRM_NPU_SYNC_SIGNAL },
		{ .handle = d->sync[GATE], .flags = DRM_NPU_SYNC_WAIT },
	};
	struct drm_npu_job second = {
		.tasks = NPU_ARRAY(&d->w[SECOND].task, 1),
		.syncs = NPU_ARRAY(sync, gate ? 2 : 1),
	};
	int ret = 0;

	if (gate)
		ret = counter_submit(e, d->ctx[GATE], &d->w[GATE], 60, 1,
				     d->sync[GATE]);
	if (!ret)
		ret = counter_submit(e, d->ctx[LONG], &d->w[LONG], 240, 1,
				     d->sync[LONG]);
	if (!ret && !gate)
		ret = counter_submit(e, d->ctx[FIRST], &d->w[FIRST], 1, 1,
				     d->sync[FIRST]);
	if (!ret)
		ret = npu_submit(e->fd, d->ctx[SECOND], &second, 1);
	if (!ret)
		ret = npu_job_wait(e->fd, d->ctx[LONG], 1, DRM_NPU_JOB_RUNNING,
				   &d->r[LONG]);
	d->file = ret ? -1 : npu_syncobj_to_file(e->fd, d->sync[SECOND], 0);
	return ret ? ret : d->file < 0 ? d->file : 0;
}

/* Ways to say that the second one should be done by then */
enum rush_how { NOT, BY_FILE, BY_WAIT, BY_POINT };

static int rush_say(struct npu_env *e, struct rush *d, enum rush_how how, uint64_t ns)
{
	uint64_t point = 0;
	struct sync_set_deadline file = { .deadline_ns = ns };
	struct drm_syncobj_wait wait = {
		.handles = (uintptr_t)&d->sync[SECOND],
		.timeout_nsec = npu_now_ns() + NPU_PATIENCE_MS * 1000000ll,
		.count_handles = 1,
		.flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE,
		.deadline_nsec = ns,
	};
	struct drm_syncobj_timeline_wait timeline = {
		.handles = wait.handles,
		.points = (uintptr_t)&point,
		.timeout_nsec = wait.timeout_nsec,
		.count_handles = 1,
		.flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE,
		.deadline_nsec = ns,
	};

	switch (how) {
	case BY_FILE:
		return npu_ioctl(d->file, SYNC_IOC_SET_DEADLINE, &file);
	case BY_WAIT:
		return npu_ioctl(e->fd, DRM_IOCTL_SYNCOBJ_WAIT, &wait);
	case BY_POINT:
		return npu_ioctl(e->fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &timeline);
	default:
		return 0;
	}
}

/*
 * -EAGAIN when it was said too late: when there was nothing left to overtake, or,
 * with a gate, when one of the two had got past it.
 */
static int rush_run(struct npu_env *e, struct rush *d, enum rush_how how, int64_t ns,
		    bool gate)
{
	struct drm_npu_job_result gate_r;
	uint64_t start = npu_raw_ns(), said;
	int ret = rush_submit(e, d, gate), n;

	said = npu_raw_ns();
	if (!ret)
		ret = rush_say(e, d, how, npu_now_ns() + ns);
	/* Behind a gate the second one is not there yet; it must not get too old. */
	if (!ret && gate)
		ret = counter_submit(e, d->ctx[FIRST], &d->w[FIRST], 1, 1,
				     d->sync[FIRST]);
	if (!ret)
		ret = npu_job_result(e->fd, d->ctx[GATE], 1, &gate_r);
	for (n = 0; n < (gate ? RUSHERS : GATE) && !ret; n++) {
		if (npu_syncobj_status(e->fd, d->sync[n], 0) != NPU_DONE)
			ret = -EPROTO;
		if (!ret)
			ret = npu_job_result(e->fd, d->ctx[n], 1, &d->r[n]);
	}
	if (ret)
		return ret;
	if (gate && (gate_r.state == DRM_NPU_JOB_ENDED ||
		     d->r[FIRST].start_ns < d->r[GATE].end_ns))
		return -EAGAIN;
	if (d->r[FIRST].start_ns < said || d->r[SECOND].start_ns < said)
		return -EAGAIN;
	/* No deadline is good against age. */
	if (how != NOT && ns <= 0 && d->r[FIRST].start_ns < d->r[SECOND].start_ns &&
	    d->r[FIRST].start_ns - start >= AGE_NS)
		return -EAGAIN;
	/* Who is in a hurry does not wait for the long one, nor for its age. */
	if (d->r[SECOND].start_ns < d->r[FIRST].start_ns &&
	    !is_during(&d->r[SECOND], &d->r[LONG]))
		return -EAGAIN;
	return 0;
}

/* Tells who was first; with tasks of another length when it was said too late */
static int rush(struct npu_env *e, enum rush_how how, int64_t ns, bool gate,
		bool *overtook)
{
	static const uint32_t counts[RUSHERS] = { 240, 1, 1, 60 };
	uint32_t side = SIDE_MIN;
	struct rush d;
	int ret, n, tries = 0;

	do {
		ret = rush_open(e, &d, side);
		if (!ret)
			ret = rush_run(e, &d, how, ns, gate);
		for (n = 0; n < (gate ? RUSHERS : GATE) && (!ret || ret == -EAGAIN); n++) {
			if (counter_read(e, &d.w[n]) != counts[n])
				ret = -EBADMSG;
		}
		rush_close(e, &d);
		side = side < SIDE_MAX ? 2 * side : SIDE_MIN;
	} while (ret == -EAGAIN && ++tries < 12);

	*overtook = d.r[SECOND].start_ns < d.r[FIRST].start_ns;
	return ret;
}

TEST_F(sched, a_near_deadline_goes_first)
{
	const int64_t second = 1000000000;
	bool overtook;

	ASSERT_EQ(0, rush(&self->e, NOT, 0, false, &overtook));
	EXPECT_FALSE(overtook);
	ASSERT_EQ(0, rush(&self->e, BY_FILE, 0, false, &overtook));
	EXPECT_TRUE(overtook);
	ASSERT_EQ(0, rush(&self->e, BY_WAIT, 0, false, &overtook));
	EXPECT_TRUE(overtook);
	ASSERT_EQ(0, rush(&self->e, BY_POINT, 0, false, &overtook));
	EXPECT_TRUE(overtook);
	ASSERT_EQ(0, rush(&self->e, BY_FILE, -3600 * second, false, &overtook));
	EXPECT_TRUE(overtook) TH_LOG("one that has passed");
	ASSERT_EQ(0, rush(&self->e, BY_FILE, 3600 * second, false, &overtook));
	EXPECT_FALSE(overtook) TH_LOG("one that is far away");
	ASSERT_EQ(0, rush(&self->e, BY_WAIT, 3600 * second, false, &overtook));
	EXPECT_FALSE(overtook) TH_LOG("one that is far away");
}

/* Said while the job waits for another one, so that no core could run it */
TEST_F(sched, a_deadline_is_kept_until_the_job_can_run)
{
	bool overtook;

	if (self->e.info.num_cores < 2)
		SKIP(return, "only one core");
	ASSERT_EQ(0, rush(&self->e, NOT, 0, true, &overtook));
	EXPECT_FALSE(overtook);
	ASSERT_EQ(0, rush(&self->e, BY_FILE, 0, true, &overtook));
	EXPECT_TRUE(overtook);
}

TEST_HARNESS_MAIN
