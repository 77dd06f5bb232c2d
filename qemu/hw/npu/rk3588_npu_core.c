/*
 * RK3588 NPU compute engine: CORE, the multiply-accumulates
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Integers are summed exactly and saturate to 32 bits.
 *
 * fp16, bf16 and tf32 sum each run, the channels of one group of the weight
 * layout (32, for tf32 16) at one tap, exactly, round it to fp32 and add the
 * runs in fp32 in the order of the weights in memory.  This is measured for
 * fp16 with 1x1 kernels and taken over for the rest.  Depthwise rounds after
 * each tap.  tf32 ignores the low 13 bits of its fp32 inputs.
 */

#include "qemu/osdep.h"
#include "rk3588_npu_internal.h"

static int16_t conv_convert(const NpuConv *c, uint8_t raw, int lane)
{
    int64_t v = c->cvt_signed ? (int8_t)raw : raw;
    int i = c->packed ? lane : 0;

    if (!(c->cvt_lanes >> lane & 1)) {
        return (int8_t)raw;
    }
    if (c->cvt_add_first) {
        v += c->cvt_offset[i];
    }
    v *= c->cvt_scale[i];
    v = c->cvt_half_up ? npu_shift_up(v, c->cvt_shift[i])
                       : npu_shift_even(v, c->cvt_shift[i]);
    if (!c->cvt_add_first) {
        v += c->cvt_offset[i];
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
    if (c->bits != 8) {
        return (int16_t)c->pad;
    }
    if (c->depthwise && channel % 64 < 32) {
        byte = channel & 1;
    }
    return (int8_t)(c->pad >> (8 * byte));
}

/* Where channel @ch of a pixel is in the raw copy, in bits. */
static size_t conv_feature_at(const NpuConv *c, int ch, int y, int x)
{
    int c2 = NPU_ATOM * 8 / c->bits;
    size_t atom = ((size_t)(ch / c2) * c->in_h + y) * c->fetch_w + x;

    if (c->packed) {
        return (((size_t)y * c->in_w + x) * c->packed + ch) * c->bits;
    }
    return atom * NPU_ATOM * 8 + ch % c2 * c->bits;
}

/* The element at bit @at; int4 has the first of two in the low half. */
static int16_t conv_int(const NpuConv *c, const uint8_t *raw, size_t at)
{
    const uint8_t *p = raw + at / 8;

    switch (c->bits) {
    case 4:
        return (int8_t)(at & 4 ? *p & 0xf0 : *p << 4) >> 4;
    case 8:
        return (int8_t)*p;
    default:
        return (int16_t)npu_le16(p);
    }
}

static float conv_bits_to_float(const NpuConv *c, uint32_t bits)
{
    switch (c->precision) {
    case NPU_FP16:
        return npu_half_to_float(bits);
    case NPU_BF16:
        return npu_bits_to_float(bits << 16);
    default:
        return npu_bits_to_float(bits & ~0x1fffu);
    }
}

/* Padding of a float channel */
static float conv_pad_f(const NpuConv *c, int channel)
{
    return channel < c->lanes_used ? conv_bits_to_float(c, (uint16_t)c->pad)
                                   : 0;
}

static float conv_float(const NpuConv *c, const uint8_t *raw, size_t at)
{
    const uint8_t *p = raw + at / 8;

    return conv_bits_to_float(c, c->bits == 16 ? npu_le16(p) : npu_le32(p));
}

NPU_HOT
static void widen_int8(int16_t *dst, const uint8_t *src, int n)
{
    for (int i = 0; i < n; i++) {
        dst[i] = (int8_t)src[i];
    }
}

/* How many channels of a pixel are whole atoms of int8, to be taken as such */
static int conv_plain_channels(const NpuConv *c, int x)
{
    bool plain = c->bits == 8 && !c->packed && !c->cvt && x < c->fetch_w;

    return plain ? ROUND_DOWN(c->lanes_used, NPU_ATOM) : 0;
}

/* Surfaces of atoms in memory become [y][x][c]. */
static void conv_sort_features(NpuConv *c)
{
    for (int y = 0; y < c->in_h; y++) {
        for (int x = 0; x < c->in_w; x++) {
            int16_t *dst = c->feat + ((size_t)y * c->in_w + x) * c->in_c;
            int plain = conv_plain_channels(c, x);

            for (int ch = 0; ch < plain; ch += NPU_ATOM) {
                widen_int8(dst + ch, c->raw_feat +
                           conv_feature_at(c, ch, y, x) / 8, NPU_ATOM);
            }
            for (int ch = plain; ch < c->in_c; ch++) {
                size_t at = conv_feature_at(c, ch, y, x);

                if (x >= c->fetch_w || ch >= c->lanes_used) {
                    dst[ch] = conv_pad(c, ch);
                } else if (c->cvt) {
                    dst[ch] = conv_convert(c, c->raw_feat[at / 8], ch % 16);
                } else {
                    dst[ch] = conv_int(c, c->raw_feat, at);
                }
            }
        }
    }
}

static void conv_sort_row(const NpuConv *c, int16_t *dst, size_t at, int n)
{
    if (c->bits == 8) {
        widen_int8(dst, c->raw_weights + at / 8, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        dst[i] = conv_int(c, c->raw_weights, at + (size_t)i * c->bits);
    }
}

/*
 * Walks the weights in memory order: kernel groups, channel groups, taps,
 * kernels, channels, from the outside to the inside.
 */
static void conv_sort_weights(NpuConv *c)
{
    int kg = c->kernel_group, cg = c->channel_group;
    size_t at = 0;

    for (int k0 = 0; k0 < c->kernels; k0 += kg) {
        int k1 = MIN(k0 + kg, c->kernels);

        for (int c0 = 0; c0 < c->weight_c; c0 += cg) {
            int c1 = MIN(c0 + cg, c->weight_c);

            for (int tap = 0; tap < c->taps; tap++) {
                for (int k = k0; k < k1; k++) {
                    int16_t *dst = c->weights + (size_t)tap * c->in_c +
                        (c->depthwise ? 0 : (size_t)k * c->k_len);

                    conv_sort_row(c, dst + c0, at, c1 - c0);
                    at += (size_t)(c1 - c0) * c->bits;
                }
            }
        }
    }
}

/* The same for float: direct weights become [group of 16][run][channel][16]. */
static void conv_sort_weights_f(NpuConv *c)
{
    NpuSpan *span = c->weights_span;
    double *group = c->weights_f;
    size_t at = 0;

    for (int k0 = 0; k0 < c->kernels; k0 += 16) {
        int k1 = MIN(k0 + 16, c->kernels);

        for (int c0 = 0; c0 < c->in_c; c0 += c->channel_group) {
            int width = MIN(c->channel_group, c->in_c - c0);

            for (int tap = 0; tap < c->taps; tap++, span++) {
                *span = npu_span(0);
                for (int i = 0; i < width * (k1 - k0); i++, at += c->bits) {
                    double v = conv_float(c, c->raw_weights, at);
                    int ch = i % width, k = i / width;

                    npu_span_add(span, v);
                    if (c->depthwise) {
                        c->weights_f[(size_t)tap * c->in_c + c0 + ch] = v;
                    } else {
                        group[ch * 16 + k] = v;
                    }
                }
                group += c->depthwise ? 0 : width * 16;
            }
        }
    }
}

static void conv_sort_features_f(NpuConv *c)
{
    double *dst = c->feat_f;
    NpuSpan *span = c->feat_span - 1;

    for (int y = 0; y < c->in_h; y++) {
        for (int x = 0; x < c->in_w; x++) {
            for (int ch = 0; ch < c->in_c; ch++) {
                double v = x >= c->fetch_w || ch >= c->lanes_used ?
                    conv_pad_f(c, ch) :
                    conv_float(c, c->raw_feat, conv_feature_at(c, ch, y, x));

                if (ch % c->channel_group == 0) {
                    *++span = npu_span(0);
                }
                npu_span_add(span, v);
                *dst++ = v;
            }
        }
    }
}

/* Turns the raw copies into what the row functions read. */
void npu_conv_start(NpuConv *c)
{
    if (c->is_float) {
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
    bool wide = c->bits == 16 || c->k_len > 65536;
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
 * the order does not matter: 1 bit more for a product, 5 for up to 32.
 */
#define NPU_SPAN_EXACT  46

static void conv_run(const double *x, const double *w, int n, int span,
                     float *acc)
{
    double sum[16];

    if (span <= NPU_SPAN_EXACT) {
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
    int groups = DIV_ROUND_UP(c->in_c, c->channel_group);
    NpuSpan *span = c->patch_span;
    double *dst = c->patch_f;

    for (int g = 0; g < groups; g++) {
        int c0 = g * c->channel_group;
        int width = MIN(c->channel_group, c->in_c - c0);

        for (int tap = 0; tap < c->taps; tap++, span++, dst += width) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;
            size_t i = (size_t)y * c->in_w + x;

            if (conv_inside(c, x, y)) {
                memcpy(dst, c->feat_f + i * c->in_c + c0, width * 8);
                *span = c->feat_span[i * groups + g];
                continue;
            }
            for (int ch = 0; ch < width; ch++) {
                dst[ch] = conv_pad_f(c, c0 + ch);
            }
            *span = npu_span(conv_pad_f(c, c0));
        }
    }
}

static void conv_row_dw_f(NpuConv *c, int oy, float *acc)
{
    float pad = conv_pad_f(c, 0);

    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled);
         ox++, acc += c->in_c) {
        memset(acc, 0, c->in_c * sizeof(*acc));
        for (int tap = 0; tap < c->taps; tap++) {
            int x = ox * c->stride_x - c->pad_l + tap % c->kw * c->dil_x;
            int y = oy * c->stride_y - c->pad_t + tap / c->kw * c->dil_y;
            const double *w = c->weights_f + (size_t)tap * c->in_c;
            bool inside = conv_inside(c, x, y);
            const double *f = c->feat_f +
                (inside ? ((size_t)y * c->in_w + x) * c->in_c : 0);

            for (int ch = 0; ch < c->in_c; ch++) {
                /* the product is exact in fp32 */
                acc[ch] += (float)((inside ? f[ch] : pad) * w[ch]);
            }
        }
    }
}

/* One output row of a float convolution, same layout as the integer one. */
void npu_conv_row_f(NpuConv *c, int oy, float *acc)
{
    int n4 = ROUND_UP(c->kernels, 4);

    if (c->depthwise) {
        conv_row_dw_f(c, oy, acc);
        return;
    }
    for (int ox = 0; ox < c->out_w && !npu_is_cancelled(c->cancelled);
         ox++, acc += n4) {
        const double *w = c->weights_f;
        const NpuSpan *span = c->weights_span;

        conv_patch_f(c, ox, oy);
        for (int k0 = 0; k0 < c->kernels; k0 += 16) {
            const double *x = c->patch_f;
            float sum[16] = { 0 };

            for (int r = 0; r < c->runs; r++, span++) {
                int width = MIN(c->channel_group,
                                c->in_c - r / c->taps * c->channel_group);

                conv_run(x, w, width, npu_span_product(&c->patch_span[r],
                                                       span), sum);
                x += width;
                w += width * 16;
            }
            memcpy(acc + k0, sum, MIN(16, n4 - k0) * sizeof(*sum));
        }
    }
}
