// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one client leaves in a core: nothing of it may be seen by the next
 * client, and nothing of it may change what the next client computes.
 *
 * The memory of a core keeps features and weights, and a command stream can ask
 * for what it finds there instead of its own. Each test first shows that this
 * works, on what the client itself has left, so that finding nothing of another
 * client means something.
 */
#include <errno.h>
#include <string.h>

#include "kselftest_harness.h"
#include "npu_test.h"

#define BANKS		12
#define ALL_BANKS	0xfff
#define BANK_SIZE	32768u

#define CBUF_CON0	0x1040
#define DATA_REUSE	(1u << 12)
#define WEIGHT_REUSE	(1u << 13)
#define BANKS_OF(data, weight)	((data) | (weight) << 4)

/* Features in nine banks, weights in the other three: 96 x 3072 by 3072 x 32 */
#define SECRET_M	96
#define SECRET_K	(9 * BANK_SIZE / SECRET_M)
#define SECRET_N	32

/* Who looks at the core; ready before there is something to be seen */
struct looker {
	struct npu_env e;
	uint32_t ctx;			/* of the core that is looked at */
	struct npu_work weights;	/* 4 x 1024 by 1024 x 32 */
	struct npu_work features;	/* 32 x 1024 by 1024 x 32 */
};

/* One that has something to hide, and one that would like to know */
struct pair {
	struct looker victim, spy;
	struct npu_work secret;
};

FIXTURE(isolation)
{
	struct pair p;
};

static int looker_setup(struct looker *l)
{
	int ret = npu_env_open(&l->e);

	if (!ret)
		ret = npu_work_matmul(&l->e, &l->weights, 4, BANK_SIZE / 32, 32, 2);
	if (!ret)
		ret = npu_work_matmul(&l->e, &l->features, 32, BANK_SIZE / 32, 32, 3);
	/* What the other one leaves in the first bank gets no weight. */
	if (!ret)
		memset(l->features.bo[NPU_AUX].map, 0, 4096);
	return ret;
}

FIXTURE_SETUP(isolation)
{
	int ret = looker_setup(&self->p.victim);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, looker_setup(&self->p.spy));

	ASSERT_EQ(0, npu_work_matmul(&self->p.victim.e, &self->p.secret, SECRET_M,
				     SECRET_K, SECRET_N, 1));
	rknn_patch(&self->p.secret.stream, CBUF_CON0, BANKS_OF(9, 3));
	ASSERT_EQ(0, npu_work_stream(&self->p.victim.e, &self->p.secret));
}

FIXTURE_TEARDOWN(isolation)
{
	npu_env_close(&self->p.spy.e);
	npu_env_close(&self->p.victim.e);
}

/* One core for both of them; -ECHILD after the last */
static int use_core(struct pair *p, uint64_t *left)
{
	struct looker *v = &p->victim, *s = &p->spy;
	unsigned int core;
	int ret;

	if (!*left)
		return -ECHILD;
	*left = npu_next_core(*left, &core);
	ret = npu_ctx_create(v->e.fd, v->e.vm, 1ull << core, &v->ctx);
	return ret ? ret : npu_ctx_create(s->e.fd, s->e.vm, 1ull << core, &s->ctx);
}

/*
 * A product of m rows whose features or weights are what the core has. The others
 * are the looker's own, so that something there gives something in the result: 1
 * when it does.
 */
static int look_at(struct looker *l, struct npu_work *w, uint32_t m, uint32_t con0)
{
	struct drm_npu_job_result r;
	size_t i;
	int ret;

	rknn_patch(&w->stream, CBUF_CON0, con0);
	ret = npu_work_stream(&l->e, w);
	if (!ret)
		ret = npu_work_arm(&l->e, w);
	if (!ret)
		ret = npu_run_tasks(&l->e, l->ctx, &w->task, 1, &r);
	if (ret != NPU_DONE)
		return ret ? ret : -EPROTO;
	ret = npu_bo_sync(l->e.fd, &w->bo[NPU_OUT], DRM_NPU_SYNC_FROM_DEVICE);
	for (i = 0; !ret && i < m * 32 * sizeof(int32_t); i++)
		ret = w->bo[NPU_OUT].map[i] != 0;
	return ret;
}

/*
 * Which banks of the core have something in them, as a mask? The first is looked
 * at last, as features; what those of the others have put there does not count.
 */
static int look(struct looker *l)
{
	int bank, ret = 0, seen = 0;

	for (bank = BANKS - 1; bank > 0 && ret >= 0; bank--) {
		ret = look_at(l, &l->weights, 4, BANKS_OF(bank, 1) | WEIGHT_REUSE);
		seen |= (ret == 1) << bank;
	}
	if (ret >= 0)
		ret = look_at(l, &l->features, 32,
			      BANKS_OF(BANKS - 1, 1) | DATA_REUSE);
	return ret < 0 ? ret : seen | ret;
}

static int leave_secret(struct pair *p)
{
	return npu_work_run(&p->victim.e, p->victim.ctx, &p->secret);
}

/* A core that has been idle for a while loses power, and what it has with it. */
static int look_at_own(struct pair *p)
{
	int tries, ret = 0;

	for (tries = 0; tries < 20 && ret >= 0 && ret != ALL_BANKS; tries++) {
		ret = leave_secret(p);
		if (!ret)
			ret = look(&p->victim);
	}
	return ret;
}

TEST_F(isolation, no_bank_of_a_core_shows_what_another_client_left)
{
	uint64_t left = self->p.victim.e.info.core_mask;

	while (!use_core(&self->p, &left)) {
		EXPECT_EQ(ALL_BANKS, look_at_own(&self->p));
		ASSERT_EQ(0, leave_secret(&self->p));
		EXPECT_EQ(0, look(&self->p.spy));
	}
}

TEST_F(isolation, what_a_client_left_goes_when_it_goes)
{
	uint64_t left = self->p.victim.e.info.core_mask;

	/* The last core only: then the victim is gone. */
	while (!use_core(&self->p, &left))
		ASSERT_EQ(0, leave_secret(&self->p));
	npu_env_close(&self->p.victim.e);
	EXPECT_EQ(0, look(&self->p.spy));
}

TEST_F(isolation, what_a_hung_client_left_goes_with_the_reset)
{
	uint64_t left = 1ull << npu_first_core(&self->p.victim.e);
	struct npu_work hang;

	ASSERT_EQ(0, use_core(&self->p, &left));
	ASSERT_EQ(0, npu_work_hang(&self->p.victim.e, &hang));
	ASSERT_EQ(0, leave_secret(&self->p));
	EXPECT_EQ(-ETIME, npu_work_run(&self->p.victim.e, self->p.victim.ctx, &hang));
	EXPECT_EQ(0, look(&self->p.spy));
}

/* A work, and a stream of nothing but the start of the units it uses */
struct repeat {
	struct npu_env e;	/* an address space of their own */
	uint32_t ctx;
	struct npu_work w, start;
};

static int repeat_setup(struct repeat *r, const struct npu_env *e,
			unsigned int seed)
{
	struct rknn_stream *s = &r->start.stream;
	int ret;

	r->e = *e;
	ret = npu_vm_create(e->fd, &r->e.vm);
	if (!ret)
		ret = npu_ctx_create(e->fd, r->e.vm, 1ull << npu_first_core(e),
				     &r->ctx);
	if (!ret)
		ret = npu_work_small(&r->e, &r->w, seed);
	if (!ret)
		ret = npu_work_hang(&r->e, &r->start);
	if (ret)
		return ret;
	s->count = 0;
	rknn_emit(s, RKNN_DPU, 0x4004, 0xe);
	rknn_emit(s, RKNN_RDMA, 0x5004, 0xe);
	rknn_finish(s, RKNN_EN_CONV);
	return npu_work_stream(&r->e, &r->start);
}

/*
 * The start alone repeats what the registers say. Both clients have the same
 * addresses bound, so the spy has all that it takes to do what the victim did.
 */
TEST_F(isolation, no_register_keeps_what_another_client_wrote)
{
	struct drm_npu_task tasks[3];
	struct drm_npu_job_result r;
	struct repeat victim, spy;
	int i;

	ASSERT_EQ(0, repeat_setup(&victim, &self->p.victim.e, 5));
	ASSERT_EQ(0, repeat_setup(&spy, &self->p.spy.e, 6));
	for (i = 0; i < NPU_WORK_BOS; i++)
		ASSERT_EQ(victim.w.bo[i].va, spy.w.bo[i].va);

	/* Both groups of registers, then one of them again */
	tasks[0] = victim.w.task;
	tasks[1] = victim.w.task;
	tasks[2] = victim.start.task;
	EXPECT_EQ(NPU_DONE, npu_run_tasks(&victim.e, victim.ctx, tasks, 3, &r));
	EXPECT_EQ(0, npu_work_check(&victim.e, &victim.w));

	EXPECT_GT(0, npu_run_tasks(&spy.e, spy.ctx, &spy.start.task, 1, &r));
	EXPECT_EQ(0, npu_work_check_untouched(&spy.e, &spy.w));
	EXPECT_EQ(0, npu_work_run(&victim.e, victim.ctx, &victim.w));
}

/* What a stream can do to those that come after it */
static const struct {
	uint16_t target;
	uint32_t reg, value;
} traces[] = {
	{ RKNN_PC, RKNN_PC_INT_MASK, 0 },
	{ RKNN_PC, RKNN_PC_INT_MASK, 0x1ffff },
	{ RKNN_PC, RKNN_PC_TASK_CON, 0x7002 },
	{ RKNN_PC, 0x34, 0x1000 },		/* base of all DMA addresses */
	{ RKNN_CNA, RKNN_CNA_S_POINTER, 0 },	/* group 0 and no core */
	{ RKNN_CORE, 0x3004, 0x4 },
	{ RKNN_DPU, 0x4004, 0x1 },
	{ RKNN_RDMA, 0x5004, 0x8 },
	{ RKNN_DPU, 0x4014, 0x7f },		/* a register nobody writes twice */
};

TEST_F(isolation, nothing_a_client_left_changes_what_another_computes)
{
	uint64_t left = 1ull << npu_first_core(&self->p.victim.e);
	struct drm_npu_job_result r;
	struct npu_work good, bad;
	unsigned int i;

	ASSERT_EQ(0, use_core(&self->p, &left));
	ASSERT_EQ(0, npu_work_small(&self->p.spy.e, &good, 7));
	for (i = 0; i < ARRAY_SIZE(traces); i++) {
		uint32_t ctx;

		/* The one before it may have got a ban. */
		ASSERT_EQ(0, npu_ctx_create(self->p.victim.e.fd, self->p.victim.e.vm,
					    1ull << npu_first_core(&self->p.victim.e),
					    &ctx));
		ASSERT_EQ(0, npu_work_small(&self->p.victim.e, &bad, 8));
		memmove(&bad.stream.words[2], &bad.stream.words[0],
			bad.stream.count * sizeof(bad.stream.words[0]));
		bad.stream.words[0] = (uint64_t)traces[i].target << 48 |
				      (uint64_t)traces[i].value << 16 |
				      traces[i].reg;
		bad.stream.words[1] = 0;
		bad.stream.count += 2;
		ASSERT_EQ(0, npu_work_stream(&self->p.victim.e, &bad));
		npu_run_tasks(&self->p.victim.e, ctx, &bad.task, 1, &r);

		EXPECT_EQ(0, npu_work_run(&self->p.spy.e, self->p.spy.ctx, &good))
			TH_LOG("register %#x", traces[i].reg);
		EXPECT_EQ(0, npu_work_run(&self->p.spy.e, self->p.spy.ctx, &good))
			TH_LOG("register %#x", traces[i].reg);
		npu_work_free(&self->p.victim.e, &bad);
		ASSERT_EQ(0, npu_ctx_destroy(self->p.victim.e.fd, ctx));
	}
}

TEST_HARNESS_MAIN
