/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Command streams for the "rknn-rk3588" NPU family, and the same arithmetic in
 * plain C. Enough of the encoding for jobs whose every output byte can be
 * predicted, nothing more.
 *
 * Feature tensors are cut into planes of 16 byte atoms: element (c, y, x) of an
 * int8 tensor of width w and height h is at (c / 16) * h * w * 16 +
 * (y * w + x) * 16 + c % 16. All buffers below are in the layout of the
 * hardware; the references read and write the same layout.
 */
#ifndef NPU_RKNN_CMD_H
#define NPU_RKNN_CMD_H

#include <stddef.h>
#include <stdint.h>

#define RKNN_FAMILY		"rknn-rk3588"

/* No stream below is longer; a multiple of 16 bytes. */
#define RKNN_MAX_WORDS		160

/* Values of drm_npu_task.done_unit */
#define RKNN_DONE_DPU		0
#define RKNN_DONE_PPU		1

/* The high half of a command word: which block, and what to do there */
#define RKNN_PC			0x0101
#define RKNN_CNA		0x0201
#define RKNN_CORE		0x0801
#define RKNN_DPU		0x1001
#define RKNN_RDMA		0x2001
#define RKNN_PPU		0x4001
#define RKNN_PPU_RDMA		0x8001
#define RKNN_FENCE		0x0041
#define RKNN_ENABLE		0x0081

/* Registers that tests touch by name */
#define RKNN_PC_OP_EN		0x0008
#define RKNN_PC_BASE		0x0010
#define RKNN_PC_AMOUNT		0x0014
#define RKNN_PC_INT_MASK	0x0020
#define RKNN_PC_INT_CLEAR	0x0024
#define RKNN_PC_TASK_CON	0x0030
#define RKNN_PC_TASK_DMA_BASE	0x0034
#define RKNN_CNA_S_POINTER	0x1004
#define RKNN_CORE_S_POINTER	0x3004
#define RKNN_DPU_S_POINTER	0x4004
#define RKNN_CNA_FEATURES	0x1070
#define RKNN_CNA_WEIGHTS	0x1110
#define RKNN_DPU_OUT		0x4020
#define RKNN_RDMA_A		0x5018
#define RKNN_RDMA_B		0x5038
#define RKNN_RDMA_FEATURE_MODE	0x5044

/* Blocks an enable word starts */
#define RKNN_EN_CONV		0x1d
#define RKNN_EN_EW		0x18
#define RKNN_EN_POOL		0x60

struct rknn_stream {
	uint64_t words[RKNN_MAX_WORDS];
	unsigned int count;
};

/* out[m][n] = sum over k of in[m][k] * weight[n][k], int8 to int32 */
struct rknn_matmul {
	uint32_t m;	/* a multiple of 4 */
	uint32_t k;	/* a multiple of 32 */
	uint32_t n;	/* a multiple of 32 */
	uint32_t in_va;
	uint32_t weight_va;
	uint32_t out_va;
};

/*
 * int8 convolution: the sum of products, plus a bias, plus @sum_factor times
 * the sum of the inputs, times @scale, shifted right by @shift (half to even),
 * plus @offset, saturated to int8.
 */
struct rknn_conv {
	uint32_t w, h;
	uint32_t ic;	/* a multiple of 16 */
	uint32_t oc;	/* a multiple of 32 */
	uint32_t kw, kh;
	uint32_t stride;
	uint32_t pad;	/* left and top; what is padded is zero */
	uint32_t ow, oh;
	int16_t scale;
	uint32_t shift;
	int32_t offset;
	int16_t sum_factor;
	uint32_t in_va;
	uint32_t weight_va;
	uint32_t bias_va;
	uint32_t out_va;
};

enum rknn_ew_op {
	RKNN_EW_MAX = 0,
	RKNN_EW_MIN = 1,
	RKNN_EW_ADD = 2,
};

/* out = a op b on int8, saturating; 16 channels */
struct rknn_ew {
	enum rknn_ew_op op;
	uint32_t w, h;
	uint32_t a_va;
	uint32_t b_va;
	uint32_t out_va;
};

enum rknn_pool_op {
	RKNN_POOL_MAX = 1,
	RKNN_POOL_MIN = 2,
};

/* int8 pooling without padding */
struct rknn_pool {
	enum rknn_pool_op op;
	uint32_t w, h;
	uint32_t c;	/* a multiple of 16 */
	uint32_t kw, kh;
	uint32_t stride;
	uint32_t in_va;
	uint32_t out_va;
};

void rknn_emit(struct rknn_stream *s, uint16_t target, uint32_t reg,
	       uint32_t value);
void rknn_patch(struct rknn_stream *s, uint32_t reg, uint32_t value);
size_t rknn_value_at(const struct rknn_stream *s, uint32_t reg);
void rknn_finish(struct rknn_stream *s, uint32_t enable);
void rknn_link(struct rknn_stream *s, uint32_t va, uint32_t size);
void rknn_unlink(struct rknn_stream *s);

void rknn_matmul_cmd(struct rknn_stream *s, const struct rknn_matmul *op);
void rknn_conv_cmd(struct rknn_stream *s, const struct rknn_conv *op);
void rknn_ew_cmd(struct rknn_stream *s, const struct rknn_ew *op);
void rknn_pool_cmd(struct rknn_stream *s, const struct rknn_pool *op);

size_t rknn_matmul_in_size(const struct rknn_matmul *op);
size_t rknn_matmul_weight_size(const struct rknn_matmul *op);
size_t rknn_matmul_out_size(const struct rknn_matmul *op);
size_t rknn_conv_in_size(const struct rknn_conv *op);
size_t rknn_conv_weight_size(const struct rknn_conv *op);
size_t rknn_conv_out_size(const struct rknn_conv *op);
size_t rknn_ew_size(const struct rknn_ew *op);
uint32_t rknn_pool_ow(const struct rknn_pool *op);
uint32_t rknn_pool_oh(const struct rknn_pool *op);
size_t rknn_pool_in_size(const struct rknn_pool *op);
size_t rknn_pool_out_size(const struct rknn_pool *op);

void rknn_matmul_ref(const struct rknn_matmul *op, const int8_t *in,
		     const int8_t *weight, int32_t *out);
void rknn_conv_ref(const struct rknn_conv *op, const int8_t *in,
		   const int8_t *weight, const int32_t *bias, int8_t *out);
void rknn_ew_ref(const struct rknn_ew *op, const int8_t *a, const int8_t *b,
		 int8_t *out);
void rknn_pool_ref(const struct rknn_pool *op, const int8_t *in, int8_t *out);

#endif /* NPU_RKNN_CMD_H */
