// SPDX-License-Identifier: GPL-2.0-only
/*
 * Things that go while others still use them: files, handles, processes, cores
 * and the driver itself. The tests that unbind cores need root and leave the
 * device as they found it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "npu_mem.h"
#include "npu_test.h"

FIXTURE(lifetime)
{
	struct npu_env e;
	struct npu_work w;	/* an innocent's */
};

FIXTURE_SETUP(lifetime)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 31));
}

FIXTURE_TEARDOWN(lifetime)
{
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	npu_env_close(&self->e);
}

TEST_F(lifetime, a_file_may_close_while_its_jobs_hang_and_wait)
{
	struct npu_work hang, w;
	struct npu_env e;
	int64_t start;
	int i, n;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, npu_env_open(&e));
		ASSERT_EQ(0, npu_work_hang(&e, &hang));
		ASSERT_EQ(0, npu_work_small(&e, &w, i));
		ASSERT_EQ(0, npu_submit_work(e.fd, e.ctx, &hang, 0));
		for (n = 0; n < 10; n++) {
			ASSERT_EQ(0, npu_submit_work(e.fd, e.ctx, &w, 0));
		}
		start = npu_now_ns();
		npu_env_close(&e);
		EXPECT_LT(npu_now_ns() - start,
			  (2 * e.info.timeout_ms + 1000) * 1000000ll);
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	}
}

TEST_F(lifetime, an_exported_buffer_outlives_its_file)
{
	struct npu_env e;
	struct npu_bo bo;
	uint8_t *map;
	int dmabuf;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_bo_new(e.fd, 65536, 0, 0, &bo));
	ASSERT_EQ(0, npu_map(e.fd, e.vm, &bo, 0));
	npu_fill_random(bo.map, bo.size, 5);
	dmabuf = npu_export(e.fd, bo.handle);
	ASSERT_GE(dmabuf, 0);
	npu_env_close(&e);
	map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(map, bo.map, 65536));
	munmap(bo.map, 65536);
	close(dmabuf);
	map[0]++;
	munmap(map, 65536);
}

TEST_F(lifetime, a_job_outlives_all_that_it_was_made_of)
{
	struct drm_npu_task *tasks;
	struct npu_env e;
	struct npu_work w;
	uint32_t count;
	int fence, i;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_work_matmul(&e, &w, 32, 128, 64, 6));
	ASSERT_EQ(0, npu_long_tasks(&e, e.ctx, &w, 100, &count));
	ASSERT_EQ(0, npu_work_arm(&e, &w));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	fence = npu_run_to_file(&e, e.ctx, tasks, count);
	ASSERT_GE(fence, 0);
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (w.bo[i].handle)
			npu_gem_close(e.fd, w.bo[i].handle);
	}
	EXPECT_EQ(0, npu_ctx_destroy(e.fd, e.ctx));
	EXPECT_EQ(0, npu_vm_destroy(e.fd, e.vm));
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	EXPECT_EQ(0, memcmp(w.expect, w.bo[NPU_OUT].map, w.bo[NPU_OUT].size));
	free(tasks);
	close(fence);
	npu_env_close(&e);
}

/* The same for one that runs a program */
TEST_F(lifetime, a_run_outlives_its_program_context_and_vm)
{
	struct drm_npu_patch patch = { 0 };
	struct drm_npu_value value;
	uint32_t program, sync;
	struct npu_env e;
	struct npu_work w;
	int fence, i;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_work_matmul(&e, &w, 32, 128, 64, 6));
	patch.offset = rknn_value_at(&w.stream, RKNN_DPU_OUT);
	value.va = w.bo[NPU_OUT].va;
	rknn_patch(&w.stream, RKNN_DPU_OUT, 0);
	ASSERT_EQ(0, npu_program_of_work(&e, &w, &patch, 1, &program));
	ASSERT_EQ(0, npu_syncobj_create(e.fd, 0, &sync));
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, npu_submit_program(e.fd, e.ctx, program, &value, 1,
						sync));
	}
	fence = npu_syncobj_to_file(e.fd, sync, 0);
	ASSERT_GE(fence, 0);
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (w.bo[i].handle)
			npu_gem_close(e.fd, w.bo[i].handle);
	}
	EXPECT_EQ(0, npu_program_destroy(e.fd, program));
	EXPECT_EQ(0, npu_ctx_destroy(e.fd, e.ctx));
	EXPECT_EQ(0, npu_vm_destroy(e.fd, e.vm));
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence, NPU_PATIENCE_MS));
	EXPECT_EQ(0, memcmp(w.expect, w.bo[NPU_OUT].map, w.bo[NPU_OUT].size));
	close(fence);
	npu_env_close(&e);
}

TEST_F(lifetime, a_job_of_a_closed_file_ends_well_or_not_at_all)
{
	struct drm_npu_task *tasks;
	struct npu_env e;
	struct npu_work w;
	uint32_t count;
	int fence, status;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_work_matmul(&e, &w, 32, 128, 64, 7));
	ASSERT_EQ(0, npu_long_tasks(&e, e.ctx, &w, 100, &count));
	ASSERT_EQ(0, npu_work_arm(&e, &w));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	fence = npu_run_to_file(&e, e.ctx, tasks, count);
	ASSERT_GE(fence, 0);
	npu_env_close(&e);
	status = npu_file_wait(fence, NPU_PATIENCE_MS);
	EXPECT_TRUE(status == NPU_DONE || status == -ECANCELED);
	if (status == NPU_DONE) {
		EXPECT_EQ(0, memcmp(w.expect, w.bo[NPU_OUT].map,
				    w.bo[NPU_OUT].size));
	}
	free(tasks);
	close(fence);
}

/* Fills a queue with jobs, good and bad, and waits to be killed */
static void busy_client(int ready)
{
	struct npu_work hang, w;
	struct npu_env e;
	int i;

	if (npu_env_open(&e) || npu_work_hang(&e, &hang) ||
	    npu_work_matmul(&e, &w, 64, 128, 128, 8))
		_exit(1);
	for (i = 0; i < 20; i++)
		npu_submit_work(e.fd, e.ctx, &w, 0);
	for (i = 0; i < 20; i++)
		npu_submit_work(e.fd, e.ctx, &hang, 0);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F(lifetime, killed_clients_hold_nobody_up)
{
	int64_t start = npu_kill_clients(busy_client, 4);

	ASSERT_GT(start, 0);
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_LT(npu_now_ns() - start,
		  (4 * self->e.info.timeout_ms + 2000) * 1000000ll);
}

/* Leaves jobs that hang in contexts without a name, as many as it can */
static void abandon_contexts(int result)
{
	struct npu_work hang;
	struct npu_env e;
	uint32_t ctx, n = 0;
	int ret;

	if (npu_env_open(&e) || npu_work_hang(&e, &hang))
		_exit(1);
	while (n < 2 * e.info.max_ctxs) {
		ret = npu_ctx_create(e.fd, e.vm, 0, &ctx);
		if (!ret)
			ret = npu_submit_work(e.fd, ctx, &hang, 0);
		if (ret)
			break;
		npu_ctx_destroy(e.fd, ctx);
		n++;
	}
	if (write(result, &n, sizeof(n)) != sizeof(n))
		_exit(1);
	for (;;)
		pause();
}

TEST_F(lifetime, abandoned_contexts_count_and_go_with_their_owner)
{
	uint32_t made = 0;
	int64_t start;
	int result[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(result));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		abandon_contexts(result[1]);
	EXPECT_EQ(sizeof(made), read(result[0], &made, sizeof(made)));
	/* Some may have ended meanwhile, but few: each takes a timeout. */
	EXPECT_LT(made, self->e.info.max_ctxs * 3 / 2);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	start = npu_now_ns();
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_LT(npu_now_ns() - start,
		  (3 * self->e.info.timeout_ms + 1000) * 1000000ll);
}

TEST_F(lifetime, a_child_goes_on_with_the_file_of_its_parent)
{
	struct npu_env e;
	int status;
	pid_t pid;

	ASSERT_EQ(0, npu_env_open(&e));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct npu_work w;

		npu_sleep_ms(50);	/* the parent has closed it by then */
		if (npu_work_small(&e, &w, 9) || npu_work_run(&e, e.ctx, &w))
			_exit(1);
		_exit(0);
	}
	npu_env_close(&e);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(lifetime, objects_come_and_go_while_jobs_run)
{
	struct npu_env e = self->e;
	struct npu_work w;
	int i, fence[8];

	for (i = 0; i < 100; i++) {
		if (i >= 8) {
			int status = npu_file_wait(fence[i % 8],
						   NPU_PATIENCE_MS);

			EXPECT_TRUE(status == NPU_DONE || status == -EFAULT);
			close(fence[i % 8]);
		}
		ASSERT_EQ(0, npu_vm_create(e.fd, &e.vm));
		ASSERT_EQ(0, npu_ctx_create(e.fd, e.vm, 0, &e.ctx));
		ASSERT_EQ(0, npu_work_small(&e, &w, i));
		fence[i % 8] = npu_run_to_file(&e, e.ctx, &w.task, 1);
		ASSERT_GE(fence[i % 8], 0);
		if (i & 1)
			npu_work_free(&e, &w);	/* pulls it all away */
		ASSERT_EQ(0, npu_ctx_destroy(e.fd, e.ctx));
		ASSERT_EQ(0, npu_vm_destroy(e.fd, e.vm));
	}
}

/* Objects that threads share without asking each other */
enum { SHARED = 8 };

struct race {
	struct npu_env *e;
	struct npu_work *w;
	unsigned int seed;
	int64_t end;
	uint32_t *vm, *ctx, *bo, *sync;
};

/* Submits a job of buffers and fences that may be gone at any moment */
static void race_submit(struct race *r, uint32_t ctx, uint32_t bo,
			uint32_t wait, uint32_t signal)
{
	struct drm_npu_sync s[2] = {
		{ .handle = signal, .flags = DRM_NPU_SYNC_SIGNAL },
		{ .handle = wait, .flags = DRM_NPU_SYNC_WAIT },
	};
	struct drm_npu_buffer b = {
		.handle = bo,
		.flags = 1 + npu_random(&r->seed) % 3,
	};
	struct drm_npu_job job[2] = {
		{
			.tasks = NPU_ARRAY(&r->w->task, 1),
			.syncs = NPU_ARRAY(s, 1 + npu_random(&r->seed) % 2),
			.buffers = NPU_ARRAY(&b, 1),
		},
	};

	job[1] = job[0];
	npu_submit(r->e->fd, ctx, job, 1 + npu_random(&r->seed) % 2);
}

static void race_step(struct race *r)
{
	uint32_t *vm = &r->vm[npu_random(&r->seed) % SHARED];
	uint32_t *ctx = &r->ctx[npu_random(&r->seed) % SHARED];
	uint32_t *bo = &r->bo[npu_random(&r->seed) % SHARED];
	uint32_t *sync = &r->sync[npu_random(&r->seed) % SHARED];
	int fd = r->e->fd;
	uint32_t any_vm = npu_random(&r->seed) & 1 ? *vm : r->e->vm;
	uint64_t va = 4096 * (64 + npu_random(&r->seed) % 64);

	switch (npu_random(&r->seed) % 12) {
	case 0:
		npu_vm_destroy(fd, *vm);
		npu_vm_create(fd, vm);
		break;
	case 1:
		npu_ctx_destroy(fd, *ctx);
		npu_ctx_create(fd, r->e->vm, 0, ctx);
		break;
	case 2:
		npu_gem_close(fd, *bo);
		npu_bo_create(fd, 16384, 0, npu_random(&r->seed) & 1 ? *vm : 0,
			      bo);
		break;
	case 3:
		npu_syncobj_destroy(fd, *sync);
		npu_syncobj_create(fd, npu_random(&r->seed) & 1, sync);
		break;
	case 4:
	case 5:
		npu_map_at(fd, any_vm, *bo, va, 8192, 4096, 0);
		break;
	case 6:
		npu_unmap(fd, any_vm, va, 4096 * (1 + va % 7));
		break;
	case 7:
		npu_bo_wait(fd, *bo, 1 + npu_random(&r->seed) % 3, 1);
		break;
	case 8:
		npu_map_at(fd, any_vm, *bo, 0, 16384, 0, DRM_NPU_BIND_AUTO);
		break;
	default:
		race_submit(r, npu_random(&r->seed) % 4 ? *ctx : r->e->ctx, *bo,
			    *sync, r->sync[npu_random(&r->seed) % SHARED]);
	}
}

static void *race_thread(void *data)
{
	struct race *r = data;

	while (npu_now_ns() < r->end)
		race_step(r);
	return NULL;
}

TEST_F(lifetime, threads_pull_objects_from_under_each_other)
{
	uint32_t shared[4][SHARED] = { 0 };
	struct race r[6];
	pthread_t id[6];
	struct npu_env e;
	struct npu_work w;
	size_t n;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_work_small(&e, &w, 51));
	for (n = 0; n < ARRAY_SIZE(r); n++) {
		r[n] = (struct race){
			.e = &e, .w = &w, .seed = n,
			.end = npu_now_ns() + 4000000000ll,
			.vm = shared[0], .ctx = shared[1],
			.bo = shared[2], .sync = shared[3],
		};
		ASSERT_EQ(0, pthread_create(&id[n], NULL, race_thread, &r[n]));
	}
	for (n = 0; n < ARRAY_SIZE(r); n++)
		pthread_join(id[n], NULL);
	npu_work_free(&e, &w);
	npu_env_close(&e);
}

FIXTURE(cores)
{
	struct npu_env e;
	struct npu_work w;
	struct npu_cores c;
};

FIXTURE_SETUP(cores)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	npu_cores_find(&self->c);
	if (access(NPU_CORE_DRIVER "/unbind", W_OK))
		SKIP(return, "needs root");
	if (self->c.count != self->e.info.num_cores)
		SKIP(return, "cores are not all bound");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 41));
}

/* Puts back what a failed test has left unbound */
FIXTURE_TEARDOWN(cores)
{
	uint64_t all = (1ull << self->c.count) - 1;
	unsigned int n;

	for (n = 0; n < self->c.count; n++) {
		if (!(npu_cores_usable(self->e.fd) >> n & 1))
			npu_core_bind(&self->c, n);
	}
	EXPECT_EQ(all, npu_cores_usable(self->e.fd));
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	npu_env_close(&self->e);
}

TEST_F(cores, idle_cores_go_to_sleep)
{
	unsigned int n;

	for (n = 0; n < self->c.count; n++) {
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
	EXPECT_TRUE(npu_cores_asleep(&self->c, 5000));
	for (n = 0; n < self->c.count; n++) {
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
}

TEST_F(cores, cores_go_to_sleep_after_a_hang)
{
	struct npu_work hang;
	unsigned int n;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	for (n = 0; n < self->c.count; n++) {
		EXPECT_EQ(-ETIME, npu_work_run_on(&self->e, &hang, n));
	}
	EXPECT_TRUE(npu_cores_asleep(&self->c, 5000));
}

TEST_F(cores, sleeping_cores_can_be_bound_mapped_and_unbound)
{
	struct npu_bo bo;
	unsigned int n;

	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_TRUE(npu_cores_asleep(&self->c, 5000));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 1 << 20, 0, 0, &bo));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo.va, bo.size));
	for (n = 0; n < self->c.count; n++) {
		EXPECT_EQ(0, npu_core_unbind(&self->c, n));
		EXPECT_EQ(0, npu_core_bind(&self->c, n));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
}

TEST_F(cores, an_idle_core_goes_and_comes_back_as_itself)
{
	uint64_t all = (1ull << self->c.count) - 1;
	struct drm_npu_core_info info[NPU_CORES_MAX];
	unsigned int n, other;
	uint32_t ctx;

	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
		EXPECT_EQ(all & ~(1ull << n), npu_cores_usable(self->e.fd));
		ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_CORES, info,
				       sizeof(info)));
		EXPECT_EQ(0, info[n].usable);
		EXPECT_EQ(self->c.count > 1 ? -EINVAL : -ENODEV,
			  npu_ctx_create(self->e.fd, self->e.vm, 1ull << n,
					 &ctx));
		for (other = 0; other < self->c.count; other++) {
			if (other == n)
				continue;
			EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, other));
			EXPECT_EQ(1, info[other].usable);
		}
		EXPECT_EQ(self->e.node, npu_find_node());
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
		EXPECT_EQ(all, npu_cores_usable(self->e.fd));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
	EXPECT_EQ(self->e.node, npu_find_node());
}

TEST_F(cores, a_core_goes_while_a_job_runs_on_it)
{
	unsigned int n, other;
	struct npu_work hang;
	int fence[3], status;
	uint32_t pinned;

	if (self->c.count < 2)
		SKIP(return, "only one core");
	for (n = 0; n < self->c.count; n++) {
		other = (n + 1) % self->c.count;
		ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << n,
					    &pinned));
		fence[0] = npu_run_to_file(&self->e, pinned, &hang.task, 1);
		fence[1] = npu_run_to_file(&self->e, pinned, &self->w.task, 1);
		ASSERT_GE(fence[1], 0);
		npu_sleep_ms(20);
		fence[2] = npu_run_to_file(&self->e, self->e.ctx, &self->w.task,
					  1);
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
		EXPECT_EQ(-ENODEV, npu_file_wait(fence[0], NPU_PATIENCE_MS));
		status = npu_file_wait(fence[1], NPU_PATIENCE_MS);
		EXPECT_TRUE(status == -ENODEV || status == -ECANCELED)
			TH_LOG("a job without a core ended with %d", status);
		EXPECT_EQ(NPU_DONE, npu_file_wait(fence[2], NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, other));
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
		for (other = 0; other < 3; other++)
			close(fence[other]);
		npu_ctx_destroy(self->e.fd, pinned);
	}
}

/* Runs of @program into the outputs of @w, and their fences as files */
static int run_to_files(struct npu_env *e, uint32_t ctx, uint32_t program,
			struct npu_work *w, unsigned int count, int *fence)
{
	struct drm_npu_value value;
	unsigned int n;
	uint32_t sync;
	int ret = npu_syncobj_create(e->fd, 0, &sync);

	for (n = 0; n < count && !ret; n++) {
		value.va = w[n].bo[NPU_OUT].va;
		ret = npu_work_arm(e, &w[n]);
		if (!ret)
			ret = npu_submit_program(e->fd, ctx, program, &value, 1,
						 sync);
		if (!ret)
			fence[n] = npu_syncobj_to_file(e->fd, sync, 0);
		if (!ret && fence[n] < 0)
			ret = fence[n];
	}
	npu_syncobj_destroy(e->fd, sync);
	return ret;
}

enum { RUNS = 6 };

/* One product with as many places for its result; a program for all of them */
static int make_runs(struct npu_env *e, struct npu_work *w, uint32_t *program)
{
	struct drm_npu_patch patch = { 0 };
	int n, ret = 0;

	for (n = 0; n < RUNS && !ret; n++)
		ret = npu_work_small(e, &w[n], 77);
	patch.offset = rknn_value_at(&w[0].stream, RKNN_DPU_OUT);
	rknn_patch(&w[0].stream, RKNN_DPU_OUT, 0);
	return ret ? ret : npu_program_of_work(e, &w[0], &patch, 1, program);
}

/* A run that is stuck on a core, runs behind it, and runs that may go elsewhere */
TEST_F(cores, a_core_goes_with_runs_of_a_program)
{
	struct npu_work stuck[RUNS], moved[RUNS], hang;
	struct drm_npu_job_result r[RUNS + 1];
	int here[RUNS], there[RUNS];
	struct drm_npu_ctx_set patient = {
		.flags = DRM_NPU_CTX_SET_TIMEOUT,
		.timeout_ms = self->e.info.max_timeout_ms,
	};
	uint32_t program[3], ctx;
	unsigned int n, i;

	if (self->c.count < 2)
		SKIP(return, "only one core");
	ASSERT_EQ(0, make_runs(&self->e, stuck, &program[0]));
	ASSERT_EQ(0, make_runs(&self->e, moved, &program[1]));
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_program_of_work(&self->e, &hang, NULL, 0, &program[2]));
	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << n,
					    &ctx));
		ASSERT_EQ(0, npu_ctx_set(self->e.fd, ctx, &patient));
		ASSERT_EQ(0, npu_submit_program(self->e.fd, ctx, program[2],
						NULL, 0, 0));
		ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 1,
					  DRM_NPU_JOB_RUNNING, &r[0]));
		ASSERT_EQ(0, run_to_files(&self->e, ctx, program[0], stuck,
					  RUNS, here));
		ASSERT_EQ(0, run_to_files(&self->e, self->e.ctx, program[1],
					  moved, RUNS, there));
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
		for (i = 0; i < RUNS; i++) {
			EXPECT_GT(0, npu_file_wait(here[i], NPU_PATIENCE_MS));
			EXPECT_EQ(NPU_DONE, npu_file_wait(there[i],
							  NPU_PATIENCE_MS));
			EXPECT_EQ(0, npu_work_check(&self->e, &moved[i]));
			EXPECT_EQ(0, npu_work_check_untouched(&self->e,
							      &stuck[i]));
			close(here[i]);
			close(there[i]);
		}
		ASSERT_EQ(0, npu_job_query(self->e.fd, ctx, 1, r, RUNS + 1));
		EXPECT_EQ(-ENODEV, r[0].error);
		EXPECT_NE(0, r[0].start_ns);
		EXPECT_EQ(n, r[0].core);
		for (i = 0; i <= RUNS; i++) {
			EXPECT_EQ(DRM_NPU_JOB_ENDED, r[i].state);
			EXPECT_TRUE(r[i].error == -ENODEV ||
				    r[i].error == -ECANCELED);
			EXPECT_NE(0, r[i].end_ns);
			EXPECT_TRUE(!i || !r[i].start_ns);
		}
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
		npu_ctx_destroy(self->e.fd, ctx);
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << n,
					    &ctx));
		ASSERT_EQ(0, run_to_files(&self->e, ctx, program[0], stuck,
					  RUNS, here));
		for (i = 0; i < RUNS; i++) {
			EXPECT_EQ(NPU_DONE, npu_file_wait(here[i],
							  NPU_PATIENCE_MS));
			EXPECT_EQ(0, npu_work_check(&self->e, &stuck[i]));
			close(here[i]);
		}
		npu_ctx_destroy(self->e.fd, ctx);
	}
}

/* Programs, contexts and results are there without a core, and work after it */
TEST_F(cores, programs_and_results_outlast_all_cores)
{
	struct drm_npu_job_result before, after;
	struct drm_npu_ctx_query q;
	struct npu_work w[RUNS];
	uint32_t program[2];
	int fence[RUNS];
	unsigned int n;

	ASSERT_EQ(0, make_runs(&self->e, w, &program[0]));
	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, NULL, 0,
					 &program[1]));
	ASSERT_EQ(0, run_to_files(&self->e, self->e.ctx, program[0], w, 1,
				  fence));
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence[0], NPU_PATIENCE_MS));
	close(fence[0]);
	ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, 1, &before));
	EXPECT_EQ(DRM_NPU_JOB_ENDED, before.state);
	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
	}
	ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, 1, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(1, q.jobs_done);
	EXPECT_EQ(-ENODEV, npu_submit_program(self->e.fd, self->e.ctx,
					      program[1], NULL, 0, 0));
	EXPECT_EQ(0, npu_program_destroy(self->e.fd, program[1]));
	for (n = self->c.count; n--;) {
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
	}
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
	ASSERT_EQ(0, run_to_files(&self->e, self->e.ctx, program[0], w, RUNS,
				  fence));
	for (n = 0; n < RUNS; n++) {
		EXPECT_EQ(NPU_DONE, npu_file_wait(fence[n], NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_check(&self->e, &w[n]));
		close(fence[n]);
	}
}

TEST_F(cores, all_cores_go_with_a_file_open)
{
	int status = 0, fence;
	unsigned int n;
	uint32_t ctx;

	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
	}
	EXPECT_EQ(0, npu_cores_usable(self->e.fd));
	EXPECT_EQ(-ENODEV, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	fence = npu_run_to_file(&self->e, self->e.ctx, &self->w.task, 1);
	status = fence < 0 ? fence : npu_file_wait(fence, NPU_PATIENCE_MS);
	EXPECT_EQ(-ENODEV, status);
	if (fence >= 0)
		close(fence);
	EXPECT_EQ(0, npu_unmap(self->e.fd, self->e.vm, self->e.info.va_start,
			       self->e.info.page_size));
	for (n = self->c.count; n--;) {
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
	}
	npu_work_free(&self->e, &self->w);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 42));
	EXPECT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &self->e.ctx));
	EXPECT_EQ(self->e.node, npu_find_node());
}

/* Computes until it is told to stop; -ENODEV is bad luck, wrong bytes are not */
static void worker(unsigned int seed, int stop)
{
	struct npu_env e;
	struct npu_work w;
	int ret, runs = 0;
	char c;

	if (npu_env_open(&e) || npu_work_matmul(&e, &w, 32, 64, 64, seed))
		_exit(1);
	while (read(stop, &c, 1) < 0) {
		ret = npu_work_run(&e, e.ctx, &w);
		if (ret && ret != -ENODEV && ret != -ECANCELED && ret != -EIO)
			_exit(2);
		if (ret == -ECANCELED || ret == -EIO) {
			npu_ctx_destroy(e.fd, e.ctx);
			if (npu_ctx_create(e.fd, e.vm, 0, &e.ctx))
				_exit(3);
		}
		runs += !ret;
	}
	_exit(runs ? 0 : 4);
}

TEST_F(cores, cores_come_and_go_under_load)
{
	unsigned int seed = 1, n;
	int stop[2], status, i;
	pid_t pid[4];

	if (self->c.count < 2)
		SKIP(return, "only one core");
	ASSERT_EQ(0, pipe2(stop, O_NONBLOCK));
	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		ASSERT_GE(pid[i], 0);
		if (!pid[i]) {
			close(stop[1]);
			worker(i, stop[0]);
		}
	}
	for (i = 0; i < 30; i++) {
		n = npu_random(&seed) % self->c.count;
		EXPECT_EQ(0, npu_core_unbind(&self->c, n));
		npu_sleep_ms(npu_random(&seed) % 20);
		EXPECT_EQ(0, npu_core_bind(&self->c, n));
		npu_sleep_ms(npu_random(&seed) % 20);
	}
	close(stop[1]);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

TEST_F(cores, the_system_sleeps_whatever_is_queued)
{
	struct npu_work hang, w, runs[RUNS];
	struct drm_npu_task *tasks;
	int fence[2], status, run[RUNS];
	uint32_t count, program;
	struct npu_env bad;

	if (npu_why_not_sleep())
		SKIP(return, "%s", npu_why_not_sleep());
	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 32, 128, 64, 43));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w, 300, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, npu_work_arm(&self->e, &w));
	ASSERT_EQ(0, npu_env_open(&bad));
	ASSERT_EQ(0, npu_work_hang(&bad, &hang));
	fence[0] = npu_run_to_file(&bad, bad.ctx, &hang.task, 1);
	fence[1] = npu_run_to_file(&self->e, self->e.ctx, tasks, count);
	ASSERT_GE(fence[1], 0);
	ASSERT_EQ(0, make_runs(&self->e, runs, &program));
	ASSERT_EQ(0, run_to_files(&self->e, self->e.ctx, program, runs, RUNS,
				  run));
	EXPECT_EQ(0, npu_almost_sleep());
	status = npu_file_wait(fence[0], NPU_PATIENCE_MS);
	EXPECT_TRUE(status == -ETIME || status == -ECANCELED);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence[1], NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	for (count = 0; count < RUNS; count++) {
		EXPECT_EQ(NPU_DONE, npu_file_wait(run[count], NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_check(&self->e, &runs[count]));
		close(run[count]);
	}
	for (count = 0; count < self->c.count; count++) {
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, count));
	}
	npu_env_close(&bad);
	free(tasks);
}

TEST_F(cores, sleep_takes_nothing_from_idle_cores)
{
	unsigned int i, n;

	if (npu_why_not_sleep())
		SKIP(return, "%s", npu_why_not_sleep());
	for (i = 0; i < 2; i++) {
		EXPECT_TRUE(!i || npu_cores_asleep(&self->c, 5000));
		EXPECT_EQ(0, npu_almost_sleep());
		for (n = 0; n < self->c.count; n++) {
			EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
		}
	}
}

#define NPU_DRIVER	"/sys/bus/platform/drivers/npu"

static int unplug(void)
{
	return npu_write_file(NPU_DRIVER "/unbind", "npu");
}

/* The cores come back a moment later, and with the last of them the device. */
static int plug_in(void)
{
	int64_t end = npu_now_ns() + 20000000000ll;
	int ret = npu_write_file(NPU_DRIVER "/bind", "npu");

	while (!ret && npu_find_node() < 0) {
		if (npu_now_ns() > end)
			return -ETIMEDOUT;
		npu_sleep_ms(5);
	}
	return ret;
}

/* Is it what somebody sees whose device has gone? */
static bool is_gone(int ret)
{
	return ret == -ENODEV || ret == -ENOENT || ret == -ENXIO;
}

FIXTURE(unplug)
{
	int node;
};

FIXTURE_SETUP(unplug)
{
	self->node = npu_find_node();
	if (self->node < 0)
		SKIP(return, "no npu device");
	if (access(NPU_DRIVER "/unbind", W_OK))
		SKIP(return, "needs root");
}

/* It works, and has its name back as soon as nobody has the old one open. */
FIXTURE_TEARDOWN(unplug)
{
	int64_t end = npu_now_ns() + 20000000000ll;
	struct npu_env e;
	struct npu_work w;
	unsigned int n;

	if (npu_find_node() < 0) {
		EXPECT_EQ(0, plug_in());
	}
	while (npu_find_node() != self->node && npu_now_ns() < end) {
		EXPECT_EQ(0, unplug());
		EXPECT_EQ(0, plug_in());
	}
	ASSERT_EQ(0, npu_env_open(&e));
	EXPECT_EQ(self->node, e.node);
	ASSERT_EQ(0, npu_work_small(&e, &w, 82));
	for (n = 0; n < e.info.num_cores; n++) {
		EXPECT_EQ(0, npu_work_run_on(&e, &w, n));
	}
	npu_env_close(&e);
}

TEST_F(unplug, the_device_goes_while_jobs_run_and_files_are_open)
{
	struct npu_work hang, small, w;
	struct drm_npu_task *tasks;
	struct npu_env e, bad;
	uint32_t count, handle;
	int fence[3], n;

	ASSERT_EQ(0, npu_env_open(&e));
	ASSERT_EQ(0, npu_env_open(&bad));
	ASSERT_EQ(0, npu_work_small(&e, &small, 81));
	ASSERT_EQ(0, npu_work_matmul(&e, &w, 32, 128, 64, 83));
	ASSERT_EQ(0, npu_work_hang(&bad, &hang));
	ASSERT_EQ(0, npu_long_tasks(&e, e.ctx, &w, 300, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	fence[0] = npu_run_to_file(&bad, bad.ctx, &hang.task, 1);
	fence[1] = npu_run_to_file(&e, e.ctx, tasks, count);
	fence[2] = npu_run_to_file(&e, e.ctx, &small.task, 1);
	ASSERT_GE(fence[0], 0);
	ASSERT_GE(fence[1], 0);
	ASSERT_GE(fence[2], 0);
	ASSERT_EQ(0, unplug());
	EXPECT_LT(npu_find_node(), 0);
	for (n = 0; n < 3; n++) {
		int status = npu_file_wait(fence[n], NPU_PATIENCE_MS);

		EXPECT_TRUE(status == -ENODEV || status == -ECANCELED ||
			    (n && status == NPU_DONE))
			TH_LOG("job %d ended with %d", n, status);
		close(fence[n]);
	}
	EXPECT_EQ(-ENODEV, npu_bo_create(e.fd, 4096, 0, 0, &handle));
	EXPECT_EQ(-ENODEV, npu_submit_work(e.fd, e.ctx, &small, 0));
	EXPECT_EQ(-ENODEV, npu_ctx_destroy(bad.fd, bad.ctx));

	/* That it is back is nothing to those who had the old one. */
	ASSERT_EQ(0, plug_in());
	EXPECT_EQ(-ENODEV, npu_submit_work(e.fd, e.ctx, &small, 0));
	npu_work_free(&e, &small);
	npu_work_free(&e, &w);
	npu_work_free(&bad, &hang);
	npu_env_close(&bad);
	npu_env_close(&e);
	free(tasks);
}

/* Opens it again whenever it has gone */
static void stubborn_client(unsigned int seed, int stop)
{
	int ret, runs = 0;
	struct npu_env e;
	struct npu_work w;
	char c;

	while (read(stop, &c, 1) < 0) {
		ret = npu_env_open(&e);
		if (is_gone(ret))
			continue;
		if (ret)
			_exit(1);
		ret = npu_work_matmul(&e, &w, 32, 64, 64, seed++);
		while (!ret && read(stop, &c, 1) < 0) {
			ret = npu_work_run(&e, e.ctx, &w);
			runs += !ret;
		}
		if (ret && ret != -ENODEV && ret != -ECANCELED)
			_exit(2);
		npu_work_free(&e, &w);
		npu_env_close(&e);
	}
	_exit(runs ? 0 : 3);
}

static int start_clients(void (*client)(unsigned int seed, int stop),
			 pid_t *pid, unsigned int count, int *stop)
{
	unsigned int n;
	int fd[2];

	if (pipe2(fd, O_NONBLOCK))
		return -errno;
	for (n = 0; n < count; n++) {
		pid[n] = fork();
		if (pid[n] < 0)
			return -errno;
		if (!pid[n]) {
			close(fd[1]);
			client(n, fd[0]);
		}
	}
	close(fd[0]);
	*stop = fd[1];
	return 0;
}

/* Zero if all of them were content */
static int stop_clients(const pid_t *pid, unsigned int count, int stop)
{
	int status, bad = 0;
	unsigned int n;

	close(stop);
	for (n = 0; n < count; n++)
		bad |= waitpid(pid[n], &status, 0) != pid[n] ? 1 : status;
	return bad;
}

TEST_F(unplug, the_device_comes_and_goes_under_load)
{
	unsigned int seed = 5, i;
	pid_t pid[4];
	int stop;

	ASSERT_EQ(0, start_clients(stubborn_client, pid, 4, &stop));
	for (i = 0; i < 8; i++) {
		npu_sleep_ms(npu_random(&seed) % 300);
		EXPECT_EQ(0, unplug());
		npu_sleep_ms(npu_random(&seed) % 20);
		EXPECT_EQ(0, plug_in());
	}
	npu_sleep_ms(500);
	EXPECT_EQ(0, stop_clients(pid, 4, stop));
}

TEST_F(unplug, the_system_sleeps_under_load)
{
	unsigned int i;
	pid_t pid[4];
	int stop;

	if (npu_why_not_sleep())
		SKIP(return, "%s", npu_why_not_sleep());
	ASSERT_EQ(0, start_clients(stubborn_client, pid, 4, &stop));
	for (i = 0; i < 4; i++) {
		npu_sleep_ms(200);
		EXPECT_EQ(0, npu_almost_sleep());
	}
	npu_sleep_ms(200);
	EXPECT_EQ(0, stop_clients(pid, 4, stop));
}

/* Somebody may have the device open at this moment */
static int unload_module(void)
{
	int64_t end = npu_now_ns() + 20000000000ll;
	int ret;

	do {
		ret = syscall(SYS_delete_module, "npu", O_NONBLOCK) ?
		      -errno : 0;
		if (ret)
			npu_sleep_ms(1);
	} while (ret && npu_now_ns() < end);
	return ret;
}

/* Opens the device the moment it is there; then it has to work */
static void impatient_client(unsigned int seed, int stop)
{
	struct npu_env e;
	struct npu_work w;
	int ret;
	char c;

	while (read(stop, &c, 1) < 0) {
		ret = npu_env_open(&e);
		if (ret == -ENODEV || ret == -ENOENT || ret == -ENXIO)
			continue;
		if (ret)
			_exit(1);
		ret = npu_work_small(&e, &w, seed++);
		if (!ret)
			ret = npu_work_run(&e, e.ctx, &w);
		npu_work_free(&e, &w);	/* mappings keep the module, too */
		npu_env_close(&e);
		if (ret && ret != -ENODEV)
			_exit(2);
		npu_sleep_ms(200);	/* time to unload the module */
	}
	_exit(0);
}

FIXTURE(module)
{
};

FIXTURE_SETUP(module)
{
	if (npu_find_node() < 0 || geteuid())
		SKIP(return, "no npu device, or not root");
	if (system("modprobe -D npu >/dev/null 2>&1"))
		SKIP(return, "the module is not installed");
	if (unload_module())
		SKIP(return, "the module cannot be unloaded");
}

FIXTURE_TEARDOWN(module)
{
	struct npu_env e;

	ASSERT_EQ(0, npu_env_open(&e));
	npu_env_close(&e);
}

TEST_F(module, clients_open_it_while_it_loads)
{
	int stop[2], status, i;
	pid_t pid[3];

	ASSERT_EQ(0, pipe2(stop, O_NONBLOCK));
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		ASSERT_GE(pid[i], 0);
		if (!pid[i]) {
			close(stop[1]);
			impatient_client(i, stop[0]);
		}
	}
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, system("modprobe npu"));
		npu_sleep_ms(50);
		EXPECT_EQ(0, unload_module());
	}
	EXPECT_EQ(0, system("modprobe npu"));
	close(stop[1]);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

TEST_HARNESS_MAIN
