/*
 * RK3588 NPU compute engine: CNA and CORE, the convolution
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Choices where public sources are silent or unclear:
 *
 *  - PAD_CON1: depthwise int8 uses byte 0 in even and byte 1 in odd channels
 *    of the first half of a 64-channel group and byte 0 in the second half
 *    (measured).  Direct convolution uses byte 0 in every channel: streams
 *    known to work write small positive pads sign-extended, so byte 1 is 0,
 *    and get right results.  16-bit inputs take the low half if both halves
 *    agree; anything else is refused.
 *  - Columns that DATAIN_WIDTH has and DMA_WIDTH has not are not fetched; they
 *    read as padding.
 *  - Weight rows are DATAIN_CHANNEL wide: the last channel group holds what is
 *    left.  The exception is an int8 convolution whose DATAIN_CHANNEL_REAL
 *    names fewer channels and that has one channel group only (17 to 31
 *    channels, depthwise 17 to 63): the one known writer of such streams packs
 *    rows of the real width, and the channels above carry neither data nor
 *    weights then.
 *  - In first-layer mode lane 0 holds the pixel, lanes 1 to 15 are zero.
 *  - CLIP_TRUNCATE shifts the feature sum (QD_EN) as it shifts the
 *    accumulator.
 *  - fp16 sums each run of up to 32 channels of one tap exactly, rounds it to
 *    fp32 and adds the runs in the order of the weights in memory.  Depthwise
 *    rounds after each tap.
 *
 * CBUF bank counts, reuse bits, grains and bursts change no number: features
 * and weights are always fetched from the addresses the registers hold.
 */

#include "qemu/osdep.h"
#include "rk3588_npu_internal.h"

#define REG(t, r) npu_reg((t)->regs, r)

/* Kernels in one group of the weight layout. */
static int kernel_group(const NpuConv *c)
{
    return c->precision == NPU_INT8 ? 32 : 16;
}

/* Channels in one group of the weight layout. */
static int channel_group(const NpuConv *c)
{
    if (c->depthwise) {
        return c->precision == NPU_INT8 ? 64 : 32;
    }
    return 32;
}

static bool conv_prepare_mode(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint32_t con1 = REG(t, CNA_CONV_CON1);
    uint32_t misc = REG(t, CORE_MISC_CFG);
    uint32_t mode = npu_bits(con1, 3, 0);
    uint32_t argb = npu_bits(con1, 15, 12);

    c->precision = npu_bits(con1, 6, 4);
    c->esize = c->precision == NPU_INT8 ? 1 : 2;
    c->depthwise = mode == 3;
    c->packed_1ch = argb == 8;
    c->sums = misc & 1;
    if (mode != 0 && mode != 3) {
        return npu_refuse(t, CNA_CONV_CON1, "convolution mode");
    }
    if (npu_bits(con1, 9, 7) != c->precision ||
        npu_bits(misc, 10, 8) != c->precision) {
        return npu_refuse(t, CORE_MISC_CFG, "mixed precisions");
    }
    if (c->precision > NPU_FP16 ||
        (c->precision == NPU_INT16 && c->depthwise)) {
        return npu_refuse(t, CNA_CONV_CON1, "precision");
    }
    if (con1 & (1 << 16)) {
        return npu_refuse(t, CNA_CONV_CON1, "deconvolution");
    }
    if ((argb && argb != 8) || (argb && (c->depthwise || c->esize != 1)) ||
        !!argb != !!(con1 & (1 << 30))) {
        return npu_refuse(t, CNA_CONV_CON1, "packed input mode");
    }
    if (!!(misc & 2) != c->depthwise) {
        return npu_refuse(t, CORE_MISC_CFG, "DW_EN against CONV_MODE");
    }
    if (npu_bits(REG(t, CNA_CONV_CON2), 2, 1)) {
        return npu_refuse(t, CNA_CONV_CON2, "weight or data path off");
    }
    return true;
}

static bool conv_prepare_shape(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint32_t con3 = REG(t, CNA_CONV_CON3);
    uint32_t size0 = REG(t, CNA_DATA_SIZE0);
    uint32_t size2 = REG(t, CNA_WEIGHT_SIZE2);
    uint32_t pad0 = REG(t, CNA_PAD_CON0);
    uint32_t out0 = REG(t, CORE_DATAOUT_SIZE_0);

    c->stride_x = npu_bits(con3, 2, 0);
    c->stride_y = npu_bits(con3, 5, 3);
    c->dil_x = npu_bits(con3, 20, 16) + 1;
    c->dil_y = npu_bits(con3, 25, 21) + 1;
    c->in_w = npu_bits(size0, 26, 16);
    c->in_h = npu_bits(size0, 10, 0);
    c->in_c = npu_bits(REG(t, CNA_DATA_SIZE1), 15, 0);
    c->kw = npu_bits(size2, 28, 24);
    c->kh = npu_bits(size2, 20, 16);
    c->kernels = npu_bits(size2, 13, 0);
    c->pad_l = npu_bits(pad0, 7, 4);
    c->pad_t = npu_bits(pad0, 3, 0);
    c->pad = REG(t, CNA_PAD_CON1);
    c->out_w = npu_bits(out0, 15, 0) + 1;
    c->out_h = npu_bits(out0, 31, 16) + 1;
    c->taps = c->kw * c->kh;

    if (npu_bits(con3, 13, 8) || npu_bits(con3, 30, 28)) {
        return npu_refuse(t, CNA_CONV_CON3, "deconvolution or core mode");
    }
    if (!c->stride_x || !c->stride_y) {
        return npu_refuse(t, CNA_CONV_CON3, "stride 0");
    }
    if (!c->in_w || !c->in_h || !c->in_c) {
        return npu_refuse(t, CNA_DATA_SIZE0, "empty input");
    }
    if (!c->taps || !c->kernels || (c->depthwise && c->kernels != 1)) {
        return npu_refuse(t, CNA_WEIGHT_SIZE2, "kernel size or count");
    }
    if (npu_bits(REG(t, CNA_DATA_SIZE2), 10, 0) != (c->out_w & 0x7ff) ||
        npu_bits(REG(t, CNA_DATA_SIZE3), 21, 0) !=
        ((uint32_t)c->out_w * c->out_h & 0x3fffff)) {
        return npu_refuse(t, CNA_DATA_SIZE3, "output size against CORE");
    }
    if (c->pad && c->esize == 2 && c->pad >> 16 != (c->pad & 0xffff)) {
        return npu_refuse(t, CNA_PAD_CON1, "pad lanes of 16-bit input");
    }
    return true;
}

static bool conv_prepare_cvt(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint32_t con0 = REG(t, CNA_CVT_CON0);
    uint32_t con1 = REG(t, CNA_CVT_CON1);

    c->cvt = !(con0 & 1);
    c->cvt_signed = con0 & 8;
    c->cvt_half_up = con0 & 4;
    c->cvt_add_first = con0 & 2;
    c->cvt_shift = npu_bits(con0, 9, 4);
    c->cvt_scale = (int16_t)(con1 >> 16);
    c->cvt_offset = (int16_t)con1;
    c->cvt_lanes = npu_bits(REG(t, CNA_CVT_CON5), 15, 0);
    if (!c->cvt) {
        if (c->esize == 1 && !c->cvt_signed) {
            return npu_refuse(t, CNA_CVT_CON0, "unsigned input, no converter");
        }
        return true;
    }
    if (c->esize != 1) {
        return npu_refuse(t, CNA_CVT_CON0, "converter of 16-bit input");
    }
    /* Which of the four constants serves which lane is known for lane 0. */
    if (!c->packed_1ch) {
        for (int i = 1; i < 4; i++) {
            if (REG(t, CNA_CVT_CON1 + 4 * i) != con1 ||
                npu_bits(con0, 9 + 6 * i, 4 + 6 * i) != c->cvt_shift) {
                return npu_refuse(t, CNA_CVT_CON1 + 4 * i,
                                  "converter constants per lane");
            }
        }
    }
    return true;
}

/*
 * Where the features are.  Rows come in groups of four, or of one with
 * GROUP_LINE_OFF: a group starts LINE_STRIDE atoms after the one before, a
 * surface one group of DMA_WIDTH plus SURF_STRIDE atoms after the one before.
 */
static bool conv_feature_cube(NpuTask *t, NpuCube *cube, uint32_t *group)
{
    NpuConv *c = &t->conv;
    bool group_off = REG(t, CNA_CONV_CON1) & (1 << 29);
    uint32_t line = npu_bits(REG(t, CNA_DMA_CON1), 27, 0);
    uint32_t surf = npu_bits(REG(t, CNA_DMA_CON2), 27, 0);
    uint32_t fetch = REG(t, CNA_FC_DATA_SIZE0);
    int dma_w = npu_bits(fetch, 26, 16);

    if (npu_bits(fetch, 10, 0) < c->in_h) {
        return npu_refuse(t, CNA_FC_DATA_SIZE0, "fewer rows than DATAIN");
    }
    if (npu_bits(REG(t, CNA_FC_DATA_SIZE1), 15, 0) < c->in_c) {
        return npu_refuse(t, CNA_FC_DATA_SIZE1, "fewer channels than DATAIN");
    }
    cube->base = REG(t, CNA_FEATURE_ADDR);
    cube->lines = c->in_h;
    if (c->packed_1ch) {
        c->fetch_w = c->in_w;
        cube->row_bytes = c->in_w;
        cube->line_stride = *group = line;
        cube->surfaces = 1;
        return group_off ||
            npu_refuse(t, CNA_CONV_CON1, "packed input in line groups");
    }
    c->fetch_w = MIN(c->in_w, dma_w);
    cube->row_bytes = (size_t)c->fetch_w * NPU_ATOM;
    cube->surfaces = DIV_ROUND_UP(c->in_c * c->esize, NPU_ATOM);
    cube->line_stride = (group_off ? line : dma_w) * NPU_ATOM;
    cube->surf_stride = (dma_w * (group_off ? 1 : 4) + surf) * NPU_ATOM;
    *group = group_off ? line * 4 * NPU_ATOM : line * NPU_ATOM;
    return c->fetch_w || npu_refuse(t, CNA_FC_DATA_SIZE0, "no columns");
}

static bool conv_fetch_features(NpuTask *t)
{
    NpuConv *c = &t->conv;
    NpuCube cube = { 0 };
    uint32_t group = 0;

    if (!conv_feature_cube(t, &cube, &group)) {
        return false;
    }
    c->raw_feat = npu_alloc(t, CNA_DATA_SIZE0, (uint64_t)cube.row_bytes *
                            cube.lines * cube.surfaces);
    if (!c->raw_feat) {
        return false;
    }
    if (c->packed_1ch || group == cube.line_stride * 4) {
        return npu_fetch_cube(t, &cube, c->raw_feat);
    }
    /* Line groups that do not follow each other: one at a time. */
    for (int s = 0; s < cube.surfaces; s++) {
        for (int y = 0; y < c->in_h; y += 4) {
            NpuCube rows = cube;

            rows.base += s * cube.surf_stride + y / 4 * group;
            rows.surfaces = 1;
            rows.lines = MIN(4, c->in_h - y);
            if (!npu_fetch_cube(t, &rows, c->raw_feat + cube.row_bytes *
                                ((size_t)s * c->in_h + y))) {
                return false;
            }
        }
    }
    return true;
}

static bool conv_fetch_weights(NpuTask *t)
{
    NpuConv *c = &t->conv;
    int real = npu_bits(REG(t, CNA_DATA_SIZE1), 29, 16) + 1;
    uint64_t size;

    c->weight_c = c->lanes_used = c->in_c;
    if (c->packed_1ch) {
        c->lanes_used = 1;
    } else if (c->precision == NPU_INT8 && real > 16 && real < c->in_c &&
               c->in_c <= channel_group(c)) {
        c->weight_c = c->lanes_used = real;
    }
    if (REG(t, CNA_DCOMP_CTRL) || REG(t, CNA_DCOMP_REGNUM)) {
        return npu_refuse(t, CNA_DCOMP_CTRL, "compressed weights");
    }
    if (REG(t, CNA_FC_CON0) & 1) {
        return npu_refuse(t, CNA_FC_CON0, "zero skipping");
    }
    if (npu_bits(REG(t, CNA_CBUF_CON0), 10, 8)) {
        return npu_refuse(t, CNA_CBUF_CON0, "FC_DATA_BANK");
    }
    if (npu_bits(REG(t, CNA_WEIGHT_SIZE1), 18, 0) !=
        ((uint32_t)c->taps * c->in_c * c->esize & 0x7ffff)) {
        return npu_refuse(t, CNA_WEIGHT_SIZE1, "bytes per kernel");
    }
    size = (uint64_t)c->taps * c->weight_c * c->esize * c->kernels;
    if (REG(t, CNA_WEIGHT_SIZE0) < size) {
        return npu_refuse(t, CNA_WEIGHT_SIZE0, "fewer weights than needed");
    }
    c->raw_weights = npu_alloc(t, CNA_WEIGHT_SIZE0, size);
    return c->raw_weights &&
        npu_fetch(t, REG(t, CNA_DCOMP_ADDR0) & ~15u, c->raw_weights, size);
}

/* Buffers of the computation; they depend on guest sizes too. */
static bool conv_alloc(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint64_t pixels = (uint64_t)c->in_w * c->in_h;
    int groups = DIV_ROUND_UP(c->in_c, 32);
    uint64_t rows = c->depthwise ? c->taps : ROUND_UP(c->kernels, 16);
    uint64_t row = c->depthwise ? c->in_c : ROUND_UP(c->taps * c->in_c, 32);
    uint64_t patch = c->depthwise ? 64 : row * c->out_w;

    if (c->precision != NPU_FP16) {
        c->feat = npu_alloc(t, CNA_DATA_SIZE0, pixels * c->in_c * 2);
        c->weights = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * row * 2);
        c->patch = npu_alloc(t, CNA_DATA_SIZE2, patch * 2);
        return c->feat && c->weights && c->patch;
    }
    c->feat_d = npu_alloc(t, CNA_DATA_SIZE0, pixels * c->in_c * 8);
    c->weights_d = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * row * 8);
    c->patch_d = npu_alloc(t, CNA_DATA_SIZE2, row * 8);
    c->feat_lsb = npu_alloc(t, CNA_DATA_SIZE0, pixels * groups);
    c->feat_msb = npu_alloc(t, CNA_DATA_SIZE0, pixels * groups);
    c->runs = c->taps * groups;
    c->weights_lsb = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * c->runs);
    c->weights_msb = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * c->runs);
    c->patch_lsb = npu_alloc(t, CNA_DATA_SIZE2, c->runs);
    c->patch_msb = npu_alloc(t, CNA_DATA_SIZE2, c->runs);
    return c->feat_d && c->weights_d && c->patch_d && c->feat_lsb &&
        c->feat_msb && c->weights_lsb && c->weights_msb && c->patch_lsb &&
        c->patch_msb;
}

/*
 * The MAC array takes 32 channels by 32 kernels of one pixel and tap a cycle
 * at int8, half the kernels at 16 bits; depthwise one channel group.
 */
static void conv_cost(NpuTask *t)
{
    const NpuConv *c = &t->conv;
    uint64_t steps = DIV_ROUND_UP(c->in_c, channel_group(c));

    if (!c->depthwise) {
        steps *= DIV_ROUND_UP(c->kernels, kernel_group(c));
    }
    t->cost.mac_cycles = steps * c->taps * c->out_w * c->out_h;
}

bool npu_conv_prepare(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint32_t clip = REG(t, CORE_CLIP_TRUNCATE);

    c->truncate = npu_bits(clip, 4, 0);
    c->truncate_half_up = clip & (1 << 6);
    if (!conv_prepare_mode(t) || !conv_prepare_shape(t) ||
        !conv_prepare_cvt(t) || !conv_fetch_weights(t) ||
        !conv_fetch_features(t) || !conv_alloc(t)) {
        return false;
    }
    if (c->precision == NPU_FP16 && c->truncate) {
        return npu_refuse(t, CORE_CLIP_TRUNCATE, "truncation of fp16");
    }
    conv_cost(t);
    return true;
}

/* ---- computation ---- */

static int16_t conv_convert(const NpuConv *c, uint8_t raw, int lane)
{
    int64_t v = c->cvt_signed ? (int8_t)raw : raw;

    if (!c->cvt || !(c->cvt_lanes >> lane & 1)) {
        return (int8_t)raw;
    }
    if (c->cvt_add_first) {
        v += c->cvt_offset;
    }
    v *= c->cvt_scale;
    v = c->cvt_half_up ? npu_shift_up(v, c->cvt_shift)
                       : npu_shift_even(v, c->cvt_shift);
    if (!c->cvt_add_first) {
        v += c->cvt_offset;
    }
    return npu_sat(v, 8);
}

/* Pad value of one channel, in the domain behind the converter. */
static int16_t conv_pad(const NpuConv *c, int channel)
{
    int byte = 0;

    if (channel >= c->lanes_used) {
        return 0;
    }
    if (c->esize == 2) {
        return (int16_t)c->pad;
    }
    if (c->depthwise && channel % 64 < 32) {
        byte = channel & 1;
    }
    return (int8_t)(c->pad >> (8 * byte));
}

/* Surfaces of atoms in memory become [y][x][c]. */
static void conv_sort_features(NpuConv *c)
{
    int c2 = NPU_ATOM / c->esize;

    for (int y = 0; y < c->in_h; y++) {
        for (int x = 0; x < c->in_w; x++) {
            int16_t *dst = c->feat + ((size_t)y * c->in_w + x) * c->in_c;

            for (int ch = 0; ch < c->in_c; ch++) {
                const uint8_t *src;

                if (x >= c->fetch_w || ch >= c->lanes_used) {
                    dst[ch] = conv_pad(c, ch);
                    continue;
                }
                if (c->packed_1ch) {
                    src = c->raw_feat + (size_t)y * c->in_w + x;
                } else {
                    src = c->raw_feat + ch % c2 * c->esize + NPU_ATOM *
                        (((size_t)(ch / c2) * c->in_h + y) * c->fetch_w + x);
                }
                dst[ch] = c->esize == 2 ? (int16_t)npu_le16(src)
                                        : conv_convert(c, *src, ch % c2);
            }
        }
    }
}

static int16_t conv_weight(const NpuConv *c, const uint8_t *p)
{
    return c->esize == 2 ? (int16_t)npu_le16(p) : (int8_t)*p;
}

/*
 * Walks the weights in memory order: kernel groups, channel groups, taps,
 * kernels, channels, from the outside to the inside.
 */
static void conv_sort_weights(NpuConv *c)
{
    const uint8_t *p = c->raw_weights;
    int kg = kernel_group(c), cg = channel_group(c);

    for (int k0 = 0; k0 < c->kernels; k0 += kg) {
        int k1 = MIN(k0 + kg, c->kernels);

        for (int c0 = 0; c0 < c->weight_c; c0 += cg) {
            int c1 = MIN(c0 + cg, c->weight_c);

            for (int tap = 0; tap < c->taps; tap++) {
                for (int k = k0; k < k1; k++) {
                    int16_t *dst = c->weights + (size_t)tap * c->in_c +
                        (c->depthwise ? 0 : (size_t)k * c->k_len);

                    for (int ch = c0; ch < c1; ch++, p += c->esize) {
                        dst[ch] = conv_weight(c, p);
                    }
                }
            }
        }
    }
}

/* The same for fp16: direct weights become [group of 16][run][channel][16]. */
static void conv_sort_weights_f(NpuConv *c)
{
    const uint8_t *p = c->raw_weights;
    double *group = c->weights_d;

    for (int k0 = 0; k0 < (c->depthwise ? 1 : c->kernels); k0 += 16) {
        int k1 = MIN(k0 + 16, c->kernels), run = 0;
        double *d = group;

        for (int c0 = 0; c0 < c->in_c; c0 += 32) {
            int width = MIN(32, c->in_c - c0);

            for (int tap = 0; tap < c->taps; tap++, run++) {
                for (int k = k0; k < k1; k++) {
                    int8_t *lsb = &c->weights_lsb[(size_t)k0 / 16 * c->runs +
                                                  run];
                    int8_t *msb = &c->weights_msb[(size_t)k0 / 16 * c->runs +
                                                  run];

                    if (k == k0) {
                        *lsb = 60;
                        *msb = -60;
                    }
                    for (int ch = 0; ch < width; ch++, p += 2) {
                        double v = npu_half_to_float(npu_le16(p));
                        int8_t l, m;

                        npu_half_span(npu_le16(p), &l, &m);
                        *lsb = MIN(*lsb, l);
                        *msb = MAX(*msb, m);
                        if (c->depthwise) {
                            c->weights_d[(size_t)tap * c->in_c + c0 + ch] = v;
                        } else {
                            d[ch * 16 + k - k0] = v;
                        }
                    }
                }
                d += width * 16;
            }
        }
        group = d;
    }
}

static void conv_sort_features_f(NpuConv *c)
{
    int groups = DIV_ROUND_UP(c->in_c, 32);
    uint16_t pad = conv_pad(c, 0);

    for (size_t i = 0; i < (size_t)c->in_w * c->in_h; i++) {
        size_t x = i % c->in_w, y = i / c->in_w;

        for (int ch = 0; ch < c->in_c; ch++) {
            size_t g = i * groups + ch / 32;
            uint16_t h = pad;
            int8_t l, m;

            if (x < c->fetch_w) {
                h = npu_le16(c->raw_feat + ch % 8 * 2 + NPU_ATOM *
                             (((size_t)(ch / 8) * c->in_h + y) * c->fetch_w +
                              x));
            }
            npu_half_span(h, &l, &m);
            if (ch % 32 == 0) {
                c->feat_lsb[g] = l;
                c->feat_msb[g] = m;
            }
            c->feat_lsb[g] = MIN(c->feat_lsb[g], l);
            c->feat_msb[g] = MAX(c->feat_msb[g], m);
            c->feat_d[i * c->in_c + ch] = npu_half_to_float(h);
        }
    }
}

/* Turns the raw copies into what the row functions read. */
bool npu_conv_start(NpuConv *c)
{
    if (c->precision == NPU_FP16) {
        conv_sort_features_f(c);
        conv_sort_weights_f(c);
    } else {
        c->k_len = ROUND_UP(c->taps * c->in_c, 32);
        conv_sort_features(c);
        conv_sort_weights(c);
    }
    g_free(c->raw_feat);
    g_free(c->raw_weights);
    c->raw_feat = c->raw_weights = NULL;
    return true;
}

static bool conv_inside(const NpuConv *c, int x, int y)
{
    return x >= 0 && x < c->in_w && y >= 0 && y < c->in_h;
}

/*
 * The features each output pixel of a row sees, one dot product long each.
 * A 1x1 kernel without padding sees the feature row itself.
 */
static const int16_t *conv_patches(NpuConv *c, int oy, size_t *pitch)
{
    size_t bytes = (size_t)c->in_c * 2;
    int16_t *dst = c->patch;

    if (c->taps == 1 && !c->pad_l && !c->pad_t && c->k_len == c->in_c &&
        (c->out_w - 1) * c->stride_x < c->in_w &&
        oy * c->stride_y < c->in_h) {
        *pitch = (size_t)c->stride_x * c->in_c;
        return c->feat + (size_t)oy * c->stride_y * c->in_w * c->in_c;
    }
    for (int ox = 0; ox < c->out_w; ox++) {
        for (int tap = 0; tap < c->taps; tap++) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;

            if (conv_inside(c, x, y)) {
                memcpy(dst + (size_t)tap * c->in_c,
                       c->feat + ((size_t)y * c->in_w + x) * c->in_c, bytes);
            } else {
                for (int ch = 0; ch < c->in_c; ch++) {
                    dst[(size_t)tap * c->in_c + ch] = conv_pad(c, ch);
                }
            }
        }
        dst += c->k_len;
    }
    *pitch = c->k_len;
    return c->patch;
}

/* Two pixels by four kernels; @k is a multiple of 32. */
NPU_HOT
static void dot_2x4(const int16_t *x0, const int16_t *x1, const int16_t *w,
                    size_t wp, int k, int32_t *a0, int32_t *a1)
{
    const int16_t *w0 = w, *w1 = w + wp, *w2 = w + 2 * wp, *w3 = w + 3 * wp;
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0;
    int32_t s10 = 0, s11 = 0, s12 = 0, s13 = 0;

    for (int i = 0; i < k; i++) {
        s00 += x0[i] * w0[i];
        s01 += x0[i] * w1[i];
        s02 += x0[i] * w2[i];
        s03 += x0[i] * w3[i];
        s10 += x1[i] * w0[i];
        s11 += x1[i] * w1[i];
        s12 += x1[i] * w2[i];
        s13 += x1[i] * w3[i];
    }
    a0[0] = s00;
    a0[1] = s01;
    a0[2] = s02;
    a0[3] = s03;
    a1[0] = s10;
    a1[1] = s11;
    a1[2] = s12;
    a1[3] = s13;
}

static int32_t conv_clip(const NpuConv *c, int64_t v)
{
    v = c->truncate_half_up ? npu_shift_up(v, c->truncate)
                            : npu_shift_even(v, c->truncate);
    return npu_sat(v, 32);
}

static int64_t dot_wide(const int16_t *x, const int16_t *w, int k)
{
    int64_t s = 0;

    for (int i = 0; i < k; i++) {
        s += x[i] * w[i];
    }
    return s;
}

NPU_HOT
static int64_t sum_row(const int16_t *x, int k)
{
    int64_t total = 0;

    while (k > 0) {
        int n = MIN(k, 4096);
        int32_t s = 0;

        for (int i = 0; i < n; i++) {
            s += x[i];
        }
        total += s;
        x += n;
        k -= n;
    }
    return total;
}

static void conv_row_direct(NpuConv *c, int oy, int32_t *acc, int32_t *sums)
{
    /* int32 holds 65536 products of int8 values; longer sums go wide */
    bool wide = c->esize == 2 || c->k_len > 65536;
    size_t pitch;
    const int16_t *patch = conv_patches(c, oy, &pitch);
    int n4 = ROUND_UP(c->kernels, 4);

    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled);
         ox += 2) {
        const int16_t *x0 = patch + ox * pitch;
        int odd = ox + 1 < c->out_w;
        const int16_t *x1 = x0 + odd * pitch;
        int32_t *a0 = acc + (size_t)ox * n4, *a1 = a0 + (odd ? n4 : 0);

        for (int k = 0; k < n4; k += 4) {
            const int16_t *w = c->weights + (size_t)k * c->k_len;

            if (!wide) {
                dot_2x4(x0, x1, w, c->k_len, c->k_len, a0 + k, a1 + k);
                continue;
            }
            for (int j = 0; j < 4; j++) {
                a0[k + j] = conv_clip(c, dot_wide(x0, w + j * c->k_len,
                                                  c->k_len));
                a1[k + j] = conv_clip(c, dot_wide(x1, w + j * c->k_len,
                                                  c->k_len));
            }
        }
        if (c->sums) {
            sums[ox] = conv_clip(c, sum_row(x0, c->k_len));
            if (odd) {
                sums[ox + 1] = conv_clip(c, sum_row(x1, c->k_len));
            }
        }
    }
    if (!wide && c->truncate) {
        for (size_t i = 0; i < (size_t)c->out_w * n4; i++) {
            acc[i] = conv_clip(c, acc[i]);
        }
    }
}

NPU_HOT
static void dw_tap(const int16_t *x, const int16_t *w, int n,
                   int32_t *acc, int32_t *sums)
{
    for (int i = 0; i < n; i++) {
        acc[i] += x[i] * w[i];
        sums[i] += x[i];
    }
}

/* Sums have one entry per channel here, as the accumulators have. */
static void conv_row_dw(NpuConv *c, int oy, int32_t *acc, int32_t *sums)
{
    int16_t pad[64];
    size_t n = (size_t)c->out_w * c->in_c;

    for (int i = 0; i < 64; i++) {
        pad[i] = conv_pad(c, i);
    }
    memset(acc, 0, n * 4);
    memset(sums, 0, n * 4);
    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled); ox++) {
        int32_t *a = acc + (size_t)ox * c->in_c;
        int32_t *s = sums + (size_t)ox * c->in_c;

        for (int tap = 0; tap < c->taps; tap++) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;
            const int16_t *w = c->weights + (size_t)tap * c->in_c;

            if (conv_inside(c, x, y)) {
                dw_tap(c->feat + ((size_t)y * c->in_w + x) * c->in_c, w,
                       c->in_c, a, s);
                continue;
            }
            for (int ch = 0; ch < c->in_c; ch += 64) {
                dw_tap(pad, w + ch, MIN(64, c->in_c - ch), a + ch, s + ch);
            }
        }
    }
    for (size_t i = 0; c->truncate && i < n; i++) {
        acc[i] = conv_clip(c, acc[i]);
        sums[i] = conv_clip(c, sums[i]);
    }
}

/*
 * One output row.  Direct: @acc is [x][kernels rounded up to 4], @sums [x].
 * Depthwise: both are [x][channels].
 */
void npu_conv_row(NpuConv *c, int oy, int32_t *acc, int32_t *sums)
{
    if (c->depthwise) {
        conv_row_dw(c, oy, acc, sums);
    } else {
        conv_row_direct(c, oy, acc, sums);
    }
}

/*
 * Four doubles, anywhere in memory; where the host has no such vectors the
 * compiler splits them.
 */
typedef double NpuVec __attribute__((vector_size(32), aligned(8), may_alias));

NPU_HOT
static void fma_16(const double *x, const double *w, int n, double *sum)
{
    NpuVec s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 };

    for (int i = 0; i < n; i++, w += 16) {
        s0 += *(const NpuVec *)w * x[i];
        s1 += *(const NpuVec *)(w + 4) * x[i];
        s2 += *(const NpuVec *)(w + 8) * x[i];
        s3 += *(const NpuVec *)(w + 12) * x[i];
    }
    *(NpuVec *)sum = s0;
    *(NpuVec *)(sum + 4) = s1;
    *(NpuVec *)(sum + 8) = s2;
    *(NpuVec *)(sum + 12) = s3;
}

/*
 * Partial sums of one run for 16 kernels.  When no bit of any product can be
 * more than 52 bits from the top of the sum, double arithmetic is exact and
 * the order does not matter.
 */
static void conv_run(const double *x, const double *w, int n, int span,
                     float *acc)
{
    double sum[16];

    if (span <= 46) {
        fma_16(x, w, n, sum);
        for (int j = 0; j < 16; j++) {
            acc[j] += (float)sum[j];
        }
        return;
    }
    for (int j = 0; j < 16; j++) {
        acc[j] += npu_exact_dot(x, w + j, 16, n);
    }
}

/* Runs of one output pixel: channel groups outside, taps inside. */
static void conv_patch_f(NpuConv *c, int ox, int oy)
{
    int groups = DIV_ROUND_UP(c->in_c, 32), run = 0;
    uint16_t pad = conv_pad(c, 0);
    double *dst = c->patch_d;

    for (int c0 = 0; c0 < c->in_c; c0 += 32) {
        int width = MIN(32, c->in_c - c0);

        for (int tap = 0; tap < c->taps; tap++, run++, dst += width) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;
            size_t i = (size_t)y * c->in_w + x;

            if (conv_inside(c, x, y)) {
                memcpy(dst, c->feat_d + i * c->in_c + c0, width * 8);
                c->patch_lsb[run] = c->feat_lsb[i * groups + c0 / 32];
                c->patch_msb[run] = c->feat_msb[i * groups + c0 / 32];
                continue;
            }
            for (int ch = 0; ch < width; ch++) {
                dst[ch] = npu_half_to_float(pad);
            }
            npu_half_span(pad, &c->patch_lsb[run], &c->patch_msb[run]);
        }
    }
}

static void conv_row_dw_f(NpuConv *c, int oy, float *acc)
{
    float pad = npu_half_to_float(conv_pad(c, 0));

    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled);
         ox++, acc += c->in_c) {
        memset(acc, 0, c->in_c * sizeof(*acc));
        for (int tap = 0; tap < c->taps; tap++) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;
            const double *w = c->weights_d + (size_t)tap * c->in_c;
            const double *f = c->feat_d +
                ((size_t)y * c->in_w + x) * c->in_c;
            bool inside = conv_inside(c, x, y);

            for (int ch = 0; ch < c->in_c; ch++) {
                /* the product is exact in fp32 */
                acc[ch] += (float)((inside ? f[ch] : pad) * w[ch]);
            }
        }
    }
}

/* One output row of an fp16 convolution, same layout as the integer one. */
void npu_conv_row_f(NpuConv *c, int oy, float *acc)
{
    int n4 = ROUND_UP(c->kernels, 4);

    if (c->depthwise) {
        conv_row_dw_f(c, oy, acc);
        return;
    }
    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled);
         ox++, acc += n4) {
        const double *w = c->weights_d;

        conv_patch_f(c, ox, oy);
        for (int k0 = 0; k0 < c->kernels; k0 += 16) {
            const int8_t *lsb = c->weights_lsb + (size_t)k0 / 16 * c->runs;
            const int8_t *msb = c->weights_msb + (size_t)k0 / 16 * c->runs;
            const double *x = c->patch_d;
            float sum[16] = { 0 };

            for (int r = 0; r < c->runs; r++) {
                int width = MIN(32, c->in_c - r / c->taps * 32);
                int span = c->patch_msb[r] + msb[r] - c->patch_lsb[r] - lsb[r];

                conv_run(x, w, width, span, sum);
                x += width;
                w += width * 16;
            }
            memcpy(acc + k0, sum, MIN(16, n4 - k0) * sizeof(*sum));
        }
    }
}

void npu_conv_free(NpuConv *c)
{
    g_free(c->raw_feat);
    g_free(c->raw_weights);
    g_free(c->feat);
    g_free(c->weights);
    g_free(c->patch);
    g_free(c->feat_d);
    g_free(c->weights_d);
    g_free(c->patch_d);
    g_free(c->feat_lsb);
    g_free(c->feat_msb);
    g_free(c->weights_lsb);
    g_free(c->weights_msb);
    g_free(c->patch_lsb);
    g_free(c->patch_msb);
}
