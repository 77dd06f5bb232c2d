// SPDX-License-Identifier: GPL-2.0-only
/* What the tests of the npu accel driver's memory share. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "npu_mem.h"

#define CGROUP_ROOT	"/sys/fs/cgroup"
#define NOBODY		65534

/* Room for one stream, aligned as they must be */
#define CMD_SLOT	(RKNN_MAX_WORDS * sizeof(uint64_t))

int npu_cmds_new(struct npu_env *e, struct npu_cmds *c, unsigned int streams)
{
	int ret;

	memset(c, 0, sizeof(*c));
	ret = npu_bo_new(e->fd, streams * CMD_SLOT, DRM_NPU_BO_WC, 0, &c->bo);
	return ret ? ret : npu_map(e->fd, e->vm, &c->bo, DRM_NPU_BIND_READONLY);
}

void npu_cmds_free(struct npu_env *e, struct npu_cmds *c)
{
	if (c->bo.va)
		npu_unmap(e->fd, e->vm, c->bo.va, c->bo.size);
	npu_bo_free(e->fd, &c->bo);
	c->used = 0;
}

/* Adds an operation; once the buffer is full, the oldest gives way */
int npu_cmds_ew(struct npu_env *e, struct npu_cmds *c, const struct rknn_ew *op,
		struct drm_npu_task *task)
{
	struct rknn_stream s = { .count = 0 };

	(void)e;
	rknn_ew_cmd(&s, op);
	if (c->used + CMD_SLOT > c->bo.size)
		c->used = 0;
	memcpy(c->bo.map + c->used, s.words, s.count * sizeof(s.words[0]));
	*task = (struct drm_npu_task){
		.cmd_va = c->bo.va + c->used,
		.cmd_size = s.count * sizeof(s.words[0]),
	};
	c->used += CMD_SLOT;
	return 0;
}

/* The NPU copies whole pages: the greater of a byte and itself is that byte */
int npu_cmds_copy(struct npu_env *e, struct npu_cmds *c, uint64_t to,
		  uint64_t from, uint64_t size, struct drm_npu_task *task)
{
	struct rknn_ew op = {
		.op = RKNN_EW_MAX,
		.w = 256,
		.h = size / 4096,
		.a_va = from,
		.b_va = from,
		.out_va = to,
	};

	if (size % 4096 || !size || size > NPU_COPY_MAX)
		return -EINVAL;
	return npu_cmds_ew(e, c, &op, task);
}

/* Submits one job and returns its fence as a sync file */
int npu_run_to_file(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
		    uint32_t count)
{
	uint32_t sync;
	int ret = npu_syncobj_create(e->fd, 0, &sync);

	if (ret)
		return ret;
	ret = npu_submit_tasks(e->fd, ctx, tasks, count, sync);
	if (!ret)
		ret = npu_syncobj_to_file(e->fd, sync, 0);
	npu_syncobj_destroy(e->fd, sync);
	return ret;
}

/* Runs one job: NPU_DONE, or the error of the submit or of the fence */
int npu_run(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
	    uint32_t count)
{
	int ret, fence = npu_run_to_file(e, ctx, tasks, count);

	if (fence < 0)
		return fence;
	ret = npu_file_wait(fence, NPU_PATIENCE_MS);
	close(fence);
	return ret;
}

struct drm_npu_task *npu_repeat_task(const struct drm_npu_task *task,
				     uint32_t count)
{
	struct drm_npu_task *tasks = calloc(count, sizeof(*tasks));
	uint32_t n;

	for (n = 0; tasks && n < count; n++)
		tasks[n] = *task;
	return tasks;
}

/* One job, of as many tasks as that takes; @c must have room for their streams */
int npu_copy(struct npu_env *e, uint32_t ctx, struct npu_cmds *c, uint64_t to,
	     uint64_t from, uint64_t size)
{
	uint32_t count = (size + NPU_COPY_MAX - 1) / NPU_COPY_MAX, n;
	struct drm_npu_task *task;
	int ret = 0;

	if (count * CMD_SLOT > c->bo.size)
		return -E2BIG;
	task = calloc(count, sizeof(*task));
	if (!task)
		return -ENOMEM;
	for (n = 0; n < count && !ret; n++) {
		uint64_t at = n * NPU_COPY_MAX;
		uint64_t len = size - at < NPU_COPY_MAX ? size - at :
			       NPU_COPY_MAX;

		ret = npu_cmds_copy(e, c, to + at, from + at, len, &task[n]);
	}
	if (!ret)
		ret = npu_run(e, ctx, task, count);
	free(task);
	return ret;
}

/* No two words of any two patterns are the same, except by accident */
static uint64_t pattern_word(uint64_t seed, uint64_t n)
{
	uint64_t x = (seed << 40 ^ n) * 0x9e3779b97f4a7c15ull;

	return (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull | 1;
}

void npu_pattern_fill(void *p, size_t size, uint64_t seed)
{
	uint64_t *word = p;
	size_t n;

	for (n = 0; n < size / sizeof(*word); n++)
		word[n] = pattern_word(seed, n);
}

/* How many words are wrong */
long npu_pattern_wrong(const void *p, size_t size, uint64_t seed)
{
	const uint64_t *word = p;
	long wrong = 0;
	size_t n;

	for (n = 0; n < size / sizeof(*word); n++)
		wrong += word[n] != pattern_word(seed, n);
	return wrong;
}

long npu_not_zero(const void *p, size_t size)
{
	const uint64_t *word = p;
	long wrong = 0;
	size_t n;

	for (n = 0; n < size / sizeof(*word); n++)
		wrong += word[n] != 0;
	return wrong;
}

static sigjmp_buf bus_jump;
static size_t bus_at;
static long bus_hits;
static uint8_t bus_read __attribute__((used));

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus_jump, 1);
}

/* How many pages of a mapping cannot be read, but end in SIGBUS */
long npu_bus_errors(const void *p, size_t size)
{
	struct sigaction sa = { .sa_handler = on_bus }, old;

	bus_hits = 0;
	sigaction(SIGBUS, &sa, &old);
	for (bus_at = 0; bus_at < size; bus_at += 4096) {
		if (sigsetjmp(bus_jump, 1))
			bus_hits++;
		else
			bus_read += *((const uint8_t *)p + bus_at);
	}
	sigaction(SIGBUS, &old, NULL);
	return bus_hits;
}

/* Creates and maps a buffer for which npu_bo_new() has not enough arguments */
int npu_bo_make(int fd, const struct drm_npu_bo_create *want,
		struct npu_bo *bo)
{
	struct drm_npu_bo_create arg = *want;
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_BO_CREATE, &arg);

	memset(bo, 0, sizeof(*bo));
	if (ret)
		return ret;
	bo->handle = arg.handle;
	ret = npu_bo_mmap(fd, bo);
	if (ret)
		npu_bo_free(fd, bo);
	return ret;
}

int npu_bo_query(int fd, uint32_t handle, struct drm_npu_bo_query *q)
{
	memset(q, 0xcc, sizeof(*q));
	q->handle = handle;
	q->pad = 0;
	return npu_ioctl(fd, DRM_IOCTL_NPU_BO_QUERY, q);
}

int npu_bo_placement(int fd, uint32_t handle)
{
	struct drm_npu_bo_query q;
	int ret = npu_bo_query(fd, handle, &q);

	return ret ? ret : (int)q.placement;
}

int npu_bo_residency(int fd, uint32_t handle)
{
	struct drm_npu_bo_query q;
	int ret = npu_bo_query(fd, handle, &q);

	return ret ? ret : (int)q.residency;
}

int npu_bo_madvise(int fd, uint32_t handle, uint32_t advice, uint32_t *retained)
{
	struct drm_npu_bo_madvise arg = {
		.handle = handle,
		.advice = advice,
		.retained = 0xcccccccc,
	};
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_BO_MADVISE, &arg);

	if (retained)
		*retained = arg.retained;
	return ret;
}

int npu_import(int fd, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle p = { .fd = dmabuf };
	int ret = npu_ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &p);

	*handle = ret ? 0 : p.handle;
	return ret;
}

int npu_sram_query(int fd, struct drm_npu_sram_info *info)
{
	return npu_query(fd, DRM_NPU_QUERY_SRAM, info, sizeof(*info));
}

static long field_of(const char *path, const char *field)
{
	char line[256];
	size_t len = strlen(field);
	FILE *file = fopen(path, "r");
	long value = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, field, len) &&
		    (line[len] == ':' || line[len] == ' '))
			value = atol(line + len + 1);
	}
	if (file)
		fclose(file);
	return value;
}

/* In KiB */
long npu_meminfo(const char *field)
{
	return field_of("/proc/meminfo", field);
}

long npu_vmstat(const char *field)
{
	return field_of("/proc/vmstat", field);
}

/* Waits as long as something changes, and a while longer */
static bool meminfo_between(const char *field, long least, long most)
{
	int64_t end = npu_now_ns() + 30000000000ll;
	long now, before = 0;

	do {
		now = npu_meminfo(field);
		if (now >= least && now <= most)
			return true;
		if (now != before)
			end = npu_now_ns() + 30000000000ll;
		before = now;
		npu_sleep_ms(20);
	} while (npu_now_ns() < end);
	printf("# %s is %ld KiB, not %ld to %ld\n", field, now, least, most);
	return false;
}

/*
 * Whether what the system counts comes back to @kib, give or take @margin. Not
 * at once: the last reference of many things is dropped by a worker, and some
 * counters are late.
 */
bool npu_meminfo_settles(const char *field, long kib, long margin)
{
	return meminfo_between(field, kib - margin, kib + margin);
}

bool npu_meminfo_reaches(const char *field, long kib)
{
	return meminfo_between(field, kib, LONG_MAX);
}

/* Every shrinker of the system gives what it can */
int npu_shrink(void)
{
	return npu_write_file("/proc/sys/vm/drop_caches", "2");
}

static int write_file(const char *path, const char *format, va_list ap)
{
	char text[256];
	int fd, ret, len = vsnprintf(text, sizeof(text), format, ap);

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, len) == len ? 0 : -errno;
	close(fd);
	return ret;
}

int npu_write_file(const char *path, const char *format, ...)
{
	va_list ap;
	int ret;

	va_start(ap, format);
	ret = write_file(path, format, ap);
	va_end(ap);
	return ret;
}

int npu_read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	text[0] = 0;
	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	close(fd);
	if (len < 0)
		return -errno;
	text[len] = 0;
	return 0;
}

int npu_hog_start(struct npu_hog *hog, uint64_t size)
{
	int done[2];
	char c = 1;

	if (pipe(done))
		return -errno;
	hog->pid = fork();
	if (!hog->pid) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		close(done[0]);
		if (p == MAP_FAILED)
			_exit(1);
		npu_pattern_fill(p, size, 99);	/* nothing that compresses */
		if (write(done[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(done[1]);
	if (hog->pid > 0 && read(done[0], &c, 1) == 1) {
		close(done[0]);
		return 0;
	}
	close(done[0]);
	npu_hog_stop(hog);
	return -ENOMEM;
}

void npu_hog_stop(struct npu_hog *hog)
{
	if (hog->pid <= 0)
		return;
	kill(hog->pid, SIGKILL);
	waitpid(hog->pid, NULL, 0);
	hog->pid = 0;
}

static int mount_cgroups(void)
{
	if (access(CGROUP_ROOT "/cgroup.controllers", R_OK) &&
	    mount("cgroup2", CGROUP_ROOT, "cgroup2", 0, NULL))
		return -errno;
	return 0;
}

/* What nobody holds goes to swap, about that much of it */
int npu_swap_out(uint64_t size)
{
	int ret = mount_cgroups();

	return ret ? ret : npu_write_file(CGROUP_ROOT "/memory.reclaim",
					  "%llu swappiness=max",
					  (unsigned long long)size);
}

static int cgroup_root(const char *controller)
{
	char text[256];
	int ret;

	ret = mount_cgroups();
	if (ret)
		return ret;
	ret = npu_read_file(CGROUP_ROOT "/cgroup.controllers", text,
			    sizeof(text));
	if (ret)
		return ret;
	if (!strstr(text, controller))
		return -ENODEV;
	return npu_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+%s",
			      controller);
}

/* -ENODEV when the kernel does not have the controller */
int npu_cgroup_make(struct npu_cgroup *cg, const char *name,
		    const char *controller)
{
	int ret = cgroup_root(controller);

	if (ret)
		return ret;
	snprintf(cg->path, sizeof(cg->path), CGROUP_ROOT "/npu-%s-%d", name,
		 getpid());
	return mkdir(cg->path, 0755) ? -errno : 0;
}

int npu_cgroup_set(const struct npu_cgroup *cg, const char *file,
		   const char *format, ...)
{
	char path[256];
	va_list ap;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", cg->path, file);
	va_start(ap, format);
	ret = write_file(path, format, ap);
	va_end(ap);
	return ret;
}

int npu_cgroup_get(const struct npu_cgroup *cg, const char *file, char *text,
		   size_t size)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", cg->path, file);
	return npu_read_file(path, text, size);
}

/* The number behind @key in a file of a cgroup, or the only one of the file */
long long npu_cgroup_value(const struct npu_cgroup *cg, const char *file,
			   const char *key)
{
	char text[1024], *at = text;
	int ret = npu_cgroup_get(cg, file, text, sizeof(text));

	if (ret)
		return ret;
	if (key)
		at = strstr(text, key);
	return at ? atoll(at + (key ? strlen(key) : 0)) : -ENOENT;
}

/* Moves the calling process */
int npu_cgroup_enter(const struct npu_cgroup *cg)
{
	return npu_cgroup_set(cg, "cgroup.procs", "0");
}

/* What is still in it has to go first, and some goes late */
int npu_cgroup_drop(const struct npu_cgroup *cg)
{
	int64_t end = npu_now_ns() + 2000000000ll;
	int ret;

	do {
		ret = rmdir(cg->path) ? -errno : 0;
		if (ret == -EBUSY)
			npu_sleep_ms(10);
	} while (ret == -EBUSY && npu_now_ns() < end);
	return ret;
}

/*
 * Turns the process into that of a user who has no capabilities, who has locked
 * no memory yet and who may lock @memlock bytes.
 */
int npu_become_nobody(uint64_t memlock)
{
	struct rlimit limit = { .rlim_cur = memlock, .rlim_max = memlock };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

int npu_child_result(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}
