// SPDX-License-Identifier: GPL-2.0-only
/*
 * Command streams for the "rknn" NPU family and their references in plain C.
 *
 * Every register of every block that an operation enables is written: the
 * hardware keeps what an earlier task left in those that are not.
 */
#include <assert.h>
#include <string.h>

#include "npu_rknn_cmd.h"

#define ATOM		16
#define CBUF_BANKS	12
#define CBUF_BANK	32768u
#define DIV_UP(a, b)	(((a) + (b) - 1) / (b))

/* Both register groups in turn; the executer moves to the next by itself */
#define POINTER_PINGPONG	0xe

void rknn_emit(struct rknn_stream *s, uint16_t target, uint32_t reg,
	       uint32_t value)
{
	assert(s->count < RKNN_MAX_WORDS);
	s->words[s->count++] = (uint64_t)target << 48 |
			       (uint64_t)value << 16 | (reg & 0xffff);
}

/* Gives another value to a register that the stream writes already */
void rknn_patch(struct rknn_stream *s, uint32_t reg, uint32_t value)
{
	unsigned int i, hits = 0;

	for (i = 0; i < s->count; i++) {
		if (!s->words[i] || (s->words[i] & 0xffff) != reg)
			continue;
		s->words[i] &= ~0x0000ffffffff0000ull;
		s->words[i] |= (uint64_t)value << 16;
		hits++;
	}
	assert(hits);
}

/* Byte offset in the stream of the value that a register is given, 32 bits */
size_t rknn_value_at(const struct rknn_stream *s, uint32_t reg)
{
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		if (s->words[i] && (s->words[i] & 0xffff) == reg)
			return i * sizeof(s->words[0]) + sizeof(uint16_t);
	}
	assert(0);
	return 0;
}

/* The last words of a stream, which start the blocks; the count becomes even */
void rknn_finish(struct rknn_stream *s, uint32_t enable)
{
	if (s->count % 2)
		rknn_emit(s, 0, 0, 0);
	rknn_emit(s, 0, 0, 0);
	rknn_emit(s, RKNN_PC, RKNN_PC_AMOUNT, 0);
	rknn_emit(s, RKNN_FENCE, 0, 0);
	rknn_emit(s, RKNN_ENABLE, RKNN_PC_OP_EN, enable);
}

/* Names the stream that the hardware goes on with, in the words left for that */
void rknn_link(struct rknn_stream *s, uint32_t va, uint32_t size)
{
	unsigned int end = s->count;

	assert(end >= 4);
	s->count = end - 4;
	rknn_emit(s, RKNN_PC, RKNN_PC_BASE, va);
	rknn_emit(s, RKNN_PC, RKNN_PC_AMOUNT, DIV_UP(size, 16) - 1);
	s->count = end;
}

/* Leaves those words empty */
void rknn_unlink(struct rknn_stream *s)
{
	assert(s->count >= 4);
	memset(&s->words[s->count - 4], 0, 2 * sizeof(s->words[0]));
}

/* What a convolution and a matrix product differ in */
struct conv_regs {
	uint32_t w, h, ic, oc;
	uint32_t kw, kh, stride, pad;
	uint32_t ow, oh;
	uint32_t entries;	/* buffer space of one input row, 64 byte units */
	uint32_t spare_banks;
	uint32_t in_va, weight_va, bias_va, out_va;
	uint32_t qd;		/* also sum up the input features */
	uint32_t out_prec;
	uint32_t size_e;
	uint32_t bs_cfg, ow_cfg, ow_op, brdma;
	uint32_t cvt_offset, cvt_scale, cvt_shift;
};

static void emit_range(struct rknn_stream *s, uint16_t target, uint32_t first,
		       uint32_t last, uint32_t value)
{
	uint32_t reg;

	for (reg = first; reg <= last; reg += 4)
		rknn_emit(s, target, reg, value);
}

/* Features take the banks they need, weights the rest */
static uint32_t cbuf_con0(const struct conv_regs *r)
{
	uint32_t data = DIV_UP(r->w * r->h * r->ic, CBUF_BANK) + r->spare_banks;

	assert(data < CBUF_BANKS);
	return (CBUF_BANKS - data) << 4 | data;
}

static void emit_cna_sizes(struct rknn_stream *s, const struct conv_regs *r)
{
	uint32_t kernel = r->kw * r->kh * r->ic;

	rknn_emit(s, RKNN_CNA, 0x100c, 0);
	rknn_emit(s, RKNN_CNA, 0x1010, (50 + r->stride + 1) << 4);
	rknn_emit(s, RKNN_CNA, 0x1014, r->stride << 3 | r->stride);
	rknn_emit(s, RKNN_CNA, 0x1020, r->w << 16 | r->h);
	rknn_emit(s, RKNN_CNA, 0x1024, (r->ic - 1) << 16 | r->ic);
	rknn_emit(s, RKNN_CNA, 0x1028, r->ow);
	rknn_emit(s, RKNN_CNA, 0x102c, r->ow * r->oh);
	rknn_emit(s, RKNN_CNA, 0x1030, kernel * r->oc);
	rknn_emit(s, RKNN_CNA, 0x1034, kernel);
	rknn_emit(s, RKNN_CNA, 0x1038, r->kw << 24 | r->kh << 16 | r->oc);
	rknn_emit(s, RKNN_CNA, 0x1040, cbuf_con0(r));
	rknn_emit(s, RKNN_CNA, 0x1044, r->entries);
}

static void emit_cna(struct rknn_stream *s, const struct conv_regs *r)
{
	uint32_t line = 4 * r->w;

	emit_cna_sizes(s, r);
	rknn_emit(s, RKNN_CNA, 0x104c, 0xb);		/* no input conversion */
	emit_range(s, RKNN_CNA, 0x1050, 0x105c, 1 << 16);
	rknn_emit(s, RKNN_CNA, 0x1060, 0);
	rknn_emit(s, RKNN_CNA, 0x1064, 0);
	rknn_emit(s, RKNN_CNA, 0x1068, r->pad << 4 | r->pad);
	rknn_emit(s, RKNN_CNA, 0x1070, r->in_va);
	rknn_emit(s, RKNN_CNA, 0x1074, 0);
	rknn_emit(s, RKNN_CNA, 0x1078, 0x000f000f);
	rknn_emit(s, RKNN_CNA, 0x107c, line);
	rknn_emit(s, RKNN_CNA, 0x1080, (r->w * r->h - line) & 0x0fffffff);
	rknn_emit(s, RKNN_CNA, 0x1084, r->w << 16 | r->h);
	rknn_emit(s, RKNN_CNA, 0x1088, r->ic);
	rknn_emit(s, RKNN_CNA, 0x1100, 0);		/* dense weights */
	rknn_emit(s, RKNN_CNA, 0x1104, 0);
	rknn_emit(s, RKNN_CNA, 0x1110, r->weight_va);
	emit_range(s, RKNN_CNA, 0x1140, 0x117c, 0);
	rknn_emit(s, RKNN_CNA, 0x1180, 0);
	rknn_emit(s, RKNN_CNA, 0x1184, 0);		/* padding is zero */
}

static void emit_core(struct rknn_stream *s, const struct conv_regs *r)
{
	rknn_emit(s, RKNN_CORE, 0x3010, r->qd);
	rknn_emit(s, RKNN_CORE, 0x3014, (r->oh - 1) << 16 | (r->ow - 1));
	rknn_emit(s, RKNN_CORE, 0x3018, r->oc - 1);
	rknn_emit(s, RKNN_CORE, 0x301c, 0);
	rknn_emit(s, RKNN_CORE, 0x3030, 0);
}

/* The parts of the DPU that say where results go */
static void emit_dpu_cube(struct rknn_stream *s, uint32_t dst, uint32_t w,
			  uint32_t h, uint32_t c, uint32_t group)
{
	rknn_emit(s, RKNN_DPU, 0x4014, 0);
	rknn_emit(s, RKNN_DPU, 0x4020, dst);
	rknn_emit(s, RKNN_DPU, 0x4024, w * h << 4);
	rknn_emit(s, RKNN_DPU, 0x4030, w - 1);
	rknn_emit(s, RKNN_DPU, 0x4034, h - 1);
	rknn_emit(s, RKNN_DPU, 0x4038, 0);
	rknn_emit(s, RKNN_DPU, 0x403c, (c - 1) << 16 | (c - 1));
	rknn_emit(s, RKNN_DPU, 0x4058, c - 1);
	rknn_emit(s, RKNN_DPU, 0x405c, (h - 1) << 16 | (w - 1));
	rknn_emit(s, RKNN_DPU, 0x40c0, w * h * group << 4);
	rknn_emit(s, RKNN_DPU, 0x40c4, 0);
}

static void emit_dpu_stages(struct rknn_stream *s, uint32_t bs_cfg,
			    uint32_t ow_cfg, uint32_t ow_op, uint32_t ew_cfg)
{
	rknn_emit(s, RKNN_DPU, 0x4040, bs_cfg);
	emit_range(s, RKNN_DPU, 0x4044, 0x404c, 0);
	rknn_emit(s, RKNN_DPU, 0x4050, ow_cfg);
	rknn_emit(s, RKNN_DPU, 0x4054, ow_op & 0xffff);
	rknn_emit(s, RKNN_DPU, 0x4060, 0x53);		/* BN bypassed */
	emit_range(s, RKNN_DPU, 0x4064, 0x406c, 0);
	rknn_emit(s, RKNN_DPU, 0x4070, ew_cfg);
	rknn_emit(s, RKNN_DPU, 0x4074, 0);
	rknn_emit(s, RKNN_DPU, 0x4078, 1);
	rknn_emit(s, RKNN_DPU, 0x407c, 0);
}

static void emit_dpu_out(struct rknn_stream *s, uint32_t offset, uint32_t scale,
			 uint32_t shift)
{
	rknn_emit(s, RKNN_DPU, 0x4080, offset);
	rknn_emit(s, RKNN_DPU, 0x4084, scale & 0xffff);
	rknn_emit(s, RKNN_DPU, 0x4088, shift);
	emit_range(s, RKNN_DPU, 0x4090, 0x40ac, 0);
	emit_range(s, RKNN_DPU, 0x4100, 0x412c, 0);	/* no lookup table */
}

static void emit_rdma_cube(struct rknn_stream *s, uint32_t w, uint32_t h,
			   uint32_t c)
{
	rknn_emit(s, RKNN_RDMA, 0x500c, w - 1);
	rknn_emit(s, RKNN_RDMA, 0x5010, h - 1);
	rknn_emit(s, RKNN_RDMA, 0x5014, c - 1);
}

/* The read side of a convolution: at most a bias, never a second tensor */
static void emit_rdma_conv(struct rknn_stream *s, const struct conv_regs *r)
{
	emit_rdma_cube(s, r->ow, r->oh, r->oc);
	rknn_emit(s, RKNN_RDMA, 0x5018, 0);
	rknn_emit(s, RKNN_RDMA, 0x501c, r->brdma);
	rknn_emit(s, RKNN_RDMA, 0x5020, r->bias_va);
	rknn_emit(s, RKNN_RDMA, 0x5028, 0);
	rknn_emit(s, RKNN_RDMA, 0x502c, 0);
	rknn_emit(s, RKNN_RDMA, 0x5034, 1);
	rknn_emit(s, RKNN_RDMA, 0x5038, 0);
	rknn_emit(s, RKNN_RDMA, 0x5040, 0);
	rknn_emit(s, RKNN_RDMA, RKNN_RDMA_FEATURE_MODE, 0x7810);
	rknn_emit(s, RKNN_RDMA, 0x5048, 0);
	rknn_emit(s, RKNN_RDMA, 0x504c, 0);
	rknn_emit(s, RKNN_RDMA, 0x5064, 0);
	rknn_emit(s, RKNN_RDMA, 0x5068, 0x01010101);
	rknn_emit(s, RKNN_RDMA, 0x506c, 0);
}

static void emit_conv(struct rknn_stream *s, const struct conv_regs *r)
{
	s->count = 0;
	rknn_emit(s, RKNN_DPU, 0x4004, POINTER_PINGPONG);
	rknn_emit(s, RKNN_RDMA, 0x5004, POINTER_PINGPONG);
	emit_cna(s, r);
	emit_core(s, r);
	rknn_emit(s, RKNN_DPU, 0x400c, 0x1e4);
	rknn_emit(s, RKNN_DPU, 0x4010, r->out_prec << 29);
	emit_dpu_cube(s, r->out_va, r->ow, r->oh, r->oc, r->size_e + 1);
	emit_dpu_stages(s, r->bs_cfg,
			r->ow_cfg | r->size_e << 8 | r->size_e << 5 |
			r->size_e << 2, r->ow_op, 0x383);
	emit_dpu_out(s, r->cvt_offset, r->cvt_scale, r->cvt_shift);
	emit_rdma_conv(s, r);
	rknn_finish(s, RKNN_EN_CONV);
}

void rknn_matmul_cmd(struct rknn_stream *s, const struct rknn_matmul *op)
{
	struct conv_regs r = {
		.w = 1, .h = op->m, .ic = op->k, .oc = op->n,
		.kw = 1, .kh = 1, .stride = 1,
		.ow = 1, .oh = op->m,
		.entries = DIV_UP(op->k, 64),
		.spare_banks = 1,	/* needed at input width 1 */
		.in_va = op->in_va,
		.weight_va = op->weight_va,
		.out_va = op->out_va,
		.out_prec = 4,		/* int32 */
		.size_e = 7,
		.bs_cfg = 0x53,
		.ow_cfg = 1 << 1,	/* no input sum */
		.cvt_scale = 1,
	};

	emit_conv(s, &r);
}

void rknn_conv_cmd(struct rknn_stream *s, const struct rknn_conv *op)
{
	struct conv_regs r = {
		.w = op->w, .h = op->h, .ic = op->ic, .oc = op->oc,
		.kw = op->kw, .kh = op->kh,
		.stride = op->stride, .pad = op->pad,
		.ow = op->ow, .oh = op->oh,
		.entries = DIV_UP(op->w * 2 * DIV_UP(op->ic, ATOM), 8),
		.in_va = op->in_va,
		.weight_va = op->weight_va,
		.bias_va = op->bias_va,
		.out_va = op->out_va,
		.qd = 1,
		.size_e = 1,
		.bs_cfg = 0x20150,	/* add the bias, nothing else */
		.ow_op = (uint16_t)op->sum_factor,
		.brdma = 0x2,
		.cvt_offset = op->offset,
		.cvt_scale = (uint16_t)op->scale,
		.cvt_shift = op->shift,
	};

	emit_conv(s, &r);
}

void rknn_ew_cmd(struct rknn_stream *s, const struct rknn_ew *op)
{
	uint32_t plane = op->w * op->h << 4;

	s->count = 0;
	rknn_emit(s, RKNN_DPU, 0x4004, POINTER_PINGPONG);
	rknn_emit(s, RKNN_RDMA, 0x5004, POINTER_PINGPONG);
	rknn_emit(s, RKNN_DPU, 0x400c, 0x1e5);		/* input from memory */
	rknn_emit(s, RKNN_DPU, 0x4010, 0);
	emit_dpu_cube(s, op->out_va, op->w, op->h, ATOM, 2);
	emit_dpu_stages(s, 0x53, 0x126, 0, 1u << 28 | 1 << 22 |
			(uint32_t)op->op << 16 | 0x3c0);
	emit_dpu_out(s, 0, 1, 0);
	emit_rdma_cube(s, op->w, op->h, ATOM);
	rknn_emit(s, RKNN_RDMA, 0x5018, op->a_va);
	rknn_emit(s, RKNN_RDMA, 0x501c, 0);
	rknn_emit(s, RKNN_RDMA, 0x5020, 0);
	rknn_emit(s, RKNN_RDMA, 0x5028, 0);
	rknn_emit(s, RKNN_RDMA, 0x502c, 0);
	rknn_emit(s, RKNN_RDMA, 0x5034, 1u << 30 | 1 << 2);
	rknn_emit(s, RKNN_RDMA, 0x5038, op->b_va);
	rknn_emit(s, RKNN_RDMA, 0x5040, plane);
	rknn_emit(s, RKNN_RDMA, RKNN_RDMA_FEATURE_MODE, 0x7801);
	rknn_emit(s, RKNN_RDMA, 0x5048, 0);
	rknn_emit(s, RKNN_RDMA, 0x504c, 0);
	rknn_emit(s, RKNN_RDMA, 0x5064, 0);
	rknn_emit(s, RKNN_RDMA, 0x5068, 0x01010101);
	rknn_emit(s, RKNN_RDMA, 0x506c, 0);
	rknn_finish(s, RKNN_EN_EW);
}

static void emit_ppu(struct rknn_stream *s, const struct rknn_pool *op)
{
	uint32_t ow = rknn_pool_ow(op), oh = rknn_pool_oh(op);

	rknn_emit(s, RKNN_PPU, 0x600c, op->w - 1);
	rknn_emit(s, RKNN_PPU, 0x6010, op->h - 1);
	rknn_emit(s, RKNN_PPU, 0x6014, op->c - 1);
	rknn_emit(s, RKNN_PPU, 0x6018, ow - 1);
	rknn_emit(s, RKNN_PPU, 0x601c, oh - 1);
	rknn_emit(s, RKNN_PPU, 0x6020, op->c - 1);
	rknn_emit(s, RKNN_PPU, 0x6024, 1 << 4 | op->op);
	rknn_emit(s, RKNN_PPU, 0x6034,
		  (op->kw - 1) | (op->kh - 1) << 8 |
		  (op->stride - 1) << 16 | (op->stride - 1) << 20);
	rknn_emit(s, RKNN_PPU, 0x6038, 0);
	rknn_emit(s, RKNN_PPU, 0x603c, 0);
	rknn_emit(s, RKNN_PPU, 0x6040, 0);
	rknn_emit(s, RKNN_PPU, 0x6044, 0);
	rknn_emit(s, RKNN_PPU, 0x6048, 0);
	rknn_emit(s, RKNN_PPU, 0x6070, op->out_va);
	rknn_emit(s, RKNN_PPU, 0x607c, ow * oh * ATOM);
	rknn_emit(s, RKNN_PPU, 0x6084, ow * oh * ATOM);
	rknn_emit(s, RKNN_PPU, 0x60dc, 3);
}

void rknn_pool_cmd(struct rknn_stream *s, const struct rknn_pool *op)
{
	s->count = 0;
	rknn_emit(s, RKNN_PPU, 0x6004, POINTER_PINGPONG);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7004, POINTER_PINGPONG);
	emit_ppu(s, op);
	rknn_emit(s, RKNN_PPU_RDMA, 0x700c, op->w - 1);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7010, op->h - 1);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7014, op->c - 1);
	rknn_emit(s, RKNN_PPU_RDMA, 0x701c, op->in_va);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7024, op->w * ATOM);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7028, op->w * op->h * ATOM);
	rknn_emit(s, RKNN_PPU_RDMA, 0x7030, 1);		/* 8 bits */
	rknn_finish(s, RKNN_EN_POOL);
}

size_t rknn_matmul_in_size(const struct rknn_matmul *op)
{
	return (size_t)op->m * op->k;
}

size_t rknn_matmul_weight_size(const struct rknn_matmul *op)
{
	return (size_t)op->k * op->n;
}

size_t rknn_matmul_out_size(const struct rknn_matmul *op)
{
	return (size_t)op->m * op->n * sizeof(int32_t);
}

size_t rknn_conv_in_size(const struct rknn_conv *op)
{
	return (size_t)op->w * op->h * op->ic;
}

size_t rknn_conv_weight_size(const struct rknn_conv *op)
{
	return (size_t)op->kw * op->kh * op->ic * op->oc;
}

size_t rknn_conv_out_size(const struct rknn_conv *op)
{
	return (size_t)op->ow * op->oh * op->oc;
}

size_t rknn_ew_size(const struct rknn_ew *op)
{
	return (size_t)op->w * op->h * ATOM;
}

uint32_t rknn_pool_ow(const struct rknn_pool *op)
{
	return (op->w - op->kw) / op->stride + 1;
}

uint32_t rknn_pool_oh(const struct rknn_pool *op)
{
	return (op->h - op->kh) / op->stride + 1;
}

size_t rknn_pool_in_size(const struct rknn_pool *op)
{
	return (size_t)op->w * op->h * op->c;
}

size_t rknn_pool_out_size(const struct rknn_pool *op)
{
	return (size_t)rknn_pool_ow(op) * rknn_pool_oh(op) * op->c;
}

static size_t feature_at(uint32_t w, uint32_t h, uint32_t c, uint32_t y,
			 uint32_t x)
{
	return ((size_t)(c / ATOM) * h * w + y * w + x) * ATOM + c % ATOM;
}

static int32_t saturate8(int64_t v)
{
	return v > 127 ? 127 : v < -128 ? -128 : v;
}

/* Right shift that rounds to nearest, halves to the even neighbour */
static int64_t shift_rne(int64_t v, uint32_t shift)
{
	int64_t floor, rest, half;

	if (!shift)
		return v;
	half = 1ll << (shift - 1);
	floor = v >> shift;
	rest = v - (floor << shift);
	if (rest > half || (rest == half && (floor & 1)))
		floor++;
	return floor;
}

void rknn_matmul_ref(const struct rknn_matmul *op, const int8_t *in,
		     const int8_t *weight, int32_t *out)
{
	uint32_t m, n, k;

	for (n = 0; n < op->n; n++) {
		for (m = 0; m < op->m; m++) {
			int32_t sum = 0;

			for (k = 0; k < op->k; k++) {
				const int8_t *w = weight +
					((n / 32) * (op->k / 32) + k / 32) * 1024;

				sum += in[feature_at(1, op->m, k, m, 0)] *
				       w[(n % 32) * 32 + k % 32];
			}
			out[(n / 4 * op->m + m) * 4 + n % 4] = sum;
		}
	}
}

static size_t conv_weight_at(const struct rknn_conv *op, uint32_t oc,
			     uint32_t ic, uint32_t ky, uint32_t kx)
{
	uint32_t left = op->ic - ic / 32 * 32;
	uint32_t width = left < 32 ? left : 32;
	size_t taps = op->kw * op->kh;
	size_t pos = (size_t)(oc / 32) * 32 * taps * op->ic;

	pos += (size_t)(ic / 32) * 32 * taps * 32;
	pos += ((ky * op->kw + kx) * 32 + oc % 32) * width;
	return pos + ic % 32;
}

/* One output value before it is scaled */
static int64_t conv_sum(const struct rknn_conv *op, const int8_t *in,
			const int8_t *weight, uint32_t oc, uint32_t oy,
			uint32_t ox)
{
	int64_t acc = 0, inputs = 0;
	uint32_t ky, kx, ic;

	for (ky = 0; ky < op->kh; ky++) {
		for (kx = 0; kx < op->kw; kx++) {
			int32_t y = (int32_t)(oy * op->stride + ky - op->pad);
			int32_t x = (int32_t)(ox * op->stride + kx - op->pad);

			if (y < 0 || x < 0 || y >= (int32_t)op->h ||
			    x >= (int32_t)op->w)
				continue;
			for (ic = 0; ic < op->ic; ic++) {
				int8_t v = in[feature_at(op->w, op->h, ic, y, x)];

				acc += v * weight[conv_weight_at(op, oc, ic, ky, kx)];
				inputs += v;
			}
		}
	}
	return acc + op->sum_factor * inputs;
}

void rknn_conv_ref(const struct rknn_conv *op, const int8_t *in,
		   const int8_t *weight, const int32_t *bias, int8_t *out)
{
	uint32_t oc, y, x;
	int64_t v;

	for (oc = 0; oc < op->oc; oc++) {
		for (y = 0; y < op->oh; y++) {
			for (x = 0; x < op->ow; x++) {
				v = conv_sum(op, in, weight, oc, y, x) + bias[oc];
				v = shift_rne(v * op->scale, op->shift);
				out[feature_at(op->ow, op->oh, oc, y, x)] =
					saturate8(v + op->offset);
			}
		}
	}
}

void rknn_ew_ref(const struct rknn_ew *op, const int8_t *a, const int8_t *b,
		 int8_t *out)
{
	size_t i, size = rknn_ew_size(op);

	for (i = 0; i < size; i++) {
		switch (op->op) {
		case RKNN_EW_MAX:
			out[i] = a[i] > b[i] ? a[i] : b[i];
			break;
		case RKNN_EW_MIN:
			out[i] = a[i] < b[i] ? a[i] : b[i];
			break;
		case RKNN_EW_ADD:
			out[i] = saturate8(a[i] + b[i]);
			break;
		}
	}
}

static int8_t pool_window(const struct rknn_pool *op, const int8_t *in,
			  uint32_t c, uint32_t oy, uint32_t ox)
{
	uint32_t ky, kx;
	int8_t best = op->op == RKNN_POOL_MAX ? -128 : 127;

	for (ky = 0; ky < op->kh; ky++) {
		for (kx = 0; kx < op->kw; kx++) {
			int8_t v = in[feature_at(op->w, op->h, c,
						 oy * op->stride + ky,
						 ox * op->stride + kx)];

			if (op->op == RKNN_POOL_MAX ? v > best : v < best)
				best = v;
		}
	}
	return best;
}

void rknn_pool_ref(const struct rknn_pool *op, const int8_t *in, int8_t *out)
{
	uint32_t ow = rknn_pool_ow(op), oh = rknn_pool_oh(op);
	uint32_t c, y, x;

	for (c = 0; c < op->c; c++)
		for (y = 0; y < oh; y++)
			for (x = 0; x < ow; x++)
				out[feature_at(ow, oh, c, y, x)] =
					pool_window(op, in, c, y, x);
}
