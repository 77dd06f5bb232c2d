/*
 * Rockchip RK3588 interconnect QoS registers of one NPU port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + sysbus MMIO region 0: the register block
 *  + named GPIO input "power": 1 when the port's power domain is on
 */

#ifndef HW_MISC_RK3588_QOS_H
#define HW_MISC_RK3588_QOS_H

#include "hw/sysbus.h"
#include "qom/object.h"

#define TYPE_RK3588_QOS "rk3588-qos"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588QosState, RK3588_QOS)

#define RK3588_QOS_SIZE     0x20

struct RK3588QosState {
    SysBusDevice parent_obj;

    MemoryRegion mmio;
    uint32_t regs[RK3588_QOS_SIZE / 4];
    bool power;
};

#endif
