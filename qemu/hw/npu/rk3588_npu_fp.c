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
 * Exponents of the lowest and highest set bit.  Zero reaches nowhere; NaN and
 * infinity reach so far that no sum with them is taken for exact.
 */
void npu_half_span(uint16_t h, int8_t *lsb, int8_t *msb)
{
    int exp = h >> 10 & 0x1f;
    uint32_t man = h & 0x3ff;

    if (exp == 31) {
        *lsb = -100;
        *msb = 100;
    } else if (!exp && !man) {
        *lsb = 60;
        *msb = -60;
    } else {
        int unit = exp ? exp - 25 : -24;

        man |= exp ? 0x400 : 0;
        *lsb = unit + __builtin_ctz(man);
        *msb = unit + 31 - __builtin_clz(man);
    }
}

/*
 * Sum of at most 32 products of fp16 values, exact, rounded once to fp32.
 * In units of 2^-48 every product is an integer below 2^80; the sum is kept
 * in two words of 40 bits and more.
 */
float npu_exact_dot(const double *x, const double *w, int stride, int n)
{
    const int64_t low_bits = ((int64_t)1 << 40) - 1;
    int64_t hi = 0, lo = 0;
    bool negative;
    uint64_t top;
    double special = 0;

    for (int i = 0; i < n; i++) {
        double p = x[i] * w[i * stride];
        double q, ip;

        special += p;
        if (!isfinite(p)) {
            continue;
        }
        /* p = ip * 2^-8 + remainder, both parts exact */
        q = modf(ldexp(p, 8), &ip);
        hi += (int64_t)ip;
        lo += (int64_t)ldexp(q, 40);
    }
    if (!isfinite(special)) {
        return special;
    }
    hi += lo >> 40;
    lo &= low_bits;
    negative = hi < 0;
    if (negative) {
        hi = -hi - (lo != 0);
        lo = -lo & low_bits;
    }
    if (hi < (1 << 23)) {
        top = (uint64_t)hi << 40 | lo;
        special = ldexpf(top, -48);
    } else {
        /* the lowest bit stands for everything below it */
        top = (uint64_t)hi << 18 | lo >> 22 | !!(lo & ((1 << 22) - 1));
        special = ldexpf(top, -26);
    }
    return negative ? -special : special;
}
