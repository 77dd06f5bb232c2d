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
#define   STREAM_TARGET_ENABLE		  0x0081
#define   STREAM_TARGET_PC		  0x0101
#define STREAM_VALUE			GENMASK_ULL(47, 16)
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

#endif /* __NPU_RKNN_REGS_H__ */
