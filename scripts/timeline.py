#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
What the cores of an NPU did, from the trace events of npu.ko.

usage: timeline.py draw TRACE SVG JSON [--title TEXT] [--window FROM-TO]
       timeline.py check TRACE SVG JSON SAID

draw makes a picture, a file for https://ui.perfetto.dev (or chrome://tracing),
and a table on the terminal. TRACE is what the kernel gives in
/sys/kernel/tracing/trace, or "trace-cmd report", or "perf script". --window
draws only what was between two times in milliseconds, as on the picture's axis.

check says in TAP whether the trace of npu-demo, which SAID what it did, and the
two files made from it are as they should be.
"""
import bisect
import collections
import json
import re
import statistics
import sys
import xml.etree.ElementTree
from xml.sax.saxutils import escape

LINE = re.compile(r"\s*(?P<comm>.+?)[-\s]+(?P<pid>\d+)\s+\[\d+\]\s+(?:\S+\s+)?"
                  r"(?P<s>\d+)\.(?P<us>\d{6})\d*:\s+(?:npu:)?(?P<name>npu_\w+):\s*(?P<of>.*)")
LOST = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)")
CLASSES = ("balanced", "latency", "throughput")
ERRORS = {5: "EIO", 14: "EFAULT", 19: "ENODEV", 62: "ETIME", 125: "ECANCELED"}

Slice = collections.namedtuple("Slice", "core job task count start end how")


class Job:
    def __init__(self, context, number, at, of):
        self.context = context
        self.number = number
        self.submitted = at
        self.num_tasks = of["tasks"]
        self.slices = []
        self.done = self.error = None
        self.tasks_done = 0
        self.next_task = 0

    @property
    def waited(self):
        return self.slices[0].start - self.submitted if self.slices else None


class Context:
    def __init__(self, client, number):
        self.client = client
        self.number = number
        self.jobs = {}
        self.sched_class = 0

    @property
    def busy(self):
        return sum(s.end - s.start for j in self.jobs.values() for s in j.slices)


class Client:
    def __init__(self, number, name):
        self.number = number
        self.name = name
        self.contexts = {}

    @property
    def jobs(self):
        return [j for c in self.contexts.values() for j in c.jobs.values()]

    @property
    def label(self):
        return f"{self.name} ({self.number})"


class Core:
    def __init__(self):
        self.slices = []
        self.current = None     # job, task, count, start
        self.off = []           # [start, end]
        self.recovering = []    # [start, end, error]
        self.resets = []
        self.yields = []        # time, job
        self.powered = None


class Trace:
    """Times are microseconds, whole numbers."""

    def __init__(self, path):
        self.clients = {}
        self.cores = collections.defaultdict(Core)
        self.rates = []
        self.faults = []        # time, core, job or None, error, va
        self.wrong = []         # what cannot be
        self.lost = 0
        self.count = collections.Counter()
        self.first = self.last = None
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                self.line(line)
        if self.first is None:
            raise SystemExit(f"{path}: there are no events of the NPU in it")
        for core in self.cores.values():
            self.leave(core, self.last, "end")
            for span in core.off + core.recovering:
                span[1] = self.last if span[1] is None else span[1]

    def line(self, line):
        lost = LOST.match(line)
        if lost:
            self.lost = int(lost[2]) - int(lost[1])
        found = LINE.match(line)
        if not found:
            return
        at = int(found["s"]) * 1000000 + int(found["us"])
        of = {key: int(value, 0) for key, value in
              (word.split("=") for word in found["of"].split())}
        self.first = at if self.first is None else self.first
        self.last = at
        self.count[found["name"]] += 1
        handler = getattr(self, found["name"], None)
        if handler:
            handler(at, of, found["comm"].strip())

    def complain(self, at, text):
        self.wrong.append(f"{at / 1e6:.6f}: {text}")

    def job(self, of):
        client = self.clients.get(of["client"])
        context = client and client.contexts.get(of["ctx"])
        return context and context.jobs.get(of["job"])

    def leave(self, core, at, how):
        if not core.current:
            return
        job, task, count, start = core.current
        piece = Slice(next(n for n, c in self.cores.items() if c is core),
                      job, task, count, start, at, how)
        core.slices.append(piece)
        job.slices.append(piece)
        core.current = None

    def npu_job_submit(self, at, of, comm):
        client = self.clients.setdefault(of["client"], Client(of["client"], comm))
        context = client.contexts.setdefault(of["ctx"], Context(client, of["ctx"]))
        context.sched_class = of["class"]
        if of["job"] in context.jobs:
            self.complain(at, f"job {of['job']} was submitted twice")
        context.jobs[of["job"]] = Job(context, of["job"], at, of)

    def npu_task_start(self, at, of, _):
        core = self.cores[of["core"]]
        job = self.job(of)
        self.leave(core, at, "next")
        if not job:
            if not self.lost:
                self.complain(at, f"nobody has submitted what core {of['core']} runs")
            return
        if job.done is not None or job.next_task != of["task"]:
            self.complain(at, f"job {job.number} starts task {of['task']}, "
                              f"not {job.next_task}")
        job.next_task = of["task"] + of["count"]
        core.current = (job, of["task"], of["count"], at)

    def npu_job_yield(self, at, of, _):
        core = self.cores[of["core"]]
        job = self.job(of)
        if not core.current or core.current[0] is not job:
            self.complain(at, "who makes way does not have the core")
        self.leave(core, at, "yield")
        if job:
            core.yields.append((at, job))

    def npu_job_done(self, at, of, _):
        job = self.job(of)
        for core in self.cores.values():
            if core.current and core.current[0] is job:
                self.leave(core, at, "done")
        if not job:
            return
        if job.done is not None:
            self.complain(at, f"job {job.number} ends twice")
        job.done = at
        job.error = of["error"]
        job.tasks_done = of["tasks"]
        if not job.error and job.tasks_done != job.num_tasks:
            self.complain(at, f"job {job.number} ends after {job.tasks_done} tasks")

    def npu_fault(self, at, of, _):
        core = self.cores[of["core"]]
        self.leave(core, at, "fault")
        core.recovering.append([at, None, of["error"]])
        self.faults.append((at, of["core"], self.job(of), of["error"], of["va"]))

    def npu_recovered(self, at, of, _):
        core = self.cores[of["core"]]
        if not core.recovering or core.recovering[-1][1] is not None:
            self.complain(at, f"core {of['core']} recovers from nothing")
            return
        core.recovering[-1][1] = at
        if not of["alive"]:
            core.off.append([at, None])

    def npu_reset(self, at, of, _):
        self.cores[of["core"]].resets.append(at)

    def npu_power(self, at, of, _):
        core = self.cores[of["core"]]
        if core.current and not of["on"]:
            self.complain(at, f"core {of['core']} goes off with a job")
        if of["on"] and core.powered is None:
            core.off.append([self.first, at])
        elif of["on"] and core.off and core.off[-1][1] is None:
            core.off[-1][1] = at
        elif not of["on"]:
            core.off.append([at, None])
        core.powered = of["on"]

    def npu_frequency(self, at, of, _):
        self.rates.append((at, of["hz"]))

    @property
    def jobs(self):
        return [j for c in self.clients.values() for j in c.jobs]

    @property
    def contexts(self):
        return [x for c in self.clients.values() for x in c.contexts.values()]


def span_text(us):
    if us >= 10000000:
        return f"{us / 1e6:.1f} s"
    if us >= 10000:
        return f"{us / 1e3:.0f} ms"
    if us >= 1000:
        return f"{us / 1e3:.1f} ms"
    return f"{us:.0f} us"


def plural(count, what):
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def error_name(error):
    return ERRORS.get(-error, f"error {-error}")


def middle(values):
    return statistics.median(values) if values else 0


# Picture ---------------------------------------------------------------------

# One hue for each client, in an order in which neighbours differ; red is for
# what goes wrong. Contexts of a client are shades of it.
HUES = (211, 33, 152, 283, 187, 55, 320, 95, 240, 20)
FONT = "font-family=\"'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif\""
BAD = "#d62839"
INK, SOFT, GRID, PAPER, LANE = "#1d2733", "#66727f", "#e3e8ee", "#ffffff", "#f3f6f9"

WIDTH, LEFT, RIGHT = 1680, 148, 36
CORE_LANE, CTX_LANE, LOAD_LANE = 58, 17, 64
BREAK = 44              # pixels for a pause that is left out
MAX_LANES = 18          # contexts with a lane of their own
MAX_ARCS = 80           # from a yield to where the job goes on


def colours(trace):
    table = {}
    order = sorted(trace.clients.values(),
                   key=lambda c: -sum(x.busy for x in c.contexts.values()))
    for number, client in enumerate(order):
        hue = HUES[number % len(HUES)]
        contexts = sorted(client.contexts.values(), key=lambda x: x.number)
        for place, context in enumerate(contexts):
            share = place / max(1, len(contexts) - 1) if len(contexts) > 1 else 0.35
            table[context] = f"hsl({hue},{64 - 10 * share:.0f}%,{43 + 25 * share:.0f}%)"
    return table


class Axis:
    """From times to pixels; pauses of the whole NPU are cut out."""

    def __init__(self, trace, window):
        self.pieces = self.find_pieces(trace, window)
        self.origin = self.pieces[0][0]
        room = WIDTH - LEFT - RIGHT - BREAK * (len(self.pieces) - 1)
        length = sum(end - start for start, end in self.pieces)
        self.scale = room / length
        self.at = []
        x = LEFT
        for start, end in self.pieces:
            self.at.append(x)
            x += (end - start) * self.scale + BREAK
        self.starts = [p[0] for p in self.pieces]

    @staticmethod
    def find_pieces(trace, window):
        spans = sorted((j.submitted, j.done if j.done is not None else trace.last)
                       for j in trace.jobs)
        if not spans:
            spans = [(trace.first, trace.last)]
        begin, end = spans[0][0], max(s[1] for s in spans)
        if window:
            begin, end = begin + window[0] * 1000, begin + window[1] * 1000
            spans = [(max(s, begin), min(e, end)) for s, e in spans if s < end and e > begin]
            if not spans:
                raise SystemExit("nothing happened in that window")
        merged = [list(spans[0])]
        for start, stop in spans[1:]:
            if start > merged[-1][1]:
                merged.append([start, stop])
            else:
                merged[-1][1] = max(merged[-1][1], stop)
        # Pauses that are worth a cut: the longest ones, while there is room.
        busy = sum(e - s for s, e in merged)
        pauses = sorted(((b[0] - a[1], i) for i, (a, b) in
                         enumerate(zip(merged, merged[1:]))), reverse=True)
        cut = {i for length, i in pauses[:10] if length > max(busy / 12, 500)}
        margin = max(busy / 150, 5)
        pieces = []
        for i, (start, stop) in enumerate(merged):
            if i and (i - 1) not in cut:
                pieces[-1][1] = stop + margin
            else:
                pieces.append([start - margin, stop + margin])
        return pieces

    def x(self, at):
        i = max(0, bisect.bisect_right(self.starts, at) - 1)
        start, end = self.pieces[i]
        return self.at[i] + (min(max(at, start), end) - start) * self.scale

    def clip(self, start, end):
        """The visible parts of a span, as pixels."""
        for (begin, stop), x in zip(self.pieces, self.at):
            low, high = max(start, begin), min(end, stop)
            if high > low:
                yield x + (low - begin) * self.scale, x + (high - begin) * self.scale

    def visible(self, at):
        return any(begin <= at <= stop for begin, stop in self.pieces)


class Columns:
    """How much of something there is in each column of pixels, on average"""

    def __init__(self, axis):
        self.axis = axis
        self.amount = collections.defaultdict(float)

    def add(self, start, end, much=1):
        for x0, x1 in self.axis.clip(start, end):
            for column in range(int(x0), int(x1) + 1):
                part = min(x1, column + 1) - max(x0, column)
                if part > 0:
                    self.amount[column] += much * part

    def spans(self, levels, most):
        """Neighbours that are about the same: from, to, how much from 0 to 1"""
        last = None
        for column in sorted(self.amount):
            level = -(-min(self.amount[column], most) * levels // most)
            if last and last[1] == column and last[2] == level:
                last[1] = column + 1
                continue
            if last and last[2]:
                yield last[0], last[1], last[2] / levels
            last = [column, column + 1, level]
        if last and last[2]:
            yield last[0], last[1], last[2] / levels


def joined(spans, gap):
    """Spans in their order, those that are less than a gap apart as one"""
    last = None
    for start, end in spans:
        if last and start - last[1] < gap:
            last[1] = max(last[1], end)
            continue
        if last:
            yield last
        last = [start, end]
    if last:
        yield last


class Picture:
    def __init__(self, trace, title, window):
        self.trace = trace
        self.title = title
        self.axis = Axis(trace, window)
        self.colour = colours(trace)
        self.out = []
        self.y = 0

    def put(self, text):
        self.out.append(text)

    def text(self, x, y, text, size=12, fill=INK, anchor="start", weight="normal"):
        self.put(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
                 f'text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')

    def rect(self, x0, x1, y, height, fill, tip="", more=""):
        tip = f"<title>{escape(tip)}</title>" if tip else ""
        self.put(f'<rect x="{x0:.2f}" y="{y:.1f}" width="{max(x1 - x0, 0.4):.2f}" '
                 f'height="{height:.1f}" fill="{fill}"{more}>{tip}</rect>')

    def draw(self):
        self.head()
        top = self.y
        self.cores()
        self.contexts()
        self.load()
        self.time(top, self.y)
        self.key()
        self.put("</svg>")
        height = self.y + 16
        start = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
                 f'height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" {FONT}>'
                 '<defs><pattern id="off" width="7" height="7" '
                 'patternTransform="rotate(45)" patternUnits="userSpaceOnUse">'
                 '<rect width="7" height="7" fill="#e9edf1"/>'
                 '<rect width="2" height="7" fill="#c9d1d9"/></pattern>'
                 '<pattern id="stuck" width="8" height="8" '
                 'patternTransform="rotate(45)" patternUnits="userSpaceOnUse">'
                 f'<rect width="3.2" height="8" fill="{BAD}" fill-opacity="0.8"/>'
                 '</pattern></defs>'
                 f'<rect width="100%" height="100%" fill="{PAPER}"/>')
        return "\n".join([start] + self.out) + "\n"

    def busy_share(self):
        total = sum(end - start for start, end in self.axis.pieces)
        busy = sum(x1 - x0 for core in self.trace.cores.values()
                   for s in core.slices for x0, x1 in self.axis.clip(s.start, s.end))
        return busy / self.axis.scale / total / max(1, len(self.trace.cores))

    def head(self):
        trace = self.trace
        slices = [s for c in trace.cores.values() for s in c.slices]
        facts = [plural(len(trace.clients), "client"),
                 plural(len(trace.contexts), "context"),
                 plural(len(trace.jobs), "job"),
                 plural(sum(s.count for s in slices), "task"),
                 f"{len(trace.cores)} cores {100 * self.busy_share():.0f} % busy"]
        for name, what in (("npu_job_yield", "yield"), ("npu_fault", "fault")):
            if trace.count[name]:
                facts.append(plural(trace.count[name], what))
        if trace.lost:
            facts.append(f"{trace.lost:,} EVENTS LOST")
        self.text(24, 40, self.title, 24, INK, weight="bold")
        self.text(24, 64, "  \u00b7  ".join(facts), 14, SOFT)
        self.y = 84
        self.legend()

    def legend(self):
        x = 24
        order = sorted(self.trace.clients.values(),
                       key=lambda c: -sum(c.busy for c in c.contexts.values()))
        for client in order[:12]:
            contexts = sorted(client.contexts.values(), key=lambda c: c.number)
            jobs = client.jobs
            waits = [j.waited for j in jobs if j.waited is not None]
            failed = sum(1 for j in jobs if j.error)
            words = [CLASSES[contexts[0].sched_class], plural(len(jobs), "job"),
                     f"waits {span_text(middle(waits))}"]
            if failed:
                words.append(f"{failed} failed")
            text = " \u00b7 ".join(words)
            shown = contexts[:8]
            width = 15 * len(shown) + 10 + max(8.6 * len(client.name), 6.4 * len(text)) + 34
            if x + width > WIDTH - 10 and x > 24:
                x = 24
                self.y += 40
            for i, context in enumerate(shown):
                self.rect(x + 15 * i, x + 15 * i + 13, self.y + 4, 26,
                          self.colour[context], f"context {context.number}", ' rx="2"')
            self.text(x + 15 * len(shown) + 6, self.y + 15, client.name, 14, INK,
                      weight="bold")
            self.text(x + 15 * len(shown) + 6, self.y + 30, text, 11,
                      BAD if failed else SOFT)
            x += width
        self.y += 52

    def panel(self, text):
        self.text(24, self.y + 12, text, 12, SOFT, weight="bold")

    def cores(self):
        self.lane_of = {}
        for number in sorted(self.trace.cores):
            core = self.trace.cores[number]
            y = self.y
            self.lane_of[number] = y
            for start, end in self.axis.pieces:
                for x0, x1 in self.axis.clip(start, end):
                    self.rect(x0, x1, y, CORE_LANE, LANE)
            busy = sum(x1 - x0 for s in core.slices
                       for x0, x1 in self.axis.clip(s.start, s.end))
            share = busy / sum(x1 - x0 for a, b in self.axis.pieces
                               for x0, x1 in self.axis.clip(a, b))
            self.text(24, y + 26, f"core {number}", 16, INK, weight="bold")
            self.text(24, y + 44, f"{100 * share:.0f} % busy", 12, SOFT)
            self.core(core, y)
            self.y += CORE_LANE + 12
        self.arcs()
        self.y += 6

    def core(self, core, y):
        for start, end in core.off:
            for x0, x1 in self.axis.clip(start, end):
                self.rect(x0, x1, y, CORE_LANE, "url(#off)", "no power")
        small = collections.defaultdict(lambda: Columns(self.axis))
        for run in runs_of(core.slices):
            if (run[-1].end - run[0].start) * self.axis.scale < 1.5:
                small[run[0].job.context].add(run[0].start, run[-1].end)
            else:
                self.run(run, y)
        # Jobs too short to be seen are a tint, the deeper the more of them.
        for context, columns in small.items():
            for x0, x1, share in columns.spans(6, 1):
                self.rect(x0, x1, y + 5, CORE_LANE - 10, self.colour[context],
                          f"{context.client.label}, context {context.number}: short jobs",
                          f' fill-opacity="{share:.2f}"')
        for start, end, error in core.recovering:
            for x0, x1 in self.axis.clip(start, end):
                self.rect(x0, x0 + max(x1 - x0, 2.5), y, CORE_LANE, BAD,
                          f"{error_name(error)}; back after {span_text(end - start)}")
            if self.axis.visible(start):
                self.cross(self.axis.x(start), y - 1, error_name(error))
        for at in core.resets:
            if self.axis.visible(at):
                x = self.axis.x(at)
                self.put(f'<path d="M{x:.1f} {y + CORE_LANE:.1f}l-3 5h6z" fill="{SOFT}">'
                         '<title>reset</title></path>')

    def run(self, run, y):
        """Tasks of one job, one after the other on one core"""
        job = run[0].job
        fill = self.colour[job.context]
        for start, end, count, first in merge(run, 1.6 / self.axis.scale):
            tip = (f"{job.context.client.label}, context {job.context.number}, "
                   f"job {job.number}, task {first}"
                   + (f" to {first + count - 1}" if count > 1 else "")
                   + f" of {job.num_tasks}: {span_text(end - start)}")
            for x0, x1 in self.axis.clip(start, end):
                gap = 0.7 if x1 - x0 > 3 else 0
                self.rect(x0, x1 - gap, y + 5, CORE_LANE - 10, fill, tip)
        if run[-1].how == "fault":
            for x0, x1 in self.axis.clip(run[-1].start, run[-1].end):
                self.rect(x0, x1, y + 5, CORE_LANE - 10, "url(#stuck)", "no progress")
        for x0, x1 in self.axis.clip(run[0].start, run[-1].end):
            if x1 - x0 < 4:
                continue
            self.put(f'<rect x="{x0:.2f}" y="{y + 5:.1f}" width="{max(x1 - x0 - 0.7, 0.4):.2f}" '
                     f'height="{CORE_LANE - 10}" fill="none" stroke="#ffffff" '
                     'stroke-width="0.9"/>')
            name, number = job.context.client.name, f"{job.context.number}.{job.number}"
            if x1 - x0 > 8.2 * len(name) + 6:
                self.text((x0 + x1) / 2, y + 28, name, 13, "#ffffff", "middle", "bold")
                self.text((x0 + x1) / 2, y + 43, number, 11, "#ffffff", "middle")
            elif x1 - x0 > 7 * len(number) + 2:
                self.text((x0 + x1) / 2, y + 33, number, 10, "#ffffff", "middle")
        if run[-1].how == "yield" and self.axis.visible(run[-1].end):
            x = self.axis.x(run[-1].end)
            self.put(f'<path d="M{x:.1f} {y + 5:.1f}h-9l9 10z" fill="{INK}">'
                     '<title>makes way</title></path>')

    def cross(self, x, y, text):
        self.put(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="{BAD}" stroke="#fff" '
                 f'stroke-width="1.5"/><path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" '
                 'stroke="#fff" stroke-width="2"/>')
        self.text(x - 12, y + 4, text, 11, BAD, "end", "bold")

    def arcs(self):
        arcs = []
        for job in self.trace.jobs:
            for a, b in zip(job.slices, job.slices[1:]):
                if a.how == "yield" and self.axis.visible(a.end) and \
                        self.axis.visible(b.start):
                    arcs.append((a, b, job))
        for a, b, job in arcs if len(arcs) <= MAX_ARCS else []:
            x0, x1 = self.axis.x(a.end), self.axis.x(b.start)
            if a.core == b.core:
                y0 = y1 = self.lane_of[a.core] + 4
                turn = y0 - 9
                path = f"M{x0:.1f} {y0}C{x0:.1f} {turn} {x1:.1f} {turn} {x1:.1f} {y1}"
            else:
                down = b.core > a.core
                y0 = self.lane_of[a.core] + (CORE_LANE - 5 if down else 5)
                y1 = self.lane_of[b.core] + (5 if down else CORE_LANE - 5)
                half = (y0 + y1) / 2
                path = f"M{x0:.1f} {y0}C{x0:.1f} {half} {x1:.1f} {half} {x1:.1f} {y1}"
            self.put(f'<path d="{path}" fill="none" stroke="{self.colour[job.context]}" '
                     'stroke-width="1.5" stroke-opacity="0.75" stroke-dasharray="4 2.5">'
                     f'<title>job {job.number} goes on after '
                     f'{span_text(b.start - a.end)}</title></path>')

    def contexts(self):
        everybody = sorted(self.trace.contexts, key=lambda c: -c.busy)
        shown = set(everybody[:MAX_LANES])
        order = sorted(self.trace.clients.values(),
                       key=lambda c: -sum(x.busy for x in c.contexts.values()))
        self.panel("contexts: pale when jobs wait, full when they run")
        self.y += 22
        for client in order:
            named = False
            for context in sorted(client.contexts.values(), key=lambda c: c.number):
                if context in shown:
                    self.context(context, client.name if not named else "")
                    named = True
        if len(everybody) > len(shown):
            self.text(LEFT, self.y + 12, f"and {len(everybody) - len(shown)} more", 11, SOFT)
            self.y += CTX_LANE
        self.y += 14

    def context(self, context, name):
        y = self.y
        fill = self.colour[context]
        self.text(24, y + 12, name, 12, INK)
        self.text(LEFT - 8, y + 12, f"{context.number}", 11, SOFT, "end")
        jobs = context.jobs.values()
        waiting = Columns(self.axis)
        for job in jobs:
            waiting.add(job.submitted, job.done if job.done is not None else self.trace.last)
        for x0, x1, share in waiting.spans(8, 8):
            self.rect(x0, x1, y + 3, CTX_LANE - 6, fill, "",
                      f' fill-opacity="{0.14 + 0.36 * share:.2f}"')
        runs = [(run[0].start, run[-1].end) for job in jobs for run in runs_of(job.slices)]
        for start, end in joined(sorted(runs), 0.6 / self.axis.scale):
            for x0, x1 in self.axis.clip(start, end):
                self.rect(x0, x1, y + 1.5, CTX_LANE - 3, fill)
        for job in jobs:
            if job.error and self.axis.visible(job.done):
                self.put(f'<circle cx="{self.axis.x(job.done):.1f}" cy="{y + 8.5:.1f}" '
                         f'r="4.2" fill="{BAD}" stroke="#fff"><title>job {job.number}: '
                         f'{error_name(job.error)}</title></circle>')
        self.y += CTX_LANE

    def load(self):
        """How many cores are busy, and how fast they are"""
        y, height = self.y + 6, LOAD_LANE
        busy = Columns(self.axis)
        for core in self.trace.cores.values():
            for piece in core.slices:
                busy.add(piece.start, piece.end)
        cores = max(1, len(self.trace.cores))
        self.text(24, y + 26, "busy cores", 12, INK)
        self.text(24, y + 42, "and clock", 12, "#8a4fd3")
        for x0, x1, share in busy.spans(3 * height, cores):
            self.rect(x0, x1, y + height * (1 - share), height * share, "#b9c6d4", "",
                      ' shape-rendering="crispEdges"')
        for start, end in self.axis.pieces:
            for x0, x1 in self.axis.clip(start, end):
                self.put(f'<path d="M{x0:.1f} {y + height:.1f}H{x1:.1f}" stroke="{SOFT}"/>')
        self.clock(y, height)
        self.y = y + height + 8

    def clock(self, y, height):
        rates = self.trace.rates
        if not rates:
            return
        top = max(hz for _, hz in rates)
        last_label = -1000
        ends = [at for at, _ in rates[1:]] + [self.trace.last + 10 ** 9]
        for (at, hz), end in zip(rates, ends):
            level = y + height - (height - 8) * hz / top
            start = self.trace.first - 10 ** 9 if (at, hz) == rates[0] else at
            for x0, x1 in self.axis.clip(start, end):
                self.put(f'<path d="M{x0:.1f} {level:.1f}H{x1:.1f}" stroke="#8a4fd3" '
                         f'stroke-width="2.2"><title>{hz / 1e6:.0f} MHz</title></path>')
                if x0 > last_label + 66:
                    self.text(x0 + 3, level - 4, f"{hz / 1e6:.0f} MHz", 10.5, "#8a4fd3")
                    last_label = x0

    def time(self, top, bottom):
        step = self.step()
        grid, labels = [], []
        for (start, end), x in zip(self.axis.pieces, self.axis.at):
            at = self.axis.origin + -(-(start - self.axis.origin) // step) * step
            while at <= end:
                place = self.axis.x(at)
                grid.append(f'<path d="M{place:.1f} {top - 6:.1f}V{bottom + 4:.1f}" '
                            f'stroke="{GRID}"/>')
                labels.append((place, at - self.axis.origin))
                at += step
        # Behind everything else
        self.out[:0] = grid
        last = -1000
        for place, at in labels:
            if place > last + 64:
                self.text(place, bottom + 18, axis_text(at, step), 11, SOFT, "middle")
                last = place
        for (_, end), (start, _), x in zip(self.axis.pieces, self.axis.pieces[1:],
                                          self.axis.at[1:]):
            centre = x - BREAK / 2
            self.put(f'<path d="M{centre - 4:.1f} {top - 6:.1f}V{bottom + 4:.1f}'
                     f'M{centre + 4:.1f} {top - 6:.1f}V{bottom + 4:.1f}" stroke="#b7c0ca" '
                     'stroke-dasharray="2 4"/>')
            self.text(centre, top - 10, span_text(start - end), 10.5, SOFT, "middle")
        self.y = bottom + 28

    def step(self):
        want = 110 / self.axis.scale
        unit = 1
        while unit * 10 <= want:
            unit *= 10
        return next(unit * n for n in (1, 2, 5, 10) if unit * n >= want)

    def key(self):
        x, y = 24, self.y + 14
        marks = [("tri", "makes way for another, and where it goes on"),
                 ("stuck", "no progress"), ("cross", "fault, until the core is back"),
                 ("reset", "reset (on a change of address space, too)"), ("off", "no power")]
        for mark, text in marks:
            if mark == "tri":
                self.put(f'<path d="M{x + 14} {y - 10}h-10l10 10z" fill="{INK}"/>')
            elif mark == "cross":
                self.cross(x + 8, y - 4, "")
            elif mark == "reset":
                self.put(f'<path d="M{x + 10} {y - 8}l-4 6h8z" fill="{SOFT}"/>')
            else:
                self.rect(x, x + 18, y - 10, 12, f"url(#{mark})")
            self.text(x + 24, y, text, 12, SOFT)
            x += 24 + 6.9 * len(text) + 24
        self.y = y


def axis_text(us, step):
    if step >= 1000000:
        return f"{us / 1e6:.0f} s"
    if step >= 1000:
        return f"{us / 1e3:.0f} ms"
    if us >= 1000 and step >= 100:
        return f"{us / 1e3:.1f} ms"
    return f"{us:.0f} us"


def runs_of(slices):
    """Slices of one job that follow each other on one core"""
    run = []
    for piece in slices:
        if run and (piece.job is not run[-1].job or piece.core != run[-1].core or
                    run[-1].how == "yield" or piece.start - run[-1].end > 2):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def merge(run, least):
    """Tasks too short to be seen become one."""
    start, first, count = run[0].start, run[0].task, 0
    for piece in run:
        count += piece.count
        if piece.end - start >= least or piece is run[-1]:
            yield start, piece.end, count, first
            start, first, count = piece.end, piece.task + piece.count, 0


# Perfetto --------------------------------------------------------------------

CORES, CONTEXTS = 1, 2  # "processes"


def perfetto(trace):
    """Chrome's trace format, which Perfetto reads"""
    events = []

    def add(ph, pid, tid, at, name, **more):
        event = {"ph": ph, "pid": pid, "tid": tid, "ts": at - trace.first, "name": name}
        event.update(more)
        events.append(event)

    def name(pid, tid, text, what="thread_name"):
        events.append({"ph": "M", "pid": pid, "tid": tid, "name": what,
                       "args": {"name": text}})

    name(CORES, 0, "NPU cores", "process_name")
    name(CONTEXTS, 0, "NPU contexts", "process_name")
    for number in sorted(trace.cores):
        core = trace.cores[number]
        name(CORES, number, f"core {number}")
        for run in runs_of(core.slices):
            job = run[0].job
            args = {"client": job.context.client.label, "context": job.context.number,
                    "job": job.number, "class": CLASSES[job.context.sched_class]}
            title = f"{job.context.client.name} {job.context.number}.{job.number}"
            add("X", CORES, number, run[0].start, title,
                dur=run[-1].end - run[0].start, cat="job", args=args)
            for s in run:
                text = f"task {s.task}" if s.count == 1 else \
                    f"tasks {s.task}-{s.task + s.count - 1}"
                add("X", CORES, number, s.start, text, dur=s.end - s.start, cat="task",
                    args={"ended": s.how})
        for at, job in core.yields:
            add("i", CORES, number, at, "yield", s="t", args={"job": job.number})
        for at in core.resets:
            add("i", CORES, number, at, "reset", s="t")
        for start, end, error in core.recovering:
            add("X", CORES, number, start, f"recovery from {error_name(error)}",
                dur=end - start, cat="fault")
        for start, end in core.off:
            add("X", CORES, number, start, "no power", dur=end - start, cat="power")
    for at, _, job, error, va in trace.faults:
        add("i", CORES, 0, at, f"fault: {error_name(error)}", s="g",
            args={"job": job.number if job else 0, "va": hex(va)})
    for tid, context in enumerate(trace.contexts):
        name(CONTEXTS, tid, f"{context.client.label} context {context.number} "
                            f"({CLASSES[context.sched_class]})")
        for job in context.jobs.values():
            key = f"{context.client.number}.{context.number}.{job.number}"
            end = job.done if job.done is not None else trace.last
            text = f"job {job.number}"
            if job.error:
                text += f" {error_name(job.error)}"
            add("b", CONTEXTS, tid, job.submitted, text, cat="job", id=key,
                args={"tasks": job.num_tasks})
            add("e", CONTEXTS, tid, end, text, cat="job", id=key)
            if job.slices:
                add("s", CONTEXTS, tid, job.submitted, "starts", cat="start", id=key)
                add("f", CORES, job.slices[0].core, job.slices[0].start, "starts",
                    cat="start", id=key, bp="e")
    for at, hz in trace.rates:
        add("C", CORES, 0, at, "clock", args={"MHz": hz / 1e6})
    return {"traceEvents": events, "displayTimeUnit": "ns",
            "otherData": {"source": "trace events of npu.ko"}}


# Table -----------------------------------------------------------------------

def table(trace):
    print(f"{'client':<24}{'class':<12}{'contexts':>8}{'jobs':>7}{'tasks':>8}"
          f"{'NPU time':>10}{'waits':>10}{'worst':>10}{'failed':>8}")
    for client in trace.clients.values():
        contexts = list(client.contexts.values())
        jobs = client.jobs
        waits = [j.waited for j in jobs if j.waited is not None]
        print(f"{client.label:<24}{CLASSES[contexts[0].sched_class]:<12}"
              f"{len(contexts):>8}{len(jobs):>7}"
              f"{sum(j.tasks_done for j in jobs):>8}"
              f"{span_text(sum(x.busy for x in contexts)):>10}"
              f"{span_text(middle(waits)):>10}{span_text(max(waits, default=0)):>10}"
              f"{sum(1 for j in jobs if j.error):>8}")
    for number in sorted(trace.cores):
        core = trace.cores[number]
        busy = sum(s.end - s.start for s in core.slices)
        print(f"core {number}: {sum(s.count for s in core.slices)} tasks, "
              f"{span_text(busy)} busy, {plural(len(core.yields), 'yield')}, "
              f"{plural(len(core.resets), 'reset')}, "
              f"{plural(len(core.recovering), 'fault')}")
    for text in trace.wrong[:10]:
        print(f"cannot be: {text}")
    if trace.lost:
        print(f"{trace.lost} events were lost")


# Check -----------------------------------------------------------------------

def said(path):
    """client NAME class N contexts N ... -> {NAME: {class: N, ...}}"""
    clients = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[:1] == ["client"]:
                clients[words[1]] = {key: int(value) for key, value in
                                     zip(words[2::2], words[3::2])}
    return clients


def seen(client):
    contexts = list(client.contexts.values())
    return {"class": contexts[0].sched_class, "contexts": len(contexts),
            "jobs": len(client.jobs), "tasks": sum(j.tasks_done for j in client.jobs),
            "failed": sum(1 for j in client.jobs if j.error)}


def overlaps(trace):
    return any(b.start < a.end for core in trace.cores.values()
               for a, b in zip(core.slices, core.slices[1:]))


def check(trace, svg, events, clients):
    """What is known of the trace of npu-demo, as (is it so, what)"""
    by_name = {c.name: c for c in trace.clients.values()}
    slices = [s for c in trace.cores.values() for s in c.slices]
    yield not trace.lost and not trace.wrong, "the trace is whole and makes sense"
    yield set(by_name) == set(clients) and clients, "every client is seen"
    for name, client in clients.items():
        yield (name in by_name and seen(by_name[name]) == client,
               f"{name} is seen to do what it did")
    yield not overlaps(trace), "no core does two things at once"
    yield len({s.core for s in slices}) == 3, "all cores are used"
    yield (len(trace.faults) == 1 and trace.faults[0][3] == -62 and
           trace.faults[0][2].context.client.name == "broken"), "one hangs, and it is the one"
    makers = {job.context.client.name for core in trace.cores.values()
              for _, job in core.yields}
    yield makers and "speech" not in makers, "who must not wait makes others make way"
    waits = {name: middle([j.waited for j in c.jobs if j.waited is not None])
             for name, c in by_name.items()}
    yield waits["speech"] < waits["indexer"] / 10, "and waits less for it"

    elements = xml.etree.ElementTree.parse(svg).getroot()
    tips = [e.text for e in elements.iter("{http://www.w3.org/2000/svg}title")]
    drawn = {(text.split(" (")[0]) for text in tips if ", context " in text}
    yield drawn == set(clients), "the picture shows tasks of every client"
    yield sum(1 for t in tips if t == "makes way") == trace.count["npu_job_yield"], \
        "and every yield"
    tasks = [e for e in events if e.get("cat") == "task"]
    yield len(tasks) == len(slices) == trace.count["npu_task_start"], \
        "the other file has every task"
    yield (sum(e["dur"] for e in tasks) == sum(s.end - s.start for s in slices)), \
        "with its time"
    open_jobs = collections.Counter()
    for e in events:
        if e["ph"] in "be":
            open_jobs[e["id"]] += 1 if e["ph"] == "b" else -1
    yield len(open_jobs) == len(trace.jobs) and not any(open_jobs.values()), "and every job"


def load_window(text):
    start, _, end = text.partition("-")
    return float(start), float(end)


def main(args):
    title, window = "What the NPU did", None
    while "--title" in args:
        i = args.index("--title")
        title = args[i + 1]
        del args[i:i + 2]
    while "--window" in args:
        i = args.index("--window")
        window = load_window(args[i + 1])
        del args[i:i + 2]
    if args[:1] == ["draw"] and len(args) == 4:
        trace = Trace(args[1])
        with open(args[2], "w", encoding="utf-8") as file:
            file.write(Picture(trace, title, window).draw())
        with open(args[3], "w", encoding="ascii") as file:
            json.dump(perfetto(trace), file)
        table(trace)
        return 0
    if args[:1] == ["check"] and len(args) == 5:
        with open(args[3], encoding="ascii") as file:
            events = json.load(file)["traceEvents"]
        failed = 0
        for number, (fine, what) in enumerate(check(Trace(args[1]), args[2], events,
                                                    said(args[4])), 1):
            print(f"{'' if fine else 'not '}ok {number} - {what}")
            failed += not fine
        print(f"1..{number}")
        return 1 if failed else 0
    raise SystemExit(__doc__.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
