/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __NPU_SUBMIT_H__
#define __NPU_SUBMIT_H__

struct drm_device;
struct drm_file;

int npu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __NPU_SUBMIT_H__ */
