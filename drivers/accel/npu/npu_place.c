// SPDX-License-Identifier: GPL-2.0-only

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/jiffies.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_gem.h"
#include "npu_pages.h"
#include "npu_place.h"
#include "npu_sram.h"
#include "npu_vm.h"

/**
 * DOC: Placement
 *
 * A buffer is in on-chip memory because its creator insisted, or wished it to be.
 * The first is a promise: there is room or there is an error, and then it stays.
 * For the second the buffer moves: out when somebody more important needs the
 * room, in when there is room and its VM is used. Addresses and content stay the
 * same, so nobody who uses the buffer has to know.
 *
 * To move a buffer is what reclaim does, with another end: it is taken out of
 * page tables and CPU mappings while no job uses it, and faults and submits put
 * back what they find then. So there is nothing that could fail after the copy.
 *
 * While it is in on-chip memory, such a buffer keeps the pages that it will need
 * when it has to leave. They are few, as all of them fit into on-chip memory, and
 * they make leaving something that cannot fail and that its owner has paid for;
 * whoever wants the room should not have to find memory for others.
 *
 * Who makes room waits for the jobs of those who leave, but only for so long; a
 * submit that brings a buffer back waits for jobs of its own VM, and does not
 * wait for others at all. Between making room and taking it nobody else gets it.
 */

/* Longest time that one who wants on-chip memory waits for jobs */
#define NPU_PLACE_WAIT_MS	1000

/**
 * npu_place_init() - set up the placement of buffers
 * @npu: the device
 *
 * Return: 0, or a negative error.
 */
int npu_place_init(struct npu_device *npu)
{
	return drmm_mutex_init(&npu->drm, &npu->place.room);
}

/**
 * npu_place_vm_init() - an address space comes into being
 * @vm: the address space
 */
void npu_place_vm_init(struct npu_vm *vm)
{
	spin_lock_init(&vm->place.lock);
	INIT_LIST_HEAD(&vm->place.waiting);
}

static bool hold_bo(void *owner)
{
	struct npu_bo *bo = owner;

	return kref_get_unless_zero(&bo->base.refcount);
}

static void add_waiting(struct npu_bo *bo)
{
	struct npu_place_vm *place = &bo->place.vm->place;
	struct list_head *pos;

	guard(spinlock)(&place->lock);

	list_for_each(pos, &place->waiting)
		if (list_entry(pos, struct npu_bo, place.node)->place.priority <
		    bo->place.priority)
			break;
	list_add_tail(&bo->place.node, pos);
}

static void remove_waiting(struct npu_bo *bo)
{
	guard(spinlock)(&bo->place.vm->place.lock);

	list_del_init(&bo->place.node);
}

/* Only here do the pages get into the CPU cache; nobody else has them cached. */
static void copy_out(struct npu_bo *bo)
{
	for (unsigned long i = 0; i < bo->base.size >> PAGE_SHIFT; i++) {
		void *page = kmap_local_page(bo->pages[i]);

		memcpy_fromio(page, npu_sram_page(bo->sram, i, NULL), PAGE_SIZE);
		kunmap_local(page);
		cond_resched();
	}
	dma_sync_sgtable_for_device(bo->base.dev->dev, bo->sgt, DMA_TO_DEVICE);
}

static void copy_in(struct npu_bo *bo, struct npu_sram_mem *mem)
{
	dma_sync_sgtable_for_cpu(bo->base.dev->dev, bo->sgt, DMA_FROM_DEVICE);
	for (unsigned long i = 0; i < bo->base.size >> PAGE_SHIFT; i++) {
		void *page = kmap_local_page(bo->pages[i]);

		memcpy_toio(npu_sram_page(mem, i, NULL), page, PAGE_SIZE);
		kunmap_local(page);
		cond_resched();
	}
}

/* A preferred buffer that no job uses leaves on-chip memory. */
static void move_out_locked(struct npu_bo *bo)
{
	struct npu_sram_mem *mem = bo->sram;

	dma_resv_assert_held(bo->base.resv);

	npu_bo_unmap_locked(bo);
	copy_out(bo);
	bo->sram = NULL;
	npu_sram_free(mem);
	npu_bo_unpin_locked(bo);
	add_waiting(bo);
}

/* A preferred buffer that no job uses gets on-chip memory. */
static int move_in_locked(struct npu_bo *bo, struct npu_sram_mem *mem)
{
	int ret;

	dma_resv_assert_held(bo->base.resv);

	ret = npu_bo_pin_locked(bo);
	if (ret)
		return ret;

	npu_bo_unmap_locked(bo);
	copy_in(bo, mem);
	bo->sram = mem;
	remove_waiting(bo);
	return 0;
}

/* Waits for all jobs that may use a private buffer. */
static long wait_idle_locked(struct npu_bo *bo, unsigned long deadline)
{
	long left = deadline - jiffies;

	dma_resv_assert_held(bo->base.resv);

	return dma_resv_wait_timeout(bo->base.resv, DMA_RESV_USAGE_BOOKKEEP, true,
				     max(left, 0L));
}

static int ask_to_leave(struct npu_bo *bo, unsigned long deadline)
{
	long ret;

	ret = dma_resv_lock_interruptible(bo->base.resv, NULL);
	if (ret)
		return ret;
	if (bo->sram) {
		ret = wait_idle_locked(bo, deadline);
		if (ret > 0)
			move_out_locked(bo);
	}
	dma_resv_unlock(bo->base.resv);
	return min(ret, 0L);
}

/* The same for one who has locks already, and cannot wait. */
static bool try_to_leave(struct npu_bo *bo)
{
	bool busy;

	if (!dma_resv_trylock(bo->base.resv))
		return false;
	busy = !dma_resv_test_signaled(bo->base.resv, DMA_RESV_USAGE_BOOKKEEP);
	if (!busy && bo->sram)
		move_out_locked(bo);
	dma_resv_unlock(bo->base.resv);
	return !busy;
}

static int make_room(struct npu_device *npu, u64 size, s32 priority)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(NPU_PLACE_WAIT_MS);
	struct npu_sram *sram = &npu->sram;
	struct npu_bo *bo;
	int ret = 0;

	lockdep_assert_held(&npu->place.room);

	npu_sram_forget_tries(sram);
	while (!ret && !npu_sram_fits(sram, size, NPU_SRAM_NONE)) {
		if (!npu_sram_fits(sram, size, priority))
			return -ENOSPC;
		bo = npu_sram_victim(sram, priority, hold_bo);
		if (!bo)
			return -ENOSPC;
		ret = ask_to_leave(bo, deadline);
		npu_bo_put(bo);
	}
	return ret;
}

/* Puts a new buffer into on-chip memory in which there is room. */
static int settle(struct npu_bo *bo, struct npu_sram_mem *mem)
{
	int ret;

	ret = dma_resv_lock_interruptible(bo->base.resv, NULL);
	if (ret)
		return ret;

	ret = npu_sram_fill(mem);
	if (!ret && bo->place.vm)
		ret = npu_bo_pin_locked(bo);
	if (!ret)
		bo->sram = mem;
	dma_resv_unlock(bo->base.resv);
	return ret;
}

static int place_new(struct npu_device *npu, struct npu_bo *bo)
{
	struct npu_vm *vm = bo->place.vm;
	s32 priority = vm ? bo->place.priority : NPU_SRAM_PINNED;
	struct npu_sram_mem *mem;
	int ret;

	mem = npu_sram_alloc(&npu->sram, bo->base.size, bo, priority,
			     vm ? &vm->reclaim.used : NULL);
	if (IS_ERR(mem))
		return PTR_ERR(mem);

	ret = mutex_lock_interruptible(&npu->place.room);
	if (!ret) {
		ret = make_room(npu, bo->base.size, priority);
		if (!ret)
			ret = settle(bo, mem);
		mutex_unlock(&npu->place.room);
	}
	if (ret)
		npu_sram_free(mem);
	return ret;
}

/**
 * npu_place_create() - find a place for a new buffer
 * @bo: the buffer, without memory, which nobody else knows
 * @vm: the VM it is private to, or NULL
 *
 * Return: 0; -ENOSPC when there is no room for a buffer that has to be in
 * on-chip memory; -ENODEV, -ENOMEM, or -EINTR.
 */
int npu_place_create(struct npu_bo *bo, struct npu_vm *vm)
{
	struct drm_device *drm = bo->base.dev;
	struct npu_device *npu = to_npu_device(drm);
	int ret;

	if (!(bo->flags & (DRM_NPU_BO_SRAM | DRM_NPU_BO_SRAM_PREFERRED)))
		return 0;

	if (bo->flags & DRM_NPU_BO_SRAM_PREFERRED) {
		drm_gpuvm_get(&vm->base);
		bo->place.vm = vm;
		INIT_LIST_HEAD(&bo->place.node);
	}

	ret = place_new(npu, bo);
	if (ret == -ENOSPC || ret == -EDQUOT) {
		/* Those who have left may be about to give back what they had. */
		npu_ctx_flush(npu);
		ret = place_new(npu, bo);
	}
	if (ret != -ENOSPC && ret != -EDQUOT)
		return ret;

	if (ret == -EDQUOT)
		drm_dbg(drm, "the cgroup has its share of on-chip memory\n");
	else
		drm_dbg(drm, "no room for %#zx bytes in on-chip memory\n", bo->base.size);
	if (!bo->place.vm)
		return -ENOSPC;

	add_waiting(bo);
	return 0;
}

/**
 * npu_place_free() - a buffer is being freed
 * @bo: the buffer
 */
void npu_place_free(struct npu_bo *bo)
{
	npu_sram_free(bo->sram);
	if (bo->place.vm) {
		remove_waiting(bo);
		drm_gpuvm_put(&bo->place.vm->base);
	}
}

/* The most important buffer that was not tried in this round, with a reference. */
static struct npu_bo *next_waiting_locked(struct npu_vm *vm)
{
	struct npu_place_vm *place = &vm->place;
	struct npu_bo *bo;

	drm_gpuvm_resv_assert_held(&vm->base);

	guard(spinlock)(&place->lock);

	list_for_each_entry(bo, &place->waiting, place.node) {
		if (bo->place.round != place->round && hold_bo(bo)) {
			bo->place.round = place->round;
			return bo;
		}
	}
	return NULL;
}

/* Makes room for a buffer of those who can leave at once; says if others may. */
static int make_room_locked(struct npu_bo *bo, bool *again)
{
	struct npu_sram *sram = &to_npu_device(bo->base.dev)->sram;
	struct npu_bo *other;

	dma_resv_assert_held(bo->base.resv);

	npu_sram_forget_tries(sram);
	while (!npu_sram_fits(sram, bo->base.size, NPU_SRAM_NONE)) {
		other = npu_sram_victim(sram, bo->place.priority, hold_bo);
		if (!other)
			return -ENOSPC;
		/* Those of the same VM are busy with the same jobs. */
		if (other->base.resv != bo->base.resv && !try_to_leave(other))
			*again = true;
		npu_bo_put(other);
	}
	return 0;
}

/* On-chip memory for a buffer that waits for it, or NULL. */
static struct npu_sram_mem *take_room_locked(struct npu_bo *bo, bool *again)
{
	struct npu_device *npu = to_npu_device(bo->base.dev);
	struct npu_sram_mem *mem;
	int ret;

	lockdep_assert_held(&npu->place.room);

	if (!npu_sram_fits(&npu->sram, bo->base.size, bo->place.priority))
		return NULL;

	mem = npu_sram_alloc(&npu->sram, bo->base.size, bo, bo->place.priority,
			     &bo->place.vm->reclaim.used);
	if (IS_ERR(mem))
		return NULL;
	ret = make_room_locked(bo, again);
	if (!ret)
		ret = npu_sram_fill(mem);
	if (ret) {
		npu_sram_free(mem);
		return NULL;
	}
	return mem;
}

/* Returns -ETIME when the VM is too busy. */
static int return_bo_locked(struct npu_bo *bo, bool *again)
{
	struct npu_device *npu = to_npu_device(bo->base.dev);
	struct npu_sram_mem *mem;
	long ret;

	dma_resv_assert_held(bo->base.resv);

	if (!mutex_trylock(&npu->place.room)) {
		*again = true;
		return 0;
	}
	mem = take_room_locked(bo, again);
	mutex_unlock(&npu->place.room);
	if (!mem)
		return 0;

	ret = wait_idle_locked(bo, jiffies + msecs_to_jiffies(NPU_PLACE_WAIT_MS));
	if (!ret)
		ret = -ETIME;
	else if (ret > 0)
		ret = move_in_locked(bo, mem);
	if (ret)
		npu_sram_free(mem);
	return ret;
}

/**
 * npu_place_return_locked() - bring buffers back into on-chip memory
 * @vm: the address space that is about to be used, locked
 *
 * Those that would rather be there, if on-chip memory was given back since the
 * last time. What moves is mapped again by npu_vm_restore_locked().
 *
 * Return: 0, -ENOMEM, or -EINTR.
 */
int npu_place_return_locked(struct npu_vm *vm)
{
	struct npu_place_vm *place = &vm->place;
	struct npu_sram *sram = &vm->npu->sram;
	bool again = false;
	struct npu_bo *bo;
	int ret = 0;

	drm_gpuvm_resv_assert_held(&vm->base);

	if (list_empty(&place->waiting) || place->seen == npu_sram_generation(sram))
		return 0;

	place->round++;
	place->seen = npu_sram_generation(sram);
	while (!ret && (bo = next_waiting_locked(vm))) {
		ret = return_bo_locked(bo, &again);
		npu_bo_put(bo);
	}
	if (ret == -ETIME) {
		/* It gave back what it took. Nobody else did that for it. */
		place->seen = npu_sram_generation(sram);
		return 0;
	}
	if (ret || again)
		place->seen--;
	return ret;
}

/* Takes on-chip memory from a buffer when the device goes. */
static bool evacuate(struct npu_bo *bo)
{
	struct npu_sram_mem *mem = NULL;
	bool done;

	dma_resv_lock(bo->base.resv, NULL);
	done = !bo->sram || npu_vm_trylock_all(bo);
	if (done && bo->sram) {
		if (bo->place.vm) {
			move_out_locked(bo);
		} else {
			npu_bo_unmap_locked(bo);
			swap(mem, bo->sram);
		}
		npu_vm_unlock_all(bo);
	}
	dma_resv_unlock(bo->base.resv);
	npu_sram_free(mem);
	return done;
}

/**
 * npu_place_fini() - take on-chip memory from all buffers
 * @npu: the device, unplugged and without cores
 */
void npu_place_fini(struct npu_device *npu)
{
	struct npu_sram *sram = &npu->sram;
	struct npu_bo *bo;
	bool again;

	npu_sram_close(sram);
	do {
		again = false;
		npu_sram_forget_tries(sram);
		while ((bo = npu_sram_victim(sram, NPU_SRAM_ALL, hold_bo))) {
			again |= !evacuate(bo);
			npu_bo_put(bo);
		}
		if (again)
			msleep(20);
	} while (again);
	npu_sram_wait_empty(sram);
}
