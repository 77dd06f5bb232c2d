// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing structures: what is shorter than the kernel's is read as if zeroes
 * followed, what is longer is accepted as long as the rest is zero. And what
 * is reserved must be zero, bit by bit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "npu_test.h"

#define TAIL	64
#define CALLS	17

/* An ioctl with an argument that it accepts, as bytes */
struct call {
	const char *name;
	unsigned int nr;
	unsigned int dir;
	size_t size;
	uint8_t arg[128 + TAIL];
	/* The last bytes of the argument that it can do without */
	size_t optional;
};

FIXTURE(compat)
{
	struct npu_env e;
	struct npu_work w;
	struct npu_bo bo;
	struct drm_npu_job job;
	struct drm_npu_bind_op unmap;
	struct drm_npu_bo_sync_op op;
	struct drm_npu_task task;	/* of a program */
	struct call call[CALLS];
};

#define CALL(index, ioctl_name, rw, type, opt, ...) do {	\
	type arg_ = __VA_ARGS__;				\
	struct call *call_ = &self->call[index];		\
								\
	call_->name = #ioctl_name;				\
	call_->nr = DRM_COMMAND_BASE + DRM_NPU_##ioctl_name;	\
	call_->dir = rw;					\
	call_->size = sizeof(arg_);				\
	call_->optional = opt;					\
	memcpy(call_->arg, &arg_, sizeof(arg_));		\
} while (0)

#define RW	(_IOC_READ | _IOC_WRITE)
#define WO	_IOC_WRITE

FIXTURE_SETUP(compat)
{
	int ret = npu_env_open(&self->e);

	if (ret == -ENODEV)
		SKIP(return, "no npu device");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, npu_work_small(&self->e, &self->w, 12));
	ASSERT_EQ(0, npu_bo_new(self->e.fd, 4096, 0, 0, &self->bo));
	self->job.tasks = NPU_ARRAY(&self->w.task, 1);
	self->unmap.type = DRM_NPU_BIND_UNMAP;
	self->unmap.va = self->e.info.va_end - 4096;
	self->unmap.size = 4096;
	self->op.handle = self->bo.handle;
	self->op.dir = DRM_NPU_SYNC_BOTH;
	self->op.size = 4096;

	self->task = self->w.task;
	self->task.cmd_va = 0;

	CALL(0, QUERY, RW, struct drm_npu_query, 8, { .type = 0 });
	CALL(1, BO_CREATE, RW, struct drm_npu_bo_create, 4, { .size = 4096 });
	CALL(2, BO_QUERY, RW, struct drm_npu_bo_query, 24,
	     { .handle = self->bo.handle });
	CALL(3, BO_SYNC, WO, struct drm_npu_bo_sync, 8,
	     { .ops = NPU_ARRAY(&self->op, 1) });
	CALL(4, BO_WAIT, WO, struct drm_npu_bo_wait, 8,
	     { .handle = self->bo.handle, .flags = DRM_NPU_BO_WAIT_READ });
	CALL(5, VM_CREATE, RW, struct drm_npu_vm_create, 0, { .flags = 0 });
	CALL(6, VM_DESTROY, WO, struct drm_npu_vm_destroy, 4,
	     { .vm_id = self->e.vm });
	CALL(7, VM_BIND, RW, struct drm_npu_vm_bind, 0,
	     { .vm_id = self->e.vm, .ops = NPU_ARRAY(&self->unmap, 1) });
	CALL(8, CTX_CREATE, RW, struct drm_npu_ctx_create, 4,
	     { .vm_id = self->e.vm });
	CALL(9, CTX_DESTROY, WO, struct drm_npu_ctx_destroy, 4,
	     { .ctx_id = self->e.ctx });
	CALL(10, SUBMIT, RW, struct drm_npu_submit, 8,
	     { .ctx_id = self->e.ctx, .jobs = NPU_ARRAY(&self->job, 1) });
	CALL(11, BO_MADVISE, RW, struct drm_npu_bo_madvise, 12,
	     { .handle = self->bo.handle });
	CALL(12, CTX_QUERY, RW, struct drm_npu_ctx_query, 92,
	     { .ctx_id = self->e.ctx });
	CALL(13, CTX_SET, WO, struct drm_npu_ctx_set, 16,
	     { .ctx_id = self->e.ctx, .flags = DRM_NPU_CTX_SET_CLASS });
	CALL(14, JOB_QUERY, WO, struct drm_npu_job_query, 16,
	     { .ctx_id = self->e.ctx, .first_job = 1 });
	CALL(15, PROGRAM_CREATE, RW, struct drm_npu_program_create, 24,
	     { .vm_id = self->e.vm,
	       .cmds = (uintptr_t)self->w.stream.words,
	       .cmds_size = self->w.task.cmd_size,
	       .tasks = NPU_ARRAY(&self->task, 1) });
	CALL(16, PROGRAM_DESTROY, WO, struct drm_npu_program_destroy, 4,
	     { .pad = 0 });
}

FIXTURE_TEARDOWN(compat)
{
	npu_env_close(&self->e);
}

static uint32_t word_at(const uint8_t *arg, size_t offset)
{
	uint32_t word;

	memcpy(&word, arg + offset, sizeof(word));
	return word;
}

/* Something for a call that destroys */
static int make_victim(struct npu_env *e, unsigned int nr, uint32_t *id)
{
	static uint64_t nothing[2];
	struct drm_npu_task task = { .cmd_size = sizeof(nothing) };
	struct drm_npu_program_create program = {
		.vm_id = e->vm,
		.cmds = (uintptr_t)nothing,
		.cmds_size = sizeof(nothing),
		.tasks = NPU_ARRAY(&task, 1),
	};

	*id = 0;
	switch (nr) {
	case DRM_NPU_VM_DESTROY:
		return npu_vm_create(e->fd, id);
	case DRM_NPU_CTX_DESTROY:
		return npu_ctx_create(e->fd, e->vm, 0, id);
	case DRM_NPU_PROGRAM_DESTROY:
		return npu_program_create(e->fd, &program, id);
	}
	return 0;
}

static void drop_victim(struct npu_env *e, unsigned int nr, uint32_t id)
{
	if (nr == DRM_NPU_VM_DESTROY)
		npu_vm_destroy(e->fd, id);
	if (nr == DRM_NPU_CTX_DESTROY)
		npu_ctx_destroy(e->fd, id);
	if (nr == DRM_NPU_PROGRAM_DESTROY)
		npu_program_destroy(e->fd, id);
}

/* What a call has made, when its argument was long enough to tell */
static void drop_made(struct npu_env *e, unsigned int nr, const uint8_t *arg)
{
	if (nr == DRM_NPU_VM_CREATE)
		npu_vm_destroy(e->fd, word_at(arg, 4));
	if (nr == DRM_NPU_CTX_CREATE)
		npu_ctx_destroy(e->fd, word_at(arg, 24));
	if (nr == DRM_NPU_BO_CREATE)
		npu_gem_close(e->fd, word_at(arg, 16));
	if (nr == DRM_NPU_PROGRAM_CREATE)
		npu_program_destroy(e->fd, word_at(arg, 56));
}

/*
 * The call with an argument of @size bytes. What it destroys is made for it,
 * and what it makes is destroyed, so that it can be called any number of times.
 * Nothing is ever written behind the argument.
 */
static int do_call(struct npu_env *e, const struct call *c, size_t size)
{
	unsigned int nr = c->nr - DRM_COMMAND_BASE;
	uint8_t arg[sizeof(c->arg)];
	uint32_t id;
	int ret;

	memcpy(arg, c->arg, sizeof(arg));
	ret = make_victim(e, nr, &id);
	if (ret)
		return ret;
	if (id)
		memcpy(arg, &id, sizeof(id));
	ret = npu_ioctl(e->fd, _IOC(c->dir, DRM_IOCTL_BASE, c->nr, size), arg);
	if (id && ret)
		drop_victim(e, nr, id);
	if (!ret)
		drop_made(e, nr, arg);
	return memcmp(arg + size, c->arg + size, sizeof(arg) - size) ?
	       -EOVERFLOW : ret;
}

TEST_F(compat, the_header_has_the_sizes_it_was_published_with)
{
	static const size_t size[CALLS] = {
		16, 24, 48, 24, 16, 8, 8, 24, 32, 8, 32, 16, 96, 32, 32, 64, 8,
	};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(size); n++) {
		EXPECT_EQ(size[n], self->call[n].size)
			TH_LOG("%s", self->call[n].name);
	}
	EXPECT_EQ(16, sizeof(struct drm_npu_array));
	EXPECT_EQ(144, sizeof(struct drm_npu_device_info));
	EXPECT_EQ(16, sizeof(struct drm_npu_core_info));
	EXPECT_EQ(24, sizeof(struct drm_npu_bo_sync_op));
	EXPECT_EQ(40, sizeof(struct drm_npu_bind_op));
	EXPECT_EQ(24, sizeof(struct drm_npu_task));
	EXPECT_EQ(16, sizeof(struct drm_npu_sync));
	EXPECT_EQ(8, sizeof(struct drm_npu_buffer));
	EXPECT_EQ(72, sizeof(struct drm_npu_job));
	EXPECT_EQ(24, sizeof(struct drm_npu_sram_info));
	EXPECT_EQ(24, sizeof(struct drm_npu_clock_info));
	EXPECT_EQ(16, sizeof(struct drm_npu_patch));
	EXPECT_EQ(8, sizeof(struct drm_npu_value));
	EXPECT_EQ(56, sizeof(struct drm_npu_job_result));
}

TEST_F(compat, full_arguments_are_accepted)
{
	size_t n;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		EXPECT_EQ(0, do_call(&self->e, &self->call[n],
				     self->call[n].size))
			TH_LOG("%s", self->call[n].name);
	}
}

TEST_F(compat, short_arguments_are_filled_with_zeroes)
{
	struct call *c;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		c = &self->call[n];
		if (!c->optional)
			continue;
		memset(c->arg + c->size - c->optional, 0xcc, c->optional);
		EXPECT_EQ(0, do_call(&self->e, c, c->size - c->optional))
			TH_LOG("%s", c->name);
	}
}

/* Wherever an argument ends: the call does what it does with zeroes there */
TEST_F(compat, what_is_missing_is_zero)
{
	struct call zero, cut;
	size_t n, size;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		for (size = 4; size < self->call[n].size; size += 4) {
			zero = self->call[n];
			memset(zero.arg + size, 0, zero.size - size);
			cut = zero;
			memset(cut.arg + size, 0xcc, cut.size - size);
			EXPECT_EQ(do_call(&self->e, &zero, zero.size),
				  do_call(&self->e, &cut, size))
				TH_LOG("%s, %zu bytes", cut.name, size);
		}
	}
}

TEST_F(compat, long_arguments_with_a_zero_tail_are_accepted)
{
	size_t n, more;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		for (more = 4; more <= TAIL; more += 20) {
			EXPECT_EQ(0, do_call(&self->e, &self->call[n],
					     self->call[n].size + more))
				TH_LOG("%s + %zu", self->call[n].name, more);
		}
	}
}

TEST_F(compat, long_arguments_with_something_behind_are_refused)
{
	struct call c;
	size_t n, pos;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		for (pos = 0; pos < TAIL; pos += 7) {
			c = self->call[n];
			c.arg[c.size + pos] = 1 << pos % 8;
			EXPECT_EQ(-E2BIG, do_call(&self->e, &c, c.size + TAIL))
				TH_LOG("%s + %zu", c.name, pos);
		}
	}
}

TEST_F(compat, long_arguments_that_are_not_all_there_fault)
{
	size_t n, page = sysconf(_SC_PAGESIZE);
	uint8_t *p, *end;
	struct call *c;

	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + page, page));
	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		c = &self->call[n];
		end = p + page - c->size;
		memcpy(end, c->arg, c->size);
		EXPECT_EQ(-EFAULT,
			  npu_ioctl(self->e.fd, _IOC(c->dir, DRM_IOCTL_BASE,
						     c->nr, c->size + TAIL),
				    end))
			TH_LOG("%s", c->name);
		EXPECT_EQ(-EFAULT,
			  npu_ioctl(self->e.fd, _IOC(c->dir, DRM_IOCTL_BASE,
						     c->nr, c->size),
				    p + page - c->size / 2))
			TH_LOG("%s", c->name);
	}
}

TEST_F(compat, arguments_without_a_first_field_do_no_harm)
{
	size_t n, size;

	for (n = 0; n < ARRAY_SIZE(self->call); n++) {
		for (size = 0; size < self->call[n].size; size += 4)
			do_call(&self->e, &self->call[n], size);
	}
	ASSERT_EQ(0, npu_vm_create(self->e.fd, &self->e.vm));
}

struct reserved {
	const char *what;
	size_t call;
	size_t offset;
	uint32_t allowed;	/* bits that have a meaning */
};

#define RESERVED(nr, type, field, bits) \
	{ #type "." #field, nr, offsetof(struct drm_npu_##type, field), bits }

static const struct reserved reserved[] = {
	RESERVED(1, bo_create, flags, DRM_NPU_BO_WC | DRM_NPU_BO_SRAM |
		 DRM_NPU_BO_SRAM_PREFERRED | DRM_NPU_BO_RESIDENT),
	RESERVED(2, bo_query, pad, 0),
	RESERVED(3, bo_sync, flags, 0),
	RESERVED(3, bo_sync, pad, 0),
	RESERVED(4, bo_wait, flags, 3),
	RESERVED(5, vm_create, flags, 0),
	RESERVED(6, vm_destroy, pad, 0),
	RESERVED(7, vm_bind, flags, 0),
	RESERVED(8, ctx_create, flags, 0),
	RESERVED(9, ctx_destroy, pad, 0),
	RESERVED(10, submit, flags, 0),
	RESERVED(11, bo_madvise, advice, 1),
	RESERVED(11, bo_madvise, pad, 0),
	RESERVED(13, ctx_set, flags, 15),
	RESERVED(13, ctx_set, pad, 0),
	RESERVED(14, job_query, flags, 0),
	RESERVED(15, program_create, flags, DRM_NPU_PROGRAM_LINKED),
	RESERVED(15, program_create, pad, 0),
	RESERVED(16, program_destroy, pad, 0),
};

TEST_F(compat, reserved_bits_are_refused_one_by_one)
{
	const struct reserved *r;
	uint32_t word;
	struct call c;
	size_t n;
	int bit;

	for (n = 0; n < ARRAY_SIZE(reserved); n++) {
		r = &reserved[n];
		for (bit = 0; bit < 32; bit++) {
			if (r->allowed & 1u << bit)
				continue;
			c = self->call[r->call];
			memcpy(&word, c.arg + r->offset, 4);
			word |= 1u << bit;
			memcpy(c.arg + r->offset, &word, 4);
			EXPECT_EQ(-EINVAL, do_call(&self->e, &c, c.size))
				TH_LOG("%s bit %d", r->what, bit);
		}
	}
}

TEST_F(compat, what_is_only_returned_need_not_be_set)
{
	struct drm_npu_bo_create create = { .size = 4096, .handle = ~0u };
	struct drm_npu_vm_create vm = { .vm_id = ~0u };
	struct drm_npu_ctx_create ctx = {
		.vm_id = self->e.vm,
		.ctx_id = ~0u,
	};
	struct drm_npu_bo_query query = {
		.handle = self->bo.handle,
		.flags = ~0u,
		.size = ~0ull,
		.mmap_offset = ~0ull,
		.vm_id = ~0u,
		.placement = ~0u,
		.residency = ~0u,
		.advice = ~0u,
		.priority = -1,
	};
	struct drm_npu_bo_madvise advise = {
		.handle = self->bo.handle,
		.retained = ~0u,
	};
	struct drm_npu_submit submit = {
		.ctx_id = self->e.ctx,
		.jobs = NPU_ARRAY(&self->job, 1),
		.first_job = ~0ull,
	};
	struct drm_npu_ctx_query state;
	int fd = self->e.fd;

	memset(&state, 0xff, sizeof(state));
	state.ctx_id = self->e.ctx;

	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_BO_CREATE, &create));
	EXPECT_NE(~0u, create.handle);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_VM_CREATE, &vm));
	EXPECT_NE(~0u, vm.vm_id);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_CTX_CREATE, &ctx));
	EXPECT_NE(~0u, ctx.ctx_id);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_BO_QUERY, &query));
	EXPECT_EQ(4096, query.size);
	EXPECT_EQ(0, query.flags);
	EXPECT_EQ(0, query.vm_id);
	EXPECT_EQ(DRM_NPU_PLACEMENT_SYSTEM, query.placement);
	EXPECT_LE(query.residency, DRM_NPU_RESIDENCY_PURGED);
	EXPECT_EQ(DRM_NPU_ADVICE_WILLNEED, query.advice);
	EXPECT_EQ(0, query.priority);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_BO_MADVISE, &advise));
	EXPECT_EQ(1, advise.retained);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_SUBMIT, &submit));
	EXPECT_EQ(1, submit.first_job);
	EXPECT_EQ(0, npu_ioctl(fd, DRM_IOCTL_NPU_CTX_QUERY, &state));
	EXPECT_EQ(DRM_NPU_CTX_READY, state.state);
	EXPECT_EQ(self->e.vm, state.vm_id);
	EXPECT_EQ(1, state.jobs_submitted);
	EXPECT_EQ(0, state.fault_job);
	EXPECT_EQ(0, state.fault_va);
	EXPECT_EQ(0, state.fault_flags);
	EXPECT_EQ(0, state.fault_error);
}

/* The arrays of the interface that are read, each with one good element */
enum array {
	BIND_OPS,
	SYNC_OPS,
	JOBS,
	TASKS,
	SYNCS,
	BUFFERS,
	VALUES,
	PROGRAM_TASKS,
	PATCHES,
	ARRAYS,
};

/* Elements in one array below */
#define ELEMENTS	3

static const char * const array_name[ARRAYS] = {
	"bind_op", "sync_op", "job", "task", "sync", "buffer", "value",
	"program's task", "patch",
};

static const size_t element_size[ARRAYS] = {
	sizeof(struct drm_npu_bind_op),
	sizeof(struct drm_npu_bo_sync_op),
	sizeof(struct drm_npu_job),
	sizeof(struct drm_npu_task),
	sizeof(struct drm_npu_sync),
	sizeof(struct drm_npu_buffer),
	sizeof(struct drm_npu_value),
	sizeof(struct drm_npu_task),
	sizeof(struct drm_npu_patch),
};

/* As they were published first */
static const size_t element_min[ARRAYS] = { 40, 24, 56, 24, 16, 8, 8, 24, 16 };

/* What a program patches whose run takes ELEMENTS values */
static void fill_patches(const struct npu_work *w, struct drm_npu_patch *p)
{
	static const uint32_t reg[ELEMENTS] = {
		RKNN_CNA_FEATURES, RKNN_CNA_WEIGHTS, RKNN_DPU_OUT,
	};
	int n;

	memset(p, 0, ELEMENTS * sizeof(*p));
	for (n = 0; n < ELEMENTS; n++)
		p[n].offset = rknn_value_at(&w->stream, reg[n]);
}

static int run_with_values(struct npu_env *e, struct npu_work *w,
			   struct drm_npu_array array)
{
	struct drm_npu_patch patches[ELEMENTS];
	struct drm_npu_job job = { .values = array };
	int ret;

	fill_patches(w, patches);
	ret = npu_program_of_work(e, w, patches, ELEMENTS, &job.program_id);
	if (ret)
		return ret;
	ret = npu_submit(e->fd, e->ctx, &job, 1);
	npu_program_destroy(e->fd, job.program_id);
	return ret;
}

static int make_program(struct npu_env *e, struct npu_work *w,
			const struct drm_npu_array *tasks,
			const struct drm_npu_array *patches)
{
	struct drm_npu_task task = w->task;
	struct drm_npu_program_create arg = {
		.vm_id = e->vm,
		.cmds = (uintptr_t)w->stream.words,
		.cmds_size = w->task.cmd_size,
		.tasks = tasks ? *tasks : NPU_ARRAY(&task, 1),
	};
	uint32_t program;
	int ret;

	task.cmd_va = 0;
	if (patches)
		arg.patches = *patches;
	ret = npu_program_create(e->fd, &arg, &program);
	npu_program_destroy(e->fd, program);
	return ret;
}

/* Makes the call that takes this array and gives it @array */
static int call_with_array(struct npu_env *e, struct npu_work *w,
			   enum array which, struct drm_npu_array array)
{
	struct drm_npu_vm_bind bind = { .vm_id = e->vm, .ops = array };
	struct drm_npu_bo_sync sync = { .ops = array };
	struct drm_npu_job job = { .tasks = NPU_ARRAY(&w->task, 1) };
	struct drm_npu_submit submit = {
		.ctx_id = e->ctx,
		.jobs = NPU_ARRAY(&job, 1),
	};

	switch (which) {
	case BIND_OPS:
		return npu_ioctl(e->fd, DRM_IOCTL_NPU_VM_BIND, &bind);
	case SYNC_OPS:
		return npu_ioctl(e->fd, DRM_IOCTL_NPU_BO_SYNC, &sync);
	case VALUES:
		return run_with_values(e, w, array);
	case PROGRAM_TASKS:
		return make_program(e, w, &array, NULL);
	case PATCHES:
		return make_program(e, w, NULL, &array);
	case JOBS:
		submit.jobs = array;
		break;
	case TASKS:
		job.tasks = array;
		break;
	case SYNCS:
		job.syncs = array;
		break;
	case BUFFERS:
		job.buffers = array;
		break;
	default:
		break;
	}
	return npu_ioctl(e->fd, DRM_IOCTL_NPU_SUBMIT, &submit);
}

static void good_element(struct npu_env *e, struct npu_work *w,
			 struct npu_bo *bo, enum array which, uint32_t nr,
			 uint8_t *bytes)
{
	const enum npu_work_bo value_of[ELEMENTS] = {
		NPU_IN, NPU_AUX, NPU_OUT,
	};
	struct drm_npu_bind_op map = {
		.type = DRM_NPU_BIND_MAP,
		.flags = DRM_NPU_BIND_AUTO,
		.handle = bo->handle,
		.size = bo->size,
	};
	struct drm_npu_bo_sync_op op = {
		.handle = bo->handle,
		.dir = DRM_NPU_SYNC_BOTH,
		.size = bo->size,
	};
	struct drm_npu_job job = { .tasks = NPU_ARRAY(&w->task, 1) };
	struct drm_npu_sync sync = { .flags = DRM_NPU_SYNC_WAIT };
	struct drm_npu_buffer buffer = {
		.handle = bo->handle,
		.flags = DRM_NPU_BUFFER_READ,
	};
	struct drm_npu_value value = {
		.va = w->bo[value_of[nr % ELEMENTS]].va,
	};
	struct drm_npu_task task = w->task;
	struct drm_npu_patch patches[ELEMENTS];
	const void *from[ARRAYS] = {
		&map, &op, &job, &w->task, &sync, &buffer, &value, &task,
		&patches[nr % ELEMENTS],
	};

	task.cmd_va = 0;
	fill_patches(w, patches);
	npu_syncobj_create(e->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &sync.handle);
	memcpy(bytes, from[which], element_size[which]);
}

/* @count elements, @stride bytes apart */
static int array_call(struct npu_env *e, struct npu_work *w, struct npu_bo *bo,
		      enum array which, uint32_t stride, uint32_t count,
		      int poke)
{
	uint8_t *bytes = calloc(count + 1, stride + 128);
	struct drm_npu_array array = {
		.stride = stride,
		.count = count,
		.ptr = (uintptr_t)bytes,
	};
	uint32_t n;
	int ret;

	if (!bytes)
		return -ENOMEM;
	for (n = 0; n < count; n++)
		good_element(e, w, bo, which, n, bytes + (size_t)n * stride);
	if (poke >= 0)
		bytes[(size_t)stride * (count - 1) + element_size[which] +
		      poke] = 1;
	ret = call_with_array(e, w, which, array);
	free(bytes);
	return ret;
}

TEST_F(compat, elements_may_be_longer_when_the_rest_is_zero)
{
	uint32_t more, which;

	for (which = 0; which < ARRAYS; which++) {
		for (more = 0; more <= 64; more += 8) {
			EXPECT_EQ(0, array_call(&self->e, &self->w, &self->bo,
						which, element_size[which] +
						more, ELEMENTS, -1))
				TH_LOG("%s + %u", array_name[which], more);
		}
	}
}

TEST_F(compat, elements_with_something_behind_are_refused)
{
	uint32_t poke, which;

	for (which = 0; which < ARRAYS; which++) {
		for (poke = 0; poke < 16; poke += 5) {
			EXPECT_EQ(-E2BIG, array_call(&self->e, &self->w,
						     &self->bo, which,
						     element_size[which] + 16,
						     ELEMENTS, poke))
				TH_LOG("%s + %u", array_name[which], poke);
		}
	}
}

TEST_F(compat, elements_cannot_be_shorter_than_their_first_version)
{
	uint32_t stride, which;

	for (which = 0; which < ARRAYS; which++) {
		for (stride = 0; stride < element_min[which]; stride += 4) {
			EXPECT_EQ(-EINVAL, array_call(&self->e, &self->w,
						      &self->bo, which, stride,
						      ELEMENTS, -1))
				TH_LOG("%s %u", array_name[which], stride);
		}
	}
}

TEST_F(compat, elements_may_be_as_short_as_their_first_version)
{
	uint32_t stride, which;

	for (which = 0; which < ARRAYS; which++) {
		for (stride = element_min[which];
		     stride < element_size[which]; stride += 4) {
			EXPECT_EQ(0, array_call(&self->e, &self->w, &self->bo,
						which, stride, ELEMENTS, -1))
				TH_LOG("%s %u", array_name[which], stride);
		}
	}
}

TEST_F(compat, an_empty_array_has_no_pointer)
{
	enum array empty[] = { BIND_OPS, SYNC_OPS, SYNCS, BUFFERS, VALUES,
			       PATCHES };
	struct drm_npu_array array;
	uint64_t word;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(empty); n++) {
		array = (struct drm_npu_array){
			.ptr = (uintptr_t)&word,
		};
		EXPECT_EQ(-EINVAL, call_with_array(&self->e, &self->w,
						   empty[n], array));
		array.stride = element_size[empty[n]];
		EXPECT_EQ(-EINVAL, call_with_array(&self->e, &self->w,
						   empty[n], array));
		array.ptr = 0;
		EXPECT_EQ(0, call_with_array(&self->e, &self->w, empty[n],
					     array));
		array.stride = 0;
		EXPECT_EQ(0, call_with_array(&self->e, &self->w, empty[n],
					     array));
	}
}

/* A stride that is large, where the elements really are that far apart */
TEST_F(compat, strides_may_be_large)
{
	size_t stride = 1 << 20;
	uint8_t *p = mmap(NULL, 3 * stride, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct drm_npu_array array = {
		.stride = stride,
		.count = 2,
		.ptr = (uintptr_t)p,
	};
	int ret;

	ASSERT_NE(MAP_FAILED, p);
	good_element(&self->e, &self->w, &self->bo, TASKS, 0, p);
	good_element(&self->e, &self->w, &self->bo, TASKS, 1, p + stride);
	ret = call_with_array(&self->e, &self->w, TASKS, array);
	EXPECT_TRUE(ret == 0 || ret == -E2BIG);
	p[2 * stride - 1] = 1;
	EXPECT_EQ(-E2BIG, call_with_array(&self->e, &self->w, TASKS, array));
}

/* Memory that ends where it ends: behind it nothing is mapped */
static void *at_the_end(size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p + page, page))
		return NULL;
	return p + page - size;
}

/* Version 1.0 of what has grown since, and of the number of the submit */
struct submit_v0 {
	uint32_t ctx_id, flags;
	struct drm_npu_array jobs;
};

struct job_v0 {
	struct drm_npu_array tasks, syncs, buffers;
	uint32_t flags, pad;
};

#define SUBMIT_V0 DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_SUBMIT, struct submit_v0)

TEST_F(compat, a_submit_of_version_one_computes)
{
	struct submit_v0 *submit = at_the_end(sizeof(*submit));
	struct job_v0 *jobs = at_the_end(2 * sizeof(*jobs));
	struct drm_npu_sync s = { .flags = DRM_NPU_SYNC_SIGNAL };
	struct submit_v0 before;
	struct npu_work w;

	ASSERT_NE(NULL, submit);
	ASSERT_NE(NULL, jobs);
	EXPECT_EQ(0x4018644a, SUBMIT_V0);
	ASSERT_EQ(0, npu_work_small(&self->e, &w, 13));
	ASSERT_EQ(0, npu_syncobj_create(self->e.fd, 0, &s.handle));
	jobs[0].tasks = NPU_ARRAY(&self->w.task, 1);
	jobs[1].tasks = NPU_ARRAY(&w.task, 1);
	jobs[1].syncs = NPU_ARRAY(&s, 1);
	*submit = (struct submit_v0){
		.ctx_id = self->e.ctx,
		.jobs = NPU_ARRAY(jobs, 2),
	};
	before = *submit;
	ASSERT_EQ(0, npu_ioctl(self->e.fd, SUBMIT_V0, submit));
	EXPECT_EQ(0, memcmp(&before, submit, sizeof(before)));
	EXPECT_EQ(NPU_DONE, npu_syncobj_status(self->e.fd, s.handle, 0));
	EXPECT_EQ(0, npu_work_check(&self->e, &self->w));
	EXPECT_EQ(0, npu_work_check(&self->e, &w));
	jobs[1].pad = 1;
	EXPECT_NE(0, npu_ioctl(self->e.fd, SUBMIT_V0, submit))
		TH_LOG("it was reserved then, and is a program now");
}

TEST_F(compat, queries_of_version_one_get_what_they_know)
{
	struct drm_npu_bo_query *query = at_the_end(32);
	uint8_t *info = at_the_end(112);
	struct drm_npu_query q = {
		.type = DRM_NPU_QUERY_DEVICE,
		.size = 112,
		.ptr = (uintptr_t)info,
	};

	ASSERT_NE(NULL, query);
	ASSERT_NE(NULL, info);
	query->handle = self->bo.handle;
	ASSERT_EQ(0, npu_ioctl(self->e.fd, _IOC(RW, DRM_IOCTL_BASE,
						DRM_COMMAND_BASE +
						DRM_NPU_BO_QUERY, 32), query));
	EXPECT_EQ(4096, query->size);
	EXPECT_NE(0, query->mmap_offset);
	ASSERT_EQ(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_QUERY, &q));
	EXPECT_LE(sizeof(self->e.info), q.size);
	EXPECT_EQ(0, memcmp(info, &self->e.info, 112));
}

/* Three jobs that have ended, and one id behind them */
static int query_results(struct npu_env *e, struct npu_work *w, void *results,
			 uint32_t stride)
{
	struct drm_npu_job_query arg = {
		.ctx_id = e->ctx,
		.first_job = 1,
		.results = { stride, 4, (uintptr_t)results },
	};
	uint32_t n;
	int ret;

	for (n = 0; n < 3; n++) {
		ret = npu_work_run(e, e->ctx, w);
		if (ret)
			return ret;
	}
	return npu_ioctl(e->fd, DRM_IOCTL_NPU_JOB_QUERY, &arg);
}

TEST_F(compat, longer_results_end_in_zeroes)
{
	const size_t size = sizeof(struct drm_npu_job_result);
	struct drm_npu_job_result *r;
	uint32_t stride, n, i;
	uint8_t *results;

	for (stride = size; stride <= size + 64; stride += 4) {
		results = at_the_end(4 * stride);
		ASSERT_NE(NULL, results);
		memset(results, 0xcc, 4 * stride);
		ASSERT_EQ(0, query_results(&self->e, &self->w, results, stride));
		for (n = 0; n < 4; n++) {
			struct drm_npu_job_result copy;

			r = memcpy(&copy, results + n * stride, size);
			EXPECT_EQ(n + 1, r->job);
			EXPECT_NE(DRM_NPU_JOB_QUEUED, r->state);
			EXPECT_EQ(0, r->error);
			EXPECT_EQ(0, r->pad);
			for (i = size; i < stride; i++) {
				ASSERT_EQ(0, results[n * stride + i])
					TH_LOG("stride %u, byte %u", stride, i);
			}
		}
	}
}

TEST_F(compat, results_cannot_be_shorter_than_their_first_version)
{
	const size_t size = sizeof(struct drm_npu_job_result);
	uint8_t results[1024], before[1024];
	uint32_t stride;

	memset(before, 0xcc, sizeof(before));
	for (stride = 0; stride < size; stride++) {
		memset(results, 0xcc, sizeof(results));
		EXPECT_EQ(-EINVAL, query_results(&self->e, &self->w, results,
						 stride));
		EXPECT_EQ(0, memcmp(before, results, sizeof(results)));
	}
}

TEST_F(compat, results_that_cannot_be_written_fault)
{
	uint64_t bad[] = { 0, 8, 0xffffff0000000000, ~0ull - 7 };
	struct drm_npu_job_result *r = at_the_end(sizeof(*r));
	void *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	struct drm_npu_job_query arg = {
		.ctx_id = self->e.ctx,
		.first_job = 1,
	};
	size_t n;

	ASSERT_NE(MAP_FAILED, ro);
	EXPECT_EQ(0, npu_job_query(self->e.fd, self->e.ctx, 1, r, 1));
	arg.results = (struct drm_npu_array)NPU_ARRAY(r, 2);
	EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY, &arg));
	arg.results = (struct drm_npu_array){ sizeof(*r), 1, (uintptr_t)ro };
	EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY, &arg));
	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		arg.results = (struct drm_npu_array){ sizeof(*r), 1, bad[n] };
		EXPECT_EQ(-EFAULT, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY,
					     &arg));
	}
	arg.results = (struct drm_npu_array){ sizeof(*r), 0, (uintptr_t)r };
	EXPECT_EQ(-EINVAL, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY, &arg));
	arg.results = (struct drm_npu_array){ 0x80000000, 3, (uintptr_t)r };
	EXPECT_GT(0, npu_ioctl(self->e.fd, DRM_IOCTL_NPU_JOB_QUERY, &arg));
}

TEST_HARNESS_MAIN
