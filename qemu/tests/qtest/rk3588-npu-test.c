/*
 * QTest for the RK3588 NPU core
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs are built and run the way a driver does it: a stream of command
 * words in memory, a kick through the PC, an interrupt. Results are compared
 * byte by byte, unwritten bytes included, with a plain reference: one loop per
 * index, tensors as flat arrays, the arithmetic written out once per element.
 * Shapes and data are random from fixed seeds.
 */

#include "qemu/osdep.h"
#include <math.h>
#include "qemu/bswap.h"
#include "libqtest.h"
#include "qobject/qdict.h"

#define NPU(core)       (0xfdab0000 + (core) * 0x10000)
#define IOMMU(core)     (NPU(core) + 0xa000)
#define CRU             0xfd7c0000
#define PMU             0xfd8d8000

#define PC_OP_EN        0x08
#define PC_BASE         0x10
#define PC_AMOUNTS      0x14
#define PC_INT_MASK     0x20
#define PC_INT_CLEAR    0x24
#define PC_INT_STATUS   0x28
#define PC_INT_RAW      0x2c
#define PC_TASK_CON     0x30
#define PC_TASK_STATUS  0x3c

#define RAW_BITS        0x1ffff
#define LONG_NS         (100 * 1000 * 1000)

/* Memory map of the tests */
#define STREAM          0x10000000
#define INPUT           0x11000000
#define WEIGHTS         0x12000000
#define OPERANDS        0x13000000
#define ADDEND          0x14000000
#define OUTPUT          0x15000000
#define TABLES          0x16000000
#define OUT_SIZE        0x40000

#define SENTINEL        0xaa

static QTestState *qts;

static uint32_t npu_read(int core, uint32_t offset)
{
    return qtest_readl(qts, NPU(core) + offset);
}

static void npu_write(int core, uint32_t offset, uint32_t value)
{
    qtest_writel(qts, NPU(core) + offset, value);
}

static void npu_power(bool on)
{
    /* NPU, NPUTOP, NPU1, NPU2; a set bit is off */
    qtest_writel(qts, PMU + 0x14c, 0x3a << 16 | (on ? 0 : 0x3a));
}

static void npu_start_machine(void)
{
    qts = qtest_init("-machine rk3588 -m 512");
    qtest_irq_intercept_out_named(qts, "/machine/npu0", "sysbus-irq");
    npu_power(true);
}

static void npu_stop_machine(void)
{
    qtest_quit(qts);
}

/* Both soft resets of a core */
static void npu_reset(int core, bool assert)
{
    static const struct {
        uint32_t reg, bits;
    } rst[] = { { 30, 0x140 }, { 27, 0x5 }, { 28, 0x5 } };

    qtest_writel(qts, CRU + 0xa00 + 4 * rst[core].reg,
                 rst[core].bits << 16 | (assert ? rst[core].bits : 0));
}

/*
 * Streams
 */

typedef struct Stream {
    uint64_t word[512];
    unsigned n;
} Stream;

static void put(Stream *s, uint32_t offset, uint32_t value)
{
    static const uint16_t target[8] = {
        0x0101, 0x0201, 0, 0x0801, 0x1001, 0x2001, 0x4001, 0x8001
    };

    s->word[s->n++] = (uint64_t)target[offset >> 12] << 48 |
        (uint64_t)value << 16 | offset;
}

/* Trailer: link to the next stream, then enable. */
static void put_end(Stream *s, uint32_t next, unsigned next_words,
                    uint32_t enable)
{
    if (next) {
        put(s, PC_BASE, next);
        put(s, PC_AMOUNTS, (next_words + 1) / 2 - 1);
    } else {
        s->word[s->n++] = 0;
        put(s, PC_AMOUNTS, 0);
    }
    s->word[s->n++] = 0x0041000000000000ull;
    s->word[s->n++] = 0x0081ull << 48 | (uint64_t)enable << 16 | PC_OP_EN;
}

static void load_stream(const Stream *s, uint32_t addr)
{
    g_autofree uint64_t *le = g_new(uint64_t, s->n);

    for (unsigned i = 0; i < s->n; i++) {
        le[i] = cpu_to_le64(s->word[i]);
    }
    qtest_bufwrite(qts, addr, le, s->n * 8);
}

/* What a driver writes to start @tasks tasks. */
static void kick(int core, uint32_t addr, unsigned words, unsigned tasks)
{
    npu_write(core, PC_BASE, 1);
    npu_write(core, 0x1004, 0xe | (uint32_t)core << 28);
    npu_write(core, 0x3004, 0xe | (uint32_t)core << 28);
    npu_write(core, PC_BASE, addr);
    npu_write(core, PC_AMOUNTS, (words + 1) / 2 - 1);
    npu_write(core, PC_INT_MASK, 0xf00);
    npu_write(core, PC_INT_CLEAR, RAW_BITS);
    npu_write(core, PC_TASK_CON, 0x7000 | tasks);
    npu_write(core, 0x34, 0);
    npu_write(core, PC_OP_EN, 1);
}

static uint32_t finish(int core)
{
    qtest_clock_step(qts, LONG_NS);
    return npu_read(core, PC_INT_RAW) & RAW_BITS;
}

/* Runs one stream; the DPU or PPU bit says that it ended. */
static void run_stream(const Stream *s, uint32_t end_bits)
{
    uint32_t raw;

    load_stream(s, STREAM);
    kick(0, STREAM, s->n, 1);
    raw = finish(0);
    g_assert_cmphex(raw & end_bits, !=, 0);
    g_assert_cmphex(raw & ~0xfff, ==, 0);
    npu_write(0, PC_OP_EN, 0);
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
}

/*
 * Numbers
 */

static double half(uint16_t h)
{
    int exp = h >> 10 & 31, man = h & 1023;
    double v = exp ? ldexp(man + 1024, exp - 25) : ldexp(man, -24);

    return h & 0x8000 ? -v : v;
}

/* Nearest fp16 by search: slow, but shares nothing with the device. */
static uint16_t to_half(float f)
{
    uint16_t lo = 0, hi = 0x7bff, sign = signbit(f) ? 0x8000 : 0;
    double v = fabs(f), down, up;

    if (v >= 65520) {
        return sign | 0x7c00;
    }
    while (lo < hi) {
        uint16_t mid = (lo + hi + 1) / 2;

        if (half(mid) <= v) {
            lo = mid;
        } else {
            hi = mid - 1;
        }
    }
    down = v - half(lo);
    up = (lo == 0x7bff ? 65536 : half(lo + 1)) - v;
    if (up < down || (up == down && (lo & 1))) {
        lo++;
    }
    return sign | lo;
}

static int64_t clamp(int64_t v, int bits)
{
    int64_t top = (int64_t)1 << (bits - 1);

    return v < -top ? -top : v >= top ? top - 1 : v;
}

/* v / 2^shift to nearest; ties to even, or away from zero */
static int64_t round_shift(int64_t v, int shift, bool away)
{
    int64_t one = (int64_t)1 << shift, whole = v / one, rest = v % one;

    if (rest < 0) {
        rest += one;
        whole--;
    }
    if (2 * rest > one || (2 * rest == one && (away ? v > 0 : whole & 1))) {
        whole++;
    }
    return whole;
}

enum { I8, I16, F16, BF16, I32, F32, I4, TF32 };

static int bits_of(int precision)
{
    static const int bits[] = { 8, 16, 16, 16, 32, 32, 4, 32 };

    return bits[precision];
}

/* Bytes; half ones come to 0 */
static int size_of(int precision)
{
    return bits_of(precision) / 8;
}

/* Byte offset of (c, y, x) in a tensor of atoms; pitches in atoms. */
static size_t cube(int c, int y, int x, int w, size_t surf, int size)
{
    int c2 = 16 / size;

    return (c / c2 * surf + (size_t)y * w + x) * 16 + c % c2 * size;
}

static void store(uint8_t *p, int64_t v, int size)
{
    for (int i = 0; i < size; i++) {
        p[i] = v >> (8 * i);
    }
}

/* The same for elements of any width, at a bit; the first has low bits. */
static void store_bits(uint8_t *m, size_t at, int64_t v, int bits)
{
    if (bits == 4) {
        m[at / 8] |= (v & 15) << at % 8;
    } else {
        store(m + at / 8, v, bits / 8);
    }
}

static uint32_t float_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    return u;
}

static int rnd(GRand *r, int lo, int hi)
{
    return g_rand_int_range(r, lo, hi + 1);
}

/* fp16 that keeps sums of a few thousand products exact in a double */
static uint16_t rnd_half(GRand *r)
{
    return to_half(rnd(r, -512, 512) / 64.0f);
}

static void check_output(const uint8_t *want, const char *what)
{
    g_autofree uint8_t *got = g_malloc(OUT_SIZE);

    qtest_bufread(qts, OUTPUT, got, OUT_SIZE);
    for (int i = 0; i < OUT_SIZE; i++) {
        if (got[i] != want[i]) {
            g_test_message("%s: byte 0x%x is 0x%02x, not 0x%02x", what, i,
                           got[i], want[i]);
        }
        g_assert_cmphex(got[i], ==, want[i]);
    }
}

static uint8_t *clear_output(void)
{
    uint8_t *want = g_malloc(OUT_SIZE);

    memset(want, SENTINEL, OUT_SIZE);
    qtest_memset(qts, OUTPUT, SENTINEL, OUT_SIZE);
    return want;
}

/*
 * Convolution
 */

typedef struct Conv {
    int in, out;                /* precisions */
    bool dw;
    int packed;                 /* channels of packed pixels, 0: atoms */
    int w, h, ic, oc;
    int kw, kh, sx, sy, dx, dy, pl, pt, ow, oh;
    uint32_t pad;
    bool qd;
    int ow_op, truncate;
    int bias;                   /* 0 none, 1 dense, 7 packed */
    int mul_shift, mul_shift_neg;
    bool relu;
    int relux;
    int bn_add, bn_mul, bn_shift;   /* BN, when bn_mul is not 0 */
    int scale, shift, offset;
    bool away, add_first;
    int notch, pend;
    int addend;                 /* EW through both RDMAs: offset, scale */
    int ew_offset, ew_scale, ew_shift;
    /* tensors */
    int32_t *x, *wt;            /* values, or fp16 bit patterns */
    int32_t *a, *b, *c;         /* per channel: ALU, CPEND, multiplier */
    int32_t *e;
} Conv;

/* Kernels, and channels, of one group of the weights */
static int kernel_group(const Conv *v)
{
    return v->in == I8 ? 32 : v->in == I4 ? 64 : 16;
}

static int channel_group(const Conv *v)
{
    return v->dw && v->in == I8 ? 64 : v->in == TF32 ? 16 : 32;
}

static int group_of(const Conv *v)
{
    return kernel_group(v) * (v->dw ? 2 : 1);
}

static bool is_float(const Conv *v)
{
    return v->in == F16 || v->in == BF16 || v->in == TF32;
}

static double float_value(const Conv *v, int32_t bits)
{
    uint32_t u = v->in == BF16 ? (uint32_t)bits << 16 : bits & ~0x1fff;
    float f;

    memcpy(&f, &u, 4);
    return v->in == F16 ? half(bits) : f;
}

static int padded_ic(const Conv *v)
{
    int atom = 128 / bits_of(v->in);

    return v->packed ? 16 : DIV_ROUND_UP(v->ic, atom) * atom;
}

static int padded_oc(const Conv *v)
{
    return ROUND_UP(v->oc, group_of(v));
}

static int kernels_of(const Conv *v)
{
    return v->dw ? 1 : v->in == I8 ? ROUND_UP(v->oc, 2) : v->oc;
}

static size_t x_index(const Conv *v, int c, int y, int x)
{
    return ((size_t)c * v->h + y) * v->w + x;
}

static size_t w_index(const Conv *v, int o, int i, int ky, int kx)
{
    return (((size_t)o * padded_ic(v) + i) * v->kh + ky) * v->kw + kx;
}

static int32_t rnd_value(const Conv *v, GRand *r)
{
    switch (v->in) {
    case I8:
        return rnd(r, -128, 127);
    case I16:
        return rnd(r, -32768, 32767);
    case I4:
        return rnd(r, -8, 7);
    case BF16:
        return float_bits(rnd(r, -128, 128) / 8.0f) >> 16;
    case TF32:
        /* bits that must not count */
        return float_bits(rnd(r, -1000, 1000) / 16.0f) | rnd(r, 0, 0x1fff);
    default:
        return rnd_half(r);
    }
}

static void conv_random_data(Conv *v, GRand *r)
{
    int ic = padded_ic(v), oc = padded_oc(v);
    int rows = v->dw ? 1 : ROUND_UP(kernels_of(v), 2);

    v->x = g_new0(int32_t, (size_t)ic * v->h * v->w);
    v->wt = g_new0(int32_t, (size_t)rows * ic * v->kh * v->kw);
    v->a = g_new0(int32_t, oc);
    v->b = g_new0(int32_t, oc);
    v->c = g_new0(int32_t, oc);
    v->e = g_new0(int32_t, (size_t)oc * v->oh * v->ow);
    for (int i = 0; i < (v->packed ? v->packed : ic) * v->h * v->w; i++) {
        v->x[i] = v->packed && v->in == I8 ? rnd(r, 0, 255) : rnd_value(v, r);
    }
    for (int i = 0; i < rows * ic * v->kh * v->kw; i++) {
        v->wt[i] = rnd_value(v, r);
    }
    for (int i = 0; i < oc; i++) {
        v->a[i] = v->bias ? rnd(r, -20000, 20000) : 0;
        v->b[i] = v->bias == 7 ? rnd(r, -128, 128) : v->ow_op;
        v->c[i] = rnd(r, -3000, 3000);
    }
    for (int i = 0; i < oc * v->oh * v->ow; i++) {
        v->e[i] = v->in == F16 ? rnd_half(r) : rnd(r, -128, 127);
    }
}

static void conv_free_data(Conv *v)
{
    g_free(v->x);
    g_free(v->wt);
    g_free(v->a);
    g_free(v->b);
    g_free(v->c);
    g_free(v->e);
}

static void load_features(const Conv *v)
{
    int bits = bits_of(v->in), ic = padded_ic(v), c2 = 128 / bits;
    size_t bytes = (size_t)v->w * v->h * ic * bits / 8;
    g_autofree uint8_t *m = g_malloc0(bytes);

    for (int c = 0; c < (v->packed ? v->packed : ic); c++) {
        for (int y = 0; y < v->h; y++) {
            for (int x = 0; x < v->w; x++) {
                size_t at = v->packed ?
                    ((y * v->w + x) * v->packed + c) * bits :
                    ((size_t)(c / c2 * v->h + y) * v->w + x) * 128 +
                    c % c2 * bits;

                store_bits(m, at, v->x[x_index(v, c, y, x)], bits);
            }
        }
    }
    qtest_bufwrite(qts, INPUT, m, bytes);
}

/* Kernel groups, channel groups, taps, kernels, channels: outside to inside */
static void load_weights(const Conv *v)
{
    int bits = bits_of(v->in), ic = padded_ic(v), rows = kernels_of(v);
    int kg = kernel_group(v), cg = channel_group(v);
    size_t bytes = DIV_ROUND_UP((size_t)rows * ic * v->kh * v->kw * bits, 8);
    g_autofree uint8_t *m = g_malloc0(bytes);
    size_t at = 0;

    for (int o0 = 0; o0 < rows; o0 += kg) {
        for (int i0 = 0; i0 < ic; i0 += cg) {
            for (int t = 0; t < v->kh * v->kw; t++) {
                for (int o = o0; o < MIN(rows, o0 + kg); o++) {
                    for (int i = i0; i < MIN(ic, i0 + cg); i++, at += bits) {
                        store_bits(m, at, v->wt[w_index(v, o, i, t / v->kw,
                                                        t % v->kw)], bits);
                    }
                }
            }
        }
    }
    qtest_bufwrite(qts, WEIGHTS, m, bytes);
}

static void load_operands(const Conv *v)
{
    int oc = padded_oc(v), size = v->in == F16 ? 2 : 1;
    g_autofree uint8_t *m = g_malloc0(oc * 8);
    size_t bytes = (size_t)oc * v->oh * v->ow * size;
    g_autofree uint8_t *e = g_malloc0(bytes);

    for (int c = 0; c < oc; c++) {
        if (v->bias == 7) {
            store(m + c / 8 * 64 + c % 8 * 4, v->a[c], 4);
            store(m + c / 8 * 64 + 32 + c % 8 * 2, v->b[c], 2);
            store(m + c / 8 * 64 + 48 + c % 8 * 2, v->c[c], 2);
        } else {
            store(m + c * 4, v->a[c], 4);
        }
        for (int i = 0; i < v->oh * v->ow; i++) {
            store(e + cube(c, i / v->ow, i % v->ow, v->ow, v->oh * v->ow,
                           size), v->e[c * v->oh * v->ow + i], size);
        }
    }
    qtest_bufwrite(qts, OPERANDS, m, oc * 8);
    qtest_bufwrite(qts, ADDEND, e, bytes);
}

static void put_cna(Stream *s, const Conv *v)
{
    int ic = padded_ic(v);
    uint32_t kernel = v->kw * v->kh * ic * bits_of(v->in) / 8;
    uint32_t con1 = (v->dw ? 3 : 0) | v->in << 4 | v->in << 7;
    bool cvt = v->packed && v->in == I8;

    con1 |= v->packed ? 3u << 29 | (7 + v->packed) << 12 : 0;
    put(s, 0x1040, 0x1b);
    put(s, 0x100c, con1);
    put(s, 0x4004, 0xe);
    put(s, 0x5004, 0xe);
    put(s, 0x1010, 52 << 4);
    put(s, 0x1014, v->sx | v->sy << 3 | (v->dx - 1) << 16 |
        (v->dy - 1) << 21);
    put(s, 0x1020, v->w << 16 | v->h);
    put(s, 0x1024, ((v->packed ? v->packed : ic) - 1) << 16 | ic);
    put(s, 0x1028, v->ow);
    put(s, 0x102c, v->ow * v->oh);
    put(s, 0x1030, kernel * kernels_of(v));
    put(s, 0x1034, kernel);
    put(s, 0x1038, v->kw << 24 | v->kh << 16 | kernels_of(v));
    put(s, 0x1044, 1);
    put(s, 0x104c, cvt ? 14 * 0x41041 << 4 : 0xb);
    for (int i = 0; i < 4; i++) {
        /* -128, -127, ... so that a wrong lane shows */
        put(s, 0x1050 + 4 * i, cvt ? 16384u << 16 | (0xff80 + i) : 1 << 16);
    }
    put(s, 0x1060, 0);
    put(s, 0x1068, v->pl << 4 | v->pt);
    put(s, 0x1070, INPUT);
    put(s, 0x1078, 15 << 16 | 15);
    put(s, 0x107c, v->packed ? v->w : 4 * v->w);
    put(s, 0x1080, (v->w * (v->h - 4)) & 0xfffffff);
    put(s, 0x1084, v->w << 16 | v->h);
    put(s, 0x1088, ic);
    put(s, 0x1100, 0);
    put(s, 0x1104, 0);
    put(s, 0x1110, WEIGHTS);
    put(s, 0x1180, cvt ? 0xffff : 0);
    put(s, 0x1184, v->pad);
    put(s, 0x3010, v->in << 8 | (v->dw ? 2 : 0) | v->qd);
    put(s, 0x3014, (v->oh - 1) << 16 | (v->ow - 1));
    put(s, 0x3018, padded_oc(v) - 1);
    put(s, 0x301c, v->truncate);
}

static void put_dpu_output(Stream *s, const Conv *v, uint32_t mode)
{
    int atoms = group_of(v) * size_of(v->out) / 16;
    int oc = padded_oc(v), area = (v->ow + v->notch) * v->oh;
    int proc = v->in == TF32 ? F32 : v->in;

    put(s, 0x400c, mode | 2 << 1 | 15 << 5 | (v->dw ? 3 << 3 : 0));
    put(s, 0x4010, (uint32_t)v->out << 29 | proc << 26 | proc |
        v->mul_shift_neg << 4 | 5 << 10);
    put(s, 0x4014, v->pend & 0xffff);
    put(s, 0x4020, OUTPUT);
    put(s, 0x4024, area * 16);
    put(s, 0x4030, v->ow - 1);
    put(s, 0x4034, v->oh - 1);
    put(s, 0x4038, v->notch << 16 | v->notch);
    put(s, 0x403c, (v->oc - 1) << 16 | (oc - 1));
    put(s, 0x4050, (atoms - 1) * 0x124 | (v->qd ? 0 : 2) |
        (v->bias == 7 ? 1 : 0));
    put(s, 0x4054, v->ow_op & 0xffff);
    put(s, 0x4058, oc - 1);
    put(s, 0x405c, (v->oh - 1) << 16 | (v->ow - 1));
    put(s, 0x4080, v->offset);
    put(s, 0x4084, (v->scale & 0xffff) | (v->out == F16 ? 1 << 16 : 0));
    put(s, 0x4088, v->shift | (v->away ? 1u << 30 : 0) |
        (v->add_first ? 1u << 31 : 0));
    put(s, 0x40c0, area * 16 * atoms);
    put(s, 0x500c, v->ow - 1);
    put(s, 0x5010, v->oh - 1);
    put(s, 0x5014, oc - 1);
}

static void put_dpu(Stream *s, const Conv *v)
{
    uint32_t bs = 2 << 16 | (v->bias ? 1 << 8 : 0) | (v->relu ? 0 : 1 << 6) |
        (v->relux ? 1 << 7 : 0) | (v->bias == 7 ? 0 : 1 << 4);
    int area = v->ow * v->oh;

    put_dpu_output(s, v, 0);
    put(s, 0x4040, v->bias || v->relu || v->qd ? bs : 0x53);
    put(s, 0x4044, 0);
    put(s, 0x4048, v->mul_shift << 8 | (v->bias == 7 ? 1 : 0));
    put(s, 0x404c, v->relux);
    put(s, 0x4060, v->bn_mul ? 4 << 16 | 1 << 7 : 0x53);
    put(s, 0x4064, v->bn_add);
    put(s, 0x4068, (v->bn_mul & 0xffff) << 16 | v->bn_shift << 8);
    put(s, 0x406c, 1 << 24);
    put(s, 0x501c, v->bias << 1);
    put(s, 0x5020, OPERANDS);
    put(s, 0x5028, 0);
    if (!v->addend) {
        put(s, 0x4070, 0x383);
        put(s, 0x5034, 1);
        put(s, 0x5044, 0x7810 | (v->dw ? 6 : 0));
        return;
    }
    put(s, 0x4070, v->in == F16 ? 0x108202c0 : 0x904202c0);
    put(s, 0x4074, v->ew_offset);
    put(s, 0x4078, v->ew_scale | v->ew_shift << 16);
    put(s, 0x5018, ADDEND);
    put(s, 0x5034, v->in == F16 ? 0x40000008 : 0x40000004);
    put(s, 0x5038, ADDEND + area * 16);
    put(s, 0x5040, area * 16);
    put(s, 0x5044, (v->in == F16 ? 0x17d40 : 0x7d00) | (v->dw ? 6 : 0));
    put(s, 0x5048, 0);
    put(s, 0x504c, area * 16);
    put(s, 0x506c, area * 16);
}

/* Feature as the MAC array sees it, padding included */
static int32_t feature(const Conv *v, int c, int y, int x)
{
    int byte = v->dw && v->in == I8 && c % 64 < 32 ? c & 1 : 0;

    if (v->packed && c >= v->packed) {
        return 0;
    }
    if (y < 0 || y >= v->h || x < 0 || x >= v->w) {
        return v->in == I8 ? (int8_t)(v->pad >> 8 * byte)
                           : (int16_t)v->pad;
    }
    if (v->packed && v->in == I8) {
        return clamp(v->x[x_index(v, c, y, x)] - 128 + c, 8);
    }
    return v->x[x_index(v, c, y, x)];
}

static int64_t conv_int(const Conv *v, int o, int oy, int ox)
{
    int64_t acc = 0, sum = 0;

    for (int i = v->dw ? o : 0; i < (v->dw ? o + 1 : padded_ic(v)); i++) {
        for (int ky = 0; ky < v->kh; ky++) {
            for (int kx = 0; kx < v->kw; kx++) {
                int64_t f = feature(v, i, oy * v->sy - v->pt + ky * v->dy,
                                    ox * v->sx - v->pl + kx * v->dx);

                acc += f * v->wt[w_index(v, v->dw ? 0 : o, i, ky, kx)];
                sum += f;
            }
        }
    }
    acc = clamp(round_shift(acc, v->truncate, false), 32);
    sum = clamp(round_shift(sum, v->truncate, false), 32);
    acc += v->a[o] + (v->qd ? v->b[o] * sum : 0);
    if (v->bias == 7) {
        acc = round_shift(acc * v->c[o],
                          acc < 0 ? v->mul_shift_neg : v->mul_shift, false);
    }
    acc = clamp(acc, 32);
    if (v->relu) {
        acc = MAX(acc, 0);
        acc = v->relux ? MIN(acc, v->relux) : acc;
    }
    if (v->bn_mul) {
        acc = (acc - v->bn_add) * v->bn_mul;
        acc = clamp(round_shift(acc, acc * v->bn_mul < 0 ? 5 : v->bn_shift,
                                false), 32);
        acc = MIN(MAX(acc, 0), 1 << 24);
    }
    if (v->addend) {
        int64_t e = v->e[(o * v->oh + oy) * v->ow + ox] + v->ew_offset;

        acc += round_shift(e * v->ew_scale, v->ew_shift, false);
        acc = clamp(acc, 32);
    }
    if (v->add_first) {
        return round_shift((acc + v->offset) * v->scale, v->shift, v->away);
    }
    return round_shift(acc * v->scale, v->shift, v->away) + v->offset;
}

/* Runs of one channel group and tap, exact in a double for this data */
static float conv_float(const Conv *v, int o, int oy, int ox)
{
    float acc = 0;
    int step = v->dw ? 1 : channel_group(v);

    for (int i0 = v->dw ? o : 0; i0 < (v->dw ? o + 1 : padded_ic(v));
         i0 += step) {
        for (int t = 0; t < v->kh * v->kw; t++) {
            int y = oy * v->sy - v->pt + t / v->kw * v->dy;
            int x = ox * v->sx - v->pl + t % v->kw * v->dx;
            double run = 0;

            for (int i = i0; i < MIN(i0 + step, padded_ic(v)); i++) {
                run += float_value(v, feature(v, i, y, x)) *
                    float_value(v, v->wt[w_index(v, v->dw ? 0 : o, i,
                                                 t / v->kw, t % v->kw)]);
            }
            acc += (float)run;
        }
    }
    if (v->addend) {
        acc += (float)half(v->e[(o * v->oh + oy) * v->ow + ox]);
    }
    return acc;
}

static void conv_element(const Conv *v, uint8_t *p, int o, int oy, int ox)
{
    int size = size_of(v->out);

    if (o >= v->oc) {
        store(p, (int16_t)v->pend, size);
    } else if (is_float(v)) {
        float f = conv_float(v, o, oy, ox);

        store(p, v->out == F16 ? to_half(f) : float_bits(f), size);
    } else if (v->out == F32) {
        store(p, float_bits(clamp(conv_int(v, o, oy, ox), 32)), size);
    } else {
        store(p, clamp(conv_int(v, o, oy, ox), 8 * size), size);
    }
}

static void run_conv(Conv *v, GRand *r, const char *what)
{
    int size = size_of(v->out);
    g_autofree uint8_t *want = NULL;
    Stream s = { .n = 0 };

    conv_random_data(v, r);
    load_features(v);
    load_weights(v);
    load_operands(v);
    want = clear_output();
    for (int o = 0; o < padded_oc(v); o++) {
        for (int y = 0; y < v->oh; y++) {
            for (int x = 0; x < v->ow; x++) {
                size_t at = cube(o, y, x, v->ow + v->notch,
                                 (v->ow + v->notch) * v->oh, size);

                g_assert_cmpint(at + size, <=, OUT_SIZE);
                conv_element(v, want + at, o, y, x);
            }
        }
    }
    put_cna(&s, v);
    put_dpu(&s, v);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    check_output(want, what);
    conv_free_data(v);
}

/* A random shape; the output has every row and column the input allows. */
static Conv conv_shape(GRand *r, int in, int out, bool dw)
{
    Conv v = { .in = in, .out = out, .dw = dw, .scale = 1 };

    do {
        v.w = rnd(r, 1, 14);
        v.h = rnd(r, 1, 14);
        v.kw = rnd(r, 1, 5);
        v.kh = rnd(r, 1, 5);
        v.sx = rnd(r, 1, 3);
        v.sy = rnd(r, 1, 3);
        v.dx = rnd(r, 1, 2);
        v.dy = rnd(r, 1, 2);
        v.pl = rnd(r, 0, 2);
        v.pt = rnd(r, 0, 2);
        v.ow = (v.w + 2 * v.pl - (v.kw - 1) * v.dx - 1) / v.sx + 1;
        v.oh = (v.h + 2 * v.pt - (v.kh - 1) * v.dy - 1) / v.sy + 1;
    } while (v.w + 2 * v.pl <= (v.kw - 1) * v.dx ||
             v.h + 2 * v.pt <= (v.kh - 1) * v.dy);
    v.ic = rnd(r, 1, 5) * (128 / bits_of(in));
    v.oc = dw ? v.ic : rnd(r, 1, 70);
    v.notch = rnd(r, 0, 3);
    return v;
}

static void quantise(Conv *v, GRand *r)
{
    v->scale = rnd(r, 0, 9) ? rnd(r, 1 << 14, 32767) : rnd(r, -32768, -1);
    v->shift = rnd(r, 18, 24);
    v->offset = rnd(r, -128, 127);
    v->away = rnd(r, 0, 1);
    v->bias = 1;
    v->qd = true;
    v->ow_op = rnd(r, -127, 128);
    v->pad = v->dw ? g_rand_int(r) : (uint32_t)rnd(r, -128, 127);
    v->pend = rnd(r, -128, 127);
}

static void test_conv_int8(void)
{
    GRand *r = g_rand_new_with_seed(1);

    for (int i = 0; i < 40; i++) {
        Conv v = conv_shape(r, I8, I8, false);

        quantise(&v, r);
        v.truncate = i % 8 == 7 ? rnd(r, 1, 4) : 0;
        v.relu = i % 5 == 4;
        v.relux = i % 10 == 9 ? rnd(r, 1, 100000) : 0;
        v.add_first = i % 7 == 6;
        v.bn_mul = i % 6 == 5 ? rnd(r, -3000, 3000) : 0;
        v.bn_add = rnd(r, -10000, 10000);
        v.bn_shift = rnd(r, 0, 12);
        run_conv(&v, r, "conv int8");
    }
    g_rand_free(r);
}

static void test_conv_depthwise(void)
{
    GRand *r = g_rand_new_with_seed(2);

    for (int i = 0; i < 30; i++) {
        Conv v = conv_shape(r, I8, I8, true);

        quantise(&v, r);
        if (i % 3 == 0) {
            v.ic = v.oc = 16 * rnd(r, 4, 9);
        }
        run_conv(&v, r, "depthwise int8");
    }
    g_rand_free(r);
}

static void test_conv_first_layer(void)
{
    GRand *r = g_rand_new_with_seed(3);

    for (int i = 0; i < 16; i++) {
        Conv v = conv_shape(r, i % 4 == 3 ? F16 : I8, i % 4 == 3 ? F16 : I8,
                            false);

        if (v.in == I8) {
            quantise(&v, r);
        }
        v.packed = v.ic = 1 + i / 4;
        v.w = rnd(r, 16, 30);
        v.ow = (v.w + 2 * v.pl - (v.kw - 1) * v.dx - 1) / v.sx + 1;
        run_conv(&v, r, "first layer");
    }
    g_rand_free(r);
}

static void test_conv_outputs(void)
{
    static const struct {
        int in, out;
    } kinds[] = {
        { I8, I32 }, { I8, I16 }, { I8, F32 }, { I16, I32 }, { I16, I16 },
        { I4, I16 }, { BF16, F32 }, { TF32, F32 },
    };
    GRand *r = g_rand_new_with_seed(4);

    for (int i = 0; i < 40; i++) {
        int k = i % ARRAY_SIZE(kinds);
        Conv v = conv_shape(r, kinds[k].in, kinds[k].out, false);

        v.pad = v.in == I8 ? rnd(r, -128, 127) :
            v.in == I16 ? rnd(r, 0, 32767) * 0x10001 : 0;
        v.pend = v.out == F32 ? 0 : rnd(r, -32768, 32767);
        v.shift = v.out == I16 && v.in != I4 ? rnd(r, 4, 16) : 0;
        run_conv(&v, r, "conv to wider output");
    }
    g_rand_free(r);
}

static void test_conv_multiplier(void)
{
    GRand *r = g_rand_new_with_seed(5);

    for (int i = 0; i < 16; i++) {
        Conv v = conv_shape(r, I8, i % 2 ? I8 : I32, false);

        quantise(&v, r);
        v.bias = 7;
        v.mul_shift = rnd(r, 0, 20);
        v.mul_shift_neg = rnd(r, 0, 20);
        v.scale = 1;
        v.shift = v.out == I8 ? rnd(r, 0, 12) : 0;
        run_conv(&v, r, "per-channel multiplier");
    }
    g_rand_free(r);
}

static void test_conv_add(void)
{
    GRand *r = g_rand_new_with_seed(6);

    for (int i = 0; i < 20; i++) {
        Conv v = conv_shape(r, I8, I8, i % 3 == 2);

        quantise(&v, r);
        v.addend = 1;
        v.notch = 0;
        v.ew_offset = rnd(r, -128, 128);
        v.ew_scale = rnd(r, 1 << 14, 32767);
        v.ew_shift = rnd(r, 2, 14);
        run_conv(&v, r, "conv with addend");
    }
    for (int i = 0; i < 8; i++) {
        Conv v = conv_shape(r, F16, i % 2 ? F16 : F32, false);

        v.addend = 1;
        v.notch = 0;
        v.ew_scale = 1;
        run_conv(&v, r, "fp16 conv with addend");
    }
    g_rand_free(r);
}

static void test_conv_fp16(void)
{
    GRand *r = g_rand_new_with_seed(7);

    for (int i = 0; i < 30; i++) {
        Conv v = conv_shape(r, F16, i % 2 ? F16 : F32, i % 3 == 2);

        run_conv(&v, r, "conv fp16");
    }
    g_rand_free(r);
}

/*
 * Sums whose bits are further apart than a double is wide: 2^30, half a unit
 * in its last fp32 place, and 2^-48, which decides the rounding.
 */
static void test_fp16_exact(void)
{
    static const struct {
        uint16_t tiny;          /* 2^-24, 0 or -2^-24 */
        float want;
    } cases[] = {
        { 0x0001, 1073741824.0f + 128 },
        { 0x0000, 1073741824.0f },
        { 0x8001, 1073741824.0f },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree uint8_t *want = NULL;
        Conv v = {
            .in = F16, .out = F32, .w = 1, .h = 1, .ic = 32, .oc = 16,
            .kw = 1, .kh = 1, .sx = 1, .sy = 1, .dx = 1, .dy = 1,
            .ow = 1, .oh = 1, .scale = 1,
        };
        GRand *r = g_rand_new_with_seed(8);
        Stream s = { .n = 0 };

        conv_random_data(&v, r);
        memset(v.x, 0, 32 * 4);
        memset(v.wt, 0, 16 * 32 * 4);
        v.x[3] = 0x7800;                /* 32768 */
        v.x[9] = 0x4800;                /* 8 */
        v.x[31] = cases[i].tiny;
        for (int o = 0; o < 16; o++) {
            v.wt[o * 32 + 3] = 0x7800;
            v.wt[o * 32 + 9] = 0x4800;
            v.wt[o * 32 + 31] = 0x0001;
        }
        load_features(&v);
        load_weights(&v);
        want = clear_output();
        for (int o = 0; o < 16; o++) {
            store(want + o * 4, float_bits(cases[i].want), 4);
        }
        put_cna(&s, &v);
        put_dpu(&s, &v);
        put_end(&s, 0, 0, 0x1d);
        run_stream(&s, 0x300);
        check_output(want, "fp16 wide sum");
        conv_free_data(&v);
        g_rand_free(r);
    }
}

/* Features by rows: GROUP_LINE_OFF, one pixel wide, K / 8 atoms a row */
static void test_matmul_rows(void)
{
    GRand *r = g_rand_new_with_seed(9);
    Conv v = {
        .in = F16, .out = F32, .w = 1, .h = 6, .ic = 96, .oc = 48,
        .kw = 1, .kh = 1, .sx = 1, .sy = 1, .dx = 1, .dy = 1,
        .ow = 1, .oh = 6, .scale = 1,
    };
    g_autofree uint8_t *want = NULL;
    g_autofree uint8_t *rows = g_malloc0(6 * 96 * 2);
    Stream s = { .n = 0 };

    conv_random_data(&v, r);
    load_weights(&v);
    for (int i = 0; i < 6 * 96; i++) {
        store(rows + i * 2, v.x[x_index(&v, i % 96, i / 96, 0)], 2);
    }
    qtest_bufwrite(qts, INPUT, rows, 6 * 96 * 2);
    want = clear_output();
    for (int o = 0; o < 48; o++) {
        for (int m = 0; m < 6; m++) {
            conv_element(&v, want + cube(o, m, 0, 1, 6, 4), o, m, 0);
        }
    }
    put_cna(&s, &v);
    put(&s, 0x100c, 1u << 29 | F16 << 4 | F16 << 7);
    put(&s, 0x107c, 96 / 8);
    put(&s, 0x1080, 0);
    put_dpu(&s, &v);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    check_output(want, "row-major matmul");
    conv_free_data(&v);
    g_rand_free(r);
}

/*
 * Elementwise, flying mode
 */

static int64_t ew_int(int op, int64_t a, int64_t b, int shift)
{
    switch (op) {
    case 0:
        return MAX(a, b);
    case 1:
        return MIN(a, b);
    case 2:
        return clamp(a + b, 32);
    case 4:
        return clamp(a - b, 32);
    default:
        return clamp(round_shift(a * b, shift, false), 32);
    }
}

static float ew_float(int op, float a, float b)
{
    switch (op) {
    case 0:
        return a > b ? a : b;
    case 1:
        return a < b ? a : b;
    case 2:
        return a + b;
    case 3:
        return a / b;
    case 4:
        return a - b;
    default:
        return a * b;
    }
}

/* op 16 is the multiplier */
static void put_elementwise(Stream *s, int precision, int op, int c, int w,
                            int h, int shift)
{
    int size = size_of(precision), width = size == 4 ? 3 : size;
    Conv v = { .in = precision, .out = precision, .oc = c, .ow = w, .oh = h,
               .scale = 1 };

    put(s, 0x4004, 0xe);
    put(s, 0x5004, 0xe);
    put_dpu_output(s, &v, 1);
    put(s, 0x4010, (uint32_t)precision << 29 | precision << 26 | precision |
        shift << 16);
    put(s, 0x403c, (c - 1) << 16 | (c - 1));
    put(s, 0x4050, 2);
    put(s, 0x40c0, w * h * 16);
    put(s, 0x4040, 0x53);
    put(s, 0x4060, 0x53);
    put(s, 0x4070, 1u << 28 | width << 22 | 0x3c0 |
        (op == 16 ? 4 : op << 16));
    put(s, 0x4078, 1 | shift << 22);
    put(s, 0x5014, c - 1);
    put(s, 0x5018, INPUT);
    put(s, 0x5034, 1u << 30 | width << 2);
    put(s, 0x5038, ADDEND);
    put(s, 0x5040, w * h * 16);
    put(s, 0x5044, precision << 15 | 15 << 11 | (w & 1 ? 4 << 8 : 0) |
        precision << 5 | 1);
    put(s, 0x5048, 0);
    put(s, 0x504c, 0);
    put(s, 0x506c, 0);
    put_end(s, 0, 0, 0x18);
}

static void run_elementwise(GRand *r, int precision, int op)
{
    int size = size_of(precision), c = rnd(r, 1, 4) * (16 / size);
    int w = rnd(r, 1, 20), h = rnd(r, 1, 9), n = c * w * h;
    int shift = op == 16 && precision != F16 ? 5 : 0;
    bool is_float = precision == F16;
    g_autofree uint8_t *a = g_malloc0(n * size), *b = g_malloc0(n * size);
    g_autofree uint8_t *want = clear_output();
    Stream s = { .n = 0 };

    for (int i = 0; i < n; i++) {
        int32_t x = is_float ? rnd_half(r) : (int32_t)g_rand_int(r);
        int32_t y = is_float ? rnd_half(r) : (int32_t)g_rand_int(r);

        x = is_float ? x : x >> (32 - 8 * size);
        y = is_float ? y : y >> (32 - 8 * size);
        y = op == 3 && half(y) == 0 ? 0x3c00 : y;
        store(a + i * size, x, size);
        store(b + i * size, y, size);
        if (is_float) {
            store(want + i * size, to_half(ew_float(op, half(x), half(y))),
                  size);
        } else {
            store(want + i * size, clamp(ew_int(op, x, y, shift), 8 * size),
                  size);
        }
    }
    qtest_bufwrite(qts, INPUT, a, n * size);
    qtest_bufwrite(qts, ADDEND, b, n * size);
    put_elementwise(&s, precision, op, c, w, h, shift);
    run_stream(&s, 0x300);
    check_output(want, "elementwise");
}

static void test_elementwise(void)
{
    static const int ops[] = { 0, 1, 2, 4, 16, 3 };
    static const int precisions[] = { I8, I16, I32, F16 };
    GRand *r = g_rand_new_with_seed(10);

    for (int p = 0; p < ARRAY_SIZE(precisions); p++) {
        for (int o = 0; o < ARRAY_SIZE(ops); o++) {
            if (ops[o] != 3 || precisions[p] == F16) {
                run_elementwise(r, precisions[p], ops[o]);
                run_elementwise(r, precisions[p], ops[o]);
            }
        }
    }
    g_rand_free(r);
}

/*
 * Pooling
 */

typedef struct Pool {
    int precision, method;
    int w, h, c, kw, kh, sx, sy, pl, pt, ow, oh, notch, pad;
} Pool;

static void pool_element(const Pool *p, const int32_t *x, uint8_t *out,
                         int c, int oy, int ox)
{
    double best = 0, sum = 0;
    int32_t bits = 0;

    for (int t = 0; t < p->kw * p->kh; t++) {
        int iy = oy * p->sy - p->pt + t / p->kw;
        int ix = ox * p->sx - p->pl + t % p->kw;
        bool in = iy >= 0 && iy < p->h && ix >= 0 && ix < p->w;
        int32_t e = in ? x[(c * p->h + iy) * p->w + ix] : p->pad;
        double v = p->precision == F16 ? half(e) : e;

        sum += v;
        if (!t || (p->method == 1 ? v > best : v < best)) {
            best = v;
            bits = e;
        }
    }
    if (p->method == 0 && p->precision == F16) {
        float rw = half(to_half(65536.0f / p->kw));
        float rh = half(to_half(65536.0f / p->kh));
        float avg = (float)sum * rw;

        avg *= rh;
        bits = to_half(ldexpf(avg, -32));
    } else if (p->method == 0) {
        bits = clamp(round_shift((int64_t)sum * (0x10000 / p->kw) *
                                 (0x10000 / p->kh), 32, false),
                     8 * size_of(p->precision));
    }
    store(out, bits, size_of(p->precision));
}

static void put_pool(Stream *s, const Pool *p)
{
    int size = size_of(p->precision);
    bool avg = p->method == 0;

    put(s, 0x6004, 0xe);
    put(s, 0x7004, 0xe);
    put(s, 0x600c, p->w - 1);
    put(s, 0x6010, p->h - 1);
    put(s, 0x6014, p->c - 1);
    put(s, 0x6018, p->ow - 1);
    put(s, 0x601c, p->oh - 1);
    put(s, 0x6020, p->c - 1);
    put(s, 0x6024, 1 << 4 | p->method | p->notch << 16);
    put(s, 0x6034, (p->kw - 1) | (p->kh - 1) << 8 | (p->sx - 1) << 16 |
        (p->sy - 1) << 20);
    put(s, 0x6038, !avg ? 0 : size == 1 ? 0x10000 / p->kw :
        p->precision == F16 ? to_half(65536.0f / p->kw) : 0x10000 / p->kw);
    put(s, 0x603c, !avg ? 0 : size == 1 ? 0x10000 / p->kh :
        p->precision == F16 ? to_half(65536.0f / p->kh) : 0x10000 / p->kh);
    put(s, 0x6040, p->pl | p->pt << 4);
    put(s, 0x6044, p->pad);
    put(s, 0x6048, 0);
    put(s, 0x6070, OUTPUT);
    put(s, 0x607c, (p->ow + p->notch) * p->oh * 16);
    put(s, 0x6084, (p->ow + p->notch) * p->oh * 16 | p->precision);
    put(s, 0x60dc, 3);
    put(s, 0x700c, p->w - 1);
    put(s, 0x7010, p->h - 1);
    put(s, 0x7014, p->c - 1);
    put(s, 0x701c, INPUT);
    put(s, 0x7024, p->w * 16);
    put(s, 0x7028, p->w * p->h * 16);
    put(s, 0x7030, size);
}

static void run_pool(GRand *r, int precision, int method)
{
    int size = size_of(precision);
    Pool p = { .precision = precision, .method = method };
    g_autofree uint8_t *m = NULL, *want = clear_output();
    g_autofree int32_t *x = NULL;
    Stream s = { .n = 0 };

    /* averages of 4, 16 or 64 values have ties */
    p.kw = method ? rnd(r, 2, 8) : 1 << rnd(r, 1, 3);
    p.kh = method ? rnd(r, 2, 8) : rnd(r, 0, 1) ? p.kw : rnd(r, 2, 8);
    p.w = rnd(r, p.kw, 20);
    p.h = rnd(r, p.kh, 20);
    p.c = rnd(r, 1, 4) * 16 / size;
    p.sx = rnd(r, 1, 4);
    p.sy = rnd(r, 1, 4);
    p.pl = rnd(r, 0, p.kw - 1) & 7;
    p.pt = rnd(r, 0, p.kh - 1) & 7;
    p.ow = (p.w + 2 * p.pl - p.kw) / p.sx + 1;
    p.oh = (p.h + 2 * p.pt - p.kh) / p.sy + 1;
    p.notch = rnd(r, 0, 2);
    p.pad = method == 0 ? 0 : precision == F16 ? rnd_half(r) :
        rnd(r, -128, 127);
    m = g_malloc0(p.w * p.h * p.c * size);
    x = g_new0(int32_t, p.w * p.h * p.c);
    for (int i = 0; i < p.w * p.h * p.c; i++) {
        int c = i / (p.w * p.h), y = i / p.w % p.h;

        x[i] = precision == F16 ? rnd_half(r) :
            precision == I8 ? rnd(r, -128, 127) : rnd(r, -32768, 32767);
        store(m + cube(c, y, i % p.w, p.w, p.w * p.h, size), x[i], size);
    }
    qtest_bufwrite(qts, INPUT, m, p.w * p.h * p.c * size);
    for (int i = 0; i < p.ow * p.oh * p.c; i++) {
        int c = i / (p.ow * p.oh), y = i / p.ow % p.oh;

        pool_element(&p, x, want + cube(c, y, i % p.ow, p.ow + p.notch,
                                        (p.ow + p.notch) * p.oh, size),
                     c, y, i % p.ow);
    }
    put_pool(&s, &p);
    put_end(&s, 0, 0, 0x60);
    run_stream(&s, 0xc00);
    check_output(want, "pooling");
}

static void test_pooling(void)
{
    static const int precisions[] = { I8, I16, F16 };
    GRand *r = g_rand_new_with_seed(11);

    for (int i = 0; i < 36; i++) {
        run_pool(r, precisions[i % 3], i / 3 % 3);
    }
    g_rand_free(r);
}

/*
 * The PC
 */

/* A small convolution: 1x1, 32 to 32 channels, 2x2 pixels */
static Conv small_conv(void)
{
    return (Conv) {
        .in = I8, .out = I8, .w = 2, .h = 2, .ic = 32, .oc = 32,
        .kw = 1, .kh = 1, .sx = 1, .sy = 1, .dx = 1, .dy = 1,
        .ow = 2, .oh = 2, .scale = 1,
    };
}

/* All-one weights and features: every output byte is 32. */
static void load_ones(void)
{
    qtest_memset(qts, INPUT, 1, 0x1000);
    qtest_memset(qts, WEIGHTS, 1, 0x1000);
    qtest_memset(qts, OUTPUT, SENTINEL, 0x10000);
}

static void put_small(Stream *s, uint32_t dst)
{
    Conv v = small_conv();

    put_cna(s, &v);
    put_dpu(s, &v);
    put(s, 0x4020, dst);
}

static void assert_written(uint32_t dst, bool written)
{
    uint8_t got[128];

    qtest_bufread(qts, dst, got, sizeof(got));
    for (int i = 0; i < sizeof(got); i++) {
        g_assert_cmpint(got[i], ==, written ? 32 : SENTINEL);
    }
}

static void test_registers(void)
{
    for (int core = 0; core < 3; core++) {
        g_assert_cmphex(npu_read(core, 0x0), ==, 0x46495245);
        g_assert_cmphex(npu_read(core, 0x4), ==, 0);
        g_assert_cmphex(npu_read(core, PC_INT_MASK), ==, 0x8001ffff);
        g_assert_cmphex(npu_read(core, PC_INT_RAW), ==, 0x40000000);
        g_assert_cmphex(npu_read(core, PC_TASK_STATUS), ==, 0x5000);
        g_assert_cmphex(npu_read(core, 0x300c), ==, 0x07800800);
        g_assert_cmphex(npu_read(core, 0x8000), ==, 0x0fff);
    }
    /* fetch mode: the CPU does not reach the blocks */
    npu_write(0, 0x1020, 0x12345);
    g_assert_cmphex(npu_read(0, 0x1020), ==, 0);
    npu_write(0, PC_BASE, 1);
    npu_write(0, 0x1020, 0x12345);
    g_assert_cmphex(npu_read(0, 0x1020), ==, 0x12345);
    /* two groups */
    npu_write(0, 0x1004, 1);
    g_assert_cmphex(npu_read(0, 0x1020), ==, 0);
    npu_write(0, 0x1020, 0x54321);
    npu_write(0, 0x1004, 0);
    g_assert_cmphex(npu_read(0, 0x1020), ==, 0x12345);
    /* with ping-pong on, a write does not move the pointer */
    npu_write(0, 0x1004, 0xf);
    g_assert_cmphex(npu_read(0, 0x1020), ==, 0x12345);
}

static void test_power(void)
{
    g_assert_cmphex(npu_read(1, 0), ==, 0x46495245);
    npu_write(1, PC_INT_MASK, 0x300);
    npu_power(false);
    g_assert_cmphex(npu_read(1, 0), ==, 0);
    npu_power(true);
    g_assert_cmphex(npu_read(1, 0), ==, 0x46495245);
    g_assert_cmphex(npu_read(1, PC_INT_MASK), ==, 0x8001ffff);

    /* gates of core 1: con27, aclk bit 0, hclk bit 2 */
    for (int bit = 0; bit <= 2; bit += 2) {
        qtest_writel(qts, CRU + 0x800 + 4 * 27, 0x10001 << bit);
        g_assert_cmphex(npu_read(1, 0), ==, 0);
        qtest_writel(qts, CRU + 0x800 + 4 * 27, 0x10000 << bit);
        g_assert_cmphex(npu_read(1, 0), ==, 0x46495245);
    }
}

static void test_interrupt(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);

    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(npu_read(0, PC_OP_EN), ==, 1);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS) & 0xf000, ==, 0xf000);
    /* clearing the start bit aborts nothing; a second start is ignored */
    npu_write(0, PC_OP_EN, 0);
    npu_write(0, PC_OP_EN, 1);
    assert_written(OUTPUT, false);
    g_assert_false(qtest_get_irq(qts, 0));
    g_assert_cmphex(finish(0), ==, 0x155);
    assert_written(OUTPUT, true);
    g_assert_cmphex(npu_read(0, PC_INT_STATUS), ==, 0x100);
    g_assert_cmphex(npu_read(0, PC_INT_RAW) >> 30, ==, 3);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS) & 0xfff, ==, 1);
    g_assert_true(qtest_get_irq(qts, 0));
    npu_write(0, PC_INT_MASK, 0);
    g_assert_false(qtest_get_irq(qts, 0));
    npu_write(0, PC_INT_MASK, 0x300);
    g_assert_true(qtest_get_irq(qts, 0));
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    g_assert_false(qtest_get_irq(qts, 0));
    g_assert_cmphex(npu_read(0, PC_INT_RAW), ==, 0xc0000000);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS), ==, 0x5001);

    /* the next task runs in the other group */
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0x155 << 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0x155);
}

/* A register that a task does not write keeps what its group had. */
static void test_stale(void)
{
    Stream full = { .n = 0 }, second = { .n = 0 }, part = { .n = 0 };

    load_ones();
    put_small(&full, OUTPUT);
    put_end(&full, 0, 0, 0x1d);
    run_stream(&full, 0x300);
    put_small(&second, OUTPUT + 0x1000);
    put_end(&second, 0, 0, 0x1d);
    run_stream(&second, 0x300);
    qtest_memset(qts, OUTPUT, SENTINEL, 0x10000);
    /* nothing but the trailer: the first task again, then the second */
    put(&part, 0x4004, 0xe);
    put(&part, 0x5004, 0xe);
    put_end(&part, 0, 0, 0x1d);
    run_stream(&part, 0x100);
    assert_written(OUTPUT, true);
    assert_written(OUTPUT + 0x1000, false);
    run_stream(&part, 0x200);
    assert_written(OUTPUT + 0x1000, true);
}

static void build_chain(int tasks, bool link)
{
    for (int i = 0; i < tasks; i++) {
        Stream s = { .n = 0 };
        uint32_t next = STREAM + (i + 1) * 0x1000;

        put_small(&s, OUTPUT + i * 0x1000);
        put_end(&s, link || i + 1 == tasks ? next : 0, s.n + 4, 0x1d);
        load_stream(&s, STREAM + i * 0x1000);
    }
}

static void test_chain(void)
{
    Stream s = { .n = 0 };

    put_small(&s, 0);
    put_end(&s, 1, 0, 0x1d);

    load_ones();
    build_chain(5, true);
    kick(0, STREAM, s.n, 5);
    /* only the last task raises bits */
    for (int i = 0; i < 4; i++) {
        qtest_clock_step(qts, 2500);
        g_assert_cmphex(npu_read(0, PC_INT_RAW) & RAW_BITS, ==, 0);
    }
    g_assert_cmphex(finish(0), ==, 0x155);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS) & 0xfff, ==, 5);
    for (int i = 0; i < 5; i++) {
        assert_written(OUTPUT + i * 0x1000, true);
    }

    /* TASK_NUMBER decides, not the links */
    load_ones();
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    kick(0, STREAM, s.n, 2);
    g_assert_cmphex(finish(0) & 0x300, !=, 0);
    assert_written(OUTPUT + 0x1000, true);
    assert_written(OUTPUT + 0x2000, false);

    /* without an address the second task stalls */
    load_ones();
    build_chain(2, false);
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    kick(0, STREAM, s.n, 2);
    g_assert_cmphex(finish(0), ==, 0);
    assert_written(OUTPUT, true);
    assert_written(OUTPUT + 0x1000, false);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS) & 0xfff, ==, 1);
}

/* What AMOUNTS may be: too much, exact, without the trailer; not less. */
static void test_amounts(void)
{
    static const struct {
        int words;
        bool runs;
    } cases[] = { { 200, true }, { 0, true }, { -4, true }, { -6, false } };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        Stream s = { .n = 0 };

        load_ones();
        put_small(&s, OUTPUT);
        while (s.n % 2) {
            s.word[s.n++] = 0;
        }
        put_end(&s, 0, 0, 0x1d);
        load_stream(&s, STREAM);
        /* not a command word; behind the enable word nobody looks */
        qtest_writeq(qts, STREAM + s.n * 8, 0x5555ull << 48 | 1);
        kick(0, STREAM, s.n + cases[i].words, 1);
        finish(0);
        assert_written(OUTPUT, cases[i].runs);
    }
}

/* A stream reaches the registers of the PC as the CPU does. */
static void test_stream_pc(void)
{
    static const struct {
        uint32_t offset, value, reads;
    } regs[] = {
        { PC_INT_MASK, 0, 0x80000000 },
        { PC_INT_MASK, RAW_BITS, 0x8001ffff },
        { PC_TASK_CON, 0x7003, 0x5003 },
        { 0x34, 0x123450, 0x123450 },
        { 0x00, 1, 0x46495245 },
        { 0xf00, 1, 0 },
    };

    for (int i = 0; i < ARRAY_SIZE(regs); i++) {
        Stream s = { .n = 0 };

        load_ones();
        put(&s, regs[i].offset, regs[i].value);
        put_small(&s, OUTPUT);
        put_end(&s, 0, 0, 0x1d);
        run_stream(&s, 0x300);
        assert_written(OUTPUT, true);
        g_assert_cmphex(npu_read(0, regs[i].offset), ==, regs[i].reads);
    }
}

/* A kick that sets up nothing but the stream */
static void restart(const Stream *s)
{
    npu_write(0, PC_BASE, STREAM);
    npu_write(0, PC_AMOUNTS, (s->n + 1) / 2 - 1);
    npu_write(0, PC_OP_EN, 1);
}

/* What that does to the task itself and to those after it */
static void test_stream_hostile(void)
{
    Stream s = { .n = 0 }, last = { .n = 0 };

    /* one task was asked for, and one it is, but the next kick runs two */
    load_ones();
    put(&s, PC_TASK_CON, 0x7002);
    put_small(&s, OUTPUT);
    put_end(&s, STREAM + 0x1000, s.n + 4, 0x1d);
    put_small(&last, OUTPUT + 0x1000);
    put_end(&last, 0, 0, 0x1d);
    load_stream(&last, STREAM + 0x1000);
    run_stream(&s, 0x300);
    assert_written(OUTPUT + 0x1000, false);
    g_assert_cmphex(npu_read(0, PC_TASK_STATUS) & 0xfff, ==, 1);
    restart(&s);
    g_assert_cmphex(finish(0) & 0x300, !=, 0);
    assert_written(OUTPUT + 0x1000, true);

    /* a mask of everything makes interrupts in the middle of a task */
    s.n = 0;
    put(&s, PC_INT_MASK, RAW_BITS);
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    kick(0, STREAM, s.n, 1);
    while (!qtest_get_irq(qts, 0)) {
        qtest_clock_step(qts, 100);
    }
    g_assert_cmphex(npu_read(0, PC_INT_STATUS) & 0x300, ==, 0);
    g_assert_cmphex(npu_read(0, PC_INT_STATUS) & 0x3f, !=, 0);
    finish(0);

    /* no mask: done, and nobody hears of it */
    s.n = 0;
    put(&s, PC_INT_MASK, 0);
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0) & 0x300, !=, 0);
    g_assert_false(qtest_get_irq(qts, 0));

    /* a start within a stream is one of a busy core; clearing is seen */
    s.n = 0;
    put(&s, PC_INT_CLEAR, RAW_BITS);
    put(&s, PC_OP_EN, 1);
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    restart(&s);
    g_assert_cmphex(npu_read(0, PC_INT_RAW) & RAW_BITS, ==, 0);
    g_assert_cmphex(finish(0) & 0x300, !=, 0);

    /* a DMA base lasts: no task after it starts */
    s.n = 0;
    put(&s, 0x34, 0x1000);
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    restart(&s);
    g_assert_cmphex(finish(0), ==, 0);
}

static void test_core_bits(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    for (int core = 0; core < 3; core++) {
        for (int bits = 0; bits < 3; bits++) {
            npu_reset(core, true);
            npu_reset(core, false);
            npu_write(core, PC_BASE, 1);
            npu_write(core, 0x1004, 0xe | (uint32_t)bits << 28);
            npu_write(core, 0x3004, 0xe | (uint32_t)bits << 28);
            npu_write(core, PC_BASE, STREAM);
            npu_write(core, PC_AMOUNTS, (s.n + 1) / 2 - 1);
            npu_write(core, PC_TASK_CON, 0x7001);
            npu_write(core, PC_OP_EN, 1);
            g_assert_cmphex(finish(core), ==, bits == core ? 0x155 : 0);
        }
    }
}

static void test_slave_mode(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    npu_write(0, PC_BASE, 1);
    npu_write(0, 0x1004, 0xe);
    npu_write(0, 0x3004, 0xe);
    for (unsigned i = 0; i < s.n; i++) {
        npu_write(0, s.word[i] & 0xffff, s.word[i] >> 16);
    }
    npu_write(0, 0xf008, 0x1d);
    g_assert_cmphex(npu_read(0, 0x1000), ==, 1);
    g_assert_cmphex(finish(0), ==, 0x155);
    g_assert_cmphex(npu_read(0, 0x1000), ==, 0);
    g_assert_cmphex(npu_read(0, 0x1008), ==, 0);
    assert_written(OUTPUT, true);
}

/* Each of these hangs; a reset brings the core back. */
static void test_hangs(void)
{
    static const struct {
        uint32_t offset, value;
    } bad[] = {
        { 0x5044, 0x7800 },             /* MRDMA not disabled */
        { 0x403c, 29 << 16 | 29 },      /* channels not in full groups */
        { 0x4070, 0x300 },              /* LUT */
        { 0x1100, 1 },                  /* compressed weights */
        { 0x100c, 0x240 },              /* int32 */
        { 0x1040, 0x11b },              /* FC_DATA_BANK */
        { 0x1014, 0 },                  /* stride 0 */
        { 0x1014, 8 | 8 << 3 },         /* stride 8 wraps to 0 and 2 */
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        Stream s = { .n = 0 };

        load_ones();
        put_small(&s, OUTPUT);
        put(&s, bad[i].offset, bad[i].value);
        put_end(&s, 0, 0, 0x1d);
        load_stream(&s, STREAM);
        kick(0, STREAM, s.n, 1);
        g_assert_cmphex(finish(0), ==, 0);
        g_assert_cmphex(npu_read(0, PC_OP_EN), ==, 1);
        assert_written(OUTPUT, false);
        npu_reset(0, true);
        npu_reset(0, false);

        s.n = 0;
        put_small(&s, OUTPUT);
        put_end(&s, 0, 0, 0x1d);
        run_stream(&s, 0x100);
        assert_written(OUTPUT, true);
    }
}

static void test_reset_while_running(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    kick(0, STREAM, s.n, 1);
    npu_reset(0, true);
    /* in reset: registers are there, writes have no effect */
    npu_write(0, PC_INT_MASK, 0x300);
    g_assert_cmphex(npu_read(0, PC_INT_MASK), ==, 0x8001ffff);
    g_assert_cmphex(finish(0), ==, 0);
    npu_reset(0, false);
    assert_written(OUTPUT, false);
    g_assert_cmphex(npu_read(0, PC_INT_RAW), ==, 0x40000000);
    run_stream(&s, 0x100);
    assert_written(OUTPUT, true);
}

/* Three cores at once, each its own time, none disturbs another. */
static void test_cores(void)
{
    for (int core = 0; core < 3; core++) {
        Stream s = { .n = 0 };

        if (!core) {
            load_ones();
        }
        put_small(&s, OUTPUT + core * 0x1000);
        put_end(&s, 0, 0, 0x1d);
        load_stream(&s, STREAM + core * 0x1000);
        kick(core, STREAM + core * 0x1000, s.n, 1);
    }
    qtest_clock_step(qts, LONG_NS);
    for (int core = 0; core < 3; core++) {
        g_assert_cmphex(npu_read(core, PC_INT_RAW) & RAW_BITS, ==, 0x155);
        assert_written(OUTPUT + core * 0x1000, true);
    }
}

/*
 * IOMMU
 */

/* Identity map of 4 MiB regions, minus one page */
static void iommu_setup(int core, uint32_t hole, bool read_only)
{
    static const uint32_t regions[] = {
        STREAM, INPUT, WEIGHTS, OPERANDS, ADDEND, OUTPUT
    };

    qtest_memset(qts, TABLES, 0, 0x10000);
    for (int i = 0; i < ARRAY_SIZE(regions); i++) {
        uint32_t table = TABLES + 0x1000 * (i + 1);

        qtest_writel(qts, TABLES + (regions[i] >> 22) * 4, table | 1);
        for (int p = 0; p < 1024; p++) {
            uint32_t page = regions[i] + p * 0x1000;

            if (page != hole) {
                qtest_writel(qts, table + p * 4, page | 7);
            } else if (read_only) {
                qtest_writel(qts, table + p * 4, page | 3);
            }
        }
    }
    qtest_writel(qts, IOMMU(core) + 0x08, 1);
    qtest_writel(qts, IOMMU(core) + 0x00, TABLES);
    qtest_writel(qts, IOMMU(core) + 0x08, 4);
    qtest_writel(qts, IOMMU(core) + 0x1c, 3);
    qtest_writel(qts, IOMMU(core) + 0x08, 0);
}

static void check_fault(uint32_t hole, bool read_only, bool write)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    iommu_setup(1, hole, read_only);
    kick(1, STREAM, s.n, 1);
    g_assert_cmphex(finish(1) & ~0x55, ==, 0);
    g_assert_cmphex(npu_read(1, PC_OP_EN), ==, 1);
    assert_written(OUTPUT, false);
    g_assert_cmphex(qtest_readl(qts, IOMMU(1) + 0x14), ==, 1);
    g_assert_cmphex(qtest_readl(qts, IOMMU(1) + 0x0c) & ~0xfff, ==, hole);
    g_assert_cmphex(qtest_readl(qts, IOMMU(1) + 0x04) >> 5 & 1, ==, write);

    /* the core stays stalled until its reset, which clears the IOMMU too */
    npu_reset(1, true);
    npu_reset(1, false);
    iommu_setup(1, 0, false);
    kick(1, STREAM, s.n, 1);
    g_assert_cmphex(finish(1), ==, 0x155);
    assert_written(OUTPUT, true);
    npu_reset(1, true);
    npu_reset(1, false);
}

static void test_dma_fault(void)
{
    check_fault(STREAM, false, false);
    check_fault(INPUT, false, false);
    check_fault(WEIGHTS, false, false);
    check_fault(OUTPUT, false, true);
    check_fault(OUTPUT, true, true);
}

/* Memory that is not there, behind the IOMMU: a bus error with its bit */
static void test_bus_error(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put(&s, 0x1070, 0xfe000000);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    kick(0, STREAM, s.n, 1);
    npu_write(0, PC_INT_MASK, RAW_BITS);
    g_assert_cmphex(finish(0), ==, 1 << 12);
    g_assert_true(qtest_get_irq(qts, 0));
    npu_reset(0, true);
    npu_reset(0, false);

    s.n = 0;
    put_small(&s, 0xfe000000);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0x55 | 1 << 13);
}

/*
 * Fault injection
 */

static void inject(const char *property, int64_t value)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'qom-set', 'arguments': {"
                           " 'path': '/machine/npu0', 'property': %s,"
                           " 'value': %" PRId64 " } }", property, value);

    g_assert_true(qdict_haskey(rsp, "return"));
    qobject_unref(rsp);
}

static void test_inject(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);

    inject("inject-hang", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0);
    npu_reset(0, true);
    npu_reset(0, false);

    inject("inject-stuck", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0);
    npu_reset(0, true);
    npu_reset(0, false);
    g_assert_cmphex(npu_read(0, 0x1000), !=, 0);
    npu_power(false);
    npu_power(true);
    g_assert_cmphex(npu_read(0, 0x1000), ==, 0);

    inject("inject-bus-error", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 1 << 12);
    npu_reset(0, true);
    npu_reset(0, false);

    inject("inject-irq-drop", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0x155);
    g_assert_false(qtest_get_irq(qts, 0));
    npu_write(0, PC_INT_CLEAR, RAW_BITS);

    inject("inject-irq-repeat", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0), ==, 0x155 << 1);
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    g_assert_false(qtest_get_irq(qts, 0));
    g_assert_cmphex(finish(0), ==, 0x200);
    g_assert_true(qtest_get_irq(qts, 0));
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    g_assert_cmphex(finish(0), ==, 0);

    inject("inject-irq-delay-ns", 10 * (int64_t)LONG_NS);
    kick(0, STREAM, s.n, 1);
    g_assert_cmphex(finish(0) & 0x300, ==, 0);
    inject("inject-irq-delay-ns", 0);
    qtest_clock_step(qts, 10 * (int64_t)LONG_NS);
    g_assert_cmphex(npu_read(0, PC_INT_RAW) & 0x300, ==, 0x100);
}

/* An interrupt of somebody else: nothing to see here, and gone after a look */
static void test_inject_foreign(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    load_stream(&s, STREAM);

    inject("inject-irq-foreign", 1);
    kick(0, STREAM, s.n, 1);
    g_assert_true(qtest_get_irq(qts, 0));
    g_assert_cmphex(npu_read(0, PC_INT_STATUS), ==, 0);
    g_assert_false(qtest_get_irq(qts, 0));
    g_assert_cmphex(finish(0), ==, 0x155);
    g_assert_true(qtest_get_irq(qts, 0));
    assert_written(OUTPUT, true);
    npu_write(0, PC_INT_CLEAR, RAW_BITS);

    kick(0, STREAM, s.n, 1);
    g_assert_false(qtest_get_irq(qts, 0));
}

static void late_start(const Stream *s)
{
    load_ones();
    load_stream(s, STREAM);
    kick(0, STREAM, s->n, 1);
    g_assert_cmphex(finish(0), ==, 0x55);
    g_assert_cmphex(npu_read(0, PC_OP_EN), ==, 1);
    assert_written(OUTPUT, false);
    /* those of others do not count, nor does releasing what is not held */
    npu_reset(1, true);
    npu_reset(1, false);
    npu_reset(0, false);
    g_assert_cmphex(finish(0), ==, 0x55);
    assert_written(OUTPUT, false);
    npu_reset(0, true);
    qtest_clock_step(qts, LONG_NS);
    g_assert_cmphex(npu_read(0, PC_INT_RAW) & RAW_BITS, ==, 0);
    assert_written(OUTPUT, false);
    npu_reset(0, false);
    qtest_clock_step(qts, 4000);
    g_assert_cmphex(npu_read(0, PC_INT_RAW) & RAW_BITS, ==, 0);
    assert_written(OUTPUT, false);
}

/* What a reset does not catch comes 5 us after it. */
static void test_inject_late(void)
{
    Stream s = { .n = 0 };

    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);

    inject("inject-irq-late", 1);
    late_start(&s);
    g_assert_cmphex(finish(0), ==, 0x100);
    assert_written(OUTPUT, false);
    npu_write(0, PC_INT_CLEAR, RAW_BITS);

    inject("inject-dma-late", 1);
    late_start(&s);
    g_assert_cmphex(finish(0), ==, 0);
    assert_written(OUTPUT, true);

    /* later still, into the middle of what runs then */
    inject("inject-irq-late", 1);
    inject("inject-dma-late", 1);
    inject("inject-late-ns", 10000);
    late_start(&s);
    g_assert_cmphex(finish(0), ==, 0x100);
    assert_written(OUTPUT, true);

    /* nothing outlives the power */
    npu_write(0, PC_INT_CLEAR, RAW_BITS);
    inject("inject-irq-late", 1);
    inject("inject-dma-late", 1);
    late_start(&s);
    npu_power(false);
    npu_power(true);
    g_assert_cmphex(finish(0), ==, 0);
    assert_written(OUTPUT, false);
}

/* It has been translated before the reset: the tables may go meanwhile. */
static void test_inject_late_iommu(void)
{
    Stream s = { .n = 0 };

    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    iommu_setup(0, 0, false);
    /* the page of the output somewhere else */
    qtest_writel(qts, TABLES + 0x6000, (OUTPUT + 0x2000) | 7);
    inject("inject-dma-late", 1);
    late_start(&s);
    qtest_memset(qts, TABLES, 0, 0x10000);
    g_assert_cmphex(finish(0), ==, 0);
    assert_written(OUTPUT, false);
    assert_written(OUTPUT + 0x2000, true);

    /* what the IOMMU stops is not on its way */
    iommu_setup(0, OUTPUT, false);
    inject("inject-dma-late", 1);
    late_start(&s);
    g_assert_cmphex(finish(0), ==, 0);
    assert_written(OUTPUT, false);
}

/*
 * The on-chip buffer
 */

#define WEIGHT_REUSE    (1 << 13)
#define DATA_REUSE      (1 << 12)

/* The first byte of the result; memory holds @in and @weight meanwhile. */
static int8_t run_cbuf(const Conv *v, uint32_t con0, int in, int weight)
{
    Stream s = { .n = 0 };

    qtest_memset(qts, INPUT, in, 0x10000);
    qtest_memset(qts, WEIGHTS, weight, 0x10000);
    qtest_memset(qts, OUTPUT, SENTINEL, 0x1000);
    put_cna(&s, v);
    put(&s, 0x1040, con0);
    put_dpu(&s, v);
    /* no cut-off of what does not fit in a byte: 16 to 1 */
    put(&s, 0x4088, 4);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    return qtest_readb(qts, OUTPUT);
}

/* 32 products, divided by 16: twice the feature times the weight */
static void test_cbuf(void)
{
    Conv v = small_conv();

    g_assert_cmpint(run_cbuf(&v, 0x1b, 1, 1), ==, 2);
    g_assert_cmpint(run_cbuf(&v, 0x1b | WEIGHT_REUSE, 3, 5), ==, 6);
    g_assert_cmpint(run_cbuf(&v, 0x1b | DATA_REUSE, 1, 7), ==, 42);
    g_assert_cmpint(run_cbuf(&v, 0x1b | DATA_REUSE | WEIGHT_REUSE, 1, 1),
                    ==, 42);
    /* a reset does not clear memory */
    npu_reset(0, true);
    npu_reset(0, false);
    g_assert_cmpint(run_cbuf(&v, 0x1b | DATA_REUSE | WEIGHT_REUSE, 1, 1),
                    ==, 42);
    /* another split: weights begin behind the features */
    g_assert_cmpint(run_cbuf(&v, 0xa2, 1, 1), ==, 2);
    g_assert_cmpint(run_cbuf(&v, 0x1b | DATA_REUSE | WEIGHT_REUSE, 1, 1),
                    ==, 14);
    g_assert_cmpint(run_cbuf(&v, 0xa2 | DATA_REUSE | WEIGHT_REUSE, 9, 9),
                    ==, 2);
    /* power-off takes it away */
    npu_power(false);
    npu_power(true);
    g_assert_cmpint(run_cbuf(&v, 0x1b | WEIGHT_REUSE, 1, 1), ==, 0);
}

/* What somebody has had as features, another can have as weights. */
static void test_cbuf_banks(void)
{
    Conv large = small_conv(), v = small_conv();

    large.w = large.ow = 64;
    large.h = large.oh = 32;
    /* 64 KiB of features in banks 0 and 1, 1 KiB of weights in bank 11 */
    run_cbuf(&large, 0x1b, 3, 5);
    g_assert_cmpint(run_cbuf(&v, 0xb1 | WEIGHT_REUSE, 1, 1), ==, 6);
    g_assert_cmpint(run_cbuf(&v, 0xa2 | WEIGHT_REUSE, 1, 1), ==, 0);
    g_assert_cmpint(run_cbuf(&v, 0x1b | WEIGHT_REUSE, 1, 1), ==, 10);
    /* in one bank the second half of them goes over the first */
    run_cbuf(&large, 0xb1, 4, 5);
    g_assert_cmpint(run_cbuf(&v, 0x1b | DATA_REUSE, 1, 1), ==, 8);
    g_assert_cmpint(run_cbuf(&v, 0xb1 | WEIGHT_REUSE, 1, 1), ==, 10);
}

/* What is used again is not read again. */
static void test_cbuf_reads(void)
{
    Conv v = small_conv();
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);

    s.n = 0;
    put_cna(&s, &v);
    put(&s, 0x1040, 0x1b | DATA_REUSE | WEIGHT_REUSE);
    put(&s, 0x1070, 0xfe000000);
    put(&s, 0x1110, 0xfe000000);
    put_dpu(&s, &v);
    put(&s, 0x4020, OUTPUT + 0x1000);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    assert_written(OUTPUT + 0x1000, true);
}

/* Registers outlive tasks (see test_stale), but not a reset, in both groups. */
static void test_reset_groups(void)
{
    Stream s = { .n = 0 };

    load_ones();
    put_small(&s, OUTPUT);
    put_end(&s, 0, 0, 0x1d);
    run_stream(&s, 0x300);
    run_stream(&s, 0x300);
    for (int reset = 0; reset < 2; reset++) {
        npu_write(0, PC_BASE, 1);
        for (int group = 0; group < 2; group++) {
            npu_write(0, 0x1004, group);
            npu_write(0, 0x4004, group);
            g_assert_cmphex(npu_read(0, 0x1110), ==, reset ? 0 : WEIGHTS);
            g_assert_cmphex(npu_read(0, 0x4020), ==, reset ? 0 : OUTPUT);
        }
        npu_reset(0, true);
        npu_reset(0, false);
    }
}

static void run_test(gconstpointer fn)
{
    npu_start_machine();
    ((void (*)(void))fn)();
    npu_stop_machine();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        { "registers", test_registers },
        { "power", test_power },
        { "interrupt", test_interrupt },
        { "stale", test_stale },
        { "chain", test_chain },
        { "amounts", test_amounts },
        { "stream-pc", test_stream_pc },
        { "stream-hostile", test_stream_hostile },
        { "core-bits", test_core_bits },
        { "slave-mode", test_slave_mode },
        { "hangs", test_hangs },
        { "reset", test_reset_while_running },
        { "cores", test_cores },
        { "dma-fault", test_dma_fault },
        { "bus-error", test_bus_error },
        { "inject", test_inject },
        { "inject-foreign", test_inject_foreign },
        { "inject-late", test_inject_late },
        { "inject-late-iommu", test_inject_late_iommu },
        { "reset-groups", test_reset_groups },
        { "cbuf", test_cbuf },
        { "cbuf-banks", test_cbuf_banks },
        { "cbuf-reads", test_cbuf_reads },
        { "conv/int8", test_conv_int8 },
        { "conv/depthwise", test_conv_depthwise },
        { "conv/first-layer", test_conv_first_layer },
        { "conv/outputs", test_conv_outputs },
        { "conv/multiplier", test_conv_multiplier },
        { "conv/add", test_conv_add },
        { "conv/fp16", test_conv_fp16 },
        { "conv/fp16-exact", test_fp16_exact },
        { "conv/matmul-rows", test_matmul_rows },
        { "elementwise", test_elementwise },
        { "pooling", test_pooling },
    };

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("rk3588-npu/%s",
                                                tests[i].name);

        qtest_add_data_func(path, tests[i].fn, run_test);
    }
    return g_test_run();
}
