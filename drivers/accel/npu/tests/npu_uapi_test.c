// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of what userspace sees: the layout of the structures, the numbers of the
 * calls, and what is checked of every array.
 *
 * Programs that were built with an old header go on working as long as nothing
 * in these tables changes; new fields go to the end of a structure and get a new
 * line here.
 */

#include <linux/align.h>
#include <linux/module.h>
#include <linux/stddef.h>

#include <kunit/test.h>

#include <drm/drm.h>
#include <drm/npu_accel.h>

#include "npu_drv.h"

/* A field of a structure, or behind the last one the structure itself */
struct item {
	const char *name;
	u64 offset;
	u64 size;
	u64 want_offset;
	u64 want_size;
	bool end;
};

#define FIELD(at, bytes, ...) {						\
	.name = #__VA_ARGS__,						\
	.offset = offsetof(__VA_ARGS__),				\
	.size = sizeof_field(__VA_ARGS__),				\
	.want_offset = at,						\
	.want_size = bytes,						\
}

#define END(bytes, ...) {						\
	.name = #__VA_ARGS__,						\
	.offset = sizeof(__VA_ARGS__),					\
	.want_offset = bytes,						\
	.end = true,							\
}

static const struct item items[] = {
	FIELD(0, 4, struct drm_npu_array, stride),
	FIELD(4, 4, struct drm_npu_array, count),
	FIELD(8, 8, struct drm_npu_array, ptr),
	END(16, struct drm_npu_array),
	FIELD(0, 4, struct drm_npu_query, type),
	FIELD(4, 4, struct drm_npu_query, size),
	FIELD(8, 8, struct drm_npu_query, ptr),
	END(16, struct drm_npu_query),
	FIELD(0, 16, struct drm_npu_device_info, family),
	FIELD(16, 4, struct drm_npu_device_info, hw_version),
	FIELD(20, 4, struct drm_npu_device_info, num_cores),
	FIELD(24, 8, struct drm_npu_device_info, core_mask),
	FIELD(32, 8, struct drm_npu_device_info, va_start),
	FIELD(40, 8, struct drm_npu_device_info, va_end),
	FIELD(48, 8, struct drm_npu_device_info, page_size),
	FIELD(56, 8, struct drm_npu_device_info, max_bo_size),
	FIELD(64, 4, struct drm_npu_device_info, cmd_align),
	FIELD(68, 4, struct drm_npu_device_info, max_cmd_size),
	FIELD(72, 4, struct drm_npu_device_info, max_jobs),
	FIELD(76, 4, struct drm_npu_device_info, max_tasks),
	FIELD(80, 4, struct drm_npu_device_info, max_syncs),
	FIELD(84, 4, struct drm_npu_device_info, max_buffers),
	FIELD(88, 4, struct drm_npu_device_info, max_binds),
	FIELD(92, 4, struct drm_npu_device_info, max_vms),
	FIELD(96, 4, struct drm_npu_device_info, max_ctxs),
	FIELD(100, 4, struct drm_npu_device_info, max_queued),
	FIELD(104, 4, struct drm_npu_device_info, timeout_ms),
	FIELD(108, 4, struct drm_npu_device_info, max_queued_tasks),
	FIELD(112, 4, struct drm_npu_device_info, max_programs),
	FIELD(116, 4, struct drm_npu_device_info, max_program_size),
	FIELD(120, 4, struct drm_npu_device_info, max_patches),
	FIELD(124, 4, struct drm_npu_device_info, max_results),
	FIELD(128, 4, struct drm_npu_device_info, class_mask),
	FIELD(132, 4, struct drm_npu_device_info, max_priority),
	FIELD(136, 4, struct drm_npu_device_info, min_timeout_ms),
	FIELD(140, 4, struct drm_npu_device_info, max_timeout_ms),
	END(144, struct drm_npu_device_info),
	FIELD(0, 8, struct drm_npu_core_info, clock_hz),
	FIELD(8, 4, struct drm_npu_core_info, usable),
	FIELD(12, 4, struct drm_npu_core_info, pad),
	END(16, struct drm_npu_core_info),
	FIELD(0, 8, struct drm_npu_sram_info, size),
	FIELD(8, 8, struct drm_npu_sram_info, free),
	FIELD(16, 8, struct drm_npu_sram_info, largest),
	END(24, struct drm_npu_sram_info),
	FIELD(0, 8, struct drm_npu_clock_info, hw_ns),
	FIELD(8, 8, struct drm_npu_clock_info, monotonic_ns),
	FIELD(16, 8, struct drm_npu_clock_info, boottime_ns),
	END(24, struct drm_npu_clock_info),
	FIELD(0, 8, struct drm_npu_bo_create, size),
	FIELD(8, 4, struct drm_npu_bo_create, flags),
	FIELD(12, 4, struct drm_npu_bo_create, vm_id),
	FIELD(16, 4, struct drm_npu_bo_create, handle),
	FIELD(20, 4, struct drm_npu_bo_create, priority),
	END(24, struct drm_npu_bo_create),
	FIELD(0, 4, struct drm_npu_bo_query, handle),
	FIELD(4, 4, struct drm_npu_bo_query, flags),
	FIELD(8, 8, struct drm_npu_bo_query, size),
	FIELD(16, 8, struct drm_npu_bo_query, mmap_offset),
	FIELD(24, 4, struct drm_npu_bo_query, vm_id),
	FIELD(28, 4, struct drm_npu_bo_query, pad),
	FIELD(32, 4, struct drm_npu_bo_query, placement),
	FIELD(36, 4, struct drm_npu_bo_query, residency),
	FIELD(40, 4, struct drm_npu_bo_query, advice),
	FIELD(44, 4, struct drm_npu_bo_query, priority),
	END(48, struct drm_npu_bo_query),
	FIELD(0, 4, struct drm_npu_bo_madvise, handle),
	FIELD(4, 4, struct drm_npu_bo_madvise, advice),
	FIELD(8, 4, struct drm_npu_bo_madvise, retained),
	FIELD(12, 4, struct drm_npu_bo_madvise, pad),
	END(16, struct drm_npu_bo_madvise),
	FIELD(0, 4, struct drm_npu_bo_sync_op, handle),
	FIELD(4, 4, struct drm_npu_bo_sync_op, dir),
	FIELD(8, 8, struct drm_npu_bo_sync_op, offset),
	FIELD(16, 8, struct drm_npu_bo_sync_op, size),
	END(24, struct drm_npu_bo_sync_op),
	FIELD(0, 16, struct drm_npu_bo_sync, ops),
	FIELD(16, 4, struct drm_npu_bo_sync, flags),
	FIELD(20, 4, struct drm_npu_bo_sync, pad),
	END(24, struct drm_npu_bo_sync),
	FIELD(0, 4, struct drm_npu_bo_wait, handle),
	FIELD(4, 4, struct drm_npu_bo_wait, flags),
	FIELD(8, 8, struct drm_npu_bo_wait, deadline_ns),
	END(16, struct drm_npu_bo_wait),
	FIELD(0, 4, struct drm_npu_vm_create, flags),
	FIELD(4, 4, struct drm_npu_vm_create, vm_id),
	END(8, struct drm_npu_vm_create),
	FIELD(0, 4, struct drm_npu_vm_destroy, vm_id),
	FIELD(4, 4, struct drm_npu_vm_destroy, pad),
	END(8, struct drm_npu_vm_destroy),
	FIELD(0, 4, struct drm_npu_bind_op, type),
	FIELD(4, 4, struct drm_npu_bind_op, flags),
	FIELD(8, 4, struct drm_npu_bind_op, handle),
	FIELD(12, 4, struct drm_npu_bind_op, pad),
	FIELD(16, 8, struct drm_npu_bind_op, bo_offset),
	FIELD(24, 8, struct drm_npu_bind_op, va),
	FIELD(32, 8, struct drm_npu_bind_op, size),
	END(40, struct drm_npu_bind_op),
	FIELD(0, 4, struct drm_npu_vm_bind, vm_id),
	FIELD(4, 4, struct drm_npu_vm_bind, flags),
	FIELD(8, 16, struct drm_npu_vm_bind, ops),
	END(24, struct drm_npu_vm_bind),
	FIELD(0, 4, struct drm_npu_ctx_create, vm_id),
	FIELD(4, 4, struct drm_npu_ctx_create, flags),
	FIELD(8, 4, struct drm_npu_ctx_create, sched_class),
	FIELD(12, 4, struct drm_npu_ctx_create, priority),
	FIELD(16, 8, struct drm_npu_ctx_create, core_mask),
	FIELD(24, 4, struct drm_npu_ctx_create, ctx_id),
	FIELD(28, 4, struct drm_npu_ctx_create, timeout_ms),
	END(32, struct drm_npu_ctx_create),
	FIELD(0, 4, struct drm_npu_ctx_destroy, ctx_id),
	FIELD(4, 4, struct drm_npu_ctx_destroy, pad),
	END(8, struct drm_npu_ctx_destroy),
	FIELD(0, 4, struct drm_npu_ctx_query, ctx_id),
	FIELD(4, 4, struct drm_npu_ctx_query, state),
	FIELD(8, 4, struct drm_npu_ctx_query, vm_id),
	FIELD(12, 4, struct drm_npu_ctx_query, sched_class),
	FIELD(16, 4, struct drm_npu_ctx_query, priority),
	FIELD(20, 4, struct drm_npu_ctx_query, fault_error),
	FIELD(24, 8, struct drm_npu_ctx_query, core_mask),
	FIELD(32, 8, struct drm_npu_ctx_query, hw_time_ns),
	FIELD(40, 8, struct drm_npu_ctx_query, jobs_submitted),
	FIELD(48, 8, struct drm_npu_ctx_query, jobs_done),
	FIELD(56, 8, struct drm_npu_ctx_query, jobs_failed),
	FIELD(64, 8, struct drm_npu_ctx_query, fault_job),
	FIELD(72, 8, struct drm_npu_ctx_query, fault_va),
	FIELD(80, 4, struct drm_npu_ctx_query, fault_task),
	FIELD(84, 4, struct drm_npu_ctx_query, fault_core),
	FIELD(88, 4, struct drm_npu_ctx_query, fault_flags),
	FIELD(92, 4, struct drm_npu_ctx_query, timeout_ms),
	END(96, struct drm_npu_ctx_query),
	FIELD(0, 4, struct drm_npu_ctx_set, ctx_id),
	FIELD(4, 4, struct drm_npu_ctx_set, flags),
	FIELD(8, 4, struct drm_npu_ctx_set, sched_class),
	FIELD(12, 4, struct drm_npu_ctx_set, priority),
	FIELD(16, 8, struct drm_npu_ctx_set, core_mask),
	FIELD(24, 4, struct drm_npu_ctx_set, timeout_ms),
	FIELD(28, 4, struct drm_npu_ctx_set, pad),
	END(32, struct drm_npu_ctx_set),
	FIELD(0, 8, struct drm_npu_task, cmd_va),
	FIELD(8, 4, struct drm_npu_task, cmd_size),
	FIELD(12, 4, struct drm_npu_task, flags),
	FIELD(16, 4, struct drm_npu_task, done_unit),
	FIELD(20, 4, struct drm_npu_task, pad),
	END(24, struct drm_npu_task),
	FIELD(0, 4, struct drm_npu_sync, handle),
	FIELD(4, 4, struct drm_npu_sync, flags),
	FIELD(8, 8, struct drm_npu_sync, point),
	END(16, struct drm_npu_sync),
	FIELD(0, 4, struct drm_npu_buffer, handle),
	FIELD(4, 4, struct drm_npu_buffer, flags),
	END(8, struct drm_npu_buffer),
	FIELD(0, 8, struct drm_npu_patch, offset),
	FIELD(8, 4, struct drm_npu_patch, flags),
	FIELD(12, 4, struct drm_npu_patch, pad),
	END(16, struct drm_npu_patch),
	FIELD(0, 4, struct drm_npu_program_create, vm_id),
	FIELD(4, 4, struct drm_npu_program_create, flags),
	FIELD(8, 8, struct drm_npu_program_create, cmds),
	FIELD(16, 8, struct drm_npu_program_create, cmds_size),
	FIELD(24, 16, struct drm_npu_program_create, tasks),
	FIELD(40, 16, struct drm_npu_program_create, patches),
	FIELD(56, 4, struct drm_npu_program_create, program_id),
	FIELD(60, 4, struct drm_npu_program_create, pad),
	END(64, struct drm_npu_program_create),
	FIELD(0, 4, struct drm_npu_program_destroy, program_id),
	FIELD(4, 4, struct drm_npu_program_destroy, pad),
	END(8, struct drm_npu_program_destroy),
	FIELD(0, 8, struct drm_npu_value, va),
	END(8, struct drm_npu_value),
	FIELD(0, 16, struct drm_npu_job, tasks),
	FIELD(16, 16, struct drm_npu_job, syncs),
	FIELD(32, 16, struct drm_npu_job, buffers),
	FIELD(48, 4, struct drm_npu_job, flags),
	FIELD(52, 4, struct drm_npu_job, program_id),
	FIELD(56, 16, struct drm_npu_job, values),
	END(72, struct drm_npu_job),
	FIELD(0, 4, struct drm_npu_submit, ctx_id),
	FIELD(4, 4, struct drm_npu_submit, flags),
	FIELD(8, 16, struct drm_npu_submit, jobs),
	FIELD(24, 8, struct drm_npu_submit, first_job),
	END(32, struct drm_npu_submit),
	FIELD(0, 8, struct drm_npu_job_result, job),
	FIELD(8, 4, struct drm_npu_job_result, state),
	FIELD(12, 4, struct drm_npu_job_result, error),
	FIELD(16, 8, struct drm_npu_job_result, start_ns),
	FIELD(24, 8, struct drm_npu_job_result, end_ns),
	FIELD(32, 8, struct drm_npu_job_result, fault_va),
	FIELD(40, 4, struct drm_npu_job_result, fault_flags),
	FIELD(44, 4, struct drm_npu_job_result, tasks_done),
	FIELD(48, 4, struct drm_npu_job_result, core),
	FIELD(52, 4, struct drm_npu_job_result, pad),
	END(56, struct drm_npu_job_result),
	FIELD(0, 4, struct drm_npu_job_query, ctx_id),
	FIELD(4, 4, struct drm_npu_job_query, flags),
	FIELD(8, 8, struct drm_npu_job_query, first_job),
	FIELD(16, 16, struct drm_npu_job_query, results),
	END(32, struct drm_npu_job_query),
};

/* Every field is where it has always been. */
static void test_layout(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
		const struct item *item = &items[i];

		KUNIT_EXPECT_EQ_MSG(test, item->want_offset, item->offset, "%s",
				    item->name);
		KUNIT_EXPECT_EQ_MSG(test, item->want_size, item->size, "%s",
				    item->name);
	}
}

/*
 * The layout is the same for 32-bit programs, so there is nothing to translate:
 * every field sits at a multiple of its size, without a hole before it, and
 * every structure is a multiple of 8 bytes long. Whether the ABI aligns 64-bit
 * numbers to 4 or to 8 bytes then makes no difference, and there is no field
 * whose size depends on the ABI, like a pointer or a long.
 */
static void test_layout_of_32_bit(struct kunit *test)
{
	u64 end = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(items); i++) {
		const struct item *item = &items[i];

		KUNIT_EXPECT_EQ_MSG(test, end, item->offset, "%s", item->name);
		if (item->end) {
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(item->offset, 8), "%s",
					      item->name);
			end = 0;
			continue;
		}
		KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(item->offset, min(item->size, 8)),
				      "%s", item->name);
		end = item->offset + item->size;
	}
}

#define CALL(name, number) { #name, DRM_IOCTL_NPU_##name, number }

static const struct {
	const char *name;
	u64 number;
	u64 want;
} calls[] = {
	CALL(QUERY, 0xc0106440),
	CALL(BO_CREATE, 0xc0186441),
	CALL(BO_QUERY, 0xc0306442),
	CALL(BO_SYNC, 0x40186443),
	CALL(BO_WAIT, 0x40106444),
	CALL(VM_CREATE, 0xc0086445),
	CALL(VM_DESTROY, 0x40086446),
	CALL(VM_BIND, 0xc0186447),
	CALL(CTX_CREATE, 0xc0206448),
	CALL(CTX_DESTROY, 0x40086449),
	CALL(SUBMIT, 0xc020644a),
	CALL(BO_MADVISE, 0xc010644b),
	CALL(CTX_QUERY, 0xc060644c),
	CALL(CTX_SET, 0x4020644d),
	CALL(JOB_QUERY, 0x4020644e),
	CALL(PROGRAM_CREATE, 0xc040644f),
	CALL(PROGRAM_DESTROY, 0x40086450),
};

/* Calls have the numbers they have always had; only sizes may grow. */
static void test_calls(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		KUNIT_EXPECT_EQ_MSG(test, calls[i].want, calls[i].number, "%s",
				    calls[i].name);
}

static const struct {
	struct drm_npu_array array;
	int want;
} arrays[] = {
	/* Nothing, with or without a stride */
	{ { 0, 0, 0 }, 0 },
	{ { 24, 0, 0 }, 0 },
	{ { 4096, 0, 0 }, 0 },
	{ { 23, 0, 0 }, -EINVAL },
	{ { 0, 0, 8 }, -EINVAL },
	{ { 24, 0, 8 }, -EINVAL },
	/* Elements, of this version, of later ones, of none */
	{ { 24, 1, 8 }, 0 },
	{ { 24, 10, 8 }, 0 },
	{ { 24, 11, 8 }, -E2BIG },
	{ { 24, U32_MAX, 8 }, -E2BIG },
	{ { 4096, 10, 8 }, 0 },
	{ { PAGE_SIZE + 8, 1, 8 }, -E2BIG },
	{ { U32_MAX, 1, 8 }, -E2BIG },
	{ { 0, 1, 8 }, -EINVAL },
	{ { 23, 1, 8 }, -EINVAL },
	{ { 0, 11, 8 }, -EINVAL },
};

static void test_arrays(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(arrays); i++)
		KUNIT_EXPECT_EQ_MSG(test, arrays[i].want,
				    npu_array_check(&arrays[i].array, 24, 10),
				    "array %u", i);
}

static struct kunit_case npu_uapi_cases[] = {
	KUNIT_CASE(test_layout),
	KUNIT_CASE(test_layout_of_32_bit),
	KUNIT_CASE(test_calls),
	KUNIT_CASE(test_arrays),
	{ }
};

static struct kunit_suite npu_uapi_suite = {
	.name = "npu_uapi",
	.test_cases = npu_uapi_cases,
};

kunit_test_suite(npu_uapi_suite);

MODULE_DESCRIPTION("Tests of the NPU driver's interface for userspace");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
