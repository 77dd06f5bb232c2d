/*
 * RK3588 NPU compute engine: CNA, the inputs of a convolution
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
 *    agree; anything else is refused, as is any pad but 0 of int4 and tf32.
 *  - Columns that DATAIN_WIDTH has and DMA_WIDTH has not are not fetched; they
 *    read as padding.
 *  - Weight rows are DATAIN_CHANNEL wide: the last channel group holds what is
 *    left.  The exception is an int8 convolution whose DATAIN_CHANNEL_REAL
 *    names fewer channels and that has one channel group only (17 to 31
 *    channels, depthwise 17 to 63): the one known writer of such streams packs
 *    rows of the real width, and the channels above carry neither data nor
 *    weights then.
 *  - In first-layer mode a pixel is as many consecutive elements as ARGB_IN
 *    names channels, LINE_STRIDE counts pixels, and further lanes are zero.
 *  - CLIP_TRUNCATE shifts the feature sum (QD_EN) as it shifts the
 *    accumulator.
 *
 *  - CBUF: features have the first DATA_BANK banks, weights the WEIGHT_BANK
 *    banks behind those; banks beyond the last are the first again.  Bytes lie
 *    there in the order they are fetched in, and what does not fit starts over
 *    at the first bank of its kind.  Reads run as the writes did, so a task
 *    with a reuse bit finds what is there, whoever has left it, and reads
 *    nothing from memory.
 *
 * Grains and bursts change no number.
 */

#include "qemu/osdep.h"
#include "rk3588_npu_internal.h"

#define REG(t, r) npu_reg((t)->regs, r)

/* Bits per element, kernels and channels per group of the weight layout */
static const struct {
    uint8_t bits, kernels, channels, dw_channels;
} layouts[8] = {
    [NPU_INT8] = { 8, 32, 32, 64 },
    [NPU_INT16] = { 16, 16, 32, 0 },
    [NPU_FP16] = { 16, 16, 32, 32 },
    [NPU_BF16] = { 16, 16, 32, 0 },
    [NPU_INT4] = { 4, 64, 32, 0 },
    [NPU_TF32] = { 32, 16, 16, 0 },
};

static bool conv_prepare_mode(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint32_t con1 = REG(t, CNA_CONV_CON1);
    uint32_t misc = REG(t, CORE_MISC_CFG);
    uint32_t mode = npu_bits(con1, 3, 0);
    uint32_t argb = npu_bits(con1, 15, 12);

    c->precision = npu_bits(con1, 6, 4);
    c->bits = layouts[c->precision].bits;
    c->depthwise = mode == 3;
    c->is_float = c->precision == NPU_FP16 || c->precision == NPU_BF16 ||
        c->precision == NPU_TF32;
    c->kernel_group = layouts[c->precision].kernels;
    c->channel_group = c->depthwise ? layouts[c->precision].dw_channels
                                    : layouts[c->precision].channels;
    c->packed = argb ? argb - 7 : 0;
    c->sums = misc & 1;
    if (mode != 0 && mode != 3) {
        return npu_refuse(t, CNA_CONV_CON1, "convolution mode");
    }
    if (npu_bits(con1, 9, 7) != c->precision ||
        npu_bits(misc, 10, 8) != c->precision) {
        return npu_refuse(t, CORE_MISC_CFG, "mixed precisions");
    }
    if (!c->channel_group) {
        return npu_refuse(t, CNA_CONV_CON1, "precision");
    }
    if (con1 & (1 << 16)) {
        return npu_refuse(t, CNA_CONV_CON1, "deconvolution");
    }
    if ((argb && (argb < 8 || argb > 11 || c->depthwise ||
                  (c->precision != NPU_INT8 && c->precision != NPU_FP16))) ||
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
    if (c->pad && c->bits != 8 &&
        (c->bits != 16 || c->pad >> 16 != (c->pad & 0xffff))) {
        return npu_refuse(t, CNA_PAD_CON1, "pad lanes of this precision");
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
    c->cvt_lanes = npu_bits(REG(t, CNA_CVT_CON5), 15, 0);
    for (int i = 0; i < 4; i++) {
        uint32_t v = REG(t, CNA_CVT_CON1 + 4 * i);

        c->cvt_shift[i] = npu_bits(con0, 9 + 6 * i, 4 + 6 * i);
        c->cvt_scale[i] = (int16_t)(v >> 16);
        c->cvt_offset[i] = (int16_t)v;
        /* The constants serve the channels of packed input. */
        if (c->cvt && !c->packed &&
            (v != con1 || c->cvt_shift[i] != c->cvt_shift[0])) {
            return npu_refuse(t, CNA_CVT_CON1 + 4 * i,
                              "converter constants per lane");
        }
    }
    if (!c->cvt && !c->is_float && !c->cvt_signed) {
        return npu_refuse(t, CNA_CVT_CON0, "unsigned input, no converter");
    }
    if (c->cvt && c->precision != NPU_INT8) {
        return npu_refuse(t, CNA_CVT_CON0, "converter of this precision");
    }
    return true;
}

/*
 * Where the features are.  Rows come in groups of four, or of one with
 * GROUP_LINE_OFF: a group starts LINE_STRIDE atoms after the one before, a
 * surface one group of DMA_WIDTH plus SURF_STRIDE atoms after the one before.
 * Packed pixels have a line stride only.
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
    if (c->packed) {
        int pixel = c->packed * c->bits / 8;

        c->fetch_w = c->in_w;
        cube->row_bytes = (size_t)c->in_w * pixel;
        cube->line_stride = *group = line * pixel;
        cube->surfaces = 1;
        return group_off ||
            npu_refuse(t, CNA_CONV_CON1, "packed input in line groups");
    }
    c->fetch_w = MIN(c->in_w, dma_w);
    cube->row_bytes = (size_t)c->fetch_w * NPU_ATOM;
    cube->surfaces = DIV_ROUND_UP(c->in_c * c->bits, NPU_ATOM * 8);
    cube->line_stride = (group_off ? line : dma_w) * NPU_ATOM;
    cube->surf_stride = (dma_w * (group_off ? 1 : 4) + surf) * NPU_ATOM;
    *group = group_off ? line * 4 * NPU_ATOM : line * NPU_ATOM;
    return c->fetch_w || npu_refuse(t, CNA_FC_DATA_SIZE0, "no columns");
}

/*
 * Moves @size bytes between @buf and their banks: into the CBUF what has come
 * from memory, out of it what is used again.
 */
static bool conv_cbuf(NpuTask *t, int first, int banks, bool reuse,
                      uint8_t *buf, size_t size)
{
    const size_t all = sizeof(t->cbuf->data);
    size_t area = banks * NPU_CBUF_BANK_SIZE;
    /* What would be overwritten again need not be written. */
    size_t i = !reuse && size > area ? size - area : 0;

    if (!area) {
        return !reuse || npu_refuse(t, CNA_CBUF_CON0, "reuse of no banks");
    }
    while (i < size) {
        size_t at = (first * NPU_CBUF_BANK_SIZE + i % area) % all;
        size_t n = MIN(MIN(size - i, area - i % area), all - at);

        if (reuse) {
            memcpy(buf + i, t->cbuf->data + at, n);
        } else {
            memcpy(t->cbuf->data + at, buf + i, n);
        }
        i += n;
    }
    return true;
}

static bool conv_cbuf_features(NpuTask *t, bool reuse, size_t size)
{
    uint32_t con0 = REG(t, CNA_CBUF_CON0);

    return conv_cbuf(t, 0, npu_bits(con0, 3, 0), reuse, t->conv.raw_feat,
                     size);
}

static bool conv_cbuf_weights(NpuTask *t, bool reuse, size_t size)
{
    uint32_t con0 = REG(t, CNA_CBUF_CON0);

    return conv_cbuf(t, npu_bits(con0, 3, 0), npu_bits(con0, 7, 4), reuse,
                     t->conv.raw_weights, size);
}

/* Line groups that do not follow each other are read one at a time. */
static bool conv_fetch_lines(NpuTask *t, const NpuCube *cube, uint32_t group)
{
    NpuConv *c = &t->conv;

    if (c->packed || group == cube->line_stride * 4) {
        return npu_fetch_cube(t, cube, c->raw_feat);
    }
    for (int s = 0; s < cube->surfaces; s++) {
        for (int y = 0; y < c->in_h; y += 4) {
            NpuCube rows = *cube;

            rows.base += s * cube->surf_stride + y / 4 * group;
            rows.surfaces = 1;
            rows.lines = MIN(4, c->in_h - y);
            if (!npu_fetch_cube(t, &rows, c->raw_feat + cube->row_bytes *
                                ((size_t)s * c->in_h + y))) {
                return false;
            }
        }
    }
    return true;
}

static bool conv_fetch_features(NpuTask *t)
{
    NpuConv *c = &t->conv;
    bool reuse = REG(t, CNA_CBUF_CON0) & CBUF_DATA_REUSE;
    NpuCube cube = { 0 };
    uint32_t group = 0;
    uint64_t size;

    if (!conv_feature_cube(t, &cube, &group)) {
        return false;
    }
    size = (uint64_t)cube.row_bytes * cube.lines * cube.surfaces;
    c->raw_feat = npu_alloc(t, CNA_DATA_SIZE0, size);
    return c->raw_feat &&
        (reuse || conv_fetch_lines(t, &cube, group)) &&
        conv_cbuf_features(t, reuse, size);
}

static bool conv_fetch_weights(NpuTask *t)
{
    NpuConv *c = &t->conv;
    int real = npu_bits(REG(t, CNA_DATA_SIZE1), 29, 16) + 1;
    bool reuse = REG(t, CNA_CBUF_CON0) & CBUF_WEIGHT_REUSE;
    uint64_t size;

    c->weight_c = c->lanes_used = c->in_c;
    if (c->packed) {
        c->lanes_used = MIN(c->packed, c->in_c);
    } else if (c->precision == NPU_INT8 && real > 16 && real < c->in_c &&
               c->in_c <= c->channel_group) {
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
        ((uint32_t)DIV_ROUND_UP(c->taps * c->in_c * c->bits, 8) & 0x7ffff)) {
        return npu_refuse(t, CNA_WEIGHT_SIZE1, "bytes per kernel");
    }
    size = DIV_ROUND_UP((uint64_t)c->taps * c->weight_c * c->kernels *
                        c->bits, 8);
    if (REG(t, CNA_WEIGHT_SIZE0) < size) {
        return npu_refuse(t, CNA_WEIGHT_SIZE0, "fewer weights than needed");
    }
    c->raw_weights = npu_alloc(t, CNA_WEIGHT_SIZE0, size);
    return c->raw_weights &&
        (reuse || npu_fetch(t, REG(t, CNA_DCOMP_ADDR0) & ~15u,
                            c->raw_weights, size)) &&
        conv_cbuf_weights(t, reuse, size);
}

/* Buffers of the computation; they depend on guest sizes too. */
static bool conv_alloc(NpuTask *t)
{
    NpuConv *c = &t->conv;
    uint64_t pixels = (uint64_t)c->in_w * c->in_h;
    int groups = DIV_ROUND_UP(c->in_c, c->channel_group);
    uint64_t rows = c->depthwise ? c->taps : ROUND_UP(c->kernels, 16);
    uint64_t row = c->depthwise ? c->in_c : ROUND_UP(c->taps * c->in_c, 32);
    uint64_t patch = c->depthwise ? 64 : row * c->out_w;

    if (!c->is_float) {
        c->feat = npu_alloc(t, CNA_DATA_SIZE0, pixels * c->in_c * 2);
        c->weights = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * row * 2);
        c->patch = npu_alloc(t, CNA_DATA_SIZE2, patch * 2);
        return c->feat && c->weights && c->patch;
    }
    c->runs = c->taps * groups;
    c->feat_f = npu_alloc(t, CNA_DATA_SIZE0, pixels * c->in_c * 8);
    c->weights_f = npu_alloc(t, CNA_WEIGHT_SIZE2, rows * row * 8);
    c->patch_f = npu_alloc(t, CNA_DATA_SIZE2, row * 8);
    c->feat_span = npu_alloc(t, CNA_DATA_SIZE0,
                             pixels * groups * sizeof(NpuSpan));
    c->weights_span = npu_alloc(t, CNA_WEIGHT_SIZE2,
                                rows * c->runs * sizeof(NpuSpan));
    c->patch_span = npu_alloc(t, CNA_DATA_SIZE2, c->runs * sizeof(NpuSpan));
    return c->feat_f && c->weights_f && c->patch_f && c->feat_span &&
        c->weights_span && c->patch_span;
}

/*
 * The MAC array takes one channel group of one kernel group, one pixel and
 * one tap a cycle; depthwise one channel group.
 */
static void conv_cost(NpuTask *t)
{
    const NpuConv *c = &t->conv;
    uint64_t steps = DIV_ROUND_UP(c->in_c, c->channel_group);

    if (!c->depthwise) {
        steps *= DIV_ROUND_UP(c->kernels, c->kernel_group);
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
    if (c->is_float && c->truncate) {
        return npu_refuse(t, CORE_CLIP_TRUNCATE, "truncation of float");
    }
    conv_cost(t);
    return true;
}

void npu_conv_free(NpuConv *c)
{
    g_free(c->raw_feat);
    g_free(c->raw_weights);
    g_free(c->feat);
    g_free(c->weights);
    g_free(c->patch);
    g_free(c->feat_f);
    g_free(c->weights_f);
    g_free(c->patch_f);
    g_free(c->feat_span);
    g_free(c->weights_span);
    g_free(c->patch_span);
}
