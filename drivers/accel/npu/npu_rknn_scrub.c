// SPDX-License-Identifier: GPL-2.0-only

#include <linux/array_size.h>
#include <linux/bitfield.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#include <asm/byteorder.h>

#include "npu_rknn_regs.h"
#include "npu_rknn_scrub.h"
#include "npu_task.h"

/**
 * DOC: Scrubbing an RKNN core
 *
 * What a reset leaves alone is the CBUF, 12 banks of 32 KiB that features and
 * weights share. The task that clears it is a convolution of 4 x 8 pixels of
 * 6144 channels with 32 kernels of one pixel: 192 KiB of features in the first
 * six banks and 192 KiB of weights in the others, each byte read exactly once.
 * So many channels keep it short: the products take less time than the reads,
 * and those are as few as they can be. In passing it also goes through the
 * accumulators of all kernels of a group.
 *
 * As features and weights are zero, each output is the offset of the output
 * converter, which is how a result that has been computed is told from memory
 * that nobody has written.
 *
 * The registers are those that the known streams of this family write, with
 * their values where size does not matter; those that keep zero are left out.
 */

#define WIDTH		4
#define HEIGHT		8
#define CHANNELS	6144
#define KERNELS		32
#define PIXELS		(WIDTH * HEIGHT)
#define BANKS		6
#define ATOM		16	/* bytes of a pixel in one plane */

static_assert(PIXELS * CHANNELS == RKNN_SCRUB_SRC_SIZE);
static_assert(KERNELS * CHANNELS == RKNN_SCRUB_SRC_SIZE);
static_assert(PIXELS * KERNELS == RKNN_SCRUB_DST_SIZE);

/* A register, by its offset in the window of the core, and what it gets */
struct reg_value {
	u16 reg;
	u32 value;
};

static const struct reg_value cna_regs[] = {
	{ CNA_CONV_CON2, FIELD_PREP_CONST(CNA_CONV_CON2_GRAINS, 52) },
	{ CNA_CONV_CON3, CNA_CONV_CON3_STRIDE_1 },
	{ CNA_DATA_SIZE0, WIDTH << 16 | HEIGHT },
	{ CNA_DATA_SIZE1, (CHANNELS - 1) << 16 | CHANNELS },
	{ CNA_DATA_SIZE2, WIDTH },
	{ CNA_DATA_SIZE3, PIXELS },
	{ CNA_WEIGHT_SIZE0, KERNELS * CHANNELS },
	{ CNA_WEIGHT_SIZE1, CHANNELS },
	{ CNA_WEIGHT_SIZE2, 1 << 24 | 1 << 16 | KERNELS },
	{ CNA_CBUF_CON0, FIELD_PREP_CONST(CNA_CBUF_CON0_WEIGHT_BANKS, BANKS) |
			 FIELD_PREP_CONST(CNA_CBUF_CON0_DATA_BANKS, BANKS) },
	{ CNA_CBUF_CON1, WIDTH * CHANNELS / 64 },
	{ CNA_CVT_CON0, CNA_CVT_CON0_NONE },
	{ CNA_CVT_CON1, CNA_CVT_CON1_SCALE_1 },
	{ CNA_CVT_CON2, CNA_CVT_CON1_SCALE_1 },
	{ CNA_CVT_CON3, CNA_CVT_CON1_SCALE_1 },
	{ CNA_CVT_CON4, CNA_CVT_CON1_SCALE_1 },
	{ CNA_DMA_CON0, CNA_DMA_CON0_LONG_BURSTS },
	{ CNA_DMA_CON1, 4 * WIDTH },
	{ CNA_DMA_CON2, PIXELS - 4 * WIDTH },
	{ CNA_FC_DATA_SIZE0, WIDTH << 16 | HEIGHT },
	{ CNA_FC_DATA_SIZE1, CHANNELS },
	{ CORE_DATAOUT_SIZE_0, (HEIGHT - 1) << 16 | (WIDTH - 1) },
	{ CORE_DATAOUT_SIZE_1, KERNELS - 1 },
};

static const struct reg_value dpu_regs[] = {
	{ DPU_S_POINTER, UNIT_S_POINTER_PINGPONG },
	{ RDMA_S_POINTER, UNIT_S_POINTER_PINGPONG },
	{ DPU_FEATURE_MODE, DPU_FEATURE_MODE_CONV_TO_MEMORY },
	{ DPU_DST_SURF_STRIDE, PIXELS * ATOM },
	{ DPU_CUBE_WIDTH, WIDTH - 1 },
	{ DPU_CUBE_HEIGHT, HEIGHT - 1 },
	{ DPU_CUBE_CHANNEL, (KERNELS - 1) << 16 | (KERNELS - 1) },
	{ DPU_BS_CFG, DPU_BS_CFG_BYPASS },
	{ DPU_BS_OW_CFG, DPU_BS_OW_CFG_SIZE_E_1 | DPU_BS_OW_CFG_OD_BYPASS },
	{ DPU_WDMA_SIZE_0, KERNELS - 1 },
	{ DPU_WDMA_SIZE_1, (HEIGHT - 1) << 16 | (WIDTH - 1) },
	{ DPU_BN_CFG, DPU_BS_CFG_BYPASS },
	{ DPU_EW_CFG, DPU_EW_CFG_BYPASS },
	{ DPU_EW_CVT_SCALE, 1 },
	{ DPU_OUT_CVT_SCALE, 1 },
	{ DPU_SURFACE_ADD, 2 * PIXELS * ATOM },
	{ RDMA_CUBE_WIDTH, WIDTH - 1 },
	{ RDMA_CUBE_HEIGHT, HEIGHT - 1 },
	{ RDMA_CUBE_CHANNEL, KERNELS - 1 },
	{ RDMA_ERDMA_CFG, RDMA_ERDMA_CFG_DISABLE },
	{ RDMA_FEATURE_MODE, RDMA_FEATURE_MODE_NO_MRDMA },
	{ RDMA_WEIGHT, RDMA_WEIGHT_EQUAL },
};

/* Each unit has a page of the window, and a bit in the high half of a word. */
static __le64 *emit(__le64 *cmd, u32 reg, u32 value)
{
	u64 unit = BIT(8 + (reg >> 12)) | STREAM_TARGET_WRITE;

	*cmd++ = cpu_to_le64(FIELD_PREP(STREAM_TARGET, unit) |
			     FIELD_PREP(STREAM_VALUE, value) |
			     FIELD_PREP(STREAM_OFFSET, reg));
	return cmd;
}

static __le64 *emit_all(__le64 *cmd, const struct reg_value *regs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cmd = emit(cmd, regs[i].reg, regs[i].value);
	return cmd;
}

/* What ends a stream: no link to another one, and the start of the units */
static __le64 *emit_end(__le64 *cmd)
{
	*cmd++ = 0;
	cmd = emit(cmd, PC_REGISTER_AMOUNTS, 0);
	*cmd++ = cpu_to_le64(FIELD_PREP(STREAM_TARGET, STREAM_TARGET_FENCE));
	*cmd++ = cpu_to_le64(FIELD_PREP(STREAM_TARGET, STREAM_TARGET_ENABLE) |
			     FIELD_PREP(STREAM_VALUE, STREAM_VALUE_CONV) |
			     FIELD_PREP(STREAM_OFFSET, PC_OPERATION_ENABLE));
	return cmd;
}

/**
 * rknn_scrub() - &npu_ip_ops.scrub
 * @cmd: where the stream goes
 * @src_va: zeros
 * @dst_va: the result
 * @fill: what the result is filled with
 * @task: the task to complete
 */
void rknn_scrub(void *cmd, u32 src_va, u32 dst_va, s8 fill, struct npu_task *task)
{
	__le64 *end = cmd;

	BUILD_BUG_ON((ARRAY_SIZE(cna_regs) + ARRAY_SIZE(dpu_regs) + 8) *
		     sizeof(*end) > RKNN_SCRUB_CMD_SIZE);

	end = emit_all(end, cna_regs, ARRAY_SIZE(cna_regs));
	end = emit(end, CNA_FEATURE_ADDR, src_va);
	end = emit(end, CNA_DCOMP_ADDR0, src_va);
	end = emit_all(end, dpu_regs, ARRAY_SIZE(dpu_regs));
	end = emit(end, DPU_DST_BASE, dst_va);
	end = emit(end, DPU_OUT_CVT_OFFSET, fill);
	end = emit_end(end);

	task->cmd_size = (void *)end - cmd;
	task->done_unit = RKNN_DONE_DPU;
}
