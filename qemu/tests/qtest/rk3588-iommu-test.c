/*
 * QTest for the RK3588's IOMMUs
 *
 * The NPU core behind an IOMMU serves as a copying machine: a pooling of one
 * by one pixels reads 16 bytes a pixel at one address and writes them at
 * another, through the IOMMU, as it does the command stream that says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "hw/arm/rk3588.h"

#define BANK(core)          (RK3588_NPU(core) + RK3588_NPU_IOMMU_B)
#define REG_DTE_ADDR        0x00
#define REG_STATUS          0x04
#define REG_COMMAND         0x08
#define REG_FAULT_ADDR      0x0c
#define REG_ZAP_ONE         0x10
#define REG_INT_RAWSTAT     0x14
#define REG_INT_CLEAR       0x18
#define REG_INT_MASK        0x1c
#define REG_INT_STATUS      0x20
#define REG_AUTO_GATING     0x24

#define STATUS_PAGING       (1u << 0)
#define STATUS_FAULT        (1u << 1)
#define STATUS_STALL        (1u << 2)
#define STATUS_FAULT_WRITE  (1u << 5)

enum {
    CMD_ENABLE_PAGING, CMD_DISABLE_PAGING, CMD_ENABLE_STALL,
    CMD_DISABLE_STALL, CMD_ZAP_ALL, CMD_PAGE_FAULT_DONE, CMD_FORCE_RESET,
};

#define INT_PAGE_FAULT      1
#define INT_BUS_ERROR       2

#define VALID               1
#define READ                2
#define WRITE               4
#define RW                  (VALID | READ | WRITE)

/* I/O virtual addresses: the stream, the source, the destination */
#define IOVA_STREAM         0x00400000
#define IOVA_SRC            0x12340000
#define IOVA_DST            0xfffc0000

/* Physical memory */
#define MEM_STREAM          0x01000000
#define MEM_A               0x02000000
#define MEM_B               0x03000000
#define MEM_DIR             0x04000000
#define MEM_TABLES          0x04001000

#define TLB_REACH           (64 * 16 * 4096)

static QTestState *qts;
static uint64_t dir, next_table;

static uint32_t reg(int core, uint32_t offset)
{
    return qtest_readl(qts, BANK(core) + offset);
}

static void set_reg(int core, uint32_t offset, uint32_t value)
{
    qtest_writel(qts, BANK(core) + offset, value);
}

static void command(int core, uint32_t cmd)
{
    set_reg(core, REG_COMMAND, cmd);
}

static void core_reset(int core)
{
    static const struct {
        int con;
        uint32_t bits;
    } rst[RK3588_NUM_NPU_CORES] = { { 30, 0x140 }, { 27, 5 }, { 28, 5 } };
    uint64_t addr = RK3588_CRU_BASE + 0xa00 + rst[core].con * 4;

    qtest_writel(qts, addr, rst[core].bits << 16 | rst[core].bits);
    qtest_writel(qts, addr, rst[core].bits << 16);
}

static void start_with(const char *args, uint64_t tables)
{
    qts = qtest_init(args);
    /* Power: NPU, NPUTOP, NPU1, NPU2 */
    qtest_writel(qts, RK3588_PMU_BASE + 0x14c, 0x3a << 16);
    dir = tables;
    next_table = tables + 0x1000;
    qtest_memset(qts, dir, 0, 0x1000);
}

static void start(void)
{
    start_with("-M rk3588 -m 512M -smp 1", MEM_DIR);
}

/*
 * Page tables
 */

static uint32_t entry(uint64_t addr, uint32_t flags)
{
    return (addr & 0xfffff000) | (addr >> 32 & 0xf) << 8 |
           (addr >> 36 & 0xf) << 4 | flags;
}

static uint64_t entry_addr(uint32_t e)
{
    return (e & 0xfffff000) | (uint64_t)(e >> 8 & 0xf) << 32 |
           (uint64_t)(e >> 4 & 0xf) << 36;
}

/* Writes the entry of a page; tells no IOMMU. */
static void map(uint32_t iova, uint64_t addr, uint32_t flags)
{
    uint64_t dte_at = dir + (iova >> 22) * 4;
    uint32_t dte = qtest_readl(qts, dte_at);

    if (!(dte & VALID)) {
        dte = entry(next_table, VALID);
        qtest_memset(qts, next_table, 0, 0x1000);
        qtest_writel(qts, dte_at, dte);
        next_table += 0x1000;
    }
    qtest_writel(qts, entry_addr(dte) + (iova >> 12 & 0x3ff) * 4,
                 entry(addr, flags));
}

static void map_usual(void)
{
    map(IOVA_STREAM, MEM_STREAM, VALID | READ);
    map(IOVA_SRC, MEM_A, VALID | READ);
    map(IOVA_DST, MEM_B, VALID | WRITE);
}

static void attach(int core)
{
    set_reg(core, REG_DTE_ADDR, entry(dir, VALID));
    command(core, CMD_ZAP_ALL);
    set_reg(core, REG_INT_MASK, INT_PAGE_FAULT | INT_BUS_ERROR);
    command(core, CMD_ENABLE_PAGING);
}

/*
 * The copying machine
 */

static unsigned int put_copy(uint64_t *w, uint32_t src, uint32_t dst,
                             unsigned int atoms)
{
    const struct {
        uint16_t offset;
        uint32_t value;
    } regs[] = {
        { 0x6004, 0xe }, { 0x7004, 0xe },
        { 0x600c, atoms - 1 }, { 0x6010, 0 }, { 0x6014, 15 },
        { 0x6018, atoms - 1 }, { 0x601c, 0 }, { 0x6020, 15 },
        { 0x6024, 0x11 }, { 0x6034, 0 }, { 0x6038, 0 }, { 0x603c, 0 },
        { 0x6040, 0 }, { 0x6044, 0 }, { 0x6048, 0 },
        { 0x6070, dst }, { 0x607c, atoms * 16 }, { 0x6084, atoms * 16 },
        { 0x60dc, 3 },
        { 0x700c, atoms - 1 }, { 0x7010, 0 }, { 0x7014, 15 },
        { 0x701c, src }, { 0x7024, atoms * 16 }, { 0x7028, atoms * 16 },
        { 0x7030, 1 },
    };
    unsigned int n;

    for (n = 0; n < ARRAY_SIZE(regs); n++) {
        uint64_t target = regs[n].offset < 0x7000 ? 0x4001 : 0x8001;

        w[n] = target << 48 | (uint64_t)regs[n].value << 16 | regs[n].offset;
    }
    w[n++] = 0;
    w[n++] = 0x0101ull << 48 | 0x14;
    w[n++] = 0x0041ull << 48;
    w[n++] = 0x0081ull << 48 | 0x60 << 16 | 0x08;
    return n;
}

/* Starts a copy with the stream at @iova, and tells whether it completed. */
static bool copy_at(int core, uint32_t iova, uint32_t src, uint32_t dst,
                    unsigned int atoms)
{
    uint64_t words[64], pc = RK3588_NPU(core);
    unsigned int n = put_copy(words, src, dst, atoms);
    bool done;

    for (unsigned int i = 0; i < n; i++) {
        qtest_writeq(qts, MEM_STREAM + i * 8, words[i]);
    }
    qtest_writel(qts, pc + 0x10, iova);
    qtest_writel(qts, pc + 0x14, n / 2 - 1);
    qtest_writel(qts, pc + 0x20, 0xc00);
    qtest_writel(qts, pc + 0x24, 0x1ffff);
    qtest_writel(qts, pc + 0x30, 0x7001);
    qtest_writel(qts, pc + 0x08, 1);
    qtest_clock_step(qts, 100 * 1000 * 1000);
    done = qtest_readl(qts, pc + 0x28) & 0xc00;
    qtest_writel(qts, pc + 0x08, 0);
    qtest_writel(qts, pc + 0x24, 0x1ffff);
    return done;
}

static bool copy(int core, uint32_t src, uint32_t dst, unsigned int atoms)
{
    return copy_at(core, IOVA_STREAM, src, dst, atoms);
}

static void fill(uint64_t addr, uint8_t value)
{
    qtest_memset(qts, addr, value, 0x1000);
}

static void check(uint64_t addr, uint8_t value)
{
    g_assert_cmphex(qtest_readb(qts, addr), ==, value);
    g_assert_cmphex(qtest_readb(qts, addr + 15), ==, value);
}

/*
 * Tests
 */

static void test_registers(void)
{
    start();
    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        /* The check that Linux's driver makes before it trusts the unit */
        set_reg(core, REG_DTE_ADDR, 0xcafeb000);
        g_assert_cmphex(reg(core, REG_DTE_ADDR), ==, 0xcafeb000);
        command(core, CMD_FORCE_RESET);
        g_assert_cmphex(reg(core, REG_DTE_ADDR), ==, 0);

        g_assert_cmphex(reg(core, REG_STATUS), ==, 0x18);
        set_reg(core, REG_INT_MASK, 0xffffffff);
        g_assert_cmphex(reg(core, REG_INT_MASK), ==, 3);
        set_reg(core, REG_AUTO_GATING, 0x3);
        g_assert_cmphex(reg(core, REG_AUTO_GATING), ==, 0x3);
        command(core, CMD_FORCE_RESET);
        g_assert_cmphex(reg(core, REG_INT_MASK), ==, 0);
        g_assert_cmphex(reg(core, REG_AUTO_GATING), ==, 0x80000000);
    }
    /* Core 0 has a bank of its own at +0x9000, the others none. */
    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        uint64_t other = RK3588_NPU(core) + RK3588_NPU_IOMMU_A;

        set_reg(core, REG_DTE_ADDR, 0x1000);
        qtest_writel(qts, other, 0x2000);
        g_assert_cmphex(qtest_readl(qts, other), ==, core ? 0 : 0x2000);
        g_assert_cmphex(reg(core, REG_DTE_ADDR), ==, 0x1000);
    }
    qtest_quit(qts);
}

static void test_stall_and_paging(void)
{
    start();
    /* Stall needs paging. */
    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS) & STATUS_STALL, ==, 0);
    command(1, CMD_ENABLE_PAGING);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x19);
    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x1d);
    command(1, CMD_DISABLE_PAGING);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x1c);
    command(1, CMD_DISABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x18);
    qtest_quit(qts);
}

static void test_identity(void)
{
    start();
    fill(MEM_A, 0x11);
    g_assert_true(copy_at(1, MEM_STREAM, MEM_A, MEM_B, 4));
    check(MEM_B, 0x11);
    qtest_quit(qts);
}

/* Pages that follow each other in I/O space and lie apart in memory */
static void test_translation(void)
{
    start();
    map_usual();
    for (int i = 0; i < 8; i++) {
        map(IOVA_SRC + i * 0x1000, MEM_A + (7 - i) * 0x5000, RW);
        map(IOVA_DST + i * 0x1000, MEM_B + (i ^ 3) * 0x3000, RW);
        fill(MEM_A + (7 - i) * 0x5000, 0x20 + i);
    }
    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        for (int i = 0; i < 8; i++) {
            fill(MEM_B + (i ^ 3) * 0x3000, 0);
        }
        attach(core);
        g_assert_true(copy(core, IOVA_SRC + 0x800, IOVA_DST + 0x800,
                           7 * 256));
        check(MEM_B + 3 * 0x3000 + 0x7f0, 0);
        check(MEM_B + 3 * 0x3000 + 0x800, 0x20);
        for (int i = 1; i < 7; i++) {
            check(MEM_B + (i ^ 3) * 0x3000, 0x20 + i);
            check(MEM_B + (i ^ 3) * 0x3000 + 0xff0, 0x20 + i);
        }
        check(MEM_B + 4 * 0x3000 + 0x7f0, 0x27);
        check(MEM_B + 4 * 0x3000 + 0x800, 0);
        g_assert_cmphex(reg(core, REG_INT_RAWSTAT), ==, 0);
    }
    qtest_quit(qts);
}

/* Directory, tables and pages beyond 4 GiB; the stream is not. */
static void test_40_bits(void)
{
    uint64_t high = RK3588_DRAM_HIGH + 0x10000000;

    start_with("-M rk3588 -m 8G -smp 1", high);
    map(IOVA_STREAM, MEM_STREAM, RW);
    map(IOVA_SRC, high + 0x100000, RW);
    map(IOVA_DST, 0x20ffff000ull, RW);
    fill(high + 0x100000, 0x33);
    attach(2);
    g_assert_true(copy(2, IOVA_SRC, IOVA_DST, 1));
    check(0x20ffff000ull, 0x33);

    /* Bits 39:36, where there is no memory: the entry was read in full. */
    map(IOVA_DST, 0xf020000000ull, RW);
    command(2, CMD_ZAP_ALL);
    fill(0x20000000, 0);
    g_assert_false(copy(2, IOVA_SRC, IOVA_DST, 1));
    check(0x20000000, 0);
    g_assert_cmphex(reg(2, REG_INT_RAWSTAT), ==, 0);
    qtest_quit(qts);
}

static void check_fault(int core, uint32_t iova, bool write)
{
    uint32_t status = STATUS_PAGING | STATUS_FAULT | 0x8;

    g_assert_cmphex(reg(core, REG_STATUS), ==,
                    status | (write ? STATUS_FAULT_WRITE : 0));
    g_assert_cmphex(reg(core, REG_FAULT_ADDR), ==, iova);
    g_assert_cmphex(reg(core, REG_INT_RAWSTAT), ==, INT_PAGE_FAULT);
    g_assert_cmphex(reg(core, REG_INT_STATUS), ==, INT_PAGE_FAULT);
}

static void test_faults(void)
{
    static const struct {
        uint32_t iova, flags;
        bool write;
    } fault[] = {
        { IOVA_STREAM, 0, false },              /* not there */
        { IOVA_SRC, READ | WRITE, false },      /* not valid */
        { IOVA_SRC, VALID | WRITE, false },     /* not readable */
        { IOVA_DST, 0, true },
        { IOVA_DST, VALID | READ, true },       /* not writable */
    };

    start();
    fill(MEM_A, 0x44);
    for (int i = 0; i < ARRAY_SIZE(fault); i++) {
        map_usual();
        fill(MEM_B, 0);
        attach(1);
        g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
        check(MEM_B, 0x44);

        fill(MEM_B, 0);
        map(fault[i].iova, MEM_B, fault[i].flags);
        command(1, CMD_ZAP_ALL);
        g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
        check_fault(1, fault[i].iova, fault[i].write);
        check(MEM_B, 0);
        core_reset(1);
        g_assert_cmphex(reg(1, REG_STATUS), ==, 0x18);
        g_assert_cmphex(reg(1, REG_DTE_ADDR), ==, 0);
        g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, 0);
    }
    /* No directory entry at all */
    map_usual();
    attach(1);
    g_assert_false(copy(1, 0x80000120, IOVA_DST, 1));
    check_fault(1, 0x80000120, false);
    qtest_quit(qts);
}

/*
 * A transaction that faulted waits: no stall is possible, acknowledging the
 * fault as Linux does makes it fault once more, a reset of the core ends it.
 */
static void test_waiting(void)
{
    start();
    map_usual();
    map(IOVA_DST, 0, 0);
    attach(1);
    attach(2);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    check_fault(1, IOVA_DST, true);

    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS) & STATUS_STALL, ==, 0);
    command(1, CMD_ZAP_ALL);
    command(1, CMD_PAGE_FAULT_DONE);
    check_fault(1, IOVA_DST, true);
    set_reg(1, REG_INT_CLEAR, INT_PAGE_FAULT);
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, 0);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x2b);
    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS) & STATUS_STALL, ==, 0);

    /* The other cores do not notice. */
    command(2, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(2, REG_STATUS) & STATUS_STALL, ==, STATUS_STALL);
    command(2, CMD_DISABLE_STALL);

    core_reset(1);
    map_usual();
    fill(MEM_A, 0x55);
    attach(1);
    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS) & STATUS_STALL, ==, STATUS_STALL);
    command(1, CMD_DISABLE_STALL);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    check(MEM_B, 0x55);
    qtest_quit(qts);
}

/* The page that was missing comes: the transaction leaves the unit. */
static void test_waiting_ends(void)
{
    start();
    map_usual();
    map(IOVA_DST, 0, 0);
    attach(1);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    map(IOVA_DST, MEM_B, VALID | WRITE);
    command(1, CMD_ZAP_ALL);
    command(1, CMD_PAGE_FAULT_DONE);
    set_reg(1, REG_INT_CLEAR, INT_PAGE_FAULT);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x19);
    command(1, CMD_ENABLE_STALL);
    g_assert_cmphex(reg(1, REG_STATUS), ==, 0x1d);
    qtest_quit(qts);
}

static void test_stalled_access(void)
{
    start();
    map_usual();
    attach(1);
    command(1, CMD_ENABLE_STALL);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, 0);
    qtest_quit(qts);
}

/* A missing zap shows, and each of the ways to drop a line works. */
static void test_tlb(void)
{
    static const int zap[] = { -1, CMD_ZAP_ALL, CMD_DISABLE_PAGING,
                               CMD_FORCE_RESET };

    start();
    map_usual();
    fill(MEM_A, 0x61);
    fill(MEM_A + 0x1000, 0x62);
    for (int i = 0; i < ARRAY_SIZE(zap); i++) {
        map(IOVA_SRC, MEM_A, RW);
        attach(1);
        g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
        check(MEM_B, 0x61);
        map(IOVA_SRC, MEM_A + 0x1000, RW);
        g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
        check(MEM_B, 0x61);

        /* Neither another page's zap nor a new directory drops it. */
        set_reg(1, REG_ZAP_ONE, IOVA_DST);
        set_reg(1, REG_DTE_ADDR, entry(dir, VALID));
        g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
        check(MEM_B, 0x61);

        if (zap[i] < 0) {
            set_reg(1, REG_ZAP_ONE, IOVA_SRC);
        } else {
            command(1, zap[i]);
        }
        if (zap[i] == CMD_DISABLE_PAGING || zap[i] == CMD_FORCE_RESET) {
            set_reg(1, REG_DTE_ADDR, entry(dir, VALID));
            command(1, CMD_ENABLE_PAGING);
        }
        g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
        check(MEM_B, 0x62);
    }
    qtest_quit(qts);
}

/* An unmapped page stays usable until it is zapped. */
static void test_tlb_unmapped(void)
{
    start();
    map_usual();
    attach(1);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    map(IOVA_SRC, 0, 0);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    set_reg(1, REG_ZAP_ONE, IOVA_SRC);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    check_fault(1, IOVA_SRC, false);
    qtest_quit(qts);
}

/* A line brings its neighbours along, those that were not mapped included. */
static void test_tlb_line(void)
{
    start();
    map_usual();
    fill(MEM_A + 0x1000, 0x71);
    attach(1);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    map(IOVA_SRC + 0x1000, MEM_A + 0x1000, RW);
    set_reg(1, REG_ZAP_ONE, IOVA_SRC + 0x1000);
    g_assert_true(copy(1, IOVA_SRC + 0x1000, IOVA_DST, 1));
    check(MEM_B, 0x71);

    map(IOVA_SRC + 0x2000, MEM_A + 0x1000, RW);
    g_assert_false(copy(1, IOVA_SRC + 0x2000, IOVA_DST, 1));
    check_fault(1, IOVA_SRC + 0x2000, false);
    qtest_quit(qts);
}

/* It is finite: enough other pages push a line out. */
static void test_tlb_capacity(void)
{
    start();
    map_usual();
    fill(MEM_A, 0x81);
    fill(MEM_A + 0x1000, 0x82);
    attach(1);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    map(IOVA_SRC, MEM_A + 0x1000, RW);
    for (uint32_t at = 0x10000; at <= TLB_REACH + 0x10000; at += 0x10000) {
        map(IOVA_SRC + at, MEM_A + 0x2000, RW);
        g_assert_true(copy(1, IOVA_SRC + at, IOVA_DST, 1));
    }
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    check(MEM_B, 0x82);
    qtest_quit(qts);
}

static void test_bus_error(void)
{
    start();
    qtest_irq_intercept_out_named(qts, "/machine/npu-iommu1", "sysbus-irq");
    map_usual();
    attach(1);
    /* A table where there is no memory */
    qtest_writel(qts, dir + (IOVA_SRC >> 22) * 4, entry(0xe0000000, VALID));
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, INT_BUS_ERROR);
    g_assert_cmphex(reg(1, REG_STATUS) & STATUS_FAULT, ==, 0);
    g_assert_cmphex(reg(1, REG_FAULT_ADDR), ==, IOVA_SRC);
    g_assert_true(qtest_get_irq(qts, 0));
    set_reg(1, REG_INT_CLEAR, INT_BUS_ERROR);
    g_assert_false(qtest_get_irq(qts, 0));
    core_reset(1);

    /* The same by request, once */
    qtest_writel(qts, dir + (IOVA_SRC >> 22) * 4, 0);
    map_usual();
    attach(1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/npu-iommu1', "
                             "'property': 'inject-bus-errors', "
                             "'value': 1 }}");
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, INT_BUS_ERROR);
    core_reset(1);
    attach(1);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    qtest_quit(qts);
}

static void test_irq(void)
{
    start();
    qtest_irq_intercept_out_named(qts, "/machine/npu-iommu1", "sysbus-irq");
    map_usual();
    map(IOVA_DST, 0, 0);
    attach(1);
    set_reg(1, REG_INT_MASK, 0);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, INT_PAGE_FAULT);
    g_assert_cmphex(reg(1, REG_INT_STATUS), ==, 0);
    g_assert_false(qtest_get_irq(qts, 0));
    set_reg(1, REG_INT_MASK, INT_PAGE_FAULT);
    g_assert_true(qtest_get_irq(qts, 0));
    command(1, CMD_PAGE_FAULT_DONE);
    g_assert_true(qtest_get_irq(qts, 0));
    map(IOVA_DST, MEM_B, VALID | WRITE);
    set_reg(1, REG_ZAP_ONE, IOVA_DST);
    command(1, CMD_PAGE_FAULT_DONE);
    g_assert_true(qtest_get_irq(qts, 0));
    set_reg(1, REG_INT_CLEAR, INT_PAGE_FAULT);
    g_assert_false(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

/* Devices are out of the NPU's reach, its own registers first of all. */
static void test_no_devices(void)
{
    start();
    map_usual();
    attach(1);
    map(IOVA_DST, RK3588_NPU(1), RW);
    g_assert_false(copy(1, IOVA_SRC, IOVA_DST, 1));
    g_assert_cmphex(reg(1, REG_INT_RAWSTAT), ==, 0);
    core_reset(1);

    /* SRAM is memory like any other. */
    attach(1);
    qtest_memset(qts, MEM_A, 0x91, 16);
    map(IOVA_DST, RK3588_SRAM2_BASE, RW);
    g_assert_true(copy(1, IOVA_SRC, IOVA_DST, 1));
    check(RK3588_SRAM2_BASE, 0x91);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/rk3588-iommu/registers", test_registers);
    qtest_add_func("/rk3588-iommu/stall-and-paging", test_stall_and_paging);
    qtest_add_func("/rk3588-iommu/identity", test_identity);
    qtest_add_func("/rk3588-iommu/translation", test_translation);
    qtest_add_func("/rk3588-iommu/40-bits", test_40_bits);
    qtest_add_func("/rk3588-iommu/faults", test_faults);
    qtest_add_func("/rk3588-iommu/waiting", test_waiting);
    qtest_add_func("/rk3588-iommu/waiting-ends", test_waiting_ends);
    qtest_add_func("/rk3588-iommu/stalled-access", test_stalled_access);
    qtest_add_func("/rk3588-iommu/tlb/zap", test_tlb);
    qtest_add_func("/rk3588-iommu/tlb/unmapped", test_tlb_unmapped);
    qtest_add_func("/rk3588-iommu/tlb/line", test_tlb_line);
    qtest_add_func("/rk3588-iommu/tlb/capacity", test_tlb_capacity);
    qtest_add_func("/rk3588-iommu/bus-error", test_bus_error);
    qtest_add_func("/rk3588-iommu/irq", test_irq);
    qtest_add_func("/rk3588-iommu/no-devices", test_no_devices);
    return g_test_run();
}
