// SPDX-License-Identifier: GPL-2.0-only

#include <linux/clk.h>
#include <linux/device/faux.h>
#include <linux/of.h>
#include <linux/pm_opp.h>
#include <linux/timekeeping.h>
#include <linux/units.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "npu_core.h"
#include "npu_devfreq.h"
#include "npu_device.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_usage.h"

/**
 * DOC: Speed
 *
 * All cores compute at the rate of one clock. So its speed is not the business
 * of a core: a device of its own below that of the NPU carries the operating
 * points, which come from the node of the first core, and devfreq drives it. The
 * OPP core raises the voltage before the rate and lowers it after. Without
 * operating points in the device tree there is none of this, and the clock stays
 * as it is found.
 *
 * The load is that of the busiest core. One client with one job after the other
 * keeps one core busy, and for it that core is all there is; an average over
 * cores would call that a third. For the same reason the clock goes to full
 * speed at less than full load: who waits for a job before it prepares the next
 * one never keeps a core busy all the time.
 *
 * Where the rate is set is firmware, and it hangs when the NPU has no power at
 * that moment. Nobody but the driver can know whether it has, so a decision of
 * devfreq, which can come at any time, is noted down, and takes effect now only
 * if a core is powered. The last core that loses its power first takes the clock
 * to the lowest rate. With that the power never comes on at a rate that the
 * voltage does not allow, and the supply, which stays on because the power
 * domain has to find it on, goes to its lowest voltage.
 *
 * When a core gets power, it starts its job at once, at that lowest rate; a work
 * brings the clock up, since telling a regulator takes longer than some jobs. It
 * goes to full speed, or what the limits allow: after that pause nothing is
 * known of the load. It takes one sample until it is, and so a burst of work
 * does not begin with a slow phase.
 */

/* Three or four samples until a core that has no more jobs is powered off */
#define NPU_DEVFREQ_POLL_MS	50

/* In percent: beyond this it is full speed */
#define NPU_DEVFREQ_BUSY	60
/* ... and this much below, the clock gets slower */
#define NPU_DEVFREQ_MARGIN	10

/* For a deadline farther off, there is time to see what the load is. */
#define NPU_DEVFREQ_BOOST_MS	(2 * NPU_DEVFREQ_POLL_MS)
/* A deadline that is close, or over, has at least this much effect. */
#define NPU_DEVFREQ_BOOST_MIN_MS	10

/**
 * npu_devfreq_max_hz() - how fast can the cores be?
 * @npu: the device
 *
 * Return: the highest rate of the clock, or 0 when nobody changes it.
 */
unsigned long npu_devfreq_max_hz(struct npu_device *npu)
{
	return npu->devfreq.dev ? npu->devfreq.highest : 0;
}

static bool has_power(struct npu_devfreq *df)
{
	lockdep_assert_held(&df->lock);

	return atomic_read(&df->powered);
}

static int set_rate_locked(struct npu_device *npu, unsigned long rate)
{
	struct npu_devfreq *df = &npu->devfreq;
	int ret;

	lockdep_assert_held(&df->lock);

	ret = dev_pm_opp_set_rate(df->dev, rate);
	if (ret)
		return ret;

	/*
	 * Binding a core gives the clock the rate that is assigned in its node.
	 * The OPP core does not know that, and sees nothing to do.
	 */
	ret = clk_set_rate(df->clk, rate);
	npu_usage_set_rate(npu, clk_get_rate(df->clk));
	return ret;
}

static int npu_devfreq_target(struct device *dev, unsigned long *freq, u32 flags)
{
	struct npu_device *npu = dev_get_drvdata(dev);
	struct npu_devfreq *df = &npu->devfreq;
	struct dev_pm_opp *opp;

	opp = devfreq_recommended_opp(dev, freq, flags);
	if (IS_ERR(opp))
		return PTR_ERR(opp);
	dev_pm_opp_put(opp);

	guard(mutex)(&df->lock);

	df->wanted = *freq;
	return has_power(df) ? set_rate_locked(npu, df->wanted) : 0;
}

static int npu_devfreq_get_cur_freq(struct device *dev, unsigned long *freq)
{
	struct npu_device *npu = dev_get_drvdata(dev);

	*freq = clk_get_rate(npu->devfreq.clk);
	return 0;
}

/* All the time a core has ever been busy, in nanoseconds */
static u64 busy_locked(struct npu_core *core, u64 now)
{
	struct npu_job *job = npu_core_job_locked(core);

	lockdep_assert_held(&core->npu->sched.lock);

	return core->busy_ns + (job && job->since_ns ? now - job->since_ns : 0);
}

/* Called by devfreq, one call at a time */
static int npu_devfreq_get_dev_status(struct device *dev,
				      struct devfreq_dev_status *status)
{
	struct npu_device *npu = dev_get_drvdata(dev);
	struct npu_devfreq *df = &npu->devfreq;
	u64 most = 0, now;

	status->current_frequency = clk_get_rate(df->clk);

	guard(spinlock_irq)(&npu->sched.lock);

	now = ktime_get_raw_ns();
	for (unsigned int i = 0; i < npu->num_cores; i++) {
		u64 busy = busy_locked(npu->cores[i], now);

		most = max(most, busy - df->busy_ns[i]);
		df->busy_ns[i] = busy;
	}

	/* The time of a pause is no answer; that it is unknown, is one. */
	status->busy_time = df->sampled_ns ? most : 0;
	status->total_time = df->sampled_ns ? now - df->sampled_ns : 0;
	df->sampled_ns = now;
	return 0;
}

/* Devfreq does not look after cores that are off. */
static void follow_power(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;
	bool powered = atomic_read(&df->powered);

	if (powered && df->asleep) {
		scoped_guard(spinlock_irq, &npu->sched.lock)
			df->sampled_ns = 0;
		scoped_guard(mutex, &df->devfreq->lock)
			update_devfreq(df->devfreq);
		devfreq_resume_device(df->devfreq);
	} else if (!powered && !df->asleep) {
		devfreq_suspend_device(df->devfreq);
	}
	df->asleep = !powered;
}

static void follow_boost(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;
	s64 left;

	scoped_guard(spinlock_irq, &npu->sched.lock)
		left = ktime_us_delta(df->boost_until, ktime_get());

	if (left <= 0) {
		dev_pm_qos_update_request(&df->boost, 0);
		return;
	}
	dev_pm_qos_update_request(&df->boost, df->highest / HZ_PER_KHZ);
	mod_delayed_work(system_dfl_wq, &df->work, usecs_to_jiffies(left) + 1);
}

static void npu_devfreq_work(struct work_struct *work)
{
	struct npu_device *npu = container_of(to_delayed_work(work),
					      struct npu_device, devfreq.work);
	struct npu_devfreq *df = &npu->devfreq;

	follow_power(npu);
	follow_boost(npu);

	/* What was decided while there was no power, or undone by a probe */
	guard(mutex)(&df->lock);
	if (has_power(df))
		set_rate_locked(npu, df->wanted);
}

/**
 * npu_devfreq_boost_locked() - somebody waits for a job
 * @npu: the device
 * @deadline: when it should be done, CLOCK_MONOTONIC
 *
 * If that is soon, the clock goes to its highest rate until then.
 */
void npu_devfreq_boost_locked(struct npu_device *npu, ktime_t deadline)
{
	struct npu_devfreq *df = &npu->devfreq;
	ktime_t now = ktime_get();

	lockdep_assert_held(&npu->sched.lock);

	if (ktime_compare(deadline, ktime_add_ms(now, NPU_DEVFREQ_BOOST_MS)) > 0)
		return;

	deadline = max(deadline, ktime_add_ms(now, NPU_DEVFREQ_BOOST_MIN_MS));
	if (ktime_compare(deadline, df->boost_until) <= 0)
		return;

	df->boost_until = deadline;
	mod_delayed_work(system_dfl_wq, &df->work, 0);
}

/**
 * npu_devfreq_core_on() - a core has got its power
 * @core: the core
 *
 * A job may wait for this, so it does not: the rate follows later.
 */
void npu_devfreq_core_on(struct npu_core *core)
{
	struct npu_devfreq *df = &core->npu->devfreq;

	atomic_inc(&df->powered);
	mod_delayed_work(system_dfl_wq, &df->work, 0);
}

/**
 * npu_devfreq_core_off() - a core is about to lose its power
 * @core: the core
 */
void npu_devfreq_core_off(struct npu_core *core)
{
	struct npu_devfreq *df = &core->npu->devfreq;

	guard(mutex)(&df->lock);

	if (df->dev && atomic_read(&df->powered) == 1)
		set_rate_locked(core->npu, df->lowest);
	atomic_dec(&df->powered);
	mod_delayed_work(system_dfl_wq, &df->work, 0);
}

/*
 * The clock, its supply and the operating points are found by the node of the
 * device that asks. The facade has none, and cores come and go, so this one
 * borrows theirs.
 */
static int add_dev(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;

	df->faux = faux_device_create(dev_name(npu->drm.dev), npu->drm.dev, NULL);
	if (!df->faux)
		return -ENOMEM;

	df->dev = &df->faux->dev;
	df->dev->of_node = npu->cores[0]->node;
	dev_set_drvdata(df->dev, npu);
	return 0;
}

static void remove_dev(struct npu_devfreq *df)
{
	faux_device_destroy(df->faux);
	df->dev = NULL;
}

static int add_opps(struct npu_device *npu)
{
	const struct npu_ip *ip = npu->ip;
	const char *const clks[] = { ip->clks[ip->compute_clk], NULL };
	const char *const supplies[] = { ip->supplies[ip->compute_supply], NULL };
	struct dev_pm_opp_config config = {
		.clk_names = clks,
		.regulator_names = supplies,
	};
	struct npu_devfreq *df = &npu->devfreq;
	int ret;

	df->clk = devm_clk_get(df->dev, clks[0]);
	if (IS_ERR(df->clk))
		return PTR_ERR(df->clk);

	ret = devm_pm_opp_set_config(df->dev, &config);
	if (ret)
		return ret;

	return devm_pm_opp_of_add_table(df->dev);
}

/* The supply may not be able to do all of them. */
static int find_limits(struct npu_devfreq *df)
{
	struct dev_pm_opp *opp;

	df->lowest = 0;
	opp = dev_pm_opp_find_freq_ceil(df->dev, &df->lowest);
	if (IS_ERR(opp))
		return PTR_ERR(opp);
	dev_pm_opp_put(opp);

	df->highest = ULONG_MAX;
	opp = dev_pm_opp_find_freq_floor(df->dev, &df->highest);
	if (IS_ERR(opp))
		return PTR_ERR(opp);
	dev_pm_opp_put(opp);
	return 0;
}

static int add_devfreq(struct npu_devfreq *df)
{
	int ret;

	ret = find_limits(df);
	if (ret)
		return ret;

	df->wanted = df->lowest;
	df->ondemand.upthreshold = NPU_DEVFREQ_BUSY;
	df->ondemand.downdifferential = NPU_DEVFREQ_MARGIN;
	df->profile = (struct devfreq_dev_profile){
		.initial_freq = df->lowest,
		.polling_ms = NPU_DEVFREQ_POLL_MS,
		/* A CPU that waits for the NPU is idle. */
		.timer = DEVFREQ_TIMER_DELAYED,
		.target = npu_devfreq_target,
		.get_dev_status = npu_devfreq_get_dev_status,
		.get_cur_freq = npu_devfreq_get_cur_freq,
		.is_cooling_device = true,
	};
	df->devfreq = devm_devfreq_add_device(df->dev, &df->profile,
					      DEVFREQ_GOV_SIMPLE_ONDEMAND,
					      &df->ondemand);
	if (IS_ERR(df->devfreq))
		return PTR_ERR(df->devfreq);

	ret = dev_pm_qos_add_request(df->dev, &df->boost, DEV_PM_QOS_MIN_FREQUENCY, 0);
	return min(ret, 0);
}

static int set_up(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;
	int ret;

	ret = add_dev(npu);
	if (ret)
		return ret;

	ret = add_opps(npu);
	if (!ret)
		ret = add_devfreq(df);
	if (ret)
		remove_dev(df);
	return ret;
}

/**
 * npu_devfreq_init() - prepare for a clock to take charge of
 * @npu: the device
 *
 * Return: 0, or a negative error.
 */
int npu_devfreq_init(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;

	INIT_DELAYED_WORK(&df->work, npu_devfreq_work);
	disable_delayed_work(&df->work);
	return drmm_mutex_init(&npu->drm, &df->lock);
}

/**
 * npu_devfreq_probe() - take charge of the clock
 * @npu: the device, with its cores
 *
 * That it cannot be done is no reason to do without an NPU.
 *
 * Return: 0, or -EPROBE_DEFER when the supply is not there yet.
 */
int npu_devfreq_probe(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;
	int ret;

	if (!of_property_present(npu->cores[0]->node, "operating-points-v2"))
		return 0;

	ret = set_up(npu);
	if (ret == -EPROBE_DEFER)
		return ret;
	if (ret) {
		drm_warn(&npu->drm, "cannot use operating points: %d\n", ret);
		return 0;
	}

	enable_delayed_work(&df->work);
	mod_delayed_work(system_dfl_wq, &df->work, 0);
	return 0;
}

/**
 * npu_devfreq_fini() - leave the clock alone
 * @npu: the device, without any core bound
 *
 * Fences may still be told deadlines, which has no effect any more.
 */
void npu_devfreq_fini(struct npu_device *npu)
{
	struct npu_devfreq *df = &npu->devfreq;

	if (!df->dev)
		return;

	disable_delayed_work_sync(&df->work);
	dev_pm_qos_remove_request(&df->boost);
	remove_dev(df);
}
