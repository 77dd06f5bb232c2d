/*
 * RK3588 NPU compute engine: tasks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "rk3588_npu_internal.h"

bool npu_refuse(NpuTask *t, uint32_t reg, const char *why)
{
    t->verdict = NPU_REFUSED;
    t->reason.reg = reg;
    t->reason.value = npu_reg(t->regs, reg);
    t->reason.why = why;
    return false;
}

bool npu_fetch(NpuTask *t, uint32_t addr, void *buf, size_t len)
{
    NpuVerdict v = t->dma->read(t->dma->opaque, addr, buf, len);

    t->cost.bytes_read += len;
    if (v != NPU_OK) {
        t->verdict = v;
        t->reason.value = addr;
        t->reason.why = "DMA read";
    }
    return v == NPU_OK;
}

/* Zeroed memory; sizes come from the guest, so they may be absurd. */
void *npu_alloc(NpuTask *t, uint32_t reg, uint64_t size)
{
    void *p = NULL;

    if (size <= NPU_BUFFER_MAX) {
        p = g_try_malloc0(size ? size : 1);
    }
    if (!p) {
        npu_refuse(t, reg, "too large for the model");
    }
    return p;
}

void npu_task_cancel(NpuTask *t)
{
    __atomic_store_n(&t->cancelled, true, __ATOMIC_RELAXED);
}

/* Rows that follow each other in memory are read in one go. */
bool npu_fetch_cube(NpuTask *t, const NpuCube *c, uint8_t *buf)
{
    uint32_t run_addr = 0, run_len = 0;
    uint8_t *run_buf = buf;

    for (int s = 0; s < c->surfaces; s++) {
        for (int y = 0; y < c->lines; y++) {
            uint32_t addr = c->base + s * c->surf_stride + y * c->line_stride;

            if (run_len && addr != run_addr + run_len) {
                if (!npu_fetch(t, run_addr, run_buf, run_len)) {
                    return false;
                }
                run_buf += run_len;
                run_len = 0;
            }
            if (!run_len) {
                run_addr = addr;
            }
            run_len += c->row_bytes;
        }
    }
    return !run_len || npu_fetch(t, run_addr, run_buf, run_len);
}

bool npu_add_surface(NpuTask *t, uint32_t addr)
{
    NpuSurface *s = &t->surf[t->surfaces];

    s->addr = addr;
    s->data = npu_alloc(t, DPU_CUBE_WIDTH, (uint64_t)t->rows * t->row_bytes);
    if (!s->data) {
        return false;
    }
    t->surfaces++;
    t->cost.bytes_written += (uint64_t)t->rows * t->row_bytes;
    return true;
}

static bool task_prepare_blocks(NpuTask *t, uint32_t enable)
{
    const uint32_t conv = OP_EN_CNA | OP_EN_CORE | OP_EN_DPU;

    if (enable == (OP_EN_PPU | OP_EN_PRDMA)) {
        return npu_ppu_prepare(t);
    }
    if (enable == conv || enable == (conv | OP_EN_RDMA)) {
        t->has_conv = t->has_dpu = true;
        return npu_conv_prepare(t) && npu_dpu_prepare(t, enable);
    }
    if (enable == (OP_EN_DPU | OP_EN_RDMA)) {
        t->has_dpu = true;
        return npu_dpu_prepare(t, enable);
    }
    npu_refuse(t, DPU_FEATURE_MODE, "combination of blocks");
    t->reason.reg = GLOBAL_OPERATION_ENABLE;
    t->reason.value = enable;
    return false;
}

NpuVerdict npu_task_prepare(const NpuRegs *regs, uint32_t enable,
                            const NpuDma *dma, NpuCbuf *cbuf,
                            NpuTask **task, NpuReason *reason)
{
    NpuTask *t = g_new0(NpuTask, 1);
    NpuVerdict v;

    t->regs = regs;
    t->dma = dma;
    t->cbuf = cbuf;
    t->conv.cancelled = &t->cancelled;
    task_prepare_blocks(t, enable);
    t->regs = NULL;
    t->dma = NULL;
    t->cbuf = NULL;
    v = t->verdict;
    *reason = t->reason;
    if (v != NPU_OK) {
        npu_task_free(t);
        t = NULL;
    }
    *task = t;
    return v;
}

void npu_task_compute(NpuTask *t)
{
    if (t->has_dpu) {
        npu_dpu_compute(t);
    } else {
        npu_ppu_compute(t);
    }
}

NpuVerdict npu_task_write(const NpuTask *t, NpuDmaWrite write, void *opaque)
{
    bool dense = t->row_pitch == t->row_bytes;

    for (int s = 0; s < t->surfaces; s++) {
        int chunks = dense ? 1 : t->rows;
        size_t len = t->row_bytes * (dense ? t->rows : 1);

        for (int i = 0; t->surf[s].data && i < chunks; i++) {
            NpuVerdict v = write(opaque, t->surf[s].addr + i * t->row_pitch,
                                 t->surf[s].data + i * len, len);
            if (v != NPU_OK) {
                return v;
            }
        }
    }
    return NPU_OK;
}

const NpuCost *npu_task_cost(const NpuTask *t)
{
    return &t->cost;
}

void npu_task_free(NpuTask *t)
{
    if (!t) {
        return;
    }
    for (int s = 0; s < t->surfaces; s++) {
        g_free(t->surf[s].data);
    }
    g_free(t->surf);
    npu_conv_free(&t->conv);
    npu_dpu_free(&t->dpu);
    npu_ppu_free(&t->ppu);
    g_free(t);
}
