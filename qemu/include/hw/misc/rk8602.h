/*
 * Rockchip RK8602 voltage regulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An I2C device.
 *
 * QEMU interface:
 *  + named GPIO output "voltage": what comes out, in microvolts
 */

#ifndef HW_MISC_RK8602_H
#define HW_MISC_RK8602_H

#include "hw/i2c/i2c.h"
#include "qom/object.h"

#define TYPE_RK8602 "rk8602"
OBJECT_DECLARE_SIMPLE_TYPE(RK8602State, RK8602)

#define RK8602_NUM_REGS 8

struct RK8602State {
    I2CSlave parent_obj;

    qemu_irq voltage;
    uint8_t regs[RK8602_NUM_REGS];
    uint8_t pointer;
    bool pointed;
};

#endif
