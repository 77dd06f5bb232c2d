// SPDX-License-Identifier: GPL-2.0-only
/*
 * What reached the NPU.
 *
 * Two counts that do not know of each other. The jobs are counted where they
 * leave for the kernel: this program's own ioctl() is found by Mesa's libdrm
 * before the C library's, and it is the same whether rocket or the preload
 * library in front of npu answers. The interrupts are the kernel's count of the
 * times the hardware said that a task was done; a job that hung has none.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm/rocket_accel.h>

#include "rocket-npu.h"
#include "tfl.h"

static atomic_ullong jobs, tasks;
static int (*next_ioctl)(int fd, unsigned long request, ...);

static void find_next(void)
{
	*(void **)&next_ioctl = dlsym(RTLD_NEXT, "ioctl");
	if (!next_ioctl)
		abort();
}

static void count(const struct drm_rocket_submit *submit)
{
	for (uint32_t i = 0; i < submit->job_count; i++) {
		uintptr_t at = submit->jobs + (uint64_t)i * submit->job_struct_size;

		tasks += ((const struct drm_rocket_job *)at)->task_count;
	}
	jobs += submit->job_count;
}

/* Takes precedence over the ioctl() of every library. */
__attribute__((visibility("default")))
int ioctl(int fd, unsigned long request, ...)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	va_list ap;
	void *arg;
	int ret;

	pthread_once(&once, find_next);
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);

	ret = next_ioctl(fd, request, arg);
	if (!ret && request == DRM_IOCTL_ROCKET_SUBMIT)
		count(arg);

	return ret;
}

/* Adds up one line: "  23:   12   0   GICv3 142 Level  fdab0000.npu, ..." */
static uint64_t line_sum(char *line)
{
	char *p = strchr(line, ':'), *end;
	uint64_t sum = 0;

	if (!p)
		return 0;

	for (p++; ; p = end) {
		unsigned long long n = strtoull(p, &end, 10);

		if (end == p || (*end && *end != ' ' && *end != '\n'))
			return sum;
		sum += n;
	}
}

static bool count_interrupts(uint64_t *sum)
{
	FILE *f = fopen("/proc/interrupts", "re");
	char line[4096];
	bool found = false;

	*sum = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, ".npu"))
			continue;
		found = true;
		*sum += line_sum(line);
	}
	if (f)
		fclose(f);

	return found;
}

typedef bool (*stats_fn)(struct rocket_npu_stats *stats);

/* The preload library's count, or NULL on rocket itself. */
static stats_fn preload_stats(void)
{
	stats_fn stats;

	*(void **)&stats = dlsym(RTLD_DEFAULT, "rocket_npu_get_stats");

	return stats;
}

bool tfl_on_rocket(void)
{
	return !preload_stats();
}

void tfl_work_get(struct tfl_work *work)
{
	stats_fn stats = preload_stats();
	struct rocket_npu_stats s = {};

	if (stats)
		stats(&s);

	*work = (struct tfl_work){
		.jobs = jobs,
		.tasks = tasks,
		.failed = s.failed,
	};
	work->have_interrupts = count_interrupts(&work->interrupts);
}

bool tfl_work_since(const struct tfl_work *before, struct tfl_work *work)
{
	struct tfl_work after;
	uint64_t expected;

	tfl_work_get(&after);
	*work = (struct tfl_work){
		.jobs = after.jobs - before->jobs,
		.tasks = after.tasks - before->tasks,
		.failed = after.failed - before->failed,
		.interrupts = after.interrupts - before->interrupts,
		.have_interrupts = after.have_interrupts,
	};

	/* Rocket has each task interrupt and tells of no failure; npu tells. */
	expected = tfl_on_rocket() ? work->tasks : work->jobs;

	return !work->failed &&
	       (!work->have_interrupts || work->interrupts >= expected);
}

/*
 * Rocket lets go of a job's buffers some time after the job. A file that is
 * closed before that trips the kernel (a warning from drm_mm_takedown(), then a
 * use after free), so there is nothing for it but to wait.
 */
void tfl_work_settle(void)
{
	if (jobs && tfl_on_rocket())
		usleep(30000);
}
