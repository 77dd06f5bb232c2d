// SPDX-License-Identifier: GPL-2.0-only

#include <linux/delay.h>
#include <linux/devcoredump.h>
#include <linux/dma-resv.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "npu_core.h"
#include "npu_coredump.h"
#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_program.h"
#include "npu_vm.h"

/**
 * DOC: Core dumps
 *
 * A context is banned once, and what it was banned for is worth a look: there is
 * a device core dump of it, with the registers of the core, the command streams
 * around the task, the address space, the job and the context.
 *
 * What is dumped is about to disappear. The reset clears the registers, and
 * with its fence signalled a client may reuse its memory, so all of it has to be
 * taken while the guilty job still has the core. Others wait for that core, and
 * reclaim may wait for its fences: nothing can be allocated then, and no lock be
 * waited for. The memory is therefore there from the beginning, once for each
 * device, and of the lock of the address space the dump takes what it can get;
 * if that is nothing, it goes without the map.
 *
 * What has been taken is a note. Another work, which nobody depends on, turns it
 * into text and hands that over to userspace. While it does so there is no
 * second dump, and the kernel refuses one of the same core until the first has
 * been read or thrown away. A client that hangs again and again learns nothing
 * new from the next dump, and fills no memory with it.
 *
 * The text is made of lines of "key: value", lists of lines that are indented
 * and say what they are, so that it can be read without any tool. The words of
 * the streams are for npu-coredump, in tools/accel/npu, which knows registers by
 * their name. See Documentation/accel/npu/faults.rst.
 */

#define NPU_DUMP_VERSION	1
#define NPU_DUMP_REGS		192
#define NPU_DUMP_MAPS		1024
#define NPU_DUMP_STREAM_SIZE	SZ_16K

/* The task that failed, the one before it and the one after it */
#define NPU_DUMP_STREAMS	3

/*
 * The text takes a processor for some milliseconds, and those who wait for the
 * core need it first.
 */
#define NPU_DUMP_DELAY_MS	50

/* How often and how long (in microseconds) the lock of a VM is asked for */
#define NPU_DUMP_TRIES		5
#define NPU_DUMP_WAIT		100

/**
 * struct npu_dump_stream - the command stream of a task
 */
struct npu_dump_stream {
	/** @index: the task */
	u32 index;

	/** @task: where the stream is */
	struct npu_task task;

	/** @size: how much of it is in @words, in bytes */
	size_t size;

	/** @words: what the core has fetched, or would have */
	__le64 words[NPU_DUMP_STREAM_SIZE / sizeof(__le64)];
};

/**
 * struct npu_coredump - notes of a fault
 *
 * Written by who has set @busy, and read by @work, which clears it.
 */
struct npu_coredump {
	/** @busy: bit 0 is set while the notes are in use */
	unsigned long busy;

	/** @work: hands them over to userspace */
	struct delayed_work work;

	/** @core: the core */
	const struct npu_core *core;

	/** @time: when it was */
	struct timespec64 time;

	/** @fault: what happened */
	struct npu_core_fault fault;

	/** @client: &drm_file.client_id of the owner */
	u64 client;

	/** @ctx: the context, as DRM_IOCTL_NPU_CTX_QUERY would tell it */
	struct drm_npu_ctx_query ctx;

	/** @result: the job, as far as it got */
	struct drm_npu_job_result result;

	/** @num_tasks: how many it has */
	u32 num_tasks;

	/** @is_program: they are those of a program */
	bool is_program;

	/** @vm_known: @maps are the address space of the job */
	bool vm_known;

	/** @num_regs: entries of @regs */
	unsigned int num_regs;

	/** @num_streams: entries of @streams */
	unsigned int num_streams;

	/** @num_maps: mappings of the address space, of which @maps has the first */
	u32 num_maps;

	/** @regs: registers */
	struct npu_reg regs[NPU_DUMP_REGS];

	/** @maps: the address space */
	struct npu_vm_map maps[NPU_DUMP_MAPS];

	/** @streams: command streams */
	struct npu_dump_stream streams[NPU_DUMP_STREAMS];
};

static void print_job(struct drm_printer *p, const struct npu_coredump *dump)
{
	const struct drm_npu_job_result *result = &dump->result;
	const struct drm_npu_ctx_query *ctx = &dump->ctx;

	drm_printf(p, "client: %llu\n", dump->client);
	drm_printf(p, "vm: %u\n", ctx->vm_id);
	drm_printf(p, "class: %u\n", ctx->sched_class);
	drm_printf(p, "priority: %d\n", ctx->priority);
	drm_printf(p, "core-mask: %#llx\n", ctx->core_mask);
	drm_printf(p, "timeout-ms: %u\n", ctx->timeout_ms);
	drm_printf(p, "hw-time-ns: %llu\n", ctx->hw_time_ns);
	drm_printf(p, "jobs-submitted: %llu\n", ctx->jobs_submitted);
	drm_printf(p, "jobs-done: %llu\n", ctx->jobs_done);
	drm_printf(p, "job: %llu\n", result->job);
	drm_printf(p, "program: %u\n", dump->is_program);
	drm_printf(p, "start-ns: %llu\n", result->start_ns);
	drm_printf(p, "tasks: %u\n", dump->num_tasks);
	drm_printf(p, "task: %u\n", result->tasks_done);
}

static void print_registers(struct drm_printer *p, const struct npu_coredump *dump)
{
	drm_printf(p, "registers: %u\n", dump->num_regs);
	for (unsigned int i = 0; i < dump->num_regs; i++) {
		const struct npu_reg *reg = &dump->regs[i];

		drm_printf(p, "  group %u %#06x: %#010x\n", reg->group, reg->offset,
			   reg->value);
	}
}

static void print_stream(struct drm_printer *p, const struct npu_dump_stream *stream)
{
	size_t count = stream->size / sizeof(stream->words[0]);

	drm_printf(p, "  task %u at %#010x, %u bytes, ends with unit %u%s\n",
		   stream->index, stream->task.cmd_va, stream->task.cmd_size,
		   stream->task.done_unit, stream->task.follows ? ", follows" : "");
	for (size_t i = 0; i < count; i++)
		drm_printf(p, "%s%016llx%s", i % 4 ? " " : "    ",
			   le64_to_cpu(stream->words[i]),
			   i % 4 == 3 || i == count - 1 ? "\n" : "");
}

static void print_maps(struct drm_printer *p, const struct npu_coredump *dump)
{
	static const char * const places[] = {
		[NPU_VM_MAP_ABSENT] = "absent",
		[NPU_VM_MAP_SYSTEM] = "system",
		[NPU_VM_MAP_SRAM] = "sram",
		[NPU_VM_MAP_FOREIGN] = "foreign",
	};

	if (!dump->vm_known) {
		drm_puts(p, "maps: unknown\n");
		return;
	}
	drm_printf(p, "maps: %u\n", dump->num_maps);
	for (u32 i = 0; i < min_t(u32, dump->num_maps, NPU_DUMP_MAPS); i++) {
		const struct npu_vm_map *map = &dump->maps[i];

		drm_printf(p, "  %#010llx-%#010llx %s %s offset %#llx of %#llx, flags %#x%s\n",
			   map->va, map->va + map->size, map->readonly ? "r-" : "rw",
			   places[map->place], map->offset, map->bo_size,
			   map->bo_flags, map->kernel ? ", program" : "");
	}
}

static size_t print(const struct npu_coredump *dump, char *text, size_t size)
{
	struct drm_print_iterator iter = { .data = text, .remain = size };
	struct drm_printer printer = drm_coredump_printer(&iter), *p = &printer;
	const struct npu_core *core = dump->core;

	drm_printf(p, "npu-coredump: %u\n", NPU_DUMP_VERSION);
	drm_printf(p, "kernel: %s\n", init_utsname()->release);
	drm_printf(p, "time: %lld.%09ld\n", (s64)dump->time.tv_sec, dump->time.tv_nsec);
	drm_printf(p, "family: %s\n", core->npu->ip->family);
	drm_printf(p, "hw-version: %#x\n", core->npu->hw_version);
	drm_printf(p, "core: %u\n", core->index);
	drm_printf(p, "error: %d\n", dump->fault.error);
	drm_printf(p, "fault-va: %#llx\n", dump->fault.va);
	drm_printf(p, "fault-flags: %#x\n", dump->fault.flags);
	print_job(p, dump);
	print_registers(p, dump);
	drm_printf(p, "streams: %u\n", dump->num_streams);
	for (unsigned int i = 0; i < dump->num_streams; i++)
		print_stream(p, &dump->streams[i]);
	print_maps(p, dump);

	return size - iter.remain;
}

static void npu_coredump_work(struct work_struct *work)
{
	struct npu_coredump *dump = container_of(to_delayed_work(work),
						 struct npu_coredump, work);
	size_t size = print(dump, NULL, INT_MAX);
	char *text = vmalloc(size + 1);

	if (text) {
		print(dump, text, size + 1);
		dev_coredumpv(dump->core->dev, text, size, GFP_KERNEL);
	}
	clear_bit_unlock(0, &dump->busy);
}

static void npu_coredump_fini(struct drm_device *drm, void *data)
{
	vfree(data);
}

/**
 * npu_coredump_init() - prepare for dumps
 * @npu: the device
 *
 * Return: 0 or -ENOMEM.
 */
int npu_coredump_init(struct npu_device *npu)
{
	if (!IS_ENABLED(CONFIG_DEV_COREDUMP))
		return 0;

	npu->coredump = vzalloc(sizeof(*npu->coredump));
	if (!npu->coredump)
		return -ENOMEM;
	INIT_DELAYED_WORK(&npu->coredump->work, npu_coredump_work);
	return drmm_add_action_or_reset(&npu->drm, npu_coredump_fini, npu->coredump);
}

/**
 * npu_coredump_flush() - wait until what was taken is handed over
 * @npu: the device
 *
 * To be called before a core, of which there may be a dump, loses its hardware.
 */
void npu_coredump_flush(struct npu_device *npu)
{
	if (npu->coredump)
		flush_delayed_work(&npu->coredump->work);
}

static void take_job_locked(struct npu_coredump *dump, const struct npu_job *job)
{
	u32 first = job->cur ? job->cur - 1 : 0;
	u32 end = min(job->cur + 2, job->num_tasks);

	lockdep_assert_held(&job->ctx->npu->sched.lock);

	dump->client = job->base.s_fence->drm_client_id;
	npu_ctx_query_locked(job->ctx, &dump->ctx);
	npu_job_progress_locked(job, &dump->result);
	dump->num_tasks = job->num_tasks;
	dump->is_program = job->program;

	dump->num_streams = end - first;
	for (u32 i = first; i < end; i++) {
		struct npu_dump_stream *stream = &dump->streams[i - first];

		stream->index = i;
		stream->task = job->tasks[i];
		if (job->program)
			stream->task.cmd_va += npu_program_base(job->program,
								dump->core->index);
	}
}

static bool trylock_vm(struct npu_vm *vm)
{
	for (int i = 0; i < NPU_DUMP_TRIES; i++) {
		if (dma_resv_trylock(drm_gpuvm_resv(&vm->base)))
			return true;
		fsleep(NPU_DUMP_WAIT);
	}
	return false;
}

/* Programs are memory of the kernel; other streams are where the VM has them. */
static void take_streams(struct npu_coredump *dump, const struct npu_job *job)
{
	for (unsigned int i = 0; i < dump->num_streams; i++) {
		struct npu_dump_stream *stream = &dump->streams[i];
		size_t size = min_t(size_t, stream->task.cmd_size, NPU_DUMP_STREAM_SIZE);

		if (job->program)
			stream->size = npu_program_peek(job->program, stream->task.cmd_va,
							stream->words, size);
		else if (dump->vm_known)
			stream->size = npu_vm_peek_locked(job->ctx->vm,
							  stream->task.cmd_va,
							  stream->words, size);
		else
			stream->size = 0;
	}
}

/**
 * npu_coredump_take() - note what there is to know about a fault
 * @core: the core; powered, its interrupt disabled, not reset yet
 * @fault: what happened
 * @job: the job that the core was working on; it stays where it is
 *
 * Fences depend on it, so it allocates nothing.
 */
void npu_coredump_take(struct npu_core *core, const struct npu_core_fault *fault,
		       const struct npu_job *job)
{
	struct npu_coredump *dump = core->npu->coredump;
	struct npu_vm *vm = job->ctx->vm;

	lockdep_assert_held(&core->lock);

	if (!dump || test_and_set_bit_lock(0, &dump->busy))
		return;

	dump->core = core;
	dump->fault = *fault;
	ktime_get_real_ts64(&dump->time);
	scoped_guard(spinlock_irq, &core->npu->sched.lock)
		take_job_locked(dump, job);

	dump->vm_known = trylock_vm(vm);
	take_streams(dump, job);
	if (dump->vm_known) {
		dump->num_maps = npu_vm_list_locked(vm, dump->maps, NPU_DUMP_MAPS);
		dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	}
	/* Last, because it changes which registers the core shows. */
	dump->num_regs = core->npu->ip->ops->dump(core, dump->regs, NPU_DUMP_REGS);

	schedule_delayed_work(&dump->work, msecs_to_jiffies(NPU_DUMP_DELAY_MS));
}
