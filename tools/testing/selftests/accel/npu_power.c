// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clock that all cores share, and the power of each: what devfreq, the
 * thermal framework and runtime PM may set, and what comes of it. Most of it
 * needs root and operating points in the device tree.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <linux/sync_file.h>

#include "kselftest_harness.h"
#include "npu_mem.h"
#include "npu_test.h"

#define DEVFREQ		"/sys/class/devfreq/npu/"
#define COOLING		"/sys/class/thermal/cooling_device%u/%s"
#define MAX_RATES	32

FIXTURE(power)
{
	struct npu_env e;
	struct npu_cores c;
	struct npu_work w;		/* a short one */
	struct npu_work long_w;
	struct drm_npu_task *tasks;	/* of @long_w, for a quarter of a second */
	uint32_t num_tasks;
	uint64_t rate[MAX_RATES];	/* ascending */
	unsigned int num_rates;
	char delay[NPU_CORES_MAX][32];
};

static int get_rate(const char *file, uint64_t *rate)
{
	char path[128], text[64];
	int ret;

	snprintf(path, sizeof(path), DEVFREQ "%s", file);
	ret = npu_read_file(path, text, sizeof(text));
	if (!ret)
		*rate = strtoull(text, NULL, 10);
	return ret;
}

static int set_rate(const char *file, uint64_t rate)
{
	char path[128];

	snprintf(path, sizeof(path), DEVFREQ "%s", file);
	return npu_write_file(path, "%llu", (unsigned long long)rate);
}

/* Devfreq refuses limits that contradict each other. */
static int set_limits(uint64_t min, uint64_t max)
{
	return set_rate("min_freq", 0) ?: set_rate("max_freq", max) ?:
	       set_rate("min_freq", min);
}

static unsigned int get_rates(uint64_t *rate)
{
	unsigned int count = 0;
	char text[1024], *at = text, *end;

	if (npu_read_file(DEVFREQ "available_frequencies", text, sizeof(text)))
		return 0;
	while (count < MAX_RATES) {
		rate[count] = strtoull(at, &end, 10);
		if (end == at)
			break;
		at = end;
		count++;
	}
	return count;
}

static int set_core(const struct npu_cores *c, unsigned int core,
		    const char *file, const char *text)
{
	char path[320];

	npu_core_file(c, core, file, path, sizeof(path));
	return npu_write_file(path, "%s", text);
}

/* Before the first test and after each: no limits, and all as the driver does it */
static int reset_limits(const uint64_t *rate, unsigned int count,
			const struct npu_cores *c)
{
	unsigned int n;
	int ret = set_limits(rate[0], rate[count - 1]);

	if (!ret)
		ret = set_rate("polling_interval", 50);
	for (n = 0; n < c->count && !ret; n++)
		ret = set_core(c, n, "power/control", "auto");
	return ret;
}

FIXTURE_SETUP(power)
{
	unsigned int n;
	char path[320];
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	npu_cores_find(&self->c);
	if (access(NPU_CORE_DRIVER "/unbind", W_OK))
		SKIP(return, "needs root");
	if (self->c.count != self->e.info.num_cores)
		SKIP(return, "cores are not all bound");
	self->num_rates = get_rates(self->rate);
	if (self->num_rates < 2)
		SKIP(return, "no operating points");
	ASSERT_EQ(0, reset_limits(self->rate, self->num_rates, &self->c));
	for (n = 0; n < self->c.count; n++) {
		npu_core_file(&self->c, n, "power/autosuspend_delay_ms", path,
			      sizeof(path));
		ASSERT_EQ(0, npu_read_file(path, self->delay[n],
					   sizeof(self->delay[n])));
	}
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 61));
	ASSERT_EQ(0, npu_work_matmul(&self->e, &self->long_w, 32, 128, 64, 62));
	ASSERT_EQ(0, npu_long_tasks(&self->e, self->e.ctx, &self->long_w, 250,
				    &self->num_tasks));
	self->tasks = npu_repeat(&self->long_w, self->num_tasks);
	ASSERT_NE(NULL, self->tasks);
}

FIXTURE_TEARDOWN(power)
{
	unsigned int n;

	EXPECT_EQ(0, reset_limits(self->rate, self->num_rates, &self->c));
	for (n = 0; n < self->c.count; n++) {
		EXPECT_EQ(0, set_core(&self->c, n, "power/autosuspend_delay_ms",
				      self->delay[n]));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
	free(self->tasks);
	npu_env_close(&self->e);
}

/* The rate that the driver reports for a core, the same for all; or 0 */
static uint64_t clock_rate(const struct npu_env *e)
{
	struct drm_npu_core_info info[NPU_CORES_MAX];
	unsigned int n;

	if (npu_query(e->fd, DRM_NPU_QUERY_CORES, info, sizeof(info)))
		return 0;
	for (n = 1; n < e->info.num_cores; n++)
		if (info[n].clock_hz != info[0].clock_hz)
			return 0;
	return info[0].clock_hz;
}

/* Does the clock get there in time? */
static bool clock_gets_to(const struct npu_env *e, uint64_t rate)
{
	int64_t end = npu_now_ns() + 10000000000ll;

	while (clock_rate(e) != rate) {
		if (npu_now_ns() > end)
			return false;
		npu_sleep_ms(2);
	}
	return true;
}

/* Jobs until @fence ends, one behind the other: there is always one */
static int keep_busy(struct npu_env *e, struct drm_npu_task *tasks,
		     uint32_t count, int fence[2])
{
	fence[0] = npu_run_to_file(e, e->ctx, tasks, count);
	fence[1] = npu_run_to_file(e, e->ctx, tasks, count);
	return fence[0] < 0 ? fence[0] : fence[1] < 0 ? fence[1] : 0;
}

TEST_F(power, all_cores_have_one_clock_with_the_rates_of_the_table)
{
	uint64_t cur, rate = clock_rate(&self->e);
	unsigned int n;

	EXPECT_NE(0, rate);
	for (n = 0; n < self->num_rates && self->rate[n] != rate; n++)
		;
	EXPECT_LT(n, self->num_rates)
		TH_LOG("%llu Hz", (unsigned long long)rate);
	EXPECT_EQ(0, get_rate("cur_freq", &cur));
	for (n = 1; n < self->num_rates; n++) {
		EXPECT_LT(self->rate[n - 1], self->rate[n]);
	}
}

TEST_F(power, every_rate_can_be_had_and_computes_right)
{
	unsigned int n, core;

	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	for (n = 0; n < self->num_rates; n++) {
		ASSERT_EQ(0, set_limits(self->rate[n], self->rate[n]));
		EXPECT_EQ(self->rate[n], clock_rate(&self->e));
		for (core = 0; core < self->c.count; core++) {
			EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, core));
		}
		EXPECT_EQ(self->rate[n], clock_rate(&self->e));
	}
}

/* Limits come and go in the midst of jobs */
TEST_F(power, the_rate_changes_while_jobs_run)
{
	unsigned int n, round = 0;
	int fence[2], changes = 0;

	while (changes < 20 && round++ < 40) {
		ASSERT_EQ(0, npu_work_arm(&self->e, &self->long_w));
		ASSERT_EQ(0, keep_busy(&self->e, self->tasks, self->num_tasks,
				       fence));
		/* It has begun when the driver has the core's power for it. */
		npu_sleep_ms(10);
		for (n = 0; !npu_file_status(fence[1]); n++) {
			uint64_t rate = self->rate[n % self->num_rates];

			ASSERT_EQ(0, set_limits(rate, rate));
			EXPECT_TRUE(clock_gets_to(&self->e, rate) ||
				    npu_file_status(fence[1]));
			changes += !npu_file_status(fence[1]);
		}
		EXPECT_EQ(NPU_DONE, npu_file_wait(fence[0], NPU_PATIENCE_MS));
		EXPECT_EQ(NPU_DONE, npu_file_wait(fence[1], NPU_PATIENCE_MS));
		EXPECT_EQ(0, npu_work_check(&self->e, &self->long_w));
		close(fence[0]);
		close(fence[1]);
	}
	EXPECT_GE(changes, 20);
}

/* How long a task takes, if that is the same every time; 0 if not */
static uint64_t run_time(struct npu_env *e, struct npu_work *w)
{
	uint64_t ns, least = UINT64_MAX, most = 0;
	struct drm_npu_job_result r;
	int n;

	for (n = 0; n < 6; n++) {
		if (npu_run_tasks(e, e->ctx, &w->task, 1, &r) != NPU_DONE)
			return 0;
		ns = r.end_ns - r.start_ns;
		/* The first may have to wake the core. */
		if (n && ns < least)
			least = ns;
		if (n && ns > most)
			most = ns;
	}
	return most - least < least / 50 ? least : 0;
}

/* Of use where the NPU's time is its own, so not with emulated time that runs */
TEST_F(power, a_faster_clock_computes_faster)
{
	uint64_t slow = 0, fast = 0, low = self->rate[0];
	uint64_t high = self->rate[self->num_rates - 1];
	unsigned int tries = 0;
	struct npu_work w;

	ASSERT_EQ(0, npu_work_matmul(&self->e, &w, 128, 1024, 512, 63));
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	while (tries < 5 && (!fast || fast * 3 > slow * 2)) {
		ASSERT_EQ(0, set_limits(low, low));
		slow = run_time(&self->e, &w);
		ASSERT_EQ(0, set_limits(high, high));
		fast = run_time(&self->e, &w);
		if (!slow || !fast)
			break;
		tries++;
	}
	if (!slow || !fast)
		SKIP(return, "time does not repeat here");
	TH_LOG("%llu ns at %llu MHz, %llu ns at %llu MHz",
	       (unsigned long long)slow, (unsigned long long)low / 1000000,
	       (unsigned long long)fast, (unsigned long long)high / 1000000);
	EXPECT_LE(fast * 3, slow * 2);
}

TEST_F(power, the_clock_follows_the_load)
{
	uint64_t high = self->rate[self->num_rates - 1];
	int fence[2], tries;

	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	for (tries = 0; tries < 10; tries++) {
		ASSERT_TRUE(clock_gets_to(&self->e, self->rate[0]));
		ASSERT_EQ(0, keep_busy(&self->e, self->tasks, self->num_tasks,
				       fence));
		while (!npu_file_status(fence[1]) &&
		       clock_rate(&self->e) != high)
			npu_sleep_ms(2);
		if (clock_rate(&self->e) == high)
			break;
		npu_file_wait(fence[1], NPU_PATIENCE_MS);
		close(fence[0]);
		close(fence[1]);
	}
	EXPECT_LT(tries, 10);
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence[1], NPU_PATIENCE_MS));
	EXPECT_TRUE(clock_gets_to(&self->e, self->rate[0]));
	close(fence[0]);
	close(fence[1]);
}

/* Nobody looks at the load here, so it is not that which counts. */
TEST_F(power, a_deadline_makes_the_clock_fast)
{
	uint64_t low = self->rate[0], high = self->rate[self->num_rates - 1];
	struct sync_set_deadline deadline = { 0 };
	uint32_t max = self->e.info.max_tasks, count = self->num_tasks;
	struct drm_npu_task *tasks = npu_repeat(&self->long_w, max);
	int fence[2], tries, raised = 0;

	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	/* Longer when it was over before the deadline came */
	for (tries = 0; tries < 10 && !raised; tries++) {
		EXPECT_TRUE(clock_gets_to(&self->e, low));
		ASSERT_EQ(0, set_rate("polling_interval", 0));
		ASSERT_EQ(0, keep_busy(&self->e, tasks, count, fence));

		/* Too far off to do anything about it now */
		deadline.deadline_ns = npu_now_ns() + 5000000000ll;
		ASSERT_EQ(0, npu_ioctl(fence[0], SYNC_IOC_SET_DEADLINE,
				       &deadline));
		npu_sleep_ms(100);
		EXPECT_EQ(low, clock_rate(&self->e));

		deadline.deadline_ns = npu_now_ns() + 50000000ll;
		ASSERT_EQ(0, npu_ioctl(fence[0], SYNC_IOC_SET_DEADLINE,
				       &deadline));
		if (!npu_file_status(fence[0]))
			raised = clock_gets_to(&self->e, high) ? 1 : -1;
		EXPECT_EQ(NPU_DONE, npu_file_wait(fence[1], NPU_PATIENCE_MS));
		close(fence[0]);
		close(fence[1]);
		ASSERT_EQ(0, set_rate("polling_interval", 50));
		count = count < max / 2 ? 2 * count : max;
		/* One that came just before the end counts until it is over. */
		npu_sleep_ms(200);
	}
	free(tasks);
	EXPECT_EQ(1, raised);
	EXPECT_TRUE(clock_gets_to(&self->e, low));
}

/*
 * Without power the rate must not be touched, which the emulated firmware does
 * not take. So limits wait for the next job, and the last core leaves the clock
 * at its lowest rate.
 */
TEST_F(power, the_clock_rests_while_all_cores_sleep)
{
	uint64_t low = self->rate[0], high = self->rate[self->num_rates - 1];
	unsigned int n, core;

	ASSERT_EQ(0, set_limits(high, high));
	for (core = 0; core < self->c.count; core++) {
		ASSERT_EQ(0, set_core(&self->c, core,
				      "power/autosuspend_delay_ms", "400"));
		ASSERT_EQ(0, npu_work_run_on(&self->e, &self->w, core));
		EXPECT_TRUE(clock_gets_to(&self->e, high));
		ASSERT_TRUE(npu_cores_asleep(&self->c, 10000));
		EXPECT_EQ(low, clock_rate(&self->e));
		for (n = self->num_rates; n--;) {
			ASSERT_EQ(0, set_limits(self->rate[n], self->rate[n]));
			EXPECT_EQ(low, clock_rate(&self->e));
		}
		ASSERT_EQ(0, set_limits(high, high));
		npu_sleep_ms(100);
		EXPECT_TRUE(npu_core_asleep(&self->c, core));
		EXPECT_EQ(low, clock_rate(&self->e));
	}
}

#define REGULATOR	"/sys/class/regulator/regulator.%u/%s"

/* Which of the regulators is it? Only one that can change its voltage. */
static int find_regulator(unsigned int *number)
{
	char path[128], text[64], max[64];

	for (*number = 0; *number < 256; ++*number) {
		snprintf(path, sizeof(path), REGULATOR, *number, "name");
		if (npu_read_file(path, text, sizeof(text)) ||
		    strncmp(text, "vdd_npu_s0", 10))
			continue;
		snprintf(path, sizeof(path), REGULATOR, *number,
			 "min_microvolts");
		if (npu_read_file(path, text, sizeof(text)))
			continue;
		snprintf(path, sizeof(path), REGULATOR, *number,
			 "max_microvolts");
		if (!npu_read_file(path, max, sizeof(max)) && strcmp(text, max))
			return 0;
	}
	return -ENOENT;
}

static long microvolts(unsigned int regulator)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), REGULATOR, regulator, "microvolts");
	return npu_read_file(path, text, sizeof(text)) ? -1 : atol(text);
}

/*
 * A rate without its voltage hangs the emulated NPU, and a task that runs while
 * one of them changes as well. So that the one comes before the other is seen
 * by tasks that end.
 */
TEST_F(power, the_supply_follows_the_clock)
{
	uint64_t low = self->rate[0], high = self->rate[self->num_rates - 1];
	unsigned int regulator, n;
	long uv, last = 0;
	int fence[2];

	if (find_regulator(&regulator))
		SKIP(return, "the supply has a fixed voltage, or another name");
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	for (n = 0; n < self->num_rates; n++) {
		ASSERT_EQ(0, set_limits(self->rate[n], self->rate[n]));
		uv = microvolts(regulator);
		EXPECT_GE(uv, last);
		EXPECT_TRUE(n || uv > 0);
		last = uv;
	}
	ASSERT_EQ(0, keep_busy(&self->e, self->tasks, self->num_tasks, fence));
	for (n = 0; n < 50; n++) {
		ASSERT_EQ(0, set_limits(low, low));
		uv = microvolts(regulator);
		EXPECT_LT(uv, last);
		ASSERT_EQ(0, set_limits(high, high));
		EXPECT_EQ(last, microvolts(regulator));
	}
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence[0], NPU_PATIENCE_MS));
	EXPECT_EQ(NPU_DONE, npu_file_wait(fence[1], NPU_PATIENCE_MS));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->long_w));
	close(fence[0]);
	close(fence[1]);

	/* And it does not stay high while nobody needs it. */
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "auto"));
	ASSERT_TRUE(npu_cores_asleep(&self->c, 10000));
	EXPECT_EQ(uv, microvolts(regulator));
}

/* Which of the cooling devices is the NPU? */
static int find_cooling(unsigned int *number)
{
	char path[128], type[64];

	for (*number = 0; *number < 32; ++*number) {
		snprintf(path, sizeof(path), COOLING, *number, "type");
		if (!npu_read_file(path, type, sizeof(type)) &&
		    !strncmp(type, "devfreq-npu", 11))
			return 0;
	}
	return -ENOENT;
}

TEST_F(power, a_hot_chip_slows_the_clock_down)
{
	uint64_t high = self->rate[self->num_rates - 1];
	unsigned int number, state, max;
	char path[128], text[32];

	if (find_cooling(&number))
		SKIP(return, "no cooling device");
	snprintf(path, sizeof(path), COOLING, number, "max_state");
	ASSERT_EQ(0, npu_read_file(path, text, sizeof(text)));
	max = atoi(text);
	EXPECT_EQ(self->num_rates - 1, max);

	/* Not even those who ask for more get it. */
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	ASSERT_EQ(0, set_limits(high, high));
	snprintf(path, sizeof(path), COOLING, number, "cur_state");
	for (state = max + 1; state--;) {
		ASSERT_EQ(0, npu_write_file(path, "%u", state));
		EXPECT_TRUE(clock_gets_to(&self->e, self->rate[max - state]));
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	}
}

/* Its node assigns a rate to the clock, whatever the others do with it */
TEST_F(power, a_core_that_is_bound_gets_the_clock_of_the_others)
{
	uint64_t high = self->rate[self->num_rates - 1];
	unsigned int n;

	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, set_core(&self->c, (n + 1) % self->c.count,
				      "power/control", "on"));
		ASSERT_EQ(0, set_limits(high, high));
		EXPECT_TRUE(clock_gets_to(&self->e, high));
		ASSERT_EQ(0, npu_core_unbind(&self->c, n));
		ASSERT_EQ(0, npu_core_bind(&self->c, n));
		EXPECT_TRUE(clock_gets_to(&self->e, high));
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
		ASSERT_EQ(0, set_core(&self->c, (n + 1) % self->c.count,
				      "power/control", "auto"));
	}
}

TEST_F(power, the_clock_survives_the_sleep_of_the_system)
{
	uint64_t high = self->rate[self->num_rates - 1];
	unsigned int n;

	if (npu_why_not_sleep())
		SKIP(return, "%s", npu_why_not_sleep());
	ASSERT_EQ(0, set_core(&self->c, 0, "power/control", "on"));
	ASSERT_EQ(0, set_limits(high, high));
	for (n = 0; n < 2; n++) {
		EXPECT_TRUE(clock_gets_to(&self->e, high));
		EXPECT_EQ(0, npu_almost_sleep());
		EXPECT_TRUE(clock_gets_to(&self->e, high));
		EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	}
}

TEST_F(power, how_long_a_core_stays_up_is_for_root_to_say)
{
	unsigned int n;

	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, set_core(&self->c, n, "power/autosuspend_delay_ms",
				      "-1"));
		ASSERT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
	npu_sleep_ms(1000);
	for (n = 0; n < self->c.count; n++) {
		EXPECT_FALSE(npu_core_asleep(&self->c, n));
	}

	for (n = 0; n < self->c.count; n++) {
		ASSERT_EQ(0, set_core(&self->c, n, "power/autosuspend_delay_ms",
				      "0"));
		ASSERT_EQ(0, npu_work_run_on(&self->e, &self->w, n));
	}
	EXPECT_TRUE(npu_cores_asleep(&self->c, 10000));

	/* Every job wakes its core anew. */
	for (n = 0; n < 20 * self->c.count; n++) {
		EXPECT_EQ(0, npu_work_run_on(&self->e, &self->w,
					     n % self->c.count));
	}
}

/* A board whose device tree has no operating points */
FIXTURE(fixed)
{
	struct npu_env e;
	struct npu_work w;
};

FIXTURE_SETUP(fixed)
{
	uint64_t rate[MAX_RATES];
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	if (get_rates(rate) > 1)
		SKIP(return, "there are operating points");
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 63));
}

FIXTURE_TEARDOWN(fixed)
{
	npu_env_close(&self->e);
}

/* Whatever load and deadlines there are, the clock is as the firmware left it. */
TEST_F(fixed, without_operating_points_the_rate_stays)
{
	uint64_t rate = clock_rate(&self->e);
	unsigned int n, core;

	EXPECT_NE(0, access(DEVFREQ, F_OK));
	EXPECT_NE(0, rate);
	for (n = 0; n < 30; n++) {
		for (core = 0; core < self->e.info.num_cores; core++)
			ASSERT_EQ(0, npu_work_run_on(&self->e, &self->w, core));
		EXPECT_EQ(rate, clock_rate(&self->e));
	}
}

TEST_F(fixed, without_operating_points_the_system_sleeps)
{
	uint64_t rate = clock_rate(&self->e);

	if (npu_why_not_sleep())
		SKIP(return, "%s", npu_why_not_sleep());
	EXPECT_EQ(0, npu_almost_sleep());
	EXPECT_EQ(0, npu_work_run(&self->e, self->e.ctx, &self->w));
	EXPECT_EQ(rate, clock_rate(&self->e));
}

TEST_HARNESS_MAIN
