/*
 * RK3588 NPU: the host thread of one core
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "rk3588_npu_worker.h"

static void *worker_thread(void *opaque)
{
    NpuWorker *w = opaque;

    qemu_mutex_lock(&w->lock);
    while (!w->quit) {
        NpuTask *task = w->next;
        int64_t begin;

        if (!task) {
            qemu_cond_wait(&w->work, &w->lock);
            continue;
        }
        w->next = NULL;
        w->running = task;
        qemu_mutex_unlock(&w->lock);

        begin = g_get_monotonic_time();
        npu_task_compute(task);

        qemu_mutex_lock(&w->lock);
        w->took_us = g_get_monotonic_time() - begin;
        w->running = NULL;
        if (w->dropped == task) {
            w->dropped = NULL;
            npu_task_free(task);
            continue;
        }
        w->finished = task;
        qemu_cond_broadcast(&w->done);
        w->notify(w->opaque);
    }
    qemu_mutex_unlock(&w->lock);
    return NULL;
}

void npu_worker_init(NpuWorker *w, void (*notify)(void *opaque),
                     void *opaque)
{
    qemu_mutex_init(&w->lock);
    qemu_cond_init(&w->work);
    qemu_cond_init(&w->done);
    w->notify = notify;
    w->opaque = opaque;
}

void npu_worker_destroy(NpuWorker *w)
{
    npu_worker_drop(w);
    if (w->started) {
        qemu_mutex_lock(&w->lock);
        w->quit = true;
        qemu_cond_signal(&w->work);
        qemu_mutex_unlock(&w->lock);
        qemu_thread_join(&w->thread);
    }
    qemu_cond_destroy(&w->done);
    qemu_cond_destroy(&w->work);
    qemu_mutex_destroy(&w->lock);
}

void npu_worker_submit(NpuWorker *w, NpuTask *task, const char *name)
{
    if (!w->started) {
        qemu_thread_create(&w->thread, name, worker_thread, w,
                           QEMU_THREAD_JOINABLE);
        w->started = true;
    }
    qemu_mutex_lock(&w->lock);
    w->next = task;
    qemu_cond_signal(&w->work);
    qemu_mutex_unlock(&w->lock);
}

NpuTask *npu_worker_collect(NpuWorker *w, bool wait, int64_t *took_us)
{
    NpuTask *task;

    qemu_mutex_lock(&w->lock);
    while (!w->finished && wait) {
        qemu_cond_wait(&w->done, &w->lock);
    }
    task = w->finished;
    w->finished = NULL;
    *took_us = w->took_us;
    qemu_mutex_unlock(&w->lock);
    return task;
}

void npu_worker_drop(NpuWorker *w)
{
    qemu_mutex_lock(&w->lock);
    npu_task_free(w->next);
    npu_task_free(w->finished);
    w->next = w->finished = NULL;
    if (w->running) {
        npu_task_cancel(w->running);
        w->dropped = w->running;
    }
    qemu_mutex_unlock(&w->lock);
}
