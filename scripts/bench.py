#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The figures of scripts/bench, from what the emulator saw.

usage: bench.py table DIR JSON    the figures of both drivers side by side, on
                                  the terminal and into a file
       bench.py profile DIR WHAT  functions by instructions, in the sections
                                  that match WHAT

DRIVER.out is what npu-bench said: a line for each section, in their order.
DRIVER.trace is QEMU's: registers, interrupts and tasks of the NPU, registers of
the IOMMUs, all with their virtual time, and where sections begin and end.
"""
import bisect
import collections
import json
import os
import re
import statistics
import sys

DRIVERS = ("npu", "rocket")
CACHE_LINE = 64         # bytes, of the Cortex-A76
OP_ENABLE = 0x08        # of the NPU: a one kicks off a task
QUIET = 10000000        # ns without a look at a hung core, until it is noticed
LATENCY_SLACK = 10000   # ns that a latency job may wait beyond one task

Event = collections.namedtuple("Event", "kind unit ns offset value")


class Section:
    def __init__(self, number, words):
        self.number = number
        self.name = words[0]
        self.text = " ".join(words)
        self.of = {}
        for word in words[1:]:
            key, _, value = word.partition("=")
            self.of[key] = int(value, 0)
        self.ticks = []
        self.events = []
        self.insns = self.cleaned = None
        self.blocks = collections.Counter()


def read_out(path):
    sections = []
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[:1] == ["section"]:
                sections.append(Section(int(words[1]), words[2:]))
            elif words[:1] == ["ticks"]:
                sections[-1].ticks.append(int(words[1]))
    if [s.number for s in sections] != list(range(1, len(sections) + 1)):
        raise SystemExit(f"{path}: sections are missing")
    return sections


# What is wanted of each trace event; one without a time has that of the last.
EVENTS = {"rk3588_" + kind: re.compile(regex) for kind, regex in (
    ("npu_read", r"core (?P<unit>\d): read (?P<offset>\w+) = (?P<value>\w+) at (?P<ns>\d+) ns"),
    ("npu_write", r"core (?P<unit>\d): write (?P<offset>\w+) = (?P<value>\w+) at (?P<ns>\d+) ns"),
    ("npu_irq", r"core (?P<unit>\d): raw .* line (?P<value>\d) at (?P<ns>\d+) ns"),
    ("npu_fetch", r"core (?P<unit>\d): stream at (?P<value>\w+),"),
    ("npu_task_start", r"core (?P<unit>\d): .*, (?P<value>\d+) ns, at (?P<ns>\d+) ns"),
    ("npu_task_end", r"core (?P<unit>\d): .*, at (?P<ns>\d+) ns"),
    ("npu_hang", r"core (?P<unit>\d): .*, at (?P<ns>\d+) ns"),
    ("iommu_read", r"npu-iommu(?P<unit>\d): .* at (?P<ns>\d+) ns"),
    ("iommu_write", r"npu-iommu(?P<unit>\d): .* at (?P<ns>\d+) ns"),
)}


def parse_event(line, last_ns):
    kind, _, rest = line.partition(" ")
    if kind not in EVENTS:
        return None
    found = EVENTS[kind].match(rest)
    if not found:
        raise SystemExit(f"not understood: {line}")
    of = {key: int(value, 0) for key, value in found.groupdict().items()}
    return Event(kind.removeprefix("rk3588_"), of["unit"], of.get("ns", last_ns),
                 of.get("offset"), of.get("value"))


def read_trace(path, sections):
    current = None
    ns = 0
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("section "):
                words = line.split()
                section = sections[int(words[1]) - 1]
                if words[2] == "begins":
                    current = section
                elif words[2] == "block":
                    section.blocks[int(words[3], 16)] += int(words[5])
                else:
                    section.insns = int(words[4])
                    section.cleaned = int(words[6])
                    current = None
            elif current:
                event = parse_event(line, ns)
                if event:
                    ns = event.ns
                    current.events.append(event)
    if any(s.insns is None for s in sections):
        raise SystemExit(f"{path}: sections have no end")


def load(directory, driver):
    base = os.path.join(directory, driver)
    sections = read_out(base + ".out")
    read_trace(base + ".trace", sections)
    return sections


def the(sections, name, **of):
    """The sections of that name with these properties."""
    return [s for s in sections if s.name == name and
            all(s.of.get(k) == v for k, v in of.items())]


def one(sections, name, **of):
    found = the(sections, name, **of)
    if len(found) != 1:
        raise SystemExit(f"{len(found)} sections {name} {of or ''}")
    return found[0]


def is_kick(event):
    return (event.kind == "npu_write" and event.offset == OP_ENABLE and
            event.value & 1)


def is_access(event):
    return event.kind.endswith(("_read", "_write"))


def rises(section):
    """When the interrupt line of a core goes up."""
    level = collections.Counter()
    for event in section.events:
        if event.kind == "npu_irq":
            if event.value and not level[event.unit]:
                yield event
            level[event.unit] = event.value


def submit(sections, **of):
    """Instructions from the call to its return, the median of all calls."""
    found = the(sections, "submit", **of)
    return statistics.median_low(s.insns for s in found) if found else None


def gaps(section):
    """For each kick that follows an interrupt of its core: the time from there, and
    the time from the driver's first look at the core."""
    up, look = {}, {}
    edges = {id(e) for e in rises(section)}
    for event in section.events:
        unit = event.unit
        if id(event) in edges:
            up[unit] = event.ns
            look.pop(unit, None)
        elif unit in up and is_kick(event):
            yield event.ns - up.pop(unit), event.ns - look[unit]
        elif unit in up and event.kind.startswith("npu") and is_access(event):
            look.setdefault(unit, event.ns)


def gap(section):
    """From an interrupt to the next kick of its core, the median."""
    return statistics.median_low(whole for whole, _ in gaps(section))


def own_gap(section):
    """What of that comes after the driver's first look."""
    return statistics.median_low(own for _, own in gaps(section))


def switch(section):
    """From the interrupt of one client's last task to the kick of another's first,
    the median. The kernel may run streams of its own in between."""
    found = []
    end, kick, changed = {}, {}, set()
    edges = {id(e) for e in rises(section)}
    for event in section.events:
        unit = event.unit
        if id(event) in edges:
            end.setdefault(unit, event.ns)
        elif event.kind == "iommu_write":
            changed.add(unit)
        elif is_kick(event):
            kick[unit] = event.ns
        elif event.kind == "npu_fetch" and event.value == section.of["va"]:
            begin = end.pop(unit, None)
            if unit in changed and begin is not None:
                found.append(kick[unit] - begin)
            changed.discard(unit)
    return statistics.median_low(found)


def tasks_of(section):
    return sum(e.kind == "npu_task_end" for e in section.events)


def cpu(section):
    """Instructions of everybody for each task, the submit and all else."""
    return section.insns // tasks_of(section)


def accesses(section, unit):
    """Of registers of the NPU or its IOMMUs, for each task."""
    n = sum(is_access(e) and e.kind.startswith(unit) for e in section.events)
    return round(n / tasks_of(section), 2)


def span(section):
    """From the first task's start to the last one's end."""
    starts = [e.ns for e in section.events if e.kind == "npu_task_start"]
    ends = [e.ns for e in section.events if e.kind == "npu_task_end"]
    return max(ends) - min(starts)


def busy(section):
    """Share of that time in which the core worked."""
    starts = sum(e.ns for e in section.events if e.kind == "npu_task_start")
    ends = sum(e.ns for e in section.events if e.kind == "npu_task_end")
    return round(100 * (ends - starts) / span(section), 2)


def throughput(sections):
    """Jobs for each time span of three contexts, against one."""
    rate = [section.of["jobs"] / span(section) for section in
            (one(sections, "throughput", queues=n) for n in (1, 3))]
    return round(rate[1] / rate[0], 3)


def latencies(section):
    """From the submit to the kick of each of the jobs that come in between."""
    # QEMU's counters have a period of whole nanoseconds.
    period = 10**9 // section.of["hz"]
    kicks = []
    last = None
    for event in section.events:
        if is_kick(event):
            last = event.ns
        elif event.kind == "npu_fetch" and event.value == section.of["va"]:
            kicks.append(last)
    if len(kicks) != len(section.ticks):
        raise SystemExit(f"{len(kicks)} kicks for {len(section.ticks)} jobs")
    return [kick - tick * period for kick, tick in zip(kicks, section.ticks)]


def percentile(values, share):
    values = sorted(values)
    return values[max(0, -(-len(values) * share // 100) - 1)]


def recovery(section):
    """From when a hang is noticed to the next client's kick on that core."""
    last, noticed = {}, {}
    for event in section.events:
        if event.kind == "npu_hang":
            last[event.unit] = event.ns
        elif is_access(event) and event.unit in last:
            if event.ns - last[event.unit] > QUIET:
                noticed[event.unit] = event.ns
            last[event.unit] = event.ns
        elif event.kind == "npu_fetch" and event.value == section.of["va"]:
            if event.unit not in noticed:
                raise SystemExit("the innocent job was not behind a hung one")
            return event.ns - noticed[event.unit]
    raise SystemExit("the innocent job never ran")


def longest_task(section):
    return max(e.value for e in section.events if e.kind == "npu_task_start")


def measure(sections):
    tasks = one(sections, "tasks")
    linked = one(sections, "linked")
    jobs = one(sections, "jobs")
    latency = one(sections, "latency")
    waits = latencies(latency)
    return {
        "submit_2": submit(sections, buffers=2, signal=0),
        "submit_64": submit(sections, buffers=64, signal=0),
        "submit_512": submit(sections, buffers=512, signal=0),
        "submit_signal": submit(sections, buffers=2, signal=1),
        "next_task": gap(tasks),
        "next_task_own": own_gap(tasks),
        "next_job": gap(jobs),
        "next_job_own": own_gap(jobs),
        "next_client": switch(one(sections, "clients")),
        "cpu_task": cpu(tasks),
        "cpu_linked": cpu(linked),
        "cpu_job": cpu(jobs),
        "registers_task": accesses(tasks, "npu"),
        "registers_linked": accesses(linked, "npu"),
        "registers_job": accesses(jobs, "npu"),
        "iommu_task": accesses(tasks, "iommu"),
        "iommu_linked": accesses(linked, "iommu"),
        "iommu_job": accesses(jobs, "iommu"),
        "interrupts": sum(1 for _ in rises(linked)),
        "busy": busy(jobs),
        "three_contexts": throughput(sections),
        "latency_p99": percentile(waits, 99),
        "latency_median": statistics.median_low(waits),
        "cleaned": one(sections, "clean").cleaned * CACHE_LINE,
        "recovery": recovery(one(sections, "hang")),
    }, longest_task(latency)


LESS, MORE = "at most", "at least"

# Key, what and in which unit, on which side of the aim is good, and the aim: a
# number, or None for what is only told.
FIGURES = (
    ("submit_2", "submit with 2 buffers bound", "instructions", LESS, 5000),
    ("submit_64", "submit with 64 buffers bound", "instructions", LESS, 5000),
    ("submit_512", "submit with 512 buffers bound", "instructions", LESS, 5000),
    ("submit_signal", "the first, signalling a syncobj", "instructions", LESS, None),
    ("next_task", "completion to next task's kick", "ns", LESS, 500),
    ("next_task_own", "the same, from driver's first look", "ns", LESS, None),
    ("next_job", "completion to next job's kick", "ns", LESS, 800),
    ("next_job_own", "the same, from driver's first look", "ns", LESS, None),
    ("next_client", "completion to next client's kick", "ns", LESS, None),
    ("cpu_task", "CPU for each task of a job", "instructions", LESS, None),
    ("cpu_linked", "CPU for each linked task", "instructions", LESS, None),
    ("cpu_job", "CPU for each job of one task", "instructions", LESS, None),
    ("registers_task", "NPU registers, each task of a job", "accesses", LESS, 6),
    ("registers_linked", "NPU registers, each linked task", "accesses", LESS, 6),
    ("registers_job", "NPU registers, job of one task", "accesses", LESS, 6),
    ("iommu_task", "IOMMU registers, each task of a job", "accesses", LESS, 0),
    ("iommu_linked", "IOMMU registers, each linked task", "accesses", LESS, 0),
    ("iommu_job", "IOMMU registers, job of one task", "accesses", LESS, 0),
    ("interrupts", "interrupts for 64 linked tasks", "", LESS, 1),
    ("busy", "busy share of a core, full queue", "%", MORE, 98),
    ("three_contexts", "three contexts of one file for one", "times", MORE, 2.9),
    ("latency_p99", "latency job's wait, all full, p99", "ns", LESS, None),
    ("latency_median", "the same, median", "ns", LESS, None),
    ("cleaned", "cleaned for 4 KiB of 64 MiB", "bytes", LESS, 4096),
    ("recovery", "hang noticed to next client's kick", "ns", LESS, 2000000),
)


def judge(value, side, aim):
    if aim is None:
        return ""
    good = value <= aim if side == LESS else value >= aim
    return "met" if good else "missed"


def compare(directory):
    """One row for each figure, with both drivers."""
    results = {}
    for driver in DRIVERS:
        results[driver], task = measure(load(directory, driver))
    rows = []
    for key, what, unit, side, aim in FIGURES:
        if key == "latency_p99":
            aim = task + LATENCY_SLACK
        rows.append({
            "key": key, "figure": what, "unit": unit, "side": side, "aim": aim,
            **{driver: results[driver][key] for driver in DRIVERS},
            "verdict": judge(results["npu"][key], side, aim),
        })
    return rows


def table(rows):
    form = "{:<36} {:<12} {:>9} {:>10} {:>11}  {}"
    print(form.format("figure", "unit", "aim", *DRIVERS, "verdict of npu"))
    for row in rows:
        numbers = ("" if row[key] is None else f"{row[key]:,}"
                   for key in ("aim", *DRIVERS))
        print(form.format(row["figure"], row["unit"], *numbers,
                          row["verdict"]).rstrip())


def symbols(path):
    found = []
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) >= 3 and words[1] in "tTwW":
                found.append((int(words[0], 16), " ".join(words[2:])))
    return sorted(found)


def profile(directory, what):
    for driver in DRIVERS:
        table = symbols(os.path.join(directory, driver + ".kallsyms"))
        addresses = [address for address, _ in table]
        counts = collections.Counter()
        chosen = 0
        for section in load(directory, driver):
            if not re.match(what, section.text):
                continue
            chosen += 1
            for vaddr, insns in section.blocks.items():
                at = bisect.bisect(addresses, vaddr) - 1
                name = table[at][1] if vaddr >> 63 and at >= 0 else "(user)"
                counts[name] += insns
        print(f"{driver}: {sum(counts.values())} instructions in {chosen} sections")
        for name, insns in counts.most_common():
            print(f"{insns / max(chosen, 1):12.1f}  {name}")


def main():
    if sys.argv[1:2] == ["table"] and len(sys.argv) == 4:
        rows = compare(sys.argv[2])
        table(rows)
        with open(sys.argv[3], "w", encoding="ascii") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    elif sys.argv[1:2] == ["profile"] and len(sys.argv) == 4:
        profile(sys.argv[2], sys.argv[3])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
