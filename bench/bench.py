#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures unetmap, the yardstick (limit.cc) and the peers in one run, taking turns, and reports medians and ratios.

Usually called as ./dev bench; docs/benchmarks.md says what each row means and what disturbs it.
"""
import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import machine, report  # noqa: E402
from harness.children import Child, Children, Failed  # noqa: E402
from harness.measure import run_group  # noqa: E402
from harness.network import PACKAGES  # noqa: E402
from rows import (capture, card_driver, cards, core, guest_netmap, guests, ips, links, looking, nic, own_drivers, peers, rules, scale, switch,  # noqa: E402
                  vhost)

GROUPS = {**core.GROUPS, **scale.GROUPS, **peers.GROUPS, **vhost.GROUPS, **guests.GROUPS, **cards.GROUPS, **card_driver.GROUPS,
          **own_drivers.GROUPS, **guest_netmap.GROUPS, **nic.GROUPS, **switch.GROUPS, **rules.GROUPS, **links.GROUPS, **looking.GROUPS,
          **ips.GROUPS, **capture.GROUPS}
NOT_WHEN_QUICK = ("peers-large", "vhost-large", "card-large", "driver-large")
OPTIONAL_TARGETS = ("bench-vde-client", "bench-dpdk-client")
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
TOOL_TIMEOUT_S = 60


def accepts(path):
    """Whether a daemon listens there: the socket's file alone comes a moment earlier."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        return probe.connect_ex(path) == 0


class Bench:
    """What every row needs: where the programs are, on which CPUs, for how long, and our own daemon."""

    def __init__(self, options, undo):
        self.options, self.undo = options, undo
        self.runs, self.base_seconds, self.seconds_scale = options.runs, options.seconds, 1.0
        self.cpus = machine.choose_cpus()
        self.prefix = f"ubench{os.getpid()}"
        self.folder = tempfile.mkdtemp(prefix="unetmap-bench-")
        undo.callback(shutil.rmtree, self.folder, True)
        # A daemon of our own, so that nothing of the user's takes part or is disturbed.
        self.environment = {"UNETMAP_SOCKET": os.path.join(self.folder, "unetmapd.sock")}
        self.huge_folder = None
        self.stopped_pairs = {}  # of guests, by kind: rows/guests.py
        self._daemon = None

    @property
    def seconds(self):
        return self.base_seconds * self.seconds_scale

    def tool(self, name):
        path = os.path.join(self.options.build_dir, "bin", name)
        if not os.path.exists(path):
            raise Failed(f"{path}: not built; run ./dev build")
        return path

    def program(self, name):
        return os.path.join(self.options.build_dir, "bin", "bench-" + name)

    @property
    def daemon(self):
        """unetmapd in the foreground as our child, whose process id the idle and memory rows look at.
        One that ended by itself for want of clients is started again; a failure fails the row that meets it."""
        if self._daemon is not None and not self._daemon.running():
            ended, self._daemon = self._daemon, None
            if ended.process.returncode != 0:
                raise ended.failure("ended during the bench")
        if self._daemon is None:
            daemon = Child([self.tool("unetmapd"), "--foreground"], env=self.environment)
            self.undo.callback(daemon.stop)
            daemon.wait_for(lambda: accepts(self.environment["UNETMAP_SOCKET"]), "its socket")
            self._daemon = daemon
        return self._daemon

    def netmap_children(self):
        """For programs that use netmap: they find the daemon running and know its socket."""
        _ = self.daemon
        return Children(self.environment)

    def run_tool(self, name, *words, netns=None):
        """One of our tools that changes something of the daemon and ends; what it printed."""
        with self.netmap_children() as children:
            return children.start([self.tool(name), *words], netns=netns).finish(TOOL_TIMEOUT_S)

    def cache_line_ns(self):
        return machine.cache_line_ns(self.program("c2c"), self.cpus)

    @contextlib.contextmanager
    def turn(self):
        """One round of a group; with --lock, others who measure on this machine wait for it to end."""
        if not self.options.lock:
            yield
            return
        with open(self.options.lock, "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def progress(self, text):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text[:report.WIDTH - 1]}")
            sys.stderr.flush()


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measure unetmap against its yardstick and its peers, in one run, taking turns.",
        epilog="Groups: " + " ".join(GROUPS) + ". docs/benchmarks.md explains them.")
    parser.add_argument("--quick", action="store_true", help="3 runs of 1 second, 60-byte frames for the peers only")
    parser.add_argument("--only", metavar="NAMES", help="these groups, separated by commas")
    parser.add_argument("--json", metavar="FILE", help="write every sample there too; - for standard output instead of the table")
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each row (5; 3 with --quick)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a run (2; 1 with --quick)")
    parser.add_argument("--install", action="store_true", help="install the peers' packages with apt-get first")
    parser.add_argument("--lock", metavar="FILE", help="hold an exclusive lock on FILE during each round of a group")
    parser.add_argument("--build-dir", default="build", metavar="DIR", help="where the programs are (build)")
    options = parser.parse_args(arguments)
    options.runs = options.runs or (3 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 2.0)
    if options.runs < 1 or options.seconds <= 0:
        parser.error("--runs and --seconds must be positive")
    names = [name.strip() for name in options.only.split(",")] if options.only else [
        name for name in GROUPS if not (options.quick and name in NOT_WHEN_QUICK)]
    for name in names:
        if name not in GROUPS:
            parser.error(f"--only: there is no group '{name}'; groups: {' '.join(GROUPS)}")
    options.groups = names
    options.build_dir = os.path.abspath(options.build_dir)
    return options


def install(options):
    """The peers' packages, and then their clients, which the first build left out for want of headers."""
    packages = sorted({package for names in PACKAGES.values() for package in names.split()})
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    cmake = ["cmake", "--build", options.build_dir, "--target", *OPTIONAL_TARGETS]
    for command in (apt + ["update"], apt + ["install", "-y", "--no-install-recommends", *packages],
                    ["cmake", options.build_dir], cmake):
        if subprocess.run(command, stdout=sys.stderr, env=environment).returncode != 0:
            raise Failed(f"{' '.join(command)}: failed; its own message is above")


def stop_on_signals():
    """Ctrl-C and polite kills unwind through the same clean-up; a second one does not interrupt that."""
    def stop(number, _):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


def measure(options, undo):
    """Runs the groups; the groups and the facts about the machine."""
    bench = Bench(options, undo)
    facts = machine.facts()
    two = len(bench.cpus) > 1
    facts["cache_line_before_ns"] = bench.cache_line_ns() if two else None
    out = open(os.devnull, "w", encoding="utf-8") if options.json == "-" else sys.stdout
    print(report.header_text(facts, facts["cache_line_before_ns"]), file=out, flush=True)
    begun, steal = time.monotonic(), machine.steal_seconds()
    done = []
    for name in options.groups:
        group = GROUPS[name](bench)
        run_group(bench, group)
        print(report.group_text(group, bench.runs, bench.seconds), file=out, flush=True)
        done.append(group)
    facts["cache_line_after_ns"] = bench.cache_line_ns() if two else None
    facts["seconds_in_all"] = time.monotonic() - begun
    facts["steal"] = (machine.steal_seconds() - steal) / facts["seconds_in_all"]
    if facts["cache_line_before_ns"] and facts["cache_line_after_ns"]:
        print(f"\ncache line there and back, before and after all: {facts['cache_line_before_ns']:.0f} and "
              f"{facts['cache_line_after_ns']:.0f} ns; steal {100 * facts['steal']:.1f}% of a CPU", file=out)
    return done, facts


def write_json(options, groups, facts):
    document = json.dumps({"machine": facts, "settings": {"runs": options.runs, "seconds": options.seconds},
                           "groups": [report.group_json(group) for group in groups]}, indent=1)
    if options.json == "-":
        print(document)
        return
    with open(options.json, "w", encoding="utf-8") as file:
        file.write(document + "\n")


def main(arguments):
    options = parse(arguments)
    stop_on_signals()
    try:
        if options.install:
            install(options)
        with contextlib.ExitStack() as undo:
            groups, facts = measure(options, undo)
        if options.json:
            write_json(options, groups, facts)
    except (Failed, OSError, subprocess.SubprocessError) as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return EXIT_FAILED
    failed = [f"{group.name}: {row.name}" for group in groups for row in group.rows if row.failed]
    if failed:
        print("bench: failed rows: " + "; ".join(failed), file=sys.stderr)
    return EXIT_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
