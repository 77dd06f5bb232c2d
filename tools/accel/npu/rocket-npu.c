// SPDX-License-Identifier: MIT
/*
 * librocket-npu.so: lets programs written for the rocket driver use npu.
 *
 *	LD_PRELOAD=librocket-npu.so program
 *
 * A file on an npu device calls itself "rocket" and answers rocket's four
 * ioctls; every other file and every other ioctl goes through untouched, npu's
 * own included: no two requests of the drivers have the same number, as the
 * number carries the direction and the size.
 *
 * What a rocket file is made of here:
 *
 * - One VM. CREATE_BO makes a buffer, shareable as rocket's are, maps it where
 *   the kernel chooses, and returns that address. GEM_CLOSE takes the mapping
 *   away again, once the jobs that list the buffer are done.
 * - One context. Rocket's jobs of one file run in the order they were submitted
 *   in, and clients rely on it where their lists of buffers do not tell a
 *   dependency.
 * - SUBMIT becomes jobs with the same tasks, which list the same buffers, so
 *   that PREP_BO waits for what used its buffer. It waits for the jobs that
 *   read the buffer, too, as rocket's header promises.
 *
 * Where rocket is silent, this is not: a submission that is refused fails, and
 * the first PREP_BO after a job failed returns EIO. As with rocket, the
 * submissions after a failed job are none the worse for it: they get a new
 * context.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <drm/rocket_accel.h>

#include "npu.h"
#include "rocket-npu.h"

#define EXPORT	__attribute__((visibility("default")))

/* Rocket's addresses are 32 bits wide. */
#define VA_LIMIT	(UINT64_C(1) << 32)

/* What one SUBMIT may hold: far more than any client sends. */
#define MAX_JOBS	65536
#define MAX_ELEMENTS	(1u << 20)

/* Patience with jobs on their way; the kernel ends every job in less. */
#define QUEUE_NS	INT64_C(60000000000)

/* A GEM handle indexes this table. */
#define MAX_HANDLES	(1u << 20)

/**
 * struct mapping - where a buffer is
 * @va: its address in the VM; zero for a handle that CREATE_BO did not make
 * @size: its bytes
 */
struct mapping {
	uint64_t va;
	uint64_t size;
};

/**
 * struct rfile - an open file on an npu device
 * @refs: descriptors and calls that use it; protected by the table's lock
 * @fd: a descriptor of our own: programs close the one they started with
 * @lock: protects everything below
 * @dev: the device, once it has been used as rocket
 * @vm: its VM
 * @ctx: its context
 * @last: syncobj with the fence of the last job
 * @unchecked: jobs have been submitted since the last look at @last
 * @bos: table of mappings, indexed by GEM handle
 * @bo_count: elements of @bos
 */
struct rfile {
	unsigned int refs;
	int fd;

	pthread_mutex_t lock;
	struct npu_device *dev;
	uint32_t vm;
	uint32_t ctx;
	uint32_t last;
	bool unchecked;
	struct mapping *bos;
	uint32_t bo_count;
};

/* Which descriptors are ours. The lock is never held across a kernel call. */
static struct {
	pthread_mutex_t lock;
	struct rfile **files;
	int count;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	atomic_ullong submits, jobs, tasks, failed;
	atomic_bool used;
} stats;

static struct {
	int (*ioctl)(int fd, unsigned long request, ...);
	int (*close)(int fd);
	int (*dup)(int fd);
	int (*dup2)(int from, int to);
	int (*dup3)(int from, int to, int flags);
	int (*fcntl)(int fd, int cmd, ...);
} next;
static pthread_once_t next_once = PTHREAD_ONCE_INIT;

static void find_one(void *function, const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (!symbol) {
		fprintf(stderr, "librocket-npu: no %s() to build on\n", name);
		abort();
	}
	memcpy(function, &symbol, sizeof(symbol));
}

static void find_next(void)
{
	find_one(&next.ioctl, "ioctl");
	find_one(&next.close, "close");
	find_one(&next.dup, "dup");
	find_one(&next.dup2, "dup2");
	find_one(&next.dup3, "dup3");
	find_one(&next.fcntl, "fcntl");
}

static void init(void)
{
	pthread_once(&next_once, find_next);
}

/* Descriptors */

static void rfile_free(struct rfile *file)
{
	npu_close(file->dev);
	/* The kernel's objects go with the last descriptor. */
	next.close(file->fd);
	pthread_mutex_destroy(&file->lock);
	free(file->bos);
	free(file);
}

/* Drops one user; the last one frees. */
static void rfile_put(struct rfile *file)
{
	unsigned int left;

	if (!file)
		return;

	pthread_mutex_lock(&table.lock);
	left = --file->refs;
	pthread_mutex_unlock(&table.lock);

	if (!left)
		rfile_free(file);
}

/* The file behind @fd with one more user, or NULL when it is not ours. */
static struct rfile *rfile_get(int fd)
{
	struct rfile *file = NULL;

	pthread_mutex_lock(&table.lock);
	if (fd >= 0 && fd < table.count)
		file = table.files[fd];
	if (file)
		file->refs++;
	pthread_mutex_unlock(&table.lock);

	return file;
}

static bool table_reach_locked(int fd)
{
	int count = fd + 64;
	struct rfile **files;

	if (fd < table.count)
		return true;

	files = reallocarray(table.files, count, sizeof(*files));
	if (!files)
		return false;

	memset(files + table.count, 0, (count - table.count) * sizeof(*files));
	table.files = files;
	table.count = count;

	return true;
}

/* @fd means another file from now on, or none. */
static void table_forget(int fd)
{
	struct rfile *old = NULL;

	pthread_mutex_lock(&table.lock);
	if (fd >= 0 && fd < table.count) {
		old = table.files[fd];
		table.files[fd] = NULL;
	}
	pthread_mutex_unlock(&table.lock);

	rfile_put(old);
}

/*
 * Makes @fd mean @file, unless somebody else was faster. Returns what it means
 * now with one more user, or NULL without memory; @file stays the caller's.
 */
static struct rfile *table_add(int fd, struct rfile *file)
{
	pthread_mutex_lock(&table.lock);
	if (!table_reach_locked(fd)) {
		file = NULL;
	} else if (table.files[fd]) {
		file = table.files[fd];
	} else {
		table.files[fd] = file;
		file->refs++;
	}
	if (file)
		file->refs++;
	pthread_mutex_unlock(&table.lock);

	return file;
}

/* Follows a dup(): @to is the same file as @from, also when neither is ours. */
static void table_copy(int from, int to)
{
	struct rfile *file;

	if (to < 0 || from == to)
		return;

	table_forget(to);
	file = rfile_get(from);
	if (file)
		rfile_put(table_add(to, file));
	rfile_put(file);
}

static bool driver_is_npu(int fd)
{
	char name[8] = {};
	struct drm_version version = {
		.name = name,
		.name_len = sizeof(name) - 1,
	};

	return !next.ioctl(fd, DRM_IOCTL_VERSION, &version) &&
	       version.name_len == 3 && !memcmp(name, "npu", 3);
}

static struct rfile *rfile_new(int fd)
{
	struct rfile *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;

	file->refs = 1;
	file->fd = next.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->fd < 0) {
		free(file);
		return NULL;
	}
	pthread_mutex_init(&file->lock, NULL);

	return file;
}

/* The file behind @fd, which becomes ours when its driver is npu. */
static struct rfile *rfile_adopt(int fd)
{
	struct rfile *file = rfile_get(fd), *ours;
	int saved = errno;

	if (file)
		return file;

	if (driver_is_npu(fd)) {
		ours = rfile_new(fd);
		if (ours)
			file = table_add(fd, ours);
		rfile_put(ours);
	}
	errno = saved;

	return file;
}

/* Buffers */

static struct mapping *mapping_slot(struct rfile *file, uint32_t handle)
{
	uint32_t count = file->bo_count ? file->bo_count : 64;
	struct mapping *bos;

	if (handle < file->bo_count)
		return &file->bos[handle];
	if (handle >= MAX_HANDLES)
		return NULL;

	while (count <= handle)
		count *= 2;
	bos = reallocarray(file->bos, count, sizeof(*bos));
	if (!bos)
		return NULL;

	memset(bos + file->bo_count, 0, (count - file->bo_count) * sizeof(*bos));
	file->bos = bos;
	file->bo_count = count;

	return &bos[handle];
}

static uint64_t bo_size(struct rfile *file, uint32_t handle)
{
	struct drm_npu_bo_query query;
	uint64_t size = 0;

	pthread_mutex_lock(&file->lock);
	if (handle < file->bo_count)
		size = file->bos[handle].size;
	pthread_mutex_unlock(&file->lock);

	/* Not made by CREATE_BO: imported. */
	if (!size && !npu_bo_query(file->dev, handle, &query))
		size = query.size;

	return size;
}

/* Opens what a rocket file needs, the first time it is used as one. */
static int rfile_start_locked(struct rfile *file)
{
	int ret;

	if (file->last)
		return 0;

	if (!file->dev) {
		ret = npu_open_fd(file->fd, &file->dev);
		if (ret)
			return ret;
	}
	if (!file->vm) {
		ret = npu_vm_create(file->dev, &file->vm);
		if (ret)
			return ret;
	}
	if (!file->ctx) {
		ret = npu_ctx_create(file->dev, file->vm, 0, &file->ctx);
		if (ret)
			return ret;
	}

	stats.used = true;

	return npu_fence_create(file->dev, &file->last);
}

static int rfile_start(struct rfile *file)
{
	int ret;

	pthread_mutex_lock(&file->lock);
	ret = rfile_start_locked(file);
	pthread_mutex_unlock(&file->lock);

	return ret;
}

static int create_bo_locked(struct rfile *file, struct drm_rocket_create_bo *args)
{
	struct drm_npu_bo_query query;
	struct mapping *slot;
	struct npu_bo bo;
	int ret;

	ret = npu_bo_create(file->dev, args->size, 0, 0, &bo);
	if (ret)
		return ret;

	bo.vm = file->vm;
	slot = mapping_slot(file, bo.handle);
	ret = slot ? npu_bo_query(file->dev, bo.handle, &query) : -ENOMEM;
	if (!ret)
		ret = npu_vm_map(file->dev, file->vm, bo.handle, 0, bo.size,
				 DRM_NPU_BIND_AUTO, &bo.va);
	if (!ret && bo.va + bo.size > VA_LIMIT)
		ret = -ENOSPC;
	if (ret) {
		npu_bo_destroy(file->dev, &bo);
		return ret;
	}

	*slot = (struct mapping){ .va = bo.va, .size = bo.size };
	args->handle = bo.handle;
	args->dma_address = bo.va;
	args->offset = query.mmap_offset;

	return 0;
}

static int rocket_create_bo(struct rfile *file, void *data)
{
	int ret;

	pthread_mutex_lock(&file->lock);
	ret = rfile_start_locked(file);
	if (!ret)
		ret = create_bo_locked(file, data);
	pthread_mutex_unlock(&file->lock);

	return ret;
}

/* How the jobs before this call ended, told once. */
static int check_last(struct rfile *file)
{
	int status = 1;

	pthread_mutex_lock(&file->lock);
	if (file->unchecked) {
		status = npu_fence_status(file->dev, file->last);
		if (status)
			file->unchecked = false;
	}
	pthread_mutex_unlock(&file->lock);

	if (status >= 0)
		return 0;

	stats.failed++;
	fprintf(stderr, "librocket-npu: a job failed: %s\n", strerror(-status));

	return -EIO;
}

static int rocket_prep_bo(struct rfile *file, void *data)
{
	struct drm_rocket_prep_bo *args = data;
	bool past = args->timeout_ns <= npu_deadline(0);
	int ret;

	if (args->reserved)
		return -EINVAL;

	ret = rfile_start(file);
	if (ret)
		return ret;

	ret = npu_bo_wait(file->dev, args->handle,
			  DRM_NPU_BO_WAIT_READ | DRM_NPU_BO_WAIT_WRITE,
			  args->timeout_ns);
	if (ret)
		return ret == -ETIMEDOUT && past ? -EBUSY : ret;

	ret = npu_bo_sync(file->dev, args->handle, 0,
			  bo_size(file, args->handle),
			  DRM_NPU_SYNC_FROM_DEVICE);

	return ret ? ret : check_last(file);
}

static int rocket_fini_bo(struct rfile *file, void *data)
{
	struct drm_rocket_fini_bo *args = data;
	int ret;

	if (args->reserved)
		return -EINVAL;

	ret = rfile_start(file);
	if (ret)
		return ret;

	return npu_bo_sync(file->dev, args->handle, 0,
			   bo_size(file, args->handle), DRM_NPU_SYNC_TO_DEVICE);
}

static void gem_close(struct rfile *file, const struct drm_gem_close *args)
{
	struct mapping mapping = {};

	pthread_mutex_lock(&file->lock);
	if (args->handle < file->bo_count) {
		mapping = file->bos[args->handle];
		file->bos[args->handle] = (struct mapping){};
	}
	pthread_mutex_unlock(&file->lock);

	if (!mapping.va)
		return;

	npu_bo_wait(file->dev, args->handle, DRM_NPU_BO_WAIT_WRITE,
		    npu_deadline(QUEUE_NS));
	npu_vm_unmap(file->dev, file->vm, mapping.va, mapping.size);
}

/* Jobs */

/**
 * struct batch - a translated submission
 * @jobs: jobs
 * @tasks: tasks of all jobs
 * @buffers: buffer lists of all jobs
 * @syncs: for each job, the signal of the file's last fence
 * @job_count: elements of @jobs and @syncs
 * @task_count: elements of @tasks
 * @buffer_count: elements of @buffers
 */
struct batch {
	struct drm_npu_job *jobs;
	struct drm_npu_task *tasks;
	struct drm_npu_buffer *buffers;
	struct drm_npu_sync *syncs;
	uint32_t job_count, task_count, buffer_count;
};

static const struct drm_rocket_job *
submit_job(const struct drm_rocket_submit *args, uint32_t i)
{
	return (const void *)(uintptr_t)(args->jobs +
					 (uint64_t)i * args->job_struct_size);
}

/* Adds up a submission, and refuses what rocket refuses. */
static int batch_measure(const struct drm_rocket_submit *args,
			 struct batch *batch)
{
	uint64_t tasks = 0, buffers = 0;

	if (args->job_struct_size < sizeof(struct drm_rocket_job) ||
	    args->reserved)
		return -EINVAL;
	if (args->job_count > MAX_JOBS)
		return -E2BIG;

	for (uint32_t i = 0; i < args->job_count; i++) {
		const struct drm_rocket_job *job = submit_job(args, i);

		if (!job->task_count ||
		    job->task_struct_size < sizeof(struct drm_rocket_task))
			return -EINVAL;
		tasks += job->task_count;
		buffers += job->in_bo_handle_count;
		buffers += job->out_bo_handle_count;
		if (tasks > MAX_ELEMENTS || buffers > MAX_ELEMENTS)
			return -E2BIG;
	}

	batch->job_count = args->job_count;
	batch->task_count = tasks;
	batch->buffer_count = buffers;

	return 0;
}

static void batch_free(struct batch *batch)
{
	free(batch->jobs);
	free(batch->tasks);
	free(batch->buffers);
	free(batch->syncs);
}

static int batch_alloc(struct batch *batch)
{
	batch->jobs = calloc(batch->job_count, sizeof(*batch->jobs));
	batch->tasks = calloc(batch->task_count, sizeof(*batch->tasks));
	batch->buffers = calloc(batch->buffer_count + 1, sizeof(*batch->buffers));
	batch->syncs = calloc(batch->job_count, sizeof(*batch->syncs));

	return batch->jobs && batch->tasks && batch->buffers && batch->syncs ?
	       0 : -ENOMEM;
}

static int fill_tasks(const struct drm_rocket_job *job, struct drm_npu_task *to)
{
	for (uint32_t i = 0; i < job->task_count; i++) {
		const struct drm_rocket_task *task = (const void *)(uintptr_t)
			(job->tasks + (uint64_t)i * job->task_struct_size);

		/* A command is 8 bytes. */
		if (!task->regcmd_count || task->regcmd_count > UINT32_MAX / 8)
			return -EINVAL;
		to[i].cmd_va = task->regcmd;
		to[i].cmd_size = task->regcmd_count * 8;
	}

	return 0;
}

static void fill_buffers(uint64_t handles, uint32_t count, uint32_t flags,
			 struct drm_npu_buffer *to)
{
	const uint32_t *from = (const void *)(uintptr_t)handles;

	for (uint32_t i = 0; i < count; i++)
		to[i] = (struct drm_npu_buffer){
			.handle = from[i],
			.flags = flags,
		};
}

static int batch_fill(const struct drm_rocket_submit *args, struct batch *batch)
{
	struct drm_npu_buffer *buffers = batch->buffers;
	struct drm_npu_task *tasks = batch->tasks;

	for (uint32_t i = 0; i < batch->job_count; i++) {
		const struct drm_rocket_job *job = submit_job(args, i);
		uint32_t in = job->in_bo_handle_count;
		uint32_t out = job->out_bo_handle_count;
		int ret;

		ret = fill_tasks(job, tasks);
		if (ret)
			return ret;
		fill_buffers(job->in_bo_handles, in, DRM_NPU_BUFFER_READ,
			     buffers);
		fill_buffers(job->out_bo_handles, out, DRM_NPU_BUFFER_WRITE,
			     buffers + in);

		batch->jobs[i].tasks = npu_array(tasks, job->task_count,
						 sizeof(*tasks));
		batch->jobs[i].buffers = npu_array(buffers, in + out,
						   sizeof(*buffers));
		tasks += job->task_count;
		buffers += in + out;
	}

	return 0;
}

/* A context with a failed job takes no more: it gets a successor. */
static int renew_ctx_locked(struct rfile *file)
{
	uint32_t ctx;
	int ret;

	/* Unless PREP_BO has told already. */
	if (file->unchecked) {
		stats.failed++;
		file->unchecked = false;
		fprintf(stderr, "librocket-npu: a job failed\n");
	}

	ret = npu_ctx_create(file->dev, file->vm, 0, &ctx);
	if (ret)
		return ret;

	npu_ctx_destroy(file->dev, file->ctx);
	file->ctx = ctx;

	return 0;
}

/* Submits jobs that fit into one call. */
static int submit_some_locked(struct rfile *file, struct batch *batch,
			      uint32_t first, uint32_t count)
{
	struct drm_npu_sync *sync = &batch->syncs[first + count - 1];
	bool renewed = false;
	int ret;

	*sync = (struct drm_npu_sync){
		.handle = file->last,
		.flags = DRM_NPU_SYNC_SIGNAL,
	};
	batch->jobs[first + count - 1].syncs = npu_array(sync, 1, sizeof(*sync));

	for (;;) {
		ret = npu_submit(file->dev, file->ctx, batch->jobs + first, count);
		if (ret == -EIO && !renewed) {
			renewed = true;
			ret = renew_ctx_locked(file);
		} else if (ret == -EAGAIN && file->unchecked) {
			ret = npu_fence_wait(file->dev, file->last,
					     npu_deadline(QUEUE_NS));
		} else {
			break;
		}
		if (ret)
			return ret;
	}
	if (!ret)
		file->unchecked = true;

	return ret;
}

static int submit_locked(struct rfile *file, struct batch *batch)
{
	const struct drm_npu_device_info *info = npu_info(file->dev);
	uint32_t most = info->max_jobs < info->max_queued ? info->max_jobs :
							    info->max_queued;

	for (uint32_t first = 0; first < batch->job_count; ) {
		uint32_t count = batch->job_count - first;
		int ret;

		if (count > most)
			count = most;
		ret = submit_some_locked(file, batch, first, count);
		if (ret)
			return ret;
		first += count;
	}

	return 0;
}

static int rocket_submit(struct rfile *file, void *data)
{
	struct drm_rocket_submit *args = data;
	struct batch batch = {};
	int ret;

	if (!args->job_count)
		return 0;

	ret = batch_measure(args, &batch);
	if (ret)
		return ret;

	ret = batch_alloc(&batch);
	if (!ret)
		ret = batch_fill(args, &batch);
	if (ret)
		goto out;

	pthread_mutex_lock(&file->lock);
	ret = rfile_start_locked(file);
	if (!ret)
		ret = submit_locked(file, &batch);
	pthread_mutex_unlock(&file->lock);
	if (ret)
		goto out;

	stats.submits++;
	stats.jobs += batch.job_count;
	stats.tasks += batch.task_count;
out:
	batch_free(&batch);

	return ret;
}

/* What rocket says about itself, in the kernel's manner of filling strings. */
static void put_string(char *to, __kernel_size_t *len, const char *text)
{
	size_t size = strlen(text);

	if (to)
		memcpy(to, text, *len < size ? *len : size);
	*len = size;
}

static int rocket_version(struct drm_version *version)
{
	version->version_major = 0;
	version->version_minor = 0;
	version->version_patchlevel = 0;
	put_string(version->name, &version->name_len, "rocket");
	put_string(version->date, &version->date_len, "0");
	put_string(version->desc, &version->desc_len, "rocket DRM");

	return 0;
}

/*
 * Answers @request for a file that is ours. False: nobody but the kernel can.
 */
static bool rocket_ioctl(struct rfile *file, unsigned long request, void *arg,
			 int *ret)
{
	switch (request) {
	case DRM_IOCTL_VERSION:
		*ret = rocket_version(arg);
		return true;
	case DRM_IOCTL_ROCKET_CREATE_BO:
		*ret = rocket_create_bo(file, arg);
		return true;
	case DRM_IOCTL_ROCKET_SUBMIT:
		*ret = rocket_submit(file, arg);
		return true;
	case DRM_IOCTL_ROCKET_PREP_BO:
		*ret = rocket_prep_bo(file, arg);
		return true;
	case DRM_IOCTL_ROCKET_FINI_BO:
		*ret = rocket_fini_bo(file, arg);
		return true;
	case DRM_IOCTL_GEM_CLOSE:
		gem_close(file, arg);
		return false;
	default:
		return false;
	}
}

/* Does @request tell that a program takes the file for a rocket device? */
static bool is_rocket_request(unsigned long request)
{
	switch (request) {
	case DRM_IOCTL_VERSION:
	case DRM_IOCTL_ROCKET_CREATE_BO:
	case DRM_IOCTL_ROCKET_SUBMIT:
	case DRM_IOCTL_ROCKET_PREP_BO:
	case DRM_IOCTL_ROCKET_FINI_BO:
		return true;
	default:
		return false;
	}
}

/* The C library's functions that matter to descriptors of ours */

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct rfile *file = NULL;
	bool answered = false;
	va_list ap;
	void *arg;
	int ret;

	init();
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);

	if (arg && is_rocket_request(request))
		file = rfile_adopt(fd);
	else if (arg && request == DRM_IOCTL_GEM_CLOSE)
		file = rfile_get(fd);
	if (file)
		answered = rocket_ioctl(file, request, arg, &ret);
	rfile_put(file);

	if (!answered)
		return next.ioctl(fd, request, arg);
	if (!ret)
		return 0;

	errno = -ret;

	return -1;
}

EXPORT int close(int fd)
{
	init();
	table_forget(fd);

	return next.close(fd);
}

EXPORT int dup(int fd)
{
	int ret;

	init();
	ret = next.dup(fd);
	table_copy(fd, ret);

	return ret;
}

EXPORT int dup2(int from, int to)
{
	int ret;

	init();
	ret = next.dup2(from, to);
	table_copy(from, ret);

	return ret;
}

EXPORT int dup3(int from, int to, int flags)
{
	int ret;

	init();
	ret = next.dup3(from, to, flags);
	table_copy(from, ret);

	return ret;
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;
	int ret;

	init();
	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);

	ret = next.fcntl(fd, cmd, arg);
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		table_copy(fd, ret);

	return ret;
}

EXPORT int fcntl64(int fd, int cmd, ...) __attribute__((alias("fcntl")));

EXPORT bool rocket_npu_get_stats(struct rocket_npu_stats *to)
{
	*to = (struct rocket_npu_stats){
		.submits = stats.submits,
		.jobs = stats.jobs,
		.tasks = stats.tasks,
		.failed = stats.failed,
	};

	return stats.used;
}
