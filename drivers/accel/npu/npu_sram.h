/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_SRAM_H__
#define __NPU_SRAM_H__

#include <linux/limits.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/wait.h>

struct device_node;
struct dmem_cgroup_pool_state;
struct dmem_cgroup_region;
struct drm_device;
struct drm_npu_sram_info;
struct gen_pool;

/* As many as the device tree binding allows */
#define NPU_SRAM_MAX_POOLS	8

/* &npu_sram_mem.priority of memory that its owner does not give up */
#define NPU_SRAM_PINNED		(S32_MAX - 1)
/* A priority above that of all memory, and one that is below */
#define NPU_SRAM_ALL		S32_MAX
#define NPU_SRAM_NONE		S32_MIN

/**
 * struct npu_sram - on-chip memory of a device
 */
struct npu_sram {
	/** @pools: where it is; filled before the device is visible */
	struct gen_pool *pools[NPU_SRAM_MAX_POOLS];

	/** @num_pools: entries of @pools in use */
	unsigned int num_pools;

	/** @size: bytes in whole pages of all @pools */
	u64 size;

	/** @region: what the shares of cgroups are counted in, or NULL */
	struct dmem_cgroup_region *region;

	/** @lock: protects everything below; nothing is allocated under it */
	struct mutex lock;

	/** @mems: all memory that is in use */
	struct list_head mems;

	/** @used: bytes that @mems have */
	u64 used;

	/**
	 * @generation: how often memory was given back; read without @lock by
	 * those who wait for that
	 */
	u64 generation;

	/** @closed: nothing is handed out any more */
	bool closed;

	/** @empty: woken when @mems is empty */
	wait_queue_head_t empty;
};

/**
 * struct npu_sram_chunk - contiguous memory
 */
struct npu_sram_chunk {
	/** @pool: where it came from */
	struct gen_pool *pool;

	/** @virt: where the kernel has it mapped, write-combined */
	void __iomem *virt;

	/** @phys: where it is */
	phys_addr_t phys;

	/** @size: bytes, whole pages */
	size_t size;
};

/**
 * struct npu_sram_mem - memory of one owner, made of chunks
 */
struct npu_sram_mem {
	/** @sram: the on-chip memory it is in */
	struct npu_sram *sram;

	/** @node: entry in &npu_sram.mems, once it has chunks */
	struct list_head node;

	/** @owner: who uses it */
	void *owner;

	/** @priority: of its owner, or NPU_SRAM_PINNED */
	s32 priority;

	/** @tried: npu_sram_victim() does not name it again */
	bool tried;

	/** @last_use: when its owner had a use for it last, or NULL */
	const u64 *last_use;

	/** @size: bytes, whole pages */
	u64 size;

	/** @charge: the cgroup it is counted in, or NULL */
	struct dmem_cgroup_pool_state *charge;

	/** @sgt: it as an IOMMU wants it: addresses, but no pages */
	struct sg_table sgt;

	/** @num_chunks: entries of @chunks in use; zero until it is filled */
	unsigned int num_chunks;

	/** @max_chunks: entries of @chunks, one for each page */
	unsigned int max_chunks;

	/** @chunks: what it is made of, in the order of the owner's bytes */
	struct npu_sram_chunk chunks[] __counted_by(max_chunks);
};

void npu_sram_init(struct npu_sram *sram);
void npu_sram_add_pool(struct npu_sram *sram, struct gen_pool *pool);
int npu_sram_probe(struct npu_sram *sram, struct drm_device *drm,
		   struct device_node *node);
void npu_sram_close(struct npu_sram *sram);
void npu_sram_wait_empty(struct npu_sram *sram);

struct npu_sram_mem *npu_sram_alloc(struct npu_sram *sram, u64 size, void *owner,
				    s32 priority, const u64 *last_use);
int npu_sram_fill(struct npu_sram_mem *mem);
void npu_sram_free(struct npu_sram_mem *mem);
void __iomem *npu_sram_page(const struct npu_sram_mem *mem, unsigned long index,
			    phys_addr_t *phys);

bool npu_sram_fits(struct npu_sram *sram, u64 size, s32 priority);
void npu_sram_forget_tries(struct npu_sram *sram);
void *npu_sram_victim(struct npu_sram *sram, s32 priority, bool (*hold)(void *owner));
void npu_sram_info(struct npu_sram *sram, struct drm_npu_sram_info *info);

/**
 * npu_sram_generation() - how often has memory been given back?
 * @sram: the on-chip memory
 *
 * Return: a number that is another one after memory was given back.
 */
static inline u64 npu_sram_generation(const struct npu_sram *sram)
{
	return READ_ONCE(sram->generation);
}

#endif /* __NPU_SRAM_H__ */
