/*
 * Rockchip RK3588 clock and reset unit (CRU)
 *
 * A register file with the unit's write-mask semantics, PLLs that lock, and
 * the gates and soft resets of the NPU wired to where they act. Nothing else
 * on the board depends on a clock that software may stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "hw/irq.h"
#include "hw/misc/rk3588_cru.h"
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "trace.h"

/* Sub-units, each with PLLs, mode, selectors, gates and soft resets */
#define CRU_MAIN        0x00000
#define CRU_PHP         0x08000
#define CRU_PMU         0x30000
#define CRU_BIGCORE0    0x50000
#define CRU_BIGCORE1    0x52000
#define CRU_DSU         0x58000

#define MODE_CON0       0x280
#define CLKSEL_CON(n)   (0x300 + (n) * 4)
#define GATE_CON(n)     (0x800 + (n) * 4)
#define SOFTRST_CON(n)  (0xa00 + (n) * 4)
#define GLB_CNT_TH      0xc00
#define GLB_RST_ST      0xc04
#define GLB_SRST_FST    0xc08
#define GLB_SRST_SND    0xc0c
#define GLB_RST_CON     0xc10

#define GLB_SRST_FST_MAGIC  0xfdb9
#define GLB_SRST_SND_MAGIC  0xeca8

#define PLL_CON1_PWRDOWN    (1u << 13)
#define PLL_CON6_LOCK       (1u << 15)

/* The gates that everything of the NPU hangs from */
#define NPU_ROOT_GATE_CON       29
#define NPU_ROOT_GATE_HCLK      0
#define NPU_ROOT_GATE_DSU0      1

/* What the boot firmware leaves in a PLL: 24 MHz * (m + k/65536) / p >> s */
typedef struct CruPll {
    uint32_t con;           /* offset of CON0 */
    uint32_t mode;          /* offset of the mode register */
    uint8_t mode_shift;
    uint16_t p, m, s, k;
} CruPll;

static const CruPll cru_plls[] = {
    { CRU_BIGCORE0 + 0 * 4,  CRU_BIGCORE0 + MODE_CON0, 0, 2, 272, 2, 0 },
    { CRU_BIGCORE1 + 8 * 4,  CRU_BIGCORE1 + MODE_CON0, 0, 2, 272, 2, 0 },
    { CRU_DSU + 16 * 4,      CRU_DSU + MODE_CON0, 0, 2, 272, 2, 0 },
    { CRU_MAIN + 88 * 4,     MODE_CON0, 4, 2, 198, 1, 0 },      /* V0PLL */
    { CRU_MAIN + 96 * 4,     MODE_CON0, 6, 2, 262, 2, 9437 },   /* AUPLL */
    { CRU_MAIN + 104 * 4,    MODE_CON0, 8, 2, 250, 1, 0 },      /* CPLL */
    { CRU_MAIN + 112 * 4,    MODE_CON0, 2, 2, 198, 1, 0 },      /* GPLL */
    { CRU_MAIN + 120 * 4,    MODE_CON0, 0, 3, 425, 2, 0 },      /* NPLL */
    { CRU_PHP + 128 * 4,     MODE_CON0, 10, 3, 550, 2, 0 },     /* PPLL */
};

/* Selectors and dividers as the boot firmware leaves them */
static const struct {
    uint32_t offset;
    uint32_t value;
} cru_reset_values[] = {
    { CLKSEL_CON(0), 1 << 11 | 14 << 6 | 1 << 5 | 29 }, /* 100 MHz, 50 MHz */
    { CLKSEL_CON(1), 5 << 6 | 1 << 5 | 9 },             /* 198 MHz, 150 MHz */
    { CLKSEL_CON(2), 1 << 11 | 4 << 6 | 1 << 5 | 5 },   /* 300 MHz, 250 MHz */
    { CLKSEL_CON(3), 2 << 6 | 1 << 5 | 1 },             /* 396 MHz, 351 MHz */
    { CLKSEL_CON(4), 1 << 11 | 2 << 6 | 1 },            /* 500 MHz, 475 MHz */
    { CLKSEL_CON(5), 1 << 6 | 1 },                      /* 594 MHz, 594 MHz */
    { CLKSEL_CON(6), 1 << 11 | 1 << 5 },                /* 786 MHz, 702 MHz */
    { CLKSEL_CON(7), 1 << 5 },                          /* 1188 MHz, 1 GHz */
    { CLKSEL_CON(8), 1 << 14 | 3 << 9 | 1 },            /* 375 MHz, 594 MHz */
    { CLKSEL_CON(38), 1 << 5 | 3 },                     /* 375 MHz */
    { CLKSEL_CON(45), 2 },                              /* UART2: 24 MHz */
    { CLKSEL_CON(73), 1 << 2 },                         /* NPU: 594 MHz */
};

/*
 * Fractional dividers: numerator in the upper half, denominator in the lower,
 * so these have no write mask.
 */
static const uint8_t cru_main_frac[] = {
    25, 27, 29, 31, 33, 35, 42, 44, 46, 48, 50, 52, 54, 56, 58,
    119, 121, 123, 125, 130, 139, 141, 145, 147, 149, 151, 154, 156,
};
static const uint8_t cru_pmu_frac[] = { 4, 6, 8 };

/* Where the gates and soft resets of each NPU core are */
static const struct {
    uint8_t con;
    uint8_t aclk;           /* also the bit of srst_a */
    uint8_t hclk;           /* also the bit of srst_h */
} cru_npu[RK3588_CRU_NUM_NPU] = {
    { .con = 30, .aclk = 6, .hclk = 8 },
    { .con = 27, .aclk = 0, .hclk = 2 },
    { .con = 28, .aclk = 0, .hclk = 2 },
};

static bool cru_has_write_mask(hwaddr offset)
{
    hwaddr unit = offset & ~(hwaddr)0xfff;
    const uint8_t *frac = NULL;
    size_t count = 0;

    if (unit == CRU_MAIN) {
        if (offset >= GLB_CNT_TH && offset <= GLB_RST_CON) {
            return false;
        }
        frac = cru_main_frac;
        count = ARRAY_SIZE(cru_main_frac);
    } else if (unit == CRU_PMU) {
        frac = cru_pmu_frac;
        count = ARRAY_SIZE(cru_pmu_frac);
    }
    for (size_t i = 0; i < count; i++) {
        if (offset - unit == CLKSEL_CON(frac[i])) {
            return false;
        }
    }
    return true;
}

/* The lock bit of a PLL follows its power-down bit. */
static uint32_t cru_pll_status(RK3588CruState *s, hwaddr offset, uint32_t val)
{
    for (size_t i = 0; i < ARRAY_SIZE(cru_plls); i++) {
        if (offset == cru_plls[i].con + 6 * 4) {
            bool on = !(s->regs[cru_plls[i].con / 4 + 1] & PLL_CON1_PWRDOWN);

            return (val & ~PLL_CON6_LOCK) | (on ? PLL_CON6_LOCK : 0);
        }
    }
    return val;
}

static bool cru_bit(RK3588CruState *s, uint32_t offset, unsigned int bit)
{
    return extract32(s->regs[offset / 4], bit, 1);
}

static void cru_update_npu(RK3588CruState *s)
{
    bool dsu0 = !cru_bit(s, GATE_CON(NPU_ROOT_GATE_CON), NPU_ROOT_GATE_DSU0);
    bool hroot = !cru_bit(s, GATE_CON(NPU_ROOT_GATE_CON), NPU_ROOT_GATE_HCLK);

    for (int i = 0; i < RK3588_CRU_NUM_NPU; i++) {
        uint32_t gate = GATE_CON(cru_npu[i].con);
        uint32_t rst = SOFTRST_CON(cru_npu[i].con);
        bool aclk = dsu0 && !cru_bit(s, gate, cru_npu[i].aclk);
        bool hclk = hroot && !cru_bit(s, gate, cru_npu[i].hclk);
        bool srst_a = cru_bit(s, rst, cru_npu[i].aclk);
        bool srst_h = cru_bit(s, rst, cru_npu[i].hclk);
        uint8_t level = aclk | hclk << 1 | srst_a << 2 | srst_h << 3;

        if (level != s->npu_level[i]) {
            trace_rk3588_cru_npu(i, aclk, hclk, srst_a, srst_h);
            s->npu_level[i] = level;
        }
        qemu_set_irq(s->npu_aclk[i], aclk);
        qemu_set_irq(s->npu_hclk[i], hclk);
        qemu_set_irq(s->npu_srst_a[i], srst_a);
        qemu_set_irq(s->npu_srst_h[i], srst_h);
    }
}

static uint64_t cru_read(void *opaque, hwaddr offset, unsigned size)
{
    RK3588CruState *s = opaque;
    uint32_t val = cru_pll_status(s, offset, s->regs[offset / 4]);

    trace_rk3588_cru_read(offset, val);
    return val;
}

static void cru_write(void *opaque, hwaddr offset, uint64_t data,
                      unsigned size)
{
    RK3588CruState *s = opaque;
    uint32_t *reg = &s->regs[offset / 4];
    uint32_t val = data;

    if (cru_has_write_mask(offset)) {
        uint32_t mask = val >> 16;

        val = (*reg & ~mask) | (val & mask);
    }
    trace_rk3588_cru_write(offset, data, val);
    *reg = val;

    if ((offset == GLB_SRST_FST && val == GLB_SRST_FST_MAGIC) ||
        (offset == GLB_SRST_SND && val == GLB_SRST_SND_MAGIC)) {
        qemu_system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    }
    if ((offset >= GATE_CON(27) && offset <= GATE_CON(30)) ||
        (offset >= SOFTRST_CON(27) && offset <= SOFTRST_CON(30))) {
        cru_update_npu(s);
    }
}

static const MemoryRegionOps rk3588_cru_ops = {
    .read = cru_read,
    .write = cru_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void rk3588_cru_reset_hold(Object *obj, ResetType type)
{
    RK3588CruState *s = RK3588_CRU(obj);

    memset(s->regs, 0, sizeof(s->regs));
    for (size_t i = 0; i < ARRAY_SIZE(cru_plls); i++) {
        const CruPll *pll = &cru_plls[i];

        s->regs[pll->con / 4] = pll->m;
        s->regs[pll->con / 4 + 1] = pll->s << 6 | pll->p;
        s->regs[pll->con / 4 + 2] = pll->k;
        s->regs[pll->mode / 4] |= 1u << pll->mode_shift;
    }
    for (size_t i = 0; i < ARRAY_SIZE(cru_reset_values); i++) {
        s->regs[cru_reset_values[i].offset / 4] = cru_reset_values[i].value;
    }
}

static void rk3588_cru_reset_exit(Object *obj, ResetType type)
{
    cru_update_npu(RK3588_CRU(obj));
}

static void rk3588_cru_init(Object *obj)
{
    RK3588CruState *s = RK3588_CRU(obj);
    DeviceState *dev = DEVICE(obj);

    memory_region_init_io(&s->mmio, obj, &rk3588_cru_ops, s, "rk3588-cru",
                          RK3588_CRU_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(obj), &s->mmio);
    qdev_init_gpio_out_named(dev, s->npu_aclk, "npu-aclk",
                             RK3588_CRU_NUM_NPU);
    qdev_init_gpio_out_named(dev, s->npu_hclk, "npu-hclk",
                             RK3588_CRU_NUM_NPU);
    qdev_init_gpio_out_named(dev, s->npu_srst_a, "npu-srst-a",
                             RK3588_CRU_NUM_NPU);
    qdev_init_gpio_out_named(dev, s->npu_srst_h, "npu-srst-h",
                             RK3588_CRU_NUM_NPU);
}

static const VMStateDescription vmstate_rk3588_cru = {
    .name = TYPE_RK3588_CRU,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_ARRAY(regs, RK3588CruState, RK3588_CRU_SIZE / 4),
        VMSTATE_UINT8_ARRAY(npu_level, RK3588CruState, RK3588_CRU_NUM_NPU),
        VMSTATE_END_OF_LIST()
    }
};

static void rk3588_cru_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 clock and reset unit";
    dc->vmsd = &vmstate_rk3588_cru;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_cru_reset_hold;
    rc->phases.exit = rk3588_cru_reset_exit;
}

static const TypeInfo rk3588_cru_types[] = {
    {
        .name = TYPE_RK3588_CRU,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588CruState),
        .instance_init = rk3588_cru_init,
        .class_init = rk3588_cru_class_init,
    },
};

DEFINE_TYPES(rk3588_cru_types)
