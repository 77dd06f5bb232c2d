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
	struct call call[11];
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

	CALL(0, QUERY, RW, struct drm_npu_query, 8, { .type = 0 });
	CALL(1, BO_CREATE, RW, struct drm_npu_bo_create, 4, { .size = 4096 });
	CALL(2, BO_QUERY, RW, struct drm_npu_bo_query, 8,
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
	CALL(10, SUBMIT, WO, struct drm_npu_submit, 0,
	     { .ctx_id = self->e.ctx, .jobs = NPU_ARRAY(&self->job, 1) });
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

/*
 * The call with an argument of @size bytes. What it destroys is made for it,
 * and what it makes is destroyed, so that it can be called any number of times.
 */
static int do_call(struct npu_env *e, const struct call *c, size_t size)
{
	unsigned int nr = c->nr - DRM_COMMAND_BASE;
	uint8_t arg[sizeof(c->arg)];
	uint32_t id = 0;
	int ret = 0;

	memcpy(arg, c->arg, sizeof(arg));
	if (nr == DRM_NPU_VM_DESTROY)
		ret = npu_vm_create(e->fd, &id);
	if (nr == DRM_NPU_CTX_DESTROY)
		ret = npu_ctx_create(e->fd, e->vm, 0, &id);
	if (ret)
		return ret;
	if (id)
		memcpy(arg, &id, sizeof(id));
	ret = npu_ioctl(e->fd, _IOC(c->dir, DRM_IOCTL_BASE, c->nr, size), arg);
	if (nr == DRM_NPU_VM_DESTROY && ret)
		npu_vm_destroy(e->fd, id);
	if (nr == DRM_NPU_CTX_DESTROY && ret)
		npu_ctx_destroy(e->fd, id);
	if (nr == DRM_NPU_VM_CREATE && !ret)
		npu_vm_destroy(e->fd, word_at(arg, 4));
	if (nr == DRM_NPU_CTX_CREATE && !ret)
		npu_ctx_destroy(e->fd, word_at(arg, 24));
	if (nr == DRM_NPU_BO_CREATE && !ret)
		npu_gem_close(e->fd, word_at(arg, 16));
	return ret;
}

TEST_F(compat, the_header_has_the_sizes_it_was_published_with)
{
	static const size_t size[] = { 16, 24, 32, 24, 16, 8, 8, 24, 32, 8, 24 };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(size); n++) {
		EXPECT_EQ(size[n], self->call[n].size)
			TH_LOG("%s", self->call[n].name);
	}
	EXPECT_EQ(16, sizeof(struct drm_npu_array));
	EXPECT_EQ(112, sizeof(struct drm_npu_device_info));
	EXPECT_EQ(16, sizeof(struct drm_npu_core_info));
	EXPECT_EQ(24, sizeof(struct drm_npu_bo_sync_op));
	EXPECT_EQ(40, sizeof(struct drm_npu_bind_op));
	EXPECT_EQ(24, sizeof(struct drm_npu_task));
	EXPECT_EQ(16, sizeof(struct drm_npu_sync));
	EXPECT_EQ(8, sizeof(struct drm_npu_buffer));
	EXPECT_EQ(56, sizeof(struct drm_npu_job));
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
	RESERVED(1, bo_create, flags, DRM_NPU_BO_WC),
	RESERVED(1, bo_create, pad, 0),
	RESERVED(2, bo_query, pad, 0),
	RESERVED(3, bo_sync, flags, 0),
	RESERVED(3, bo_sync, pad, 0),
	RESERVED(4, bo_wait, flags, 3),
	RESERVED(5, vm_create, flags, 0),
	RESERVED(6, vm_destroy, pad, 0),
	RESERVED(7, vm_bind, flags, 0),
	RESERVED(8, ctx_create, flags, 0),
	RESERVED(8, ctx_create, pad, 0),
	RESERVED(9, ctx_destroy, pad, 0),
	RESERVED(10, submit, flags, 0),
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
	};
	int fd = self->e.fd;

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
}

/* The arrays of the interface, each with one good element */
enum array {
	BIND_OPS,
	SYNC_OPS,
	JOBS,
	TASKS,
	SYNCS,
	BUFFERS,
	ARRAYS,
};

static const char * const array_name[ARRAYS] = {
	"bind_op", "sync_op", "job", "task", "sync", "buffer",
};

static size_t element_size(enum array which)
{
	static const size_t size[ARRAYS] = {
		sizeof(struct drm_npu_bind_op),
		sizeof(struct drm_npu_bo_sync_op),
		sizeof(struct drm_npu_job),
		sizeof(struct drm_npu_task),
		sizeof(struct drm_npu_sync),
		sizeof(struct drm_npu_buffer),
	};

	return size[which];
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
			 struct npu_bo *bo, enum array which, uint8_t *bytes)
{
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
	const void *from[ARRAYS] = {
		&map, &op, &job, &w->task, &sync, &buffer,
	};

	npu_syncobj_create(e->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &sync.handle);
	memcpy(bytes, from[which], element_size(which));
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
		good_element(e, w, bo, which, bytes + (size_t)n * stride);
	if (poke >= 0)
		bytes[(size_t)stride * (count - 1) + element_size(which) +
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
						which, element_size(which) +
						more, 3, -1))
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
						     element_size(which) + 16,
						     3, poke))
				TH_LOG("%s + %u", array_name[which], poke);
		}
	}
}

TEST_F(compat, elements_cannot_be_shorter_than_their_first_version)
{
	uint32_t stride, which;

	for (which = 0; which < ARRAYS; which++) {
		for (stride = 0; stride < element_size(which); stride += 4) {
			EXPECT_EQ(-EINVAL, array_call(&self->e, &self->w,
						      &self->bo, which, stride,
						      1, -1))
				TH_LOG("%s %u", array_name[which], stride);
		}
	}
}

TEST_F(compat, an_empty_array_has_no_pointer)
{
	enum array empty[] = { BIND_OPS, SYNC_OPS, SYNCS, BUFFERS };
	struct drm_npu_array array;
	uint64_t word;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(empty); n++) {
		array = (struct drm_npu_array){
			.ptr = (uintptr_t)&word,
		};
		EXPECT_EQ(-EINVAL, call_with_array(&self->e, &self->w,
						   empty[n], array));
		array.stride = element_size(empty[n]);
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
	good_element(&self->e, &self->w, &self->bo, TASKS, p);
	good_element(&self->e, &self->w, &self->bo, TASKS, p + stride);
	ret = call_with_array(&self->e, &self->w, TASKS, array);
	EXPECT_TRUE(ret == 0 || ret == -E2BIG);
	p[2 * stride - 1] = 1;
	EXPECT_EQ(-E2BIG, call_with_array(&self->e, &self->w, TASKS, array));
}

TEST_HARNESS_MAIN
