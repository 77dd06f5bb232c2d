/*
 * RK3588 NPU compute engine: floating point
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host float and double are IEEE binary32 and binary64 with round to nearest
 * even; fp16 has no portable host type.
 */

#include "qemu/osdep.h"
#include <math.h>
#include "qemu/host-utils.h"
#include "rk3588_npu_internal.h"

float npu_bits_to_float(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

uint32_t npu_float_to_bits(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

float npu_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = h >> 10 & 0x1f, man = h & 0x3ff;

    if (exp == 0) {
        float f = ldexpf(man, -24);

        return sign ? -f : f;
    }
    if (exp == 31) {
        return npu_bits_to_float(sign | 0x7f800000 | man << 13);
    }
    return npu_bits_to_float(sign | (exp + 112) << 23 | man << 13);
}

/* Round to nearest even; too large becomes infinite; denormals are kept. */
uint16_t npu_float_to_half(float f)
{
    uint32_t bits = npu_float_to_bits(f);
    uint16_t sign = bits >> 16 & 0x8000;
    uint32_t mag = bits & 0x7fffffff;

    if (mag > 0x7f800000) {
        return sign | 0x7e00;
    }
    if (mag >= 0x47800000) {
        return sign | 0x7c00;
    }
    if (mag < 0x38800000) {
        /* below the smallest normal: multiples of 2^-24 */
        return sign | (uint16_t)lrintf(ldexpf(npu_bits_to_float(mag), 24));
    }
    mag += 0xfff + (mag >> 13 & 1);
    return sign | (uint16_t)((mag - 0x38000000) >> 13);
}

/*
 * Zero reaches nowhere; NaN and infinity reach so far that no sum with them
 * is taken for exact.
 */
NpuSpan npu_span(double v)
{
    uint64_t bits, man;
    int exp;

    memcpy(&bits, &v, sizeof(bits));
    exp = bits >> 52 & 0x7ff;
    man = (bits & 0xfffffffffffffull) | 1ull << 52;
    if (exp == 0x7ff) {
        return (NpuSpan) { .lsb = -1000, .msb = 1000 };
    }
    if (exp == 0) {
        return (NpuSpan) { .lsb = 2000, .msb = -2000 };
    }
    return (NpuSpan) { .lsb = exp - 1075 + ctz64(man), .msb = exp - 1023 };
}

void npu_span_add(NpuSpan *s, double v)
{
    NpuSpan n = npu_span(v);

    s->lsb = MIN(s->lsb, n.lsb);
    s->msb = MAX(s->msb, n.msb);
}

int npu_span_product(const NpuSpan *a, const NpuSpan *b)
{
    return a->msb + b->msb - a->lsb - b->lsb;
}

/*
 * Parts that do not overlap, the largest last, as one double that rounds to
 * fp32 as their sum does: cut off, with the last bit set for what was cut.
 */
static double round_to_odd(const double *part, int parts)
{
    double sum = part[--parts], rest = 0;
    uint64_t bits;

    while (parts && rest == 0) {
        double a = sum, b = part[--parts];

        sum = a + b;
        rest = b - (sum - a);
    }
    memcpy(&bits, &sum, sizeof(bits));
    if (rest != 0 && !(bits & 1)) {
        bits += (rest > 0) == (sum > 0) ? 1 : -1;
        memcpy(&sum, &bits, sizeof(bits));
    }
    return sum;
}

/*
 * Sum of at most 32 products, exact, rounded once to fp32.  The products are
 * exact in double; the sum is kept as parts that do not overlap, each adding
 * what the one above could not hold.
 */
float npu_exact_dot(const double *x, const double *w, int stride, int n)
{
    double part[33], plain = 0;
    int parts = 0;

    for (int i = 0; i < n; i++) {
        double p = x[i] * w[i * stride];
        int kept = 0;

        plain += p;
        for (int j = 0; j < parts; j++) {
            double a = fabs(p) < fabs(part[j]) ? part[j] : p;
            double b = fabs(p) < fabs(part[j]) ? p : part[j];
            double sum = a + b, rest = b - (sum - a);

            if (rest != 0) {
                part[kept++] = rest;
            }
            p = sum;
        }
        part[kept++] = p;
        parts = kept;
    }
    if (!isfinite(plain)) {
        return plain;
    }
    return parts ? round_to_odd(part, parts) : 0;
}
