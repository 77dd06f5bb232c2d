/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_RKNN_SCRUB_H__
#define __NPU_RKNN_SCRUB_H__

#include <linux/sizes.h>
#include <linux/types.h>

struct npu_task;

/* Half of the buffer for features, the other half for weights: 6 banks each */
#define RKNN_SCRUB_SRC_SIZE	(6 * SZ_32K)
/* The result: 4 x 8 pixels of 32 channels, a byte each */
#define RKNN_SCRUB_DST_SIZE	SZ_1K
/* Room for the stream */
#define RKNN_SCRUB_CMD_SIZE	SZ_1K

void rknn_scrub(void *cmd, u32 src_va, u32 dst_va, s8 fill, struct npu_task *task);

#endif /* __NPU_RKNN_SCRUB_H__ */
