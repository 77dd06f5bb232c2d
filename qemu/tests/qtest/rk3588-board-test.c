/*
 * QTest for the rk3588 machine: memory map, clocks, resets, power domains,
 * external aborts and firmware calls
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "hw/arm/rk3588.h"

#define CRU(offset)         (RK3588_CRU_BASE + (offset))
#define CRU_CLKSEL(n)       CRU(0x300 + (n) * 4)
#define CRU_GATE(n)         CRU(0x800 + (n) * 4)
#define CRU_SOFTRST(n)      CRU(0xa00 + (n) * 4)
#define CRU_GPLL(n)         CRU((112 + (n)) * 4)
#define PLL_PWRDOWN         (1u << 13)
#define PLL_LOCK            (1u << 15)

#define PMU(offset)         (RK3588_PMU_BASE + (offset))
#define PMU_IDLE_REQ        PMU(0x10c)
#define PMU_IDLE_ACK        PMU(0x118)
#define PMU_IDLE_ST         PMU(0x120)
#define PMU_PWR             PMU(0x14c)
#define PMU_PWR_ST          PMU(0x180)
#define PMU_MEM_PWR         PMU(0x1a0)
#define PMU_CHAIN_ST        PMU(0x1f0)
#define PMU_MEM_ST          PMU(0x1f8)
#define PMU_REPAIR_ST       PMU(0x290)

#define NPU_VERSION         0x46495245
#define IOMMU(core)         (RK3588_NPU(core) + RK3588_NPU_IOMMU_B)
#define IOMMU_AUTO_GATING   0x24

/* Bits of the NPU's domains */
#define PWR_NPU             (1u << 1)
#define PWR_NPUTOP          (1u << 3)
#define PWR_NPU1            (1u << 4)
#define PWR_NPU2            (1u << 5)
#define PWR_ALL             (PWR_NPU | PWR_NPUTOP | PWR_NPU1 | PWR_NPU2)
#define MEM_NPU1            (1u << 12)
#define REPAIR_NPUTOP       (1u << 2)
#define REPAIR_NPU1         (1u << 3)

static const struct {
    int con;
    int aclk;
    int hclk;
} npu_clk[RK3588_NUM_NPU_CORES] = {
    { 30, 6, 8 }, { 27, 0, 2 }, { 28, 0, 2 },
};

/* Sets and clears bits of a register with a write mask in its upper half. */
static void set_bits(QTestState *qts, uint64_t addr, uint32_t bits)
{
    qtest_writel(qts, addr, bits << 16 | bits);
}

static void clear_bits(QTestState *qts, uint64_t addr, uint32_t bits)
{
    qtest_writel(qts, addr, bits << 16);
}

static QTestState *start(void)
{
    return qtest_init("-M rk3588 -m 512M -smp 1");
}

static QTestState *start_powered(void)
{
    QTestState *qts = start();

    clear_bits(qts, PMU_PWR, PWR_ALL);
    return qts;
}

/* An access that ends in an external abort reads as 0 through qtest. */
static void check_reachable(QTestState *qts, int core, bool yes)
{
    g_assert_cmphex(qtest_readl(qts, RK3588_NPU(core)), ==,
                    yes ? NPU_VERSION : 0);
    g_assert_cmphex(qtest_readl(qts, IOMMU(core) + IOMMU_AUTO_GATING), ==,
                    yes ? 0x80000000 : 0);
}

static void test_memory_map(void)
{
    static const uint64_t ram[] = {
        0, 0x1fffff00, RK3588_SRAM1_BASE,
        RK3588_SRAM1_BASE + RK3588_SRAM1_SIZE - 4,
        RK3588_SRAM2_BASE, RK3588_SRAM2_BASE + RK3588_SRAM2_SIZE - 4,
    };
    QTestState *qts = start();

    for (int i = 0; i < ARRAY_SIZE(ram); i++) {
        qtest_writel(qts, ram[i], 0x5a000000 + i);
    }
    for (int i = 0; i < ARRAY_SIZE(ram); i++) {
        g_assert_cmphex(qtest_readl(qts, ram[i]), ==, 0x5a000000 + i);
    }
    /* Nothing beyond the end of the memory */
    qtest_writel(qts, 512 * MiB, 0x12345678);
    g_assert_cmphex(qtest_readl(qts, 512 * MiB), ==, 0);
    for (int i = 0; i < RK3588_NUM_VIRTIO; i++) {
        g_assert_cmphex(qtest_readl(qts, RK3588_VIRTIO_BASE +
                                    i * RK3588_VIRTIO_SIZE), ==, 0x74726976);
    }
    /* GICD_PIDR2: GICv3 */
    g_assert_cmphex(qtest_readl(qts, RK3588_GICD_BASE + 0xffe8) & 0xf0, ==,
                    0x30);
    qtest_quit(qts);
}

static void test_memory_hole(void)
{
    QTestState *qts = qtest_init("-M rk3588 -m 8G -smp 1");

    qtest_writel(qts, RK3588_DRAM_LOW_MAX - 4, 1);
    qtest_writel(qts, RK3588_DRAM_HIGH, 2);
    qtest_writel(qts, 0x20ffffffcull, 3);
    g_assert_cmphex(qtest_readl(qts, RK3588_DRAM_LOW_MAX - 4), ==, 1);
    g_assert_cmphex(qtest_readl(qts, RK3588_DRAM_LOW_MAX), ==, 0);
    g_assert_cmphex(qtest_readl(qts, RK3588_DRAM_HIGH), ==, 2);
    g_assert_cmphex(qtest_readl(qts, 0x20ffffffcull), ==, 3);
    qtest_quit(qts);
}

static void test_cru_registers(void)
{
    QTestState *qts = start();

    qtest_writel(qts, CRU_CLKSEL(10), 0x00ff1234);
    g_assert_cmphex(qtest_readl(qts, CRU_CLKSEL(10)), ==, 0x34);
    qtest_writel(qts, CRU_CLKSEL(10), 0xff00ffff);
    g_assert_cmphex(qtest_readl(qts, CRU_CLKSEL(10)), ==, 0xff34);
    qtest_writel(qts, CRU_CLKSEL(10), 0x0000ffff);
    g_assert_cmphex(qtest_readl(qts, CRU_CLKSEL(10)), ==, 0xff34);

    /* A fractional divider uses all of its 32 bits. */
    qtest_writel(qts, CRU_CLKSEL(44), 0x00010003);
    g_assert_cmphex(qtest_readl(qts, CRU_CLKSEL(44)), ==, 0x00010003);
    qtest_quit(qts);
}

static void test_cru_pll(void)
{
    QTestState *qts = start();

    /* 24 MHz * 198 / 2 / 2 = 1188 MHz */
    g_assert_cmphex(qtest_readl(qts, CRU_GPLL(0)), ==, 198);
    g_assert_cmphex(qtest_readl(qts, CRU_GPLL(1)), ==, 1 << 6 | 2);
    g_assert_cmphex(qtest_readl(qts, CRU_GPLL(6)), ==, PLL_LOCK);
    set_bits(qts, CRU_GPLL(1), PLL_PWRDOWN);
    g_assert_cmphex(qtest_readl(qts, CRU_GPLL(6)), ==, 0);
    clear_bits(qts, CRU_GPLL(1), PLL_PWRDOWN);
    g_assert_cmphex(qtest_readl(qts, CRU_GPLL(6)), ==, PLL_LOCK);
    qtest_quit(qts);
}

static void test_gates(void)
{
    QTestState *qts = start_powered();

    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        uint64_t gate = CRU_GATE(npu_clk[core].con);
        uint32_t aclk = 1u << npu_clk[core].aclk;
        uint32_t hclk = 1u << npu_clk[core].hclk;

        check_reachable(qts, core, true);
        set_bits(qts, gate, aclk);
        check_reachable(qts, core, false);
        check_reachable(qts, (core + 1) % RK3588_NUM_NPU_CORES, true);
        clear_bits(qts, gate, aclk);
        check_reachable(qts, core, true);
        set_bits(qts, gate, hclk);
        check_reachable(qts, core, false);
        clear_bits(qts, gate, hclk);
        check_reachable(qts, core, true);
    }
    /* The roots: HCLK_NPU_ROOT and CLK_NPU_DSU0 */
    for (int bit = 0; bit < 2; bit++) {
        set_bits(qts, CRU_GATE(29), 1u << bit);
        for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
            check_reachable(qts, core, false);
        }
        clear_bits(qts, CRU_GATE(29), 1u << bit);
        for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
            check_reachable(qts, core, true);
        }
    }
    qtest_quit(qts);
}

/* Either soft reset of a core takes its IOMMU along, and no other. */
static void test_soft_reset(void)
{
    QTestState *qts = start_powered();

    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        int other = (core + 1) % RK3588_NUM_NPU_CORES;
        const int bits[] = { npu_clk[core].aclk, npu_clk[core].hclk };

        for (int i = 0; i < ARRAY_SIZE(bits); i++) {
            uint64_t rst = CRU_SOFTRST(npu_clk[core].con);

            qtest_writel(qts, IOMMU(core), 0x12345000);
            qtest_writel(qts, IOMMU(other), 0x6789a000);
            set_bits(qts, rst, 1u << bits[i]);
            g_assert_cmphex(qtest_readl(qts, IOMMU(core)), ==, 0);
            /* Held in reset, it takes no writes. */
            qtest_writel(qts, IOMMU(core), 0x12345000);
            g_assert_cmphex(qtest_readl(qts, IOMMU(core)), ==, 0);
            clear_bits(qts, rst, 1u << bits[i]);
            g_assert_cmphex(qtest_readl(qts, IOMMU(core)), ==, 0);
            g_assert_cmphex(qtest_readl(qts, IOMMU(other)), ==, 0x6789a000);
        }
    }
    qtest_quit(qts);
}

static void test_power_domains(void)
{
    QTestState *qts = start();

    g_assert_cmphex(qtest_readl(qts, PMU_PWR_ST) & PWR_NPU, ==, PWR_NPU);
    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        check_reachable(qts, core, false);
    }
    /* A child has no power before its parents have. */
    clear_bits(qts, PMU_PWR, PWR_NPU1);
    check_reachable(qts, 1, false);
    g_assert_cmphex(qtest_readl(qts, PMU_REPAIR_ST) & REPAIR_NPU1, ==, 0);
    clear_bits(qts, PMU_PWR, PWR_NPU);
    g_assert_cmphex(qtest_readl(qts, PMU_PWR_ST) & PWR_NPU, ==, 0);
    check_reachable(qts, 1, false);
    clear_bits(qts, PMU_PWR, PWR_NPUTOP);
    g_assert_cmphex(qtest_readl(qts, PMU_REPAIR_ST) &
                    (REPAIR_NPUTOP | REPAIR_NPU1), ==,
                    REPAIR_NPUTOP | REPAIR_NPU1);
    check_reachable(qts, 0, true);
    check_reachable(qts, 1, true);
    check_reachable(qts, 2, false);
    clear_bits(qts, PMU_PWR, PWR_NPU2);
    check_reachable(qts, 2, true);

    /* State is lost with the power. */
    qtest_writel(qts, IOMMU(2), 0x12345000);
    set_bits(qts, PMU_PWR, PWR_NPU2);
    check_reachable(qts, 2, false);
    check_reachable(qts, 0, true);
    clear_bits(qts, PMU_PWR, PWR_NPU2);
    g_assert_cmphex(qtest_readl(qts, IOMMU(2)), ==, 0);

    set_bits(qts, PMU_PWR, PWR_NPU);
    for (int core = 0; core < RK3588_NUM_NPU_CORES; core++) {
        check_reachable(qts, core, false);
    }
    qtest_quit(qts);
}

static void test_power_handshakes(void)
{
    QTestState *qts = start_powered();

    /* The memory's switch, with the domain on */
    g_assert_cmphex(qtest_readl(qts, PMU_CHAIN_ST) & MEM_NPU1, ==, MEM_NPU1);
    g_assert_cmphex(qtest_readl(qts, PMU_MEM_ST) & MEM_NPU1, ==, 0);
    set_bits(qts, PMU_MEM_PWR, PWR_NPU1);
    g_assert_cmphex(qtest_readl(qts, PMU_MEM_ST) & MEM_NPU1, ==, MEM_NPU1);
    g_assert_cmphex(qtest_readl(qts, PMU_REPAIR_ST) & REPAIR_NPU1, ==, 0);
    clear_bits(qts, PMU_MEM_PWR, PWR_NPU1);
    g_assert_cmphex(qtest_readl(qts, PMU_MEM_ST) & MEM_NPU1, ==, 0);
    g_assert_cmphex(qtest_readl(qts, PMU_REPAIR_ST) & REPAIR_NPU1, ==,
                    REPAIR_NPU1);

    /* The bus idle request */
    set_bits(qts, PMU_IDLE_REQ, 1u << 2);
    g_assert_cmphex(qtest_readl(qts, PMU_IDLE_ACK), ==, 1u << 2);
    g_assert_cmphex(qtest_readl(qts, PMU_IDLE_ST), ==, 1u << 2);
    clear_bits(qts, PMU_IDLE_REQ, 1u << 2);
    g_assert_cmphex(qtest_readl(qts, PMU_IDLE_ST), ==, 0);
    /* Status cannot be written. */
    qtest_writel(qts, PMU_MEM_ST, 0xffffffff);
    g_assert_cmphex(qtest_readl(qts, PMU_MEM_ST) & MEM_NPU1, ==, 0);
    qtest_quit(qts);
}

static void test_qos(void)
{
    static const struct {
        uint64_t base;
        uint32_t power;
    } qos[] = {
        { RK3588_QOS_NPU0_MWR, PWR_NPUTOP },
        { RK3588_QOS_NPU0_MRO, PWR_NPUTOP },
        { RK3588_QOS_MCU_NPU, PWR_NPUTOP },
        { RK3588_QOS_NPU1, PWR_NPU1 },
        { RK3588_QOS_NPU2, PWR_NPU2 },
    };
    QTestState *qts = start_powered();

    for (int i = 0; i < ARRAY_SIZE(qos); i++) {
        qtest_writel(qts, qos[i].base + 8, 0x101 + i);
        g_assert_cmphex(qtest_readl(qts, qos[i].base + 8), ==, 0x101 + i);
        set_bits(qts, PMU_PWR, qos[i].power);
        qtest_writel(qts, qos[i].base + 8, 0x101 + i);
        clear_bits(qts, PMU_PWR, qos[i].power);
        g_assert_cmphex(qtest_readl(qts, qos[i].base + 8), ==, 0);
    }
    qtest_quit(qts);
}

/*
 * What a CPU sees of aborts and firmware takes a CPU that runs. This waits
 * for a command in a mailbox, 1: SMC, 2: load, 3: store, and counts on its
 * exception vector to note the syndrome and to go on after the instruction.
 */

#define MAILBOX         0x100000
#define MAILBOX_COMMAND (MAILBOX + 0x00)
#define MAILBOX_ARG0    (MAILBOX + 0x10)
#define MAILBOX_ARG1    (MAILBOX + 0x18)
#define MAILBOX_RESULT  (MAILBOX + 0x20)
#define MAILBOX_ESR     (MAILBOX + 0x28)
#define VECTOR_SYNC     0xa00

static const uint32_t probe_code[] = {
    0x10004000,     /*        adr  x0, 0x800 */
    0xd51cc000,     /*        msr  vbar_el2, x0 */
    0xd5033fdf,     /*        isb */
    0xd2a00209,     /*        mov  x9, #MAILBOX */
    0xb940012a,     /* loop:  ldr  w10, [x9] */
    0x34ffffea,     /*        cbz  w10, loop */
    0xd5033fbf,     /*        dmb  sy */
    0xf900153f,     /*        str  xzr, [x9, #0x28] */
    0xa9410520,     /*        ldp  x0, x1, [x9, #0x10] */
    0x7100095f,     /*        cmp  w10, #2 */
    0x540000a0,     /*        b.eq load */
    0x540000e8,     /*        b.hi store */
    0xd4000003,     /*        smc  #0 */
    0xf9001120,     /*        str  x0, [x9, #0x20] */
    0x14000006,     /*        b    done */
    0xb9400002,     /* load:  ldr  w2, [x0] */
    0xf9001122,     /*        str  x2, [x9, #0x20] */
    0x14000003,     /*        b    done */
    0xb9000001,     /* store: str  w1, [x0] */
    0xd5033f9f,     /*        dsb  sy */
    0xd5033fbf,     /* done:  dmb  sy */
    0xb900013f,     /*        str  wzr, [x9] */
    0x17ffffee,     /*        b    loop */
};

static const uint32_t probe_vector[] = {
    0xd53c5203,     /* mrs  x3, esr_el2 */
    0xf9001523,     /* str  x3, [x9, #0x28] */
    0xd53c4023,     /* mrs  x3, elr_el2 */
    0x91001063,     /* add  x3, x3, #4 */
    0xd51c4023,     /* msr  elr_el2, x3 */
    0xd69f03e0,     /* eret */
};

/* The CPU starts at address 0, where the memory is. */
static QTestState *start_cpu(void)
{
    QTestState *qts = qtest_init("-M rk3588 -m 512M -smp 1 -accel tcg -S");

    for (int i = 0; i < ARRAY_SIZE(probe_code); i++) {
        qtest_writel(qts, i * 4, probe_code[i]);
    }
    for (int i = 0; i < ARRAY_SIZE(probe_vector); i++) {
        qtest_writel(qts, VECTOR_SYNC + i * 4, probe_vector[i]);
    }
    qtest_writel(qts, MAILBOX_COMMAND, 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    return qts;
}

/* Returns the syndrome: 0 when nothing went wrong. */
static uint32_t cpu_command(QTestState *qts, uint32_t command, uint64_t arg0,
                            uint64_t arg1)
{
    qtest_writeq(qts, MAILBOX_ARG0, arg0);
    qtest_writeq(qts, MAILBOX_ARG1, arg1);
    qtest_writel(qts, MAILBOX_COMMAND, command);
    for (int ms = 0; qtest_readl(qts, MAILBOX_COMMAND); ms++) {
        g_assert_cmpint(ms, <, 10000);
        g_usleep(1000);
    }
    return qtest_readl(qts, MAILBOX_ESR);
}

static uint64_t cpu_smc(QTestState *qts, uint32_t fn, uint64_t arg)
{
    g_assert_cmphex(cpu_command(qts, 1, fn, arg), ==, 0);
    return qtest_readq(qts, MAILBOX_RESULT);
}

static void check_abort(uint32_t esr)
{
    /* Data abort from the same exception level, synchronous external abort */
    g_assert_cmphex(esr >> 26, ==, 0x25);
    g_assert_cmphex(esr & 0x3f, ==, 0x10);
}

static void test_external_abort(void)
{
    QTestState *qts = start_cpu();

    check_abort(cpu_command(qts, 2, RK3588_NPU(1), 0));
    check_abort(cpu_command(qts, 3, RK3588_NPU(1), 0));
    check_abort(cpu_command(qts, 2, IOMMU(1), 0));
    check_abort(cpu_command(qts, 2, RK3588_QOS_NPU1 + 8, 0));

    clear_bits(qts, PMU_PWR, PWR_ALL);
    g_assert_cmphex(cpu_command(qts, 2, RK3588_NPU(1), 0), ==, 0);
    g_assert_cmphex(qtest_readq(qts, MAILBOX_RESULT), ==, NPU_VERSION);
    g_assert_cmphex(cpu_command(qts, 3, IOMMU(1), 0x4000), ==, 0);
    g_assert_cmphex(cpu_command(qts, 2, IOMMU(1), 0), ==, 0);
    g_assert_cmphex(qtest_readq(qts, MAILBOX_RESULT), ==, 0x4000);
    g_assert_cmphex(cpu_command(qts, 2, RK3588_QOS_NPU1 + 8, 0), ==, 0);

    /* Nobody answers there, powered or not. */
    check_abort(cpu_command(qts, 2, RK3588_NPU(1) + 0x2000, 0));

    set_bits(qts, CRU_GATE(27), 1u << 2);
    check_abort(cpu_command(qts, 2, RK3588_NPU(1), 0));
    check_abort(cpu_command(qts, 3, IOMMU(1), 0));
    qtest_quit(qts);
}

#define SMCCC_VERSION       0x80000000
#define PSCI_VERSION        0x84000000
#define PSCI_FEATURES       0x8400000a
#define SIP_SUSPEND_MODE    0x82000003
#define SIP_SCMI            0x82000010
#define NOT_SUPPORTED       0xffffffff

static void test_firmware(void)
{
    QTestState *qts = start_cpu();

    g_assert_cmphex(cpu_smc(qts, SMCCC_VERSION, 0), ==, 0x10001);
    g_assert_cmphex(cpu_smc(qts, PSCI_FEATURES, SMCCC_VERSION), ==, 0);
    g_assert_cmphex(cpu_smc(qts, SIP_SUSPEND_MODE, 0), ==, 0);
    /* QEMU's own PSCI still answers what is its own, and refuses the rest. */
    g_assert_cmphex(cpu_smc(qts, PSCI_VERSION, 0), ==, 0x10001);
    g_assert_cmphex((uint32_t)cpu_smc(qts, 0x82000099, 0), ==, NOT_SUPPORTED);
    qtest_quit(qts);
}

#define SHMEM           RK3588_SCMI_SHMEM_BASE
#define SHMEM_STATUS    (SHMEM + 0x04)
#define SHMEM_LENGTH    (SHMEM + 0x14)
#define SHMEM_HEADER    (SHMEM + 0x18)
#define SHMEM_PAYLOAD   (SHMEM + 0x1c)
#define SCMI_BASE       0x10
#define SCMI_CLOCK      0x14
#define CLK_NPU         6

/* Sends a message and returns the status; the reply is after it. */
static int32_t scmi(QTestState *qts, uint32_t protocol, uint32_t message,
                    int count, const uint32_t *args)
{
    g_assert_cmphex(qtest_readl(qts, SHMEM_STATUS), ==, 1);
    qtest_writel(qts, SHMEM_STATUS, 0);
    qtest_writel(qts, SHMEM_LENGTH, 4 + count * 4);
    qtest_writel(qts, SHMEM_HEADER, protocol << 10 | message);
    for (int i = 0; i < count; i++) {
        qtest_writel(qts, SHMEM_PAYLOAD + i * 4, args[i]);
    }
    g_assert_cmphex(cpu_smc(qts, SIP_SCMI, 0), ==, 0);
    g_assert_cmphex(qtest_readl(qts, SHMEM_STATUS), ==, 1);
    return qtest_readl(qts, SHMEM_PAYLOAD);
}

static uint32_t scmi_rate(QTestState *qts, uint32_t clock)
{
    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 6, 1, &clock), ==, 0);
    g_assert_cmphex(qtest_readl(qts, SHMEM_PAYLOAD + 8), ==, 0);
    return qtest_readl(qts, SHMEM_PAYLOAD + 4);
}

static void scmi_set_rate(QTestState *qts, uint32_t clock, uint32_t rate)
{
    const uint32_t args[] = { 0, clock, rate, 0 };

    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 5, 4, args), ==, 0);
}

/* All cores' clock inputs run at the rate that this text names. */
static void check_npu_clocks(QTestState *qts, const char *rate)
{
    g_autofree char *tree = qtest_hmp(qts, "info qtree");
    g_autofree char *want = g_strdup_printf("clock-in \"npu\" freq_hz=%s", rate);
    const char *at = tree;
    int count = 0;

    while ((at = strstr(at, want))) {
        at += strlen(want);
        g_assert_cmpint(*at, <=, ' ');
        count++;
    }
    g_assert_cmpint(count, ==, RK3588_NUM_NPU_CORES);
}

static void test_scmi(void)
{
    const uint32_t npu = CLK_NPU, no_such_clock = 24, zero = 0;
    const uint32_t off[] = { CLK_NPU, 0 }, on[] = { CLK_NPU, 1 };
    QTestState *qts = start_cpu();

    clear_bits(qts, PMU_PWR, PWR_ALL);
    g_assert_cmpint(scmi(qts, SCMI_BASE, 6, 1, &zero), ==, 0);
    g_assert_cmpint(qtest_readl(qts, SHMEM_PAYLOAD + 4), ==, 1);
    g_assert_cmphex(qtest_readl(qts, SHMEM_PAYLOAD + 8), ==, SCMI_CLOCK);

    g_assert_cmpint(scmi_rate(qts, CLK_NPU), ==, 200000000);
    scmi_set_rate(qts, CLK_NPU, 1000000000);
    g_assert_cmpint(scmi_rate(qts, CLK_NPU), ==, 1000000000);
    scmi_set_rate(qts, CLK_NPU, 650000000);
    g_assert_cmpint(scmi_rate(qts, CLK_NPU), ==, 600000000);
    check_npu_clocks(qts, "600 MHz");
    scmi_set_rate(qts, CLK_NPU, 1);
    g_assert_cmpint(scmi_rate(qts, CLK_NPU), ==, 200000000);

    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 7, 2, off), ==, 0);
    check_npu_clocks(qts, "0 Hz");
    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 3, 1, &npu), ==, 0);
    g_assert_cmphex(qtest_readl(qts, SHMEM_PAYLOAD + 4), ==, 0);
    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 7, 2, on), ==, 0);
    check_npu_clocks(qts, "200 MHz");

    /* Refused: no such clock, message, protocol */
    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 6, 1, &no_such_clock), ==, -4);
    g_assert_cmpint(scmi(qts, SCMI_CLOCK, 0x55, 1, &zero), ==, -4);
    g_assert_cmpint(scmi(qts, 0x99, 0, 0, NULL), ==, -1);
    qtest_quit(qts);
}

#define I2C(offset)         (RK3588_I2C1_BASE + (offset))
#define I2C_CON             I2C(0x00)
#define I2C_MRXADDR         I2C(0x08)
#define I2C_MRXRADDR        I2C(0x0c)
#define I2C_MTXCNT          I2C(0x10)
#define I2C_MRXCNT          I2C(0x14)
#define I2C_IPD             I2C(0x1c)
#define I2C_TXDATA          I2C(0x100)
#define I2C_RXDATA          I2C(0x200)
#define CON_WRITE           0x01
#define CON_COMBINED        0x03
#define CON_START           0x08
#define CON_STOP            0x10
#define CON_LASTACK         0x20
#define INT_MBTF            0x04
#define INT_MBRF            0x08
#define INT_START           0x10
#define INT_STOP            0x20
#define INT_NAK             0x40

#define REGULATOR           0x42
#define REGULATOR_ENABLE    0x00
#define REGULATOR_ID        0x03
#define REGULATOR_VSEL      0x06

static void i2c_start(QTestState *qts, uint32_t con)
{
    qtest_writel(qts, I2C_CON, con | CON_START);
    g_assert_cmphex(qtest_readl(qts, I2C_IPD), ==, INT_START);
    qtest_writel(qts, I2C_IPD, INT_START);
    qtest_writel(qts, I2C_CON, con);
}

static void i2c_stop(QTestState *qts, uint32_t con)
{
    qtest_writel(qts, I2C_CON, con | CON_STOP);
    g_assert_cmphex(qtest_readl(qts, I2C_IPD), ==, INT_STOP);
    qtest_writel(qts, I2C_IPD, INT_STOP);
    qtest_writel(qts, I2C_CON, 0);
}

static uint32_t i2c_set(QTestState *qts, uint8_t address, uint8_t reg,
                        uint8_t value)
{
    uint32_t raised;

    i2c_start(qts, CON_WRITE);
    qtest_writel(qts, I2C_TXDATA, address << 1 | reg << 8 | value << 16);
    qtest_writel(qts, I2C_MTXCNT, 3);
    raised = qtest_readl(qts, I2C_IPD);
    qtest_writel(qts, I2C_IPD, raised);
    i2c_stop(qts, CON_WRITE);
    return raised;
}

static uint8_t i2c_get(QTestState *qts, uint8_t address, uint8_t reg)
{
    uint32_t con = CON_COMBINED | CON_LASTACK;

    qtest_writel(qts, I2C_MRXADDR, address << 1 | 1u << 24);
    qtest_writel(qts, I2C_MRXRADDR, reg | 1u << 24);
    i2c_start(qts, con);
    qtest_writel(qts, I2C_MRXCNT, 1);
    g_assert_cmphex(qtest_readl(qts, I2C_IPD), ==, INT_MBRF);
    qtest_writel(qts, I2C_IPD, INT_MBRF);
    i2c_stop(qts, con);
    return qtest_readl(qts, I2C_RXDATA);
}

static void set_millivolts(QTestState *qts, int mv)
{
    g_assert_cmphex(i2c_set(qts, REGULATOR, REGULATOR_VSEL,
                            (mv - 500) * 100 / 625), ==, INT_MBTF);
}

static void test_regulator(void)
{
    QTestState *qts = start();

    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_ID), ==, 0x0a);
    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_ENABLE), ==, 0x80);
    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_VSEL), ==, 48);
    set_millivolts(qts, 700);
    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_VSEL), ==, 32);

    /* Nobody else is there, and what it is cannot be changed. */
    g_assert_cmphex(i2c_set(qts, REGULATOR + 1, 0, 0), ==, INT_NAK);
    i2c_set(qts, REGULATOR, REGULATOR_ID, 0);
    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_ID), ==, 0x0a);

    qtest_system_reset(qts);
    g_assert_cmphex(i2c_get(qts, REGULATOR, REGULATOR_VSEL), ==, 48);
    qtest_quit(qts);
}

/* Each rate of the NPU needs its voltage. */
static void test_undervolt(void)
{
    static const struct {
        uint32_t mhz;
        int mv;
    } needs[] = {
        { 1000, 850 }, { 900, 800 }, { 800, 750 }, { 700, 700 }, { 200, 700 },
    };
    QTestState *qts = start_cpu();

    clear_bits(qts, PMU_PWR, PWR_ALL);
    qtest_irq_intercept_out_named(qts, "/machine/scmi", "npu-undervolt");
    for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
        scmi_set_rate(qts, CLK_NPU, needs[i].mhz * 1000000);
        set_millivolts(qts, needs[i].mv);
        g_assert_false(qtest_get_irq(qts, 0));
        set_millivolts(qts, needs[i].mv - 25);
        g_assert_true(qtest_get_irq(qts, 0));
    }
    set_millivolts(qts, 800);
    g_assert_false(qtest_get_irq(qts, 0));
    scmi_set_rate(qts, CLK_NPU, 1000000000);
    g_assert_true(qtest_get_irq(qts, 0));
    scmi_set_rate(qts, CLK_NPU, 900000000);
    g_assert_false(qtest_get_irq(qts, 0));
    i2c_set(qts, REGULATOR, REGULATOR_ENABLE, 0);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

/* Firmware does not survive it when the NPU's clock is set without power. */
static void test_rate_without_power(void)
{
    const uint32_t args[] = { 0, CLK_NPU, 300000000, 0 };
    QTestState *qts = start_cpu();

    set_bits(qts, PMU_PWR, PWR_ALL);
    qtest_writel(qts, SHMEM_STATUS, 0);
    qtest_writel(qts, SHMEM_LENGTH, 4 + sizeof(args));
    qtest_writel(qts, SHMEM_HEADER, SCMI_CLOCK << 10 | 5);
    for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
        qtest_writel(qts, SHMEM_PAYLOAD + i * 4, args[i]);
    }
    cpu_smc(qts, SIP_SCMI, 0);
    g_assert_cmphex(qtest_readl(qts, SHMEM_STATUS), ==, 0);
    check_npu_clocks(qts, "200 MHz");
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/rk3588/memory/map", test_memory_map);
    qtest_add_func("/rk3588/memory/hole", test_memory_hole);
    qtest_add_func("/rk3588/cru/registers", test_cru_registers);
    qtest_add_func("/rk3588/cru/pll", test_cru_pll);
    qtest_add_func("/rk3588/cru/gates", test_gates);
    qtest_add_func("/rk3588/cru/soft-reset", test_soft_reset);
    qtest_add_func("/rk3588/pmu/domains", test_power_domains);
    qtest_add_func("/rk3588/pmu/handshakes", test_power_handshakes);
    qtest_add_func("/rk3588/qos", test_qos);
    qtest_add_func("/rk3588/regulator", test_regulator);
    if (qtest_has_accel("tcg")) {
        qtest_add_func("/rk3588/cpu/external-abort", test_external_abort);
        qtest_add_func("/rk3588/cpu/firmware", test_firmware);
        qtest_add_func("/rk3588/cpu/scmi", test_scmi);
        qtest_add_func("/rk3588/cpu/undervolt", test_undervolt);
        qtest_add_func("/rk3588/cpu/rate-without-power",
                       test_rate_without_power);
    }
    return g_test_run();
}
