/*
 * Rockchip RK3588 IOMMU (the "v2" Rockchip MMU in front of each NPU core)
 *
 * Translates 32-bit I/O virtual addresses through a two-level table of 4 KiB
 * pages to 40-bit physical addresses. An access it cannot translate waits
 * inside the unit, and while it does, a request to stall is not acknowledged.
 * "Page fault done" tries it once more, which faults again unless the page is
 * there by then; a reset of the core or of the unit, or loss of power, drops
 * it. The master makes no progress until it is reset in any case.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/irq.h"
#include "hw/qdev-properties.h"
#include "hw/misc/rk3588_iommu.h"
#include "migration/vmstate.h"
#include "trace.h"

/* Register offsets inside a bank */
#define REG_DTE_ADDR            0x00
#define REG_STATUS              0x04
#define REG_COMMAND             0x08
#define REG_PAGE_FAULT_ADDR     0x0c
#define REG_ZAP_ONE_LINE        0x10
#define REG_INT_RAWSTAT         0x14
#define REG_INT_CLEAR           0x18
#define REG_INT_MASK            0x1c
#define REG_INT_STATUS          0x20
#define REG_AUTO_GATING         0x24

#define STATUS_PAGING           (1u << 0)
#define STATUS_FAULT            (1u << 1)
#define STATUS_STALL            (1u << 2)
#define STATUS_IDLE             (1u << 3)
#define STATUS_REPLAY_EMPTY     (1u << 4)
#define STATUS_FAULT_WRITE      (1u << 5)

#define CMD_ENABLE_PAGING       0
#define CMD_DISABLE_PAGING      1
#define CMD_ENABLE_STALL        2
#define CMD_DISABLE_STALL       3
#define CMD_ZAP_CACHE           4
#define CMD_PAGE_FAULT_DONE     5
#define CMD_FORCE_RESET         6

#define INT_PAGE_FAULT          (1u << 0)
#define INT_BUS_ERROR           (1u << 1)
#define INT_ALL                 (INT_PAGE_FAULT | INT_BUS_ERROR)

/* Bit 31 reads as 1 after reset: the fetch of an entry has no time limit. */
#define AUTO_GATING_RESET       (1u << 31)
#define AUTO_GATING_MASK        0x80000003u

#define PAGE_BITS               12
#define PAGE_MASK               0xfffu
#define ENTRY_VALID             (1u << 0)
#define PTE_READABLE            (1u << 1)
#define PTE_WRITABLE            (1u << 2)

/* IOVA bits that select a TLB line */
#define LINE_MASK   (~((uint32_t)RK3588_IOMMU_LINE_PTES * 4096 - 1))

typedef enum WalkResult {
    WALK_OK,
    WALK_FAULT,
    WALK_BUS_ERROR,
} WalkResult;

/* Table and page addresses keep their bits 35:32 in 11:8 and 39:36 in 7:4. */
static uint64_t entry_address(uint32_t entry)
{
    return (uint64_t)(entry & ~PAGE_MASK) |
           ((uint64_t)extract32(entry, 8, 4) << 32) |
           ((uint64_t)extract32(entry, 4, 4) << 36);
}

static const char *iommu_name(RK3588IommuState *s)
{
    return object_get_canonical_path_component(OBJECT(s));
}

static void iommu_update_irq(RK3588IommuState *s)
{
    bool level = false;

    for (int i = 0; i < s->num_banks; i++) {
        level |= s->bank[i].int_rawstat & s->bank[i].int_mask;
    }
    qemu_set_irq(s->irq, level);
}

static void bank_zap_all(RK3588IommuBank *b)
{
    for (int i = 0; i < RK3588_IOMMU_TLB_LINES; i++) {
        b->tlb[i].valid = false;
    }
}

static void bank_zap_one(RK3588IommuBank *b, uint32_t iova)
{
    for (int i = 0; i < RK3588_IOMMU_TLB_LINES; i++) {
        if (b->tlb[i].tag == (iova & LINE_MASK)) {
            b->tlb[i].valid = false;
        }
    }
}

static void bank_reset(RK3588IommuBank *b)
{
    b->dte_addr = 0;
    b->status = 0;
    b->waiting = false;
    b->wait_iova = 0;
    b->wait_write = false;
    b->page_fault_addr = 0;
    b->int_rawstat = 0;
    b->int_mask = 0;
    b->auto_gating = AUTO_GATING_RESET;
    b->tlb_next = 0;
    bank_zap_all(b);
}

static void iommu_reset_banks(RK3588IommuState *s)
{
    for (int i = 0; i < RK3588_IOMMU_MAX_BANKS; i++) {
        bank_reset(&s->bank[i]);
    }
    iommu_update_irq(s);
}

/*
 * Translation
 */

static bool iommu_table_read(RK3588IommuState *s, uint64_t addr,
                             uint32_t *words, unsigned int count)
{
    if (s->inject_bus_errors) {
        s->inject_bus_errors--;
        return false;
    }
    if (address_space_read(&s->downstream_as, addr, MEMTXATTRS_UNSPECIFIED,
                           words, count * sizeof(*words)) != MEMTX_OK) {
        return false;
    }
    for (unsigned int i = 0; i < count; i++) {
        words[i] = le32_to_cpu(words[i]);
    }
    return true;
}

static RK3588IommuTlbLine *bank_tlb_lookup(RK3588IommuBank *b, uint32_t iova)
{
    for (int i = 0; i < RK3588_IOMMU_TLB_LINES; i++) {
        if (b->tlb[i].valid && b->tlb[i].tag == (iova & LINE_MASK)) {
            return &b->tlb[i];
        }
    }
    return NULL;
}

static WalkResult bank_tlb_fill(RK3588IommuBank *b, uint32_t iova,
                                RK3588IommuTlbLine **linep)
{
    RK3588IommuState *s = b->iommu;
    RK3588IommuTlbLine *line;
    uint32_t dte, first = iova & LINE_MASK;
    uint32_t pte[RK3588_IOMMU_LINE_PTES];

    if (!iommu_table_read(s, entry_address(b->dte_addr) +
                          extract32(iova, 22, 10) * 4, &dte, 1)) {
        return WALK_BUS_ERROR;
    }
    if (!(dte & ENTRY_VALID)) {
        trace_rk3588_iommu_walk(iommu_name(s), b->index, iova, dte, 0);
        return WALK_FAULT;
    }
    if (!iommu_table_read(s, entry_address(dte) + extract32(first, 12, 10) * 4,
                          pte, RK3588_IOMMU_LINE_PTES)) {
        return WALK_BUS_ERROR;
    }

    line = &b->tlb[b->tlb_next];
    b->tlb_next = (b->tlb_next + 1) % RK3588_IOMMU_TLB_LINES;
    line->valid = true;
    line->tag = first;
    memcpy(line->pte, pte, sizeof(pte));
    *linep = line;
    trace_rk3588_iommu_walk(iommu_name(s), b->index, iova, dte,
                            pte[extract32(iova, PAGE_BITS, 4)]);
    return WALK_OK;
}

/* For the trace only: what memory says now about an entry the TLB holds. */
static void bank_trace_hit(RK3588IommuBank *b, uint32_t iova, uint32_t pte)
{
    RK3588IommuState *s = b->iommu;
    uint32_t dte = 0, now = 0;
    uint64_t at;

    if (trace_event_get_state_backends(TRACE_RK3588_IOMMU_STALE)) {
        at = entry_address(b->dte_addr) + extract32(iova, 22, 10) * 4;
        address_space_read(&s->downstream_as, at, MEMTXATTRS_UNSPECIFIED,
                           &dte, sizeof(dte));
        dte = le32_to_cpu(dte);
        if (dte & ENTRY_VALID) {
            at = entry_address(dte) + extract32(iova, 12, 10) * 4;
            address_space_read(&s->downstream_as, at, MEMTXATTRS_UNSPECIFIED,
                               &now, sizeof(now));
            now = le32_to_cpu(now);
        }
        if (now != pte) {
            trace_rk3588_iommu_stale(iommu_name(s), b->index, iova, pte, now);
        }
    }
    trace_rk3588_iommu_tlb_hit(iommu_name(s), b->index, iova, pte);
}

static WalkResult bank_translate(RK3588IommuBank *b, uint32_t iova,
                                 bool is_write, uint32_t *ptep)
{
    RK3588IommuTlbLine *line = bank_tlb_lookup(b, iova);
    uint32_t pte, need = is_write ? PTE_WRITABLE : PTE_READABLE;

    if (line) {
        bank_trace_hit(b, iova, line->pte[extract32(iova, PAGE_BITS, 4)]);
    } else {
        WalkResult res = bank_tlb_fill(b, iova, &line);

        if (res != WALK_OK) {
            return res;
        }
    }
    pte = line->pte[extract32(iova, PAGE_BITS, 4)];
    if (!(pte & ENTRY_VALID) || !(pte & need)) {
        return WALK_FAULT;
    }
    *ptep = pte;
    return WALK_OK;
}

/* The transaction goes into the replay buffer. */
static void bank_latch_fault(RK3588IommuBank *b, uint32_t iova, bool is_write,
                             WalkResult why)
{
    b->waiting = true;
    b->wait_iova = iova;
    b->wait_write = is_write;
    b->page_fault_addr = iova;
    if (why == WALK_FAULT) {
        b->status |= STATUS_FAULT;
        b->status &= ~STATUS_FAULT_WRITE;
        b->status |= is_write ? STATUS_FAULT_WRITE : 0;
        b->int_rawstat |= INT_PAGE_FAULT;
    } else {
        b->int_rawstat |= INT_BUS_ERROR;
    }
    trace_rk3588_iommu_fault(iommu_name(b->iommu), b->index, iova,
                             is_write ? "write" : "read",
                             why == WALK_FAULT ? "page fault" : "bus error");
    iommu_update_irq(b->iommu);
}

static void bank_retry(RK3588IommuBank *b)
{
    WalkResult res = WALK_OK;
    uint32_t pte;

    if (!b->waiting) {
        return;
    }
    if (b->status & STATUS_PAGING) {
        res = bank_translate(b, b->wait_iova, b->wait_write, &pte);
    }
    if (res == WALK_OK) {
        b->waiting = false;
    } else {
        bank_latch_fault(b, b->wait_iova, b->wait_write, res);
    }
}

static IOMMUTLBEntry rk3588_iommu_translate(IOMMUMemoryRegion *mr, hwaddr addr,
                                            IOMMUAccessFlags flag,
                                            int iommu_idx)
{
    RK3588IommuState *s = container_of(mr, RK3588IommuState, upstream);
    RK3588IommuBank *b = &s->bank[s->num_banks - 1];
    bool is_write = flag & IOMMU_WO;
    uint32_t pte;
    WalkResult res;
    IOMMUTLBEntry ret = {
        .target_as = &s->downstream_as,
        .iova = addr & ~(hwaddr)PAGE_MASK,
        .translated_addr = addr & ~(hwaddr)PAGE_MASK,
        .addr_mask = PAGE_MASK,
        .perm = IOMMU_NONE,
    };

    assert(bql_locked());
    if (flag == IOMMU_NONE) {
        /* A question about the mapping, not an access of the master. */
        return ret;
    }
    if (!s->power || !s->aclk || s->srst_a) {
        return ret;
    }
    if (!(b->status & STATUS_PAGING)) {
        ret.perm = IOMMU_RW;
        return ret;
    }
    if (b->waiting || (b->status & STATUS_STALL)) {
        trace_rk3588_iommu_blocked(iommu_name(s), b->index, addr);
        return ret;
    }

    res = bank_translate(b, addr, is_write, &pte);
    if (res != WALK_OK) {
        bank_latch_fault(b, addr, is_write, res);
        return ret;
    }
    ret.translated_addr = entry_address(pte);
    ret.perm = ((pte & PTE_READABLE) ? IOMMU_RO : 0) |
               ((pte & PTE_WRITABLE) ? IOMMU_WO : 0);
    return ret;
}

/*
 * Registers
 */

static uint32_t bank_status(RK3588IommuBank *b)
{
    return b->status | STATUS_IDLE | (b->waiting ? 0 : STATUS_REPLAY_EMPTY);
}

static void bank_command(RK3588IommuBank *b, uint32_t cmd)
{
    switch (cmd) {
    case CMD_ENABLE_PAGING:
        b->status |= STATUS_PAGING;
        break;
    case CMD_DISABLE_PAGING:
        b->status &= ~STATUS_PAGING;
        bank_zap_all(b);
        break;
    case CMD_ENABLE_STALL:
        /* Never acknowledged while a transaction cannot be drained. */
        if ((b->status & STATUS_PAGING) && !b->waiting) {
            b->status |= STATUS_STALL;
        }
        break;
    case CMD_DISABLE_STALL:
        b->status &= ~STATUS_STALL;
        break;
    case CMD_ZAP_CACHE:
        bank_zap_all(b);
        break;
    case CMD_PAGE_FAULT_DONE:
        b->status &= ~(STATUS_FAULT | STATUS_FAULT_WRITE);
        bank_retry(b);
        break;
    case CMD_FORCE_RESET:
        bank_reset(b);
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: bank %d: unknown command 0x%x\n",
                      iommu_name(b->iommu), b->index, cmd);
        break;
    }
}

static bool iommu_reachable(RK3588IommuState *s)
{
    return s->power && s->aclk && s->hclk;
}

static MemTxResult bank_read(void *opaque, hwaddr offset, uint64_t *data,
                             unsigned size, MemTxAttrs attrs)
{
    RK3588IommuBank *b = opaque;
    RK3588IommuState *s = b->iommu;
    uint32_t val = 0;

    if (!iommu_reachable(s)) {
        trace_rk3588_iommu_abort(iommu_name(s), b->index, offset, s->power,
                                 s->aclk, s->hclk);
        return MEMTX_ERROR;
    }
    switch (offset) {
    case REG_DTE_ADDR:
        val = b->dte_addr;
        break;
    case REG_STATUS:
        val = bank_status(b);
        break;
    case REG_PAGE_FAULT_ADDR:
        val = b->page_fault_addr;
        break;
    case REG_INT_RAWSTAT:
        val = b->int_rawstat;
        break;
    case REG_INT_MASK:
        val = b->int_mask;
        break;
    case REG_INT_STATUS:
        val = b->int_rawstat & b->int_mask;
        break;
    case REG_AUTO_GATING:
        val = b->auto_gating;
        break;
    case REG_COMMAND:
    case REG_ZAP_ONE_LINE:
    case REG_INT_CLEAR:
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: bank %d: read of 0x%" HWADDR_PRIx
                      "\n", iommu_name(s), b->index, offset);
        break;
    }
    trace_rk3588_iommu_read(iommu_name(s), b->index, offset, val,
                            qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    *data = val;
    return MEMTX_OK;
}

static MemTxResult bank_write(void *opaque, hwaddr offset, uint64_t data,
                              unsigned size, MemTxAttrs attrs)
{
    RK3588IommuBank *b = opaque;
    RK3588IommuState *s = b->iommu;

    if (!iommu_reachable(s)) {
        trace_rk3588_iommu_abort(iommu_name(s), b->index, offset, s->power,
                                 s->aclk, s->hclk);
        return MEMTX_ERROR;
    }
    trace_rk3588_iommu_write(iommu_name(s), b->index, offset, data,
                             qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    if (s->srst_a || s->srst_h) {
        /* Held in reset: nothing to write to. */
        return MEMTX_OK;
    }
    switch (offset) {
    case REG_DTE_ADDR:
        b->dte_addr = data;
        break;
    case REG_COMMAND:
        bank_command(b, data);
        break;
    case REG_ZAP_ONE_LINE:
        bank_zap_one(b, data);
        break;
    case REG_INT_CLEAR:
        b->int_rawstat &= ~data;
        break;
    case REG_INT_MASK:
        b->int_mask = data & INT_ALL;
        break;
    case REG_AUTO_GATING:
        b->auto_gating = data & AUTO_GATING_MASK;
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: bank %d: write of 0x%" HWADDR_PRIx
                      "\n", iommu_name(s), b->index, offset);
        break;
    }
    iommu_update_irq(s);
    return MEMTX_OK;
}

static const MemoryRegionOps rk3588_iommu_bank_ops = {
    .read_with_attrs = bank_read,
    .write_with_attrs = bank_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/*
 * Power, clocks, resets
 */

static void iommu_set_power(void *opaque, int n, int level)
{
    RK3588IommuState *s = opaque;

    s->power = level;
    if (!level) {
        iommu_reset_banks(s);
    }
}

static void iommu_set_aclk(void *opaque, int n, int level)
{
    RK3588_IOMMU(opaque)->aclk = level;
}

static void iommu_set_hclk(void *opaque, int n, int level)
{
    RK3588_IOMMU(opaque)->hclk = level;
}

static void iommu_set_srst_a(void *opaque, int n, int level)
{
    RK3588IommuState *s = opaque;

    s->srst_a = level;
    if (level) {
        iommu_reset_banks(s);
    }
}

static void iommu_set_srst_h(void *opaque, int n, int level)
{
    RK3588IommuState *s = opaque;

    s->srst_h = level;
    if (level) {
        iommu_reset_banks(s);
    }
}

/*
 * Device
 */

MemoryRegion *rk3588_iommu_upstream(RK3588IommuState *s)
{
    return MEMORY_REGION(&s->upstream);
}

static void rk3588_iommu_reset_hold(Object *obj, ResetType type)
{
    RK3588IommuState *s = RK3588_IOMMU(obj);

    for (int i = 0; i < RK3588_IOMMU_MAX_BANKS; i++) {
        bank_reset(&s->bank[i]);
    }
    s->inject_bus_errors = 0;
}

static void rk3588_iommu_init(Object *obj)
{
    RK3588IommuState *s = RK3588_IOMMU(obj);
    DeviceState *dev = DEVICE(obj);

    qdev_init_gpio_in_named(dev, iommu_set_power, "power", 1);
    qdev_init_gpio_in_named(dev, iommu_set_aclk, "aclk", 1);
    qdev_init_gpio_in_named(dev, iommu_set_hclk, "hclk", 1);
    qdev_init_gpio_in_named(dev, iommu_set_srst_a, "srst-a", 1);
    qdev_init_gpio_in_named(dev, iommu_set_srst_h, "srst-h", 1);
    sysbus_init_irq(SYS_BUS_DEVICE(obj), &s->irq);
    object_property_add_uint32_ptr(obj, "inject-bus-errors",
                                   &s->inject_bus_errors,
                                   OBJ_PROP_FLAG_READWRITE);

    memory_region_init_iommu(&s->upstream, sizeof(s->upstream),
                             TYPE_RK3588_IOMMU_MEMORY_REGION, obj,
                             "rk3588-iommu-upstream", 4 * GiB);
}

static void rk3588_iommu_realize(DeviceState *dev, Error **errp)
{
    RK3588IommuState *s = RK3588_IOMMU(dev);

    if (s->num_banks < 1 || s->num_banks > RK3588_IOMMU_MAX_BANKS) {
        error_setg(errp, "banks must be 1 or 2");
        return;
    }
    if (!s->downstream) {
        error_setg(errp, "downstream memory is not set");
        return;
    }
    address_space_init(&s->downstream_as, s->downstream, iommu_name(s));

    for (int i = 0; i < s->num_banks; i++) {
        RK3588IommuBank *b = &s->bank[i];

        b->iommu = s;
        b->index = i;
        memory_region_init_io(&b->mmio, OBJECT(dev), &rk3588_iommu_bank_ops,
                              b, "rk3588-iommu", RK3588_IOMMU_BANK_SIZE);
        sysbus_init_mmio(SYS_BUS_DEVICE(dev), &b->mmio);
    }
}

static const VMStateDescription vmstate_rk3588_iommu_line = {
    .name = "rk3588-iommu/line",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(valid, RK3588IommuTlbLine),
        VMSTATE_UINT32(tag, RK3588IommuTlbLine),
        VMSTATE_UINT32_ARRAY(pte, RK3588IommuTlbLine, RK3588_IOMMU_LINE_PTES),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_rk3588_iommu_bank = {
    .name = "rk3588-iommu/bank",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(dte_addr, RK3588IommuBank),
        VMSTATE_UINT32(status, RK3588IommuBank),
        VMSTATE_BOOL(waiting, RK3588IommuBank),
        VMSTATE_UINT32(wait_iova, RK3588IommuBank),
        VMSTATE_BOOL(wait_write, RK3588IommuBank),
        VMSTATE_UINT32(page_fault_addr, RK3588IommuBank),
        VMSTATE_UINT32(int_rawstat, RK3588IommuBank),
        VMSTATE_UINT32(int_mask, RK3588IommuBank),
        VMSTATE_UINT32(auto_gating, RK3588IommuBank),
        VMSTATE_STRUCT_ARRAY(tlb, RK3588IommuBank, RK3588_IOMMU_TLB_LINES, 1,
                             vmstate_rk3588_iommu_line, RK3588IommuTlbLine),
        VMSTATE_UINT32(tlb_next, RK3588IommuBank),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_rk3588_iommu = {
    .name = TYPE_RK3588_IOMMU,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT_ARRAY(bank, RK3588IommuState, RK3588_IOMMU_MAX_BANKS, 1,
                             vmstate_rk3588_iommu_bank, RK3588IommuBank),
        VMSTATE_UINT32(inject_bus_errors, RK3588IommuState),
        VMSTATE_BOOL(power, RK3588IommuState),
        VMSTATE_BOOL(aclk, RK3588IommuState),
        VMSTATE_BOOL(hclk, RK3588IommuState),
        VMSTATE_BOOL(srst_a, RK3588IommuState),
        VMSTATE_BOOL(srst_h, RK3588IommuState),
        VMSTATE_END_OF_LIST()
    }
};

static const Property rk3588_iommu_properties[] = {
    DEFINE_PROP_UINT8("banks", RK3588IommuState, num_banks, 1),
    DEFINE_PROP_LINK("downstream", RK3588IommuState, downstream,
                     TYPE_MEMORY_REGION, MemoryRegion *),
};

static void rk3588_iommu_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 IOMMU";
    dc->realize = rk3588_iommu_realize;
    dc->vmsd = &vmstate_rk3588_iommu;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_iommu_reset_hold;
    device_class_set_props(dc, rk3588_iommu_properties);
}

static void rk3588_iommu_mr_class_init(ObjectClass *klass, void *data)
{
    IOMMUMemoryRegionClass *imrc = IOMMU_MEMORY_REGION_CLASS(klass);

    imrc->translate = rk3588_iommu_translate;
}

static const TypeInfo rk3588_iommu_types[] = {
    {
        .name = TYPE_RK3588_IOMMU,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588IommuState),
        .instance_init = rk3588_iommu_init,
        .class_init = rk3588_iommu_class_init,
    }, {
        .name = TYPE_RK3588_IOMMU_MEMORY_REGION,
        .parent = TYPE_IOMMU_MEMORY_REGION,
        .class_init = rk3588_iommu_mr_class_init,
    },
};

DEFINE_TYPES(rk3588_iommu_types)
