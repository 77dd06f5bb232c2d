/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_FAULT_H__
#define __NPU_FAULT_H__

#include <linux/types.h>

struct device;
struct iommu_domain;
struct npu_core;
struct work_struct;

void npu_fault_raise_locked(struct npu_core *core, int error);
void npu_fault_stream_locked(struct npu_core *core);
int npu_fault_iommu(struct iommu_domain *domain, struct device *dev,
		    unsigned long va, int flags, void *token);
void npu_fault_recover_work(struct work_struct *work);
void npu_fault_watch_locked(struct npu_core *core);
void npu_fault_watchdog_work(struct work_struct *work);

#endif /* __NPU_FAULT_H__ */
