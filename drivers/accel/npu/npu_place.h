/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_PLACE_H__
#define __NPU_PLACE_H__

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct npu_bo;
struct npu_device;
struct npu_vm;

/**
 * struct npu_place - who is where, for a device
 */
struct npu_place {
	/**
	 * @room: held by who makes room in on-chip memory, until he has taken
	 * it. Reservation objects are locked under it; the other way round it
	 * is only tried.
	 */
	struct mutex room;
};

/**
 * struct npu_place_vm - who is where, for an address space
 */
struct npu_place_vm {
	/** @lock: protects @waiting; buffers leave without any other lock */
	spinlock_t lock;

	/**
	 * @waiting: buffers that would rather be in on-chip memory, most
	 * important first
	 */
	struct list_head waiting;

	/** @round: number of the last attempt to get them there; locked by the VM */
	u64 round;

	/**
	 * @seen: npu_sram_generation() at the last attempt after which there was
	 * nothing left to be tried; locked by the VM
	 */
	u64 seen;
};

/**
 * struct npu_place_bo - where a buffer would like to be
 */
struct npu_place_bo {
	/**
	 * @vm: the only VM of a preferred buffer; a reference to its memory.
	 * NULL for others.
	 */
	struct npu_vm *vm;

	/** @node: in &npu_place_vm.waiting, while it is not in on-chip memory */
	struct list_head node;

	/** @priority: as given at creation */
	s32 priority;

	/** @round: &npu_place_vm.round of the last attempt for it */
	u64 round;
};

int npu_place_init(struct npu_device *npu);
void npu_place_fini(struct npu_device *npu);

void npu_place_vm_init(struct npu_vm *vm);
int npu_place_return_locked(struct npu_vm *vm);

int npu_place_create(struct npu_bo *bo, struct npu_vm *vm);
void npu_place_free(struct npu_bo *bo);

#endif /* __NPU_PLACE_H__ */
