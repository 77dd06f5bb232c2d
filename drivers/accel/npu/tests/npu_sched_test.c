// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the scheduling policy. They need no hardware: a core is a slot that
 * the test starts and ends jobs in.
 */

#include <linux/module.h>
#include <linux/prandom.h>

#include <kunit/test.h>

#include <drm/npu_accel.h>

#include "npu_sched.h"

#define NUM_CORES	3
#define NUM_CTXS	24
#define NUM_JOBS	2000

/* Identities of address spaces; nothing looks into them. */
static const char vms[8];

struct world {
	struct npu_sched s;
	struct npu_sched_client client;
	struct npu_sched_ctx ctx[NUM_CTXS];
	struct npu_sched_job job[NUM_JOBS];
	unsigned int jobs;
};

static int world_init(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	npu_sched_init(&w->s, NUM_CORES);
	npu_sched_client_init(&w->client);
	w->s.up = BIT(NUM_CORES) - 1;
	w->s.present = w->s.up;
	test->priv = w;
	return 0;
}

static struct npu_sched_ctx *ctx_class(struct kunit *test, unsigned int i, u32 class,
				       s32 priority, u64 mask, const void *vm)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, 0, npu_sched_ctx_init(&w->ctx[i], &w->client, class,
						    priority, mask, vm));
	return &w->ctx[i];
}

static struct npu_sched_ctx *ctx(struct kunit *test, unsigned int i, u64 mask,
				 const void *vm)
{
	return ctx_class(test, i, DRM_NPU_CLASS_BALANCED, DRM_NPU_PRIORITY_NORMAL, mask,
			 vm);
}

static struct npu_sched_job *ready(struct kunit *test, struct npu_sched_ctx *c)
{
	struct world *w = test->priv;
	struct npu_sched_job *job = &w->job[w->jobs++];

	KUNIT_ASSERT_LE(test, w->jobs, NUM_JOBS);
	npu_sched_job_init(job, c);
	guard(spinlock_irq)(&w->s.lock);
	npu_sched_ready(&w->s, job, 0);
	return job;
}

static struct npu_sched_job *start(struct world *w, unsigned int core, bool same_vm)
{
	guard(spinlock_irq)(&w->s.lock);
	return npu_sched_start(&w->s, core, same_vm, 0);
}

/* Starts a job with the VM switch that the hardware would do. */
static struct npu_sched_job *run(struct world *w, unsigned int core)
{
	struct npu_sched_job *job = start(w, core, false);

	if (job)
		w->s.cores[core].vm = job->ctx->vm;
	return job;
}

static void fill(struct world *w, unsigned int core)
{
	guard(spinlock_irq)(&w->s.lock);
	npu_sched_fill(&w->s, core, 0);
}

static void done(struct world *w, unsigned int core)
{
	guard(spinlock_irq)(&w->s.lock);
	npu_sched_done(&w->s, core, 0, 0);
}

static void requeue(struct world *w, unsigned int core, bool with_run)
{
	guard(spinlock_irq)(&w->s.lock);
	npu_sched_requeue(&w->s, core, with_run);
}

static int set(struct world *w, struct npu_sched_ctx *c, u32 class, s32 priority,
	       u64 mask)
{
	guard(spinlock_irq)(&w->s.lock);
	return npu_sched_ctx_set(&w->s, c, class, priority, mask);
}

/* Takes a core away for good. */
static void lose(struct world *w, unsigned int core)
{
	guard(spinlock_irq)(&w->s.lock);
	w->s.up &= ~BIT(core);
	w->s.present &= ~BIT(core);
	npu_sched_strand(&w->s);
}

/* Jobs of one context run one after the other, in order, on any core. */
static void test_order(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 7, &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 1));
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_NULL(test, run(w, 2));
	done(w, 1);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 2));
	done(w, 2);
	KUNIT_EXPECT_NULL(test, run(w, 0));
}

/* Contexts of one client use all cores at once. */
static void test_parallel(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *job[NUM_CORES];

	for (unsigned int i = 0; i < NUM_CORES; i++)
		job[i] = ready(test, ctx(test, i, 7, &vms[0]));
	for (unsigned int i = 0; i < NUM_CORES; i++)
		KUNIT_EXPECT_PTR_EQ(test, job[i], run(w, i));
}

static void test_core_mask(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *only2 = ready(test, ctx(test, 0, BIT(2), &vms[0]));
	struct npu_sched_job *any = ready(test, ctx(test, 1, 7, &vms[1]));

	KUNIT_EXPECT_PTR_EQ(test, any, run(w, 0));
	KUNIT_EXPECT_NULL(test, run(w, 1));
	KUNIT_EXPECT_PTR_EQ(test, only2, run(w, 2));
}

/* Class first, then priority, then age. */
static void test_levels(struct kunit *test)
{
	static const struct {
		u32 class;
		s32 priority;
	} order[] = {
		{ DRM_NPU_CLASS_LATENCY, DRM_NPU_PRIORITY_HIGH },
		{ DRM_NPU_CLASS_LATENCY, DRM_NPU_PRIORITY_NORMAL },
		{ DRM_NPU_CLASS_LATENCY, DRM_NPU_PRIORITY_LOW },
		{ DRM_NPU_CLASS_BALANCED, DRM_NPU_PRIORITY_HIGH },
		{ DRM_NPU_CLASS_BALANCED, DRM_NPU_PRIORITY_NORMAL },
		{ DRM_NPU_CLASS_BALANCED, DRM_NPU_PRIORITY_LOW },
		{ DRM_NPU_CLASS_THROUGHPUT, DRM_NPU_PRIORITY_HIGH },
		{ DRM_NPU_CLASS_THROUGHPUT, DRM_NPU_PRIORITY_NORMAL },
		{ DRM_NPU_CLASS_THROUGHPUT, DRM_NPU_PRIORITY_LOW },
	};
	struct npu_sched_job *first[ARRAY_SIZE(order)], *second[ARRAY_SIZE(order)];
	struct world *w = test->priv;
	int n = ARRAY_SIZE(order);

	for (int i = n - 1; i >= 0; i--) {
		first[i] = ready(test, ctx_class(test, i, order[i].class,
						 order[i].priority, 7, &vms[0]));
		second[i] = ready(test, ctx_class(test, i + n, order[i].class,
						  order[i].priority, 7, &vms[0]));
	}
	for (int i = 0; i < n; i++) {
		KUNIT_EXPECT_PTR_EQ(test, first[i], run(w, 0));
		done(w, 0);
		KUNIT_EXPECT_PTR_EQ(test, second[i], run(w, 0));
		done(w, 0);
	}
}

static void test_ctx_args(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx c;

	KUNIT_EXPECT_EQ(test, -EINVAL,
			npu_sched_ctx_init(&c, &w->client, 3, 0, 7, NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			npu_sched_ctx_init(&c, &w->client, U32_MAX, 0, 7, NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			npu_sched_ctx_init(&c, &w->client, 0, 2, 7, NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			npu_sched_ctx_init(&c, &w->client, 0, -2, 7, NULL));
	KUNIT_EXPECT_EQ(test, 0,
			npu_sched_ctx_init(&c, &w->client, 2, -1, 7, NULL));
}

/* The core that has the VM takes the job, although another one is asked first. */
static void test_affinity(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *job;

	w->s.cores[2].vm = &vms[3];
	job = ready(test, ctx(test, 0, 7, &vms[3]));
	KUNIT_EXPECT_NULL(test, start(w, 0, true));
	KUNIT_EXPECT_NULL(test, start(w, 1, true));
	KUNIT_EXPECT_PTR_EQ(test, job, start(w, 2, true));
}

/* A VM that is loaded lets younger jobs overtake, but not for ever. */
static void test_affinity_window(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *near = ctx(test, 0, 1, &vms[0]);
	struct npu_sched_job *far = NULL, *job;
	unsigned int overtaken = 0;

	w->s.cores[0].vm = &vms[0];
	for (unsigned int i = 0; i < 50; i++) {
		ready(test, near);
		if (!i)
			far = ready(test, ctx(test, 1, 1, &vms[1]));
		job = run(w, 0);
		KUNIT_ASSERT_NOT_NULL(test, job);
		done(w, 0);
		if (job == far)
			break;
		overtaken++;
	}
	KUNIT_EXPECT_GT(test, overtaken, 1);
	KUNIT_EXPECT_LE(test, overtaken, NPU_SCHED_AFFINITY_JOBS + 1);
}

/* The next slot takes the next job of the same VM, its own context's included. */
static void test_fill(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 1, &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	fill(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, w->s.cores[0].next);
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, start(w, 0, true));
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
}

/* Nothing is predicted when the next job needs another VM. */
static void test_fill_other_vm(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *a = ready(test, ctx(test, 0, 1, &vms[0]));
	struct npu_sched_job *b;

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	b = ready(test, ctx(test, 1, 1, &vms[1]));
	fill(w, 0);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 0));
}

/* A better job takes a prediction back, and goes first. */
static void test_displace(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 1, &vms[0]);
	struct npu_sched_job *b, *urgent;

	ready(test, c);
	b = ready(test, c);
	run(w, 0);
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, b, w->s.cores[0].next);
	urgent = ready(test, ctx_class(test, 1, DRM_NPU_CLASS_LATENCY, 0, 7, &vms[1]));
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, urgent, run(w, 0));
	KUNIT_EXPECT_NULL(test, run(w, 1));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 0));
}

/* An idle core takes what another one would do later. */
static void test_steal(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 7, &vms[0]);
	struct npu_sched_job *own, *other;

	ready(test, c);
	run(w, 0);
	other = ready(test, ctx(test, 1, 7, &vms[0]));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, other, w->s.cores[0].next);
	KUNIT_EXPECT_NULL(test, start(w, 1, true));
	KUNIT_EXPECT_PTR_EQ(test, other, run(w, 1));
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);

	/* But not what has to follow the job that runs. */
	own = ready(test, c);
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, own, w->s.cores[0].next);
	KUNIT_EXPECT_NULL(test, run(w, 2));
}

/* What has not started leaves a core in its old order. */
static void test_requeue(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 7, &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	run(w, 0);
	fill(w, 0);
	w->s.up &= ~1;
	requeue(w, 0, true);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].run);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 1));
	done(w, 1);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 1));
}

/* A ban leaves the running job alone and takes all others, in order. */
static void test_purge(struct kunit *test)
{
	struct npu_sched_job *expect[3], *pos;
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 7, &vms[0]);
	struct npu_sched_job *running = ready(test, c);
	LIST_HEAD(jobs);
	int n = 0;

	for (int i = 0; i < 3; i++)
		expect[i] = ready(test, c);
	run(w, 0);
	fill(w, 0);
	scoped_guard(spinlock_irq, &w->s.lock)
		npu_sched_purge(&w->s, c, &jobs);
	KUNIT_EXPECT_PTR_EQ(test, running, w->s.cores[0].run);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	list_for_each_entry(pos, &jobs, link)
		KUNIT_EXPECT_PTR_EQ(test, expect[n++], pos);
	KUNIT_EXPECT_EQ(test, 3, n);
	done(w, 0);
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_TRUE(test, list_empty(&c->link));
}

static bool must_yield(struct world *w, unsigned int core)
{
	guard(spinlock_irq)(&w->s.lock);
	return npu_sched_wanted(&w->s, core) &&
	       npu_sched_must_yield(&w->s, core, 0, 0);
}

/* A job leaves a core that is about to go, and goes on where it may. */
static void test_down(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 7, &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	fill(w, 0);
	KUNIT_EXPECT_FALSE(test, must_yield(w, 0));
	w->s.up &= ~1;
	KUNIT_EXPECT_TRUE(test, must_yield(w, 0));
	scoped_guard(spinlock_irq, &w->s.lock)
		npu_sched_yield(&w->s, 0, 0, 0);
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 2));
	done(w, 2);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 1));
}

static void hurry(struct world *w, struct npu_sched_job *job, u64 deadline)
{
	guard(spinlock_irq)(&w->s.lock);
	npu_sched_deadline(&w->s, job, deadline);
}

static const u64 near = NPU_SCHED_URGENT_NS / 2;

/* Of one class, the earliest deadline goes first; one that is far does not count. */
static void test_deadline_order(struct kunit *test)
{
	struct npu_sched_job *job[4], *better;
	struct world *w = test->priv;

	for (unsigned int i = 0; i < 4; i++)
		job[i] = ready(test, ctx(test, i, 1, &vms[i]));
	better = ready(test, ctx_class(test, 4, DRM_NPU_CLASS_LATENCY, 0, 1, &vms[4]));
	hurry(w, job[1], NPU_SCHED_URGENT_NS + 1);
	hurry(w, job[2], near);
	hurry(w, job[3], near - 1);
	/* The earliest one counts. */
	hurry(w, job[3], near + 1);

	KUNIT_EXPECT_PTR_EQ(test, better, run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[3], run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[2], run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[0], run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[1], run(w, 0));
}

/* The deadline of a job is that of the jobs before it, too. */
static void test_deadline_queue(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *other = ready(test, ctx(test, 0, 1, &vms[0]));
	struct npu_sched_ctx *c = ctx(test, 1, 1, &vms[1]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);
	struct npu_sched_job *last = ready(test, c);

	hurry(w, b, near);
	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 0));
	done(w, 0);
	/* But not of those behind it. */
	KUNIT_EXPECT_EQ(test, U64_MAX, last->deadline);
	w->s.cores[0].vm = NULL;
	KUNIT_EXPECT_PTR_EQ(test, other, run(w, 0));
}

/* It takes predictions back, and the core away between two tasks. */
static void test_deadline_yield(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 1, &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c), *late, *later;

	run(w, 0);
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, b, w->s.cores[0].next);
	late = ready(test, ctx(test, 1, 1, &vms[1]));
	KUNIT_EXPECT_FALSE(test, must_yield(w, 0));
	hurry(w, late, near);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	KUNIT_EXPECT_TRUE(test, must_yield(w, 0));

	/* Who has to be done before that stays, for its own sake or for others'. */
	hurry(w, b, near - 1);
	KUNIT_EXPECT_FALSE(test, must_yield(w, 0));
	later = ready(test, ctx(test, 2, 1, &vms[0]));
	hurry(w, later, near - 2);
	KUNIT_EXPECT_TRUE(test, must_yield(w, 0));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, later, w->s.cores[0].next);
	KUNIT_EXPECT_TRUE(test, must_yield(w, 0));

	scoped_guard(spinlock_irq, &w->s.lock)
		npu_sched_yield(&w->s, 0, 0, 0);
	KUNIT_EXPECT_PTR_EQ(test, later, run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, late, run(w, 0));
}

/* With their last core gone, jobs are stranded; others are not. */
static void test_strand(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_job *only1 = ready(test, ctx(test, 0, BIT(1), &vms[0]));
	struct npu_sched_job *any = ready(test, ctx(test, 1, 7, &vms[0]));

	lose(w, 1);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&w->s.stranded));
	KUNIT_EXPECT_PTR_EQ(test, only1, list_first_entry(&w->s.stranded,
							  struct npu_sched_job, link));
	KUNIT_EXPECT_PTR_EQ(test, any, run(w, 0));
}

/* So are those behind a job that still has a core which they may not use. */
static void test_strand_later(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, BIT(0), &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	KUNIT_EXPECT_EQ(test, 0, set(w, c, 0, 0, BIT(1)));
	lose(w, 1);
	KUNIT_EXPECT_TRUE(test, list_empty(&w->s.stranded));
	done(w, 0);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&w->s.stranded));
	KUNIT_EXPECT_PTR_EQ(test, b, list_first_entry(&w->s.stranded,
						      struct npu_sched_job, link));
	KUNIT_EXPECT_TRUE(test, list_empty(&c->link));
}

/* Wrong values are refused and leave everything as it was. */
static void test_set_args(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, 3, &vms[0]);
	struct npu_sched_job *job;

	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 3, 0, 3));
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, U32_MAX, 0, 3));
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 0, 2, 3));
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 0, -2, 3));
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 1, 1, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 1, 1, BIT(NUM_CORES)));
	KUNIT_EXPECT_EQ(test, DRM_NPU_CLASS_BALANCED, c->sched_class);
	KUNIT_EXPECT_EQ(test, 0, c->priority);
	KUNIT_EXPECT_EQ(test, 3, c->core_mask);

	/* Cores that are gone may stay in a mask, but not come into one. */
	w->s.present = BIT(2);
	KUNIT_EXPECT_EQ(test, -EINVAL, set(w, c, 0, 1, 1));
	KUNIT_EXPECT_EQ(test, 0, set(w, c, 0, 1, 3));
	w->s.present = 0;
	KUNIT_EXPECT_EQ(test, -ENODEV, set(w, c, 0, 1, 1));
	KUNIT_EXPECT_EQ(test, 0, set(w, c, 0, 0, 3));
	w->s.present = w->s.up;
	job = ready(test, c);
	KUNIT_EXPECT_PTR_EQ(test, job, run(w, 0));
}

/* A context that waits moves to its new place among the others. */
static void test_set_level(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c[3];
	struct npu_sched_job *job[3];

	for (unsigned int i = 0; i < 3; i++) {
		c[i] = ctx(test, i, 1, &vms[i]);
		job[i] = ready(test, c[i]);
	}
	KUNIT_EXPECT_EQ(test, 0, set(w, c[0], DRM_NPU_CLASS_THROUGHPUT, 0, 1));
	KUNIT_EXPECT_EQ(test, 0, set(w, c[2], DRM_NPU_CLASS_BALANCED, 1, 1));
	KUNIT_EXPECT_PTR_EQ(test, job[2], run(w, 0));
	done(w, 0);
	/* Back among its old peers it is as old as it was. */
	KUNIT_EXPECT_EQ(test, 0, set(w, c[0], DRM_NPU_CLASS_BALANCED, 0, 1));
	KUNIT_EXPECT_PTR_EQ(test, job[0], run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[1], run(w, 0));
}

/* A context that waits goes where it may go now. */
static void test_set_cores(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, BIT(0), &vms[0]);
	struct npu_sched_job *job = ready(test, c);

	KUNIT_EXPECT_EQ(test, 0, set(w, c, 0, 0, BIT(2)));
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_NULL(test, run(w, 1));
	KUNIT_EXPECT_PTR_EQ(test, job, run(w, 2));
}

/* A job that has a core keeps it; the one that was to follow it does not. */
static void test_set_running(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c = ctx(test, 0, BIT(0), &vms[0]);
	struct npu_sched_job *a = ready(test, c), *b = ready(test, c);

	KUNIT_EXPECT_PTR_EQ(test, a, run(w, 0));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, b, w->s.cores[0].next);
	KUNIT_EXPECT_EQ(test, 0, set(w, c, 0, 0, BIT(1)));
	KUNIT_EXPECT_PTR_EQ(test, a, w->s.cores[0].run);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	fill(w, 0);
	KUNIT_EXPECT_NULL(test, w->s.cores[0].next);
	KUNIT_EXPECT_NULL(test, run(w, 1));
	done(w, 0);
	KUNIT_EXPECT_NULL(test, run(w, 0));
	KUNIT_EXPECT_PTR_EQ(test, b, run(w, 1));
}

/* What was predicted for a context that got worse, or worse than another. */
static void test_set_predictions(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *c[3];
	struct npu_sched_job *job[3];

	for (unsigned int i = 0; i < 3; i++) {
		c[i] = ctx(test, i, 1, &vms[0]);
		job[i] = ready(test, c[i]);
	}
	KUNIT_EXPECT_PTR_EQ(test, job[0], run(w, 0));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, job[1], w->s.cores[0].next);

	KUNIT_EXPECT_EQ(test, 0, set(w, c[1], 0, DRM_NPU_PRIORITY_LOW, 1));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, job[2], w->s.cores[0].next);

	KUNIT_EXPECT_EQ(test, 0, set(w, c[1], 0, DRM_NPU_PRIORITY_HIGH, 1));
	fill(w, 0);
	KUNIT_ASSERT_PTR_EQ(test, job[1], w->s.cores[0].next);
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[1], run(w, 0));
	done(w, 0);
	KUNIT_EXPECT_PTR_EQ(test, job[2], run(w, 0));
}

/* A context without work takes nothing away from others. */
static void test_set_idle(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sched_ctx *idle = ctx(test, 1, 1, &vms[1]);
	struct npu_sched_ctx *c = ctx(test, 0, 1, &vms[0]);
	struct npu_sched_job *b;

	ready(test, c);
	b = ready(test, c);
	run(w, 0);
	fill(w, 0);
	KUNIT_EXPECT_EQ(test, 0, set(w, idle, DRM_NPU_CLASS_LATENCY, 1, 1));
	KUNIT_EXPECT_PTR_EQ(test, b, w->s.cores[0].next);
	KUNIT_EXPECT_TRUE(test, list_empty(&idle->link));
}

/* What must hold whatever happens. */
static void check_world(struct kunit *test)
{
	struct world *w = test->priv;
	unsigned int active[NUM_CTXS] = { };

	for (unsigned int i = 0; i < NUM_CORES; i++) {
		struct npu_sched_core *core = &w->s.cores[i];
		struct npu_sched_job *slot[2] = { core->run, core->next };

		if (core->next)
			KUNIT_EXPECT_PTR_EQ(test, core->vm, core->next->ctx->vm);
		/* The mask of a job that has a core may have changed since. */
		if (core->next)
			KUNIT_EXPECT_TRUE(test, core->next->ctx->core_mask & BIT_ULL(i));
		for (unsigned int j = 0; j < ARRAY_SIZE(slot); j++) {
			if (!slot[j])
				continue;
			KUNIT_EXPECT_EQ(test, i, slot[j]->ctx->core);
			active[slot[j]->ctx - w->ctx]++;
		}
	}
	for (unsigned int i = 0; i < NUM_CTXS; i++) {
		struct npu_sched_ctx *c = &w->ctx[i];
		bool listed = !c->active && !list_empty(&c->queue);

		KUNIT_EXPECT_EQ(test, active[i], c->active);
		KUNIT_EXPECT_EQ(test, listed, !list_empty(&c->link));
	}
}

/* No idle core may be refused a job that some context has for it. */
static void check_busy(struct kunit *test)
{
	struct world *w = test->priv;

	for (unsigned int i = 0; i < NUM_CORES; i++) {
		if (w->s.cores[i].run)
			continue;
		for (unsigned int j = 0; j < NUM_CTXS; j++) {
			struct npu_sched_ctx *c = &w->ctx[j];

			KUNIT_EXPECT_FALSE(test, !c->active && !list_empty(&c->queue) &&
					   (c->core_mask & BIT_ULL(i)));
		}
	}
}

static void schedule_all(struct world *w)
{
	for (unsigned int i = 0; i < NUM_CORES; i++)
		start(w, i, true);
	for (unsigned int i = 0; i < NUM_CORES; i++)
		run(w, i);
	for (unsigned int i = 0; i < NUM_CORES; i++)
		fill(w, i);
}

/* Random loads and changes: everything runs once, in the order of its context. */
static void test_random(struct kunit *test)
{
	unsigned int left = NUM_JOBS, ran = 0;
	u64 last[NUM_CTXS] = { };
	struct world *w = test->priv;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 3588);
	for (unsigned int i = 0; i < NUM_CTXS; i++)
		ctx_class(test, i, prandom_u32_state(&rnd) % 3,
			  (int)(prandom_u32_state(&rnd) % 3) - 1,
			  prandom_u32_state(&rnd) % 7 + 1,
			  &vms[prandom_u32_state(&rnd) % ARRAY_SIZE(vms)]);

	while (ran < NUM_JOBS) {
		unsigned int core = prandom_u32_state(&rnd) % NUM_CORES;
		struct npu_sched_job *job = w->s.cores[core].run;

		if (left && prandom_u32_state(&rnd) % 2) {
			ready(test, &w->ctx[prandom_u32_state(&rnd) % NUM_CTXS]);
			left--;
		} else if (prandom_u32_state(&rnd) % 4 == 0) {
			KUNIT_EXPECT_EQ(test, 0, set(w, &w->ctx[prandom_u32_state(&rnd) %
								NUM_CTXS],
						     prandom_u32_state(&rnd) % 3,
						     (int)(prandom_u32_state(&rnd) % 3) - 1,
						     prandom_u32_state(&rnd) % 7 + 1));
		} else if (job) {
			unsigned int i = job->ctx - w->ctx;

			KUNIT_ASSERT_GT(test, job->seq, last[i]);
			last[i] = job->seq;
			done(w, core);
			ran++;
		} else {
			requeue(w, core, true);
		}
		schedule_all(w);
		check_world(test);
		check_busy(test);
	}
}

static struct kunit_case npu_sched_cases[] = {
	KUNIT_CASE(test_order),
	KUNIT_CASE(test_parallel),
	KUNIT_CASE(test_core_mask),
	KUNIT_CASE(test_levels),
	KUNIT_CASE(test_ctx_args),
	KUNIT_CASE(test_affinity),
	KUNIT_CASE(test_affinity_window),
	KUNIT_CASE(test_fill),
	KUNIT_CASE(test_fill_other_vm),
	KUNIT_CASE(test_displace),
	KUNIT_CASE(test_steal),
	KUNIT_CASE(test_requeue),
	KUNIT_CASE(test_purge),
	KUNIT_CASE(test_down),
	KUNIT_CASE(test_deadline_order),
	KUNIT_CASE(test_deadline_queue),
	KUNIT_CASE(test_deadline_yield),
	KUNIT_CASE(test_strand),
	KUNIT_CASE(test_strand_later),
	KUNIT_CASE(test_set_args),
	KUNIT_CASE(test_set_level),
	KUNIT_CASE(test_set_cores),
	KUNIT_CASE(test_set_running),
	KUNIT_CASE(test_set_predictions),
	KUNIT_CASE(test_set_idle),
	KUNIT_CASE(test_random),
	{ }
};

static struct kunit_suite npu_sched_suite = {
	.name = "npu_sched",
	.init = world_init,
	.test_cases = npu_sched_cases,
};

kunit_test_suite(npu_sched_suite);

MODULE_DESCRIPTION("Tests of the NPU driver's scheduling policy");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
