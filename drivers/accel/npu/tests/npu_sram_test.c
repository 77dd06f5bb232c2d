// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the on-chip memory. Its pools are plain memory here, at addresses
 * that no machine has.
 */

#include <linux/genalloc.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include <kunit/test.h>

#include <drm/npu_accel.h>

#include "npu_sram.h"

#define POOLS		2
#define POOL_PAGES	16
#define PAGES		(POOLS * POOL_PAGES)
/* What mmio-sram uses */
#define GRANULARITY	5

struct world {
	struct npu_sram s;
	struct gen_pool *pool[POOLS];
	void *memory[POOLS];
	struct npu_sram_mem *mem[PAGES];
	u64 use[PAGES];
};

static phys_addr_t pool_phys(unsigned int i)
{
	return 0xf0000000ull + i * SZ_16M;
}

static void destroy_pool(void *pool)
{
	gen_pool_destroy(pool);
}

static int world_init(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	const size_t size = POOL_PAGES * PAGE_SIZE;

	KUNIT_ASSERT_NOT_NULL(test, w);
	test->priv = w;
	npu_sram_init(&w->s);
	for (unsigned int i = 0; i < POOLS; i++) {
		w->memory[i] = kunit_kmalloc(test, size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, w->memory[i]);
		memset(w->memory[i], 0xff, size);

		w->pool[i] = gen_pool_create(GRANULARITY, NUMA_NO_NODE);
		KUNIT_ASSERT_NOT_NULL(test, w->pool[i]);
		KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_pool,
								   w->pool[i]));
		KUNIT_ASSERT_EQ(test, 0,
				gen_pool_add_virt(w->pool[i],
						  (unsigned long)w->memory[i],
						  pool_phys(i), size, NUMA_NO_NODE));
		npu_sram_add_pool(&w->s, w->pool[i]);
	}
	return 0;
}

/* gen_pool_destroy() has no mercy with memory that is still in use. */
static void world_exit(struct kunit *test)
{
	struct world *w = test->priv;

	for (unsigned int i = 0; w && i < ARRAY_SIZE(w->mem); i++)
		npu_sram_free(w->mem[i]);
}

static int get_prio(struct kunit *test, unsigned int i, u64 pages, s32 priority)
{
	struct world *w = test->priv;
	struct npu_sram_mem *mem;
	int ret;

	mem = npu_sram_alloc(&w->s, pages * PAGE_SIZE, &w->mem[i], priority, &w->use[i]);
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	ret = npu_sram_fill(mem);
	if (ret)
		npu_sram_free(mem);
	else
		w->mem[i] = mem;
	return ret;
}

static int get(struct kunit *test, unsigned int i, u64 pages)
{
	return get_prio(test, i, pages, NPU_SRAM_PINNED);
}

static void put(struct kunit *test, unsigned int i)
{
	struct world *w = test->priv;

	npu_sram_free(w->mem[i]);
	w->mem[i] = NULL;
}

static u64 pages_free(struct kunit *test)
{
	struct world *w = test->priv;
	struct drm_npu_sram_info info;

	npu_sram_info(&w->s, &info);
	return info.free / PAGE_SIZE;
}

static bool only(const void *memory, size_t size, u8 byte)
{
	return !memchr_inv(memory, byte, size);
}

static bool page_is(struct kunit *test, unsigned int i, unsigned long index, u8 byte)
{
	struct world *w = test->priv;

	return only((__force void *)npu_sram_page(w->mem[i], index, NULL), PAGE_SIZE,
		    byte);
}

static void write_page(struct kunit *test, unsigned int i, unsigned long index, u8 byte)
{
	struct world *w = test->priv;

	memset((__force void *)npu_sram_page(w->mem[i], index, NULL), byte, PAGE_SIZE);
}

/* Every page is there once, and the tables agree on where it is. */
static void check_layout(struct kunit *test)
{
	struct world *w = test->priv;
	DECLARE_BITMAP(seen, PAGES) = { };
	u64 used = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(w->mem); i++) {
		struct npu_sram_mem *mem = w->mem[i];
		unsigned long index = 0;
		struct scatterlist *sg;
		unsigned int n;

		if (!mem)
			continue;
		for_each_sgtable_dma_sg(&mem->sgt, sg, n) {
			for (u64 at = 0; at < sg_dma_len(sg); at += PAGE_SIZE) {
				unsigned int pool, page;
				phys_addr_t phys;
				void *virt;

				virt = (__force void *)npu_sram_page(mem, index++, &phys);
				KUNIT_EXPECT_EQ(test, phys, sg_dma_address(sg) + at);
				pool = phys >= pool_phys(1);
				page = (phys - pool_phys(pool)) / PAGE_SIZE;
				KUNIT_ASSERT_LT(test, page, POOL_PAGES);
				KUNIT_EXPECT_PTR_EQ(test, virt, w->memory[pool] +
						    page * PAGE_SIZE);
				KUNIT_EXPECT_FALSE(test, test_and_set_bit(pool * POOL_PAGES +
									  page, seen));
			}
		}
		KUNIT_EXPECT_EQ(test, index * PAGE_SIZE, mem->size);
		used += mem->size;
	}
	KUNIT_EXPECT_EQ(test, used, w->s.used);
	KUNIT_EXPECT_EQ(test, PAGES * PAGE_SIZE - used, pages_free(test) * PAGE_SIZE);
}

static void test_size(struct kunit *test)
{
	struct world *w = test->priv;
	struct drm_npu_sram_info info;

	/* A pool that is named twice is there once. */
	npu_sram_add_pool(&w->s, w->pool[0]);
	npu_sram_info(&w->s, &info);
	KUNIT_EXPECT_EQ(test, info.size, PAGES * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, info.free, info.size);
	KUNIT_EXPECT_EQ(test, info.largest, info.size);
}

/* A pool whose ends are no page boundaries has fewer pages than bytes. */
static void test_odd_pool(struct kunit *test)
{
	struct world *w = test->priv;
	struct drm_npu_sram_info info;
	struct npu_sram odd = { };
	struct gen_pool *pool;

	pool = gen_pool_create(GRANULARITY, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_pool, pool));
	KUNIT_ASSERT_EQ(test, 0,
			gen_pool_add_virt(pool, (unsigned long)w->memory[0] + 32,
					  pool_phys(0) + 32, 4 * PAGE_SIZE, -1));
	npu_sram_init(&odd);
	npu_sram_add_pool(&odd, pool);
	w->mem[0] = npu_sram_alloc(&odd, 3 * PAGE_SIZE, NULL, NPU_SRAM_PINNED, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, w->mem[0]);
	KUNIT_ASSERT_EQ(test, 0, npu_sram_fill(w->mem[0]));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(w->mem[0]->chunks[0].phys, PAGE_SIZE));

	npu_sram_info(&odd, &info);
	KUNIT_EXPECT_EQ(test, info.size, 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, info.free, 0);
	put(test, 0);
}

static void test_fill(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 0, PAGES + 1));
	KUNIT_EXPECT_EQ(test, 0, get(test, 0, PAGES));
	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 1, 1));
	check_layout(test);
	put(test, 0);

	for (unsigned int i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, 0, get(test, i, 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 0, 1));
	check_layout(test);
}

/* Holes are as good as anything else. */
static void test_scatter(struct kunit *test)
{
	struct world *w = test->priv;

	for (unsigned int i = 0; i < PAGES; i++)
		KUNIT_ASSERT_EQ(test, 0, get(test, i, 1));
	for (unsigned int i = 0; i < PAGES; i += 2)
		put(test, i);

	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 0, PAGES / 2 + 1));
	KUNIT_EXPECT_EQ(test, PAGES / 2, pages_free(test));
	KUNIT_ASSERT_EQ(test, 0, get(test, 0, PAGES / 2));
	KUNIT_EXPECT_EQ(test, PAGES / 2, w->mem[0]->num_chunks);
	check_layout(test);
}

/* The page that another user of the pool has is not ours. */
static void test_shared(struct kunit *test)
{
	struct world *w = test->priv;
	unsigned long other;

	other = gen_pool_alloc(w->pool[0], 32);
	KUNIT_ASSERT_NE(test, other, 0);
	KUNIT_EXPECT_EQ(test, PAGES - 1, pages_free(test));
	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 0, PAGES));
	KUNIT_EXPECT_EQ(test, 0, w->s.used);
	KUNIT_EXPECT_EQ(test, 0, get(test, 0, PAGES - 1));
	gen_pool_free(w->pool[0], other, 32);
}

static void test_zeroed(struct kunit *test)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, 0, get(test, 0, PAGES));
	for (unsigned int i = 0; i < PAGES; i++) {
		KUNIT_EXPECT_TRUE(test, page_is(test, 0, i, 0));
		write_page(test, 0, i, 0x5a);
	}
	put(test, 0);
	for (unsigned int i = 0; i < POOLS; i++)
		KUNIT_EXPECT_TRUE(test, only(w->memory[i], POOL_PAGES * PAGE_SIZE, 0));
}

static void test_generation(struct kunit *test)
{
	struct world *w = test->priv;
	u64 before = npu_sram_generation(&w->s);

	KUNIT_ASSERT_EQ(test, 0, get(test, 0, 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC, get(test, 1, PAGES));
	KUNIT_EXPECT_EQ(test, before, npu_sram_generation(&w->s));
	put(test, 0);
	KUNIT_EXPECT_NE(test, before, npu_sram_generation(&w->s));
}

static void test_fits(struct kunit *test)
{
	struct world *w = test->priv;
	struct drm_npu_sram_info info;

	KUNIT_ASSERT_EQ(test, 0, get(test, 0, 4));
	KUNIT_ASSERT_EQ(test, 0, get_prio(test, 1, 4, DRM_NPU_PRIORITY_LOW));
	KUNIT_ASSERT_EQ(test, 0, get_prio(test, 2, 4, DRM_NPU_PRIORITY_HIGH));

	npu_sram_info(&w->s, &info);
	KUNIT_EXPECT_EQ(test, info.free, (PAGES - 12) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, info.largest, (PAGES - 4) * PAGE_SIZE);

	KUNIT_EXPECT_TRUE(test, npu_sram_fits(&w->s, info.largest, NPU_SRAM_PINNED));
	KUNIT_EXPECT_FALSE(test, npu_sram_fits(&w->s, info.largest + 1, NPU_SRAM_PINNED));
	KUNIT_EXPECT_TRUE(test, npu_sram_fits(&w->s, (PAGES - 8) * PAGE_SIZE,
					      DRM_NPU_PRIORITY_NORMAL));
	KUNIT_EXPECT_FALSE(test, npu_sram_fits(&w->s, (PAGES - 7) * PAGE_SIZE,
					       DRM_NPU_PRIORITY_NORMAL));
	KUNIT_EXPECT_FALSE(test, npu_sram_fits(&w->s, (PAGES - 11) * PAGE_SIZE,
					       DRM_NPU_PRIORITY_LOW));
	KUNIT_EXPECT_TRUE(test, npu_sram_fits(&w->s, (PAGES - 12) * PAGE_SIZE,
					      NPU_SRAM_NONE));
	KUNIT_EXPECT_FALSE(test, npu_sram_fits(&w->s, (PAGES - 11) * PAGE_SIZE,
					       NPU_SRAM_NONE));
}

static bool hold(void *owner)
{
	return true;
}

/* An owner that is going away has no memory pointer any more. */
static bool hold_unless_gone(void *owner)
{
	return *(struct npu_sram_mem **)owner;
}

static void test_victims(struct kunit *test)
{
	struct world *w = test->priv;
	static const struct { s32 priority; u64 use; } mems[] = {
		{ NPU_SRAM_PINNED, 0 },
		{ DRM_NPU_PRIORITY_NORMAL, 1 },
		{ DRM_NPU_PRIORITY_LOW, 9 },
		{ DRM_NPU_PRIORITY_LOW, 3 },
		{ DRM_NPU_PRIORITY_HIGH, 2 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(mems); i++) {
		KUNIT_ASSERT_EQ(test, 0, get_prio(test, i, 1, mems[i].priority));
		w->use[i] = mems[i].use;
	}

	/* Least important, then least recently used; each once; not the pinned. */
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED, hold),
			    &w->mem[3]);
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED, hold),
			    &w->mem[2]);
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED, hold),
			    &w->mem[1]);
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED, hold),
			    &w->mem[4]);
	KUNIT_EXPECT_NULL(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED, hold));
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_ALL, hold),
			    &w->mem[0]);

	/* Nobody makes room for his like. */
	npu_sram_forget_tries(&w->s);
	KUNIT_EXPECT_NULL(test, npu_sram_victim(&w->s, DRM_NPU_PRIORITY_LOW, hold));
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, DRM_NPU_PRIORITY_NORMAL, hold),
			    &w->mem[3]);
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, DRM_NPU_PRIORITY_NORMAL, hold),
			    &w->mem[2]);
	KUNIT_EXPECT_NULL(test, npu_sram_victim(&w->s, DRM_NPU_PRIORITY_NORMAL, hold));
}

static void test_victim_gone(struct kunit *test)
{
	struct world *w = test->priv;
	struct npu_sram_mem *mem;

	KUNIT_ASSERT_EQ(test, 0, get_prio(test, 0, 1, DRM_NPU_PRIORITY_LOW));
	KUNIT_ASSERT_EQ(test, 0, get_prio(test, 1, 1, DRM_NPU_PRIORITY_NORMAL));
	mem = w->mem[0];
	w->mem[0] = NULL;
	KUNIT_EXPECT_PTR_EQ(test, npu_sram_victim(&w->s, NPU_SRAM_PINNED,
						  hold_unless_gone), &w->mem[1]);
	w->mem[0] = mem;
}

static void test_closed(struct kunit *test)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, 0, get(test, 0, 1));
	npu_sram_close(&w->s);
	KUNIT_EXPECT_EQ(test, -ENODEV, get(test, 1, 1));
	KUNIT_EXPECT_EQ(test, 0, pages_free(test));
	put(test, 0);
	npu_sram_wait_empty(&w->s);
	for (unsigned int i = 0; i < POOLS; i++)
		KUNIT_EXPECT_EQ(test, gen_pool_avail(w->pool[i]),
				gen_pool_size(w->pool[i]));
}

/* Whatever comes and goes: it is where it should be, and nobody else writes it. */
static void test_random(struct kunit *test)
{
	struct world *w = test->priv;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 3588);
	for (unsigned int round = 0; round < 2000; round++) {
		unsigned int i = prandom_u32_state(&rnd) % PAGES;
		u64 before = pages_free(test), want;

		if (w->mem[i]) {
			for (u64 page = 0; page < w->mem[i]->size / PAGE_SIZE; page++)
				KUNIT_ASSERT_TRUE(test, page_is(test, i, page, i + 1));
			put(test, i);
			continue;
		}
		want = 1 + prandom_u32_state(&rnd) % 8;
		KUNIT_ASSERT_EQ(test, want <= before ? 0 : -ENOSPC, get(test, i, want));
		for (u64 page = 0; w->mem[i] && page < want; page++) {
			KUNIT_ASSERT_TRUE(test, page_is(test, i, page, 0));
			write_page(test, i, page, i + 1);
		}
		if (round % 100 == 0)
			check_layout(test);
	}
}

static struct kunit_case npu_sram_cases[] = {
	KUNIT_CASE(test_size),
	KUNIT_CASE(test_odd_pool),
	KUNIT_CASE(test_fill),
	KUNIT_CASE(test_scatter),
	KUNIT_CASE(test_shared),
	KUNIT_CASE(test_zeroed),
	KUNIT_CASE(test_generation),
	KUNIT_CASE(test_fits),
	KUNIT_CASE(test_victims),
	KUNIT_CASE(test_victim_gone),
	KUNIT_CASE(test_closed),
	KUNIT_CASE(test_random),
	{ }
};

static struct kunit_suite npu_sram_suite = {
	.name = "npu_sram",
	.init = world_init,
	.exit = world_exit,
	.test_cases = npu_sram_cases,
};

kunit_test_suite(npu_sram_suite);

MODULE_DESCRIPTION("Tests of the NPU driver's on-chip memory");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
