/* SPDX-License-Identifier: MIT */
#ifndef _UAPI_DRM_NPU_ACCEL_H_
#define _UAPI_DRM_NPU_ACCEL_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * DOC: The contract
 *
 * An NPU runs *tasks*: command streams that live in memory the NPU can reach.
 * A *job* is a list of tasks that runs in order on one core. Jobs are submitted
 * to a *context*, an ordered queue with a scheduling class and an address
 * space. An *address space* (VM) maps *buffers* at virtual addresses, and every
 * address inside a command stream is a virtual address of that VM. A *program*
 * is a list of tasks that the kernel has copied and checked once, to be run as
 * a job any number of times.
 *
 * The command stream itself is opaque here: its encoding belongs to the NPU
 * family that &drm_npu_device_info.family names.
 *
 * Rules that hold for every call:
 *
 * - Every structure may grow at its end. A structure shorter than the kernel's
 *   is read as if it were followed by zeroes; one that is longer is accepted
 *   when the part that the kernel does not know is zero, and refused with
 *   -E2BIG when it is not.
 * - Every array is a &struct drm_npu_array, so its elements may grow the same way.
 * - Fields called pad or reserved, and flag bits without a name, must be zero
 *   (-EINVAL).
 * - Sizes and addresses are bytes.
 * - Object identifiers (VMs, contexts, programs) and handles are never zero and
 *   belong to the file that created them.
 * - The driver's version (DRM_IOCTL_VERSION) is 1.x; x grows with every
 *   addition. Nothing is ever removed or given another meaning.
 *
 * Errors that any call may return, beside the ones listed with it: -EFAULT for
 * a bad pointer, -EINVAL for an unknown flag or a non-zero reserved field,
 * -ENOMEM, and -ENODEV once the device is gone.
 */

#define DRM_NPU_QUERY		0x00
#define DRM_NPU_BO_CREATE	0x01
#define DRM_NPU_BO_QUERY	0x02
#define DRM_NPU_BO_SYNC		0x03
#define DRM_NPU_BO_WAIT		0x04
#define DRM_NPU_VM_CREATE	0x05
#define DRM_NPU_VM_DESTROY	0x06
#define DRM_NPU_VM_BIND		0x07
#define DRM_NPU_CTX_CREATE	0x08
#define DRM_NPU_CTX_DESTROY	0x09
#define DRM_NPU_SUBMIT		0x0a
#define DRM_NPU_BO_MADVISE	0x0b
#define DRM_NPU_CTX_QUERY	0x0c
#define DRM_NPU_CTX_SET		0x0d
#define DRM_NPU_JOB_QUERY	0x0e
#define DRM_NPU_PROGRAM_CREATE	0x0f
#define DRM_NPU_PROGRAM_DESTROY	0x10

/**
 * struct drm_npu_array - an array of structures in the caller's memory
 */
struct drm_npu_array {
	/**
	 * @stride: bytes from one element to the next; at least the size of
	 * the first version of the element (-EINVAL). May be zero only
	 * together with @count.
	 */
	__u32 stride;

	/** @count: elements in the array; each call states its limit (-E2BIG). */
	__u32 count;

	/** @ptr: address of the first element; must be zero when @count is. */
	__u64 ptr;
};

/**
 * enum drm_npu_query_type - what DRM_IOCTL_NPU_QUERY tells
 */
enum drm_npu_query_type {
	/** @DRM_NPU_QUERY_DEVICE: a &struct drm_npu_device_info */
	DRM_NPU_QUERY_DEVICE = 0,

	/**
	 * @DRM_NPU_QUERY_CORES: one &struct drm_npu_core_info for each of
	 * &drm_npu_device_info.num_cores cores, all of the same size, which is
	 * that of the answer divided by the number of cores
	 */
	DRM_NPU_QUERY_CORES = 1,

	/** @DRM_NPU_QUERY_SRAM: a &struct drm_npu_sram_info */
	DRM_NPU_QUERY_SRAM = 2,

	/** @DRM_NPU_QUERY_CLOCK: a &struct drm_npu_clock_info */
	DRM_NPU_QUERY_CLOCK = 3,
};

/**
 * struct drm_npu_query - argument of DRM_IOCTL_NPU_QUERY
 *
 * Fills a buffer with facts about the device. At most @size bytes are written,
 * and @size comes back as the full length of the answer: called with @ptr zero,
 * it tells how much room is needed.
 *
 * Errors: -EINVAL unknown @type; @ptr zero with @size non-zero.
 */
struct drm_npu_query {
	/** @type: one of &enum drm_npu_query_type */
	__u32 type;

	/** @size: in: bytes at @ptr; out: bytes of the whole answer */
	__u32 size;

	/** @ptr: where the answer goes, or zero to learn its size */
	__u64 ptr;
};

/**
 * struct drm_npu_device_info - answer to DRM_NPU_QUERY_DEVICE
 */
struct drm_npu_device_info {
	/**
	 * @family: name of the command-stream encoding, NUL-terminated and
	 * zero-filled
	 */
	__u8 family[16];

	/** @hw_version: version as the hardware reports it */
	__u32 hw_version;

	/** @num_cores: cores the device has, usable at this moment or not */
	__u32 num_cores;

	/** @core_mask: cores usable at this moment, bit n for core n */
	__u64 core_mask;

	/** @va_start: first address that may be mapped */
	__u64 va_start;

	/** @va_end: first address behind the last that may be mapped */
	__u64 va_end;

	/** @page_size: unit of mappings and buffer sizes, in bytes */
	__u64 page_size;

	/** @max_bo_size: largest buffer, in bytes */
	__u64 max_bo_size;

	/** @cmd_align: alignment of a command stream, in bytes */
	__u32 cmd_align;

	/** @max_cmd_size: longest command stream of one task, in bytes */
	__u32 max_cmd_size;

	/** @max_jobs: jobs in one submit */
	__u32 max_jobs;

	/** @max_tasks: tasks in one job */
	__u32 max_tasks;

	/** @max_syncs: fences in one job */
	__u32 max_syncs;

	/** @max_buffers: listed buffers in one job */
	__u32 max_buffers;

	/** @max_binds: operations in one DRM_IOCTL_NPU_VM_BIND */
	__u32 max_binds;

	/** @max_vms: address spaces one file may have */
	__u32 max_vms;

	/** @max_ctxs: contexts one file may have */
	__u32 max_ctxs;

	/** @max_queued: jobs one context may have unfinished */
	__u32 max_queued;

	/**
	 * @timeout_ms: a job whose hardware makes no progress for this long is
	 * hung, in milliseconds, unless its context says otherwise
	 */
	__u32 timeout_ms;

	/**
	 * @max_queued_tasks: tasks that the unfinished jobs of one context may
	 * have, those of programs not counted; zero before version 1.1
	 */
	__u32 max_queued_tasks;

	/** @max_programs: programs one file may have */
	__u32 max_programs;

	/** @max_program_size: command memory of one program, in bytes */
	__u32 max_program_size;

	/** @max_patches: places of a program that a run may patch */
	__u32 max_patches;

	/**
	 * @max_results: how many of the jobs of a context that have ended last
	 * DRM_IOCTL_NPU_JOB_QUERY knows; it knows all that have not ended
	 */
	__u32 max_results;

	/**
	 * @class_mask: classes the caller may use, bit n for value n of
	 * &enum drm_npu_class
	 */
	__u32 class_mask;

	/** @max_priority: highest of &enum drm_npu_priority the caller may use */
	__s32 max_priority;

	/**
	 * @min_timeout_ms: shortest &drm_npu_ctx_create.timeout_ms, in
	 * milliseconds; zero before version 1.2
	 */
	__u32 min_timeout_ms;

	/** @max_timeout_ms: longest &drm_npu_ctx_create.timeout_ms */
	__u32 max_timeout_ms;
};

/**
 * struct drm_npu_core_info - one element of the answer to DRM_NPU_QUERY_CORES
 */
struct drm_npu_core_info {
	/** @clock_hz: rate of the compute clock at this moment, in Hz */
	__u64 clock_hz;

	/** @usable: 1 when jobs can run on the core now, 0 when it is gone */
	__u32 usable;

	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_npu_sram_info - answer to DRM_NPU_QUERY_SRAM
 *
 * All of it is zero on a device without on-chip memory. A buffer need not be
 * contiguous there, so there is no fragmentation to ask about.
 */
struct drm_npu_sram_info {
	/** @size: bytes of on-chip memory that the device has */
	__u64 size;

	/** @free: bytes that no buffer uses at this moment */
	__u64 free;

	/**
	 * @largest: size of the largest DRM_NPU_BO_SRAM buffer for which there
	 * is room at this moment: @free, and what DRM_NPU_BO_SRAM_PREFERRED
	 * buffers would give up. The limit of a cgroup may be lower.
	 */
	__u64 largest;
};

/**
 * struct drm_npu_clock_info - answer to DRM_NPU_QUERY_CLOCK
 *
 * The times of jobs are read from a clock that nobody adjusts. This is one
 * moment on that clock and on others, to convert between them.
 */
struct drm_npu_clock_info {
	/** @hw_ns: the clock of jobs (CLOCK_MONOTONIC_RAW), in nanoseconds */
	__u64 hw_ns;

	/** @monotonic_ns: CLOCK_MONOTONIC, in nanoseconds */
	__u64 monotonic_ns;

	/** @boottime_ns: CLOCK_BOOTTIME, in nanoseconds */
	__u64 boottime_ns;
};

/**
 * define DRM_NPU_BO_WC - CPU mappings are write-combined instead of cached
 *
 * So are those of buffers that are, or may be, in on-chip memory.
 */
#define DRM_NPU_BO_WC		(1 << 0)
/**
 * define DRM_NPU_BO_SRAM - in on-chip memory, for as long as the buffer exists
 *
 * -ENOSPC when there is no room. Not together with DRM_NPU_BO_SRAM_PREFERRED or
 * DRM_NPU_BO_RESIDENT. Such a buffer cannot be exported.
 */
#define DRM_NPU_BO_SRAM		(1 << 1)
/**
 * define DRM_NPU_BO_SRAM_PREFERRED - in on-chip memory while there is room
 *
 * Otherwise in system memory. The buffer makes room for DRM_NPU_BO_SRAM buffers
 * and for preferred ones of higher priority, and returns with a later submit to
 * its VM when there is room again. Its addresses and its content stay the same.
 * It has to be private to a VM.
 */
#define DRM_NPU_BO_SRAM_PREFERRED	(1 << 2)
/**
 * define DRM_NPU_BO_RESIDENT - in memory for as long as it is bound
 *
 * The memory is not reclaimed, whatever the pressure. Counts against
 * RLIMIT_MEMLOCK, from creation, unless the caller has CAP_IPC_LOCK.
 */
#define DRM_NPU_BO_RESIDENT	(1 << 3)

/**
 * struct drm_npu_bo_create - argument of DRM_IOCTL_NPU_BO_CREATE
 *
 * Creates a zeroed buffer. Without flags it is in system memory, which may be
 * reclaimed under pressure while no job uses it; it is restored, with its
 * content, before the next job of a VM it is bound in.
 *
 * Errors: -EINVAL @size is zero, flags that exclude each other, a preferred
 * buffer without @vm_id, or a @priority for another; -E2BIG @size is above
 * &drm_npu_device_info.max_bo_size; -ENOENT no such VM; -ENOSPC no room in
 * on-chip memory, or the caller's cgroup has its share of it; -EPERM
 * RLIMIT_MEMLOCK does not allow it; -EACCES @priority needs CAP_SYS_NICE;
 * -EINTR.
 */
struct drm_npu_bo_create {
	/** @size: in: bytes wanted; out: bytes given, whole pages */
	__u64 size;

	/** @flags: DRM_NPU_BO_* */
	__u32 flags;

	/**
	 * @vm_id: the only VM the buffer will be mapped in, which makes submits
	 * cheaper, or zero for a buffer that can be mapped in several VMs and
	 * exported
	 */
	__u32 vm_id;

	/** @handle: out: GEM handle */
	__u32 handle;

	/**
	 * @priority: one of &enum drm_npu_priority: which preferred buffers are
	 * in on-chip memory when there is no room for all; zero for others
	 */
	__s32 priority;
};

/**
 * enum drm_npu_placement - where a buffer is
 */
enum drm_npu_placement {
	/** @DRM_NPU_PLACEMENT_SYSTEM: in system memory */
	DRM_NPU_PLACEMENT_SYSTEM = 0,

	/** @DRM_NPU_PLACEMENT_SRAM: in on-chip memory */
	DRM_NPU_PLACEMENT_SRAM = 1,

	/** @DRM_NPU_PLACEMENT_FOREIGN: in memory of another device (dma-buf) */
	DRM_NPU_PLACEMENT_FOREIGN = 2,
};

/**
 * enum drm_npu_residency - what became of the memory of a buffer
 */
enum drm_npu_residency {
	/** @DRM_NPU_RESIDENCY_NONE: it was never used and has no memory */
	DRM_NPU_RESIDENCY_NONE = 0,

	/** @DRM_NPU_RESIDENCY_RESIDENT: it is there */
	DRM_NPU_RESIDENCY_RESIDENT = 1,

	/** @DRM_NPU_RESIDENCY_EVICTED: it was reclaimed; the content is kept */
	DRM_NPU_RESIDENCY_EVICTED = 2,

	/** @DRM_NPU_RESIDENCY_PURGED: it was reclaimed, and the content is lost */
	DRM_NPU_RESIDENCY_PURGED = 3,
};

/**
 * struct drm_npu_bo_query - argument of DRM_IOCTL_NPU_BO_QUERY
 *
 * Errors: -ENOENT no such buffer.
 */
struct drm_npu_bo_query {
	/** @handle: GEM handle */
	__u32 handle;

	/** @flags: out: DRM_NPU_BO_* the buffer was created with */
	__u32 flags;

	/** @size: out: bytes */
	__u64 size;

	/** @mmap_offset: out: offset for mmap() on the device file */
	__u64 mmap_offset;

	/** @vm_id: out: the VM the buffer is private to, or zero */
	__u32 vm_id;

	/** @pad: zero */
	__u32 pad;

	/** @placement: out: one of &enum drm_npu_placement */
	__u32 placement;

	/** @residency: out: one of &enum drm_npu_residency */
	__u32 residency;

	/** @advice: out: the last one given, one of &enum drm_npu_advice */
	__u32 advice;

	/** @priority: out: as given at creation */
	__s32 priority;
};

/**
 * enum drm_npu_advice - what becomes of the content of a buffer
 */
enum drm_npu_advice {
	/** @DRM_NPU_ADVICE_WILLNEED: it is needed; so it is after creation */
	DRM_NPU_ADVICE_WILLNEED = 0,

	/**
	 * @DRM_NPU_ADVICE_DONTNEED: it may be thrown away under memory
	 * pressure, once the jobs that use the buffer have ended
	 */
	DRM_NPU_ADVICE_DONTNEED = 1,
};

/**
 * struct drm_npu_bo_madvise - argument of DRM_IOCTL_NPU_BO_MADVISE
 *
 * Makes a buffer discardable, and takes it back. A discarded buffer has no
 * memory: jobs that access it fault, and so does the CPU (SIGBUS). Taken back
 * it can be used again as it was bound and mapped, full of zeroes.
 *
 * Errors: -ENOENT no such buffer; -EINVAL unknown @advice, or a buffer that is
 * imported, exported, resident or in on-chip memory (preferred included).
 */
struct drm_npu_bo_madvise {
	/** @handle: GEM handle */
	__u32 handle;

	/** @advice: one of &enum drm_npu_advice */
	__u32 advice;

	/**
	 * @retained: out: 1 when the content is what it was, 0 when it has been
	 * thrown away since the buffer became discardable
	 */
	__u32 retained;

	/** @pad: zero */
	__u32 pad;
};

/**
 * enum drm_npu_sync_dir - direction of one cache operation
 */
enum drm_npu_sync_dir {
	/** @DRM_NPU_SYNC_TO_DEVICE: what the CPU wrote becomes visible to the NPU */
	DRM_NPU_SYNC_TO_DEVICE = 1,

	/** @DRM_NPU_SYNC_FROM_DEVICE: what the NPU wrote becomes visible to the CPU */
	DRM_NPU_SYNC_FROM_DEVICE = 2,

	/** @DRM_NPU_SYNC_BOTH: both of the above */
	DRM_NPU_SYNC_BOTH = 3,
};

/**
 * struct drm_npu_bo_sync_op - one range to synchronise
 */
struct drm_npu_bo_sync_op {
	/** @handle: GEM handle */
	__u32 handle;

	/** @dir: one of &enum drm_npu_sync_dir */
	__u32 dir;

	/** @offset: first byte of the range */
	__u64 offset;

	/** @size: bytes in the range; zero is allowed and does nothing */
	__u64 size;
};

/**
 * struct drm_npu_bo_sync - argument of DRM_IOCTL_NPU_BO_SYNC
 *
 * Keeps CPU caches and the NPU's view of memory in step, for buffers without
 * DRM_NPU_BO_WC: call it towards the device after the CPU wrote and before the
 * submit, and from the device after the job's fence and before the CPU reads.
 * It waits for nobody; a write-combined buffer needs no call and a call for it
 * does nothing. For a buffer that was imported it does for the whole buffer what
 * DMA_BUF_IOCTL_SYNC does. All ranges are checked before the first is touched.
 *
 * Errors: -EINVAL bad direction, or a range that leaves its buffer; -ENOENT no
 * such buffer; -E2BIG more than 1024 ranges.
 */
struct drm_npu_bo_sync {
	/** @ops: array of &struct drm_npu_bo_sync_op */
	struct drm_npu_array ops;

	/** @flags: zero */
	__u32 flags;

	/** @pad: zero */
	__u32 pad;
};

/** define DRM_NPU_BO_WAIT_READ - about to read: wait for jobs that write */
#define DRM_NPU_BO_WAIT_READ	(1 << 0)
/** define DRM_NPU_BO_WAIT_WRITE - about to write: wait for every job */
#define DRM_NPU_BO_WAIT_WRITE	(1 << 1)

/**
 * struct drm_npu_bo_wait - argument of DRM_IOCTL_NPU_BO_WAIT
 *
 * Waits until the jobs that use a buffer have finished. For a buffer private to
 * a VM those are all jobs of that VM; for any other, the jobs that listed it.
 * The wait says that the jobs ended, not that they ended well: that is in the
 * error of their fences.
 *
 * Errors: -ENOENT no such buffer; -EINVAL no direction; -ETIMEDOUT the deadline
 * passed (at once, when it lies in the past); -EINTR.
 */
struct drm_npu_bo_wait {
	/** @handle: GEM handle */
	__u32 handle;

	/** @flags: DRM_NPU_BO_WAIT_* */
	__u32 flags;

	/** @deadline_ns: absolute time on CLOCK_MONOTONIC, in nanoseconds */
	__s64 deadline_ns;
};

/**
 * struct drm_npu_vm_create - argument of DRM_IOCTL_NPU_VM_CREATE
 *
 * Errors: -ENOSPC the file has &drm_npu_device_info.max_vms already.
 */
struct drm_npu_vm_create {
	/** @flags: zero */
	__u32 flags;

	/** @vm_id: out: identifier */
	__u32 vm_id;
};

/**
 * struct drm_npu_vm_destroy - argument of DRM_IOCTL_NPU_VM_DESTROY
 *
 * The identifier is gone at once. The address space itself goes with its last
 * user: contexts and unfinished jobs keep it.
 *
 * Errors: -ENOENT no such VM.
 */
struct drm_npu_vm_destroy {
	/** @vm_id: identifier */
	__u32 vm_id;

	/** @pad: zero */
	__u32 pad;
};

/**
 * enum drm_npu_bind_op_type - what one bind operation does
 */
enum drm_npu_bind_op_type {
	/**
	 * @DRM_NPU_BIND_MAP: map a range of a buffer. Refused with -EEXIST when
	 * a page of the address range is mapped already.
	 */
	DRM_NPU_BIND_MAP = 0,

	/**
	 * @DRM_NPU_BIND_UNMAP: remove whatever is mapped in the address range,
	 * splitting mappings that reach beyond it; a range without mappings is
	 * no error. Jobs that still use the range fault. Refused with -EBUSY when
	 * a program is in the range.
	 */
	DRM_NPU_BIND_UNMAP = 1,
};

/** define DRM_NPU_BIND_READONLY - the NPU may not write through this mapping */
#define DRM_NPU_BIND_READONLY	(1 << 0)
/** define DRM_NPU_BIND_AUTO - the kernel chooses the address and returns it */
#define DRM_NPU_BIND_AUTO	(1 << 1)

/**
 * struct drm_npu_bind_op - one operation of DRM_IOCTL_NPU_VM_BIND
 */
struct drm_npu_bind_op {
	/** @type: one of &enum drm_npu_bind_op_type */
	__u32 type;

	/** @flags: DRM_NPU_BIND_*; zero for an unmap */
	__u32 flags;

	/** @handle: GEM handle; zero for an unmap */
	__u32 handle;

	/** @pad: zero */
	__u32 pad;

	/** @bo_offset: first byte of the buffer, page aligned; zero for an unmap */
	__u64 bo_offset;

	/**
	 * @va: address, page aligned, between va_start and va_end of
	 * &struct drm_npu_device_info. With DRM_NPU_BIND_AUTO in: zero, out: the
	 * address chosen.
	 */
	__u64 va;

	/** @size: bytes, whole pages, not zero */
	__u64 size;
};

/**
 * struct drm_npu_vm_bind - argument of DRM_IOCTL_NPU_VM_BIND
 *
 * Operations are done in order and are complete when the call returns: a job
 * submitted afterwards sees them. When one fails, the ones before it stay, the
 * ones from it on are not done, and &drm_npu_array.count of @ops comes back as
 * the number done. Malformed operations are found before the first is done.
 *
 * Errors: -ENOENT no such VM or buffer; -EINVAL misaligned or outside the VM or
 * the buffer, or a buffer that is private to another VM or discardable; -EEXIST
 * the range is mapped; -EBUSY the range holds a program; -ENOSPC no room for an
 * address chosen by the kernel, or the VM has 65536 mappings already; -E2BIG
 * more than &drm_npu_device_info.max_binds operations; -EINTR.
 */
struct drm_npu_vm_bind {
	/** @vm_id: identifier */
	__u32 vm_id;

	/** @flags: zero */
	__u32 flags;

	/** @ops: array of &struct drm_npu_bind_op */
	struct drm_npu_array ops;
};

/**
 * enum drm_npu_class - how a context wants its jobs scheduled
 *
 * A job makes way for one of a better class between two of its tasks. Contexts
 * of any class get a core for one task when they have waited for 100 ms.
 */
enum drm_npu_class {
	/** @DRM_NPU_CLASS_BALANCED: neither of the others */
	DRM_NPU_CLASS_BALANCED = 0,

	/** @DRM_NPU_CLASS_LATENCY: before all others; needs CAP_SYS_NICE */
	DRM_NPU_CLASS_LATENCY = 1,

	/** @DRM_NPU_CLASS_THROUGHPUT: behind all others */
	DRM_NPU_CLASS_THROUGHPUT = 2,
};

/**
 * enum drm_npu_priority - order of contexts of one class
 *
 * Contexts of one file run in the order of their priorities. Between files of
 * one class the cores are shared by time, which counts more or less depending on
 * the priority.
 */
enum drm_npu_priority {
	/** @DRM_NPU_PRIORITY_LOW: time counts four times */
	DRM_NPU_PRIORITY_LOW = -1,

	/** @DRM_NPU_PRIORITY_NORMAL: the default */
	DRM_NPU_PRIORITY_NORMAL = 0,

	/** @DRM_NPU_PRIORITY_HIGH: time counts a quarter; needs CAP_SYS_NICE */
	DRM_NPU_PRIORITY_HIGH = 1,
};

/**
 * struct drm_npu_ctx_create - argument of DRM_IOCTL_NPU_CTX_CREATE
 *
 * A context is one ordered queue: its jobs start and finish in the order they
 * were submitted. Jobs of different contexts run at the same time on different
 * cores, also when both belong to one file.
 *
 * A context with a job that hung or faulted is banned: jobs it has queued end
 * with -ECANCELED and it accepts no more. Other contexts go on.
 *
 * Errors: -ENOENT no such VM; -EINVAL unknown class or priority, no usable bit
 * in @core_mask, or a @timeout_ms that &struct drm_npu_device_info does not
 * allow; -EACCES class or priority needs CAP_SYS_NICE; -ENOSPC the file has
 * &drm_npu_device_info.max_ctxs already.
 */
struct drm_npu_ctx_create {
	/** @vm_id: the address space of all its jobs */
	__u32 vm_id;

	/** @flags: zero */
	__u32 flags;

	/** @sched_class: one of &enum drm_npu_class */
	__u32 sched_class;

	/** @priority: one of &enum drm_npu_priority */
	__s32 priority;

	/** @core_mask: cores its jobs may use, bit n for core n; zero for any */
	__u64 core_mask;

	/** @ctx_id: out: identifier */
	__u32 ctx_id;

	/**
	 * @timeout_ms: its jobs are hung when their hardware makes no progress
	 * for this long, in milliseconds; zero for
	 * &drm_npu_device_info.timeout_ms. Has to be zero before version 1.2.
	 */
	__u32 timeout_ms;
};

/**
 * struct drm_npu_ctx_destroy - argument of DRM_IOCTL_NPU_CTX_DESTROY
 *
 * The identifier is gone at once; jobs already queued still run.
 *
 * Errors: -ENOENT no such context.
 */
struct drm_npu_ctx_destroy {
	/** @ctx_id: identifier */
	__u32 ctx_id;

	/** @pad: zero */
	__u32 pad;
};

/**
 * enum drm_npu_ctx_state - what a context is good for
 */
enum drm_npu_ctx_state {
	/** @DRM_NPU_CTX_READY: it takes jobs and runs them */
	DRM_NPU_CTX_READY = 0,

	/** @DRM_NPU_CTX_BANNED: one of its jobs hung or faulted */
	DRM_NPU_CTX_BANNED = 1,
};

/** define DRM_NPU_FAULT_WRITE - the access that failed was a write */
#define DRM_NPU_FAULT_WRITE	(1 << 0)
/**
 * define DRM_NPU_FAULT_STREAM - the command stream has changed registers that
 * belong to the kernel, those of the interrupt for instance
 */
#define DRM_NPU_FAULT_STREAM	(1 << 1)

/**
 * struct drm_npu_ctx_query - argument of DRM_IOCTL_NPU_CTX_QUERY
 *
 * Errors: -ENOENT no such context.
 */
struct drm_npu_ctx_query {
	/** @ctx_id: identifier */
	__u32 ctx_id;

	/** @state: out: one of &enum drm_npu_ctx_state */
	__u32 state;

	/** @vm_id: out: identifier that its VM had when it was created */
	__u32 vm_id;

	/** @sched_class: out: one of &enum drm_npu_class */
	__u32 sched_class;

	/** @priority: out: one of &enum drm_npu_priority */
	__s32 priority;

	/** @fault_error: out: why it was banned: the error of @fault_job, or 0 */
	__s32 fault_error;

	/** @core_mask: out: cores its jobs may use */
	__u64 core_mask;

	/** @hw_time_ns: out: time cores spent on its jobs so far, in nanoseconds */
	__u64 hw_time_ns;

	/** @jobs_submitted: out: jobs submitted so far, the id of the last one */
	__u64 jobs_submitted;

	/** @jobs_done: out: jobs that ended without an error */
	__u64 jobs_done;

	/** @jobs_failed: out: jobs that ended with one, for whatever reason */
	__u64 jobs_failed;

	/** @fault_job: out: the job it was banned for, or zero */
	__u64 fault_job;

	/** @fault_va: out: for -EFAULT, the address the job could not access */
	__u64 fault_va;

	/** @fault_task: out: index of the task in @fault_job */
	__u32 fault_task;

	/** @fault_core: out: the core it ran on */
	__u32 fault_core;

	/** @fault_flags: out: DRM_NPU_FAULT_* */
	__u32 fault_flags;

	/** @timeout_ms: out: how long its jobs may be without progress */
	__u32 timeout_ms;
};

/** define DRM_NPU_CTX_SET_CLASS - set &drm_npu_ctx_set.sched_class */
#define DRM_NPU_CTX_SET_CLASS		(1 << 0)
/** define DRM_NPU_CTX_SET_PRIORITY - set &drm_npu_ctx_set.priority */
#define DRM_NPU_CTX_SET_PRIORITY	(1 << 1)
/** define DRM_NPU_CTX_SET_CORE_MASK - set &drm_npu_ctx_set.core_mask */
#define DRM_NPU_CTX_SET_CORE_MASK	(1 << 2)
/** define DRM_NPU_CTX_SET_TIMEOUT - set &drm_npu_ctx_set.timeout_ms */
#define DRM_NPU_CTX_SET_TIMEOUT		(1 << 3)

/**
 * struct drm_npu_ctx_set - argument of DRM_IOCTL_NPU_CTX_SET
 *
 * Changes what DRM_IOCTL_NPU_CTX_CREATE has set, for jobs that have not been given
 * a core: all that @flags names, or nothing. Fields that are not named must be zero.
 *
 * Errors: as for DRM_IOCTL_NPU_CTX_CREATE; -ENOENT no such context.
 */
struct drm_npu_ctx_set {
	/** @ctx_id: identifier */
	__u32 ctx_id;

	/** @flags: DRM_NPU_CTX_SET_*, at least one */
	__u32 flags;

	/** @sched_class: one of &enum drm_npu_class */
	__u32 sched_class;

	/** @priority: one of &enum drm_npu_priority */
	__s32 priority;

	/** @core_mask: cores its jobs may use, bit n for core n; zero for any */
	__u64 core_mask;

	/** @timeout_ms: as for creation; a job that runs obeys it, too */
	__u32 timeout_ms;

	/** @pad: zero */
	__u32 pad;
};

/**
 * define DRM_NPU_TASK_FOLLOWS - the task needs what the one before it has left
 *
 * In registers or in buffers of the core: nothing else may run between the two.
 * Without it, another job may have the core between two tasks, and the next one
 * may run on another core. Not for the first task of a job (-EINVAL).
 */
#define DRM_NPU_TASK_FOLLOWS	(1 << 0)

/**
 * struct drm_npu_task - one command stream
 */
struct drm_npu_task {
	/**
	 * @cmd_va: address of the command stream, aligned to
	 * &drm_npu_device_info.cmd_align. The whole stream must lie in one
	 * mapping of the context's VM (-EINVAL).
	 */
	__u64 cmd_va;

	/**
	 * @cmd_size: bytes of the stream, not zero, a multiple of 8, at most
	 * &drm_npu_device_info.max_cmd_size
	 */
	__u32 cmd_size;

	/** @flags: DRM_NPU_TASK_* */
	__u32 flags;

	/**
	 * @done_unit: the unit of the core whose completion ends the task, as
	 * the family's documentation numbers them; zero is the one that ends a
	 * convolution
	 */
	__u32 done_unit;

	/** @pad: zero */
	__u32 pad;
};

/** define DRM_NPU_SYNC_WAIT - the job starts after this fence */
#define DRM_NPU_SYNC_WAIT	(1 << 0)
/** define DRM_NPU_SYNC_SIGNAL - the fence of this job goes here */
#define DRM_NPU_SYNC_SIGNAL	(1 << 1)

/**
 * struct drm_npu_sync - a syncobj a job waits for or signals
 */
struct drm_npu_sync {
	/** @handle: syncobj handle */
	__u32 handle;

	/** @flags: exactly one of DRM_NPU_SYNC_WAIT, DRM_NPU_SYNC_SIGNAL */
	__u32 flags;

	/** @point: point of a timeline syncobj, or zero for a binary one */
	__u64 point;
};

/** define DRM_NPU_BUFFER_READ - the job reads the buffer */
#define DRM_NPU_BUFFER_READ	(1 << 0)
/** define DRM_NPU_BUFFER_WRITE - the job writes the buffer */
#define DRM_NPU_BUFFER_WRITE	(1 << 1)

/**
 * struct drm_npu_buffer - a buffer that takes part in implicit synchronisation
 */
struct drm_npu_buffer {
	/** @handle: GEM handle */
	__u32 handle;

	/** @flags: DRM_NPU_BUFFER_*, at least one */
	__u32 flags;
};

/**
 * struct drm_npu_patch - a place in a program that each run may change
 */
struct drm_npu_patch {
	/**
	 * @offset: byte offset in the program's command memory of an address, 32
	 * bits, little endian. It may have any alignment but must not cross a
	 * multiple of 8.
	 */
	__u64 offset;

	/** @flags: zero */
	__u32 flags;

	/** @pad: zero */
	__u32 pad;
};

/**
 * define DRM_NPU_PROGRAM_LINKED - its tasks run as DRM_NPU_JOB_LINKED says
 *
 * The kernel writes the links into its copy, where the family's documentation
 * says that they belong; the streams have to leave room for them (-EINVAL).
 */
#define DRM_NPU_PROGRAM_LINKED	(1 << 0)

/**
 * struct drm_npu_program_create - argument of DRM_IOCTL_NPU_PROGRAM_CREATE
 *
 * Copies command streams into memory of the kernel's, where neither the caller
 * nor the NPU can change them, and maps them in a VM at addresses the kernel
 * chooses; the VM lasts as long as its programs. The memory is resident and
 * counts against RLIMIT_MEMLOCK unless the caller has CAP_IPC_LOCK; a program
 * with patches is there once for each core.
 *
 * Errors: -ENOENT no such VM; -EINVAL @cmds_size is zero or not a multiple of
 * &drm_npu_device_info.cmd_align, no task, a malformed task or patch; -E2BIG
 * more than &drm_npu_device_info.max_program_size, max_tasks or max_patches;
 * -ENOSPC the file has &drm_npu_device_info.max_programs already, or the VM has
 * no room; -EPERM RLIMIT_MEMLOCK does not allow it; -EINTR.
 */
struct drm_npu_program_create {
	/** @vm_id: the VM it will run in */
	__u32 vm_id;

	/** @flags: DRM_NPU_PROGRAM_* */
	__u32 flags;

	/** @cmds: address in the caller's memory of all command streams */
	__u64 cmds;

	/** @cmds_size: bytes at @cmds */
	__u64 cmds_size;

	/**
	 * @tasks: array of &struct drm_npu_task; at least one. Their cmd_va is an
	 * offset from @cmds.
	 */
	struct drm_npu_array tasks;

	/** @patches: array of &struct drm_npu_patch */
	struct drm_npu_array patches;

	/** @program_id: out: identifier */
	__u32 program_id;

	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_npu_program_destroy - argument of DRM_IOCTL_NPU_PROGRAM_DESTROY
 *
 * The identifier is gone at once. Jobs that run it, or are queued to, still do.
 *
 * Errors: -ENOENT no such program.
 */
struct drm_npu_program_destroy {
	/** @program_id: identifier */
	__u32 program_id;

	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_npu_value - what a run writes to a place it patches
 */
struct drm_npu_value {
	/**
	 * @va: an address below &drm_npu_device_info.va_end (-EINVAL); that
	 * something is mapped there is not checked
	 */
	__u64 va;
};

/**
 * define DRM_NPU_JOB_LINKED - the hardware goes from task to task by itself
 *
 * Each command stream names the next one, as the family's documentation says;
 * the last one may. The tasks still have to be listed. That costs one interrupt
 * for many tasks, and a context that has to make way does so only every few of
 * them: the kernel may run a long list in parts. All tasks need the same
 * &drm_npu_task.done_unit (-EINVAL). Not for a job that runs a program, see
 * DRM_NPU_PROGRAM_LINKED (-EINVAL).
 */
#define DRM_NPU_JOB_LINKED	(1 << 0)

/**
 * struct drm_npu_job - one job of a submit
 *
 * The fence of a job carries its result: no error when every task finished,
 * -ETIME when it hung, -EFAULT when it accessed memory that its VM does not
 * map, -EIO when the hardware reported another error, -ECANCELED when its
 * context was banned before it could run, -ENODEV when the device went away.
 */
struct drm_npu_job {
	/**
	 * @tasks: array of &struct drm_npu_task; at least one, or none for a job
	 * that runs a program
	 */
	struct drm_npu_array tasks;

	/** @syncs: array of &struct drm_npu_sync */
	struct drm_npu_array syncs;

	/**
	 * @buffers: array of &struct drm_npu_buffer. Only buffers shared with
	 * other files or devices gain from being listed; the job may use any
	 * buffer its VM maps. A buffer may be named more than once.
	 */
	struct drm_npu_array buffers;

	/** @flags: DRM_NPU_JOB_* */
	__u32 flags;

	/**
	 * @program_id: the program to run, in the VM of the context (-EINVAL), or
	 * zero for a job that has its own tasks
	 */
	__u32 program_id;

	/**
	 * @values: array of &struct drm_npu_value: one for each patch of the
	 * program, in order, or none for what the program was created with
	 */
	struct drm_npu_array values;
};

/**
 * struct drm_npu_submit - argument of DRM_IOCTL_NPU_SUBMIT
 *
 * Queues jobs, in order, to one context: all of them or, on any error, none. A
 * job may wait for a fence that an earlier job of the same call signals. What
 * was reclaimed of the memory bound in the VM is restored first.
 *
 * Errors: -ENOENT no such context, program, syncobj or buffer; -EINVAL a
 * malformed job, or a wait for a fence that does not exist yet; -E2BIG more
 * jobs, tasks, syncs or buffers than &struct drm_npu_device_info allows; -EAGAIN
 * the context has &drm_npu_device_info.max_queued unfinished jobs, or
 * &drm_npu_device_info.max_queued_tasks tasks in them; -EIO the
 * context is banned; -ENODEV none of the context's cores is usable; -ENOMEM also
 * when not all that is bound in the VM fits in memory at once; -EINTR.
 */
struct drm_npu_submit {
	/** @ctx_id: context */
	__u32 ctx_id;

	/** @flags: zero */
	__u32 flags;

	/** @jobs: array of &struct drm_npu_job; at least one */
	struct drm_npu_array jobs;

	/**
	 * @first_job: out: id of the first of the jobs; the others follow. Ids
	 * count the jobs of a context from 1.
	 */
	__u64 first_job;
};

/**
 * enum drm_npu_job_state - how far a job is
 */
enum drm_npu_job_state {
	/**
	 * @DRM_NPU_JOB_UNKNOWN: it was never submitted, or ended more than
	 * &drm_npu_device_info.max_results jobs ago
	 */
	DRM_NPU_JOB_UNKNOWN = 0,

	/** @DRM_NPU_JOB_QUEUED: it waits for fences or for a core */
	DRM_NPU_JOB_QUEUED = 1,

	/** @DRM_NPU_JOB_RUNNING: a core works on it */
	DRM_NPU_JOB_RUNNING = 2,

	/** @DRM_NPU_JOB_ENDED: it is over, with or without an error */
	DRM_NPU_JOB_ENDED = 3,
};

/**
 * struct drm_npu_job_result - what became of a job
 *
 * Complete by the time the fence of the job signals.
 */
struct drm_npu_job_result {
	/** @job: its id */
	__u64 job;

	/** @state: one of &enum drm_npu_job_state; what follows grows with it */
	__u32 state;

	/** @error: 0, or the error of its fence, negative */
	__s32 error;

	/**
	 * @start_ns: when a core began its first task, on the clock of
	 * DRM_NPU_QUERY_CLOCK; zero if none ever did
	 */
	__u64 start_ns;

	/** @end_ns: when it ended, on the same clock */
	__u64 end_ns;

	/** @fault_va: for -EFAULT, the address it could not access */
	__u64 fault_va;

	/** @fault_flags: DRM_NPU_FAULT_* */
	__u32 fault_flags;

	/** @tasks_done: tasks that have ended; the index of the one that failed */
	__u32 tasks_done;

	/** @core: the core it runs or ran on, if @start_ns is not zero */
	__u32 core;

	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_npu_job_query - argument of DRM_IOCTL_NPU_JOB_QUERY
 *
 * Tells what became of jobs of one context, also when it is banned. It waits
 * for nobody; fences are for that.
 *
 * Errors: -ENOENT no such context; -EINVAL @first_job is zero; -E2BIG more than
 * &drm_npu_device_info.max_results results.
 */
struct drm_npu_job_query {
	/** @ctx_id: context */
	__u32 ctx_id;

	/** @flags: zero */
	__u32 flags;

	/** @first_job: id of the first job asked for */
	__u64 first_job;

	/**
	 * @results: array of &struct drm_npu_job_result, written for the jobs
	 * from @first_job on; what an element has beyond the kernel's is zeroed
	 */
	struct drm_npu_array results;
};

#define DRM_IOCTL_NPU_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_QUERY, struct drm_npu_query)
#define DRM_IOCTL_NPU_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_CREATE, struct drm_npu_bo_create)
#define DRM_IOCTL_NPU_BO_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_QUERY, struct drm_npu_bo_query)
#define DRM_IOCTL_NPU_BO_SYNC \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_BO_SYNC, struct drm_npu_bo_sync)
#define DRM_IOCTL_NPU_BO_WAIT \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_BO_WAIT, struct drm_npu_bo_wait)
#define DRM_IOCTL_NPU_VM_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_VM_CREATE, struct drm_npu_vm_create)
#define DRM_IOCTL_NPU_VM_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_VM_DESTROY, struct drm_npu_vm_destroy)
#define DRM_IOCTL_NPU_VM_BIND \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_VM_BIND, struct drm_npu_vm_bind)
#define DRM_IOCTL_NPU_CTX_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_CTX_CREATE, struct drm_npu_ctx_create)
#define DRM_IOCTL_NPU_CTX_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_CTX_DESTROY, struct drm_npu_ctx_destroy)
#define DRM_IOCTL_NPU_SUBMIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_SUBMIT, struct drm_npu_submit)
#define DRM_IOCTL_NPU_BO_MADVISE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_MADVISE, struct drm_npu_bo_madvise)
#define DRM_IOCTL_NPU_CTX_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_CTX_QUERY, struct drm_npu_ctx_query)
#define DRM_IOCTL_NPU_CTX_SET \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_CTX_SET, struct drm_npu_ctx_set)
#define DRM_IOCTL_NPU_JOB_QUERY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_JOB_QUERY, struct drm_npu_job_query)
#define DRM_IOCTL_NPU_PROGRAM_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_PROGRAM_CREATE, \
		 struct drm_npu_program_create)
#define DRM_IOCTL_NPU_PROGRAM_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_PROGRAM_DESTROY, \
		struct drm_npu_program_destroy)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_DRM_NPU_ACCEL_H_ */
