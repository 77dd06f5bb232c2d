// SPDX-License-Identifier: GPL-2.0-only
/*
 * npu-classify: run a network on pictures, on the NPU and on the CPU.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "picture.h"
#include "tfl.h"

#define MAX_LABELS	100000

static const char usage[] =
"usage: npu-classify --model FILE (--image FILE | --digits FILE) [options]\n"
"\n"
"Runs a TensorFlow Lite network on a picture, or on a file of handwritten\n"
"digits, on the NPU and on the CPU, and shows the answers.\n"
"\n"
"  --model FILE     the network (.tflite) with one input\n"
"  --image FILE     a picture (BMP, PNG, JPEG), scaled to the input\n"
"  --digits FILE    digits with labels, as nets/digits.py packs them\n"
"  --labels FILE    names of the classes, one on each line\n"
"  --npu | --cpu    only there, without the comparison\n"
"  --top N          show the N best classes of a picture (5)\n"
"  --show N         show the first N digits (0)\n"
"  --limit N        run at most N digits\n"
"  --repeat N       run a picture N times (1)\n"
"  --compare        show how the outputs differ from the CPU's\n"
"  --strict         fail when an answer differs from the CPU's\n"
"  --dump FILE      write the raw outputs (of the NPU, unless --cpu)\n"
"  --delegate FILE  the NPU delegate (/usr/lib/teflon/libteflon.so)\n"
"  --timeout N      give up after N seconds (300)\n"
"\n"
"The last line says how many inputs were run, how many answers are correct\n"
"(digits only), how many are identical to the CPU's, how many jobs the NPU was\n"
"given, and the seconds spent in running the network there. An answer is the\n"
"class with the largest output, the first of equals; it is identical to the\n"
"CPU's when no other class is better on the CPU (or, when the first output is\n"
"no list of classes, when all outputs are equal). --compare tells about the\n"
"outputs themselves.\n"
"\n"
"Exit status: 0, or 1 when anything went wrong: also when the NPU was given\n"
"nothing to do, or did not finish what it was given.\n";

struct options {
	const char *model, *image, *digits, *labels, *dump, *delegate;
	bool cpu, npu, compare, strict;
	unsigned int top, show, limit, repeat, timeout;
};

/**
 * struct run - everything about one run
 * @opt: what was asked for
 * @cpu: the network on the CPU, when @opt->cpu
 * @npu: the network on the NPU, when @opt->npu
 * @dump: where outputs go, or NULL
 * @outputs: outputs of the answer that counts
 * @reference: outputs of the CPU
 * @size: bytes of each
 * @diff: differences so far
 * @before: what had reached the NPU before
 * @inputs: inputs run
 * @correct: answers that are the label
 * @identical: answers that are the CPU's
 * @seconds: time spent in running the network, on the CPU only with --cpu
 */
struct run {
	const struct options *opt;
	struct tfl_net cpu, npu;
	FILE *dump;
	uint8_t *outputs, *reference;
	size_t size;
	struct tfl_diff diff;
	struct tfl_work before;
	unsigned int inputs, correct, identical;
	double seconds;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

static const struct tfl_net *main_net(const struct run *run)
{
	return run->opt->npu ? &run->npu : &run->cpu;
}

/* The input's height, width and channels; a picture needs all three. */
static bool input_shape(const struct tfl_net *net, int shape[3])
{
	const TfLiteTensor *t;

	if (TfLiteInterpreterGetInputTensorCount(net->interp) != 1) {
		fprintf(stderr, "the network has %d inputs instead of one\n",
			TfLiteInterpreterGetInputTensorCount(net->interp));
		return false;
	}

	t = TfLiteInterpreterGetInputTensor(net->interp, 0);
	if (TfLiteTensorNumDims(t) != 4 || TfLiteTensorDim(t, 0) != 1 ||
	    (TfLiteTensorDim(t, 3) != 1 && TfLiteTensorDim(t, 3) != 3)) {
		fprintf(stderr, "the network's input is not one picture with 1 or 3 channels\n");
		return false;
	}
	if (TfLiteTensorType(t) != kTfLiteUInt8 &&
	    TfLiteTensorType(t) != kTfLiteInt8 &&
	    TfLiteTensorType(t) != kTfLiteFloat32) {
		fprintf(stderr, "the network's input is neither 8-bit nor floating point\n");
		return false;
	}

	for (int i = 0; i < 3; i++)
		shape[i] = TfLiteTensorDim(t, i + 1);

	return true;
}

/*
 * Pixels as networks of each type expect them: as they are, as they are around
 * zero, or from -1 to 1.
 */
static void set_input(const struct tfl_net *net, const uint8_t *pixels)
{
	TfLiteTensor *t = TfLiteInterpreterGetInputTensor(net->interp, 0);
	size_t count = TfLiteTensorByteSize(t);
	void *data = TfLiteTensorData(t);

	switch (TfLiteTensorType(t)) {
	case kTfLiteFloat32:
		for (size_t i = 0; i < count / sizeof(float); i++)
			((float *)data)[i] = (pixels[i] - 127.5f) / 127.5f;
		break;
	case kTfLiteInt8:
		for (size_t i = 0; i < count; i++)
			((int8_t *)data)[i] = pixels[i] - 128;
		break;
	default:
		memcpy(data, pixels, count);
	}
}

static double value(TfLiteType type, const void *data, size_t i)
{
	switch (type) {
	case kTfLiteFloat32:
		return ((const float *)data)[i];
	case kTfLiteInt8:
		return ((const int8_t *)data)[i];
	default:
		return ((const uint8_t *)data)[i];
	}
}

/* How many classes the first output ranks; 0 when it is no list of classes. */
static size_t classes(const struct tfl_net *net)
{
	const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(net->interp, 0);
	int dims = TfLiteTensorNumDims(t);
	size_t count;

	switch (TfLiteTensorType(t)) {
	case kTfLiteFloat32:
		count = TfLiteTensorByteSize(t) / sizeof(float);
		break;
	case kTfLiteInt8:
	case kTfLiteUInt8:
		count = TfLiteTensorByteSize(t);
		break;
	default:
		return 0;
	}

	return dims && (size_t)TfLiteTensorDim(t, dims - 1) == count ? count : 0;
}

/* The class with the largest value but for those in @seen, the first of equals. */
static size_t next_best(const struct tfl_net *net, const void *outputs,
			const size_t *seen, size_t seen_count)
{
	const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(net->interp, 0);
	TfLiteType type = TfLiteTensorType(t);
	size_t count = classes(net), best = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		bool skip = false;

		for (size_t j = 0; j < seen_count; j++)
			skip |= seen[j] == i;
		if (!skip && (best == SIZE_MAX ||
			      value(type, outputs, i) > value(type, outputs, best)))
			best = i;
	}

	return best;
}

static size_t answer(const struct tfl_net *net, const void *outputs)
{
	return next_best(net, outputs, NULL, 0);
}

/* Equally good answers of the CPU are all the CPU's. */
static bool same_answer(const struct run *run)
{
	const TfLiteTensor *t =
		TfLiteInterpreterGetOutputTensor(run->cpu.interp, 0);
	TfLiteType type = TfLiteTensorType(t);

	if (!classes(&run->cpu))
		return !memcmp(run->outputs, run->reference, run->size);

	return value(type, run->reference, answer(&run->npu, run->outputs)) ==
	       value(type, run->reference, answer(&run->cpu, run->reference));
}

static bool invoke(struct tfl_net *net, const uint8_t *pixels, void *outputs,
		   double *seconds)
{
	double start;

	set_input(net, pixels);
	start = now();
	if (TfLiteInterpreterInvoke(net->interp) != kTfLiteOk) {
		fprintf(stderr, "TensorFlow Lite could not run the network\n");
		return false;
	}
	*seconds += now() - start;
	tfl_outputs_copy(net, outputs);

	return true;
}

static bool run_one(struct run *run, const uint8_t *pixels)
{
	const struct options *opt = run->opt;
	double unused = 0;

	if (opt->cpu && !invoke(&run->cpu, pixels, run->reference,
				opt->npu ? &unused : &run->seconds))
		return false;
	if (opt->npu && !invoke(&run->npu, pixels, run->outputs, &run->seconds))
		return false;
	if (!opt->npu)
		memcpy(run->outputs, run->reference, run->size);

	run->inputs++;
	if (opt->cpu && opt->npu) {
		tfl_outputs_compare(&run->cpu, run->outputs, run->reference,
				    &run->diff);
		run->identical += same_answer(run);
	}
	if (run->dump && fwrite(run->outputs, 1, run->size, run->dump) != run->size) {
		perror(opt->dump);
		return false;
	}

	return true;
}

/* Digits */

/* Two rows of pixels to a line of text, so that a digit keeps its shape. */
static void draw_row(const struct digits *digits, const uint8_t *pixels,
		     uint32_t row)
{
	static const char ink[] = " .:-=+*#%@";

	for (uint32_t x = 0; x < digits->width; x++) {
		unsigned int sum = pixels[row * digits->width + x];

		if (row + 1 < digits->height)
			sum += pixels[(row + 1) * digits->width + x];
		else
			sum *= 2;
		putchar(ink[sum * (sizeof(ink) - 2) / 510]);
	}
}

/* A digit to show: which one, and the answer. */
struct shown {
	uint32_t index;
	size_t answer;
};

static void show_digits(const struct run *run, const struct digits *digits,
			const struct shown *shown, uint32_t count)
{
	for (uint32_t row = 0; row < digits->height; row += 2) {
		for (uint32_t i = 0; i < count; i++) {
			fputs("  ", stdout);
			draw_row(digits, digits_get(digits, shown[i].index) + 1,
				 row);
		}
		putchar('\n');
	}

	for (uint32_t i = 0; i < count; i++) {
		char text[64];
		unsigned int label = *digits_get(digits, shown[i].index);

		snprintf(text, sizeof(text), "is %u, %s says %zu", label,
			 run->opt->npu ? "NPU" : "CPU", shown[i].answer);
		printf("  %-*s", (int)digits->width, text);
	}
	printf("\n\n");
}

static bool run_digits(struct run *run)
{
	const struct options *opt = run->opt;
	const struct tfl_net *net = main_net(run);
	uint32_t per_line, count;
	struct shown shown[8];
	struct digits digits;
	int shape[3];
	bool good = true;

	if (!input_shape(net, shape) || !digits_load(opt->digits, &digits))
		return false;
	if (!classes(net) || shape[0] != (int)digits.height || shape[1] != (int)digits.width ||
	    shape[2] != 1) {
		fprintf(stderr, "the digits are %ux%u pixels, the network takes %dx%dx%d and tells %zu classes\n",
			digits.width, digits.height, shape[1], shape[0], shape[2],
			classes(net));
		free(digits.data);
		return false;
	}

	count = opt->limit && opt->limit < digits.count ? opt->limit : digits.count;
	per_line = digits.width <= 16 ? 4 : 2;
	for (uint32_t i = 0; i < count && good; i++) {
		const uint8_t *digit = digits_get(&digits, i);
		uint32_t slot = i % per_line;
		size_t best;

		good = run_one(run, digit + 1);
		if (!good)
			break;
		best = answer(net, run->outputs);
		run->correct += best == digit[0];
		shown[slot] = (struct shown){ .index = i, .answer = best };
		if (i < opt->show &&
		    (slot == per_line - 1 || i + 1 == opt->show || i + 1 == count))
			show_digits(run, &digits, shown, slot + 1);
	}
	free(digits.data);

	return good;
}

/* Pictures */

static char **load_labels(const char *path, size_t *count)
{
	char **labels = calloc(MAX_LABELS, sizeof(*labels));
	FILE *f = fopen(path, "re");
	size_t n = 0, size = 0;
	char *line = NULL;

	if (!f || !labels) {
		perror(path);
		free(labels);
		return NULL;
	}

	while (n < MAX_LABELS && getline(&line, &size, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		/* Binary files and stray control bytes stay off the terminal. */
		for (char *p = line; *p; p++)
			if ((unsigned char)*p < ' ')
				*p = '?';
		labels[n++] = strdup(line);
	}
	free(line);
	fclose(f);
	*count = n;

	return labels;
}

static double probability(const struct tfl_net *net, const void *outputs,
			  size_t i)
{
	const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(net->interp, 0);
	TfLiteQuantizationParams q = TfLiteTensorQuantizationParams(t);
	double v = value(TfLiteTensorType(t), outputs, i);

	if (TfLiteTensorType(t) == kTfLiteFloat32 || !q.scale)
		return v;

	return (v - q.zero_point) * q.scale;
}

static bool show_top(const struct run *run)
{
	const struct options *opt = run->opt;
	const struct tfl_net *net = main_net(run);
	size_t count = 0, n = classes(net), *seen;
	char **labels = NULL;

	if (!n) {
		printf("the first output is not a list of classes\n");
		return true;
	}
	if (opt->labels) {
		labels = load_labels(opt->labels, &count);
		if (!labels)
			return false;
	}
	if (labels && count != n)
		fprintf(stderr, "note: %s has %zu lines for %zu classes\n",
			opt->labels, count, n);

	seen = calloc(opt->top + 1, sizeof(*seen));
	for (unsigned int i = 0; seen && i < opt->top && i < n; i++) {
		seen[i] = next_best(net, run->outputs, seen, i);
		printf("%5zu  %8.4f  %s\n", seen[i],
		       probability(net, run->outputs, seen[i]),
		       labels && seen[i] < count ? labels[seen[i]] : "");
	}
	free(seen);

	for (size_t i = 0; i < count; i++)
		free(labels[i]);
	free(labels);

	return true;
}

static bool run_image(struct run *run)
{
	const struct options *opt = run->opt;
	uint8_t *pixels;
	bool good = true;
	int shape[3];

	if (!input_shape(main_net(run), shape))
		return false;

	pixels = picture_load(opt->image, shape[1], shape[0], shape[2]);
	if (!pixels)
		return false;

	for (unsigned int i = 0; i < opt->repeat && good; i++)
		good = run_one(run, pixels);
	free(pixels);

	return good && show_top(run);
}

/* Did what was given to the NPU get done there? */
static bool check_work(struct run *run, struct tfl_work *work)
{
	bool done = tfl_work_since(&run->before, work);

	if (!work->jobs) {
		fprintf(stderr, "the delegate took %d of %d operations, but gave the NPU nothing to do\n",
			run->npu.taken, run->npu.nodes);
		return false;
	}
	if (work->failed)
		fprintf(stderr, "jobs failed on the NPU\n");
	else if (!done)
		fprintf(stderr, "the NPU finished %llu times for %llu jobs of %llu tasks: some did not end\n",
			(unsigned long long)work->interrupts,
			(unsigned long long)work->jobs,
			(unsigned long long)work->tasks);

	return done;
}

static bool report(struct run *run)
{
	const struct options *opt = run->opt;
	struct tfl_work work = {};
	bool good = true;

	if (opt->npu)
		good = check_work(run, &work);
	if (opt->npu)
		printf("the NPU took %d of %d operations; %llu tasks, %llu interrupts\n",
		       run->npu.taken, run->npu.nodes,
		       (unsigned long long)work.tasks,
		       (unsigned long long)work.interrupts);
	if (opt->compare && opt->npu && opt->cpu)
		tfl_diff_print("difference to the CPU", &run->diff);

	printf("run: %u inputs", run->inputs);
	if (opt->digits)
		printf(", %u correct", run->correct);
	if (opt->npu && opt->cpu)
		printf(", %u identical to CPU", run->identical);
	if (opt->npu)
		printf(", %llu jobs on the NPU", (unsigned long long)work.jobs);
	printf(", %.2f s\n", run->seconds);

	if (opt->strict && opt->npu && opt->cpu && run->identical != run->inputs)
		good = false;

	return good;
}

static bool prepare(struct run *run, const TfLiteModel *model)
{
	const struct options *opt = run->opt;

	if (opt->cpu && !tfl_net_create(&run->cpu, model, false))
		return false;
	if (opt->npu && (!tfl_init(opt->delegate) ||
			 !tfl_net_create(&run->npu, model, true)))
		return false;
	if (opt->npu && !run->npu.taken) {
		fprintf(stderr, "the delegate takes none of the network's %d operations: it would run on the CPU\n",
			run->npu.nodes);
		return false;
	}

	run->size = tfl_outputs_size(main_net(run));
	if (!run->size) {
		fprintf(stderr, "the network has no output of a known size\n");
		return false;
	}
	run->outputs = calloc(1, run->size);
	run->reference = calloc(1, run->size);
	if (opt->dump) {
		run->dump = fopen(opt->dump, "we");
		if (!run->dump)
			perror(opt->dump);
	}

	return run->outputs && run->reference && (!opt->dump || run->dump);
}

static int classify(const struct options *opt)
{
	struct run run = { .opt = opt };
	TfLiteModel *model = tfl_load(opt->model);
	bool good;

	if (!model)
		return 1;

	good = prepare(&run, model);
	if (good) {
		tfl_work_get(&run.before);
		good = opt->digits ? run_digits(&run) : run_image(&run);
	}
	if (good)
		good = report(&run);
	if (run.dump && fclose(run.dump)) {
		perror(opt->dump);
		good = false;
	}

	tfl_work_settle();
	tfl_net_destroy(&run.npu);
	tfl_net_destroy(&run.cpu);
	TfLiteModelDelete(model);
	free(run.outputs);
	free(run.reference);

	return !good;
}

/*
 * The delegate crashes on some networks and a driver may never answer, so the
 * work is done in a child and its end is told in plain words.
 */
static int supervise(const struct options *opt)
{
	pid_t pid = fork();
	int status;

	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (!pid) {
		alarm(opt->timeout);
		status = classify(opt);
		fflush(NULL);
		_exit(status);
	}

	if (waitpid(pid, &status, 0) != pid) {
		perror("waitpid");
		return 1;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);

	if (WTERMSIG(status) == SIGALRM)
		fprintf(stderr, "not done after %u seconds\n", opt->timeout);
	else
		fprintf(stderr, "%s crashed on this network (%s)\n",
			opt->npu ? "TensorFlow Lite or its NPU delegate" :
				   "TensorFlow Lite",
			strsignal(WTERMSIG(status)));

	return 1;
}

static unsigned int number(const char *text, const char *name)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || n > 1000000) {
		fprintf(stderr, "--%s: '%s' is not a number from 0 to 1000000\n",
			name, text);
		exit(1);
	}

	return n;
}

enum {
	OPT_MODEL, OPT_IMAGE, OPT_DIGITS, OPT_LABELS, OPT_DUMP, OPT_DELEGATE,
	OPT_TOP, OPT_SHOW, OPT_LIMIT, OPT_REPEAT, OPT_TIMEOUT,
	OPT_CPU, OPT_NPU, OPT_COMPARE, OPT_STRICT, OPT_HELP,
};

static const struct option long_options[] = {
	{ "model", required_argument, NULL, OPT_MODEL },
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "digits", required_argument, NULL, OPT_DIGITS },
	{ "labels", required_argument, NULL, OPT_LABELS },
	{ "dump", required_argument, NULL, OPT_DUMP },
	{ "delegate", required_argument, NULL, OPT_DELEGATE },
	{ "top", required_argument, NULL, OPT_TOP },
	{ "show", required_argument, NULL, OPT_SHOW },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "repeat", required_argument, NULL, OPT_REPEAT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "cpu", no_argument, NULL, OPT_CPU },
	{ "npu", no_argument, NULL, OPT_NPU },
	{ "compare", no_argument, NULL, OPT_COMPARE },
	{ "strict", no_argument, NULL, OPT_STRICT },
	{ "help", no_argument, NULL, OPT_HELP },
	{}
};

static void parse(struct options *opt, int argc, char **argv)
{
	const char **strings[] = { &opt->model, &opt->image, &opt->digits,
				   &opt->labels, &opt->dump, &opt->delegate };
	unsigned int *numbers[] = { &opt->top, &opt->show, &opt->limit,
				    &opt->repeat, &opt->timeout };
	bool *flags[] = { &opt->cpu, &opt->npu, &opt->compare, &opt->strict };
	int c, index;

	while ((c = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (c == OPT_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		if (c < OPT_MODEL || c > OPT_HELP) {
			fputs(usage, stderr);
			exit(1);
		}
		if (c < OPT_TOP)
			*strings[c] = optarg;
		else if (c < OPT_CPU)
			*numbers[c - OPT_TOP] = number(optarg,
						       long_options[index].name);
		else
			*flags[c - OPT_CPU] = true;
	}

	if (optind != argc || !opt->model || !opt->image == !opt->digits) {
		fputs(usage, stderr);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .top = 5, .repeat = 1, .timeout = 300 };

	parse(&opt, argc, argv);
	if (opt.cpu == opt.npu) {
		opt.cpu = true;
		opt.npu = true;
	}

	setvbuf(stdout, NULL, _IOLBF, 0);

	return supervise(&opt);
}
