// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a job that was banned leaves behind: a device core dump, that says what
 * it was, with its registers, its command streams and its address space.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "npu_test.h"

#define DUMPS	"/sys/class/devcoredump"

/* How much of a command stream a dump has */
#define STREAM_MAX	16384

/* The data file of a dump of the device; false if there is none */
static bool find_dump(char *path, size_t size)
{
	char driver[PATH_MAX], target[PATH_MAX];
	bool found = false;
	struct dirent *d;
	ssize_t len;
	DIR *dir;

	dir = opendir(DUMPS);
	while (dir && !found && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(driver, sizeof(driver), DUMPS "/%s/failing_device/driver",
			 d->d_name);
		len = readlink(driver, target, sizeof(target) - 1);
		if (len < 8)
			continue;
		target[len] = 0;
		found = !strcmp(target + len - 8, "npu-core");
		snprintf(path, size, DUMPS "/%s/data", d->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The dump, with a zero at its end, or NULL; it is there no longer */
static char *take_dump(int64_t patience_ms)
{
	int64_t end = npu_now_ns() + patience_ms * 1000000;
	const size_t max = 1 << 20;
	char path[PATH_MAX], *text;
	size_t size = 0;
	ssize_t n;
	int fd;

	while (!find_dump(path, sizeof(path))) {
		if (npu_now_ns() > end)
			return NULL;
		npu_sleep_ms(1);
	}
	/* It is shown before the files in it are */
	while ((fd = open(path, O_RDWR)) < 0 && npu_now_ns() < end)
		npu_sleep_ms(1);
	text = calloc(1, max);
	while (text && (n = read(fd, text + size, max - 1 - size)) > 0)
		size += n;
	if (write(fd, "1", 1) != 1)
		size = 0;
	close(fd);
	while (!access(path, F_OK) && npu_now_ns() < end)
		npu_sleep_ms(1);
	if (!size) {
		free(text);
		return NULL;
	}
	return text;
}

/* The line behind one that begins like this, NULL without one */
static const char *find_line(const char *text, const char *format, ...)
{
	char start[100];
	va_list args;
	size_t len;

	va_start(args, format);
	len = vsnprintf(start, sizeof(start), format, args);
	va_end(args);
	while (text && strncmp(text, start, len)) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? text + len : NULL;
}

static long long number(const char *text, const char *key)
{
	const char *line = find_line(text, "%s: ", key);

	return line ? strtoll(line, NULL, 0) : LLONG_MIN;
}

/* Words of the stream of a task, as many as there are */
static size_t stream_of(const char *text, unsigned int task, uint32_t va,
			uint64_t *words, size_t max)
{
	const char *line = find_line(text, "  task %u at %#010x,", task, va);
	size_t n = 0;
	char *end;

	line = line ? strchr(line, '\n') : NULL;
	while (line && !strncmp(line, "\n    ", 5)) {
		for (line++; *line != '\n' && n < max; line = end)
			words[n++] = strtoull(line, &end, 16);
	}
	return n;
}

static long long reg(const char *text, unsigned int group, uint32_t offset)
{
	const char *line = find_line(text, "  group %u %#06x: ", group, offset);

	return line ? strtoll(line, NULL, 0) : -1;
}

/* Is a buffer in the address space, with these properties? */
static bool shows_bo(const char *text, const struct npu_bo *bo, const char *how)
{
	const char *line = find_line(text, "  %#010llx-%#010llx %s ",
				     (unsigned long long)bo->va,
				     (unsigned long long)(bo->va + bo->size), how);

	return line && !strncmp(line, "system offset 0x0 of ", 21);
}

FIXTURE(coredump)
{
	struct npu_env e;
	struct npu_work w;
	struct npu_work hang;
	char *text;
};

FIXTURE_SETUP(coredump)
{
	int ret = npu_env_open(&self->e);
	char *old;

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (access(DUMPS, F_OK))
		SKIP(return, "no device core dumps in this kernel");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 30));
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	while ((old = take_dump(100)))
		free(old);
}

FIXTURE_TEARDOWN(coredump)
{
	free(self->text);
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w));
	npu_env_close(&self->e);
}

/* Runs tasks in a context of their own, which is then banned */
static int ban(struct npu_env *e, struct drm_npu_task *tasks, uint32_t count,
	       struct drm_npu_job_result *r)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm, .timeout_ms = e->info.timeout_ms / 2,
	};
	struct drm_npu_job job = {
		.tasks = NPU_ARRAY(tasks, count),
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	if (!ret)
		ret = npu_submit(e->fd, arg.ctx_id, &job, 1);
	if (!ret)
		ret = npu_job_wait(e->fd, arg.ctx_id, 1, DRM_NPU_JOB_ENDED, r);
	npu_ctx_destroy(e->fd, arg.ctx_id);
	if (!ret && !r->error)
		ret = -EPROTO;
	return ret;
}

TEST_F(coredump, a_hang_is_described)
{
	struct drm_npu_task tasks[] = {
		self->w.task, self->hang.task, self->w.task,
	};
	struct drm_npu_job_result r;

	ASSERT_EQ(0, ban(&self->e, tasks, 3, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(1, number(self->text, "npu-coredump"));
	EXPECT_NE(NULL, find_line(self->text, "family: %s\n", RKNN_FAMILY));
	EXPECT_EQ(self->e.info.hw_version, number(self->text, "hw-version"));
	EXPECT_EQ(r.core, number(self->text, "core"));
	EXPECT_EQ(-ETIME, number(self->text, "error"));
	EXPECT_EQ(0, number(self->text, "fault-va"));
	EXPECT_EQ(self->e.vm, number(self->text, "vm"));
	EXPECT_EQ(self->e.info.timeout_ms / 2, number(self->text, "timeout-ms"));
	EXPECT_EQ(1, number(self->text, "jobs-submitted"));
	EXPECT_EQ(1, number(self->text, "job"));
	EXPECT_EQ(r.start_ns, number(self->text, "start-ns"));
	EXPECT_EQ(3, number(self->text, "tasks"));
	EXPECT_EQ(1, number(self->text, "task"));
	EXPECT_GT(number(self->text, "hw-time-ns"), 0);
}

TEST_F(coredump, the_streams_around_the_task_are_there)
{
	struct drm_npu_task tasks[] = {
		self->w.task, self->w.task, self->hang.task, self->w.task,
		self->w.task,
	};
	uint64_t words[RKNN_MAX_WORDS];
	struct drm_npu_job_result r;
	struct npu_work *w;
	unsigned int i;

	ASSERT_EQ(0, ban(&self->e, tasks, 5, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(3, number(self->text, "streams"));
	for (i = 1; i < 4; i++) {
		w = i == 2 ? &self->hang : &self->w;
		ASSERT_EQ(w->stream.count,
			  stream_of(self->text, i, w->task.cmd_va, words,
				    RKNN_MAX_WORDS)) TH_LOG("task %u", i);
		EXPECT_EQ(0, memcmp(words, w->stream.words, w->stream.count * 8));
	}
}

/* What the task has loaded, and not what the next one would be loaded over */
TEST_F(coredump, the_registers_are_those_of_the_task)
{
	struct drm_npu_job_result r;
	long long features;
	struct npu_work w;

	/* It computes, and cannot write down what */
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 34));
	rknn_patch(&w.stream, RKNN_DPU_OUT, 0x10);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	ASSERT_EQ(0, ban(&self->e, &w.task, 1, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(w.task.cmd_va, reg(self->text, 0, RKNN_PC_BASE));
	features = w.bo[NPU_IN].va;
	ASSERT_NE(0, features);
	EXPECT_TRUE(reg(self->text, 0, RKNN_CNA_FEATURES) == features ||
		    reg(self->text, 1, RKNN_CNA_FEATURES) == features);
}

TEST_F(coredump, the_address_space_is_there)
{
	struct drm_npu_job_result r;
	struct npu_bo ro;
	int i;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 12288, 0, 0, &ro));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &ro, DRM_NPU_BIND_READONLY));
	ASSERT_EQ(0, ban(&self->e, &self->hang.task, 1, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_GT(number(self->text, "maps"), 0);
	for (i = 0; i < NPU_WORK_BOS; i++) {
		if (self->w.bo[i].va) {
			EXPECT_TRUE(shows_bo(self->text, &self->w.bo[i], "rw"));
		}
	}
	EXPECT_TRUE(shows_bo(self->text, &ro, "r-"));
}

TEST_F(coredump, a_page_fault_has_its_address)
{
	struct drm_npu_job_result r;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 31));
	rknn_patch(&w.stream, RKNN_DPU_OUT, 0x10);
	ASSERT_EQ(0, npu_work_stream(&self->e, &w));
	ASSERT_EQ(0, ban(&self->e, &w.task, 1, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(-EFAULT, number(self->text, "error"));
	EXPECT_EQ(r.fault_va, number(self->text, "fault-va"));
	EXPECT_EQ(DRM_NPU_FAULT_WRITE, number(self->text, "fault-flags"));
}

/* A stream that is unmapped before the job gets to it: there is nothing to show */
TEST_F(coredump, what_is_not_mapped_is_left_out)
{
	struct drm_npu_job_result r;
	struct drm_npu_task *tasks;
	uint64_t words[RKNN_MAX_WORDS];
	struct drm_npu_job job;
	struct npu_work w, slow;
	uint32_t ctx, count;

	ASSERT_EQ(0, npu_work_small(&self->e, &w, 32));
	ASSERT_EQ(0, npu_work_matmul(&self->e, &slow, 256, 512, 512, 33));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &slow, 500, &count));
	tasks = npu_repeat(&slow, count + 1);
	ASSERT_NE(NULL, tasks);
	tasks[count] = w.task;
	job = (struct drm_npu_job){ .tasks = NPU_ARRAY(tasks, count + 1) };
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_submit(self->e.fd, ctx, &job, 1));
	ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, w.bo[NPU_CMD].va,
			       w.bo[NPU_CMD].size));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 1, DRM_NPU_JOB_ENDED, &r));
	ASSERT_EQ(-EFAULT, r.error);
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(count, number(self->text, "task"));
	EXPECT_EQ(2, number(self->text, "streams"));
	EXPECT_EQ(slow.stream.count,
		  stream_of(self->text, count - 1, slow.task.cmd_va, words,
			    RKNN_MAX_WORDS));
	EXPECT_EQ(0, stream_of(self->text, count, w.task.cmd_va, words,
			       RKNN_MAX_WORDS));
	free(tasks);
}

TEST_F(coredump, the_stream_of_a_program_is_as_patched)
{
	struct drm_npu_patch patch = {
		.offset = rknn_value_at(&self->w.stream, RKNN_DPU_OUT),
	};
	struct drm_npu_value value = { .va = 0x20 };
	uint64_t words[RKNN_MAX_WORDS], want;
	uint32_t ctx, program;
	struct drm_npu_job_result r;
	const char *line;
	size_t n;

	ASSERT_EQ(0, npu_program_of_work(&self->e, &self->w, &patch, 1, &program));
	ASSERT_EQ(0, npu_ctx_create(self->e.fd, self->e.vm, 0, &ctx));
	ASSERT_EQ(0, npu_submit_program(self->e.fd, ctx, program, &value, 1, 0));
	ASSERT_EQ(0, npu_job_wait(self->e.fd, ctx, 1, DRM_NPU_JOB_ENDED, &r));
	EXPECT_EQ(-EFAULT, r.error);
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_EQ(1, number(self->text, "program"));
	line = find_line(self->text, "  task 0 at ");
	ASSERT_NE(NULL, line);
	n = stream_of(self->text, 0, strtoul(line, NULL, 0), words,
		      RKNN_MAX_WORDS);
	ASSERT_EQ(self->w.stream.count, n);
	want = self->w.stream.words[patch.offset / 8];
	want = (want & ~0xffffffff0000ull) | (uint64_t)value.va << 16;
	EXPECT_EQ(want, words[patch.offset / 8]);
	words[patch.offset / 8] = self->w.stream.words[patch.offset / 8];
	EXPECT_EQ(0, memcmp(words, self->w.stream.words, n * 8));
}

TEST_F(coredump, a_long_stream_is_cut)
{
	static uint64_t words[STREAM_MAX / 8 + 1];
	struct drm_npu_task task = self->hang.task;
	struct drm_npu_job_result r;
	struct npu_bo cmd;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 65536, DRM_NPU_BO_WC, 0, &cmd));
	ASSERT_EQ(0, npu_map(self->e.fd, self->e.vm, &cmd, 0));
	memset(cmd.map, 0, cmd.size);	/* words without effect, and no end */
	task.cmd_va = cmd.va;
	task.cmd_size = cmd.size;
	ASSERT_EQ(0, ban(&self->e, &task, 1, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text);
	EXPECT_NE(NULL, find_line(self->text, "  task 0 at %#010x, 65536 bytes",
				  task.cmd_va));
	EXPECT_EQ(STREAM_MAX / 8, stream_of(self->text, 0, task.cmd_va, words,
					    ARRAY_SIZE(words)));
}

/* A client that is banned again and again fills no memory */
TEST_F(coredump, the_first_fault_of_a_core_is_kept)
{
	struct drm_npu_task tasks[] = { self->w.task, self->hang.task };
	struct drm_npu_job_result r;
	unsigned int i;

	ASSERT_EQ(0, ban(&self->e, tasks, 2, &r));
	for (i = 0; i < 2 * self->e.info.num_cores; i++)
		ASSERT_EQ(0, ban(&self->e, &self->hang.task, 1, &r));
	npu_sleep_ms(100);
	for (i = 0; i < self->e.info.num_cores; i++) {
		free(self->text);
		self->text = take_dump(NPU_PATIENCE_MS);
		if (self->text && number(self->text, "tasks") == 2)
			break;
		ASSERT_NE(NULL, self->text) TH_LOG("a later one has replaced it");
	}
	while ((self->text = take_dump(100)))
		free(self->text);
	ASSERT_EQ(0, ban(&self->e, &self->hang.task, 1, &r));
	self->text = take_dump(NPU_PATIENCE_MS);
	ASSERT_NE(NULL, self->text) TH_LOG("none after that was read");
	EXPECT_EQ(1, number(self->text, "tasks"));
}

TEST_F(coredump, it_is_for_the_administrator)
{
	struct drm_npu_job_result r;
	char path[PATH_MAX];
	struct stat st;
	int i;

	ASSERT_EQ(0, ban(&self->e, &self->hang.task, 1, &r));
	for (i = 0; i < 1000 && !find_dump(path, sizeof(path)); i++)
		npu_sleep_ms(10);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0600, st.st_mode & 0777);
	EXPECT_EQ(0, st.st_uid);
	self->text = take_dump(NPU_PATIENCE_MS);
	EXPECT_NE(NULL, self->text);
}

TEST_HARNESS_MAIN
