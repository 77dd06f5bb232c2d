/*
 * RK3588 NPU compute engine: PPU and PPU_RDMA, pooling
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Choices where public sources are silent:
 *
 *  - Averages multiply the window sum, padding included, by both reciprocals.
 *    Integers: the 32 fraction bits are rounded off to nearest even, once.
 *    fp16: the sum is rounded to fp32, then each product, then the result to
 *    fp16.
 *  - Windows may reach beyond the right and bottom pad; what is outside the
 *    input reads as padding everywhere.
 */

#include "qemu/osdep.h"
#include <math.h>
#include "rk3588_npu_internal.h"

#define REG(t, r) npu_reg((t)->regs, r)

enum { POOL_AVERAGE, POOL_MAX, POOL_MIN };

static bool ppu_prepare_mode(NpuTask *t)
{
    NpuPpu *p = &t->ppu;
    uint32_t mode = REG(t, PPU_OPERATION_MODE);
    uint32_t format = REG(t, PPU_DATA_FORMAT);
    uint32_t storage = npu_bits(REG(t, PRDMA_DATA_FORMAT), 1, 0);

    p->method = npu_bits(mode, 1, 0);
    p->notch = npu_bits(mode, 28, 16);
    p->precision = npu_bits(format, 2, 0);
    p->esize = p->precision == NPU_INT8 ? 1 : 2;
    if (!(mode & (1 << 4)) || (format & 8)) {
        return npu_refuse(t, PPU_OPERATION_MODE, "pooling of DPU output");
    }
    if ((mode & (1 << 30)) || npu_bits(mode, 7, 5)) {
        return npu_refuse(t, PPU_OPERATION_MODE, "INDEX_EN or USE_CNT");
    }
    if (p->method > POOL_MIN) {
        return npu_refuse(t, PPU_OPERATION_MODE, "pooling method");
    }
    if (p->precision > NPU_FP16 || storage != p->esize) {
        return npu_refuse(t, PPU_DATA_FORMAT, "precision");
    }
    if (REG(t, PPU_MISC_CTRL) & (3 << 7)) {
        return npu_refuse(t, PPU_MISC_CTRL, "packed output");
    }
    return true;
}

static bool ppu_prepare_shape(NpuTask *t)
{
    NpuPpu *p = &t->ppu;
    uint32_t kernel = REG(t, PPU_KERNEL_CFG);
    uint32_t pad = REG(t, PPU_PADDING_CFG);

    p->in_w = npu_bits(REG(t, PPU_IN_WIDTH), 12, 0) + 1;
    p->in_h = npu_bits(REG(t, PPU_IN_HEIGHT), 12, 0) + 1;
    p->c = npu_bits(REG(t, PPU_IN_CHANNEL), 12, 0) + 1;
    p->out_w = npu_bits(REG(t, PPU_OUT_WIDTH), 12, 0) + 1;
    p->out_h = npu_bits(REG(t, PPU_OUT_HEIGHT), 12, 0) + 1;
    p->kw = npu_bits(kernel, 3, 0) + 1;
    p->kh = npu_bits(kernel, 11, 8) + 1;
    p->stride_x = npu_bits(kernel, 19, 16) + 1;
    p->stride_y = npu_bits(kernel, 23, 20) + 1;
    p->pad_l = npu_bits(pad, 2, 0);
    p->pad_t = npu_bits(pad, 6, 4);
    p->pad_value = REG(t, PPU_PADDING_VALUE_1);
    p->recip_w = npu_bits(REG(t, PPU_RECIP_WIDTH), 16, 0);
    p->recip_h = npu_bits(REG(t, PPU_RECIP_HEIGHT), 16, 0);
    p->dst = REG(t, PPU_DST_BASE) & ~15u;
    p->dst_stride = REG(t, PPU_DST_SURF_STRIDE) & ~15u;
    p->surfaces = DIV_ROUND_UP(p->c * p->esize, NPU_ATOM);
    if (npu_bits(REG(t, PPU_OUT_CHANNEL), 12, 0) + 1 != p->c) {
        return npu_refuse(t, PPU_OUT_CHANNEL, "channels out against in");
    }
    if (npu_bits(REG(t, PRDMA_IN_WIDTH), 12, 0) + 1 != p->in_w ||
        npu_bits(REG(t, PRDMA_IN_HEIGHT), 12, 0) + 1 != p->in_h ||
        npu_bits(REG(t, PRDMA_IN_CHANNEL), 12, 0) + 1 != p->c) {
        return npu_refuse(t, PRDMA_IN_CHANNEL, "size against PPU");
    }
    return true;
}

bool npu_ppu_prepare(NpuTask *t)
{
    NpuPpu *p = &t->ppu;
    NpuCube cube = { 0 };

    if (!ppu_prepare_mode(t) || !ppu_prepare_shape(t)) {
        return false;
    }
    cube.base = REG(t, PRDMA_SRC_BASE);
    cube.line_stride = REG(t, PRDMA_LINE_STRIDE) & ~15u;
    cube.surf_stride = REG(t, PRDMA_SURF_STRIDE) & ~15u;
    cube.lines = p->in_h;
    cube.surfaces = p->surfaces;
    cube.row_bytes = (size_t)p->in_w * NPU_ATOM;
    p->raw = npu_alloc(t, PPU_IN_WIDTH, (uint64_t)cube.row_bytes *
                       cube.lines * cube.surfaces);
    if (!p->raw || !npu_fetch_cube(t, &cube, p->raw)) {
        return false;
    }
    t->rows = p->out_h;
    t->row_bytes = (size_t)p->out_w * NPU_ATOM;
    t->row_pitch = (size_t)(p->out_w + p->notch) * NPU_ATOM;
    if ((uint64_t)t->row_bytes * p->out_h * p->surfaces > NPU_BUFFER_MAX) {
        return npu_refuse(t, PPU_OUT_WIDTH, "too large for the model");
    }
    t->surf = g_new0(NpuSurface, p->surfaces);
    for (int s = 0; s < p->surfaces; s++) {
        if (!npu_add_surface(t, p->dst + s * p->dst_stride)) {
            return false;
        }
    }
    /* One atom of one tap per cycle. */
    t->cost.post_cycles = (uint64_t)p->out_w * p->out_h * p->surfaces *
        p->kw * p->kh;
    return true;
}

/* Element @i of the atom at (x, y), or padding, as an integer. */
static int ppu_int(const NpuPpu *p, int s, int x, int y, int i)
{
    const uint8_t *a;

    if (x < 0 || x >= p->in_w || y < 0 || y >= p->in_h) {
        return p->esize == 1 ? (int8_t)p->pad_value : (int16_t)p->pad_value;
    }
    a = p->raw + (((size_t)s * p->in_h + y) * p->in_w + x) * NPU_ATOM +
        i * p->esize;
    return p->esize == 1 ? (int8_t)*a : (int16_t)npu_le16(a);
}

static void pool_int(const NpuPpu *p, int s, int x0, int y0, uint8_t *out)
{
    for (int i = 0; i < NPU_ATOM / p->esize; i++) {
        int64_t v = p->method == POOL_AVERAGE ? 0 : ppu_int(p, s, x0, y0, i);

        for (int tap = 0; tap < p->kw * p->kh; tap++) {
            int e = ppu_int(p, s, x0 + tap % p->kw, y0 + tap / p->kw, i);

            v = p->method == POOL_AVERAGE ? v + e :
                p->method == POOL_MAX ? MAX(v, e) : MIN(v, e);
        }
        if (p->method == POOL_AVERAGE) {
            /* 24 bits of sum, 34 bits of reciprocals */
            v = npu_shift_even(v * ((int64_t)p->recip_w * p->recip_h), 32);
        }
        if (p->esize == 1) {
            out[i] = npu_sat(v, 8);
        } else {
            npu_put16(out + 2 * i, npu_sat(v, 16));
        }
    }
}

static void pool_float(const NpuPpu *p, int s, int x0, int y0, uint8_t *out)
{
    float scale_w = npu_half_to_float(p->recip_w);
    float scale_h = npu_half_to_float(p->recip_h);

    for (int i = 0; i < 8; i++) {
        uint16_t best = ppu_int(p, s, x0, y0, i);
        double sum = 0;

        for (int tap = 0; tap < p->kw * p->kh; tap++) {
            uint16_t h = ppu_int(p, s, x0 + tap % p->kw, y0 + tap / p->kw, i);
            float e = npu_half_to_float(h), b = npu_half_to_float(best);

            sum += e;
            if (p->method == POOL_MAX ? e > b : e < b) {
                best = h;
            }
        }
        if (p->method == POOL_AVERAGE) {
            float v = (float)sum * scale_w;

            v = v * scale_h;
            best = npu_float_to_half(ldexpf(v, -32));
        }
        npu_put16(out + 2 * i, best);
    }
}

void npu_ppu_compute(NpuTask *t)
{
    const NpuPpu *p = &t->ppu;

    for (int s = 0; s < p->surfaces; s++) {
        for (int y = 0; y < p->out_h && !npu_is_cancelled(&t->cancelled); y++) {
            for (int x = 0; x < p->out_w; x++) {
                uint8_t *out = t->surf[s].data + y * t->row_bytes +
                    (size_t)x * NPU_ATOM;
                int x0 = x * p->stride_x - p->pad_l;
                int y0 = y * p->stride_y - p->pad_t;

                if (p->precision == NPU_FP16) {
                    pool_float(p, s, x0, y0, out);
                } else {
                    pool_int(p, s, x0, y0, out);
                }
            }
        }
    }
}

void npu_ppu_free(NpuPpu *p)
{
    g_free(p->raw);
}
