/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_DEVICE_H__
#define __NPU_DEVICE_H__

#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <drm/drm_device.h>

#include "npu_devfreq.h"
#include "npu_place.h"
#include "npu_reclaim.h"
#include "npu_sched.h"
#include "npu_scrub.h"
#include "npu_sram.h"
#include "npu_usage.h"

struct device;
struct npu_core;
struct npu_coredump;
struct npu_ip;
struct npu_vm;
struct platform_driver;
struct workqueue_struct;

/* Limits; userspace learns them from DRM_NPU_QUERY_DEVICE. */
#define NPU_MAX_JOBS		512
#define NPU_MAX_TASKS		4096
#define NPU_MAX_SYNCS		64
#define NPU_MAX_BUFFERS		1024
#define NPU_MAX_BINDS		1024
#define NPU_MAX_VMS		32
#define NPU_MAX_CTXS		64
#define NPU_MAX_QUEUED		1024
#define NPU_MAX_QUEUED_TASKS	(16 * NPU_MAX_TASKS)
#define NPU_MAX_RESULTS		1024
#define NPU_MAX_PROGRAMS	256
#define NPU_MAX_PROGRAM_SIZE	SZ_4M
#define NPU_MAX_PATCHES		256

/* A job whose hardware makes no progress for this long is hung: */
#define NPU_TIMEOUT_MS		1000
/* ... and what a context may ask for instead */
#define NPU_MIN_TIMEOUT_MS	10
#define NPU_MAX_TIMEOUT_MS	10000

/**
 * struct npu_device - all cores of an NPU, as one DRM device
 */
struct npu_device {
	/** @drm: the DRM device */
	struct drm_device drm;

	/** @ip: the family the cores belong to */
	const struct npu_ip *ip;

	/**
	 * @cores: one for each core the device tree has; a core that is not
	 * bound at this moment is there, too
	 */
	struct npu_core *cores[NPU_MAX_CORES];

	/** @num_cores: entries of @cores in use */
	unsigned int num_cores;

	/** @sched: which job runs where */
	struct npu_sched sched;

	/** @num_ctxs: contexts of all files that have jobs or may get some */
	atomic_t num_ctxs;

	/** @clock: how many cycles that is */
	struct npu_usage_clock clock;

	/** @devfreq: how fast the cores are */
	struct npu_devfreq devfreq;

	/** @sram: on-chip memory, if there is any */
	struct npu_sram sram;

	/** @place: which buffers are in there */
	struct npu_place place;

	/** @reclaim: memory that the system can have back */
	struct npu_reclaim reclaim;

	/** @coredump: notes of the last fault, or NULL */
	struct npu_coredump *coredump;

	/** @scrub: what cores are cleaned with; set before @registered is */
	struct npu_scrub scrub;

	/** @submit_wq: where the DRM schedulers of all contexts work */
	struct workqueue_struct *submit_wq;

	/** @bind_lock: protects @bound and @registered */
	struct mutex bind_lock;

	/** @bound: cores that have been bound at least once, bit n for core n */
	u64 bound;

	/** @registered: @drm is visible to userspace */
	bool registered;

	/** @hw_version: as the cores report it; set before @registered is */
	u32 hw_version;
};

/**
 * to_npu_device() - the NPU of a DRM device
 * @drm: a DRM device of this driver
 *
 * Return: the NPU.
 */
static inline struct npu_device *to_npu_device(struct drm_device *drm)
{
	return container_of(drm, struct npu_device, drm);
}

extern struct platform_driver npu_core_driver;

int npu_device_init(struct npu_device *npu, const struct npu_ip *ip);
int npu_device_core_bound(struct npu_device *npu, struct npu_core *core);
void npu_device_forget_vm(struct npu_device *npu, struct npu_vm *vm);
void npu_device_schedule_locked(struct npu_device *npu);
u64 npu_device_usable(struct npu_device *npu);

int npu_ioctl_query(struct drm_device *drm, void *data, struct drm_file *file);

int npu_facade_register(void);
void npu_facade_unregister(void);

#endif /* __NPU_DEVICE_H__ */
