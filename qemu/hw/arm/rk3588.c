/*
 * Rockchip RK3588 board for the NPU
 *
 * The chip's own memory map as far as its NPU needs it: CPUs, interrupt
 * controller, timers, clocks, resets, power domains, SRAM, the three NPU cores
 * with their IOMMUs, and a serial port. Disks, shared directories and consoles
 * come over virtio transports in unused places of the map.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/guest-random.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qobject/qlist.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "hw/arm/boot.h"
#include "hw/arm/bsa.h"
#include "hw/arm/rk3588.h"
#include "hw/boards.h"
#include "hw/char/serial-mm.h"
#include "hw/core/split-irq.h"
#include "hw/intc/arm_gicv3_common.h"
#include "hw/irq.h"
#include "hw/loader.h"
#include "hw/misc/rk3588_cru.h"
#include "hw/misc/rk3588_i2c.h"
#include "hw/misc/rk3588_iommu.h"
#include "hw/misc/rk3588_npu.h"
#include "hw/misc/rk3588_pmu.h"
#include "hw/misc/rk3588_qos.h"
#include "hw/misc/rk3588_scmi.h"
#include "hw/misc/rk8602.h"
#include "hw/misc/unimp.h"
#include "hw/or-irq.h"
#include "hw/qdev-clock.h"
#include "hw/qdev-properties.h"
#include "system/device_tree.h"
#include "system/system.h"
#include "target/arm/cpu-qom.h"
#include "target/arm/gtimer.h"
#include "trace.h"

#include <libfdt.h>

#define TYPE_RK3588_MACHINE MACHINE_TYPE_NAME("rk3588")
OBJECT_DECLARE_SIMPLE_TYPE(RK3588MachineState, RK3588_MACHINE)

#define TIMER_FREQ_HZ       24000000
#define UART_BAUDBASE       1500000

/* Firmware calls beside PSCI (SMC calling convention function ids) */
#define SMCCC_VERSION           0x80000000
#define SMCCC_ARCH_FEATURES     0x80000001
#define SMCCC_VERSION_1_1       0x10001
#define PSCI_FEATURES           0x8400000a
#define SIP_SUSPEND_MODE        0x82000003
#define SIP_SCMI_AGENT0         0x82000010

/* Of the NPU's regulator on its I2C bus */
#define RK8602_ADDRESS          0x42

/* Cells of an interrupt specifier in a device tree */
#define FDT_IRQ_SPI             0
#define FDT_IRQ_EDGE_RISING     1

struct RK3588MachineState {
    MachineState parent_obj;

    struct arm_boot_info bootinfo;

    MemoryRegion dram_low;
    MemoryRegion dram_high;
    MemoryRegion sram1;
    MemoryRegion sram2;
    MemoryRegion qos;

    /* What the NPU can master: DRAM and SRAM, no device. */
    MemoryRegion dma;
    MemoryRegion dma_dram_low;
    MemoryRegion dma_dram_high;
    MemoryRegion dma_sram1;
    MemoryRegion dma_sram2;

    DeviceState *gic;
    DeviceState *cru;
    DeviceState *pmu;
    RK3588ScmiState *scmi;
};

static qemu_irq rk3588_spi(RK3588MachineState *s, int spi)
{
    return qdev_get_gpio_in(s->gic, spi);
}

/*
 * Memory
 */

static void rk3588_alias(RK3588MachineState *s, MemoryRegion *container,
                         MemoryRegion *alias, const char *name,
                         MemoryRegion *target, hwaddr offset, hwaddr base,
                         uint64_t size)
{
    memory_region_init_alias(alias, OBJECT(s), name, target, offset, size);
    memory_region_add_subregion(container, base, alias);
}

static void rk3588_create_memory(RK3588MachineState *s, MachineState *ms)
{
    MemoryRegion *sysmem = get_system_memory();
    uint64_t low = MIN(ms->ram_size, RK3588_DRAM_LOW_MAX);
    uint64_t high = ms->ram_size - low;

    rk3588_alias(s, sysmem, &s->dram_low, "rk3588.dram-low", ms->ram, 0, 0,
                 low);
    if (high) {
        rk3588_alias(s, sysmem, &s->dram_high, "rk3588.dram-high", ms->ram,
                     low, RK3588_DRAM_HIGH, high);
    }
    memory_region_init_ram(&s->sram1, NULL, "rk3588.sram1",
                           RK3588_SRAM1_SIZE, &error_fatal);
    memory_region_add_subregion(sysmem, RK3588_SRAM1_BASE, &s->sram1);
    memory_region_init_ram(&s->sram2, NULL, "rk3588.sram2",
                           RK3588_SRAM2_SIZE, &error_fatal);
    memory_region_add_subregion(sysmem, RK3588_SRAM2_BASE, &s->sram2);

    memory_region_init(&s->dma, OBJECT(s), "rk3588.npu-dma", 1ull << 40);
    rk3588_alias(s, &s->dma, &s->dma_dram_low, "rk3588.dma-dram-low", ms->ram,
                 0, 0, low);
    if (high) {
        rk3588_alias(s, &s->dma, &s->dma_dram_high, "rk3588.dma-dram-high",
                     ms->ram, low, RK3588_DRAM_HIGH, high);
    }
    rk3588_alias(s, &s->dma, &s->dma_sram1, "rk3588.dma-sram1", &s->sram1, 0,
                 RK3588_SRAM1_BASE, RK3588_SRAM1_SIZE);
    rk3588_alias(s, &s->dma, &s->dma_sram2, "rk3588.dma-sram2", &s->sram2, 0,
                 RK3588_SRAM2_BASE, RK3588_SRAM2_SIZE);
}

/*
 * CPUs and firmware
 */

static void rk3588_answer(CPUARMState *env, uint64_t val)
{
    if (is_a64(env)) {
        env->xregs[0] = val;
    } else {
        env->regs[0] = val;
    }
}

/* What the boot firmware answers besides PSCI; QEMU itself does that. */
static bool rk3588_firmware_call(ARMCPU *cpu, void *opaque)
{
    RK3588MachineState *s = opaque;
    CPUARMState *env = &cpu->env;
    uint32_t fn = is_a64(env) ? env->xregs[0] : env->regs[0];
    uint32_t arg = is_a64(env) ? env->xregs[1] : env->regs[1];

    switch (fn) {
    case SMCCC_VERSION:
        rk3588_answer(env, SMCCC_VERSION_1_1);
        break;
    case SMCCC_ARCH_FEATURES:
        rk3588_answer(env, arg == SMCCC_VERSION ||
                           arg == SMCCC_ARCH_FEATURES ? 0 : -1);
        break;
    case PSCI_FEATURES:
        if (arg != SMCCC_VERSION) {
            return false;
        }
        rk3588_answer(env, 0);
        break;
    case SIP_SCMI_AGENT0:
        rk3588_scmi_doorbell(s->scmi);
        rk3588_answer(env, 0);
        break;
    case SIP_SUSPEND_MODE:
        /* Notes for the firmware's system suspend; nothing to act on. */
        rk3588_answer(env, 0);
        break;
    default:
        return false;
    }
    trace_rk3588_firmware_call(fn, arg);
    return true;
}

static void rk3588_create_cpus(RK3588MachineState *s, MachineState *ms)
{
    for (int i = 0; i < ms->smp.cpus; i++) {
        Object *obj = object_new(ms->cpu_type);
        ARMCPU *cpu = ARM_CPU(obj);

        object_property_set_int(obj, "mp-affinity", i << 8, &error_fatal);
        object_property_set_int(obj, "cntfrq", TIMER_FREQ_HZ, &error_fatal);
        object_property_set_bool(obj, "has_el3", false, &error_fatal);
        object_property_set_link(obj, "memory", OBJECT(get_system_memory()),
                                 &error_fatal);
        cpu->firmware_call = rk3588_firmware_call;
        cpu->firmware_call_opaque = s;
        qdev_realize(DEVICE(obj), NULL, &error_fatal);
        object_unref(obj);
    }
}

static void rk3588_create_gic(RK3588MachineState *s, MachineState *ms)
{
    static const int timer_ppi[] = {
        [GTIMER_PHYS] = ARCH_TIMER_NS_EL1_IRQ,
        [GTIMER_VIRT] = ARCH_TIMER_VIRT_IRQ,
        [GTIMER_HYP] = ARCH_TIMER_NS_EL2_IRQ,
        [GTIMER_SEC] = ARCH_TIMER_S_EL1_IRQ,
        [GTIMER_HYPVIRT] = ARCH_TIMER_NS_EL2_VIRT_IRQ,
    };
    unsigned int cpus = ms->smp.cpus;
    QList *redist = qlist_new();
    SysBusDevice *sbd;

    s->gic = qdev_new(gicv3_class_name());
    qdev_prop_set_uint32(s->gic, "revision", 3);
    qdev_prop_set_uint32(s->gic, "num-cpu", cpus);
    qdev_prop_set_uint32(s->gic, "num-irq", RK3588_NUM_SPI + GIC_INTERNAL);
    qlist_append_int(redist, cpus);
    qdev_prop_set_array(s->gic, "redist-region-count", redist);
    sbd = SYS_BUS_DEVICE(s->gic);
    sysbus_realize_and_unref(sbd, &error_fatal);
    sysbus_mmio_map(sbd, 0, RK3588_GICD_BASE);
    sysbus_mmio_map(sbd, 1, RK3588_GICR_BASE);

    for (unsigned int i = 0; i < cpus; i++) {
        DeviceState *cpu = DEVICE(qemu_get_cpu(i));
        int base = RK3588_NUM_SPI + i * GIC_INTERNAL;

        for (size_t t = 0; t < ARRAY_SIZE(timer_ppi); t++) {
            qdev_connect_gpio_out(cpu, t, qdev_get_gpio_in(s->gic,
                                                           base +
                                                           timer_ppi[t]));
        }
        qdev_connect_gpio_out_named(cpu, "gicv3-maintenance-interrupt", 0,
                                    qdev_get_gpio_in(s->gic, base +
                                                     ARCH_GIC_MAINT_IRQ));
        qdev_connect_gpio_out_named(cpu, "pmu-interrupt", 0,
                                    qdev_get_gpio_in(s->gic, base +
                                                     VIRTUAL_PMU_IRQ));
        sysbus_connect_irq(sbd, i, qdev_get_gpio_in(cpu, ARM_CPU_IRQ));
        sysbus_connect_irq(sbd, i + cpus, qdev_get_gpio_in(cpu, ARM_CPU_FIQ));
        sysbus_connect_irq(sbd, i + 2 * cpus,
                           qdev_get_gpio_in(cpu, ARM_CPU_VIRQ));
        sysbus_connect_irq(sbd, i + 3 * cpus,
                           qdev_get_gpio_in(cpu, ARM_CPU_VFIQ));
    }
}

/*
 * NPU
 */

/* Wires one output to several inputs of the same name. */
static void rk3588_fan_out(DeviceState *from, const char *out, int n,
                           const char *in, DeviceState **to, int count)
{
    DeviceState *split = qdev_new(TYPE_SPLIT_IRQ);

    qdev_prop_set_uint16(split, "num-lines", count);
    qdev_realize_and_unref(split, NULL, &error_fatal);
    for (int i = 0; i < count; i++) {
        qdev_connect_gpio_out(split, i, qdev_get_gpio_in_named(to[i], in, 0));
    }
    qdev_connect_gpio_out_named(from, out, n, qdev_get_gpio_in(split, 0));
}

static DeviceState *rk3588_create_qos(hwaddr base)
{
    DeviceState *dev = qdev_new(TYPE_RK3588_QOS);

    sysbus_realize_and_unref(SYS_BUS_DEVICE(dev), &error_fatal);
    sysbus_mmio_map_overlap(SYS_BUS_DEVICE(dev), 0, base, 1);
    return dev;
}

static DeviceState *rk3588_create_npu_iommu(RK3588MachineState *s, int core)
{
    DeviceState *dev = qdev_new(TYPE_RK3588_IOMMU);
    SysBusDevice *sbd = SYS_BUS_DEVICE(dev);
    g_autofree char *name = g_strdup_printf("npu-iommu%d", core);
    int bank = 0;

    object_property_add_child(OBJECT(s), name, OBJECT(dev));
    qdev_prop_set_uint8(dev, "banks", core ? 1 : 2);
    object_property_set_link(OBJECT(dev), "downstream", OBJECT(&s->dma),
                             &error_fatal);
    sysbus_realize_and_unref(sbd, &error_fatal);
    if (!core) {
        sysbus_mmio_map_overlap(sbd, bank++,
                                RK3588_NPU(core) + RK3588_NPU_IOMMU_A, 1);
    }
    sysbus_mmio_map_overlap(sbd, bank, RK3588_NPU(core) + RK3588_NPU_IOMMU_B,
                            1);
    return dev;
}

static DeviceState *rk3588_create_npu_core(RK3588MachineState *s, int core)
{
    static const int domain[RK3588_NUM_NPU_CORES] = {
        RK3588_PMU_NPUTOP, RK3588_PMU_NPU1, RK3588_PMU_NPU2,
    };
    DeviceState *iommu = rk3588_create_npu_iommu(s, core);
    DeviceState *dev = qdev_new(TYPE_RK3588_NPU_CORE);
    DeviceState *irq_or = qdev_new(TYPE_OR_IRQ);
    DeviceState *both[] = { dev, iommu };
    DeviceState *powered[5] = { dev, iommu };
    int num_powered = 2;
    g_autofree char *name = g_strdup_printf("npu%d", core);

    object_property_add_child(OBJECT(s), name, OBJECT(dev));
    qdev_prop_set_uint8(dev, "core-index", core);
    object_property_set_link(OBJECT(dev), "dma",
                             OBJECT(rk3588_iommu_upstream(
                                    RK3588_IOMMU(iommu))), &error_fatal);
    qdev_connect_clock_in(dev, "npu",
                          qdev_get_clock_out(DEVICE(s->scmi), "npu"));
    sysbus_realize_and_unref(SYS_BUS_DEVICE(dev), &error_fatal);
    sysbus_mmio_map(SYS_BUS_DEVICE(dev), 0, RK3588_NPU(core));

    /* The core and its IOMMU share an interrupt. */
    qdev_prop_set_uint16(irq_or, "num-lines", 2);
    qdev_realize_and_unref(irq_or, NULL, &error_fatal);
    sysbus_connect_irq(SYS_BUS_DEVICE(dev), 0, qdev_get_gpio_in(irq_or, 0));
    sysbus_connect_irq(SYS_BUS_DEVICE(iommu), 0, qdev_get_gpio_in(irq_or, 1));
    qdev_connect_gpio_out(irq_or, 0, rk3588_spi(s, RK3588_SPI_NPU(core)));

    rk3588_fan_out(s->cru, "npu-aclk", core, "aclk", both, 2);
    rk3588_fan_out(s->cru, "npu-hclk", core, "hclk", both, 2);
    rk3588_fan_out(s->cru, "npu-srst-a", core, "srst-a", both, 2);
    rk3588_fan_out(s->cru, "npu-srst-h", core, "srst-h", both, 2);

    switch (core) {
    case 0:
        powered[num_powered++] = rk3588_create_qos(RK3588_QOS_NPU0_MWR);
        powered[num_powered++] = rk3588_create_qos(RK3588_QOS_NPU0_MRO);
        powered[num_powered++] = rk3588_create_qos(RK3588_QOS_MCU_NPU);
        break;
    case 1:
        powered[num_powered++] = rk3588_create_qos(RK3588_QOS_NPU1);
        break;
    case 2:
        powered[num_powered++] = rk3588_create_qos(RK3588_QOS_NPU2);
        break;
    }
    rk3588_fan_out(s->pmu, "domain", domain[core], "power", powered,
                   num_powered);
    return dev;
}

static void rk3588_create_npu(RK3588MachineState *s)
{
    DeviceState *core[RK3588_NUM_NPU_CORES];

    for (int i = 0; i < RK3588_NUM_NPU_CORES; i++) {
        core[i] = rk3588_create_npu_core(s, i);
    }
    rk3588_fan_out(DEVICE(s->scmi), "npu-undervolt", 0,
                   RK3588_NPU_GPIO_UNDERVOLT, core, RK3588_NUM_NPU_CORES);
}

/*
 * Everything else
 */

static void rk3588_create_firmware(RK3588MachineState *s)
{
    DeviceState *dev = qdev_new(TYPE_RK3588_SCMI);

    object_property_add_child(OBJECT(s), "scmi", OBJECT(dev));
    object_property_set_link(OBJECT(dev), "memory",
                             OBJECT(get_system_memory()), &error_fatal);
    qdev_prop_set_uint64(dev, "shmem", RK3588_SCMI_SHMEM_BASE);
    sysbus_realize_and_unref(SYS_BUS_DEVICE(dev), &error_fatal);
    s->scmi = RK3588_SCMI(dev);
}

/* The NPU's supply, where many boards have it */
static void rk3588_create_regulator(RK3588MachineState *s)
{
    DeviceState *i2c = sysbus_create_simple(TYPE_RK3588_I2C, RK3588_I2C1_BASE,
                                            rk3588_spi(s, RK3588_SPI_I2C1));
    I2CSlave *regulator = i2c_slave_create_simple(RK3588_I2C(i2c)->bus,
                                                  TYPE_RK8602,
                                                  RK8602_ADDRESS);

    qdev_connect_gpio_out_named(DEVICE(regulator), "voltage", 0,
                                qdev_get_gpio_in_named(DEVICE(s->scmi),
                                                       "npu-voltage", 0));
}

static void rk3588_create_devices(RK3588MachineState *s)
{
    MemoryRegion *sysmem = get_system_memory();

    create_unimplemented_device("rk3588.peripherals", RK3588_PERIPH_BASE,
                                RK3588_PERIPH_SIZE);

    s->cru = sysbus_create_simple(TYPE_RK3588_CRU, RK3588_CRU_BASE, NULL);
    s->pmu = sysbus_create_simple(TYPE_RK3588_PMU, RK3588_PMU_BASE, NULL);

    /* The interconnect's settings have no effect here but can be kept. */
    memory_region_init_ram(&s->qos, NULL, "rk3588.qos",
                           RK3588_QOS_END - RK3588_QOS_BASE, &error_fatal);
    memory_region_add_subregion(sysmem, RK3588_QOS_BASE, &s->qos);

    serial_mm_init(sysmem, RK3588_UART2_BASE, 2,
                   rk3588_spi(s, RK3588_SPI_UART2), UART_BAUDBASE,
                   serial_hd(0), DEVICE_LITTLE_ENDIAN);

    rk3588_create_regulator(s);
    qdev_connect_gpio_out_named(s->pmu, "domain", RK3588_PMU_NPU,
                                qdev_get_gpio_in_named(DEVICE(s->scmi),
                                                       "npu-power", 0));

    for (int i = 0; i < RK3588_NUM_VIRTIO; i++) {
        sysbus_create_simple("virtio-mmio",
                             RK3588_VIRTIO_BASE + i * RK3588_VIRTIO_SIZE,
                             rk3588_spi(s, RK3588_SPI_VIRTIO(i)));
    }
}

/*
 * Device tree
 */

static void fdt_drop(void *fdt, const char *path)
{
    if (fdt_path_offset(fdt, path) >= 0) {
        qemu_fdt_nop_node(fdt, path);
    }
}

/*
 * Takes out the CPUs that -smp leaves out, and the idle states: QEMU's PSCI
 * cannot power a CPU down and wake it again, it only waits for an interrupt
 * that the kernel has switched off by then.
 */
static void rk3588_fdt_cpus(void *fdt, unsigned int cpus)
{
    static const struct {
        int cluster;
        int core;
    } map[RK3588_MAX_CPUS] = {
        { 0, 0 }, { 0, 1 }, { 0, 2 }, { 0, 3 },
        { 1, 0 }, { 1, 1 }, { 2, 0 }, { 2, 1 },
    };

    for (unsigned int i = 0; i < RK3588_MAX_CPUS; i++) {
        g_autofree char *cpu = g_strdup_printf("/cpus/cpu@%x", i << 8);
        g_autofree char *cluster =
            g_strdup_printf("/cpus/cpu-map/cluster%d", map[i].cluster);
        g_autofree char *core =
            g_strdup_printf("%s/core%d", cluster, map[i].core);

        if (i < cpus) {
            int node = fdt_path_offset(fdt, cpu);

            if (node >= 0) {
                fdt_nop_property(fdt, node, "cpu-idle-states");
            }
            continue;
        }
        fdt_drop(fdt, cpu);
        fdt_drop(fdt, core);
        if (map[i].core == 0) {
            fdt_drop(fdt, cluster);
        }
    }
}

static void rk3588_fdt_memory(void *fdt, uint64_t ram_size)
{
    uint64_t low = MIN(ram_size, RK3588_DRAM_LOW_MAX);
    g_auto(GStrv) nodes = qemu_fdt_node_unit_path(fdt, "memory", &error_fatal);

    for (int i = 0; nodes[i]; i++) {
        if (g_str_has_prefix(nodes[i], "/memory")) {
            fdt_drop(fdt, nodes[i]);
        }
    }
    qemu_fdt_add_subnode(fdt, "/memory@0");
    qemu_fdt_setprop_string(fdt, "/memory@0", "device_type", "memory");
    if (ram_size > low) {
        qemu_fdt_setprop_sized_cells(fdt, "/memory@0", "reg", 2, 0, 2, low,
                                     2, RK3588_DRAM_HIGH, 2, ram_size - low);
    } else {
        qemu_fdt_setprop_sized_cells(fdt, "/memory@0", "reg", 2, 0, 2, low);
    }
}

static void rk3588_fdt_virtio(void *fdt)
{
    uint32_t gic = qemu_fdt_getprop_cell(fdt, "/", "interrupt-parent", NULL,
                                         &error_fatal);
    int node = fdt_node_offset_by_phandle(fdt, gic);
    const uint32_t *cells = node < 0 ? NULL :
        fdt_getprop(fdt, node, "#interrupt-cells", NULL);
    uint32_t irq[4] = { cpu_to_be32(FDT_IRQ_SPI), 0,
                        cpu_to_be32(FDT_IRQ_EDGE_RISING), 0 };
    uint32_t num_cells = cells ? be32_to_cpu(*cells) : 0;

    if (num_cells < 3 || num_cells > ARRAY_SIZE(irq)) {
        error_report("rk3588: the device tree has no usable GIC node");
        exit(1);
    }
    /* A new node goes in front of its siblings: backwards gives order. */
    for (int i = RK3588_NUM_VIRTIO - 1; i >= 0; i--) {
        hwaddr base = RK3588_VIRTIO_BASE + i * RK3588_VIRTIO_SIZE;
        g_autofree char *path =
            g_strdup_printf("/virtio_mmio@%" HWADDR_PRIx, base);

        irq[1] = cpu_to_be32(RK3588_SPI_VIRTIO(i));
        qemu_fdt_add_subnode(fdt, path);
        qemu_fdt_setprop_string(fdt, path, "compatible", "virtio,mmio");
        qemu_fdt_setprop_sized_cells(fdt, path, "reg", 2, base,
                                     2, RK3588_VIRTIO_SIZE);
        qemu_fdt_setprop(fdt, path, "interrupts", irq, num_cells * 4);
        qemu_fdt_setprop(fdt, path, "dma-coherent", NULL, 0);
    }
}

static void rk3588_modify_dtb(const struct arm_boot_info *info, void *fdt)
{
    RK3588MachineState *s = container_of(info, RK3588MachineState, bootinfo);
    MachineState *ms = MACHINE(s);
    uint8_t seed[32];

    rk3588_fdt_cpus(fdt, ms->smp.cpus);
    rk3588_fdt_memory(fdt, ms->ram_size);
    rk3588_fdt_virtio(fdt);
    qemu_guest_getrandom_nofail(seed, sizeof(seed));
    qemu_fdt_setprop(fdt, "/chosen", "rng-seed", seed, sizeof(seed));
}

/*
 * Machine
 */

static void rk3588_init(MachineState *ms)
{
    RK3588MachineState *s = RK3588_MACHINE(ms);

    if (ms->ram_size > RK3588_DRAM_MAX) {
        error_report("rk3588: at most 8 GiB of RAM");
        exit(1);
    }
    if (ms->ram_size < 64 * MiB) {
        error_report("rk3588: at least 64 MiB of RAM");
        exit(1);
    }
    if (ms->kernel_filename && !ms->dtb) {
        error_report("rk3588: -kernel needs -dtb");
        exit(1);
    }

    rk3588_create_memory(s, ms);
    rk3588_create_cpus(s, ms);
    rk3588_create_gic(s, ms);
    rk3588_create_firmware(s);
    rk3588_create_devices(s);
    rk3588_create_npu(s);

    s->bootinfo.ram_size = MIN(ms->ram_size, RK3588_DRAM_LOW_MAX);
    s->bootinfo.loader_start = 0;
    s->bootinfo.psci_conduit = QEMU_PSCI_CONDUIT_SMC;
    s->bootinfo.modify_dtb = rk3588_modify_dtb;
    arm_load_kernel(ARM_CPU(first_cpu), ms, &s->bootinfo);
}

static void rk3588_machine_class_init(ObjectClass *oc, void *data)
{
    static const char * const valid_cpu_types[] = {
        ARM_CPU_TYPE_NAME("cortex-a76"),
        NULL
    };
    MachineClass *mc = MACHINE_CLASS(oc);

    mc->desc = "Rockchip RK3588 with its NPU";
    mc->init = rk3588_init;
    mc->max_cpus = RK3588_MAX_CPUS;
    mc->default_cpus = 4;
    mc->default_cpu_type = ARM_CPU_TYPE_NAME("cortex-a76");
    mc->valid_cpu_types = valid_cpu_types;
    mc->default_ram_size = 2 * GiB;
    mc->default_ram_id = "rk3588.ram";
    mc->block_default_type = IF_VIRTIO;
    mc->no_cdrom = true;
    mc->no_floppy = true;
}

static const TypeInfo rk3588_machine_types[] = {
    {
        .name = TYPE_RK3588_MACHINE,
        .parent = TYPE_MACHINE,
        .instance_size = sizeof(RK3588MachineState),
        .class_init = rk3588_machine_class_init,
    },
};

DEFINE_TYPES(rk3588_machine_types)
