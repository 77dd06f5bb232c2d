// SPDX-License-Identifier: GPL-2.0-only
/*
 * test-rocket: rocket's contract as librocket-npu.so keeps it on npu.
 *
 * Plain ioctls of <drm/rocket_accel.h>, run with the library preloaded. Speaks
 * TAP; exit status 4 when there is no device to test.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <drm/npu_accel.h>
#include <drm/rocket_accel.h>

static char node[32];
static int tests, failures;

#define CHECK(condition) do {						\
	if (!(condition)) {						\
		printf("# %s:%d: %s (errno: %s)\n", __func__, __LINE__,	\
		       #condition, strerror(errno));			\
		return false;						\
	}								\
} while (0)

/* The call fails, with this error. */
#define CHECK_ERROR(call, error) do {					\
	errno = 0;							\
	CHECK((call) == -1);						\
	CHECK(errno == (error));					\
} while (0)

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int create(int fd, uint32_t size, struct drm_rocket_create_bo *bo)
{
	*bo = (struct drm_rocket_create_bo){ .size = size };

	return ioctl(fd, DRM_IOCTL_ROCKET_CREATE_BO, bo);
}

static int gem_close(int fd, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	return ioctl(fd, DRM_IOCTL_GEM_CLOSE, &args);
}

static int prep(int fd, uint32_t handle, int64_t deadline)
{
	struct drm_rocket_prep_bo args = {
		.handle = handle,
		.timeout_ns = deadline,
	};

	return ioctl(fd, DRM_IOCTL_ROCKET_PREP_BO, &args);
}

static int fini(int fd, uint32_t handle)
{
	struct drm_rocket_fini_bo args = { .handle = handle };

	return ioctl(fd, DRM_IOCTL_ROCKET_FINI_BO, &args);
}

/* One job of one task; what is to be wrong is changed by the caller. */
struct submission {
	struct drm_rocket_task task;
	uint32_t in, out;
	struct drm_rocket_job job;
	struct drm_rocket_submit submit;
};

static void fill(struct submission *s, const struct drm_rocket_create_bo *cmd,
		 const struct drm_rocket_create_bo *out)
{
	*s = (struct submission){
		.task = { .regcmd = cmd->dma_address, .regcmd_count = 16 },
		.in = cmd->handle,
		.out = out->handle,
	};
	s->job = (struct drm_rocket_job){
		.tasks = (uintptr_t)&s->task,
		.in_bo_handles = (uintptr_t)&s->in,
		.out_bo_handles = (uintptr_t)&s->out,
		.task_count = 1,
		.task_struct_size = sizeof(s->task),
		.in_bo_handle_count = 1,
		.out_bo_handle_count = 1,
	};
	s->submit = (struct drm_rocket_submit){
		.jobs = (uintptr_t)&s->job,
		.job_count = 1,
		.job_struct_size = sizeof(s->job),
	};
}

static int submit(int fd, struct submission *s)
{
	return ioctl(fd, DRM_IOCTL_ROCKET_SUBMIT, &s->submit);
}

static bool test_version(int fd)
{
	char name[16] = {}, brief[3] = {};
	struct drm_version version = { .name = name, .name_len = sizeof(name) };

	CHECK(!ioctl(fd, DRM_IOCTL_VERSION, &version));
	CHECK(version.name_len == strlen("rocket"));
	CHECK(!strcmp(name, "rocket"));

	/* As the kernel does it: the whole length, and no more than fits. */
	version = (struct drm_version){ .name = brief, .name_len = 2 };
	CHECK(!ioctl(fd, DRM_IOCTL_VERSION, &version));
	CHECK(version.name_len == strlen("rocket"));
	CHECK(!strcmp(brief, "ro"));

	version = (struct drm_version){};
	CHECK(!ioctl(fd, DRM_IOCTL_VERSION, &version));
	CHECK(version.name_len == strlen("rocket"));

	return true;
}

static bool test_buffers(int fd)
{
	struct drm_rocket_create_bo bo[32];
	uint8_t *map;

	for (int i = 0; i < 32; i++) {
		CHECK(!create(fd, 5000 + 4096 * i, &bo[i]));
		CHECK(bo[i].handle);
		CHECK(bo[i].dma_address && !(bo[i].dma_address & 4095));
		CHECK(bo[i].dma_address + bo[i].size <= UINT64_C(1) << 32);
		CHECK(!i || bo[i].dma_address >=
			    bo[i - 1].dma_address + bo[i - 1].size);
	}

	map = mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   bo[0].offset);
	CHECK(map != MAP_FAILED);
	CHECK(!map[0] && !map[4999]);
	CHECK(!prep(fd, bo[0].handle, INT64_MAX));
	memset(map, 0x5a, 5000);
	CHECK(!fini(fd, bo[0].handle));
	CHECK(!prep(fd, bo[0].handle, INT64_MAX));
	CHECK(map[0] == 0x5a && map[4999] == 0x5a);
	CHECK(!munmap(map, 5000));

	for (int i = 0; i < 32; i++)
		CHECK(!gem_close(fd, bo[i].handle));

	return true;
}

static bool test_bad_buffers(int fd)
{
	struct drm_rocket_prep_bo p = { .reserved = 1 };
	struct drm_rocket_fini_bo f = { .reserved = 1 };
	struct drm_rocket_create_bo bo;

	CHECK_ERROR(create(fd, 0, &bo), EINVAL);
	CHECK_ERROR(prep(fd, 12345, 0), ENOENT);
	CHECK_ERROR(fini(fd, 12345), ENOENT);
	CHECK_ERROR(gem_close(fd, 12345), EINVAL);
	CHECK(!create(fd, 4096, &bo));
	p.handle = f.handle = bo.handle;
	CHECK_ERROR(ioctl(fd, DRM_IOCTL_ROCKET_PREP_BO, &p), EINVAL);
	CHECK_ERROR(ioctl(fd, DRM_IOCTL_ROCKET_FINI_BO, &f), EINVAL);
	CHECK(!gem_close(fd, bo.handle));
	CHECK_ERROR(gem_close(fd, bo.handle), EINVAL);
	CHECK_ERROR(prep(fd, bo.handle, 0), ENOENT);

	return true;
}

/* Addresses that were given back do not run out. */
static bool test_reuse(int fd)
{
	struct drm_rocket_create_bo bo;
	uint64_t highest = 0;

	for (int i = 0; i < 64; i++) {
		CHECK(!create(fd, 1 << 20, &bo));
		CHECK(!gem_close(fd, bo.handle));
		if (bo.dma_address > highest)
			highest = bo.dma_address;
	}
	CHECK(highest < 32 << 20);

	return true;
}

static bool test_bad_submits(int fd)
{
	struct drm_rocket_create_bo cmd, out;
	struct submission s;

	CHECK(!create(fd, 4096, &cmd) && !create(fd, 4096, &out));

	fill(&s, &cmd, &out);
	s.submit.job_count = 0;
	CHECK(!submit(fd, &s));
	fill(&s, &cmd, &out);
	s.submit.reserved = 1;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.submit.job_struct_size = sizeof(s.job) - 8;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.submit.job_count = UINT32_MAX;
	CHECK_ERROR(submit(fd, &s), E2BIG);
	fill(&s, &cmd, &out);
	s.job.task_count = 0;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.job.task_count = UINT32_MAX;
	CHECK_ERROR(submit(fd, &s), E2BIG);
	fill(&s, &cmd, &out);
	s.task.regcmd_count = 0;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.task.regcmd_count = UINT32_MAX;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.task.regcmd += 1 << 28;
	CHECK_ERROR(submit(fd, &s), EINVAL);
	fill(&s, &cmd, &out);
	s.out = 12345;
	CHECK_ERROR(submit(fd, &s), ENOENT);

	CHECK(!prep(fd, out.handle, 0));
	CHECK(!gem_close(fd, cmd.handle) && !gem_close(fd, out.handle));

	return true;
}

/* A stream that starts nothing: its job never ends by itself. */
static bool test_failed_job(int fd)
{
	struct drm_rocket_create_bo cmd, out;
	struct submission s;
	int64_t start;

	CHECK(!create(fd, 4096, &cmd) && !create(fd, 4096, &out));
	fill(&s, &cmd, &out);
	for (int i = 0; i < 2; i++) {
		CHECK(!submit(fd, &s));

		CHECK_ERROR(prep(fd, out.handle, 0), EBUSY);
		start = now();
		CHECK_ERROR(prep(fd, out.handle, start + 20000000), ETIMEDOUT);
		CHECK(now() - start >= 20000000);

		/* Told once, and everything goes on. */
		CHECK_ERROR(prep(fd, out.handle, INT64_MAX), EIO);
		CHECK(!prep(fd, out.handle, INT64_MAX));
	}

	/* Closing a buffer waits for the job that uses it. */
	CHECK(!submit(fd, &s));
	CHECK(!gem_close(fd, out.handle) && !gem_close(fd, cmd.handle));

	return true;
}

/* More jobs than fit into one call of npu, or into its queue. */
static bool test_many_jobs(int fd)
{
	enum { JOBS = 300 };
	static struct drm_rocket_job jobs[JOBS];
	struct drm_rocket_create_bo cmd, out;
	struct submission s;

	CHECK(!create(fd, 4096, &cmd) && !create(fd, 4096, &out));
	fill(&s, &cmd, &out);
	for (int i = 0; i < JOBS; i++)
		jobs[i] = s.job;
	s.submit.jobs = (uintptr_t)jobs;
	s.submit.job_count = JOBS;

	/*
	 * The first fails, and takes with it those that were queued behind it;
	 * none may be left, and none may be reported as done.
	 */
	submit(fd, &s);
	while (prep(fd, out.handle, INT64_MAX))
		CHECK(errno == EIO);
	CHECK(!gem_close(fd, out.handle) && !gem_close(fd, cmd.handle));

	return true;
}

/* Mesa closes the descriptor it opened and goes on with a copy. */
static bool test_copies(int fd)
{
	struct drm_rocket_create_bo bo;
	int copy, other;

	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	CHECK(copy >= 0);
	CHECK(!create(copy, 4096, &bo));
	CHECK(!prep(fd, bo.handle, 0));
	CHECK(dup2(copy, 100) == 100);
	CHECK(!close(copy));
	CHECK(!gem_close(100, bo.handle));
	CHECK_ERROR(prep(fd, bo.handle, 0), ENOENT);
	CHECK(test_version(100));
	CHECK(!close(100));

	/* The number means another file now, with handles of its own. */
	other = open(node, O_RDWR | O_CLOEXEC);
	CHECK(other >= 0);
	CHECK(!create(fd, 4096, &bo));
	CHECK_ERROR(prep(other, bo.handle, 0), ENOENT);
	CHECK(!gem_close(fd, bo.handle));
	CHECK(!close(other));

	return true;
}

/* Files that are none of ours, and npu's own calls, go through untouched. */
static bool test_others(int fd)
{
	struct drm_npu_query query = { .type = DRM_NPU_QUERY_DEVICE };
	struct drm_version version = {};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK(null >= 0);
	CHECK_ERROR(ioctl(null, DRM_IOCTL_VERSION, &version), ENOTTY);
	CHECK_ERROR(prep(null, 1, 0), ENOTTY);
	CHECK(!close(null));
	CHECK_ERROR(close(null), EBADF);
	CHECK_ERROR(prep(null, 1, 0), EBADF);
	CHECK_ERROR(fcntl(null, F_DUPFD, 0), EBADF);

	CHECK(!ioctl(fd, DRM_IOCTL_NPU_QUERY, &query));
	CHECK(query.size >= sizeof(struct drm_npu_device_info));

	return true;
}

static void *churn(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 200; i++) {
		struct drm_rocket_create_bo bo;
		int own = open(node, O_RDWR | O_CLOEXEC), copy = dup(own);

		if (own < 0 || copy < 0 || create(fd, 4096, &bo) ||
		    prep(fd, bo.handle, INT64_MAX) || fini(fd, bo.handle) ||
		    gem_close(fd, bo.handle) || create(own, 4096, &bo) ||
		    close(own) || prep(copy, bo.handle, 0) || close(copy))
			return arg;
	}

	return NULL;
}

static bool test_threads(int fd)
{
	pthread_t threads[4];
	bool good = true;
	void *result;

	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, churn, &fd));
	for (int i = 0; i < 4; i++) {
		CHECK(!pthread_join(threads[i], &result));
		good &= !result;
	}
	CHECK(good);

	return true;
}

static void run(const char *name, bool (*test)(int fd), int fd)
{
	bool good = test(fd);

	failures += !good;
	printf("%sok %d - rocket on npu: %s\n", good ? "" : "not ", ++tests,
	       name);
}

static int find_device(void)
{
	for (int i = 0; i < 64; i++) {
		char name[8] = {};
		struct drm_version version = { .name = name, .name_len = 7 };
		int fd;

		snprintf(node, sizeof(node), "/dev/accel/accel%d", i);
		fd = open(node, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!ioctl(fd, DRM_IOCTL_VERSION, &version) &&
		    !strcmp(name, "rocket"))
			return fd;
		close(fd);
	}

	return -1;
}

int main(void)
{
	int fd = find_device();

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fd < 0) {
		printf("no rocket device: is librocket-npu.so preloaded?\n");
		return 4;
	}

	run("it is called rocket", test_version, fd);
	run("buffers have ascending addresses and keep their bytes",
	    test_buffers, fd);
	run("buffers that are not there", test_bad_buffers, fd);
	run("addresses are given back", test_reuse, fd);
	run("malformed submissions", test_bad_submits, fd);
	run("a job that fails is told about", test_failed_job, fd);
	run("more jobs than fit at once", test_many_jobs, fd);
	run("copies of descriptors", test_copies, fd);
	run("files of others", test_others, fd);
	run("threads", test_threads, fd);
	printf("1..%d\n", tests);

	return !!failures;
}
