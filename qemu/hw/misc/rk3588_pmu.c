/*
 * Rockchip RK3588 power management unit (PMU): power domains
 *
 * Every power domain of the chip has its switch, its memory switch and its
 * bus idle handshake here. The NPU's domains are also wired to the devices
 * in them; the other domains have nothing behind them on this machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "hw/irq.h"
#include "hw/misc/rk3588_pmu.h"
#include "migration/vmstate.h"
#include "trace.h"

#define BUS_IDLE_REQ0       0x10c
#define BUS_IDLE_REQ1       0x110
#define BUS_IDLE_ACK        0x118
#define BUS_IDLE_ST         0x120
#define PWR_GATE0           0x14c
#define PWR_GATE1           0x150
#define PWR_GATE_ST         0x180
#define MEM_PWR_GATE0       0x1a0
#define MEM_PWR_GATE1       0x1a4
#define CHAIN_ST0           0x1f0
#define CHAIN_ST1           0x1f4
#define MEM_ST0             0x1f8
#define MEM_ST1             0x1fc
#define REPAIR_ST           0x290

#define NONE                (-1)

/*
 * Bits of one domain. @pwr counts through both power registers, 16 bits each,
 * and @mem through both memory status registers, 32 bits each.
 */
typedef struct PmuDomain {
    const char *name;
    int8_t pwr;
    int8_t status;          /* 1 = off */
    int8_t mem;
    int8_t repair;          /* 1 = on */
    int8_t parent;          /* index into this table */
    int8_t line;
} PmuDomain;

enum { D_GPU, D_NPU, D_VCODEC, D_NPUTOP };

static const PmuDomain pmu_domains[] = {
    [D_GPU]    = { "gpu",     0,  NONE, NONE, 1,    NONE,     NONE },
    [D_NPU]    = { "npu",     1,  1,    NONE, NONE, NONE,     RK3588_PMU_NPU },
    [D_VCODEC] = { "vcodec",  2,  2,    NONE, NONE, NONE,     NONE },
    [D_NPUTOP] = { "nputop",  3,  NONE, 11,   2,    D_NPU,
                   RK3588_PMU_NPUTOP },
    { "npu1",    4,  NONE, 12,   3,    D_NPUTOP, RK3588_PMU_NPU1 },
    { "npu2",    5,  NONE, 13,   4,    D_NPUTOP, RK3588_PMU_NPU2 },
    { "venc0",   6,  NONE, 14,   5,    D_VCODEC, NONE },
    { "venc1",   7,  NONE, 15,   6,    D_VCODEC, NONE },
    { "rkvdec0", 8,  NONE, 16,   7,    D_VCODEC, NONE },
    { "rkvdec1", 9,  NONE, 17,   8,    D_VCODEC, NONE },
    { "vdpu",    10, NONE, 18,   9,    NONE,     NONE },
    { "rga30",   11, NONE, 19,   10,   NONE,     NONE },
    { "av1",     12, NONE, 20,   11,   NONE,     NONE },
    { "vi",      13, NONE, 21,   12,   NONE,     NONE },
    { "fec",     14, NONE, 22,   13,   NONE,     NONE },
    { "isp1",    15, NONE, 23,   14,   NONE,     NONE },
    { "rga31",   16, NONE, 24,   15,   NONE,     NONE },
    { "vop",     17, NONE, 25,   16,   NONE,     NONE },
    { "vo0",     18, NONE, 26,   17,   NONE,     NONE },
    { "vo1",     19, NONE, 27,   18,   NONE,     NONE },
    { "audio",   20, NONE, 28,   19,   NONE,     NONE },
    { "php",     21, NONE, 29,   20,   NONE,     NONE },
    { "gmac",    22, NONE, 30,   21,   NONE,     NONE },
    { "pcie",    23, NONE, 31,   22,   NONE,     NONE },
    { "nvm",     24, 24,   NONE, NONE, NONE,     NONE },
    { "nvm0",    25, NONE, 33,   23,   NONE,     NONE },
    { "sdio",    26, NONE, 34,   24,   NONE,     NONE },
    { "usb",     27, NONE, 35,   25,   NONE,     NONE },
    { "sdmmc",   29, NONE, 37,   26,   NONE,     NONE },
};

/* A bit of a pair of write-masked 16-bit registers */
static bool pmu_pair_bit(RK3588PmuState *s, uint32_t first, unsigned int bit)
{
    return extract32(s->regs[first / 4 + bit / 16], bit % 16, 1);
}

static bool pmu_domain_powered(RK3588PmuState *s, const PmuDomain *d)
{
    for (;;) {
        if (pmu_pair_bit(s, PWR_GATE0, d->pwr)) {
            return false;
        }
        if (d->parent == NONE) {
            return true;
        }
        d = &pmu_domains[d->parent];
    }
}

static void pmu_put_bit(uint32_t *regs, uint32_t first, int bit, bool val)
{
    if (bit != NONE) {
        uint32_t *reg = &regs[first / 4 + bit / 32];

        *reg = deposit32(*reg, bit % 32, 1, val);
    }
}

/* Status registers and lines follow the requests at once. */
static void pmu_update(RK3588PmuState *s)
{
    uint32_t idle = (s->regs[BUS_IDLE_REQ0 / 4] & 0xffff) |
                    (s->regs[BUS_IDLE_REQ1 / 4] << 16);

    for (size_t i = 0; i < ARRAY_SIZE(pmu_domains); i++) {
        const PmuDomain *d = &pmu_domains[i];
        bool on = pmu_domain_powered(s, d);
        bool mem_on = on && !pmu_pair_bit(s, MEM_PWR_GATE0, d->pwr);

        pmu_put_bit(s->regs, PWR_GATE_ST, d->status, !on);
        pmu_put_bit(s->regs, CHAIN_ST0, d->mem, on);
        pmu_put_bit(s->regs, MEM_ST0, d->mem, !mem_on);
        pmu_put_bit(s->regs, REPAIR_ST, d->repair, mem_on);
        if (d->line != NONE) {
            if (s->level[d->line] != mem_on) {
                trace_rk3588_pmu_domain(d->name, mem_on ? "on" : "off");
                s->level[d->line] = mem_on;
            }
            qemu_set_irq(s->domain[d->line], mem_on);
        }
    }
    s->regs[BUS_IDLE_ACK / 4] = idle;
    s->regs[BUS_IDLE_ST / 4] = idle;
}

static uint64_t pmu_read(void *opaque, hwaddr offset, unsigned size)
{
    RK3588PmuState *s = opaque;

    trace_rk3588_pmu_read(offset, s->regs[offset / 4]);
    return s->regs[offset / 4];
}

static void pmu_write(void *opaque, hwaddr offset, uint64_t data,
                      unsigned size)
{
    RK3588PmuState *s = opaque;
    uint32_t *reg = &s->regs[offset / 4];
    uint32_t mask = data >> 16;

    trace_rk3588_pmu_write(offset, data);
    switch (offset) {
    case BUS_IDLE_REQ0:
    case BUS_IDLE_REQ1:
    case PWR_GATE0:
    case PWR_GATE1:
    case MEM_PWR_GATE0:
    case MEM_PWR_GATE1:
        *reg = (*reg & ~mask) | (data & mask);
        pmu_update(s);
        break;
    case BUS_IDLE_ACK:
    case BUS_IDLE_ST:
    case PWR_GATE_ST:
    case CHAIN_ST0:
    case CHAIN_ST1:
    case MEM_ST0:
    case MEM_ST1:
    case REPAIR_ST:
        qemu_log_mask(LOG_GUEST_ERROR, "rk3588-pmu: write to status register "
                      "0x%" HWADDR_PRIx "\n", offset);
        break;
    default:
        *reg = data;
        break;
    }
}

static const MemoryRegionOps rk3588_pmu_ops = {
    .read = pmu_read,
    .write = pmu_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void rk3588_pmu_reset_hold(Object *obj, ResetType type)
{
    RK3588PmuState *s = RK3588_PMU(obj);

    /*
     * The boot firmware leaves the domains that have a voltage supply of
     * their own off, and with them everything inside: bits 0 to 9.
     */
    memset(s->regs, 0, sizeof(s->regs));
    s->regs[PWR_GATE0 / 4] = 0x03ff;
}

static void rk3588_pmu_reset_exit(Object *obj, ResetType type)
{
    pmu_update(RK3588_PMU(obj));
}

static void rk3588_pmu_init(Object *obj)
{
    RK3588PmuState *s = RK3588_PMU(obj);

    memory_region_init_io(&s->mmio, obj, &rk3588_pmu_ops, s, "rk3588-pmu",
                          RK3588_PMU_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(obj), &s->mmio);
    qdev_init_gpio_out_named(DEVICE(obj), s->domain, "domain",
                             RK3588_PMU_NUM_LINES);
}

static const VMStateDescription vmstate_rk3588_pmu = {
    .name = TYPE_RK3588_PMU,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_ARRAY(regs, RK3588PmuState, RK3588_PMU_SIZE / 4),
        VMSTATE_BOOL_ARRAY(level, RK3588PmuState, RK3588_PMU_NUM_LINES),
        VMSTATE_END_OF_LIST()
    }
};

static void rk3588_pmu_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 power management unit";
    dc->vmsd = &vmstate_rk3588_pmu;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_pmu_reset_hold;
    rc->phases.exit = rk3588_pmu_reset_exit;
}

static const TypeInfo rk3588_pmu_types[] = {
    {
        .name = TYPE_RK3588_PMU,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588PmuState),
        .instance_init = rk3588_pmu_init,
        .class_init = rk3588_pmu_class_init,
    },
};

DEFINE_TYPES(rk3588_pmu_types)
