// SPDX-License-Identifier: GPL-2.0-only
/* SUBMIT: what jobs compute, and what is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "npu_test.h"

NPU_FIXTURE(compute)

TEST_F(compute, matrix_products_are_exact)
{
	struct { uint32_t m, k, n; } shape[] = {
		{ 4, 32, 32 }, { 8, 64, 32 }, { 16, 32, 64 }, { 4, 512, 32 },
		{ 64, 64, 96 }, { 100, 96, 160 }, { 256, 32, 32 },
		{ 128, 128, 128 }, { 4, 1024, 256 }, { 32, 2048, 64 },
	};
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(shape); n++) {
		ASSERT_EQ(0, npu_work_matmul(&self->e, &w, shape[n].m,
					     shape[n].k, shape[n].n, n));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w))
			TH_LOG("%ux%ux%u", shape[n].m, shape[n].k, shape[n].n);
		npu_work_free(&self->e, &w);
	}
}

static struct rknn_conv conv_shape(uint32_t size, uint32_t ic, uint32_t oc,
				   uint32_t kernel, uint32_t stride,
				   uint32_t pad)
{
	uint32_t out = (size + 2 * pad - kernel) / stride + 1;

	return (struct rknn_conv){
		.w = size, .h = size, .ic = ic, .oc = oc,
		.kw = kernel, .kh = kernel,
		.stride = stride, .pad = pad,
		.ow = out, .oh = out,
		.scale = 17675, .shift = 24, .offset = -3,
	};
}

TEST_F(compute, convolutions_are_exact)
{
	struct { uint32_t size, ic, oc, kernel, stride, pad; } s[] = {
		{ 8, 32, 32, 3, 1, 1 }, { 8, 32, 32, 1, 1, 0 },
		{ 12, 16, 32, 3, 1, 0 }, { 16, 64, 64, 3, 2, 1 },
		{ 5, 32, 96, 5, 1, 2 }, { 24, 16, 32, 5, 2, 2 },
		{ 9, 160, 32, 3, 1, 1 }, { 32, 32, 64, 1, 2, 0 },
	};
	struct rknn_conv shape;
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(s); n++) {
		shape = conv_shape(s[n].size, s[n].ic, s[n].oc, s[n].kernel,
				   s[n].stride, s[n].pad);
		ASSERT_EQ(0, npu_work_conv(&self->e, &w, &shape, 300 + n));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w))
			TH_LOG("shape %zu", n);
		npu_work_free(&self->e, &w);
	}
}

TEST_F(compute, results_are_scaled_rounded_and_saturated)
{
	struct {
		int16_t scale;
		uint32_t shift;
		int32_t offset;
		int16_t sum;
	} s[] = {
		{ 16384, 22, 0, 0 }, { 16384, 14, 0, 0 }, { 1, 0, 0, 0 },
		{ 1, 4, 0, 0 }, { 3, 9, 100, 5 }, { -16384, 24, -128, 0 },
		{ 32767, 25, 127, -128 }, { 20000, 24, -77, 128 },
		{ 1, 8, 0, 1 }, { 16384, 30, 7, 300 },
	};
	struct rknn_conv shape;
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(s); n++) {
		shape = conv_shape(8, 32, 32, 3, 1, 1);
		shape.scale = s[n].scale;
		shape.shift = s[n].shift;
		shape.offset = s[n].offset;
		shape.sum_factor = s[n].sum;
		ASSERT_EQ(0, npu_work_conv(&self->e, &w, &shape, 400 + n));
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w))
			TH_LOG("case %zu", n);
		npu_work_free(&self->e, &w);
	}
}

TEST_F(compute, elementwise_operations_are_exact)
{
	struct { uint32_t w, h; } size[] = {
		{ 1, 1 }, { 4, 4 }, { 16, 3 }, { 7, 13 }, { 64, 64 },
	};
	struct rknn_ew shape;
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(size); n++) {
		for (shape.op = RKNN_EW_MAX; shape.op <= RKNN_EW_ADD;
		     shape.op++) {
			shape.w = size[n].w;
			shape.h = size[n].h;
			ASSERT_EQ(0, npu_work_ew(&self->e, &w, &shape,
						 500 + n));
			EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w))
				TH_LOG("%ux%u op %d", shape.w, shape.h,
				       shape.op);
			npu_work_free(&self->e, &w);
		}
	}
}

static const struct rknn_pool pool_shapes[] = {
	{ .op = RKNN_POOL_MAX, .w = 8, .h = 8, .c = 16, .kw = 2, .kh = 2,
	  .stride = 2 },
	{ .op = RKNN_POOL_MIN, .w = 8, .h = 8, .c = 16, .kw = 2, .kh = 2,
	  .stride = 2 },
	{ .op = RKNN_POOL_MAX, .w = 13, .h = 9, .c = 48, .kw = 3, .kh = 3,
	  .stride = 1 },
	{ .op = RKNN_POOL_MAX, .w = 16, .h = 16, .c = 32, .kw = 3, .kh = 2,
	  .stride = 2 },
	{ .op = RKNN_POOL_MAX, .w = 7, .h = 7, .c = 64, .kw = 7, .kh = 7,
	  .stride = 1 },
};

/* The unit that ends such a task is not the one that ends a convolution */
TEST_F(compute, pooling_is_exact)
{
	struct npu_work w;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(pool_shapes); n++) {
		ASSERT_EQ(0, npu_work_pool(&self->e, &w, &pool_shapes[n], n));
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w))
			TH_LOG("shape %zu", n);
		npu_work_free(&self->e, &w);
	}
}

TEST_F(compute, pooling_ends_by_an_interrupt)
{
	struct npu_work w;
	int64_t start;
	int i;

	ASSERT_EQ(0, npu_work_pool(&self->e, &w, &pool_shapes[0], 1));
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	start = npu_now_ns();
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w));
	}
	EXPECT_LT((npu_now_ns() - start) / 5,
		  self->e.info.timeout_ms * 1000000ll / 2)
		TH_LOG("the watchdog ended the job");
}

/* Kinds of task in every order, so that state left behind would show */
TEST_F(compute, kinds_of_task_do_not_disturb_each_other)
{
	struct rknn_conv conv = conv_shape(8, 32, 32, 3, 1, 1);
	struct rknn_ew ew = { .op = RKNN_EW_ADD, .w = 8, .h = 8 };
	unsigned int seed = 1;
	struct npu_work w[4];
	int i, n;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w[0], 16, 64, 64, 1));
	ASSERT_EQ(0, npu_work_conv(&self->e, &w[1], &conv, 2));
	ASSERT_EQ(0, npu_work_ew(&self->e, &w[2], &ew, 3));
	ASSERT_EQ(0, npu_work_pool(&self->e, &w[3], &pool_shapes[0], 4));
	for (i = 0; i < 60; i++) {
		n = npu_random(&seed) % 4;
		EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &w[n]))
			TH_LOG("round %d kind %d", i, n);
	}
}

TEST_F(compute, tasks_of_a_job_run_in_order)
{
	enum { TASKS = 32 };
	struct drm_npu_task tasks[TASKS];
	struct npu_work w[TASKS];
	uint32_t sync;
	int n;

	ASSERT_EQ(0, npu_work_chain(&self->e, w, TASKS, 600));
	for (n = 0; n < TASKS; n++)
		tasks[n] = w[n].task;
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, tasks, TASKS,
				      sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
	for (n = 0; n < TASKS; n++) {
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
	}
}

/* A job mixes tasks that end in different units */
TEST_F(compute, tasks_of_a_job_may_end_in_different_units)
{
	struct rknn_ew ew = { .op = RKNN_EW_ADD, .w = 8, .h = 8 };
	struct drm_npu_task tasks[20];
	struct npu_work w[2];
	uint32_t sync;
	int n;

	ASSERT_EQ(0, npu_work_ew(&self->e, &w[0], &ew, 3));
	ASSERT_EQ(0, npu_work_pool(&self->e, &w[1], &pool_shapes[0], 4));
	for (n = 0; n < 20; n++)
		tasks[n] = w[n % 2].task;
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &sync));
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, tasks, 20,
				      sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &w[0]));
	EXPECT_EQ(0, npu_work_check(&self->e, &w[1]));
}

TEST_F(compute, a_stream_may_have_any_position_and_an_odd_length)
{
	uint64_t page = self->e.info.page_size;
	uint32_t align = self->e.info.cmd_align;
	struct npu_work w;
	struct npu_bo cmd;
	uint64_t at;
	size_t size;
	int odd;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 77));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 2 * page, 0, 0, &cmd));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &cmd, 0));
	for (odd = 0; odd < 2; odd++) {
		if (odd) {	/* one word that does nothing, in front */
			memmove(w.stream.words + 1, w.stream.words,
				w.stream.count++ * 8);
			w.stream.words[0] = 0;
		}
		size = w.stream.count * 8;
		for (at = align; at + size <= 2 * page; at += 5 * align) {
			memcpy(cmd.map + at, w.stream.words, size);
			ASSERT_EQ(0, npu_bo_sync(self->e.fd, &cmd,
						 DRM_NPU_SYNC_TO_DEVICE));
			w.task.cmd_va = cmd.va + at;
			w.task.cmd_size = size;
			EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w))
				TH_LOG("at %llx", (unsigned long long)at);
		}
	}
	at = (2 * page - size) / align * align;
	memcpy(cmd.map + at, w.stream.words, size);
	w.task.cmd_va = cmd.va + at;
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &w))
		TH_LOG("at the very end of a mapping");
}

struct thread {
	struct npu_env e;
	unsigned int seed;
	int ret;
};

/* Its own address space and context in the file of all */
static void *thread_work(void *data)
{
	struct thread *t = data;
	struct npu_work w;
	int i, n;

	t->ret = npu_vm_create(t->e.fd, &t->e.vm);
	if (!t->ret)
		t->ret = npu_ctx_create(t->e.fd, t->e.vm, 0, &t->e.ctx);
	for (i = 0; i < 10 && !t->ret; i++) {
		t->ret = npu_work_matmul(&t->e, &w, 4 + 4 * (i % 5), 64, 64,
					 t->seed + i);
		for (n = 0; n < 5 && !t->ret; n++)
			t->ret = npu_work_run(&t->e, t->e.ctx, &w);
		npu_work_free(&t->e, &w);
	}
	return NULL;
}

TEST_F(compute, threads_share_a_file_without_harm)
{
	uint32_t count = self->e.info.max_vms - 1;
	struct thread t[6];
	pthread_t id[6];
	uint32_t n;

	if (count > ARRAY_SIZE(t))
		count = ARRAY_SIZE(t);
	for (n = 0; n < count; n++) {
		t[n] = (struct thread){ .e = self->e, .seed = n * 1000 };
		ASSERT_EQ(0, pthread_create(&id[n], NULL, thread_work, &t[n]));
	}
	for (n = 0; n < count; n++) {
		pthread_join(id[n], NULL);
		EXPECT_EQ(0, t[n].ret);
	}
}

static int process_work(unsigned int seed)
{
	struct thread t = { .seed = seed };

	if (npu_env_open(&t.e))
		return 1;
	thread_work(&t);
	npu_env_close(&t.e);
	return t.ret ? 2 : 0;
}

TEST_F(compute, processes_do_not_disturb_each_other)
{
	pid_t pid[8];
	int status;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(pid); n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			_exit(process_work(n * 77));
	}
	for (n = 0; n < ARRAY_SIZE(pid); n++) {
		ASSERT_EQ(pid[n], waitpid(pid[n], &status, 0));
		EXPECT_EQ(0, status);
	}
}

FIXTURE(submit)
{
	struct npu_env e;
	struct npu_work w;
	uint32_t sync;
};

FIXTURE_SETUP(submit)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
}

/* Whatever a test did, the context still works and so does the device */
FIXTURE_TEARDOWN(submit)
{
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	npu_env_close(&self->e);
}

static int submit_task(struct npu_env *e, const struct drm_npu_task *task)
{
	struct drm_npu_task t = *task;

	return npu_submit_tasks(e->fd, e->ctx, &t, 1, 0);
}

TEST_F(submit, jobs_and_tasks_are_needed)
{
	struct drm_npu_job job = { 0 };
	struct drm_npu_submit arg = { .ctx_id = self->e.ctx };

	EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT, &arg));
	arg.jobs.stride = sizeof(job);
	EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT, &arg));
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1));
	job.tasks.stride = sizeof(struct drm_npu_task);
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, &job, 1));
}

TEST_F(submit, streams_must_be_aligned)
{
	struct drm_npu_task t = self->w.task;
	uint32_t off;

	for (off = 1; off < self->e.info.cmd_align; off++) {
		t.cmd_va = self->w.task.cmd_va + off;
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t));
	}
}

TEST_F(submit, stream_sizes_are_checked)
{
	uint32_t max = self->e.info.max_cmd_size;
	uint32_t bad[] = { 0, 1, 4, 7, 9, self->w.task.cmd_size + 4, max + 8,
			   0x7ffffff8, 0x80000000, 0xfffffff8, ~0u };
	struct drm_npu_task t = self->w.task;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		t.cmd_size = bad[n];
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t))
			TH_LOG("size %x", bad[n]);
	}
}

TEST_F(submit, streams_must_lie_in_a_mapping)
{
	uint64_t page = self->e.info.page_size, va = self->w.bo[NPU_CMD].va;
	uint64_t end = va + self->w.bo[NPU_CMD].size;
	uint64_t bad[] = { 0, va - page, end,
			   self->e.info.va_end - 64, self->e.info.va_end,
			   end - self->w.task.cmd_size + 64,
			   va + (1ull << 32), va + (1ull << 63),
			   ~0ull - 15, 1ull << 32, 1ull << 40 };
	struct drm_npu_task t = self->w.task;
	size_t n;
	int i;

	for (i = NPU_IN; i < NPU_WORK_BOS; i++) {	/* nothing around it */
		if (self->w.bo[i].va) {
			ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm,
					       self->w.bo[i].va,
					       self->w.bo[i].size));
		}
	}
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		t.cmd_va = bad[n] & ~15ull;
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t))
			TH_LOG("address %llx", (unsigned long long)bad[n]);
	}
	for (i = NPU_IN; i < NPU_WORK_BOS; i++) {
		if (self->w.bo[i].va) {
			ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm,
						self->w.bo[i].handle,
						self->w.bo[i].va,
						self->w.bo[i].size, 0, 0));
		}
	}
}

TEST_F(submit, streams_must_lie_in_one_mapping)
{
	uint64_t page = self->e.info.page_size;
	uint64_t va = (self->e.info.va_end >> 1) & ~(page - 1);
	struct drm_npu_task t = self->w.task;
	uint32_t size = t.cmd_size;
	struct npu_bo bo[2];
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, npu_bo_new(self->e.fd, page, 0, 0, &bo[i]));
		ASSERT_EQ(0, npu_map_at(self->e.fd, self->e.vm, bo[i].handle,
					va + i * page, page, 0, 0));
	}
	t.cmd_va = va + page - 64;
	EXPECT_EQ(-EINVAL, submit_task(&self->e, &t));
	memcpy(bo[0].map + page - size / 16 * 16, self->w.stream.words,
	       size / 16 * 16);
	t.cmd_va = va + page - size / 16 * 16 + 16;
	EXPECT_EQ(-EINVAL, submit_task(&self->e, &t));
}

TEST_F(submit, task_fields_are_checked)
{
	uint32_t units[] = { 2, 3, 8, 31, 32, 64, 0x7fffffff, 0x80000000, ~0u };
	struct drm_npu_task t;
	size_t n;

	for (n = 0; n < 32; n++) {
		t = self->w.task;
		t.flags = 1u << n;
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t));
		t = self->w.task;
		t.pad = 1u << n;
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t));
	}
	for (n = 0; n < ARRAY_SIZE(units); n++) {
		t = self->w.task;
		t.done_unit = units[n];
		EXPECT_EQ(-EINVAL, submit_task(&self->e, &t))
			TH_LOG("unit %u", units[n]);
	}
}

TEST_F(submit, a_job_has_up_to_max_tasks)
{
	uint32_t max = self->e.info.max_tasks;
	uint32_t counts[] = { max + 1, 0x10000000, 0x80000000, ~0u };
	struct drm_npu_task *tasks = npu_repeat(&self->w, max + 1);
	size_t n;

	ASSERT_NE(NULL, tasks);
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		EXPECT_EQ(-E2BIG, npu_submit_tasks(self->e.fd, self->e.ctx,
						   tasks, counts[n], 0));
	}
	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, tasks, max,
				      self->sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	free(tasks);
}

TEST_F(submit, a_call_has_up_to_max_jobs)
{
	uint32_t max = self->e.info.max_jobs, n;
	uint32_t counts[] = { max + 1, 0x04000000, 0x10000000, 0x80000000,
			      ~0u };
	struct drm_npu_job *jobs = calloc(max + 1, sizeof(*jobs));
	struct drm_npu_sync s = {
		.handle = self->sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};

	ASSERT_NE(NULL, jobs);
	for (n = 0; n <= max; n++)
		jobs[n].tasks = NPU_ARRAY(&self->w.task, 1);
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		EXPECT_EQ(-E2BIG, npu_submit(self->e.fd, self->e.ctx, jobs,
					     counts[n]));
	}
	if (max <= self->e.info.max_queued) {
		jobs[max - 1].syncs = NPU_ARRAY(&s, 1);
		ASSERT_EQ(0, npu_submit(self->e.fd, self->e.ctx, jobs, max));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync,
						       0));
	}
	free(jobs);
}

TEST_F(submit, strides_cannot_wrap)
{
	uint32_t strides[] = { 0x80000000, 0x40000000, 0xfffffff8, ~0u };
	struct drm_npu_job jobs[3];
	struct drm_npu_submit arg = { .ctx_id = self->e.ctx };
	size_t n;

	for (n = 0; n < 3; n++)
		jobs[n] = (struct drm_npu_job){
			.tasks = NPU_ARRAY(&self->w.task, 1),
		};
	for (n = 0; n < ARRAY_SIZE(strides); n++) {
		arg.jobs = NPU_ARRAY(jobs, 3);
		arg.jobs.stride = strides[n];
		EXPECT_GT(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT, &arg));
	}
}

TEST_F(submit, bad_pointers_fault)
{
	uint64_t bad[] = { 0, 8, 0xffffff0000000000, ~0ull - 7 };
	struct drm_npu_job job;
	struct drm_npu_submit arg;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		arg = (struct drm_npu_submit){
			.ctx_id = self->e.ctx,
			.jobs = { sizeof(job), 1, bad[n] },
		};
		EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT,
					     &arg));
		job = (struct drm_npu_job){
			.tasks = { sizeof(struct drm_npu_task), 1, bad[n] },
		};
		EXPECT_EQ(-EFAULT, npu_submit(self->e.fd, self->e.ctx, &job,
					      1));
		job = (struct drm_npu_job){
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = { sizeof(struct drm_npu_sync), 1, bad[n] },
		};
		EXPECT_EQ(-EFAULT, npu_submit(self->e.fd, self->e.ctx, &job,
					      1));
		job = (struct drm_npu_job){
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.buffers = { sizeof(struct drm_npu_buffer), 1, bad[n] },
		};
		EXPECT_EQ(-EFAULT, npu_submit(self->e.fd, self->e.ctx, &job,
					      1));
	}
	EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT, NULL));
}

TEST_F(submit, an_array_that_ends_in_unmapped_memory_faults)
{
	struct drm_npu_task *t;
	uint8_t *p;

	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + 4096, 4096));
	t = (struct drm_npu_task *)(p + 4096) - 1;
	*t = self->w.task;
	EXPECT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, t, 1, 0));
	EXPECT_EQ(-EFAULT, npu_submit_tasks(self->e.fd, self->e.ctx, t, 2, 0));
	ASSERT_EQ(0, mprotect(p, 4096, PROT_READ));
	EXPECT_EQ(0, npu_submit_tasks(self->e.fd, self->e.ctx, t, 1, 0))
		TH_LOG("the arrays are only read");
}

TEST_F(submit, jobs_come_all_or_none)
{
	struct drm_npu_task bad = self->w.task;
	struct drm_npu_sync s[2] = {
		{ .handle = self->sync, .flags = DRM_NPU_SYNC_SIGNAL },
		{ .handle = 0xdead, .flags = DRM_NPU_SYNC_SIGNAL },
	};
	struct drm_npu_buffer buffer = {
		.handle = 0xdead,
		.flags = DRM_NPU_BUFFER_READ,
	};
	struct drm_npu_job good = {
		.tasks = NPU_ARRAY(&self->w.task, 1),
		.syncs = NPU_ARRAY(s, 1),
	};
	struct drm_npu_job jobs[4] = { good, good, good, good };

	bad.cmd_va = 0;
	jobs[1].tasks = NPU_ARRAY(&bad, 1);
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, jobs, 2));
	jobs[1] = good;
	jobs[2].syncs = NPU_ARRAY(s, 2);
	EXPECT_EQ(-ENOENT, npu_submit(self->e.fd, self->e.ctx, jobs, 3));
	jobs[2] = good;
	jobs[3].buffers = NPU_ARRAY(&buffer, 1);
	EXPECT_EQ(-ENOENT, npu_submit(self->e.fd, self->e.ctx, jobs, 4));
	jobs[3] = good;
	jobs[3].flags = 2;
	EXPECT_EQ(-EINVAL, npu_submit(self->e.fd, self->e.ctx, jobs, 4));
	npu_sleep_ms(50);
	EXPECT_EQ(0, npu_work_check_untouched(&self->e, &self->w));
	EXPECT_EQ(-EINVAL, npu_syncobj_wait(self->e.fd, self->sync, 0, 1));
}

static int submit_buffers(struct npu_env *e, struct npu_work *w,
			  struct drm_npu_buffer *b, uint32_t count,
			  uint32_t sync)
{
	struct drm_npu_sync s = {
		.handle = sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(&w->task, 1),
		.buffers = NPU_ARRAY(b, count),
		.syncs = NPU_ARRAY(&s, 1),
	};

	return npu_submit(e->fd, e->ctx, &job, 1);
}

TEST_F(submit, listed_buffers_are_checked)
{
	uint32_t bad[] = { 0, 0xdead, 0x7fffffff, ~0u };
	struct drm_npu_buffer b = { .flags = DRM_NPU_BUFFER_READ };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		b.handle = bad[n];
		EXPECT_EQ(-ENOENT, submit_buffers(&self->e, &self->w, &b, 1,
						  self->sync));
	}
	b.handle = self->w.bo[NPU_IN].handle;
	b.flags = 0;
	EXPECT_EQ(-EINVAL, submit_buffers(&self->e, &self->w, &b, 1,
					  self->sync));
	for (n = 2; n < 32; n++) {
		b.flags = DRM_NPU_BUFFER_READ | 1u << n;
		EXPECT_EQ(-EINVAL, submit_buffers(&self->e, &self->w, &b, 1,
						  self->sync));
	}
}

TEST_F(submit, a_buffer_may_be_listed_again_and_again)
{
	uint32_t in = self->w.bo[NPU_IN].handle;
	uint32_t out = self->w.bo[NPU_OUT].handle;
	struct drm_npu_buffer lists[][4] = {
		{ { in, 1 }, { in, 1 }, { in, 1 }, { in, 1 } },
		{ { out, 1 }, { out, 2 }, { out, 2 }, { out, 1 } },
		{ { out, 3 }, { in, 3 }, { out, 3 }, { in, 3 } },
		{ { in, 1 }, { out, 2 }, { in, 2 }, { out, 1 } },
	};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(lists); n++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		ASSERT_EQ(0, submit_buffers(&self->e, &self->w, lists[n], 4,
					    self->sync));
		EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync,
						       0));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	}
}

TEST_F(submit, max_buffers_and_no_more)
{
	uint32_t max = self->e.info.max_buffers, n;
	uint32_t counts[] = { max + 1, 0x10000000, 0x80000000, ~0u };
	struct drm_npu_buffer *b = calloc(max + 1, sizeof(*b));
	uint32_t distinct = max < 200 ? max : 200;

	ASSERT_NE(NULL, b);
	for (n = 0; n < distinct; n++) {
		ASSERT_EQ(0, npu_bo_create(self->e.fd, 4096, 0,
					   n % 3 ? 0 : self->e.vm,
					   &b[n].handle));
		b[n].flags = 1 + n % 3;
	}
	for (; n <= max; n++)
		b[n] = b[n % distinct];
	for (n = 0; n < ARRAY_SIZE(counts); n++) {
		EXPECT_EQ(-E2BIG, submit_buffers(&self->e, &self->w, b,
						 counts[n], self->sync));
	}
	ASSERT_EQ(0, submit_buffers(&self->e, &self->w, b, max, self->sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	free(b);
}

/* The reader is quick and on another core; only the list makes it wait */
TEST_F(submit, listed_buffers_order_jobs_of_different_contexts)
{
	struct rknn_ew shape = { .op = RKNN_EW_MAX, .w = 16, .h = 16 };
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_buffer b = { .flags = DRM_NPU_BUFFER_WRITE };
	struct drm_npu_job job = { .buffers = NPU_ARRAY(&b, 1) };
	struct npu_env reader = self->e, writer = self->e;
	struct npu_work first, second;
	struct drm_npu_task *tasks;
	uint32_t count;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core,
				    &writer.ctx));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
				    self->e.info.core_mask & ~(1ull << core),
				    &reader.ctx));
	ASSERT_EQ(0, npu_work_ew(&self->e, &first, &shape, 1));
	ASSERT_EQ(0, npu_work_ew(&self->e, &second, &shape, 2));
	rknn_patch(&second.stream, 0x5018, first.bo[NPU_OUT].va);
	rknn_ew_ref(&shape, (int8_t *)first.expect,
		    (int8_t *)second.bo[NPU_AUX].map, (int8_t *)second.expect);
	ASSERT_EQ(0, npu_work_stream(&self->e, &second));
	ASSERT_EQ(0, npu_long_tasks(&self->e, writer.ctx, &first, 100, &count));
	tasks = npu_repeat(&first, count);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_work_arm(&self->e, &first));
	b.handle = first.bo[NPU_OUT].handle;
	job.tasks = NPU_ARRAY(tasks, count);
	ASSERT_EQ(0, npu_submit(self->e.fd, writer.ctx, &job, 1));
	b.flags = DRM_NPU_BUFFER_READ;
	ASSERT_EQ(0, submit_buffers(&reader, &second, &b, 1, self->sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &second));
	EXPECT_EQ(0, npu_bo_wait(self->e.fd, b.handle, DRM_NPU_BO_WAIT_READ, 0));
	free(tasks);
}

/* A job that hangs lists the buffer, then one on another core does */
static int second_waits_for_first(struct npu_env *e, struct npu_work *w,
				  uint32_t first, uint32_t second)
{
	uint64_t core = 1ull << npu_first_core(e);
	struct npu_env a = *e, b = *e;
	struct drm_npu_buffer buffer = { .flags = first };
	struct npu_work hang;
	uint32_t sync[2];
	int ret;

	ret = npu_work_hang(e, &hang);
	if (!ret)
		ret = npu_bo_create(e->fd, 4096, 0, 0, &buffer.handle);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, core, &a.ctx);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, e->info.core_mask & ~core,
				     &b.ctx);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &sync[0]);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &sync[1]);
	if (!ret)
		ret = submit_buffers(&a, &hang, &buffer, 1, sync[0]);
	buffer.flags = second;
	if (!ret)
		ret = submit_buffers(&b, w, &buffer, 1, sync[1]);
	if (!ret)
		ret = npu_syncobj_status(e->fd, sync[1], 0);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	ret = npu_syncobj_wait(e->fd, sync[0], 0, 0);
	npu_syncobj_status(e->fd, sync[0], 0);
	return ret == -ETIME ? 0 : ret ? ret : 1;
}

TEST_F(submit, listed_buffers_hold_up_what_conflicts_and_nothing_else)
{
	const uint32_t r = DRM_NPU_BUFFER_READ, w = DRM_NPU_BUFFER_WRITE;
	uint64_t cores = self->e.info.core_mask;

	if (!(cores & (cores - 1)))
		SKIP(return, "only one core");
	EXPECT_EQ(1, second_waits_for_first(&self->e, &self->w, w, r));
	EXPECT_EQ(1, second_waits_for_first(&self->e, &self->w, r, w));
	EXPECT_EQ(1, second_waits_for_first(&self->e, &self->w, w, w));
	EXPECT_EQ(1, second_waits_for_first(&self->e, &self->w, r | w, r));
	EXPECT_EQ(0, second_waits_for_first(&self->e, &self->w, r, r));
}

/* Each of the bits, in the submit itself and in its jobs */
TEST_F(submit, flags_and_pads_are_checked)
{
	struct drm_npu_job job = { .tasks = NPU_ARRAY(&self->w.task, 1) };
	struct drm_npu_job bad;
	struct drm_npu_submit arg;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		arg = (struct drm_npu_submit){
			.ctx_id = self->e.ctx,
			.flags = 1u << bit,
			.jobs = NPU_ARRAY(&job, 1),
		};
		EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_SUBMIT,
					     &arg));
		bad = job;
		bad.flags = 1u << bit & ~DRM_NPU_JOB_LINKED;
		EXPECT_EQ(bad.flags ? -EINVAL : 0,
			  npu_submit(self->e.fd, self->e.ctx, &bad, 1));
		bad = job;
		bad.tasks = (struct drm_npu_array){ 0 };
		bad.program_id = 1u << bit;
		EXPECT_EQ(-ENOENT, npu_submit(self->e.fd, self->e.ctx, &bad,
					      1));
	}
}

/* A context whose first job takes long, and jobs to fill its queue with */
struct queue {
	uint32_t ctx;
	uint32_t queued;
	uint32_t batch;
	struct npu_work w;
	struct drm_npu_job *jobs;
};

static int queue_make(struct npu_env *e, struct queue *q)
{
	uint32_t n;

	q->batch = e->info.max_jobs;
	q->jobs = calloc(q->batch, sizeof(*q->jobs));
	if (!q->jobs)
		return -ENOMEM;
	for (n = 0; n < q->batch; n++)
		q->jobs[n].tasks =
			(struct drm_npu_array)NPU_ARRAY(&q->w.task, 1);
	return npu_work_matmul(e, &q->w, 64, 128, 128, 3);
}

/* Until there are @count jobs in it */
static int queue_fill(struct npu_env *e, struct queue *q, unsigned int ms,
		      uint32_t count)
{
	struct drm_npu_task *tasks;
	uint32_t n;
	int ret = npu_long_tasks(e, e->ctx, &q->w, ms, &n);

	if (!ret)
		ret = npu_work_arm(e, &q->w);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, 0, &q->ctx);
	tasks = ret ? NULL : npu_repeat(&q->w, n);
	if (!tasks)
		return ret ? ret : -ENOMEM;
	ret = npu_submit_tasks(e->fd, q->ctx, tasks, n, 0);
	for (q->queued = 1; q->queued < count && !ret; q->queued += n) {
		n = count - q->queued;
		n = n < q->batch ? n : q->batch;
		ret = npu_submit(e->fd, q->ctx, q->jobs, n);
	}
	free(tasks);
	return ret;
}

/* Has no job ended yet? If one has, there was more room than there seemed */
static bool queue_is_full(struct npu_env *e, struct queue *q)
{
	struct drm_npu_job_result r;

	return !npu_job_result(e->fd, q->ctx, 1, &r) &&
	       r.state != DRM_NPU_JOB_ENDED;
}

/* Waits for every job of the context: 0, an error, or -EBADMSG for wrong bytes */
static int queue_drain(struct npu_env *e, struct queue *q)
{
	struct drm_npu_job_result r = { 0 };
	struct drm_npu_ctx_query all;
	int ret = npu_ctx_query(e->fd, q->ctx, &all);

	if (!ret)
		ret = npu_job_wait(e->fd, q->ctx, all.jobs_submitted,
				   DRM_NPU_JOB_ENDED, &r);
	npu_ctx_destroy(e->fd, q->ctx);
	if (ret || r.error)
		return ret ? ret : r.error;
	return npu_work_check(e, &q->w) ? -EBADMSG : 0;
}

TEST_F(submit, a_context_holds_max_queued_jobs)
{
	uint32_t max = self->e.info.max_queued;
	bool in_time = false;
	unsigned int ms;
	struct queue q;

	ASSERT_EQ(0, queue_make(&self->e, &q));
	/* Behind a longer job when this machine is slow */
	for (ms = 100; !in_time && ms <= 6400; ms *= 2) {
		int ret;

		ASSERT_EQ(0, queue_fill(&self->e, &q, ms, max));
		ret = npu_submit(self->e.fd, q.ctx, q.jobs, 1);
		in_time = queue_is_full(&self->e, &q);
		EXPECT_EQ(in_time ? -EAGAIN : ret, ret);
		EXPECT_EQ(0, queue_drain(&self->e, &q));
	}
	EXPECT_TRUE(in_time);
	free(q.jobs);
}

/* Behind a job that hangs; the first of the others does, too, and ends them */
TEST_F(submit, a_context_holds_max_queued_tasks)
{
	uint32_t max = self->e.info.max_tasks;
	uint32_t n, fit = self->e.info.max_queued_tasks / max, ctx, after;
	struct drm_npu_sync syncs[2] = {
		{ .handle = self->sync, .flags = DRM_NPU_SYNC_WAIT },
		{ .flags = DRM_NPU_SYNC_SIGNAL },
	};
	struct drm_npu_job job = { .syncs = NPU_ARRAY(syncs, 2) };
	struct drm_npu_task *tasks;
	struct npu_work hang;
	uint32_t first;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	tasks = npu_repeat(&hang, max);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &first));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &after));
	syncs[1].handle = after;
	ASSERT_EQ(0, npu_submit_tasks(self->e.fd, first, tasks, 1, self->sync));

	job.tasks = NPU_ARRAY(tasks, max);
	for (n = 0; n < fit; n++)
		ASSERT_EQ(0, npu_submit(self->e.fd, ctx, &job, 1));
	job.tasks.count = self->e.info.max_queued_tasks - fit * max + 1;
	EXPECT_EQ(-EAGAIN, npu_submit(self->e.fd, ctx, &job, 1));

	EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, after, 0, NPU_PATIENCE_MS));
	EXPECT_EQ(-ECANCELED, npu_syncobj_status(self->e.fd, after, 0));
	EXPECT_EQ(-EIO, npu_submit(self->e.fd, ctx, &job, 1));
	free(tasks);
}

TEST_F(submit, thousands_of_jobs)
{
	uint32_t n, point = 0;
	int ret;

	ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
	for (n = 0; n < 2000; n++) {
		struct drm_npu_sync s = {
			.handle = self->sync,
			.flags = DRM_NPU_SYNC_SIGNAL,
			.point = n + 1,
		};
		struct drm_npu_job job = {
			.tasks = NPU_ARRAY(&self->w.task, 1),
			.syncs = NPU_ARRAY(&s, 1),
		};

		while ((ret = npu_submit(self->e.fd, self->e.ctx, &job, 1)) ==
		       -EAGAIN) {
			ASSERT_EQ(0, npu_syncobj_wait(self->e.fd, self->sync,
						      ++point,
						      NPU_PATIENCE_MS));
		}
		ASSERT_EQ(0, ret);
	}
	EXPECT_EQ(0, npu_syncobj_wait(self->e.fd, self->sync, 2000,
				      NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
}

/*
 * A call of four jobs whose last is spoilt in some way. Everything that the
 * others would leave behind is watched.
 */
struct late {
	struct npu_env *e;
	struct npu_work *w;
	uint32_t foreign;	/* program of another VM */
	uint32_t plain;		/* program without patches */
	uint32_t patched;	/* program with one */
	uint32_t no_fence;	/* syncobj */
	struct drm_npu_task task;
	struct drm_npu_sync sync[2];
	struct drm_npu_buffer buffer[2];
	struct drm_npu_value value[2];
};

static void spoil_task(struct late *l, struct drm_npu_job *job)
{
	job->tasks = (struct drm_npu_array)NPU_ARRAY(&l->task, 1);
}

static void late_address(struct late *l, struct drm_npu_job *job)
{
	spoil_task(l, job);
	l->task.cmd_va = l->e->info.va_end - 4096;
}

static void late_alignment(struct late *l, struct drm_npu_job *job)
{
	spoil_task(l, job);
	l->task.cmd_va += 8;
}

static void late_size(struct late *l, struct drm_npu_job *job)
{
	spoil_task(l, job);
	l->task.cmd_size = 0;
}

static void late_unit(struct late *l, struct drm_npu_job *job)
{
	spoil_task(l, job);
	l->task.done_unit = 99;
}

static void late_task_flags(struct late *l, struct drm_npu_job *job)
{
	spoil_task(l, job);
	l->task.flags = 1;
}

static void late_no_tasks(struct late *l, struct drm_npu_job *job)
{
	(void)l;
	job->tasks = (struct drm_npu_array){ 0 };
}

static void late_many_tasks(struct late *l, struct drm_npu_job *job)
{
	job->tasks.count = l->e->info.max_tasks + 1;
}

static void late_task_pointer(struct late *l, struct drm_npu_job *job)
{
	(void)l;
	job->tasks.ptr = 8;
}

static void late_stride(struct late *l, struct drm_npu_job *job)
{
	(void)l;
	job->tasks.stride -= 4;
}

static void spoil_sync(struct late *l, struct drm_npu_job *job, uint32_t handle,
		       uint32_t flags)
{
	l->sync[1].handle = handle;
	l->sync[1].flags = flags;
	job->syncs = (struct drm_npu_array)NPU_ARRAY(l->sync, 2);
}

static void late_sync(struct late *l, struct drm_npu_job *job)
{
	spoil_sync(l, job, 0xdead, DRM_NPU_SYNC_SIGNAL);
}

static void late_sync_flags(struct late *l, struct drm_npu_job *job)
{
	spoil_sync(l, job, l->no_fence, 3);
}

static void late_fence(struct late *l, struct drm_npu_job *job)
{
	spoil_sync(l, job, l->no_fence, DRM_NPU_SYNC_WAIT);
}

static void late_many_syncs(struct late *l, struct drm_npu_job *job)
{
	late_sync(l, job);
	job->syncs.count = l->e->info.max_syncs + 1;
}

static void late_buffer(struct late *l, struct drm_npu_job *job)
{
	l->buffer[1].handle = 0xdead;
	job->buffers = (struct drm_npu_array)NPU_ARRAY(l->buffer, 2);
}

static void late_buffer_flags(struct late *l, struct drm_npu_job *job)
{
	l->buffer[1].flags = 4;
	job->buffers = (struct drm_npu_array)NPU_ARRAY(l->buffer, 2);
}

static void late_many_buffers(struct late *l, struct drm_npu_job *job)
{
	late_buffer(l, job);
	job->buffers.count = l->e->info.max_buffers + 1;
}

static void late_job_flags(struct late *l, struct drm_npu_job *job)
{
	(void)l;
	job->flags = 2;
}

static void spoil_program(struct late *l, struct drm_npu_job *job, uint32_t id,
			  uint32_t values)
{
	late_no_tasks(l, job);
	job->program_id = id;
	if (values)
		job->values = (struct drm_npu_array)NPU_ARRAY(l->value, values);
}

static void late_program(struct late *l, struct drm_npu_job *job)
{
	spoil_program(l, job, 0xdead, 0);
}

static void late_foreign_program(struct late *l, struct drm_npu_job *job)
{
	spoil_program(l, job, l->foreign, 0);
}

static void late_program_and_tasks(struct late *l, struct drm_npu_job *job)
{
	job->program_id = l->plain;
}

static void late_value(struct late *l, struct drm_npu_job *job)
{
	spoil_program(l, job, l->patched, 1);
	l->value[0].va = l->e->info.va_end;
}

static void late_value_count(struct late *l, struct drm_npu_job *job)
{
	spoil_program(l, job, l->patched, 2);
}

static void late_value_pointer(struct late *l, struct drm_npu_job *job)
{
	spoil_program(l, job, l->patched, 1);
	job->values.ptr = 8;
}

static void late_value_without_program(struct late *l, struct drm_npu_job *job)
{
	job->values = (struct drm_npu_array)NPU_ARRAY(l->value, 1);
}

static const struct {
	const char *what;
	int error;
	void (*spoil)(struct late *l, struct drm_npu_job *job);
} late_errors[] = {
	{ "address", -EINVAL, late_address },
	{ "alignment", -EINVAL, late_alignment },
	{ "size", -EINVAL, late_size },
	{ "unit", -EINVAL, late_unit },
	{ "task flags", -EINVAL, late_task_flags },
	{ "no tasks", -EINVAL, late_no_tasks },
	{ "many tasks", -E2BIG, late_many_tasks },
	{ "task pointer", -EFAULT, late_task_pointer },
	{ "stride", -EINVAL, late_stride },
	{ "sync", -ENOENT, late_sync },
	{ "sync flags", -EINVAL, late_sync_flags },
	{ "fence", -EINVAL, late_fence },
	{ "many syncs", -E2BIG, late_many_syncs },
	{ "buffer", -ENOENT, late_buffer },
	{ "buffer flags", -EINVAL, late_buffer_flags },
	{ "many buffers", -E2BIG, late_many_buffers },
	{ "job flags", -EINVAL, late_job_flags },
	{ "program", -ENOENT, late_program },
	{ "program of another VM", -EINVAL, late_foreign_program },
	{ "program and tasks", -EINVAL, late_program_and_tasks },
	{ "value", -EINVAL, late_value },
	{ "value count", -EINVAL, late_value_count },
	{ "value pointer", -EFAULT, late_value_pointer },
	{ "value without program", -EINVAL, late_value_without_program },
};

static int late_init(struct late *l, struct npu_env *e, struct npu_work *w)
{
	struct npu_env other = *e;
	struct drm_npu_patch patch = {
		.offset = rknn_value_at(&w->stream, RKNN_DPU_OUT),
	};
	int ret = npu_vm_create(e->fd, &other.vm);

	memset(l, 0, sizeof(*l));
	l->e = e;
	l->w = w;
	if (!ret)
		ret = npu_program_of_work(&other, w, NULL, 0, &l->foreign);
	if (!ret)
		ret = npu_program_of_work(e, w, NULL, 0, &l->plain);
	if (!ret)
		ret = npu_program_of_work(e, w, &patch, 1, &l->patched);
	if (!ret)
		ret = npu_syncobj_create(e->fd, 0, &l->no_fence);
	return ret;
}

/* Spoilers start from elements that are right */
static void late_reset(struct late *l, uint32_t sync)
{
	l->task = l->w->task;
	l->sync[0] = (struct drm_npu_sync){
		.handle = sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
		.point = 2,
	};
	l->sync[1] = l->sync[0];
	l->buffer[0] = (struct drm_npu_buffer){
		.handle = l->w->bo[NPU_OUT].handle,
		.flags = DRM_NPU_BUFFER_WRITE,
	};
	l->buffer[1] = l->buffer[0];
	l->value[0].va = l->w->bo[NPU_OUT].va;
	l->value[1] = l->value[0];
}

TEST_F(submit, a_late_error_leaves_nothing_behind)
{
	struct drm_npu_sync binary = { .flags = DRM_NPU_SYNC_SIGNAL };
	struct drm_npu_sync point = { .flags = DRM_NPU_SYNC_SIGNAL, .point = 1 };
	struct drm_npu_buffer b = {
		.handle = self->w.bo[NPU_OUT].handle,
		.flags = DRM_NPU_BUFFER_WRITE,
	};
	struct drm_npu_ctx_query before, after;
	struct drm_npu_job_result r;
	struct drm_npu_job jobs[4];
	uint64_t first, expected = 1;
	struct late l;
	size_t n, i;

	ASSERT_EQ(0, late_init(&l, &self->e, &self->w));
	binary.handle = self->sync;
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &point.handle));
	for (n = 0; n < ARRAY_SIZE(late_errors); n++) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		for (i = 0; i < 4; i++)
			jobs[i] = (struct drm_npu_job){
				.tasks = NPU_ARRAY(&self->w.task, 1),
				.buffers = NPU_ARRAY(&b, 1),
			};
		jobs[0].syncs = (struct drm_npu_array)NPU_ARRAY(&binary, 1);
		jobs[1].syncs = (struct drm_npu_array)NPU_ARRAY(&point, 1);
		jobs[2].tasks = (struct drm_npu_array){ 0 };
		jobs[2].program_id = l.patched;
		late_reset(&l, point.handle);
		late_errors[n].spoil(&l, &jobs[3]);
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &before));
		EXPECT_EQ(late_errors[n].error,
			  npu_submit(self->e.fd, self->e.ctx, jobs, 4))
			TH_LOG("%s", late_errors[n].what);
		npu_sleep_ms(20);
		EXPECT_EQ(0, npu_work_check_untouched(&self->e, &self->w))
			TH_LOG("%s: a job ran", late_errors[n].what);
		EXPECT_EQ(-EINVAL, npu_syncobj_wait(self->e.fd, self->sync, 0,
						    0));
		EXPECT_EQ(-EINVAL, npu_syncobj_wait(self->e.fd, point.handle, 1,
						    0));
		EXPECT_EQ(0, npu_bo_wait(self->e.fd, b.handle,
					 DRM_NPU_BO_WAIT_WRITE, 0));
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &after));
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
		ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, expected,
					    &r));
		EXPECT_EQ(DRM_NPU_JOB_UNKNOWN, r.state);
		/* The same jobs without the last */
		ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, jobs + 2,
					    1, &first));
		EXPECT_EQ(expected, first) TH_LOG("ids have a gap");
		expected++;
		EXPECT_EQ(0, npu_bo_wait(self->e.fd, b.handle,
					 DRM_NPU_BO_WAIT_READ,
					 NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	}
}

/* There is room for some of the jobs of a call, but not for all */
TEST_F(submit, a_call_that_does_not_fit_in_the_queue_leaves_nothing_behind)
{
	uint32_t max = self->e.info.max_queued;
	struct drm_npu_sync s = {
		.handle = self->sync,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job jobs[3] = {
		{ .tasks = NPU_ARRAY(&self->w.task, 1),
		  .syncs = NPU_ARRAY(&s, 1) },
		{ .tasks = NPU_ARRAY(&self->w.task, 1) },
		{ .tasks = NPU_ARRAY(&self->w.task, 1) },
	};
	struct drm_npu_ctx_query after;
	bool in_time = false;
	int three, two, wait;
	unsigned int ms;
	struct queue q;
	long touched;

	ASSERT_EQ(0, queue_make(&self->e, &q));
	for (ms = 100; !in_time && ms <= 6400; ms *= 2) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->w));
		ASSERT_EQ(0, queue_fill(&self->e, &q, ms, max - 2));
		three = npu_submit(self->e.fd, q.ctx, jobs, 3);
		ASSERT_EQ(0, npu_ctx_query(self->e.fd, q.ctx, &after));
		wait = npu_syncobj_wait(self->e.fd, self->sync, 0, 0);
		touched = npu_work_check_untouched(&self->e, &self->w);
		in_time = queue_is_full(&self->e, &q);
		two = npu_submit(self->e.fd, q.ctx, jobs + 1, 2);
		if (in_time) {
			EXPECT_EQ(-EAGAIN, three);
			EXPECT_EQ(max - 2, after.jobs_submitted);
			EXPECT_EQ(-EINVAL, wait) TH_LOG("there is a fence");
			EXPECT_EQ(0, touched) TH_LOG("a job ran");
			EXPECT_EQ(0, two) TH_LOG("what fits is taken");
		}
		EXPECT_EQ(0, queue_drain(&self->e, &q));
		npu_syncobj_destroy(self->e.fd, self->sync);
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &self->sync));
		s.handle = self->sync;
	}
	EXPECT_TRUE(in_time);
	free(q.jobs);
}

/* What the fence of a job that lists a buffer holds up: the dma-buf tells */
static int dmabuf_status(int dmabuf, uint32_t flags)
{
	struct dma_buf_export_sync_file arg = { .flags = flags, .fd = -1 };
	int ret = npu_ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &arg);

	if (ret)
		return ret;
	ret = npu_file_status(arg.fd);
	close(arg.fd);
	return ret;
}

TEST_F(submit, inputs_carry_read_fences_and_outputs_write_fences)
{
	static const uint32_t r = DRM_NPU_BUFFER_READ, w = DRM_NPU_BUFFER_WRITE;
	static const struct {
		uint32_t flags[3];
		bool writes;
	} lists[] = {
		{ { r }, false },
		{ { r, r, r }, false },
		{ { w }, true },
		{ { r | w }, true },
		{ { r, w }, true },
		{ { w, r }, true },
		{ { r, w, r }, true },
	};
	struct npu_env guilty = self->e;
	struct drm_npu_buffer b[3];
	struct npu_work hang;
	struct npu_bo bo;
	int dmabuf, for_read;
	size_t n, count;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (n = 0; n < ARRAY_SIZE(lists); n++) {
		ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, 0, &bo));
		dmabuf = npu_export(self->e.fd, bo.handle);
		ASSERT_GE(dmabuf, 0);
		EXPECT_EQ(NPU_DONE, dmabuf_status(dmabuf, DMA_BUF_SYNC_RW));
		for (count = 0; count < 3 && lists[n].flags[count]; count++) {
			b[count].handle = bo.handle;
			b[count].flags = lists[n].flags[count];
		}
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0,
					    &guilty.ctx));
		ASSERT_EQ(0, submit_buffers(&guilty, &hang, b, count,
					    self->sync));
		for_read = lists[n].writes ? 0 : NPU_DONE;
		EXPECT_EQ(for_read, dmabuf_status(dmabuf, DMA_BUF_SYNC_READ))
			TH_LOG("list %zu", n);
		EXPECT_EQ(0, dmabuf_status(dmabuf, DMA_BUF_SYNC_WRITE))
			TH_LOG("list %zu", n);
		EXPECT_EQ(lists[n].writes ? -ETIMEDOUT : 0,
			  npu_bo_wait(self->e.fd, bo.handle,
				      DRM_NPU_BO_WAIT_READ, 0));
		EXPECT_EQ(-ETIMEDOUT, npu_bo_wait(self->e.fd, bo.handle,
						  DRM_NPU_BO_WAIT_WRITE, 0));
		EXPECT_EQ(-ETIME, npu_syncobj_status(self->e.fd, self->sync, 0));
		EXPECT_EQ(0, npu_bo_wait(self->e.fd, bo.handle,
					 DRM_NPU_BO_WAIT_WRITE, 0));
		EXPECT_NE(0, dmabuf_status(dmabuf, DMA_BUF_SYNC_RW));
		npu_ctx_destroy(self->e.fd, guilty.ctx);
		npu_bo_free(self->e.fd, &bo);
		close(dmabuf);
	}
}

TEST_F(submit, a_writer_waits_for_all_readers)
{
	struct drm_npu_buffer b = { .flags = DRM_NPU_BUFFER_READ };
	uint64_t left = self->e.info.core_mask;
	struct npu_env reader = self->e, writer = self->e;
	struct drm_npu_job_result r[2], rw;
	struct drm_npu_task *tasks;
	struct drm_npu_job job = { .buffers = NPU_ARRAY(&b, 1) };
	uint32_t ctx[2], count;
	unsigned int core;
	struct npu_work w;
	int n;

	if (self->e.info.num_cores < 3 || self->e.info.core_mask != 7)
		SKIP(return, "needs three cores");
	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 64, 128, 128, 3));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w, 100, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_bo_create(self->e.fd, 4096, 0, 0, &b.handle));
	job.tasks = (struct drm_npu_array)NPU_ARRAY(tasks, count);
	for (n = 0; n < 2; n++) {
		left = npu_next_core(left, &core);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm,
					    1ull << core, &reader.ctx));
		ASSERT_EQ(0, npu_submit(self->e.fd, reader.ctx, &job, 1));
		ctx[n] = reader.ctx;
	}
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, left, &writer.ctx));
	b.flags = DRM_NPU_BUFFER_WRITE;
	ASSERT_EQ(0, submit_buffers(&writer, &self->w, &b, 1, self->sync));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, self->sync, 0));
	ASSERT_EQ(0, npu_job_result(self->e.fd, writer.ctx, 1, &rw));
	for (n = 0; n < 2; n++) {
		ASSERT_EQ(0, npu_job_result(self->e.fd, ctx[n], 1, &r[n]));
		EXPECT_EQ(DRM_NPU_JOB_ENDED, r[n].state);
		EXPECT_LE(r[n].end_ns, rw.start_ns);
	}
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	free(tasks);
}

/* Maps @count buffers of one page each, in a few calls */
static int bind_many(struct npu_env *e, uint32_t count, uint32_t private_to)
{
	uint32_t max = e->info.max_binds, n, nr = 0;
	struct drm_npu_bind_op *ops = calloc(max, sizeof(*ops));
	int ret = ops ? 0 : -ENOMEM;

	for (n = 0; n < count && !ret; n++) {
		ops[nr] = (struct drm_npu_bind_op){
			.type = DRM_NPU_BIND_MAP,
			.flags = DRM_NPU_BIND_AUTO,
			.size = 4096,
		};
		ret = npu_bo_create(e->fd, 4096, 0, private_to,
				    &ops[nr].handle);
		if (!ret && (++nr == max || n + 1 == count)) {
			ret = npu_bind(e->fd, e->vm, ops, nr, NULL);
			nr = 0;
		}
	}
	free(ops);
	return ret;
}

/* A VM with many buffers, and work in it */
struct crowd {
	struct npu_env e;
	struct npu_work w;
	int64_t best;
};

static int crowd_make(struct npu_env *e, struct crowd *c, uint32_t buffers,
		      bool private)
{
	int ret;

	c->e = *e;
	c->best = INT64_MAX;
	ret = npu_vm_create(e->fd, &c->e.vm);
	if (!ret)
		ret = npu_ctx_create(e->fd, c->e.vm, 0, &c->e.ctx);
	if (!ret)
		ret = npu_work_small(&c->e, &c->w, buffers);
	return ret ? ret : bind_many(&c->e, buffers, private ? c->e.vm : 0);
}

/* Submits once more, and keeps the time of the quickest */
static int crowd_submit(struct crowd *c, uint32_t sync)
{
	int64_t start = npu_now_ns(), took;
	int ret = npu_submit_work(c->e.fd, c->e.ctx, &c->w, sync);

	took = npu_now_ns() - start;
	c->best = took < c->best ? took : c->best;
	return ret ? ret : npu_syncobj_wait(c->e.fd, sync, 0, NPU_PATIENCE_MS);
}

/*
 * A submit that did anything for each bound buffer (lock it, reference it, look
 * at its fences) would miss the cache for each of 4000 of them: 40 us at the very
 * least, where a submit takes 5 us; several times that where all is slow, because
 * of an emulator or a debugging kernel, and a submit takes 30 us. The factor
 * would be far above 2 anywhere. Without such a loop it is close to 1, the tree of
 * mappings being a few levels deeper: the two are measured in turn, so whatever
 * else the machine does slows both, and of each the quickest counts.
 */
TEST_F(submit, bound_buffers_cost_nothing)
{
	struct crowd few, many;
	int private, i;

	for (private = 0; private < 2; private++) {
		ASSERT_EQ(0, crowd_make(&self->e, &few, 2, private));
		ASSERT_EQ(0, crowd_make(&self->e, &many, 4000, private));
		for (i = 0; i < 200; i++) {
			ASSERT_EQ(0, crowd_submit(&few, self->sync));
			ASSERT_EQ(0, crowd_submit(&many, self->sync));
		}
		EXPECT_EQ(0, npu_work_check(&few.e, &few.w));
		EXPECT_EQ(0, npu_work_check(&many.e, &many.w));
		TH_LOG("%lld ns with 2, %lld ns with 4000 %s buffers",
		       (long long)few.best, (long long)many.best,
		       private ? "private" : "shared");
		EXPECT_LT(many.best, 2 * few.best);
	}
}

TEST_HARNESS_MAIN
