/*
 * RK3588 NPU core
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device around the compute engine: the PC, which fetches command words
 * by DMA and starts tasks; both register groups of each block; interrupts;
 * time; power, clocks and resets.
 *
 * Time and threads.  When a task starts, all its inputs are read by DMA at
 * once and its duration is taken from the cost model below.  A host thread
 * computes on the private copies.  A virtual-clock timer ends the task: it
 * writes the outputs, then raises the interrupt or starts the next task of
 * the chain.  With -icount (and under qtest) the timer waits for the thread,
 * so that two runs are the same to the nanosecond; otherwise a task whose
 * thread is late ends when the thread does.
 *
 * A task that cannot end, because its configuration hangs the hardware, the
 * model refuses it, or the IOMMU stopped an access, leaves the core hung
 * until it is reset, whatever is written to its registers meanwhile.
 *
 * Choices where public sources are silent: a start while a task runs is
 * ignored; what follows the enable word of a stream is not looked at; a
 * stream that ends without one, or has a word for an unknown block, hangs;
 * writes to a group that is enabled are dropped, as the ancestor of this
 * hardware does; only the last task of a chain raises interrupt bits.
 *
 * Streams may write the PC's registers, too, as its target id implies. Such a
 * write does what the CPU's does, before the task starts: a mask, a cleared
 * interrupt, a TASK_CON stay as the stream left them, for the next task and
 * the next client. BASE_ADDRESS and REGISTER_AMOUNTS name the next stream of a
 * chain; how many tasks a kick runs is taken from TASK_CON when it starts; a
 * start is ignored as any start of a busy core is.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/irq.h"
#include "hw/misc/rk3588_npu.h"
#include "hw/qdev-clock.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#include "migration/vmstate.h"
#include "system/cpu-timers.h"
#include "system/qtest.h"
#include "rk3588_npu_worker.h"
#include "trace.h"

/*
 * Cost model.  A task takes
 *
 *   NPU_TASK_START_NS + the longest of
 *     cycles of the MAC array, cycles of the DPU or PPU, both at the compute
 *     clock, and bytes read and written (the stream included) at
 *     NPU_DMA_BYTES_PER_US.
 *
 * The MAC array does 1024 int8 or 512 fp16 or int16 multiply-accumulates a
 * cycle: 32 channels by 32 kernels (16 at 16 bits) of one tap of one pixel,
 * partly filled steps costing as much as full ones; depthwise 64 channels (32)
 * of one tap.  The DPU writes one 16-byte atom a cycle; the PPU takes in one
 * atom of one tap a cycle.  The start cost and the bandwidth of one core are
 * round figures of the order seen on boards.
 */
#define NPU_TASK_START_NS       2000
#define NPU_DMA_BYTES_PER_US    8000
/* After the CNA has delivered its last atom. */
#define NPU_CORE_LATENCY_NS     100
/* Without a clock connected: the rate the device tree asks for. */
#define NPU_DEFAULT_HZ          200000000
/* How long after its first clearing a repeated interrupt comes. */
#define NPU_REPEAT_NS           10000
/* How long after a reset what is late comes, unless told. */
#define NPU_LATE_NS             5000

#define NPU_VERSION             0x46495245
#define NPU_WORDS_PER_READ      32
#define NPU_TRAILER_WORDS       4

typedef enum NpuState {
    NPU_IDLE,
    NPU_RUNNING,
    NPU_HUNG,
} NpuState;

/* The interrupts of a task come in this order. */
typedef enum NpuPhase {
    PHASE_CNA,
    PHASE_CORE,
    PHASE_END,
} NpuPhase;

/* A write on its way to memory, past the IOMMU. */
typedef struct NpuLateWrite {
    QSIMPLEQ_ENTRY(NpuLateWrite) next;
    AddressSpace *as;
    hwaddr addr;
    size_t len;
    uint8_t data[];
} NpuLateWrite;

struct RK3588NpuCoreState {
    SysBusDevice parent_obj;

    MemoryRegion iomem;
    qemu_irq irq;
    Clock *clk;
    MemoryRegion *dma;
    AddressSpace dma_as;
    uint8_t core_index;

    bool power, aclk, hclk, srst_a, srst_h, undervolt;

    /* PC */
    uint32_t base, amounts, int_mask, int_raw, task_con, task_dma_base;
    uint32_t irq_dropped;       /* raised bits that do not reach the line */
    bool has_run;
    unsigned finished;          /* tasks, as TASK_STATUS counts them */
    uint32_t ddma[16];

    /* Blocks */
    NpuRegs group[2];
    uint32_t s_pointer[NPU_BLOCKS];
    NpuCbuf cbuf;

    /* The kick under way */
    NpuState state;
    NpuPhase phase;
    bool from_pc;               /* started by the PC, not by the CPU */
    bool linked;                /* the stream named a next stream */
    bool late;                  /* the timer fired before the thread was done */
    bool bus_error;             /* to be injected into the next access */
    unsigned tasks_left;
    uint32_t enable;            /* blocks of the running task */
    uint8_t running_group[NPU_BLOCKS];
    int64_t phase_at[PHASE_END + 1];
    int64_t host_us;            /* what the running task cost the host */
    NpuWorker worker;
    QEMUTimer *timer, *repeat_timer, *late_timer;
    QEMUBH *bh;

    /* Fault injection */
    uint32_t inject_hang, inject_stuck, inject_irq_drop, inject_irq_repeat;
    uint32_t inject_bus_error, inject_irq_foreign;
    uint32_t inject_irq_late, inject_dma_late;
    uint64_t inject_irq_delay_ns, inject_late_ns;
    uint32_t repeat_bits;
    bool foreign;               /* the line is up for no reason of ours */
    uint32_t late_bits;
    QSIMPLEQ_HEAD(, NpuLateWrite) late_writes;
    bool stuck;                 /* deaf to soft resets until power goes */
};

static void npu_start_task(RK3588NpuCoreState *s, uint32_t enable,
                           uint64_t words);
static void npu_pc_write(RK3588NpuCoreState *s, uint64_t offset,
                         uint32_t value);

/* For the traces. */
static int64_t npu_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void npu_update_irq(RK3588NpuCoreState *s)
{
    int level = (s->int_raw & s->int_mask & ~s->irq_dropped) != 0 ||
        s->foreign;

    trace_rk3588_npu_irq(s->core_index, s->int_raw, s->int_mask, level,
                         npu_now());
    qemu_set_irq(s->irq, level);
}

static void npu_hang(RK3588NpuCoreState *s, const char *why)
{
    s->state = NPU_HUNG;
    trace_rk3588_npu_hang(s->core_index, why, npu_now());
    qemu_log_mask(LOG_GUEST_ERROR, "npu core %u hangs until reset: %s\n",
                  s->core_index, why);
}

/*
 * DMA
 */

/* Where an access goes, and how much of it goes there. */
static NpuVerdict npu_dma_translate(RK3588NpuCoreState *s, uint32_t addr,
                                    bool write, AddressSpace **as,
                                    hwaddr *target, size_t *len)
{
    IOMMUMemoryRegion *iommu = memory_region_get_iommu(s->dma);
    IOMMUAccessFlags need = write ? IOMMU_WO : IOMMU_RO;
    uint64_t left = UINT64_C(0x100000000) - addr;
    IOMMUTLBEntry e;

    *as = &s->dma_as;
    *target = addr;
    *len = MIN(*len, left);
    if (!iommu) {
        return NPU_OK;
    }
    e = memory_region_get_iommu_class_nocheck(iommu)->translate(iommu, addr,
                                                                need, 0);
    if (!(e.perm & need)) {
        return NPU_STALLED;
    }
    *as = e.target_as;
    *target = (e.translated_addr & ~e.addr_mask) | (addr & e.addr_mask);
    *len = MIN(*len, e.addr_mask + 1 - (addr & e.addr_mask));
    return NPU_OK;
}

static NpuVerdict npu_dma_page(RK3588NpuCoreState *s, uint32_t addr,
                               void *buf, size_t *len, bool write)
{
    AddressSpace *as;
    hwaddr target;
    NpuVerdict v = npu_dma_translate(s, addr, write, &as, &target, len);

    if (v != NPU_OK) {
        return v;
    }
    if (s->bus_error) {
        s->bus_error = false;
        trace_rk3588_npu_inject(s->core_index, "bus error");
        return NPU_BUS_ERROR;
    }
    if (address_space_rw(as, target, MEMTXATTRS_UNSPECIFIED, buf, *len,
                         write) != MEMTX_OK) {
        return NPU_BUS_ERROR;
    }
    return NPU_OK;
}

static NpuVerdict npu_dma(RK3588NpuCoreState *s, uint32_t addr, void *buf,
                          size_t len, bool write)
{
    const char *dir = write ? "writes" : "reads";

    trace_rk3588_npu_dma(s->core_index, dir, addr, len);
    while (len) {
        size_t n = len;
        NpuVerdict v = npu_dma_page(s, addr, buf, &n, write);

        if (v != NPU_OK) {
            trace_rk3588_npu_dma_fault(s->core_index, dir, addr,
                                       v == NPU_STALLED ? "stopped by IOMMU"
                                                        : "bus error");
            return v;
        }
        addr += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return NPU_OK;
}

static NpuVerdict npu_dma_read(void *opaque, uint32_t addr, void *buf,
                               size_t len)
{
    return npu_dma(opaque, addr, buf, len, false);
}

static NpuVerdict npu_dma_write(void *opaque, uint32_t addr, const void *buf,
                                size_t len)
{
    return npu_dma(opaque, addr, (void *)buf, len, true);
}

/* An access failed: only errors beyond the IOMMU have interrupt bits. */
static void npu_dma_failed(RK3588NpuCoreState *s, NpuVerdict v, bool write)
{
    if (v == NPU_BUS_ERROR) {
        s->int_raw |= write ? PC_INT_DMA_WRITE : PC_INT_DMA_READ;
        npu_update_irq(s);
    }
    npu_hang(s, v == NPU_BUS_ERROR ? "DMA error" : "DMA stopped by the IOMMU");
}

/*
 * Blocks and their register groups
 */

/* OP_EN bit of each block in the enable word and in GLOBAL. */
static const uint8_t block_enable[NPU_BLOCKS] = {
    [NPU_CNA] = OP_EN_CNA, [NPU_CORE] = OP_EN_CORE, [NPU_DPU] = OP_EN_DPU,
    [NPU_RDMA] = OP_EN_RDMA, [NPU_PPU] = OP_EN_PPU,
    [NPU_PRDMA] = OP_EN_PRDMA,
};

/* Block at a page of the window, or -1. */
static int npu_block_at(uint64_t offset)
{
    static const int8_t blocks[16] = {
        -1, NPU_CNA, -1, NPU_CORE, NPU_DPU, NPU_RDMA, NPU_PPU, NPU_PRDMA,
        -1, -1, -1, -1, -1, -1, -1, -1
    };

    return blocks[offset >> 12 & 15];
}

static unsigned npu_pointer(RK3588NpuCoreState *s, int b)
{
    return s->s_pointer[b] & S_POINTER_POINTER;
}

static unsigned npu_executer(RK3588NpuCoreState *s, int b)
{
    return !!(s->s_pointer[b] & S_POINTER_EXECUTER);
}

static uint32_t *npu_op_en(RK3588NpuCoreState *s, int b, unsigned group)
{
    return &s->group[group].r[b][BLK_OPERATION_ENABLE / 4];
}

static bool npu_block_running(RK3588NpuCoreState *s, int b, unsigned group)
{
    return s->state != NPU_IDLE && (s->enable & block_enable[b]) &&
        s->running_group[b] == group;
}

static uint32_t npu_block_status(RK3588NpuCoreState *s, int b)
{
    uint32_t status = 0;

    for (unsigned g = 0; g < 2; g++) {
        uint32_t v = npu_block_running(s, b, g) ? 1 :
            *npu_op_en(s, b, g) ? 2 : 0;

        status |= v << (16 * g);
    }
    return status;
}

static void npu_write_s_pointer(RK3588NpuCoreState *s, int b, uint32_t value)
{
    uint32_t keep = S_POINTER_EXECUTER;

    /* With ping-pong on, the hardware moves the pointer, not the write. */
    if (value & S_POINTER_PP_EN) {
        keep |= S_POINTER_POINTER;
    }
    if (value & S_POINTER_PP_CLEAR) {
        keep &= ~S_POINTER_POINTER;
        value &= ~S_POINTER_POINTER;
    }
    if (value & S_POINTER_EXEC_CLEAR) {
        keep &= ~S_POINTER_EXECUTER;
    }
    value &= ~(S_POINTER_PP_CLEAR | S_POINTER_EXEC_CLEAR |
               S_POINTER_EXECUTER);
    s->s_pointer[b] = (value & ~keep) | (s->s_pointer[b] & keep);
}

static void npu_enable_block(RK3588NpuCoreState *s, int b)
{
    uint32_t pp = S_POINTER_PP_EN | S_POINTER_PP_MODE;

    *npu_op_en(s, b, npu_pointer(s, b)) = 1;
    if ((s->s_pointer[b] & pp) == pp) {
        s->s_pointer[b] ^= S_POINTER_POINTER;
    }
}

/* Returns false when the block has no such register. */
static bool npu_write_block(RK3588NpuCoreState *s, uint64_t offset,
                            uint32_t value)
{
    int b = npu_block_at(offset);
    uint32_t reg = offset & 0xfff;
    unsigned g;

    if (b < 0 || reg >= NPU_BLOCK_REGS * 4) {
        return false;
    }
    g = npu_pointer(s, b);
    if (reg == BLK_S_POINTER) {
        npu_write_s_pointer(s, b, value);
    } else if (reg == BLK_S_STATUS) {
        trace_rk3588_npu_ignored(s->core_index, offset, value, "read-only");
    } else if (*npu_op_en(s, b, g)) {
        trace_rk3588_npu_ignored(s->core_index, offset, value,
                                 "group is enabled");
    } else if (reg == BLK_OPERATION_ENABLE) {
        if (value & 1) {
            npu_enable_block(s, b);
        }
    } else {
        s->group[g].r[b][reg / 4] = value;
    }
    return true;
}

static uint32_t npu_read_block(RK3588NpuCoreState *s, uint64_t offset)
{
    int b = npu_block_at(offset);
    uint32_t reg = offset & 0xfff;

    if (reg == BLK_S_STATUS) {
        return npu_block_status(s, b);
    }
    if (reg == BLK_S_POINTER) {
        return s->s_pointer[b];
    }
    if (reg >= NPU_BLOCK_REGS * 4) {
        return 0;
    }
    return s->group[npu_pointer(s, b)].r[b][reg / 4];
}

static void npu_enable_blocks(RK3588NpuCoreState *s, uint32_t enable)
{
    for (int b = 0; b < NPU_BLOCKS; b++) {
        if (enable & block_enable[b]) {
            npu_enable_block(s, b);
        }
    }
}

/* Blocks whose executer stands on an enabled group. */
static uint32_t npu_armed(RK3588NpuCoreState *s)
{
    uint32_t armed = 0;

    for (int b = 0; b < NPU_BLOCKS; b++) {
        if (*npu_op_en(s, b, npu_executer(s, b))) {
            armed |= block_enable[b];
        }
    }
    return armed;
}

/*
 * The CPU enables blocks one by one: a task starts with the block that
 * completes it.  The DPU_RDMA takes part if it is enabled by then.
 */
static void npu_start_armed(RK3588NpuCoreState *s)
{
    static const uint32_t sets[] = {
        OP_EN_CNA | OP_EN_CORE | OP_EN_DPU,
        OP_EN_DPU | OP_EN_RDMA,
        OP_EN_PPU | OP_EN_PRDMA,
    };
    uint32_t armed = npu_armed(s);

    for (int i = 0; s->state == NPU_IDLE && i < ARRAY_SIZE(sets); i++) {
        uint32_t mode = s->group[npu_executer(s, NPU_DPU)].
            r[NPU_DPU][(DPU_FEATURE_MODE & 0xfff) / 4];

        if ((armed & sets[i]) != sets[i] ||
            ((sets[i] & OP_EN_DPU) && (mode & 1) != (i == 1))) {
            continue;
        }
        s->from_pc = false;
        s->tasks_left = 1;
        npu_start_task(s, sets[i] | (i == 0 ? armed & OP_EN_RDMA : 0), 0);
    }
}

/*
 * PC
 */

/* One command word; returns false when the core hangs on it. */
static bool npu_pc_word(RK3588NpuCoreState *s, uint64_t word,
                        uint32_t *enable)
{
    static const uint16_t target_of_page[8] = {
        0x0101, 0x0201, 0, 0x0801, 0x1001, 0x2001, 0x4001, 0x8001
    };
    uint32_t value = word >> 16, offset = word & 0xffff;
    uint16_t target = word >> 48;

    if (!word || target == 0x0041) {
        return true;
    }
    trace_rk3588_npu_word(s->core_index, offset, value);
    if (target == 0x0081 && offset == PC_OPERATION_ENABLE) {
        *enable = value;
        return true;
    }
    if (offset < 0x8000 && target && target == target_of_page[offset >> 12]) {
        if (offset < 0x1000) {
            npu_pc_write(s, offset, value);
            if (offset == PC_BASE_ADDRESS) {
                s->linked = value & ~15u;
            }
            return true;
        }
        if (npu_write_block(s, offset, value)) {
            return true;
        }
    }
    trace_rk3588_npu_refused(s->core_index, offset, value,
                             "command word for an unknown register");
    npu_hang(s, "unknown command word");
    return false;
}

/*
 * Fetches a stream up to its enable word and starts the task.  Counts that
 * leave out the trailer are known to work: it is fetched all the same.
 */
static void npu_pc_fetch(RK3588NpuCoreState *s)
{
    uint64_t words[NPU_WORDS_PER_READ];
    uint32_t addr = s->base & ~15u;
    unsigned count = ((s->amounts & 0xffff) + 1) * 2, n;
    uint32_t enable = 0;

    s->linked = false;
    trace_rk3588_npu_fetch(s->core_index, addr, count);
    for (unsigned done = 0; done < count + NPU_TRAILER_WORDS; done += n) {
        NpuVerdict v;

        n = done < count ? MIN(count - done, NPU_WORDS_PER_READ)
                         : NPU_TRAILER_WORDS;
        v = npu_dma(s, addr + done * 8, words, n * 8, false);
        if (v != NPU_OK) {
            npu_dma_failed(s, v, false);
            return;
        }
        for (unsigned i = 0; i < n; i++) {
            if (!npu_pc_word(s, le64_to_cpu(words[i]), &enable)) {
                return;
            }
            if (enable) {
                npu_enable_blocks(s, enable);
                npu_start_task(s, enable, done + i + 1);
                return;
            }
        }
    }
    npu_hang(s, "stream without an enable word");
}

static void npu_pc_start(RK3588NpuCoreState *s)
{
    if (s->state != NPU_IDLE) {
        trace_rk3588_npu_ignored(s->core_index, PC_OPERATION_ENABLE, 1,
                                 "core is busy");
        return;
    }
    if (s->base & PC_BASE_SLAVE) {
        trace_rk3588_npu_ignored(s->core_index, PC_OPERATION_ENABLE, 1,
                                 "PC is in slave mode");
        return;
    }
    s->has_run = true;
    s->from_pc = true;
    s->state = NPU_RUNNING;
    s->enable = 0;
    s->tasks_left = s->task_con & PC_TASK_NUMBER;
    if (s->inject_bus_error) {
        s->inject_bus_error--;
        s->bus_error = true;
    }
    if (!s->tasks_left || s->task_dma_base) {
        trace_rk3588_npu_refused(s->core_index, s->tasks_left ?
                                 PC_TASK_DMA_BASE : PC_TASK_CON,
                                 s->tasks_left ? s->task_dma_base :
                                 s->task_con, "no tasks, or a DMA base");
        npu_hang(s, "PC configuration");
        return;
    }
    npu_pc_fetch(s);
}

/*
 * Tasks
 */

/* Why these blocks cannot run as they stand, NULL if they can. */
static const char *npu_cannot_run(RK3588NpuCoreState *s, uint32_t enable)
{
    if ((npu_armed(s) & enable) != enable) {
        return "executer does not stand on the enabled group";
    }
    for (int b = NPU_CNA; b <= NPU_CORE; b++) {
        if ((enable & block_enable[b]) &&
            (s->s_pointer[b] >> 28 & 3) != s->core_index) {
            return "core bits of S_POINTER";
        }
    }
    if (s->undervolt) {
        return "voltage";
    }
    if (s->inject_hang) {
        s->inject_hang--;
        trace_rk3588_npu_inject(s->core_index, "hang");
        return "injected";
    }
    if (s->inject_stuck) {
        s->inject_stuck--;
        s->stuck = true;
        trace_rk3588_npu_inject(s->core_index, "hang until power-off");
        return "injected";
    }
    return NULL;
}

/* Somebody else on the line wants something, until the CPU has looked here. */
static void npu_inject_foreign(RK3588NpuCoreState *s)
{
    if (s->inject_irq_foreign) {
        s->inject_irq_foreign--;
        s->foreign = true;
        trace_rk3588_npu_inject(s->core_index, "foreign interrupt");
        npu_update_irq(s);
    }
}

static uint64_t npu_cycles_ns(RK3588NpuCoreState *s, uint64_t cycles)
{
    uint64_t hz = clock_is_enabled(s->clk) ? clock_get_hz(s->clk) : 0;

    return muldiv64(cycles, NANOSECONDS_PER_SECOND, hz ? hz : NPU_DEFAULT_HZ);
}

static void npu_set_phases(RK3588NpuCoreState *s, const NpuCost *cost,
                           uint64_t words)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    uint64_t in = muldiv64(cost->bytes_read + words * 8, 1000,
                           NPU_DMA_BYTES_PER_US);
    uint64_t all = muldiv64(cost->bytes_read + cost->bytes_written +
                            words * 8, 1000, NPU_DMA_BYTES_PER_US);
    uint64_t mac = npu_cycles_ns(s, cost->mac_cycles);
    uint64_t post = npu_cycles_ns(s, cost->post_cycles);
    uint64_t front = NPU_TASK_START_NS + MAX(in, mac);
    uint64_t total = NPU_TASK_START_NS + MAX(all, MAX(mac, post));

    total = MAX(total, front + 2 * NPU_CORE_LATENCY_NS);
    s->phase_at[PHASE_CNA] = now + front;
    s->phase_at[PHASE_CORE] = now + front + NPU_CORE_LATENCY_NS;
    s->phase_at[PHASE_END] = now + total + s->inject_irq_delay_ns;
    trace_rk3588_npu_task_start(s->core_index, s->finished, s->enable,
                                s->phase_at[PHASE_END] - now, now);
}

static void npu_start_task(RK3588NpuCoreState *s, uint32_t enable,
                           uint64_t words)
{
    NpuDma dma = { .read = npu_dma_read, .opaque = s };
    g_autofree NpuRegs *regs = g_new0(NpuRegs, 1);
    const char *why = npu_cannot_run(s, enable);
    NpuReason reason = { 0 };
    int64_t begin;
    NpuTask *task;
    NpuVerdict v;

    s->has_run = true;
    s->state = NPU_RUNNING;
    s->enable = enable;
    for (int b = 0; b < NPU_BLOCKS; b++) {
        s->running_group[b] = npu_executer(s, b);
        memcpy(regs->r[b], s->group[s->running_group[b]].r[b],
               sizeof(regs->r[b]));
    }
    if (why) {
        npu_hang(s, why);
        return;
    }
    begin = g_get_monotonic_time();
    v = npu_task_prepare(regs, enable, &dma, &s->cbuf, &task, &reason);
    s->host_us = g_get_monotonic_time() - begin;
    if (v == NPU_REFUSED) {
        trace_rk3588_npu_refused(s->core_index, reason.reg, reason.value,
                                 reason.why);
        npu_hang(s, reason.why);
    } else if (v != NPU_OK) {
        npu_dma_failed(s, v, false);
    } else {
        g_autofree char *name = g_strdup_printf("npu%u", s->core_index);

        npu_set_phases(s, npu_task_cost(task), words);
        npu_worker_submit(&s->worker, task, name);
        s->late = false;
        s->phase = s->enable & OP_EN_CNA ? PHASE_CNA : PHASE_END;
        timer_mod_ns(s->timer, s->phase_at[s->phase]);
        npu_inject_foreign(s);
    }
}

static void npu_raise(RK3588NpuCoreState *s, uint32_t bits)
{
    s->int_raw |= bits;
    npu_update_irq(s);
}

/* What says that the running task is done. */
static uint32_t npu_end_bits(RK3588NpuCoreState *s)
{
    return s->enable & OP_EN_DPU ? PC_INT_DPU(s->running_group[NPU_DPU]) :
        PC_INT_PPU(s->running_group[NPU_PPU]);
}

/* The last task of a kick is done: tell the CPU. */
static void npu_raise_end(RK3588NpuCoreState *s)
{
    uint32_t bits = npu_end_bits(s);

    if (s->inject_irq_drop) {
        s->inject_irq_drop--;
        s->irq_dropped |= bits;
        trace_rk3588_npu_inject(s->core_index, "dropped interrupt");
    } else if (s->inject_irq_repeat) {
        s->inject_irq_repeat--;
        s->repeat_bits = bits;
    }
    npu_raise(s, bits);
}

/* Lets a write through the IOMMU, but not yet to memory. */
static NpuVerdict npu_dma_hold(void *opaque, uint32_t addr, const void *buf,
                               size_t len)
{
    RK3588NpuCoreState *s = opaque;

    while (len) {
        size_t n = len;
        AddressSpace *as;
        NpuLateWrite *w;
        hwaddr target;
        NpuVerdict v = npu_dma_translate(s, addr, true, &as, &target, &n);

        if (v != NPU_OK) {
            return v;
        }
        w = g_malloc(sizeof(*w) + n);
        w->as = as;
        w->addr = target;
        w->len = n;
        memcpy(w->data, buf, n);
        QSIMPLEQ_INSERT_TAIL(&s->late_writes, w, next);
        addr += n;
        buf = (const uint8_t *)buf + n;
        len -= n;
    }
    return NPU_OK;
}

/*
 * Is the end of this task to come late?  Then the core hangs, and what is on
 * its way out of it outlives the reset that frees the core.
 */
static bool npu_inject_late(RK3588NpuCoreState *s, NpuTask *task)
{
    NpuVerdict v = NPU_OK;

    if (!s->inject_irq_late && !s->inject_dma_late) {
        return false;
    }
    if (s->inject_irq_late) {
        s->inject_irq_late--;
        s->late_bits |= npu_end_bits(s);
        trace_rk3588_npu_inject(s->core_index, "late interrupt");
    }
    if (s->inject_dma_late) {
        s->inject_dma_late--;
        trace_rk3588_npu_inject(s->core_index, "late writes");
        v = npu_task_write(task, npu_dma_hold, s);
    }
    npu_task_free(task);
    if (v != NPU_OK) {
        npu_dma_failed(s, v, true);
    } else {
        npu_hang(s, "injected");
    }
    return true;
}

static void npu_late_forget(RK3588NpuCoreState *s)
{
    NpuLateWrite *w, *next;

    timer_del(s->late_timer);
    s->late_bits = 0;
    QSIMPLEQ_FOREACH_SAFE(w, &s->late_writes, next, next) {
        g_free(w);
    }
    QSIMPLEQ_INIT(&s->late_writes);
}

static void npu_late(void *opaque)
{
    RK3588NpuCoreState *s = opaque;
    uint32_t bits = s->late_bits;
    NpuLateWrite *w;

    trace_rk3588_npu_late(s->core_index, bits,
                          !QSIMPLEQ_EMPTY(&s->late_writes), npu_now());
    QSIMPLEQ_FOREACH(w, &s->late_writes, next) {
        address_space_write(w->as, w->addr, MEMTXATTRS_UNSPECIFIED, w->data,
                            w->len);
    }
    npu_late_forget(s);
    npu_raise(s, bits);
}

static void npu_release_blocks(RK3588NpuCoreState *s)
{
    for (int b = 0; b < NPU_BLOCKS; b++) {
        uint32_t *ptr = &s->s_pointer[b];

        if (!(s->enable & block_enable[b])) {
            continue;
        }
        *npu_op_en(s, b, s->running_group[b]) = 0;
        if (*ptr & S_POINTER_EXEC_PP_EN) {
            *ptr ^= S_POINTER_EXECUTER;
        }
        if ((*ptr & S_POINTER_PP_EN) && !(*ptr & S_POINTER_PP_MODE)) {
            *ptr ^= S_POINTER_POINTER;
        }
    }
}

static void npu_end_task(RK3588NpuCoreState *s, NpuTask *task, int64_t took_us)
{
    int64_t begin = g_get_monotonic_time();
    NpuVerdict v;

    if (npu_inject_late(s, task)) {
        return;
    }
    v = npu_task_write(task, npu_dma_write, s);
    npu_task_free(task);
    s->host_us += took_us + g_get_monotonic_time() - begin;
    trace_rk3588_npu_task_end(s->core_index, s->finished, s->late, s->host_us,
                              npu_now());
    if (v != NPU_OK) {
        npu_dma_failed(s, v, true);
        return;
    }
    npu_release_blocks(s);
    s->finished++;
    if (--s->tasks_left == 0) {
        s->state = NPU_IDLE;
        npu_raise_end(s);
        if (!s->from_pc) {
            npu_start_armed(s);
        }
    } else if (!s->linked) {
        npu_hang(s, "chain without an address of the next stream");
    } else {
        npu_pc_fetch(s);
    }
}

static void npu_timer(void *opaque)
{
    RK3588NpuCoreState *s = opaque;
    bool wait = icount_enabled() || qtest_enabled();
    int64_t took_us;
    NpuTask *task;

    if (s->state != NPU_RUNNING) {
        return;
    }
    if (s->phase != PHASE_END) {
        if (s->tasks_left == 1) {
            npu_raise(s, s->phase == PHASE_CNA ?
                      PC_INT_CNA(s->running_group[NPU_CNA]) :
                      PC_INT_CORE(s->running_group[NPU_CORE]));
        }
        s->phase++;
        timer_mod_ns(s->timer, s->phase_at[s->phase]);
        return;
    }
    task = npu_worker_collect(&s->worker, wait, &took_us);
    if (task) {
        npu_end_task(s, task, took_us);
    } else {
        s->late = true;
    }
}

/* The thread is done; matters only when the timer came first. */
static void npu_bh(void *opaque)
{
    RK3588NpuCoreState *s = opaque;
    int64_t took_us;
    NpuTask *task;

    if (s->state == NPU_RUNNING && s->late) {
        task = npu_worker_collect(&s->worker, false, &took_us);
        if (task) {
            npu_end_task(s, task, took_us);
        }
    }
}

static void npu_repeat(void *opaque)
{
    RK3588NpuCoreState *s = opaque;

    trace_rk3588_npu_inject(s->core_index, "repeated interrupt");
    npu_raise(s, s->repeat_bits);
    s->repeat_bits = 0;
}

static void npu_worker_notify(void *opaque)
{
    RK3588NpuCoreState *s = opaque;

    qemu_bh_schedule(s->bh);
}

/*
 * Registers
 */

static bool npu_in_reset(RK3588NpuCoreState *s)
{
    return s->srst_a || s->srst_h;
}

static void npu_int_clear(RK3588NpuCoreState *s, uint32_t value)
{
    uint32_t cleared = s->int_raw & value;

    s->int_raw &= ~value;
    s->irq_dropped &= ~value;
    npu_update_irq(s);
    if (cleared & s->repeat_bits) {
        timer_mod_ns(s->repeat_timer, NPU_REPEAT_NS +
                     qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    }
}

/*
 * Bits 12 to 15 as seen on boards: 0x5000 when idle, 0xf000 from the start of
 * a task until its interrupt is cleared.
 */
static uint32_t npu_task_status(RK3588NpuCoreState *s)
{
    bool busy = s->state != NPU_IDLE || s->int_raw;

    return (s->finished & PC_TASK_NUMBER) | (busy ? 0xf000 : 0x5000);
}

static uint32_t npu_pc_read(RK3588NpuCoreState *s, uint64_t offset)
{
    if (s->foreign && (offset == PC_INT_STATUS ||
                       offset == PC_INT_RAW_STATUS)) {
        s->foreign = false;
        npu_update_irq(s);
    }
    switch (offset) {
    case PC_VERSION:
        return NPU_VERSION;
    case PC_OPERATION_ENABLE:
        return s->state != NPU_IDLE && s->from_pc;
    case PC_BASE_ADDRESS:
        return s->base;
    case PC_REGISTER_AMOUNTS:
        return s->amounts;
    case PC_INT_MASK:
        return 0x80000000 | s->int_mask;
    case PC_INT_STATUS:
        return s->int_raw & s->int_mask;
    case PC_INT_RAW_STATUS:
        return 0x40000000 | (uint32_t)s->has_run << 31 | s->int_raw;
    case PC_TASK_CON:
        return s->task_con;
    case PC_TASK_DMA_BASE:
        return s->task_dma_base;
    case PC_TASK_STATUS:
        return npu_task_status(s);
    default:
        return 0;
    }
}

static void npu_pc_write(RK3588NpuCoreState *s, uint64_t offset,
                         uint32_t value)
{
    switch (offset) {
    case PC_OPERATION_ENABLE:
        /* Clearing the bit does not abort anything. */
        if (value & 1) {
            npu_pc_start(s);
        }
        break;
    case PC_BASE_ADDRESS:
        s->base = value & ~14u;
        break;
    case PC_REGISTER_AMOUNTS:
        s->amounts = value & 0xffff;
        break;
    case PC_INT_MASK:
        s->int_mask = value & PC_INT_BITS;
        npu_update_irq(s);
        break;
    case PC_INT_CLEAR:
        npu_int_clear(s, value & PC_INT_BITS);
        break;
    case PC_TASK_CON:
        if (value & PC_TASK_CLEAR) {
            s->finished = 0;
        }
        s->task_con = value & 0x7fff & ~PC_TASK_CLEAR;
        break;
    case PC_TASK_DMA_BASE:
        s->task_dma_base = value & ~15u;
        break;
    default:
        trace_rk3588_npu_ignored(s->core_index, offset, value, "read-only");
        break;
    }
}

/* Returns false for an access that gets no answer on the bus. */
static bool npu_accessible(RK3588NpuCoreState *s, hwaddr offset, bool write)
{
    if (!s->power || !s->aclk || !s->hclk) {
        trace_rk3588_npu_abort(s->core_index, offset, s->power, s->aclk,
                               s->hclk);
        return false;
    }
    /* No block answers reads here: a real SoC locks up. */
    return write || offset >> 12 != 2;
}

static MemTxResult npu_mmio_read(void *opaque, hwaddr offset, uint64_t *data,
                                 unsigned size, MemTxAttrs attrs)
{
    RK3588NpuCoreState *s = opaque;

    *data = 0;
    if (!npu_accessible(s, offset, false)) {
        return MEMTX_ERROR;
    }
    if (offset < 0x1000) {
        *data = npu_pc_read(s, offset);
    } else if (npu_block_at(offset) >= 0) {
        *data = npu_read_block(s, offset);
    } else if (offset >= 0x8000 && offset < 0x8000 + sizeof(s->ddma)) {
        *data = s->ddma[(offset & 0xff) / 4];
    }
    trace_rk3588_npu_read(s->core_index, offset, *data, npu_now());
    return MEMTX_OK;
}

static void npu_write_blocks(RK3588NpuCoreState *s, hwaddr offset,
                             uint32_t value)
{
    if (!(s->base & PC_BASE_SLAVE)) {
        trace_rk3588_npu_ignored(s->core_index, offset, value,
                                 "PC is in fetch mode");
        return;
    }
    if (offset == GLOBAL_OPERATION_ENABLE) {
        npu_enable_blocks(s, value);
    } else if (!npu_write_block(s, offset, value)) {
        trace_rk3588_npu_ignored(s->core_index, offset, value,
                                 "no such register");
        return;
    }
    npu_start_armed(s);
}

static MemTxResult npu_mmio_write(void *opaque, hwaddr offset, uint64_t data,
                                  unsigned size, MemTxAttrs attrs)
{
    RK3588NpuCoreState *s = opaque;

    if (!npu_accessible(s, offset, true)) {
        return MEMTX_ERROR;
    }
    trace_rk3588_npu_write(s->core_index, offset, data, npu_now());
    if (npu_in_reset(s)) {
        trace_rk3588_npu_ignored(s->core_index, offset, data, "in reset");
    } else if (offset < 0x1000) {
        npu_pc_write(s, offset, data);
    } else if (offset >= 0x8000 && offset < 0x8000 + sizeof(s->ddma)) {
        s->ddma[(offset & 0xff) / 4] = data;
    } else {
        npu_write_blocks(s, offset, data);
    }
    return MEMTX_OK;
}

static const MemoryRegionOps npu_ops = {
    .read_with_attrs = npu_mmio_read,
    .write_with_attrs = npu_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid.min_access_size = 4,
    .valid.max_access_size = 4,
    .impl.min_access_size = 4,
    .impl.max_access_size = 4,
};

/*
 * Reset, power, clocks
 */

static void npu_reset_state(RK3588NpuCoreState *s, const char *why)
{
    trace_rk3588_npu_reset(s->core_index, why, npu_now());
    timer_del(s->timer);
    timer_del(s->repeat_timer);
    npu_worker_drop(&s->worker);
    s->state = NPU_IDLE;
    s->late = s->linked = s->bus_error = s->has_run = false;
    s->enable = s->tasks_left = s->finished = 0;
    s->base = s->amounts = s->int_raw = s->task_con = s->task_dma_base = 0;
    s->irq_dropped = s->repeat_bits = 0;
    s->foreign = false;
    s->int_mask = PC_INT_BITS;
    memset(s->s_pointer, 0, sizeof(s->s_pointer));
    memset(s->ddma, 0, sizeof(s->ddma));
    s->ddma[0x00 / 4] = 0x0fff;
    s->ddma[0x04 / 4] = 0x01010101;
    s->ddma[0x30 / 4] = 1 << 8;
    for (int g = 0; g < 2; g++) {
        npu_regs_reset(&s->group[g]);
    }
    npu_update_irq(s);
}

/* What resets leave alone: the memory of the CBUF, and what is on its way. */
static void npu_power_lost(RK3588NpuCoreState *s)
{
    memset(&s->cbuf, 0, sizeof(s->cbuf));
    npu_late_forget(s);
}

static void npu_set_power(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;

    if (s->power && !level) {
        s->stuck = false;
        npu_reset_state(s, "power");
        npu_power_lost(s);
    }
    s->power = level;
}

static void npu_set_undervolt(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;

    s->undervolt = level;
    if (level && s->state == NPU_RUNNING) {
        npu_hang(s, "voltage");
    }
}

static void npu_set_aclk(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;

    s->aclk = level;
}

static void npu_set_hclk(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;

    s->hclk = level;
}

/* When a reset ends, what it did not catch comes. */
static void npu_released(RK3588NpuCoreState *s, bool was_in_reset)
{
    if (was_in_reset && !npu_in_reset(s) &&
        (s->late_bits || !QSIMPLEQ_EMPTY(&s->late_writes))) {
        timer_mod_ns(s->late_timer, s->inject_late_ns +
                     qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    }
}

static void npu_set_srst_a(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;
    bool was_in_reset = npu_in_reset(s);

    if (level && !s->srst_a && !s->stuck) {
        npu_reset_state(s, "srst-a");
    }
    s->srst_a = level;
    npu_released(s, was_in_reset);
}

static void npu_set_srst_h(void *opaque, int n, int level)
{
    RK3588NpuCoreState *s = opaque;
    bool was_in_reset = npu_in_reset(s);

    if (level && !s->srst_h && !s->stuck) {
        npu_reset_state(s, "srst-h");
    }
    s->srst_h = level;
    npu_released(s, was_in_reset);
}

static void npu_reset_hold(Object *obj, ResetType type)
{
    RK3588NpuCoreState *s = RK3588_NPU_CORE(obj);

    s->stuck = false;
    npu_reset_state(s, "machine");
    npu_power_lost(s);
}

/*
 * Device
 */

static void npu_add_injections(RK3588NpuCoreState *s)
{
    const struct {
        const char *name;
        uint32_t *count;
    } counts[] = {
        { "inject-hang", &s->inject_hang },
        { "inject-stuck", &s->inject_stuck },
        { "inject-irq-drop", &s->inject_irq_drop },
        { "inject-irq-repeat", &s->inject_irq_repeat },
        { "inject-irq-foreign", &s->inject_irq_foreign },
        { "inject-irq-late", &s->inject_irq_late },
        { "inject-dma-late", &s->inject_dma_late },
        { "inject-bus-error", &s->inject_bus_error },
    };

    for (int i = 0; i < ARRAY_SIZE(counts); i++) {
        object_property_add_uint32_ptr(OBJECT(s), counts[i].name,
                                       counts[i].count,
                                       OBJ_PROP_FLAG_READWRITE);
    }
    object_property_add_uint64_ptr(OBJECT(s), "inject-irq-delay-ns",
                                   &s->inject_irq_delay_ns,
                                   OBJ_PROP_FLAG_READWRITE);
    s->inject_late_ns = NPU_LATE_NS;
    object_property_add_uint64_ptr(OBJECT(s), "inject-late-ns",
                                   &s->inject_late_ns,
                                   OBJ_PROP_FLAG_READWRITE);
    QSIMPLEQ_INIT(&s->late_writes);
}

static void npu_init(Object *obj)
{
    RK3588NpuCoreState *s = RK3588_NPU_CORE(obj);
    SysBusDevice *sbd = SYS_BUS_DEVICE(obj);
    DeviceState *dev = DEVICE(obj);

    memory_region_init_io(&s->iomem, obj, &npu_ops, s, TYPE_RK3588_NPU_CORE,
                          RK3588_NPU_CORE_SIZE);
    sysbus_init_mmio(sbd, &s->iomem);
    sysbus_init_irq(sbd, &s->irq);
    s->clk = qdev_init_clock_in(dev, "npu", NULL, s, 0);
    qdev_init_gpio_in_named(dev, npu_set_power, RK3588_NPU_GPIO_POWER, 1);
    qdev_init_gpio_in_named(dev, npu_set_aclk, RK3588_NPU_GPIO_ACLK, 1);
    qdev_init_gpio_in_named(dev, npu_set_hclk, RK3588_NPU_GPIO_HCLK, 1);
    qdev_init_gpio_in_named(dev, npu_set_srst_a, RK3588_NPU_GPIO_SRST_A, 1);
    qdev_init_gpio_in_named(dev, npu_set_srst_h, RK3588_NPU_GPIO_SRST_H, 1);
    qdev_init_gpio_in_named(dev, npu_set_undervolt, RK3588_NPU_GPIO_UNDERVOLT,
                            1);
    s->power = s->aclk = s->hclk = true;

    npu_add_injections(s);
    npu_worker_init(&s->worker, npu_worker_notify, s);
}

static void npu_finalize(Object *obj)
{
    RK3588NpuCoreState *s = RK3588_NPU_CORE(obj);

    npu_worker_destroy(&s->worker);
}

static void npu_realize(DeviceState *dev, Error **errp)
{
    RK3588NpuCoreState *s = RK3588_NPU_CORE(dev);

    if (!s->dma) {
        error_setg(errp, TYPE_RK3588_NPU_CORE ": link 'dma' is not set");
        return;
    }
    if (s->core_index > 2) {
        error_setg(errp, TYPE_RK3588_NPU_CORE ": core-index %u is not 0 to 2",
                   s->core_index);
        return;
    }
    address_space_init(&s->dma_as, s->dma, "rk3588-npu-dma");
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, npu_timer, s);
    s->repeat_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, npu_repeat, s);
    s->late_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, npu_late, s);
    s->bh = qemu_bh_new_guarded(npu_bh, s, &dev->mem_reentrancy_guard);
}

static void npu_unrealize(DeviceState *dev)
{
    RK3588NpuCoreState *s = RK3588_NPU_CORE(dev);

    npu_reset_state(s, "unrealize");
    npu_late_forget(s);
    qemu_bh_delete(s->bh);
    timer_free(s->timer);
    timer_free(s->repeat_timer);
    timer_free(s->late_timer);
    address_space_destroy(&s->dma_as);
}

static const VMStateDescription npu_vmstate = {
    .name = TYPE_RK3588_NPU_CORE,
    .unmigratable = 1,
};

static const Property npu_properties[] = {
    DEFINE_PROP_UINT8("core-index", RK3588NpuCoreState, core_index, 0),
    DEFINE_PROP_LINK("dma", RK3588NpuCoreState, dma, TYPE_MEMORY_REGION,
                     MemoryRegion *),
};

static void npu_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "RK3588 NPU core";
    dc->realize = npu_realize;
    dc->unrealize = npu_unrealize;
    dc->vmsd = &npu_vmstate;
    device_class_set_props(dc, npu_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    rc->phases.hold = npu_reset_hold;
}

static const TypeInfo npu_types[] = {
    {
        .name = TYPE_RK3588_NPU_CORE,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588NpuCoreState),
        .instance_init = npu_init,
        .instance_finalize = npu_finalize,
        .class_init = npu_class_init,
    },
};

DEFINE_TYPES(npu_types)
