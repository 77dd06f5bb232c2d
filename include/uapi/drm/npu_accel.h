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
 * address inside a command stream is a virtual address of that VM.
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
 * - Object identifiers (VMs, contexts) and handles are never zero and belong to
 *   the file that created them.
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
	 * &drm_npu_device_info.num_cores cores
	 */
	DRM_NPU_QUERY_CORES = 1,
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
	 * hung, in milliseconds
	 */
	__u32 timeout_ms;

	/** @pad: zero */
	__u32 pad;
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

/** define DRM_NPU_BO_WC - CPU mappings are write-combined instead of cached */
#define DRM_NPU_BO_WC		(1 << 0)

/**
 * struct drm_npu_bo_create - argument of DRM_IOCTL_NPU_BO_CREATE
 *
 * Creates a zeroed buffer in system memory.
 *
 * Errors: -EINVAL @size is zero; -E2BIG @size is above
 * &drm_npu_device_info.max_bo_size; -ENOENT no such VM.
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

	/** @pad: zero */
	__u32 pad;
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
 * does nothing. All ranges are checked before the first is touched.
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
	 * no error. Jobs that still use the range fault.
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
 * the buffer, or a buffer that is private to another VM; -EEXIST the range is
 * mapped; -ENOSPC no room for an address chosen by the kernel, or the VM has
 * 65536 mappings already; -E2BIG more than &drm_npu_device_info.max_binds
 * operations.
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
 */
enum drm_npu_priority {
	/** @DRM_NPU_PRIORITY_LOW: behind the others */
	DRM_NPU_PRIORITY_LOW = -1,

	/** @DRM_NPU_PRIORITY_NORMAL: the default */
	DRM_NPU_PRIORITY_NORMAL = 0,

	/** @DRM_NPU_PRIORITY_HIGH: before the others; needs CAP_SYS_NICE */
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
 * Errors: -ENOENT no such VM; -EINVAL unknown class or priority, or no usable
 * bit in @core_mask; -EACCES class or priority needs CAP_SYS_NICE; -ENOSPC the
 * file has &drm_npu_device_info.max_ctxs already.
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

	/** @pad: zero */
	__u32 pad;
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

	/** @flags: zero */
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
 * struct drm_npu_job - one job of a submit
 *
 * The fence of a job carries its result: no error when every task finished,
 * -ETIME when it hung, -EFAULT when it accessed memory that its VM does not
 * map, -EIO when the hardware reported another error, -ECANCELED when its
 * context was banned before it could run, -ENODEV when the device went away.
 */
struct drm_npu_job {
	/** @tasks: array of &struct drm_npu_task; at least one */
	struct drm_npu_array tasks;

	/** @syncs: array of &struct drm_npu_sync */
	struct drm_npu_array syncs;

	/**
	 * @buffers: array of &struct drm_npu_buffer. Only buffers shared with
	 * other files or devices gain from being listed; the job may use any
	 * buffer its VM maps. A buffer may be named more than once.
	 */
	struct drm_npu_array buffers;

	/** @flags: zero */
	__u32 flags;

	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_npu_submit - argument of DRM_IOCTL_NPU_SUBMIT
 *
 * Queues jobs, in order, to one context: all of them or, on any error, none. A
 * job may wait for a fence that an earlier job of the same call signals.
 *
 * Errors: -ENOENT no such context, syncobj or buffer; -EINVAL a malformed job,
 * or a wait for a fence that does not exist yet; -E2BIG more jobs, tasks,
 * syncs or buffers than &struct drm_npu_device_info allows; -EAGAIN the context
 * has &drm_npu_device_info.max_queued unfinished jobs; -EIO the context is
 * banned; -ENODEV none of the context's cores is usable; -EINTR.
 */
struct drm_npu_submit {
	/** @ctx_id: context */
	__u32 ctx_id;

	/** @flags: zero */
	__u32 flags;

	/** @jobs: array of &struct drm_npu_job; at least one */
	struct drm_npu_array jobs;
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
	DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_SUBMIT, struct drm_npu_submit)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_DRM_NPU_ACCEL_H_ */
