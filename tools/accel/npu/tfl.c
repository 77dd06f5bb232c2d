// SPDX-License-Identifier: GPL-2.0-only
/*
 * TensorFlow Lite with and without the NPU; see tfl.h.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tensorflow/lite/c/common.h>
#include <xf86drm.h>

#include "tfl.h"

#define TEFLON	"/usr/lib/teflon/libteflon.so"

/* The entry points that every external delegate has. */
static TfLiteDelegate *(*delegate_create)(char **keys, char **values,
					  size_t count,
					  void (*report)(const char *));
static void (*delegate_destroy)(TfLiteDelegate *delegate);

/*
 * The delegate being prepared. A delegate has no room for a caller's pointer
 * and networks are instantiated one after the other, so one will do.
 */
static struct {
	/* As they were before their functions were replaced */
	TfLiteDelegate delegate;
	TfLiteContext ctx;
	int nodes;
	int taken;
} preparing;

bool tfl_init(const char *path)
{
	void *lib;

	if (delegate_create)
		return true;

	lib = dlopen(path ? path : TEFLON, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		fprintf(stderr, "cannot load the NPU delegate: %s\n", dlerror());
		return false;
	}

	*(void **)&delegate_destroy = dlsym(lib, "tflite_plugin_destroy_delegate");
	*(void **)&delegate_create = dlsym(lib, "tflite_plugin_create_delegate");
	if (!delegate_create || !delegate_destroy) {
		fprintf(stderr, "%s is not a TensorFlow Lite delegate\n",
			path ? path : TEFLON);
		delegate_create = NULL;
		return false;
	}

	return true;
}

/* The name of the driver behind a node, as clients of this process see it. */
static bool driver_name(const char *node, char *name, size_t size)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);
	drmVersionPtr version;

	if (fd < 0) {
		snprintf(name, size, "%s", strerror(errno));
		return false;
	}

	version = drmGetVersion(fd);
	snprintf(name, size, "%s", version ? version->name : "no DRM driver");
	drmFreeVersion(version);
	close(fd);

	return version;
}

bool tfl_find_npu(void)
{
	DIR *dir = opendir("/dev/accel");
	bool any = false, npu = false;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char node[300], name[64];

		if (strncmp(entry->d_name, "accel", 5))
			continue;

		any = true;
		snprintf(node, sizeof(node), "/dev/accel/%s", entry->d_name);
		if (driver_name(node, name, sizeof(name)) &&
		    !strcmp(name, "rocket")) {
			closedir(dir);
			return true;
		}
		npu |= !strcmp(name, "npu");
		fprintf(stderr, "%s: %s\n", node, name);
	}
	if (dir)
		closedir(dir);

	if (npu)
		fprintf(stderr, "the driver is npu: set LD_PRELOAD=librocket-npu.so to let Mesa use it\n");
	else if (any)
		fprintf(stderr, "none of the accel devices is an NPU that Mesa can use\n");
	else
		fprintf(stderr, "there is no NPU: nothing in /dev/accel (is the driver loaded?)\n");

	return false;
}

static bool looks_like_model(const char *path)
{
	char head[8];
	struct stat st;
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}

	got = S_ISREG(st.st_mode) ? read(fd, head, sizeof(head)) : 0;
	close(fd);

	/* A flatbuffer carries its file identifier behind the root offset. */
	if (got != sizeof(head) || memcmp(head + 4, "TFL3", 4)) {
		fprintf(stderr, "%s: not a TensorFlow Lite model\n", path);
		return false;
	}

	return true;
}

TfLiteModel *tfl_load(const char *path)
{
	TfLiteModel *model;

	if (!looks_like_model(path))
		return NULL;

	model = TfLiteModelCreateFromFile(path);
	if (!model)
		fprintf(stderr, "%s: damaged TensorFlow Lite model\n", path);

	return model;
}

/*
 * Mesa knows a TfLiteRegistration that ends before inplace_operator; what
 * TensorFlow Lite finds there is whatever lay behind Mesa's structure. It must
 * not come to mean that outputs may overwrite inputs.
 */
static TfLiteStatus replace_nodes(TfLiteContext *ctx, TfLiteRegistration reg,
				  const TfLiteIntArray *nodes,
				  TfLiteDelegate *delegate)
{
	reg.inplace_operator = 0;
	preparing.taken += nodes->size;

	return preparing.ctx.ReplaceNodeSubsetsWithDelegateKernels(ctx, reg, nodes,
								   delegate);
}

static TfLiteStatus prepare(TfLiteContext *ctx, TfLiteDelegate *delegate)
{
	TfLiteIntArray *plan;
	TfLiteStatus status;

	if (ctx->GetExecutionPlan(ctx, &plan) == kTfLiteOk)
		preparing.nodes += plan->size;

	preparing.ctx = *ctx;
	ctx->ReplaceNodeSubsetsWithDelegateKernels = replace_nodes;
	status = preparing.delegate.Prepare(ctx, delegate);
	ctx->ReplaceNodeSubsetsWithDelegateKernels =
		preparing.ctx.ReplaceNodeSubsetsWithDelegateKernels;

	return status;
}

static TfLiteDelegate *teflon_create(void)
{
	TfLiteDelegate *delegate;

	if (!tfl_init(NULL) || !tfl_find_npu())
		return NULL;

	delegate = delegate_create(NULL, NULL, 0, NULL);
	if (!delegate) {
		fprintf(stderr, "the NPU delegate does not start on this device\n");
		return NULL;
	}

	preparing.delegate = *delegate;
	preparing.nodes = 0;
	preparing.taken = 0;
	delegate->Prepare = prepare;

	return delegate;
}

bool tfl_net_create(struct tfl_net *net, const TfLiteModel *model, bool npu)
{
	TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();

	*net = (struct tfl_net){};
	if (npu) {
		net->delegate = teflon_create();
		if (!net->delegate)
			goto err;
		TfLiteInterpreterOptionsAddDelegate(options, net->delegate);
	}

	TfLiteInterpreterOptionsSetNumThreads(options, 1);
	net->interp = TfLiteInterpreterCreate(model, options);
	if (!net->interp ||
	    TfLiteInterpreterAllocateTensors(net->interp) != kTfLiteOk) {
		fprintf(stderr, "TensorFlow Lite cannot prepare this network for the %s\n",
			npu ? "NPU" : "CPU");
		goto err;
	}

	if (npu) {
		net->nodes = preparing.nodes;
		net->taken = preparing.taken;
	}
	TfLiteInterpreterOptionsDelete(options);

	return true;

err:
	TfLiteInterpreterOptionsDelete(options);
	tfl_net_destroy(net);

	return false;
}

void tfl_net_destroy(struct tfl_net *net)
{
	if (net->interp)
		TfLiteInterpreterDelete(net->interp);
	if (net->delegate)
		delegate_destroy(net->delegate);
	*net = (struct tfl_net){};
}

size_t tfl_outputs_size(const struct tfl_net *net)
{
	int count = TfLiteInterpreterGetOutputTensorCount(net->interp);
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += TfLiteTensorByteSize(TfLiteInterpreterGetOutputTensor(net->interp, i));

	return size;
}

void tfl_outputs_copy(const struct tfl_net *net, void *to)
{
	int count = TfLiteInterpreterGetOutputTensorCount(net->interp);

	for (int i = 0; i < count; i++) {
		const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(net->interp, i);
		size_t size = TfLiteTensorByteSize(t);

		if (size)
			memcpy(to, TfLiteTensorData(t), size);
		to = (char *)to + size;
	}
}

static size_t element_size(TfLiteType type)
{
	switch (type) {
	case kTfLiteFloat32:
	case kTfLiteInt32:
		return 4;
	case kTfLiteInt16:
		return 2;
	default:
		return 1;
	}
}

static double element_diff(TfLiteType type, const void *a, const void *b)
{
	float fa, fb;
	int32_t ia, ib;
	int16_t sa, sb;

	switch (type) {
	case kTfLiteFloat32:
		memcpy(&fa, a, sizeof(fa));
		memcpy(&fb, b, sizeof(fb));
		if (isnan(fa) || isnan(fb))
			return isnan(fa) && isnan(fb) ? 0 : INFINITY;
		return fabs((double)fa - fb) * 256 / fmax(1, fabs(fb));
	case kTfLiteInt32:
		memcpy(&ia, a, sizeof(ia));
		memcpy(&ib, b, sizeof(ib));
		return fabs((double)ia - ib);
	case kTfLiteInt16:
		memcpy(&sa, a, sizeof(sa));
		memcpy(&sb, b, sizeof(sb));
		return abs(sa - sb);
	case kTfLiteInt8:
		return abs(*(const int8_t *)a - *(const int8_t *)b);
	default:
		return abs(*(const uint8_t *)a - *(const uint8_t *)b);
	}
}

static void diff_add(struct tfl_diff *diff, double d)
{
	diff->elements++;
	diff->max = fmax(diff->max, d);
	if (d == 0)
		diff->same++;
	else if (ceil(d) < TFL_DIFF_STEPS)
		diff->steps[(int)ceil(d)]++;
	else
		diff->steps[0]++;
}

void tfl_outputs_compare(const struct tfl_net *net, const void *outputs,
			 const void *reference, struct tfl_diff *diff)
{
	int count = TfLiteInterpreterGetOutputTensorCount(net->interp);
	const uint8_t *a = outputs, *b = reference;

	for (int i = 0; i < count; i++) {
		const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(net->interp, i);
		TfLiteType type = TfLiteTensorType(t);
		size_t step = element_size(type);
		size_t size = TfLiteTensorByteSize(t);

		for (size_t at = 0; at + step <= size; at += step)
			diff_add(diff, element_diff(type, a + at, b + at));
		a += size;
		b += size;
	}
}

void tfl_diff_print(const char *what, const struct tfl_diff *diff)
{
	printf("%s: %llu outputs, %llu equal", what,
	       (unsigned long long)diff->elements,
	       (unsigned long long)diff->same);
	for (int i = 1; i < TFL_DIFF_STEPS; i++)
		if (diff->steps[i])
			printf(", %llu differ by %d",
			       (unsigned long long)diff->steps[i], i);
	if (diff->steps[0])
		printf(", %llu by more", (unsigned long long)diff->steps[0]);
	printf("; largest difference %g\n", diff->max);
}
