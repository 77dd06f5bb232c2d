// SPDX-License-Identifier: GPL-2.0-only
/*
 * npu-demo: clients of all kinds at once, for scripts/timeline --demo.
 *
 * Each client is a process with a file, an address space and contexts of its
 * own. One has more work than the NPU can do at once, one needs a picture every
 * few milliseconds, one must not wait, and one hands in a task that hangs. What
 * each of them has done is printed, a line for each:
 *
 *   client NAME class N contexts N jobs N tasks N failed N
 *
 * where the tasks are those that have run. Exit status 0 when all jobs ended as
 * they should: well, but for the one that hangs and the one behind it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "npu.h"
#include "npu_rknn_cmd.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MAX_CONTEXTS	4
#define MAX_JOBS	64
#define MAX_TASKS	32

/*
 * A task is a convolution with so many kernels of a kilobyte each; what takes
 * time is that they have to come.
 */
#define KERNEL		1024u
#define PAGE		4096u

/* Everybody has warmed up by then. */
#define HEAD_START_NS	20000000

struct client {
	const char *name;
	uint32_t sched_class;
	uint32_t contexts;
	uint32_t jobs;		/* of all contexts, who take turns */
	uint32_t tasks;		/* of each job */
	uint32_t kernels;	/* of each task */
	int64_t start_ns;
	int64_t period_ns;	/* from one job to the next, or all at once */
	uint32_t hang_job;	/* counted from one, or zero */
	uint32_t hang_task;

	struct npu_device *dev;
	uint32_t vm;
	uint32_t ctx[MAX_CONTEXTS];
	uint32_t fence[MAX_JOBS];
	struct drm_npu_task task;
	struct drm_npu_task hang;
};

static const struct client clients[] = {
	{
		.name = "indexer",
		.sched_class = DRM_NPU_CLASS_THROUGHPUT,
		.contexts = 4,
		.jobs = 32,
		.tasks = 24,
		.kernels = 768,
	}, {
		.name = "camera",
		.sched_class = DRM_NPU_CLASS_BALANCED,
		.contexts = 1,
		.jobs = 8,
		.tasks = 16,
		.kernels = 512,
		.start_ns = 2000000,
		.period_ns = 4000000,
	}, {
		.name = "speech",
		.sched_class = DRM_NPU_CLASS_LATENCY,
		.contexts = 1,
		.jobs = 24,
		.tasks = 3,
		.kernels = 384,
		.start_ns = 1000000,
		.period_ns = 1370000,
	}, {
		.name = "broken",
		.sched_class = DRM_NPU_CLASS_BALANCED,
		.contexts = 1,
		.jobs = 3,
		.tasks = 4,
		.kernels = 768,
		.start_ns = 7000000,
		.hang_job = 2,
		.hang_task = 2,
	},
};

static const char *who = "npu-demo";

static __attribute__((noreturn, format(printf, 1, 2))) void
die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", who);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

/* A libnpu call has worked. */
static void check(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, strerror(-ret));
}

static void sleep_until(int64_t ns)
{
	struct timespec t = {
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void add_context(struct client *c, uint32_t *ctx)
{
	struct drm_npu_ctx_create args = {
		.vm_id = c->vm,
		.sched_class = c->sched_class,
		/* Who hangs may as well be found out soon. */
		.timeout_ms = c->hang_job ? npu_info(c->dev)->min_timeout_ms : 0,
	};

	if (ioctl(npu_fd(c->dev), DRM_IOCTL_NPU_CTX_CREATE, &args))
		die("CTX_CREATE: %s", strerror(errno));
	*ctx = args.ctx_id;
}

static struct drm_npu_task write_stream(struct client *c, const struct rknn_stream *s)
{
	struct npu_bo cmd;

	check(npu_bo_create_mapped(c->dev, PAGE, DRM_NPU_BO_WC, c->vm, &cmd), "buffer");
	memcpy(cmd.map, s->words, s->count * sizeof(s->words[0]));

	return (struct drm_npu_task){
		.cmd_va = cmd.va,
		.cmd_size = s->count * sizeof(s->words[0]),
	};
}

static void set_up(struct client *c)
{
	struct rknn_conv op = {
		.w = 4,
		.h = 4,
		.ic = KERNEL / 16,
		.oc = c->kernels,
		.kw = 4,
		.kh = 4,
		.stride = 1,
		.ow = 1,
		.oh = 1,
		.scale = 1,
	};
	struct rknn_stream s;
	struct npu_bo data;

	check(npu_open(NULL, &c->dev), "no npu device");
	check(npu_vm_create(c->dev, &c->vm), "address space");
	for (uint32_t i = 0; i < c->contexts; i++)
		add_context(c, &c->ctx[i]);
	for (uint32_t i = 0; i < c->jobs; i++)
		check(npu_fence_create(c->dev, &c->fence[i]), "fence");

	check(npu_bo_create_mapped(c->dev, (c->kernels + 4) * KERNEL + 2 * PAGE,
				   DRM_NPU_BO_WC, c->vm, &data), "buffer");
	op.in_va = data.va;
	op.weight_va = op.in_va + KERNEL;
	op.out_va = op.weight_va + c->kernels * KERNEL;
	op.bias_va = op.out_va + PAGE;
	rknn_conv_cmd(&s, &op);
	c->task = write_stream(c, &s);

	/* It starts nothing and so never ends. */
	s = (struct rknn_stream){ .count = 16 };
	c->hang = write_stream(c, &s);
}

/* Once without looking, so that the memory is there and the core is awake */
static void warm_up(struct client *c)
{
	uint32_t fence;

	check(npu_fence_create(c->dev, &fence), "fence");
	check(npu_submit_tasks(c->dev, c->ctx[0], &c->task, 1, 0, fence), "submit");
	check(npu_fence_wait(c->dev, fence, NPU_FOREVER), "wait");
	npu_fence_destroy(c->dev, fence);
}

static void submit(struct client *c, uint32_t job)
{
	struct drm_npu_task tasks[MAX_TASKS];

	for (uint32_t i = 0; i < c->tasks; i++)
		tasks[i] = job + 1 == c->hang_job && i == c->hang_task ? c->hang : c->task;
	check(npu_submit_tasks(c->dev, c->ctx[job % c->contexts], tasks, c->tasks, 0,
			       c->fence[job]), "submit");
}

/* What the job behind a fence should end with */
static int expected(const struct client *c, uint32_t job)
{
	if (!c->hang_job || job + 1 < c->hang_job)
		return 1;

	return job + 1 == c->hang_job ? -ETIME : -ECANCELED;
}

/* Tasks of a job that end, whatever becomes of the job */
static uint32_t tasks_of(const struct client *c, uint32_t job)
{
	if (expected(c, job) == 1)
		return c->tasks;

	return expected(c, job) == -ETIME ? c->hang_task : 0;
}

static void run(struct client *c, int64_t start)
{
	uint32_t tasks = 0, failed = 0;

	for (uint32_t i = 0; i < c->jobs; i++) {
		sleep_until(start + c->start_ns + i * c->period_ns);
		submit(c, i);
	}
	for (uint32_t i = 0; i < c->jobs; i++) {
		int status;

		check(npu_fence_wait(c->dev, c->fence[i], NPU_FOREVER), "wait");
		status = npu_fence_status(c->dev, c->fence[i]);
		if (status != expected(c, i))
			die("job %u ended with %d", i, status);
		tasks += tasks_of(c, i);
		failed += status != 1;
	}
	/* One line, and the last thing: clients do not mix theirs. */
	printf("client %s class %u contexts %u jobs %u tasks %u failed %u\n", c->name,
	       c->sched_class, c->contexts, c->jobs + 1, tasks + 1, failed);
	fflush(stdout);
	npu_close(c->dev);
}

int main(void)
{
	int64_t start = npu_deadline(0);
	int ready[2], go[2], status, failed = 0;
	char byte;

	if (pipe(ready) || pipe(go))
		die("pipe: %s", strerror(errno));

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		struct client c = clients[i];
		pid_t pid = fork();

		if (pid < 0)
			die("fork: %s", strerror(errno));
		if (pid)
			continue;
		who = c.name;
		prctl(PR_SET_NAME, c.name);
		set_up(&c);
		if (write(ready[1], "", 1) != 1 ||
		    read(go[0], &start, sizeof(start)) != sizeof(start))
			die("pipe: %s", strerror(errno));
		warm_up(&c);
		run(&c, start);
		exit(0);
	}

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		if (read(ready[0], &byte, 1) != 1)
			die("a client did not come up");
	start = npu_deadline(HEAD_START_NS);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		if (write(go[1], &start, sizeof(start)) != sizeof(start))
			die("pipe: %s", strerror(errno));
	while (wait(&status) > 0)
		failed |= status;

	return !!failed;
}
