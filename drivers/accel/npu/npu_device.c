// SPDX-License-Identifier: GPL-2.0-only

#include <linux/bitops.h>
#include <linux/clk.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/platform_device.h>
#include <linux/rcupdate.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include "npu_core.h"
#include "npu_coredump.h"
#include "npu_ctx.h"
#include "npu_debugfs.h"
#include "npu_devfreq.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_place.h"
#include "npu_scrub.h"
#include "npu_vm.h"

/**
 * DOC: One device over all cores
 *
 * The device tree has a node for each core, but userspace should see one NPU:
 * contexts and address spaces that are not tied to a core, and a scheduler that
 * moves work to where there is room. So there is a platform device of the
 * driver's own, the facade, that has no hardware and carries the DRM device.
 *
 * The DRM device appears when the last of the cores that the device tree has
 * was bound, so that nobody meets a device that is half there. From then on
 * cores may be unbound and bound again in any order. The DRM device stays, with
 * all its files, and runs its jobs on the cores it has; while it has none, jobs
 * end with -ENODEV. A core always gets its old number back, because that comes
 * from the register addresses in the device tree.
 *
 * When the facade itself is unbound, the driver core unbinds all cores first,
 * since they are its consumers; then the DRM device is unplugged. Files that
 * are still open keep its memory and this module, but get -ENODEV for every
 * call.
 */

/* Protects npu_the_device. */
static DEFINE_MUTEX(npu_the_lock);
/* The device of the bound facade. */
static struct npu_device *npu_the_device;
static struct platform_device *npu_facade;

static const struct of_device_id npu_of_match[] = {
	{ .compatible = "rockchip,rk3588-rknn-core", .data = &npu_rk3588_ip },
	{ }
};
MODULE_DEVICE_TABLE(of, npu_of_match);

/**
 * npu_device_schedule_locked() - give jobs to all cores that can take some
 * @npu: the device
 *
 * To be called after everything that could make a job or a core available, or
 * take the last core away from a job; such jobs end here.
 */
void npu_device_schedule_locked(struct npu_device *npu)
{
	struct npu_sched *sched = &npu->sched;
	u64 now = ktime_get_raw_ns();

	lockdep_assert_held(&sched->lock);

	npu_job_finish_list_locked(npu, &sched->stranded, -ENODEV);

	for (unsigned int i = 0; i < npu->num_cores; i++)
		if (npu_sched_start(sched, i, true, now))
			npu_core_start_locked(npu->cores[i], now);

	for (unsigned int i = 0; i < npu->num_cores; i++)
		if (npu_sched_start(sched, i, false, now))
			npu_core_start_locked(npu->cores[i], now);

	for (unsigned int i = 0; i < npu->num_cores; i++)
		npu_sched_fill(sched, i, now);
}

/**
 * npu_device_usable() - which cores are there?
 * @npu: the device
 *
 * Return: bit n set for core n.
 */
u64 npu_device_usable(struct npu_device *npu)
{
	return READ_ONCE(npu->sched.present);
}

/**
 * npu_device_forget_vm() - an address space goes away
 * @npu: the device
 * @vm: the address space, which has no jobs any more
 *
 * Cores keep the last address space loaded, without a reference: the memory of
 * a client that has gone should not stay until its core has something to do.
 */
void npu_device_forget_vm(struct npu_device *npu, struct npu_vm *vm)
{
	for (unsigned int i = 0; i < npu->num_cores; i++) {
		struct npu_core *core = npu->cores[i];

		guard(mutex)(&core->lock);
		if (core->vm == vm)
			npu_core_attach(core, NULL);
	}
}

static int answer(struct drm_npu_query *args, const void *data, size_t size)
{
	size_t len = min_t(size_t, args->size, size);

	args->size = size;
	if (copy_to_user(u64_to_user_ptr(args->ptr), data, len))
		return -EFAULT;
	return 0;
}

static int query_device(struct npu_device *npu, struct drm_npu_query *args)
{
	const struct npu_ip *ip = npu->ip;
	struct drm_npu_device_info info = {
		.hw_version = npu->hw_version,
		.num_cores = npu->num_cores,
		.core_mask = npu_device_usable(npu),
		.va_start = npu_vm_start(npu),
		.va_end = npu_vm_end(npu),
		.page_size = PAGE_SIZE,
		.max_bo_size = npu_vm_end(npu) - npu_vm_start(npu),
		.cmd_align = ip->cmd_align,
		.max_cmd_size = ip->max_cmd_size,
		.max_jobs = NPU_MAX_JOBS,
		.max_tasks = NPU_MAX_TASKS,
		.max_syncs = NPU_MAX_SYNCS,
		.max_buffers = NPU_MAX_BUFFERS,
		.max_binds = NPU_MAX_BINDS,
		.max_vms = NPU_MAX_VMS,
		.max_ctxs = NPU_MAX_CTXS,
		.max_queued = NPU_MAX_QUEUED,
		.max_queued_tasks = NPU_MAX_QUEUED_TASKS,
		.timeout_ms = NPU_TIMEOUT_MS,
		.min_timeout_ms = NPU_MIN_TIMEOUT_MS,
		.max_timeout_ms = NPU_MAX_TIMEOUT_MS,
		.max_programs = NPU_MAX_PROGRAMS,
		.max_program_size = NPU_MAX_PROGRAM_SIZE,
		.max_patches = NPU_MAX_PATCHES,
		.max_results = NPU_MAX_RESULTS,
	};

	npu_ctx_describe(&info);
	strscpy_pad(info.family, ip->family, sizeof(info.family));
	return answer(args, &info, sizeof(info));
}

static int query_cores(struct npu_device *npu, struct drm_npu_query *args)
{
	struct drm_npu_core_info info[NPU_MAX_CORES] = { };
	u64 usable = npu_device_usable(npu);

	for (unsigned int i = 0; i < npu->num_cores; i++) {
		struct npu_core *core = npu->cores[i];

		guard(mutex)(&core->lock);
		if (!core->dev)
			continue;
		info[i].clock_hz = clk_get_rate(core->clks[npu->ip->compute_clk].clk);
		info[i].usable = !!(usable & BIT_ULL(i));
	}
	return answer(args, info, npu->num_cores * sizeof(*info));
}

static int query_sram(struct npu_device *npu, struct drm_npu_query *args)
{
	struct drm_npu_sram_info info = { };

	npu_sram_info(&npu->sram, &info);
	return answer(args, &info, sizeof(info));
}

static int query_clock(struct drm_npu_query *args)
{
	struct drm_npu_clock_info info = { };
	struct system_time_snapshot now;

	ktime_get_snapshot_id(CLOCK_MONOTONIC, &now);
	info.hw_ns = ktime_to_ns(now.monoraw);
	info.monotonic_ns = ktime_to_ns(now.systime);
	info.boottime_ns = ktime_to_ns(ktime_mono_to_any(now.systime, TK_OFFS_BOOT));
	return answer(args, &info, sizeof(info));
}

/**
 * npu_ioctl_query() - DRM_IOCTL_NPU_QUERY
 * @drm: the DRM device
 * @data: &struct drm_npu_query
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *npu = to_npu_device(drm);
	struct drm_npu_query *args = data;

	if (!args->ptr && args->size)
		return -EINVAL;

	switch (args->type) {
	case DRM_NPU_QUERY_DEVICE:
		return query_device(npu, args);
	case DRM_NPU_QUERY_CORES:
		return query_cores(npu, args);
	case DRM_NPU_QUERY_SRAM:
		return query_sram(npu, args);
	case DRM_NPU_QUERY_CLOCK:
		return query_clock(args);
	default:
		drm_dbg(drm, "unknown query %u\n", args->type);
		return -EINVAL;
	}
}

/* Start of the first register window. */
static u64 node_address(struct device_node *node)
{
	struct resource res;

	return of_address_to_resource(node, 0, &res) ? U64_MAX : res.start;
}

/* How many nodes come before this one? */
static unsigned int node_rank(struct device_node *node, bool available)
{
	struct device_node *other;
	unsigned int rank = 0;

	for_each_matching_node(other, npu_of_match)
		if ((!available || of_device_is_available(other)) &&
		    node_address(other) < node_address(node))
			rank++;
	return rank;
}

static int create_cores(struct npu_device *npu)
{
	struct device_node *node;

	for_each_matching_node(node, npu_of_match) {
		unsigned int index = node_rank(node, true);
		struct npu_core *core;

		if (!of_device_is_available(node))
			continue;
		if (index >= NPU_MAX_CORES || npu->cores[index]) {
			of_node_put(node);
			return -EINVAL;
		}
		core = npu_core_create(npu, node, index, node_rank(node, false));
		if (IS_ERR(core)) {
			of_node_put(node);
			return PTR_ERR(core);
		}
		npu->cores[index] = core;
		npu->num_cores++;
	}
	return npu->num_cores ? 0 : -ENODEV;
}

static void destroy_wq(struct drm_device *drm, void *wq)
{
	destroy_workqueue(wq);
}

/* Fences of jobs that ended just now may have been told a deadline just before. */
static void wait_for_deadlines(struct drm_device *drm, void *data)
{
	synchronize_rcu();
}

/**
 * npu_device_init() - set up a device without hardware
 * @npu: the device
 * @ip: the family of its cores
 *
 * Return: 0, or a negative error.
 */
int npu_device_init(struct npu_device *npu, const struct npu_ip *ip)
{
	int ret;

	npu->ip = ip;
	npu_sram_init(&npu->sram);

	ret = npu_devfreq_init(npu);
	if (ret)
		return ret;

	ret = drmm_add_action_or_reset(&npu->drm, wait_for_deadlines, NULL);
	if (ret)
		return ret;

	ret = npu_place_init(npu);
	if (ret)
		return ret;

	ret = drmm_mutex_init(&npu->drm, &npu->bind_lock);
	if (ret)
		return ret;

	npu->submit_wq = alloc_workqueue("npu-submit",
					 WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!npu->submit_wq)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(&npu->drm, destroy_wq, npu->submit_wq);
	if (ret)
		return ret;

	ret = npu_reclaim_init(npu);
	if (ret)
		return ret;

	ret = npu_coredump_init(npu);
	if (ret)
		return ret;

	ret = create_cores(npu);
	if (ret)
		return ret;

	npu_sched_init(&npu->sched, npu->num_cores);
	npu_debugfs_init(npu);
	return 0;
}

/**
 * npu_device_core_bound() - a core has got its hardware
 * @npu: the device
 * @core: the core
 *
 * Return: 0, or the error of making the device visible.
 */
int npu_device_core_bound(struct npu_device *npu, struct npu_core *core)
{
	int ret;

	guard(mutex)(&npu->bind_lock);

	npu->bound |= BIT_ULL(core->index);
	if (npu->registered || hweight64(npu->bound) < npu->num_cores)
		return 0;

	ret = npu_scrub_init(npu, core->dev);
	if (!ret)
		ret = drm_dev_register(&npu->drm, 0);
	if (ret)
		npu->bound &= ~BIT_ULL(core->index);
	else
		npu->registered = true;
	return ret;
}

static struct npu_core *find_core(struct npu_device *npu, struct device_node *node)
{
	for (unsigned int i = 0; i < npu->num_cores; i++)
		if (npu->cores[i]->node == node)
			return npu->cores[i];
	return NULL;
}

/*
 * The link makes the driver core unbind all cores before the facade, and bind
 * them again after it. Until it is there, the lock keeps the facade.
 */
static struct npu_core *link_core(struct device *dev)
{
	struct npu_core *core;

	guard(mutex)(&npu_the_lock);

	if (!npu_the_device)
		return ERR_PTR(-EPROBE_DEFER);

	core = find_core(npu_the_device, dev->of_node);
	if (!core)
		return ERR_PTR(-ENODEV);

	if (!device_link_add(dev, npu_the_device->drm.dev,
			     DL_FLAG_AUTOPROBE_CONSUMER))
		return ERR_PTR(-EINVAL);
	return core;
}

static int npu_core_probe(struct platform_device *pdev)
{
	struct npu_core *core;
	int ret;

	core = link_core(&pdev->dev);
	if (IS_ERR(core))
		return PTR_ERR(core);

	ret = npu_core_bind(core, &pdev->dev);
	if (ret)
		return ret;

	ret = npu_device_core_bound(core->npu, core);
	if (ret)
		npu_core_unbind(core);
	return ret;
}

static void npu_core_remove(struct platform_device *pdev)
{
	npu_core_unbind(platform_get_drvdata(pdev));
}

struct platform_driver npu_core_driver = {
	.probe = npu_core_probe,
	.remove = npu_core_remove,
	/*
	 * The IOMMU is shut down next, and from then on lets everything
	 * through: nothing may run on a core by then.
	 */
	.shutdown = npu_core_remove,
	.driver = {
		.name = "npu-core",
		.of_match_table = npu_of_match,
		.pm = pm_ptr(&npu_core_pm_ops),
	},
};

static int npu_facade_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	const struct of_device_id *match;
	struct device_node *node;
	struct npu_device *npu;
	int ret;

	node = of_find_matching_node_and_match(NULL, npu_of_match, &match);
	if (!node)
		return -ENODEV;
	of_node_put(node);

	npu = devm_drm_dev_alloc(dev, &npu_drm_driver, struct npu_device, drm);
	if (IS_ERR(npu))
		return PTR_ERR(npu);

	ret = npu_device_init(npu, match->data);
	if (ret)
		return ret;

	ret = npu_sram_probe(&npu->sram, &npu->drm, npu->cores[0]->node);
	if (ret)
		return ret;

	/* Buffers are mapped for DMA on behalf of this device. */
	dma_set_max_seg_size(dev, UINT_MAX);
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(npu->ip->dma_bits));
	if (ret)
		return ret;

	ret = npu_devfreq_probe(npu);
	if (ret)
		return ret;

	platform_set_drvdata(pdev, npu);
	scoped_guard(mutex, &npu_the_lock)
		npu_the_device = npu;
	return 0;
}

static void npu_facade_remove(struct platform_device *pdev)
{
	struct npu_device *npu = platform_get_drvdata(pdev);

	scoped_guard(mutex, &npu_the_lock)
		npu_the_device = NULL;

	npu_devfreq_fini(npu);

	guard(mutex)(&npu->bind_lock);

	if (npu->registered)
		drm_dev_unplug(&npu->drm);
	npu_place_fini(npu);
}

static struct platform_driver npu_facade_driver = {
	.probe = npu_facade_probe,
	.remove = npu_facade_remove,
	.driver = {
		.name = "npu",
	},
};

/**
 * npu_facade_register() - set up the device that carries the DRM device
 *
 * On a machine without an NPU there is none.
 *
 * Return: 0, or a negative error.
 */
int npu_facade_register(void)
{
	struct platform_device_info info = {
		.name = "npu",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(32),
	};
	struct device_node *node;
	int ret;

	ret = platform_driver_register(&npu_facade_driver);
	if (ret)
		return ret;

	node = of_find_matching_node(NULL, npu_of_match);
	if (!node)
		return 0;
	of_node_put(node);

	npu_facade = platform_device_register_full(&info);
	ret = PTR_ERR_OR_ZERO(npu_facade);
	if (ret)
		platform_driver_unregister(&npu_facade_driver);
	return ret;
}

/**
 * npu_facade_unregister() - undo npu_facade_register()
 */
void npu_facade_unregister(void)
{
	if (npu_facade)
		platform_device_unregister(npu_facade);
	platform_driver_unregister(&npu_facade_driver);
}
