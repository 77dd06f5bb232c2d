/*
 * Rockchip RK3588: memory map and interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_RK3588_H
#define HW_ARM_RK3588_H

#include "qemu/units.h"

#define RK3588_MAX_CPUS         8
#define RK3588_NUM_NPU_CORES    3
#define RK3588_NUM_VIRTIO       8

/* DRAM starts at 0, makes way for the devices, and goes on at 4 GiB. */
#define RK3588_DRAM_LOW_MAX     0xf0000000ull
#define RK3588_DRAM_HIGH        (4 * GiB)
#define RK3588_DRAM_MAX         (8 * GiB)

/* Shared memory of the firmware's SCMI channel, in DRAM */
#define RK3588_SCMI_SHMEM_BASE  0x0010f000

#define RK3588_SRAM1_BASE       0xfd600000
#define RK3588_SRAM1_SIZE       (1 * MiB)
#define RK3588_CRU_BASE         0xfd7c0000
#define RK3588_PMU_BASE         0xfd8d8000
#define RK3588_NPU(core)        (0xfdab0000 + (core) * 0x10000)
#define RK3588_NPU_IOMMU_A      0x9000      /* in the window, core 0 only */
#define RK3588_NPU_IOMMU_B      0xa000
#define RK3588_QOS_BASE         0xfdf30000
#define RK3588_QOS_END          0xfdfa0000
#define RK3588_QOS_NPU1         0xfdf70000
#define RK3588_QOS_NPU2         0xfdf71000
#define RK3588_QOS_NPU0_MWR     0xfdf72000
#define RK3588_QOS_NPU0_MRO     0xfdf72200
#define RK3588_QOS_MCU_NPU      0xfdf72400
#define RK3588_GICD_BASE        0xfe600000
#define RK3588_GICR_BASE        0xfe680000
#define RK3588_I2C1_BASE        0xfea90000
#define RK3588_UART2_BASE       0xfeb50000
#define RK3588_SRAM2_BASE       0xff001000
#define RK3588_SRAM2_SIZE       0xef000

/* Everything that is not listed here and does not abort */
#define RK3588_PERIPH_BASE      0xfb000000
#define RK3588_PERIPH_SIZE      0x04000000

/* The board's virtio transports use addresses and interrupts that are free. */
#define RK3588_VIRTIO_BASE      0xff800000
#define RK3588_VIRTIO_SIZE      0x200

/* Shared peripheral interrupts */
#define RK3588_NUM_SPI          512
#define RK3588_SPI_NPU(core)    (110 + (core))
#define RK3588_SPI_I2C1         318
#define RK3588_SPI_UART2        333
#define RK3588_SPI_VIRTIO(n)    (480 + (n))

#endif
