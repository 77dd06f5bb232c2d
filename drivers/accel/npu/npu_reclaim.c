// SPDX-License-Identifier: GPL-2.0-only

#include <linux/delay.h>
#include <linux/dma-resv.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/swap.h>

#include <drm/drm_managed.h>
#include <drm/npu_accel.h>

#include "npu_device.h"
#include "npu_pages.h"
#include "npu_reclaim.h"
#include "npu_vm.h"

/**
 * DOC: Reclaim
 *
 * The NPU cannot take page faults, so all that is bound in a VM has to be in
 * memory while one of its jobs runs, but only then. Under memory pressure idle
 * buffers go: discardable ones for good, others to swap, from where the next
 * submit fetches them. A submit pays for what is missing and not for what is
 * bound.
 *
 * Jobs do not say which of the private buffers of a VM they use. So these are
 * not ordered one by one: they take their place from their VM, which a submit
 * moves to the end of the line in constant time.
 *
 * Reclaim happens wherever memory is allocated, also under the reservation
 * objects that protect what is reclaimed here. It therefore only tries to lock
 * them, and it frees a buffer without locking anything. To wait for a job is
 * allowed, since no job waits for memory, but not for long.
 */

/* Memory that buffers leave to others: a 16th of it, but not more than this */
#define NPU_RECLAIM_RESERVE	SZ_64M

/* Longest time that one scan waits for jobs */
#define NPU_RECLAIM_WAIT_MS	20

/* How long somebody tries to get memory that others have */
#define NPU_RECLAIM_PATIENCE_MS	2000

static bool is_reclaimable(const struct npu_bo *bo)
{
	return bo->pages && !bo->pins && !(bo->flags & DRM_NPU_BO_RESIDENT);
}

static struct drm_gem_lru *choose_lru(struct npu_bo *bo)
{
	struct npu_reclaim *reclaim = &to_npu_device(bo->base.dev)->reclaim;

	if (!is_reclaimable(bo))
		return NULL;
	if (bo->advice == DRM_NPU_ADVICE_DONTNEED)
		return &reclaim->discardable;

	if (bo->vm)
		return &bo->vm->reclaim.buffers;
	return npu_vm_maps(bo) ? &reclaim->shared : &reclaim->unbound;
}

static void count(struct npu_bo *bo, bool reclaimable)
{
	struct npu_reclaim *reclaim = &to_npu_device(bo->base.dev)->reclaim;
	long pages = bo->base.size >> PAGE_SHIFT;

	if (bo->reclaimable == reclaimable)
		return;
	bo->reclaimable = reclaimable;
	atomic_long_add(reclaimable ? pages : -pages, &reclaim->evictable);
}

/**
 * npu_reclaim_update() - something about a buffer has changed
 * @bo: the buffer, locked
 *
 * Puts it where its state says that it belongs, as the one used last.
 */
void npu_reclaim_update(struct npu_bo *bo)
{
	struct drm_gem_lru *lru;

	dma_resv_assert_held(bo->base.resv);

	lru = choose_lru(bo);
	count(bo, lru && bo->advice != DRM_NPU_ADVICE_DONTNEED);
	if (lru)
		drm_gem_lru_move_tail(lru, &bo->base);
	else
		drm_gem_lru_remove(&bo->base);
}

/**
 * npu_reclaim_forget() - a buffer is being freed
 * @bo: the buffer
 */
void npu_reclaim_forget(struct npu_bo *bo)
{
	count(bo, false);
	drm_gem_lru_remove(&bo->base);
}

/*
 * What buffers have while their VM is locked or busy cannot be reclaimed by
 * anybody. So they must not have everything.
 */
static long reserved_pages(void)
{
	return min(totalram_pages() / 16, NPU_RECLAIM_RESERVE >> PAGE_SHIFT);
}

/**
 * npu_reclaim_has_room() - is there a chance to get memory?
 * @npu: the device
 * @pages: how much
 * @vm: a VM that is locked, so that its buffers cannot make room; or NULL
 *
 * An allocation that is bound to fail would empty the machine first, and
 * somebody else's would then be the one that has somebody killed.
 *
 * Return: false if there is none.
 */
bool npu_reclaim_has_room(struct npu_device *npu, long pages, struct npu_vm *vm)
{
	struct npu_reclaim *reclaim = &npu->reclaim;
	long swappable = atomic_long_read(&reclaim->evictable) +
			 global_node_page_state(NR_ACTIVE_ANON) +
			 global_node_page_state(NR_INACTIVE_ANON);

	if (vm)
		swappable -= READ_ONCE(vm->reclaim.buffers.count);
	return pages + reserved_pages() <=
	       si_mem_available() + READ_ONCE(reclaim->discardable.count) +
	       min(swappable, get_nr_swap_pages());
}

/**
 * npu_reclaim_vm_add() - a VM comes into being
 * @vm: the VM
 */
void npu_reclaim_vm_add(struct npu_vm *vm)
{
	drm_gem_lru_init(&vm->reclaim.buffers);
	INIT_LIST_HEAD(&vm->reclaim.node);
	npu_reclaim_vm_used(vm);
}

/**
 * npu_reclaim_vm_used() - a VM is used
 * @vm: the VM
 */
void npu_reclaim_vm_used(struct npu_vm *vm)
{
	struct npu_reclaim *reclaim = &vm->npu->reclaim;

	guard(mutex)(&vm->npu->drm.gem_lru_mutex);

	vm->reclaim.used = ++reclaim->uses;
	list_move_tail(&vm->reclaim.node, &reclaim->vms);
}

/**
 * npu_reclaim_vm_remove() - a VM goes
 * @vm: the VM, of which nothing is left
 */
void npu_reclaim_vm_remove(struct npu_vm *vm)
{
	guard(mutex)(&vm->npu->drm.gem_lru_mutex);

	list_del_init(&vm->reclaim.node);
}

static bool is_idle(struct npu_bo *bo)
{
	return dma_resv_test_signaled(bo->base.resv, DMA_RESV_USAGE_BOOKKEEP) &&
	       npu_vm_all_idle_locked(bo);
}

/* Its reservation object is locked. */
static bool reclaim_bo(struct drm_gem_object *obj, struct ww_acquire_ctx *ticket)
{
	struct npu_bo *bo = to_npu_bo(obj);
	bool reclaimed = false;

	if (!npu_vm_trylock_all(bo))
		return false;

	if (is_reclaimable(bo) && is_idle(bo)) {
		npu_bo_unmap_locked(bo);
		if (bo->advice == DRM_NPU_ADVICE_DONTNEED) {
			npu_bo_purge_locked(bo);
			npu_vm_forget_evicted_locked(bo);
		} else {
			npu_bo_drop_locked(bo);
		}
		reclaimed = true;
	}
	npu_vm_unlock_all(bo);
	return reclaimed;
}

static unsigned long scan_lru(struct npu_device *npu, struct drm_gem_lru *lru,
			      unsigned long pages)
{
	unsigned long remaining;

	if (!READ_ONCE(lru->count))
		return 0;
	return drm_gem_lru_scan(&npu->drm, lru, pages, &remaining, reclaim_bo, NULL);
}

/*
 * The next VM in line behind @prev, which was used @used; with a reference to its
 * memory.
 */
static struct npu_vm *next_vm(struct npu_device *npu, struct npu_vm *prev, u64 used,
			      u64 last)
{
	struct list_head *vms = &npu->reclaim.vms;
	struct npu_vm *vm;

	guard(mutex)(&npu->drm.gem_lru_mutex);

	/* Start over if it has left its place. */
	if (prev && !list_empty(&prev->reclaim.node) && prev->reclaim.used == used)
		vm = list_next_entry(prev, reclaim.node);
	else
		vm = list_first_entry(vms, struct npu_vm, reclaim.node);

	list_for_each_entry_from(vm, vms, reclaim.node) {
		if (vm->reclaim.used > last)
			break;
		if (vm->reclaim.used > used && vm->reclaim.buffers.count &&
		    kref_get_unless_zero(&vm->base.kref))
			return vm;
	}
	return NULL;
}

/* Private buffers, those of the VM first that was not used for longest. */
static unsigned long scan_vms(struct npu_device *npu, unsigned long pages,
			      unsigned long wait)
{
	unsigned long freed = 0, deadline = jiffies + wait;
	u64 used = 0, last = READ_ONCE(npu->reclaim.uses);
	struct npu_vm *vm = NULL, *next;

	while (freed < pages) {
		next = next_vm(npu, vm, used, last);
		if (vm)
			drm_gpuvm_put(&vm->base);
		vm = next;
		if (!vm)
			break;

		used = READ_ONCE(vm->reclaim.used);
		if (wait && time_before(jiffies, deadline))
			dma_resv_wait_timeout(drm_gpuvm_resv(&vm->base),
					      DMA_RESV_USAGE_BOOKKEEP, false,
					      deadline - jiffies);
		freed += scan_lru(npu, &vm->reclaim.buffers, pages - freed);
	}
	if (vm)
		drm_gpuvm_put(&vm->base);
	return freed;
}

static unsigned long scan_idle(struct npu_device *npu, unsigned long pages)
{
	struct npu_reclaim *reclaim = &npu->reclaim;
	unsigned long freed;

	freed = scan_lru(npu, &reclaim->discardable, pages);
	if (get_nr_swap_pages() <= 0)
		return freed;

	if (freed < pages)
		freed += scan_lru(npu, &reclaim->unbound, pages - freed);
	if (freed < pages)
		freed += scan_vms(npu, pages - freed, 0);
	if (freed < pages)
		freed += scan_lru(npu, &reclaim->shared, pages - freed);
	return freed;
}

static unsigned long scan_busy(struct npu_device *npu, unsigned long pages)
{
	unsigned long freed;

	freed = scan_vms(npu, pages, msecs_to_jiffies(NPU_RECLAIM_WAIT_MS));
	if (freed < pages)
		freed += scan_lru(npu, &npu->reclaim.shared, pages - freed);
	return freed;
}

static void give_up(struct npu_patience *patience)
{
	if (patience->alone)
		mutex_unlock(&patience->npu->reclaim.last_resort);
	patience->alone = false;
}

/**
 * npu_reclaim_again() - is it worth another try?
 * @patience: as the caller has set it up, with the device and the pages
 * @ret: what came of the last try, which has unlocked everything
 *
 * When several restore what they need at the same time, each keeps from the
 * others what it has got so far, and all may fail although there is enough for
 * any one of them. So who fails tries again, one at a time, until what the
 * others use becomes free. What it had locked itself, and so kept from being
 * reclaimed, is reclaimed here.
 *
 * Return: true if the caller is to try again. If not, @ret may have become
 * -EINTR.
 */
bool npu_reclaim_again(struct npu_patience *patience, int *ret)
{
	struct mutex *lock = &patience->npu->reclaim.last_resort;

	if (*ret != -ENOMEM) {
		give_up(patience);
		return false;
	}
	if (!patience->alone) {
		if (mutex_lock_interruptible(lock)) {
			*ret = -EINTR;
			return false;
		}
		patience->alone = true;
		patience->deadline = jiffies + msecs_to_jiffies(NPU_RECLAIM_PATIENCE_MS);
	}
	if (time_after(jiffies, patience->deadline)) {
		give_up(patience);
		return false;
	}
	if (patience->pages && scan_idle(patience->npu, patience->pages))
		return true;
	if (msleep_interruptible(NPU_RECLAIM_WAIT_MS)) {
		*ret = -EINTR;
		give_up(patience);
		return false;
	}
	return true;
}

static unsigned long npu_reclaim_count(struct shrinker *shrinker,
				       struct shrink_control *sc)
{
	struct npu_device *npu = shrinker->private_data;
	struct npu_reclaim *reclaim = &npu->reclaim;
	long pages;

	pages = min(atomic_long_read(&reclaim->evictable), get_nr_swap_pages());
	pages = max(pages, 0) + READ_ONCE(reclaim->discardable.count);
	return pages ?: SHRINK_EMPTY;
}

static unsigned long npu_reclaim_scan(struct shrinker *shrinker,
				      struct shrink_control *sc)
{
	struct npu_device *npu = shrinker->private_data;
	unsigned long freed;

	freed = scan_idle(npu, sc->nr_to_scan);
	if (!freed && get_nr_swap_pages() > 0 && gfpflags_allow_blocking(sc->gfp_mask))
		freed = scan_busy(npu, sc->nr_to_scan);
	return freed ?: SHRINK_STOP;
}

static void free_shrinker(struct drm_device *drm, void *data)
{
	shrinker_free(data);
}

/**
 * npu_reclaim_init() - let the system have memory back
 * @npu: the device
 *
 * Return: 0, or a negative error.
 */
int npu_reclaim_init(struct npu_device *npu)
{
	struct npu_reclaim *reclaim = &npu->reclaim;
	int ret;

	drm_gem_lru_init(&reclaim->discardable);
	drm_gem_lru_init(&reclaim->unbound);
	drm_gem_lru_init(&reclaim->shared);
	INIT_LIST_HEAD(&reclaim->vms);
	ret = drmm_mutex_init(&npu->drm, &reclaim->last_resort);
	if (ret)
		return ret;

	/* Let lockdep know at once what it would learn under pressure only. */
	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&npu->drm.gem_lru_mutex);
	fs_reclaim_release(GFP_KERNEL);

	reclaim->shrinker = shrinker_alloc(0, "drm-npu");
	if (!reclaim->shrinker)
		return -ENOMEM;
	reclaim->shrinker->count_objects = npu_reclaim_count;
	reclaim->shrinker->scan_objects = npu_reclaim_scan;
	reclaim->shrinker->private_data = npu;
	shrinker_register(reclaim->shrinker);
	return drmm_add_action_or_reset(&npu->drm, free_shrinker, reclaim->shrinker);
}
