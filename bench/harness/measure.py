# SPDX-License-Identifier: BSD-2-Clause
"""Rows, groups of rows, and the loop that takes their samples in turn: A B A B, so that both see the same machine."""
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable

from harness import machine
from harness.children import Failed, Skipped


@dataclass
class Sample:
    """One measurement: the figure that counts, and what else was seen (loss_percent, cpu_ns, ...)."""
    value: float
    detail: dict = field(default_factory=dict)


@dataclass
class Row:
    name: str
    unit: str
    run: Callable[["Bench"], Sample]
    cpus: int = 1
    samples: list = field(default_factory=list)
    skipped: str = ""
    failed: str = ""

    def usable(self):
        return bool(self.samples) and not self.failed

    def values(self):
        return [sample.value for sample in self.samples]

    def median_detail(self, key):
        found = [sample.detail[key] for sample in self.samples if key in sample.detail]
        return statistics.median(found) if found else None


@dataclass
class Check:
    """A figure to reach: `row` over `base` round by round, or `row` itself if there is no base."""
    row: str
    base: str | None
    relation: str  # ">=" or "<=", or "" for a ratio that is only shown
    target: float
    text: str
    detail: str = ""  # of the samples, what is compared instead of their values

    def _figure(self, sample):
        return sample.detail[self.detail] if self.detail else sample.value

    def outcome(self, rows):
        row, base = rows[self.row], rows[self.base] if self.base else None
        if not row.usable() or (base and not base.usable()):
            return None
        if base:
            pairs = [(self._figure(mine), self._figure(other)) for mine, other in zip(row.samples, base.samples)]
            figures = [mine / other for mine, other in pairs if other]
        else:
            figures = [self._figure(sample) for sample in row.samples]
        if not figures:
            return None
        median = statistics.median(figures)
        reached = None
        if self.relation:
            reached = median >= self.target if self.relation == ">=" else median <= self.target
        return {"median": median, "min": min(figures), "max": max(figures), "reached": reached}


@dataclass
class Group:
    """Rows that are compared with each other, and so take turns."""
    name: str
    title: str
    rows: list
    checks: list
    seconds_scale: float = 1.0


def take_sample(bench, row):
    """One sample with the witnesses of disturbance beside it. None if the row is out, with the reason in the row."""
    if row.skipped or row.failed:
        return
    if row.cpus > len(bench.cpus):
        row.skipped = f"needs {row.cpus} CPUs; this process may use {len(bench.cpus)}"
        return
    try:
        witness = {"c2c_before_ns": bench.cache_line_ns()} if row.cpus > 1 else {}
        steal, start = machine.steal_seconds(), time.monotonic()
        sample = row.run(bench)
        sample.detail["steal"] = (machine.steal_seconds() - steal) / (time.monotonic() - start)
        if row.cpus > 1:
            witness["c2c_after_ns"] = bench.cache_line_ns()
        sample.detail.update({key: value for key, value in witness.items() if value is not None})
        row.samples.append(sample)
    except Skipped as reason:
        row.skipped = str(reason)
    except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as reason:
        row.failed = str(reason) if isinstance(reason, Failed) else f"{type(reason).__name__}: {reason}"


def run_group(bench, group):
    bench.seconds_scale = group.seconds_scale
    for number in range(bench.runs):
        with bench.turn():
            for row in group.rows:
                bench.progress(f"{group.name}: run {number + 1} of {bench.runs}: {row.name}")
                take_sample(bench, row)
    bench.progress("")


class Window:
    """CPU time and wall time between two moments, for some processes and the kernel's packet threads."""

    def __init__(self, pids, kernel=False):
        self._pids = list(pids) + (machine.softirq_threads() if kernel else [])
        self._cpu = sum(map(machine.cpu_ns, self._pids))
        self._busy = machine.busy_seconds()
        self.start = time.monotonic()

    def close(self):
        self.seconds = time.monotonic() - self.start
        cpu = sum(map(machine.cpu_ns, self._pids)) - self._cpu
        self.cpu_ns = cpu
        busy = machine.busy_seconds() - self._busy
        # CPUs' worth of work by anybody else: a disturbed sample shows here.
        self.others = max(0.0, busy - cpu / 1e9) / self.seconds
        return self

    def detail(self, packets):
        """What to record beside a rate."""
        return {"cpu_ns_per_packet": self.cpu_ns / packets if packets else 0.0,
                "cpus_used": self.cpu_ns / 1e9 / self.seconds, "cpus_used_by_others": self.others}
