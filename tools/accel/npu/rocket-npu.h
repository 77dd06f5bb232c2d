/* SPDX-License-Identifier: MIT */
/*
 * librocket-npu.so: what it counts.
 *
 * A program that runs with the library preloaded finds the function with
 * dlsym(RTLD_DEFAULT, "rocket_npu_get_stats"); without it, it finds nothing.
 */
#ifndef ROCKET_NPU_H
#define ROCKET_NPU_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct rocket_npu_stats - since the process started
 * @submits: submissions that the kernel accepted
 * @jobs: jobs in them
 * @tasks: tasks in them
 * @failed: times a job was found to have failed
 */
struct rocket_npu_stats {
	uint64_t submits;
	uint64_t jobs;
	uint64_t tasks;
	uint64_t failed;
};

/** rocket_npu_get_stats() - fill @stats; true when a device was in use */
bool rocket_npu_get_stats(struct rocket_npu_stats *stats);

#endif /* ROCKET_NPU_H */
