/*
 * RK3588 NPU register map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Offsets are those of the 64 KiB window of one core.  Only registers the
 * model gives a meaning to are named; the others are storage.
 */

#ifndef HW_NPU_RK3588_NPU_REGS_H
#define HW_NPU_RK3588_NPU_REGS_H

/* Register blocks that exist twice (ping-pong groups), in OP_EN bit order. */
typedef enum NpuBlock {
    NPU_CNA,
    NPU_CORE,
    NPU_DPU,
    NPU_RDMA,           /* DPU_RDMA */
    NPU_PPU,
    NPU_PRDMA,          /* PPU_RDMA */
    NPU_BLOCKS
} NpuBlock;

/* Each block's registers fit in 0x200 bytes. */
#define NPU_BLOCK_REGS      (0x200 / 4)

/* One group of every block. */
typedef struct NpuRegs {
    uint32_t r[NPU_BLOCKS][NPU_BLOCK_REGS];
} NpuRegs;

/* PC */
#define PC_VERSION          0x0000
#define PC_VERSION_NUM      0x0004
#define PC_OPERATION_ENABLE 0x0008
#define PC_BASE_ADDRESS     0x0010
#define   PC_BASE_SLAVE     0x00000001
#define PC_REGISTER_AMOUNTS 0x0014
#define PC_INT_MASK         0x0020
#define PC_INT_CLEAR        0x0024
#define PC_INT_STATUS       0x0028
#define PC_INT_RAW_STATUS   0x002c
#define PC_TASK_CON         0x0030
#define   PC_TASK_NUMBER    0x00000fff
#define   PC_TASK_CLEAR     0x00002000
#define PC_TASK_DMA_BASE    0x0034
#define PC_TASK_STATUS      0x003c

#define PC_INT_BITS         0x0001ffff
#define PC_INT_CNA(g)       (0x15 << (g))   /* feature, weight, CSC */
#define PC_INT_CORE(g)      (1 << (6 + (g)))
#define PC_INT_DPU(g)       (1 << (8 + (g)))
#define PC_INT_PPU(g)       (1 << (10 + (g)))
#define PC_INT_DMA_READ     (1 << 12)
#define PC_INT_DMA_WRITE    (1 << 13)

/* Common to all blocks */
#define BLK_S_STATUS        0x000
#define BLK_S_POINTER       0x004
#define   S_POINTER_POINTER     (1 << 0)
#define   S_POINTER_PP_EN       (1 << 1)
#define   S_POINTER_EXEC_PP_EN  (1 << 2)
#define   S_POINTER_PP_MODE     (1 << 3)
#define   S_POINTER_PP_CLEAR    (1 << 4)
#define   S_POINTER_EXEC_CLEAR  (1 << 5)
#define   S_POINTER_EXECUTER    (1 << 16)
#define BLK_OPERATION_ENABLE 0x008

/* CNA */
#define CNA_CONV_CON1       0x100c
#define CNA_CONV_CON2       0x1010
#define CNA_CONV_CON3       0x1014
#define CNA_DATA_SIZE0      0x1020
#define CNA_DATA_SIZE1      0x1024
#define CNA_DATA_SIZE2      0x1028
#define CNA_DATA_SIZE3      0x102c
#define CNA_WEIGHT_SIZE0    0x1030
#define CNA_WEIGHT_SIZE1    0x1034
#define CNA_WEIGHT_SIZE2    0x1038
#define CNA_CBUF_CON0       0x1040
#define   CBUF_DATA_REUSE   (1 << 12)
#define   CBUF_WEIGHT_REUSE (1 << 13)
#define CNA_CVT_CON0        0x104c
#define CNA_CVT_CON1        0x1050
#define CNA_FC_CON0         0x1060
#define CNA_FC_CON1         0x1064
#define CNA_PAD_CON0        0x1068
#define CNA_FEATURE_ADDR    0x1070
#define CNA_FC_CON2         0x1074
#define CNA_DMA_CON1        0x107c
#define CNA_DMA_CON2        0x1080
#define CNA_FC_DATA_SIZE0   0x1084
#define CNA_FC_DATA_SIZE1   0x1088
#define CNA_DCOMP_CTRL      0x1100
#define CNA_DCOMP_REGNUM    0x1104
#define CNA_DCOMP_ADDR0     0x1110
#define CNA_CVT_CON5        0x1180
#define CNA_PAD_CON1        0x1184

/* CORE */
#define CORE_MAC_GATING     0x300c
#define CORE_MISC_CFG       0x3010
#define CORE_DATAOUT_SIZE_0 0x3014
#define CORE_DATAOUT_SIZE_1 0x3018
#define CORE_CLIP_TRUNCATE  0x301c

/* DPU */
#define DPU_FEATURE_MODE    0x400c
#define DPU_DATA_FORMAT     0x4010
#define DPU_OFFSET_PEND     0x4014
#define DPU_DST_BASE        0x4020
#define DPU_DST_SURF_STRIDE 0x4024
#define DPU_CUBE_WIDTH      0x4030
#define DPU_CUBE_HEIGHT     0x4034
#define DPU_CUBE_NOTCH      0x4038
#define DPU_CUBE_CHANNEL    0x403c
#define DPU_BS_CFG          0x4040
#define DPU_BS_ALU_CFG      0x4044
#define DPU_BS_MUL_CFG      0x4048
#define DPU_BS_RELUX        0x404c
#define DPU_BS_OW_CFG       0x4050
#define DPU_BS_OW_OP        0x4054
#define DPU_WDMA_SIZE_0     0x4058
#define DPU_BN_CFG          0x4060
#define DPU_BN_ALU_CFG      0x4064
#define DPU_BN_MUL_CFG      0x4068
#define DPU_BN_RELUX        0x406c
#define DPU_EW_CFG          0x4070
#define DPU_EW_CVT_OFFSET   0x4074
#define DPU_EW_CVT_SCALE    0x4078
#define DPU_EW_RELUX        0x407c
#define DPU_OUT_CVT_OFFSET  0x4080
#define DPU_OUT_CVT_SCALE   0x4084
#define DPU_OUT_CVT_SHIFT   0x4088
#define DPU_EW_OP_VALUE_0   0x4090
#define DPU_SURFACE_ADD     0x40c0

/* DPU_RDMA */
#define RDMA_CUBE_WIDTH     0x500c
#define RDMA_CUBE_HEIGHT    0x5010
#define RDMA_CUBE_CHANNEL   0x5014
#define RDMA_SRC_BASE       0x5018
#define RDMA_BRDMA_CFG      0x501c
#define RDMA_BS_BASE        0x5020
#define RDMA_NRDMA_CFG      0x5028
#define RDMA_BN_BASE        0x502c
#define RDMA_ERDMA_CFG      0x5034
#define RDMA_EW_BASE        0x5038
#define RDMA_EW_SURF_STRIDE 0x5040
#define RDMA_FEATURE_MODE   0x5044
#define RDMA_SRC_DMA_CFG    0x5048
#define RDMA_SURF_NOTCH     0x504c
#define RDMA_EW_SURF_NOTCH  0x506c

/* PPU */
#define PPU_IN_WIDTH        0x600c
#define PPU_IN_HEIGHT       0x6010
#define PPU_IN_CHANNEL      0x6014
#define PPU_OUT_WIDTH       0x6018
#define PPU_OUT_HEIGHT      0x601c
#define PPU_OUT_CHANNEL     0x6020
#define PPU_OPERATION_MODE  0x6024
#define PPU_KERNEL_CFG      0x6034
#define PPU_RECIP_WIDTH     0x6038
#define PPU_RECIP_HEIGHT    0x603c
#define PPU_PADDING_CFG     0x6040
#define PPU_PADDING_VALUE_1 0x6044
#define PPU_PADDING_VALUE_2 0x6048
#define PPU_DST_BASE        0x6070
#define PPU_DST_SURF_STRIDE 0x607c
#define PPU_DATA_FORMAT     0x6084
#define PPU_MISC_CTRL       0x60dc

/* PPU_RDMA */
#define PRDMA_IN_WIDTH      0x700c
#define PRDMA_IN_HEIGHT     0x7010
#define PRDMA_IN_CHANNEL    0x7014
#define PRDMA_SRC_BASE      0x701c
#define PRDMA_LINE_STRIDE   0x7024
#define PRDMA_SURF_STRIDE   0x7028
#define PRDMA_DATA_FORMAT   0x7030

/* GLOBAL: sets OP_EN of several blocks at once */
#define GLOBAL_OPERATION_ENABLE 0xf008
#define OP_EN_CNA           (1 << 0)
#define OP_EN_CORE          (1 << 2)
#define OP_EN_DPU           (1 << 3)
#define OP_EN_RDMA          (1 << 4)
#define OP_EN_PPU           (1 << 5)
#define OP_EN_PRDMA         (1 << 6)

/* Precision codes */
enum {
    NPU_INT8 = 0, NPU_INT16 = 1, NPU_FP16 = 2, NPU_BF16 = 3,
    NPU_INT32 = 4, NPU_FP32 = 5, NPU_INT4 = 6, NPU_TF32 = 7,
};

/* The register of a group, by its offset in the core's window. */
static inline uint32_t *npu_reg_ptr(NpuRegs *g, uint32_t offset)
{
    static const uint8_t block_of_page[8] = {
        [1] = NPU_CNA, [3] = NPU_CORE, [4] = NPU_DPU, [5] = NPU_RDMA,
        [6] = NPU_PPU, [7] = NPU_PRDMA,
    };

    return &g->r[block_of_page[offset >> 12 & 7]][(offset & 0x1ff) / 4];
}

static inline uint32_t npu_reg(const NpuRegs *g, uint32_t offset)
{
    return *npu_reg_ptr((NpuRegs *)g, offset);
}

/*
 * The manual gives 0 for everything but MAC_GATING.  Streams that leave BS_CFG
 * and BN_CFG as a power-up left them are known to run right, though, and 0
 * there would multiply by an operand of 0: both stages start bypassed.
 */
static inline void npu_regs_reset(NpuRegs *g)
{
    *g = (NpuRegs) { 0 };
    *npu_reg_ptr(g, CORE_MAC_GATING) = 0x07800800;
    *npu_reg_ptr(g, DPU_BS_CFG) = 0x53;
    *npu_reg_ptr(g, DPU_BN_CFG) = 0x53;
}

#endif /* HW_NPU_RK3588_NPU_REGS_H */
