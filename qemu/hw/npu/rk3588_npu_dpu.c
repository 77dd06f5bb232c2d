/*
 * RK3588 NPU compute engine: DPU and DPU_RDMA, post-processing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Integer data is 32 bits wide between the stages and saturates there; float
 * data is fp32.  BS, BN, EW and the output converter work in this order; BS
 * is ALU, CPEND, multiplier, ReLU.
 *
 * Choices where public sources are silent or unclear:
 *
 *  - CPEND belongs to BS: BS_BYPASS switches it off too (streams that bypass
 *    BS but leave CPEND and its operand set give plain results on silicon).
 *  - The EW operand is not clamped after its converter, beyond 32 bits.
 *  - EW surfaces: MRDMA and ERDMA move on by the output size plus their notch
 *    after each surface.  With COMB_USE they alternate, MRDMA feeding the even
 *    surfaces.  ERDMA alone without a notch uses EW_SURF_STRIDE.
 *  - WDMA_SIZE_* repeat the cube size and are not looked at.
 *  - Channels from ORIG_CHANNEL on are stored as OFFSET_PEND up to the
 *    programmed channel count.
 *  - Per-channel float operands, the LUT, integer division, PReLU,
 *    transposition and the path to the PPU are refused.
 */

#include "qemu/osdep.h"
#include <math.h>
#include "rk3588_npu_internal.h"

#define REG(t, r) npu_reg((t)->regs, r)

static int precision_size(int precision)
{
    switch (precision) {
    case NPU_INT8:
        return 1;
    case NPU_INT16:
    case NPU_FP16:
        return 2;
    case NPU_INT32:
    case NPU_FP32:
        return 4;
    default:
        return 0;
    }
}

/* What the DPU calls the precision of the convolution before it. */
static int dpu_precision(int conv)
{
    return conv == NPU_TF32 ? NPU_FP32 : conv;
}

/* Inputs with a single way out */
static bool dpu_has_output(const NpuTask *t)
{
    switch (t->has_conv ? t->conv.precision : NPU_INT8) {
    case NPU_INT4:
        return t->dpu.out_precision == NPU_INT16;
    case NPU_BF16:
    case NPU_TF32:
        return t->dpu.out_precision == NPU_FP32;
    default:
        return true;
    }
}

static bool dpu_prepare_mode(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t mode = REG(t, DPU_FEATURE_MODE);
    uint32_t format = REG(t, DPU_DATA_FORMAT);
    int proc = npu_bits(format, 2, 0);

    d->flying = mode & 1;
    d->depthwise = npu_bits(mode, 4, 3) == 3;
    d->is_float = proc == NPU_FP16 || proc == NPU_BF16 || proc == NPU_FP32;
    d->out_precision = npu_bits(format, 31, 29);
    d->out_size = precision_size(d->out_precision);
    if (d->flying == t->has_conv) {
        return npu_refuse(t, DPU_FEATURE_MODE, "FLYING_MODE against enables");
    }
    if (npu_bits(mode, 2, 1) != 2) {
        return npu_refuse(t, DPU_FEATURE_MODE, "output not to memory only");
    }
    if (mode & (1u << 30 | 0xfu << 26 | 1u << 25)) {
        return npu_refuse(t, DPU_FEATURE_MODE, "transpose or regroup");
    }
    if (npu_bits(mode, 4, 3) != 0 && !d->depthwise) {
        return npu_refuse(t, DPU_FEATURE_MODE, "convolution mode");
    }
    if (t->has_conv && d->depthwise != t->conv.depthwise) {
        return npu_refuse(t, DPU_FEATURE_MODE, "convolution mode");
    }
    if (t->has_conv ? proc != dpu_precision(t->conv.precision)
                    : proc == NPU_BF16 || proc > NPU_FP32) {
        return npu_refuse(t, DPU_DATA_FORMAT, "precision");
    }
    if (!d->out_size || (format & 8) || !dpu_has_output(t)) {
        return npu_refuse(t, DPU_DATA_FORMAT, "output precision");
    }
    d->out_c2 = NPU_ATOM / d->out_size;
    return true;
}

static bool dpu_prepare_shape(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t channel = REG(t, DPU_CUBE_CHANNEL);
    uint32_t notch = REG(t, DPU_CUBE_NOTCH);
    uint32_t ow = REG(t, DPU_BS_OW_CFG);

    d->w = npu_bits(REG(t, DPU_CUBE_WIDTH), 12, 0) + 1;
    d->h = npu_bits(REG(t, DPU_CUBE_HEIGHT), 12, 0) + 1;
    d->c = npu_bits(channel, 12, 0) + 1;
    d->orig_c = MIN(npu_bits(channel, 28, 16) + 1, d->c);
    d->notch = npu_bits(notch, 12, 0);
    d->pend = REG(t, DPU_OFFSET_PEND);
    d->dst = REG(t, DPU_DST_BASE) & ~15u;
    d->dst_stride = REG(t, DPU_DST_SURF_STRIDE) & ~15u;
    d->surf_add = REG(t, DPU_SURFACE_ADD) & ~15u;
    d->size_e = npu_bits(ow, 4, 2);
    if (npu_bits(notch, 28, 16) != d->notch) {
        return npu_refuse(t, DPU_CUBE_NOTCH, "different notches");
    }
    if (npu_bits(REG(t, DPU_CUBE_HEIGHT), 24, 22)) {
        return npu_refuse(t, DPU_CUBE_HEIGHT, "MINMAX_CTL");
    }
    if (npu_bits(ow, 7, 5) != d->size_e || npu_bits(ow, 10, 8) != d->size_e) {
        return npu_refuse(t, DPU_BS_OW_CFG, "different SIZE_E");
    }
    if (ow & (0xfu << 28 | 1u << 27) ||
        npu_bits(REG(t, DPU_WDMA_SIZE_0), 27, 16)) {
        return npu_refuse(t, DPU_BS_OW_CFG, "regroup or transpose");
    }
    if (d->pend && d->orig_c < d->c && d->out_precision == NPU_FP32) {
        return npu_refuse(t, DPU_OFFSET_PEND, "fill of fp32");
    }
    return true;
}

/* Channels leave in groups; the convolution must fill them. */
static bool dpu_prepare_groups(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    int group;

    if (!t->has_conv) {
        d->group_atoms = d->size_e + 1;
        return true;
    }
    group = t->conv.kernel_group * (d->depthwise ? 2 : 1);
    d->group_atoms = group / d->out_c2;
    if (d->c % group) {
        return npu_refuse(t, DPU_CUBE_CHANNEL, "channels not in full groups");
    }
    if (d->group_atoms > 8) {
        return npu_refuse(t, DPU_DATA_FORMAT, "output wider than SIZE_E");
    }
    if (d->size_e + 1 > d->group_atoms) {
        return npu_refuse(t, DPU_BS_OW_CFG, "SIZE_E beyond the group");
    }
    if (d->w != t->conv.out_w || d->h != t->conv.out_h ||
        d->c != npu_bits(REG(t, CORE_DATAOUT_SIZE_1), 15, 0) + 1) {
        return npu_refuse(t, DPU_CUBE_CHANNEL, "size against CORE");
    }
    if (d->orig_c > (d->depthwise ? t->conv.in_c : t->conv.kernels)) {
        return npu_refuse(t, DPU_CUBE_CHANNEL, "more channels than kernels");
    }
    return true;
}

/*
 * Per-channel operands of BS or BN: dense int32 (ALU only), or 64 bytes for
 * eight channels: int32 ALU[8], int16 CPEND[8], int16 multiplier[8].
 */
static bool dpu_fetch_operands(NpuTask *t, uint32_t cfg, uint32_t base_reg,
                               NpuStage *s, int16_t *cpend)
{
    int use = npu_bits(REG(t, cfg), 4, 1), c = t->dpu.c;
    bool packed = use == 7 && cpend;
    size_t size = packed ? ROUND_UP(c, 8) * 8 : c * 4;
    uint8_t *raw;
    bool ok;

    if (use != 1 && !packed) {
        return npu_refuse(t, cfg, "DATA_USE");
    }
    if (t->dpu.is_float) {
        return npu_refuse(t, cfg, "per-channel float operands");
    }
    raw = npu_alloc(t, cfg, size);
    ok = raw && npu_fetch(t, REG(t, base_reg), raw, size);
    for (int i = 0; ok && i < c; i++) {
        if (packed) {
            const uint8_t *p = raw + i / 8 * 64;

            s->alu_op[i] = npu_le32(p + i % 8 * 4);
            cpend[i] = npu_le16(p + 32 + i % 8 * 2);
            s->mul_op[i] = npu_le16(p + 48 + i % 8 * 2);
        } else {
            s->alu_op[i] = npu_le32(raw + i * 4);
        }
    }
    g_free(raw);
    return ok;
}

/* BS and BN have the same registers, in the same order from their CFG on. */
static bool dpu_prepare_stage(NpuTask *t, NpuStage *s, uint32_t reg)
{
    uint32_t cfg = REG(t, reg), mul = REG(t, reg + 8);
    int algo = npu_bits(cfg, 19, 16);
    int c = t->dpu.c;

    s->alu_op = npu_alloc(t, reg, c * sizeof(*s->alu_op));
    s->mul_op = npu_alloc(t, reg, c * sizeof(*s->mul_op));
    if (!s->alu_op || !s->mul_op) {
        return false;
    }
    s->on = !(cfg & 1);
    if (!s->on) {
        return true;
    }
    s->alu = !(cfg & 2);
    s->alu_minus = algo == 4;
    s->mul = !(cfg & (1 << 4));
    s->relu = !(cfg & (1 << 6));
    s->relux = s->relu && (cfg & (1 << 7));
    s->shift_pos = npu_bits(mul, 13, 8);
    s->relux_max = REG(t, reg + 12);
    s->relux_max_f = npu_bits_to_float(s->relux_max);
    s->alu_f = npu_bits_to_float(REG(t, reg + 4));
    s->mul_f = npu_half_to_float(mul >> 16);
    if (s->alu && algo != 2 && algo != 4) {
        return npu_refuse(t, reg, "ALU operation");
    }
    if (cfg & (1 << 5) || (s->mul && (mul & 2))) {
        return npu_refuse(t, reg, "PReLU or outside shift");
    }
    if (t->dpu.is_float && s->mul && s->shift_pos) {
        return npu_refuse(t, reg + 8, "shift of float data");
    }
    for (int i = 0; i < c; i++) {
        s->alu_op[i] = REG(t, reg + 4);
        s->mul_op[i] = mul >> 16;
    }
    return true;
}

/* BS: ALU, CPEND and multiplier operands come from registers or BRDMA. */
static bool dpu_prepare_bs(NpuTask *t, bool rdma)
{
    NpuDpu *d = &t->dpu;
    uint32_t ow = REG(t, DPU_BS_OW_CFG);
    bool alu_out = REG(t, DPU_BS_CFG) & (1 << 8);
    bool mul_out = REG(t, DPU_BS_MUL_CFG) & 1;
    int16_t ow_op = REG(t, DPU_BS_OW_OP);
    int16_t mul_op = REG(t, DPU_BS_MUL_CFG) >> 16;
    int32_t alu_op = REG(t, DPU_BS_ALU_CFG);
    int use = npu_bits(REG(t, RDMA_BRDMA_CFG), 4, 1);

    d->bs.shift_neg = npu_bits(REG(t, DPU_DATA_FORMAT), 9, 4);
    d->cpend = d->bs.on && !(ow & 2) && ((ow & 1) || ow_op);
    if (d->cpend && (d->is_float || d->flying || !t->conv.sums)) {
        return npu_refuse(t, DPU_BS_OW_CFG, "CPEND without a feature sum");
    }
    alu_out = alu_out && d->bs.alu;
    mul_out = mul_out && d->bs.mul;
    if (alu_out || mul_out || (d->cpend && (ow & 1))) {
        if (!rdma) {
            return npu_refuse(t, DPU_BS_CFG, "operands without DPU_RDMA");
        }
        if (use == 1 && (mul_out || (d->cpend && (ow & 1)))) {
            return npu_refuse(t, RDMA_BRDMA_CFG, "operand not read");
        }
        if (!dpu_fetch_operands(t, RDMA_BRDMA_CFG, RDMA_BS_BASE, &d->bs,
                                d->cpend_op)) {
            return false;
        }
    }
    for (int i = 0; i < d->c; i++) {
        d->cpend_op[i] = ow & 1 ? d->cpend_op[i] : ow_op;
        d->bs.mul_op[i] = mul_out ? d->bs.mul_op[i] : mul_op;
        d->bs.alu_op[i] = alu_out ? d->bs.alu_op[i] : alu_op;
    }
    return true;
}

static bool dpu_prepare_bn(NpuTask *t, bool rdma)
{
    NpuDpu *d = &t->dpu;
    bool alu_out = d->bn.alu && (REG(t, DPU_BN_CFG) & (1 << 8));
    bool mul_out = d->bn.mul && (REG(t, DPU_BN_MUL_CFG) & 1);

    d->bn.shift_neg = npu_bits(REG(t, DPU_DATA_FORMAT), 15, 10);
    if (mul_out || (alu_out && !rdma)) {
        return npu_refuse(t, DPU_BN_CFG, "operands of BN");
    }
    /* Which of the two comes first in BN at float is not known. */
    if (d->is_float && d->bn.alu && d->bn.mul && d->bn.alu_f) {
        return npu_refuse(t, DPU_BN_CFG, "float ALU and multiplier");
    }
    return !alu_out || dpu_fetch_operands(t, RDMA_NRDMA_CFG, RDMA_BN_BASE,
                                          &d->bn, NULL);
}

static bool dpu_prepare_stages(NpuTask *t, bool rdma)
{
    NpuDpu *d = &t->dpu;

    d->cpend_op = npu_alloc(t, DPU_BS_OW_CFG, d->c * sizeof(*d->cpend_op));
    return d->cpend_op && dpu_prepare_stage(t, &d->bs, DPU_BS_CFG) &&
        dpu_prepare_stage(t, &d->bn, DPU_BN_CFG) &&
        dpu_prepare_bs(t, rdma) && dpu_prepare_bn(t, rdma);
}

static bool dpu_prepare_ew_op(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t cfg = REG(t, DPU_EW_CFG);
    static const NpuEwOp alu[16] = {
        [0] = EW_MAX, [1] = EW_MIN, [2] = EW_ADD, [3] = EW_DIV,
        [4] = EW_MINUS
    };

    if (cfg & 1) {
        return true;
    }
    if (!(cfg & (1 << 7))) {
        return npu_refuse(t, DPU_EW_CFG, "LUT");
    }
    if (cfg & (1 << 21 | 1 << 20 | 1 << 5)) {
        return npu_refuse(t, DPU_EW_CFG, "equal, binary or PReLU");
    }
    d->ew_relu = !(cfg & (1 << 9));
    d->ew_relux = d->ew_relu && (cfg & (1 << 10));
    d->ew_relux_max = REG(t, DPU_EW_RELUX);
    d->ew_relux_max_f = npu_bits_to_float(d->ew_relux_max);
    if (cfg & 2) {
        return true;
    }
    d->ew = cfg & 4 ? EW_MUL : alu[npu_bits(cfg, 19, 16)];
    if (d->ew == EW_NONE || (d->ew == EW_DIV && !d->is_float)) {
        return npu_refuse(t, DPU_EW_CFG, "EW operation");
    }
    d->ew_constant = !(cfg & (1 << 6));
    d->ew_cvt = !(cfg & (1 << 8));
    d->ew_cvt_add_first = cfg >> 31;
    d->ew_cvt_away = cfg & (1 << 30);
    d->ew_cvt_offset = REG(t, DPU_EW_CVT_OFFSET);
    d->ew_cvt_scale = (int16_t)REG(t, DPU_EW_CVT_SCALE);
    d->ew_cvt_shift = npu_bits(REG(t, DPU_EW_CVT_SCALE), 21, 16);
    d->ew_shift_pos = npu_bits(REG(t, DPU_EW_CVT_SCALE), 31, 22);
    d->ew_shift_neg = npu_bits(REG(t, DPU_DATA_FORMAT), 25, 16);
    if (d->ew_shift_pos > 62 || d->ew_shift_neg > 62 ||
        ((d->ew_shift_pos || d->ew_shift_neg) &&
         (d->ew != EW_MUL || d->is_float))) {
        return npu_refuse(t, DPU_EW_CVT_SCALE, "EW_TRUNCATE");
    }
    /* Streams with a scale of 1 and of 0 both give the plain operand. */
    if (d->is_float && d->ew_cvt && (d->ew_cvt_offset || d->ew_cvt_shift ||
                                     (d->ew_cvt_scale & ~1))) {
        return npu_refuse(t, DPU_EW_CVT_SCALE, "converter of a float operand");
    }
    return true;
}

static bool dpu_fetch_ew_constant(NpuTask *t)
{
    t->dpu.ew_const = REG(t, DPU_EW_OP_VALUE_0);
    for (int i = 1; i < 8; i++) {
        if (REG(t, DPU_EW_OP_VALUE_0 + 4 * i) != t->dpu.ew_const) {
            return npu_refuse(t, DPU_EW_OP_VALUE_0, "constants per lane");
        }
    }
    return true;
}

/* Both RDMAs take turns, surface by surface. */
static bool dpu_fetch_ew_comb(NpuTask *t, NpuCube *even)
{
    NpuDpu *d = &t->dpu;
    uint32_t size = d->w * d->h * NPU_ATOM;
    int surfaces = DIV_ROUND_UP(d->c, d->ew_c2);
    NpuCube odd = *even;

    even->base = REG(t, RDMA_SRC_BASE);
    even->surf_stride = size + (REG(t, RDMA_SURF_NOTCH) & ~15u);
    odd.base = REG(t, RDMA_EW_BASE);
    odd.surf_stride = size + (REG(t, RDMA_EW_SURF_NOTCH) & ~15u);
    even->surfaces = odd.surfaces = 1;
    for (int s = 0; s < surfaces; s++) {
        NpuCube one = s & 1 ? odd : *even;

        one.base += s / 2 * one.surf_stride;
        if (!npu_fetch_cube(t, &one, d->ew_raw + (size_t)s * size)) {
            return false;
        }
    }
    return true;
}

static bool dpu_ew_stride(NpuTask *t, uint32_t size, uint32_t *pitch)
{
    uint32_t stride = REG(t, RDMA_EW_SURF_STRIDE) & ~15u;
    uint32_t notch = REG(t, RDMA_EW_SURF_NOTCH) & ~15u;

    *pitch = size + notch;
    if (!notch && stride) {
        *pitch = stride;
    } else if (stride && stride != size && stride != *pitch &&
               t->dpu.c > t->dpu.ew_c2) {
        return npu_refuse(t, RDMA_EW_SURF_STRIDE, "stride and notch");
    }
    return true;
}

static bool dpu_fetch_ew(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t cfg = REG(t, DPU_EW_CFG), erdma = REG(t, RDMA_ERDMA_CFG);
    uint32_t comb = npu_bits(REG(t, RDMA_FEATURE_MODE), 10, 8);
    int mode = npu_bits(erdma, 31, 30), size = npu_bits(erdma, 3, 2);
    NpuCube cube = { .base = REG(t, RDMA_EW_BASE) };

    if (erdma & 1) {
        return npu_refuse(t, RDMA_ERDMA_CFG, "ERDMA disabled");
    }
    if (mode != npu_bits(cfg, 29, 28) || mode > 1 || (erdma & (3u << 28))) {
        return npu_refuse(t, RDMA_ERDMA_CFG, "operand mode");
    }
    if (size == 0 || size != npu_bits(cfg, 23, 22) ||
        (d->is_float && size == 1)) {
        return npu_refuse(t, RDMA_ERDMA_CFG, "operand size");
    }
    if (npu_bits(REG(t, RDMA_CUBE_HEIGHT), 28, 16)) {
        return npu_refuse(t, RDMA_CUBE_HEIGHT, "EW_LINE_NOTCH");
    }
    d->ew_size = 1 << (size - 1);
    d->ew_c2 = NPU_ATOM / d->ew_size;
    d->ew_per_channel = mode == 0;
    cube.lines = d->ew_per_channel ? 1 : d->h;
    cube.line_stride = (d->ew_per_channel ? 1 : d->w) * NPU_ATOM;
    cube.row_bytes = cube.line_stride;
    cube.surfaces = DIV_ROUND_UP(d->c, d->ew_c2);
    d->ew_raw = npu_alloc(t, RDMA_EW_BASE, (uint64_t)cube.row_bytes *
                          cube.lines * cube.surfaces);
    if (!d->ew_raw) {
        return false;
    }
    /* Bit 0 joins both RDMAs; the others alone change nothing known. */
    if (comb & 1) {
        if (comb != 5 || d->flying || d->ew_per_channel) {
            return npu_refuse(t, RDMA_FEATURE_MODE, "COMB_USE");
        }
        return dpu_fetch_ew_comb(t, &cube);
    }
    return dpu_ew_stride(t, cube.lines * cube.line_stride,
                         &cube.surf_stride) &&
        npu_fetch_cube(t, &cube, d->ew_raw);
}

static bool dpu_fetch_main(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t mode = REG(t, RDMA_FEATURE_MODE);
    uint32_t dma = REG(t, RDMA_SRC_DMA_CFG);
    NpuCube cube = { .base = REG(t, RDMA_SRC_BASE) };

    d->main_precision = npu_bits(mode, 17, 15);
    d->main_size = precision_size(d->main_precision);
    if (!d->main_size || d->is_float != (d->main_precision == NPU_FP16 ||
                                         d->main_precision == NPU_FP32)) {
        return npu_refuse(t, RDMA_FEATURE_MODE, "input precision");
    }
    if (mode & (1 << 4)) {
        return npu_refuse(t, RDMA_FEATURE_MODE, "MRDMA disabled");
    }
    if (dma & (1 << 12)) {
        return npu_refuse(t, RDMA_SRC_DMA_CFG, "unpooling");
    }
    d->main_c2 = NPU_ATOM / d->main_size;
    cube.lines = d->h;
    cube.row_bytes = (size_t)d->w * NPU_ATOM;
    cube.line_stride = (d->w + npu_bits(dma, 31, 19)) * NPU_ATOM;
    cube.surf_stride = cube.line_stride * d->h +
        (REG(t, RDMA_SURF_NOTCH) & ~15u);
    cube.surfaces = DIV_ROUND_UP(d->c, d->main_c2);
    d->main_raw = npu_alloc(t, RDMA_SRC_BASE, (uint64_t)cube.row_bytes *
                            cube.lines * cube.surfaces);
    return d->main_raw && npu_fetch_cube(t, &cube, d->main_raw);
}

static bool dpu_prepare_inputs(NpuTask *t, bool rdma)
{
    NpuDpu *d = &t->dpu;
    uint32_t mode = REG(t, RDMA_FEATURE_MODE);
    bool operand = d->ew != EW_NONE && !d->ew_constant;
    bool comb = mode & (1 << 8);

    if (operand && !rdma) {
        return npu_refuse(t, DPU_EW_CFG, "operand without DPU_RDMA");
    }
    if (rdma && (npu_bits(REG(t, RDMA_CUBE_WIDTH), 12, 0) + 1 != d->w ||
                 npu_bits(REG(t, RDMA_CUBE_HEIGHT), 12, 0) + 1 != d->h ||
                 npu_bits(REG(t, RDMA_CUBE_CHANNEL), 12, 0) + 1 != d->c)) {
        return npu_refuse(t, RDMA_CUBE_CHANNEL, "size against DPU");
    }
    if (rdma && !d->flying && !(mode & (1 << 4)) && !(operand && comb)) {
        return npu_refuse(t, RDMA_FEATURE_MODE,
                          "MRDMA not disabled in a plain convolution");
    }
    if (rdma && !d->flying && (npu_bits(mode, 2, 1) == 3) != d->depthwise) {
        return npu_refuse(t, RDMA_FEATURE_MODE, "convolution mode");
    }
    if (d->flying && !dpu_fetch_main(t)) {
        return false;
    }
    if (operand) {
        return dpu_fetch_ew(t);
    }
    return d->ew == EW_NONE || dpu_fetch_ew_constant(t);
}

static bool dpu_prepare_cvt(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    uint32_t scale = REG(t, DPU_OUT_CVT_SCALE);
    uint32_t shift = REG(t, DPU_OUT_CVT_SHIFT);
    bool narrow = scale & (1 << 16);

    d->cvt_offset = REG(t, DPU_OUT_CVT_OFFSET);
    d->cvt_scale = (int16_t)scale;
    d->cvt_shift = npu_bits(shift, 5, 0);
    d->cvt_add_first = shift >> 31;
    d->cvt_away = shift & (1 << 30);
    if (!d->is_float) {
        /* MINUS_EXP has no effect on integer data */
        if (d->out_precision == NPU_FP16) {
            return npu_refuse(t, DPU_DATA_FORMAT, "integer data to fp16");
        }
        return true;
    }
    /* So do output converters with a scale of 1 and of 0. */
    if (d->cvt_offset || d->cvt_shift || npu_bits(shift, 19, 12) ||
        (d->cvt_scale & ~1)) {
        return npu_refuse(t, DPU_OUT_CVT_SCALE, "converter of float data");
    }
    /* In flying mode fp16 comes out without FP32TOFP16_EN too. */
    narrow = narrow || (d->flying && d->out_precision == NPU_FP16);
    if (d->out_precision != (narrow ? NPU_FP16 : NPU_FP32)) {
        return npu_refuse(t, DPU_DATA_FORMAT, "float output precision");
    }
    return true;
}

static bool dpu_prepare_output(NpuTask *t)
{
    NpuDpu *d = &t->dpu;
    int atoms = DIV_ROUND_UP(d->c, d->out_c2);

    t->rows = d->h;
    t->row_bytes = (size_t)d->w * NPU_ATOM;
    t->row_pitch = (size_t)(d->w + d->notch) * NPU_ATOM;
    if ((uint64_t)t->row_bytes * d->h * atoms > NPU_BUFFER_MAX ||
        (uint64_t)d->w * MAX(d->c, t->conv.kernels) > NPU_BUFFER_MAX / 16) {
        return npu_refuse(t, DPU_CUBE_CHANNEL, "too large for the model");
    }
    t->surf = g_new0(NpuSurface, atoms);
    for (int s = 0; s < atoms; s++) {
        int g = s / d->group_atoms, a = s % d->group_atoms;

        /* Atoms of a group beyond SIZE_E are never written. */
        if (a > d->size_e) {
            t->surfaces++;
        } else if (!npu_add_surface(t, d->dst + g * d->surf_add +
                                    a * d->dst_stride)) {
            return false;
        }
    }
    /* One atom leaves per cycle. */
    t->cost.post_cycles = (uint64_t)d->w * d->h * atoms;
    return true;
}

bool npu_dpu_prepare(NpuTask *t, uint32_t enable)
{
    bool rdma = enable & OP_EN_RDMA;

    return dpu_prepare_mode(t) && dpu_prepare_shape(t) &&
        dpu_prepare_groups(t) && dpu_prepare_stages(t, rdma) &&
        dpu_prepare_ew_op(t) && dpu_prepare_cvt(t) &&
        dpu_prepare_inputs(t, rdma) && dpu_prepare_output(t);
}

/* ---- computation ---- */

static int64_t stage_int(const NpuStage *s, int64_t v, int c)
{
    if (s->mul) {
        v = npu_shift_even(v * s->mul_op[c],
                           v < 0 ? s->shift_neg : s->shift_pos);
        v = npu_sat(v, 32);
    }
    if (s->relu) {
        v = MAX(v, 0);
        v = s->relux ? MIN(v, s->relux_max) : v;
    }
    return v;
}

static int64_t stage_alu(const NpuStage *s, int64_t v, int c)
{
    if (!s->alu) {
        return v;
    }
    return s->alu_minus ? v - s->alu_op[c] : v + s->alu_op[c];
}

static const uint8_t *ew_element(const NpuDpu *d, int c, int y, int x)
{
    size_t atom = c / d->ew_c2;

    if (!d->ew_per_channel) {
        atom = (atom * d->h + y) * d->w + x;
    }
    return d->ew_raw + atom * NPU_ATOM + c % d->ew_c2 * d->ew_size;
}

static int64_t ew_operand(const NpuDpu *d, int c, int y, int x)
{
    int64_t e = d->ew_const;

    if (!d->ew_constant) {
        const uint8_t *p = ew_element(d, c, y, x);

        e = d->ew_size == 1 ? (int8_t)*p :
            d->ew_size == 2 ? (int16_t)npu_le16(p) : (int32_t)npu_le32(p);
    }
    if (!d->ew_cvt) {
        return e;
    }
    if (d->ew_cvt_add_first) {
        e += d->ew_cvt_offset;
    }
    e *= d->ew_cvt_scale;
    e = d->ew_cvt_away ? npu_shift_away(e, d->ew_cvt_shift)
                       : npu_shift_even(e, d->ew_cvt_shift);
    if (!d->ew_cvt_add_first) {
        e += d->ew_cvt_offset;
    }
    return npu_sat(e, 32);
}

static int64_t ew_int(const NpuDpu *d, int64_t v, int c, int y, int x)
{
    if (d->ew != EW_NONE) {
        int64_t e = ew_operand(d, c, y, x);

        switch (d->ew) {
        case EW_MAX:
            v = MAX(v, e);
            break;
        case EW_MIN:
            v = MIN(v, e);
            break;
        case EW_ADD:
            v += e;
            break;
        case EW_MINUS:
            v -= e;
            break;
        default:
            v *= e;
            v = npu_shift_even(v, v < 0 ? d->ew_shift_neg : d->ew_shift_pos);
            break;
        }
        v = npu_sat(v, 32);
    }
    if (d->ew_relu) {
        v = MAX(v, 0);
        v = d->ew_relux ? MIN(v, d->ew_relux_max) : v;
    }
    return v;
}

static int64_t out_cvt(const NpuDpu *d, int64_t v)
{
    if (d->cvt_add_first) {
        v += d->cvt_offset;
    }
    v *= d->cvt_scale;
    v = d->cvt_away ? npu_shift_away(v, d->cvt_shift)
                    : npu_shift_even(v, d->cvt_shift);
    return d->cvt_add_first ? v : v + d->cvt_offset;
}

static void store_int(const NpuDpu *d, uint8_t *p, int64_t v)
{
    switch (d->out_precision) {
    case NPU_INT8:
        *p = npu_sat(v, 8);
        break;
    case NPU_INT16:
        npu_put16(p, npu_sat(v, 16));
        break;
    case NPU_INT32:
        npu_put32(p, npu_sat(v, 32));
        break;
    default:
        npu_put32(p, npu_float_to_bits(npu_sat(v, 32)));
        break;
    }
}

/* Where channel @c of the output pixel goes, NULL if it is not written. */
static uint8_t *out_element(NpuTask *t, int c, int y, int x)
{
    const NpuDpu *d = &t->dpu;
    uint8_t *data = t->surf[c / d->out_c2].data;

    if (!data) {
        return NULL;
    }
    return data + y * t->row_bytes + (size_t)x * NPU_ATOM +
        c % d->out_c2 * d->out_size;
}

/* The row buffers: accumulators with their pitch, feature sums. */
typedef struct NpuRow {
    int32_t *acc;
    float *acc_f;
    int32_t *sums;
    int pitch;          /* entries per pixel */
    int sums_pitch;     /* 1: one sum for all channels */
} NpuRow;

static void row_int(NpuTask *t, const NpuRow *r, int y)
{
    const NpuDpu *d = &t->dpu;

    for (int x = 0; x < d->w; x++) {
        for (int c = 0; c < d->orig_c; c++) {
            int64_t v = r->acc[(size_t)x * r->pitch + c];
            uint8_t *p = out_element(t, c, y, x);

            if (!p) {
                continue;
            }
            if (d->bs.on) {
                v = stage_alu(&d->bs, v, c);
                if (d->cpend) {
                    size_t i = r->sums_pitch == 1 ? x
                                                  : (size_t)x * r->pitch + c;

                    v += (int64_t)d->cpend_op[c] * r->sums[i];
                }
                /* the multiplier is fed before 32-bit saturation */
                v = d->bs.mul ? v : npu_sat(v, 32);
                v = stage_int(&d->bs, v, c);
            }
            if (d->bn.on) {
                v = stage_alu(&d->bn, v, c);
                v = d->bn.mul ? v : npu_sat(v, 32);
                v = stage_int(&d->bn, v, c);
            }
            store_int(d, p, out_cvt(d, ew_int(d, v, c, y, x)));
        }
    }
}

/*
 * The usual int8 convolution, bias and CPEND and nothing else: one surface
 * at a time with no decisions inside.
 */
static bool row_is_plain(const NpuDpu *d)
{
    return d->out_precision == NPU_INT8 && d->bs.on && d->bs.alu &&
        !d->bs.alu_minus && !d->bs.mul && !d->bs.relu && !d->bn.on &&
        d->ew == EW_NONE && !d->ew_relu && !d->cvt_add_first && !d->cvt_away;
}

NPU_HOT
static void plain_atom(const int32_t *acc, const int32_t *sums, int sums_step,
                       const int32_t *alu, const int16_t *cpend, int n,
                       int64_t scale, int shift, int64_t offset, uint8_t *out)
{
    for (int i = 0; i < n; i++) {
        int64_t v = (int64_t)acc[i] + alu[i] +
            (int64_t)cpend[i] * sums[i * sums_step];

        v = npu_sat(v, 32) * scale;
        out[i] = npu_sat(npu_shift_even(v, shift) + offset, 8);
    }
}

static void row_plain(NpuTask *t, const NpuRow *r, int y)
{
    const NpuDpu *d = &t->dpu;
    static const int16_t no_cpend[16];

    for (int c = 0; c < d->orig_c; c += 16) {
        int n = MIN(16, d->orig_c - c);
        const int16_t *cpend = d->cpend ? d->cpend_op + c : no_cpend;

        for (int x = 0; x < d->w; x++) {
            uint8_t *p = out_element(t, c, y, x);
            const int32_t *sums = r->sums + x;

            if (r->sums_pitch != 1) {
                sums = r->sums + (size_t)x * r->pitch + c;
            }
            if (p) {
                plain_atom(r->acc + (size_t)x * r->pitch + c, sums,
                           r->sums_pitch != 1, d->bs.alu_op + c, cpend, n,
                           d->cvt_scale, d->cvt_shift, d->cvt_offset, p);
            }
        }
    }
}

static float stage_float(const NpuStage *s, float v)
{
    if (!s->on) {
        return v;
    }
    if (s->alu) {
        v = s->alu_minus ? v - s->alu_f : v + s->alu_f;
    }
    if (s->mul) {
        v *= s->mul_f;
    }
    if (s->relu) {
        v = v > 0 ? v : 0;
        v = s->relux && v > s->relux_max_f ? s->relux_max_f : v;
    }
    return v;
}

static float ew_float(const NpuDpu *d, float v, int c, int y, int x)
{
    if (d->ew != EW_NONE) {
        const uint8_t *p = d->ew_constant ? NULL : ew_element(d, c, y, x);
        float e = !p ? npu_bits_to_float(d->ew_const) :
            d->ew_size == 2 ? npu_half_to_float(npu_le16(p)) :
            npu_bits_to_float(npu_le32(p));

        switch (d->ew) {
        case EW_MAX:
            v = v > e ? v : e;
            break;
        case EW_MIN:
            v = v < e ? v : e;
            break;
        case EW_ADD:
            v += e;
            break;
        case EW_MINUS:
            v -= e;
            break;
        case EW_DIV:
            v /= e;
            break;
        default:
            v *= e;
            break;
        }
    }
    if (d->ew_relu) {
        v = v > 0 ? v : 0;
        v = d->ew_relux && v > d->ew_relux_max_f ? d->ew_relux_max_f : v;
    }
    return v;
}

static void row_float(NpuTask *t, const NpuRow *r, int y)
{
    const NpuDpu *d = &t->dpu;

    for (int x = 0; x < d->w; x++) {
        for (int c = 0; c < d->orig_c; c++) {
            float v = r->acc_f[(size_t)x * r->pitch + c];
            uint8_t *p = out_element(t, c, y, x);

            if (!p) {
                continue;
            }
            v = stage_float(&d->bn, stage_float(&d->bs, v));
            v = ew_float(d, v, c, y, x);
            if (d->out_size == 2) {
                npu_put16(p, npu_float_to_half(v));
            } else {
                npu_put32(p, npu_float_to_bits(v));
            }
        }
    }
}

static void row_fill(NpuTask *t, int y)
{
    const NpuDpu *d = &t->dpu;

    if (!d->pend) {
        return;
    }
    for (int x = 0; x < d->w; x++) {
        for (int c = d->orig_c; c < d->c; c++) {
            uint8_t *p = out_element(t, c, y, x);

            if (!p) {
                continue;
            }
            if (d->out_size == 1) {
                *p = d->pend;
            } else if (d->out_size == 2) {
                npu_put16(p, d->pend);
            } else {
                npu_put32(p, (int16_t)d->pend);
            }
        }
    }
}

/* One row of the cube MRDMA read. */
static void row_flying(NpuTask *t, NpuRow *r, int y)
{
    const NpuDpu *d = &t->dpu;

    for (int x = 0; x < d->w; x++) {
        for (int c = 0; c < d->c; c++) {
            size_t i = (size_t)x * d->c + c;
            const uint8_t *p = d->main_raw + c % d->main_c2 * d->main_size +
                (((size_t)(c / d->main_c2) * d->h + y) * d->w + x) * NPU_ATOM;

            switch (d->main_precision) {
            case NPU_INT8:
                r->acc[i] = (int8_t)*p;
                break;
            case NPU_INT16:
                r->acc[i] = (int16_t)npu_le16(p);
                break;
            case NPU_INT32:
                r->acc[i] = npu_le32(p);
                break;
            case NPU_FP16:
                r->acc_f[i] = npu_half_to_float(npu_le16(p));
                break;
            default:
                r->acc_f[i] = npu_bits_to_float(npu_le32(p));
                break;
            }
        }
    }
}

static void row_compute(NpuTask *t, NpuRow *r, int y)
{
    const NpuDpu *d = &t->dpu;

    if (d->flying) {
        row_flying(t, r, y);
    } else if (d->is_float) {
        npu_conv_row_f(&t->conv, y, r->acc_f);
    } else {
        npu_conv_row(&t->conv, y, r->acc, r->sums);
    }
    if (d->is_float) {
        row_float(t, r, y);
    } else if (row_is_plain(d)) {
        row_plain(t, r, y);
    } else {
        row_int(t, r, y);
    }
    row_fill(t, y);
}

void npu_dpu_compute(NpuTask *t)
{
    const NpuDpu *d = &t->dpu;
    NpuRow r = { .pitch = d->c, .sums_pitch = 1 };
    size_t n;

    if (t->has_conv) {
        npu_conv_start(&t->conv);
        r.pitch = d->depthwise ? t->conv.in_c : ROUND_UP(t->conv.kernels, 4);
        r.sums_pitch = d->depthwise ? r.pitch : 1;
    }
    n = (size_t)d->w * r.pitch;
    if (d->is_float) {
        r.acc_f = g_new0(float, n);
    } else {
        r.acc = g_new0(int32_t, n);
        r.sums = g_new0(int32_t, r.sums_pitch == 1 ? d->w : n);
    }
    for (int y = 0; y < d->h && !npu_is_cancelled(&t->cancelled); y++) {
        row_compute(t, &r, y);
    }
    g_free(r.acc);
    g_free(r.acc_f);
    g_free(r.sums);
}

void npu_dpu_free(NpuDpu *d)
{
    g_free(d->bs.alu_op);
    g_free(d->bs.mul_op);
    g_free(d->bn.alu_op);
    g_free(d->bn.mul_op);
    g_free(d->cpend_op);
    g_free(d->ew_raw);
    g_free(d->main_raw);
}
