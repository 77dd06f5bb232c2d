// SPDX-License-Identifier: GPL-2.0-only

#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_ip.h"
#include "npu_job.h"
#include "npu_pages.h"
#include "npu_program.h"
#include "npu_vm.h"

/**
 * DOC: Programs
 *
 * A program is a list of tasks with its command streams, taken over by the
 * kernel: copied once, checked once, and then run by its identifier. Its command
 * memory belongs to the kernel and is mapped read-only for the NPU, so it stays
 * what it was; it is resident, so a submit has nothing to restore or to look up.
 *
 * Most of what changes from one run to the next is where data lies. A run can
 * therefore patch addresses in the streams. That happens when its job gets a
 * core, under the lock and in the interrupt handler that starts it, and each
 * core has a copy of its own to patch: two runs on two cores do not see each
 * other's values, and two on one core are one after the other. A copy that is
 * as it was created is not touched by a run without values.
 *
 * The kernel can also link the streams. Each copy has links of its own, which lead
 * to the streams of the same copy. They are made once, so a run must not patch
 * them, and a stream that is run twice must be followed by the same one.
 *
 * Patching is a store through a write-combined mapping. The write that starts
 * the core comes behind it, and orders it.
 *
 * A program counts for its file until it is really gone, because jobs that run
 * it keep it. The last reference may be dropped where jobs are freed, which is
 * no place to take the locks of address spaces and cores, so a workqueue does
 * the rest.
 */

static struct workqueue_struct *npu_program_wq;

static int join_file(struct npu_program *program, struct npu_file *file)
{
	guard(mutex)(&file->lock);

	if (file->num_programs >= NPU_MAX_PROGRAMS)
		return -ENOSPC;

	file->num_programs++;
	kref_get(&file->ref);
	program->file = file;
	return 0;
}

static void leave_file(struct npu_program *program)
{
	struct npu_file *file = program->file;

	if (!file)
		return;
	scoped_guard(mutex, &file->lock)
		file->num_programs--;
	npu_file_put(file);
}

/* Also for one that was never finished. */
static void npu_program_free(struct npu_program *program)
{
	struct npu_device *npu = program->npu;

	if (program->cmds)
		npu_bo_vunmap(program->bo);
	if (program->va)
		npu_vm_unmap_kernel(program->vm, program->bo);
	npu_bo_put(program->bo);
	npu_vm_put(program->vm);
	leave_file(program);
	kvfree(program->patches);
	kvfree(program->tasks);
	kfree(program);
	drm_dev_put(&npu->drm);
}

static void npu_program_release_work(struct work_struct *work)
{
	npu_program_free(container_of(work, struct npu_program, release_work));
}

static void npu_program_release(struct kref *ref)
{
	struct npu_program *program = container_of(ref, struct npu_program, ref);

	queue_work(npu_program_wq, &program->release_work);
}

/**
 * npu_program_put() - drop a reference to a program
 * @program: the program, or NULL
 */
void npu_program_put(struct npu_program *program)
{
	if (program)
		kref_put(&program->ref, npu_program_release);
}

/**
 * npu_program_lookup() - find a program
 * @file: the file that owns it
 * @id: its identifier
 *
 * Return: the program with a reference, or NULL.
 */
struct npu_program *npu_program_lookup(struct npu_file *file, u32 id)
{
	struct npu_program *program;

	guard(mutex)(&file->lock);

	program = xa_load(&file->programs, id);
	if (program)
		kref_get(&program->ref);
	return program;
}

static unsigned int num_copies(const struct npu_program *program)
{
	return program->num_patches ? program->npu->num_cores : 1;
}

/**
 * npu_program_base() - where are the command streams that a core runs?
 * @program: the program
 * @core: index of the core
 *
 * Return: the address that offsets of tasks count from.
 */
u32 npu_program_base(const struct npu_program *program, unsigned int core)
{
	return program->va + (u64)core * program->stride;
}

/**
 * npu_program_patch_locked() - prepare the copy of a core for a run
 * @program: the program
 * @core: index of the core, which does not run the program
 * @values: one for each patch, or NULL to run what the program was created with
 */
void npu_program_patch_locked(struct npu_program *program, unsigned int core,
			      const u32 *values)
{
	void *copy = program->cmds + (u64)core * program->stride;

	lockdep_assert_held(&program->npu->sched.lock);

	if (!values && !(program->dirty & BIT_ULL(core)))
		return;

	for (u32 i = 0; i < program->num_patches; i++) {
		const struct npu_patch *patch = &program->patches[i];

		put_unaligned_le32(values ? values[i] : patch->value,
				   copy + patch->offset);
	}
	if (values)
		program->dirty |= BIT_ULL(core);
	else
		program->dirty &= ~BIT_ULL(core);
}
EXPORT_SYMBOL_IF_KUNIT(npu_program_patch_locked);

/**
 * npu_program_peek() - read command memory as a core sees it
 * @program: the program
 * @va: address
 * @to: where to copy it
 * @size: bytes
 *
 * Return: how much was copied: what is not of the program is left out.
 */
size_t npu_program_peek(const struct npu_program *program, u64 va, void *to, size_t size)
{
	u64 offset = va - program->va, end = program->bo->base.size;

	if (offset >= end)
		return 0;
	size = min(size, end - offset);
	memcpy(to, program->cmds + offset, size);
	return size;
}

static const char *link_copy(const struct npu_program *program, unsigned int copy)
{
	const struct npu_ip_ops *ops = program->npu->ip->ops;
	void *cmds = program->cmds + (u64)copy * program->stride;
	u32 base = npu_program_base(program, copy);
	const char *why = NULL;

	/* The last one is followed by nothing. */
	for (u32 i = 0; i + 1 < program->num_tasks && !why; i++) {
		const struct npu_task *task = &program->tasks[i];

		why = ops->unlink(cmds + task->cmd_va, task->cmd_size);
	}
	for (u32 i = 0; i + 1 < program->num_tasks && !why; i++) {
		const struct npu_task *task = &program->tasks[i], *next = task + 1;

		if (!ops->link(cmds + task->cmd_va, task->cmd_size,
			       base + next->cmd_va, next->cmd_size))
			why = "is followed by different ones";
	}
	return why;
}

/**
 * npu_program_link() - let each command stream name the next one, in all copies
 * @program: a program with its memory
 *
 * Return: NULL, or what is wrong with the streams.
 */
const char *npu_program_link(const struct npu_program *program)
{
	const struct npu_ip_ops *ops = program->npu->ip->ops;
	unsigned int copies = num_copies(program);
	const char *why = NULL;

	for (unsigned int i = 0; i < copies && !why; i++)
		why = link_copy(program, i);

	for (u32 i = 0; i < program->num_patches && !why; i++)
		if (ops->is_link(program->cmds +
				 round_down(program->patches[i].offset, sizeof(u64))))
			why = "has its link patched";
	return why;
}
EXPORT_SYMBOL_IF_KUNIT(npu_program_link);

static int link_streams(struct npu_program *program)
{
	const char *why;

	if (!program->linked)
		return 0;

	why = npu_program_link(program);
	if (why)
		drm_dbg(&program->npu->drm, "a stream of program %s\n", why);
	return why ? -EINVAL : 0;
}

static int parse_tasks(struct npu_program *program, const struct drm_npu_array *array)
{
	struct npu_device *npu = program->npu;
	struct drm_npu_task *in;
	const char *why = NULL;

	in = npu_array_copy(array, sizeof(*in), sizeof(*in), NPU_MAX_TASKS);
	if (IS_ERR(in))
		return PTR_ERR(in);
	if (!in) {
		drm_dbg(&npu->drm, "program without tasks\n");
		return -EINVAL;
	}

	program->num_tasks = array->count;
	program->tasks = kvcalloc(array->count, sizeof(*program->tasks),
				  GFP_KERNEL_ACCOUNT);
	if (!program->tasks) {
		kvfree(in);
		return -ENOMEM;
	}
	for (u32 i = 0; i < array->count && !why; i++) {
		why = npu_task_check(npu->ip, &in[i], !i, program->size,
				     &program->tasks[i]);
		if (why)
			drm_dbg(&npu->drm, "task %u of program: %s\n", i, why);
	}
	kvfree(in);
	if (program->linked && !why) {
		why = npu_tasks_check_linked(program->tasks, program->num_tasks);
		if (why)
			drm_dbg(&npu->drm, "linked tasks of program: %s\n", why);
	}
	return why ? -EINVAL : 0;
}

static int parse_patches(struct npu_program *program, const struct drm_npu_array *array)
{
	struct npu_device *npu = program->npu;
	struct drm_npu_patch *in;
	const char *why = NULL;

	in = npu_array_copy(array, sizeof(*in), sizeof(*in), NPU_MAX_PATCHES);
	if (IS_ERR_OR_NULL(in))
		return PTR_ERR_OR_ZERO(in);

	program->num_patches = array->count;
	program->patches = kvcalloc(array->count, sizeof(*program->patches),
				    GFP_KERNEL_ACCOUNT);
	if (!program->patches) {
		kvfree(in);
		return -ENOMEM;
	}
	for (u32 i = 0; i < array->count && !why; i++) {
		why = npu_patch_check(&in[i], program->size);
		if (why)
			drm_dbg(&npu->drm, "patch %u of program: %s\n", i, why);
		program->patches[i].offset = in[i].offset;
	}
	kvfree(in);
	return why ? -EINVAL : 0;
}

/* Page by page, so that all copies are the same, whatever userspace does. */
static int copy_cmds(struct npu_program *program, u64 from, unsigned int copies)
{
	void *page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	int ret = page ? 0 : -ENOMEM;
	u32 len;

	for (u32 pos = 0; pos < program->size && !ret; pos += len) {
		len = min_t(u32, program->size - pos, PAGE_SIZE);
		if (copy_from_user(page, u64_to_user_ptr(from + pos), len)) {
			ret = -EFAULT;
			break;
		}
		for (unsigned int i = 0; i < copies; i++)
			memcpy(program->cmds + (u64)i * program->stride + pos, page,
			       len);
		cond_resched();
	}
	kfree(page);
	if (ret)
		return ret;

	for (u32 i = 0; i < program->num_patches; i++) {
		struct npu_patch *patch = &program->patches[i];

		patch->value = get_unaligned_le32(program->cmds + patch->offset);
	}
	return 0;
}

static int make_memory(struct npu_program *program, u64 cmds)
{
	struct npu_device *npu = program->npu;
	unsigned int copies = num_copies(program);
	struct npu_bo *bo;
	void *map;
	u64 va;
	int ret;

	if (program->num_patches)
		program->stride = ALIGN(program->size, max_t(u32, SMP_CACHE_BYTES,
							     npu->ip->cmd_align));

	bo = npu_bo_create_kernel(npu, program->vm,
				  program->size + (copies - 1) * (u64)program->stride);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	program->bo = bo;

	map = npu_bo_vmap(bo);
	if (IS_ERR(map))
		return PTR_ERR(map);
	program->cmds = map;

	ret = copy_cmds(program, cmds, copies);
	if (ret)
		return ret;

	ret = npu_vm_map_kernel(program->vm, bo, &va);
	if (!ret)
		program->va = va;
	return ret;
}

static struct npu_program *npu_program_create(struct npu_file *file, struct npu_vm *vm,
					      const struct drm_npu_program_create *args)
{
	struct npu_program *program;
	int ret;

	program = kzalloc_obj(*program, GFP_KERNEL_ACCOUNT);
	if (!program)
		return ERR_PTR(-ENOMEM);

	kref_init(&program->ref);
	INIT_WORK(&program->release_work, npu_program_release_work);
	program->npu = file->npu;
	drm_dev_get(&program->npu->drm);
	program->vm = npu_vm_get(vm);
	program->size = args->cmds_size;
	program->linked = args->flags & DRM_NPU_PROGRAM_LINKED;

	ret = parse_tasks(program, &args->tasks);
	if (!ret)
		ret = parse_patches(program, &args->patches);
	if (!ret)
		ret = join_file(program, file);
	if (!ret)
		ret = make_memory(program, args->cmds);
	if (!ret)
		ret = link_streams(program);
	if (ret) {
		npu_program_free(program);
		return ERR_PTR(ret);
	}
	return program;
}

/* What programs that were destroyed have had may not have been given back yet. */
static void flush_programs(struct npu_device *npu)
{
	npu_job_flush(npu);
	flush_workqueue(npu_program_wq);
}

static int check_create(struct npu_device *npu,
			const struct drm_npu_program_create *args)
{
	if ((args->flags & ~DRM_NPU_PROGRAM_LINKED) || args->pad)
		return -EINVAL;
	if (!args->cmds_size || !IS_ALIGNED(args->cmds_size, npu->ip->cmd_align)) {
		drm_dbg(&npu->drm, "program of %#llx bytes\n", args->cmds_size);
		return -EINVAL;
	}
	return args->cmds_size > NPU_MAX_PROGRAM_SIZE ? -E2BIG : 0;
}

/**
 * npu_ioctl_program_create() - DRM_IOCTL_NPU_PROGRAM_CREATE
 * @drm: the DRM device
 * @data: &struct drm_npu_program_create
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_program_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_device *npu = to_npu_device(drm);
	struct drm_npu_program_create *args = data;
	struct npu_program *program;
	struct npu_vm *vm;
	int ret;

	ret = check_create(npu, args);
	if (ret)
		return ret;

	vm = npu_vm_lookup(nfile, args->vm_id);
	if (!vm)
		return -ENOENT;

	program = npu_program_create(nfile, vm, args);
	if (program == ERR_PTR(-ENOSPC) || program == ERR_PTR(-EPERM)) {
		flush_programs(npu);
		program = npu_program_create(nfile, vm, args);
	}
	npu_vm_put(vm);
	if (IS_ERR(program)) {
		drm_dbg(drm, "no program: %pe\n", program);
		return PTR_ERR(program);
	}

	scoped_guard(mutex, &nfile->lock)
		ret = npu_file_add(nfile, &nfile->programs, program,
				   &nfile->next_program, &args->program_id);
	if (ret)
		npu_program_put(program);
	return ret;
}

/**
 * npu_ioctl_program_destroy() - DRM_IOCTL_NPU_PROGRAM_DESTROY
 * @drm: the DRM device
 * @data: &struct drm_npu_program_destroy
 * @file: the file
 *
 * Return: 0, or a negative error.
 */
int npu_ioctl_program_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_program_destroy *args = data;
	struct npu_program *program;

	if (args->pad)
		return -EINVAL;

	scoped_guard(mutex, &nfile->lock)
		program = xa_erase(&nfile->programs, args->program_id);
	if (!program)
		return -ENOENT;

	npu_program_put(program);
	return 0;
}

/**
 * npu_program_module_init() - prepare for programs
 *
 * Return: 0, or -ENOMEM.
 */
int npu_program_module_init(void)
{
	npu_program_wq = alloc_workqueue("npu-program", WQ_UNBOUND, 0);
	return npu_program_wq ? 0 : -ENOMEM;
}

/**
 * npu_program_module_exit() - wait until the last program is gone
 *
 * No file is open and no context is left, so nobody has a program any more.
 */
void npu_program_module_exit(void)
{
	destroy_workqueue(npu_program_wq);
}
