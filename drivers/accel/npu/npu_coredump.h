/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_COREDUMP_H__
#define __NPU_COREDUMP_H__

struct npu_core;
struct npu_core_fault;
struct npu_device;
struct npu_job;

int npu_coredump_init(struct npu_device *npu);
void npu_coredump_flush(struct npu_device *npu);
void npu_coredump_take(struct npu_core *core, const struct npu_core_fault *fault,
		       const struct npu_job *job);

#endif /* __NPU_COREDUMP_H__ */
