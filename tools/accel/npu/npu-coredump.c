// SPDX-License-Identifier: GPL-2.0-only
/*
 * npu-coredump: what a device core dump of the npu driver says.
 *
 *   npu-coredump [FILE]
 *
 * Without FILE, the first dump of an NPU core that the kernel has; "-" is the
 * standard input. A dump is text already (Documentation/accel/npu/faults.rst);
 * this adds the names of registers, what the words of command streams do, and
 * what is mapped at the addresses in them.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <drm/npu_accel.h>

#define DUMPS		"/sys/class/devcoredump"
#define VERSION		1
#define FAMILY		"rknn-rk3588"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* An address space */
struct map {
	uint64_t start, end;
	const char *line;
};

struct dump {
	char *text;
	struct map *maps;
	size_t num_maps;
};

/*
 * Names of registers
 */

struct reg {
	uint16_t offset;
	const char *name;
	bool is_address;
};

static const struct reg regs[] = {
	{ 0x0000, "VERSION" },
	{ 0x0004, "VERSION_NUM" },
	{ 0x0008, "OPERATION_ENABLE" },
	{ 0x0010, "BASE_ADDRESS", true },
	{ 0x0014, "REGISTER_AMOUNTS" },
	{ 0x0020, "INT_MASK" },
	{ 0x0024, "INT_CLEAR" },
	{ 0x0028, "INT_STATUS" },
	{ 0x002c, "INT_RAW_STATUS" },
	{ 0x0030, "TASK_CON" },
	{ 0x0034, "TASK_DMA_BASE_ADDR" },
	{ 0x003c, "TASK_STATUS" },

	{ 0x100c, "CONV_CON1" },
	{ 0x1010, "CONV_CON2" },
	{ 0x1014, "CONV_CON3" },
	{ 0x1020, "DATA_SIZE0" },
	{ 0x1024, "DATA_SIZE1" },
	{ 0x1028, "DATA_SIZE2" },
	{ 0x102c, "DATA_SIZE3" },
	{ 0x1030, "WEIGHT_SIZE0" },
	{ 0x1034, "WEIGHT_SIZE1" },
	{ 0x1038, "WEIGHT_SIZE2" },
	{ 0x1040, "CBUF_CON0" },
	{ 0x1044, "CBUF_CON1" },
	{ 0x104c, "CVT_CON0" },
	{ 0x1050, "CVT_CON1" },
	{ 0x1054, "CVT_CON2" },
	{ 0x1058, "CVT_CON3" },
	{ 0x105c, "CVT_CON4" },
	{ 0x1060, "FC_CON0" },
	{ 0x1064, "FC_CON1" },
	{ 0x1068, "PAD_CON0" },
	{ 0x1070, "FEATURE_DATA_ADDR", true },
	{ 0x1074, "FC_CON2" },
	{ 0x1078, "DMA_CON0" },
	{ 0x107c, "DMA_CON1" },
	{ 0x1080, "DMA_CON2" },
	{ 0x1084, "FC_DATA_SIZE0" },
	{ 0x1088, "FC_DATA_SIZE1" },
	{ 0x1090, "CLK_GATE" },
	{ 0x1100, "DCOMP_CTRL" },
	{ 0x1104, "DCOMP_REGNUM" },
	{ 0x1110, "DCOMP_ADDR0", true },
	{ 0x1180, "CVT_CON5" },
	{ 0x1184, "PAD_CON1" },

	{ 0x300c, "MAC_GATING" },
	{ 0x3010, "MISC_CFG" },
	{ 0x3014, "DATAOUT_SIZE_0" },
	{ 0x3018, "DATAOUT_SIZE_1" },
	{ 0x301c, "CLIP_TRUNCATE" },

	{ 0x400c, "FEATURE_MODE_CFG" },
	{ 0x4010, "DATA_FORMAT" },
	{ 0x4014, "OFFSET_PEND" },
	{ 0x4020, "DST_BASE_ADDR", true },
	{ 0x4024, "DST_SURF_STRIDE" },
	{ 0x4030, "DATA_CUBE_WIDTH" },
	{ 0x4034, "DATA_CUBE_HEIGHT" },
	{ 0x4038, "DATA_CUBE_NOTCH_ADDR" },
	{ 0x403c, "DATA_CUBE_CHANNEL" },
	{ 0x4040, "BS_CFG" },
	{ 0x4044, "BS_ALU_CFG" },
	{ 0x4048, "BS_MUL_CFG" },
	{ 0x404c, "BS_RELUX_CMP" },
	{ 0x4050, "BS_OW_CFG" },
	{ 0x4054, "BS_OW_OP" },
	{ 0x4058, "WDMA_SIZE_0" },
	{ 0x405c, "WDMA_SIZE_1" },
	{ 0x4060, "BN_CFG" },
	{ 0x4064, "BN_ALU_CFG" },
	{ 0x4068, "BN_MUL_CFG" },
	{ 0x406c, "BN_RELUX_CMP" },
	{ 0x4070, "EW_CFG" },
	{ 0x4074, "EW_CVT_OFFSET" },
	{ 0x4078, "EW_CVT_SCALE" },
	{ 0x407c, "EW_RELUX_CMP" },
	{ 0x4080, "OUT_CVT_OFFSET" },
	{ 0x4084, "OUT_CVT_SCALE" },
	{ 0x4088, "OUT_CVT_SHIFT" },
	{ 0x40c0, "SURFACE_ADD" },
	{ 0x4100, "LUT_ACCESS_CFG" },
	{ 0x4104, "LUT_ACCESS_DATA" },
	{ 0x4108, "LUT_CFG" },
	{ 0x410c, "LUT_INFO" },
	{ 0x4110, "LUT_LE_START" },
	{ 0x4114, "LUT_LE_END" },
	{ 0x4118, "LUT_LO_START" },
	{ 0x411c, "LUT_LO_END" },
	{ 0x4120, "LUT_LE_SLOPE_SCALE" },
	{ 0x4124, "LUT_LE_SLOPE_SHIFT" },
	{ 0x4128, "LUT_LO_SLOPE_SCALE" },
	{ 0x412c, "LUT_LO_SLOPE_SHIFT" },

	{ 0x500c, "DATA_CUBE_WIDTH" },
	{ 0x5010, "DATA_CUBE_HEIGHT" },
	{ 0x5014, "DATA_CUBE_CHANNEL" },
	{ 0x5018, "SRC_BASE_ADDR", true },
	{ 0x501c, "BRDMA_CFG" },
	{ 0x5020, "BS_BASE_ADDR", true },
	{ 0x5028, "NRDMA_CFG" },
	{ 0x502c, "BN_BASE_ADDR", true },
	{ 0x5034, "ERDMA_CFG" },
	{ 0x5038, "EW_BASE_ADDR", true },
	{ 0x5040, "EW_SURF_STRIDE" },
	{ 0x5044, "FEATURE_MODE_CFG" },
	{ 0x5048, "SRC_DMA_CFG" },
	{ 0x504c, "SURF_NOTCH" },
	{ 0x5064, "PAD_CFG" },
	{ 0x5068, "WEIGHT" },
	{ 0x506c, "EW_SURF_NOTCH" },

	{ 0x600c, "DATA_CUBE_IN_WIDTH" },
	{ 0x6010, "DATA_CUBE_IN_HEIGHT" },
	{ 0x6014, "DATA_CUBE_IN_CHANNEL" },
	{ 0x6018, "DATA_CUBE_OUT_WIDTH" },
	{ 0x601c, "DATA_CUBE_OUT_HEIGHT" },
	{ 0x6020, "DATA_CUBE_OUT_CHANNEL" },
	{ 0x6024, "OPERATION_MODE_CFG" },
	{ 0x6034, "POOLING_KERNEL_CFG" },
	{ 0x6038, "RECIP_KERNEL_WIDTH" },
	{ 0x603c, "RECIP_KERNEL_HEIGHT" },
	{ 0x6040, "POOLING_PADDING_CFG" },
	{ 0x6044, "PADDING_VALUE_1_CFG" },
	{ 0x6048, "PADDING_VALUE_2_CFG" },
	{ 0x6070, "DST_BASE_ADDR", true },
	{ 0x607c, "DST_SURF_STRIDE" },
	{ 0x6084, "DATA_FORMAT" },
	{ 0x60dc, "MISC_CTRL" },

	{ 0x700c, "CUBE_IN_WIDTH" },
	{ 0x7010, "CUBE_IN_HEIGHT" },
	{ 0x7014, "CUBE_IN_CHANNEL" },
	{ 0x701c, "SRC_BASE_ADDR", true },
	{ 0x7024, "SRC_LINE_STRIDE" },
	{ 0x7028, "SRC_SURF_STRIDE" },
	{ 0x7030, "DATA_FORMAT" },
};

/* Every unit but the PC begins with these */
static const char *const first_regs[] = {
	"S_STATUS", "S_POINTER", "OPERATION_ENABLE",
};

static const char *const units[] = {
	"PC", "CNA", NULL, "CORE", "DPU", "RDMA", "PPU", "PRDMA",
};

static const char *unit_of(uint16_t offset)
{
	const char *unit = NULL;

	if (offset >> 12 < ARRAY_SIZE(units))
		unit = units[offset >> 12];
	return unit ? unit : "?";
}

static const struct reg *find_reg(uint16_t offset)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		if (regs[i].offset == offset)
			return &regs[i];
	}
	return NULL;
}

/* Numbered ones and those of all units are not in the table */
static const char *name_of(uint16_t offset)
{
	const struct reg *reg = find_reg(offset);
	static char name[24];

	if (reg)
		return reg->name;
	if (offset >= 0x1000 && (offset & 0xfff) < 4 * ARRAY_SIZE(first_regs))
		return first_regs[(offset & 0xfff) / 4];
	if (offset >= 0x1140 && offset <= 0x117c)
		snprintf(name, sizeof(name), "DCOMP_AMOUNT%u", (offset - 0x1140) / 4);
	else if (offset >= 0x4090 && offset <= 0x40ac)
		snprintf(name, sizeof(name), "EW_OP_VALUE_%u", (offset - 0x4090) / 4);
	else
		snprintf(name, sizeof(name), "-");
	return name;
}

/*
 * Reading
 */

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "npu-coredump: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

/* Where the kernel keeps the dump of an NPU core */
static bool find_dump(char *path, size_t size)
{
	char link[PATH_MAX], target[PATH_MAX];
	bool found = false;
	struct dirent *d;
	const char *name;
	ssize_t len;
	DIR *dir;

	dir = opendir(DUMPS);
	while (dir && !found && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(link, sizeof(link), DUMPS "/%s/failing_device/driver",
			 d->d_name);
		len = readlink(link, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		name = strrchr(target, '/');
		found = name && !strcmp(name, "/npu-core");
		snprintf(path, size, DUMPS "/%s/data", d->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static char *read_all(FILE *file)
{
	size_t size = 0, room = 0, n;
	char *text = NULL;

	do {
		if (room - size < 2) {
			room = room * 2 + 65536;
			text = realloc(text, room);
			if (!text)
				die("no memory");
		}
		n = fread(text + size, 1, room - 1 - size, file);
		size += n;
	} while (n);
	if (ferror(file))
		die("cannot read: %s", strerror(errno));
	text[size] = 0;
	return text;
}

static const char *next_line(const char *line)
{
	line = line ? strchr(line, '\n') : NULL;
	return line && line[1] ? line + 1 : NULL;
}

/* What follows "key: ", NULL if there is no such line */
static const char *find(const struct dump *dump, const char *key)
{
	size_t len = strlen(key);
	const char *line;

	for (line = dump->text; line; line = next_line(line)) {
		if (!strncmp(line, key, len) && !strncmp(line + len, ": ", 2))
			return line + len + 2;
	}
	return NULL;
}

static long long number(const struct dump *dump, const char *key)
{
	const char *value = find(dump, key);

	if (!value)
		die("this dump has no \"%s\"", key);
	return strtoll(value, NULL, 0);
}

static const char *string(const struct dump *dump, const char *key)
{
	const char *value = find(dump, key);
	static char text[64];

	if (!value)
		die("this dump has no \"%s\"", key);
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, "\n"), value);
	return text;
}

/* Is it a line of the list that the line before has begun? */
static bool is_listed(const char *line)
{
	return line && !strncmp(line, "  ", 2);
}

static void read_maps(struct dump *dump)
{
	const char *line = next_line(find(dump, "maps"));
	struct map *map;

	for (; is_listed(line); line = next_line(line)) {
		dump->maps = realloc(dump->maps,
				     (dump->num_maps + 1) * sizeof(*map));
		if (!dump->maps)
			die("no memory");
		map = &dump->maps[dump->num_maps];
		map->line = line;
		if (sscanf(line, " %" SCNi64 "-%" SCNi64, &map->start,
			   &map->end) == 2)
			dump->num_maps++;
	}
}

/*
 * Printing
 */

static const char *class_name(long long class)
{
	static const char *const names[] = {
		[DRM_NPU_CLASS_BALANCED] = "balanced",
		[DRM_NPU_CLASS_LATENCY] = "latency",
		[DRM_NPU_CLASS_THROUGHPUT] = "throughput",
	};

	return class >= 0 && class < (long long)ARRAY_SIZE(names) ?
		names[class] : "unknown";
}

static void print_cause(const struct dump *dump)
{
	long long error = number(dump, "error");
	long long flags = number(dump, "fault-flags");

	printf("task %lld of the %lld of job %lld ", number(dump, "task"),
	       number(dump, "tasks"), number(dump, "job"));
	if (flags & DRM_NPU_FAULT_STREAM)
		printf("changed registers that belong to the kernel\n");
	else if (error == -EFAULT)
		printf("cannot %s 0x%llx\n",
		       flags & DRM_NPU_FAULT_WRITE ? "write" : "read",
		       number(dump, "fault-va"));
	else if (error == -ETIME)
		printf("made no progress for %lld ms\n",
		       number(dump, "timeout-ms"));
	else
		printf("failed: %s\n", strerror(-error));
}

static void print_head(const struct dump *dump)
{
	time_t seconds = number(dump, "time");
	char when[64];

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime(&seconds));
	printf("core %lld, %s", number(dump, "core"), when);
	printf(", kernel %s", string(dump, "kernel"));
	printf(", family %s", string(dump, "family"));
	printf(", version %#llx\n", number(dump, "hw-version"));
	print_cause(dump);
	printf("client %lld, vm %lld, %s, priority %lld, cores %#llx\n",
	       number(dump, "client"), number(dump, "vm"),
	       class_name(number(dump, "class")), number(dump, "priority"),
	       number(dump, "core-mask"));
	printf("jobs: %lld submitted, %lld done; %lld us on cores%s\n",
	       number(dump, "jobs-submitted"), number(dump, "jobs-done"),
	       number(dump, "hw-time-ns") / 1000,
	       number(dump, "program") ? "; the job runs a program" : "");
}

static void print_registers(const struct dump *dump)
{
	const char *line = next_line(find(dump, "registers"));
	unsigned int group, offset, value;

	printf("\nregisters\n");
	for (; is_listed(line); line = next_line(line)) {
		if (sscanf(line, " group %u %x: %x", &group, &offset, &value) != 3)
			continue;
		printf("  %u  %-5s 0x%04x %-21s 0x%08x\n", group, unit_of(offset),
		       offset, name_of(offset), value);
	}
}

static void print_mapping(const struct dump *dump, uint64_t va)
{
	size_t i;

	for (i = 0; i < dump->num_maps; i++) {
		const struct map *map = &dump->maps[i];

		if (va < map->start || va >= map->end)
			continue;
		printf("  %#" PRIx64 " bytes into %#" PRIx64 "-%#" PRIx64,
		       va - map->start, map->start, map->end);
		return;
	}
	if (dump->num_maps)
		printf("  not mapped");
}

/* What is not used is zero, and what was forgotten is, too */
static bool faulted_at_zero(const struct dump *dump)
{
	return number(dump, "error") == -EFAULT &&
		!(number(dump, "fault-va") & ~0xfffll);
}

static void print_word(const struct dump *dump, uint64_t va, uint64_t word)
{
	uint16_t target = word >> 48, offset = word;
	uint32_t value = word >> 16;
	const struct reg *reg = find_reg(offset);

	printf("  0x%08" PRIx64 "  ", va);
	if (!word) {
		printf("nothing\n");
	} else if (target == 0x0041) {
		printf("fence\n");
	} else if (target == 0x0081) {
		printf("start units %#x\n", value);
	} else {
		printf("%-5s 0x%04x %-21s 0x%08x", unit_of(offset), offset,
		       name_of(offset), value);
		if (offset >> 12 < ARRAY_SIZE(units) &&
		    target != (offset >> 12 ? 0x0100 << (offset >> 12) | 1 : 0x0101))
			printf("  to unit 0x%04x", target);
		if (reg && reg->is_address && (value || faulted_at_zero(dump)))
			print_mapping(dump, value);
		printf("\n");
	}
}

static void print_streams(const struct dump *dump)
{
	const char *line = next_line(find(dump, "streams")), *p;
	unsigned int task, size, unit;
	uint64_t va = 0, word;
	int used;

	for (; is_listed(line); line = next_line(line)) {
		if (sscanf(line, " task %u at %" SCNi64 ", %u bytes, ends with unit %u",
			   &task, &va, &size, &unit) == 4) {
			printf("\nstream of task %u, %u bytes, ends with %s%s\n",
			       task, size, unit ? "the PPU" : "the DPU",
			       task == number(dump, "task") ?
			       "; this is the one that failed" : "");
			continue;
		}
		for (p = line; sscanf(p, "%*[ ]%16" SCNx64 "%n", &word, &used) == 1;
		     p += used, va += 8)
			print_word(dump, va, word);
	}
}

static void print_maps(const struct dump *dump)
{
	const char *line = find(dump, "maps");

	printf("\naddress space: %.*s mappings\n", (int)strcspn(line, "\n"), line);
	for (line = next_line(line); is_listed(line); line = next_line(line))
		printf("%.*s\n", (int)strcspn(line, "\n"), line);
}

int main(int argc, char **argv)
{
	struct dump dump = { 0 };
	char path[PATH_MAX];
	FILE *file = stdin;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-' && argv[1][1])) {
		fprintf(stderr, "usage: npu-coredump [FILE]\n");
		return 2;
	}
	if (argc == 2)
		snprintf(path, sizeof(path), "%s", argv[1]);
	else if (!find_dump(path, sizeof(path)))
		die("the kernel has no dump of an NPU");
	if (strcmp(path, "-"))
		file = fopen(path, "r");
	if (!file)
		die("cannot open %s: %s", path, strerror(errno));

	dump.text = read_all(file);
	if (number(&dump, "npu-coredump") != VERSION)
		die("a dump of version %s", string(&dump, "npu-coredump"));
	if (strcmp(string(&dump, "family"), FAMILY))
		die("a dump of family %s", string(&dump, "family"));
	read_maps(&dump);
	print_head(&dump);
	print_registers(&dump);
	print_streams(&dump);
	print_maps(&dump);
	return 0;
}
