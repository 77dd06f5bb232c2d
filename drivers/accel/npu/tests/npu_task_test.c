// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the checks of tasks and patches, of cutting and linking lists of
 * tasks, of patching, and of the places that results of jobs are kept in.
 */

#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/unaligned.h>

#include <kunit/test.h>

#include <drm/npu_accel.h>

#include "npu_device.h"
#include "npu_ip.h"
#include "npu_program.h"
#include "npu_result.h"
#include "npu_task.h"

static const struct npu_ip ip = {
	.cmd_align = 16,
	.max_cmd_size = SZ_1M,
	.num_done_units = 2,
};

/* An address space of 32 bits, and a program of 1 KiB */
#define VM	SZ_4G
#define PROGRAM	SZ_1K

static const struct {
	struct drm_npu_task task;
	u64 end;
	const char *want;
	bool later;
} tasks[] = {
	{ { .cmd_va = 0, .cmd_size = 8 }, VM, NULL },
	{ { .cmd_va = 16, .cmd_size = 8, .done_unit = 1 }, VM, NULL },
	{ { .cmd_va = VM - 16, .cmd_size = 8 }, VM, NULL },
	{ { .cmd_va = VM - 16, .cmd_size = 16 }, VM, NULL },
	{ { .cmd_va = VM - SZ_1M, .cmd_size = SZ_1M }, VM, NULL },
	{ { .cmd_va = 0, .cmd_size = PROGRAM }, PROGRAM, NULL },
	{ { .cmd_va = PROGRAM - 32, .cmd_size = 24 }, PROGRAM, NULL },

	{ { .cmd_size = 8, .flags = DRM_NPU_TASK_FOLLOWS }, VM, NULL, true },
	{ { .cmd_size = 8, .flags = DRM_NPU_TASK_FOLLOWS }, VM, "nothing to follow" },
	{ { .cmd_size = 8, .flags = 2 }, VM, "reserved field is set" },
	{ { .cmd_size = 8, .flags = BIT(31) }, VM, "reserved field is set" },
	{ { .cmd_size = 8, .pad = 1 }, VM, "reserved field is set" },

	{ { .cmd_size = 0 }, VM, "bad size" },
	{ { .cmd_size = 4 }, VM, "bad size" },
	{ { .cmd_size = 12 }, VM, "bad size" },
	{ { .cmd_size = SZ_1M + 8 }, VM, "bad size" },
	{ { .cmd_size = U32_MAX - 7 }, VM, "bad size" },

	{ { .cmd_va = 1, .cmd_size = 8 }, VM, "bad address" },
	{ { .cmd_va = 8, .cmd_size = 8 }, VM, "bad address" },
	{ { .cmd_va = VM, .cmd_size = 8 }, VM, "bad address" },
	{ { .cmd_va = VM - 16, .cmd_size = 24 }, VM, "bad address" },
	{ { .cmd_va = VM + 16, .cmd_size = 8 }, VM, "bad address" },
	{ { .cmd_va = -16ull, .cmd_size = 16 }, VM, "bad address" },
	{ { .cmd_va = 16, .cmd_size = PROGRAM }, PROGRAM, "bad address" },
	{ { .cmd_va = PROGRAM - 16, .cmd_size = 24 }, PROGRAM, "bad address" },
	{ { .cmd_va = PROGRAM, .cmd_size = 8 }, PROGRAM, "bad address" },

	{ { .cmd_size = 8, .done_unit = 2 }, VM, "unknown unit" },
	{ { .cmd_size = 8, .done_unit = U32_MAX }, VM, "unknown unit" },
};

static void expect_answer(struct kunit *test, unsigned int i, const char *want,
			  const char *got)
{
	if (want && got)
		KUNIT_EXPECT_STREQ_MSG(test, want, got, "case %u", i);
	else
		KUNIT_EXPECT_PTR_EQ_MSG(test, want, got, "case %u", i);
}

static void test_tasks(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(tasks); i++) {
		const struct drm_npu_task *in = &tasks[i].task;
		struct npu_task out = { .cmd_va = 1, .cmd_size = 1, .done_unit = 99 };

		expect_answer(test, i, tasks[i].want,
			      npu_task_check(&ip, in, !tasks[i].later,
					     tasks[i].end, &out));
		/* Taken over when it is right, and left alone when it is not. */
		KUNIT_EXPECT_EQ(test, tasks[i].want ? 1 : in->cmd_va, out.cmd_va);
		KUNIT_EXPECT_EQ(test, tasks[i].want ? 1 : in->cmd_size, out.cmd_size);
		KUNIT_EXPECT_EQ(test, tasks[i].want ? 99 : in->done_unit, out.done_unit);
	}
}

/* Up to six tasks, 'f' for one that follows the one before it */
static const struct {
	const char *tasks;
	u32 count;
	u32 want;
} cuts[] = {
	{ "-", 1, 1 }, { "-", 9, 1 }, { "f", 1, 1 },
	{ "------", 1, 1 }, { "------", 4, 4 }, { "------", U32_MAX, 6 },
	/* Less than it should be, so that nothing is separated */
	{ "---ff-", 5, 5 }, { "---ff-", 4, 2 }, { "---ff-", 3, 2 }, { "---ff-", 2, 2 },
	{ "--f-f-", 2, 1 }, { "-----f", 5, 4 },
	/* More than it should be, when nothing less does */
	{ "-fff--", 1, 4 }, { "-fff--", 3, 4 }, { "-fff--", 5, 5 },
	{ "-fffff", 1, 6 }, { "-fffff", 6, 6 },
	/* What comes first is not separated from what is done already. */
	{ "fff---", 1, 3 }, { "fff---", 2, 3 }, { "fff---", 4, 4 },
};

static void test_cuts(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
		u32 left = strlen(cuts[i].tasks);
		struct npu_task tasks[6] = { };

		for (u32 n = 0; n < left; n++)
			tasks[n].follows = cuts[i].tasks[n] == 'f';
		KUNIT_EXPECT_EQ_MSG(test, cuts[i].want,
				    npu_tasks_cut(tasks, left, cuts[i].count),
				    "%u of %s", cuts[i].count, cuts[i].tasks);
	}
}

static void test_linked(struct kunit *test)
{
	struct npu_task tasks[4] = { };

	KUNIT_EXPECT_NULL(test, npu_tasks_check_linked(tasks, 1));
	KUNIT_EXPECT_NULL(test, npu_tasks_check_linked(tasks, 4));
	tasks[3].done_unit = 1;
	KUNIT_EXPECT_NULL(test, npu_tasks_check_linked(tasks, 3));
	KUNIT_EXPECT_STREQ(test, "they end in different units",
			   npu_tasks_check_linked(tasks, 4));
	for (unsigned int i = 0; i < 3; i++)
		tasks[i].done_unit = 1;
	KUNIT_EXPECT_NULL(test, npu_tasks_check_linked(tasks, 4));
}

static const struct {
	struct drm_npu_patch patch;
	const char *want;
} patches[] = {
	{ { .offset = 0 }, NULL },
	{ { .offset = 1 }, NULL },
	{ { .offset = 2 }, NULL },
	{ { .offset = 4 }, NULL },
	{ { .offset = 8 }, NULL },
	{ { .offset = PROGRAM - 8 }, NULL },
	{ { .offset = PROGRAM - 4 }, NULL },

	{ { .offset = 5 }, "in two words" },
	{ { .offset = 7 }, "in two words" },
	{ { .offset = PROGRAM - 3 }, "in two words" },
	{ { .offset = PROGRAM - 1 }, "in two words" },

	{ { .offset = PROGRAM }, "behind the end" },
	{ { .offset = VM }, "behind the end" },
	{ { .offset = -4ull }, "behind the end" },

	{ { .flags = 1 }, "reserved field is set" },
	{ { .pad = 1 }, "reserved field is set" },
};

static void test_patches(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(patches); i++)
		expect_answer(test, i, patches[i].want,
			      npu_patch_check(&patches[i].patch, PROGRAM));
}

#define COPIES	3
#define STRIDE	64

static void patch(struct npu_program *program, unsigned int core, const u32 *values)
{
	guard(spinlock_irq)(&program->npu->sched.lock);
	npu_program_patch_locked(program, core, values);
}

/* What a copy has to look like. */
static void expect_copy(struct kunit *test, const struct npu_program *program,
			unsigned int core, const u32 *values)
{
	u8 want[STRIDE];

	for (unsigned int i = 0; i < STRIDE; i++)
		want[i] = i;
	for (unsigned int i = 0; values && i < program->num_patches; i++)
		put_unaligned_le32(values[i], want + program->patches[i].offset);
	KUNIT_EXPECT_MEMEQ_MSG(test, program->cmds + core * STRIDE, want, STRIDE,
			       "copy of core %u", core);
}

/* Each core has its copy, and a run without values finds it as it was made. */
static void test_patching(struct kunit *test)
{
	/* Alone, unaligned, at the end, and two that overlap */
	struct npu_patch patches[] = { { 0 }, { 18 }, { 60 }, { 32 }, { 34 } };
	const u32 a[] = { 0x11223344, 0xdeadbeef, 0, U32_MAX, 0x01020304 };
	const u32 b[] = { 1, 2, 3, 4, 5 };
	struct npu_program program = {
		.stride = STRIDE,
		.patches = patches,
		.num_patches = ARRAY_SIZE(patches),
	};
	u8 *cmds;

	program.npu = kunit_kzalloc(test, sizeof(*program.npu), GFP_KERNEL);
	cmds = kunit_kzalloc(test, COPIES * STRIDE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, program.npu);
	KUNIT_ASSERT_NOT_NULL(test, cmds);
	npu_sched_init(&program.npu->sched, COPIES);
	program.cmds = cmds;
	for (unsigned int i = 0; i < COPIES * STRIDE; i++)
		cmds[i] = i % STRIDE;
	for (unsigned int i = 0; i < ARRAY_SIZE(patches); i++)
		patches[i].value = get_unaligned_le32(cmds + patches[i].offset);

	patch(&program, 1, a);
	expect_copy(test, &program, 0, NULL);
	expect_copy(test, &program, 1, a);
	expect_copy(test, &program, 2, NULL);

	patch(&program, 2, b);
	patch(&program, 0, NULL);
	expect_copy(test, &program, 0, NULL);
	expect_copy(test, &program, 1, a);
	expect_copy(test, &program, 2, b);

	patch(&program, 1, b);
	expect_copy(test, &program, 1, b);
	patch(&program, 1, NULL);
	expect_copy(test, &program, 1, NULL);
	expect_copy(test, &program, 2, b);
	KUNIT_EXPECT_EQ(test, BIT(2), program.dirty);
}

/*
 * Three streams that can be linked, of 6, 4 and 5 words, in copies of 128 bytes; the
 * last one has what a client may have left where its link belongs.
 */
#define LINKED_STRIDE	128
#define LINKED_WORDS	(LINKED_STRIDE / sizeof(u64))
#define LINKED_VA	0xff000000u

#define FENCE		0x0041000000000000ull
#define ENABLE		0x00810000001d0008ull
#define BASE(va)	(0x0101000000000010ull | (u64)(va) << 16)
#define AMOUNTS(units)	(0x0101000000000014ull | (u64)(units) << 16)

static const u64 linked_cmds[LINKED_WORDS] = {
	[0] = 0x1001000000014020ull, 0x1001000000024024ull, 0, 0, FENCE, ENABLE,
	[6] = BASE(0x1230), AMOUNTS(7), FENCE, ENABLE,
	[10] = 0x1001000000034030ull, BASE(0x4560), 0, FENCE, ENABLE,
};

static const struct npu_task linked_tasks[] = {
	{ .cmd_va = 0, .cmd_size = 48 },
	{ .cmd_va = 48, .cmd_size = 32 },
	{ .cmd_va = 80, .cmd_size = 40 },
};

struct linked {
	struct npu_program program;
	struct npu_device npu;
	struct npu_task tasks[8];
	struct npu_patch patches[1];
	u64 cmds[COPIES][LINKED_WORDS];
};

/* As it was created, with @copies of its streams */
static struct linked *linked_of(struct kunit *test, unsigned int copies)
{
	struct linked *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, l);
	l->npu.ip = &npu_rk3588_ip;
	l->npu.num_cores = COPIES;
	l->program = (struct npu_program){
		.npu = &l->npu,
		.va = LINKED_VA,
		.cmds = l->cmds,
		.size = LINKED_STRIDE,
		.stride = copies > 1 ? LINKED_STRIDE : 0,
		.patches = l->patches,
		.num_patches = copies > 1,
		.tasks = l->tasks,
		.num_tasks = ARRAY_SIZE(linked_tasks),
		.linked = true,
	};
	memcpy(l->tasks, linked_tasks, sizeof(linked_tasks));
	for (unsigned int i = 0; i < copies; i++)
		for (unsigned int n = 0; n < LINKED_WORDS; n++)
			put_unaligned_le64(linked_cmds[n], &l->cmds[i][n]);
	return l;
}

/* Its links lead to its own streams, and nothing else has changed. */
static void expect_links(struct kunit *test, const struct linked *l, unsigned int copy)
{
	u32 va = LINKED_VA + copy * LINKED_STRIDE;
	u64 want[LINKED_WORDS];

	memcpy(want, linked_cmds, sizeof(want));
	want[2] = BASE(va + 48);
	want[3] = AMOUNTS(1);
	want[6] = BASE(va + 80);
	want[7] = AMOUNTS(2);
	for (unsigned int n = 0; n < LINKED_WORDS; n++)
		KUNIT_EXPECT_EQ_MSG(test, want[n], get_unaligned_le64(&l->cmds[copy][n]),
				    "word %u of copy %u", n, copy);
}

static void test_links(struct kunit *test)
{
	struct linked *l = linked_of(test, 1);

	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
	expect_links(test, l, 0);
	KUNIT_EXPECT_EQ(test, 0, l->cmds[1][0]);

	l = linked_of(test, COPIES);
	l->patches[0].offset = 2;
	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
	for (unsigned int i = 0; i < COPIES; i++)
		expect_links(test, l, i);
}

/* A stream may be run again and again, if the same one comes behind it. */
static void test_links_of_loops(struct kunit *test)
{
	struct linked *l = linked_of(test, 1);

	for (unsigned int i = 0; i < 8; i++)
		l->tasks[i] = linked_tasks[1];
	l->program.num_tasks = 8;
	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
	KUNIT_EXPECT_EQ(test, BASE(LINKED_VA + 48), get_unaligned_le64(&l->cmds[0][6]));
	KUNIT_EXPECT_EQ(test, AMOUNTS(1), get_unaligned_le64(&l->cmds[0][7]));

	l->tasks[4] = linked_tasks[0];
	KUNIT_EXPECT_STREQ(test, "is followed by different ones",
			   npu_program_link(&l->program));
	/* The last one has nobody behind it. */
	l->program.num_tasks = 5;
	KUNIT_EXPECT_STREQ(test, "is followed by different ones",
			   npu_program_link(&l->program));
	l->program.num_tasks = 4;
	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
	l->tasks[1] = linked_tasks[0];
	l->program.num_tasks = 3;
	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
}

static const struct {
	unsigned int word;
	u64 value;
	const char *want;
} no_links[] = {
	{ 2, 0x1001000000014020ull, "has no room for a link" },
	{ 3, 0x1001000000014020ull, "has no room for a link" },
	{ 2, AMOUNTS(1), "has no room for a link" },
	{ 3, BASE(16), "has no room for a link" },
	{ 6, FENCE, "has no room for a link" },
	{ 5, 0, "does not end with a start" },
	{ 9, 0x0101000000010008ull, "does not end with a start" },
	{ 9, 0x0081000000010010ull, "does not end with a start" },
	/* The last one needs no link. */
	{ 11, FENCE, NULL },
	{ 14, 0, NULL },
	{ 0, BASE(16), NULL },
};

static void test_links_need_room(struct kunit *test)
{
	struct linked *l;

	for (unsigned int i = 0; i < ARRAY_SIZE(no_links); i++) {
		l = linked_of(test, 1);
		put_unaligned_le64(no_links[i].value, &l->cmds[0][no_links[i].word]);
		expect_answer(test, i, no_links[i].want, npu_program_link(&l->program));
	}

	l = linked_of(test, 1);
	l->tasks[0].cmd_size = 24;
	KUNIT_EXPECT_STREQ(test, "too short for a link", npu_program_link(&l->program));
	l->program.num_tasks = 1;
	KUNIT_EXPECT_NULL(test, npu_program_link(&l->program));
}

static void test_links_are_not_patched(struct kunit *test)
{
	for (unsigned int offset = 0; offset <= LINKED_STRIDE - sizeof(u32); offset++) {
		unsigned int word = offset / sizeof(u64);
		/* Where links are now, or what looks like one at the very end */
		bool link = word == 2 || word == 3 || word == 6 || word == 7 ||
			    word == 11;
		struct linked *l = linked_of(test, COPIES);

		l->patches[0].offset = offset;
		expect_answer(test, offset, link ? "has its link patched" : NULL,
			      npu_program_link(&l->program));
	}
}

KUNIT_DEFINE_ACTION_WRAPPER(results_fini, npu_results_fini, struct npu_results *);

static struct npu_results *results_of(struct kunit *test)
{
	struct npu_results *results;

	results = kunit_kzalloc(test, sizeof(*results), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, results);
	KUNIT_ASSERT_EQ(test, 0, npu_results_init(results));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, results_fini, results));
	return results;
}

static void end_job(struct npu_results *results, u64 job, int error)
{
	struct drm_npu_job_result result = {
		.job = job,
		.state = DRM_NPU_JOB_ENDED,
		.error = error,
		.end_ns = 1000 + job,
	};

	npu_results_add(results, &result);
}

static void expect_state(struct kunit *test, struct npu_results *results, u64 job,
			 enum drm_npu_job_state want)
{
	struct drm_npu_job_result result;

	npu_results_get(results, job, &result);
	KUNIT_EXPECT_EQ(test, job, result.job);
	KUNIT_EXPECT_EQ_MSG(test, want, result.state, "job %llu", job);
	KUNIT_EXPECT_EQ(test, want == DRM_NPU_JOB_ENDED ? 1000 + job : 0,
			result.end_ns);
}

/* What is known of jobs on their way from nowhere to the end. */
static void test_results(struct kunit *test)
{
	struct npu_results *results = results_of(test);
	struct drm_npu_job_result result;

	expect_state(test, results, 0, DRM_NPU_JOB_UNKNOWN);
	expect_state(test, results, 1, DRM_NPU_JOB_UNKNOWN);

	results->last_job = 3;
	for (u64 job = 1; job <= 3; job++)
		expect_state(test, results, job, DRM_NPU_JOB_QUEUED);
	expect_state(test, results, 0, DRM_NPU_JOB_UNKNOWN);
	expect_state(test, results, 4, DRM_NPU_JOB_UNKNOWN);
	expect_state(test, results, U64_MAX, DRM_NPU_JOB_UNKNOWN);

	/* A context that is stopped ends what waits before what runs. */
	end_job(results, 2, -ECANCELED);
	end_job(results, 3, -ECANCELED);
	expect_state(test, results, 1, DRM_NPU_JOB_QUEUED);
	expect_state(test, results, 2, DRM_NPU_JOB_ENDED);
	end_job(results, 1, 0);
	expect_state(test, results, 1, DRM_NPU_JOB_ENDED);

	npu_results_get(results, 2, &result);
	KUNIT_EXPECT_EQ(test, -ECANCELED, result.error);
	npu_results_get(results, 1, &result);
	KUNIT_EXPECT_EQ(test, 0, result.error);
	KUNIT_EXPECT_EQ(test, 1, results->done);
	KUNIT_EXPECT_EQ(test, 2, results->failed);
}

/* With as many jobs unfinished as there may be, as many that ended are known. */
static void test_results_wrap(struct kunit *test)
{
	struct npu_results *results = results_of(test);
	const u64 base = U32_MAX - 100ull;

	results->last_job = base + NPU_MAX_RESULTS;
	for (u64 i = 1; i <= NPU_MAX_RESULTS; i++)
		end_job(results, base + i, 0);
	results->last_job += NPU_MAX_QUEUED;

	expect_state(test, results, base, DRM_NPU_JOB_UNKNOWN);
	for (u64 i = 1; i <= NPU_MAX_RESULTS; i++)
		expect_state(test, results, base + i, DRM_NPU_JOB_ENDED);
	for (u64 i = 1; i <= NPU_MAX_QUEUED; i++)
		expect_state(test, results, base + NPU_MAX_RESULTS + i,
			     DRM_NPU_JOB_QUEUED);

	/* The next one that ends takes the place of the oldest. */
	end_job(results, base + NPU_MAX_RESULTS + 1, 0);
	expect_state(test, results, base + 1, DRM_NPU_JOB_UNKNOWN);
	expect_state(test, results, base + 2, DRM_NPU_JOB_ENDED);
	expect_state(test, results, base + NPU_MAX_RESULTS + 1, DRM_NPU_JOB_ENDED);
}

static struct kunit_case npu_task_cases[] = {
	KUNIT_CASE(test_tasks),
	KUNIT_CASE(test_cuts),
	KUNIT_CASE(test_linked),
	KUNIT_CASE(test_patches),
	KUNIT_CASE(test_patching),
	KUNIT_CASE(test_links),
	KUNIT_CASE(test_links_of_loops),
	KUNIT_CASE(test_links_need_room),
	KUNIT_CASE(test_links_are_not_patched),
	KUNIT_CASE(test_results),
	KUNIT_CASE(test_results_wrap),
	{ }
};

static struct kunit_suite npu_task_suite = {
	.name = "npu_task",
	.test_cases = npu_task_cases,
};

kunit_test_suite(npu_task_suite);

MODULE_DESCRIPTION("Tests of the NPU driver's tasks and results");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
