# SPDX-License-Identifier: BSD-2-Clause
"""What it costs to be looked at: top, the server and metrics beside a busy pair on a switch of 1000 ports, each refreshed once a
second; a trace that has ended; and what all of it costs where nobody looks, against a build without."""
import argparse
import copy
import http.client
import os
import re
import threading
import time

from harness import machine
from harness.children import Child, Children, Failed, Skipped
from harness.measure import Check, Group, Row, Sample
from rows import pktgen
from rows.scale import MANY_PORTS, open_ports

REFRESH_S = 1.0
# A build of the commit before what is to cost nothing came.
BASE_BUILD = os.environ.get("UNETMAP_BASE_BUILD", "")


class Looker:
    """Something that looks once a second while a pair is measured; what it has cost. A context."""

    def __init__(self, bench, children):
        self.bench, self.children = bench, children

    def start(self, *arguments):
        # Not where the pair is: it is to cost what it takes from others, not its own turns on their processor.
        return self.children.start([self.bench.tool("unetmap"), *arguments], cpu=self.bench.cpus[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Top(Looker):
    def __enter__(self):
        self.program = self.start("top", "--json", "--interval", REFRESH_S)
        self.program.wait_for(lambda: self.refreshes() > 0, "its first line")
        return self

    def refreshes(self):
        return len(self.program.lines)


class Metrics(Looker):
    """Into a file, again and again; each file is a new one."""

    def __enter__(self):
        self._path = os.path.join(self.bench.folder, "metrics.prom")
        self._seen, self._count = None, 0
        self.program = self.start("metrics", "-w", self._path, "-i", REFRESH_S)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self.program.wait_for(lambda: self.refreshes() > 0, "its first file")
        return self

    def _watch(self):
        while not self._stop.wait(REFRESH_S / 10):
            try:
                inode = os.stat(self._path).st_ino
            except OSError:
                continue
            if inode != self._seen:
                self._seen, self._count = inode, self._count + 1

    def refreshes(self):
        return self._count

    def __exit__(self, *_):
        self._stop.set()
        self._watcher.join()


class Served(Looker):
    """A page that asks the server."""

    PATH = "/api/live"

    def __enter__(self):
        self.program = self.start("serve", "--listen", "127.0.0.1:0")
        self.program.wait_for(lambda: self._address() is not None, "its address")
        self._count, self._failed = 0, None
        self._stop = threading.Event()
        self._client = threading.Thread(target=self._ask, daemon=True)
        self._client.start()
        self.program.wait_for(lambda: self.refreshes() > 0, "its first answer")
        return self

    def _address(self):
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.program.output())
        return int(found[1]) if found else None

    def _ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._address(), timeout=10)
        while True:
            try:
                connection.request("GET", self.PATH)
                answer = connection.getresponse()
                body = answer.read()
            except OSError as reason:
                self._failed = str(reason)
                return
            if answer.status != 200 or f"idle{MANY_PORTS - 1}" not in body.decode():
                self._failed = f"{answer.status}: {body[:200]}"
                return
            self._count += 1
            if self._stop.wait(REFRESH_S):
                return

    def refreshes(self):
        if self._failed is not None:
            raise Failed(f"unetmap serve: {self.PATH}: {self._failed}")
        return self._count

    def __exit__(self, *_):
        self._stop.set()
        self._client.join()


class Scraped(Served):
    """Prometheus, which asks more often than it would."""

    PATH = "/metrics"


class Nobody(Looker):
    program = None

    def refreshes(self):
        return 0


def _resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", machine.read(f"/proc/{pid}/status"))[1])


def _pair_looked_at(bench, kind):
    """The pair's rate beside 1000 idle ports while `kind` looks on; what each refresh takes of its processor and the daemon's."""
    cpu = bench.cpus[0]
    with bench.netmap_children() as children:
        open_ports(bench, children, "vale0", MANY_PORTS)
        with kind(bench, children) as looker:
            watched = [bench.daemon.pid] + ([looker.program.pid] if looker.program else [])
            before, cpu_before = looker.refreshes(), sum(map(machine.cpu_ns, watched))
            sample = pktgen.pair(bench, 60, cpu, cpu, lossless=True)
            refreshes, cpu_ns = looker.refreshes() - before, sum(map(machine.cpu_ns, watched)) - cpu_before
            if looker.program:
                if not refreshes:
                    raise looker.program.failure(f"did not look once in {bench.seconds:.1f} s")
                sample.detail["refresh_cpu_ms"] = cpu_ns / 1e6 / refreshes
                sample.detail["resident_kib"] = _resident_kib(looker.program.pid)
    return sample


def _seen_before(row, key, scale, what):
    """A row of what another one saw beside its rate in this round: nothing is measured twice."""
    def run(_):
        if row.skipped or row.failed or not row.samples:
            raise Skipped(f"{row.name}: {row.failed or row.skipped or 'no sample'}"[:200])
        return Sample(row.samples[-1].detail[key] * scale)
    return Row(f"{row.name}: {what[0]}", what[1], run)


LOOKERS = {"top": Top, "serve": Served, "serve, scraped": Scraped, "metrics -w": Metrics}


def looking(bench):
    alone = Row("nobody looks", "Mpps", lambda b: _pair_looked_at(b, Nobody), cpus=2)
    rows, checks = [alone], []
    for name, kind in LOOKERS.items():
        row = Row(name, "Mpps", lambda b, kind=kind: _pair_looked_at(b, kind), cpus=2)
        refresh = _seen_before(row, "refresh_cpu_ms", 1.0, ("CPU a refresh", "ms"))
        rows += [row, refresh]
        checks += [Check(row.name, alone.name, ">=", 0.99, "of the rate with nobody looking"),
                   Check(refresh.name, None, "<=", 50.0, "ms of its own and the daemon's CPU a refresh")]
        if kind is Served:
            rows.append(_seen_before(row, "resident_kib", 1 / 1024, ("resident memory", "MiB")))
            checks.append(Check(rows[-1].name, None, "<=", 32.0, "MiB"))
    # A refresh a second wants some seconds.
    return Group("looking", f"VALE, 60 bytes, one core, {MANY_PORTS} other ports, looked at once a second on another CPU", rows, checks, 3.0)


def _pair(bench):
    return pktgen.pair(bench, 60, bench.cpus[0], bench.cpus[0], lossless=True)


def _pair_after_trace(bench):
    """A trace is on and has ended before the pair begins."""
    with bench.netmap_children() as children:
        open_ports(bench, children, "vale0", 1)
        trace = children.start([bench.tool("unetmap"), "trace", "vale0", "--duration", "100ms"])
        trace.finish(20)
        return _pair(bench)


def _pair_traced(bench):
    """A trace whose filter no frame matches."""
    with bench.netmap_children() as children:
        open_ports(bench, children, "vale0", 1)
        trace = children.start([bench.tool("unetmap"), "trace", "vale0", "udp dst port 9999"], cpu=bench.cpus[-1])
        sample = _pair(bench)
        if not trace.running():
            raise trace.failure("ended during the measurement")
        return sample


def _pair_of_base(bench):
    if not BASE_BUILD:
        raise Skipped("UNETMAP_BASE_BUILD names no build of the commit before what is to cost nothing")
    base = copy.copy(bench)
    base.options = argparse.Namespace(**{**vars(bench.options), "build_dir": os.path.abspath(BASE_BUILD)})
    base.environment = {**bench.environment, "UNETMAP_SOCKET": os.path.join(bench.folder, "base.sock")}
    base._daemon = None
    try:
        return _pair(base)
    finally:
        if base._daemon is not None:
            base._daemon.stop()


def tracing(bench):
    rows = [Row("no trace", "Mpps", _pair), Row("a trace has ended", "Mpps", _pair_after_trace),
            Row("build in UNETMAP_BASE_BUILD", "Mpps", _pair_of_base), Row("traced", "Mpps", _pair_traced, cpus=2)]
    return Group("tracing", "VALE, 60 bytes, one core, lossless; run it with --runs 20", rows,
                 [Check("a trace has ended", "no trace", ">=", 0.995, "of the rate without"),
                  Check("no trace", "build in UNETMAP_BASE_BUILD", ">=", 0.995, "of the rate of the other build"),
                  Check("traced", "no trace", "", 0, "of the rate without")])


PYTHON = """
import sys, time, unetmap
port_name, seconds, batch = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
frame = bytes.fromhex("020000000002" "020000000001" "0800") + bytes(46)
frames = [frame] * batch
with unetmap.Port(port_name) as port:
    end, sent = time.monotonic() + seconds, 0
    begin, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < end:
        port.send_all(frames)
        sent += batch
    print(f"sent={sent} seconds={time.monotonic() - begin} cpu={time.process_time() - cpu}")
"""


def _python(bench, receiver):
    """A batch loop of ready-made frames to a port of pkt-gen on the other CPU, or to nobody."""
    here = os.path.dirname(os.path.abspath(__file__))
    names = {"PYTHONPATH": os.path.join(here, "../../python"), "UNETMAP_LIBRARY": os.path.join(bench.options.build_dir, "lib/libunetmap.so")}
    with pktgen.PktGen(bench) as generators, bench.netmap_children() as children:
        children.environment(names)
        if receiver:
            reader = generators.start("rx", "vale0:reader", bench.cpus[-1])
            generators.set_lossless(reader, "vale0:reader")
            generators.announce("vale0:reader", "02:00:00:00:00:02")
        run = children.start(["python3", "-c", PYTHON, "vale0:python", bench.seconds, 512], cpu=bench.cpus[0])
        said = run.finish(bench.seconds + 20)
    fields = dict(re.findall(r"(\w+)=([\d.]+)", said))
    sent = float(fields["sent"])
    return Sample(sent / float(fields["seconds"]) / 1e6, {"cpu_ns_per_packet": float(fields["cpu"]) * 1e9 / sent})


def python(bench):
    rows = [Row("to a reader", "Mpps", lambda b: _python(b, True), cpus=2), Row("to nobody", "Mpps", lambda b: _python(b, False))]
    return Group("python", "Python, 60 bytes, ready-made frames, batches of 512", rows,
                 [Check("to a reader", None, ">=", 1.0, "Mpps")])


GROUPS = {"looking": looking, "tracing": tracing, "python": python}
