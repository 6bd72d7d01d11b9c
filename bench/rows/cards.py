# SPDX-License-Identifier: BSD-2-Clause
"""Guest to guest with each card that a guest can have on a VALE switch: how fast, and how many register accesses (each an exit under
hardware virtualization) and interrupts a packet costs. All pairs are booted once; those that are not measured stand still."""
import contextlib
import functools
import json
import os
import re

from harness.children import Failed
from harness.measure import Check, Group, Row, Sample, Window
from rows.guests import NOTIFY_PROBE, PEER, SEGMENT_BYTES, SOURCE, StoppedPairs, awake_pair, guest_rig

MESSAGE_BYTES = 64
STREAM, PLAIN, MITIGATED = "QEMU's e1000, stream", "our e1000", "our e1000, mitigation"
PARAVIRT, VIRTIO = "our e1000-paravirt", "virtio-net, vhost-user"
CARDS = {
    STREAM: {"DEVICE": "e1000", "LINK": "stream"},
    PLAIN: {"DEVICE": "e1000", "LINK": "vfio-user", "MITIGATION": "off"},
    MITIGATED: {"DEVICE": "e1000", "LINK": "vfio-user", "MITIGATION": "on"},
    PARAVIRT: {"DEVICE": "e1000-paravirt", "LINK": "vfio-user", "MITIGATION": "on"},
    VIRTIO: {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"},
}
_TRACING = "/sys/kernel/tracing"
_TRACED = ("memory_region_ops_read", "memory_region_ops_write")


class Pair:
    """Two guests of one kind on a switch of their own; what their cards have cost so far."""

    def __init__(self, rig, number, name, load_driver):
        self.rig, self.name, self.switch = rig, name, f"valec{number}"
        self.logs = [os.path.join(rig.folder, f"accesses-{number}-{guest}") for guest in (1, 2)]
        names = {f"card{number}{guest}": f"qemu --vale 0{guest}" for guest in (1, 2)}
        variables = {guest: {**CARDS[name], "SWITCH": self.switch, "EXTRA": f"-D {log}"} for guest, log in zip(names, self.logs)}
        self.guests = rig.boot(names, variables)
        for number, guest in enumerate(self.guests, 1):
            if name == PARAVIRT:
                guest.run("modprobe -r e1000")
                load_driver(guest)
                guest.run(f"until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip address add 10.0.0.{number}/24 dev eth0 && "
                          "ip link set eth0 up")
            if name == VIRTIO:
                guest.run(f"mount -t tracefs tracefs {_TRACING}; echo '{NOTIFY_PROBE}' >{_TRACING}/kprobe_events && "
                          f"echo 1 >{_TRACING}/events/kprobes/notified/enable && echo 0 >{_TRACING}/tracing_on")
        self.guests[1].run("netserver")
        self.guests[0].run(f"until ping -c1 -W1 {PEER} >/dev/null; do sleep 0.1; done")

    def signal(self, number):
        for guest in self.guests:
            os.kill(guest.qemu_pid, number)

    def pids(self):
        listed = json.loads(self.rig.call("unetmap", "ports", "--json"))["ports"]
        workers = {port["plug"]["pid"] for port in listed if port["name"].startswith(self.switch + ":")}
        return [guest.qemu_pid for guest in self.guests] + sorted(workers)

    @contextlib.contextmanager
    def traced(self):
        """QEMU's own card is counted by QEMU's trace events, which slow it: not where a rate is measured."""
        if self.name == STREAM:
            self._trace(True)
        try:
            yield
        finally:
            if self.name == STREAM:
                self._trace(False)

    def _trace(self, on):
        for guest in self.guests:
            for event in _TRACED:
                guest.qmp("trace-event-set-state", name=event, enable=on)

    def counts(self):
        """Interrupts of the cards, and accesses to their registers, in both guests."""
        interrupts = accesses = 0
        for number, guest in enumerate(self.guests, 1):
            found = re.findall(r"^ *\d+: +(\d+) .*(?:eth0|virtio)", guest.run("cat /proc/interrupts"), re.M)
            interrupts += sum(map(int, found))
            if self.name == VIRTIO:
                accesses += sum(map(int, re.findall(r"notified +(\d+) ", guest.run(f"cat {_TRACING}/kprobe_profile"))))
            elif self.name == STREAM:
                with open(self.logs[number - 1], encoding="ascii", errors="replace") as file:
                    accesses += sum("'e1000-mmio'" in line or "'e1000-io'" in line for line in file)
            else:
                port, = json.loads(self.rig.call("unetmap", "stats", f"{self.switch}:0{number}", "--json"))["ports"]
                status = port["plug"]["status"]
                accesses += status["register_reads"] + status["register_writes"]
        return interrupts, accesses


class Pairs(StoppedPairs):
    def __init__(self, bench):
        rig, (*_, self.traffic, modules), headers = guest_rig(
            bench, "a network namespace of the guests' own", also=lambda modules, cache: modules[-1].headers_of(cache))
        driver = modules.build("e1000-paravirt", os.path.basename(headers).removeprefix("linux-headers-"), rig.folder, headers)
        load_driver = functools.partial(modules.load, module=driver)
        super().__init__(lambda number, name: Pair(rig, number, name, load_driver))


@contextlib.contextmanager
def _running(bench, name):
    """The pair, awake, and its clocks settled; how its traffic is read."""
    with awake_pair(bench, Pairs, name) as pair:
        pair.guests[0].run(f"until ping -c1 -W1 {PEER} >/dev/null; do sleep 0.1; done")
        yield pair, bench.stopped_pairs[Pairs].traffic


class Test:
    def __init__(self, title, unit, netperf, figure, packets):
        self.title, self.unit, self.netperf, self.figure, self.packets = title, unit, netperf, figure, packets

    def run(self, pair, seconds):
        """The figure, and how many packets crossed, either way."""
        length = max(1, round(seconds))
        figure = self.figure(pair.guests[0].run(f"netperf -H{PEER} -l{length} {self.netperf}"), length)
        return figure, self.packets(figure, length)


def _tests(traffic):
    return {
        "TCP": Test("TCP", "Mbit/s", "-tTCP_STREAM", lambda text, _: traffic.megabits_per_second(text),
                    lambda speed, length: speed * 1e6 / 8 * length / SEGMENT_BYTES),
        "UDP": Test("UDP", "1/s", f"-tUDP_STREAM -- -m{MESSAGE_BYTES}", lambda text, length: traffic.udp_received(text) / length,
                    lambda rate, length: rate * length),
        "round trips": Test("round trips", "1/s", "-tTCP_RR", lambda text, _: traffic.transactions_per_second(text),
                            lambda rate, length: 2 * rate * length),
    }


UNITS = {"TCP": "Mbit/s", "UDP": "1/s", "round trips": "1/s"}


def _rate(bench, name, title):
    with _running(bench, name) as (pair, traffic):
        test = _tests(traffic)[title]
        window = Window(pair.pids())
        figure, packets = test.run(pair, bench.seconds)
        return Sample(figure, window.close().detail(packets))


def _costs(bench, name, title, which):
    """In a window of its own: what counts may slow."""
    with _running(bench, name) as (pair, traffic), pair.traced():
        test = _tests(traffic)[title]
        before = pair.counts()
        _, packets = test.run(pair, bench.seconds)
        after = pair.counts()
        if not packets:
            raise Failed("no packet crossed")
        cost = [(now - then) / packets for now, then in zip(after, before)]
        bench.card_costs = getattr(bench, "card_costs", {})
        bench.card_costs[name, title] = cost
        return Sample(1000 * cost[which])


def _interrupts(bench, name, title):
    """Of the window in which accesses were just counted."""
    costs = getattr(bench, "card_costs", {})
    if (name, title) not in costs:
        raise Failed("no accesses were counted")
    return Sample(1000 * costs[name, title][0])


def _group(_):
    rows, checks = [], []
    for title, unit in UNITS.items():
        for name in CARDS:
            rows.append(Row(f"{title}, {name}", unit, lambda b, name=name, title=title: _rate(b, name, title), cpus=2))
        if title == "TCP":
            checks.append(Check(f"{title}, {PLAIN}", f"{title}, {STREAM}", ">=", 2.0, f"times {STREAM}: {title}"))
        checks.append(Check(f"{title}, {PARAVIRT}", f"{title}, {VIRTIO}", ">=", 1.0, f"times {VIRTIO}: {title}"))
    for title in ("TCP", "UDP"):
        for name in CARDS:
            rows.append(Row(f"{title} accesses, {name}", "/1000", lambda b, name=name, title=title: _costs(b, name, title, 1)))
            rows.append(Row(f"{title} interrupts, {name}", "/1000", lambda b, name=name, title=title: _interrupts(b, name, title)))
        for what in ("accesses", "interrupts"):
            checks.append(Check(f"{title} {what}, {PARAVIRT}", None, "<=", 20.0, f"{what} for 1000 packets, {PARAVIRT}: {title}"))
    return Group("cards", "Two emulated guests on a switch, by card; accesses are to registers, for 1000 packets "
                 f"({SEGMENT_BYTES} bytes of TCP, {MESSAGE_BYTES} of UDP)", rows, checks, seconds_scale=2.0)


GROUPS = {"cards": _group}
