# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project. Each does all it needs: packages, sources,
# builds. KDIR=, LINUX=, QEMU=, NPU_CACHE= and JOBS= are passed on.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export LINUX QEMU NPU_CACHE JOBS

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make run        a network on the emulated board's NPU, through npu.ko: handwritten
##                 digits, or MODEL=x.tflite IMAGE=x.bmp [LABELS=x.txt]
run:
	@MODEL='$(MODEL)' IMAGE='$(IMAGE)' LABELS='$(LABELS)' scripts/run

## make check      every test; the last line is "N passed, N failed, N skipped"
check:
	@scripts/check

## make bench      what npu and rocket cost, side by side; into build/bench.json
bench:
	@scripts/bench

## make timeline   what the cores did during make run, as a picture and for Perfetto;
##                 or during COMMAND='...' on the board
timeline:
	@MODEL='$(MODEL)' IMAGE='$(IMAGE)' LABELS='$(LABELS)' \
		scripts/timeline $(if $(COMMAND),-- '$(subst ','\'',$(COMMAND))')

## make shell      a shell on the emulated board, with npu.ko loaded
shell:
	@scripts/guest

## make modules    npu.ko against the kernel headers in KDIR=
modules:
	@scripts/build-module $(KDIR)

## make selftest   the kselftests, on the emulated board
selftest:
	@scripts/check 'selftest-*'

## make kunit      the driver's KUnit suites, on the emulated board
kunit:
	@scripts/check kunit

## make lint       the kernel's checkers: checkpatch, sparse and W=1, coccicheck,
##                 kernel-doc, headers, dt_binding_check; codespell; QEMU's checkpatch
lint:
	@scripts/lint

## make docs       the documentation as HTML, into build/docs; its warnings are errors
docs:
	@scripts/docs

## make series     the patches for the mailing lists, with a cover letter, into
##                 build/series; BUILD=y builds the kernel after each of them
series:
	@scripts/series $(if $(BUILD),--build)

.PHONY: help run check bench timeline shell modules selftest kunit lint docs series
