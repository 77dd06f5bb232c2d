// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many clients, one of which hangs the hardware again and again. The others do
 * not lose a job, nor a byte of one.
 *
 * It is to hang 10000 times, and stops earlier after NPU_STORM_SECONDS (180 without
 * that variable; the time is what the kernel's own clock says).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "npu_test.h"

#define CLIENTS		32
#define HANGS		10000
#define SECONDS		180

/* Contexts of the client that hangs; it does not wait for one after the other */
#define AT_ONCE		24

/* Fewer prove nothing, however slow the machine is */
#define FEWEST_HANGS	200

struct client {
	_Atomic long runs;	/* jobs with the right bytes */
	_Atomic long lost;	/* what went wrong */
};

struct storm {
	_Atomic bool over;
	struct client client[CLIENTS];
};

FIXTURE(storm)
{
	struct npu_env e;
	struct npu_work hang;
	struct storm *shared;
	uint32_t sync[AT_ONCE];
};

FIXTURE_SETUP(storm)
{
	int n, ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_hang(&self->e, &self->hang));
	for (n = 0; n < AT_ONCE; n++) {
		ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0,
						&self->sync[n]));
	}
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
}

FIXTURE_TEARDOWN(storm)
{
	npu_env_close(&self->e);
}

static int client_work(struct npu_env *e, struct npu_work *w, unsigned int n)
{
	struct rknn_pool pool = {
		.op = RKNN_POOL_MAX, .w = 8, .h = 8, .c = 16, .kw = 2, .kh = 2,
		.stride = 2,
	};
	struct rknn_ew ew = { .op = RKNN_EW_ADD, .w = 8, .h = 8 };

	switch (n % 4) {
	case 0:
		return npu_work_pool(e, w, &pool, n);
	case 1:
		return npu_work_ew(e, w, &ew, n);
	case 2:
		return npu_work_matmul(e, w, 64, 64, 64, n);
	default:
		return npu_work_small(e, w, n);
	}
}

/* A machine that is slow must not make a hang of anybody innocent */
static int patient_ctx(struct npu_env *e, uint32_t *ctx)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm, .timeout_ms = e->info.max_timeout_ms,
	};
	int ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);

	*ctx = arg.ctx_id;
	return ret;
}

static int be_innocent(struct storm *storm, unsigned int n)
{
	struct client *me = &storm->client[n];
	struct npu_work w;
	struct npu_env e;
	uint32_t ctx;
	int ret;

	ret = npu_env_open(&e);
	if (!ret)
		ret = client_work(&e, &w, n);
	if (!ret)
		ret = patient_ctx(&e, &ctx);
	while (!ret && !storm->over) {
		ret = npu_work_run(&e, ctx, &w);
		if (!ret)
			me->runs++;
		/* It is the NPU that is to be busy, not what feeds it */
		npu_sleep_ms(n);
	}
	me->lost = ret;
	return ret ? 1 : 0;
}

/* Hangs in contexts with the shortest timeout there is; what the last one got */
static int hang_at_once(struct npu_env *e, struct npu_work *hang,
			const uint32_t *syncs)
{
	struct drm_npu_ctx_create arg = {
		.vm_id = e->vm, .timeout_ms = e->info.min_timeout_ms,
	};
	int n, ret = 0, result = 0;

	for (n = 0; n < AT_ONCE && !ret; n++) {
		ret = npu_ioctl(e->fd, DRM_IOCTL_NPU_CTX_CREATE, &arg);
		if (!ret)
			ret = npu_submit_work(e->fd, arg.ctx_id, hang, syncs[n]);
		npu_ctx_destroy(e->fd, arg.ctx_id);
	}
	for (n = 0; n < AT_ONCE && !ret && (!n || result == -ETIME); n++)
		result = npu_syncobj_status(e->fd, syncs[n], 0);
	return ret ? ret : result;
}

TEST_F_TIMEOUT(storm, nobody_loses_a_byte_while_one_hangs, 7200)
{
	const char *seconds = getenv("NPU_STORM_SECONDS");
	int64_t start, end;
	pid_t pid[CLIENTS];
	long hangs = 0, runs = 0;
	int n, status;

	for (n = 1; n < CLIENTS; n++) {
		pid[n] = fork();
		ASSERT_GE(pid[n], 0);
		if (!pid[n])
			_exit(be_innocent(self->shared, n));
	}
	/* Among so many it would have to wait for a processor, too */
	setpriority(PRIO_PROCESS, 0, -20);
	start = npu_now_ns();
	end = start + (seconds ? atoll(seconds) : SECONDS) * 1000000000ll;
	while (hangs < HANGS && (npu_now_ns() < end || hangs < FEWEST_HANGS)) {
		ASSERT_EQ(-ETIME, hang_at_once(&self->e, &self->hang,
					       self->sync))
			TH_LOG("hang %ld", hangs);
		hangs += AT_ONCE;
	}
	end = npu_now_ns();
	self->shared->over = true;
	for (n = 1; n < CLIENTS; n++) {
		ASSERT_EQ(pid[n], waitpid(pid[n], &status, 0));
		EXPECT_EQ(0, status) TH_LOG("client %d: %ld", n,
					    self->shared->client[n].lost);
		EXPECT_GT(self->shared->client[n].runs, 0)
			TH_LOG("client %d never ran", n);
		runs += self->shared->client[n].runs;
	}
	printf("# %ld hangs and %ld jobs of %d others in %lld s\n", hangs, runs,
	       CLIENTS - 1, (long long)(end - start) / 1000000000);
}

TEST_HARNESS_MAIN
