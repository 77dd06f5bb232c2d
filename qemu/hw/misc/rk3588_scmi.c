/*
 * Rockchip RK3588 boot firmware: SCMI clock service
 *
 * Arm's System Control and Management Interface (DEN0056) over one channel of
 * shared memory: the base protocol and the clock protocol, as far as a kernel
 * needs them to find, read, set and gate the clocks that only the secure
 * firmware can touch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/log.h"
#include "qapi/error.h"
#include "hw/irq.h"
#include "hw/misc/rk3588_scmi.h"
#include "hw/qdev-clock.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "trace.h"

/* Layout of the shared memory */
#define SHMEM_CHANNEL_STATUS    0x04
#define SHMEM_LENGTH            0x14
#define SHMEM_HEADER            0x18
#define SHMEM_PAYLOAD           0x1c
#define CHANNEL_FREE            (1u << 0)

#define PAYLOAD_WORDS   ((RK3588_SCMI_SHMEM_SIZE - SHMEM_PAYLOAD) / 4)

#define PROTO_BASE              0x10
#define PROTO_CLOCK             0x14

/* Messages that every protocol has */
#define MSG_VERSION             0x0
#define MSG_ATTRIBUTES          0x1
#define MSG_MESSAGE_ATTRIBUTES  0x2

#define BASE_VENDOR             0x3
#define BASE_SUB_VENDOR         0x4
#define BASE_IMPL_VERSION       0x5
#define BASE_LIST_PROTOCOLS     0x6
#define BASE_AGENT              0x7

#define CLOCK_ATTRIBUTES        0x3
#define CLOCK_DESCRIBE_RATES    0x4
#define CLOCK_RATE_SET          0x5
#define CLOCK_RATE_GET          0x6
#define CLOCK_CONFIG_SET        0x7

#define SCMI_SUCCESS            0
#define SCMI_NOT_SUPPORTED      (-1)
#define SCMI_INVALID_PARAMETERS (-2)
#define SCMI_NOT_FOUND          (-4)
#define SCMI_PROTOCOL_ERROR     (-10)

#define BASE_PROTOCOL_VERSION   0x20000
#define CLOCK_PROTOCOL_VERSION  0x10000
#define NAME_LEN                16
#define MHZ                     1000000ull

#define CLK_NPU                 6
#define MAX_RATES               14

/* Agents take 104 bytes at a time: a status word, a count and these. */
#define RATES_PER_REPLY         12

/* Rates in MHz, ascending; a clock with one rate cannot be changed. */
typedef struct ScmiClock {
    const char *name;
    uint16_t reset;
    uint16_t rates[MAX_RATES];
} ScmiClock;

#define LITTLE_RATES    { 408, 600, 816, 1008, 1200, 1416, 1608, 1800 }
#define BIG_RATES       { 408, 600, 816, 1008, 1200, 1416, 1608, 1800, 2016, \
                          2208, 2256, 2304, 2352, 2400 }
#define UNIT_RATES      { 200, 300, 400, 500, 600, 700, 800, 900, 1000 }

static const ScmiClock scmi_clocks[RK3588_SCMI_NUM_CLOCKS] = {
    { "scmi_clk_cpul",         816, LITTLE_RATES },
    { "scmi_clk_dsu",          594, { 396, 594, 786 } },
    { "scmi_clk_cpub01",       816, BIG_RATES },
    { "scmi_clk_cpub23",       816, BIG_RATES },
    { "scmi_clk_ddr",          2112, { 2112 } },
    { "scmi_clk_gpu",          200, UNIT_RATES },
    [CLK_NPU] = { "scmi_clk_npu", 200, UNIT_RATES },
    { "scmi_clk_sbus",         350, { 350 } },
    { "scmi_pclk_sbus",        100, { 100 } },
    { "scmi_cclk_sd",          24,  { 24 } },
    { "scmi_dclk_sd",          24,  { 24 } },
    { "scmi_aclk_ns",          350, { 350 } },
    { "scmi_hclk_ns",          150, { 150 } },
    { "scmi_tclk_wdt",         24,  { 24 } },
    { "scmi_kl_core",          350, { 350 } },
    { "scmi_kl_rng",           175, { 175 } },
    { "scmi_aclk_s",           350, { 350 } },
    { "scmi_hclk_s",           150, { 150 } },
    { "scmi_pclk_s",           100, { 100 } },
    { "scmi_cry_rng",          175, { 175 } },
    { "scmi_cry_core",         350, { 350 } },
    { "scmi_cry_pka",          350, { 350 } },
    { "scmi_spll",             702, { 702 } },
    { "scmi_hclk_sd",          150, { 150 } },
};

/*
 * What the NPU needs to run at a rate: those of the vendor's kernel, which are
 * for the average chip.
 */
static const struct {
    uint64_t rate;
    int uv;
} npu_needs[] = {
    { 700 * MHZ, 700000 },
    { 800 * MHZ, 750000 },
    { 900 * MHZ, 800000 },
    { UINT64_MAX, 850000 },
};

/* A reply under construction: words after the status word */
typedef struct ScmiReply {
    uint32_t word[PAYLOAD_WORDS - 1];
    unsigned int count;
} ScmiReply;

static void reply_word(ScmiReply *r, uint32_t val)
{
    assert(r->count < ARRAY_SIZE(r->word));
    r->word[r->count++] = val;
}

/* Strings travel as bytes, words as little endian: see the final swap. */
static void reply_name(ScmiReply *r, const char *name)
{
    char buf[NAME_LEN] = "";

    pstrcpy(buf, sizeof(buf), name);
    for (int i = 0; i < NAME_LEN; i += 4) {
        reply_word(r, ldl_le_p(buf + i));
    }
}

static unsigned int clock_num_rates(const ScmiClock *c)
{
    unsigned int n = 0;

    while (n < MAX_RATES && c->rates[n]) {
        n++;
    }
    return n;
}

static void scmi_update_npu(RK3588ScmiState *s)
{
    uint64_t rate = s->enabled[CLK_NPU] ? s->rate[CLK_NPU] : 0;
    unsigned int i = 0;

    clock_update_hz(s->npu, rate);

    while (rate > npu_needs[i].rate) {
        i++;
    }
    if (rate && s->npu_voltage < npu_needs[i].uv) {
        trace_rk3588_scmi_undervolt(rate, s->npu_voltage, npu_needs[i].uv);
        qemu_set_irq(s->npu_undervolt, 1);
    } else {
        qemu_set_irq(s->npu_undervolt, 0);
    }
}

/* The highest rate the clock has that is not above what was asked for. */
static void clock_set_rate(RK3588ScmiState *s, uint32_t id, uint64_t rate)
{
    const ScmiClock *c = &scmi_clocks[id];
    unsigned int n = clock_num_rates(c), i = 0;

    while (i + 1 < n && c->rates[i + 1] * MHZ <= rate) {
        i++;
    }
    if (id == CLK_NPU && !s->npu_power) {
        qemu_log_mask(LOG_GUEST_ERROR, "rk3588-scmi: hangs, because the NPU's "
                      "clock is set while its domain is off\n");
        s->hung = true;
        return;
    }
    s->rate[id] = c->rates[i] * MHZ;
    trace_rk3588_scmi_rate(c->name, rate, s->rate[id]);
    if (id == CLK_NPU) {
        scmi_update_npu(s);
    }
}

static int32_t base_message(RK3588ScmiState *s, uint32_t msg,
                            const uint32_t *arg, ScmiReply *r)
{
    switch (msg) {
    case MSG_VERSION:
        reply_word(r, BASE_PROTOCOL_VERSION);
        return SCMI_SUCCESS;
    case MSG_ATTRIBUTES:
        /* One protocol beside this one, one agent */
        reply_word(r, 1 << 8 | 1);
        return SCMI_SUCCESS;
    case MSG_MESSAGE_ATTRIBUTES:
        if (arg[0] > BASE_AGENT) {
            return SCMI_NOT_FOUND;
        }
        reply_word(r, 0);
        return SCMI_SUCCESS;
    case BASE_VENDOR:
        reply_name(r, "rockchip");
        return SCMI_SUCCESS;
    case BASE_SUB_VENDOR:
        reply_name(r, "");
        return SCMI_SUCCESS;
    case BASE_IMPL_VERSION:
        reply_word(r, 0);
        return SCMI_SUCCESS;
    case BASE_LIST_PROTOCOLS:
        reply_word(r, arg[0] ? 0 : 1);
        reply_word(r, arg[0] ? 0 : PROTO_CLOCK);
        return SCMI_SUCCESS;
    case BASE_AGENT:
        if (arg[0] > 1) {
            return SCMI_NOT_FOUND;
        }
        reply_word(r, arg[0]);
        reply_name(r, arg[0] ? "OSPM" : "platform");
        return SCMI_SUCCESS;
    default:
        return SCMI_NOT_FOUND;
    }
}

static int32_t clock_describe_rates(uint32_t id, uint32_t first, ScmiReply *r)
{
    const ScmiClock *c = &scmi_clocks[id];
    unsigned int last, n = clock_num_rates(c);

    if (first >= n) {
        return SCMI_INVALID_PARAMETERS;
    }
    last = MIN(n, first + RATES_PER_REPLY);
    reply_word(r, (n - last) << 16 | (last - first));
    for (unsigned int i = first; i < last; i++) {
        reply_word(r, c->rates[i] * MHZ);
        reply_word(r, (c->rates[i] * MHZ) >> 32);
    }
    return SCMI_SUCCESS;
}

/* The clock's id is the first argument of all messages but RATE_SET. */
static int32_t clock_message_id(RK3588ScmiState *s, uint32_t msg,
                                const uint32_t *arg, ScmiReply *r)
{
    uint32_t id = msg == CLOCK_RATE_SET ? arg[1] : arg[0];

    if (id >= RK3588_SCMI_NUM_CLOCKS) {
        return SCMI_NOT_FOUND;
    }
    switch (msg) {
    case CLOCK_ATTRIBUTES:
        reply_word(r, s->enabled[id]);
        reply_name(r, scmi_clocks[id].name);
        return SCMI_SUCCESS;
    case CLOCK_DESCRIBE_RATES:
        return clock_describe_rates(id, arg[1], r);
    case CLOCK_RATE_SET:
        clock_set_rate(s, id, arg[2] | (uint64_t)arg[3] << 32);
        return SCMI_SUCCESS;
    case CLOCK_RATE_GET:
        reply_word(r, s->rate[id]);
        reply_word(r, s->rate[id] >> 32);
        return SCMI_SUCCESS;
    case CLOCK_CONFIG_SET:
        s->enabled[id] = arg[1] & 1;
        trace_rk3588_scmi_enable(scmi_clocks[id].name, s->enabled[id]);
        if (id == CLK_NPU) {
            scmi_update_npu(s);
        }
        return SCMI_SUCCESS;
    default:
        return SCMI_NOT_FOUND;
    }
}

static int32_t clock_message(RK3588ScmiState *s, uint32_t msg,
                             const uint32_t *arg, ScmiReply *r)
{
    switch (msg) {
    case MSG_VERSION:
        reply_word(r, CLOCK_PROTOCOL_VERSION);
        return SCMI_SUCCESS;
    case MSG_ATTRIBUTES:
        reply_word(r, RK3588_SCMI_NUM_CLOCKS);
        return SCMI_SUCCESS;
    case MSG_MESSAGE_ATTRIBUTES:
        if (arg[0] > CLOCK_CONFIG_SET) {
            return SCMI_NOT_FOUND;
        }
        reply_word(r, 0);
        return SCMI_SUCCESS;
    default:
        return clock_message_id(s, msg, arg, r);
    }
}

/* Answers the message in @mem, which is the shared memory in host order. */
static int32_t scmi_dispatch(RK3588ScmiState *s, uint32_t *mem,
                             ScmiReply *reply)
{
    uint32_t *payload = mem + SHMEM_PAYLOAD / 4;
    uint32_t length = mem[SHMEM_LENGTH / 4];
    uint32_t protocol = extract32(mem[SHMEM_HEADER / 4], 10, 8);
    uint32_t msg = extract32(mem[SHMEM_HEADER / 4], 0, 8);
    int32_t status;

    if (length < 4 || length > RK3588_SCMI_SHMEM_SIZE - SHMEM_HEADER) {
        return SCMI_PROTOCOL_ERROR;
    }
    /* What the caller did not send reads as zero. */
    memset((char *)payload + (length - 4), 0,
           PAYLOAD_WORDS * 4 - (length - 4));
    switch (protocol) {
    case PROTO_BASE:
        status = base_message(s, msg, payload, reply);
        break;
    case PROTO_CLOCK:
        status = clock_message(s, msg, payload, reply);
        break;
    default:
        status = SCMI_NOT_SUPPORTED;
        break;
    }
    trace_rk3588_scmi_message(protocol, msg, payload[0], payload[1], status);
    return status;
}

void rk3588_scmi_doorbell(RK3588ScmiState *s)
{
    uint32_t mem[RK3588_SCMI_SHMEM_SIZE / 4];
    uint32_t *payload = mem + SHMEM_PAYLOAD / 4;
    ScmiReply reply = { .count = 0 };

    if (s->hung) {
        return;
    }
    if (address_space_read(&s->as, s->shmem, MEMTXATTRS_UNSPECIFIED, mem,
                           sizeof(mem)) != MEMTX_OK) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(mem); i++) {
        mem[i] = le32_to_cpu(mem[i]);
    }

    payload[0] = scmi_dispatch(s, mem, &reply);
    if (s->hung) {
        return;
    }
    if (payload[0] != SCMI_SUCCESS) {
        reply.count = 0;
    }
    memcpy(payload + 1, reply.word, reply.count * 4);
    mem[SHMEM_LENGTH / 4] = 4 + 4 + reply.count * 4;
    mem[SHMEM_CHANNEL_STATUS / 4] = CHANNEL_FREE;
    for (size_t i = 0; i < ARRAY_SIZE(mem); i++) {
        mem[i] = cpu_to_le32(mem[i]);
    }
    address_space_write(&s->as, s->shmem, MEMTXATTRS_UNSPECIFIED, mem,
                        SHMEM_PAYLOAD + 4 + reply.count * 4);
}

static void scmi_set_npu_power(void *opaque, int n, int level)
{
    RK3588_SCMI(opaque)->npu_power = level;
}

static void scmi_set_npu_voltage(void *opaque, int n, int uv)
{
    RK3588ScmiState *s = RK3588_SCMI(opaque);

    s->npu_voltage = uv;
    scmi_update_npu(s);
}

static void rk3588_scmi_reset_hold(Object *obj, ResetType type)
{
    RK3588ScmiState *s = RK3588_SCMI(obj);

    s->hung = false;
    for (int i = 0; i < RK3588_SCMI_NUM_CLOCKS; i++) {
        s->rate[i] = scmi_clocks[i].reset * MHZ;
        s->enabled[i] = true;
    }
}

static void rk3588_scmi_reset_exit(Object *obj, ResetType type)
{
    RK3588ScmiState *s = RK3588_SCMI(obj);

    /* The firmware hands the channel over before it starts the kernel. */
    address_space_stl_le(&s->as, s->shmem + SHMEM_CHANNEL_STATUS, CHANNEL_FREE,
                         MEMTXATTRS_UNSPECIFIED, NULL);
    scmi_update_npu(s);
}

static void rk3588_scmi_realize(DeviceState *dev, Error **errp)
{
    RK3588ScmiState *s = RK3588_SCMI(dev);

    if (!s->memory) {
        error_setg(errp, "memory is not set");
        return;
    }
    address_space_init(&s->as, s->memory, "rk3588-scmi");
}

static void rk3588_scmi_init(Object *obj)
{
    RK3588ScmiState *s = RK3588_SCMI(obj);

    s->npu = qdev_init_clock_out(DEVICE(obj), "npu");
    s->npu_voltage = INT_MAX;
    qdev_init_gpio_in_named(DEVICE(obj), scmi_set_npu_power, "npu-power", 1);
    qdev_init_gpio_in_named(DEVICE(obj), scmi_set_npu_voltage, "npu-voltage",
                            1);
    qdev_init_gpio_out_named(DEVICE(obj), &s->npu_undervolt, "npu-undervolt",
                             1);
}

static const VMStateDescription vmstate_rk3588_scmi = {
    .name = TYPE_RK3588_SCMI,
    .version_id = 2,
    .minimum_version_id = 2,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64_ARRAY(rate, RK3588ScmiState, RK3588_SCMI_NUM_CLOCKS),
        VMSTATE_BOOL_ARRAY(enabled, RK3588ScmiState, RK3588_SCMI_NUM_CLOCKS),
        VMSTATE_BOOL(npu_power, RK3588ScmiState),
        VMSTATE_BOOL(hung, RK3588ScmiState),
        VMSTATE_INT32(npu_voltage, RK3588ScmiState),
        VMSTATE_END_OF_LIST()
    }
};

static const Property rk3588_scmi_properties[] = {
    DEFINE_PROP_LINK("memory", RK3588ScmiState, memory, TYPE_MEMORY_REGION,
                     MemoryRegion *),
    DEFINE_PROP_UINT64("shmem", RK3588ScmiState, shmem, 0),
};

static void rk3588_scmi_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "Rockchip RK3588 SCMI clock service";
    dc->realize = rk3588_scmi_realize;
    dc->vmsd = &vmstate_rk3588_scmi;
    dc->user_creatable = false;
    rc->phases.hold = rk3588_scmi_reset_hold;
    rc->phases.exit = rk3588_scmi_reset_exit;
    device_class_set_props(dc, rk3588_scmi_properties);
}

static const TypeInfo rk3588_scmi_types[] = {
    {
        .name = TYPE_RK3588_SCMI,
        .parent = TYPE_SYS_BUS_DEVICE,
        .instance_size = sizeof(RK3588ScmiState),
        .instance_init = rk3588_scmi_init,
        .class_init = rk3588_scmi_class_init,
    },
};

DEFINE_TYPES(rk3588_scmi_types)
