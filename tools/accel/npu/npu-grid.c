// SPDX-License-Identifier: GPL-2.0-only
/*
 * npu-grid: run many small networks on the NPU and on the CPU, and compare.
 *
 * Every network runs in a child of its own: the delegate crashes on some, and a
 * device that hangs must not stop the others. The children are forked from a
 * process that has loaded everything already, so one costs little.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tfl.h"

/* A difference of this many steps is rounding: Mesa's own tests allow it. */
#define TOLERANCE	2

#define MAX_WORKERS	16
#define MAX_OUTPUT	(64 << 20)

static const char usage[] =
"usage: npu-grid [options] DIR\n"
"\n"
"Runs every network of a directory on random input, on the CPU and on the NPU,\n"
"and compares the outputs. DIR/LIST, where there is one, names the networks\n"
"without .tflite and gives the order.\n"
"\n"
"  --known FILE     differences that are expected: lines of a pattern for the\n"
"                   network's name, a tab and the reason; # starts a comment.\n"
"                   A reason that begins with \"crash:\" is one for a crash, too\n"
"  --only PATTERN   only the networks whose names match\n"
"  --seed N         another seed for the inputs (1)\n"
"  --dump FILE      write each name and the NPU's outputs\n"
"  --jobs N         networks at a time (1)\n"
"  --timeout N      seconds that one network may take (60)\n"
"  --quiet          show only networks that are not within 2 steps\n"
"  --delegate FILE  the NPU delegate (/usr/lib/teflon/libteflon.so)\n"
"\n"
"Input bytes come from splitmix64, seeded with the seed and the FNV-1a hash of\n"
"the name. A network whose jobs did not end is run once more, for one in fifty\n"
"at most. Exit status: 0 when every network ran on the NPU entirely and came\n"
"within 2 steps of the CPU or is listed as known, else 1.\n";

struct options {
	const char *dir, *known, *only, *dump, *delegate;
	unsigned int seed, jobs, timeout;
	bool quiet;
};

enum outcome {
	OUTCOME_PASS, OUTCOME_KNOWN, OUTCOME_DIFFERS, OUTCOME_PARTLY,
	OUTCOME_UNFINISHED, OUTCOME_ERROR, OUTCOME_CRASH, OUTCOME_TIMEOUT, OUTCOME_COUNT,
};

static const char * const outcome_names[] = {
	[OUTCOME_PASS] = "ok",
	[OUTCOME_KNOWN] = "known",
	[OUTCOME_DIFFERS] = "DIFFERS",
	[OUTCOME_PARTLY] = "NOT ALL ON THE NPU",
	[OUTCOME_UNFINISHED] = "JOBS DID NOT END",
	[OUTCOME_ERROR] = "FAILED",
	[OUTCOME_CRASH] = "CRASHED",
	[OUTCOME_TIMEOUT] = "TIMED OUT",
};

/**
 * struct answer - what a child sends; @size bytes of outputs follow
 * @done: the network was run
 * @unfinished: jobs did not end, or not well
 * @nodes: operations of the network
 * @taken: operations that the delegate took
 * @jobs: jobs that the NPU was given
 * @diff: the comparison
 * @size: bytes of the outputs
 */
struct answer {
	uint32_t done;
	uint32_t unfinished;
	int32_t nodes;
	int32_t taken;
	uint64_t jobs;
	struct tfl_diff diff;
	uint64_t size;
};

/**
 * struct item - a network
 * @name: its name
 * @finished: it has been run
 * @again: it is run a second time
 * @outcome: how it went
 * @reason: why a difference is known
 * @answer: what its child found
 * @outputs: the outputs on the NPU, when they are to be dumped
 */
struct item {
	char *name;
	bool finished;
	bool again;
	enum outcome outcome;
	const char *reason;
	struct answer answer;
	uint8_t *outputs;
};

/* A line of the file of known differences. */
struct known {
	char *pattern, *reason;
};

/**
 * struct worker - a running child
 * @item: what it runs, or NULL
 * @pid: the child
 * @fd: where it answers
 * @deadline: when it is killed
 * @got: bytes of its answer so far
 * @room: bytes that @data has room for
 * @data: its answer
 */
struct worker {
	struct item *item;
	pid_t pid;
	int fd;
	double deadline;
	size_t got, room;
	uint8_t *data;
};

/* Everything about one run. */
struct grid {
	const struct options *opt;
	struct item *items;
	size_t count;
	struct known *known;
	size_t known_count;
	struct worker workers[MAX_WORKERS];
	size_t again;
	FILE *dump;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *grow(void *array, size_t count, size_t size)
{
	/* Powers of two, so that adding one by one is linear. */
	if (count & (count - 1))
		return array;

	array = reallocarray(array, count ? count * 2 : 1, size);
	if (!array) {
		perror("npu-grid");
		exit(1);
	}

	return array;
}

/* The child */

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;

	return z ^ (z >> 31);
}

static uint64_t fnv1a(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;

	return hash;
}

static void random_inputs(const struct tfl_net *net, uint64_t seed)
{
	int count = TfLiteInterpreterGetInputTensorCount(net->interp);

	for (int i = 0; i < count; i++) {
		TfLiteTensor *t = TfLiteInterpreterGetInputTensor(net->interp, i);
		size_t size = TfLiteTensorByteSize(t);
		uint8_t *data = TfLiteTensorData(t);

		for (size_t at = 0; at < size; at++)
			data[at] = splitmix64(&seed);
	}
}

static bool write_all(int fd, const void *data, size_t size)
{
	const uint8_t *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		size -= n;
	}

	return true;
}

static bool run_net(struct tfl_net *net, const TfLiteModel *model, bool npu,
		    uint64_t seed, void **outputs)
{
	if (!tfl_net_create(net, model, npu))
		return false;

	random_inputs(net, seed);
	if (TfLiteInterpreterInvoke(net->interp) != kTfLiteOk) {
		fprintf(stderr, "TensorFlow Lite could not run the network\n");
		return false;
	}

	*outputs = malloc(tfl_outputs_size(net) + 1);
	if (*outputs)
		tfl_outputs_copy(net, *outputs);

	return *outputs;
}

/* Ends without tidying up: the process ends anyway. */
static bool run_item(const struct options *opt, const struct item *item, int fd)
{
	uint64_t seed = fnv1a(item->name) ^ opt->seed;
	struct answer answer = {};
	struct tfl_work before, work;
	struct tfl_net cpu, npu;
	void *outputs, *reference;
	TfLiteModel *model;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.tflite", opt->dir, item->name);
	tfl_work_get(&before);
	model = tfl_load(path);
	if (!model || !run_net(&cpu, model, false, seed, &reference) ||
	    !run_net(&npu, model, true, seed, &outputs))
		return false;

	/* With several children at a time, the interrupts are of all of them. */
	answer.done = true;
	answer.unfinished = !tfl_work_since(&before, &work);
	tfl_outputs_compare(&npu, outputs, reference, &answer.diff);
	answer.nodes = npu.nodes;
	answer.taken = npu.taken;
	answer.jobs = work.jobs;
	answer.size = opt->dump ? tfl_outputs_size(&npu) : 0;

	return write_all(fd, &answer, sizeof(answer)) &&
	       write_all(fd, outputs, answer.size);
}

/* The parent */

static void start(struct grid *grid, struct worker *worker, struct item *item)
{
	int fds[2];

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC)) {
		perror("pipe");
		exit(1);
	}

	worker->pid = fork();
	if (worker->pid < 0) {
		perror("fork");
		exit(1);
	}
	if (!worker->pid) {
		bool good;

		close(fds[0]);
		good = run_item(grid->opt, item, fds[1]);
		tfl_work_settle();
		_exit(!good);
	}

	close(fds[1]);
	worker->fd = fds[0];
	worker->item = item;
	worker->deadline = now() + grid->opt->timeout;
	worker->got = 0;
}

static const struct known *find_known(const struct grid *grid,
				      const struct item *item)
{
	for (size_t i = 0; i < grid->known_count; i++)
		if (!fnmatch(grid->known[i].pattern, item->name, 0))
			return &grid->known[i];

	return NULL;
}

static void judge(struct grid *grid, struct item *item)
{
	const struct answer *answer = &item->answer;
	const struct known *known = find_known(grid, item);

	if (!answer->done)
		item->outcome = OUTCOME_ERROR;
	else if (answer->unfinished)
		item->outcome = OUTCOME_UNFINISHED;
	else if (answer->taken != answer->nodes || !answer->jobs)
		item->outcome = OUTCOME_PARTLY;
	else if (answer->diff.max <= TOLERANCE)
		item->outcome = OUTCOME_PASS;
	else
		item->outcome = known ? OUTCOME_KNOWN : OUTCOME_DIFFERS;

	if (item->outcome == OUTCOME_KNOWN)
		item->reason = known->reason;
}

/* The delegate fell over on a network it is known to fall over on. */
static void judge_crash(struct grid *grid, struct item *item)
{
	const struct known *known = find_known(grid, item);

	item->outcome = OUTCOME_CRASH;
	if (known && !strncmp(known->reason, "crash:", 6)) {
		item->outcome = OUTCOME_KNOWN;
		item->reason = known->reason;
	}
}

/*
 * Rocket gives a job half a second, npu a task one second. An emulated NPU on a
 * busy machine may take longer, so a few networks may be run a second time.
 */
static bool run_again(struct grid *grid, struct worker *worker,
		      struct item *item)
{
	if (item->outcome != OUTCOME_UNFINISHED || item->again ||
	    grid->again > grid->count / 50)
		return false;

	grid->again++;
	item->again = true;
	item->finished = false;
	item->answer = (struct answer){};
	start(grid, worker, item);

	return true;
}

/* The child is gone, or has to go. */
static void finish(struct grid *grid, struct worker *worker, bool late)
{
	struct item *item = worker->item;
	struct answer *answer = &item->answer;
	int status = 0;

	if (late)
		kill(worker->pid, SIGKILL);
	close(worker->fd);
	waitpid(worker->pid, &status, 0);
	worker->item = NULL;
	item->finished = true;

	if (late) {
		item->outcome = OUTCOME_TIMEOUT;
		return;
	}
	if (WIFSIGNALED(status)) {
		judge_crash(grid, item);
		return;
	}
	if (worker->got >= sizeof(*answer))
		memcpy(answer, worker->data, sizeof(*answer));
	if (status || worker->got != sizeof(*answer) + answer->size)
		answer->done = false;
	judge(grid, item);
	if (run_again(grid, worker, item))
		return;

	if (answer->done && answer->size) {
		item->outputs = malloc(answer->size);
		if (item->outputs)
			memcpy(item->outputs, worker->data + sizeof(*answer),
			       answer->size);
	}
}

/* True when there may be more. */
static bool receive(struct worker *worker)
{
	ssize_t n;

	if (worker->room - worker->got < 65536) {
		size_t room = worker->room ? worker->room * 2 : 131072;
		uint8_t *data = room > MAX_OUTPUT ? NULL :
						    realloc(worker->data, room);

		if (!data)
			return false;
		worker->data = data;
		worker->room = room;
	}

	n = read(worker->fd, worker->data + worker->got,
		 worker->room - worker->got);
	if (n > 0)
		worker->got += n;

	return n > 0 || (n < 0 && errno == EINTR);
}

static void print_item(const struct item *item)
{
	const struct tfl_diff *diff = &item->answer.diff;
	uint64_t more = diff->elements - diff->same - diff->steps[1] -
			diff->steps[2];

	printf("%-44s %s", item->name, outcome_names[item->outcome]);
	if (item->outcome <= OUTCOME_PARTLY && item->answer.done)
		printf(": max %g; %llu outputs, %llu by 1, %llu by 2, %llu by more",
		       diff->max, (unsigned long long)diff->elements,
		       (unsigned long long)diff->steps[1],
		       (unsigned long long)diff->steps[2],
		       (unsigned long long)more);
	if (item->outcome == OUTCOME_PARTLY)
		printf("; %d of %d operations, %llu jobs", item->answer.taken,
		       item->answer.nodes, (unsigned long long)item->answer.jobs);
	if (item->reason)
		printf(" (%s)", item->reason);
	if (item->again)
		printf(" (second try: its jobs had not ended in time)");
	putchar('\n');
}

/* In the order of the list, whatever order the children end in. */
static bool report(struct grid *grid, struct item *item)
{
	bool good = true;

	if (!grid->opt->quiet || item->again || item->outcome != OUTCOME_PASS)
		print_item(item);

	if (grid->dump) {
		size_t size = item->outputs ? item->answer.size : 0;

		good = fprintf(grid->dump, "%s %zu\n", item->name, size) > 0 &&
		       fwrite(item->outputs, 1, size, grid->dump) == size;
		if (!good)
			perror(grid->opt->dump);
	}
	free(item->outputs);
	item->outputs = NULL;

	return good;
}

/* Waits until something happens, and deals with it. */
static void attend(struct grid *grid)
{
	struct pollfd fds[MAX_WORKERS];
	struct worker *owner[MAX_WORKERS];
	double first = now() + 3600;
	int n = 0, wait;

	for (unsigned int i = 0; i < grid->opt->jobs; i++) {
		struct worker *worker = &grid->workers[i];

		if (!worker->item)
			continue;
		owner[n] = worker;
		fds[n++] = (struct pollfd){ .fd = worker->fd, .events = POLLIN };
		if (worker->deadline < first)
			first = worker->deadline;
	}

	wait = (first - now()) * 1000 + 1;
	poll(fds, n, wait > 0 ? wait : 0);
	for (int i = 0; i < n; i++) {
		if (fds[i].revents && !receive(owner[i]))
			finish(grid, owner[i], false);
		else if (now() > owner[i]->deadline)
			finish(grid, owner[i], true);
	}
}

static bool run_all(struct grid *grid)
{
	size_t started = 0, reported = 0;
	bool good = true;

	while (reported < grid->count) {
		for (unsigned int i = 0; i < grid->opt->jobs; i++)
			if (!grid->workers[i].item && started < grid->count)
				start(grid, &grid->workers[i],
				      &grid->items[started++]);
		attend(grid);
		while (reported < grid->count && grid->items[reported].finished)
			good &= report(grid, &grid->items[reported++]);
	}

	return good;
}

/* Adds up the differences of all networks with this outcome. */
static void print_sum(const struct grid *grid, enum outcome outcome,
		      const char *what)
{
	struct tfl_diff all = {};

	for (size_t i = 0; i < grid->count; i++) {
		const struct tfl_diff *diff = &grid->items[i].answer.diff;

		if (grid->items[i].outcome != outcome)
			continue;
		all.elements += diff->elements;
		all.same += diff->same;
		for (int step = 0; step < TFL_DIFF_STEPS; step++)
			all.steps[step] += diff->steps[step];
		if (diff->max > all.max)
			all.max = diff->max;
	}
	if (all.elements)
		tfl_diff_print(what, &all);
}

static bool summary(const struct grid *grid)
{
	size_t counts[OUTCOME_COUNT] = {}, failed = 0;

	for (size_t i = 0; i < grid->count; i++) {
		counts[grid->items[i].outcome]++;
		failed += grid->items[i].outcome > OUTCOME_KNOWN;
	}

	print_sum(grid, OUTCOME_PASS, "within 2 steps");
	print_sum(grid, OUTCOME_KNOWN, "known to differ");
	print_sum(grid, OUTCOME_DIFFERS, "differing");
	printf("grid: %zu networks, %zu within %d steps, %zu known to differ, %zu failed; %zu run twice\n",
	       grid->count, counts[OUTCOME_PASS], TOLERANCE,
	       counts[OUTCOME_KNOWN], failed, grid->again);

	return !failed;
}

/* Lists */

static void add_item(struct grid *grid, const char *name)
{
	if (grid->opt->only && fnmatch(grid->opt->only, name, 0))
		return;

	grid->items = grow(grid->items, grid->count, sizeof(*grid->items));
	grid->items[grid->count++] = (struct item){ .name = strdup(name) };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name,
		      ((const struct item *)b)->name);
}

static void list_directory(struct grid *grid)
{
	DIR *dir = opendir(grid->opt->dir);
	struct dirent *entry;

	if (!dir) {
		perror(grid->opt->dir);
		return;
	}

	while ((entry = readdir(dir))) {
		char *end = strstr(entry->d_name, ".tflite");

		if (!end || end[strlen(".tflite")])
			continue;
		*end = '\0';
		add_item(grid, entry->d_name);
	}
	closedir(dir);
	if (grid->count)
		qsort(grid->items, grid->count, sizeof(*grid->items), by_name);
}

static void list_networks(struct grid *grid)
{
	char path[4096], *line = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/LIST", grid->opt->dir);
	f = fopen(path, "re");
	if (!f) {
		list_directory(grid);
		return;
	}

	while (getline(&line, &size, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (*line)
			add_item(grid, line);
	}
	free(line);
	fclose(f);
}

static bool load_known(struct grid *grid)
{
	FILE *f = fopen(grid->opt->known, "re");
	char *line = NULL, *tab;
	size_t size = 0;

	if (!f) {
		perror(grid->opt->known);
		return false;
	}

	while (getline(&line, &size, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		tab = strchr(line, '\t');
		if (!tab) {
			fprintf(stderr, "%s: no reason for %s\n",
				grid->opt->known, line);
			fclose(f);
			return false;
		}
		*tab = '\0';
		grid->known = grow(grid->known, grid->known_count,
				   sizeof(*grid->known));
		grid->known[grid->known_count++] = (struct known){
			.pattern = strdup(line),
			.reason = strdup(tab + 1 + strspn(tab + 1, "\t ")),
		};
	}
	free(line);
	fclose(f);

	return true;
}

static unsigned int number(const char *text, const char *name,
			   unsigned int least, unsigned int most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || n < least || n > most) {
		fprintf(stderr, "--%s: '%s' is not a number from %u to %u\n",
			name, text, least, most);
		exit(1);
	}

	return n;
}

enum {
	OPT_KNOWN, OPT_ONLY, OPT_DUMP, OPT_DELEGATE,
	OPT_SEED, OPT_JOBS, OPT_TIMEOUT,
	OPT_QUIET, OPT_HELP,
};

static const struct option long_options[] = {
	{ "known", required_argument, NULL, OPT_KNOWN },
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "dump", required_argument, NULL, OPT_DUMP },
	{ "delegate", required_argument, NULL, OPT_DELEGATE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{}
};

static void parse(struct options *opt, int argc, char **argv)
{
	static const unsigned int most[] = { 1000000000, MAX_WORKERS, 3600 };
	const char **strings[] = { &opt->known, &opt->only, &opt->dump,
				   &opt->delegate };
	unsigned int *numbers[] = { &opt->seed, &opt->jobs, &opt->timeout };
	int c, index;

	while ((c = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (c == OPT_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		if (c < OPT_KNOWN || c > OPT_HELP) {
			fputs(usage, stderr);
			exit(1);
		}
		if (c < OPT_SEED)
			*strings[c] = optarg;
		else if (c < OPT_QUIET)
			*numbers[c - OPT_SEED] = number(optarg,
							long_options[index].name,
							c != OPT_SEED,
							most[c - OPT_SEED]);
		else
			opt->quiet = true;
	}

	if (optind + 1 != argc) {
		fputs(usage, stderr);
		exit(1);
	}
	opt->dir = argv[optind];
}

int main(int argc, char **argv)
{
	struct options opt = { .seed = 1, .jobs = 1, .timeout = 60 };
	struct grid grid = { .opt = &opt };
	bool good;

	parse(&opt, argc, argv);
	if (opt.known && !load_known(&grid))
		return 1;
	list_networks(&grid);
	if (!grid.count) {
		fprintf(stderr, "%s: no networks to run\n", opt.dir);
		return 1;
	}
	if (!tfl_init(opt.delegate) || !tfl_find_npu())
		return 1;
	if (opt.dump) {
		grid.dump = fopen(opt.dump, "we");
		if (!grid.dump) {
			perror(opt.dump);
			return 1;
		}
	}

	setvbuf(stdout, NULL, _IOLBF, 0);
	good = run_all(&grid);
	if (grid.dump && fclose(grid.dump)) {
		perror(opt.dump);
		good = false;
	}

	return !(summary(&grid) && good);
}
