/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_SCRUB_H__
#define __NPU_SCRUB_H__

#include <linux/types.h>

#include "npu_sched.h"
#include "npu_task.h"

struct iommu_domain;
struct npu_core;
struct npu_device;

/**
 * struct npu_scrub - what a device scrubs its cores with
 */
struct npu_scrub {
	/** @domain: page table of its own */
	struct iommu_domain *domain;

	/** @mem: a page of zeros, then a stream and its result for each core */
	void *mem;

	/** @dma: address of @mem for devices */
	dma_addr_t dma;

	/** @tasks: what to run, for each core */
	struct npu_task tasks[NPU_MAX_CORES];
};

int npu_scrub_init(struct npu_device *npu, struct device *dev);
int npu_scrub_core(struct npu_core *core);

#endif /* __NPU_SCRUB_H__ */
