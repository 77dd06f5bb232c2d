/*
 * Rockchip RK3588 power management unit (PMU): power domains
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + sysbus MMIO region 0: the register window
 *  + named GPIO output "domain", one line for each RK3588_PMU_* domain:
 *    1 while the domain and all that it hangs from have power
 */

#ifndef HW_MISC_RK3588_PMU_H
#define HW_MISC_RK3588_PMU_H

#include "hw/sysbus.h"
#include "qom/object.h"

#define TYPE_RK3588_PMU "rk3588-pmu"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588PmuState, RK3588_PMU)

#define RK3588_PMU_SIZE     0x400

/* Domains that have a line */
enum {
    RK3588_PMU_NPU,
    RK3588_PMU_NPUTOP,
    RK3588_PMU_NPU1,
    RK3588_PMU_NPU2,
    RK3588_PMU_NUM_LINES,
};

struct RK3588PmuState {
    SysBusDevice parent_obj;

    MemoryRegion mmio;
    uint32_t regs[RK3588_PMU_SIZE / 4];

    qemu_irq domain[RK3588_PMU_NUM_LINES];
    bool level[RK3588_PMU_NUM_LINES];
};

#endif
