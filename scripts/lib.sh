# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2034
#
# What every script here shares: where things are, how they speak, stamps and
# progress. Sourced, never run; the caller has done "set -eu".

TOP=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# Everything that is fetched or built from fetched sources lives in the cache;
# what is built from this checkout alone, and the logs, live in build/.
OUT=$TOP/build
NPU_CACHE=${NPU_CACHE:-$OUT}
mkdir -p "$NPU_CACHE" "$OUT/logs"
NPU_CACHE=$(CDPATH='' cd -- "$NPU_CACHE" && pwd)
LOGS=$OUT/logs
case $NPU_CACHE in
*[[:space:]:]*)
	echo "the kernel cannot be built below a path with spaces or colons:" \
		"$NPU_CACHE; set NPU_CACHE to another directory" >&2
	exit 1
	;;
esac
# What "make check LINUX=..." gave its scripts is no business of the kernel's make.
unset MAKEFLAGS MFLAGS MAKELEVEL
JOBS=${JOBS:-$(nproc)}

PROG=$(basename -- "$0")
TAB=$(printf '\t')
export LC_ALL=C

# One tree is given per override; these are the trees that are really built.
LINUX_TREE=$NPU_CACHE/linux
QEMU_TREE=$NPU_CACHE/qemu
if [ -n "${LINUX:-}" ]; then LINUX_TREE=$NPU_CACHE/linux-given; fi
if [ -n "${QEMU:-}" ]; then QEMU_TREE=$NPU_CACHE/qemu-given; fi
LINUX_BUILD=$LINUX_TREE-build
QEMU_BUILD=$QEMU_TREE-build
USERLAND=$NPU_CACHE/userland
SYSROOT=$NPU_CACHE/sysroot

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "$PROG" "$*" >&2
	exit 1
}

# The cross compiler's prefix: empty on an arm64 machine.
cross_prefix()
{
	case $(uname -m) in
	aarch64) ;;
	*) printf 'aarch64-linux-gnu-' ;;
	esac
}

# hash_files PATH...: one word that changes when any file's name, mode or
# content does. Paths that do not exist are allowed: their absence counts too.
hash_files()
{
	for hf_path in "$@"; do
		[ ! -e "$hf_path" ] || find "$hf_path" -type f -print0
	done | sort -z | xargs -0r sha256sum | sha256sum | cut -c1-32
}

# stamp_is FILE WORD: was this step finished with exactly these inputs?
stamp_is()
{
	[ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

stamp_set()
{
	printf '%s\n' "$2" >"$1.tmp"
	mv "$1.tmp" "$1"
}

# take_lock NAME: only one process builds a thing; the others wait for it.
take_lock()
{
	exec 9>"$NPU_CACHE/.lock-$1"
	if ! flock -n 9; then
		say "$PROG: waiting for another build of $1"
		flock 9
	fi
}

# what_now LOG: the newest line of a log, fit for a progress line.
what_now()
{
	tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' |
		tail -n 1 | tr "$TAB" ' ' | tr -s ' ' | cut -c1-60
}

# progress LABEL LOG PID [TOTAL]: until PID ends, tell how far LOG has come; on
# a terminal on one line, otherwise a line every fifteen seconds.
progress()
{
	pg_start=$(date +%s)
	pg_next=15
	while kill -0 "$3" 2>/dev/null; do
		sleep 1
		pg_sec=$(($(date +%s) - pg_start))
		pg_pct=
		if [ -n "${4:-}" ]; then
			pg_n=$(wc -l <"$2")
			[ "$pg_n" -lt "$4" ] || pg_n=$(($4 - 1))
			pg_pct=$((pg_n * 100 / $4))%
		fi
		if [ -t 1 ]; then
			printf '\r\033[K  %-10s %4d s %4s  %s' "$1" "$pg_sec" \
				"$pg_pct" "$(what_now "$2")"
		elif [ "$pg_sec" -ge "$pg_next" ]; then
			printf '  %-10s %4d s %4s  %s\n' "$1" "$pg_sec" \
				"$pg_pct" "$(what_now "$2")"
			pg_next=$((pg_sec + 15))
		fi
	done
	[ ! -t 1 ] || printf '\r\033[K'
}

# quietly LABEL LOG TOTAL COMMAND...: run COMMAND with its output in LOG and
# progress on the terminal; when it fails, show the end of LOG and give up.
# TOTAL is the number of lines LOG has at the end, or empty when not known.
quietly()
{
	ql_label=$1 ql_log=$2 ql_total=$3
	shift 3
	: >"$ql_log"
	ql_start=$(date +%s)
	"$@" >>"$ql_log" 2>&1 </dev/null &
	ql_pid=$!
	progress "$ql_label" "$ql_log" "$ql_pid" "$ql_total"
	if ! wait "$ql_pid"; then
		tail -n 40 "$ql_log" >&2
		die "$ql_label failed; the whole log is $ql_log"
	fi
	ql_sec=$(($(date +%s) - ql_start))
	[ "$ql_sec" -lt 2 ] || printf '  %-10s done in %d s\n' "$ql_label" "$ql_sec"
}

# Tests speak TAP: result STATUS NAME, is NAME COMMAND..., skip NAME WHY, and
# results at the end, which fails when one of them has.
tap_n=0 tap_bad=0
result()
{
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		say "ok $tap_n - $2"
	else
		say "not ok $tap_n - $2"
		tap_bad=$((tap_bad + 1))
	fi
}

is()
{
	is_name=$1 is_rc=0
	shift
	"$@" || is_rc=$?
	result "$is_rc" "$is_name"
}

skip()
{
	tap_n=$((tap_n + 1))
	say "ok $tap_n - $1 # SKIP $2"
}

results()
{
	say "1..$tap_n"
	[ "$tap_bad" -eq 0 ]
}

# For checkpatch: programs do not have the kernel's macros (attributes), what a
# selftest asserts is more than one statement (braces, macros), and their messages
# are not about functions. They are not held to --strict.
NOT_FOR_PROGRAMS=BRACES,EMBEDDED_FUNCTION_NAME,MACRO_WITH_FLOW_CONTROL
NOT_FOR_PROGRAMS=$NOT_FOR_PROGRAMS,MULTISTATEMENT_MACRO_USE_DO_WHILE
NOT_FOR_PROGRAMS=$NOT_FOR_PROGRAMS,PREFER_DEFINED_ATTRIBUTE_MACRO
