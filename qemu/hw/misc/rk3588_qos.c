/*
 * Rockchip RK3588 interconnect QoS registers of one NPU port
 *
 * The settings live inside the power domain of the port: they are lost with
 * its power, and the registers cannot be reached without it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/rk3588_qos.h"
#include "migration/vmstate.h"
#include "trace.h"

static MemTxResult qos_read(void *opaque, hwaddr offset, uint64_t *data,
                            unsigned size, MemTxAttrs attrs)
{
    RK3588QosState *s = opaque;

    if (!s->power) {
        trace_rk3588_qos_abort(s->mmio.addr, offset);
        return MEMTX_ERROR;
    }
    *data = s->regs[offset / 4];
    return MEMTX_OK;
}

static MemTxResult qos_write(void *opaque, hwaddr offset, uint64_t data,
                             unsigned size, MemTxAttrs attrs)
{
    RK3588QosState *s = opaque;

    if (!s->power) {
        trace_rk3588_qos_abort(s->mmio.addr, offset);
        return MEMTX_ERROR;
    }
    s->regs[offset / 4] = data;
    return MEMTX_OK;
}

static const MemoryRegionOps rk3588_qos_ops = {
    .read_with_attrs = qos_read,
    .write_with_attrs = qos_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void qos_set_power(void *opaque, int n, int level)
{
    RK3588QosState *s = opaque;

    s->power = level;
    if (!level) {
        memset(s->regs, 0, sizeof(s->regs));
    }
}

static void rk3588_qos_reset_hold(Object *obj, ResetType type)
{
    RK3588QosState *s = RK3588_QOS(obj);

    memset(s->regs, 0, sizeof(s->regs));
}

static void rk3588_qos_init(Object *obj)
{
    RK3588QosState *s = RK3588_QOS(obj);

    memory_region_init_io(&s->mmio, obj, &rk3588_qos_ops, s, "rk3588-qos",
                          RK3588_QOS_SIZE);
    sysbus_init_mmio(SYS_BUS_DEVICE(obj), &s->mmio);
    qdev_init_gpio_in_named(DEVICE(obj), qos_set_power, "power", 1);
}

static const VMStateDescription vmstate_rk3588_qos = {
    .name = TYPE_RK3588_QOS,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_ARRAY(regs, RK3588QosState, RK3588_QOS_SIZE / 4),
        VMSTATE_BOOL(power, RK3588QosState),
        VMSTATE_END_OF_LIST()
    }
};

static void rk3588_qos_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 QoS registers";
    dc->vmsd = &vmstate_rk3588_qos;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_qos_reset_hold;
}

static const TypeInfo rk3588_qos_types[] = {
    {
        .name = TYPE_RK3588_QOS,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588QosState),
        .instance_init = rk3588_qos_init,
        .class_init = rk3588_qos_class_init,
    },
};

DEFINE_TYPES(rk3588_qos_types)
