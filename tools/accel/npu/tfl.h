/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TensorFlow Lite with and without the NPU.
 *
 * A network is loaded once and can be instantiated for the CPU and for the NPU.
 * For the NPU that means Mesa's Teflon delegate, unmodified, in front of
 * whatever kernel driver it finds. What the delegate took and what it submitted
 * is counted here, outside of it, so that a network that silently ran on the
 * CPU cannot be mistaken for one that ran on the NPU.
 */
#ifndef TFL_H
#define TFL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tensorflow/lite/c/c_api.h>

/**
 * struct tfl_net - a network ready to run
 * @interp: TensorFlow Lite's interpreter
 * @delegate: Teflon, or NULL on the CPU
 * @nodes: operations in the graph
 * @taken: operations that the delegate took
 */
struct tfl_net {
	TfLiteInterpreter *interp;
	struct TfLiteDelegate *delegate;
	int nodes;
	int taken;
};

/**
 * struct tfl_diff - how two sets of outputs differ
 * @same: elements that are equal
 * @steps: elements that differ by n steps, n = 1..TFL_DIFF_STEPS - 1; element 0
 *	counts those that differ by more
 * @max: largest difference, in steps
 * @elements: elements compared
 */
#define TFL_DIFF_STEPS	9
struct tfl_diff {
	uint64_t same;
	uint64_t steps[TFL_DIFF_STEPS];
	double max;
	uint64_t elements;
};

/** struct tfl_work - what reached the NPU since the program started */
struct tfl_work {
	uint64_t jobs;
	uint64_t tasks;
	uint64_t failed;
	uint64_t interrupts;
	bool have_interrupts;
};

/**
 * tfl_init() - load the delegate's library ahead of time
 *
 * Optional; a program that forks before it creates networks saves the time in
 * every child.
 */
bool tfl_init(const char *delegate_path);

/** tfl_find_npu() - is there a device the delegate can use? Says why not. */
bool tfl_find_npu(void);

/** tfl_load() - a model from a file; says what is wrong with it */
TfLiteModel *tfl_load(const char *path);

/** tfl_net_create() - instantiate @model; says what went wrong */
bool tfl_net_create(struct tfl_net *net, const TfLiteModel *model, bool npu);
void tfl_net_destroy(struct tfl_net *net);

/** tfl_outputs_size() - bytes of all outputs together */
size_t tfl_outputs_size(const struct tfl_net *net);
void tfl_outputs_copy(const struct tfl_net *net, void *to);

/**
 * tfl_outputs_compare() - add the differences between outputs to @diff
 *
 * Integers differ in steps; floating point numbers in units of a 256th of the
 * larger of the reference's magnitude and one.
 */
void tfl_outputs_compare(const struct tfl_net *net, const void *outputs,
			 const void *reference, struct tfl_diff *diff);

/** tfl_diff_print() - one line about @diff */
void tfl_diff_print(const char *what, const struct tfl_diff *diff);

void tfl_work_get(struct tfl_work *work);

/**
 * tfl_work_since() - what has reached the NPU since @before
 *
 * Returns whether all of it ended well, as far as can be told.
 */
bool tfl_work_since(const struct tfl_work *before, struct tfl_work *work);

/** tfl_on_rocket() - no preload library: the driver, if any, is rocket */
bool tfl_on_rocket(void);

/** tfl_work_settle() - to be called before the process ends */
void tfl_work_settle(void);

#endif /* TFL_H */
