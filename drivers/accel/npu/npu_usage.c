// SPDX-License-Identifier: GPL-2.0-only

#include <linux/dma-resv.h>
#include <linux/math64.h>
#include <linux/timekeeping.h>

#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_print.h>

#include "npu_ctx.h"
#include "npu_devfreq.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_job.h"
#include "npu_program.h"
#include "npu_trace.h"
#include "npu_usage.h"

/**
 * DOC: Usage
 *
 * What a file has used of the NPU is in its fdinfo, in the format of
 * Documentation/gpu/drm-usage-stats.rst, so that tools which show GPUs show NPUs
 * without knowing them. All cores together are one engine, *npu*, with their
 * number as its capacity.
 *
 * The engine's time is the hardware time of all contexts that the file ever had,
 * the one that userspace learns from DRM_NPU_CTX_QUERY. A job that has a core at
 * the moment is part of it: somebody who looks once a second should not see
 * nothing for two seconds and three seconds' worth in the next.
 *
 * Cycles are that time multiplied by the rate of the clock. They are counted
 * when a job leaves its core, and for those that have one when the rate changes.
 * The hardware has no counter of its own for this. Counting is nothing that the
 * next job would have to wait for, so it comes after its start.
 *
 * The memory of a buffer is in one of two regions: *memory*, the name that the
 * format has for that of the system, and *sram*. A buffer that has a place in
 * one of them and would rather be in the other counts as resident where it is,
 * and as what was asked for where it should be.
 */

#define NPU_USAGE_SHIFT		20

enum npu_usage_region {
	NPU_USAGE_MEMORY,
	NPU_USAGE_SRAM,
	NPU_USAGE_REGIONS,
};

static const char *const region_names[NPU_USAGE_REGIONS] = {
	[NPU_USAGE_MEMORY] = "memory",
	[NPU_USAGE_SRAM] = "sram",
};

static u64 cycles_of(const struct npu_device *npu, u64 ns)
{
	return mul_u64_u32_shr(ns, npu->clock.mult, NPU_USAGE_SHIFT);
}

/**
 * npu_usage_count_locked() - count the cycles of a job
 * @job: the job
 * @ran: how long it has its core, or had it until it left it, in nanoseconds
 *
 * Has to be called when a job has left its core, before it begins on another.
 */
void npu_usage_count_locked(struct npu_job *job, u64 ran)
{
	struct npu_device *npu = job->ctx->npu;

	lockdep_assert_held(&npu->sched.lock);

	job->ctx->results.hw_cycles += cycles_of(npu, ran - job->counted_ns);
	job->counted_ns = job->since_ns ? ran : 0;
}

/**
 * npu_usage_set_rate() - the rate of the clock has changed, or is known now
 * @npu: the device
 * @hz: the rate from now on
 */
void npu_usage_set_rate(struct npu_device *npu, u64 hz)
{
	scoped_guard(spinlock_irq, &npu->sched.lock) {
		u64 now = ktime_get_raw_ns();

		if (npu->clock.hz == hz)
			return;
		for (unsigned int i = 0; i < npu->num_cores; i++) {
			struct npu_job *job = node_to_npu_job(npu->sched.cores[i].run);

			if (job && job->since_ns)
				npu_usage_count_locked(job, now - job->since_ns);
		}
		npu->clock.hz = hz;
		npu->clock.mult = div_u64(hz << NPU_USAGE_SHIFT, NSEC_PER_SEC);
	}
	trace_npu_frequency(hz);
}

static void add_locked(struct npu_ctx *ctx, u64 *ns, u64 *cycles)
{
	struct npu_job *job = npu_job_running_locked(ctx);

	lockdep_assert_held(&ctx->npu->sched.lock);

	*ns += ctx->results.hw_time_ns;
	*cycles += ctx->results.hw_cycles;
	if (job) {
		u64 ran = ktime_get_raw_ns() - job->since_ns;

		*ns += ran;
		*cycles += cycles_of(ctx->npu, ran - job->counted_ns);
	}
}

/**
 * npu_usage_time_locked() - how long have jobs of a context had cores?
 * @ctx: the context
 *
 * Return: nanoseconds, those of a job that has one now included.
 */
u64 npu_usage_time_locked(struct npu_ctx *ctx)
{
	u64 ns = 0, cycles = 0;

	add_locked(ctx, &ns, &cycles);
	return ns;
}

static void show_engine(struct drm_printer *p, struct npu_file *file)
{
	struct npu_device *npu = file->npu;
	u64 ns, cycles, hz;

	scoped_guard(mutex, &file->lock) {
		struct npu_ctx *ctx;

		ns = file->gone_ns;
		cycles = file->gone_cycles;
		list_for_each_entry(ctx, &file->all_ctxs, file_link)
			scoped_guard(spinlock_irq, &npu->sched.lock)
				add_locked(ctx, &ns, &cycles);
	}
	scoped_guard(spinlock_irq, &npu->sched.lock)
		hz = npu->clock.hz;

	drm_printf(p, "drm-engine-npu:\t%llu ns\n", ns);
	drm_printf(p, "drm-engine-capacity-npu:\t%u\n", npu->num_cores);
	drm_printf(p, "drm-cycles-npu:\t%llu\n", cycles);
	drm_printf(p, "drm-maxfreq-npu:\t%llu Hz\n", npu_devfreq_max_hz(npu) ?: hz);
}

/* The buffer stays, but nothing else does: these are statistics. */
static void add_bo(struct drm_memory_stats *stats, struct drm_gem_object *obj)
{
	struct npu_bo *bo = to_npu_bo(obj);
	struct drm_memory_stats *asked = &stats[NPU_USAGE_MEMORY];
	struct drm_memory_stats *there = &stats[NPU_USAGE_MEMORY];
	enum drm_gem_object_status status = obj->funcs->status(obj);

	if (bo->flags & (DRM_NPU_BO_SRAM | DRM_NPU_BO_SRAM_PREFERRED))
		asked = &stats[NPU_USAGE_SRAM];
	if (READ_ONCE(bo->sram))
		there = &stats[NPU_USAGE_SRAM];

	if (drm_gem_object_is_shared_for_memory_stats(obj))
		asked->shared += obj->size;
	else
		asked->private += obj->size;

	if (!(status & DRM_GEM_OBJECT_RESIDENT))
		return;
	there->resident += obj->size;
	/* Jobs need not list private buffers: any of them may use all. */
	if (!dma_resv_test_signaled(obj->resv, DMA_RESV_USAGE_BOOKKEEP))
		there->active += obj->size;
	else if (status & DRM_GEM_OBJECT_PURGEABLE)
		there->purgeable += obj->size;
}

static void show_memory(struct drm_printer *p, struct drm_file *file)
{
	struct drm_memory_stats stats[NPU_USAGE_REGIONS] = { };
	struct npu_file *nfile = file->driver_priv;
	struct npu_program *program;
	struct drm_gem_object *obj;
	unsigned long index;
	int id;

	scoped_guard(spinlock, &file->table_lock)
		idr_for_each_entry(&file->object_idr, obj, id)
			add_bo(stats, obj);

	/* Programs have memory without a handle. */
	scoped_guard(mutex, &nfile->lock)
		xa_for_each(&nfile->programs, index, program)
			add_bo(stats, &program->bo->base);

	for (unsigned int i = 0; i < NPU_USAGE_REGIONS; i++) {
		if (i == NPU_USAGE_SRAM && !nfile->npu->sram.size)
			continue;
		drm_print_memory_stats(p, &stats[i], DRM_GEM_OBJECT_RESIDENT |
						     DRM_GEM_OBJECT_ACTIVE |
						     DRM_GEM_OBJECT_PURGEABLE,
				       region_names[i]);
	}
}

/**
 * npu_usage_show() - what a file has used, for its fdinfo
 * @p: where to
 * @file: the file
 */
void npu_usage_show(struct drm_printer *p, struct drm_file *file)
{
	show_engine(p, file->driver_priv);
	show_memory(p, file);
}
