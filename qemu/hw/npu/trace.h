#include "trace/trace-hw_npu.h"
