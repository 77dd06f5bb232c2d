// SPDX-License-Identifier: GPL-2.0-only

#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>

#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_sched.h"

/**
 * DOC: Scheduling policy
 *
 * This file decides which job a core runs next, and nothing else: it knows
 * neither registers nor fences nor power. Its inputs are jobs whose
 * dependencies are met and cores that come, go, and finish; its outputs are two
 * slots per core. That makes it testable without hardware, and it makes it
 * cheap enough to be asked from the interrupt handler.
 *
 * A context is an ordered queue, so its jobs never run on two cores at once:
 * while one of them is in a slot, the others may only follow it on the same
 * core. Contexts with work and without a job in a slot sit in one list per
 * level (class first, then priority), sorted by the age of their oldest job.
 * The first entry of the first non-empty list that may use a core is the one to
 * run, with one exception: changing the address space of a core is expensive,
 * so a context whose VM the core has loaded may overtake a few older ones of
 * its level. The window is counted in jobs, which bounds the wait.
 *
 * The next slot holds a job the interrupt handler can start on its own, that
 * is, one that needs no change of VM. It is a prediction and not a promise: a
 * job that arrives with a better level sends it back to its queue, and a core
 * that would be idle otherwise takes it away.
 *
 * A context can get another level and other cores at any time. That concerns
 * what is queued and what is predicted; a job that has a core keeps it.
 *
 * Sharing hardware time between clients and ageing between levels are not part
 * of the policy yet; levels are strict.
 */

/**
 * npu_sched_init() - prepare the policy
 * @s: the policy
 * @num_cores: number of cores, all of them down for now
 */
void npu_sched_init(struct npu_sched *s, unsigned int num_cores)
{
	spin_lock_init(&s->lock);
	for (unsigned int i = 0; i < NPU_SCHED_LEVELS; i++)
		INIT_LIST_HEAD(&s->levels[i]);
	s->num_cores = num_cores;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_init);

/* Where a class and a priority put a context; -EINVAL when one is unknown. */
static int level_of(u32 sched_class, s32 priority)
{
	static const unsigned int rank[NPU_SCHED_CLASSES] = {
		[DRM_NPU_CLASS_LATENCY] = 0,
		[DRM_NPU_CLASS_BALANCED] = 1,
		[DRM_NPU_CLASS_THROUGHPUT] = 2,
	};

	if (sched_class >= NPU_SCHED_CLASSES)
		return -EINVAL;
	if (priority < DRM_NPU_PRIORITY_LOW || priority > DRM_NPU_PRIORITY_HIGH)
		return -EINVAL;

	return rank[sched_class] * NPU_SCHED_PRIORITIES +
	       (DRM_NPU_PRIORITY_HIGH - priority);
}

/**
 * npu_sched_check() - are there such a class and such a priority?
 * @sched_class: one of &enum drm_npu_class
 * @priority: one of &enum drm_npu_priority
 *
 * Return: 0 or -EINVAL.
 */
int npu_sched_check(u32 sched_class, s32 priority)
{
	return min(level_of(sched_class, priority), 0);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_check);

/**
 * npu_sched_ctx_init() - prepare a context
 * @ctx: the context
 * @sched_class: one of &enum drm_npu_class
 * @priority: one of &enum drm_npu_priority
 * @core_mask: cores it may use
 * @vm: identity of its address space
 *
 * Return: 0, or -EINVAL for an unknown class or priority.
 */
int npu_sched_ctx_init(struct npu_sched_ctx *ctx, u32 sched_class, s32 priority,
		       u64 core_mask, const void *vm)
{
	int level = level_of(sched_class, priority);

	if (level < 0)
		return level;

	INIT_LIST_HEAD(&ctx->link);
	INIT_LIST_HEAD(&ctx->queue);
	ctx->vm = vm;
	ctx->core_mask = core_mask;
	ctx->sched_class = sched_class;
	ctx->priority = priority;
	ctx->level = level;
	ctx->active = 0;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_ctx_init);

/**
 * npu_sched_job_init() - prepare a job
 * @job: the job
 * @ctx: the queue it belongs to
 */
void npu_sched_job_init(struct npu_sched_job *job, struct npu_sched_ctx *ctx)
{
	INIT_LIST_HEAD(&job->link);
	job->ctx = ctx;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_job_init);

static struct npu_sched_job *head_of(struct npu_sched_ctx *ctx)
{
	return list_first_entry_or_null(&ctx->queue, struct npu_sched_job, link);
}

/* Enters a context into the list of its level, if it belongs there. */
static void list_ctx_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_job *head = head_of(ctx);
	struct npu_sched_ctx *pos;

	lockdep_assert_held(&s->lock);

	if (!head || ctx->active || !list_empty(&ctx->link))
		return;

	list_for_each_entry_reverse(pos, &s->levels[ctx->level], link)
		if (head_of(pos)->seq < head->seq)
			break;
	list_add(&ctx->link, &pos->link);
}

static void push_back_locked(struct npu_sched *s, struct npu_sched_job *job)
{
	struct npu_sched_ctx *ctx = job->ctx;

	lockdep_assert_held(&s->lock);

	list_add(&job->link, &ctx->queue);
	ctx->active--;
	list_ctx_locked(s, ctx);
}

static void take_locked(struct npu_sched *s, struct npu_sched_job *job,
			unsigned int core)
{
	struct npu_sched_ctx *ctx = job->ctx;

	lockdep_assert_held(&s->lock);

	list_del_init(&job->link);
	list_del_init(&ctx->link);
	ctx->active++;
	ctx->core = core;
}

/* Takes back predictions that a context overtakes. */
static void displace_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; i < s->num_cores; i++) {
		struct npu_sched_core *core = &s->cores[i];

		if (!core->next || !(ctx->core_mask & BIT_ULL(i)) ||
		    core->next->ctx->level <= ctx->level)
			continue;
		push_back_locked(s, core->next);
		core->next = NULL;
	}
}

/* Takes back the prediction that is a job of a context. */
static void withdraw_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_core *core = &s->cores[ctx->core];

	lockdep_assert_held(&s->lock);

	if (!ctx->active || !core->next || core->next->ctx != ctx)
		return;
	push_back_locked(s, core->next);
	core->next = NULL;
}

/**
 * npu_sched_ctx_set() - change how a context is scheduled
 * @s: the policy
 * @ctx: the context
 * @sched_class: one of &enum drm_npu_class
 * @priority: one of &enum drm_npu_priority
 * @core_mask: cores it may use; one of them has to be there, unless this is
 *	       what the context has
 *
 * A job that has a core keeps it. The caller asks all cores with
 * npu_sched_start() and npu_sched_fill() afterwards.
 *
 * Return: 0; -EINVAL for an unknown class or priority or without a core,
 * -ENODEV when there is no core at all. On an error nothing has changed.
 */
int npu_sched_ctx_set(struct npu_sched *s, struct npu_sched_ctx *ctx, u32 sched_class,
		      s32 priority, u64 core_mask)
{
	int level = level_of(sched_class, priority);

	lockdep_assert_held(&s->lock);

	if (level < 0)
		return level;
	if (core_mask != ctx->core_mask && !(core_mask & s->present))
		return s->present ? -EINVAL : -ENODEV;

	withdraw_locked(s, ctx);
	list_del_init(&ctx->link);
	ctx->sched_class = sched_class;
	ctx->priority = priority;
	ctx->level = level;
	WRITE_ONCE(ctx->core_mask, core_mask);
	list_ctx_locked(s, ctx);

	if (head_of(ctx))
		displace_locked(s, ctx);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_ctx_set);

/**
 * npu_sched_ready() - a job could run from now on
 * @s: the policy
 * @job: the job; jobs of one context have to come in their order
 *
 * Predictions that the job overtakes are taken back. The caller asks all cores
 * with npu_sched_start() and npu_sched_fill() afterwards.
 */
void npu_sched_ready(struct npu_sched *s, struct npu_sched_job *job)
{
	struct npu_sched_ctx *ctx = job->ctx;

	lockdep_assert_held(&s->lock);

	job->seq = ++s->seq;
	list_add_tail(&job->link, &ctx->queue);
	list_ctx_locked(s, ctx);
	displace_locked(s, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_ready);

/*
 * The best context of one level for a core. @extra is a context that is not
 * listed because its job has the core, but may follow itself there.
 */
static struct npu_sched_job *pick_level_locked(struct npu_sched *s,
					       unsigned int core,
					       unsigned int level,
					       struct npu_sched_job *extra)
{
	struct npu_sched_job *oldest = extra, *local = extra;
	struct npu_sched_ctx *ctx;

	lockdep_assert_held(&s->lock);

	list_for_each_entry(ctx, &s->levels[level], link) {
		struct npu_sched_job *head = head_of(ctx);

		if (!(ctx->core_mask & BIT_ULL(core)))
			continue;
		if (!oldest || head->seq < oldest->seq)
			oldest = head;
		if (head->seq > oldest->seq + NPU_SCHED_AFFINITY_WINDOW)
			break;
		if (ctx->vm != s->cores[core].vm)
			continue;
		if (!local || head->seq < local->seq)
			local = head;
		break;
	}

	if (local && local->seq <= oldest->seq + NPU_SCHED_AFFINITY_WINDOW)
		return local;
	return oldest;
}

static struct npu_sched_job *pick_locked(struct npu_sched *s, unsigned int core)
{
	struct npu_sched_job *run = s->cores[core].run;
	struct npu_sched_ctx *own = run ? run->ctx : NULL;

	lockdep_assert_held(&s->lock);

	/* It may have the core, and not be allowed to come back. */
	if (own && !(own->core_mask & BIT_ULL(core)))
		own = NULL;

	for (unsigned int level = 0; level < NPU_SCHED_LEVELS; level++) {
		struct npu_sched_job *extra, *job;

		extra = own && own->level == level ? head_of(own) : NULL;
		job = pick_level_locked(s, core, level, extra);
		if (job)
			return job;
	}
	return NULL;
}

/* Takes a predicted job away from the core that was to run it. */
static struct npu_sched_job *steal_locked(struct npu_sched *s, unsigned int core)
{
	struct npu_sched_core *victim = NULL;
	struct npu_sched_job *job;

	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; i < s->num_cores; i++) {
		struct npu_sched_core *c = &s->cores[i];

		/* A job that follows one of its own context stays. */
		if (!c->next || c->next->ctx->active > 1 ||
		    !(c->next->ctx->core_mask & BIT_ULL(core)))
			continue;
		if (!victim || c->next->ctx->level < victim->next->ctx->level)
			victim = c;
	}
	if (!victim)
		return NULL;

	job = victim->next;
	victim->next = NULL;
	push_back_locked(s, job);
	return job;
}

/**
 * npu_sched_start() - give a core its next job
 * @s: the policy
 * @core: a core that has no job
 * @same_vm: only if that needs no change of VM
 *
 * Asking every idle core with @same_vm set first and then without it puts jobs
 * where their VM is, when there is a choice.
 *
 * Return: the job that has the core from now on, or NULL.
 */
struct npu_sched_job *npu_sched_start(struct npu_sched *s, unsigned int core,
				      bool same_vm)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job;

	lockdep_assert_held(&s->lock);

	if (!(s->up & BIT_ULL(core)) || c->run)
		return NULL;

	if (c->next) {
		swap(c->run, c->next);
		return c->run;
	}

	job = pick_locked(s, core);
	if (job && same_vm && job->ctx->vm != c->vm)
		return NULL;
	if (!job && !same_vm)
		job = steal_locked(s, core);
	if (!job)
		return NULL;

	take_locked(s, job, core);
	c->run = job;
	return job;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_start);

/**
 * npu_sched_fill() - predict which job a busy core runs next
 * @s: the policy
 * @core: the core
 *
 * Fills the next slot when it is empty and the best job for the core needs no
 * change of VM.
 */
void npu_sched_fill(struct npu_sched *s, unsigned int core)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job;

	lockdep_assert_held(&s->lock);

	if (!(s->up & BIT_ULL(core)) || !c->run || c->next ||
	    c->run->ctx->vm != c->vm)
		return;

	job = pick_locked(s, core);
	if (!job || job->ctx->vm != c->vm)
		return;

	take_locked(s, job, core);
	c->next = job;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_fill);

/**
 * npu_sched_done() - the job that had a core is over
 * @s: the policy
 * @core: the core
 */
void npu_sched_done(struct npu_sched *s, unsigned int core)
{
	struct npu_sched_ctx *ctx = s->cores[core].run->ctx;

	lockdep_assert_held(&s->lock);

	s->cores[core].run = NULL;
	ctx->active--;
	list_ctx_locked(s, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_done);

/**
 * npu_sched_requeue() - take jobs that have not started away from a core
 * @s: the policy
 * @core: the core
 * @run: the job that has the core, too
 *
 * They go back to where they were in their queues.
 */
void npu_sched_requeue(struct npu_sched *s, unsigned int core, bool run)
{
	struct npu_sched_core *c = &s->cores[core];

	lockdep_assert_held(&s->lock);

	if (c->next)
		push_back_locked(s, c->next);
	c->next = NULL;
	if (!run)
		return;
	if (c->run)
		push_back_locked(s, c->run);
	c->run = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_requeue);

/**
 * npu_sched_purge() - take all waiting jobs out of a context
 * @s: the policy
 * @ctx: the context
 * @jobs: the jobs are appended here, in their order
 *
 * Jobs that have a core keep it.
 */
void npu_sched_purge(struct npu_sched *s, struct npu_sched_ctx *ctx,
		     struct list_head *jobs)
{
	lockdep_assert_held(&s->lock);

	withdraw_locked(s, ctx);
	list_splice_tail_init(&ctx->queue, jobs);
	list_del_init(&ctx->link);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_purge);

/**
 * npu_sched_strand() - collect jobs that no core will ever run
 * @s: the policy
 * @jobs: the jobs are appended here, those of one context in their order
 *
 * To be called after &npu_sched.present has lost a core.
 */
void npu_sched_strand(struct npu_sched *s, struct list_head *jobs)
{
	struct npu_sched_ctx *ctx, *tmp;

	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; i < NPU_SCHED_LEVELS; i++)
		list_for_each_entry_safe(ctx, tmp, &s->levels[i], link)
			if (!npu_sched_reachable(s, ctx))
				npu_sched_purge(s, ctx, jobs);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_strand);
