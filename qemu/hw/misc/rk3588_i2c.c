/*
 * Rockchip RK3588 I2C controller
 *
 * Transfers take no time: all that a write to a register starts has happened
 * when it returns, and the interrupt is pending.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hw/irq.h"
#include "hw/misc/rk3588_i2c.h"
#include "migration/vmstate.h"
#include "trace.h"

#define I2C_CON         0x00
#define I2C_CLKDIV      0x04
#define I2C_MRXADDR     0x08
#define I2C_MRXRADDR    0x0c
#define I2C_MTXCNT      0x10
#define I2C_MRXCNT      0x14
#define I2C_IEN         0x18
#define I2C_IPD         0x1c
#define I2C_FCNT        0x20
#define I2C_TXDATA      0x100
#define I2C_RXDATA      0x200
#define I2C_SIZE        0x1000

#define CON_EN          (1u << 0)
#define CON_MODE(con)   extract32(con, 1, 2)
#define CON_START       (1u << 3)
#define CON_STOP        (1u << 4)
#define CON_LASTACK     (1u << 5)

#define MODE_TX         0
#define MODE_TRX        1   /* address and register first, then receive */

#define INT_MBTF        (1u << 2)
#define INT_MBRF        (1u << 3)
#define INT_START       (1u << 4)
#define INT_STOP        (1u << 5)
#define INT_NAK         (1u << 6)
#define INT_ALL         0x7f

/* Bytes of MRXADDR and MRXRADDR that count */
#define BYTE_VALID(n)   (1u << (24 + (n)))

static void i2c_update(RK3588I2cState *s)
{
    qemu_set_irq(s->irq, (s->pending & s->enable) != 0);
}

static bool i2c_address(RK3588I2cState *s, uint8_t byte, bool recv)
{
    bool nak = i2c_start_transfer(s->bus, byte >> 1, recv);

    trace_rk3588_i2c_address(byte >> 1, recv, nak);
    if (nak) {
        s->pending |= INT_NAK;
    }
    s->addressed = !nak;
    return !nak;
}

/* The first byte after a start condition is the address. */
static void i2c_transmit(RK3588I2cState *s)
{
    unsigned int n = MIN(s->tx_count, RK3588_I2C_BUFFER);

    for (s->finished = 0; s->finished < n; s->finished++) {
        uint8_t byte = s->tx[s->finished];

        if (!s->addressed) {
            if (!i2c_address(s, byte, byte & 1)) {
                return;
            }
        } else if (i2c_send(s->bus, byte)) {
            s->pending |= INT_NAK;
            return;
        }
    }
    s->pending |= INT_MBTF;
}

/* The part of a combined transfer that comes before what is received */
static bool i2c_select(RK3588I2cState *s)
{
    uint8_t byte = s->addr;

    if (!(byte & 1)) {
        if (!i2c_address(s, byte, false)) {
            return false;
        }
        for (int i = 0; i < 3 && (s->reg & BYTE_VALID(i)); i++) {
            if (i2c_send(s->bus, extract32(s->reg, i * 8, 8))) {
                s->pending |= INT_NAK;
                return false;
            }
        }
    }
    return i2c_address(s, byte, true);
}

static void i2c_receive(RK3588I2cState *s)
{
    unsigned int n = MIN(s->rx_count, RK3588_I2C_BUFFER);

    if (CON_MODE(s->con) == MODE_TRX && !i2c_select(s)) {
        return;
    }
    if (!s->addressed) {
        return;
    }
    for (s->finished = 0; s->finished < n; s->finished++) {
        s->rx[s->finished] = i2c_recv(s->bus);
    }
    if (s->con & CON_LASTACK) {
        i2c_nack(s->bus);
    }
    s->pending |= INT_MBRF;
}

static void i2c_end(RK3588I2cState *s)
{
    i2c_end_transfer(s->bus);
    s->addressed = false;
}

static void i2c_control(RK3588I2cState *s, uint32_t con)
{
    uint32_t set = con & ~s->con;

    s->con = con;
    if (!(con & CON_EN)) {
        i2c_end(s);
        return;
    }
    if (set & CON_START) {
        s->addressed = false;
        s->pending |= INT_START;
    }
    if (set & CON_STOP) {
        i2c_end(s);
        s->pending |= INT_STOP;
    }
}

static uint64_t i2c_read(void *opaque, hwaddr offset, unsigned size)
{
    RK3588I2cState *s = opaque;

    switch (offset) {
    case I2C_CON:
        return s->con;
    case I2C_CLKDIV:
        return s->clkdiv;
    case I2C_MRXADDR:
        return s->addr;
    case I2C_MRXRADDR:
        return s->reg;
    case I2C_MTXCNT:
        return s->tx_count;
    case I2C_MRXCNT:
        return s->rx_count;
    case I2C_IEN:
        return s->enable;
    case I2C_IPD:
        return s->pending;
    case I2C_FCNT:
        return s->finished;
    case I2C_TXDATA ... I2C_TXDATA + RK3588_I2C_BUFFER - 4:
        return ldl_le_p(s->tx + offset - I2C_TXDATA);
    case I2C_RXDATA ... I2C_RXDATA + RK3588_I2C_BUFFER - 4:
        return ldl_le_p(s->rx + offset - I2C_RXDATA);
    default:
        return 0;
    }
}

static void i2c_write(void *opaque, hwaddr offset, uint64_t value,
                      unsigned size)
{
    RK3588I2cState *s = opaque;

    switch (offset) {
    case I2C_CON:
        i2c_control(s, value);
        break;
    case I2C_CLKDIV:
        s->clkdiv = value;
        break;
    case I2C_MRXADDR:
        s->addr = value;
        break;
    case I2C_MRXRADDR:
        s->reg = value;
        break;
    case I2C_MTXCNT:
        s->tx_count = value & 0x3f;
        if ((s->con & CON_EN) && CON_MODE(s->con) == MODE_TX) {
            i2c_transmit(s);
        }
        break;
    case I2C_MRXCNT:
        s->rx_count = value & 0x3f;
        if ((s->con & CON_EN) && CON_MODE(s->con) != MODE_TX) {
            i2c_receive(s);
        }
        break;
    case I2C_IEN:
        s->enable = value & INT_ALL;
        break;
    case I2C_IPD:
        s->pending &= ~value;
        break;
    case I2C_TXDATA ... I2C_TXDATA + RK3588_I2C_BUFFER - 4:
        stl_le_p(s->tx + offset - I2C_TXDATA, value);
        break;
    }
    i2c_update(s);
}

static const MemoryRegionOps rk3588_i2c_ops = {
    .read = i2c_read,
    .write = i2c_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void rk3588_i2c_reset_hold(Object *obj, ResetType type)
{
    RK3588I2cState *s = RK3588_I2C(obj);

    i2c_end(s);
    s->con = s->clkdiv = s->addr = s->reg = s->tx_count = s->rx_count = 0;
    s->enable = s->pending = s->finished = 0;
    memset(s->tx, 0, sizeof(s->tx));
    memset(s->rx, 0, sizeof(s->rx));
}

static void rk3588_i2c_init(Object *obj)
{
    RK3588I2cState *s = RK3588_I2C(obj);

    memory_region_init_io(&s->iomem, obj, &rk3588_i2c_ops, s, "rk3588-i2c",
                          I2C_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(obj), &s->iomem);
    sysbus_init_irq(SYS_BUS_DEVICE(obj), &s->irq);
    s->bus = i2c_init_bus(DEVICE(obj), "i2c");
}

static const VMStateDescription vmstate_rk3588_i2c = {
    .name = TYPE_RK3588_I2C,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(con, RK3588I2cState),
        VMSTATE_UINT32(clkdiv, RK3588I2cState),
        VMSTATE_UINT32(addr, RK3588I2cState),
        VMSTATE_UINT32(reg, RK3588I2cState),
        VMSTATE_UINT32(tx_count, RK3588I2cState),
        VMSTATE_UINT32(rx_count, RK3588I2cState),
        VMSTATE_UINT32(enable, RK3588I2cState),
        VMSTATE_UINT32(pending, RK3588I2cState),
        VMSTATE_UINT32(finished, RK3588I2cState),
        VMSTATE_BOOL(addressed, RK3588I2cState),
        VMSTATE_UINT8_ARRAY(tx, RK3588I2cState, RK3588_I2C_BUFFER),
        VMSTATE_UINT8_ARRAY(rx, RK3588I2cState, RK3588_I2C_BUFFER),
        VMSTATE_END_OF_LIST()
    }
};

static void rk3588_i2c_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 I2C controller";
    dc->vmsd = &vmstate_rk3588_i2c;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_i2c_reset_hold;
}

static const TypeInfo rk3588_i2c_types[] = {
    {
        .name = TYPE_RK3588_I2C,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588I2cState),
        .instance_init = rk3588_i2c_init,
        .class_init = rk3588_i2c_class_init,
    },
};

DEFINE_TYPES(rk3588_i2c_types)
