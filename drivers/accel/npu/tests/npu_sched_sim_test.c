// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulations of the scheduling policy: random workloads on cores that take
 * their time, with a clock that goes from one event to the next. After every
 * event the promises of the policy are checked.
 */

#include <linux/math64.h>
#include <linux/module.h>
#include <linux/prandom.h>

#include <kunit/test.h>

#include <drm/npu_accel.h>

#include "npu_sched.h"

#define NUM_CORES	3
#define MAX_CLIENTS	6
#define MAX_CTXS	24
#define MAX_JOBS	3

/* Random workloads; each lasts 200 ms */
#define NUM_RANDOM	2000

/* Random loads whose shares and latencies are looked at; they last seconds */
#define NUM_SHARES	20

/* What a change of the address space costs, as measured on the board */
#define SWITCH_NS	(100 * NSEC_PER_USEC)
#define MAX_TASK_NS	(5 * NSEC_PER_MSEC)

enum sim_state {
	SIM_THINKS,	/* becomes ready at a time */
	SIM_READY,	/* is the policy's, in a slot or not */
};

struct sim_job {
	struct npu_sched_job base;
	struct sim_ctx *ctx;
	enum sim_state state;
	u64 at;
	u32 left;
	u64 task_ns;
	u64 number;
};

/* A context whose jobs come back some time after they have ended */
struct sim_ctx {
	struct npu_sched_ctx base;
	unsigned int client;
	struct sim_job jobs[MAX_JOBS];
	unsigned int num_jobs;
	u32 tasks;
	u64 task_ns;
	bool linked;
	u64 think_ns;
	u64 given;
	u64 ended;
};

struct sim_core {
	bool busy;
	bool changed;		/* at the end of a task, just now */
	unsigned int was_rank;	/* of the class that had it until then */
	u64 since;
	u64 part_ns;
	u32 part;		/* tasks that run before anybody else can have it */
	u64 part_end;
};

struct sim {
	struct npu_sched s;
	struct npu_sched_client clients[MAX_CLIENTS];
	struct sim_ctx ctxs[MAX_CTXS];
	unsigned int num_ctxs;
	struct sim_core cores[NUM_CORES];
	struct rnd_state rnd;
	const char *name;
	u64 seed;
	u64 now;
	u64 had[MAX_CLIENTS];
	u64 longest_part;
	unsigned int yields;
	unsigned int changes;
};

static struct sim_job *to_job(struct npu_sched_job *job)
{
	return container_of(job, struct sim_job, base);
}

static u32 random(struct sim *sim, u32 below)
{
	return prandom_u32_state(&sim->rnd) % below;
}

static void sim_start(struct sim *sim, const char *name, u64 seed)
{
	memset(sim, 0, sizeof(*sim));
	sim->name = name;
	sim->seed = seed;
	prandom_seed_state(&sim->rnd, seed);
	npu_sched_init(&sim->s, NUM_CORES);
	sim->s.up = BIT(NUM_CORES) - 1;
	sim->s.present = sim->s.up;
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		npu_sched_client_init(&sim->clients[i]);
}

static struct sim_ctx *sim_ctx(struct kunit *test, unsigned int client, u32 class,
			       s32 priority, u64 mask)
{
	struct sim *sim = test->priv;
	struct sim_ctx *ctx = &sim->ctxs[sim->num_ctxs++];

	KUNIT_ASSERT_LE(test, sim->num_ctxs, MAX_CTXS);
	ctx->client = client;
	ctx->tasks = 1;
	ctx->task_ns = NSEC_PER_MSEC;
	ctx->num_jobs = 2;
	/* Contexts of one client share an address space. */
	KUNIT_ASSERT_EQ(test, 0, npu_sched_ctx_init(&ctx->base, &sim->clients[client],
						    class, priority, mask,
						    &sim->clients[client]));
	for (unsigned int i = 0; i < MAX_JOBS; i++)
		ctx->jobs[i].ctx = ctx;
	return ctx;
}

static void job_ready(struct sim *sim, struct sim_job *job)
{
	npu_sched_job_init(&job->base, &job->ctx->base);
	job->state = SIM_READY;
	job->left = job->ctx->tasks;
	job->task_ns = 0;
	job->number = ++job->ctx->given;
	npu_sched_ready(&sim->s, &job->base, sim->now);
}

static void job_ended(struct kunit *test, struct sim_job *job)
{
	struct sim *sim = test->priv;

	KUNIT_EXPECT_EQ(test, job->number, ++job->ctx->ended);
	job->state = SIM_THINKS;
	job->at = sim->now + job->ctx->think_ns;
}

/* A core runs the next task of its job, or more of them if they are linked. */
static void part_starts(struct sim *sim, unsigned int i, u64 at)
{
	struct sim_job *job = to_job(sim->s.cores[i].run);
	struct sim_core *core = &sim->cores[i];

	core->part = job->ctx->linked ? min(job->left, npu_sched_part(job->task_ns)) : 1;
	core->part_ns = core->part * job->ctx->task_ns;
	core->part_end = at + core->part_ns;
	sim->longest_part = max(sim->longest_part, core->part_ns);
}

/* The job that was given to a core starts there. */
static void core_starts(struct sim *sim, unsigned int i)
{
	struct npu_sched_core *core = &sim->s.cores[i];
	struct sim_job *job = to_job(core->run);
	u64 at = sim->now;

	/* A change of the address space is not on anybody's account. */
	if (core->vm != job->ctx->base.vm)
		at += SWITCH_NS;
	core->vm = job->ctx->base.vm;
	sim->cores[i].busy = true;
	sim->cores[i].since = at;
	part_starts(sim, i, at);
}

static void schedule_all(struct sim *sim)
{
	for (unsigned int pass = 0; pass < 2; pass++)
		for (unsigned int i = 0; i < NUM_CORES; i++)
			if (npu_sched_start(&sim->s, i, !pass, sim->now))
				core_starts(sim, i);
	for (unsigned int i = 0; i < NUM_CORES; i++)
		npu_sched_fill(&sim->s, i, sim->now);
}

static void part_ends(struct kunit *test, unsigned int i)
{
	struct sim *sim = test->priv;
	struct sim_core *core = &sim->cores[i];
	struct sim_job *job = to_job(sim->s.cores[i].run);
	u64 ran = sim->now - core->since;

	job->left -= core->part;
	job->task_ns = job->ctx->task_ns;
	core->changed = true;
	core->was_rank = sim->s.cores[i].run->share->rank;
	if (job->left && !(npu_sched_wanted(&sim->s, i) &&
			   npu_sched_must_yield(&sim->s, i, ran, sim->now))) {
		part_starts(sim, i, sim->now);
		return;
	}
	core->busy = false;
	sim->had[job->ctx->client] += ran;
	if (job->left) {
		npu_sched_yield(&sim->s, i, ran, sim->now);
		sim->yields++;
	} else {
		npu_sched_done(&sim->s, i, ran, sim->now);
		job_ended(test, job);
	}
}

/*
 * At the end of a task nobody gets a core, or keeps it, for whom somebody of a
 * better class has to wait; unless it is for its age, and not after somebody else
 * for whom the better class had to wait.
 */
static void check_classes(struct kunit *test)
{
	struct sim *sim = test->priv;

	for (unsigned int i = 0; i < NUM_CORES; i++) {
		struct npu_sched_core *core = &sim->s.cores[i];
		struct sim_core *c = &sim->cores[i];

		if (!c->changed)
			continue;
		c->changed = false;
		for (unsigned int j = 0; j < sim->num_ctxs && core->run; j++) {
			struct npu_sched_ctx *ctx = &sim->ctxs[j].base;

			if (!npu_sched_waits(ctx) || ctx->since == sim->now ||
			    !(ctx->core_mask & BIT(i)) ||
			    ctx->rank >= core->run->share->rank)
				continue;
			KUNIT_EXPECT_TRUE(test, core->run_aged && c->was_rank <= ctx->rank);
		}
	}
}

/* No core is idle while somebody waits for it, and nobody waits for ever. */
static void check_promises(struct kunit *test)
{
	struct sim *sim = test->priv;
	u64 bound = (sim->num_ctxs + 2) *
		    (NPU_SCHED_AGE_NS + MAX_TASK_NS + SWITCH_NS);

	for (unsigned int i = 0; i < sim->num_ctxs; i++) {
		struct npu_sched_ctx *ctx = &sim->ctxs[i].base;
		bool waits = !ctx->active && !list_empty(&ctx->queue);

		KUNIT_EXPECT_EQ(test, waits, npu_sched_waits(ctx));
		if (!waits)
			continue;
		KUNIT_EXPECT_LE(test, sim->now - ctx->since, bound);
		for (unsigned int j = 0; j < NUM_CORES; j++)
			KUNIT_EXPECT_FALSE(test, !sim->cores[j].busy &&
					   (ctx->core_mask & BIT(j)));
	}
	check_classes(test);
}

/* When something happens next; everything that happens then is done. */
static void step(struct kunit *test)
{
	struct sim *sim = test->priv;
	u64 next = U64_MAX;

	for (unsigned int i = 0; i < NUM_CORES; i++)
		if (sim->cores[i].busy)
			next = min(next, sim->cores[i].part_end);
	for (unsigned int i = 0; i < sim->num_ctxs; i++)
		for (unsigned int j = 0; j < sim->ctxs[i].num_jobs; j++)
			if (sim->ctxs[i].jobs[j].state == SIM_THINKS)
				next = min(next, sim->ctxs[i].jobs[j].at);
	sim->now = next;

	for (unsigned int i = 0; i < NUM_CORES; i++)
		if (sim->cores[i].busy && sim->cores[i].part_end == next)
			part_ends(test, i);
	for (unsigned int i = 0; i < sim->num_ctxs; i++)
		for (unsigned int j = 0; j < sim->ctxs[i].num_jobs; j++)
			if (sim->ctxs[i].jobs[j].state == SIM_THINKS &&
			    sim->ctxs[i].jobs[j].at == next)
				job_ready(sim, &sim->ctxs[i].jobs[j]);
}

static void simulate(struct kunit *test, u64 ns)
{
	struct sim *sim = test->priv;
	u64 end = sim->now + ns;

	while (sim->now < end) {
		guard(spinlock_irq)(&sim->s.lock);

		step(test);
		schedule_all(sim);
		check_promises(test);
	}
}

static int sim_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct sim), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

/* Contexts that always have work, three for each client so that all cores do */
static void sim_backlog(struct kunit *test, unsigned int client, u32 class,
			s32 priority, u64 task_ns, u32 tasks)
{
	for (unsigned int i = 0; i < NUM_CORES; i++) {
		struct sim_ctx *ctx = sim_ctx(test, client, class, priority,
					      BIT(NUM_CORES) - 1);

		ctx->task_ns = task_ns;
		ctx->tasks = tasks;
	}
}

/* Hardware time goes by weight, to 5 percent, whatever the jobs look like. */
static void expect_shares(struct kunit *test, const unsigned int *weights,
			  unsigned int count)
{
	struct sim *sim = test->priv;
	u64 all = 0, sum = 0;

	for (unsigned int i = 0; i < count; i++) {
		all += sim->had[i];
		sum += weights[i];
	}
	for (unsigned int i = 0; i < count; i++) {
		u64 due = div64_u64(all * weights[i], sum);

		KUNIT_EXPECT_LE(test, sim->had[i], due + due / 20);
		KUNIT_EXPECT_GE(test, sim->had[i], due - due / 20);
	}
}

static void test_shares(struct kunit *test)
{
	static const unsigned int weights[] = { 1, 1, 1, 1 };
	struct sim *sim = test->priv;

	for (u64 seed = 1; seed <= NUM_SHARES; seed++) {
		sim_start(sim, "shares", seed);
		for (unsigned int i = 0; i < ARRAY_SIZE(weights); i++)
			sim_backlog(test, i, DRM_NPU_CLASS_BALANCED, 0,
				    (1 + random(sim, 40)) * 100 * NSEC_PER_USEC,
				    1 + random(sim, 20));
		simulate(test, 4ull * NSEC_PER_SEC);
		expect_shares(test, weights, ARRAY_SIZE(weights));
	}
}

static void test_weights(struct kunit *test)
{
	static const unsigned int weights[] = { 1, 4, 16 };
	struct sim *sim = test->priv;

	for (u64 seed = 1; seed <= NUM_SHARES; seed++) {
		sim_start(sim, "weights", seed);
		for (int i = 0; i < 3; i++)
			sim_backlog(test, i, DRM_NPU_CLASS_BALANCED, i - 1,
				    (1 + random(sim, 10)) * 100 * NSEC_PER_USEC,
				    1 + random(sim, 20));
		simulate(test, 8ull * NSEC_PER_SEC);
		expect_shares(test, weights, ARRAY_SIZE(weights));
	}
}

/* Two that have long jobs and one core take turns, job or no job. */
static void test_slices(struct kunit *test)
{
	static const unsigned int weights[] = { 1, 1 };
	struct sim *sim = test->priv;
	struct sim_ctx *ctx;

	sim_start(sim, "slices", 1);
	for (unsigned int i = 0; i < 2; i++) {
		ctx = sim_ctx(test, i, DRM_NPU_CLASS_BALANCED, 0, BIT(0));
		ctx->tasks = 10000;
	}
	simulate(test, 2ull * NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, sim->ctxs[0].ended + sim->ctxs[1].ended, 0);
	/* A turn takes a slice, and what makes the change worth while. */
	KUNIT_EXPECT_GT(test, sim->yields, 100);
	KUNIT_EXPECT_LT(test, sim->yields, 200);
	expect_shares(test, weights, ARRAY_SIZE(weights));
}

/* Who has been away does not get what it has missed, nor is it kept waiting. */
static void test_comeback(struct kunit *test)
{
	static const unsigned int weights[] = { 1, 1 };
	struct sim *sim = test->priv;

	sim_start(sim, "comeback", 1);
	sim_backlog(test, 0, DRM_NPU_CLASS_BALANCED, 0, NSEC_PER_MSEC, 4);
	simulate(test, 2 * NSEC_PER_SEC);
	sim_backlog(test, 1, DRM_NPU_CLASS_BALANCED, 0, NSEC_PER_MSEC, 4);
	for (unsigned int i = NUM_CORES; i < 2 * NUM_CORES; i++)
		for (unsigned int j = 0; j < sim->ctxs[i].num_jobs; j++)
			sim->ctxs[i].jobs[j].at = sim->now;
	memset(sim->had, 0, sizeof(sim->had));
	simulate(test, 2 * NSEC_PER_SEC);
	expect_shares(test, weights, ARRAY_SIZE(weights));
}

/* Others that fill the queues, with jobs of many tasks, some of them linked */
static void latency_crowd(struct kunit *test, bool linked)
{
	struct sim *sim = test->priv;
	u64 task;

	for (unsigned int i = 1; i < MAX_CLIENTS; i++) {
		task = (1 + random(sim, 50)) * 100 * NSEC_PER_USEC;
		/* So many of them are linked that they take about as long. */
		if (linked)
			task = div_u64(task, 1 + random(sim, 50));
		sim_backlog(test, i, random(sim, 2) ? DRM_NPU_CLASS_BALANCED :
			    DRM_NPU_CLASS_THROUGHPUT, 0, task, 1 + random(sim, 500));
	}
	for (unsigned int i = 0; i < sim->num_ctxs; i++)
		sim->ctxs[i].linked = linked && random(sim, 2);
}

/*
 * A latency job waits for one task of others, or for one part of their linked
 * ones, however full the queues are.
 */
static void expect_latency(struct kunit *test, u64 seed, bool linked)
{
	struct sim *sim = test->priv;
	struct sim_ctx *urgent;
	u64 waited = 0;

	sim_start(sim, "latency", seed);
	latency_crowd(test, linked);
	/* Of a client of its own, or one that fills the queues, too */
	urgent = sim_ctx(test, seed % 2, DRM_NPU_CLASS_LATENCY, 0, 7);
	urgent->num_jobs = 1;
	urgent->think_ns = (1 + random(sim, 9)) * NSEC_PER_MSEC +
			   random(sim, NSEC_PER_MSEC);

	while (sim->now < 500 * NSEC_PER_MSEC) {
		guard(spinlock_irq)(&sim->s.lock);

		step(test);
		if (npu_sched_waits(&urgent->base))
			waited = max(waited, sim->now - urgent->base.since);
		schedule_all(sim);
		check_promises(test);
	}
	KUNIT_EXPECT_GT(test, urgent->ended, 10);
	KUNIT_EXPECT_LE(test, waited, sim->longest_part + SWITCH_NS);
	if (linked)
		KUNIT_EXPECT_LE(test, sim->longest_part,
				max(NPU_SCHED_PART_NS, MAX_TASK_NS));
}

static void test_latency(struct kunit *test)
{
	for (u64 seed = 1; seed <= NUM_SHARES; seed++)
		expect_latency(test, seed, false);
}

static void test_latency_linked(struct kunit *test)
{
	for (u64 seed = 1; seed <= NUM_SHARES; seed++)
		expect_latency(test, seed, true);
}

/* The lowest class gets its turn behind two that never rest. */
static void test_ageing(struct kunit *test)
{
	struct sim *sim = test->priv;
	struct sim_ctx *last;

	sim_start(sim, "ageing", 1);
	sim_backlog(test, 0, DRM_NPU_CLASS_LATENCY, 1, NSEC_PER_MSEC, 10);
	sim_backlog(test, 1, DRM_NPU_CLASS_BALANCED, 0, NSEC_PER_MSEC, 1000);
	last = sim_ctx(test, 2, DRM_NPU_CLASS_THROUGHPUT, -1, 7);
	simulate(test, 5 * NSEC_PER_SEC);
	KUNIT_EXPECT_GT(test, last->ended, 5);
	/* And it does not take more than a turn now and then. */
	KUNIT_EXPECT_LT(test, last->ended, 5 * 10 * NUM_CORES);
}

/* One loaded address space keeps a core, but not for itself alone. */
static void test_few_switches(struct kunit *test)
{
	static const unsigned int weights[] = { 1, 1 };
	struct sim *sim = test->priv;
	u64 work = 0;

	sim_start(sim, "switches", 1);
	for (unsigned int i = 0; i < 2; i++)
		sim_backlog(test, i, DRM_NPU_CLASS_BALANCED, 0, 100 * NSEC_PER_USEC, 1);
	simulate(test, NSEC_PER_SEC);
	expect_shares(test, weights, ARRAY_SIZE(weights));
	for (unsigned int i = 0; i < sim->num_ctxs; i++)
		work += sim->ctxs[i].ended * 100 * NSEC_PER_USEC;
	/* At one switch for each job half of the time would be lost. */
	KUNIT_EXPECT_GT(test, work, div64_u64(sim->now * NUM_CORES * 9, 10));
}

/* A near deadline goes first in its class, but not at the cost of others. */
static void test_deadlines(struct kunit *test)
{
	struct npu_sched_job *a, *b;
	struct sim *sim = test->priv;
	struct sim_ctx *x, *y;

	sim_start(sim, "deadlines", 1);
	x = sim_ctx(test, 0, DRM_NPU_CLASS_BALANCED, 0, 1);
	y = sim_ctx(test, 1, DRM_NPU_CLASS_BALANCED, 0, 1);
	guard(spinlock_irq)(&sim->s.lock);
	job_ready(sim, &x->jobs[0]);
	job_ready(sim, &y->jobs[0]);
	a = &x->jobs[0].base;
	b = &y->jobs[0].base;

	/* Far away it does not count. */
	npu_sched_deadline(&sim->s, b, NSEC_PER_SEC);
	KUNIT_EXPECT_PTR_EQ(test, a, npu_sched_start(&sim->s, 0, false, 0));
	npu_sched_requeue(&sim->s, 0, true);
	KUNIT_EXPECT_PTR_EQ(test, b, npu_sched_start(&sim->s, 0, false,
						     NSEC_PER_SEC - NSEC_PER_MSEC));
	npu_sched_requeue(&sim->s, 0, true);

	/* Nor for somebody who has had much more than others. */
	sim->clients[1].shares[1].vtime = 0;
	npu_sched_start(&sim->s, 0, false, NSEC_PER_SEC - NSEC_PER_MSEC);
	npu_sched_done(&sim->s, 0, 2 * NPU_SCHED_CREDIT_NS, NSEC_PER_SEC);
	job_ready(sim, &y->jobs[1]);
	npu_sched_deadline(&sim->s, &y->jobs[1].base, NSEC_PER_SEC);
	KUNIT_EXPECT_PTR_EQ(test, a, npu_sched_start(&sim->s, 0, false, NSEC_PER_SEC));
}

static void random_ctx(struct kunit *test, unsigned int clients)
{
	struct sim *sim = test->priv;
	struct sim_ctx *ctx;

	ctx = sim_ctx(test, random(sim, clients), random(sim, 3),
		      (int)random(sim, 3) - 1, 1 + random(sim, 7));
	ctx->num_jobs = 1 + random(sim, MAX_JOBS);
	ctx->tasks = 1 + random(sim, random(sim, 4) ? 4 : 200);
	ctx->task_ns = (1 + random(sim, 50)) * 100 * NSEC_PER_USEC;
	ctx->linked = !random(sim, 4);
	if (random(sim, 2))
		ctx->think_ns = random(sim, 20) * NSEC_PER_MSEC;
}

/* Contexts change, cores go and come back, queues are emptied. */
static void disturb(struct kunit *test)
{
	struct sim *sim = test->priv;
	struct sim_ctx *ctx = &sim->ctxs[random(sim, sim->num_ctxs)];
	struct npu_sched_job *job, *tmp;
	LIST_HEAD(jobs);

	guard(spinlock_irq)(&sim->s.lock);
	switch (random(sim, 3)) {
	case 0:
		npu_sched_ctx_set(&sim->s, &ctx->base, random(sim, 3),
				  (int)random(sim, 3) - 1, 1 + random(sim, 7));
		break;
	case 1:
		npu_sched_requeue(&sim->s, random(sim, NUM_CORES), false);
		break;
	case 2:
		npu_sched_purge(&sim->s, &ctx->base, &jobs);
		/* As if they had all ended at once. */
		list_for_each_entry_safe(job, tmp, &jobs, link) {
			to_job(job)->state = SIM_THINKS;
			to_job(job)->at = sim->now + NSEC_PER_MSEC;
			list_del_init(&job->link);
			ctx->given--;
		}
		break;
	}
	schedule_all(sim);
	sim->changes++;
}

static void test_random(struct kunit *test)
{
	struct sim *sim = test->priv;
	unsigned int yields = 0;

	for (u64 seed = 1; seed <= NUM_RANDOM; seed++) {
		unsigned int clients = 1 + seed % MAX_CLIENTS;
		unsigned int ctxs = 1 + seed % MAX_CTXS;

		sim_start(sim, "random", seed);
		while (sim->num_ctxs < ctxs)
			random_ctx(test, clients);
		for (unsigned int i = 0; i < 20; i++) {
			simulate(test, 10 * NSEC_PER_MSEC);
			if (seed % 2)
				disturb(test);
		}
		yields += sim->yields;
	}
	KUNIT_EXPECT_GT(test, yields, 0);
}

static struct kunit_case npu_sched_sim_cases[] = {
	KUNIT_CASE_SLOW(test_shares),
	KUNIT_CASE_SLOW(test_weights),
	KUNIT_CASE(test_slices),
	KUNIT_CASE(test_comeback),
	KUNIT_CASE(test_latency),
	KUNIT_CASE_SLOW(test_latency_linked),
	KUNIT_CASE(test_ageing),
	KUNIT_CASE(test_few_switches),
	KUNIT_CASE(test_deadlines),
	KUNIT_CASE_SLOW(test_random),
	{ }
};

static struct kunit_suite npu_sched_sim_suite = {
	.name = "npu_sched_sim",
	.init = sim_init,
	.test_cases = npu_sched_sim_cases,
};

kunit_test_suite(npu_sched_sim_suite);

MODULE_DESCRIPTION("Simulations of the NPU driver's scheduling policy");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
