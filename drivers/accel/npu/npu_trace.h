/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM npu

#if !defined(__NPU_TRACE_H__) || defined(TRACE_HEADER_MULTI_READ)
#define __NPU_TRACE_H__

#include <linux/tracepoint.h>

#include "npu_core.h"
#include "npu_ctx.h"
#include "npu_job.h"

/**
 * DOC: Trace events
 *
 * What happens to a job: ``npu_job_submit`` when a client hands it in,
 * ``npu_task_start`` each time a core is given work of it, ``npu_job_yield`` when it
 * makes way before its next task, ``npu_job_done`` when it is over, run or not.
 * ``npu_fault`` is the moment when something is wrong with a core, ``npu_recovered``
 * the one when it is back or dead; ``npu_reset``, ``npu_power`` and ``npu_frequency``
 * tell what happens to a core and to the clock of all of them.
 *
 * A job is told from all others by three numbers: the client, which is
 * &drm_file.client_id and drm-client-id of fdinfo; the context and the job as
 * userspace knows them.
 *
 * The next task is started before those who wait for the last one are woken, so
 * ``npu_task_start`` of the next job may come before ``npu_job_done`` of the last: a
 * core has left what it did as soon as it starts something else.
 */

TRACE_EVENT(npu_job_submit,
	    TP_PROTO(const struct npu_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, job)
			     __field(u32, ctx)
			     __field(u32, tasks)
			     __field(u32, sched_class)
			     __field(s32, priority)
	    ),
	    TP_fast_assign(__entry->client = job->base.s_fence->drm_client_id;
			   __entry->job = job->result.job;
			   __entry->ctx = job->ctx->id;
			   __entry->tasks = job->num_tasks;
			   __entry->sched_class = job->ctx->node.sched_class;
			   __entry->priority = job->ctx->node.priority;
	    ),
	    TP_printk("client=%llu ctx=%u job=%llu tasks=%u class=%u priority=%d",
		      __entry->client, __entry->ctx, __entry->job, __entry->tasks,
		      __entry->sched_class, __entry->priority)
);

TRACE_EVENT(npu_task_start,
	    TP_PROTO(const struct npu_core *core, const struct npu_job *job, u32 count),
	    TP_ARGS(core, job, count),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, job)
			     __field(u32, ctx)
			     __field(u32, core)
			     __field(u32, task)
			     __field(u32, count)
	    ),
	    TP_fast_assign(__entry->client = job->base.s_fence->drm_client_id;
			   __entry->job = job->result.job;
			   __entry->ctx = job->ctx->id;
			   __entry->core = core->index;
			   __entry->task = job->cur;
			   __entry->count = count;
	    ),
	    TP_printk("core=%u client=%llu ctx=%u job=%llu task=%u count=%u",
		      __entry->core, __entry->client, __entry->ctx, __entry->job,
		      __entry->task, __entry->count)
);

TRACE_EVENT(npu_job_yield,
	    TP_PROTO(const struct npu_core *core, const struct npu_job *job),
	    TP_ARGS(core, job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, job)
			     __field(u32, ctx)
			     __field(u32, core)
			     __field(u32, task)
	    ),
	    TP_fast_assign(__entry->client = job->base.s_fence->drm_client_id;
			   __entry->job = job->result.job;
			   __entry->ctx = job->ctx->id;
			   __entry->core = core->index;
			   __entry->task = job->cur;
	    ),
	    TP_printk("core=%u client=%llu ctx=%u job=%llu task=%u",
		      __entry->core, __entry->client, __entry->ctx, __entry->job,
		      __entry->task)
);

TRACE_EVENT(npu_job_done,
	    TP_PROTO(const struct npu_job *job),
	    TP_ARGS(job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, job)
			     __field(u32, ctx)
			     __field(s32, core)
			     __field(u32, tasks)
			     __field(s32, error)
	    ),
	    TP_fast_assign(__entry->client = job->base.s_fence->drm_client_id;
			   __entry->job = job->result.job;
			   __entry->ctx = job->ctx->id;
			   /* Some never get a core. */
			   __entry->core = job->result.start_ns ? (s32)job->result.core : -1;
			   __entry->tasks = job->result.tasks_done;
			   __entry->error = job->result.error;
	    ),
	    TP_printk("core=%d client=%llu ctx=%u job=%llu tasks=%u error=%d",
		      __entry->core, __entry->client, __entry->ctx, __entry->job,
		      __entry->tasks, __entry->error)
);

TRACE_EVENT(npu_fault,
	    TP_PROTO(const struct npu_core *core, const struct npu_job *job),
	    TP_ARGS(core, job),
	    TP_STRUCT__entry(__field(u64, client)
			     __field(u64, job)
			     __field(u64, va)
			     __field(u32, ctx)
			     __field(u32, core)
			     __field(u32, task)
			     __field(s32, error)
			     __field(u32, flags)
	    ),
	    TP_fast_assign(/* The core may have been on its way to a job. */
			   __entry->client = job ? job->base.s_fence->drm_client_id : 0;
			   __entry->job = job ? job->result.job : 0;
			   __entry->ctx = job ? job->ctx->id : 0;
			   __entry->task = job ? job->cur : 0;
			   __entry->core = core->index;
			   __entry->error = core->fault.error;
			   __entry->va = core->fault.va;
			   __entry->flags = core->fault.flags;
	    ),
	    TP_printk("core=%u client=%llu ctx=%u job=%llu task=%u error=%d va=%#llx flags=%#x",
		      __entry->core, __entry->client, __entry->ctx, __entry->job,
		      __entry->task, __entry->error, __entry->va, __entry->flags)
);

TRACE_EVENT(npu_recovered,
	    TP_PROTO(const struct npu_core *core, bool alive),
	    TP_ARGS(core, alive),
	    TP_STRUCT__entry(__field(u32, core)
			     __field(bool, alive)
	    ),
	    TP_fast_assign(__entry->core = core->index;
			   __entry->alive = alive;
	    ),
	    TP_printk("core=%u alive=%d", __entry->core, __entry->alive)
);

TRACE_EVENT(npu_reset,
	    TP_PROTO(const struct npu_core *core),
	    TP_ARGS(core),
	    TP_STRUCT__entry(__field(u32, core)
	    ),
	    TP_fast_assign(__entry->core = core->index;
	    ),
	    TP_printk("core=%u", __entry->core)
);

TRACE_EVENT(npu_power,
	    TP_PROTO(const struct npu_core *core, bool on),
	    TP_ARGS(core, on),
	    TP_STRUCT__entry(__field(u32, core)
			     __field(bool, on)
	    ),
	    TP_fast_assign(__entry->core = core->index;
			   __entry->on = on;
	    ),
	    TP_printk("core=%u on=%d", __entry->core, __entry->on)
);

TRACE_EVENT(npu_frequency,
	    TP_PROTO(u64 hz),
	    TP_ARGS(hz),
	    TP_STRUCT__entry(__field(u64, hz)
	    ),
	    TP_fast_assign(__entry->hz = hz;
	    ),
	    TP_printk("hz=%llu", __entry->hz)
);

#endif /* __NPU_TRACE_H__ */

/* This part must be outside protection */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE npu_trace
#include <trace/define_trace.h>
