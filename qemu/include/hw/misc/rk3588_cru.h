/*
 * Rockchip RK3588 clock and reset unit (CRU)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + sysbus MMIO region 0: the whole CRU, all of its sub-units
 *  + named GPIO outputs, one line for each NPU core:
 *    "npu-aclk", "npu-hclk": 1 while the clock reaches the core
 *    "npu-srst-a", "npu-srst-h": 1 while the soft reset is asserted
 */

#ifndef HW_MISC_RK3588_CRU_H
#define HW_MISC_RK3588_CRU_H

#include "hw/sysbus.h"
#include "qom/object.h"

#define TYPE_RK3588_CRU "rk3588-cru"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588CruState, RK3588_CRU)

#define RK3588_CRU_SIZE     0x5c000
#define RK3588_CRU_NUM_NPU  3

struct RK3588CruState {
    SysBusDevice parent_obj;

    MemoryRegion mmio;
    uint32_t regs[RK3588_CRU_SIZE / 4];

    qemu_irq npu_aclk[RK3588_CRU_NUM_NPU];
    qemu_irq npu_hclk[RK3588_CRU_NUM_NPU];
    qemu_irq npu_srst_a[RK3588_CRU_NUM_NPU];
    qemu_irq npu_srst_h[RK3588_CRU_NUM_NPU];
    uint8_t npu_level[RK3588_CRU_NUM_NPU];      /* of the four, for the trace */
};

#endif
