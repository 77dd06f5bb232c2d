/*
 * RK3588 NPU compute engine: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_NPU_RK3588_NPU_INTERNAL_H
#define HW_NPU_RK3588_NPU_INTERNAL_H

#include "rk3588_npu_engine.h"

/*
 * The loops over multiply-accumulates are written so that a compiler can
 * vectorise them; it only does at -O3.  On x86 hosts they are compiled for
 * AVX2 as well and the better version is chosen at start-up.
 */
#if defined(__GNUC__) && !defined(__clang__)
# define NPU_O3 __attribute__((optimize("O3")))
# if defined(__x86_64__) && defined(__gnu_linux__) && \
     !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#  define NPU_HOT NPU_O3 __attribute__((target_clones("avx2", "default")))
# else
#  define NPU_HOT NPU_O3
# endif
#else
# define NPU_HOT
#endif

/* Bytes of one atom: one pixel of one surface. */
#define NPU_ATOM            16

/* No single buffer of a task may be larger than this on the host. */
#define NPU_BUFFER_MAX      (128u * 1024 * 1024)

/* Exponents of the lowest and the highest bit set in any of some numbers */
typedef struct NpuSpan {
    int16_t lsb, msb;
} NpuSpan;

/*
 * The convolution front end: CNA and CORE.
 *
 * Integer features are kept as int16 [y][x][c], float ones as double (exact);
 * weights in the order the inner loops want.
 */
typedef struct NpuConv {
    const bool *cancelled;      /* of the task */
    bool depthwise, is_float;
    int precision;
    int bits;                   /* per element */
    int kernel_group, channel_group;    /* of the weight layout */

    int in_w, in_h, in_c;       /* as the convolution sees the input */
    int fetch_w;                /* columns that exist in memory */
    int lanes_used;             /* channels that carry data */
    int weight_c;               /* channels of a weight row in memory */
    int out_w, out_h, kernels;
    int kw, kh, stride_x, stride_y, dil_x, dil_y, pad_l, pad_t;
    uint32_t pad;               /* PAD_CON1 */

    int packed;                 /* first-layer mode: channels per pixel */
    bool cvt;
    bool cvt_signed, cvt_half_up, cvt_add_first;
    int cvt_shift[4];
    int32_t cvt_scale[4], cvt_offset[4];
    uint32_t cvt_lanes;

    bool sums;                  /* QD_EN */
    int truncate;
    bool truncate_half_up;

    uint8_t *raw_feat;
    uint8_t *raw_weights;

    int taps, k_len;            /* k_len: padded length of one dot product */
    int16_t *feat;
    int16_t *weights;
    int16_t *patch;
    int32_t *acc32;

    int runs;                   /* float: taps by channel groups */
    double *feat_f, *weights_f, *patch_f;
    NpuSpan *feat_span, *weights_span, *patch_span;
} NpuConv;

/* One arithmetic stage of the DPU (BS or BN). */
typedef struct NpuStage {
    bool on, alu, alu_minus, mul, relu, relux;
    int shift_pos, shift_neg;
    int32_t relux_max;
    float relux_max_f;
    int32_t *alu_op;            /* per channel */
    int16_t *mul_op;
    float alu_f, mul_f;
} NpuStage;

typedef enum NpuEwOp {
    EW_NONE, EW_MAX, EW_MIN, EW_ADD, EW_MINUS, EW_DIV, EW_MUL
} NpuEwOp;

typedef struct NpuDpu {
    bool flying;                /* main data from MRDMA */
    bool is_float;
    bool depthwise;
    int w, h, c, orig_c;
    int out_precision, out_size, out_c2;
    uint32_t dst, dst_stride, surf_add;
    int notch, size_e, group_atoms;
    uint16_t pend;

    NpuStage bs, bn;
    bool cpend;
    int16_t *cpend_op;

    NpuEwOp ew;
    bool ew_relu, ew_relux, ew_cvt, ew_cvt_add_first, ew_cvt_away;
    int32_t ew_relux_max, ew_cvt_offset, ew_cvt_scale;
    float ew_relux_max_f;
    int ew_cvt_shift, ew_shift_pos, ew_shift_neg;
    int ew_size, ew_c2;         /* operand element bytes, channels per atom */
    bool ew_per_channel, ew_constant;
    uint8_t *ew_raw;
    int32_t ew_const;

    int main_precision, main_size, main_c2;
    uint8_t *main_raw;

    bool cvt_add_first, cvt_away;
    int cvt_shift;
    int32_t cvt_scale, cvt_offset;
} NpuDpu;

typedef struct NpuPpu {
    int in_w, in_h, c, out_w, out_h;
    int kw, kh, stride_x, stride_y, pad_l, pad_t;
    int method, precision, esize, surfaces;
    uint32_t recip_w, recip_h, pad_value;
    uint32_t dst, dst_stride;
    int notch;
    uint8_t *raw;
} NpuPpu;

/* One output surface: rows of atoms at a fixed pitch. */
typedef struct NpuSurface {
    uint32_t addr;
    uint8_t *data;
} NpuSurface;

struct NpuTask {
    /* valid while preparing only */
    const NpuRegs *regs;
    const NpuDma *dma;
    NpuCbuf *cbuf;
    NpuVerdict verdict;
    NpuReason reason;

    bool cancelled;             /* atomic */
    bool has_conv, has_dpu;
    NpuConv conv;
    NpuDpu dpu;
    NpuPpu ppu;
    NpuCost cost;

    NpuSurface *surf;
    int surfaces, rows;
    size_t row_bytes, row_pitch;
};

/* Helpers of rk3588_npu_engine.c; the bool ones return false on failure. */
bool npu_refuse(NpuTask *t, uint32_t reg, const char *why);
bool npu_fetch(NpuTask *t, uint32_t addr, void *buf, size_t len);
void *npu_alloc(NpuTask *t, uint32_t reg, uint64_t size);
bool npu_add_surface(NpuTask *t, uint32_t addr);

/* Looked at after each pixel that can take long. */
static inline bool npu_is_cancelled(const bool *cancelled)
{
    return __atomic_load_n(cancelled, __ATOMIC_RELAXED);
}

/* A rectangle of atoms to read: surfaces of rows of @row_bytes. */
typedef struct NpuCube {
    uint32_t base, line_stride, surf_stride;
    int lines, surfaces;
    size_t row_bytes;
} NpuCube;
bool npu_fetch_cube(NpuTask *t, const NpuCube *c, uint8_t *buf);

/* rk3588_npu_cna.c */
bool npu_conv_prepare(NpuTask *t);
void npu_conv_free(NpuConv *c);

/* rk3588_npu_core.c */
void npu_conv_start(NpuConv *c);
void npu_conv_row(NpuConv *c, int oy, int32_t *acc, int32_t *sums);
void npu_conv_row_f(NpuConv *c, int oy, float *acc);

/* rk3588_npu_dpu.c */
bool npu_dpu_prepare(NpuTask *t, uint32_t enable);
void npu_dpu_compute(NpuTask *t);
void npu_dpu_free(NpuDpu *d);

/* rk3588_npu_ppu.c */
bool npu_ppu_prepare(NpuTask *t);
void npu_ppu_compute(NpuTask *t);
void npu_ppu_free(NpuPpu *p);

/* rk3588_npu_fp.c */
float npu_half_to_float(uint16_t h);
uint16_t npu_float_to_half(float f);
float npu_bits_to_float(uint32_t bits);
uint32_t npu_float_to_bits(float f);
NpuSpan npu_span(double v);
void npu_span_add(NpuSpan *s, double v);
int npu_span_product(const NpuSpan *a, const NpuSpan *b);
float npu_exact_dot(const double *x, const double *w, int stride, int n);

/* Bits of a register field. */
static inline uint32_t npu_bits(uint32_t v, int hi, int lo)
{
    return (v >> lo) & ((2u << (hi - lo)) - 1);
}

static inline uint16_t npu_le16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static inline uint32_t npu_le32(const uint8_t *p)
{
    return npu_le16(p) | (uint32_t)npu_le16(p + 2) << 16;
}

static inline void npu_put16(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static inline void npu_put32(uint8_t *p, uint32_t v)
{
    npu_put16(p, v);
    npu_put16(p + 2, v >> 16);
}

static inline int64_t npu_sat(int64_t v, int bits)
{
    int64_t max = ((int64_t)1 << (bits - 1)) - 1;

    return v > max ? max : v < -max - 1 ? -max - 1 : v;
}

/* Right shift, to nearest, ties to even. */
static inline int64_t npu_shift_even(int64_t v, int s)
{
    if (s == 0) {
        return v;
    }
    return (v + ((int64_t)1 << (s - 1)) - 1 + ((v >> s) & 1)) >> s;
}

/* Right shift, to nearest, ties away from zero. */
static inline int64_t npu_shift_away(int64_t v, int s)
{
    if (s == 0) {
        return v;
    }
    return (v + ((int64_t)1 << (s - 1)) - (v < 0)) >> s;
}

/* Right shift, to nearest, ties up. */
static inline int64_t npu_shift_up(int64_t v, int s)
{
    if (s == 0) {
        return v;
    }
    return (v + ((int64_t)1 << (s - 1))) >> s;
}

#endif /* HW_NPU_RK3588_NPU_INTERNAL_H */
