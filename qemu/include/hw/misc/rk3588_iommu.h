/*
 * Rockchip RK3588 IOMMU (the "v2" Rockchip MMU in front of each NPU core)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + sysbus MMIO regions 0..banks-1: one register bank each, 0x100 bytes
 *  + sysbus IRQ 0: page faults and bus errors of every bank (level)
 *  + property "banks" (uint8): 1 or 2
 *  + link property "downstream": the memory that tables and pages live in
 *  + named GPIO inputs "power", "aclk", "hclk": 1 when the power domain is on
 *    or the clock runs; register access needs all three
 *  + named GPIO inputs "srst-a", "srst-h": 1 while the soft reset of the core
 *    that owns this IOMMU is asserted
 *  + property "inject-bus-errors" (uint32): that many of the next table walks
 *    end in a bus error instead of a translation
 *
 * The master in front of the IOMMU takes rk3588_iommu_upstream() as its DMA
 * memory. All banks carry the same programming; the last one is the one at
 * +0xa000 of the core's window, which every core has, and translates for the
 * master. The first of two (core 0, +0x9000) has no traffic of its own.
 */

#ifndef HW_MISC_RK3588_IOMMU_H
#define HW_MISC_RK3588_IOMMU_H

#include "hw/sysbus.h"
#include "exec/memory.h"
#include "qom/object.h"

#define TYPE_RK3588_IOMMU "rk3588-iommu"
OBJECT_DECLARE_SIMPLE_TYPE(RK3588IommuState, RK3588_IOMMU)

#define TYPE_RK3588_IOMMU_MEMORY_REGION "rk3588-iommu-memory-region"

#define RK3588_IOMMU_MAX_BANKS  2
#define RK3588_IOMMU_BANK_SIZE  0x100
#define RK3588_IOMMU_TLB_LINES  64
#define RK3588_IOMMU_LINE_PTES  16

/*
 * One TLB line: 64 bytes of a page table as they were in memory when they
 * were fetched, invalid entries included. Nothing but a zap, a force reset,
 * switching paging off or a hardware reset drops a line in use.
 */
typedef struct RK3588IommuTlbLine {
    bool valid;
    uint32_t tag;           /* IOVA of the first page */
    uint32_t pte[RK3588_IOMMU_LINE_PTES];
} RK3588IommuTlbLine;

typedef struct RK3588IommuBank {
    MemoryRegion mmio;
    RK3588IommuState *iommu;
    uint8_t index;

    uint32_t dte_addr;
    uint32_t status;        /* paging, fault, stall and direction bits */
    bool waiting;           /* a transaction that faulted waits here: */
    uint32_t wait_iova;
    bool wait_write;
    uint32_t page_fault_addr;
    uint32_t int_rawstat;
    uint32_t int_mask;
    uint32_t auto_gating;

    RK3588IommuTlbLine tlb[RK3588_IOMMU_TLB_LINES];
    uint32_t tlb_next;      /* next victim, round robin */
} RK3588IommuBank;

struct RK3588IommuState {
    SysBusDevice parent_obj;

    IOMMUMemoryRegion upstream;
    MemoryRegion *downstream;
    AddressSpace downstream_as;
    qemu_irq irq;

    uint8_t num_banks;
    uint32_t inject_bus_errors;
    RK3588IommuBank bank[RK3588_IOMMU_MAX_BANKS];

    bool power;
    bool aclk;
    bool hclk;
    bool srst_a;
    bool srst_h;
};

/**
 * rk3588_iommu_upstream: the memory region that the IOMMU's master uses for DMA
 *
 * Use it as the root of an address space. An access that the IOMMU refuses
 * returns an error to the master and has latched the fault in the registers.
 * Only to be called, and the region only to be accessed, under the BQL.
 */
MemoryRegion *rk3588_iommu_upstream(RK3588IommuState *s);

#endif
