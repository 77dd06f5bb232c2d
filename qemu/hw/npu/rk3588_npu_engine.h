/*
 * RK3588 NPU compute engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The arithmetic of the CNA, CORE, DPU and PPU blocks, without any device:
 * registers and a DMA read callback go in, bytes to write come out.  A task
 * lives through four steps:
 *
 *   npu_task_prepare()  checks the registers, reads every input, by DMA or
 *                       from the on-chip buffer
 *   npu_task_compute()  pure computation on the private copies; any thread
 *   npu_task_write()    hands the result to a DMA write callback
 *   npu_task_free()
 *
 * What the model does not implement, or what nothing public says about the
 * silicon, is refused in the first step: the caller lets the task hang, as a
 * bad configuration does on silicon, and names the register that caused it.
 */

#ifndef HW_NPU_RK3588_NPU_ENGINE_H
#define HW_NPU_RK3588_NPU_ENGINE_H

#include "rk3588_npu_regs.h"

typedef enum NpuVerdict {
    NPU_OK,
    NPU_REFUSED,        /* not implemented or a known trap: hangs */
    NPU_STALLED,        /* an access the IOMMU refused: hangs */
    NPU_BUS_ERROR,      /* an access that failed behind the IOMMU */
} NpuVerdict;

/* Why npu_task_prepare() did not return NPU_OK. */
typedef struct NpuReason {
    uint32_t reg;       /* offset in the core's window */
    uint32_t value;
    const char *why;
} NpuReason;

typedef NpuVerdict (*NpuDmaRead)(void *opaque, uint32_t addr,
                                 void *buf, size_t len);
typedef NpuVerdict (*NpuDmaWrite)(void *opaque, uint32_t addr,
                                  const void *buf, size_t len);

typedef struct NpuDma {
    NpuDmaRead read;
    void *opaque;
} NpuDma;

/*
 * The CBUF: features and weights of a convolution pass through it and stay
 * there until something else takes their place.
 */
#define NPU_CBUF_BANKS      12
#define NPU_CBUF_BANK_SIZE  32768

typedef struct NpuCbuf {
    uint8_t data[NPU_CBUF_BANKS * NPU_CBUF_BANK_SIZE];
} NpuCbuf;

/*
 * What the cost model needs to know about a task.  Cycles are cycles of the
 * compute clock; the blocks work in a pipeline, so they overlap.
 */
typedef struct NpuCost {
    uint64_t mac_cycles;        /* MAC array */
    uint64_t post_cycles;       /* DPU or PPU */
    uint64_t bytes_read;
    uint64_t bytes_written;
} NpuCost;

typedef struct NpuTask NpuTask;

/*
 * Take over the registers of @regs for the blocks in @enable (OP_EN bits) and
 * read all inputs.  *@task is NULL unless the verdict is NPU_OK.
 */
NpuVerdict npu_task_prepare(const NpuRegs *regs, uint32_t enable,
                            const NpuDma *dma, NpuCbuf *cbuf,
                            NpuTask **task, NpuReason *reason);

/* Returns early, with garbage, when npu_task_cancel() was called. */
void npu_task_compute(NpuTask *task);

/* May be called from any thread. */
void npu_task_cancel(NpuTask *task);

/* Writes the result in address order of the hardware's own loop. */
NpuVerdict npu_task_write(const NpuTask *task, NpuDmaWrite write,
                          void *opaque);

const NpuCost *npu_task_cost(const NpuTask *task);

void npu_task_free(NpuTask *task);

#endif /* HW_NPU_RK3588_NPU_ENGINE_H */
