/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_DEVFREQ_H__
#define __NPU_DEVFREQ_H__

#include <linux/atomic.h>
#include <linux/devfreq.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/pm_qos.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "npu_sched.h"

struct clk;
struct device;
struct faux_device;
struct npu_core;
struct npu_device;

/**
 * struct npu_devfreq - the speed of the clock that all cores share
 */
struct npu_devfreq {
	/** @faux: carries the operating points of the device tree, if any */
	struct faux_device *faux;

	/**
	 * @dev: the device of @faux, or NULL; then only @powered, @lock and
	 * @boost_until are in use, without any effect
	 */
	struct device *dev;

	/** @clk: the clock, to see how fast it is */
	struct clk *clk;

	/** @profile: what devfreq was told */
	struct devfreq_dev_profile profile;

	/** @ondemand: what its governor was told */
	struct devfreq_simple_ondemand_data ondemand;

	/** @devfreq: decides how fast it should be */
	struct devfreq *devfreq;

	/** @lowest: rate of the slowest OPP */
	unsigned long lowest;

	/** @highest: rate of the fastest OPP */
	unsigned long highest;

	/** @powered: cores whose power domain is certainly on */
	atomic_t powered;

	/**
	 * @lock: protects @wanted and the rate. Who has it and sees that
	 * @powered is not zero may set the rate: the power stays.
	 */
	struct mutex lock;

	/** @wanted: what devfreq has decided, to be set when there is power */
	unsigned long wanted;

	/**
	 * @work: lets devfreq go to sleep and wake up together with the cores,
	 * begins and ends what npu_devfreq_boost_locked() asks for
	 */
	struct delayed_work work;

	/** @asleep: devfreq does not look at the load; only for @work */
	bool asleep;

	/** @boost: keeps the clock at its highest rate; only for @work */
	struct dev_pm_qos_request boost;

	/**
	 * @boost_until: for how long @boost has to do so; protected by
	 * &npu_sched.lock
	 */
	ktime_t boost_until;

	/**
	 * @sampled_ns: when @busy_ns was read, or 0 if the cores slept since;
	 * protected by &npu_sched.lock
	 */
	u64 sampled_ns;

	/** @busy_ns: busy time of each core at that moment */
	u64 busy_ns[NPU_MAX_CORES];
};

int npu_devfreq_init(struct npu_device *npu);
int npu_devfreq_probe(struct npu_device *npu);
void npu_devfreq_fini(struct npu_device *npu);

void npu_devfreq_core_on(struct npu_core *core);
void npu_devfreq_core_off(struct npu_core *core);

void npu_devfreq_boost_locked(struct npu_device *npu, ktime_t deadline);
unsigned long npu_devfreq_max_hz(struct npu_device *npu);

#endif /* __NPU_DEVFREQ_H__ */
