# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project. Each does all it needs: packages, sources,
# builds. KDIR=, LINUX=, QEMU=, NPU_CACHE= and JOBS= are passed on.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export LINUX QEMU NPU_CACHE JOBS

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make check      every test; the last line is "N passed, N failed, N skipped"
check:
	@scripts/check

## make shell      a shell on the emulated board, with npu.ko loaded
shell:
	@scripts/guest

.PHONY: help check shell
