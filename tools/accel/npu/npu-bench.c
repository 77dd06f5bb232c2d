// SPDX-License-Identifier: GPL-2.0-only
/*
 * npu-bench: the guest's half of scripts/bench.
 *
 *   npu-bench npu|rocket
 *
 * Makes the driver do the things whose cost is to be known, and says when: each
 * of them is a section between two hints that the sections plugin of QEMU looks
 * for. This program prints what each section was, in their order; all figures
 * come from what the emulator saw in it. The same work is given to both drivers,
 * by their own calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <drm/rocket_accel.h>
#include <xf86drm.h>

#include "npu.h"
#include "npu_rknn_cmd.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* What one array of tasks, jobs or handles has at most */
#define MAX_TASKS	64
#define MAX_JOBS	256
#define MAX_BUFFERS	512

/*
 * Kernels of the convolution that a task is. They are of a kilobyte each, with
 * one result, so that a task takes the time its weights take to come, and the
 * emulator little time for a long one.
 */
#define SHORT_TASK	32	/* 7 us */
#define LONG_TASK	768	/* 100 us */
#define KERNEL		1024u

/* How long to wait until the kernel has cleaned up */
#define SETTLE_US	30000

#define PAGE		4096u
#define BIG_BUFFER	(64u << 20)

enum driver { NPU, ROCKET };

static enum driver driver;

struct buffer {
	uint32_t handle;
	uint64_t va;
	uint64_t size;
	void *map;
};

/* An open file with its buffers; with npu, one with one address space */
struct client {
	int fd;
	struct npu_device *dev;
	uint32_t vm;
	struct buffer buffers[MAX_BUFFERS + 8];
	uint32_t count;
};

/* Jobs that run in their order. Rocket has one of them for a file. */
struct queue {
	struct client *client;
	uint32_t ctx;
};

/* One task and the buffers it needs */
struct work {
	struct buffer cmd, data;
	uint32_t words;
	uint32_t handles[MAX_BUFFERS];	/* those a job of it uses, data last */
	uint32_t count;
};

static __attribute__((noreturn, format(printf, 1, 2))) void
die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "npu-bench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	exit(1);
}

/* A libnpu call has worked. */
static void check(int ret, const char *what)
{
	if (ret < 0) {
		errno = -ret;
		die("%s", what);
	}
}

/* Marks: numbers are those of the plugin. */

static unsigned int sections;

static inline void mark_begin(void)
{
	asm volatile("hint #112" ::: "memory");
}

static inline void mark_end(void)
{
	asm volatile("hint #113" ::: "memory");
}

static __attribute__((format(printf, 1, 2))) void section(const char *format, ...)
{
	va_list args;

	printf("section %u ", ++sections);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* The counter behind every clock, to match the emulator's times */
static uint64_t ticks(void)
{
	uint64_t value;

	asm volatile("isb; mrs %0, cntvct_el0" : "=r"(value) :: "memory");

	return value;
}

static uint64_t ticks_per_second(void)
{
	uint64_t value;

	asm volatile("mrs %0, cntfrq_el0" : "=r"(value));

	return value;
}

/*
 * One ioctl as a section of its own, with nothing of the C library in it.
 * Interrupts that come meanwhile are in it, too.
 */
static long marked_ioctl(int fd, unsigned long request, void *arg)
{
	register long x0 asm("x0") = fd;
	register long x1 asm("x1") = request;
	register long x2 asm("x2") = (long)arg;
	register long x8 asm("x8") = __NR_ioctl;

	asm volatile("hint #112; svc #0; hint #113"
		     : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");

	return x0;
}

/* Ahead of the kernel's own threads, or behind them again */
static void go_first(bool yes)
{
	struct sched_param param = { .sched_priority = yes };

	if (sched_setscheduler(0, yes ? SCHED_FIFO : SCHED_OTHER, &param))
		die("sched_setscheduler");
}

static void sleep_us(unsigned int us)
{
	struct timespec t = { .tv_nsec = us * 1000l };

	nanosleep(&t, NULL);
}

static int open_rocket(void)
{
	for (int i = 0; i < 64; i++) {
		drmVersionPtr version;
		char node[32];
		bool ours;
		int fd;

		snprintf(node, sizeof(node), "/dev/accel/accel%d", i);
		fd = open(node, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		ours = version && !strcmp(version->name, "rocket");
		drmFreeVersion(version);
		if (ours)
			return fd;
		close(fd);
	}
	die("no rocket device");
}

static void client_open(struct client *c)
{
	*c = (struct client){};
	if (driver == ROCKET) {
		c->fd = open_rocket();
		return;
	}
	check(npu_open(NULL, &c->dev), "no npu device");
	check(npu_vm_create(c->dev, &c->vm), "npu_vm_create");
	c->fd = npu_fd(c->dev);
}

/*
 * A file is open as long as it is mapped. What it had is given back behind its back;
 * and with rocket the kernel warns if its jobs are done but not freed yet.
 */
static void client_close(struct client *c)
{
	sleep_us(SETTLE_US);
	for (uint32_t i = 0; i < c->count; i++)
		munmap(c->buffers[i].map, c->buffers[i].size);
	if (c->dev)
		npu_close(c->dev);
	else
		close(c->fd);
	sleep_us(SETTLE_US);
}

static void rocket_buffer(struct client *c, uint64_t size, struct buffer *b)
{
	struct drm_rocket_create_bo args = { .size = size };

	if (ioctl(c->fd, DRM_IOCTL_ROCKET_CREATE_BO, &args))
		die("CREATE_BO");
	b->handle = args.handle;
	b->va = args.dma_address;
	b->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
		      (off_t)args.offset);
	if (b->map == MAP_FAILED)
		die("mmap");
}

/* Cached, as rocket's are, and seen by the NPU */
static void buffer_new(struct client *c, uint64_t size, struct buffer *b)
{
	struct npu_bo bo;

	if (c->count == ARRAY_SIZE(c->buffers))
		die("too many buffers");
	b->size = size;
	if (driver == ROCKET) {
		rocket_buffer(c, size, b);
	} else {
		check(npu_bo_create_mapped(c->dev, size, 0, c->vm, &bo), "buffer");
		b->handle = bo.handle;
		b->va = bo.va;
		b->map = bo.map;
	}
	c->buffers[c->count++] = *b;
}

/* What the CPU wrote goes to the device: the whole buffer. */
static void buffer_flush(struct client *c, struct buffer *b)
{
	struct drm_rocket_fini_bo args = { .handle = b->handle };

	if (driver == NPU)
		check(npu_bo_sync(c->dev, b->handle, 0, b->size,
				  DRM_NPU_SYNC_TO_DEVICE), "npu_bo_sync");
	else if (ioctl(c->fd, DRM_IOCTL_ROCKET_FINI_BO, &args))
		die("FINI_BO");
}

/* Waits until all jobs so far that use the buffer are done. */
static void buffer_wait(struct client *c, struct buffer *b)
{
	struct drm_rocket_prep_bo args = {
		.handle = b->handle,
		.timeout_ns = INT64_MAX,
	};

	if (driver == NPU)
		check(npu_bo_wait(c->dev, b->handle, DRM_NPU_BO_WAIT_READ |
				  DRM_NPU_BO_WAIT_WRITE, NPU_FOREVER),
		      "npu_bo_wait");
	else if (ioctl(c->fd, DRM_IOCTL_ROCKET_PREP_BO, &args))
		die("PREP_BO");
}

/* @cores is for npu only: rocket's client has no say. */
static void queue_open(struct client *c, uint32_t sched_class, uint64_t cores,
		       struct queue *q)
{
	struct drm_npu_ctx_create args = {
		.vm_id = c->vm,
		.sched_class = sched_class,
		.core_mask = cores,
	};

	q->client = c;
	if (driver == ROCKET)
		return;
	if (drmIoctl(c->fd, DRM_IOCTL_NPU_CTX_CREATE, &args))
		die("CTX_CREATE");
	q->ctx = args.ctx_id;
}

static void write_stream(struct client *c, struct work *w,
			 const struct rknn_stream *s)
{
	w->words = s->count;
	memcpy(w->cmd.map, s->words, s->count * sizeof(s->words[0]));
	buffer_flush(c, &w->cmd);
	w->handles[0] = w->cmd.handle;
	w->handles[1] = w->data.handle;
	w->count = 2;
}

static void work_new(struct client *c, uint32_t kernels, struct work *w)
{
	struct rknn_conv op = {
		.w = 4,
		.h = 4,
		.ic = KERNEL / 16,
		.oc = kernels,
		.kw = 4,
		.kh = 4,
		.stride = 1,
		.ow = 1,
		.oh = 1,
		.scale = 1,
	};
	struct rknn_stream s;

	buffer_new(c, PAGE, &w->cmd);
	buffer_new(c, (kernels + 4) * KERNEL + 2 * PAGE, &w->data);
	op.in_va = w->data.va;
	op.weight_va = op.in_va + KERNEL;
	op.out_va = op.weight_va + kernels * KERNEL;
	op.bias_va = op.out_va + PAGE;
	rknn_conv_cmd(&s, &op);
	/* It names itself as the next one, which counts in linked jobs only. */
	rknn_link(&s, w->cmd.va, s.count * sizeof(s.words[0]));
	buffer_flush(c, &w->data);
	write_stream(c, w, &s);
}

/* A task that starts nothing and so never ends */
static void work_hang(struct client *c, struct work *w)
{
	struct rknn_stream s = { .count = 16 };

	buffer_new(c, PAGE, &w->cmd);
	buffer_new(c, PAGE, &w->data);
	write_stream(c, w, &s);
}

/* A submit of one or more equal jobs, ready to be called again and again */
struct submit {
	unsigned long request;
	union {
		struct drm_npu_submit npu;
		struct drm_rocket_submit rocket;
	} args;
	union {
		struct drm_npu_task npu[MAX_TASKS];
		struct drm_rocket_task rocket[MAX_TASKS];
	} tasks;
	union {
		struct drm_npu_job npu[MAX_JOBS];
		struct drm_rocket_job rocket[MAX_JOBS];
	} jobs;
	struct drm_npu_sync sync;
};

static void submit_prepare_npu(struct submit *s, struct queue *q, struct work *w,
			       uint32_t tasks, uint32_t jobs)
{
	s->request = DRM_IOCTL_NPU_SUBMIT;
	for (uint32_t i = 0; i < tasks; i++)
		s->tasks.npu[i] = (struct drm_npu_task){
			.cmd_va = w->cmd.va,
			.cmd_size = w->words * sizeof(uint64_t),
		};
	for (uint32_t i = 0; i < jobs; i++)
		s->jobs.npu[i] = (struct drm_npu_job){
			.tasks = npu_array(s->tasks.npu, tasks,
					   sizeof(s->tasks.npu[0])),
		};
	s->args.npu = (struct drm_npu_submit){
		.ctx_id = q->ctx,
		.jobs = npu_array(s->jobs.npu, jobs, sizeof(s->jobs.npu[0])),
	};
}

/* The last buffer is written, all others are read. */
static void submit_prepare_rocket(struct submit *s, struct work *w,
				  uint32_t tasks, uint32_t jobs)
{
	s->request = DRM_IOCTL_ROCKET_SUBMIT;
	for (uint32_t i = 0; i < tasks; i++)
		s->tasks.rocket[i] = (struct drm_rocket_task){
			.regcmd = w->cmd.va,
			.regcmd_count = w->words,
		};
	for (uint32_t i = 0; i < jobs; i++)
		s->jobs.rocket[i] = (struct drm_rocket_job){
			.tasks = (uintptr_t)s->tasks.rocket,
			.task_count = tasks,
			.task_struct_size = sizeof(s->tasks.rocket[0]),
			.in_bo_handles = (uintptr_t)w->handles,
			.in_bo_handle_count = w->count - 1,
			.out_bo_handles = (uintptr_t)&w->handles[w->count - 1],
			.out_bo_handle_count = 1,
		};
	s->args.rocket = (struct drm_rocket_submit){
		.jobs = (uintptr_t)s->jobs.rocket,
		.job_count = jobs,
		.job_struct_size = sizeof(s->jobs.rocket[0]),
	};
}

static struct submit *submit_new(struct queue *q, struct work *w, uint32_t tasks,
				 uint32_t jobs)
{
	struct submit *s = calloc(1, sizeof(*s));

	if (!s || tasks > MAX_TASKS || jobs > MAX_JOBS)
		die("submit of %u jobs of %u tasks", jobs, tasks);
	if (driver == NPU)
		submit_prepare_npu(s, q, w, tasks, jobs);
	else
		submit_prepare_rocket(s, w, tasks, jobs);

	return s;
}

/* Every job signals a syncobj, as one does that another file waits for. */
static void submit_signal(struct submit *s, struct queue *q)
{
	s->sync = (struct drm_npu_sync){ .flags = DRM_NPU_SYNC_SIGNAL };
	check(npu_fence_create(q->client->dev, &s->sync.handle), "syncobj");
	s->jobs.npu[0].syncs = npu_array(&s->sync, 1, sizeof(s->sync));
}

/* The hardware goes from task to task by itself; rocket's never does. */
static void submit_link(struct submit *s)
{
	if (driver == NPU)
		s->jobs.npu[0].flags = DRM_NPU_JOB_LINKED;
}

static void submit(struct queue *q, struct submit *s)
{
	if (ioctl(q->client->fd, s->request, &s->args))
		die("submit");
}

static void submit_marked(struct queue *q, struct submit *s)
{
	long ret = marked_ioctl(q->client->fd, s->request, &s->args);

	if (ret < 0) {
		errno = -ret;
		die("submit");
	}
}

/*
 * The call itself: one job of one task, the NPU idle, and so many buffers that
 * the job may use. Rocket has to be told about each of them. Both hand the job
 * to a thread of the kernel; that one has to wait, or it would be counted
 * whenever it happens to run before the call returns.
 */
static void bench_submit(uint32_t buffers, bool signal)
{
	static struct buffer more[MAX_BUFFERS];
	struct submit *s;
	struct client c;
	struct queue q;
	struct work w;

	client_open(&c);
	queue_open(&c, DRM_NPU_CLASS_BALANCED, 1, &q);
	work_new(&c, SHORT_TASK, &w);
	w.count = 1;
	for (uint32_t i = 0; i < buffers - 2; i++) {
		buffer_new(&c, PAGE, &more[i]);
		w.handles[w.count++] = more[i].handle;
	}
	w.handles[w.count++] = w.data.handle;

	s = submit_new(&q, &w, 1, 1);
	if (signal)
		submit_signal(s, &q);
	go_first(true);
	for (int i = 0; i < 4 + 21; i++) {
		/* The first ones warm up. */
		if (i < 4) {
			submit(&q, s);
		} else {
			submit_marked(&q, s);
			section("submit buffers=%u signal=%d", buffers, signal);
		}
		buffer_wait(&c, &w.data);
		sleep_us(50);
	}
	go_first(false);
	free(s);
	client_close(&c);
}

/*
 * @jobs jobs of @tasks tasks in one queue, on one core that has run a job of the
 * same kind before. The tasks are so long that the CPU has nothing to do when
 * they end.
 */
static void bench_run(const char *name, uint32_t jobs, uint32_t tasks, bool linked)
{
	struct submit *s, *one;
	struct client c;
	struct queue q;
	struct work w;

	client_open(&c);
	queue_open(&c, DRM_NPU_CLASS_BALANCED, 1, &q);
	work_new(&c, LONG_TASK, &w);
	one = submit_new(&q, &w, 1, 1);
	s = submit_new(&q, &w, tasks, jobs);
	if (linked)
		submit_link(s);
	submit(&q, one);
	buffer_wait(&c, &w.data);

	mark_begin();
	submit(&q, s);
	buffer_wait(&c, &w.data);
	mark_end();
	section("%s jobs=%u tasks=%u", name, jobs, tasks);
	free(one);
	free(s);
	client_close(&c);
}

/*
 * The same jobs, but half of them another client's: the core is given to somebody
 * else now and then. When that happens is seen from the IOMMU.
 */
static void bench_clients(void)
{
	enum { CLIENTS = 2, JOBS = 64 };
	struct client c[CLIENTS];
	struct submit *s[CLIENTS];
	struct queue q[CLIENTS];
	struct work w[CLIENTS];

	for (int i = 0; i < CLIENTS; i++) {
		client_open(&c[i]);
		queue_open(&c[i], DRM_NPU_CLASS_BALANCED, 1, &q[i]);
		work_new(&c[i], LONG_TASK, &w[i]);
		s[i] = submit_new(&q[i], &w[i], 1, JOBS);
	}
	if (w[0].cmd.va != w[1].cmd.va)
		die("streams at different addresses");
	mark_begin();
	for (int i = 0; i < CLIENTS; i++)
		submit(&q[i], s[i]);
	for (int i = 0; i < CLIENTS; i++)
		buffer_wait(&c[i], &w[i].data);
	mark_end();
	section("clients jobs=%u va=%#llx", CLIENTS * JOBS,
		(unsigned long long)w[0].cmd.va);
	for (int i = 0; i < CLIENTS; i++) {
		free(s[i]);
		client_close(&c[i]);
	}
}

/* Jobs of @queues contexts of one file; rocket's file has but one. */
static void bench_throughput(uint32_t queues)
{
	struct submit *s[3];
	struct queue q[3];
	struct work w[3];
	struct client c;

	client_open(&c);
	for (uint32_t i = 0; i < queues; i++) {
		queue_open(&c, DRM_NPU_CLASS_BALANCED, 0, &q[i]);
		work_new(&c, LONG_TASK, &w[i]);
		s[i] = submit_new(&q[i], &w[i], 1, 1);
		submit(&q[i], s[i]);
	}
	for (uint32_t i = 0; i < queues; i++)
		buffer_wait(&c, &w[i].data);

	/* In turn, as three threads would. */
	mark_begin();
	for (uint32_t n = 0; n < 48 * queues; n++)
		submit(&q[n % queues], s[n % queues]);
	for (uint32_t i = 0; i < queues; i++)
		buffer_wait(&c, &w[i].data);
	mark_end();
	section("throughput queues=%u jobs=%u", queues, 48 * queues);
	for (uint32_t i = 0; i < queues; i++)
		free(s[i]);
	client_close(&c);
}

/*
 * A client that keeps DEPTH jobs of ten tasks queued until it is told to stop.
 * Rocket's client knows the end of a job by a buffer that only this job writes.
 */
enum { DEPTH = 4, TASKS = 10 };

struct feeder {
	struct client client;
	struct queue queue;
	struct work work[DEPTH];
	struct buffer out[DEPTH];
	struct submit *submit[DEPTH];
	pthread_t thread;
};

static atomic_bool stop_feeding;

static void feeder_wait(struct feeder *f, int slot)
{
	if (driver == NPU)
		check(npu_fence_wait(f->client.dev, f->submit[slot]->sync.handle,
				     NPU_FOREVER), "npu_fence_wait");
	else
		buffer_wait(&f->client, &f->out[slot]);
}

static void *feed(void *arg)
{
	struct feeder *f = arg;

	for (uint32_t n = 0; !stop_feeding; n++) {
		if (n >= DEPTH)
			feeder_wait(f, n % DEPTH);
		submit(&f->queue, f->submit[n % DEPTH]);
	}
	for (int i = 0; i < DEPTH; i++)
		feeder_wait(f, i);

	return NULL;
}

static void feeder_open(struct feeder *f)
{
	client_open(&f->client);
	queue_open(&f->client, DRM_NPU_CLASS_THROUGHPUT, 0, &f->queue);
	work_new(&f->client, LONG_TASK, &f->work[0]);
	for (int i = 0; i < DEPTH; i++) {
		struct work *w = &f->work[i];

		*w = f->work[0];
		buffer_new(&f->client, PAGE, &f->out[i]);
		w->handles[2] = f->out[i].handle;
		w->count = 3;
		f->submit[i] = submit_new(&f->queue, w, TASKS, 1);
		if (driver == NPU)
			submit_signal(f->submit[i], &f->queue);
	}
}

static void feeder_close(struct feeder *f)
{
	for (int i = 0; i < DEPTH; i++)
		free(f->submit[i]);
	client_close(&f->client);
}

/*
 * Three clients keep all cores full, and a fourth comes with a short job now and
 * then. Its command stream is elsewhere than theirs, by which its jobs are found
 * again.
 */
static void bench_latency(void)
{
	enum { FEEDERS = 3, SAMPLES = 100 };
	static struct feeder feeders[FEEDERS];
	static uint64_t when[SAMPLES];
	struct buffer apart;
	struct submit *s;
	struct client c;
	struct queue q;
	struct work w;
	uint32_t random = 1;

	for (int i = 0; i < FEEDERS; i++)
		feeder_open(&feeders[i]);
	client_open(&c);
	buffer_new(&c, 2 << 20, &apart);
	queue_open(&c, DRM_NPU_CLASS_LATENCY, 0, &q);
	work_new(&c, SHORT_TASK, &w);
	s = submit_new(&q, &w, 1, 1);
	submit(&q, s);
	buffer_wait(&c, &w.data);

	mark_begin();
	for (int i = 0; i < FEEDERS; i++)
		if (pthread_create(&feeders[i].thread, NULL, feed, &feeders[i]))
			die("pthread_create");
	sleep_us(2000);
	for (int n = 0; n < SAMPLES; n++) {
		random = random * 1664525 + 1013904223;
		sleep_us(200 + random / (UINT32_MAX / 400));
		when[n] = ticks();
		submit(&q, s);
		buffer_wait(&c, &w.data);
	}
	stop_feeding = true;
	for (int i = 0; i < FEEDERS; i++)
		pthread_join(feeders[i].thread, NULL);
	mark_end();
	section("latency va=%#llx hz=%llu", (unsigned long long)w.cmd.va,
		(unsigned long long)ticks_per_second());
	for (int n = 0; n < SAMPLES; n++)
		printf("ticks %llu\n", (unsigned long long)when[n]);

	for (int i = 0; i < FEEDERS; i++)
		feeder_close(&feeders[i]);
	free(s);
	client_close(&c);
}

/* The CPU has written one page of a large buffer, and the NPU is to see it. */
static void bench_clean(void)
{
	struct drm_npu_bo_sync_op op = {
		.dir = DRM_NPU_SYNC_TO_DEVICE,
		.offset = BIG_BUFFER / 2,
		.size = PAGE,
	};
	struct drm_npu_bo_sync npu = {
		.ops = npu_array(&op, 1, sizeof(op)),
	};
	struct drm_rocket_fini_bo rocket = {};
	struct client c;
	struct buffer b;
	long ret;

	client_open(&c);
	buffer_new(&c, BIG_BUFFER, &b);
	rocket.handle = op.handle = b.handle;
	memset((char *)b.map + BIG_BUFFER / 2, 1, PAGE);
	if (driver == NPU)
		ret = marked_ioctl(c.fd, DRM_IOCTL_NPU_BO_SYNC, &npu);
	else
		ret = marked_ioctl(c.fd, DRM_IOCTL_ROCKET_FINI_BO, &rocket);
	errno = -ret;
	if (ret)
		die("sync");
	section("clean bytes=%u", PAGE);
	client_close(&c);
}

/*
 * A job hangs on each core, and another client's waits for one of them. Rocket's
 * files are not closed before everything is over, since that waits, too.
 */
static void bench_hang(void)
{
	enum { CLIENTS = 3 };
	struct submit *s[CLIENTS], *innocent;
	struct client c[CLIENTS], mine;
	struct queue q[CLIENTS], my_queue;
	struct work w[CLIENTS], my_work;
	struct buffer apart;

	client_open(&mine);
	buffer_new(&mine, 2 << 20, &apart);
	queue_open(&mine, DRM_NPU_CLASS_BALANCED, 0, &my_queue);
	work_new(&mine, SHORT_TASK, &my_work);
	innocent = submit_new(&my_queue, &my_work, 1, 1);
	for (int i = 0; i < CLIENTS; i++) {
		client_open(&c[i]);
		queue_open(&c[i], DRM_NPU_CLASS_BALANCED, 0, &q[i]);
		work_hang(&c[i], &w[i]);
		s[i] = submit_new(&q[i], &w[i], 1, 1);
	}

	mark_begin();
	for (int i = 0; i < CLIENTS; i++)
		submit(&q[i], s[i]);
	sleep_us(1000);
	submit(&my_queue, innocent);
	buffer_wait(&mine, &my_work.data);
	mark_end();
	section("hang va=%#llx", (unsigned long long)my_work.cmd.va);

	for (int i = 0; i < CLIENTS; i++) {
		free(s[i]);
		client_close(&c[i]);
	}
	free(innocent);
	client_close(&mine);
}

int main(int argc, char **argv)
{
	static const uint32_t buffers[] = { 2, 64, 512 };

	if (argc == 2 && !strcmp(argv[1], "npu"))
		driver = NPU;
	else if (argc == 2 && !strcmp(argv[1], "rocket"))
		driver = ROCKET;
	else
		die("usage: npu-bench npu|rocket");
	setvbuf(stdout, NULL, _IOLBF, 0);

	for (int i = 0; i < 3; i++)
		bench_submit(buffers[i], false);
	if (driver == NPU)
		bench_submit(2, true);
	bench_run("tasks", 1, 64, false);
	bench_run("linked", 1, 64, true);
	bench_run("jobs", 64, 1, false);
	bench_clients();
	bench_throughput(1);
	bench_throughput(3);
	bench_latency();
	bench_clean();
	bench_hang();

	return 0;
}
