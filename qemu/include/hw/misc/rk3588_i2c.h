/*
 * Rockchip RK3588 I2C controller
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + sysbus MMIO region 0: the registers
 *  + sysbus IRQ 0: level
 *  + child bus "i2c"
 */

#ifndef HW_MISC_RK3588_I2C_H
#define HW_MISC_RK3588_I2C_H

#include "hw/i2c/i2c.h"
#include "hw/sysbus.h"
#include "qom/object.h"

#define TYPE_RK3588_I2C "rk3588-i2c"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588I2cState, RK3588_I2C)

/* Bytes of either buffer */
#define RK3588_I2C_BUFFER       32

struct RK3588I2cState {
    SysBusDevice parent_obj;

    MemoryRegion iomem;
    qemu_irq irq;
    I2CBus *bus;

    uint32_t con, clkdiv, addr, reg, tx_count, rx_count, enable, pending;
    uint32_t finished;
    bool addressed;
    uint8_t tx[RK3588_I2C_BUFFER], rx[RK3588_I2C_BUFFER];
};

#endif
