// SPDX-License-Identifier: GPL-2.0-only

#include <linux/compat.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_print.h>
#include <drm/npu_accel.h>

#include <kunit/visibility.h>

#include "npu_ctx.h"
#include "npu_device.h"
#include "npu_drv.h"
#include "npu_gem.h"
#include "npu_prime.h"
#include "npu_program.h"
#include "npu_result.h"
#include "npu_submit.h"
#include "npu_usage.h"
#include "npu_vm.h"

/**
 * DOC: Front end
 *
 * What userspace passes in gets its shape checked here: structures that are
 * longer than the driver knows, and arrays. Everything else, including what the
 * content means, is up to the part of the driver that a call belongs to.
 */

/**
 * npu_array_check() - check the shape of an array of userspace
 * @array: where it is
 * @min: size of the first version of the structure
 * @max: most elements allowed
 *
 * Return: 0, -EINVAL or -E2BIG.
 */
int npu_array_check(const struct drm_npu_array *array, size_t min, u32 max)
{
	if (!array->count)
		return !array->ptr && (!array->stride || array->stride >= min) ?
		       0 : -EINVAL;
	if (array->stride < min)
		return -EINVAL;
	/* No structure will ever be that large. */
	if (array->count > max || array->stride > PAGE_SIZE)
		return -E2BIG;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(npu_array_check);

/**
 * npu_array_copy_to() - copy an array of structures from userspace
 * @array: where it is
 * @min: size of the first version of the structure
 * @size: size of the structure as we know it
 * @max: most elements allowed
 * @room: where few elements can go, or NULL
 * @room_size: size of @room
 *
 * Elements shorter than ours are filled up with zeroes; longer ones have to
 * contain zeroes where we know nothing.
 *
 * Return: the elements, for kvfree() unless they are in @room; NULL, which is no
 * error, for none; or an error pointer.
 */
void *npu_array_copy_to(const struct drm_npu_array *array, size_t min, size_t size,
			u32 max, void *room, size_t room_size)
{
	void *elements;
	int ret;

	ret = npu_array_check(array, min, max);
	if (ret)
		return ERR_PTR(ret);
	if (!array->count)
		return NULL;

	if (array->count <= room_size / size) {
		elements = room;
	} else {
		elements = kvcalloc(array->count, size, GFP_KERNEL_ACCOUNT);
		if (!elements)
			return ERR_PTR(-ENOMEM);
	}

	if (array->stride == size) {
		if (copy_from_user(elements, u64_to_user_ptr(array->ptr),
				   array->count * size))
			ret = -EFAULT;
	} else {
		for (u32 i = 0; i < array->count && !ret; i++)
			ret = copy_struct_from_user(elements + i * size, size,
						    u64_to_user_ptr(array->ptr +
								    (u64)i * array->stride),
						    array->stride);
	}
	if (ret) {
		if (elements != room)
			kvfree(elements);
		return ERR_PTR(ret);
	}
	return elements;
}

/**
 * npu_file_add() - give an object an identifier
 * @file: the file that owns it
 * @table: &npu_file.vms, &npu_file.ctxs or &npu_file.programs
 * @entry: the object
 * @next: where to look for a free identifier
 * @id: the identifier
 *
 * Called with &npu_file.lock. Identifiers are not reused soon, so that a stale
 * one is an error.
 *
 * Return: 0 or -ENOMEM.
 */
int npu_file_add(struct npu_file *file, struct xarray *table, void *entry,
		 u32 *next, u32 *id)
{
	int ret;

	lockdep_assert_held(&file->lock);

	ret = xa_alloc_cyclic(table, id, entry, XA_LIMIT(1, INT_MAX), next,
			      GFP_KERNEL_ACCOUNT);
	return ret < 0 ? ret : 0;
}

static void npu_file_release(struct kref *ref)
{
	struct npu_file *file = container_of(ref, struct npu_file, ref);

	mutex_destroy(&file->lock);
	kfree(file);
}

/**
 * npu_file_put() - drop a reference to what a file owns
 * @file: what it owns
 */
void npu_file_put(struct npu_file *file)
{
	kref_put(&file->ref, npu_file_release);
}

static int npu_open(struct drm_device *drm, struct drm_file *file)
{
	struct npu_file *nfile;

	nfile = kzalloc_obj(*nfile, GFP_KERNEL_ACCOUNT);
	if (!nfile)
		return -ENOMEM;

	kref_init(&nfile->ref);
	nfile->npu = to_npu_device(drm);
	mutex_init(&nfile->lock);
	INIT_LIST_HEAD(&nfile->all_ctxs);
	npu_sched_client_init(&nfile->share);
	xa_init_flags(&nfile->vms, XA_FLAGS_ALLOC1);
	xa_init_flags(&nfile->ctxs, XA_FLAGS_ALLOC1);
	xa_init_flags(&nfile->programs, XA_FLAGS_ALLOC1);
	file->driver_priv = nfile;
	return 0;
}

static void npu_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_program *program;
	struct npu_vm *vm;
	unsigned long id;

	npu_ctx_close_all(nfile);
	xa_for_each(&nfile->programs, id, program)
		npu_program_put(program);
	xa_for_each(&nfile->vms, id, vm)
		npu_vm_put(vm);

	xa_destroy(&nfile->programs);
	xa_destroy(&nfile->ctxs);
	xa_destroy(&nfile->vms);
	npu_file_put(nfile);
}

static const struct drm_ioctl_desc npu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(NPU_QUERY, npu_ioctl_query, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_BO_CREATE, npu_ioctl_bo_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_BO_QUERY, npu_ioctl_bo_query, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_BO_SYNC, npu_ioctl_bo_sync, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_BO_WAIT, npu_ioctl_bo_wait, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_VM_CREATE, npu_ioctl_vm_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_VM_DESTROY, npu_ioctl_vm_destroy, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_VM_BIND, npu_ioctl_vm_bind, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_CTX_CREATE, npu_ioctl_ctx_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_CTX_DESTROY, npu_ioctl_ctx_destroy, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_SUBMIT, npu_ioctl_submit, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_BO_MADVISE, npu_ioctl_bo_madvise, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_CTX_QUERY, npu_ioctl_ctx_query, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_CTX_SET, npu_ioctl_ctx_set, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_JOB_QUERY, npu_ioctl_job_query, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_PROGRAM_CREATE, npu_ioctl_program_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(NPU_PROGRAM_DESTROY, npu_ioctl_program_destroy,
			  DRM_RENDER_ALLOW),
};

/*
 * The DRM core fills up arguments that are too short, but does not look at what
 * is too long.
 */
static int check_tail(unsigned int cmd, unsigned long arg)
{
	unsigned int nr = DRM_IOCTL_NR(cmd), known;
	int ret;

	if (_IOC_TYPE(cmd) != DRM_IOCTL_BASE || nr < DRM_COMMAND_BASE ||
	    nr - DRM_COMMAND_BASE >= ARRAY_SIZE(npu_ioctls))
		return 0;

	known = _IOC_SIZE(npu_ioctls[nr - DRM_COMMAND_BASE].cmd);
	if (_IOC_SIZE(cmd) <= known)
		return 0;

	ret = check_zeroed_user((void __user *)(arg + known), _IOC_SIZE(cmd) - known);
	if (ret < 0)
		return ret;
	return ret ? 0 : -E2BIG;
}

/*
 * Jobs cannot be taken back when it turns out that there is no place for their
 * ids, so that is tried before.
 */
static int check_place(unsigned int cmd, unsigned long arg)
{
	struct drm_npu_submit __user *submit = (void __user *)arg;

	if (_IOC_TYPE(cmd) != DRM_IOCTL_BASE || !(cmd & IOC_OUT) ||
	    DRM_IOCTL_NR(cmd) != DRM_COMMAND_BASE + DRM_NPU_SUBMIT ||
	    _IOC_SIZE(cmd) < offsetofend(struct drm_npu_submit, first_job))
		return 0;

	return put_user(0, &submit->first_job);
}

static long npu_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	int ret = check_tail(cmd, arg) ?: check_place(cmd, arg);

	return ret ?: drm_ioctl(filp, cmd, arg);
}

#ifdef CONFIG_COMPAT
static long npu_compat_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	unsigned long ptr = (unsigned long)compat_ptr(arg);
	int ret = check_tail(cmd, ptr) ?: check_place(cmd, ptr);

	return ret ?: drm_compat_ioctl(filp, cmd, arg);
}
#else
#define npu_compat_ioctl NULL
#endif

/*
 * Distributions build kernels without accel nodes. On those, the module gives a
 * render node with the same calls.
 */
#if IS_ENABLED(CONFIG_DRM_ACCEL)
#define NPU_NODE	DRIVER_COMPUTE_ACCEL
#define npu_node_open	accel_open
#else
#define NPU_NODE	DRIVER_RENDER
#define npu_node_open	drm_open
#endif

static const struct file_operations npu_fops = {
	.owner = THIS_MODULE,
	.open = npu_node_open,
	.release = drm_release,
	.unlocked_ioctl = npu_ioctl,
	.compat_ioctl = npu_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	.show_fdinfo = drm_show_fdinfo,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

/*
 * Versions:
 * - 1.0 - the first
 * - 1.1 - results of jobs, state of contexts, programs, residency, on-chip
 *	   memory, imported buffers
 * - 1.2 - tasks that follow each other, timeouts of contexts
 */
const struct drm_driver npu_drm_driver = {
	.driver_features = NPU_NODE | DRIVER_GEM | DRIVER_GEM_GPUVA |
			   DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = npu_open,
	.postclose = npu_postclose,
	.show_fdinfo = npu_usage_show,
	.gem_prime_import = npu_prime_import,
	.gem_prime_import_sg_table = npu_prime_import_sg_table,
	.ioctls = npu_ioctls,
	.num_ioctls = ARRAY_SIZE(npu_ioctls),
	.fops = &npu_fops,
	.name = "npu",
	.desc = "Neural processing unit",
	.major = 1,
	.minor = 2,
};

static int __init npu_init(void)
{
	int ret;

	ret = npu_ctx_module_init();
	if (ret)
		return ret;

	ret = npu_program_module_init();
	if (ret)
		goto err_ctx;

	ret = npu_facade_register();
	if (ret)
		goto err_program;

	ret = platform_driver_register(&npu_core_driver);
	if (ret)
		goto err_facade;

	return 0;

err_facade:
	npu_facade_unregister();
err_program:
	npu_program_module_exit();
err_ctx:
	npu_ctx_module_exit();
	return ret;
}

static void __exit npu_exit(void)
{
	platform_driver_unregister(&npu_core_driver);
	npu_facade_unregister();
	npu_ctx_module_exit();
	npu_program_module_exit();
}

module_init(npu_init);
module_exit(npu_exit);

MODULE_DESCRIPTION("Neural processing units of embedded SoCs");
MODULE_LICENSE("GPL");
