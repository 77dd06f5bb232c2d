/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_SCHED_H__
#define __NPU_SCHED_H__

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/* Cores a device can have; core masks of the UAPI are 64 bit, so is this. */
#define NPU_MAX_CORES		8

#define NPU_SCHED_CLASSES	3
#define NPU_SCHED_PRIORITIES	3
#define NPU_SCHED_LEVELS	(NPU_SCHED_CLASSES * NPU_SCHED_PRIORITIES)

/*
 * How many younger jobs may overtake the oldest job of their level because the
 * core has their address space loaded already.
 */
#define NPU_SCHED_AFFINITY_WINDOW	8

struct npu_sched_ctx;

/**
 * struct npu_sched_job - a job as the policy sees it
 */
struct npu_sched_job {
	/** @link: place in &npu_sched_ctx.queue; empty when in a slot or done */
	struct list_head link;

	/** @ctx: the queue it belongs to */
	struct npu_sched_ctx *ctx;

	/** @seq: order of arrival over all contexts */
	u64 seq;
};

/**
 * struct npu_sched_ctx - a context as the policy sees it
 *
 * Everything but the constants is protected by &npu_sched.lock.
 */
struct npu_sched_ctx {
	/**
	 * @link: place in &npu_sched.levels, while the context has queued jobs
	 * and none in a slot
	 */
	struct list_head link;

	/** @queue: jobs that wait for a core, oldest first */
	struct list_head queue;

	/** @vm: identity of its address space; constant */
	const void *vm;

	/** @core_mask: cores it may use */
	u64 core_mask;

	/** @sched_class: one of &enum drm_npu_class */
	u32 sched_class;

	/** @priority: one of &enum drm_npu_priority */
	s32 priority;

	/** @level: index into &npu_sched.levels, lower goes first */
	unsigned int level;

	/** @active: jobs in slots, all of them on @core */
	unsigned int active;

	/** @core: where @active jobs are */
	unsigned int core;
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

	/** @levels: contexts that could start a job, by age of that job */
	struct list_head levels[NPU_SCHED_LEVELS];

	/** @cores: slots of the cores */
	struct npu_sched_core cores[NPU_MAX_CORES];

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
int npu_sched_check(u32 sched_class, s32 priority);
int npu_sched_ctx_init(struct npu_sched_ctx *ctx, u32 sched_class, s32 priority,
		       u64 core_mask, const void *vm);
int npu_sched_ctx_set(struct npu_sched *s, struct npu_sched_ctx *ctx, u32 sched_class,
		      s32 priority, u64 core_mask);
void npu_sched_job_init(struct npu_sched_job *job, struct npu_sched_ctx *ctx);

void npu_sched_ready(struct npu_sched *s, struct npu_sched_job *job);
struct npu_sched_job *npu_sched_start(struct npu_sched *s, unsigned int core,
				      bool same_vm);
void npu_sched_fill(struct npu_sched *s, unsigned int core);
void npu_sched_done(struct npu_sched *s, unsigned int core);
void npu_sched_requeue(struct npu_sched *s, unsigned int core, bool run);
void npu_sched_purge(struct npu_sched *s, struct npu_sched_ctx *ctx,
		     struct list_head *jobs);
void npu_sched_strand(struct npu_sched *s, struct list_head *jobs);

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
