// SPDX-License-Identifier: GPL-2.0-only
/* What the tests of the npu accel driver share. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/sync_file.h>

#include "npu_mem.h"
#include "npu_test.h"

/* Numbers of device files: accel nodes first, then render nodes */
#define ACCEL_NODES	64
#define RENDER_NODES	64
#define FIRST_RENDER	128

int npu_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

int64_t npu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* The clock of job results */
uint64_t npu_raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void npu_sleep_ms(unsigned int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000l,
	};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Small, fast and the same everywhere */
uint32_t npu_random(unsigned int *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

void npu_fill_random(void *data, size_t size, unsigned int seed)
{
	uint8_t *p = data;

	while (size--)
		*p++ = npu_random(&seed);
}

static bool is_npu(int fd)
{
	char name[16] = "";
	struct drm_version version = {
		.name = name,
		.name_len = sizeof(name) - 1,
	};

	if (npu_ioctl(fd, DRM_IOCTL_VERSION, &version))
		return false;
	return version.name_len == 3 && !memcmp(name, "npu", 3);
}

/* A kernel without the accel subsystem has the device among its GPUs */
int npu_open_node(int node)
{
	char path[32];
	int fd;

	if (node < ACCEL_NODES)
		snprintf(path, sizeof(path), "/dev/accel/accel%d", node);
	else
		snprintf(path, sizeof(path), "/dev/dri/renderD%d",
			 FIRST_RENDER + node - ACCEL_NODES);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (is_npu(fd))
		return fd;
	close(fd);
	return -ENODEV;
}

int npu_find_node(void)
{
	int node, fd;

	for (node = 0; node < ACCEL_NODES + RENDER_NODES; node++) {
		fd = npu_open_node(node);
		if (fd < 0)
			continue;
		close(fd);
		return node;
	}
	return -ENODEV;
}

int npu_query(int fd, uint32_t type, void *data, uint32_t size)
{
	struct drm_npu_query q = {
		.type = type,
		.size = size,
		.ptr = (uintptr_t)data,
	};

	memset(data, 0, size);
	return npu_ioctl(fd, DRM_IOCTL_NPU_QUERY, &q);
}

/* Only the file, without an address space or a context */
int npu_env_open_plain(struct npu_env *e)
{
	int ret;

	memset(e, 0, sizeof(*e));
	e->fd = -1;
	e->node = npu_find_node();
	if (e->node < 0)
		return e->node;
	e->fd = npu_open_node(e->node);
	if (e->fd < 0)
		return e->fd;
	ret = npu_query(e->fd, DRM_NPU_QUERY_DEVICE, &e->info, sizeof(e->info));
	if (!ret && strncmp((char *)e->info.family, RKNN_FAMILY,
			    sizeof(e->info.family)))
		ret = -ENODEV;	/* not the one our streams are for */
	if (ret)
		npu_env_close(e);
	return ret;
}

int npu_env_open(struct npu_env *e)
{
	int ret = npu_env_open_plain(e);

	if (!ret)
		ret = npu_vm_create(e->fd, &e->vm);
	if (!ret)
		ret = npu_ctx_create(e->fd, e->vm, 0, &e->ctx);
	if (ret)
		npu_env_close(e);
	return ret;
}

void npu_env_close(struct npu_env *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

unsigned int npu_first_core(const struct npu_env *e)
{
	return __builtin_ctzll(e->info.core_mask);
}

/* Takes the lowest core out of @mask; for loops over all cores */
uint64_t npu_next_core(uint64_t mask, unsigned int *core)
{
	*core = __builtin_ctzll(mask);
	return mask & (mask - 1);
}

int npu_vm_create(int fd, uint32_t *vm)
{
	struct drm_npu_vm_create arg = { .vm_id = 0xcccccccc };
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_VM_CREATE, &arg);

	*vm = ret ? 0 : arg.vm_id;
	return ret;
}

int npu_vm_destroy(int fd, uint32_t vm)
{
	struct drm_npu_vm_destroy arg = { .vm_id = vm };

	return npu_ioctl(fd, DRM_IOCTL_NPU_VM_DESTROY, &arg);
}

int npu_ctx_create(int fd, uint32_t vm, uint64_t core_mask, uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = vm,
		.core_mask = core_mask,
		.ctx_id = 0xcccccccc,
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = ret ? 0 : arg.ctx_id;
	return ret;
}

int npu_ctx_destroy(int fd, uint32_t ctx)
{
	struct drm_npu_ctx_destroy arg = { .ctx_id = ctx };

	return npu_ioctl(fd, DRM_IOCTL_NPU_CTX_DESTROY, &arg);
}

int npu_ctx_query(int fd, uint32_t ctx, struct drm_npu_ctx_query *query)
{
	memset(query, 0, sizeof(*query));
	query->ctx_id = ctx;
	return npu_ioctl(fd, DRM_IOCTL_NPU_CTX_QUERY, query);
}

int npu_ctx_set(int fd, uint32_t ctx, const struct drm_npu_ctx_set *set)
{
	struct drm_npu_ctx_set arg = *set;

	arg.ctx_id = ctx;
	return npu_ioctl(fd, DRM_IOCTL_NPU_CTX_SET, &arg);
}

int npu_bo_create(int fd, uint64_t size, uint32_t flags, uint32_t vm,
		  uint32_t *handle)
{
	struct drm_npu_bo_create arg = {
		.size = size,
		.flags = flags,
		.vm_id = vm,
		.handle = 0xcccccccc,
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_BO_CREATE, &arg);

	*handle = ret ? 0 : arg.handle;
	return ret;
}

int npu_bo_mmap(int fd, struct npu_bo *bo)
{
	struct drm_npu_bo_query arg = { .handle = bo->handle };
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_BO_QUERY, &arg);
	void *map;

	if (ret)
		return ret;
	bo->size = arg.size;
	bo->flags = arg.flags;
	map = mmap(NULL, arg.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   arg.mmap_offset);
	if (map == MAP_FAILED)
		return -errno;
	bo->map = map;
	return 0;
}

/* Creates a buffer and maps it for the CPU */
int npu_bo_new(int fd, uint64_t size, uint32_t flags, uint32_t vm,
	       struct npu_bo *bo)
{
	int ret;

	memset(bo, 0, sizeof(*bo));
	ret = npu_bo_create(fd, size, flags, vm, &bo->handle);
	if (!ret)
		ret = npu_bo_mmap(fd, bo);
	if (ret)
		npu_bo_free(fd, bo);
	return ret;
}

int npu_bo_sync(int fd, const struct npu_bo *bo, uint32_t dir)
{
	struct drm_npu_bo_sync_op op = {
		.handle = bo->handle,
		.dir = dir,
		.size = bo->size,
	};
	struct drm_npu_bo_sync arg = { .ops = NPU_ARRAY(&op, 1) };

	return npu_ioctl(fd, DRM_IOCTL_NPU_BO_SYNC, &arg);
}

int npu_bo_wait(int fd, uint32_t handle, uint32_t flags, int64_t timeout_ms)
{
	struct drm_npu_bo_wait arg = {
		.handle = handle,
		.flags = flags,
		.deadline_ns = npu_now_ns() + timeout_ms * 1000000,
	};

	return npu_ioctl(fd, DRM_IOCTL_NPU_BO_WAIT, &arg);
}

int npu_gem_close(int fd, uint32_t handle)
{
	struct drm_gem_close arg = { .handle = handle };

	return npu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &arg);
}

int npu_export(int fd, uint32_t handle)
{
	struct drm_prime_handle p = {
		.handle = handle,
		.flags = DRM_CLOEXEC | DRM_RDWR,
		.fd = -1,
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &p);

	return ret ? ret : p.fd;
}

void npu_bo_free(int fd, struct npu_bo *bo)
{
	if (bo->map)
		munmap(bo->map, bo->size);
	if (bo->handle)
		npu_gem_close(fd, bo->handle);
	memset(bo, 0, sizeof(*bo));
}

int npu_bind(int fd, uint32_t vm, struct drm_npu_bind_op *ops, uint32_t count,
	     uint32_t *done)
{
	struct drm_npu_vm_bind arg = {
		.vm_id = vm,
		.ops = NPU_ARRAY(ops, count),
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &arg);

	if (done)
		*done = arg.ops.count;
	return ret;
}

/* Maps a whole buffer where the kernel likes it */
int npu_map(int fd, uint32_t vm, struct npu_bo *bo, uint32_t flags)
{
	struct drm_npu_bind_op op = {
		.type = DRM_NPU_BIND_MAP,
		.flags = flags | DRM_NPU_BIND_AUTO,
		.handle = bo->handle,
		.size = bo->size,
	};
	int ret = npu_bind(fd, vm, &op, 1, NULL);

	if (!ret)
		bo->va = op.va;
	return ret;
}

int npu_map_at(int fd, uint32_t vm, uint32_t handle, uint64_t va, uint64_t size,
	       uint64_t bo_offset, uint32_t flags)
{
	struct drm_npu_bind_op op = {
		.type = DRM_NPU_BIND_MAP,
		.flags = flags,
		.handle = handle,
		.bo_offset = bo_offset,
		.va = va,
		.size = size,
	};

	return npu_bind(fd, vm, &op, 1, NULL);
}

int npu_unmap(int fd, uint32_t vm, uint64_t va, uint64_t size)
{
	struct drm_npu_bind_op op = {
		.type = DRM_NPU_BIND_UNMAP,
		.va = va,
		.size = size,
	};

	return npu_bind(fd, vm, &op, 1, NULL);
}

int npu_submit(int fd, uint32_t ctx, struct drm_npu_job *jobs, uint32_t count)
{
	uint64_t first;

	return npu_submit_ids(fd, ctx, jobs, count, &first);
}

/* Tells the id of the first of the jobs; zero when there are none */
int npu_submit_ids(int fd, uint32_t ctx, struct drm_npu_job *jobs,
		   uint32_t count, uint64_t *first)
{
	struct drm_npu_submit arg = {
		.ctx_id = ctx,
		.jobs = NPU_ARRAY(jobs, count),
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_SUBMIT, &arg);

	*first = ret ? 0 : arg.first_job;
	return ret;
}

/* One job; @signal may be zero */
int npu_submit_tasks(int fd, uint32_t ctx, struct drm_npu_task *tasks,
		     uint32_t count, uint32_t signal)
{
	struct drm_npu_sync sync = {
		.handle = signal,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job job = { .tasks = NPU_ARRAY(tasks, count) };

	if (signal)
		job.syncs = NPU_ARRAY(&sync, 1);
	return npu_submit(fd, ctx, &job, 1);
}

int npu_submit_work(int fd, uint32_t ctx, struct npu_work *w, uint32_t signal)
{
	return npu_submit_tasks(fd, ctx, &w->task, 1, signal);
}

/* What became of @count jobs from @first on */
int npu_job_query(int fd, uint32_t ctx, uint64_t first,
		  struct drm_npu_job_result *results, uint32_t count)
{
	struct drm_npu_job_query arg = {
		.ctx_id = ctx,
		.first_job = first,
		.results = NPU_ARRAY(results, count),
	};

	memset(results, 0xcc, count * sizeof(*results));
	return npu_ioctl(fd, DRM_IOCTL_NPU_JOB_QUERY, &arg);
}

int npu_job_result(int fd, uint32_t ctx, uint64_t job,
		   struct drm_npu_job_result *result)
{
	return npu_job_query(fd, ctx, job, result, 1);
}

/* Until a job is at least as far as @state, and what is known of it then */
int npu_job_wait(int fd, uint32_t ctx, uint64_t job, uint32_t state,
		 struct drm_npu_job_result *result)
{
	int64_t end = npu_now_ns() + NPU_PATIENCE_MS * 1000000ll;
	int ret;

	for (;;) {
		ret = npu_job_result(fd, ctx, job, result);
		if (ret || result->state >= state)
			return ret;
		if (npu_now_ns() > end)
			return -ETIMEDOUT;
		npu_sleep_ms(1);
	}
}

int npu_program_create(int fd, struct drm_npu_program_create *arg,
		       uint32_t *program)
{
	int ret;

	arg->program_id = 0xcccccccc;
	ret = npu_ioctl(fd, DRM_IOCTL_NPU_PROGRAM_CREATE, arg);
	*program = ret ? 0 : arg->program_id;
	return ret;
}

int npu_program_destroy(int fd, uint32_t program)
{
	struct drm_npu_program_destroy arg = { .program_id = program };

	return npu_ioctl(fd, DRM_IOCTL_NPU_PROGRAM_DESTROY, &arg);
}

/* A program of one task that does what the work does */
int npu_program_of_work(struct npu_env *e, const struct npu_work *w,
			struct drm_npu_patch *patches, uint32_t count,
			uint32_t *program)
{
	struct drm_npu_task task = w->task;
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.cmds = (uintptr_t)w->stream.words,
		.cmds_size = w->task.cmd_size,
		.tasks = NPU_ARRAY(&task, 1),
	};

	task.cmd_va = 0;
	if (count)
		arg.patches = NPU_ARRAY(patches, count);
	return npu_program_create(e->fd, &arg, program);
}

/* One job; @count and @signal may be zero */
int npu_submit_program(int fd, uint32_t ctx, uint32_t program,
		       struct drm_npu_value *values, uint32_t count,
		       uint32_t signal)
{
	struct drm_npu_sync sync = {
		.handle = signal,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	struct drm_npu_job job = { .program_id = program };

	if (count)
		job.values = NPU_ARRAY(values, count);
	if (signal)
		job.syncs = NPU_ARRAY(&sync, 1);
	return npu_submit(fd, ctx, &job, 1);
}

int npu_syncobj_create(int fd, uint32_t flags, uint32_t *handle)
{
	struct drm_syncobj_create arg = { .flags = flags };
	int ret = npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &arg);

	*handle = ret ? 0 : arg.handle;
	return ret;
}

int npu_syncobj_destroy(int fd, uint32_t handle)
{
	struct drm_syncobj_destroy arg = { .handle = handle };

	return npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &arg);
}

int npu_syncobj_wait(int fd, uint32_t handle, uint64_t point,
		     int64_t timeout_ms)
{
	int64_t deadline = npu_now_ns() + timeout_ms * 1000000;
	struct drm_syncobj_timeline_wait timeline = {
		.handles = (uintptr_t)&handle,
		.points = (uintptr_t)&point,
		.timeout_nsec = deadline,
		.count_handles = 1,
	};
	struct drm_syncobj_wait binary = {
		.handles = (uintptr_t)&handle,
		.timeout_nsec = deadline,
		.count_handles = 1,
	};

	if (point)
		return npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &timeline);
	return npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_WAIT, &binary);
}

/* One job without syncs: how its fence ends, and what is told about it */
int npu_run_job(struct npu_env *e, uint32_t ctx, struct drm_npu_job *job,
		struct drm_npu_job_result *result)
{
	struct drm_npu_sync sync = { .flags = DRM_NPU_SYNC_SIGNAL };
	int ret, status = 0;
	uint64_t id;

	job->syncs = NPU_ARRAY(&sync, 1);
	ret = npu_syncobj_create(e->fd, 0, &sync.handle);
	if (ret)
		return ret;
	ret = npu_submit_ids(e->fd, ctx, job, 1, &id);
	if (!ret)
		status = npu_syncobj_status(e->fd, sync.handle, 0);
	if (!ret)
		ret = npu_job_result(e->fd, ctx, id, result);
	npu_syncobj_destroy(e->fd, sync.handle);
	return ret ? ret : status;
}

int npu_run_tasks(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
		  uint32_t count, struct drm_npu_job_result *result)
{
	struct drm_npu_job job = { .tasks = NPU_ARRAY(tasks, count) };

	return npu_run_job(e, ctx, &job, result);
}

/* The present fence of a syncobj as a sync file */
int npu_syncobj_to_file(int fd, uint32_t handle, uint64_t point)
{
	struct drm_syncobj_transfer transfer = {
		.src_handle = handle,
		.src_point = point,
	};
	struct drm_syncobj_handle export = {
		.flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
		.fd = -1,
	};
	int ret;

	ret = npu_syncobj_create(fd, 0, &transfer.dst_handle);
	if (ret)
		return ret;
	ret = npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_TRANSFER, &transfer);
	if (!ret) {
		export.handle = transfer.dst_handle;
		ret = npu_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &export);
	}
	npu_syncobj_destroy(fd, transfer.dst_handle);
	return ret ? ret : export.fd;
}

/*
 * NPU_DONE, the error the job ended with, or 0 while it is pending. A point of a
 * timeline brings the points before it along; its own fence is the first.
 */
int npu_file_status(int sync_fd)
{
	struct sync_fence_info fence[16] = { 0 };
	struct sync_file_info info = {
		.num_fences = 16,
		.sync_fence_info = (uintptr_t)fence,
	};
	int ret = npu_ioctl(sync_fd, SYNC_IOC_FILE_INFO, &info);

	return ret ? ret : fence[0].status;
}

/* Waits for a job to end and says how; -ETIMEDOUT when it does not end */
int npu_file_wait(int sync_fd, int timeout_ms)
{
	struct pollfd p = { .fd = sync_fd, .events = POLLIN };
	int ret = poll(&p, 1, timeout_ms);

	if (ret < 0)
		return -errno;
	return ret ? npu_file_status(sync_fd) : -ETIMEDOUT;
}

/*
 * The same for a syncobj. Takes hold of the fence first: a timeline forgets
 * the errors of points that have passed.
 */
int npu_syncobj_status(int fd, uint32_t handle, uint64_t point)
{
	int ret, sync_fd = npu_syncobj_to_file(fd, handle, point);

	if (sync_fd < 0)
		return sync_fd;
	ret = npu_file_wait(sync_fd, NPU_PATIENCE_MS);
	close(sync_fd);
	return ret;
}

static int work_bo(struct npu_env *e, struct npu_work *w, enum npu_work_bo which,
		   size_t size)
{
	int ret = npu_bo_new(e->fd, size, 0, 0, &w->bo[which]);

	return ret ? ret : npu_map(e->fd, e->vm, &w->bo[which], 0);
}

/* Buffers of the given sizes; a size of zero means none */
static int work_alloc(struct npu_env *e, struct npu_work *w, size_t in,
		      size_t aux, size_t bias, size_t out)
{
	size_t size[NPU_WORK_BOS] = {
		[NPU_CMD] = sizeof(w->stream.words),
		[NPU_IN] = in,
		[NPU_AUX] = aux,
		[NPU_BIAS] = bias,
		[NPU_OUT] = out,
	};
	int i, ret;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < NPU_WORK_BOS; i++) {
		ret = size[i] ? work_bo(e, w, i, size[i]) : 0;
		if (ret) {
			npu_work_free(e, w);
			return ret;
		}
	}
	if (!out)
		return 0;
	w->expect = malloc(w->bo[NPU_OUT].size);
	if (!w->expect) {
		npu_work_free(e, w);
		return -ENOMEM;
	}
	memset(w->expect, NPU_CANARY, w->bo[NPU_OUT].size);
	return 0;
}

/* Writes the stream where the NPU finds it and makes a task of it */
int npu_work_stream(struct npu_env *e, struct npu_work *w)
{
	size_t size = w->stream.count * sizeof(w->stream.words[0]);

	memcpy(w->bo[NPU_CMD].map, w->stream.words, size);
	w->task.cmd_va = w->bo[NPU_CMD].va;
	w->task.cmd_size = size;
	return npu_bo_sync(e->fd, &w->bo[NPU_CMD], DRM_NPU_SYNC_TO_DEVICE);
}

/* Ready to run: inputs in memory, the output full of what no job writes */
int npu_work_arm(struct npu_env *e, struct npu_work *w)
{
	int i, ret;

	if (w->bo[NPU_OUT].map)
		memset(w->bo[NPU_OUT].map, NPU_CANARY, w->bo[NPU_OUT].size);
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (!w->bo[i].handle)
			continue;
		ret = npu_bo_sync(e->fd, &w->bo[i], DRM_NPU_SYNC_TO_DEVICE);
		if (ret)
			return ret;
	}
	return 0;
}

static int work_ready(struct npu_env *e, struct npu_work *w)
{
	int ret = npu_work_stream(e, w);

	if (!ret)
		ret = npu_work_arm(e, w);
	if (ret)
		npu_work_free(e, w);
	return ret;
}

int npu_work_matmul(struct npu_env *e, struct npu_work *w, uint32_t m,
		    uint32_t k, uint32_t n, unsigned int seed)
{
	struct rknn_matmul op = { .m = m, .k = k, .n = n };
	int ret;

	ret = work_alloc(e, w, rknn_matmul_in_size(&op),
			 rknn_matmul_weight_size(&op), 0,
			 rknn_matmul_out_size(&op));
	if (ret)
		return ret;
	op.in_va = w->bo[NPU_IN].va;
	op.weight_va = w->bo[NPU_AUX].va;
	op.out_va = w->bo[NPU_OUT].va;
	npu_fill_random(w->bo[NPU_IN].map, rknn_matmul_in_size(&op), seed);
	npu_fill_random(w->bo[NPU_AUX].map, rknn_matmul_weight_size(&op),
			seed + 1);
	rknn_matmul_cmd(&w->stream, &op);
	rknn_matmul_ref(&op, (int8_t *)w->bo[NPU_IN].map,
			(int8_t *)w->bo[NPU_AUX].map, (int32_t *)w->expect);
	return work_ready(e, w);
}

static void fill_bias(int32_t *bias, uint32_t count, unsigned int seed)
{
	while (count--)
		*bias++ = (int32_t)(npu_random(&seed) % 40001) - 20000;
}

int npu_work_conv(struct npu_env *e, struct npu_work *w,
		  const struct rknn_conv *shape, unsigned int seed)
{
	struct rknn_conv op = *shape;
	int ret;

	ret = work_alloc(e, w, rknn_conv_in_size(&op),
			 rknn_conv_weight_size(&op), op.oc * sizeof(int32_t),
			 rknn_conv_out_size(&op));
	if (ret)
		return ret;
	op.in_va = w->bo[NPU_IN].va;
	op.weight_va = w->bo[NPU_AUX].va;
	op.bias_va = w->bo[NPU_BIAS].va;
	op.out_va = w->bo[NPU_OUT].va;
	npu_fill_random(w->bo[NPU_IN].map, rknn_conv_in_size(&op), seed);
	npu_fill_random(w->bo[NPU_AUX].map, rknn_conv_weight_size(&op),
			seed + 1);
	fill_bias((int32_t *)w->bo[NPU_BIAS].map, op.oc, seed + 2);
	rknn_conv_cmd(&w->stream, &op);
	rknn_conv_ref(&op, (int8_t *)w->bo[NPU_IN].map,
		      (int8_t *)w->bo[NPU_AUX].map,
		      (int32_t *)w->bo[NPU_BIAS].map, (int8_t *)w->expect);
	return work_ready(e, w);
}

int npu_work_ew(struct npu_env *e, struct npu_work *w,
		const struct rknn_ew *shape, unsigned int seed)
{
	struct rknn_ew op = *shape;
	size_t size = rknn_ew_size(&op);
	int ret;

	ret = work_alloc(e, w, size, size, 0, size);
	if (ret)
		return ret;
	op.a_va = w->bo[NPU_IN].va;
	op.b_va = w->bo[NPU_AUX].va;
	op.out_va = w->bo[NPU_OUT].va;
	npu_fill_random(w->bo[NPU_IN].map, size, seed);
	npu_fill_random(w->bo[NPU_AUX].map, size, seed + 1);
	rknn_ew_cmd(&w->stream, &op);
	rknn_ew_ref(&op, (int8_t *)w->bo[NPU_IN].map,
		    (int8_t *)w->bo[NPU_AUX].map, (int8_t *)w->expect);
	return work_ready(e, w);
}

int npu_work_pool(struct npu_env *e, struct npu_work *w,
		  const struct rknn_pool *shape, unsigned int seed)
{
	struct rknn_pool op = *shape;
	int ret;

	ret = work_alloc(e, w, rknn_pool_in_size(&op), 0, 0,
			 rknn_pool_out_size(&op));
	if (ret)
		return ret;
	op.in_va = w->bo[NPU_IN].va;
	op.out_va = w->bo[NPU_OUT].va;
	npu_fill_random(w->bo[NPU_IN].map, rknn_pool_in_size(&op), seed);
	rknn_pool_cmd(&w->stream, &op);
	rknn_pool_ref(&op, (int8_t *)w->bo[NPU_IN].map, (int8_t *)w->expect);
	w->task.done_unit = RKNN_DONE_PPU;
	return work_ready(e, w);
}

/* The shortest job that has something to get wrong */
int npu_work_small(struct npu_env *e, struct npu_work *w, unsigned int seed)
{
	return npu_work_matmul(e, w, 4, 64, 32, seed);
}

/* A stream that starts no block, so that no completion ever comes */
int npu_work_hang(struct npu_env *e, struct npu_work *w)
{
	unsigned int i;
	int ret = work_alloc(e, w, 0, 0, 0, 0);

	if (ret)
		return ret;
	for (i = 0; i < 16; i++)
		rknn_emit(&w->stream, 0, 0, 0);
	return work_ready(e, w);
}

static long count_wrong(const uint8_t *expect, const uint8_t *seen, size_t size)
{
	long wrong = 0;
	size_t i;

	for (i = 0; i < size; i++)
		wrong += expect[i] != seen[i];
	return wrong;
}

/* How many bytes of the whole output buffer are not as they must be */
long npu_work_check(struct npu_env *e, struct npu_work *w)
{
	struct npu_bo *out = &w->bo[NPU_OUT];
	int ret = npu_bo_sync(e->fd, out, DRM_NPU_SYNC_FROM_DEVICE);

	return ret ? ret : count_wrong(w->expect, out->map, out->size);
}

/* How many bytes of the output buffer a job has touched */
long npu_work_check_untouched(struct npu_env *e, struct npu_work *w)
{
	struct npu_bo *out = &w->bo[NPU_OUT];
	int ret = npu_bo_sync(e->fd, out, DRM_NPU_SYNC_FROM_DEVICE);
	long touched = 0;
	size_t i;

	if (ret)
		return ret;
	for (i = 0; i < out->size; i++)
		touched += out->map[i] != NPU_CANARY;
	return touched;
}

/* Runs the work once: 0, the error of its fence, or -EBADMSG for wrong bytes */
int npu_work_run(struct npu_env *e, uint32_t ctx, struct npu_work *w)
{
	uint32_t sync;
	long wrong;
	int ret;

	ret = npu_work_arm(e, w);
	if (ret)
		return ret;
	ret = npu_syncobj_create(e->fd, 0, &sync);
	if (ret)
		return ret;
	ret = npu_submit_work(e->fd, ctx, w, sync);
	if (!ret)
		ret = npu_syncobj_status(e->fd, sync, 0);
	npu_syncobj_destroy(e->fd, sync);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	/* Of those that cannot be looked at, nobody knows whether they are wrong. */
	wrong = npu_work_check(e, w);
	return wrong < 0 ? wrong : wrong ? -EBADMSG : 0;
}

/* Runs on every core in turn; the first that fails is told */
int npu_work_run_everywhere(struct npu_env *e, struct npu_work *w)
{
	uint64_t left = e->info.core_mask;
	unsigned int core;
	uint32_t ctx;
	int ret;

	while (left) {
		left = npu_next_core(left, &core);
		ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &ctx);
		if (!ret)
			ret = npu_work_run(e, ctx, w);
		npu_ctx_destroy(e->fd, ctx);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Work n operates on the output of work n - 1, by max, min and add in turn. Were
 * two of them to change places, or to run at the same time, the last result
 * would be another.
 */
int npu_work_chain(struct npu_env *e, struct npu_work *w, unsigned int count,
		   unsigned int seed)
{
	struct rknn_ew shape = { .w = 4, .h = 4 };
	unsigned int n;
	int ret = 0;

	for (n = 0; n < count && !ret; n++) {
		shape.op = n % 3;
		ret = npu_work_ew(e, &w[n], &shape, seed + n);
		if (ret || !n)
			continue;
		rknn_patch(&w[n].stream, 0x5018, w[n - 1].bo[NPU_OUT].va);
		rknn_ew_ref(&shape, (int8_t *)w[n - 1].expect,
			    (int8_t *)w[n].bo[NPU_AUX].map,
			    (int8_t *)w[n].expect);
		ret = npu_work_stream(e, &w[n]);
	}
	return ret;
}

void npu_work_free(struct npu_env *e, struct npu_work *w)
{
	int i;

	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (w->bo[i].va)
			npu_unmap(e->fd, e->vm, w->bo[i].va, w->bo[i].size);
		npu_bo_free(e->fd, &w->bo[i]);
	}
	free(w->expect);
	memset(w, 0, sizeof(*w));
}

/*
 * Occupies a core with work that hangs, for as long as the driver lets it.
 * @sync, which may be NULL, is a syncobj with the fence of that job.
 */
int npu_block_core(struct npu_env *e, struct npu_work *hang, unsigned int core,
		   uint32_t *sync)
{
	struct drm_npu_job_result result;
	uint32_t ctx, signal = 0;
	int ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &ctx);

	if (!ret && sync)
		ret = npu_syncobj_create(e->fd, 0, &signal);
	if (!ret)
		ret = npu_submit_work(e->fd, ctx, hang, signal);
	if (!ret)
		ret = npu_job_wait(e->fd, ctx, 1, DRM_NPU_JOB_RUNNING, &result);
	if (!ret && result.state != DRM_NPU_JOB_RUNNING)
		ret = -EPROTO;
	if (sync)
		*sync = signal;
	return ret;
}

/* The same task many times */
struct drm_npu_task *npu_repeat(const struct npu_work *w, uint32_t count)
{
	struct drm_npu_task *tasks = calloc(count, sizeof(*tasks));
	uint32_t i;

	for (i = 0; tasks && i < count; i++)
		tasks[i] = w->task;
	return tasks;
}

static int time_tasks(struct npu_env *e, uint32_t ctx, struct npu_work *w,
		      uint32_t count, int64_t *ns)
{
	struct drm_npu_task *tasks = npu_repeat(w, count);
	int64_t start = npu_now_ns();
	uint32_t sync = 0;
	int ret;

	ret = tasks ? npu_syncobj_create(e->fd, 0, &sync) : -ENOMEM;
	if (!ret)
		ret = npu_submit_tasks(e->fd, ctx, tasks, count, sync);
	if (!ret)
		ret = npu_syncobj_status(e->fd, sync, 0);
	*ns = npu_now_ns() - start;
	if (sync)
		npu_syncobj_destroy(e->fd, sync);
	free(tasks);
	return ret == NPU_DONE ? 0 : ret ? ret : -EPROTO;
}

/*
 * How many repetitions of the task run for about @ms milliseconds on this
 * machine; at most what one job may have.
 */
int npu_long_tasks(struct npu_env *e, uint32_t ctx, struct npu_work *w,
		   unsigned int ms, uint32_t *count)
{
	uint32_t probe = e->info.max_tasks < 16 ? e->info.max_tasks : 16;
	int64_t ns;
	uint64_t want;
	int ret = time_tasks(e, ctx, w, 1, &ns);	/* wakes the core up */

	if (!ret)
		ret = time_tasks(e, ctx, w, probe, &ns);
	if (ret)
		return ret;
	want = (uint64_t)ms * 1000000 * probe / (ns ? ns : 1) + 1;
	*count = want < e->info.max_tasks ? want : e->info.max_tasks;
	return 0;
}

/* Gives up CAP_SYS_NICE for the rest of this process */
int npu_drop_nice(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].effective &= ~(1u << CAP_SYS_NICE);
	data[0].permitted &= ~(1u << CAP_SYS_NICE);
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/*
 * Kills clients in the midst of what they do, all at once: each is a process that
 * writes a byte to @ready when it is busy, and does not return. Returns when that
 * was, or a negative errno.
 */
int64_t npu_kill_clients(void (*client)(int ready), unsigned int count)
{
	unsigned int n, alive;
	int64_t start;
	int ready[2];
	pid_t pid[8];
	char c;

	if (count > 8 || pipe(ready))
		return -EINVAL;

	for (alive = 0; alive < count; alive++) {
		pid[alive] = fork();
		if (pid[alive] < 0)
			break;
		if (!pid[alive]) {
			close(ready[0]);
			client(ready[1]);
		}
	}
	close(ready[1]);
	for (n = 0; n < alive && read(ready[0], &c, 1) == 1; n++)
		;
	close(ready[0]);

	start = npu_now_ns();
	for (unsigned int i = 0; i < alive; i++)
		kill(pid[i], SIGKILL);
	for (unsigned int i = 0; i < alive; i++)
		waitpid(pid[i], NULL, 0);
	return n < count ? -ECHILD : start;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The platform devices of the cores, in the order of their numbers */
void npu_cores_find(struct npu_cores *c)
{
	struct dirent *entry;
	DIR *dir = opendir(NPU_CORE_DRIVER);

	c->count = 0;
	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_LNK || !strchr(entry->d_name, '.') ||
		    c->count == NPU_CORES_MAX)
			continue;
		snprintf(c->name[c->count++], sizeof(c->name[0]), "%s",
			 entry->d_name);
	}
	if (dir)
		closedir(dir);
	qsort(c->name, c->count, sizeof(c->name[0]), compare_names);
}

int npu_core_unbind(const struct npu_cores *c, unsigned int core)
{
	return npu_write_file(NPU_CORE_DRIVER "/unbind", "%s", c->name[core]);
}

int npu_core_bind(const struct npu_cores *c, unsigned int core)
{
	return npu_write_file(NPU_CORE_DRIVER "/bind", "%s", c->name[core]);
}

uint64_t npu_cores_usable(int fd)
{
	struct drm_npu_device_info info;

	if (npu_query(fd, DRM_NPU_QUERY_DEVICE, &info, sizeof(info)))
		return ~0ull;
	return info.core_mask;
}

/* A file in the directory of a core's device */
void npu_core_file(const struct npu_cores *c, unsigned int core,
		   const char *file, char *path, size_t size)
{
	snprintf(path, size, NPU_CORE_DRIVER "/%s/%s", c->name[core], file);
}

/* Runtime PM has powered it down */
bool npu_core_asleep(const struct npu_cores *c, unsigned int core)
{
	char path[320], status[32];

	npu_core_file(c, core, "power/runtime_status", path, sizeof(path));
	return !npu_read_file(path, status, sizeof(status)) &&
	       !strncmp(status, "suspended", 9);
}

/* All of them, within that time */
bool npu_cores_asleep(const struct npu_cores *c, unsigned int patience_ms)
{
	int64_t end = npu_now_ns() + patience_ms * 1000000ll;
	unsigned int n = 0;

	while (n < c->count) {
		if (npu_core_asleep(c, n)) {
			n++;
			continue;
		}
		if (npu_now_ns() > end)
			return false;
		npu_sleep_ms(20);
	}
	return true;
}

int npu_work_run_on(struct npu_env *e, struct npu_work *w, unsigned int core)
{
	uint32_t ctx;
	int ret = npu_ctx_create(e->fd, e->vm, 1ull << core, &ctx);

	if (ret)
		return ret;
	ret = npu_work_run(e, ctx, w);
	npu_ctx_destroy(e->fd, ctx);
	return ret;
}

#define PM_TEST		"/sys/power/pm_test"
#define PM_DELAY	"/sys/module/suspend/parameters/pm_test_delay"

/* To the edge of sleep and back */
int npu_almost_sleep(void)
{
	int ret;

	npu_write_file(PM_DELAY, "1");
	ret = npu_write_file(PM_TEST, "devices");
	if (!ret)
		ret = npu_write_file("/sys/power/state", "freeze");
	npu_write_file(PM_TEST, "none");
	return ret;
}

/* NULL, or why this machine should not try */
const char *npu_why_not_sleep(void)
{
	char line[512];
	FILE *mounts;
	bool bad = false;

	if (access(PM_TEST, W_OK))
		return "needs CONFIG_PM_DEBUG";
	mounts = fopen("/proc/mounts", "r");
	while (mounts && fgets(line, sizeof(line), mounts))
		bad |= strstr(line, " 9p ") && strstr(line, "trans=virtio");
	if (mounts)
		fclose(mounts);
	return bad ? "a mounted share would not survive it" : NULL;
}
