// SPDX-License-Identifier: GPL-2.0-only

#include <linux/cgroup_dmem.h>
#include <linux/genalloc.h>
#include <linux/io.h>
#include <linux/of.h>
#include <linux/of_platform.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_sram.h"

/**
 * DOC: On-chip memory
 *
 * An SoC has SRAM that is faster than its DRAM and does not take the DRAM's
 * bandwidth. The device tree says which of it is for the NPU, in pools that are
 * also open to other drivers: nothing is taken from a pool before somebody asks
 * for it, and what is left is what the pools have left.
 *
 * The unit is the page, since buffers are mapped by MMUs on both sides. For the
 * same reason memory need not be contiguous, nor in one pool: as long as there
 * are enough pages there is room, so there is no fragmentation to be measured,
 * explained or waited for.
 *
 * No client ever sees what another one left behind. Memory is zeroed before it
 * is handed out, because others use the pools as well, and again before it is
 * given back, because they do not expect to be handed secrets either.
 *
 * SRAM is little, and whoever has it keeps it from all others. It is counted in
 * a region of the dmem cgroup controller, for the cgroup of who asked for it.
 *
 * The memory belongs to the driver of the SRAM, which is a supplier of the NPU:
 * the driver core unbinds the NPU first, and that closes the region and takes
 * the memory back from everybody who has some.
 *
 * Nothing here knows what a buffer is. Which of them are in on-chip memory, and
 * how they get in and out, is decided by those who own it.
 */

static u64 chunk_pages(const struct gen_pool_chunk *chunk)
{
	u64 start = round_up((u64)chunk->start_addr, PAGE_SIZE);
	u64 end = round_down((u64)chunk->end_addr + 1, PAGE_SIZE);

	return end > start ? end - start : 0;
}

static void count_chunk(struct gen_pool *pool, struct gen_pool_chunk *chunk,
			void *size)
{
	*(u64 *)size += chunk_pages(chunk);
}

/**
 * npu_sram_init() - set up a device's on-chip memory, of which there is none yet
 * @sram: the on-chip memory
 */
void npu_sram_init(struct npu_sram *sram)
{
	mutex_init(&sram->lock);
	INIT_LIST_HEAD(&sram->mems);
	init_waitqueue_head(&sram->empty);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_init);

/**
 * npu_sram_add_pool() - add a pool to the on-chip memory
 * @sram: the on-chip memory, of which nothing is in use yet
 * @pool: the pool
 *
 * A pool that is there already is not added again.
 */
void npu_sram_add_pool(struct npu_sram *sram, struct gen_pool *pool)
{
	for (unsigned int i = 0; i < sram->num_pools; i++)
		if (sram->pools[i] == pool)
			return;
	if (sram->num_pools == ARRAY_SIZE(sram->pools))
		return;

	sram->pools[sram->num_pools++] = pool;
	gen_pool_for_each_chunk(pool, count_chunk, &sram->size);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_add_pool);

/* The device that a pool belongs to: that of the node, or of its parent. */
static struct device *find_supplier(struct device_node *node)
{
	struct device_node *parent __free(device_node) = of_get_parent(node);
	struct platform_device *pdev;

	pdev = of_find_device_by_node(node);
	if (!pdev && parent)
		pdev = of_find_device_by_node(parent);
	return pdev ? &pdev->dev : NULL;
}

/* One entry of the property, all of which is optional. */
static int probe_pool(struct npu_sram *sram, struct drm_device *drm,
		      struct device_node *node, int index)
{
	struct device_node *part __free(device_node) =
		of_parse_phandle(node, "sram", index);
	struct device *supplier __free(put_device) = NULL;

	if (!part)
		return -ENOENT;

	supplier = find_supplier(part);
	if (!supplier || !of_device_is_available(part) || !IS_ENABLED(CONFIG_SRAM)) {
		drm_info(drm, "does without %pOF\n", part);
		return 0;
	}

	if (!of_gen_pool_get(node, "sram", index)) {
		/* Its driver comes later, or never. */
		if (driver_deferred_probe_check_state(drm->dev) == -EPROBE_DEFER)
			return -EPROBE_DEFER;
		drm_info(drm, "there is no pool in %pOF\n", part);
		return 0;
	}

	/* From here on the supplier stays, for as long as we do. */
	if (!device_link_add(drm->dev, supplier, DL_FLAG_AUTOPROBE_CONSUMER))
		return -EINVAL;

	npu_sram_add_pool(sram, of_gen_pool_get(node, "sram", index));
	return 0;
}

/**
 * npu_sram_probe() - find the on-chip memory that the device tree names
 * @sram: the on-chip memory, initialised
 * @drm: the DRM device
 * @node: a core of the NPU
 *
 * Called when the device that carries @drm is probed. No such memory is fine.
 *
 * Return: 0, -EPROBE_DEFER, or another negative error.
 */
int npu_sram_probe(struct npu_sram *sram, struct drm_device *drm,
		   struct device_node *node)
{
	int ret = 0;

	for (int i = 0; !ret; i++)
		ret = probe_pool(sram, drm, node, i);
	if (ret != -ENOENT)
		return ret;
	if (!sram->size)
		return 0;

	sram->region = drmm_cgroup_register_region(drm, "sram", sram->size);
	if (IS_ERR(sram->region))
		return PTR_ERR(sram->region);

	drm_dbg(drm, "%llu KiB of on-chip memory\n", sram->size / SZ_1K);
	return 0;
}

/**
 * npu_sram_close() - hand out no more memory
 * @sram: the on-chip memory
 */
void npu_sram_close(struct npu_sram *sram)
{
	guard(mutex)(&sram->lock);

	sram->closed = true;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_close);

/**
 * npu_sram_wait_empty() - wait until all memory was given back
 * @sram: the on-chip memory, closed
 *
 * For memory whose owner is about to give it back, when everybody else's has
 * been taken away.
 */
void npu_sram_wait_empty(struct npu_sram *sram)
{
	wait_event(sram->empty, !READ_ONCE(sram->used));
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_wait_empty);

static u64 free_locked(struct npu_sram *sram)
{
	u64 avail = 0;

	lockdep_assert_held(&sram->lock);

	if (sram->closed)
		return 0;

	/* Others may have taken something, or ends that are no whole page. */
	for (unsigned int i = 0; i < sram->num_pools; i++)
		avail += round_down(gen_pool_avail(sram->pools[i]), PAGE_SIZE);
	return min(avail, sram->size - sram->used);
}

static int charge(struct npu_sram *sram, u64 size, struct dmem_cgroup_pool_state **pool)
{
	int ret;

	*pool = NULL;
	if (!sram->region)
		return 0;

	ret = dmem_cgroup_try_charge(sram->region, size, pool, NULL);
	return ret == -EAGAIN ? -EDQUOT : ret;
}

/**
 * npu_sram_alloc() - prepare memory for an owner
 * @sram: the on-chip memory
 * @size: bytes
 * @owner: who will use it
 * @priority: how important it is, or NPU_SRAM_PINNED
 * @last_use: where the owner notes when it used the memory last; NULL if it is
 *	pinned
 *
 * It is charged to the caller's cgroup, but has no chunks until it is filled.
 *
 * Return: the memory; -ENOSPC when there is not that much, whoever has it;
 * -EDQUOT when the cgroup has its share; or another error pointer.
 */
struct npu_sram_mem *npu_sram_alloc(struct npu_sram *sram, u64 size, void *owner,
				    s32 priority, const u64 *last_use)
{
	struct npu_sram_mem *mem;
	int ret;

	size = PAGE_ALIGN(size);
	if (size > sram->size)
		return ERR_PTR(-ENOSPC);

	mem = kvzalloc_flex(*mem, chunks, size >> PAGE_SHIFT, GFP_KERNEL_ACCOUNT);
	if (!mem)
		return ERR_PTR(-ENOMEM);

	mem->max_chunks = size >> PAGE_SHIFT;
	mem->sram = sram;
	mem->owner = owner;
	mem->priority = priority;
	mem->last_use = last_use;
	mem->size = size;
	INIT_LIST_HEAD(&mem->node);

	ret = charge(sram, size, &mem->charge);
	if (ret) {
		kvfree(mem);
		return ERR_PTR(ret);
	}
	return mem;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_alloc);

static void zero_chunks(struct npu_sram_mem *mem)
{
	for (unsigned int i = 0; i < mem->num_chunks; i++) {
		memset_io(mem->chunks[i].virt, 0, mem->chunks[i].size);
		cond_resched();
	}
}

static void give_back_locked(struct npu_sram_mem *mem)
{
	lockdep_assert_held(&mem->sram->lock);

	while (mem->num_chunks) {
		struct npu_sram_chunk *chunk = &mem->chunks[--mem->num_chunks];

		gen_pool_free(chunk->pool, (unsigned long)chunk->virt, chunk->size);
		mem->sram->used -= chunk->size;
	}
}

/* Takes as much of @want as a pool has, in chunks as large as possible. */
static u64 take_from_locked(struct npu_sram_mem *mem, struct gen_pool *pool, u64 want)
{
	struct genpool_data_align align = { .align = PAGE_SIZE };
	u64 taken = 0, size = want;

	lockdep_assert_held(&mem->sram->lock);

	while (taken < want) {
		struct npu_sram_chunk *chunk = &mem->chunks[mem->num_chunks];
		unsigned long virt;

		size = min(size, want - taken);
		virt = gen_pool_alloc_algo(pool, size, gen_pool_first_fit_align, &align);
		if (!virt && size == PAGE_SIZE)
			break;
		if (!virt) {
			size = round_up(size / 2, PAGE_SIZE);
			continue;
		}

		chunk->pool = pool;
		chunk->virt = (void __iomem *)virt;
		chunk->phys = gen_pool_virt_to_phys(pool, virt);
		chunk->size = size;
		mem->num_chunks++;
		mem->sram->used += size;
		taken += size;
	}
	return taken;
}

static int take(struct npu_sram_mem *mem)
{
	struct npu_sram *sram = mem->sram;
	u64 want = mem->size;

	guard(mutex)(&sram->lock);

	if (sram->closed)
		return -ENODEV;
	if (mem->size > free_locked(sram))
		return -ENOSPC;

	for (unsigned int i = 0; i < sram->num_pools && want; i++)
		want -= take_from_locked(mem, sram->pools[i], want);
	if (want) {
		give_back_locked(mem);
		return -ENOSPC;
	}
	list_add_tail(&mem->node, &sram->mems);
	return 0;
}

static void release(struct npu_sram_mem *mem)
{
	struct npu_sram *sram = mem->sram;

	if (!mem->num_chunks)
		return;

	zero_chunks(mem);

	guard(mutex)(&sram->lock);

	give_back_locked(mem);
	list_del_init(&mem->node);
	WRITE_ONCE(sram->generation, sram->generation + 1);
	if (!sram->used)
		wake_up_all(&sram->empty);
}

/**
 * npu_sram_fill() - get chunks for an owner's memory
 * @mem: memory without chunks
 *
 * The chunks are zeroed. From now on others may ask the owner to give them up.
 *
 * Return: 0; -ENOSPC when there is not as much; -ENODEV when nothing is handed
 * out any more; or -ENOMEM.
 */
int npu_sram_fill(struct npu_sram_mem *mem)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	ret = take(mem);
	if (ret)
		return ret;

	ret = sg_alloc_table(&mem->sgt, mem->num_chunks, GFP_KERNEL_ACCOUNT);
	if (ret) {
		release(mem);
		return ret;
	}
	for_each_sgtable_dma_sg(&mem->sgt, sg, i) {
		sg->length = mem->chunks[i].size;
		sg_dma_len(sg) = mem->chunks[i].size;
		sg_dma_address(sg) = mem->chunks[i].phys;
	}
	zero_chunks(mem);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_fill);

/**
 * npu_sram_free() - free an owner's memory
 * @mem: the memory, with or without chunks, or NULL
 *
 * The chunks are zeroed before anybody else can get them.
 */
void npu_sram_free(struct npu_sram_mem *mem)
{
	if (!mem)
		return;

	release(mem);
	sg_free_table(&mem->sgt);
	dmem_cgroup_uncharge(mem->charge, mem->size);
	kvfree(mem);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_free);

/**
 * npu_sram_page() - find a page of an owner's memory
 * @mem: the memory
 * @index: which page
 * @phys: its physical address, or NULL
 *
 * Return: where the kernel has it mapped.
 */
void __iomem *npu_sram_page(const struct npu_sram_mem *mem, unsigned long index,
			    phys_addr_t *phys)
{
	size_t offset = index << PAGE_SHIFT;
	unsigned int i = 0;

	while (offset >= mem->chunks[i].size)
		offset -= mem->chunks[i++].size;

	if (phys)
		*phys = mem->chunks[i].phys + offset;
	return mem->chunks[i].virt + offset;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_page);

static u64 movable_locked(struct npu_sram *sram, s32 priority)
{
	const struct npu_sram_mem *mem;
	u64 size = 0;

	lockdep_assert_held(&sram->lock);

	list_for_each_entry(mem, &sram->mems, node)
		if (mem->priority < priority)
			size += mem->size;
	return size;
}

/**
 * npu_sram_fits() - is there room, or can it be made?
 * @sram: the on-chip memory
 * @size: bytes wanted
 * @priority: how important it is, or NPU_SRAM_NONE if nobody makes room for it
 *
 * Return: true when there is that much that is free or less important.
 */
bool npu_sram_fits(struct npu_sram *sram, u64 size, s32 priority)
{
	guard(mutex)(&sram->lock);

	return size <= free_locked(sram) + movable_locked(sram, priority);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_fits);

/**
 * npu_sram_forget_tries() - let npu_sram_victim() name everybody again
 * @sram: the on-chip memory
 */
void npu_sram_forget_tries(struct npu_sram *sram)
{
	struct npu_sram_mem *mem;

	guard(mutex)(&sram->lock);

	list_for_each_entry(mem, &sram->mems, node)
		mem->tried = false;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_forget_tries);

static u64 last_use(const struct npu_sram_mem *mem)
{
	return mem->last_use ? READ_ONCE(*mem->last_use) : 0;
}

static bool better_victim(const struct npu_sram_mem *mem,
			  const struct npu_sram_mem *best)
{
	if (!best || mem->priority != best->priority)
		return !best || mem->priority < best->priority;
	return last_use(mem) < last_use(best);
}

/**
 * npu_sram_victim() - choose who has to make room
 * @sram: the on-chip memory
 * @priority: for something of this priority, or NPU_SRAM_ALL for everybody
 * @hold: keeps an owner, or says that it goes away by itself
 *
 * The least important one, and among those the one that did not use its memory
 * for the longest time. Each is named only once, so that one that cannot give
 * up its memory is not asked for ever.
 *
 * Return: an owner that @hold has kept, or NULL if there is none.
 */
void *npu_sram_victim(struct npu_sram *sram, s32 priority, bool (*hold)(void *owner))
{
	struct npu_sram_mem *mem, *best;

	guard(mutex)(&sram->lock);

	do {
		best = NULL;
		list_for_each_entry(mem, &sram->mems, node)
			if (mem->priority < priority && !mem->tried &&
			    better_victim(mem, best))
				best = mem;
		if (best)
			best->tried = true;
	} while (best && !hold(best->owner));

	return best ? best->owner : NULL;
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_victim);

/**
 * npu_sram_info() - how much is there?
 * @sram: the on-chip memory
 * @info: the answer to DRM_NPU_QUERY_SRAM
 */
void npu_sram_info(struct npu_sram *sram, struct drm_npu_sram_info *info)
{
	guard(mutex)(&sram->lock);

	info->size = sram->size;
	info->free = free_locked(sram);
	info->largest = info->free + movable_locked(sram, NPU_SRAM_PINNED);
}
EXPORT_SYMBOL_IF_KUNIT(npu_sram_info);
