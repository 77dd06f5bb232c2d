// SPDX-License-Identifier: GPL-2.0-only

#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_sched.h"

/**
 * DOC: Scheduling policy
 *
 * This file decides which job a core runs next, and nothing else: it knows
 * neither registers nor fences nor power, and it is told what time it is. Its
 * inputs are jobs whose dependencies are met and cores that come, go, and
 * finish; its outputs are two slots per core. That makes it testable without
 * hardware, and it makes it cheap enough to be asked from the interrupt handler.
 *
 * Who is next for a core is decided in this order:
 *
 * 1. The class: latency before balanced before throughput.
 * 2. In a class, the context with the earliest of the deadlines that are near,
 *    unless its client has had more than a credit of hardware time ahead of the
 *    others. The deadline of a job is one for all before it in its queue.
 * 3. In a class, the client that has had the least hardware time, which counts
 *    four times for a context of low priority and a quarter for one of high.
 *    Idle clients do not save up more than that credit.
 * 4. Of one client, the context of the highest priority, then the one that has
 *    waited longest.
 *
 * Two things bend that. Changing the address space of a core is expensive, so
 * a context whose VM the core has loaded may go before others that are hardly
 * better off. And a context that has waited for &NPU_SCHED_AGE_NS gets the core
 * for one task, whatever its class. That happens once in so much time for each
 * core, and never twice in a row while a better class waits: nobody starves, and
 * a job of the best class waits for one task of others, not for two.
 *
 * A context is an ordered queue, so its jobs never run on two cores at once:
 * while one of them is in a slot, the others may only follow it on the same
 * core. It waits for a core when it has jobs and none in a slot. Every core has
 * a tree of the clients that wait for it, for each class, and one of the
 * contexts by age, so that no decision has to look at what the core may not run.
 *
 * The next slot holds a job the interrupt handler can start on its own, that
 * is, one that needs no change of VM. It is a prediction and not a promise: a
 * job of a better class sends it back to its queue, and a core that would be
 * idle otherwise takes it away.
 *
 * Between two tasks of a job the core is asked to yield when a better class
 * waits, when somebody's age is due, when an earlier deadline is near, or, after
 * a slice, when a client of the same class has had less; and when the core is
 * about to go. The job goes back to the head of its queue and goes on later, on
 * any core it may use.
 *
 * Hardware time is charged when a job gets a slot, as much as jobs of its
 * context took lately, and corrected when it leaves: a client must not get all
 * cores at once just because none of its jobs has ended yet.
 */

/* How many shares, contexts or deadlines a decision looks at beyond the first */
#define NPU_SCHED_LOOK		8

static const unsigned int rank_of[NPU_SCHED_CLASSES] = {
	[DRM_NPU_CLASS_LATENCY] = 0,
	[DRM_NPU_CLASS_BALANCED] = 1,
	[DRM_NPU_CLASS_THROUGHPUT] = 2,
};

/**
 * npu_sched_init() - prepare the policy
 * @s: the policy
 * @num_cores: number of cores, all of them down for now
 */
void npu_sched_init(struct npu_sched *s, unsigned int num_cores)
{
	spin_lock_init(&s->lock);
	for (unsigned int i = 0; i < NPU_SCHED_CLASSES; i++)
		s->urgent[i] = RB_ROOT_CACHED;
	for (unsigned int i = 0; i < num_cores; i++) {
		s->cores[i].waiting = RB_ROOT_CACHED;
		for (unsigned int j = 0; j < NPU_SCHED_CLASSES; j++)
			s->cores[i].shares[j] = RB_ROOT_CACHED;
	}
	INIT_LIST_HEAD(&s->stranded);
	s->num_cores = num_cores;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_init);

/**
 * npu_sched_client_init() - prepare somebody who shares the hardware
 * @client: the client
 */
void npu_sched_client_init(struct npu_sched_client *client)
{
	for (unsigned int i = 0; i < NPU_SCHED_CLASSES; i++) {
		struct npu_sched_share *share = &client->shares[i];

		share->rank = i;
		INIT_LIST_HEAD(&share->ctxs);
		for (unsigned int j = 0; j < NPU_MAX_CORES; j++) {
			share->entries[j].share = share;
			RB_CLEAR_NODE(&share->entries[j].rb);
		}
	}
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_client_init);

/**
 * npu_sched_check() - are there such a class and such a priority?
 * @sched_class: one of &enum drm_npu_class
 * @priority: one of &enum drm_npu_priority
 *
 * Return: 0 or -EINVAL.
 */
int npu_sched_check(u32 sched_class, s32 priority)
{
	if (sched_class >= NPU_SCHED_CLASSES)
		return -EINVAL;
	if (priority < DRM_NPU_PRIORITY_LOW || priority > DRM_NPU_PRIORITY_HIGH)
		return -EINVAL;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_check);

static void set_attributes(struct npu_sched_ctx *ctx, u32 sched_class, s32 priority,
			   u64 core_mask)
{
	ctx->sched_class = sched_class;
	ctx->priority = priority;
	ctx->rank = rank_of[sched_class];
	WRITE_ONCE(ctx->core_mask, core_mask);
}

/**
 * npu_sched_ctx_init() - prepare a context
 * @ctx: the context
 * @client: who pays for its jobs; has to last as long
 * @sched_class: one of &enum drm_npu_class
 * @priority: one of &enum drm_npu_priority
 * @core_mask: cores it may use
 * @vm: identity of its address space
 *
 * Return: 0, or -EINVAL for an unknown class or priority.
 */
int npu_sched_ctx_init(struct npu_sched_ctx *ctx, struct npu_sched_client *client,
		       u32 sched_class, s32 priority, u64 core_mask, const void *vm)
{
	int ret = npu_sched_check(sched_class, priority);

	if (ret)
		return ret;

	INIT_LIST_HEAD(&ctx->link);
	INIT_LIST_HEAD(&ctx->queue);
	RB_CLEAR_NODE(&ctx->urgent);
	for (unsigned int i = 0; i < NPU_MAX_CORES; i++)
		ctx->seats[i].ctx = ctx;
	ctx->client = client;
	ctx->vm = vm;
	ctx->mean_ns = 0;
	ctx->active = 0;
	ctx->core = 0;
	set_attributes(ctx, sched_class, priority, core_mask);
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
	job->deadline = U64_MAX;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_job_init);

static struct npu_sched_job *head_of(struct npu_sched_ctx *ctx)
{
	return list_first_entry_or_null(&ctx->queue, struct npu_sched_job, link);
}

static struct npu_sched_share *share_of(struct npu_sched_ctx *ctx)
{
	return &ctx->client->shares[ctx->rank];
}

static u64 weighted(const struct npu_sched_ctx *ctx, u64 ns)
{
	if (ctx->priority > DRM_NPU_PRIORITY_NORMAL)
		return ns / 4;
	if (ctx->priority < DRM_NPU_PRIORITY_NORMAL)
		return ns * 4;
	return ns;
}

static bool entry_less(struct rb_node *a, const struct rb_node *b)
{
	struct npu_sched_entry *x = rb_entry(a, struct npu_sched_entry, rb);
	const struct npu_sched_entry *y = rb_entry(b, struct npu_sched_entry, rb);

	return x->share->vtime < y->share->vtime;
}

static bool seat_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct npu_sched_seat, rb)->ctx->since <
	       rb_entry(b, struct npu_sched_seat, rb)->ctx->since;
}

static bool urgent_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct npu_sched_ctx, urgent)->deadline <
	       rb_entry(b, struct npu_sched_ctx, urgent)->deadline;
}

/* Changes what a share has had, and with it its place among the others. */
static void set_vtime_locked(struct npu_sched *s, struct npu_sched_share *share,
			     u64 vtime)
{
	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; i < s->num_cores; i++)
		if (share->entries[i].waiting)
			rb_erase_cached(&share->entries[i].rb,
					&s->cores[i].shares[share->rank]);
	share->vtime = vtime;
	for (unsigned int i = 0; i < s->num_cores; i++)
		if (share->entries[i].waiting)
			rb_add_cached(&share->entries[i].rb,
				      &s->cores[i].shares[share->rank], entry_less);
}

/* A client comes back: what it did not use is not saved up for it. */
static void limit_credit_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_share *share = share_of(ctx);
	u64 floor = 0;
	unsigned long cores = ctx->core_mask;
	unsigned int i;

	lockdep_assert_held(&s->lock);

	for_each_set_bit(i, &cores, NPU_MAX_CORES)
		floor = max(floor, s->cores[i].floor[ctx->rank]);
	if (share->vtime + NPU_SCHED_CREDIT_NS < floor)
		set_vtime_locked(s, share, floor - NPU_SCHED_CREDIT_NS);
}

static void drop_deadline_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	lockdep_assert_held(&s->lock);

	if (!RB_EMPTY_NODE(&ctx->urgent))
		rb_erase_cached(&ctx->urgent, &s->urgent[ctx->rank]);
	RB_CLEAR_NODE(&ctx->urgent);
}

static void note_deadline_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_job *head = head_of(ctx);

	lockdep_assert_held(&s->lock);

	drop_deadline_locked(s, ctx);
	if (!head || head->deadline == U64_MAX)
		return;
	ctx->deadline = head->deadline;
	rb_add_cached(&ctx->urgent, &s->urgent[ctx->rank], urgent_less);
}

/* A context waits from now on, if it has something to wait for. */
static void wait_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_share *share = share_of(ctx);
	struct npu_sched_job *head = head_of(ctx);
	struct npu_sched_ctx *pos;
	unsigned long cores = ctx->core_mask;
	unsigned int i;

	lockdep_assert_held(&s->lock);

	if (!head || ctx->active || npu_sched_waits(ctx))
		return;
	if (!npu_sched_reachable(s, ctx)) {
		list_splice_tail_init(&ctx->queue, &s->stranded);
		return;
	}

	if (!share->active && list_empty(&share->ctxs))
		limit_credit_locked(s, ctx);

	list_for_each_entry_reverse(pos, &share->ctxs, link)
		if (pos->priority > ctx->priority ||
		    (pos->priority == ctx->priority && head_of(pos)->seq < head->seq))
			break;
	list_add(&ctx->link, &pos->link);

	for_each_set_bit(i, &cores, NPU_MAX_CORES) {
		rb_add_cached(&ctx->seats[i].rb, &s->cores[i].waiting, seat_less);
		if (!share->entries[i].waiting++)
			rb_add_cached(&share->entries[i].rb,
				      &s->cores[i].shares[share->rank], entry_less);
	}
	note_deadline_locked(s, ctx);
}

static void unwait_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_share *share = share_of(ctx);
	unsigned long cores = ctx->core_mask;
	unsigned int i;

	lockdep_assert_held(&s->lock);

	if (!npu_sched_waits(ctx))
		return;

	list_del_init(&ctx->link);
	for_each_set_bit(i, &cores, NPU_MAX_CORES) {
		rb_erase_cached(&ctx->seats[i].rb, &s->cores[i].waiting);
		if (!--share->entries[i].waiting)
			rb_erase_cached(&share->entries[i].rb,
					&s->cores[i].shares[share->rank]);
	}
	drop_deadline_locked(s, ctx);
}

/* Of a class and among those who wait, what the one that had least has had. */
static u64 least_locked(struct npu_sched *s, unsigned int core, unsigned int rank,
			const struct npu_sched_share *but)
{
	struct rb_node *rb = rb_first_cached(&s->cores[core].shares[rank]);

	lockdep_assert_held(&s->lock);

	if (rb && rb_entry(rb, struct npu_sched_entry, rb)->share == but)
		rb = rb_next(rb);
	return rb ? rb_entry(rb, struct npu_sched_entry, rb)->share->vtime : U64_MAX;
}

/* Is it not far ahead of who has had least? Then its deadlines count. */
static bool has_credit(u64 vtime, u64 least)
{
	return vtime <= least || vtime - least <= NPU_SCHED_CREDIT_NS;
}

static void take_locked(struct npu_sched *s, struct npu_sched_job *job,
			unsigned int core)
{
	struct npu_sched_ctx *ctx = job->ctx;
	struct npu_sched_share *share = share_of(ctx);
	u64 *floor = &s->cores[core].floor[ctx->rank];

	lockdep_assert_held(&s->lock);

	unwait_locked(s, ctx);
	list_del_init(&job->link);
	ctx->active++;
	ctx->core = core;

	/* Age or a deadline may have brought one here that has had more. */
	*floor = max(*floor, min(share->vtime,
				 least_locked(s, core, ctx->rank, NULL)));
	job->share = share;
	job->charged = weighted(ctx, ctx->mean_ns);
	share->active++;
	set_vtime_locked(s, share, share->vtime + job->charged);
}

/* A job leaves its slot, with the hardware time it used there. */
static void leave_locked(struct npu_sched *s, struct npu_sched_job *job, u64 ran)
{
	struct npu_sched_share *share = job->share;

	lockdep_assert_held(&s->lock);

	set_vtime_locked(s, share, share->vtime - job->charged +
				   weighted(job->ctx, ran));
	share->active--;
	job->share = NULL;
	job->ctx->active--;
}

static void push_back_locked(struct npu_sched *s, struct npu_sched_job *job, u64 ran)
{
	lockdep_assert_held(&s->lock);

	leave_locked(s, job, ran);
	list_add(&job->link, &job->ctx->queue);
	wait_locked(s, job->ctx);
}

/* Does a context go before a job that was predicted, whatever they have had? */
static bool overtakes(struct npu_sched_ctx *ctx, struct npu_sched_job *job)
{
	struct npu_sched_ctx *other = job->ctx;

	if (ctx->rank != other->rank)
		return ctx->rank < other->rank;
	if (head_of(ctx)->deadline < job->deadline)
		return true;
	return ctx->client == other->client && ctx->priority > other->priority;
}

/* Takes back predictions that a context overtakes. */
static void displace_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	unsigned long cores = ctx->core_mask;
	unsigned int i;

	lockdep_assert_held(&s->lock);

	if (!npu_sched_waits(ctx))
		return;
	for_each_set_bit(i, &cores, NPU_MAX_CORES) {
		struct npu_sched_core *core = &s->cores[i];

		if (core->next && overtakes(ctx, core->next))
			npu_sched_requeue(s, i, false);
	}
}

/* Takes back the prediction that is a job of a context. */
static void withdraw_locked(struct npu_sched *s, struct npu_sched_ctx *ctx)
{
	struct npu_sched_core *core = &s->cores[ctx->core];

	lockdep_assert_held(&s->lock);

	if (ctx->active && core->next && core->next->ctx == ctx)
		npu_sched_requeue(s, ctx->core, false);
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
	int ret = npu_sched_check(sched_class, priority);

	lockdep_assert_held(&s->lock);

	if (ret)
		return ret;
	if (core_mask != ctx->core_mask && !(core_mask & s->present))
		return s->present ? -EINVAL : -ENODEV;

	withdraw_locked(s, ctx);
	unwait_locked(s, ctx);
	set_attributes(ctx, sched_class, priority, core_mask);
	wait_locked(s, ctx);
	displace_locked(s, ctx);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_ctx_set);

/**
 * npu_sched_ready() - a job could run from now on
 * @s: the policy
 * @job: the job; jobs of one context have to come in their order
 * @now: time in nanoseconds
 *
 * Predictions that the job overtakes are taken back. The caller asks all cores
 * with npu_sched_start() and npu_sched_fill() afterwards.
 */
void npu_sched_ready(struct npu_sched *s, struct npu_sched_job *job, u64 now)
{
	struct npu_sched_ctx *ctx = job->ctx;

	lockdep_assert_held(&s->lock);

	job->seq = ++s->seq;
	if (list_empty(&ctx->queue))
		ctx->since = now;
	list_add_tail(&job->link, &ctx->queue);
	wait_locked(s, ctx);
	displace_locked(s, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_ready);

/* A job that has a slot is in the way of a later one of its context. */
static void hurry(struct npu_sched_job *job, const struct npu_sched_ctx *ctx,
		  u64 deadline)
{
	if (job && job->ctx == ctx)
		job->deadline = min(job->deadline, deadline);
}

/**
 * npu_sched_deadline() - somebody wants a job to be done by then
 * @s: the policy
 * @job: the job, which is ready, and has a core or not
 * @deadline: time in nanoseconds; the earliest one counts
 *
 * And with it those before it in its queue. Predictions that it overtakes are
 * taken back. The caller asks all cores with npu_sched_fill() afterwards.
 */
void npu_sched_deadline(struct npu_sched *s, struct npu_sched_job *job, u64 deadline)
{
	struct npu_sched_ctx *ctx = job->ctx;
	struct npu_sched_core *core;

	lockdep_assert_held(&s->lock);

	if (job->deadline <= deadline)
		return;
	job->deadline = deadline;

	core = &s->cores[ctx->core];
	if (!list_empty(&job->link)) {
		list_for_each_entry_continue_reverse(job, &ctx->queue, link)
			job->deadline = min(job->deadline, deadline);
		hurry(core->next, ctx, deadline);
	}
	hurry(core->run, ctx, deadline);

	if (npu_sched_waits(ctx)) {
		note_deadline_locked(s, ctx);
		displace_locked(s, ctx);
	}
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_deadline);

/* Of one client, who is next on a core? One is, or its share would not be there. */
static struct npu_sched_ctx *pick_ctx_locked(struct npu_sched *s, unsigned int core,
					     struct npu_sched_share *share)
{
	struct npu_sched_ctx *ctx, *first = NULL;

	lockdep_assert_held(&s->lock);

	list_for_each_entry(ctx, &share->ctxs, link) {
		if (!(ctx->core_mask & BIT_ULL(core)))
			continue;
		first = first ?: ctx;
		if (ctx->priority != first->priority ||
		    head_of(ctx)->seq > head_of(first)->seq + NPU_SCHED_AFFINITY_JOBS)
			break;
		if (ctx->vm == s->cores[core].vm)
			return ctx;
	}
	return first;
}

/* Of one class, who has had least? */
static struct npu_sched_ctx *pick_fair_locked(struct npu_sched *s, unsigned int core,
					      unsigned int rank)
{
	struct rb_node *rb = rb_first_cached(&s->cores[core].shares[rank]);
	struct npu_sched_ctx *ctx, *first = NULL;
	u64 limit = 0;

	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; rb && i <= NPU_SCHED_LOOK; i++, rb = rb_next(rb)) {
		struct npu_sched_share *share;

		share = rb_entry(rb, struct npu_sched_entry, rb)->share;
		if (first && share->vtime > limit)
			break;
		ctx = pick_ctx_locked(s, core, share);
		if (ctx->vm == s->cores[core].vm)
			return ctx;
		if (!first) {
			first = ctx;
			limit = share->vtime + NPU_SCHED_AFFINITY_NS;
		}
	}
	return first;
}

/*
 * Of one class, whose deadline is before @than? Who has had more than a credit
 * ahead of @least has to do without.
 */
static struct npu_sched_ctx *pick_urgent_locked(struct npu_sched *s, unsigned int core,
						unsigned int rank, u64 least, u64 than)
{
	struct rb_node *rb = rb_first_cached(&s->urgent[rank]);

	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; rb && i <= NPU_SCHED_LOOK; i++, rb = rb_next(rb)) {
		struct npu_sched_ctx *ctx = rb_entry(rb, struct npu_sched_ctx, urgent);

		if (ctx->deadline >= than)
			break;
		if ((ctx->core_mask & BIT_ULL(core)) &&
		    has_credit(share_of(ctx)->vtime, least))
			return ctx;
	}
	return NULL;
}

/* The best class that somebody who waits for a core has. */
static unsigned int best_rank_locked(struct npu_sched *s, unsigned int core)
{
	unsigned int rank = 0;

	lockdep_assert_held(&s->lock);

	while (rank < NPU_SCHED_CLASSES &&
	       RB_EMPTY_ROOT(&s->cores[core].shares[rank].rb_root))
		rank++;
	return rank;
}

/* Who has waited for so long that it is due, whatever its class? */
static struct npu_sched_ctx *pick_aged_locked(struct npu_sched *s, unsigned int core,
					      u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	struct rb_node *oldest = rb_first_cached(&c->waiting);
	struct npu_sched_ctx *ctx;

	lockdep_assert_held(&s->lock);

	if (!oldest || now < c->aged_at + NPU_SCHED_AGE_NS)
		return NULL;
	ctx = rb_entry(oldest, struct npu_sched_seat, rb)->ctx;
	return now < ctx->since + NPU_SCHED_AGE_NS ? NULL : ctx;
}

/* Does the context whose job has a core go on there, before another one? */
static bool follows_itself(struct npu_sched_ctx *own, struct npu_sched_ctx *other)
{
	bool near = own->vm == other->vm;

	if (share_of(own) != share_of(other))
		return share_of(own)->vtime <=
		       share_of(other)->vtime + (near ? 0 : NPU_SCHED_AFFINITY_NS);
	if (own->priority != other->priority)
		return own->priority > other->priority;
	return head_of(own)->seq <=
	       head_of(other)->seq + (near ? 0 : NPU_SCHED_AFFINITY_JOBS);
}

/*
 * Of one class, who is next? @own is the context whose job has the core, if it
 * has another one and is of that class.
 */
static struct npu_sched_ctx *pick_rank_locked(struct npu_sched *s, unsigned int core,
					      unsigned int rank,
					      struct npu_sched_ctx *own, u64 now)
{
	u64 least = least_locked(s, core, rank, NULL);
	u64 than = now + NPU_SCHED_URGENT_NS;
	struct npu_sched_ctx *ctx, *urgent = NULL;

	lockdep_assert_held(&s->lock);

	if (own) {
		least = min(least, share_of(own)->vtime);
		if (head_of(own)->deadline < than &&
		    has_credit(share_of(own)->vtime, least)) {
			urgent = own;
			than = head_of(own)->deadline;
		}
	}
	urgent = pick_urgent_locked(s, core, rank, least, than) ?: urgent;
	if (urgent)
		return urgent;

	ctx = pick_fair_locked(s, core, rank);
	return own && (!ctx || follows_itself(own, ctx)) ? own : ctx;
}

static struct npu_sched_job *pick_locked(struct npu_sched *s, unsigned int core,
					 u64 now, bool *aged)
{
	struct npu_sched_job *run = s->cores[core].run;
	struct npu_sched_ctx *own, *ctx;

	lockdep_assert_held(&s->lock);

	own = run ? run->ctx : NULL;
	if (own && (!head_of(own) || !(own->core_mask & BIT_ULL(core))))
		own = NULL;

	/* Most of the time there is nothing to choose. */
	*aged = false;
	if (RB_EMPTY_ROOT(&s->cores[core].waiting.rb_root))
		return own ? head_of(own) : NULL;

	/* One after the other: a better class must not wait for two of them. */
	ctx = NULL;
	if (s->cores[core].last_rank <= best_rank_locked(s, core))
		ctx = pick_aged_locked(s, core, now);
	*aged = ctx;
	if (ctx)
		return head_of(ctx);

	for (unsigned int rank = 0; rank < NPU_SCHED_CLASSES; rank++) {
		ctx = pick_rank_locked(s, core, rank,
				       own && own->rank == rank ? own : NULL, now);
		if (ctx)
			return head_of(ctx);
	}
	return NULL;
}

/* Should a core run what was predicted for another one, and not @job? */
static bool better_than(struct npu_sched_job *next, struct npu_sched_job *job)
{
	if (!job || next->share->rank < job->ctx->rank)
		return true;
	if (next->share->rank > job->ctx->rank)
		return false;
	if (next->share == share_of(job->ctx))
		return next->ctx->priority > job->ctx->priority;
	return next->share->vtime - next->charged + NPU_SCHED_AFFINITY_NS <
	       share_of(job->ctx)->vtime;
}

/*
 * Takes a predicted job away from the core that was to run it, if that has to go
 * before @job, which may be NULL. Returns it, or @job.
 */
static struct npu_sched_job *steal_locked(struct npu_sched *s, unsigned int core,
					  struct npu_sched_job *job)
{
	struct npu_sched_core *victim = NULL;

	lockdep_assert_held(&s->lock);

	for (unsigned int i = 0; i < s->num_cores; i++) {
		struct npu_sched_core *c = &s->cores[i];

		if (!npu_sched_may_take(c->next, core))
			continue;
		if (victim && c->next->share->rank >= victim->next->share->rank)
			continue;
		if (better_than(c->next, job))
			victim = c;
	}
	if (!victim)
		return job;

	job = victim->next;
	victim->next = NULL;
	push_back_locked(s, job, 0);
	return job;
}

/**
 * npu_sched_start() - give a core its next job
 * @s: the policy
 * @core: a core that has no job
 * @same_vm: only if that needs no change of VM
 * @now: time in nanoseconds
 *
 * Asking every idle core with @same_vm set first and then without it puts jobs
 * where their VM is, when there is a choice.
 *
 * Return: the job that has the core from now on, or NULL.
 */
struct npu_sched_job *npu_sched_start(struct npu_sched *s, unsigned int core,
				      bool same_vm, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job;
	bool aged;

	lockdep_assert_held(&s->lock);

	if (!(s->up & BIT_ULL(core)) || c->run)
		return NULL;

	/* Somebody better may have come back since. */
	if (c->next && best_rank_locked(s, core) < c->next->share->rank)
		npu_sched_requeue(s, core, false);
	if (c->next) {
		swap(c->run, c->next);
		c->run_aged = false;
		return c->run;
	}

	job = pick_locked(s, core, now, &aged);
	if (!same_vm && !aged)
		job = steal_locked(s, core, job);
	if (!job || (same_vm && job->ctx->vm != c->vm))
		return NULL;

	take_locked(s, job, core);
	c->run = job;
	c->run_aged = aged;
	if (aged)
		c->aged_at = now;
	return job;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_start);

/**
 * npu_sched_fill() - predict which job a busy core runs next
 * @s: the policy
 * @core: the core
 * @now: time in nanoseconds
 *
 * Fills the next slot when it is empty and the best job for the core needs no
 * change of VM.
 */
void npu_sched_fill(struct npu_sched *s, unsigned int core, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job;
	bool aged;

	lockdep_assert_held(&s->lock);

	if (!(s->up & BIT_ULL(core)) || !c->run || c->next ||
	    c->run->ctx->vm != c->vm)
		return;

	/* Whose age is due is not a matter of prediction. */
	job = pick_locked(s, core, now, &aged);
	if (!job || aged || job->ctx->vm != c->vm)
		return;

	take_locked(s, job, core);
	c->next = job;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_fill);

/*
 * Of the same class: has somebody had less, after a slice, or a deadline that is
 * before the one of the job?
 */
static bool equal_goes_first(struct npu_sched *s, unsigned int core, u64 ran, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	u64 than = now + NPU_SCHED_URGENT_NS, least, had;
	struct npu_sched_job *run = c->run;
	unsigned int rank = run->share->rank;

	lockdep_assert_held(&s->lock);

	least = least_locked(s, core, rank, run->share);
	had = run->share->vtime - run->charged + weighted(run->ctx, ran);

	/*
	 * By more than what would make the loaded VM win again. Who got the core
	 * because of its age gets one task of it.
	 */
	if ((ran >= NPU_SCHED_SLICE_NS || c->run_aged) && least < had &&
	    had - least > NPU_SCHED_AFFINITY_NS)
		return true;

	least = min(least, had);
	if (has_credit(had, least))
		than = min(than, run->deadline);
	if (c->next && c->next->share->rank == rank && c->next->deadline < than &&
	    has_credit(c->next->share->vtime - c->next->charged, least))
		return true;
	return pick_urgent_locked(s, core, rank, least, than);
}

/**
 * npu_sched_must_yield() - should a job make way before its next task?
 * @s: the policy
 * @core: the core that the job has
 * @ran: how long it has had it, in nanoseconds
 * @now: time in nanoseconds
 *
 * Return: true when somebody else should have the core now.
 */
bool npu_sched_must_yield(struct npu_sched *s, unsigned int core, u64 ran, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];

	lockdep_assert_held(&s->lock);

	if (!(s->up & BIT_ULL(core)) ||
	    best_rank_locked(s, core) < c->run->share->rank)
		return true;
	for (unsigned int i = 0; i < s->num_cores; i++)
		if (npu_sched_may_take(s->cores[i].next, core) &&
		    s->cores[i].next->share->rank < c->run->share->rank)
			return true;
	return pick_aged_locked(s, core, now) || equal_goes_first(s, core, ran, now);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_must_yield);

/**
 * npu_sched_part() - how many linked tasks may run before others can have a core
 * @task_ns: how long the tasks take, or zero if that is not known
 *
 * Return: number of tasks, at least one.
 */
u32 npu_sched_part(u64 task_ns)
{
	return task_ns ? clamp(div64_u64(NPU_SCHED_PART_NS, task_ns), 1,
			       NPU_SCHED_PART_TASKS) : 1;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_part);

static void note_time(struct npu_sched_ctx *ctx, u64 ran)
{
	ctx->mean_ns = ctx->mean_ns ? (3 * ctx->mean_ns + ran) / 4 : ran;
}

/**
 * npu_sched_yield() - the job that has a core makes way
 * @s: the policy
 * @core: the core
 * @ran: how long it had it, in nanoseconds
 * @now: time in nanoseconds
 *
 * It goes back to the head of its queue.
 */
void npu_sched_yield(struct npu_sched *s, unsigned int core, u64 ran, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job = c->run;

	lockdep_assert_held(&s->lock);

	npu_sched_requeue(s, core, false);
	note_time(job->ctx, ran);
	c->last_rank = job->share->rank;
	job->ctx->since = now;
	push_back_locked(s, job, ran);
	c->run = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_yield);

/**
 * npu_sched_done() - the job that had a core is over
 * @s: the policy
 * @core: the core
 * @ran: how long it had it, in nanoseconds
 * @now: time in nanoseconds
 */
void npu_sched_done(struct npu_sched *s, unsigned int core, u64 ran, u64 now)
{
	struct npu_sched_core *c = &s->cores[core];
	struct npu_sched_job *job = c->run;
	struct npu_sched_ctx *ctx = job->ctx;

	lockdep_assert_held(&s->lock);

	c->run = NULL;
	c->last_rank = job->share->rank;
	note_time(ctx, ran);
	leave_locked(s, job, ran);
	ctx->since = now;
	wait_locked(s, ctx);
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
		push_back_locked(s, c->next, 0);
	c->next = NULL;
	if (!run)
		return;
	if (c->run)
		push_back_locked(s, c->run, 0);
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
	unwait_locked(s, ctx);
	list_splice_tail_init(&ctx->queue, jobs);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_purge);

/**
 * npu_sched_strand() - give up jobs that no core will ever run
 * @s: the policy
 *
 * To be called after &npu_sched.present has lost a core. Jobs of contexts that
 * have another one on a core at this moment follow when that leaves it.
 */
void npu_sched_strand(struct npu_sched *s)
{
	unsigned long present = s->present;
	unsigned int i;

	lockdep_assert_held(&s->lock);

	for_each_clear_bit(i, &present, s->num_cores) {
		struct rb_node *rb = rb_first_cached(&s->cores[i].waiting);

		while (rb) {
			struct npu_sched_ctx *ctx;

			ctx = rb_entry(rb, struct npu_sched_seat, rb)->ctx;
			rb = rb_next(rb);
			if (!npu_sched_reachable(s, ctx))
				npu_sched_purge(s, ctx, &s->stranded);
		}
	}
}
EXPORT_SYMBOL_IF_KUNIT(npu_sched_strand);
