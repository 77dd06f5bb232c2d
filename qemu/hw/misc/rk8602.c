/*
 * Rockchip RK8602 voltage regulator
 *
 * A buck converter that is told its voltage over I2C.  It has two settings and
 * a pin that selects one of them; here that is always the first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/irq.h"
#include "hw/misc/rk8602.h"
#include "migration/vmstate.h"
#include "trace.h"

#define REG_ENABLE0     0x00
#define REG_ENABLE1     0x01
#define REG_ID1         0x03
#define REG_ID2         0x04
#define REG_VSEL0       0x06
#define REG_VSEL1       0x07

#define ENABLE          0x80
#define CHIP_ID         0x0a

#define VSEL_MAX        159
#define MIN_UV          500000
#define STEP_UV         6250

/* 800 mV, what boot firmware leaves on boards with an RK3588 */
#define VSEL_RESET      48

static void rk8602_update(RK8602State *s)
{
    int uv = 0;

    if (s->regs[REG_ENABLE0] & ENABLE) {
        uv = MIN_UV + STEP_UV * MIN(s->regs[REG_VSEL0], VSEL_MAX);
    }
    trace_rk8602_voltage(uv);
    qemu_set_irq(s->voltage, uv);
}

static int rk8602_event(I2CSlave *i2c, enum i2c_event event)
{
    if (event == I2C_START_SEND) {
        RK8602(i2c)->pointed = false;
    }
    return 0;
}

static int rk8602_send(I2CSlave *i2c, uint8_t data)
{
    RK8602State *s = RK8602(i2c);

    if (!s->pointed) {
        s->pointer = data;
        s->pointed = true;
        return 0;
    }
    if (s->pointer < RK8602_NUM_REGS && s->pointer != REG_ID1 &&
        s->pointer != REG_ID2) {
        s->regs[s->pointer] = data;
        rk8602_update(s);
    }
    s->pointer++;
    return 0;
}

static uint8_t rk8602_recv(I2CSlave *i2c)
{
    RK8602State *s = RK8602(i2c);
    uint8_t at = s->pointer++;

    return at < RK8602_NUM_REGS ? s->regs[at] : 0;
}

static void rk8602_reset_hold(Object *obj, ResetType type)
{
    RK8602State *s = RK8602(obj);

    memset(s->regs, 0, sizeof(s->regs));
    s->regs[REG_ENABLE0] = s->regs[REG_ENABLE1] = ENABLE;
    s->regs[REG_ID1] = CHIP_ID;
    s->regs[REG_VSEL0] = s->regs[REG_VSEL1] = VSEL_RESET;
    s->pointer = 0;
    s->pointed = false;
}

static void rk8602_reset_exit(Object *obj, ResetType type)
{
    rk8602_update(RK8602(obj));
}

static void rk8602_init(Object *obj)
{
    RK8602State *s = RK8602(obj);

    qdev_init_gpio_out_named(DEVICE(obj), &s->voltage, "voltage", 1);
}

static const VMStateDescription vmstate_rk8602 = {
    .name = TYPE_RK8602,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_I2C_SLAVE(parent_obj, RK8602State),
        VMSTATE_UINT8_ARRAY(regs, RK8602State, RK8602_NUM_REGS),
        VMSTATE_UINT8(pointer, RK8602State),
        VMSTATE_BOOL(pointed, RK8602State),
        VMSTATE_END_OF_LIST()
    }
};

static void rk8602_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    I2CSlaveClass *ic = I2C_SLAVE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK8602 voltage regulator";
    dc->vmsd = &vmstate_rk8602;
    dc->user_creatable = false;
    ic->event = rk8602_event;
    ic->send = rk8602_send;
    ic->recv = rk8602_recv;
    rc->phases.hold = rk8602_reset_hold;
    rc->phases.exit = rk8602_reset_exit;
}

static const TypeInfo rk8602_types[] = {
    {
        .name = TYPE_RK8602,
        .parent = TYPE_I2C_SLAVE,
        .instance_size = sizeof(RK8602State),
        .instance_init = rk8602_init,
        .class_init = rk8602_class_init,
    },
};

DEFINE_TYPES(rk8602_types)
