/*
 * Rockchip RK3588 boot firmware: SCMI clock service
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The part of the secure firmware that owns the clocks the kernel cannot
 * reach. The machine calls rk3588_scmi_doorbell() for the SMC that rings it.
 *
 * QEMU interface:
 *  + link property "memory": where the shared memory is
 *  + property "shmem" (uint64): its address
 *  + Clock output "npu": the compute clock of the NPU cores
 *  + named GPIO input "npu-power": 1 when the NPU's power domain is on
 *  + named GPIO input "npu-voltage": the NPU's supply in microvolts; enough if
 *    nobody drives it
 *  + named GPIO output "npu-undervolt": 1 while that is less than the NPU needs
 *    at the rate of its clock
 */

#ifndef HW_MISC_RK3588_SCMI_H
#define HW_MISC_RK3588_SCMI_H

#include "hw/clock.h"
#include "hw/sysbus.h"
#include "exec/memory.h"
#include "qom/object.h"

#define TYPE_RK3588_SCMI "rk3588-scmi"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588ScmiState, RK3588_SCMI)

#define RK3588_SCMI_SHMEM_SIZE  0x100
#define RK3588_SCMI_NUM_CLOCKS  24

struct RK3588ScmiState {
    SysBusDevice parent_obj;

    MemoryRegion *memory;
    AddressSpace as;
    uint64_t shmem;
    Clock *npu;
    bool npu_power;
    bool hung;                  /* answers no more */
    int32_t npu_voltage;
    qemu_irq npu_undervolt;

    uint64_t rate[RK3588_SCMI_NUM_CLOCKS];
    bool enabled[RK3588_SCMI_NUM_CLOCKS];
};

/* Serves the request in the shared memory before it returns. */
void rk3588_scmi_doorbell(RK3588ScmiState *s);

#endif
