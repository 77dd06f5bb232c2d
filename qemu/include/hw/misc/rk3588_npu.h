/*
 * RK3588 NPU core
 *
 * One core of the three-core neural processing unit of the RK3588: the
 * program counter (PC), the convolution front end (CNA), the MAC array
 * (CORE), the post-processing unit (DPU) and the pooling unit (PPU).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The implementation lives in hw/npu/ because trace events are declared per
 * directory.  The build needs subdir('npu') in hw/meson.build, "source
 * npu/Kconfig" in hw/Kconfig, 'hw/npu' in trace_events_subdirs of the top
 * meson.build and "select RK3588_NPU" in the machine.
 *
 * QEMU interface of TYPE_RK3588_NPU_CORE, a SysBusDevice:
 *  + Property "core-index" (uint8): 0, 1 or 2.
 *  + Link property "dma" (MemoryRegion): what the core masters through. When
 *    it is an IOMMUMemoryRegion, an access its translation refuses stalls the
 *    core until it is reset; an access that fails beyond the translation
 *    raises a DMA error interrupt.
 *  + sysbus MMIO region 0: the 64 KiB register window.
 *  + sysbus IRQ 0: level, high while (raw & mask) != 0.
 *  + Clock input "npu": the compute clock.
 *  + Named GPIO inputs, one line each: "power" (1 = domain on), "aclk" and
 *    "hclk" (1 = running), "srst-a" and "srst-h" (1 = reset asserted),
 *    "undervolt" (1 = the clock is too fast for the supply: no task comes to
 *    its end, those that run included).
 *    All lines that are never driven are taken as on, running, released and 0.
 *
 * Fault injection, QOM properties writable at run time (qom-set). Each is a
 * count of events still to be spoilt and counts down by itself:
 *  + "inject-hang": tasks that start and never complete
 *  + "inject-stuck": the same, and soft resets do not help: only power-off does
 *  + "inject-irq-drop": completions whose interrupt is not raised
 *  + "inject-irq-repeat": completions whose interrupt bit is raised a second
 *    time after it was cleared
 *  + "inject-irq-foreign": starts of tasks at which the line goes up with no
 *    bit set here, as it does for others on a shared line; it goes down when
 *    INT_STATUS or INT_RAW_STATUS is read
 *  + "inject-irq-late": tasks that hang at their end and whose interrupt bit
 *    comes after the reset that frees the core
 *  + "inject-dma-late": the same for what they write: it has been translated
 *    when the task hangs, and reaches memory after the reset
 *  + "inject-bus-error": starts of the PC whose first DMA access ends in a bus
 *    error
 *  + "inject-irq-delay-ns": nanoseconds added to every completion (not a
 *    count; stays until it is set back to 0)
 *  + "inject-late-ns": how long after the release of both soft resets what is
 *    late comes (not a count either; 5000 unless set). Power-off ends it all.
 */

#ifndef HW_MISC_RK3588_NPU_H
#define HW_MISC_RK3588_NPU_H

#include "qom/object.h"

#define TYPE_RK3588_NPU_CORE "rk3588-npu-core"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588NpuCoreState, RK3588_NPU_CORE)

/* Size of the register window of one core. */
#define RK3588_NPU_CORE_SIZE 0x10000

/* Names of the GPIO inputs, for qdev_get_gpio_in_named(). */
#define RK3588_NPU_GPIO_POWER  "power"
#define RK3588_NPU_GPIO_ACLK   "aclk"
#define RK3588_NPU_GPIO_HCLK   "hclk"
#define RK3588_NPU_GPIO_SRST_A "srst-a"
#define RK3588_NPU_GPIO_SRST_H "srst-h"
#define RK3588_NPU_GPIO_UNDERVOLT "undervolt"

#endif /* HW_MISC_RK3588_NPU_H */
