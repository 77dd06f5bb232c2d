// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that run out of memory: each allocation that a call makes fails once,
 * and so does each access to the caller's memory. Whatever fails, the call
 * either did nothing or all of it. Needs a kernel with fault injection, and
 * root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "npu_mem.h"

#define DEBUGFS		"/sys/kernel/debug"
#define FAIL_NTH	"/proc/thread-self/fail-nth"

/* No call here makes more allocations */
#define MANY		4000

FIXTURE(nomem)
{
	struct npu_env e;
	struct npu_work w[3];
	int fail_nth;
};

/* NULL, or why nothing can be made to fail */
static const char *enable_faults(void)
{
	static const char * const settings[] = {
		DEBUGFS "/failslab/ignore-gfp-wait",
		DEBUGFS "/fail_page_alloc/ignore-gfp-wait",
		DEBUGFS "/fail_page_alloc/ignore-gfp-highmem",
	};
	size_t n;

	if (geteuid())
		return "needs root";
	if (access(FAIL_NTH, W_OK))
		return "needs CONFIG_FAULT_INJECTION";
	if (access(settings[0], W_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	for (n = 0; n < ARRAY_SIZE(settings); n++) {
		if (npu_write_file(settings[n], "N"))
			return "needs CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC";
	}
	npu_write_file(DEBUGFS "/fail_page_alloc/min-order", "0");
	npu_write_file(DEBUGFS "/failslab/verbose", "0");
	npu_write_file(DEBUGFS "/fail_page_alloc/verbose", "0");
	npu_write_file(DEBUGFS "/fail_usercopy/verbose", "0");
	return NULL;
}

FIXTURE_SETUP(nomem)
{
	int n, ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	for (n = 0; n < 3; n++) {
		ASSERT_EQ(0, npu_work_small(&self->e, &self->w[n], n));
	}
	if (enable_faults())
		SKIP(return, "%s", enable_faults());
	self->fail_nth = open(FAIL_NTH, O_RDWR);
	ASSERT_GE(self->fail_nth, 0);
}

FIXTURE_TEARDOWN(nomem)
{
	EXPECT_EQ(0, npu_work_run_everywhere(&self->e, &self->w[0]));
	npu_env_close(&self->e);
}

/* From now on, the @nth thing that may fail does; 0 for none */
static void arm(int fail_nth, unsigned int nth)
{
	char text[16];
	int ret, len = snprintf(text, sizeof(text), "%u", nth);

	do {	/* may be what fails */
		ret = pwrite(fail_nth, text, len, 0);
	} while (ret < 0 && errno == EFAULT);
	if (ret != len)
		abort();
}

/*
 * Stops that, and tells whether it has come to a failure. It has not when what
 * fails is this question.
 */
static bool disarm(int fail_nth)
{
	char text[16] = "";
	ssize_t len = pread(fail_nth, text, sizeof(text) - 1, 0);

	if (len < 0 && errno == EFAULT)
		return false;
	if (len <= 0)
		abort();
	arm(fail_nth, 0);
	return !atoi(text);
}

/* Files in memory say that there is no space when there is no memory for them */
static bool out_of_memory(int error)
{
	return error == -ENOMEM || error == -EFAULT || error == -ENOSPC;
}

/*
 * Makes the call @ret = ... again and again, with another failure each time,
 * until it meets none. @check sees how each of them ended.
 */
#define FAIL_EACH(call, check) do {					\
	unsigned int nth_;						\
	bool failed_ = true;						\
	int ret;							\
									\
	for (nth_ = 1; failed_ && nth_ < MANY; nth_++) {		\
		arm(self->fail_nth, nth_);				\
		ret = call;						\
		failed_ = disarm(self->fail_nth);			\
		EXPECT_TRUE(!ret || (failed_ && out_of_memory(ret)))	\
			TH_LOG("failure %u: %d", nth_, ret);		\
		check;							\
	}								\
	EXPECT_LT(nth_, MANY);						\
	EXPECT_GE(nth_, 2);						\
} while (0)

/* Three jobs with all that a job can have */
struct full {
	uint32_t program;
	struct drm_npu_value value;
	struct drm_npu_sync sync[4];
	struct drm_npu_buffer buffer[2];
	struct drm_npu_job job[3];
};

static int full_make(struct npu_env *e, struct npu_work *w, struct full *f)
{
	struct drm_npu_patch patch = {
		.offset = rknn_value_at(&w[1].stream, RKNN_DPU_OUT),
	};
	int n, ret;

	memset(f, 0, sizeof(*f));
	f->value.va = w[1].bo[NPU_OUT].va;
	for (n = 0; n < 4; n++) {
		f->sync[n].flags = n == 3 ? DRM_NPU_SYNC_WAIT :
				   DRM_NPU_SYNC_SIGNAL;
		ret = npu_syncobj_create(e->fd, n == 3 ?
					 DRM_SYNCOBJ_CREATE_SIGNALED : 0,
					 &f->sync[n].handle);
		if (ret)
			return ret;
	}
	f->sync[1].point = 7;
	for (n = 0; n < 2; n++) {
		f->buffer[n].handle = w[n].bo[NPU_OUT].handle;
		f->buffer[n].flags = DRM_NPU_BUFFER_WRITE;
	}
	f->job[0].tasks = (struct drm_npu_array)NPU_ARRAY(&w[0].task, 1);
	f->job[0].syncs = (struct drm_npu_array)NPU_ARRAY(f->sync, 2);
	f->job[0].buffers = (struct drm_npu_array)NPU_ARRAY(f->buffer, 2);
	f->job[1].values = (struct drm_npu_array)NPU_ARRAY(&f->value, 1);
	f->job[1].buffers = (struct drm_npu_array)NPU_ARRAY(f->buffer, 2);
	f->job[2].tasks = (struct drm_npu_array)NPU_ARRAY(&w[2].task, 1);
	f->job[2].syncs = (struct drm_npu_array)NPU_ARRAY(f->sync + 2, 2);
	ret = npu_program_of_work(e, &w[1], &patch, 1, &f->job[1].program_id);
	return ret;
}

/* New syncobjs, so that what is signalled is from this call */
static int full_renew(struct npu_env *e, struct full *f)
{
	int n, ret = 0;

	for (n = 0; n < 3 && !ret; n++) {
		npu_syncobj_destroy(e->fd, f->sync[n].handle);
		ret = npu_syncobj_create(e->fd, 0, &f->sync[n].handle);
	}
	return ret;
}

/* Have all of them run, and right? */
static bool full_ran(struct npu_env *e, struct npu_work *w, struct full *f)
{
	int n;

	if (npu_syncobj_status(e->fd, f->sync[2].handle, 0) != NPU_DONE ||
	    npu_syncobj_status(e->fd, f->sync[0].handle, 0) != NPU_DONE ||
	    npu_syncobj_status(e->fd, f->sync[1].handle, 7) != NPU_DONE)
		return false;
	for (n = 0; n < 3; n++) {
		if (npu_work_check(e, &w[n]) || npu_work_arm(e, &w[n]))
			return false;
	}
	return !full_renew(e, f);
}

/* Has none of them left anything? */
static bool full_nothing(struct npu_env *e, struct npu_work *w, struct full *f)
{
	int n;

	for (n = 0; n < 3; n++) {
		if (npu_work_check_untouched(e, &w[n]) ||
		    npu_syncobj_wait(e->fd, f->sync[n].handle,
				     f->sync[n].point, 0) != -EINVAL ||
		    npu_bo_wait(e->fd, w[n].bo[NPU_OUT].handle,
				DRM_NPU_BO_WAIT_WRITE, 0))
			return false;
	}
	return true;
}

/* What calls have done so far */
struct tally {
	uint64_t submitted;	/* jobs */
	uint64_t nothing;	/* calls that failed */
	uint64_t done;		/* and that did not */
};

/* Did a call that returned @ret do all it should, or else nothing at all? */
static bool full_check(struct npu_env *e, struct npu_work *w, struct full *f,
		       int ret, struct tally *t)
{
	struct drm_npu_ctx_query q;

	if (npu_ctx_query(e->fd, e->ctx, &q))
		return false;
	if (q.jobs_submitted == t->submitted) {
		t->nothing++;
		return ret && full_nothing(e, w, f);
	}
	/* A fault when the ids are written comes too late to go back */
	if ((ret && ret != -EFAULT) || q.jobs_submitted != t->submitted + 3)
		return false;
	t->submitted += 3;
	t->done++;
	return full_ran(e, w, f);
}

TEST_F(nomem, submits_are_all_or_nothing)
{
	struct drm_npu_ctx_query q;
	struct tally t = { 0 };
	struct full f;
	uint64_t first;

	ASSERT_EQ(0, full_make(&self->e, self->w, &f));
	FAIL_EACH(npu_submit_ids(self->e.fd, self->e.ctx, f.job, 3, &first),
		  EXPECT_TRUE(full_check(&self->e, self->w, &f, ret, &t))
			  TH_LOG("failure %u: %d", nth_, ret));
	EXPECT_GT(t.nothing, 10);
	EXPECT_GT(t.done, 0);
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(3 * t.done, q.jobs_done);
	EXPECT_EQ(0, q.jobs_failed);
}

/* The same when it has to bring back first what was reclaimed */
TEST_F(nomem, submits_that_restore_are_all_or_nothing)
{
	struct tally t = { 0 };
	struct full f;
	uint64_t first;

	ASSERT_EQ(0, full_make(&self->e, self->w, &f));
	ASSERT_EQ(0, npu_shrink());
	if (npu_bo_residency(self->e.fd, self->w[0].bo[NPU_IN].handle) !=
	    DRM_NPU_RESIDENCY_EVICTED)
		SKIP(return, "needs swap");
	FAIL_EACH(npu_submit_ids(self->e.fd, self->e.ctx, f.job, 3, &first), {
		EXPECT_TRUE(full_check(&self->e, self->w, &f, ret, &t))
			TH_LOG("failure %u: %d", nth_, ret);
		ASSERT_EQ(0, npu_shrink());
	});
	EXPECT_GT(t.nothing, 20);
	EXPECT_GT(t.done, 0);
}

TEST_F(nomem, programs_are_made_or_not)
{
	struct npu_env other = self->e;
	struct drm_npu_patch patch = { .offset = 2 };
	uint32_t program;

	ASSERT_EQ(0, npu_vm_create(other.fd, &other.vm));
	FAIL_EACH(npu_program_of_work(&other, &self->w[0], &patch, 1, &program),
		  npu_program_destroy(other.fd, program));
	/* There is one whose number could not be told */
	for (program = 1; program < 1000; program++)
		npu_program_destroy(other.fd, program);
	npu_sleep_ms(500);	/* the last one goes a little later */
	EXPECT_EQ(0, npu_unmap(other.fd, other.vm, other.info.va_start,
			       other.info.va_end - other.info.va_start))
		TH_LOG("a program that does not exist has an address");
}

TEST_F(nomem, contexts_and_vms_are_made_or_not)
{
	uint32_t id;

	FAIL_EACH(npu_ctx_create(self->e.fd, self->e.vm, 0, &id),
		  npu_ctx_destroy(self->e.fd, id));
	FAIL_EACH(npu_vm_create(self->e.fd, &id), npu_vm_destroy(self->e.fd,
								 id));
}

TEST_F(nomem, buffers_are_made_or_not)
{
	uint32_t flags[] = { 0, DRM_NPU_BO_WC, DRM_NPU_BO_RESIDENT }, handle;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		FAIL_EACH(npu_bo_create(self->e.fd, 64 * KIB, flags[n],
					n ? self->e.vm : 0, &handle),
			  npu_gem_close(self->e.fd, handle));
	}
}

/* The operations before the one that fails are done, and no others */
TEST_F(nomem, binds_do_what_they_say)
{
	uint64_t va = self->e.info.va_end / 2 & ~0xffffffull;
	struct drm_npu_bind_op ops[4];
	uint32_t done, n, handle;

	ASSERT_EQ(0, npu_bo_create(self->e.fd, 64 * KIB, 0, 0, &handle));
	for (n = 0; n < 4; n++)
		ops[n] = (struct drm_npu_bind_op){
			.type = DRM_NPU_BIND_MAP,
			.handle = handle,
			.va = va + n * 4 * MIB,
			.size = 64 * KIB,
		};
	FAIL_EACH(npu_bind(self->e.fd, self->e.vm, ops, 4, &done), {
		for (n = 0; n < 4 && ret != -EFAULT; n++) {
			EXPECT_EQ(n < done ? -EEXIST : 0,
				  npu_map_at(self->e.fd, self->e.vm, handle,
					     ops[n].va, 4096, 0, 0))
				TH_LOG("failure %u, %u of 4", nth_, done);
		}
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va, 16 * MIB));
	});
}

/* In the middle of a mapping: what is left of it is right or all is there */
TEST_F(nomem, unmaps_split_or_do_not)
{
	uint64_t va = self->e.info.va_end / 2 & ~0xffffffull;
	struct npu_bo bo;

	ASSERT_EQ(0, npu_bo_new(self->e.fd, 64 * KIB, 0, 0, &bo));
	FAIL_EACH(({
		ret = npu_map_at(self->e.fd, self->e.vm, bo.handle, va, bo.size,
				 0, 0);
		ret ? ret : npu_unmap(self->e.fd, self->e.vm, va + 16 * KIB,
				      8 * KIB);
	}), {
		int mapped = npu_map_at(self->e.fd, self->e.vm, bo.handle,
					va + 16 * KIB, 8 * KIB, 0, 0);

		EXPECT_TRUE(mapped == 0 || (ret && mapped == -EEXIST));
		ASSERT_EQ(0, npu_unmap(self->e.fd, self->e.vm, va, bo.size));
	});
}

TEST_F(nomem, questions_are_answered_or_not)
{
	struct drm_npu_device_info info;
	struct drm_npu_job_result r[4];
	struct drm_npu_ctx_query q;
	struct drm_npu_ctx_set set = {
		.flags = DRM_NPU_CTX_SET_CLASS,
		.sched_class = DRM_NPU_CLASS_THROUGHPUT,
	};

	FAIL_EACH(npu_query(self->e.fd, DRM_NPU_QUERY_DEVICE, &info,
			    sizeof(info)), ;);
	FAIL_EACH(npu_job_query(self->e.fd, self->e.ctx, 1, r, 4), ;);
	FAIL_EACH(npu_ctx_query(self->e.fd, self->e.ctx, &q), ;);
	FAIL_EACH(npu_ctx_set(self->e.fd, self->e.ctx, &set), ;);
	ASSERT_EQ(0, npu_ctx_query(self->e.fd, self->e.ctx, &q));
	EXPECT_EQ(DRM_NPU_CLASS_THROUGHPUT, q.sched_class);
}

TEST_HARNESS_MAIN
