/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the npu accel driver's memory share: jobs on any addresses,
 * patterns that tell one piece of memory from all others, and the means of the
 * system to limit, to count and to take away memory.
 */
#ifndef NPU_MEM_H
#define NPU_MEM_H

#include <sys/types.h>

#include "npu_test.h"

#ifndef __printf
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#endif

#define KIB	1024ull
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

/* No task takes longer than this many bytes do, however busy the machine is */
#define NPU_COPY_MAX	(256 * KIB)

/* Command streams for whatever npu_copy() is asked to in these tests */
#define NPU_COPY_CMDS	64

/* A buffer of command streams, for tasks on any addresses */
struct npu_cmds {
	struct npu_bo bo;
	uint32_t used;
};

int npu_cmds_new(struct npu_env *e, struct npu_cmds *c, unsigned int streams);
void npu_cmds_free(struct npu_env *e, struct npu_cmds *c);
int npu_cmds_ew(struct npu_env *e, struct npu_cmds *c, const struct rknn_ew *op,
		struct drm_npu_task *task);
int npu_cmds_copy(struct npu_env *e, struct npu_cmds *c, uint64_t to,
		  uint64_t from, uint64_t size, struct drm_npu_task *task);
int npu_run(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
	    uint32_t count);
int npu_run_to_file(struct npu_env *e, uint32_t ctx, struct drm_npu_task *tasks,
		    uint32_t count);
struct drm_npu_task *npu_repeat_task(const struct drm_npu_task *task,
				     uint32_t count);
int npu_copy(struct npu_env *e, uint32_t ctx, struct npu_cmds *c, uint64_t to,
	     uint64_t from, uint64_t size);

void npu_pattern_fill(void *p, size_t size, uint64_t seed);
long npu_pattern_wrong(const void *p, size_t size, uint64_t seed);
long npu_not_zero(const void *p, size_t size);
long npu_bus_errors(const void *p, size_t size);

int npu_bo_make(int fd, const struct drm_npu_bo_create *want,
		struct npu_bo *bo);
int npu_bo_query(int fd, uint32_t handle, struct drm_npu_bo_query *q);
int npu_bo_placement(int fd, uint32_t handle);
int npu_bo_residency(int fd, uint32_t handle);
int npu_bo_madvise(int fd, uint32_t handle, uint32_t advice,
		   uint32_t *retained);
int npu_import(int fd, int dmabuf, uint32_t *handle);
int npu_sram_query(int fd, struct drm_npu_sram_info *info);

long npu_meminfo(const char *field);
long npu_vmstat(const char *field);
bool npu_meminfo_reaches(const char *field, long kib);
bool npu_meminfo_settles(const char *field, long kib, long margin);
int npu_shrink(void);
int npu_swap_out(uint64_t size);
int npu_write_file(const char *path, const char *format, ...)
	__printf(2, 3);
int npu_read_file(const char *path, char *text, size_t size);

/* Memory of a process of its own, which is given back when that is killed */
struct npu_hog {
	pid_t pid;
	int ready;
};

int npu_hog_start(struct npu_hog *hog, uint64_t size);
void npu_hog_stop(struct npu_hog *hog);

/* A cgroup (v2) below the root; needs root */
struct npu_cgroup {
	char path[128];
};

int npu_cgroup_make(struct npu_cgroup *cg, const char *name,
		    const char *controller);
int npu_cgroup_set(const struct npu_cgroup *cg, const char *file,
		   const char *format, ...)
	__printf(3, 4);
int npu_cgroup_get(const struct npu_cgroup *cg, const char *file, char *text,
		   size_t size);
long long npu_cgroup_value(const struct npu_cgroup *cg, const char *file,
			   const char *key);
int npu_cgroup_enter(const struct npu_cgroup *cg);
int npu_cgroup_drop(const struct npu_cgroup *cg);

int npu_become_nobody(uint64_t memlock);

/* Runs @body in a child; 0, its exit status, or minus the signal it died of */
#define NPU_IN_CHILD(body) ({						\
	pid_t __pid = fork();						\
									\
	if (!__pid) {							\
		body;							\
		_exit(0);						\
	}								\
	npu_child_result(__pid);					\
})

int npu_child_result(pid_t pid);

/* In a child: the number of the line that went wrong is its exit status */
#define NPU_CHECK(cond) do {						\
	if (!(cond)) {							\
		dprintf(1, "# %s:%d: not so: %s\n", __FILE__, __LINE__,	\
			#cond);						\
		_exit(1);						\
	}								\
} while (0)

#endif /* NPU_MEM_H */
