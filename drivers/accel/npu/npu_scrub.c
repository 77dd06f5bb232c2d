// SPDX-License-Identifier: GPL-2.0-only

#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/iommu.h>
#include <linux/iopoll.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "npu_core.h"
#include "npu_device.h"
#include "npu_ip.h"
#include "npu_scrub.h"

/**
 * DOC: Scrubbing
 *
 * A task leaves two kinds of things in a core. Registers are put back by a
 * reset. Memory is not: the buffers on the chip that features and weights pass
 * through keep them, and a command stream can ask to compute with what it finds
 * there. That is meant for tasks that share weights, but nothing ties it to
 * those: the next client could read what the last one has worked on. Streams
 * cannot be searched for it, as they lie in memory that userspace writes.
 *
 * So a core that changes from one client to another first runs a task of the
 * kernel's own that puts zeros everywhere. It has a page table of its own, with
 * nothing in it but its stream, one page of zeros that it reads again and again,
 * and a little memory for a result that proves that it has run. The cost is that
 * of filling the buffers once; address spaces of one client do not pay it, and
 * the policy prefers jobs that have no need of it.
 *
 * The same task is the last proof that a core works again after a fault. What
 * the guilty job has left goes with it.
 *
 * Fences wait for this, so nothing is allocated for it, and it is a matter of
 * microseconds: the interrupt stays off and the core is asked.
 */

/* Where it is in its page table; the first page is never mapped. */
#define NPU_SCRUB_VA		SZ_1M
/* What the result is filled with */
#define NPU_SCRUB_FILL		0x5a
/* How often to look, and when it hangs: what computes may be an emulator. */
#define NPU_SCRUB_POLL_US	5
#define NPU_SCRUB_TIMEOUT_US	(NPU_TIMEOUT_MS * USEC_PER_MSEC)

static size_t cmd_space(const struct npu_ip *ip)
{
	return PAGE_ALIGN(ip->scrub_cmd_size);
}

/* What each core has of its own */
static size_t core_space(const struct npu_ip *ip)
{
	return cmd_space(ip) + PAGE_ALIGN(ip->scrub_dst_size);
}

static size_t total_space(const struct npu_device *npu)
{
	return PAGE_SIZE + npu->num_cores * core_space(npu->ip);
}

/* Where the memory of a core begins, after the page of zeros */
static size_t core_offset(const struct npu_device *npu, unsigned int index)
{
	return PAGE_SIZE + index * core_space(npu->ip);
}

static void npu_scrub_fini(struct drm_device *drm, void *data)
{
	struct npu_device *npu = data;
	struct npu_scrub *scrub = &npu->scrub;

	iommu_domain_free(scrub->domain);
	scrub->domain = NULL;
	dma_free_coherent(drm->dev, total_space(npu), scrub->mem, scrub->dma);
}

/* The zeros as often as they are read, then what the cores have. */
static int map_all(struct npu_device *npu, struct iommu_domain *domain)
{
	size_t src_size = PAGE_ALIGN(npu->ip->scrub_src_size);
	dma_addr_t dma = npu->scrub.dma;
	int ret;

	for (size_t at = 0; at < src_size; at += PAGE_SIZE) {
		ret = iommu_map(domain, NPU_SCRUB_VA + at, dma, PAGE_SIZE, IOMMU_READ,
				GFP_KERNEL);
		if (ret)
			return ret;
	}
	return iommu_map(domain, NPU_SCRUB_VA + src_size, dma + PAGE_SIZE,
			 total_space(npu) - PAGE_SIZE, IOMMU_READ | IOMMU_WRITE,
			 GFP_KERNEL);
}

static void write_streams(struct npu_device *npu)
{
	const struct npu_ip *ip = npu->ip;
	u32 va = NPU_SCRUB_VA + PAGE_ALIGN(ip->scrub_src_size);

	for (unsigned int i = 0; i < npu->num_cores; i++, va += core_space(ip)) {
		struct npu_task *task = &npu->scrub.tasks[i];

		task->cmd_va = va;
		ip->ops->scrub(npu->scrub.mem + core_offset(npu, i), NPU_SCRUB_VA,
			       va + cmd_space(ip), NPU_SCRUB_FILL, task);
	}
}

/**
 * npu_scrub_init() - prepare what cores are scrubbed with
 * @npu: the device, not visible yet
 * @dev: one of its cores
 *
 * Calling it again is fine.
 *
 * Return: 0, or a negative error.
 */
int npu_scrub_init(struct npu_device *npu, struct device *dev)
{
	struct npu_scrub *scrub = &npu->scrub;
	struct iommu_domain *domain;
	int ret;

	lockdep_assert_held(&npu->bind_lock);

	if (scrub->domain)
		return 0;

	domain = iommu_paging_domain_alloc(dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);

	/* It comes zeroed. */
	scrub->mem = dma_alloc_coherent(npu->drm.dev, total_space(npu), &scrub->dma,
					GFP_KERNEL);
	if (!scrub->mem) {
		ret = -ENOMEM;
		goto err_domain;
	}

	ret = map_all(npu, domain);
	if (ret)
		goto err_mem;

	write_streams(npu);
	scrub->domain = domain;
	return drmm_add_action_or_reset(&npu->drm, npu_scrub_fini, npu);

err_mem:
	dma_free_coherent(npu->drm.dev, total_space(npu), scrub->mem, scrub->dma);
err_domain:
	iommu_domain_free(domain);
	return ret;
}

/* Runs the task of a core that is attached to its page table. */
static int run(struct npu_core *core)
{
	struct npu_device *npu = core->npu;
	const struct npu_ip_ops *ops = npu->ip->ops;
	const struct npu_task *task = &npu->scrub.tasks[core->index];
	u8 *dst = npu->scrub.mem + core_offset(npu, core->index) + cmd_space(npu->ip);
	u32 events;
	int ret;

	memset(dst, 0, npu->ip->scrub_dst_size);
	scoped_guard(spinlock_irq, &npu->sched.lock)
		ops->start(core, task, 1);

	ret = read_poll_timeout(ops->irq, events, events, NPU_SCRUB_POLL_US,
				NPU_SCRUB_TIMEOUT_US, false, core, task, true);
	if (ret)
		return ret;

	if (!(events & NPU_EVENT_DONE) ||
	    memchr_inv(dst, NPU_SCRUB_FILL, npu->ip->scrub_dst_size))
		return -EIO;
	return 0;
}

/**
 * npu_scrub_core() - overwrite what clients have left in a core
 * @core: the core, powered, just reset, with no address space loaded
 *
 * Return: 0, or a negative error; then the core has been reset again.
 */
int npu_scrub_core(struct npu_core *core)
{
	struct npu_scrub *scrub = &core->npu->scrub;
	int ret;

	lockdep_assert_held(&core->lock);

	/* A core that is bound before the device is complete has no past. */
	if (!scrub->domain)
		return 0;

	disable_irq(core->irq);
	ret = iommu_attach_device(scrub->domain, core->dev);
	if (!ret) {
		ret = run(core);
		if (ret) {
			dev_err_ratelimited(core->dev, "cannot scrub: %d\n", ret);
			npu_core_reset(core);
		} else {
			core->client = 0;
		}
		iommu_detach_device(scrub->domain, core->dev);
	}
	enable_irq(core->irq);
	return ret;
}
