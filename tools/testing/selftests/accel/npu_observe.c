// SPDX-License-Identifier: GPL-2.0-only
/* What others see of a client: fdinfo, trace events, debugfs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "npu_mem.h"
#include "npu_test.h"

#define TRACING		"/sys/kernel/tracing/"
#define INSTANCE	TRACING "instances/npu_observe/"
#define DEVFREQ		"/sys/class/devfreq/npu/"
#define FACADE		"/sys/bus/platform/drivers/npu"
#define MAX_EVENTS	16384

/* The value of a key in the fdinfo of a file, in bytes if it is memory; or -1 */
static int64_t fdinfo(int fd, const char *key)
{
	char path[64], line[256];
	int64_t value = -1;
	size_t len = strlen(key);
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		char *unit;

		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		value = strtoll(line + len + 1, &unit, 0);
		if (!strcmp(unit, " KiB\n"))
			value <<= 10;
		else if (!strcmp(unit, " MiB\n"))
			value <<= 20;
	}
	fclose(file);
	return value;
}

/* Hardware time as CTX_QUERY tells it, or -1 */
static int64_t ctx_time(int fd, uint32_t ctx)
{
	struct drm_npu_ctx_query q;

	return npu_ctx_query(fd, ctx, &q) ? -1 : (int64_t)q.hw_time_ns;
}

NPU_FIXTURE(fdinfo);

TEST_F(fdinfo, has_what_tools_look_for)
{
	struct drm_npu_core_info info[64];
	char target[64], path[64];
	struct npu_env other;
	ssize_t len;

	EXPECT_LT(0, fdinfo(self->e.fd, "drm-client-id"));
	EXPECT_EQ(self->e.info.num_cores,
		  fdinfo(self->e.fd, "drm-engine-capacity-npu"));
	EXPECT_EQ(0, fdinfo(self->e.fd, "drm-engine-npu"));
	EXPECT_EQ(0, fdinfo(self->e.fd, "drm-cycles-npu"));
	ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_CORES, info,
			       self->e.info.num_cores * sizeof(*info)));
	EXPECT_LE(info[0].clock_hz, fdinfo(self->e.fd, "drm-maxfreq-npu"));

	ASSERT_EQ(0, npu_env_open_plain(&other));
	EXPECT_NE(fdinfo(self->e.fd, "drm-client-id"),
		  fdinfo(other.fd, "drm-client-id"));
	npu_env_close(&other);

	/* Tools find files of the driver by the device they are of. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->e.fd);
	len = readlink(path, target, sizeof(target) - 1);
	ASSERT_LT(0, len);
	target[len] = '\0';
	EXPECT_EQ(0, strncmp(target, "/dev/", 5));
}

/* To the nanosecond, with contexts that are gone, and nobody else's */
TEST_F(fdinfo, engine_time_is_that_of_all_contexts)
{
	uint32_t ctxs[3] = { self->e.ctx };
	int64_t sum, last = 0, now;
	struct npu_env other;
	struct npu_work w;
	unsigned int n;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 3));
	ASSERT_EQ(0, npu_env_open_plain(&other));
	for (n = 1; n < ARRAY_SIZE(ctxs); n++)
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctxs[n]));

	for (n = 0, sum = 0; n < ARRAY_SIZE(ctxs); n++) {
		ASSERT_EQ(0, npu_work_run(&self->e, ctxs[n], &w));
		ASSERT_LT(0, ctx_time(self->e.fd, ctxs[n]));
		sum += ctx_time(self->e.fd, ctxs[n]);
		EXPECT_EQ(sum, fdinfo(self->e.fd, "drm-engine-npu"));
	}
	/* It must not go back while contexts go, nor afterwards. */
	for (n = 0; n < ARRAY_SIZE(ctxs); n++)
		ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ctxs[n]));
	for (n = 0; n < 100; n++) {
		now = fdinfo(self->e.fd, "drm-engine-npu");
		ASSERT_EQ(sum, now);
		ASSERT_LE(last, now);
		last = fdinfo(self->e.fd, "drm-cycles-npu");
		ASSERT_LT(0, last);
		last = now;
		npu_sleep_ms(1);
	}
	EXPECT_EQ(0, fdinfo(other.fd, "drm-engine-npu"));
	npu_env_close(&other);
}

/* Who samples does not wait for the end of a job to see it. */
TEST_F(fdinfo, a_running_job_counts)
{
	struct drm_npu_job_result r;
	int64_t before, time, cycles, more;
	struct npu_work hang;
	int n;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &hang, 0));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, self->e.ctx, 1, DRM_NPU_JOB_RUNNING, &r));

	time = fdinfo(self->e.fd, "drm-engine-npu");
	cycles = fdinfo(self->e.fd, "drm-cycles-npu");
	for (n = 0; n < 10; n++) {
		npu_sleep_ms(2);
		before = ctx_time(self->e.fd, self->e.ctx);
		more = fdinfo(self->e.fd, "drm-engine-npu");
		ASSERT_EQ(0, npu_job_result(self->e.fd, self->e.ctx, 1, &r));
		if (r.state == DRM_NPU_JOB_ENDED)
			break;
		EXPECT_LE(time + 2000000, more);
		EXPECT_LE(before, more);
		EXPECT_LE(more, ctx_time(self->e.fd, self->e.ctx));
		time = more;
		more = fdinfo(self->e.fd, "drm-cycles-npu");
		EXPECT_LT(cycles, more);
		cycles = more;
	}
	EXPECT_LT(0, n) TH_LOG("the job was over at once");
	ASSERT_EQ(0, npu_job_wait(self->e.fd, self->e.ctx, 1, DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(-ETIME, r.error);
	EXPECT_EQ(ctx_time(self->e.fd, self->e.ctx), fdinfo(self->e.fd, "drm-engine-npu"));
	EXPECT_LE(time, fdinfo(self->e.fd, "drm-engine-npu"));
	EXPECT_LE(cycles, fdinfo(self->e.fd, "drm-cycles-npu"));
}

/* Exactly, unless the clock follows the load */
TEST_F(fdinfo, cycles_are_time_by_clock)
{
	bool fixed = access(DEVFREQ, F_OK);
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	double time, rate, max;
	struct npu_work w;
	uint32_t count;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 4));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &w, 50, &count));
	tasks = npu_repeat(&w, count);
	ASSERT_NE(NULL, tasks);
	EXPECT_EQ(NPU_DONE, npu_run_tasks(&self->e, self->e.ctx, tasks, count, &r));
	free(tasks);

	time = fdinfo(self->e.fd, "drm-engine-npu");
	rate = fdinfo(self->e.fd, "drm-cycles-npu") / time * 1e9;
	max = fdinfo(self->e.fd, "drm-maxfreq-npu");
	EXPECT_GE(max * 1.00001, rate);
	EXPECT_LE(fixed ? max * 0.99999 : 1e6, rate);
}

struct memory {
	int64_t total, shared, resident, purgeable, active;
};

static struct memory memory(int fd, const char *region)
{
	static const char *const kinds[] = {
		"total", "shared", "resident", "purgeable", "active",
	};
	int64_t value[ARRAY_SIZE(kinds)];
	char key[64];
	size_t n;

	for (n = 0; n < ARRAY_SIZE(kinds); n++) {
		snprintf(key, sizeof(key), "drm-%s-%s", kinds[n], region);
		value[n] = fdinfo(fd, key);
	}
	return (struct memory){ value[0], value[1], value[2], value[3], value[4] };
}

#define EXPECT_MEMORY(region, t, s, r, p) do {			\
	struct memory is = memory(self->e.fd, region);		\
	EXPECT_EQ(was.total + (t), is.total);			\
	EXPECT_EQ(was.shared + (s), is.shared);			\
	EXPECT_EQ(was.resident + (r), is.resident);		\
	EXPECT_EQ(was.purgeable + (p), is.purgeable);		\
} while (0)

TEST_F(fdinfo, system_memory_is_told_by_what_it_is_good_for)
{
	const uint64_t size = 1 << 20;
	struct memory was = memory(self->e.fd, "memory");
	struct npu_bo bo = { };
	uint32_t retained;
	int dmabuf;

	ASSERT_LE(0, was.total);
	ASSERT_EQ(0, npu_bo_create(self->e.fd, size, 0, 0, &bo.handle));
	bo.size = size;
	EXPECT_MEMORY("memory", size, 0, 0, 0);

	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
	EXPECT_MEMORY("memory", size, 0, size, 0);

	ASSERT_EQ(0, npu_bo_madvise(self->e.fd, bo.handle, DRM_NPU_ADVICE_DONTNEED,
				    &retained));
	EXPECT_MEMORY("memory", size, 0, size, size);
	ASSERT_EQ(0, npu_bo_madvise(self->e.fd, bo.handle, DRM_NPU_ADVICE_WILLNEED,
				    &retained));
	dmabuf = npu_export(self->e.fd, bo.handle);
	ASSERT_LE(0, dmabuf);
	EXPECT_MEMORY("memory", size, size, size, 0);
	close(dmabuf);

	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, bo.va, size));
	ASSERT_EQ(0, npu_gem_close(self->e.fd, bo.handle));
	EXPECT_MEMORY("memory", 0, 0, 0, 0);
}

TEST_F(fdinfo, memory_of_programs_counts)
{
	struct memory was;
	struct npu_work w;
	uint32_t program;
	struct memory is;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 5));
	was = memory(self->e.fd, "memory");
	ASSERT_EQ(0, npu_program_of_work(&self->e, &w, NULL, 0, &program));
	is = memory(self->e.fd, "memory");
	EXPECT_LT(was.total, is.total);
	EXPECT_EQ(is.total - was.total, is.resident - was.resident);
	ASSERT_EQ(0, npu_program_destroy(self->e.fd, program));
	EXPECT_MEMORY("memory", 0, 0, 0, 0);
}

/* What a private buffer is used for is not known, so all of them are in use. */
TEST_F(fdinfo, memory_is_active_while_jobs_run)
{
	struct drm_npu_job_result r;
	struct npu_work hang;
	struct npu_bo bo;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 1 << 20, 0, self->e.vm, &bo));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &bo, 0));
	EXPECT_EQ(0, memory(self->e.fd, "memory").active);
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &hang, 0));
	EXPECT_LE(1 << 20, memory(self->e.fd, "memory").active);
	ASSERT_EQ(0, npu_job_wait(self->e.fd, self->e.ctx, 1, DRM_NPU_JOB_ENDED, &r));
	ASSERT_EQ(0, npu_bo_wait(self->e.fd, bo.handle, DRM_NPU_BO_WAIT_WRITE,
				 NPU_PATIENCE_MS));
	EXPECT_EQ(0, memory(self->e.fd, "memory").active);
}

TEST_F(fdinfo, on_chip_memory_is_a_region_of_its_own)
{
	const uint64_t size = 4 * self->e.info.page_size;
	struct memory was, sys = memory(self->e.fd, "memory"), is;
	struct drm_npu_sram_info info;
	struct npu_bo pinned, preferred;

	ASSERT_EQ(0, npu_sram_query(self->e.fd, &info));
	was = memory(self->e.fd, "sram");
	if (!info.size) {
		EXPECT_EQ(-1, was.total) TH_LOG("there is no such region");
		SKIP(return, "no on-chip memory");
	}
	EXPECT_EQ(0, was.total);
	ASSERT_EQ(0, npu_bo_new(self->e.fd, size, DRM_NPU_BO_SRAM, self->e.vm, &pinned));
	EXPECT_MEMORY("sram", size, 0, size, 0);
	ASSERT_EQ(0, npu_bo_new(self->e.fd, size, DRM_NPU_BO_SRAM_PREFERRED, self->e.vm,
				&preferred));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &preferred, 0));
	EXPECT_MEMORY("sram", 2 * size, 0, 2 * size, 0);

	/* It makes room for what is pinned, and is where it is then. */
	npu_bo_free(self->e.fd, &pinned);
	ASSERT_EQ(0, npu_bo_new(self->e.fd, info.size, DRM_NPU_BO_SRAM, self->e.vm,
				&pinned));
	EXPECT_MEMORY("sram", info.size + size, 0, info.size, 0);
	is = memory(self->e.fd, "memory");
	EXPECT_EQ(sys.total, is.total);
	EXPECT_EQ(sys.resident + size, is.resident);
}

struct event {
	char name[32];
	int64_t ns, client, ctx, job, core, task, tasks, error, on, alive, hz;
};

static int clear_trace(void)
{
	int fd = open(INSTANCE "trace", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int64_t field(const char *text, const char *name)
{
	char key[32];
	const char *at;

	snprintf(key, sizeof(key), " %s=", name);
	at = strstr(text, key);
	return at ? strtoll(at + strlen(key), NULL, 0) : INT64_MIN;
}

/* Events of a client, and of the cores, in their order; returns how many */
static int read_events(struct event *events, int max, int64_t client)
{
	FILE *file = fopen(INSTANCE "trace", "r");
	char line[512];
	int n = 0;

	while (file && n < max && fgets(line, sizeof(line), file)) {
		struct event *e = &events[n];
		char *text = strstr(line, ": npu_");

		if (line[0] == '#' || !text ||
		    sscanf(text, ": %31[a-z_]", e->name) != 1)
			continue;
		/* Seconds and microseconds are in front of the name. */
		*text = '\0';
		e->ns = strtod(strrchr(line, ' '), NULL) * 1e9;
		*text = ':';
		e->client = field(text, "client");
		e->ctx = field(text, "ctx");
		e->job = field(text, "job");
		e->core = field(text, "core");
		e->task = field(text, "task");
		e->tasks = field(text, "tasks");
		e->error = field(text, "error");
		e->on = field(text, "on");
		e->alive = field(text, "alive");
		e->hz = field(text, "hz");
		if (e->client == INT64_MIN || e->client == client)
			n++;
	}
	if (file)
		fclose(file);
	return n;
}

FIXTURE(trace)
{
	struct npu_env e;
	struct npu_work w;
	struct event *events;
	int64_t client;
};

FIXTURE_SETUP(trace)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (access(TRACING "events/npu", F_OK))
		SKIP(return, "no trace events");
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	ASSERT_EQ(0, npu_write_file(INSTANCE "trace_clock", "mono_raw"));
	self->events = calloc(MAX_EVENTS, sizeof(*self->events));
	ASSERT_NE(NULL, self->events);
	self->client = fdinfo(self->e.fd, "drm-client-id");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	/* Once without trace, so that the core is awake and has the VM */
	ASSERT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	ASSERT_EQ(0, npu_write_file(INSTANCE "events/npu/enable", "1"));
}

FIXTURE_TEARDOWN(trace)
{
	npu_env_close(&self->e);
	free(self->events);
	rmdir(INSTANCE);
}

/* The next event with that name from @from on; -1 when there is none */
static int next_event(const struct event *events, int count, int from, const char *name)
{
	int n;

	for (n = from; n < count; n++)
		if (!strcmp(events[n].name, name))
			return n;
	return -1;
}

static int count_events(const struct event *events, int count, const char *name,
			int64_t ctx, int64_t job)
{
	int n, found = 0;

	for (n = 0; n < count; n++)
		found += !strcmp(events[n].name, name) && events[n].ctx == ctx &&
			 (!job || events[n].job == job);
	return found;
}

TEST_F(trace, a_job_is_submitted_started_and_done)
{
	struct drm_npu_task tasks[5] = {
		self->w.task, self->w.task, self->w.task, self->w.task, self->w.task,
	};
	struct drm_npu_job_result r;
	int count, n, at = 0;
	uint64_t left, core;
	unsigned int c;
	uint32_t ctx;

	for (left = self->e.info.core_mask; left;) {
		left = npu_next_core(left, &c);
		core = c;
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
		ASSERT_EQ(NPU_DONE, npu_run_tasks(&self->e, ctx, tasks,
						  ARRAY_SIZE(tasks), &r));
		ASSERT_EQ(NPU_DONE, npu_run_tasks(&self->e, ctx, tasks, 1, &r));
		count = read_events(self->events, MAX_EVENTS, self->client);
		EXPECT_EQ(2, count_events(self->events, count, "npu_job_submit", ctx, 0));
		EXPECT_EQ(6, count_events(self->events, count, "npu_task_start", ctx, 0));
		EXPECT_EQ(2, count_events(self->events, count, "npu_job_done", ctx, 0));
		EXPECT_EQ(0, count_events(self->events, count, "npu_job_yield", ctx, 0));
		EXPECT_EQ(0, count_events(self->events, count, "npu_fault", ctx, 0));

		at = next_event(self->events, count, at, "npu_job_submit");
		ASSERT_LE(0, at);
		EXPECT_EQ(ctx, self->events[at].ctx);
		EXPECT_EQ(1, self->events[at].job);
		EXPECT_EQ(ARRAY_SIZE(tasks), self->events[at].tasks);
		for (n = 0; n < (int)ARRAY_SIZE(tasks); n++) {
			at = next_event(self->events, count, at + 1, "npu_task_start");
			ASSERT_LE(0, at);
			EXPECT_EQ(1, self->events[at].job);
			EXPECT_EQ(core, self->events[at].core);
			EXPECT_EQ(n, self->events[at].task);
		}
		at = next_event(self->events, count, at + 1, "npu_job_done");
		ASSERT_LE(0, at);
		EXPECT_EQ(1, self->events[at].job);
		EXPECT_EQ(core, self->events[at].core);
		EXPECT_EQ(ARRAY_SIZE(tasks), self->events[at].tasks);
		EXPECT_EQ(0, self->events[at].error);
		at = next_event(self->events, count, at + 1, "npu_job_done");
		ASSERT_LE(0, at);
		EXPECT_EQ(2, self->events[at].job);
		EXPECT_EQ(1, self->events[at].tasks);
	}
}

/* Who has the core makes way, and goes on later with the task it would have had. */
TEST_F(trace, a_yield_is_between_two_tasks)
{
	struct drm_npu_ctx_set urgent = {
		.flags = DRM_NPU_CTX_SET_CLASS,
		.sched_class = DRM_NPU_CLASS_LATENCY,
	};
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_task *tasks;
	struct drm_npu_job_result r;
	int count, yield, start, n;
	uint32_t slow, fast, num;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &slow));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &fast));
	urgent.ctx_id = fast;
	ASSERT_EQ(0, npu_ctx_set(self->e.fd, fast, &urgent));

	/* On a busy machine it may be over before; then it has to be longer. */
	for (n = 50, yield = -1; n <= 400 && yield < 0; n *= 2) {
		ASSERT_EQ(0, npu_write_file(INSTANCE "events/npu/enable", "0"));
		ASSERT_EQ(0, npu_long_tasks(&self->e, slow, &self->w, n, &num));
		tasks = npu_repeat(&self->w, num);
		ASSERT_NE(NULL, tasks);
		ASSERT_EQ(0, clear_trace());
		ASSERT_EQ(0, npu_write_file(INSTANCE "events/npu/enable", "1"));
		ASSERT_EQ(0, npu_submit_tasks(self->e.fd, slow, tasks, num, 0));
		free(tasks);
		ASSERT_EQ(NPU_DONE, npu_run_tasks(&self->e, fast, &self->w.task, 1, &r));
		ASSERT_EQ(NPU_DONE, npu_run_tasks(&self->e, slow, &self->w.task, 1, &r));
		count = read_events(self->events, MAX_EVENTS, self->client);
		yield = next_event(self->events, count, 0, "npu_job_yield");
	}
	ASSERT_LE(0, yield) TH_LOG("nobody made way");
	EXPECT_EQ(slow, self->events[yield].ctx);
	EXPECT_EQ(core, self->events[yield].core);
	EXPECT_LT(0, self->events[yield].task);

	start = next_event(self->events, count, yield, "npu_task_start");
	ASSERT_LE(0, start);
	EXPECT_EQ(fast, self->events[start].ctx);
	start = next_event(self->events, count, start + 1, "npu_task_start");
	ASSERT_LE(0, start);
	EXPECT_EQ(slow, self->events[start].ctx);
	EXPECT_EQ(self->events[yield].job, self->events[start].job);
	EXPECT_EQ(self->events[yield].task, self->events[start].task);
}

TEST_F(trace, a_hang_is_a_fault_a_reset_and_a_recovery)
{
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_job_result r;
	int count, at, n, cancelled = 0;
	struct npu_work hang;
	uint32_t ctx;

	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &hang, 0));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->w, 0));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 2, DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(-ECANCELED, r.error);

	count = read_events(self->events, MAX_EVENTS, self->client);
	at = next_event(self->events, count, 0, "npu_task_start");
	ASSERT_LE(0, at);
	at = next_event(self->events, count, at, "npu_fault");
	ASSERT_LE(0, at);
	EXPECT_EQ(ctx, self->events[at].ctx);
	EXPECT_EQ(1, self->events[at].job);
	EXPECT_EQ(core, self->events[at].core);
	EXPECT_EQ(0, self->events[at].task);
	EXPECT_EQ(-ETIME, self->events[at].error);
	at = next_event(self->events, count, at, "npu_reset");
	ASSERT_LE(0, at);
	EXPECT_EQ(core, self->events[at].core);
	at = next_event(self->events, count, at, "npu_recovered");
	ASSERT_LE(0, at);
	EXPECT_EQ(core, self->events[at].core);
	EXPECT_EQ(1, self->events[at].alive);
	at = next_event(self->events, count, at, "npu_job_done");
	ASSERT_LE(0, at);
	EXPECT_EQ(1, self->events[at].job);
	EXPECT_EQ(-ETIME, self->events[at].error);

	EXPECT_EQ(1, count_events(self->events, count, "npu_fault", ctx, 0));
	EXPECT_EQ(1, count_events(self->events, count, "npu_task_start", ctx, 0));
	for (n = 0; n < count; n++)
		if (!strcmp(self->events[n].name, "npu_job_done") &&
		    self->events[n].job == 2 && self->events[n].error == -ECANCELED)
			cancelled += self->events[n].core == -1;
	EXPECT_EQ(1, cancelled) TH_LOG("it never had a core");
}

/* What the clock was like between two times, by the events that tell of it */
static double cycles_between(const struct event *events, int count, double hz,
			     int64_t start, int64_t end)
{
	double cycles = 0;
	int64_t at = start;
	int n;

	for (n = 0; n < count; n++) {
		if (strcmp(events[n].name, "npu_frequency"))
			continue;
		if (events[n].ns > at && events[n].ns < end) {
			cycles += (events[n].ns - at) * 1e-9 * hz;
			at = events[n].ns;
		}
		if (events[n].ns < end)
			hz = events[n].hz;
	}
	return cycles + (end - at) * 1e-9 * hz;
}

static uint64_t clock_now(struct npu_env *e)
{
	struct drm_npu_core_info info[64];

	return npu_query(e->fd, DRM_NPU_QUERY_CORES, info,
			 e->info.num_cores * sizeof(*info)) ? 0 : info[0].clock_hz;
}

/* The clock changes while a job runs, and cycles follow. */
TEST_F(trace, cycles_are_counted_by_the_clock_there_was)
{
	int64_t cycles = fdinfo(self->e.fd, "drm-cycles-npu");
	char limit[32], lowest[32] = "";
	struct drm_npu_ctx_set longer = {
		.flags = DRM_NPU_CTX_SET_TIMEOUT,
		.timeout_ms = 1000,
		.ctx_id = self->e.ctx,
	};
	struct drm_npu_job_result r;
	struct npu_work hang;
	int count, n, changes = 0;
	uint64_t hz, first = 0;
	double expected;

	if (npu_read_file(DEVFREQ "max_freq", limit, sizeof(limit)) ||
	    npu_read_file(DEVFREQ "min_freq", lowest, sizeof(lowest)))
		SKIP(return, "nobody changes the clock");
	ASSERT_EQ(0, npu_work_hang(&self->e, &hang));
	ASSERT_EQ(0, npu_ctx_set(self->e.fd, self->e.ctx, &longer));
	hz = clock_now(&self->e);
	ASSERT_EQ(0, npu_submit_ids(self->e.fd, self->e.ctx, &(struct drm_npu_job){
					.tasks = NPU_ARRAY(&hang.task, 1) }, 1, &first));
	for (n = 0; n < 3; n++) {
		npu_sleep_ms(60);
		EXPECT_EQ(0, npu_write_file(DEVFREQ "max_freq", "%s", lowest));
		npu_sleep_ms(60);
		EXPECT_EQ(0, npu_write_file(DEVFREQ "max_freq", "%s", limit));
	}
	ASSERT_EQ(0, npu_job_wait(self->e.fd, self->e.ctx, first, DRM_NPU_JOB_ENDED, &r));

	count = read_events(self->events, MAX_EVENTS, self->client);
	for (n = 0; n < count; n++)
		changes += !strcmp(self->events[n].name, "npu_frequency") &&
			   self->events[n].ns > r.start_ns && self->events[n].ns < r.end_ns;
	EXPECT_LE(2, changes);
	cycles = fdinfo(self->e.fd, "drm-cycles-npu") - cycles;
	expected = cycles_between(self->events, count, hz, r.start_ns, r.end_ns);
	EXPECT_LE(expected * 0.95, cycles);
	EXPECT_GE(expected * 1.05, cycles);
}

/* A kernel without accel nodes has it where GPUs are. */
static const char *const places[] = {
	"/sys/kernel/debug/accel/npu", "/sys/kernel/debug/dri/npu",
};

static const char *const files[] = { "sched", "contexts", "vms", "sram" };

/* Opens a file of debugfs; a negative errno when it is not there */
static int open_debugfs(const char *name)
{
	char path[128];
	int fd = -1;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(places) && fd < 0; n++) {
		snprintf(path, sizeof(path), "%s/%s", places[n], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* All of a file of debugfs, for the caller to free; NULL when it is not there */
static char *read_debugfs(const char *name)
{
	size_t size = 1 << 20, len;
	int fd = open_debugfs(name);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char *text;

	if (!file)
		return NULL;
	text = malloc(size);
	len = text ? fread(text, 1, size - 1, file) : 0;
	if (text)
		text[len] = '\0';
	fclose(file);
	return text;
}

static bool debugfs_says(const char *name, const char *what)
{
	char *text = read_debugfs(name);
	bool says = text && strstr(text, what);

	free(text);
	return says;
}

/* Reads all files until told to stop; counts the times they were all there */
struct reader {
	pthread_t thread;
	atomic_bool stop;
	atomic_uint rounds;
};

static void *read_on(void *data)
{
	struct reader *reader = data;
	unsigned int n, there;

	while (!reader->stop) {
		for (n = 0, there = 0; n < ARRAY_SIZE(files); n++) {
			char *text = read_debugfs(files[n]);

			there += !!text;
			free(text);
		}
		reader->rounds += there == ARRAY_SIZE(files);
	}
	return NULL;
}

FIXTURE(debugfs)
{
	struct npu_env e;
	struct npu_work w;
	struct npu_work hang;
	struct reader reader;
};

FIXTURE_SETUP(debugfs)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (!debugfs_says("sched", "core 0"))
		SKIP(return, "no debugfs, or not root");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	ASSERT_EQ(0, pthread_create(&self->reader.thread, NULL, read_on, &self->reader));
}

FIXTURE_TEARDOWN(debugfs)
{
	self->reader.stop = true;
	pthread_join(self->reader.thread, NULL);
	npu_env_close(&self->e);
}

TEST_F(debugfs, tells_what_is_going_on)
{
	int64_t client = fdinfo(self->e.fd, "drm-client-id");
	unsigned int core = npu_first_core(&self->e);
	struct drm_npu_ctx_set longer = {
		.flags = DRM_NPU_CTX_SET_TIMEOUT,
		.timeout_ms = self->e.info.max_timeout_ms,
	};
	struct drm_npu_job_result r;
	struct npu_env other;
	char what[128];
	uint32_t ctx;

	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 1ull << core, &ctx));
	longer.ctx_id = ctx;
	ASSERT_EQ(0, npu_ctx_set(self->e.fd, ctx, &longer));
	snprintf(what, sizeof(what), "client %lld,", (long long)client);
	EXPECT_TRUE(debugfs_says("contexts", what));
	EXPECT_TRUE(debugfs_says("vms", what));
	snprintf(what, sizeof(what), "timeout %u ms", longer.timeout_ms);
	EXPECT_TRUE(debugfs_says("contexts", what));

	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->hang, 0));
	ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->w, 0));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 1, DRM_NPU_JOB_RUNNING, &r));
	snprintf(what, sizeof(what), "runs job %lld.%u.1,", (long long)client, ctx);
	EXPECT_TRUE(debugfs_says("sched", what));
	snprintf(what, sizeof(what), "next job %lld.%u.2,", (long long)client, ctx);
	EXPECT_TRUE(debugfs_says("sched", what));
	longer.timeout_ms = self->e.info.min_timeout_ms;
	ASSERT_EQ(0, npu_ctx_set(self->e.fd, ctx, &longer));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 2, DRM_NPU_JOB_ENDED, &r));
	EXPECT_TRUE(debugfs_says("contexts", "0 queued, 0 done, 2 failed"));
	EXPECT_TRUE(debugfs_says("contexts", "banned"));

	/* Without buffers, whose mappings would keep the file */
	ASSERT_EQ(0, npu_env_open_plain(&other));
	snprintf(what, sizeof(what), "client %lld,",
		 (long long)fdinfo(other.fd, "drm-client-id"));
	EXPECT_TRUE(debugfs_says("contexts", what));
	npu_env_close(&other);
	EXPECT_FALSE(debugfs_says("contexts", what));
}

TEST_F(debugfs, can_be_read_while_things_come_and_go)
{
	unsigned int before = self->reader.rounds, n = 0;
	struct npu_env other;
	struct npu_work w;
	uint32_t ctx;

	while (n < 40 || (self->reader.rounds < before + 10 && n < 4000)) {
		ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
		ASSERT_EQ(0, npu_submit_work(self->e.fd, ctx, &self->w, 0));
		ASSERT_EQ(0, npu_ctx_destroy(self->e.fd, ctx));
		ASSERT_EQ(0, npu_env_open(&other));
		ASSERT_EQ(0, npu_work_small(&other, &w, n));
		EXPECT_EQ(0, npu_work_run(&other, other.ctx, &w));
		npu_env_close(&other);
		n++;
	}
	EXPECT_LE(before + 10, self->reader.rounds);
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
}

TEST_F(debugfs, goes_and_comes_back_with_the_device)
{
	int64_t end = npu_now_ns() + NPU_PATIENCE_MS * 1000000ll;
	unsigned int before;
	int open_files[ARRAY_SIZE(files)];
	size_t n;
	char byte;

	if (access(FACADE "/unbind", W_OK))
		SKIP(return, "needs root");
	for (n = 0; n < ARRAY_SIZE(files); n++) {
		open_files[n] = open_debugfs(files[n]);
		ASSERT_LE(0, open_files[n]);
	}
	ASSERT_EQ(0, npu_submit_work(self->e.fd, self->e.ctx, &self->hang, 0));
	ASSERT_EQ(0, npu_write_file(FACADE "/unbind", "npu"));
	EXPECT_EQ(-ENOENT, open_debugfs("sched"));
	for (n = 0; n < ARRAY_SIZE(files); n++) {
		EXPECT_EQ(-1, read(open_files[n], &byte, 1));
		close(open_files[n]);
	}
	EXPECT_EQ(-1, fdinfo(self->e.fd, "drm-engine-npu"))
		TH_LOG("there is nothing to be told of a device that is gone");
	npu_env_close(&self->e);

	ASSERT_EQ(0, npu_write_file(FACADE "/bind", "npu"));
	while (npu_env_open(&self->e)) {
		ASSERT_GT(end, npu_now_ns());
		npu_sleep_ms(20);
	}
	before = self->reader.rounds;
	while (self->reader.rounds < before + 2) {
		ASSERT_GT(end, npu_now_ns());
		npu_sleep_ms(10);
	}
	EXPECT_EQ(0, npu_work_small(&self->e, &self->w, 3));
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
}

TEST_HARNESS_MAIN
