/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_RKNN_REGS_H__
#define __NPU_RKNN_REGS_H__

#include <linux/bits.h>

/* Where the units are in the window of a core, and how streams address them */
#define RKNN_PC_OFFSET			0x0000
#define RKNN_CNA_OFFSET			0x1000
#define RKNN_CORE_OFFSET		0x3000

/* PC: fetches command streams, counts tasks, raises the interrupt */
#define PC_VERSION			0x00
#define PC_VERSION_NUM			0x04
#define   PC_VERSION_NUM_MASK		  GENMASK(15, 0)
#define PC_OPERATION_ENABLE		0x08
#define   PC_OPERATION_ENABLE_OP_EN	  BIT(0)
#define PC_BASE_ADDRESS			0x10
#define   PC_BASE_ADDRESS_MASK		  GENMASK(31, 4)
#define   PC_BASE_ADDRESS_PC_SEL	  BIT(0)	/* the CPU programs the blocks */
#define PC_REGISTER_AMOUNTS		0x14
#define   PC_REGISTER_AMOUNTS_MASK	  GENMASK(15, 0)
#define PC_INT_MASK			0x20
#define PC_INT_CLEAR			0x24
#define PC_INT_STATUS			0x28
#define PC_INT_RAW_STATUS		0x2c
#define   PC_INT_DPU			  GENMASK(9, 8)
#define   PC_INT_PPU			  GENMASK(11, 10)
#define   PC_INT_DMA_READ_ERROR		  BIT(12)
#define   PC_INT_DMA_WRITE_ERROR	  BIT(13)
#define   PC_INT_ALL			  GENMASK(16, 0)
#define PC_TASK_CON			0x30
#define   PC_TASK_CON_NUMBER		  GENMASK(11, 0)
#define   PC_TASK_CON_PP_EN		  BIT(12)
#define   PC_TASK_CON_COUNT_CLEAR	  BIT(13)
#define   PC_TASK_CON_UNKNOWN		  BIT(14)	/* every driver sets it */
#define PC_TASK_DMA_BASE_ADDR		0x34
#define PC_TASK_STATUS			0x3c
#define   PC_TASK_STATUS_FINISHED	  GENMASK(11, 0)

/* Words of a command stream: what to do, with which value, at which register */
#define STREAM_TARGET			GENMASK_ULL(63, 48)
#define   STREAM_TARGET_WRITE		  BIT(0)	/* with the bit of a unit */
#define   STREAM_TARGET_FENCE		  0x0041	/* before the start */
#define   STREAM_TARGET_ENABLE		  0x0081
#define   STREAM_TARGET_PC		  0x0101
#define STREAM_VALUE			GENMASK_ULL(47, 16)
#define   STREAM_VALUE_CONV		  0x1d		/* CNA, CORE, DPU, DPU_RDMA */
#define STREAM_OFFSET			GENMASK_ULL(15, 0)

/* The units, each at the start of its own window */
#define UNIT_S_STATUS			0x00
#define   UNIT_S_STATUS_GROUPS		  (GENMASK(17, 16) | GENMASK(1, 0))
#define UNIT_S_POINTER			0x04
#define   UNIT_S_POINTER_POINTER	  BIT(0)
#define   UNIT_S_POINTER_POINTER_PP_EN	  BIT(1)
#define   UNIT_S_POINTER_EXECUTER_PP_EN	  BIT(2)
#define   UNIT_S_POINTER_POINTER_PP_MODE  BIT(3)
#define   UNIT_S_POINTER_CORE		  GENMASK(29, 28)
#define   UNIT_S_POINTER_PINGPONG	  (UNIT_S_POINTER_POINTER_PP_EN | \
					   UNIT_S_POINTER_EXECUTER_PP_EN | \
					   UNIT_S_POINTER_POINTER_PP_MODE)

/* What ends a task, as &drm_npu_task.done_unit has it */
#define RKNN_DONE_DPU			0
#define RKNN_DONE_PPU			1

/* Registers of the units, by their offset in the window of the core */
#define CNA_CONV_CON2			0x1010
#define   CNA_CONV_CON2_GRAINS		  GENMASK(13, 4)
#define CNA_CONV_CON3			0x1014
#define   CNA_CONV_CON3_STRIDE_1	  (BIT(3) | BIT(0))
#define CNA_DATA_SIZE0			0x1020
#define CNA_DATA_SIZE1			0x1024
#define CNA_DATA_SIZE2			0x1028
#define CNA_DATA_SIZE3			0x102c
#define CNA_WEIGHT_SIZE0		0x1030
#define CNA_WEIGHT_SIZE1		0x1034
#define CNA_WEIGHT_SIZE2		0x1038
#define CNA_CBUF_CON0			0x1040
#define   CNA_CBUF_CON0_WEIGHT_BANKS	  GENMASK(7, 4)
#define   CNA_CBUF_CON0_DATA_BANKS	  GENMASK(3, 0)
#define CNA_CBUF_CON1			0x1044
#define CNA_CVT_CON0			0x104c
#define   CNA_CVT_CON0_NONE		  0xb		/* signed input, as it is */
#define CNA_CVT_CON1			0x1050
#define   CNA_CVT_CON1_SCALE_1		  BIT(16)
#define CNA_CVT_CON2			0x1054
#define CNA_CVT_CON3			0x1058
#define CNA_CVT_CON4			0x105c
#define CNA_FEATURE_ADDR		0x1070
#define CNA_DMA_CON0			0x1078
#define   CNA_DMA_CON0_LONG_BURSTS	  0x000f000f
#define CNA_DMA_CON1			0x107c
#define CNA_DMA_CON2			0x1080
#define CNA_FC_DATA_SIZE0		0x1084
#define CNA_FC_DATA_SIZE1		0x1088
#define CNA_DCOMP_ADDR0			0x1110
#define CORE_DATAOUT_SIZE_0		0x3014
#define CORE_DATAOUT_SIZE_1		0x3018
#define DPU_S_POINTER			0x4004
#define DPU_FEATURE_MODE		0x400c
#define   DPU_FEATURE_MODE_CONV_TO_MEMORY 0x1e4
#define DPU_DST_BASE			0x4020
#define DPU_DST_SURF_STRIDE		0x4024
#define DPU_CUBE_WIDTH			0x4030
#define DPU_CUBE_HEIGHT			0x4034
#define DPU_CUBE_CHANNEL		0x403c
#define DPU_BS_CFG			0x4040
#define   DPU_BS_CFG_BYPASS		  0x53
#define DPU_BS_OW_CFG			0x4050
#define   DPU_BS_OW_CFG_SIZE_E_1	  0x124
#define   DPU_BS_OW_CFG_OD_BYPASS	  BIT(1)
#define DPU_WDMA_SIZE_0			0x4058
#define DPU_WDMA_SIZE_1			0x405c
#define DPU_BN_CFG			0x4060
#define DPU_EW_CFG			0x4070
#define   DPU_EW_CFG_BYPASS		  0x383
#define DPU_EW_CVT_SCALE		0x4078
#define DPU_OUT_CVT_OFFSET		0x4080
#define DPU_OUT_CVT_SCALE		0x4084
#define DPU_SURFACE_ADD			0x40c0
#define RDMA_S_POINTER			0x5004
#define RDMA_CUBE_WIDTH			0x500c
#define RDMA_CUBE_HEIGHT		0x5010
#define RDMA_CUBE_CHANNEL		0x5014
#define RDMA_ERDMA_CFG			0x5034
#define   RDMA_ERDMA_CFG_DISABLE	  BIT(0)
#define RDMA_FEATURE_MODE		0x5044
#define   RDMA_FEATURE_MODE_NO_MRDMA	  0x7810
#define RDMA_WEIGHT			0x5068
#define   RDMA_WEIGHT_EQUAL		  0x01010101

#endif /* __NPU_RKNN_REGS_H__ */
