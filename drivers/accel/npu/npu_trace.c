// SPDX-License-Identifier: GPL-2.0-only

/* sparse takes the macros behind this for mistakes. */
#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "npu_trace.h"
#endif
