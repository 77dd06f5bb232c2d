/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_SCHED_H__
#define __NPU_SCHED_H__

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/time64.h>
#include <linux/types.h>

/* Cores a device can have; core masks of the UAPI are 64 bit, so is this. */
#define NPU_MAX_CORES		8

#define NPU_SCHED_CLASSES	3

/* A context that has waited for this long gets one task, whatever its class. */
#define NPU_SCHED_AGE_NS	(100 * NSEC_PER_MSEC)

/* How long a job may go on while another client of its class has had less. */
#define NPU_SCHED_SLICE_NS	(10 * NSEC_PER_MSEC)

/* How much of its share a client that was idle may catch up on. */
#define NPU_SCHED_CREDIT_NS	(20 * NSEC_PER_MSEC)

/* How far the address space that a core has loaded may bend fairness. */
#define NPU_SCHED_AFFINITY_NS	(2 * NSEC_PER_MSEC)

/* The same between contexts of one client, in jobs that overtake. */
#define NPU_SCHED_AFFINITY_JOBS	8

/* How long linked tasks may keep others waiting, and how many of them. */
#define NPU_SCHED_PART_NS	NSEC_PER_MSEC
#define NPU_SCHED_PART_TASKS	32

/* A deadline counts from this long before it. */
#define NPU_SCHED_URGENT_NS	(5 * NSEC_PER_MSEC)

struct npu_sched_ctx;
struct npu_sched_share;

/**
 * struct npu_sched_job - a job as the policy sees it
 *
 * Protected by &npu_sched.lock once it is ready.
 */
struct npu_sched_job {
	/** @link: place in &npu_sched_ctx.queue; empty when in a slot or done */
	struct list_head link;

	/** @ctx: the queue it belongs to */
	struct npu_sched_ctx *ctx;

	/** @seq: order of arrival over all contexts */
	u64 seq;

	/**
	 * @deadline: when somebody wants it or a later job of its context to be
	 * done, in nanoseconds; U64_MAX if nobody does
	 */
	u64 deadline;

	/** @share: while in a slot, who pays for it */
	struct npu_sched_share *share;

	/** @charged: while in a slot, what @share has paid in advance */
	u64 charged;
};

/**
 * struct npu_sched_seat - a context in the queue for one core
 */
struct npu_sched_seat {
	/** @rb: place in &npu_sched_core.waiting */
	struct rb_node rb;

	/** @ctx: the context */
	struct npu_sched_ctx *ctx;
};

/**
 * struct npu_sched_ctx - a context as the policy sees it
 *
 * Everything but the constants is protected by &npu_sched.lock.
 *
 * It *waits* while it has queued jobs and none in a slot; then it has a place in
 * the lists of its share and of the cores it may use.
 */
struct npu_sched_ctx {
	/** @link: place in &npu_sched_share.ctxs, while it waits */
	struct list_head link;

	/** @seats: places in &npu_sched_core.waiting, while it waits */
	struct npu_sched_seat seats[NPU_MAX_CORES];

	/** @urgent: place in &npu_sched.urgent, while it waits */
	struct rb_node urgent;

	/** @deadline: of its oldest job; constant while it is in @urgent */
	u64 deadline;

	/** @queue: jobs that wait for a core, oldest first */
	struct list_head queue;

	/** @client: who pays for its jobs; constant */
	struct npu_sched_client *client;

	/** @vm: identity of its address space; constant */
	const void *vm;

	/** @core_mask: cores it may use */
	u64 core_mask;

	/** @sched_class: one of &enum drm_npu_class */
	u32 sched_class;

	/** @priority: one of &enum drm_npu_priority */
	s32 priority;

	/** @rank: of its class, the lower goes first */
	unsigned int rank;

	/** @since: when its oldest job began to wait, in nanoseconds */
	u64 since;

	/** @mean_ns: hardware time its jobs took lately */
	u64 mean_ns;

	/** @active: jobs in slots, all of them on @core */
	unsigned int active;

	/** @core: where @active jobs are */
	unsigned int core;
};

/**
 * struct npu_sched_entry - a share among those that want one core
 */
struct npu_sched_entry {
	/** @rb: place in &npu_sched_core.shares */
	struct rb_node rb;

	/** @share: the share */
	struct npu_sched_share *share;

	/** @waiting: contexts that wait for the core; in the tree if not zero */
	unsigned int waiting;
};

/**
 * struct npu_sched_share - what one client has had in one class
 */
struct npu_sched_share {
	/** @entries: places in &npu_sched_core.shares */
	struct npu_sched_entry entries[NPU_MAX_CORES];

	/** @ctxs: contexts that wait, by priority, then by age */
	struct list_head ctxs;

	/** @rank: of its class; constant */
	unsigned int rank;

	/** @vtime: hardware time it has had, divided by the weight, nanoseconds */
	u64 vtime;

	/** @active: jobs in slots */
	unsigned int active;
};

/**
 * struct npu_sched_client - those who share the hardware, one for each file
 */
struct npu_sched_client {
	/** @shares: one for each class */
	struct npu_sched_share shares[NPU_SCHED_CLASSES];
};

/**
 * struct npu_sched_core - a core as the policy sees it
 */
struct npu_sched_core {
	/** @run: job that has the core, started or about to be */
	struct npu_sched_job *run;

	/** @next: job to start the moment @run ends; its VM is @vm */
	struct npu_sched_job *next;

	/** @vm: identity of the address space that the core has loaded */
	const void *vm;

	/** @shares: who wants the core, by class; the one that had least first */
	struct rb_root_cached shares[NPU_SCHED_CLASSES];

	/** @floor: time of those who got the core last by then, by class */
	u64 floor[NPU_SCHED_CLASSES];

	/** @waiting: contexts that want the core, longest wait first */
	struct rb_root_cached waiting;

	/** @aged_at: when somebody got the core because of its age */
	u64 aged_at;

	/** @run_aged: @run got the core because of its age */
	bool run_aged;

	/** @last_rank: class of the job that had the core last */
	unsigned int last_rank;
};

/**
 * struct npu_sched - state of the scheduling policy
 */
struct npu_sched {
	/**
	 * @lock: protects everything here, and with it which job a core works
	 * on. Taken in hard interrupt context.
	 */
	spinlock_t lock;

	/** @cores: slots of the cores, and who waits for them */
	struct npu_sched_core cores[NPU_MAX_CORES];

	/** @urgent: contexts that wait and have a deadline, by class */
	struct rb_root_cached urgent[NPU_SCHED_CLASSES];

	/**
	 * @stranded: jobs that no core will ever run, those of one context in
	 * their order; the driver ends them
	 */
	struct list_head stranded;

	/** @num_cores: entries of @cores in use */
	unsigned int num_cores;

	/** @up: cores that may be given jobs at this moment */
	u64 up;

	/** @present: cores that are up or will be again soon */
	u64 present;

	/** @seq: &npu_sched_job.seq of the last job that arrived */
	u64 seq;
};

void npu_sched_init(struct npu_sched *s, unsigned int num_cores);
void npu_sched_client_init(struct npu_sched_client *client);
int npu_sched_check(u32 sched_class, s32 priority);
int npu_sched_ctx_init(struct npu_sched_ctx *ctx, struct npu_sched_client *client,
		       u32 sched_class, s32 priority, u64 core_mask, const void *vm);
int npu_sched_ctx_set(struct npu_sched *s, struct npu_sched_ctx *ctx, u32 sched_class,
		      s32 priority, u64 core_mask);
void npu_sched_job_init(struct npu_sched_job *job, struct npu_sched_ctx *ctx);

void npu_sched_ready(struct npu_sched *s, struct npu_sched_job *job, u64 now);
void npu_sched_deadline(struct npu_sched *s, struct npu_sched_job *job, u64 deadline);
struct npu_sched_job *npu_sched_start(struct npu_sched *s, unsigned int core,
				      bool same_vm, u64 now);
void npu_sched_fill(struct npu_sched *s, unsigned int core, u64 now);
bool npu_sched_must_yield(struct npu_sched *s, unsigned int core, u64 ran, u64 now);
u32 npu_sched_part(u64 task_ns);
void npu_sched_yield(struct npu_sched *s, unsigned int core, u64 ran, u64 now);
void npu_sched_done(struct npu_sched *s, unsigned int core, u64 ran, u64 now);
void npu_sched_requeue(struct npu_sched *s, unsigned int core, bool run);
void npu_sched_purge(struct npu_sched *s, struct npu_sched_ctx *ctx,
		     struct list_head *jobs);
void npu_sched_strand(struct npu_sched *s);

/**
 * npu_sched_waits() - does a context wait for a core?
 * @ctx: the context
 *
 * Return: true when it has jobs and none of them is in a slot.
 */
static inline bool npu_sched_waits(const struct npu_sched_ctx *ctx)
{
	return !list_empty(&ctx->link);
}

/**
 * npu_sched_may_take() - could a core run a job that was predicted for some core?
 * @next: the job in a next slot, or NULL
 * @core: the core
 *
 * Return: false when it has to follow a job of its own context where that is.
 */
static inline bool npu_sched_may_take(const struct npu_sched_job *next,
				      unsigned int core)
{
	return next && next->ctx->active == 1 &&
	       (next->ctx->core_mask & BIT_ULL(core));
}

/**
 * npu_sched_wanted() - is a core wanted for anything but the job that has it?
 * @s: the policy
 * @core: the core
 *
 * Return: false when there is no point in asking npu_sched_must_yield().
 */
static inline bool npu_sched_wanted(const struct npu_sched *s, unsigned int core)
{
	if (!RB_EMPTY_ROOT(&s->cores[core].waiting.rb_root) ||
	    !(s->up & BIT_ULL(core)))
		return true;
	for (unsigned int i = 0; i < s->num_cores; i++)
		if (npu_sched_may_take(s->cores[i].next, core))
			return true;
	return false;
}

/**
 * npu_sched_reachable() - can a context run anywhere?
 * @s: the policy
 * @ctx: the context
 *
 * Return: false when none of the cores it may use is there.
 */
static inline bool npu_sched_reachable(const struct npu_sched *s,
				       const struct npu_sched_ctx *ctx)
{
	return READ_ONCE(s->present) & READ_ONCE(ctx->core_mask);
}

#endif /* __NPU_SCHED_H__ */
