/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the npu accel driver share.
 *
 * Calls return 0 or a negative errno, so that a test can name the one it
 * expects. Nothing here prints or judges; that is for the tests.
 */
#ifndef NPU_TEST_H
#define NPU_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/drm.h>
#include <drm/npu_accel.h>

#include "npu_rknn_cmd.h"

/* Longer than anything should take, also on an emulated machine */
#define NPU_PATIENCE_MS		60000

/* The same for tests as a whole, when the kernel checks itself as well */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	180
#endif

/* What output buffers hold before a job has run */
#define NPU_CANARY		0xa5

/* A device file with one address space and one context of any core */
struct npu_env {
	int fd;
	int node;	/* number of the device file */
	uint32_t vm;
	uint32_t ctx;
	struct drm_npu_device_info info;
};

/* A buffer with its CPU mapping and, once bound, its address */
struct npu_bo {
	uint32_t handle;
	uint32_t flags;
	uint64_t size;
	uint64_t va;
	uint8_t *map;
};

/* A task with all its buffers and the bytes it must produce */
enum npu_work_bo {
	NPU_CMD,
	NPU_IN,
	NPU_AUX,	/* weights, or the second operand */
	NPU_BIAS,
	NPU_OUT,
	NPU_WORK_BOS,
};

struct npu_work {
	struct npu_bo bo[NPU_WORK_BOS];
	struct rknn_stream stream;
	struct drm_npu_task task;
	uint8_t *expect;	/* of the whole output buffer */
};

int npu_ioctl(int fd, unsigned long request, void *arg);

/* -ENODEV without a device that the npu driver runs */
int npu_open_node(int node);
int npu_find_node(void);
int npu_query(int fd, uint32_t type, void *data, uint32_t size);
int npu_env_open(struct npu_env *e);
int npu_env_open_plain(struct npu_env *e);
void npu_env_close(struct npu_env *e);
unsigned int npu_first_core(const struct npu_env *e);
uint64_t npu_next_core(uint64_t mask, unsigned int *core);

int npu_vm_create(int fd, uint32_t *vm);
int npu_vm_destroy(int fd, uint32_t vm);
int npu_ctx_create(int fd, uint32_t vm, uint64_t core_mask, uint32_t *ctx);
int npu_ctx_destroy(int fd, uint32_t ctx);
int npu_ctx_query(int fd, uint32_t ctx, struct drm_npu_ctx_query *query);
int npu_ctx_set(int fd, uint32_t ctx, const struct drm_npu_ctx_set *set);

int npu_bo_create(int fd, uint64_t size, uint32_t flags, uint32_t vm,
		  uint32_t *handle);
int npu_bo_mmap(int fd, struct npu_bo *bo);
int npu_bo_new(int fd, uint64_t size, uint32_t flags, uint32_t vm,
	       struct npu_bo *bo);
int npu_bo_sync(int fd, const struct npu_bo *bo, uint32_t dir);
int npu_bo_wait(int fd, uint32_t handle, uint32_t flags, int64_t timeout_ms);
int npu_gem_close(int fd, uint32_t handle);
int npu_export(int fd, uint32_t handle);
void npu_bo_free(int fd, struct npu_bo *bo);

int npu_bind(int fd, uint32_t vm, struct drm_npu_bind_op *ops, uint32_t count,
	     uint32_t *done);
int npu_map(int fd, uint32_t vm, struct npu_bo *bo, uint32_t flags);
int npu_map_at(int fd, uint32_t vm, uint32_t handle, uint64_t va, uint64_t size,
	       uint64_t bo_offset, uint32_t flags);
int npu_unmap(int fd, uint32_t vm, uint64_t va, uint64_t size);

/* Arrays of the size the header has */
#define NPU_ARRAY(array, nr) ((struct drm_npu_array){	\
	.stride = sizeof((array)[0]),			\
	.count = (nr),					\
	.ptr = (uintptr_t)(array),			\
})

int npu_submit(int fd, uint32_t ctx, struct drm_npu_job *jobs, uint32_t count);
int npu_submit_ids(int fd, uint32_t ctx, struct drm_npu_job *jobs,
		   uint32_t count, uint64_t *first);
int npu_submit_tasks(int fd, uint32_t ctx, struct drm_npu_task *tasks,
		     uint32_t count, uint32_t signal);
int npu_run_job(struct npu_env *e, uint32_t ctx, struct drm_npu_job *job,
		struct drm_npu_job_result *result);
int npu_run_tasks(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
		  uint32_t count, struct drm_npu_job_result *result);
int npu_submit_work(int fd, uint32_t ctx, struct npu_work *w, uint32_t signal);

int npu_job_query(int fd, uint32_t ctx, uint64_t first,
		  struct drm_npu_job_result *results, uint32_t count);
int npu_job_result(int fd, uint32_t ctx, uint64_t job,
		   struct drm_npu_job_result *result);

int npu_job_wait(int fd, uint32_t ctx, uint64_t job, uint32_t state,
		 struct drm_npu_job_result *result);

int npu_program_create(int fd, struct drm_npu_program_create *arg,
		       uint32_t *program);
int npu_program_destroy(int fd, uint32_t program);
int npu_program_of_work(struct npu_env *e, const struct npu_work *w,
			struct drm_npu_patch *patches, uint32_t count,
			uint32_t *program);
int npu_submit_program(int fd, uint32_t ctx, uint32_t program,
		       struct drm_npu_value *values, uint32_t count,
		       uint32_t signal);

int npu_syncobj_create(int fd, uint32_t flags, uint32_t *handle);
int npu_syncobj_destroy(int fd, uint32_t handle);
int npu_syncobj_wait(int fd, uint32_t handle, uint64_t point,
		     int64_t timeout_ms);
int npu_syncobj_to_file(int fd, uint32_t handle, uint64_t point);
int npu_file_status(int sync_fd);
int npu_file_wait(int sync_fd, int timeout_ms);
int npu_syncobj_status(int fd, uint32_t handle, uint64_t point);

/* The value a fence without error ends with */
#define NPU_DONE	1

int npu_work_matmul(struct npu_env *e, struct npu_work *w, uint32_t m,
		    uint32_t k, uint32_t n, unsigned int seed);
int npu_work_conv(struct npu_env *e, struct npu_work *w,
		  const struct rknn_conv *shape, unsigned int seed);
int npu_work_ew(struct npu_env *e, struct npu_work *w,
		const struct rknn_ew *shape, unsigned int seed);
int npu_work_pool(struct npu_env *e, struct npu_work *w,
		  const struct rknn_pool *shape, unsigned int seed);
int npu_work_small(struct npu_env *e, struct npu_work *w, unsigned int seed);
int npu_work_hang(struct npu_env *e, struct npu_work *w);
int npu_work_stream(struct npu_env *e, struct npu_work *w);
int npu_work_arm(struct npu_env *e, struct npu_work *w);
long npu_work_check(struct npu_env *e, struct npu_work *w);
long npu_work_check_untouched(struct npu_env *e, struct npu_work *w);
int npu_work_run(struct npu_env *e, uint32_t ctx, struct npu_work *w);
int npu_work_run_everywhere(struct npu_env *e, struct npu_work *w);
int npu_work_chain(struct npu_env *e, struct npu_work *w, unsigned int count,
		   unsigned int seed);
void npu_work_free(struct npu_env *e, struct npu_work *w);

int npu_block_core(struct npu_env *e, struct npu_work *hang, unsigned int core,
		   uint32_t *sync);
struct drm_npu_task *npu_repeat(const struct npu_work *w, uint32_t count);
int npu_long_tasks(struct npu_env *e, uint32_t ctx, struct npu_work *w,
		   unsigned int ms, uint32_t *count);

/* The cores as the driver core sees them */
#define NPU_CORE_DRIVER		"/sys/bus/platform/drivers/npu-core"
#define NPU_CORES_MAX		64

struct npu_cores {
	char name[NPU_CORES_MAX][256];
	unsigned int count;
};

void npu_cores_find(struct npu_cores *c);
int npu_core_unbind(const struct npu_cores *c, unsigned int core);
int npu_core_bind(const struct npu_cores *c, unsigned int core);
void npu_core_file(const struct npu_cores *c, unsigned int core,
		   const char *file, char *path, size_t size);
bool npu_core_asleep(const struct npu_cores *c, unsigned int core);
bool npu_cores_asleep(const struct npu_cores *c, unsigned int patience_ms);
uint64_t npu_cores_usable(int fd);
int npu_work_run_on(struct npu_env *e, struct npu_work *w, unsigned int core);

int npu_almost_sleep(void);
const char *npu_why_not_sleep(void);

int64_t npu_now_ns(void);
uint64_t npu_raw_ns(void);
void npu_sleep_ms(unsigned int ms);
uint32_t npu_random(unsigned int *state);
void npu_fill_random(void *data, size_t size, unsigned int seed);
int npu_drop_nice(void);
int64_t npu_kill_clients(void (*client)(int ready), unsigned int count);

/*
 * The common fixture. A test that has no device to run on is skipped, one that
 * finds a device which does not work fails.
 */
#define NPU_FIXTURE(name)						\
	FIXTURE(name) {							\
		struct npu_env e;					\
	};								\
	FIXTURE_SETUP(name)						\
	{								\
		int ret = npu_env_open(&self->e);			\
									\
		if (ret == -ENODEV)					\
			SKIP(return, "no npu device");			\
		ASSERT_EQ(0, ret);					\
	}								\
	FIXTURE_TEARDOWN(name)						\
	{								\
		npu_env_close(&self->e);				\
	}

#endif /* NPU_TEST_H */
