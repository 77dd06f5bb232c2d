// SPDX-License-Identifier: GPL-2.0-only
/* DRM_IOCTL_NPU_QUERY: what a device tells about itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "kselftest_harness.h"
#include "npu_test.h"

NPU_FIXTURE(query)

static int query(int fd, uint32_t type, uint64_t ptr, uint32_t *size)
{
	struct drm_npu_query q = { .type = type, .size = *size, .ptr = ptr };
	int ret = npu_ioctl(fd, DRM_IOCTL_NPU_QUERY, &q);

	*size = q.size;
	return ret;
}

TEST_F(query, driver_version_is_one_point_something)
{
	char name[8] = "";
	struct drm_version v = { .name = name, .name_len = sizeof(name) };

	ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_VERSION, &v));
	EXPECT_EQ(3, v.name_len);
	EXPECT_EQ(0, memcmp(name, "npu", 3));
	EXPECT_EQ(1, v.version_major);
	EXPECT_GE(v.version_minor, 1);
}

TEST_F(query, null_pointer_tells_the_size)
{
	uint32_t size = 0;

	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_DEVICE, 0, &size));
	EXPECT_GE(size, sizeof(struct drm_npu_device_info));

	size = 0;
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_CORES, 0, &size));
	EXPECT_EQ(self->e.info.num_cores * sizeof(struct drm_npu_core_info),
		  size);

	size = 0;
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_SRAM, 0, &size));
	EXPECT_EQ(sizeof(struct drm_npu_sram_info), size);

	size = 0;
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_CLOCK, 0, &size));
	EXPECT_EQ(sizeof(struct drm_npu_clock_info), size);
}

TEST_F(query, device_info_makes_sense)
{
	struct drm_npu_device_info *i = &self->e.info;
	size_t len = strnlen((char *)i->family, sizeof(i->family));
	size_t n;

	EXPECT_GT(len, 0);
	EXPECT_LT(len, sizeof(i->family));
	for (n = len; n < sizeof(i->family); n++) {
		EXPECT_EQ(0, i->family[n]);
	}
	EXPECT_GE(i->num_cores, 1);
	EXPECT_LE(i->num_cores, 64);
	EXPECT_NE(0, i->core_mask);
	if (i->num_cores < 64) {
		EXPECT_EQ(0, i->core_mask >> i->num_cores);
	}
	EXPECT_EQ(0, i->page_size & (i->page_size - 1));
	EXPECT_GE(i->page_size, 4096);
	EXPECT_GT(i->va_start, 0) TH_LOG("address 0 must stay unmapped");
	EXPECT_GT(i->va_end, i->va_start);
	EXPECT_EQ(0, i->va_start % i->page_size);
	EXPECT_EQ(0, i->va_end % i->page_size);
	EXPECT_GT(i->max_bo_size, 0);
	EXPECT_EQ(0, i->max_bo_size % i->page_size);
}

TEST_F(query, limits_leave_room_for_work)
{
	struct drm_npu_device_info *i = &self->e.info;

	EXPECT_GT(i->cmd_align, 0);
	EXPECT_EQ(0, i->cmd_align & (i->cmd_align - 1));
	EXPECT_GE(i->max_cmd_size, RKNN_MAX_WORDS * 8);
	EXPECT_EQ(0, i->max_cmd_size % 8);
	EXPECT_GE(i->max_jobs, 2);
	EXPECT_GE(i->max_tasks, 64);
	EXPECT_GE(i->max_syncs, 4);
	EXPECT_GE(i->max_buffers, 4);
	EXPECT_GE(i->max_binds, 4);
	EXPECT_GE(i->max_vms, 2);
	EXPECT_GE(i->max_ctxs, 4);
	EXPECT_GE(i->max_queued, 4);
	EXPECT_GE(i->max_queued_tasks, i->max_tasks);
	EXPECT_GT(i->timeout_ms, 0);
	EXPECT_GE(i->max_programs, 4);
	EXPECT_GE(i->max_program_size, 64 * RKNN_MAX_WORDS * 8);
	EXPECT_EQ(0, i->max_program_size % i->cmd_align);
	EXPECT_GE(i->max_patches, 64);
	EXPECT_GE(i->max_results, 16);
}

static int create_ctx(struct npu_env *e, uint32_t sched_class, int32_t priority)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm,
		.sched_class = sched_class,
		.priority = priority,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	if (!ret)
		npu_ctx_destroy(e->fd, arg.ctx_id);
	return ret;
}

/* What is said to be allowed is, and nothing else */
static int count_wrong_permissions(struct npu_env *e)
{
	struct drm_npu_device_info info;
	int32_t priority;
	int class, wrong = 0;
	bool allowed;

	if (npu_query(e->fd, DRM_NPU_QUERY_DEVICE, &info, sizeof(info)))
		return -1;
	for (class = 0; class < 32; class++) {
		for (priority = -2; priority <= 2; priority++) {
			allowed = info.class_mask >> class & 1 &&
				  priority >= DRM_NPU_PRIORITY_LOW &&
				  priority <= info.max_priority;
			wrong += allowed == !!create_ctx(e, class, priority);
		}
	}
	return wrong;
}

TEST_F(query, classes_and_priorities_are_those_of_the_caller)
{
	struct drm_npu_device_info info;

	EXPECT_EQ(0, count_wrong_permissions(&self->e));
	ASSERT_EQ(0, npu_drop_nice());
	EXPECT_EQ(0, count_wrong_permissions(&self->e));
	ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_DEVICE, &info,
			       sizeof(info)));
	EXPECT_EQ(1u << DRM_NPU_CLASS_BALANCED |
		  1u << DRM_NPU_CLASS_THROUGHPUT, info.class_mask);
	EXPECT_EQ(DRM_NPU_PRIORITY_NORMAL, info.max_priority);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Between what the clocks said before and what they say afterwards */
TEST_F(query, clocks_are_those_of_the_system)
{
	uint64_t raw = 0, mono = 0, boot = 0, last = 0;
	struct drm_npu_clock_info c;
	int i;

	for (i = 0; i < 1000; i++) {
		raw = clock_ns(CLOCK_MONOTONIC_RAW);
		mono = clock_ns(CLOCK_MONOTONIC);
		boot = clock_ns(CLOCK_BOOTTIME);
		ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_CLOCK, &c,
				       sizeof(c)));
		ASSERT_LE(raw, c.hw_ns);
		ASSERT_LE(mono, c.monotonic_ns);
		ASSERT_LE(boot, c.boottime_ns);
		ASSERT_GE(clock_ns(CLOCK_MONOTONIC_RAW), c.hw_ns);
		ASSERT_GE(clock_ns(CLOCK_MONOTONIC), c.monotonic_ns);
		ASSERT_GE(clock_ns(CLOCK_BOOTTIME), c.boottime_ns);
		ASSERT_LT(last, c.hw_ns);
		last = c.hw_ns;
	}
}

/*
 * One moment on all of them: the distance of two clocks is the same in every
 * answer, but for what the kernel adjusts them by meanwhile. Had one of them
 * been read later, an interrupt or another process would come in between now
 * and then.
 */
TEST_F(query, clocks_are_read_at_the_same_moment)
{
	int64_t d, min = INT64_MAX, max = INT64_MIN;
	struct drm_npu_clock_info c;
	int i;

	for (i = 0; i < 20000; i++) {
		ASSERT_EQ(0, npu_query(self->e.fd, DRM_NPU_QUERY_CLOCK, &c,
				       sizeof(c)));
		d = c.boottime_ns - c.monotonic_ns;
		min = d < min ? d : min;
		max = d > max ? d : max;
	}
	EXPECT_LT(max - min, 2)
		TH_LOG("%lld ns apart", (long long)(max - min));
}

TEST_F(query, short_answers_about_clocks_and_sram_end_early)
{
	uint32_t types[] = { DRM_NPU_QUERY_SRAM, DRM_NPU_QUERY_CLOCK };
	uint64_t words[4];
	uint32_t size;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(types); n++) {
		memset(words, 0xcc, sizeof(words));
		size = 8;
		ASSERT_EQ(0, query(self->e.fd, types[n], (uintptr_t)words,
				   &size));
		EXPECT_EQ(24, size);
		EXPECT_EQ(0xcccccccccccccccc, words[1]);
		size = sizeof(words);
		ASSERT_EQ(0, query(self->e.fd, types[n], (uintptr_t)words,
				   &size));
		EXPECT_EQ(24, size);
		EXPECT_EQ(0xcccccccccccccccc, words[3]);
	}
}

TEST_F(query, cores_agree_with_device)
{
	struct drm_npu_core_info cores[64];
	uint32_t n, size = sizeof(cores);

	memset(cores, 0xcc, sizeof(cores));
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_CORES, (uintptr_t)cores,
			   &size));
	ASSERT_EQ(self->e.info.num_cores * sizeof(cores[0]), size);
	for (n = 0; n < self->e.info.num_cores; n++) {
		EXPECT_EQ(self->e.info.core_mask >> n & 1, cores[n].usable);
		EXPECT_EQ(0, cores[n].pad);
		if (cores[n].usable) {
			EXPECT_GT(cores[n].clock_hz, 0);
		}
	}
}

TEST_F(query, short_buffer_gets_the_beginning_only)
{
	struct drm_npu_device_info info;
	uint32_t size = 20;
	size_t n;

	memset(&info, 0xcc, sizeof(info));
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_DEVICE, (uintptr_t)&info,
			   &size));
	EXPECT_GE(size, sizeof(info)) TH_LOG("size is that of the whole answer");
	EXPECT_EQ(0, memcmp(&info, &self->e.info, 20));
	for (n = 20; n < sizeof(info); n++) {
		ASSERT_EQ(0xcc, ((uint8_t *)&info)[n]);
	}
}

TEST_F(query, long_buffer_keeps_its_tail)
{
	uint8_t buf[4096];
	uint32_t size = sizeof(buf);
	size_t n;

	memset(buf, 0xcc, sizeof(buf));
	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_DEVICE, (uintptr_t)buf,
			   &size));
	ASSERT_LT(size, sizeof(buf));
	EXPECT_EQ(0, memcmp(buf, &self->e.info, sizeof(self->e.info)));
	for (n = size; n < sizeof(buf); n++) {
		ASSERT_EQ(0xcc, buf[n]);
	}
}

TEST_F(query, zero_size_writes_nothing)
{
	uint64_t word = 0xcccccccccccccccc;
	uint32_t size = 0;

	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_DEVICE, (uintptr_t)&word,
			   &size));
	EXPECT_GE(size, sizeof(struct drm_npu_device_info));
	EXPECT_EQ(0xcccccccccccccccc, word);
}

TEST_F(query, size_without_pointer_is_refused)
{
	uint32_t size = sizeof(struct drm_npu_device_info);

	EXPECT_EQ(-EINVAL, query(self->e.fd, DRM_NPU_QUERY_DEVICE, 0, &size));
	size = 0xffffffff;
	EXPECT_EQ(-EINVAL, query(self->e.fd, DRM_NPU_QUERY_CORES, 0, &size));
}

TEST_F(query, huge_size_is_only_a_limit)
{
	struct drm_npu_core_info cores[64];
	uint32_t size = 0xffffffff;

	ASSERT_EQ(0, query(self->e.fd, DRM_NPU_QUERY_CORES, (uintptr_t)cores,
			   &size));
	EXPECT_EQ(self->e.info.num_cores * sizeof(cores[0]), size);
}

TEST_F(query, unknown_types_are_refused)
{
	uint32_t types[] = { 4, 5, 0x100, 0x7fffffff, 0x80000000, 0xffffffff };
	uint64_t buf[64];
	uint32_t size;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(types); n++) {
		size = sizeof(buf);
		EXPECT_EQ(-EINVAL, query(self->e.fd, types[n], (uintptr_t)buf,
					 &size));
		size = 0;
		EXPECT_EQ(-EINVAL, query(self->e.fd, types[n], 0, &size));
	}
}

TEST_F(query, bad_pointers_fault)
{
	uint32_t size;
	void *ro;

	size = 64;
	EXPECT_EQ(-EFAULT, query(self->e.fd, DRM_NPU_QUERY_DEVICE, 8, &size));
	size = 64;
	EXPECT_EQ(-EFAULT, query(self->e.fd, DRM_NPU_QUERY_CORES,
				 0xffffffff00000000, &size));
	ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, ro);
	size = 64;
	EXPECT_EQ(-EFAULT, query(self->e.fd, DRM_NPU_QUERY_DEVICE,
				 (uintptr_t)ro, &size));
	munmap(ro, 4096);
	EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_QUERY, NULL));
}

TEST_F(query, numbers_without_an_ioctl_are_refused)
{
	uint64_t arg[32];
	unsigned int nr;

	for (nr = DRM_NPU_PROGRAM_DESTROY + 1; DRM_COMMAND_BASE + nr < DRM_COMMAND_END;
	     nr++) {
		memset(arg, 0, sizeof(arg));
		EXPECT_NE(0, npu_ioctl(self->e.fd,
				       DRM_IOWR(DRM_COMMAND_BASE + nr,
						uint64_t[32]), arg));
	}
}

struct query_thread {
	int fd;
	struct drm_npu_device_info info;
	int wrong;
};

static void *query_loop(void *data)
{
	struct query_thread *t = data;
	struct drm_npu_device_info info;
	int i;

	for (i = 0; i < 1000; i++) {
		if (npu_query(t->fd, DRM_NPU_QUERY_DEVICE, &info, sizeof(info)) ||
		    memcmp(&info, &t->info, sizeof(info)))
			t->wrong++;
	}
	return NULL;
}

TEST_F(query, many_threads_get_the_same_answer)
{
	struct query_thread t[8];
	pthread_t id[8];
	size_t n;

	for (n = 0; n < ARRAY_SIZE(t); n++) {
		t[n].fd = self->e.fd;
		t[n].info = self->e.info;
		t[n].wrong = 0;
		ASSERT_EQ(0, pthread_create(&id[n], NULL, query_loop, &t[n]));
	}
	for (n = 0; n < ARRAY_SIZE(t); n++) {
		pthread_join(id[n], NULL);
		EXPECT_EQ(0, t[n].wrong);
	}
}

TEST_HARNESS_MAIN
