/*
 * RK3588 NPU: the host thread of one core
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_NPU_RK3588_NPU_WORKER_H
#define HW_NPU_RK3588_NPU_WORKER_H

#include "qemu/thread.h"
#include "rk3588_npu_engine.h"

/*
 * Computes one task at a time.  The owner hands a task over, asks whether it
 * is done or waits for it, and takes it back; or drops it at any time, and
 * then the result is discarded.
 */
typedef struct NpuWorker {
    QemuThread thread;
    QemuMutex lock;
    QemuCond work, done;
    bool started;

    /* protected by lock */
    bool quit;
    NpuTask *next;          /* handed over, not begun */
    NpuTask *running;       /* being computed */
    NpuTask *dropped;       /* running, but nobody wants it any more */
    NpuTask *finished;
    int64_t took_us;        /* host time that @finished needed */

    /* called in the thread when a task is finished; must be thread-safe */
    void (*notify)(void *opaque);
    void *opaque;
} NpuWorker;

void npu_worker_init(NpuWorker *w, void (*notify)(void *opaque),
                     void *opaque);
void npu_worker_destroy(NpuWorker *w);

/* The worker owns @task from here on. */
void npu_worker_submit(NpuWorker *w, NpuTask *task, const char *name);

/*
 * The finished task, owned by the caller again, and the host time it needed;
 * NULL when it is not finished and @wait is false.
 */
NpuTask *npu_worker_collect(NpuWorker *w, bool wait, int64_t *took_us);

/* Forget the task handed over last, in whatever state it is. */
void npu_worker_drop(NpuWorker *w);

#endif /* HW_NPU_RK3588_NPU_WORKER_H */
